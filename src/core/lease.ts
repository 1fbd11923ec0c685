// The arithmetic of a lease: when a silent host's is over, and who may be a witness for a grant.
// Asked by guard.ts (may a silent host be passed over?), agent-hands.ts and agent-lease.ts (before each grant) and identify's verdict.

import { type Decision, type Life, NO_TERMS, type Terms } from './decision.ts';
import { type HostRow, isArmed, wasOpenedUnder } from './host-row.ts';
import { type Epoch, isSameEpoch, type Roles } from './pair.ts';

/** The EVENT that closes a server comes every second. */
const EVENT_MS = 1_000;
/** For the EVENT's own work and for clocks that do not run equally fast: 0.2 s and 1 % of the lease (design, *Second opinion*). */
const MARGIN_MS = 200;
const DRIFT = 0.01;

/** So long after the last grant can have found a witness, the server has certainly closed itself. */
export function leaseWaitMs(leaseMs: number): number {
  return leaseMs + EVENT_MS + MARGIN_MS + DRIFT * leaseMs;
}

export type Witness =
  | { readonly agrees: true; readonly who: string }
  | { readonly agrees: false; readonly why: string };

/**
 * Somebody other than the host that is granted something knows of no higher epoch [F3]: the other server's row, or where that does not answer
 * (`other` null) the board, which must name this very epoch. Ask after the base of the grant was read.
 */
export function witnessOf({
  epoch,
  other,
  board,
}: {
  readonly epoch: Epoch;
  readonly other: HostRow | null;
  readonly board: Epoch | null;
}): Witness {
  if (other !== null) {
    const known = other.epoch;
    const lower = known === null || known.number < epoch.number;
    if (lower || isSameEpoch(known, epoch)) return { agrees: true, who: 'the row of the other host' };
    return { agrees: false, why: `the other host knows decision ${known.number} (${known.active})` };
  }
  if (board === null)
    return { agrees: false, why: 'neither the other host nor the board says that no higher decision exists' };
  if (isSameEpoch(board, epoch)) return { agrees: true, who: 'the board' };
  return {
    agrees: false,
    why: `the other host does not answer, and the board says decision ${board.number} (${board.active})`,
  };
}

/** The epoch under which this host takes writes, opened by us in this boot: what a renewal must carry. null: it takes none, or not ours. */
export function openedUnder(row: HostRow): Epoch | null {
  const { epoch, opened, readOnly, startedSec } = row;
  if (readOnly || epoch === null || opened?.startedSec !== startedSec) return null;
  return wasOpenedUnder(row, epoch) ? epoch : null;
}

/** A lease of less than three of these is renewed more often, so that one renewal may be lost. */
const KEEPING_MS = 1_000;

export function keepingIntervalMs(leaseMs: number): number {
  return Math.min(KEEPING_MS, leaseMs / 3);
}

/** No lease is shorter than this with the shortest connect_timeout (config.ts `leastLeaseMs`). */
export const LEAST_LEASE_MS = 3_000;
/** No configuration allows a longer one (settings.ts `lease`). */
export const LONGEST_LEASE_MS = 300_000;

/**
 * How long a renewal may make the lease. A lease that the operator changed comes with decisions of their own, and whoever fences this host
 * waits for the new one: who knows only an older policy grants no more than any policy would.
 */
export function grantableMs({
  leaseMs,
  policyOf,
  openedNumber,
}: {
  readonly leaseMs: number;
  /** The decision with which that policy was read; null: it was remembered, of who knows when. */
  readonly policyOf: number | null;
  readonly openedNumber: number;
}): number {
  return policyOf !== null && policyOf >= openedNumber ? leaseMs : Math.min(leaseMs, LEAST_LEASE_MS);
}

/** What is to be noted of a host that was just renewed; null: it stands there already. */
export function lifeAfter(
  known: Life | undefined,
  { row, uuid }: { readonly row: HostRow; readonly uuid: string },
): Life | null {
  const { startedSec } = row;
  // Another server behind the address, open by what another pair decided perhaps: it becomes the member when an operator says so.
  if (known !== undefined && known.uuid !== '' && uuid !== '' && known.uuid !== uuid) return null;
  const sameBoot = known?.uuid === uuid && known.startedSec === startedSec;
  const armed = row.lease.kind === 'finite' && isArmed(row);
  if (sameBoot && known.armed === armed) return null;
  return { uuid, startedSec, cameUpReadOnly: sameBoot && known.cameUpReadOnly, armed };
}

/** The last agent goes: the pair is unfenced, and only then its lease becomes endless [F6]. */
export function endlessDecision({
  roles,
  epoch,
  past,
  agent,
  atMs,
}: {
  readonly roles: Roles;
  readonly epoch: Epoch;
  readonly past: Pick<Terms, 'changedAtMs' | 'preferred' | 'otherNumber' | 'durability'>;
  readonly agent: string;
  readonly atMs: number;
}): Decision {
  return {
    roles,
    epoch,
    reasons: [
      `${agent}, the last agent, was stopped: nobody renews the lease of ${roles.active}, so it is endless now`,
    ],
    atMs,
    terms: {
      ...NO_TERMS,
      changedAtMs: past.changedAtMs,
      preferred: past.preferred,
      otherNumber: past.otherNumber,
      durability: past.durability,
      lease: 'endless',
    },
    unfenced: true,
  };
}

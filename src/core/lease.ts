// The arithmetic of a lease: when a silent host's is over, and who may be a witness for a grant.
// Asked by guard.ts (may a silent host be passed over?), agent-hands.ts and agent-lease.ts (before each grant) and identify's verdict.

import type { HostRow } from './host-row.ts';
import type { Epoch } from './pair.ts';

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
    if (lower || isSame(known, epoch)) return { agrees: true, who: 'the row of the other host' };
    return { agrees: false, why: `the other host knows decision ${known.number} (${known.active})` };
  }
  if (board === null)
    return { agrees: false, why: 'neither the other host nor the board says that no higher decision exists' };
  if (isSame(board, epoch)) return { agrees: true, who: 'the board' };
  return {
    agrees: false,
    why: `the other host does not answer, and the board says decision ${board.number} (${board.active})`,
  };
}

function isSame(one: Epoch, other: Epoch): boolean {
  return one.number === other.number && one.id === other.id && one.active === other.active;
}

// What reconcile.ts asks about a pair with a safety on: who is claimed, opened and fenced, by the rows of both servers. The order of a
// change is in docs/protocol.md; why it is not shorter, in its findings there.

import type { Complete } from './complete.ts';
import type { Board, Policy } from './decision.ts';
import type { Divergence } from './divergence.ts';
import type { HostRow } from './host-row.ts';
import { leaseWaitMs } from './lease.ts';
import type { Boot, Evidence, Facts } from './observation.ts';
import { type Epoch, type Host, isSameEpoch, type Roles } from './pair.ts';
import { whyStranger } from './stranger.ts';

/** What a pair with a safety on knows besides its facts, among which the rows are. */
export interface Guard {
  readonly epoch: Epoch;
  /** What the decision permits. */
  readonly lease: 'finite' | 'endless';
  /** The longest lease that the passive may have. */
  readonly leaseMs: number;
  /** `promote` also when an operator forced the change. */
  readonly onUnreachable: Policy['onUnreachable'];
  /** The pair's lease is endless on purpose [F6], by the board (unknown counts) or by the row of the host that was claimed. */
  readonly unfenced: boolean;
  /** The board's flag is set or unknown. */
  readonly flagOnBoard: boolean;
  /** The passive-to-be was armed when it was last heard of. */
  readonly passiveArmed: boolean;
  /** Nothing runs at the passive-to-be: refused, the connections broke, and it is known to come up read only [F19]. */
  readonly passiveDown: boolean;
  /** The passive did not take a claim, or its row, just now (a full disk, a freeze): an active that took writes last does not wait for it. */
  readonly passiveStuck: boolean;
  /** How long ago this agent saw the epoch stand in the active's row for the first time, milliseconds; null: not yet. */
  readonly claimedForMs: number | null;
  /**
   * The last decision for the passive is younger than the one that opened the active: an agent of which this one does not hear may have opened the
   * passive by it, or be about to.
   */
  readonly passiveChosenSince: boolean;
  /** Who was opened last, by the rows, or where one cannot be read by the board; null: nobody knows. */
  readonly lastOpened: Host | null;
  /** Why the active is not the server that the pair knew behind its address; null: it is, or nobody can tell. */
  readonly stranger: string | null;
  /** The same of the passive: the one that we knew may take writes elsewhere. */
  readonly passiveStranger: string | null;
  /** An operator asked for the change, and did not force it: it is a planned one, for which both hosts must answer. */
  readonly planned: boolean;
  /** The decision that the passive knew when this agent saw its row last; null: it answers, or was never seen. */
  readonly passiveKnew: number | null;
  readonly hook: 'none' | 'due' | 'running' | 'succeeded' | 'failed';
  /** What the board says of acknowledged commits, where the decision is for durability=lossless; null: it is for async. */
  readonly lossless: { readonly complete: Complete | null; readonly divergence: Divergence | null } | null;
}

/** The row knows a higher decision, or another one of the same number: whoever obeys a lower one would go back (S3). */
export function knowsHigher(row: HostRow | null, epoch: Epoch): boolean {
  if (row === null || row.epoch === null) return false;
  return row.epoch.number > epoch.number || (row.epoch.number === epoch.number && !isClaimed(row, epoch));
}

export function isClaimed(row: HostRow | null, epoch: Epoch): boolean {
  return row !== null && isSameEpoch(row.epoch, epoch);
}

/** It was opened by us in this life, under whatever decision: else somebody set read_only off by hand, or it started writable. */
export function wasOpenedInThisLife(row: HostRow | null, boot: Boot): boolean {
  return row?.opened?.startedSec === boot.startedSec;
}

/** It was claimed by a decision about other hosts: the server served in another pair, and what its row says of openings is of that time. */
export function isOfAnotherPair(row: HostRow | null, { active, passive }: Roles): boolean {
  const known = row?.epoch?.active;
  return known !== undefined && known !== active && known !== passive;
}

/** Whether the row can know of a higher decision of this pair: one that was never claimed, or by another pair, says nothing. */
export function bearsWitness(row: HostRow, roles: Roles): boolean {
  return row.epoch !== null && !isOfAnotherPair(row, roles);
}

/** Of two hosts the one that took writes last, by their rows; null: nobody was ever opened by us, or the rows do not say. */
export function lastOpened(
  one: { host: Host; evidence: Evidence },
  other: { host: Host; evidence: Evidence },
  lives: Board['lives'],
): Host | null {
  if (one.evidence.kind !== 'answered' || other.evidence.kind !== 'answered') return null;
  const roles = { active: one.host, passive: other.host };
  const [first, second] = [one, other].map(({ host, evidence }) => {
    if (evidence.kind !== 'answered') return 0;
    const { row, boot } = evidence.facts;
    const isOurs = !isOfAnotherPair(row, roles) && whyStranger(host, boot, lives.get(host)) === null;
    return isOurs ? (row?.opened?.number ?? 0) : 0;
  });
  if (first === undefined || second === undefined || first === second) return null;
  return first > second ? one.host : other.host;
}

/** A lease that is there and has run out: the server closes itself within a second, and nothing may renew it. */
export function isLeaseOut({ row }: Pick<Facts, 'row'>): boolean {
  return row !== null && row.lease.kind === 'finite' && row.lease.expiresAtMs <= row.nowMs;
}

/** Whether a host that does not answer may be passed over. */
export type SilentFence =
  | { readonly kind: 'fenced'; readonly why: string }
  | { readonly kind: 'run-hook' }
  | { readonly kind: 'wait'; readonly forMs: number; readonly why: string }
  /** The operator's policy says to go on without knowing. */
  | { readonly kind: 'promote'; readonly why: string }
  | { readonly kind: 'hold'; readonly why: string };

/** Asked when the host to be opened is claimed: from then on no renewal of the other one finds a witness [F3]. */
export function fenceSilent(guard: Guard, host: Host): SilentFence {
  if (guard.passiveDown) {
    return { kind: 'fenced', why: `nothing runs at ${host}, which is known to come up read only` };
  }
  if (guard.hook === 'succeeded') return { kind: 'fenced', why: `the fence hook says that ${host} takes no writes` };
  if (guard.hook === 'due') return { kind: 'run-hook' };
  if (guard.passiveArmed && !guard.unfenced && guard.claimedForMs !== null) {
    const leftMs = leaseWaitMs(guard.leaseMs) - guard.claimedForMs;
    return leftMs <= 0
      ? { kind: 'fenced', why: `the lease of ${host} is over` }
      : { kind: 'wait', forMs: leftMs, why: `the lease of ${host} is not over yet` };
  }
  if (guard.hook === 'running') return { kind: 'wait', forMs: 1_000, why: 'the fence hook has not ended yet' };
  const without = guard.unfenced
    ? `the pair is unfenced, so nobody knows whether ${host} takes writes`
    : `${host} was not armed when it was last heard of, so nobody knows whether it takes writes`;
  const failed = guard.hook === 'failed' ? '; the fence hook failed' : '';
  return guard.onUnreachable === 'promote'
    ? {
        kind: 'promote',
        why: `${without}${failed}; it is passed over all the same (on_unreachable=promote, or an operator forced it)`,
      }
    : { kind: 'hold', why: `${without}${failed}; on_unreachable=wait` };
}

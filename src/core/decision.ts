// What travels from identify to the agents and back: the decision on the board, and the report of what was done about it.

import type { Complete, Joining } from './complete.ts';
import type { Divergence } from './divergence.ts';
import type { Past } from './pacing.ts';
import { type Epoch, type EpochName, type Host, isOfDecision, type Roles } from './pair.ts';
import type { Pause, Request } from './request.ts';

/** Roles wanted, with their reasons. */
export interface Decision {
  readonly roles: Roles;
  readonly epoch: Epoch;
  /** Why, one sentence each. */
  readonly reasons: readonly string[];
  /** Unix milliseconds. */
  readonly atMs: number;
  readonly terms: Terms;
  /** What becomes of the board's flag in the same step; null: it stays. */
  readonly unfenced: boolean | null;
  /** The board was emptied or restored: what it says of the last writer is void, and is gone in the same step. */
  readonly anew?: true;
  /** The complete set on the board is of a time in which nobody kept it: it is gone in the same step. */
  readonly voidsComplete?: true;
}

/** What a decision says beside its roles. What is past is carried on by decisions that keep the active. */
export interface Terms extends Past {
  /** The operator said that the active is to be opened also without what it cannot apply or receive. */
  readonly force: boolean;
  /** The id of the operator's request that it answers; null: nobody asked. */
  readonly requestId: string | null;
  /** When the role goes back to the other host if the active was not opened by then, Unix milliseconds; null: the agents say when. */
  readonly backAtMs: number | null;
  /**
   * Which lease may be written under this epoch: nothing else permits an endless one [F6]. null: the pair is not guarded, no safety is on and
   * no row of ours stands on its servers.
   */
  readonly lease: 'finite' | 'endless' | null;
  /** What the agents keep: the policy's, unless a server has no semi-synchronous replication. */
  readonly durability: Durability;
  /**
   * The number of the last decision for the other host; null: there was none, or the board was written anew since. An active that was opened before
   * it may have been replaced by an opening of which nobody here has heard.
   */
  readonly otherNumber: number | null;
  /** Somebody may still have a lease of this length, which is more than the policy's: the operator made it shorter. null: nobody has. */
  readonly longestLeaseMs: number | null;
}

/** Those of a decision of which nothing is known, and of roles that a Perl identify wrote. */
export const NO_TERMS: Terms = {
  changedAtMs: null,
  preferred: null,
  force: false,
  requestId: null,
  backAtMs: null,
  lease: null,
  durability: 'async',
  otherNumber: null,
  longestLeaseMs: null,
};

/** What the agents noted of one host: the last thing that is known when it falls silent. */
export interface Life {
  /** `Boot.uuid` and `Boot.startedSec` of the server for which it was noted. */
  readonly uuid: string;
  readonly startedSec: number;
  /** It was read only before we opened it in this boot, so it is known to come up read only [F19]. */
  readonly cameUpReadOnly: boolean;
  /** Its lease was seen to be finite and its EVENT to tick at its last renewal [F17]; unknown is false. */
  readonly armed: boolean;
}

/** What the board holds about roles. `epoch` is null when a Perl identify wrote the roles, or nobody did. */
export interface Board {
  readonly roles: Roles | null;
  readonly epoch: Epoch | null;
  readonly report: Report | null;
  /** Who took writes last, as far as agents know, under whatever epoch: the only one that may be opened again without a drain. */
  readonly opened: Host | null;
  /** When the epoch was decided, Unix milliseconds; null without an epoch. */
  readonly decidedAtMs: number | null;
  /** Why it was decided so, one sentence each; empty when nobody knows. */
  readonly reasons: readonly string[];
  readonly terms: Terms;
  /** What stayed on a host that lost its role; null: nothing, or it is merged by now. It outlives the epoch. */
  readonly divergence: Divergence | null;
  /** What an operator asked for, answered or not. */
  readonly request: Request | null;
  readonly pause: Pause | null;
  /** The pair's lease is endless on purpose [F6]; null: unknown, which counts as true. Without a safety on it means nothing. */
  readonly unfenced: boolean | null;
  readonly lives: ReadonlyMap<Host, Life>;
  /** Which hosts hold every acknowledged commit (`durability=lossless`); null: unknown, which counts as none. */
  readonly complete: Complete | null;
  /** Who is about to be taken into that set. */
  readonly joining: Joining | null;
  /** What the contract's keys say (`mysql-U-mode`). With a safety on the agents write them, and only after the opening. */
  readonly announced: Roles | null;
}

/** What the agents made of a decision. Written by the agent that acted, read by identify and status. */
export interface Report {
  /** The epoch's number and id that it answers. */
  readonly epoch: EpochName;
  /** opened: the active takes writes. held: nothing was changed, `why` tells what is missing. failed: the change was begun and taken back. */
  readonly outcome: 'opened' | 'held' | 'failed';
  readonly host: Host;
  readonly why: string;
  readonly atMs: number;
  readonly agent: string;
  /** How long clients were kept from writing by this change, from before the fence to after the opening; null when nobody knows. */
  readonly noWriterMs: number | null;
}

/** What an agent answered to the very decision on the board; null: nothing yet. */
export function answerOf({ epoch, report }: Pick<Board, 'epoch' | 'report'>): Report | null {
  return report !== null && isOfDecision(report.epoch, epoch) ? report : null;
}

/** What the operator wants done when the protocol meets a choice; identify writes it to the board for the agents. */
export interface Policy {
  /** Seconds a drain may take before the host is opened without the rest; null: never open before all is applied. */
  readonly drainTimeoutSec: number | null;
  /** lease: a server closes itself when nobody renews its permission to be writable. */
  readonly fencing: 'none' | 'lease';
  readonly leaseMs: number;
  /** So many agents must be registered before the lease is armed [F15]. */
  readonly leaseAgents: number;
  /** What to do with a silent active that nobody knows to be fenced. */
  readonly onUnreachable: 'promote' | 'wait';
  /** An absolute path; null: none. */
  readonly fenceHook: string | null;
  /** lossless: a commit is acknowledged when both servers have it, or the board knows that one of them alone is complete. */
  readonly durability: Durability;
  /** What becomes of what stayed on a host that lost its role. hold: nothing flows from it before an operator has looked. */
  readonly onDivergence: 'merge' | 'hold';
}

export type Durability = 'async' | 'lossless';

/** It asks for something that only rows on the servers can give. */
export function isSafetyOn({ fencing, durability }: Pick<Policy, 'fencing' | 'durability'>): boolean {
  return fencing === 'lease' || durability === 'lossless';
}

/** Of a configuration without these keys: as the Perl did, less its known faults. */
export const NO_SAFETY: Policy = {
  drainTimeoutSec: null,
  fencing: 'none',
  leaseMs: 3_000,
  leaseAgents: 2,
  onUnreachable: 'promote',
  fenceHook: null,
  durability: 'async',
  onDivergence: 'merge',
};

// What travels from identify to the agents and back: the decision on the board, and the report of what was done about it.

import type { Epoch, Host, Roles } from './pair.ts';

/** Roles wanted, with their reasons. */
export interface Decision {
  readonly roles: Roles;
  readonly epoch: Epoch;
  /** Why, one sentence each. */
  readonly reasons: readonly string[];
  /** Unix milliseconds. */
  readonly atMs: number;
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
}

/** What the agents made of a decision. Written by the agent that acted, read by identify and status. */
export interface Report {
  /** The epoch's number and id that it answers. */
  readonly epoch: Pick<Epoch, 'number' | 'id'>;
  /** opened: the active takes writes. held: nothing was changed, `why` tells what is missing. failed: the change was begun and taken back. */
  readonly outcome: 'opened' | 'held' | 'failed';
  readonly host: Host;
  readonly why: string;
  readonly atMs: number;
  readonly agent: string;
}

/** What the operator wants done when the protocol meets a choice; identify writes it to the board for the agents. */
export interface Policy {
  /** Seconds a drain may take before the host is opened without the rest; null: never open before all is applied. */
  readonly drainTimeoutSec: number | null;
}

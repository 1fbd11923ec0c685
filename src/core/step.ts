// One idempotent act on one server, as core/reconcile.ts wants it and mysql/server.ts does it.

import type { NotDoneWhy, Opening } from './call.ts';
import type { Coordinates, Failure } from './observation.ts';
import type { Host } from './pair.ts';

export type Step = PlainStep | GuardedStep;

/** Steps that a server does by itself, without comparing calls. */
export type PlainStep =
  /** Blocks the matching accounts and kills their sessions. */
  | { readonly do: 'block'; readonly host: Host }
  /** Releases the matching accounts that are blocked. */
  | { readonly do: 'release'; readonly host: Host }
  /**
   * Kills the application's sessions (never an admin's), then sets every read-only flag, with deadlines. `endsWaits`: nobody will acknowledge
   * what waits there for an acknowledgement, so that is ended, whosesoever it is.
   */
  | { readonly do: 'close'; readonly host: Host; readonly endsWaits?: true }
  /** Starts the SQL thread alone. */
  | { readonly do: 'start-sql'; readonly host: Host }
  | { readonly do: 'stop-io'; readonly host: Host }
  | { readonly do: 'start-io'; readonly host: Host }
  /** START SLAVE: both threads. */
  | { readonly do: 'start-replication'; readonly host: Host }
  /** Waits (bounded, then the plan looks again) until what was received is applied. */
  | { readonly do: 'await-applied'; readonly host: Host }
  /** Waits (bounded) until this host has received the other's position. */
  | { readonly do: 'await-received'; readonly host: Host; readonly position: Coordinates; readonly gtid: string | null }
  /**
   * Lets clients write. Does nothing when it runs later than `deadlineServerTime` by the server's own clock (S3); nor, where the host was
   * `drained`, when it replicates again: another agent may have found the other host back (S4).
   */
  | { readonly do: 'open'; readonly host: Host; readonly deadlineServerTime: number; readonly drained: boolean };

/** Steps that only a pair with a safety on knows; the others go through comparing calls there (src/agent-hands.ts). */
export type GuardedStep =
  /** Puts the schema there. */
  | { readonly do: 'install'; readonly host: Host }
  /** Stores the decision's epoch. `unfenced`: what the row's flag becomes; null: it stays. */
  | { readonly do: 'claim'; readonly host: Host; readonly unfenced: boolean | null }
  /** Opens under the decision's epoch, after its witness: also a host that is open already, whose grant it renews. */
  | {
      readonly do: 'grant';
      readonly host: Host;
      readonly demand: Opening['demand'];
      readonly startedSec: number;
      /** Commits wait for an acknowledgement from the first one on. */
      readonly lossless: boolean;
    }
  /** The applier of a closed host waits for no acknowledgement. */
  | { readonly do: 'source-off'; readonly host: Host }
  /** Whether its I/O thread acknowledges what it receives, from its next start on. */
  | { readonly do: 'acknowledge'; readonly host: Host; readonly on: boolean }
  /** Runs the operator's program that makes sure of a silent host. */
  | { readonly do: 'hook'; readonly host: Host }
  /** Waits (bounded) until the lease of the silent host is over. */
  | { readonly do: 'await-lease'; readonly host: Host; readonly forMs: number }
  /** Sets the EVENT going that does not tick, where no renewal does it. */
  | { readonly do: 'rearm'; readonly host: Host }
  /** Clears the flag on the board: every row says that the lease is finite. */
  | { readonly do: 'clear-flag'; readonly host: Host };

const GUARDED: Readonly<Record<GuardedStep['do'], true>> = {
  install: true,
  claim: true,
  grant: true,
  'source-off': true,
  acknowledge: true,
  hook: true,
  'await-lease': true,
  rearm: true,
  'clear-flag': true,
};

export function isGuarded(step: Step): step is GuardedStep {
  return Object.hasOwn(GUARDED, step.do);
}

/** What came of a step. `did` is a clause for the log: "killed 3 sessions, set read_only". */
export type Applied =
  | { readonly kind: 'done'; readonly did: string }
  | { readonly kind: 'not-done'; readonly why: string; readonly code?: NotDoneWhy | 'refused' }
  | Failure;

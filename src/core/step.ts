// One idempotent act on one server, as core/reconcile.ts wants it and mysql/server.ts does it.

import type { Coordinates, Failure } from './observation.ts';
import type { Host } from './pair.ts';

export type Step =
  /** Blocks the matching accounts and kills their sessions. */
  | { readonly do: 'block'; readonly host: Host }
  /** Releases the matching accounts that are blocked. */
  | { readonly do: 'release'; readonly host: Host }
  /** Kills the application's sessions (never an admin's), then sets every read-only flag, with deadlines. */
  | { readonly do: 'close'; readonly host: Host }
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
  /** Lets clients write. Does nothing when it runs later than `deadlineServerTime` by the server's own clock (S3). */
  | { readonly do: 'open'; readonly host: Host; readonly deadlineServerTime: number };

/** What came of a step. `did` is a clause for the log: "killed 3 sessions, set read_only". */
export type Applied =
  | { readonly kind: 'done'; readonly did: string }
  | { readonly kind: 'not-done'; readonly why: string }
  | Failure;

// The comparing calls of one server, as whoever plans a change or holds a lease sees them. Each has a deadline and never throws.
// Comes from the agent's rounds; goes on to fence-connection.ts (the real one).

import type { Call, Called } from '../core/call.ts';
import type { HostRow } from '../core/host-row.ts';
import type { Failure } from '../core/observation.ts';
import type { Host } from '../core/pair.ts';

/**
 * unfinished: somebody else installs another version at this moment; again later. `lacks`: what could not be put there beside the schema,
 * which does without; null: nothing.
 */
export type Installed =
  | { readonly kind: 'done'; readonly changed: boolean; readonly row: HostRow; readonly lacks: string | null }
  | { readonly kind: 'unfinished' }
  | Failure;

/** none: nothing of ours is on the server, or the row is a copy of another server's. */
export type Looked =
  /** `uuid`: as `Boot.uuid`. */
  { readonly kind: 'row'; readonly row: HostRow; readonly uuid: string } | { readonly kind: 'none' } | Failure;

export interface Fence {
  readonly host: Host;
  /** Puts the schema there or brings it up to date, and loads the plugins of semi-synchronous replication, switched off. Looks first: it may be called at every new connection. */
  install(): Promise<Installed>;
  /** The row as it is: what a witness is asked for. Changes nothing. */
  look(): Promise<Looked>;
  /** A call whose answer did not come is a Failure, and may still run: the server compares when it does. */
  call(call: Call): Promise<Called>;
  close(): Promise<void>;
}

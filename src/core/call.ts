// A comparing call: one act on one server that the server itself allows only when no higher epoch is known there (S3).
// Wanted by the agent's plan, done by mysql/fence-connection.ts through the procedures of mysql/schema-calls.ts.

import { MmmError } from './errors.ts';
import type { HostRow } from './host-row.ts';
import type { Failure } from './observation.ts';
import type { Epoch } from './pair.ts';

export type Call =
  /** Stores the epoch, so that whoever acts on a lower one is refused. `unfenced`: what the row's flag becomes; null: stays. */
  | { readonly do: 'claim'; readonly epoch: Epoch; readonly unfenced: boolean | null }
  /**
   * Claims, then sets read_only and ends the lease. Tries again until `withinMs`: locks and long statements hold it up. `endsWaits`: commits
   * that hold it up, because they wait for an acknowledgement, are ended with their sessions, where the server tells nobody OK by that [F18].
   */
  | {
      readonly do: 'close';
      readonly epoch: Epoch;
      readonly killClients: boolean;
      readonly withinMs: number;
      readonly endsWaits?: true;
    }
  | Opening
  /** Moves the lease's end to `baseMs` + `leaseMs`, when it has not run out. Never opens. */
  | { readonly do: 'renew'; readonly epoch: Epoch; readonly baseMs: number; readonly leaseMs: number }
  /** `fromStandstill`: also when no replication thread runs. Only after a look that nothing received is lost by it [F2]. */
  | {
      readonly do: 'start-sql' | 'start-io' | 'start-replication';
      readonly epoch: Epoch;
      readonly fromStandstill: boolean;
    }
  | { readonly do: 'stop-io'; readonly epoch: Epoch }
  /** Ends the connections of everybody but administrators and replication. */
  | { readonly do: 'kill'; readonly epoch: Epoch }
  /**
   * Of an open host: stores the generation of the complete set, then makes commits wait for an acknowledgement, or lets them go without
   * one, which also lets go those that wait. Under a lower generation than the row's nothing is changed [F7].
   */
  | { readonly do: 'sync'; readonly epoch: Epoch; readonly generation: number; readonly on: boolean }
  /** Of a closed host: its own applier must not wait for an acknowledgement [F12]. On an open one it would acknowledge alone. */
  | { readonly do: 'source-off'; readonly epoch: Epoch }
  /** Whether this host's I/O thread acknowledges what it receives. Counts when that thread starts next. */
  | { readonly do: 'acknowledge'; readonly epoch: Epoch; readonly on: boolean };

/** Lets clients write under a claimed epoch; on a host that is open under it in this boot it only renews. */
export interface Opening {
  readonly do: 'open';
  readonly epoch: Epoch;
  /** The server's time as an answer told it before the witness was asked. The call is of no use later than this plus the lease. */
  readonly baseMs: number;
  readonly leaseMs: number;
  /** What the decision permits. */
  readonly lease: 'finite' | 'endless';
  /** The boot that was drained (`Boot.startedSec`): another one may have lost its relay log [F2]. */
  readonly startedSec: number;
  /**
   * What must be true at the first opening of an epoch on a closed host. drained: the I/O thread is stopped and the SQL thread has
   * come to the end of the relay log. io-stopped: the operator's policy skips the rest, or replication was never set up.
   */
  readonly demand: 'drained' | 'io-stopped';
  /** Commits wait for an acknowledgement from the first one on [F7]. A host that is writable already is left as it is. */
  readonly lossless: boolean;
}

/** Why a call was not done, as the procedures spell it. */
const NOT_DONE_WHYS = [
  'not-installed', // no schema, no procedures, or the row of another server: install
  'busy', // another call runs there
  'locked', // a lock that somebody holds is in the way (1205)
  'unclaimed', // the row's epoch is lower: from the top
  'rebooted',
  'late', // the grant had run out by the server's clock
  'unarmed', // the EVENT does not run; it was set going again
  'lease-out', // the lease ran out: it closes by itself, or is closed already
  'other-lease', // it is open under this very epoch with the other kind of lease
  'io-runs',
  'unapplied', // the SQL thread is not at the end of the relay log, or does not run
  'not-open', // it was not opened under this epoch in this boot
  'closed', // it was, and is read only now
  'standstill', // no replication thread runs, and the caller did not say that starting loses nothing
  'stale', // the row has a higher generation of the complete set
  'no-semi-sync', // the server has no semi-synchronous replication, or it does not stay switched on
  'open', // it is writable, and this is for a closed host alone
] as const;

export type NotDoneWhy = (typeof NOT_DONE_WHYS)[number];

/** The outcome of a procedure that is neither done nor refused. Throws for one that no version of ours tells. */
export function notDoneWhy(outcome: string): NotDoneWhy {
  const why = NOT_DONE_WHYS.find((known) => known === outcome);
  if (why === undefined) throw new MmmError('failed', `a comparing call answered ${outcome}`);
  return why;
}

/** What came of a call. refused: a higher epoch, or another decision of the same number, stands in `row`; nothing was changed. */
export type Called =
  | { readonly kind: 'done'; readonly did: string; readonly row: HostRow }
  | { readonly kind: 'refused'; readonly row: HostRow }
  /** `detail`, for people: what was done of it, and what stands in the way. */
  | { readonly kind: 'not-done'; readonly why: NotDoneWhy; readonly row: HostRow | null; readonly detail?: string }
  | Failure;

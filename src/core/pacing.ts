// When a change that nobody is in a hurry for has to wait, so that the role is not thrown to and fro.
// Asked by decide.ts for changes between two hosts that answer; the death of the active never waits.

import { type Host, otherHost, type Pair } from './pair.ts';

/** auto: as soon as it may. never: not by itself. A number: after the other host was caught up for so many seconds. */
export type Failback = 'auto' | 'never' | number;

/** `min_failover_interval` and `failback` of the pair's section. */
export interface Pacing {
  /** Seconds; 0: planned changes may follow each other at once. */
  readonly minFailoverIntervalSec: number;
  /** What the preference for the primary alone may do: where a rule keeps the active from being active, the rule counts. */
  readonly failback: Failback;
}

/** What earlier decisions left behind; it stands on the board, and so outlives an identify. */
export interface Past {
  /** When the active became the active, Unix milliseconds; null: nobody knows. */
  readonly changedAtMs: number | null;
  /** The host that an operator gave the role to, for as long as that counts; only ever the secondary. */
  readonly preferred: Host | null;
}

/** However good a host looks: it has looked so for this long before clients are sent to it without need, seconds. */
const STEADY_SEC = 5;

interface PlannedChange {
  readonly pair: Pick<Pair, 'primary' | 'secondary'>;
  readonly from: Host;
  readonly pacing: Pacing;
  readonly past: Past;
  /** Either host could be active, so that the preference for the primary alone asks for the change. */
  readonly tie: boolean;
  /** Since when the other host has been caught up without a break, by what this identify saw; null: it is not. */
  readonly caughtUpSinceMs: number | null;
  /** The other host is the one that takes writes already, so there is nothing to catch up with. */
  readonly swapped: boolean;
  /** Applications are connected to the other host and cannot write there: waiting keeps them from it. */
  readonly clientsWait: boolean;
  readonly nowMs: number;
}

/** keeps: not by itself. waits: later, and rounds that agree count meanwhile. */
export interface Brake {
  readonly kind: 'keeps' | 'waits';
  /** Completes "A stays active, ..." and "B is to be active: ...". */
  readonly why: string;
}

/** What speaks against the change now; null: nothing. */
export function brake(change: PlannedChange): Brake | null {
  const { pair, from, pacing, past, tie, caughtUpSinceMs, nowMs } = change;
  if (past.preferred === from) {
    return {
      kind: 'keeps',
      why: `held: an operator switched over to it, which holds until the next failover or switchover`,
    };
  }
  if (tie && pacing.failback === 'never') return { kind: 'keeps', why: 'held: failback=never' };
  const sinceChangeMs = change.clientsWait ? null : sinceLastChange(past, nowMs);
  if (sinceChangeMs !== null && sinceChangeMs < pacing.minFailoverIntervalSec * 1000) {
    const why = `waits: the role changed ${inSec(sinceChangeMs)} s ago, and min_failover_interval is ${pacing.minFailoverIntervalSec} s`;
    return { kind: 'waits', why };
  }
  if (change.swapped) return null;
  const wantedSec = Math.max(STEADY_SEC, tie && typeof pacing.failback === 'number' ? pacing.failback : 0);
  const steadyMs = caughtUpSinceMs === null ? 0 : nowMs - caughtUpSinceMs;
  if (steadyMs < wantedSec * 1000) {
    const why = `waits: ${otherHost(pair, from)} has been caught up for ${inSec(steadyMs)} s, and must have been for ${wantedSec} s`;
    return { kind: 'waits', why };
  }
  return null;
}

/** A failover that cannot wait although the role changed a moment ago: worth a loud line; null when it is none. */
export function hasty({ minFailoverIntervalSec }: Pacing, past: Past, nowMs: number): string | null {
  const sinceChangeMs = sinceLastChange(past, nowMs);
  if (sinceChangeMs === null || sinceChangeMs >= minFailoverIntervalSec * 1000) return null;
  return `THE SECOND CHANGE WITHIN ${minFailoverIntervalSec} s (min_failover_interval): the last one was ${inSec(sinceChangeMs)} s ago; it does not wait, because clients cannot write`;
}

/** Since when a host has been caught up: as before while it goes on, from now on when it begins. */
export function caughtUpSince(beforeMs: number | null, caughtUp: boolean, nowMs: number): number | null {
  if (!caughtUp) return null;
  // A clock that jumped back must not make the past longer than it is known.
  return beforeMs === null || beforeMs > nowMs ? nowMs : beforeMs;
}

/** A date in the future is another machine's clock that is ahead, or ours that jumped back: the distance counts, either way. */
function sinceLastChange({ changedAtMs }: Past, nowMs: number): number | null {
  return changedAtMs === null ? null : Math.abs(nowMs - changedAtMs);
}

function inSec(ms: number): number {
  return Math.floor(ms / 1000);
}

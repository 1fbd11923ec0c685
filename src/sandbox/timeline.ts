// What happened when: the daemons' own log lines, in the order of their times, since the moment the active was killed.
// Comes from run.ts, which adds what it saw itself.

import type { DaemonLine } from './daemons.ts';

export interface Moment {
  /** Milliseconds since the active was killed. */
  readonly afterMs: number;
  readonly who: string;
  readonly what: string;
}

/** The events of a failover that a daemon tells of; all else in its log is of no interest here. */
const EVENTS: ReadonlySet<unknown> = new Set([
  'observed',
  'decided',
  'blocked',
  'released',
  'claimed',
  'fenced',
  'fencing',
  'draining',
  'received',
  'drained',
  'opened',
  'announced',
  'armed',
  'healed',
  'failed',
  'held',
  'not-done',
]);

/** `sinceWallMs` is the time of the killing by the clock that the daemons write into their lines. */
export function momentsOf(who: string, lines: readonly DaemonLine[], sinceWallMs: number): readonly Moment[] {
  return lines
    .filter((line) => EVENTS.has(line['event']))
    .map(({ time, message }) => ({ afterMs: Date.parse(time) - sinceWallMs, who, what: message }))
    .filter(({ afterMs }) => afterMs >= 0);
}

/** One line for each moment up to `untilMs`, oldest first. `names` puts a short name in the place of an address. */
export function timelineText(moments: readonly Moment[], untilMs: number, names: ReadonlyMap<string, string>): string {
  const lines = moments
    .filter(({ afterMs }) => afterMs <= untilMs)
    .toSorted((one, other) => one.afterMs - other.afterMs)
    .map(({ afterMs, who, what }) => {
      let text = what;
      for (const [address, name] of names) text = text.replaceAll(address, name);
      return `  ${`+${Math.round(afterMs)}`.padStart(7)} ms  ${who.padEnd(9)}${text}`;
    });
  return lines.join('\n');
}

// A lasting trouble is told when it begins, at growing gaps while it lasts, and when it ends.
// Comes from ops/supervise.ts and from whoever else meets the same trouble again and again.

import type { Log, LogFields } from '../core/log.ts';
import type { Clock } from './clock.ts';

const MINUTE_MS = 60_000;

/** How long a trouble stays untold after it was told for the first, second, ... time; the last one repeats. */
const GAPS_MS: readonly number[] = [MINUTE_MS, 5 * MINUTE_MS, 15 * MINUTE_MS, 60 * MINUTE_MS];

/** A trouble that comes back within this time is the same one, flapping. */
const FLAP_MS = MINUTE_MS;

/** A flapping trouble is told as a new one this often, then only at the gaps. */
const FLAPS_TOLD = 3;

/** Different texts of one trouble that are told between two gaps; a text that never repeats must not become a flood. */
const TEXTS_TOLD = 5;

interface Trouble {
  text: string;
  /** Texts told since the last gap. */
  readonly told: Set<string>;
  readonly sinceMs: number;
  /** How often the gaps told it. */
  gaps: number;
  nextMs: number;
  /** null while it lasts. */
  endedMs: number | null;
  /** How often it came back within FLAP_MS. */
  flaps: number;
  /** A line about this appearance of it was written, so its end is worth one too. */
  spoken: boolean;
}

export class Troubles {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #troubles = new Map<string, Trouble>();

  constructor({ clock, log }: { clock: Clock; log: Log }) {
    this.#clock = clock;
    this.#log = log;
  }

  /**
   * Says that a trouble is there. Returns whether a line was written, for a caller that has more to add.
   * A text that differs from those told so far is told at once: it is news.
   */
  raise(key: string, text: string, { level = 'error', fields }: RaiseOptions = {}): boolean {
    const nowMs = this.#clock.monotonic();
    const line = this.#raise(key, text, nowMs);
    if (line !== null) this.#log[level](line, fields);
    return line !== null;
  }

  /** Says that it is over: one line, if its beginning was told. Costs nothing when there is no trouble. */
  clear(key: string, fields?: LogFields): void {
    const trouble = this.#troubles.get(key);
    if (trouble === undefined || trouble.endedMs !== null) return;
    trouble.endedMs = this.#clock.monotonic();
    if (!trouble.spoken) return;
    this.#log.info(`over after ${duration(trouble.endedMs - trouble.sinceMs)}: ${trouble.text}`, fields);
  }

  #raise(key: string, text: string, nowMs: number): string | null {
    const known = this.#recent(key, nowMs);
    if (known === undefined) {
      this.#troubles.set(key, begin(text, nowMs, 0));
      return text;
    }
    if (known.endedMs !== null && known.flaps < FLAPS_TOLD) {
      this.#troubles.set(key, begin(text, nowMs, known.flaps + 1));
      return text;
    }
    if (known.endedMs !== null) {
      // It flaps: from here on it is one trouble with pauses.
      known.endedMs = null;
      known.flaps += 1;
      known.spoken = false;
    }
    known.text = text;
    if (nowMs >= known.nextMs) {
      known.gaps += 1;
      known.nextMs = nowMs + gapMs(known.gaps);
      known.told.clear();
      known.told.add(text);
      known.spoken = true;
      const often = known.flaps > FLAPS_TOLD ? `, came and went ${known.flaps} times` : '';
      return `${text} (for ${duration(nowMs - known.sinceMs)} now${often})`;
    }
    if (known.told.has(text) || known.told.size >= TEXTS_TOLD || known.flaps > FLAPS_TOLD) return null;
    known.told.add(text);
    return text;
  }

  /** The trouble of that name, unless it ended so long ago that it is forgotten. */
  #recent(key: string, nowMs: number): Trouble | undefined {
    const trouble = this.#troubles.get(key);
    if (trouble?.endedMs != null && nowMs - trouble.endedMs > FLAP_MS) {
      this.#troubles.delete(key);
      return undefined;
    }
    return trouble;
  }
}

export interface RaiseOptions {
  /** error: a person must act. */
  readonly level?: 'error' | 'warn';
  readonly fields?: LogFields;
}

function begin(text: string, nowMs: number, flaps: number): Trouble {
  return {
    text,
    told: new Set([text]),
    sinceMs: nowMs,
    gaps: 0,
    nextMs: nowMs + gapMs(0),
    endedMs: null,
    flaps,
    spoken: true,
  };
}

function gapMs(told: number): number {
  return GAPS_MS[Math.min(told, GAPS_MS.length - 1)] ?? MINUTE_MS;
}

/** `850 ms`, `12 s`, `3 min 5 s`, `2 h 10 min`: as a person would say it. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const sec = Math.floor(ms / 1000);
  if (sec < 60) return `${sec} s`;
  const min = Math.floor(sec / 60);
  if (min < 60) return sec % 60 === 0 ? `${min} min` : `${min} min ${sec % 60} s`;
  const hours = Math.floor(min / 60);
  return min % 60 === 0 ? `${hours} h` : `${hours} h ${min % 60} min`;
}

// Between two rounds of the monitor: asks the host that takes writes for a word, some times a second, and starts the next round at once when
// none comes. It judges nothing: a round begins when a host falls silent instead of up to an interval later, but looks as often and waits as
// long as ever. Told by src/monitor.ts whom to ask; asks through mysql/server.ts `pulse`; wakes ops/supervise.ts.

import type { Server } from './mysql/server.ts';
import type { Clock } from './ops/clock.ts';

/** How often a host is asked. A question of five bytes, so that many pairs cost little. */
const PULSE_MS = 200;
/** No answer is late before that. On a slow network it is given the time of a whole look, which asks several questions, but not longer than the last of these. */
const SOONEST_LATE_MS = 50;
const LATEST_LATE_MS = 250;

type Asked = Pick<Server, 'pulse'>;

interface Watch {
  readonly servers: readonly Asked[];
  readonly withinMs: number;
}

export interface PulseParts {
  readonly clock: Clock;
  /** Starts the monitor's next round early. */
  readonly wake: () => void;
}

export class Pulse {
  readonly #parts: PulseParts;
  /** null: a round is under way, or nobody is to be asked. */
  #watch: Watch | null = null;
  /** The round under way, or about to begin, was started from here. */
  #alarmed = false;
  /** How long was waited in vain lately. */
  #patienceMs = 0;

  constructor(parts: PulseParts) {
    this.#parts = parts;
  }

  /** A round begins, and looks for itself. True: it was started from here, and is not due yet. */
  rest(): boolean {
    this.#watch = null;
    return this.#alarmed;
  }

  /**
   * The round is over: from now on these are asked, whose last looks took so long. An answer that came after all was worth the waiting, so
   * a round that began for nothing doubles the patience, and one that was due halves it: a host that is always slow must not be looked at
   * all the time.
   */
  watch(hosts: readonly { readonly server: Asked; readonly tookMs: number }[]): void {
    this.#patienceMs *= this.#alarmed ? 2 : 0.5;
    this.#alarmed = false;
    const lookMs = Math.max(0, ...hosts.map(({ tookMs }) => tookMs));
    const withinMs = Math.max(SOONEST_LATE_MS, Math.min(lookMs, LATEST_LATE_MS), this.#patienceMs);
    this.#watch = hosts.length === 0 ? null : { servers: hosts.map(({ server }) => server), withinMs };
  }

  /** Resolves when `stop` has aborted. Never rejects. */
  async run(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      await this.#parts.clock.sleep(PULSE_MS, stop);
      const watch = this.#watch;
      if (watch === null) continue;
      const answers = await Promise.all(watch.servers.map((server) => server.pulse(watch.withinMs)));
      // A round that began meanwhile has asked the same.
      if (stop.aborted || this.#watch !== watch || answers.every((answered) => answered)) continue;
      this.#watch = null;
      this.#alarmed = true;
      this.#patienceMs = watch.withinMs;
      this.#parts.wake();
    }
  }
}

// A simulated daemon process: its code is real, its time and its input come through here. It may crash (nothing of it ever runs again),
// or be frozen: then what reaches it waits, and it goes on later with what it knew before.

import type { Clock } from '../../src/ops/clock.ts';
import type { Chance } from './chance.ts';
import type { Timeline } from './timeline.ts';

/** From one start to the next crash. */
export interface Life {
  readonly name: string;
  readonly clock: Clock;
  readonly chance: Chance;
  /** Somebody stops it cleanly: what it does then, it does by itself. */
  readonly stop: AbortSignal;
  /** Calls back in `ms`; the returned function cancels it. */
  after(ms: number, act: () => void): () => void;
  /** Something from outside reaches this life: at once, after a freeze, or never. */
  deliver(act: () => void): void;
}

interface Held {
  readonly kind: 'timer' | 'io';
  readonly act: () => void;
}

interface ProcessParts {
  readonly name: string;
  readonly timeline: Timeline;
  readonly chance: Chance;
  readonly wallMs: () => number;
  /** What runs in it; resolves when it was stopped and has ended. */
  readonly main: (life: Life) => Promise<void>;
}

export class Process {
  readonly name: string;
  state: 'up' | 'frozen' | 'down' = 'down';
  /** Somebody set this machine's clock. */
  wallJumpMs = 0;
  /** When it last began to run, after a start or a freeze. */
  runningSinceMs = 0;
  startedMs = 0;
  readonly #parts: ProcessParts;
  #life = 0;
  #stop = new AbortController();
  #held: Held[] = [];

  constructor(parts: ProcessParts) {
    this.name = parts.name;
    this.#parts = parts;
  }

  start(): void {
    if (this.state !== 'down') return;
    this.#life += 1;
    this.state = 'up';
    this.runningSinceMs = this.#parts.timeline.nowMs;
    this.startedMs = this.runningSinceMs;
    this.#stop = new AbortController();
    const life = this.#life;
    void this.#parts.main(this.#newLife(life)).then(() => {
      if (life === this.#life) this.crash();
    });
    this.#parts.timeline.stir();
  }

  /** TERM. It ends when it has done what it does then; a frozen one hears it when it is thawed. */
  stop(): void {
    if (this.state === 'down') return;
    const stop = this.#stop;
    this.#deliver(this.#life, { kind: 'io', act: () => stop.abort() });
  }

  /** kill -9. */
  crash(): void {
    this.state = 'down';
    this.#life += 1;
    this.#held = [];
  }

  freeze(): void {
    if (this.state === 'up') this.state = 'frozen';
  }

  /** Timers come first and then what the network brought, as in Node's event loop. */
  thaw(): void {
    if (this.state !== 'frozen') return;
    const { timeline } = this.#parts;
    this.state = 'up';
    this.runningSinceMs = timeline.nowMs;
    const held = this.#held;
    this.#held = [];
    const life = this.#life;
    for (const kind of ['timer', 'io'] as const) {
      for (const item of held) if (item.kind === kind) timeline.after(0, () => this.#deliver(life, item));
    }
  }

  #newLife(number: number): Life {
    const { name, timeline, chance, wallMs } = this.#parts;
    const after = (ms: number, act: () => void) =>
      timeline.after(ms, () => this.#deliver(number, { kind: 'timer', act }));
    const clock: Clock = {
      wall: () => wallMs() + this.wallJumpMs,
      monotonic: () => timeline.nowMs,
      sleep: (ms, signal) =>
        new Promise((resolve) => {
          if (signal?.aborted) {
            resolve();
            return;
          }
          const end = () => {
            cancel();
            signal?.removeEventListener('abort', end);
            resolve();
          };
          const cancel = after(ms, end);
          signal?.addEventListener('abort', end);
        }),
    };
    return {
      name,
      clock,
      chance: chance.stream(`life ${number}`),
      stop: this.#stop.signal,
      after,
      deliver: (act) => this.#deliver(number, { kind: 'io', act }),
    };
  }

  #deliver(life: number, item: Held): void {
    if (life !== this.#life) return;
    if (this.state === 'frozen') {
      this.#held.push(item);
      return;
    }
    item.act();
    this.#parts.timeline.stir();
  }
}

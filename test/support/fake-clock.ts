// A clock that stands still until a test moves it, so that hours pass in milliseconds and always in the same order.

import type { Clock, Random } from '../../src/ops/clock.ts';

interface Sleeper {
  readonly atMs: number;
  readonly order: number;
  readonly end: () => void;
}

export class FakeClock implements Clock {
  #nowMs = 0;
  #wallOffsetMs: number;
  #order = 0;
  readonly #sleepers = new Set<Sleeper>();

  constructor(wallMs = Date.UTC(2026, 0, 1)) {
    this.#wallOffsetMs = wallMs;
  }

  wall(): number {
    return this.#nowMs + this.#wallOffsetMs;
  }

  monotonic(): number {
    return this.#nowMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) {
        resolve();
        return;
      }
      const end = () => {
        this.#sleepers.delete(sleeper);
        signal?.removeEventListener('abort', end);
        resolve();
      };
      this.#order += 1;
      const sleeper = { atMs: this.#nowMs + Math.max(ms, 0), order: this.#order, end };
      this.#sleepers.add(sleeper);
      signal?.addEventListener('abort', end);
    });
  }

  /** How many sleeps are under way: what a test looks at to see that nothing was left behind. */
  get sleeping(): number {
    return this.#sleepers.size;
  }

  /** Moves time on, waking each sleeper at its own moment and letting what it starts settle before the next. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await settle();
    for (let next = this.#next(); next !== undefined && next.atMs <= untilMs; next = this.#next()) {
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.end();
      await settle();
    }
    this.#nowMs = untilMs;
    await settle();
  }

  /** The process was frozen: time passed and nothing ran. */
  async freeze(ms: number): Promise<void> {
    this.#nowMs += ms;
    await this.advance(0);
  }

  /** Somebody set the wall clock. */
  jumpWall(ms: number): void {
    this.#wallOffsetMs += ms;
  }

  #next(): Sleeper | undefined {
    let next: Sleeper | undefined;
    for (const sleeper of this.#sleepers) {
      if (
        next === undefined ||
        sleeper.atMs < next.atMs ||
        (sleeper.atMs === next.atMs && sleeper.order < next.order)
      ) {
        next = sleeper;
      }
    }
    return next;
  }
}

/** Lets every promise that can settle do so: a turn of the event loop comes after all of them. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Chance with one face: always `value`, and ids that count. */
export function fakeRandom(value = 0.5): Random {
  let ids = 0;
  return {
    next: () => value,
    id: () => {
      ids += 1;
      return ids.toString(16).padStart(32, '0');
    },
  };
}

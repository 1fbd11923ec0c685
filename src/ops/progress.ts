// Which loops of this process are overdue. Fed by ops/supervise.ts, read by ops/systemd.ts before it pets the watchdog.

import type { Clock } from './clock.ts';

/** Beyond what a loop said it needs: a busy machine is not a hung loop. */
const SLACK_MS = 5_000;

export class Progress {
  readonly #clock: Clock;
  readonly #dueMs = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The loop lives, and will show it again within `withinMs`. */
  expect(name: string, withinMs: number): void {
    this.#dueMs.set(name, this.#clock.monotonic() + withinMs);
  }

  /** The loop has ended in good order. */
  ended(name: string): void {
    this.#dueMs.delete(name);
  }

  /** Names of the loops that have not shown themselves in time. */
  overdue(): readonly string[] {
    const nowMs = this.#clock.monotonic();
    return [...this.#dueMs].filter(([, dueMs]) => nowMs > dueMs + SLACK_MS).map(([name]) => name);
  }
}

// Time and chance as values handed in, so that the simulator can own them; the system's own are at the end.

import { randomUUID } from 'node:crypto';

export interface Clock {
  /** Unix milliseconds; may jump. For dates that travel. */
  wall(): number;
  /** Milliseconds that never go back. For every interval. */
  monotonic(): number;
  /** Resolves after `ms`, or at once when the signal aborts (it never rejects). */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export interface Random {
  /** A number in [0, 1). */
  next(): number;
  /** A fresh id: 32 lowercase hex digits. */
  id(): string;
}

/** Beyond this Node's timers overflow and fire at once; nothing here sleeps for 24 days in earnest. */
const LONGEST_SLEEP_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  wall: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) {
        resolve();
        return;
      }
      // The listener is taken off again: a signal that lives as long as the daemon must not collect one per sleep.
      const end = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', end);
        resolve();
      };
      const timer = setTimeout(end, Math.min(Math.max(ms, 0), LONGEST_SLEEP_MS));
      signal?.addEventListener('abort', end);
    }),
};

export const systemRandom: Random = {
  next: () => Math.random(),
  id: () => randomUUID().replaceAll('-', ''),
};

// Time and chance as values handed in, so that the simulator can own them. The system's are in ops/clock.ts.

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

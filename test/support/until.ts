// Waiting in tests: for a condition, never for a time.

import { setTimeout as sleep } from 'node:timers/promises';

const PAUSE_MS = 10;

/** Looks again and again; throws when the condition does not come about in time. */
export async function until(what: string, check: () => boolean | Promise<boolean>, withinMs = 20_000): Promise<void> {
  const deadlineMs = performance.now() + withinMs;
  while (!(await check())) {
    if (performance.now() > deadlineMs) throw new Error(`${what} did not happen within ${withinMs} ms`);
    await sleep(PAUSE_MS);
  }
}

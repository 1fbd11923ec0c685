// The board for commands that ask it once and end, and the name of the person who does.
// Comes from the operator's commands and `mmm status`; goes on to src/store/redis.ts.

import { hostname, userInfo } from 'node:os';
import type { RedisConfig } from '../src/core/config.ts';
import { openRedisStore } from '../src/store/redis.ts';
import type { Store } from '../src/store/store.ts';

export async function withBoard<T>(redis: RedisConfig, work: (store: Store) => Promise<T>): Promise<T> {
  const store = openRedisStore({
    ...redis,
    // A store that cannot be used fails the first question, which says why.
    onState: () => {},
    onGarbage: (key, why) => process.stderr.write(`mmm: ${key} is ignored: ${why}\n`),
  });
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

/** Who gives the command: behind sudo the person, not root. */
export function whoAsks(): string {
  return `${process.env['SUDO_USER'] ?? userName()}@${hostname()}`;
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A uid without an entry, as in containers.
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}

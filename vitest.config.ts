import { defineConfig } from 'vitest/config';

const NEEDS_SERVERS = ['test/servers/**/*.test.ts', 'test/**/*.real.test.ts'];
const NEEDS_NETWORK = ['test/faults/**/*.faults.test.ts'];

// unit: needs nothing but Node. servers: starts real MariaDB, MySQL, Redis, HAProxy on free loopback ports. faults: the same in network
// namespaces, as root; says so and skips where there can be none.
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: [...NEEDS_SERVERS, ...NEEDS_NETWORK],
        },
      },
      {
        test: {
          name: 'servers',
          include: NEEDS_SERVERS,
          testTimeout: 120_000,
          hookTimeout: 120_000,
          // Two cores: more pairs at once would measure the machine, not mmm.
          maxWorkers: 2,
        },
      },
      {
        test: {
          name: 'faults',
          include: NEEDS_NETWORK,
          testTimeout: 240_000,
          hookTimeout: 240_000,
          // One pair after the other: its times are what is judged.
          fileParallelism: false,
          maxWorkers: 1,
        },
      },
    ],
  },
});

import { defineConfig } from 'vitest/config';

const NEEDS_SERVERS = ['test/servers/**/*.test.ts', 'test/**/*.real.test.ts'];

// unit: needs nothing but Node. servers: starts real MariaDB, MySQL, Redis, HAProxy on free loopback ports.
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: NEEDS_SERVERS,
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
    ],
  },
});

import { defineConfig } from 'vitest/config';

// unit: needs nothing but Node. servers: starts real MariaDB, MySQL, Redis, HAProxy on free loopback ports.
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/{core,store,ops,mysql,commands,sandbox}/**/*.test.ts'],
          exclude: ['**/*.real.test.ts'],
        },
      },
      {
        test: {
          name: 'servers',
          include: ['test/servers/**/*.test.ts', 'test/**/*.real.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          // Two cores: more pairs at once would measure the machine, not mmm.
          maxWorkers: 2,
        },
      },
    ],
  },
});

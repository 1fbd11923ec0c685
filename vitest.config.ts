import { readFileSync } from 'node:fs';
import { defineConfig } from 'vitest/config';
import { MUTANTS, mutated } from './test/simulation/mutants.mjs';

const NEEDS_SERVERS = ['test/servers/**/*.test.ts', 'test/**/*.real.test.ts'];
const NEEDS_NETWORK = ['test/faults/**/*.faults.test.ts'];

/** `npm run mutants` runs tests on real servers with one thing in the code changed. */
const mutant = MUTANTS.find(({ name }) => name === process.env['MMM_MUTANT']) ?? null;
const plugins =
  mutant === null
    ? []
    : [
        {
          name: 'mutate',
          load: (path: string) => (path.endsWith('.ts') ? mutated(mutant, path, readFileSync(path, 'utf8')) : null),
        },
      ];

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
        plugins,
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

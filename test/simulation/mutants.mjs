// Do the checkers bite? Each mutant is the code under test with one thing that keeps a promise taken out, in a bundle of its own (the
// files stay as they are). It must go red for some seed. `npm run sim -- --mutants`; the tests run the quick ones.

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const SEEDS = 3_000;
const SRC = resolve(import.meta.dirname, '../../src');

export const MUTANTS = [
  {
    name: 'open before fence',
    quick: true,
    file: 'core/reconcile.ts',
    from: 'return fence(situation, passive, `$' + '{roles.active} is to be the active`);',
    to: "return open(situation, active, 'mutant');",
  },
  {
    name: 'stop-io before start-sql',
    quick: true,
    file: 'core/reconcile.ts',
    from: "if (replication.sql === 'No') return startSql(situation);\n  if (replication.io !== 'No') {",
    to: "if (replication.io !== 'No') {",
  },
  {
    name: 'open without a drain',
    quick: true,
    file: 'core/reconcile.ts',
    from: "if (!isApplied(active)) return step({ do: 'await-applied', host: roles.active }, why);",
    to: '',
  },
  {
    name: 'open without what the other one holds',
    file: 'core/reconcile.ts',
    from: 'if (hasEverything(active, passive)) {',
    to: 'if (hasEverything(active, passive) || active.serverId > 0) {',
  },
  {
    name: 'no look at the board before a step',
    file: 'agent.ts',
    from: 'if (present === null || keyOf(present.board) !== key) return { nextMs: 0 };',
    to: 'if (present === null) return { nextMs: 0 };',
  },
  {
    name: 'the agent alone calls the other host gone',
    file: 'core/reconcile.ts',
    from: 'if (!situation.passiveGone) {',
    to: 'if (!situation.passiveGone && situation.roles.active === situation.roles.passive) {',
  },
  {
    name: 'whoever is wanted counts as the last writer',
    quick: true,
    file: 'agent.ts',
    from: 'incumbent: work.wasOpen || board.opened === roles.active,',
    to: 'incumbent: true,',
  },
  {
    name: 'a second writer is left open',
    quick: true,
    file: 'core/reconcile.ts',
    from: 'return fence(situation, passive.facts, `$' + '{roles.active} is the active and open`);',
    to: "return { kind: 'settled' };",
  },
  {
    name: 'an opening that comes late opens all the same',
    file: 'core/reconcile.ts',
    from: 'const deadlineServerTime = active.serverTime + situation.openWithinSec;',
    to: 'const deadlineServerTime = active.serverTime + 1e6;',
  },
  {
    name: 'a restart that no agent saw is not mended',
    file: 'core/reconcile.ts',
    from: "return io === 'No' && sourceServerId === 0;",
    to: "return io === 'No' && sourceServerId < 0;",
  },
];

/** The runner of a bundle in which one thing is different; null: as it is. */
export async function runnerWith(mutant) {
  const folder = await mkdtemp(join(tmpdir(), 'mmm-mutant-'));
  const outfile = join(folder, 'run.mjs');
  let found = mutant === null;
  const mutate = {
    name: 'mutate',
    setup: (bundler) => {
      bundler.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
        if (mutant === null || path !== join(SRC, mutant.file)) return null;
        const text = await readFile(path, 'utf8');
        if (text.split(mutant.from).length !== 2) throw new Error(`${mutant.name}: the text is not there once`);
        found = true;
        return { contents: text.replace(mutant.from, () => mutant.to), loader: 'ts' };
      });
    },
  };
  try {
    await build({
      entryPoints: [join(import.meta.dirname, 'run.ts')],
      outfile,
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node20',
      logLevel: 'error',
      plugins: [mutate],
    });
    if (!found) throw new Error(`${mutant.name}: ${mutant.file} is not part of the bundle`);
    const { runSeed } = await import(pathToFileURL(outfile).href);
    return runSeed;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The first of these seeds for which it goes red. */
export async function firstRed(mutant, from, count) {
  const runSeed = await runnerWith(mutant);
  for (let seed = from; seed < from + count; seed++) {
    const { violations } = await runSeed(String(seed));
    if (violations.length > 0) return { seed, ...violations[0] };
  }
  return null;
}

/** `npm run sim -- --mutants [NAME...]`: all of them, or those named. */
export async function main(names) {
  const chosen = MUTANTS.filter(({ name }) => names.length === 0 || names.includes(name));
  let survivors = 0;
  for (const mutant of chosen) {
    const red = await firstRed(mutant, 1, SEEDS);
    if (red === null) survivors += 1;
    console.log(
      `${mutant.name}: ${red === null ? `SURVIVES ${SEEDS} seeds` : `seed ${red.seed}: ${red.promise}: ${red.what}`}`,
    );
  }
  return survivors === 0 && chosen.length > 0 ? 0 : 1;
}

// `npm run test:faults`: every line of the table many times, with its figures as JSON and as a table to read, in bench/results/.
// Comes from faults.mjs, which bundles it; runs.ts runs the trials, figures.ts sums them up.

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { serverProgram } from '../../src/sandbox/template.ts';
import { figuresOf, tableOf } from './figures.ts';
import { LINES } from './lines.ts';
import { whyNoNetwork } from './network.ts';
import type { RigOptions } from './rig.ts';
import { type Run, Runs, variantsOf } from './runs.ts';

const USAGE = `npm run test:faults -- [--times 20] [--fencing lease|none] [--kind mariadb|mysql56] [--only EXPRESSION] [--short] [--out DIR] [--list]
  --times N   how often each variant of each line runs (200 for the switchover, unless --only or --short is given)
  --only EXPRESSION lines and variants whose name matches (--list shows them)
  --short     the variants that npm test runs`;

const SWITCHOVERS = 200;

export async function main(args: readonly string[], root: string): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      times: { type: 'string', default: '20' },
      fencing: { type: 'string', default: 'lease' },
      kind: { type: 'string', default: 'mariadb' },
      only: { type: 'string', default: '' },
      short: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      out: { type: 'string', default: join(root, 'bench', 'results') },
      help: { type: 'boolean', default: false },
    },
  });
  const { kind, fencing, only, short } = values;
  const times = Number(values.times);
  const isKind = kind === 'mariadb' || kind === 'mysql56';
  const isFencing = fencing === 'none' || fencing === 'lease';
  if (values.help || !isKind || !isFencing || !Number.isInteger(times) || times < 1) {
    console.log(USAGE);
    return values.help ? 0 : 2;
  }
  const pattern = new RegExp(only);
  const options: RigOptions = { kind, fencing };
  const wanted = LINES.flatMap((line) =>
    variantsOf(line, options, short)
      .filter(({ name }) => pattern.test(`${line.name}: ${name}`))
      .map((variant) => ({ line, variant })),
  );
  if (values.list) {
    for (const { line, variant } of wanted) console.log(`${line.name}: ${variant.name}`);
    return 0;
  }
  const why = whyNoNetwork();
  if (why !== null) {
    console.error(`the fault suite cannot run here: ${why}`);
    return 1;
  }
  const began = new Date();
  const runs = new Runs(options);
  const done: Run[] = [];
  const { version } = await serverProgram(kind);
  const commit = await commitOf(root);
  const about = () => ({
    date: began.toISOString(),
    minutes: Math.round((Date.now() - began.getTime()) / 60_000),
    cores: cpus().length,
    // Of the last five minutes, by our own two servers and by whoever else works here.
    load: (loadavg()[1] ?? 0).toFixed(1),
    processor: cpus()[0]?.model ?? 'unknown',
    node: process.version,
    server: version,
    kind,
    fencing,
    times,
    commit,
  });
  const name = `faults-${kind}-${fencing}-${began.toISOString().slice(0, 16).replace(/[-:]/g, '').replace('T', '-')}`;
  // After every trial: a run of hours that is interrupted has told what it found.
  const write = async () => {
    const figures = figuresOf(done);
    await mkdir(values.out, { recursive: true });
    await writeFile(
      join(values.out, `${name}.json`),
      `${JSON.stringify({ about: about(), figures, runs: done }, null, 1)}\n`,
    );
    await writeFile(join(values.out, `${name}.md`), tableOf(about(), figures));
  };
  try {
    for (const { line, variant } of wanted) {
      const often =
        line.name === 'switchover under load' && only === '' && !short ? Math.max(times, SWITCHOVERS) : times;
      for (let time = 1; time <= often; time++) {
        const run = await runs.run(line, variant);
        done.push(run);
        console.log(oneLine(run, time, often));
        await write();
      }
    }
  } finally {
    await runs.close();
  }
  console.log(`\n${tableOf(about(), figuresOf(done))}\nwritten to ${join(values.out, name)}.{json,md}`);
  return done.some(({ problems }) => problems.length > 0) ? 1 : 0;
}

function oneLine({ line, variant, tookMs, result, problems, story }: Run, time: number, often: number): string {
  const ms = (value: number | null | undefined) => (typeof value === 'number' ? `${value.toFixed(0)} ms` : '-');
  const figures =
    result === null
      ? 'no result'
      : `writable ${ms(result.writableMs)}, gap ${ms(result.gapMs)}, second ${result.secondWrites} (${ms(result.secondWindowMs)}), lost ${result.lost}, behind ${result.leftBehind}, active ${result.active}, moved ${result.decisions}, epochs ${result.epochs}, settled ${ms(result.settleMs)}, fenced ${result.fenced.length} ${JSON.stringify(result.figures)}`;
  const verdict = problems.length === 0 ? 'ok  ' : `FAIL ${problems.join('; ')} (${story})\n    `;
  return `${verdict} ${line}: ${variant} [${time}/${often}] ${(tookMs / 1000).toFixed(1)} s: ${figures}`;
}

async function commitOf(root: string): Promise<string> {
  try {
    // What is judged is the built file: it says itself what it was built from.
    return (
      /commit: "([0-9a-f]+(?:-dirty)?)"/.exec(await readFile(join(root, 'dist', 'mmm.js'), 'utf8'))?.[1] ?? 'unknown'
    );
  } catch {
    return 'unknown';
  }
}

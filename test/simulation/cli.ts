// `npm run sim`: replays one seed and prints its story, or runs many and prints what broke. Bundled and started by sim.mjs.

import { type Outcome, runSeed } from './run.ts';

const USAGE = `npm run sim -- SEED            replay one seed and print its story
npm run sim -- SEED --debug    with the daemons' debug lines
npm run sim -- --seeds N       run N seeds from 1 on (--from M: from M on)
npm run sim -- --mutants       show that the checkers bite`;

export async function main(args: readonly string[]): Promise<number> {
  const count = numberAfter(args, '--seeds');
  if (count !== null) return await runMany(count, numberAfter(args, '--from') ?? 1);
  const [seed] = args.filter((arg) => !arg.startsWith('--'));
  if (seed === undefined) {
    console.log(USAGE);
    return 2;
  }
  const outcome = await runSeed(seed, { debug: args.includes('--debug') });
  for (const line of outcome.story) console.log(line);
  console.log(`\n${summary(outcome)}`);
  return outcome.violations.length === 0 ? 0 : 1;
}

async function runMany(count: number, from: number): Promise<number> {
  const began = performance.now();
  const sums = {
    simulatedMs: 0,
    events: 0,
    acknowledged: 0,
    opened: 0,
    decisions: 0,
    bad: 0,
    slowestMs: 0,
    excused: 0,
    barredByRule3: 0,
  };
  const broken = new Map<string, string[]>();
  for (let seed = from; seed < from + count; seed++) {
    const outcome = await runSeed(String(seed));
    sums.simulatedMs += outcome.simulatedMs;
    sums.events += outcome.events;
    sums.acknowledged += outcome.figures.acknowledged;
    sums.opened += outcome.figures.opened;
    sums.decisions += outcome.figures.decisions;
    sums.excused += outcome.figures.excused;
    sums.barredByRule3 += outcome.figures.barredByRule3;
    sums.slowestMs = Math.max(sums.slowestMs, outcome.convergedMs ?? 0);
    const [first] = outcome.violations;
    if (first === undefined) continue;
    sums.bad += 1;
    const seeds = broken.get(first.promise) ?? [];
    broken.set(first.promise, [...seeds, outcome.seed]);
    console.log(`seed ${outcome.seed} (${outcome.kind}): ${first.promise} at ${seconds(first.atMs)} s: ${first.what}`);
  }
  const realSec = (performance.now() - began) / 1000;
  console.log(
    `${count} seeds, ${seconds(sums.simulatedMs)} simulated seconds in ${realSec.toFixed(1)} s (${Math.round(sums.simulatedMs / 1000 / realSec)} per second), ${sums.events} events, ` +
      `${sums.acknowledged} acknowledged writes, ${sums.decisions} boards, ${sums.opened} openings, slowest convergence ${seconds(sums.slowestMs)} s; not judged: ${sums.excused} openings after an older dump, ${sums.barredByRule3} ends without anybody elected (rule 3)`,
  );
  for (const [promise, seeds] of broken)
    console.log(`${promise}: ${seeds.length} seeds: ${seeds.slice(0, 20).join(' ')}`);
  return sums.bad === 0 ? 0 : 1;
}

function summary({ seed, kind, violations, simulatedMs, events, hash, figures, convergedMs }: Outcome): string {
  const verdict = violations.map(({ promise, atMs, what }) => `${promise} at ${seconds(atMs)} s: ${what}`);
  return [
    `seed ${seed} (${kind}): ${seconds(simulatedMs)} s, ${events} events, hash ${hash.slice(0, 16)}, ${JSON.stringify(figures)}`,
    violations.length === 0
      ? `every promise kept; converged ${seconds(convergedMs ?? 0)} s after healing`
      : verdict.join('\n'),
  ].join('\n');
}

function numberAfter(args: readonly string[], flag: string): number | null {
  const at = args.indexOf(flag);
  const number = Number(args[at + 1]);
  return at < 0 || !Number.isInteger(number) ? null : number;
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(1);
}

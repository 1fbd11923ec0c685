// `npm run sim`: replays one seed and prints its story, or runs many and prints what broke. Bundled and started by sim.mjs, which also
// shares many seeds out among threads.

import { runMany, tell } from './many.ts';
import { type Outcome, runSeed } from './run.ts';
import { isStory, type StoryName, tellStory } from './stories.ts';

export { added, noSums, runMany, tell } from './many.ts';

const USAGE = `npm run sim -- SEED            replay one seed and print its story
npm run sim -- SEED --debug    with the daemons' debug lines
npm run sim -- SEED --lossless as a pair with durability=lossless, whatever the seed says; also with --seeds and --seconds
npm run sim -- SEED --async    as one with durability=async
npm run sim -- --story NAME    tell one of the directed stories of stories.ts
npm run sim -- --seeds N       run N seeds from 1 on (--from M: from M on)
npm run sim -- --seconds N     run seeds for N simulated seconds, on all cores`;

export async function main(args: readonly string[]): Promise<number> {
  const seeds = numberAfter(args, '--seeds');
  const lossless = durabilityIn(args);
  if (seeds !== null) {
    const began = performance.now();
    const from = numberAfter(args, '--from') ?? 1;
    const sums = await runMany({ from, step: 1, seeds, seconds: Number.POSITIVE_INFINITY, lossless }, console.log);
    return tell(sums, (performance.now() - began) / 1000, console.log);
  }
  const told = args[args.indexOf('--story') + 1];
  if (args.includes('--story') && told !== undefined && isStory(told)) return await tellOne(told);
  const [seed] = args.filter((arg) => !arg.startsWith('--'));
  if (seed === undefined) {
    console.log(USAGE);
    return 2;
  }
  const outcome = await runSeed(seed, { debug: args.includes('--debug'), ...(lossless === null ? {} : { lossless }) });
  for (const line of outcome.story) console.log(line);
  console.log(`\n${summary(outcome)}`);
  return outcome.violations.length === 0 ? 0 : 1;
}

/** Whether every pair is lossless; null: as its seed says. */
export function durabilityIn(args: readonly string[]): boolean | null {
  return args.includes('--lossless') || (args.includes('--async') ? false : null);
}

async function tellOne(name: StoryName): Promise<number> {
  const { violations, story } = await tellStory(name);
  for (const line of story) console.log(line);
  for (const { promise, what } of violations) console.log(`\n${promise}: ${what}`);
  return violations.length === 0 ? 0 : 1;
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

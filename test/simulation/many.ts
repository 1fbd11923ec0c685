// Many seeds, one after the other: what broke, and the figures of all. Comes from cli.ts, in one thread or in several (sim.mjs).

import { runSeed } from './run.ts';

export interface ManyOptions {
  readonly from: number;
  /** From one seed to the next: several threads share a range. */
  readonly step: number;
  /** Ends after so many seeds, or so many simulated seconds, whichever comes first. */
  readonly seeds: number;
  readonly seconds: number;
  /** All of them with durability=lossless, or none; null: each as it says. */
  readonly lossless: boolean | null;
}

export interface Sums {
  seeds: number;
  simulatedMs: number;
  events: number;
  acknowledged: number;
  opened: number;
  calls: number;
  decisions: number;
  twoWritersMs: number;
  excused: number;
  barredByRule3: number;
  forgotten: number;
  awaitsOperator: number;
  hangsBehindCommits: number;
  slowestMs: number;
  /** What broke, by promise: the seeds. */
  broken: Record<string, string[]>;
}

export function noSums(): Sums {
  return {
    seeds: 0,
    simulatedMs: 0,
    events: 0,
    acknowledged: 0,
    opened: 0,
    calls: 0,
    decisions: 0,
    twoWritersMs: 0,
    excused: 0,
    barredByRule3: 0,
    forgotten: 0,
    awaitsOperator: 0,
    hangsBehindCommits: 0,
    slowestMs: 0,
    broken: {},
  };
}

export async function runMany(
  { from, step, seeds, seconds, lossless }: ManyOptions,
  say: (line: string) => void,
): Promise<Sums> {
  const sums = noSums();
  for (let seed = from; sums.seeds < seeds && sums.simulatedMs < 1_000 * seconds; seed += step) {
    const { figures, violations, kind, simulatedMs, events, convergedMs } = await runSeed(
      String(seed),
      lossless === null ? {} : { lossless },
    );
    sums.seeds += 1;
    sums.simulatedMs += simulatedMs;
    sums.events += events;
    for (const name of COUNTED) sums[name] += figures[name];
    sums.slowestMs = Math.max(sums.slowestMs, convergedMs ?? 0);
    const [first] = violations;
    if (first === undefined) continue;
    sums.broken[first.promise] = [...(sums.broken[first.promise] ?? []), String(seed)];
    say(`seed ${seed} (${kind}): ${first.promise} at ${(first.atMs / 1000).toFixed(1)} s: ${first.what}`);
  }
  return sums;
}

const COUNTED = [
  'acknowledged',
  'opened',
  'calls',
  'decisions',
  'twoWritersMs',
  'excused',
  'barredByRule3',
  'forgotten',
  'awaitsOperator',
  'hangsBehindCommits',
] as const;

export function added(one: Sums, other: Sums): Sums {
  const sum = { ...one, broken: { ...one.broken } };
  for (const name of ['seeds', 'simulatedMs', 'events', ...COUNTED] as const) sum[name] += other[name];
  sum.slowestMs = Math.max(one.slowestMs, other.slowestMs);
  for (const [promise, seeds] of Object.entries(other.broken)) {
    sum.broken[promise] = [...(sum.broken[promise] ?? []), ...seeds];
  }
  return sum;
}

/** For people; and the exit code. */
export function tell(sums: Sums, realSec: number, say: (line: string) => void): number {
  const seconds = Math.round(sums.simulatedMs / 1000);
  say(
    `${sums.seeds} seeds, ${seconds} simulated seconds in ${realSec.toFixed(1)} s (${Math.round(seconds / realSec)} per second), ${sums.events} events, ` +
      `${sums.acknowledged} acknowledged writes, ${sums.decisions} boards, ${sums.opened} openings, ${sums.calls} comparing calls that acted, ` +
      `two writers for ${(sums.twoWritersMs / 1000).toFixed(1)} s, all of it excused, slowest convergence ${(sums.slowestMs / 1000).toFixed(1)} s; ` +
      `not judged: ${sums.excused} openings after an older dump, ${sums.barredByRule3} ends without anybody elected (rule 3), ${sums.forgotten} I/O threads that nobody remembers to have stopped, ` +
      `${sums.awaitsOperator} ends without any host that is known to be complete, ${sums.hangsBehindCommits} with one that cannot be closed because its commits wait [F18]`,
  );
  const broken = Object.entries(sums.broken);
  for (const [promise, seeds] of broken) say(`${promise}: ${seeds.length} seeds: ${seeds.slice(0, 20).join(' ')}`);
  return broken.length === 0 ? 0 : 1;
}

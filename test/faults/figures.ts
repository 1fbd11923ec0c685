// Sums up many trials: medians, worst cases and counts for each variant of each line. Pure; cli.ts writes what it gives.

import type { Run } from './runs.ts';

export interface Spread {
  readonly count: number;
  readonly median: number;
  readonly p99: number;
  readonly max: number;
}

export interface Figures {
  readonly line: string;
  readonly variant: string;
  readonly runs: number;
  readonly failed: number;
  readonly problems: readonly string[];
  /** Runs in which a second host acknowledged anything, how many writes at most, and until when after the opening or the waking. */
  readonly runsWithSecond: number;
  readonly mostSecondWrites: number;
  /** Runs with second writes later than the table allows. */
  readonly runsWithLate: number;
  readonly secondWindowMs: Spread | null;
  readonly lost: number;
  readonly leftBehind: Spread | null;
  readonly writableMs: Spread | null;
  readonly gapMs: Spread | null;
  readonly active: { readonly passive: number; readonly same: number };
  readonly decisions: Spread | null;
  readonly fencedRuns: number;
  readonly tookMs: Spread | null;
}

export interface About {
  readonly date: string;
  readonly minutes: number;
  readonly cores: number;
  readonly load: string;
  readonly processor: string;
  readonly node: string;
  readonly server: string;
  readonly kind: string;
  readonly fencing: string;
  readonly times: number;
  readonly commit: string;
}

export function figuresOf(runs: readonly Run[]): readonly Figures[] {
  const groups = new Map<string, Run[]>();
  for (const run of runs) {
    const key = `${run.line}: ${run.variant}`;
    groups.set(key, [...(groups.get(key) ?? []), run]);
  }
  return [...groups.values()].map(sumUp);
}

function sumUp(runs: readonly Run[]): Figures {
  const results = runs.flatMap(({ result }) => (result === null ? [] : [result]));
  const [first] = runs;
  return {
    line: first?.line ?? '',
    variant: first?.variant ?? '',
    runs: runs.length,
    failed: runs.filter(({ problems }) => problems.length > 0).length,
    problems: [...new Set(runs.flatMap(({ problems }) => problems))],
    runsWithSecond: results.filter(({ secondWrites }) => secondWrites > 0).length,
    runsWithLate: results.filter(({ secondLate }) => secondLate > 0).length,
    mostSecondWrites: Math.max(0, ...results.map(({ secondWrites }) => secondWrites)),
    secondWindowMs: spread(results.map(({ secondWindowMs }) => secondWindowMs)),
    lost: results.reduce((sum, { lost }) => sum + lost, 0),
    leftBehind: spread(results.map(({ leftBehind }) => leftBehind)),
    writableMs: spread(results.map(({ writableMs }) => writableMs)),
    gapMs: spread(results.map(({ gapMs }) => gapMs)),
    active: {
      passive: results.filter(({ active }) => active === 'passive').length,
      same: results.filter(({ active }) => active === 'same').length,
    },
    decisions: spread(results.map(({ decisions }) => decisions)),
    fencedRuns: results.filter(({ fenced }) => fenced.length > 0).length,
    tookMs: spread(runs.map(({ tookMs }) => tookMs)),
  };
}

export function spread(values: readonly (number | null)[]): Spread | null {
  const sorted = values.filter((value) => value !== null).sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)];
  const [median, p99, max] = [at(0.5), at(0.99), sorted.at(-1)];
  if (median === undefined || p99 === undefined || max === undefined) return null;
  return { count: sorted.length, median, p99, max };
}

export function tableOf(about: About, figures: readonly Figures[]): string {
  const { date, minutes, cores, load, processor, node, server, kind, fencing, times, commit } = about;
  const head = [
    `# The fault suite: ${kind}, fencing=${fencing}`,
    '',
    `${date}, ${minutes} min, ${cores} cores (${processor}), load ${load}, Node ${node}, ${server}, mmm ${commit}; each variant ${times} times, one after the other.`,
    '',
    'How: two real servers, Redis, two monitors, two identifies and two agents, each place in a network namespace of its own',
    '(`test/faults/network.ts`). On each host four clients without admin rights write every 20 ms through its socket, four more come over',
    'the network and fall over. Every answer is kept with its time by one monotonic clock (`test/faults/judge.ts`).',
    '*Second* writes were acknowledged by one host after the other one had been opened; *until* is counted from that opening, or, where a',
    'host was frozen, from its waking; *too late* are the runs with one that the line does not allow (after a waking: later than 100 ms).',
    'A run fails by it only when a busy machine is no excuse (`lateWrites` in `test/faults/trial.ts`). *Writable* is from the fault to the first acknowledged write of the host that was opened, *gap* the',
    'longest time in which no client was told of a write; both median / p99 / max in ms. *Behind*: acknowledged writes that the new active',
    'lacked, which come over when the old one returns (median / max). *Lost*: those that are on no host in the end, in all runs.',
    '',
    '| fault | variant | runs | failed | runs with second writes (most) | too late | until ms (median / max) | writable | gap | behind | lost | role moved | fenced |',
    '| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |',
  ];
  const rows = figures.map((row) =>
    [
      row.line,
      row.variant,
      row.runs,
      row.failed,
      row.runsWithSecond === 0 ? '0' : `${row.runsWithSecond} (${row.mostSecondWrites})`,
      row.runsWithLate,
      row.secondWindowMs === null
        ? ''
        : `${row.secondWindowMs.median.toFixed(0)} / ${row.secondWindowMs.max.toFixed(0)}`,
      threeOf(row.writableMs),
      threeOf(row.gapMs),
      row.leftBehind === null ? '' : `${row.leftBehind.median} / ${row.leftBehind.max}`,
      row.lost,
      `${row.active.passive} of ${row.active.passive + row.active.same}`,
      row.fencedRuns,
    ].join(' | '),
  );
  const failed = figures.filter(({ problems }) => problems.length > 0);
  const complaints = failed.flatMap(({ line, variant, problems }) =>
    problems.map((problem) => `- ${line}: ${variant}: ${problem.split('\n')[0]}`),
  );
  const body = [...head, ...rows.map((row) => `| ${row} |`)];
  return `${[...body, ...(complaints.length > 0 ? ['', 'What went wrong:', '', ...complaints] : [])].join('\n')}\n`;
}

function threeOf(values: Spread | null): string {
  return values === null ? '' : [values.median, values.p99, values.max].map((value) => value.toFixed(0)).join(' / ');
}

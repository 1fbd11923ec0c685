import { expect, it } from 'vitest';
import { figuresOf, spread, tableOf } from './figures.ts';
import type { Run } from './runs.ts';
import type { Result } from './trial.ts';

const GOOD: Result = {
  problems: [],
  secondWrites: 0,
  secondWindowMs: null,
  secondLate: 0,
  lost: 0,
  leftBehind: 0,
  writableMs: 100,
  gapMs: 110,
  active: 'passive',
  decisions: 1,
  epochs: 1,
  settleMs: 2_000,
  fenced: [],
  timeline: [],
  figures: {},
};

function aRun(over: Partial<Result> = {}): Run {
  const result = { ...GOOD, ...over };
  return { line: 'killed', variant: 'hard', tookMs: 5_000, result, problems: result.problems, story: null };
}

const ABOUT = {
  date: '2026-11-26T12:00:00.000Z',
  minutes: 3,
  cores: 2,
  load: '1.0',
  processor: 'one',
  node: 'v20',
  server: 'MariaDB',
  kind: 'mariadb',
  fencing: 'lease',
  times: 20,
  commit: 'abc',
};

it('gives the middle, the 99th hundredth and the worst, without what was not measured', () => {
  const hundred = Array.from({ length: 200 }, (_, index) => 200 - index);
  expect(spread([...hundred, null])).toEqual({ count: 200, median: 100, p99: 198, max: 200 });
  expect(spread([7])).toEqual({ count: 1, median: 7, p99: 7, max: 7 });
  expect(spread([null])).toBeNull();
});

it('counts second writes, losses and failures over all runs of a variant', () => {
  const bad = aRun({ secondWrites: 3, secondWindowMs: 40, lost: 2, writableMs: 900, problems: ['two writers'] });
  const [figures] = figuresOf([aRun(), bad, aRun({ active: 'same', writableMs: null })]);
  expect(figures).toMatchObject({
    runs: 3,
    failed: 1,
    problems: ['two writers'],
    runsWithSecond: 1,
    mostSecondWrites: 3,
    lost: 2,
    active: { passive: 2, same: 1 },
  });
  expect(figures?.writableMs).toEqual({ count: 2, median: 100, p99: 900, max: 900 });
});

it('counts a run that came to no end as a failed one', () => {
  const figures = figuresOf([{ ...aRun(), result: null, problems: ['not within 30000 ms\na story'] }]);
  expect(figures[0]).toMatchObject({ runs: 1, failed: 1, writableMs: null });
  expect(tableOf(ABOUT, figures)).toContain('- killed: hard: not within 30000 ms\n');
});

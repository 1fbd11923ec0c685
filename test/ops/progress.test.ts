import { expect, it } from 'vitest';
import { Progress } from '../../src/ops/progress.ts';
import { FakeClock } from '../support/fake-clock.ts';

it('a loop is overdue when it has not shown itself in the time it named, and five seconds more', async () => {
  const clock = new FakeClock();
  const progress = new Progress(clock);
  progress.expect('c1', 1000);
  progress.expect('c2', 60_000);
  await clock.advance(6000);
  expect(progress.overdue()).toEqual([]);
  await clock.advance(1);
  expect(progress.overdue()).toEqual(['c1']);
  progress.expect('c1', 1000);
  expect(progress.overdue()).toEqual([]);
});

it('a loop that has ended in good order is not overdue', async () => {
  const clock = new FakeClock();
  const progress = new Progress(clock);
  progress.expect('c1', 1000);
  progress.ended('c1');
  await clock.advance(60_000);
  expect(progress.overdue()).toEqual([]);
});

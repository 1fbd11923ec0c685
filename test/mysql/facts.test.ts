import { expect, test, vi } from 'vitest';
import { Quiet } from '../../src/mysql/facts.ts';
import { someReplication } from '../support/facts.ts';

const AT_THE_END = someReplication({ io: 'No', readAll: true });

test('the end of the relay log is believed when it looks the same for a while', async () => {
  const quiet = new Quiet();
  expect(quiet.lasts(AT_THE_END)).toBe(false);
  await vi.waitUntil(() => quiet.lasts(AT_THE_END), { timeout: 2_000, interval: 5 });
});

test('a thread that moved, or read on in between, starts the wait anew', async () => {
  const quiet = new Quiet();
  await vi.waitUntil(() => quiet.lasts(AT_THE_END), { timeout: 2_000, interval: 5 });
  const moved = { ...AT_THE_END, applied: { file: 'bin.000001', pos: 101 } };
  expect(quiet.lasts(moved)).toBe(false);
  await vi.waitUntil(() => quiet.lasts(moved), { timeout: 2_000, interval: 5 });
  quiet.lasts({ ...moved, readAll: false });
  expect(quiet.lasts(moved)).toBe(false);
});

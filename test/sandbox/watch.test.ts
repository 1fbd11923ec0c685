import { expect, test } from 'vitest';
import { Overlap } from '../../src/sandbox/watch.ts';

type Look = readonly [port: 1 | 2, state: 'writable' | 'read-only' | 'silent', askedMs: number, answeredMs: number];

function overlapOf(looks: readonly Look[]): number {
  const overlap = new Overlap([1, 2]);
  for (const [port, state, askedMs, answeredMs] of looks) overlap.add(port, { state, askedMs, answeredMs });
  return overlap.totalMs;
}

test('a host that takes a write between two of the other one proves that both were open', () => {
  expect(
    overlapOf([
      [1, 'writable', 0, 1],
      [2, 'writable', 2, 3],
      [1, 'writable', 4, 5],
    ]),
  ).toBeGreaterThan(0);
});

test('a role that changes hands, and comes back, is no overlap', () => {
  expect(
    overlapOf([
      [1, 'writable', 0, 1],
      [1, 'read-only', 2, 3],
      [2, 'writable', 4, 5],
      [2, 'read-only', 6, 7],
      [1, 'writable', 8, 9],
    ]),
  ).toBe(0);
});

test('looks that overlap in time prove nothing', () => {
  expect(
    overlapOf([
      [1, 'writable', 0, 10],
      [2, 'writable', 5, 11],
      [1, 'read-only', 12, 13],
    ]),
  ).toBe(0);
});

test('the overlap is as long as both go on', () => {
  const looks: Look[] = [];
  for (let atMs = 0; atMs < 100; atMs += 10)
    looks.push([1, 'writable', atMs, atMs + 1], [2, 'writable', atMs + 5, atMs + 6]);
  const lengthMs = overlapOf(looks);
  expect(lengthMs).toBeGreaterThan(80);
  expect(lengthMs).toBeLessThan(200);
});

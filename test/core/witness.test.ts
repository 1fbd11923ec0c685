import { expect, test } from 'vitest';
import { deafInMs, hearingWindowMs, hears, heartbeatAdvice, listen } from '../../src/core/witness.ts';
import { someReplication } from '../support/facts.ts';

const AT_REST = someReplication();

test('an I/O thread that gets nothing grows older from look to look', () => {
  const first = listen(null, AT_REST, 1_000);
  const later = listen(first, AT_REST, 9_000);
  expect(later?.sinceMs).toBe(1_000);
});

test.each([
  ['an event', someReplication({ received: { file: 'bin.000001', pos: 101 } })],
  ['a new log', someReplication({ received: { file: 'bin.000002', pos: 4 } })],
  ['a GTID', someReplication({ receivedGtid: '1-1-8' })],
  ['a heartbeat', someReplication({ heartbeats: { received: 1, periodMs: 1_000 } })],
])('%s is a sign of life', (_name, moved) => {
  expect(listen(listen(null, AT_REST, 1_000), moved, 9_000)?.sinceMs).toBe(9_000);
});

test.each(['No', 'Connecting'] as const)('an I/O thread that is %s hears nothing, and starts anew', (io) => {
  const before = listen(null, AT_REST, 1_000);
  expect(listen(before, someReplication({ io }), 2_000)).toBeNull();
  expect(listen(null, AT_REST, 3_000)?.sinceMs).toBe(3_000);
});

test('what only the SQL thread did is no sign of life', () => {
  const before = listen(null, AT_REST, 1_000);
  const applied = someReplication({ applied: { file: 'bin.000001', pos: 90 }, sql: 'No', delaySec: 8, readAll: false });
  expect(listen(before, applied, 9_000)?.sinceMs).toBe(1_000);
});

test('nobody who listens hears nobody', () => {
  expect(hears(null)).toBe(false);
});

test.each([0, 400, 2_250, 2_251, 60_000])(
  'after %i ms it is known when a thread that gets nothing hears no more',
  (silentMs) => {
    const after = (ms: number) => ({ silentMs: silentMs + ms, heartbeatMs: 1_000 });
    expect(hears(after(deafInMs(after(0))))).toBe(false);
    expect(hears(after(deafInMs(after(0)) - 1))).toBe(silentMs <= hearingWindowMs(1_000));
  },
);

test('the operator is told of heartbeats that are too rare, or that nobody asked for', () => {
  expect(heartbeatAdvice(1_000)).toBeNull();
  expect(heartbeatAdvice(2_000)).toBeNull();
  expect(heartbeatAdvice(30_000)).toContain('one heartbeat in 30 s');
  expect(heartbeatAdvice(0)).toContain('no heartbeats');
});

import { describe, expect, test } from 'vitest';
import { judge } from '../../src/core/death.ts';
import type { Observation } from '../../src/core/observation.ts';
import { anObservation, NOW_MS, PRIMARY, SECONDARY } from '../support/build.ts';

/** The primary judged, beside a secondary whose I/O thread has lost it. */
function judged(observation: Observation | null, other: Observation | null = secondary('Connecting')) {
  return judge({ host: PRIMARY, observation, other, freshMs: 30_000, nowMs: NOW_MS });
}

function secondary(io: 'Yes' | 'No' | 'Connecting' | null): Observation {
  return anObservation({ host: SECONDARY, io });
}

describe('a host that does not answer', () => {
  const broken = { failure: 'refused', connectionBroke: true } as const;

  test('is dead when it refuses, its connection broke and the other host lost it too', () => {
    expect(judged(anObservation(broken))).toMatchObject({
      verdict: 'dead',
      reason: '10.0.0.5:3308 is dead (refused, connection broke)',
    });
  });

  test.each(['Connecting', null] as const)("is dead when the other host's I/O thread is %s", (io) => {
    expect(judged(anObservation(broken), secondary(io)).verdict).toBe('dead');
  });

  test('is dead when the other host cannot testify', () => {
    expect(judged(anObservation(broken), null).verdict).toBe('dead');
    expect(judged(anObservation(broken), anObservation({ host: SECONDARY, failure: 'silent' })).verdict).toBe('dead');
  });

  test("is only silent while the other host's I/O thread is stopped, as for a backup: that one lost nothing", () => {
    expect(judged(anObservation(broken), secondary('No'))).toMatchObject({
      verdict: 'silent',
      reason: "10.0.0.5:3308 is unreachable (refused, connection broke, and the other host's I/O thread is stopped)",
    });
  });

  test("is only silent while the other host's I/O thread runs", () => {
    expect(judged(anObservation(broken), secondary('Yes'))).toMatchObject({
      verdict: 'silent',
      stillHeard: null,
      reason: "10.0.0.5:3308 is unreachable (refused, connection broke, but the other host's I/O thread runs)",
    });
  });

  test('is only silent when it refuses and no connection broke, as behind a new firewall', () => {
    expect(judged(anObservation({ failure: 'refused' }))).toMatchObject({
      verdict: 'silent',
      reason: '10.0.0.5:3308 is unreachable (refused, no connection broke)',
    });
  });

  test('is only silent when it timed out, even if its connection broke', () => {
    expect(judged(anObservation({ failure: 'silent', connectionBroke: true }))).toMatchObject({
      verdict: 'silent',
      reason: '10.0.0.5:3308 is unreachable (silent: timed out after 1000 ms)',
    });
  });
});

describe('the other host as a witness', () => {
  const gone = { failure: 'silent' } as const;
  const heard = (silentMs: number, heartbeatMs = 1_000) =>
    anObservation({ host: SECONDARY, hearing: { silentMs, heartbeatMs } });

  test.each([
    ['heard it just now', 0, 1_000, true],
    ['got a heartbeat within two periods and a margin', 2_250, 1_000, true],
    ['has heard nothing for longer, though its I/O thread runs', 2_251, 1_000, false],
    ['waits for the operator’s longer period', 4_250, 2_000, true],
    ['does not wait for a period that is too long to be of use', 2_251, 2_001, false],
    ['got an event just now, and heartbeats are too rare to be of use', 2_250, 30_000, true],
    ['got an event just now, and there are no heartbeats', 300, 0, true],
    ['is not asked for less than a second', 1_000, 100, true],
    ['has heard nothing for longer than that', 1_001, 100, false],
  ])('%s', (_name, silentMs, heartbeatMs, hears) => {
    const judgement = judged(anObservation(gone), heard(silentMs, heartbeatMs));
    expect(judgement.verdict).toBe('silent');
    expect('stillHeard' in judgement && judgement.stillHeard !== null).toBe(hears);
  });

  test('says what it heard without the age, which differs at each look', () => {
    expect(judged(anObservation(gone), heard(400))).toMatchObject({
      stillHeard: '10.0.0.7:3308 got an event or a heartbeat from it within 2.25 s',
    });
  });

  test.each([
    ['whose I/O thread does not run', secondary('No')],
    ['that follows somebody else, or was seen by a Perl monitor', secondary('Yes')],
    ['that does not answer', anObservation({ host: SECONDARY, failure: 'silent' })],
    ['that nobody looked at', null],
  ])('%s is none', (_name, other) => {
    expect(judged(anObservation(gone), other)).toMatchObject({ verdict: 'silent', stillHeard: null });
  });
});

describe('a host that answers', () => {
  test('hands its facts on', () => {
    expect(judged(anObservation({ connections: 7 }))).toMatchObject({ verdict: 'answers', facts: { connections: 7 } });
  });

  test.each([
    ['saturated', '10.0.0.5:3308 is alive: too many connections (1040)'],
    ['auth-refused', '10.0.0.5:3308 is alive: it refuses our user or password (1045)'],
    ['blocked', '10.0.0.5:3308 is alive: it does not let this machine in (1129)'],
    ['server-error', '10.0.0.5:3308 is alive: it answers with an error (1053: Server shutdown in progress)'],
  ] as const)('with an error (%s) is alive and unreadable', (failure, reason) => {
    expect(judged(anObservation({ failure, connectionBroke: true }))).toMatchObject({ verdict: 'unreadable', reason });
  });
});

describe('an observation', () => {
  test.each([
    ['30 s old is still used', -30_000, 'answers'],
    ['a little older than 30 s is stale', -30_001, 'stale'],
    ['30 s in the future is still used', 30_000, 'answers'],
    ['dated further in the future is stale', 30_001, 'stale'],
  ])('%s', (_name, byMs, verdict) => {
    expect(judged(anObservation({ atMs: NOW_MS + byMs })).verdict).toBe(verdict);
  });

  test('that is stale is so whatever it says', () => {
    expect(judged(anObservation({ atMs: NOW_MS - 41_000, failure: 'refused', connectionBroke: true }))).toMatchObject({
      verdict: 'stale',
      reason: '10.0.0.5:3308 was last observed 41 s ago',
    });
    expect(judged(anObservation({ atMs: NOW_MS + 45_000, failure: 'saturated' }))).toMatchObject({
      verdict: 'stale',
      reason: "10.0.0.5:3308's observation is dated 45 s in the future",
    });
  });

  test('that is missing says so', () => {
    expect(judged(null)).toEqual({ verdict: 'missing', host: PRIMARY, reason: '10.0.0.5:3308 has not been observed' });
  });
});

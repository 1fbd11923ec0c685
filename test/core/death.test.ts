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

  test.each(['No', 'Connecting', null] as const)("is dead when the other host's I/O thread is %s", (io) => {
    expect(judged(anObservation(broken), secondary(io)).verdict).toBe('dead');
  });

  test('is dead when the other host cannot testify', () => {
    expect(judged(anObservation(broken), null).verdict).toBe('dead');
    expect(judged(anObservation(broken), anObservation({ host: SECONDARY, failure: 'silent' })).verdict).toBe('dead');
  });

  test('is only silent while the other host still hears it', () => {
    expect(judged(anObservation(broken), secondary('Yes'))).toMatchObject({
      verdict: 'silent',
      reason: '10.0.0.5:3308 is unreachable (refused, connection broke, but the other host still hears it)',
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

import { describe, expect, it } from 'vitest';
import { duration, Troubles } from '../../src/ops/trouble.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { fakeLog } from '../support/fake-log.ts';

const MINUTE_MS = 60_000;

function someTroubles() {
  const clock = new FakeClock();
  const log = fakeLog();
  return { clock, log, troubles: new Troubles({ clock, log }) };
}

describe('a lasting trouble', () => {
  it('is told when it begins and not again while it stays the same', async () => {
    const { clock, log, troubles } = someTroubles();
    for (let second = 0; second < 59; second += 1) {
      troubles.raise('redis', 'Redis does not answer');
      await clock.advance(1000);
    }
    expect(log.lines).toEqual(['error Redis does not answer']);
  });

  it('is told at growing gaps, an hour at most', async () => {
    const { clock, log, troubles } = someTroubles();
    const toldAtMin: number[] = [];
    for (let minute = 0; minute <= 205; minute += 1) {
      if (troubles.raise('redis', 'Redis does not answer')) toldAtMin.push(minute);
      await clock.advance(MINUTE_MS);
    }
    expect(toldAtMin).toEqual([0, 1, 6, 21, 81, 141, 201]);
    expect(log.lines.at(2)).toBe('error Redis does not answer (for 6 min now)');
  });

  it('ends with one line that says how long it lasted', async () => {
    const { clock, log, troubles } = someTroubles();
    troubles.raise('redis', 'Redis does not answer');
    await clock.advance(125_000);
    troubles.clear('redis');
    troubles.clear('redis');
    expect(log.lines).toEqual(['error Redis does not answer', 'info over after 2 min 5 s: Redis does not answer']);
  });

  it('is told at once when its text changes, and not when the text changes back', () => {
    const { log, troubles } = someTroubles();
    for (let round = 0; round < 10; round += 1) {
      troubles.raise('redis', 'connection refused');
      troubles.raise('redis', 'wrong password');
    }
    expect(log.lines).toEqual(['error connection refused', 'error wrong password']);
  });

  it('does not flood the log with a text that never repeats', async () => {
    const { clock, log, troubles } = someTroubles();
    for (let second = 0; second < 600; second += 1) {
      troubles.raise('redis', `connection ${second} was lost`);
      await clock.advance(1000);
    }
    expect(log.lines.length).toBeLessThanOrEqual(15);
  });

  it('does not flood the log when it comes and goes', async () => {
    const { clock, log, troubles } = someTroubles();
    for (let second = 0; second < 600; second += 1) {
      troubles.raise('redis', 'Redis does not answer');
      await clock.advance(500);
      troubles.clear('redis');
      await clock.advance(500);
    }
    expect(log.lines.length).toBeLessThanOrEqual(14);
    expect(log.lines.at(-1)).toMatch(/came and went|over after/);
  });

  it('is told anew when it comes back after a quiet time', async () => {
    const { clock, log, troubles } = someTroubles();
    for (let time = 0; time < 8; time += 1) {
      troubles.raise('redis', 'Redis does not answer');
      troubles.clear('redis');
      await clock.advance(MINUTE_MS + 1);
    }
    expect(log.lines).toHaveLength(16);
  });

  it('does not hide another one', () => {
    const { log, troubles } = someTroubles();
    troubles.raise('redis', 'Redis does not answer', { level: 'warn' });
    troubles.raise('mail', 'no mail server');
    troubles.clear('mail');
    expect(log.lines).toEqual([
      'warn Redis does not answer',
      'error no mail server',
      'info over after 0 ms: no mail server',
    ]);
  });

  it('that never was leaves no line at its end', () => {
    const { log, troubles } = someTroubles();
    troubles.clear('redis');
    expect(log.lines).toEqual([]);
  });
});

describe('a duration', () => {
  it.each([
    [0, '0 ms'],
    [999.4, '999 ms'],
    [1000, '1 s'],
    [59_999, '59 s'],
    [60_000, '1 min'],
    [61_000, '1 min 1 s'],
    [3_600_000, '1 h'],
    [7_800_000, '2 h 10 min'],
  ])('of %d ms reads %s', (ms, text) => {
    expect(duration(ms)).toBe(text);
  });
});

import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { systemClock, systemRandom } from '../../src/ops/clock.ts';

describe('the system clock', () => {
  it('sleeps for the time asked', async () => {
    const beforeMs = systemClock.monotonic();
    await systemClock.sleep(20);
    expect(systemClock.monotonic() - beforeMs).toBeGreaterThanOrEqual(19);
  });

  it('wakes at once when the signal aborts, and leaves no listener on it', async () => {
    const stop = new AbortController();
    const beforeMs = systemClock.monotonic();
    const sleep = systemClock.sleep(60_000, stop.signal);
    stop.abort();
    await sleep;
    await systemClock.sleep(60_000, stop.signal);
    expect(systemClock.monotonic() - beforeMs).toBeLessThan(1000);
    expect(getEventListeners(stop.signal, 'abort')).toEqual([]);
  });

  it('leaves no listener behind when the time is over', async () => {
    const stop = new AbortController();
    await systemClock.sleep(1, stop.signal);
    expect(getEventListeners(stop.signal, 'abort')).toEqual([]);
  });

  it('does not take a sleep of a year for one of no time', async () => {
    const stop = new AbortController();
    let over = false;
    const sleep = systemClock.sleep(365 * 86_400_000, stop.signal).then(() => {
      over = true;
    });
    await systemClock.sleep(5);
    expect(over).toBe(false);
    stop.abort();
    await sleep;
  });
});

describe('chance', () => {
  it('gives ids of 32 lowercase hex digits that differ', () => {
    const ids = new Set(Array.from({ length: 100 }, () => systemRandom.id()));
    expect(ids.size).toBe(100);
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/);
  });

  it('gives numbers from 0 to below 1', () => {
    for (let time = 0; time < 100; time += 1) {
      const value = systemRandom.next();
      expect(value >= 0 && value < 1).toBe(true);
    }
  });
});

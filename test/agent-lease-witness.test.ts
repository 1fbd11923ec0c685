// Whom the keeper of the lease asks before each grant, and how long it waits for them (support/lease-keeper.ts).

import { describe, expect, it } from 'vitest';
import type { Epoch } from '../src/core/pair.ts';
import { PRIMARY, SECONDARY } from './support/build.ts';
import { settle } from './support/fake-clock.ts';
import { REFUSED, SILENT } from './support/fake-fence.ts';
import { aLeaseWorld, epochOf, LEASE_MS, type LeaseWorld, renewals } from './support/lease-keeper.ts';

describe('the witness', () => {
  it.each([
    ['a higher decision', { number: 8, id: 'd8', active: SECONDARY }],
    ['a higher one that keeps the active', { number: 8, id: 'd8', active: PRIMARY }],
    ['another one of the same number', { number: 7, id: 'other', active: PRIMARY }],
    ['one of the same number and id with another active', { number: 7, id: 'd7', active: SECONDARY }],
  ])('stops the renewals when the other row knows %s', async (_what, epoch: Epoch) => {
    const { a, b, aKeeper, round, rounds, decided } = aLeaseWorld();
    await decided(epochOf(7));
    const { keeper, log } = aKeeper();
    await round(keeper);
    b.claimed(epoch);
    await rounds(6, keeper);
    expect(renewals(a)).toHaveLength(1);
    expect(a.readOnly).toBe(true);
    expect(log.lines.filter((line) => line.includes('the other host knows decision'))).toHaveLength(1);
  });

  it('may know a lower decision, or none', async () => {
    const { a, b, aKeeper, rounds, decided } = aLeaseWorld();
    await decided(epochOf(7));
    b.claimed(epochOf(5, SECONDARY));
    const { keeper } = aKeeper();
    await rounds(5, keeper);
    expect(a.readOnly).toBe(false);
  });

  it.each([
    ['does not answer', ({ b }: LeaseWorld) => b.freeze()],
    ['is refused', ({ b }: LeaseWorld) => Object.assign(b, { down: REFUSED })],
    ['times out', ({ b }: LeaseWorld) => Object.assign(b, { down: SILENT })],
    ['has nothing of ours', ({ b }: LeaseWorld) => Object.assign(b, { row: null })],
  ])('is the board, exactly, when the other host %s', async (_what, breaks) => {
    const world = aLeaseWorld();
    const { a, aKeeper, rounds, decided } = world;
    await decided(epochOf(7));
    breaks(world);
    const { keeper } = aKeeper();
    await rounds(6, keeper);
    expect(a.readOnly).toBe(false);
    await decided(epochOf(8));
    await rounds(6, keeper);
    expect(a.readOnly).toBe(true);
  });

  it('is missing when the other host and the board are away: then the active closes itself, and it is told once', async () => {
    const { a, b, aKeeper, rounds, decided, away } = aLeaseWorld();
    await decided(epochOf(7));
    const { keeper, log } = aKeeper();
    await rounds(2, keeper);
    b.down = SILENT;
    away();
    await rounds(5, keeper);
    expect(a.readOnly).toBe(true);
    expect(log.lines.filter((line) => line.includes('neither the other host nor the board'))).toHaveLength(1);
  });

  it('is the row alone while the board is away, or empty', async () => {
    const { a, aKeeper, rounds, away } = aLeaseWorld();
    const { keeper } = aKeeper();
    await rounds(5, keeper);
    away();
    await rounds(5, keeper);
    expect(a.readOnly).toBe(false);
  });

  it('was asked too early when its answer comes from a look of before: a claim in between counts', async () => {
    const { a, b, aKeeper, round, second, decided, away } = aLeaseWorld();
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    await round(keeper);
    const renewed = renewals(a).length;
    // The look of one round answers only in the next one.
    let answer = () => {};
    b.held = new Promise((resolve) => {
      answer = resolve;
    });
    away();
    await second();
    await round(keeper);
    expect(renewals(a)).toHaveLength(renewed);
    const next = round(keeper);
    await settle();
    b.claimed(epochOf(8, SECONDARY));
    answer();
    await next;
    expect(renewals(a)).toHaveLength(renewed);
  });

  it('a silent passive holds a renewal up for half a second once, and then not at all', async () => {
    const { a, b, aKeeper, round, decided } = aLeaseWorld();
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    await round(keeper);
    b.freeze();
    expect(await round(keeper)).toBeLessThanOrEqual(LEASE_MS / 6 + 50);
    expect(await round(keeper)).toBeLessThanOrEqual(50);
    expect(renewals(a)).toHaveLength(3);
  });

  it('that is slow is waited for while the board is away, for as long as the lease can bear', async () => {
    const { clock, a, b, aKeeper, round, decided, away } = aLeaseWorld();
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    away();
    b.freeze();
    const slow = round(keeper);
    await clock.advance(700);
    b.thaw();
    await slow;
    expect(renewals(a)).toHaveLength(1);
  });

  it('that answers again wakes the keeper', async () => {
    const { b, aKeeper, round, decided } = aLeaseWorld();
    await decided(epochOf(7));
    const { keeper, woken } = aKeeper();
    b.freeze();
    await round(keeper);
    expect(woken).toEqual([]);
    b.thaw();
    await settle();
    expect(woken).toEqual(['keeper']);
  });
});

describe('a board that hangs', () => {
  it('holds no renewal up', async () => {
    const { a, b, aStore, aKeeper, round } = aLeaseWorld();
    const store = aStore();
    const never = new Promise<never>(() => {});
    const { keeper } = aKeeper({ store: { ...store, findPair: () => never, putAgent: () => never } });
    for (let at = 0; at < 6; at++) {
      expect(await round(keeper)).toBeLessThanOrEqual(1_050);
      a.event();
      b.event();
    }
    expect(a.readOnly).toBe(false);
  });

  it('is not sent one record after the other', async () => {
    const { a, aStore, aKeeper, round, second, decided } = aLeaseWorld();
    await decided(epochOf(7));
    const store = aStore();
    let puts = 0;
    const putAgent = () => {
      puts += 1;
      return new Promise<never>(() => {});
    };
    const { keeper } = aKeeper({
      store: { ...store, findPair: (uniqsign) => store.findPair(uniqsign), putLife: async () => true, putAgent },
    });
    for (let at = 0; at < 6; at++) {
      expect(await round(keeper)).toBeLessThanOrEqual(550);
      await second();
    }
    expect(puts).toBe(1);
    expect(a.readOnly).toBe(false);
  });
});

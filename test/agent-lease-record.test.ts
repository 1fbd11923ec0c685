// What the keeper of the lease says on the board and in the log (support/lease-keeper.ts).

import { describe, expect, it } from 'vitest';
import { NO_TERMS } from '../src/core/decision.ts';
import { MmmError } from '../src/core/errors.ts';
import { PRIMARY, SECONDARY } from './support/build.ts';
import { REFUSED, SILENT } from './support/fake-fence.ts';
import { aLeaseWorld, epochOf, LEASE_MS, type LeaseWorld, POLICY, renewals, U } from './support/lease-keeper.ts';

describe('what it records', () => {
  it('is its last renewal, and that it reaches both', async () => {
    const { aKeeper, rounds, decided, record } = aLeaseWorld();
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    await rounds(3, keeper);
    expect(await record()).toEqual({
      name: 'db1',
      reachesBoth: true,
      renewal: { host: PRIMARY, epoch: { number: 7, id: 'd7' }, outcome: 'renewed', successes: 3 },
    });
  });

  it.each([
    ['frozen', ({ a }: LeaseWorld) => a.freeze()],
    ['refused', ({ a }: LeaseWorld) => Object.assign(a, { down: REFUSED })],
  ])('is a failure when the active is %s, with the decision under which it was opened', async (_what, breaks) => {
    const world = aLeaseWorld();
    const { aKeeper, rounds, decided, record } = world;
    await decided(epochOf(7));
    const { keeper, log } = aKeeper();
    await rounds(2, keeper);
    breaks(world);
    await rounds(3, keeper);
    expect(await record()).toEqual({
      name: 'db1',
      reachesBoth: false,
      renewal: { host: PRIMARY, epoch: { number: 7, id: 'd7' }, outcome: 'failed', successes: 2 },
    });
    expect(log.lines.filter((line) => line.includes('it does not answer'))).toHaveLength(1);
  });

  it('is a failure, too, of an agent that was restarted while the active is silent', async () => {
    const { a, aKeeper, rounds, decided, record } = aLeaseWorld();
    await decided(epochOf(7));
    a.freeze();
    const { keeper } = aKeeper();
    await rounds(2, keeper);
    expect(await record()).toMatchObject({ renewal: { host: PRIMARY, epoch: { number: 7 }, outcome: 'failed' } });
  });

  it('is a failure when the lease ran out and nobody decided anything', async () => {
    const { clock, a, aKeeper, round, decided, record } = aLeaseWorld();
    await decided(epochOf(7));
    const { keeper, log } = aKeeper();
    await round(keeper);
    await clock.advance(LEASE_MS + 1);
    a.event();
    await round(keeper);
    expect(await record()).toMatchObject({ reachesBoth: true, renewal: { outcome: 'failed' } });
    expect(log.lines.at(-1)).toMatch(/it ran out, and the server closed itself/);
  });

  it('is nothing about a host that was closed by a decision', async () => {
    const { a, b, aKeeper, round, decided, record } = aLeaseWorld();
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    await round(keeper);
    a.claimed(epochOf(8, SECONDARY));
    if (a.row !== null) a.row = { ...a.row, readOnly: true };
    b.claimed(epochOf(8, SECONDARY));
    await round(keeper);
    expect(await record()).toMatchObject({ reachesBoth: true, renewal: null });
  });

  it('is a missing witness when that is what is missing', async () => {
    const { b, aKeeper, round, decided, record } = aLeaseWorld();
    await decided(epochOf(7));
    b.claimed(epochOf(8, SECONDARY));
    const { keeper } = aKeeper();
    await round(keeper);
    expect(await record()).toMatchObject({ renewal: { outcome: 'no-witness' } });
  });

  it('is not written for a pair without a safety, nor by one round of a command', async () => {
    const { a, aStore, aKeeper, round, decided } = aLeaseWorld();
    await decided(epochOf(7));
    await round(aKeeper({ registers: false }).keeper);
    expect(await aStore().agents(U)).toEqual([]);
    await decided(epochOf(8), { terms: NO_TERMS, unfenced: null });
    const { keeper, remembered } = aKeeper();
    await round(keeper);
    expect(await aStore().agents(U)).toEqual([]);
    expect(remembered).toEqual([]);
    // The row alone says that there is a lease to keep.
    expect(renewals(a)).toHaveLength(2);
  });

  it('is not written by an agent that goes', async () => {
    const { aStore, aKeeper, round, decided } = aLeaseWorld();
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    await keeper.retire();
    await round(keeper);
    expect(await aStore().agents(U)).toEqual([]);
  });

  it('says of the active that it is armed, and that it came up read only when somebody noted that', async () => {
    const { a, aStore, aKeeper, round, rounds, decided } = aLeaseWorld();
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    const store = aStore();
    await round(keeper);
    // Who opened it notes it in the first moments.
    await store.putLife(U, epochOf(7), PRIMARY, {
      uuid: a.uuid,
      startedSec: 1_000,
      cameUpReadOnly: true,
      armed: false,
    });
    await rounds(1, keeper);
    expect((await store.board(U)).lives.get(PRIMARY)).toEqual({
      uuid: a.uuid,
      startedSec: 1_000,
      cameUpReadOnly: true,
      armed: true,
    });
  });

  it('writes the life of a board that was emptied anew, with what it knows', async () => {
    const { a, aStore, aKeeper, round, rounds, decided } = aLeaseWorld();
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    await round(keeper);
    expect((await aStore().board(U)).lives.get(PRIMARY)).toBeUndefined();
    await rounds(1, keeper);
    expect((await aStore().board(U)).lives.get(PRIMARY)).toEqual({
      uuid: a.uuid,
      startedSec: 1_000,
      cameUpReadOnly: false,
      armed: true,
    });
  });

  it('remembers the pair as the board tells it', async () => {
    const { aKeeper, round, decided } = aLeaseWorld();
    await decided(epochOf(8, SECONDARY));
    const { keeper, remembered } = aKeeper();
    await round(keeper);
    expect(remembered).toEqual([{ uniqsign: U, roles: { active: SECONDARY, passive: PRIMARY }, policy: POLICY }]);
  });
});

describe('what it tells', () => {
  it('F17: a clock that went back is told also when the very renewal set the EVENT going again', async () => {
    const { clock, a, aStore, aKeeper, rounds, decided } = aLeaseWorld();
    await decided(epochOf(7));
    const { keeper, log } = aKeeper();
    await rounds(2, keeper);
    if (a.row !== null) a.row = { ...a.row, tickMs: clock.wall() + 3_600_000 };
    a.before = (what) => {
      if (what === 'renew') a.event();
    };
    await rounds(3, keeper);
    expect(
      log.lines.filter((line) => line.startsWith('error') && line.includes('did its clock go back?')),
    ).toHaveLength(1);
    expect((await aStore().board(U)).lives.get(PRIMARY)?.armed).toBe(true);
  });

  it('F17: an EVENT that does not tick is told loudly, once, and the host is not armed', async () => {
    const { a, aStore, aKeeper, rounds, decided } = aLeaseWorld();
    await decided(epochOf(7));
    const { keeper, log } = aKeeper();
    await rounds(2, keeper);
    a.ticks = false;
    await rounds(6, keeper);
    expect(log.lines.filter((line) => line.startsWith('error') && line.includes('EVENT does not tick'))).toHaveLength(
      1,
    );
    expect((await aStore().board(U)).lives.get(PRIMARY)?.armed).toBe(false);
    a.ticks = true;
    await rounds(2, keeper);
    expect((await aStore().board(U)).lives.get(PRIMARY)?.armed).toBe(true);
    expect(log.lines.at(-1)).toMatch(/^info over after .*EVENT/);
  });

  it('a renewal that does not come back means that the write path is gone', async () => {
    const { a, aKeeper, round, rounds, decided, record } = aLeaseWorld();
    await decided(epochOf(7));
    const { keeper, log } = aKeeper();
    await round(keeper);
    a.answers = () => SILENT;
    await rounds(2, keeper);
    expect(log.lines.filter((line) => line.startsWith('error') && line.includes('cannot write'))).toHaveLength(1);
    expect(await record()).toMatchObject({ reachesBoth: true, renewal: { outcome: 'failed' } });
    a.answers = null;
    await round(keeper);
    expect(log.lines.at(-1)).toMatch(/^info over after/);
  });

  it.each([
    ['locked', 'a lock is in the way'],
    ['busy', 'another call runs there'],
    ['not-installed', 'the schema mmm is not there'],
    ['lease-out', 'it has run out'],
  ] as const)('a renewal that is not done is a failure: %s', async (why, said) => {
    const { a, aKeeper, round, decided, record } = aLeaseWorld();
    await decided(epochOf(7));
    const { keeper, log } = aKeeper();
    a.answers = () => ({ kind: 'not-done', why, row: null });
    await round(keeper);
    expect(log.lines.join('\n')).toContain(said);
    expect(await record()).toMatchObject({ renewal: { outcome: 'failed', successes: 0 } });
  });

  it('a refusal by a higher decision on the host itself is a missing witness', async () => {
    const { a, b, aKeeper, round, decided, record } = aLeaseWorld();
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    b.before = () => a.claimed(epochOf(8, SECONDARY));
    await round(keeper);
    expect(await record()).toMatchObject({ renewal: { outcome: 'no-witness' } });
  });

  it('says nothing while all is well, and nothing of a Redis that is away', async () => {
    const { aKeeper, rounds, decided, away } = aLeaseWorld();
    await decided(epochOf(7));
    const { keeper, log } = aKeeper();
    await rounds(3, keeper);
    away();
    await rounds(3, keeper);
    expect(log.lines).toEqual([]);
  });

  it('what the board says against a record is told once, and the lease goes on', async () => {
    const { board, a, aKeeper, rounds, decided } = aLeaseWorld();
    await decided(epochOf(7));
    board.trouble = new MmmError('store-denied', 'no right to write');
    const { keeper, log } = aKeeper();
    await rounds(4, keeper);
    expect(log.lines.filter((line) => line.includes('no right to write'))).toHaveLength(1);
    expect(a.readOnly).toBe(false);
  });
});

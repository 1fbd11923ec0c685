// What identify makes, with a safety on, of a host that is silent, or another one than it was (support/guarded-identify.ts).

import { describe, expect, test } from 'vitest';
import type { Renewal } from '../src/core/agents.ts';
import type { Epoch } from '../src/core/pair.ts';
import { makeIdentifyRound } from '../src/identify.ts';
import { PRIMARY, SECONDARY } from './support/build.ts';
import { aWorld, brief, GONE, PAIR, type World } from './support/guarded-identify.ts';
import { aRow } from './support/rows.ts';

describe('the word of the lease', () => {
  const HEARD = { hearing: { silentMs: 300, heartbeatMs: 1_000 } };

  /** The managers lost the active; its passive has not. `renewing`: the agents that still reach it. */
  async function cutOff(renewing: readonly string[]) {
    const world = aWorld();
    const { epoch } = await world.armed();
    if (epoch === null) throw new Error('nothing decided');
    world.idle = true;
    world.a.look = GONE;
    world.b.look = { ...world.b.look, ...HEARD };
    let successes = 40;
    world.record = (name) => {
      successes += 1;
      const does = renewing.includes(name);
      const renewal: Renewal = {
        host: PRIMARY,
        epoch,
        outcome: does ? 'renewed' : 'failed',
        successes: does ? successes : 40,
      };
      return { name, reachesBoth: does, renewal };
    };
    return world;
  }

  test('is failover when nobody could renew it for lease, EVENT and margin', async () => {
    const world = await cutOff([]);
    await world.run(5);
    expect((await world.boardNow()).roles?.active).toBe(PRIMARY);
    await world.run(2);
    const now = await world.boardNow();
    expect(brief(now)).toEqual([3, SECONDARY, 'finite', false]);
    expect(now.reasons.join()).toContain('it has closed itself');
  });

  test('is no change at all as long as an agent beside the active renews it', async () => {
    const world = await cutOff(['two']);
    await world.run(60);
    expect(brief(await world.boardNow())).toEqual([2, PRIMARY, 'finite', false]);
    // Nor when the passive loses it, too.
    world.b.look = { ...world.b.look, hearing: null, io: 'Connecting', replicationOk: false };
    await world.run(60);
    expect(brief(await world.boardNow())).toEqual([2, PRIMARY, 'finite', false]);
  });

  test('is no verdict without records, nor while the pair is unfenced', async () => {
    const world = await cutOff([]);
    world.agents = [];
    await world.run(30);
    expect((await world.boardNow()).roles?.active).toBe(PRIMARY);
    world.agents = ['one'];
    const { epoch } = await world.boardNow();
    if (epoch !== null) await world.store.putUnfenced(PAIR.uniqsign, epoch, true);
    await world.run(30);
    expect((await world.boardNow()).roles?.active).toBe(PRIMARY);
  });

  test('is waited for anew by an identify that has only begun to lead', async () => {
    const world = await cutOff([]);
    await world.run(4);
    world.identify = makeIdentifyRound({ ...world.parts });
    await world.run(5);
    expect((await world.boardNow()).roles?.active).toBe(PRIMARY);
    await world.run(2);
    expect((await world.boardNow()).roles?.active).toBe(SECONDARY);
  });
});

describe('a silent host that nobody can fence', () => {
  /** The secondary was to be opened in its place, and the agents hold; then it is back. `also`: what happened meanwhile. */
  async function comesBack(also: (world: World, epoch: Epoch) => Promise<unknown>) {
    const world = aWorld();
    world.agents = [];
    await world.run(2);
    world.idle = true;
    const before = world.a.look;
    world.a.look = GONE;
    world.b.look = { ...world.b.look, io: 'Connecting', replicationOk: false };
    await world.run(1);
    const { epoch } = await world.boardNow();
    if (epoch === null) throw new Error('nothing decided');
    expect(epoch.active).toBe(SECONDARY);
    world.b.row = { ...(world.b.row ?? aRow({})), epoch };
    await world.store.putReport(PAIR.uniqsign, {
      epoch,
      outcome: 'held',
      host: SECONDARY,
      why: 'on_unreachable=wait',
      atMs: world.clock.wall(),
      agent: 'one',
      noWriterMs: null,
    });
    await world.run(30);
    expect((await world.boardNow()).epoch).toEqual(epoch);
    await also(world, epoch);
    world.a.look = before;
    await world.run(1);
    return world;
  }

  test('keeps the decision while it is away, and gets the role back when it takes writes again', async () => {
    const world = await comesBack(() => Promise.resolve());
    expect(brief(await world.boardNow())).toEqual([3, PRIMARY, 'endless', true]);
    world.idle = false;
    world.b.look = { ...world.b.look, io: 'Yes', replicationOk: true };
    await world.run(30);
    expect((await world.boardNow()).epoch?.number).toBe(3);
  });

  test('does not get it back by that when the other host was opened meanwhile', async () => {
    const world = await comesBack(({ store }, epoch) => store.putOpened(PAIR.uniqsign, epoch, SECONDARY));
    expect(brief(await world.boardNow())).toEqual([2, SECONDARY, 'endless', true]);
  });

  test('does not get it back by that from an operator who forced the change', async () => {
    const world = await comesBack(async ({ store, clock, observe, identify }, epoch) => {
      await store.putPause(PAIR.uniqsign, null);
      const atMs = clock.wall();
      await observe();
      await store.putRequest(PAIR.uniqsign, {
        id: 'r',
        kind: 'failover',
        to: SECONDARY,
        by: 'dba',
        epoch,
        atMs,
        expiresMs: atMs + 9_000,
        withinSec: 60,
        refused: null,
      });
      await identify();
      await observe();
      await identify();
    });
    expect(brief(await world.boardNow())).toEqual([3, SECONDARY, 'endless', true]);
  });
});

describe('another server behind the address of a member', () => {
  test('is refused an operator who wants to switch over to it', async () => {
    const world = aWorld();
    const { epoch } = await world.armed();
    if (epoch === null) throw new Error('nothing decided');
    world.b.look = { ...world.b.look, boot: { uuid: 'another', startedSec: 5 } };
    const atMs = world.clock.wall();
    for (const kind of ['switchover', 'failover'] as const) {
      await world.store.putRequest(PAIR.uniqsign, {
        id: kind,
        kind,
        to: SECONDARY,
        by: 'dba',
        epoch,
        atMs,
        expiresMs: atMs + 9_000,
        withinSec: 9,
        refused: null,
      });
      await world.observe();
      await world.identify();
      expect((await world.boardNow()).request?.refused).toContain('IS ANOTHER SERVER');
    }
    expect((await world.boardNow()).epoch).toEqual(epoch);
  });
});

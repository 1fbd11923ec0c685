// When identify lets the lease of a pair be finite and when endless, and how the policy comes to the board (support/guarded-identify.ts).

import { describe, expect, test } from 'vitest';
import { NO_SAFETY } from '../src/core/decision.ts';
import { makeIdentifyRound } from '../src/identify.ts';
import { keysOf } from '../src/store/wire-keys.ts';
import { PRIMARY, SECONDARY } from './support/build.ts';
import { aWorld, brief, GONE, LEASE, PAIR } from './support/guarded-identify.ts';
import { aRow } from './support/rows.ts';

describe('the lease of a pair', () => {
  test('is endless at first, with the flag, and armed when two agents are there', async () => {
    const world = aWorld();
    await world.run(1);
    expect(brief(await world.boardNow())).toEqual([1, PRIMARY, 'endless', true]);
    await world.run(5);
    expect(brief(await world.boardNow())).toEqual([2, PRIMARY, 'finite', false]);
    await world.run(20);
    expect((await world.boardNow()).epoch?.number).toBe(2);
  });

  test('is not armed by one agent, and it is said why', async () => {
    const world = aWorld();
    world.agents = ['one'];
    await world.run(8);
    expect((await world.boardNow()).terms.lease).toBe('endless');
    expect(world.log.lines.join('\n')).toContain('1 of 2 agents (lease_agents) is registered');
  });

  test('stays armed when an agent is lost, and that is shouted about once', async () => {
    const world = aWorld();
    await world.armed();
    world.agents = ['one'];
    await world.run(20);
    expect((await world.boardNow()).terms.lease).toBe('finite');
    expect(
      world.log.lines.filter((line) => line.includes('ONLY ONE AGENT is registered') && !line.includes('over: ')),
    ).toHaveLength(1);
    world.agents = ['one', 'two'];
    await world.run(2);
    expect(world.log.lines.join('\n')).toContain('over: ONLY ONE AGENT');
  });

  test('goes with the role: a failover of an armed pair is to a finite one, and the flag stays down', async () => {
    const world = aWorld();
    await world.armed();
    world.idle = true;
    world.a.look = { failure: 'refused', connectionBroke: true, goneLooks: 9 };
    world.b.look = { ...world.b.look, io: 'Connecting', replicationOk: false };
    await world.run(1);
    expect(brief(await world.boardNow())).toEqual([3, SECONDARY, 'finite', false]);
  });

  test('is endless after a failover of a pair that is unfenced', async () => {
    const world = aWorld();
    world.agents = [];
    await world.run(2);
    world.idle = true;
    world.a.look = { failure: 'refused', connectionBroke: true, goneLooks: 9 };
    world.b.look = { ...world.b.look, io: 'Connecting', replicationOk: false };
    await world.run(1);
    expect(brief(await world.boardNow())).toEqual([2, SECONDARY, 'endless', true]);
  });

  test('sets the flag in the step of the decision, also when an agent clears it at that very moment', async () => {
    const world = aWorld();
    await world.armed();
    const { store } = world;
    const { epoch } = await world.boardNow();
    if (epoch === null) throw new Error('nothing decided');
    await store.putUnfenced(PAIR.uniqsign, epoch, true);
    world.idle = true;
    world.a.look = { failure: 'refused', connectionBroke: true, goneLooks: 9 };
    world.b.look = { ...world.b.look, io: 'Connecting', replicationOk: false };
    const commit = store.commitRoles.bind(store);
    store.commitRoles = async (...all) => {
      await store.putUnfenced(PAIR.uniqsign, epoch, false);
      return await commit(...all);
    };
    await world.run(1);
    expect(brief(await world.boardNow())).toEqual([3, SECONDARY, 'endless', true]);
  });

  test('is endless while it is paused, armed again afterwards, and a failover is not decided by either', async () => {
    const world = aWorld();
    await world.armed();
    await world.store.putPause(PAIR.uniqsign, { by: 'dba', atMs: world.clock.wall(), untilMs: null });
    await world.run(1);
    expect(brief(await world.boardNow())).toEqual([3, PRIMARY, 'endless', true]);
    await world.run(10);
    expect((await world.boardNow()).epoch?.number).toBe(3);
    await world.store.putPause(PAIR.uniqsign, null);
    await world.run(5);
    expect(brief(await world.boardNow())).toEqual([4, PRIMARY, 'finite', false]);
  });

  test('of a host that is silent when somebody pauses stays what it closes itself by', async () => {
    const world = aWorld();
    await world.armed();
    await world.store.putPause(PAIR.uniqsign, { by: 'dba', atMs: world.clock.wall(), untilMs: null });
    world.a.look = GONE;
    await world.run(5);
    expect(brief(await world.boardNow())).toEqual([2, PRIMARY, 'finite', false]);
  });

  test('is still waited for when an operator forces a failover from it while the pair is paused', async () => {
    const world = aWorld();
    const { epoch } = await world.armed();
    if (epoch === null) throw new Error('nothing is decided');
    const atMs = world.clock.wall();
    await world.store.putPause(PAIR.uniqsign, { by: 'dba', atMs, untilMs: null });
    world.a.look = GONE;
    world.b.look = { ...world.b.look, io: 'Connecting', replicationOk: false };
    await world.run(1);
    await world.store.putRequest(PAIR.uniqsign, {
      id: 'request',
      kind: 'failover',
      to: SECONDARY,
      by: 'dba',
      epoch,
      atMs,
      expiresMs: atMs + 10_000,
      withinSec: 10,
      refused: null,
    });
    world.idle = true;
    await world.run(1);
    // The flag would say that the lease of the silent host is endless, and it was not.
    expect(brief(await world.boardNow())).toEqual([3, SECONDARY, 'finite', false]);
    // Nobody need renew the new one's either, once it is open.
    world.idle = false;
    await world.run(2);
    expect(brief(await world.boardNow())).toEqual([4, SECONDARY, 'endless', true]);
  });

  test('cannot be given to a passive whose EVENT does not tick any more, and somebody is told before the active dies', async () => {
    const world = aWorld();
    await world.armed();
    const alarms = () => world.log.lines.filter((line) => line.includes('NO FAILOVER IS POSSIBLE'));
    expect(alarms()).toEqual([]);
    world.b.row = world.b.row === null ? null : { ...world.b.row, armed: false };
    await world.run(3);
    expect(alarms()).toHaveLength(1);
    expect(alarms()[0]).toContain(`the EVENT of ${SECONDARY} does not tick`);
    expect(brief(await world.boardNow())).toEqual([2, PRIMARY, 'finite', false]);
    world.b.row = world.b.row === null ? null : { ...world.b.row, armed: true };
    await world.run(1);
    expect(alarms().at(-1)).toContain('over: ');
  });

  test('is given up with fencing=none, and stays armed when its length changes', async () => {
    const world = aWorld();
    await world.armed();
    world.identify = makeIdentifyRound({ ...world.parts, policy: { ...LEASE, leaseMs: 5_000 } });
    await world.run(5);
    expect(brief(await world.boardNow())).toEqual([3, PRIMARY, 'finite', false]);
    world.identify = makeIdentifyRound({ ...world.parts, policy: NO_SAFETY });
    await world.run(8);
    expect(brief(await world.boardNow())).toEqual([4, PRIMARY, 'endless', true]);
    expect((await world.store.findPair(PAIR.uniqsign))?.policy.fencing).toBe('none');
  });

  /** The longest lease that somebody may still have, as those who wait for it find it. */
  const longest = async (world: ReturnType<typeof aWorld>) =>
    (await world.store.findPair(PAIR.uniqsign))?.longestLeaseMs;

  test('of a new length is not taken for the one that still runs, when the active dies in the very round of the change', async () => {
    const world = aWorld({ ...LEASE, leaseMs: 9_000 });
    await world.armed();
    world.idle = true;
    world.a.look = { failure: 'refused', connectionBroke: true, goneLooks: 9 };
    world.b.look = { ...world.b.look, io: 'Connecting', replicationOk: false };
    world.identify = makeIdentifyRound({ ...world.parts, policy: LEASE });
    await world.run(1);
    expect(brief(await world.boardNow())).toEqual([3, SECONDARY, 'finite', false]);
    expect(await longest(world)).toBe(9_000);
    // Until the new active is open any decision says so.
    world.b.row = aRow({ epoch: [5, '10.9.9.9:3306'], opened: 4 });
    await world.run(1);
    expect([...brief(await world.boardNow()), await longest(world)]).toEqual([6, SECONDARY, 'finite', false, 9_000]);
  });

  test('that was made shorter is waited for in its old length until the active has the new one', async () => {
    const world = aWorld({ ...LEASE, leaseMs: 9_000 });
    await world.armed();
    world.idle = true;
    world.identify = makeIdentifyRound({ ...world.parts, policy: LEASE });
    await world.run(1);
    expect([...brief(await world.boardNow()), await longest(world)]).toEqual([3, PRIMARY, 'finite', false, 9_000]);
    // Granted by decision 3, the next one need not tell of the old one.
    world.idle = false;
    await world.run(2);
    world.idle = true;
    world.a.look = { failure: 'refused', connectionBroke: true, goneLooks: 9 };
    world.b.look = { ...world.b.look, io: 'Connecting', replicationOk: false };
    await world.run(1);
    expect([...brief(await world.boardNow()), await longest(world)]).toEqual([4, SECONDARY, 'finite', false, 3_000]);
  });

  test('is waited with by a changed policy until a pause is over', async () => {
    const world = aWorld();
    await world.armed();
    await world.store.putPause(PAIR.uniqsign, { by: 'dba', atMs: world.clock.wall(), untilMs: null });
    await world.run(2);
    world.identify = makeIdentifyRound({ ...world.parts, policy: { ...LEASE, drainTimeoutSec: 9 } });
    await world.run(3);
    expect((await world.boardNow()).epoch?.number).toBe(3);
    await world.store.putPause(PAIR.uniqsign, null);
    await world.run(1);
    expect((await world.store.findPair(PAIR.uniqsign))?.policy.drainTimeoutSec).toBe(9);
  });

  test('is wanted by a policy that reaches the agents at once, long before it is armed', async () => {
    const world = aWorld(NO_SAFETY);
    world.agents = [];
    world.a.row = aRow({ epoch: [1, PRIMARY], opened: 1 });
    await world.run(2);
    world.identify = makeIdentifyRound({ ...world.parts, policy: LEASE });
    await world.run(1);
    expect((await world.store.findPair(PAIR.uniqsign))?.policy.fencing).toBe('lease');
  });

  test('is as long as the identify says that leads, also when it leads again', async () => {
    const world = aWorld();
    await world.armed();
    const first = world.identify;
    const leaseOnBoard = async () => (await world.store.findPair(PAIR.uniqsign))?.policy.leaseMs;
    world.identify = makeIdentifyRound({ ...world.parts, owner: 'identify-2', policy: { ...LEASE, leaseMs: 5_000 } });
    await world.run(20);
    expect(await leaseOnBoard()).toBe(5_000);
    expect((await world.boardNow()).terms.lease).toBe('finite');
    world.identify = first;
    await world.run(12);
    expect(await leaseOnBoard()).toBe(3_000);
  });

  test('stays as it is when another key of the policy changes', async () => {
    const world = aWorld();
    await world.armed();
    world.identify = makeIdentifyRound({ ...world.parts, policy: { ...LEASE, drainTimeoutSec: 9 } });
    await world.run(3);
    expect(brief(await world.boardNow())).toEqual([3, PRIMARY, 'finite', false]);
  });

  test('begins with the next decision when a pair that had none is guarded from now on', async () => {
    const world = aWorld(NO_SAFETY);
    await world.run(2);
    world.identify = makeIdentifyRound({ ...world.parts, policy: LEASE });
    await world.run(1);
    expect(brief(await world.boardNow())).toEqual([2, PRIMARY, 'endless', true]);
    await world.run(6);
    expect(brief(await world.boardNow())).toEqual([3, PRIMARY, 'finite', false]);
  });
});

test.each(['lost', 'garbled'])('a policy that is %s is written again, with the roles as they are', async (how) => {
  const world = aWorld();
  await world.armed();
  const key = keysOf(PAIR.uniqsign).policy;
  if (how === 'lost') world.board.hashes.delete(key);
  else world.board.put(key, new Map([['lease_ms', 'x']]));
  expect((await world.store.findPair(PAIR.uniqsign))?.policyIsKnown).toBe(false);
  await world.run(20);
  const found = await world.store.findPair(PAIR.uniqsign);
  expect(found).toMatchObject({ policy: LEASE, policyIsKnown: true });
  expect(brief(await world.boardNow())).toEqual([3, PRIMARY, 'finite', false]);
  expect((await world.boardNow()).terms.longestLeaseMs).toBe(300_000);
});

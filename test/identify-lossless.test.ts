// identify's rounds for a pair whose commits are to be without loss: when it becomes so, and whom the role goes to (support/guarded-identify.ts).

import { describe, expect, test } from 'vitest';
import type { Complete, Member } from '../src/core/complete.ts';
import { type Board, NO_SAFETY, type Policy } from '../src/core/decision.ts';
import { makeIdentifyRound } from '../src/identify.ts';
import { keysOf } from '../src/store/wire-keys.ts';
import { PRIMARY, SECONDARY } from './support/build.ts';
import { aWorld, GONE, LEASE, PAIR } from './support/guarded-identify.ts';

const LOSSLESS: Policy = { ...NO_SAFETY, durability: 'lossless' };
const U = PAIR.uniqsign;
type World = ReturnType<typeof aWorld>;

const member = (host: typeof PRIMARY): Member => ({ host, uuid: `uuid of ${host}`, startedSec: 1_700_000_000 });
const A = member(PRIMARY);
const B = member(SECONDARY);
const said = ({ epoch, roles, terms }: Board) => [epoch?.number, roles?.active, terms.lease, terms.durability];

/** Both servers have semi-synchronous replication, as the monitors tell once there are rows. */
function aLosslessWorld(policy = LOSSLESS): World {
  const world = aWorld(policy);
  for (const server of [world.a, world.b]) server.look = { ...server.look, hasSemiSync: true };
  return world;
}

/** As an agent writes it. */
async function put(world: World, generation: number, hosts: readonly Member[], writer = A): Promise<void> {
  const { epoch, complete } = await world.boardNow();
  if (epoch === null) throw new Error('nobody has decided yet');
  const next: Complete = { generation, writer, hosts };
  expect(await world.store.putComplete(U, epoch, complete?.generation ?? null, next)).toBe(true);
}

/** The pair is lossless, and both hosts are complete. */
async function both(policy = LOSSLESS): Promise<World> {
  const world = aLosslessWorld(policy);
  await world.run(6);
  expect((await world.boardNow()).terms.durability).toBe('lossless');
  await put(world, 7, [A, B]);
  await world.run();
  return world;
}

/** As an operator's command does; one round later. */
async function ask(world: World, kind: 'switchover' | 'failover'): Promise<Board> {
  const { epoch } = await world.boardNow();
  if (epoch === null) throw new Error('nobody has decided yet');
  const atMs = world.clock.wall();
  const about = { id: kind, kind, to: SECONDARY, by: 'dba', epoch, refused: null };
  expect(await world.store.putRequest(U, { ...about, atMs, expiresMs: atMs + 10_000, withinSec: 5 })).toBe(true);
  await world.run(1);
  return await world.boardNow();
}

function die(world: World): void {
  world.a.look = { ...world.a.look, failure: 'refused', connectionBroke: true, goneLooks: 9 };
  world.b.look = { ...world.b.look, io: 'Connecting', replicationOk: false };
}

describe('durability=lossless', () => {
  test('is decided once both servers are known to be able, for the same active, without a lease as with one', async () => {
    for (const policy of [LOSSLESS, { ...LEASE, durability: 'lossless' as const }]) {
      const world = aLosslessWorld(policy);
      await world.run(2);
      expect(said(await world.boardNow())).toEqual([2, PRIMARY, 'endless', 'lossless']);
      await world.run(10);
      const armed = policy.fencing === 'lease';
      expect(said(await world.boardNow())).toEqual([armed ? 3 : 2, PRIMARY, armed ? 'finite' : 'endless', 'lossless']);
    }
  });

  test('is not decided where a server is unable, and somebody is told once', async () => {
    const world = aLosslessWorld();
    world.b.look = { ...world.b.look, hasSemiSync: false };
    await world.run(6);
    expect(said(await world.boardNow())).toEqual([1, PRIMARY, 'endless', 'async']);
    const alarm = `runs async: ${SECONDARY} has no semi-synchronous replication (durability=lossless)`;
    expect(world.log.lines.filter((line) => line.includes('runs async') && line.includes('warn'))).toHaveLength(1);
    expect(world.log.lines.join('\n')).toContain(alarm);
    world.b.look = { ...world.b.look, hasSemiSync: true };
    await world.run(1);
    expect(said(await world.boardNow())).toEqual([2, PRIMARY, 'endless', 'lossless']);
    expect(world.log.lines.join('\n')).toContain(`over: ${alarm}`);
  });

  test('stays as it is through a failover, a loss of semi-synchronous replication, and a pause', async () => {
    const world = await both();
    world.b.look = { ...world.b.look, hasSemiSync: false };
    await world.store.putPause(U, { by: 'dba', atMs: 0, untilMs: null });
    await world.run(2);
    expect((await world.boardNow()).terms.durability).toBe('lossless');
    await world.store.putPause(U, null);
    die(world);
    await world.run(3);
    expect(said(await world.boardNow()).slice(1)).toEqual([SECONDARY, 'endless', 'lossless']);
  });

  test('begins without a set, whatever was complete before commits were acknowledged by the active alone', async () => {
    const world = await both();
    world.identify = makeIdentifyRound({ ...world.parts, policy: NO_SAFETY });
    await world.run(2);
    expect((await world.boardNow()).terms.durability).toBe('async');
    world.identify = makeIdentifyRound({ ...world.parts });
    await world.run(8);
    const now = await world.boardNow();
    expect([now.terms.durability, now.complete]).toEqual(['lossless', null]);
    die(world);
    await world.run(4);
    expect((await world.boardNow()).roles?.active).toBe(PRIMARY);
  });

  test('goes with the policy, in the decision that brings the policy to the board', async () => {
    const world = await both();
    world.identify = makeIdentifyRound({ ...world.parts, policy: NO_SAFETY });
    await world.run(1);
    expect((await world.boardNow()).terms.durability).toBe('async');
    await world.run(3);
    expect((await world.boardNow()).terms.durability).toBe('async');
  });
});

describe('without loss the role', () => {
  test('goes to a complete host when the active dies, and leaves it to the agents who is complete then', async () => {
    const world = await both();
    const { complete } = await world.boardNow();
    const { look } = world.a;
    die(world);
    await world.run(3);
    const now = await world.boardNow();
    expect(now.roles?.active).toBe(SECONDARY);
    expect(now.complete).toEqual(complete);
    // It comes back: until it has joined it is incomplete, and nobody needs to look.
    await put(world, 8, [B], B);
    world.a.look = { ...look, readOnly: true, connections: 0 };
    world.b.look = { ...world.b.look, io: 'Yes', replicationOk: true };
    await world.run(3);
    expect((await world.boardNow()).roles?.active).toBe(SECONDARY);
    expect(world.log.lines.filter((line) => line.includes('NO FAILOVER IS POSSIBLE'))).toEqual([]);
  });

  test('stays with the dead active while the other host is not complete, with the reason, and goes when it is', async () => {
    const world = await both();
    await put(world, 8, [A]);
    await world.run(3);
    const alarms = () => world.log.lines.filter((line) => line.startsWith('warn NO FAILOVER IS POSSIBLE'));
    expect(alarms()).toEqual([]);
    die(world);
    await world.run(5);
    expect((await world.boardNow()).roles?.active).toBe(PRIMARY);
    const why = `${SECONDARY} does not hold every acknowledged commit: only ${PRIMARY} does`;
    expect(alarms()).toEqual([`warn NO FAILOVER IS POSSIBLE: ${why}`]);
    expect(world.log.lines.join('\n')).toContain(
      `${SECONDARY} does not become active (durability=lossless): ${SECONDARY} does not hold every acknowledged commit`,
    );
    await put(world, 9, [A, B]);
    await world.run(1);
    expect((await world.boardNow()).roles?.active).toBe(SECONDARY);
  });

  test('stays without an alarm where the active was restarted beside a dead passive: it is opened again', async () => {
    const world = await both();
    world.idle = true;
    world.b.look = { ...world.b.look, ...GONE };
    const boot = { uuid: A.uuid, startedSec: A.startedSec + 600 };
    world.a.look = { ...world.a.look, readOnly: true, boot };
    await world.run(4);
    expect((await world.boardNow()).roles?.active).toBe(PRIMARY);
    expect(world.log.lines.filter((line) => line.includes('NO FAILOVER IS POSSIBLE'))).toEqual([]);
  });

  test('goes wherever an operator forces it, and by a switchover to a complete host only', async () => {
    const world = await both();
    await put(world, 8, [A]);
    await world.run(1);
    const refused = await ask(world, 'switchover');
    expect(refused.roles?.active).toBe(PRIMARY);
    expect(refused.request?.refused).toBe(`${SECONDARY} does not hold every acknowledged commit: only ${PRIMARY} does`);
    expect((await ask(world, 'failover')).roles?.active).toBe(SECONDARY);
    expect((await ask(await both(), 'switchover')).roles?.active).toBe(SECONDARY);
  });

  test('goes nowhere by a set that is older than one that was seen, on the board or in the row of the active', async () => {
    const onBoard = await both();
    await put(onBoard, 8, [A]);
    await onBoard.run(1);
    const inRow = await both();
    inRow.a.row = inRow.a.row === null ? null : { ...inRow.a.row, generation: 8 };
    await inRow.run(1);
    for (const world of [onBoard, inRow]) {
      const old: Complete = { generation: 7, writer: A, hosts: [A, B] };
      // A dump that came back within one decision.
      world.board.hashes.delete(keysOf(U).complete);
      await put(world, old.generation, old.hosts);
      die(world);
      await world.run(4);
      expect((await world.boardNow()).roles?.active).toBe(PRIMARY);
      expect(world.log.lines.join('\n')).toContain('the board holds set 7, and set 8 was written already');
    }
  });
});

test('a set that another identify let begin anew counts for the one that leads again', async () => {
  const world = await both();
  await world.clock.advance(11_000);
  expect(await world.store.lead(U, 'identify-2', 60_000)).toBe(true);
  await world.run(1);
  world.board.hashes.delete(keysOf(U).complete);
  await put(world, 3, [A, B]);
  await world.store.resign(U, 'identify-2');
  await world.run(1);
  die(world);
  await world.run(3);
  expect((await world.boardNow()).roles?.active).toBe(SECONDARY);
});

describe('an emptied board', () => {
  test('leaves the role to the host that was opened last, lossless, and forgets who was complete', async () => {
    const world = await both();
    world.idle = true;
    world.board.empty();
    await world.run(4);
    const now = await world.boardNow();
    expect(said(now)).toEqual([3, PRIMARY, 'endless', 'lossless']);
    expect(now.complete).toBeNull();
    // The set begins anew, with whatever generation.
    world.idle = false;
    await world.run(1);
    await put(world, 1, [A, B]);
    die(world);
    await world.run(3);
    expect((await world.boardNow()).roles?.active).toBe(SECONDARY);
  });

  test('moves nothing to a host that answers alone and is closed, until the other one is back', async () => {
    const world = await both();
    const { look } = world.a;
    world.board.empty();
    world.identify = makeIdentifyRound({ ...world.parts });
    world.idle = true;
    world.a.look = { ...look, ...GONE };
    world.b.look = { ...world.b.look, io: 'Connecting', replicationOk: false };
    // As if it had been the active once, and away since.
    world.b.row = world.b.row === null ? null : { ...world.b.row, epoch: { number: 1, id: 'e1', active: SECONDARY } };
    await world.run(6);
    expect((await world.boardNow()).roles).toBeNull();
    expect(world.log.lines.join('\n')).toContain('nothing changes under durability=lossless');
    expect(world.log.lines.join('\n')).toContain('warn NO FAILOVER IS POSSIBLE: nobody knows whether');
    world.a.look = { ...look, readOnly: true };
    await world.run(1);
    expect(said(await world.boardNow()).slice(1)).toEqual([PRIMARY, 'endless', 'lossless']);
  });
});

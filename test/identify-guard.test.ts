// identify's rounds for a pair with a safety on: what it commits, on a board in memory, from what monitors and agents say second by second.

import { describe, expect, test } from 'vitest';
import type { AgentRecord, Renewal } from '../src/core/agents.ts';
import { type Board, NO_SAFETY, NO_TERMS, type Policy } from '../src/core/decision.ts';
import type { SeenRow } from '../src/core/observation.ts';
import { type Epoch, type Host, rolesWith } from '../src/core/pair.ts';
import { type IdentifyParts, makeIdentifyRound } from '../src/identify.ts';
import type { Store } from '../src/store/store.ts';
import { keysOf } from '../src/store/wire-keys.ts';
import { anObservation, aPair, aSighting, PRIMARY, SECONDARY } from './support/build.ts';
import { FakeClock, fakeRandom } from './support/fake-clock.ts';
import { fakeLog } from './support/fake-log.ts';
import { MemoryBoard } from './support/memory-store.ts';
import { aRow } from './support/rows.ts';

type Look = NonNullable<Parameters<typeof anObservation>[0]>;

const PAIR = aPair();
const LEASE: Policy = { ...NO_SAFETY, fencing: 'lease' };
const GONE: Look = { failure: 'silent', goneLooks: 9 };

interface ServerState {
  look: Look;
  row: SeenRow | null;
}

/** Two servers, agents that obey at once unless `idle`, and an identify that looks each second. */
function aWorld(policy: Policy = LEASE) {
  const clock = new FakeClock();
  const board = new MemoryBoard(() => clock.wall());
  const store = board.store({ topic: 'topic' });
  const log = fakeLog();
  const parts: IdentifyParts = {
    pair: PAIR,
    tryTimes: 2,
    policy,
    pacing: { minFailoverIntervalSec: 60, failback: 'auto' },
    store,
    clock,
    random: fakeRandom(),
    log,
    owner: 'identify-1',
    leadMs: 10_000,
  };
  const boot = (host: Host) => ({ uuid: `uuid of ${host}`, startedSec: 1_700_000_000 });
  const a: ServerState = { look: { connections: 3, boot: boot(PRIMARY) }, row: null };
  const b: ServerState = { look: { readOnly: true, connections: 0, boot: boot(SECONDARY) }, row: null };
  const world = {
    clock,
    board,
    store,
    log,
    parts,
    identify: makeIdentifyRound(parts),
    a,
    b,
    agents: ['one', 'two'],
    /** Agents do nothing. */
    idle: false,
    boardNow: () => store.board(PAIR.uniqsign),
    async observe() {
      const atMs = clock.wall();
      const of = (host: Host, { look, row }: ServerState) => anObservation({ host, row, ...look, atMs });
      await store.putSighting(PAIR.uniqsign, aSighting([of(PRIMARY, world.a), of(SECONDARY, world.b)]));
    },
    /** Claims what answers, opens the active, clears the flag of a finite lease. */
    async obey() {
      const { epoch, terms, roles } = await world.boardNow();
      if (epoch === null || roles === null || terms.lease === null) return;
      for (const [host, server] of [
        [PRIMARY, world.a],
        [SECONDARY, world.b],
      ] as const) {
        if (server.look.failure !== undefined) continue;
        const before = server.row ?? aRow({ lease: 'none' });
        if ((before.epoch?.number ?? 0) > epoch.number) return;
        const isActive = host === epoch.active;
        server.row = isActive
          ? { ...before, epoch, opened: { number: epoch.number, id: epoch.id, startedSec: 1 }, lease: terms.lease }
          : { ...before, epoch };
        server.look = { ...server.look, readOnly: !isActive, connections: isActive ? 3 : 0 };
      }
      await store.putReport(PAIR.uniqsign, {
        epoch,
        outcome: 'opened',
        host: epoch.active,
        why: 'test',
        atMs: clock.wall(),
        agent: 'one',
        noWriterMs: null,
      });
      if (terms.lease === 'finite') await store.putUnfenced(PAIR.uniqsign, epoch, false);
      for (const [host, server] of [
        [PRIMARY, world.a],
        [SECONDARY, world.b],
      ] as const) {
        if (server.look.failure === undefined)
          await store.putLife(PAIR.uniqsign, epoch, host, {
            ...boot(host),
            cameUpReadOnly: false,
            armed: terms.lease === 'finite',
          });
      }
    },
    async run(rounds = 1) {
      for (let count = 0; count < rounds; count++) {
        await world.observe();
        for (const name of world.agents) await store.putAgent(PAIR.uniqsign, world.record(name));
        await world.identify();
        if (!world.idle) await world.obey();
        await clock.advance(1_000);
      }
    },
    record: (name: string): AgentRecord => ({
      name,
      reachesBoth: world.a.look.failure === undefined && world.b.look.failure === undefined,
      renewal: null,
    }),
    async armed() {
      await world.run(6);
      const now = await world.boardNow();
      expect(now.terms.lease).toBe('finite');
      expect(now.unfenced).toBe(false);
      return now;
    },
  };
  return world;
}

const brief = ({ epoch, roles, terms, unfenced }: Board) => [epoch?.number, roles?.active, terms.lease, unfenced];

/** A board as a dump: everything in it. */
function dump(board: MemoryBoard): () => void {
  const hashes = structuredClone([...board.hashes]);
  const strings = structuredClone([...board.strings]);
  const sets = structuredClone([...board.sets]);
  return () => {
    board.empty();
    for (const [key, fields] of hashes) board.put(key, fields);
    for (const [key, text] of strings) board.strings.set(key, text);
    for (const [key, members] of sets) board.sets.set(key, members);
  };
}

describe('a pair without a safety', () => {
  test('has decisions without a lease, and nobody asks for agents', async () => {
    const world = aWorld(NO_SAFETY);
    world.parts.store.agents = () => Promise.reject(new Error('asked for agents'));
    await world.run(3);
    expect(brief(await world.boardNow())).toEqual([1, PRIMARY, null, null]);
  });

  test('gets guarded decisions, of endless leases, when a server has a row of ours', async () => {
    const world = aWorld(NO_SAFETY);
    world.b.row = aRow({ epoch: [4, PRIMARY], opened: 3 });
    world.a.row = aRow({ epoch: [4, PRIMARY], opened: 4 });
    await world.run(8);
    expect(brief(await world.boardNow())).toEqual([5, PRIMARY, 'endless', true]);
  });
});

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

  test('is given up with fencing=none, and disarmed and armed anew when its length changes', async () => {
    const world = aWorld();
    await world.armed();
    world.identify = makeIdentifyRound({ ...world.parts, policy: { ...LEASE, leaseMs: 5_000 } });
    await world.run(1);
    expect(brief(await world.boardNow())).toEqual([3, PRIMARY, 'endless', true]);
    await world.run(5);
    expect(brief(await world.boardNow())).toEqual([4, PRIMARY, 'finite', false]);
    world.identify = makeIdentifyRound({ ...world.parts, policy: NO_SAFETY });
    await world.run(8);
    expect(brief(await world.boardNow())).toEqual([5, PRIMARY, 'endless', true]);
    expect((await world.store.findPair(PAIR.uniqsign))?.policy.fencing).toBe('none');
  });

  test('of a new length is not taken for the one that still runs, when the active dies before it could be disarmed', async () => {
    const world = aWorld();
    await world.armed();
    world.idle = true;
    world.a.look = { failure: 'refused', connectionBroke: true, goneLooks: 9 };
    world.b.look = { ...world.b.look, io: 'Connecting', replicationOk: false };
    world.identify = makeIdentifyRound({ ...world.parts, policy: { ...LEASE, leaseMs: 2_000 } });
    await world.run(1);
    expect(brief(await world.boardNow())).toEqual([3, SECONDARY, 'endless', true]);
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

/** The first one may have begun before the board went back. */
const LOOKS_SINCE = 3;

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
  expect(brief(await world.boardNow())).toEqual([4, PRIMARY, 'finite', false]);
});

test('a decision names the last one for the other host, until the board is written anew', async () => {
  const world = aWorld();
  await world.armed();
  const otherNumber = async () => (await world.boardNow()).terms.otherNumber;
  expect(await otherNumber()).toBeNull();
  world.a.look = { ...world.a.look, failure: 'refused', connectionBroke: true, goneLooks: 9 };
  world.b.look = { ...world.b.look, io: 'Connecting', replicationOk: false };
  await world.run(1);
  expect([(await world.boardNow()).roles?.active, await otherNumber()]).toEqual([SECONDARY, 2]);
  // A decision that keeps the active: its lease becomes endless.
  await world.store.putPause(PAIR.uniqsign, { by: 'dba', atMs: world.clock.wall(), untilMs: null });
  await world.run(2);
  const now = await world.boardNow();
  expect([now.epoch?.number, now.roles?.active, await otherNumber()]).toEqual([4, SECONDARY, 2]);
  world.board.empty();
  await world.run(LOOKS_SINCE);
  const anew = await world.boardNow();
  expect([anew.epoch?.number, anew.roles?.active, await otherNumber()]).toEqual([5, SECONDARY, null]);
});

describe('an empty or old board', () => {
  /** Decision 3 has moved the role to the secondary; the primary is back, closed, and knows of it. */
  async function movedOver() {
    const world = aWorld();
    await world.armed();
    const restore = dump(world.board);
    world.a.look = { ...world.a.look, failure: 'refused', connectionBroke: true, goneLooks: 9 };
    world.b.look = { ...world.b.look, io: 'Connecting', replicationOk: false };
    await world.run(2);
    const { failure: _, connectionBroke: __, goneLooks: ___, ...back } = world.a.look;
    world.a.look = { ...back, readOnly: true };
    world.b.look = { ...world.b.look, io: 'Yes', replicationOk: true };
    await world.run(2);
    const now = await world.boardNow();
    expect(now.roles?.active).toBe(SECONDARY);
    return { world, restore, number: now.epoch?.number ?? 0 };
  }

  test.each(['the same identify', 'another identify'])(
    'keeps the role where it is after an old dump, by %s',
    async (who) => {
      const { world, restore, number } = await movedOver();
      restore();
      expect((await world.boardNow()).roles?.active).toBe(PRIMARY);
      if (who === 'another identify') world.identify = makeIdentifyRound({ ...world.parts });
      await world.run(who === 'another identify' ? 1 : LOOKS_SINCE);
      expect(brief(await world.boardNow())).toEqual([number + 1, SECONDARY, 'endless', true]);
      await world.run(8);
      expect(brief(await world.boardNow())).toEqual([number + 2, SECONDARY, 'finite', false]);
    },
  );

  test.each(['the same identify', 'another identify'])(
    'keeps the role where it is after it was emptied, by %s',
    async (who) => {
      const { world, number } = await movedOver();
      // Power was lost as well: both came back closed.
      world.b.look = { ...world.b.look, readOnly: true };
      world.board.empty();
      if (who === 'another identify') world.identify = makeIdentifyRound({ ...world.parts });
      await world.run(who === 'another identify' ? 1 : LOOKS_SINCE);
      expect(brief(await world.boardNow())).toEqual([number + 1, SECONDARY, 'endless', true]);
    },
  );

  test('is not answered by what the monitors had written into it: only by looks that began since', async () => {
    const { world, restore, number } = await movedOver();
    restore();
    // The dump is young: its rows still say that the primary was opened last, and its dates look fresh.
    for (let round = 0; round < 3; round++) {
      await world.identify();
      expect((await world.boardNow()).epoch?.number).toBeLessThan(number);
      await world.clock.advance(1_000);
    }
    await world.run(LOOKS_SINCE);
    expect(brief(await world.boardNow())).toEqual([number + 1, SECONDARY, 'endless', true]);
  });

  test('goes on with a change that was under way: claimed on the host to be opened, not opened yet', async () => {
    const world = aWorld();
    const { epoch } = await world.armed();
    const restore = dump(world.board);
    world.a.look = GONE;
    world.b.look = { ...world.b.look, io: 'Connecting', replicationOk: false };
    world.idle = true;
    await world.run(1);
    const decided: Epoch | null = (await world.boardNow()).epoch;
    expect(decided?.active).toBe(SECONDARY);
    world.b.row = { ...(world.b.row ?? aRow({})), epoch: decided };
    restore();
    expect((await world.boardNow()).epoch).toEqual(epoch);
    world.identify = makeIdentifyRound({ ...world.parts });
    await world.run(1);
    // Nobody knows any more what the lease of the silent host is: the flag is up.
    expect(brief(await world.boardNow())).toEqual([(decided?.number ?? 0) + 1, SECONDARY, 'endless', true]);
  });

  test('gives nothing away when the silent host is the one that was opened last: its failover needs confirmations', async () => {
    const { world, number } = await movedOver();
    world.idle = true;
    world.board.empty();
    world.b.look = { failure: 'silent', goneLooks: 0 };
    world.identify = makeIdentifyRound({ ...world.parts });
    await world.run(1);
    expect(brief(await world.boardNow())).toEqual([number + 1, SECONDARY, 'endless', true]);
    await world.run(1);
    expect((await world.boardNow()).roles?.active).toBe(SECONDARY);
    await world.run(3);
    expect((await world.boardNow()).roles?.active).toBe(PRIMARY);
  });

  test('answers no request of the dump', async () => {
    const { world, restore, number } = await movedOver();
    restore();
    const { epoch } = await world.boardNow();
    if (epoch === null) throw new Error('nothing decided');
    const atMs = world.clock.wall();
    await world.store.putRequest(PAIR.uniqsign, {
      id: 'r',
      kind: 'failover',
      to: PRIMARY,
      by: 'dba',
      epoch,
      atMs,
      expiresMs: atMs + 9_000,
      withinSec: 9,
      refused: null,
    });
    world.identify = makeIdentifyRound({ ...world.parts });
    await world.run(1);
    expect(brief(await world.boardNow())).toEqual([number + 1, SECONDARY, 'endless', true]);
  });

  test('takes a higher number for the same roles where a server from elsewhere refuses the present one', async () => {
    const world = aWorld();
    const { lives } = await world.armed();
    world.b.look = { ...world.b.look, boot: { uuid: 'brought from elsewhere', startedSec: 5 } };
    world.b.row = aRow({ epoch: [400, SECONDARY], opened: 400 });
    expect(lives.get(SECONDARY)?.uuid).toBe(`uuid of ${SECONDARY}`);
    world.idle = true;
    await world.run(3);
    expect(brief(await world.boardNow())).toEqual([401, PRIMARY, 'finite', false]);
    const shouts = world.log.lines.filter((line) => line.startsWith('warn') && line.includes('IS ANOTHER SERVER'));
    expect(shouts).toHaveLength(1);
  });

  test('and where a server brings a row from another pair', async () => {
    const world = aWorld();
    await world.armed();
    world.b.row = aRow({ epoch: [400, '10.9.9.9:3306'], opened: 400 });
    world.idle = true;
    await world.run(3);
    expect(brief(await world.boardNow())).toEqual([401, PRIMARY, 'finite', false]);
  });

  test('is known to be old by what this process saw there, though no server was claimed yet, and stays known', async () => {
    const world = aWorld();
    const { epoch } = await world.armed();
    const restore = dump(world.board);
    world.idle = true;
    const next: Epoch = { number: 9, id: 'f'.repeat(32), active: PRIMARY };
    const decision = {
      roles: rolesWith(PAIR, PRIMARY),
      epoch: next,
      reasons: [],
      atMs: world.clock.wall(),
      terms: { ...NO_TERMS, lease: 'finite' as const },
      unfenced: null,
    };
    expect(await world.store.commitRoles(PAIR.uniqsign, decision, epoch, LEASE)).toEqual({ kind: 'committed' });
    await world.run(1);
    restore();
    const { a, b } = world;
    world.a = { ...a, look: GONE };
    world.b = { ...b, look: GONE };
    await world.run(2);
    expect((await world.boardNow()).epoch).toEqual(epoch);
    Object.assign(world, { a, b });
    await world.run(1);
    expect(brief(await world.boardNow())).toEqual([10, PRIMARY, 'endless', true]);
  });

  test('speaks of no failed change: what the dump reports befell another decision', async () => {
    const world = aWorld();
    const { epoch } = await world.armed();
    if (epoch === null) throw new Error('nothing decided');
    await world.store.putReport(PAIR.uniqsign, {
      epoch: { number: 2, id: epoch.id },
      outcome: 'failed',
      host: SECONDARY,
      why: 'once',
      atMs: world.clock.wall(),
      agent: 'one',
      noWriterMs: null,
    });
    expect((await world.boardNow()).report?.outcome).toBe('failed');
    const restore = dump(world.board);
    world.a.row = aRow({ epoch: [8, PRIMARY], opened: 8 });
    world.b.row = aRow({ epoch: [8, PRIMARY], opened: 1 });
    restore();
    world.identify = makeIdentifyRound({ ...world.parts });
    await world.run(6);
    expect((await world.boardNow()).roles?.active).toBe(PRIMARY);
    // Clients move: the secondary is not held to be a host that could not be opened.
    world.idle = true;
    world.a.look = { ...world.a.look, connections: 0 };
    world.b.look = { ...world.b.look, connections: 4 };
    await world.run(4);
    expect((await world.boardNow()).roles?.active).toBe(SECONDARY);
  });

  test('follows the last agent, which made the lease endless while the board was away', async () => {
    const world = aWorld();
    const { epoch } = await world.armed();
    const next: Epoch = { number: (epoch?.number ?? 0) + 1, id: 'f'.repeat(32), active: PRIMARY };
    world.b.row = { ...(world.b.row ?? aRow({})), epoch: next, unfenced: true };
    world.a.row = { ...(world.a.row ?? aRow({})), epoch: next, opened: { ...next, startedSec: 1 }, lease: 'endless' };
    await world.run(1);
    expect(brief(await world.boardNow())).toEqual([next.number + 1, PRIMARY, 'endless', true]);
  });
});

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
  async function comesBack(also: (world: ReturnType<typeof aWorld>, epoch: Epoch) => Promise<unknown>) {
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

test('an unguarded decision never touches the flag', async () => {
  const world = aWorld(NO_SAFETY);
  const seen: (boolean | null)[] = [];
  const commit: Store['commitRoles'] = world.store.commitRoles.bind(world.store);
  world.store.commitRoles = (uniqsign, decision, ...more) => {
    seen.push(decision.unfenced);
    const { changedAtMs, otherNumber } = decision.terms;
    expect(decision.terms).toMatchObject({ ...NO_TERMS, lease: null, changedAtMs, otherNumber });
    expect(decision.roles).toEqual(rolesWith(PAIR, decision.epoch.active));
    return commit(uniqsign, decision, ...more);
  };
  await world.run(2);
  world.a.look = { failure: 'refused', connectionBroke: true, goneLooks: 9 };
  world.b.look = { ...world.b.look, io: 'Connecting', replicationOk: false };
  await world.run(2);
  expect(seen).toEqual([null, null]);
});

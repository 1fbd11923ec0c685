// What identify makes of a board that was emptied or restored from a dump, with a safety on: the servers know better (support/guarded-identify.ts).

import { describe, expect, test } from 'vitest';
import type { Renewal } from '../src/core/agents.ts';
import { NO_TERMS } from '../src/core/decision.ts';
import { type Epoch, type Host, rolesWith } from '../src/core/pair.ts';
import { makeIdentifyRound } from '../src/identify.ts';
import { PRIMARY, SECONDARY } from './support/build.ts';
import { aWorld, brief, GONE, LEASE, PAIR } from './support/guarded-identify.ts';
import type { MemoryBoard } from './support/memory-store.ts';
import { aRow } from './support/rows.ts';

/** The first one may have begun before the board went back. */
const LOOKS_SINCE = 3;

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

  describe('whose servers’ rows no monitor may read', () => {
    /** Every agent renews the lease of the host that took writes last, by its row, which the monitors do not see. */
    function unreadable(world: ReturnType<typeof aWorld>, active: Host) {
      const row = active === PRIMARY ? world.a.row : world.b.row;
      if (row?.opened == null) throw new Error('nobody was opened');
      const { number, id } = row.opened;
      let successes = 0;
      world.record = (name) => {
        successes += 1;
        const renewal: Renewal = { host: active, epoch: { number, id }, outcome: 'renewed', successes };
        return { name, reachesBoth: true, renewal };
      };
      world.a.row = null;
      world.b.row = null;
      world.idle = true;
    }

    test('gets a number above that of the agents, who obey no lower one', async () => {
      const { world, number } = await movedOver();
      unreadable(world, SECONDARY);
      world.board.empty();
      world.identify = makeIdentifyRound({ ...world.parts });
      // The agents had not said a word on the new board when identify first looked.
      world.agents = [];
      await world.run(1);
      expect(brief(await world.boardNow())).toEqual([1, SECONDARY, 'endless', true]);
      world.agents = ['one', 'two'];
      await world.run(LOOKS_SINCE);
      expect(brief(await world.boardNow())).toEqual([number + 1, SECONDARY, 'endless', true]);
      await world.run(5);
      expect((await world.boardNow()).epoch?.number).toBe(number + 1);
    });

    test('keeps the role where the agents renew it after an old dump, though the monitors do not reach that host', async () => {
      const { world, restore, number } = await movedOver();
      unreadable(world, SECONDARY);
      restore();
      world.b.look = { failure: 'silent', goneLooks: 0 };
      world.a.row = aRow({ epoch: [2, PRIMARY], opened: 2 });
      world.identify = makeIdentifyRound({ ...world.parts });
      await world.run(LOOKS_SINCE);
      expect((await world.boardNow()).roles?.active).toBe(SECONDARY);
      expect((await world.boardNow()).epoch?.number).toBeGreaterThan(number);
    });
  });

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

// What identify makes of what was seen, from an empty board to a dump that comes back: the real rounds (support/rounds.ts).

import { describe, expect, it } from 'vitest';
import { NO_SAFETY } from '../src/core/decision.ts';
import { makeIdentifyRound } from '../src/identify.ts';
import { decodeMessage } from '../src/store/wire-message.ts';
import { PRIMARY, SECONDARY } from './support/build.ts';
import { failure } from './support/facts.ts';
import { aWorld, writable } from './support/rounds.ts';

describe('a start with an empty board', () => {
  it('adopts the host that is writable and changes nothing', async () => {
    const world = aWorld();
    await world.run(3);
    expect((await world.store.board(world.pair.uniqsign)).roles).toEqual({ active: PRIMARY, passive: SECONDARY });
    expect(world.a.did).toEqual([]);
    expect(world.b.did).toEqual([]);
  });

  it('adopts the secondary, too, when that is the writable one', async () => {
    const world = aWorld();
    world.a.facts = { ...world.a.facts, readOnly: true };
    world.b.facts = { ...world.b.facts, readOnly: false, connections: 3 };
    await world.run(3);
    expect((await world.store.board(world.pair.uniqsign)).roles?.active).toBe(SECONDARY);
    expect(writable(world)).toEqual([SECONDARY]);
  });

  it('opens the primary of two hosts that are read only', async () => {
    const world = aWorld();
    world.a.facts = { ...world.a.facts, readOnly: true };
    await world.run(3);
    expect(writable(world)).toEqual([PRIMARY]);
    expect(world.messages).toHaveLength(1);
    expect(decodeMessage(world.messages[0] ?? '').value?.roles).toEqual({ active: PRIMARY, passive: SECONDARY });
  });
});

describe('a failover', () => {
  it('fails over when the active died, mails the message, and reports it', async () => {
    const world = aWorld();
    await world.run(2);
    world.a.die(world.b);
    await world.run(2);
    expect(writable(world)).toContain(SECONDARY);
    expect(world.b.did).toEqual(['stop-io', 'open']);
    const board = await world.store.board(world.pair.uniqsign);
    expect(board.report).toMatchObject({ outcome: 'opened', host: SECONDARY, agent: 'agent-1' });
    expect(world.mails).toHaveLength(1);
    expect(world.mails[0]?.subject).toBe('mmm-manager change');
    expect(world.mails[0]?.body.split('\n')[0]).toBe(world.messages.at(-1));
  });

  it('closes the old active when it comes back writable, then lets both replicate again', async () => {
    const world = aWorld();
    await world.run(2);
    world.a.freeze();
    await world.run(3);
    expect(writable(world)).toContain(SECONDARY);
    world.a.down = null;
    // The round that finds it awake wakes the one that closes it.
    await world.act();
    expect(world.wakes).toEqual(['agent']);
    await world.act();
    expect(writable(world)).toEqual([SECONDARY]);
    expect(world.a.did).toEqual(['close']);
    expect(world.b.did).toEqual(['stop-io', 'open', 'start-io']);
  });

  it('asks a silent host again without waiting for the interval, so that it is closed as soon as it wakes', async () => {
    const world = aWorld();
    await world.run(2);
    world.a.freeze();
    await world.run(3);
    expect(await world.act()).toEqual({ nextMs: 100 });
    await world.clock.advance(700_000);
    expect(await world.act()).toEqual({});
  });

  it.each(['saturated', 'auth-refused', 'blocked', 'server-error'] as const)(
    'does not fail over when the active is %s',
    async (kind) => {
      const world = aWorld();
      await world.run(2);
      world.a.down = failure(kind);
      await world.run(5);
      expect(world.b.did).toEqual([]);
      expect((await world.store.board(world.pair.uniqsign)).roles?.active).toBe(PRIMARY);
    },
  );
});

describe('identify', () => {
  it('takes a switchover back that the agents could not finish, and leaves the other host alone for a minute', async () => {
    const world = aWorld();
    // The role is at the secondary, clients are at the primary: the contract's rules want it back there.
    world.a.facts = { ...world.a.facts, readOnly: true };
    world.b.facts = { ...world.b.facts, readOnly: false };
    await world.run(2);
    // What the secondary holds never arrives.
    world.a.beforeStep = (step) => {
      if (step.do === 'await-received') world.a.facts = { ...world.a.facts, replication: null };
    };
    world.b.facts = { ...world.b.facts, binlog: { file: 'bin.000001', pos: 900 } };
    await world.run(7);
    expect(world.b.did).toContain('close');
    expect(writable(world)).toEqual([SECONDARY]);
    const board = await world.store.board(world.pair.uniqsign);
    expect(board.roles?.active).toBe(SECONDARY);
    expect(board.report?.outcome).toBe('opened');
    const { number } = board.epoch ?? { number: 0 };
    await world.run(30);
    expect((await world.store.board(world.pair.uniqsign)).epoch?.number).toBe(number);
  });

  it('lets one of two decide, and the other go on when the first is gone', async () => {
    const world = aWorld();
    const second = makeIdentifyRound({ ...world.identifyParts, owner: 'identify-2', log: world.log });
    await world.run(2);
    world.a.die(world.b);
    for (let count = 0; count < 4; count++) {
      await world.monitor();
      await second();
      await world.clock.advance(1_000);
    }
    expect((await world.store.board(world.pair.uniqsign)).roles?.active).toBe(PRIMARY);
    await world.clock.advance(10_000);
    for (let count = 0; count < 3; count++) {
      await world.monitor();
      await second();
      await world.clock.advance(1_000);
    }
    expect((await world.store.board(world.pair.uniqsign)).roles?.active).toBe(SECONDARY);
  });

  it('follows the servers, not the dump, when an older board comes back, and takes a higher epoch', async () => {
    const world = aWorld();
    await world.run(2);
    const dump = structuredClone([...world.board.hashes]);
    world.a.die(world.b);
    await world.run(3);
    world.b.facts = { ...world.b.facts, connections: 3 };
    world.a.down = null;
    await world.run(2);
    const before = (await world.store.board(world.pair.uniqsign)).epoch?.number ?? 0;
    world.board.empty();
    for (const [key, fields] of dump) world.board.put(key, fields);
    // Only looks that have begun since count; the dump's own are young, too.
    for (let look = 0; look < 2; look++) {
      await world.identify();
      expect((await world.store.board(world.pair.uniqsign)).roles?.active).toBe(PRIMARY);
      await world.clock.advance(1_000);
      await world.monitor();
    }
    await world.identify();
    await world.act();
    const board = await world.store.board(world.pair.uniqsign);
    expect(board.roles?.active).toBe(SECONDARY);
    expect(board.epoch?.number).toBeGreaterThan(before);
    expect(writable(world)).toEqual([SECONDARY]);
  });

  it('brings a changed policy to the board as a decision that keeps the roles', async () => {
    const world = aWorld();
    await world.run(2);
    const restarted = makeIdentifyRound({ ...world.identifyParts, policy: { ...NO_SAFETY, drainTimeoutSec: 7 } });
    await world.monitor();
    await restarted();
    const found = await world.store.findPair(world.pair.uniqsign);
    expect(found?.policy.drainTimeoutSec).toBe(7);
    expect(found?.board.roles?.active).toBe(PRIMARY);
    await world.run(2);
    expect(world.b.did).toEqual([]);
  });
});

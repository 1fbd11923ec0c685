// Who took writes last is what an agent must never forget: the real rounds (support/rounds.ts) while changes fail half-way.

import { describe, expect, it } from 'vitest';
import { NO_SAFETY, NO_TERMS } from '../src/core/decision.ts';
import { MmmError } from '../src/core/errors.ts';
import { PRIMARY, SECONDARY } from './support/build.ts';
import { type FakeServer, refuse } from './support/fake-pair.ts';
import { aWorld, writable } from './support/rounds.ts';

describe('who wrote last', () => {
  const holdsMore = { binlog: { file: 'bin.000001', pos: 900 } };

  it('is not forgotten when the board goes away between an opening and its report', async () => {
    const world = aWorld();
    await world.run(2);
    world.a.die(world.b);
    await world.decide();
    world.b.beforeStep = (step) => {
      if (step.do === 'open') world.board.trouble = new MmmError('store-down', 'redis is away');
    };
    await expect(world.act()).rejects.toThrow('redis is away');
    expect(world.b.facts.readOnly).toBe(false);
    // The next thing that an agent hears is that the primary is the active again.
    world.b.facts = { ...world.b.facts, ...holdsMore };
    world.a.facts = { ...world.a.facts, readOnly: true };
    world.a.down = null;
    world.board.trouble = null;
    const { pair, store } = world;
    const { epoch } = await store.board(pair.uniqsign);
    const roles = { active: PRIMARY, passive: SECONDARY };
    const next = { number: (epoch?.number ?? 0) + 1, id: 'f'.repeat(32), active: PRIMARY };
    const told = { reasons: ['test'], atMs: world.clock.wall() };
    const decision = { roles, epoch: next, ...told, terms: NO_TERMS, unfenced: null };
    await store.commitRoles(pair.uniqsign, decision, epoch, NO_SAFETY);
    world.b.facts = replicating(world.b);
    world.a.facts = replicating(world.a);
    await world.act();
    expect(writable(world)).toEqual([PRIMARY]);
    expect(world.a.did).toEqual(['await-received', 'stop-io', 'open', 'start-io']);
  });

  it('is whoever was opened by hand while the active was closed: the active gets those writes before it is opened', async () => {
    const world = aWorld();
    await world.run(2);
    world.a.facts = { ...world.a.facts, readOnly: true };
    world.b.facts = { ...world.b.facts, readOnly: false, ...holdsMore };
    await world.act();
    expect(world.b.did).toEqual(['close']);
    expect(world.a.did).toEqual(['await-received', 'stop-io', 'open', 'start-io']);
  });

  it('gets the role back when the other host cannot be opened, whichever is the primary', async () => {
    const world = aWorld();
    world.a.facts = { ...world.a.facts, readOnly: true, replication: brokenBehind(world.a) };
    world.b.facts = { ...world.b.facts, readOnly: false, connections: 2 };
    await world.run(2);
    world.b.die(world.a);
    await world.run(3);
    expect((await world.store.board(world.pair.uniqsign)).report?.outcome).toBe('held');
    world.b.facts = { ...world.b.facts, readOnly: true, connections: 0 };
    world.b.down = null;
    await world.run(2);
    expect(writable(world)).toEqual([SECONDARY]);
    const { epoch } = await world.store.board(world.pair.uniqsign);
    await world.run(90);
    expect((await world.store.board(world.pair.uniqsign)).epoch?.number).toBe(epoch?.number);
    expect(writable(world)).toEqual([SECONDARY]);
  });

  it('gets the role back from a change that cannot fence it, and ever longer pauses before the next try', async () => {
    const world = aWorld();
    world.a.facts = { ...world.a.facts, readOnly: true };
    world.b.facts = { ...world.b.facts, readOnly: false, accounts: { open: 1, blocked: 0 } };
    refuse(world.b, 'close');
    const epochs: number[] = [];
    const decided = async (rounds: number) => {
      await world.run(rounds);
      const { epoch } = await world.store.board(world.pair.uniqsign);
      epochs.push(epoch?.number ?? 0);
    };
    await decided(6);
    expect((await world.store.board(world.pair.uniqsign)).roles?.active).toBe(PRIMARY);
    await decided(14);
    expect((await world.store.board(world.pair.uniqsign)).roles?.active).toBe(SECONDARY);
    await decided(40);
    // A minute after the first failure it is tried again, for ten seconds; then it is left alone for two.
    await decided(40);
    await decided(90);
    expect(epochs).toEqual([2, 3, 3, 5, 5]);
  });

  it('waits for the role to be given back instead of trying on, but not for ever', async () => {
    const world = aWorld();
    world.a.facts = { ...world.a.facts, readOnly: true };
    world.b.facts = { ...world.b.facts, readOnly: false };
    const tries = refuse(world.b, 'close');
    await world.decide();
    // The primary has been caught up for long enough.
    await world.clock.advance(6_000);
    await world.decide();
    const actFor = async (seconds: number) => {
      for (let second = 0; second < seconds; second++) {
        await world.act();
        await world.clock.advance(1_000);
      }
    };
    await actFor(11);
    const { report } = await world.store.board(world.pair.uniqsign);
    expect(report?.outcome).toBe('failed');
    expect(report?.why).toContain(`${SECONDARY}: could not close: `);
    const before = tries();
    await actFor(4);
    expect(tries()).toBe(before);
    // No identify is there.
    await actFor(3);
    expect(tries()).toBeGreaterThan(before);
  });

  function replicating({ facts }: FakeServer): FakeServer['facts'] {
    const { replication } = facts;
    return replication === null ? facts : { ...facts, replication: { ...replication, io: 'Yes', sql: 'Yes' } };
  }

  function brokenBehind({ facts }: FakeServer): FakeServer['facts']['replication'] {
    const { replication } = facts;
    if (replication === null) return null;
    const sqlError = { code: 1062, text: 'Duplicate entry' };
    return { ...replication, sql: 'No', sqlError, applied: { file: 'bin.000001', pos: 60 } };
  }
});

// What stayed on a host that lost its role: counted, told and shown by the real rounds (support/rounds.ts).

import { describe, expect, it } from 'vitest';
import { makeAgentRound } from '../src/agent.ts';
import { MmmError } from '../src/core/errors.ts';
import type { Salvage, Salvaged, SalvageOrder } from '../src/core/salvage.ts';
import { pairStatus, statusText } from '../src/status.ts';
import { PRIMARY, SECONDARY } from './support/build.ts';
import { aWorld, writable } from './support/rounds.ts';

describe('what stayed on the old active', () => {
  const HELD = `${PRIMARY} holds 37 transactions that the active never saw since decision 2: 1-1-537`;

  /** The secondary was promoted; the primary comes back with `gtid`, closed as its file says. */
  async function returned(gtid: string | null) {
    const world = aWorld();
    const { a, b } = world;
    for (const host of [a, b]) host.facts = { ...host.facts, gtid: gtid === null ? null : '1-1-500' };
    await world.run(2);
    a.die(b);
    await world.run(2);
    expect(writable(world)).toContain(SECONDARY);
    a.down = null;
    a.facts = { ...a.facts, readOnly: true, gtid, binlog: { file: 'bin.000002', pos: 900 } };
    const board = async () => (await world.store.board(world.pair.uniqsign)).divergence;
    const shown = async () => statusText([await pairStatus(world.store, world.pair, world.clock.wall())]);
    const told = () => world.log.lines.filter((line) => line.includes('never saw'));
    return { ...world, boardDivergence: board, shown, told };
  }

  it('is on the board before the active replicates from there, is told once, mailed and shown, until it is merged', async () => {
    const world = await returned('1-1-537');
    const { a, b } = world;
    const atStart: unknown[] = [];
    b.beforeStep = async (step) => {
      if (step.do === 'start-io') atStart.push(await world.boardDivergence());
    };
    await world.act();
    expect(atStart).toEqual([expect.objectContaining({ host: PRIMARY, count: 37, gtids: '1-1-537' })]);
    expect(world.told()).toEqual([expect.stringContaining(`warn ${HELD}; it comes over`)]);
    expect(world.mails.at(-1)).toMatchObject({
      subject: 'mmm-manager divergence',
      body: expect.stringContaining(HELD),
    });
    expect((await world.shown()).split('\n')).toContain(`  divergence: ${HELD}; NOT SAVED: there is no tool`);
    // Another agent, and the same one again, find nothing new.
    await makeAgentRound({ ...world.agentParts, name: 'agent-2' })(new AbortController().signal);
    await world.act();
    expect(world.told()).toHaveLength(1);
    b.facts = { ...b.facts, gtid: '1-1-536,2-2-9' };
    await world.act();
    expect(await world.boardDivergence()).not.toBeNull();
    b.facts = { ...b.facts, gtid: '1-1-537,2-2-9' };
    await world.act();
    expect(await world.boardDivergence()).toBeNull();
    expect(await world.shown()).not.toContain('divergence');
    expect(world.log.lines.at(-1)).toBe(`info ${SECONDARY} holds by now what had stayed on ${PRIMARY}`);
    expect(a.did).toEqual([]);
  });

  it('is not what the active has committed since it was looked at, and the passive has received by now', async () => {
    const world = await returned('1-1-500');
    const { a, b } = world;
    const { probe } = a;
    let number = 0;
    // It replicates by itself since it came back, and the active takes writes all the time.
    a.probe = () => {
      number += 1;
      b.facts = { ...b.facts, gtid: `1-1-500,2-2-${number}` };
      a.facts = { ...a.facts, gtid: `1-1-500,2-2-${number}` };
      return probe.call(a);
    };
    await world.act();
    expect(b.did).toContain('start-io');
    expect(await world.boardDivergence()).toBeNull();
    expect(world.told()).toEqual([]);
  });

  it('is saved beside the round, from where receiving it ended, and its place is mailed and shown', async () => {
    const world = await returned('1-1-537');
    const orders: SalvageOrder[] = [];
    let end: (saved: Salvaged) => void = () => {};
    const salvage: Salvage = (order) => {
      orders.push(order);
      return new Promise((resolve) => {
        end = resolve;
      });
    };
    const round = makeAgentRound({ ...world.agentParts, salvage });
    const mailed = world.mails.length;
    await round(new AbortController().signal);
    // A tool that takes its time holds nothing up.
    expect(world.b.did).toContain('start-io');
    expect(orders).toEqual([
      expect.objectContaining({ host: PRIMARY, flavour: 'mariadb', files: ['bin.000001', 'bin.000002'], toPos: 900 }),
    ]);
    expect(world.mails.slice(mailed)).not.toContainEqual(
      expect.objectContaining({ subject: 'mmm-manager divergence' }),
    );
    end({ kind: 'saved', path: '/srv/divergence/x.sql', bytes: 2_048, cut: false });
    await world.clock.advance(1);
    const where = 'saved as statements in /srv/divergence/x.sql on agent-1 (2 KiB)';
    expect(world.mails.at(-1)).toMatchObject({
      subject: 'mmm-manager divergence',
      body: expect.stringMatching(new RegExp(`${HELD}.*\n.*/srv/divergence/x\\.sql`)),
    });
    expect((await world.shown()).split('\n')).toContain(`  divergence: ${HELD}; ${where}`);
    // Told once more only by who finds something new.
    await round(new AbortController().signal);
    expect(orders).toHaveLength(1);
  });

  it('keeps replication from that host stopped while the board cannot take it', async () => {
    const world = await returned('1-1-537');
    world.store.putDivergence = () => Promise.reject(new MmmError('store-down', 'away'));
    await expect(world.act()).rejects.toThrow('away');
    expect(world.b.did).not.toContain('start-io');
  });

  it('is told once when the step after it fails and another agent takes it up', async () => {
    const world = await returned('1-1-537');
    world.b.beforeStep = (step) => {
      if (step.do === 'start-io') throw new Error('killed');
    };
    await expect(world.act()).rejects.toThrow('killed');
    world.b.beforeStep = () => {};
    await makeAgentRound({ ...world.agentParts, name: 'agent-2' })(new AbortController().signal);
    expect(world.b.did).toContain('start-io');
    expect(world.told()).toHaveLength(1);
  });

  it('is not counted for a decision that was replaced meanwhile (S3)', async () => {
    const world = await returned('1-1-537');
    world.store.putDivergence = () => Promise.resolve(false);
    expect(await world.act()).toEqual({ nextMs: 0 });
    expect(world.b.did).not.toContain('start-io');
    expect(world.told()).toEqual([]);
  });

  it('is nothing, and nothing is told, when the active holds all of it', async () => {
    const world = await returned('1-1-500');
    await world.act();
    expect(world.b.did).toContain('start-io');
    expect(await world.boardDivergence()).toBeNull();
    expect(world.told()).toEqual([]);
  });

  it('is said to be unknown without GTIDs', async () => {
    const world = await returned(null);
    await world.act();
    expect(await world.shown()).toContain('nobody can count them');
    expect(world.told()).toHaveLength(1);
  });
});

// What the agent does about decisions, and what it leaves alone: the real rounds (support/rounds.ts).

import { describe, expect, it } from 'vitest';
import { makeAgentRound } from '../src/agent.ts';
import { NO_SAFETY, NO_TERMS } from '../src/core/decision.ts';
import { MmmError } from '../src/core/errors.ts';
import { pairStatus, statusText } from '../src/status.ts';
import { PRIMARY, SECONDARY } from './support/build.ts';
import { failure } from './support/facts.ts';
import { refuse } from './support/fake-pair.ts';
import { aWorld, writable } from './support/rounds.ts';

describe('the agent', () => {
  it('mails that nothing can be done only when that lasts', async () => {
    const world = aWorld();
    await world.run(2);
    world.a.freeze();
    world.b.freeze();
    await world.run(5);
    expect(world.mails).toEqual([]);
    await world.run(10);
    expect(world.mails).toHaveLength(1);
    expect(world.mails[0]?.body).toContain('held: ');
  });

  it('does what is wanted without ever getting a message', async () => {
    const world = aWorld();
    await world.run(2);
    world.a.die(world.b);
    await world.decide();
    expect(world.b.did).toEqual([]);
    await world.act();
    expect(writable(world)).toContain(SECONDARY);
  });

  it('does nothing more when the decision was replaced while it acted (S3)', async () => {
    const world = aWorld();
    await world.run(2);
    world.a.die(world.b);
    await world.decide();
    world.b.beforeStep = async (step) => {
      if (step.do !== 'stop-io') return;
      const board = await world.store.board(world.pair.uniqsign);
      const epoch = { number: (board.epoch?.number ?? 0) + 1, id: 'f'.repeat(32), active: PRIMARY };
      const decision = {
        roles: { active: PRIMARY, passive: SECONDARY },
        epoch,
        reasons: ['test'],
        atMs: world.clock.wall(),
        terms: NO_TERMS,
        unfenced: null,
      };
      await world.store.commitRoles(world.pair.uniqsign, decision, board.epoch, NO_SAFETY);
    };
    expect(await world.act()).toEqual({ nextMs: 0 });
    expect(world.b.did).toEqual(['stop-io']);
    expect(world.b.facts.readOnly).toBe(true);
  });

  it('does not wait for a host that was silent just now, and is woken when that one answers', async () => {
    const world = aWorld();
    await world.run(2);
    world.a.freeze();
    await world.act();
    let answer = () => {};
    const slow = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const { probe } = world.a;
    world.a.probe = async () => {
      await slow;
      return probe.call(world.a);
    };
    await world.act();
    expect(world.wakes).toEqual([]);
    world.a.down = null;
    answer();
    await world.clock.advance(0);
    expect(world.wakes).toEqual(['agent']);
  });

  it('tries a step again, as often as configured, when the connection fails', async () => {
    const world = aWorld();
    await world.run(2);
    world.a.die(world.b);
    await world.decide();
    let tries = 0;
    world.b.beforeStep = (step) => {
      if (step.do !== 'open') return;
      tries += 1;
      world.b.down = tries < 3 ? failure('silent') : null;
    };
    await world.act();
    expect(tries).toBe(3);
    expect(writable(world)).toContain(SECONDARY);
  });

  it('tells once of a step that fails again and again, and not that the trouble is over in between', async () => {
    const world = aWorld();
    await world.run(2);
    const { replication } = world.a.facts;
    if (replication) world.a.facts = { ...world.a.facts, replication: { ...replication, io: 'No' } };
    world.a.apply = async (step) => ({ kind: 'not-done', why: `${step.do} is refused` });
    await world.run(40);
    const told = world.log.lines.filter((line) => line.includes('could not start-io') || line.includes('is over'));
    expect(told).toHaveLength(1);
  });

  it('changes nothing on the servers while the board is away', async () => {
    const world = aWorld();
    await world.run(2);
    world.a.freeze();
    world.board.trouble = new MmmError('store-down', 'redis is away');
    await expect(world.act()).rejects.toThrow('redis is away');
    expect(world.a.did).toEqual([]);
    expect(world.b.did).toEqual([]);
  });

  it('obeys roles that a Perl identify wrote, which carry no epoch', async () => {
    const world = aWorld();
    await world.monitor();
    world.board.put(
      `mysql-${world.pair.uniqsign}-mode`,
      new Map([
        ['active', SECONDARY],
        ['passive', PRIMARY],
      ]),
    );
    await world.act();
    expect(writable(world)).toEqual([SECONDARY]);
    expect(world.a.did).toEqual(['close']);
  });

  it('starts replication that stops again at once only every ten seconds', async () => {
    const world = aWorld();
    await world.run(2);
    const stop = () => {
      const { replication } = world.a.facts;
      if (replication) world.a.facts = { ...world.a.facts, replication: { ...replication, io: 'No', sql: 'No' } };
    };
    for (let count = 0; count < 9; count++) {
      stop();
      await world.run(1);
    }
    expect(world.a.did).toEqual(['start-replication']);
    stop();
    await world.clock.advance(2_000);
    await world.run(1);
    expect(world.a.did).toEqual(['start-replication', 'start-replication']);
  });

  it('is missed by the status when it does not answer a decision', async () => {
    const world = aWorld();
    await world.decide();
    const shown = async () => statusText([await pairStatus(world.store, world.pair, world.clock.wall())]);
    expect(await shown()).not.toContain('unanswered');
    await world.clock.advance(10_000);
    expect(await shown()).toContain('unanswered: for 10 s no agent');
    await world.monitor();
    await world.act();
    expect(await shown()).not.toContain('unanswered');
  });

  it('finishes what an agent began that died after stopping the I/O thread', async () => {
    const world = aWorld();
    await world.run(2);
    world.a.die(world.b);
    await world.decide();
    world.b.beforeStep = (step) => {
      if (step.do === 'open') throw new Error('killed');
    };
    await expect(world.act()).rejects.toThrow('killed');
    world.b.beforeStep = () => {};
    const second = makeAgentRound({ ...world.agentParts, name: 'agent-2' });
    await second(new AbortController().signal);
    expect(writable(world)).toContain(SECONDARY);
    expect((await world.store.board(world.pair.uniqsign)).report?.agent).toBe('agent-2');
  });
});

describe('the agent, with the other host', () => {
  it('closes a second writer although its accounts cannot be blocked', async () => {
    const world = aWorld();
    await world.run(2);
    world.b.facts = { ...world.b.facts, readOnly: false, accounts: { open: 1, blocked: 0 } };
    refuse(world.b, 'block');
    await world.act();
    expect(writable(world)).toEqual([PRIMARY]);
  });

  it('starts replication that came back stopped, but not what somebody stops long after a restart', async () => {
    const world = aWorld();
    await world.run(2);
    const { replication, boot } = world.b.facts;
    if (replication === null) throw new Error('the passive replicates');
    const stopped = { ...replication, io: 'No', sql: 'No' } as const;
    world.b.facts = { ...world.b.facts, boot: { ...boot, startedSec: boot.startedSec + 100 } };
    await world.run(1);
    world.b.facts = { ...world.b.facts, replication: stopped };
    await world.run(2);
    expect(world.b.did).toEqual([]);
    world.b.facts = { ...world.b.facts, boot: { ...boot, startedSec: boot.startedSec + 200 } };
    await world.run(1);
    expect(world.b.did).toEqual(['start-replication']);
  });

  it('starts an I/O thread that it stopped for a drain, even when the board was emptied meanwhile', async () => {
    const world = aWorld();
    // Long enough for the replica, which hears nothing here, not to count as hearing.
    await world.run(3);
    world.a.freeze();
    await world.decide();
    world.b.beforeStep = (step) => {
      if (step.do !== 'stop-io') return;
      world.board.empty();
      world.a.down = null;
      world.a.facts = { ...world.a.facts, connections: 2 };
    };
    await world.act();
    expect(world.b.facts.replication?.io).toBe('No');
    await world.run(4);
    expect(world.b.facts.replication?.io).toBe('Yes');
    expect(writable(world)).toEqual([PRIMARY]);
  });

  it('keeps no more than the last things that it did', async () => {
    const world = aWorld();
    await world.run(2);
    for (let count = 0; count < 200; count++) {
      world.b.facts = { ...world.b.facts, readOnly: false };
      await world.act();
    }
    world.board.hashes.delete(`mysql-${world.pair.uniqsign}-report`);
    await world.act();
    const { report } = await world.store.board(world.pair.uniqsign);
    expect(report?.why.split('; ')).toHaveLength(50);
  });
});

describe('a replication conflict', () => {
  it('is told once for each host, as an error and by mail, and never touched', async () => {
    const world = aWorld();
    await world.run(2);
    const conflict = { sql: 'No', sqlError: { code: 1062, text: "Duplicate entry '7'" } } as const;
    for (const host of [world.a, world.b]) {
      const { replication } = host.facts;
      if (replication) host.facts = { ...host.facts, replication: { ...replication, ...conflict } };
    }
    const mailed = world.mails.length;
    await world.act();
    await world.act();
    const errors = world.log.lines.filter((line) => line.startsWith('error '));
    expect(errors).toEqual(
      [PRIMARY, SECONDARY].map((host) => expect.stringMatching(`${host} stopped with error 1062 .*never skips`)),
    );
    expect(world.mails.slice(mailed).map(({ subject }) => subject)).toEqual(Array(2).fill('mmm-manager conflict'));
    expect([...world.a.did, ...world.b.did]).toEqual([]);
  });

  it.each([
    ['a log that is gone there', { io: 'No', ioError: { code: 1236, text: 'not in the binlog' } }, 1],
    ['a source that refuses the password', { io: 'No', ioError: { code: 1045, text: 'Access denied' } }, 0],
    ['a thread that somebody stopped', { sql: 'No' }, 0],
  ] as const)('%s: %#', async (_what, changes, expected) => {
    const world = aWorld();
    await world.run(2);
    const { replication } = world.b.facts;
    if (replication) world.b.facts = { ...world.b.facts, replication: { ...replication, ...changes } };
    await world.act();
    expect(world.log.lines.filter((line) => line.startsWith('error '))).toHaveLength(expected);
  });
});

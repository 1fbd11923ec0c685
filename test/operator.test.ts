// An operator's request through the real rounds of monitor, identify and agent, on servers made of facts: carried out, refused, given back;
// and what pause, preference and the minimum interval make of later rounds.

import { describe, expect, it } from 'vitest';
import { makeAgentRound } from '../src/agent.ts';
import { NO_SAFETY } from '../src/core/decision.ts';
import type { Pacing } from '../src/core/pacing.ts';
import type { Host } from '../src/core/pair.ts';
import type { Request } from '../src/core/request.ts';
import { makeIdentifyRound } from '../src/identify.ts';
import { makeMonitorRound } from '../src/monitor.ts';
import { type Asked, ask, lookAhead, type OperatorParts } from '../src/operator.ts';
import { pairStatus, statusText } from '../src/status.ts';
import { aPair, NOW_MS, PRIMARY, SECONDARY } from './support/build.ts';
import { failure } from './support/facts.ts';
import { FakeClock, fakeRandom } from './support/fake-clock.ts';
import { fakeLog } from './support/fake-log.ts';
import { fakePair, NO_PULSE } from './support/fake-pair.ts';
import { MemoryBoard } from './support/memory-store.ts';
import { UNGUARDED } from './support/unguarded.ts';

const SWITCHOVER: Asked = { kind: 'switchover', to: null, withinSec: 5 };
const FORCED: Asked = { kind: 'failover', to: SECONDARY, withinSec: 5 };

/** A pair that is looked after, a round a second, the primary active. */
async function aPairInService(pacing: Partial<Pacing> = {}) {
  const pair = aPair();
  const clock = new FakeClock(NOW_MS);
  const board = new MemoryBoard(() => clock.wall());
  const store = board.store({ topic: 'mmm-switch-channel' });
  const random = fakeRandom();
  const log = fakeLog();
  const { a, b } = fakePair();
  const { uniqsign } = pair;
  const observe = makeMonitorRound({
    pair,
    servicemode: 1,
    tryTimes: 2,
    intervalMs: 1_000,
    connectTimeoutMs: 1_000,
    wantRow: false,
    primary: a,
    secondary: b,
    store,
    pulse: NO_PULSE,
    clock,
    log,
    observer: 'monitor-1',
  });
  const startIdentify = () =>
    makeIdentifyRound({
      pair,
      tryTimes: 2,
      policy: NO_SAFETY,
      pacing: { minFailoverIntervalSec: 60, failback: 'auto', ...pacing },
      store,
      clock,
      random,
      log,
      owner: 'identify-1',
      leadMs: 10_000,
    });
  let identify = startIdentify();
  const agentRound = makeAgentRound({
    uniqsign,
    store,
    serverFor: (host) => (host === PRIMARY ? a : b),
    clock,
    log,
    mailer: { send: () => {} },
    name: 'agent-1',
    connectTimeoutMs: 1_000,
    tryOnFailure: 3,
    wake: () => {},
    ...UNGUARDED,
  });
  let agentRuns = true;
  const agent = async () => {
    if (agentRuns) await agentRound(new AbortController().signal);
  };
  // It listens for decisions, as a real one does.
  await store.watch(() => {}, ['decided', 'message']);
  const run = async (rounds = 1) => {
    for (let count = 0; count < rounds; count++) {
      await observe(new AbortController().signal, { lateMs: 0 });
      await identify();
      await agent();
      await clock.advance(1_000);
    }
  };
  await run(2);
  const operator: OperatorParts = { pair, store, clock, random, by: 'dba@db1' };
  /** Asks while the daemons go on; the command's end. */
  const command = async (asked: Asked) => {
    const prospect = await lookAhead(operator, asked);
    if (prospect.against.length > 0) return { kind: 'refused', why: prospect.against.join('; ') } as const;
    const ended = new AbortController();
    const asking = ask(operator, prospect, asked).finally(() => ended.abort());
    for (let round = 0; round < 60 && !ended.signal.aborted; round++) await run();
    return await asking;
  };
  return {
    pair,
    clock,
    store,
    memory: board,
    log,
    a,
    b,
    run,
    command,
    operator,
    stopAgent: () => {
      agentRuns = false;
    },
    startAgent: () => {
      agentRuns = true;
    },
    restartIdentify: () => {
      identify = startIdentify();
    },
    board: () => store.board(uniqsign),
    active: async () => (await store.board(uniqsign)).roles?.active ?? null,
    status: async () => statusText([await pairStatus(store, pair, clock.wall())]),
    /** The clients are where the active is. */
    clientsAt: (host: Host) => {
      a.facts = { ...a.facts, connections: host === PRIMARY ? 3 : 0 };
      b.facts = { ...b.facts, connections: host === SECONDARY ? 3 : 0 };
    },
    said: () => log.lines.join('\n'),
  };
}

describe('a switchover', () => {
  it('closes the active, opens the other host, and tells how long nobody could write', async () => {
    const world = await aPairInService();
    expect(await world.command(SWITCHOVER)).toMatchObject({ kind: 'done', noWriterMs: 0 });
    expect(world.a.did).toEqual(['close']);
    expect(world.b.did).toEqual(['stop-io', 'open', 'start-io']);
    expect((await world.board()).reasons).toEqual([`switchover to ${SECONDARY} asked for by dba@db1`]);
  });

  it('to the secondary holds against every rule while it lives, and status says so', async () => {
    const world = await aPairInService({ minFailoverIntervalSec: 0 });
    await world.command(SWITCHOVER);
    for (const host of [PRIMARY, SECONDARY]) {
      world.clientsAt(host);
      await world.run(20);
      expect(await world.active()).toBe(SECONDARY);
    }
    expect(await world.status()).toContain(`stays: an operator switched over to ${SECONDARY}`);
  });

  it('holds also when identify restarts, and when Redis is emptied under it', async () => {
    const world = await aPairInService({ minFailoverIntervalSec: 0 });
    await world.command(SWITCHOVER);
    world.restartIdentify();
    await world.run(20);
    expect(await world.active()).toBe(SECONDARY);
    world.memory.empty();
    await world.run(20);
    expect(await world.active()).toBe(SECONDARY);
    expect((await world.board()).terms.preferred).toBe(SECONDARY);
  });

  it('holds until the next failover, after which the primary is preferred as before', async () => {
    const world = await aPairInService({ minFailoverIntervalSec: 0 });
    await world.command(SWITCHOVER);
    world.b.die(world.a);
    await world.run(3);
    expect(await world.active()).toBe(PRIMARY);
    expect((await world.board()).terms.preferred).toBeNull();
  });

  it('back to the primary leaves no preference behind', async () => {
    const world = await aPairInService({ minFailoverIntervalSec: 0 });
    await world.command(SWITCHOVER);
    expect(await world.command(SWITCHOVER)).toMatchObject({ kind: 'done' });
    expect(await world.active()).toBe(PRIMARY);
    expect((await world.board()).terms.preferred).toBeNull();
    expect(await world.status()).not.toContain('stays:');
  });

  it('is refused by the command before anything is asked for', async () => {
    const world = await aPairInService();
    world.b.freeze();
    await world.run();
    expect(await world.command(SWITCHOVER)).toMatchObject({ kind: 'refused' });
    expect((await world.board()).request).toBeNull();
    expect(await world.active()).toBe(PRIMARY);
  });

  it('is refused by identify when things changed since the command looked', async () => {
    const world = await aPairInService();
    const prospect = await lookAhead(world.operator, SWITCHOVER);
    expect(prospect.against).toEqual([]);
    const { replication } = world.b.facts;
    if (replication !== null) world.b.facts = { ...world.b.facts, replication: { ...replication, sql: 'No' } };
    const asking = ask(world.operator, prospect, SWITCHOVER);
    await world.run(2);
    expect(await asking).toMatchObject({
      kind: 'not-done',
      why: expect.stringContaining('does not replicate'),
      active: PRIMARY,
    });
    expect(world.said()).toContain(`warn refuses the switchover to ${SECONDARY} asked for by dba@db1: `);
    expect(world.a.did).toEqual([]);
  });

  it('is not asked for twice at once, nor without identify and agent', async () => {
    const world = await aPairInService();
    const prospect = await lookAhead(world.operator, SWITCHOVER);
    const asking = ask(world.operator, prospect, SWITCHOVER);
    await world.clock.advance(0);
    expect((await lookAhead(world.operator, SWITCHOVER)).against).toEqual([
      `dba@db1 has just asked for a switchover to ${SECONDARY}`,
    ]);
    expect(await world.status()).toContain(`asked for: switchover to ${SECONDARY}, by dba@db1`);
    await world.clock.advance(11_000);
    expect(await asking).toMatchObject({ kind: 'not-done', why: expect.stringContaining('did not take it up') });
    expect((await world.board()).request).toBeNull();
    expect((await lookAhead(world.operator, SWITCHOVER)).against).toContain(
      'no identify leads this pair, so nobody would decide it',
    );
  });

  it('that came too late, or for another epoch, is not carried out', async () => {
    const world = await aPairInService();
    const { uniqsign } = world.pair;
    const { epoch } = await world.board();
    const request: Request = {
      id: 'r1',
      kind: 'switchover',
      to: SECONDARY,
      by: 'dba@db1',
      epoch: epoch ?? { number: 1, id: '' },
      atMs: world.clock.wall(),
      expiresMs: world.clock.wall(),
      withinSec: 5,
      refused: null,
    };
    await world.store.putRequest(uniqsign, request);
    await world.run();
    expect((await world.board()).request?.refused).toBe('it came too late');
    await world.store.putRequest(uniqsign, { ...request, id: 'r2', expiresMs: world.clock.wall() + 60_000 });
    // As an older request looks that a slow write brought to a newer board.
    world.memory.put(`mysql-${uniqsign}-request`, new Map([['epoch_id', 'older']]));
    await world.run();
    expect((await world.board()).request?.refused).toBe('the roles were decided anew meanwhile');
    expect(await world.active()).toBe(PRIMARY);
  });

  it('goes back when no agent carries it out in time, and the command says so', async () => {
    const world = await aPairInService();
    world.stopAgent();
    expect(await world.command(SWITCHOVER)).toMatchObject({
      kind: 'not-done',
      why: `switchover to ${SECONDARY} failed: no agent has opened it in time; back to ${PRIMARY}`,
      active: PRIMARY,
    });
    world.startAgent();
    await world.run(5);
    expect(world.b.did).toEqual([]);
    expect(world.a.facts.readOnly).toBe(false);
  });

  it('that failed leaves the role where the operator found it, also at the secondary', async () => {
    const world = await aPairInService({ minFailoverIntervalSec: 0 });
    await world.command(SWITCHOVER);
    world.stopAgent();
    expect(await world.command(SWITCHOVER)).toMatchObject({ kind: 'not-done', active: SECONDARY });
    world.startAgent();
    await world.run(90);
    expect(await world.active()).toBe(SECONDARY);
  });

  it('that was done is not taken back when the new active dies long after', async () => {
    const world = await aPairInService();
    await world.command(SWITCHOVER);
    world.b.freeze();
    await world.run(1);
    expect(await world.active()).toBe(SECONDARY);
    await world.run(2);
    expect(await world.active()).toBe(PRIMARY);
    expect((await world.board()).reasons[0]).toContain('rounds agree');
  });
});

describe('a paused pair', () => {
  const pause = { by: 'dba@db1', atMs: NOW_MS, untilMs: null };

  it('is not failed over, and the failover comes with the end of the pause', async () => {
    const world = await aPairInService();
    await world.store.putPause(world.pair.uniqsign, pause);
    world.a.die(world.b);
    await world.run(5);
    expect(world.b.did).toEqual([]);
    expect(await world.status()).toContain('paused: by dba@db1, until mmm resume; nothing is failed over');
    const told = world
      .said()
      .split('\n')
      .filter((line) => line.includes('PAUSED'));
    // When it begins, when a round agrees, when all do: not at every round.
    expect(told.length).toBeLessThanOrEqual(3);
    await world.store.putPause(world.pair.uniqsign, null);
    await world.run(1);
    expect(world.b.facts.readOnly).toBe(false);
    expect(world.said()).toContain('the pause is over: decides again');
  });

  it('ends by itself when that was said', async () => {
    const world = await aPairInService();
    await world.store.putPause(world.pair.uniqsign, { ...pause, untilMs: world.clock.wall() + 5_000 });
    expect(await world.status()).toContain('for another 5 s');
    world.a.die(world.b);
    await world.run(5);
    expect(await world.active()).toBe(PRIMARY);
    await world.run(2);
    expect(await world.active()).toBe(SECONDARY);
    expect(await world.status()).not.toContain('paused:');
  });

  it('is kept as it was decided: a second writer is closed, a restarted active opened', async () => {
    const world = await aPairInService();
    await world.store.putPause(world.pair.uniqsign, pause);
    world.b.facts = { ...world.b.facts, readOnly: false };
    await world.run(1);
    expect(world.b.did).toEqual(['close']);
    world.a.facts = { ...world.a.facts, readOnly: true };
    await world.run(1);
    expect(world.a.did).toEqual(['open']);
  });

  it('follows an operator, and a switchover of his that fails goes back', async () => {
    const world = await aPairInService();
    await world.store.putPause(world.pair.uniqsign, pause);
    expect(await world.command(SWITCHOVER)).toMatchObject({ kind: 'done' });
    world.stopAgent();
    expect(await world.command(SWITCHOVER)).toMatchObject({ kind: 'not-done', active: SECONDARY });
  });
});

describe('a change that follows another one', () => {
  it('waits for min_failover_interval, also when identify is restarted in between', async () => {
    const world = await aPairInService();
    world.a.die(world.b);
    await world.run(3);
    expect(await world.active()).toBe(SECONDARY);
    world.a.down = null;
    world.a.facts = { ...world.a.facts, readOnly: true };
    await world.run(20);
    world.restartIdentify();
    await world.run(35);
    expect(await world.active()).toBe(SECONDARY);
    await world.run(10);
    expect(await world.active()).toBe(PRIMARY);
  });

  it('does not wait when the active dies, and is told as a warning', async () => {
    const world = await aPairInService();
    world.a.die(world.b);
    await world.run(3);
    world.a.down = null;
    world.a.facts = { ...world.a.facts, readOnly: true };
    await world.run(5);
    world.b.die(world.a);
    await world.run(3);
    expect(await world.active()).toBe(PRIMARY);
    expect(world.said()).toMatch(/warn decided: .*THE SECOND CHANGE WITHIN 60 s/);
  });
});

describe('a forced failover', () => {
  /** The active died, and the other host cannot apply what it has received. */
  async function aPairThatHolds() {
    const world = await aPairInService();
    const { replication } = world.b.facts;
    const sqlError = { code: 1062, text: 'Duplicate entry' };
    const broken = { sql: 'No', sqlError, readAll: false, applied: { file: 'bin.000001', pos: 60 } } as const;
    if (replication !== null) world.b.facts = { ...world.b.facts, replication: { ...replication, ...broken } };
    world.a.die(world.b);
    await world.run(4);
    expect((await world.board()).report?.outcome).toBe('held');
    return world;
  }

  it('opens a host that holds, and reports what was skipped', async () => {
    const world = await aPairThatHolds();
    const ending = await world.command(FORCED);
    expect(ending).toMatchObject({ kind: 'done', did: expect.stringContaining('SKIPPED: the SQL thread of') });
    expect(world.b.facts.readOnly).toBe(false);
  });

  it('is for one decision alone: the next one drains again', async () => {
    const world = await aPairThatHolds();
    await world.command(FORCED);
    expect((await world.board()).terms.force).toBe(true);
    world.a.down = null;
    world.a.facts = { ...world.a.facts, readOnly: true };
    const { replication } = world.b.facts;
    const mended = { sql: 'Yes', sqlError: { code: 0, text: '' } } as const;
    if (replication !== null) world.b.facts = { ...world.b.facts, replication: { ...replication, ...mended } };
    await world.run(3);
    await world.command({ ...SWITCHOVER, to: PRIMARY });
    expect((await world.board()).terms.force).toBe(false);
  });

  it('opens nothing beside a host that is alive and cannot be closed, and gives the role back once it can be read', async () => {
    const world = await aPairInService();
    world.a.down = failure('saturated');
    await world.run(1);
    expect(await world.command(FORCED)).toMatchObject({
      kind: 'not-done',
      why: expect.stringContaining('is alive but cannot be closed'),
    });
    expect(world.b.did).toEqual([]);
    world.a.down = null;
    await world.run(1);
    expect(await world.active()).toBe(PRIMARY);
  });
});

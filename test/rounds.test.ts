// The real rounds of monitor, identify and agent around one board, on servers made of facts and a clock that stands still.

import { describe, expect, it } from 'vitest';
import { type AgentParts, makeAgentRound } from '../src/agent.ts';
import { NO_SAFETY, NO_TERMS } from '../src/core/decision.ts';
import { MmmError } from '../src/core/errors.ts';
import type { Pacing } from '../src/core/pacing.ts';
import { type IdentifyParts, makeIdentifyRound } from '../src/identify.ts';
import { type MonitorParts, makeMonitorRound } from '../src/monitor.ts';
import { pairStatus, statusText } from '../src/status.ts';
import { decodeMessage } from '../src/store/wire-message.ts';
import { aPair, PRIMARY, SECONDARY } from './support/build.ts';
import { failure } from './support/facts.ts';
import { FakeClock, fakeRandom } from './support/fake-clock.ts';
import { fakeLog } from './support/fake-log.ts';
import { type FakeServer, fakePair } from './support/fake-pair.ts';
import { MemoryBoard } from './support/memory-store.ts';
import { UNGUARDED } from './support/unguarded.ts';

const TOPIC = 'mmm-switch-channel';

function aWorld(
  choices: {
    drainTimeoutSec?: number | null;
    pacing?: Partial<Pacing>;
    servers?: { a: FakeServer; b: FakeServer };
  } = {},
) {
  const pair = aPair();
  const clock = new FakeClock();
  const board = new MemoryBoard(() => clock.wall());
  const { a, b } = choices.servers ?? fakePair();
  const log = fakeLog();
  const mails: { subject: string; body: string }[] = [];
  const open = () => board.store({ topic: TOPIC });
  const store = open();
  const messages: string[] = [];
  const wakes: string[] = [];
  board.subscribe((channel, payload) => {
    if (channel === TOPIC) messages.push(payload);
  });
  const monitorParts: MonitorParts = {
    pair,
    servicemode: 1,
    tryTimes: 2,
    intervalMs: 1_000,
    connectTimeoutMs: 1_000,
    wantRow: false,
    primary: a,
    secondary: b,
    store,
    clock,
    log,
    observer: 'monitor-1',
  };
  const observing = makeMonitorRound(monitorParts);
  const monitor = (lateMs = 0) => observing(new AbortController().signal, { lateMs });
  const identifyParts: IdentifyParts = {
    pair,
    tryTimes: 2,
    policy: { ...NO_SAFETY, drainTimeoutSec: choices.drainTimeoutSec ?? null },
    pacing: { minFailoverIntervalSec: 60, failback: 'auto', ...choices.pacing },
    store,
    clock,
    random: fakeRandom(),
    log,
    owner: 'identify-1',
    leadMs: 10_000,
  };
  const agentParts: AgentParts = {
    uniqsign: pair.uniqsign,
    store,
    serverFor: (host) => (host === PRIMARY ? a : b),
    clock,
    log,
    mailer: { send: (subject, body) => mails.push({ subject, body }) },
    name: 'agent-1',
    connectTimeoutMs: 1_000,
    tryOnFailure: 3,
    wake: () => wakes.push('agent'),
    ...UNGUARDED,
  };
  const identify = makeIdentifyRound(identifyParts);
  const agent = makeAgentRound(agentParts);
  const act = () => agent(new AbortController().signal);
  /** So many rounds of everybody, a second apart. */
  const run = async (rounds = 1) => {
    for (let count = 0; count < rounds; count++) {
      await monitor();
      await identify();
      await act();
      await clock.advance(1_000);
    }
  };
  /** Observed and decided, while no agent looks. */
  const decide = async () => {
    for (let count = 0; count < 3; count++) {
      await monitor();
      await identify();
      await clock.advance(10);
    }
  };
  const parts = { monitorParts, identifyParts, agentParts };
  return {
    pair,
    clock,
    board,
    store,
    a,
    b,
    log,
    mails,
    messages,
    wakes,
    monitor,
    identify,
    ...parts,
    act,
    run,
    decide,
  };
}

const writable = ({ a, b }: { a: FakeServer; b: FakeServer }) =>
  [a, b].filter((s) => !s.facts.readOnly).map((s) => s.host);

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

describe('the monitor', () => {
  it('confirms a death back to back, a rejected connection at its interval, and stops hurrying after try_times', async () => {
    const world = aWorld();
    await world.run(2);
    world.b.down = failure('refused', 'ECONNREFUSED');
    expect(await world.monitor()).toEqual({});
    world.b.down = failure('silent', 'EHOSTUNREACH');
    expect(await world.monitor()).toEqual({});
    world.b.down = null;
    world.a.die(world.b);
    expect(await world.monitor()).toEqual({ nextMs: 10 });
    expect(await world.monitor()).toEqual({ nextMs: 10 });
    expect(await world.monitor()).toEqual({});
  });
});

describe('a death that the replica has not noticed yet', () => {
  it('is looked at again until the replica has, and then counts as one', async () => {
    const world = aWorld();
    await world.run(2);
    world.a.die();
    const round = world.monitor();
    await world.clock.advance(50);
    world.a.die(world.b);
    await world.clock.advance(50);
    expect(await round).toEqual({ nextMs: 10 });
  });

  it('is none when the replica goes on hearing it', async () => {
    const world = aWorld();
    await world.run(2);
    world.a.die();
    const round = world.monitor();
    await world.clock.advance(1_000);
    expect(await round).toEqual({});
  });
});

/** A monitor's round in which time passes, while the replica hears a heartbeat each half second, or does not. */
async function look({ clock }: ReturnType<typeof aWorld>, round: () => Promise<unknown>, beats: () => void = () => {}) {
  let looked = false;
  const looking = round().finally(() => {
    looked = true;
  });
  for (let passedMs = 0; !looked && passedMs < 10_000; passedMs += 50) {
    if (passedMs % 500 === 450) beats();
    await clock.advance(50);
  }
  await looking;
}

async function runBeside(world: ReturnType<typeof aWorld>, rounds: number, beats: () => void = () => {}) {
  for (let count = 0; count < rounds; count++) {
    await look(world, () => world.monitor(), beats);
    await world.identify();
    await world.act();
    beats();
    await world.clock.advance(1_000);
  }
}

describe('the second opinion', () => {
  const active = async ({ store, pair }: ReturnType<typeof aWorld>) => (await store.board(pair.uniqsign)).roles?.active;

  it.each(['silent', 'refused'] as const)(
    'keeps the role where it is while the passive still hears an active that is %s',
    async (kind) => {
      const world = aWorld();
      await runBeside(world, 3, () => world.b.hear());
      world.a.down = failure(kind);
      await runBeside(world, 10, () => world.b.hear());
      expect(await active(world)).toBe(PRIMARY);
      expect(world.b.did).toEqual([]);
      expect(world.log.lines.join()).toContain(`the managers alone are cut off from ${PRIMARY}`);
    },
  );

  it('moves it in the very round in which the passive has heard nothing for long enough', async () => {
    const world = aWorld();
    await runBeside(world, 3, () => world.b.hear());
    world.a.freeze();
    const sinceMs = world.clock.monotonic();
    // The last sign of life is as old as the last round: one second.
    await runBeside(world, 2);
    expect(await active(world)).toBe(SECONDARY);
    expect(world.log.lines.findLast((line) => line.includes('decided:'))).toContain('has heard nothing');
    expect(world.clock.monotonic() - sinceMs).toBeLessThan(4_000);
  });

  it('moves it at once when the passive, cut off for long from an active that it heard, hears it no more', async () => {
    const world = aWorld();
    world.a.down = null;
    await runBeside(world, 3, () => world.b.hear());
    world.a.freeze();
    await runBeside(world, 20, () => world.b.hear());
    expect(await active(world)).toBe(PRIMARY);
    await runBeside(world, 1);
    expect(await active(world)).toBe(SECONDARY);
  });

  it.each([
    ['has its threads stopped for a backup', { io: 'No', sql: 'No' }],
    ['replicates from somebody else', { source: '10.9.9.9:3308', sourceServerId: 9 }],
  ] as const)('does not count when the passive %s', async (_name, changes) => {
    const world = aWorld();
    await runBeside(world, 3, () => world.b.hear());
    const { replication } = world.b.facts;
    if (replication !== null) world.b.facts = { ...world.b.facts, replication: { ...replication, ...changes } };
    world.a.freeze();
    await runBeside(world, 2, () => world.b.hear());
    expect(await active(world)).toBe(SECONDARY);
  });

  it('does not count looks that found neither host: then the network was its own', async () => {
    const world = aWorld();
    await runBeside(world, 3);
    const { replication } = world.b.facts;
    if (replication !== null)
      world.b.facts = { ...world.b.facts, replication: { ...replication, io: 'No', sql: 'No' } };
    world.a.freeze();
    world.b.freeze();
    await runBeside(world, 5);
    // The way to the passive is open again a moment before that to the active.
    world.b.down = null;
    await runBeside(world, 1);
    world.a.down = null;
    await runBeside(world, 2);
    expect(await active(world)).toBe(PRIMARY);
    expect(world.log.lines.join()).toContain('1 of 2 rounds agree');
  });

  it('does not look at the writable host again and again because the passive is gone', async () => {
    const world = aWorld();
    await runBeside(world, 3);
    world.b.freeze();
    let looks = 0;
    const { probe } = world.a;
    world.a.probe = async () => {
      looks += 1;
      return probe.call(world.a);
    };
    await world.monitor();
    await world.monitor();
    await world.monitor();
    expect(looks).toBe(3);
  });

  it('tells once that heartbeats are too rare, and again when that was changed in vain', async () => {
    const world = aWorld();
    const period = (periodMs: number) => {
      const { replication } = world.b.facts;
      if (replication !== null) {
        world.b.facts = { ...world.b.facts, replication: { ...replication, heartbeats: { received: 0, periodMs } } };
      }
    };
    const told = () => world.log.lines.filter((line) => line.includes('MASTER_HEARTBEAT_PERIOD')).length;
    period(30_000);
    await runBeside(world, 3);
    expect(told()).toBe(1);
    period(1_000);
    await runBeside(world, 1);
    period(1_800_000);
    await runBeside(world, 2);
    expect(told()).toBe(2);
  });
});

describe('several monitors', () => {
  it('take the role from a host only when most of them miss it', async () => {
    const world = aWorld();
    await world.run(3);
    const blind = { ...world.monitorParts, observer: 'monitor-2', primary: fakePair().a, secondary: world.b };
    blind.primary.freeze();
    const round = makeMonitorRound(blind);
    const other = () => look(world, () => round(new AbortController().signal, { lateMs: 0 }));
    for (let count = 0; count < 6; count++) {
      await other();
      await world.run(1);
    }
    expect(world.b.did).toEqual([]);
    expect(world.log.lines.join()).toContain('1 of 2 monitors find 10.0.0.5:3308 alive (not so monitor-2: silent)');
    world.a.freeze();
    for (let count = 0; count < 3; count++) {
      await other();
      await world.run(1);
    }
    expect(writable(world)).toContain(SECONDARY);
  });
});

describe('a monitor that was frozen itself', () => {
  it('drops what it saw meanwhile and looks again at once', async () => {
    const world = aWorld();
    await world.run(3);
    const before = await world.store.observations(world.pair.uniqsign, [PRIMARY, SECONDARY]);
    world.a.freeze();
    expect(await world.monitor(501)).toEqual({ nextMs: 0 });
    expect(await world.store.observations(world.pair.uniqsign, [PRIMARY, SECONDARY])).toEqual(before);
    await world.monitor(500);
    const [primary] = await world.store.observations(world.pair.uniqsign, [PRIMARY]);
    expect(primary).toMatchObject({ goneLooks: 1, evidence: { kind: 'silent' } });
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

/** The server does all steps but this one. Returns how often it was asked to. */
function refuse(server: FakeServer, what: string): () => number {
  const { apply } = server;
  let count = 0;
  server.apply = (step) => {
    if (step.do !== what) return apply.call(server, step);
    count += 1;
    return Promise.resolve(failure('server-error'));
  };
  return () => count;
}

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
    expect((await world.shown()).split('\n')).toContain(`  divergence: ${HELD}`);
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

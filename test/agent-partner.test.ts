// The keeper of the complete set around two servers in memory and a clock that stands still: what it does to whom and in which order, how soon,
// and what it tells. What is to be done is tested in core/partner.test.ts.

import { beforeEach, describe, expect, it } from 'vitest';
import { PartnerKeeper, type PartnerKeeperParts } from '../src/agent-partner.ts';
import type { Complete } from '../src/core/complete.ts';
import { type Decision, NO_SAFETY, NO_TERMS, type Policy } from '../src/core/decision.ts';
import { MmmError } from '../src/core/errors.ts';
import { supervise, Wake } from '../src/ops/supervise.ts';
import { failure } from './support/facts.ts';
import { FakeClock, fakeRandom, settle } from './support/fake-clock.ts';
import { fakeLog } from './support/fake-log.ts';
import { LosslessPair } from './support/lossless-pair.ts';
import { MemoryBoard } from './support/memory-store.ts';
import { A, A1, ALONE, aJoining, B, B1, BOTH, SEVEN } from './support/partnership.ts';

const U = '8d9a4b2924dc40baa792d742cb786345';
const POLICY: Policy = { ...NO_SAFETY, fencing: 'lease', durability: 'lossless' };

let clock: FakeClock;
let board: MemoryBoard;
let pair: LosslessPair;

beforeEach(() => {
  clock = new FakeClock();
  board = new MemoryBoard(() => clock.wall());
  pair = new LosslessPair();
});

const aStore = () => board.store({ topic: 'mmm' });
const setOnBoard = async () => (await aStore().board(U)).complete;

async function decided(over: Partial<Decision['terms']> = {}, policy = POLICY): Promise<void> {
  const decision: Decision = {
    roles: { active: A, passive: B },
    epoch: SEVEN,
    reasons: [],
    atMs: clock.wall(),
    terms: { ...NO_TERMS, lease: 'finite', durability: 'lossless', ...over },
    unfenced: false,
  };
  const store = aStore();
  await store.commitRoles(U, decision, (await store.board(U)).epoch, policy);
}

async function holds(complete: Complete): Promise<void> {
  const store = aStore();
  expect(await store.putComplete(U, SEVEN, (await setOnBoard())?.generation ?? null, complete)).toBe(true);
}

function aKeeper(over: Partial<PartnerKeeperParts> = {}) {
  const log = fakeLog();
  const mails: string[] = [];
  const wake = new Wake();
  // As src/agent-pairs.ts has it.
  pair.onBroken(() => wake.wake());
  const keeper = new PartnerKeeper({
    uniqsign: U,
    store: aStore(),
    serverFor: (host) => pair.serverFor(host),
    fenceFor: (host) => pair.fenceFor(host),
    clock,
    log,
    mailer: { send: (subject) => mails.push(subject) },
    name: 'db1',
    connectTimeoutMs: 1_000,
    wake: () => wake.wake(),
    ...over,
  });
  return { keeper, log, mails, wake };
}

const never = new AbortController().signal;

/** One round, however long it waits for somebody. */
async function round(keeper: PartnerKeeper): Promise<number> {
  let nextMs: number | null = null;
  const ended = keeper.round(never).then((result) => {
    nextMs = result.nextMs;
  });
  await settle();
  while (nextMs === null) await clock.advance(50);
  await ended;
  return nextMs;
}

/** The real loop; the test ends it. */
function running({ keeper, wake, log }: ReturnType<typeof aKeeper>) {
  const stop = new AbortController();
  const ended = supervise({
    name: 'partner',
    round: (signal) => keeper.round(signal),
    intervalMs: 1_000,
    roundDeadlineMs: 15_000,
    wake,
    stop: stop.signal,
    clock,
    random: fakeRandom(),
    log,
  });
  return async () => {
    stop.abort();
    await clock.advance(1);
    await ended;
  };
}

/** How long it takes until this is so, by the clock of the test. */
async function untilSo(check: () => boolean | Promise<boolean>, withinMs = 20_000): Promise<number> {
  const startedMs = clock.monotonic();
  while (!(await check())) {
    if (clock.monotonic() - startedMs > withinMs) throw new Error(`not within ${withinMs} ms`);
    await clock.advance(10);
  }
  return clock.monotonic() - startedMs;
}

const isWaiting = () => (pair.a.facts.semiSync?.waiting ?? 0) > 0;
const areBoth = async () => (await setOnBoard())?.hosts.length === 2;

describe('a pair at rest', () => {
  it('is looked at once a second, and nothing is done', async () => {
    await decided();
    await holds(BOTH);
    const { keeper, log } = aKeeper();
    expect(await round(keeper)).toBe(1_000);
    expect(pair.calls).toEqual([]);
    expect(await setOnBoard()).toEqual(BOTH);
    expect(log.lines).toEqual([]);
  });

  it.each([
    ['is not on the board', async () => {}],
    ['has no safety', async () => await decided({ lease: null, durability: 'async' })],
  ])('that %s is let be', async (_what, prepare) => {
    await prepare();
    const { keeper } = aKeeper();
    pair.a.probe = () => Promise.reject(new Error('nobody is to be asked'));
    expect(await round(keeper)).toBe(1_000);
    expect(pair.calls).toEqual([]);
  });
});

describe('a board that went back', () => {
  it('is not obeyed while a silent host is known to have heard of a later decision', async () => {
    await decided();
    await holds(BOTH);
    const { keeper } = aKeeper();
    await round(keeper);
    // B was opened by decision 8, died, and Redis came back with what it held before: A wakes with a commit that waits.
    pair.row(pair.b, { epoch: { ...SEVEN, number: 8, id: 'e8', active: B } });
    await round(keeper);
    pair.b.down = failure('refused');
    pair.semi(pair.a, { clients: 0 });
    pair.waits();
    for (let rounds = 0; rounds < 5; rounds++) {
      await round(keeper);
      await clock.advance(1_000);
    }
    expect(pair.calls).toEqual([]);
    expect(await setOnBoard()).toEqual(BOTH);
  });

  it('is obeyed again as soon as that host says that it knows no later one', async () => {
    await decided();
    await holds(BOTH);
    const { keeper } = aKeeper();
    pair.row(pair.b, { epoch: { ...SEVEN, number: 8, id: 'e8', active: B } });
    await round(keeper);
    pair.row(pair.b, { epoch: SEVEN });
    pair.semi(pair.a, { clients: 0 });
    await round(keeper);
    expect((await setOnBoard())?.hosts).toEqual([A1]);
  });
});

describe('a new writer', () => {
  it('is recorded before its commits go alone, and both in one round', async () => {
    await decided();
    pair.b.down = failure('refused');
    pair.waits();
    const steps: string[] = [];
    const store = aStore();
    const { putComplete } = store;
    store.putComplete = async (...args) => {
      steps.push('set');
      return await putComplete.apply(store, args);
    };
    pair.answers = (_host, call) => {
      steps.push(call.do);
      return null;
    };
    const { keeper, log } = aKeeper({ store });
    await round(keeper);
    expect(steps).toEqual(['set', 'sync']);
    expect(await setOnBoard()).toEqual({ generation: 13, writer: A1, hosts: [A1] });
    expect(pair.calls).toEqual([`${A} sync false`]);
    expect(isWaiting()).toBe(false);
    expect(pair.a.facts.row?.generation).toBe(13);
    expect(log.lines).toEqual([
      `info ${A} is recorded as the one that holds every acknowledged commit, because the board does not say which hosts are complete`,
      `info ${A}: commits go without an acknowledgement, because ${A} alone holds every acknowledged commit`,
    ]);
  });

  it('goes on waiting when the board is away, for nobody could know that it is alone', async () => {
    await decided();
    await holds(BOTH);
    pair.semi(pair.a, { clients: 0 });
    pair.waits();
    board.trouble = new MmmError('store-down', 'no Redis');
    const { keeper } = aKeeper();
    await expect(keeper.round(never)).rejects.toThrow('no Redis');
    expect(isWaiting()).toBe(true);
    expect(pair.calls).toEqual([]);
  });

  it('goes on waiting when another agent was first with something else', async () => {
    await decided();
    await holds(BOTH);
    pair.semi(pair.a, { clients: 0 });
    pair.waits();
    const store = aStore();
    // Right before it is written, another decision stands on the board.
    store.putComplete = async () => false;
    const { keeper } = aKeeper({ store });
    expect(await round(keeper)).toBe(200);
    expect(isWaiting()).toBe(true);
  });
});

describe('a passive that is killed', () => {
  it('costs the clients of the active less than 300 ms, though the active has not noticed', async () => {
    await decided();
    await holds(BOTH);
    const agent = aKeeper();
    const end = running(agent);
    await clock.advance(3_400);
    pair.waits();
    pair.killB();
    expect(await untilSo(() => !isWaiting())).toBeLessThan(300);
    expect(await setOnBoard()).toMatchObject({ generation: 13, hosts: [A1] });
    expect(agent.mails).toEqual(['mmm-manager partner lost']);
    await end();
  });

  it('costs them less than 300 ms, too, when the first commit comes a while later', async () => {
    await decided();
    await holds(BOTH);
    const end = running(aKeeper());
    await clock.advance(100);
    pair.killB();
    await clock.advance(5_000);
    expect(await areBoth()).toBe(true);
    pair.waits();
    expect(await untilSo(() => !isWaiting())).toBeLessThan(300);
    await end();
  });

  it('joins by itself when it is back, and what it costs is told', async () => {
    await decided();
    await holds(BOTH);
    const agent = aKeeper();
    const end = running(agent);
    await clock.advance(100);
    pair.waits();
    pair.killB();
    await untilSo(() => !isWaiting());
    await clock.advance(30_000);
    expect(agent.log.lines.filter((line) => line.startsWith('error'))).toEqual([
      `error not complete: ${B} does not answer (refused ECONNREFUSED); ${A} alone holds every acknowledged commit`,
    ]);
    pair.calls.length = 0;
    pair.restartB();
    expect(await untilSo(areBoth)).toBeLessThan(2_500);
    expect(pair.calls).toEqual([`${B} acknowledge true`, `${B} stop-io`, `${B} start-io`, `${A} sync true`]);
    const set = await setOnBoard();
    expect(set?.hosts).toEqual([A1, { ...B1, startedSec: 210 }]);
    expect(pair.a.facts).toMatchObject({ semiSync: { source: true }, row: { generation: set?.generation } });
    expect(agent.log.lines.at(-1)).toMatch(/^info .* holds every acknowledged commit, too: /);
    expect(agent.log.lines.some((line) => line.startsWith('info over after'))).toBe(true);
    expect(await aStore().ioStopped(U, [B])).toEqual([]);
    await end();
  });
});

describe('a passive that is frozen', () => {
  it('is waited for once, and each look at the active then comes in time', async () => {
    await decided();
    await holds(BOTH);
    const end = running(aKeeper());
    await clock.advance(3_400);
    const { probe } = pair.b;
    pair.waits();
    pair.b.probe = async () => {
      await clock.sleep(1_000);
      return failure('silent');
    };
    let looksAtA = 0;
    const probeA = pair.a.probe.bind(pair.a);
    pair.a.probe = async () => {
      looksAtA += 1;
      return await probeA();
    };
    await clock.advance(1_600);
    // The first one 0.6 s later; after it 0.3 s are waited for the passive, then every 50 ms.
    expect(looksAtA).toBeGreaterThan(12);
    await clock.advance(1_000);
    expect(isWaiting()).toBe(false);
    // It thaws: what it says counts again.
    pair.b.probe = probe;
    pair.semi(pair.a, { clients: 1 });
    expect(await untilSo(areBoth)).toBeLessThan(4_000);
    await end();
  });

  it('costs the clients of the active less than 3 s, and holds up no look at the active', async () => {
    await decided();
    await holds(BOTH);
    const agent = aKeeper();
    const end = running(agent);
    await clock.advance(3_400);
    pair.waits();
    pair.b.probe = async () => {
      await clock.sleep(1_000);
      return failure('silent');
    };
    expect(await untilSo(() => !isWaiting())).toBeLessThan(3_000);
    expect(agent.log.lines.some((line) => line.includes('acknowledged none for'))).toBe(true);
    await end();
  });
});

describe('a join', () => {
  const begins = async () => {
    await decided();
    await holds(ALONE);
    pair.semi(pair.a, { source: false });
  };

  it('is begun by one of two agents', async () => {
    await begins();
    const ends = [running(aKeeper()), running(aKeeper({ name: 'db2' }))];
    await untilSo(areBoth);
    await clock.advance(5_000);
    expect(await areBoth()).toBe(true);
    expect(await setOnBoard()).toMatchObject({ generation: 13 });
    expect(pair.calls).toEqual([`${A} sync true`]);
    for (const end of ends) await end();
  });

  it('that an agent left behind is taken over when its time is over', async () => {
    await begins();
    const store = aStore();
    const untilMs = clock.wall() + 5_000;
    expect(await store.beginJoin(U, SEVEN, 12, aJoining({ by: 'db2', generation: 13, untilMs }))).toBe(true);
    const end = running(aKeeper());
    await clock.advance(4_900);
    expect(pair.calls).toEqual([]);
    expect(await untilSo(areBoth)).toBeLessThan(1_500);
    await end();
  });

  it('in which the I/O thread could not be started again leaves a note that it was not a backup', async () => {
    await begins();
    pair.semi(pair.a, { clients: 0 });
    pair.semi(pair.b, { replicaOn: false });
    pair.answers = (_host, call) => (call.do === 'start-io' ? failure('silent') : null);
    const agent = aKeeper();
    const end = running(agent);
    await clock.advance(3_000);
    expect(await aStore().ioStopped(U, [B])).toEqual([B]);
    expect(pair.a.facts.semiSync?.source).toBe(false);
    expect(agent.log.lines.some((line) => line.includes(`${B}: could not restart-io: silent`))).toBe(true);
    await end();
  });

  it('is not begun while what stayed on the passive waits for an operator', async () => {
    await decided({}, { ...POLICY, onDivergence: 'hold' });
    await holds(ALONE);
    pair.semi(pair.a, { source: false });
    const store = aStore();
    const divergence = {
      host: B,
      epoch: SEVEN,
      foundAtMs: clock.wall(),
      count: 2,
      gtids: '0-2-9',
      cut: false,
      end: null,
      saved: null,
    };
    expect(await store.putDivergence(U, SEVEN, divergence)).toBe(true);
    expect((await store.board(U)).divergence).toMatchObject({ host: B });
    const end = running(aKeeper());
    await clock.advance(5_000);
    expect(await areBoth()).toBe(false);
    await end();
  });
});

describe('a call that is not done', () => {
  it('is told once and tried again soon', async () => {
    await decided();
    await holds(ALONE);
    pair.waits();
    pair.answers = () => ({ kind: 'not-done', why: 'busy', row: null });
    const agent = aKeeper();
    const end = running(agent);
    await clock.advance(1_000);
    pair.answers = null;
    expect(await untilSo(() => !isWaiting())).toBeLessThan(250);
    const told = agent.log.lines.filter((line) => line.startsWith('warn') && line.includes('could not'));
    expect(told).toEqual([`warn ${A}: could not sync-off: busy; it is tried again`]);
    await end();
  });

  it('that the row refuses, because another agent was later, is derived anew', async () => {
    await decided();
    await holds(ALONE);
    pair.waits();
    const { keeper } = aKeeper();
    const refused: string[] = [];
    pair.answers = (_host, call) => {
      if (refused.length > 0) return null;
      refused.push(call.do);
      pair.row(pair.a, { generation: 20 });
      return { kind: 'not-done', why: 'stale', row: null };
    };
    await round(keeper);
    expect(isWaiting()).toBe(true);
    await round(keeper);
    expect(refused).toEqual(['sync']);
    expect(isWaiting()).toBe(false);
    expect((await setOnBoard())?.generation).toBeGreaterThan(20);
  });
});

describe('a pair that became async', () => {
  it('is shrunk, and goes on alone', async () => {
    await decided({ durability: 'async' }, { ...POLICY, durability: 'async' });
    await holds(BOTH);
    const { keeper } = aKeeper();
    expect(await round(keeper)).toBe(1_000);
    expect(await setOnBoard()).toMatchObject({ generation: 13, hosts: [A1] });
    expect(pair.calls).toEqual([`${A} sync false`]);
  });
});

// Which pairs have the third loop, which keeps the complete set, and how it begins and ends: the real loops on a clock that stands still.

import { beforeEach, describe, expect, it } from 'vitest';
import { AgentPairs, type AgentPairsParts, agentOnce } from '../src/agent-pairs.ts';
import { type Decision, NO_SAFETY, NO_TERMS } from '../src/core/decision.ts';
import { MmmError } from '../src/core/errors.ts';
import type { Epoch, Host } from '../src/core/pair.ts';
import { FakeClock, fakeRandom, settle } from './support/fake-clock.ts';
import { fakeLog } from './support/fake-log.ts';
import { FakeServer } from './support/fake-pair.ts';
import { LosslessPair } from './support/lossless-pair.ts';
import { MemoryBoard } from './support/memory-store.ts';
import { A, ALONE, B, SEVEN } from './support/partnership.ts';

const U = '8d9a4b2924dc40baa792d742cb786345';

let clock: FakeClock;
let board: MemoryBoard;
let pair: LosslessPair;
let stop: AbortController;
let opened: Watched[];

/** A connection of its own to the same server. */
class Watched extends FakeServer {
  looks = 0;
  breaks: () => void = () => {};

  override async probe() {
    this.looks += 1;
    return await pair.serverFor(this.host).probe();
  }

  override onBroken(listener: () => void): void {
    this.breaks = listener;
  }
}

beforeEach(() => {
  clock = new FakeClock();
  board = new MemoryBoard(() => clock.wall());
  pair = new LosslessPair();
  stop = new AbortController();
  opened = [];
});

function parts(over: Partial<AgentPairsParts> = {}): AgentPairsParts {
  return {
    store: board.store({ topic: 'mmm' }),
    openServer: (host: Host) => {
      const server = new Watched(host, pair.serverFor(host).facts);
      opened.push(server);
      return server;
    },
    openFence: (host) => pair.fenceFor(host),
    runHook: async () => ({ succeeded: false, why: 'there is none' }),
    salvage: async () => ({ kind: 'not-saved', why: 'there is no tool' }),
    memory: { pairs: () => [], remember: () => {}, forget: () => {} },
    clock,
    random: fakeRandom(),
    log: fakeLog(),
    mailer: { send: () => {} },
    name: 'db1',
    connectTimeoutMs: 1_000,
    tryOnFailure: 1,
    intervalMs: 1_000,
    roundDeadlineMs: 60_000,
    stop: stop.signal,
    ...over,
  };
}

async function decided(durability: Decision['terms']['durability'], epoch: Epoch = SEVEN): Promise<void> {
  const store = board.store({ topic: 'mmm' });
  const decision: Decision = {
    roles: { active: epoch.active, passive: epoch.active === A ? B : A },
    epoch,
    reasons: [],
    atMs: clock.wall(),
    terms: { ...NO_TERMS, lease: 'endless', durability },
    unfenced: true,
  };
  await store.commitRoles(U, decision, (await store.board(U)).epoch, { ...NO_SAFETY, durability });
}

const setOnBoard = async () => (await board.store({ topic: 'mmm' }).board(U)).complete;

describe('the loop that keeps the complete set', () => {
  it('is not there for a pair that never was lossless', async () => {
    await decided('async');
    const pairs = new AgentPairs(parts());
    await pairs.discover();
    await clock.advance(3_000);
    expect(opened).toHaveLength(2);
    stop.abort();
    await clock.advance(5_000);
    await pairs.ended();
  });

  it('is there for one that is, on connections of its own, which end with the agent', async () => {
    await decided('lossless');
    const pairs = new AgentPairs(parts());
    await pairs.discover();
    await pairs.discover();
    await clock.advance(3_000);
    expect(opened.map(({ host }) => host).sort()).toEqual([A, A, B, B]);
    expect((await setOnBoard())?.hosts).toHaveLength(2);
    stop.abort();
    await clock.advance(5_000);
    await pairs.ended();
    expect(opened.every(({ closed }) => closed)).toBe(true);
  });

  it('is there for one that was, until nobody waits any more', async () => {
    await decided('async');
    await board.store({ topic: 'mmm' }).putComplete(U, SEVEN, null, ALONE);
    const pairs = new AgentPairs(parts());
    await pairs.discover();
    await clock.advance(2_000);
    expect(pair.a.facts.semiSync?.source).toBe(false);
    stop.abort();
    await clock.advance(5_000);
    await pairs.ended();
  });

  it('is woken by the board, and at once when one of its connections breaks', async () => {
    await decided('lossless');
    const pairs = new AgentPairs(parts());
    await pairs.discover();
    await clock.advance(3_300);
    const looks = () => opened.reduce((sum, server) => sum + server.looks, 0);
    const before = looks();
    for (const server of opened) server.breaks();
    await settle();
    await settle();
    // Both loops look at both hosts.
    expect(looks()).toBe(before + 4);
    pairs.wake({ kind: 'decided', uniqsign: U });
    await clock.advance(0);
    expect(looks()).toBe(before + 8);
    pairs.wake({ kind: 'reconnected', uniqsign: null });
    await clock.advance(0);
    expect(looks()).toBe(before + 12);
    stop.abort();
    await clock.advance(5_000);
    await pairs.ended();
  });

  it('is woken when a host was opened, whose first commits wait for it', async () => {
    // Their own clocks.
    for (const server of [pair.a, pair.b]) pair.row(server, { nowMs: clock.wall(), tickMs: clock.wall() });
    await decided('lossless');
    const pairs = new AgentPairs(parts());
    await pairs.discover();
    await clock.advance(3_300);
    await board.store({ topic: 'mmm' }).putOpened(U, SEVEN, A);
    await decided('lossless', { number: 8, id: 'd8', active: B });
    pairs.wake({ kind: 'decided', uniqsign: U });
    await clock.advance(50);
    expect(pair.calls).toContain(`${B} open true`);
    expect(pair.calls).toContain(`${B} sync false`);
    stop.abort();
    await clock.advance(5_000);
    await pairs.ended();
  });

  it('does for a single command what clients wait for', async () => {
    await decided('lossless');
    pair.waits();
    pair.b.down = { kind: 'refused', code: 'ECONNREFUSED', message: 'nobody listens' };
    const once = agentOnce(parts());
    await clock.advance(10_000);
    await once;
    expect(pair.a.facts.semiSync).toMatchObject({ source: false, waiting: 0 });
    expect((await setOnBoard())?.hosts).toMatchObject([{ host: A }]);
  });
});

describe('a clean stop', () => {
  const isWaitedFor = () => pair.a.facts.semiSync?.source;

  it('of the last agent lets the active go alone: nobody would notice any more that the passive is gone (L3)', async () => {
    await decided('lossless');
    const pairs = new AgentPairs(parts());
    await pairs.discover();
    await clock.advance(3_000);
    expect(isWaitedFor()).toBe(true);
    stop.abort();
    await clock.advance(400);
    await pairs.ended();
    expect(isWaitedFor()).toBe(false);
    expect((await setOnBoard())?.hosts).toMatchObject([{ host: A }]);
  });

  it('of one of two changes nothing', async () => {
    await decided('lossless');
    const other = new AbortController();
    const [one, two] = [new AgentPairs(parts()), new AgentPairs(parts({ name: 'db2', stop: other.signal }))];
    for (const pairs of [one, two]) await pairs.discover();
    await clock.advance(4_000);
    stop.abort();
    await clock.advance(400);
    await one.ended();
    expect(isWaitedFor()).toBe(true);
    expect((await setOnBoard())?.hosts).toHaveLength(2);
    other.abort();
    await clock.advance(400);
    await two.ended();
    expect(isWaitedFor()).toBe(false);
  });

  it('with the board away leaves the commits waiting, and says so', async () => {
    await decided('lossless');
    const log = fakeLog();
    const pairs = new AgentPairs(parts({ log }));
    await pairs.discover();
    await clock.advance(3_000);
    board.trouble = new MmmError('store-down', 'no Redis');
    stop.abort();
    await clock.advance(5_000);
    await pairs.ended();
    expect(isWaitedFor()).toBe(true);
    expect(log.lines.some((line) => line.includes('commits may go on waiting for the passive'))).toBe(true);
  });
});

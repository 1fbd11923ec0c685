// Which pairs the agent keeps, with which loops, and how they end: the real loops on a clock that stands still, rows and a board in memory.

import { beforeEach, describe, expect, it } from 'vitest';
import { AgentPairs, type AgentPairsParts, agentOnce } from '../src/agent-pairs.ts';
import type { RememberedPair } from '../src/core/agent-memory.ts';
import { type Decision, NO_SAFETY, NO_TERMS, type Policy } from '../src/core/decision.ts';
import { MmmError } from '../src/core/errors.ts';
import type { Epoch, Host } from '../src/core/pair.ts';
import { PRIMARY, SECONDARY } from './support/build.ts';
import { failure } from './support/facts.ts';
import { FakeClock, fakeRandom, settle } from './support/fake-clock.ts';
import { FakeFenced } from './support/fake-fence.ts';
import { fakeLog } from './support/fake-log.ts';
import { fakePair } from './support/fake-pair.ts';
import { MemoryBoard } from './support/memory-store.ts';

const U = '8d9a4b2924dc40baa792d742cb786345';
const LEASE_MS = 3_000;
const POLICY: Policy = { ...NO_SAFETY, fencing: 'lease', leaseMs: LEASE_MS, onUnreachable: 'wait' };
const ROLES = { active: PRIMARY, passive: SECONDARY };
const REMEMBERED: RememberedPair = { uniqsign: U, roles: ROLES, policy: POLICY };
/** What ops/signals.ts allows the whole stop. */
const STOP_MS = 5_000;

const epochOf = (number: number, active: Host = PRIMARY): Epoch => ({ number, id: `d${number}`, active });

let clock: FakeClock;
let board: MemoryBoard;
let a: FakeFenced;
let b: FakeFenced;
let servers: ReturnType<typeof fakePair>;

beforeEach(() => {
  clock = new FakeClock();
  board = new MemoryBoard(() => clock.wall());
  a = new FakeFenced(PRIMARY, () => clock.wall());
  b = new FakeFenced(SECONDARY, () => clock.wall());
  a.openAt(epochOf(7), LEASE_MS);
  b.claimed(epochOf(7));
  // The loop that changes things sees nobody, so that only the keepers touch the rows.
  servers = fakePair();
  servers.a.down = failure('silent');
  servers.b.down = failure('silent');
});

function aStore() {
  return board.store({ topic: 'mmm' });
}

async function decided(epoch: Epoch, lease: Decision['terms']['lease'] = 'finite'): Promise<void> {
  const store = aStore();
  const decision: Decision = {
    roles: ROLES,
    epoch,
    reasons: [],
    atMs: clock.wall(),
    terms: { ...NO_TERMS, lease },
    unfenced: lease === null ? null : false,
  };
  await store.commitRoles(U, decision, (await store.board(U)).epoch, POLICY);
}

function aMemory(pairs: readonly RememberedPair[] = []) {
  const known = new Map(pairs.map((pair) => [pair.uniqsign, pair]));
  return {
    known,
    pairs: () => [...known.values()],
    remember: (pair: RememberedPair) => void known.set(pair.uniqsign, pair),
    forget: (uniqsign: string) => void known.delete(uniqsign),
  };
}

function anAgent(over: Partial<AgentPairsParts> & { memory?: ReturnType<typeof aMemory> } = {}) {
  const log = fakeLog();
  const stop = new AbortController();
  const memory = over.memory ?? aMemory();
  const opened: Host[] = [];
  const parts: AgentPairsParts = {
    store: aStore(),
    openServer: (host) => (host === PRIMARY ? servers.a : servers.b),
    openFence: (host) => {
      opened.push(host);
      return (host === PRIMARY ? a : b).fence();
    },
    runHook: async () => ({ succeeded: false, why: 'there is none' }),
    salvage: async () => ({ kind: 'not-saved', why: 'there is no tool' }),
    clock,
    random: fakeRandom(),
    log,
    mailer: { send: () => {} },
    name: 'db1',
    connectTimeoutMs: 1_000,
    tryOnFailure: 1,
    intervalMs: 1_000,
    roundDeadlineMs: 60_000,
    stop: stop.signal,
    ...over,
    memory,
  };
  return { pairs: new AgentPairs(parts), parts, log, stop, memory, opened };
}

async function seconds(count: number): Promise<void> {
  for (let at = 0; at < count; at++) {
    await clock.advance(1_000);
    a.event();
    b.event();
  }
}

/** Waits for the end of everything; returns how long that took. */
async function ends({ pairs, stop }: ReturnType<typeof anAgent>): Promise<number> {
  const startedMs = clock.monotonic();
  stop.abort();
  let over = false;
  const ended = pairs.ended().then(() => {
    over = true;
  });
  await settle();
  while (!over && clock.monotonic() - startedMs < 60_000) await clock.advance(10);
  if (over) await ended;
  return clock.monotonic() - startedMs;
}

describe('a pair without a safety', () => {
  it('has one loop, and nobody asks for a row', async () => {
    await decided(epochOf(7), null);
    const agent = anAgent();
    await agent.pairs.discover();
    await seconds(3);
    await ends(agent);
    expect(agent.opened).toEqual([]);
    expect(agent.memory.known.size).toBe(0);
    expect(await aStore().agents(U)).toEqual([]);
  });

  it('that gets one is kept from the decision on that says so', async () => {
    await decided(epochOf(7), null);
    const agent = anAgent();
    await agent.pairs.discover();
    await decided(epochOf(8));
    expect(agent.pairs.wake({ kind: 'message', uniqsign: U })).toBe(true);
    expect(agent.pairs.wake({ kind: 'decided', uniqsign: U })).toBe(false);
    await agent.pairs.discover();
    expect(agent.pairs.wake({ kind: 'decided', uniqsign: U })).toBe(true);
    await seconds(5);
    expect(a.readOnly).toBe(false);
    await ends(agent);
  });
});

describe('a pair with a safety', () => {
  it('is kept, registered and remembered', async () => {
    await decided(epochOf(7));
    const agent = anAgent();
    await agent.pairs.discover();
    await seconds(10);
    expect(a.readOnly).toBe(false);
    expect(await aStore().agents(U)).toMatchObject([{ name: 'db1', reachesBoth: true }]);
    expect(agent.memory.known.get(U)).toEqual(REMEMBERED);
    await ends(agent);
  });

  it('is kept while the loop that changes things hangs', async () => {
    await decided(epochOf(7));
    servers.a.probe = () => new Promise(() => {});
    const agent = anAgent();
    await agent.pairs.discover();
    await seconds(10);
    expect(a.readOnly).toBe(false);
  });

  it('is kept on connections of its own', async () => {
    await decided(epochOf(7));
    servers.a.down = null;
    servers.b.down = null;
    const agent = anAgent();
    await agent.pairs.discover();
    await seconds(2);
    expect(agent.opened.filter((host) => host === PRIMARY).length).toBe(2);
    await ends(agent);
  });
});

describe('a pair that the agent remembers', () => {
  it('is kept with the board away from the beginning', async () => {
    board.trouble = new MmmError('store-down', 'no Redis');
    const agent = anAgent({ memory: aMemory([REMEMBERED]) });
    await expect(agent.pairs.discover()).rejects.toThrow('no Redis');
    for (let at = 0; at < 10; at++) {
      await seconds(1);
      await agent.pairs.discover().catch(() => {});
    }
    expect(a.readOnly).toBe(false);
  });

  it('is kept on an empty board, however long, and told once; and let go when nobody needs it', async () => {
    const agent = anAgent({ memory: aMemory([REMEMBERED]) });
    for (let at = 0; at < 90; at++) {
      await agent.pairs.discover();
      await seconds(1);
    }
    expect(a.readOnly).toBe(false);
    expect(agent.memory.known.size).toBe(1);
    expect(agent.log.lines.filter((line) => line.includes('goes on keeping the lease'))).toHaveLength(1);
    a.openAt(epochOf(7), 'endless');
    await seconds(2);
    const letGo = agent.pairs.discover();
    await clock.advance(3_000);
    await letGo;
    expect(agent.memory.known.size).toBe(0);
    expect(agent.log.lines.at(-1)).toMatch(/lets it be/);
    // It is not the end of the agent, so nothing is taken leave of.
    expect(a.calls.filter((call) => call.do !== 'renew')).toEqual([]);
    expect(await aStore().agents(U)).toEqual([]);
    expect(await ends(agent)).toBe(0);
  });

  it('is forgotten when the board says that no safety is on, and no row says otherwise', async () => {
    await decided(epochOf(7), null);
    a.openAt(epochOf(7), 'endless');
    const agent = anAgent({ memory: aMemory([REMEMBERED]) });
    await agent.pairs.discover();
    await seconds(2);
    await agent.pairs.discover();
    expect(agent.memory.known.size).toBe(0);
    await ends(agent);
  });

  it('is not forgotten while a row has a finite lease, whatever the board says', async () => {
    await decided(epochOf(7), null);
    const agent = anAgent({ memory: aMemory([REMEMBERED]) });
    await agent.pairs.discover();
    await seconds(6);
    await agent.pairs.discover();
    expect(agent.memory.known.size).toBe(1);
    expect(a.readOnly).toBe(false);
    await ends(agent);
  });
});

describe('a clean stop', () => {
  it('of the last agent makes the lease endless, at once', async () => {
    await decided(epochOf(7));
    const agent = anAgent();
    await agent.pairs.discover();
    await seconds(2);
    expect(await ends(agent)).toBeLessThan(500);
    await seconds(10);
    expect(a.row).toMatchObject({ readOnly: false, lease: { kind: 'endless' } });
    expect(await aStore().board(U)).toMatchObject({ unfenced: true, epoch: { number: 8, active: PRIMARY } });
  });

  it('of one of two changes nothing, and the other one goes on', async () => {
    await decided(epochOf(7));
    const one = anAgent();
    const two = anAgent({ name: 'db2' });
    await one.pairs.discover();
    await two.pairs.discover();
    await seconds(2);
    await ends(one);
    await seconds(10);
    expect(a.row).toMatchObject({ epoch: epochOf(7), readOnly: false, lease: { kind: 'finite' } });
    expect((await aStore().agents(U)).map(({ name }) => name)).toEqual(['db2']);
    await ends(two);
    expect(a.row?.lease.kind).toBe('endless');
  });

  it('keeps the lease while a change that is under way ends, and does not wait for one that does not', async () => {
    await decided(epochOf(7));
    servers.a.probe = () => new Promise(() => {});
    const agent = anAgent();
    await agent.pairs.discover();
    await seconds(1);
    const before = a.calls.length;
    agent.stop.abort();
    await seconds(1);
    expect(a.calls.slice(before).map((call) => call.do)).toEqual(['renew']);
    await seconds(1);
    for (let at = 0; at < (STOP_MS - 2_000) / 100; at++) await clock.advance(100);
    expect(a.row?.lease.kind).toBe('endless');
  });

  it('takes no longer than a daemon is given, whoever hangs', async () => {
    await decided(epochOf(7));
    const agent = anAgent();
    await agent.pairs.discover();
    await seconds(2);
    a.before = (what) => what !== 'look' && a.freeze();
    await clock.advance(1_000);
    b.freeze();
    const tookMs = await ends(agent);
    expect(tookMs).toBeLessThan(STOP_MS);
  });
});

describe('one round of a command', () => {
  it('renews once, and nobody counts on it', async () => {
    await decided(epochOf(7));
    const { parts } = anAgent();
    const once = agentOnce(parts);
    for (let at = 0; at < 20; at++) await clock.advance(100);
    await once;
    expect(a.calls.map((call) => call.do)).toEqual(['renew']);
    expect(await aStore().agents(U)).toEqual([]);
  });
});

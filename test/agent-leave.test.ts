// The clean stop of an agent around two rows and a board in memory: who makes the lease endless, in which order, and what it leaves when it cannot.

import { beforeEach, describe, expect, it } from 'vitest';
import { type LeaveParts, leave } from '../src/agent-leave.ts';
import type { Renewal } from '../src/core/agents.ts';
import type { Call } from '../src/core/call.ts';
import { type Decision, NO_SAFETY, NO_TERMS, type Policy } from '../src/core/decision.ts';
import { MmmError } from '../src/core/errors.ts';
import type { Epoch, Host } from '../src/core/pair.ts';
import type { Store } from '../src/store/store.ts';
import { keysOf } from '../src/store/wire-keys.ts';
import { PRIMARY, SECONDARY } from './support/build.ts';
import { FakeClock, fakeRandom, settle } from './support/fake-clock.ts';
import { FakeFenced, REFUSED, SILENT } from './support/fake-fence.ts';
import { fakeLog } from './support/fake-log.ts';
import { MemoryBoard } from './support/memory-store.ts';

const U = '8d9a4b2924dc40baa792d742cb786345';
const LEASE_MS = 3_000;
const WITHIN_MS = 2_300;
const POLICY: Policy = { ...NO_SAFETY, fencing: 'lease', leaseMs: LEASE_MS };
const ROLES = { active: PRIMARY, passive: SECONDARY };
const RENEWAL = { host: PRIMARY, epoch: { number: 7, id: 'd7' }, outcome: 'renewed', successes: 1 } as const;

const epochOf = (number: number, active: Host = PRIMARY): Epoch => ({ number, id: `d${number}`, active });
/** What the first decision of fakeRandom is called. */
const NEW_ID = '00000000000000000000000000000001';

let clock: FakeClock;
let board: MemoryBoard;
let a: FakeFenced;
let b: FakeFenced;
/** What was done, in order: on the board and on the servers. */
let order: string[];

beforeEach(async () => {
  clock = new FakeClock();
  board = new MemoryBoard(() => clock.wall());
  order = [];
  a = new FakeFenced(PRIMARY, () => clock.wall());
  b = new FakeFenced(SECONDARY, () => clock.wall());
  a.openAt(epochOf(7), LEASE_MS);
  b.claimed(epochOf(7));
  a.before = (what) => what !== 'look' && order.push(`a ${what}`);
  b.before = (what) => what !== 'look' && order.push(`b ${what}`);
  await decided(epochOf(7));
});

function aStore(): Store {
  return board.store({ topic: 'mmm' });
}

async function decided(epoch: Epoch, over: Partial<Decision> = {}): Promise<void> {
  const store = aStore();
  const passive = epoch.active === PRIMARY ? SECONDARY : PRIMARY;
  const decision: Decision = {
    roles: { active: epoch.active, passive },
    epoch,
    reasons: [],
    atMs: clock.wall(),
    terms: {
      ...NO_TERMS,
      changedAtMs: 1_700_000_000_000,
      preferred: SECONDARY,
      force: true,
      lease: 'finite',
      durability: 'lossless',
      otherNumber: 5,
    },
    unfenced: false,
    ...over,
  };
  await store.commitRoles(U, decision, (await store.board(U)).epoch, POLICY);
}

/** Takes the leave, however long it waits for somebody. */
async function goes(over: Partial<LeaveParts> = {}): Promise<{ lines: readonly string[]; tookMs: number }> {
  const log = fakeLog();
  const store = aStore();
  const parts: LeaveParts = {
    uniqsign: U,
    store: {
      ...bound(store),
      leave: async (...args) => {
        const outcome = await store.leave(...args);
        order.push(`board ${outcome}`);
        return outcome;
      },
    },
    fenceFor: (host) => (host === PRIMARY ? a.fence() : b.fence()),
    clock,
    random: fakeRandom(),
    log,
    name: 'db1',
    known: { roles: ROLES, policy: POLICY },
    withinMs: WITHIN_MS,
    ...over,
  };
  const startedMs = clock.monotonic();
  let over_ = false;
  const ended = leave(parts).then(() => {
    over_ = true;
  });
  await settle();
  while (!over_) await clock.advance(10);
  await ended;
  return { lines: log.lines, tookMs: clock.monotonic() - startedMs };
}

/** A store whose methods a test can take out one by one. */
function bound(store: Store): Store {
  return new Proxy(store, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
    ownKeys: () => ['findPair', 'putAgent', 'leave'],
    getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),
  });
}

function registers(name: string, reachesBoth = true, outcome: Renewal['outcome'] = 'renewed'): Promise<void> {
  return aStore().putAgent(U, { name, reachesBoth, renewal: { ...RENEWAL, outcome } });
}

const isEndless = (server: FakeFenced) => server.row?.lease.kind === 'endless';
const openings = (server: FakeFenced): readonly Call[] => server.calls.filter((call) => call.do === 'open');

describe('an agent that is not the last', () => {
  it('simply goes', async () => {
    await registers('db1');
    await registers('db2');
    const { lines } = await goes();
    expect(order).toEqual(['board others']);
    expect(a.row).toMatchObject({ epoch: epochOf(7), lease: { kind: 'finite' } });
    expect(await aStore().board(U)).toMatchObject({ epoch: epochOf(7), unfenced: false });
    expect((await aStore().agents(U)).map(({ name }) => name)).toEqual(['db2']);
    expect(lines.join('\n')).toMatch(/other agents go on/);
  });
});

describe('the last agent', () => {
  it('brings back the policy that it knew where the board has lost it', async () => {
    const known: Policy = { ...POLICY, leaseMs: 10_000 };
    await registers('db1');
    board.hashes.delete(keysOf(U).policy);
    await goes({ known: { roles: ROLES, policy: known } });
    expect(order).toContain('board last');
    expect((await aStore().findPair(U))?.policy).toEqual(known);
  });

  it('says on the board that the pair is unfenced, then on the passive, and only then makes the lease endless', async () => {
    await registers('db1');
    const { lines } = await goes();
    expect(order).toEqual(['board last', 'b claim', 'a claim', 'a open']);
    const epoch = { number: 8, id: NEW_ID, active: PRIMARY };
    const present = await aStore().board(U);
    expect(present).toMatchObject({ epoch, unfenced: true, roles: ROLES });
    expect(present.reasons[0]).toMatch(/db1, the last agent/);
    // What is past is carried on; what was said of one decision is not.
    expect(present.terms).toEqual({
      ...NO_TERMS,
      changedAtMs: 1_700_000_000_000,
      preferred: SECONDARY,
      otherNumber: 5,
      lease: 'endless',
      durability: 'lossless',
    });
    expect(a.row).toMatchObject({ epoch, opened: { number: 8 }, lease: { kind: 'endless' }, readOnly: false });
    expect(b.row).toMatchObject({ epoch, unfenced: true });
    expect(await aStore().agents(U)).toEqual([]);
    expect(lines.join('\n')).toMatch(/warn the last agent: the lease of 10.0.0.5:3308 is endless/);
  });

  it('counts nobody who could not renew the lease', async () => {
    await registers('db1');
    await registers('db2', false, 'failed');
    await goes();
    expect(isEndless(a)).toBe(true);
  });

  it('counts one that renews it and has lost the passive alone', async () => {
    await registers('db1');
    await registers('db2', false, 'renewed');
    await goes();
    expect(isEndless(a)).toBe(false);
  });

  it('does so with the passive away: the board is the witness', async () => {
    await registers('db1');
    b.down = SILENT;
    await goes();
    expect(isEndless(a)).toBe(true);
  });

  it('does so in time while the passive is frozen', async () => {
    await registers('db1');
    b.freeze();
    const { tookMs } = await goes();
    expect(isEndless(a)).toBe(true);
    expect(tookMs).toBeLessThanOrEqual(WITHIN_MS);
  });

  it('takes a higher number when a decision comes in between', async () => {
    await registers('db1');
    const store = aStore();
    let first = true;
    await goes({
      store: {
        ...bound(store),
        leave: async (...args) => {
          if (first) await decided(epochOf(8));
          first = false;
          return await store.leave(...args);
        },
      },
    });
    expect(await aStore().board(U)).toMatchObject({ epoch: { number: 9, active: PRIMARY }, unfenced: true });
    expect(isEndless(a)).toBe(true);
  });

  it('takes a number that is higher than those of the servers, when the board is older', async () => {
    await registers('db1');
    a.openAt(epochOf(12), LEASE_MS);
    b.claimed(epochOf(12));
    await goes();
    expect((await aStore().board(U)).epoch?.number).toBe(13);
    expect(isEndless(a)).toBe(true);
  });

  it('tries again what is held up for a moment', async () => {
    await registers('db1');
    let locked = 2;
    a.answers = (call) => (call.do === 'open' && locked-- > 0 ? { kind: 'not-done', why: 'locked', row: null } : null);
    await goes();
    expect(isEndless(a)).toBe(true);
  });

  it('leaves alone what a higher decision was claimed for', async () => {
    await registers('db1');
    b.claimed(epochOf(9, SECONDARY));
    b.before = (what) => what === 'claim' && b.claimed(epochOf(20, SECONDARY));
    const { lines } = await goes();
    expect(openings(a)).toEqual([]);
    expect(lines.join('\n')).toMatch(/error .*the other host knows decision 20/);
  });

  it('opens nothing that closed itself meanwhile', async () => {
    await registers('db1');
    a.before = (what) => {
      if (what === 'claim' && a.row !== null) a.row = { ...a.row, readOnly: true };
    };
    a.replicates = false;
    await goes();
    expect(a.readOnly).toBe(true);
    expect(openings(a)).toEqual([]);
  });

  it('takes the leave without the flag being lost when the answer of the board is: the same decision stands everywhere', async () => {
    await registers('db1');
    const store = aStore();
    await goes({
      store: {
        ...bound(store),
        leave: async (...args) => {
          await store.leave(...args);
          throw new MmmError('store-down', 'the answer was lost');
        },
      },
    });
    const { epoch } = await aStore().board(U);
    expect(epoch).toEqual({ number: 8, id: NEW_ID, active: PRIMARY });
    expect(a.row).toMatchObject({ epoch, lease: { kind: 'endless' } });
    expect(b.row).toMatchObject({ epoch, unfenced: true });
  });
});

describe('with the board away', () => {
  beforeEach(() => {
    board.trouble = new MmmError('store-down', 'no Redis');
  });

  it('the flag goes to the passive’s row, and then the lease is made endless by the same decision', async () => {
    await goes();
    expect(order).toEqual(['b claim', 'a claim', 'a open']);
    const epoch = { number: 8, id: NEW_ID, active: PRIMARY };
    expect(b.row).toMatchObject({ epoch, unfenced: true });
    expect(a.row).toMatchObject({ epoch, lease: { kind: 'endless' } });
  });

  it.each([
    ['is away as well', () => Object.assign(b, { down: REFUSED })],
    ['is frozen', () => b.freeze()],
    ['has nothing of ours', () => Object.assign(b, { row: null })],
    ['is open itself', () => b.openAt(epochOf(6, SECONDARY), 'endless')],
  ])('and a passive that %s, it just goes, and says what becomes of it', async (_what, breaks) => {
    breaks();
    const { lines, tookMs } = await goes();
    expect(a.calls).toEqual([]);
    expect(b.calls).toEqual([]);
    expect(lines.join('\n')).toMatch(/error .*without agents 10.0.0.5:3308 closes itself/);
    expect(tookMs).toBeLessThanOrEqual(WITHIN_MS);
  });

  it('and a claim that the passive does not answer in time, it is tried again: it may have been done', async () => {
    let tries = 0;
    b.answers = (call) => (call.do === 'claim' && tries++ === 0 ? SILENT : null);
    await goes();
    expect(b.row?.unfenced).toBe(true);
    expect(isEndless(a)).toBe(true);
  });

  it('and a claim that was not done, the lease stays as it is', async () => {
    b.answers = () => SILENT;
    const { tookMs } = await goes();
    expect(isEndless(a)).toBe(false);
    expect(tookMs).toBeLessThanOrEqual(WITHIN_MS + 100);
  });
});

describe('an empty board', () => {
  it('is as good as none: the flag goes to the passive’s row', async () => {
    board = new MemoryBoard(() => clock.wall());
    await goes();
    expect(order).toEqual(['b claim', 'a claim', 'a open']);
    expect(b.row?.unfenced).toBe(true);
  });
});

describe('nothing is made endless', () => {
  it('in the middle of a change, which is left to the other agents', async () => {
    await registers('db1');
    await decided(epochOf(8, SECONDARY));
    const { lines } = await goes();
    expect([...a.calls, ...b.calls]).toEqual([]);
    expect((await aStore().board(U)).epoch).toEqual(epochOf(8, SECONDARY));
    expect((await aStore().agents(U)).map(({ reachesBoth }) => reachesBoth)).toEqual([false]);
    expect(lines.join('\n')).toMatch(/in the middle of the change from 10.0.0.5:3308 to 10.0.0.7:3308/);
  });

  it.each([
    ['its lease is endless already', () => a.openAt(epochOf(7), 'endless')],
    ['nobody is open', () => Object.assign(a, { row: null })],
    ['the active does not answer', () => a.freeze()],
  ])('when %s: the agent only takes its name off', async (_what, is) => {
    await registers('db1');
    is();
    const { tookMs } = await goes();
    expect(order).toEqual([]);
    expect((await aStore().board(U)).epoch).toEqual(epochOf(7));
    expect((await aStore().agents(U)).map(({ reachesBoth }) => reachesBoth)).toEqual([false]);
    expect(tookMs).toBeLessThanOrEqual(WITHIN_MS);
  });
});

it('never takes longer than it may, whoever hangs', async () => {
  await registers('db1');
  const never = new Promise<never>(() => {});
  const store = { ...bound(aStore()), findPair: () => never, leave: () => never, putAgent: () => never };
  a.before = (what) => what !== 'look' && a.freeze();
  const { tookMs } = await goes({ store });
  expect(tookMs).toBeLessThanOrEqual(WITHIN_MS + 100);
  b.freeze();
  expect((await goes({ store })).tookMs).toBeLessThanOrEqual(WITHIN_MS + 100);
});

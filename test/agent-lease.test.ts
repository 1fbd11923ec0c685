// The keeper of the lease around two rows in memory and a clock that stands still: whom it asks, when it renews and when not, what it tells.

import { beforeEach, describe, expect, it } from 'vitest';
import { LeaseKeeper, type LeaseKeeperParts } from '../src/agent-lease.ts';
import type { RememberedPair } from '../src/core/agent-memory.ts';
import type { AgentRecord } from '../src/core/agents.ts';
import { type Decision, NO_SAFETY, NO_TERMS, type Policy } from '../src/core/decision.ts';
import { MmmError } from '../src/core/errors.ts';
import type { Epoch, Host } from '../src/core/pair.ts';
import { keysOf } from '../src/store/wire-keys.ts';
import { PRIMARY, SECONDARY } from './support/build.ts';
import { FakeClock, settle } from './support/fake-clock.ts';
import { FakeFenced, REFUSED, SILENT } from './support/fake-fence.ts';
import { fakeLog } from './support/fake-log.ts';
import { MemoryBoard } from './support/memory-store.ts';

const U = '8d9a4b2924dc40baa792d742cb786345';
const LEASE_MS = 3_000;
const POLICY: Policy = { ...NO_SAFETY, fencing: 'lease', leaseMs: LEASE_MS, onUnreachable: 'wait' };
const ROLES = { active: PRIMARY, passive: SECONDARY };

const epochOf = (number: number, active: Host = PRIMARY): Epoch => ({ number, id: `d${number}`, active });

let clock: FakeClock;
let board: MemoryBoard;
let a: FakeFenced;
let b: FakeFenced;

beforeEach(() => {
  clock = new FakeClock();
  board = new MemoryBoard(() => clock.wall());
  a = new FakeFenced(PRIMARY, () => clock.wall());
  b = new FakeFenced(SECONDARY, () => clock.wall());
  a.openAt(epochOf(7), LEASE_MS);
  b.claimed(epochOf(7));
});

function aStore() {
  return board.store({ topic: 'mmm' });
}

function aKeeper(over: Partial<LeaseKeeperParts> = {}) {
  const log = fakeLog();
  const remembered: RememberedPair[] = [];
  const woken: string[] = [];
  const fences = { [PRIMARY]: a.fence(), [SECONDARY]: b.fence() };
  const keeper = new LeaseKeeper({
    uniqsign: U,
    store: aStore(),
    fenceFor: (host) => fences[host] ?? a.fence(),
    clock,
    log,
    name: 'db1',
    memory: { pairs: () => [], remember: (pair) => remembered.push(pair), forget: () => {} },
    known: { roles: ROLES, policy: POLICY },
    registers: true,
    wake: () => woken.push('keeper'),
    ...over,
  });
  return { keeper, log, remembered, woken };
}

/** A round, however long it waits for somebody. */
async function round(keeper: LeaseKeeper): Promise<number> {
  const startedMs = clock.monotonic();
  let over = false;
  const ended = keeper.round().then(() => {
    over = true;
  });
  await settle();
  while (!over) await clock.advance(50);
  await ended;
  return clock.monotonic() - startedMs;
}

/** A second goes by: the EVENTs run. */
async function second(): Promise<void> {
  await clock.advance(1_000);
  a.event();
  b.event();
}

async function rounds(count: number, ...keepers: readonly LeaseKeeper[]): Promise<void> {
  for (let at = 0; at < count; at++) {
    for (const keeper of keepers) await round(keeper);
    await second();
  }
}

async function decided(epoch: Epoch, over: Partial<Decision> = {}, policy = POLICY): Promise<void> {
  const store = aStore();
  const present = (await store.board(U)).epoch;
  const passive = epoch.active === PRIMARY ? SECONDARY : PRIMARY;
  const decision: Decision = {
    roles: { active: epoch.active, passive },
    epoch,
    reasons: [],
    atMs: clock.wall(),
    terms: { ...NO_TERMS, lease: 'finite' },
    unfenced: false,
    ...over,
  };
  expect(await store.commitRoles(U, decision, present, policy)).toEqual({ kind: 'committed' });
}

function away() {
  board.trouble = new MmmError('store-down', 'no Redis');
}

const renewals = (server: FakeFenced) => server.calls.filter((call) => call.do === 'renew');

async function record(): Promise<AgentRecord | undefined> {
  return (await aStore().agents(U))[0];
}

describe('a host that is open', () => {
  it('stays open as long as it is renewed, whoever is decided, and closes itself afterwards', async () => {
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    await rounds(6, keeper);
    expect(a.readOnly).toBe(false);
    expect(renewals(a)).toHaveLength(6);
    expect(renewals(b)).toEqual([]);
    for (let at = 0; at < 4; at++) await second();
    expect(a.readOnly).toBe(true);
  });

  it('is renewed with the decision under which it was opened, while another one is decided and not claimed', async () => {
    await decided(epochOf(7));
    await decided(epochOf(8, SECONDARY));
    const { keeper } = aKeeper();
    await rounds(5, keeper);
    expect(a.readOnly).toBe(false);
    expect(renewals(a).at(-1)).toMatchObject({ epoch: epochOf(7) });
  });

  it('is renewed with the lease of the policy, from its own time before the witness was asked', async () => {
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    const baseMs = clock.wall();
    b.freeze();
    const renewing = round(keeper);
    await clock.advance(400);
    b.thaw();
    await renewing;
    expect(renewals(a)).toMatchObject([{ baseMs, leaseMs: LEASE_MS }]);
    expect(a.expiresAtMs).toBe(baseMs + LEASE_MS);
  });

  it('asks the witness only after the time was read that the grant counts from', async () => {
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    const order: string[] = [];
    a.before = (what) => order.push(`a ${what}`);
    b.before = (what) => order.push(`b ${what}`);
    await round(keeper);
    expect(order).toEqual(['a look', 'b look', 'a renew']);
  });

  it('is never opened by a renewal, nor by anything else of the keeper', async () => {
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    await round(keeper);
    await clock.advance(LEASE_MS + 1);
    a.event();
    await rounds(4, keeper);
    expect(a.readOnly).toBe(true);
    expect([...a.calls, ...b.calls].every((call) => call.do === 'renew')).toBe(true);
  });

  it('gets no more than the shortest lease from an agent that may have missed that the operator made it shorter', async () => {
    const long = { ...POLICY, leaseMs: 10_000 };
    const known = { roles: ROLES, policy: long };
    const restarted = aKeeper({ known });
    away();
    await round(restarted.keeper);
    expect(renewals(a).at(-1)).toMatchObject({ leaseMs: LEASE_MS });
    board.trouble = null;
    await decided(epochOf(7), {}, long);
    const { keeper } = aKeeper({ known });
    await round(keeper);
    expect(renewals(a).at(-1)).toMatchObject({ leaseMs: 10_000 });
    away();
    await round(keeper);
    expect(renewals(a).at(-1)).toMatchObject({ leaseMs: 10_000 });
    // Decided, and granted by another agent, while this one does not reach the board.
    a.openAt(epochOf(8), LEASE_MS);
    b.claimed(epochOf(8));
    await round(keeper);
    expect(renewals(a).at(-1)).toMatchObject({ epoch: epochOf(8), leaseMs: LEASE_MS });
  });

  it.each(['lost', 'garbled'])(
    'gets what its policy said when that is %s, and the shortest lease from who never read it',
    async (how) => {
      const long = { ...POLICY, leaseMs: 10_000 };
      await decided(epochOf(7), {}, long);
      const { keeper, remembered } = aKeeper({ known: { roles: ROLES, policy: POLICY } });
      await round(keeper);
      const key = keysOf(U).policy;
      if (how === 'lost') board.hashes.delete(key);
      else board.put(key, new Map([['lease_ms', 'x']]));
      await second();
      await rounds(2, keeper);
      expect(renewals(a).at(-1)).toMatchObject({ leaseMs: 10_000 });
      expect(remembered.at(-1)?.policy.leaseMs).toBe(10_000);
      const { policy } = (await aStore().findPair(U)) ?? { policy: POLICY };
      await round(aKeeper({ known: { roles: ROLES, policy } }).keeper);
      expect(renewals(a).at(-1)).toMatchObject({ leaseMs: LEASE_MS });
    },
  );

  it('is not touched when its lease is endless', async () => {
    await decided(epochOf(7), { unfenced: true, terms: { ...NO_TERMS, lease: 'endless' } });
    a.openAt(epochOf(7), 'endless');
    const { keeper } = aKeeper();
    await rounds(2, keeper);
    expect(a.calls).toEqual([]);
    expect(await record()).toMatchObject({ renewal: { host: PRIMARY, outcome: 'endless' } });
  });

  it('that we did not open in this life is let be', async () => {
    await decided(epochOf(7));
    if (a.row !== null) a.row = { ...a.row, startedSec: 2_000 };
    const { keeper } = aKeeper();
    await rounds(2, keeper);
    expect(a.calls).toEqual([]);
  });
});

describe('the witness', () => {
  it.each([
    ['a higher decision', { number: 8, id: 'd8', active: SECONDARY }],
    ['a higher one that keeps the active', { number: 8, id: 'd8', active: PRIMARY }],
    ['another one of the same number', { number: 7, id: 'other', active: PRIMARY }],
    ['one of the same number and id with another active', { number: 7, id: 'd7', active: SECONDARY }],
  ])('stops the renewals when the other row knows %s', async (_what, epoch: Epoch) => {
    await decided(epochOf(7));
    const { keeper, log } = aKeeper();
    await round(keeper);
    b.claimed(epoch);
    await rounds(6, keeper);
    expect(renewals(a)).toHaveLength(1);
    expect(a.readOnly).toBe(true);
    expect(log.lines.filter((line) => line.includes('the other host knows decision'))).toHaveLength(1);
  });

  it('may know a lower decision, or none', async () => {
    await decided(epochOf(7));
    b.claimed(epochOf(5, SECONDARY));
    const { keeper } = aKeeper();
    await rounds(5, keeper);
    expect(a.readOnly).toBe(false);
  });

  it.each([
    ['does not answer', () => b.freeze()],
    ['is refused', () => Object.assign(b, { down: REFUSED })],
    ['times out', () => Object.assign(b, { down: SILENT })],
    ['has nothing of ours', () => Object.assign(b, { row: null })],
  ])('is the board, exactly, when the other host %s', async (_what, breaks) => {
    await decided(epochOf(7));
    breaks();
    const { keeper } = aKeeper();
    await rounds(6, keeper);
    expect(a.readOnly).toBe(false);
    await decided(epochOf(8));
    await rounds(6, keeper);
    expect(a.readOnly).toBe(true);
  });

  it('is missing when the other host and the board are away: then the active closes itself, and it is told once', async () => {
    await decided(epochOf(7));
    const { keeper, log } = aKeeper();
    await rounds(2, keeper);
    b.down = SILENT;
    away();
    await rounds(5, keeper);
    expect(a.readOnly).toBe(true);
    expect(log.lines.filter((line) => line.includes('neither the other host nor the board'))).toHaveLength(1);
  });

  it('is the row alone while the board is away, or empty', async () => {
    const { keeper } = aKeeper();
    await rounds(5, keeper);
    away();
    await rounds(5, keeper);
    expect(a.readOnly).toBe(false);
  });

  it('was asked too early when its answer comes from a look of before: a claim in between counts', async () => {
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    await round(keeper);
    const renewed = renewals(a).length;
    // The look of one round answers only in the next one.
    let answer = () => {};
    b.held = new Promise((resolve) => {
      answer = resolve;
    });
    away();
    await second();
    await round(keeper);
    expect(renewals(a)).toHaveLength(renewed);
    const next = round(keeper);
    await settle();
    b.claimed(epochOf(8, SECONDARY));
    answer();
    await next;
    expect(renewals(a)).toHaveLength(renewed);
  });

  it('a silent passive holds a renewal up for half a second once, and then not at all', async () => {
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    await round(keeper);
    b.freeze();
    expect(await round(keeper)).toBeLessThanOrEqual(LEASE_MS / 6 + 50);
    expect(await round(keeper)).toBeLessThanOrEqual(50);
    expect(renewals(a)).toHaveLength(3);
  });

  it('that is slow is waited for while the board is away, for as long as the lease can bear', async () => {
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    away();
    b.freeze();
    const slow = round(keeper);
    await clock.advance(700);
    b.thaw();
    await slow;
    expect(renewals(a)).toHaveLength(1);
  });

  it('that answers again wakes the keeper', async () => {
    await decided(epochOf(7));
    const { keeper, woken } = aKeeper();
    b.freeze();
    await round(keeper);
    expect(woken).toEqual([]);
    b.thaw();
    await settle();
    expect(woken).toEqual(['keeper']);
  });
});

describe('a change of roles', () => {
  it('is followed by the rows, also with the board away: the host that was opened last is kept', async () => {
    const { keeper } = aKeeper();
    away();
    await rounds(2, keeper);
    b.claimed(epochOf(8, SECONDARY));
    await clock.advance(LEASE_MS);
    a.event();
    b.openAt(epochOf(8, SECONDARY), LEASE_MS);
    a.claimed(epochOf(8, SECONDARY));
    await rounds(6, keeper);
    expect([a.readOnly, b.readOnly]).toEqual([true, false]);
    expect(renewals(b)).toHaveLength(6);
    const order: string[] = [];
    a.before = (what) => order.push(`a ${what}`);
    b.before = (what) => order.push(`b ${what}`);
    await round(keeper);
    expect(order).toEqual(['b look', 'a look', 'b renew']);
  });

  it('leaves an old active that woke up writable to its own lease', async () => {
    await decided(epochOf(7));
    await decided(epochOf(8, SECONDARY));
    b.openAt(epochOf(8, SECONDARY), LEASE_MS);
    const { keeper } = aKeeper();
    await rounds(6, keeper);
    expect([a.readOnly, b.readOnly]).toEqual([true, false]);
    expect(renewals(a)).toEqual([]);
  });

  it('a silent old active does not keep the new one from being kept', async () => {
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    await round(keeper);
    a.freeze();
    await decided(epochOf(8, SECONDARY));
    b.openAt(epochOf(8, SECONDARY), LEASE_MS);
    await rounds(4, keeper);
    expect(b.readOnly).toBe(false);
    expect(await record()).toMatchObject({ reachesBoth: false, renewal: { host: SECONDARY, outcome: 'renewed' } });
  });

  it('a decision that keeps the active is followed as soon as it is granted', async () => {
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    await round(keeper);
    await decided(epochOf(8));
    b.claimed(epochOf(8));
    a.claimed(epochOf(8));
    await round(keeper);
    expect(renewals(a)).toHaveLength(1);
    a.openAt(epochOf(8), LEASE_MS);
    await rounds(5, keeper);
    expect(a.readOnly).toBe(false);
  });
});

describe('what it records', () => {
  it('is its last renewal, and that it reaches both', async () => {
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    await rounds(3, keeper);
    expect(await record()).toEqual({
      name: 'db1',
      reachesBoth: true,
      renewal: { host: PRIMARY, epoch: { number: 7, id: 'd7' }, outcome: 'renewed', successes: 3 },
    });
  });

  it.each([
    ['frozen', () => a.freeze()],
    ['refused', () => Object.assign(a, { down: REFUSED })],
  ])('is a failure when the active is %s, with the decision under which it was opened', async (_what, breaks) => {
    await decided(epochOf(7));
    const { keeper, log } = aKeeper();
    await rounds(2, keeper);
    breaks();
    await rounds(3, keeper);
    expect(await record()).toEqual({
      name: 'db1',
      reachesBoth: false,
      renewal: { host: PRIMARY, epoch: { number: 7, id: 'd7' }, outcome: 'failed', successes: 2 },
    });
    expect(log.lines.filter((line) => line.includes('it does not answer'))).toHaveLength(1);
  });

  it('is a failure, too, of an agent that was restarted while the active is silent', async () => {
    await decided(epochOf(7));
    a.freeze();
    const { keeper } = aKeeper();
    await rounds(2, keeper);
    expect(await record()).toMatchObject({ renewal: { host: PRIMARY, epoch: { number: 7 }, outcome: 'failed' } });
  });

  it('is a failure when the lease ran out and nobody decided anything', async () => {
    await decided(epochOf(7));
    const { keeper, log } = aKeeper();
    await round(keeper);
    await clock.advance(LEASE_MS + 1);
    a.event();
    await round(keeper);
    expect(await record()).toMatchObject({ reachesBoth: true, renewal: { outcome: 'failed' } });
    expect(log.lines.at(-1)).toMatch(/it ran out, and the server closed itself/);
  });

  it('is nothing about a host that was closed by a decision', async () => {
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    await round(keeper);
    a.claimed(epochOf(8, SECONDARY));
    if (a.row !== null) a.row = { ...a.row, readOnly: true };
    b.claimed(epochOf(8, SECONDARY));
    await round(keeper);
    expect(await record()).toMatchObject({ reachesBoth: true, renewal: null });
  });

  it('is a missing witness when that is what is missing', async () => {
    await decided(epochOf(7));
    b.claimed(epochOf(8, SECONDARY));
    const { keeper } = aKeeper();
    await round(keeper);
    expect(await record()).toMatchObject({ renewal: { outcome: 'no-witness' } });
  });

  it('is not written for a pair without a safety, nor by one round of a command', async () => {
    await decided(epochOf(7));
    await round(aKeeper({ registers: false }).keeper);
    expect(await aStore().agents(U)).toEqual([]);
    await decided(epochOf(8), { terms: NO_TERMS, unfenced: null });
    const { keeper, remembered } = aKeeper();
    await round(keeper);
    expect(await aStore().agents(U)).toEqual([]);
    expect(remembered).toEqual([]);
    // The row alone says that there is a lease to keep.
    expect(renewals(a)).toHaveLength(2);
  });

  it('is not written by an agent that goes', async () => {
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    await keeper.retire();
    await round(keeper);
    expect(await aStore().agents(U)).toEqual([]);
  });

  it('says of the active that it is armed, and that it came up read only when somebody noted that', async () => {
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    const store = aStore();
    await round(keeper);
    // Who opened it notes it in the first moments.
    await store.putLife(U, epochOf(7), PRIMARY, {
      uuid: a.uuid,
      startedSec: 1_000,
      cameUpReadOnly: true,
      armed: false,
    });
    await rounds(1, keeper);
    expect((await store.board(U)).lives.get(PRIMARY)).toEqual({
      uuid: a.uuid,
      startedSec: 1_000,
      cameUpReadOnly: true,
      armed: true,
    });
  });

  it('writes the life of a board that was emptied anew, with what it knows', async () => {
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    await round(keeper);
    expect((await aStore().board(U)).lives.get(PRIMARY)).toBeUndefined();
    await rounds(1, keeper);
    expect((await aStore().board(U)).lives.get(PRIMARY)).toEqual({
      uuid: a.uuid,
      startedSec: 1_000,
      cameUpReadOnly: false,
      armed: true,
    });
  });

  it('remembers the pair as the board tells it', async () => {
    await decided(epochOf(8, SECONDARY));
    const { keeper, remembered } = aKeeper();
    await round(keeper);
    expect(remembered).toEqual([{ uniqsign: U, roles: { active: SECONDARY, passive: PRIMARY }, policy: POLICY }]);
  });
});

describe('what it tells', () => {
  it('F17: a clock that went back is told also when the very renewal set the EVENT going again', async () => {
    await decided(epochOf(7));
    const { keeper, log } = aKeeper();
    await rounds(2, keeper);
    if (a.row !== null) a.row = { ...a.row, tickMs: clock.wall() + 3_600_000 };
    a.before = (what) => {
      if (what === 'renew') a.event();
    };
    await rounds(3, keeper);
    expect(
      log.lines.filter((line) => line.startsWith('error') && line.includes('did its clock go back?')),
    ).toHaveLength(1);
    expect((await aStore().board(U)).lives.get(PRIMARY)?.armed).toBe(true);
  });

  it('F17: an EVENT that does not tick is told loudly, once, and the host is not armed', async () => {
    await decided(epochOf(7));
    const { keeper, log } = aKeeper();
    await rounds(2, keeper);
    a.ticks = false;
    await rounds(6, keeper);
    expect(log.lines.filter((line) => line.startsWith('error') && line.includes('EVENT does not tick'))).toHaveLength(
      1,
    );
    expect((await aStore().board(U)).lives.get(PRIMARY)?.armed).toBe(false);
    a.ticks = true;
    await rounds(2, keeper);
    expect((await aStore().board(U)).lives.get(PRIMARY)?.armed).toBe(true);
    expect(log.lines.at(-1)).toMatch(/^info over after .*EVENT/);
  });

  it('a renewal that does not come back means that the write path is gone', async () => {
    await decided(epochOf(7));
    const { keeper, log } = aKeeper();
    await round(keeper);
    a.answers = () => SILENT;
    await rounds(2, keeper);
    expect(log.lines.filter((line) => line.startsWith('error') && line.includes('cannot write'))).toHaveLength(1);
    expect(await record()).toMatchObject({ reachesBoth: true, renewal: { outcome: 'failed' } });
    a.answers = null;
    await round(keeper);
    expect(log.lines.at(-1)).toMatch(/^info over after/);
  });

  it.each([
    ['locked', 'a lock is in the way'],
    ['busy', 'another call runs there'],
    ['not-installed', 'the schema mmm is not there'],
    ['lease-out', 'it has run out'],
  ] as const)('a renewal that is not done is a failure: %s', async (why, said) => {
    await decided(epochOf(7));
    const { keeper, log } = aKeeper();
    a.answers = () => ({ kind: 'not-done', why, row: null });
    await round(keeper);
    expect(log.lines.join('\n')).toContain(said);
    expect(await record()).toMatchObject({ renewal: { outcome: 'failed', successes: 0 } });
  });

  it('a refusal by a higher decision on the host itself is a missing witness', async () => {
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    b.before = () => a.claimed(epochOf(8, SECONDARY));
    await round(keeper);
    expect(await record()).toMatchObject({ renewal: { outcome: 'no-witness' } });
  });

  it('says nothing while all is well, and nothing of a Redis that is away', async () => {
    await decided(epochOf(7));
    const { keeper, log } = aKeeper();
    await rounds(3, keeper);
    away();
    await rounds(3, keeper);
    expect(log.lines).toEqual([]);
  });

  it('what the board says against a record is told once, and the lease goes on', async () => {
    await decided(epochOf(7));
    board.trouble = new MmmError('store-denied', 'no right to write');
    const { keeper, log } = aKeeper();
    await rounds(4, keeper);
    expect(log.lines.filter((line) => line.includes('no right to write'))).toHaveLength(1);
    expect(a.readOnly).toBe(false);
  });
});

describe('a board that hangs', () => {
  it('holds no renewal up', async () => {
    const store = aStore();
    const never = new Promise<never>(() => {});
    const { keeper } = aKeeper({ store: { ...store, findPair: () => never, putAgent: () => never } });
    for (let at = 0; at < 6; at++) {
      expect(await round(keeper)).toBeLessThanOrEqual(1_050);
      a.event();
      b.event();
    }
    expect(a.readOnly).toBe(false);
  });

  it('is not sent one record after the other', async () => {
    await decided(epochOf(7));
    const store = aStore();
    let puts = 0;
    const putAgent = () => {
      puts += 1;
      return new Promise<never>(() => {});
    };
    const { keeper } = aKeeper({
      store: { ...store, findPair: (uniqsign) => store.findPair(uniqsign), putLife: async () => true, putAgent },
    });
    for (let at = 0; at < 6; at++) {
      expect(await round(keeper)).toBeLessThanOrEqual(550);
      await second();
    }
    expect(puts).toBe(1);
    expect(a.readOnly).toBe(false);
  });
});

describe('whether the pair may be forgotten', () => {
  it('not while somebody is open by a finite lease, nor while a host does not answer', async () => {
    const { keeper } = aKeeper();
    expect(keeper.mayForget).toBe(false);
    await round(keeper);
    expect(keeper.mayForget).toBe(false);
    a.openAt(epochOf(7), 'endless');
    await round(keeper);
    expect(keeper.mayForget).toBe(true);
    b.down = SILENT;
    await round(keeper);
    expect(keeper.mayForget).toBe(false);
  });

  it('when nothing of ours is on either server', async () => {
    a.row = null;
    b.row = null;
    const { keeper } = aKeeper();
    await round(keeper);
    expect(keeper.mayForget).toBe(true);
  });
});

describe('how often', () => {
  it('every second, and three times per lease when that is shorter', async () => {
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    expect(await keeper.round()).toEqual({ nextMs: 1_000 });
    const short = aKeeper({
      known: { roles: ROLES, policy: { ...POLICY, leaseMs: 1_500 } },
      store: { ...aStore(), findPair: async () => null },
    });
    expect(await short.keeper.round()).toEqual({ nextMs: 500 });
  });
});

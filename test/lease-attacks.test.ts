// Attacks on a pair with a lease, one agent's round or identify's round at a time: each is an order of events in which a rule of docs/protocol.md was
// once not kept. The agents' rounds run on two servers made of facts, with the rows of fake-fence.ts behind them.

import { describe, expect, test } from 'vitest';
import { type AgentParts, makeAgentRound } from '../src/agent.ts';
import { LeaseKeeper } from '../src/agent-lease.ts';
import type { Called } from '../src/core/call.ts';
import { type Decision, type Life, NO_SAFETY, NO_TERMS, type Policy } from '../src/core/decision.ts';
import { type HostRow, SCHEMA_VERSION } from '../src/core/host-row.ts';
import { leaseWaitMs } from '../src/core/lease.ts';
import type { Evidence, Replication } from '../src/core/observation.ts';
import { type Epoch, type Host, rolesWith } from '../src/core/pair.ts';
import type { Fence } from '../src/mysql/fence.ts';
import { keysOf } from '../src/store/wire-keys.ts';
import { aPair, PRIMARY, SECONDARY } from './support/build.ts';
import { failure } from './support/facts.ts';
import { FakeClock } from './support/fake-clock.ts';
import { FakeFenced } from './support/fake-fence.ts';
import { fakeLog } from './support/fake-log.ts';
import { type FakeServer, fakePair } from './support/fake-pair.ts';
import { MemoryBoard } from './support/memory-store.ts';

const PAIR = aPair();
const U = PAIR.uniqsign;
const LEASE: Policy = { ...NO_SAFETY, fencing: 'lease', onUnreachable: 'wait' };

/** A server and its row: what a comparing call does to one, a probe sees of the other. */
class Machine {
  readonly server: FakeServer;
  readonly fenced: FakeFenced;
  /** How often it was closed. */
  closings = 0;
  readonly #nowMs: () => number;

  constructor(server: FakeServer, nowMs: () => number) {
    this.server = server;
    this.fenced = new FakeFenced(server.host, nowMs);
    this.#nowMs = nowMs;
    this.#set({ schemaVersion: SCHEMA_VERSION, readOnly: server.facts.readOnly });
    server.probe = async () => this.#probe();
  }

  /** It starts anew, writable or not as its my.cnf says. */
  restart(startedSec: number, readOnly: boolean): void {
    this.#set({ startedSec, readOnly });
  }

  /** event_scheduler=OFF in its my.cnf. */
  neverTicked(): void {
    this.fenced.ticks = false;
    this.#set({ tickMs: null });
  }

  /** Its row is of another pair. */
  claimedElsewhere(epoch: Epoch, opened: HostRow['opened']): void {
    this.#set({ epoch, opened });
  }

  fence(): Fence {
    const inner = this.fenced.fence();
    return {
      ...inner,
      call: async (call) => {
        const { row } = this.fenced;
        const known = row?.epoch?.number ?? 0;
        if (call.do === 'claim' || call.do === 'open' || call.do === 'renew') return await inner.call(call);
        if (this.fenced.down !== null) return this.fenced.down;
        if (row === null || call.epoch.number < known) throw new Error(`${call.do} of an old decision`);
        if (call.do === 'close') {
          this.closings += 1;
          this.#set({ epoch: call.epoch, readOnly: true });
        }
        if (call.do === 'stop-io') this.fenced.replicates = false;
        if (call.do === 'start-io' || call.do === 'start-replication') this.fenced.replicates = true;
        if (call.do === 'sync' || call.do === 'source-off' || call.do === 'acknowledge') throw new Error('not here');
        if (call.do !== 'close' && call.do !== 'kill') await this.server.apply({ do: call.do, host: this.server.host });
        return this.#done();
      },
    };
  }

  #probe(): Evidence {
    const { server, fenced } = this;
    if (server.down !== null) return server.down;
    const { row } = fenced;
    if (row === null) return { kind: 'answered', facts: { ...server.facts, row: null } };
    const boot = { uuid: fenced.uuid, startedSec: row.startedSec };
    const facts = { ...server.facts, boot, readOnly: row.readOnly, row: { ...row, nowMs: this.#nowMs() } };
    return { kind: 'answered', facts };
  }

  #set(changes: Partial<HostRow>): void {
    if (this.fenced.row !== null) this.fenced.row = { ...this.fenced.row, ...changes };
  }

  #done(): Called {
    const { row } = this.fenced;
    if (row === null) throw new Error('nothing of ours is on it');
    return { kind: 'done', did: '', row: { ...row, nowMs: this.#nowMs() } };
  }
}

function aWorld() {
  const clock = new FakeClock();
  const board = new MemoryBoard(() => clock.wall());
  const store = board.store({ topic: 'topic' });
  const { a, b } = fakePair();
  const machines = { a: new Machine(a, () => clock.wall()), b: new Machine(b, () => clock.wall()) };
  const of = (host: Host) => (host === PRIMARY ? machines.a : machines.b);
  const log = fakeLog();
  const fences = new Map<Host, Fence>([PRIMARY, SECONDARY].map((host) => [host, of(host).fence()]));
  const parts: AgentParts = {
    uniqsign: U,
    store,
    serverFor: (host) => of(host).server,
    clock,
    log,
    mailer: { send: () => {} },
    name: 'agent-1',
    connectTimeoutMs: 1_000,
    tryOnFailure: 3,
    wake: () => {},
    fenceFor: (host) => fences.get(host) ?? of(host).fence(),
    runHook: async () => ({ succeeded: false, why: 'there is none' }),
    salvage: async () => ({ kind: 'not-saved', why: 'there is no tool' }),
  };
  const agent = makeAgentRound(parts);
  let last: Epoch | null = null;
  const commit = async (number: number, active: Host, changes: Partial<Decision> = {}): Promise<Decision> => {
    const decision: Decision = {
      roles: rolesWith(PAIR, active),
      epoch: { number, id: `e${number}`, active },
      reasons: [],
      atMs: clock.wall(),
      terms: { ...NO_TERMS, lease: 'endless' },
      unfenced: true,
      ...changes,
    };
    await store.commitRoles(U, decision, last, LEASE);
    last = decision.epoch;
    return decision;
  };
  const emptied = () => {
    board.empty();
    last = null;
  };
  const run = async (rounds = 1) => {
    for (let count = 0; count < rounds; count++) {
      machines.a.fenced.event();
      machines.b.fenced.event();
      const cut = new AbortController();
      const round = agent(cut.signal);
      await clock.advance(1_000);
      // A wait goes on until the round is cut off; the next one looks again.
      cut.abort();
      await clock.advance(300);
      await round;
    }
  };
  const life = async (host: Host): Promise<Life | undefined> => (await store.board(U)).lives.get(host);
  return { clock, board, store, ...machines, parts, log, commit, emptied, run, life };
}

describe('the contract’s keys are announced after an opening (F14)', () => {
  test('also while the EVENT of a host does not tick, whatever is tried about that', async () => {
    const { b, commit, run, store } = aWorld();
    b.neverTicked();
    await commit(7, PRIMARY);
    await run(20);
    expect((await store.board(U)).report?.outcome).toBe('opened');
    expect((await store.board(U)).announced).toEqual(rolesWith(PAIR, PRIMARY));
  });
});

describe('a host is known to come up read only (F19)', () => {
  test('when it was so before it was opened', async () => {
    const { b, commit, run, life } = aWorld();
    await commit(7, PRIMARY);
    await run(2);
    await commit(8, SECONDARY);
    await run(5);
    expect(b.fenced.readOnly).toBe(false);
    expect(await life(SECONDARY)).toMatchObject({ cameUpReadOnly: true });
  });

  test('not when it was adopted writable, though it lost the role and got it back since', async () => {
    const { a, b, commit, run, life } = aWorld();
    await commit(7, PRIMARY);
    await run(2);
    expect(await life(PRIMARY)).toMatchObject({ cameUpReadOnly: false });
    await commit(8, SECONDARY);
    await run(5);
    expect([a.fenced.readOnly, b.fenced.readOnly]).toEqual([true, false]);
    await commit(9, PRIMARY);
    await run(5);
    expect([a.fenced.readOnly, b.fenced.readOnly]).toEqual([false, true]);
    expect(await life(PRIMARY)).toMatchObject({ cameUpReadOnly: false });
  });

  test('not when it started writable and we closed it', async () => {
    const { a, commit, run, life } = aWorld();
    await commit(7, PRIMARY);
    await run(2);
    a.restart(2_000, false);
    // Opened under the same decision, it is asked for no standstill; the fake is stricter than the procedure.
    a.fenced.replicates = false;
    await run(5);
    expect(a.fenced.calls.filter(({ do: what }) => what === 'open')).toHaveLength(2);
    expect(await life(PRIMARY)).toMatchObject({ startedSec: 2_000, cameUpReadOnly: false });
  });

  test('not when it started writable, and its EVENT closed it before an agent looked', async () => {
    const { a, clock, commit, run, life } = aWorld();
    await commit(7, PRIMARY, { terms: { ...NO_TERMS, lease: 'finite' } });
    await run(2);
    await clock.advance(5_000);
    a.restart(2_000, false);
    a.fenced.event();
    a.fenced.replicates = false;
    await run(5);
    expect([a.closings, a.fenced.readOnly, a.fenced.row?.opened?.startedSec]).toEqual([0, false, 2_000]);
    expect(await life(PRIMARY)).toMatchObject({ startedSec: 2_000, cameUpReadOnly: false });
    // The next life is judged by itself.
    a.restart(3_000, true);
    await run(5);
    expect(await life(PRIMARY)).toMatchObject({ startedSec: 3_000, cameUpReadOnly: true });
  });

  test('not when it was opened before in this life, and the board that knew more of it was emptied', async () => {
    const { a, b, clock, emptied, commit, run, life } = aWorld();
    await commit(7, PRIMARY, { terms: { ...NO_TERMS, lease: 'finite' } });
    await run(2);
    expect(await life(PRIMARY)).toMatchObject({ cameUpReadOnly: false });
    await clock.advance(5_000);
    a.fenced.event();
    expect(a.fenced.readOnly).toBe(true);
    emptied();
    a.fenced.replicates = false;
    await commit(8, PRIMARY, { terms: { ...NO_TERMS, lease: 'finite' } });
    await run(1);
    expect([a.fenced.readOnly, b.fenced.readOnly]).toEqual([false, true]);
    expect(await life(PRIMARY)).toMatchObject({ cameUpReadOnly: false });
  });

  test('nor does another server become the member by being closed', async () => {
    const { b, commit, run, life } = aWorld();
    await commit(7, PRIMARY);
    await run(2);
    const member = await life(SECONDARY);
    expect(member?.uuid).toBe(b.fenced.uuid);
    b.fenced.uuid = 'another server';
    b.restart(2_000, false);
    await run(3);
    expect(b.closings).toBe(1);
    expect(await life(SECONDARY)).toEqual(member);
  });
});

describe('a host that refuses counts as down (F19)', () => {
  /** A is the armed active and known to come up read only; then it refuses, and what it had open breaks. */
  async function refusing(passive: Partial<Replication> | null) {
    const world = aWorld();
    const { a, b, store, commit, run } = world;
    await commit(7, PRIMARY, { terms: { ...NO_TERMS, lease: 'finite' } });
    await run(2);
    const { epoch } = await store.board(U);
    if (epoch === null) throw new Error('nothing is decided');
    await store.putUnfenced(U, epoch, false);
    const boot = { uuid: a.fenced.uuid, startedSec: a.fenced.row?.startedSec ?? 0 };
    await store.putLife(U, epoch, PRIMARY, { ...boot, cameUpReadOnly: true, armed: true });
    a.server.die();
    a.fenced.down = failure('refused', 'ECONNREFUSED');
    const { replication } = b.server.facts;
    const seen = passive === null || replication === null ? null : { ...replication, ...passive };
    b.server.facts = { ...b.server.facts, replication: seen };
    if (seen?.io !== 'Connecting') b.fenced.replicates = false;
    await commit(8, SECONDARY, { terms: { ...NO_TERMS, lease: 'finite' }, unfenced: null });
    return world;
  }

  test('when the passive has lost it, too', async () => {
    const { b, run } = await refusing({ io: 'Connecting' });
    await run(1);
    expect(b.fenced.readOnly).toBe(false);
  });

  test.each<[string, Partial<Replication> | null]>([
    ['whose I/O thread is stopped, by a backup perhaps', { io: 'No' }],
    ['that does not replicate', null],
  ])('not by the word of a passive %s: its lease is waited for', async (_name, passive) => {
    const { b, clock, run } = await refusing(passive);
    const beganMs = clock.monotonic();
    for (let rounds = 0; rounds < 10 && b.fenced.readOnly; rounds++) await run(1);
    expect(b.fenced.readOnly).toBe(false);
    expect(clock.monotonic() - beganMs).toBeGreaterThan(leaseWaitMs(LEASE.leaseMs));
  });
});

describe('the wait for a lease', () => {
  test('begins anew when the claim was lost: renewals found a witness meanwhile (F3)', async () => {
    const { a, b, clock, store, commit, run } = aWorld();
    await commit(7, PRIMARY, { terms: { ...NO_TERMS, lease: 'finite' } });
    await run(2);
    const { epoch } = await store.board(U);
    if (epoch === null) throw new Error('nothing is decided');
    await store.putUnfenced(U, epoch, false);
    a.server.freeze();
    a.fenced.down = failure('silent');
    await commit(8, SECONDARY, { terms: { ...NO_TERMS, lease: 'finite' }, unfenced: null });
    await run(3);
    const before = b.fenced.row;
    expect(before?.epoch?.number).toBe(8);
    // Its disk was told of the claim, and had not written it down (innodb_flush_log_at_trx_commit is not 1).
    b.restart(2_000, true);
    b.fenced.claimed(epoch);
    const lostAtMs = clock.monotonic();
    for (let rounds = 0; rounds < 10 && b.fenced.readOnly; rounds++) await run(1);
    expect(b.fenced.readOnly).toBe(false);
    expect(clock.monotonic() - lostAtMs).toBeGreaterThan(leaseWaitMs(LEASE.leaseMs));
  });
});

test('without a policy on the board the longest lease is waited for, and the shortest is granted', async () => {
  const { a, b, board, clock, store, commit, run } = aWorld();
  await commit(7, PRIMARY, { terms: { ...NO_TERMS, lease: 'finite' } });
  await run(2);
  const { epoch } = await store.board(U);
  if (epoch === null) throw new Error('nothing is decided');
  await store.putUnfenced(U, epoch, false);
  a.server.freeze();
  a.fenced.down = failure('silent');
  await commit(8, SECONDARY, { terms: { ...NO_TERMS, lease: 'finite' }, unfenced: null });
  board.hashes.delete(keysOf(U).policy);
  const beganMs = clock.monotonic();
  b.fenced.replicates = false;
  for (let rounds = 0; rounds < 300 && b.fenced.readOnly; rounds++) await run(1);
  expect(b.fenced.readOnly).toBe(false);
  expect(clock.monotonic() - beganMs).toBeGreaterThan(leaseWaitMs(300_000));
  expect(b.fenced.calls.findLast(({ do: what }) => what === 'open')).toMatchObject({ leaseMs: 3_000 });
});

describe('a server that served in another pair', () => {
  test('and stands behind the passive’s address now does not close the active by the number it was opened with there', async () => {
    const { a, b, store, commit, run } = aWorld();
    await commit(7, PRIMARY);
    await run(2);
    const opened = { number: 500, id: 'theirs', startedSec: b.fenced.row?.startedSec ?? 0 };
    b.claimedElsewhere({ number: 500, id: 'theirs', active: '10.9.9.9:3306' }, opened);
    await commit(501, PRIMARY);
    await run(5);
    expect(a.closings).toBe(0);
    expect(a.fenced.row?.opened?.number).toBe(501);
    expect((await store.board(U)).report?.outcome).toBe('opened');
  });

  test('and is the member by an operator’s word does not keep the active closed that came back', async () => {
    const { a, b, store, commit, run } = aWorld();
    await commit(7, PRIMARY);
    await run(2);
    const opened = { number: 500, id: 'theirs', startedSec: b.fenced.row?.startedSec ?? 0 };
    b.claimedElsewhere({ number: 500, id: 'theirs', active: '10.9.9.9:3306' }, opened);
    // It holds what the active never saw, and cannot get: those logs are of another pair.
    b.server.facts = { ...b.server.facts, binlog: { file: 'bin.000009', pos: 4 } };
    const { replication } = a.server.facts;
    if (replication === null) throw new Error('it does not replicate');
    const ioError = { code: 1236, text: 'no such log' };
    a.server.facts = { ...a.server.facts, replication: { ...replication, io: 'No', ioError } };
    a.restart(2_000, true);
    a.fenced.replicates = false;
    await commit(501, PRIMARY);
    await run(5);
    expect([a.fenced.readOnly, a.fenced.row?.opened?.number]).toEqual([false, 501]);
    expect(b.fenced.row?.epoch?.number).toBe(501);
    expect((await store.board(U)).report?.outcome).toBe('opened');
  });

  test('does not starve the active: the board is its witness then', async () => {
    const { a, b, clock, commit, run, parts } = aWorld();
    const { epoch, roles } = await commit(7, PRIMARY, { terms: { ...NO_TERMS, lease: 'finite' } });
    await run(2);
    b.claimedElsewhere({ number: 500, id: 'theirs', active: '10.9.9.9:3306' }, null);
    const memory = { pairs: () => [], remember: () => {}, forget: () => {} };
    const known = { roles, policy: LEASE };
    const keeper = new LeaseKeeper({ ...parts, memory, known, registers: true });
    const keeps = async () => {
      const round = keeper.round();
      await clock.advance(1_000);
      await round;
    };
    a.fenced.openAt(epoch, 3_000);
    await keeps();
    expect(a.fenced.calls.at(-1)?.do).toBe('renew');
    const renewed = a.fenced.calls.length;
    b.claimedElsewhere({ number: 8, id: 'e8', active: SECONDARY }, null);
    await keeps();
    expect(a.fenced.calls).toHaveLength(renewed);
  });
});

describe('a passive that cannot take a claim', () => {
  /** A is the armed active; from now on B's answers to claims are these. */
  async function hindered(answers: FakeFenced['answers']) {
    const world = aWorld();
    const { b, commit, run } = world;
    await commit(7, PRIMARY, { terms: { ...NO_TERMS, lease: 'finite' } });
    await run(2);
    b.fenced.answers = (call) => (call.do === 'claim' ? (answers?.(call) ?? null) : null);
    return world;
  }

  test('because its disk is full takes no permission from the active', async () => {
    const { a, commit, run, store } = await hindered(() => failure('silent'));
    await commit(8, PRIMARY);
    await run(1);
    expect(a.fenced.row?.opened?.number).toBe(8);
    expect((await store.board(U)).report?.outcome).toBe('opened');
  });

  test('because it froze at that very moment does not hold up the active for longer than a renewal may be late', async () => {
    const { a, b, commit, parts, clock } = await hindered(null);
    const frozen = b.fence();
    const fence: Fence = {
      ...frozen,
      call: async (call) => {
        if (call.do === 'claim') b.fenced.freeze();
        return await frozen.call(call);
      },
    };
    const agent = makeAgentRound({ ...parts, fenceFor: (host) => (host === SECONDARY ? fence : parts.fenceFor(host)) });
    await commit(8, PRIMARY);
    const round = agent(new AbortController().signal);
    await clock.advance(1_500);
    expect(a.fenced.row?.opened?.number).toBe(8);
    b.fenced.thaw();
    await round;
  });

  test.each([false, true])(
    'without a row that cannot be put there does not hold up the active (restarted: %s)',
    async (restarted) => {
      const { a, b, commit, run, store } = await hindered(null);
      b.fenced.row = null;
      if (restarted) a.restart(2_000, true);
      a.fenced.replicates = false;
      await commit(8, PRIMARY);
      await run(2);
      expect([a.fenced.readOnly, a.fenced.row?.opened?.number]).toEqual([false, 8]);
      expect((await store.board(U)).announced).toEqual(rolesWith(PAIR, PRIMARY));
      expect((await store.board(U)).report?.epoch.number).toBe(8);
    },
  );

  test('does not keep the active closed that came back', async () => {
    const { a, commit, run } = await hindered(() => failure('silent'));
    a.restart(2_000, true);
    a.fenced.replicates = false;
    await commit(8, PRIMARY);
    await run(2);
    expect(a.fenced.readOnly).toBe(false);
  });
});

// The simulated server answers comparing calls as the real ones do: the same cases, on a clock of its own.

import { beforeEach, describe, expect, test } from 'vitest';
import type { Fence } from '../../src/mysql/fence.ts';
import { callCases } from '../mysql/call-cases.ts';
import { noSemiSyncCases, type SemiSyncBench, semiSyncCases } from '../mysql/semi-sync-cases.ts';
import { done, epoch, LEASE_MS, opened, opening, rowOf } from '../support/calls.ts';
import { twoHosts } from './bench.ts';
import { SimFence } from './fence.ts';
import { type Life, Process } from './process.ts';
import type { ReplicationStyle } from './replica.ts';

/** Two servers, and an agent that does what the test says. */
function aBench(style: Partial<ReplicationStyle> = {}) {
  const { a, b, chance, timeline, network, wallMs, run, told } = twoHosts(style);
  const lives: Life[] = [];
  const main = (life: Life) => {
    lives.push(life);
    return new Promise<void>(() => {});
  };
  new Process({ name: 'agent', timeline, chance: chance.stream('agent'), wallMs, main }).start();
  const [life] = lives;
  if (life === undefined) throw new Error('the agent did not start');

  /** Lets the time pass until this is over. */
  async function passing<T>(promise: Promise<T>): Promise<T> {
    let over = false;
    const ended = promise.finally(() => {
      over = true;
    });
    while (!over) await run(5);
    return await ended;
  }
  function fence(): Fence {
    const inner = new SimFence({
      life: lives[0] ?? missing(),
      target: a,
      network,
      connectTimeoutMs: 1_000,
      onCall: () => {},
    });
    return {
      host: inner.host,
      install: () => passing(inner.install()),
      look: () => passing(inner.look()),
      call: (call) => passing(inner.call(call)),
      close: () => inner.close(),
    };
  }
  const one = fence();
  let writes = 0;
  const bench: SemiSyncBench = {
    fence: one,
    other: fence(),
    async blank() {
      await one.install();
      await run(1_500);
    },
    async setReadOnly(on) {
      a.setReadOnly(on);
    },
    async threads(act, which) {
      a.replica[act]({ io: which !== 'sql', sql: which !== 'io' });
      await run(1_500);
    },
    async shown() {
      return `io ${a.replica.io}, sql ${a.replica.sqlStarted ? 'Yes' : 'No'}`;
    },
    async lockTable() {
      a.locks += 1;
      return async () => {
        a.locks -= 1;
      };
    },
    async lockAll() {
      a.lockForReading(1);
      return async () => a.lockForReading(-1);
    },
    async stopEvent(tickMs) {
      a.schema.disableEvent();
      a.schema.overwrite({ tickMs });
    },
    async setExpiry(expiresAtMs) {
      a.schema.overwrite({ expiresAtMs });
    },
    async connect() {
      a.dial('client', true, () => {});
    },
    async semiSync() {
      return a.facts().semiSync;
    },
    async commit() {
      const id = ++writes;
      const dialled = a.dial('client', true, () => {});
      if (dialled.kind !== 'connected') throw new Error(dialled.kind);
      a.commit(id, dialled.connection, () => {});
      return () => told.includes(`A ${id}`);
    },
    async sessions() {
      return a.facts().connections;
    },
    async receive() {
      a.replica.stop({ io: false, sql: true });
      b.writeAsAdministrator(1);
      await run(500);
    },
    async until(what, check) {
      for (let waited = 0; waited < 20_000; waited += 50) {
        if (await check()) return;
        await run(50);
      }
      throw new Error(`${what} did not happen`);
    },
    async crash() {
      a.die(false);
      await run(3_000);
      a.restart();
    },
  };
  return { bench, a, run, inner: one };
}

function missing(): never {
  throw new Error('the agent did not start');
}

let current = aBench();
beforeEach(() => {
  current = aBench();
});

callCases(() => current.bench);

describe.each([
  ['of MariaDB', { gtid: true }, semiSyncCases],
  ['of MySQL', { gtid: false }, semiSyncCases],
  ['that is not there', { noSemiSync: true }, noSemiSyncCases],
] as const)('semi-synchronous replication %s', (_what, style, cases) => {
  beforeEach(() => {
    current = aBench(style);
  });
  cases(() => current.bench);
});

const LONG_MS = 30_000;

async function frozenAfterOpening(how: 'process' | 'machine') {
  const { bench, a, run } = current;
  await bench.blank();
  await opened(bench.fence, epoch(1));
  a.freeze(how);
  await run(LONG_MS);
  a.thaw();
  return { bench, a, run };
}

test('a frozen server that wakes closes itself within a moment', async () => {
  const { a, run } = await frozenAfterOpening('process');
  expect(a.readOnly).toBe(false);
  await run(100);
  expect(a.readOnly).toBe(true);
});

test('a paused machine goes on with what was left of its lease', async () => {
  const { a, run } = await frozenAfterOpening('machine');
  await run(LEASE_MS / 2);
  expect(a.readOnly).toBe(false);
  await run(LEASE_MS / 2 + 1_100);
  expect(a.readOnly).toBe(true);
});

test('F17: a clock that went back keeps the EVENT from closing, until a call sets it going', async () => {
  const { bench, a, run } = current;
  await bench.blank();
  await opened(bench.fence, epoch(1));
  a.jump(-3_600_000);
  await run(LONG_MS);
  expect(a.readOnly).toBe(false);
  const { nowMs } = await rowOf(bench.fence);
  await done(bench.fence.call({ do: 'renew', epoch: epoch(1), baseMs: nowMs, leaseMs: LEASE_MS }));
  await run(LEASE_MS + 1_100);
  expect(a.readOnly).toBe(true);
});

test('a call that waited at a frozen server runs when it wakes, though its author gave up', async () => {
  const { bench, a, run } = current;
  await bench.blank();
  const row = await done(bench.fence.call({ do: 'claim', epoch: epoch(1), unfenced: null }));
  a.freeze();
  expect(await bench.fence.call({ do: 'claim', epoch: epoch(2), unfenced: null })).toMatchObject({ kind: 'silent' });
  a.thaw();
  await run(100);
  expect((await rowOf(bench.fence)).epoch).toEqual(epoch(2));
  expect(await bench.fence.call(opening(row, epoch(1)))).toMatchObject({ kind: 'refused' });
});

test('another server behind the address has no row, and a blank one when it is installed', async () => {
  const { bench, a, run } = current;
  await bench.blank();
  await opened(bench.fence, epoch(5));
  a.uuid = 'another';
  expect(await bench.fence.look()).toEqual({ kind: 'none' });
  const claim = { do: 'claim', epoch: epoch(6), unfenced: null } as const;
  expect(await bench.fence.call(claim)).toEqual({ kind: 'not-done', why: 'not-installed', row: null });
  // Its row is another one's, so the EVENT lets it be.
  await run(LEASE_MS + 2_000);
  expect(a.readOnly).toBe(false);
  expect(await bench.fence.install()).toMatchObject({ changed: true, row: { epoch: null, opened: null } });
});

describe('semi-synchronous replication, as semi-sync.real.test.ts tries it on real servers', () => {
  const sync = (generation: number, on: boolean) =>
    current.bench.fence.call({ do: 'sync', epoch: epoch(1), generation, on });
  const acknowledge = (on: boolean) => current.bench.fence.call({ do: 'acknowledge', epoch: epoch(1), on });
  const shown = () => current.a.facts().semiSync;

  beforeEach(() => current.bench.blank());

  test('F7: a host is opened so that commits wait, until it is told otherwise by nobody older than who told it last', async () => {
    const { bench, a } = current;
    await opened(bench.fence, epoch(1), { lossless: true });
    expect(shown()).toMatchObject({ source: true, clients: 0 });
    const { generation } = await done(sync(7, true));
    expect(generation).toBe(7);
    expect(await sync(6, false)).toMatchObject({ kind: 'not-done', why: 'stale', row: { generation: 7 } });
    expect(shown()).toMatchObject({ source: true });
    await done(sync(7, false));
    expect(shown()).toMatchObject({ source: false });
    // By another decision it is neither claimed nor open.
    expect(await bench.fence.call({ do: 'sync', epoch: epoch(2), generation: 9, on: true })).toMatchObject({
      why: 'unclaimed',
    });
    await done(bench.fence.call({ do: 'claim', epoch: epoch(2), unfenced: null }));
    expect(await bench.fence.call({ do: 'sync', epoch: epoch(2), generation: 9, on: true })).toMatchObject({
      why: 'not-open',
    });
    a.setReadOnly(true);
    expect(await sync(9, true)).toMatchObject({ kind: 'refused' });
  });

  test('a host that is writable already is not switched by its opening, nor one that is closed by sync', async () => {
    const { bench, a } = current;
    await opened(bench.fence, epoch(1));
    await done(bench.fence.call(opening(await rowOf(bench.fence), epoch(1), { lossless: true })));
    expect(shown()).toMatchObject({ source: false });
    await done(sync(1, true));
    await done(bench.fence.call(opening(await rowOf(bench.fence), epoch(1))));
    expect(shown()).toMatchObject({ source: true });
    a.setReadOnly(true);
    expect(await sync(2, false)).toMatchObject({ why: 'closed' });
  });

  test('F12: the source side of a closed host is switched off, that of an open one is not', async () => {
    const { bench, a } = current;
    await opened(bench.fence, epoch(1), { lossless: true });
    expect(await bench.fence.call({ do: 'source-off', epoch: epoch(1) })).toMatchObject({ why: 'open' });
    a.setReadOnly(true);
    await done(bench.fence.call({ do: 'source-off', epoch: epoch(2) }));
    expect(shown()).toMatchObject({ source: false });
    expect((await rowOf(bench.fence)).epoch).toEqual(epoch(2));
  });

  test('a replica acknowledges after its I/O thread started with it switched on', async () => {
    const { bench } = current;
    await done(acknowledge(true));
    expect(shown()).toMatchObject({ replica: true, replicaOn: false });
    await bench.threads('stop', 'io');
    await bench.threads('start', 'io');
    expect(shown()).toMatchObject({ replica: true, replicaOn: true });
    await done(acknowledge(false));
    expect(shown()).toMatchObject({ replica: false, replicaOn: true });
  });

  test('F18: a host whose commits wait is not closed, neither by a call nor by its EVENT', async () => {
    const { bench, a, run } = current;
    await opened(bench.fence, epoch(1), { lossless: true, leaseMs: 1_500 });
    const dialled = a.dial('client', true, () => {});
    if (dialled.kind !== 'connected') throw new Error(dialled.kind);
    const told: unknown[] = [];
    a.commit(1, dialled.connection, (write) => told.push(write));
    const close = { do: 'close', epoch: epoch(1), killClients: true, withinMs: 1_000 } as const;
    expect(await bench.fence.call(close)).toMatchObject({ kind: 'not-done', why: 'locked', row: { readOnly: false } });
    await run(5_000);
    expect(a.readOnly).toBe(false);
    expect(told).toEqual([]);
    await done(sync(1, false));
    await run(1_100);
    expect(a.readOnly).toBe(true);
  });
});

test('a server without semi-synchronous replication is neither opened lossless nor switched on', async () => {
  current = aBench({ noSemiSync: true });
  const { bench, a } = current;
  await bench.blank();
  expect(a.facts().semiSync).toBeNull();
  await done(bench.fence.call({ do: 'acknowledge', epoch: epoch(1), on: false }));
  expect(await bench.fence.call({ do: 'acknowledge', epoch: epoch(1), on: true })).toMatchObject({
    why: 'no-semi-sync',
  });
  await bench.threads('stop', 'io');
  const row = await rowOf(bench.fence);
  expect(await bench.fence.call(opening(row, epoch(1), { lossless: true }))).toMatchObject({ why: 'no-semi-sync' });
  expect(a.readOnly).toBe(true);
  await done(bench.fence.call(opening(row, epoch(1))));
  await done(bench.fence.call({ do: 'sync', epoch: epoch(1), generation: 1, on: false }));
  expect(await bench.fence.call({ do: 'sync', epoch: epoch(1), generation: 2, on: true })).toMatchObject({
    why: 'no-semi-sync',
  });
});

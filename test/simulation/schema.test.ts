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

test('F18: a host whose commits wait is not closed, neither by a call nor by its EVENT', async () => {
  const { bench, a, run } = current;
  await bench.blank();
  await opened(bench.fence, epoch(1), { lossless: true, leaseMs: 1_500 });
  const told = await bench.commit();
  const close = { do: 'close', epoch: epoch(1), killClients: true, withinMs: 1_000 } as const;
  expect(await bench.fence.call(close)).toMatchObject({ kind: 'not-done', why: 'locked', row: { readOnly: false } });
  await run(5_000);
  expect(a.readOnly).toBe(false);
  await done(bench.fence.call({ do: 'sync', epoch: epoch(1), generation: 1, on: false }));
  await run(1_100);
  expect(a.readOnly).toBe(true);
  // Its session was ended, as MySQL allows it.
  expect(told()).toBe(false);
});

test('F18: MariaDB closes it all the same when it is to end what waits, and tells nobody OK', async () => {
  const { bench, a } = aBench({ gtid: true });
  await bench.blank();
  await opened(bench.fence, epoch(1), { lossless: true });
  const told = await bench.commit();
  const close = { do: 'close', epoch: epoch(2), killClients: true, withinMs: 5_000 } as const;
  expect(await bench.fence.call(close)).toMatchObject({ why: 'locked' });
  expect(await bench.fence.call({ ...close, endsWaits: true })).toMatchObject({
    kind: 'done',
    did: 'ended what waited for an acknowledgement (sessions: 1)',
    row: { readOnly: true, lease: { kind: 'finite' } },
  });
  expect(told()).toBe(false);
  expect(a.readOnly).toBe(true);
});

test('F18: MySQL goes on waiting, whoever is ended, so that the host stays open', async () => {
  const { bench } = current;
  await bench.blank();
  await opened(bench.fence, epoch(1), { lossless: true });
  const told = await bench.commit();
  const close = { do: 'close', epoch: epoch(2), killClients: true, withinMs: 5_000, endsWaits: true } as const;
  expect(await bench.fence.call(close)).toMatchObject({ why: 'locked', row: { readOnly: false } });
  expect(told()).toBe(false);
});

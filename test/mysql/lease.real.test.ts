// The lease on real servers: a server whose renewals stop closes itself, whatever happened to it and to them.
// Each freeze prints how many writes of clients were acknowledged after waking.

import { setTimeout as sleep } from 'node:timers/promises';
import { type Connection, createConnection } from 'mysql2/promise';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { FOUND_WRITABLE_MS, type HostRow, isArmed } from '../../src/core/host-row.ts';
import type { Fence } from '../../src/mysql/fence.ts';
import { ADMIN, APP, APP_DATABASE, MMM } from '../../src/sandbox/accounts.ts';
import {
  aFencedServer,
  armed,
  done,
  epoch,
  type FencedServer,
  LEASE_MS,
  opened,
  opening,
  rowOf,
} from '../support/fence.ts';
import { frozen } from '../support/frozen.ts';
import { until } from '../support/until.ts';

const EVENT_MS = 1_000;
/** A machine that runs other tests as well. */
const MARGIN_MS = 700;
/** Mostly one statement per connection, measured up to 103 of 8; without the bound of F4 it is thousands. */
const WRITES_AFTER_WAKING = 400;
const WRITERS = 8;

describe.each(['mariadb', 'mysql56'] as const)('%s', (kind) => {
  let server: FencedServer;
  let fence: Fence;
  let number = 0;
  let nextId = 0;
  const connections: Connection[] = [];
  const writers: { stop(): Promise<void> }[] = [];

  beforeAll(async () => {
    server = await aFencedServer(kind);
    fence = server.fence();
  });
  afterAll(() => server.close());
  beforeEach(async () => {
    number += 1;
    // After a freeze the last tick is old for a moment.
    await armed(fence);
    await opened(fence, epoch(number));
  });
  afterEach(async () => {
    for (const writer of writers.splice(0)) await writer.stop();
    for (const connection of connections.splice(0)) connection.destroy();
    await done(fence.call({ do: 'close', epoch: epoch(number), killClients: true, withinMs: 3_000 }));
  });

  async function connection(account: { user: string; password: string }, database?: string): Promise<Connection> {
    const one = await createConnection({
      host: '127.0.0.1',
      port: server.mysqld.port,
      ...account,
      ...(database === undefined ? {} : { database }),
    });
    one.on('error', () => undefined);
    connections.push(one);
    return one;
  }

  /** Clients that write as fast as they can; the times at which they were told OK. */
  async function writing(): Promise<number[]> {
    const acknowledged: number[] = [];
    let on = true;
    const all = await Promise.all(
      Array.from({ length: WRITERS }, async () => {
        const client = await connection(APP, APP_DATABASE);
        return async () => {
          while (on) {
            try {
              await client.query(`INSERT INTO writes (id) VALUES (${++nextId})`);
              acknowledged.push(performance.now());
            } catch {
              // Read only. A client would try again.
              await sleep(1);
            }
          }
        };
      }),
    );
    const loops = all.map((loop) => loop());
    writers.push({
      stop: async () => {
        on = false;
        await Promise.all(loops);
      },
    });
    await until('they write', () => acknowledged.length > WRITERS);
    return acknowledged;
  }

  /** One renewal, as an agent sends it: with the server's time from the answer before. */
  async function renew(baseMs: number): Promise<HostRow> {
    return await done(fence.call({ do: 'renew', epoch: epoch(number), baseMs, leaseMs: LEASE_MS }));
  }

  test('a server whose renewals go on stays open; when they stop it closes itself in time', async () => {
    const acknowledged = await writing();
    let row = await rowOf(fence);
    const started = performance.now();
    while (performance.now() - started < LEASE_MS + 2 * EVENT_MS) {
      row = await renew(row.nowMs);
      expect(row.readOnly).toBe(false);
      await sleep(500);
    }
    if (row.lease.kind !== 'finite') throw new Error('no finite lease');
    const leftMs = row.lease.expiresAtMs - (await rowOf(fence)).nowMs;
    const asked = performance.now();
    await until('it closes itself', async () => (await rowOf(fence)).readOnly, LEASE_MS + EVENT_MS + MARGIN_MS);
    const last = (acknowledged.at(-1) ?? 0) - asked;
    console.log(`${kind}: last write ${Math.round(last - leftMs)} ms after the lease's end`);
    expect(last).toBeGreaterThan(leftMs - 100);
    expect(last).toBeLessThan(leftMs + EVENT_MS + MARGIN_MS);
  });

  test.each([
    ['that was opened in this life keeps the end of its lease', 0],
    ['that nobody opened in this life is marked as found writable', 1_000],
  ])('F19: a server closed by its EVENT %s', async (_, otherBootSec) => {
    const admin = await connection(ADMIN);
    await admin.query('SET SESSION sql_log_bin = 0');
    await admin.query('UPDATE mmm.host SET opened_boot = opened_boot - ?', [otherBootSec]);
    await until('it closes itself', async () => (await rowOf(fence)).readOnly, LEASE_MS + EVENT_MS + MARGIN_MS);
    // The mark is written right after.
    await sleep(300);
    const { lease } = await rowOf(fence);
    if (lease.kind !== 'finite') throw new Error('no finite lease');
    expect(lease.expiresAtMs === FOUND_WRITABLE_MS).toBe(otherBootSec > 0);
    expect(await rowOf(fence)).toSatisfy(isArmed);
  });

  test.each([8_000, 2_600])(
    'F4: frozen for %i ms with a renewal waiting: it does not revive the lease',
    async (freezeMs) => {
      const agent = await connection(MMM);
      const acknowledged = await writing();
      let row = await renew((await rowOf(fence)).nowMs);
      await sleep(EVENT_MS);
      row = await renew(row.nowMs);
      await frozen(server.mysqld);
      const frozenAt = performance.now();
      // It is in the server's socket, and nobody sends another one.
      const late = agent.query(`CALL mmm.renew(${number}, 'd${number}', '127.0.0.1:3306', ${row.nowMs}, ${LEASE_MS})`);
      await sleep(freezeMs - (performance.now() - frozenAt));
      const woken = performance.now();
      server.mysqld.thaw();
      const answer = JSON.stringify(await late);
      await until('it is closed', async () => (await rowOf(fence)).readOnly, LEASE_MS);
      const closedAfterMs = performance.now() - woken;
      const after = acknowledged.filter((at) => at > woken);
      const lastMs = after.length === 0 ? 0 : Math.round((after.at(-1) ?? 0) - woken);
      console.log(
        `${kind}: frozen ${freezeMs} ms, ${after.length} writes of ${WRITERS} clients in ${lastMs} ms after waking`,
      );
      expect(after.length).toBeLessThan(WRITES_AFTER_WAKING);
      expect(lastMs).toBeLessThan(300);
      expect(closedAfterMs).toBeLessThan(EVENT_MS);
      expect(answer).not.toMatch(/"outcome":"done"/);
    },
  );

  test('a freeze that is shorter than what is left of the lease changes nothing', async () => {
    let row = await renew((await rowOf(fence)).nowMs);
    await frozen(server.mysqld);
    await sleep(1_000);
    server.mysqld.thaw();
    row = await renew(row.nowMs);
    expect(row.readOnly).toBe(false);
  });

  test('an opening that runs after its grant is over opens nothing', async () => {
    await done(fence.call({ do: 'close', epoch: epoch(number), killClients: true, withinMs: 3_000 }));
    const row = await rowOf(fence);
    const agent = await connection(MMM);
    await frozen(server.mysqld);
    const late = agent.query(
      `CALL mmm.open(${number}, 'd${number}', '127.0.0.1:3306', ${row.nowMs}, ${LEASE_MS}, 0, ${row.startedSec}, 0)`,
    );
    await sleep(LEASE_MS + 200);
    server.mysqld.thaw();
    expect(JSON.stringify(await late)).toMatch(/"outcome":"late"/);
    expect((await rowOf(fence)).readOnly).toBe(true);
  });

  test('an endless lease is not closed, nor is a server that was never opened by us', async () => {
    number += 1;
    expect(await opened(fence, epoch(number), { lease: 'endless' })).toMatchObject({ lease: { kind: 'endless' } });
    await ticks(2);
    expect((await rowOf(fence)).readOnly).toBe(false);
    await server.admin('UPDATE mmm.host SET endless = 0, expires_at_ms = NULL, opened_number = NULL');
    await ticks(2);
    expect(await rowOf(fence)).toMatchObject({ lease: { kind: 'none' }, readOnly: false });
  });

  test('a host that we closed and somebody opens by hand closes itself again', async () => {
    await done(fence.call({ do: 'close', epoch: epoch(number), killClients: true, withinMs: 3_000 }));
    await server.admin('SET GLOBAL read_only = 0');
    await until('it closes itself', async () => (await rowOf(fence)).readOnly, EVENT_MS + MARGIN_MS);
  });

  test('an administrator’s lock keeps the EVENT from closing; it does so when the lock is gone', async () => {
    const operator = await connection(ADMIN);
    await operator.query('LOCK TABLES app.writes WRITE');
    await until('the lease is out', async () => isOut(await rowOf(fence)), LEASE_MS + MARGIN_MS);
    await ticks(2);
    expect((await rowOf(fence)).readOnly).toBe(false);
    await operator.query('UNLOCK TABLES');
    await until('it closes itself', async () => (await rowOf(fence)).readOnly, EVENT_MS + MARGIN_MS);
  });

  test('a backup that holds FLUSH TABLES WITH READ LOCK keeps renewals and the EVENT away; both act when it is gone', async () => {
    const backup = await connection(ADMIN);
    const { nowMs } = await rowOf(fence);
    await backup.query('FLUSH TABLES WITH READ LOCK');
    const asked = performance.now();
    const renewal = await fence.call({ do: 'renew', epoch: epoch(number), baseMs: nowMs, leaseMs: LEASE_MS });
    expect(renewal).toEqual({ kind: 'not-done', why: 'locked', row: null });
    expect(performance.now() - asked).toBeLessThan(2_000);
    // The scheduler notes each run in a table, so it waits as well. Nobody can commit meanwhile.
    await until('the lease is out', async () => isOut(await rowOf(fence)), LEASE_MS + MARGIN_MS);
    await backup.query('UNLOCK TABLES');
    await until('it closes itself', async () => (await rowOf(fence)).readOnly, EVENT_MS + MARGIN_MS);
    await until('it is opened again under its epoch', async () => {
      return (await fence.call(opening(await rowOf(fence), epoch(number)))).kind === 'done';
    });
  });

  test('a server that was killed under its lease comes back closed, and only an opening opens it', async () => {
    const before = await rowOf(fence);
    await server.mysqld.kill();
    await server.mysqld.restart();
    const row = await rowOf(fence);
    expect(row).toMatchObject({ opened: before.opened, readOnly: true });
    expect(row.startedSec).toBeGreaterThan(before.startedSec);
    expect(await fence.call({ do: 'renew', epoch: epoch(number), baseMs: row.nowMs, leaseMs: LEASE_MS })).toMatchObject(
      {
        why: 'not-open',
      },
    );
    expect(await fence.call(opening(before, epoch(number)))).toMatchObject({ why: 'rebooted' });
    await ticks(1);
    const again = await done(fence.call(opening(await rowOf(fence), epoch(number), { demand: 'drained' })));
    expect(again).toMatchObject({ opened: { number, startedSec: row.startedSec }, readOnly: false });
  });

  async function ticks(count: number): Promise<void> {
    const seen = new Set<number | null>([(await rowOf(fence)).tickMs]);
    await until(
      'the EVENT ticks',
      async () => seen.add((await rowOf(fence)).tickMs).size > count,
      (count + 3) * EVENT_MS * 2,
    );
  }

  function isOut({ lease, nowMs }: HostRow): boolean {
    return lease.kind === 'finite' && lease.expiresAtMs <= nowMs;
  }
});

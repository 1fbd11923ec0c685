// The comparing calls on servers under stress: each ends by its deadline, says what happened, and what is in the way.

import { existsSync, readFileSync } from 'node:fs';
import { type Connection, createConnection } from 'mysql2/promise';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Call, Called } from '../../src/core/call.ts';
import type { Fence, Looked } from '../../src/mysql/fence.ts';
import { ADMIN, APP, APP_DATABASE } from '../../src/sandbox/accounts.ts';
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

const MANY = 2_000;
const FILES = openFiles();
const TOO_FEW_FILES = FILES < MANY + 500;
if (TOO_FEW_FILES) console.log(`${MANY} connections are not tried: this process may open ${FILES} files (ulimit -n)`);

function openFiles(): number {
  const limits = existsSync('/proc/self/limits') ? readFileSync('/proc/self/limits', 'utf8') : '';
  return Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? 0);
}

/** A machine that runs other tests as well. */
const MARGIN_MS = 700;
const LONG_LEASE_MS = 60_000;
/** What each call may take at the most, whatever the server does. */
const DEADLINE_MS = { look: 1_500, renew: 2_000, claim: 2_500, open: 2_500, close: 3_000, kill: 2_500 };

describe.each(['mariadb', 'mysql56'] as const)('%s', (kind) => {
  let server: FencedServer;
  let fence: Fence;
  let number = 0;
  let nextId = 0;
  const connections: Connection[] = [];

  beforeAll(async () => {
    server = await aFencedServer(kind, [`max_connections=${MANY + 100}`, 'open_files_limit=8192', 'back_log=1000']);
    fence = server.fence();
  });
  afterAll(() => server.close());
  beforeEach(async () => {
    number += 1;
    await armed(fence);
    await opened(fence, epoch(number), { leaseMs: LONG_LEASE_MS });
  });
  afterEach(async () => {
    for (const one of connections.splice(0)) one.destroy();
    await until('it is closed', async () => (await call('close')).kind === 'done');
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

  function client(): Promise<Connection> {
    return connection(APP, APP_DATABASE);
  }

  /** One call as an agent makes it, which must end by its deadline. */
  async function call(what: 'claim' | 'close' | 'open' | 'renew' | 'kill', by = fence): Promise<Called> {
    const at = epoch(number);
    const looked = await look(by);
    const row = looked.kind === 'row' ? looked.row : null;
    const calls: Readonly<Record<typeof what, Call | null>> = {
      claim: { do: 'claim', epoch: at, unfenced: null },
      close: { do: 'close', epoch: at, killClients: true, withinMs: DEADLINE_MS.close },
      open: row === null ? null : opening(row, at, { leaseMs: LONG_LEASE_MS }),
      renew: { do: 'renew', epoch: at, baseMs: row?.nowMs ?? 0, leaseMs: LONG_LEASE_MS },
      kill: { do: 'kill', epoch: at },
    };
    const made = calls[what];
    if (made === null) throw new Error(`no row to open by: ${JSON.stringify(looked)}`);
    return await inTime(what, by.call(made));
  }

  function look(by = fence): Promise<Looked> {
    return inTime('look', by.look());
  }

  async function inTime<T>(what: keyof typeof DEADLINE_MS, ended: Promise<T>): Promise<T> {
    const started = performance.now();
    const result = await ended;
    expect(performance.now() - started, what).toBeLessThan(DEADLINE_MS[what] + MARGIN_MS);
    return result;
  }

  /** All that is left to whoever made it is to be thrown out or not. */
  function fateOf(query: Promise<unknown>): Promise<'ended' | 'thrown out'> {
    return query.then(
      () => 'ended' as const,
      () => 'thrown out' as const,
    );
  }

  test('long transactions with row locks, and others that wait for them: all thrown out, nothing hangs', async () => {
    const holder = await client();
    await holder.query('BEGIN');
    await holder.query(`INSERT INTO writes (id) VALUES (${++nextId})`);
    const waiting = await client();
    await waiting.query('SET innodb_lock_wait_timeout = 50');
    const fate = fateOf(waiting.query(`INSERT INTO writes (id) VALUES (${nextId})`));
    for (const what of ['renew', 'claim', 'open'] as const) expect((await call(what)).kind, what).toBe('done');
    expect(await call('close')).toMatchObject({
      kind: 'done',
      did: 'killed 2 sessions of app',
      row: { readOnly: true },
    });
    expect(await fate).toBe('thrown out');
  });

  test('an administrator’s statement that takes long: not closed, and told whose it is; then closed', async () => {
    const operator = await connection(ADMIN);
    await operator.query(`INSERT INTO app.writes (id) VALUES (${++nextId})`);
    const fate = fateOf(operator.query('UPDATE app.writes SET written_at = IF(SLEEP(60), NOW(), NOW())'));
    const app = await client();
    expect((await call('renew')).kind).toBe('done');
    const called = await call('close');
    expect(called).toMatchObject({ kind: 'not-done', why: 'locked', row: { readOnly: false } });
    const detail = called.kind === 'not-done' ? called.detail : '';
    expect(detail).toMatch(/^killed 1 session of app; session \d+ of root@127\.0\.0\.1, \d s /);
    // A statement may hold secrets.
    expect(detail).not.toMatch(/UPDATE|SLEEP/);
    await expect(app.query('SELECT 1')).rejects.toThrow();
    await server.admin(`KILL ${operator.threadId}`);
    expect(await fate).toBe('thrown out');
    await until('it can be closed', async () => (await call('close')).kind === 'done');
  });

  test.each(['app.writes', 'mmm.host'])('LOCK TABLES … WRITE on %s', async (table) => {
    const operator = await connection(ADMIN);
    await operator.query(`LOCK TABLES ${table} WRITE`);
    const ours = table === 'mmm.host';
    // A host that answers is not silent.
    expect((await look()).kind).toBe(ours ? 'server-error' : 'row');
    for (const what of ['renew', 'claim'] as const) {
      expect(await call(what), what).toMatchObject(ours ? { why: 'locked' } : { kind: 'done' });
    }
    expect(await call('close')).toMatchObject({
      kind: 'not-done',
      why: 'locked',
      detail: expect.stringMatching(/^session \d+ of root@/),
    });
    await operator.query('UNLOCK TABLES');
    for (const what of ['renew', 'close', 'open'] as const) expect((await call(what)).kind, what).toBe('done');
  });

  test('FLUSH TABLES WITH READ LOCK over the end of the lease: alive, and writable within a second of its end', async () => {
    const backup = await connection(ADMIN);
    const app = await client();
    await done(fence.call({ do: 'claim', epoch: epoch(++number), unfenced: null }));
    await done(fence.call(opening(await rowOf(fence), epoch(number), { leaseMs: LEASE_MS })));
    await backup.query('FLUSH TABLES WITH READ LOCK');
    const write = app.query(`INSERT INTO writes (id) VALUES (${++nextId})`);
    const fate = fateOf(write);
    for (const what of ['renew', 'claim', 'open'] as const) {
      expect(await call(what), what).toMatchObject({ kind: 'not-done', why: 'locked' });
    }
    const locked = await fence.call({ do: 'close', epoch: epoch(number), killClients: false, withinMs: 1_500 });
    expect(locked).toMatchObject({ why: 'locked', detail: expect.stringMatching(/of root@/) });
    await until('the lease is out', async () => {
      const { lease, nowMs } = await rowOf(fence);
      return lease.kind === 'finite' && lease.expiresAtMs <= nowMs;
    });
    expect((await look()).kind).toBe('row');
    await backup.query('UNLOCK TABLES');
    const unlocked = performance.now();
    // Whether the EVENT has closed it already or not: it is closed and opened anew, under its epoch, and its clients stay.
    await until('it is opened again', async () => {
      const row = await rowOf(fence);
      if (row.readOnly) return (await fence.call(opening(row, epoch(number)))).kind === 'done';
      await fence.call({ do: 'close', epoch: epoch(number), killClients: false, withinMs: 1_000 });
      return false;
    });
    const again = await client();
    await again.query(`INSERT INTO writes (id) VALUES (${++nextId})`);
    const writableAfterMs = Math.round(performance.now() - unlocked);
    console.log(`${kind}: writable ${writableAfterMs} ms after the backup's lock was gone`);
    expect(writableAfterMs).toBeLessThan(1_000);
    expect((await rowOf(fence)).lease.kind).toBe('finite');
    expect(['ended', 'thrown out']).toContain(await fate);
  });

  test('a dump in one transaction goes on through renewals, a close and an opening', async () => {
    // What mysqldump --single-transaction --master-data says.
    const dump = await connection(ADMIN, APP_DATABASE);
    for (const sql of [
      'FLUSH TABLES',
      'FLUSH TABLES WITH READ LOCK',
      'SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ',
      'START TRANSACTION /*!40100 WITH CONSISTENT SNAPSHOT */',
      'SHOW MASTER STATUS',
      'UNLOCK TABLES',
    ]) {
      await dump.query(sql);
    }
    await server.admin(`INSERT INTO app.writes (id) VALUES (${++nextId})`);
    let over = false;
    const reading = fateOf(dump.query('SELECT /*!40001 SQL_NO_CACHE */ writes.*, SLEEP(2) FROM writes LIMIT 1'));
    void reading.then(() => {
      over = true;
    });
    for (const what of ['renew', 'close', 'open', 'renew'] as const) {
      expect((await call(what)).kind, what).toBe('done');
    }
    expect(over).toBe(false);
    expect(await reading).toBe('ended');
  });

  test.skipIf(TOO_FEW_FILES)(
    `${MANY} open connections, half of them in a transaction: renewed, and closed at once`,
    async () => {
      for (let made = 0; made < MANY; made += 50) {
        await Promise.all(
          Array.from({ length: 50 }, async (_, index) => {
            const one = await client();
            if (index % 2 === 1) return;
            await one.query('BEGIN');
            await one.query(`INSERT INTO writes (id) VALUES (${++nextId})`);
          }),
        );
      }
      const started = performance.now();
      expect((await call('renew')).kind).toBe('done');
      const renewed = performance.now();
      expect(await call('close')).toMatchObject({ kind: 'done', did: `killed ${MANY} sessions of app` });
      const closed = performance.now();
      expect((await call('open')).kind).toBe('done');
      console.log(
        `${kind}: ${MANY} connections: renewed in ${Math.round(renewed - started)} ms, closed in ${Math.round(closed - renewed)} ms`,
      );
    },
  );

  test('too many connections: a fence whose connection stands goes on, a new one is told at once', async () => {
    const operator = await connection(ADMIN);
    const fresh = server.fence();
    try {
      await operator.query('SET GLOBAL max_connections = 10');
      // The place that the server keeps for an administrator is taken as well.
      for (const account of [APP, ADMIN]) {
        await until('there is no place left', async () => {
          const refused = await connection(account).then(
            () => null,
            (error: unknown) => error,
          );
          return refused instanceof Error && 'errno' in refused && refused.errno === 1040;
        });
      }
      expect(await look(fresh)).toMatchObject({ kind: 'saturated', code: '1040' });
      const renewal: Call = { do: 'renew', epoch: epoch(number), baseMs: 0, leaseMs: LONG_LEASE_MS };
      expect(await inTime('renew', fresh.call(renewal))).toMatchObject({ kind: 'saturated' });
      expect((await call('renew')).kind).toBe('done');
      expect(await call('close')).toMatchObject({
        kind: 'done',
        did: expect.stringMatching(/^killed \d+ sessions of app$/),
      });
      expect((await call('open')).kind).toBe('done');
    } finally {
      await operator.query(`SET GLOBAL max_connections = ${MANY + 100}`);
    }
    await until('the new one gets in', async () => (await look(fresh)).kind === 'row');
  });

  test('another call that hangs: each waits for it for a second', async () => {
    const holder = await connection(ADMIN);
    await holder.query("SELECT GET_LOCK('mmm', 0)");
    for (const what of ['renew', 'claim', 'open', 'kill'] as const) {
      expect(await call(what), what).toMatchObject({ kind: 'not-done', why: 'busy' });
    }
    expect(await call('close')).toMatchObject({ why: 'busy', detail: expect.stringMatching(/of root@/) });
    await holder.query("SELECT RELEASE_LOCK('mmm')");
    expect((await call('renew')).kind).toBe('done');
  });

  test('a frozen server: silence by the deadline of each call, and then everything goes on', async () => {
    const at = epoch(number);
    const calls = [
      { do: 'renew', epoch: at, baseMs: 0, leaseMs: LONG_LEASE_MS },
      { do: 'close', epoch: at, killClients: true, withinMs: DEADLINE_MS.close },
      { do: 'claim', epoch: at, unfenced: null },
    ] as const;
    const warm = await Promise.all(
      calls.map(async (one) => {
        const by = server.fence();
        await rowOf(by);
        return { one, by };
      }),
    );
    await frozen(server.mysqld);
    await Promise.all(
      warm.map(async ({ one, by }) => {
        expect(await inTime(one.do, by.call(one)), one.do).toMatchObject({ kind: 'silent', code: 'DEADLINE' });
      }),
    );
    expect(await look()).toMatchObject({ kind: 'silent' });
    server.mysqld.thaw();
    await until('it answers', async () => (await look()).kind === 'row');
  });
});

// The agent's steps on real pairs: what they do, what they leave alone, and what they refuse.

import { type Connection, createConnection } from 'mysql2/promise';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Facts } from '../../src/core/observation.ts';
import { parseHost } from '../../src/core/pair.ts';
import { hasReceived, isApplied } from '../../src/core/replication.ts';
import type { Applied, PlainStep } from '../../src/core/step.ts';
import { openServer } from '../../src/mysql/connection.ts';
import type { Server } from '../../src/mysql/server.ts';
import { type Account, ADMIN, ask, MMM } from '../../src/sandbox/accounts.ts';
import type { Mysqld } from '../../src/sandbox/mysqld.ts';
import { frozen } from '../support/frozen.ts';
import { aPair, type TestPair } from '../support/pair.ts';

type Act = PlainStep extends infer One ? (One extends PlainStep ? Omit<One, 'host'> : never) : never;

function serverFor(mysqld: Mysqld, account: Account = MMM): Server {
  const host = parseHost(mysqld.host);
  if (host === undefined) throw new Error(`no host: ${mysqld.host}`);
  const access = { ...account, database: 'information_schema', charset: 'utf8', connectTimeoutMs: 2_000 };
  return openServer({ host, access, excludeUsers: [], block: null });
}

async function factsOf(server: Server): Promise<Facts> {
  const evidence = await server.probe();
  if (evidence.kind !== 'answered') throw new Error(`no facts: ${JSON.stringify(evidence)}`);
  return evidence.facts;
}

function act(server: Server, step: Act): Promise<Applied> {
  return server.apply({ ...step, host: server.host });
}

async function settled(condition: () => Promise<boolean>): Promise<void> {
  await vi.waitUntil(condition, { timeout: 15_000, interval: 20 });
}

describe.each(['mariadb', 'mysql56'] as const)('%s', (kind) => {
  let pair: TestPair;
  let a: Server;
  let b: Server;
  let nextId = 0;

  beforeAll(async () => {
    pair = await aPair({ kind });
    a = serverFor(pair.a);
    b = serverFor(pair.b);
  });
  afterAll(async () => {
    await a.close();
    await b.close();
    await pair.close();
  });

  function admin(mysqld: Mysqld, sql: string) {
    return pair.admin(mysqld, sql);
  }

  /** `count` transactions on a. */
  async function write(count: number): Promise<void> {
    for (let left = count; left > 0; left--) {
      await admin(pair.a, `INSERT INTO app.writes (id) VALUES (${++nextId})`);
    }
  }

  async function rowsOn(mysqld: Mysqld): Promise<number> {
    const [row] = await admin(mysqld, 'SELECT COUNT(*) AS count FROM app.writes');
    return Number(row?.['count']);
  }

  describe('close', () => {
    const clients: Connection[] = [];

    async function client(): Promise<Connection> {
      const one = await pair.appClient(pair.a);
      clients.push(one);
      return one;
    }

    beforeEach(() => admin(pair.a, 'SET GLOBAL read_only = 0'));
    afterEach(async () => {
      for (const one of clients.splice(0)) one.destroy();
      await clientsGone();
      await admin(pair.a, 'SET GLOBAL read_only = 1');
    });

    /**
     * MySQL 5.6.24 once in a while never lets go of a session that was killed in the middle of a commit: it stays `Killed` with its
     * locks, and the next test would meet those. Such a server is started anew.
     */
    async function clientsGone(): Promise<void> {
      const sql = "SELECT COUNT(*) AS count FROM information_schema.PROCESSLIST WHERE USER = 'app'";
      const gone = async () => Number((await admin(pair.a, sql))[0]?.['count']) === 0;
      try {
        await vi.waitUntil(gone, { timeout: 5_000, interval: 20 });
      } catch (error) {
        if (kind !== 'mysql56') throw error;
        await pair.a.kill();
        await pair.a.restart();
      }
    }

    test('throws the application out, whatever it holds, and leaves the admin alone', async () => {
      const locking = await client();
      await locking.query('LOCK TABLES writes WRITE');
      const idle = await client();
      await idle.query('BEGIN');
      await idle.query('SELECT 1');
      const busy = await client();
      const running = busy.query('SELECT SLEEP(60)').then(
        () => 'ended',
        () => 'thrown out',
      );
      const root = await openAdmin();
      try {
        const started = performance.now();
        expect(await act(a, { do: 'close' })).toEqual({ kind: 'done', did: 'killed 3 sessions of app, set read_only' });
        expect(performance.now() - started).toBeLessThan(3_000);
        expect((await factsOf(a)).readOnly).toBe(true);
        expect(await running).toBe('thrown out');
        await expect(idle.query('COMMIT')).rejects.toThrow();
        await expect((await client()).query('INSERT INTO writes (id) VALUES (0)')).rejects.toMatchObject({
          errno: 1290,
        });
        expect(await root.alive()).toBe(true);
      } finally {
        root.end();
      }
    });

    test('throws nobody out when it may not set read_only', async () => {
      const one = await client();
      const account = { user: 'weak', password: 'weak' };
      await admin(pair.a, `GRANT PROCESS, SELECT ON *.* TO 'weak'@'127.0.0.1' IDENTIFIED BY 'weak'`);
      const weak = serverFor(pair.a, account);
      try {
        expect(await act(weak, { do: 'close' })).toMatchObject({ kind: 'server-error', code: '1227' });
        await expect(one.query('SELECT 1')).resolves.toBeDefined();
        expect((await factsOf(a)).readOnly).toBe(false);
      } finally {
        await weak.close();
        await admin(pair.a, `DROP USER 'weak'@'127.0.0.1'`);
      }
    });

    test('an open transaction of a client that came later cannot commit', async () => {
      const late = await client();
      await late.query('BEGIN');
      await late.query('INSERT INTO writes (id) VALUES (0)');
      await act(a, { do: 'close' });
      await expect(late.query('COMMIT')).rejects.toThrow();
      const [row] = await admin(pair.a, 'SELECT COUNT(*) AS count FROM app.writes WHERE id = 0');
      expect(Number(row?.['count'])).toBe(0);
    });

    test('gives up where an admin holds a lock, and names the session without its statement', async () => {
      const root = await openAdmin();
      try {
        await root.ask('LOCK TABLES app.writes WRITE');
        const started = performance.now();
        const result = await act(a, { do: 'close' });
        expect(performance.now() - started).toBeLessThan(7_000);
        expect(result.kind).toBe('not-done');
        expect(JSON.stringify(result)).toMatch(/within 5 s: .*root@127\.0\.0\.1/);
        expect(JSON.stringify(result)).not.toMatch(/LOCK TABLES/);
        expect((await factsOf(a)).readOnly).toBe(false);
        expect(await root.alive()).toBe(true);
      } finally {
        root.end();
      }
    });

    test('leaves the readers of a closed host alone', async () => {
      await act(a, { do: 'close' });
      const reader = await client();
      expect(await act(a, { do: 'close' })).toEqual({ kind: 'done', did: 'it is read only already' });
      expect((await reader.query('SELECT 1'))[0]).toHaveLength(1);
    });

    async function openAdmin() {
      const connection = await createConnection({ host: '127.0.0.1', port: pair.a.port, ...ADMIN });
      connection.on('error', () => undefined);
      return {
        ask: (sql: string) => connection.query(sql),
        alive: () =>
          connection.query('SELECT 1').then(
            () => true,
            () => false,
          ),
        end: () => connection.destroy(),
      };
    }
  });

  describe('open', () => {
    afterEach(() => admin(pair.a, 'SET GLOBAL read_only = 1'));

    test('lets the application write', async () => {
      const { serverTime } = await factsOf(a);
      expect(await act(a, { do: 'open', drained: false, deadlineServerTime: serverTime + 30 })).toMatchObject({
        kind: 'done',
      });
      expect((await factsOf(a)).readOnly).toBe(false);
      const client = await pair.appClient(pair.a);
      await client.query(`INSERT INTO writes (id) VALUES (${++nextId})`);
    });

    test('does nothing when it comes after its deadline by the server’s clock', async () => {
      const { serverTime } = await factsOf(a);
      expect(await act(a, { do: 'open', drained: false, deadlineServerTime: serverTime - 0.001 })).toMatchObject({
        kind: 'not-done',
      });
      expect((await factsOf(a)).readOnly).toBe(true);
    });

    test('does nothing when the server was frozen until after the deadline', async () => {
      const { serverTime } = await factsOf(a);
      await frozen(pair.a);
      const opening = act(a, { do: 'open', drained: false, deadlineServerTime: serverTime + 0.5 });
      await vi.waitUntil(() => Date.now() / 1000 > serverTime + 0.7, { timeout: 5_000 });
      pair.a.thaw();
      expect(await opening).toMatchObject({ kind: 'not-done' });
      expect((await factsOf(a)).readOnly).toBe(true);
    });

    describe('of a host that was drained', () => {
      afterEach(async () => {
        await admin(pair.b, 'SET GLOBAL read_only = 1');
        await admin(pair.b, 'START SLAVE');
      });

      async function opened() {
        const { serverTime } = await factsOf(b);
        return await act(b, { do: 'open', drained: true, deadlineServerTime: serverTime + 30 });
      }

      test('does nothing when it replicates again', async () => {
        expect(await opened()).toMatchObject({ kind: 'not-done', code: 'io-runs' });
        expect((await factsOf(b)).readOnly).toBe(true);
      });

      test('does nothing while something is left to apply', async () => {
        const { gtid, binlog } = await factsOf(a);
        await act(b, { do: 'await-received', position: binlog ?? { file: '', pos: 0 }, gtid });
        const locking = await createConnection({ host: '127.0.0.1', port: pair.b.port, ...ADMIN, database: 'app' });
        await locking.query('LOCK TABLES writes READ');
        await write(2);
        const later = await factsOf(a);
        await act(b, { do: 'await-received', position: later.binlog ?? { file: '', pos: 0 }, gtid: later.gtid });
        await act(b, { do: 'stop-io' });
        expect(await opened()).toMatchObject({ kind: 'not-done', code: 'unapplied' });
        locking.destroy();
        await act(b, { do: 'await-applied' });
        expect(await opened()).toMatchObject({ kind: 'done' });
      });
    });
  });

  describe('replication', () => {
    afterEach(async () => {
      await admin(pair.b, 'START SLAVE');
      const all = await rowsOn(pair.a);
      await settled(async () => (await rowsOn(pair.b)) === all);
    });

    test('each thread is stopped and started once; again does nothing', async () => {
      expect(await act(b, { do: 'stop-io' })).toEqual({ kind: 'done', did: 'STOP SLAVE IO_THREAD' });
      expect((await factsOf(b)).replication).toMatchObject({ io: 'No', sql: 'Yes' });
      expect(await act(b, { do: 'stop-io' })).toMatchObject({ did: 'its I/O thread is stopped already' });
      expect(await act(b, { do: 'start-io' })).toEqual({ kind: 'done', did: 'START SLAVE IO_THREAD' });
      expect(await act(b, { do: 'start-sql' })).toEqual({ kind: 'done', did: 'it runs already' });
      await admin(pair.b, 'STOP SLAVE');
      expect(await act(b, { do: 'start-replication' })).toEqual({ kind: 'done', did: 'START SLAVE' });
      expect((await factsOf(b)).replication?.sql).toBe('Yes');
    });

    test('a passive has received the active’s position, or has not', async () => {
      await write(1);
      const { binlog, gtid } = await factsOf(a);
      if (binlog === null) throw new Error('no binary log');
      expect(await act(b, { do: 'await-received', position: binlog, gtid })).toMatchObject({ kind: 'done' });
      await act(b, { do: 'stop-io' });
      await write(1);
      const later = await factsOf(a);
      const missing = await act(b, { do: 'await-received', position: binlog, gtid: later.gtid });
      expect(missing).toEqual({ kind: 'not-done', why: 'its I/O thread is stopped' });
    });

    test('waiting for a stopped SQL thread ends at once and says how much is left', async () => {
      await admin(pair.b, 'STOP SLAVE SQL_THREAD');
      await write(3);
      await settled(async () => /3 transactions/.test(JSON.stringify(await act(b, { do: 'await-applied' }))));
      expect(await act(b, { do: 'await-applied' })).toEqual({
        kind: 'not-done',
        why: 'its SQL thread is stopped, still 3 transactions behind',
      });
    });

    test('an SQL thread that stops again with an error is not started', async () => {
      const id = ++nextId;
      await admin(pair.b, 'STOP SLAVE SQL_THREAD');
      await admin(pair.a, `INSERT INTO app.writes (id) VALUES (${id})`);
      await ask({ port: pair.b.port, sql: 'SET GLOBAL read_only = 1' });
      const root = await createConnection({ host: '127.0.0.1', port: pair.b.port, ...ADMIN });
      await root.query('SET sql_log_bin = 0');
      await root.query(`INSERT INTO app.writes (id) VALUES (${id})`);
      await settled(async () => !isApplied(await factsOf(b)));
      await act(b, { do: 'start-sql' });
      await settled(async () => (await factsOf(b)).replication?.sql === 'No');
      expect(JSON.stringify(await act(b, { do: 'await-applied' }))).toMatch(/SQL thread is stopped \(1062: /);
      await root.query(`DELETE FROM app.writes WHERE id = ${id}`);
      root.destroy();
    });

    test('the drain: what was received while the SQL thread was stopped is applied when it starts before the I/O thread stops', async () => {
      await admin(pair.b, 'STOP SLAVE SQL_THREAD');
      const before = await rowsOn(pair.b);
      await write(20);
      const { gtid, binlog } = await factsOf(a);
      expect(await act(b, { do: 'await-received', position: binlog ?? { file: '', pos: 0 }, gtid })).toMatchObject({
        kind: 'done',
      });
      await pair.a.kill();
      expect(await act(b, { do: 'start-sql' })).toMatchObject({ kind: 'done' });
      expect(await act(b, { do: 'stop-io' })).toMatchObject({ kind: 'done' });
      expect(await act(b, { do: 'await-applied' })).toEqual({
        kind: 'done',
        did: 'all that was received is applied',
      });
      expect((await rowsOn(pair.b)) - before).toBe(20);
      await pair.a.restart();
    });

    test('half a transaction at the end of the relay log does not keep a host from being drained', async () => {
      const root = await createConnection({ host: '127.0.0.1', port: pair.a.port, ...ADMIN, database: 'app' });
      await root.query('CREATE TABLE big (id INT AUTO_INCREMENT PRIMARY KEY, content LONGTEXT)');
      await root.query('BEGIN');
      for (let row = 0; row < 80; row++) await root.query("INSERT INTO big (content) VALUES (REPEAT('x', 1000000))");
      const start = (await factsOf(b)).replication?.received.pos ?? 0;
      const commit = root.query('COMMIT');
      await vi.waitUntil(
        async () => Number((await admin(pair.b, 'SHOW SLAVE STATUS'))[0]?.['Read_Master_Log_Pos']) > start + 2_000_000,
        { timeout: 20_000, interval: 1 },
      );
      await act(b, { do: 'stop-io' });
      await commit;
      const goal = await factsOf(a);
      const half = await factsOf(b);
      expect(half.replication?.received.pos).toBeLessThan(goal.binlog?.pos ?? 0);
      expect(hasReceived(half, goal.binlog ?? { file: '', pos: 0 }, goal.gtid)).toBe(false);
      expect(await act(b, { do: 'await-applied' })).toMatchObject({ kind: 'done' });
      expect(isApplied(await factsOf(b))).toBe(true);
      // Half of it is not there, and the whole of it comes when the host replicates again.
      const count = async () => Number((await admin(pair.b, 'SELECT COUNT(*) AS count FROM app.big'))[0]?.['count']);
      expect(await count()).toBe(0);
      await act(b, { do: 'start-io' });
      await settled(async () => (await count()) === 80);
      await root.query('DROP TABLE big');
      root.destroy();
    });

    if (kind === 'mariadb')
      test('nothing is started from a standstill that would throw received transactions away', async () => {
        await admin(pair.b, 'STOP SLAVE SQL_THREAD');
        await write(20);
        const { binlog, gtid } = await factsOf(a);
        await act(b, { do: 'await-received', position: binlog ?? { file: '', pos: 0 }, gtid });
        await act(b, { do: 'stop-io' });
        const received = (await factsOf(b)).replication?.receivedGtid;
        for (const step of ['start-sql', 'start-io', 'start-replication'] as const) {
          expect(await act(b, { do: step })).toEqual({
            kind: 'not-done',
            why: 'both threads are stopped, and starting would throw away 20 transactions received and not applied',
          });
        }
        const after = await factsOf(b);
        expect(after.replication).toMatchObject({ io: 'No', sql: 'No', receivedGtid: received });
        expect(isApplied(after)).toBe(false);
      });

    if (kind === 'mysql56')
      test('on MySQL a start from a standstill keeps what was received', async () => {
        await admin(pair.b, 'STOP SLAVE SQL_THREAD');
        const before = await rowsOn(pair.b);
        await write(20);
        const { binlog, gtid } = await factsOf(a);
        await act(b, { do: 'await-received', position: binlog ?? { file: '', pos: 0 }, gtid });
        await act(b, { do: 'stop-io' });
        expect(await act(b, { do: 'start-sql' })).toMatchObject({ kind: 'done' });
        expect(await act(b, { do: 'await-applied' })).toMatchObject({ kind: 'done' });
        expect((await rowsOn(pair.b)) - before).toBe(20);
      });
  });

  test('a step on a warm connection that somebody killed is done on a new one', async () => {
    await factsOf(a);
    const rows = await admin(pair.a, `SELECT ID AS id FROM information_schema.PROCESSLIST WHERE USER = '${MMM.user}'`);
    for (const row of rows) await admin(pair.a, `KILL ${Number(row['id'])}`);
    expect(await act(a, { do: 'start-replication' })).toMatchObject({ kind: 'done' });
  });

  test('blocking where no account matches is done at once, and leaves nothing behind', async () => {
    const host = a.host;
    const access = { ...MMM, database: '', charset: 'utf8', connectTimeoutMs: 2_000 };
    const server = openServer({ host, access, excludeUsers: [], block: { user: /^nobody$/, host: /./ } });
    const result = await server.apply({ do: 'block', host });
    expect(result).toEqual({ kind: 'done', did: 'blocked 0 accounts, killed no session' });
    expect((await factsOf(server)).accounts).toEqual({ open: 0, blocked: 0 });
    expect(await admin(pair.a, `SHOW DATABASES LIKE 'mmm'`)).toEqual([]);
    await server.close();
  });
});

import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { APP, ask, MMM } from '../../src/sandbox/accounts.ts';
import { type Mysqld, startMysqld } from '../../src/sandbox/mysqld.ts';

describe.each(['mariadb', 'mysql56'] as const)('a %s of the sandbox', (kind) => {
  let folder = '';
  let server: Mysqld;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mmm-test-'));
    server = await startMysqld({ kind, dir: join(folder, 'a'), serverId: 1, extra: ['max_connections=77'] });
  });

  afterAll(async () => {
    await server.kill();
    await rm(folder, { recursive: true, force: true });
  });

  const one = async (sql: string) => (await ask({ port: server.port, sql }))[0];

  test('comes up read only, with the settings of a host of a pair and no transaction of its own', async () => {
    expect(
      await one('SELECT @@read_only ro, @@log_bin lb, @@server_id id, @@event_scheduler ev, @@max_connections mc'),
    ).toMatchObject({ ro: 1, lb: 1, id: 1, ev: 'ON', mc: 77 });
    const gtids = kind === 'mariadb' ? '@@gtid_binlog_pos' : '@@gtid_executed';
    expect(await one(`SELECT ${gtids} AS gtids`)).toEqual({ gtids: '' });
  });

  test('refuses writes of an application while it is read only', async () => {
    const write = ask({ port: server.port, sql: 'INSERT INTO app.writes (id) VALUES (1)', account: APP });
    await expect(write).rejects.toMatchObject({ errno: 1290 });
  });

  test('lets the account of the daemons open and close it and look at replication', async () => {
    for (const sql of ['SET GLOBAL read_only=0', 'SHOW SLAVE STATUS', 'SHOW PROCESSLIST', 'SET GLOBAL read_only=1']) {
      await ask({ port: server.port, sql, account: MMM });
    }
    expect(await one('SELECT @@read_only ro')).toEqual({ ro: 1 });
  });

  test('answers nobody while it is frozen, and again when it is thawed', async () => {
    server.freeze();
    await expect(ask({ port: server.port, sql: 'SELECT 1', timeoutMs: 300 })).rejects.toMatchObject({
      code: 'ETIMEDOUT',
    });
    server.thaw();
    expect(await one('SELECT 1 AS one')).toEqual({ one: 1 });
  });

  test('keeps its port and its rows over a kill and a restart', async () => {
    await ask({ port: server.port, sql: 'INSERT INTO app.writes (id) VALUES (7)' });
    const before = { pid: server.pid, port: server.port };
    await server.kill();
    expect(server.running).toBe(false);
    await expect(one('SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await server.restart();
    expect(server.port).toBe(before.port);
    expect(server.pid).not.toBe(before.pid);
    expect(await one('SELECT id, @@read_only ro FROM app.writes')).toEqual({ id: 7, ro: 1 });
  });

  test('can be killed while it is frozen', async () => {
    server.freeze();
    await server.kill();
    expect(server.running).toBe(false);
    await server.restart();
  });

  test('says with the errors of its own log why it did not start', async () => {
    const start = startMysqld({ kind, dir: join(folder, 'bad'), serverId: 2, extra: ['no_such_setting=1'] });
    await expect(start).rejects.toThrow(/ended at its start:.*no_such_setting/s);
  });

  test('is not mistaken for another server that has its port', async () => {
    const start = startMysqld({ kind, dir: join(folder, 'late'), serverId: 3, port: server.port });
    await expect(start).rejects.toThrow(/ended at its start:.*Address already in use/s);
  });

  test('is made from one template, also when two are started at once and there is none', async () => {
    const cacheDir = join(folder, 'cache');
    const servers = await Promise.all(
      [11, 12].map((serverId) => startMysqld({ kind, dir: join(folder, `s${serverId}`), serverId, cacheDir })),
    );
    expect(await readdir(cacheDir)).toHaveLength(1);
    const uuids = await Promise.all(
      servers.map(({ port }) =>
        ask({ port, sql: "SHOW VARIABLES WHERE Variable_name IN ('server_uuid', 'server_id')" }),
      ),
    );
    expect(uuids[0]).not.toEqual(uuids[1]);
    for (const { kill } of servers) await kill();
  });
});

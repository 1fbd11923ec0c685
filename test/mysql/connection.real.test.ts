// The warm connection and the evidence of its probes, on real servers in every state that a test can bring about.

import { connect, createServer, type Socket } from 'node:net';
import { createConnection } from 'mysql2/promise';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import type { MysqlAccess } from '../../src/core/config.ts';
import type { Evidence, Facts } from '../../src/core/observation.ts';
import { parseHost } from '../../src/core/pair.ts';
import { openServer } from '../../src/mysql/connection.ts';
import type { Server } from '../../src/mysql/server.ts';
import { ADMIN, APP, MMM } from '../../src/sandbox/accounts.ts';
import type { Mysqld } from '../../src/sandbox/mysqld.ts';
import { frozen } from '../support/frozen.ts';
import { aPair, type TestPair } from '../support/pair.ts';

const CONNECT_TIMEOUT_MS = 400;

function factsOf(evidence: Evidence): Facts {
  if (evidence.kind !== 'answered') throw new Error(`no facts: ${JSON.stringify(evidence)}`);
  return evidence.facts;
}

/** Passes everything on, what the server says after a delay. */
async function slowRoadTo(port: number, delayMs: number): Promise<{ port: number; close(): Promise<void> }> {
  const sockets: Socket[] = [];
  const listener = createServer((client) => {
    const server = connect({ host: '127.0.0.1', port, noDelay: true });
    sockets.push(client, server);
    for (const socket of [client, server]) socket.on('error', () => undefined);
    client.pipe(server);
    server.on('data', (bytes) => setTimeout(() => client.write(bytes), delayMs));
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const address = listener.address();
  if (address === null || typeof address === 'string') throw new Error('not listening on a port');
  return {
    port: address.port,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        listener.close(() => resolve());
      }),
  };
}

describe.each(['mariadb', 'mysql56'] as const)('%s', (kind) => {
  let pair: TestPair;
  const servers: Server[] = [];

  beforeAll(async () => {
    pair = await aPair({ kind });
  });
  afterEach(async () => {
    for (const server of servers.splice(0)) await server.close();
  });
  afterAll(() => pair.close());

  function serverFor(mysqld: Mysqld, access: Partial<MysqlAccess> = {}, excludeUsers: readonly string[] = []): Server {
    const host = parseHost(mysqld.host);
    if (host === undefined) throw new Error(`no host: ${mysqld.host}`);
    const base = { ...MMM, database: 'information_schema', charset: 'utf8', connectTimeoutMs: CONNECT_TIMEOUT_MS };
    const server = openServer({ host, access: { ...base, ...access }, excludeUsers, block: null });
    servers.push(server);
    return server;
  }

  test('a probe tells the facts of the host', async () => {
    const facts = factsOf(await serverFor(pair.a).probe());
    expect(facts).toMatchObject({
      flavour: kind === 'mariadb' ? 'mariadb' : 'mysql',
      serverId: 1,
      readOnly: true,
      accounts: null,
      replication: {
        source: pair.b.host,
        sourceServerId: 2,
        io: 'Yes',
        sql: 'Yes',
        delaySec: 0,
        purgesOnStart: kind === 'mariadb',
      },
    });
    expect(facts.version).toMatch(kind === 'mariadb' ? /MariaDB/ : /^5\.6/);
    expect(facts.boot.uuid).not.toBe('');
    expect(facts.binlog?.file).toMatch(/^binlog\.\d+$/);
    expect(facts.gtid).not.toBeNull();
    expect(Math.abs(facts.serverTime - Date.now() / 1000)).toBeLessThan(5);
    const [row] = await pair.admin(pair.a, 'SELECT UNIX_TIMESTAMP() AS now');
    expect(facts.boot.startedSec).toBeLessThanOrEqual(Number(row?.['now']));
  });

  test('a life of a server is told apart from the next one, and looks the same to everybody', async () => {
    const first = factsOf(await serverFor(pair.b).probe()).boot;
    expect(factsOf(await serverFor(pair.b).probe()).boot).toEqual(first);
    expect(factsOf(await serverFor(pair.a).probe()).boot.uuid).not.toBe(first.uuid);
    // Two seconds are the grain of the start time.
    await vi.waitUntil(() => Date.now() / 1000 - first.startedSec > 3, { timeout: 5_000 });
    await pair.b.kill();
    await pair.b.restart();
    const second = factsOf(await serverFor(pair.b).probe()).boot;
    expect(second.uuid).toBe(first.uuid);
    expect(second.startedSec).toBeGreaterThan(first.startedSec);
  });

  test('application connections are those with a database of their own and a user that is not excluded', async () => {
    const client = await pair.appClient(pair.a);
    const homeless = await createConnection({ host: '127.0.0.1', port: pair.a.port, ...APP });
    const counting = serverFor(pair.a);
    const excluding = serverFor(pair.a, {}, ['root', APP.user]);
    expect(factsOf(await counting.probe()).connections).toBe(1);
    expect(factsOf(await excluding.probe()).connections).toBe(0);
    await client.query('USE information_schema');
    expect(factsOf(await counting.probe()).connections).toBe(0);
    client.destroy();
    homeless.destroy();
  });

  test('one connection is opened and kept', async () => {
    const server = serverFor(pair.a);
    for (let look = 0; look < 3; look++) await server.probe();
    expect(await sessionsOf(MMM.user)).toBe(1);
    await server.close();
    await vi.waitUntil(async () => (await sessionsOf(MMM.user)) === 0, { timeout: 5_000 });
  });

  test('a session that was killed is opened again within the same probe, and the break is told', async () => {
    const server = serverFor(pair.a);
    const broken = vi.fn();
    server.onBroken(broken);
    await server.probe();
    await killSessionsOf(MMM.user);
    await vi.waitUntil(() => broken.mock.calls.length === 1, { timeout: 5_000 });
    expect(server.connectionBroke).toBe(true);
    expect((await server.probe()).kind).toBe('answered');
    expect(server.connectionBroke).toBe(false);
    expect(broken).toHaveBeenCalledTimes(1);
  });

  test('a wrong password is refused authentication and stays out of the message', async () => {
    const failure = await serverFor(pair.a, { password: 'wrong-and-secret' }).probe();
    expect(failure).toMatchObject({ kind: 'auth-refused', code: '1045' });
    expect(JSON.stringify(failure)).not.toContain('wrong-and-secret');
  });

  test('a charset that the driver does not know does not matter', async () => {
    expect((await serverFor(pair.a, { charset: 'klingon' }).probe()).kind).toBe('answered');
  });

  test('too many connections: saturated for a new connection, answered on a warm one', async () => {
    const warm = serverFor(pair.a);
    await warm.probe();
    await pair.admin(pair.a, 'SET GLOBAL max_connections = 10');
    // The place that the server keeps for one admin is taken as well.
    const admin = await createConnection({ host: '127.0.0.1', port: pair.a.port, ...ADMIN });
    try {
      await vi.waitUntil(async () => (await refusedAt(pair.a)) === 1040, { timeout: 10_000 });
      await vi.waitUntil(async () => (await adminRefusedAt(pair.a)) === 1040, { timeout: 10_000 });
      expect(await serverFor(pair.a).probe()).toMatchObject({ kind: 'saturated', code: '1040' });
      expect((await warm.probe()).kind).toBe('answered');
    } finally {
      await admin.query('SET GLOBAL max_connections = 100');
      admin.destroy();
      for (const client of extra.splice(0)) client.destroy();
    }
  });

  test('a manager that was starved itself looks again before it says silent', async () => {
    const server = serverFor(pair.a);
    await server.probe();
    await frozen(pair.a);
    const look = server.probe();
    await new Promise((resolve) => setImmediate(resolve));
    // The host answers meanwhile, and this process does not get to hear it before its own timer.
    pair.a.thaw();
    const until = performance.now() + CONNECT_TIMEOUT_MS + 700;
    while (performance.now() < until);
    expect((await look).kind).toBe('answered');
  });

  test('a host that is far away answers, though all its answers together take longer than the connect timeout', async () => {
    const detour = await slowRoadTo(pair.a.port, 50);
    try {
      const server = serverFor({ ...pair.a, host: `127.0.0.1:${detour.port}` });
      const started = performance.now();
      expect((await server.probe()).kind).toBe('answered');
      expect(performance.now() - started).toBeGreaterThan(CONNECT_TIMEOUT_MS);
    } finally {
      await detour.close();
    }
  });

  test('a frozen host is silent within the connect timeout, and answers when it is woken', async () => {
    const server = serverFor(pair.a);
    await server.probe();
    await frozen(pair.a);
    try {
      for (let look = 0; look < 2; look++) {
        const started = performance.now();
        expect((await server.probe()).kind).toBe('silent');
        expect(performance.now() - started).toBeLessThan(CONNECT_TIMEOUT_MS + 250);
      }
      expect(server.connectionBroke).toBe(false);
    } finally {
      pair.a.thaw();
    }
    expect((await server.probe()).kind).toBe('answered');
    // The connection that had been given up is gone as well.
    await vi.waitUntil(async () => (await sessionsOf(MMM.user)) === 1, { timeout: 5_000 });
  });

  test('a frozen host says no word, and the connection that was asked for one can be asked on when it is woken', async () => {
    const server = serverFor(pair.a);
    expect(await server.pulse(50)).toBe(true);
    expect(await sessionsOf(MMM.user)).toBe(0);
    await server.probe();
    expect(await server.pulse(1_000)).toBe(true);
    await frozen(pair.a);
    try {
      const started = performance.now();
      expect(await server.pulse(100)).toBe(false);
      expect(performance.now() - started).toBeLessThan(350);
      // A look has its own whole time, and nobody asks for a word meanwhile.
      const look = server.probe();
      expect(await server.pulse(50)).toBe(true);
      expect((await look).kind).toBe('silent');
      expect(performance.now() - started).toBeGreaterThanOrEqual(100 + CONNECT_TIMEOUT_MS - 10);
    } finally {
      pair.a.thaw();
    }
    expect((await server.probe()).kind).toBe('answered');
    await vi.waitUntil(async () => (await sessionsOf(MMM.user)) === 1, { timeout: 5_000 });
    const sessions = await idsOf(MMM.user);
    await frozen(pair.a);
    expect(await server.pulse(50)).toBe(false);
    pair.a.thaw();
    expect((await server.probe()).kind).toBe('answered');
    expect(await idsOf(MMM.user)).toEqual(sessions);
  });

  test('a killed host breaks the connection at once and is refused, until it is back', async () => {
    const server = serverFor(pair.a);
    const broken = vi.fn();
    server.onBroken(() => broken(performance.now()));
    await server.probe();
    const killed = performance.now();
    const dead = pair.a.kill();
    await vi.waitUntil(() => broken.mock.calls.length > 0, { timeout: 5_000, interval: 1 });
    expect((await server.probe()).kind).toBe('refused');
    expect(broken.mock.calls[0]?.[0] - killed).toBeLessThan(500);
    expect(server.connectionBroke).toBe(true);
    await dead;
    await pair.a.restart();
    expect((await server.probe()).kind).toBe('answered');
    expect(server.connectionBroke).toBe(false);
    expect(broken).toHaveBeenCalledTimes(1);
  });

  test('a frozen host that is then killed breaks the connection that had fallen silent', async () => {
    const server = serverFor(pair.a);
    const broken = vi.fn();
    server.onBroken(broken);
    await server.probe();
    await frozen(pair.a);
    expect((await server.probe()).kind).toBe('silent');
    expect(server.connectionBroke).toBe(false);
    await pair.a.kill();
    await vi.waitUntil(() => broken.mock.calls.length === 1, { timeout: 5_000 });
    expect((await server.probe()).kind).toBe('refused');
    expect(server.connectionBroke).toBe(true);
    await pair.a.restart();
  });

  test('a host that dies while it is asked is refused by that very probe, and the break is told', async () => {
    const server = serverFor(pair.a, { connectTimeoutMs: 3_000 });
    const broken = vi.fn();
    server.onBroken(broken);
    await server.probe();
    await frozen(pair.a);
    const look = server.probe();
    await new Promise((resolve) => setImmediate(resolve));
    const dead = pair.a.kill();
    expect((await look).kind).toBe('refused');
    expect(server.connectionBroke).toBe(true);
    expect(broken).toHaveBeenCalledTimes(1);
    await dead;
    await pair.a.restart();
  });

  const extra: { destroy(): void }[] = [];

  /** Opens one more application connection; the error number when there is no room. */
  async function refusedAt(mysqld: Mysqld): Promise<number | null> {
    return await pair.appClient(mysqld).then(
      (client) => {
        extra.push(client);
        return null;
      },
      (error: { errno?: number }) => error.errno ?? null,
    );
  }

  async function adminRefusedAt(mysqld: Mysqld): Promise<number | null> {
    return await createConnection({ host: '127.0.0.1', port: mysqld.port, ...ADMIN }).then(
      (client) => {
        extra.push(client);
        return null;
      },
      (error: { errno?: number }) => error.errno ?? null,
    );
  }

  async function sessionsOf(user: string): Promise<number> {
    return (await idsOf(user)).length;
  }

  async function idsOf(user: string): Promise<readonly number[]> {
    const rows = await pair.admin(pair.a, `SELECT ID AS id FROM information_schema.PROCESSLIST WHERE USER = '${user}'`);
    return rows.map((row) => Number(row['id']));
  }

  async function killSessionsOf(user: string): Promise<void> {
    for (const id of await idsOf(user)) await pair.admin(pair.a, `KILL ${id}`);
  }
});

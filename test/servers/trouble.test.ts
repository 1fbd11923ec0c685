// What goes wrong around a failover, on real servers: broken replication, a full relay log, lost messages, Redis away or emptied,
// and the two ways in which a living host looks dead.

import { Redis } from 'ioredis';
import { type Connection, createConnection } from 'mysql2/promise';
import { afterEach, describe, expect, it } from 'vitest';
import { MMM, type Row } from '../../src/sandbox/accounts.ts';
import { aRig, type Rig, UNIQSIGN } from '../support/rig.ts';
import { until } from '../support/until.ts';

let rig: Rig;
afterEach(async () => {
  await rig.close();
});

const key = (name: string) => `mysql-${UNIQSIGN}-${name}`;

async function withRedis<T>(act: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis({ host: '127.0.0.1', port: rig.redis.port });
  redis.on('error', () => undefined);
  try {
    return await act(redis);
  } finally {
    redis.disconnect();
  }
}

const hash = (name: string) => withRedis((redis) => redis.hgetall(key(name)));

/** Rows 1..count, many to a statement. */
function inserts(from: number, count: number): string {
  const values = Array.from({ length: count }, (_, index) => `(${from + index})`);
  return `INSERT INTO app.writes (id) VALUES ${values.join(',')}`;
}

async function count(server: { port: number }): Promise<number> {
  const [row] = await rig.admin(server as Rig['a'], 'SELECT COUNT(*) AS n FROM app.writes');
  return Number(row?.['n']);
}

async function startedAndReplicating(options: Parameters<typeof aRig>[0] = {}): Promise<void> {
  rig = await aRig(options);
  await rig.writable(rig.a);
  await rig.replicating();
}

/** A long enough time for a wrong failover: detection takes two rounds of a second. */
async function nothingChangesFor(ms: number): Promise<void> {
  const before = await hash('epoch');
  const fromMs = performance.now();
  await until('the time is over', () => performance.now() - fromMs > ms, ms + 5_000);
  expect(await hash('epoch')).toEqual(before);
  expect(rig.watch.stateOf(rig.b.port)).toBe('read-only');
}

describe.each(['mariadb', 'mysql56'] as const)('a passive of %s with a full relay log', (kind) => {
  it('applies every transaction that it had received before it takes its first write', async () => {
    await startedAndReplicating({ kind });
    await rig.admin(rig.b, 'STOP SLAVE SQL_THREAD');
    for (let id = 1; id <= 5_000; id += 10) await rig.admin(rig.a, inserts(id, 10));
    const [{ File: file, Position: pos } = {}] = await rig.admin(rig.a, 'SHOW MASTER STATUS');
    await until('the passive has received all of it', async () => {
      const [status] = await rig.admin(rig.b, 'SHOW SLAVE STATUS');
      return status?.['Master_Log_File'] === file && status?.['Read_Master_Log_Pos'] === pos;
    });
    expect(await count(rig.b)).toBe(0);
    const seen: number[] = [];
    const watching = new AbortController();
    // Looks at the rows whenever the host has just been found writable: there must never be fewer than all.
    const watcher = (async () => {
      while (!watching.signal.aborted) {
        if (rig.watch.stateOf(rig.b.port) === 'writable') seen.push(await count(rig.b));
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    })();
    await rig.a.kill();
    await rig.writable(rig.b);
    await until('the rows were counted', () => seen.length > 0);
    watching.abort();
    await watcher;
    expect(new Set(seen)).toEqual(new Set([5_000]));
    expect(rig.watch.bothWritableMs).toBe(0);
  });
});

describe('broken replication', () => {
  /** The passive's SQL thread has stopped at a conflict, with acknowledged rows behind it. */
  async function aConflict(): Promise<void> {
    await rig.admin(rig.b, 'SET sql_log_bin=0; ').catch(() => undefined);
    const conflict = await createConnection({
      host: '127.0.0.1',
      port: rig.b.port,
      user: 'root',
      password: 'sandbox-root',
    });
    await conflict.query('SET sql_log_bin=0');
    await conflict.query(inserts(7, 1));
    conflict.destroy();
    await rig.admin(rig.a, inserts(7, 1));
    await rig.admin(rig.a, inserts(8, 1));
    await until('the SQL thread has stopped', async () => {
      const [status] = await rig.admin(rig.b, 'SHOW SLAVE STATUS');
      return status?.['Slave_SQL_Running'] === 'No' && Number(status['Last_SQL_Errno']) === 1062;
    });
  }

  it('keeps the passive closed when the active dies, and says why', async () => {
    await startedAndReplicating();
    await aConflict();
    await rig.a.kill();
    await until('the decision is made', async () => (await hash('mode'))['active'] === rig.b.host);
    await until('the agents say why they hold', async () => (await hash('report'))['outcome'] === 'held');
    const report = await hash('report');
    expect(report['why']).toContain('1062');
    expect(report['why']).toContain('drain_timeout is not set');
    expect(rig.watch.stateOf(rig.b.port)).toBe('read-only');
  });

  it('opens it after drain_timeout, when one is set, and reports what was skipped', async () => {
    await startedAndReplicating({ pair: { drain_timeout: '2' }, skips: true });
    await aConflict();
    await rig.a.kill();
    await rig.writable(rig.b);
    await until('the report is written', async () => (await hash('report'))['outcome'] === 'opened');
    const agent = await rig.lines('agent');
    expect(agent.some(({ message }) => message.includes('SKIPPED'))).toBe(true);
  });

  it('is no reason to take the role from a healthy active', async () => {
    await startedAndReplicating();
    await aConflict();
    await nothingChangesFor(5_000);
    expect(rig.watch.stateOf(rig.a.port)).toBe('writable');
  });
});

describe('a lost message', () => {
  it('does no harm: an agent that was away when it was sent does what is wanted when it comes', async () => {
    await startedAndReplicating();
    await rig.daemon('agent').program.kill();
    await rig.a.kill();
    await until('the decision is made', async () => (await hash('mode'))['active'] === rig.b.host);
    expect(rig.watch.stateOf(rig.b.port)).toBe('read-only');
    await rig.start('agent', 'agent-2');
    await rig.writable(rig.b);
  });
});

describe('Redis', () => {
  it('may be emptied: nothing changes on the servers, and the board is written anew', async () => {
    await startedAndReplicating();
    // The role is at the secondary, so that a naive election would move it.
    await rig.a.kill();
    await rig.writable(rig.b);
    rig.client([rig.b.host]);
    await rig.a.restart();
    await rig.readOnly(rig.a);
    await rig.replicating();
    const before = Number((await hash('epoch'))['number']);
    await withRedis((redis) => redis.flushall());
    await until('the board is written anew', async () => (await hash('mode'))['active'] === rig.b.host);
    expect(Number((await hash('epoch'))['number'])).toBeGreaterThan(before);
    const fromMs = performance.now();
    await until('five seconds are over', () => performance.now() - fromMs > 5_000);
    expect(rig.watch.stateOf(rig.b.port)).toBe('writable');
    expect(rig.watch.stateOf(rig.a.port)).toBe('read-only');
    expect(await withRedis((redis) => redis.smembers(key('members')))).toHaveLength(2);
  });

  it('may be away for a minute: clients go on writing, one line tells of it, and all is well afterwards', async () => {
    await startedAndReplicating();
    const { register } = rig.client();
    await until('the client writes', () => register.size > 10);
    const beganMs = performance.now();
    await rig.redis.kill();
    await until('a minute is over', () => performance.now() - beganMs > 60_000, 65_000);
    expect(register.longestGap(beganMs).lengthMs).toBeLessThan(1_000);
    expect(rig.watch.stateOf(rig.b.port)).toBe('read-only');
    await rig.redis.restart();
    await until('the board is written anew', async () => (await hash('mode'))['active'] === rig.a.host);
    for (const role of ['monitor', 'identify', 'agent'] as const) {
      const away = (await rig.lines(role)).filter(({ level }) => level === 'error');
      expect(away.map(({ message }) => message).join('\n'), role).toContain('Redis');
      expect(away.length, role).toBeLessThanOrEqual(3);
    }
    await rig.a.kill();
    await rig.writable(rig.b);
    expect(rig.watch.bothWritableMs).toBe(0);
  });
});

describe('a living host that cannot be read', () => {
  it('is not failed over when it has too many connections', async () => {
    await startedAndReplicating();
    const clients: Connection[] = [];
    try {
      await rig.admin(rig.a, 'SET GLOBAL max_connections = 20');
      for (let full = false; !full && clients.length < 40; ) {
        try {
          const account = { user: 'app', password: 'sandbox-app', database: 'app' };
          const client = await createConnection({ host: '127.0.0.1', port: rig.a.port, ...account });
          client.on('error', () => undefined);
          clients.push(client);
        } catch {
          full = true;
        }
      }
      await loseConnectionsOfMmm(clients);
      await until(
        'the monitor finds it saturated',
        async () => (await hash(`${rig.a.host}-check`))['evidence'] === 'saturated',
      );
      expect((await hash(`${rig.a.host}-check`))['ping']).toBe('1');
      await nothingChangesFor(5_000);
    } finally {
      for (const client of clients) client.destroy();
    }
  });

  it('is not failed over when it refuses our password', async () => {
    await startedAndReplicating();
    const statements = ['SET sql_log_bin=0', `SET PASSWORD FOR '${MMM.user}'@'127.0.0.1' = PASSWORD('another')`];
    const root = await createConnection({
      host: '127.0.0.1',
      port: rig.a.port,
      user: 'root',
      password: 'sandbox-root',
    });
    for (const sql of statements) await root.query(sql);
    await killSessionsOfMmm(root);
    root.destroy();
    await until(
      'the monitor is refused',
      async () => (await hash(`${rig.a.host}-check`))['evidence'] === 'auth-refused',
    );
    await nothingChangesFor(5_000);
    expect(rig.watch.stateOf(rig.a.port)).toBe('writable');
  });

  /** Root has one connection more than max_connections; a client takes each place that the kill frees. */
  async function loseConnectionsOfMmm(clients: Connection[]): Promise<void> {
    const root = await createConnection({
      host: '127.0.0.1',
      port: rig.a.port,
      user: 'root',
      password: 'sandbox-root',
    });
    root.on('error', () => undefined);
    clients.push(root);
    const filling = new AbortController();
    const fillers = Array.from({ length: 4 }, async () => {
      while (!filling.signal.aborted) {
        try {
          const account = { user: 'app', password: 'sandbox-app', database: 'app' };
          const client = await createConnection({ host: '127.0.0.1', port: rig.a.port, ...account });
          client.on('error', () => undefined);
          clients.push(client);
        } catch {
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
      }
    });
    // Until it has found no room for longer than it waits between two tries: on a busy machine it is now and then faster than the fillers.
    const fromMs = performance.now();
    for (let lastMs = fromMs; performance.now() - lastMs < 2_500 && performance.now() - fromMs < 30_000; ) {
      if ((await killSessionsOfMmm(root)) > 0) lastMs = performance.now();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    filling.abort();
    await Promise.all(fillers);
  }

  /** How many there were. */
  async function killSessionsOfMmm(root: Connection): Promise<number> {
    const [rows] = await root.query('SHOW PROCESSLIST');
    // The rows of SHOW PROCESSLIST; mysql2 types every kind of result alike.
    const ours = (rows as Row[]).filter(({ User }) => User === MMM.user);
    for (const { Id } of ours) await root.query(`KILL ${Id}`).catch(() => undefined);
    return ours.length;
  }
});

// Semi-synchronous replication under the comparing calls, on two real servers: when commits wait, what lets them go, and that nothing which
// fences a host tells a client OK whose commit nobody else has [F1, F7, F12, F18].

import { connect, createServer, type Socket } from 'node:net';
import { type Connection, createConnection } from 'mysql2/promise';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Called } from '../../src/core/call.ts';
import type { Facts, SemiSync } from '../../src/core/observation.ts';
import type { Fence } from '../../src/mysql/fence.ts';
import type { Server } from '../../src/mysql/server.ts';
import { ADMIN, APP, APP_DATABASE, MMM } from '../../src/sandbox/accounts.ts';
import type { Mysqld } from '../../src/sandbox/mysqld.ts';
import { armed, done, epoch, fenceFor, opened, opening, rowOf, serverFor } from '../support/fence.ts';
import { aPair, type TestPair } from '../support/pair.ts';
import { until } from '../support/until.ts';

const BLANK = `UPDATE mmm.host SET epoch_number = 0, epoch_id = '', epoch_active = '', opened_number = NULL, opened_id = NULL,
  opened_boot = NULL, endless = 0, expires_at_ms = NULL, unfenced = 1, generation = 0`;
const CLIENTS = 6;

interface Host {
  readonly mysqld: Mysqld;
  readonly fence: Fence;
  readonly server: Server;
  admin(sql: string): ReturnType<TestPair['admin']>;
  /** What the other server must not hear of. */
  quiet: Connection;
}

let pair: TestPair;
/** A is opened, B replicates from it, and the other way round. */
let a: Host;
let b: Host;
let nextId = 0;
const clients: Connection[] = [];

beforeAll(async () => {
  pair = await aPair({ kind: 'mariadb' });
  [a, b] = [await hostOn(pair.a), await hostOn(pair.b)];
  await Promise.all([a, b].map(({ fence }) => armed(fence)));
});
afterAll(async () => {
  for (const { fence, server, quiet } of [a, b]) {
    await fence.close();
    await server.close();
    quiet.destroy();
  }
  await pair.close();
});
beforeEach(async () => {
  for (const { admin, quiet } of [a, b]) {
    await admin('SET GLOBAL read_only = 1');
    await quiet.query(BLANK);
    // From a standstill its own start makes it a replica that does not acknowledge.
    await admin('SET GLOBAL rpl_semi_sync_slave_enabled = 0');
    await admin('STOP SLAVE');
    await admin('START SLAVE');
  }
  for (const host of [a, b]) await until('it replicates', async () => (await facts(host)).replication?.io === 'Yes');
});
afterEach(async () => {
  b.mysqld.thaw();
  // Whoever still waits is let go.
  for (const { admin } of [a, b]) await admin('SET GLOBAL rpl_semi_sync_master_enabled = 0');
  for (const one of clients.splice(0)) one.destroy();
  await until('they are gone', async () => (await sessions()).length === 0);
});

async function quietOn(mysqld: Mysqld): Promise<Connection> {
  const quiet = await createConnection({ host: '127.0.0.1', port: mysqld.port, ...ADMIN });
  quiet.on('error', () => undefined);
  await quiet.query('SET SESSION sql_log_bin = 0');
  return quiet;
}

async function hostOn(mysqld: Mysqld): Promise<Host> {
  return {
    mysqld,
    fence: fenceFor(mysqld),
    server: serverFor(mysqld),
    admin: (sql) => pair.admin(mysqld, sql),
    quiet: await quietOn(mysqld),
  };
}

function sessions() {
  return a.admin(
    "SELECT ID AS id, COMMAND AS command, STATE AS state FROM information_schema.PROCESSLIST WHERE USER = 'app'",
  );
}

async function facts({ server }: Host): Promise<Facts> {
  const evidence = await server.probe({ row: true });
  if (evidence.kind !== 'answered') throw new Error(`not answered: ${JSON.stringify(evidence)}`);
  return evidence.facts;
}

async function semiSync(host: Host): Promise<SemiSync> {
  const { semiSync: shown } = await facts(host);
  if (shown === null) throw new Error('it has none');
  return shown;
}

function openedLossless(leaseMs = 60_000) {
  return opened(a.fence, epoch(1), { lossless: true, leaseMs });
}

function sync(generation: number, on: boolean): Promise<Called> {
  return a.fence.call({ do: 'sync', epoch: epoch(1), generation, on });
}

function acknowledge(on: boolean): Promise<Called> {
  return b.fence.call({ do: 'acknowledge', epoch: epoch(1), on });
}

async function restartIo(): Promise<void> {
  await done(b.fence.call({ do: 'stop-io', epoch: epoch(1) }));
  await done(b.fence.call({ do: 'start-io', epoch: epoch(1), fromStandstill: false }));
}

/** B's replication, after it was stopped. */
async function replicateFrom(port: number): Promise<void> {
  await b.admin('STOP SLAVE');
  await b.admin(`CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = ${port}`);
  await b.admin('START SLAVE');
}

/** A way to this server on which nothing comes back any more after a replica has acknowledged once. */
async function aLineOfOneAcknowledgement({ port }: Mysqld): Promise<{ port: number; close(): void }> {
  let isOver = false;
  const sockets: Socket[] = [];
  const listener = createServer((replica) => {
    const source = connect(port, '127.0.0.1');
    sockets.push(replica, source);
    for (const socket of [replica, source]) socket.on('error', () => undefined);
    replica.on('data', (data) => {
      // Behind the four bytes of any packet an acknowledgement begins with this one; no command does.
      if (data[4] === 0xef) isOver = true;
      source.write(data);
    });
    source.on('data', (data) => {
      if (!isOver) replica.write(data);
    });
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const address = listener.address();
  if (address === null || typeof address === 'string') throw new Error('not listening on a port');
  return {
    port: address.port,
    close: () => {
      for (const socket of sockets) socket.destroy();
      listener.close();
    },
  };
}

interface Writer {
  readonly id: number;
  readonly session: unknown;
  told: 'nothing' | 'OK' | 'error';
}

/** Each writes one row, all of them before the first one hears of its own: one waits for a replica, the others for that one. */
async function writers(count = CLIENTS): Promise<readonly Writer[]> {
  const all: Writer[] = [];
  for (let n = 0; n < count; n++) all.push(await writing((id) => `INSERT INTO writes (id) VALUES (${id})`));
  return all;
}

/** Until it waits, or was told. */
async function writing(sql: (id: number) => string): Promise<Writer> {
  const connection = await createConnection({
    host: '127.0.0.1',
    port: a.mysqld.port,
    ...APP,
    database: APP_DATABASE,
    multipleStatements: true,
  });
  connection.on('error', () => undefined);
  clients.push(connection);
  const writer: Writer = { id: ++nextId, session: connection.threadId, told: 'nothing' };
  connection.query(sql(writer.id)).then(
    () => {
      writer.told = 'OK';
    },
    () => {
      writer.told = 'error';
    },
  );
  await until('it waits, or was told', async () => writer.told !== 'nothing' || (await isCommitting(writer)));
  return writer;
}

async function isCommitting({ session }: Writer): Promise<boolean> {
  return (await sessions()).some(
    ({ id, command, state }) =>
      id === session &&
      command === 'Query' &&
      /^(?:$|Commit|Writing to binlog|Waiting for semi-sync)/.test(String(state)),
  );
}

function told(all: readonly Writer[]): string {
  const count = (what: Writer['told']) => all.filter((writer) => writer.told === what).length;
  return `OK ${count('OK')}, error ${count('error')}`;
}

async function allAreTold(): Promise<readonly Writer[]> {
  const all = await writers();
  await until('all are told', () => told(all) === `OK ${CLIENTS}, error 0`);
  return all;
}

/** How many of their rows others see there. */
async function seen({ admin }: Host, all: readonly Writer[]): Promise<number> {
  return (await admin(`SELECT id FROM app.writes WHERE id IN (${all.map(({ id }) => id).join(', ')})`)).length;
}

test('F7: a host that was opened lossless acknowledges nothing alone, until it is told to by nobody older than the last who told it something', async () => {
  await openedLossless();
  const waiting = await writers();
  expect(await semiSync(a)).toEqual({
    source: true,
    clients: 0,
    waiting: expect.any(Number),
    acknowledged: expect.any(Number),
    replica: false,
    replicaOn: false,
    wrong: null,
  });
  expect((await semiSync(a)).waiting).toBeGreaterThan(0);
  expect(await seen(a, waiting)).toBe(0);
  const { generation } = await done(sync(7, true));
  expect(generation).toBe(7);
  expect(await sync(6, false)).toMatchObject({ kind: 'not-done', why: 'stale', row: { generation: 7 } });
  expect(told(waiting)).toBe('OK 0, error 0');
  await done(sync(7, false));
  await until('they are let go', async () => told(waiting) === `OK ${CLIENTS}, error 0`);
  expect(await seen(a, waiting)).toBe(CLIENTS);
  await allAreTold();
  expect(await semiSync(a)).toMatchObject({ source: false, wrong: null });
});

test('while commits wait, whoever looks is answered in time, and claims and renewals are done', async () => {
  const { nowMs } = await openedLossless();
  const waiting = await writers();
  expect(await facts(a)).toMatchObject({ readOnly: false, binlog: { file: expect.stringMatching(/^binlog\./) } });
  const renewed = await done(a.fence.call({ do: 'renew', epoch: epoch(1), baseMs: nowMs, leaseMs: 70_000 }));
  expect(renewed.lease).toEqual({ kind: 'finite', expiresAtMs: nowMs + 70_000 });
  await done(a.fence.call({ do: 'claim', epoch: epoch(2), unfenced: null }));
  expect(told(waiting)).toBe('OK 0, error 0');
});

test('a replica acknowledges after its I/O thread started with it switched on, and until that starts without', async () => {
  await done(acknowledge(true));
  expect(await semiSync(b)).toMatchObject({ replica: true, replicaOn: false });
  // So long a stopping I/O thread waits for a source that is frozen; without an end if this were 0.
  expect(await b.admin('SELECT @@global.rpl_semi_sync_slave_kill_conn_timeout AS seconds')).toEqual([{ seconds: 1 }]);
  await restartIo();
  await until('it acknowledges', async () => (await semiSync(b)).replicaOn && (await semiSync(a)).clients === 1);
  await openedLossless();
  const { acknowledged } = await semiSync(a);
  const first = await allAreTold();
  expect((await semiSync(a)).acknowledged).toBe(acknowledged + CLIENTS);
  await until('B has them', async () => (await seen(b, first)) === CLIENTS);

  await done(acknowledge(false));
  expect(await semiSync(b)).toMatchObject({ replica: false, replicaOn: true });
  await allAreTold();
  await restartIo();
  await until('it does not', async () => !(await semiSync(b)).replicaOn && (await semiSync(a)).clients === 0);
  expect(told(await writers())).toBe('OK 0, error 0');
});

test('commits that a replica received before it acknowledged are let go by a sync alone', async () => {
  await openedLossless();
  const waiting = await writers();
  // Only what goes over the connection is acknowledged, and there is nothing left to send; what comes next waits behind these.
  await until('B has what is in the binary log', async () => (await seen(b, waiting)) === 2);
  await done(acknowledge(true));
  await restartIo();
  await until('it acknowledges', async () => (await semiSync(b)).replicaOn && (await semiSync(a)).clients === 1);
  // A second start helps no more than the first.
  await restartIo();
  expect(told(waiting)).toBe('OK 0, error 0');
  await done(sync(1, false));
  await until('they are let go', () => told(waiting) === `OK ${CLIENTS}, error 0`);
});

test('a host that is writable already is not switched by its opening', async () => {
  await opened(a.fence, epoch(1));
  await done(a.fence.call(opening(await rowOf(a.fence), epoch(1), { lossless: true })));
  expect(await semiSync(a)).toMatchObject({ source: false });
  await done(sync(1, true));
  await done(a.fence.call(opening(await rowOf(a.fence), epoch(1))));
  expect(await semiSync(a)).toMatchObject({ source: true });
});

test('an account that may not switch it on opens nothing', async () => {
  const account = `'${MMM.user}'@'127.0.0.1'`;
  await a.quiet.query(`REVOKE REPLICATION MASTER ADMIN, SUPER ON *.* FROM ${account}`);
  // A connection keeps the rights that it began with.
  const fence = fenceFor(a.mysqld);
  try {
    await done(fence.call({ do: 'stop-io', epoch: epoch(1) }));
    const called = await fence.call(opening(await rowOf(fence), epoch(1), { lossless: true }));
    expect(called).toMatchObject({ kind: 'server-error', code: '1227' });
    expect(JSON.stringify(called)).toMatch(/REPLICATION MASTER ADMIN/);
    expect(await rowOf(fence)).toMatchObject({ readOnly: true, opened: null });
  } finally {
    await a.quiet.query(`GRANT REPLICATION MASTER ADMIN, SUPER ON *.* TO ${account}`);
    await fence.close();
  }
});

test('F12: a closed host whose applier waits for an acknowledgement is let go on, an open one is not', async () => {
  await openedLossless();
  const sourceOff = () => a.fence.call({ do: 'source-off', epoch: epoch(1) });
  expect(await sourceOff()).toMatchObject({ kind: 'not-done', why: 'open' });
  await done(a.fence.call({ do: 'close', epoch: epoch(1), killClients: true, withinMs: 2_500 }));
  const rows = Array.from({ length: 3 }, () => ({ id: ++nextId, session: 0, told: 'nothing' as const }));
  for (const { id } of rows) await b.admin(`INSERT INTO app.writes (id) VALUES (${id})`);
  await done(a.fence.call({ do: 'start-io', epoch: epoch(1), fromStandstill: false }));
  await until('its applier waits', async () => (await semiSync(a)).waiting === 1);
  expect(await seen(a, rows)).toBe(0);
  await done(sourceOff());
  await until('all is applied', async () => (await seen(a, rows)) === rows.length);
});

test('commits that stopped waiting after a time, which somebody had set, are told of and wait again', async () => {
  await openedLossless();
  await a.admin('SET GLOBAL rpl_semi_sync_master_timeout = 50');
  expect((await semiSync(a)).wrong).toBe('rpl_semi_sync_master_timeout is 50: commits stop waiting after a time');
  const one = await writers(1);
  await until('it does not wait any more', async () => told(one) === 'OK 1, error 0');
  expect((await semiSync(a)).wrong).toMatch(/commits stopped waiting/);
  await done(sync(1, true));
  expect(await semiSync(a)).toMatchObject({ source: true, wrong: null });
  expect(told(await writers(2))).toBe('OK 0, error 0');
});

describe('F1: what fences a host whose commits wait tells no client OK', () => {
  test('ending the sessions of applications spares all that commit, whatever it is, and nobody else', async () => {
    await a.admin('CREATE TABLE IF NOT EXISTS app.dropped (id INT)');
    await openedLossless();
    const idle = await pair.appClient(a.mysqld);
    clients.push(idle);
    const waiting = [
      ...(await writers()),
      await writing(
        (id) =>
          `XA START 'x${id}'; INSERT INTO writes (id) VALUES (${id}); XA END 'x${id}'; XA PREPARE 'x${id}'; XA COMMIT 'x${id}'`,
      ),
      await writing((id) => `BEGIN; INSERT INTO writes (id) VALUES (${id}); COMMIT`),
      await writing((id) => `BEGIN; INSERT INTO writes (id) VALUES (${id}); CREATE TABLE created${id} (id INT)`),
      await writing((id) => `CREATE TABLE created${id} (id INT)`),
      await writing(() => 'DROP TABLE dropped'),
    ];
    const called = await a.fence.call({ do: 'kill', epoch: epoch(1) });
    expect(called).toMatchObject({ kind: 'done', did: 'killed 1 session of app' });
    await expect(idle.query('SELECT 1')).rejects.toThrow();
    expect(told(waiting)).toBe('OK 0, error 0');
    await done(sync(1, false));
    await until('they are let go', () => told(waiting) === `OK ${waiting.length}, error 0`);
  });

  test('whoever commits after others were ended waits for an acknowledgement of its own', async () => {
    const line = await aLineOfOneAcknowledgement(a.mysqld);
    await done(acknowledge(true));
    await b.admin('STOP SLAVE');
    await openedLossless();
    const waiting = await writers();
    await done(a.fence.call({ do: 'kill', epoch: epoch(1) }));
    const [late] = await writers(1);
    await replicateFrom(line.port);
    try {
      await until('the first one is told', () => waiting[0]?.told === 'OK');
      await until('the others had their turn', async () => (await semiSync(a)).waiting > 0 || late?.told === 'OK');
      expect(late?.told).toBe('nothing');
    } finally {
      line.close();
      await replicateFrom(a.mysqld.port);
    }
  });

  test('nobody is ended before it is closed, or something was in the way of that: anybody may begin to commit', async () => {
    await openedLossless();
    const idle = await pair.appClient(a.mysqld);
    clients.push(idle);
    const waiting = await writers(1);
    const close = a.fence.call({ do: 'close', epoch: epoch(2), killClients: true, withinMs: 1_000 });
    const closing = `SELECT 1 FROM information_schema.PROCESSLIST WHERE USER = '${MMM.user}' AND STATE = 'Waiting for backup lock'`;
    await until('it is about to be closed', async () => (await a.admin(closing)).length > 0);
    await idle.query('SELECT 1');
    expect(await close).toMatchObject({ why: 'locked', detail: expect.stringMatching(/^killed 1 session of app/) });
    await expect(idle.query('SELECT 1')).rejects.toThrow();
    expect(told(waiting)).toBe('OK 0, error 0');
  });

  describe('F18: closing a host whose commits nobody will acknowledge', () => {
    // Administrators' sessions are ended, too.
    afterEach(async () => {
      a.quiet = await quietOn(a.mysqld);
    });

    const closeEnding = () =>
      a.fence.call({ do: 'close', epoch: epoch(2), killClients: true, withinMs: 10_000, endsWaits: true });

    /** Clients that come back at once and write on, each in its own way, until `stop`. */
    function stubborn(count: number) {
      const ways = [
        (id: number) => [`INSERT INTO writes (id) VALUES (${id})`],
        (id: number) => ['BEGIN', `INSERT INTO writes (id) VALUES (${id})`, 'COMMIT'],
        (id: number) => [
          'SET autocommit = 0',
          `INSERT INTO writes (id) VALUES (${id})`,
          'SELECT SLEEP(0.01)',
          'COMMIT',
        ],
      ];
      const seenBy = { ok: 0, error: 0, isOver: false };
      const all = Array.from({ length: count }, async (_, n) => {
        while (!seenBy.isOver) {
          const one = await createConnection({ host: '127.0.0.1', port: a.mysqld.port, ...APP, database: APP_DATABASE })
            // There are too many.
            .catch(() => null);
          one?.on('error', () => undefined);
          try {
            while (!seenBy.isOver && one !== null) {
              for (const sql of ways[n % ways.length]?.(++nextId) ?? []) await one.query(sql);
              seenBy.ok++;
            }
          } catch {
            seenBy.error++;
          }
          one?.destroy();
        }
      });
      return {
        seenBy,
        stop: async () => {
          seenBy.isOver = true;
          await Promise.all(all);
        },
      };
    }

    test.each([1, 2, 3])('ends them, and tells nobody OK (%i)', async () => {
      await openedLossless();
      const others = stubborn(20);
      const root = await createConnection({ host: '127.0.0.1', port: a.mysqld.port, ...ADMIN, database: 'app' });
      root.on('error', () => undefined);
      clients.push(root);
      const administrator = root.query(`INSERT INTO writes (id) VALUES (${++nextId})`).catch(() => 'error');
      await until('many wait', async () => {
        const [row] = await a.admin("SELECT COUNT(*) AS n FROM information_schema.PROCESSLIST WHERE STATE = 'Commit'");
        return Number(row?.['n']) > 18;
      });
      expect(await closeEnding()).toMatchObject({
        kind: 'done',
        did: expect.stringMatching(/ended what waited for an acknowledgement \(sessions: \d+\)/),
        row: { readOnly: true, epoch: epoch(2) },
      });
      await others.stop();
      expect(others.seenBy.ok).toBe(0);
      expect(await administrator).toBe('error');
      // Still on, so that nothing is acknowledged alone should it be opened once more before it is drained.
      expect(await semiSync(a)).toMatchObject({ source: true, waiting: 0 });
    });

    test('ends them, too, when its own applier stands before them', async () => {
      await openedLossless();
      await a.admin('START SLAVE');
      await b.quiet.query('SET SESSION sql_log_bin = 1');
      await b.quiet.query(`INSERT INTO app.writes (id) VALUES (${++nextId})`);
      await b.quiet.query('SET SESSION sql_log_bin = 0');
      await until('its applier waits', async () => (await semiSync(a)).waiting === 1);
      const others = stubborn(6);
      await until('many wait', async () => (await sessions()).filter(({ state }) => state === 'Commit').length >= 5);
      expect(await closeEnding()).toMatchObject({ kind: 'done', row: { readOnly: true } });
      await others.stop();
      expect(others.seenBy.ok).toBe(0);
      expect((await facts(a)).replication).toMatchObject({ sql: 'Yes' });
    });

    test('ends nobody where no commit waits: behind another lock it gives up, and leaves nothing in the queue', async () => {
      await openedLossless();
      const root = await createConnection({ host: '127.0.0.1', port: a.mysqld.port, ...ADMIN });
      clients.push(root);
      root.query(`INSERT INTO app.writes (id) SELECT ${++nextId} + SLEEP(20)`).catch(() => undefined);
      const asleep = () => a.admin("SELECT 1 FROM information_schema.PROCESSLIST WHERE STATE = 'User sleep'");
      await until('it sleeps', async () => (await asleep()).length === 1);
      expect(await closeEnding()).toMatchObject({ kind: 'not-done', why: 'locked' });
      expect(await asleep()).toHaveLength(1);
      expect(await a.admin("SELECT IS_USED_LOCK('mmm') AS holder")).toEqual([{ holder: null }]);
      expect(
        await a.admin("SELECT 1 FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SET GLOBAL read_only = 1%'"),
      ).toEqual([]);
      await a.admin(`KILL ${root.threadId}`);
    });

    test('ends nothing where somebody else could commit a prepared transaction behind it', async () => {
      await openedLossless();
      await done(sync(1, false));
      const one = await pair.appClient(a.mysqld);
      await one.query("XA START 'held'");
      await one.query(`INSERT INTO writes (id) VALUES (${++nextId})`);
      await one.query("XA END 'held'");
      await one.query("XA PREPARE 'held'");
      one.destroy();
      await done(sync(1, true));
      const waiting = await writers();
      try {
        expect(await closeEnding()).toMatchObject({ why: 'locked', detail: expect.stringMatching(/1 prepared XA/) });
        expect(told(waiting)).toBe('OK 0, error 0');
      } finally {
        await done(sync(1, false)).catch(() => a.admin('SET GLOBAL rpl_semi_sync_master_enabled = 0'));
        await until('it is free', async () =>
          a.admin("XA ROLLBACK 'held'").then(
            () => true,
            () => false,
          ),
        );
      }
    });
  });

  test('closing gives up in time', async () => {
    await openedLossless();
    const waiting = await writers();
    const close = a.fence.call({ do: 'close', epoch: epoch(2), killClients: true, withinMs: 1_000 });
    expect(await close).toMatchObject({ kind: 'not-done', why: 'locked', row: { epoch: epoch(2), readOnly: false } });
    expect(told(waiting)).toBe('OK 0, error 0');
  });

  test('closing goes on when the replica has all of it, and then it is true that they were told', async () => {
    await done(acknowledge(true));
    await restartIo();
    await until('it acknowledges', async () => (await semiSync(a)).clients === 1);
    await openedLossless();
    b.mysqld.freeze();
    const waiting = await writers();
    const close = a.fence.call({ do: 'close', epoch: epoch(2), killClients: true, withinMs: 5_000 });
    await until('it is claimed', async () => (await facts(a)).row?.epoch?.number === 2);
    b.mysqld.thaw();
    expect(await close).toMatchObject({ kind: 'done', row: { readOnly: true } });
    await until('all are told', () => told(waiting) === `OK ${CLIENTS}, error 0`);
    await until('B has them', async () => (await seen(b, waiting)) === CLIENTS);
    // Now that nobody commits, their sessions are ended.
    await until('they are gone', async () => (await sessions()).length === 0);
  });

  test('F18: the EVENT cannot close it; a sync that lets commits go does, though the lease has run out, and the EVENT closes it', async () => {
    await openedLossless(1_500);
    const waiting = await writers();
    await until('the lease is out', async () => {
      const { lease, nowMs, tickMs } = await rowOf(a.fence);
      return lease.kind === 'finite' && lease.expiresAtMs < Math.min(nowMs - 1_200, tickMs ?? 0);
    });
    expect(await rowOf(a.fence)).toMatchObject({ readOnly: false });
    expect(told(waiting)).toBe('OK 0, error 0');
    await until('the row is free', async () => (await sync(1, false)).kind === 'done');
    await until('it is closed', async () => (await rowOf(a.fence)).readOnly);
    expect(told(waiting)).toBe(`OK ${CLIENTS}, error 0`);
  });
});

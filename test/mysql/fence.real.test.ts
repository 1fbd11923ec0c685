// What the comparing calls do on real servers alone: to sessions, locks, rights, workers, transactions, and agents that meet. The rest is in
// call-cases.ts, for the simulated server as well.

import { once } from 'node:events';
import { connect } from 'node:net';
import { escape as quoted } from 'mysql2';
import { createConnection } from 'mysql2/promise';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Call, Called } from '../../src/core/call.ts';
import type { Epoch } from '../../src/core/pair.ts';
import type { Fence } from '../../src/mysql/fence.ts';
import { MMM } from '../../src/sandbox/accounts.ts';
import { aCallBench, type RealCallBench } from '../support/call-bench.ts';
import { done, epoch, fenceFor, opened, opening, rowOf } from '../support/fence.ts';
import type { TestPair } from '../support/pair.ts';
import { until } from '../support/until.ts';

const WORKERS = { mariadb: 'slave_parallel_threads', mysql56: 'slave_parallel_workers' };

describe.each(['mariadb', 'mysql56'] as const)('%s', (kind) => {
  let bench: RealCallBench;
  let pair: TestPair;
  let fence: Fence;
  let other: Fence;
  let nextId = 0;

  beforeAll(async () => {
    bench = await aCallBench(kind);
    ({ pair, fence, other } = bench);
  });
  afterAll(() => bench.close());
  beforeEach(() => bench.blank());
  afterEach(() => bench.hangUp());

  const admin = (sql: string) => bench.admin(sql);
  const client = () => bench.client();
  const root = () => bench.root();

  function claim(at: Epoch, by: Fence = fence): Promise<Called> {
    return by.call({ do: 'claim', epoch: at, unfenced: null });
  }

  describe('claim', () => {
    test('an id that does not fit is an error, not another id', async () => {
      const long = await claim(epoch(1, { id: 'x'.repeat(65) }));
      expect(long).toMatchObject({ kind: 'server-error', code: '1406' });
      expect((await rowOf(fence)).epoch).toBeNull();
    });
  });

  describe('close', () => {
    function close(at: Epoch, over: Partial<Extract<Call, { do: 'close' }>> = {}): Promise<Called> {
      return fence.call({ do: 'close', epoch: at, killClients: true, withinMs: 3_000, ...over });
    }

    test('throws the application out, whatever it holds, sets read_only and ends the lease', async () => {
      await opened(fence, epoch(1), { leaseMs: 60_000 });
      const locking = await client();
      await locking.query('LOCK TABLES writes WRITE');
      const busy = await client();
      const running = busy.query('SELECT SLEEP(60)').then(
        () => 'ended',
        () => 'thrown out',
      );
      const operator = await root();
      const closed = await close(epoch(2));
      expect(closed).toMatchObject({ kind: 'done', did: 'killed 2 sessions of app', row: { readOnly: true } });
      if (closed.kind !== 'done' || closed.row.lease.kind !== 'finite') throw new Error('no finite lease');
      expect(closed.row.lease.expiresAtMs).toBeLessThanOrEqual(closed.row.nowMs);
      expect(closed.row.epoch).toEqual(epoch(2));
      expect(await running).toBe('thrown out');
      expect((await operator.query('SELECT 1'))[0]).toHaveLength(1);
      operator.destroy();
    });

    test('counts the sessions of each try, and names their users', async () => {
      await opened(fence, epoch(1), { leaseMs: 60_000 });
      const operator = await root();
      await operator.query('LOCK TABLES app.writes WRITE');
      await client();
      const closing = close(epoch(1), { withinMs: 10_000 });
      const commands = async () =>
        (await admin("SELECT COMMAND AS command FROM information_schema.PROCESSLIST WHERE USER = 'app'")).map(
          ({ command }) => command,
        );
      // MySQL 5.6 does not always let go of a session that it was told to kill.
      const allKilled = async () => (await commands()).every((command) => command === 'Killed');
      await until('it is in its second try', allKilled);
      await client();
      await client();
      await until('they are thrown out as well', allKilled);
      await operator.query('UNLOCK TABLES');
      expect(await closing).toMatchObject({ kind: 'done', did: 'killed 1 session of app; killed 2 sessions of app' });
      operator.destroy();
    });

    test('who lacks the right is told so before any client is thrown out', async () => {
      await opened(fence, epoch(1), { leaseMs: 60_000 });
      const right = kind === 'mariadb' ? 'READ_ONLY ADMIN' : 'SUPER';
      const app = await client();
      await admin(`REVOKE ${right} ON *.* FROM '${MMM.user}'@'127.0.0.1'`);
      // A session keeps the rights with which it began.
      const without = fenceFor(pair.a);
      try {
        const call: Call = { do: 'close', epoch: epoch(1), killClients: true, withinMs: 3_000 };
        expect(await without.call(call)).toMatchObject({ kind: 'server-error', code: '1227' });
        expect((await app.query('SELECT 1'))[0]).toHaveLength(1);
      } finally {
        await without.close();
        await admin(`GRANT ${right} ON *.* TO '${MMM.user}'@'127.0.0.1'`);
      }
      expect(await close(epoch(1))).toMatchObject({ kind: 'done', did: 'killed 1 session of app' });
    });

    test('behind an administrator’s lock it gives up by its deadline, and has claimed', async () => {
      await opened(fence, epoch(1), { leaseMs: 60_000 });
      const operator = await root();
      await operator.query('LOCK TABLES app.writes WRITE');
      const started = performance.now();
      expect(await close(epoch(2), { withinMs: 1_500 })).toMatchObject({
        kind: 'not-done',
        why: 'locked',
        row: { epoch: epoch(2), readOnly: false },
        detail: expect.stringMatching(/session \d+ of root@127\.0\.0\.1/),
      });
      expect(performance.now() - started).toBeLessThan(4_500);
      expect(await rowOf(fence)).toMatchObject({ epoch: epoch(2), readOnly: false });
      operator.destroy();
      await done(close(epoch(2)));
    });

    test('behind an open transaction it does not wait, and that cannot commit', async () => {
      await opened(fence, epoch(1));
      const late = await client();
      await late.query('BEGIN');
      await late.query('INSERT INTO writes (id) VALUES (0)');
      await done(close(epoch(1), { killClients: false }));
      await expect(late.query('COMMIT')).rejects.toMatchObject({ errno: 1290 });
    });
  });

  describe('open', () => {
    test('lets the application write', async () => {
      await opened(fence, epoch(4));
      await (await client()).query(`INSERT INTO writes (id) VALUES (${++nextId})`);
    });

    test.each(['the source is away', 'the source is frozen'])(
      'is refused while the I/O thread waits: %s',
      async (what) => {
        if (what === 'the source is away') await pair.b.kill();
        else pair.b.freeze();
        await until('the I/O thread is connecting', async () => (await bench.shown()) === 'io Connecting, sql Yes');
        expect(await fence.call(opening(await done(claim(epoch(1))), epoch(1)))).toMatchObject({ why: 'io-runs' });
        if (what === 'the source is away') await pair.b.restart();
        else pair.b.thaw();
        await until('the I/O thread runs', async () => (await bench.shown()) === 'io Yes, sql Yes');
      },
    );

    test.each([0, 2])(
      'S4: opens a drained host, and none that has something left to apply: %i workers',
      async (workers) => {
        await admin('STOP SLAVE');
        await admin(`SET GLOBAL ${WORKERS[kind]} = ${workers}`);
        await admin('START SLAVE IO_THREAD');
        const wait = await root();
        await wait.query('LOCK TABLES app.writes WRITE');
        await pair.admin(pair.b, `INSERT INTO app.writes (id) VALUES (${++nextId}), (${++nextId})`);
        const [goal] = await pair.admin(pair.b, 'SHOW MASTER STATUS');
        await until('it is received', async () => {
          const [row] = await admin('SHOW SLAVE STATUS');
          return Number(row?.['Read_Master_Log_Pos']) >= Number(goal?.['Position']);
        });
        const open = async () => fence.call(opening(await done(claim(epoch(1))), epoch(1), { demand: 'drained' }));
        await done(fence.call({ do: 'start-sql', epoch: epoch(1), fromStandstill: false }));
        await done(fence.call({ do: 'stop-io', epoch: epoch(1) }));
        // Whoever applies it waits for the lock; with workers the SQL thread itself is at the end by then.
        await until('it hangs there', async () => {
          const hanging = await admin(
            "SELECT 1 AS one FROM information_schema.PROCESSLIST WHERE USER = 'system user' AND STATE LIKE 'Waiting for table%'",
          );
          return hanging.length > 0;
        });
        expect(await open()).toMatchObject({ why: 'unapplied', row: { readOnly: true } });
        wait.destroy();
        await until('it is opened', async () => (await open()).kind === 'done');
        const [count] = await admin(`SELECT COUNT(*) AS n FROM app.writes WHERE id IN (${nextId - 1}, ${nextId})`);
        expect(count).toEqual({ n: 2 });
        await admin('STOP SLAVE');
        await admin(`SET GLOBAL ${WORKERS[kind]} = 0`);
      },
    );

    test('autocommit off, or a transaction that is open: an error, and nothing is changed', async () => {
      const row = await done(claim(epoch(1)));
      const operator = await root();
      const call = `CALL mmm.open(1, 'd1', '127.0.0.1:3306', ${row.nowMs}, 60000, 1, ${row.startedSec}, 0)`;
      await admin('STOP SLAVE IO_THREAD');
      await operator.query('SET autocommit = 0');
      await expect(operator.query(call)).rejects.toThrow(/autocommit/);
      await operator.query('SET autocommit = 1');
      await operator.query('BEGIN');
      await operator.query('UPDATE app.writes SET written_at = written_at');
      await expect(operator.query(call)).rejects.toMatchObject({ errno: 1694 });
      await operator.query('ROLLBACK');
      expect(await rowOf(fence)).toMatchObject({ opened: null, readOnly: true });
      await operator.query(call);
      expect((await rowOf(fence)).readOnly).toBe(false);
      operator.destroy();
    });
  });

  describe('kill', () => {
    test('a kill ends clients and spares the operator, replication and the agents', async () => {
      const three = [await client(), await client(), await client()];
      const operator = await root();
      expect(await fence.call({ do: 'kill', epoch: epoch(1) })).toMatchObject({
        kind: 'done',
        did: 'killed 3 sessions of app',
      });
      for (const one of three) await expect(one.query('SELECT 1')).rejects.toThrow();
      expect((await operator.query('SELECT 1'))[0]).toHaveLength(1);
      expect(await bench.shown()).toBe('io Yes, sql Yes');
      await rowOf(other);
      operator.destroy();
    });
  });

  test('somebody who is just logging in is not thrown out: it may be an administrator', async () => {
    await opened(fence, epoch(1), { leaseMs: 60_000 });
    const login = connect({ host: '127.0.0.1', port: pair.a.port });
    await once(login, 'data');
    let ended = false;
    login.on('close', () => {
      ended = true;
    });
    expect(await fence.call({ do: 'kill', epoch: epoch(1) })).toMatchObject({ kind: 'done', did: '' });
    expect(await fence.call({ do: 'close', epoch: epoch(1), killClients: true, withinMs: 3_000 })).toMatchObject({
      kind: 'done',
      did: '',
    });
    expect(ended).toBe(false);
    login.destroy();
  });

  test.each([
    ['another administrator', 'SUPER', "o'x''y"],
    ['a monitor', 'REPLICATION SLAVE', 'mo@nitor'],
    ...(kind === 'mariadb' ? [['somebody who may write anyway', 'READ_ONLY ADMIN', 'batch,app']] : []),
  ])('neither a kill nor a close ends the session of %s', async (_who, right, user) => {
    const account = `${quoted(user)}@'127.0.0.1'`;
    await admin(`CREATE USER ${account} IDENTIFIED BY 'x'`);
    await admin(`GRANT ${right} ON *.* TO ${account}`);
    const spared = await createConnection({ host: '127.0.0.1', port: pair.a.port, user, password: 'x' });
    await client();
    await opened(fence, epoch(1), { leaseMs: 60_000 });
    expect(await fence.call({ do: 'kill', epoch: epoch(1) })).toMatchObject({ did: 'killed 1 session of app' });
    await done(fence.call({ do: 'close', epoch: epoch(1), killClients: true, withinMs: 3_000 }));
    expect((await spared.query('SELECT 1'))[0]).toHaveLength(1);
    spared.destroy();
    await admin(`DROP USER ${account}`);
  });

  describe('agents that meet, or end', () => {
    test('of two that claim one number at once exactly one wins, every time', async () => {
      for (let number = 1; number <= 40; number++) {
        const results = await Promise.all([
          claim(epoch(number, { id: 'ours' })),
          claim(epoch(number, { id: 'theirs' }), other),
        ]);
        expect(results.map(({ kind }) => kind).sort()).toEqual(['done', 'refused']);
      }
    });

    test('a call waits for another one that hangs, for a second, and says so', async () => {
      await opened(fence, epoch(1), { leaseMs: 60_000 });
      const holder = await root();
      await holder.query("SELECT GET_LOCK('mmm', 0)");
      const started = performance.now();
      expect(await claim(epoch(2))).toMatchObject({ kind: 'not-done', why: 'busy', row: { epoch: epoch(1) } });
      expect(performance.now() - started).toBeLessThan(2_000);
      holder.destroy();
      await until('it is done', async () => (await claim(epoch(2))).kind === 'done');
    });

    test('an agent that ends in the middle of a call leaves no lock, and the next one finishes its work', async () => {
      await opened(fence, epoch(1), { leaseMs: 60_000 });
      const operator = await root();
      await operator.query('LOCK TABLES app.writes WRITE');
      const dying = await root();
      void dying.query("CALL mmm.close(2, 'd2', '127.0.0.1:3306', 0)").catch(() => undefined);
      await until('its close call hangs', async () => {
        const waiting = await admin(
          "SELECT 1 AS one FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SET GLOBAL read_only%' AND STATE LIKE 'Waiting for%'",
        );
        return waiting.length > 0;
      });
      dying.destroy();
      operator.destroy();
      const closed = await other.call({ do: 'close', epoch: epoch(2), killClients: false, withinMs: 3_000 });
      expect(closed).toMatchObject({ kind: 'done', row: { epoch: epoch(2), readOnly: true } });
    });

    test('an agent that ends between two calls: the next one goes on from the row', async () => {
      const first = fenceFor(pair.a);
      await done(claim(epoch(5), first));
      await done(first.call({ do: 'stop-io', epoch: epoch(5) }));
      await first.close();
      await done(claim(epoch(5), other));
      await until('the SQL thread is at the end, and it is opened', async () => {
        const called = await other.call(opening(await rowOf(other), epoch(5), { demand: 'drained' }));
        return called.kind === 'done';
      });
      expect(await rowOf(other)).toMatchObject({ opened: { number: 5 }, readOnly: false });
    });

    test('a call on a connection that somebody killed is made on a new one', async () => {
      await done(claim(epoch(1)));
      const rows = await admin("SELECT ID AS id FROM information_schema.PROCESSLIST WHERE USER = 'user_mmm'");
      for (const row of rows) await admin(`KILL ${Number(row['id'])}`);
      await done(claim(epoch(2)));
    });
  });
});

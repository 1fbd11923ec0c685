// The comparing calls on real servers: what each does, and that a lower epoch, or another decision of the same number, changes nothing.

import { once } from 'node:events';
import { connect } from 'node:net';
import { escape as quoted } from 'mysql2';
import { type Connection, createConnection } from 'mysql2/promise';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Call, Called } from '../../src/core/call.ts';
import type { HostRow } from '../../src/core/host-row.ts';
import type { Epoch } from '../../src/core/pair.ts';
import type { Fence } from '../../src/mysql/fence.ts';
import { ADMIN, MMM } from '../../src/sandbox/accounts.ts';
import { armed, done, epoch, fenceFor, LEASE_MS, opened, opening, rowOf } from '../support/fence.ts';
import { aPair, type TestPair } from '../support/pair.ts';
import { until } from '../support/until.ts';

const WORKERS = { mariadb: 'slave_parallel_threads', mysql56: 'slave_parallel_workers' };

const BLANK = `UPDATE mmm.host SET epoch_number = 0, epoch_id = '', epoch_active = '', opened_number = NULL, opened_id = NULL,
  opened_boot = NULL, endless = 0, expires_at_ms = NULL, unfenced = 0, generation = 0`;

describe.each(['mariadb', 'mysql56'] as const)('%s', (kind) => {
  let pair: TestPair;
  let fence: Fence;
  let other: Fence;
  let nextId = 0;
  const clients: Connection[] = [];

  beforeAll(async () => {
    pair = await aPair({ kind });
    fence = fenceFor(pair.a);
    other = fenceFor(pair.a);
    await armed(fence);
  });
  afterAll(async () => {
    await fence.close();
    await other.close();
    await pair.close();
  });
  beforeEach(async () => {
    await admin('SET GLOBAL read_only = 1');
    await admin(BLANK);
    await admin('START SLAVE');
  });
  afterEach(async () => {
    for (const one of clients.splice(0)) one.destroy();
    await until('they are gone', async () => (await sessions()).length === 0);
  });

  function sessions() {
    return admin("SELECT ID AS id, COMMAND AS command FROM information_schema.PROCESSLIST WHERE USER = 'app'");
  }

  async function client(): Promise<Connection> {
    const one = await pair.appClient(pair.a);
    clients.push(one);
    return one;
  }

  function admin(sql: string) {
    return pair.admin(pair.a, sql);
  }

  async function root() {
    const connection = await createConnection({ host: '127.0.0.1', port: pair.a.port, ...ADMIN });
    connection.on('error', () => undefined);
    clients.push(connection);
    return connection;
  }

  async function threads(): Promise<string> {
    const [row] = await admin('SHOW SLAVE STATUS');
    return `io ${row?.['Slave_IO_Running']}, sql ${row?.['Slave_SQL_Running']}`;
  }

  /** All that a call may change, the EVENT's tick apart. */
  async function everything(): Promise<unknown> {
    const { tickMs: _tick, nowMs: _now, ...row } = await rowOf(other);
    return { row, sessions: await sessions(), threads: await threads() };
  }

  function claim(at: Epoch, by: Fence = fence): Promise<Called> {
    return by.call({ do: 'claim', epoch: at, unfenced: null });
  }

  function everyCall(at: Epoch, row: HostRow): readonly Call[] {
    return [
      { do: 'claim', epoch: at, unfenced: true },
      { do: 'close', epoch: at, killClients: true, withinMs: 3_000 },
      opening(row, at),
      opening(row, at, { lease: 'endless' }),
      { do: 'renew', epoch: at, baseMs: row.nowMs, leaseMs: LEASE_MS },
      { do: 'start-sql', epoch: at, fromStandstill: true },
      { do: 'start-io', epoch: at, fromStandstill: true },
      { do: 'start-replication', epoch: at, fromStandstill: true },
      { do: 'stop-io', epoch: at },
      { do: 'kill', epoch: at },
    ];
  }

  describe('S3: who acts on an old epoch changes nothing', () => {
    const OLD: readonly (readonly [string, Epoch])[] = [
      ['a lower number', epoch(6)],
      ['the same number with another id', epoch(7, { id: 'another' })],
      ['the same number and id with another active', epoch(7, { active: '127.0.0.2:3306' })],
      ['the id in other letters', epoch(7, { id: 'D7' })],
    ];

    test.each(OLD)('on an open host: %s', async (_what, old) => {
      const reader = await client();
      await opened(fence, epoch(7), { leaseMs: 60_000 });
      await admin('START SLAVE');
      await until('replication runs', async () => (await threads()) === 'io Yes, sql Yes');
      const before = await everything();
      for (const call of everyCall(old, await rowOf(fence))) {
        expect(await other.call(call), call.do).toMatchObject({ kind: 'refused', row: { epoch: epoch(7) } });
      }
      expect(await everything()).toEqual(before);
      expect(before).toMatchObject({ row: { readOnly: false }, threads: 'io Yes, sql Yes' });
      expect((await reader.query('SELECT 1'))[0]).toHaveLength(1);
    });

    test.each(OLD)('on a closed host whose replication is stopped: %s', async (_what, old) => {
      await admin('STOP SLAVE');
      await done(claim(epoch(7)));
      const before = await everything();
      for (const call of everyCall(old, await rowOf(fence))) {
        expect(await other.call(call), call.do).toMatchObject({ kind: 'refused' });
      }
      expect(await everything()).toEqual(before);
      expect(before).toMatchObject({ row: { readOnly: true }, threads: 'io No, sql No' });
    });

    test('an epoch that was only claimed refuses the renewals of the one before', async () => {
      await opened(fence, epoch(7));
      const before = await done(claim(epoch(8), other));
      const renewal = await fence.call({ do: 'renew', epoch: epoch(7), baseMs: before.nowMs, leaseMs: LEASE_MS });
      expect(renewal).toMatchObject({ kind: 'refused', row: { epoch: epoch(8), lease: before.lease } });
    });
  });

  describe('claim', () => {
    test('stores the epoch, again and again, and touches nothing else', async () => {
      for (let time = 0; time < 2; time++) {
        expect(await done(claim(epoch(3)))).toMatchObject({
          epoch: epoch(3),
          opened: null,
          lease: { kind: 'none' },
          unfenced: false,
          readOnly: true,
        });
      }
    });

    test('sets the flag, keeps it, tells of it and takes it away', async () => {
      const flags = [true, null, false, null];
      const told: boolean[] = [];
      for (const [step, unfenced] of flags.entries()) {
        told.push((await done(fence.call({ do: 'claim', epoch: epoch(step + 1), unfenced }))).unfenced);
      }
      expect(told).toEqual([true, true, false, false]);
    });

    test('F6: whoever claims after the agent that set the flag is told of it, again and again, until an opening clears it', async () => {
      // The last agent of the pair, with the board away: its own decision, on the passive's row.
      await done(fence.call({ do: 'claim', epoch: epoch(5, { id: 'the last agent' }), unfenced: true }));
      const sameNumber = await other.call({ do: 'claim', epoch: epoch(5), unfenced: null });
      expect(sameNumber).toMatchObject({ kind: 'refused', row: { unfenced: true } });
      for (let time = 0; time < 2; time++) expect((await done(claim(epoch(6), other))).unfenced).toBe(true);
      await done(fence.call({ do: 'close', epoch: epoch(6), killClients: true, withinMs: 3_000 }));
      expect((await done(claim(epoch(7), other))).unfenced).toBe(true);
      expect((await opened(other, epoch(7))).unfenced).toBe(false);
      expect((await done(claim(epoch(8)))).unfenced).toBe(false);
    });

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
      // MySQL 5.6 does not always let go of a session that it was told to kill.
      const allKilled = async () => (await sessions()).every(({ command }) => command === 'Killed');
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

    test('an endless lease ends with it', async () => {
      await opened(fence, epoch(1), { lease: 'endless' });
      expect(await done(close(epoch(1)))).toMatchObject({ lease: { kind: 'finite' }, readOnly: true });
    });

    test('the readers of a closed host are left alone', async () => {
      const reader = await client();
      expect(await close(epoch(1))).toMatchObject({ kind: 'done', did: '' });
      expect((await reader.query('SELECT 1'))[0]).toHaveLength(1);
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
    test('lets the application write, and says when, in which boot and until when', async () => {
      const row = await opened(fence, epoch(4));
      expect(row).toMatchObject({
        opened: { number: 4, id: 'd4', startedSec: row.startedSec },
        lease: { kind: 'finite' },
        readOnly: false,
      });
      await (await client()).query(`INSERT INTO writes (id) VALUES (${++nextId})`);
    });

    test('clears the flag with a finite lease, and keeps it with an endless one', async () => {
      await done(fence.call({ do: 'claim', epoch: epoch(1), unfenced: true }));
      expect(await opened(fence, epoch(1), { lease: 'endless' })).toMatchObject({
        lease: { kind: 'endless' },
        unfenced: true,
      });
      await done(fence.call({ do: 'claim', epoch: epoch(2), unfenced: null }));
      expect(await opened(fence, epoch(2))).toMatchObject({ lease: { kind: 'finite' }, unfenced: false });
    });

    test('an epoch that nobody claimed here opens nothing', async () => {
      await done(claim(epoch(1)));
      expect(await fence.call(opening(await rowOf(fence), epoch(2)))).toMatchObject({ why: 'unclaimed' });
      expect((await rowOf(fence)).readOnly).toBe(true);
    });

    test('a grant that has run out by the server’s clock opens nothing, endless or not', async () => {
      const row = await done(claim(epoch(1)));
      for (const lease of ['finite', 'endless'] as const) {
        const late = opening(row, epoch(1), { lease, baseMs: row.nowMs - LEASE_MS });
        expect(await fence.call(late)).toMatchObject({ kind: 'not-done', why: 'late' });
      }
      expect(await rowOf(fence)).toMatchObject({ opened: null, readOnly: true });
    });

    test('a base from a clock that was ahead grants one lease from now, no more', async () => {
      const row = await opened(fence, epoch(1), { baseMs: Date.now() + 3_600_000 });
      if (row.lease.kind !== 'finite') throw new Error('no finite lease');
      expect(row.lease.expiresAtMs - row.nowMs).toBeLessThanOrEqual(LEASE_MS);
    });

    test('another boot than the one that was drained is not opened', async () => {
      const row = await done(claim(epoch(1)));
      const drainedBefore = opening(row, epoch(1), { startedSec: row.startedSec - 60 });
      expect(await fence.call(drainedBefore)).toMatchObject({ why: 'rebooted', row: { readOnly: true } });
    });

    test('a server whose EVENT does not run is not opened with a finite lease, and its EVENT is set going', async () => {
      const row = await done(claim(epoch(1)));
      await admin('ALTER EVENT mmm.fence DISABLE');
      for (const ago of [10_000, -3_600_000]) {
        await admin(`UPDATE mmm.host SET tick_ms = ${row.nowMs} - ${ago}`);
        expect(await fence.call(opening(await rowOf(fence), epoch(1)))).toMatchObject({ why: 'unarmed' });
      }
      await done(fence.call({ do: 'stop-io', epoch: epoch(1) }));
      await until('it is opened once the EVENT ticks', async () => {
        const called = await fence.call(opening(await rowOf(fence), epoch(1)));
        return called.kind === 'done';
      });
    });

    test('is refused while the I/O thread runs, also when the policy skips the rest', async () => {
      const row = await done(claim(epoch(1)));
      for (const demand of ['drained', 'io-stopped'] as const) {
        expect(await fence.call(opening(row, epoch(1), { demand }))).toMatchObject({ why: 'io-runs' });
      }
    });

    test.each(['the source is away', 'the source is frozen'])(
      'is refused while the I/O thread waits: %s',
      async (what) => {
        if (what === 'the source is away') await pair.b.kill();
        else pair.b.freeze();
        await until('the I/O thread is connecting', async () => (await threads()) === 'io Connecting, sql Yes');
        expect(await fence.call(opening(await done(claim(epoch(1))), epoch(1)))).toMatchObject({ why: 'io-runs' });
        if (what === 'the source is away') await pair.b.restart();
        else pair.b.thaw();
        await until('the I/O thread runs', async () => (await threads()) === 'io Yes, sql Yes');
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

    test('a stopped SQL thread has not come to the end of anything', async () => {
      await admin('STOP SLAVE');
      const row = await done(claim(epoch(1)));
      expect(await fence.call(opening(row, epoch(1), { demand: 'drained' }))).toMatchObject({ why: 'unapplied' });
      await done(fence.call(opening(row, epoch(1), { demand: 'io-stopped' })));
    });

    test('a host that is open under the epoch in this boot is only renewed', async () => {
      const before = await opened(fence, epoch(1), { demand: 'io-stopped' });
      await admin('START SLAVE');
      const after = await done(fence.call(opening(await rowOf(fence), epoch(1), { demand: 'drained' })));
      if (before.lease.kind !== 'finite' || after.lease.kind !== 'finite') throw new Error('no finite lease');
      expect(after.lease.expiresAtMs).toBeGreaterThan(before.lease.expiresAtMs);
      const endless = opening(await rowOf(fence), epoch(1), { lease: 'endless' });
      expect(await fence.call(endless)).toMatchObject({ why: 'other-lease', row: { lease: { kind: 'finite' } } });
    });

    test('an epoch that keeps the active needs no drain: a host that is writable is taken as it is', async () => {
      await admin('SET GLOBAL read_only = 0');
      expect(await opened(fence, epoch(1), { lease: 'endless', demand: 'drained' })).toMatchObject({
        lease: { kind: 'endless' },
      });
      expect(await opened(fence, epoch(2), { demand: 'drained' })).toMatchObject({ lease: { kind: 'finite' } });
      expect(await opened(fence, epoch(3), { lease: 'endless', demand: 'drained' })).toMatchObject({
        lease: { kind: 'endless' },
      });
    });

    test('a host that closed itself is opened again under its epoch without a drain', async () => {
      await opened(fence, epoch(1));
      await admin('START SLAVE');
      await admin('SET GLOBAL read_only = 1');
      expect(await done(fence.call(opening(await rowOf(fence), epoch(1), { demand: 'drained' })))).toMatchObject({
        readOnly: false,
      });
    });

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

  describe('renew', () => {
    function renew(baseMs: number, over: Partial<Extract<Call, { do: 'renew' }>> = {}): Promise<Called> {
      return fence.call({ do: 'renew', epoch: epoch(1), baseMs, leaseMs: LEASE_MS, ...over });
    }

    function expiry(row: HostRow): number {
      if (row.lease.kind !== 'finite') throw new Error('no finite lease');
      return row.lease.expiresAtMs;
    }

    test('counts from the base, and never takes anything away', async () => {
      const before = await opened(fence, epoch(1));
      expect(expiry(await done(renew(before.nowMs)))).toBe(before.nowMs + LEASE_MS);
      expect(expiry(await done(renew(before.nowMs - 1_000)))).toBe(before.nowMs + LEASE_MS);
    });

    test('a lease that has run out is not renewed, and a host that is closed is not opened', async () => {
      const { nowMs } = await opened(fence, epoch(1));
      await admin('UPDATE mmm.host SET expires_at_ms = 1');
      const late = await renew(nowMs);
      // The EVENT may have closed it between the two.
      expect(late).toMatchObject({ kind: 'not-done' });
      expect(['lease-out', 'closed']).toContain(late.kind === 'not-done' && late.why);
      await until('the EVENT closes it', async () => (await rowOf(fence)).readOnly, 3_000);
      expect(await renew((await rowOf(fence)).nowMs)).toMatchObject({ why: 'closed', row: { readOnly: true } });
    });

    test('only the epoch and the boot in which it was opened are renewed', async () => {
      const { nowMs } = await opened(fence, epoch(1));
      expect(await renew(nowMs, { epoch: epoch(2) })).toMatchObject({ why: 'unclaimed' });
      await done(claim(epoch(2)));
      expect(await renew(nowMs, { epoch: epoch(2) })).toMatchObject({ why: 'not-open' });
      await admin("UPDATE mmm.host SET epoch_number = 1, epoch_id = 'd1', opened_boot = opened_boot - 60");
      expect(await renew(nowMs)).toMatchObject({ why: 'not-open' });
    });

    test('an endless lease stays endless', async () => {
      const { nowMs } = await opened(fence, epoch(1), { lease: 'endless' });
      expect(await done(renew(nowMs))).toMatchObject({ lease: { kind: 'endless' } });
    });

    test('F17: after the clock went back the lease is cut to one from now, and the EVENT is set going', async () => {
      await opened(fence, epoch(1));
      const { nowMs } = await rowOf(fence);
      await admin('ALTER EVENT mmm.fence DISABLE');
      await admin(`UPDATE mmm.host SET tick_ms = ${nowMs + 3_600_000}, expires_at_ms = ${nowMs + 3_603_000}`);
      const row = await done(renew(nowMs + 3_600_000));
      expect(expiry(row) - row.nowMs).toBeLessThanOrEqual(LEASE_MS);
      expect(row.tickMs).toBe(nowMs + 3_600_000);
      await until('the EVENT ticks again', async () => ((await rowOf(fence)).tickMs ?? Infinity) <= nowMs + 30_000);
    });
  });

  describe('replication and sessions', () => {
    test('threads are started and stopped by whoever holds the highest epoch', async () => {
      await done(fence.call({ do: 'stop-io', epoch: epoch(1) }));
      expect(await threads()).toBe('io No, sql Yes');
      await done(fence.call({ do: 'stop-io', epoch: epoch(1) }));
      await done(fence.call({ do: 'start-io', epoch: epoch(1), fromStandstill: false }));
      await until('it runs', async () => (await threads()) === 'io Yes, sql Yes');
      expect((await rowOf(fence)).epoch).toEqual(epoch(1));
    });

    test('F2: nothing is started from a standstill unless the caller says that nothing is lost by it', async () => {
      await admin('STOP SLAVE');
      for (const start of ['start-sql', 'start-io', 'start-replication'] as const) {
        expect(await fence.call({ do: start, epoch: epoch(1), fromStandstill: false })).toMatchObject({
          why: 'standstill',
        });
        expect(await threads()).toBe('io No, sql No');
      }
      await done(fence.call({ do: 'start-replication', epoch: epoch(1), fromStandstill: true }));
      await until('they run', async () => (await threads()) === 'io Yes, sql Yes');
    });

    test('a kill ends clients and spares the operator, replication and the agents', async () => {
      const three = [await client(), await client(), await client()];
      const operator = await root();
      expect(await fence.call({ do: 'kill', epoch: epoch(1) })).toMatchObject({
        kind: 'done',
        did: 'killed 3 sessions of app',
      });
      for (const one of three) await expect(one.query('SELECT 1')).rejects.toThrow();
      expect((await operator.query('SELECT 1'))[0]).toHaveLength(1);
      expect(await threads()).toBe('io Yes, sql Yes');
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

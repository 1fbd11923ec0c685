// Changes of roles of an armed pair (fencing=lease, two agents) that something holds up: long transactions, LOCK TABLES, backups. Each comes to its
// end or goes back, and nobody is kept from writing for longer than the change may take. The calls by themselves: test/mysql/stress.real.test.ts,
// full-disk.real.test.ts (a full disk, thousands of connections).
//
// | held up by                                  | a switchover                                   | a failover                                |
// | ------------------------------------------- | ---------------------------------------------- | ----------------------------------------- |
// | transactions of applications, and who waits | they are thrown out                            | (they are gone)                           |
// | mysqldump --single-transaction, on either   | goes on, the dump too                          | goes on, the dump too                     |
// | LOCK TABLES on the active                   | goes back                                      | (gone)                                    |
// | FTWRL on the active                         | nothing, or it goes back; writable right after | (gone)                                    |
// | LOCK TABLES on the passive                  | goes back                                      | opened when the lock is gone, all applied |
// | FTWRL on the passive                        | not begun                                      | opened when the lock is gone              |

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Client, startClient } from '../../src/sandbox/client.ts';
import type { Mysqld } from '../../src/sandbox/mysqld.ts';
import { type ArmedRig, anArmedRig } from '../support/armed.ts';
import { until } from '../support/until.ts';

/** A machine that runs other tests as well. */
const MARGIN_MS = 2_000;
/** A change that keeps clients from writing goes back after 10 s; closing gives up after 5 s; then the old active is opened again. */
const GONE_BACK_MS = 10_000 + 5_000;

let rig: ArmedRig;
let active: Mysqld;
let passive: Mysqld;
let client: Client;
let nextId = 1;

function tell(what: string, ms: number): void {
  console.log(`${active.kind}: ${what} ${Math.round(ms)} ms`);
}

function gapMs(sinceMs: number): number {
  return client.register.longestGap(sinceMs).lengthMs;
}

/** What mysqldump --single-transaction --master-data says, and a query that takes some seconds; true when it got to its end. */
async function dump(server: Mysqld): Promise<Promise<boolean>[]> {
  const session = await rig.administrator(server);
  for (const sql of [
    'USE app',
    'FLUSH /*!40101 LOCAL */ TABLES',
    'FLUSH TABLES WITH READ LOCK',
    'SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ',
    'START TRANSACTION /*!40100 WITH CONSISTENT SNAPSHOT */',
    'UNLOCK TABLES',
  ]) {
    await session.query(sql);
  }
  const reading = session.query('SELECT /*!40001 SQL_NO_CACHE */ writes.*, SLEEP(4) FROM writes LIMIT 1');
  const ended = reading.then(
    () => true,
    () => false,
  );
  void ended.then(() => session.destroy());
  // In an array, because a promise would be waited for.
  return [ended];
}

describe.each(['mariadb', 'mysql56'] as const)('an armed pair of %s', (kind) => {
  beforeAll(async () => {
    rig = await anArmedRig({ kind });
  });
  afterAll(() => rig.close());
  beforeEach(async () => {
    ({ active, passive } = await rig.settled());
    client = startClient({ hosts: [active.host, passive.host], connections: 2, firstId: nextId });
    nextId += 1_000_000;
    await until('the client writes', () => client.register.size > 20);
    await until('nothing speaks against it', async () => (await rig.mmm('switchover', '--dry-run')).code === 0);
  });
  afterEach(async () => {
    await client.stop();
    const settled = await rig.settled();
    await until('all that was acknowledged is on the active', async () => {
      const { onlyOnOther, nowhere } = await client.register.accountFor(settled.active.port, settled.passive.port);
      expect(nowhere, await rig.story()).toEqual([]);
      return onlyOnOther.length === 0;
    });
  });

  it('is switched over through long transactions, whoever waits for them, and dumps of both hosts', async () => {
    // First: its global lock would wait for whoever waits for a row, and everybody else for it.
    const [[first], [second]] = [await dump(active), await dump(passive)];
    const [holder, waiter] = [await rig.application(active), await rig.application(active)];
    await holder.query('BEGIN');
    await holder.query('INSERT INTO writes (id) VALUES (-1)');
    const waiting = waiter.query('INSERT INTO writes (id) VALUES (-1)').then(
      () => true,
      () => false,
    );
    const sinceMs = performance.now();
    expect(await rig.mmm('switchover')).toMatchObject({ code: 0 });
    await rig.writable(passive);
    await until('the client writes there', () => client.register.firstOn(passive.port, sinceMs) !== undefined);
    tell('switched over beside dumps and transactions, without a writer for', gapMs(sinceMs));
    expect(gapMs(sinceMs), await rig.story()).toBeLessThan(1_000 + MARGIN_MS);
    expect(await waiting).toBe(false);
    await expect(holder.query('COMMIT')).rejects.toThrow();
    expect(await rig.admin(passive, 'SELECT 1 FROM app.writes WHERE id = -1')).toEqual([]);
    expect([await first, await second]).toEqual([true, true]);
  });

  it.each([
    ['LOCK TABLES on the active', 'active', 'LOCK TABLES app.writes WRITE'],
    ['LOCK TABLES on the passive', 'passive', 'LOCK TABLES app.writes WRITE'],
    ['FLUSH TABLES WITH READ LOCK on the passive', 'passive', 'FLUSH TABLES WITH READ LOCK'],
  ] as const)(
    'is not switched over through %s, and somebody takes writes again before it is gone',
    async (_what, where, lock) => {
      const locked = where === 'active' ? active : passive;
      const holder = await rig.administrator(locked);
      // On the active nobody can write to that table meanwhile; another one shows whether the host is open.
      await rig.admin(active, 'CREATE TABLE IF NOT EXISTS app.others (id INT)');
      await until(
        'it is there',
        async () => (await rig.admin(passive, "SHOW TABLES FROM app LIKE 'others'")).length === 1,
      );
      await holder.query(lock);
      const sinceMs = performance.now();
      const { code, said } = await rig.mmm('switchover');
      tell(`switchover given up (${where}: ${lock}) after`, performance.now() - sinceMs);
      expect({ code, said }, await rig.story()).toMatchObject({ code: 1 });
      await until(
        'the active takes writes again',
        async () => {
          const application = await rig.application(active).catch(() => null);
          try {
            await application?.query({ sql: 'INSERT INTO others (id) VALUES (1)', timeout: 500 });
            return application !== null;
          } catch {
            return false;
          } finally {
            application?.destroy();
          }
        },
        GONE_BACK_MS + MARGIN_MS,
      );
      tell('and it takes writes again after', performance.now() - sinceMs);
      expect(performance.now() - sinceMs).toBeLessThan(GONE_BACK_MS + 2 * MARGIN_MS);
      expect(rig.watch.stateOf(passive.port)).not.toBe('writable');
      await holder.query('UNLOCK TABLES');
      await until(
        'the client writes there',
        () => client.register.firstOn(active.port, performance.now() - 100) !== undefined,
      );
      holder.destroy();
    },
  );

  it('that is to be switched over while a backup holds FLUSH TABLES WITH READ LOCK on the active: one writer right after it', async () => {
    const backup = await rig.administrator(active);
    await backup.query('FLUSH TABLES WITH READ LOCK');
    const asked = rig.mmm('switchover');
    await rig.forMs(7_000);
    expect(rig.watch.stateOf(passive.port), await rig.story()).toBe('read-only');
    await backup.query('UNLOCK TABLES');
    const unlockedMs = performance.now();
    await until(
      'somebody takes writes',
      () => client.register.newest() !== undefined && (client.register.newest()?.atMs ?? 0) > unlockedMs + 200,
    );
    tell('the backup let go in the middle of a switchover, written again after', performance.now() - unlockedMs);
    expect(performance.now() - unlockedMs, await rig.story()).toBeLessThan(2_000 + MARGIN_MS);
    await asked;
    backup.destroy();
  });

  it('fails over beside a dump of the passive', async () => {
    const [reading] = await dump(passive);
    const sinceMs = performance.now();
    await active.kill();
    await rig.writable(passive);
    tell('failed over beside a dump after', performance.now() - sinceMs);
    expect(performance.now() - sinceMs).toBeLessThan(1_000 + MARGIN_MS);
    expect(await reading).toBe(true);
    await active.restart();
  });

  it.each([
    ['LOCK TABLES', 'LOCK TABLES app.writes WRITE'],
    ['FLUSH TABLES WITH READ LOCK', 'FLUSH TABLES WITH READ LOCK'],
  ])('fails over to a passive under %s when that is gone, with all that it had received', async (_what, lock) => {
    const holder = await rig.administrator(passive);
    await holder.query(lock);
    const before = client.register.size;
    await until('there is something to apply', () => client.register.size > before + 50);
    await active.kill();
    await rig.forMs(5_000);
    expect(rig.watch.stateOf(passive.port), await rig.story()).not.toBe('writable');
    const unlockedMs = performance.now();
    await holder.query('UNLOCK TABLES');
    await rig.writable(passive);
    tell(`${lock} of the passive gone, open after`, performance.now() - unlockedMs);
    expect(performance.now() - unlockedMs, await rig.story()).toBeLessThan(2_000 + MARGIN_MS);
    holder.destroy();
    await active.restart();
  });
});

// "Known ways to be fooled", on an armed pair (fencing=lease, two agents): what looks like a death and is none, and what looks alive and is not.
// One pair for many tests: each finds it settled, with whichever host as the active, and leaves it so.
//
// | way to be fooled                                  | here, with a lease | without a lease, or in parts                              |
// | ------------------------------------------------- | ------------------ | --------------------------------------------------------- |
// | FLUSH TABLES WITH READ LOCK on the active         | yes                | test/mysql/stress.real.test.ts, lease.real.test.ts        |
// | too many connections                              | yes                | trouble.test.ts; stress.real.test.ts                      |
// | wrong password                                    | yes                | trouble.test.ts                                           |
// | blocked host (1129)                               | no: graded the same| test/mysql/evidence.test.ts, test/core/death.test.ts      |
// | passive under backup, threads stopped             | yes                | cut-off.test.ts                                           |
// | passive that has not noticed yet                  | test/faults, table | cut-off.test.ts (a frozen active, heartbeats)             |
// | passive that replicates from somebody else        | yes                | test/core/witness.test.ts                                 |
// | port without protocol (frozen, a proxy accepts)   | test/faults, table | cut-off.test.ts, connection.real.test.ts                  |
// | firewall that rejects the managers alone          | yes                | cut-off.test.ts                                           |
// | a server's clock jumps                            | yes                | calls.real.test.ts (F17); told: agent-lease-record.test.ts |
// | a manager's clock jumps                           | no: monotonic      | test/core/death.test.ts, supervise.test.ts, test/simulation |
// | a manager frozen or starved                       | yes                | monitor.test.ts, supervise.test.ts                        |
// | another server behind the address                 | left-wrong.test.ts | lease-operator.test.ts (rebuilt while away)               |

import { join } from 'node:path';
import { type Connection, createConnection } from 'mysql2/promise';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Account, ADMIN, APP, MMM } from '../../src/sandbox/accounts.ts';
import { type Client, startClient } from '../../src/sandbox/client.ts';
import { type Mysqld, startMysqld } from '../../src/sandbox/mysqld.ts';
import { type ArmedRig, anArmedRig, CERTAINLY_CLOSED_MS, expectUndecided, LEASE_MS } from '../support/armed.ts';
import { frozen } from '../support/frozen.ts';
import { CAN_JUMP, withJumpingClock } from '../support/jumping-clock.ts';
import type { TcpProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';

/** A machine that runs other tests as well. */
const MARGIN_MS = 1_000;
/** Lease, the EVENT's second, and what it takes to notice and to act. */
const FAILED_OVER_MS = LEASE_MS + 4_000 + 2 * MARGIN_MS;
const BACKUP_MS = 8_000;

let rig: ArmedRig;
let active: Mysqld;
let passive: Mysqld;
let before: Readonly<Record<string, string>>;
let clients: Client[] = [];
let nextId = 1;

/** All is well, with whichever host as the active. */
async function settled(): Promise<void> {
  ({ active, passive } = await rig.settled());
  before = await rig.epoch();
}

/** All is well again, and nobody has decided anything meanwhile. */
async function settledAsBefore(): Promise<void> {
  const was = before;
  await settled();
  await expectUndecided(rig, was);
}

async function end(): Promise<void> {
  for (const client of clients.splice(0)) await client.stop();
  await rig.close();
}

/** Clients that write all the time, until the test ends. */
async function writing(): Promise<Client> {
  for (const client of clients.splice(0)) await client.stop();
  const client = startClient({ hosts: [active.host, passive.host], connections: 2, firstId: nextId });
  clients = [client];
  nextId += 1_000_000;
  await until('the client writes', () => client.register.size > 20);
  return client;
}

/** A row of a host as its administrator sees it. */
async function first(server: Mysqld, sql: string): Promise<Readonly<Record<string, unknown>>> {
  return (await rig.admin(server, sql))[0] ?? {};
}

async function threads(server: Mysqld): Promise<string> {
  const status = await first(server, 'SHOW SLAVE STATUS');
  return `io ${status['Slave_IO_Running']}, sql ${status['Slave_SQL_Running']}`;
}

function tell(what: string, ms: number): void {
  console.log(`${active.kind}: ${what} ${Math.round(ms)} ms`);
}

describe.each(['mariadb', 'mysql56'] as const)('an armed pair of %s', (kind) => {
  beforeAll(async () => {
    // A host that wakes up acknowledges a statement of each connection before it closes itself.
    rig = await anArmedRig({ kind, bothWritableMs: 300 });
  });
  afterAll(end);
  beforeEach(settled);

  it('whose active is held by a backup (FLUSH TABLES WITH READ LOCK): not failed over, and writable right after it', async () => {
    const backup = await rig.administrator(active);
    await backup.query('FLUSH TABLES WITH READ LOCK');
    await rig.forMs(BACKUP_MS);
    expect(rig.watch.stateOf(active.port)).not.toBe('writable');
    await backup.query('UNLOCK TABLES');
    const unlockedMs = performance.now();
    const tookMs = (await rig.steadySinceMs(active)) - unlockedMs;
    tell('the backup let go, writable for good after', tookMs);
    expect(tookMs, await rig.story()).toBeLessThan(1_000 + MARGIN_MS);
    await settledAsBefore();
  });

  it('with no place left for another connection on either host: renewed, and even switched over, on those that stand', async () => {
    const { register } = await writing();
    const held: Connection[] = [];
    const operators = await Promise.all([active, passive].map((server) => rig.administrator(server)));
    try {
      for (const [at, server] of [active, passive].entries()) {
        await operators[at]?.query('SET GLOBAL max_connections = 30');
        // The place that the server keeps for an administrator is taken as well.
        for (const account of [APP, ADMIN]) await fill(server, account, held);
      }
      const sinceMs = performance.now();
      await rig.forMs(CERTAINLY_CLOSED_MS);
      expect(register.longestGap(sinceMs).lengthMs, await rig.story()).toBeLessThan(MARGIN_MS);
      await expectUndecided(rig, before);
      expect(await rig.mmm('switchover')).toMatchObject({ code: 0 });
      await rig.writable(passive);
      await rig.readOnly(active);
    } finally {
      for (const connection of held) connection.destroy();
      for (const operator of operators) await operator.query('SET GLOBAL max_connections = 100');
    }
    await settled();
    expect(await register.accountFor(active.port, passive.port)).toMatchObject({ onlyOnOther: [], nowhere: [] });
  });

  // What follows does not depend on the server's kind.
  if (kind === 'mysql56') return;

  it('whose password somebody changed on the active: renewed on the connections that stand; without them it closes itself, and is not failed over', async () => {
    const operator = await rig.administrator(active);
    const password = async (word: string) => {
      await operator.query('SET SESSION sql_log_bin = 0');
      await operator.query(`SET PASSWORD FOR '${MMM.user}'@'127.0.0.1' = PASSWORD('${word}')`);
    };
    const { register } = await writing();
    await password('another');
    const sinceMs = performance.now();
    await rig.forMs(CERTAINLY_CLOSED_MS);
    expect(register.longestGap(sinceMs).lengthMs, await rig.story()).toBeLessThan(MARGIN_MS);
    // The server is alive, and nobody can tell it anything any more.
    await operator.query(`KILL USER '${MMM.user}'`);
    await rig.readOnly(active);
    await rig.told('it refuses our user or password');
    await rig.forMs(CERTAINLY_CLOSED_MS);
    expect(rig.watch.stateOf(passive.port)).toBe('read-only');
    await expectUndecided(rig, before);
    await password(MMM.password);
    await rig.writable(active);
    await settledAsBefore();
  });

  it('of which one agent, the monitor and identify stand still for a while: nothing happens', async () => {
    const { register } = await writing();
    const still = [rig.agents[0], rig.daemon('monitor'), rig.daemon('identify')];
    const sinceMs = performance.now();
    for (const { program } of still) program.signal('SIGSTOP');
    await rig.forMs(CERTAINLY_CLOSED_MS);
    for (const { program } of still) program.signal('SIGCONT');
    await rig.forMs(2_000);
    expect(register.longestGap(sinceMs).lengthMs, await rig.story()).toBeLessThan(MARGIN_MS);
    await settledAsBefore();
  });

  it.each([
    ['both agents', false],
    ['all of mmm', true],
  ])('of which %s stand still: the active closes itself, and is opened again when they wake up', async (_who, all) => {
    const still = [...rig.agents, ...(all ? [rig.daemon('monitor'), rig.daemon('identify')] : [])];
    const sinceMs = performance.now();
    for (const { program } of still) program.signal('SIGSTOP');
    await rig.readOnly(active, CERTAINLY_CLOSED_MS);
    tell('nobody renewed it, closed after', performance.now() - sinceMs);
    await rig.forMs(2_000);
    expect(rig.watch.stateOf(passive.port)).toBe('read-only');
    const wokenMs = performance.now();
    for (const { program } of still) program.signal('SIGCONT');
    await rig.writable(active);
    tell('the managers woke up, open again after', performance.now() - wokenMs);
    expect(performance.now() - wokenMs).toBeLessThan(2_000 + MARGIN_MS);
    await settledAsBefore();
  });

  it('whose passive has its threads stopped for a backup: left alone; when the active falls silent it is no witness, and is opened', async () => {
    await stopThreads();
    const { register } = await writing();
    await rig.forMs(3_000);
    expect(await threads(passive)).toBe('io No, sql No');
    await expectUndecided(rig, before);
    await failsOverWhenSilent();
    await rig.told('that the active never saw');
    const [old, now] = [active, passive];
    await settled();
    expect(active).toBe(now);
    // What it had not received came over when the other one was back: with asynchronous replication it is late, not lost.
    await until('all of it is there', async () => {
      const { onlyOnOther, nowhere } = await register.accountFor(active.port, old.port);
      return onlyOnOther.length + nowhere.length === 0;
    });
  });

  it('whose passive was stopped with something unapplied: not opened, as that would lose it, but the active when it is back', async () => {
    // Its SQL thread first: what it has received lies in its relay log, which a MariaDB with GTID throws away when it starts from a standstill.
    await quiet();
    await rig.admin(passive, 'STOP SLAVE SQL_THREAD');
    await rig.admin(active, `INSERT INTO app.writes (id) VALUES (${nextId++})`);
    const received = async () => (await first(passive, 'SHOW SLAVE STATUS'))['Read_Master_Log_Pos'];
    const { Position: position } = await first(active, 'SHOW MASTER STATUS');
    await until('it is received', async () => (await received()) === position);
    await rig.admin(passive, 'STOP SLAVE IO_THREAD');
    await until('the monitor saw it', async () => (await rig.hash(`${passive.host}-check`))['io'] === 'No');
    await frozen(active);
    try {
      await rig.told('starting them would throw those away');
      await rig.forMs(1_000);
      expect(rig.watch.stateOf(passive.port), await rig.story()).toBe('read-only');
    } finally {
      active.thaw();
    }
    await rig.writable(active);
    await rig.admin(passive, 'START SLAVE');
    const was = active;
    await settled();
    expect(active).toBe(was);
  });

  it('whose passive replicates from somebody else: told, not switched over; what it hears there is no word about the active', async () => {
    const somebody = await startMysqld({ kind, dir: join(rig.dir, 'c'), serverId: 3 });
    try {
      await replicateFrom(passive, somebody.port);
      await until('it replicates from there', async () => (await threads(passive)) === 'io Yes, sql Yes');
      await until('the status shows it', async () => (await rig.mmm('status')).said.includes('replcheck: Error'));
      expect(await rig.mmm('switchover')).toMatchObject({ code: 1, said: expect.stringContaining('replicate') });
      await rig.forMs(2_000);
      await expectUndecided(rig, before);
      expect((await first(passive, 'SHOW SLAVE STATUS'))['Master_Port']).toBe(somebody.port);
      await failsOverWhenSilent();
      // Nobody but the operator says where a server replicates from.
      expect((await first(passive, 'SHOW SLAVE STATUS'))['Master_Port']).toBe(somebody.port);
      await replicateFrom(passive, active.port);
      await settled();
    } finally {
      await somebody.kill();
    }
  });

  async function quiet(): Promise<void> {
    for (const client of clients.splice(0)) await client.stop();
    const { Position: position } = await first(active, 'SHOW MASTER STATUS');
    await until('all is applied', async () => {
      return (await first(passive, 'SHOW SLAVE STATUS'))['Exec_Master_Log_Pos'] === position;
    });
  }

  /** With nothing unapplied. */
  async function stopThreads(): Promise<void> {
    await quiet();
    await rig.admin(passive, 'STOP SLAVE');
    await until('the monitor saw it', async () => (await rig.hash(`${passive.host}-check`))['io'] === 'No');
  }

  /** The active freezes, the passive is opened in time; then it wakes up and is the passive. */
  async function failsOverWhenSilent(): Promise<void> {
    await frozen(active);
    const frozenMs = performance.now();
    try {
      await rig.writable(passive);
      tell('frozen, the other host writable after', performance.now() - frozenMs);
      expect(performance.now() - frozenMs, await rig.story()).toBeLessThan(FAILED_OVER_MS);
    } finally {
      active.thaw();
    }
    await rig.readOnly(active);
  }

  async function replicateFrom(server: Mysqld, port: number): Promise<void> {
    for (const sql of ['STOP SLAVE', `CHANGE MASTER TO MASTER_PORT=${port}`, 'START SLAVE'])
      await rig.admin(server, sql);
  }
});

async function fill(server: Mysqld, account: Account, held: Connection[]): Promise<void> {
  await until(`${server.host} has no place left`, async () => {
    try {
      // Without a database: nobody takes it for a client that waits there.
      const { user, password } = account;
      const one = await createConnection({ host: '127.0.0.1', port: server.port, user, password });
      one.on('error', () => undefined);
      held.push(one);
      return false;
    } catch (error) {
      if (error instanceof Error && 'errno' in error && error.errno === 1040) return true;
      throw error;
    }
  });
}

describe('a firewall that rejects the managers alone, agents among them', () => {
  let proxy: TcpProxy;
  beforeAll(async () => {
    rig = await anArmedRig({ proxied: true });
    if (rig.proxy === null) throw new Error('this rig has a proxy');
    ({ proxy } = rig);
  });
  afterAll(end);

  it('ends in one failover, after the active has closed itself; when it is gone the old active is the passive', async () => {
    await settled();
    expect(active).toBe(rig.a);
    const { register } = await writing();
    const rejectedMs = performance.now();
    await proxy.become('rejects');
    await rig.writable(rig.b);
    tell('rejected, the other host writable after', performance.now() - rejectedMs);
    expect(performance.now() - rejectedMs, await rig.story()).toBeLessThan(2 * LEASE_MS + 4_000 + MARGIN_MS);
    const opened = rig.watch.changes.find(({ port, state }) => port === rig.b.port && state === 'writable');
    expect(register.lastOn(rig.a.port)?.atMs).toBeLessThan(opened?.atMs ?? 0);
    await proxy.become('passes');
    await settled();
    expect(active).toBe(rig.b);
    expect(Number(before['number'])).toBeGreaterThan(1);
    expect(await register.accountFor(rig.b.port, rig.a.port)).toMatchObject({ onlyOnOther: [], nowhere: [] });
  });
});

const HOUR = 3_600;

describe.skipIf(!CAN_JUMP).each(['mariadb', 'mysql56'] as const)("a clock that jumps, a server's of %s", (kind) => {
  let jump: (server: Mysqld, seconds: number) => Promise<void>;
  beforeAll(async () => {
    rig = await anArmedRig({ kind }, async ({ a, b }) => {
      const [ofA, ofB] = [await withJumpingClock(a), await withJumpingClock(b)];
      jump = async (server, seconds) => {
        await (server === a ? ofA : ofB)(seconds);
        const { now } = await first(server, 'SELECT UNIX_TIMESTAMP() AS now');
        expect(Math.abs(Number(now) - Date.now() / 1000 - seconds)).toBeLessThan(5);
      };
    });
  });
  afterAll(end);
  beforeEach(settled);

  it('the active’s, an hour forward and back again: it closes itself at most for a moment, and is armed as before', async () => {
    const { register } = await writing();
    for (const seconds of [HOUR, 0]) {
      const sinceMs = performance.now();
      await jump(active, seconds);
      await rig.forMs(CERTAINLY_CLOSED_MS);
      const { lengthMs } = register.longestGap(sinceMs);
      tell(`its clock is ${seconds} s ahead, nobody could write for`, lengthMs);
      expect(lengthMs, await rig.story()).toBeLessThan(1_000 + MARGIN_MS);
      await settledAsBefore();
      await stillFences();
    }
  });

  it('the passive’s, an hour forward and back again: nothing happens, and it can be switched over to', async () => {
    const { register } = await writing();
    for (const seconds of [HOUR, 0]) {
      const sinceMs = performance.now();
      await jump(passive, seconds);
      await rig.forMs(3_000);
      expect(register.longestGap(sinceMs).lengthMs, await rig.story()).toBeLessThan(MARGIN_MS);
      await settledAsBefore();
    }
    await until('it is fit for the role', async () => (await rig.mmm('switchover', '--dry-run')).code === 0);
    expect(await rig.mmm('switchover')).toMatchObject({ code: 0 });
  });

  /** Armed in truth: when nobody renews its lease it closes itself. */
  async function stillFences(): Promise<void> {
    for (const { program } of rig.agents) program.signal('SIGSTOP');
    try {
      await rig.readOnly(active, CERTAINLY_CLOSED_MS);
    } finally {
      for (const { program } of rig.agents) program.signal('SIGCONT');
    }
    await settledAsBefore();
  }
});

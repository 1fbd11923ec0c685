// What semi-synchronous replication of the simulated servers does, case for case as it was tried on real ones: findings F1, F2, F5, F7, F12 and
// F18 of the protocol (docs/protocol.md), on MariaDB and on MySQL.

import { describe, expect, test } from 'vitest';
import { twoHosts } from './bench.ts';
import type { Connection, SimHost } from './host.ts';
import type { ReplicationStyle } from './replica.ts';

const MARIADB: Partial<ReplicationStyle> = { gtid: true };
const MYSQL: Partial<ReplicationStyle> = {};
const FLAVOURS = [
  ['MariaDB', MARIADB],
  ['MySQL', MYSQL],
] as const;

/** A takes writes, which wait for B's acknowledgement. */
async function aPairAtWork(style: Partial<ReplicationStyle>) {
  const hosts = twoHosts(style);
  const { a, b, run } = hosts;
  a.schema.beginInstall();
  b.schema.beginInstall();
  a.schema.finishInstall();
  b.schema.finishInstall();
  const sessions: Connection[] = [];
  b.semiSync.replica = true;
  b.replica.stop({ io: true, sql: false });
  b.replica.start({ io: true, sql: false });
  a.semiSync.switchOn();
  a.setReadOnly(false, true);
  await run(50);
  return {
    ...hosts,
    sessions,
    /** Clients of this server write, each in a session of its own. */
    write(count: number, to: SimHost = a) {
      for (let left = count; left > 0; left--) {
        const dialled = to.dial('client', true, () => {});
        if (dialled.kind !== 'connected') throw new Error(dialled.kind);
        sessions.push(dialled.connection);
        to.commit(sessions.length, dialled.connection, () => {});
      }
    },
    /** B receives nothing, so nothing is acknowledged. */
    async withoutReplica() {
      b.replica.stop({ io: true, sql: false });
      await run(50);
    },
    async withReplica() {
      b.replica.start({ io: true, sql: false });
      await run(50);
    },
  };
}

const ids = (host: SimHost) => host.log.map(({ id }) => id);

describe.each(FLAVOURS)('a commit on %s', (flavour, style) => {
  test('is told when the replica has received it, and not before', async () => {
    const { a, b, write, run, told } = await aPairAtWork(style);
    b.replica.stop({ io: false, sql: true });
    write(1);
    expect(ids(a)).toEqual([1]);
    expect(a.log.map((one) => a.semiSync.isWaiting(one))).toEqual([true]);
    expect(told).toEqual([]);
    await run(20);
    expect(told).toEqual(['A 1']);
    expect(b.replica.unapplied).toBe(1);
    expect(a.facts().semiSync).toMatchObject({ source: true, clients: 1, waiting: 0, acknowledged: 1 });
    expect(b.facts().semiSync).toMatchObject({ source: false, replica: true, replicaOn: true });
  });

  test('waits without a replica for as long as that takes', async () => {
    const { a, write, run, told, withoutReplica, withReplica } = await aPairAtWork(style);
    await withoutReplica();
    write(6);
    await run(600_000);
    expect(told).toEqual([]);
    expect(a.facts().semiSync).toMatchObject({ source: true, clients: 0, waiting: 1 });
    await withReplica();
    expect(told).toHaveLength(6);
  });

  test('is told OK when the source side is switched off', async () => {
    const { a, write, told, withoutReplica } = await aPairAtWork(style);
    await withoutReplica();
    write(6);
    a.semiSync.switchOff();
    expect(told).toHaveLength(6);
    expect(ids(a)).toHaveLength(6);
  });

  test('F18: keeps read_only from being set', async () => {
    const { a, write, withoutReplica, withReplica } = await aPairAtWork(style);
    await withoutReplica();
    expect(a.isLocked).toBe(false);
    write(1);
    expect(a.isLocked).toBe(true);
    await withReplica();
    expect(a.isLocked).toBe(false);
  });

  test('is never told after the server was killed, and stands there when it is back', async () => {
    const { a, b, write, run, told, withoutReplica } = await aPairAtWork(style);
    await withoutReplica();
    write(6);
    a.die(false);
    await run(1_000);
    a.restart();
    b.replica.start({ io: true, sql: false });
    await run(3_000);
    expect(told).toEqual([]);
    // MariaDB writes into its binary log what waits and the next in turn.
    expect(ids(a)).toEqual(flavour === 'MariaDB' ? [1, 2] : [1, 2, 3, 4, 5, 6]);
    expect(a.log.some((one) => a.semiSync.isWaiting(one))).toBe(false);
  });

  test('F5: of a server that was frozen is told when it wakes, by an acknowledgement of a replica that may be open by then', async () => {
    const { a, b, write, run, told, withoutReplica } = await aPairAtWork(style);
    await withoutReplica();
    write(1);
    a.freeze();
    await run(5_000);
    expect(told).toEqual([]);
    b.replica.start({ io: true, sql: false });
    await run(5_000);
    expect(told).toEqual([]);
    a.thaw();
    await run(2_000);
    expect(told).toEqual(['A 1']);
  });

  test('waits through a cut, and no longer', async () => {
    const { a, b, network, write, run, told } = await aPairAtWork(style);
    network.cut('A', 'B');
    network.cut('B', 'A');
    write(1);
    await run(2_000);
    expect(told).toEqual([]);
    // Nothing has told the source that nobody listens there.
    expect(a.facts().semiSync).toMatchObject({ clients: 1, waiting: 1 });
    network.heal('A', 'B');
    network.heal('B', 'A');
    await run(100);
    expect(told).toEqual(['A 1']);
    expect(ids(b)).toEqual([1]);
  });

  test('F1: is told OK to nobody by the fence, which ends the sessions', async () => {
    const { a, write, told, withoutReplica, withReplica } = await aPairAtWork(style);
    await withoutReplica();
    write(6);
    expect(a.killSessions()).toBe(flavour === 'MariaDB' ? 0 : 6);
    expect(told).toEqual([]);
    expect(a.isLocked).toBe(true);
    await withReplica();
    // On MariaDB whoever commits was spared, and truly acknowledged.
    expect(told).toHaveLength(flavour === 'MariaDB' ? 6 : 0);
    expect(ids(a)).toHaveLength(6);
    expect(a.isLocked).toBe(false);
  });

  test('is told at a SHUTDOWN: by MySQL to all, by MariaDB to nobody', async () => {
    const { a, write, run, told, withoutReplica } = await aPairAtWork(style);
    await withoutReplica();
    write(6);
    a.shutDown();
    await run(100);
    expect(a.state).toBe('down');
    expect(told).toHaveLength(flavour === 'MariaDB' ? 0 : 6);
  });
});

describe('F18: ending what waits for an acknowledgement', () => {
  test('MariaDB: tells nobody OK, and read_only can be set', async () => {
    const { a, write, run, told, withoutReplica } = await aPairAtWork(MARIADB);
    await withoutReplica();
    write(6);
    expect(a.endWaits()).toBe(6);
    await run(100);
    expect(told).toEqual([]);
    expect(ids(a)).toHaveLength(6);
    expect(a).toMatchObject({ isLocked: false, semiSync: { source: true } });
  });

  test('MariaDB: its own applier, which cannot be ended, goes on', async () => {
    const { a, write, told, withoutReplica } = await aPairAtWork(MARIADB);
    await withoutReplica();
    let isApplied = false;
    a.commitApplied({ id: 99, origin: 2, seq: 1, atMs: 0 }, () => {
      isApplied = true;
    });
    write(3);
    expect(a.endWaits()).toBe(3);
    expect(isApplied).toBe(true);
    expect(told).toEqual([]);
    expect(a).toMatchObject({ isLocked: false, semiSync: { source: false } });
  });

  test('is not tried while somebody else’s lock is in the way, nor on MySQL', async () => {
    for (const [style, locks] of [
      [MARIADB, 1],
      [MYSQL, 0],
    ] as const) {
      const { a, write, withoutReplica } = await aPairAtWork(style);
      await withoutReplica();
      write(3);
      a.locks = locks;
      expect(a.endWaits()).toBeNull();
      expect(a.isLocked).toBe(true);
    }
  });
});

describe('F1: an administrator’s KILL of commits that wait', () => {
  test('MariaDB: the leader’s end lets its group go, and its followers are told OK', async () => {
    const { a, write, told, sessions, withoutReplica } = await aPairAtWork(MARIADB);
    await withoutReplica();
    write(6);
    for (const session of sessions.slice(0, 3)) a.kill(session);
    expect(told).toEqual(['A 4', 'A 5', 'A 6']);
  });

  test('MariaDB: the followers first and the leader last, and nobody is', async () => {
    const { a, write, told, sessions, withoutReplica } = await aPairAtWork(MARIADB);
    await withoutReplica();
    write(6);
    for (const session of [...sessions].reverse()) a.kill(session);
    expect(told).toEqual([]);
    expect(a.isLocked).toBe(false);
  });

  test('MariaDB: who joins a group whose leader was killed before is told OK without an acknowledgement', async () => {
    const { a, b, write, told, sessions, withoutReplica } = await aPairAtWork(MARIADB);
    await withoutReplica();
    write(3);
    for (const session of sessions.slice(1)) a.kill(session);
    write(1);
    // Only what stands in the binary log by now is acknowledged, before the replica is gone again.
    const replica = {};
    a.semiSync.meets(replica, 0);
    a.semiSync.acknowledge(replica, 2);
    expect(told).toEqual(['A 1', 'A 4']);
    expect(ids(b)).toEqual([]);
  });

  test('MySQL: they go on waiting, whoever is killed', async () => {
    const { a, write, told, sessions, withoutReplica } = await aPairAtWork(MYSQL);
    await withoutReplica();
    write(6);
    for (const session of sessions.slice(0, 3)) a.kill(session);
    expect(told).toEqual([]);
    expect(a.isLocked).toBe(true);
    a.semiSync.switchOff();
    expect(told).toEqual(['A 4', 'A 5', 'A 6']);
    expect(ids(a)).toHaveLength(6);
  });
});

describe('a replica', () => {
  test('acknowledges by what was set when its I/O thread connected', async () => {
    const { b, write, run, told } = await aPairAtWork(MYSQL);
    b.semiSync.replica = false;
    write(1);
    await run(50);
    expect(told).toEqual(['A 1']);
    b.replica.stop({ io: true, sql: false });
    b.replica.start({ io: true, sql: false });
    await run(50);
    write(1);
    await run(2_000);
    expect(b.facts().semiSync).toMatchObject({ replica: false, replicaOn: false });
    expect(ids(b)).toEqual([1, 2]);
    expect(told).toEqual(['A 1']);
  });

  test('of MariaDB does not acknowledge what it received before it acknowledged', async () => {
    const { a, b, write, run, told } = await aPairAtWork(MARIADB);
    b.semiSync.replica = false;
    b.replica.stop({ io: true, sql: false });
    b.replica.start({ io: true, sql: false });
    await run(50);
    write(6);
    await run(1_000);
    expect(ids(b)).toEqual([1, 2]);
    b.semiSync.replica = true;
    b.replica.stop({ io: true, sql: false });
    b.replica.start({ io: true, sql: false });
    await run(60_000);
    expect(a.facts().semiSync).toMatchObject({ clients: 1, waiting: 1 });
    expect(told).toEqual([]);
    a.semiSync.switchOff();
    expect(told).toHaveLength(6);
  });

  test('is missed at once when its server dies, and not when its machine loses its power', async () => {
    for (const power of [false, true]) {
      const { a, b, run } = await aPairAtWork(MYSQL);
      b.die(power);
      await run(50);
      expect(a.facts().semiSync).toMatchObject({ clients: power ? 1 : 0 });
    }
  });

  test('is not missed any more when it connects anew, acknowledging or not: the source ends its old connection', async () => {
    const { a, b, run } = await aPairAtWork({ startsItself: true });
    b.die(true);
    await run(1_000);
    b.restart();
    await run(1_500);
    expect(b.replica.runs).toBe(true);
    expect(a.facts().semiSync).toMatchObject({ clients: 0 });
  });

  test('acknowledges to a source that lost its power for a moment when it has connected anew', async () => {
    const { a, b, run, write, told } = await aPairAtWork(MYSQL);
    a.die(true);
    await run(500);
    a.restart();
    a.semiSync.switchOn();
    a.setReadOnly(false, true);
    await run(3_000);
    expect(b.replica.acknowledges).toBe(true);
    expect(a.facts().semiSync).toMatchObject({ clients: 1 });
    write(1);
    await run(50);
    expect(told).toEqual(['A 1']);
  });

  test('F2: has lost what it acknowledged and did not apply after a restart, as its style says', async () => {
    for (const [style, left] of [
      [MARIADB, 0],
      [MYSQL, 3],
      [{ relayLogRecovery: true }, 0],
    ] as const) {
      const { b, write, run, told } = await aPairAtWork(style);
      b.replica.stop({ io: false, sql: true });
      write(3);
      await run(50);
      expect(told).toHaveLength(3);
      b.die(false);
      b.restart();
      expect(b.replica.unapplied).toBe(left);
    }
  });
});

test('F7: a restart forgets that it was switched on', async () => {
  const { a, b, run, told, write } = await aPairAtWork(MYSQL);
  a.die(false);
  b.die(false);
  a.restart();
  b.restart();
  await run(50);
  expect(a.facts().semiSync).toMatchObject({ source: false });
  expect(b.facts().semiSync).toMatchObject({ replica: false, replicaOn: false });
  a.setReadOnly(false, true);
  write(1);
  expect(told).toEqual(['A 1']);
});

describe.each(FLAVOURS)('F12: the applier on %s', (_, style) => {
  test('waits for the acknowledgement that its own server wants, and goes on when that is switched off', async () => {
    const { a, b, write, run, told } = await aPairAtWork(style);
    b.semiSync.switchOn();
    write(20);
    await run(5_000);
    expect(told).toHaveLength(20);
    expect(b.replica.unapplied).toBe(20);
    expect(b.facts().replication).toMatchObject({ sql: 'Yes', readAll: false });
    b.semiSync.switchOff();
    await run(1_000);
    expect(b.replica.unapplied).toBe(0);
    expect(ids(b)).toEqual(ids(a));
  });
});

// A rig with an armed lease, and the questions that its tests ask again and again: is all well, was anything decided, who takes writes.
// Used by test/servers/fooled.test.ts, left-wrong.test.ts and held-up.test.ts, which share one rig among many tests.

import { execFile } from 'node:child_process';
import { Redis } from 'ioredis';
import { type Connection, createConnection } from 'mysql2/promise';
import { expect } from 'vitest';
import { ADMIN, APP, APP_DATABASE } from '../../src/sandbox/accounts.ts';
import type { Daemon } from '../../src/sandbox/daemons.ts';
import type { Mysqld } from '../../src/sandbox/mysqld.ts';
import { aRig, type Rig, type RigOptions, TAG, UNIQSIGN } from './rig.ts';
import { until } from './until.ts';

export const LEASE_MS = 3_000;
/** Lease, the EVENT's second, and something for a busy machine: who would close itself has done so by then. */
export const CERTAINLY_CLOSED_MS = LEASE_MS + 3_000;

/** The role stays where it is, as long as nobody must move it. */
const PAIR = { fencing: 'lease', on_unreachable: 'wait', lease: '3', failback: 'never', min_failover_interval: '0' };

export interface ArmedRig extends Rig {
  readonly agents: readonly [Daemon, Daemon];
  /** Waits until nothing is left to do: armed, both agents there, both hosts replicate. */
  settled(): Promise<{ readonly active: Mysqld; readonly passive: Mysqld }>;
  /** The decision on the board. */
  epoch(): Promise<Readonly<Record<string, string>>>;
  /** A hash of the pair's keys. */
  hash(name: string): Promise<Readonly<Record<string, string>>>;
  mmm(...args: string[]): Promise<{ readonly code: number; readonly said: string }>;
  /** An administrator's session; ended by close(), or by the test. */
  administrator(server: Mysqld): Promise<Connection>;
  /** A session of the application. */
  application(server: Mysqld): Promise<Connection>;
  told(what: string, withinMs?: number): Promise<void>;
  /** Lets time pass. */
  forMs(ms: number): Promise<void>;
  /** Since when, monotonic milliseconds, it has taken writes without a break; waits for three seconds of them. */
  steadySinceMs(server: Mysqld, withinMs?: number): Promise<number>;
}

/** `prepare` may do something to the servers before any daemon of mmm looks at them. */
export async function anArmedRig(
  options: RigOptions = {},
  prepare: (rig: Rig) => Promise<void> = async () => undefined,
): Promise<ArmedRig> {
  const rig = await aRig({ ...options, roles: [], pair: { ...PAIR, ...options.pair } });
  await prepare(rig);
  await rig.start('monitor');
  await rig.start('identify');
  const agents = [await rig.start('agent', 'agent-1'), await rig.start('agent', 'agent-2')] as const;
  const redis = new Redis({ host: '127.0.0.1', port: rig.redis.port });
  redis.on('error', () => undefined);
  const sessions: Connection[] = [];

  const key = (name: string) => `mysql-${UNIQSIGN}-${name}`;
  const hash = (name: string) => redis.hgetall(key(name));
  const epoch = () => hash('epoch');
  const patiently = async (what: string, check: () => Promise<boolean>, withinMs: number) => {
    try {
      await until(what, check, withinMs);
    } catch (cause) {
      throw new Error(`${what} did not happen within ${withinMs} ms\n${await rig.story()}`, { cause });
    }
  };
  const connect = async (server: Mysqld, account: { user: string; password: string; database?: string }) => {
    const connection = await createConnection({ host: '127.0.0.1', port: server.port, ...account });
    connection.on('error', () => undefined);
    sessions.push(connection);
    return connection;
  };
  const isSettled = async () => {
    const [{ id, lease }, report, unfenced, names] = await Promise.all([
      epoch(),
      hash('report'),
      redis.get(key('unfenced')),
      redis.smembers(key('agents')),
    ]);
    if (lease !== 'finite' || unfenced !== '0' || report['outcome'] !== 'opened' || id !== report['id']) return false;
    const records = await Promise.all(names.map((name) => redis.get(key(`agent-${name}`))));
    return records.filter((record) => record?.startsWith('1 ')).length >= agents.length;
  };

  return {
    ...rig,
    agents,
    hash,
    epoch,
    settled: async () => {
      await rig.replicating(40_000);
      await patiently('all is well', isSettled, 40_000);
      const { active } = await epoch();
      const [one, other] = active?.endsWith(`:${rig.b.port}`) ? [rig.b, rig.a] : [rig.a, rig.b];
      await rig.writable(one);
      await rig.readOnly(other);
      return { active: one, passive: other };
    },
    mmm: async (...args) => {
      const [file = '', ...rest] = rig.cli([...args, '--tag', TAG, '--conf', rig.files.manager]);
      return await new Promise((resolve) => {
        execFile(file, rest, (error, stdout, stderr) => {
          const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
          resolve({ code, said: `${stdout}${stderr}` });
        });
      });
    },
    administrator: (server) => connect(server, ADMIN),
    application: (server) => connect(server, { ...APP, database: APP_DATABASE }),
    told: (what, withinMs = 20_000) =>
      patiently(`somebody says ${what}`, async () => (await rig.story()).includes(what), withinMs),
    forMs: async (ms) => {
      const sinceMs = performance.now();
      await until('the time is over', () => performance.now() - sinceMs > ms, ms + 10_000);
    },
    steadySinceMs: async ({ host, port }, withinMs = 30_000) => {
      const last = () => rig.watch.changes.findLast((change) => change.port === port);
      await patiently(
        `${host} takes writes without a break`,
        async () => last()?.state === 'writable' && performance.now() - (last()?.atMs ?? 0) > 3_000,
        withinMs,
      );
      return last()?.atMs ?? 0;
    },
    close: async () => {
      for (const session of sessions) session.destroy();
      redis.disconnect();
      await rig.close();
    },
  };
}

/** Nothing was decided meanwhile. */
export async function expectUndecided(rig: ArmedRig, before: Readonly<Record<string, string>>): Promise<void> {
  const now = await rig.epoch();
  expect({ number: now['number'], active: now['active'] }, await rig.story()).toEqual({
    number: before['number'],
    active: before['active'],
  });
}

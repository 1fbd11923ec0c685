// A whole mmm on real parts for the scenarios: a pair, a Redis, the three daemons from the built file, a writing client, and a
// watch that proves two writers. Used by test/servers/; everything ends with close().

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { ask, type Row } from '../../src/sandbox/accounts.ts';
import { type Client, startClient } from '../../src/sandbox/client.ts';
import {
  type ConfigurationFiles,
  type Daemon,
  type DaemonLine,
  type DaemonRole,
  startDaemon,
  writeConfigurationFiles,
} from '../../src/sandbox/daemons.ts';
import { ownFolder } from '../../src/sandbox/lifetime.ts';
import type { Mysqld } from '../../src/sandbox/mysqld.ts';
import { type SandboxPair, startPair } from '../../src/sandbox/pair.ts';
import { type Redis, startRedis } from '../../src/sandbox/redis.ts';
import type { ServerKind } from '../../src/sandbox/template.ts';
import { startWatch, type Watch } from '../../src/sandbox/watch.ts';
import { startDrainWatch } from './drain-watch.ts';
import { startProxy, type TcpProxy } from './proxy.ts';
import { until } from './until.ts';

const BUNDLE = resolve(import.meta.dirname, '../../dist/mmm.js');
export const UNIQSIGN = '8d9a4b2924dc40baa792d742cb786345';
export const TAG = 'mysql3308';

export interface RigOptions {
  readonly kind?: ServerKind;
  readonly roles?: readonly DaemonRole[];
  readonly pair?: Readonly<Record<string, string>>;
  readonly mysql?: Readonly<Record<string, string>>;
  readonly extra?: readonly string[];
  /** How long both hosts may be found writable at once, ms. Only a host that wakes up needs more than none. */
  readonly bothWritableMs?: number;
  /** mmm knows the primary by the port of a proxy, which can cut it off; clients, replication and the watch do not. */
  readonly proxied?: boolean;
  /** The operator's policy says to open a host without all that it had received. */
  readonly skips?: boolean;
}

export interface Rig {
  readonly dir: string;
  readonly pair: SandboxPair;
  /** The primary and the secondary. */
  readonly a: Mysqld;
  readonly b: Mysqld;
  readonly redis: Redis;
  /** Between mmm and the primary; null unless asked for. */
  readonly proxy: TcpProxy | null;
  readonly files: ConfigurationFiles;
  readonly watch: Watch;
  /** The first daemon of each role that was started. */
  daemon(role: DaemonRole): Daemon;
  start(role: DaemonRole, name?: string, files?: ConfigurationFiles): Promise<Daemon>;
  /** One statement as root. */
  admin(server: Mysqld, sql: string): Promise<readonly Row[]>;
  /** A client that writes all the time; ended by close(). */
  client(hosts?: readonly string[]): Client;
  /** Waits until a client without admin rights can write there. */
  writable(server: Mysqld, withinMs?: number): Promise<void>;
  readOnly(server: Mysqld, withinMs?: number): Promise<void>;
  /** Both replication threads run on both hosts. */
  replicating(withinMs?: number): Promise<void>;
  lines(role: DaemonRole): Promise<readonly DaemonLine[]>;
  /** Everything that the daemons said, for a test that fails. */
  story(): Promise<string>;
  cli(args: readonly string[]): readonly string[];
  /** Ends everything, and fails when two writers (S1) or a host ahead of its own log (S4) were seen at any time. */
  close(): Promise<void>;
}

export async function aRig(options: RigOptions = {}): Promise<Rig> {
  const dir = await mkdtemp(join(tmpdir(), 'mmm-rig-'));
  ownFolder(dir);
  const pair = await startPair({ kind: options.kind ?? 'mariadb', dir, extra: options.extra ?? [] });
  const redis = await startRedis({ dir: join(dir, 'redis') });
  const { a, b } = pair;
  const proxy = options.proxied === true ? await startProxy(a) : null;
  const files = await writeConfigurationFiles({
    dir,
    tag: TAG,
    uniqsign: UNIQSIGN,
    primary: proxy?.host ?? a.host,
    secondary: b.host,
    redis: redis.host,
    pair: options.pair ?? {},
    mysql: options.mysql ?? {},
  });
  const watch = startWatch([a.port, b.port]);
  const drains = startDrainWatch([a.port, b.port]);
  const daemons: Daemon[] = [];
  const clients: Client[] = [];
  const start = async (role: DaemonRole, name: string = role, own: ConfigurationFiles = files) => {
    const daemon = await startDaemon({ role, name, files: own, dir, command: [process.execPath, BUNDLE] });
    daemons.push(daemon);
    return daemon;
  };
  const daemon = (role: DaemonRole) => {
    const found = daemons.find((known) => known.role === role);
    if (found === undefined) throw new Error(`no ${role} was started`);
    return found;
  };
  const story = async () => {
    const all = await Promise.all(
      daemons.map(async ({ role, lines }) =>
        (await lines()).map((line) => `${line.time} ${role}: ${line.level} ${line.message}`),
      ),
    );
    return all.flat().sort().join('\n');
  };
  /** A wait that fails tells what the daemons said. */
  const patiently = async (what: string, check: () => boolean | Promise<boolean>, withinMs: number) => {
    try {
      await until(what, check, withinMs);
    } catch (cause) {
      throw new Error(`${what} did not happen within ${withinMs} ms\n${await story()}`, { cause });
    }
  };
  for (const role of options.roles ?? (['monitor', 'identify', 'agent'] as const)) await start(role);
  return {
    dir,
    pair,
    a,
    b,
    redis,
    proxy,
    files,
    watch,
    daemon,
    start,
    admin: async (server, sql) => {
      try {
        return await ask({ port: server.port, sql });
      } catch (error) {
        // While an agent kills sessions, MySQL 5.6 now and then closes that of somebody who is just logging in.
        if (!isLost(error)) throw error;
        return await ask({ port: server.port, sql });
      }
    },
    client: (hosts = [a.host, b.host]) => {
      const client = startClient({ hosts });
      clients.push(client);
      return client;
    },
    writable: (server, withinMs = 20_000) =>
      patiently(`${server.host} takes writes`, () => watch.stateOf(server.port) === 'writable', withinMs),
    readOnly: (server, withinMs = 20_000) =>
      patiently(`${server.host} is read only`, () => watch.stateOf(server.port) === 'read-only', withinMs),
    replicating: (withinMs = 20_000) =>
      patiently(
        'both hosts replicate',
        async () => {
          const rows = await Promise.all([a, b].map(({ port }) => ask({ port, sql: 'SHOW SLAVE STATUS' })));
          return rows.every(([row]) => row?.['Slave_IO_Running'] === 'Yes' && row['Slave_SQL_Running'] === 'Yes');
        },
        withinMs,
      ),
    lines: (role) => daemon(role).lines(),
    story,
    cli: (args) => [process.execPath, BUNDLE, ...args],
    close: async () => {
      await Promise.all(clients.map((client) => client.stop()));
      await watch.stop();
      await drains.stop();
      const told = await story();
      for (const { program } of daemons) await program.kill();
      await proxy?.close();
      await redis.kill();
      await pair.close();
      await rm(dir, { recursive: true, force: true });
      if (watch.bothWritableMs > (options.bothWritableMs ?? 0)) {
        throw new Error(`both hosts took writes for ${watch.bothWritableMs} ms\n${told}`);
      }
      if (drains.proofs.length > 0 && options.skips !== true) throw new Error(`${drains.proofs.join('\n')}\n${told}`);
    },
  };
}

/** The server closed the connection while it was used, without a word. */
export function isLost(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'PROTOCOL_CONNECTION_LOST';
}

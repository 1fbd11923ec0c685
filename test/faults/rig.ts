// A whole mmm in a network of its own: each database host, two places for managers, the board and the applications are namespaces
// (network.ts), and in them run the sandbox's real servers and the daemons of the built file. It lives through many faults:
// settle() mends everything and waits until the pair is as it should be. Used by trial.ts.

import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Redis as RedisClient } from 'ioredis';
import { createConnection, type RowDataPacket } from 'mysql2/promise';
import { ADMIN, APP, ask, MMM, REPLICATION, type Row } from '../../src/sandbox/accounts.ts';
import {
  type ConfigurationFiles,
  type Daemon,
  type DaemonLine,
  type DaemonRole,
  startDaemon,
  writeConfigurationFiles,
} from '../../src/sandbox/daemons.ts';
import { ownFolder } from '../../src/sandbox/lifetime.ts';
import { type Mysqld, startMysqld } from '../../src/sandbox/mysqld.ts';
import { type Redis, startRedis } from '../../src/sandbox/redis.ts';
import type { ServerKind } from '../../src/sandbox/template.ts';
import { type Crowd, startCrowd } from './crowd.ts';
import { isRunning, type Network, openNetwork, type Place } from './network.ts';

const BUNDLE = resolve(import.meta.dirname, '../../dist/mmm.js');
const TAG = 'mysql3301';
const UNIQSIGN = 'a5d9e6a0f4b54b12b7f15a10c3c3f0f1';
/** Of an account that comes over the network of the namespaces. */
const FROM_NETWORK = '10.77.%';
const FOLDER = 'mmm-faults-';
const REDIS_PORT = 6379;
const PAUSE_MS = 100;
const SETTLE_MS = 90_000;
/** The pair must have been as it should be for so long before the next fault. */
const SETTLED_FOR_MS = 1_500;
/** A client was told this lately. */
const LATELY_MS = 400;

export type Fencing = 'none' | 'lease';

export interface RigOptions {
  readonly kind: ServerKind;
  readonly fencing: Fencing;
}

/** One of the database hosts: where it lives, and its server. */
export interface DatabaseHost {
  readonly place: 'db1' | 'db2';
  readonly server: Mysqld;
  /** IP:PORT. */
  readonly name: string;
}

export interface BoardNow {
  readonly number: number;
  readonly id: string;
  readonly active: string;
  readonly unfenced: string | null;
  readonly reported: string;
}

/** A daemon that can be frozen, killed and put somewhere else. */
export interface Actor {
  readonly role: DaemonRole;
  readonly name: string;
  readonly place: Place;
  readonly running: boolean;
  freeze(): void;
  thaw(): void;
  kill(): Promise<void>;
  /** The clean stop, awaited. */
  stop(): Promise<void>;
  /** Starts it again, also somewhere else; ends it first when it runs. */
  restart(place?: Place): Promise<void>;
  lines(): Promise<readonly DaemonLine[]>;
}

export class FaultRig {
  readonly options: RigOptions;
  readonly dir: string;
  readonly network: Network;
  readonly hosts: readonly [DatabaseHost, DatabaseHost];
  readonly redis: Redis;
  readonly crowd: Crowd;
  readonly actors: readonly Actor[];
  readonly #files: ConfigurationFiles;

  constructor(parts: {
    options: RigOptions;
    dir: string;
    network: Network;
    hosts: readonly [DatabaseHost, DatabaseHost];
    redis: Redis;
    crowd: Crowd;
    actors: readonly Actor[];
    files: ConfigurationFiles;
  }) {
    this.options = parts.options;
    this.dir = parts.dir;
    this.network = parts.network;
    this.hosts = parts.hosts;
    this.redis = parts.redis;
    this.crowd = parts.crowd;
    this.actors = parts.actors;
    this.#files = parts.files;
  }

  actor(name: string): Actor {
    const found = this.actors.find((actor) => actor.name === name);
    if (found === undefined) throw new Error(`no daemon ${name}`);
    return found;
  }

  get agents(): readonly [Actor, Actor] {
    return [this.actor('agent1'), this.actor('agent2')];
  }

  host(name: string): DatabaseHost {
    const found = this.hosts.find((host) => host.name === name);
    if (found === undefined) throw new Error(`no host ${name}`);
    return found;
  }

  other({ name }: DatabaseHost): DatabaseHost {
    const [a, b] = this.hosts;
    return name === a.name ? b : a;
  }

  /** One statement as root, whatever is cut. */
  admin({ server }: DatabaseHost, sql: string): Promise<readonly Row[]> {
    return ask({ socket: server.socket, sql, timeoutMs: 20_000 });
  }

  /** A connection as root that stays open, for a lock. */
  async adminConnection({ server }: DatabaseHost) {
    const connection = await createConnection({ socketPath: server.socket, user: ADMIN.user });
    connection.on('error', () => undefined);
    return connection;
  }

  async board<T>(question: (redis: RedisClient) => Promise<T>): Promise<T> {
    const redis = new RedisClient(join(this.dir, 'redis', 's.sock'), { retryStrategy: () => null, lazyConnect: true });
    redis.on('error', () => undefined);
    try {
      await redis.connect();
      return await question(redis);
    } finally {
      redis.disconnect();
    }
  }

  /** Null while the board is away or knows nothing of the pair. */
  async boardNow(): Promise<BoardNow | null> {
    const key = (name: string) => `mysql-${UNIQSIGN}-${name}`;
    try {
      return await this.board(async (redis) => {
        const [epoch, mode, unfenced, report] = await Promise.all([
          redis.hgetall(key('epoch')),
          redis.hgetall(key('mode')),
          redis.get(key('unfenced')),
          redis.hgetall(key('report')),
        ]);
        if (epoch['number'] === undefined) return null;
        const isOfEpoch = Object.values(report).includes(epoch['id'] ?? '');
        return {
          number: Number(epoch['number']),
          id: epoch['id'] ?? '',
          active: epoch['active'] ?? mode['active'] ?? '',
          unfenced,
          reported: isOfEpoch ? (report['outcome'] ?? '') : '',
        };
      });
    } catch {
      return null;
    }
  }

  async mmm(args: readonly string[], place: Place = 'mgr1'): Promise<{ code: number; output: string }> {
    const [command, ...words] = this.network.within(place);
    const all = [...words, process.execPath, BUNDLE, ...args, '--tag', TAG, '--conf', this.#files.manager];
    try {
      const { stdout, stderr } = await promisify(execFile)(command, all, { timeout: 60_000 });
      return { code: 0, output: `${stdout}${stderr}` };
    } catch (error) {
      return { code: 1, output: error instanceof Error ? error.message : String(error) };
    }
  }

  /** The agents stand there from now on. */
  async placeAgents(places: readonly [Place, Place]): Promise<void> {
    for (const [index, agent] of this.agents.entries()) {
      const place = places[index];
      if (place !== undefined && (agent.place !== place || !agent.running)) await agent.restart(place);
    }
  }

  /** Mends everything, and waits until the pair is as it should be; throws when it does not get there. Who is the active, then. */
  async settle(): Promise<{ active: DatabaseHost; passive: DatabaseHost; board: BoardNow }> {
    await this.network.heal();
    await this.crowd.load(false);
    for (const actor of this.actors) actor.thaw();
    for (const { server } of this.hosts) {
      server.thaw();
      if (!server.running) await server.restart();
    }
    this.redis.thaw();
    if (!this.redis.running) await this.redis.restart();
    for (const actor of this.actors) if (!actor.running) await actor.restart();
    const deadlineMs = monotonicMs() + SETTLE_MS;
    let goodSinceMs: number | null = null;
    for (;;) {
      const { trouble, board, active } = await this.#present();
      const nowMs = monotonicMs();
      if (trouble !== null || board === null || active === null) goodSinceMs = null;
      else goodSinceMs ??= nowMs;
      if (board !== null && active !== null && goodSinceMs !== null && nowMs - goodSinceMs > SETTLED_FOR_MS) {
        return { active, passive: this.other(active), board };
      }
      if (nowMs > deadlineMs) throw new Error(`the pair does not settle within ${SETTLE_MS} ms: ${trouble}`);
      await sleep(PAUSE_MS);
    }
  }

  async #present(): Promise<{ trouble: string | null; board: BoardNow | null; active: DatabaseHost | null }> {
    const board = await this.boardNow();
    const states = await this.crowd.states();
    const nowMs = monotonicMs();
    const isLate = (atMs: number | null | undefined) => atMs === null || atMs === undefined || nowMs - atMs > LATELY_MS;
    const open = this.hosts.filter(({ name }) => !isLate(states[name]?.acknowledgedMs));
    const shut = this.hosts.filter(
      ({ name }) => isLate(states[name]?.acknowledgedMs) && !isLate(states[name]?.closedMs),
    );
    const [active = null] = open;
    const trouble = await this.#trouble(board, active, open.length, shut.length);
    return { trouble, board, active };
  }

  async #trouble(
    board: BoardNow | null,
    active: DatabaseHost | null,
    open: number,
    shut: number,
  ): Promise<string | null> {
    if (board === null) return 'the board knows no decision';
    if (active === null || open !== 1 || shut !== 1) return `${open} hosts take writes, ${shut} refuse them`;
    if (board.active !== active.name) return `${active.name} takes writes, ${board.active} is decided`;
    if (board.reported !== 'opened') return `decision ${board.number} has no report that it was carried out`;
    if (this.options.fencing === 'lease' && board.unfenced !== '0') return `not armed: unfenced is ${board.unfenced}`;
    for (const host of this.hosts) {
      const [row] = await this.admin(host, 'SHOW SLAVE STATUS');
      const [io, sql, behind] = [row?.['Slave_IO_Running'], row?.['Slave_SQL_Running'], row?.['Seconds_Behind_Master']];
      if (io !== 'Yes' || sql !== 'Yes') {
        return `${host.name} does not replicate: ${io}/${sql} ${row?.['Last_IO_Error'] ?? ''} ${row?.['Last_SQL_Error'] ?? ''}`;
      }
      if (behind !== 0 && behind !== '0') return `${host.name} is ${behind} s behind`;
    }
    const divergence = await this.board((redis) => redis.hgetall(`mysql-${UNIQSIGN}-divergence`));
    return divergence['host'] === undefined ? null : `${divergence['host']} still holds what the active lacks`;
  }

  /** What all daemons said since then, in the order of their times. */
  async story(sinceWallMs: number): Promise<string> {
    const since = new Date(sinceWallMs).toISOString();
    const all = await Promise.all(
      this.actors.map(async (actor) =>
        (await actor.lines())
          .filter(({ time }) => time === '' || time >= since)
          .map(({ time, level, message }) => `${time} ${actor.name}@${actor.place}: ${level} ${message}`),
      ),
    );
    return all.flat().sort().join('\n');
  }

  /** The board as a dump, for a restore. */
  async dumpBoard(): Promise<string> {
    await this.board((redis) => redis.save());
    const copy = join(this.dir, `dump-${Math.round(monotonicMs())}.rdb`);
    await cp(join(this.dir, 'redis', 'dump.rdb'), copy);
    await rm(join(this.dir, 'redis', 'dump.rdb'));
    return copy;
  }

  /** Starts Redis with this dump, or empty. */
  async restartBoard(dump: string | null): Promise<void> {
    await this.redis.kill();
    const file = join(this.dir, 'redis', 'dump.rdb');
    if (dump !== null) await cp(dump, file);
    await this.redis.restart();
    // So that the next start is empty again.
    await rm(file, { force: true });
  }

  async close(): Promise<void> {
    await this.crowd.close();
    for (const actor of this.actors) await actor.kill();
    await this.redis.kill();
    for (const { server } of this.hosts) await server.kill();
    await this.network.close();
    await rm(this.dir, { recursive: true, force: true });
  }
}

/** Comparable between the processes of one machine. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export async function startRig(options: RigOptions): Promise<FaultRig> {
  await removeLeftFolders();
  const dir = await mkdtemp(join(tmpdir(), `${FOLDER}${process.pid}-`));
  ownFolder(dir);
  const network = await openNetwork();
  const home = (place: Place) => ({ address: network.address(place), within: network.within(place) });
  const databaseHost = async (place: 'db1' | 'db2', serverId: number): Promise<DatabaseHost> => {
    const server = await startMysqld({
      kind: options.kind,
      dir: join(dir, place),
      serverId,
      port: 3300 + serverId,
      home: home(place),
      extra: ['max_connections=300'],
    });
    await grantToNetwork(server);
    return { place, server, name: server.host };
  };
  const hosts = [await databaseHost('db1', 1), await databaseHost('db2', 2)] as const;
  const [a, b] = hosts;
  await replicate(a, b);
  await replicate(b, a);
  const redis = await startRedis({
    dir: join(dir, 'redis'),
    port: REDIS_PORT,
    home: home('board'),
    extra: ['protected-mode no', `unixsocket ${join(dir, 'redis', 's.sock')}`],
  });
  const files = await writeConfigurationFiles({
    dir,
    tag: TAG,
    uniqsign: UNIQSIGN,
    primary: a.name,
    secondary: b.name,
    redis: redis.host,
    pair: {
      failback: 'never',
      ...(options.fencing === 'lease'
        ? { fencing: 'lease', lease: '3', lease_agents: '2', on_unreachable: 'wait' }
        : {}),
    },
  });
  const crowd = await startCrowd({
    dir,
    within: network.within('app'),
    hosts: hosts.map(({ name, place, server: { port, socket } }) => ({
      name,
      address: network.address(place),
      port,
      socket,
    })),
  });
  const actor = (role: DaemonRole, name: string, place: Place) =>
    startActor({ role, name, place, files, dir, network });
  const actors = [
    await actor('monitor', 'monitor1', 'mgr1'),
    await actor('monitor', 'monitor2', 'mgr2'),
    await actor('identify', 'identify1', 'mgr1'),
    await actor('identify', 'identify2', 'mgr2'),
    await actor('agent', 'agent1', 'mgr1'),
    await actor('agent', 'agent2', 'mgr2'),
  ];
  return new FaultRig({ options, dir, network, hosts, redis, crowd, actors, files });
}

/** Of a run that was killed: its folder bears its process id, as its namespaces do. */
async function removeLeftFolders(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    if (!name.startsWith(FOLDER) || isRunning(Number(name.slice(FOLDER.length).split('-')[0]))) continue;
    await rm(join(tmpdir(), name), { recursive: true, force: true });
  }
}

async function startActor(parts: {
  role: DaemonRole;
  name: string;
  place: Place;
  files: ConfigurationFiles;
  dir: string;
  network: Network;
}): Promise<Actor> {
  const { role, name, files, dir, network } = parts;
  const start = (where: Place) =>
    startDaemon({ role, name, files, dir, command: [...network.within(where), process.execPath, BUNDLE] });
  let place = parts.place;
  let daemon: Daemon = await start(place);
  return {
    role,
    name,
    get place() {
      return place;
    },
    get running() {
      return daemon.program.running;
    },
    freeze: () => daemon.program.signal('SIGSTOP'),
    thaw: () => daemon.program.signal('SIGCONT'),
    kill: () => daemon.program.kill(),
    stop: () => daemon.stop(),
    restart: async (where = place) => {
      await daemon.program.kill();
      place = where;
      daemon = await start(place);
    },
    lines: () => daemon.lines(),
  };
}

/** The sandbox's accounts are of 127.0.0.1; here the same ones come over the network, and the application also from its own host. */
async function grantToNetwork({ socket }: Mysqld): Promise<void> {
  const connection = await createConnection({ socketPath: socket, user: ADMIN.user });
  try {
    await connection.query('SET sql_log_bin = 0');
    const copy = async (user: string, from: string, to: string) => {
      const [rows] = await connection.query<RowDataPacket[]>(`SHOW GRANTS FOR '${user}'@'${from}'`);
      for (const row of rows) {
        const [statement = ''] = Object.values(row).map(String);
        await connection.query(statement.replace(from, to));
      }
    };
    await copy(MMM.user, '127.0.0.1', FROM_NETWORK);
    await copy(REPLICATION.user, '127.0.0.1', FROM_NETWORK);
    await copy(APP.user, '127.0.0.%', FROM_NETWORK);
    await copy(APP.user, '127.0.0.%', 'localhost');
  } finally {
    connection.destroy();
  }
}

async function replicate(replica: DatabaseHost, source: DatabaseHost): Promise<void> {
  const [address, port] = source.name.split(':');
  const isMariaDb = replica.server.kind === 'mariadb';
  const position = isMariaDb ? 'MASTER_USE_GTID=slave_pos' : 'MASTER_AUTO_POSITION=1, MASTER_RETRY_COUNT=1000000';
  const { socket } = replica.server;
  await ask({
    socket,
    sql: `CHANGE MASTER TO MASTER_HOST='${address}', MASTER_PORT=${port}, MASTER_USER='${REPLICATION.user}',
      MASTER_PASSWORD='${REPLICATION.password}', MASTER_CONNECT_RETRY=1, MASTER_HEARTBEAT_PERIOD=1, ${position}`,
  });
  await ask({ socket, sql: 'START SLAVE' });
}

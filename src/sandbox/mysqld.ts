// Starts one real MariaDB or MySQL 5.6 in a folder of its own, on a free loopback port, configured as the docs recommend for a
// host of a pair. Comes from pair.ts and the tests; the data folder is a copy of a template (template.ts).

import { constants } from 'node:fs';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MmmError } from '../core/errors.ts';
import { ask, type Door } from './accounts.ts';
import { type Program, startProgram } from './lifetime.ts';
import { freePort } from './programs.ts';
import { commonSettings, lastLines, type ServerKind, type ServerProgram, serverProgram, template } from './template.ts';

const START_DEADLINE_MS = 60_000;
const PORT_ATTEMPTS = 5;
/** Unix socket names must fit into 108 bytes. */
const LONGEST_SOCKET = 100;

export interface MysqldOptions {
  readonly kind: ServerKind;
  /** Made when missing; must be empty else. */
  readonly dir: string;
  /** Also the GTID domain on MariaDB; odd and even ones get different auto-increment values. */
  readonly serverId: number;
  readonly port?: number;
  /** Where it lives when that is not our own 127.0.0.1; a port must be given then. */
  readonly home?: Home;
  /** More lines for its my.cnf, which win over ours. */
  readonly extra?: readonly string[];
  /** Where the template is kept; by default in the system's temporary folder, for the next one to use. */
  readonly cacheDir?: string;
}

/** A network of its own, as a test makes one. */
export interface Home {
  readonly address: string;
  /** The words before a command that is to run there; the process must keep its id. */
  readonly within: readonly [string, ...string[]];
}

export interface Mysqld {
  readonly kind: ServerKind;
  readonly dir: string;
  readonly serverId: number;
  /** IP:PORT, as in the configuration. */
  readonly host: string;
  readonly port: number;
  readonly socket: string;
  /** Of the running server; a restart changes it. */
  readonly pid: number;
  readonly running: boolean;
  /** SIGKILL: as if the machine had lost its power, as far as the server can tell. */
  kill(): Promise<void>;
  /** A clean shutdown. */
  stop(): Promise<void>;
  /** SIGSTOP: its port still accepts, nobody answers. */
  freeze(): void;
  thaw(): void;
  /** Ends it when it runs, and starts it again on the same port and data. */
  restart(): Promise<void>;
}

export async function startMysqld(options: MysqldOptions): Promise<Mysqld> {
  const data = join(options.dir, 'data');
  const program = await serverProgram(options.kind);
  await mkdir(join(options.dir, 'tmp'), { recursive: true, mode: 0o700 });
  const source = await template(program, options.cacheDir);
  await cp(source, data, { recursive: true, mode: constants.COPYFILE_FICLONE });
  // MySQL takes its UUID from this file: a copied one would make both servers of a pair the same.
  await rm(join(data, 'auto.cnf'), { force: true });
  for (let attempt = 1; ; attempt++) {
    const port = options.port ?? (await freePort());
    await writeConfiguration(options, program, port);
    try {
      return handle(options, program, port, await launch(options, program, port));
    } catch (error) {
      // Somebody else took the port between our look and the server's.
      if (options.port !== undefined || attempt === PORT_ATTEMPTS || !(await portWasTaken(options.dir))) throw error;
      await rm(errorLog(options.dir), { force: true });
    }
  }
}

function handle(options: MysqldOptions, server: ServerProgram, port: number, first: Program): Mysqld {
  let running = first;
  return {
    kind: options.kind,
    dir: options.dir,
    serverId: options.serverId,
    host: `${addressOf(options)}:${port}`,
    port,
    socket: socketOf(options.dir),
    get pid() {
      return running.pid;
    },
    get running() {
      return running.running;
    },
    kill: () => running.kill(),
    stop: () => running.stop(),
    freeze: () => running.signal('SIGSTOP'),
    thaw: () => running.signal('SIGCONT'),
    restart: async () => {
      await running.stop();
      running = await launch(options, server, port);
    },
  };
}

async function launch({ dir, home }: MysqldOptions, server: ServerProgram, port: number): Promise<Program> {
  const [command = server.file, ...args] = [...(home?.within ?? []), server.file];
  const program = await startProgram({
    command,
    args: [...args, `--defaults-file=${join(dir, 'my.cnf')}`, ...server.args],
    outputFile: errorLog(dir),
    env: { ...process.env, ...server.env },
    cwd: dir,
  });
  const deadline = performance.now() + START_DEADLINE_MS;
  for (;;) {
    if (await answers(home === undefined ? { port } : { socket: socketOf(dir) }, dir)) return program;
    if (!program.running) throw new MmmError('failed', `${server.file} ended at its start:\n${await endOfLog(dir)}`);
    if (performance.now() > deadline) {
      await program.kill();
      throw new MmmError('failed', `${server.file} does not answer on port ${port}:\n${await endOfLog(dir)}`);
    }
    await sleep(15);
  }
}

/** Ours, that is: a server of another sandbox may have taken the port, and its root has the same password. */
async function answers(door: Door, dir: string): Promise<boolean> {
  try {
    const [row] = await ask({ ...door, sql: 'SELECT @@datadir AS datadir', timeoutMs: 1_000 });
    return String(row?.['datadir']).startsWith(join(dir, 'data'));
  } catch {
    // Not yet; the caller's deadline says when that is an error.
    return false;
  }
}

function addressOf({ home }: MysqldOptions): string {
  return home?.address ?? '127.0.0.1';
}

function socketOf(dir: string): string {
  return join(dir, 's.sock');
}

function errorLog(dir: string): string {
  return join(dir, 'error.log');
}

async function endOfLog(dir: string): Promise<string> {
  return lastLines(await readFile(errorLog(dir), 'utf8'));
}

async function portWasTaken(dir: string): Promise<boolean> {
  return /Bind on TCP\/IP port|Address already in use/.test(await endOfLog(dir));
}

/** The server's own file; what a real pair should have is in docs and README with the reasons. */
async function writeConfiguration(options: MysqldOptions, program: ServerProgram, port: number): Promise<void> {
  const { dir, serverId, kind } = options;
  const socket = socketOf(dir);
  if (socket.length > LONGEST_SOCKET)
    throw new MmmError('failed', `the folder name is too long for a Unix socket: ${dir}`);
  const lines = [
    '[mysqld]',
    ...commonSettings(program),
    `datadir=${join(dir, 'data')}`,
    `tmpdir=${join(dir, 'tmp')}`,
    `socket=${socket}`,
    `pid_file=${join(dir, 'server.pid')}`,
    `port=${port}`,
    `bind_address=${addressOf(options)}`,
    `report_host=${addressOf(options)}`,
    `report_port=${port}`,
    'skip_name_resolve',
    // A host that comes back after a crash must not take writes before mmm has looked at it.
    'read_only=1',
    `server_id=${serverId}`,
    'log_bin=binlog',
    'relay_log=relay',
    'log_slave_updates',
    'binlog_format=ROW',
    'sync_binlog=1',
    'innodb_flush_log_at_trx_commit=1',
    'auto_increment_increment=2',
    `auto_increment_offset=${serverId % 2 === 1 ? 1 : 2}`,
    'event_scheduler=ON',
    // How long a host that has gone silent counts as connected for its replica.
    'slave_net_timeout=4',
    'max_connections=100',
    ...(kind === 'mariadb'
      ? [`gtid_domain_id=${serverId}`, 'gtid_strict_mode=0', 'master_retry_count=1000000']
      : [
          'gtid_mode=ON',
          'enforce_gtid_consistency',
          'master_info_repository=TABLE',
          'relay_log_info_repository=TABLE',
        ]),
    ...(options.extra ?? []),
  ];
  await writeFile(join(dir, 'my.cnf'), `${lines.join('\n')}\n`, { mode: 0o600 });
}

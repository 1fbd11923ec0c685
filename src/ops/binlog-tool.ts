// Saves a part of a server's binary log as statements, with the server's own tool (mariadb-binlog, mysqlbinlog), in a folder of ours.
// Wanted as core/salvage.ts `Salvage`; comes from src/agent-telling.ts. The folder is bounded: what is full is told, and nothing is deleted.

import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { MysqlAccess } from '../core/config.ts';
import { messageOf } from '../core/errors.ts';
import { splitHost } from '../core/pair.ts';
import type { Salvage, Salvaged, SalvageOrder } from '../core/salvage.ts';
import { writePrivately } from './private-file.ts';

/** Where servers and their clients are installed; the daemon's own PATH may be shorter. */
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/mysql/bin';
const TOOLS = { mariadb: ['mariadb-binlog', 'mysqlbinlog'], mysql: ['mysqlbinlog', 'mariadb-binlog'] } as const;
/** A minute, as core/salvage.ts promises. */
const WITHIN_MS = 60_000;
/** Of what the tool says when it fails. */
const KEPT_CHARACTERS = 300;

export interface BinlogToolOptions {
  readonly access: Pick<MysqlAccess, 'user' | 'password'>;
  readonly folder: string;
  /** Bytes of one part, and of everything in the folder. */
  readonly mostBytes: number;
  readonly mostInFolder: number;
  /** Where the tools are looked for. */
  readonly path?: string;
  readonly withinMs?: number;
}

export function openBinlogTool(options: BinlogToolOptions): Salvage {
  return async (order) => {
    try {
      return await salvage(options, order);
    } catch (error) {
      return { kind: 'not-saved', why: messageOf(error) };
    }
  };
}

async function salvage(options: BinlogToolOptions, order: SalvageOrder): Promise<Salvaged> {
  const { folder, mostInFolder } = options;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const held = await sizeOf(folder);
  if (held >= mostInFolder) {
    return {
      kind: 'not-saved',
      why: `${folder} holds ${held} bytes already, and is to hold no more than ${mostInFolder}`,
    };
  }
  const name = nameOf(order);
  const access = join(folder, `${name}.cnf`);
  const begun = join(folder, `${name}.begun`);
  try {
    await writePrivately(access, optionFile(options.access));
    for (const tool of TOOLS[order.flavour]) {
      const ran = await run(options, order, {
        tool,
        access,
        begun,
        most: Math.min(options.mostBytes, mostInFolder - held),
      });
      if (ran === 'no such program') continue;
      if ('why' in ran) return { kind: 'not-saved', why: ran.why };
      const path = join(folder, `${name}.sql`);
      // By its name it is whole, or said to be cut.
      await rename(begun, path);
      return { kind: 'saved', path, ...ran };
    }
    return { kind: 'not-saved', why: `neither of ${TOOLS[order.flavour].join(', ')} is installed on this machine` };
  } finally {
    await Promise.all([rm(access, { force: true }), rm(begun, { force: true })]);
  }
}

type Ran = 'no such program' | { readonly why: string } | { readonly bytes: number; readonly cut: boolean };

function run(
  { path = PATH, withinMs = WITHIN_MS }: BinlogToolOptions,
  order: SalvageOrder,
  { tool, access, begun, most }: { tool: string; access: string; begun: string; most: number },
): Promise<Ran> {
  const { address, port } = splitHost(order.host);
  const child = spawn(
    tool,
    [
      // Its password stands in a file that nobody else can read: neither in the list of processes nor in its environment.
      `--defaults-file=${access}`,
      '--read-from-remote-server',
      '--protocol=tcp',
      `--host=${address}`,
      `--port=${port}`,
      '--verbose',
      `--start-position=${order.fromPos}`,
      `--stop-position=${order.toPos}`,
      ...order.files,
    ],
    { cwd: '/', env: { PATH: path, LC_ALL: 'C' }, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const file = createWriteStream(begun, { mode: 0o600, flags: 'w' });
  let [bytes, cut, said] = [0, false, ''];
  let late = false;
  child.stdout.on('data', (chunk: Buffer) => {
    const room = most - bytes;
    const kept = chunk.length > room ? chunk.subarray(0, room) : chunk;
    bytes += kept.length;
    if (kept.length < chunk.length && !cut) {
      cut = true;
      child.kill('SIGKILL');
    }
    // A disk that is slower than the server holds the tool up, and not our memory.
    if (!file.write(kept)) {
      child.stdout.pause();
      file.once('drain', () => child.stdout.resume());
    }
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(0, KEPT_CHARACTERS);
  });
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, withinMs);
    const finish = (ran: Ran) => {
      clearTimeout(timer);
      file.destroy();
      resolve(ran);
    };
    file.once('error', (error) => {
      child.kill('SIGKILL');
      finish({ why: `the file cannot be written: ${error.message}` });
    });
    child.once('error', (error) => {
      const isMissing = 'code' in error && error.code === 'ENOENT';
      finish(isMissing ? 'no such program' : { why: `${tool} could not be run (${error.message})` });
    });
    child.once('close', (code, killedBy) => {
      if (late) return finish({ why: `${tool} did not end within ${withinMs / 1000} s` });
      if (!cut && code !== 0)
        return finish({ why: `${tool} failed with ${killedBy ?? `code ${code}`}${wordsOf(said)}` });
      file.end(() => finish({ bytes, cut }));
    });
  });
}

/** The tool names the host and the user when it is refused, never the password. */
function wordsOf(said: string): string {
  const line = said.replace(/\p{Cc}+/gu, ' ').trim();
  return line === '' ? '' : `: ${line}`;
}

/** One for each host and decision: who tries again writes the same. */
function nameOf({ uniqsign, host, epoch }: SalvageOrder): string {
  const when = new Date().toISOString().replace(/[-:]/g, '').slice(0, 15);
  const words = [uniqsign, host.replace(/[^\w.]+/g, '-'), `decision-${epoch?.number ?? 0}`, when];
  return words.map((word) => word.replace(/[^\w.-]+/g, '')).join('_');
}

async function sizeOf(folder: string): Promise<number> {
  const sizes = await Promise.all(
    (await readdir(folder)).map(async (name) => {
      try {
        return (await stat(join(folder, name))).size;
      } catch {
        // Gone since it was listed.
        return 0;
      }
    }),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** In quotes a server's option file knows backslashes; a line break cannot be written. */
function optionFile({ user, password }: BinlogToolOptions['access']): string {
  const quoted = (text: string) => {
    if (/[\r\n\0]/.test(text))
      throw new Error('an account with a line break in its name or password cannot be handed to the tool');
    return `"${text.replace(/\\/g, '\\\\').replace(/"/g, '\\"')}"`;
  };
  return `[client]\nuser=${quoted(user)}\npassword=${quoted(password)}\n`;
}

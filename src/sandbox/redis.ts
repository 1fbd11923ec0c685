// Starts one real Redis in a folder of its own on a free loopback port. It keeps nothing on disk: a restart brings it back
// empty, which is one of the things mmm must live with. Comes from run.ts and the tests.

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MmmError } from '../core/errors.ts';
import { type Program, startProgram } from './lifetime.ts';
import type { Home } from './mysqld.ts';
import { freePort, needProgram } from './programs.ts';

const START_DEADLINE_MS = 20_000;
const PORT_ATTEMPTS = 5;

export interface RedisOptions {
  readonly dir: string;
  readonly port?: number;
  /** Where it lives when that is not our own 127.0.0.1; a port must be given then. */
  readonly home?: Home;
  readonly password?: string;
  /** IP:PORT of the Redis to replicate from. */
  readonly replicaOf?: string;
  /** More lines for its redis.conf. */
  readonly extra?: readonly string[];
}

export interface Redis {
  /** IP:PORT, as in the configuration. */
  readonly host: string;
  readonly port: number;
  readonly pid: number;
  readonly running: boolean;
  kill(): Promise<void>;
  stop(): Promise<void>;
  freeze(): void;
  thaw(): void;
  /** Ends it when it runs, and starts it again, empty, on the same port. */
  restart(): Promise<void>;
}

export async function startRedis(options: RedisOptions): Promise<Redis> {
  const { dir } = options;
  await mkdir(dir, { recursive: true, mode: 0o700 });
  for (let attempt = 1; ; attempt++) {
    const port = options.port ?? (await freePort());
    await writeConfiguration(options, port);
    try {
      return handle(options, port, await launch(options, port));
    } catch (error) {
      // Somebody else took the port between our look and the server's.
      if (options.port !== undefined || attempt === PORT_ATTEMPTS || !(error instanceof PortTaken)) throw error;
    }
  }
}

function handle(options: RedisOptions, port: number, first: Program): Redis {
  let running = first;
  return {
    host: `${options.home?.address ?? '127.0.0.1'}:${port}`,
    port,
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
      running = await launch(options, port);
    },
  };
}

async function writeConfiguration(
  { dir, home, password, replicaOf, extra = [] }: RedisOptions,
  port: number,
): Promise<void> {
  const lines = [
    `bind ${home?.address ?? '127.0.0.1'}`,
    `port ${port}`,
    `dir ${dir}`,
    'daemonize no',
    'save ""',
    'appendonly no',
    'repl-diskless-sync-delay 0',
    // In the file and not on the command line, where everybody can read it.
    ...(password === undefined ? [] : [`requirepass "${password}"`, `masterauth "${password}"`]),
    ...(replicaOf === undefined ? [] : [`replicaof ${replicaOf.replace(':', ' ')}`]),
    ...extra,
  ];
  await writeFile(join(dir, 'redis.conf'), `${lines.join('\n')}\n`, { mode: 0o600 });
}

class PortTaken extends MmmError {}

/** Up when its own log says so: whoever answers on the port may be somebody else. */
async function launch({ dir, home }: RedisOptions, port: number): Promise<Program> {
  const log = join(dir, 'redis.log');
  // A restart writes on where the last one ended.
  const alreadyWritten = (await readFile(log, 'utf8').catch(() => '')).length;
  const file = needProgram(['redis-server']);
  const [command = file, ...args] = [...(home?.within ?? []), file];
  const program = await startProgram({
    command,
    args: [...args, join(dir, 'redis.conf')],
    outputFile: log,
    cwd: dir,
  });
  const deadline = performance.now() + START_DEADLINE_MS;
  for (;;) {
    const { running } = program;
    const text = (await readFile(log, 'utf8')).slice(alreadyWritten);
    if (text.includes('eady to accept connections')) return program;
    if (!running || performance.now() > deadline) {
      await program.kill();
      const why = text.trimEnd().split('\n').slice(-5).join('\n');
      const message = `redis-server does not start on port ${port}:\n${why}`;
      throw why.includes('Address already in use') ? new PortTaken('failed', message) : new MmmError('failed', message);
    }
    await sleep(10);
  }
}

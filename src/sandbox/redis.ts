// Starts one real Redis in a folder of its own on a free loopback port. It keeps nothing on disk: a restart brings it back
// empty, which is one of the things mmm must live with. Comes from run.ts and the tests.

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MmmError } from '../core/errors.ts';
import { type Program, startProgram } from './lifetime.ts';
import { freePort, needProgram } from './programs.ts';

const START_DEADLINE_MS = 20_000;

export interface RedisOptions {
  readonly dir: string;
  readonly port?: number;
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
  const port = options.port ?? (await freePort());
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const source = options.replicaOf?.replace(':', ' ');
  const lines = [
    'bind 127.0.0.1',
    `port ${port}`,
    `dir ${dir}`,
    'daemonize no',
    'save ""',
    'appendonly no',
    'repl-diskless-sync-delay 0',
    // In the file and not on the command line, where everybody can read it.
    ...(options.password === undefined
      ? []
      : [`requirepass "${options.password}"`, `masterauth "${options.password}"`]),
    ...(source === undefined ? [] : [`replicaof ${source}`]),
    ...(options.extra ?? []),
  ];
  await writeFile(join(dir, 'redis.conf'), `${lines.join('\n')}\n`, { mode: 0o600 });
  let running = await launch(dir, port);
  return {
    host: `127.0.0.1:${port}`,
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
      running = await launch(dir, port);
    },
  };
}

async function launch(dir: string, port: number): Promise<Program> {
  const log = join(dir, 'redis.log');
  const program = await startProgram({
    command: needProgram(['redis-server']),
    args: [join(dir, 'redis.conf')],
    outputFile: log,
    cwd: dir,
  });
  const deadline = performance.now() + START_DEADLINE_MS;
  while (!(await answers(port))) {
    if (!program.running || performance.now() > deadline) {
      await program.kill();
      const text = await readFile(log, 'utf8');
      throw new MmmError(
        'failed',
        `redis-server does not start on port ${port}:\n${text.trimEnd().split('\n').slice(-5).join('\n')}`,
      );
    }
    await sleep(10);
  }
  return program;
}

/** Any answer to PING will do: one that demands a password first is up. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    const finish = (up: boolean) => {
      socket.destroy();
      resolve(up);
    };
    socket.setTimeout(500, () => finish(false));
    socket.once('error', () => finish(false));
    socket.once('connect', () => socket.write('PING\r\n'));
    socket.once('data', (data) => finish(/^(\+PONG|-NOAUTH)/.test(data.toString('latin1'))));
  });
}

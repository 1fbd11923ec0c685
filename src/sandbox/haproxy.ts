// Starts HAProxy in backup mode before the pair, as the README recommends it to clients that know no failover of their own.
// Comes from run.ts.

import { mkdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MmmError } from '../core/errors.ts';
import { type Program, startProgram } from './lifetime.ts';
import { findProgram, freePort, needProgram } from './programs.ts';

const START_DEADLINE_MS = 10_000;

export interface HaproxyOptions {
  readonly dir: string;
  /** IP:PORT of both hosts. */
  readonly primary: string;
  readonly secondary: string;
}

export interface Haproxy {
  /** IP:PORT for the clients. */
  readonly host: string;
  readonly port: number;
  readonly pid: number;
  kill(): Promise<void>;
}

export function haproxyInstalled(): boolean {
  return findProgram(['haproxy']) !== undefined;
}

export async function startHaproxy({ dir, primary, secondary }: HaproxyOptions): Promise<Haproxy> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const port = await freePort();
  const file = join(dir, 'haproxy.cfg');
  await writeFile(file, haproxyConfiguration({ port, primary, secondary }));
  const program = await startProgram({
    command: needProgram(['haproxy']),
    args: ['-db', '-f', file],
    outputFile: join(dir, 'haproxy.log'),
    cwd: dir,
  });
  await listening(program, port);
  return { host: `127.0.0.1:${port}`, port, pid: program.pid, kill: () => program.kill() };
}

export function haproxyConfiguration(options: { port: number; primary: string; secondary: string }): string {
  return `global
  maxconn 1000

defaults
  mode tcp
  timeout connect 1s
  timeout client 1h
  timeout server 1h
  timeout check 500ms

listen mysql
  bind 127.0.0.1:${options.port}
  # A server that accepts and says nothing is frozen; one that says anything, be it "too many connections", is alive.
  option tcp-check
  tcp-check connect
  tcp-check expect rbinary ^......00
  # A refused connection of a client counts at once, and whoever is still connected to a dead server is told.
  default-server inter 500ms fastinter 200ms fall 2 rise 2 observe layer4 error-limit 1 on-error mark-down on-marked-down shutdown-sessions
  server primary ${options.primary} check
  server secondary ${options.secondary} check backup
`;
}

async function listening(program: Program, port: number): Promise<void> {
  const deadline = performance.now() + START_DEADLINE_MS;
  while (!(await accepts(port))) {
    if (!program.running || performance.now() > deadline) {
      await program.kill();
      throw new MmmError('failed', `haproxy does not listen on port ${port}`);
    }
    await sleep(10);
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    const finish = (up: boolean) => {
      socket.destroy();
      resolve(up);
    };
    socket.setTimeout(500, () => finish(false));
    socket.once('error', () => finish(false));
    socket.once('connect', () => finish(true));
  });
}

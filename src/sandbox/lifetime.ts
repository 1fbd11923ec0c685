// What the sandbox starts and writes ends with it: whatever way this process ends, the programs started here are killed and
// the folders made here are removed. Used by mysqld.ts, redis.ts, haproxy.ts and run.ts.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, rmSync } from 'node:fs';
import { MmmError } from '../core/errors.ts';
import { findProgram } from './programs.ts';

const FATAL_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** A server that does not stop when asked is killed after this. */
const STOP_DEADLINE_MS = 15_000;

export interface ProgramOptions {
  readonly command: string;
  readonly args: readonly string[];
  /** The file that its output is appended to. */
  readonly outputFile: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** For a script that starts others: a kill reaches all of them. */
  readonly ownGroup?: boolean;
}

/** A program that runs until it ends, we end it, or we end. */
export class Program {
  readonly #child: ChildProcess;
  readonly #pid: number;
  readonly #target: number;
  readonly #gone: Promise<unknown>;

  constructor(child: ChildProcess, pid: number, ownGroup: boolean) {
    this.#child = child;
    this.#pid = pid;
    this.#target = ownGroup ? -pid : pid;
    this.#gone = once(child, 'exit');
  }

  get pid(): number {
    return this.#pid;
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** What it ended with; undefined while it runs and when a signal ended it. */
  get exitCode(): number | undefined {
    return this.#child.exitCode ?? undefined;
  }

  /** Sends a signal. A program that is gone is not an error: its number may even belong to somebody else by then. */
  signal(signal: NodeJS.Signals): void {
    if (!this.running) return;
    try {
      process.kill(this.#target, signal);
    } catch {
      // It ended between the look and the signal.
    }
  }

  async gone(): Promise<void> {
    await this.#gone;
  }

  /** SIGKILL also ends a program that is frozen. */
  async kill(): Promise<void> {
    if (!this.running) return;
    this.signal('SIGKILL');
    await this.#gone;
  }

  /** Asks it to stop, and kills it when it does not. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (!this.running) return;
    this.signal(signal);
    // A frozen program gets the signal above only when it runs again.
    this.signal('SIGCONT');
    const deadline = setTimeout(() => this.signal('SIGKILL'), STOP_DEADLINE_MS);
    await this.#gone;
    clearTimeout(deadline);
  }
}

const programs = new Set<Program>();
const folders = new Set<string>();

/** Where setpriv is in between, a program that cannot be started ends with 127 at once. */
export async function startProgram(options: ProgramOptions): Promise<Program> {
  endWithUs();
  const output = openSync(options.outputFile, 'a');
  const [command = options.command, ...args] = [...deathSignalPrefix(), options.command, ...options.args];
  const child = spawn(command, args, {
    stdio: ['ignore', output, output],
    detached: options.ownGroup === true,
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  closeSync(output);
  const { pid } = child;
  if (pid === undefined) {
    const [cause] = await once(child, 'error');
    throw new MmmError('failed', `${options.command} cannot be started`, { cause });
  }
  // Known before anything is awaited: a signal that comes now must find it.
  const program = new Program(child, pid, options.ownGroup === true);
  programs.add(program);
  child.once('exit', () => programs.delete(program));
  return program;
}

/** Removes the folder when this process ends. */
export function ownFolder(folder: string): void {
  endWithUs();
  folders.add(folder);
}

/** Removes the folder now. Whoever writes into it must have ended. */
export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 20 });
  folders.delete(folder);
}

function endEverything(): void {
  for (const program of programs) program.signal('SIGKILL');
  programs.clear();
  for (const folder of folders) removeFolder(folder);
}

let watching = false;

/** Node runs no 'exit' listener when a signal ends it, so each fatal signal does the same and then has its usual effect. */
function endWithUs(): void {
  if (watching) return;
  watching = true;
  process.on('exit', endEverything);
  for (const signal of FATAL_SIGNALS) {
    process.once(signal, () => {
      endEverything();
      if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
    });
  }
}

let prefix: readonly string[] | undefined;

/** Nothing of ours runs when we are killed with SIGKILL; where util-linux can ask the kernel to end our programs then, it does. */
function deathSignalPrefix(): readonly string[] {
  if (prefix === undefined) {
    const setpriv = findProgram(['setpriv']);
    const knows =
      setpriv !== undefined && spawnSync(setpriv, ['--pdeathsig', 'KILL', 'true'], { timeout: 5_000 }).status === 0;
    prefix = knows ? [setpriv, '--pdeathsig', 'KILL'] : [];
  }
  return prefix;
}

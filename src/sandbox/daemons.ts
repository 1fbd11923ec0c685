// Writes both configuration files for a sandbox pair and starts the three daemons as a user would: this same executable, three times.
// Comes from run.ts and the tests; lifetime.ts sees to it that they end with us.

import { existsSync, realpathSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { APP, MMM, REPLICATION } from './accounts.ts';
import { type Program, startProgram } from './lifetime.ts';

export type DaemonRole = 'monitor' | 'identify' | 'agent';

/** The signal that each role stops on in good order. */
const STOP_SIGNAL = { monitor: 'SIGQUIT', identify: 'SIGQUIT', agent: 'SIGTERM' } as const;

export interface ConfigurationOptions {
  readonly dir: string;
  readonly tag: string;
  readonly uniqsign: string;
  /** IP:PORT. */
  readonly primary: string;
  readonly secondary: string;
  readonly redis: string;
  readonly redisPassword?: string;
  readonly topic?: string;
  /** More lines for the pair's section and for `[mysql]`; they win over ours. */
  readonly pair?: Readonly<Record<string, string>>;
  readonly mysql?: Readonly<Record<string, string>>;
}

export interface ConfigurationFiles {
  readonly manager: string;
  readonly agent: string;
}

export async function writeConfigurationFiles(options: ConfigurationOptions): Promise<ConfigurationFiles> {
  const { dir, tag, uniqsign, primary, secondary, redis } = options;
  const redisSection = {
    host: redis,
    topic: options.topic ?? 'mmm-switch-channel',
    ...(options.redisPassword === undefined ? {} : { password: `'${options.redisPassword}'` }),
  };
  const access = { user: MMM.user, password: MMM.password, connect_timeout: '1' };
  const pair = {
    primaryhost: primary,
    secondaryhost: secondary,
    uniqsign,
    ...access,
    excludeuser: `root, ${MMM.user}, ${REPLICATION.user}`,
    servicemode: '1',
    interval: '1',
    try_times: '2',
    ...options.pair,
  };
  const files = { manager: join(dir, 'mmm.conf'), agent: join(dir, 'mmm-agent.conf') };
  const mode = { mode: 0o600 };
  await writeFile(files.manager, section(tag, pair) + section('redis', redisSection), mode);
  await writeFile(
    files.agent,
    section('mysql', {
      ...access,
      state_file: join(dir, 'agent-state.json'),
      divergence_folder: join(dir, 'divergence'),
      ...options.mysql,
    }) + section('redis', redisSection),
    mode,
  );
  return files;
}

function section(name: string, values: Readonly<Record<string, string>>): string {
  const lines = Object.entries(values).map(([key, value]) => `${key}=${value}\n`);
  return `[${name}]\n${lines.join('')}\n`;
}

export interface Daemon {
  readonly role: DaemonRole;
  /** Its own among those of its role. */
  readonly name: string;
  readonly program: Program;
  readonly logFile: string;
  /** The clean stop: gives up leadership, closes connections, exits 0. */
  stop(): Promise<void>;
  /** Everything that it said, one object a line (`--log-format json`). */
  lines(): Promise<readonly DaemonLine[]>;
}

/** One log line of a daemon; fields beyond these differ by event. */
export interface DaemonLine {
  readonly time: string;
  readonly level: string;
  readonly message: string;
  readonly [field: string]: unknown;
}

export interface DaemonOptions {
  readonly role: DaemonRole;
  readonly files: ConfigurationFiles;
  /** Where its output goes. */
  readonly dir: string;
  /** Several of one role need several names. */
  readonly name?: string;
  /** What runs: `[node, dist/mmm.js]`, or the finished file. */
  readonly command: readonly [string, ...string[]];
  readonly args?: readonly string[];
}

export async function startDaemon({
  role,
  files,
  dir,
  name = role,
  command,
  args = [],
}: DaemonOptions): Promise<Daemon> {
  const [file, ...first] = command;
  const which = role === 'agent' ? ['--conf', files.agent] : ['--conf', files.manager, '--all'];
  const outputFile = join(dir, `${name}.log`);
  const program = await startProgram({
    command: file,
    args: [...first, role, ...which, '--log-format', 'json', '--name', name, ...args],
    outputFile,
    env: environment(),
  });
  return {
    role,
    name,
    program,
    logFile: outputFile,
    stop: () => program.stop(STOP_SIGNAL[role]),
    lines: async () => linesOf(await readFile(outputFile, 'utf8')),
  };
}

/** Without what belongs to whoever supervises us: the daemons must not report to our supervisor. */
function environment(): NodeJS.ProcessEnv {
  const { NOTIFY_SOCKET: _socket, WATCHDOG_USEC: _timeout, WATCHDOG_PID: _pid, ...rest } = process.env;
  return rest;
}

/** A line that is no object (a crash's stack) becomes an error line, so that nothing is overlooked. */
function linesOf(text: string): DaemonLine[] {
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line) => {
    try {
      return JSON.parse(line);
    } catch {
      return { time: '', level: 'error', message: line };
    }
  });
}

/** This executable as it was started: a script that Node runs (under whatever name), or a finished file that needs nobody. */
export function thisExecutable(): readonly [string, ...string[]] {
  const script = process.argv[1];
  // In a finished file the script lies inside the file itself, under a name that only the runtime can see.
  if (script === undefined || script.startsWith('/$bunfs/') || !existsSync(script)) return [process.execPath];
  const path = realpathSync(script);
  return path === realpathSync(process.execPath) ? [path] : [process.execPath, ...process.execArgv, path];
}

/** What the docs recommend to block on the passive, for a sandbox: the application's account. */
export const BLOCK_APP = { block_user: `^${APP.user}$`, block_host: '^127\\.0\\.0\\.%$' } as const;

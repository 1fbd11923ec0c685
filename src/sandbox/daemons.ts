// Writes both configuration files for a sandbox pair and starts the three daemons as a user would: this same executable, three times.
// Comes from run.ts and the tests; lifetime.ts sees to it that they end with us.

import { randomUUID } from 'node:crypto';
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
    section('mysql', { ...access, ...options.mysql }) + section('redis', redisSection),
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
  });
  return {
    role,
    program,
    logFile: outputFile,
    stop: () => program.stop(STOP_SIGNAL[role]),
    lines: async () => linesOf(await readFile(outputFile, 'utf8')),
  };
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

/** This executable as it was started: the bundle under Node, or the finished file, which has no script of its own. */
export function thisExecutable(): readonly [string, ...string[]] {
  const script = process.argv[1];
  return script?.endsWith('.js') ? [process.execPath, script] : [process.execPath];
}

export const TAG = 'sandbox';
const ROLES = ['monitor', 'identify', 'agent'] as const;

/** One of each role for one pair. */
export interface Daemons {
  readonly files: ConfigurationFiles;
  readonly pids: ReadonlyMap<DaemonRole, number>;
  readonly logs: readonly { readonly who: DaemonRole; readonly file: string }[];
  /** Roles that have ended by themselves. */
  ended(): readonly DaemonRole[];
  stop(): Promise<void>;
}

export async function startDaemons(
  options: Omit<ConfigurationOptions, 'tag' | 'uniqsign'> & Pick<DaemonOptions, 'command'>,
): Promise<Daemons> {
  const uniqsign = randomUUID().replaceAll('-', '');
  const files = await writeConfigurationFiles({ ...options, tag: TAG, uniqsign });
  const daemons: Daemon[] = [];
  for (const role of ROLES)
    daemons.push(await startDaemon({ role, files, dir: options.dir, command: options.command }));
  return {
    files,
    pids: new Map(daemons.map(({ role, program }) => [role, program.pid])),
    logs: daemons.map(({ role, logFile }) => ({ who: role, file: logFile })),
    ended: () => daemons.filter(({ program }) => !program.running).map(({ role }) => role),
    stop: async () => {
      await Promise.all(daemons.map((daemon) => daemon.stop()));
    },
  };
}

/** What the docs recommend to block on the passive, for a sandbox: the application's account. */
export const BLOCK_APP = { block_user: `^${APP.user}$`, block_host: '^127\\.0\\.0\\.%$' } as const;

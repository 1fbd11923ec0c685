// `mmm sandbox` from start to end: a real pair with a lease, Redis, the daemons and an application; then the active is killed (or
// frozen), and what followed is shown and judged. Comes from commands/sandbox.ts; watch.ts and register.ts gather the proof.

import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MmmError } from '../core/errors.ts';
import { APP, APP_DATABASE } from './accounts.ts';
import { type Client, startClient } from './client.ts';
import {
  type ConfigurationFiles,
  type Daemon,
  type DaemonLine,
  startDaemon,
  thisExecutable,
  writeConfigurationFiles,
} from './daemons.ts';
import { type Haproxy, haproxyInstalled, startHaproxy } from './haproxy.ts';
import { ownFolder, removeFolder } from './lifetime.ts';
import { type SandboxPair, startPair } from './pair.ts';
import { findMysql56, findProgram } from './programs.ts';
import { type Redis, startRedis } from './redis.ts';
import type { Accounts } from './register.ts';
import type { ServerKind } from './template.ts';
import { type Moment, momentsOf, timelineText } from './timeline.ts';
import { startWatch, type Watch } from './watch.ts';

/** Long enough for a slow machine; a failover takes a second or two. */
const PATIENCE_MS = 60_000;
/** A host that wakes up writable must be closed within this. */
const AFTER_WAKING_MS = 1_000;
/** Writes before the kill, so that there is something to lose. */
const WRITES_BEFORE = 200;
const STEADY_MS = 1_500;
/** With --keep: a gap longer than this is worth a line. */
const NEWSWORTHY_GAP_MS = 300;

/** Two agents, so that the lease is armed. */
const DAEMONS = [
  ['monitor', 'monitor'],
  ['identify', 'identify'],
  ['agent', 'agent-1'],
  ['agent', 'agent-2'],
] as const;

export interface SandboxOptions {
  /** undefined: MariaDB where it is installed, else the MySQL 5.6 of npm. */
  readonly kind: ServerKind | undefined;
  /** undefined: a new one in the system's temporary folder. */
  readonly dir: string | undefined;
  /** Freeze the active instead of killing it, and wake it after the failover. */
  readonly freeze: boolean;
  /** Go on until Ctrl-C. */
  readonly keep: boolean;
  readonly print: (text: string) => void;
}

/** What the sandbox is made of, once it runs. */
interface Sandbox {
  readonly dir: string;
  readonly pair: SandboxPair;
  readonly redis: Redis;
  readonly haproxy: Haproxy | undefined;
  readonly files: ConfigurationFiles;
  readonly daemons: readonly Daemon[];
  readonly watch: Watch;
  readonly clientHosts: readonly string[];
  readonly names: ReadonlyMap<string, string>;
}

/** Resolves when the failover happened and every acknowledged write is accounted for; rejects with the reason when not. */
export async function runSandbox(options: SandboxOptions): Promise<void> {
  const dir = freshFolder(options.dir);
  // Opened things are closed in reverse order, also when the next one cannot be opened.
  const closing: (() => Promise<void>)[] = [];
  try {
    const sandbox = await start(dir, options, closing);
    await failover(sandbox, options, closing);
  } finally {
    for (const close of closing.reverse()) await close();
    removeFolder(dir);
  }
}

function freshFolder(wanted: string | undefined): string {
  let dir: string;
  if (wanted === undefined) {
    dir = mkdtempSync(join(tmpdir(), 'mmm-sandbox-'));
  } else {
    dir = resolve(wanted);
    try {
      mkdirSync(dir, { mode: 0o700 });
    } catch (cause) {
      // It is removed at the end, so it must be ours from the beginning.
      throw new MmmError('usage', `--dir ${wanted}: expected a folder that does not exist yet, in one that does`, {
        cause,
      });
    }
  }
  ownFolder(dir);
  return dir;
}

async function start(dir: string, options: SandboxOptions, closing: (() => Promise<void>)[]): Promise<Sandbox> {
  const { print } = options;
  const kind = options.kind ?? installedKind();
  print(
    `Starting two ${kind === 'mariadb' ? 'MariaDB' : 'MySQL 5.6'} servers that replicate from each other, both read only ...`,
  );
  // The template too lies in our folder: nothing may stay behind.
  const pair = await startPair({ kind, dir, cacheDir: join(dir, 'template') });
  closing.push(() => pair.close());
  const redis = await startRedis({ dir: join(dir, 'redis') });
  closing.push(() => redis.kill());
  const { a, b } = pair;
  const hosts = { primary: a.host, secondary: b.host };
  const haproxy = haproxyInstalled() ? await startHaproxy({ dir: join(dir, 'haproxy'), ...hosts }) : undefined;
  if (haproxy !== undefined) closing.push(() => haproxy.kill());
  const watch = startWatch([a.port, b.port]);
  closing.push(() => watch.stop());
  print(
    `  A ${a.host} (primary), B ${b.host} (secondary), Redis ${redis.host}, ${haproxy ? `HAProxy ${haproxy.host}` : 'no HAProxy'}`,
  );

  const uniqsign = randomUUID().replaceAll('-', '');
  const files = await writeConfigurationFiles({
    dir,
    tag: 'sandbox',
    uniqsign,
    ...hosts,
    redis: redis.host,
    pair: { fencing: 'lease', on_unreachable: 'wait' },
  });
  const daemons: Daemon[] = [];
  for (const [role, name] of DAEMONS) {
    const daemon = await startDaemon({ role, name, files, dir, command: thisExecutable() });
    closing.push(() => daemon.stop());
    daemons.push(daemon);
  }
  print(`Started ${daemons.map(({ role, program }) => `mmm ${role} (${program.pid})`).join(', ')}`);
  const names = new Map([
    [a.host, 'A'],
    [b.host, 'B'],
  ]);
  const clientHosts = haproxy === undefined ? [a.host, b.host] : [haproxy.host];
  return { dir, pair, redis, haproxy, files, daemons, watch, clientHosts, names };
}

function installedKind(): ServerKind {
  if (findProgram(['mariadb-install-db', 'mysql_install_db']) === undefined && findMysql56() !== undefined)
    return 'mysql56';
  return 'mariadb';
}

async function failover(sandbox: Sandbox, options: SandboxOptions, closing: (() => Promise<void>)[]): Promise<void> {
  const { pair, watch, clientHosts, daemons } = sandbox;
  const { a, b } = pair;
  const { print, freeze } = options;
  const waitFor = (what: string, condition: () => boolean | Promise<boolean>) => waitUntil(sandbox, what, condition);

  await waitFor('A to be opened by mmm', () => watch.stateOf(a.port) === 'writable');
  print('mmm opened A. Waiting until its lease is armed, so that A closes itself when nobody renews it ...');
  await waitFor('the lease to be armed', async () =>
    (await linesOf(daemons)).some((line) => line['event'] === 'armed'),
  );
  print('Armed. Starting an application with 4 connections that writes numbered rows ...');
  const client = startClient({ hosts: clientHosts });
  closing.push(() => client.stop());
  const { register } = client;
  await waitFor('the application to write', () => register.size >= WRITES_BEFORE);
  await sleep(STEADY_MS);

  const killedMs = performance.now();
  const killedWallMs = Date.now();
  print(freeze ? 'Freezing A (SIGSTOP) ...' : 'Killing A (SIGKILL) ...');
  if (freeze) a.freeze();
  else await a.kill();
  await waitFor('B to be opened by mmm', () => watch.stateOf(b.port) === 'writable');
  await waitFor('the application to write to B', () => register.firstOn(b.port, killedMs) !== undefined);
  const firstMs = register.firstOn(b.port, killedMs)?.atMs ?? Number.NaN;
  await sleep(STEADY_MS);
  await client.stop();

  const gapMs = Math.round(register.longestGap(killedMs).lengthMs);
  const before = await register.accountFor(b.port);
  const wokenMs = performance.now();
  if (freeze) a.thaw();
  else await a.restart();
  await waitFor('A to be closed', () => watch.stateOf(a.port) === 'read-only');
  const closedMs =
    watch.changes.findLast(({ port, state }) => port === a.port && state === 'read-only')?.atMs ?? Number.NaN;
  const accounts = await register.accountFor(b.port, a.port);

  const own: Moment[] = [
    { afterMs: 0, who: 'sandbox', what: `${freeze ? 'froze' : 'killed'} A` },
    ...watch.changes
      .filter(({ atMs }) => atMs > killedMs && atMs < wokenMs)
      .map(({ port, state, atMs }) => ({
        afterMs: atMs - killedMs,
        who: 'sandbox',
        what: `${port === a.port ? 'A' : 'B'} is ${state}`,
      })),
    { afterMs: firstMs - killedMs, who: 'client', what: 'first write acknowledged by B' },
  ];
  const told = await Promise.all(
    daemons.map(async (daemon) => momentsOf(daemon.name, await daemon.lines(), killedWallMs)),
  );
  print(`\nMilliseconds since A was ${freeze ? 'frozen' : 'killed'}:`);
  print(timelineText([...own, ...told.flat()], wokenMs - killedMs, sandbox.names));
  print('');
  const wokenOpenMs = freeze && watch.bothWritableMs > 0 ? closedMs - wokenMs : 0;
  const problems = judge({ accounts, bothWritableMs: watch.bothWritableMs, wokenOpenMs, freeze });
  print(verdictText({ gapMs, acknowledged: register.size, before, accounts, wokenOpenMs, freeze }));
  if (problems.length > 0) throw new MmmError('failed', problems.join('; '));
  if (options.keep) await keepRunning(sandbox, client, print);
}

interface Outcome {
  readonly accounts: Accounts;
  readonly bothWritableMs: number;
  readonly wokenOpenMs: number;
  readonly freeze: boolean;
}

function judge({ accounts, bothWritableMs, wokenOpenMs, freeze }: Outcome): readonly string[] {
  const problems: string[] = [];
  if (accounts.nowhere.length > 0) problems.push(`${accounts.nowhere.length} acknowledged writes are on neither host`);
  if (!freeze && bothWritableMs > 0)
    problems.push(`both hosts took writes at once for ${Math.ceil(bothWritableMs)} ms`);
  if (wokenOpenMs > AFTER_WAKING_MS)
    problems.push(`A took writes for ${Math.round(wokenOpenMs)} ms after it was woken`);
  return problems;
}

function verdictText(result: {
  gapMs: number;
  acknowledged: number;
  before: Accounts;
  accounts: Accounts;
  wokenOpenMs: number;
  freeze: boolean;
}): string {
  const { gapMs, acknowledged, before, accounts, wokenOpenMs, freeze } = result;
  const lost = new Set(accounts.nowhere);
  const behind = before.nowhere.filter((id) => !lost.has(id));
  const lines = [
    `Nobody could write for ${gapMs} ms.`,
    `Of ${acknowledged} acknowledged writes ${before.onActive.length} were on B when it had taken over, ${behind.length} stayed behind on A, ${lost.size} are lost.`,
  ];
  if (behind.length > 0) lines.push(`Left behind, and still on A: rows ${some(behind)}`);
  if (lost.size > 0) lines.push(`Lost: rows ${some(accounts.nowhere)}`);
  if (freeze) {
    lines.push(
      wokenOpenMs > 0
        ? `A woke up writable and closed itself, or was closed, ${Math.round(wokenOpenMs)} ms later. Until then both took writes.`
        : 'A, whose lease was over, was closed as soon as it woke up: never did both take writes.',
    );
  } else {
    lines.push('A came back read only. At no time did both take writes.');
  }
  return lines.join('\n');
}

function some(ids: readonly number[]): string {
  const first = ids.slice(0, 10).join(', ');
  return ids.length > 10 ? `${first}, ...` : first;
}

/** Until Ctrl-C, which ends everything by lifetime.ts: there is nothing to return to. */
async function keepRunning(
  { pair, haproxy, files, daemons, clientHosts, names, redis }: Sandbox,
  client: Client,
  print: (text: string) => void,
) {
  const login = `-u${APP.user} -p${APP.password} ${APP_DATABASE}`;
  const lines = [
    '',
    'Everything is still running, with an application that writes. Try in another terminal:',
    ...(haproxy === undefined
      ? []
      : [`  mariadb --skip-ssl -h127.0.0.1 -P${haproxy.port} ${login}     # as a client, through HAProxy`]),
    `  ${thisExecutable().join(' ')} status --conf ${files.manager}`,
    `  kill -9 ${pair.a.pid}      # server A, port ${pair.a.port}`,
    `  kill -9 ${pair.b.pid}      # server B, port ${pair.b.port}`,
    `  redis-cli -p ${redis.port} monitor`,
    ...daemons.map(({ role, logFile, program }) => `  tail -f ${logFile}      # mmm ${role}, ${program.pid}`),
    'Ctrl-C ends all of it and removes the folder.',
  ];
  print(lines.join('\n'));
  const { register } = startClient({ hosts: clientHosts, firstId: client.nextId() });
  for (let told = performance.now(); ; ) {
    await sleep(1_000);
    const gap = register.longestGap(told);
    const last = register.newest();
    if (gap.lengthMs > NEWSWORTHY_GAP_MS && last !== undefined) {
      const host = names.get(`127.0.0.1:${last.port}`) ?? last.port;
      print(`nobody could write for ${Math.round(gap.lengthMs)} ms; the application now writes to ${host}`);
    }
    // A gap that has not ended yet keeps its beginning, and is told when it ends.
    if (last !== undefined) told = last.atMs;
    register.forget(told);
  }
}

async function waitUntil(
  { daemons }: Sandbox,
  what: string,
  condition: () => boolean | Promise<boolean>,
): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!(await condition())) {
    const ended = daemons.filter(({ program }) => !program.running).map(({ role }) => `mmm ${role}`);
    if (ended.length > 0 || performance.now() > deadline) {
      const reason = ended.length > 0 ? `${ended.join(' and ')} ended while waiting` : `waited ${PATIENCE_MS / 1000} s`;
      throw new MmmError('failed', `${reason} for ${what}\n${await endsOfLogs(daemons)}`);
    }
    await sleep(2);
  }
}

async function linesOf(daemons: readonly Daemon[]): Promise<readonly DaemonLine[]> {
  return (await Promise.all(daemons.map((daemon) => daemon.lines()))).flat();
}

/** The folder goes away with us, so what the daemons said last is shown here. */
async function endsOfLogs(daemons: readonly Daemon[]): Promise<string> {
  const ends = await Promise.all(
    daemons.map(async (daemon) => {
      const lines = (await daemon.lines())
        .slice(-12)
        .map(({ time, level, message }) => `${time} [${level}] ${message}`);
      return [`-- mmm ${daemon.name}`, ...lines].join('\n');
    }),
  );
  return ends.join('\n');
}

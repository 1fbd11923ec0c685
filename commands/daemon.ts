// The frame around monitor, identify and agent: logs, board, signals, systemd; opened in this order and closed in the
// reverse one. Comes from a daemon's command file, which brings the loops; they run in src/ops/supervise.ts.

import { hostname } from 'node:os';
import type { RedisConfig } from '../src/core/config.ts';
import { type ErrorCode, MmmError, messageOf } from '../src/core/errors.ts';
import type { Log } from '../src/core/log.ts';
import { systemClock, systemRandom } from '../src/ops/clock.ts';
import { type LogFormat, type OpenLog, openLog } from '../src/ops/log.ts';
import { Progress } from '../src/ops/progress.ts';
import { listenForStop, type StopOptions } from '../src/ops/signals.ts';
import { type Round, supervise, type Wake } from '../src/ops/supervise.ts';
import { openSystemd } from '../src/ops/systemd.ts';
import { Troubles } from '../src/ops/trouble.ts';
import { openRedisStore } from '../src/store/redis.ts';
import type { Store } from '../src/store/store.ts';

type Role = 'monitor' | 'identify' | 'agent';

/** The contract: monitor and identify outlive INT and TERM, the agent stops on TERM. QUIT is the clean stop of all three. HUP, which scripts send after logrotate, needs no answer: logs are reopened by themselves. */
const STOP: Readonly<Record<Role, Signals>> = {
  monitor: { stopOn: ['SIGQUIT'], ignore: ['SIGINT', 'SIGTERM', 'SIGHUP'] },
  identify: { stopOn: ['SIGQUIT'], ignore: ['SIGINT', 'SIGTERM', 'SIGHUP'] },
  agent: { stopOn: ['SIGTERM', 'SIGQUIT', 'SIGINT'], ignore: ['SIGHUP'] },
};

/** A single round belongs to the person or the script that waits for it. */
const STOP_ONCE: Signals = { stopOn: ['SIGINT', 'SIGTERM', 'SIGQUIT'], ignore: [] };

type Signals = Pick<StopOptions, 'stopOn' | 'ignore'>;

export interface DaemonOptions {
  readonly role: Role;
  readonly version: string;
  readonly flags: {
    readonly name: string | undefined;
    readonly debug: boolean;
    readonly once: boolean;
    readonly 'log-format': LogFormat;
  };
  readonly redis: RedisConfig;
  /** What it looks after, for the first line of the log. */
  readonly task: string;
  /** One per pair, or one for all; null: standard output. The first one also gets what concerns the whole process. */
  readonly logfiles: readonly (string | null)[];
}

/** One pair's loop. */
export interface Loop {
  readonly name: string;
  readonly round: Round;
  readonly intervalMs: number;
  readonly roundDeadlineMs: number;
  readonly wake: Wake;
  readonly log: Log;
}

/** What a round may take beside its servers: a few questions to the board. */
export const ROUND_SLACK_MS = 10_000;

/** The log of one pair. */
interface PairLog {
  /** For the loop, which puts the pair's name before its lines by itself. */
  readonly plain: Log;
  /** For the round: its lines begin with the pair's name. */
  readonly named: Log;
}

/** What the loops of a daemon share. */
export interface Daemon {
  readonly name: string;
  readonly once: boolean;
  readonly store: Store;
  readonly clock: typeof systemClock;
  readonly random: typeof systemRandom;
  readonly progress: Progress;
  readonly stop: AbortSignal;
  /** For what concerns the whole process. */
  readonly log: Log;
  logFor(pair: { readonly tag: string; readonly uniqsign: string }, logfile: string | null): PairLog;
  /** Makes a round silent about a board that is away: that is told once, for the whole process. */
  quiet(round: Round): Round;
  /** Runs the loops until they are stopped, or each of them once. */
  run(loops: readonly Loop[]): Promise<void>;
}

/** Opens everything, does `work`, closes everything. */
export async function runDaemon(options: DaemonOptions, work: (daemon: Daemon) => Promise<void>): Promise<void> {
  const { role, flags, redis } = options;
  const clock = systemClock;
  const random = systemRandom;
  const logs = await openLogs(options);
  const log = logTo(logs, options.logfiles[0] ?? null);
  const name = flags.name ?? hostname();
  const board = new BoardTrouble(log);
  const store = openRedisStore({
    ...redis,
    random: random.next,
    onState: (trouble) => board.became(trouble),
    onGarbage: (key, why) => log.warn(`${key} is ignored: ${why}`, { event: 'garbage' }),
  });
  const progress = new Progress(clock);
  const stop = listenForStop({ ...(flags.once ? STOP_ONCE : STOP[role]), log });
  const systemd = openSystemd({ env: process.env, clock, log, overdue: () => progress.overdue() });
  stop.addEventListener('abort', () => systemd.stopping(), { once: true });
  const daemon: Daemon = {
    name,
    once: flags.once,
    store,
    clock,
    random,
    progress,
    stop,
    log,
    logFor: ({ tag, uniqsign }, logfile) => {
      const plain = logTo(logs, logfile).with({ tag, pair: uniqsign });
      return { plain, named: named(`${tag}: `, plain) };
    },
    quiet: (round) => board.quiet(round),
    run: (loops) =>
      flags.once
        ? runOnce(loops, stop)
        : runUntilStopped(
            loops.map((loop) => ({ ...loop, round: board.quiet(loop.round) })),
            daemon,
          ),
  };
  try {
    log.info(`mmm ${role} ${options.version} begins: ${options.task}, as ${name}`, { event: 'begins' });
    systemd.ready(options.task);
    await work(daemon);
    log.info(`mmm ${role} ends`, { event: 'ends' });
  } finally {
    await systemd.close();
    await store.close();
    await Promise.all([...logs.values()].map((opened) => opened.close()));
  }
}

async function runUntilStopped(loops: readonly Loop[], { stop, clock, random, progress }: Daemon): Promise<void> {
  await Promise.all(loops.map((loop) => supervise({ ...loop, stop, clock, random, progress })));
}

/** `--once`: a failure of one pair does not keep the others from theirs; any failure is the command's. */
async function runOnce(loops: readonly Loop[], stop: AbortSignal): Promise<void> {
  const failed: unknown[] = [];
  await Promise.all(
    loops.map(async ({ name, round, roundDeadlineMs, log }) => {
      try {
        await round(AbortSignal.any([stop, AbortSignal.timeout(roundDeadlineMs)]), { lateMs: 0 });
      } catch (error) {
        failed.push(error);
        if (loops.length > 1) log.error(`${name}: ${messageOf(error)}`);
      }
    }),
  );
  const [first] = failed;
  if (failed.length > 1)
    throw new MmmError('failed', `${failed.length} of ${loops.length} pairs failed; the log says why`);
  if (failed.length === 1) throw first;
}

/** What ails the connection, and not this pair's keys. */
const OF_THE_CONNECTION: ReadonlySet<unknown> = new Set<ErrorCode>(['store-down', 'store-auth', 'store-loading']);

/** The board is one, and so is the trouble with it, however many pairs there are. */
class BoardTrouble {
  readonly #log: Log;
  readonly #troubles: Troubles;
  #known = false;

  constructor(log: Log) {
    this.#log = log;
    this.#troubles = new Troubles({ clock: systemClock, log });
  }

  became(trouble: MmmError | null): void {
    if (trouble !== null) this.#tell(trouble);
    else if (this.#known) this.#troubles.clear('board');
    else this.#log.info('connected to Redis', { event: 'connected' });
    this.#known = true;
  }

  /** Rounds that fail because of it are over for now: when the board is back, it wakes everybody. */
  quiet(round: Round): Round {
    return async (signal, context) => {
      try {
        const result = await round(signal, context);
        this.#troubles.clear('board');
        return result;
      } catch (error) {
        if (!(error instanceof MmmError) || !OF_THE_CONNECTION.has(error.code)) throw error;
        // Told here too: a round may learn of it first, and a long absence is told again at growing gaps.
        this.#tell(error);
        return {};
      }
    };
  }

  #tell({ code, message }: MmmError): void {
    this.#troubles.raise('board', `${message}; trying again, and no database is touched meanwhile`, {
      fields: { event: 'board', code },
    });
  }
}

async function openLogs({ flags, logfiles }: DaemonOptions): Promise<Map<string | null, OpenLog>> {
  const logs = new Map<string | null, OpenLog>();
  for (const path of new Set(logfiles)) {
    const { debug, 'log-format': format } = flags;
    logs.set(path, await openLog({ path, format, debug, clock: systemClock }));
  }
  return logs;
}

function logTo(logs: ReadonlyMap<string | null, OpenLog>, logfile: string | null): Log {
  const opened = logs.get(logfile);
  if (opened === undefined) throw new MmmError('failed', `no log was opened for ${logfile}`);
  return opened.log;
}

/** Lines that begin with `prefix`; one process tells of many pairs in one file. */
function named(prefix: string, log: Log): Log {
  return {
    error: (message, fields) => log.error(`${prefix}${message}`, fields),
    warn: (message, fields) => log.warn(`${prefix}${message}`, fields),
    info: (message, fields) => log.info(`${prefix}${message}`, fields),
    debug: (message, fields) => log.debug(`${prefix}${message}`, fields),
    with: (fields) => named(prefix, log.with(fields)),
  };
}

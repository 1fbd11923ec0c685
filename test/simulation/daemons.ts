// The three daemons as commands/ wires them, in a simulated process: the real rounds in the real loop, on a simulated store, servers and
// clock. Nothing here decides anything.

import { AgentPairs } from '../../src/agent-pairs.ts';
import type { AgentMemory } from '../../src/core/agent-memory.ts';
import { isSafetyOn, type Policy } from '../../src/core/decision.ts';
import { MmmError } from '../../src/core/errors.ts';
import type { RunHook } from '../../src/core/hook.ts';
import type { Log, LogFields } from '../../src/core/log.ts';
import type { Host, Pair } from '../../src/core/pair.ts';
import type { Step } from '../../src/core/step.ts';
import { makeIdentifyRound } from '../../src/identify.ts';
import { makeMonitorRound } from '../../src/monitor.ts';
import { type Round, supervise, Wake } from '../../src/ops/supervise.ts';
import { Pulse } from '../../src/pulse.ts';
import type { SimStore } from './board.ts';
import type { SimFence } from './fence.ts';
import type { Life } from './process.ts';
import type { SimServer, SimServerParts } from './server.ts';

export type Role = 'monitor' | 'identify' | 'agent';

export const TOPIC = 'mmm-switch-channel';
export const CONNECT_TIMEOUT_MS = 1_000;
const INTERVAL_MS = 1_000;
const TRY_TIMES = 2;
const MIN_FAILOVER_INTERVAL_SEC = 60;
const TRY_ON_FAILURE = 3;
const LEAD_MS = 5_000;
const DISCOVER_MS = 5_000;
const AGENT_DEADLINE_MS = 60_000;
const MONITOR_DEADLINE_MS = 12_000;
const IDENTIFY_DEADLINE_MS = 10_000;

export interface DaemonParts {
  readonly life: Life;
  readonly pair: Pair;
  readonly store: SimStore;
  readonly openServer: (host: Host, onStep: SimServerParts['onStep']) => SimServer;
  readonly openFence: (host: Host) => SimFence;
  readonly runHook: RunHook;
  readonly memory: AgentMemory;
  readonly policy: Policy;
  readonly failback: 'auto' | 'never';
  readonly tell: (level: string, text: string) => void;
  readonly onStep: (step: Step) => void;
  /** A promise of the code under test was rejected, or a bug of the simulator: either ends the run. */
  readonly onFault: (error: unknown) => void;
}

/** Resolves when it was stopped cleanly. */
export function startDaemon(role: Role, parts: DaemonParts): Promise<void> {
  return RUN[role](parts).catch((error: unknown) => parts.onFault(error));
}

const RUN: Readonly<Record<Role, (parts: DaemonParts) => Promise<void>>> = {
  monitor: runMonitor,
  identify: runIdentify,
  agent: runAgent,
};

async function runMonitor(parts: DaemonParts): Promise<void> {
  const { life, pair, store } = parts;
  const log = logOf(parts);
  const wake = new Wake();
  const open = (host: Host) => {
    const server = parts.openServer(host, parts.onStep);
    server.onBroken(() => wake.wake());
    return server;
  };
  const pulse = new Pulse({ clock: life.clock, wake: () => wake.wake() });
  const pulsing = pulse.run(life.stop);
  await supervise({
    ...loopOf(parts, log),
    name: pair.tag,
    round: quiet(
      makeMonitorRound({
        pair,
        servicemode: 1,
        tryTimes: TRY_TIMES,
        intervalMs: INTERVAL_MS,
        connectTimeoutMs: CONNECT_TIMEOUT_MS,
        wantRow: isSafetyOn(parts.policy),
        primary: open(pair.primary),
        secondary: open(pair.secondary),
        store,
        pulse,
        clock: life.clock,
        log,
        observer: life.name,
      }),
    ),
    roundDeadlineMs: MONITOR_DEADLINE_MS,
    wake,
  });
  await pulsing;
}

async function runIdentify(parts: DaemonParts): Promise<void> {
  const { life, pair, store, policy } = parts;
  const log = logOf(parts);
  const wake = new Wake();
  await store.watch(() => wake.wake(), ['observed']);
  await supervise({
    ...loopOf(parts, log),
    name: pair.tag,
    round: quiet(
      makeIdentifyRound({
        pair,
        tryTimes: TRY_TIMES,
        policy,
        pacing: { minFailoverIntervalSec: MIN_FAILOVER_INTERVAL_SEC, failback: parts.failback },
        store,
        clock: life.clock,
        random: life.chance,
        log,
        owner: life.name,
        leadMs: LEAD_MS,
      }),
    ),
    roundDeadlineMs: IDENTIFY_DEADLINE_MS,
    wake,
  });
}

async function runAgent(parts: DaemonParts): Promise<void> {
  const { life, store } = parts;
  const log = logOf(parts);
  const { stop } = life;
  const pairs = new AgentPairs({
    store,
    openServer: (host) => parts.openServer(host, parts.onStep),
    clock: life.clock,
    random: life.chance,
    log,
    mailer: { send: (_, body) => parts.tell('mail', body.split('\n').at(-2) ?? '') },
    name: life.name,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    tryOnFailure: TRY_ON_FAILURE,
    intervalMs: INTERVAL_MS,
    roundDeadlineMs: AGENT_DEADLINE_MS,
    stop,
    openFence: parts.openFence,
    memory: parts.memory,
    runHook: parts.runHook,
    // No server of the simulation has files.
    salvage: async () => ({ kind: 'not-saved', why: 'a simulated server has no files' }),
    quiet,
  });
  const wake = new Wake();
  await store.watch(
    (event) => {
      if (!pairs.wake(event)) wake.wake();
    },
    ['decided', 'message'],
  );
  await supervise({
    ...loopOf(parts, log),
    name: 'discovery',
    round: quiet(() => pairs.discover()),
    intervalMs: DISCOVER_MS,
    roundDeadlineMs: AGENT_DEADLINE_MS,
    wake,
    stop,
  });
  await pairs.ended();
}

function loopOf({ life }: DaemonParts, log: Log) {
  return { intervalMs: INTERVAL_MS, stop: life.stop, clock: life.clock, random: life.chance, log };
}

/** As commands/daemon.ts: a round that fails because the board is away is over for now. */
function quiet(round: Round): Round {
  return async (signal, context) => {
    try {
      return await round(signal, context);
    } catch (error) {
      if (error instanceof MmmError && error.code === 'store-down') return {};
      throw error;
    }
  };
}

function logOf({ tell }: DaemonParts): Log {
  const log: Log = {
    error: (text: string) => tell('error', text),
    warn: (text: string) => tell('warn', text),
    info: (text: string) => tell('info', text),
    debug: (text: string) => tell('debug', text),
    with: (_: LogFields) => log,
  };
  return log;
}

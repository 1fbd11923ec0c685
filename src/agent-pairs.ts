// Which pairs the agent looks after: every one that the board knows under its topic, each in a loop of its own.
// Comes from commands/agent.ts, as a round of its own; goes on to src/agent.ts, once per pair.

import { type AgentParts, makeAgentRound } from './agent.ts';
import type { Log } from './core/log.ts';
import type { Host } from './core/pair.ts';
import type { Server } from './mysql/server.ts';
import type { Clock, Random } from './ops/clock.ts';
import type { Progress } from './ops/progress.ts';
import { type Round, supervise, Wake } from './ops/supervise.ts';
import type { Store, WakeEvent } from './store/store.ts';

/** A pair that is gone from the board for this long is let go; a board that was emptied comes back sooner. */
const FORGET_AFTER_MS = 60_000;

export interface AgentPairsParts extends Omit<AgentParts, 'uniqsign' | 'serverFor' | 'wake'> {
  readonly openServer: (host: Host) => Server;
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly intervalMs: number;
  readonly roundDeadlineMs: number;
  readonly stop: AbortSignal;
  readonly progress?: Progress;
  /** Keeps a round from telling what is told once for all pairs. */
  readonly quiet?: (round: Round) => Round;
}

interface Keeping {
  readonly wake: Wake;
  readonly end: AbortController;
  readonly ended: Promise<void>;
  lastSeenMs: number;
}

/** `--once`: one round for every pair on the board, then the end. The first failure is thrown when all have had their round. */
export async function agentOnce(parts: AgentPairsParts): Promise<void> {
  const found = await parts.store.findPairs();
  const outcomes = await Promise.allSettled(found.map(({ uniqsign }) => oneRound(parts, uniqsign)));
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
}

async function oneRound(parts: AgentPairsParts, uniqsign: string): Promise<void> {
  const servers = new Servers(parts.openServer);
  const log = parts.log.with({ pair: uniqsign });
  const round = makeAgentRound({ ...parts, log, uniqsign, serverFor: (host) => servers.for(host), wake: () => {} });
  try {
    await round(AbortSignal.any([parts.stop, AbortSignal.timeout(parts.roundDeadlineMs)]));
  } finally {
    await servers.close();
  }
}

/** One warm connection per host. */
class Servers {
  readonly #open: (host: Host) => Server;
  readonly #servers = new Map<Host, Server>();

  constructor(open: (host: Host) => Server) {
    this.#open = open;
  }

  for(host: Host): Server {
    const known = this.#servers.get(host);
    if (known !== undefined) return known;
    const server = this.#open(host);
    this.#servers.set(host, server);
    return server;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#servers.values()].map((server) => server.close()));
  }
}

/** All pairs of one agent. */
export class AgentPairs {
  readonly #parts: AgentPairsParts;
  readonly #keeping = new Map<string, Keeping>();

  constructor(parts: AgentPairsParts) {
    this.#parts = parts;
  }

  /** A round of its own loop: begins with pairs that are new on the board, lets go of those that are gone. */
  async discover(): Promise<void> {
    const { store, clock, log } = this.#parts;
    const nowMs = clock.monotonic();
    for (const { uniqsign, board } of await store.findPairs()) {
      const known = this.#keeping.get(uniqsign);
      if (known !== undefined) {
        known.lastSeenMs = nowMs;
        continue;
      }
      log.info(`found pair ${uniqsign}: ${board.roles?.active} active, ${board.roles?.passive} passive`, {
        event: 'found',
        pair: uniqsign,
      });
      this.#keeping.set(uniqsign, this.#keep(uniqsign, nowMs));
    }
    for (const [uniqsign, keeping] of this.#keeping) {
      if (nowMs - keeping.lastSeenMs <= FORGET_AFTER_MS) continue;
      log.info(`pair ${uniqsign} is gone from the board; lets it be`, { event: 'forgot', pair: uniqsign });
      this.#keeping.delete(uniqsign);
      keeping.end.abort();
      await keeping.ended;
    }
  }

  /** Passes a wake-up on. False when it names a pair that is not known yet, so that the caller discovers. */
  wake({ uniqsign }: WakeEvent): boolean {
    if (uniqsign === null) {
      for (const { wake } of this.#keeping.values()) wake.wake();
      return false;
    }
    const keeping = this.#keeping.get(uniqsign);
    keeping?.wake.wake();
    return keeping !== undefined;
  }

  /** Resolves when every loop has ended; abort `stop` first. */
  async ended(): Promise<void> {
    await Promise.all([...this.#keeping.values()].map(({ ended }) => ended));
  }

  #keep(uniqsign: string, nowMs: number): Keeping {
    const { stop } = this.#parts;
    const wake = new Wake();
    const end = new AbortController();
    const onStop = () => end.abort();
    if (stop.aborted) onStop();
    else stop.addEventListener('abort', onStop, { once: true });
    const ended = this.#run(uniqsign, wake, end.signal).finally(() => stop.removeEventListener('abort', onStop));
    return { wake, end, ended, lastSeenMs: nowMs };
  }

  async #run(uniqsign: string, wake: Wake, stop: AbortSignal): Promise<void> {
    const { openServer, clock, random, intervalMs, roundDeadlineMs, progress, quiet = (round) => round } = this.#parts;
    const log = this.#parts.log.with({ pair: uniqsign });
    const servers = new Servers((host) => {
      const server = openServer(host);
      server.onBroken(() => wake.wake());
      return server;
    });
    await supervise({
      name: `pair ${uniqsign}`,
      round: quiet(
        makeAgentRound({
          ...this.#parts,
          log,
          uniqsign,
          serverFor: (host) => servers.for(host),
          wake: () => wake.wake(),
        }),
      ),
      intervalMs,
      roundDeadlineMs,
      wake,
      stop,
      clock,
      random,
      log,
      ...(progress === undefined ? {} : { progress }),
    });
    await servers.close();
  }
}

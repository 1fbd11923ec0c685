// Which pairs the agent looks after: every one that the board knows under its topic, each in a loop of its own; a second loop that keeps
// the lease, for those that have a safety on and those that the agent remembers from before it was restarted; and a third one that keeps the
// complete set, for those with durability=lossless.
// Comes from commands/agent.ts, as a round of its own; goes on to src/agent.ts, src/agent-lease.ts and src/agent-partner.ts, once per pair.

import { type AgentParts, makeAgentRound } from './agent.ts';
import { LeaseKeeper } from './agent-lease.ts';
import { leave } from './agent-leave.ts';
import { PartnerKeeper } from './agent-partner.ts';
import type { AgentMemory, RememberedPair } from './core/agent-memory.ts';
import type { Board } from './core/decision.ts';
import type { Log } from './core/log.ts';
import type { Host } from './core/pair.ts';
import type { Fence } from './mysql/fence.ts';
import type { Server } from './mysql/server.ts';
import type { Clock, Random } from './ops/clock.ts';
import type { Progress } from './ops/progress.ts';
import { type Round, supervise, Wake } from './ops/supervise.ts';
import type { FoundPair, Store, WakeEvent } from './store/store.ts';

/** A pair that is gone from the board for this long is let go; a board that was emptied comes back sooner. */
const FORGET_AFTER_MS = 60_000;
/** The next round of the keeper is due in a second, and says itself when it must be sooner. */
const KEEPER_INTERVAL_MS = 1_000;
/** No question of the keeper takes longer than a few seconds. */
const KEEPER_DEADLINE_MS = 15_000;
/** At a stop a change that is under way may end for this long, and the lease is still kept meanwhile. */
const LAST_ROUND_MS = 1_800;
/** A round of the keeper is over within a moment, unless a server hangs. */
const LAST_KEEPING_MS = 300;
/** Then the agent takes its leave. All together less than ops/signals.ts waits for the end. */
const LEAVE_MS = 2_300;
/** And lets clients go, which is done within a moment. */
const FAREWELL_MS = 400;

export interface AgentPairsParts extends Omit<AgentParts, 'uniqsign' | 'serverFor' | 'fenceFor' | 'wake' | 'onOpened'> {
  readonly openServer: (host: Host) => Server;
  readonly openFence: (host: Host) => Fence;
  /** What the agent knew when it ended. */
  readonly memory: AgentMemory;
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

/** The second loop of a pair. */
interface Keeper {
  readonly keeper: LeaseKeeper;
  readonly end: AbortController;
  readonly ended: Promise<void>;
  readonly fences: Warm<Fence>;
}

/** The third one. */
interface PartnerLoop {
  readonly keeper: PartnerKeeper;
  readonly wake: Wake;
  readonly ended: Promise<void>;
  readonly close: () => Promise<void>;
}

interface Keeping {
  readonly wake: Wake;
  readonly end: AbortController;
  readonly ended: Promise<void>;
  keeper: Keeper | null;
  partner: PartnerLoop | null;
  lastSeenMs: number;
  /** It was told that the pair is gone from the board and kept all the same. */
  keptTold: boolean;
}

/** `--once`: one round for every pair on the board, then the end. The first failure is thrown when all have had their round. */
export async function agentOnce(parts: AgentPairsParts): Promise<void> {
  const found = await parts.store.findPairs();
  const outcomes = await Promise.allSettled(found.map((pair) => oneRound(parts, pair)));
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
}

async function oneRound(parts: AgentPairsParts, { uniqsign, board, policy }: FoundPair): Promise<void> {
  const servers = new Warm(parts.openServer);
  const fences = new Warm(parts.openFence);
  const log = parts.log.with({ pair: uniqsign });
  const wake = () => {};
  const fenceFor = (host: Host) => fences.for(host);
  const round = makeAgentRound({ ...parts, log, uniqsign, serverFor: (host) => servers.for(host), fenceFor, wake });
  try {
    await round(AbortSignal.any([parts.stop, AbortSignal.timeout(parts.roundDeadlineMs)]));
    if (board.roles !== null && board.terms.lease !== null) {
      // It does not stay, so nobody is to count on it.
      const known = { roles: board.roles, policy };
      await new LeaseKeeper({ ...parts, log, uniqsign, fenceFor, wake, known, registers: false }).round();
    }
    if (hasPartner(board)) {
      const serverFor = (host: Host) => servers.for(host);
      const keeper = new PartnerKeeper({ ...parts, log, uniqsign, serverFor, fenceFor, wake });
      await keeper.settle(AbortSignal.any([parts.stop, AbortSignal.timeout(parts.roundDeadlineMs)]));
    }
  } finally {
    await Promise.all([servers.close(), fences.close()]);
  }
}

/** Who is complete means something, now or since an earlier decision. */
function hasPartner({ terms, complete }: Board): boolean {
  return terms.lease !== null && (terms.durability === 'lossless' || complete !== null);
}

/** One warm connection per host. */
class Warm<T extends { close(): Promise<void> }> {
  readonly #open: (host: Host) => T;
  readonly #opened = new Map<Host, T>();

  constructor(open: (host: Host) => T) {
    this.#open = open;
  }

  for(host: Host): T {
    const known = this.#opened.get(host);
    if (known !== undefined) return known;
    const opened = this.#open(host);
    this.#opened.set(host, opened);
    return opened;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#opened.values()].map((opened) => opened.close()));
  }
}

/** All pairs of one agent. */
export class AgentPairs {
  readonly #parts: AgentPairsParts;
  readonly #keeping = new Map<string, Keeping>();
  #remembered = false;

  constructor(parts: AgentPairsParts) {
    this.#parts = parts;
  }

  /** A round of its own loop: begins with pairs that are new on the board, lets go of those that are gone. */
  async discover(): Promise<void> {
    const { store, clock, log } = this.#parts;
    this.#remember();
    const found = await store.findPairs();
    const nowMs = clock.monotonic();
    for (const { uniqsign, board, policy } of found) {
      const known = this.#keeping.get(uniqsign);
      const keeping = known ?? this.#keep(uniqsign);
      if (known === undefined) {
        log.info(`found pair ${uniqsign}: ${board.roles?.active} active, ${board.roles?.passive} passive`, {
          event: 'found',
          pair: uniqsign,
        });
      }
      keeping.lastSeenMs = nowMs;
      keeping.keptTold = false;
      if (board.roles !== null && board.terms.lease !== null) {
        this.#guard(keeping, { uniqsign, roles: board.roles, policy });
      } else if (keeping.keeper?.keeper.mayForget === true) {
        this.#parts.memory.forget(uniqsign);
      }
      if (hasPartner(board)) this.#keepPartner(keeping, uniqsign);
    }
    for (const [uniqsign, keeping] of this.#keeping) {
      if (nowMs - keeping.lastSeenMs > FORGET_AFTER_MS) await this.#letGo(uniqsign, keeping);
    }
  }

  /** Passes a wake-up on. False when it names a pair that is not known yet, or may have got a safety, so that the caller discovers. */
  wake({ uniqsign, kind }: WakeEvent): boolean {
    if (uniqsign === null) {
      for (const { wake, partner } of this.#keeping.values()) {
        wake.wake();
        partner?.wake.wake();
      }
      return false;
    }
    const keeping = this.#keeping.get(uniqsign);
    keeping?.wake.wake();
    keeping?.partner?.wake.wake();
    return keeping !== undefined && (keeping.keeper !== null || kind !== 'decided');
  }

  /** Resolves when every loop has ended; abort `stop` first. */
  async ended(): Promise<void> {
    await Promise.all([...this.#keeping.values()].map(({ ended }) => ended));
  }

  /** Before the board is asked for the first time: it may be away, and a lease does not wait for it. */
  #remember(): void {
    if (this.#remembered) return;
    this.#remembered = true;
    const { memory, log } = this.#parts;
    for (const pair of memory.pairs()) {
      const { uniqsign, roles } = pair;
      log.info(`remembers pair ${uniqsign}, ${roles.active} and ${roles.passive}: keeps its lease`, {
        event: 'remembered',
        pair: uniqsign,
      });
      this.#guard(this.#keep(uniqsign), pair);
    }
  }

  async #letGo(uniqsign: string, keeping: Keeping): Promise<void> {
    const { log, memory } = this.#parts;
    if (keeping.keeper !== null && !keeping.keeper.keeper.mayForget) {
      if (!keeping.keptTold) {
        log.warn(
          `pair ${uniqsign} is gone from the board, but a host of it is open by a lease, or does not answer: goes on keeping the lease`,
          { event: 'kept', pair: uniqsign },
        );
      }
      keeping.keptTold = true;
      return;
    }
    log.info(`pair ${uniqsign} is gone from the board; lets it be`, { event: 'forgot', pair: uniqsign });
    memory.forget(uniqsign);
    keeping.end.abort();
    await keeping.ended;
    this.#keeping.delete(uniqsign);
  }

  #keep(uniqsign: string): Keeping {
    const { stop, clock } = this.#parts;
    const wake = new Wake();
    const end = new AbortController();
    const onStop = () => end.abort();
    if (stop.aborted) onStop();
    else stop.addEventListener('abort', onStop, { once: true });
    const ended = this.#life(uniqsign, wake, end.signal).finally(() => stop.removeEventListener('abort', onStop));
    const keeping = { wake, end, ended, keeper: null, partner: null, lastSeenMs: clock.monotonic(), keptTold: false };
    this.#keeping.set(uniqsign, keeping);
    return keeping;
  }

  /** From the first round of the pair to the last question. */
  async #life(uniqsign: string, wake: Wake, end: AbortSignal): Promise<void> {
    const { clock, stop } = this.#parts;
    const changing = this.#change(uniqsign, wake, end);
    // The lease is kept until a change that is under way is over, but a step that hangs must not cost the leave-taking its time.
    await Promise.race([changing, aborted(end).then(() => clock.sleep(LAST_ROUND_MS))]);
    const keeper = this.#keeping.get(uniqsign)?.keeper ?? null;
    if (keeper !== null) {
      keeper.end.abort();
      await Promise.race([keeper.ended, clock.sleep(LAST_KEEPING_MS)]);
      await keeper.keeper.retire();
      if (stop.aborted) await this.#leave(uniqsign, keeper);
      await keeper.fences.close();
    }
    const partner = this.#keeping.get(uniqsign)?.partner ?? null;
    if (partner !== null) {
      // After the lease's leave, which says on the board that this agent is gone.
      if (stop.aborted) await Promise.race([this.#farewell(partner), clock.sleep(FAREWELL_MS)]);
      await partner.ended;
      await partner.close();
    }
    await changing;
  }

  async #farewell({ keeper, ended }: PartnerLoop): Promise<void> {
    await ended;
    await keeper.farewell(AbortSignal.timeout(FAREWELL_MS));
  }

  async #leave(uniqsign: string, { keeper, fences }: Keeper): Promise<void> {
    await leave({
      ...this.#parts,
      uniqsign,
      log: this.#parts.log.with({ pair: uniqsign }),
      fenceFor: (host) => fences.for(host),
      known: keeper.known,
      withinMs: LEAVE_MS,
    });
  }

  /** The loop that makes the servers so. */
  async #change(uniqsign: string, wake: Wake, stop: AbortSignal): Promise<void> {
    const { openFence, intervalMs, roundDeadlineMs, quiet = (round) => round } = this.#parts;
    const log = this.#parts.log.with({ pair: uniqsign });
    const servers = this.#serversThatWake(wake);
    const fences = new Warm(openFence);
    const round = makeAgentRound({
      ...this.#parts,
      log,
      uniqsign,
      serverFor: (host) => servers.for(host),
      fenceFor: (host) => fences.for(host),
      wake: () => wake.wake(),
      onOpened: () => this.#keeping.get(uniqsign)?.partner?.wake.wake(),
    });
    await this.#supervise({
      name: `pair ${uniqsign}`,
      round: quiet(round),
      intervalMs,
      roundDeadlineMs,
      wake,
      stop,
      log,
    });
    await Promise.all([servers.close(), fences.close()]);
  }

  /** Starts the loop that keeps the lease. */
  #guard(keeping: Keeping, { uniqsign, ...known }: RememberedPair): void {
    if (keeping.keeper !== null) return;
    const log = this.#parts.log.with({ pair: uniqsign });
    const end = new AbortController();
    const wake = new Wake();
    const fences = new Warm(this.#parts.openFence);
    const keeper = new LeaseKeeper({
      ...this.#parts,
      log,
      uniqsign,
      known,
      fenceFor: (host) => fences.for(host),
      registers: true,
      wake: () => wake.wake(),
    });
    const ended = this.#supervise({
      name: `lease ${uniqsign}`,
      round: () => keeper.round(),
      intervalMs: KEEPER_INTERVAL_MS,
      roundDeadlineMs: KEEPER_DEADLINE_MS,
      wake,
      stop: end.signal,
      log,
    });
    keeping.keeper = { keeper, end, ended, fences };
  }

  /** Starts the loop that keeps the complete set. */
  #keepPartner(keeping: Keeping, uniqsign: string): void {
    if (keeping.partner !== null) return;
    const { openFence, quiet = (round) => round } = this.#parts;
    const log = this.#parts.log.with({ pair: uniqsign });
    const wake = new Wake();
    const servers = this.#serversThatWake(wake);
    const fences = new Warm(openFence);
    const keeper = new PartnerKeeper({
      ...this.#parts,
      log,
      uniqsign,
      serverFor: (host) => servers.for(host),
      fenceFor: (host) => fences.for(host),
      wake: () => wake.wake(),
    });
    const ended = this.#supervise({
      name: `partner ${uniqsign}`,
      round: quiet((signal) => keeper.round(signal)),
      intervalMs: KEEPER_INTERVAL_MS,
      roundDeadlineMs: KEEPER_DEADLINE_MS,
      wake,
      stop: keeping.end.signal,
      log,
    });
    const close = async () => {
      await Promise.all([servers.close(), fences.close()]);
    };
    keeping.partner = { keeper, wake, ended, close };
  }

  /** A loop's own connections: one that breaks starts its next round at once. */
  #serversThatWake(wake: Wake): Warm<Server> {
    return new Warm((host) => {
      const server = this.#parts.openServer(host);
      server.onBroken(() => wake.wake());
      return server;
    });
  }

  async #supervise(
    loop: Omit<Parameters<typeof supervise>[0], 'clock' | 'random' | 'progress'> & { readonly log: Log },
  ): Promise<void> {
    const { clock, random, progress } = this.#parts;
    await supervise({ ...loop, clock, random, ...(progress === undefined ? {} : { progress }) });
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

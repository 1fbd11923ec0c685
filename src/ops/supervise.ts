// THE loop: every daemon runs its rounds in this one, one loop per pair, so that a sick pair never delays a healthy one.
// Comes from commands/{monitor,identify,agent}.ts; goes on to src/{monitor,identify,agent}.ts.

import { setMaxListeners } from 'node:events';
import { MmmError, messageOf } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import type { Clock, Random } from './clock.ts';
import type { Progress } from './progress.ts';
import { duration, Troubles } from './trouble.ts';

export interface RoundContext {
  /**
   * How late this loop ran, at worst, since the wait before this round: a process that was frozen or starved has seen
   * nothing, and its timeouts are not evidence. It grows while the round runs, so read it when the round judges.
   */
  readonly lateMs: number;
}

// biome-ignore lint/suspicious/noConfusingVoidType: most rounds have nothing to say about the next one.
type RoundResult = { readonly nextMs?: number } | void;

export type Round = (signal: AbortSignal, context: RoundContext) => Promise<RoundResult>;

export interface Supervision {
  /** Stands in front of what is logged: the tag of the pair. */
  readonly name: string;
  readonly round: Round;
  /** From the start of one round to the start of the next. */
  readonly intervalMs: number;
  /** When a round runs longer its signal aborts. */
  readonly roundDeadlineMs: number;
  /** Starts the next round early. Belongs to this loop alone. */
  readonly wake: Wake;
  /** Ends the loop. The running round may finish for STOP_GRACE_MS, then its signal aborts too. */
  readonly stop: AbortSignal;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Where the loop shows that it lives, for the watchdog. */
  readonly progress?: Progress;
}

/** A failed round is tried again after a random part of this, doubled with every further failure up to the cap. */
const BACKOFF_FIRST_MS = 100;
const BACKOFF_CAP_MS = 5_000;

/** Between a failed round and the next, even when wakes pour in: a round that fails at once must not become a hot loop. */
const FAILURE_GAP_MS = 50;

/** A round in the middle of a change does better to finish it than to be cut off. */
const STOP_GRACE_MS = 2_000;

/** How often a round that takes long looks whether the process itself is late. */
const TICK_MS = 250;

/** Later than this is worth a line: the machine was paused, or has no time for us. */
const LATE_TOLD_MS = 1_000;

/** Resolves when `stop` has aborted and the running round has ended. Never rejects. */
export async function supervise(supervision: Supervision): Promise<void> {
  const { name, intervalMs, wake, stop, clock, random, log, progress } = supervision;
  // Hundreds of loops hear one stop; Node would take that for a leak.
  setMaxListeners(0, stop);
  const troubles = new Troubles({ clock, log });
  let lateMs = 0;
  let failures = 0;

  while (!stop.aborted) {
    const startedMs = clock.monotonic();
    wake.take();
    const ended = await runRound(supervision, troubles, lateMs);
    if (stop.aborted) break;

    failures = ended.failed ? failures + 1 : 0;
    const waitMs = ended.failed
      ? backoffMs(failures, random)
      : Math.max(0, startedMs + Math.min(intervalMs, ended.nextMs ?? intervalMs) - clock.monotonic());
    const nextMs = clock.monotonic() + waitMs;
    progress?.expect(name, waitMs);
    if (ended.failed) await clock.sleep(FAILURE_GAP_MS, stop);
    await wake.wait(nextMs - clock.monotonic(), { clock, signal: stop });
    lateMs = Math.max(0, clock.monotonic() - nextMs);
  }
  progress?.ended(name);
}

interface Ended {
  readonly failed: boolean;
  readonly nextMs: number | undefined;
}

async function runRound(supervision: Supervision, troubles: Troubles, waitLateMs: number): Promise<Ended> {
  const { name, round, roundDeadlineMs, stop, clock, log, progress } = supervision;
  const cut = new AbortController();
  const over = new AbortController();
  setMaxListeners(0, cut.signal);
  const lateness = new Lateness(clock, waitLateMs);
  progress?.expect(name, roundDeadlineMs);

  const watching = watchDeadline(supervision, { troubles, cut, over: over.signal, lateness });
  const stopping = cutAfterStop({ stop, clock, cut, over: over.signal });
  let ended: Ended;
  try {
    const result = await round(cut.signal, lateness);
    troubles.clear('round');
    ended = { failed: false, nextMs: result?.nextMs };
  } catch (error) {
    ended = { failed: true, nextMs: undefined };
    // Cut off by the stop or by its deadline, which is told already: its complaint would only repeat that.
    if (cut.signal.aborted) log.debug(`${name}: round cut off: ${messageOf(error)}`);
    else if (troubles.raise('round', `${name}: ${messageOf(error)}; trying again`)) tellStack(log, name, error);
  }
  over.abort();
  await Promise.all([watching, stopping]);
  if (!cut.signal.aborted) troubles.clear('deadline');
  if (lateness.lateMs > LATE_TOLD_MS) {
    const late = duration(lateness.lateMs);
    troubles.raise('late', `${name}: this process ran ${late} late (paused, or the machine is overloaded)`, {
      level: 'warn',
    });
  } else {
    troubles.clear('late');
  }
  return ended;
}

interface Watch {
  readonly troubles: Troubles;
  readonly cut: AbortController;
  readonly over: AbortSignal;
  readonly lateness: Lateness;
}

/** Aborts the round at its deadline, and goes on telling about one that does not heed that. */
async function watchDeadline({ name, roundDeadlineMs, clock }: Supervision, watch: Watch): Promise<void> {
  const { troubles, cut, over, lateness } = watch;
  const deadlineMs = clock.monotonic() + roundDeadlineMs;
  while (!over.aborted) {
    const leftMs = deadlineMs - clock.monotonic();
    const askedMs = leftMs > 0 ? Math.min(TICK_MS, leftMs) : TICK_MS;
    lateness.expect(askedMs);
    await clock.sleep(askedMs, over);
    if (over.aborted) return;
    lateness.note();
    const overdueMs = clock.monotonic() - deadlineMs;
    if (overdueMs < 0) continue;
    const deadline = duration(roundDeadlineMs);
    if (!cut.signal.aborted) cut.abort(new MmmError('failed', `the round's deadline of ${deadline} has passed`));
    const heeds = overdueMs < STOP_GRACE_MS;
    troubles.raise(
      'deadline',
      heeds
        ? `${name}: the round took longer than ${deadline} and was cut off; starting over`
        : `${name}: the round was cut off after ${deadline} and still has not ended; nothing is done for this pair`,
    );
  }
}

interface StopCut {
  readonly stop: AbortSignal;
  readonly clock: Clock;
  readonly cut: AbortController;
  readonly over: AbortSignal;
}

async function cutAfterStop({ stop, clock, cut, over }: StopCut): Promise<void> {
  await eitherAborts(stop, over);
  await clock.sleep(STOP_GRACE_MS, over);
  if (!over.aborted) cut.abort(new MmmError('failed', 'stopping'));
}

/** By hand, because AbortSignal.any keeps something for every call on a signal that lives as long as the daemon. */
function eitherAborts(one: AbortSignal, other: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      one.removeEventListener('abort', end);
      other.removeEventListener('abort', end);
      resolve();
    };
    if (one.aborted || other.aborted) {
      resolve();
      return;
    }
    one.addEventListener('abort', end);
    other.addEventListener('abort', end);
  });
}

/** Full jitter: many pairs that lost the same Redis must not come back in step. */
function backoffMs(failures: number, random: Random): number {
  const ceilingMs = Math.min(BACKOFF_CAP_MS, BACKOFF_FIRST_MS * 2 ** Math.min(failures - 1, 16));
  return Math.max(FAILURE_GAP_MS, random.next() * ceilingMs);
}

/** An MmmError says all in its message; anything else is our fault, and whoever mends it needs the place. */
function tellStack(log: Log, name: string, error: unknown): void {
  if (error instanceof MmmError || !(error instanceof Error)) return;
  log.debug(`${name}: ${error.stack ?? 'no stack'}`);
}

class Lateness implements RoundContext {
  readonly #clock: Clock;
  #worstMs: number;
  #expectedMs: number;

  constructor(clock: Clock, worstMs: number) {
    this.#clock = clock;
    this.#worstMs = worstMs;
    this.#expectedMs = Number.POSITIVE_INFINITY;
  }

  /** A timer was asked to fire after `ms`. */
  expect(ms: number): void {
    this.#expectedMs = this.#clock.monotonic() + ms;
  }

  /** It fired. */
  note(): void {
    this.#worstMs = this.lateMs;
    this.#expectedMs = Number.POSITIVE_INFINITY;
  }

  /** Counts a timer that should have fired and has not: after a thaw a probe's timeout may well be served before it. */
  get lateMs(): number {
    return Math.max(this.#worstMs, this.#clock.monotonic() - this.#expectedMs);
  }
}

/** What cuts a loop's wait short. Wakes that come together, or during a round, are one. */
export class Wake {
  #pending = false;
  #cut: (() => void) | null = null;

  wake(): void {
    this.#pending = true;
    this.#cut?.();
  }

  /** The round that begins now answers every wake so far. */
  take(): void {
    this.#pending = false;
  }

  /** Resolves at a wake, after `ms`, or when the signal aborts. Leaves the wake for the next round to take. */
  async wait(ms: number, { clock, signal }: { clock: Clock; signal: AbortSignal }): Promise<void> {
    if (this.#pending || signal.aborted || ms <= 0) return;
    const cut = new AbortController();
    const end = () => cut.abort();
    this.#cut = end;
    signal.addEventListener('abort', end);
    await clock.sleep(ms, cut.signal);
    signal.removeEventListener('abort', end);
    this.#cut = null;
  }
}

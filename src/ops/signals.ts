// Which signals end a daemon, and that it then really ends. Comes from commands/{monitor,identify,agent}.ts; the signal
// that it returns stops the loops of ops/supervise.ts.

import type { Log } from '../core/log.ts';

/** A release that hangs (a frozen server, a dead Redis) must not keep a stopped daemon around. */
const EXIT_DEADLINE_MS = 5_000;

/** For the log to write why. */
const LAST_WORDS_MS = 50;

export interface StopOptions {
  /** The first of these stops cleanly, the second ends the process at once with code 1. */
  readonly stopOn: readonly NodeJS.Signals[];
  /** These are logged and change nothing: the contract's INT and TERM for monitor and identify. */
  readonly ignore: readonly NodeJS.Signals[];
  readonly log: Log;
  readonly exitDeadlineMs?: number;
}

/** Aborts when the daemon has been asked to stop. The caller then releases what it holds and lets the process end. */
export function listenForStop({ stopOn, ignore, log, exitDeadlineMs = EXIT_DEADLINE_MS }: StopOptions): AbortSignal {
  const stop = new AbortController();
  for (const name of stopOn) {
    process.on(name, () => {
      if (stop.signal.aborted) {
        log.warn(`${name} again: ending at once, without giving anything up`);
        endIn(LAST_WORDS_MS);
        return;
      }
      log.info(`${name}: stopping`);
      stop.abort();
      const overdue = setTimeout(() => {
        log.error(`the clean stop takes longer than ${exitDeadlineMs / 1000} s: ending without it`);
        endIn(LAST_WORDS_MS);
      }, exitDeadlineMs);
      overdue.unref();
    });
  }
  for (const name of ignore)
    process.on(name, () => log.info(`${name} ignored; ${stopOn.join(' or ')} stops this daemon`));
  return stop.signal;
}

function endIn(ms: number): void {
  setTimeout(() => process.exit(1), ms);
}

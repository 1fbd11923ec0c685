// Which signals end a daemon, and that it then really ends. Comes from commands/{monitor,identify,agent}.ts; the signal
// that it returns stops the loops of ops/supervise.ts.

import type { Log } from '../core/log.ts';

/** A release that hangs (a frozen server, a dead Redis) must not keep a stopped daemon around. */
const EXIT_DEADLINE_MS = 5_000;

/** For the log to write why. */
const LAST_WORDS_MS = 50;

/**
 * Aborts when the daemon has been asked to stop; the caller then releases what it holds and lets the process end.
 * The first of `signals` stops cleanly, the second ends the process at once with code 1. Those in `ignored` are logged
 * and change nothing: the contract's INT and TERM for monitor and identify.
 */
export function stopOn(
  signals: readonly NodeJS.Signals[],
  ignored: readonly NodeJS.Signals[],
  log: Log,
  { exitDeadlineMs = EXIT_DEADLINE_MS }: { exitDeadlineMs?: number } = {},
): AbortSignal {
  const stop = new AbortController();
  for (const name of signals) {
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
  for (const name of ignored)
    process.on(name, () => log.info(`${name} ignored; ${signals.join(' or ')} stops this daemon`));
  return stop.signal;
}

function endIn(ms: number): void {
  setTimeout(() => process.exit(1), ms);
}

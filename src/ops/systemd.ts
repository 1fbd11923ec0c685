// Readiness, status and watchdog for systemd. Node cannot open the datagram socket that systemd listens on, so
// systemd-notify does the talking, and the units say NotifyAccess=all. Without NOTIFY_SOCKET nothing happens here.
// Comes from commands/{monitor,identify,agent}.ts; ops/progress.ts says whether the watchdog deserves its bone.

import { spawn } from 'node:child_process';
import type { Log } from '../core/log.ts';
import type { Clock } from './clock.ts';
import { Troubles } from './trouble.ts';

export interface ServiceManager {
  /** The daemon has begun its work, whether or not anything out there answers. */
  ready(status: string): void;
  /** One line for `systemctl status`. */
  status(text: string): void;
  stopping(): void;
  /** Resolves when the last word is delivered. */
  close(): Promise<void>;
}

export interface SystemdOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
  readonly log: Log;
  /** Names of the loops that hang; while there are any, systemd is left to restart this process. */
  readonly overdue: () => readonly string[];
}

/** From systemd 246 on it waits until systemd has read the message, itself for five seconds at most. */
const NOTIFY_DEADLINE_MS = 6_000;

export function openSystemd({ env, clock, log, overdue }: SystemdOptions): ServiceManager {
  if (!env['NOTIFY_SOCKET']) return { ready: () => {}, status: () => {}, stopping: () => {}, close: async () => {} };
  const notifier = new Notifier({ env, clock, log });
  const closing = new AbortController();
  const watching = petWatchdog({ env, clock, log, overdue, notifier, closing: closing.signal });
  return {
    ready: (status) => notifier.tell({ READY: '1', STATUS: status }),
    status: (text) => notifier.tell({ STATUS: text }),
    stopping: () => notifier.tell({ STOPPING: '1' }),
    close: async () => {
      closing.abort();
      await watching;
      await notifier.idle();
    },
  };
}

interface Watchdog extends SystemdOptions {
  readonly notifier: Notifier;
  readonly closing: AbortSignal;
}

async function petWatchdog({ env, clock, log, overdue, notifier, closing }: Watchdog): Promise<void> {
  const periodMs = Number(env['WATCHDOG_USEC']) / 1000;
  const forUs = env['WATCHDOG_PID'] === undefined || env['WATCHDOG_PID'] === String(process.pid);
  if (!(periodMs > 0) || !forUs) return;
  const troubles = new Troubles({ clock, log });
  while (!closing.aborted) {
    await clock.sleep(periodMs / 2, closing);
    if (closing.aborted) return;
    const hanging = overdue();
    if (hanging.length === 0) {
      troubles.clear('hanging');
      notifier.tell({ WATCHDOG: '1' });
    } else {
      troubles.raise('hanging', `these loops hang, so systemd will restart this process: ${hanging.join(', ')}`);
    }
  }
}

/** One systemd-notify at a time; what comes meanwhile is joined, the last value of each name wins. */
class Notifier {
  readonly #env: NodeJS.ProcessEnv;
  readonly #clock: Clock;
  readonly #troubles: Troubles;
  readonly #waiting = new Map<string, string>();
  #ready = false;
  #telling: Promise<void> | null = null;

  constructor({ env, clock, log }: { env: NodeJS.ProcessEnv; clock: Clock; log: Log }) {
    this.#env = env;
    this.#clock = clock;
    this.#troubles = new Troubles({ clock, log });
  }

  tell(values: {
    readonly READY?: '1';
    readonly STATUS?: string;
    readonly STOPPING?: '1';
    readonly WATCHDOG?: '1';
  }): void {
    if (values.READY) this.#ready = true;
    if (values.STOPPING) this.#ready = false;
    for (const [name, value] of Object.entries(values)) this.#waiting.set(name, value.replace(/\p{Cc}+/gu, ' '));
    // An older systemd (CentOS 7) can miss a message whose sender has ended before it looked who that was. A lost
    // READY would end in a failed start, so every sign of life repeats it.
    if (this.#ready) this.#waiting.set('READY', '1');
    this.#telling ??= this.#tellAll();
  }

  async idle(): Promise<void> {
    await this.#telling;
  }

  async #tellAll(): Promise<void> {
    while (this.#waiting.size > 0) {
      const assignments = [...this.#waiting].map(([name, value]) => `${name}=${value}`);
      this.#waiting.clear();
      const why = await this.#notify(assignments);
      if (why === null) this.#troubles.clear('notify');
      else this.#troubles.raise('notify', `cannot tell systemd how we are: systemd-notify ${why}`, { level: 'warn' });
    }
    this.#telling = null;
  }

  async #notify(assignments: readonly string[]): Promise<string | null> {
    const over = new AbortController();
    const cut = new AbortController();
    const deadline = this.#clock.sleep(NOTIFY_DEADLINE_MS, over.signal).then(() => {
      if (!over.signal.aborted) cut.abort(new Error('hangs'));
    });
    const why = await run(assignments, this.#env, cut.signal);
    over.abort();
    await deadline;
    return cut.signal.aborted ? `does not end within ${NOTIFY_DEADLINE_MS / 1000} s` : why;
  }
}

/** Returns what went wrong, or null. */
function run(assignments: readonly string[], env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<string | null> {
  return new Promise((resolve) => {
    const child = spawn('systemd-notify', ['--', ...assignments], {
      env,
      stdio: 'ignore',
      signal,
      killSignal: 'SIGKILL',
    });
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, killedBy) => resolve(code === 0 ? null : `ended with ${killedBy ?? `code ${code}`}`));
  });
}

// Two eyes of its own: asks both servers all the time, as a client without admin rights, whether they take writes, and keeps
// when each began and stopped to, and whether both ever did at once (S1). Comes from run.ts; the tests use it too.

import { setTimeout as sleep } from 'node:timers/promises';
import { type Connection, createConnection } from 'mysql2/promise';
import { APP } from './accounts.ts';

type WriteState = 'writable' | 'read-only' | 'silent' | 'gone';

interface Change {
  readonly port: number;
  readonly state: WriteState;
  /** Monotonic milliseconds, when the answer came. */
  readonly atMs: number;
}

export interface Watch {
  /** Every change of every host, oldest first. */
  readonly changes: readonly Change[];
  /** How long both are proven to have taken writes at once, in all. */
  readonly bothWritableMs: number;
  stateOf(port: number): WriteState | undefined;
  stop(): Promise<void>;
}

const PAUSE_MS = 3;
const DEADLINE_MS = 250;
/** Changes kept; a sandbox that is left running for days must not grow. */
const MOST_CHANGES = 2_000;
/** A server that refuses a write because it is read only says 1290 (or 1836, when another server set it so). */
const READ_ONLY_ERRNOS: readonly unknown[] = [1290, 1836];

export function startWatch(ports: readonly [number, number]): Watch {
  const changes: Change[] = [];
  const states = new Map<number, WriteState>();
  const overlap = new Overlap(ports);
  const stopping = new AbortController();
  const note = (port: number, look: Look) => {
    overlap.add(port, look);
    if (states.get(port) === look.state) return;
    states.set(port, look.state);
    changes.push({ port, state: look.state, atMs: look.answeredMs });
    if (changes.length > MOST_CHANGES) changes.shift();
  };
  const eyes = ports.map((port) => watchHost(port, stopping.signal, (look) => note(port, look)));
  return {
    changes,
    get bothWritableMs() {
      return overlap.totalMs;
    },
    stateOf: (port) => states.get(port),
    stop: async () => {
      stopping.abort();
      await Promise.all(eyes);
    },
  };
}

interface Look {
  readonly state: WriteState;
  readonly askedMs: number;
  readonly answeredMs: number;
}

async function watchHost(port: number, signal: AbortSignal, note: (look: Look) => void): Promise<void> {
  let connection: Connection | undefined;
  while (!signal.aborted) {
    const askedMs = performance.now();
    let state: WriteState;
    try {
      connection ??= await open(port);
      // Refused by a server that is read only, and where it is not, changes nothing and writes nothing to the binary log.
      await connection.query({ sql: 'DELETE FROM app.writes WHERE id = -1', timeout: DEADLINE_MS });
      state = 'writable';
    } catch (error) {
      state = stateFrom(error);
      if (state !== 'read-only') {
        connection?.destroy();
        connection = undefined;
      }
    }
    note({ state, askedMs, answeredMs: performance.now() });
    await sleep(PAUSE_MS);
  }
  connection?.destroy();
}

async function open(port: number): Promise<Connection> {
  // Without a database: so nobody counts this connection as an application's.
  const connection = await createConnection({ host: '127.0.0.1', port, ...APP, connectTimeout: DEADLINE_MS });
  // The statement that is running gets the error too; without a listener it would end this process.
  connection.on('error', () => undefined);
  return connection;
}

function stateFrom(error: unknown): WriteState {
  if (!(error instanceof Error)) return 'gone';
  if ('errno' in error && READ_ONLY_ERRNOS.includes(error.errno)) return 'read-only';
  const code = 'code' in error ? error.code : undefined;
  return code === 'ETIMEDOUT' || code === 'PROTOCOL_SEQUENCE_TIMEOUT' ? 'silent' : 'gone';
}

/**
 * Finds proof that both hosts took writes at once: one took a write between two of the other, which took all in between. Looks
 * that merely overlap in time prove nothing, for a role may have changed hands meanwhile.
 */
export class Overlap {
  readonly #ports: readonly [number, number];
  readonly #runs = new Map<number, { firstMs: number; otherWroteMs: number | undefined }>();
  #totalMs = 0;

  constructor(ports: readonly [number, number]) {
    this.#ports = ports;
  }

  get totalMs(): number {
    return this.#totalMs;
  }

  add(port: number, { state, askedMs, answeredMs }: Look): void {
    if (state !== 'writable') {
      this.#runs.delete(port);
      return;
    }
    const run = this.#runs.get(port);
    if (run === undefined) this.#runs.set(port, { firstMs: answeredMs, otherWroteMs: undefined });
    else if (run.otherWroteMs !== undefined && askedMs >= run.otherWroteMs) {
      // Between its own last two writes the other one wrote: both were open from then until now.
      this.#totalMs += Math.max(answeredMs - run.otherWroteMs, 0.001);
      run.otherWroteMs = undefined;
    }
    const other = this.#runs.get(this.#ports[0] === port ? this.#ports[1] : this.#ports[0]);
    if (other !== undefined && askedMs >= other.firstMs) other.otherWroteMs ??= answeredMs;
  }
}

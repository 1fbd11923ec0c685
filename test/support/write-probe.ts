// Two clients without admin rights, one per host, that ask without a pause whether they could write: the judge of S1.
// Used by every failover on real servers.

import { type Connection, createConnection, type RowDataPacket } from 'mysql2/promise';
import { APP } from '../../src/sandbox/accounts.ts';

/** One answer: between `sentMs` and `receivedMs` (monotonic) the host was writable, or not. */
interface Sample {
  readonly host: string;
  readonly sentMs: number;
  readonly receivedMs: number;
  readonly writable: boolean;
}

export interface Overlap {
  /** The host that was writable although the other one was, before and after. */
  readonly host: string;
  readonly atMs: number;
}

const GAP_MS = 5;
const TIMEOUT_MS = 1_000;

export class WriteProbe {
  readonly #samples: Sample[] = [];
  readonly #stop = new AbortController();
  readonly #loops: Promise<void>[];
  readonly #hosts: readonly string[];

  /** `ports` of the two hosts on 127.0.0.1. */
  constructor(ports: readonly number[]) {
    this.#hosts = ports.map((port) => `127.0.0.1:${port}`);
    this.#loops = ports.map((port) => this.#watch(port));
  }

  /** Whether the host's last answer was that it takes writes. */
  isWritable(host: string): boolean {
    return this.#samples.findLast((sample) => sample.host === host)?.writable ?? false;
  }

  /** Monotonic ms of the first answer after `sinceMs` that said `writable`; undefined while there is none. */
  firstMs(host: string, writable: boolean, sinceMs: number): number | undefined {
    const found = this.#samples.find((s) => s.host === host && s.writable === writable && s.sentMs >= sinceMs);
    return found?.receivedMs;
  }

  /**
   * Answers that prove two writers: a host said writable, and the other one said so both before the question was sent and
   * after the answer came, with no "no" in between.
   */
  overlaps(sinceMs = 0): readonly Overlap[] {
    const samples = this.#samples.filter((sample) => sample.receivedMs >= sinceMs);
    const [first = '', second = ''] = this.#hosts;
    return [...overlapsOf(samples, first, second), ...overlapsOf(samples, second, first)].sort(
      (a, b) => a.atMs - b.atMs,
    );
  }

  /** How many answers there are: a probe that saw nothing proves nothing. */
  get count(): number {
    return this.#samples.length;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#loops);
  }

  async #watch(port: number): Promise<void> {
    const host = `127.0.0.1:${port}`;
    let connection: Connection | undefined;
    while (!this.#stop.signal.aborted) {
      const sentMs = performance.now();
      try {
        connection ??= await open(port);
        const [rows] = await connection.query<RowDataPacket[]>({
          sql: 'SELECT @@global.read_only AS closed',
          timeout: TIMEOUT_MS,
        });
        const writable = Number(rows[0]?.['closed']) === 0;
        this.#samples.push({ host, sentMs, receivedMs: performance.now(), writable });
      } catch {
        // Dead, frozen, or our session was killed: no answer says nothing about being writable.
        connection?.destroy();
        connection = undefined;
        this.#samples.push({ host, sentMs, receivedMs: performance.now(), writable: false });
      }
      await new Promise((resolve) => setTimeout(resolve, GAP_MS));
    }
    connection?.destroy();
  }
}

async function open(port: number): Promise<Connection> {
  const connection = await createConnection({
    host: '127.0.0.1',
    port,
    user: APP.user,
    password: APP.password,
    connectTimeout: TIMEOUT_MS,
  });
  connection.on('error', () => undefined);
  return connection;
}

function overlapsOf(samples: readonly Sample[], host: string, other: string): Overlap[] {
  const others = samples.filter((sample) => sample.host === other);
  return samples
    .filter((sample) => sample.host === host && sample.writable)
    .filter(({ sentMs, receivedMs }) => {
      const before = others.findLast((sample) => sample.receivedMs <= sentMs);
      const after = others.find((sample) => sample.sentMs >= receivedMs);
      const between = others.filter((s) => s.receivedMs > sentMs && s.sentMs < receivedMs);
      return before?.writable === true && after?.writable === true && between.every((sample) => sample.writable);
    })
    .map((sample) => ({ host, atMs: sample.receivedMs }));
}

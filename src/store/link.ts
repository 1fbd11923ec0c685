// One connection to Redis and its life: tried again with growing gaps, watched by a heartbeat, given up when it does not answer in time.
// Each connection is a fresh client of the driver, whose own ways of coming back (queues, resending) would do old commands late.
// Comes from store/redis.ts; trouble.ts says what went wrong.

import { Redis } from 'ioredis';
import { MmmError } from '../core/errors.ts';
import type { Host } from '../core/pair.ts';
import { splitHost } from '../core/pair.ts';
import { noAnswer, storeError } from './trouble.ts';

/** How long things may take. All in milliseconds. */
export interface LinkTimes {
  /** For connecting with all that belongs to it, and for each command. */
  readonly deadlineMs: number;
  /** The first gap before a new try, and the longest; each is doubled up to there, and shortened by up to a half at random. */
  readonly gapMs: number;
  readonly gapMaxMs: number;
  readonly heartbeatMs: number;
}

export interface LinkOptions {
  readonly host: Host;
  readonly password: string | null;
  readonly times: LinkTimes;
  /** A number in [0, 1). */
  readonly random: () => number;
  /** Makes a fresh connection ready for use; when it throws the connection is given up and tried again. */
  readonly prepare: (client: Redis) => Promise<void>;
  /** Called when a connection can be used (null), and when there is none any more or a try failed. */
  readonly onChange: (trouble: MmmError | null) => void;
}

export class Link {
  /** Why there is no connection; null while there is one, and before the first try has ended. */
  trouble: MmmError | null = null;
  readonly #options: LinkOptions;
  #client: Redis | null = null;
  #opening: Redis | null = null;
  #closed = false;
  #endPause: () => void = () => {};
  #firstTry: Promise<void>;
  #life: Promise<void>;

  constructor(options: LinkOptions) {
    this.#options = options;
    let firstTryEnded = () => {};
    this.#firstTry = new Promise((resolve) => {
      firstTryEnded = resolve;
    });
    this.#life = this.#live(firstTryEnded);
  }

  get up(): boolean {
    return this.#client !== null;
  }

  /** Resolves when the first try has ended, well or not. */
  async tried(): Promise<void> {
    await this.#firstTry;
  }

  /**
   * Does `command` with the connection. Without one it throws at once: whoever asks comes again anyway. A command that got no answer
   * in time may still be done by Redis.
   */
  async run<T>(command: (client: Redis) => Promise<T>): Promise<T> {
    await this.#firstTry;
    const client = this.#client;
    if (client === null || this.#closed)
      throw this.#closed || this.trouble === null ? this.#closedError() : this.trouble;
    try {
      return await this.#inTime(command(client), client);
    } catch (error) {
      throw this.#closed ? this.#closedError() : this.#errorOf(error);
    }
  }

  /** Ends the present gap, if any: there is reason to believe that Redis is back. */
  hurry(): void {
    this.#endPause();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#client?.disconnect();
    this.#opening?.disconnect();
    this.#endPause();
    await this.#life;
  }

  async #live(firstTryEnded: () => void): Promise<void> {
    let failures = 0;
    while (!this.#closed) {
      const livedMs = await this.#oneConnection(firstTryEnded);
      firstTryEnded();
      // A connection that is dropped as soon as it stands is no success, else we would hammer at a Redis that throws us out.
      failures = livedMs > this.#options.times.gapMaxMs ? 0 : failures + 1;
      await this.#pause(failures);
    }
  }

  /** From the first try to the end of one connection. Returns how long it could be used. */
  async #oneConnection(isUp: () => void): Promise<number> {
    const client = this.#newClient();
    this.#opening = client;
    // The driver says why a connection failed by this event alone; its promises only say that it is closed.
    let reason: unknown = new Error('closed');
    client.on('error', (error: unknown) => {
      reason = error;
    });
    const ended = new Promise<void>((resolve) => {
      client.once('end', resolve);
    });
    let upSince: number | null = null;
    try {
      await this.#inTime(this.#open(client), client);
      this.#opening = null;
      upSince = performance.now();
      this.#client = client;
      this.#became(null);
      isUp();
      const beat = setInterval(() => void this.#beat(client), this.#options.times.heartbeatMs);
      await ended;
      clearInterval(beat);
    } catch (error) {
      // What Redis or a deadline said is better than "closed".
      if (error instanceof MmmError || (error instanceof Error && error.name === 'ReplyError')) reason = error;
      client.disconnect();
    }
    this.#client = null;
    this.#opening = null;
    this.#became(this.#timedOut.get(client) ?? this.#errorOf(reason));
    return upSince === null ? 0 : performance.now() - upSince;
  }

  async #open(client: Redis): Promise<void> {
    await client.connect();
    const { password } = this.#options;
    if (password !== null) await client.auth(password).catch(passwordNotWanted);
    // The first command tells a Redis that wants a password, is still loading, or accepts connections and says nothing.
    await client.ping().catch((error: unknown) => {
      const { code } = this.#errorOf(error);
      // With a full disk or narrow rights the ping is refused and reading works.
      if (code !== 'store-error' && code !== 'store-denied') throw error;
    });
    await this.#options.prepare(client);
  }

  #newClient(): Redis {
    const { address, port } = splitHost(this.#options.host);
    return new Redis({
      host: address,
      port,
      lazyConnect: true,
      // RESP2 and our own AUTH and PING work with every Redis, and the driver prints nothing to the console.
      protocol: 2,
      disableClientInfo: true,
      enableReadyCheck: false,
      enableOfflineQueue: false,
      retryStrategy: null,
      connectTimeout: this.#options.times.deadlineMs,
      // How long a closed socket may linger for the other side to agree; a frozen one never does.
      disconnectTimeout: 20,
    });
  }

  /** Why we gave a connection up ourselves. */
  readonly #timedOut = new WeakMap<Redis, MmmError>();

  /** A connection that lets the deadline pass is given up: it may be half-open, and a new one finds out. */
  async #inTime<T>(answer: Promise<T>, client: Redis): Promise<T> {
    const { host, times } = this.#options;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const error = noAnswer(host, times.deadlineMs);
        this.#timedOut.set(client, error);
        client.disconnect();
        reject(error);
      }, times.deadlineMs);
    });
    try {
      return await Promise.race([answer, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Finds out that the other side is gone when nobody says anything, as on the connection that only listens. */
  async #beat(client: Redis): Promise<void> {
    try {
      await this.#inTime(client.ping(), client);
    } catch {
      // Any answer, an error too, is a sign of life; a missing one has ended the connection, which says so itself.
    }
  }

  async #pause(failures: number): Promise<void> {
    if (this.#closed) return;
    const { times, random } = this.#options;
    const gapMs = Math.min(times.gapMaxMs, times.gapMs * 2 ** Math.min(failures, 20)) * (1 - random() / 2);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, gapMs);
      this.#endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #became(trouble: MmmError | null): void {
    if (this.#closed) return;
    this.trouble = trouble;
    this.#options.onChange(trouble);
  }

  #errorOf(error: unknown): MmmError {
    return storeError(error, { host: this.#options.host, secret: this.#options.password });
  }

  #closedError(): MmmError {
    return new MmmError('store-down', `Redis ${this.#options.host}: this store is closed`);
  }
}

/** A Redis without a password lets us in although we sent one; that is no reason to stay outside. */
function passwordNotWanted(error: unknown): void {
  const said = error instanceof Error ? error.message : '';
  if (!/no password is set|without any password configured/i.test(said)) throw error;
}

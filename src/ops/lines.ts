// Lines on their way to a file or to standard output. Whoever logs never waits: a full disk or a hung journal costs
// lines, which are counted, and never a failover. Comes from ops/log.ts; goes on to ops/reopen.ts.

import type { Writable } from 'node:stream';
import type { Clock } from './clock.ts';

export interface Appended {
  readonly writtenBytes: number;
  /** What is wrong with the sink, as a clause; null: all is well. */
  readonly trouble: string | null;
}

/** Where lines end up. */
export interface Sink {
  /** As it is called in a sentence. */
  readonly name: string;
  append(bytes: Buffer): Promise<Appended>;
  close(): Promise<void>;
}

/** Some 30 seconds of the worst storm; more is dropped and counted. */
const QUEUED_LINES = 10_000;

/** A sink that hangs must not keep the program from ending. */
const CLOSE_DEADLINE_MS = 1_000;

/** Some 10,000 lines that the reader of our standard output has not taken yet; more is dropped and counted. */
const OUTPUT_HELD_BYTES = 1_048_576;

const TOO_SLOW = 'it takes lines too slowly';

export interface LineQueueOptions {
  readonly sink: Sink;
  readonly clock: Clock;
  /** The line that stands where `count` lines are missing, without its end. */
  readonly gapLine: (count: number, why: string) => string;
  /** Tells a person who reads standard error; called when lines begin to be lost. */
  readonly complain: (text: string) => void;
}

export class LineQueue {
  readonly #options: LineQueueOptions;
  #waiting: string[] = [];
  #lost = 0;
  #lostWhy = '';
  #complained = false;
  /** The last write was cut off inside a line. */
  #torn = false;
  #pump: Promise<void> | null = null;
  #closed = false;

  constructor(options: LineQueueOptions) {
    this.#options = options;
  }

  /** Takes a line without its end. Never waits, never throws. */
  push(line: string): void {
    if (this.#closed) return;
    if (this.#waiting.length >= QUEUED_LINES) {
      this.#lose(1, TOO_SLOW);
      return;
    }
    this.#waiting.push(line);
    this.#pump ??= this.#run();
  }

  /** Resolves when everything is written, or when the sink hangs for too long. */
  async close(): Promise<void> {
    this.#closed = true;
    const { sink, clock } = this.#options;
    const done = new AbortController();
    const end = async () => {
      await this.#pump;
      await sink.close();
      done.abort();
    };
    // A sink that cannot even be closed has nothing left to tell us, and the program ends anyway.
    await Promise.race([end().catch(() => {}), clock.sleep(CLOSE_DEADLINE_MS, done.signal)]);
    done.abort();
  }

  async #run(): Promise<void> {
    // What is logged in one go is written in one go.
    await null;
    while (this.#waiting.length > 0) {
      const lines = this.#waiting;
      this.#waiting = [];
      await this.#write(lines);
    }
    this.#pump = null;
  }

  async #write(lines: readonly string[]): Promise<void> {
    const { sink, gapLine } = this.#options;
    const gap = this.#lost > 0 ? `${gapLine(this.#lost, this.#lostWhy)}\n` : '';
    const head = Buffer.from((this.#torn ? '\n' : '') + gap);
    const bytes = Buffer.concat([head, Buffer.from(`${lines.join('\n')}\n`)]);
    const { writtenBytes, trouble } = await sink.append(bytes).catch((error: unknown) => ({
      writtenBytes: 0,
      trouble: String(error),
    }));
    if (writtenBytes > 0) this.#torn = bytes[writtenBytes - 1] !== NEWLINE;
    if (writtenBytes >= head.length) this.#lost = 0;
    if (trouble === null) {
      this.#complained = false;
      return;
    }
    const whole = countNewlines(bytes.subarray(head.length, Math.max(writtenBytes, head.length)));
    if (whole < lines.length) this.#lose(lines.length - whole, trouble);
    else this.#complain(`${sink.name}: ${trouble}`);
  }

  #lose(count: number, why: string): void {
    this.#lost += count;
    this.#lostWhy = why;
    this.#complain(`lines are being lost, ${this.#options.sink.name}: ${why}`);
  }

  #complain(text: string): void {
    if (this.#complained) return;
    this.#complained = true;
    this.#options.complain(text);
  }
}

const NEWLINE = 0x0a;

function countNewlines(bytes: Buffer): number {
  let count = 0;
  for (const byte of bytes) if (byte === NEWLINE) count += 1;
  return count;
}

/**
 * Standard output as a sink, by Node's own stream: a thread that hangs in a plain write to it would keep the whole
 * process from ending. What the stream has taken counts as written.
 */
export function outputSink(stream: Writable): Sink {
  let failure: string | null = null;
  // The callback of each write tells; without a listener a reader that went away would end the daemon.
  if (stream.listenerCount('error') === 0) stream.on('error', () => {});
  return {
    name: 'standard output',
    append: async (bytes) => {
      if (stream.destroyed) return { writtenBytes: 0, trouble: 'nobody reads it any more' };
      if (stream.writableLength > OUTPUT_HELD_BYTES) return { writtenBytes: 0, trouble: TOO_SLOW };
      stream.write(bytes, (error) => {
        failure = error ? `a write failed (${error.message})` : null;
      });
      return { writtenBytes: bytes.length, trouble: failure };
    },
    close: () =>
      new Promise((resolve) => {
        stream.write('', () => resolve());
      }),
  };
}

// The log of a daemon: winston behind core/log.ts, the contract's line or JSON, to a file and to standard output.
// Comes from commands/base.ts; the lines go on to ops/lines.ts.

import { once } from 'node:events';
import fs from 'node:fs';
import { Writable } from 'node:stream';
import winston from 'winston';
import type { Log, LogFields } from '../core/log.ts';
import type { Clock } from './clock.ts';
import { LineQueue, outputSink, type Sink } from './lines.ts';
import { ReopeningFile } from './reopen.ts';

export type LogFormat = 'text' | 'json';

export interface LogOptions {
  /** null: standard output only. */
  readonly path: string | null;
  readonly format: LogFormat;
  /** Writes debug lines too, and shows everything on standard output. */
  readonly debug: boolean;
  readonly clock: Clock;
  readonly env?: NodeJS.ProcessEnv;
  readonly output?: Output;
  /** Tells a person that the log itself is in trouble; to standard error. */
  readonly complain?: (text: string) => void;
}

interface Output {
  readonly stream: Writable;
  readonly isTerminal: boolean;
}

export interface OpenLog {
  readonly log: Log;
  /** Resolves when all lines are written. Of those that come later only errors are told, to standard error. */
  close(): Promise<void>;
}

/** Throws MmmError('log') when the file cannot be written: better before anything is touched than never told. */
export async function openLog(options: LogOptions): Promise<OpenLog> {
  const { path, format, debug, clock, env = process.env } = options;
  const { output = standardOutput(), complain = toStandardError } = options;
  const sinks: Sink[] = [];
  if (path !== null) sinks.push(await ReopeningFile.open(path, clock));
  if (path === null || debug || output.isTerminal || underSystemd(env)) sinks.push(outputSink(output.stream));

  const render = format === 'json' ? jsonLine : textLine;
  const gapLine = (count: number, why: string) =>
    render(
      { level: 'error', message: `${count} lines of this log are missing here (${why})`, fields: {} },
      clock.wall(),
    );
  const queues = sinks.map((sink) => new LineQueue({ sink, clock, gapLine, complain }));
  const transports = queues.map(transportTo);
  const logger = winston.createLogger({
    level: debug ? 'debug' : 'info',
    format: winston.format.printf((info) => render(eventOf(info), clock.wall())),
    transports,
  });
  let closed = false;
  const write = (level: Level, message: string, fields: LogFields) => {
    // The fields travel as one value: winston would let one named `message` or `level` change the line itself.
    if (!closed) logger.log({ level, message, fields });
    else if (level === 'error') complain(message);
  };
  return {
    log: adapt(write, {}),
    close: async () => {
      closed = true;
      // winston hands lines on in later ticks: those logged just now are not in the queues yet.
      const handedOn = Promise.all(transports.map((transport) => once(transport, 'finish')));
      logger.end();
      await handedOn;
      await Promise.all(queues.map((queue) => queue.close()));
    },
  };
}

function standardOutput(): Output {
  return { stream: process.stdout, isTerminal: process.stdout.isTTY };
}

/** CentOS 7's systemd sets neither of the first two; there our units' NOTIFY_SOCKET tells. */
function underSystemd(env: NodeJS.ProcessEnv): boolean {
  return Boolean(env['JOURNAL_STREAM'] ?? env['INVOCATION_ID'] ?? env['NOTIFY_SOCKET']);
}

/** To standard error, which is all that is left when the log itself is the trouble. */
function toStandardError(text: string): void {
  // Whether anybody could read it is not our concern, and waiting for it is not either.
  fs.write(2, `mmm: ${text}\n`, () => {});
}

interface LogEvent {
  readonly level: string;
  readonly message: string;
  readonly fields: LogFields;
}

type Level = 'error' | 'warn' | 'info' | 'debug';

type WriteEvent = (level: Level, message: string, fields: LogFields) => void;

function adapt(write: WriteEvent, fields: LogFields): Log {
  const at = (level: Level) => (message: string, more?: LogFields) => write(level, message, { ...fields, ...more });
  return {
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    debug: at('debug'),
    with: (more) => adapt(write, { ...fields, ...more }),
  };
}

function eventOf(info: winston.Logform.TransformableInfo): LogEvent {
  // The only source of events is `write` in openLog, so `fields` is what it put there.
  const fields = (info['fields'] ?? {}) as LogFields;
  return { level: info.level, message: String(info.message), fields };
}

/** `2019-01-16T11:54:04 - [info] text`, in local time: the contract's line. */
function textLine({ level, message }: LogEvent, wallMs: number): string {
  return `${localTime(wallMs)} - [${level}] ${oneLine(message)}`;
}

function localTime(wallMs: number): string {
  const time = new Date(wallMs);
  const two = (value: number) => String(value).padStart(2, '0');
  const date = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  return `${date}T${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

/** One event, one line, whatever a server put into its error text; and no escape sequence reaches a terminal. */
function oneLine(message: string): string {
  return message
    .replace(/\s*[\r\n\u2028\u2029]+\s*/g, ' ')
    .replace(/\p{Cc}/gu, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

function jsonLine({ level, message, fields }: LogEvent, wallMs: number): string {
  return JSON.stringify({ ...redacted(fields), time: new Date(wallMs).toISOString(), level, message });
}

/** Never a password, whatever is handed in. */
const SECRET = /pass(?:word|wd|phrase)?$|secret|token|credential/i;

function redacted(fields: LogFields): LogFields {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, SECRET.test(name) && value !== undefined ? '***' : value]),
  );
}

/** winston's way into a queue. The queue takes a line at once, so nothing ever waits in winston's own buffers for long. */
function transportTo(queue: LineQueue): winston.transport {
  const stream = new Writable({
    decodeStrings: false,
    write: (line, _encoding, taken) => {
      queue.push(String(line));
      taken();
    },
  });
  return new winston.transports.Stream({ stream, eol: '' });
}

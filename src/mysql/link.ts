// One socket to one server, by mysql2: opened, asked and given up with deadlines. It knows no SQL of ours.
// Comes from connection.ts, which keeps one of these warm; errors go on to evidence.ts.

import { connect, type Socket } from 'node:net';
import { type Connection, createConnection } from 'mysql2';
import type { MysqlAccess } from '../core/config.ts';
import { type Host, splitHost } from '../core/pair.ts';
import { DeadlinePassed } from './evidence.ts';
import type { Row } from './row.ts';

const KEEP_ALIVE_DELAY_MS = 10_000;

/** A moment by the monotonic clock until which somebody waits. */
export class Deadline {
  readonly #at: number;

  constructor(ms: number) {
    this.#at = performance.now() + ms;
  }

  get leftMs(): number {
    return Math.max(0, this.#at - performance.now());
  }
}

export class Link {
  readonly #connection: Connection;
  readonly #socket: Socket;
  #ended = false;
  #onEnd: () => void = () => undefined;

  private constructor(connection: Connection, socket: Socket) {
    this.#connection = connection;
    this.#socket = socket;
    socket.once('close', () => {
      if (this.#ended) return;
      this.#ended = true;
      this.#onEnd();
    });
  }

  /** Logs in. Rejects with the driver's error, or with DeadlinePassed; then nothing is left open. */
  static async open(host: Host, access: MysqlAccess, deadline: Deadline): Promise<Link> {
    const { address, port } = splitHost(host);
    // Our own socket, because its `close` is the one sure sign that the connection is gone.
    const socket = connect({
      host: address,
      port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS,
    });
    const connection = createConnection({
      stream: socket,
      user: access.user,
      password: access.password,
      ...(access.database === '' ? {} : { database: access.database }),
      charset: knownCharset(access.charset),
      // Our deadline covers name, TCP and login together; the driver's own timer is off.
      connectTimeout: 0,
      // A server must not be able to ask for a file of ours.
      flags: ['-LOCAL_FILES'],
      typeCast: (field) => field.string(),
      trace: false,
    });
    try {
      await within(deadline, 'connecting', (resolve, reject) => {
        connection.once('connect', () => resolve(undefined));
        // Stays on for the life of the connection: an error that nobody waits for must not end the process. It is told by `close`.
        connection.on('error', reject);
        socket.once('close', () => reject(new ConnectionLost()));
      });
    } catch (error) {
      connection.destroy();
      socket.destroy();
      throw error;
    }
    return new Link(connection, socket);
  }

  /** What the server calls this connection. */
  get id(): number {
    return this.#connection.threadId;
  }

  /** One statement. After DeadlinePassed the statement's fate is unknown and the link must not be asked again. */
  async query(sql: string, values: readonly unknown[], deadline: Deadline): Promise<readonly Row[]> {
    const result = await within<unknown>(deadline, firstWords(sql), (resolve, reject) => {
      this.#connection.query(sql, [...values], (error, rows) => {
        if (error === null) resolve(rows);
        else reject(error);
      });
    });
    if (!Array.isArray(result)) return [];
    // A CALL answers with its result sets and then a header; ours have one set.
    const rows: unknown = Array.isArray(result[0]) ? result[0] : result;
    return Array.isArray(rows) ? rows.map(asRow) : [];
  }

  /** The smallest question. After DeadlinePassed its answer is still to come, before that of what is asked next: nothing is lost by it. */
  async ping(deadline: Deadline): Promise<void> {
    await within<void>(deadline, 'ping', (resolve, reject) => {
      this.#connection.ping((error) => {
        if (error === null) resolve();
        else reject(error);
      });
    });
  }

  /** Calls back once when the other side, or the network, ended this link; at once when that has already happened. */
  onEnd(listener: () => void): void {
    if (this.#ended) listener();
    else this.#onEnd = listener;
  }

  /** Says goodbye, so that the server does not log a broken connection, and closes it. */
  async quit(deadline: Deadline): Promise<void> {
    this.#ended = true;
    // A server that does not say goodbye is left without.
    await within<void>(deadline, 'quit', (resolve) => {
      this.#socket.once('close', () => resolve());
      this.#connection.end(() => this.#socket.end());
    }).catch(() => undefined);
    this.destroy();
  }

  /** Closes it from our side; onEnd is not called. */
  destroy(): void {
    this.#ended = true;
    this.#connection.destroy();
    this.#socket.destroy();
  }
}

class ConnectionLost extends Error {
  readonly code = 'PROTOCOL_CONNECTION_LOST';

  constructor() {
    super('the connection was closed while logging in');
  }
}

function within<T>(
  deadline: Deadline,
  what: string,
  start: (resolve: (value: T) => void, reject: (error: unknown) => void) => void,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const ms = deadline.leftMs;
    const due = performance.now() + ms;
    const timer = setTimeout(() => reject(new DeadlinePassed(what, performance.now() - due)), ms);
    start(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      (error) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}

/** Enough to know the statement by; never a value. */
function firstWords(sql: string): string {
  return sql.trim().split(/\s+/).slice(0, 3).join(' ');
}

function asRow(row: unknown): Row {
  const read: Record<string, string | null> = {};
  if (typeof row !== 'object' || row === null) return read;
  for (const [column, value] of Object.entries(row)) read[column] = typeof value === 'string' ? value : null;
  return read;
}

const CHARSETS: ReadonlySet<string> = new Set(
  'utf8 utf8mb4 latin1 latin2 latin5 latin7 ascii binary gbk gb2312 big5 euckr sjis ujis koi8r koi8u cp1250 cp1251 cp1256 cp1257 cp932 greek hebrew'.split(
    ' ',
  ),
);

/** The driver throws at a name that it does not know. What we ask is ASCII, so any charset will do. */
function knownCharset(name: string): string {
  const lower = name.toLowerCase();
  return CHARSETS.has(lower) ? lower : 'utf8mb4';
}

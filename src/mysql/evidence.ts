// What an error of the driver or the server means for life and death. The only reader of error numbers and codes.
// Comes from connection.ts; goes on to core/death.ts.

import { MmmError } from '../core/errors.ts';
import type { Failure } from '../core/observation.ts';

/** Our own deadline passed before the answer came. What was sent may still happen. */
export class DeadlinePassed extends Error {
  /** How long after its time our own timer ran: a process that was starved is no witness. */
  readonly lateMs: number;

  constructor(what: string, lateMs: number) {
    super(`no answer in time (${what})`);
    this.name = 'DeadlinePassed';
    this.lateMs = lateMs;
  }
}

const SATURATED: ReadonlySet<number> = new Set([
  1040, // too many connections
  1203, // this user has all the connections it may have (max_user_connections)
  1226, // the same, by a limit of the account
]);

const AUTH_REFUSED: ReadonlySet<number> = new Set([
  1044, // no access to the database
  1045, // wrong user or password
  1251, // the client lacks the wanted method
  1275, // the account has an old password hash
  1524, // the account's plugin is not loaded
  1698, // no password, no access
  1820, // the password must be changed first
  1862, // the password has expired
  3118, // the account is locked (MySQL)
  3159, // the server demands TLS
  4151, // the account is locked (MariaDB)
]);

const BLOCKED: ReadonlySet<number> = new Set([
  1129, // too many broken connections from this client's host
  1130, // this client's host is not in any account
]);

/** What the driver says when it and the server find no way to log in. */
const AUTH_CODES: ReadonlySet<string> = new Set([
  'AUTH_SWITCH_PLUGIN_ERROR',
  'MYSQL_CLEAR_PASSWORD_NOT_ENABLED',
  'HANDSHAKE_NO_SSL_SUPPORT',
  'HANDSHAKE_SSL_ERROR',
]);

/** The server's own words for "this connection is over": it is shutting down, or somebody killed the session. */
const SESSION_OVER: ReadonlySet<number> = new Set([1053, 1152, 1317, 1927, 3169, 4031]);

const SOCKET_OVER: ReadonlySet<string> = new Set([
  'ECONNRESET',
  'EPIPE',
  'ECONNABORTED',
  'PROTOCOL_CONNECTION_LOST',
  'ERR_STREAM_DESTROYED',
]);

/** The driver's own refusals, such as that of a closed connection, have no code. */
const UNKNOWN = 'UNKNOWN';

/**
 * An error while connecting or asking, as evidence. A connection that was reset is `silent` here: whether anything still listens
 * is told by the next attempt to connect (connection.ts makes it at once), and a host that accepts and then resets is a proxy or
 * a firewall, which proves nothing. A server that is shutting down (1053) still speaks: it is alive until its port is refused.
 */
export function gradeError(error: unknown): Failure {
  const { number, code, text } = read(error);
  const message = oneLine(text);
  // It answered, and we do not understand the answer: somebody wrote into its row, or it is from another time.
  if (error instanceof MmmError) return { kind: 'server-error', code: 'BAD_ANSWER', message };
  if (number !== null) return { kind: serverKind(number), code: String(number), message };
  if (code === 'ECONNREFUSED') return { kind: 'refused', code, message };
  if (AUTH_CODES.has(code)) return { kind: 'auth-refused', code, message };
  return { kind: 'silent', code, message };
}

/** True when the connection, not the statement, is at fault: another connection may get an answer. */
export function isConnectionOver(error: unknown): boolean {
  const { number, code, fatal } = read(error);
  return number === null ? SOCKET_OVER.has(code) || (fatal && code === UNKNOWN) : SESSION_OVER.has(number);
}

/** The server's error number; null when the server did not say anything. */
export function serverErrorNumber(error: unknown): number | null {
  return read(error).number;
}

/** One line for logs, without the statement that the server may quote: it can hold a password. */
export function oneLine(text: string): string {
  const line = text
    .replace(/\bQuery: '[\s\S]*$/, '')
    .replace(/\s+/g, ' ')
    .trim();
  return line.length > 300 ? `${line.slice(0, 300)}…` : line;
}

function serverKind(number: number): Failure['kind'] {
  if (SATURATED.has(number)) return 'saturated';
  if (AUTH_REFUSED.has(number)) return 'auth-refused';
  if (BLOCKED.has(number)) return 'blocked';
  return 'server-error';
}

interface Read {
  /** Set only when the server sent an error packet. */
  readonly number: number | null;
  readonly code: string;
  readonly text: string;
  /** The driver says that the connection cannot be used any more. */
  readonly fatal: boolean;
}

function read(error: unknown): Read {
  if (error instanceof DeadlinePassed) return { number: null, code: 'DEADLINE', text: error.message, fatal: false };
  if (!(error instanceof Error)) return { number: null, code: UNKNOWN, text: String(error), fatal: false };
  const errno = field(error, 'errno');
  // The operating system's numbers are negative in Node; the server's start at 1000.
  const number = typeof errno === 'number' && errno >= 1000 ? errno : null;
  const code = field(error, 'code');
  const sqlMessage = field(error, 'sqlMessage');
  return {
    number,
    code: typeof code === 'string' ? code : UNKNOWN,
    text: typeof sqlMessage === 'string' ? sqlMessage : error.message,
    fatal: field(error, 'fatal') === true,
  };
}

function field(error: Error, name: string): unknown {
  return Object.entries(error).find(([key]) => key === name)?.[1];
}

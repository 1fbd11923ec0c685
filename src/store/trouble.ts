// What went wrong with Redis, as one error with a stable code and one line that says what to do. The only reader of Redis'
// error texts. Comes from store/link.ts, where every answer passes; goes on to whoever logs it.

import type { ErrorCode } from '../core/errors.ts';
import { MmmError } from '../core/errors.ts';
import type { Host } from '../core/pair.ts';

/** What Redis' first word means, and the advice; `%` stands for Redis' own words. */
const REPLIES: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  NOAUTH: ['store-auth', 'wants a password: set `password` in [redis]'],
  WRONGPASS: ['store-auth', 'refuses the password: correct `password` in [redis]'],
  NOPERM: ['store-denied', 'does not allow this to our user: extend its rights with ACL SETUSER (%)'],
  DENIED: [
    'store-denied',
    'runs in protected mode and lets in only its own machine: give it a password or a bind address',
  ],
  READONLY: ['store-readonly', 'is a read-only replica: point `host` in [redis] to its master'],
  LOADING: ['store-loading', 'is still loading its data: it will be used when it is done'],
  WRONGTYPE: [
    'store-wrong-type',
    'holds a key of the wrong type, which another program must have written: rename it or delete it (%)',
  ],
  MISCONF: ['store-error', 'cannot save its data to disk and refuses writes: look at its log and its disk'],
  OOM: ['store-error', 'is at its memory limit and refuses writes: raise maxmemory or make room'],
  NOREPLICAS: ['store-error', 'has too few replicas by its own min-replicas-to-write and refuses writes'],
  MASTERDOWN: ['store-error', 'is a replica that has lost its master: point `host` in [redis] to the master'],
  CLUSTERDOWN: ['store-error', 'belongs to a cluster that is down'],
  MOVED: ['store-error', 'is a cluster node, and the key lives on another one: use a single Redis'],
  BUSY: ['store-error', 'is busy with a script of another program'],
};

/** Network errors, by the code that Node gives. */
const NETWORK: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refuses connections: is it running there?',
  ENOTFOUND: 'has a name that cannot be resolved: correct `host` in [redis]',
  EAI_AGAIN: 'has a name that cannot be resolved now',
  ETIMEDOUT: 'does not answer',
  EHOSTUNREACH: 'cannot be reached',
  ENETUNREACH: 'cannot be reached',
};

/** The line for a Redis that let `deadlineMs` pass. */
export function noAnswer(host: Host, deadlineMs: number): MmmError {
  return new MmmError('store-down', `Redis ${host} did not answer within ${deadlineMs} ms`);
}

/**
 * Any error of the driver as ours. It carries no `cause`: the driver keeps the arguments of the command in its errors, and those
 * of AUTH are the password. `secret` is taken out of the text too, since Redis repeats the arguments of a command that it does not know.
 */
export function storeError(error: unknown, context: { host: Host; secret: string | null }): MmmError {
  if (error instanceof MmmError) return error;
  const { host, secret } = context;
  if (!(error instanceof Error)) return new MmmError('store-error', `Redis ${host}: an error without a text`);
  const said = secret ? error.message.replaceAll(secret, '***') : error.message;
  if (error.name === 'ReplyError') return replyError(host, said);
  const told = 'code' in error ? String(error.code) : '';
  // Whoever writes just as the other side goes is told so by these codes: it is the same trouble, and told as one.
  const code = told === 'EPIPE' || told === 'ECONNRESET' ? '' : told;
  const advice = NETWORK[code];
  return new MmmError(
    'store-down',
    `Redis ${host} ${advice ?? 'closed the connection'}${code === '' ? '' : ` (${code})`}`,
  );
}

function replyError(host: Host, said: string): MmmError {
  const reply = withoutScriptFrame(said);
  const [code, advice] = REPLIES[firstWord(reply)] ?? ['store-error', 'answers with an error (%)'];
  // A function, because a text of Redis may hold `$&` and the like.
  return new MmmError(code, `Redis ${host} ${advice.replace('%', () => reply)}`);
}

/** Up to Redis 5 a wrong password has no word of its own, only a sentence. */
function firstWord(reply: string): string {
  if (/^ERR invalid password/i.test(reply)) return 'WRONGPASS';
  return /^-?([A-Z]+)\b/.exec(reply)?.[1] ?? '';
}

/** An error that a script ran into: before Redis 7 in a frame of words, from 7 on with the place behind it. */
function withoutScriptFrame(said: string): string {
  return said
    .replace(/^ERR Error running script .*@user_script: ?[0-9]+: (?=-?[A-Z]+ )/, '')
    .replace(/ script: [0-9a-f]{40}, on @user_script:[0-9]+\.$/, '');
}

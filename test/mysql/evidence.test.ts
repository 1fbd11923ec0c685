import { describe, expect, test } from 'vitest';
import { MmmError } from '../../src/core/errors.ts';
import { DeadlinePassed, gradeError, isConnectionOver, oneLine } from '../../src/mysql/evidence.ts';

/** An error packet as mysql2 hands it on. */
function fromServer(errno: number, sqlMessage = 'some words'): Error {
  return Object.assign(new Error(sqlMessage), { errno, code: `ER_${errno}`, sqlState: 'HY000', sqlMessage });
}

/** A system error as Node makes it. */
function fromSystem(code: string, errno = -111): Error {
  return Object.assign(new Error(`connect ${code} 127.0.0.1:1`), { code, errno, syscall: 'connect', fatal: true });
}

describe('what an error means', () => {
  test.each([
    ['saturated', [1040, 1203, 1226]],
    ['auth-refused', [1044, 1045, 1251, 1524, 1698, 3118, 4151]],
    ['blocked', [1129, 1130]],
    ['server-error', [1049, 1053, 1064, 1205, 1227, 1290, 1927, 3032, 3169, 9999]],
  ])('%s', (kind, numbers) => {
    for (const errno of numbers) {
      expect(gradeError(fromServer(errno))).toEqual({ kind, code: String(errno), message: 'some words' });
    }
  });

  test('only a refused port means that nothing listens', () => {
    expect(gradeError(fromSystem('ECONNREFUSED')).kind).toBe('refused');
    const silent = ['ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND', 'EAI_AGAIN', 'ECONNRESET', 'EPIPE'];
    for (const code of [...silent, 'PROTOCOL_CONNECTION_LOST', 'PROTOCOL_PACKETS_OUT_OF_ORDER']) {
      expect(gradeError(fromSystem(code))).toMatchObject({ kind: 'silent', code });
    }
  });

  test('no way to log in is refused authentication, also when the driver says it', () => {
    expect(gradeError(Object.assign(new Error('unknown plugin'), { code: 'AUTH_SWITCH_PLUGIN_ERROR' })).kind).toBe(
      'auth-refused',
    );
  });

  test('an answer that cannot be understood is one: the server is alive', () => {
    const odd = new MmmError('failed', 'the row of the server names no host as active: nobody');
    expect(gradeError(odd)).toEqual({ kind: 'server-error', code: 'BAD_ANSWER', message: odd.message });
  });

  test('our own deadline and what is no error at all are silence', () => {
    expect(gradeError(new DeadlinePassed('SELECT', 1))).toMatchObject({ kind: 'silent', code: 'DEADLINE' });
    expect(gradeError('odd')).toEqual({ kind: 'silent', code: 'UNKNOWN', message: 'odd' });
  });
});

test('a shutdown, a kill and a reset end the connection; a refusal, a wrong password and a lock do not', () => {
  for (const error of [fromServer(1053), fromServer(1927), fromServer(3169), fromSystem('ECONNRESET')]) {
    expect(isConnectionOver(error)).toBe(true);
  }
  expect(isConnectionOver(Object.assign(new Error('closed state'), { fatal: true }))).toBe(true);
  for (const error of [fromServer(1045), fromServer(1205), fromSystem('ECONNREFUSED'), new DeadlinePassed('x', 0)]) {
    expect(isConnectionOver(error)).toBe(false);
  }
});

test('a message is one bounded line and leaves the quoted statement out', () => {
  const text = "Error 'no such user' on query. Default database: ''.\nQuery: 'create user a identified by 'secret''";
  expect(oneLine(text)).toBe("Error 'no such user' on query. Default database: ''.");
  expect(oneLine('x'.repeat(1000)).length).toBeLessThan(310);
});

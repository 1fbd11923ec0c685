import { describe, expect, test } from 'vitest';
import { MmmError } from '../../src/core/errors.ts';
import { storeError } from '../../src/store/trouble.ts';

const CONTEXT = { host: '10.0.21.17:6379', secret: 's3cret' } as const;

function reply(text: string): MmmError {
  return storeError(Object.assign(new Error(text), { name: 'ReplyError' }), CONTEXT);
}

describe('an error of Redis becomes a code and one line that says what to do', () => {
  test.each([
    ['NOAUTH Authentication required.', 'store-auth', 'wants a password'],
    ['WRONGPASS invalid username-password pair or user is disabled.', 'store-auth', 'refuses the password'],
    ['ERR invalid password', 'store-auth', 'refuses the password'],
    ["NOPERM this user has no permissions to run the 'eval' command", 'store-denied', "to run the 'eval' command"],
    ['DENIED Redis is running in protected mode because ...', 'store-denied', 'protected mode'],
    ["READONLY You can't write against a read only replica.", 'store-readonly', 'read-only replica'],
    ['LOADING Redis is loading the dataset in memory', 'store-loading', 'still loading'],
    ['WRONGTYPE mysql-u-mode is a string, expected a hash', 'store-wrong-type', 'mysql-u-mode is a string'],
    ['MISCONF Redis is configured to save RDB snapshots, but ...', 'store-error', 'cannot save its data to disk'],
    ["OOM command not allowed when used memory > 'maxmemory'.", 'store-error', 'memory limit'],
    ['ERR something else', 'store-error', 'ERR something else'],
    [
      "ERR Error running script (call to f_2bab3b661081db58bd2341920e0ba7cf5dc77b25): @user_script:12: @user_script: 12: -READONLY You can't write against a read only replica.",
      'store-readonly',
      'read-only replica',
    ],
    [
      'WRONGTYPE Operation against a key script: 2bab3b661081db58bd2341920e0ba7cf5dc77b25, on @user_script:3.',
      'store-wrong-type',
      '(WRONGTYPE Operation against a key)',
    ],
  ] as const)('%s', (text, code, says) => {
    const error = reply(text);
    expect(error.code).toBe(code);
    expect(error.message).toContain('Redis 10.0.21.17:6379 ');
    expect(error.message).toContain(says);
    expect(error.message).not.toContain('\n');
  });

  test('of the network, by the code that Node gives', () => {
    const refused = storeError(Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }), CONTEXT);
    expect(refused.code).toBe('store-down');
    expect(refused.message).toBe('Redis 10.0.21.17:6379 refuses connections: is it running there? (ECONNREFUSED)');
    expect(storeError(new Error('Connection is closed.'), CONTEXT).message).toBe(
      'Redis 10.0.21.17:6379 closed the connection',
    );
  });

  test('and one of ours stays what it is', () => {
    const ours = new MmmError('store-loading', 'x');
    expect(storeError(ours, CONTEXT)).toBe(ours);
  });
});

test('the password is nowhere in it, though Redis repeats the arguments of a command that it does not know', () => {
  const original = Object.assign(new Error("ERR unknown command 'AUTH', with args beginning with: 's3cret'"), {
    name: 'ReplyError',
    command: { name: 'auth', args: ['s3cret'] },
  });
  const error = storeError(original, CONTEXT);
  expect(error.message).toContain("'***'");
  expect(JSON.stringify([error.message, error.stack, error.cause ?? null])).not.toContain('s3cret');
});

test.each(['EPIPE', 'ECONNRESET'])(
  'a Redis that goes is one trouble, also for who writes at that moment (%s)',
  (code) => {
    const plain = storeError(new Error('Connection is closed.'), CONTEXT).message;
    expect(storeError(Object.assign(new Error(`write ${code}`), { code }), CONTEXT).message).toBe(plain);
  },
);

// What one value may be: the kinds that the table of settings uses, at their edges.

import { describe, expect, test } from 'vitest';
import * as kinds from '../../src/core/kinds.ts';
import { type Kind, pattern } from '../../src/core/kinds.ts';
import { nearest } from '../../src/core/nearest.ts';

function read<V>(kind: Kind<V>, text: string): V | string {
  const reading = kind.read(text);
  return 'wrong' in reading ? reading.wrong : reading.value;
}

describe('a host', () => {
  test.each(['10.0.0.1:3306', 'db-1.example.com:1', '[fe80::1]:65535', 'localhost:3306'])('may be %s', (text) => {
    expect(read(kinds.host, text)).toBe(text);
  });

  test.each([
    ['10.0.0.1', '"10.0.0.1" has no port'],
    ['10.0.0.1:', '"10.0.0.1:" has no port'],
    [':3306', '":3306" is not an address and a port'],
    ['10.0.0.1:0', '"10.0.0.1:0" is not an address and a port'],
    ['10.0.0.1:65536', '"10.0.0.1:65536" is not an address and a port'],
    ['::1:3306', '"::1:3306" is not an address and a port'],
    ['a b:1', '"a b:1" is not an address and a port'],
    ['a,b:1', '"a,b:1" is not an address and a port'],
    ['root:x@db:1', 'an address has no @'],
  ])('may not be %s', (text, wrong) => {
    expect(read(kinds.host, text)).toBe(wrong);
  });

  test('is shown as it was written when a default port was added in vain', () => {
    expect(read(kinds.hostWithDefaultPort(25), 'a b')).toBe('"a b" has no port');
    expect(read(kinds.hostWithDefaultPort(25), '::1')).toBe('"::1" is not an address and a port');
    expect(read(kinds.hostWithDefaultPort(25), 'x:y@z')).toBe('an address has no @');
  });
});

describe('a number', () => {
  const seconds = kinds.secondsAsMs(0.1, 3600);
  test.each([
    ['0.1', 100],
    ['3600', 3_600_000],
    ['1.0005', 1001],
    ['0.09', '"0.09" is too small'],
    ['3600.1', '"3600.1" is too large'],
    ['1e3', '"1e3" is not a plain number'],
    ['0x10', '"0x10" is not a plain number'],
    ['.5', '".5" is not a plain number'],
    ['-1', '"-1" is not a plain number'],
    ['1,5', '"1,5" is not a plain number'],
    ['3s', '"3s" is not a plain number'],
    ['', '"" is not a plain number'],
  ])('of seconds: %s', (text, expected) => {
    expect(read(seconds, text)).toBe(expected);
  });

  test.each([
    ['2', 2],
    ['1000', 1000],
    ['1', '"1" is too small'],
    ['1001', '"1001" is too large'],
    ['2.0', '"2.0" is not a plain number'],
  ])('of times: %s', (text, expected) => {
    expect(read(kinds.wholeNumber('a whole number', 2, 1000), text)).toBe(expected);
  });
});

describe('a pattern', () => {
  test.each([
    '^user_app1|^user_app2$',
    '^10\\.12\\.17\\.%$',
    '^app\\d+$',
    '^(a|b)\\_c\\-d$',
    '\\\\A',
    '[[]x',
    '%',
    '\\x41',
  ])('that both languages read alike is taken: %s', (text) => {
    expect(read(pattern, text)).toEqual(new RegExp(text));
  });

  test.each([
    ['^app(', '"^app(" fails at character 5, "(": Unterminated group'],
    ['a)b', '"a)b" fails at character 2, ")b": Unmatched \')\''],
    ['*a', '"*a" fails at character 1, "*a": Nothing to repeat'],
    ['ab[z-a]c', '"ab[z-a]c" fails at character 3, "[z-a]c": Range out of order in character class'],
    ['\\Aapp', '"\\Aapp" holds \\A at character 1, which only Perl understands'],
    ['app\\z', '"app\\z" holds \\z at character 4, which only Perl understands'],
    ['\\Qa.b\\E', '"\\Qa.b\\E" holds \\Q at character 1, which only Perl understands'],
    ['\\x{41}', '"\\x{41}" holds \\x at character 1, which only Perl understands'],
    ['^[[:alpha:]]$', '"^[[:alpha:]]$" holds [:alpha:] at character 3, which only Perl understands'],
  ])('shows where it fails: %s', (text, wrong) => {
    expect(read(pattern, text)).toBe(wrong);
  });
});

test('a value is shown on one line and not at any length', () => {
  expect(kinds.quote('a\u0000b\tc\u001b[31m')).toBe('"a?b?c?[31m"');
  expect(kinds.quote('x'.repeat(61))).toBe(`"${'x'.repeat(57)}..."`);
  expect(kinds.quote('x'.repeat(60))).toBe(`"${'x'.repeat(60)}"`);
});

describe('the nearest name', () => {
  const known = ['user', 'password', 'interval', 'try_times', 'host', 'topic', 'logfile'];
  test.each([
    ['usr', 'user'],
    ['usser', 'user'],
    ['suer', 'user'],
    ['pasword', 'password'],
    ['passwrod', 'password'],
    ['PASSWORD', 'password'],
    ['trytimes', 'try_times'],
    ['log', undefined],
    ['zzz', undefined],
    ['', undefined],
  ])('to %s is %s', (name, expected) => {
    expect(nearest(name, known)).toBe(expected);
  });
});

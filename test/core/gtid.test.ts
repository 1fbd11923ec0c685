import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  containsGtids,
  countGtids,
  formatGtids,
  type GtidSet,
  joinGtids,
  parseGtids,
  subtractGtids,
} from '../../src/core/gtid.ts';

const UUID_A = '3e11fa47-71ca-11e1-9e33-c80aa9429562';
const UUID_B = 'c23192a7-e6f8-11f1-afa5-02fc00000001';

function gtids(text: string): GtidSet {
  const set = parseGtids(text);
  if (set === null) throw new Error(`not GTIDs: ${text}`);
  return set;
}

function joined(a: string, b: string): string | null {
  const set = joinGtids(gtids(a), gtids(b));
  return set === null ? null : formatGtids(set);
}

function missing(from: string, has: string): string {
  return formatGtids(subtractGtids(gtids(from), gtids(has)));
}

describe('reading and writing', () => {
  test.each([
    '',
    '0-1-100',
    '0-1-100,0-2-90,1-1-5',
    `${UUID_A}:1-5`,
    `${UUID_A}:1-5:7:9-11,${UUID_B}:3`,
    `${UUID_A}:1-2,${UUID_A}:backup:4-5`,
    '0-1-18446744073709551615',
  ])('%j comes back as it was', (text) => {
    expect(formatGtids(gtids(text))).toBe(text);
  });

  test('a MySQL set is read with line breaks, blanks, capitals and ranges out of order or touching', () => {
    expect(formatGtids(gtids(`${UUID_B.toUpperCase()}:4-9:1-3,\n ${UUID_A}:2`))).toBe(`${UUID_A}:2,${UUID_B}:1-9`);
  });

  test('a tag holds for the ranges after it', () => {
    expect(formatGtids(gtids(`${UUID_A}:1-2:nightly:4`))).toBe(`${UUID_A}:1-2,${UUID_A}:nightly:4`);
  });

  test.each([
    'x',
    '0-1',
    '0-1-',
    '0-1-2-3',
    '0-1-2;0-2-3',
    `0-1-2,${UUID_A}:1`,
    `${UUID_A}:1,0-1-2`,
    UUID_A,
    `${UUID_A}:`,
    `${UUID_A}:0`,
    `${UUID_A}:5-3`,
    `${UUID_A}:1-`,
    `${UUID_A}:tag`,
    `${UUID_A}:one:two:1`,
    `${UUID_A}:tag one:1`,
    'not-a-uuid:1-5',
  ])('%j is nothing', (text) => {
    expect(parseGtids(text)).toBeNull();
  });
});

describe('MariaDB', () => {
  test('a position stands for everything before it by the same server in the same domain', () => {
    expect(containsGtids(gtids('0-1-100'), gtids('0-1-99'))).toBe(true);
    expect(containsGtids(gtids('0-1-100'), gtids('0-1-101'))).toBe(false);
  });

  test('a higher number of another server proves nothing', () => {
    expect(containsGtids(gtids('0-2-200'), gtids('0-1-100'))).toBe(false);
    expect(containsGtids(gtids('1-1-200'), gtids('0-1-100'))).toBe(false);
  });

  test('the newer number of each server is kept', () => {
    expect(joined('0-1-100,0-2-90', '0-1-80,0-2-95,1-2-3')).toBe('0-1-100,0-2-95,1-2-3');
  });

  test('what is missing of a server never heard of is counted from the numbers of its domain', () => {
    const rest = subtractGtids(gtids('0-1-1000,0-2-1003'), gtids('0-1-1000'));
    expect(countGtids(rest)).toBe(3n);
    expect(countGtids(subtractGtids(gtids('0-2-50'), gtids('0-1-1000')))).toBe(1n);
  });
});

describe('MySQL', () => {
  test('a gap is missing even when later ones are there', () => {
    expect(containsGtids(gtids(`${UUID_A}:1-3:5-9`), gtids(`${UUID_A}:1-9`))).toBe(false);
    expect(missing(`${UUID_A}:1-9`, `${UUID_A}:1-3:5-9`)).toBe(`${UUID_A}:4`);
  });

  test('a tagged transaction is another one than an untagged one of the same number', () => {
    expect(containsGtids(gtids(`${UUID_A}:1-9`), gtids(`${UUID_A}:nightly:1`))).toBe(false);
  });

  test('sets of the two makes do not mix', () => {
    expect(joinGtids(gtids('0-1-5'), gtids(`${UUID_A}:1-5`))).toBeNull();
    expect(containsGtids(gtids(`${UUID_A}:1-5`), gtids('0-1-1'))).toBe(false);
  });
});

/** Sets over few numbers, so that they meet; beside them the plain set of numbers that they stand for. */
const mysqlSets = fc
  .array(fc.record({ uuid: fc.constantFrom(UUID_A, UUID_B), from: fc.integer({ min: 1, max: 20 }), more: fc.nat(6) }), {
    maxLength: 6,
  })
  .map((ranges) => ({
    set: gtids(ranges.map(({ uuid, from, more }) => `${uuid}:${from}-${from + more}`).join(',')),
    plain: new Set(
      ranges.flatMap(({ uuid, from, more }) => Array.from({ length: more + 1 }, (_, i) => `${uuid}:${from + i}`)),
    ),
  }));

describe('as sets of single transactions', () => {
  test('contains, subtract, join and count agree with plain sets', () => {
    fc.assert(
      fc.property(mysqlSets, mysqlSets, (a, b) => {
        expect(containsGtids(a.set, b.set)).toBe([...b.plain].every((id) => a.plain.has(id)));
        expect(countGtids(subtractGtids(a.set, b.set))).toBe(
          BigInt([...a.plain].filter((id) => !b.plain.has(id)).length),
        );
        const both = joinGtids(a.set, b.set);
        expect(both === null ? -1n : countGtids(both)).toBe(BigInt(new Set([...a.plain, ...b.plain]).size));
      }),
    );
  });

  const anySet = fc.oneof(
    mysqlSets.map(({ set }) => set),
    fc
      .array(fc.tuple(fc.nat(2), fc.nat(2), fc.bigInt({ min: 1n, max: 2n ** 64n - 1n })), { maxLength: 5 })
      .map((positions) => gtids(positions.map((position) => position.join('-')).join(','))),
  );

  test('what is missing is nothing exactly when everything is contained', () => {
    fc.assert(
      fc.property(anySet, anySet, (a, b) => {
        expect(subtractGtids(a, b).ranges.size === 0).toBe(containsGtids(b, a));
      }),
    );
  });

  test('writing and reading gives the same set', () => {
    fc.assert(
      fc.property(anySet, (set) => {
        const again = gtids(formatGtids(set));
        expect(containsGtids(set, again) && containsGtids(again, set)).toBe(true);
      }),
    );
  });

  test('any text is read or refused, never thrown at', () => {
    const pieces = fc.array(fc.constantFrom('0', '1', '-', ':', ',', ' ', 'a', UUID_A, '\n'), { maxLength: 12 });
    fc.assert(
      fc.property(pieces, (text) => {
        const set = parseGtids(text.join(''));
        expect(set === null || countGtids(set) >= 0n).toBe(true);
      }),
    );
  });
});

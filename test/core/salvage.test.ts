// Which part of whose binary log stayed behind, and why nobody can say.

import { describe, expect, test } from 'vitest';
import type { Divergence } from '../../src/core/divergence.ts';
import { describeSalvage, filesBetween, salvageOrder } from '../../src/core/salvage.ts';
import { SECONDARY } from '../support/build.ts';
import { answered, someReplication } from '../support/facts.ts';

describe('the files from one place to another', () => {
  test.each([
    ['one', 'bin.000007', 'bin.000007', ['bin.000007']],
    ['several, one for each start', 'bin.000009', 'bin.000011', ['bin.000009', 'bin.000010', 'bin.000011']],
    ['whose base has dots', 'db1.log.000001', 'db1.log.000002', ['db1.log.000001', 'db1.log.000002']],
    ['past six digits', 'bin.999999', 'bin.1000000', ['bin.999999', 'bin.1000000']],
  ])('%s', (_, from, to, files) => {
    expect(filesBetween({ file: from, pos: 400 }, { file: to, pos: 900 })).toEqual(files);
  });

  test.each([
    ['of another name', { file: 'other.000001', pos: 4 }, /goes from other\.000001 to bin\.000007/],
    ['of a host that never received anything', { file: '', pos: 0 }, /goes from an unknown file/],
    ['that are before it', { file: 'bin.000008', pos: 4 }, /ends at bin\.000007:900, before bin\.000008:4/],
    ['whose place is before it', { file: 'bin.000007', pos: 901 }, /before bin\.000007:901/],
    ['too many', { file: 'bin.000000', pos: 4 }, null],
  ])('%s: nobody can say', (_, from, why) => {
    const found = filesBetween(from, { file: why === null ? 'bin.000200' : 'bin.000007', pos: 900 });
    expect(found).toMatch(why ?? /it would be 201 files/);
  });
});

describe('what is to be saved', () => {
  const divergence: Divergence = {
    host: SECONDARY,
    count: 3,
    gtids: '1-2-7',
    cut: false,
    end: { file: 'bin.000003', pos: 900 },
    epoch: { number: 8, id: 'e8' },
    foundAtMs: 1,
    saved: null,
  };
  const active = answered({ replication: someReplication({ received: { file: 'bin.000002', pos: 400 } }) });
  const passive = answered({ flavour: 'mysql' });

  test('is the log from where receiving it ended to where it ends', () => {
    expect(salvageOrder('u', divergence, { active, passive })).toEqual({
      host: SECONDARY,
      flavour: 'mysql',
      files: ['bin.000002', 'bin.000003'],
      fromPos: 400,
      toPos: 900,
      uniqsign: 'u',
      epoch: { number: 8, id: 'e8' },
    });
  });

  test.each([
    ['the active does not replicate', { active: answered({ replication: null }), passive }, /from where on/],
    ['one does not answer', { active, passive: { kind: 'silent', code: '', message: '' } as const }, /from where on/],
  ])('is not known when %s', (_, seen, why) => {
    expect(salvageOrder('u', divergence, seen)).toMatch(why);
  });

  test('is nothing where there is no binary log', () => {
    expect(salvageOrder('u', { ...divergence, end: null }, { active, passive })).toMatch(/writes no binary log/);
  });
});

test('it is told with its place and size, and loudly when it is not there', () => {
  expect(describeSalvage('db1', { kind: 'saved', path: '/srv/x.sql', bytes: 1_500, cut: false })).toBe(
    'saved as statements in /srv/x.sql on db1 (2 KiB)',
  );
  expect(describeSalvage('db1', { kind: 'saved', path: '/srv/x.sql', bytes: 1_500, cut: true })).toMatch(/CUT/);
  expect(describeSalvage('db1', { kind: 'not-saved', why: 'no tool' })).toBe('NOT SAVED: no tool');
});

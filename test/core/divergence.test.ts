import { describe, expect, it, test } from 'vitest';
import { type Divergence, describeDivergence, isMerged, leftBehind } from '../../src/core/divergence.ts';
import { parseGtids, writeGtids } from '../../src/core/gtid.ts';
import type { Facts } from '../../src/core/observation.ts';
import type { Host } from '../../src/core/pair.ts';
import { answered, failure, someFacts, someReplication } from '../support/facts.ts';

const A: Host = '10.0.0.5:3306';
const B: Host = '10.0.0.7:3306';
const UUID = 'c23192a7-e6f8-11f1-afa5-02fc00000001';
const OTHER = 'd23192a7-e6f8-11f1-afa5-02fc00000001';

function held(gtid: string | null, over: Partial<Facts> = {}): Facts {
  return someFacts({ gtid, ...over });
}

function divergence(over: Partial<Divergence> = {}): Divergence {
  return {
    host: A,
    count: 20,
    gtids: '1-1-500',
    cut: false,
    end: { file: 'bin.000002', pos: 900 },
    epoch: { number: 7, id: 'x' },
    foundAtMs: 0,
    saved: null,
    ...over,
  };
}

describe('what is left behind', () => {
  test.each([
    ['nothing, when the active holds all', '1-1-500,2-2-9', '1-1-500', null],
    ['nothing, when the active went on', '1-1-500,2-2-90', '1-1-500,2-2-9', null],
    ['what MariaDB numbered after the last one that came over', '1-1-480,2-2-90', '1-1-500,2-2-9', [20, '1-1-500']],
    ['runs of a MySQL set', `${UUID}:1-70,${OTHER}:1-4`, `${UUID}:1-75:77`, [6, `${UUID}:71-75:77`]],
    ['everything of a host that the active never heard of', '', `${UUID}:1-3`, [3, `${UUID}:1-3`]],
  ])('is %s', (_what, active, passive, expected) => {
    const found = leftBehind(held(active), held(passive));
    expect(found && [found.count, found.gtids]).toEqual(expected);
  });

  it('keeps where the host’s binary log ended', () => {
    const end = { file: 'bin.000009', pos: 77 };
    expect(leftBehind(held('1-1-1'), held('1-1-2', { binlog: end }))?.end).toEqual(end);
  });

  it.each([
    ['the active', null, '1-1-5'],
    ['the old active', '1-1-5', null],
  ])('is unknown when %s has no GTIDs and its log went on', (_who, active, passive) => {
    const found = leftBehind(held(active), held(passive, { binlog: { file: 'bin.000002', pos: 4 } }));
    expect(found).toMatchObject({ count: null, gtids: '' });
  });

  it('is nothing without GTIDs when the active has applied the host’s log to its end', () => {
    const end = { file: 'bin.000001', pos: 100 };
    expect(leftBehind(held(null), held(null, { binlog: end }))).toBeNull();
    const replication = someReplication({ applied: { file: 'bin.000001', pos: 60 }, readAll: false });
    expect(leftBehind(held(null, { replication }), held(null, { binlog: end }))).toMatchObject({ count: null });
  });
});

describe('is it merged', () => {
  const roles = { active: B, passive: A };
  const passive = answered({ gtid: '1-1-500' });

  test.each([
    ['not while one is lacking', divergence(), '1-1-499', false],
    ['when the active holds them all', divergence(), '1-1-500,2-2-7', true],
    ['not as long as nobody can say', divergence(), null, false],
  ])('%s', (_when, found, gtid, expected) => {
    expect(isMerged(found, roles, answered({ gtid }), passive)).toBe(expected);
  });

  test('not while the active does not answer', () => {
    expect(isMerged(divergence(), roles, failure('silent'), passive)).toBe(false);
  });

  test('when the role went back to the host that held it, and it is open', () => {
    const back = { active: A, passive: B };
    expect(isMerged(divergence(), back, answered({ gtid: '1-1-500', readOnly: true }), passive)).toBe(false);
    expect(isMerged(divergence({ count: null }), back, answered({ gtid: null, readOnly: false }), passive)).toBe(true);
  });

  test('of those that did not fit, only when the host itself has nothing more', () => {
    const cut = divergence({ cut: true });
    const active = answered({ gtid: '1-1-500' });
    expect(isMerged(cut, roles, active, failure('silent'))).toBe(false);
    expect(isMerged(cut, roles, active, answered({ gtid: '1-1-501' }))).toBe(false);
    expect(isMerged(cut, roles, active, passive)).toBe(true);
  });

  test('without GTIDs, when the active has come to where the host’s log ended', () => {
    const unknown = divergence({ count: null, gtids: '' });
    const at = (pos: number, applied = pos) =>
      answered({
        replication: someReplication({
          received: { file: 'bin.000002', pos },
          applied: { file: 'bin.000002', pos: applied },
          readAll: false,
        }),
      });
    expect(isMerged(unknown, roles, at(899), passive)).toBe(false);
    expect(isMerged(unknown, roles, at(900, 899), passive)).toBe(false);
    expect(isMerged(unknown, roles, at(900), passive)).toBe(true);
    expect(isMerged({ ...unknown, end: null }, roles, at(900), passive)).toBe(false);
  });
});

describe('in words', () => {
  test.each([
    [divergence(), `${A} holds 20 transactions that the active never saw since decision 7: 1-1-500`],
    [divergence({ count: 1, epoch: null }), `${A} holds 1 transaction that the active never saw: 1-1-500`],
    [
      divergence({ cut: true }),
      `${A} holds 20 transactions that the active never saw since decision 7: 1-1-500 and more`,
    ],
    [
      divergence({ count: null }),
      `${A} may hold transactions that the active never saw since decision 7: without GTIDs on both hosts nobody can count them`,
    ],
  ])('%#', (found, text) => {
    expect(describeDivergence(found)).toBe(text);
  });
});

describe('a set that is too long for a board', () => {
  const parsed = (text: string) => parseGtids(text) ?? { form: 'none' as const, ranges: new Map() };

  it('is written whole while it fits', () => {
    const text = `${UUID}:1-3:5:7,${OTHER}:2`;
    expect(writeGtids(parsed(text), text.length)).toEqual({ gtids: text, cut: false });
  });

  it('keeps the newest runs of each server, and stays readable', () => {
    const runs = Array.from({ length: 400 }, (_, at) => at * 2 + 1).join(':');
    const { gtids, cut } = writeGtids(parsed(`${UUID}:${runs},${OTHER}:9`), 1_000);
    expect(cut).toBe(true);
    expect(gtids.length).toBeLessThanOrEqual(1_000);
    expect(gtids).toMatch(/:799,/);
    expect(parsed(gtids).ranges.get(OTHER)).toEqual([[9n, 9n]]);
  });

  it('keeps some of the servers when there are too many', () => {
    const many = Array.from({ length: 50 }, (_, at) => `${UUID.slice(0, -2)}${at + 10}:1-5`).join(',');
    const { gtids, cut } = writeGtids(parsed(many), 1_000);
    expect(cut).toBe(true);
    expect(parsed(gtids).ranges.size).toBeGreaterThan(10);
  });

  it('is nothing for nothing', () => {
    expect(writeGtids(parsed(''), 10)).toEqual({ gtids: '', cut: false });
  });
});

import { describe, expect, test } from 'vitest';
import type { Observation, SeenRow } from '../../src/core/observation.ts';
import { type Attention, agree } from '../../src/core/observers.ts';
import { anObservation, aPair, aSighting, NOW_MS, SECONDARY } from '../support/build.ts';
import { aRow } from '../support/rows.ts';

type Look = Parameters<typeof anObservation>[0];
const PAIR = aPair();
const GONE: Look = { failure: 'silent', goneLooks: 2 };

/** What a monitor says of the primary, and that the secondary is well. */
function says(
  observer: string,
  primary: Look,
  { atMs = NOW_MS, secondary = {} }: { atMs?: number; secondary?: Look } = {},
) {
  return aSighting([
    anObservation({ observer, atMs, ...primary }),
    anObservation({ host: SECONDARY, observer, atMs, readOnly: true, ...secondary }),
  ]);
}

function together(sightings: Parameters<typeof agree>[0]['sightings'], attention: Attention = new Map(), nowMs = 0) {
  return agree({ pair: PAIR, sightings, attention, nowMs });
}

function isGone(observation: Observation | null): boolean {
  return observation?.evidence.kind === 'silent';
}

describe('one monitor', () => {
  test('is its own majority, and its observations are handed on as they are', () => {
    const only = says('m1', GONE);
    const { observations, notes } = together([only]);
    expect([observations.primary, observations.secondary]).toEqual(only.observations);
    expect(notes).toEqual([]);
  });

  test('that is overdue is still believed when there is nobody else: its dates tell how old it is', () => {
    const only = says('m1', GONE);
    const { attention } = together([only]);
    expect(isGone(together([only], attention, 20_000).observations.primary)).toBe(true);
  });
});

describe('several monitors', () => {
  test('call a host gone only when more than half of them do', () => {
    const alive = (name: string) => says(name, {});
    const gone = (name: string) => says(name, GONE);
    expect(isGone(together([gone('m1'), alive('m2')]).observations.primary)).toBe(false);
    expect(isGone(together([gone('m1'), gone('m2')]).observations.primary)).toBe(true);
    expect(isGone(together([gone('m1'), alive('m2'), alive('m3')]).observations.primary)).toBe(false);
    expect(isGone(together([gone('m1'), gone('m2'), alive('m3')]).observations.primary)).toBe(true);
    expect(isGone(together([gone('m1'), gone('m2'), alive('m3'), alive('m4')]).observations.primary)).toBe(false);
  });

  test('say who sees it otherwise', () => {
    expect(together([says('m1', GONE), says('m2', {})]).notes).toEqual([
      '1 of 2 monitors find 10.0.0.5:3308 alive (not so m1: silent)',
    ]);
    expect(together([says('m1', GONE), says('m2', GONE), says('', {})]).notes).toEqual([
      '2 of 3 monitors find 10.0.0.5:3308 unreachable (not so a Perl monitor: answered)',
    ]);
  });

  test('count a look of the majority, not of the first who noticed', () => {
    const looks = [9, 4, 1].map((goneLooks, at) => says(`m${at}`, { failure: 'silent', goneLooks }));
    expect(together(looks).observations.primary?.goneLooks).toBe(4);
  });

  test('are told by whoever could read the host, where another was turned away', () => {
    const { primary } = together([says('m1', { failure: 'saturated' }), says('m2', { connections: 7 })]).observations;
    expect(primary?.evidence).toMatchObject({ kind: 'answered', facts: { connections: 7 } });
  });

  test('are told by one of them all the time, so that rounds are not counted twice', () => {
    const first = together([says('m1', {}), says('m2', {})]);
    const later = together([says('m1', {}), says('m2', {}, { atMs: NOW_MS + 500 })], first.attention, 500);
    expect(later.observations).toEqual(first.observations);
  });

  test('believe the one that found the passive hearing', () => {
    const deaf = { hearing: { silentMs: 2_300, heartbeatMs: 1_000 } };
    const keen = { hearing: { silentMs: 700, heartbeatMs: 1_000 } };
    const both = [says('m1', GONE, { secondary: deaf }), says('m2', GONE, { secondary: keen })];
    expect(together(both).observations.secondary?.evidence).toMatchObject({ facts: keen });
    const neither = [says('m1', GONE, { secondary: deaf }), says('m2', GONE, { secondary: deaf })];
    expect(together(neither).observations.secondary?.evidence).toMatchObject({ facts: deaf });
  });

  test('do not wait for one that no longer reports: it may have died with the host', () => {
    const before = together([says('m1', {}), says('m2', {})]);
    const now = [says('m1', {}), says('m2', GONE, { atMs: NOW_MS + 2_600 })];
    expect(isGone(together(now, before.attention, 2_500).observations.primary)).toBe(false);
    expect(isGone(together(now, before.attention, 2_501).observations.primary)).toBe(true);
  });

  test('are waited for as long as they asked', () => {
    const slow = { ...says('m1', {}), againMs: 9_000 };
    const before = together([slow, says('m2', {})]);
    const now = [slow, says('m2', GONE, { atMs: NOW_MS + 8_000 })];
    expect(isGone(together(now, before.attention, 8_000).observations.primary)).toBe(false);
    expect(isGone(together(now, before.attention, 9_001).observations.primary)).toBe(true);
  });

  test('of whom all are overdue are all believed', () => {
    const both = [says('m1', {}), says('m2', GONE)];
    const { attention } = together(both);
    expect(isGone(together(both, attention, 20_000).observations.primary)).toBe(false);
  });

  test('a monitor whose clock stands still but that reports has said nothing new', () => {
    const first = together([says('m1', {})], new Map(), 1_000);
    expect(together([says('m1', {})], first.attention, 5_000).attention.get('m1')?.sinceMs).toBe(1_000);
  });
});

test('nobody has said anything', () => {
  expect(together([]).observations).toEqual({ primary: null, secondary: null });
  expect(together([aSighting([anObservation({ host: '10.9.9.9:1' })])]).observations).toEqual({
    primary: null,
    secondary: null,
  });
  expect(isGone(together([aSighting([anObservation(GONE)])]).observations.primary)).toBe(true);
});

describe('a host that nobody reaches', () => {
  const goneToAll = (sightings: Parameters<typeof together>[0], ...more: [Attention?, number?]) =>
    together(sightings, ...more).goneToAll.has(PAIR.primary);

  test('is gone to every monitor that still reports, not only to most of them', () => {
    expect(goneToAll([says('m1', GONE), says('m2', GONE)])).toBe(true);
    expect(goneToAll([says('m1', GONE), says('m2', GONE), says('m3', {})])).toBe(false);
    expect(goneToAll([says('m1', GONE), says('m2', { failure: 'saturated' })])).toBe(false);
    expect(goneToAll([])).toBe(false);
    expect(together([says('m1', GONE)]).goneToAll).toEqual(new Set([PAIR.primary]));
  });

  test('is not that by the word of a Perl monitor alone', () => {
    expect(goneToAll([says('', GONE)])).toBe(false);
    expect(goneToAll([says('', GONE), says('m1', GONE)])).toBe(true);
    expect(goneToAll([says('', {}), says('m1', GONE)])).toBe(false);
  });

  test('is not that by the word of monitors that have gone themselves', () => {
    const both = [says('m1', GONE), says('m2', {})];
    const { attention } = together(both);
    expect(goneToAll([says('m1', GONE)], attention, 20_000)).toBe(false);
    expect(goneToAll([says('m1', GONE, { atMs: NOW_MS + 20_000 }), says('m2', {})], attention, 20_000)).toBe(true);
  });
});

describe('the row of a host', () => {
  const rowIn = (rows: readonly (SeenRow | null)[]) => {
    const seen = together(rows.map((row, at) => says(`m${at}`, { row }))).observations.primary;
    return seen?.evidence.kind === 'answered' ? seen.evidence.facts.row : undefined;
  };

  test('is there when any monitor saw it, and what it says is the newest that was seen', () => {
    const old = aRow({ epoch: [6, SECONDARY], opened: 6 });
    const claimed = aRow({ epoch: [7, SECONDARY], opened: 6 });
    const opened = aRow({ epoch: [7, SECONDARY], opened: 7 });
    expect(rowIn([null, null])).toBeNull();
    expect(rowIn([null, old])).toEqual(old);
    expect(rowIn([old, null])).toEqual(old);
    for (const rows of [
      [old, claimed, opened],
      [opened, claimed, old],
      [claimed, opened, null],
    ]) {
      expect(rowIn(rows)).toEqual(opened);
    }
    expect(rowIn([old, claimed])).toEqual(claimed);
    expect(rowIn([claimed, old])).toEqual(claimed);
    const later = { ...opened, generation: 4 };
    for (const rows of [
      [opened, later],
      [later, opened],
      [later, { ...old, generation: 5 }],
    ]) {
      expect(rowIn(rows)).toEqual(later);
    }
  });

  test('does not hide whether it has semi-synchronous replication, where one monitor looked and another did not', () => {
    const found = (looks: readonly (boolean | null)[]) => {
      const seen = together(looks.map((hasSemiSync, at) => says(`m${at}`, { hasSemiSync }))).observations.primary;
      return seen?.evidence.kind === 'answered' ? seen.evidence.facts.hasSemiSync : undefined;
    };
    expect([found([null, true]), found([true, null]), found([null, false]), found([null, null])]).toEqual([
      true,
      true,
      false,
      null,
    ]);
  });
});

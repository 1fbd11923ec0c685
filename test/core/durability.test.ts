// Whether an epoch is lossless, and which complete set counts: every combination that a table can hold.

import { describe, expect, test } from 'vitest';
import type { Complete } from '../../src/core/complete.ts';
import { type Board, type Durability, isSafetyOn, NO_SAFETY, NO_TERMS } from '../../src/core/decision.ts';
import {
  completeNow,
  durabilityChange,
  highestGeneration,
  judgedBy,
  permittedDurability,
  whyNotComplete,
} from '../../src/core/durability.ts';
import { rolesWith } from '../../src/core/pair.ts';
import { anObservation, aPair, PRIMARY, SECONDARY } from '../support/build.ts';
import { aRow } from '../support/rows.ts';

type Look = NonNullable<Parameters<typeof anObservation>[0]>;

const WANTED = { durability: 'lossless' } as const;
const EPOCH = { number: 7, id: 'e7', active: PRIMARY } as const;
const BOOT_A = { uuid: 'uuid-a', startedSec: 100 };
const BOOT_B = { uuid: 'uuid-b', startedSec: 200 };
const A = { host: PRIMARY, ...BOOT_A };
const B = { host: SECONDARY, ...BOOT_B };
const BOTH: Complete = { generation: 12, writer: A, hosts: [A, B] };

const OPEN: Look = { boot: BOOT_A, row: aRow({ epoch: [7, PRIMARY], opened: 7 }), hasSemiSync: true };
const CLOSED: Look = { boot: BOOT_B, readOnly: true, row: aRow({ epoch: [7, PRIMARY] }), hasSemiSync: true };
const GONE: Look = { failure: 'silent' };

function looks(active: Look | null = OPEN, passive: Look | null = CLOSED) {
  return {
    primary: active === null ? null : anObservation({ host: PRIMARY, ...active }),
    secondary: passive === null ? null : anObservation({ host: SECONDARY, ...passive }),
  };
}

function aBoard(durability: Durability, over: Partial<Board> = {}) {
  const terms = { ...NO_TERMS, lease: 'finite', durability } as const;
  return { roles: rolesWith(aPair(), PRIMARY), epoch: EPOCH, terms, complete: BOTH, ...over };
}

type Situation = Parameters<typeof durabilityChange>[0];

/** Everything is ready for a pair that runs async. */
function change(over: Partial<Situation> = {}) {
  const ready = { guarded: true, policy: WANTED, board: aBoard('async'), anew: false, paused: false };
  return durabilityChange({ ...ready, observations: looks(), ...over });
}

const STAYS = { to: undefined, why: null, alarm: null };

test('each of two safeties makes a pair guarded', () => {
  expect(isSafetyOn(NO_SAFETY)).toBe(false);
  expect(isSafetyOn({ ...NO_SAFETY, fencing: 'lease' })).toBe(true);
  expect(isSafetyOn({ ...NO_SAFETY, durability: 'lossless' })).toBe(true);
});

describe('a pair that is to be lossless', () => {
  test('becomes so when both hosts are known to have semi-synchronous replication', () => {
    expect(change().to).toBe('lossless');
  });

  test('is decided so once', () => {
    expect(change({ board: aBoard('lossless') })).toEqual(STAYS);
  });

  test.each([
    ['one has none', { hasSemiSync: false }, `${SECONDARY} has no semi-synchronous replication`, true],
    ['one is away', GONE, `it is not known whether ${SECONDARY} has semi-synchronous replication`, true],
    ['one says nothing yet', { hasSemiSync: null }, `it is not known whether ${SECONDARY} has`, false],
  ])('runs async with the reason while %s', (_name, over, why, alarms) => {
    const found = change({ observations: looks(OPEN, { ...CLOSED, ...over }) });
    expect(found.to).toBeUndefined();
    expect(found.why).toContain(`runs async: ${why}`);
    expect(found.alarm).toBe(alarms ? found.why : null);
  });

  test.each([
    ['is not open', { ...OPEN, readOnly: true }, `${PRIMARY} does not take writes`],
    ['does not answer', GONE, `${PRIMARY} does not answer`],
    ['was opened by another decision', { ...OPEN, row: aRow({ opened: 6 }) }, `the row of ${PRIMARY} does not say yet`],
  ])('runs async without an alarm while the active %s', (_name, active, why) => {
    const found = change({ observations: looks(active) });
    expect(found).toMatchObject({ to: undefined, alarm: null });
    expect(found.why).toContain(`runs async: ${why}`);
  });

  test.each([
    ['paused', { paused: true }],
    ['not guarded', { guarded: false }],
    ['decided without a lease', { board: aBoard('async', { terms: NO_TERMS }) }],
    ['about to be written anew', { anew: true }],
    ['without an active', { board: aBoard('async', { roles: null }) }],
  ])('is left as it is while it is %s', (_name, over) => {
    expect(change(over)).toEqual(STAYS);
  });

  test('stays lossless, with an alarm, when a host has lost its semi-synchronous replication', () => {
    for (const observations of [looks(OPEN, { ...CLOSED, hasSemiSync: false }), looks({ ...OPEN, hasSemiSync: false })])
      expect(change({ board: aBoard('lossless'), observations })).toEqual({
        to: undefined,
        why: null,
        alarm: expect.stringContaining('has no semi-synchronous replication (durability=lossless): it can neither'),
      });
  });

  test('stays lossless without a word when a host goes away', () => {
    for (const observations of [looks(OPEN, GONE), looks(GONE), looks(null, null)])
      expect(change({ board: aBoard('lossless'), observations })).toEqual(STAYS);
  });
});

test('only the policy makes a pair async again, and not while it is paused', () => {
  const policy = { durability: 'async' } as const;
  const board = aBoard('lossless');
  expect(change({ policy, board }).to).toBe('async');
  expect(change({ policy, board, observations: looks(GONE, GONE) }).to).toBe('async');
  expect(change({ policy, board, paused: true })).toEqual(STAYS);
  expect(change({ policy })).toEqual(STAYS);
});

describe('a decision with another purpose', () => {
  const permitted = (over: Partial<Parameters<typeof permittedDurability>[0]> = {}) =>
    permittedDurability({
      guarded: true,
      policy: WANTED,
      board: aBoard('lossless'),
      anew: false,
      observations: looks(),
      ...over,
    });

  test('carries the durability on, whoever is away', () => {
    for (const observations of [looks(), looks(GONE), looks(OPEN, { ...CLOSED, hasSemiSync: false })]) {
      expect(permitted({ observations })).toBe('lossless');
      expect(permitted({ observations, board: aBoard('async') })).toBe('async');
    }
  });

  test('is async where the policy is, or nothing is guarded', () => {
    for (const anew of [false, true]) {
      expect(permitted({ policy: { durability: 'async' }, anew })).toBe('async');
      expect(permitted({ guarded: false, anew })).toBe('async');
    }
  });

  test('for a board written anew is lossless where a host was opened and none is known to be unable', () => {
    const anew = { anew: true, board: aBoard('async') };
    expect(permitted(anew)).toBe('lossless');
    expect(permitted({ ...anew, observations: looks(OPEN, GONE) })).toBe('lossless');
    expect(permitted({ ...anew, observations: looks(OPEN, { ...CLOSED, row: null, hasSemiSync: null }) })).toBe(
      'lossless',
    );
    expect(permitted({ ...anew, observations: looks(OPEN, { ...CLOSED, hasSemiSync: false }) })).toBe('async');
    expect(permitted({ ...anew, observations: looks({ ...OPEN, row: aRow({}) }) })).toBe('async');
    expect(permitted({ ...anew, observations: looks({ ...OPEN, hasSemiSync: null }, GONE) })).toBe('async');
    expect(permitted({ ...anew, observations: looks(GONE, GONE) })).toBe('async');
  });
});

describe('the set on the board', () => {
  test('counts from the highest generation on that was seen', () => {
    expect(completeNow(BOTH, 12)).toEqual({ complete: BOTH, doubt: null });
    expect(completeNow(BOTH, 0)).toEqual({ complete: BOTH, doubt: null });
    const old = completeNow(BOTH, 13);
    expect(old).toEqual({ complete: null, doubt: 'the board holds set 12, and set 13 was written already' });
    expect(whyNotComplete(old, SECONDARY, looks())).toBe(
      `nobody knows whether ${SECONDARY} holds every acknowledged commit: the board holds set 12, and set 13 was written already`,
    );
  });

  test('is as old as the row of the host that commits says, whatever the other one’s says', () => {
    const row = (generation: number) => aRow({ epoch: [7, PRIMARY], generation });
    expect(highestGeneration(BOTH, looks({ ...OPEN, row: row(14) }))).toBe(14);
    expect(highestGeneration(BOTH, looks({ ...OPEN, row: row(11) }))).toBe(12);
    expect(highestGeneration(BOTH, looks(OPEN, { ...CLOSED, row: row(14) }))).toBe(12);
    expect(highestGeneration(BOTH, looks(GONE, { ...CLOSED, row: row(14) }))).toBe(12);
    expect(highestGeneration(null, looks({ ...OPEN, row: row(14) }))).toBe(0);
  });

  test('makes a host complete in the life in which a monitor sees it only', () => {
    const now = completeNow(BOTH, 12);
    expect(whyNotComplete(now, SECONDARY, looks())).toBeNull();
    expect(whyNotComplete(now, PRIMARY, looks())).toBeNull();
    const restarted = { ...CLOSED, boot: { ...BOOT_B, startedSec: 202 } };
    expect(whyNotComplete(now, SECONDARY, looks(OPEN, restarted))).toContain('it was restarted since');
    for (const unknown of [{ ...CLOSED, boot: null }, GONE, null])
      expect(whyNotComplete(now, SECONDARY, looks(OPEN, unknown))).toContain('it is not known whether');
    expect(whyNotComplete(completeNow(null, 0), SECONDARY, looks())).toContain('does not say which hosts are complete');
  });
});

describe('a change is judged', () => {
  const judged = (over: Partial<Parameters<typeof judgedBy>[0]> = {}) =>
    judgedBy({ policy: WANTED, board: aBoard('lossless'), anew: false, highest: 12, observations: looks(), ...over });

  test('by the set, where the present epoch is lossless, whatever the policy has become since', () => {
    expect(judged()).toEqual({ complete: BOTH, doubt: null });
    expect(judged({ policy: { durability: 'async' } })).toEqual({ complete: BOTH, doubt: null });
    expect(judged({ highest: 13 })).toMatchObject({ complete: null, doubt: expect.any(String) });
    expect(judged({ board: aBoard('async') })).toBeNull();
  });

  test('by no set of a board that is written anew', () => {
    const never = { row: aRow({ epoch: [7, PRIMARY] }) };
    const lost = { complete: null, doubt: 'the board was emptied or restored' };
    expect(judged({ anew: true })).toEqual(lost);
    expect(judged({ anew: true, board: aBoard('async') })).toEqual(lost);
    expect(judged({ anew: true, observations: looks({ ...OPEN, ...never }, GONE) })).toEqual(lost);
    expect(judged({ anew: true, policy: { durability: 'async' } })).toBeNull();
    expect(judged({ anew: true, observations: looks({ ...OPEN, ...never }, { ...CLOSED, row: null }) })).toBeNull();
  });
});

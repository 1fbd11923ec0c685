// Every combination of two hosts under durability=lossless: no change but to a complete host, and nothing else is decided otherwise than for a
// pair that runs async. The sentences are in decisions.txt.

import { describe, expect, test } from 'vitest';
import type { Complete, Member } from '../../src/core/complete.ts';
import { type Decided, decide } from '../../src/core/decide.ts';
import { type Host, otherHost, rolesWith } from '../../src/core/pair.ts';
import { FIRST_STATE, type Guarded } from '../../src/core/scene.ts';
import { anObservation, aPair, NOW_MS, PRIMARY, SECONDARY } from '../support/build.ts';
import { aRow } from '../support/rows.ts';

const PAIR = aPair();
const BOOT = { uuid: 'u-1', startedSec: 1_700_000_000 };
const ANOTHER_LIFE = { ...BOOT, startedSec: 1_700_000_600 };
type Look = NonNullable<Parameters<typeof anObservation>[0]>;

const ACTIVE: Look = { connections: 3, boot: BOOT, row: aRow({ epoch: [7, PRIMARY], opened: 7 }) };
const PASSIVE: Look = { readOnly: true, connections: 0, boot: BOOT, row: aRow({ epoch: [7, PRIMARY], opened: 3 }) };
const LOOKS: readonly (Look | null)[] = [
  null,
  ACTIVE,
  PASSIVE,
  { failure: 'silent', goneLooks: 2 },
  { failure: 'refused', connectionBroke: true, goneLooks: 2 },
  { failure: 'saturated' },
  { ...PASSIVE, io: 'Connecting', replicationOk: false },
  { ...PASSIVE, row: null },
  { ...PASSIVE, boot: ANOTHER_LIFE },
  { ...PASSIVE, boot: null },
  { ...ACTIVE, connections: 0 },
  { ...PASSIVE, connections: 2 },
  { ...PASSIVE, delaySec: 9 },
];

function member(host: Host): Member {
  return { host, ...BOOT };
}

const SETS: readonly (Complete | null)[] = [
  null,
  ...[[PRIMARY], [SECONDARY], [PRIMARY, SECONDARY]].map(([writer = PRIMARY, ...others]) => ({
    generation: 4,
    writer: member(writer),
    hosts: [writer, ...others].map(member),
  })),
];

interface Case {
  readonly one: Look | null;
  readonly other: Look | null;
  readonly active: Host | null;
  readonly goesBack: boolean;
}

function* cases(): Generator<Case> {
  for (const one of LOOKS)
    for (const other of LOOKS)
      for (const active of [PRIMARY, SECONDARY, null])
        for (const goesBack of active === null ? [false] : [false, true]) yield { one, other, active, goesBack };
}

function answer({ one, other, active, goesBack }: Case, lossless: Guarded['lossless']): Decided {
  const caughtUpMs = NOW_MS - 3_600_000;
  return decide({
    pair: PAIR,
    roles: active === null ? null : rolesWith(PAIR, active),
    epoch: active === null ? null : { number: 7, id: 'e7', active },
    observations: {
      primary: one === null ? null : anObservation({ host: PRIMARY, ...one }),
      secondary: other === null ? null : anObservation({ host: SECONDARY, ...other }),
    },
    // One round is enough.
    policy: { tryTimes: 1, freshMs: 30_000, pacing: { minFailoverIntervalSec: 60, failback: 'auto' } },
    past: { changedAtMs: null, preferred: null },
    pause: null,
    failed: null,
    giveBack: goesBack && active !== null ? { to: otherHost(PAIR, active), why: 'a test' } : null,
    guarded: {
      lease: 'endless',
      verdict: { kind: 'unknown', why: '' },
      behind: null,
      known: null,
      strangers: new Map(),
      lossless,
      unopened: false,
    },
    nowMs: NOW_MS,
    state: { ...FIRST_STATE, caughtUpSinceMs: { primary: caughtUpMs, secondary: caughtUpMs } },
  });
}

function lookAt(host: Host, { one, other }: Case): Look | null {
  return host === PRIMARY ? one : other;
}

function isComplete(set: Complete | null, host: Host, look: Look | null): boolean {
  return look?.boot === BOOT && (set?.hosts ?? []).some((known) => known.host === host);
}

/** Both servers say so: it holds what it acknowledged itself, in whatever life. */
function wroteLast(host: Host, found: Case): boolean {
  const [mine, its] = [host, otherHost(PAIR, host)].map((one) => {
    const look = lookAt(one, found);
    return look === null || look.failure !== undefined ? null : (look.row?.opened?.number ?? null);
  });
  return mine != null && its != null && mine > its;
}

test('the role goes to complete hosts only, or to the last one that took writes, and there as it does in a pair that runs async', () => {
  const counted = { changes: 0, withheld: 0 };
  for (const found of cases()) {
    const plain = answer(found, null);
    for (const complete of SETS) {
      const decided = answer(found, { complete, doubt: null });
      const message = JSON.stringify({ found, complete });
      if (plain.kind !== 'change') {
        expect(decided.kind, message).not.toBe('change');
        continue;
      }
      const { active } = plain.roles;
      if (isComplete(complete, active, lookAt(active, found)) || wroteLast(active, found)) {
        counted.changes += 1;
        expect(decided, message).toEqual(plain);
      } else {
        counted.withheld += 1;
        expect(decided, message).not.toMatchObject({ kind: 'change', roles: { active } });
      }
    }
  }
  expect(counted.changes).toBeGreaterThan(50);
  expect(counted.withheld).toBeGreaterThan(100);
});

test('a set that does not count makes nobody complete', () => {
  for (const found of cases()) {
    const decided = answer(found, { complete: null, doubt: 'the board was emptied or restored' });
    const isLast = decided.kind === 'change' && wroteLast(decided.roles.active, found);
    expect(decided.kind === 'change' && !isLast, JSON.stringify(found)).toBe(false);
  }
});

test('where nobody is known to be the active, a closed host that answers alone does not become it, and one that takes writes does', () => {
  const kinds = new Set<string>();
  for (const found of cases()) {
    if (found.active !== null) continue;
    const answers = [PRIMARY, SECONDARY].filter((host) => {
      const look = lookAt(host, found);
      return look !== null && look.failure === undefined;
    });
    const decided = answer(found, { complete: null, doubt: null });
    const plain = answer(found, null);
    const [only] = answers;
    const isClosed = only !== undefined && lookAt(only, found)?.readOnly === true;
    if (answers.length === 1 && isClosed) {
      expect(decided.roles?.active, JSON.stringify(found)).not.toBe(only);
    } else if (plain.kind === 'adopt') {
      kinds.add(answers.length === 1 ? 'alone and writable' : 'both answer');
      expect(decided, JSON.stringify(found)).toEqual(plain);
    }
  }
  expect(kinds).toEqual(new Set(['alone and writable', 'both answer']));
});

describe('the host that took writes last', () => {
  const ROWS = { mine: aRow({ epoch: [8, SECONDARY], opened: 7 }), its: aRow({ epoch: [8, SECONDARY], opened: 3 }) };
  const restarted: Look = { readOnly: true, connections: 0, boot: ANOTHER_LIFE, row: ROWS.mine };
  const other: Look = { readOnly: true, connections: 0, boot: ANOTHER_LIFE, row: ROWS.its };
  const back = { active: SECONDARY, goesBack: true };
  const set = { complete: null, doubt: 'the board was emptied or restored' };

  test('gets the role back in another life, when both servers say so', () => {
    expect(answer({ one: restarted, other, ...back }, set)).toMatchObject({
      kind: 'change',
      roles: { active: PRIMARY },
    });
  });

  test.each<[string, Look | null, Look | null]>([
    ['the other one does not answer', restarted, { failure: 'silent', goneLooks: 2 }],
    ['the other one was opened later', { ...restarted, row: ROWS.its }, { ...other, row: ROWS.mine }],
    ['both were opened by one number', restarted, { ...other, row: ROWS.mine }],
    ['the other one has no row', restarted, { ...other, row: null }],
    ['its own row is of another pair', { ...restarted, row: aRow({ epoch: [8, '10.0.0.99:3308'], opened: 7 }) }, other],
  ])('does not, when %s', (_, one, beside) => {
    expect(answer({ one, other: beside, ...back }, set).kind).not.toBe('change');
  });
});

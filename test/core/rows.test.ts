// Empty and old boards: every combination of what two servers' rows may hold, judged a second time, plainly, by decide() as a whole.

import { describe, expect, test } from 'vitest';
import { decide } from '../../src/core/decide.ts';
import type { Observation, SeenRow } from '../../src/core/observation.ts';
import { type Epoch, type Host, rolesWith } from '../../src/core/pair.ts';
import { highestIn, whyOlder } from '../../src/core/rows.ts';
import { type DecideInput, FIRST_STATE, type Guarded } from '../../src/core/scene.ts';
import { anObservation, aPair, NOW_MS, PRIMARY, SECONDARY } from '../support/build.ts';
import { aRow } from '../support/rows.ts';

const PAIR = aPair();

/** A host that was never claimed, one that knows of a decision, one that was opened by one. */
const ROWS: readonly (SeenRow | null)[] = [
  null,
  aRow({}),
  aRow({ epoch: [7, PRIMARY] }),
  aRow({ epoch: [7, SECONDARY] }),
  aRow({ epoch: [7, PRIMARY], opened: 5 }),
  aRow({ epoch: [7, SECONDARY], opened: 5 }),
  aRow({ epoch: [7, PRIMARY], opened: 7 }),
  aRow({ epoch: [7, SECONDARY], opened: 7 }),
  aRow({ epoch: [8, SECONDARY], opened: 8 }),
];

interface State {
  readonly look: 'writable' | 'read only' | 'unsaid' | 'silent' | 'dead' | 'unreadable' | 'missing';
  readonly row: SeenRow | null;
}

const STATES: readonly State[] = [
  ...(['writable', 'read only', 'unsaid'] as const).flatMap((look) => ROWS.map((row) => ({ look, row }))),
  ...(['silent', 'dead', 'unreadable', 'missing'] as const).map((look) => ({ look, row: null })),
];

function observed(host: Host, { look, row }: State): Observation | null {
  switch (look) {
    case 'missing':
      return null;
    case 'silent':
      return anObservation({ host, failure: 'silent' });
    case 'dead':
      return anObservation({ host, failure: 'refused', connectionBroke: true });
    case 'unreadable':
      return anObservation({ host, failure: 'saturated' });
    default:
      return anObservation({ host, row, readOnly: look === 'unsaid' ? null : look === 'read only' });
  }
}

const GUARDED: Guarded = {
  lease: 'endless',
  verdict: { kind: 'unknown', why: 'test' },
  behind: 'the board is empty',
  known: null,
  strangers: new Map(),
  lossless: null,
  unopened: true,
};

function inputOf(primary: State, secondary: State, over: Partial<DecideInput> = {}): DecideInput {
  return {
    pair: PAIR,
    roles: null,
    epoch: null,
    observations: { primary: observed(PRIMARY, primary), secondary: observed(SECONDARY, secondary) },
    policy: { tryTimes: 2, freshMs: 30_000, pacing: { minFailoverIntervalSec: 60, failback: 'auto' } },
    past: { changedAtMs: null, preferred: null },
    pause: null,
    failed: null,
    giveBack: null,
    guarded: GUARDED,
    nowMs: NOW_MS,
    state: FIRST_STATE,
    ...over,
  };
}

/** By the design's words alone; 'rules': no row tells. */
function expected(primary: State, secondary: State, known: Epoch | null): Host | 'nobody' | 'rules' {
  const states = [
    { host: PRIMARY, ...primary },
    { host: SECONDARY, ...secondary },
  ];
  if (states.some(({ look }) => look === 'unreadable' || look === 'missing')) return 'nobody';
  const answering = states.filter(({ look }) => look !== 'silent' && look !== 'dead');
  const [one] = answering;
  if (one === undefined) return 'nobody';
  if (answering.length === 2) {
    const [a, b] = states.map(({ row }) => row?.opened?.number ?? 0);
    const highest = Math.max(...states.map(({ row }) => Math.max(row?.epoch?.number ?? 0, row?.opened?.number ?? 0)));
    if (known !== null && highest > 0 && known.number > highest) return known.active;
    if (a === undefined || b === undefined || (a === 0 && b === 0)) return 'rules';
    if (a !== b) return a > b ? PRIMARY : SECONDARY;
    const byKnown = states.filter(({ row }) => row?.opened?.id === known?.id);
    if (byKnown[0] !== undefined) return byKnown[0].host;
    const open = states.filter(({ look }) => look === 'writable');
    return open.length === 1 && open[0] !== undefined ? open[0].host : 'rules';
  }
  if (one.row === null || one.look === 'unsaid') return 'rules';
  const opened = one.row.opened?.number ?? 0;
  const replacing = [known, one.row.epoch].filter((epoch) => epoch !== null && epoch.number > opened);
  if (one.look === 'writable' && replacing.every((epoch) => epoch?.active === one.host)) return one.host;
  if (known !== null && known.number >= (one.row.epoch?.number ?? 0)) return known.active;
  return one.row.epoch?.active ?? 'rules';
}

const KNOWN: readonly (Epoch | null)[] = [
  null,
  { number: 7, id: 'e7', active: SECONDARY },
  // Newer than anything that the looks show: they are those of a dump, or a row was lost.
  { number: 9, id: 'e9', active: PRIMARY },
];

describe('a board that is empty, or older than the servers', () => {
  test.each(KNOWN)('is written anew by what the rows say, in every combination (this process knows %o)', (known) => {
    const counts = { adopted: 0, rules: 0, nobody: 0 };
    for (const primary of STATES) {
      for (const secondary of STATES) {
        const answer = decide(inputOf(primary, secondary, { guarded: { ...GUARDED, known } }));
        const wanted = expected(primary, secondary, known);
        const told = JSON.stringify({ primary, secondary, known });
        if (wanted === 'nobody') {
          counts.nobody += 1;
          expect(answer.kind, told).toBe('keep');
        } else if (wanted === 'rules') {
          counts.rules += 1;
          const plain = decide(inputOf(primary, secondary, { guarded: null }));
          expect([answer.kind, answer.roles], told).toEqual([plain.kind, plain.roles]);
        } else {
          counts.adopted += 1;
          expect([answer.kind, answer.roles?.active], told).toEqual(['adopt', wanted]);
        }
      }
    }
    expect(Math.min(...Object.values(counts))).toBeGreaterThan(50);
  });

  test('gets back the active also while it is paused: the pause may be of the dump', () => {
    const opened: State = { look: 'read only', row: aRow({ epoch: [7, SECONDARY], opened: 7 }) };
    const passive: State = { look: 'read only', row: aRow({ epoch: [7, SECONDARY], opened: 5 }) };
    const pause = { by: 'dba', atMs: NOW_MS, untilMs: null };
    expect(decide(inputOf(passive, opened, { pause }))).toMatchObject({ kind: 'adopt', roles: { active: SECONDARY } });
  });

  test('gives the role to the host that was opened last although the other one, thawed under its old lease, is the writable one', () => {
    const thawed: State = { look: 'writable', row: aRow({ epoch: [5, PRIMARY], opened: 5 }) };
    const closed: State = { look: 'read only', row: aRow({ epoch: [7, SECONDARY], opened: 7 }) };
    expect(decide(inputOf(thawed, closed))).toMatchObject({ kind: 'adopt', roles: { active: SECONDARY } });
  });

  test.each<[string, Epoch | null, SeenRow, Host]>([
    [
      'was opened by nothing later',
      { number: 5, id: 'e5', active: PRIMARY },
      aRow({ epoch: [5, PRIMARY], opened: 5 }),
      PRIMARY,
    ],
    [
      'this process saw replaced',
      { number: 7, id: 'e7', active: SECONDARY },
      aRow({ epoch: [5, PRIMARY], opened: 5 }),
      SECONDARY,
    ],
    ['knows itself that it was replaced', null, aRow({ epoch: [7, SECONDARY], opened: 5 }), SECONDARY],
    [
      'got the role back since',
      { number: 6, id: 'e6', active: SECONDARY },
      aRow({ epoch: [7, PRIMARY], opened: 7 }),
      PRIMARY,
    ],
    ['is to get it back, and was not opened again yet', null, aRow({ epoch: [8, PRIMARY], opened: 5 }), PRIMARY],
    ['served in another pair', null, aRow({ epoch: [7, '10.9.9.9:3306'], opened: 5 }), PRIMARY],
  ])(
    'a writable host beside a silent one is the active unless it was replaced: one that %s',
    (_name, known, row, active) => {
      const woken: State = { look: 'writable', row };
      const decided = decide(inputOf(woken, { look: 'silent', row: null }, { guarded: { ...GUARDED, known } }));
      expect(decided).toMatchObject({ kind: 'adopt', roles: { active } });
    },
  );

  test('gives the role to no server that is not the member we knew, whatever its row says', () => {
    const opened: State = { look: 'read only', row: aRow({ epoch: [7, SECONDARY], opened: 7 }) };
    const before: State = { look: 'read only', row: aRow({ epoch: [7, SECONDARY], opened: 5 }) };
    const strangers = new Map([[SECONDARY, 'another server']]);
    const decided = decide(inputOf(before, opened, { guarded: { ...GUARDED, strangers } }));
    expect(decided).toMatchObject({ kind: 'adopt', roles: { active: PRIMARY } });
    const alone = decide(inputOf({ look: 'silent', row: null }, opened, { guarded: { ...GUARDED, strangers } }));
    expect(alone.kind).toBe('keep');
  });

  test('remembers the roles of before, not those of the dump', () => {
    const state = { ...FIRST_STATE, remembered: rolesWith(PAIR, SECONDARY) };
    const closed: State = { look: 'read only', row: null };
    expect(decide(inputOf(closed, closed, { state }))).toMatchObject({ kind: 'adopt', roles: { active: SECONDARY } });
  });
});

describe('whether the board is older', () => {
  const at = (row: SeenRow | null) => ({
    primary: anObservation({ row }),
    secondary: anObservation({ host: SECONDARY }),
  });
  const board: Epoch = { number: 7, id: 'e7', active: PRIMARY };

  test.each<[string, Epoch | null, SeenRow | null, string | null]>([
    ['no row', board, null, null],
    ['a row that was never claimed', board, aRow({}), null],
    ['a row that does not know yet', board, aRow({ epoch: [6, SECONDARY], opened: 5 }), null],
    ['a row that knows as much', board, aRow({ epoch: [7, PRIMARY], opened: 7 }), null],
    ['a row that knows more', board, aRow({ epoch: [8, SECONDARY], opened: 5 }), 'knows decision 8'],
    ['another id of the number', board, aRow({ epoch: [7, PRIMARY], id: 'other' }), 'another decision of that number'],
    ['another active of the number', board, aRow({ epoch: [7, SECONDARY] }), 'another decision of that number'],
    [
      'an opening by another id',
      board,
      { ...aRow({ epoch: [7, PRIMARY] }), opened: { number: 7, id: 'x', startedSec: 1 } },
      'was opened by another',
    ],
    ['an empty board and no claim', null, aRow({}), null],
    ['an empty board', null, aRow({ epoch: [1, PRIMARY] }), 'the board names no decision'],
  ])('%s', (_name, epoch, row, said) => {
    for (const both of [at(row), { primary: anObservation({}), secondary: anObservation({ host: SECONDARY, row }) }]) {
      const why = whyOlder(epoch, both);
      if (said === null) expect(why).toBeNull();
      else expect(why).toContain(said);
    }
  });

  test('the highest number is that of any server, claimed or opened, also by an old look', () => {
    const old = anObservation({ host: SECONDARY, atMs: NOW_MS - 90_000, row: aRow({ epoch: [9, PRIMARY] }) });
    expect(
      highestIn({ primary: anObservation({ row: aRow({ epoch: [3, PRIMARY], opened: 4 }) }), secondary: null }),
    ).toBe(4);
    expect(highestIn({ primary: null, secondary: old })).toBe(9);
    expect(highestIn({ primary: anObservation({}), secondary: null })).toBe(0);
  });
});

// Decisions for a pair with a safety on, beside those of rows.test.ts: the word of the lease, the host that nobody fenced, the server that is
// another one. What holds for every pair is in the other decide tests.

import { describe, expect, test } from 'vitest';
import { decide } from '../../src/core/decide.ts';
import type { Observation, SeenRow } from '../../src/core/observation.ts';
import { type Epoch, type Host, otherHost, rolesWith } from '../../src/core/pair.ts';
import { type DecideInput, type DecideState, FIRST_STATE, type Guarded } from '../../src/core/scene.ts';
import { anObservation, aPair, NOW_MS, PRIMARY, SECONDARY } from '../support/build.ts';
import { aRow } from '../support/rows.ts';

const PAIR = aPair();
type Look = NonNullable<Parameters<typeof anObservation>[0]>;
const ACTIVE: Look = { connections: 3 };
const PASSIVE: Look = { readOnly: true, connections: 0 };
const SILENT: Look = { failure: 'silent', goneLooks: 2 };
const DEAD: Look = { failure: 'refused', connectionBroke: true, goneLooks: 2 };
const DEAF: Look = { ...PASSIVE, io: 'Connecting', replicationOk: false };
const HEARS: Look = { ...PASSIVE, hearing: { silentMs: 400, heartbeatMs: 1_000 } };
const EPOCH: Epoch = { number: 7, id: 'e7', active: PRIMARY };
const CAUGHT_UP = { ...FIRST_STATE, caughtUpSinceMs: { primary: NOW_MS - 3_600_000, secondary: NOW_MS - 3_600_000 } };

const QUIET: Guarded = {
  lease: 'finite',
  verdict: { kind: 'unknown', why: 'nothing is known of the lease' },
  behind: null,
  known: EPOCH,
  strangers: new Map(),
  lossless: null,
  unopened: false,
};

function answer(
  primary: Look | null,
  secondary: Look | null,
  guarded: Partial<Guarded> | null,
  over: Partial<DecideInput> = {},
) {
  const look = (host: Host, choices: Look | null): Observation | null =>
    choices === null ? null : anObservation({ host, ...choices });
  return decide({
    pair: PAIR,
    roles: rolesWith(PAIR, PRIMARY),
    epoch: EPOCH,
    observations: { primary: look(PRIMARY, primary), secondary: look(SECONDARY, secondary) },
    policy: { tryTimes: 2, freshMs: 30_000, pacing: { minFailoverIntervalSec: 60, failback: 'auto' } },
    past: { changedAtMs: null, preferred: null },
    pause: null,
    failed: null,
    giveBack: null,
    guarded: guarded === null ? null : { ...QUIET, ...guarded },
    nowMs: NOW_MS,
    state: CAUGHT_UP,
    ...over,
  });
}

const LOOKS: readonly (Look | null)[] = [
  null,
  ACTIVE,
  PASSIVE,
  SILENT,
  DEAD,
  DEAF,
  HEARS,
  { failure: 'saturated' },
  { ...ACTIVE, connections: 0 },
  { ...PASSIVE, connections: 2 },
  { ...PASSIVE, delaySec: 9 },
  { ...PASSIVE, atMs: NOW_MS - 40_000 },
];

describe('while nothing is known of lease and rows', () => {
  test('each combination of two hosts is decided as for any other pair', () => {
    const kinds = new Set<string>();
    for (const one of LOOKS) {
      for (const other of LOOKS) {
        for (const active of [PRIMARY, SECONDARY, null]) {
          const over = { roles: active === null ? null : rolesWith(PAIR, active) };
          const plain = answer(one, other, null, over);
          kinds.add(plain.kind);
          const { state, ...decided } = answer(one, other, {}, over);
          const { state: plainState, ...wanted } = plain;
          expect(decided, JSON.stringify({ one, other, active })).toEqual(wanted);
          expect(state.pending).toEqual(plainState.pending);
        }
      }
    }
    expect(kinds).toEqual(new Set(['keep', 'adopt', 'change']));
  });

  test('a second death within min_failover_interval fails over, with a loud word', () => {
    const past = { changedAtMs: NOW_MS - 12_000, preferred: null };
    const decided = answer(DEAD, DEAF, {}, { past });
    expect(decided).toMatchObject({ kind: 'change', roles: { active: SECONDARY }, hasty: true });
    expect(decided.reasons.join()).toContain('THE SECOND CHANGE WITHIN 60 s');
  });
});

describe('a silent active that its passive still hears', () => {
  const closed = { verdict: { kind: 'closed', why: 'nobody has renewed it' } } as const;

  test('is left alone while the lease tells nothing', () => {
    expect(answer(SILENT, HEARS, {}).kind).toBe('keep');
  });

  test('is failed over when it has closed itself, and the reasons say so', () => {
    const decided = answer(SILENT, HEARS, closed);
    expect(decided).toMatchObject({ kind: 'change', roles: { active: SECONDARY } });
    expect(decided.reasons).toContain('nobody has renewed it');
  });

  test('needs its confirmations all the same, and no pause', () => {
    expect(answer({ ...SILENT, goneLooks: 1 }, HEARS, closed).kind).toBe('keep');
    expect(answer(SILENT, HEARS, closed, { pause: { by: 'dba', atMs: NOW_MS, untilMs: null } }).kind).toBe('keep');
  });

  test('is not failed over when it answers, closed as it is: it is opened again', () => {
    expect(answer({ ...PASSIVE, connections: 3 }, HEARS, closed).kind).toBe('keep');
  });

  test('that is only presumed to be the active is not failed over: the lease is not about it', () => {
    expect(answer(SILENT, HEARS, closed, { roles: null, epoch: null }).kind).toBe('keep');
    expect(answer(SILENT, HEARS, closed, { roles: rolesWith(PAIR, SECONDARY) }).kind).toBe('keep');
  });
});

describe('a silent active whose lease is being renewed', () => {
  const renewed = { verdict: { kind: 'renewed', why: 'agents renew its lease' } } as const;

  test.each<[string, Look]>([
    ['heard or not', HEARS],
    ['by a passive that lost it, too', DEAF],
    ['by a passive with its threads stopped', { ...PASSIVE, io: 'No', sql: 'No', replicationOk: false }],
  ])('is alive: nothing changes, %s', (_name, passive) => {
    const decided = answer(SILENT, passive, renewed);
    expect(decided.kind).toBe('keep');
    // The rounds go on counting, so that the failover comes with the end of the renewals.
    expect(decided.state.pending).toMatchObject({ to: SECONDARY });
    expect(answer(SILENT, DEAF, {}, { state: decided.state }).kind).toBe('change');
  });

  test('is dead when its server is certainly gone: the last renewal is a moment old', () => {
    expect(answer(DEAD, DEAF, renewed)).toMatchObject({ kind: 'change', roles: { active: SECONDARY } });
  });
});

describe('what a Perl monitor alone says of a host that is gone', () => {
  const perl = { ...SILENT, observer: '', goneLooks: 0 };
  const pending = { ...CAUGHT_UP, pending: { to: SECONDARY, from: PRIMARY, epochId: 'e7', rounds: 5 } };

  test('is no death while a safety is on', () => {
    expect(answer(perl, { ...DEAF, observer: '' }, null, { state: pending }).kind).toBe('change');
    const decided = answer(perl, { ...DEAF, observer: '' }, {}, { state: pending });
    expect(decided.kind).toBe('keep');
    expect(decided.reasons.join()).toContain('only a Perl monitor looks at');
  });

  test('counts when it is that the host answers', () => {
    expect(answer({ ...ACTIVE, observer: '' }, { ...PASSIVE, observer: '' }, {})).toMatchObject({
      kind: 'keep',
      state: { pending: null },
    });
    expect(answer({ ...ACTIVE, observer: '' }, { ...PASSIVE, observer: '' }, {}).reasons[0]).toContain('stays active');
  });
});

/** Decision 7 gave the role to the primary, because the secondary, opened by decision 5, had fallen silent. */
describe('a former active that nobody could fence', () => {
  const state = { ...CAUGHT_UP, missed: { host: SECONDARY, epochId: 'e7' } };
  const former = (over: Partial<SeenRow> = {}): Look => ({
    ...ACTIVE,
    row: { ...aRow({ epoch: [5, SECONDARY], opened: 5 }), ...over },
  });
  const claimed: Look = { ...PASSIVE, row: aRow({ epoch: [7, PRIMARY], opened: 3 }) };
  const held = { unopened: true };

  test.each<[string, Look, Look]>([
    ['under an endless lease', claimed, former({ lease: 'endless' })],
    ['under its last lease', claimed, former()],
    ['with the new decision claimed there, too', claimed, former({ epoch: EPOCH })],
    ['beside a host that never was opened', { ...PASSIVE, row: aRow({ epoch: [7, PRIMARY] }) }, former()],
  ])('gets the role back as the writer that it still is, %s', (_name, chosen, back) => {
    const decided = answer(chosen, back, held, { state });
    expect(decided).toMatchObject({ kind: 'change', roles: { active: SECONDARY } });
    expect(decided.reasons.join()).toContain('answers again and takes writes as before');
  });

  test.each<[string, Look, Look, Partial<Guarded> | null, Partial<DecideInput>]>([
    ['no agent has come to the change yet: the host was not missed', claimed, former(), held, { state: CAUGHT_UP }],
    [
      'it was missed under another decision',
      claimed,
      former(),
      held,
      { state: { ...state, missed: { host: SECONDARY, epochId: 'e6' } } },
    ],
    ['the other host was opened, by the board', claimed, former(), { unopened: false }, { state }],
    [
      'the other host was opened, by its row',
      { ...PASSIVE, row: aRow({ epoch: [7, PRIMARY], opened: 7 }) },
      former(),
      held,
      { state },
    ],
    ['the other host is open', { ...claimed, readOnly: false }, former(), held, { state }],
    [
      'the other host was opened later before',
      { ...PASSIVE, row: aRow({ epoch: [7, PRIMARY], opened: 6 }) },
      former(),
      held,
      { state },
    ],
    ['it is closed', claimed, { ...former(), readOnly: true }, held, { state }],
    ['nobody knows whether it is closed', claimed, { ...former(), readOnly: null }, held, { state }],
    ['it was not opened by us', claimed, former({ opened: null }), held, { state }],
    ['it is open without a lease', claimed, former({ lease: 'none' }), held, { state }],
    ['it has no row', claimed, { ...ACTIVE, row: null }, held, { state }],
    [
      'it was opened by this very decision',
      claimed,
      former({ opened: { number: 7, id: 'e7', startedSec: 1 } }),
      held,
      { state },
    ],
    ['the other host does not answer', SILENT, former(), held, { state }],
    [
      'it is another server',
      claimed,
      former(),
      { ...held, strangers: new Map([[SECONDARY, 'another one']]) },
      { state },
    ],
    ['the pair has no safety', claimed, former(), null, { state }],
  ])('does not get it back by that when %s', (_name, chosen, back, guarded, over) => {
    const decided = answer(chosen, back, guarded, over);
    expect(decided.reasons.join()).not.toContain('the role goes back');
    if (decided.kind === 'change') expect(decided.roles.active).toBe(SECONDARY);
  });

  test('is missed from the round in which it is gone, for as long as the decision stands', () => {
    let { state: memory } = answer(claimed, SILENT, held);
    expect(memory.missed).toEqual({ host: SECONDARY, epochId: 'e7' });
    memory = answer(claimed, { failure: 'saturated' }, held, { state: memory }).state;
    expect(memory.missed).toEqual({ host: SECONDARY, epochId: 'e7' });
    expect(answer(claimed, former(), held, { state: memory })).toMatchObject({ kind: 'change' });
    const next = { epoch: { ...EPOCH, number: 8, id: 'e8' }, state: memory };
    expect(answer(claimed, former(), held, next).state.missed).toBeNull();
  });

  test('keeps the role decided as long as it is away: nothing flaps', () => {
    let memory: DecideState = state;
    for (let round = 0; round < 5; round++) {
      const decided = answer(claimed, SILENT, held, { state: memory });
      expect(decided).toMatchObject({ kind: 'keep', roles: { active: PRIMARY } });
      memory = decided.state;
    }
  });
});

describe('another server behind the address of a member', () => {
  const SENTENCE = 'it IS ANOTHER SERVER';
  const is = (host: Host) => ({ strangers: new Map([[host, SENTENCE]]) });

  test('never gets the role, whatever the combination, and everybody is told', () => {
    let barred = 0;
    for (const one of LOOKS) {
      for (const other of LOOKS) {
        for (const active of [PRIMARY, SECONDARY, null]) {
          for (const stranger of [PRIMARY, SECONDARY]) {
            const over = {
              roles: active === null ? null : rolesWith(PAIR, active),
              giveBack: active === null ? null : { to: otherHost(PAIR, active), why: 'test' },
            };
            for (const giveBack of [null, over.giveBack]) {
              const decided = answer(one, other, is(stranger), { ...over, giveBack });
              const told = JSON.stringify({ one, other, active, stranger, giveBack });
              expect(decided.reasons, told).toContain(SENTENCE);
              if (decided.kind !== 'keep') expect(decided.roles.active, told).not.toBe(stranger);
              if (answer(one, other, {}, { ...over, giveBack }).kind !== decided.kind) barred += 1;
            }
          }
        }
      }
    }
    expect(barred).toBeGreaterThan(50);
  });

  test('keeps a role that it has while it takes writes: nothing is changed without an operator', () => {
    const followed = answer({ ...ACTIVE, connections: 0 }, { ...PASSIVE, connections: 4 }, {}, { state: confirmed() });
    expect(followed.kind).toBe('change');
    const decided = answer({ ...ACTIVE, connections: 0 }, { ...PASSIVE, connections: 4 }, is(PRIMARY), {
      state: confirmed(),
    });
    expect(decided).toMatchObject({ kind: 'keep', roles: { active: PRIMARY } });
  });

  test('loses it when it is closed, like a host that is gone: what the stranger holds is nobody’s loss', () => {
    const decided = answer({ ...PASSIVE, connections: 0 }, PASSIVE, is(PRIMARY), { state: confirmed() });
    expect(decided).toMatchObject({ kind: 'change', roles: { active: SECONDARY } });
    const lost = { ...PASSIVE, replicationOk: false, io: 'Connecting' } as const;
    expect(answer(PASSIVE, lost, is(PRIMARY), { state: confirmed() }).kind).toBe('change');
    expect(answer(PASSIVE, lost, {}, { state: confirmed() }).kind).toBe('keep');
  });

  test('as the passive leaves nobody to fail over to', () => {
    expect(answer(DEAD, DEAF, is(SECONDARY)).kind).toBe('keep');
    expect(answer(DEAD, DEAF, {}).kind).toBe('change');
  });
});

function confirmed() {
  return { ...CAUGHT_UP, pending: { to: SECONDARY, from: PRIMARY, epochId: 'e7', rounds: 9 } };
}

describe('a planned change to a host whose EVENT does not tick', () => {
  const toSecondary: [Look, Look] = [
    { ...ACTIVE, connections: 0 },
    { ...PASSIVE, connections: 4, row: aRow({ armed: false }) },
  ];

  test('is held where it would be opened with a lease, and only there', () => {
    const held = answer(...toSecondary, {}, { state: confirmed() });
    expect(held.kind).toBe('keep');
    expect(held.reasons.join()).toContain('does not tick');
    expect(answer(...toSecondary, { lease: 'endless' }, { state: confirmed() }).kind).toBe('change');
  });

  test('does not hold up a failover', () => {
    expect(answer(DEAD, { ...DEAF, row: aRow({ armed: false }) }, {}).kind).toBe('change');
  });
});

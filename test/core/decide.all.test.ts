// Every combination of two host states, previous roles and confirmations, judged by the contract's rules written a second
// time, plainly. It imports nothing of rules.ts or death.ts on purpose: two readings of one text, compared.

import { describe, expect, test } from 'vitest';
import { decide } from '../../src/core/decide.ts';
import type { Observation } from '../../src/core/observation.ts';
import type { Failback } from '../../src/core/pacing.ts';
import { type Host, otherHost, rolesWith } from '../../src/core/pair.ts';
import type { DecideState } from '../../src/core/scene.ts';
import { anObservation, aPair, NOW_MS } from '../support/build.ts';

const PAIR = aPair();
type Side = 'primary' | 'secondary';

interface Known {
  readonly unreachable: boolean;
  readonly readOnly: boolean;
  readonly error: boolean;
  readonly delayed: boolean;
  readonly idle: boolean;
}
type State = 'missing' | 'stale' | Known;

const STATES: readonly State[] = [
  'missing',
  'stale',
  ...Array.from({ length: 32 }, (_, bits) => ({
    unreachable: (bits & 1) !== 0,
    readOnly: (bits & 2) !== 0,
    error: (bits & 4) !== 0,
    delayed: (bits & 8) !== 0,
    idle: (bits & 16) !== 0,
  })),
];

/** Of an unreachable host four bits mean nothing to the rules; here they say in which way it is unreachable. */
function observed(host: Host, state: State): Observation | null {
  if (state === 'missing') return null;
  if (state === 'stale') return anObservation({ host, atMs: NOW_MS - 30_001 });
  if (state.unreachable) {
    return anObservation({ host, failure: state.readOnly ? 'refused' : 'silent', connectionBroke: state.error });
  }
  return anObservation({
    host,
    readOnly: state.readOnly,
    replicationOk: !state.error,
    io: state.error ? 'Connecting' : 'Yes',
    delaySec: state.delayed ? 12 : 0,
    connections: state.idle ? 0 : 3,
  });
}

interface Case {
  readonly primary: State;
  readonly secondary: State;
  readonly active: Side | null;
  readonly remembered: Side | null;
  readonly confirmed: number;
  readonly tryTimes: number;
  readonly pace: Pace;
}

/** What slows planned changes down. */
interface Pace {
  /** How long both hosts have been caught up. */
  readonly steadySec: number;
  /** How long ago the role changed, with a min_failover_interval of 60 s; null: unknown. */
  readonly changedSec: number | null;
  readonly failback: Failback;
  readonly preferred: boolean;
  readonly paused: boolean;
}

const UNHURRIED: Pace = { steadySec: 3600, changedSec: null, failback: 'auto', preferred: false, paused: false };

interface Answer {
  readonly kind: 'keep' | 'adopt' | 'change';
  readonly active: Side | null;
  /** Rounds that agree on a winner who is not active. */
  readonly rounds: number;
}

function cannotBeActive(me: Known, other: Known): boolean {
  if (me.unreachable) return true; // 1
  if (other.unreachable) return false; // the others compare two living hosts
  if (me.readOnly && me.delayed) return true; // 2
  if (me.error && other.error && me.idle) return true; // 3
  if (me.delayed) return true; // 4
  return me.idle && !other.idle; // 5
}

function winnerOf(primary: Known, secondary: Known): Side | null {
  if (!cannotBeActive(primary, secondary)) return 'primary';
  if (!cannotBeActive(secondary, primary)) return 'secondary';
  return null;
}

function expected(c: Case): Answer {
  const answer = expectedUnpaused(c);
  return c.pace.paused ? { kind: 'keep', active: c.active, rounds: answer.rounds } : answer;
}

function expectedUnpaused({ primary, secondary, active, remembered, confirmed, tryTimes, pace }: Case): Answer {
  const keep: Answer = { kind: 'keep', active, rounds: 0 };
  if (typeof primary === 'string' || typeof secondary === 'string') return keep;
  const hosts = { primary, secondary };
  const sides: readonly Side[] = ['primary', 'secondary'];
  const living = sides.filter((side) => !hosts[side].unreachable);
  const winner = winnerOf(primary, secondary);
  if (living.length === 0) return keep;

  if (active === null) {
    const writable = living.filter((side) => !hosts[side].readOnly);
    const adopt = (side: Side): Answer => ({ ...keep, kind: 'adopt', active: side });
    if (writable.length === 1 && writable[0] !== undefined) return adopt(writable[0]);
    if (remembered !== null && living.includes(remembered)) return adopt(remembered);
  }
  if (winner === null || winner === active) return keep;

  if (active !== null && living.length === 2) {
    const swappedByHand = hosts[active].readOnly && !hosts[winner].readOnly;
    if (hosts[winner].error && !swappedByHand) return keep;
    if (pace.preferred && active === 'secondary') return keep;
    const eitherWouldDo = !cannotBeActive(primary, secondary) && !cannotBeActive(secondary, primary);
    if (eitherWouldDo && pace.failback === 'never') return keep;
    const steadyForSec = eitherWouldDo && typeof pace.failback === 'number' ? pace.failback : 5;
    const clientsWait = hosts[winner].readOnly && !hosts[winner].idle;
    const tooSoon = !clientsWait && pace.changedSec !== null && pace.changedSec < 60;
    if (tooSoon || (!swappedByHand && pace.steadySec < steadyForSec)) return { ...keep, rounds: confirmed + 1 };
  }
  const rounds = confirmed + 1;
  if (rounds >= tryTimes) return { kind: 'change', active: winner, rounds };
  return { kind: 'keep', active, rounds };
}

function isFailover({ primary, secondary, active }: Case): boolean {
  const state = active === 'primary' ? primary : secondary;
  return active !== null && typeof state !== 'string' && state.unreachable;
}

/** Confirmations so far are for whoever could take over: the one who is not active, or without roles the one who would win. */
function candidate({ primary, secondary, active }: Case): Host {
  if (active !== null) return otherHost(PAIR, PAIR[active]);
  if (typeof primary === 'string' || typeof secondary === 'string') return PAIR.primary;
  return PAIR[winnerOf(primary, secondary) ?? 'primary'];
}

function answer(c: Case): Answer {
  const state: DecideState = {
    pending: {
      to: candidate(c),
      from: c.active === null ? null : PAIR[c.active],
      epochId: null,
      rounds: c.confirmed,
    },
    remembered: c.remembered === null ? null : rolesWith(PAIR, PAIR[c.remembered]),
    seenMs: { primary: NOW_MS - 3000, secondary: NOW_MS - 3000 },
    caughtUpSinceMs: { primary: NOW_MS - 1000 * c.pace.steadySec, secondary: NOW_MS - 1000 * c.pace.steadySec },
    missed: null,
  };
  const decided = decide({
    pair: PAIR,
    roles: c.active === null ? null : rolesWith(PAIR, PAIR[c.active]),
    epoch: null,
    observations: { primary: observed(PAIR.primary, c.primary), secondary: observed(PAIR.secondary, c.secondary) },
    policy: {
      tryTimes: c.tryTimes,
      freshMs: 30_000,
      pacing: { minFailoverIntervalSec: 60, failback: c.pace.failback },
    },
    past: {
      changedAtMs: c.pace.changedSec === null ? null : NOW_MS - 1000 * c.pace.changedSec,
      preferred: c.pace.preferred ? PAIR.secondary : null,
    },
    pause: c.pace.paused ? { by: 'dba', atMs: NOW_MS, untilMs: null } : null,
    failed: null,
    giveBack: null,
    guarded: null,
    nowMs: NOW_MS,
    state,
  });
  const host = decided.roles?.active;
  return {
    kind: decided.kind,
    active: host === undefined ? null : host === PAIR.primary ? 'primary' : 'secondary',
    rounds: decided.state.pending?.rounds ?? 0,
  };
}

function allCases(
  roles: readonly Pick<Case, 'active' | 'remembered'>[],
  confirmations: readonly number[],
  tryTimes: number,
  pace: Pace = UNHURRIED,
) {
  return STATES.flatMap((primary) =>
    STATES.flatMap((secondary) =>
      roles.flatMap((role) =>
        confirmations.map((confirmed) => ({ primary, secondary, ...role, confirmed, tryTimes, pace })),
      ),
    ),
  );
}

/** The first few cases in which the code and the contract differ, and how often each kind of answer occurred. */
function compare(cases: readonly Case[]) {
  const counts = { keep: 0, adopt: 0, change: 0 };
  const different: { case: Case; contract: Answer; code: Answer }[] = [];
  for (const c of cases) {
    const contract = expected(c);
    const code = answer(c);
    counts[code.kind] += 1;
    const same = code.kind === contract.kind && code.active === contract.active && code.rounds === contract.rounds;
    if (!same) different.push({ case: c, contract, code });
  }
  return { different: different.slice(0, 5), counts };
}

describe('34 x 34 host states x 3 previous roles x 3 confirmations', () => {
  const ROLES = [null, 'primary', 'secondary'] as const;
  const roles = ROLES.map((active) => ({ active, remembered: null }));

  test.each([2, 3])('are decided as the contract says, with try_times %i', (tryTimes) => {
    const cases = allCases(roles, [0, 1, 2], tryTimes);
    expect(cases).toHaveLength(10_404);
    const { different, counts } = compare(cases);
    expect(different).toEqual([]);
    expect(Math.min(counts.keep, counts.adopt, counts.change)).toBeGreaterThan(300);
  });

  const paces: readonly Partial<Pace>[] = [
    { steadySec: 4 },
    { changedSec: 59 },
    { changedSec: 60 },
    { failback: 'never' },
    { failback: 100, steadySec: 99 },
    { failback: 100, steadySec: 100 },
    { preferred: true },
    { paused: true },
  ];

  test.each(paces)('are decided as the contract says, slowed down by %o', (pace) => {
    const cases = allCases(roles, [1], 2, { ...UNHURRIED, ...pace });
    expect(compare(cases).different).toEqual([]);
    const slowed = cases.filter((c) => expected(c).kind !== expected({ ...c, pace: UNHURRIED }).kind);
    // Each of them matters, save the two that stand at the end of a wait.
    expect(slowed.length > 0).toBe(!(pace.changedSec === 60 || pace.steadySec === 100));
    // None of them keeps a dead active in the role.
    if (!pace.paused) expect(slowed.filter(isFailover)).toEqual([]);
  });

  test('are decided as the contract says when Redis lost roles that are remembered', () => {
    const cases = allCases(
      [
        { active: null, remembered: 'primary' },
        { active: null, remembered: 'secondary' },
      ],
      [1],
      2,
    );
    expect(cases).toHaveLength(2312);
    const { different, counts } = compare(cases);
    expect(different).toEqual([]);
    expect(Math.min(counts.keep, counts.adopt, counts.change)).toBeGreaterThan(100);
  });
});

// Decisions that take several rounds: what one round leaves to the next. Single rounds are in decisions.txt.

import { describe, expect, test } from 'vitest';
import { decide } from '../../src/core/decide.ts';
import { NO_TERMS } from '../../src/core/decision.ts';
import type { Pacing } from '../../src/core/pacing.ts';
import type { Epoch, Host } from '../../src/core/pair.ts';
import { rolesWith } from '../../src/core/pair.ts';
import { type DecideInput, type DecideState, FIRST_STATE } from '../../src/core/scene.ts';
import { anObservation, aPair, NOW_MS, PRIMARY, SECONDARY } from '../support/build.ts';

const PAIR = aPair();
const PACING: Pacing = { minFailoverIntervalSec: 60, failback: 'auto' };
/** Both hosts have been caught up for an hour. */
const STEADY_STATE: DecideState = {
  ...FIRST_STATE,
  caughtUpSinceMs: { primary: NOW_MS - 3_600_000, secondary: NOW_MS - 3_600_000 },
};

type Look = Parameters<typeof anObservation>[0];

const GONE: Look = { failure: 'silent' };
const PASSIVE: Look = { readOnly: true, connections: 0 };
const ACTIVE: Look = {};

/** An identify that keeps its state from one round to the next, on a board whose primary is active. */
function anIdentify(steady: DecideState = STEADY_STATE) {
  let state = steady;
  let atMs = NOW_MS;
  function see(
    primary: Look,
    secondary: Look,
    over: Partial<DecideInput>,
    dates: { primary: number; secondary: number },
  ) {
    const decided = decide({
      pair: PAIR,
      roles: rolesWith(PAIR, PRIMARY),
      epoch: anEpoch('one', PRIMARY),
      observations: {
        primary: anObservation({ ...primary, atMs: dates.primary }),
        secondary: anObservation({ host: SECONDARY, ...secondary, atMs: dates.secondary }),
      },
      policy: { tryTimes: 2, freshMs: 30_000, pacing: PACING },
      past: NO_TERMS,
      pause: null,
      failed: null,
      giveBack: null,
      guarded: null,
      nowMs: atMs,
      state,
      ...over,
    });
    state = decided.state;
    return decided;
  }
  return {
    /** The monitor looked at both hosts anew. */
    round(primary: Look, secondary: Look, over: Partial<DecideInput> = {}) {
      atMs += 1000;
      return see(primary, secondary, over, { primary: atMs, secondary: atMs });
    },
    /** Woken without anything new on the board. */
    again(primary: Look, secondary: Look, over: Partial<DecideInput> = {}) {
      return see(primary, secondary, over, { primary: atMs, secondary: atMs });
    },
    /** The monitor has written the primary, and not yet the secondary. */
    half(primary: Look, secondary: Look) {
      const before = atMs;
      atMs += 1000;
      return see(primary, secondary, {}, { primary: atMs, secondary: before });
    },
    /** The monitor has now written the secondary too. */
    otherHalf(primary: Look, secondary: Look) {
      return see(primary, secondary, {}, { primary: atMs, secondary: atMs });
    },
  };
}

function anEpoch(id: string, active: Host): Epoch {
  return { number: 4, id, active };
}

describe('confirmations', () => {
  test('the second of two rounds that agree changes the role', () => {
    const identify = anIdentify();
    expect(identify.round(GONE, PASSIVE).kind).toBe('keep');
    expect(identify.round(GONE, PASSIVE)).toMatchObject({
      kind: 'change',
      roles: { active: SECONDARY, passive: PRIMARY },
    });
  });

  test('a round that is looked at twice counts once', () => {
    const identify = anIdentify();
    identify.round(GONE, PASSIVE);
    expect(identify.again(GONE, PASSIVE).kind).toBe('keep');
    expect(identify.again(GONE, PASSIVE).kind).toBe('keep');
    expect(identify.round(GONE, PASSIVE).kind).toBe('change');
  });

  test('a round that a Perl monitor writes in two halves counts once', () => {
    const identify = anIdentify();
    identify.round(ACTIVE, PASSIVE);
    expect(identify.half(GONE, PASSIVE).state.pending?.rounds).toBe(0);
    expect(identify.otherHalf(GONE, PASSIVE).state.pending?.rounds).toBe(1);
    expect(identify.half(GONE, PASSIVE)).toMatchObject({ kind: 'keep', state: { pending: { rounds: 1 } } });
    expect(identify.otherHalf(GONE, PASSIVE).kind).toBe('change');
  });

  test('observations dated before the last ones count too, for a clock may jump back', () => {
    const identify = anIdentify();
    identify.round(GONE, PASSIVE);
    const jumped = { nowMs: NOW_MS - 3_600_000 };
    const observations = {
      primary: anObservation({ ...GONE, atMs: jumped.nowMs }),
      secondary: anObservation({ host: SECONDARY, ...PASSIVE, atMs: jumped.nowMs }),
    };
    expect(identify.again(GONE, PASSIVE, { ...jumped, observations }).kind).toBe('change');
  });

  test.each<[string, Look, Look]>([
    ['in which the active answers', ACTIVE, PASSIVE],
    ['in which the active is alive and unreadable', { failure: 'saturated' }, PASSIVE],
    ['in which both hosts are gone', GONE, GONE],
  ])('a round in between %s starts them again', (_name, primary, secondary) => {
    const identify = anIdentify();
    identify.round(GONE, PASSIVE);
    expect(identify.round(primary, secondary)).toMatchObject({ kind: 'keep', state: { pending: null } });
    expect(identify.round(GONE, PASSIVE).kind).toBe('keep');
    expect(identify.round(GONE, PASSIVE).kind).toBe('change');
  });

  test('a stale round in between starts them again', () => {
    const identify = anIdentify();
    identify.round(GONE, PASSIVE);
    expect(identify.again(GONE, PASSIVE, { nowMs: NOW_MS + 60_000 }).state.pending).toBeNull();
    expect(identify.round(GONE, PASSIVE).kind).toBe('keep');
  });

  test('another winner in between starts them again', () => {
    const identify = anIdentify();
    const lost = { roles: null, epoch: null };
    identify.round(GONE, PASSIVE, lost);
    expect(identify.round(PASSIVE, GONE, lost)).toMatchObject({
      kind: 'keep',
      state: { pending: { to: PRIMARY, rounds: 1 } },
    });
    expect(identify.round(GONE, PASSIVE, lost)).toMatchObject({
      kind: 'keep',
      state: { pending: { to: SECONDARY, rounds: 1 } },
    });
  });

  test('another epoch on the board starts them again', () => {
    const identify = anIdentify();
    identify.round(GONE, PASSIVE);
    expect(identify.round(GONE, PASSIVE, { epoch: anEpoch('two', PRIMARY) }).kind).toBe('keep');
    expect(identify.round(GONE, PASSIVE, { epoch: anEpoch('two', PRIMARY) }).kind).toBe('change');
  });

  test('an active that a Perl identify, which knows no epochs, names in between starts them again', () => {
    const identify = anIdentify();
    identify.round(GONE, PASSIVE, { roles: null, epoch: null });
    expect(identify.round(GONE, PASSIVE, { epoch: null })).toMatchObject({
      kind: 'keep',
      state: { pending: { from: PRIMARY, to: SECONDARY, rounds: 1 } },
    });
  });

  test('a change that could not be written is decided again at once, without new observations', () => {
    const identify = anIdentify();
    identify.round(GONE, PASSIVE);
    expect(identify.round(GONE, PASSIVE).kind).toBe('change');
    expect(identify.again(GONE, PASSIVE).kind).toBe('change');
  });

  test('a change that was written ends them', () => {
    const identify = anIdentify();
    identify.round(GONE, PASSIVE);
    identify.round(GONE, PASSIVE);
    const written = { roles: rolesWith(PAIR, SECONDARY), epoch: anEpoch('two', SECONDARY) };
    expect(identify.again(GONE, PASSIVE, written)).toMatchObject({ kind: 'keep', state: { pending: null } });
  });

  test('rounds of a planned change that is held do not count', () => {
    const identify = anIdentify();
    const idle: Look = { connections: 0 };
    const used: Look = { readOnly: true, connections: 4 };
    const failed = { failed: { host: SECONDARY, untilMs: NOW_MS + 60_000 } };
    expect(identify.round(idle, used, failed).state.pending).toBeNull();
    expect(identify.round(idle, used, failed).state.pending).toBeNull();
    expect(identify.round(idle, used).kind).toBe('keep');
    expect(identify.round(idle, used).kind).toBe('change');
  });
});

describe('a change that nobody is in a hurry for', () => {
  const onSecondary = { roles: rolesWith(PAIR, SECONDARY), epoch: anEpoch('one', SECONDARY) };
  const tie: [Look, Look] = [{ ...PASSIVE, connections: 2 }, ACTIVE];

  test('comes when the other host has been caught up for five seconds, and rounds count meanwhile', () => {
    const identify = anIdentify(FIRST_STATE);
    for (let second = 0; second < 5; second++) {
      expect(identify.round(...tie, onSecondary).kind, `${second} s`).toBe('keep');
    }
    expect(identify.round(...tie, onSecondary)).toMatchObject({ kind: 'change', roles: { active: PRIMARY } });
  });

  test.each<[string, Look]>([
    ['is delayed', { ...PASSIVE, connections: 2, delaySec: 1 }],
    ['stops replicating', { ...PASSIVE, connections: 2, io: 'Connecting' }],
    ['does not answer', GONE],
    ['is not to be read', { failure: 'saturated' }],
  ])('begins to wait again when the other host %s for one round', (_name, look) => {
    const identify = anIdentify();
    identify.round(look, ACTIVE, onSecondary);
    for (let second = 0; second < 5; second++) {
      expect(identify.round(...tie, onSecondary).kind, `${second} s`).toBe('keep');
    }
    expect(identify.round(...tie, onSecondary).kind).toBe('change');
  });

  test('waits no longer than from now on when the clock jumped back', () => {
    const identify = anIdentify();
    const nowMs = NOW_MS - 7_200_000;
    const dates = {
      primary: anObservation({ ...tie[0], atMs: nowMs }),
      secondary: anObservation({ host: SECONDARY, atMs: nowMs }),
    };
    const decided = identify.again(...tie, { ...onSecondary, nowMs, observations: dates });
    expect(decided.state.caughtUpSinceMs.primary).toBe(nowMs);
  });

  test('is decided at once by whoever resumes what was paused', () => {
    const identify = anIdentify();
    const pause = { pause: { by: 'dba', atMs: NOW_MS, untilMs: null } };
    for (let round = 0; round < 4; round++) expect(identify.round(GONE, PASSIVE, pause).kind).toBe('keep');
    expect(identify.again(GONE, PASSIVE).kind).toBe('change');
  });
});

describe('the roles that are remembered', () => {
  const lost = { roles: null, epoch: null };

  test('are the last good ones of the board, when Redis comes back empty', () => {
    const identify = anIdentify();
    identify.round(PASSIVE, ACTIVE, { roles: rolesWith(PAIR, SECONDARY) });
    expect(identify.round(PASSIVE, PASSIVE, lost)).toMatchObject({ kind: 'adopt', roles: { active: SECONDARY } });
  });

  test('are not forgotten over roles that are not of the pair', () => {
    const identify = anIdentify();
    identify.round(PASSIVE, ACTIVE, { roles: rolesWith(PAIR, SECONDARY) });
    const foreign = { roles: { active: '10.9.9.9:1', passive: PRIMARY } } as const;
    expect(identify.round(PASSIVE, PASSIVE, foreign)).toMatchObject({ kind: 'adopt', roles: { active: SECONDARY } });
  });

  test('do not count when they are not of the pair themselves', () => {
    const remembered = rolesWith({ primary: '10.9.9.9:1', secondary: PRIMARY }, '10.9.9.9:1');
    const decided = anIdentify().round(PASSIVE, PASSIVE, { ...lost, state: { ...STEADY_STATE, remembered } });
    expect(decided).toMatchObject({ kind: 'keep', state: { remembered: null, pending: { to: PRIMARY } } });
  });
});

// What holds for every input, found by random search: fast-check prints the seed and the smallest input that breaks it.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Decided, decide } from '../../src/core/decide.ts';
import type { Failure, Observation } from '../../src/core/observation.ts';
import type { Failback } from '../../src/core/pacing.ts';
import { type Host, rolesWith } from '../../src/core/pair.ts';
import { elect, factsOf, UNREACHABLE } from '../../src/core/rules.ts';
import { type DecideInput, type DecideState, FIRST_STATE } from '../../src/core/scene.ts';
import { anObservation, aPair, NOW_MS, PRIMARY, SECONDARY } from '../support/build.ts';

const PAIR = aPair();
const FRESH_MS = 30_000;

const aHost = fc.constantFrom(PRIMARY, SECONDARY);
const aThread = fc.constantFrom('Yes', 'No', 'Connecting', null);
const anAge = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 0, max: 3000 }) },
  { weight: 1, arbitrary: fc.integer({ min: -60_000, max: 60_000 }) },
);

const aFailureKind: fc.Arbitrary<Failure['kind']> = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom<Failure['kind'][]>('refused', 'silent') },
  { weight: 1, arbitrary: fc.constantFrom<Failure['kind'][]>('saturated', 'auth-refused', 'blocked', 'server-error') },
);

function someAnswer(host: Host, atMs: fc.Arbitrary<number> = fc.constant(NOW_MS)): fc.Arbitrary<Observation> {
  return fc
    .record({
      atMs,
      readOnly: fc.constantFrom(true, false, true, false, null),
      replicationOk: fc.boolean(),
      delaySec: fc.constantFrom(0, 0, 7),
      connections: fc.constantFrom(0, 0, 5, -1),
      io: aThread,
      sql: aThread,
    })
    .map((facts) => anObservation({ host, ...facts }));
}

function aLookAt(host: Host): fc.Arbitrary<Observation> {
  const date = anAge.map((ageMs) => NOW_MS - ageMs);
  const failing = fc
    .record({ atMs: date, failure: aFailureKind, connectionBroke: fc.boolean() })
    .map((choices) => anObservation({ host, ...choices }));
  return fc.oneof({ weight: 3, arbitrary: someAnswer(host, date) }, { weight: 1, arbitrary: failing });
}

function perhapsALookAt(host: Host): fc.Arbitrary<Observation | null> {
  return fc.oneof({ weight: 15, arbitrary: aLookAt(host) }, { weight: 1, arbitrary: fc.constant(null) });
}

const someRoles = fc.oneof(
  fc.constant(null),
  aHost.map((active) => rolesWith(PAIR, active)),
);

const anEpoch = fc.oneof(
  fc.constant(null),
  aHost.map((active) => ({ number: 4, id: 'e4', active })),
);

const aDateOfCatchingUp = fc.constantFrom(null, NOW_MS - 4999, NOW_MS - 5000, NOW_MS - 3_600_000);

const aPause = fc.constantFrom(null, NOW_MS - 1, NOW_MS + 1).map((untilMs) => ({ by: 'dba', atMs: NOW_MS, untilMs }));

const aState: fc.Arbitrary<DecideState> = fc.record({
  pending: fc.oneof(
    fc.constant(null),
    fc.record({
      to: aHost,
      from: fc.oneof(fc.constant(null), aHost),
      epochId: fc.constantFrom(null, 'e4', 'e3'),
      rounds: fc.integer({ min: 0, max: 3 }),
    }),
  ),
  remembered: someRoles,
  seenMs: fc.constantFrom({ primary: null, secondary: null }, { primary: NOW_MS - 9000, secondary: NOW_MS - 9000 }),
  caughtUpSinceMs: fc.record({ primary: aDateOfCatchingUp, secondary: aDateOfCatchingUp }),
  missed: fc.constant(null),
});

/** Anything the board and the memory may hold, but no failed switchover to give back: that one asks no rule. */
const anInput: fc.Arbitrary<DecideInput> = fc.record({
  pair: fc.constant(PAIR),
  roles: someRoles,
  epoch: anEpoch,
  observations: fc.record({ primary: perhapsALookAt(PRIMARY), secondary: perhapsALookAt(SECONDARY) }),
  policy: fc.record({
    tryTimes: fc.integer({ min: 2, max: 3 }),
    freshMs: fc.constant(FRESH_MS),
    pacing: fc.record({
      minFailoverIntervalSec: fc.constantFrom(0, 60),
      failback: fc.constantFrom<Failback[]>('auto', 'auto', 'never', 100),
    }),
  }),
  past: fc.record({
    changedAtMs: fc.constantFrom(null, NOW_MS - 59_000, NOW_MS - 3_600_000),
    preferred: fc.constantFrom(null, null, SECONDARY),
  }),
  pause: fc.oneof({ weight: 9, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: aPause }),
  failed: fc.oneof(
    { weight: 5, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: fc.record({ host: aHost, untilMs: fc.constantFrom(NOW_MS - 1, NOW_MS, NOW_MS + 1) }) },
  ),
  giveBack: fc.constant(null),
  guarded: fc.constant(null),
  nowMs: fc.constant(NOW_MS),
  state: aState,
});

const withGiveBack: fc.Arbitrary<DecideInput> = fc
  .tuple(anInput, aHost)
  .map(([input, to]) => ({ ...input, giveBack: { to, why: 'the drain took too long' } }));

/** The secondary is active, both hosts answer, and one round is missing until the rules give the role to the primary. */
const aPlannedChange: fc.Arbitrary<DecideInput> = fc
  .tuple(anInput, someAnswer(PRIMARY), someAnswer(SECONDARY))
  .map(([input, primary, secondary]) => ({
    ...input,
    roles: rolesWith(PAIR, SECONDARY),
    epoch: null,
    observations: { primary, secondary },
    policy: { ...input.policy, tryTimes: 2 },
    state: { ...input.state, pending: { to: PRIMARY, from: SECONDARY, epochId: null, rounds: 1 } },
  }));

const someDates = fc.record({
  primary: fc.constantFrom(NOW_MS - 4, NOW_MS - 3, NOW_MS - 2),
  secondary: fc.constantFrom(NOW_MS - 4, NOW_MS - 3, NOW_MS - 2),
});

function isFresh(observation: Observation | null): observation is Observation {
  return observation !== null && Math.abs(NOW_MS - observation.atMs) <= FRESH_MS;
}

function of(input: DecideInput, host: Host): Observation | null {
  return host === PRIMARY ? input.observations.primary : input.observations.secondary;
}

function bothAreCandidates({ observations: { primary, secondary } }: DecideInput): boolean {
  if (primary === null || secondary === null) return false;
  const facts = ({ evidence }: Observation) => (evidence.kind === 'answered' ? factsOf(evidence.facts) : UNREACHABLE);
  const { obstacles } = elect(facts(primary), facts(secondary));
  return obstacles.primary === null && obstacles.secondary === null;
}

/** The same two hosts, the other one called the primary. */
function swapped(input: DecideInput): DecideInput {
  return {
    ...input,
    pair: { primary: SECONDARY, secondary: PRIMARY },
    observations: { primary: input.observations.secondary, secondary: input.observations.primary },
    state: {
      ...input.state,
      seenMs: { primary: input.state.seenMs.secondary, secondary: input.state.seenMs.primary },
      caughtUpSinceMs: {
        primary: input.state.caughtUpSinceMs.secondary,
        secondary: input.state.caughtUpSinceMs.primary,
      },
    },
  };
}

function essence({ kind, roles, reasons, state }: Decided) {
  return { kind, roles, reasons: reasons.toSorted(), pending: state.pending, remembered: state.remembered };
}

function holds<T extends unknown[]>(property: fc.IPropertyWithHooks<T>): void {
  fc.assert(property, { numRuns: 3000 });
}

describe('whatever the input', () => {
  test('swapping the hosts changes nothing but whom a tie prefers', () => {
    holds(
      fc.property(anInput, (input) => {
        fc.pre(!bothAreCandidates(input));
        expect(essence(decide(swapped(input)))).toEqual(essence(decide(input)));
      }),
    );
  });

  test('a stale or missing observation never causes a change', () => {
    holds(
      fc.property(anInput, (input) => {
        fc.pre(!isFresh(input.observations.primary) || !isFresh(input.observations.secondary));
        expect(decide(input)).toMatchObject({ kind: 'keep', roles: input.roles, state: { pending: null } });
      }),
    );
  });

  test('a host that is alive and unreadable never causes a change', () => {
    holds(
      fc.property(anInput, (input) => {
        const { primary, secondary } = input.observations;
        fc.pre(primary?.evidence.kind === 'unreadable' || secondary?.evidence.kind === 'unreadable');
        expect(decide(input)).toMatchObject({ kind: 'keep', roles: input.roles, state: { pending: null } });
      }),
    );
  });

  test('while the passive still hears the silent host, nobody is opened beside it', () => {
    holds(
      fc.property(
        anInput,
        fc.integer({ min: 0, max: 9 }),
        fc.integer({ min: 0, max: 2_250 }),
        (input, looks, silentMs) => {
          const silent = anObservation({ failure: 'silent', goneLooks: looks });
          const witness = anObservation({ host: SECONDARY, readOnly: true, hearing: { silentMs, heartbeatMs: 1_000 } });
          const decided = decide({ ...input, observations: { primary: silent, secondary: witness } });
          expect(decided.kind).not.toBe('change');
        },
      ),
    );
  });

  test('the same input gives the same answer', () => {
    holds(
      fc.property(anInput, (input) => {
        const before = structuredClone(input);
        expect(decide(input)).toEqual(decide(input));
        expect(input).toEqual(before);
      }),
    );
  });

  test('the same observations again count nothing and change nothing', () => {
    holds(
      fc.property(anInput, (input) => {
        const first = decide(input);
        const again = decide({ ...input, state: first.state });
        expect(again.kind).toBe(first.kind);
        expect(again.roles).toEqual(first.roles);
        const counted = first.state.pending?.rounds ?? 0;
        // Rounds that had agreed before may end here, but none is added.
        expect(again.state.pending?.rounds ?? 0).toBe(counted);
      }),
    );
  });

  test('the role goes only to a host that answers, also when a switchover is taken back', () => {
    holds(
      fc.property(fc.oneof(anInput, withGiveBack), (input) => {
        const decided = decide(input);
        fc.pre(decided.kind !== 'keep');
        const seen = decided.roles === null ? null : of(input, decided.roles.active);
        expect(isFresh(seen)).toBe(true);
        expect(seen?.evidence.kind).toBe('answered');
      }),
    );
  });

  test('a planned change goes only to a host that replicates, or that was made writable by hand', () => {
    holds(
      fc.property(aPlannedChange, (input) => {
        const decided = decide(input);
        const from = input.observations.secondary?.evidence;
        const to = input.observations.primary?.evidence;
        if (decided.kind !== 'change' || from?.kind !== 'answered' || to?.kind !== 'answered') return;
        const byHand = from.facts.readOnly === true && to.facts.readOnly === false;
        const stopped = [to.facts.io, to.facts.sql].some((thread) => thread === 'No' || thread === 'Connecting');
        expect(byHand || (to.facts.replicationOk && !stopped)).toBe(true);
      }),
    );
  });

  test('a change comes in exactly the round that completes try_times, and each round counts once', () => {
    holds(
      fc.property(
        fc.array(someDates, { minLength: 1, maxLength: 10 }),
        fc.integer({ min: 2, max: 4 }),
        (rounds, tryTimes) => {
          let state = FIRST_STATE;
          let last = { primary: 0, secondary: 0 };
          let counted = 0;
          for (const dates of rounds) {
            if (dates.primary !== last.primary && dates.secondary !== last.secondary) {
              last = dates;
              counted += 1;
            }
            const decided = decide({
              pair: PAIR,
              roles: rolesWith(PAIR, PRIMARY),
              epoch: null,
              observations: {
                primary: anObservation({ failure: 'silent', atMs: dates.primary }),
                secondary: anObservation({ host: SECONDARY, readOnly: true, atMs: dates.secondary }),
              },
              policy: { tryTimes, freshMs: FRESH_MS, pacing: { minFailoverIntervalSec: 60, failback: 'auto' } },
              past: { changedAtMs: null, preferred: null },
              pause: null,
              failed: null,
              giveBack: null,
              guarded: null,
              nowMs: NOW_MS,
              state,
            });
            state = decided.state;
            expect(decided.kind).toBe(counted >= tryTimes ? 'change' : 'keep');
          }
        },
      ),
    );
  });
});

// Which lease a decision permits, and when the lease alone changes: every combination that a table can hold.

import { describe, expect, test } from 'vitest';
import type { AgentRecord } from '../../src/core/agents.ts';
import { isGuarded, leaseChange, permit, permittedLease, tooFewAgents, unarmed } from '../../src/core/arming.ts';
import { type Board, NO_SAFETY, NO_TERMS, type Policy, type Terms } from '../../src/core/decision.ts';
import { rolesWith } from '../../src/core/pair.ts';
import { anObservation, aPair, PRIMARY, SECONDARY } from '../support/build.ts';
import { aRow } from '../support/rows.ts';

const LEASE: Policy = { ...NO_SAFETY, fencing: 'lease' };
const LEASES: readonly Terms['lease'][] = ['finite', 'endless', null];
const BOOT = { uuid: 'u', startedSec: 1 };

describe('a pair is guarded', () => {
  const row = aRow({ epoch: [7, PRIMARY] });
  const withRow = anObservation({ row, boot: BOOT });
  const without = anObservation({ boot: BOOT });
  const perl = anObservation({ boot: null });
  const gone = anObservation({ failure: 'silent' });

  test.each<[string, Policy, Terms['lease'], Parameters<typeof isGuarded>[0]['observations'], boolean]>([
    ['by its policy', LEASE, null, [without, without], true],
    ['by a row on either host, whatever the policy', NO_SAFETY, null, [without, withRow], true],
    ['by a row, though the other host is gone', NO_SAFETY, null, [withRow, gone], true],
    ['not without any of it', NO_SAFETY, null, [without, without], false],
    ['not without any of it while a host is gone', NO_SAFETY, null, [gone, without], false],
    ['still, while nobody can look at both hosts', NO_SAFETY, 'endless', [gone, without], true],
    ['still, while only a Perl monitor looks', NO_SAFETY, 'endless', [perl, perl], true],
    ['still, while there are no observations', NO_SAFETY, 'endless', [null, null], true],
    ['no more when both hosts were looked at and have no row', NO_SAFETY, 'endless', [without, without], false],
  ])('%s', (_name, policy, before, observations, is) => {
    expect(isGuarded({ policy, before, observations })).toBe(is);
  });
});

describe('a decision permits', () => {
  test('a finite lease only where the pair is armed already and stays so', () => {
    const finite: string[] = [];
    let cases = 0;
    for (const guarded of [true, false])
      for (const policy of [LEASE, NO_SAFETY])
        for (const fencingBefore of ['lease', 'none', null] as const)
          for (const lease of LEASES)
            for (const unfenced of [true, false, null])
              for (const anew of [true, false]) {
                const board = { terms: { ...NO_TERMS, lease }, unfenced };
                const permitted = permittedLease({ guarded, policy, fencingBefore, board, anew });
                cases += 1;
                expect(permitted === null).toBe(!guarded);
                if (permitted === 'finite') {
                  const all = { guarded, fencing: policy.fencing, fencingBefore, lease, unfenced, anew };
                  finite.push(JSON.stringify(all));
                }
              }
    expect(cases).toBe(216);
    // The permission itself may be of either kind: only the flag says whether an endless lease may stand on a server.
    expect(finite).toEqual(
      // One that cannot be understood is looked at again; what the agents granted then is finite all the same.
      (['lease', null] as const).flatMap((fencingBefore) =>
        (['finite', 'endless'] as const).map((lease) =>
          JSON.stringify({ guarded: true, fencing: 'lease', fencingBefore, lease, unfenced: false, anew: false }),
        ),
      ),
    );
  });

  test('an endless lease only together with the flag, whatever stands there', () => {
    expect(permit('endless')).toEqual({ lease: 'endless', unfenced: true });
    expect(permit('finite')).toEqual({ lease: 'finite', unfenced: null });
    expect(permit(null)).toEqual({ lease: null, unfenced: null });
  });

  test('a change of other keys of the policy without disarming', () => {
    const board = { terms: { ...NO_TERMS, lease: 'finite' as const }, unfenced: false };
    const policy = { ...LEASE, drainTimeoutSec: 7, onUnreachable: 'wait' as const, leaseAgents: 1 };
    expect(permittedLease({ guarded: true, policy, fencingBefore: 'lease', board, anew: false })).toBe('finite');
  });
});

const AGENTS: readonly AgentRecord[] = ['one', 'two'].map((name) => ({ name, reachesBoth: true, renewal: null }));
const OPENED = aRow({ epoch: [7, PRIMARY], opened: 7 });

function aBoard(lease: Terms['lease'], over: Partial<Board> = {}): Board {
  return {
    roles: rolesWith(aPair(), PRIMARY),
    epoch: { number: 7, id: 'e7', active: PRIMARY },
    report: null,
    opened: PRIMARY,
    decidedAtMs: null,
    reasons: [],
    terms: { ...NO_TERMS, lease },
    divergence: null,
    request: null,
    pause: null,
    unfenced: true,
    lives: new Map(),
    complete: null,
    joining: null,
    announced: null,
    ...over,
  };
}

type Situation = Parameters<typeof leaseChange>[0];

/** Everything is ready to be armed, and has been for long. */
function change(over: Partial<Situation> = {}) {
  return leaseChange({
    guarded: true,
    policy: LEASE,
    board: aBoard('endless'),
    paused: false,
    agents: AGENTS,
    active: anObservation({ row: OPENED }),
    passive: anObservation({ host: SECONDARY, readOnly: true, row: aRow({ epoch: [7, PRIMARY], opened: 5 }) }),
    readySinceMs: 0,
    nowMs: 2_000,
    ...over,
  });
}

describe('the lease alone changes', () => {
  test('to finite, when everything is there that renews it and obeys it', () => {
    expect(change()).toMatchObject({ to: 'finite' });
  });

  test('only after two seconds of that', () => {
    expect(change({ readySinceMs: null, nowMs: 50_000 })).toMatchObject({ to: undefined, readySinceMs: 50_000 });
    expect(change({ nowMs: 1_999 })).toMatchObject({ to: undefined, readySinceMs: 0 });
  });

  const closed = { host: SECONDARY, readOnly: true };
  const passiveRow = aRow({ epoch: [7, PRIMARY], opened: 5 });
  test.each<[string, Partial<Situation>, string]>([
    ['one agent is registered', { agents: AGENTS.slice(1) }, '1 of 2 agents'],
    [
      'one of two does not reach both servers',
      { agents: AGENTS.map((one, at) => ({ ...one, reachesBoth: at === 0 })) },
      '1 of 2 agents',
    ],
    ['three agents are wanted', { policy: { ...LEASE, leaseAgents: 3 } }, '2 of 3 agents'],
    ['nobody is registered', { agents: [] }, '0 of 2 agents'],
    ['the active does not answer', { active: anObservation({ failure: 'silent' }) }, 'does not answer'],
    ['the active is read only', { active: anObservation({ row: OPENED, readOnly: true }) }, 'does not take writes'],
    [
      'nobody knows whether the active is read only',
      { active: anObservation({ row: OPENED, readOnly: null }) },
      'does not take writes',
    ],
    ['the active has no row', { active: anObservation({}) }, 'does not say yet'],
    [
      'the active was opened by an older decision',
      { active: anObservation({ row: aRow({ epoch: [7, PRIMARY], opened: 6 }) }) },
      'does not say yet',
    ],
    [
      'the active was opened by another decision of the number',
      { active: anObservation({ row: aRow({ epoch: [7, PRIMARY], opened: 7, id: 'x' }) }) },
      'does not say yet',
    ],
    [
      'the EVENT of the active does not tick',
      { active: anObservation({ row: { ...OPENED, armed: false } }) },
      `the EVENT of ${PRIMARY}`,
    ],
    [
      'the EVENT of the passive does not tick',
      { passive: anObservation({ ...closed, row: { ...passiveRow, armed: false } }) },
      `the EVENT of ${SECONDARY}`,
    ],
    ['the passive has no row', { passive: anObservation(closed) }, `the EVENT of ${SECONDARY}`],
    ['the passive is writable', { passive: anObservation({ host: SECONDARY, row: passiveRow }) }, 'is not read only'],
    ['the passive does not answer', { passive: anObservation({ ...closed, failure: 'silent' }) }, 'does not answer'],
    ['the passive was not observed', { passive: null }, 'does not answer'],
  ])('not to finite while %s', (_name, over, why) => {
    expect(change(over)).toMatchObject({ to: undefined, readySinceMs: null });
    expect(change(over).why).toContain(why);
  });

  test('with one agent where the operator accepts the risk', () => {
    expect(change({ agents: AGENTS.slice(1), policy: { ...LEASE, leaseAgents: 1 } })).toMatchObject({ to: 'finite' });
  });

  test('in no other way while all is as it should be', () => {
    expect(change({ board: aBoard('finite', { unfenced: false }) })).toMatchObject({ to: undefined, why: null });
    expect(change({ policy: NO_SAFETY })).toMatchObject({ to: undefined, why: null });
    expect(change({ policy: NO_SAFETY, guarded: false, board: aBoard(null) })).toMatchObject({
      to: undefined,
      why: null,
    });
    expect(change({ paused: true })).toMatchObject({ to: undefined, why: null });
    expect(change({ paused: true, board: aBoard(null) })).toMatchObject({ to: undefined, why: null });
  });

  test('to endless for a pause, but only of a host that is open under this decision', () => {
    const board = aBoard('finite', { unfenced: false });
    expect(change({ paused: true, board })).toMatchObject({ to: 'endless' });
    const silent = change({ paused: true, board, active: anObservation({ failure: 'silent' }) });
    expect(silent.to).toBeUndefined();
    const unopened = anObservation({ row: aRow({ epoch: [7, PRIMARY], opened: 6 }) });
    expect(change({ paused: true, board, active: unopened }).to).toBeUndefined();
  });

  test('to endless when the policy gives the lease up, or a pair begins to be guarded, and away with the last row', () => {
    expect(change({ policy: NO_SAFETY, board: aBoard('finite', { unfenced: false }) })).toMatchObject({
      to: 'endless',
    });
    expect(change({ board: aBoard(null) })).toMatchObject({ to: 'endless' });
    expect(change({ policy: NO_SAFETY, guarded: false })).toMatchObject({ to: null });
  });
});

describe('somebody is told', () => {
  test('of too few agents, once the lease is armed', () => {
    const ask = (agents: readonly AgentRecord[], lease: Terms['lease'], policy = LEASE) =>
      tooFewAgents({ policy, board: aBoard(lease), agents });
    expect(ask(AGENTS, 'finite')).toBeNull();
    expect(ask(AGENTS.slice(1), 'finite')).toContain('ONLY ONE AGENT is registered, lease_agents is 2');
    expect(ask([], 'finite')).toContain('NO AGENT is registered');
    expect(ask([], 'endless')).toBeNull();
    expect(ask([], 'finite', NO_SAFETY)).toBeNull();
  });

  test('of a host that cannot be opened with a lease, when it would get one', () => {
    const still = { row: aRow({ armed: false }) };
    expect(unarmed(PRIMARY, still, 'finite')).toContain(`the EVENT of ${PRIMARY} does not tick`);
    expect(unarmed(PRIMARY, still, 'endless')).toBeNull();
    expect(unarmed(PRIMARY, still, null)).toBeNull();
    expect(unarmed(PRIMARY, { row: aRow({}) }, 'finite')).toBeNull();
    expect(unarmed(PRIMARY, { row: null }, 'finite')).toBeNull();
  });
});

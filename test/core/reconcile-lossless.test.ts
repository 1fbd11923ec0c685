// The agent's thinking where the decision is for durability=lossless: who may be opened, how it is drained, and what becomes of both sides of
// semi-synchronous replication. The other rules of a change are in reconcile-guarded.test.ts.

import { describe, expect, it } from 'vitest';
import type { Complete } from '../../src/core/complete.ts';
import { NO_SAFETY } from '../../src/core/decision.ts';
import type { Guard } from '../../src/core/guard.ts';
import type { Evidence } from '../../src/core/observation.ts';
import type { Epoch } from '../../src/core/pair.ts';
import { type Next, nextStep, type Situation } from '../../src/core/reconcile.ts';
import { failure } from '../support/facts.ts';
import { A, A1, ALONE, active, B, B1, BOTH, type OfActive, type OfPassive, passive } from '../support/partnership.ts';
import { someGuard, someSituation } from '../support/plan.ts';

/** B is to be the active; A is. */
const EIGHT: Epoch = { number: 8, id: 'd8', active: B };
const EIGHT_A: Epoch = { ...EIGHT, active: A };
const claimed = { epoch: EIGHT } as const;
const claimedA = { epoch: EIGHT_A } as const;

function aGuard(changes: Partial<Guard> = {}): Guard {
  return someGuard({
    epoch: EIGHT,
    passiveDown: true,
    lastOpened: A,
    lossless: { complete: BOTH, divergence: null },
    ...changes,
  });
}

/** A was killed and B takes over. */
function failover(changes: Partial<Situation> = {}, guard: Partial<Guard> = {}): Situation {
  return someSituation({
    roles: { active: B, passive: A },
    active: b(),
    passive: failure('refused'),
    incumbent: false,
    passiveWroteLast: true,
    passiveGone: true,
    policy: { ...NO_SAFETY, fencing: 'lease', durability: 'lossless' },
    guard: aGuard(guard),
    ...changes,
  });
}

/** B as a drain finds it: claimed, not acknowledging yet. */
const b = (changes: OfPassive = {}): Evidence => passive({ ...changes, row: { epoch: EIGHT, ...changes.row } });

/** A is the active by decision 7, and again by decision 8. */
function again(a: OfActive, other: Evidence, changes: Partial<Situation> = {}, guard: Partial<Guard> = {}): Situation {
  return failover(
    {
      roles: { active: A, passive: B },
      active: active({ source: false, ...a, row: { ...claimedA, ...a.row }, facts: { readOnly: true, ...a.facts } }),
      passive: other,
      incumbent: true,
      passiveWroteLast: false,
      ...changes,
    },
    { epoch: EIGHT_A, passiveDown: false, ...guard },
  );
}

/** A is open by decision 8, B is closed by it. */
function open(a: OfActive = {}, other: OfPassive = {}, changes: Partial<Situation> = {}): Situation {
  return failover(
    {
      roles: { active: A, passive: B },
      active: active({
        ...a,
        row: { ...claimedA, opened: { number: 8, id: 'd8', startedSec: 100 }, lease: LEASED, ...a.row },
      }),
      passive: passive({ ...other, row: { ...claimedA, ...other.row } }),
      incumbent: true,
      passiveWroteLast: false,
      ...changes,
    },
    { epoch: EIGHT_A, passiveDown: false },
  );
}
const LEASED = { kind: 'finite', expiresAtMs: Number.MAX_SAFE_INTEGER } as const;

const stepOf = (next: Next) => (next.kind === 'step' ? next.step : next);
const whyOf = (next: Next) => (next.kind === 'settled' ? '' : next.why);
const ROUND: Complete = { ...BOTH, generation: 12 };
const stopped = { replication: { io: 'No' } } as const;
const silent = { replica: false, replicaOn: false };

describe('a host that does not hold every acknowledged commit', () => {
  it.each<[string, Complete | null, RegExp]>([
    ['is not in the set', ALONE, /does not hold every acknowledged commit: only 10\.0\.0\.5:3306 does/],
    ['was restarted since', { ...BOTH, hosts: [A1, { ...B1, startedSec: 190 }] }, /was restarted since/],
    ['is another server', { ...BOTH, hosts: [A1, { ...B1, uuid: 'x' }] }, /was restarted since/],
    ['is unknown to the board', null, /does not say which hosts are complete/],
  ])('is not opened when it %s, nor is anything begun', (_what, complete, why) => {
    const guard = { lossless: { complete, divergence: null } };
    for (const seen of [b(), passive(), b({ ...silent, ...stopped })]) {
      const next = nextStep(failover({ active: seen }, guard));
      expect(next).toMatchObject({ kind: 'hold', outcome: 'held' });
      expect(whyOf(next)).toMatch(why);
    }
  });

  it('leaves a switchover before the old active is touched', () => {
    const guard = { lossless: { complete: ALONE, divergence: null }, planned: true };
    const next = nextStep(failover({ passive: active(), active: passive() }, guard));
    expect(next).toMatchObject({ kind: 'hold', outcome: 'failed' });
  });

  it('gives the role back when both are closed', () => {
    const closed = active({ source: false, facts: { readOnly: true }, row: claimed });
    const guard = { lossless: { complete: ALONE, divergence: null } };
    expect(nextStep(failover({ passive: closed }, guard))).toMatchObject({ kind: 'hold', outcome: 'failed' });
  });

  it('is opened by force, and that is told', () => {
    const guard = { lossless: { complete: ALONE, divergence: null } };
    const next = nextStep(failover({ active: b({ ...silent, ...stopped }), force: true }, guard));
    expect(stepOf(next)).toMatchObject({ do: 'grant', host: B, lossless: true });
    expect(whyOf(next)).toMatch(/SKIPPED: 10\.0\.0\.7:3306 does not hold every acknowledged commit/);
  });

  it('is opened when it acknowledged the last of them itself', () => {
    const guard = { lossless: { complete: null, divergence: null } };
    const situation = again({}, failure('silent'), {}, guard);
    expect(
      stepOf(
        nextStep({
          ...situation,
          active: active({ source: false, facts: { readOnly: true, replication: null }, row: claimedA }),
        }),
      ),
    ).toMatchObject({
      do: 'grant',
      host: A,
      lossless: true,
    });
  });

  it('keeps the role that it has, and is granted the next decision as it is', () => {
    const guard = { epoch: EIGHT_A, lossless: { complete: null, divergence: null } };
    const kept = { ...open(), active: active({ row: { ...claimedA, lease: LEASED } }), guard: aGuard(guard) };
    expect(stepOf(nextStep(kept))).toMatchObject({ do: 'grant', host: A, lossless: true });
  });

  it('is opened as before when the decision is for async', () => {
    const next = nextStep(failover({ active: b({ ...stopped }) }, { lossless: null }));
    expect(stepOf(next)).toMatchObject({ do: 'grant', host: B, lossless: false });
  });
});

describe('a drain', () => {
  it('lets the applier wait for nobody first, and acknowledges nothing when the I/O thread is stopped', () => {
    const steps = [
      b({ source: true, replication: { sql: 'No' } }),
      b({ replication: { sql: 'No' } }),
      b(),
      b({ ...stopped }),
      b({ ...silent, replication: { io: 'No', readAll: false, received: { file: 'bin.000001', pos: 900 } } }),
      b({ ...silent, ...stopped }),
    ].map((seen) => stepOf(nextStep(failover({ active: seen }, { lossless: { complete: ROUND, divergence: null } }))));
    expect(steps).toMatchObject([
      { do: 'source-off', host: B },
      { do: 'start-sql', host: B },
      { do: 'stop-io', host: B },
      { do: 'acknowledge', host: B, on: false },
      { do: 'await-applied', host: B },
      { do: 'grant', host: B, demand: 'drained', lossless: true },
    ]);
  });

  it('of the host that wrote last, for a new decision, is the same', () => {
    const steps = [
      again({ source: true }, failure('silent')),
      again({}, failure('silent')),
      again({ replica: true, facts: { readOnly: true, replication: null } }, failure('silent')),
    ].map((situation) => stepOf(nextStep(situation)));
    expect(steps).toMatchObject([
      { do: 'source-off', host: A },
      { do: 'stop-io', host: A },
      { do: 'grant', host: A },
    ]);
  });

  it('touches neither side for async, but for a wait without an end', () => {
    const on = (wrong: string | null) => b({ source: true, wrong, ...stopped });
    const steps = [on('commits stop waiting after a time'), on(null)].map((seen) =>
      stepOf(nextStep(failover({ active: seen }, { lossless: null }))),
    );
    expect(steps).toMatchObject([{ do: 'grant' }, { do: 'source-off', host: B }]);
  });

  it('asks nothing of a server without semi-synchronous replication', () => {
    const next = nextStep(failover({ active: b({ ...stopped, facts: { semiSync: null } }) }));
    expect(stepOf(next)).toMatchObject({ do: 'grant' });
  });
});

describe('a restarted active', () => {
  const closed = (gtid: string): OfActive => ({ facts: { readOnly: true, gtid, replication: null } });
  const other = (gtid: string) => passive({ row: claimedA, facts: { gtid } });

  it('that lost what the other host holds is not opened, so that the role can go there', () => {
    const next = nextStep(again(closed('0-1-98'), other('0-1-100')));
    expect(next).toMatchObject({ kind: 'hold', outcome: 'failed' });
    expect(whyOf(next)).toBe(`${B} holds 2 transactions (0-1-100) that ${A} lost`);
  });

  it('is opened when an operator forces it, and what it lost is counted', () => {
    const next = nextStep(again(closed('0-1-98'), other('0-1-100'), { force: true }));
    expect(next).toMatchObject({ step: { do: 'grant' }, leftBehind: { count: 2 } });
  });

  it('is opened with what the other host wrote still to come, which is counted', () => {
    const next = nextStep(again(closed('0-1-98'), other('0-1-98,0-2-101')));
    expect(next).toMatchObject({ step: { do: 'grant', lossless: true }, leftBehind: { count: 3 } });
  });

  it('is opened when it is known that it lost something, and was told', () => {
    const divergence = {
      host: B,
      epoch: null,
      foundAtMs: 1,
      count: 2,
      gtids: '0-1-100',
      cut: false,
      end: null,
      saved: null,
    };
    const ofB = { lossless: { complete: BOTH, divergence } };
    expect(stepOf(nextStep(again(closed('0-1-98'), other('0-1-100'), {}, ofB)))).toMatchObject({ do: 'grant' });
    const ofA = { lossless: { complete: BOTH, divergence: { ...divergence, host: A } } };
    expect(nextStep(again(closed('0-1-98'), other('0-1-100'), {}, ofA))).toMatchObject({ outcome: 'failed' });
  });

  it('is opened whatever another server behind the address of the other host holds', () => {
    const next = nextStep(again(closed('0-1-98'), other('0-1-100'), {}, { passiveStranger: 'another server answers' }));
    expect(stepOf(next)).toMatchObject({ do: 'grant' });
  });

  it('is opened for async as before, and what it lost is counted', () => {
    const next = nextStep(again(closed('0-1-98'), other('0-1-100'), {}, { lossless: null }));
    expect(next).toMatchObject({ step: { do: 'grant', lossless: false }, leftBehind: { count: 2 } });
  });
});

describe('a second writer', () => {
  const writer = { facts: { readOnly: false } } as const;
  const isClosed = (a: OfActive) => stepOf(nextStep(open(a, writer)));

  it('is rid of what waits there when nothing will be acknowledged to it [F18]', () => {
    const io = { facts: { replication: passiveReplication('No') } };
    expect(isClosed(io)).toEqual({ do: 'close', host: B, endsWaits: true });
    expect(isClosed({ facts: { replication: null } })).toEqual({ do: 'close', host: B, endsWaits: true });
  });

  it('is closed as any other while the active may acknowledge to it', () => {
    expect(isClosed({})).toEqual({ do: 'close', host: B });
    const io = { facts: { replication: passiveReplication('No') } };
    expect(isClosed({ replicaOn: true, ...io })).toEqual({ do: 'close', host: B });
  });
});

describe('an active that takes writes by an older decision', () => {
  const older = { number: 7, id: 'd7', startedSec: 100 };
  const out = { kind: 'finite', expiresAtMs: 0 } as const;
  const isClosed = (a: OfActive) => stepOf(nextStep(open(a)));

  it('is rid of the commits that keep it from being closed, when nobody lets them go any more [F18]', () => {
    expect(isClosed({ waiting: 1, row: { opened: older, lease: out } })).toEqual({
      do: 'close',
      host: A,
      endsWaits: true,
    });
  });

  it('is closed with nothing ended where nothing waits, or where the partner lets it go', () => {
    expect(isClosed({ row: { opened: older, lease: out } })).toEqual({ do: 'close', host: A });
    expect(isClosed({ waiting: 1, row: { lease: out } })).toEqual({ do: 'close', host: A });
  });

  it('is closed so when the other host was opened since', () => {
    const situation = open({ waiting: 1, row: { opened: older } });
    const { guard } = situation;
    if (guard === null) throw new Error('no guard');
    expect(stepOf(nextStep({ ...situation, guard: { ...guard, lastOpened: B } }))).toEqual({
      do: 'close',
      host: A,
      endsWaits: true,
    });
  });
});

describe('healing', () => {
  it('does nothing when each side is where it belongs', () => {
    expect(nextStep(open())).toEqual({ kind: 'settled' });
  });

  it('acknowledges nothing from the active before its I/O thread runs', () => {
    const io = { facts: { replication: passiveReplication('No') } };
    expect(stepOf(nextStep(open({ replica: true, ...io })))).toEqual({ do: 'acknowledge', host: A, on: false });
    expect(stepOf(nextStep(open(io)))).toEqual({ do: 'start-io', host: A });
  });

  it('counts what is left behind before it does anything to the passive, whose facts would be the newer ones then', () => {
    const stoppedA = { facts: { replication: passiveReplication('No') } };
    expect(stepOf(nextStep(open(stoppedA, { source: true })))).toEqual({ do: 'start-io', host: A });
  });

  it('lets the applier of the former active wait for nobody', () => {
    expect(stepOf(nextStep(open({}, { source: true })))).toEqual({ do: 'source-off', host: B });
    const async = { guard: aGuard({ epoch: EIGHT_A, lossless: null }) };
    expect(stepOf(nextStep(open({}, { source: true }, async)))).toEqual({ do: 'source-off', host: B });
    const ofAnOperator = { source: true, wrong: 'commits stop waiting after a time' };
    expect(nextStep(open({}, ofAnOperator, async))).toEqual({ kind: 'settled' });
  });

  it('lets the passive acknowledge before its I/O thread starts again', () => {
    const ours = { ioStopped: [B] };
    expect(stepOf(nextStep(open({}, { ...silent, ...stopped }, ours)))).toEqual({
      do: 'acknowledge',
      host: B,
      on: true,
    });
    expect(stepOf(nextStep(open({}, { replicaOn: false, ...stopped }, ours)))).toEqual({ do: 'start-io', host: B });
  });

  it('lets it acknowledge, too, when it was restarted with its replication stopped', () => {
    const restarted = { replication: { io: 'No', sql: 'No', sourceServerId: 0 } } as const;
    const steps = [open({}, { ...silent, ...restarted }), open({}, { replicaOn: false, ...restarted })];
    expect(steps.map((situation) => stepOf(nextStep(situation)))).toEqual([
      { do: 'acknowledge', host: B, on: true },
      { do: 'start-replication', host: B },
    ]);
  });

  it('leaves a passive alone whose I/O thread somebody else stopped', () => {
    expect(nextStep(open({}, { ...silent, ...stopped }))).toEqual({ kind: 'settled' });
  });

  it('leaves a passive alone that did not take its claim', () => {
    const stuck = open({}, { source: true, row: { epoch: EIGHT_A, ...{} } });
    const unclaimed = {
      ...stuck,
      passive: passive({ source: true, row: { epoch: { number: 7, id: 'd7', active: A } } }),
      guard: aGuard({ epoch: EIGHT_A, passiveStuck: true }),
    };
    expect(nextStep(unclaimed)).toEqual({ kind: 'settled' });
  });
});

function passiveReplication(io: 'Yes' | 'No') {
  const evidence = passive({ replication: { source: B, sourceServerId: 2, io } });
  return evidence.kind === 'answered' ? evidence.facts.replication : null;
}

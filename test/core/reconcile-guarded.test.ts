// The agent's thinking where a safety is on: two small servers with their rows; each rule of the protocol of a change, and what a cut
// anywhere leads to. The steps without a safety are in reconcile.test.ts.

import { describe, expect, it } from 'vitest';
import { NO_SAFETY } from '../../src/core/decision.ts';
import type { Guard } from '../../src/core/guard.ts';
import { type HostRow, SCHEMA_VERSION } from '../../src/core/host-row.ts';
import type { Evidence, Facts } from '../../src/core/observation.ts';
import type { Epoch, Host } from '../../src/core/pair.ts';
import { type Next, nextStep, type Situation } from '../../src/core/reconcile.ts';
import { answered, failure, someReplication } from '../support/facts.ts';
import { someGuard, someSituation } from '../support/plan.ts';

const A: Host = '10.0.0.5:3306';
const B: Host = '10.0.0.7:3306';
const BOOT = 1_700_000_000;
const NOW = 1_700_001_000_000;

/** A was opened by 7; 8 says that B is to be the active. */
const SEVEN: Epoch = { number: 7, id: 'd7', active: A };
const EIGHT: Epoch = { number: 8, id: 'd8', active: B };

function aRow(changes: Partial<HostRow> = {}): HostRow {
  return {
    schemaVersion: SCHEMA_VERSION,
    epoch: SEVEN,
    opened: null,
    lease: { kind: 'none' },
    unfenced: false,
    tickMs: NOW - 300,
    generation: 0,
    nowMs: NOW,
    startedSec: BOOT,
    readOnly: true,
    ...changes,
  };
}

const LEASED = { kind: 'finite', expiresAtMs: NOW + 2_500 } as const;
const OUT = { kind: 'finite', expiresAtMs: NOW - 100 } as const;

function openedBy(epoch: Epoch, startedSec = BOOT) {
  return { opened: { number: epoch.number, id: epoch.id, startedSec } };
}

/** A: writable under decision 7, unless a test says otherwise. */
function hostA(row: Partial<HostRow> = {}, facts: Partial<Facts> = {}): Evidence {
  return answered({
    serverId: 1,
    readOnly: false,
    replication: someReplication({ source: B, sourceServerId: 2 }),
    row: aRow({ ...openedBy(SEVEN), lease: LEASED, ...row }),
    ...facts,
  });
}

/** B: read only, replicates from A. */
function hostB(row: Partial<HostRow> = {}, facts: Partial<Facts> = {}): Evidence {
  return answered({
    serverId: 2,
    replication: someReplication({ source: A, sourceServerId: 1 }),
    row: aRow(row),
    ...facts,
  });
}

function aGuard(changes: Partial<Guard> = {}): Guard {
  return someGuard({
    epoch: EIGHT,
    lastOpened: A,
    ...changes,
  });
}

/** B is to be the active, A is it. */
function situation(changes: Partial<Omit<Situation, 'guard'>> = {}, guard: Partial<Guard> = {}): Situation {
  return someSituation({
    roles: { active: B, passive: A },
    active: hostB(),
    passive: hostA(),
    incumbent: false,
    passiveWroteLast: true,
    passiveGone: true,
    policy: { ...NO_SAFETY, fencing: 'lease' },
    guard: aGuard(guard),
    ...changes,
  });
}

/** A is the active by decision 7 and stays it by decision 8. */
function kept(changes: Partial<Omit<Situation, 'guard'>> = {}, guard: Partial<Guard> = {}): Situation {
  return situation(
    { roles: { active: A, passive: B }, active: hostA(), passive: hostB(), incumbent: true, ...changes },
    { epoch: { ...EIGHT, active: A }, ...guard },
  );
}

const EIGHT_A: Epoch = { ...EIGHT, active: A };

function brief(next: Next): string {
  if (next.kind === 'step') {
    const { step } = next;
    const what = step.do === 'claim' && step.unfenced !== null ? `claim(${step.unfenced})` : step.do;
    return `${step.do === 'grant' ? `grant(${step.demand})` : what} ${step.host === A ? 'A' : 'B'}`;
  }
  return next.kind === 'settled' ? 'settled' : next.outcome;
}

function said(next: Next): string {
  return next.kind === 'settled' ? '' : next.why;
}

const claimed = { epoch: EIGHT };
const stopped = { replication: someReplication({ source: A, sourceServerId: 1, io: 'No' }) };

describe('a planned change', () => {
  it('claims the host to be opened before it touches the other one, so that no renewal finds a witness any more', () => {
    expect(brief(nextStep(situation()))).toBe('claim B');
    expect(brief(nextStep(situation({ active: hostB(claimed) })))).toBe('close A');
  });

  it('claims nothing while the change cannot come to its end', () => {
    const broken = { replication: someReplication({ source: A, sourceServerId: 1, io: 'No', sql: 'No' }) };
    const next = nextStep(situation({ active: hostB({}, broken) }));
    expect(brief(next)).toBe('failed');
    expect(said(next)).toContain('I/O thread');
  });

  it('drains only when both hosts know the decision, then opens by a grant that demands the drain', () => {
    const closed = hostA({}, { readOnly: true });
    const fenced = hostA(claimed, { readOnly: true });
    expect(brief(nextStep(situation({ active: hostB(claimed), passive: closed })))).toBe('claim A');
    expect(brief(nextStep(situation({ active: hostB(claimed), passive: fenced })))).toBe('stop-io B');
    expect(brief(nextStep(situation({ active: hostB(claimed, stopped), passive: fenced })))).toBe('grant(drained) B');
  });

  it('opens the former active again without a drain when the role goes back to it', () => {
    const back = { roles: { active: A, passive: B }, passive: hostB({ epoch: { ...EIGHT, number: 9, active: A } }) };
    const nine: Epoch = { number: 9, id: 'd9', active: A };
    const both = { epoch: nine };
    const active = hostA({ epoch: nine }, { readOnly: true });
    const next = nextStep(situation({ ...back, active, passive: hostB(both), incumbent: true }, { epoch: nine }));
    // Nothing may flow into it at the first opening of a decision, so its I/O thread stops for a moment.
    expect(brief(next)).toBe('stop-io A');
    const quiet = hostA(
      { epoch: nine },
      { readOnly: true, replication: someReplication({ source: B, sourceServerId: 2, io: 'No' }) },
    );
    expect(
      brief(nextStep(situation({ ...back, active: quiet, passive: hostB(both), incumbent: true }, { epoch: nine }))),
    ).toBe('grant(io-stopped) A');
    const unapplied = {
      received: { file: 'bin.000001', pos: 100 },
      applied: { file: 'bin.000001', pos: 60 },
      readAll: false,
    };
    const behind = hostA(
      { epoch: nine },
      { readOnly: true, replication: someReplication({ source: B, sourceServerId: 2, io: 'No', ...unapplied }) },
    );
    const drains = { ...back, active: behind, passive: hostB(both), incumbent: true };
    expect(brief(nextStep(situation(drains, { epoch: nine })))).toBe('await-applied A');
    const late = { receivedBefore: null, drainingSec: 10, withoutWriterSec: 0 };
    expect(brief(nextStep(situation({ ...drains, progress: late }, { epoch: nine })))).toBe('grant(io-stopped) A');
  });
});

describe('a decision that is not the highest', () => {
  it.each([
    ['a higher number', { number: 9, id: 'd9', active: A }],
    ['the same number with another id', { number: 8, id: 'other', active: B }],
    ['the same number for the other host', { number: 8, id: 'd8', active: A }],
  ])('changes nothing when a row knows %s', (_, epoch) => {
    for (const pair of [
      { active: hostB({ epoch }) },
      { active: hostB(claimed), passive: hostA({ epoch }) },
      { active: hostB({ epoch }), passive: failure('silent') },
    ]) {
      const next = nextStep(situation(pair));
      expect(brief(next)).toBe('held');
      expect(said(next)).toContain('not obeyed');
    }
  });
});

it('leaves another server behind the address of the active alone', () => {
  for (const scene of [situation({}, { stranger: 'another server' }), kept({}, { stranger: 'another server' })]) {
    expect(brief(nextStep(scene))).toBe('held');
    expect(said(nextStep(scene))).toBe('another server');
  }
});

describe('another server behind the address of the passive', () => {
  const passive = hostA({ epoch: null, opened: null, lease: { kind: 'none' } }, { readOnly: true });
  const stranger = { passiveStranger: 'it is another server', lastOpened: A };

  it('says nothing of the one that we knew: that one is waited for like a silent one', () => {
    expect(brief(nextStep(situation({ passive }, stranger)))).toBe('claim B');
    const known = { active: hostB(claimed), passive };
    expect(brief(nextStep(situation(known, { ...stranger, claimedForMs: 4_229 })))).toBe('await-lease A');
    expect(brief(nextStep(situation(known, { ...stranger, claimedForMs: 4_230 })))).toBe('stop-io B');
    const unarmed = { ...stranger, claimedForMs: 60_000, passiveArmed: false };
    expect(brief(nextStep(situation(known, unarmed)))).toBe('held');
    expect(brief(nextStep(situation({ ...known, passiveGone: false }, { ...unarmed, onUnreachable: 'promote' })))).toBe(
      'stop-io B',
    );
  });

  it('is closed when it takes writes, and else neither claimed nor replicated from', () => {
    const writable = hostA({ epoch: null, opened: null, lease: { kind: 'none' } });
    expect(brief(nextStep(situation({ active: hostB(claimed), passive: writable }, stranger)))).toBe('close A');
    const quiet = { replication: someReplication({ source: B, sourceServerId: 2, io: 'No' }) };
    const active = hostA({ epoch: EIGHT_A, ...openedBy(EIGHT_A) }, quiet);
    expect(brief(nextStep(kept({ active }, { passiveStranger: 'it is another server' })))).toBe('settled');
  });
});

it('obeys no lower decision than the one that the silent host knew, unless an operator forces it', () => {
  const silent = { active: hostB(claimed), passive: failure('silent') };
  expect(brief(nextStep(situation(silent, { claimedForMs: 0, passiveKnew: 8 })))).toBe('await-lease A');
  expect(brief(nextStep(situation(silent, { claimedForMs: 9_000, passiveKnew: 9 })))).toBe('held');
  expect(brief(nextStep(situation({ ...silent, force: true }, { claimedForMs: 9_000, passiveKnew: 9 })))).toBe(
    'stop-io B',
  );
});

describe('a host without a row', () => {
  it('gets one first', () => {
    expect(brief(nextStep(situation({ active: hostB({}, { row: null }) })))).toBe('install B');
    expect(brief(nextStep(situation({ passive: hostA({}, { row: null }) })))).toBe('install A');
  });

  it('of an older version is upgraded at rest, and holds nothing up before', () => {
    const old = { schemaVersion: SCHEMA_VERSION - 1 };
    expect(brief(nextStep(situation({ active: hostB(old) })))).toBe('claim B');
    const active = hostA({ epoch: EIGHT_A, ...openedBy(EIGHT_A) });
    expect(brief(nextStep(kept({ active, passive: hostB({ epoch: EIGHT_A, ...old }) })))).toBe('install B');
    const newer = { schemaVersion: SCHEMA_VERSION + 1 };
    expect(brief(nextStep(kept({ active, passive: hostB({ epoch: EIGHT_A, ...newer }) })))).toBe('settled');
  });

  it('whose row holds a finite lease is left alone by a decision that knows of none', () => {
    const next = nextStep({ ...situation(), guard: null });
    expect(brief(next)).toBe('held');
    expect(said(next)).toContain('fencing');
    const without = { active: hostB({}, { row: null }), passive: hostA({ lease: { kind: 'endless' } }) };
    expect(brief(nextStep({ ...situation(without), guard: null }))).toBe('close A');
  });
});

describe('a silent active', () => {
  const silent = { active: hostB(claimed), passive: failure('silent') };

  it('is waited for until its lease is over, counted from the claim', () => {
    expect(brief(nextStep(situation({ passive: failure('silent') })))).toBe('claim B');
    expect(brief(nextStep(situation(silent, { claimedForMs: 0 })))).toBe('await-lease A');
    // 3 s of lease, 1 s for the EVENT, 0.2 s and 1 %.
    expect(brief(nextStep(situation(silent, { claimedForMs: 4_229 })))).toBe('await-lease A');
    expect(brief(nextStep(situation(silent, { claimedForMs: 4_230 })))).toBe('stop-io B');
  });

  it('is passed over by no switchover while the monitors reach it: another agent can receive what it holds', () => {
    const over = { claimedForMs: 5_000 };
    expect(brief(nextStep(situation({ ...silent, passiveGone: false }, { ...over, planned: true })))).toBe('held');
    expect(brief(nextStep(situation(silent, { ...over, planned: true })))).toBe('stop-io B');
    expect(brief(nextStep(situation({ ...silent, passiveGone: false }, over)))).toBe('stop-io B');
  });

  it('is not waited for when nothing runs there', () => {
    const refused = { active: hostB(claimed), passive: failure('refused') };
    expect(brief(nextStep(situation(refused, { claimedForMs: 0, passiveDown: true })))).toBe('stop-io B');
    expect(brief(nextStep(situation(refused, { claimedForMs: 0 })))).toBe('await-lease A');
  });

  it.each([
    ['the pair is unfenced', { unfenced: true }],
    ['nobody knows it to be armed', { passiveArmed: false }],
  ])('has no lease to wait for when %s: the policy decides', (_, guard) => {
    const long = { claimedForMs: 60_000, ...guard };
    const waits = nextStep(situation(silent, long));
    expect(brief(waits)).toBe('held');
    expect(said(waits)).toContain('on_unreachable=wait');
    expect(brief(nextStep(situation(silent, { ...long, onUnreachable: 'promote' })))).toBe('stop-io B');
    // This agent alone may be cut off from it.
    const seen = nextStep(situation({ ...silent, passiveGone: false }, { ...long, onUnreachable: 'promote' }));
    expect(brief(seen)).toBe('held');
  });

  it('is fenced by the hook as soon as that has succeeded, and never by one that failed', () => {
    expect(brief(nextStep(situation(silent, { claimedForMs: 0, hook: 'due' })))).toBe('hook A');
    expect(brief(nextStep(situation(silent, { claimedForMs: 0, hook: 'running' })))).toBe('await-lease A');
    expect(brief(nextStep(situation(silent, { claimedForMs: 0, hook: 'succeeded' })))).toBe('stop-io B');
    expect(brief(nextStep(situation(silent, { claimedForMs: 0, hook: 'failed' })))).toBe('await-lease A');
    const unarmed = { claimedForMs: 9_000, passiveArmed: false };
    expect(brief(nextStep(situation(silent, { ...unarmed, hook: 'running' })))).toBe('await-lease A');
    expect(brief(nextStep(situation(silent, { ...unarmed, hook: 'failed' })))).toBe('held');
    expect(brief(nextStep(situation(silent, { ...unarmed, hook: 'succeeded' })))).toBe('stop-io B');
  });

  it('that is alive and cannot be read is never passed over', () => {
    const alive = { active: hostB(claimed), passive: failure('saturated') };
    expect(brief(nextStep(situation(alive, { claimedForMs: 60_000, onUnreachable: 'promote' })))).toBe('held');
  });

  it('that answers again before the other one is open is received from, then closed like any other', () => {
    const back = { passive: hostA(), ioStopped: [B] };
    expect(brief(nextStep(situation({ ...back, active: hostB(claimed, stopped) }, { claimedForMs: 2_000 })))).toBe(
      'start-io B',
    );
    expect(brief(nextStep(situation({ ...back, active: hostB(claimed) }, { claimedForMs: 2_000 })))).toBe('close A');
  });
});

describe('an active that stays', () => {
  it('is claimed and opened under the new decision, without a drain, after the other host knows it', () => {
    expect(brief(nextStep(kept()))).toBe('claim A');
    expect(brief(nextStep(kept({ active: hostA({ epoch: EIGHT_A }) })))).toBe('claim B');
    const both = { active: hostA({ epoch: EIGHT_A }), passive: hostB({ epoch: EIGHT_A }) };
    expect(brief(nextStep(kept(both)))).toBe('grant(io-stopped) A');
    const opened = { ...both, active: hostA({ epoch: EIGHT_A, ...openedBy(EIGHT_A) }) };
    expect(brief(nextStep(kept(opened)))).toBe('settled');
    expect(brief(nextStep(kept({ ...both, passive: failure('silent') })))).toBe('grant(io-stopped) A');
  });

  it('has a second writer closed at once, where nothing else is due', () => {
    const active = hostA({ epoch: EIGHT_A, ...openedBy(EIGHT_A) });
    expect(brief(nextStep(kept({ active, passive: hostB({}, { readOnly: false }) })))).toBe('close B');
  });

  it('is granted a new decision before a second writer is closed, which a lock may hold up', () => {
    const writable = { readOnly: false };
    expect(brief(nextStep(kept({ passive: hostB({}, writable) })))).toBe('claim A');
    const active = hostA({ epoch: EIGHT_A });
    expect(brief(nextStep(kept({ active, passive: hostB({}, writable) })))).toBe('claim B');
    expect(brief(nextStep(kept({ active, passive: hostB({ epoch: EIGHT_A }, writable) })))).toBe('grant(io-stopped) A');
    expect(brief(nextStep(kept({ active, passive: hostB({}, writable) }, { passiveStuck: true })))).toBe(
      'grant(io-stopped) A',
    );
  });

  it('is not granted before a second writer is closed where it is no writer that we know of', () => {
    const both = { passive: hostB({ epoch: EIGHT_A }, { readOnly: false }) };
    expect(brief(nextStep(kept({ ...both, active: hostA({ epoch: EIGHT_A }) }, { lastOpened: B })))).toBe('close B');
    expect(brief(nextStep(kept({ ...both, active: hostA({ epoch: EIGHT_A, lease: OUT }) })))).toBe('close B');
    const restarted = hostA({ epoch: EIGHT_A }, { boot: { uuid: '', startedSec: BOOT + 60 } });
    expect(brief(nextStep(kept({ ...both, active: restarted })))).toBe('close B');
    const byHand = hostA({ epoch: EIGHT_A, opened: null });
    expect(brief(nextStep(kept({ ...both, active: byHand })))).toBe('close B');
  });

  it('is closed and opened by the protocol when it came up writable', () => {
    const later = { boot: { uuid: '', startedSec: BOOT + 60 } };
    const restarted = hostA({ epoch: EIGHT_A, ...openedBy(EIGHT_A), startedSec: BOOT + 60 }, later);
    expect(brief(nextStep(kept({ active: restarted })))).toBe('close A');
  });

  it('is closed, and opened like any other, when the other host was opened since', () => {
    const woken = hostA({ epoch: EIGHT_A });
    expect(brief(nextStep(kept({ active: woken, passive: failure('silent') }, { lastOpened: B })))).toBe('close A');
    expect(brief(nextStep(kept({ active: woken, passive: failure('silent') })))).toBe('grant(io-stopped) A');
    expect(brief(nextStep(kept({ active: woken, passive: failure('silent') }, { lastOpened: null })))).toBe(
      'grant(io-stopped) A',
    );
  });

  it('is closed, too, while somebody out of sight may be opening the silent other host by the decision before', () => {
    const woken = { active: hostA({ epoch: EIGHT_A }), passive: failure('silent') };
    const chosen = { passiveChosenSince: true };
    expect(brief(nextStep(kept(woken, { ...chosen, lastOpened: null })))).toBe('close A');
    // The note of the last writer is taken away before anybody else is opened.
    expect(brief(nextStep(kept(woken, { ...chosen, lastOpened: A })))).toBe('grant(io-stopped) A');
    const granted = hostA({ epoch: EIGHT_A, ...openedBy(EIGHT_A) });
    expect(brief(nextStep(kept({ ...woken, active: granted }, { ...chosen, lastOpened: null })))).toBe('settled');
    // One that answers takes the claim, and refuses the late call.
    const both = { active: hostA({ epoch: EIGHT_A }), passive: hostB({ epoch: EIGHT_A }) };
    expect(brief(nextStep(kept(both, { ...chosen, lastOpened: A })))).toBe('grant(io-stopped) A');
  });

  it('is closed when its lease has run out and it is still open', () => {
    const out = hostA({ epoch: EIGHT_A, ...openedBy(EIGHT_A), lease: OUT });
    expect(brief(nextStep(kept({ active: out })))).toBe('close A');
  });

  it('that closed itself is opened again under the same decision, without stopping its replication', () => {
    const closed = hostA({ epoch: EIGHT_A, ...openedBy(EIGHT_A), lease: OUT }, { readOnly: true });
    const known = { active: closed, passive: hostB({ epoch: EIGHT_A }) };
    expect(brief(nextStep(kept(known)))).toBe('grant(io-stopped) A');
    expect(brief(nextStep(kept({ ...known, passive: failure('silent') })))).toBe('grant(io-stopped) A');
  });

  it('is armed step by step: the flag of the row, then that of the board, and only under a finite lease', () => {
    const active = hostA({ epoch: EIGHT_A, ...openedBy(EIGHT_A) });
    const flagged = { active, passive: hostB({ epoch: EIGHT_A, unfenced: true }) };
    const cleared = { active, passive: hostB({ epoch: EIGHT_A }) };
    const unfenced = { unfenced: true, flagOnBoard: true };
    expect(brief(nextStep(kept(flagged, unfenced)))).toBe('claim(false) B');
    expect(brief(nextStep(kept(cleared, unfenced)))).toBe('clear-flag A');
    expect(brief(nextStep(kept(cleared)))).toBe('settled');
    const endless = { ...unfenced, lease: 'endless' } as const;
    expect(brief(nextStep(kept(flagged, endless)))).toBe('settled');
    const still = { ...flagged, active: hostA({ epoch: EIGHT_A, ...openedBy(EIGHT_A), lease: { kind: 'endless' } }) };
    expect(brief(nextStep(kept(still, unfenced)))).toBe('settled');
    // Nobody can say what its row says.
    expect(brief(nextStep(kept({ ...cleared, passive: failure('silent') }, unfenced)))).toBe('settled');
  });

  it('has an EVENT that sleeps set going, after everything that is worth more', () => {
    const asleep = { tickMs: NOW - 60_000 };
    const active = { epoch: EIGHT_A, ...openedBy(EIGHT_A) };
    expect(brief(nextStep(kept({ active: hostA(active), passive: hostB({ epoch: EIGHT_A, ...asleep }) })))).toBe(
      'rearm B',
    );
    expect(brief(nextStep(kept({ active: hostA({ ...active, ...asleep }), passive: failure('silent') })))).toBe(
      'rearm A',
    );
    const flagged = { active: hostA(active), passive: hostB({ epoch: EIGHT_A, unfenced: true, ...asleep }) };
    expect(brief(nextStep(kept(flagged, { unfenced: true, flagOnBoard: true })))).toBe('claim(false) B');
  });

  it('does not replicate from the other host before that one was claimed', () => {
    const quiet = { replication: someReplication({ source: B, sourceServerId: 2, io: 'No' }) };
    const active = hostA({ epoch: EIGHT_A, ...openedBy(EIGHT_A) }, quiet);
    expect(brief(nextStep(kept({ active })))).toBe('claim B');
    expect(brief(nextStep(kept({ active, passive: hostB({ epoch: EIGHT_A }) })))).toBe('start-io A');
  });
});

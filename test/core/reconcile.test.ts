// The agent's thinking, on two small servers made of facts: every start state, every point of interruption.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NO_SAFETY } from '../../src/core/decision.ts';
import type { Evidence, Facts } from '../../src/core/observation.ts';
import type { Host } from '../../src/core/pair.ts';
import { type Next, nextStep, type Situation } from '../../src/core/reconcile.ts';
import type { Step } from '../../src/core/step.ts';
import { answered, failure, someFacts, someReplication } from '../support/facts.ts';
import { someSituation } from '../support/plan.ts';

const A: Host = '10.0.0.5:3306';
const B: Host = '10.0.0.7:3306';

/** B is to be the active, A was it. */
function situation(changes: Partial<Situation> = {}): Situation {
  return someSituation({
    roles: { active: B, passive: A },
    active: answered({ serverId: 2, replication: someReplication({ source: A, sourceServerId: 1 }) }),
    passive: answered({ serverId: 1, readOnly: false }),
    incumbent: false,
    ...changes,
  });
}

function follower(changes: Parameters<typeof someReplication>[0] = {}, facts: Partial<Facts> = {}): Evidence {
  return answered({
    serverId: 2,
    replication: someReplication({ source: A, sourceServerId: 1, ...changes }),
    ...facts,
  });
}

/** The step as `do host`, or the outcome of holding. */
function brief(next: Next): string {
  if (next.kind === 'step') return `${next.step.do} ${next.step.host === A ? 'A' : 'B'}`;
  return next.kind === 'settled' ? 'settled' : next.outcome;
}

const behind = { received: { file: 'bin.000001', pos: 100 }, applied: { file: 'bin.000001', pos: 60 }, readAll: false };

const late = { receivedBefore: null, drainingSec: 0, withoutWriterSec: 10 };

function unreadable(progress: Situation['progress']): Situation {
  return situation({ active: failure('saturated'), passive: answered({ serverId: 1 }), progress });
}

describe('a forced change', () => {
  const conflict = { sql: 'No', sqlError: { code: 1062, text: 'Duplicate entry' }, ...behind } as const;
  const closed = answered({ serverId: 1, binlog: { file: 'bin.000001', pos: 900 } });

  it('closes the old active also when the other one could not follow it', () => {
    const active = follower({ ...conflict, io: 'No' });
    expect(brief(nextStep(situation({ active })))).toBe('held');
    expect(brief(nextStep(situation({ active, force: true })))).toBe('close A');
  });

  it('opens a host that cannot apply what it has received, and says what is skipped', () => {
    const dead = { active: follower(conflict), passive: failure('refused'), passiveGone: true };
    expect(brief(nextStep(situation(dead)))).toBe('held');
    const next = nextStep(situation({ ...dead, force: true }));
    expect(brief(next)).toBe('open B');
    expect(next).toMatchObject({ why: expect.stringContaining('SKIPPED: the SQL thread of') });
  });

  it('opens a host that cannot receive what the closed one holds, and says so', () => {
    const active = follower({ io: 'No', sql: 'No' });
    expect(brief(nextStep(situation({ active, passive: closed })))).toBe('held');
    expect(brief(nextStep(situation({ active, passive: closed, force: true })))).toBe('start-sql B');
    const applied = follower({ io: 'No' });
    const next = nextStep(situation({ active: applied, passive: closed, force: true }));
    expect(brief(next)).toBe('open B');
    expect(next).toMatchObject({ why: expect.stringContaining('SKIPPED: the I/O thread of') });
  });

  it('waits ten seconds for what may still be received or applied, or for drain_timeout', () => {
    const receiving = { active: follower(), passive: closed, force: true };
    expect(brief(nextStep(situation(receiving)))).toBe('await-received B');
    expect(brief(nextStep(situation({ ...receiving, progress: late })))).toBe('stop-io B');
    const applying = {
      active: follower({ io: 'No', ...behind }),
      passive: failure('silent'),
      passiveGone: true,
      force: true,
    };
    const since = (drainingSec: number) => ({ ...late, drainingSec });
    expect(brief(nextStep(situation({ ...applying, progress: since(9) })))).toBe('await-applied B');
    expect(brief(nextStep(situation({ ...applying, progress: since(10) })))).toBe('open B');
    const patient = { ...applying, policy: { ...NO_SAFETY, drainTimeoutSec: 60 } };
    expect(brief(nextStep(situation({ ...patient, progress: since(10) })))).toBe('await-applied B');
    expect(brief(nextStep(situation({ ...patient, progress: since(60) })))).toBe('open B');
  });

  it.each(['saturated', 'auth-refused', 'blocked', 'server-error'] as const)(
    'opens nothing beside a host that is alive and cannot be closed (%s)',
    (kind) => {
      expect(brief(nextStep(situation({ passive: failure(kind), passiveGone: true, force: true })))).toBe('held');
    },
  );

  it('is not taken back by the agents when it takes long', () => {
    const slow = {
      active: follower({ io: 'No', ...behind }),
      passive: answered({ serverId: 1 }),
      passiveWroteLast: true,
    };
    const progress = { receivedBefore: null, drainingSec: 5, withoutWriterSec: 12 };
    expect(nextStep(situation({ ...slow, progress }))).toHaveProperty('overdue');
    const forced = nextStep(situation({ ...slow, force: true, progress }));
    expect(brief(forced)).toBe('await-applied B');
    expect(forced).not.toHaveProperty('overdue');
  });

  it('does not begin when its time is over, but goes on when nobody can write any more', () => {
    expect(brief(nextStep(situation({ tooLate: true })))).toBe('held');
    expect(brief(nextStep(situation({ tooLate: true, force: true })))).toBe('held');
    expect(brief(nextStep(situation({ passive: answered({ serverId: 1 }), tooLate: true })))).toBe('stop-io B');
  });

  it('opens nothing beside a host that the monitors still see', () => {
    expect(brief(nextStep(situation({ passive: failure('silent'), force: true })))).toBe('held');
  });

  it('opens nothing beside a host that is open: it closes that one first', () => {
    fc.assert(
      fc.property(fc.boolean(), fc.boolean(), fc.constantFrom('Yes', 'No', 'Connecting'), (incumbent, wrote, io) => {
        const changes = { incumbent, passiveWroteLast: wrote, active: follower({ io }), force: true };
        expect(brief(nextStep(situation(changes)))).toBe('close A');
      }),
    );
  });
});

describe('a planned change', () => {
  it('blocks the accounts of the old active before it closes it', () => {
    const passive = answered({ readOnly: false, accounts: { open: 2, blocked: 0 } });
    expect(brief(nextStep(situation({ passive })))).toBe('block A');
  });

  it('closes the old active before it opens the new one', () => {
    expect(brief(nextStep(situation()))).toBe('close A');
  });

  it.each([
    ['does not replicate', answered({ serverId: 2, replication: null })],
    [
      'replicates from somebody else',
      answered({ serverId: 2, replication: someReplication({ source: '10.9.9.9:3306', sourceServerId: 77 }) }),
    ],
    ['has its I/O thread stopped', follower({ io: 'No' })],
    ['has an SQL error', follower({ sql: 'No', sqlError: { code: 1062, text: 'Duplicate entry' } })],
  ])('is not begun when the host to be opened %s: the old active stays open', (_what, active) => {
    const next = nextStep(situation({ active }));
    expect(brief(next)).toBe('held');
    expect(next.kind === 'hold' && next.why).toContain(`${A} stays open`);
  });

  it('waits until the new active has received what the closed one holds', () => {
    const passive = answered({ serverId: 1, binlog: { file: 'bin.000001', pos: 140 } });
    const next = nextStep(
      situation({ passive, progress: { receivedBefore: null, drainingSec: 0, withoutWriterSec: 1 } }),
    );
    expect(brief(next)).toBe('await-received B');
    expect(next.kind === 'step' && next.step).toMatchObject({ position: { file: 'bin.000001', pos: 140 } });
  });

  it('is given back when the rest does not arrive within ten seconds', () => {
    const passive = answered({ serverId: 1, binlog: { file: 'bin.000001', pos: 140 } });
    const progress = { receivedBefore: null, drainingSec: 0, withoutWriterSec: 10 };
    const next = nextStep(situation({ passive, progress }));
    expect(next.kind === 'step' && next.overdue).toContain('could not be opened within 10 s');
    // The agent itself goes on: there may be no identify of ours that gives the role back.
    expect(brief(next)).toBe('await-received B');
  });

  it.each([
    ['cannot be closed', situation({ progress: late })],
    ['is closed, and the new one is alive and cannot be read any more', unreadable(late)],
  ])('is given back when the old active %s', (_what, at) => {
    const next = nextStep(at);
    expect(next.kind === 'step' ? next.overdue : next.kind === 'hold' && next.outcome).toMatch(/within 10 s|failed/);
    expect(brief(nextStep({ ...at, progress: { ...late, withoutWriterSec: 9 } }))).not.toBe('failed');
  });

  it('is given back at once when replication breaks after the old active was closed', () => {
    const passive = answered({ serverId: 1, binlog: { file: 'bin.000001', pos: 140 } });
    const active = follower({ sql: 'No', sqlError: { code: 1062, text: 'Duplicate entry' } });
    const progress = { receivedBefore: null, drainingSec: 0, withoutWriterSec: 1 };
    expect(brief(nextStep(situation({ active, passive, progress })))).toBe('failed');
  });
});

describe('a failover', () => {
  const gone = { passive: failure('refused', 'ECONNREFUSED'), passiveGone: true } as const;

  it('starts the SQL thread before it stops the I/O thread [F2]', () => {
    const active = follower({ ...behind, sql: 'No', io: 'Connecting' });
    expect(brief(nextStep(situation({ ...gone, active })))).toBe('start-sql B');
  });

  it('stops the I/O thread, so that a host that thaws sends nothing more', () => {
    expect(brief(nextStep(situation({ ...gone, active: follower({ io: 'Connecting' }) })))).toBe('stop-io B');
  });

  it('applies all that was received before it opens', () => {
    expect(brief(nextStep(situation({ ...gone, active: follower({ ...behind, io: 'No' }) })))).toBe('await-applied B');
    const next = nextStep(situation({ ...gone, active: follower({ io: 'No' }) }));
    expect(brief(next)).toBe('open B');
    // The server's clock of the probe plus what an opening may take: a later one does nothing.
    expect(next.kind === 'step' && next.step).toMatchObject({
      deadlineServerTime: someFacts().serverTime + 3,
      drained: true,
    });
  });

  it('does not open a host whose relay log went back while it was drained', () => {
    const progress = {
      receivedBefore: { received: { file: 'bin.000001', pos: 180 }, receivedGtid: null },
      drainingSec: 1,
      withoutWriterSec: 0,
    };
    const next = nextStep(situation({ ...gone, active: follower({ io: 'No' }), progress }));
    expect(brief(next)).toBe('held');
    expect(next.kind === 'hold' && next.why).toContain('went back');
  });

  it('does not start replication where that would throw away what was received', () => {
    const active = follower({ ...behind, io: 'No', sql: 'No', purgesOnStart: true });
    const next = nextStep(situation({ ...gone, active }));
    expect(brief(next)).toBe('held');
    expect(next.kind === 'hold' && next.why).toContain('throw those away');
  });

  it('stays closed behind an SQL error, and says so', () => {
    const active = follower({ ...behind, io: 'No', sql: 'No', sqlError: { code: 1062, text: 'Duplicate entry' } });
    const next = nextStep(situation({ ...gone, active }));
    expect(brief(next)).toBe('held');
    expect(next.kind === 'hold' && next.why).toContain('drain_timeout is not set');
  });

  it('opens behind an SQL error after drain_timeout, if the operator set one, and reports what was skipped', () => {
    const active = follower({ ...behind, io: 'No', sql: 'No', sqlError: { code: 1062, text: 'Duplicate entry' } });
    const policy = { ...NO_SAFETY, drainTimeoutSec: 5 };
    const early = { receivedBefore: null, drainingSec: 4.9, withoutWriterSec: 0 };
    expect(brief(nextStep(situation({ ...gone, active, policy, progress: early })))).toBe('held');
    const next = nextStep(situation({ ...gone, active, policy, progress: { ...early, drainingSec: 5 } }));
    expect(brief(next)).toBe('open B');
    expect(next.kind === 'step' && next.why).toContain('SKIPPED');
  });

  it.each([null, 60])(
    'goes back to the host that wrote last when that is here again and this one is stuck (drain_timeout %s)',
    (drainTimeoutSec) => {
      const active = follower({ ...behind, sql: 'No', sqlError: { code: 1062, text: 'Duplicate entry' } });
      const stuck = { active, passiveWroteLast: true, policy: { ...NO_SAFETY, drainTimeoutSec } };
      // Closed, whether all of it was received or not, or thawed and open.
      const binlog = { file: 'bin.000001', pos: 140 };
      for (const passive of [answered(), answered({ binlog }), answered({ readOnly: false })]) {
        expect(brief(nextStep(situation({ ...stuck, passive })))).toBe('failed');
      }
      expect(brief(nextStep(situation({ ...stuck, ...gone })))).toBe('held');
      expect(brief(nextStep(situation({ ...stuck, passive: answered(), passiveWroteLast: false })))).toBe('held');
    },
  );

  it('waits on without drain_timeout as long as the SQL thread applies', () => {
    const progress = { receivedBefore: null, drainingSec: 3600, withoutWriterSec: 0 };
    expect(brief(nextStep(situation({ ...gone, active: follower({ ...behind, io: 'No' }), progress })))).toBe(
      'await-applied B',
    );
  });

  it('does not pass over a host that only this agent cannot reach', () => {
    const next = nextStep(situation({ passive: failure('silent'), passiveGone: false }));
    expect(brief(next)).toBe('held');
  });

  it.each(['saturated', 'auth-refused', 'blocked', 'server-error'] as const)(
    'does not open beside a host that is %s: it is alive and cannot be closed',
    (kind) => {
      expect(brief(nextStep(situation({ passive: failure(kind), passiveGone: true })))).toBe('held');
    },
  );

  it('leaves the old active alone when the new one cannot be reached', () => {
    const next = nextStep(situation({ active: failure('silent') }));
    expect(brief(next)).toBe('held');
    expect(next.kind === 'hold' && next.why).toContain(`${A} is left as it is`);
  });

  it('closes an old active that comes back while the new one is drained, and lets it send what it holds', () => {
    const active = follower({ io: 'No' });
    expect(brief(nextStep(situation({ active, ioStopped: [B] })))).toBe('start-io B');
    // It restarted since.
    const both = follower({ io: 'No', sql: 'No' });
    expect(brief(nextStep(situation({ active: both, ioStopped: [B] })))).toBe('start-replication B');
    const broken = follower({ io: 'No', sql: 'No', sqlError: { code: 1062, text: 'Duplicate entry' } });
    expect(brief(nextStep(situation({ active: broken, ioStopped: [B] })))).toBe('start-io B');
    expect(brief(nextStep(situation({ active: follower(), ioStopped: [B] })))).toBe('close A');
  });
});

describe('an active that restarted read only', () => {
  it('is opened again without a drain, even with its replication broken', () => {
    const active = follower({ ...behind, io: 'No', ioError: { code: 1236, text: 'no binlog' } });
    const passive = answered({ serverId: 1 });
    expect(brief(nextStep(situation({ incumbent: true, active, passive })))).toBe('open B');
    expect(brief(nextStep(situation({ incumbent: true, active, passive: failure('silent') })))).toBe('open B');
  });

  it('is not opened beside a writable host: somebody opened that by hand', () => {
    expect(brief(nextStep(situation({ incumbent: true })))).toBe('close A');
  });

  it('first replicates from a writable host when its own replication was not started since: nobody else starts it', () => {
    const came = { io: 'No', sql: 'No', sourceServerId: 0 } as const;
    const back = (changes: Parameters<typeof follower>[0]) => situation({ incumbent: true, active: follower(changes) });
    expect(brief(nextStep(back(came)))).toBe('start-replication B');
    expect(brief(nextStep(back({ ...came, io: 'Connecting', sql: 'Yes' })))).toBe('held');
    expect(brief(nextStep(back({ ...came, sql: 'Yes', ioError: { code: 1593, text: 'equal server ids' } })))).toBe(
      'held',
    );
  });
});

describe('an open active', () => {
  const open = { readOnly: false };

  it('has a second writer closed first of all', () => {
    expect(brief(nextStep(situation({ active: follower({}, open) })))).toBe('close A');
  });

  it('has its accounts released and those of the passive blocked', () => {
    const accounts = { open: 0, blocked: 1 };
    const passive = answered({ accounts: { open: 1, blocked: 0 } });
    expect(brief(nextStep(situation({ active: follower({}, { ...open, accounts }), passive })))).toBe('release B');
    expect(brief(nextStep(situation({ active: follower({}, open), passive })))).toBe('block A');
  });

  it('does not wait for accounts that cannot be blocked or released: the second writer is closed, and replication healed', () => {
    const accounts = { open: 1, blocked: 1 };
    const active = follower({ io: 'No' }, { ...open, accounts });
    const plan = (readOnly: boolean) =>
      brief(
        nextStep(situation({ active, passive: answered({ serverId: 1, readOnly, accounts }), accountsStuck: [A, B] })),
      );
    expect(plan(false)).toBe('close A');
    expect(plan(true)).toBe('start-io B');
  });

  it('replicates from the passive again only once that is known to be closed [F5]', () => {
    const active = follower({ io: 'No' }, open);
    expect(brief(nextStep(situation({ active, passive: failure('silent'), passiveGone: true })))).toBe('settled');
    expect(brief(nextStep(situation({ active, passive: answered({ serverId: 1 }) })))).toBe('start-io B');
    const since = follower({ io: 'No', ioError: { code: 2003, text: "can't connect" } }, open);
    expect(brief(nextStep(situation({ active: since, passive: answered({ serverId: 1 }) })))).toBe('start-io B');
    const stopped = follower({ io: 'No', sql: 'No' }, open);
    expect(brief(nextStep(situation({ active: stopped, passive: answered({ serverId: 1 }) })))).toBe(
      'start-replication B',
    );
  });

  it('leaves the passive with its threads stopped for a backup', () => {
    const passive = answered({ serverId: 1, replication: someReplication({ source: B, io: 'No', sql: 'No' }) });
    const active = follower({}, open);
    expect(brief(nextStep(situation({ active, passive })))).toBe('settled');
    const onlyIo = answered({ serverId: 1, replication: someReplication({ source: B, io: 'No' }) });
    expect(brief(nextStep(situation({ active, passive: onlyIo })))).toBe('settled');
  });

  it('has the passive replicate again when an agent stopped it, or when it came back stopped', () => {
    const active = follower({}, open);
    const onlyIo = answered({ serverId: 1, replication: someReplication({ source: B, io: 'No' }) });
    expect(brief(nextStep(situation({ active, passive: onlyIo, ioStopped: [A] })))).toBe('start-io A');
    const both = answered({ serverId: 1, replication: someReplication({ source: B, io: 'No', sql: 'No' }) });
    expect(brief(nextStep(situation({ active, passive: both, passiveRestarted: true })))).toBe('start-replication A');
  });

  it('has it replicate again after a restart that no agent saw: the I/O thread never ran in this life of the server', () => {
    const active = follower({}, open);
    const came = { source: B, io: 'No', sourceServerId: 0 } as const;
    const none = answered({ serverId: 1, replication: someReplication({ ...came, sql: 'No' }) });
    expect(brief(nextStep(situation({ active, passive: none })))).toBe('start-replication A');
    const drained = answered({ serverId: 1, replication: someReplication(came) });
    expect(brief(nextStep(situation({ active, passive: drained })))).toBe('start-io A');
  });

  it('has the one to be opened receive the rest when it restarted in the middle of the change and nobody writes', () => {
    const passive = answered({ serverId: 1, binlog: { file: 'bin.000001', pos: 300 } });
    const none = follower({ io: 'No', sql: 'No', sourceServerId: 0 });
    expect(brief(nextStep(situation({ active: none, passive })))).toBe('start-replication B');
    expect(brief(nextStep(situation({ active: follower({ io: 'No', sourceServerId: 0 }), passive })))).toBe(
      'start-io B',
    );
  });
});

/** One host of the small world. Positions count transactions; both hosts' logs are called alike. */
interface Tiny {
  up: 'up' | 'refused' | 'silent' | 'saturated';
  readOnly: boolean;
  io: boolean;
  sql: boolean;
  sqlBroken: boolean;
  received: number;
  applied: number;
  log: number;
}

const tiny = (): fc.Arbitrary<Tiny> =>
  fc.record({
    up: fc.constantFrom('up', 'up', 'up', 'refused', 'silent', 'saturated'),
    readOnly: fc.boolean(),
    io: fc.boolean(),
    sql: fc.boolean(),
    sqlBroken: fc.boolean(),
    received: fc.integer({ min: 0, max: 3 }),
    applied: fc.integer({ min: 0, max: 3 }),
    log: fc.integer({ min: 0, max: 3 }),
  });

function asEvidence(host: Tiny, source: Host, serverId: number): Evidence {
  if (host.up !== 'up') return failure(host.up);
  const at = (pos: number) => ({ file: 'bin.000001', pos });
  return answered({
    serverId,
    readOnly: host.readOnly,
    binlog: at(host.log),
    replication: someReplication({
      source,
      sourceServerId: 3 - serverId,
      io: host.io ? 'Yes' : 'No',
      sql: host.sql ? 'Yes' : 'No',
      sqlError: host.sql || !host.sqlBroken ? { code: 0, text: '' } : { code: 1062, text: 'conflict' },
      received: at(host.received),
      applied: at(host.applied),
      readAll: host.applied >= host.received,
    }),
  });
}

/** What the servers would do with a step. */
function doStep(world: { a: Tiny; b: Tiny }, step: Step): void {
  const host = step.host === A ? world.a : world.b;
  const source = step.host === A ? world.b : world.a;
  switch (step.do) {
    case 'close':
      host.readOnly = true;
      break;
    case 'open':
      host.readOnly = false;
      break;
    case 'start-sql':
      host.sql = true;
      break;
    case 'stop-io':
      host.io = false;
      break;
    case 'start-io':
      host.io = true;
      break;
    case 'start-replication':
      host.io = true;
      host.sql = true;
      break;
    case 'await-applied':
      host.applied = host.received;
      break;
    case 'await-received':
      if (source.up === 'up') host.received = Math.max(host.received, source.log);
      break;
    default:
      break;
  }
}

describe('from any state of two servers', () => {
  const world = fc.record({ a: tiny(), b: tiny(), incumbent: fc.boolean() }).map(({ a, b, incumbent }) => {
    // Nobody has applied what he has not received, nor received what was never written.
    for (const [host, source] of [
      [a, b],
      [b, a],
    ] as const) {
      host.received = Math.min(host.received, source.log);
      host.applied = Math.min(host.applied, host.received);
    }
    return { a, b, incumbent };
  });

  /** Runs to the end; `cutAfter` forgets all progress after so many steps, as a restarted agent does. */
  function run(start: { a: Tiny; b: Tiny; incumbent: boolean }, cutAfter: number | null) {
    const now = { a: { ...start.a }, b: { ...start.b } };
    const ioStopped = new Set<Host>();
    let closed = 0;
    for (let count = 0; count < 30; count++) {
      if (count === cutAfter) closed = 0;
      const next = nextStep(
        situation({
          active: asEvidence(now.b, A, 2),
          passive: asEvidence(now.a, B, 1),
          incumbent: start.incumbent,
          passiveGone: now.a.up === 'refused' || now.a.up === 'silent',
          ioStopped: [...ioStopped],
          progress: { receivedBefore: null, drainingSec: 0, withoutWriterSec: closed },
        }),
      );
      if (next.kind !== 'step') return { end: brief(next), now };
      const { step } = next;
      const target = step.host === A ? now.a : now.b;
      expect(target.up, `${step.do} on a host that does not answer`).toBe('up');
      if (step.do === 'open') {
        expect(now.a.up === 'up' && !now.a.readOnly, 'opened beside a writer (S1)').toBe(false);
        if (!start.incumbent) {
          expect(now.a.up, 'opened beside a host that is alive and unfenced').not.toBe('saturated');
          expect(now.b.applied, 'opened ahead of its own log (S4)').toBe(now.b.received);
          if (now.a.up === 'up') expect(now.b.received, 'opened without what the other holds').toBe(now.a.log);
        }
      }
      if (step.do === 'close') {
        expect(now.b.up, 'closed a writer with nobody to open').toBe('up');
        closed = 1;
      }
      if (step.do === 'stop-io') ioStopped.add(step.host);
      if (step.do === 'start-io') ioStopped.delete(step.host);
      doStep(now, step);
    }
    throw new Error(`no end in 30 steps: ${JSON.stringify(now)}`);
  }

  it('the plan comes to an end, and keeps one writer, drained, on the way', () => {
    fc.assert(
      fc.property(world, (start) => {
        const { end, now } = run(start, null);
        expect(end === 'settled').toBe(now.b.up === 'up' && !now.b.readOnly);
      }),
      { numRuns: 5_000 },
    );
  });

  it('a plan that is cut off after any step and begun again ends the same', () => {
    fc.assert(
      fc.property(world, fc.integer({ min: 0, max: 12 }), (start, cutAfter) => {
        const whole = run(start, null);
        const cut = run(start, cutAfter);
        expect(cut.now).toEqual(whole.now);
      }),
      { numRuns: 5_000 },
    );
  });
});

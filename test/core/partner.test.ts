// Who is complete beside the active, one look at a time: each rule of the partner, and what another agent makes of what one left behind.
// How the rules play together, with agents that are cut off anywhere, is in partner-walk.test.ts.

import { describe, expect, it } from 'vitest';
import type { Complete } from '../../src/core/complete.ts';
import { nextPartnerStep, type PartnerNext } from '../../src/core/partner.ts';
import { NO_MEMORY, type PartnerMemory, type Partnership } from '../../src/core/partner-memory.ts';
import { failure } from '../support/facts.ts';
import {
  A,
  A1,
  ALONE,
  active,
  aJoining,
  aPartnership,
  B,
  B_BOOT,
  B1,
  BOTH,
  NOW_MS,
  type OfActive,
  type OfPassive,
  passive,
  WALL_MS,
} from '../support/partnership.ts';

const first = (changes: Partial<Partnership> = {}): PartnerNext =>
  nextPartnerStep(aPartnership(changes), NO_MEMORY).next;

type Looks = readonly (Partial<Partnership> & { readonly afterMs?: number })[];

/** Looks one after the other, each so many milliseconds after the first: what each of them leads to. */
function looks(...seen: Looks): PartnerNext[] {
  let memory: PartnerMemory = NO_MEMORY;
  return seen.map(({ afterMs = 0, ...changes }) => {
    const scene = aPartnership({ nowMs: NOW_MS + afterMs, wallMs: WALL_MS + afterMs, ...changes });
    const result = nextPartnerStep(scene, memory);
    memory = result.memory;
    return result.next;
  });
}

const last = (...seen: Looks) => looks(...seen).at(-1);

/** A alone is complete, and its commits go without an acknowledgement. */
const aloneWith = (a: OfActive = {}, b: OfPassive = {}): Partial<Partnership> => ({
  complete: ALONE,
  active: active({ source: false, ...a }),
  passive: passive(b),
});

const stepOf = (next: PartnerNext | undefined) => (next?.kind === 'step' ? next.step : next);
const whyOf = (next: PartnerNext | undefined) => (next?.kind === 'step' ? next.why : '');
const shrunk: Complete = { generation: 13, writer: A1, hosts: [A1] };

describe('nothing is done', () => {
  it('while both are complete and the passive acknowledges', () => {
    expect(first()).toEqual({ kind: 'rest', trouble: null, inMs: 1_000 });
  });

  it.each<[string, Partial<Partnership>]>([
    ['does not answer', { active: failure('silent') }],
    ['is refused', { active: failure('refused') }],
    ['is closed', { active: active({ facts: { readOnly: true } }) }],
    ['has no row', { active: active({ facts: { row: null } }) }],
    ['is not claimed by the decision', { active: active({ row: { epoch: { number: 6, id: 'd6', active: A } } }) }],
    ['knows a higher decision', { active: active({ row: { epoch: { number: 8, id: 'd8', active: B } } }) }],
    [
      'knows another decision of that number',
      { active: active({ row: { epoch: { number: 7, id: 'x', active: A } } }) },
    ],
    [
      'was opened by another decision',
      { active: active({ row: { opened: { number: 6, id: 'd6', startedSec: 100 } } }) },
    ],
    ['was opened in another life', { active: active({ row: { opened: { number: 7, id: 'd7', startedSec: 90 } } }) }],
    ['was never opened', { active: active({ row: { opened: null } }) }],
  ])('when the active %s, whatever the board says', (_what, changes) => {
    for (const complete of [null, BOTH, ALONE]) {
      for (const durability of ['lossless', 'async'] as const) {
        expect(first({ ...changes, complete, durability })).toMatchObject({ kind: 'look' });
      }
    }
  });

  it('for a pair that is async, and was never anything else', () => {
    const next = first({ durability: 'async', complete: null, active: active({ source: false }) });
    expect(next).toEqual({ kind: 'rest', trouble: null, inMs: 1_000 });
    expect(first({ ...aloneWith(), durability: 'async' })).toEqual({ kind: 'rest', trouble: null, inMs: 1_000 });
  });
});

describe('a new writer is recorded', () => {
  it.each<[string, Complete | null, number | null, number]>([
    ['when the board knows no set', null, null, 13],
    ['when the set is that of the host before', { generation: 20, writer: B1, hosts: [A1, B1] }, 20, 21],
    ['when the set is that of its own life before', { ...BOTH, writer: { ...A1, startedSec: 90 } }, 12, 13],
    ['when the set is that of another server at its address', { ...BOTH, writer: { ...A1, uuid: 'other' } }, 12, 13],
    ['when the set does not name its own writer', { ...BOTH, hosts: [B1] }, 12, 13],
    ['when the set is older than the row of the active', { generation: 3, writer: B1, hosts: [B1] }, 3, 13],
  ])('%s', (_what, complete, from, generation) => {
    const recorded = { do: 'record', from, complete: { generation, writer: A1, hosts: [A1] } };
    expect(stepOf(first({ complete }))).toEqual(recorded);
    // Whatever the passive is like, and whether or not commits wait.
    expect(stepOf(first({ complete, active: active({ source: false }), passive: failure('silent') }))).toEqual(
      recorded,
    );
  });

  it('also for a pair that became async: the set must not be believed when it is lossless again', () => {
    const other = { generation: 20, writer: B1, hosts: [A1, B1] };
    expect(stepOf(first({ durability: 'async', complete: other }))).toMatchObject({ do: 'record', from: 20 });
    expect(stepOf(first({ durability: 'async', complete: null }))).toMatchObject({ do: 'record', from: null });
  });
});

describe('the active goes on alone', () => {
  it('when it is the only complete host and its commits wait', () => {
    const next = first({ complete: ALONE });
    expect(stepOf(next)).toEqual({ do: 'sync-off', generation: 12 });
  });

  it('before anybody thinks of a join, for nobody acknowledges yet', () => {
    const waits = {
      complete: ALONE,
      active: active({ waiting: 5, clients: 0 }),
      passive: passive({ replicaOn: false }),
    };
    expect(stepOf(last(waits, { ...waits, afterMs: 5_000 }))).toEqual({ do: 'sync-off', generation: 12 });
  });

  it('with a generation above that of its row, when the board went back', () => {
    const behind = { complete: ALONE, active: active({ row: { generation: 40 } }) };
    expect(stepOf(first(behind))).toEqual({ do: 'renumber', from: 12, complete: { ...ALONE, generation: 41 } });
    const renumbered = { ...behind, complete: { ...ALONE, generation: 41 } };
    expect(stepOf(last(behind, renumbered))).toEqual({ do: 'sync-off', generation: 41 });
  });

  it('with a new generation when a join is over that somebody began, who may be about to end it', () => {
    const over = aJoining({ by: 'db2', generation: 12, untilMs: WALL_MS - 1 });
    const next = first({ complete: ALONE, joining: over });
    expect(stepOf(next)).toEqual({ do: 'renumber', from: 12, complete: shrunk });
  });

  it('under async, too', () => {
    expect(stepOf(first({ durability: 'async', complete: ALONE }))).toEqual({ do: 'sync-off', generation: 12 });
  });
});

describe('the set shrinks to the active', () => {
  it.each<[string, Partial<Partnership>, RegExp]>([
    ['nobody acknowledges', { active: active({ clients: 0 }) }, /no replica acknowledges/],
    ['a third replica acknowledges', { active: active({ clients: 2 }) }, /another replica than .* \(2 in all\)/],
    ['another replica acknowledges instead', { passive: passive({ replicaOn: false }) }, /another replica does/],
    ['the passive has lost its semi-synchronous side', { passive: passive({ facts: { semiSync: null } }) }, /another/],
    [
      'the passive was restarted',
      { passive: passive({ facts: { boot: { ...B_BOOT, startedSec: 300 } } }) },
      /restarted/,
    ],
    ['the passive is another server', { passive: passive({ facts: { boot: { ...B_BOOT, uuid: 'x' } } }) }, /restarted/],
    [
      'the SQL thread of the passive stopped with an error',
      { passive: passive({ replication: { sql: 'No', sqlError: { code: 1062, text: 'Duplicate entry' } } }) },
      /SQL thread .* stopped \(error 1062: Duplicate entry\)/,
    ],
    [
      'both threads of the passive are stopped with something unapplied',
      {
        passive: passive({
          replication: { io: 'No', sql: 'No', readAll: false, received: { file: 'bin.000001', pos: 900 } },
        }),
      },
      /both replication threads/,
    ],
    [
      'the passive replicates from somebody else',
      { passive: passive({ replication: { source: '10.0.0.9:3306', sourceServerId: 9 } }) },
      /replicates from 10\.0\.0\.9:3306/,
    ],
    ['the passive does not replicate', { passive: passive({ facts: { replication: null } }) }, /does not replicate/],
    ['somebody switched it off', { active: active({ source: false }) }, /switched off/],
    ['the active has none any more', { active: active({ facts: { semiSync: null } }) }, /has no semi-synchronous/],
    ['its settings let it acknowledge alone', { active: active({ wrong: 'timeout is 10 s' }) }, /timeout is 10 s/],
    ['the board is older than the row', { active: active({ row: { generation: 14 } }) }, /generation 14, the board 12/],
    ['the board is newer than the row', { active: active({ row: { generation: 3 } }) }, /generation 3, the board 12/],
    ['the pair is async', { durability: 'async' }, /durability=async/],
    ['the last agent goes, after whom nobody would notice a loss', { leaving: true }, /the last agent was stopped/],
    [
      'the set names a host that is not of the pair',
      { complete: { ...BOTH, hosts: [A1, { ...B1, host: '10.0.0.9:3306' }] } },
      /not of the pair/,
    ],
  ])('when %s', (_what, changes, why) => {
    const next = first(changes);
    expect(stepOf(next)).toMatchObject({ do: 'shrink', from: 12, complete: { writer: A1, hosts: [A1] } });
    expect(whyOf(next)).toMatch(why);
  });

  it('to a generation above the board’s and the row’s, so that whoever knows an older one changes nothing', () => {
    expect(stepOf(first({ active: active({ clients: 0 }) }))).toMatchObject({ complete: { generation: 13 } });
    const next = first({ active: active({ row: { generation: 30 } }) });
    expect(stepOf(next)).toMatchObject({ complete: { generation: 31 } });
  });

  it('and only then the active goes on alone', () => {
    const lost = { active: active({ clients: 0, waiting: 3 }) };
    const steps = looks(lost, { ...lost, complete: shrunk }).map(stepOf);
    expect(steps).toMatchObject([{ do: 'shrink' }, { do: 'sync-off', generation: 13 }]);
  });

  it.each<[string, Partial<Partnership>]>([
    [
      'an applier that was merely stopped, which the drain starts',
      { passive: passive({ replication: { sql: 'No' } }) },
    ],
    ['both threads stopped with everything applied', { passive: passive({ replication: { io: 'No', sql: 'No' } }) }],
    ['a passive that does not answer', { passive: failure('silent') }],
    ['a passive with too many connections', { passive: failure('saturated') }],
    ['a passive that is refused, while commits are acknowledged', { passive: failure('refused'), passiveBroke: true }],
    ['commits that wait at one look', { active: active({ waiting: 4 }) }],
  ])('not for %s', (_what, changes) => {
    expect(first(changes)).toMatchObject({ kind: 'rest', trouble: null });
  });
});

describe('a passive that says nothing', () => {
  const waits = (acknowledged = 1_000): Partial<Partnership> => ({
    active: active({ waiting: 4, acknowledged }),
    passive: failure('silent'),
  });

  it('is lost when commits waited for 1.5 s and none was acknowledged', () => {
    const [began, still, over] = looks(waits(), { ...waits(), afterMs: 1_499 }, { ...waits(), afterMs: 1_500.25 });
    expect(began).toMatchObject({ kind: 'rest', inMs: 50 });
    expect(still).toMatchObject({ kind: 'rest' });
    expect(stepOf(over)).toMatchObject({ do: 'shrink', from: 12 });
    expect(whyOf(over)).toMatch(/commits wait, and .* acknowledged none for 1500 ms/);
  });

  it('is not while the count moves, however many wait at each look', () => {
    const moving = [0, 1, 2, 3, 4].map((at) => ({ ...waits(1_000 + at), afterMs: at * 1_000 }));
    for (const next of looks(...moving)) expect(next).toMatchObject({ kind: 'rest' });
  });

  it('is not when nobody waited in between', () => {
    const between = { active: active(), afterMs: 800 };
    expect(last(waits(), between, { ...waits(), afterMs: 1_600 })).toMatchObject({ kind: 'rest' });
  });

  it('is lost although the active was not seen for a moment', () => {
    const unseen = { active: failure('silent'), afterMs: 800 };
    expect(stepOf(last(waits(), unseen, { ...waits(), afterMs: 1_600 }))).toMatchObject({ do: 'shrink' });
  });

  it('is lost sooner when nothing listens there any more and its connection broke', () => {
    const down = { ...waits(), passive: failure('refused'), passiveBroke: true };
    expect(last(down, { ...down, afterMs: 49 })).toMatchObject({ kind: 'rest', inMs: 50 });
    expect(stepOf(last(down, { ...down, afterMs: 50 }))).toMatchObject({ do: 'shrink' });
  });

  it('is looked at again soon when nothing listens there, though no commit waits yet', () => {
    expect(first({ passive: failure('refused'), passiveBroke: true })).toMatchObject({ kind: 'rest', inMs: 50 });
  });

  it('is not lost sooner when this agent was never connected there: a firewall may refuse it', () => {
    const refused = { ...waits(), passive: failure('refused') };
    expect(last(refused, { ...refused, afterMs: 1_000 })).toMatchObject({ kind: 'rest' });
  });

  it('is not lost while a restart of the agent makes it forget since when commits wait', () => {
    expect(first(waits())).toMatchObject({ kind: 'rest' });
  });
});

describe('the passive joins', () => {
  it('when it has received what the active held a moment ago', () => {
    const [before, next] = looks(aloneWith(), { ...aloneWith(), afterMs: 50 });
    expect(before).toEqual({ kind: 'look', inMs: 50 });
    expect(stepOf(next)).toEqual({
      do: 'join',
      from: 12,
      joining: { host: B, by: 'db1', generation: 13, untilMs: WALL_MS + 50 + 5_000 },
    });
  });

  it('with a generation above that of the row, when the board went back', () => {
    const behind = aloneWith({ row: { generation: 40 } });
    expect(stepOf(last(behind, { ...behind, afterMs: 50 }))).toMatchObject({ do: 'join', joining: { generation: 41 } });
  });

  it.each<[string, Partial<Partnership>, RegExp]>([
    ['does not answer', { ...aloneWith(), passive: failure('refused') }, /does not answer \(refused/],
    ['is open', aloneWith({}, { facts: { readOnly: false } }), /is not closed/],
    ['has no row', aloneWith({}, { facts: { row: null } }), /does not know decision 7 yet/],
    [
      'is not claimed by this decision',
      aloneWith({}, { row: { epoch: { number: 6, id: 'd6', active: A } } }),
      /does not know decision 7 yet/,
    ],
    ['has no semi-synchronous replication', aloneWith({}, { facts: { semiSync: null } }), /10\.0\.0\.7:3306 has no/],
    ['has a source without', aloneWith({ facts: { semiSync: null } }), /10\.0\.0\.5:3306 has no/],
    ['does not replicate', aloneWith({}, { facts: { replication: null } }), /does not replicate/],
    [
      'replicates from somebody else',
      aloneWith({}, { replication: { source: '10.0.0.9:3306', sourceServerId: 9 } }),
      /replicates from 10\.0\.0\.9/,
    ],
    ['has its SQL thread stopped', aloneWith({}, { replication: { sql: 'No' } }), /SQL thread .* does not run/],
    [
      'has its SQL thread stopped by an error',
      aloneWith({}, { replication: { sql: 'No', sqlError: { code: 1062, text: 'Duplicate' } } }),
      /stopped \(error 1062/,
    ],
    ['has its I/O thread stopped', aloneWith({}, { replication: { io: 'No' } }), /I\/O thread .* does not run/],
    [
      'cannot connect to the active',
      aloneWith({}, { replication: { io: 'Connecting', ioError: { code: 1045, text: 'Access denied' } } }),
      /I\/O thread .* \(error 1045: Access denied\)/,
    ],
    ['would wait for acknowledgements itself', aloneWith({}, { source: true }), /its source side is on/],
    ['holds what waits for an operator', { ...aloneWith(), held: true }, /on_divergence=hold/],
    ['is not the only one that acknowledges', aloneWith({ clients: 2 }), /another replica .* \(2 in all\)/],
    ['is not the one that acknowledges', aloneWith({}, { replicaOn: false }), /another replica .* \(1 in all\)/],
    [
      'is behind',
      aloneWith({ facts: { binlog: { file: 'bin.000001', pos: 900 } } }),
      /has not received what 10\.0\.0\.5:3306 held a moment ago/,
    ],
    ['replicates from a host that writes no binary log', aloneWith({ facts: { binlog: null } }), /has not received/],
  ])('not while it %s', (_what, changes, trouble) => {
    const next = last(changes, { ...changes, afterMs: 50 });
    expect(next).toMatchObject({ kind: 'rest', inMs: 1_000 });
    expect(next?.kind === 'rest' ? next.trouble : '').toMatch(trouble);
  });

  it('not while a pair is async', () => {
    const seen = { ...aloneWith(), durability: 'async' as const };
    expect(last(seen, { ...seen, afterMs: 50 })).toMatchObject({ kind: 'rest', trouble: null });
  });

  it('not with the last agent that goes', () => {
    const seen = { ...aloneWith(), leaving: true };
    expect(last(seen, { ...seen, afterMs: 50 })).toMatchObject({ kind: 'rest', trouble: null });
  });

  it('not by where the active stood long ago', () => {
    expect(last(aloneWith(), { ...aloneWith(), afterMs: 3_001 })).toEqual({ kind: 'look', inMs: 50 });
  });
});

describe('a join', () => {
  const joining = (changes: Partial<Partnership> = {}): Partial<Partnership> => ({
    ...aloneWith(),
    complete: { ...ALONE, generation: 13 },
    joining: aJoining(),
    ...changes,
  });
  const begin = [aloneWith(), { ...aloneWith(), afterMs: 50 }] as const;
  const on = (a: OfActive = {}, b: OfPassive = {}): Partial<Partnership> =>
    joining({ active: active({ ...a, row: { generation: 13 } }), passive: passive(b) });
  const steps = (...seen: Looks) =>
    looks(...begin, ...seen)
      .map(stepOf)
      .slice(2);

  it('goes from the passive to the active to the set', () => {
    const off = { replica: false, replicaOn: false };
    const far = { facts: { binlog: { file: 'bin.000001', pos: 130 } } };
    const received = { replication: { received: { file: 'bin.000001', pos: 130 } } };
    expect(
      steps(
        joining({ active: active({ source: false, clients: 0 }), passive: passive(off) }),
        joining({ active: active({ source: false, clients: 0 }), passive: passive({ replicaOn: false }) }),
        joining({
          active: active({ source: false, clients: 0 }),
          passive: passive({ replicaOn: false, replication: { io: 'Connecting' } }),
        }),
        joining(),
        on({ clients: 0 }),
        on({ ...far }),
        on({ ...far }),
        on({ ...far }, received),
      ),
    ).toEqual([
      { do: 'acknowledge' },
      { do: 'restart-io' },
      { kind: 'look', inMs: 20 },
      { do: 'sync-on', generation: 13 },
      { kind: 'look', inMs: 20 },
      { kind: 'look', inMs: 0 },
      { kind: 'look', inMs: 20 },
      { do: 'complete', from: 13, complete: { generation: 13, writer: A1, hosts: [A1, B1] } },
    ]);
  });

  it('waits for what the active held at a look after it was paired, not at that one', () => {
    const at = (pos: number) => ({ facts: { binlog: { file: 'bin.000001', pos } } });
    // At the second look the active is further than the passive: what it acknowledged alone right before may be in between.
    expect(steps(joining(), on(at(100)), on(at(130)), on(at(130)))).toMatchObject([
      { do: 'sync-on' },
      { kind: 'look' },
      { kind: 'look' },
      { kind: 'look' },
    ]);
  });

  it('goes by GTIDs where the active is not asked for its position while its commits may wait (MySQL)', () => {
    const uuid = '11111111-1111-1111-1111-111111111111';
    const far = { facts: { binlog: null, gtid: `${uuid}:1-9` } };
    const received = (to: number): OfPassive => ({
      facts: { gtid: `${uuid}:1-2` },
      replication: { receivedGtid: `${uuid}:3-${to}` },
    });
    expect(steps(joining(), on(far), on(far, received(8)), on(far, received(9)))).toMatchObject([
      { do: 'sync-on' },
      { kind: 'look' },
      { kind: 'look' },
      { do: 'complete' },
    ]);
    // Without GTIDs nobody can say.
    const unknown = { facts: { binlog: null, gtid: null } };
    expect(steps(joining(), on(unknown), on(unknown), on(unknown)).at(-1)).toMatchObject({ kind: 'look' });
  });

  it('names the passive in the life in which it received all of it', () => {
    const boot = { ...B_BOOT, startedSec: 300 };
    const again = (afterMs = 0) => ({ ...on({}, { facts: { boot } }), afterMs });
    expect(steps(joining(), again(), again(), again()).at(-1)).toMatchObject({
      do: 'complete',
      complete: { hosts: [A1, { host: B, ...boot }] },
    });
  });

  it.each<[string, Looks, RegExp]>([
    [
      'the passive does not begin to acknowledge',
      [
        joining({ active: active({ source: false, clients: 0 }), passive: passive({ replicaOn: false }) }),
        {
          ...joining({ active: active({ source: false, clients: 0 }), passive: passive({ replicaOn: false }) }),
          afterMs: 1_050,
        },
      ],
      /did not start to acknowledge within 1000 ms/,
    ],
    [
      'nobody is seen to acknowledge in time',
      [joining(), on({ clients: 0 }), { ...on({ clients: 0 }), afterMs: 1_050 }],
      /was not seen to acknowledge .* within 1000 ms/,
    ],
    ['a third replica acknowledges', [joining(), on({ clients: 2 })], /another replica .* \(2 in all\)/],
    ['the passive is lost', [joining(), on(), { ...on(), passive: failure('refused') }], /does not answer/],
    ['the passive is opened', [joining(), on({}, { facts: { readOnly: false } })], /is not closed/],
    ['the settings of the active do not take', [joining(), on({ wrong: 'timeout is 10 s' })], /timeout is 10 s/],
    [
      'the passive does not receive all of it in time',
      [
        joining(),
        on({ facts: { binlog: { file: 'bin.000001', pos: 900 } } }),
        on({ facts: { binlog: { file: 'bin.000001', pos: 900 } } }),
        { ...on({ facts: { binlog: { file: 'bin.000001', pos: 900 } } }), afterMs: 1_050 },
      ],
      /did not receive all/,
    ],
    ['it takes too long', [{ ...joining(), afterMs: 4_050 }], /took longer than 4000 ms/],
    ['the pair becomes async', [{ ...joining(), durability: 'async' }], /durability=async/],
    ['the last agent goes', [joining(), { ...on(), leaving: true }], /the last agent was stopped/],
  ])('is given up when %s', (_what, seen, why) => {
    const next = last(...begin, ...seen);
    const given = { do: 'give-up', from: 13, complete: { generation: 14, writer: A1, hosts: [A1] } };
    expect(stepOf(next)).toEqual(given);
    expect(whyOf(next)).toMatch(why);
  });

  it('that was given up leaves the active alone, under the generation that nobody else knows', () => {
    const given = { ...on({ clients: 2 }), joining: null, complete: { ...ALONE, generation: 14 } };
    expect(steps(joining(), on({ clients: 2 }), given).at(-1)).toEqual({ do: 'sync-off', generation: 14 });
  });

  it('begins the wait anew when somebody switched it off in between', () => {
    const off = joining({ active: active({ source: false, row: { generation: 13 } }) });
    expect(steps(joining(), on(), on(), off, on(), on(), on())).toMatchObject([
      { do: 'sync-on' },
      { kind: 'look', inMs: 0 },
      { do: 'complete' },
      { do: 'sync-on' },
      { kind: 'look', inMs: 0 },
      { do: 'complete' },
      {},
    ]);
  });

  describe('of another agent', () => {
    const theirs = (changes: Partial<Partnership> = {}) => joining({ joining: aJoining({ by: 'db2' }), ...changes });

    it('is left to it, on and off', () => {
      expect(first(theirs())).toEqual({ kind: 'look', inMs: 50 });
      expect(first(theirs({ active: active({ row: { generation: 13 } }) }))).toEqual({ kind: 'look', inMs: 50 });
    });

    it('is taken over when it is over: its generation first', () => {
      const over = { afterMs: 5_001, ...theirs({ wallMs: WALL_MS + 5_001 }) };
      const onOver = { ...over, active: active({ row: { generation: 13 } }) };
      expect(stepOf(last(onOver))).toMatchObject({
        do: 'renumber',
        from: 13,
        complete: { generation: 14, hosts: [A1] },
      });
      // Nothing was switched yet: a join of one's own takes the next generation, too.
      expect(stepOf(last(over, { ...over, afterMs: 5_051 }))).toMatchObject({
        do: 'join',
        from: 13,
        joining: { generation: 14 },
      });
    });

    it('is taken over when clients wait because of it', () => {
      const waits = theirs({ active: active({ waiting: 2, row: { generation: 13 } }), passive: failure('silent') });
      expect(last(waits, { ...waits, afterMs: 1_499 })).toMatchObject({ kind: 'look' });
      expect(stepOf(last(waits, { ...waits, afterMs: 1_500 }))).toMatchObject({ do: 'renumber', from: 13 });
    });

    it('is what a join of one’s own has become when the other one was first', () => {
      expect(last(...begin, theirs())).toEqual({ kind: 'look', inMs: 50 });
      const later = theirs({ complete: { ...ALONE, generation: 14 }, joining: aJoining({ generation: 14 }) });
      expect(last(...begin, later)).toEqual({ kind: 'look', inMs: 50 });
    });

    it('that bears the name of this agent is another’s after a restart: nobody remembers how far it came', () => {
      expect(first(joining())).toEqual({ kind: 'look', inMs: 50 });
    });
  });
});

describe('a partner that comes and goes', () => {
  /** Lost `forMs` after it was joined, seen again after each second: so long it is left alone. */
  function gapAfter(...lives: readonly number[]): number {
    let memory: PartnerMemory = NO_MEMORY;
    let nowMs = NOW_MS;
    let generation = 12;
    const look = (changes: Partial<Partnership>) => {
      const result = nextPartnerStep(aPartnership({ nowMs, wallMs: WALL_MS + nowMs, ...changes }), memory);
      memory = result.memory;
      return result.next;
    };
    const row = () => ({ row: { generation } });
    let gapMs = 0;
    for (const livesMs of lives) {
      look({ complete: { ...BOTH, generation }, active: active(row()) });
      nowMs += livesMs;
      look({ complete: { ...BOTH, generation }, active: active({ ...row(), clients: 0 }) });
      generation += 1;
      const lostMs = nowMs;
      const alone = () => ({ complete: { ...ALONE, generation }, active: active({ source: false, ...row() }) });
      for (let next = look(alone()); next.kind !== 'step'; next = look(alone())) nowMs += Math.min(next.inMs, 100);
      gapMs = nowMs - lostMs;
      generation += 1;
    }
    return gapMs;
  }

  it('is taken in again a second after it was lost', () => {
    expect(gapAfter(600_000)).toBe(1_000);
  });

  it('is left alone twice as long each time, a minute at most', () => {
    const gaps = [1, 2, 3, 4, 5, 6, 7, 8, 9].map((times) => gapAfter(...Array.from({ length: times }, () => 2_000)));
    expect(gaps).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60].map((sec) => sec * 1_000));
  });

  it('is taken in after a second again when it was there for a minute', () => {
    expect(gapAfter(2_000, 2_000, 2_000, 59_999)).toBe(8_000);
    expect(gapAfter(2_000, 2_000, 2_000, 60_000)).toBe(1_000);
  });

  it('is known to another agent, which sees the set change', () => {
    const lost = [
      { active: active() },
      { complete: shrunk, active: active({ source: false, row: { generation: 13 } }), afterMs: 10 },
      { complete: shrunk, active: active({ source: false, row: { generation: 13 } }), afterMs: 500 },
    ] as const;
    expect(last(...lost)).toEqual({ kind: 'look', inMs: 510 });
  });

  it('is left alone, too, after joins that failed, whoever tried', () => {
    const failed = (generation: number, afterMs: number) => [
      {
        ...aloneWith({ row: { generation } }),
        complete: { ...ALONE, generation },
        joining: aJoining({ by: 'db2', generation }),
        afterMs,
      },
      {
        ...aloneWith({ row: { generation: generation + 1 } }),
        complete: { ...ALONE, generation: generation + 1 },
        afterMs: afterMs + 10,
      },
    ];
    const at = (afterMs: number) => ({
      ...aloneWith({ row: { generation: 16 } }),
      complete: { ...ALONE, generation: 16 },
      afterMs,
    });
    expect(last(...failed(13, 0), ...failed(15, 2_000), at(2_020))).toEqual({ kind: 'look', inMs: 1_990 });
  });

  it('is not remembered of another writer', () => {
    const other = { ...ALONE, writer: { ...A1, startedSec: 90 } };
    const seen = [
      { complete: { ...BOTH, writer: { ...A1, startedSec: 90 } } },
      { complete: other, afterMs: 10 },
      { ...aloneWith(), afterMs: 20 },
    ];
    expect(stepOf(last(...seen, { ...aloneWith(), afterMs: 70 }))).toMatchObject({ do: 'join' });
  });
});

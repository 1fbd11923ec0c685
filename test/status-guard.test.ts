// What the status says of a lease: it must never call a pair armed that would not be waited for.

import { describe, expect, it } from 'vitest';
import type { AgentRecord } from '../src/core/agents.ts';
import { type Board, type Life, NO_SAFETY, NO_TERMS, type Policy } from '../src/core/decision.ts';
import type { SeenFacts, SeenRow } from '../src/core/observation.ts';
import type { Epoch } from '../src/core/pair.ts';
import { type GuardScene, guardLines, guardStatus } from '../src/status-guard.ts';
import { anObservation, NOW_MS, PRIMARY, SECONDARY } from './support/build.ts';

const EPOCH: Epoch = { number: 7, id: 'e7', active: PRIMARY };
const POLICY: Policy = { ...NO_SAFETY, fencing: 'lease', onUnreachable: 'wait' };
const BOOT = { uuid: 'uuid-a', startedSec: 1_600_000_000 };
const LIFE: Life = { ...BOOT, cameUpReadOnly: true, armed: true };

function aRow(over: Partial<SeenRow> = {}): SeenRow {
  const opened = { number: 7, id: 'e7', startedSec: BOOT.startedSec };
  return { epoch: EPOCH, opened, unfenced: false, generation: 0, lease: 'finite', armed: true, ...over };
}

function anAgent(name: string, over: Partial<AgentRecord> = {}): AgentRecord {
  const renewal = { host: PRIMARY, epoch: { number: 7, id: 'e7' }, outcome: 'renewed', successes: 3 } as const;
  return { name, reachesBoth: true, renewal, ...over };
}

function aBoard(over: Partial<Board> = {}): Board {
  return {
    roles: { active: PRIMARY, passive: SECONDARY },
    epoch: EPOCH,
    report: null,
    opened: PRIMARY,
    decidedAtMs: NOW_MS,
    reasons: [],
    terms: { ...NO_TERMS, lease: 'finite' },
    divergence: null,
    request: null,
    pause: null,
    unfenced: false,
    lives: new Map([[PRIMARY, LIFE]]),
    complete: null,
    joining: null,
    announced: { active: PRIMARY, passive: SECONDARY },
    ...over,
  };
}

const ENDLESS = { terms: { ...NO_TERMS, lease: 'endless' }, unfenced: true } as const;

/** An armed pair in service, save what a test says. */
function aScene(
  over: Partial<Omit<GuardScene, 'board'>> & {
    board?: Partial<Board>;
    active?: Partial<SeenFacts>;
    passive?: Partial<SeenFacts>;
  } = {},
): GuardScene {
  const { board = {}, active = {}, passive = {}, ...rest } = over;
  return {
    board: aBoard(board),
    policy: POLICY,
    agents: [anAgent('db1'), anAgent('db2')],
    observations: [
      anObservation({ host: PRIMARY, boot: BOOT, row: aRow(), ...active }),
      anObservation({
        host: SECONDARY,
        readOnly: true,
        boot: { uuid: 'uuid-b', startedSec: 1 },
        row: aRow({ opened: null, lease: 'none' }),
        ...passive,
      }),
    ],
    nowMs: NOW_MS,
    ...rest,
  };
}

function linesOf(scene: GuardScene): readonly string[] {
  const status = guardStatus(scene);
  return status === null ? [] : guardLines('t', status);
}

function leaseOf(scene: GuardScene) {
  return guardStatus(scene)?.lease;
}

describe('an armed pair', () => {
  it('says so, who renews, and nothing else', () => {
    expect(linesOf(aScene())).toEqual([
      '  lease: armed; the active closes itself 3 s after its last renewal',
      '  agents: 2 of 2 registered: db1, db2',
      `  renewal: db1 renews ${PRIMARY} under decision 7`,
      `  renewal: db2 renews ${PRIMARY} under decision 7`,
    ]);
  });

  it('has its rows for programs', () => {
    expect(guardStatus(aScene())?.rows).toEqual([
      { host: PRIMARY, epoch: 7, opened: 7, lease: 'finite', armed: true, unfenced: false },
      { host: SECONDARY, epoch: 7, opened: null, lease: 'none', armed: true, unfenced: false },
    ]);
  });

  it('is still armed when the active falls silent, by what was known of it', () => {
    const scene = aScene();
    const [, passive] = scene.observations;
    const silent = anObservation({ host: PRIMARY, failure: 'silent' });
    expect(leaseOf({ ...scene, observations: passive === undefined ? [silent] : [silent, passive] })).toMatchObject({
      state: 'armed',
    });
  });
});

it('a pair with no safety on has nothing of this', () => {
  expect(guardStatus(aScene({ board: { terms: NO_TERMS } }))).toBeNull();
});

describe('a finite lease that would not be waited for is NOT armed', () => {
  const NOT_ARMED: readonly [string, GuardScene, RegExp][] = [
    ['while the flag stands', aScene({ board: { unfenced: true } }), /^the flag unfenced stands/],
    ['while nobody knows of the flag', aScene({ board: { unfenced: null } }), /^the flag unfenced stands/],
    ['when no agent has noted it', aScene({ board: { lives: new Map() } }), /^no agent has said yet/],
    [
      'when the agents noted that it is not',
      aScene({ board: { lives: new Map([[PRIMARY, { ...LIFE, armed: false }]]) } }),
      /^no agent has said yet/,
    ],
    [
      'when its EVENT stopped since',
      aScene({ active: { row: aRow({ armed: false }) } }),
      /does not tick; is event_scheduler on there\?$/,
    ],
    [
      'when the server started anew since',
      aScene({ active: { boot: { ...BOOT, startedSec: BOOT.startedSec + 60 } } }),
      /started anew since/,
    ],
  ];

  it.each(NOT_ARMED)('%s', (_, scene, why) => {
    expect(leaseOf(scene)).toEqual({ state: 'finite', sec: 3, why: expect.stringMatching(why) });
    expect(linesOf(scene)[0]).toMatch(/^ {2}lease: finite, NOT armed: /);
  });
});

describe('an endless lease is UNFENCED, and says why', () => {
  const by = { by: 'dba@db1', atMs: NOW_MS - 1_000 };
  const REASONS: readonly [string, GuardScene, RegExp][] = [
    ['paused', aScene({ board: { ...ENDLESS, pause: { ...by, untilMs: null } } }), /^paused by dba@db1$/],
    [
      'a pause that is over is none',
      aScene({ board: { ...ENDLESS, pause: { ...by, untilMs: NOW_MS - 1 } } }),
      /^identify is about to arm it/,
    ],
    [
      'too few agents, one of which does not reach both servers',
      aScene({ board: ENDLESS, agents: [anAgent('db1'), anAgent('db2', { reachesBoth: false })] }),
      /^1 of 2 agents \(lease_agents\) is registered$/,
    ],
    ['switched off', aScene({ board: ENDLESS, policy: { ...POLICY, fencing: 'none' } }), /^fencing=none/],
    ['no policy', aScene({ board: ENDLESS, policy: null }), /^no policy/],
    ['not armed yet', aScene({ board: ENDLESS }), /^identify is about to arm it/],
    [
      'an EVENT that does not tick',
      aScene({ board: ENDLESS, passive: { row: aRow({ opened: null, armed: false }) } }),
      /^the EVENT of .* does not tick/,
    ],
  ];

  it.each(REASONS)('%s', (_, scene, why) => {
    expect(leaseOf(scene)).toMatchObject({ state: 'endless', why: expect.stringMatching(why) });
    expect(linesOf(scene)[0]).toMatch(/^ {2}lease: endless, UNFENCED: /);
  });
});

describe('agents', () => {
  it('that do not reach both servers are named as such', () => {
    expect(
      linesOf(aScene({ agents: [anAgent('db1'), anAgent('db2', { reachesBoth: false, renewal: null })] })),
    ).toContain('  agents: 1 of 2 registered: db1; not reaching both servers: db2');
    expect(linesOf(aScene({ agents: [], policy: null }))).toContain('  agents: 0 registered');
  });

  it('that are too few are told, though the lease stays armed', () => {
    const lines = linesOf(aScene({ agents: [anAgent('db1')] }));
    expect(lines[0]).toMatch(/lease: armed/);
    expect(lines[2]).toMatch(/^ {2}too few: ONLY ONE AGENT is registered, lease_agents is 2/);
  });

  it.each([
    ['endless', `db1 has nothing to renew: ${PRIMARY} under decision 7 has no end`],
    ['failed', `db1 FAILS to renew ${PRIMARY} under decision 7`],
    ['no-witness', `db1 finds NO WITNESS for ${PRIMARY} under decision 7, so it renews nothing`],
  ] as const)('say that their last renewal was %s', (outcome, sentence) => {
    const renewal = { host: PRIMARY, epoch: { number: 7, id: 'e7' }, outcome, successes: 0 } as const;
    expect(linesOf(aScene({ agents: [anAgent('db1', { renewal })] }))).toContain(`  renewal: ${sentence}`);
  });
});

describe('what servers and board say differently', () => {
  const at = (number: number, id: string, active = PRIMARY): Epoch => ({ number, id, active });
  const CASES: readonly [string, GuardScene, string][] = [
    [
      'a board from an old dump',
      aScene({ passive: { row: aRow({ opened: null, epoch: at(9, 'e9', SECONDARY) }) } }),
      `${SECONDARY} knows decision 9 (${SECONDARY}), the board only decision 7 (${PRIMARY}): the board is the older one`,
    ],
    [
      'one number with two meanings',
      aScene({ passive: { row: aRow({ opened: null, epoch: at(7, 'other') }) } }),
      `${SECONDARY} knows decision 7 (${PRIMARY}), the board only decision 7 (${PRIMARY}): the board is the older one`,
    ],
    [
      'a server that has not been told yet',
      aScene({ passive: { row: aRow({ opened: null, epoch: at(6, 'e6') }) } }),
      `${SECONDARY} knows decision 6 (${PRIMARY}), the board decision 7 (${PRIMARY})`,
    ],
    [
      'a new server',
      aScene({ passive: { row: aRow({ opened: null, epoch: null }) } }),
      `${SECONDARY} knows no decision, the board decision 7 (${PRIMARY})`,
    ],
    ['a server without a row', aScene({ passive: { row: null } }), `${SECONDARY} has no row of ours`],
    [
      'an active that was opened earlier',
      aScene({ active: { row: aRow({ opened: { number: 6, id: 'e6', startedSec: 1 } }) } }),
      `${PRIMARY} was opened under decision 6, not under decision 7`,
    ],
    [
      'an active that was opened by hand',
      aScene({ active: { row: aRow({ opened: null }) } }),
      `${PRIMARY} was opened by nobody of ours, not under decision 7`,
    ],
    [
      'a flag that the board does not have',
      aScene({ passive: { row: aRow({ opened: null, unfenced: true }) } }),
      `the row of ${SECONDARY} says unfenced, the board does not`,
    ],
    ['two writers', aScene({ passive: { readOnly: false } }), `${PRIMARY} and ${SECONDARY} both take writes`],
    [
      'clients that are sent elsewhere',
      aScene({ board: { announced: { active: SECONDARY, passive: PRIMARY } } }),
      `the keys for clients (mode, master) still name ${SECONDARY}`,
    ],
  ];

  it.each(CASES)('%s', (_, scene, sentence) => {
    expect(linesOf(scene).filter((line) => line.startsWith('  disagrees: '))).toEqual([`  disagrees: ${sentence}`]);
  });

  it('is nothing while keys were not written yet, or a closed active waits for its opening', () => {
    expect(guardStatus(aScene({ board: { announced: null } }))?.disagreements).toEqual([]);
    const waits = aScene({ active: { readOnly: true, row: aRow({ opened: null, lease: 'none' }) } });
    expect(guardStatus(waits)?.disagreements).toEqual([]);
  });
});

describe('another server behind an address', () => {
  it('is told with what to do', () => {
    expect(linesOf(aScene({ active: { boot: { uuid: 'uuid-x', startedSec: BOOT.startedSec } } }))).toContain(
      `  stranger: ${PRIMARY} IS ANOTHER SERVER than the one known there (its uuid is uuid-x, not uuid-a): it gets no role until an operator says mmm rejoin; mmm rejoin --tag t --host ${PRIMARY}`,
    );
  });

  it.each([
    ['has no name', { uuid: '', startedSec: 1 }],
    ['is not known', null],
    ['is the same, restarted', { uuid: 'uuid-a', startedSec: 5 }],
  ])('is not one that %s', (_, boot) => {
    expect(guardStatus(aScene({ active: { boot } }))?.strangers).toEqual([]);
  });
});

describe('durability=lossless', () => {
  const B_BOOT = { uuid: 'uuid-b', startedSec: 1 };
  const A = { host: PRIMARY, ...BOOT };
  const B = { host: SECONDARY, ...B_BOOT };
  const WANTED: Policy = { ...POLICY, durability: 'lossless' };
  const TERMS = { ...NO_TERMS, lease: 'finite', durability: 'lossless' } as const;
  const ABLE = { hasSemiSync: true };
  const lossless = (board: Partial<Board>, over: Parameters<typeof aScene>[0] = {}) =>
    aScene({ policy: WANTED, active: ABLE, passive: ABLE, ...over, board: { terms: TERMS, ...board } });
  const linesAbout = (scene: GuardScene) =>
    linesOf(scene).filter((line) => /^ {2}(durability|incomplete|joining)/.test(line));
  const all = { generation: 12, writer: A, hosts: [A, B] };

  it('shows who is complete', () => {
    expect(linesAbout(lossless({ complete: all }))).toEqual([
      `  durability: lossless; complete: ${PRIMARY}, ${SECONDARY}`,
    ]);
    expect(guardStatus(lossless({ complete: all }))?.durability).toEqual({
      is: 'lossless',
      why: '',
      generation: 12,
      complete: [PRIMARY, SECONDARY],
      incomplete: [],
      joining: null,
    });
  });

  it('shows who is not, why, and who is about to be', () => {
    const joining = { host: SECONDARY, by: 'db1', generation: 13, untilMs: NOW_MS + 1 };
    const complete = { ...all, hosts: [A] };
    const shown = [
      `  durability: lossless; complete: ${PRIMARY}`,
      `  incomplete: ${SECONDARY} does not hold every acknowledged commit: only ${PRIMARY} does`,
    ];
    expect(linesAbout(lossless({ complete, joining }))).toEqual([...shown, `  joining: ${SECONDARY}, by db1`]);
    // Nobody sees to it any more.
    expect(linesAbout(lossless({ complete, joining: { ...joining, untilMs: NOW_MS } }))).toEqual(shown);
  });

  it.each([
    ['nobody wrote a set', { complete: null }, 'the board does not say which hosts are complete'],
    [
      'an old set came back',
      { complete: { ...all, generation: 11 } },
      'the board holds set 11, and set 12 was written already',
    ],
  ])('calls nobody complete where %s', (_name, board, why) => {
    const active = { ...ABLE, row: aRow({ generation: 12 }) };
    expect(linesAbout(lossless(board, { active }))).toEqual([
      '  durability: lossless; complete: NOBODY KNOWN',
      `  incomplete: nobody knows whether ${PRIMARY} holds every acknowledged commit: ${why}`,
      `  incomplete: nobody knows whether ${SECONDARY} holds every acknowledged commit: ${why}`,
    ]);
  });

  it('says why a pair runs async that should not, and of one that should says nothing', () => {
    const terms = { ...TERMS, durability: 'async' } as const;
    const without = lossless({ terms, complete: all }, { passive: { hasSemiSync: false } });
    expect(linesAbout(without)).toEqual([
      `  durability: ASYNC; runs async: ${SECONDARY} has no semi-synchronous replication (durability=lossless)`,
    ]);
    expect(guardStatus(without)?.durability).toMatchObject({ is: 'async', complete: [], incomplete: [] });
    expect(linesAbout(lossless({ terms }))).toEqual([
      '  durability: ASYNC; identify is about to decide that it be lossless; does one run, unpaused?',
    ]);
    expect(linesAbout(lossless({ terms }, { policy: POLICY }))).toEqual([]);
    expect(guardStatus(lossless({ terms }, { policy: null }))?.durability).toBeNull();
  });

  it('says what is wrong with a lossless pair', () => {
    const [line] = linesAbout(lossless({ complete: all }, { passive: { hasSemiSync: false } }));
    expect(line).toContain(`; ${SECONDARY} has no semi-synchronous replication (durability=lossless): it can neither`);
    expect(linesAbout(lossless({ complete: all }, { policy: POLICY }))[0]).toContain('decide that it be async');
  });

  it('needs no lease', () => {
    const policy: Policy = { ...NO_SAFETY, durability: 'lossless' };
    const scene = lossless({ ...ENDLESS, terms: { ...TERMS, lease: 'endless' }, complete: all }, { policy });
    expect(linesOf(scene)[0]).toBe('  lease: endless, UNFENCED: fencing=none, so nothing closes it');
    expect(linesAbout(scene)).toHaveLength(1);
  });
});

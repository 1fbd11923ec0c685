// Named situations with their verdicts and reasons, compared byte for byte with decisions.txt, which is meant to be read.
// After a change that is meant, write it anew and review the difference:
//   MMM_WRITE_DECISIONS=1 npx vitest run --project unit test/core/decide.table.test.ts

import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { type Decided, decide } from '../../src/core/decide.ts';
import { NO_TERMS } from '../../src/core/decision.ts';
import type { Observation } from '../../src/core/observation.ts';
import type { Pacing, Past } from '../../src/core/pacing.ts';
import { type Epoch, type Host, parseHost, type Roles, rolesWith } from '../../src/core/pair.ts';
import { type DecideInput, FIRST_STATE, type Guarded } from '../../src/core/scene.ts';
import { anObservation, aPair, NOW_MS, PRIMARY, SECONDARY } from '../support/build.ts';
import { aRow } from '../support/rows.ts';

const PAIR = aPair();
const PACING: Pacing = { minFailoverIntervalSec: 60, failback: 'auto' };
const GOLDEN = new URL('decisions.txt', import.meta.url);
const FOREIGN: Host = parseHost('10.9.9.9:3308') ?? PRIMARY;

type Look = Parameters<typeof anObservation>[0];

interface Situation {
  readonly name: string;
  readonly primary: Look | null;
  readonly secondary: Look | null;
  readonly roles: Roles | null;
  /** Rounds that have agreed so far on the host that is not active. */
  readonly agreed: number;
  readonly input: Partial<DecideInput>;
  readonly pacing: Pacing;
  readonly past: Past;
  /** For so long both hosts have been caught up, as far as they are. */
  readonly steadySec: number;
  readonly remembered: Roles | null;
  /** The passive was gone at some time under this decision. */
  readonly missed: boolean;
}

const ON_PRIMARY = rolesWith(PAIR, PRIMARY);
const ON_SECONDARY = rolesWith(PAIR, SECONDARY);

const ACTIVE: Look = { readOnly: false, connections: 3 };
const PASSIVE: Look = { readOnly: true, connections: 0 };
const REFUSED: Look = { failure: 'refused', connectionBroke: true };
const HEARS: Look = { ...PASSIVE, hearing: { silentMs: 400, heartbeatMs: 1_000 } };
const LOST_SOURCE: Look = { ...PASSIVE, io: 'Connecting', replicationOk: false };

/** The pair as it should be: the primary active, the secondary passive, and nothing pending. A situation names what differs. */
function when(name: string, over: Partial<Omit<Situation, 'name'>> = {}): Situation {
  return {
    name,
    primary: ACTIVE,
    secondary: PASSIVE,
    roles: ON_PRIMARY,
    agreed: 0,
    input: {},
    pacing: PACING,
    past: NO_TERMS,
    steadySec: 3600,
    remembered: null,
    missed: false,
    ...over,
  };
}

/** The secondary is active, and with one more round the primary, good again, would be. */
const PRIMARY_IS_BACK: Partial<Omit<Situation, 'name'>> = {
  primary: { ...PASSIVE, connections: 2 },
  secondary: ACTIVE,
  roles: ON_SECONDARY,
  agreed: 1,
};

const NINE: Epoch = { number: 9, id: 'e9', active: PRIMARY };
const GUARDED: Guarded = {
  lease: 'finite',
  verdict: { kind: 'unknown', why: '' },
  behind: null,
  known: null,
  strangers: new Map(),
  unopened: false,
};
const CLOSED = `nobody has renewed the lease of ${PRIMARY} within 4.23 s (tried by db2), so it has closed itself`;

const PAUSE = { by: 'dba@db1', atMs: NOW_MS - 60_000, untilMs: null };

const SITUATIONS: readonly (string | Situation)[] = [
  'Nothing to do',
  when('the pair is as it should be'),
  when('the secondary is active and has the clients', { primary: PASSIVE, secondary: ACTIVE, roles: ON_SECONDARY }),
  when('nobody is connected anywhere', { primary: { connections: 0 } }),
  when('the passive is delayed', { secondary: { ...PASSIVE, delaySec: 12 } }),
  when("the passive's replication is in error", { secondary: { ...PASSIVE, replicationOk: false, sql: 'No' } }),
  when('the passive is dead', { secondary: REFUSED }),
  when('the passive is silent', { secondary: { failure: 'silent' } }),
  when('the active is read only by hand and still has the clients', { primary: { ...ACTIVE, readOnly: true } }),
  when('both hosts are unreachable', { primary: { failure: 'silent' }, secondary: { failure: 'silent' } }),
  when('both hosts are delayed', { primary: { ...ACTIVE, delaySec: 3 }, secondary: { ...PASSIVE, delaySec: 4 } }),
  when('replication is in error on both hosts and nobody is connected', {
    primary: { connections: 0, replicationOk: false, io: 'No' },
    secondary: { ...PASSIVE, replicationOk: false, io: 'No' },
  }),

  'The active is gone',
  when('the active is dead: first round', { primary: REFUSED, secondary: LOST_SOURCE }),
  when('the active is dead: second round', { primary: REFUSED, secondary: LOST_SOURCE, agreed: 1 }),
  when('the active is silent: first round', { primary: { failure: 'silent' } }),
  when('the active is silent: second round', { primary: { failure: 'silent' }, agreed: 1 }),
  when('the active is silent: second of three rounds', {
    primary: { failure: 'silent' },
    agreed: 1,
    input: { policy: { tryTimes: 3, freshMs: 30_000, pacing: PACING } },
  }),
  when('the active refuses but no connection broke', { primary: { failure: 'refused' }, secondary: LOST_SOURCE }),
  when('the active refuses and the passive still hears it', { primary: REFUSED }),
  when('the secondary, active, is dead', { primary: LOST_SOURCE, secondary: REFUSED, roles: ON_SECONDARY, agreed: 1 }),
  when('the active is dead and the survivor is delayed', {
    primary: REFUSED,
    secondary: { ...PASSIVE, delaySec: 40, io: 'Connecting' },
    agreed: 1,
  }),
  when('the active is dead and the survivor, in error and delayed, has no clients', {
    primary: REFUSED,
    secondary: { ...LOST_SOURCE, delaySec: 40 },
    agreed: 1,
  }),
  when('the active is dead and the survivor never replicated', {
    primary: REFUSED,
    secondary: { ...PASSIVE, replicationOk: false, io: null, sql: null },
    agreed: 1,
  }),
  when('the active is silent and the SQL thread of the survivor is stopped', {
    primary: { failure: 'silent' },
    secondary: { ...LOST_SOURCE, sql: 'No' },
    agreed: 1,
  }),
  when('a Perl monitor saw the active go', {
    primary: { failure: 'silent', observer: '' },
    secondary: { ...PASSIVE, observer: '', io: null, sql: null },
    agreed: 1,
  }),
  when('the active is dead although the last attempt to open the survivor failed', {
    primary: REFUSED,
    secondary: LOST_SOURCE,
    agreed: 1,
    input: { failed: { host: SECONDARY, untilMs: NOW_MS + 20_000 } },
  }),

  'The passive as a witness',
  when('the active is silent and the passive still hears it', {
    primary: { failure: 'silent', goneLooks: 20 },
    secondary: HEARS,
    agreed: 19,
  }),
  when('the active is silent and the passive still hears it: first round', {
    primary: { failure: 'silent', goneLooks: 1 },
    secondary: HEARS,
  }),
  when('the active refuses the managers and the passive still hears it', {
    primary: { ...REFUSED, goneLooks: 5 },
    secondary: HEARS,
    agreed: 4,
  }),
  when('the active is silent and the passive, whose thread has not noticed, hears nothing', {
    primary: { failure: 'silent', goneLooks: 2 },
    secondary: { ...HEARS, hearing: { silentMs: 2_300, heartbeatMs: 1_000 } },
    agreed: 1,
  }),
  when('the active is silent and sent events just now, though no heartbeats are asked for', {
    primary: { failure: 'silent', goneLooks: 2 },
    secondary: { ...HEARS, hearing: { silentMs: 300, heartbeatMs: 0 } },
    agreed: 1,
  }),
  when('the active is silent and sent nothing for a while, heartbeats being rare', {
    primary: { failure: 'silent', goneLooks: 2 },
    secondary: { ...HEARS, hearing: { silentMs: 9_000, heartbeatMs: 30_000 } },
    agreed: 1,
  }),
  when('the active is silent and a backup has stopped the threads of the passive', {
    primary: { failure: 'silent', goneLooks: 2 },
    secondary: { ...PASSIVE, replicationOk: false, io: 'No', sql: 'No' },
    agreed: 1,
  }),
  when('identify has only begun and the monitors have missed the active twice', {
    primary: { failure: 'silent', goneLooks: 2 },
    secondary: LOST_SOURCE,
  }),
  when('no active is known, and the silent host is heard by the only one that answers', {
    roles: null,
    primary: { failure: 'silent', goneLooks: 9 },
    secondary: HEARS,
    agreed: 1,
  }),

  'Alive, or not known',
  when('the active has too many connections', { primary: { failure: 'saturated' }, agreed: 1 }),
  when('the active refuses our password', { primary: { failure: 'auth-refused' }, agreed: 1 }),
  when('the active does not let us in', { primary: { failure: 'blocked' }, agreed: 1 }),
  when('the active answers with another error', { primary: { failure: 'server-error' }, agreed: 1 }),
  when('the passive has too many connections while the active is dead', {
    primary: REFUSED,
    secondary: { failure: 'saturated' },
    agreed: 1,
  }),
  when('both hosts have too many connections', {
    primary: { failure: 'saturated' },
    secondary: { failure: 'saturated' },
  }),
  when('the active was last observed a while ago', { primary: { ...ACTIVE, atMs: NOW_MS - 41_000 } }),
  when('only the passive has a fresh observation', {
    primary: { failure: 'silent', atMs: NOW_MS - 31_000 },
    agreed: 1,
  }),
  when('the active is gone and the passive was last observed a while ago', {
    primary: REFUSED,
    secondary: { ...PASSIVE, atMs: NOW_MS - 31_000 },
    agreed: 1,
  }),
  when("the monitor's clock is ahead", { primary: { ...ACTIVE, atMs: NOW_MS + 45_000 } }),
  when('the passive has not been observed', { secondary: null }),
  when('nothing has been observed', { primary: null, secondary: null }),
  when('one host is unreadable and the other one not observed', { primary: { failure: 'blocked' }, secondary: null }),

  'Planned changes',
  when('the primary is back and has clients again: first round', {
    primary: { ...PASSIVE, connections: 2 },
    secondary: ACTIVE,
    roles: ON_SECONDARY,
  }),
  when('the primary is back and has clients again: second round', {
    primary: { ...PASSIVE, connections: 2 },
    secondary: ACTIVE,
    roles: ON_SECONDARY,
    agreed: 1,
  }),
  when('the primary is back and nobody is connected anywhere', {
    primary: PASSIVE,
    secondary: { connections: 0 },
    roles: ON_SECONDARY,
    agreed: 1,
  }),
  when('the primary is back and still delayed', {
    primary: { ...PASSIVE, connections: 2, delaySec: 90 },
    secondary: ACTIVE,
    roles: ON_SECONDARY,
    agreed: 1,
  }),
  when('the primary is back and its replication is in error', {
    primary: { ...PASSIVE, connections: 2, replicationOk: false, io: 'No' },
    secondary: ACTIVE,
    roles: ON_SECONDARY,
    agreed: 1,
  }),
  when('the primary is back and replicates from somebody else, which its monitor calls an error', {
    primary: { ...PASSIVE, connections: 2, replicationOk: false },
    secondary: ACTIVE,
    roles: ON_SECONDARY,
    agreed: 1,
  }),
  when('the primary is back and its I/O thread still connects', {
    primary: { ...PASSIVE, connections: 2, io: 'Connecting' },
    secondary: ACTIVE,
    roles: ON_SECONDARY,
    agreed: 1,
  }),
  when('the primary is back and its SQL thread is stopped', {
    primary: { ...PASSIVE, connections: 2, sql: 'No' },
    secondary: ACTIVE,
    roles: ON_SECONDARY,
    agreed: 1,
  }),
  when('the primary is back and a Perl monitor, which names no threads, calls its replication good', {
    primary: { ...PASSIVE, connections: 2, observer: '', io: null, sql: null },
    secondary: { ...ACTIVE, observer: '', io: null, sql: null },
    roles: ON_SECONDARY,
    agreed: 1,
  }),
  when('the clients went to the passive', {
    primary: { connections: 0 },
    secondary: { ...PASSIVE, connections: 4 },
    agreed: 1,
  }),
  when('the clients went to the passive, whose replication is in error', {
    primary: { connections: 0 },
    secondary: { ...PASSIVE, connections: 4, replicationOk: false, sql: 'No' },
    agreed: 1,
  }),
  when('the active is delayed behind its passive', { primary: { ...ACTIVE, delaySec: 8 }, agreed: 1 }),
  when('the roles were swapped by hand, with replication in error', {
    primary: { ...PASSIVE, replicationOk: false, io: 'No' },
    secondary: { ...ACTIVE, replicationOk: false, io: 'No' },
    agreed: 1,
  }),
  when('the roles were swapped by hand and nobody is connected anywhere', {
    primary: PASSIVE,
    secondary: { connections: 0 },
    agreed: 1,
  }),
  when('the last attempt to open the primary failed', {
    primary: { ...PASSIVE, connections: 2 },
    secondary: ACTIVE,
    roles: ON_SECONDARY,
    agreed: 1,
    input: { failed: { host: PRIMARY, untilMs: NOW_MS + 20_001 } },
  }),
  when('the last attempt to open the primary failed long enough ago', {
    primary: { ...PASSIVE, connections: 2 },
    secondary: ACTIVE,
    roles: ON_SECONDARY,
    agreed: 1,
    input: { failed: { host: PRIMARY, untilMs: NOW_MS } },
  }),
  when('the last attempt to open the other host failed', {
    primary: { ...PASSIVE, connections: 2 },
    secondary: ACTIVE,
    roles: ON_SECONDARY,
    agreed: 1,
    input: { failed: { host: SECONDARY, untilMs: NOW_MS + 20_000 } },
  }),

  'Planned changes that are slowed down',
  when('the role changed a moment ago, and clients are on both hosts', {
    ...PRIMARY_IS_BACK,
    past: { changedAtMs: NOW_MS - 12_000, preferred: null },
  }),
  when('the role changed a moment ago, and all clients have gone to the primary', {
    ...PRIMARY_IS_BACK,
    secondary: { connections: 0 },
    past: { changedAtMs: NOW_MS - 12_000, preferred: null },
  }),
  when('the role changed a moment ago, and no client is anywhere', {
    ...PRIMARY_IS_BACK,
    primary: PASSIVE,
    secondary: { connections: 0 },
    past: { changedAtMs: NOW_MS - 12_000, preferred: null },
  }),
  when('the role changed a moment ago, with an interval of 0', {
    ...PRIMARY_IS_BACK,
    primary: PASSIVE,
    secondary: { connections: 0 },
    past: { changedAtMs: NOW_MS, preferred: null },
    pacing: { ...PACING, minFailoverIntervalSec: 0 },
  }),
  when("the role changed in the future, by another machine's clock", {
    ...PRIMARY_IS_BACK,
    primary: PASSIVE,
    secondary: { connections: 0 },
    past: { changedAtMs: NOW_MS + 12_000, preferred: null },
  }),
  when('the primary has only just caught up', { ...PRIMARY_IS_BACK, steadySec: 3 }),
  when('failback=never, and both hosts could be active', {
    ...PRIMARY_IS_BACK,
    pacing: { ...PACING, failback: 'never' },
  }),
  when('failback=never, and all clients have gone to the primary', {
    ...PRIMARY_IS_BACK,
    secondary: { connections: 0 },
    pacing: { ...PACING, failback: 'never' },
  }),
  when('failback=300, and the primary is caught up for four minutes', {
    ...PRIMARY_IS_BACK,
    steadySec: 240,
    pacing: { ...PACING, failback: 300 },
  }),
  when('failback=300, and the primary is caught up for five minutes', {
    ...PRIMARY_IS_BACK,
    steadySec: 300,
    pacing: { ...PACING, failback: 300 },
  }),
  when('an operator switched over to the secondary', {
    ...PRIMARY_IS_BACK,
    past: { changedAtMs: null, preferred: SECONDARY },
  }),
  when('an operator switched over to the secondary, and all clients are at the primary', {
    ...PRIMARY_IS_BACK,
    secondary: { connections: 0 },
    past: { changedAtMs: null, preferred: SECONDARY },
  }),

  'Failovers that nothing slows down',
  when('the active dies a moment after the role changed', {
    primary: REFUSED,
    secondary: LOST_SOURCE,
    agreed: 1,
    past: { changedAtMs: NOW_MS - 12_000, preferred: null },
  }),
  when('the active dies whom an operator switched over to', {
    primary: LOST_SOURCE,
    secondary: REFUSED,
    roles: ON_SECONDARY,
    agreed: 1,
    past: { changedAtMs: NOW_MS - 86_400_000, preferred: SECONDARY },
  }),
  when('the active dies, failback=never', {
    primary: LOST_SOURCE,
    secondary: REFUSED,
    roles: ON_SECONDARY,
    agreed: 1,
    pacing: { ...PACING, failback: 'never' },
  }),
  when('the active dies and the survivor has caught up only just before', {
    primary: REFUSED,
    secondary: LOST_SOURCE,
    agreed: 1,
    steadySec: 0,
  }),

  'While it is paused',
  when('nothing is to be done', { input: { pause: PAUSE } }),
  when('the active is dead', { primary: REFUSED, secondary: LOST_SOURCE, agreed: 1, input: { pause: PAUSE } }),
  when('the active is dead, and the pause ends by itself later', {
    primary: REFUSED,
    secondary: LOST_SOURCE,
    agreed: 1,
    input: { pause: { ...PAUSE, untilMs: NOW_MS + 90_000 } },
  }),
  when('the active is dead, and the pause has ended by itself', {
    primary: REFUSED,
    secondary: LOST_SOURCE,
    agreed: 1,
    input: { pause: { ...PAUSE, untilMs: NOW_MS } },
  }),
  when('the board was emptied of roles', { roles: null, input: { pause: PAUSE } }),
  when('a switchover failed', {
    primary: { connections: 0 },
    secondary: { ...ACTIVE, readOnly: true },
    input: { pause: PAUSE, giveBack: { to: SECONDARY, why: 'the drain took longer than 30 s' } },
  }),

  'With a safety on',
  when('the active is silent to everybody, and the passive still hears it', {
    primary: { failure: 'silent', goneLooks: 20 },
    secondary: HEARS,
    agreed: 19,
    input: { guarded: GUARDED },
  }),
  when('the active is silent, the passive still hears it, and nobody could renew its lease', {
    primary: { failure: 'silent', goneLooks: 20 },
    secondary: HEARS,
    agreed: 19,
    input: { guarded: { ...GUARDED, verdict: { kind: 'closed', why: CLOSED } } },
  }),
  when('the active is silent to the monitors alone: an agent beside it renews its lease', {
    primary: { failure: 'silent', goneLooks: 20 },
    secondary: LOST_SOURCE,
    agreed: 19,
    input: {
      guarded: {
        ...GUARDED,
        verdict: { kind: 'renewed', why: `agents renew the lease of ${PRIMARY}, so it is alive` },
      },
    },
  }),
  when('a dump came back in which the primary was active, and both hosts are closed', {
    roles: null,
    primary: { ...PASSIVE, row: aRow({ epoch: [9, SECONDARY], opened: 7 }) },
    secondary: { ...PASSIVE, row: aRow({ epoch: [9, SECONDARY], opened: 9 }) },
    input: { guarded: { ...GUARDED, behind: `the board holds decision 7, and ${PRIMARY} knows decision 9` } },
  }),
  when('Redis was emptied while the role moved: the secondary is claimed, not opened, and the primary silent', {
    roles: null,
    primary: { failure: 'silent' },
    secondary: { ...LOST_SOURCE, row: aRow({ epoch: [9, SECONDARY], opened: 5 }) },
    input: { guarded: GUARDED },
  }),
  when('the former active, which nobody could fence, answers again and is open', {
    primary: { ...PASSIVE, row: aRow({ epoch: [9, PRIMARY], opened: 3 }) },
    secondary: { ...ACTIVE, row: aRow({ epoch: [8, SECONDARY], opened: 8, lease: 'endless' }) },
    input: { epoch: NINE, guarded: { ...GUARDED, unopened: true } },
    missed: true,
  }),
  when('the active is dead, and behind the address of the passive is another server', {
    primary: REFUSED,
    secondary: LOST_SOURCE,
    agreed: 1,
    input: { guarded: { ...GUARDED, strangers: new Map([[SECONDARY, `${SECONDARY} IS ANOTHER SERVER`]]) } },
  }),
  when('the clients went to the passive, whose EVENT does not tick', {
    primary: { connections: 0 },
    secondary: { ...PASSIVE, connections: 4, row: aRow({ epoch: [9, PRIMARY], opened: 3, armed: false }) },
    agreed: 1,
    input: { guarded: GUARDED },
  }),
  when('only a Perl monitor is left, and finds the active gone', {
    primary: { failure: 'silent', observer: '' },
    secondary: { ...LOST_SOURCE, observer: '', io: null, sql: null },
    agreed: 1,
    input: { guarded: GUARDED },
  }),

  'A switchover that the agents took back',
  when('the former active answers', {
    primary: { connections: 0 },
    secondary: { ...ACTIVE, readOnly: true },
    input: { giveBack: { to: SECONDARY, why: 'the drain took longer than 30 s' } },
  }),
  when('the former active answers and the failed one is unreadable', {
    primary: { failure: 'saturated' },
    secondary: { ...ACTIVE, readOnly: true },
    input: { giveBack: { to: SECONDARY, why: 'too many connections' } },
  }),
  when('the former active does not answer', {
    secondary: { failure: 'silent' },
    input: { giveBack: { to: SECONDARY, why: 'the drain took longer than 30 s' } },
  }),
  when('the former active is unreadable', {
    secondary: { failure: 'saturated' },
    input: { giveBack: { to: SECONDARY, why: 'the drain took longer than 30 s' } },
  }),
  when('the role is back already', { input: { giveBack: { to: PRIMARY, why: 'the drain took longer than 30 s' } } }),

  'The board names no active',
  when('one host is writable', { roles: null, primary: PASSIVE, secondary: ACTIVE }),
  when('one host is writable, and the other one was active last', {
    roles: null,
    primary: PASSIVE,
    secondary: ACTIVE,
    remembered: ON_PRIMARY,
  }),
  when('both hosts are read only: first round', { roles: null, primary: PASSIVE }),
  when('both hosts are read only: second round', { roles: null, primary: PASSIVE, agreed: 1 }),
  when('both hosts are read only and the secondary was active last', {
    roles: null,
    primary: PASSIVE,
    remembered: ON_SECONDARY,
  }),
  when('both hosts are writable', { roles: null, secondary: { connections: 0 }, agreed: 1 }),
  when('both hosts are writable and the secondary was active last', {
    roles: null,
    secondary: { connections: 0 },
    remembered: ON_SECONDARY,
  }),
  when('both hosts are read only and none can be active', {
    roles: null,
    primary: { ...PASSIVE, replicationOk: false, io: 'No', sql: 'No' },
    secondary: { ...PASSIVE, replicationOk: false, io: 'No', sql: 'No' },
  }),
  when('a host does not tell whether it is read only', { roles: null, secondary: { readOnly: null } }),
  when('the only host that answers is writable', { roles: null, secondary: { failure: 'silent' } }),
  when('the only host that answers is read only and was active last', {
    roles: null,
    primary: REFUSED,
    secondary: LOST_SOURCE,
    remembered: ON_SECONDARY,
  }),
  when('the only host that answers is read only and the dead one was active last: first round', {
    roles: null,
    primary: REFUSED,
    secondary: LOST_SOURCE,
    remembered: ON_PRIMARY,
  }),
  when('the only host that answers is read only and nobody is remembered: second round', {
    roles: null,
    primary: PASSIVE,
    secondary: { failure: 'silent' },
    agreed: 1,
  }),
  when('neither host answers', { roles: null, primary: REFUSED, secondary: { failure: 'silent' } }),
  when('a host is unreadable', { roles: null, secondary: { failure: 'auth-refused' }, remembered: ON_PRIMARY }),
  when('the board names a host that is not of the pair', { roles: { active: FOREIGN, passive: SECONDARY } }),
  when('the board names one host twice', { roles: { active: SECONDARY, passive: SECONDARY } }),
];

function inputOf(situation: Situation): DecideInput {
  const { roles, agreed, remembered } = situation;
  const steadyMs = NOW_MS - situation.steadySec * 1000;
  const look = (host: Host, choices: Look | null) => (choices === null ? null : anObservation({ host, ...choices }));
  const from = roles?.active ?? null;
  const to = from === PRIMARY ? SECONDARY : PRIMARY;
  return {
    pair: PAIR,
    roles,
    epoch: null,
    observations: { primary: look(PRIMARY, situation.primary), secondary: look(SECONDARY, situation.secondary) },
    policy: { tryTimes: 2, freshMs: 30_000, pacing: situation.pacing },
    past: situation.past,
    pause: null,
    failed: null,
    giveBack: null,
    guarded: null,
    nowMs: NOW_MS,
    state: {
      ...FIRST_STATE,
      caughtUpSinceMs: { primary: steadyMs, secondary: steadyMs },
      remembered,
      missed: situation.missed ? { host: to, epochId: NINE.id } : null,
      pending: agreed === 0 ? null : { to, from, epochId: null, rounds: agreed },
    },
    ...situation.input,
  };
}

/** What was seen, as short as it can be told: what is not mentioned is in order. */
function seen(observation: Observation | null): string {
  if (observation === null) return 'not observed';
  const { evidence } = observation;
  const age = (NOW_MS - observation.atMs) / 1000;
  const words = age === 0 ? [] : [`${age} s old`];
  if (evidence.kind !== 'answered') {
    words.push(evidence.failure.kind);
    if (observation.connectionBroke) words.push('connection broke');
    if (observation.goneLooks > 0) words.push(`${observation.goneLooks} looks in a row`);
    return words.join(', ');
  }
  const { readOnly, replicationOk, delaySec, connections, io, sql, hearing } = evidence.facts;
  words.push(readOnly === null ? 'read only or not is unknown' : readOnly ? 'read only' : 'writable');
  words.push(`${connections} connections`);
  if (!replicationOk) words.push('replication error');
  if (delaySec > 0) words.push(`${delaySec} s delayed`);
  if (hearing !== null)
    words.push(`heard the other ${hearing.silentMs / 1000} s ago, heartbeat ${hearing.heartbeatMs / 1000} s`);
  const { row } = evidence.facts;
  if (row !== null) {
    const lease = `${row.lease} lease${row.armed ? '' : ', EVENT still'}`;
    words.push(`row: decision ${row.epoch?.number} (${row.epoch?.active}), opened by ${row.opened?.number}, ${lease}`);
  }
  if (io !== 'Yes' || sql !== 'Yes') words.push(`threads ${io ?? '?'}/${sql ?? '?'}`);
  return words.join(', ');
}

function context(situation: Situation, input: DecideInput): string {
  const { roles, failed, giveBack, policy, past, pause } = input;
  const words = [roles === null ? 'names no active' : `active ${roles.active}`];
  if (roles !== null && roles.active !== PRIMARY && roles.active !== SECONDARY) words.push('of another pair');
  if (situation.remembered !== null) words.push(`last known active ${situation.remembered.active}`);
  if (situation.agreed > 0) words.push(`${situation.agreed} of ${policy.tryTimes} rounds so far`);
  if (failed !== null) words.push(`opening ${failed.host} failed, wait ${(failed.untilMs - NOW_MS) / 1000} s`);
  const { minFailoverIntervalSec, failback } = policy.pacing;
  if (minFailoverIntervalSec !== 60) words.push(`min_failover_interval=${minFailoverIntervalSec}`);
  if (failback !== 'auto') words.push(`failback=${failback}`);
  if (situation.steadySec !== 3600) words.push(`caught up for ${situation.steadySec} s`);
  if (past.changedAtMs !== null) words.push(`active for ${(NOW_MS - past.changedAtMs) / 1000} s`);
  if (past.preferred !== null) words.push(`switched over to ${past.preferred}`);
  if (pause !== null) words.push('paused');
  if (input.guarded !== null) words.push('a safety is on');
  if (situation.missed) words.push('the passive was gone for a while');
  if (giveBack !== null) words.push(`switchover failed, formerly active ${giveBack.to}`);
  return words.join(', ');
}

function verdict({ kind, roles, state }: Decided): string {
  const rounds = state.pending === null ? '' : `, agreed ${state.pending.rounds} on ${state.pending.to}`;
  return `${kind}, active ${roles?.active ?? 'none'}${rounds}`;
}

function told(situation: Situation): string {
  const input = inputOf(situation);
  const decided = decide(input);
  return [
    situation.name,
    `  primary    ${seen(input.observations.primary)}`,
    `  secondary  ${seen(input.observations.secondary)}`,
    `  board      ${context(situation, input)}`,
    `  => ${verdict(decided)}`,
    ...decided.reasons.map((reason) => `     ${reason}`),
  ].join('\n');
}

test('the named situations are decided, and explained, as decisions.txt has it', () => {
  const head = [
    `Decisions of mmm identify for a pair whose primary is ${PRIMARY} and whose secondary is ${SECONDARY}.`,
    'Written by test/core/decide.table.test.ts, which says how to write it anew.',
  ].join('\n');
  const body = SITUATIONS.map((item) => (typeof item === 'string' ? `== ${item} ==` : told(item)));
  const text = `${[head, ...body].join('\n\n')}\n`;
  if (process.env['MMM_WRITE_DECISIONS'] === '1') {
    writeFileSync(GOLDEN, text);
  }
  expect(text).toBe(readFileSync(GOLDEN, 'utf8'));
});

test('each situation has a name of its own within the table', () => {
  const names = SITUATIONS.map((item) => (typeof item === 'string' ? item : item.name));
  expect(new Set(names).size).toBe(names.length);
});

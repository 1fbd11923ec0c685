// A situation to be decided: the pair as it should be, with what a test wants different, and how it is told to a reader.

import { type Decided, decide } from '../../src/core/decide.ts';
import { NO_TERMS } from '../../src/core/decision.ts';
import type { Observation } from '../../src/core/observation.ts';
import type { Pacing, Past } from '../../src/core/pacing.ts';
import { type Epoch, type Host, type Roles, rolesWith } from '../../src/core/pair.ts';
import { type DecideInput, FIRST_STATE, type Guarded } from '../../src/core/scene.ts';
import { anObservation, aPair, NOW_MS, PRIMARY, SECONDARY } from './build.ts';

const PAIR = aPair();
export const PACING: Pacing = { minFailoverIntervalSec: 60, failback: 'auto' };

type Look = Parameters<typeof anObservation>[0];

export interface Situation {
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

export const ON_PRIMARY = rolesWith(PAIR, PRIMARY);
export const ON_SECONDARY = rolesWith(PAIR, SECONDARY);

export const ACTIVE: Look = { readOnly: false, connections: 3 };
export const PASSIVE: Look = { readOnly: true, connections: 0 };
export const REFUSED: Look = { failure: 'refused', connectionBroke: true };
export const HEARS: Look = { ...PASSIVE, hearing: { silentMs: 400, heartbeatMs: 1_000 } };
export const LOST_SOURCE: Look = { ...PASSIVE, io: 'Connecting', replicationOk: false };

/** The pair as it should be: the primary active, the secondary passive, and nothing pending. A situation names what differs. */
export function when(name: string, over: Partial<Omit<Situation, 'name'>> = {}): Situation {
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

export const NINE: Epoch = { number: 9, id: 'e9', active: PRIMARY };

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

function toldOf({ lossless }: Guarded): readonly string[] {
  if (lossless === null) return [];
  const hosts = lossless.complete?.hosts.map(({ host }) => host) ?? [];
  return [`lossless, complete: ${hosts.length === 0 ? 'unknown' : hosts.join(' and ')}`];
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
  if (input.guarded !== null) words.push('a safety is on', ...toldOf(input.guarded));
  if (situation.missed) words.push('the passive was gone for a while');
  if (giveBack !== null) words.push(`switchover failed, formerly active ${giveBack.to}`);
  return words.join(', ');
}

function verdict({ kind, roles, state }: Decided): string {
  const rounds = state.pending === null ? '' : `, agreed ${state.pending.rounds} on ${state.pending.to}`;
  return `${kind}, active ${roles?.active ?? 'none'}${rounds}`;
}

export function told(situation: Situation): string {
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

// What the board looks like in Redis: the ONLY file that knows key names, field names, channel names and the message, both ways.
// Text from outside becomes a type here and is never checked again inside; what cannot be understood becomes a sentence.
// Comes from store/redis.ts; the nouns are those of core/. docs of the outside: the keys and the message of the Perl mmm-manager.

import {
  type Board,
  type Decision,
  NO_SAFETY,
  NO_TERMS,
  type Policy,
  type Report,
  type Terms,
} from '../core/decision.ts';
import type { Divergence } from '../core/divergence.ts';
import type { Failure, Hearing, Observation, Seen, SeenFacts, Sighting, ThreadState } from '../core/observation.ts';
import { isAlive } from '../core/observation.ts';
import type { Epoch, Host, Pair, Roles } from '../core/pair.ts';
import { parseHost } from '../core/pair.ts';
import type { Pause, Request } from '../core/request.ts';
import type { FoundPair } from './store.ts';

/** A hash as Redis holds it; an absent key is an empty one. */
export type Fields = ReadonlyMap<string, string>;

/** What was read: the value (null: nothing there, or nothing to be understood), and what is wrong with the text, if anything. */
export interface Decoded<T> {
  readonly value: T | null;
  readonly garbage: string | null;
}

// ---------------------------------------------------------------------------------------------------------------- names

/** The keys of the pair with this signature. Those before `epoch` are shared with the Perl daemons; the others are ours. */
export function keysOf(uniqsign: string) {
  const prefix = `mysql-${uniqsign}`;
  return {
    servicemode: `${prefix}-servicemode`,
    primaryhost: `${prefix}-primaryhost`,
    secondaryhost: `${prefix}-secondaryhost`,
    members: `${prefix}-members`,
    check: (host: Host) => `${prefix}-${host}-check`,
    /** What each of several monitors found last, a field for each; `check` is the last one's alone. */
    observers: `${prefix}-observers`,
    mode: `${prefix}-mode`,
    master: `${prefix}-master`,
    /** The decision's number, id, active, reasons, date and terms. */
    epoch: `${prefix}-epoch`,
    policy: `${prefix}-policy`,
    /** What the agents made of the epoch. */
    report: `${prefix}-report`,
    /** The topic of the identify that decides for the pair, so that agents of another topic leave it alone. */
    topic: `${prefix}-topic`,
    /** The host that took writes last; absent when nobody knows. Unlike the report it outlives the epoch. */
    opened: `${prefix}-opened`,
    /** What stayed on the old active, until the active holds it. */
    divergence: `${prefix}-divergence`,
    /** What an operator asks identify for. */
    request: `${prefix}-request`,
    /** Who suspended automatic decisions, and until when. */
    pause: `${prefix}-pause`,
    /** The owner of the lead; runs out by itself. */
    leader: `${prefix}-leader`,
    /** Whose I/O thread an agent stopped for a drain: `1` for such a host, absent else. */
    ioStopped: (host: Host) => `${prefix}-${host}-io-stopped`,
  };
}

/** Matches every pair's `mode` key; roles are what makes a pair known to agents. */
export const MODE_PATTERN = 'mysql-*-mode';

/** The signature in a `mode` key; undefined when it is no such key. */
export function uniqsignOfModeKey(key: string): string | undefined {
  const sign = /^mysql-(.+)-mode$/.exec(key)?.[1];
  return sign !== undefined && SIGN.test(sign) ? sign : undefined;
}

/** The contract's topic carries the contract's message alone; our wake-ups go beside it, so that no Perl agent sees them. */
export function channelsOf(topic: string) {
  return { message: topic, decided: `${topic}-mmm`, observed: `${topic}-mmm-seen` };
}

/** What may stand in a key, in the message (which is split at commas and colons) and in a wake-up. */
const SIGN = /^[^\s,:]{1,200}$/;

/** A wake-up's payload is the pair's signature. */
export function decodeWake(payload: string): Decoded<string> {
  return SIGN.test(payload) ? found(payload) : { value: null, garbage: `is no signature: ${quote(payload)}` };
}

// ------------------------------------------------------------------------------------------------------- the pair itself

/** What the monitor writes from the configuration: three strings and a set. */
export function encodePair(pair: Pair, servicemode: 0 | 1) {
  const keys = keysOf(pair.uniqsign);
  return {
    strings: new Map([
      [keys.servicemode, String(servicemode)],
      [keys.primaryhost, pair.primary],
      [keys.secondaryhost, pair.secondary],
    ]),
    members: { key: keys.members, hosts: [pair.primary, pair.secondary] },
  };
}

// ---------------------------------------------------------------------------------------------------------- observations

const UNREADABLE = ['saturated', 'auth-refused', 'blocked', 'server-error'] as const satisfies Failure['kind'][];
const GONE = ['refused', 'silent'] as const satisfies Failure['kind'][];

/** An error message on the board is one line of at most this many characters. */
const ERROR_LENGTH = 500;

/**
 * The six fields of the contract, then ours. Every field is written each time: one that was left out would keep the value
 * of an earlier observation. A host that is alive but told nothing has `ping 1`, so that a Perl identify does not take it for dead.
 */
export function encodeObservation(observation: Observation): Fields {
  const { evidence } = observation;
  const facts = evidence.kind === 'answered' ? evidence.facts : null;
  const failure = evidence.kind === 'answered' ? null : evidence.failure;
  return new Map([
    ['ping', isAlive(evidence) ? '1' : '0'],
    ['read_only', facts === null || facts.readOnly === null ? '-1' : facts.readOnly ? '1' : '0'],
    ['repl_check', facts === null ? 'Error' : replCheck(facts)],
    ['delay_sec', facts === null || facts.delaySec <= 0 ? '-1' : String(Math.ceil(facts.delaySec))],
    ['conn_nums', facts === null ? '-1' : String(facts.connections)],
    ['last_check', String(Math.floor(observation.atMs / 1000))],
    ['evidence', failure === null ? 'answered' : failure.kind],
    ['code', failure?.code ?? ''],
    ['error', (failure?.message ?? '').replaceAll(/\s+/g, ' ').slice(0, ERROR_LENGTH)],
    ['observer', observation.observer],
    ['at_ms', String(Math.floor(observation.atMs))],
    ['broke', observation.connectionBroke ? '1' : '0'],
    ['io', facts?.io ?? ''],
    ['sql', facts?.sql ?? ''],
    ['gone_looks', String(observation.goneLooks)],
    ['heard_ms', facts?.hearing ? String(Math.round(facts.hearing.silentMs)) : ''],
    ['heartbeat_ms', facts?.hearing ? String(Math.round(facts.hearing.heartbeatMs)) : ''],
  ]);
}

/** The contract's words for how a host replicates; `mmm status` shows them as they stand on the board. */
export function replCheck(facts: Pick<SeenFacts, 'replicationOk' | 'delaySec'>): string {
  if (!facts.replicationOk) return 'Error';
  return facts.delaySec > 0 ? `Delay ${Math.ceil(facts.delaySec)} Seconds` : 'OK';
}

/** Reads what our monitor or a Perl one wrote about `host`. */
export function decodeObservation(host: Host, fields: Fields): Decoded<Observation> {
  return decode(fields, () => {
    const alive = oneOf(fields, 'ping', ['0', '1']) === '1';
    const lastCheckSec = dated(fields, 'last_check', 1);
    const own = ownFields(fields, { alive, lastCheckSec });
    return {
      host,
      evidence: alive && own?.failure === undefined ? answered(fields, own !== undefined) : unanswered(own?.failure),
      atMs: own?.atMs ?? lastCheckSec * 1000,
      observer: own?.observer ?? '',
      connectionBroke: own?.broke ?? false,
      goneLooks: own?.goneLooks ?? 0,
    };
  });
}

function answered(fields: Fields, ours: boolean): Seen {
  const check = text(fields, 'repl_check');
  const delay = /^Delay ([0-9]{1,15}) Seconds?$/.exec(check)?.[1];
  if (check !== 'OK' && check !== 'Error' && delay === undefined) {
    throw new Garbled(`repl_check is ${quote(check)}, expected OK, Error or Delay N Seconds`);
  }
  const readOnly = oneOf(fields, 'read_only', ['0', '1', '-1']);
  const facts: SeenFacts = {
    readOnly: readOnly === '-1' ? null : readOnly === '1',
    replicationOk: check !== 'Error',
    delaySec: Math.max(0, integer(fields, 'delay_sec', -1), Number(delay ?? 0)),
    connections: integer(fields, 'conn_nums', -1),
    io: ours ? thread(fields, 'io') : null,
    sql: ours ? thread(fields, 'sql') : null,
    hearing: ours ? hearing(fields) : null,
    boot: null,
    row: null,
  };
  return { kind: 'answered', facts };
}

function unanswered(failure: Failure | undefined): Seen {
  if (failure === undefined) {
    // A Perl monitor does not say why, so it is the weaker of the two: silence needs confirmations and a second opinion.
    const said: Failure = { kind: 'silent', code: 'perl', message: 'a monitor without graded evidence says ping 0' };
    return { kind: 'silent', failure: said };
  }
  const gone = GONE.find((kind) => kind === failure.kind);
  return gone === undefined ? { kind: 'unreadable', failure } : { kind: gone, failure };
}

/**
 * Our own fields, if they belong to this observation: a Perl monitor that takes over writes only the contract's fields and
 * leaves ours as they were, so they count only when they agree with the contract's on the second and on life.
 */
function ownFields(fields: Fields, contract: { alive: boolean; lastCheckSec: number }) {
  const atMs = Number(fields.get('at_ms'));
  const kind = [...UNREADABLE, ...GONE, 'answered' as const].find((known) => known === fields.get('evidence'));
  if (kind === undefined || Math.floor(atMs / 1000) !== contract.lastCheckSec) return undefined;
  if (isAlive({ kind: kind === 'refused' || kind === 'silent' ? kind : 'answered' }) !== contract.alive)
    return undefined;
  return {
    atMs,
    observer: fields.get('observer') ?? '',
    broke: fields.get('broke') === '1',
    goneLooks: count(fields, 'gone_looks') ?? 0,
    failure:
      kind === 'answered'
        ? undefined
        : ({ kind, code: fields.get('code') ?? '', message: fields.get('error') ?? '' } satisfies Failure),
  };
}

function thread(fields: Fields, name: string): ThreadState | null {
  const states: readonly ThreadState[] = ['Yes', 'No', 'Connecting'];
  return states.find((state) => state === fields.get(name)) ?? null;
}

function hearing(fields: Fields): Hearing | null {
  const [silentMs, heartbeatMs] = [count(fields, 'heard_ms'), count(fields, 'heartbeat_ms')];
  return silentMs === null || heartbeatMs === null ? null : { silentMs, heartbeatMs };
}

/** null for what an older monitor did not write. */
function count(fields: Fields, name: string): number | null {
  const value = fields.get(name) ?? '';
  return /^[0-9]{1,15}$/.test(value) ? Number(value) : null;
}

/** A monitor that has not been heard of for so long is forgotten by the next one that writes. */
const FORGOTTEN_MS = 600_000;

/** One monitor's field among those of all, with what the script needs in order to drop those that are gone. */
export function encodeSighting(sighting: Sighting) {
  const atMs = Math.max(...sighting.observations.map((seen) => Math.floor(seen.atMs)));
  const hosts = sighting.observations.map((seen) => [seen.host, Object.fromEntries(encodeObservation(seen))] as const);
  const content = { again_ms: sighting.againMs, hosts: Object.fromEntries(hosts) };
  return {
    field: sighting.observer,
    value: `${atMs} ${JSON.stringify(content)}`,
    oldestMs: atMs - FORGOTTEN_MS,
    ttlMs: FORGOTTEN_MS,
  };
}

function decodeSighting(observer: string, value: string, hosts: readonly Host[]): Decoded<Sighting> {
  try {
    // Not checked by the compiler: every part is looked at below.
    const content: unknown = JSON.parse(value.slice(value.indexOf(' ') + 1));
    const found = hosts.flatMap((host) => {
      const fields = member(member(content, 'hosts'), host);
      const texts = Object.entries(fields ?? {}).filter(
        (entry): entry is [string, string] => typeof entry[1] === 'string',
      );
      const { value: seen, garbage } = decodeObservation(host, new Map(texts));
      if (garbage !== null) throw new Garbled(`${host}: ${garbage}`);
      return seen ?? [];
    });
    const againMs = member(content, 'again_ms');
    return {
      value: { observer, observations: found, againMs: typeof againMs === 'number' ? againMs : null },
      garbage: null,
    };
  } catch (error) {
    if (error instanceof Garbled || error instanceof SyntaxError) return { value: null, garbage: error.message };
    throw error;
  }
}

function member(value: unknown, name: string): object | number | null {
  if (typeof value !== 'object' || value === null) return null;
  const found: unknown = Object.entries(value).find(([key]) => key === name)?.[1];
  return typeof found === 'object' || typeof found === 'number' ? found : null;
}

/** What every monitor of the pair says, by name. One that writes only the contract's hashes (a Perl one, an older one) has a say, too. */
export function sightingsOf(
  uniqsign: string,
  raw: { hosts: readonly Host[]; checks: readonly Fields[]; observers: Fields },
  take: Take,
): Sighting[] {
  const keys = keysOf(uniqsign);
  const named = [...raw.observers].flatMap(
    ([observer, value]) => take(`${keys.observers} ${observer}`, decodeSighting(observer, value, raw.hosts)) ?? [],
  );
  const others = new Map<string, Observation[]>();
  raw.hosts.forEach((host, at) => {
    const seen = take(keys.check(host), decodeObservation(host, raw.checks[at] ?? new Map()));
    if (seen === null || raw.observers.has(seen.observer)) return;
    others.set(seen.observer, [...(others.get(seen.observer) ?? []), seen]);
  });
  const unnamed = [...others].map(([observer, observations]) => ({ observer, observations, againMs: null }));
  return [...named, ...unnamed].sort((one, other) => (one.observer < other.observer ? -1 : 1));
}

// ------------------------------------------------------------------------------------------------------------- decisions

export function encodeRoles(roles: Roles): Fields {
  return new Map([
    ['active', roles.active],
    ['passive', roles.passive],
  ]);
}

export function decodeRoles(fields: Fields): Decoded<Roles> {
  return decode(fields, () => rolesIn(fields));
}

function rolesIn(fields: Fields): Roles {
  const roles = { active: host(fields, 'active'), passive: host(fields, 'passive') };
  if (roles.active === roles.passive) throw new Garbled(`active and passive are the same host, ${roles.active}`);
  return roles;
}

/** `mysql-U-master`, for confd and the like. */
export function encodeMaster(roles: Roles): Fields {
  return new Map([['host', roles.active]]);
}

export function encodeEpoch(decision: Decision): Fields {
  return new Map([
    ...encodeEpochGuard(decision.epoch),
    ['active', decision.epoch.active],
    ['reasons', JSON.stringify(decision.reasons)],
    ['at_ms', String(Math.floor(decision.atMs))],
    ...encodeTerms(decision.terms),
  ]);
}

/** Every field each time, for one that was left out would keep the value of an earlier decision. */
function encodeTerms(terms: Terms): Fields {
  return new Map([
    ['changed_ms', optionalDate(terms.changedAtMs)],
    ['preferred', terms.preferred ?? ''],
    ['force', terms.force ? '1' : '0'],
    ['request', terms.requestId ?? ''],
    ['back_ms', optionalDate(terms.backAtMs)],
  ]);
}

/** Of an mmm that knew no terms, they are absent. */
function termsIn(fields: Fields): Terms {
  return {
    changedAtMs: datedIfAny(fields, 'changed_ms'),
    preferred: fields.get('preferred') ? host(fields, 'preferred') : null,
    force: fields.get('force') === '1',
    requestId: fields.get('request') || null,
    backAtMs: datedIfAny(fields, 'back_ms'),
    lease: null,
  };
}

/** The fields that tell one epoch from every other. */
export function encodeEpochGuard(epoch: Pick<Epoch, 'number' | 'id'>): Fields {
  return new Map([
    ['number', String(epoch.number)],
    ['id', epoch.id],
  ]);
}

/**
 * What the epoch key must hold for a commit that was derived from `expected`. Without an expected epoch there must be none that
 * can be understood: garbage is overwritten, but only the very garbage that was looked at. An absent field is ''.
 */
export function guardFor(expected: Epoch | null, inStore: Fields): Fields {
  if (expected !== null) return encodeEpochGuard(expected);
  const understood = decodeEpoch(inStore).value !== null;
  return new Map(['number', 'id'].map((name) => [name, understood ? '' : (inStore.get(name) ?? '')]));
}

export function decodeEpoch(fields: Fields): Decoded<{ epoch: Epoch; atMs: number; reasons: string[]; terms: Terms }> {
  return decode(fields, () => ({
    epoch: { ...epochGuard(fields), active: host(fields, 'active') },
    atMs: dated(fields, 'at_ms', 1000),
    reasons: reasonsIn(fields),
    terms: termsIn(fields),
  }));
}

/** For people only, so that what cannot be understood is no reason to doubt the epoch. */
function reasonsIn(fields: Fields): string[] {
  try {
    const reasons: unknown = JSON.parse(fields.get('reasons') ?? '[]');
    return Array.isArray(reasons) ? reasons.map(String) : [];
  } catch {
    return [];
  }
}

function epochGuard(fields: Fields): Pick<Epoch, 'number' | 'id'> {
  return { number: integer(fields, 'number', 1), id: text(fields, 'id') };
}

export function encodePolicy(policy: Policy): Fields {
  return new Map([['drain_timeout', policy.drainTimeoutSec === null ? 'none' : String(policy.drainTimeoutSec)]]);
}

/** The strictest policy; also that of a pair whose identify says nothing about it. */
const STRICTEST: Policy = NO_SAFETY;

export function decodePolicy(fields: Fields): Decoded<Policy> {
  return decode(fields, () => {
    const drain = text(fields, 'drain_timeout');
    return drain === 'none' ? STRICTEST : { ...STRICTEST, drainTimeoutSec: integer(fields, 'drain_timeout', 0) };
  });
}

const OUTCOMES = ['opened', 'held', 'failed'] as const satisfies Report['outcome'][];

export function encodeReport(report: Report): Fields {
  return new Map([
    ...encodeEpochGuard(report.epoch),
    ['outcome', report.outcome],
    ['host', report.host],
    ['why', report.why],
    ['at_ms', String(Math.floor(report.atMs))],
    ['agent', report.agent],
    ['no_writer_ms', report.noWriterMs === null ? '' : String(Math.round(report.noWriterMs))],
  ]);
}

export function decodeReport(fields: Fields): Decoded<Report> {
  return decode(fields, () => ({
    epoch: epochGuard(fields),
    outcome: oneOf(fields, 'outcome', OUTCOMES),
    host: host(fields, 'host'),
    why: fields.get('why') ?? '',
    atMs: dated(fields, 'at_ms', 1000),
    agent: fields.get('agent') ?? '',
    noWriterMs: fields.get('no_writer_ms') ? integer(fields, 'no_writer_ms', 0) : null,
  }));
}

/** Every field each time, as above. */
export function encodeDivergence(divergence: Divergence): Fields {
  const { host: heldBy, count, gtids, cut, end, epoch, foundAtMs } = divergence;
  return new Map([
    ...encodeDivergenceGuard(divergence),
    ['host', heldBy],
    ['count', count === null ? 'unknown' : String(count)],
    ['gtids', gtids],
    ['cut', cut ? '1' : '0'],
    ['end_file', end?.file ?? ''],
    ['end_pos', end === null ? '' : String(end.pos)],
    ['epoch_number', epoch === null ? '' : String(epoch.number)],
    ['epoch_id', epoch?.id ?? ''],
    ['at_ms', String(Math.floor(foundAtMs))],
  ]);
}

/** The fields that tell one from the next: what is merged is not what was found since. */
export function encodeDivergenceGuard({ host: heldBy, foundAtMs }: Divergence): Fields {
  return new Map([
    ['host', heldBy],
    ['at_ms', String(Math.floor(foundAtMs))],
  ]);
}

export function decodeDivergence(fields: Fields): Decoded<Divergence> {
  return decode(fields, () => ({
    host: host(fields, 'host'),
    count: text(fields, 'count') === 'unknown' ? null : integer(fields, 'count', 1),
    gtids: fields.get('gtids') ?? '',
    cut: fields.get('cut') === '1',
    end: fields.get('end_file') ? { file: text(fields, 'end_file'), pos: integer(fields, 'end_pos', 0) } : null,
    epoch: fields.get('epoch_id') ? { number: integer(fields, 'epoch_number', 1), id: text(fields, 'epoch_id') } : null,
    foundAtMs: dated(fields, 'at_ms', 1000),
  }));
}

// ---------------------------------------------------------------------------------------------------------- the operator

const REQUESTS = ['switchover', 'failover'] as const satisfies Request['kind'][];

export function encodeRequest(request: Request): Fields {
  return new Map([
    ['id', request.id],
    ['kind', request.kind],
    ['to', request.to],
    ['by', request.by],
    ['epoch_number', String(request.epoch.number)],
    ['epoch_id', request.epoch.id],
    ['at_ms', String(Math.floor(request.atMs))],
    ['expires_ms', String(Math.floor(request.expiresMs))],
    ['within_sec', String(request.withinSec)],
    ['refused', request.refused ?? ''],
  ]);
}

/** The field that tells one request from every other. */
export function encodeRequestGuard(id: string): Fields {
  return new Map([['id', id]]);
}

export function decodeRequest(fields: Fields): Decoded<Request> {
  return decode(fields, () => ({
    id: text(fields, 'id'),
    kind: oneOf(fields, 'kind', REQUESTS),
    to: host(fields, 'to'),
    by: fields.get('by') ?? '',
    epoch: { number: integer(fields, 'epoch_number', 1), id: text(fields, 'epoch_id') },
    atMs: dated(fields, 'at_ms', 1000),
    expiresMs: dated(fields, 'expires_ms', 1000),
    withinSec: integer(fields, 'within_sec', 1),
    refused: fields.get('refused') || null,
  }));
}

export function encodePause(pause: Pause): Fields {
  return new Map([
    ['by', pause.by],
    ['at_ms', String(Math.floor(pause.atMs))],
    ['until_ms', optionalDate(pause.untilMs)],
  ]);
}

export function decodePause(fields: Fields): Decoded<Pause> {
  return decode(fields, () => ({
    by: fields.get('by') ?? '',
    atMs: dated(fields, 'at_ms', 1000),
    untilMs: datedIfAny(fields, 'until_ms'),
  }));
}

/** A string that holds a host; null: no such key. */
export function decodeHost(value: string | null): Decoded<Host> {
  if (value === null) return ABSENT;
  const parsed = parseHost(value);
  return parsed === undefined ? { value: null, garbage: `is no host: ${quote(value)}` } : found(parsed);
}

// ----------------------------------------------------------------------------------------------------------- the message

/** Without an epoch, the words a Perl agent obeys. */
export interface Message {
  readonly roles: Roles;
  readonly uniqsign: string;
}

export function encodeMessage({ roles, uniqsign }: Message): string {
  return `active: ${roles.active}, passive: ${roles.passive}, uniqsign: ${uniqsign}`;
}

/** Splits as the Perl agent does, so that both understand the same; further pairs are ignored, of two of a name the last counts. */
export function decodeMessage(message: string): Decoded<Message> {
  const pairs = message.split(', ').flatMap((pair): [string, string][] => {
    const [name, value, ...more] = pair.split(': ');
    return name === undefined || value === undefined || more.length > 0 ? [] : [[name, value]];
  });
  const fields = new Map(pairs);
  return decode(fields.size === 0 ? NOTHING_UNDERSTOOD : fields, () => {
    const uniqsign = text(fields, 'uniqsign');
    if (!SIGN.test(uniqsign)) throw new Garbled(`uniqsign is ${quote(uniqsign)}`);
    return { roles: rolesIn(fields), uniqsign };
  });
}

/** An empty message is garbage, not an absent one. */
const NOTHING_UNDERSTOOD: Fields = new Map([['', '']]);

// -------------------------------------------------------------------------------------------------- several keys together

/** A pair's keys as they were at one moment. */
export interface RawPair {
  readonly mode: Fields;
  readonly epoch: Fields;
  readonly report: Fields;
  readonly policy: Fields;
  readonly opened: string | null;
  readonly topic: string | null;
  readonly divergence: Fields;
  readonly request: Fields;
  readonly pause: Fields;
}

/** Takes the value out of what was decoded, after telling what is wrong with it. */
export type Take = <T>(key: string, decoded: Decoded<T>) => T | null;

export function boardOf(uniqsign: string, raw: RawPair, take: Take): Board {
  const keys = keysOf(uniqsign);
  const decided = take(keys.epoch, decodeEpoch(raw.epoch));
  const roles = take(keys.mode, decodeRoles(raw.mode));
  // A Perl identify that wrote the roles since knew nothing of them.
  const isOurs = decided !== null && decided.epoch.active === roles?.active;
  return {
    roles,
    epoch: decided?.epoch ?? null,
    report: take(keys.report, decodeReport(raw.report)),
    opened: take(keys.opened, decodeHost(raw.opened)),
    decidedAtMs: decided?.atMs ?? null,
    reasons: isOurs ? decided.reasons : [],
    terms: isOurs ? decided.terms : NO_TERMS,
    divergence: take(keys.divergence, decodeDivergence(raw.divergence)),
    request: take(keys.request, decodeRequest(raw.request)),
    pause: take(keys.pause, decodePause(raw.pause)),
    unfenced: null,
    lives: new Map(),
    announced: roles,
  };
}

/** The pair as an agent of `topic` finds it; null when it has no roles or belongs to another topic. */
export function foundPairOf(uniqsign: string, raw: RawPair, options: { topic: string; take: Take }): FoundPair | null {
  // A Perl identify names no topic; its pairs are taken as ours.
  if (raw.topic !== null && raw.topic !== options.topic) return null;
  const board = boardOf(uniqsign, raw, options.take);
  const policy = options.take(keysOf(uniqsign).policy, decodePolicy(raw.policy)) ?? STRICTEST;
  return board.roles === null ? null : { uniqsign, board, policy };
}

/** So many keys' troubles are remembered; more are told again. */
const TOLD_BOUND = 1000;

/** A Take that tells each trouble when it begins or changes, not at every look. */
export function tellingOnce(onGarbage: (key: string, why: string) => void): Take {
  const told = new Map<string, string>();
  return (key, decoded) => {
    if (decoded.garbage === null) {
      told.delete(key);
    } else if (told.get(key) !== decoded.garbage) {
      if (told.size >= TOLD_BOUND) told.clear();
      told.set(key, decoded.garbage);
      onGarbage(key, decoded.garbage);
    }
    return decoded.value;
  };
}

// ------------------------------------------------------------------------------------------------------- reading a field

/** Thrown by the readers below and turned into a sentence by `decode`; it never leaves this file. */
class Garbled extends Error {}

const ABSENT = { value: null, garbage: null };

function found<T>(value: T): Decoded<T> {
  return { value, garbage: null };
}

function decode<T>(fields: Fields, read: () => T): Decoded<T> {
  if (fields.size === 0) return ABSENT;
  try {
    return found(read());
  } catch (error) {
    if (error instanceof Garbled) return { value: null, garbage: error.message };
    throw error;
  }
}

function text(fields: Fields, name: string): string {
  const value = fields.get(name);
  if (value === undefined || value === '') throw new Garbled(`${name} is missing`);
  return value;
}

function oneOf<const T extends string>(fields: Fields, name: string, words: readonly T[]): T {
  const value = text(fields, name);
  const word = words.find((known) => known === value);
  if (word === undefined) throw new Garbled(`${name} is ${quote(value)}, expected ${words.join(' or ')}`);
  return word;
}

function integer(fields: Fields, name: string, least: number): number {
  const value = text(fields, name);
  const number = /^-?[0-9]{1,15}$/.test(value) ? Number(value) : Number.NaN;
  if (!(number >= least)) throw new Garbled(`${name} is ${quote(value)}, expected a whole number from ${least} on`);
  return number;
}

/** A date between September 2001 and the year 2100: outside of it the unit is wrong, or the clock never was set. */
function dated(fields: Fields, name: string, perSecond: 1 | 1000): number {
  const date = integer(fields, name, 0);
  if (date < 1e9 * perSecond || date > 4_102_444_800 * perSecond) throw new Garbled(`${name} is no date: ${date}`);
  return date;
}

function optionalDate(ms: number | null): string {
  return ms === null ? '' : String(Math.floor(ms));
}

/** Absent and empty alike: no date. */
function datedIfAny(fields: Fields, name: string): number | null {
  return fields.get(name) ? dated(fields, name, 1000) : null;
}

function host(fields: Fields, name: string): Host {
  const value = text(fields, name);
  const parsed = parseHost(value);
  if (parsed === undefined) throw new Garbled(`${name} is ${quote(value)}, expected ADDRESS:PORT`);
  return parsed;
}

/** Foreign text for a log line: one line, bounded. */
function quote(value: string): string {
  return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}...` : value);
}

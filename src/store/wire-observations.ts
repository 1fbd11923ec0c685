// What monitors found, as it stands in `-check` and among the observers: the contract's six fields, then ours.
// Written and read by redis.ts; the nouns are those of core/observation.ts.

import type {
  Boot,
  Failure,
  Hearing,
  Observation,
  Seen,
  SeenFacts,
  SeenRow,
  Sighting,
  ThreadState,
} from '../core/observation.ts';
import { isAlive } from '../core/observation.ts';
import type { Host } from '../core/pair.ts';
import {
  type Decoded,
  dated,
  decode,
  type Fields,
  flag,
  Garbled,
  host as hostIn,
  integer,
  isSet,
  oneOf,
  quote,
  type Take,
  text,
  textsIn,
} from './wire-fields.ts';
import { keysOf } from './wire-keys.ts';

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
    ['uuid', facts?.boot?.uuid ?? ''],
    ['started_sec', facts?.boot ? String(facts.boot.startedSec) : ''],
    ...encodeRow(facts?.row ?? null),
    ['semi_sync', flag(facts?.hasSemiSync ?? null)],
  ]);
}

/** All are '' where no row is known. */
function encodeRow(row: SeenRow | null): Fields {
  const { epoch = null, opened = null } = row ?? {};
  return new Map([
    ['row_lease', row?.lease ?? ''],
    ['row_armed', flag(row?.armed ?? null)],
    ['row_unfenced', flag(row?.unfenced ?? null)],
    ['row_number', epoch === null ? '' : String(epoch.number)],
    ['row_id', epoch?.id ?? ''],
    ['row_active', epoch?.active ?? ''],
    ['opened_number', opened === null ? '' : String(opened.number)],
    ['opened_id', opened?.id ?? ''],
    ['opened_boot', opened === null ? '' : String(opened.startedSec)],
    ['row_generation', row === null ? '' : String(row.generation)],
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
    boot: ours ? boot(fields) : null,
    row: ours ? row(fields) : null,
    hasSemiSync: ours && fields.get('semi_sync') ? isSet(fields, 'semi_sync') : null,
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

function boot(fields: Fields): Boot | null {
  if (!fields.get('started_sec')) return null;
  return { uuid: fields.get('uuid') ?? '', startedSec: integer(fields, 'started_sec', Number.MIN_SAFE_INTEGER) };
}

const LEASES = ['none', 'endless', 'finite'] as const satisfies SeenRow['lease'][];

/** Half a row is garbage, not none: what is not understood could be a higher epoch than the board's. */
function row(fields: Fields): SeenRow | null {
  if (!fields.get('row_lease')) return null;
  return {
    lease: oneOf(fields, 'row_lease', LEASES),
    armed: isSet(fields, 'row_armed'),
    unfenced: isSet(fields, 'row_unfenced'),
    epoch: fields.get('row_number')
      ? { number: integer(fields, 'row_number', 1), id: text(fields, 'row_id'), active: hostIn(fields, 'row_active') }
      : null,
    opened: fields.get('opened_number')
      ? {
          number: integer(fields, 'opened_number', 1),
          id: text(fields, 'opened_id'),
          startedSec: integer(fields, 'opened_boot', Number.MIN_SAFE_INTEGER),
        }
      : null,
    // An older monitor knew none.
    generation: fields.get('row_generation') ? integer(fields, 'row_generation', 0) : 0,
  };
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
      const { value: seen, garbage } = decodeObservation(host, textsIn(fields));
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

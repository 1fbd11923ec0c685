// What stands on the board of a pair with a safety on: the flag `unfenced`, what was noted of each host, and who the agents are.
// Written and read by redis.ts; the nouns are those of core/decision.ts and core/agents.ts.

import { type AgentRecord, keepsLeases, type Renewal } from '../core/agents.ts';
import type { Life } from '../core/decision.ts';
import {
  ABSENT,
  type Decoded,
  decode,
  type Fields,
  flag,
  found,
  Garbled,
  host,
  integer,
  isSet,
  oneOf,
  parsed,
  quote,
  type Take,
  text,
  textsIn,
} from './wire-fields.ts';
import { keysOf } from './wire-keys.ts';

export function encodeUnfenced(unfenced: boolean): string {
  return flag(unfenced);
}

/** null: nobody knows. */
export function decodeUnfenced(value: string | null): Decoded<boolean> {
  if (value === null) return ABSENT;
  return value === '1' || value === '0'
    ? found(value === '1')
    : { value: null, garbage: `is ${quote(value)}, expected 0 or 1` };
}

/** Every field each time: one that was left out would be of another life. */
export function encodeLife(life: Life): Fields {
  return new Map([
    ['uuid', life.uuid],
    ['started_sec', String(life.startedSec)],
    ['came_up_read_only', flag(life.cameUpReadOnly)],
    ['armed', flag(life.armed)],
  ]);
}

export function decodeLife(fields: Fields): Decoded<Life> {
  return decode(fields, () => ({
    uuid: fields.get('uuid') ?? '',
    startedSec: integer(fields, 'started_sec', Number.MIN_SAFE_INTEGER),
    cameUpReadOnly: isSet(fields, 'came_up_read_only'),
    armed: isSet(fields, 'armed'),
  }));
}

/** What the record of an agent begins with on which others may count, so that a script can tell it from another one. */
export const KEEPS_LEASES = '1 ';

export function encodeAgent(record: AgentRecord): string {
  const { reachesBoth, renewal } = record;
  const content = {
    both: reachesBoth ? '1' : '0',
    ...Object.fromEntries(renewal === null ? [] : encodeRenewal(renewal)),
  };
  return `${keepsLeases(record) ? KEEPS_LEASES : '0 '}${JSON.stringify(content)}`;
}

function encodeRenewal({ host: renewed, epoch, outcome, successes }: Renewal): Fields {
  return new Map([
    ['host', renewed],
    ['epoch_number', String(epoch.number)],
    ['epoch_id', epoch.id],
    ['outcome', outcome],
    ['successes', String(successes)],
  ]);
}

const OUTCOMES = ['renewed', 'endless', 'failed', 'no-witness'] as const satisfies Renewal['outcome'][];

/** An empty value is garbage, too. */
function decodeAgent(name: string, value: string): Decoded<AgentRecord> {
  return decode(new Map([['record', value]]), () => {
    const [, json] = /^[01] (\{.*\})$/.exec(value) ?? [];
    if (json === undefined) throw new Garbled(`is no record of an agent: ${quote(value)}`);
    const fields = textsIn(parsed(json));
    return { name, reachesBoth: isSet(fields, 'both'), renewal: fields.has('host') ? renewalIn(fields) : null };
  });
}

function renewalIn(fields: Fields): Renewal | null {
  if (fields.size === 0) return null;
  return {
    host: host(fields, 'host'),
    epoch: { number: integer(fields, 'epoch_number', 1), id: text(fields, 'epoch_id') },
    outcome: oneOf(fields, 'outcome', OUTCOMES),
    successes: integer(fields, 'successes', 0),
  };
}

/** Those that are there, by name; `present`: what stands under each name. */
export function agentsOf(uniqsign: string, present: Fields, take: Take): AgentRecord[] {
  const keys = keysOf(uniqsign);
  return [...present]
    .flatMap(([name, value]) => take(keys.agent(name), decodeAgent(name, value)) ?? [])
    .sort((one, other) => (one.name < other.name ? -1 : 1));
}

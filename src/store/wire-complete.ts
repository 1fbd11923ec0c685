// Which hosts hold every acknowledged commit, and who is about to join them, as it stands on the board.
// Written and read by redis.ts; the nouns are those of core/complete.ts.

import { type Complete, isMember, type Joining, type Member } from '../core/complete.ts';
import {
  type Decoded,
  dated,
  decode,
  type Fields,
  Garbled,
  host,
  integer,
  parsed,
  quote,
  text,
  textsIn,
} from './wire-fields.ts';

/** Every field each time: one that was left out would be of another set. */
export function encodeComplete({ generation, writer, hosts }: Complete): Fields {
  return new Map([
    ...encodeGeneration(generation),
    ['writer', JSON.stringify(memberFields(writer))],
    ['hosts', JSON.stringify(hosts.map(memberFields))],
  ]);
}

/** The field that tells one set, or one attempt at another, from the next. */
export function encodeGeneration(generation: number): Fields {
  return new Map([['generation', String(generation)]]);
}

/**
 * What the set must be for a change that was derived from the generation `from`. null: there must be none that can be understood; garbage
 * is overwritten, but only the very garbage that was looked at. An absent field is ''.
 */
export function completeGuard(from: number | null, inStore: Fields): Fields {
  if (from !== null) return encodeGeneration(from);
  const understood = decodeComplete(inStore).value !== null;
  return new Map(FIELDS.map((name) => [name, understood ? '' : (inStore.get(name) ?? '')]));
}

const FIELDS = ['generation', 'writer', 'hosts'];

export function decodeComplete(fields: Fields): Decoded<Complete> {
  return decode(fields, () => {
    const writer = memberIn(parsed(text(fields, 'writer')));
    const listed = parsed(text(fields, 'hosts'));
    const hosts = Array.isArray(listed) ? listed.map(memberIn) : [];
    // Unknown is false: what makes no sense makes nobody complete.
    if (!hosts.some((one) => isMember(one, writer))) {
      throw new Garbled(`its hosts lack the one that commits: ${quote(text(fields, 'hosts'))}`);
    }
    if (new Set(hosts.map((one) => one.host)).size !== hosts.length) {
      throw new Garbled(`its hosts name one twice: ${quote(text(fields, 'hosts'))}`);
    }
    return { generation: integer(fields, 'generation', 1), writer, hosts };
  });
}

function memberFields({ host: name, uuid, startedSec }: Member) {
  return { host: name, uuid, started_sec: String(startedSec) };
}

function memberIn(value: unknown): Member {
  const fields = textsIn(value);
  return {
    host: host(fields, 'host'),
    uuid: fields.get('uuid') ?? '',
    startedSec: integer(fields, 'started_sec', Number.MIN_SAFE_INTEGER),
  };
}

/** Every field each time, as above. */
export function encodeJoining(joining: Joining): Fields {
  return new Map([
    ['host', joining.host],
    ['by', joining.by],
    ...encodeGeneration(joining.generation),
    ['until_ms', String(Math.floor(joining.untilMs))],
  ]);
}

export function decodeJoining(fields: Fields): Decoded<Joining> {
  return decode(fields, () => ({
    host: host(fields, 'host'),
    by: text(fields, 'by'),
    generation: integer(fields, 'generation', 1),
    untilMs: dated(fields, 'until_ms', 1000),
  }));
}

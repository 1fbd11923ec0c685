// What an operator asks for, as it stands on the board: a request to identify, and a pause.
// Written and read by redis.ts; the nouns are those of core/request.ts.

import type { Pause, Request } from '../core/request.ts';
import {
  type Decoded,
  dated,
  datedIfAny,
  decode,
  type Fields,
  host,
  integer,
  oneOf,
  optionalDate,
  text,
} from './wire-fields.ts';

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

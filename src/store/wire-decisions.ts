// A decision on the board: roles, epoch, terms, policy; and what comes of it: the report, and what was left behind.
// Written and read by redis.ts; the nouns are those of core/decision.ts and core/divergence.ts.

import { type Decision, NO_SAFETY, type Policy, type Report, type Terms } from '../core/decision.ts';
import type { Divergence } from '../core/divergence.ts';
import { type Epoch, type Host, parseHost, type Roles } from '../core/pair.ts';
import {
  ABSENT,
  type Decoded,
  dated,
  datedIfAny,
  decode,
  type Fields,
  found,
  Garbled,
  host,
  integer,
  oneOf,
  optionalDate,
  quote,
  text,
} from './wire-fields.ts';

export function encodeRoles(roles: Roles): Fields {
  return new Map([
    ['active', roles.active],
    ['passive', roles.passive],
  ]);
}

export function decodeRoles(fields: Fields): Decoded<Roles> {
  return decode(fields, () => rolesIn(fields));
}

export function rolesIn(fields: Fields): Roles {
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
export const STRICTEST: Policy = NO_SAFETY;

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

/** A string that holds a host; null: no such key. */
export function decodeHost(value: string | null): Decoded<Host> {
  if (value === null) return ABSENT;
  const parsed = parseHost(value);
  return parsed === undefined ? { value: null, garbage: `is no host: ${quote(value)}` } : found(parsed);
}

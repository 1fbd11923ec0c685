// A decision on the board: roles, epoch, terms, policy; and what comes of it: the report, and what was left behind.
// Written and read by redis.ts; the nouns are those of core/decision.ts and core/divergence.ts.

import { type Decision, type Durability, NO_SAFETY, type Policy, type Report, type Terms } from '../core/decision.ts';
import type { Divergence } from '../core/divergence.ts';
import { LEAST_LEASE_MS } from '../core/lease.ts';
import { type Epoch, type EpochName, type Host, parseHost, type Roles } from '../core/pair.ts';
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
    ['passive', decision.roles.passive],
    ['reasons', JSON.stringify(decision.reasons)],
    ['at_ms', String(Math.floor(decision.atMs))],
    ...encodeTerms(decision.terms),
  ]);
}

const LEASES = ['finite', 'endless'] as const satisfies Terms['lease'][];
const DURABILITIES = ['async', 'lossless'] as const satisfies Durability[];

/** Every field each time, for one that was left out would keep the value of an earlier decision. */
function encodeTerms(terms: Terms): Fields {
  return new Map([
    ['changed_ms', optionalDate(terms.changedAtMs)],
    ['preferred', terms.preferred ?? ''],
    ['force', terms.force ? '1' : '0'],
    ['request', terms.requestId ?? ''],
    ['back_ms', optionalDate(terms.backAtMs)],
    ['lease', terms.lease ?? ''],
    ['durability', terms.durability],
    ['other_number', terms.otherNumber === null ? '' : String(terms.otherNumber)],
    ['longest_lease_ms', terms.longestLeaseMs === null ? '' : String(terms.longestLeaseMs)],
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
    lease: fields.get('lease') ? oneOf(fields, 'lease', LEASES) : null,
    durability: fields.has('durability') ? oneOf(fields, 'durability', DURABILITIES) : 'async',
    otherNumber: fields.get('other_number') ? integer(fields, 'other_number', 1) : null,
    longestLeaseMs: fields.get('longest_lease_ms') ? integer(fields, 'longest_lease_ms', 1) : null,
  };
}

/** The fields that tell one epoch from every other. */
export function encodeEpochGuard(epoch: EpochName): Fields {
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

export interface Decided {
  readonly epoch: Epoch;
  /** Those that the decision was made for; null: not guarded, so that the contract's key says who has which role, whoever wrote it. */
  readonly roles: Roles | null;
  readonly atMs: number;
  readonly reasons: readonly string[];
  readonly terms: Terms;
}

export function decodeEpoch(fields: Fields): Decoded<Decided> {
  return decode(fields, () => {
    const terms = termsIn(fields);
    return {
      epoch: { ...epochGuard(fields), active: host(fields, 'active') },
      roles: terms.lease === null ? null : rolesIn(fields),
      atMs: dated(fields, 'at_ms', 1000),
      reasons: reasonsIn(fields),
      terms,
    };
  });
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

function epochGuard(fields: Fields): EpochName {
  return { number: integer(fields, 'number', 1), id: text(fields, 'id') };
}

export function encodePolicy(policy: Policy): Fields {
  return new Map([
    ['drain_timeout', policy.drainTimeoutSec === null ? 'none' : String(policy.drainTimeoutSec)],
    ['fencing', policy.fencing],
    ['lease_ms', String(policy.leaseMs)],
    ['lease_agents', String(policy.leaseAgents)],
    ['on_unreachable', policy.onUnreachable],
    ['fence_hook', policy.fenceHook ?? ''],
    ['durability', policy.durability],
    ['on_divergence', policy.onDivergence],
  ]);
}

/**
 * For a pair whose policy is not there or cannot be understood. Of a guarded one nobody knows for how long others will wait, so that it grants
 * the shortest lease that there is; it waits for the longest (wire.ts `foundPairOf`).
 */
export function strictestPolicy(isGuarded: boolean): Policy {
  return isGuarded ? { ...NO_SAFETY, fencing: 'lease', leaseMs: LEAST_LEASE_MS, onUnreachable: 'wait' } : NO_SAFETY;
}

export function decodePolicy(fields: Fields): Decoded<Policy> {
  return decode(fields, () => {
    const drainTimeoutSec = text(fields, 'drain_timeout') === 'none' ? null : integer(fields, 'drain_timeout', 0);
    // An older identify knew no safety.
    if (!fields.has('fencing')) return { ...NO_SAFETY, drainTimeoutSec };
    return {
      drainTimeoutSec,
      fencing: oneOf(fields, 'fencing', ['none', 'lease']),
      leaseMs: integer(fields, 'lease_ms', 1),
      leaseAgents: integer(fields, 'lease_agents', 1),
      onUnreachable: oneOf(fields, 'on_unreachable', ['promote', 'wait']),
      fenceHook: fields.get('fence_hook') ? absolutePath(fields, 'fence_hook') : null,
      durability: fields.has('durability') ? oneOf(fields, 'durability', DURABILITIES) : 'async',
      onDivergence: fields.has('on_divergence') ? oneOf(fields, 'on_divergence', ['merge', 'hold']) : 'merge',
    };
  });
}

function absolutePath(fields: Fields, name: string): string {
  const path = text(fields, name);
  if (!path.startsWith('/')) throw new Garbled(`${name} is ${quote(path)}, expected an absolute path`);
  return path;
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
  const { host: heldBy, count, gtids, cut, end, epoch, foundAtMs, saved } = divergence;
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
    ...encodeSaved(saved ?? ''),
  ]);
}

/** Known later than the rest. */
export function encodeSaved(saved: string): Fields {
  return new Map([['saved', saved]]);
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
    saved: fields.get('saved') || null,
  }));
}

/** A string that holds a host; null: no such key. */
export function decodeHost(value: string | null): Decoded<Host> {
  if (value === null) return ABSENT;
  const parsed = parseHost(value);
  return parsed === undefined ? { value: null, garbage: `is no host: ${quote(value)}` } : found(parsed);
}

// What the board looks like in Redis: the wire files are the ONLY ones that know key names, field names, channel names and the message, both ways.
// Text from outside becomes a type here and is never checked again inside; what cannot be understood becomes a sentence.
// This one puts a pair's keys together; the others have a noun each. docs of the outside: the keys and the message of the Perl mmm-manager.

import { type Board, type Life, NO_TERMS } from '../core/decision.ts';
import { LONGEST_LEASE_MS } from '../core/lease.ts';
import { type Host, parseHost } from '../core/pair.ts';
import type { FoundPair } from './store.ts';
import { decodeComplete, decodeJoining } from './wire-complete.ts';
import {
  decodeDivergence,
  decodeEpoch,
  decodeHost,
  decodePolicy,
  decodeReport,
  decodeRoles,
  strictestPolicy,
} from './wire-decisions.ts';
import type { Fields, Take } from './wire-fields.ts';
import { decodeLife, decodeUnfenced } from './wire-guard.ts';
import { type Keys, keysOf } from './wire-keys.ts';
import { decodePause, decodeRequest } from './wire-operator.ts';

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
  readonly unfenced: string | null;
  readonly complete: Fields;
  readonly joining: Fields;
  /** Of every host that mode or epoch names as active or passive. */
  readonly lives: ReadonlyMap<string, Fields>;
}

/** The fields of mode and epoch that name a host whose life belongs to the pair. */
export const NAMES_HOST = ['active', 'passive'];

export function boardOf(uniqsign: string, raw: RawPair, take: Take): Board {
  const keys = keysOf(uniqsign);
  const decided = take(keys.epoch, decodeEpoch(raw.epoch));
  const announced = take(keys.mode, decodeRoles(raw.mode));
  // With a safety on only a decision changes roles; without one a Perl identify may have its say in the contract's key.
  const roles = decided?.roles ?? announced;
  // One that wrote the roles since knew nothing of our reasons and terms.
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
    unfenced: take(keys.unfenced, decodeUnfenced(raw.unfenced)),
    lives: livesIn(keys, raw.lives, take),
    complete: take(keys.complete, decodeComplete(raw.complete)),
    joining: take(keys.joining, decodeJoining(raw.joining)),
    announced,
  };
}

function livesIn(keys: Keys, raw: RawPair['lives'], take: Take): ReadonlyMap<Host, Life> {
  const lives = new Map<Host, Life>();
  for (const [name, fields] of raw) {
    const host = parseHost(name);
    // Roles that name no host are told as such.
    const life = host === undefined ? null : take(keys.life(host), decodeLife(fields));
    if (host !== undefined && life !== null) lives.set(host, life);
  }
  return lives;
}

/** The pair as an agent of `topic` finds it; null when it has no roles or belongs to another topic. */
export function foundPairOf(uniqsign: string, raw: RawPair, options: { topic: string; take: Take }): FoundPair | null {
  // A Perl identify names no topic; its pairs are taken as ours.
  if (raw.topic !== null && raw.topic !== options.topic) return null;
  const board = boardOf(uniqsign, raw, options.take);
  const known = options.take(keysOf(uniqsign).policy, decodePolicy(raw.policy));
  const policy = known ?? strictestPolicy(board.terms.lease !== null);
  const policyMs = known === null ? LONGEST_LEASE_MS : policy.leaseMs;
  const longestLeaseMs = Math.max(policyMs, board.terms.longestLeaseMs ?? 0);
  return board.roles === null ? null : { uniqsign, board, policy, policyIsKnown: known !== null, longestLeaseMs };
}

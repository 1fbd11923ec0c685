// The names on the board: keys, channels, and what may stand in them. The first keys are those of the Perl mmm-manager.
// Comes from changes.ts and redis.ts; what stands under each key is in the wire file of its noun.

import type { Host, Pair } from '../core/pair.ts';
import { ABSENT, type Decoded, found, quote } from './wire-fields.ts';

export type Keys = ReturnType<typeof keysOf>;

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
    /** The pair's lease is endless on purpose: `1`, `0`; absent: nobody knows. */
    unfenced: `${prefix}-unfenced`,
    /** What the agents noted of a host while it answered; `lives` is what stands before and after the host in its key. */
    life: (host: Host) => `${prefix}-${host}-life`,
    lives: { before: `${prefix}-`, after: '-life' },
    /** Which hosts hold every acknowledged commit, with the set's generation; absent: nobody knows. */
    complete: `${prefix}-complete`,
    /** Who is about to be taken into that set. */
    joining: `${prefix}-joining`,
    /** The names of the agents, and each one's record, which runs out by itself. Every record's key begins with agent(''). */
    agents: `${prefix}-agents`,
    agent: (name: string) => `${prefix}-agent-${name}`,
  };
}

/** Matches every pair's `mode` and `epoch` keys, and others: a glob knows no alternatives, and two scans cost twice as much. */
export const PAIR_PATTERN = 'mysql-*-[em]*';

/** The signature in a key that makes a pair known to agents: its roles, or its epoch. Neither value nor garbage: it is no such key. */
export function uniqsignIn(key: string): Decoded<string> {
  const sign = /^mysql-(.*)-(?:mode|epoch)$/.exec(key)?.[1];
  if (sign === undefined) return ABSENT;
  if (SIGN.test(sign)) return found(sign);
  return { value: null, garbage: 'is named like the roles of a pair, without a signature' };
}

/** The contract's topic carries the contract's message alone; our wake-ups go beside it, so that no Perl agent sees them. */
export function channelsOf(topic: string) {
  return { message: topic, decided: `${topic}-mmm`, observed: `${topic}-mmm-seen` };
}

/** What may stand in a key, in the message (which is split at commas and colons) and in a wake-up. */
export const SIGN = /^[^\s,:]{1,200}$/;

/** A wake-up's payload is the pair's signature. */
export function decodeWake(payload: string): Decoded<string> {
  return SIGN.test(payload) ? found(payload) : { value: null, garbage: `is no signature: ${quote(payload)}` };
}

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

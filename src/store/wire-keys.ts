// The names on the board: keys, channels, and what may stand in them. The first keys are those of the Perl mmm-manager.
// Comes from changes.ts and redis.ts; what stands under each key is in the wire file of its noun.

import type { Host, Pair } from '../core/pair.ts';
import { type Decoded, found, quote } from './wire-fields.ts';

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

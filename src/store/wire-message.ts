// The contract's message, both ways: what a Perl identify publishes and a Perl agent obeys.
// Written and read by redis.ts; src/agent-telling.ts shows it in the log.

import type { Roles } from '../core/pair.ts';
import { rolesIn } from './wire-decisions.ts';
import { type Decoded, decode, type Fields, Garbled, quote, text } from './wire-fields.ts';
import { SIGN } from './wire-keys.ts';

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

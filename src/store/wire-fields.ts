// Text from Redis becomes a value here, or a sentence about what is wrong with it. The readers that every wire file uses.
// They know no key and no field by name; the files beside this one do.

import { type Host, parseHost } from '../core/pair.ts';

/** A hash as Redis holds it; an absent key is an empty one. */
export type Fields = ReadonlyMap<string, string>;

/** What was read: the value (null: nothing there, or nothing to be understood), and what is wrong with the text, if anything. */
export interface Decoded<T> {
  readonly value: T | null;
  readonly garbage: string | null;
}

/** Takes the value out of what was decoded, after telling what is wrong with it. */
export type Take = <T>(key: string, decoded: Decoded<T>) => T | null;

/** So many keys' troubles are remembered; more are told again. */
const TOLD_BOUND = 1000;

/** A Take that tells each trouble when it begins or changes, not at every look. */
export function tellingOnce(onGarbage: (key: string, why: string) => void): Take {
  const told = new Map<string, string>();
  return (key, decoded) => {
    if (decoded.garbage === null) {
      told.delete(key);
    } else if (told.get(key) !== decoded.garbage) {
      if (told.size >= TOLD_BOUND) told.clear();
      told.set(key, decoded.garbage);
      onGarbage(key, decoded.garbage);
    }
    return decoded.value;
  };
}

/** Thrown by whoever reads a field and turned into a sentence by `decode`; it never leaves the wire files. */
export class Garbled extends Error {}

export const ABSENT = { value: null, garbage: null };

export function found<T>(value: T): Decoded<T> {
  return { value, garbage: null };
}

export function decode<T>(fields: Fields, read: () => T): Decoded<T> {
  if (fields.size === 0) return ABSENT;
  try {
    return found(read());
  } catch (error) {
    if (error instanceof Garbled) return { value: null, garbage: error.message };
    throw error;
  }
}

export function text(fields: Fields, name: string): string {
  const value = fields.get(name);
  if (value === undefined || value === '') throw new Garbled(`${name} is missing`);
  return value;
}

export function oneOf<const T extends string>(fields: Fields, name: string, words: readonly T[]): T {
  const value = text(fields, name);
  const word = words.find((known) => known === value);
  if (word === undefined) throw new Garbled(`${name} is ${quote(value)}, expected ${words.join(' or ')}`);
  return word;
}

export function integer(fields: Fields, name: string, least: number): number {
  const value = text(fields, name);
  const number = /^-?[0-9]{1,15}$/.test(value) ? Number(value) : Number.NaN;
  if (!(number >= least)) throw new Garbled(`${name} is ${quote(value)}, expected a whole number from ${least} on`);
  return number;
}

/** A date between September 2001 and the year 2100: outside of it the unit is wrong, or the clock never was set. */
export function dated(fields: Fields, name: string, perSecond: 1 | 1000): number {
  const date = integer(fields, name, 0);
  if (date < 1e9 * perSecond || date > 4_102_444_800 * perSecond) throw new Garbled(`${name} is no date: ${date}`);
  return date;
}

export function optionalDate(ms: number | null): string {
  return ms === null ? '' : String(Math.floor(ms));
}

/** `1` or `0`; '' where nobody knows. */
export function flag(value: boolean | null): string {
  return value === null ? '' : value ? '1' : '0';
}

export function isSet(fields: Fields, name: string): boolean {
  return oneOf(fields, name, ['0', '1']) === '1';
}

/** Not checked by the compiler: whoever asks looks at every part of it. */
export function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (error) {
    if (error instanceof SyntaxError) throw new Garbled(error.message);
    throw error;
  }
}

/** A JSON object of texts; anything else in it is left out. */
export function textsIn(value: unknown): Fields {
  const entries = typeof value === 'object' && value !== null ? Object.entries(value) : [];
  return new Map(entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
}

/** Absent and empty alike: no date. */
export function datedIfAny(fields: Fields, name: string): number | null {
  return fields.get(name) ? dated(fields, name, 1000) : null;
}

export function host(fields: Fields, name: string): Host {
  const value = text(fields, name);
  const parsed = parseHost(value);
  if (parsed === undefined) throw new Garbled(`${name} is ${quote(value)}, expected ADDRESS:PORT`);
  return parsed;
}

/** Foreign text for a log line: one line, bounded. */
export function quote(value: string): string {
  return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}...` : value);
}

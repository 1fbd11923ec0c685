// All the chance of a simulated run, from one seed: streams that do not disturb each other, so that one more throw in one place does
// not change what happens in another.

import type { Random } from '../../src/ops/clock.ts';

export class Chance implements Random {
  readonly #seed: string;
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  constructor(seed: string) {
    this.#seed = seed;
    // Four words out of the text (FNV-1a with different starts), then sfc32, which is small, fast and good enough.
    [this.#a, this.#b, this.#c, this.#d] = [fnv(seed, 1), fnv(seed, 2), fnv(seed, 3), fnv(seed, 4)];
    for (let count = 0; count < 12; count++) this.next();
  }

  /** A stream of its own for `name`. */
  stream(name: string): Chance {
    return new Chance(`${this.#seed}/${name}`);
  }

  next(): number {
    const sum = (this.#a + this.#b + this.#d) | 0;
    this.#d = (this.#d + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    return (sum >>> 0) / 2 ** 32;
  }

  id(): string {
    return Array.from({ length: 4 }, () =>
      Math.floor(this.next() * 2 ** 32)
        .toString(16)
        .padStart(8, '0'),
    ).join('');
  }

  between(from: number, to: number): number {
    return from + this.next() * (to - from);
  }

  whole(from: number, to: number): number {
    return Math.floor(this.between(from, to + 1));
  }

  happens(probability: number): boolean {
    return this.next() < probability;
  }

  /** Gaps between events that know nothing of each other. */
  gap(meanMs: number): number {
    return -Math.log(1 - this.next()) * meanMs;
  }

  pick<T>(of: readonly T[]): T {
    const one = of[Math.floor(this.next() * of.length)];
    if (one === undefined) throw new Error('nothing to pick from');
    return one;
  }
}

function fnv(text: string, start: number): number {
  let hash = (0x811c9dc5 ^ Math.imul(start, 0x9e3779b9)) >>> 0;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193) >>> 0;
  return hash;
}

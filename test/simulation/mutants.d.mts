// The types of mutants.mjs, which is no TypeScript because Node runs it as it is.

import type { Violation } from './checkers.ts';
import type { runSeed } from './run.ts';

export interface Mutant {
  readonly name: string;
  /** A few dozen seeds are enough, so that the tests try it. */
  readonly quick?: boolean;
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

export const MUTANTS: readonly Mutant[];
export function runnerWith(mutant: Mutant | null): Promise<typeof runSeed>;
export function firstRed(mutant: Mutant, from: number, count: number): Promise<(Violation & { seed: number }) | null>;
export function main(names: readonly string[]): Promise<number>;

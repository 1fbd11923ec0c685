// The types of mutants.mjs, which is no TypeScript because Node runs it as it is.

import type { StoryName } from './stories.ts';

interface Edit {
  readonly find: string;
  readonly replace: string;
}

export interface Mutant extends Edit {
  readonly name: string;
  /** Its name in the model of the protocol, or the promise that it keeps. */
  readonly mend: string;
  /** A few dozen seeds are enough, so that the tests try it. */
  readonly quick?: boolean;
  readonly file: string;
  /** In the same file, when it names none. */
  readonly also?: readonly (Edit & { readonly file?: string })[];
  readonly shows: {
    readonly story?: StoryName;
    readonly servers?: string;
    readonly guarded?: boolean;
    readonly lossless?: boolean;
    readonly seeds?: { readonly from: number; readonly count: number };
  };
}

export const MUTANTS: readonly Mutant[];
export function mutated(mutant: Mutant | null, path: string, text: string): string | null;
export function firstRed(mutant: Mutant): Promise<{ by: string; promise: string; what: string } | null>;

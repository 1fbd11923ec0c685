// The operator's own fence: a program that makes sure that a silent host takes no writes (a cloud's API, IPMI).
// Wanted by reconcile.ts (step `hook`), run by ops/hook.ts.

import type { Epoch, Host } from './pair.ts';

export interface HookOrder {
  /** An absolute path. */
  readonly program: string;
  readonly host: Host;
  readonly uniqsign: string;
  readonly epoch: Epoch;
  readonly withinMs: number;
}

/** How it ended. `why`: one line for the log, with the first words that it printed. */
export interface HookResult {
  readonly succeeded: boolean;
  readonly why: string;
}

/** What ends a run early: an AbortSignal, of which core/ knows no more than this. */
export interface Abort {
  readonly aborted: boolean;
  addEventListener(kind: 'abort', listener: () => void): void;
  removeEventListener(kind: 'abort', listener: () => void): void;
}

/** Never throws. A program that does not end in time is killed and has failed. */
export type RunHook = (order: HookOrder, signal: Abort) => Promise<HookResult>;

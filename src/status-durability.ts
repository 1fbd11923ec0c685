// What `mmm status` shows of durability=lossless: which hosts hold every acknowledged commit, which one is about to, and why the others do not.
// Comes from src/status-guard.ts; judges nothing that identify does not judge by core/durability.ts.

import type { Board, Durability, Policy } from './core/decision.ts';
import { durabilityChange, whyNotCompleteNow } from './core/durability.ts';
import type { Observation } from './core/observation.ts';
import type { Host, Roles } from './core/pair.ts';

export interface DurabilityStatus {
  /** What commits are acknowledged by now. */
  readonly is: Durability;
  /** Why it is not as the configuration has it, or what is wrong with it; '' when all is as it should be. */
  readonly why: string;
  /** Of the complete set; null: it is not on the board. */
  readonly generation: number | null;
  /** Hosts that hold every acknowledged commit: to them alone the role goes by itself. Empty while it is async. */
  readonly complete: readonly Host[];
  readonly incomplete: readonly { readonly host: Host; readonly why: string }[];
  /** Who is about to be complete, and the agent that sees to it. */
  readonly joining: { readonly host: Host; readonly by: string } | null;
}

interface Scene {
  readonly board: Board;
  /** null: not on the board. */
  readonly policy: Policy | null;
  /** Of the active and the passive. */
  readonly observations: readonly Observation[];
  readonly nowMs: number;
}

/** null: durability=async, and nothing else is to be. */
export function durabilityStatus(scene: Scene, roles: Roles): DurabilityStatus | null {
  const { board, policy, observations, nowMs } = scene;
  const is = board.terms.durability;
  if (is === 'async' && policy?.durability !== 'lossless') return null;
  const of = (host: Host) => observations.find((seen) => seen.host === host) ?? null;
  const both = { primary: of(roles.active), secondary: of(roles.passive) };
  const hosts = is === 'async' ? [] : [roles.active, roles.passive];
  const judged = hosts.map((host) => ({ host, why: whyNotCompleteNow(board, host, both) }));
  const { joining } = board;
  return {
    is,
    why: policy === null ? '' : whyOtherwise(board, policy, both),
    generation: board.complete?.generation ?? null,
    complete: judged.flatMap(({ host, why }) => (why === null ? [host] : [])),
    incomplete: judged.flatMap(({ host, why }) => (why === null ? [] : [{ host, why }])),
    joining: joining === null || nowMs >= joining.untilMs ? null : { host: joining.host, by: joining.by },
  };
}

function whyOtherwise(
  board: Board,
  policy: Policy,
  observations: Parameters<typeof durabilityChange>[0]['observations'],
): string {
  const change = durabilityChange({ guarded: true, policy, board, anew: false, paused: false, observations });
  if (change.to !== undefined) return `identify is about to decide that it be ${change.to}; does one run, unpaused?`;
  return change.alarm ?? change.why ?? '';
}

/** Further lines of the contract's text. */
export function durabilityLines({ is, why, complete, incomplete, joining }: DurabilityStatus): string[] {
  const because = why === '' ? '' : `; ${why}`;
  if (is === 'async') return [`  durability: ASYNC${because}`];
  return [
    `  durability: lossless; complete: ${complete.length === 0 ? 'NOBODY KNOWN' : complete.join(', ')}${because}`,
    ...incomplete.map((host) => `  incomplete: ${host.why}`),
    ...(joining === null ? [] : [`  joining: ${joining.host}, by ${joining.by}`]),
  ];
}

// What the agents tell each other and identify about themselves: who is there, and whether the active's lease can still be renewed.
// Written by src/agent-lease.ts with each renewal, read by src/identify.ts (arming [F15], the lease's verdict [F16]) and status.

import type { EpochName, Host } from './pair.ts';

/** What came of an agent's last attempt at the lease of the host that is open. */
export interface Renewal {
  readonly host: Host;
  /** The epoch under which that host was opened. */
  readonly epoch: EpochName;
  /** renewed: it has a lease to come. endless: there is nothing to renew. failed: it did not answer, or has run out. no-witness: nobody could say that no higher epoch exists. */
  readonly outcome: 'renewed' | 'endless' | 'failed' | 'no-witness';
  /** Counts this agent's successes since it began, so that a reader sees a new one without comparing clocks. */
  readonly successes: number;
}

/** One agent of a pair, as it stands on the board for ten seconds after its last word. */
export interface AgentRecord {
  readonly name: string;
  /** It reached both servers at its last look: only then it counts as registered. */
  readonly reachesBoth: boolean;
  /** null: no host is known to be open. */
  readonly renewal: Renewal | null;
}

/** Others may count on it: it can renew what is to be renewed. One that lost the passive alone does so as before. */
export function keepsLeases({ reachesBoth, renewal }: AgentRecord): boolean {
  return reachesBoth || renewal?.outcome === 'renewed';
}

/** How long a record stays on the board. */
export const AGENT_TTL_MS = 10_000;

/** One that was not written anew for so long is of an agent that hangs or was killed: whoever takes his leave does not count on it. */
export const AGENT_LATE_MS = 4_000;

// What an agent keeps beside the board, so that it goes on renewing leases after a restart while the board is away or empty.
// Kept by src/agent-pairs.ts; ops/state-file.ts writes it to disk.

import type { Policy } from './decision.ts';
import type { Roles } from './pair.ts';

export interface RememberedPair {
  readonly uniqsign: string;
  /** The last ones known; only the two hosts matter, the rows say which one is open. */
  readonly roles: Roles;
  readonly policy: Policy;
}

export interface AgentMemory {
  /** What the agent knew when it ended; empty when nobody knows. */
  pairs(): readonly RememberedPair[];
  /** Writes only when something differs. Never throws: trouble is told in the log. */
  remember(pair: RememberedPair): void;
  forget(uniqsign: string): void;
}

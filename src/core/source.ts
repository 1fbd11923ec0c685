// Whom a host replicates from: the other host of its pair, or somebody else.
// Used by src/monitor.ts (repl_check) and core/reconcile.ts (may it be opened after the other).

import type { Replication } from './observation.ts';
import type { Host } from './pair.ts';

/**
 * True when the replication's source is `other`. The text decides; where a name stands for an address (or the other way
 * round) the source's server id does, as the I/O thread learned it. `otherServerId` null: the other host did not answer.
 */
export function replicatesFrom(replication: Replication, other: Host, otherServerId: number | null): boolean {
  if (replication.source === other) return true;
  return otherServerId !== null && otherServerId !== 0 && replication.sourceServerId === otherServerId;
}

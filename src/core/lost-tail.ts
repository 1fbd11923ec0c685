// What a restarted server no longer has of its own: with sync_binlog or innodb_flush_log_at_trx_commit other than 1 it may come back without the
// end of its log, which the other host received meanwhile. It would never get that again, for it skips its own server id in the circle [F21].
// Asked by reconcile.ts before the host that took writes last is opened again.

import type { Divergence } from './divergence.ts';
import { containsGtids, countGtids, formatGtids, type GtidSet, joinGtids, parseGtids, subtractGtids } from './gtid.ts';
import type { Facts } from './observation.ts';

/**
 * A clause that names what `active` wrote and lacks, and `other` holds, applied or not; null: nothing, or nobody can tell without GTIDs.
 * What is recorded as a divergence already was told, and somebody let it be.
 */
export function whyTailLost(active: Facts, other: Facts, recorded: Divergence | null): string | null {
  const [has, applied, received] = [active.gtid, other.gtid, other.replication?.receivedGtid ?? ''].map((text) =>
    text === null || text === undefined ? null : parseGtids(text),
  );
  if (has == null || applied == null || received == null) return null;
  const held = joinGtids(applied, received);
  const lost = held === null ? null : ownOf(subtractGtids(held, has), active);
  if (lost === null || lost.ranges.size === 0) return null;
  const known = recorded === null ? null : parseGtids(recorded.gtids);
  if (known !== null && (recorded?.cut === true || containsGtids(known, lost))) return null;
  const count = countGtids(lost);
  return `${count === 1n ? '1 transaction' : `${count} transactions`} (${formatGtids(lost)})`;
}

/** MariaDB names the server by its id, MySQL by its UUID. */
function ownOf({ form, ranges }: GtidSet, { serverId, boot }: Facts): GtidSet {
  const isOwn = (key: string) =>
    form === 'mariadb' ? key.endsWith(`-${serverId}`) : key.split(':')[0] === boot.uuid.toLowerCase();
  return { form, ranges: new Map([...ranges].filter(([key]) => isOwn(key))) };
}

// What a host has received and applied: the two questions that the drain (S4) and the switchover (F13) stand on.
// Asked by reconcile.ts when it plans, and by mysql/steps.ts while it waits, so that both mean the same.

import { containsGtids, countGtids, joinGtids, parseGtids, subtractGtids } from './gtid.ts';
import type { Coordinates, Facts } from './observation.ts';

/** What is needed of a host to answer. */
export type Progress = Pick<Facts, 'replication' | 'gtid'>;

/** True when the host has applied every complete transaction that it has received. */
export function isApplied({ replication, gtid }: Progress): boolean {
  if (replication === null) return true;
  // Half a transaction is never applied (F22): coordinates then never meet, and MySQL 5.6 counts it as received. What
  // tells is that nothing more comes in and the SQL thread has come to the end of what is there.
  if (replication.io === 'No' && replication.sql === 'Yes' && replication.readAll) return true;
  // Where GTIDs say what was received, coordinates are not asked: a reconnecting I/O thread resets its own (and they would
  // seem to meet) while the relay log is still full.
  if (replication.receivedGtid !== null && gtid !== null) {
    return contains(gtid, replication.receivedGtid) && isPast(replication.appliedGtid, replication.receivedGtid, gtid);
  }
  return reached(replication.applied, replication.received);
}

/**
 * True when the host has received (applied or not) what the other one had at this position: by GTIDs when both have them, else
 * by the other's binary log. Compare with a position of the host that this one replicates from.
 */
export function hasReceived({ replication, gtid }: Progress, position: Coordinates, wanted: string | null): boolean {
  const byPosition = replication !== null && position.file !== '' && reached(replication.received, position);
  if (wanted === null || gtid === null) return byPosition;
  const [held, received, set] = [parseGtids(gtid), parseGtids(replication?.receivedGtid ?? ''), parseGtids(wanted)];
  if (held === null || received === null || set === null) return false;
  if (containsGtids(held, set)) return true;
  // MariaDB has GTIDs even where the channel goes by file and position: then they come only with the applying.
  if (replication === null || replication.receivedGtid === null) return byPosition;
  const all = joinGtids(held, received);
  if (all === null || !containsGtids(all, set)) return false;
  // MySQL 5.6 counts a transaction as received from its first event on; only the position tells that the last one is there.
  return set.form === 'mariadb' || byPosition;
}

/** The same by GTIDs alone. MySQL 5.6 must not be asked so: it counts a transaction as received from its first event on. */
export function holdsGtids({ replication, gtid }: Progress, wanted: string): boolean {
  if (gtid === null) return false;
  const [held, received, set] = [gtid, replication?.receivedGtid ?? '', wanted].map(parseGtids);
  if (held == null || received == null || set == null) return false;
  const all = joinGtids(held, received);
  return all !== null && containsGtids(all, set);
}

/** How much is received and not applied, for people: "3 transactions", "1204 bytes". */
export function unapplied({ replication, gtid }: Progress): string {
  if (replication === null) return 'nothing';
  if (replication.receivedGtid !== null && gtid !== null) {
    const [held, received] = [parseGtids(gtid), parseGtids(replication.receivedGtid)];
    if (held === null || received === null) return 'an unknown number of transactions';
    const count = countGtids(subtractGtids(received, held));
    // None: what is lacking stands before a GTID of the host's own, and only the coordinates know of it.
    if (count > 0n || isApplied({ replication, gtid })) return count === 1n ? '1 transaction' : `${count} transactions`;
  }
  const { applied, received } = replication;
  if (applied.file === received.file) return `${Math.max(0, received.pos - applied.pos)} bytes`;
  return `everything from ${applied.file}:${applied.pos} to ${received.file}:${received.pos}`;
}

/**
 * MariaDB names the last GTID received of each domain. Where several servers write in one domain (the default), that may be one of the
 * host's own, which it holds of course, while transactions before it wait in the relay log: there the applier's own position tells.
 */
function isPast(appliedGtid: string | null, receivedGtid: string, gtid: string): boolean {
  if (appliedGtid === null) return true;
  const [applied, received, held] = [parseGtids(appliedGtid), parseGtids(receivedGtid), parseGtids(gtid)];
  if (applied === null || received === null || held === null) return false;
  const domains = [...held.ranges.keys()].map(domainOf);
  const shared = [...received.ranges].filter(
    ([key]) => domains.filter((domain) => domain === domainOf(key)).length > 1,
  );
  return containsGtids(applied, { form: received.form, ranges: new Map(shared) });
}

function domainOf(key: string): string {
  return key.slice(0, key.indexOf('-') + 1);
}

function contains(held: string, wanted: string): boolean {
  const [a, b] = [parseGtids(held), parseGtids(wanted)];
  return a !== null && b !== null && containsGtids(a, b);
}

const FILE = /^(.*)\.(\d+)$/;

/** True when `at` is at or behind `goal` in the same binary log. Files are ordered by their number: 999999 comes before 1000000. */
function reached(at: Coordinates, goal: Coordinates): boolean {
  if (at.file === goal.file) return at.pos >= goal.pos;
  const [, name, number] = FILE.exec(at.file) ?? [];
  const [, goalName, goalNumber] = FILE.exec(goal.file) ?? [];
  // Another base name: the source's log was renamed or it is another source; nothing can be said.
  if (number === undefined || goalNumber === undefined || name !== goalName) return false;
  return BigInt(number) > BigInt(goalNumber);
}

// What a forced failover leaves behind, as far as the two servers can tell. For people: nothing is decided by it.
// Comes from commands/failover.ts, which asks both servers itself; replication.ts and gtid.ts count.

import { containsGtids, countGtids, joinGtids, parseGtids, subtractGtids } from './gtid.ts';
import type { Evidence, Facts } from './observation.ts';
import type { Host } from './pair.ts';
import { hasReceived, isApplied, unapplied } from './replication.ts';

interface Look {
  readonly host: Host;
  readonly evidence: Evidence;
}

/** Sentences about what `to` lacks of what `from` wrote, the worst first; and about the state of `from`. */
export function losses(to: Look, from: Look): string[] {
  if (to.evidence.kind !== 'answered') {
    return [`${to.host} does not answer (${to.evidence.message}): it cannot be opened, and nobody knows what it holds`];
  }
  return [...unreceivedBy(to.host, to.evidence.facts, from), ...unappliedOn(to.host, to.evidence.facts), stateOf(from)];
}

function unappliedOn(host: Host, facts: Facts): string[] {
  const { replication } = facts;
  if (replication === null || isApplied(facts)) return [];
  const error = replication.sqlError;
  const because = error.code === 0 ? '' : `; its SQL thread stopped with error ${error.code}: ${error.text}`;
  return [`${host} has received ${unapplied(facts)} that it has not applied: SKIPPED if that cannot be done${because}`];
}

function unreceivedBy(host: Host, facts: Facts, from: Look): string[] {
  const { replication } = facts;
  if (replication === null) return [`${host} does not replicate: whatever ${from.host} wrote is not there`];
  const { file, pos } = replication.received;
  const upTo = `${host} has received the binary log of ${replication.source} up to ${file}:${pos}`;
  if (from.evidence.kind !== 'answered')
    return [`${upTo}; what ${from.host} wrote after that is not there, and nobody can say how much`];
  const { binlog, gtid } = from.evidence.facts;
  if (binlog === null && gtid === null)
    return [`${from.host} writes no binary log, so nobody can say what ${host} lacks`];
  if (hasReceived(facts, binlog ?? { file: '', pos: 0 }, gtid)) return [];
  const count = missing(facts, gtid);
  const what = count === null ? 'something' : `${count} transactions`;
  const end = binlog === null ? '' : `, which ends at ${binlog.file}:${binlog.pos}`;
  return [`${from.host} holds ${what} that ${host} has not received: ${upTo}${end}`];
}

/** How many transactions; null: GTIDs do not tell. */
function missing({ gtid, replication }: Facts, wanted: string | null): bigint | null {
  if (gtid === null || wanted === null) return null;
  const [held, received, all] = [parseGtids(gtid), parseGtids(replication?.receivedGtid ?? ''), parseGtids(wanted)];
  if (held === null || received === null || all === null) return null;
  const known = joinGtids(held, received);
  return known === null || containsGtids(known, all) ? null : countGtids(subtractGtids(all, known));
}

function stateOf({ host, evidence }: Look): string {
  if (evidence.kind === 'answered') {
    return `${host} answers and is ${evidence.facts.readOnly ? 'read only' : 'writable: it is closed first, and if that fails nothing is opened'}`;
  }
  if (evidence.kind === 'refused' || evidence.kind === 'silent') {
    return `${host} does not answer (${evidence.message}): it cannot be closed, and takes writes again if it runs and somebody reaches it`;
  }
  return `${host} is alive and cannot be read (${evidence.message}): while the agents cannot close it, nothing is opened`;
}

// A replication thread that stopped because what came does not fit: two versions of a row, or a log that is no longer there. What to do
// with it is an operator's decision, so nothing is ever skipped; it is told. Asked by src/agent.ts at every round.

import type { Evidence, ThreadError } from './observation.ts';
import type { Host } from './pair.ts';

/** The source no longer has what this host asks for; MySQL 8 numbers it anew. Other errors of that thread are the network's. */
const LOG_IS_GONE: ReadonlySet<number> = new Set([1236, 13114]);

/** One sentence for log and mail, the same as long as the conflict is the same; null: there is none. */
export function describeConflict(host: Host, evidence: Evidence): string | null {
  if (evidence.kind !== 'answered' || evidence.facts.replication === null) return null;
  const { sql, sqlError, io, ioError } = evidence.facts.replication;
  if (sql === 'No' && sqlError.code !== 0) return sentence(host, 'SQL', sqlError);
  if (io === 'No' && LOG_IS_GONE.has(ioError.code)) return sentence(host, 'I/O', ioError);
  return null;
}

function sentence(host: Host, thread: string, { code, text }: ThreadError): string {
  return `the ${thread} thread of ${host} stopped with error ${code} (${text}); mmm never skips a transaction, so its replication stands still until somebody repairs it there`;
}

// What stands against a host that comes back, or against the server that is behind its address now. For people: `mmm rejoin` shows it, and
// writes on the board only that the server is the member, when it was another one. Comes from commands/rejoin.ts, which asks both servers.

import { describeConflict } from './conflict.ts';
import type { Board } from './decision.ts';
import { describeDivergence } from './divergence.ts';
import type { Boot, Evidence, Facts } from './observation.ts';
import type { Host } from './pair.ts';
import { replicatesFrom } from './source.ts';
import { whyStranger } from './stranger.ts';

interface Look {
  readonly host: Host;
  readonly evidence: Evidence;
}

export interface Standing {
  /** Why it cannot be made a member at all, one sentence each. */
  readonly refusals: readonly string[];
  /** Another server than the one known there, which `boot` names; null: it is the one that we knew. */
  readonly stranger: { readonly boot: Boot; readonly why: string } | null;
  /** What else stands against it, and what to do, one sentence each. None of it is repaired by mmm. */
  readonly against: readonly string[];
}

export function standing(look: Look, other: Look, board: Board): Standing {
  const { host, evidence } = look;
  const refusals = board.epoch === null ? ['nobody has decided about this pair yet: does an identify run?'] : [];
  if (evidence.kind !== 'answered') {
    return { refusals: [...refusals, `${host} does not answer (${evidence.message})`], stranger: null, against: [] };
  }
  const { boot } = evidence.facts;
  if (other.evidence.kind === 'answered' && boot.uuid !== '' && boot.uuid === other.evidence.facts.boot.uuid) {
    refusals.push(
      `${host} and ${other.host} are one server, or one is a copy that kept the other's name (its uuid is ${boot.uuid})`,
    );
  }
  const why = whyStranger(host, boot, board.lives.get(host));
  return {
    refusals,
    stranger: why === null ? null : { boot, why },
    against: [
      ...ofRole(host, evidence.facts, board, why !== null),
      ...ofReplication(look, other),
      ...ofData(host, board),
    ],
  };
}

function ofRole(host: Host, { readOnly }: Facts, { roles }: Board, isStranger: boolean): string[] {
  if (roles?.active !== host)
    return readOnly ? [] : [`${host} takes writes although it is not the active; a running agent closes it`];
  if (!isStranger) return [];
  return [
    `${host} is the active by the last decision: as a member it is opened with whatever it holds, and what it lacks of the server that was there is missed by clients`,
  ];
}

function ofReplication({ host, evidence }: Look, other: Look): string[] {
  if (evidence.kind !== 'answered') return [];
  const { replication } = evidence.facts;
  if (replication === null) {
    return [`${host} does not replicate; to do: copy ${other.host} there, and let it replicate from ${other.host}`];
  }
  const otherId = other.evidence.kind === 'answered' ? other.evidence.facts.serverId : null;
  if (!replicatesFrom(replication, other.host, otherId)) {
    return [`${host} replicates from ${replication.source}, not from ${other.host}; to do: CHANGE MASTER there`];
  }
  const conflict = describeConflict(host, evidence);
  if (conflict !== null)
    return [conflict, wayOut(host, other.host, replication.sql === 'No' && replication.sqlError.code !== 0)];
  if (replication.sql === 'No' || replication.io === 'No') {
    const threads = `I/O thread ${replication.io}, SQL thread ${replication.sql}`;
    return [`${host} does not run its replication (${threads}); a running agent starts what it stopped itself`];
  }
  return [];
}

function wayOut(host: Host, other: Host, ofSql: boolean): string {
  const anew = `build ${host} anew from a copy of ${other}`;
  return ofSql
    ? `to do on ${host}: look at the row that the error names, correct it with SET sql_log_bin=0, START SLAVE SQL_THREAD; or ${anew}`
    : `to do: ${anew}, or find the binary log that is missing`;
}

function ofData(host: Host, { divergence }: Board): string[] {
  return divergence?.host === host ? [describeDivergence(divergence)] : [];
}

// What stayed on the old active when it lost its role: counted before it may flow on, shown until the active holds it.
// Comes from reconcile.ts (at the moment replication towards that host would start again) and src/agent.ts (is it merged by now?).

import { containsGtids, countGtids, type GtidSet, parseGtids, subtractGtids, writeGtids } from './gtid.ts';
import type { Coordinates, Evidence, Facts } from './observation.ts';
import type { EpochName, Host, Roles } from './pair.ts';
import { hasReceived, isApplied } from './replication.ts';

/** What one host holds and the active never saw. */
export interface LeftBehind {
  /** How many transactions; null: without GTIDs on both hosts nobody can count them, and there may be none. */
  readonly count: number | null;
  /** Which, as the server spells them; '' without GTIDs. At most GTIDS_LENGTH characters, whole runs, the newest of each server. */
  readonly gtids: string;
  /** Some did not fit into `gtids`. */
  readonly cut: boolean;
  /** Where the host's binary log ended: everything before it is merged once the active has come so far. null: it writes none. */
  readonly end: Coordinates | null;
}

/** The same with its date, as the board keeps it until it is merged. */
export interface Divergence extends LeftBehind {
  readonly host: Host;
  /** The decision under which it was found; null: a Perl identify decided. */
  readonly epoch: EpochName | null;
  /** Unix milliseconds. */
  readonly foundAtMs: number;
  /** Where it was saved, or why not, in words; null: not yet, or nobody tried. */
  readonly saved: string | null;
}

/** Long enough for dozens of runs, short enough for a mail and a line of status. */
const GTIDS_LENGTH = 1_000;

/** What `passive` (closed, so that it does not grow) holds and `active` never applied; null: nothing. */
export function leftBehind(active: Facts, passive: Facts): LeftBehind | null {
  const sets = bothSets(active, passive);
  if (sets === null) {
    const everything = passive.binlog !== null && hasCome(active, passive.binlog);
    return everything ? null : { count: null, gtids: '', cut: false, end: passive.binlog };
  }
  const rest = subtractGtids(sets.passive, sets.active);
  const count = countGtids(rest);
  if (count === 0n) return null;
  return { count: Number(count), ...writeGtids(rest, GTIDS_LENGTH), end: passive.binlog };
}

/** True when the active is known to hold all of it. */
export function isMerged(divergence: Divergence, roles: Roles, active: Evidence, passive: Evidence): boolean {
  if (active.kind !== 'answered') return false;
  // The role goes back to the host that held it; until that is open the role may return.
  if (divergence.host === roles.active) return !active.facts.readOnly;
  if (divergence.count === null) return divergence.end !== null && hasCome(active.facts, divergence.end);
  const [held, wanted] = [parseGtids(active.facts.gtid ?? ''), parseGtids(divergence.gtids)];
  if (held === null || wanted === null || !containsGtids(held, wanted)) return false;
  // What was not written down can only be asked of the host itself.
  return !divergence.cut || (passive.kind === 'answered' && leftBehind(active.facts, passive.facts) === null);
}

/** One sentence for log, status and mail. */
export function describeDivergence({ host, count, gtids, cut, epoch, saved }: Divergence): string {
  const since = epoch === null ? '' : ` since decision ${epoch.number}`;
  const where = saved === null ? '' : `; ${saved}`;
  if (count === null) {
    return `${host} may hold transactions that the active never saw${since}: without GTIDs on both hosts nobody can count them${where}`;
  }
  const which = `${gtids}${cut ? ' and more' : ''}`;
  return `${host} holds ${count === 1 ? '1 transaction' : `${count} transactions`} that the active never saw${since}: ${which}${where}`;
}

function bothSets(active: Facts, passive: Facts): { active: GtidSet; passive: GtidSet } | null {
  if (active.gtid === null || passive.gtid === null) return null;
  const sets = { active: parseGtids(active.gtid), passive: parseGtids(passive.gtid) };
  if (sets.active === null || sets.passive === null) return null;
  return { active: sets.active, passive: sets.passive };
}

/** By positions: it has received the other's log up to there, and applied what it received. */
function hasCome(active: Facts, end: Coordinates): boolean {
  return active.replication !== null && hasReceived({ ...active, gtid: null }, end, null) && isApplied(active);
}

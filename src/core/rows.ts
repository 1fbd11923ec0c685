// What the servers' own rows say where the board says nothing, or less than they do: Redis was emptied, or restored from a dump [F8].
// Comes from src/identify-guard.ts (is the board older?) and core/decide.ts (who is the active then?).

import type { Answers } from './death.ts';
import { wasOpenedUnder } from './host-row.ts';
import type { Observation, SeenRow } from './observation.ts';
import { type Epoch, type Host, isSameEpoch, type Pair } from './pair.ts';

interface Both {
  readonly primary: Observation | null;
  readonly secondary: Observation | null;
}

/** The row of a host that answered; null: it has none, nobody looked, or the host told nothing. */
export function rowOf(observation: Observation | null): SeenRow | null {
  return observation?.evidence.kind === 'answered' ? observation.evidence.facts.row : null;
}

/** The highest number that a server was seen to know. An old look counts too: what stood in a row once was decided. */
export function highestIn({ primary, secondary }: Both): number {
  return Math.max(0, ...[primary, secondary].map((seen) => highestOf(rowOf(seen))));
}

function highestOf(row: SeenRow | null): number {
  return Math.max(row?.epoch?.number ?? 0, row?.opened?.number ?? 0);
}

/** Why the board, which holds `epoch`, is older than the servers; null: by what the rows say it is not. */
export function whyOlder(epoch: Epoch | null, { primary, secondary }: Both): string | null {
  for (const seen of [primary, secondary]) {
    const row = rowOf(seen);
    if (seen === null || row === null) continue;
    const number = highestOf(row);
    const board = epoch === null ? 'the board names no decision' : `the board holds decision ${epoch.number}`;
    if (number > (epoch?.number ?? 0)) return `${board}, and ${seen.host} knows decision ${number}`;
    if (epoch !== null && row.epoch?.number === epoch.number && !isSameEpoch(row.epoch, epoch)) {
      return `${board}, and ${seen.host} knows another decision of that number`;
    }
    if (epoch !== null && row.opened?.number === epoch.number && !wasOpenedUnder(row, epoch)) {
      return `${board}, and ${seen.host} was opened by another decision of that number`;
    }
  }
  return null;
}

/** A server that served in another pair brings a row of that time: its number counts, its story does not. */
export function isOf(pair: Pick<Pair, 'primary' | 'secondary'>, { active }: Pick<Epoch, 'active'>): boolean {
  return active === pair.primary || active === pair.secondary;
}

/** Both servers of the pair answer, and by their rows nobody took writes after this one did. */
export function wasOpenedLast(
  pair: Pick<Pair, 'primary' | 'secondary'>,
  host: Host,
  { primary, secondary, strangers }: Both & { readonly strangers: ReadonlyMap<Host, string> },
): boolean {
  const [one, other] = host === pair.primary ? [primary, secondary] : [secondary, primary];
  if (strangers.size > 0 || one?.evidence.kind !== 'answered' || other?.evidence.kind !== 'answered') return false;
  const rows = [rowOf(one), rowOf(other)];
  const [mine = 0, its = 0] = rows.map((row) => (row?.epoch && isOf(pair, row.epoch) ? (row.opened?.number ?? 0) : -1));
  return its >= 0 && mine > its;
}

/** Who is the active by the rows, and why. */
interface ByRows {
  readonly active: Host;
  readonly why: string;
}

interface Asked {
  readonly pair: Pick<Pair, 'primary' | 'secondary'>;
  /** The hosts that tell their facts, one or both; nobody is alive whose facts are unknown. */
  readonly answering: readonly Answers[];
  /** The last decision that this process knew of: a third witness beside the two rows. */
  readonly known: Epoch | null;
}

/** null: no host was ever opened by us as far as they tell, so the rows do not know either. */
export function activeByRows(asked: Asked): ByRows | null {
  const [one, two] = asked.answering;
  if (one === undefined) return null;
  return two === undefined ? ofTheOnlyOne(one, asked) : openedLast([one, two], asked);
}

/**
 * Writable or not: the other one may have thawed under an old lease and be writable for another moment [F8]. Two that were opened
 * under one number come of a dump; the one that the last known decision opened, else the only one that takes writes, is it.
 */
function openedLast(hosts: readonly [Answers, Answers], { pair, known }: Asked): ByRows | null {
  // Looks that show less than this process knows are older than what it knows, or see a row that was taken away.
  const seen = Math.max(...hosts.map(({ facts }) => highestOf(facts.row)));
  if (known !== null && known.number > seen && seen > 0 && isOf(pair, known)) {
    return { active: known.active, why: `${known.active} was active last, by decision ${known.number}` };
  }
  const numbers = hosts.map(({ facts }) => facts.row?.opened?.number ?? -1);
  const last = Math.max(...numbers);
  if (last < 0) return null;
  const those = hosts.filter((_, at) => numbers[at] === last);
  const writable = those.filter(({ facts }) => facts.readOnly === false);
  const found =
    those.length === 1
      ? those[0]
      : (those.find(({ facts }) => known !== null && wasOpenedUnder(facts.row, known)) ??
        (writable.length === 1 ? writable[0] : undefined));
  if (found === undefined) return null;
  return { active: found.host, why: `${found.host} was opened last, by decision ${last}` };
}

/** Its row knows of the last decision, unless that came while it was away and this process saw it. */
function ofTheOnlyOne({ host, facts }: Answers, { pair, known }: Asked): ByRows | null {
  const { row, readOnly } = facts;
  if (row === null || readOnly === null) return null;
  // Writable by an older decision than the last one for the other host, it woke under an old lease, or nobody could close it.
  const isReplaced = (epoch: Epoch | null) =>
    epoch !== null && isOf(pair, epoch) && epoch.active !== host && epoch.number > (row.opened?.number ?? 0);
  if (!readOnly && !isReplaced(known) && !isReplaced(row.epoch)) {
    return { active: host, why: `${host} is the only host that answers, and it takes writes` };
  }
  if (known !== null && known.number >= highestOf(row) && isOf(pair, known)) {
    return { active: known.active, why: `${known.active} was active last, by decision ${known.number}` };
  }
  if (row.epoch === null || !isOf(pair, row.epoch)) return null;
  const { number, active } = row.epoch;
  return { active, why: `${host}, the only host that answers, knows ${active} as the active of decision ${number}` };
}

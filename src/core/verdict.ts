// What the lease of a silent active tells: it is being renewed, so the host is alive; or nobody could renew it for so long that the host
// has closed itself, and clients wait although its passive still hears it [F16]. Comes from src/identify-guard.ts; decide.ts obeys.

import { AGENT_TTL_MS, type AgentRecord, type Renewal } from './agents.ts';
import type { Board } from './decision.ts';
import { leaseWaitMs } from './lease.ts';
import { type EpochName, type Host, isOfDecision } from './pair.ts';

/** What the agents' records have shown so far, by the reader's own monotonic clock: theirs may differ. */
export interface Renewals {
  /** Successes by the agents that are there. */
  readonly counts: ReadonlyMap<string, number>;
  /** When a new success at this host was last seen. */
  readonly lastMs: ReadonlyMap<Host, number>;
  /** Since when the records have been looked at without a gap. */
  readonly sinceMs: number;
  readonly lookedMs: number;
}

/**
 * Whoever did not look for so long does not know what he missed: everything counts as seen just now. A success between two looks shows as another
 * number for as long as its record stands, so that an interval of some seconds misses nothing.
 */
const LONGEST_GAP_MS = AGENT_TTL_MS - 1_000;
/** Renewals come each second; one may be late. */
const ALIVE_MS = 1_500;

export function watchRenewals(before: Renewals | null, records: readonly AgentRecord[], nowMs: number): Renewals {
  const goesOn = before !== null && nowMs - before.lookedMs <= LONGEST_GAP_MS;
  const lastMs = new Map(before?.lastMs);
  const counts = new Map<string, number>();
  for (const { name, renewal } of records) {
    if (renewal === null) continue;
    const { host, successes } = renewal;
    counts.set(name, successes);
    // Another number, not only a higher one: an agent that restarted begins to count anew.
    if (successes > 0 && before?.counts.get(name) !== successes) lastMs.set(host, nowMs);
  }
  return { counts, lastMs, sinceMs: goesOn ? before.sinceMs : nowMs, lookedMs: nowMs };
}

/** renewed: the silent host is alive. closed: it has closed itself. unknown: the lease says nothing. */
export interface LeaseVerdict {
  readonly kind: 'renewed' | 'closed' | 'unknown';
  /** A clause for the reasons. */
  readonly why: string;
}

interface Evidence {
  readonly board: Pick<Board, 'epoch' | 'unfenced' | 'lives'>;
  readonly active: Host;
  /** Under which epoch the active was opened, by the last look at its row; null: this process has not seen it. */
  readonly opened: EpochName | null;
  /** No monitor that reports can reach it. */
  readonly goneToAll: boolean;
  readonly records: readonly AgentRecord[];
  readonly renewals: Renewals;
  readonly leaseMs: number;
  readonly nowMs: number;
}

export function judgeLease(evidence: Evidence): LeaseVerdict {
  const { board, active, records, renewals, leaseMs, nowMs } = evidence;
  const lastMs = renewals.lastMs.get(active);
  if (lastMs !== undefined && nowMs - lastMs <= ALIVE_MS && !allFailedSince(evidence)) {
    return { kind: 'renewed', why: `agents renew the lease of ${active}, so it is alive` };
  }
  const unknown = (why: string): LeaseVerdict => ({ kind: 'unknown', why });
  if (board.unfenced !== false) return unknown('the pair is unfenced');
  if (board.lives.get(active)?.armed !== true) return unknown(`nobody knows that the lease of ${active} was armed`);
  if (!evidence.goneToAll) return unknown(`a monitor reaches ${active}`);
  const last = attempts(evidence);
  if (last.some(({ outcome }) => outcome === 'endless')) return unknown(`the lease of ${active} is endless`);
  const failed = last.filter(({ outcome }) => outcome === 'failed').map(({ name }) => name);
  if (failed.length === 0) return unknown(`no agent says that it could not renew the lease of ${active}`);
  const waitMs = leaseWaitMs(leaseMs);
  const silentMs = nowMs - Math.max(renewals.sinceMs, lastMs ?? renewals.sinceMs);
  if (silentMs <= waitMs) return unknown(`the lease of ${active} may still run`);
  const tried = records.length === failed.length ? failed : [...failed, 'and nobody else'];
  return {
    kind: 'closed',
    why: `nobody has renewed the lease of ${active} within ${waitMs / 1000} s (tried by ${tried.join(', ')}), so it has closed itself`,
  };
}

/**
 * Whoever renewed it says that it failed since. A success is dated by when it was seen here, which may be most of an interval later: it must not
 * outlive what was tried after it.
 */
function allFailedSince({ active, records }: Evidence): boolean {
  const about = records.flatMap(({ renewal }) => (renewal?.host === active ? [renewal.outcome] : []));
  return about.length > 0 && about.every((outcome) => outcome === 'failed');
}

/** The agents' last attempts at the lease under which the active is open: one that knows of an older opening tells nothing of this one. */
function attempts({
  board,
  active,
  opened,
  records,
}: Evidence): readonly { readonly name: string; readonly outcome: Renewal['outcome'] }[] {
  const about = records.flatMap(({ name, renewal }) => (renewal?.host === active ? [{ name, ...renewal }] : []));
  // The agents may have read a row that no monitor has. A number above the board's is another matter: then the board is older.
  const known = about.map(({ epoch }) => epoch).filter(({ number }) => number <= (board.epoch?.number ?? 0));
  const newest = [...(opened === null ? [] : [opened]), ...known].reduce<EpochName | null>(
    (one, other) => (one === null || other.number > one.number ? other : one),
    null,
  );
  return about.filter(({ epoch }) => isOfDecision(epoch, newest));
}

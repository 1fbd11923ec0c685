// Several monitors may watch one pair: what do they say together? A host is gone when more than half of those that are still reporting
// say so; one alone is its own majority. Comes from src/identify.ts with what the board holds; goes on to decide.ts, which sees one
// observation of each host and need not know how many there are.

import { isAlive, type Observation, type SeenRow, type Sighting } from './observation.ts';
import type { Host, Pair } from './pair.ts';
import { hears } from './witness.ts';

/** A monitor that does not say when it reports again: a Perl one looks every three seconds. */
const UNSAID_AGAIN_MS = 10_000;

/** When each monitor last said something new, by the reader's own monotonic clock: theirs may differ. */
export type Attention = ReadonlyMap<string, { readonly mark: string; readonly sinceMs: number }>;

interface Heard {
  readonly pair: Pick<Pair, 'primary' | 'secondary'>;
  readonly sightings: readonly Sighting[];
  readonly attention: Attention;
  /** Monotonic milliseconds. */
  readonly nowMs: number;
}

interface Agreed {
  readonly observations: { readonly primary: Observation | null; readonly secondary: Observation | null };
  readonly attention: Attention;
  /** The hosts that nobody who still reports can reach; a Perl monitor alone does not count, its evidence is not graded. */
  readonly goneToAll: ReadonlySet<Host>;
  /** Whole sentences about those who see it otherwise. */
  readonly notes: readonly string[];
}

export function agree({ pair, sightings, attention, nowMs }: Heard): Agreed {
  const noticed = notice(sightings, attention, nowMs);
  const reporting = sightings.filter((sighting) => !isOverdue(sighting, noticed, nowMs));
  // Where nobody keeps to what he said (a machine without time for us), the old rule stands: decide.ts looks at the dates.
  const voters = [...(reporting.length === 0 ? sightings : reporting)].sort(byName);
  const notes: string[] = [];
  const goneToAll = new Set<Host>();
  const of = (host: Host) => {
    const seen = voters.flatMap(({ observations }) => observations.filter((observation) => observation.host === host));
    const gone = seen.filter(({ evidence }) => !isAlive(evidence));
    const alive = seen.filter(({ evidence }) => isAlive(evidence));
    if (reporting.length > 0 && alive.length === 0 && gone.some(({ observer }) => observer !== '')) goneToAll.add(host);
    if (2 * gone.length > seen.length) {
      notes.push(...dissent(host, 'unreachable', gone, alive));
      return asGone(gone, Math.floor(seen.length / 2) + 1);
    }
    notes.push(...dissent(host, 'alive', alive, gone));
    return asAlive(alive);
  };
  const observations = { primary: of(pair.primary), secondary: of(pair.secondary) };
  return { observations, attention: noticed, goneToAll, notes };
}

function notice(sightings: readonly Sighting[], before: Attention, nowMs: number): Attention {
  return new Map(
    sightings.map(({ observer, observations }) => {
      const mark = markOf(observations);
      const known = before.get(observer);
      return [observer, known?.mark === mark ? known : { mark, sinceMs: nowMs }];
    }),
  );
}

function markOf(observations: readonly Observation[]): string {
  return observations.map(({ atMs }) => atMs).join(' ');
}

/** How often each monitor has said something new since the count began. */
export type News = ReadonlyMap<string, { readonly mark: string; readonly count: number }>;

export function countNews(before: News, sightings: readonly Sighting[]): News {
  return new Map(
    sightings.map(({ observer, observations }) => {
      const mark = markOf(observations);
      const known = before.get(observer);
      if (known === undefined) return [observer, { mark, count: 0 }];
      return [observer, known.mark === mark ? known : { mark, count: known.count + 1 }];
    }),
  );
}

/** What was looked at since the count began: the first new word may come of a look that had begun before. */
export function lookedAtSince(news: News, sightings: readonly Sighting[]): readonly Sighting[] {
  return sightings.filter(({ observer }) => (news.get(observer)?.count ?? 0) >= 2);
}

/** Its machine may be the one that died: it must not outvote those that live for as long as its last word is on the board. */
function isOverdue({ observer, againMs }: Sighting, attention: Attention, nowMs: number): boolean {
  const sinceMs = attention.get(observer)?.sinceMs ?? nowMs;
  return nowMs - sinceMs > (againMs ?? UNSAID_AGAIN_MS);
}

/** A Perl monitor knows least, so it comes last. */
function byName({ observer: one }: Sighting, { observer: other }: Sighting): number {
  if (one === '' || other === '') return one === '' ? 1 : -1;
  return one < other ? -1 : 1;
}

/** The looks count that a majority has made: not those of the first who noticed. */
function asGone(gone: readonly Observation[], majority: number): Observation | null {
  const [first] = gone;
  if (first === undefined) return null;
  const looks = gone.map(({ goneLooks }) => goneLooks).sort((one, other) => other - one);
  return { ...first, goneLooks: looks[majority - 1] ?? 0 };
}

/** Whoever could read it tells about it; and if anybody found that it hears the other host, then it does. */
function asAlive(alive: readonly Observation[]): Observation | null {
  const first = alive.find(({ evidence }) => evidence.kind === 'answered') ?? alive[0];
  if (first?.evidence.kind !== 'answered') return first ?? null;
  const { facts } = first.evidence;
  const hearing = alive
    .map(({ evidence }) => (evidence.kind === 'answered' ? evidence.facts.hearing : null))
    .filter(hears)
    .reduce((one, other) => (one === null || other.silentMs < one.silentMs ? other : one), facts.hearing);
  const row = alive
    .map(({ evidence }) => (evidence.kind === 'answered' ? evidence.facts.row : null))
    .reduce((one, other) => (isNewer(other, one) ? other : one), facts.row);
  const hasSemiSync = alive
    .map(({ evidence }) => (evidence.kind === 'answered' ? evidence.facts.hasSemiSync : null))
    .reduce((one, other) => one ?? other, facts.hasSemiSync);
  return { ...first, evidence: { kind: 'answered', facts: { ...facts, hearing, row, hasSemiSync } } };
}

/** Not everybody looks for the row, and what it says only grows. */
function isNewer(row: SeenRow | null, than: SeenRow | null): boolean {
  if (row === null || than === null) return than === null;
  const of = ({ epoch, opened, generation }: SeenRow) => [epoch?.number ?? 0, opened?.number ?? 0, generation];
  const before = of(than);
  const differs = of(row).map((number, at) => number - (before[at] ?? 0));
  return (differs.find((difference) => difference !== 0) ?? 0) > 0;
}

function dissent(
  host: Host,
  verdict: string,
  those: readonly Observation[],
  others: readonly Observation[],
): readonly string[] {
  if (those.length === 0 || others.length === 0) return [];
  const who = others.map(
    ({ observer, evidence }) => `${observer === '' ? 'a Perl monitor' : observer}: ${evidence.kind}`,
  );
  const all = those.length + others.length;
  return [`${those.length} of ${all} monitors find ${host} ${verdict} (not so ${who.join(', ')})`];
}

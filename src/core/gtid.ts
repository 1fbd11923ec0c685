// Sets of global transaction ids, of both makes, as ranges: what one server has and another one lacks.
// Read from the text in a Facts by replication.ts, which answers the questions that reconcile.ts asks.

/** First and last number of a run, both included. */
type Range = readonly [bigint, bigint];

/**
 * MySQL: ranges by `uuid` or `uuid:tag`. MariaDB: by `domain-server`, and there `0-1-7` stands for everything that server 1
 * wrote in domain 0 up to 7: within a domain, a server's transactions arrive in the order of their numbers.
 */
export interface GtidSet {
  /** none: the empty set, which is spelled alike in both makes. */
  readonly form: 'mysql' | 'mariadb' | 'none';
  readonly ranges: ReadonlyMap<string, readonly Range[]>;
}

const MARIADB = /^(\d{1,10})-(\d{1,10})-(\d{1,20})$/;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
/** MySQL 8.3 and later: a name between the UUID and its ranges. */
const TAG = /^[a-z_][a-z0-9_]{0,31}$/;
const RANGE = /^(\d{1,19})(?:-(\d{1,19}))?$/;

/** Reads a MySQL set or a MariaDB position or state. null: the text is neither. */
export function parseGtids(text: string): GtidSet | null {
  const parts = text
    .split(',')
    .map((part) => part.trim().toLowerCase())
    .filter((part) => part !== '');
  if (parts.length === 0) return { form: 'none', ranges: new Map() };
  const found = new Map<string, Range[]>();
  const form = MARIADB.test(parts[0] ?? '') ? 'mariadb' : 'mysql';
  for (const part of parts) {
    if (!(form === 'mariadb' ? readMariadb(part, found) : readMysql(part, found))) return null;
  }
  return { form, ranges: merged(found) };
}

/** True when `a` has everything that `b` has. */
export function containsGtids(a: GtidSet, b: GtidSet): boolean {
  for (const [key, ranges] of b.ranges) {
    const have = a.ranges.get(key) ?? [];
    if (!ranges.every(([from, to]) => have.some((range) => range[0] <= from && to <= range[1]))) return false;
  }
  return true;
}

/** Everything that is in either. null: the two are of different makes. */
export function joinGtids(a: GtidSet, b: GtidSet): GtidSet | null {
  if (a.form === 'none') return b;
  if (b.form === 'none') return a;
  if (a.form !== b.form) return null;
  const all = new Map([...a.ranges].map(([key, ranges]) => [key, [...ranges]]));
  for (const [key, ranges] of b.ranges) all.set(key, [...(all.get(key) ?? []), ...ranges]);
  return { form: a.form, ranges: merged(all) };
}

/**
 * What `a` has and `b` lacks. On MariaDB a server that `b` never heard of is counted from the highest number that `b` knows
 * in that domain, because the servers of one domain go on from each other's numbers; so the count is an estimate there.
 */
export function subtractGtids(a: GtidSet, b: GtidSet): GtidSet {
  const left = new Map<string, Range[]>();
  for (const [key, ranges] of a.ranges) {
    const known = b.ranges.get(key) ?? (a.form === 'mariadb' ? knownInDomain(key, ranges, b) : []);
    const rest = ranges.flatMap((range) => without(range, known));
    if (rest.length > 0) left.set(key, rest);
  }
  return left.size === 0 ? { form: 'none', ranges: left } : { form: a.form, ranges: left };
}

export function countGtids(set: GtidSet): bigint {
  let count = 0n;
  for (const ranges of set.ranges.values()) for (const [from, to] of ranges) count += to - from + 1n;
  return count;
}

/** The set as its server spells it; for MariaDB the last number of each. */
export function formatGtids(set: GtidSet): string {
  const keys = [...set.ranges.keys()].sort();
  if (set.form === 'mariadb') return keys.map((key) => `${key}-${last(set.ranges.get(key))}`).join(',');
  return keys
    .map((key) => [key, ...(set.ranges.get(key) ?? []).map(([a, b]) => (a === b ? `${a}` : `${a}-${b}`))].join(':'))
    .join(',');
}

/** The set in at most `length` characters: when it is longer, the newest runs of each server, and `cut` says so. */
export function writeGtids(set: GtidSet, length: number): { gtids: string; cut: boolean } {
  const most = Math.max(0, ...[...set.ranges.values()].map((ranges) => ranges.length));
  for (let runs = most; runs >= 1; runs = Math.floor(runs / 2)) {
    const newest = [...set.ranges].map(([key, ranges]) => [key, ranges.slice(-runs)] as const);
    const gtids = formatGtids({ ...set, ranges: new Map(newest) });
    if (gtids.length <= length) return { gtids, cut: runs < most };
  }
  // Even one run of each server is too long: some of the servers, then.
  let gtids = '';
  for (const [key, ranges] of set.ranges) {
    const one = formatGtids({ ...set, ranges: new Map([[key, ranges.slice(-1)]]) });
    const longer = gtids === '' ? one : `${gtids},${one}`;
    if (longer.length > length) break;
    gtids = longer;
  }
  return { gtids, cut: gtids !== '' || set.ranges.size > 0 };
}

function readMariadb(part: string, into: Map<string, Range[]>): boolean {
  const [, domain, server, number] = MARIADB.exec(part) ?? [];
  if (domain === undefined || server === undefined || number === undefined) return false;
  const to = BigInt(number);
  if (to > 0n) add(into, `${BigInt(domain)}-${BigInt(server)}`, [1n, to]);
  return true;
}

function readMysql(part: string, into: Map<string, Range[]>): boolean {
  const [uuid = '', ...fields] = part.split(':').map((field) => field.trim());
  if (!UUID.test(uuid) || fields.length === 0) return false;
  let key = uuid;
  let ranges = 0;
  for (const field of fields) {
    const [, from, to] = RANGE.exec(field) ?? [];
    if (from === undefined) {
      // A tag holds for the ranges after it; one without ranges, or before the previous one got any, is malformed.
      if (!TAG.test(field) || (key !== uuid && ranges === 0)) return false;
      key = `${uuid}:${field}`;
      ranges = 0;
      continue;
    }
    const range: Range = [BigInt(from), BigInt(to ?? from)];
    if (range[0] < 1n || range[1] < range[0]) return false;
    add(into, key, range);
    ranges++;
  }
  return ranges > 0;
}

function add(into: Map<string, Range[]>, key: string, range: Range): void {
  const ranges = into.get(key);
  if (ranges === undefined) into.set(key, [range]);
  else ranges.push(range);
}

/** Each key's ranges in order, those that touch made one. */
function merged(sets: ReadonlyMap<string, readonly Range[]>): Map<string, readonly Range[]> {
  const result = new Map<string, readonly Range[]>();
  for (const [key, ranges] of sets) {
    const runs: [bigint, bigint][] = [];
    for (const [from, to] of [...ranges].sort((a, b) => (a[0] < b[0] ? -1 : 1))) {
      const run = runs.at(-1);
      if (run === undefined || from > run[1] + 1n) runs.push([from, to]);
      else if (to > run[1]) run[1] = to;
    }
    result.set(key, runs);
  }
  return result;
}

/** `range` less the ordered runs of `known`. */
function without(range: Range, known: readonly Range[]): Range[] {
  const rest: Range[] = [];
  let from = range[0];
  for (const [start, end] of known) {
    if (end < from) continue;
    if (start > range[1]) break;
    if (start > from) rest.push([from, start - 1n]);
    from = end + 1n;
  }
  if (from <= range[1]) rest.push([from, range[1]]);
  return rest;
}

/** The highest number that `set` knows in the domain of `key`, as a run; never all of `ranges`, for something is lacking. */
function knownInDomain(key: string, ranges: readonly Range[], set: GtidSet): readonly Range[] {
  const domain = key.slice(0, key.indexOf('-') + 1);
  let highest = 0n;
  for (const [other, runs] of set.ranges) if (other.startsWith(domain) && last(runs) > highest) highest = last(runs);
  const end = last(ranges);
  const known = highest < end ? highest : end - 1n;
  return known > 0n ? [[1n, known]] : [];
}

function last(ranges: readonly Range[] | undefined): bigint {
  return ranges?.at(-1)?.[1] ?? 0n;
}

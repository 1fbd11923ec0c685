// What stayed on the old active is saved before it flows on, or is held: the part of its binary log that the new active never received.
// Wanted by src/agent-telling.ts; done by ops/binlog-tool.ts with the server's own tool.

import type { Divergence } from './divergence.ts';
import type { Coordinates, Evidence, Facts } from './observation.ts';
import type { EpochName, Host } from './pair.ts';

/** Which part of whose binary log. */
export interface SalvageOrder {
  readonly host: Host;
  readonly flavour: Facts['flavour'];
  /** Every file of it, the oldest first. */
  readonly files: readonly string[];
  /** Where it begins in the first file, and ends in the last. */
  readonly fromPos: number;
  readonly toPos: number;
  readonly uniqsign: string;
  readonly epoch: EpochName | null;
}

/** `path` is on the agent's machine. `cut`: the rest did not fit. */
export type Salvaged =
  | { readonly kind: 'saved'; readonly path: string; readonly bytes: number; readonly cut: boolean }
  | { readonly kind: 'not-saved'; readonly why: string };

/** Never throws. Takes at most a minute. */
export type Salvage = (order: SalvageOrder) => Promise<Salvaged>;

/** From where the active's receiving ended to where the other log does; a sentence: why nobody can say from where. */
export function salvageOrder(
  uniqsign: string,
  { host, end, epoch }: Divergence,
  { active, passive }: { readonly active: Evidence; readonly passive: Evidence },
): SalvageOrder | string {
  const from = active.kind === 'answered' ? active.facts.replication?.received : undefined;
  if (from === undefined || passive.kind !== 'answered')
    return 'nobody knows from where on the active did not receive it';
  if (end === null) return `${host} writes no binary log`;
  const files = filesBetween(from, end);
  if (typeof files === 'string') return files;
  return { host, flavour: passive.facts.flavour, files, fromPos: from.pos, toPos: end.pos, uniqsign, epoch };
}

/** More files than this between the two places, and something else is wrong. */
const MOST_FILES = 100;

/**
 * The binary logs from `from` to `to`, by their numbers; a sentence: why nobody can say which. A server numbers its files without a gap, and
 * begins a new one at each start.
 */
export function filesBetween(from: Coordinates, to: Coordinates): readonly string[] | string {
  const [first, last] = [parted(from.file), parted(to.file)];
  if (first === null || last === null || first.base !== last.base) {
    return `the binary log goes from ${from.file || 'an unknown file'} to ${to.file}`;
  }
  const count = last.number - first.number + 1;
  if (count < 1 || (count === 1 && to.pos < from.pos)) {
    return `the binary log ends at ${to.file}:${to.pos}, before ${from.file}:${from.pos}, up to where it was received`;
  }
  if (count > MOST_FILES) return `it would be ${count} files of the binary log`;
  return Array.from({ length: count }, (_, at) => {
    const number = String(first.number + at).padStart(first.digits, '0');
    return `${first.base}.${number}`;
  });
}

function parted(file: string): { base: string; number: number; digits: number } | null {
  const [, base, digits] = /^(.+)\.(\d{1,10})$/.exec(file) ?? [];
  return base === undefined || digits === undefined ? null : { base, number: Number(digits), digits: digits.length };
}

/** For log, mail and status. */
export function describeSalvage(agent: string, saved: Salvaged): string {
  if (saved.kind === 'not-saved') return `NOT SAVED: ${saved.why}`;
  const kib = Math.ceil(saved.bytes / 1024);
  return `saved as statements in ${saved.path} on ${agent} (${kib} KiB${saved.cut ? ', CUT: the rest did not fit' : ''})`;
}

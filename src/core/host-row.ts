// The one row that each server keeps of itself in the schema `mmm`: which epoch it knows, when it was last opened, its lease.
// Read by mysql/fence-connection.ts with every comparing call; whoever decides about a lease or a witness asks it here.

import { MmmError } from './errors.ts';
import { type Epoch, type EpochName, isOfDecision, parseHost } from './pair.ts';

/**
 * Grows with every change of anything in the schema. Whoever finds a higher one leaves it alone and calls it all the same, so the
 * parameters of a procedure never change: a call that needs others gets a new name.
 */
export const SCHEMA_VERSION = 6;

/** The permission to be writable. `none`: never opened by us, so nothing closes it. */
export type Lease =
  | { readonly kind: 'none' }
  | { readonly kind: 'endless' }
  | { readonly kind: 'finite'; readonly expiresAtMs: number };

/** All times are Unix milliseconds by the server's own clock. */
export interface HostRow {
  readonly schemaVersion: number;
  /** The highest epoch that was claimed here; null: none yet. */
  readonly epoch: Epoch | null;
  /** The epoch and the boot (`Boot.startedSec`) in which this host was last opened; null: never. */
  readonly opened: { readonly number: number; readonly id: string; readonly startedSec: number } | null;
  readonly lease: Lease;
  /** The pair's lease is endless on purpose [F6]: whoever fences this host's partner counts it as without a lease. */
  readonly unfenced: boolean;
  /** When the EVENT ran last; null: never. */
  readonly tickMs: number | null;
  /** Of the complete set. */
  readonly generation: number;
  /** What the server told beside its row, in the same answer. */
  readonly nowMs: number;
  readonly startedSec: number;
  readonly readOnly: boolean;
}

/** An EVENT that ran so lately runs: it comes every second. */
export const FRESH_TICK_MS = 3_000;
/** Two statements of one moment may read the clock in either order. A tick that is later than this means that the clock went back. */
export const TICK_AHEAD_MS = 200;

/** Armed is evidence, not a setting [F17]: the EVENT that takes the lease's side ran within the last seconds. */
export function isArmed({ tickMs, nowMs }: Pick<HostRow, 'tickMs' | 'nowMs'>): boolean {
  return tickMs !== null && tickMs <= nowMs + TICK_AHEAD_MS && nowMs - tickMs <= FRESH_TICK_MS;
}

/** The server was opened under this very decision, in this or an earlier life. */
export function wasOpenedUnder(row: Pick<HostRow, 'opened'> | null, epoch: EpochName): boolean {
  return row !== null && isOfDecision(row.opened, epoch);
}

/** The end that the EVENT gives to the lease of a server which it closed before anybody had opened it in that life. */
export const FOUND_WRITABLE_MS = 0;

/** A closed server is known to have come up so when nobody opened it in this life, neither we nor its my.cnf [F19]. */
export function cameUpReadOnly({ opened, lease }: Pick<HostRow, 'opened' | 'lease'>, startedSec: number): boolean {
  const foundWritable = lease.kind === 'finite' && lease.expiresAtMs === FOUND_WRITABLE_MS;
  return opened?.startedSec !== startedSec && !foundWritable;
}

type Columns = Readonly<Record<string, string | null>>;

/** null: the server has no row, or one that was made for another server and came with a copy. */
export function parseHostRow(columns: Columns): HostRow | null {
  if (given(columns, 'schema_version') === null) return null;
  const active = parseHost(given(columns, 'epoch_active') ?? '');
  const number = count(columns, 'epoch_number');
  if (number > 0 && active === undefined) {
    throw new MmmError('failed', `the row of the server names no host as active: ${given(columns, 'epoch_active')}`);
  }
  const opened = given(columns, 'opened_number');
  return {
    schemaVersion: count(columns, 'schema_version'),
    epoch: active === undefined ? null : { number, id: given(columns, 'epoch_id') ?? '', active },
    opened:
      opened === null
        ? null
        : {
            number: count(columns, 'opened_number'),
            id: given(columns, 'opened_id') ?? '',
            startedSec: count(columns, 'opened_boot'),
          },
    lease: leaseOf(columns),
    unfenced: count(columns, 'unfenced') !== 0,
    tickMs: given(columns, 'tick_ms') === null ? null : count(columns, 'tick_ms'),
    generation: count(columns, 'generation'),
    nowMs: count(columns, 'now_ms'),
    startedSec: count(columns, 'started_sec'),
    readOnly: count(columns, 'writable') === 0,
  };
}

function leaseOf(columns: Columns): Lease {
  if (count(columns, 'endless') !== 0) return { kind: 'endless' };
  if (given(columns, 'expires_at_ms') === null) return { kind: 'none' };
  return { kind: 'finite', expiresAtMs: count(columns, 'expires_at_ms') };
}

function given(columns: Columns, name: string): string | null {
  return columns[name] ?? null;
}

function count(columns: Columns, name: string): number {
  const value = given(columns, name);
  const read = value === null || value === '' ? Number.NaN : Number(value);
  if (!Number.isSafeInteger(read)) {
    throw new MmmError('failed', `the row of the server has no whole number in ${name}: ${value}`);
  }
  return read;
}

// Reads what a server tells about itself, in as few round trips as there are statements.
// Comes from connection.ts (the probe) and steps.ts (looking before and after); goes on to core/rules.ts and core/reconcile.ts.

import type { BlockPatterns } from '../core/config.ts';
import { MmmError } from '../core/errors.ts';
import { type HostRow, parseHostRow } from '../core/host-row.ts';
import type { Boot, Coordinates, Facts, Replication } from '../core/observation.ts';
import type { Progress } from '../core/replication.ts';
import { countAccounts } from './accounts.ts';
import { type Dialect, dialectFor } from './dialect.ts';
import { serverErrorNumber } from './evidence.ts';
import { type Asker, number, type Row, text } from './row.ts';
import { rowSelect } from './schema.ts';
import { readSemiSync } from './semi-sync.ts';

/** What does not change while one connection lives, because a server's life ends with its connections. */
export interface Identity {
  readonly dialect: Dialect;
  readonly version: string;
  readonly boot: Boot;
}

export interface Look extends Asker {
  readonly identity: Identity;
  readonly excludeUsers: readonly string[];
  readonly block: BlockPatterns | null;
  readonly quiet: Quiet;
}

/** How long the SQL thread must stand at the end of a relay log that nobody writes any more. */
const QUIET_MS = 100;

/**
 * Remembers the last look at the replication threads. Between the moment the I/O thread writes its last event and the moment the
 * SQL thread wakes up to read it, the SQL thread still says that it has read everything: one look is not enough to believe it.
 */
export class Quiet {
  #place = '';
  #sinceMs = 0;

  /** True when the threads have looked like this for a while. */
  lasts(replication: Replication): boolean {
    const { received, applied, io, sql, receivedGtid } = replication;
    const place = JSON.stringify([received, applied, io, sql, receivedGtid]);
    if (place !== this.#place || !replication.readAll) {
      this.#place = replication.readAll ? place : '';
      this.#sinceMs = performance.now();
    }
    return performance.now() - this.#sinceMs >= QUIET_MS;
  }
}

const SYSTEM_SCHEMAS = ['information_schema', 'performance_schema', 'mysql'];

export async function readIdentity(asker: Asker): Promise<Identity> {
  const [version] = await asker.ask('SELECT VERSION() AS version');
  const banner = text(version, 'version');
  const dialect = dialectFor(banner);
  // By pattern, because MariaDB's `server_uid` exists only in its newer versions.
  const [uuid] = await asker.ask("SHOW GLOBAL VARIABLES WHERE Variable_name IN ('server_uuid', 'server_uid')");
  // Both times are the start of this very statement, so their difference is exact and the same at every look, even when the
  // clock has jumped (then Uptime wraps around; so does this).
  const [started] = await asker.ask(
    `SELECT UNIX_TIMESTAMP() AS now, VARIABLE_VALUE AS uptime FROM ${dialect.statusTable} WHERE VARIABLE_NAME = 'Uptime'`,
  );
  const startedSec = BigInt.asIntN(64, BigInt(text(started, 'now') || '0') - BigInt(text(started, 'uptime') || '0'));
  return {
    dialect,
    version: banner,
    boot: { uuid: text(uuid, 'Value'), startedSec: Number(startedSec - (startedSec % 2n)) },
  };
}

/** True when a row of ours may be on the server. By name, so that neither a lock on the table nor a missing right is in the way. */
export async function hasSchema(asker: Asker): Promise<boolean> {
  const rows = await asker.ask(
    "SELECT 1 AS one FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'mmm' AND TABLE_NAME = 'host'",
  );
  return rows.length > 0;
}

export async function readFacts(look: Look, wantsRow: boolean): Promise<Facts> {
  const { dialect, version, boot } = look.identity;
  // What is applied is read before what is received: the answer can then be too cautious, never too bold.
  const [row] = await look.ask(
    `SELECT @@global.server_id AS server_id, @@global.read_only AS read_only,
        UNIX_TIMESTAMP(SYSDATE(6)) AS server_time,
        (SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID()
          AND USER NOT IN ('event_scheduler', 'system user') AND COMMAND NOT LIKE 'Binlog Dump%'
          AND DB IS NOT NULL AND LOWER(DB) NOT IN (?)
          AND BINARY USER NOT IN (?)) AS connections,
        ${[dialect.progressColumns, ...dialect.heartbeatColumns].join(', ')}`,
    // NOT IN () is a syntax error; a user's name is never empty here, because '' is anonymous and counts as the application's.
    [SYSTEM_SCHEMAS, look.excludeUsers.length === 0 ? ['system user'] : look.excludeUsers],
  );
  if (row === undefined) throw new MmmError('failed', 'the server answered the question about its state without a row');
  const channels = await look.ask(dialect.replicationStatement);
  const readOnly = isOn(row, 'read_only');
  const hostRow = wantsRow ? await readRow(look) : null;
  // A server without a row is put in order first; nobody asks for this there.
  const semiSync = hostRow === null ? null : await readSemiSync(look, dialect);
  const mayHang = dialect.binlogWaitsForCommits && !readOnly && semiSync?.source === true;
  const [log] = mayHang ? [] : await look.ask(dialect.binlogStatement);
  return {
    flavour: dialect.flavour,
    version,
    serverId: number(row, 'server_id') ?? 0,
    boot,
    readOnly,
    serverTime: number(row, 'server_time') ?? 0,
    connections: number(row, 'connections') ?? -1,
    replication: replicationOf(look, channels, row),
    binlog: binlogOf(log),
    gtid: dialect.readGtid(row),
    accounts: await countAccounts(look, dialect, look.block),
    row: hostRow,
    semiSync,
  };
}

/** No database or table of that name, or no right to read it: the Perl's accounts have none, and a pair without a safety needs none. */
const NOT_TO_BE_READ: ReadonlySet<number> = new Set([1044, 1049, 1142, 1143, 1146]);

/** A plain SELECT, because a monitor's account may not EXECUTE. What else goes wrong is no "there is none". */
async function readRow(look: Look): Promise<HostRow | null> {
  const { dialect, boot } = look.identity;
  try {
    const [row] = await look.ask(rowSelect({ dialect, uuid: boot.uuid }), [boot.startedSec]);
    return row === undefined ? null : parseHostRow(row);
  } catch (error) {
    if (NOT_TO_BE_READ.has(serverErrorNumber(error) ?? 0)) return null;
    throw error;
  }
}

/** The part of the facts that a wait needs, each few milliseconds. */
export async function readProgress(look: Look): Promise<Progress> {
  const { dialect } = look.identity;
  const [row = {}] = await look.ask(`SELECT ${dialect.progressColumns}`);
  const channels = await look.ask(dialect.replicationStatement);
  return { replication: replicationOf(look, channels, row), gtid: dialect.readGtid(row) };
}

/**
 * Closed. On servers that have super_read_only as well this is the flag that tells: while that one is being set it already reads
 * 1, read_only reads 1 when it is done, and super_read_only without read_only does not exist otherwise.
 */
export async function readReadOnly(asker: Asker): Promise<boolean> {
  const [row] = await asker.ask('SELECT @@global.read_only AS read_only');
  return isOn(row, 'read_only');
}

/** MariaDB 12 gives the variable words instead of numbers, and has more than one that is not `OFF`. */
function isOn(row: Row | undefined, column: string): boolean {
  return !['', '0', 'OFF'].includes(text(row, column));
}

function replicationOf(look: Look, channels: readonly Row[], progress: Row): Replication | null {
  const { dialect } = look.identity;
  const replication = dialect.readReplication(channels, progress);
  if (replication === null) return null;
  const lasts = look.quiet.lasts(replication);
  if (replication.io !== 'No') return replication;
  return { ...replication, readAll: replication.readAll && lasts && !dialect.isParallel(progress) };
}

function binlogOf(row: Row | undefined): Coordinates | null {
  const file = text(row, 'File');
  return file === '' ? null : { file, pos: number(row, 'Position') ?? 0 };
}

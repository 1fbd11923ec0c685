// What differs between servers, in one record per version: the only file that knows versions.
// Chosen once per connection by connection.ts; used by facts.ts, steps.ts and accounts.ts.

import { formatGtids, joinGtids, parseGtids } from '../core/gtid.ts';
import type { Coordinates, Heartbeats, Replication, ThreadError, ThreadState } from '../core/observation.ts';
import { oneLine } from './evidence.ts';
import { number, type Row, text } from './row.ts';

export interface Dialect {
  readonly flavour: 'mysql' | 'mariadb';
  /** For messages: "MariaDB 10.11", "MySQL 5.6". */
  readonly name: string;
  /** Columns of one SELECT about what the server has executed and how it applies; read by `readGtid` and `isParallel`. */
  readonly progressColumns: string;
  /** More columns of that SELECT, which say what the I/O thread heard while there was nothing to replicate; too dear for a wait. */
  readonly heartbeatColumns: readonly string[];
  readGtid(row: Row): string | null;
  /** Several threads apply: then the SQL thread has read, not applied, when it says that it has read everything. */
  isParallel(row: Row): boolean;
  /**
   * The server's status variables as a table with VARIABLE_NAME and VARIABLE_VALUE. The session's, where it can be: what is asked for is the
   * same in both, and the global ones are added up over all connections first.
   */
  readonly statusTable: string;
  /** Its global variables, likewise. */
  readonly variableTable: string;
  readonly replicationStatement: string;
  /** The channel that mmm looks after out of the statement's rows; null: replication was never set up. */
  readReplication(rows: readonly Row[], progress: Row): Replication | null;
  /** One row with File and Position, or none. */
  readonly binlogStatement: string;
  /** That statement waits for as long as commits wait for an acknowledgement [F7]. */
  readonly binlogWaitsForCommits: boolean;
  readonly startSql: string;
  readonly startIo: string;
  readonly stopIo: string;
  readonly startReplication: string;
  /** Privileges whose owner can write on a read-only host, or repair it: such a user's sessions are never killed. */
  readonly adminPrivileges: readonly string[];
  /** Killing a session that waits for a semi-sync acknowledgement tells others OK (F1): leave it. */
  readonly sparesAcknowledgementWaiters: boolean;
  /**
   * What `durability=lossless` needs and the server can load; none where it is built in (MariaDB), or others see a commit before a
   * replica has it (MySQL 5.6).
   */
  readonly semiSyncPlugins: readonly { readonly name: string; readonly library: string }[];
  /** password-column: accounts are blocked by their hash in `mysql.user`. lock: by ACCOUNT LOCK. */
  readonly accountForm: 'password-column' | 'lock';
  /** Every account of a server with ACCOUNT LOCK: user, host, locked (1 or 0), role (1 or 0). */
  readonly accountStatement: string;
}

/** The dialect of a server that calls itself `banner` (`SELECT VERSION()`), which may carry MariaDB's old `5.5.5-` prefix. */
export function dialectFor(banner: string): Dialect {
  const mariadb = /mariadb/i.test(banner);
  const [, major = '0', minor = '0', patch = '0'] =
    /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(mariadb ? banner.replace(/^5\.5\.5-/, '') : banner) ?? [];
  const version: Version = [Number(major), Number(minor), Number(patch)];
  return Object.freeze(mariadb ? mariadbDialect(version) : mysqlDialect(version));
}

type Version = readonly [number, number, number];

function mariadbDialect(version: Version): Dialect {
  return {
    ...words('SLAVE'),
    // Unlike SHOW SLAVE STATUS it counts heartbeats, in columns of its own.
    replicationStatement: 'SHOW ALL SLAVES STATUS',
    // SHOW MASTER STATUS would wait for commits that wait for an acknowledgement, and a healthy host would look silent.
    binlogStatement: `SELECT MAX(CASE VARIABLE_NAME WHEN 'BINLOG_SNAPSHOT_FILE' THEN VARIABLE_VALUE END) AS File,
      MAX(CASE VARIABLE_NAME WHEN 'BINLOG_SNAPSHOT_POSITION' THEN VARIABLE_VALUE END) AS Position
      FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME LIKE 'BINLOG_SNAPSHOT%'`,
    binlogWaitsForCommits: false,
    heartbeatColumns: [],
    flavour: 'mariadb',
    name: `MariaDB ${version[0]}.${version[1]}`,
    progressColumns: `@@global.gtid_binlog_state AS binlog_state, @@global.gtid_slave_pos AS slave_pos,
      @@global.slave_parallel_threads AS workers`,
    readGtid: (row) => joined(text(row, 'binlog_state'), text(row, 'slave_pos')),
    isParallel: (row) => (number(row, 'workers') ?? 0) > 0,
    statusTable: 'information_schema.SESSION_STATUS',
    variableTable: 'information_schema.GLOBAL_VARIABLES',
    readReplication: (rows, progress) => {
      // The connection without a name is the one that START SLAVE and its like mean.
      const row = rows.find((connection) => text(connection, 'Connection_name') === '');
      if (row === undefined) return null;
      const usesGtid = !['', 'No'].includes(text(row, 'Using_Gtid'));
      return replication(row, {
        receivedGtid: usesGtid ? text(row, 'Gtid_IO_Pos') : null,
        appliedGtid: usesGtid ? text(progress, 'slave_pos') : null,
        heartbeats: heartbeats(row, 'Slave_received_heartbeats', 'Slave_heartbeat_period'),
        purgesOnStart: usesGtid,
      });
    },
    adminPrivileges: ['SUPER', 'READ_ONLY ADMIN', 'READ ONLY ADMIN', 'CONNECTION ADMIN', 'REPLICATION SLAVE'],
    sparesAcknowledgementWaiters: true,
    semiSyncPlugins: [],
    // From 10.4 on mysql.user is a view over global_priv, and its password cannot be written.
    accountForm: isAtLeast(version, [10, 4, 0]) ? 'lock' : 'password-column',
    // mysql.user is a view there, and leaves the lock out.
    accountStatement: `SELECT User AS user, Host AS host, COALESCE(JSON_VALUE(Priv, '$.account_locked') IN ('1', 'true'), 0) AS locked,
      COALESCE(JSON_VALUE(Priv, '$.is_role') IN ('1', 'true'), 0) AS role FROM mysql.global_priv ORDER BY User, Host`,
  };
}

function mysqlDialect(version: Version): Dialect {
  const workers = isAtLeast(version, [8, 0, 26]) ? 'replica_parallel_workers' : 'slave_parallel_workers';
  return {
    ...words(isAtLeast(version, [8, 0, 22]) ? 'REPLICA' : 'SLAVE'),
    binlogStatement: isAtLeast(version, [8, 2, 0]) ? 'SHOW BINARY LOG STATUS' : 'SHOW MASTER STATUS',
    binlogWaitsForCommits: true,
    flavour: 'mysql',
    name: `MySQL ${version[0]}.${version[1]}`,
    progressColumns: `@@global.gtid_mode AS gtid_mode, @@global.gtid_executed AS gtid_executed,
      @@global.${workers} AS workers`,
    heartbeatColumns: isAtLeast(version, [5, 7, 0])
      ? [
          `(SELECT MAX(COUNT_RECEIVED_HEARTBEATS) FROM performance_schema.replication_connection_status
            WHERE CHANNEL_NAME = '') AS heartbeats`,
          `(SELECT MAX(HEARTBEAT_INTERVAL) FROM performance_schema.replication_connection_configuration
            WHERE CHANNEL_NAME = '') AS heartbeat_sec`,
        ]
      : [
          statusColumn('Slave_received_heartbeats', 'heartbeats'),
          statusColumn('Slave_heartbeat_period', 'heartbeat_sec'),
        ],
    readGtid: (row) => (text(row, 'gtid_mode') === 'ON' ? text(row, 'gtid_executed').replace(/\s+/g, '') : null),
    isParallel: (row) => (number(row, 'workers') ?? 0) > 0,
    statusTable: isAtLeast(version, [5, 7, 0])
      ? 'performance_schema.global_status'
      : 'information_schema.SESSION_STATUS',
    variableTable: isAtLeast(version, [5, 7, 0])
      ? 'performance_schema.global_variables'
      : 'information_schema.GLOBAL_VARIABLES',
    readReplication: (rows, progress) => {
      const row = rows.find((channel) => text(channel, 'Channel_Name') === '') ?? rows[0];
      if (row === undefined) return null;
      // Only `ON` promises that every transaction has a GTID; in the modes between, the sets are not the whole truth.
      const receivedGtid =
        text(progress, 'gtid_mode') === 'ON' ? text(row, 'Retrieved_Gtid_Set').replace(/\s+/g, '') : null;
      return replication(row, {
        receivedGtid,
        appliedGtid: null,
        heartbeats: heartbeats(progress, 'heartbeats', 'heartbeat_sec'),
        purgesOnStart: false,
      });
    },
    adminPrivileges: ['SUPER', 'CONNECTION_ADMIN', 'SYSTEM_VARIABLES_ADMIN', 'REPLICATION SLAVE'],
    sparesAcknowledgementWaiters: false,
    semiSyncPlugins: isAtLeast(version, [5, 7, 0]) ? semiSyncPlugins(version) : [],
    accountForm: isAtLeast(version, [5, 7, 0]) ? 'lock' : 'password-column',
    // A role is an account that was made locked, so it is nobody's to unlock.
    accountStatement: `SELECT User AS user, Host AS host, account_locked = 'Y' AS locked, 0 AS role FROM mysql.user
      ORDER BY User, Host`,
  };
}

function semiSyncPlugins(version: Version): Dialect['semiSyncPlugins'] {
  const sides = isAtLeast(version, [8, 0, 26]) ? ['source', 'replica'] : ['master', 'slave'];
  return sides.map((side) => ({ name: `rpl_semi_sync_${side}`, library: `semisync_${side}.so` }));
}

function statusColumn(variable: string, column: string): string {
  return `(SELECT VARIABLE_VALUE FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = '${variable}') AS ${column}`;
}

/** The statements that only changed their words. */
function words(replica: 'SLAVE' | 'REPLICA') {
  return {
    replicationStatement: `SHOW ${replica} STATUS`,
    startSql: `START ${replica} SQL_THREAD`,
    startIo: `START ${replica} IO_THREAD`,
    stopIo: `STOP ${replica} IO_THREAD`,
    startReplication: `START ${replica}`,
  };
}

type Special = Pick<Replication, 'receivedGtid' | 'appliedGtid' | 'heartbeats' | 'purgesOnStart'>;

function replication(row: Row, special: Special): Replication {
  return {
    source: `${either(row, 'Source_Host', 'Master_Host')}:${either(row, 'Source_Port', 'Master_Port')}`,
    sourceServerId: Number(either(row, 'Source_Server_Id', 'Master_Server_Id')),
    io: threadState(either(row, 'Replica_IO_Running', 'Slave_IO_Running')),
    sql: threadState(either(row, 'Replica_SQL_Running', 'Slave_SQL_Running')),
    ioError: threadError(row, 'Last_IO_Errno', 'Last_IO_Error'),
    sqlError: threadError(row, 'Last_SQL_Errno', 'Last_SQL_Error'),
    delaySec: number(row, 'Seconds_Behind_Source') ?? number(row, 'Seconds_Behind_Master'),
    received: coordinates(
      either(row, 'Source_Log_File', 'Master_Log_File'),
      either(row, 'Read_Source_Log_Pos', 'Read_Master_Log_Pos'),
    ),
    applied: coordinates(
      either(row, 'Relay_Source_Log_File', 'Relay_Master_Log_File'),
      either(row, 'Exec_Source_Log_Pos', 'Exec_Master_Log_Pos'),
    ),
    readAll: /^(?:Slave|Replica) has read all relay log/.test(
      either(row, 'Replica_SQL_Running_State', 'Slave_SQL_Running_State'),
    ),
    ...special,
  };
}

/** null where the server was not asked. */
function heartbeats(row: Row, count: string, seconds: string): Heartbeats | null {
  const [received, periodSec] = [number(row, count), number(row, seconds)];
  return received === null || periodSec === null ? null : { received, periodMs: Math.round(periodSec * 1000) };
}

function either(row: Row, now: string, before: string): string {
  return text(row, now) || text(row, before);
}

function threadState(word: string): ThreadState {
  if (word === 'Yes' || word === 'No') return word;
  // `Connecting`, and MariaDB's `Preparing`: started, and not there yet.
  return 'Connecting';
}

function threadError(row: Row, code: string, message: string): ThreadError {
  return { code: number(row, code) ?? 0, text: oneLine(text(row, message)) };
}

function coordinates(file: string, pos: string): Coordinates {
  return { file, pos: Number(pos) };
}

/** MariaDB: what stands in the host's own log and what came by replication (which stands there only with log_slave_updates). */
function joined(binlogState: string, slavePos: string): string {
  const [own, applied] = [parseGtids(binlogState), parseGtids(slavePos)];
  const both = own === null || applied === null ? null : joinGtids(own, applied);
  // What cannot be read is handed on as it is: whoever compares it will not find it contained in anything.
  return both === null ? `${binlogState},${slavePos}` : formatGtids(both);
}

function isAtLeast(version: Version, wanted: Version): boolean {
  for (const [index, part] of wanted.entries()) {
    const have = version[index] ?? 0;
    if (have !== part) return have > part;
  }
  return true;
}

// Semi-synchronous replication as a server spells it: what it shows of both sides, and how they are switched.
// Read with the facts (facts.ts), switched by the comparing calls (schema-calls.ts), loaded with the schema (fence-connection.ts).

import type { SemiSync } from '../core/observation.ts';
import type { Dialect } from './dialect.ts';
import { gradeError, serverErrorNumber } from './evidence.ts';
import { type Asker, text } from './row.ts';

/** On MariaDB, and on MySQL with the old plugins; on MySQL with those of 8.0.26 and newer. What a server has is looked up, not known by its version. */
type Names = readonly [before: string, now: string];

const SOURCE_ENABLED: Names = ['rpl_semi_sync_master_enabled', 'rpl_semi_sync_source_enabled'];
const SOURCE_STATUS: Names = ['rpl_semi_sync_master_status', 'rpl_semi_sync_source_status'];
const WAIT_POINT: Names = ['rpl_semi_sync_master_wait_point', 'rpl_semi_sync_source_wait_point'];
const REPLICA_ENABLED: Names = ['rpl_semi_sync_slave_enabled', 'rpl_semi_sync_replica_enabled'];
/** MariaDB: so many seconds a stopping I/O thread tries to end its own connection at a source that may be silent; 0 would be for ever. */
const FAREWELL_SEC = 'rpl_semi_sync_slave_kill_conn_timeout';

const INSTALL_MS = 5_000;
const PLUGIN_EXISTS = 1125;

interface Setting {
  readonly names: Names;
  /** As a statement sets it. */
  readonly value: string;
  isRight(shown: string): boolean;
  readonly otherwise: string;
}

/** The longest that every server takes: 49 days. */
const ENDLESS_MS = 4_294_967_295;

/** What makes each commit wait until a replica has it, unseen by others. Not every server has all of them. */
const SETTINGS: readonly Setting[] = [
  {
    names: ['rpl_semi_sync_master_timeout', 'rpl_semi_sync_source_timeout'],
    value: String(ENDLESS_MS),
    isRight: (shown) => Number(shown) >= ENDLESS_MS,
    otherwise: 'commits stop waiting after a time',
  },
  {
    names: WAIT_POINT,
    value: "'AFTER_SYNC'",
    isRight: (shown) => shown === 'AFTER_SYNC',
    otherwise: 'others see a commit before a replica has it',
  },
  {
    names: ['rpl_semi_sync_master_wait_no_slave', 'rpl_semi_sync_source_wait_no_replica'],
    value: '1',
    isRight: (shown) => shown === 'ON',
    otherwise: 'commits do not wait while no replica is there',
  },
  {
    names: ['rpl_semi_sync_master_wait_for_slave_count', 'rpl_semi_sync_source_wait_for_replica_count'],
    value: '1',
    isRight: (shown) => shown === '1',
    otherwise: 'commits wait for another number of replicas than one',
  },
];

/**
 * One round trip. null: there is none, one of its sides is missing, or it is MySQL 5.6's, which has no wait point: others see a
 * commit there before a replica has it.
 */
export async function readSemiSync(asker: Asker, { variableTable, statusTable }: Dialect): Promise<SemiSync | null> {
  const rows = await asker.ask(
    [variableTable, statusTable]
      .map((table) => `SELECT VARIABLE_NAME AS name, VARIABLE_VALUE AS value FROM ${table} WHERE ${OURS}`)
      .join(' UNION ALL '),
  );
  const shown: Shown = new Map(rows.map((row) => [text(row, 'name').toLowerCase(), text(row, 'value')]));
  const source = either(shown, SOURCE_ENABLED);
  const replica = either(shown, REPLICA_ENABLED);
  if (source === null || replica === null || either(shown, WAIT_POINT) === null) return null;
  const count = (...names: Names) => Number(either(shown, names) ?? 0);
  return {
    source: source === 'ON',
    clients: count('rpl_semi_sync_master_clients', 'rpl_semi_sync_source_clients'),
    waiting: count('rpl_semi_sync_master_wait_sessions', 'rpl_semi_sync_source_wait_sessions'),
    acknowledged: count('rpl_semi_sync_master_yes_tx', 'rpl_semi_sync_source_yes_tx'),
    replica: replica === 'ON',
    replicaOn: either(shown, ['rpl_semi_sync_slave_status', 'rpl_semi_sync_replica_status']) === 'ON',
    // Whoever switches it on sets all of it.
    wrong: source === 'ON' ? whatIsWrong(shown) : null,
  };
}

type Shown = ReadonlyMap<string, string>;

/** Variables and status alike. */
const OURS = "VARIABLE_NAME LIKE 'rpl_semi_sync%'";

function either(shown: Shown, [before, now]: Names): string | null {
  return shown.get(before) ?? shown.get(now) ?? null;
}

function whatIsWrong(shown: Shown): string | null {
  const wrong = SETTINGS.flatMap(({ names, isRight, otherwise }) =>
    names.flatMap((name) => {
      const value = shown.get(name);
      return value === undefined || isRight(value) ? [] : [`${name} is ${value}: ${otherwise}`];
    }),
  );
  if (either(shown, SOURCE_STATUS) !== 'ON') wrong.push('commits stopped waiting after a time');
  return wrong.length === 0 ? null : wrong.join('; ');
}

/**
 * Loads what is missing, switched off, where the server can and the account may (INSERT on mysql.plugin); it stays loaded. null: nothing
 * is missing; else why not, for people. By MySQL's documentation: none of its servers here has the plugins.
 */
export async function installSemiSync(asker: Asker, { semiSyncPlugins }: Dialect): Promise<string | null> {
  if (semiSyncPlugins.length === 0) return null;
  const active = await activePlugins(asker);
  // The names of before 8.0.26 do as well, and the server takes only one of the two.
  if ([SOURCE_ENABLED, REPLICA_ENABLED].every((side) => side.some((name) => active.has(name.replace(/_enabled$/, '')))))
    return null;
  const refused: string[] = [];
  for (const { name, library } of semiSyncPlugins) {
    if (active.has(name)) continue;
    try {
      await asker.ask(`INSTALL PLUGIN ${name} SONAME '${library}'`, [], INSTALL_MS);
    } catch (error) {
      const code = serverErrorNumber(error);
      if (code === null) throw error;
      // Another agent was quicker.
      if (code !== PLUGIN_EXISTS) refused.push(`${name} could not be loaded: ${gradeError(error).message}`);
    }
  }
  return refused.length === 0 ? null : refused.join('; ');
}

async function activePlugins(asker: Asker): Promise<ReadonlySet<string>> {
  const rows = await asker.ask(
    "SELECT PLUGIN_NAME AS name FROM information_schema.PLUGINS WHERE PLUGIN_NAME LIKE 'rpl_semi_sync%' AND PLUGIN_STATUS = 'ACTIVE'",
  );
  return new Set(rows.map((row) => text(row, 'name').toLowerCase()));
}

/**
 * The body of the procedure that switches the source side. Dynamic SQL, because no procedure can be made that names a variable which the
 * server does not have. Where there is nothing to switch off it is off.
 */
export function switchSource(dialect: Dialect): string {
  const { variableTable } = dialect;
  const names = SETTINGS.flatMap((setting) => setting.names);
  const values = SETTINGS.map((setting) => `WHEN ${isOneOf(setting.names)} THEN ${quoted(setting.value)}`).join(' ');
  const waits = commitsWait(dialect);
  return `BEGIN
  DECLARE v_switch VARCHAR(64);
  DECLARE v_points INT DEFAULT 0;
  SELECT MAX(CASE WHEN ${isOneOf(SOURCE_ENABLED)} THEN VARIABLE_NAME END), COUNT(CASE WHEN ${isOneOf(WAIT_POINT)} THEN 1 END)
    INTO v_switch, v_points FROM ${variableTable} WHERE ${OURS};
  SET p_outcome = 'done';
  IF NOT p_on THEN
    IF v_switch IS NOT NULL THEN
      SET @mmm_semi_sync = CONCAT('SET GLOBAL ', v_switch, ' = 0');
      ${RUN}
    END IF;
  ELSEIF v_switch IS NULL OR v_points = 0 THEN
    SET p_outcome = 'no-semi-sync';
  ELSE
    SELECT CONCAT('SET ', GROUP_CONCAT('GLOBAL ', VARIABLE_NAME, ' = ', CASE ${values} END SEPARATOR ', '), ', GLOBAL ', v_switch, ' = 1')
      INTO @mmm_semi_sync FROM ${variableTable} WHERE ${isOneOf(names)};
    ${RUN}
    -- Commits that stopped waiting, after a time that somebody had set, wait again when it is switched off first. Nobody waits then.
    IF NOT ${waits} THEN
      SET @mmm_semi_sync = CONCAT('SET GLOBAL ', v_switch, ' = 0, GLOBAL ', v_switch, ' = 1');
      ${RUN}
      IF NOT ${waits} THEN
        SET p_outcome = 'no-semi-sync';
      END IF;
    END IF;
  END IF;
END`;
}

/** An expression: commits wait for an acknowledgement. */
export function commitsWait({ statusTable }: Dialect): string {
  return `EXISTS (SELECT 1 FROM ${statusTable} WHERE ${isOneOf(SOURCE_STATUS)} AND VARIABLE_VALUE = 'ON')`;
}

/** For the body of a comparing call with `p_on`. */
export function switchReplica({ variableTable }: Dialect): string {
  return `SET @mmm_semi_sync = NULL;
SELECT CONCAT('SET ', GROUP_CONCAT('GLOBAL ', VARIABLE_NAME, ' = ', CASE WHEN ${isOneOf(REPLICA_ENABLED)} THEN p_on ELSE 1 END SEPARATOR ', '))
  INTO @mmm_semi_sync FROM ${variableTable} WHERE ${isOneOf([...REPLICA_ENABLED, FAREWELL_SEC])};
IF @mmm_semi_sync IS NOT NULL THEN
  ${RUN}
ELSEIF p_on THEN
  SET v_outcome = 'no-semi-sync';
END IF;`;
}

const RUN = `PREPARE mmm_semi_sync FROM @mmm_semi_sync;
    EXECUTE mmm_semi_sync;
    DEALLOCATE PREPARE mmm_semi_sync;`;

function isOneOf(names: readonly string[]): string {
  return `VARIABLE_NAME IN (${names.map(quoted).join(', ')})`;
}

function quoted(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}

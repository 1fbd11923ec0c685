// The schema `mmm` on a server: the table with the one row, and the EVENT that closes the server when its lease has run out.
// The procedures are in schema-calls.ts; all of it is put there by schema-install.ts.

import { FOUND_WRITABLE_MS, FRESH_TICK_MS, SCHEMA_VERSION, TICK_AHEAD_MS } from '../core/host-row.ts';
import type { Dialect } from './dialect.ts';

/** On every procedure and on the EVENT, so that each can be seen to be of the same age as the row says. */
export function stamp(version: number): string {
  return `mmm schema ${version}`;
}

/** What the daemons' account needs on the schema. The acts themselves need what the daemons need anyway. */
export const SCHEMA_GRANTS = 'SELECT, INSERT, UPDATE, CREATE, ALTER, CREATE ROUTINE, ALTER ROUTINE, EXECUTE, EVENT';

/** What the texts need to know of the server that they are made for. */
export interface SchemaTarget {
  readonly dialect: Dialect;
  /** The server's own name for itself (`Boot.uuid`); '' where it has none. */
  readonly uuid: string;
}

/** Unix milliseconds, whatever the session's time zone. In a procedure each statement reads the clock anew. */
export const NOW_MS = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) DIV 1000";

/** MariaDB 12 answers with words. Where there is super_read_only as well, closed means that both are on. */
export const WRITABLE = "CAST(@@global.read_only AS CHAR) IN ('0', 'OFF')";

/** True for the tick `column` at the time `now`. */
export function tickIsFresh(column: string, now: string): string {
  return `COALESCE(${column} BETWEEN ${now} - ${FRESH_TICK_MS} AND ${now} + ${TICK_AHEAD_MS}, 0)`;
}

/** What tells this server from one that carries a copy of its data. */
export function ownIdentity({ dialect, uuid }: SchemaTarget): string {
  if (dialect.flavour === 'mysql') return '@@global.server_uuid';
  return uuid === ''
    ? "MD5(CONCAT_WS(' ', @@global.hostname, @@global.port, @@global.datadir))"
    : '@@global.server_uid';
}

/** `Boot.startedSec`: both times are the start of one statement, so the difference is exact, also after a jump of the clock, when Uptime wraps. */
export function bootSelect({ dialect }: SchemaTarget, into: string): string {
  const started = 'CAST(UNIX_TIMESTAMP() AS SIGNED) - CAST(CAST(VARIABLE_VALUE AS UNSIGNED) AS SIGNED)';
  return `SELECT ${started} - MOD(${started}, 2) ${into} FROM ${dialect.statusTable} WHERE VARIABLE_NAME = 'Uptime'`;
}

/** What an answer tells of the server, as parseHostRow (core/host-row.ts) reads it; `h` is the row. */
export function toldColumns(startedSec: string): string {
  return `${NOW_MS} AS now_ms, ${startedSec} AS started_sec, ${WRITABLE} AS writable,
      h.schema_version, h.epoch_number, h.epoch_id, h.epoch_active, h.opened_number, h.opened_id, h.opened_boot, h.endless,
      h.expires_at_ms, h.unfenced, h.tick_ms, h.generation`;
}

/** The server's own row, for whoever may not call procedures. Its one value is the boot, which does not change under a connection. */
export function rowSelect(target: SchemaTarget): string {
  return `SELECT ${toldColumns('?')} FROM mmm.host AS h WHERE h.id = 1 AND h.server_uuid = ${ownIdentity(target)}`;
}

export const CREATE_DATABASE = 'CREATE DATABASE IF NOT EXISTS mmm DEFAULT CHARACTER SET ascii COLLATE ascii_bin';

export const CREATE_TABLE = `CREATE TABLE IF NOT EXISTS mmm.host (
  id TINYINT UNSIGNED NOT NULL PRIMARY KEY,
  schema_version INT UNSIGNED NOT NULL,
  server_uuid VARCHAR(64) NOT NULL,
  epoch_number BIGINT UNSIGNED NOT NULL DEFAULT 0,
  epoch_id VARCHAR(64) NOT NULL DEFAULT '',
  epoch_active VARCHAR(255) NOT NULL DEFAULT '',
  opened_number BIGINT UNSIGNED NULL,
  opened_id VARCHAR(64) NULL,
  opened_boot BIGINT NULL,
  endless TINYINT UNSIGNED NOT NULL DEFAULT 0,
  expires_at_ms BIGINT NULL,
  unfenced TINYINT UNSIGNED NOT NULL DEFAULT 0,
  tick_ms BIGINT NULL,
  generation BIGINT UNSIGNED NOT NULL DEFAULT 0
) ENGINE = InnoDB DEFAULT CHARACTER SET ascii COLLATE ascii_bin COMMENT = 'What mmm knows of this server; never replicated'`;

/** Version 0 until everything else is there. Nobody knows whether the pair is unfenced, which counts as if it were [F6]. */
export function insertRow(target: SchemaTarget): string {
  return `INSERT IGNORE INTO mmm.host (id, schema_version, server_uuid, unfenced) VALUES (1, 0, ${ownIdentity(target)}, 1)`;
}

/** Another server's row came with a copy of its data: what it says is not true here, and a blank one says nothing. */
export function blankForeignRow(target: SchemaTarget): string {
  return `UPDATE mmm.host SET server_uuid = ${ownIdentity(target)}, schema_version = 0, epoch_number = 0, epoch_id = '',
      epoch_active = '', opened_number = NULL, opened_id = NULL, opened_boot = NULL, endless = 0, expires_at_ms = NULL,
      unfenced = 1, tick_ms = NULL, generation = 0
    WHERE id = 1 AND server_uuid <> ${ownIdentity(target)}`;
}

/**
 * The fence that needs nobody. Every statement is bounded and none stops the next one: a tick that cannot be written must not keep
 * the server open. Closing comes first, and without the calls' lock, which may be held by one that hangs.
 */
export function createFenceEvent(target: SchemaTarget): string {
  return `CREATE EVENT mmm.fence ON SCHEDULE EVERY 1 SECOND ON COMPLETION PRESERVE ENABLE COMMENT '${stamp(SCHEMA_VERSION)}' DO
BEGIN
  DECLARE v_boot BIGINT;
  DECLARE v_found_writable INT DEFAULT 0;
  DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END;
  SET SESSION sql_log_bin = 0;
  SET SESSION lock_wait_timeout = 1, SESSION innodb_lock_wait_timeout = 1;
  IF ${WRITABLE} AND EXISTS (SELECT 1 FROM mmm.host
    WHERE id = 1 AND server_uuid = ${ownIdentity(target)} AND endless = 0 AND expires_at_ms <= ${NOW_MS})
  THEN
    SET GLOBAL read_only = 1;
    SET v_found_writable = 1;
  END IF;
  IF @@session.sql_log_bin = 0 THEN
    IF v_found_writable THEN
      -- Nobody has opened it in this life: it started writable [F19].
      ${bootSelect(target, 'INTO v_boot')};
      UPDATE mmm.host SET expires_at_ms = ${FOUND_WRITABLE_MS}
        WHERE id = 1 AND server_uuid = ${ownIdentity(target)} AND endless = 0 AND opened_boot <> v_boot;
    END IF;
    IF COALESCE(GET_LOCK('mmm.tick', 0), 0) = 1 THEN
      UPDATE mmm.host SET tick_ms = ${NOW_MS} WHERE id = 1 AND server_uuid = ${ownIdentity(target)};
      DO RELEASE_LOCK('mmm.tick');
    END IF;
  END IF;
END`;
}

/** Sets it going again [F17]: after the clock went back it would sleep until the old time. */
export const REARM_EVENT = 'ALTER EVENT mmm.fence ON SCHEDULE EVERY 1 SECOND ENABLE';

// The comparing calls as stored procedures: each takes the named lock, compares the epoch with the row's, acts, and tells the row.
// Installed by schema-install.ts, called by fence-connection.ts; why they are procedures: docs/decisions/0004-comparing-calls.md.
//
// Where super_read_only is to be had (MySQL from 5.7 on) the row cannot be written while it is on. Its place is between comparing
// and writing the row: read_only = 1, super_read_only = 0, row, act, and at the end super_read_only = 1 (closing) or
// read_only = 0 (opening).

import { SCHEMA_VERSION } from '../core/host-row.ts';
import { AT_THE_END, IO_THREAD, REPLICATION_THREADS, WORKING_THREAD } from './replication-threads.ts';
import {
  bootSelect,
  NOW_MS,
  ownIdentity,
  REARM_EVENT,
  type SchemaTarget,
  stamp,
  tickIsFresh,
  toldColumns,
  WRITABLE,
} from './schema.ts';
import { commitsWait, switchReplica, switchSource } from './semi-sync.ts';

export interface Procedure {
  readonly name: string;
  readonly create: string;
}

/** In the order in which they are made: a procedure comes after those that it calls. */
export function procedures(target: SchemaTarget): readonly Procedure[] {
  const { dialect } = target;
  return [
    procedure('tell', 'IN p_outcome VARCHAR(20), IN p_detail VARCHAR(500) CHARACTER SET utf8', tell(target)),
    procedure('kill_clients', 'OUT p_killed VARCHAR(500) CHARACTER SET utf8', killClients(target)),
    procedure('switch_source', 'IN p_on TINYINT, OUT p_outcome VARCHAR(20)', switchSource(dialect)),
    comparing(target, { name: 'claim', parameters: 'IN p_unfenced TINYINT', body: CLAIM }),
    comparing(target, { name: 'close', parameters: 'IN p_kill TINYINT', raises: true, body: close(target) }),
    ...(dialect.sparesAcknowledgementWaiters
      ? [
          comparing(target, {
            name: 'close_held',
            parameters: 'IN p_kill TINYINT',
            raises: true,
            body: closeHeld(target),
          }),
          procedure('end_waits', 'IN p_closer BIGINT UNSIGNED', endWaits()),
        ]
      : []),
    comparing(target, { name: 'open', parameters: OPENING, body: onlyClaimed(open(OPENS)) }),
    comparing(target, { name: 'open_lossless', parameters: OPENING, body: onlyClaimed(open(OPENS_LOSSLESS)) }),
    comparing(target, {
      name: 'renew',
      parameters: 'IN p_base_ms BIGINT, IN p_lease_ms BIGINT',
      body: onlyClaimed(RENEW),
    }),
    ...(
      [
        ['start_sql', dialect.startSql],
        ['start_io', dialect.startIo],
        ['start_replication', dialect.startReplication],
      ] as const
    ).map(([name, statement]) =>
      comparing(target, {
        name,
        parameters: 'IN p_from_standstill TINYINT',
        raises: true,
        body: startThreads(statement),
      }),
    ),
    comparing(target, { name: 'stop_io', raises: true, body: `${dialect.stopIo};` }),
    comparing(target, { name: 'kill_sessions', raises: true, body: 'CALL mmm.kill_clients(v_detail);' }),
    comparing(target, {
      name: 'sync',
      parameters: 'IN p_generation BIGINT UNSIGNED, IN p_on TINYINT',
      body: onlyClaimed(SYNC),
    }),
    comparing(target, { name: 'source_off', raises: true, body: SOURCE_OFF }),
    comparing(target, {
      name: 'acknowledge',
      parameters: 'IN p_on TINYINT',
      raises: true,
      body: switchReplica(dialect),
    }),
  ];
}

const EPOCH = `IN p_number BIGINT UNSIGNED,
  IN p_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin,
  IN p_active VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin`;

const OPENING =
  'IN p_base_ms BIGINT, IN p_lease_ms BIGINT, IN p_endless TINYINT, IN p_boot BIGINT, IN p_drained TINYINT';

const LEASE_IS_OUT = 'v_endless = 0 AND COALESCE(v_expires <= v_now, 0)';
/** F4: counted from before the witness was asked, so that a call that runs late grants nothing. A clock that went back cannot make it longer. */
const GRANTED_UNTIL = 'LEAST(p_base_ms, v_now) + p_lease_ms';

interface Comparing {
  readonly name: string;
  readonly parameters?: string;
  /** Stores a higher epoch before it acts. */
  readonly raises?: boolean;
  readonly body: string;
}

function procedure(name: string, parameters: string, body: string): Procedure {
  return {
    name,
    create: `CREATE PROCEDURE mmm.${name}(${parameters}) SQL SECURITY DEFINER COMMENT '${stamp(SCHEMA_VERSION)}'\n${body}`,
  };
}

function comparing(target: SchemaTarget, { name, parameters, raises = false, body }: Comparing): Procedure {
  return procedure(
    name,
    parameters === undefined ? EPOCH : `${EPOCH}, ${parameters}`,
    `BEGIN
  DECLARE v_outcome VARCHAR(20) DEFAULT 'done';
  DECLARE v_detail VARCHAR(500) CHARACTER SET utf8 DEFAULT '';
  DECLARE v_log TINYINT DEFAULT @@session.sql_log_bin;
  DECLARE v_number, v_opened_number, v_generation BIGINT UNSIGNED;
  DECLARE v_id, v_opened_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin;
  DECLARE v_active VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin;
  DECLARE v_now, v_boot, v_opened_boot, v_expires, v_tick, v_until BIGINT;
  DECLARE v_endless, v_writable, v_ours, v_reading, v_io, v_working, v_rearm, v_waits INT DEFAULT 0;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    DO RELEASE_LOCK('mmm');
    SET SESSION sql_log_bin = v_log;
    RESIGNAL;
  END;
  -- Refused inside a transaction (1694), as SET GLOBAL read_only would be (1192): before anything is changed.
  SET SESSION sql_log_bin = 0;
  SET SESSION lock_wait_timeout = 1, SESSION innodb_lock_wait_timeout = 1;
  IF @@session.autocommit = 0 THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'mmm: the comparing calls need autocommit';
  END IF;
  IF COALESCE(GET_LOCK('mmm', 1), 0) <> 1 THEN
    SET v_outcome = 'busy';
  ELSE
    SELECT epoch_number, epoch_id, epoch_active, opened_number, opened_id, opened_boot, endless, expires_at_ms, tick_ms,
        generation
      INTO v_number, v_id, v_active, v_opened_number, v_opened_id, v_opened_boot, v_endless, v_expires, v_tick,
        v_generation
      FROM mmm.host WHERE id = 1 AND server_uuid = ${ownIdentity(target)};
    ${bootSelect(target, 'INTO v_boot')};
    SET v_writable = ${WRITABLE};
    SET v_now = ${NOW_MS};
    IF v_number IS NULL THEN
      SET v_outcome = 'not-installed';
    ELSEIF p_number < v_number OR (p_number = v_number AND NOT (p_id = v_id AND p_active = v_active)) THEN
      SET v_outcome = 'refused';
    ELSE
${
  raises
    ? `      IF p_number > v_number THEN
        UPDATE mmm.host SET epoch_number = p_number, epoch_id = p_id, epoch_active = p_active WHERE id = 1;
      END IF;\n`
    : ''
}${body}
    END IF;
    DO RELEASE_LOCK('mmm');
  END IF;
  IF v_rearm THEN
${REARM}
  END IF;
  SET SESSION sql_log_bin = v_log;
  CALL mmm.tell(v_outcome, v_detail);
END`,
  );
}

/** A grant is for an epoch that was claimed here: its number must stand in the row already. */
function onlyClaimed(body: string): string {
  return `IF p_number > v_number THEN
  SET v_outcome = 'unclaimed';
ELSE
${body}
END IF;`;
}

function tell(target: SchemaTarget): string {
  return `BEGIN
  DECLARE v_boot BIGINT;
  ${bootSelect(target, 'INTO v_boot')};
  SELECT p_outcome AS outcome, p_detail AS detail, ${toldColumns('v_boot')}
    FROM (SELECT 1 AS one) AS one
    LEFT JOIN mmm.host AS h ON h.id = 1 AND h.server_uuid = ${ownIdentity(target)};
END`;
}

// One statement: the flag must not be seen without the epoch that it came with.
// A host that nobody renews (the passive, or one whose lease is endless) has its EVENT set going here when its clock went back [F17].
const CLAIM = `UPDATE mmm.host SET epoch_number = p_number, epoch_id = p_id, epoch_active = p_active,
  unfenced = COALESCE(p_unfenced, unfenced) WHERE id = 1;
SET v_rearm = NOT ${tickIsFresh('v_tick', 'v_now')};`;

/**
 * A lease that is over keeps it closed: should somebody set read_only off by hand, the EVENT sets it on again. Where a KILL may tell others OK
 * [F1] nobody is killed before it is closed, or something was in the way of that: any session may begin to commit at this moment.
 */
function close({ dialect }: SchemaTarget): string {
  return `IF v_writable THEN
  -- Sets what is set already: who lacks the right is refused here, before clients are thrown out for nothing.
  SET GLOBAL read_only = @@global.read_only;
  ${dialect.sparesAcknowledgementWaiters ? `SET v_waits = ${commitsWait(dialect)};` : ''}
  IF p_kill AND NOT v_waits THEN
    ${KILL_CLIENTS}
  END IF;
  BEGIN
    DECLARE EXIT HANDLER FOR 1205 SET v_outcome = 'locked';
    SET GLOBAL read_only = 1;
  END;
  IF p_kill AND v_waits THEN
    ${KILL_CLIENTS}
  END IF;
END IF;
IF v_outcome = 'done' THEN
  UPDATE mmm.host SET endless = 0, expires_at_ms = LEAST(COALESCE(expires_at_ms, v_now), v_now)
    WHERE id = 1 AND (endless = 1 OR COALESCE(expires_at_ms > v_now, 1));
END IF;`;
}

/** Stays in the queue for read_only until `end_waits` makes way for it: what keeps new commits out must not end between two of its looks. */
function closeHeld(target: SchemaTarget): string {
  return `SET SESSION lock_wait_timeout = ${HELD_SEC};
${close(target)}`;
}

/** Longer than anybody waits: `end_waits` ends it, or the server does when its connection is gone. */
const HELD_SEC = 3_600;

/**
 * F18: ends the commits that keep \`close_held\` on the connection \`p_closer\` from setting read_only, and tells none of their clients OK. That other
 * one holds the calls' lock under its own epoch, and while it waits no session gets what it needs for a new commit. So a look sees all
 * who may commit, and who stands behind another one is killed first, which closes its connection: when the one that waits for all of them is killed,
 * the last, nobody is left to be told [F1]. That goes for administrators, too. Needs MariaDB's lock of that name.
 */
function endWaits(): string {
  const isHeld = `(${WRITABLE} AND IS_USED_LOCK('mmm') <=> p_closer AND EXISTS (SELECT 1 FROM information_schema.PROCESSLIST
      WHERE ID = p_closer AND STATE = 'Waiting for backup lock' AND INFO LIKE 'SET GLOBAL read_only = 1%'))`;
  return `BEGIN
  DECLARE v_killed, v_round, v_held, v_waits, v_begun, v_refused INT DEFAULT 0;
  DECLARE v_outcome VARCHAR(20);
  each_round: LOOP
    SET v_round = v_round + 1;
    SET v_held = ${isHeld};
    SET v_waits = EXISTS (SELECT 1 FROM information_schema.PROCESSLIST AS p WHERE ${LEADS});
    -- Something else is in the way, which is nobody's to end.
    IF v_held AND NOT v_begun AND NOT v_waits THEN
      LEAVE each_round;
    END IF;
    IF v_held AND v_waits THEN
      SET v_begun = 1;
      BEGIN
        DECLARE v_id BIGINT UNSIGNED;
        DECLARE v_leads, v_end INT DEFAULT 0;
        DECLARE others CURSOR FOR
          SELECT p.ID, ${LEADS} AS leads FROM information_schema.PROCESSLIST AS p
          WHERE p.ID NOT IN (CONNECTION_ID(), p_closer)
            AND p.USER NOT IN ('system user', 'event_scheduler', '', 'unauthenticated user')
            AND BINARY p.USER <> BINARY SUBSTRING_INDEX(USER(), '@', 1)
            AND p.COMMAND NOT LIKE 'Binlog Dump%' AND p.COMMAND NOT IN ('Daemon', 'Killed')
          ORDER BY leads;
        DECLARE CONTINUE HANDLER FOR NOT FOUND SET v_end = 1;
        DECLARE CONTINUE HANDLER FOR 1094 SET v_killed = v_killed - 1;
        DECLARE CONTINUE HANDLER FOR 1095 SET v_killed = v_killed - 1, v_refused = v_refused + 1;
        OPEN others;
        each_one: LOOP
          FETCH others INTO v_id, v_leads;
          IF v_end OR (v_leads AND (v_refused OR NOT ${isHeld})) THEN
            LEAVE each_one;
          END IF;
          KILL v_id;
          SET v_killed = v_killed + 1;
        END LOOP;
        CLOSE others;
      END;
      -- What its own applier commits cannot be killed, and may stand before the others. Nobody who could be told is left.
      IF v_round > 1 AND NOT v_refused AND ${isHeld} AND EXISTS (
        SELECT 1 FROM information_schema.PROCESSLIST AS p WHERE p.USER = 'system user' AND ${LEADS}
      ) THEN
        CALL mmm.switch_source(0, v_outcome);
      END IF;
    END IF;
    IF v_refused OR v_round >= ${WAITS_ROUNDS} THEN
      LEAVE each_round;
    END IF;
    DO SLEEP(0.05);
    IF (v_begun OR v_round > ${WAITS_BEGUN}) AND NOT (IS_USED_LOCK('mmm') <=> p_closer) THEN
      LEAVE each_round;
    END IF;
  END LOOP;
  IF IS_USED_LOCK('mmm') <=> p_closer THEN
    KILL QUERY p_closer;
  END IF;
  SELECT v_killed AS killed, v_refused AS refused;
END`;
}

const LEADS = "COALESCE(p.STATE, '') LIKE 'Waiting for semi-sync ACK%'";
/** So often it looks, each 50 ms, and so long the other connection may need before it begins. */
const WAITS_ROUNDS = 30;
const WAITS_BEGUN = 6;

// A server whose disk is full cannot list its sessions. It is closed all the same.
const KILL_CLIENTS = `BEGIN
      DECLARE EXIT HANDLER FOR SQLEXCEPTION
      BEGIN
        GET DIAGNOSTICS CONDITION 1 v_detail = MESSAGE_TEXT;
        SET v_detail = LEFT(CONCAT('could not end any session: ', v_detail), 500);
      END;
      CALL mmm.kill_clients(v_detail);
    END;`;

// After the calls' lock is released: on a full disk ALTER EVENT waits for room, for as long as that takes.
const REARM = `BEGIN
  DECLARE CONTINUE HANDLER FOR SQLEXCEPTION SET v_detail = 'the EVENT cannot be set going';
  ${REARM_EVENT};
END;`;

function open(opens: string): string {
  return `SET v_until = ${GRANTED_UNTIL};
SET v_ours = v_opened_number <=> p_number AND v_opened_id <=> p_id;
SELECT COALESCE(SUM(${IO_THREAD}), 0), COALESCE(SUM(${AT_THE_END}), 0),
    COALESCE(SUM(${WORKING_THREAD}), 0)
  INTO v_io, v_reading, v_working ${REPLICATION_THREADS};
IF p_boot <> v_boot THEN
  SET v_outcome = 'rebooted';
ELSEIF v_until <= v_now THEN
  SET v_outcome = 'late';
ELSEIF p_endless = 0 AND NOT ${tickIsFresh('v_tick', 'v_now')} THEN
  SET v_outcome = 'unarmed';
  SET v_rearm = 1;
ELSEIF v_writable AND ${LEASE_IS_OUT} THEN
  SET v_outcome = 'lease-out';
ELSEIF v_writable AND v_ours AND v_opened_boot <=> v_boot AND v_endless <> p_endless THEN
  SET v_outcome = 'other-lease';
ELSEIF NOT v_writable AND NOT v_ours AND v_io > 0 THEN
  SET v_outcome = 'io-runs';
ELSEIF NOT v_writable AND NOT v_ours AND p_drained AND (v_reading = 0 OR v_working > 0) THEN
  SET v_outcome = 'unapplied';
ELSE
${opens}
END IF;`;
}

// The row is written before read_only goes off: a host that is writable without a lease in its row would stay so for ever.
const OPENS = `UPDATE mmm.host SET opened_number = p_number, opened_id = p_id, opened_boot = v_boot,
    unfenced = IF(p_endless, unfenced, 0), endless = p_endless,
    expires_at_ms = CASE WHEN p_endless THEN NULL
      WHEN v_writable AND v_endless = 0 THEN LEAST(GREATEST(COALESCE(v_expires, 0), v_until), v_now + p_lease_ms)
      ELSE v_until END
  WHERE id = 1;
IF NOT v_writable THEN
  SET GLOBAL read_only = 0;
  -- A server that was frozen within this very call has let its grant run out.
  IF ${NOW_MS} >= v_until THEN
    SET GLOBAL read_only = 1;
    SET v_outcome = 'late';
  END IF;
END IF;`;

// F7: whether anybody acknowledges or not, no commit is told to have succeeded on this host alone. A host that is writable already keeps
// what the complete set's last change made of it. Should it stay closed, the source side stays on until it is drained again [F12].
const OPENS_LOSSLESS = `IF NOT v_writable THEN
  CALL mmm.switch_source(1, v_outcome);
END IF;
IF v_outcome = 'done' THEN
${OPENS}
END IF;`;

// Never more than a whole lease from now: after the clock went back the old end would be hours away [F17].
const RENEW = `IF NOT (v_opened_number <=> p_number AND v_opened_id <=> p_id AND v_opened_boot <=> v_boot) THEN
  SET v_outcome = 'not-open';
ELSEIF NOT v_writable THEN
  SET v_outcome = 'closed';
ELSEIF ${LEASE_IS_OUT} THEN
  SET v_outcome = 'lease-out';
ELSE
  UPDATE mmm.host SET expires_at_ms = LEAST(GREATEST(expires_at_ms, ${GRANTED_UNTIL}), v_now + p_lease_ms)
    WHERE id = 1 AND endless = 0;
  SET v_rearm = NOT ${tickIsFresh('v_tick', 'v_now')};
END IF;`;

// F7: the one who comes late, with an "off" of before somebody else's "on", must not undo that. A lease that has run out does not matter here:
// while commits wait the server cannot close itself, and this is what lets them go.
const SYNC = `IF NOT (v_opened_number <=> p_number AND v_opened_id <=> p_id AND v_opened_boot <=> v_boot) THEN
  SET v_outcome = 'not-open';
ELSEIF NOT v_writable THEN
  SET v_outcome = 'closed';
ELSEIF p_generation < v_generation THEN
  SET v_outcome = 'stale';
ELSE
  UPDATE mmm.host SET generation = p_generation WHERE id = 1 AND generation < p_generation;
  CALL mmm.switch_source(p_on, v_outcome);
END IF;`;

const SOURCE_OFF = `IF v_writable THEN
  SET v_outcome = 'open';
ELSE
  CALL mmm.switch_source(0, v_outcome);
END IF;`;

// F2: MariaDB with GTID throws what it received and did not apply away when it starts from a standstill.
function startThreads(statement: string): string {
  return `IF NOT p_from_standstill AND NOT EXISTS (SELECT 1 ${REPLICATION_THREADS}) THEN
  SET v_outcome = 'standstill';
ELSE
  ${statement};
END IF;`;
}

/**
 * F1: on MariaDB one session of a commit group waits for the acknowledgement of all. When it was killed, be it before its turn came, it does
 * not wait, and the others are told OK, among them some who came later. Commits, explicit and of themselves, XA, and DDL.
 */
const COMMITS = `(p.COMMAND <> 'Sleep'
        AND COALESCE(p.STATE, '') REGEXP '^($|Commit|Writing to binlog|Waiting for semi-sync ACK|Waiting for prior transaction)')`;

/** The connection, never only the query, which would leave a transaction open. Whom it spares is as in sessions.ts. */
function killClients({ dialect }: SchemaTarget): string {
  const privileges = dialect.adminPrivileges.map((privilege) => `'${privilege}'`).join(', ');
  const spares = dialect.sparesAcknowledgementWaiters;
  return `BEGIN
  DECLARE v_waits INT DEFAULT ${spares ? `${WRITABLE} AND ${commitsWait(dialect)}` : '0'};
  DECLARE v_id BIGINT UNSIGNED;
  DECLARE v_user VARCHAR(128) CHARACTER SET utf8;
  DECLARE v_users VARCHAR(400) CHARACTER SET utf8 DEFAULT '';
  DECLARE v_killed, v_refused, v_end INT DEFAULT 0;
  DECLARE clients CURSOR FOR
    SELECT p.ID, p.USER FROM information_schema.PROCESSLIST AS p
    WHERE p.ID <> CONNECTION_ID() AND p.USER NOT IN ('system user', 'event_scheduler', '')
      -- Somebody who logs in, an administrator perhaps; MySQL 5.6 shows no more of it.
      AND p.USER NOT IN ('unauthenticated user', 'unauthenticated ')
      AND p.COMMAND NOT LIKE 'Binlog Dump%' AND p.COMMAND NOT IN ('Daemon', 'Killed')
      ${spares ? `AND NOT (v_waits AND ${COMMITS})` : ''}
      AND BINARY p.USER NOT IN (
        -- No server escapes a quote in a name there.
        SELECT BINARY SUBSTRING(g.GRANTEE, 2,
          CHAR_LENGTH(g.GRANTEE) - CHAR_LENGTH(SUBSTRING_INDEX(g.GRANTEE, '''@''', -1)) - 4)
        FROM information_schema.USER_PRIVILEGES AS g WHERE g.PRIVILEGE_TYPE IN (${privileges}));
  DECLARE CONTINUE HANDLER FOR NOT FOUND SET v_end = 1;
  DECLARE CONTINUE HANDLER FOR 1094 SET v_killed = v_killed - 1;
  DECLARE CONTINUE HANDLER FOR 1095 SET v_killed = v_killed - 1, v_refused = v_refused + 1;
  OPEN clients;
  each_client: LOOP
    FETCH clients INTO v_id, v_user;
    IF v_end THEN
      LEAVE each_client;
    END IF;
    KILL v_id;
    SET v_killed = v_killed + 1;
    IF FIND_IN_SET(v_user, v_users) = 0 THEN
      SET v_users = LEFT(CONCAT_WS(',', NULLIF(v_users, ''), v_user), 400);
    END IF;
  END LOOP;
  CLOSE clients;
  SET p_killed = CONCAT_WS(', ',
    IF(v_killed = 0, NULL, CONCAT('killed ', v_killed, IF(v_killed = 1, ' session', ' sessions'), ' of ', REPLACE(v_users, ',', ', '))),
    IF(v_refused = 0, NULL, CONCAT('could not kill ', v_refused)));
END`;
}

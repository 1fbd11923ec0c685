import { describe, expect, test } from 'vitest';
import { dialectFor } from '../../src/mysql/dialect.ts';
import type { Row } from '../../src/mysql/row.ts';

/** Recorded from MariaDB 10.11.19; columns that nobody reads are left out. */
const MARIADB_ROW: Row = {
  Slave_IO_State: 'Waiting for master to send event',
  Master_Host: '127.0.0.1',
  Master_Port: '24102',
  Master_Log_File: 'mysql-bin.000001',
  Read_Master_Log_Pos: '1576',
  Relay_Log_File: 'p-relay-bin.000002',
  Relay_Log_Pos: '627',
  Relay_Master_Log_File: 'mysql-bin.000001',
  Slave_IO_Running: 'Yes',
  Slave_SQL_Running: 'No',
  Last_Errno: '1396',
  Exec_Master_Log_Pos: '328',
  Seconds_Behind_Master: null,
  Last_IO_Errno: '0',
  Last_IO_Error: '',
  Last_SQL_Errno: '1396',
  Last_SQL_Error:
    "Error 'Operation CREATE USER failed for 'mmm'@'127.0.0.1'' on query. Default database: ''. Query: 'create user mmm@'127.0.0.1' identified by 'p''",
  Master_Server_Id: '2',
  Using_Gtid: 'Slave_Pos',
  Gtid_IO_Pos: '2-2-8',
  Slave_SQL_Running_State: '',
  Connection_name: '',
  Slave_received_heartbeats: '17',
  Slave_heartbeat_period: '30.000',
};

/** Recorded from MySQL 5.6.24. */
const MYSQL56_ROW: Row = {
  Master_Host: '127.0.0.1',
  Master_Port: '24202',
  Master_Log_File: 'mysql-bin.000001',
  Read_Master_Log_Pos: '151',
  Relay_Master_Log_File: 'mysql-bin.000001',
  Slave_IO_Running: 'Connecting',
  Slave_SQL_Running: 'Yes',
  Exec_Master_Log_Pos: '151',
  Seconds_Behind_Master: '0',
  Last_IO_Errno: '0',
  Last_IO_Error: '',
  Last_SQL_Errno: '0',
  Last_SQL_Error: '',
  Master_Server_Id: '12',
  Slave_SQL_Running_State: 'Slave has read all relay log; waiting for the slave I/O thread to update it',
  Retrieved_Gtid_Set: 'c23192a7-e6f8-11f1-afa5-02fc00000001:1-3,\nd23192a7-e6f8-11f1-afa5-02fc00000001:1',
  Auto_Position: '1',
};

const ON: Row = { gtid_mode: 'ON', workers: '0' };

/** Not SHOW MASTER STATUS, which waits for commits that wait for an acknowledgement. */
const SNAPSHOT = expect.stringMatching(/BINLOG_SNAPSHOT_POSITION[\s\S]* FROM information_schema.SESSION_STATUS/);

describe('which server it is', () => {
  test.each([
    ['10.11.19-MariaDB-0+deb12u1-log', 'MariaDB 10.11', 'SHOW ALL SLAVES STATUS', SNAPSHOT, 'lock'],
    ['5.5.5-10.3.39-MariaDB', 'MariaDB 10.3', 'SHOW ALL SLAVES STATUS', SNAPSHOT, 'password-column'],
    ['11.8.6-MariaDB-log', 'MariaDB 11.8', 'SHOW ALL SLAVES STATUS', SNAPSHOT, 'lock'],
    ['5.6.24-log', 'MySQL 5.6', 'SHOW SLAVE STATUS', 'SHOW MASTER STATUS', 'password-column'],
    ['5.7.44-48-log', 'MySQL 5.7', 'SHOW SLAVE STATUS', 'SHOW MASTER STATUS', 'lock'],
    ['8.0.21', 'MySQL 8.0', 'SHOW SLAVE STATUS', 'SHOW MASTER STATUS', 'lock'],
    ['8.0.36-28', 'MySQL 8.0', 'SHOW REPLICA STATUS', 'SHOW MASTER STATUS', 'lock'],
    ['8.4.3', 'MySQL 8.4', 'SHOW REPLICA STATUS', 'SHOW BINARY LOG STATUS', 'lock'],
    ['9.7.4', 'MySQL 9.7', 'SHOW REPLICA STATUS', 'SHOW BINARY LOG STATUS', 'lock'],
  ])('%s', (banner, name, replicationStatement, binlogStatement, accountForm) => {
    expect(dialectFor(banner)).toMatchObject({ name, replicationStatement, binlogStatement, accountForm });
  });

  test('the words for the threads follow', () => {
    expect(dialectFor('10.11.19-MariaDB').stopIo).toBe('STOP SLAVE IO_THREAD');
    expect(dialectFor('9.7.4').stopIo).toBe('STOP REPLICA IO_THREAD');
  });

  test('a server that does not tell its version is taken for an old one, not for an error', () => {
    expect(dialectFor('').replicationStatement).toBe('SHOW SLAVE STATUS');
  });
});

describe('the replication row', () => {
  test('of MariaDB with a stopped SQL thread; the statement that failed is left out, it may hold a password', () => {
    expect(dialectFor('10.11.19-MariaDB').readReplication([MARIADB_ROW], { slave_pos: '2-2-5' })).toEqual({
      source: '127.0.0.1:24102',
      sourceServerId: 2,
      io: 'Yes',
      sql: 'No',
      ioError: { code: 0, text: '' },
      sqlError: {
        code: 1396,
        text: "Error 'Operation CREATE USER failed for 'mmm'@'127.0.0.1'' on query. Default database: ''.",
      },
      delaySec: null,
      received: { file: 'mysql-bin.000001', pos: 1576 },
      applied: { file: 'mysql-bin.000001', pos: 328 },
      receivedGtid: '2-2-8',
      appliedGtid: '2-2-5',
      readAll: false,
      heartbeats: { received: 17, periodMs: 30_000 },
      purgesOnStart: true,
    });
  });

  test('of MariaDB by file and position has no GTIDs and keeps its relay log at a start', () => {
    expect(dialectFor('10.11.19-MariaDB').readReplication([{ ...MARIADB_ROW, Using_Gtid: 'No' }], {})).toMatchObject({
      receivedGtid: null,
      appliedGtid: null,
      purgesOnStart: false,
    });
  });

  test('of MariaDB is that of the connection without a name, which START SLAVE means', () => {
    const { readReplication } = dialectFor('10.11.19-MariaDB');
    const reports: Row = { ...MARIADB_ROW, Connection_name: 'reports', Master_Port: '1' };
    expect(readReplication([reports, MARIADB_ROW], {})?.source).toBe('127.0.0.1:24102');
    expect(readReplication([reports], {})).toBeNull();
  });

  test('of MySQL counts heartbeats in the status variables, when they were asked for', () => {
    const { readReplication } = dialectFor('5.6.24-log');
    const asked = { ...ON, heartbeats: '4', heartbeat_sec: '0.500' };
    expect(readReplication([MYSQL56_ROW], asked)?.heartbeats).toEqual({ received: 4, periodMs: 500 });
    expect(readReplication([MYSQL56_ROW], ON)?.heartbeats).toBeNull();
    // Replication that was never set up counts nothing.
    expect(readReplication([MYSQL56_ROW], { ...asked, heartbeat_sec: null })?.heartbeats).toBeNull();
  });

  test('of MySQL 5.6', () => {
    expect(dialectFor('5.6.24-log').readReplication([MYSQL56_ROW], ON)).toMatchObject({
      source: '127.0.0.1:24202',
      sourceServerId: 12,
      io: 'Connecting',
      sql: 'Yes',
      delaySec: 0,
      receivedGtid: 'c23192a7-e6f8-11f1-afa5-02fc00000001:1-3,d23192a7-e6f8-11f1-afa5-02fc00000001:1',
      readAll: true,
      purgesOnStart: false,
    });
  });

  test('of MySQL without gtid_mode=ON has no GTIDs, whatever the sets say', () => {
    for (const mode of ['OFF', 'ON_PERMISSIVE']) {
      expect(dialectFor('5.6.24').readReplication([MYSQL56_ROW], { ...ON, gtid_mode: mode })?.receivedGtid).toBeNull();
    }
    expect(dialectFor('5.6.24').readGtid({ ...ON, gtid_mode: 'OFF', gtid_executed: '' })).toBeNull();
  });

  test('in the words of newer versions reads the same (names from the manual, not recorded)', () => {
    const renamed = Object.fromEntries(
      Object.entries(MYSQL56_ROW).map(([column, value]) => [
        column.replace('Master', 'Source').replace('Slave_', 'Replica_'),
        value?.replace(/^Slave has/, 'Replica has') ?? null,
      ]),
    );
    expect(dialectFor('9.7.4').readReplication([renamed], ON)).toEqual(
      dialectFor('5.6.24').readReplication([MYSQL56_ROW], ON),
    );
  });

  test('is none where replication was never set up, and the unnamed one among several channels', () => {
    expect(dialectFor('5.6.24').readReplication([], ON)).toBeNull();
    const channels = [
      { ...MYSQL56_ROW, Channel_Name: 'reports', Master_Port: '1' },
      { ...MYSQL56_ROW, Channel_Name: '' },
    ];
    expect(dialectFor('5.7.44').readReplication(channels, ON)?.source).toBe('127.0.0.1:24202');
  });
});

test('what a MariaDB host holds is its own log and what came by replication', () => {
  const { readGtid } = dialectFor('10.11.19-MariaDB');
  expect(readGtid({ binlog_state: '0-1-2,0-2-3', slave_pos: '0-2-5,7-7-1' })).toBe('0-1-2,0-2-5,7-7-1');
  expect(readGtid({ binlog_state: '', slave_pos: '' })).toBe('');
});

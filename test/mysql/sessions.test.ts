import { describe, expect, test } from 'vitest';
import { dialectFor } from '../../src/mysql/dialect.ts';
import type { Asker, Row } from '../../src/mysql/row.ts';
import { adminUsers, describeOthers, hostMatches, killSessions } from '../../src/mysql/sessions.ts';

const MARIADB = dialectFor('10.11.19-MariaDB');
const MYSQL = dialectFor('8.4.3');

function aSession(id: number, over: Row = {}): Row {
  return { id: `${id}`, user: 'app', host: '10.0.0.9:41234', command: 'Sleep', seconds: '3', state: '', ...over };
}

/** A server with these sessions; remembers what it was told to kill, and answers some kills with an error number. */
function aServer(sessions: readonly Row[], refusals: Readonly<Record<string, number>> = {}) {
  const killed: string[] = [];
  const asker: Asker = {
    ask: async (sql) => {
      const id = /^KILL (\d+)$/.exec(sql)?.[1];
      if (id === undefined) return sessions;
      const errno = refusals[id];
      if (errno !== undefined) throw Object.assign(new Error('you are not its owner'), { errno });
      killed.push(id);
      return [];
    },
  };
  return { asker, killed };
}

const anybody = () => true;

describe('who is thrown out', () => {
  test('clients are, whatever they do; the server’s own threads, replicas and those that are being killed are not', async () => {
    const { asker, killed } = aServer([
      aSession(1),
      aSession(2, { command: 'Query', state: 'updating' }),
      aSession(3, { user: 'system user', command: 'Slave_SQL' }),
      aSession(4, { user: 'event_scheduler', command: 'Daemon' }),
      aSession(5, { user: 'replica', command: 'Binlog Dump GTID' }),
      aSession(6, { user: 'unauthenticated user', command: 'Connect' }),
      aSession(7, { command: 'Killed' }),
      aSession(8, { user: 'unauthenticated ', command: 'Connect' }),
    ]);
    expect(await killSessions(asker, MARIADB, anybody)).toEqual({ users: ['app', 'app'], refused: null });
    expect(killed).toEqual(['1', '2']);
  });

  test('those that wait for a semi-sync acknowledgement are spared on MariaDB, where killing one tells others OK', async () => {
    const waiting = [
      aSession(1, { command: 'Query', state: 'Waiting for semi-sync ACK from slave' }),
      aSession(2, { command: 'Query', state: 'Commit' }),
    ];
    const mariadb = aServer(waiting);
    await killSessions(mariadb.asker, MARIADB, anybody);
    expect(mariadb.killed).toEqual(['2']);
    const mysql = aServer(waiting);
    await killSessions(mysql.asker, MYSQL, anybody);
    expect(mysql.killed).toEqual(['1', '2']);
  });

  test('only those that the caller wants', async () => {
    const { asker, killed } = aServer([aSession(1), aSession(2, { user: 'root' })]);
    await killSessions(asker, MYSQL, (session) => session.user !== 'root');
    expect(killed).toEqual(['1']);
  });
});

test('a session that left by itself is none, one that may not be killed is told', async () => {
  const { asker, killed } = aServer([aSession(1), aSession(2), aSession(3)], { 1: 1094, 2: 1095 });
  expect(await killSessions(asker, MYSQL, anybody)).toEqual({
    users: ['app'],
    refused: 'session 2 of app@10.0.0.9 cannot be killed: you are not its owner',
  });
  expect(killed).toEqual(['3']);
});

test('a broken connection while killing is not swallowed', async () => {
  const asker: Asker = {
    ask: (sql) =>
      sql.startsWith('KILL') ? Promise.reject(new Error('connection lost')) : Promise.resolve([aSession(1)]),
  };
  await expect(killSessions(asker, MYSQL, anybody)).rejects.toThrow('connection lost');
});

test('who may be in the way is told by the oldest sessions, without their statements', async () => {
  const { asker } = aServer([
    aSession(1, { seconds: '5', info: 'SELECT secret' }),
    aSession(2, { user: 'root', host: 'localhost', seconds: '900', state: 'Waiting for table' }),
    aSession(3, { user: 'system user', seconds: '99999' }),
  ]);
  expect(await describeOthers(asker)).toBe(
    'session 2 of root@localhost, 900 s Waiting for table; session 1 of app@10.0.0.9, 5 s Sleep',
  );
  expect(await describeOthers(aServer([]).asker)).toBe('no other session is left');
});

test('admins are known by name from the accounts that have the rights', async () => {
  const grantees = ["'root'@'localhost'", "'o'brien'@'%'", "'at@home'@'10.%'", "'role'"];
  const asker: Asker = { ask: async () => grantees.map((grantee) => ({ grantee })) };
  expect([...(await adminUsers(asker, MYSQL))]).toEqual(['root', "o'brien", 'at@home', 'role']);
});

test.each([
  ['%', '10.0.0.9', true],
  ['10.0.0.%', '10.0.0.9', true],
  ['10.0.0.%', '10.0.1.9', false],
  ['10.0.0._', '10.0.0.9', true],
  ['10.0.0._', '10.0.0.19', false],
  ['10.0.0.9', '10x0x0x9', false],
  ['LocalHost', 'localhost', true],
  ['10.0.0.0/255.255.255.0', '192.168.0.1', true],
  ['', '10.0.0.9', true],
])('an account at %j and a session from %j: %j', (account, session, matches) => {
  expect(hostMatches(account, session)).toBe(matches);
});

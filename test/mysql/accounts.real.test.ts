// Blocking and releasing accounts on MySQL 5.6, to the byte: a Perl agent must be able to release what this blocked, and the
// other way round.

import { createConnection } from 'mysql2/promise';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { parseHost } from '../../src/core/pair.ts';
import { changeAccounts } from '../../src/mysql/accounts.ts';
import { openServer } from '../../src/mysql/connection.ts';
import { dialectFor } from '../../src/mysql/dialect.ts';
import { Deadline, Link } from '../../src/mysql/link.ts';
import type { Row } from '../../src/mysql/row.ts';
import type { Server } from '../../src/mysql/server.ts';
import { ADMIN, APP, MMM } from '../../src/sandbox/accounts.ts';
import { aPair, type TestPair } from '../support/pair.ts';

/** As `SELECT PASSWORD('password')` gives it, and what the Perl agent's `reverse` makes of it. */
const HASH = '*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19';
const BACKWARDS = '91E1D9CE2ACDA50099BB8161DF24EED60C0C0742*';
const OLD_HASH = '6f8c114b58f2ce9e';
const STRANGE = 'somebody wrote this here by hand';

const PATTERNS = { user: /^app|^root$|^user_/, host: /^10\.12\.17\.%$|^127\.0\.0\./ };

/** Accounts beside the sandbox's own: their user, host, password column. */
const ACCOUNTS = [
  ['app_new', '10.12.17.%', HASH],
  ['app_old', '10.12.17.%', OLD_HASH],
  ['app_empty', '127.0.0.1', ''],
  ['app_strange', '10.12.17.%', STRANGE],
  ['app_elsewhere', '10.99.0.%', HASH],
  ['other', '10.12.17.%', HASH],
] as const;

let pair: TestPair;
let server: Server;

beforeAll(async () => {
  pair = await aPair({ kind: 'mysql56' });
  for (const [user, host] of ACCOUNTS) await pair.admin(pair.a, `CREATE USER '${user}'@'${host}'`);
  const host = parseHost(pair.a.host);
  if (host === undefined) throw new Error('no host');
  const access = { ...MMM, database: 'information_schema', charset: 'utf8', connectTimeoutMs: 2_000 };
  server = openServer({ host, access, excludeUsers: [], block: PATTERNS });
});
afterAll(async () => {
  await server.close();
  await pair.close();
});
beforeEach(async () => {
  await step('release');
  for (const [user, host, password] of ACCOUNTS) {
    await pair.admin(
      pair.a,
      `UPDATE mysql.user SET Password = '${password}' WHERE User = '${user}' AND Host = '${host}'`,
    );
  }
  await pair.admin(pair.a, 'FLUSH PRIVILEGES');
});

function step(what: 'block' | 'release') {
  return server.apply({ do: what, host: server.host });
}

async function passwords(): Promise<Record<string, unknown>> {
  const rows = await pair.admin(pair.a, 'SELECT User, Host, Password FROM mysql.user ORDER BY User, Host');
  return Object.fromEntries(rows.map((row) => [`${row['User']}@${row['Host']}`, row['Password']]));
}

async function counts() {
  const evidence = await server.probe();
  return evidence.kind === 'answered' ? evidence.facts.accounts : evidence;
}

async function logsIn(user: string, password: string): Promise<boolean> {
  return await createConnection({ host: '127.0.0.1', port: pair.a.port, user, password }).then(
    (connection) => {
      connection.destroy();
      return true;
    },
    () => false,
  );
}

async function binlog(): Promise<unknown> {
  return await pair.admin(pair.a, 'SHOW MASTER STATUS');
}

describe('block', () => {
  test('turns each form of password into the contract’s, and nothing else', async () => {
    const before = await passwords();
    const result = await step('block');
    expect(result.kind).toBe('done');
    expect(await passwords()).toEqual({
      ...before,
      'app_new@10.12.17.%': BACKWARDS,
      'app_old@10.12.17.%': `~~~~~~~~~~~~~~~~~~~~~~~~~${OLD_HASH}`,
      'app_empty@127.0.0.1': '?????????????????????????????????????????',
      [`${APP.user}@127.0.0.%`]: [...String(before[`${APP.user}@127.0.0.%`])].reverse().join(''),
    });
  });

  test('never takes mmm’s own account, an admin’s or a replica’s, and says so', async () => {
    expect(await step('block')).toEqual({
      kind: 'done',
      did: [
        'blocked 4 accounts, killed no session',
        'root@127.0.0.1 is left alone: it has SUPER',
        'user_mmm@127.0.0.1 is left alone: the account that mmm itself uses',
        'user_replica@127.0.0.1 is left alone: it has REPLICATION SLAVE',
      ].join(', '),
    });
    expect(await logsIn(ADMIN.user, ADMIN.password)).toBe(true);
  });

  test('keeps the application out, and ends the sessions that it has', async () => {
    const client = await pair.appClient(pair.a);
    const bystander = await createConnection({ host: '127.0.0.1', port: pair.a.port, ...ADMIN });
    expect(await logsIn(APP.user, APP.password)).toBe(true);
    expect(await logsIn('app_empty', '')).toBe(true);
    expect((await step('block')).kind).toBe('done');
    await expect(client.query('SELECT 1')).rejects.toThrow();
    expect((await bystander.query('SELECT 1'))[0]).toHaveLength(1);
    bystander.destroy();
    expect(await logsIn(APP.user, APP.password)).toBe(false);
    expect(await logsIn('app_empty', '')).toBe(false);
    await step('release');
    expect(await logsIn(APP.user, APP.password)).toBe(true);
    expect(await logsIn('app_empty', '')).toBe(true);
  });

  test('a second time changes nothing', async () => {
    await step('block');
    const blocked = await passwords();
    expect(await step('block')).toMatchObject({ did: expect.stringMatching(/^blocked 0 accounts/) });
    expect(await passwords()).toEqual(blocked);
  });
});

describe('release', () => {
  test('gives every password back as it was', async () => {
    const before = await passwords();
    await step('block');
    expect(await step('release')).toMatchObject({ did: expect.stringMatching(/^released 4 accounts/) });
    expect(await passwords()).toEqual(before);
    expect(await step('release')).toMatchObject({ did: expect.stringMatching(/^released 0 accounts/) });
  });

  test('undoes what a Perl agent blocked', async () => {
    await pair.admin(pair.a, `UPDATE mysql.user SET Password = '${BACKWARDS}' WHERE User = 'app_new'`);
    await step('release');
    expect((await passwords())['app_new@10.12.17.%']).toBe(HASH);
  });
});

test('a probe counts the matching accounts by state', async () => {
  expect(await counts()).toEqual({ open: 4, blocked: 0 });
  await step('block');
  expect(await counts()).toEqual({ open: 0, blocked: 4 });
});

test('nothing of it reaches the binary log, and the log is on again afterwards', async () => {
  const before = await binlog();
  await step('block');
  await step('release');
  expect(await binlog()).toEqual(before);
  const link = await Link.open(
    server.host,
    { ...MMM, database: '', charset: 'utf8', connectTimeoutMs: 1 },
    new Deadline(2_000),
  );
  const ask = (sql: string, values: readonly unknown[] = []) => link.query(sql, values, new Deadline(2_000));
  await changeAccounts({ ask }, dialectFor('5.6.24-log'), PATTERNS, 'blocked');
  expect(await ask('SELECT @@session.sql_log_bin AS logging')).toEqual([{ logging: '1' }]);
  link.destroy();
});

test('the log is put on again also when the change fails', async () => {
  const asked: string[] = [];
  const ask = async (sql: string): Promise<readonly Row[]> => {
    asked.push(sql);
    if (sql.startsWith('SELECT')) throw new Error('the server went mad');
    return [];
  };
  await expect(changeAccounts({ ask }, dialectFor('5.6.24-log'), PATTERNS, 'blocked')).rejects.toThrow('went mad');
  expect(asked.at(-1)).toBe('SET SESSION sql_log_bin = 1');
});

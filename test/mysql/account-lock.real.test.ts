// Blocking and releasing by ACCOUNT LOCK on MariaDB: whom it may keep out, whom it never touches, and that it lets nobody in whom
// an administrator had locked out.

import { createConnection } from 'mysql2/promise';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { parseHost } from '../../src/core/pair.ts';
import { openServer } from '../../src/mysql/connection.ts';
import type { Server } from '../../src/mysql/server.ts';
import { APP, MMM } from '../../src/sandbox/accounts.ts';
import { aPair, type TestPair } from '../support/pair.ts';

/** Nearly everybody: what is spared must be spared by itself. */
const PATTERNS = { user: /^(?!bystander)/, host: /^127\.0\.0\.|^%$|^$/ };
const PASSWORD = 'sandbox-secret';

const QUOTED = "o'brien";
const CURIOUS = '100%_"sure"\\';
/** Those that are blocked, beside the sandbox's own application. */
const APPS = [QUOTED, CURIOUS, 'plain'] as const;
const LOCKED_BY_DBA = 'on_leave';

let pair: TestPair;
let server: Server;

beforeAll(async () => {
  pair = await aPair({ kind: 'mariadb' });
  const users = [...APPS, LOCKED_BY_DBA, 'bystander', 'reader_admin', 'repl'];
  for (const user of users) {
    await root(`CREATE USER ${quoted(user)}@'127.0.0.%' IDENTIFIED BY '${PASSWORD}'`);
  }
  await root(`GRANT READ_ONLY ADMIN ON *.* TO 'reader_admin'@'127.0.0.%'`);
  await root(`GRANT REPLICATION SLAVE ON *.* TO 'repl'@'127.0.0.%'`);
  await root(`CREATE USER ''@'127.0.0.2'`);
  await root('CREATE ROLE writers');
  await root(`ALTER USER '${LOCKED_BY_DBA}'@'127.0.0.%' ACCOUNT LOCK`);
});
beforeEach(() => {
  server = aServer();
});
afterEach(async () => {
  await server.apply({ do: 'release', host: server.host });
  await server.close();
  await root('DROP DATABASE IF EXISTS mmm');
});
afterAll(async () => {
  await pair.close();
});

/** What an agent has after its start: it remembers nothing by itself. */
function aServer(patterns = PATTERNS, account = MMM): Server {
  const host = parseHost(pair.a.host);
  if (host === undefined) throw new Error('no host');
  const access = { ...account, database: '', charset: 'utf8', connectTimeoutMs: 2_000 };
  return openServer({ host, access, excludeUsers: [], block: patterns });
}

async function restartAgent(patterns = PATTERNS): Promise<void> {
  await server.close();
  server = aServer(patterns);
}

function quoted(name: string): string {
  return `'${name.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
}

async function root(sql: string) {
  return await pair.admin(pair.a, `${sql}`);
}

function step(what: 'block' | 'release') {
  return server.apply({ do: what, host: server.host });
}

/** 'in', or the number of the server's refusal. */
async function login(user: string, password = PASSWORD): Promise<unknown> {
  return await createConnection({ host: '127.0.0.1', port: pair.a.port, user, password }).then(
    (connection) => {
      connection.destroy();
      return 'in';
    },
    (error: { errno?: number }) => error.errno,
  );
}

async function privileges(): Promise<unknown> {
  return await root(`SELECT User, Host, JSON_REMOVE(Priv, '$.account_locked') AS priv,
    COALESCE(JSON_VALUE(Priv, '$.account_locked'), 0) AS locked FROM mysql.global_priv ORDER BY User, Host`);
}

async function remembered(): Promise<readonly unknown[]> {
  return (await root('SELECT user FROM mmm.locked_accounts ORDER BY user')).map((row) => row['user']);
}

async function counts() {
  const evidence = await server.probe();
  return evidence.kind === 'answered' ? evidence.facts.accounts : evidence;
}

describe('block', () => {
  test('keeps the application out, and release lets it in, whatever is in its name', async () => {
    expect(await counts()).toEqual({ open: 4, blocked: 0 });
    const before = await privileges();
    for (const user of APPS) expect(await login(user), user).toBe('in');
    await step('block');
    for (const user of APPS) expect(await login(user), user).toBe(4151);
    expect(await login(APP.user, APP.password)).toBe(4151);
    expect(await counts()).toEqual({ open: 0, blocked: 4 });
    expect(await step('release')).toMatchObject({ did: expect.stringMatching(/^released 4 accounts/) });
    for (const user of APPS) expect(await login(user), user).toBe('in');
    expect(await counts()).toEqual({ open: 4, blocked: 0 });
    expect(await privileges()).toEqual(before);
  });

  test('spares itself, administrators, replicas, roles and the anonymous, and says so', async () => {
    const result = await step('block');
    expect(result.kind === 'done' ? result.did.split(', ') : result).toEqual([
      'blocked 4 accounts',
      'killed no session',
      '@127.0.0.2 is left alone: it is anonymous',
      'reader_admin@127.0.0.% is left alone: it has READ_ONLY ADMIN',
      'repl@127.0.0.% is left alone: it has REPLICATION SLAVE',
      'root@127.0.0.1 is left alone: it has SUPER',
      `${MMM.user}@127.0.0.1 is left alone: the account that mmm itself uses`,
      'user_replica@127.0.0.1 is left alone: it has REPLICATION SLAVE',
      'writers@ is left alone: it is a role',
    ]);
    for (const user of ['reader_admin', 'repl', 'bystander']) expect(await login(user), user).toBe('in');
  });

  test('ends the sessions of those whom it keeps out, and nobody else’s', async () => {
    const client = await pair.appClient(pair.a);
    const bystander = await createConnection({
      host: '127.0.0.1',
      port: pair.a.port,
      user: 'bystander',
      password: PASSWORD,
    });
    expect(await step('block')).toMatchObject({ did: expect.stringContaining(`killed 1 session of ${APP.user}`) });
    await expect(client.query('SELECT 1')).rejects.toThrow();
    expect((await bystander.query('SELECT 1'))[0]).toHaveLength(1);
    bystander.destroy();
  });

  test('works on a host that is read only, again and again', async () => {
    await root('SET GLOBAL read_only = 1');
    await step('block');
    expect(await step('block')).toMatchObject({ did: expect.stringMatching(/^blocked 0 accounts/) });
    expect(await counts()).toEqual({ open: 0, blocked: 4 });
    await root('SET GLOBAL read_only = 0');
  });
});

describe('an account that an administrator had locked', () => {
  test('stays locked through block and release, also when the agent starts anew in between', async () => {
    await step('block');
    expect(await remembered()).not.toContain(LOCKED_BY_DBA);
    await restartAgent();
    await step('release');
    expect(await login(LOCKED_BY_DBA)).toBe(4151);
    expect(await login('plain')).toBe('in');
    expect(await remembered()).toEqual([]);
  });

  test('and had let in again is forgotten by the next release, so that a later lock is none of ours', async () => {
    await step('block');
    await root(`ALTER USER 'plain'@'127.0.0.%' ACCOUNT UNLOCK`);
    expect(await counts()).toEqual({ open: 1, blocked: 4 });
    await step('release');
    await root(`ALTER USER 'plain'@'127.0.0.%' ACCOUNT LOCK`);
    expect(await counts()).toEqual({ open: 3, blocked: 0 });
    await step('release');
    expect(await login('plain')).toBe(4151);
    await root(`ALTER USER 'plain'@'127.0.0.%' ACCOUNT UNLOCK`);
  });

  test('under the name of one that we had locked and that was dropped, is not ours', async () => {
    await root(`CREATE USER 'fleeting'@'127.0.0.%'`);
    await step('block');
    await root(`DROP USER 'fleeting'@'127.0.0.%'`);
    await step('block');
    await root(`CREATE USER 'fleeting'@'127.0.0.%' ACCOUNT LOCK`);
    await step('release');
    expect(await login('fleeting', '')).toBe(4151);
    await root(`DROP USER 'fleeting'@'127.0.0.%'`);
  });
});

describe('what we locked', () => {
  test('is released after a restart of the agent, also when the patterns are others by then', async () => {
    await step('block');
    await restartAgent({ user: /^nobody$/, host: /^nowhere$/ });
    expect(await counts()).toEqual({ open: 0, blocked: 4 });
    await step('release');
    for (const user of APPS) expect(await login(user), user).toBe('in');
  });

  test('survives a restart of the server', async () => {
    await step('block');
    await pair.a.kill();
    await pair.a.restart();
    expect(await login('plain')).toBe(4151);
    await step('release');
    expect(await login('plain')).toBe('in');
  });

  test('is put right by either step when an earlier one was cut off between the account and our table', async () => {
    // Remembered and not locked yet looks like released and not forgotten yet.
    const cut = `ALTER USER 'plain'@'127.0.0.%' ACCOUNT UNLOCK`;
    await step('block');
    await root(cut);
    await step('block');
    expect(await counts()).toEqual({ open: 0, blocked: 4 });
    await root(cut);
    await step('release');
    expect(await counts()).toEqual({ open: 4, blocked: 0 });
  });
});

test('nothing of it reaches the binary log or the other host, and nothing is made where nothing is blocked', async () => {
  const position = () => root('SHOW MASTER STATUS');
  const before = await position();
  await step('release');
  expect(await root(`SHOW DATABASES LIKE 'mmm'`)).toEqual([]);
  await step('block');
  await step('release');
  expect(await position()).toEqual(before);
  expect(await pair.admin(pair.b, `SHOW DATABASES LIKE 'mmm'`)).toEqual([]);
});

test('without the right to remember, nothing is locked: it could never be released', async () => {
  await root(`REVOKE CREATE ON mmm.* FROM '${MMM.user}'@'127.0.0.1'`);
  expect(await step('block')).toMatchObject({ code: expect.stringMatching(/^1044|1142$/) });
  await root(`GRANT CREATE ON mmm.* TO '${MMM.user}'@'127.0.0.1'`);
  expect(await counts()).toEqual({ open: 4, blocked: 0 });
});

test('the rights that the README asks for are enough, and none of those for blocking can be left out', async () => {
  const least = { user: 'bystander_agent', password: PASSWORD };
  const name = `'${least.user}'@'127.0.0.1'`;
  const everyone = 'PROCESS, SLAVE MONITOR, BINLOG MONITOR, READ_ONLY ADMIN, REPLICATION SLAVE ADMIN, CONNECTION ADMIN';
  const own = ['SELECT', 'CREATE', 'INSERT', 'DELETE'].map((right) => [right, 'mmm.*'] as const);
  const forBlocking = [['CREATE USER', '*.*'], ['BINLOG ADMIN', '*.*'], ...own] as const;
  await root(`CREATE USER ${name} IDENTIFIED BY '${PASSWORD}'`);
  await root(`GRANT ${everyone} ON *.* TO ${name}`);
  await root(`GRANT SELECT ON mysql.* TO ${name}`);
  for (const [right, what] of forBlocking) await root(`GRANT ${right} ON ${what} TO ${name}`);
  await root('SET GLOBAL read_only = 1');
  for (const [right, what] of forBlocking) {
    await root(`REVOKE ${right} ON ${what} FROM ${name}`);
    expect(await tryBoth(least), right).toContain('server-error');
    await root(`GRANT ${right} ON ${what} TO ${name}`);
    await step('release');
    await root('DROP DATABASE IF EXISTS mmm');
  }
  expect(await tryBoth(least)).toEqual(['done', 'done']);
  await root('SET GLOBAL read_only = 0');
  await root(`DROP USER ${name}`);
});

test('an agent without any of those rights sees the host all the same, and hears what is missing when it blocks', async () => {
  const least = { user: 'bystander_agent', password: PASSWORD };
  const name = `'${least.user}'@'127.0.0.1'`;
  await root(`CREATE USER ${name} IDENTIFIED BY '${PASSWORD}'`);
  await root(`GRANT PROCESS, SLAVE MONITOR, BINLOG MONITOR, READ_ONLY ADMIN ON *.* TO ${name}`);
  const agent = aServer(PATTERNS, least);
  const accounts = async () => {
    const evidence = await agent.probe();
    return evidence.kind === 'answered' ? evidence.facts.accounts : evidence;
  };
  expect(await accounts()).toEqual({ open: 1, blocked: 0 });
  await root(`GRANT SELECT ON mysql.* TO ${name}`);
  expect(await accounts()).toEqual({ open: 1, blocked: 0 });
  expect(await agent.apply({ do: 'block', host: agent.host })).toMatchObject({ code: '1227' });
  await root(`GRANT BINLOG ADMIN ON *.* TO ${name}`);
  expect(await agent.apply({ do: 'block', host: agent.host })).toMatchObject({ code: '1142' });
  await agent.close();
  await root(`DROP USER ${name}`);
});

/** Block and release by an agent of its own. */
async function tryBoth(account: { user: string; password: string }): Promise<readonly string[]> {
  const agent = aServer(PATTERNS, account);
  const outcomes = [];
  for (const what of ['block', 'release'] as const) {
    const { kind } = await agent.apply({ do: what, host: agent.host });
    outcomes.push(kind === 'auth-refused' ? 'server-error' : kind);
  }
  await agent.close();
  return outcomes;
}

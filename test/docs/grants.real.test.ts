// The README's GRANT statements on real servers: an account with these rights, and no more, can do all that its daemon does.

import { setTimeout as sleep } from 'node:timers/promises';
import { type Connection, createConnection } from 'mysql2/promise';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BlockPatterns, MysqlAccess } from '../../src/core/config.ts';
import type { Step } from '../../src/core/step.ts';
import { openServer } from '../../src/mysql/connection.ts';
import { ADMIN, APP, APP_DATABASE } from '../../src/sandbox/accounts.ts';
import { aRig, type Rig } from '../support/rig.ts';
import { blocksOf, readDocument } from './markdown.ts';

const statements = blocksOf(readDocument('README.md'))
  .filter(({ language }) => language === 'sql')
  .map(({ text }) => text);

let rig: Rig;
const opened: { close(): Promise<unknown> }[] = [];

describe.each([
  { kind: 'mariadb', head: '-- MariaDB', block: { user: /^app$/, host: /^127\.0\.0\.%$/ } },
  { kind: 'mysql56', head: '-- MySQL 5.6', block: { user: /^app$/, host: /^127\.0\.0\.%$/ } },
] as const)('on $kind', ({ kind, head, block }) => {
  beforeEach(async () => {
    rig = await aRig({ kind, roles: [] });
    const text = statements.find((block) => block.startsWith(head)) ?? '';
    const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('--'));
    expect(lines.length).toBeGreaterThan(4);
    // On one host only, as the README says: replication carries them over.
    for (const line of lines) await rig.admin(rig.a, line);
    for (let tries = 0; tries < 100 && !(await knows('mmm_agent')); tries++) await sleep(20);
    await rig.admin(rig.b, 'SET GLOBAL read_only = 0');
  });

  afterEach(async () => {
    for (const one of opened.splice(0).reverse()) await one.close();
    await rig.close();
  });

  it('the monitor sees everything that it looks for', async () => {
    await session(APP);
    const { evidence } = await monitor();
    if (evidence.kind !== 'answered') throw new Error(evidence.message);
    const { connections, replication, binlog, gtid } = evidence.facts;
    expect(connections).toBe(1);
    expect(replication).toMatchObject({ io: 'Yes', sql: 'Yes' });
    expect(binlog).not.toBeNull();
    expect(gtid).not.toBeNull();
  });

  it('the agent can do every step, and spares administrators and the monitor when it closes a host', async () => {
    const app = await session(APP);
    const root = await session(ADMIN);
    const { server: watching } = await monitor();
    const agent = serverFor('mmm_agent', block);
    const host = agent.host;
    const inTime = () => Date.now() / 1000 + 5;
    const close: readonly Step[] = [
      { do: 'block', host },
      { do: 'close', host },
    ];
    for (const step of close) expect(await agent.apply(step), step.do).toMatchObject({ kind: 'done' });
    expect(await lives(app)).toBe(false);
    expect(await lives(root)).toBe(true);
    expect(watching.connectionBroke).toBe(false);
    for (const what of ['stop-io', 'start-sql', 'await-applied', 'start-io'] as const) {
      expect(await agent.apply({ do: what, host }), what).toMatchObject({ kind: 'done' });
    }
    await rig.admin(rig.b, 'STOP SLAVE');
    expect(await agent.apply({ do: 'start-replication', host })).toMatchObject({ kind: 'done' });
    expect(await agent.apply({ do: 'open', host, deadlineServerTime: inTime() })).toMatchObject({ kind: 'done' });
    expect(await agent.apply({ do: 'release', host })).toMatchObject({ kind: 'done' });
    expect(await lives(await session(APP))).toBe(true);
  });
});

function serverFor(user: string, block: BlockPatterns | null) {
  const access: MysqlAccess = {
    user,
    password: 'xxxxxxxx',
    database: 'information_schema',
    charset: 'utf8',
    connectTimeoutMs: 2_000,
  };
  const [address, port] = [rig.b.host.split(':')[0] ?? '', rig.b.port];
  const server = openServer({ host: `${address}:${port}`, access, block, excludeUsers: [] });
  opened.push(server);
  return server;
}

async function monitor() {
  const server = serverFor('mmm_monitor', null);
  return { server, evidence: await server.probe() };
}

async function session({ user, password }: typeof APP): Promise<Connection> {
  const connection = await createConnection({
    host: '127.0.0.1',
    port: rig.b.port,
    user,
    password,
    database: APP_DATABASE,
  });
  // Being killed is what it is for.
  connection.on('error', () => undefined);
  opened.push({ close: async () => connection.destroy() });
  return connection;
}

async function lives(connection: Connection): Promise<boolean> {
  try {
    await connection.query('SELECT 1');
    return true;
  } catch {
    return false;
  }
}

async function knows(user: string): Promise<boolean> {
  const rows = await rig.admin(rig.b, `SELECT 1 FROM mysql.user WHERE User = '${user}'`);
  const [granted] = await rig.admin(
    rig.b,
    `SELECT COUNT(*) AS n FROM information_schema.SCHEMA_PRIVILEGES WHERE GRANTEE LIKE '%${user}%'`,
  );
  return rows.length === 1 && Number(granted?.['n']) > 0;
}

// The README's GRANT statements on real servers: an account with these rights, and no more, can do all that its daemon does.

import { setTimeout as sleep } from 'node:timers/promises';
import { type Connection, createConnection } from 'mysql2/promise';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Call } from '../../src/core/call.ts';
import type { BlockPatterns, MysqlAccess } from '../../src/core/config.ts';
import type { Host } from '../../src/core/pair.ts';
import type { PlainStep } from '../../src/core/step.ts';
import { openServer } from '../../src/mysql/connection.ts';
import { openFence } from '../../src/mysql/fence-connection.ts';
import { SCHEMA_GRANTS } from '../../src/mysql/schema.ts';
import { ADMIN, APP, APP_DATABASE, accountStatements } from '../../src/sandbox/accounts.ts';
import { armed, done, epoch, opening } from '../support/fence.ts';
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
    // The last statement is the monitor's.
    for (let tries = 0; tries < 100 && !(await knows('mmm_monitor')); tries++) await sleep(20);
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

  it('the agent can make its schema and every comparing call, and the monitor reads the row', async () => {
    const app = await session(APP);
    const root = await session(ADMIN);
    const { server: watching } = await monitor();
    const fence = fenceOf('mmm_agent');
    await armed(fence);
    const claimed = await done(fence.call({ do: 'claim', epoch: epoch(1), unfenced: true }));
    const calls: readonly Call[] = [
      { do: 'kill', epoch: epoch(1) },
      { do: 'close', epoch: epoch(1), killClients: true, withinMs: 3_000 },
      { do: 'stop-io', epoch: epoch(1) },
      opening(claimed, epoch(1), { leaseMs: 60_000 }),
      { do: 'renew', epoch: epoch(1), baseMs: claimed.nowMs, leaseMs: 60_000 },
      { do: 'start-io', epoch: epoch(1), fromStandstill: false },
      { do: 'start-sql', epoch: epoch(1), fromStandstill: false },
      { do: 'start-replication', epoch: epoch(1), fromStandstill: false },
    ];
    for (const call of calls) expect(await fence.call(call), call.do).toMatchObject({ kind: 'done' });
    const none = { kind: 'not-done', why: 'no-semi-sync' };
    const sync: Call = { do: 'sync', epoch: epoch(1), generation: 1, on: true };
    const acknowledge: Call = { do: 'acknowledge', epoch: epoch(1), on: true };
    for (const call of [sync, acknowledge])
      expect(await fence.call(call), call.do).toMatchObject(kind === 'mariadb' ? { kind: 'done' } : none);
    expect(await lives(app)).toBe(false);
    expect(await lives(root)).toBe(true);
    const { evidence } = await monitor();
    expect(evidence).toMatchObject({ facts: { row: { epoch: epoch(1), opened: { number: 1 }, readOnly: false } } });
    expect(watching.connectionBroke).toBe(false);
  });

  it('the account that the sandbox gives the daemons has what the README gives them for the schema', () => {
    const lines = statements.filter((block) => block.startsWith(head)).join('\n');
    expect(lines).toContain(`GRANT ${SCHEMA_GRANTS} ON mmm.* TO 'mmm_agent'@'%';`);
    expect(accountStatements(kind).join('\n')).toContain(`GRANT ${SCHEMA_GRANTS}, DELETE ON mmm.* TO`);
  });

  it('the agent can do every step, and spares administrators and the monitor when it closes a host', async () => {
    const app = await session(APP);
    const root = await session(ADMIN);
    const { server: watching } = await monitor();
    const agent = serverFor('mmm_agent', block);
    const host = agent.host;
    const inTime = () => Date.now() / 1000 + 5;
    const close: readonly PlainStep[] = [
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
    expect(await agent.apply({ do: 'open', host, drained: false, deadlineServerTime: inTime() })).toMatchObject({
      kind: 'done',
    });
    expect(await agent.apply({ do: 'release', host })).toMatchObject({ kind: 'done' });
    expect(await lives(await session(APP))).toBe(true);
  });
});

function accessOf(user: string): { host: Host; access: MysqlAccess } {
  const access = {
    user,
    password: 'xxxxxxxx',
    database: 'information_schema',
    charset: 'utf8',
    connectTimeoutMs: 2_000,
  };
  const [address, port] = [rig.b.host.split(':')[0] ?? '', rig.b.port];
  return { host: `${address}:${port}`, access };
}

function serverFor(user: string, block: BlockPatterns | null) {
  const server = openServer({ ...accessOf(user), block, excludeUsers: [] });
  opened.push(server);
  return server;
}

function fenceOf(user: string) {
  const fence = openFence(accessOf(user));
  opened.push(fence);
  return fence;
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

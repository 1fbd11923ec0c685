// Writes that stay behind on a real active when it dies: counted before they flow on, shown, merged or told as a conflict, never
// skipped and never lost.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { createConnection } from 'mysql2/promise';
import { afterEach, describe, expect, it } from 'vitest';
import { ADMIN, APP, APP_DATABASE } from '../../src/sandbox/accounts.ts';
import type { DaemonLine } from '../../src/sandbox/daemons.ts';
import type { Mysqld } from '../../src/sandbox/mysqld.ts';
import { aRig, type Rig } from '../support/rig.ts';
import { until } from '../support/until.ts';

const run = promisify(execFile);
let rig: Rig;
afterEach(async () => {
  await rig.close();
});

/** One transaction for each row, as an application without admin rights; returns when all are acknowledged. */
async function write(server: Mysqld, ids: readonly number[]): Promise<void> {
  const connection = await createConnection({
    host: '127.0.0.1',
    port: server.port,
    ...APP,
    database: APP_DATABASE,
  });
  connection.on('error', () => undefined);
  for (const id of ids) await connection.query('INSERT INTO writes (id) VALUES (?)', [id]);
  connection.destroy();
}

async function idsOn(server: Mysqld): Promise<readonly number[]> {
  return (await rig.admin(server, `SELECT id FROM ${APP_DATABASE}.writes ORDER BY id`)).map((row) => Number(row['id']));
}

function numbers(from: number, count: number): number[] {
  return Array.from({ length: count }, (_, at) => from + at);
}

async function status(...args: readonly string[]): Promise<string> {
  const [command = '', ...rest] = rig.cli(['status', '--conf', rig.files.manager, ...args]);
  return (await run(command, rest)).stdout;
}

async function agentSaid(event: string) {
  return (await rig.lines('agent')).filter((line) => line['event'] === event);
}

async function threads(server: Mysqld) {
  const [row] = await rig.admin(server, 'SHOW SLAVE STATUS');
  return { io: row?.['Slave_IO_Running'], sql: row?.['Slave_SQL_Running'], error: Number(row?.['Last_SQL_Errno']) };
}

/** As the runbook says: out of the log, so that the other host does not lose its version. */
async function repair(server: Mysqld, id: number): Promise<void> {
  const connection = await createConnection({ host: '127.0.0.1', port: server.port, ...ADMIN });
  await connection.query('SET SESSION sql_log_bin = 0');
  await connection.query(`DELETE FROM ${APP_DATABASE}.writes WHERE id = ?`, [id]);
  await connection.query('START SLAVE SQL_THREAD');
  connection.destroy();
}

/** A was the active, holds `left` that B never got, and is dead; B is the active and nobody gives the role back. */
async function leaveBehind(left: readonly number[], kind: 'mariadb' | 'mysql56'): Promise<void> {
  rig = await aRig({ kind });
  await rig.writable(rig.a);
  await rig.replicating();
  await write(rig.a, numbers(1, 20));
  await until('the first rows are on both', async () => (await idsOn(rig.b)).length === 20);
  await rig.admin(rig.b, 'STOP SLAVE IO_THREAD');
  await write(rig.a, left);
  await rig.a.kill();
  await rig.writable(rig.b);
  await rig.daemon('identify').stop();
}

describe.each(['mariadb', 'mysql56'] as const)('a pair of %s', (kind) => {
  it('counts exactly the rows that are missing, shows them until they are merged, and loses none', async () => {
    const left = numbers(1_001, 37);
    await leaveBehind(left, kind);
    await write(rig.b, numbers(5_001, 10));
    const missing = left.length + 20 - (await idsOn(rig.b)).filter((id) => id < 5_000).length;
    expect(missing).toBe(37);
    // Keeps the new active from applying, so that there is time to look.
    const lock = await createConnection({ host: '127.0.0.1', port: rig.b.port, ...ADMIN });
    await lock.query(`LOCK TABLES ${APP_DATABASE}.writes READ`);
    await rig.a.restart();
    await until('the divergence is told', async () => (await agentSaid('divergence')).length > 0);
    const [told] = await agentSaid('divergence');
    expect(told).toMatchObject({ level: 'warn', count: missing, host: rig.a.host });
    const isHealing = (line: DaemonLine) => line['event'] === 'healed' && line['host'] === rig.b.host;
    await until('replication runs again', async () => (await rig.lines('agent')).some(isHealing));
    const lines = await rig.lines('agent');
    expect(lines.findIndex(({ event }) => event === 'divergence')).toBeLessThan(lines.findIndex(isHealing));
    expect(await status()).toContain(
      `  divergence: ${rig.a.host} holds 37 transactions that the active never saw since decision `,
    );
    const [pair] = JSON.parse(await status('--json'));
    expect(pair.divergence).toMatchObject({ host: rig.a.host, count: 37, cut: false });
    lock.destroy();
    await until('it is merged', async () => !(await status()).includes('divergence'));
    const all = [...numbers(1, 20), ...left, ...numbers(5_001, 10)];
    expect(await idsOn(rig.b)).toEqual(all);
    await until('the old active follows', async () => (await idsOn(rig.a)).length === all.length);
    expect(await agentSaid('divergence')).toHaveLength(1);
    expect(await agentSaid('merged')).toHaveLength(1);
    expect(await agentSaid('conflict')).toEqual([]);
  });

  it('reports a conflict on both hosts once, and skips nothing', async () => {
    await leaveBehind([1_001, 1_002, 1_003], kind);
    await write(rig.b, [1_002]);
    await rig.a.restart();
    for (const { host, port } of [rig.a, rig.b]) {
      await until(`the conflict on ${host} is told`, async () =>
        (await agentSaid('conflict')).some((line) => line['host'] === host),
      );
      const line = (await agentSaid('conflict')).find((one) => one['host'] === host);
      expect(line).toMatchObject({ level: 'error' });
      expect(line?.message).toMatch(new RegExp(`:${port} stopped with error 1062 .*never skips a transaction`));
    }
    await until('status shows the trouble', async () => (await status()).split('replcheck: Error').length === 3);
    // Some rounds later nothing was skipped or told again.
    const beforeMs = performance.now();
    await until('three seconds are over', () => performance.now() - beforeMs > 3_000);
    expect(await agentSaid('conflict')).toHaveLength(2);
    expect(await threads(rig.a)).toMatchObject({ sql: 'No', error: 1062 });
    expect(await threads(rig.b)).toMatchObject({ sql: 'No', error: 1062 });
    expect(await idsOn(rig.a)).toEqual([...numbers(1, 20), 1_001, 1_002, 1_003]);
    expect(await idsOn(rig.b)).toEqual([...numbers(1, 20), 1_001, 1_002]);
    expect(await status()).toContain(`divergence: ${rig.a.host} holds 3 transactions`);
    // The operator takes one of the two versions away on each host, and then everything comes over.
    for (const server of [rig.b, rig.a]) await repair(server, 1_002);
    await until('it is merged', async () => !(await status()).includes('divergence'));
    await rig.replicating();
    await until('both hold everything', async () =>
      (await Promise.all([rig.a, rig.b].map(idsOn))).every((ids) => ids.length === 23),
    );
  });
});

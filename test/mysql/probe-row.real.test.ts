// The server's own row as a probe tells it: when it is looked for, whose row counts, and what a missing one does to the probe.

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Evidence, Facts } from '../../src/core/observation.ts';
import { openServer } from '../../src/mysql/connection.ts';
import type { Fence } from '../../src/mysql/fence.ts';
import type { Server } from '../../src/mysql/server.ts';
import { type Account, MMM } from '../../src/sandbox/accounts.ts';
import { aFencedServer, armed, done, epoch, type FencedServer, hostOf, opened, rowOf } from '../support/fence.ts';

/** What the README gives a monitor, and SELECT on the schema or not. */
const WATCHER: Account = { user: 'watcher', password: 'watcher' };
const STRANGER: Account = { user: 'stranger', password: 'stranger' };

function factsOf(evidence: Evidence): Facts {
  if (evidence.kind !== 'answered') throw new Error(`no facts: ${JSON.stringify(evidence)}`);
  return evidence.facts;
}

describe.each(['mariadb', 'mysql56'] as const)('%s', (kind) => {
  let server: FencedServer;
  let fence: Fence;
  const servers: Server[] = [];

  beforeAll(async () => {
    server = await aFencedServer(kind);
    fence = server.fence();
    const rights = kind === 'mariadb' ? 'PROCESS, SLAVE MONITOR, BINLOG MONITOR' : 'PROCESS, REPLICATION CLIENT';
    for (const { user, password } of [WATCHER, STRANGER]) {
      await server.admin(`CREATE USER '${user}'@'127.0.0.1' IDENTIFIED BY '${password}'`);
      await server.admin(`GRANT ${rights} ON *.* TO '${user}'@'127.0.0.1'`);
    }
    await server.admin(`GRANT SELECT ON mmm.* TO '${WATCHER.user}'@'127.0.0.1'`);
  });
  afterEach(async () => {
    for (const one of servers.splice(0)) await one.close();
  });
  afterAll(() => server.close());

  function aServer(account: Account = MMM): Server {
    const access = { ...account, database: 'information_schema', charset: 'utf8', connectTimeoutMs: 2_000 };
    const one = openServer({ host: hostOf(server.mysqld), access, excludeUsers: [], block: null });
    servers.push(one);
    return one;
  }

  test('without a schema there is none, asked for or not', async () => {
    for (const row of [false, true]) expect(factsOf(await aServer().probe({ row })).row).toBeNull();
  });

  test('one that came later is seen when it is asked for, and by a connection that is opened later', async () => {
    const before = aServer();
    await before.probe();
    await armed(fence);
    expect(factsOf(await before.probe()).row).toBeNull();
    expect(factsOf(await before.probe({ row: true })).row).toMatchObject({ epoch: null, readOnly: true });
    expect(factsOf(await aServer().probe()).row).toMatchObject({ epoch: null, readOnly: true });
  });

  test('an account that may only SELECT reads what a comparing call tells', async () => {
    await opened(fence, epoch(7), { leaseMs: 60_000 });
    await done(fence.call({ do: 'claim', epoch: epoch(7), unfenced: true }));
    const watching = aServer(WATCHER);
    const { row, boot, serverTime } = factsOf(await watching.probe());
    const { nowMs: _now, tickMs: _tick, ...told } = await rowOf(fence);
    expect(row).toMatchObject(told);
    expect(told).toMatchObject({ epoch: epoch(7), opened: { number: 7 }, unfenced: true, readOnly: false });
    expect(row?.startedSec).toBe(boot.startedSec);
    expect(Math.abs((row?.nowMs ?? 0) / 1000 - serverTime)).toBeLessThan(1);
    await done(fence.call({ do: 'close', epoch: epoch(8), killClients: true, withinMs: 3_000 }));
    expect(factsOf(await watching.probe()).row).toMatchObject({ epoch: epoch(8), readOnly: true });
  });

  test('an account without a right to it sees a host without a row, not one that cannot be read', async () => {
    for (const row of [false, true]) expect(factsOf(await aServer(STRANGER).probe({ row })).row).toBeNull();
  });

  test('the row of another server, come with a copy of its data, is none', async () => {
    await server.admin("UPDATE mmm.host SET server_uuid = CONCAT('not ', server_uuid)");
    expect(factsOf(await aServer().probe({ row: true })).row).toBeNull();
    await server.admin('UPDATE mmm.host SET server_uuid = SUBSTRING(server_uuid, 5)');
    expect(factsOf(await aServer().probe()).row).toMatchObject({ epoch: epoch(8) });
  });

  test('a row that makes no sense is told, as an answer of a server that is alive, on the same connection', async () => {
    const one = aServer();
    await one.probe();
    await server.admin("UPDATE mmm.host SET epoch_active = 'nobody'");
    for (let look = 0; look < 3; look++) {
      expect(await one.probe()).toMatchObject({ kind: 'server-error', code: 'BAD_ANSWER' });
    }
    const [row] = await server.admin(
      `SELECT COUNT(*) AS count FROM information_schema.PROCESSLIST WHERE USER = '${MMM.user}'`,
    );
    // The probe's and the fence's.
    expect(row).toMatchObject({ count: 2 });
    expect(await fence.look()).toMatchObject({ kind: 'server-error' });
    await server.admin("UPDATE mmm.host SET epoch_active = '127.0.0.1:3306'");
    expect(factsOf(await one.probe()).row).toMatchObject({ epoch: epoch(8) });
  });

  test('a schema that goes away under the connection is none any more', async () => {
    const one = aServer();
    expect(factsOf(await one.probe()).row).not.toBeNull();
    await server.admin('DROP DATABASE mmm');
    expect(factsOf(await one.probe()).row).toBeNull();
  });
});

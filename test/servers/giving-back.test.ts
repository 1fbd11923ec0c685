// Changes that cannot come to their end, on real servers: each must end with a writer that holds all that the reachable hosts hold.

import { type Connection, createConnection } from 'mysql2/promise';
import { afterEach, describe, expect, it } from 'vitest';
import { ADMIN } from '../../src/sandbox/accounts.ts';
import type { Mysqld } from '../../src/sandbox/mysqld.ts';
import { aRig, type Rig } from '../support/rig.ts';
import { until } from '../support/until.ts';

let rig: Rig;
const administrators: Connection[] = [];
afterEach(async () => {
  for (const administrator of administrators.splice(0)) administrator.destroy();
  await rig.close();
});

async function administrator(server: Mysqld): Promise<Connection> {
  const connection = await createConnection({ host: '127.0.0.1', port: server.port, ...ADMIN });
  connection.on('error', () => undefined);
  administrators.push(connection);
  return connection;
}

/** The secondary is the active; the primary, which the rules prefer, is dead. */
async function activeSecondary(): Promise<void> {
  rig = await aRig({ pair: { min_failover_interval: '0' } });
  await rig.writable(rig.a);
  await rig.replicating();
  await rig.a.kill();
  await rig.writable(rig.b);
}

const givenBack = async () =>
  (await rig.lines('identify')).some(({ message }) => message.includes(`; back to ${rig.b.host}`));

describe('a change of roles', () => {
  it('goes back when a lock of an administrator keeps the old active from being closed', async () => {
    await activeSecondary();
    const admin = await administrator(rig.b);
    await admin.query('CREATE TABLE app.locked (id INT)');
    await admin.query('LOCK TABLES app.locked WRITE');
    await rig.a.restart();
    await until('the role is given back', givenBack, 40_000);
    const { register } = rig.client([rig.b.host]);
    await until('clients write there again', () => register.size > 10);
    expect(rig.watch.bothWritableMs).toBe(0);
  });

  it('goes back to the old active, when that is here again, from a primary whose replication is broken', async () => {
    await activeSecondary();
    // Keeps the role where it is until the primary's replication is broken.
    rig.client([rig.b.host]);
    await rig.a.restart();
    await rig.replicating();
    const admin = await administrator(rig.a);
    await admin.query('SET sql_log_bin=0');
    await admin.query('INSERT INTO app.writes (id) VALUES (1000001)');
    await rig.admin(rig.b, 'INSERT INTO app.writes (id) VALUES (1000001)');
    await until('the SQL thread of the primary has stopped', async () => {
      const [status] = await rig.admin(rig.a, 'SHOW SLAVE STATUS');
      return status?.['Slave_SQL_Running'] === 'No';
    });
    await rig.b.kill();
    await until('the agents hold', async () => (await rig.story()).includes('drain_timeout is not set'));
    await rig.b.restart();
    await rig.writable(rig.b);
    await rig.readOnly(rig.a);
  });
});

describe('a host that was opened by hand while the active was closed', () => {
  it('is closed, and its writes are applied on the active before that takes its own', async () => {
    rig = await aRig();
    await rig.writable(rig.a);
    await rig.replicating();
    await until('the opening is reported', async () =>
      (await rig.lines('agent')).some(({ message }) => message.includes('START SLAVE')),
    );
    for (const role of ['agent', 'identify', 'monitor'] as const) await rig.daemon(role).stop();
    await rig.admin(rig.a, 'SET GLOBAL read_only=1');
    await rig.admin(rig.a, 'STOP SLAVE SQL_THREAD');
    await rig.admin(rig.b, 'SET GLOBAL read_only=0');
    await rig.readOnly(rig.a);
    await rig.admin(rig.b, 'INSERT INTO app.writes (id) VALUES (1),(2),(3)');
    const seen: number[] = [];
    const watching = new AbortController();
    const watcher = (async () => {
      while (!watching.signal.aborted) {
        const [row] =
          rig.watch.stateOf(rig.a.port) === 'writable'
            ? await rig.admin(rig.a, 'SELECT COUNT(*) AS n FROM app.writes')
            : [];
        if (row !== undefined) seen.push(Number(row['n']));
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    })();
    for (const role of ['monitor', 'identify', 'agent'] as const) await rig.start(role, `${role}-2`);
    await rig.writable(rig.a);
    await until('the rows were counted', () => seen.length > 0);
    watching.abort();
    await watcher;
    expect(new Set(seen)).toEqual(new Set([3]));
    expect(rig.watch.bothWritableMs).toBe(0);
  });
});

// The comparing calls on real servers, by the list that the simulated server is held to as well.

import { type Connection, createConnection } from 'mysql2/promise';
import { afterAll, afterEach, beforeAll, describe } from 'vitest';
import type { Fence } from '../../src/mysql/fence.ts';
import { REARM_EVENT } from '../../src/mysql/schema.ts';
import { ADMIN } from '../../src/sandbox/accounts.ts';
import { armed, fenceFor } from '../support/fence.ts';
import { aPair, type TestPair } from '../support/pair.ts';
import { until } from '../support/until.ts';
import { type CallBench, callCases } from './call-cases.ts';

const BLANK = `UPDATE mmm.host SET epoch_number = 0, epoch_id = '', epoch_active = '', opened_number = NULL, opened_id = NULL,
  opened_boot = NULL, endless = 0, expires_at_ms = NULL, unfenced = 1, generation = 0`;
const THREADS = { both: '', io: 'IO_THREAD', sql: 'SQL_THREAD' };

describe.each(['mariadb', 'mysql56'] as const)('%s', (kind) => {
  let pair: TestPair;
  let fence: Fence;
  let other: Fence;
  let nextId = 0;
  const clients: Connection[] = [];

  beforeAll(async () => {
    pair = await aPair({ kind });
    fence = fenceFor(pair.a);
    other = fenceFor(pair.a);
    await armed(fence);
  });
  afterAll(async () => {
    await fence.close();
    await other.close();
    await pair.close();
  });
  afterEach(async () => {
    for (const one of clients.splice(0)) one.destroy();
    await until('they are gone', async () => (await sessions()) === 0);
  });

  const admin = (sql: string) => pair.admin(pair.a, sql);

  async function sessions(): Promise<number> {
    return (await admin("SELECT ID AS id FROM information_schema.PROCESSLIST WHERE USER = 'app'")).length;
  }

  async function status() {
    const [row] = await admin('SHOW SLAVE STATUS');
    return { io: row?.['Slave_IO_Running'], sql: row?.['Slave_SQL_Running'], at: Number(row?.['Read_Master_Log_Pos']) };
  }

  /** A session of root that does this; the returned function ends it. */
  async function holding(sql: string) {
    const connection = await createConnection({ host: '127.0.0.1', port: pair.a.port, ...ADMIN });
    connection.on('error', () => undefined);
    await connection.query(sql);
    return async () => {
      await connection.query('UNLOCK TABLES');
      connection.destroy();
    };
  }

  const bench = (): CallBench => ({
    fence,
    other,
    async blank() {
      await admin('SET GLOBAL read_only = 1');
      await admin(BLANK);
      await admin(REARM_EVENT);
      await admin('START SLAVE');
      await until('it replicates', async () => (await status()).io === 'Yes');
      await armed(fence);
    },
    async setReadOnly(on) {
      await admin(`SET GLOBAL read_only = ${on ? 1 : 0}`);
    },
    async threads(act, which) {
      await admin(`${act} SLAVE ${THREADS[which]}`);
      const want = act === 'start' ? 'Yes' : 'No';
      await until('they do so', async () => {
        const { io, sql } = await status();
        return (which === 'sql' || io === want) && (which === 'io' || sql === want);
      });
    },
    async shown() {
      const { io, sql } = await status();
      return `io ${io}, sql ${sql}`;
    },
    lockTable: () => holding('LOCK TABLES app.writes WRITE'),
    lockAll: () => holding('FLUSH TABLES WITH READ LOCK'),
    async stopEvent(tickMs) {
      await admin('ALTER EVENT mmm.fence DISABLE');
      await admin(`UPDATE mmm.host SET tick_ms = ${tickMs}`);
    },
    async setExpiry(expiresAtMs) {
      await admin(`UPDATE mmm.host SET expires_at_ms = ${expiresAtMs}`);
    },
    async connect() {
      clients.push(await pair.appClient(pair.a));
    },
    sessions,
    async receive() {
      await admin('STOP SLAVE SQL_THREAD');
      await pair.admin(pair.b, `INSERT INTO app.writes (id) VALUES (${++nextId})`);
      const [goal] = await pair.admin(pair.b, 'SHOW MASTER STATUS');
      await until('it is received', async () => (await status()).at >= Number(goal?.['Position']));
    },
    until,
    async crash() {
      await pair.a.kill();
      await pair.a.restart();
    },
  });

  callCases(bench);
});

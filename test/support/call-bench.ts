// A real pair for the comparing calls of its first server, and what a test does to that by hand. Used by test/mysql/.

import { type Connection, createConnection } from 'mysql2/promise';
import { REARM_EVENT } from '../../src/mysql/schema.ts';
import { ADMIN, type Row } from '../../src/sandbox/accounts.ts';
import type { ServerKind } from '../../src/sandbox/template.ts';
import type { SemiSyncBench } from '../mysql/semi-sync-cases.ts';
import { armed, fenceFor, serverFor } from './fence.ts';
import { aPair, type TestPair } from './pair.ts';
import { until } from './until.ts';

const BLANK = `UPDATE mmm.host SET epoch_number = 0, epoch_id = '', epoch_active = '', opened_number = NULL, opened_id = NULL,
  opened_boot = NULL, endless = 0, expires_at_ms = NULL, unfenced = 1, generation = 0`;
const THREADS = { both: '', io: 'IO_THREAD', sql: 'SQL_THREAD' };

export interface RealCallBench extends SemiSyncBench {
  readonly pair: TestPair;
  /** One statement as root. */
  admin(sql: string): Promise<readonly Row[]>;
  /** A connection of the application. */
  client(): Promise<Connection>;
  /** A connection of root. */
  root(): Promise<Connection>;
  /** Whoever a test connected goes. */
  hangUp(): Promise<void>;
  close(): Promise<void>;
}

export async function aCallBench(kind: ServerKind): Promise<RealCallBench> {
  const pair = await aPair({ kind });
  const fence = fenceFor(pair.a);
  const other = fenceFor(pair.a);
  const server = serverFor(pair.a);
  await armed(fence);
  const clients: Connection[] = [];
  let nextId = 0;

  const admin = (sql: string) => pair.admin(pair.a, sql);

  async function semiSyncOff(): Promise<void> {
    if (kind !== 'mariadb') return;
    await admin('SET GLOBAL rpl_semi_sync_master_enabled = 0');
    await admin('SET GLOBAL rpl_semi_sync_slave_enabled = 0');
  }

  async function sessions(): Promise<number> {
    return (await admin("SELECT ID AS id FROM information_schema.PROCESSLIST WHERE USER = 'app'")).length;
  }

  async function status() {
    const [row] = await admin('SHOW SLAVE STATUS');
    return { io: row?.['Slave_IO_Running'], sql: row?.['Slave_SQL_Running'], at: Number(row?.['Read_Master_Log_Pos']) };
  }

  async function client(): Promise<Connection> {
    const connection = await pair.appClient(pair.a);
    clients.push(connection);
    return connection;
  }

  async function root(): Promise<Connection> {
    const connection = await createConnection({ host: '127.0.0.1', port: pair.a.port, ...ADMIN });
    connection.on('error', () => undefined);
    clients.push(connection);
    return connection;
  }

  /** A session of root that does this; the returned function ends it. */
  async function holding(sql: string) {
    const connection = await root();
    await connection.query(sql);
    return async () => {
      await connection.query('UNLOCK TABLES');
      connection.destroy();
    };
  }

  return {
    pair,
    fence,
    other,
    admin,
    client,
    root,
    async blank() {
      await semiSyncOff();
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
      await client();
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
    async semiSync() {
      const evidence = await server.probe({ row: true });
      if (evidence.kind !== 'answered') throw new Error(JSON.stringify(evidence));
      return evidence.facts.semiSync;
    },
    async commit() {
      const connection = await client();
      let isTold = false;
      const committed = connection.query(`INSERT INTO app.writes (id) VALUES (${++nextId})`);
      committed.then(
        () => {
          isTold = true;
        },
        // The test hangs up while it waits.
        () => undefined,
      );
      return () => isTold;
    },
    async hangUp() {
      // A commit that waits keeps its session.
      await semiSyncOff();
      for (const one of clients.splice(0)) one.destroy();
      // MySQL 5.6 keeps one now and then for ever that it was told to kill in the moment in which it did something.
      const left = "SELECT ID AS id FROM information_schema.PROCESSLIST WHERE USER = 'app' AND COMMAND <> 'Killed'";
      await until('they are gone', async () => (await admin(left)).length === 0);
    },
    async close() {
      await fence.close();
      await other.close();
      await server.close();
      await pair.close();
    },
  };
}

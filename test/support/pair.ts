// The pair of the tests: the sandbox's own, in a fresh folder that goes away with it. Used by every test that needs two servers.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Connection, createConnection } from 'mysql2/promise';
import { APP, APP_DATABASE, ask, type Row } from '../../src/sandbox/accounts.ts';
import { ownFolder } from '../../src/sandbox/lifetime.ts';
import type { Mysqld } from '../../src/sandbox/mysqld.ts';
import { type SandboxPair, startPair } from '../../src/sandbox/pair.ts';
import type { ServerKind } from '../../src/sandbox/template.ts';

export interface TestPair extends SandboxPair {
  /** A folder for the test's own files; removed by close(). */
  readonly dir: string;
  /** One statement as root. */
  admin(server: Mysqld, sql: string): Promise<readonly Row[]>;
  /** A connection of the application, without admin rights, in its database; closed by close(). */
  appClient(server: Mysqld): Promise<Connection>;
}

export async function aPair(options: { kind?: ServerKind; extra?: readonly string[] } = {}): Promise<TestPair> {
  const dir = await mkdtemp(join(tmpdir(), 'mmm-pair-'));
  ownFolder(dir);
  const pair = await startPair({ kind: options.kind ?? 'mariadb', dir, extra: options.extra ?? [] });
  const clients: Connection[] = [];
  return {
    ...pair,
    dir,
    admin: (server, sql) => ask({ port: server.port, sql }),
    appClient: async (server) => {
      const client = await createConnection({
        host: '127.0.0.1',
        port: server.port,
        ...APP,
        database: APP_DATABASE,
        connectTimeout: 2_000,
      });
      // A test that kills the server asks the connection, and must not be ended by the event.
      client.on('error', () => undefined);
      clients.push(client);
      return client;
    },
    close: async () => {
      for (const client of clients) client.destroy();
      await pair.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

// Two real servers that replicate from each other, both read only, as mmm finds a pair after both machines started.
// Comes from run.ts and the tests; each server is started by mysqld.ts.

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MmmError } from '../core/errors.ts';
import { ask, REPLICATION } from './accounts.ts';
import { type Mysqld, startMysqld } from './mysqld.ts';
import type { ServerKind } from './template.ts';

const REPLICATION_DEADLINE_MS = 30_000;

export interface SandboxPairOptions {
  readonly kind: ServerKind;
  readonly dir: string;
  /** More lines for both servers' my.cnf. */
  readonly extra?: readonly string[];
  readonly cacheDir?: string;
}

export interface SandboxPair {
  readonly kind: ServerKind;
  /** The primary. */
  readonly a: Mysqld;
  /** The secondary. */
  readonly b: Mysqld;
  /** Ends both servers, whatever state they are in. Their folders stay. */
  close(): Promise<void>;
}

export async function startPair({ kind, dir, extra = [], cacheDir }: SandboxPairOptions): Promise<SandboxPair> {
  const shared = { kind, extra, ...(cacheDir === undefined ? {} : { cacheDir }) };
  const a = await startMysqld({ ...shared, dir: join(dir, 'a'), serverId: 1 });
  let b: Mysqld | undefined;
  try {
    b = await startMysqld({ ...shared, dir: join(dir, 'b'), serverId: 2 });
    await replicate(b, a);
    await replicate(a, b);
    await Promise.all([a, b].map(replicating));
  } catch (error) {
    await b?.kill();
    await a.kill();
    throw error;
  }
  const second = b;
  const close = async () => {
    await second.kill();
    await a.kill();
  };
  return { kind, a, b, close };
}

/** Makes `replica` follow `source` from the very beginning: both were copied from one template and have no transaction yet. */
async function replicate(replica: Mysqld, source: Mysqld): Promise<void> {
  const position =
    replica.kind === 'mariadb' ? 'MASTER_USE_GTID=slave_pos' : 'MASTER_AUTO_POSITION=1, MASTER_RETRY_COUNT=1000000';
  await ask({
    port: replica.port,
    sql: `CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=${source.port}, MASTER_USER='${REPLICATION.user}',
      MASTER_PASSWORD='${REPLICATION.password}', MASTER_CONNECT_RETRY=1, MASTER_HEARTBEAT_PERIOD=1, ${position}`,
  });
  await ask({ port: replica.port, sql: 'START SLAVE' });
}

async function replicating(server: Mysqld): Promise<void> {
  const deadline = performance.now() + REPLICATION_DEADLINE_MS;
  for (;;) {
    const [status] = await ask({ port: server.port, sql: 'SHOW SLAVE STATUS' });
    if (status?.['Slave_IO_Running'] === 'Yes' && status['Slave_SQL_Running'] === 'Yes') return;
    if (performance.now() > deadline) {
      const reason = `${status?.['Last_IO_Error'] ?? ''} ${status?.['Last_SQL_Error'] ?? ''}`.trim();
      throw new MmmError('failed', `replication on ${server.host} does not start: ${reason}`);
    }
    await sleep(20);
  }
}

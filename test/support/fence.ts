// One real server for the comparing calls, and short forms for what their tests say again and again.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type HostRow, isArmed } from '../../src/core/host-row.ts';
import { type Host, parseHost } from '../../src/core/pair.ts';
import { openServer } from '../../src/mysql/connection.ts';
import type { Fence } from '../../src/mysql/fence.ts';
import { openFence } from '../../src/mysql/fence-connection.ts';
import type { Server } from '../../src/mysql/server.ts';
import { ask, MMM, type Row } from '../../src/sandbox/accounts.ts';
import { ownFolder } from '../../src/sandbox/lifetime.ts';
import { type Mysqld, startMysqld } from '../../src/sandbox/mysqld.ts';
import type { ServerKind } from '../../src/sandbox/template.ts';
import { rowOf } from './calls.ts';
import { until } from './until.ts';

export { done, epoch, LEASE_MS, opened, opening, rowOf } from './calls.ts';

export interface FencedServer {
  readonly mysqld: Mysqld;
  /** One statement as root. */
  admin(sql: string): Promise<readonly Row[]>;
  /** Another agent's; closed by close(). */
  fence(): Fence;
  close(): Promise<void>;
}

export async function aFencedServer(kind: ServerKind, extra: readonly string[] = []): Promise<FencedServer> {
  const dir = await mkdtemp(join(tmpdir(), 'mmm-fence-'));
  ownFolder(dir);
  const mysqld = await startMysqld({ kind, dir: join(dir, 'a'), serverId: 1, extra });
  const fences: Fence[] = [];
  return {
    mysqld,
    admin: (sql) => ask({ port: mysqld.port, sql }),
    fence: () => {
      const fence = fenceFor(mysqld);
      fences.push(fence);
      return fence;
    },
    close: async () => {
      for (const fence of fences) await fence.close();
      await mysqld.kill();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

const ACCESS = { ...MMM, database: 'information_schema', charset: 'utf8', connectTimeoutMs: 2_000 };

export function fenceFor(mysqld: Mysqld): Fence {
  return openFence({ host: hostOf(mysqld), access: ACCESS });
}

export function serverFor(mysqld: Mysqld): Server {
  return openServer({ host: hostOf(mysqld), access: ACCESS, block: null, excludeUsers: [] });
}

export function hostOf(mysqld: Pick<Mysqld, 'host'>): Host {
  const host = parseHost(mysqld.host);
  if (host === undefined) throw new Error(`no host: ${mysqld.host}`);
  return host;
}

/** Installs, and waits for the EVENT's first tick: a finite lease is given to nobody before. */
export async function armed(fence: Fence): Promise<HostRow> {
  const installed = await fence.install();
  if (installed.kind !== 'done') throw new Error(`not installed: ${JSON.stringify(installed)}`);
  await until('the EVENT ticks', async () => isArmed(await rowOf(fence)), 5_000);
  return await rowOf(fence);
}

// One real server for the comparing calls, and short forms for what their tests say again and again.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Call, Called, Opening } from '../../src/core/call.ts';
import { type HostRow, isArmed } from '../../src/core/host-row.ts';
import { type Epoch, type Host, parseHost } from '../../src/core/pair.ts';
import type { Fence } from '../../src/mysql/fence.ts';
import { openFence } from '../../src/mysql/fence-connection.ts';
import { ask, MMM, type Row } from '../../src/sandbox/accounts.ts';
import { ownFolder } from '../../src/sandbox/lifetime.ts';
import { type Mysqld, startMysqld } from '../../src/sandbox/mysqld.ts';
import type { ServerKind } from '../../src/sandbox/template.ts';
import { until } from './until.ts';

export const LEASE_MS = 3_000;

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

export function fenceFor(mysqld: Mysqld): Fence {
  const access = { ...MMM, database: 'information_schema', charset: 'utf8', connectTimeoutMs: 2_000 };
  return openFence({ host: hostOf(mysqld), access });
}

export function hostOf(mysqld: Pick<Mysqld, 'host'>): Host {
  const host = parseHost(mysqld.host);
  if (host === undefined) throw new Error(`no host: ${mysqld.host}`);
  return host;
}

export function epoch(number: number, over: Partial<Epoch> = {}): Epoch {
  return { number, id: `d${number}`, active: '127.0.0.1:3306', ...over };
}

/** The row of a call that must have been done. */
export async function done(called: Promise<Called>): Promise<HostRow> {
  const result = await called;
  if (result.kind !== 'done') throw new Error(`not done: ${JSON.stringify(result)}`);
  return result.row;
}

export async function rowOf(fence: Fence): Promise<HostRow> {
  const looked = await fence.look();
  if (looked.kind !== 'row') throw new Error(`no row: ${JSON.stringify(looked)}`);
  return looked.row;
}

/** Installs, and waits for the EVENT's first tick: a finite lease is given to nobody before. */
export async function armed(fence: Fence): Promise<HostRow> {
  const installed = await fence.install();
  if (installed.kind !== 'done') throw new Error(`not installed: ${JSON.stringify(installed)}`);
  await until('the EVENT ticks', async () => isArmed(await rowOf(fence)), 5_000);
  return await rowOf(fence);
}

/** An opening as the protocol makes it, from a look at the row; with what a test wants different. */
export function opening(row: HostRow, at: Epoch, over: Partial<Opening> = {}): Call {
  return {
    do: 'open',
    epoch: at,
    baseMs: row.nowMs,
    leaseMs: LEASE_MS,
    lease: 'finite',
    startedSec: row.startedSec,
    demand: 'io-stopped',
    ...over,
  };
}

/** Claims, stops the I/O thread and opens. */
export async function opened(fence: Fence, at: Epoch, over: Partial<Opening> = {}): Promise<HostRow> {
  await done(fence.call({ do: 'claim', epoch: at, unfenced: null }));
  const row = await done(fence.call({ do: 'stop-io', epoch: at }));
  return await done(fence.call(opening(row, at, over)));
}

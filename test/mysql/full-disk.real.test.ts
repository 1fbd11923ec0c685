// A full disk under a server: no comparing call hangs past its deadline, and none leaves something behind that makes the others hang.
// The data folder is on a small file system of its own, which only root can mount.

import { execFileSync } from 'node:child_process';
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Connection, createConnection } from 'mysql2/promise';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Call, Called } from '../../src/core/call.ts';
import { FRESH_TICK_MS, isArmed } from '../../src/core/host-row.ts';
import { openServer } from '../../src/mysql/connection.ts';
import type { Fence } from '../../src/mysql/fence.ts';
import { APP, APP_DATABASE, MMM } from '../../src/sandbox/accounts.ts';
import { ownFolder } from '../../src/sandbox/lifetime.ts';
import { type Mysqld, startMysqld } from '../../src/sandbox/mysqld.ts';
import { armed, epoch, fenceFor, hostOf, opened, opening, rowOf } from '../support/fence.ts';
import { until } from '../support/until.ts';

const WHY_NOT = whyNotMounted();
if (WHY_NOT !== null) console.log(`test/mysql/full-disk.real.test.ts is skipped: ${WHY_NOT}`);

const MARGIN_MS = 700;
const LONG_LEASE_MS = 60_000;
const CLOSE_MS = 3_000;
const CALL_MS = 2_500;
const RENEW_MS = 2_000;

/** Why no file system can be mounted here; null when one can. */
function whyNotMounted(): string | null {
  if (process.platform !== 'linux') return 'it needs Linux';
  if (process.getuid?.() !== 0) return 'only root can mount a file system';
  return null;
}

function system(command: string, ...args: readonly string[]): void {
  execFileSync(command, args, { stdio: 'pipe', timeout: 20_000 });
}

describe.skipIf(WHY_NOT !== null).each(['mariadb', 'mysql56'] as const)('%s', (kind) => {
  let disk = '';
  let mysqld: Mysqld;
  let fence: Fence;
  let other: Fence;
  let nextId = 0;
  /** What has to be ended, in the order in which it was begun: also when the beginning was cut off. */
  const undo: (() => Promise<void> | void)[] = [];

  beforeEach(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'mmm-full-'));
    ownFolder(folder);
    undo.push(() => rm(folder, { recursive: true, force: true }));
    disk = join(folder, 'a');
    await mkdir(disk);
    system('mount', '-t', 'tmpfs', '-o', 'size=320m', 'mmm-full-disk', disk);
    undo.push(() => system('umount', disk));
    mysqld = await startMysqld({ kind, dir: disk, serverId: 1 });
    undo.push(() => mysqld.kill());
    fence = fenceFor(mysqld);
    other = fenceFor(mysqld);
    undo.push(
      () => fence.close(),
      () => other.close(),
    );
    await armed(fence);
    await opened(fence, epoch(1), { leaseMs: LONG_LEASE_MS });
  });
  afterEach(async () => {
    for (const one of undo.splice(0).reverse()) await one();
  });

  function fill(): void {
    const file = openSync(join(disk, 'fill'), 'w');
    for (const size of [1 << 20, 512]) {
      try {
        while (writeSync(file, Buffer.alloc(size)) > 0);
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
      }
    }
    closeSync(file);
  }

  async function client(): Promise<Connection> {
    const one = await createConnection({ host: '127.0.0.1', port: mysqld.port, ...APP, database: APP_DATABASE });
    one.on('error', () => undefined);
    undo.push(() => one.destroy());
    return one;
  }

  async function inTime<T>(withinMs: number, ended: Promise<T>): Promise<T> {
    const started = performance.now();
    const result = await ended;
    expect(performance.now() - started).toBeLessThan(withinMs + MARGIN_MS);
    return result;
  }

  async function renew(): Promise<Called> {
    const { nowMs } = await rowOf(other);
    const renewal: Call = { do: 'renew', epoch: epoch(1), baseMs: nowMs, leaseMs: LONG_LEASE_MS };
    return await inTime(RENEW_MS, fence.call(renewal));
  }

  function close(by: Fence): Promise<Called> {
    return inTime(CLOSE_MS, by.call({ do: 'close', epoch: epoch(2), killClients: true, withinMs: CLOSE_MS }));
  }

  test('while nobody waits for room it is renewed, closed without its sessions being ended, and not opened', async () => {
    const reader = await client();
    fill();
    expect((await renew()).kind).toBe('done');
    expect(await close(fence)).toMatchObject({
      kind: 'done',
      did: expect.stringMatching(/^could not end any session: .*(?:disk|28)/i),
      row: { epoch: epoch(2), readOnly: true },
    });
    expect((await reader.query('SELECT 1'))[0]).toHaveLength(1);
    const open = await inTime(CALL_MS, fence.call(opening(await rowOf(other), epoch(2))));
    expect(open).toMatchObject({ kind: 'server-error', code: kind === 'mariadb' ? '1021' : '1030' });
    expect((await rowOf(other)).readOnly).toBe(true);
    rmSync(join(disk, 'fill'));
    await until('it is opened when there is room again', async () => {
      return (await fence.call(opening(await rowOf(other), epoch(2), { lease: 'endless' }))).kind === 'done';
    });
  });

  test('while commits wait for room: alive, renewed, not closed, and every call says so in time', async () => {
    const watching = openServer({
      host: hostOf(mysqld),
      access: { ...MMM, database: 'information_schema', charset: 'utf8', connectTimeoutMs: 1_000 },
      excludeUsers: [],
      block: null,
    });
    await watching.probe();
    fill();
    const writers = [await client(), await client()];
    for (const writer of writers) {
      void (async () => {
        for (;;) await writer.query(`INSERT INTO writes (id) VALUES (${++nextId})`);
      })().catch(() => undefined);
    }
    await until('a commit waits for room', async () => {
      return (await readFile(join(disk, 'error.log'), 'utf8')).includes('Disk is full writing');
    });
    expect((await watching.probe()).kind).toBe('server-error');
    await watching.close();
    // MariaDB's EVENT scheduler notes each run in a table that wants room, and hangs; so does who would set it going.
    if (kind === 'mariadb') {
      await until('its EVENT does not tick any more', async () => !isArmed(await rowOf(other)), 4 * FRESH_TICK_MS);
    }
    for (let renewals = 0; renewals < 3; renewals++) {
      const renewed = await renew();
      expect(['done', 'silent']).toContain(renewed.kind);
    }
    const { lease, nowMs } = await rowOf(other);
    if (lease.kind !== 'finite') throw new Error('no finite lease');
    expect(lease.expiresAtMs - nowMs).toBeGreaterThan(LONG_LEASE_MS - 3 * RENEW_MS);
    expect(await close(other)).toMatchObject({
      kind: 'not-done',
      why: 'locked',
      row: { epoch: epoch(2), readOnly: false },
      detail: expect.stringMatching(/could not end any session: .*who is connected cannot be told/s),
    });
    expect(await inTime(RENEW_MS, fence.call({ do: 'claim', epoch: epoch(3), unfenced: null }))).toMatchObject({
      kind: 'done',
    });
  });
});

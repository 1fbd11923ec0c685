// What is saved of a real server's binary log by the server's own tool: the part that was asked for, privately, within bounds.

import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Coordinates } from '../../src/core/observation.ts';
import type { Salvaged, SalvageOrder } from '../../src/core/salvage.ts';
import { filesBetween } from '../../src/core/salvage.ts';
import { type BinlogToolOptions, openBinlogTool } from '../../src/ops/binlog-tool.ts';
import { MMM } from '../../src/sandbox/accounts.ts';
import { aFencedServer, type FencedServer, hostOf } from '../support/fence.ts';

describe.each(['mariadb', 'mysql56'] as const)('the binary log of %s', (kind) => {
  let server: FencedServer;
  let folder: string;

  beforeAll(async () => {
    server = await aFencedServer(kind);
    await server.admin('CREATE DATABASE shop');
    await server.admin('CREATE TABLE shop.orders (id INT PRIMARY KEY, name VARCHAR(200))');
  });
  beforeEach(async () => {
    folder = join(await mkdtemp(join(tmpdir(), 'mmm-salvage-')), 'divergence');
  });
  afterEach(() => rm(join(folder, '..'), { recursive: true, force: true }));
  afterAll(() => server.close());

  async function place(): Promise<Coordinates> {
    const [row] = await server.admin('SHOW MASTER STATUS');
    return { file: String(row?.['File']), pos: Number(row?.['Position']) };
  }

  async function write(id: number, name: string): Promise<void> {
    await server.admin(`INSERT INTO shop.orders VALUES (${id}, '${name}')`);
  }

  async function between(from: Coordinates, to: Coordinates): Promise<SalvageOrder> {
    const files = filesBetween(from, to);
    if (typeof files === 'string') throw new Error(files);
    const epoch = { number: 8, id: 'e8' };
    return {
      host: hostOf(server.mysqld),
      flavour: kind === 'mariadb' ? 'mariadb' : 'mysql',
      files,
      fromPos: from.pos,
      toPos: to.pos,
      uniqsign: 'pair',
      epoch,
    };
  }

  function save(order: SalvageOrder, over: Partial<BinlogToolOptions> = {}): Promise<Salvaged> {
    const bounds = { mostBytes: 1_000_000, mostInFolder: 2_000_000 };
    return openBinlogTool({ access: MMM, folder, ...bounds, ...over })(order);
  }

  function savedIn(saved: Salvaged): string {
    if (saved.kind !== 'saved') throw new Error(saved.why);
    return saved.path;
  }

  test('from one place to another, over several files, and nothing besides', async () => {
    const base = kind === 'mariadb' ? 0 : 100;
    await write(base + 1, 'was received');
    const from = await place();
    await write(base + 2, 'stayed behind');
    await server.admin('FLUSH LOGS');
    await write(base + 3, 'in the next file');
    const to = await place();
    await write(base + 4, 'came over from the new active');

    const path = savedIn(await save(await between(from, to)));
    const text = await readFile(path, 'utf8');
    expect(text).toContain('shop');
    const rows = decoded(text);
    expect(rows).toContain('stayed behind');
    expect(rows).toContain('in the next file');
    expect(rows).not.toContain('was received');
    expect(rows).not.toContain('came over');
    expect(path).toMatch(/pair_127\.0\.0\.1-\d+_decision-8_\d{8}T\d{6}\.sql$/);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    // Neither the account nor a half of it is left.
    expect(await readdir(folder)).toHaveLength(1);
  });

  test('is cut where a part is bounded, and says so', async () => {
    const from = await place();
    for (let id = 0; id < 50; id++) await write(1_000 + id, 'x'.repeat(200));
    const saved = await save(await between(from, await place()), { mostBytes: 5_000 });
    expect(saved).toMatchObject({ kind: 'saved', bytes: 5_000, cut: true });
    expect((await stat(savedIn(saved))).size).toBe(5_000);
  });

  test('is not saved into a folder that is full, and nothing is taken out of it', async () => {
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'older.sql'), 'x'.repeat(100));
    const from = await place();
    const saved = await save(await between(from, from), { mostInFolder: 100 });
    expect(saved).toMatchObject({ kind: 'not-saved', why: expect.stringContaining('holds 100 bytes already') });
    expect(await readdir(folder)).toEqual(['older.sql']);
  });

  test.each([
    ['a wrong password', { access: { user: MMM.user, password: 'wr"o\\ng' } }, /failed with code/],
    ['no tool on this machine', { path: '/nowhere' }, /installed on this machine/],
    ['a tool that does not end', { withinMs: 1 }, /did not end within 0.001 s/],
    ['a folder that cannot be made', { folder: '/dev/null/mmm' }, /ENOTDIR/],
  ])('%s is told, and leaves nothing behind', async (_, over, why) => {
    const from = await place();
    const saved = await save(await between(from, from), over);
    expect(saved).toMatchObject({ kind: 'not-saved', why: expect.stringMatching(why) });
    expect(JSON.stringify(saved)).not.toContain('wr');
    expect(await readdir(join(folder, '..')).then(async ([made]) => (made ? await readdir(folder) : []))).toEqual([]);
  });
});

/** The rows that the tool writes in comments, with what stands there as base64 or as statements. */
function decoded(text: string): string {
  return text
    .split('\n')
    .filter((line) => line.startsWith('###') || line.startsWith('INSERT'))
    .join('\n');
}

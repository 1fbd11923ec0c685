import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { aPair, type TestPair } from '../support/pair.ts';

describe.each(['mariadb', 'mysql56'] as const)('a %s pair of the sandbox', (kind) => {
  let pair: TestPair;

  beforeAll(async () => {
    pair = await aPair({ kind });
  });

  afterAll(() => pair.close());

  test('starts with both hosts read only', async () => {
    for (const server of [pair.a, pair.b]) {
      expect(await pair.admin(server, 'SELECT @@read_only ro')).toEqual([{ ro: 1 }]);
      await expect((await pair.appClient(server)).query('INSERT INTO writes (id) VALUES (1)')).rejects.toMatchObject({
        errno: 1290,
      });
    }
  });

  test('replicates both ways, and no row comes back to where it was written', async () => {
    await pair.admin(pair.a, 'INSERT INTO app.writes (id) VALUES (11)');
    await pair.admin(pair.b, 'INSERT INTO app.writes (id) VALUES (12)');
    for (const server of [pair.a, pair.b]) {
      await vi.waitFor(
        async () => {
          expect(await pair.admin(server, 'SELECT id FROM app.writes ORDER BY id')).toEqual([{ id: 11 }, { id: 12 }]);
        },
        { timeout: 10_000, interval: 20 },
      );
      expect(await pair.admin(server, 'SHOW SLAVE STATUS')).toMatchObject([
        { Slave_SQL_Running: 'Yes', Last_SQL_Errno: 0 },
      ]);
    }
  });

  test('goes on replicating by itself after a host was killed and came back', async () => {
    await pair.a.kill();
    await pair.admin(pair.b, 'INSERT INTO app.writes (id) VALUES (21)');
    await pair.a.restart();
    await vi.waitFor(
      async () => {
        expect(await pair.admin(pair.a, 'SELECT id FROM app.writes WHERE id = 21')).toHaveLength(1);
      },
      { timeout: 20_000, interval: 50 },
    );
  });
});

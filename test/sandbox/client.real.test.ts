import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Client, startClient } from '../../src/sandbox/client.ts';
import { startHaproxy } from '../../src/sandbox/haproxy.ts';
import { aPair, type TestPair } from '../support/pair.ts';

let pair: TestPair;
let client: Client;

beforeAll(async () => {
  pair = await aPair();
  await pair.admin(pair.a, 'SET GLOBAL read_only=0');
  client = startClient({ hosts: [pair.a.host, pair.b.host] });
  await vi.waitFor(() => expect(client.register.size).toBeGreaterThan(20), { timeout: 10_000 });
});

afterAll(async () => {
  await client.stop();
  await pair.close();
});

test('a client that finds its first host dead goes on at the second as soon as that one takes writes', async () => {
  const killedAtMs = performance.now();
  await pair.a.kill();
  await pair.admin(pair.b, 'SET GLOBAL read_only=0');
  await vi.waitFor(() => expect(client.register.firstOn(pair.b.port, killedAtMs)).toBeDefined(), { timeout: 10_000 });
  const gap = client.register.longestGap(killedAtMs);
  const last = client.register.lastOn(pair.a.port)?.atMs ?? Number.NaN;
  const first = client.register.firstOn(pair.b.port, killedAtMs)?.atMs ?? Number.NaN;
  expect(first).toBeGreaterThan(last);
  expect(gap.lengthMs).toBeGreaterThanOrEqual(first - last);
});

test('every acknowledged write is found, and one that was removed behind the back of both hosts is reported', async () => {
  await client.stop();
  await pair.a.restart();
  await vi.waitFor(
    async () => expect((await client.register.accountFor(pair.b.port)).onActive).toHaveLength(client.register.size),
    {
      timeout: 10_000,
    },
  );

  const gone = client.register.lastOn(pair.b.port)?.id;
  const behind = client.register.firstOn(pair.a.port, 0)?.id;
  await pair.admin(pair.a, 'STOP SLAVE');
  await pair.admin(pair.b, 'STOP SLAVE');
  await pair.admin(pair.b, `DELETE FROM app.writes WHERE id IN (${gone}, ${behind})`);
  await pair.admin(pair.a, `DELETE FROM app.writes WHERE id = ${gone}`);
  const accounts = await client.register.accountFor(pair.b.port, pair.a.port);
  expect(accounts).toMatchObject({ onlyOnOther: [behind], nowhere: [gone] });
  expect(accounts.onActive).toHaveLength(client.register.size - 2);
});

test('HAProxy in backup mode sends clients to the secondary when the primary dies and when it freezes', async () => {
  const proxy = await startHaproxy({ dir: `${pair.dir}/haproxy`, primary: pair.a.host, secondary: pair.b.host });
  await pair.admin(pair.a, 'SET GLOBAL read_only=0');
  await pair.admin(pair.a, 'TRUNCATE app.writes');
  await pair.admin(pair.b, 'TRUNCATE app.writes');
  const viaProxy = startClient({ hosts: [proxy.host], connections: 2 });
  const writesOn = (port: number, sinceMs: number) =>
    vi.waitFor(() => expect(viaProxy.register.firstOn(port, sinceMs)).toBeDefined(), { timeout: 20_000, interval: 10 });
  try {
    await writesOn(pair.a.port, 0);
    await pair.a.kill();
    await writesOn(pair.b.port, performance.now());
    await pair.a.restart();
    await pair.admin(pair.a, 'SET GLOBAL read_only=0');
    // Only a new connection goes back to the primary: end the old ones, as an agent does when it takes the role away.
    const backAtMs = performance.now();
    await vi.waitFor(
      async () => {
        for (const row of await pair.admin(
          pair.b,
          "SELECT id FROM information_schema.processlist WHERE user = 'app'",
        )) {
          await pair.admin(pair.b, `KILL ${row['id']}`).catch(() => undefined);
        }
        expect(viaProxy.register.firstOn(pair.a.port, backAtMs)).toBeDefined();
      },
      { timeout: 20_000, interval: 100 },
    );
    pair.a.freeze();
    await writesOn(pair.b.port, performance.now());
  } finally {
    await viaProxy.stop();
    pair.a.thaw();
    await proxy.kill();
  }
});

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis as Client } from 'ioredis';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type RedisOptions, startRedis } from '../../src/sandbox/redis.ts';

let folder = '';
const closing: (() => unknown)[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mmm-test-'));
});

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  await rm(folder, { recursive: true, force: true });
});

async function aRedis(options: Partial<RedisOptions> = {}) {
  const redis = await startRedis({ dir: join(folder, `r${closing.length}`), ...options });
  closing.push(() => redis.kill());
  return redis;
}

function aClient(port: number, password?: string) {
  const client = new Client({
    port,
    host: '127.0.0.1',
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    ...(password === undefined ? {} : { password }),
  });
  client.on('error', () => undefined);
  closing.push(() => client.disconnect());
  return client;
}

test('a Redis of the sandbox comes back empty, on its port, after a restart', async () => {
  const redis = await aRedis();
  await aClient(redis.port).set('key', 'value');
  await redis.restart();
  expect(await aClient(redis.port).get('key')).toBeNull();
});

test('a Redis with a password refuses whoever does not know it', async () => {
  const redis = await aRedis({ password: 'a "quoted" #word'.replaceAll('"', "'") });
  await expect(aClient(redis.port).get('key')).rejects.toThrow(/NOAUTH/);
  expect(await aClient(redis.port, "a 'quoted' #word").get('key')).toBeNull();
});

test('a replica has the data of the Redis that it follows, and refuses writes', async () => {
  const source = await aRedis();
  await aClient(source.port).set('key', 'value');
  const replica = await aRedis({ replicaOf: source.host });
  const client = aClient(replica.port);
  await vi.waitFor(async () => expect(await client.get('key')).toBe('value'), { timeout: 20_000, interval: 50 });
  await expect(client.set('key', 'other')).rejects.toThrow(/READONLY/);
});

test('a Redis whose port is taken says so', async () => {
  const { port } = await aRedis();
  await expect(aRedis({ port })).rejects.toThrow(/Address already in use/);
});

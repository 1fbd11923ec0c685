import { mkdtempSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import type { AgentRecord } from '../../src/core/agents.ts';
import { type Decision, NO_SAFETY, NO_TERMS } from '../../src/core/decision.ts';
import type { MmmError } from '../../src/core/errors.ts';
import type { Host } from '../../src/core/pair.ts';
import { ownFolder, removeFolder } from '../../src/sandbox/lifetime.ts';
import { type RedisOptions, type Redis as RedisServer, startRedis } from '../../src/sandbox/redis.ts';
import { openRedisStore, type RedisStoreOptions } from '../../src/store/redis.ts';
import type { Store, WakeEvent } from '../../src/store/store.ts';
import { anObservation, aPair, aSighting, NOW_MS, PRIMARY, SECONDARY } from '../support/build.ts';
import { type Bench, conformance } from './conformance.ts';
import { guardConformance } from './conformance-guard.ts';

const U = aPair().uniqsign;
const KEY = `mysql-${U}`;
const TOPIC = 'mmm-switch-channel';
const PASSWORD = 'a #secret; word';
const ROLES = { active: PRIMARY, passive: SECONDARY };
const DECISION: Decision = {
  roles: ROLES,
  epoch: { number: 1, id: 'id1', active: PRIMARY },
  reasons: [],
  atMs: NOW_MS,
  terms: NO_TERMS,
  unfenced: null,
};

const AGENT: AgentRecord = { name: 'db1', reachesBoth: true, renewal: null };
const LAST = { decision: DECISION, expected: DECISION.epoch, policy: NO_SAFETY };

const folder = mkdtempSync(join(tmpdir(), 'mmm-board-'));
ownFolder(folder);
let folders = 0;

function start(options: Partial<RedisOptions> = {}): Promise<RedisServer> {
  folders += 1;
  return startRedis({ dir: join(folder, String(folders)), ...options });
}

/** What a test opened, closed in reverse order after it. */
const opened: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

afterAll(() => removeFolder(folder));

/** A Redis of the test's own, because it will be mistreated. */
async function ownServer(options: Partial<RedisOptions> = {}): Promise<RedisServer> {
  const server = await start(options);
  opened.push(() => server.kill());
  return server;
}

interface Opened {
  readonly store: Store;
  /** Each change of the connection's state: the code of the trouble, or `up`. */
  readonly states: string[];
  readonly garbage: string[];
}

function open(address: string, over: Partial<RedisStoreOptions> = {}): Opened {
  const states: string[] = [];
  const garbage: string[] = [];
  const store = openRedisStore({
    // An address made by this test.
    host: address as Host,
    password: null,
    topic: TOPIC,
    onState: (trouble) => states.push(trouble?.code ?? 'up'),
    onGarbage: (key, why) => garbage.push(`${key}: ${why}`),
    ...over,
  });
  opened.push(() => store.close());
  return { store, states, garbage };
}

/** A plain client, to look and to meddle. */
function client(server: RedisServer, password?: string): Redis {
  const redis = new Redis({ port: server.port, ...(password === undefined ? {} : { password }) });
  opened.push(async () => redis.disconnect());
  return redis;
}

async function troubleOf(call: Promise<unknown>): Promise<MmmError> {
  const error = await call.then(
    () => null,
    (thrown: MmmError) => thrown,
  );
  if (error === null) throw new Error('it was done without trouble');
  return error;
}

describe('with a healthy Redis', () => {
  let server: RedisServer;

  beforeAll(async () => {
    server = await start({ password: PASSWORD });
  });

  afterAll(() => server.kill());

  const makeBench = async (): Promise<Bench> => {
    const redis = client(server, PASSWORD);
    await redis.flushall();
    return {
      open: (topic) => open(server.host, { password: PASSWORD, topic }),
      putHash: async (key, fields) => void (await redis.hset(key, fields)),
      hash: (key) => redis.hgetall(key),
      putString: async (key, value) => void (await redis.set(key, value)),
      string: (key) => redis.get(key),
      members: async (key) => (await redis.smembers(key)).sort(),
      ttlMs: (key) => redis.pttl(key),
      forget: async (key) => void (await redis.del(key)),
      publish: async (channel, payload) => void (await redis.publish(channel, payload)),
      hear: async (channels) => {
        const heard: string[] = [];
        const ears = client(server, PASSWORD);
        ears.on('message', (channel: string, payload: string) => heard.push(`${channel} ${payload}`));
        await ears.subscribe(...channels);
        return heard;
      },
      close: async () => {},
    };
  };
  conformance('the board in Redis', makeBench);
  guardConformance('a guarded pair in Redis', makeBench);

  test('a decision is one step: no reader ever sees half of it', async () => {
    const { store } = open(server.host, { password: PASSWORD });
    const reader = open(server.host, { password: PASSWORD }).store;
    const sign = 'half-or-whole';
    let writing = true;
    const reading = (async () => {
      let looks = 0;
      for (; writing; looks++) {
        const { roles, epoch } = await reader.board(sign);
        expect(epoch?.active).toBe(roles?.active);
      }
      return looks;
    })();
    let expected: Decision['epoch'] | null = null;
    for (let number = 1; number <= 300; number++) {
      const active = number % 2 === 0 ? PRIMARY : SECONDARY;
      const roles = number % 2 === 0 ? ROLES : { active: SECONDARY, passive: PRIMARY };
      const epoch = { number, id: `id${number}`, active };
      await store.commitRoles(sign, { ...DECISION, roles, epoch }, expected, NO_SAFETY);
      expected = epoch;
    }
    writing = false;
    expect(await reading).toBeGreaterThan(100);
  });

  test.each([
    ['mode', (store: Store) => store.board(U)],
    ['epoch', (store: Store) => store.commitRoles(U, DECISION, DECISION.epoch, NO_SAFETY)],
    ['master', (store: Store) => store.commitRoles(U, DECISION, null, NO_SAFETY)],
    ['policy', (store: Store) => store.commitRoles(U, DECISION, null, NO_SAFETY)],
    ['members', (store: Store) => store.describe(aPair(), 1)],
    ['leader', (store: Store) => store.lead(U, 'me', 1000)],
    [`${PRIMARY}-check`, (store: Store) => store.putSighting(U, aSighting([anObservation()]))],
    [`${PRIMARY}-check`, (store: Store) => store.observations(U, [PRIMARY])],
    [`${PRIMARY}-io-stopped`, (store: Store) => store.ioStopped(U, [PRIMARY])],
    ['unfenced', (store: Store) => store.commitRoles(U, { ...DECISION, unfenced: true }, null, NO_SAFETY)],
    ['agents', (store: Store) => store.putAgent(U, AGENT)],
    ['agent-db1', (store: Store) => store.putAgent(U, AGENT)],
    ['agents', (store: Store) => store.agents(U)],
    ['agent-db1', (store: Store) => store.leave(U, AGENT.name, LAST)],
    ['agents', (store: Store) => store.leave(U, AGENT.name, LAST)],
  ])('a key %s of the wrong type is named, and nothing at all is written', async (name, act) => {
    const redis = client(server, PASSWORD);
    await redis.flushall();
    await redis.lpush(`${KEY}-${name}`, 'what?');
    const error = await troubleOf(act(open(server.host, { password: PASSWORD }).store));
    expect(error.code).toBe('store-wrong-type');
    expect(error.message).toContain(`${KEY}-${name} is a list, expected a `);
    expect(await redis.keys('*')).toEqual([`${KEY}-${name}`]);
  });

  test.each(['agent-db2', 'policy'])(
    'an agent that leaves keeps its record when %s is of the wrong type',
    async (name) => {
      const redis = client(server, PASSWORD);
      await redis.flushall();
      const { store } = open(server.host, { password: PASSWORD });
      await store.commitRoles(U, DECISION, null, NO_SAFETY);
      await store.putAgent(U, { ...AGENT, name: 'db2' });
      await store.putAgent(U, AGENT);
      await redis.del(`${KEY}-${name}`);
      await redis.lpush(`${KEY}-${name}`, 'what?');
      const error = await troubleOf(store.leave(U, AGENT.name, LAST));
      expect(error.message).toContain(`${KEY}-${name} is a list, expected a `);
      expect(await redis.exists(`${KEY}-agent-db1`)).toBe(1);
      expect(await redis.smembers(`${KEY}-agents`)).toContain('db1');
    },
  );

  test('nothing is left of agents that were killed', async () => {
    const redis = client(server, PASSWORD);
    await redis.flushall();
    const { store } = open(server.host, { password: PASSWORD });
    await store.putAgent(U, { ...AGENT, name: 'db2' });
    await store.putAgent(U, AGENT);
    const ttls = await Promise.all(['agents', 'agent-db1', 'agent-db2'].map((name) => redis.pttl(`${KEY}-${name}`)));
    for (const ttl of ttls) expect(ttl).toBeGreaterThan(0);
    expect(ttls[0]).toBeGreaterThanOrEqual(Math.max(...ttls.slice(1)) - 1);
  });

  test('a life of the wrong type is named, wherever the roles come from', async () => {
    const redis = client(server, PASSWORD);
    await redis.flushall();
    const { store } = open(server.host, { password: PASSWORD });
    await redis.hset(`${KEY}-mode`, ROLES);
    await redis.set(`${KEY}-${SECONDARY}-life`, 'x');
    expect((await troubleOf(store.board(U))).message).toContain(
      `${KEY}-${SECONDARY}-life is a string, expected a hash`,
    );
  });

  test('a pair with a key of the wrong type is left out and told; the other pairs are found', async () => {
    const redis = client(server, PASSWORD);
    await redis.flushall();
    const { store, garbage } = open(server.host, { password: PASSWORD });
    await store.commitRoles(U, DECISION, null, NO_SAFETY);
    await redis.set('mysql-wrong-mode', 'x');
    expect((await store.findPairs()).map(({ uniqsign }) => uniqsign)).toEqual([U]);
    expect(garbage).toHaveLength(1);
    expect(garbage[0]).toContain('mysql-wrong-mode is a string, expected a hash');
  });

  test('a password that is not wanted does not keep us out', async () => {
    const plain = await ownServer();
    const { store, states } = open(plain.host, { password: PASSWORD });
    expect(await store.describe(aPair(), 1)).toBe(true);
    expect(states).toEqual(['up']);
  });

  test.each([
    [null, 'wants a password'],
    ['wrong one', 'refuses the password'],
  ])('the password %s is one clear line that does not show it', async (password, says) => {
    const { store, states } = open(server.host, { password });
    const error = await troubleOf(store.board(U));
    expect(error.code).toBe('store-auth');
    expect(error.message).toContain(`Redis ${server.host} ${says}`);
    expect(JSON.stringify([error.message, error.stack])).not.toContain('wrong one');
    expect(states).toEqual(['store-auth']);
  });

  test('a user without the rights is one clear line', async () => {
    const plain = await ownServer();
    const redis = client(plain);
    const { store } = open(plain.host);
    await store.describe(aPair(), 1);
    await redis.acl('SETUSER', 'default', '-eval');
    const error = await troubleOf(store.board(U));
    expect(error.code).toBe('store-denied');
    expect(error.message).toContain("'eval'");
  });

  test('rights limited to our keys and channels are enough', async () => {
    const plain = await ownServer();
    const redis = client(plain);
    await redis.acl('SETUSER', 'default', 'resetkeys', '~mysql-*', 'resetchannels', `&${TOPIC}*`);
    const { store } = open(plain.host);
    const events: WakeEvent[] = [];
    await store.watch((event) => events.push(event));
    await store.describe(aPair(), 1);
    await store.putSighting(U, aSighting([anObservation()]));
    await store.commitRoles(U, DECISION, null, NO_SAFETY);
    await store.putIoStopped(U, PRIMARY, true);
    await store.putAgent(U, AGENT);
    expect(await store.agents(U)).toEqual([AGENT]);
    expect(await store.findPairs()).toHaveLength(1);
    expect(await store.leave(U, AGENT.name, { ...LAST, expected: { ...DECISION.epoch, number: 9 } })).toBe('conflict');
    await vi.waitFor(() => expect(events).toHaveLength(3));
  });

  test('a full memory is one clear line, and nothing is half written', async () => {
    const plain = await ownServer();
    const redis = client(plain);
    const { store } = open(plain.host);
    await store.commitRoles(U, DECISION, null, NO_SAFETY);
    const before = await store.board(U);
    await redis.config('SET', 'maxmemory', '1');
    const next = { ...DECISION, epoch: { ...DECISION.epoch, number: 2 } };
    const error = await troubleOf(store.commitRoles(U, next, DECISION.epoch, NO_SAFETY));
    expect(error.code).toBe('store-error');
    expect(error.message).toContain('memory limit');
    expect(await store.board(U)).toEqual(before);
  });
});

describe('Redis trouble', () => {
  test('absent at the start: one clear line at once, and used as soon as it is there', async () => {
    const server = await ownServer();
    await server.stop();
    const { store, states } = open(server.host);
    const events: WakeEvent[] = [];
    await store.watch((event) => events.push(event));
    const error = await troubleOf(store.describe(aPair(), 1));
    expect(error.code).toBe('store-down');
    expect(error.message).toBe(`Redis ${server.host} refuses connections: is it running there? (ECONNREFUSED)`);
    await server.restart();
    await vi.waitFor(() => expect(events).toEqual([{ kind: 'reconnected', uniqsign: null }]), 5000);
    expect(await store.describe(aPair(), 1)).toBe(true);
    expect(states).toEqual(['store-down', 'up']);
  });

  test('back again: the connection that finds out first fetches the other one', async () => {
    const server = await ownServer();
    await server.stop();
    // The first gap of the commands is 2 s, that of the connection that listens 4 s.
    const gaps = [1, 0];
    const { store } = open(server.host, { times: { gapMs: 2000, gapMaxMs: 60_000 }, random: () => gaps.shift() ?? 0 });
    const events: WakeEvent[] = [];
    const end = await store.watch((event) => events.push(event));
    const began = performance.now();
    await server.restart();
    await vi.waitFor(() => expect(events).toEqual([{ kind: 'reconnected', uniqsign: null }]), 10_000);
    expect(performance.now() - began).toBeLessThan(3500);
    // Whoever begins to watch only now has missed nothing.
    await end();
    await store.watch((event) => events.push(event));
    await client(server).publish(`${TOPIC}-mmm`, U);
    await vi.waitFor(() => expect(events.slice(1)).toEqual([{ kind: 'decided', uniqsign: U }]));
  });

  test('killed while running and back empty: told once, woken once, and everything can be written again', async () => {
    const server = await ownServer();
    const { store, states } = open(server.host);
    const events: WakeEvent[] = [];
    await store.watch((event) => events.push(event));
    await store.commitRoles(U, DECISION, null, NO_SAFETY);
    await vi.waitFor(() => expect(events).toHaveLength(2));
    await server.kill();
    await vi.waitFor(() => expect(states.at(-1)).toBe('store-down'), 5000);
    expect((await troubleOf(store.board(U))).code).toBe('store-down');
    events.length = 0;
    await server.restart();
    await vi.waitFor(() => expect(events).toEqual([{ kind: 'reconnected', uniqsign: null }]), 5000);
    expect(await store.board(U)).toMatchObject({ roles: null, epoch: null });
    expect(await store.commitRoles(U, DECISION, null, NO_SAFETY)).toEqual({ kind: 'committed' });
    await vi.waitFor(() => expect(events).toHaveLength(3));
    expect(states).toEqual(['up', 'store-down', 'up']);
  });

  test('frozen: an error within the deadline, then errors at once, and well again by itself', async () => {
    const server = await ownServer();
    const { store, states } = open(server.host);
    const events: WakeEvent[] = [];
    await store.watch((event) => events.push(event));
    await store.describe(aPair(), 1);
    server.freeze();
    const began = performance.now();
    const error = await troubleOf(store.board(U));
    expect(performance.now() - began).toBeLessThan(1500);
    expect(error.message).toBe(`Redis ${server.host} did not answer within 1000 ms`);
    const again = performance.now();
    await troubleOf(store.board(U));
    expect(performance.now() - again).toBeLessThan(200);
    server.thaw();
    await vi.waitFor(() => expect(events).toEqual([{ kind: 'reconnected', uniqsign: null }]), 10_000);
    expect((await store.board(U)).roles).toBeNull();
    expect(states).toEqual(['up', 'store-down', 'up']);
  });

  test('frozen while nobody asks anything: the heartbeat finds out', async () => {
    const server = await ownServer();
    const { store, states } = open(server.host, { times: { heartbeatMs: 100, deadlineMs: 300 } });
    await store.watch(() => {});
    server.freeze();
    await vi.waitFor(() => expect(states.at(-1)).toBe('store-down'), 5000);
    server.thaw();
    await vi.waitFor(() => expect(states.at(-1)).toBe('up'), 5000);
  });

  test('a write that timed out is not done later behind our back', async () => {
    const server = await ownServer();
    const { store, states } = open(server.host, { times: { deadlineMs: 300 } });
    await store.describe(aPair(), 1);
    server.freeze();
    await troubleOf(store.board(U));
    // The connection is given up by now: this one is refused at once and never sent.
    await troubleOf(store.commitRoles(U, DECISION, null, NO_SAFETY));
    server.thaw();
    await vi.waitFor(() => expect(states.at(-1)).toBe('up'), 5000);
    expect(await client(server).exists(`${KEY}-mode`)).toBe(0);
  });

  test('a read-only replica is named as one, and can still be read', async () => {
    const master = await ownServer();
    const writer = open(master.host).store;
    await writer.commitRoles(U, DECISION, null, NO_SAFETY);
    const replica = await ownServer({ replicaOf: master.host });
    const { store } = open(replica.host);
    await vi.waitFor(async () => expect((await store.board(U)).roles).toEqual(ROLES), 10_000);
    for (const write of [
      () => store.describe(aPair(), 1),
      () => store.putSighting(U, aSighting([anObservation()])),
      () => store.lead(U, 'me', 1000),
      () => store.commitRoles(U, { ...DECISION, epoch: { ...DECISION.epoch, number: 2 } }, DECISION.epoch, NO_SAFETY),
    ]) {
      const error = await troubleOf(write());
      expect(error.code).toBe('store-readonly');
      expect(error.message).toBe(
        `Redis ${replica.host} is a read-only replica: point \`host\` in [redis] to its master`,
      );
    }
    expect(await client(master).keys('*-leader')).toEqual([]);
  });

  test('closing ends at once what is under way, even with a frozen Redis', async () => {
    const server = await ownServer();
    const { store } = open(server.host);
    await store.watch(() => {});
    await store.describe(aPair(), 1);
    server.freeze();
    const underWay = troubleOf(store.board(U));
    const began = performance.now();
    await store.close();
    expect((await underWay).code).toBe('store-down');
    expect(performance.now() - began).toBeLessThan(300);
  });
});

describe('a peer that is no healthy Redis', () => {
  /** Answers every command with this, or with nothing. */
  async function peer(answer: string | null): Promise<{ address: string; connections: () => number }> {
    let connections = 0;
    const server: Server = createServer((socket) => {
      connections += 1;
      socket.on('error', () => socket.destroy());
      socket.on('data', () => {
        if (answer === '') socket.destroy();
        else if (answer !== null) socket.write(answer);
      });
      opened.push(async () => socket.destroy());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    opened.push(async () => server.close());
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return { address: `127.0.0.1:${address.port}`, connections: () => connections };
  }

  test('still loading its data: said so', async () => {
    const { address } = await peer('-LOADING Redis is loading the dataset in memory\r\n');
    const { store, states } = open(address);
    expect((await troubleOf(store.board(U))).code).toBe('store-loading');
    expect(states).toEqual(['store-loading']);
  });

  test('cannot save to its disk: used, and each refusal says why', async () => {
    const { address } = await peer('-MISCONF Redis is configured to save RDB snapshots\r\n');
    const { store, states } = open(address);
    const error = await troubleOf(store.board(U));
    expect(error.code).toBe('store-error');
    expect(error.message).toContain('cannot save its data to disk');
    expect(states).toEqual(['up']);
  });

  test('accepts and says nothing: an error in time', async () => {
    const { address } = await peer(null);
    const { store } = open(address, { times: { deadlineMs: 200 } });
    expect((await troubleOf(store.board(U))).message).toBe(`Redis ${address} did not answer within 200 ms`);
  });

  test('repeats the arguments of AUTH: the password is not shown', async () => {
    const { address } = await peer("-ERR unknown command 'auth', with args beginning with: 'a #secret; word'\r\n");
    const { store } = open(address, { password: PASSWORD });
    const error = await troubleOf(store.board(U));
    expect(error.message).toContain("with args beginning with: '***'");
  });

  test('throws everybody out: tried again with growing gaps, told once', async () => {
    const { address, connections } = await peer('');
    const { store, states } = open(address, { times: { gapMs: 20, gapMaxMs: 400 }, random: () => 0 });
    await troubleOf(store.board(U));
    const began = performance.now();
    await vi.waitFor(() => expect(connections()).toBeGreaterThanOrEqual(5), 5000);
    // 40, 80, 160, 320 ms lie between five tries.
    expect(performance.now() - began).toBeGreaterThan(500);
    expect(states).toEqual(['store-down']);
  });
});

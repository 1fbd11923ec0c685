// The lease keepers on two real servers and a real Redis: what keeps the active open, what lets it close itself, and how agents take their leave.

import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { LeaseKeeper } from '../src/agent-lease.ts';
import { leave } from '../src/agent-leave.ts';
import { NO_SAFETY, NO_TERMS, type Policy } from '../src/core/decision.ts';
import type { HostRow } from '../src/core/host-row.ts';
import { type Epoch, type Host, parseHost } from '../src/core/pair.ts';
import type { Fence } from '../src/mysql/fence.ts';
import { systemClock, systemRandom } from '../src/ops/clock.ts';
import { supervise, Wake } from '../src/ops/supervise.ts';
import type { Mysqld } from '../src/sandbox/mysqld.ts';
import { type Redis, startRedis } from '../src/sandbox/redis.ts';
import { openRedisStore } from '../src/store/redis.ts';
import type { Store } from '../src/store/store.ts';
import { fakeLog } from './support/fake-log.ts';
import { armed, done, fenceFor, LEASE_MS, opened, rowOf } from './support/fence.ts';
import { frozen } from './support/frozen.ts';
import { aPair, type TestPair } from './support/pair.ts';
import { until } from './support/until.ts';

const U = '8d9a4b2924dc40baa792d742cb786345';
const EVENT_MS = 1_000;
/** A machine that runs other tests as well. */
const MARGIN_MS = 700;
const POLICY: Policy = { ...NO_SAFETY, fencing: 'lease', leaseMs: LEASE_MS, onUnreachable: 'wait' };

describe.each(['mariadb', 'mysql56'] as const)('%s', (kind) => {
  let pair: TestPair;
  let redis: Redis;
  let store: Store;
  let onA: Fence;
  let onB: Fence;
  let a: Host;
  let b: Host;
  let number = 0;
  const keepers: Keeper[] = [];

  beforeAll(async () => {
    pair = await aPair({ kind });
    redis = await startRedis({ dir: join(pair.dir, 'redis') });
    a = hostOf(pair.a);
    b = hostOf(pair.b);
    onA = fenceFor(pair.a);
    onB = fenceFor(pair.b);
    store = aStore();
  });
  afterAll(async () => {
    await Promise.all([onA?.close(), onB?.close(), store?.close()]);
    await redis?.kill();
    await pair?.close();
  });

  /** A is open by a finite lease, as the protocol leaves it; the board says so. */
  beforeEach(async () => {
    number += 10;
    const at = epoch(number);
    for (const fence of [onA, onB]) await armed(fence);
    await done(onB.call({ do: 'claim', epoch: at, unfenced: false }));
    await opened(onA, at);
    await decide(at);
  });
  afterEach(async () => {
    await Promise.all(keepers.splice(0).map((keeper) => keeper.stop()));
    if (!redis.running) await redis.restart();
    for (const server of [pair.a, pair.b]) if (!server.running) await server.restart();
    number += 10;
    for (const [fence, server] of [
      [onA, pair.a],
      [onB, pair.b],
    ] as const) {
      await until(`${server.host} answers`, async () => (await fence.look()).kind === 'row');
      await done(fence.call({ do: 'close', epoch: epoch(number), killClients: true, withinMs: 5_000 }));
    }
  });

  function aStore(): Store {
    return openRedisStore({
      host: hostOf(redis),
      password: null,
      topic: 'mmm-switch-channel',
      random: Math.random,
      onState: () => {},
      onGarbage: () => {},
    });
  }

  function epoch(at: number): Epoch {
    return { number: at, id: `d${at}`, active: a };
  }

  async function decide(at: Epoch): Promise<void> {
    const decision = {
      roles: { active: a, passive: b },
      epoch: at,
      reasons: ['a test'],
      atMs: Date.now(),
      terms: { ...NO_TERMS, lease: 'finite' },
      unfenced: false,
    } as const;
    await until('it is decided', async () => {
      try {
        const present = (await store.board(U)).epoch;
        return (await store.commitRoles(U, decision, present, POLICY)).kind === 'committed';
      } catch {
        return false;
      }
    });
  }

  interface Keeper {
    readonly lines: readonly string[];
    /** As when the process is killed: nobody says goodbye. */
    stop(): Promise<void>;
    /** The clean stop. */
    leave(): Promise<void>;
  }

  /** An agent's keeper, in its loop. */
  function aKeeper(name: string): Keeper {
    const log = fakeLog();
    const own = aStore();
    const fences = new Map<Host, Fence>([
      [a, fenceFor(pair.a)],
      [b, fenceFor(pair.b)],
    ]);
    const fenceTo = (host: Host) => fences.get(host) ?? onA;
    const end = new AbortController();
    const wake = new Wake();
    const parts = { uniqsign: U, store: own, fenceFor: fenceTo, clock: systemClock, log, name };
    const keeper = new LeaseKeeper({
      ...parts,
      memory: { pairs: () => [], remember: () => {}, forget: () => {} },
      known: { roles: { active: a, passive: b }, policy: POLICY },
      registers: true,
      wake: () => wake.wake(),
    });
    const ended = supervise({
      name,
      round: () => keeper.round(),
      intervalMs: 1_000,
      roundDeadlineMs: 15_000,
      wake,
      stop: end.signal,
      clock: systemClock,
      random: systemRandom,
      log,
    });
    let over: Promise<void> | null = null;
    const finish = async (cleanly: boolean) => {
      end.abort();
      await ended;
      await keeper.retire();
      if (cleanly) await leave({ ...parts, random: systemRandom, known: keeper.known, withinMs: 2_300 });
      await Promise.all([...fences.values()].map((fence) => fence.close()));
      await own.close();
    };
    const finishOnce = (cleanly: boolean) => {
      over ??= finish(cleanly);
      return over;
    };
    const made = { lines: log.lines, stop: () => finishOnce(false), leave: () => finishOnce(true) };
    keepers.push(made);
    return made;
  }

  async function twoKeepers(): Promise<readonly [Keeper, Keeper]> {
    const both = [aKeeper('db1'), aKeeper('db2')] as const;
    await until('both agents are there', async () => {
      const records = await store.agents(U);
      return records.filter(({ reachesBoth, renewal }) => reachesBoth && renewal?.outcome === 'renewed').length === 2;
    });
    return both;
  }

  /** Nothing may close it, for longer than its lease lasts without renewals. */
  async function staysOpen(): Promise<void> {
    const since = performance.now();
    let looks = 0;
    while (performance.now() - since < LEASE_MS + EVENT_MS + MARGIN_MS) {
      const row = await rowOf(onA);
      expect(row.readOnly).toBe(false);
      looks += 1;
    }
    expect(looks).toBeGreaterThan(10);
    expect((await rowOf(onA)).opened?.number).toBe(number);
  }

  /** Returns how long after `since` it was closed. */
  async function closesItself(since: number): Promise<number> {
    await until('A closes itself', async () => (await rowOf(onA)).readOnly, LEASE_MS + EVENT_MS + MARGIN_MS);
    return Math.round(performance.now() - since);
  }

  function leftMs({ lease, nowMs }: HostRow): number {
    return lease.kind === 'finite' ? lease.expiresAtMs - nowMs : Number.POSITIVE_INFINITY;
  }

  test('two agents keep A open; killed both, A closes itself within lease + 1 s', async () => {
    const [one, two] = await twoKeepers();
    await staysOpen();
    await one.stop();
    await staysOpen();
    await two.stop();
    const since = performance.now();
    expect(leftMs(await rowOf(onA))).toBeGreaterThan(LEASE_MS / 2);
    const tookMs = await closesItself(since);
    console.log(`${kind}: closed itself ${tookMs} ms after the last agent was killed`);
    expect(tookMs).toBeLessThan(LEASE_MS + EVENT_MS + MARGIN_MS);
  });

  test('Redis is killed: the passive is the witness, and A stays open', async () => {
    await twoKeepers();
    await redis.kill();
    await staysOpen();
  });

  test('Redis comes back empty: A stays open', async () => {
    await twoKeepers();
    await redis.restart();
    await staysOpen();
  });

  test('the passive is killed: the board is the witness, and A stays open', async () => {
    await twoKeepers();
    await pair.b.kill();
    await staysOpen();
    await until('both say so', async () => (await store.agents(U)).every(({ reachesBoth }) => !reachesBoth));
  });

  test('the passive freezes: the board is the witness, and A stays open', async () => {
    await twoKeepers();
    await frozen(pair.b);
    try {
      await staysOpen();
    } finally {
      pair.b.thaw();
    }
  });

  test('passive and Redis are killed: nobody can say that no higher decision exists, and A closes itself', async () => {
    const [one] = await twoKeepers();
    await pair.b.kill();
    await redis.kill();
    await closesItself(performance.now());
    expect(one.lines.join('\n')).toMatch(/error .*neither the other host nor the board/);
  });

  test('a higher decision is claimed on the passive: no renewal finds a witness, and A closes itself in time', async () => {
    await twoKeepers();
    const higher = { ...epoch(number + 1), active: b };
    await done(onB.call({ do: 'claim', epoch: higher, unfenced: null }));
    const since = performance.now();
    const tookMs = await closesItself(since);
    console.log(`${kind}: closed itself ${tookMs} ms after the claim`);
    // What whoever opens B waits for, counted from the claim.
    expect(tookMs).toBeLessThan(LEASE_MS + EVENT_MS + MARGIN_MS);
    await until('they say why', async () =>
      (await store.agents(U)).every(({ renewal }) => renewal?.outcome === 'failed'),
    );
  });

  test('A freezes for longer than its lease: what the agents sent meanwhile does not revive it', async () => {
    await twoKeepers();
    await frozen(pair.a);
    await until(
      'they say that it is silent',
      async () => (await store.agents(U)).every(({ renewal }) => renewal?.outcome === 'failed'),
      10_000,
    );
    const since = performance.now();
    await until('the lease is over', () => performance.now() - since > LEASE_MS + EVENT_MS);
    pair.a.thaw();
    const woken = performance.now();
    await until('A closes itself', async () => (await rowOf(onA)).readOnly, EVENT_MS + MARGIN_MS);
    console.log(`${kind}: closed itself ${Math.round(performance.now() - woken)} ms after waking`);
    const { opened: openedAt } = await rowOf(onA);
    expect(openedAt?.number).toBe(number);
  });

  test('A freezes for less than its lease: it is renewed when it wakes up, and stays open', async () => {
    await twoKeepers();
    await frozen(pair.a);
    const since = performance.now();
    await until('a moment goes by', () => performance.now() - since > LEASE_MS / 3);
    pair.a.thaw();
    await staysOpen();
  });

  test('the clean stop of the first agent changes nothing; that of the last one makes the lease endless, after the flag', async () => {
    const [one, two] = await twoKeepers();
    await one.leave();
    expect(one.lines.join('\n')).toMatch(/other agents go on/);
    await staysOpen();
    expect((await rowOf(onA)).lease.kind).toBe('finite');
    await two.leave();
    const { epoch: at, unfenced } = await store.board(U);
    expect({ number: at?.number, active: at?.active, unfenced }).toEqual({
      number: number + 1,
      active: a,
      unfenced: true,
    });
    expect(await rowOf(onA)).toMatchObject({ epoch: at, readOnly: false, lease: { kind: 'endless' } });
    expect(await rowOf(onB)).toMatchObject({ epoch: at, unfenced: true, readOnly: true });
    const since = performance.now();
    await until('time goes by', () => performance.now() - since > LEASE_MS + EVENT_MS);
    expect((await rowOf(onA)).readOnly).toBe(false);
  });

  test('a clean stop with Redis away puts the flag on the passive’s row, and A stays open', async () => {
    const [one, two] = await twoKeepers();
    await redis.kill();
    await one.leave();
    await two.leave();
    const { epoch: at } = await rowOf(onA);
    expect(at).toMatchObject({ number: number + 1, active: a });
    expect(await rowOf(onA)).toMatchObject({ readOnly: false, lease: { kind: 'endless' } });
    expect(await rowOf(onB)).toMatchObject({ epoch: at, unfenced: true, readOnly: true });
  });

  test('a clean stop with Redis and the passive away leaves the lease alone: A closes itself', async () => {
    const [one, two] = await twoKeepers();
    await redis.kill();
    await pair.b.kill();
    await Promise.all([one.leave(), two.leave()]);
    await closesItself(performance.now());
  });
});

function hostOf({ host }: Pick<Mysqld | Redis, 'host'>): Host {
  const parsed = parseHost(host);
  if (parsed === undefined) throw new Error(`no host: ${host}`);
  return parsed;
}

// The checkers of durability=lossless see what they are there for, and nothing else. No daemon runs here: the test opens, freezes and acknowledges.

import { beforeEach, describe, expect, test } from 'vitest';
import type { Opening } from '../../src/core/call.ts';
import { NO_SAFETY, NO_TERMS } from '../../src/core/decision.ts';
import { encodeEpoch } from '../../src/store/wire-decisions.ts';
import { keysOf } from '../../src/store/wire-keys.ts';
import { Chance } from './chance.ts';
import type { SimHost, Write } from './host.ts';
import { LosslessCheckers } from './lossless-checkers.ts';
import { World } from './world.ts';

function aBench() {
  const world = new World(
    {
      monitors: 0,
      identifies: 0,
      agents: 0,
      blocking: false,
      policy: { ...NO_SAFETY, fencing: 'lease', durability: 'lossless' },
      failback: 'auto',
      hookWorks: false,
      clients: 0,
      stubborn: false,
      writeEveryMs: 50,
      style: {
        gtid: true,
        sharedDomain: false,
        startsItself: true,
        startsWritable: false,
        netTimeoutMs: 4_000,
        applyMs: 1,
      },
    },
    new Chance('lossless'),
  );
  const violations: string[] = [];
  const checkers = new LosslessCheckers(world, (promise, what) => violations.push(`${promise}: ${what}`));
  const { a, b } = world;
  world.watcher = { ...world.watcher, told: (write, host) => checkers.told(write, host) };
  const run = (ms: number) => world.timeline.run(world.timeline.nowMs + ms);
  return {
    a,
    b,
    checkers,
    violations,
    run,
    decided(durability: 'async' | 'lossless') {
      const roles = { active: a.host, passive: b.host };
      const epoch = { number: 1, id: 'd', active: a.host };
      const terms = { ...NO_TERMS, durability };
      const decision = encodeEpoch({ roles, epoch, reasons: [], atMs: Date.UTC(2026, 0, 1), terms, unfenced: null });
      world.redis.memory.hashes.set(keysOf(world.pair.uniqsign).epoch, new Map(decision));
    },
    open(host: SimHost, lossless = true) {
      const opening: Opening = {
        do: 'open',
        epoch: { number: 1, id: 'd', active: host.host },
        baseMs: 0,
        leaseMs: 3_000,
        lease: 'finite',
        startedSec: 0,
        demand: 'drained',
        lossless,
      };
      checkers.callActs(opening, host);
      host.setReadOnly(false);
    },
    /** A client writes; it reads the answer when there is one. */
    write(host: SimHost) {
      const dialled = host.dial('client', true, () => {});
      if (dialled.kind !== 'connected') throw new Error(dialled.kind);
      host.commit(world.nextWriteId(), dialled.connection, (write: Write | null) => {
        if (write !== null) checkers.acknowledged(write, host);
      });
    },
    async replicates(host: SimHost) {
      host.semiSync.replica = true;
      host.replica.stop({ io: true, sql: false });
      host.replica.start({ io: true, sql: false });
      await run(50);
    },
  };
}

let bench = aBench();
beforeEach(() => {
  bench = aBench();
});

test('a change to a complete host is what is promised', async () => {
  const { a, b, open, write, replicates, run, violations, checkers } = bench;
  await replicates(b);
  open(a);
  a.semiSync.switchOn();
  write(a);
  await run(50);
  a.setReadOnly(true);
  open(b);
  write(b);
  expect(violations).toEqual([]);
  expect(checkers.lateAnswers).toBe(0);
});

describe('S2', () => {
  test('is broken by the opening of a host that lacks what a client was told of', async () => {
    const { a, b, open, write, violations } = bench;
    b.replica.stop({ io: true, sql: false });
    open(a);
    write(a);
    a.setReadOnly(true);
    open(b);
    expect(violations).toEqual(['S2: B is opened without 1 writes that clients were told of']);
  });

  test('promises nothing of what was acknowledged before the pair was lossless, nor of an opening that is not', async () => {
    const { a, b, open, write, violations } = bench;
    b.replica.stop({ io: true, sql: false });
    open(a, false);
    write(a);
    open(b);
    open(a);
    write(a);
    open(b, false);
    expect(violations).toEqual([]);
  });
});

describe('S1', () => {
  test('is broken by an old active that tells a client OK beside the new one', async () => {
    const { a, b, open, write, violations } = bench;
    b.replica.stop({ io: true, sql: false });
    open(a);
    open(b);
    write(b);
    write(a);
    expect(violations).toEqual([
      'S1: A tells a client OK for a write that B, opened after it, lacks, and B has told clients OK, too',
    ]);
  });

  test('is in danger when a lossless decision opens a host whose commits do not wait', async () => {
    const { a, b, decided, open, violations } = bench;
    decided('async');
    open(a, false);
    decided('lossless');
    // One that is open already is left as it is.
    open(a, false);
    expect(violations).toEqual([]);
    open(b, false);
    expect(violations).toEqual(['S1: B is opened by a lossless decision, and its commits do not wait']);
  });

  test('is broken also after a thaw, when the new one acknowledges to it [F5]', async () => {
    const { a, b, open, write, replicates, run, violations } = bench;
    await replicates(b);
    b.replica.stop({ io: true, sql: false });
    open(a);
    a.semiSync.switchOn();
    write(a);
    a.freeze();
    open(b);
    write(b);
    b.replica.start({ io: true, sql: false });
    await run(5_000);
    expect(violations).toEqual([]);
    a.thaw();
    await run(5_000);
    expect(violations).toHaveLength(1);
    expect(violations[0]).toMatch(/^S1: A tells/);
  });

  test('is not broken by an answer that was under way when the server was frozen', async () => {
    const { a, b, open, write, replicates, run, violations, checkers } = bench;
    await replicates(b);
    open(a);
    a.semiSync.switchOn();
    write(a);
    while (b.replica.received === 0) await run(0.1);
    a.freeze();
    await run(50);
    expect(b.log).toHaveLength(1);
    open(b);
    write(b);
    a.thaw();
    await run(50);
    expect(violations).toEqual([]);
    expect(checkers.lateAnswers).toBe(1);
  });
});

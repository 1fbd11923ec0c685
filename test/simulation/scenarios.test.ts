// The defects that the simulator found, each as the shortest story that shows it. The seed that told it first is beside it.

import { expect, test } from 'vitest';
import { NO_SAFETY } from '../../src/core/decision.ts';
import { Chance } from './chance.ts';
import { Checkers } from './checkers.ts';
import { World, type WorldOptions } from './world.ts';

/** A small, quiet installation: one daemon of each kind, MySQL without GTIDs that comes back with its replication stopped. */
async function aPairAtWork(over: Partial<WorldOptions> = {}, style: Partial<WorldOptions['style']> = {}) {
  const world = new World(
    {
      monitors: 1,
      identifies: 1,
      agents: 1,
      blocking: false,
      policy: NO_SAFETY,
      failback: 'auto',
      hookWorks: false,
      clients: 2,
      stubborn: false,
      writeEveryMs: 50,
      ...over,
      style: {
        gtid: false,
        sharedDomain: false,
        startsItself: false,
        startsWritable: false,
        netTimeoutMs: 4_000,
        applyMs: 2,
        ...style,
      },
    },
    new Chance('scenario'),
  );
  const checkers = new Checkers(world, { harmless: false });
  world.watcher = checkers;
  world.begin();
  const run = (seconds: number) => world.timeline.run(world.timeline.nowMs + 1_000 * seconds);
  const agent = () => {
    const [first] = world.processesOf('agent');
    if (first === undefined) throw new Error('there is no agent');
    return first;
  };
  await run(5);
  return { world, checkers, run, agent, a: world.a, b: world.b };
}

test('a passive that restarted while the agent was away replicates again (seed 11)', async () => {
  const { b, run, agent, checkers } = await aPairAtWork();
  agent().crash();
  b.die(true);
  await run(5);
  b.restart();
  await run(5);
  expect(b.replica.runs).toBe(false);
  agent().start();
  await run(5);
  expect(b.replica.runs).toBe(true);
  expect(checkers.notConverged()).toBeNull();
});

test('a host that restarts in the middle of its drain, beside the old active, ends with a writer (seed 61)', async () => {
  const { a, b, run, checkers } = await aPairAtWork();
  b.replica.lagMs = 500;
  await run(5);
  a.die(false);
  await run(2);
  expect(b.takesWrites).toBe(false);
  b.die(false);
  await run(5);
  a.restart();
  b.restart();
  b.replica.lagMs = 0;
  await run(60);
  expect(checkers.notConverged()).toBeNull();
  expect(checkers.violations).toEqual([]);
});

test('a drain that began while the old active was silent goes on when that one is back (seed 132)', async () => {
  const { a, b, world, run, agent, checkers } = await aPairAtWork();
  b.die(true);
  await run(2);
  agent().crash();
  b.restart();
  await run(1);
  a.die(true);
  world.redis.empty();
  await run(4);
  agent().start();
  await run(0.1);
  a.restart();
  await run(90);
  expect(checkers.notConverged()).toBeNull();
  expect(checkers.violations).toEqual([]);
});

test('in a shared GTID domain its own write does not hide what a passive has not applied', async () => {
  const { a, b, world, run, checkers } = await aPairAtWork({}, { gtid: true, sharedDomain: true, startsItself: true });
  b.replica.lagMs = 400;
  await run(3);
  for (const client of world.clients) client.stop();
  // An administrator writes on the passive; the write goes round the circle and comes back after the ones that wait.
  b.writeAsAdministrator(world.nextWriteId());
  await run(0.5);
  expect(b.replica.facts().receivedGtid).toMatch(/^0-2-/);
  expect(b.replica.unapplied).toBeGreaterThan(5);
  a.die(true);
  await run(5);
  expect(b.takesWrites).toBe(false);
  b.replica.lagMs = 0;
  await run(10);
  expect(b.takesWrites).toBe(true);
  expect(checkers.violations).toEqual([]);
});

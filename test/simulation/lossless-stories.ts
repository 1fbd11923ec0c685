// Directed stories of a pair with durability=lossless, told by stories.ts as the others are.

import type { SimHost } from './host.ts';
import type { Scene, Story } from './stories.ts';

/** MariaDB: its relay log does not outlive a restart. */
const LOSSLESS = {
  policy: { durability: 'lossless' },
  style: { gtid: true, startsItself: true },
} as const satisfies Partial<Story>;

export const LOSSLESS_STORIES = {
  'the only complete host dies': {
    ...LOSSLESS,
    about:
      'F10: nobody is opened who lacks what clients were told of, and the one that was opened last comes back by itself',
    tell: async ({ a, b, cut, until, run, rests, checkers }) => {
      const heal = cut('A', 'B');
      if (!(await until(() => !a.semiSync.source))) checkers.violated('L1', 'A does not go on alone');
      await run(3);
      a.die(true);
      await run(30);
      a.restart();
      heal();
      await rests();
      if (b.takesWrites) checkers.violated('L3', 'the role is not where it was');
    },
  },
  'the passive was restarted since it was complete': {
    ...LOSSLESS,
    about: 'F2: another boot of a complete host may have lost what it received',
    tell: async ({ a, b, run, rests }) => {
      b.replica.stop({ io: false, sql: true });
      await run(2);
      a.die(true);
      b.die(false);
      await run(0.5);
      b.restart();
      await run(20);
      a.restart();
      await rests();
    },
  },
  'a late word lets commits go without an acknowledgement': {
    ...LOSSLESS,
    about: 'F7: the generation tells the server that a later one has been there',
    tell: async ({ a, b, process, at, until, run, cutOff, rests, checkers }) => {
      b.die(false);
      let late = '';
      // It sends when it is thawed.
      await at(
        (name, call) => {
          if (call === 'sync') late = name;
          return call === 'sync';
        },
        () => process(late).freeze(),
      );
      await until(() => !a.semiSync.source);
      b.restart();
      if (!(await until(() => b.replica.acknowledges && checkers.notConverged() === null, 60))) return;
      const other = late === 'agent-1' ? 'agent-2' : 'agent-1';
      const heal = cutOff('B', other, 'redis', 'identify-1', 'monitor-1');
      process(late).thaw();
      await run(0.4);
      a.die(true);
      await run(20);
      heal();
      a.restart();
      await rests();
    },
  },
  'the role goes there and back': {
    ...LOSSLESS,
    about: 'F12: what a new passive applies waits for nobody',
    tell: async (scene) => {
      await switched(scene, scene.b);
      await switched(scene, scene.a);
    },
  },
  'an active that was frozen wakes beside the new one': {
    ...LOSSLESS,
    about: 'F5: nobody acknowledges to it, so that it tells no client OK',
    // Where its commits stand when it freezes.
    attempts: 6,
    tell: async ({ a, b, attempt, cut, until, run, checkers }) => {
      await run(0.01 * attempt);
      const heal = cut('A', 'B');
      await run(0.06);
      a.freeze();
      if (!(await until(() => b.takesWrites, 15))) checkers.violated('L1', 'B is not opened');
      heal();
      await run(3);
      a.thaw();
      await run(10);
    },
  },
  'an active restarts beside one that cannot be closed': {
    ...LOSSLESS,
    style: { gtid: true, startsItself: false },
    about: 'L2: what a drain stopped and a restart left stopped runs again, both threads of it',
    tell: async ({ a, b, until, run, rests, checkers }) => {
      a.freeze();
      if (!(await until(() => b.takesWrites, 15))) checkers.violated('L1', 'B is not opened');
      a.locks += 1;
      a.thaw();
      await run(0.5);
      b.die(false);
      await run(3);
      b.restart();
      await run(1);
      a.locks -= 1;
      a.die(false);
      await run(1);
      a.restart();
      await rests();
    },
  },
  'an active closes itself beside one that cannot be closed': {
    ...LOSSLESS,
    about:
      'L2: whose commits wait since another one was opened told no client OK, and is not taken for the last writer',
    tell: async ({ world, a, b, process, until, run, rests, checkers }) => {
      a.freeze();
      if (!(await until(() => b.takesWrites, 15))) checkers.violated('L1', 'B is not opened');
      await until(() => !b.semiSync.source);
      const agents = [process('agent-1'), process('agent-2')];
      for (const agent of agents) agent.freeze();
      a.thaw();
      await until(() => b.readOnly, 15);
      world.redis.empty();
      await run(5);
      for (const agent of agents) agent.thaw();
      await run(5);
      a.die(false);
      await run(1);
      a.restart();
      await rests();
    },
  },
  'the board is emptied while commits wait for a dead passive': {
    ...LOSSLESS,
    about:
      'L2, F18: an active whose lease is over, and whose decision nobody knows any more, is closed and opened again',
    tell: async ({ world, a, b, until, run, rests, checkers }) => {
      b.die(true);
      world.redis.stop();
      await run(8);
      world.redis.empty();
      world.redis.start();
      // Alone and closed it is not opened: nobody knows what the other one acknowledged.
      if (!(await until(() => a.readOnly, 15))) checkers.violated('L2', 'A cannot be closed');
      b.restart();
      await rests();
    },
  },
} as const satisfies Readonly<Record<string, Story>>;

async function switched({ world, until, rests, checkers }: Scene, to: SimHost): Promise<void> {
  await world.switchOver();
  if (!(await until(() => to.takesWrites))) checkers.violated('L1', `${to.name} is not opened`);
  await rests();
}

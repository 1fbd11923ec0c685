// Directed stories: the shortest known ways to break a promise of a pair with a lease, each broken at the very moment that matters. With the code
// as it is every promise is kept (stories.test.ts); with the rule switched off for which it stands, one is not (mutants.mjs). Most come
// from the model of the protocol and from seeds.

import { NO_SAFETY, type Policy } from '../../src/core/decision.ts';
import { REDIS } from './board.ts';
import { Chance } from './chance.ts';
import { Checkers, type Violation } from './checkers.ts';
import type { SimHost } from './host.ts';
import { LOSSLESS_STORIES } from './lossless-stories.ts';
import type { Process } from './process.ts';
import { World, type WorldOptions } from './world.ts';

export interface Scene {
  readonly attempt: number;
  readonly world: World;
  readonly a: SimHost;
  readonly b: SimHost;
  readonly checkers: Checkers;
  process(name: string): Process;
  run(seconds: number): Promise<void>;
  /** False: it did not come about. */
  until(check: () => boolean, withinSec?: number): Promise<boolean>;
  /** These talk with each other alone; the returned function heals it. */
  cutOff(...inside: readonly string[]): () => void;
  cut(one: string, other: string): () => void;
  /** Does something at the moment when this call is about to be sent. */
  at(check: (process: string, call: string | null, host: SimHost) => boolean, act?: () => void): Promise<void>;
  /** Everything healed by now, it comes to rest; else that is told as a violation (L2). */
  rests(withinSec?: number): Promise<void>;
}

export interface Story {
  readonly about: string;
  readonly options?: Partial<WorldOptions>;
  readonly policy?: Partial<Policy>;
  readonly style?: Partial<WorldOptions['style']>;
  /** Begins without waiting for a pair that is armed. */
  readonly early?: boolean;
  /** The active never stops taking writes (L3). */
  readonly harmless?: boolean;
  /** Told so often, each time a little otherwise: `attempt` of the scene counts from 1. */
  readonly attempts?: number;
  readonly tell: (scene: Scene) => Promise<void>;
}

const SLICE_MS = 5;

export const STORIES = {
  ...LOSSLESS_STORIES,
  'renewals beside a new active': {
    about: 'F3: an agent on the side of the cut-off active does not feed its lease',
    tell: async ({ cutOff, run, rests }) => {
      const heal = cutOff('A', 'agent-2', 'client-of-A');
      await run(25);
      heal();
      await rests();
    },
  },
  'an agent sleeps before it opens': {
    about: 'F3: it asks its witness after it has slept, not before',
    // Before which of its looks at A it falls asleep: one of them is that for the grant.
    attempts: 4,
    tell: async ({ world, a, b, attempt, process, cut, until, run, rests }) => {
      const healLink = cut('agent-1', 'A');
      // So that A keeps the role for as long as it is away.
      process('identify-1').freeze();
      a.die(false);
      await run(1);
      let looks = 0;
      world.onCall = (name, call, host) => {
        if (name !== 'agent-2' || call !== null || host !== a) return;
        looks += 1;
        if (looks === attempt) process('agent-2').freeze();
      };
      a.restart();
      await until(() => process('agent-2').state === 'frozen', 3);
      world.onCall = () => {};
      const heal = [cut('agent-2', 'B'), cut('A', 'B'), cut('A', 'monitor-1'), healLink];
      process('identify-1').thaw();
      await until(() => b.takesWrites);
      await run(2);
      process('agent-2').thaw();
      await run(3);
      for (const end of heal) end();
      await rests();
    },
  },
  'a renewal that waits in a frozen server': {
    about: 'F4: it counts from before its witness was asked, not from when it runs',
    policy: { leaseMs: 6_000 },
    tell: async ({ world, a, at, run, cutOff, rests }) => {
      await at(
        (process, call, host) => process === 'agent-2' && call === 'renew' && host === a,
        () => a.freeze(),
      );
      await run(0.05);
      const heal = cutOff('A', 'client-of-A');
      await world.switchOver();
      await run(4.5);
      a.thaw();
      await run(15);
      heal();
      await rests();
    },
  },
  'a silent host holds what nobody has': {
    about: 'F5: nothing flows from the old active before it was seen closed and what it holds was counted',
    tell: async ({ a, b, cut, cutOff, run, until, rests }) => {
      const healLink = cut('A', 'B');
      await run(0.5);
      const heal = cutOff('A', 'client-of-A');
      await until(() => b.takesWrites);
      await run(5);
      healLink();
      heal();
      await until(() => a.readOnly);
      await rests();
    },
  },
  'Redis is emptied': {
    about: 'F8: the rows decide, with a higher number and the flag up',
    harmless: true,
    tell: async ({ world, run, rests }) => {
      world.redis.empty();
      await run(20);
      await rests();
    },
  },
  'Redis is restored from an old dump': {
    about: 'F8: an old dump never switches back',
    // Between the monitor's word and the next look of identify, or not.
    attempts: 5,
    tell: async ({ world, b, attempt, checkers, until, run, rests }) => {
      const dump = world.redis.dump();
      await world.switchOver();
      await until(() => b.takesWrites);
      await run(2 + 0.2 * attempt);
      checkers.mustStay(b);
      world.redis.stop();
      await run(0.3);
      world.redis.restore(dump);
      world.redis.start();
      await run(20);
      await rests();
    },
  },
  'an identify is restarted, and Redis restored': {
    about: 'F8: the rows know what the dump does not',
    tell: async ({ world, b, checkers, process, until, run, rests }) => {
      const dump = world.redis.dump();
      await world.switchOver();
      await until(() => b.takesWrites);
      await run(2);
      checkers.mustStay(b);
      process('identify-1').crash();
      world.redis.restore(dump);
      process('identify-1').start();
      await run(20);
      await rests();
    },
  },
  'an old dump comes back while the new active is cut off': {
    about: 'S1, F8: what a dump says of who was opened last is no reason to open without a fence',
    options: { agents: 1 },
    tell: async ({ world, b, cutOff, run, until, rests }) => {
      const dump = world.redis.dump();
      await world.switchOver();
      await until(() => b.takesWrites);
      await run(2);
      const heal = cutOff('B', 'client-of-B');
      await run(5);
      world.redis.restore(dump);
      await run(10);
      heal();
      await rests();
    },
  },
  'cut off after the last agent went': {
    about: 'F6: an endless lease is never waited for',
    tell: async ({ process, cutOff, until, run, rests, a }) => {
      process('agent-1').stop();
      process('agent-2').stop();
      await until(() => ['agent-1', 'agent-2'].every((name) => process(name).state === 'down'));
      const heal = cutOff('A', 'client-of-A');
      process('agent-1').start();
      process('agent-2').start();
      await run(25);
      heal();
      await until(() => a.takesWrites);
      await rests();
    },
  },
  'the last agent goes while the board is away': {
    about: 'F6: the flag stands on the passive’s row before the lease is endless',
    harmless: true,
    tell: async ({ world, process, until, run, rests }) => {
      world.redis.stop();
      process('agent-1').crash();
      process('agent-2').stop();
      await until(() => process('agent-2').state === 'down');
      await run(10);
      world.redis.start();
      await run(10);
      process('agent-1').start();
      process('agent-2').start();
      await rests();
    },
  },
  'the row alone knows that the lease is endless': {
    about: 'F6: whoever claims reads the flag of the row',
    tell: async (scene) => {
      const { cutOff, run, until, a, rests } = scene;
      await flagOnRowAlone(scene);
      const heal = cutOff('A', 'client-of-A');
      scene.process('agent-1').thaw();
      await run(25);
      heal();
      await until(() => a.takesWrites, 60);
      scene.process('agent-2').start();
      await rests();
    },
  },
  'the flag of the row is about the other host': {
    about: 'F6: the new host’s lease is what its decision permits',
    tell: async (scene) => {
      const { b, until, run, rests } = scene;
      await flagOnRowAlone(scene);
      scene.process('agent-1').thaw();
      await until(() => b.takesWrites);
      await run(5);
      scene.process('agent-2').start();
      await rests();
    },
  },
  'the agents go while the pair is being armed': {
    about: 'L3, F6: a clean stop makes the lease endless by a decision of its own',
    early: true,
    harmless: true,
    tell: async ({ world, a, b, process, until, run, rests }) => {
      await until(() => world.board().terms.lease === 'finite');
      // So that the lease is finite, and the flags still stand.
      b.freeze();
      await until(() => a.schema.row?.lease.kind === 'finite');
      await run(1);
      process('agent-1').stop();
      await run(2);
      process('agent-2').stop();
      await run(15);
      b.thaw();
      process('agent-1').start();
      process('agent-2').start();
      await rests();
    },
  },
  'one agent': {
    about: 'F15: one agent alone arms nothing',
    early: true,
    options: { agents: 1 },
    harmless: true,
    tell: async ({ process, run, rests }) => {
      await run(10);
      process('agent-1').crash();
      await run(10);
      process('agent-1').start();
      await rests();
    },
  },
  'all agents go, one after the other': {
    about: 'L3: taking mmm away never takes the database away',
    harmless: true,
    tell: async ({ process, run, until, rests }) => {
      process('agent-1').stop();
      await run(1.3);
      process('agent-2').stop();
      await until(() => process('agent-2').state === 'down');
      await run(20);
      process('agent-1').start();
      process('agent-2').start();
      await rests();
    },
  },
  'the board and one agent are lost': {
    about: 'L3: the passive’s row is witness enough',
    harmless: true,
    tell: async ({ world, process, run, rests }) => {
      world.redis.stop();
      process('agent-1').crash();
      await run(5);
      process('agent-2').crash();
      process('agent-2').start();
      await run(10);
      world.redis.start();
      process('agent-1').start();
      await rests();
    },
  },
  'the board goes away between claim and grant': {
    about: 'L3: who has claimed the active for a decision that keeps it grants it, too',
    harmless: true,
    // Of the active, then of the passive; then the same with a board that comes back empty.
    attempts: 4,
    tell: async ({ world, a, b, attempt, at, run, rests }) => {
      await world.pause(true);
      const claimed = attempt % 2 === 1 ? a : b;
      await at(
        (_, call, host) => call === 'claim' && host === claimed,
        () => (attempt > 2 ? world.redis.empty() : world.redis.stop()),
      );
      await run(15);
      world.redis.start();
      await world.pause(false);
      await rests();
    },
  },
  'the passive freezes between claim and grant': {
    about: 'L3: the active that was claimed does not wait for the passive',
    harmless: true,
    tell: async ({ world, a, b, at, run, rests }) => {
      await world.pause(true);
      await at(
        (_, call, host) => call === 'claim' && host === a,
        () => b.freeze(),
      );
      await run(15);
      b.thaw();
      await world.pause(false);
      await rests();
    },
  },
  'a switchover while replication is behind': {
    about: 'F13: the new active first receives all that the old one holds',
    style: { gtid: true },
    tell: async ({ world, b, cut, run, until, rests }) => {
      const heal = cut('A', 'B');
      await run(0.5);
      await world.switchOver();
      await run(1);
      heal();
      await until(() => b.takesWrites);
      await rests();
    },
  },
  'the writer of before comes back while the new one is drained': {
    about: 'F8: who was opened last needs no drain, and nobody else',
    tell: async ({ world, a, b, until, run, rests }) => {
      await world.switchOver();
      await until(() => b.takesWrites);
      await rests();
      a.replica.lagMs = 400;
      await run(5);
      b.die(false);
      await run(3);
      b.restart();
      await run(3);
      a.replica.lagMs = 0;
      await rests();
    },
  },
  'an active that was paused wakes beside a silent new one': {
    about: 'S1: being open by an older lease is no reason to be opened without fencing whoever was opened since',
    tell: async ({ a, b, cutOff, until, run, rests }) => {
      a.freeze('machine');
      await until(() => b.takesWrites);
      await run(3);
      const heal = cutOff('B', 'client-of-B');
      a.thaw();
      await run(20);
      heal();
      await rests();
    },
  },
  'the role goes back while the other host is being opened out of sight': {
    about:
      'S1: an open active is granted nothing beside a silent host that somebody may be opening by the decision before',
    policy: { leaseMs: 6_000 },
    tell: async ({ world, a, b, at, cut, process, until, run, rests }) => {
      const heal = [cut('agent-1', 'B'), cut('agent-2', 'A'), cut('A', 'B')];
      // Its clock stands still, so that it wakes with a lease.
      a.freeze('machine');
      await at(
        (name, call, host) => name === 'agent-2' && call === 'open' && host === b,
        () => process('agent-2').freeze(),
      );
      process('agent-1').freeze();
      a.thaw();
      await until(() => world.board().roles?.active === a.host);
      process('agent-2').thaw();
      await until(() => b.takesWrites, 2);
      process('agent-1').thaw();
      await run(20);
      for (const end of heal) end();
      await rests();
    },
  },
  'a firewall before the active, and the passive under backup': {
    about: 'F19: refused is no death where nobody else says so',
    tell: async ({ world, a, b, process, until, run, rests }) => {
      // So that A is known to come up read only: only then refused may count as dead.
      await world.switchOver();
      await until(() => b.takesWrites);
      a.die(false);
      await run(3);
      a.restart();
      await run(5);
      await world.switchOver();
      await until(() => a.takesWrites);
      await rests();
      b.replica.stop({ io: true, sql: false });
      const managers = ['monitor-1', 'agent-1', 'agent-2'].map((name) => process(name).name);
      for (const name of managers) world.network.reject(name, 'A', 1);
      await run(20);
      for (const name of managers) world.network.reject(name, 'A', -1);
      b.replica.start({ io: true, sql: false });
      await rests();
    },
  },
  'a firewall before the active, which freezes later': {
    about: 'F19: who refuses while the passive still hears it did not die then, and is silent from there on',
    options: { agents: 1 },
    tell: async ({ world, b, process, until, run, rests }) => {
      // B is known to come up read only: it was so when it was opened for the first time.
      await world.switchOver();
      await until(() => b.takesWrites);
      await rests();
      const managers = ['monitor-1', 'agent-1'].map((name) => process(name).name);
      for (const name of managers) world.network.reject(name, 'B', 1);
      await run(3);
      b.freeze();
      await run(15);
      for (const name of managers) world.network.reject(name, 'B', -1);
      b.thaw();
      await rests();
    },
  },
  'both hosts restart, and their my.cnf lets them write': {
    about:
      'L2: the active receives from a host that came up writable what it may lack, also where nobody started its replication',
    options: { blocking: true },
    style: { startsWritable: true },
    tell: async ({ a, b, run, until, rests }) => {
      a.die(false);
      b.die(false);
      await run(3);
      a.restart();
      // Its EVENT does not tick yet, so it is not opened at once.
      await until(() => a.readOnly);
      b.restart();
      await rests();
    },
  },
  'a silent host comes back while another agent opens the other one': {
    about: 'S4: the statement that opens looks itself whether more came in meanwhile',
    policy: NO_SAFETY,
    // What was sent into the cut arrives after it, or is lost.
    attempts: 6,
    tell: async ({ world, a, b, attempt, process, until, run, rests }) => {
      let cuts = 0;
      world.onStep = (name, step) => {
        if (name !== 'agent-2' || step.do !== 'open') return;
        world.network.cut('agent-2', 'B');
        cuts += 1;
      };
      process('agent-1').crash();
      a.freeze();
      await until(() => cuts > 0);
      world.onStep = () => {};
      b.replica.lagMs = 2_000;
      a.thaw();
      process('agent-1').start();
      await until(() => b.replica.ioStarted, 2);
      await run(0.01 * attempt);
      world.network.heal('agent-2', 'B');
      await run(3);
      b.replica.lagMs = 0;
      await rests();
    },
  },
  'roles are swapped by hand long after a switchover': {
    about: 'L2: the deadline of a switchover is over when it was done',
    policy: NO_SAFETY,
    tell: async ({ world, a, b, until, run, rests }) => {
      await world.switchOver();
      await until(() => b.takesWrites);
      await run(30);
      b.setReadOnly(true, true);
      a.setReadOnly(false, true);
      await rests();
    },
  },
  'an agent alone is cut off from the active, and an old dump comes back': {
    about: 'S3: an agent that knew a higher number obeys no lower one',
    tell: async ({ world, a, b, cut, until, run, rests, process }) => {
      const dump = world.redis.dump();
      a.die(true);
      await until(() => b.takesWrites);
      await run(3);
      // So that nobody writes the board anew, and nobody has told A anything yet.
      process('agent-1').freeze();
      const heal = [cut('identify-1', REDIS), cut('agent-2', 'B')];
      await run(2);
      world.redis.restore(dump);
      a.restart();
      await run(10);
      process('agent-1').thaw();
      for (const end of heal) end();
      await rests();
    },
  },
  'an agent is killed at each of its questions': {
    about: 'L2: whoever comes next goes on where it was cut off',
    attempts: 20,
    tell: async (scene) => {
      const { a, process, run, until, rests } = scene;
      await stopsAtCall(scene, (agent) => agent.crash());
      await run(1);
      process('agent-1').start();
      process('agent-2').start();
      await run(3);
      a.restart();
      await until(() => a.readOnly);
      await rests();
    },
  },
  'an agent is frozen at each of its questions, and thawed when another one has done it': {
    about: 'S3: what it was about to do does nothing',
    attempts: 20,
    tell: async (scene) => {
      const { a, b, process, run, until, rests } = scene;
      await stopsAtCall(scene, (agent) => agent.freeze());
      process('agent-2').start();
      await until(() => b.takesWrites);
      await run(8);
      a.restart();
      await run(2);
      process('agent-1').thaw();
      await rests();
    },
  },
  'the passive’s SQL thread is stopped when the active dies': {
    about: 'F2: it is started before the I/O thread is stopped',
    style: { gtid: true, startsItself: true },
    tell: async ({ a, b, run, until, checkers, rests }) => {
      b.replica.stop({ io: false, sql: true });
      await run(2);
      a.die(true);
      if (!(await until(() => b.takesWrites, 30))) checkers.violated('L1', 'B is not opened within 30 s');
      a.restart();
      await rests();
    },
  },
  'the active freezes': {
    about: 'L1: at whatever moment of everybody’s interval, the other host takes writes within lease + 4 s',
    options: { monitors: 2 },
    attempts: 10,
    tell: async (scene) => silentFor(scene, () => scene.a.freeze()),
  },
  'the active is cut off from everything': {
    about: 'L1: at whatever moment of everybody’s interval, the other host takes writes within lease + 4 s',
    options: { monitors: 2 },
    attempts: 10,
    tell: async (scene) => silentFor(scene, () => void scene.cutOff('A')),
  },
} as const satisfies Readonly<Record<string, Story>>;

export type StoryName = keyof typeof STORIES;

export function isStory(name: string): name is StoryName {
  return Object.hasOwn(STORIES, name);
}

/**
 * agent-2, without the board, takes its leave as the last one: the flag stands on B's row, and A's lease is endless. At that moment an
 * operator changes his mind twice, and identify, which has seen neither row yet, decides higher and higher numbers, at last for B. agent-1 is
 * frozen meanwhile.
 */
async function flagOnRowAlone({ world, a, process, cut, at, until }: Scene): Promise<void> {
  process('agent-1').freeze();
  const heal = cut('agent-2', REDIS);
  process('agent-2').stop();
  await at((name, call) => name === 'agent-2' && call === 'claim');
  for (let count = 0; count < 3; count++) {
    const before = world.board().epoch?.number ?? 0;
    await world.switchOver();
    await until(() => (world.board().epoch?.number ?? 0) > before, 0.3);
  }
  await until(() => a.schema.row?.lease.kind === 'endless');
  await until(() => process('agent-2').state === 'down');
  heal();
}

/** The budget of the design, in seconds: lease + 4. */
const SILENT_BUDGET_SEC = 7;

async function silentFor({ b, attempt, checkers, run, until }: Scene, act: () => void): Promise<void> {
  await run(attempt * 0.11);
  act();
  if (!(await until(() => b.takesWrites, SILENT_BUDGET_SEC))) {
    checkers.violated('L1', `B is not opened within ${SILENT_BUDGET_SEC} s`);
  }
}

/** A dies, and agent-1, alone, is stopped at its nth call or look of the failover. */
async function stopsAtCall(
  { world, a, process, attempt, until }: Scene,
  stop: (agent: Process) => void,
): Promise<void> {
  let calls = 0;
  process('agent-2').crash();
  a.die(true);
  world.onCall = (name) => {
    // A look is a place to be cut off at, too.
    if (name !== 'agent-1') return;
    calls += 1;
    if (calls === attempt) stop(process('agent-1'));
  };
  await until(() => process('agent-1').state !== 'up', 12);
  world.onCall = () => {};
}

interface Told {
  readonly violations: readonly Violation[];
  readonly story: readonly string[];
}

/** Ends with the first attempt that breaks a promise. */
export async function tellStory(name: StoryName, only?: number): Promise<Told> {
  const story: Story = STORIES[name];
  if (only !== undefined) return await tellOnce(name, story, only);
  for (let attempt = 1; ; attempt++) {
    const told = await tellOnce(name, story, attempt);
    if (told.violations.length > 0 || attempt >= (story.attempts ?? 1)) return told;
  }
}

async function tellOnce(name: string, story: Story, attempt: number): Promise<Told> {
  const options: WorldOptions = {
    monitors: 1,
    identifies: 1,
    agents: 2,
    blocking: false,
    policy: { ...NO_SAFETY, fencing: 'lease', onUnreachable: 'wait', ...story.policy },
    failback: 'auto',
    hookWorks: false,
    clients: 2,
    stubborn: true,
    writeEveryMs: 50,
    ...story.options,
    style: {
      gtid: false,
      sharedDomain: false,
      startsItself: false,
      startsWritable: false,
      netTimeoutMs: 4_000,
      applyMs: 2,
      ...story.style,
    },
  };
  const world = new World(options, new Chance(name));
  const checkers = new Checkers(world, { harmless: story.harmless === true });
  world.watcher = checkers;
  world.begin();
  const scene = sceneOf(world, checkers, attempt);
  if (story.early !== true) await scene.rests();
  if (checkers.violations.length === 0) await story.tell(scene);
  for (const what of world.broken) checkers.violated('bug', what);
  return { violations: checkers.violations, story: world.story };
}

function sceneOf(world: World, checkers: Checkers, attempt: number): Scene {
  const { timeline, network } = world;
  const over = () => checkers.violations.length > 0;
  const until = async (check: () => boolean, withinSec = 30) => {
    const endMs = timeline.nowMs + 1_000 * withinSec;
    while (!check() && timeline.nowMs < endMs && !over()) await timeline.run(timeline.nowMs + SLICE_MS);
    return check();
  };
  const cutAll = (links: readonly (readonly [string, string])[]) => {
    const ways = links.flatMap(([one, other]) => [[one, other] as const, [other, one] as const]);
    for (const [from, to] of ways) network.cut(from, to);
    return () => {
      for (const [from, to] of ways) network.heal(from, to);
    };
  };
  return {
    attempt,
    world,
    a: world.a,
    b: world.b,
    checkers,
    process: (name) => {
      const found = world.processes.find((process) => process.name === name);
      if (found === undefined) throw new Error(`there is no ${name}`);
      return found;
    },
    run: async (seconds) => {
      await until(() => false, seconds);
    },
    until,
    cutOff: (...inside) => {
      const others = ['A', 'B', REDIS, ...[...world.processes, ...world.clients].map(({ name }) => name)].filter(
        (name) => !inside.includes(name),
      );
      return cutAll(inside.flatMap((one) => others.map((other) => [one, other] as const)));
    },
    cut: (one, other) => cutAll([[one, other]]),
    at: async (check, act = () => {}) => {
      let seen = false;
      world.onCall = (process, call, host) => {
        if (seen || !check(process, call?.do ?? null, host)) return;
        seen = true;
        act();
      };
      await until(() => seen);
      world.onCall = () => {};
    },
    rests: async (withinSec = 90) => {
      if (await until(() => checkers.notConverged() === null, withinSec)) return;
      checkers.violated('L2', `${withinSec} s later: ${checkers.notConverged()}`);
    },
  };
}

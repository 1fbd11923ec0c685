// What breaks, how often and for how long. Every fault ends; a run heals all of them before it asks for convergence.

import { REDIS } from './board.ts';
import type { Chance } from './chance.ts';
import type { Process } from './process.ts';
import type { World } from './world.ts';

/** Begins a fault now; the returned function ends it. null: it does not apply at this moment. */
type Begin = (world: World, chance: Chance) => (() => void) | null;

interface Fault {
  readonly name: string;
  readonly minMs: number;
  readonly maxMs: number;
  readonly begin: Begin;
}

export const FAULTS = {
  'host dies': { minMs: 500, maxMs: 30_000, begin: (world, chance) => dies(world, chance, false) },
  'host loses power': { minMs: 2_000, maxMs: 30_000, begin: (world, chance) => dies(world, chance, true) },
  'host freezes': { minMs: 200, maxMs: 25_000, begin: freezesHost },
  'replication lags': { minMs: 3_000, maxMs: 20_000, begin: lags },
  'operator stops replication': { minMs: 3_000, maxMs: 30_000, begin: stopsReplication },
  'administrator writes': { minMs: 0, maxMs: 0, begin: administratorWrites },
  'lock held': { minMs: 1_000, maxMs: 12_000, begin: locks },
  'too many connections': { minMs: 1_000, maxMs: 20_000, begin: saturates },
  'slow statements': { minMs: 2_000, maxMs: 20_000, begin: slows },
  'host clock jumps': { minMs: 5_000, maxMs: 60_000, begin: jumpsHost },
  'daemon crashes': { minMs: 50, maxMs: 20_000, begin: crashes },
  'daemon freezes': { minMs: 100, maxMs: 20_000, begin: freezesDaemon },
  'daemon clock jumps': { minMs: 5_000, maxMs: 60_000, begin: jumpsDaemon },
  'redis down': { minMs: 500, maxMs: 30_000, begin: redisDown },
  'redis emptied': { minMs: 0, maxMs: 0, begin: redisEmptied },
  'redis restored': { minMs: 2_000, maxMs: 40_000, begin: redisRestored },
  'messages misbehave': { minMs: 5_000, maxMs: 40_000, begin: messages },
  'link cut': { minMs: 100, maxMs: 20_000, begin: cutLink },
  'daemon loses redis': { minMs: 500, maxMs: 20_000, begin: losesRedis },
  'daemon loses a host': { minMs: 500, maxMs: 40_000, begin: losesHost },
  'clients go elsewhere': { minMs: 3_000, maxMs: 30_000, begin: elsewhere },
  'party isolated': { minMs: 500, maxMs: 20_000, begin: isolates },
  'short silence': { minMs: 50, maxMs: 850, begin: silence },
  'slow network': { minMs: 2_000, maxMs: 20_000, begin: slowNetwork },
  'host is paused': { minMs: 500, maxMs: 25_000, begin: pausesHost },
  'global read lock': { minMs: 500, maxMs: 12_000, begin: locksAll },
  'host is replaced': { minMs: 3_000, maxMs: 20_000, begin: replaces },
  'firewall rejects': { minMs: 1_000, maxMs: 25_000, begin: rejects },
  'one link lags': { minMs: 2_000, maxMs: 20_000, begin: lagsLink },
  'daemon stops cleanly': { minMs: 1_000, maxMs: 20_000, begin: stopsDaemon },
  'agents stop cleanly': { minMs: 6_000, maxMs: 30_000, begin: stopsAgents },
  'operator switches over': { minMs: 0, maxMs: 0, begin: switchesOver },
  'operator pauses': { minMs: 2_000, maxMs: 30_000, begin: pauses },
  'host shuts down': { minMs: 500, maxMs: 30_000, begin: shutsDown },
  'hosts lose each other': { minMs: 100, maxMs: 30_000, begin: losesOther },
} as const satisfies Readonly<Record<string, Omit<Fault, 'name'>>>;

export type FaultName = keyof typeof FAULTS;

/** Those that touch neither a database host nor its links: they must not move the active (L3). */
export const HARMLESS: readonly FaultName[] = [
  'daemon crashes',
  'daemon freezes',
  'daemon stops cleanly',
  'daemon clock jumps',
  'daemon loses redis',
  'redis down',
  'redis emptied',
  'redis restored',
  'messages misbehave',
];

/** Only where a server has a row, or would be held to be another one. */
export const GUARDED_ONLY: readonly FaultName[] = ['host is replaced', 'agents stop cleanly', 'firewall rejects'];

/** Only where commits wait: left out of the other runs, which would be others with them. */
export const LOSSLESS_ONLY: readonly FaultName[] = ['host shuts down', 'hosts lose each other'];

const REDIS_RESTARTS_MS: readonly [number, number] = [50, 2_000];
const OPERATOR_RETRY_MS = 500;
/** So long after it woke a paused machine is told the right time. */
const CLOCK_MENDED_MS: readonly [number, number] = [500, 20_000];

export interface FaultPlan {
  readonly kinds: readonly FaultName[];
  readonly leastGapMs: number;
  readonly meanGapMs: number;
  /** So many at once. */
  readonly most: number;
}

/** Faults come and go until it is told to stop. */
export class Faults {
  readonly #world: World;
  readonly #chance: Chance;
  readonly #plan: FaultPlan;
  readonly #ends = new Set<() => void>();
  #stopped = false;

  constructor(world: World, chance: Chance, plan: FaultPlan) {
    this.#world = world;
    this.#chance = chance;
    this.#plan = plan;
    if (plan.kinds.length > 0) this.#next();
  }

  /** Begins this one; it ends by itself, or when all are healed. */
  begin(name: FaultName, forMs?: number): void {
    const fault: Omit<Fault, 'name'> = FAULTS[name];
    const lastsMs = forMs ?? this.#chance.between(fault.minMs, fault.maxMs);
    const end = fault.begin(this.#world, this.#chance);
    if (end === null) return;
    const once = () => {
      cancel();
      if (!this.#ends.delete(once)) return;
      end();
    };
    this.#ends.add(once);
    const cancel = this.#world.timeline.after(lastsMs, once);
  }

  healAll(): void {
    this.#stopped = true;
    for (const end of [...this.#ends]) end();
    this.#world.tell('faults', 'all are healed');
  }

  #next(): void {
    this.#world.timeline.after(this.#plan.leastGapMs + this.#chance.gap(this.#plan.meanGapMs), () => {
      if (this.#stopped) return;
      if (this.#ends.size < this.#plan.most) this.begin(this.#chance.pick(this.#plan.kinds));
      this.#next();
    });
  }
}

function dies(world: World, chance: Chance, power: boolean): (() => void) | null {
  const host = chance.pick(world.hosts);
  if (host.state === 'down') return null;
  host.die(power);
  const { boot } = host;
  return () => {
    if (host.boot === boot) host.restart();
  };
}

/** SHUTDOWN. MySQL tells all OK that still wait [docs/protocol.md], so there a good operator first sees that nobody does. */
function shutsDown(world: World, chance: Chance): (() => void) | null {
  const host = chance.pick(world.hosts);
  if (host.state !== 'up' || (!world.options.style.gtid && host.semiSync.waiting > 0)) return null;
  world.tell(host.name, 'is shut down');
  host.shutDown();
  const { boot } = host;
  return () => {
    if (host.boot <= boot + 1) host.restart();
  };
}

/** Replication alone is cut, in one direction or in both. */
function losesOther(world: World, chance: Chance): () => void {
  const ways = chance.pick([
    [['A', 'B']],
    [['B', 'A']],
    [
      ['A', 'B'],
      ['B', 'A'],
    ],
  ] as const);
  for (const [from, to] of ways) world.network.cut(from, to);
  world.tell('network', `cut: ${ways.map((way) => way.join(' -> ')).join(', ')}`);
  return () => {
    for (const [from, to] of ways) world.network.heal(from, to);
    world.tell('network', `whole again: ${ways.map((way) => way.join(' -> ')).join(', ')}`);
  };
}

function freezesHost(world: World, chance: Chance): (() => void) | null {
  const host = chance.pick(world.hosts);
  if (host.state !== 'up') return null;
  host.freeze();
  return () => host.thaw();
}

/** A virtual machine: its clock stands still meanwhile, and somebody sets it later. */
function pausesHost(world: World, chance: Chance): (() => void) | null {
  const host = chance.pick(world.hosts);
  if (host.state !== 'up') return null;
  host.freeze('machine');
  const { boot } = host;
  const sinceMs = world.timeline.nowMs;
  return () => {
    if (host.boot !== boot || host.state !== 'frozen') return;
    const pausedMs = world.timeline.nowMs - sinceMs;
    host.thaw();
    world.timeline.after(chance.between(...CLOCK_MENDED_MS), () => {
      world.tell(host.name, 'its clock is told the right time');
      host.jump(pausedMs);
    });
  };
}

function locksAll(world: World, chance: Chance): (() => void) | null {
  const host = chance.pick(world.hosts);
  if (host.state !== 'up') return null;
  const { boot } = host;
  host.lockForReading(1);
  return () => {
    if (host.boot === boot) host.lockForReading(-1);
  };
}

/** Another server with a copy of its data answers at its address. An operator looks at it, and says that it is the member from now on. */
function replaces(world: World, chance: Chance): (() => void) | null {
  const host = chance.pick(world.hosts);
  if (host.state === 'down') return null;
  host.die(true);
  const { boot } = host;
  return () => {
    if (host.boot !== boot) return;
    host.uuid = `${host.uuid}'`;
    world.tell(host.name, 'is another server from now on');
    host.restart();
    const rejoin = () => {
      if (host.uuid !== uuid) return;
      void world.rejoin(host).then((done) => {
        if (done) world.tell(host.name, 'is the member from now on, says its operator');
        else world.timeline.after(OPERATOR_RETRY_MS, rejoin);
      });
      world.timeline.stir();
    };
    const { uuid } = host;
    world.timeline.after(chance.between(500, 10_000), rejoin);
  };
}

/** A rule that resets the managers' connections to a host, and nobody else's: nothing is dead there [F19]. */
function rejects(world: World, chance: Chance): () => void {
  const host = chance.pick(world.hosts);
  const all = chance.happens(0.6);
  const names = world.processes.map(({ name }) => name).filter(() => all || chance.happens(0.5));
  world.tell('network', `a firewall rejects ${names.join(', ')} at ${host.name}`);
  for (const name of names) world.network.reject(name, host.name, 1);
  return () => {
    for (const name of names) world.network.reject(name, host.name, -1);
    world.tell('network', `no firewall before ${host.name} any more`);
  };
}

/** What goes one way between two of them takes seconds: a renewal that comes late, a decision that is read late. */
function lagsLink(world: World, chance: Chance): () => void {
  const { name } = chance.pick(world.processes);
  const to = chance.pick(['A', 'B', REDIS]);
  const lagMs = chance.pick([300, 1_000, 2_500, 5_000]);
  const [from, towards] = chance.happens(0.5) ? [name, to] : [to, name];
  world.tell('network', `${from} -> ${towards} takes up to ${lagMs} ms`);
  world.network.lag(from, towards, lagMs);
  return () => {
    world.network.lag(from, towards, 0);
    world.tell('network', `${from} -> ${towards} is fast again`);
  };
}

function stopsDaemon(world: World, chance: Chance): (() => void) | null {
  return stopsAll(world, [chance.pick(world.breakable)]);
}

/** A maintenance of the managers: each is stopped cleanly, one after the other within seconds. */
function stopsAgents(world: World, chance: Chance): (() => void) | null {
  const agents = world.processesOf('agent');
  const [first, ...rest] = agents;
  if (first === undefined) return null;
  const end = stopsAll(world, agents, [first]);
  if (end === null) return null;
  const cancels = rest.map((agent) =>
    world.timeline.after(chance.between(0, 4_000), () => {
      world.tell(agent.name, 'is stopped');
      agent.stop();
    }),
  );
  return () => {
    for (const cancel of cancels) cancel();
    end();
  };
}

function stopsAll(world: World, all: readonly Process[], now = all): (() => void) | null {
  if (now.some(({ state }) => state === 'down')) return null;
  for (const process of now) {
    world.tell(process.name, 'is stopped');
    process.stop();
  }
  return () => {
    for (const process of all) {
      // systemd kills what does not end.
      process.crash();
      world.tell(process.name, 'starts');
      process.start();
    }
    world.watcher.changed();
  };
}

function switchesOver(world: World): () => void {
  void world.switchOver().then((to) => {
    if (to !== null) world.tell('operator', `asks for a switchover to ${to.name}`);
  });
  world.timeline.stir();
  return () => {};
}

function pauses(world: World): (() => void) | null {
  void world.pause(true);
  world.tell('operator', 'pauses');
  world.timeline.stir();
  return () => {
    void world.pause(false);
    world.tell('operator', 'resumes');
    world.timeline.stir();
  };
}

function lags(world: World, chance: Chance): () => void {
  const host = chance.pick(world.hosts);
  const { replica } = host;
  const lagMs = chance.between(20, 800);
  world.tell(host.name, `applies each transaction ${Math.round(lagMs)} ms slower`);
  replica.lagMs += lagMs;
  return () => {
    replica.lagMs -= lagMs;
    world.tell(host.name, 'applies fast again');
  };
}

/** A backup stops one thread or both, and starts them again. */
function stopsReplication(world: World, chance: Chance): (() => void) | null {
  const host = chance.pick(world.hosts);
  if (host.state !== 'up') return null;
  const { boot } = host;
  const { replica } = host;
  const wanted = chance.pick([
    { io: false, sql: true },
    { io: true, sql: true },
    { io: true, sql: false },
  ]);
  // It starts again only what it stopped.
  const threads = { io: wanted.io && replica.ioStarted, sql: wanted.sql && replica.sqlStarted };
  if (!threads.io && !threads.sql) return null;
  replica.stop(threads);
  world.tell(host.name, `its operator stops ${threads.io ? 'I/O ' : ''}${threads.sql ? 'SQL' : ''}`);
  const startAgain = () => {
    if (host.boot !== boot) return;
    if (host.state === 'frozen') {
      world.timeline.after(OPERATOR_RETRY_MS, startAgain);
      return;
    }
    // A good operator: SQL first, so that nothing is thrown away.
    if (threads.sql) replica.start({ io: false, sql: true });
    if (threads.io) replica.start({ io: true, sql: false });
    world.tell(host.name, 'its operator starts replication again');
  };
  return startAgain;
}

/** read_only does not bind an administrator; what he writes on the passive goes round the circle and comes back to it. */
function administratorWrites(world: World, chance: Chance): (() => void) | null {
  const host = chance.pick(world.hosts);
  if (host.state !== 'up') return null;
  world.tell(host.name, 'an administrator writes there');
  host.writeAsAdministrator(world.nextWriteId());
  return () => {};
}

function locks(world: World, chance: Chance): (() => void) | null {
  const host = chance.pick(world.hosts);
  if (host.state !== 'up') return null;
  const { boot } = host;
  host.locks += 1;
  world.tell(host.name, 'an operator holds a lock');
  return () => {
    // A death of the server has ended it.
    if (host.boot !== boot) return;
    host.locks -= 1;
    world.tell(host.name, 'the lock is gone');
    world.watcher.changed();
  };
}

function saturates(world: World, chance: Chance): () => void {
  const host = chance.pick(world.hosts);
  host.saturated += 1;
  world.tell(host.name, 'has too many connections');
  return () => {
    host.saturated -= 1;
    world.tell(host.name, 'has room for connections again');
    world.watcher.changed();
  };
}

function slows(world: World, chance: Chance): () => void {
  const host = chance.pick(world.hosts);
  const slowMs = chance.between(50, 400);
  host.slowMs += slowMs;
  world.tell(host.name, `answers up to ${Math.round(slowMs)} ms slower`);
  return () => {
    host.slowMs = Math.max(0, host.slowMs - slowMs);
    world.tell(host.name, 'answers fast again');
  };
}

function jumpsHost(world: World, chance: Chance): () => void {
  const host = chance.pick(world.hosts);
  const jumpMs = chance.pick([-3_600_000, -5_000, 5_000, 3_600_000]);
  host.jump(jumpMs);
  world.tell(host.name, `its clock jumps by ${jumpMs / 1_000} s`);
  return () => {
    host.jump(-jumpMs);
    world.tell(host.name, 'its clock is right again');
  };
}

function crashes(world: World, chance: Chance): (() => void) | null {
  const process = chance.pick(world.breakable);
  if (process.state === 'down') return null;
  process.crash();
  world.tell(process.name, 'crashes');
  world.watcher.changed();
  return () => {
    world.tell(process.name, 'starts');
    process.start();
    world.watcher.changed();
  };
}

function freezesDaemon(world: World, chance: Chance): (() => void) | null {
  const process = chance.pick(world.breakable);
  if (process.state !== 'up') return null;
  process.freeze();
  world.tell(process.name, 'is frozen');
  world.watcher.changed();
  return () => {
    if (process.state !== 'frozen') return;
    world.tell(process.name, 'is thawed');
    process.thaw();
    world.watcher.changed();
  };
}

function jumpsDaemon(world: World, chance: Chance): () => void {
  const process = chance.pick(world.processes);
  const jumpMs = chance.pick([-3_600_000, -20_000, 20_000, 3_600_000]);
  process.wallJumpMs += jumpMs;
  world.tell(process.name, `its clock jumps by ${jumpMs / 1_000} s`);
  return () => {
    process.wallJumpMs -= jumpMs;
    world.tell(process.name, 'its clock is right again');
  };
}

function redisDown(world: World): (() => void) | null {
  if (!world.redis.up) return null;
  world.tell(REDIS, 'goes down');
  world.redis.stop();
  return () => {
    world.tell(REDIS, 'is back with its data');
    world.redis.start();
  };
}

function redisEmptied(world: World): () => void {
  world.tell(REDIS, 'is emptied');
  world.redis.empty();
  return () => {};
}

/** Its data of now come back later, in the running Redis or in one that was restarted: then everybody connects anew, and looks at once. */
function redisRestored(world: World, chance: Chance): () => void {
  const dump = world.redis.dump();
  world.tell(REDIS, 'is dumped');
  return () => {
    if (!world.redis.up || chance.happens(0.5)) {
      world.tell(REDIS, 'is restored from its older dump');
      world.redis.restore(dump);
      return;
    }
    world.tell(REDIS, 'is killed');
    world.redis.stop();
    world.timeline.after(chance.between(...REDIS_RESTARTS_MS), () => {
      world.tell(REDIS, 'comes back with its older dump');
      world.redis.restore(dump);
      world.redis.start();
    });
  };
}

function messages(world: World, chance: Chance): () => void {
  const { messages: how } = world.redis;
  how.lost = chance.pick([0, 0.3, 1]);
  how.doubled = chance.pick([0, 0.3]);
  how.late = chance.pick([0, 0.5]);
  world.tell(REDIS, `loses ${how.lost}, doubles ${how.doubled}, delays ${how.late} of its messages`);
  return () => {
    how.lost = 0;
    how.doubled = 0;
    how.late = 0;
    world.tell(REDIS, 'delivers its messages again');
  };
}

function cutLink(world: World, chance: Chance): () => void {
  const names = parties(world);
  const one = chance.pick(names);
  const other = chance.pick(names.filter((name) => name !== one));
  return cut(world, chance, [[one, other]], `${one} - ${other}`);
}

function losesRedis(world: World, chance: Chance): () => void {
  const { name } = chance.pick(world.processes);
  return cut(world, chance, [[name, REDIS]], `${name} - ${REDIS}`);
}

function losesHost(world: World, chance: Chance): () => void {
  const { name } = chance.pick(world.processes);
  const host = chance.pick(world.hosts).name;
  return cut(world, chance, [[name, host]], `${name} - ${host}`);
}

/** Connector/J has fallen over to one host and only reads there: by the contract's rules the role follows. */
function elsewhere(world: World, chance: Chance): () => void {
  const host = chance.pick(world.hosts);
  world.tell('clients', `all read on ${host.name}`);
  for (const client of world.clients) client.readOn(host);
  return () => {
    world.tell('clients', 'write again');
    for (const client of world.clients) client.readOn(null);
  };
}

function isolates(world: World, chance: Chance): () => void {
  const names = parties(world);
  // A machine may hold several of them.
  const size = chance.pick([1, 1, 2, 3]);
  const inside = new Set(Array.from({ length: size }, () => chance.pick(names)));
  const links = [...inside].flatMap((one) =>
    names.filter((other) => !inside.has(other)).map((other): [string, string] => [one, other]),
  );
  return cut(world, chance, links, `${[...inside].join(', ')} from all others`);
}

function cut(world: World, chance: Chance, links: readonly [string, string][], what: string): () => void {
  const direction = chance.pick(['both', 'both', 'there', 'back']);
  const ways = links.flatMap(([one, other]): [string, string][] => [
    ...(direction === 'back' ? [] : [[one, other] as [string, string]]),
    ...(direction === 'there' ? [] : [[other, one] as [string, string]]),
  ]);
  world.tell('network', `cut (${direction}): ${what}`);
  for (const [from, to] of ways) world.network.cut(from, to);
  return () => {
    world.tell('network', `healed: ${what}`);
    for (const [from, to] of ways) world.network.heal(from, to);
  };
}

/** Shorter than one time-out: the second look, which follows a silent first one, is answered. */
function silence(world: World, chance: Chance): (() => void) | null {
  if (chance.happens(0.5)) return freezesHost(world, chance);
  const { name } = chance.pick(world.processes);
  return cut(world, chance, [[name, chance.pick(world.hosts).name]], `${name} - a host`);
}

function slowNetwork(world: World, chance: Chance): () => void {
  const slowMs = chance.between(20, 300);
  world.network.slowMs += slowMs;
  world.tell('network', `up to ${Math.round(slowMs)} ms slower`);
  return () => {
    world.network.slowMs = Math.max(0, world.network.slowMs - slowMs);
    world.tell('network', 'fast again');
  };
}

function parties(world: World): readonly string[] {
  return ['A', 'B', REDIS, ...world.processes.map(({ name }) => name), ...world.clients.map(({ name }) => name)];
}

// The whole simulated installation: two hosts, Redis, the daemons, the clients, and the links between them. It has no opinion: faults.ts
// breaks it, checkers.ts judges it, run.ts does one after the other.

import { createHash } from 'node:crypto';
import type { AgentMemory, RememberedPair } from '../../src/core/agent-memory.ts';
import type { Call } from '../../src/core/call.ts';
import { type Board, NO_TERMS, type Policy } from '../../src/core/decision.ts';
import type { HookOrder, HookResult } from '../../src/core/hook.ts';
import type { Pair } from '../../src/core/pair.ts';
import type { Step } from '../../src/core/step.ts';
import { lifeOfNewMember } from '../../src/core/stranger.ts';
import type { Store } from '../../src/store/store.ts';
import { boardOf } from '../../src/store/wire.ts';
import { decodeDivergence, decodeEpoch, decodeRoles } from '../../src/store/wire-decisions.ts';
import { decodeUnfenced } from '../../src/store/wire-guard.ts';
import { keysOf } from '../../src/store/wire-keys.ts';
import { aPair } from '../support/build.ts';
import { SimRedis } from './board.ts';
import type { Chance } from './chance.ts';
import { Client } from './clients.ts';
import { CONNECT_TIMEOUT_MS, type Role, startDaemon, TOPIC } from './daemons.ts';
import { SimFence } from './fence.ts';
import { SimHost, type Write } from './host.ts';
import { Network } from './network.ts';
import { type Life, Process } from './process.ts';
import type { ReplicationStyle } from './replica.ts';
import type { CallWatcher } from './schema.ts';
import { SimServer } from './server.ts';
import { Timeline } from './timeline.ts';

/** What kind of installation it is. */
export interface WorldOptions {
  readonly monitors: number;
  readonly identifies: number;
  readonly agents: number;
  readonly style: ReplicationStyle;
  readonly blocking: boolean;
  readonly policy: Policy;
  readonly failback: 'auto' | 'never';
  /** What comes of the operator's fence program, where the policy names one. */
  readonly hookWorks: boolean;
  /** Clients with both hosts in their list. */
  readonly clients: number;
  /** One more client per host that never goes elsewhere. */
  readonly stubborn: boolean;
  readonly writeEveryMs: number;
}

/** Who looks on. Called at the moment when it happens, never later. */
export interface Watcher extends CallWatcher {
  /** Who takes writes, who reaches whom, or the board may have changed. */
  changed(): void;
  stepBegins(process: Process, step: Step): void;
  opened(host: SimHost): void;
  /** A client reads that its commit succeeded. */
  acknowledged(write: Write, host: SimHost): void;
  /** A server tells a client so, whether that one still listens or not. */
  told(write: Write, host: SimHost): void;
}

/** Told when a process sends a call, and when one looks at a row (null): directed stories break something at that very moment. */
export type OnCall = (process: string, call: Call | null, host: SimHost) => void;

/** The same when one begins a step that a server does by itself. */
export type OnStep = (process: string, step: Step) => void;

const HOOK_TAKES_MS: readonly [number, number] = [200, 3_000];
const SWITCHED_ON_MS: readonly [number, number] = [3_000, 30_000];
/** What a round says that met a mistake in its own code; the loop survives it. */
const MISTAKE = /is not defined|is not a function|Cannot read propert|is not iterable/;
const OPERATOR_LOOKS_MS = 5_000;
const REQUEST_EXPIRES_MS = 10_000;
const SWITCHOVER_WITHIN_SEC = 10;
const STORY_LINES = 20_000;
const WALL_MS = Date.UTC(2026, 0, 1);

export class World {
  readonly options: WorldOptions;
  readonly pair: Pair = aPair();
  readonly timeline = new Timeline();
  readonly network: Network;
  readonly redis: SimRedis;
  readonly a: SimHost;
  readonly b: SimHost;
  readonly processes: Process[] = [];
  readonly clients: Client[] = [];
  /** Every line in order; the oldest go when there are too many. */
  readonly story: string[] = [];
  /** Bugs and rejected promises, which must not be. */
  readonly broken: string[] = [];
  watcher: Watcher = {
    changed: () => {},
    stepBegins: () => {},
    opened: () => {},
    acknowledged: () => {},
    told: () => {},
    callActs: () => {},
  };
  onCall: OnCall = () => {};
  onStep: OnStep = () => {};
  readonly #chance: Chance;
  readonly #hash = createHash('sha256');
  /** An operator's own way to the board, which no link is in the way of. */
  readonly #operator: Store;
  /** What the operators said of the servers behind the addresses: the uuid of each member. */
  readonly #members = new Map<SimHost, string>();
  readonly #spared = new Set<string>();
  #writes = 0;
  #debug = false;

  constructor(options: WorldOptions, chance: Chance) {
    this.options = options;
    this.#chance = chance;
    this.network = new Network(this.timeline, chance.stream('network'));
    this.redis = new SimRedis(this.timeline, this.network, chance.stream('redis'));
    this.#operator = this.redis.memory.store({ topic: TOPIC });
    this.a = this.#newHost('A', 1);
    this.b = this.#newHost('B', 2);
    this.a.replicateFrom(this.b);
    this.b.replicateFrom(this.a);
    this.network.onChange = () => {
      this.redis.linksChanged();
      this.a.replica.poke();
      this.b.replica.poke();
    };
    this.redis.onChange = () => this.watcher.changed();
    for (const role of ['monitor', 'identify', 'agent'] as const) {
      const count = { monitor: options.monitors, identify: options.identifies, agent: options.agents }[role];
      for (let number = 1; number <= count; number++) this.processes.push(this.#newProcess(role, `${role}-${number}`));
    }
  }

  /** Starts the daemons and the clients. */
  begin(): void {
    for (const process of this.processes) process.start();
    const { clients, stubborn } = this.options;
    for (let number = 1; number <= clients; number++) this.#addClient(`client-${number}`, [this.a, this.b]);
    if (!stubborn) return;
    this.#addClient('client-of-A', [this.a]);
    this.#addClient('client-of-B', [this.b]);
  }

  get hosts(): readonly [SimHost, SimHost] {
    return [this.a, this.b];
  }

  other(host: SimHost): SimHost {
    return host === this.a ? this.b : this.a;
  }

  hostOf(address: string | undefined): SimHost | null {
    return this.hosts.find(({ host }) => host === address) ?? null;
  }

  /** No fault of its own befalls this process. */
  spare(name: string): void {
    this.#spared.add(name);
  }

  /** Those that a fault may befall. */
  get breakable(): readonly Process[] {
    return this.processes.filter(({ name }) => !this.#spared.has(name));
  }

  processesOf(role: Role): readonly Process[] {
    return this.processes.filter(({ name }) => name.startsWith(role));
  }

  /** What stands on the board, whether anybody can read it or not. */
  board(): Pick<Board, 'roles' | 'epoch' | 'terms'> {
    const { memory } = this.redis;
    const keys = keysOf(this.pair.uniqsign);
    const decided = decodeEpoch(memory.fields(keys.epoch)).value;
    const roles = decided?.roles ?? decodeRoles(memory.fields(keys.mode)).value;
    return { roles, epoch: decided?.epoch ?? null, terms: decided?.terms ?? NO_TERMS };
  }

  /** The flag of the pair's lease, and the decision beside which it stands. */
  flag(): Pick<Board, 'epoch' | 'unfenced'> {
    const keys = keysOf(this.pair.uniqsign);
    const unfenced = decodeUnfenced(this.redis.memory.text(keys.unfenced)).value;
    return { unfenced, epoch: unfenced === false ? this.board().epoch : null };
  }

  /** What was told of a host that holds what the active lacks. */
  divergence(): Board['divergence'] {
    const fields = this.redis.memory.fields(keysOf(this.pair.uniqsign).divergence);
    return fields.size === 0 ? null : decodeDivergence(fields).value;
  }

  /** All of it, for who looks seldom. */
  wholeBoard(): Board {
    const { memory } = this.redis;
    const keys = keysOf(this.pair.uniqsign);
    const lives = this.hosts.map(({ host }) => [host, memory.fields(keys.life(host))] as const);
    const raw = {
      mode: memory.fields(keys.mode),
      epoch: memory.fields(keys.epoch),
      report: memory.fields(keys.report),
      policy: memory.fields(keys.policy),
      opened: memory.strings.get(keys.opened) ?? null,
      topic: null,
      divergence: memory.fields(keys.divergence),
      request: memory.fields(keys.request),
      pause: memory.fields(keys.pause),
      unfenced: memory.text(keys.unfenced),
      complete: memory.fields(keys.complete),
      joining: memory.fields(keys.joining),
      lives: new Map(lives),
    };
    return boardOf(this.pair.uniqsign, raw, (_, { value }) => value);
  }

  /** What an operator says about another server behind a member's address; false: not now. */
  async rejoin(host: SimHost): Promise<boolean> {
    const { epoch } = await this.#operator.board(this.pair.uniqsign);
    if (epoch === null || !this.redis.up) return false;
    const { uuid } = host;
    const done = await this.#operator.putLife(this.pair.uniqsign, epoch, host.host, lifeOfNewMember(host.facts().boot));
    if (done) this.#members.set(host, uuid);
    return done;
  }

  /** Not another server behind a member's address, of which no operator has said yet that it is the member now. */
  isMember(host: SimHost): boolean {
    const uuid = this.#members.get(host);
    return uuid === undefined ? host.isOriginal : uuid === host.uuid;
  }

  /** A board that was emptied or restored knows an older server of that address, or a pause that is over: its operator says so again. */
  putRight(): void {
    const { lives, pause } = this.wholeBoard();
    if (pause !== null) void this.pause(false);
    for (const host of this.hosts) {
      const known = lives.get(host.host);
      if (known !== undefined && known.uuid !== host.uuid && host.state === 'up') void this.rejoin(host);
    }
    this.timeline.stir();
    this.timeline.after(OPERATOR_LOOKS_MS, () => this.putRight());
  }

  /** An operator asks for a switchover to whoever is not the active; null: there is nobody to ask. */
  async switchOver(): Promise<SimHost | null> {
    const { epoch, roles } = await this.#operator.board(this.pair.uniqsign);
    if (epoch === null || roles === null || !this.redis.up) return null;
    const atMs = this.#wallMs();
    const asked = await this.#operator.putRequest(this.pair.uniqsign, {
      id: this.#chance.id(),
      kind: 'switchover',
      to: roles.passive,
      by: 'operator',
      epoch,
      atMs,
      expiresMs: atMs + REQUEST_EXPIRES_MS,
      withinSec: SWITCHOVER_WITHIN_SEC,
      refused: null,
    });
    return asked ? this.hostOf(roles.passive) : null;
  }

  async pause(on: boolean): Promise<void> {
    const pause = on ? { by: 'operator', atMs: this.#wallMs(), untilMs: null } : null;
    await this.#operator.putPause(this.pair.uniqsign, pause);
  }

  nextWriteId(): number {
    this.#writes += 1;
    return this.#writes;
  }

  tell(who: string, text: string): void {
    const line = `${(this.timeline.nowMs / 1_000).toFixed(3).padStart(9)} ${who.padEnd(11)} ${text}`;
    this.#hash.update(line);
    this.#hash.update('\n');
    if (this.story.length >= STORY_LINES) this.story.splice(0, STORY_LINES / 2);
    this.story.push(line);
  }

  /** Debug lines, too, from here on. They are no part of the hash. */
  tellAll(): void {
    this.#debug = true;
  }

  /** The same for the same seed. */
  hash(): string {
    return this.#hash.copy().update(`${this.timeline.events} events`).digest('hex');
  }

  #newHost(name: 'A' | 'B', serverId: number): SimHost {
    const host: SimHost = new SimHost({
      name,
      host: name === 'A' ? this.pair.primary : this.pair.secondary,
      serverId,
      readOnly: name === 'B',
      style: this.options.style,
      blocking: this.options.blocking,
      timeline: this.timeline,
      network: this.network,
      chance: this.#chance.stream(name),
      wallMs: () => this.#wallMs(),
      tell: (text) => this.tell(name, text),
      onChange: () => this.watcher.changed(),
      onOpen: () => this.watcher.opened(host),
      onTold: (write) => this.watcher.told(write, host),
      callWatcher: { callActs: (call, on) => this.watcher.callActs(call, on) },
    });
    return host;
  }

  #newProcess(role: Role, name: string): Process {
    const memory = memoryOf();
    let store = null as ReturnType<SimRedis['storeFor']> | null;
    const process: Process = new Process({
      name,
      timeline: this.timeline,
      chance: this.#chance.stream(name),
      wallMs: () => this.#wallMs(),
      main: (life) => {
        if (store !== null) this.redis.forget(store);
        store = this.redis.storeFor(life, TOPIC);
        return startDaemon(role, {
          life,
          pair: this.pair,
          store,
          openServer: (host, onStep) => this.#openServer(life, host, onStep),
          openFence: (host) =>
            new SimFence({
              life,
              target: this.#target(host),
              network: this.network,
              connectTimeoutMs: CONNECT_TIMEOUT_MS,
              onCall: (call) => this.onCall(life.name, call, this.#target(host)),
            }),
          memory,
          runHook: (order) => this.#runHook(life, order),
          policy: this.options.policy,
          failback: this.options.failback,
          tell: (level, text) => {
            if (MISTAKE.test(text)) this.broken.push(`${name}: ${text}`);
            if (level !== 'debug') this.tell(name, level === 'info' ? text : `${level}: ${text}`);
            else if (this.#debug) this.story.push(`          ${name.padEnd(11)} ${text}`);
          },
          onStep: (step) => {
            this.watcher.stepBegins(process, step);
            this.onStep(name, step);
          },
          onFault: (error) => {
            this.broken.push(`${name}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
          },
        });
      },
    });
    return process;
  }

  #openServer(life: Life, address: string, onStep: (step: Step) => void): SimServer {
    return new SimServer({
      life,
      target: this.#target(address),
      network: this.network,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      onStep,
    });
  }

  #target(address: string): SimHost {
    const target = this.hostOf(address);
    if (target === null) throw new Error(`no host has the address ${address}`);
    return target;
  }

  /** The operator's program goes to the machine's own power switch, which no link of these is in the way of. */
  async #runHook(life: Life, { host }: HookOrder): Promise<HookResult> {
    await life.clock.sleep(life.chance.between(...HOOK_TAKES_MS));
    if (!this.options.hookWorks) return { succeeded: false, why: 'the power switch does not answer' };
    const target = this.#target(host);
    target.die(true);
    const { boot } = target;
    // Somebody looks at it and switches it on again.
    this.timeline.after(life.chance.between(...SWITCHED_ON_MS), () => {
      if (target.boot === boot) target.restart();
    });
    return { succeeded: true, why: 'it is off' };
  }

  #addClient(name: string, hosts: readonly SimHost[]): void {
    this.clients.push(
      new Client({
        name,
        hosts,
        timeline: this.timeline,
        network: this.network,
        chance: this.#chance.stream(name),
        everyMs: this.options.writeEveryMs,
        nextId: () => this.nextWriteId(),
        onAcknowledged: (write, host) => this.watcher.acknowledged(write, host),
      }),
    );
  }

  #wallMs(): number {
    return WALL_MS + this.timeline.nowMs;
  }
}

/** An agent's small file, which outlives its process. */
function memoryOf(): AgentMemory {
  const known = new Map<string, RememberedPair>();
  return {
    pairs: () => [...known.values()],
    remember: (pair) => known.set(pair.uniqsign, pair),
    forget: (uniqsign) => known.delete(uniqsign),
  };
}

// The simulated Redis: the board in memory behind links that are cut, slow and doubled; it goes down, is emptied, comes back older.

import type { AgentRecord } from '../../src/core/agents.ts';
import type { Decision, Life as HostLife, Policy, Report } from '../../src/core/decision.ts';
import type { Divergence } from '../../src/core/divergence.ts';
import { MmmError } from '../../src/core/errors.ts';
import type { Sighting } from '../../src/core/observation.ts';
import type { Epoch, Host, Pair, Roles } from '../../src/core/pair.ts';
import type { Pause, Request } from '../../src/core/request.ts';
import type { EpochGuard, Store, WakeEvent, WakeKind } from '../../src/store/store.ts';
import { MemoryBoard } from '../support/memory-store.ts';
import type { Chance } from './chance.ts';
import type { Network } from './network.ts';
import type { Life } from './process.ts';
import type { Timeline } from './timeline.ts';

export const REDIS = 'redis';
const ANSWER_MS = 1_000;
const RECONNECT_MS: readonly [number, number] = [20, 1_500];

interface Dump {
  readonly hashes: ReadonlyMap<string, ReadonlyMap<string, string>>;
  readonly strings: ReadonlyMap<string, string>;
  readonly sets: ReadonlyMap<string, ReadonlySet<string>>;
}

/** What happens to messages, each by its probability. */
export interface MessageFaults {
  lost: number;
  doubled: number;
  late: number;
}

export class SimRedis {
  readonly memory: MemoryBoard;
  up = true;
  readonly messages: MessageFaults = { lost: 0, doubled: 0, late: 0 };
  /** Called after everything that may have changed the board. */
  onChange: () => void = () => {};
  /** When its data last went back to those of a dump, or to none. */
  restoredMs = Number.NEGATIVE_INFINITY;
  readonly #timeline: Timeline;
  readonly #network: Network;
  readonly #chance: Chance;
  readonly #stores = new Set<SimStore>();

  constructor(timeline: Timeline, network: Network, chance: Chance) {
    this.#timeline = timeline;
    this.#network = network;
    this.#chance = chance;
    this.memory = new MemoryBoard(() => timeline.nowMs);
  }

  storeFor(life: Life, topic: string): SimStore {
    const parts = { redis: this, life, network: this.#network, timeline: this.#timeline, chance: this.#chance, topic };
    const store = new SimStore(parts);
    this.#stores.add(store);
    return store;
  }

  /** That process is gone. */
  forget(store: SimStore): void {
    this.#stores.delete(store);
  }

  stop(): void {
    this.up = false;
    this.linksChanged();
  }

  /** With the data it had; or without any; or with those of a dump. */
  start(): void {
    this.up = true;
    this.linksChanged();
  }

  linksChanged(): void {
    for (const store of this.#stores) store.linkChanged();
    this.onChange();
  }

  empty(): void {
    this.restoredMs = this.#timeline.nowMs;
    this.memory.empty();
    this.onChange();
  }

  dump(): Dump {
    const { hashes, strings, sets } = this.memory;
    return {
      hashes: new Map([...hashes].map(([key, fields]) => [key, new Map(fields)])),
      strings: new Map(strings),
      sets: new Map([...sets].map(([key, members]) => [key, new Set(members)])),
    };
  }

  restore(dump: Dump): void {
    this.restoredMs = this.#timeline.nowMs;
    this.memory.empty();
    for (const [key, fields] of dump.hashes) this.memory.hashes.set(key, new Map(fields));
    for (const [key, value] of dump.strings) this.memory.strings.set(key, value);
    for (const [key, members] of dump.sets) this.memory.sets.set(key, new Set(members));
    this.onChange();
  }
}

interface SimStoreParts {
  readonly redis: SimRedis;
  readonly life: Life;
  readonly network: Network;
  readonly timeline: Timeline;
  readonly chance: Chance;
  readonly topic: string;
}

/** One process's way to it. */
export class SimStore implements Store {
  readonly #parts: SimStoreParts;
  readonly #inner: Store;
  readonly #listeners = new Set<(event: WakeEvent) => void>();
  #missed = false;

  constructor(parts: SimStoreParts) {
    this.#parts = parts;
    this.#inner = parts.redis.memory.store({ topic: parts.topic });
  }

  describe(pair: Pair, servicemode: 0 | 1) {
    return this.#call(() => this.#inner.describe(pair, servicemode));
  }
  putSighting(uniqsign: string, sighting: Sighting) {
    return this.#call(() => this.#inner.putSighting(uniqsign, sighting));
  }
  sightings(uniqsign: string, hosts: readonly Host[]) {
    return this.#call(() => this.#inner.sightings(uniqsign, hosts));
  }
  observations(uniqsign: string, hosts: readonly Host[]) {
    return this.#call(() => this.#inner.observations(uniqsign, hosts));
  }
  board(uniqsign: string) {
    return this.#call(() => this.#inner.board(uniqsign));
  }
  commitRoles(uniqsign: string, decision: Decision, expected: Epoch | null, policy: Policy) {
    return this.#call(() => this.#inner.commitRoles(uniqsign, decision, expected, policy));
  }
  lead(uniqsign: string, owner: string, ttlMs: number) {
    return this.#call(() => this.#inner.lead(uniqsign, owner, ttlMs));
  }
  resign(uniqsign: string, owner: string) {
    return this.#call(() => this.#inner.resign(uniqsign, owner));
  }
  leader(uniqsign: string) {
    return this.#call(() => this.#inner.leader(uniqsign));
  }
  listeners() {
    return this.#call(() => this.#inner.listeners());
  }
  putRequest(uniqsign: string, request: Request) {
    return this.#call(() => this.#inner.putRequest(uniqsign, request));
  }
  endRequest(uniqsign: string, id: string, refused: string | null) {
    return this.#call(() => this.#inner.endRequest(uniqsign, id, refused));
  }
  putPause(uniqsign: string, pause: Pause | null) {
    return this.#call(() => this.#inner.putPause(uniqsign, pause));
  }
  findPairs() {
    return this.#call(() => this.#inner.findPairs());
  }
  findPair(uniqsign: string) {
    return this.#call(() => this.#inner.findPair(uniqsign));
  }
  putReport(uniqsign: string, report: Report) {
    return this.#call(() => this.#inner.putReport(uniqsign, report));
  }
  putOpened(uniqsign: string, epoch: Epoch | null, host: Host | null) {
    return this.#call(() => this.#inner.putOpened(uniqsign, epoch, host));
  }
  announce(uniqsign: string, epoch: EpochGuard, roles: Roles) {
    return this.#call(() => this.#inner.announce(uniqsign, epoch, roles));
  }
  putUnfenced(uniqsign: string, epoch: EpochGuard, unfenced: boolean) {
    return this.#call(() => this.#inner.putUnfenced(uniqsign, epoch, unfenced));
  }
  putLife(uniqsign: string, epoch: EpochGuard, host: Host, noted: HostLife) {
    return this.#call(() => this.#inner.putLife(uniqsign, epoch, host, noted));
  }
  putComplete(...args: Parameters<Store['putComplete']>) {
    return this.#call(() => this.#inner.putComplete(...args));
  }
  beginJoin(...args: Parameters<Store['beginJoin']>) {
    return this.#call(() => this.#inner.beginJoin(...args));
  }
  putAgent(uniqsign: string, record: AgentRecord) {
    return this.#call(() => this.#inner.putAgent(uniqsign, record));
  }
  agents(uniqsign: string) {
    return this.#call(() => this.#inner.agents(uniqsign));
  }
  leave(...args: Parameters<Store['leave']>) {
    return this.#call(() => this.#inner.leave(...args));
  }
  putDivergence(uniqsign: string, epoch: Epoch | null, divergence: Divergence) {
    return this.#call(() => this.#inner.putDivergence(uniqsign, epoch, divergence));
  }
  noteSaved(uniqsign: string, divergence: Divergence, saved: string) {
    return this.#call(() => this.#inner.noteSaved(uniqsign, divergence, saved));
  }
  endDivergence(uniqsign: string, divergence: Divergence) {
    return this.#call(() => this.#inner.endDivergence(uniqsign, divergence));
  }
  putIoStopped(uniqsign: string, host: Host, stopped: boolean) {
    return this.#call(() => this.#inner.putIoStopped(uniqsign, host, stopped));
  }
  ioStopped(uniqsign: string, hosts: readonly Host[]) {
    return this.#call(() => this.#inner.ioStopped(uniqsign, hosts));
  }

  async watch(listener: (event: WakeEvent) => void, kinds?: readonly WakeKind[]): Promise<() => Promise<void>> {
    this.#listeners.add(listener);
    const end = await this.#inner.watch((event) => this.#carry(event, listener), kinds);
    return async () => {
      this.#listeners.delete(listener);
      await end();
    };
  }

  async close(): Promise<void> {
    this.#parts.redis.forget(this);
    await this.#inner.close();
  }

  /** A link or Redis itself went or came back. */
  linkChanged(): void {
    if (!this.#linked) {
      this.#missed = true;
      return;
    }
    if (!this.#missed) return;
    this.#missed = false;
    const { timeline, chance, life } = this.#parts;
    timeline.after(chance.between(...RECONNECT_MS), () => {
      for (const listener of this.#listeners) {
        life.deliver(() => listener({ kind: 'reconnected', uniqsign: null }));
      }
    });
  }

  get #linked(): boolean {
    const { redis, network, life } = this.#parts;
    return redis.up && network.talks(life.name, REDIS);
  }

  #call<T>(act: () => Promise<T>): Promise<T> {
    const { redis, life, network, timeline } = this.#parts;
    return new Promise((resolve, reject) => {
      const fail = (why: string) => {
        cancel();
        reject(new MmmError('store-down', why));
      };
      const cancel = life.after(ANSWER_MS, () => fail('Redis does not answer'));
      const answer = (what: () => void) => network.send(REDIS, life.name, () => life.deliver(what));
      network.send(life.name, REDIS, () => {
        if (!redis.up) {
          answer(() => fail('Redis refuses the connection'));
          return;
        }
        timeline.stir();
        act().then(
          (value) => {
            redis.onChange();
            answer(() => {
              cancel();
              resolve(value);
            });
          },
          (error: unknown) => answer(() => fail(String(error))),
        );
      });
    });
  }

  #carry(event: WakeEvent, listener: (event: WakeEvent) => void): void {
    const { redis, chance, life, network, timeline } = this.#parts;
    const { lost, doubled, late } = redis.messages;
    if (!this.#linked || chance.happens(lost)) return;
    const copies = chance.happens(doubled) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      const delayMs = chance.happens(late) ? chance.between(100, 5_000) : 0;
      timeline.after(delayMs, () => network.send(REDIS, life.name, () => life.deliver(() => listener(event))));
    }
  }
}

// The board in memory: one MemoryBoard stands for a Redis, each store on it for a process. It goes through the wire files like the real one,
// so that garbage and what Perl writes can be put into it as text.

import type { AgentRecord } from '../../src/core/agents.ts';
import type { Decision, Policy, Report } from '../../src/core/decision.ts';
import type { Divergence } from '../../src/core/divergence.ts';
import { MmmError } from '../../src/core/errors.ts';
import type { Observation, Sighting } from '../../src/core/observation.ts';
import type { Epoch, Host, Pair } from '../../src/core/pair.ts';
import type { Pause, Request } from '../../src/core/request.ts';
import type { CommitOutcome, FoundPair, Store, WakeEvent, WakeKind } from '../../src/store/store.ts';
import { boardOf, foundPairOf, type RawPair } from '../../src/store/wire.ts';
import {
  encodeDivergence,
  encodeDivergenceGuard,
  encodeEpoch,
  encodeEpochGuard,
  encodeMaster,
  encodePolicy,
  encodeReport,
  encodeRoles,
  guardFor,
} from '../../src/store/wire-decisions.ts';
import { type Fields, tellingOnce } from '../../src/store/wire-fields.ts';
import { channelsOf, decodeWake, encodePair, keysOf, uniqsignOfModeKey } from '../../src/store/wire-keys.ts';
import { decodeMessage, encodeMessage } from '../../src/store/wire-message.ts';
import {
  decodeObservation,
  encodeObservation,
  encodeSighting,
  sightingsOf,
} from '../../src/store/wire-observations.ts';
import { encodePause, encodeRequest, encodeRequestGuard } from '../../src/store/wire-operator.ts';

interface MemoryStoreOptions {
  readonly topic: string;
  readonly onGarbage?: (key: string, why: string) => void;
}

export class MemoryBoard {
  readonly hashes = new Map<string, Map<string, string>>();
  readonly strings = new Map<string, string>();
  readonly sets = new Map<string, Set<string>>();
  readonly #leads = new Map<string, number>();
  /** Who hears, and what they say that they listen for. */
  readonly #subscribers = new Map<(channel: string, payload: string) => void, readonly string[]>();
  readonly #nowMs: () => number;
  /** What every store throws, for a Redis that is away. */
  trouble: MmmError | null = null;

  constructor(nowMs: () => number = Date.now) {
    this.#nowMs = nowMs;
  }

  store(options: MemoryStoreOptions): Store {
    return new MemoryStore(this, options);
  }

  /** As HMSET: what is not named stays. */
  put(key: string, fields: Fields): void {
    this.hashes.set(key, new Map([...(this.hashes.get(key) ?? []), ...fields]));
  }

  fields(key: string): Fields {
    return this.hashes.get(key) ?? new Map();
  }

  /** Reaches its listeners later, as a message over a network does. */
  publish(channel: string, payload: string): void {
    for (const hear of this.#subscribers.keys()) queueMicrotask(() => hear(channel, payload));
  }

  subscribe(hear: (channel: string, payload: string) => void, channels: readonly string[] = []): () => void {
    this.#subscribers.set(hear, channels);
    return () => this.#subscribers.delete(hear);
  }

  listeners(channel: string): number {
    return [...this.#subscribers.values()].filter((channels) => channels.includes(channel)).length;
  }

  leader(key: string): string | null {
    return (this.#leads.get(key) ?? 0) > this.#nowMs() ? (this.strings.get(key) ?? null) : null;
  }

  lead(key: string, owner: string, ttlMs: number): boolean {
    const current = this.leader(key);
    if (current !== null && current !== owner) return false;
    this.strings.set(key, owner);
    this.#leads.set(key, this.#nowMs() + ttlMs);
    return true;
  }

  /** FLUSHALL. */
  empty(): void {
    this.hashes.clear();
    this.strings.clear();
    this.sets.clear();
    this.#leads.clear();
  }
}

class MemoryStore implements Store {
  readonly #shared: MemoryBoard;
  readonly #topic: string;
  readonly #take;
  readonly #watches = new Set<() => void>();
  #closed = false;

  constructor(board: MemoryBoard, { topic, onGarbage = () => {} }: MemoryStoreOptions) {
    this.#shared = board;
    this.#topic = topic;
    this.#take = tellingOnce(onGarbage);
  }

  async describe(pair: Pair, servicemode: 0 | 1): Promise<boolean> {
    const { strings, sets } = this.#board;
    const wanted = encodePair(pair, servicemode);
    const { key, hosts } = wanted.members;
    let wrote = false;
    for (const [name, value] of wanted.strings) {
      if (strings.get(name) !== value) wrote = true;
      strings.set(name, value);
    }
    const members = sets.get(key);
    if (members?.size !== hosts.length || !hosts.every((host) => members.has(host))) wrote = true;
    sets.set(key, new Set(hosts));
    return wrote;
  }

  async putSighting(uniqsign: string, sighting: Sighting): Promise<void> {
    const board = this.#board;
    const keys = keysOf(uniqsign);
    for (const seen of sighting.observations) board.put(keys.check(seen.host), encodeObservation(seen));
    const { field, value, oldestMs } = encodeSighting(sighting);
    const kept = [...board.fields(keys.observers)].filter(([, text]) => Number.parseInt(text, 10) >= oldestMs);
    board.hashes.set(keys.observers, new Map([...kept, [field, value]]));
    board.publish(channelsOf(this.#topic).observed, uniqsign);
  }

  async sightings(uniqsign: string, hosts: readonly Host[]): Promise<Sighting[]> {
    const board = this.#board;
    const keys = keysOf(uniqsign);
    const checks = hosts.map((host) => board.fields(keys.check(host)));
    return sightingsOf(uniqsign, { hosts, checks, observers: board.fields(keys.observers) }, this.#take);
  }

  async observations(uniqsign: string, hosts: readonly Host[]): Promise<(Observation | null)[]> {
    const board = this.#board;
    return hosts.map((host) => {
      const key = keysOf(uniqsign).check(host);
      return this.#take(key, decodeObservation(host, board.fields(key)));
    });
  }

  async board(uniqsign: string) {
    return boardOf(uniqsign, this.#raw(uniqsign), this.#take);
  }

  async commitRoles(
    uniqsign: string,
    decision: Decision,
    expected: Epoch | null,
    policy: Policy,
  ): Promise<CommitOutcome> {
    const board = this.#board;
    const keys = keysOf(uniqsign);
    const { roles } = decision;
    const present = board.fields(keys.epoch);
    if (!holds(present, guardFor(expected, present))) return { kind: 'conflict', board: await this.board(uniqsign) };
    board.put(keys.epoch, encodeEpoch(decision));
    board.put(keys.policy, encodePolicy(policy));
    board.strings.set(keys.topic, this.#topic);
    board.put(keys.mode, encodeRoles(roles));
    board.put(keys.master, encodeMaster(roles));
    board.hashes.delete(keys.report);
    board.hashes.delete(keys.request);
    board.publish(channelsOf(this.#topic).message, encodeMessage({ roles, uniqsign }));
    board.publish(channelsOf(this.#topic).decided, uniqsign);
    return { kind: 'committed' };
  }

  async lead(uniqsign: string, owner: string, ttlMs: number): Promise<boolean> {
    return this.#board.lead(keysOf(uniqsign).leader, owner, ttlMs);
  }

  async resign(uniqsign: string, owner: string): Promise<void> {
    const key = keysOf(uniqsign).leader;
    if (this.#board.strings.get(key) === owner) this.#board.strings.delete(key);
  }

  async leader(uniqsign: string): Promise<string | null> {
    return this.#board.leader(keysOf(uniqsign).leader);
  }

  async listeners(): Promise<number> {
    return this.#board.listeners(channelsOf(this.#topic).decided);
  }

  async putRequest(uniqsign: string, request: Request): Promise<boolean> {
    const board = this.#board;
    const keys = keysOf(uniqsign);
    if (!holds(board.fields(keys.epoch), encodeEpochGuard(request.epoch))) return false;
    board.put(keys.request, encodeRequest(request));
    board.publish(channelsOf(this.#topic).observed, uniqsign);
    return true;
  }

  async endRequest(uniqsign: string, id: string, refused: string | null): Promise<boolean> {
    const board = this.#board;
    const { request } = keysOf(uniqsign);
    if (!holds(board.fields(request), encodeRequestGuard(id))) return false;
    if (refused === null) board.hashes.delete(request);
    else board.put(request, new Map([['refused', refused]]));
    return true;
  }

  async putPause(uniqsign: string, pause: Pause | null): Promise<void> {
    const board = this.#board;
    const keys = keysOf(uniqsign);
    if (pause === null) board.hashes.delete(keys.pause);
    else board.put(keys.pause, encodePause(pause));
    board.publish(channelsOf(this.#topic).observed, uniqsign);
  }

  async findPairs(): Promise<FoundPair[]> {
    const signs = [...this.#board.hashes.keys()].map(uniqsignOfModeKey).filter((sign) => sign !== undefined);
    return signs.sort().flatMap((sign) => this.#found(sign) ?? []);
  }

  async findPair(uniqsign: string): Promise<FoundPair | null> {
    return this.#found(uniqsign);
  }

  async putReport(uniqsign: string, report: Report): Promise<boolean> {
    const board = this.#board;
    const keys = keysOf(uniqsign);
    if (!holds(board.fields(keys.epoch), encodeEpochGuard(report.epoch))) return false;
    board.put(keys.report, encodeReport(report));
    if (report.outcome === 'opened') board.strings.set(keys.opened, report.host);
    return true;
  }

  async putOpened(uniqsign: string, epoch: Epoch | null, host: Host | null): Promise<boolean> {
    const board = this.#board;
    const keys = keysOf(uniqsign);
    if (epoch !== null && !holds(board.fields(keys.epoch), encodeEpochGuard(epoch))) return false;
    if (host === null) board.strings.delete(keys.opened);
    else board.strings.set(keys.opened, host);
    return true;
  }

  async announce(): Promise<boolean> {
    throw new Error('announce is not there yet');
  }

  async putUnfenced(): Promise<boolean> {
    throw new Error('putUnfenced is not there yet');
  }

  async putLife(): Promise<boolean> {
    throw new Error('putLife is not there yet');
  }

  async putAgent(): Promise<void> {
    throw new Error('putAgent is not there yet');
  }

  async agents(): Promise<readonly AgentRecord[]> {
    throw new Error('agents is not there yet');
  }

  async leave(): Promise<'others' | 'last' | 'conflict'> {
    throw new Error('leave is not there yet');
  }

  async putDivergence(uniqsign: string, epoch: Epoch | null, divergence: Divergence): Promise<boolean> {
    const board = this.#board;
    const keys = keysOf(uniqsign);
    if (epoch !== null && !holds(board.fields(keys.epoch), encodeEpochGuard(epoch))) return false;
    board.put(keys.divergence, encodeDivergence(divergence));
    return true;
  }

  async endDivergence(uniqsign: string, divergence: Divergence): Promise<boolean> {
    const board = this.#board;
    const { divergence: key } = keysOf(uniqsign);
    if (!holds(board.fields(key), encodeDivergenceGuard(divergence))) return false;
    board.hashes.delete(key);
    return true;
  }

  async putIoStopped(uniqsign: string, host: Host, stopped: boolean): Promise<void> {
    const key = keysOf(uniqsign).ioStopped(host);
    if (stopped) this.#board.strings.set(key, '1');
    else this.#board.strings.delete(key);
  }

  async ioStopped(uniqsign: string, hosts: readonly Host[]): Promise<readonly Host[]> {
    const { strings } = this.#board;
    return hosts.filter((host) => strings.get(keysOf(uniqsign).ioStopped(host)) === '1');
  }

  async watch(
    listener: (event: WakeEvent) => void,
    kinds: readonly WakeKind[] = ['observed', 'decided', 'message'],
  ): Promise<() => Promise<void>> {
    const channels = channelsOf(this.#topic);
    const hear = (channel: string, payload: string) => {
      const kind = kinds.find((known) => channels[known] === channel);
      if (kind === undefined || !this.#watches.has(unsubscribe)) return;
      const uniqsign =
        kind === 'message'
          ? (this.#take(channel, decodeMessage(payload))?.uniqsign ?? null)
          : this.#take(channel, decodeWake(payload));
      if (uniqsign !== null) listener({ kind, uniqsign });
    };
    const unsubscribe = this.#shared.subscribe(
      hear,
      kinds.map((kind) => channels[kind]),
    );
    this.#watches.add(unsubscribe);
    return async () => {
      this.#watches.delete(unsubscribe);
      unsubscribe();
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const unsubscribe of this.#watches) unsubscribe();
    this.#watches.clear();
  }

  get #board(): MemoryBoard {
    if (this.#closed) throw new MmmError('store-down', 'this store is closed');
    if (this.#shared.trouble !== null) throw this.#shared.trouble;
    return this.#shared;
  }

  #raw(uniqsign: string): RawPair {
    const board = this.#board;
    const keys = keysOf(uniqsign);
    return {
      mode: board.fields(keys.mode),
      epoch: board.fields(keys.epoch),
      report: board.fields(keys.report),
      policy: board.fields(keys.policy),
      opened: board.strings.get(keys.opened) ?? null,
      topic: board.strings.get(keys.topic) ?? null,
      divergence: board.fields(keys.divergence),
      request: board.fields(keys.request),
      pause: board.fields(keys.pause),
    };
  }

  #found(uniqsign: string): FoundPair | null {
    return foundPairOf(uniqsign, this.#raw(uniqsign), { topic: this.#topic, take: this.#take });
  }
}

/** An absent field counts as ''. */
function holds(fields: Fields, guard: Fields): boolean {
  return [...guard].every(([name, value]) => (fields.get(name) ?? '') === value);
}

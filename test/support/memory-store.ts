// The board in memory: one MemoryBoard stands for a Redis, each store on it for a process. It goes through the wire files like the real one,
// so that garbage and what Perl writes can be put into it as text.

import { AGENT_LATE_MS, AGENT_TTL_MS, type AgentRecord } from '../../src/core/agents.ts';
import type { Joining } from '../../src/core/complete.ts';
import type { Decision, Life, Policy, Report } from '../../src/core/decision.ts';
import type { Divergence } from '../../src/core/divergence.ts';
import { MmmError } from '../../src/core/errors.ts';
import type { Observation, Sighting } from '../../src/core/observation.ts';
import type { Epoch, Host, Pair, Roles } from '../../src/core/pair.ts';
import type { Pause, Request } from '../../src/core/request.ts';
import { type Change, changesOf, type Write } from '../../src/store/changes.ts';
import type { CommitOutcome, EpochGuard, FoundPair, Left, Store, WakeEvent, WakeKind } from '../../src/store/store.ts';
import { boardOf, foundPairOf, NAMES_HOST, type RawPair } from '../../src/store/wire.ts';
import { completeGuard } from '../../src/store/wire-complete.ts';
import { encodeEpochGuard, guardFor } from '../../src/store/wire-decisions.ts';
import { type Fields, tellingOnce } from '../../src/store/wire-fields.ts';
import { agentsOf, encodeAgent, KEEPS_LEASES } from '../../src/store/wire-guard.ts';
import { channelsOf, decodeWake, encodePair, keysOf, uniqsignIn } from '../../src/store/wire-keys.ts';
import { decodeMessage } from '../../src/store/wire-message.ts';
import { decodeObservation, sightingsOf } from '../../src/store/wire-observations.ts';

interface MemoryStoreOptions {
  readonly topic: string;
  readonly onGarbage?: (key: string, why: string) => void;
}

export class MemoryBoard {
  readonly hashes = new Map<string, Map<string, string>>();
  readonly strings = new Map<string, string>();
  readonly sets = new Map<string, Set<string>>();
  /** Strings that run out. */
  readonly #lent = new Map<string, { readonly value: string; readonly untilMs: number }>();
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

  /** As SET with PX. A dump has none of these. */
  lend(key: string, value: string, ttlMs: number): void {
    this.#lent.set(key, { value, untilMs: this.#nowMs() + ttlMs });
  }

  forget(key: string): void {
    this.#lent.delete(key);
  }

  /** A string that is not to run out, or has not yet. */
  text(key: string): string | null {
    return this.ttlMs(key) > 0 ? (this.#lent.get(key)?.value ?? null) : (this.strings.get(key) ?? null);
  }

  ttlMs(key: string): number {
    return (this.#lent.get(key)?.untilMs ?? Number.NEGATIVE_INFINITY) - this.#nowMs();
  }

  /** As the script: all of it, or nothing when a guard does not hold. */
  transact({ guards, writes, messages }: Change): boolean {
    if (!guards.every(({ key, fields }) => holds(this.fields(key), fields))) return false;
    for (const write of writes) this.#write(write);
    for (const [channel, payload] of messages) this.publish(channel, payload);
    return true;
  }

  #write(write: Write): void {
    const { key } = write;
    switch (write.kind) {
      case 'hash':
        this.put(key, write.fields);
        break;
      case 'string':
        this.strings.set(key, write.value);
        break;
      case 'dated': {
        const kept = [...this.fields(key)].filter(([, text]) => Number.parseInt(text, 10) >= write.oldestMs);
        this.hashes.set(key, new Map([...kept, [write.field, write.value]]));
        break;
      }
      case 'del':
        this.hashes.delete(key);
        this.strings.delete(key);
        break;
      default:
        write satisfies never;
    }
  }

  lead(key: string, owner: string, ttlMs: number): boolean {
    const current = this.text(key);
    if (current !== null && current !== owner) return false;
    this.lend(key, owner, ttlMs);
    return true;
  }

  /** FLUSHALL. */
  empty(): void {
    this.hashes.clear();
    this.strings.clear();
    this.sets.clear();
    this.#lent.clear();
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
    this.#board.transact(this.#changes(uniqsign).sighting(sighting));
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
    const guard = guardFor(expected, board.fields(keysOf(uniqsign).epoch));
    const committed = board.transact(this.#changes(uniqsign).commit({ decision, policy, guard }));
    return committed ? { kind: 'committed' } : { kind: 'conflict', board: await this.board(uniqsign) };
  }

  async lead(uniqsign: string, owner: string, ttlMs: number): Promise<boolean> {
    return this.#board.lead(keysOf(uniqsign).leader, owner, ttlMs);
  }

  async resign(uniqsign: string, owner: string): Promise<void> {
    const key = keysOf(uniqsign).leader;
    if (this.#board.text(key) === owner) this.#board.forget(key);
  }

  async leader(uniqsign: string): Promise<string | null> {
    return this.#board.text(keysOf(uniqsign).leader);
  }

  async listeners(): Promise<number> {
    return this.#board.listeners(channelsOf(this.#topic).decided);
  }

  async putRequest(uniqsign: string, request: Request): Promise<boolean> {
    return this.#board.transact(this.#changes(uniqsign).request(request));
  }

  async endRequest(uniqsign: string, id: string, refused: string | null): Promise<boolean> {
    return this.#board.transact(this.#changes(uniqsign).requestEnd(id, refused));
  }

  async putPause(uniqsign: string, pause: Pause | null): Promise<void> {
    this.#board.transact(this.#changes(uniqsign).pause(pause));
  }

  async findPairs(): Promise<FoundPair[]> {
    const keys = [...this.#board.hashes.keys()];
    const signs = new Set(keys.flatMap((key) => this.#take(key, uniqsignIn(key)) ?? []));
    return [...signs].sort().flatMap((sign) => this.#found(sign) ?? []);
  }

  async findPair(uniqsign: string): Promise<FoundPair | null> {
    return this.#found(uniqsign);
  }

  async putReport(uniqsign: string, report: Report): Promise<boolean> {
    return this.#board.transact(this.#changes(uniqsign).report(report));
  }

  async putOpened(uniqsign: string, epoch: Epoch | null, host: Host | null): Promise<boolean> {
    return this.#board.transact(this.#changes(uniqsign).opened(epoch, host));
  }

  async announce(uniqsign: string, epoch: EpochGuard, roles: Roles): Promise<boolean> {
    return this.#board.transact(this.#changes(uniqsign).announce(epoch, roles));
  }

  async putUnfenced(uniqsign: string, epoch: EpochGuard, unfenced: boolean): Promise<boolean> {
    return this.#board.transact(this.#changes(uniqsign).unfenced(epoch, unfenced));
  }

  async putLife(uniqsign: string, epoch: EpochGuard, host: Host, life: Life): Promise<boolean> {
    return this.#board.transact(this.#changes(uniqsign).life(epoch, host, life));
  }

  async putComplete(...[uniqsign, epoch, from, complete]: Parameters<Store['putComplete']>): Promise<boolean> {
    const guard = completeGuard(from, this.#board.fields(keysOf(uniqsign).complete));
    return this.#board.transact(this.#changes(uniqsign).complete(epoch, guard, complete));
  }

  async beginJoin(uniqsign: string, epoch: EpochGuard, from: number, joining: Joining): Promise<boolean> {
    return this.#board.transact(this.#changes(uniqsign).join(epoch, from, joining));
  }

  async putAgent(uniqsign: string, record: AgentRecord): Promise<void> {
    const board = this.#board;
    const { agents, agent } = keysOf(uniqsign);
    board.lend(agent(record.name), encodeAgent(record), AGENT_TTL_MS);
    const names = [...(board.sets.get(agents) ?? []), record.name];
    board.sets.set(agents, new Set(names.filter((name) => board.text(agent(name)) !== null)));
  }

  async agents(uniqsign: string): Promise<readonly AgentRecord[]> {
    return agentsOf(uniqsign, this.#present(uniqsign), this.#take);
  }

  async leave(...[uniqsign, name, { decision, expected, policy }]: Parameters<Store['leave']>): Promise<Left> {
    const board = this.#board;
    const { agents, agent } = keysOf(uniqsign);
    board.sets.get(agents)?.delete(name);
    board.forget(agent(name));
    const leastMs = AGENT_TTL_MS - AGENT_LATE_MS;
    const counts = ([other, record]: readonly [string, string]) =>
      record.startsWith(KEEPS_LEASES) && board.ttlMs(agent(other)) >= leastMs;
    if ([...this.#present(uniqsign)].some(counts)) return 'others';
    const change = this.#changes(uniqsign).commit({ decision, policy, guard: encodeEpochGuard(expected) });
    return board.transact(change) ? 'last' : 'conflict';
  }

  async putDivergence(uniqsign: string, epoch: Epoch | null, divergence: Divergence): Promise<boolean> {
    return this.#board.transact(this.#changes(uniqsign).divergence(epoch, divergence));
  }

  async noteSaved(uniqsign: string, divergence: Divergence, saved: string): Promise<boolean> {
    return this.#board.transact(this.#changes(uniqsign).divergenceSaved(divergence, saved));
  }

  async endDivergence(uniqsign: string, divergence: Divergence): Promise<boolean> {
    return this.#board.transact(this.#changes(uniqsign).divergenceEnd(divergence));
  }

  async putIoStopped(uniqsign: string, host: Host, stopped: boolean): Promise<void> {
    this.#board.transact(this.#changes(uniqsign).ioStopped(host, stopped));
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
    const { before, after } = keys.lives;
    const hosts = [keys.mode, keys.epoch].flatMap((key) => NAMES_HOST.map((name) => board.fields(key).get(name) ?? ''));
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
      unfenced: board.text(keys.unfenced),
      complete: board.fields(keys.complete),
      joining: board.fields(keys.joining),
      lives: new Map(hosts.map((host) => [host, board.fields(`${before}${host}${after}`)])),
    };
  }

  /** The agents that are there, and their records. */
  #present(uniqsign: string): Fields {
    const board = this.#board;
    const { agents, agent } = keysOf(uniqsign);
    const names = [...(board.sets.get(agents) ?? [])];
    return new Map(names.flatMap((name) => [[name, board.text(agent(name))] as const]).filter(isThere));
  }

  #changes(uniqsign: string) {
    return changesOf(this.#topic, uniqsign);
  }

  #found(uniqsign: string): FoundPair | null {
    return foundPairOf(uniqsign, this.#raw(uniqsign), { topic: this.#topic, take: this.#take });
  }
}

/** An absent field counts as ''. */
function holds(fields: Fields, guard: Fields): boolean {
  return [...guard].every(([name, value]) => (fields.get(name) ?? '') === value);
}

function isThere(entry: readonly [string, string | null]): entry is readonly [string, string] {
  return entry[1] !== null;
}

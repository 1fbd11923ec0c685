// The board in a single Redis. Every write is one script, so it happens wholly or not at all; every read of a pair is one, so its keys belong together.
// Comes from commands/; wire.ts and its neighbours say what stands where, scripts.ts what happens in one step, link.ts keeps the connections.

import type { Redis } from 'ioredis';
import { AGENT_LATE_MS, AGENT_TTL_MS, type AgentRecord } from '../core/agents.ts';
import type { Joining } from '../core/complete.ts';
import type { Board, Decision, Life, Policy, Report } from '../core/decision.ts';
import type { Divergence } from '../core/divergence.ts';
import type { MmmError } from '../core/errors.ts';
import type { Observation, Sighting } from '../core/observation.ts';
import type { Epoch, Host, Pair, Roles } from '../core/pair.ts';
import type { Pause, Request } from '../core/request.ts';
import { type Change, changesOf, type Write } from './changes.ts';
import type { LinkTimes } from './link.ts';
import { Link } from './link.ts';
import { DESCRIBE, ENTER, LEAD, LEAVE, PRESENT, READ, RESIGN, TRANSACT } from './scripts.ts';
import type { CommitOutcome, EpochGuard, FoundPair, Left, Store, WakeEvent, WakeKind } from './store.ts';
import { storeError } from './trouble.ts';
import type { RawPair } from './wire.ts';
import { boardOf, foundPairOf, NAMES_HOST } from './wire.ts';
import { completeGuard } from './wire-complete.ts';
import { encodeEpochGuard, guardFor } from './wire-decisions.ts';
import type { Fields, Take } from './wire-fields.ts';
import { tellingOnce } from './wire-fields.ts';
import { agentsOf, encodeAgent, KEEPS_LEASES } from './wire-guard.ts';
import { channelsOf, decodeWake, encodePair, keysOf, PAIR_PATTERN, uniqsignIn } from './wire-keys.ts';
import { decodeMessage } from './wire-message.ts';
import { decodeObservation, sightingsOf } from './wire-observations.ts';

export interface RedisStoreOptions {
  readonly host: Host;
  /** null: none. */
  readonly password: string | null;
  readonly topic: string;
  /** Told when the connection is lost for a (new) reason, and with null when it is back or there for the first time. */
  readonly onState: (trouble: MmmError | null) => void;
  /** Told of a key or message that cannot be understood and is ignored; once until it changes. */
  readonly onGarbage: (key: string, why: string) => void;
  readonly times?: Partial<LinkTimes>;
  /** A number in [0, 1), for the gaps between tries. */
  readonly random?: () => number;
}

const TIMES: LinkTimes = { deadlineMs: 1000, gapMs: 50, gapMaxMs: 2000, heartbeatMs: 2000 };

/** So many keys are asked for by one SCAN step, and read in one round trip. */
const SCAN_COUNT = 500;

export function openRedisStore(options: RedisStoreOptions): Store {
  return new RedisStore(options);
}

interface Watcher {
  readonly listener: (event: WakeEvent) => void;
  readonly kinds: readonly WakeKind[];
}

class RedisStore implements Store {
  readonly #options: RedisStoreOptions;
  readonly #take: Take;
  readonly #commands: Link;
  /** A connection that listens can do nothing else. Opened by the first watcher. */
  #ears: Link | null = null;
  readonly #watchers = new Set<Watcher>();
  /** True when the watchers may have missed something. */
  #missed = false;
  /** The code of the trouble that was told last; undefined before the first state. */
  #told: MmmError['code'] | null | undefined;

  constructor(options: RedisStoreOptions) {
    this.#options = options;
    this.#take = tellingOnce(options.onGarbage);
    this.#commands = this.#link(async () => {});
  }

  async describe(pair: Pair, servicemode: 0 | 1): Promise<boolean> {
    const { strings, members } = encodePair(pair, servicemode);
    return (
      (await this.#eval(DESCRIBE, [...strings.keys(), members.key], [...strings.values(), ...members.hosts])) === 1
    );
  }

  async putSighting(uniqsign: string, sighting: Sighting): Promise<void> {
    await this.#transact(this.#changes(uniqsign).sighting(sighting));
  }

  async sightings(uniqsign: string, hosts: readonly Host[]): Promise<Sighting[]> {
    const keys = keysOf(uniqsign);
    const names = [...hosts.map(keys.check), keys.observers];
    const kinds = names.map(() => 'hash');
    const [observers = new Map(), ...checks] = list(await this.#eval(READ, names, kinds))
      .map(fieldsOf)
      .reverse();
    return sightingsOf(uniqsign, { hosts, checks: checks.reverse(), observers }, this.#take);
  }

  async observations(uniqsign: string, hosts: readonly Host[]): Promise<(Observation | null)[]> {
    const checks = hosts.map((host) => ({ host, key: keysOf(uniqsign).check(host) }));
    const raw = await this.#eval(
      READ,
      checks.map(({ key }) => key),
      checks.map(() => 'hash'),
    );
    const fields = list(raw).map(fieldsOf);
    return checks.map(({ host, key }, at) => this.#take(key, decodeObservation(host, fields[at] ?? new Map())));
  }

  async board(uniqsign: string): Promise<Board> {
    return boardOf(uniqsign, await this.#readPair(uniqsign), this.#take);
  }

  async commitRoles(
    uniqsign: string,
    decision: Decision,
    expected: Epoch | null,
    policy: Policy,
  ): Promise<CommitOutcome> {
    const inStore = expected === null ? (await this.#readPair(uniqsign)).epoch : new Map();
    const guard = guardFor(expected, inStore);
    const committed = await this.#transact(this.#changes(uniqsign).commit({ decision, policy, guard }));
    return committed ? { kind: 'committed' } : { kind: 'conflict', board: await this.board(uniqsign) };
  }

  async lead(uniqsign: string, owner: string, ttlMs: number): Promise<boolean> {
    return (await this.#eval(LEAD, [keysOf(uniqsign).leader], [owner, String(ttlMs)])) === 1;
  }

  async resign(uniqsign: string, owner: string): Promise<void> {
    await this.#eval(RESIGN, [keysOf(uniqsign).leader], [owner]);
  }

  async leader(uniqsign: string): Promise<string | null> {
    const [owner] = list(await this.#eval(READ, [keysOf(uniqsign).leader], ['string']));
    return textOf(owner);
  }

  async listeners(): Promise<number> {
    const { decided } = channelsOf(this.#options.topic);
    const answer = list(await this.#commands.run((client) => client.pubsub('NUMSUB', decided)));
    return Number(answer[1] ?? 0);
  }

  async putRequest(uniqsign: string, request: Request): Promise<boolean> {
    return this.#transact(this.#changes(uniqsign).request(request));
  }

  async endRequest(uniqsign: string, id: string, refused: string | null): Promise<boolean> {
    return this.#transact(this.#changes(uniqsign).requestEnd(id, refused));
  }

  async putPause(uniqsign: string, pause: Pause | null): Promise<void> {
    await this.#transact(this.#changes(uniqsign).pause(pause));
  }

  async findPairs(): Promise<FoundPair[]> {
    const signs = new Set<string>();
    let cursor = '0';
    do {
      const step = cursor;
      const [next, keys] = await this.#commands.run((client) =>
        client.scan(step, 'MATCH', PAIR_PATTERN, 'COUNT', SCAN_COUNT),
      );
      for (const key of keys) {
        const sign = this.#take(key, uniqsignIn(key));
        if (sign !== null) signs.add(sign);
      }
      cursor = next;
    } while (cursor !== '0');
    const found: FoundPair[] = [];
    const sorted = [...signs].sort();
    for (let at = 0; at < sorted.length; at += SCAN_COUNT) {
      found.push(...(await this.#readPairs(sorted.slice(at, at + SCAN_COUNT))));
    }
    return found;
  }

  async findPair(uniqsign: string): Promise<FoundPair | null> {
    return this.#found(uniqsign, await this.#readPair(uniqsign));
  }

  async putReport(uniqsign: string, report: Report): Promise<boolean> {
    return this.#transact(this.#changes(uniqsign).report(report));
  }

  async putOpened(uniqsign: string, epoch: Epoch | null, host: Host | null): Promise<boolean> {
    return this.#transact(this.#changes(uniqsign).opened(epoch, host));
  }

  async announce(uniqsign: string, epoch: EpochGuard, roles: Roles): Promise<boolean> {
    return this.#transact(this.#changes(uniqsign).announce(epoch, roles));
  }

  async putUnfenced(uniqsign: string, epoch: EpochGuard, unfenced: boolean): Promise<boolean> {
    return this.#transact(this.#changes(uniqsign).unfenced(epoch, unfenced));
  }

  async putLife(uniqsign: string, epoch: EpochGuard, host: Host, life: Life): Promise<boolean> {
    return this.#transact(this.#changes(uniqsign).life(epoch, host, life));
  }

  async putComplete(...[uniqsign, epoch, from, complete]: Parameters<Store['putComplete']>): Promise<boolean> {
    const inStore = from === null ? (await this.#readPair(uniqsign)).complete : new Map();
    return this.#transact(this.#changes(uniqsign).complete(epoch, completeGuard(from, inStore), complete));
  }

  async beginJoin(uniqsign: string, epoch: EpochGuard, from: number, joining: Joining): Promise<boolean> {
    return this.#transact(this.#changes(uniqsign).join(epoch, from, joining));
  }

  async putAgent(uniqsign: string, record: AgentRecord): Promise<void> {
    const { agents, agent } = keysOf(uniqsign);
    const args = [record.name, encodeAgent(record), String(AGENT_TTL_MS), agent('')];
    await this.#eval(ENTER, [agents, agent(record.name)], args);
  }

  async agents(uniqsign: string): Promise<readonly AgentRecord[]> {
    const { agents, agent } = keysOf(uniqsign);
    const present = fieldsOf(await this.#eval(PRESENT, [agents], [agent('')]));
    return agentsOf(uniqsign, present, this.#take);
  }

  async leave(...[uniqsign, name, { decision, expected, policy }]: Parameters<Store['leave']>): Promise<Left> {
    const { agents, agent } = keysOf(uniqsign);
    const change = this.#changes(uniqsign).commit({ decision, policy, guard: encodeEpochGuard(expected) });
    const { keys, args } = scripted(change);
    const counting = [KEEPS_LEASES, String(AGENT_TTL_MS - AGENT_LATE_MS)];
    const answer = await this.#eval(LEAVE, [agents, agent(name), ...keys], [name, agent(''), ...counting, ...args]);
    if (answer === 2) return 'others';
    return answer === 1 ? 'last' : 'conflict';
  }

  async putDivergence(uniqsign: string, epoch: Epoch | null, divergence: Divergence): Promise<boolean> {
    return this.#transact(this.#changes(uniqsign).divergence(epoch, divergence));
  }

  async noteSaved(uniqsign: string, divergence: Divergence, saved: string): Promise<boolean> {
    return this.#transact(this.#changes(uniqsign).divergenceSaved(divergence, saved));
  }

  async endDivergence(uniqsign: string, divergence: Divergence): Promise<boolean> {
    return this.#transact(this.#changes(uniqsign).divergenceEnd(divergence));
  }

  async putIoStopped(uniqsign: string, host: Host, stopped: boolean): Promise<void> {
    await this.#transact(this.#changes(uniqsign).ioStopped(host, stopped));
  }

  async ioStopped(uniqsign: string, hosts: readonly Host[]): Promise<readonly Host[]> {
    const { ioStopped } = keysOf(uniqsign);
    const kinds = hosts.map(() => 'string');
    const values = list(await this.#eval(READ, hosts.map(ioStopped), kinds));
    return hosts.filter((_, at) => textOf(values[at]) === '1');
  }

  async watch(
    listener: (event: WakeEvent) => void,
    kinds: readonly WakeKind[] = ['observed', 'decided', 'message'],
  ): Promise<() => Promise<void>> {
    const watcher: Watcher = { listener, kinds };
    this.#watchers.add(watcher);
    if (this.#ears === null) {
      this.#ears = this.#link((client) => this.#listen(client));
      await this.#ears.tried();
    } else {
      // When this fails the connection is gone, and the next one listens to everything that is watched for.
      await this.#ears.run((client) => client.subscribe(...this.#channels())).catch(() => {});
    }
    return async () => {
      this.#watchers.delete(watcher);
      if (this.#watchers.size > 0) return;
      const ears = this.#ears;
      this.#ears = null;
      await ears?.close();
    };
  }

  async close(): Promise<void> {
    this.#watchers.clear();
    await Promise.all([this.#ears?.close(), this.#commands.close()]);
  }

  #link(prepare: (client: Redis) => Promise<void>): Link {
    const { host, password, times, random } = this.#options;
    return new Link({
      host,
      password,
      times: { ...TIMES, ...times },
      random: random ?? Math.random,
      prepare,
      onChange: (trouble) => this.#linkChanged(trouble),
    });
  }

  #linkChanged(change: MmmError | null): void {
    const links = this.#ears === null ? [this.#commands] : [this.#commands, this.#ears];
    // Where one connection came back, the other one will.
    if (change === null) for (const link of links) link.hurry();
    const trouble = links.find((link) => link.trouble !== null)?.trouble ?? null;
    if (trouble !== null) this.#missed = true;
    else if (!links.every((link) => link.up)) return;
    // By the code: a connection that was closed and is then refused is one trouble.
    if (this.#told !== (trouble?.code ?? null)) {
      this.#told = trouble?.code ?? null;
      this.#options.onState(trouble);
    }
    if (trouble === null && this.#missed) {
      this.#missed = false;
      for (const { listener } of this.#watchers) listener({ kind: 'reconnected', uniqsign: null });
    }
  }

  async #listen(client: Redis): Promise<void> {
    client.on('message', (channel: string, payload: string) => this.#heard(channel, payload));
    let listening = 0;
    // Somebody may begin to watch for more while this goes on.
    for (let channels = this.#channels(); channels.length > listening; channels = this.#channels()) {
      listening = channels.length;
      await client.subscribe(...channels);
    }
  }

  #channels(): string[] {
    const channels = channelsOf(this.#options.topic);
    return [...new Set([...this.#watchers].flatMap(({ kinds }) => kinds))].map((kind) => channels[kind]);
  }

  #heard(channel: string, payload: string): void {
    const channels = channelsOf(this.#options.topic);
    const kind = (['message', 'decided', 'observed'] as const).find((known) => channels[known] === channel);
    if (kind === undefined) return;
    const uniqsign =
      kind === 'message'
        ? (this.#take(channel, decodeMessage(payload))?.uniqsign ?? null)
        : this.#take(channel, decodeWake(payload));
    if (uniqsign === null) return;
    for (const { listener, kinds } of this.#watchers) if (kinds.includes(kind)) listener({ kind, uniqsign });
  }

  async #readPair(uniqsign: string): Promise<RawPair> {
    return rawPairOf(await this.#eval(READ, ...pairToRead(uniqsign)));
  }

  /** Many pairs in one round trip. A pair with a key of the wrong type is told and left out; the others are none the worse. */
  async #readPairs(uniqsigns: readonly string[]): Promise<FoundPair[]> {
    const answers = await this.#commands.run((client) => {
      const pipeline = client.pipeline();
      for (const uniqsign of uniqsigns) {
        const [keys, args] = pairToRead(uniqsign);
        pipeline.eval(READ, keys.length, ...keys, ...args);
      }
      return pipeline.exec();
    });
    return uniqsigns.flatMap((uniqsign, at) => {
      const [error, raw] = answers?.[at] ?? [null, null];
      if (error === null) return this.#found(uniqsign, rawPairOf(raw)) ?? [];
      const trouble = storeError(error, { host: this.#options.host, secret: this.#options.password });
      if (trouble.code !== 'store-wrong-type') throw trouble;
      this.#take(keysOf(uniqsign).mode, { value: null, garbage: trouble.message });
      return [];
    });
  }

  #found(uniqsign: string, raw: RawPair): FoundPair | null {
    return foundPairOf(uniqsign, raw, { topic: this.#options.topic, take: this.#take });
  }

  #changes(uniqsign: string) {
    return changesOf(this.#options.topic, uniqsign);
  }

  /** Does all of it in one step, or nothing (false) when the guard does not hold. */
  async #transact(change: Change): Promise<boolean> {
    const { keys, args } = scripted(change);
    return (await this.#eval(TRANSACT, keys, args)) === 1;
  }

  async #eval(script: string, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    return this.#commands.run((client) => client.eval(script, keys.length, ...keys, ...args));
  }
}

/** A change as KEYS and ARGV of TRANSACT. */
function scripted({ guards, writes, messages }: Change): { keys: string[]; args: string[] } {
  return {
    keys: [...guards, ...writes].map(({ key }) => key),
    args: [
      String(guards.length),
      ...guards.flatMap(({ fields }) => counted([...fields].flat())),
      ...writes.flatMap((write) => [write.kind, ...valuesOf(write)]),
      ...counted(messages.flat()),
    ],
  };
}

function valuesOf(write: Write): string[] {
  switch (write.kind) {
    case 'hash':
      return counted([...write.fields].flat());
    case 'string':
      return counted([write.value]);
    case 'dated':
      return counted([write.field, write.value, String(write.oldestMs), String(write.ttlMs)]);
    case 'del':
      return [];
    default:
      return write satisfies never;
  }
}

function counted(values: readonly string[]): string[] {
  return [String(values.length), ...values];
}

/** What READ is told of a pair's keys, in the order in which rawPairOf takes them. */
function pairToRead(uniqsign: string): [keys: string[], args: string[]] {
  const keys = keysOf(uniqsign);
  const { mode, epoch, report, policy, opened, topic, divergence, request, pause, unfenced, complete, joining, lives } =
    keys;
  const kinds = ['hash', 'hash', 'hash', 'hash', 'string', 'string', 'hash', 'hash', 'hash', 'string', 'hash', 'hash'];
  return [
    [mode, epoch, report, policy, opened, topic, divergence, request, pause, unfenced, complete, joining],
    [...kinds, lives.before, lives.after, ...NAMES_HOST],
  ];
}

function rawPairOf(answer: unknown): RawPair {
  const [mode, epoch, report, policy, opened, topic, divergence, request, pause, unfenced, complete, joining, lives] =
    list(answer);
  return {
    mode: fieldsOf(mode),
    epoch: fieldsOf(epoch),
    report: fieldsOf(report),
    policy: fieldsOf(policy),
    opened: textOf(opened),
    topic: textOf(topic),
    divergence: fieldsOf(divergence),
    request: fieldsOf(request),
    pause: fieldsOf(pause),
    unfenced: textOf(unfenced),
    complete: fieldsOf(complete),
    joining: fieldsOf(joining),
    lives: new Map(pairsOf(lives).map(([name, fields]) => [String(name), fieldsOf(fields)])),
  };
}

function list(answer: unknown): readonly unknown[] {
  return Array.isArray(answer) ? answer : [];
}

function textOf(answer: unknown): string | null {
  return typeof answer === 'string' ? answer : null;
}

/** HGETALL's flat list. */
function fieldsOf(answer: unknown): Fields {
  return new Map(pairsOf(answer).map(([name, value]) => [String(name), String(value ?? '')]));
}

function pairsOf(answer: unknown): [unknown, unknown][] {
  const flat = list(answer);
  return flat.flatMap((name, at): [unknown, unknown][] => (at % 2 === 0 ? [[name, flat[at + 1]]] : []));
}

// The board in a single Redis. Every write is one script, so it happens wholly or not at all; every read of a pair is one, so its keys belong together.
// Comes from commands/; wire.ts and its neighbours say what stands where, scripts.ts what happens in one step, link.ts keeps the connections.

import type { Redis } from 'ioredis';
import type { AgentRecord } from '../core/agents.ts';
import type { Board, Decision, Policy, Report } from '../core/decision.ts';
import type { Divergence } from '../core/divergence.ts';
import type { MmmError } from '../core/errors.ts';
import type { Observation, Sighting } from '../core/observation.ts';
import type { Epoch, Host, Pair } from '../core/pair.ts';
import type { Pause, Request } from '../core/request.ts';
import type { LinkTimes } from './link.ts';
import { Link } from './link.ts';
import { DESCRIBE, LEAD, READ, RESIGN, TRANSACT } from './scripts.ts';
import type { CommitOutcome, FoundPair, Store, WakeEvent, WakeKind } from './store.ts';
import { storeError } from './trouble.ts';
import type { RawPair } from './wire.ts';
import { boardOf, foundPairOf } from './wire.ts';
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
} from './wire-decisions.ts';
import type { Fields, Take } from './wire-fields.ts';
import { tellingOnce } from './wire-fields.ts';
import { channelsOf, decodeWake, encodePair, keysOf, MODE_PATTERN, uniqsignOfModeKey } from './wire-keys.ts';
import { decodeMessage, encodeMessage } from './wire-message.ts';
import { decodeObservation, encodeObservation, encodeSighting, sightingsOf } from './wire-observations.ts';
import { encodePause, encodeRequest, encodeRequestGuard } from './wire-operator.ts';

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
    const keys = keysOf(uniqsign);
    const { field, value, oldestMs, ttlMs } = encodeSighting(sighting);
    await this.#transact({
      writes: [
        ...sighting.observations.map((seen) => hash(keys.check(seen.host), encodeObservation(seen))),
        { key: keys.observers, kind: 'dated', values: [field, value, String(oldestMs), String(ttlMs)] },
      ],
      messages: [[channelsOf(this.#options.topic).observed, uniqsign]],
    });
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
    const { topic } = this.#options;
    const { roles } = decision;
    const keys = keysOf(uniqsign);
    const channels = channelsOf(topic);
    const inStore = expected === null ? (await this.#readPair(uniqsign)).epoch : new Map();
    const committed = await this.#transact({
      guard: { key: keys.epoch, fields: guardFor(expected, inStore) },
      writes: [
        hash(keys.epoch, encodeEpoch(decision)),
        hash(keys.policy, encodePolicy(policy)),
        text(keys.topic, topic),
        hash(keys.mode, encodeRoles(roles)),
        hash(keys.master, encodeMaster(roles)),
        absent(keys.report),
        absent(keys.request),
      ],
      messages: [
        [channels.message, encodeMessage({ roles, uniqsign })],
        [channels.decided, uniqsign],
      ],
    });
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
    const keys = keysOf(uniqsign);
    return this.#transact({
      guard: { key: keys.epoch, fields: encodeEpochGuard(request.epoch) },
      writes: [hash(keys.request, encodeRequest(request))],
      messages: [[channelsOf(this.#options.topic).observed, uniqsign]],
    });
  }

  async endRequest(uniqsign: string, id: string, refused: string | null): Promise<boolean> {
    const { request } = keysOf(uniqsign);
    return this.#transact({
      guard: { key: request, fields: encodeRequestGuard(id) },
      writes: [refused === null ? absent(request) : hash(request, new Map([['refused', refused]]))],
    });
  }

  async putPause(uniqsign: string, pause: Pause | null): Promise<void> {
    const keys = keysOf(uniqsign);
    await this.#transact({
      writes: [pause === null ? absent(keys.pause) : hash(keys.pause, encodePause(pause))],
      messages: [[channelsOf(this.#options.topic).observed, uniqsign]],
    });
  }

  async findPairs(): Promise<FoundPair[]> {
    const signs = new Set<string>();
    let cursor = '0';
    do {
      const step = cursor;
      const [next, keys] = await this.#commands.run((client) =>
        client.scan(step, 'MATCH', MODE_PATTERN, 'COUNT', SCAN_COUNT),
      );
      for (const key of keys) {
        const sign = uniqsignOfModeKey(key);
        if (sign === undefined)
          this.#take(key, { value: null, garbage: 'is named like the roles of a pair, without a signature' });
        else signs.add(sign);
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
    const keys = keysOf(uniqsign);
    return this.#transact({
      guard: { key: keys.epoch, fields: encodeEpochGuard(report.epoch) },
      writes: [
        hash(keys.report, encodeReport(report)),
        ...(report.outcome === 'opened' ? [text(keys.opened, report.host)] : []),
      ],
    });
  }

  async putOpened(uniqsign: string, epoch: Epoch | null, host: Host | null): Promise<boolean> {
    const keys = keysOf(uniqsign);
    return this.#transact({
      ...(epoch === null ? {} : { guard: { key: keys.epoch, fields: encodeEpochGuard(epoch) } }),
      writes: [host === null ? absent(keys.opened) : text(keys.opened, host)],
    });
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
    const keys = keysOf(uniqsign);
    return this.#transact({
      ...(epoch === null ? {} : { guard: { key: keys.epoch, fields: encodeEpochGuard(epoch) } }),
      writes: [hash(keys.divergence, encodeDivergence(divergence))],
    });
  }

  async endDivergence(uniqsign: string, divergence: Divergence): Promise<boolean> {
    const { divergence: key } = keysOf(uniqsign);
    return this.#transact({ guard: { key, fields: encodeDivergenceGuard(divergence) }, writes: [absent(key)] });
  }

  async putIoStopped(uniqsign: string, host: Host, stopped: boolean): Promise<void> {
    const key = keysOf(uniqsign).ioStopped(host);
    await this.#transact({ writes: [stopped ? text(key, '1') : absent(key)] });
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
        const [keys, kinds] = pairToRead(uniqsign);
        pipeline.eval(READ, keys.length, ...keys, ...kinds);
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

  /** Does all of it in one step, or nothing (false) when the guard does not hold. */
  async #transact(change: {
    guard?: { key: string; fields: Fields };
    writes: readonly Write[];
    messages?: readonly (readonly [string, string])[];
  }): Promise<boolean> {
    const keys = change.writes.map(({ key }) => key);
    const answer = await this.#eval(
      TRANSACT,
      // Without a guard its place is taken by a key that is named anyway, so that rights limited to `mysql-*` will do.
      [change.guard?.key ?? keys[0] ?? '', ...keys],
      [
        ...counted([...(change.guard?.fields ?? [])].flat()),
        ...change.writes.flatMap(({ kind, values }) => (kind === 'del' ? [kind] : [kind, ...counted(values)])),
        ...counted((change.messages ?? []).flat()),
      ],
    );
    return answer === 1;
  }

  async #eval(script: string, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    return this.#commands.run((client) => client.eval(script, keys.length, ...keys, ...args));
  }
}

interface Write {
  readonly key: string;
  readonly kind: 'hash' | 'dated' | 'string' | 'del';
  readonly values: readonly string[];
}

function hash(key: string, fields: Fields): Write {
  return { key, kind: 'hash', values: [...fields].flat() };
}

function text(key: string, value: string): Write {
  return { key, kind: 'string', values: [value] };
}

function absent(key: string): Write {
  return { key, kind: 'del', values: [] };
}

function counted(values: readonly string[]): string[] {
  return [String(values.length), ...values];
}

/** The keys of a pair that belong together, and their types, in the order in which rawPairOf takes them. */
function pairToRead(uniqsign: string): [keys: string[], kinds: string[]] {
  const { mode, epoch, report, policy, opened, topic, divergence, request, pause } = keysOf(uniqsign);
  return [
    [mode, epoch, report, policy, opened, topic, divergence, request, pause],
    ['hash', 'hash', 'hash', 'hash', 'string', 'string', 'hash', 'hash', 'hash'],
  ];
}

function rawPairOf(answer: unknown): RawPair {
  const [mode, epoch, report, policy, opened, topic, divergence, request, pause] = list(answer);
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
  const flat = list(answer).map(String);
  return new Map(flat.flatMap((name, at) => (at % 2 === 0 ? [[name, flat[at + 1] ?? ''] as const] : [])));
}

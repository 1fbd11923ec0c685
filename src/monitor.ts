// One round of `mmm monitor` for one pair: probe both hosts at once, put what was found on the board, say what changed.
// Comes from ops/supervise.ts; goes on to mysql/server.ts `probe` and store/redis.ts `putSighting`; src/identify.ts is woken.

import { FRESH_MS, judge } from './core/death.ts';
import { type HostRow, isArmed } from './core/host-row.ts';
import type { Log } from './core/log.ts';
import {
  type Evidence,
  type Facts,
  isAlive,
  type Observation,
  type Seen,
  type SeenFacts,
  type SeenRow,
} from './core/observation.ts';
import { type Host, otherHost, type Pair } from './core/pair.ts';
import { replicatesFrom } from './core/source.ts';
import { deafInMs, type Ear, hearingWindowMs, hears, heartbeatAdvice, listen } from './core/witness.ts';
import type { Server } from './mysql/server.ts';
import type { Clock } from './ops/clock.ts';
import type { Pulse } from './pulse.ts';
import type { Store } from './store/store.ts';

/** Gap before the next look when the evidence is death: the confirmations follow back to back. */
const URGENT_GAP_MS = 10;
/** A silence that took this long to find was waited for; anything shorter was an answer of the network. */
const SLOW_SILENCE_MS = 300;
/** How often, and how far apart, a host that broke and its witness are looked at until they tell the same story. */
const WITNESS_LOOKS = 10;
const WITNESS_GAP_MS = 20;
/** How far apart a replica is looked at when its opinion is all that is waited for. */
const LISTEN_GAP_MS = 50;
/** A loop that was later than this was frozen or starved: what it did not see, or not in time, may have been there. */
const STARVED_MS = 500;
/** What a round takes besides its waiting. */
const SLACK_MS = 500;

export interface MonitorParts {
  readonly pair: Pair;
  readonly servicemode: 0 | 1;
  readonly tryTimes: number;
  /** How often it looks, and how long a silent host takes: so others know when to expect its next word. */
  readonly intervalMs: number;
  readonly connectTimeoutMs: number;
  /** A safety is on, so the servers' rows are wanted, also where none was when the connection was opened. */
  readonly wantRow: boolean;
  readonly primary: Server;
  readonly secondary: Server;
  readonly store: Store;
  /** Listens to the host that takes writes until the next round. */
  readonly pulse: Pick<Pulse, 'rest' | 'watch'>;
  readonly clock: Clock;
  readonly log: Log;
  /** Who looks, as the board shows it. */
  readonly observer: string;
}

/** What the loop tells a round about itself; ops/supervise.ts `RoundContext`. */
interface Context {
  readonly lateMs: number;
}

/** What one round hands to the next. */
interface Memory {
  readonly serverIds: Map<Host, number>;
  readonly ears: Map<Host, Ear>;
  readonly goneLooks: Map<Host, number>;
}

/** Makes the pair's round. It remembers only what it needs in order to judge a silence, to speak on change and to pace itself. */
export function makeMonitorRound(
  parts: MonitorParts,
): (signal: AbortSignal, context: Context) => Promise<{ nextMs?: number }> {
  const { pair, store, pulse, clock, log } = parts;
  const memory: Memory = { serverIds: new Map(), ears: new Map(), goneLooks: new Map() };
  const said = new Map<Host, string>();
  const advised = new Map<Host, string>();
  let hurriedRounds = 0;
  let dueMs = 0;

  return async (signal, context) => {
    const beganMs = clock.monotonic();
    const isEarly = pulse.rest();
    let looks = await agreeing(parts, await lookAtBoth(parts));
    for (const look of looks) hear(memory, look);
    looks = await secondOpinion(parts, { memory, looks, signal });
    if (context.lateMs > STARVED_MS) {
      // Nothing of it is evidence, and a replica that seems to have stood still meanwhile may have stood still with us.
      memory.ears.clear();
      log.debug(`this process ran ${Math.round(context.lateMs)} ms late; looks again`, { event: 'starved' });
      return { nextMs: 0 };
    }
    const [first, second] = looks;
    count(memory, first, second);
    count(memory, second, first);
    const listenOn = () =>
      pulse.watch(looks.filter(takesWrites).map(({ host, tookMs }) => ({ server: serverOf(parts, host), tookMs })));
    if (isEarly && isAlive(first.evidence) && isAlive(second.evidence)) {
      // Nobody is missing. Rounds are counted for other reasons, too, and none of that shall come sooner because a host was slow to answer.
      listenOn();
      return { nextMs: Math.max(0, dueMs - beganMs) };
    }
    dueMs = beganMs + parts.intervalMs;
    const observations = [observe(parts, memory, first), observe(parts, memory, second)];
    for (const observation of observations) {
      speak(observation);
      advise(observation);
    }
    if (await store.describe(pair, parts.servicemode)) {
      log.info(`wrote the pair's hosts and service mode to the board`, { event: 'described' });
    }
    const againMs = againWithinMs(parts, observations);
    await store.putSighting(pair.uniqsign, { observer: parts.observer, observations, againMs });
    listenOn();
    // Enough looks for identify to confirm, then back to the usual pace: a host may stay dead for days.
    const urgent = [first, second].some((seen, index) => mayHurry(parts, seen, observations, index));
    hurriedRounds = urgent ? hurriedRounds + 1 : 0;
    return urgent && hurriedRounds <= parts.tryTimes ? { nextMs: URGENT_GAP_MS } : {};
  };

  function speak(observation: Observation): void {
    const sentence = describe(observation);
    if (said.get(observation.host) === sentence) return;
    said.set(observation.host, sentence);
    const level = observation.evidence.kind === 'answered' ? 'info' : 'warn';
    log[level](`${observation.host} ${sentence}`, {
      event: 'observed',
      host: observation.host,
      evidence: observation.evidence.kind,
    });
  }

  /** Once, and again when the operator changed it to something that is no better. */
  function advise({ host, evidence }: Observation): void {
    if (evidence.kind !== 'answered' || evidence.facts.hearing === null) return;
    const advice = heartbeatAdvice(evidence.facts.hearing.heartbeatMs) ?? '';
    if (advice !== '' && advised.get(host) !== advice) log.warn(`${host}: ${advice}`, { event: 'heartbeat', host });
    advised.set(host, advice);
  }
}

/** Notes what the host's I/O thread has received. */
function hear(memory: Memory, { host, evidence, endedMs }: Look): void {
  if (evidence.kind !== 'answered') return;
  const { facts } = evidence;
  memory.serverIds.set(host, facts.serverId);
  const ear = facts.replication === null ? null : listen(memory.ears.get(host) ?? null, facts.replication, endedMs);
  if (ear === null) memory.ears.delete(host);
  else memory.ears.set(host, ear);
}

/** Only looks that found the other host alive: a monitor that sees neither has lost its own network. */
function count({ goneLooks }: Memory, seen: Look, other: Look): void {
  const gone = !isAlive(seen.evidence) && isAlive(other.evidence);
  goneLooks.set(seen.host, gone ? (goneLooks.get(seen.host) ?? 0) + 1 : 0);
}

/**
 * A host is gone and its replica may hear it still. The replica is looked at again, so that its opinion is as young as ours; and once
 * enough looks agree, for as long as it takes to know: until it gets something, or has got nothing for its whole hearing window.
 */
async function secondOpinion(
  parts: MonitorParts,
  { memory, looks, signal }: { memory: Memory; looks: readonly [Look, Look]; signal: AbortSignal },
): Promise<readonly [Look, Look]> {
  const [first, second] = looks;
  if (!isAlive(first.evidence)) return [first, await listenTo(parts, { memory, gone: first, witness: second, signal })];
  if (!isAlive(second.evidence))
    return [await listenTo(parts, { memory, gone: second, witness: first, signal }), second];
  return looks;
}

interface Listening {
  readonly memory: Memory;
  readonly gone: Look;
  readonly witness: Look;
  readonly signal: AbortSignal;
}

async function listenTo(parts: MonitorParts, { memory, gone, witness, signal }: Listening): Promise<Look> {
  const server = serverOf(parts, witness.host);
  const looks = (memory.goneLooks.get(gone.host) ?? 0) + 1;
  let latest = witness;
  for (;;) {
    const hearing = hearingOf(memory, latest, gone.host);
    // A host that takes writes itself is not to be opened: what it hears decides nothing.
    if (hearing === null || latest.evidence.kind !== 'answered' || !latest.evidence.facts.readOnly) return latest;
    const heardSince = latest.endedMs - hearing.silentMs > witness.endedMs;
    const isYoung = latest !== witness;
    if (isYoung && (looks < parts.tryTimes || heardSince || !hears(hearing))) return latest;
    if (isYoung) await parts.clock.sleep(Math.min(LISTEN_GAP_MS, deafInMs(hearing)), signal);
    if (signal.aborted) return latest;
    latest = await look(parts, server);
    hear(memory, latest);
  }
}

/** null: it is no witness of `other`. */
function hearingOf({ ears, serverIds }: Memory, { host, evidence, endedMs }: Look, other: Host): SeenFacts['hearing'] {
  const ear = ears.get(host);
  const replication = evidence.kind === 'answered' ? evidence.facts.replication : null;
  if (ear === undefined || replication === null) return null;
  if (!replicatesFrom(replication, other, serverIds.get(other) ?? null)) return null;
  return { silentMs: Math.max(0, endedMs - ear.sinceMs), heartbeatMs: replication.heartbeats?.periodMs ?? 0 };
}

/** Until then the next word of this monitor is not late: the next look may find a silent host and have to listen. */
function againWithinMs({ intervalMs, connectTimeoutMs }: MonitorParts, observations: readonly Observation[]): number {
  const listeningMs = observations.map(({ evidence }) => {
    const hearing = evidence.kind === 'answered' ? evidence.facts.hearing : null;
    return hearing === null ? 0 : hearingWindowMs(hearing.heartbeatMs);
  });
  const gone = observations.some(({ goneLooks }) => goneLooks > 0);
  return intervalMs + connectTimeoutMs + SLACK_MS + (gone ? Math.max(...listeningMs) : 0);
}

/**
 * Death is confirmed back to back, and so is a silence that took a whole time-out to find, for that is pause enough. What fails
 * at once and may be the network's doing (a rejecting firewall, no route) is looked at again at the usual interval.
 */
function mayHurry({ clock }: MonitorParts, seen: Look, observations: readonly Observation[], index: number): boolean {
  const { evidence } = seen;
  if (evidence.kind === 'silent') return seen.tookMs >= SLOW_SILENCE_MS;
  const observation = observations[index] ?? null;
  const other = observations[1 - index] ?? null;
  const judgement = judge({ host: seen.host, observation, other, freshMs: FRESH_MS, nowMs: clock.wall() });
  return judgement.verdict === 'dead';
}

interface Look {
  readonly host: Host;
  readonly evidence: Evidence;
  readonly atMs: number;
  /** The same by the clock that never jumps. */
  readonly endedMs: number;
  readonly connectionBroke: boolean;
  readonly tookMs: number;
}

async function lookAtBoth(parts: MonitorParts): Promise<readonly [Look, Look]> {
  return await Promise.all([look(parts, parts.primary), look(parts, parts.secondary)]);
}

/**
 * A host that just died is refused some milliseconds before its replica notices. Both are looked at again for a moment, so that the
 * second opinion is of the same time as the first one.
 */
async function agreeing(parts: MonitorParts, looks: readonly [Look, Look]): Promise<readonly [Look, Look]> {
  let latest = looks;
  for (let again = 0; again < WITNESS_LOOKS; again++) {
    const [first, second] = latest;
    if (!(isBroken(first) && ioRuns(second)) && !(isBroken(second) && ioRuns(first))) return latest;
    await parts.clock.sleep(WITNESS_GAP_MS);
    latest = await lookAtBoth(parts);
  }
  return latest;
}

function isBroken({ evidence, connectionBroke }: Look): boolean {
  return evidence.kind === 'refused' && connectionBroke;
}

function ioRuns({ evidence }: Look): boolean {
  return evidence.kind === 'answered' && evidence.facts.replication?.io === 'Yes';
}

function serverOf({ primary, secondary }: MonitorParts, host: Host): Server {
  return host === primary.host ? primary : secondary;
}

function takesWrites({ evidence }: Look): boolean {
  return evidence.kind === 'answered' && !evidence.facts.readOnly;
}

async function look({ clock, wantRow }: MonitorParts, server: Server): Promise<Look> {
  const beganMs = clock.monotonic();
  const evidence = await server.probe({ row: wantRow });
  const endedMs = clock.monotonic();
  const { host, connectionBroke } = server;
  return { host, evidence, atMs: clock.wall(), endedMs, connectionBroke, tookMs: endedMs - beganMs };
}

function observe({ pair, observer }: MonitorParts, memory: Memory, seen: Look): Observation {
  const { host, evidence, atMs, connectionBroke } = seen;
  const goneLooks = memory.goneLooks.get(host) ?? 0;
  const other = otherHost(pair, host);
  return { host, atMs, observer, connectionBroke, goneLooks, evidence: asSeen(evidence, { memory, seen, other }) };
}

interface Beside {
  readonly memory: Memory;
  readonly seen: Look;
  readonly other: Host;
}

function asSeen(evidence: Evidence, beside: Beside): Seen {
  switch (evidence.kind) {
    case 'answered':
      return { kind: 'answered', facts: seenFacts(evidence.facts, beside) };
    case 'refused':
    case 'silent':
      return { kind: evidence.kind, failure: evidence };
    case 'saturated':
    case 'auth-refused':
    case 'blocked':
    case 'server-error':
      return { kind: 'unreadable', failure: evidence };
    default:
      return evidence satisfies never;
  }
}

function seenFacts(facts: Facts, { memory, seen, other }: Beside): SeenFacts {
  const { readOnly, connections, replication, boot } = facts;
  const row = seenRow(facts.row);
  // Asked together with the row: a server that was not asked for it says nothing of either.
  const hasSemiSync = facts.row === null ? null : facts.semiSync !== null;
  if (replication === null) {
    const none = { replicationOk: false, delaySec: 0, io: null, sql: null, hearing: null };
    return { readOnly, connections, ...none, boot, row, hasSemiSync };
  }
  const { io, sql } = replication;
  const follows = replicatesFrom(replication, other, memory.serverIds.get(other) ?? null);
  return {
    readOnly,
    connections,
    replicationOk: io === 'Yes' && sql === 'Yes' && follows,
    delaySec: replication.delaySec ?? 0,
    io,
    sql,
    hearing: hearingOf(memory, seen, other),
    boot,
    row,
    hasSemiSync,
  };
}

function seenRow(row: HostRow | null): SeenRow | null {
  if (row === null) return null;
  const { epoch, opened, unfenced, generation, lease } = row;
  return { epoch, opened, unfenced, generation, lease: lease.kind, armed: isArmed(row) };
}

/** One clause that changes only when somebody should know: neither the number of connections nor seconds of delay are in it. */
function describe({ evidence }: Observation): string {
  if (evidence.kind === 'answered') {
    const { readOnly, replicationOk } = evidence.facts;
    return `answers, ${readOnly === true ? 'read only' : 'writable'}, replication ${replicationOk ? 'OK' : 'Error'}`;
  }
  if (evidence.kind === 'unreadable') {
    return `is alive but cannot be read (${evidence.failure.kind} ${evidence.failure.code}: ${evidence.failure.message}); this is no reason to fail over`;
  }
  return `is ${evidence.kind} (${evidence.failure.code}: ${evidence.failure.message})`;
}

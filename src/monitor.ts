// One round of `mmm monitor` for one pair: probe both hosts at once, put what was found on the board, say what changed.
// Comes from ops/supervise.ts; goes on to mysql/server.ts `probe` and store/redis.ts `putObservations`; src/identify.ts is woken.

import { FRESH_MS, judge } from './core/death.ts';
import type { Log } from './core/log.ts';
import type { Evidence, Facts, Observation, Seen, SeenFacts } from './core/observation.ts';
import type { Host, Pair } from './core/pair.ts';
import { replicatesFrom } from './core/source.ts';
import type { Server } from './mysql/server.ts';
import type { Clock } from './ops/clock.ts';
import type { Store } from './store/store.ts';

/** Gap before the next look when the evidence is death: the confirmations follow back to back. */
const URGENT_GAP_MS = 10;
/** A silence that took this long to find was waited for; anything shorter was an answer of the network. */
const SLOW_SILENCE_MS = 300;
/** How often, and how far apart, a host that broke and its witness are looked at until they tell the same story. */
const WITNESS_LOOKS = 10;
const WITNESS_GAP_MS = 20;

export interface MonitorParts {
  readonly pair: Pair;
  readonly servicemode: 0 | 1;
  readonly tryTimes: number;
  readonly primary: Server;
  readonly secondary: Server;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  /** Who looks, as the board shows it. */
  readonly observer: string;
}

/** Makes the pair's round. It remembers only what it needs in order to speak on change and to pace itself. */
export function makeMonitorRound(parts: MonitorParts): () => Promise<{ nextMs?: number }> {
  const { pair, store, log } = parts;
  const serverIds = new Map<Host, number>();
  const said = new Map<Host, string>();
  let hurriedRounds = 0;

  return async () => {
    const [first, second] = await agreeing(parts, await lookAtBoth(parts));
    for (const { host, evidence } of [first, second]) {
      if (evidence.kind === 'answered') serverIds.set(host, evidence.facts.serverId);
    }
    const observations = [
      observe(parts, first, pair.secondary, serverIds.get(pair.secondary) ?? null),
      observe(parts, second, pair.primary, serverIds.get(pair.primary) ?? null),
    ];
    for (const observation of observations) {
      const sentence = describe(observation);
      if (said.get(observation.host) === sentence) continue;
      said.set(observation.host, sentence);
      const level = observation.evidence.kind === 'answered' ? 'info' : 'warn';
      log[level](`${observation.host} ${sentence}`, {
        event: 'observed',
        host: observation.host,
        evidence: observation.evidence.kind,
      });
    }
    if (await store.describe(pair, parts.servicemode)) {
      log.info(`wrote the pair's hosts and service mode to the board`, { event: 'described' });
    }
    await store.putObservations(pair.uniqsign, observations);
    // Enough looks for identify to confirm, then back to the usual pace: a host may stay dead for days.
    const urgent = [first, second].some((seen, index) => mayHurry(parts, seen, observations, index));
    hurriedRounds = urgent ? hurriedRounds + 1 : 0;
    return urgent && hurriedRounds <= parts.tryTimes ? { nextMs: URGENT_GAP_MS } : {};
  };
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
    if (!(isBroken(first) && hears(second)) && !(isBroken(second) && hears(first))) return latest;
    await parts.clock.sleep(WITNESS_GAP_MS);
    latest = await lookAtBoth(parts);
  }
  return latest;
}

function isBroken({ evidence, connectionBroke }: Look): boolean {
  return evidence.kind === 'refused' && connectionBroke;
}

function hears({ evidence }: Look): boolean {
  return evidence.kind === 'answered' && evidence.facts.replication?.io === 'Yes';
}

async function look({ clock }: MonitorParts, server: Server): Promise<Look> {
  const beganMs = clock.monotonic();
  const evidence = await server.probe();
  const tookMs = clock.monotonic() - beganMs;
  return { host: server.host, evidence, atMs: clock.wall(), connectionBroke: server.connectionBroke, tookMs };
}

function observe({ observer }: MonitorParts, seen: Look, other: Host, otherServerId: number | null): Observation {
  const { host, evidence, atMs, connectionBroke } = seen;
  return { host, atMs, observer, connectionBroke, evidence: asSeen(evidence, other, otherServerId) };
}

function asSeen(evidence: Evidence, other: Host, otherServerId: number | null): Seen {
  switch (evidence.kind) {
    case 'answered':
      return { kind: 'answered', facts: seenFacts(evidence.facts, other, otherServerId) };
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

function seenFacts(facts: Facts, other: Host, otherServerId: number | null): SeenFacts {
  const { readOnly, connections, replication } = facts;
  if (replication === null) {
    return { readOnly, connections, replicationOk: false, delaySec: 0, io: null, sql: null };
  }
  const { io, sql } = replication;
  const replicationOk = io === 'Yes' && sql === 'Yes' && replicatesFrom(replication, other, otherServerId);
  return { readOnly, connections, replicationOk, delaySec: replication.delaySec ?? 0, io, sql };
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

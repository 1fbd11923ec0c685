// Is a host alive, dead, silent, or do we not know? One judgement per host, from both hosts' observations.
// Comes from src/identify.ts by way of decide.ts (fresh observations off the board); goes on to rules.ts.

import type { Failure, Observation, SeenFacts, ThreadState } from './observation.ts';
import type { Host } from './pair.ts';
import { hearingWindowMs, hears } from './witness.ts';

/** A status older than this is not used (contract: 30 s). */
export const FRESH_MS = 30_000;

interface Judged {
  readonly host: Host;
  /** One sentence for a person, naming the host. */
  readonly reason: string;
}

/** It told its facts. */
export interface Answers extends Judged {
  readonly verdict: 'answers';
  readonly facts: SeenFacts;
}

/**
 * It does not answer. `dead`: its server is certainly gone, so confirmations may follow each other without a pause.
 * `silent`: the network may be at fault, so confirmations must be spread over the monitor's rounds.
 */
export interface Unreachable extends Judged {
  readonly verdict: 'dead' | 'silent';
  /** What was seen, as a clause to put in brackets: "refused, connection broke". */
  readonly detail: string;
  /** The other host still hears it, so it is alive and the managers alone are cut off from it: which one, and how. */
  readonly stillHeard: string | null;
}

/**
 * Nothing to decide with. `unreadable`: the server runs but told nothing (too many connections, wrong password), which is
 * never a reason to fail over. `stale`: the observation is too old, or dated in the future. `missing`: there is none.
 */
export interface Unknown extends Judged {
  readonly verdict: 'unreadable' | 'stale' | 'missing';
}

export type Judgement = Answers | Unreachable | Unknown;

/** What is known when one host is judged. */
interface Sight {
  readonly host: Host;
  readonly observation: Observation | null;
  /** The other host's observation: its I/O thread replicates from this one and so is a second opinion. */
  readonly other: Observation | null;
  /** How far an observation's date may be from now, either way. */
  readonly freshMs: number;
  readonly nowMs: number;
}

export function judge({ host, observation, other, freshMs, nowMs }: Sight): Judgement {
  if (observation === null) {
    return { verdict: 'missing', host, reason: `${host} has not been observed` };
  }
  const ageMs = nowMs - observation.atMs;
  if (ageMs > freshMs) {
    return { verdict: 'stale', host, reason: `${host} was last observed ${seconds(ageMs)} s ago` };
  }
  // A date in the future is a clock that jumped, here or at the monitor: how old the observation is, nobody knows.
  if (-ageMs > freshMs) {
    return { verdict: 'stale', host, reason: `${host}'s observation is dated ${seconds(-ageMs)} s in the future` };
  }
  const { evidence } = observation;
  switch (evidence.kind) {
    case 'answered':
      return { verdict: 'answers', host, facts: evidence.facts, reason: `${host} answers` };
    case 'unreadable':
      return { verdict: 'unreadable', host, reason: `${host} is alive: ${signOfLife(evidence.failure)}` };
    case 'silent':
      return silent(host, `silent: ${evidence.failure.message}`, other);
    case 'refused':
      return refused(host, observation.connectionBroke, other);
    default:
      return evidence satisfies never;
  }
}

/**
 * A refused port alone proves little: a firewall, a dead proxy or a changed port refuse us and serve the clients (F19). It
 * is death when the connection that stood until now broke as well and the other host's I/O thread lost its own. Death only
 * shortens the waiting here: it is the agents that make sure that nothing writes there.
 */
function refused(host: Host, connectionBroke: boolean, other: Observation | null): Unreachable {
  if (!connectionBroke) {
    return silent(host, 'refused, no connection broke', other);
  }
  if (ioThread(other) === 'Yes') {
    return silent(host, "refused, connection broke, but the other host's I/O thread runs", other);
  }
  if (ioThread(other) === 'No') {
    // Somebody stopped it, a backup perhaps: it lost nothing and is no witness.
    return silent(host, "refused, connection broke, and the other host's I/O thread is stopped", other);
  }
  const detail = 'refused, connection broke';
  return { verdict: 'dead', host, detail, stillHeard: null, reason: `${host} is dead (${detail})` };
}

function silent(host: Host, detail: string, other: Observation | null): Unreachable {
  const stillHeard = whoHears(other);
  return { verdict: 'silent', host, detail, stillHeard, reason: `${host} is unreachable (${detail})` };
}

/** The sentence does not hold the age itself: one that is said at each round should not be news at each round. */
function whoHears(other: Observation | null): string | null {
  const hearing = other?.evidence.kind === 'answered' ? other.evidence.facts.hearing : null;
  if (other === null || !hears(hearing)) return null;
  return `${other.host} got an event or a heartbeat from it within ${hearingWindowMs(hearing.heartbeatMs) / 1000} s`;
}

function ioThread(observation: Observation | null): ThreadState | null {
  return observation?.evidence.kind === 'answered' ? observation.evidence.facts.io : null;
}

function signOfLife(failure: Failure): string {
  switch (failure.kind) {
    case 'saturated':
      return `too many connections (${failure.code})`;
    case 'auth-refused':
      return `it refuses our user or password (${failure.code})`;
    case 'blocked':
      return `it does not let this machine in (${failure.code})`;
    default:
      return `it answers with an error (${failure.code}: ${failure.message})`;
  }
}

function seconds(ms: number): number {
  return Math.round(ms / 1000);
}

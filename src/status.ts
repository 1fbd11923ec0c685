// What `mmm status` shows: the board of each pair, as the contract's text or as JSON.
// Comes from commands/status.ts; reads store/store.ts and changes nothing.

import { answerOf, type Board, type Report } from './core/decision.ts';
import { type Divergence, describeDivergence } from './core/divergence.ts';
import type { Observation, Seen, Sighting } from './core/observation.ts';
import { isAlive } from './core/observation.ts';
import type { Host, Pair } from './core/pair.ts';
import { isOver, type Pause, type Request } from './core/request.ts';
import { hears, heartbeatAdvice } from './core/witness.ts';
import { type GuardStatus, guardLines, guardStatus } from './status-guard.ts';
import type { Store } from './store/store.ts';
import { replCheck } from './store/wire-observations.ts';

/** A status this old is shown with its age (contract). */
const OLD_SEC = 30;
/** A decision that no agent has answered after this long is shown as unanswered. */
const UNANSWERED_MS = 10_000;

/** One host of a pair as the board shows it. */
export interface HostStatus {
  readonly host: Host;
  /** unknown: nobody has written a status that can be understood. */
  readonly state: 'alive' | 'dead' | 'unknown';
  /** Whole seconds since the status was written; null when there is none. */
  readonly ageSec: number | null;
  /** As on the board: 0, 1, or -1 unknown. */
  readonly readonly: 0 | 1 | -1;
  /** `OK`, `Delay N Seconds` or `Error`. */
  readonly replcheck: string;
  /** Why the host could not be read; '' when it could. */
  readonly error: string;
  /** Does its I/O thread still hear the other host? null: it is no witness. */
  readonly hears: boolean | null;
  /** Why it is a poor witness; '' when it is a good one, or none. */
  readonly advice: string;
}

/** What one monitor found last. */
interface ObserverStatus {
  /** '' for a Perl monitor. */
  readonly observer: string;
  readonly ageSec: number;
  readonly found: Readonly<Record<Host, Seen['kind']>>;
}

export interface PairStatus {
  readonly tag: string;
  readonly uniqsign: string;
  readonly active: HostStatus | null;
  readonly passive: HostStatus | null;
  /** The hosts as configured, shown while nobody has decided. */
  readonly undecided: readonly HostStatus[];
  /** Every monitor that was here lately. */
  readonly observers: readonly ObserverStatus[];
  readonly epoch: number | null;
  /** What the agents made of the epoch. */
  readonly report: Pick<Report, 'outcome' | 'why' | 'agent' | 'atMs'> | null;
  /** What stayed on a host that lost its role and is not merged; null: nothing. */
  readonly divergence: Divergence | null;
  /** Who suspended automatic decisions, and for how many seconds still (null: until somebody resumes); null: nobody. */
  readonly paused: { readonly by: string; readonly leftSec: number | null } | null;
  /** The host that keeps the role because an operator switched over to it. */
  readonly preferred: Host | null;
  /** How long no agent has said anything about the epoch; null: one has, or may yet. Whole seconds. */
  readonly unansweredSec: number | null;
  /** What an operator asked for, and identify has not answered yet. */
  readonly request: Pick<Request, 'kind' | 'to' | 'by'> | null;
  /** null: no safety is on. */
  readonly guard: GuardStatus | null;
}

/** Reads one pair. `nowMs`: Unix milliseconds. Throws MmmError when the store cannot be used. */
export async function pairStatus(store: Store, pair: Pair, nowMs: number): Promise<PairStatus> {
  const board = await store.board(pair.uniqsign);
  const hosts = board.roles === null ? [pair.primary, pair.secondary] : [board.roles.active, board.roles.passive];
  const observations = await store.observations(pair.uniqsign, hosts);
  const statuses = hosts.map((host, index) => hostStatus(host, observations[index] ?? null, nowMs));
  const sightings = await store.sightings(pair.uniqsign, hosts);
  const [active = null, passive = null] = board.roles === null ? [] : statuses;
  return {
    tag: pair.tag,
    uniqsign: pair.uniqsign,
    active,
    passive,
    undecided: board.roles === null ? statuses : [],
    observers: sightings.map((sighting) => observerStatus(sighting, nowMs)),
    epoch: board.epoch?.number ?? null,
    report: reportOf(board),
    unansweredSec: unansweredOf(board, nowMs),
    divergence: board.divergence,
    paused: pausedOf(board.pause, nowMs),
    preferred: board.terms.preferred,
    request: requestOf(board.request, nowMs),
    guard: await guardOf(store, pair, board, observations, nowMs),
  };
}

/** A pair with no safety on costs no further question. */
async function guardOf(
  store: Store,
  { uniqsign }: Pair,
  board: Board,
  seen: readonly (Observation | null)[],
  nowMs: number,
): Promise<GuardStatus | null> {
  if (board.terms.lease === null) return null;
  const [found, agents] = await Promise.all([store.findPair(uniqsign), store.agents(uniqsign)]);
  const observations = seen.filter((observation) => observation !== null);
  return guardStatus({ board, policy: found?.policy ?? null, agents, observations, nowMs });
}

function pausedOf(pause: Pause | null, nowMs: number): PairStatus['paused'] {
  if (pause === null || isOver(pause, nowMs)) return null;
  return { by: pause.by, leftSec: pause.untilMs === null ? null : Math.ceil((pause.untilMs - nowMs) / 1000) };
}

function requestOf(request: Request | null, nowMs: number): PairStatus['request'] {
  if (request === null || request.refused !== null || nowMs >= request.expiresMs) return null;
  const { kind, to, by } = request;
  return { kind, to, by };
}

/** An answer to an older decision says nothing about this one. */
function reportOf(board: Board): PairStatus['report'] {
  const answer = answerOf(board);
  if (answer === null) return null;
  const { outcome, why, agent, atMs } = answer;
  return { outcome, why, agent, atMs };
}

/** An agent answers within a second or two, if only to say what it waits for. */
function unansweredOf(board: Board, nowMs: number): number | null {
  const { epoch, decidedAtMs } = board;
  if (epoch === null || decidedAtMs === null || answerOf(board) !== null) return null;
  return nowMs - decidedAtMs < UNANSWERED_MS ? null : ageSec(decidedAtMs, nowMs);
}

function observerStatus({ observer, observations }: Sighting, nowMs: number): ObserverStatus {
  const newestMs = Math.max(...observations.map(({ atMs }) => atMs));
  const found = Object.fromEntries(observations.map(({ host, evidence }) => [host, evidence.kind]));
  return { observer, ageSec: ageSec(newestMs, nowMs), found };
}

function ageSec(atMs: number, nowMs: number): number {
  return Math.max(0, Math.floor((nowMs - atMs) / 1000));
}

function hostStatus(host: Host, observation: Observation | null, nowMs: number): HostStatus {
  const unread = { host, readonly: -1, replcheck: 'Error', hears: null, advice: '' } as const;
  if (observation === null) {
    return { ...unread, state: 'unknown', ageSec: null, error: 'no status on the board' };
  }
  const { evidence, atMs } = observation;
  const seen = { state: isAlive(evidence) ? 'alive' : 'dead', ageSec: ageSec(atMs, nowMs) } as const;
  if (evidence.kind !== 'answered') {
    return { ...unread, ...seen, error: evidence.failure.message };
  }
  const { readOnly, hearing } = evidence.facts;
  return {
    host,
    ...seen,
    readonly: readOnly === null ? -1 : readOnly ? 1 : 0,
    replcheck: replCheck(evidence.facts),
    error: '',
    hears: hearing === null ? null : hears(hearing),
    advice: hearing === null ? '' : (heartbeatAdvice(hearing.heartbeatMs) ?? ''),
  };
}

/** The contract's text. What it has no words for follows as a line of its own, so that scripts find their lines unchanged. */
export function statusText(pairs: readonly PairStatus[]): string {
  return ['Current multi master status:', ...pairs.flatMap(pairLines)].join('\n');
}

function pairLines(status: PairStatus): string[] {
  const { tag, active, passive, undecided, report, unansweredSec, divergence, paused, preferred, request, guard } =
    status;
  const lines = [`[${tag}]`];
  if (active !== null && passive !== null) {
    lines.push(`  active: ${hostText(active)}`, `  +- passive: ${hostText(passive)}`);
  } else {
    lines.push('  no active yet', ...undecided.map((host) => `  +- undecided: ${hostText(host)}`));
  }
  if (report !== null && report.outcome !== 'opened') lines.push(`  ${report.outcome}: ${report.why}`);
  if (unansweredSec !== null) {
    lines.push(
      `  unanswered: for ${unansweredSec} s no agent has said anything about this decision (a Perl agent never does); does one run?`,
    );
  }
  if (divergence !== null) lines.push(`  divergence: ${describeDivergence(divergence)}`);
  for (const status of [active, passive, ...undecided]) {
    if (status !== null && status.advice !== '') lines.push(`  note: ${status.host}: ${status.advice}`);
  }
  if (request !== null) lines.push(`  asked for: ${request.kind} to ${request.to}, by ${request.by}`);
  if (preferred !== null) lines.push(`  stays: an operator switched over to ${preferred}`);
  if (paused !== null) {
    const left = paused.leftSec === null ? 'until mmm resume' : `for another ${paused.leftSec} s`;
    lines.push(`  paused: by ${paused.by}, ${left}; nothing is failed over`);
  }
  if (guard !== null) lines.push(...guardLines(tag, guard));
  return lines;
}

function hostText(status: HostStatus): string {
  return `${status.host}(${life(status)} readonly: ${status.readonly}, replcheck: ${status.replcheck})`;
}

function life({ state, ageSec }: HostStatus): string {
  if (state !== 'alive') return state;
  return ageSec !== null && ageSec >= OLD_SEC ? `alive at ${ageSec} seconds ago` : 'alive';
}

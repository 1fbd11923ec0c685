// What an operator's command does: looks whether the change can be made, asks identify for it by way of the board, waits for what becomes
// of it. Comes from commands/switchover.ts and commands/failover.ts; goes on to src/identify.ts `answer`, then to src/agent.ts.

import { unarmed } from './core/arming.ts';
import { answerOf, type Board, type Policy } from './core/decision.ts';
import { whyNotCompleteNow } from './core/durability.ts';
import { leaseWaitMs } from './core/lease.ts';
import { type Evidence, isAlive, type Observation } from './core/observation.ts';
import type { Host, Pair } from './core/pair.ts';
import { otherHost } from './core/pair.ts';
import { isOver, objections, type Request } from './core/request.ts';
import { whyStranger } from './core/stranger.ts';
import type { Clock, Random } from './ops/clock.ts';
import type { Store } from './store/store.ts';

/** So soon identify takes a request up, or not at all: nobody is to be surprised by it later. */
const EXPIRES_MS = 10_000;
/** After the time that the agents have the role goes back; so long the command waits for that. */
const GOING_BACK_MS = 10_000;
const LOOK_GAP_MS = 50;

export interface OperatorParts {
  readonly pair: Pair;
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  /** Who asks. */
  readonly by: string;
}

export interface Asked {
  readonly kind: Request['kind'];
  /** null: to the host that is not active. */
  readonly to: Host | null;
  readonly withinSec: number;
}

/** How things stand before anything is asked for. */
export interface Prospect {
  readonly board: Board;
  readonly to: Host;
  /** What speaks against it, one sentence each. */
  readonly against: readonly string[];
  /** The host takes the writes already: nothing is to be done. */
  readonly already: boolean;
  /** Why the host may lack commits that clients were told of; null: it lacks none, or none were promised to be kept. */
  readonly incomplete: string | null;
  /** Automatic decisions are paused: who forgot that should know. */
  readonly paused: boolean;
}

export async function lookAhead({ pair, store, clock }: OperatorParts, { kind, to }: Asked): Promise<Prospect> {
  const { uniqsign } = pair;
  const [board, [primary = null, secondary = null], leader, listeners] = await Promise.all([
    store.board(uniqsign),
    store.observations(uniqsign, [pair.primary, pair.secondary]),
    store.leader(uniqsign),
    store.listeners(),
  ]);
  const nowMs = clock.wall();
  const { roles, request } = board;
  const target = to ?? (roles === null ? pair.secondary : otherHost(pair, roles.active));
  const against: string[] = [];
  if (roles === null || board.epoch === null)
    against.push('nobody has decided about this pair yet: does an identify run?');
  else against.push(...objections({ kind, to: target }, { pair, roles, observations: { primary, secondary }, nowMs }));
  if (kind === 'switchover') against.push(...unfitForLease(board, target === pair.primary ? primary : secondary));
  const incomplete = whyNotCompleteNow(board, target, { primary, secondary });
  if (kind === 'switchover' && incomplete !== null) against.push(incomplete);
  if (leader === null) against.push('no identify leads this pair, so nobody would decide it');
  if (listeners === 0) against.push('no agent listens, so nobody would do it');
  if (request !== null && request.refused === null && nowMs < request.expiresMs) {
    against.push(`${request.by} has just asked for a ${request.kind} to ${request.to}`);
  }
  if (kind === 'switchover' && against.length === 0) against.push(...unfinished(board));
  const already = roles?.active === target && board.opened === target && board.report?.outcome === 'opened';
  return {
    board,
    to: target,
    against,
    already,
    incomplete,
    paused: board.pause !== null && !isOver(board.pause, nowMs),
  };
}

/** With a safety on the server itself has a say in its opening: nobody is closed for one that could not be opened. */
function unfitForLease(board: Board, observation: Observation | null): string[] {
  if (board.terms.lease === null || observation?.evidence.kind !== 'answered') return [];
  const { host } = observation;
  const { row, boot } = observation.evidence.facts;
  // While the pair is unfenced the next lease is endless, which needs no EVENT.
  const lease = board.unfenced === false ? 'finite' : 'endless';
  return [whyStranger(host, boot, board.lives.get(host)), unarmed(host, { row }, lease)].filter((why) => why !== null);
}

/** What becomes of a host that is passed over by force because it does not answer: is it certain to take no writes? */
export function fenceProspect(
  board: Board,
  policy: Policy,
  from: { readonly host: Host; readonly evidence: Evidence },
): string[] {
  const { host, evidence } = from;
  if (board.terms.lease === null || isAlive(evidence)) return [];
  const hook =
    policy.fenceHook === null
      ? []
      : [`the fence hook ${policy.fenceHook} is run for ${host}; if it succeeds nothing is waited for`];
  const life = board.lives.get(host);
  if (board.unfenced === false && life?.armed === true) {
    const waitSec = (leaseWaitMs(policy.leaseMs) / 1000).toFixed(1);
    return [
      `${host} had an armed lease: it is waited for (${waitSec} s), so ${host} has closed itself before another one is opened`,
      ...hook,
    ];
  }
  const why = board.unfenced === false ? `${host} was not armed when it was last heard of` : 'the pair is unfenced';
  return [
    `TWO WRITERS ARE POSSIBLE: ${why}, so nothing closes ${host}. If it runs, whoever reaches it writes there until an agent reaches it again. Make sure that it is off`,
    ...hook,
  ];
}

/** What becomes of the promise that no commit is lost; nothing where none was given. */
export function lossProspect({ board, to, incomplete }: Pick<Prospect, 'board' | 'to' | 'incomplete'>): string[] {
  if (board.terms.durability !== 'lossless') return [];
  return incomplete === null
    ? [`no commit that a client was told of is lost: ${to} is complete`]
    : [`COMMITS THAT CLIENTS WERE TOLD OF MAY BE LOST: ${incomplete}`];
}

/** What an operator is told of the lease when a pair is paused or resumed; '' when no safety is on. */
export function leaseOfPause(
  { terms, roles }: Pick<Board, 'terms' | 'roles'>,
  { leaseAgents }: Policy,
  paused: boolean,
): string {
  if (terms.lease === null) return '';
  return paused
    ? `its lease becomes endless, so nothing closes ${roles?.active ?? 'the active'} meanwhile; before you stop agents wait until mmm status says UNFENCED`
    : `its lease is armed again as soon as both hosts are well and ${leaseAgents === 1 ? '1 agent reaches' : `${leaseAgents} agents reach`} them`;
}

/** A change that is still under way is not to be crossed by another one that may wait. */
function unfinished(board: Board): string[] {
  const answer = answerOf(board);
  if (answer?.outcome === 'opened') return [];
  const why = answer === null ? ', as nobody has reported on it' : `: ${answer.outcome}: ${answer.why}`;
  return [`the last decision, that ${board.roles?.active} be the active, is not carried out yet${why}`];
}

export type Ending =
  | { readonly kind: 'done'; readonly noWriterMs: number | null; readonly tookMs: number; readonly did: string }
  | { readonly kind: 'not-done'; readonly why: string; readonly active: Host | null };

/** Asks, and waits until the agents have reported or the role went back. */
export async function ask(parts: OperatorParts, { board, to }: Prospect, { kind, withinSec }: Asked): Promise<Ending> {
  const { pair, store, clock, random, by } = parts;
  const active = board.roles?.active ?? null;
  if (board.epoch === null) return { kind: 'not-done', why: 'nobody has decided about this pair yet', active };
  const atMs = clock.wall();
  const beganMs = clock.monotonic();
  const request: Request = {
    id: random.id(),
    kind,
    to,
    by,
    epoch: { number: board.epoch.number, id: board.epoch.id },
    atMs,
    expiresMs: atMs + EXPIRES_MS,
    withinSec,
    refused: null,
  };
  if (!(await store.putRequest(pair.uniqsign, request))) {
    return { kind: 'not-done', why: 'the roles were decided anew at this moment; look, and ask again', active };
  }
  const tookMs = () => clock.monotonic() - beganMs;
  let last: Sight = { kind: 'waiting' };
  while (tookMs() < (last.kind === 'under-way' ? withinSec * 1000 + GOING_BACK_MS : EXPIRES_MS)) {
    last = see(await store.board(pair.uniqsign), request, last);
    if (last.kind === 'done') return { ...last, tookMs: tookMs() };
    if (last.kind === 'not-done') return last;
    await clock.sleep(LOOK_GAP_MS);
  }
  if (last.kind === 'under-way') {
    const why = `it is still under way after ${Math.round(tookMs() / 1000)} s: ${last.why}`;
    return { kind: 'not-done', why, active: to };
  }
  await store.endRequest(pair.uniqsign, request.id, null);
  return { kind: 'not-done', why: `identify did not take it up within ${EXPIRES_MS / 1000} s; taken back`, active };
}

type Sight =
  | { readonly kind: 'waiting' }
  | { readonly kind: 'under-way'; readonly why: string }
  | { readonly kind: 'done'; readonly noWriterMs: number | null; readonly did: string }
  | (Ending & { readonly kind: 'not-done' });

/** What the board says about the request. */
function see(board: Board, request: Request, before: Sight): Sight {
  const active = board.roles?.active ?? null;
  if (board.terms.requestId === request.id) {
    const report = answerOf(board);
    if (report === null) return { kind: 'under-way', why: 'no agent has reported yet' };
    if (report.outcome === 'opened') return { kind: 'done', noWriterMs: report.noWriterMs, did: report.why };
    return { kind: 'under-way', why: `${report.outcome}: ${report.why}` };
  }
  if (before.kind === 'under-way') {
    // The next decision says what became of this one.
    return { kind: 'not-done', why: board.reasons.join('; ') || before.why, active };
  }
  if (board.request?.id === request.id) {
    return board.request.refused === null ? before : { kind: 'not-done', why: board.request.refused, active };
  }
  const other = board.request === null ? board.reasons.join('; ') : `${board.request.by} asked for another change`;
  return { kind: 'not-done', why: `something else came first: ${other}`, active };
}

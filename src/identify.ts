// One round of `mmm identify` for one pair: lead? read the board, decide, commit the decision in one atomic step, say why.
// Comes from ops/supervise.ts, woken by each observation; goes on to core/decide.ts (the thinking) and store/redis.ts
// `commitRoles`; src/agent.ts is woken by the decision.

import { FRESH_MS } from './core/death.ts';
import { type DecideState, decide, FIRST_STATE } from './core/decide.ts';
import { type Board, type Decision, NO_TERMS, type Policy, type Terms } from './core/decision.ts';
import type { Log } from './core/log.ts';
import type { Observation } from './core/observation.ts';
import { type Attention, agree } from './core/observers.ts';
import type { Pacing } from './core/pacing.ts';
import type { Host, Pair, Roles } from './core/pair.ts';
import { otherHost } from './core/pair.ts';
import { isOver, objections, type Request } from './core/request.ts';
import type { Clock, Random } from './ops/clock.ts';
import type { Store } from './store/store.ts';

/** A planned change that the agents could not carry out is not tried again for this long, twice as long after each further failure. */
const AFTER_FAILURE_MS = 60_000;
/** Each try keeps clients from writing for some seconds. */
const AFTER_FAILURE_MOST_MS = 3_600_000;

export interface IdentifyParts {
  readonly pair: Pair;
  readonly tryTimes: number;
  readonly policy: Policy;
  readonly pacing: Pacing;
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** This identify's name among several; one leads. */
  readonly owner: string;
  /** How long the lead lasts without being renewed, milliseconds. */
  readonly leadMs: number;
}

/** Makes the pair's round. */
export function makeIdentifyRound(parts: IdentifyParts): () => Promise<{ nextMs?: number }> {
  const { pair, store, clock, log } = parts;
  let state: DecideState = FIRST_STATE;
  let attention: Attention = new Map();
  let leads = false;
  let said = '';
  let policyWritten = false;
  let highest = 0;
  let lastId: string | null = null;
  let failed: { host: Host; untilMs: number; pauseMs: number; epochId: string } | null = null;
  /** The epoch that gave a role back: when that fails too, the rules go on, or the role would be thrown to and fro. */
  let givenBackBy: string | null = null;
  /** The terms of the last good board, for the day when Redis comes back empty. */
  let remembered: { active: Host; terms: Terms } | null = null;
  let wasPaused = false;

  return async () => {
    if (!(await leadOrFollow())) return {};
    const board = await store.board(pair.uniqsign);
    const sightings = await store.sightings(pair.uniqsign, [pair.primary, pair.secondary]);
    const agreed = agree({ pair, sightings, attention, nowMs: clock.monotonic() });
    attention = agreed.attention;
    // A board that fell behind what this process committed was emptied or restored: the servers decide, not the dump.
    const wentBack = (board.epoch?.number ?? 0) < highest;
    if (!wentBack && board.roles !== null) remembered = { active: board.roles.active, terms: board.terms };
    const failure = failureOf(board);
    if (failure !== null && board.epoch !== null && failed?.epochId !== board.epoch.id) {
      const pauseMs =
        failed?.host === failure.host ? Math.min(2 * failed.pauseMs, AFTER_FAILURE_MOST_MS) : AFTER_FAILURE_MS;
      failed = { host: failure.host, untilMs: clock.wall() + pauseMs, pauseMs, epochId: board.epoch.id };
    }
    if (board.report?.outcome === 'opened' && board.report.host === failed?.host) failed = null;
    tellPause(board);
    if (board.request !== null && board.request.refused === null) {
      const outcome = await answer(board, board.request, agreed.observations);
      if (outcome !== null) return outcome;
    }
    const verdict = decide({
      pair,
      roles: wentBack ? null : board.roles,
      epoch: wentBack ? null : board.epoch,
      observations: agreed.observations,
      policy: { tryTimes: parts.tryTimes, freshMs: FRESH_MS, pacing: parts.pacing },
      past: wentBack ? NO_TERMS : board.terms,
      pause: board.pause,
      failed,
      giveBack:
        failure === null || board.epoch?.id === givenBackBy
          ? null
          : { to: otherHost(pair, failure.host), why: failure.why },
      nowMs: clock.wall(),
      state,
    });
    state = verdict.state;
    if (verdict.kind === 'keep') {
      speak([...verdict.reasons, ...agreed.notes]);
      const paused = board.pause !== null && !isOver(board.pause, clock.wall());
      if (board.roles !== null && !wentBack && !policyWritten && !paused) await writePolicy(board);
      return {};
    }
    const { active } = verdict.roles;
    // The failed switchover of an operator leaves the role where he found it, also against the preference for the primary.
    const stays = failure !== null && board.terms.requestId !== null && active === pair.secondary;
    const outcome = await commit(board, active, [...verdict.reasons, ...agreed.notes], {
      kind: verdict.kind,
      loud: verdict.hasty,
      terms: stays ? { preferred: active } : {},
    });
    if (failure !== null) givenBackBy = lastId;
    return outcome;
  };

  /** Carries out what an operator asks for, or says why not. Null: the round goes on. */
  async function answer(
    board: Board,
    request: Request,
    observations: { readonly primary: Observation | null; readonly secondary: Observation | null },
  ): Promise<{ nextMs?: number } | null> {
    const nowMs = clock.wall();
    const what = `${request.kind} to ${request.to} asked for by ${request.by}`;
    const against = objectionsTo(board, board.roles, request, observations, nowMs);
    if (against.length > 0) {
      const why = against.join('; ');
      if (await store.endRequest(pair.uniqsign, request.id, why)) {
        log.warn(`refuses the ${what}: ${why}`, { event: 'refused', host: request.to });
      }
      return null;
    }
    const force = request.kind === 'failover';
    const reasons = [force ? `FORCED ${what}: what cannot be applied or received is left behind` : what];
    const preferred = request.to === pair.secondary ? request.to : null;
    const backAtMs = nowMs + request.withinSec * 1000;
    return await commit(board, request.to, reasons, {
      kind: 'change',
      loud: force,
      terms: { force, preferred, requestId: request.id, backAtMs },
    });
  }

  function objectionsTo(
    board: Board,
    roles: Roles | null,
    request: Request,
    observations: { readonly primary: Observation | null; readonly secondary: Observation | null },
    nowMs: number,
  ): readonly string[] {
    if (nowMs >= request.expiresMs) return ['it came too late'];
    if (request.epoch.number !== board.epoch?.number || request.epoch.id !== board.epoch.id || roles === null) {
      return ['the roles were decided anew meanwhile'];
    }
    return objections(request, { pair, roles, observations, nowMs });
  }

  function tellPause({ pause }: Board): void {
    const paused = pause !== null && !isOver(pause, clock.wall());
    if (wasPaused && !paused) log.info('the pause is over: decides again', { event: 'resumed' });
    wasPaused = paused;
  }

  async function leadOrFollow(): Promise<boolean> {
    const now = await store.lead(pair.uniqsign, parts.owner, parts.leadMs);
    if (now !== leads) {
      leads = now;
      log.info(
        now ? `leads: decides about this pair from now on` : `follows: another identify decides about this pair`,
        {
          event: now ? 'leads' : 'follows',
        },
      );
    }
    return now;
  }

  /** The agents began this very decision and took it back, or an operator asked for it and they did not get it done in time. */
  function failureOf({ epoch, report, terms, opened }: Board): { host: Host; why: string } | null {
    if (epoch === null) return null;
    const answer = report?.epoch.number === epoch.number && report.epoch.id === epoch.id ? report : null;
    if (answer?.outcome === 'failed') return { host: answer.host, why: answer.why };
    // Once it was opened, whatever befalls it later is for the rules.
    if (opened === epoch.active || terms.backAtMs === null || clock.wall() < terms.backAtMs) return null;
    return { host: epoch.active, why: answer?.why ?? 'no agent has opened it in time' };
  }

  /** The agents read the policy on the board; a changed file reaches them as a decision that keeps the roles. */
  async function writePolicy(board: Board): Promise<void> {
    const found = await store.findPair(pair.uniqsign);
    const active = board.roles?.active;
    if (found !== null && active !== undefined && !samePolicy(found.policy, parts.policy)) {
      const reasons = ['the policy in the configuration changed'];
      await commit(board, active, reasons, { kind: 'change', loud: false, terms: {} });
    }
    policyWritten = true;
  }

  async function commit(
    board: Board,
    active: Host,
    reasons: readonly string[],
    { kind, loud, terms }: { kind: 'adopt' | 'change'; loud: boolean; terms: Partial<Terms> },
  ): Promise<{ nextMs?: number }> {
    const number = Math.max(board.epoch?.number ?? 0, highest) + 1;
    const decision: Decision = {
      roles: { active, passive: otherHost(pair, active) },
      epoch: { number, id: parts.random.id(), active },
      reasons,
      atMs: clock.wall(),
      terms: { ...NO_TERMS, ...pastOf(active, kind), ...terms },
      unfenced: null,
    };
    const outcome = await store.commitRoles(pair.uniqsign, decision, board.epoch, parts.policy);
    if (outcome.kind === 'conflict') {
      log.warn(`the board moved to epoch ${outcome.board.epoch?.number ?? 'none'} meanwhile; decides again`, {
        event: 'conflict',
      });
      return { nextMs: 0 };
    }
    highest = number;
    lastId = decision.epoch.id;
    policyWritten = true;
    said = '';
    const verb = kind === 'adopt' ? 'keeps' : 'decided:';
    log[loud ? 'warn' : 'info'](
      `${verb} ${active} is the active, ${decision.roles.passive} the passive: ${reasons.join('; ')}`,
      {
        event: 'decided',
        host: active,
        epoch: number,
      },
    );
    return {};
  }

  /** What a decision carries on: everything while the active stays, and the date when it changes. Adopting changes nothing. */
  function pastOf(active: Host, kind: 'adopt' | 'change'): Partial<Terms> {
    if (remembered?.active === active) {
      const { changedAtMs, preferred } = remembered.terms;
      return { changedAtMs, preferred };
    }
    // Where nobody was active before, nobody was moved.
    return { changedAtMs: kind === 'change' && remembered !== null ? clock.wall() : null };
  }

  function speak(reasons: readonly string[]): void {
    const sentence = reasons.join('; ');
    // An age that grows is no news.
    const news = sentence.replaceAll(/\d+ s\b/g, 'N s');
    if (news === said) return;
    said = news;
    log.info(`no change: ${sentence}`, { event: 'kept' });
  }
}

function samePolicy(one: Policy, other: Policy): boolean {
  return one.drainTimeoutSec === other.drainTimeoutSec;
}

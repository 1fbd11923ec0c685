// One round of `mmm identify` for one pair: lead? read the board, decide, commit the decision in one atomic step, say why.
// Comes from ops/supervise.ts, woken by each observation; goes on to core/decide.ts (the thinking) and store/redis.ts
// `commitRoles`; src/agent.ts is woken by the decision. What it knows of rows, agents and leases comes from src/identify-guard.ts.

import { permit } from './core/arming.ts';
import { FRESH_MS } from './core/death.ts';
import { decide } from './core/decide.ts';
import { answerOf, type Board, type Decision, NO_TERMS, type Policy, type Terms } from './core/decision.ts';
import type { Log } from './core/log.ts';
import type { Observation } from './core/observation.ts';
import { type Attention, agree, countNews, lookedAtSince, type News } from './core/observers.ts';
import type { Pacing } from './core/pacing.ts';
import type { Host, Pair, Roles } from './core/pair.ts';
import { isOfDecision, otherHost } from './core/pair.ts';
import { isOver, objections, type Request } from './core/request.ts';
import { type DecideState, FIRST_STATE } from './core/scene.ts';
import { type GuardView, makeGuardWatch } from './identify-guard.ts';
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

type Observations = { readonly primary: Observation | null; readonly secondary: Observation | null };

/** Makes the pair's round. */
export function makeIdentifyRound(parts: IdentifyParts): () => Promise<{ nextMs?: number }> {
  const { pair, store, clock, log } = parts;
  let state: DecideState = FIRST_STATE;
  let attention: Attention = new Map();
  /** Counted since the board went back; null: it did not. */
  let news: News | null = null;
  let leads = false;
  let said = '';
  const guard = makeGuardWatch({ pair, policy: parts.policy, store, clock });
  let alarmed: readonly string[] = [];
  let lastId: string | null = null;
  let failed: { host: Host; untilMs: number; pauseMs: number; epochId: string } | null = null;
  /** The epoch that gave a role back: when that fails too, the rules go on, or the role would be thrown to and fro. */
  let givenBackBy: string | null = null;
  /** The terms of the last good board, for the day when Redis comes back empty. */
  let remembered: { active: Host; terms: Terms } | null = null;
  let wasPaused = false;

  return async () => {
    if (!(await leadOrFollow())) return {};
    const found = await store.board(pair.uniqsign);
    const sightings = await store.sightings(pair.uniqsign, [pair.primary, pair.secondary]);
    // A restored board brings old sightings with it, young enough to look fresh, whose rows know nothing of what was decided since.
    news = guard.wentBack(found) ? countNews(news ?? new Map(), sightings) : null;
    const trusted = news === null ? sightings : lookedAtSince(news, sightings);
    const agreed = agree({ pair, sightings: trusted, attention, nowMs: clock.monotonic() });
    attention = agreed.attention;
    const view = await guard.look(found, agreed);
    const board = view.behind ? withoutWord(found) : found;
    if (board.roles !== null) remembered = { active: board.roles.active, terms: board.terms };
    const failure = failureOf(board);
    if (failure !== null && board.epoch !== null && failed?.epochId !== board.epoch.id) {
      const pauseMs =
        failed?.host === failure.host ? Math.min(2 * failed.pauseMs, AFTER_FAILURE_MOST_MS) : AFTER_FAILURE_MS;
      failed = { host: failure.host, untilMs: clock.wall() + pauseMs, pauseMs, epochId: board.epoch.id };
    }
    if (board.report?.outcome === 'opened' && board.report.host === failed?.host) failed = null;
    tellPause(board);
    if (board.request !== null && board.request.refused === null) {
      const outcome = await answer(board, view, board.request, agreed.observations);
      if (outcome !== null) return outcome;
    }
    const verdict = decide({
      pair,
      roles: board.roles,
      epoch: board.epoch,
      observations: agreed.observations,
      policy: { tryTimes: parts.tryTimes, freshMs: FRESH_MS, pacing: parts.pacing },
      past: board.terms,
      pause: board.pause,
      failed,
      giveBack:
        failure === null || board.epoch?.id === givenBackBy
          ? null
          : { to: otherHost(pair, failure.host), why: failure.why },
      guarded: view.guarded,
      nowMs: clock.wall(),
      state,
    });
    state = verdict.state;
    if (verdict.kind === 'keep') {
      const due = [view.leaseDue.why, view.durabilityDue.why].filter((why) => why !== null);
      speak([...verdict.reasons, ...agreed.notes, ...due]);
      sound(view.alarms);
      return await keepInOrder(board, view);
    }
    const { active } = verdict.roles;
    // The failed switchover of an operator leaves the role where he found it, also against the preference for the primary.
    const stays = failure !== null && board.terms.requestId !== null && active === pair.secondary;
    const outcome = await commit(board, view, active, [...verdict.reasons, ...agreed.notes], {
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
    view: GuardView,
    request: Request,
    observations: Observations,
  ): Promise<{ nextMs?: number } | null> {
    const nowMs = clock.wall();
    const what = `${request.kind} to ${request.to} asked for by ${request.by}`;
    const against = [...objectionsTo(board, board.roles, request, observations, nowMs), ...view.objections(request)];
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
    return await commit(board, view, request.to, reasons, {
      kind: 'change',
      loud: force,
      terms: { force, preferred, requestId: request.id, backAtMs },
    });
  }

  function objectionsTo(
    board: Board,
    roles: Roles | null,
    request: Request,
    observations: Observations,
    nowMs: number,
  ): readonly string[] {
    if (nowMs >= request.expiresMs) return ['it came too late'];
    if (!isOfDecision(request.epoch, board.epoch) || roles === null) {
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
      if (now) guard.begin();
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
  function failureOf(board: Board): { host: Host; why: string } | null {
    const { epoch, terms, opened } = board;
    if (epoch === null) return null;
    const answer = answerOf(board);
    if (answer?.outcome === 'failed') return { host: answer.host, why: answer.why };
    // Once it was opened, whatever befalls it later is for the rules.
    if (opened === epoch.active || terms.backAtMs === null || clock.wall() < terms.backAtMs) return null;
    return { host: epoch.active, why: answer?.why ?? 'no agent has opened it in time' };
  }

  /** The roles stay; what the agents obey besides may still be another than it should be, and reaches them as a decision of its own. */
  async function keepInOrder(board: Board, view: GuardView): Promise<{ nextMs?: number }> {
    const active = board.roles?.active;
    if (active === undefined) return {};
    const paused = board.pause !== null && !isOver(board.pause, clock.wall());
    const stays = { kind: 'change', loud: false, terms: {} } as const;
    if (view.policyChanged && !paused) {
      return await commit(board, view, active, ['the policy in the configuration changed'], stays);
    }
    if (view.refused !== null) {
      return await commit(board, view, active, [`${view.refused}: a higher number for the same roles`], stays);
    }
    const { leaseDue, durabilityDue } = view;
    if (leaseDue.to !== undefined) {
      const why = leaseDue.why ?? `the lease is ${leaseDue.to}`;
      return await commit(board, view, active, [why], { ...stays, lease: leaseDue.to });
    }
    const { to, why } = durabilityDue;
    if (to === undefined) return {};
    return await commit(board, view, active, [why ?? `the durability is ${to}`], { ...stays, durability: to });
  }

  async function commit(
    board: Board,
    view: GuardView,
    active: Host,
    reasons: readonly string[],
    {
      kind,
      loud,
      terms,
      lease,
      durability = view.durability,
    }: {
      kind: 'adopt' | 'change';
      loud: boolean;
      terms: Partial<Terms>;
      lease?: Terms['lease'];
      durability?: Terms['durability'];
    },
  ): Promise<{ nextMs?: number }> {
    const number = view.highest + 1;
    const permission = lease === undefined ? view.lease : permit(lease);
    const decision: Decision = {
      roles: { active, passive: otherHost(pair, active) },
      epoch: { number, id: parts.random.id(), active },
      reasons,
      atMs: clock.wall(),
      terms: {
        ...NO_TERMS,
        ...pastOf(active, kind),
        ...terms,
        lease: permission.lease,
        durability,
        otherNumber: otherNumberOf(board, active),
        longestLeaseMs: permission.lease === 'finite' ? view.longestLeaseMs : null,
      },
      unfenced: permission.unfenced,
      ...(view.behind ? { anew: true } : {}),
      // Under another epoch than a lossless one the active acknowledged alone, whoever was complete before.
      ...(board.terms.durability === 'lossless' ? {} : { voidsComplete: true }),
    };
    const outcome = await store.commitRoles(pair.uniqsign, decision, board.epoch, parts.policy);
    if (outcome.kind === 'conflict') {
      log.warn(`the board moved to epoch ${outcome.board.epoch?.number ?? 'none'} meanwhile; decides again`, {
        event: 'conflict',
      });
      return { nextMs: 0 };
    }
    guard.committed(decision);
    lastId = decision.epoch.id;
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

  /** Once when it begins, and when it is over: nothing is decided about it, and somebody must know. */
  function sound(alarms: readonly string[]): void {
    for (const alarm of alarms.filter((text) => !alarmed.includes(text))) log.warn(alarm, { event: 'alarm' });
    for (const alarm of alarmed.filter((text) => !alarms.includes(text)))
      log.info(`over: ${alarm}`, { event: 'alarm' });
    alarmed = alarms;
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

/** The last decision for the other host than `active`. A board that was emptied or went back tells of none. */
function otherNumberOf({ roles, epoch, terms }: Board, active: Host): number | null {
  if (roles === null || epoch === null) return null;
  return roles.active === active ? terms.otherNumber : epoch.number;
}

/** Older than the servers, or than this process knows: nothing of it counts but the epoch that the next decision replaces, and a pause. */
function withoutWord(board: Board): Board {
  return { ...board, roles: null, report: null, terms: NO_TERMS };
}

// One round of `mmm identify` for one pair: lead? read the board, decide, commit the decision in one atomic step, say why.
// Comes from ops/supervise.ts, woken by each observation; goes on to core/decide.ts (the thinking) and store/redis.ts
// `commitRoles`; src/agent.ts is woken by the decision.

import { FRESH_MS } from './core/death.ts';
import { type DecideState, decide, FIRST_STATE } from './core/decide.ts';
import type { Board, Decision, Policy } from './core/decision.ts';
import type { Log } from './core/log.ts';
import { type Attention, agree } from './core/observers.ts';
import type { Host, Pair } from './core/pair.ts';
import { otherHost } from './core/pair.ts';
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

  return async () => {
    if (!(await leadOrFollow())) return {};
    const board = await store.board(pair.uniqsign);
    const sightings = await store.sightings(pair.uniqsign, [pair.primary, pair.secondary]);
    const agreed = agree({ pair, sightings, attention, nowMs: clock.monotonic() });
    attention = agreed.attention;
    // A board that fell behind what this process committed was emptied or restored: the servers decide, not the dump.
    const wentBack = (board.epoch?.number ?? 0) < highest;
    const failure = failureOf(board);
    if (failure !== null && board.epoch !== null && failed?.epochId !== board.epoch.id) {
      const pauseMs =
        failed?.host === failure.host ? Math.min(2 * failed.pauseMs, AFTER_FAILURE_MOST_MS) : AFTER_FAILURE_MS;
      failed = { host: failure.host, untilMs: clock.wall() + pauseMs, pauseMs, epochId: board.epoch.id };
    }
    if (board.report?.outcome === 'opened' && board.report.host === failed?.host) failed = null;
    const verdict = decide({
      pair,
      roles: wentBack ? null : board.roles,
      epoch: wentBack ? null : board.epoch,
      observations: agreed.observations,
      policy: { tryTimes: parts.tryTimes, freshMs: FRESH_MS },
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
      if (board.roles !== null && !wentBack && !policyWritten) await writePolicy(board);
      return {};
    }
    const reasons = [...verdict.reasons, ...agreed.notes];
    const outcome = await commit(board, verdict.roles.active, reasons, verdict.kind);
    if (failure !== null) givenBackBy = lastId;
    return outcome;
  };

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

  /** The agents began this very decision and took it back. */
  function failureOf({ epoch, report }: Board): { host: Host; why: string } | null {
    if (epoch === null || report === null || report.outcome !== 'failed') return null;
    if (report.epoch.number !== epoch.number || report.epoch.id !== epoch.id) return null;
    return { host: report.host, why: report.why };
  }

  /** The agents read the policy on the board; a changed file reaches them as a decision that keeps the roles. */
  async function writePolicy(board: Board): Promise<void> {
    const found = await store.findPair(pair.uniqsign);
    const active = board.roles?.active;
    if (found !== null && active !== undefined && !samePolicy(found.policy, parts.policy)) {
      await commit(board, active, ['the policy in the configuration changed'], 'change');
    }
    policyWritten = true;
  }

  async function commit(
    board: Board,
    active: Host,
    reasons: readonly string[],
    kind: 'adopt' | 'change',
  ): Promise<{ nextMs?: number }> {
    const number = Math.max(board.epoch?.number ?? 0, highest) + 1;
    const decision: Decision = {
      roles: { active, passive: otherHost(pair, active) },
      epoch: { number, id: parts.random.id(), active },
      reasons,
      atMs: clock.wall(),
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
    log.info(`${verb} ${active} is the active, ${decision.roles.passive} the passive: ${reasons.join('; ')}`, {
      event: 'decided',
      host: active,
      epoch: number,
    });
    return {};
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

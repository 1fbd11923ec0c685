// The input of a decision made ready: the board's roles checked, the hosts judged, and the next state as far as it is known before deciding.
// Comes from src/identify.ts, by way of decide.ts, which decides with it.

import { type Judgement, judge, type Unreachable } from './death.ts';
import type { Terms } from './decision.ts';
import { type CompleteNow, whyNotComplete } from './durability.ts';
import { type Failed, replicates } from './handover.ts';
import { isAlive, type Observation } from './observation.ts';
import { caughtUpSince, type Pacing, type Past } from './pacing.ts';
import { type Epoch, type Host, otherHost, type Pair, type Roles } from './pair.ts';
import type { Known } from './race.ts';
import type { Pause } from './request.ts';
import { wasOpenedLast } from './rows.ts';
import type { LeaseVerdict } from './verdict.ts';

/** One thing of each host. */
export interface ByHost<T> {
  readonly primary: T;
  readonly secondary: T;
}

/** A winner who is not active yet, and how many rounds have agreed on it. */
interface Pending {
  readonly to: Host;
  /** Whom it would take the role from; null when the board names nobody. */
  readonly from: Host | null;
  /** The id of the epoch that it would replace: agreement is about one state of the board. */
  readonly epochId: string | null;
  readonly rounds: number;
}

/** What one decision hands to the next. Keep it in memory; losing it costs only the confirmations and the memory of the roles. */
export interface DecideState {
  readonly pending: Pending | null;
  /** The last good roles that the board held, for the day when Redis comes back empty. */
  readonly remembered: Roles | null;
  /** The dates of the last round that was counted. */
  readonly seenMs: ByHost<number | null>;
  /** Since when each host replicates without error and without delay, Unix milliseconds; null: it does not, or nobody saw it. */
  readonly caughtUpSinceMs: ByHost<number | null>;
  /** The passive of this epoch was gone at some time under it. */
  readonly missed: { readonly host: Host; readonly epochId: string } | null;
}

const NOBODY: ByHost<null> = { primary: null, secondary: null };

export const FIRST_STATE: DecideState = {
  pending: null,
  remembered: null,
  seenMs: NOBODY,
  caughtUpSinceMs: NOBODY,
  missed: null,
};

/**
 * The agents report `failed` for the board's present epoch: they had begun to open the active and took it back, so that
 * nobody may write now. `to` is who was active before.
 */
interface GiveBack {
  readonly to: Host;
  readonly why: string;
}

/** What is known besides of a pair with a safety on, or with rows of ours on its servers. The rows themselves are among the facts. */
export interface Guarded {
  /** What a change of now would permit. */
  readonly lease: Terms['lease'];
  /** Of the active's lease. */
  readonly verdict: LeaseVerdict;
  /** Why the board's roles and epoch are not in this input: it is older than the servers, or than this process knows. */
  readonly behind: string | null;
  /** The last decision that this process knew of. */
  readonly known: Epoch | null;
  /** Hosts that are not the members we knew, and the sentence that says so. */
  readonly strangers: ReadonlyMap<Host, string>;
  /** Which hosts hold every acknowledged commit, so that no other one becomes the active; null: nobody asks for that. */
  readonly lossless: CompleteNow | null;
  /** No agent has opened the active under this epoch, and no operator forced it: it may still be taken back. */
  readonly unopened: boolean;
}

export interface DecideInput {
  readonly pair: Pick<Pair, 'primary' | 'secondary'>;
  /** The board's roles; null when it has none (first start, Redis emptied). */
  readonly roles: Roles | null;
  /** The board's epoch; null when a Perl identify wrote the roles, or nobody did. */
  readonly epoch: Epoch | null;
  readonly observations: ByHost<Observation | null>;
  readonly policy: { readonly tryTimes: number; readonly freshMs: number; readonly pacing: Pacing };
  readonly past: Past;
  /** An operator suspended what is decided here; null: nobody did. */
  readonly pause: Pause | null;
  readonly failed: Failed | null;
  readonly giveBack: GiveBack | null;
  /** null: decisions are ordered by the board alone. */
  readonly guarded: Guarded | null;
  readonly nowMs: number;
  readonly state: DecideState;
}

/**
 * The input made ready: the board's roles checked, the hosts judged, and the next state as far as it is known before deciding.
 */
export interface Scene {
  readonly input: DecideInput;
  readonly roles: Roles | null;
  readonly state: DecideState;
  readonly newRound: boolean;
  /** Said before the reasons of whatever is decided. */
  readonly notes: readonly string[];
}

export function judgeBoth({ pair, observations, policy, guarded, nowMs }: DecideInput): ByHost<Judgement> {
  const { primary, secondary } = observations;
  const when = { freshMs: policy.freshMs, nowMs };
  const of = (host: Host, observation: Observation | null, other: Observation | null): Judgement => {
    const judged = judge({ host, observation, other, ...when });
    return guarded !== null && isPerlOnly(observation) && isGone(judged)
      ? {
          verdict: 'missing',
          host,
          reason: `only a Perl monitor looks at ${host}, and does not tell death from trouble`,
        }
      : judged;
  };
  return {
    primary: of(pair.primary, primary, secondary),
    secondary: of(pair.secondary, secondary, primary),
  };
}

/** Its evidence is not graded, so while a safety is on it is none of death [F14]. */
function isPerlOnly(observation: Observation | null): boolean {
  return observation?.observer === '' && !isAlive(observation.evidence);
}

export function setScene(input: DecideInput, judged: readonly Judgement[]): Scene {
  const { pair, observations, state } = input;
  const roles = isOf(pair, input.roles) ? input.roles : null;
  const notes: string[] = [];
  if (input.roles !== null && roles === null) {
    const { active, passive } = input.roles;
    notes.push(`the board's roles (active ${active}, passive ${passive}) are not of this pair and do not count`);
  }
  if (input.giveBack !== null && roles !== null && roles.passive === input.giveBack.to) {
    const { to, why } = input.giveBack;
    const unable = judged.find((judgement) => judgement.host === to && judgement.verdict !== 'answers');
    const against = unable?.reason ?? whyWithheld(input, to);
    if (against !== null) notes.push(`switchover to ${roles.active} failed: ${why}; cannot go back: ${against}`);
  }
  if (input.guarded?.behind) notes.push(input.guarded.behind);
  const newRound =
    isNew(state.seenMs.primary, observations.primary) && isNew(state.seenMs.secondary, observations.secondary);
  return {
    input,
    roles,
    newRound,
    notes,
    state: {
      pending: state.pending,
      remembered: roles ?? (isOf(pair, state.remembered) ? state.remembered : null),
      seenMs: newRound ? datesOf(observations) : state.seenMs,
      caughtUpSinceMs: whoIsCaughtUp(input, judged),
      missed: whoWasMissed(input, roles, judged),
    },
  };
}

/**
 * `durability=lossless` promises that nothing is lost by a change that nobody forces; null: it says nothing against this host. The one that acknowledged
 * the last commits holds them all, in whatever life: both servers must say so, or the other one may have been opened since.
 */
export function whyWithheld({ guarded, observations, pair }: DecideInput, host: Host): string | null {
  const lossless = guarded?.lossless ?? null;
  if (guarded === null || lossless === null) return null;
  const ours = { ...observations, strangers: guarded.strangers };
  return wasOpenedLast(pair, host, ours) ? null : whyNotComplete(lossless, host, observations);
}

function whoWasMissed(
  { epoch, state }: DecideInput,
  roles: Roles | null,
  judged: readonly Judgement[],
): DecideState['missed'] {
  if (epoch === null || roles === null) return null;
  const isMissing = judged.some((judgement) => judgement.host === roles.passive && isGone(judgement));
  if (isMissing) return { host: roles.passive, epochId: epoch.id };
  return state.missed?.epochId === epoch.id ? state.missed : null;
}

function whoIsCaughtUp({ pair, state, nowMs }: DecideInput, judged: readonly Judgement[]): ByHost<number | null> {
  const since = (host: Host, beforeMs: number | null) => {
    const seen = judged.find((judgement) => judgement.host === host);
    const isSo = seen?.verdict === 'answers' && replicates(seen) && seen.facts.delaySec === 0;
    return caughtUpSince(beforeMs, isSo, nowMs);
  };
  const { primary, secondary } = state.caughtUpSinceMs;
  return { primary: since(pair.primary, primary), secondary: since(pair.secondary, secondary) };
}

function isOf(pair: DecideInput['pair'], roles: Roles | null): boolean {
  return roles !== null && isMember(pair, roles.active) && roles.passive === otherHost(pair, roles.active);
}

function isMember(pair: DecideInput['pair'], host: Host): boolean {
  return host === pair.primary || host === pair.secondary;
}

/**
 * A round counts once *both* observations have another date than at the last round that counted: a Perl monitor writes one
 * host after the other, and its one round would count twice if either were enough. Other, not later: a clock may jump back.
 */
function isNew(seenMs: number | null, observation: Observation | null): boolean {
  return observation !== null && observation.atMs !== seenMs;
}

function datesOf({ primary, secondary }: ByHost<Observation | null>): ByHost<number | null> {
  return { primary: primary?.atMs ?? null, secondary: secondary?.atMs ?? null };
}

export function isKnown(judgement: Judgement): judgement is Known {
  return judgement.verdict === 'answers' || isGone(judgement);
}

export function isGone<T extends Judgement>(judgement: T): judgement is T & Unreachable {
  return judgement.verdict === 'dead' || judgement.verdict === 'silent';
}

export function strangersOf({ input }: Scene): ReadonlyMap<Host, string> {
  return input.guarded?.strangers ?? NO_STRANGERS;
}

const NO_STRANGERS: ReadonlyMap<Host, string> = new Map();

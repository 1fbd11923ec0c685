// Which host should be active, and is it time to say so? Called once per round of observations; everything it knows is in its input.
// Comes from src/identify.ts; uses death.ts (who lives) and rules.ts (who may be active); goes on to store/store.ts `commitRoles`.

import { type Answers, type Judgement, judge, type Unknown, type Unreachable } from './death.ts';
import type { Observation } from './observation.ts';
import { type Brake, brake, caughtUpSince, hasty, type Pacing, type Past } from './pacing.ts';
import { type Epoch, type Host, otherHost, type Pair, type Roles, rolesWith } from './pair.ts';
import { isOver, type Pause } from './request.ts';
import { elect, factsOf, type HostFacts, type Rule, UNREACHABLE } from './rules.ts';

/** One thing of each host. */
interface ByHost<T> {
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
}

const NOBODY: ByHost<null> = { primary: null, secondary: null };

export const FIRST_STATE: DecideState = { pending: null, remembered: null, seenMs: NOBODY, caughtUpSinceMs: NOBODY };

/** The agents' last attempt to open this host failed: no planned change to it until then. */
interface Failed {
  readonly host: Host;
  readonly untilMs: number;
}

/**
 * The agents report `failed` for the board's present epoch: they had begun to open the active and took it back, so that
 * nobody may write now. `to` is who was active before.
 */
interface GiveBack {
  readonly to: Host;
  readonly why: string;
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
  readonly nowMs: number;
  readonly state: DecideState;
}

interface Common {
  /** Whole sentences, the verdict first. */
  readonly reasons: readonly string[];
  readonly state: DecideState;
}

/** keep: leave the board as it is. adopt: write down who is active already. change: another host is to be active. */
export type Decided =
  | (Common & { readonly kind: 'keep'; readonly roles: Roles | null })
  | (Common & {
      readonly kind: 'adopt' | 'change';
      readonly roles: Roles;
      /** It comes so soon after the last one that somebody should look. */
      readonly hasty: boolean;
    });

/**
 * The input made ready: the board's roles checked, the hosts judged, and the next state as far as it is known before deciding.
 */
interface Scene {
  readonly input: DecideInput;
  readonly roles: Roles | null;
  readonly state: DecideState;
  readonly newRound: boolean;
  /** Said before the reasons of whatever is decided. */
  readonly notes: readonly string[];
}

type Known = Answers | Unreachable;

export function decide(input: DecideInput): Decided {
  const { primary, secondary } = judgeBoth(input);
  const scene = setScene(input, [primary, secondary]);
  const back = givesBack(scene, [primary, secondary]);
  if (back !== null) {
    // Also while it is paused: a change that was begun must end with a writer.
    return back;
  }
  if (!isKnown(primary) || !isKnown(secondary)) {
    return unlessPaused(input, keep(scene, whyUnknown([primary, secondary])));
  }
  const decided =
    scene.roles === null
      ? findActive(scene, { primary, secondary })
      : followRules(scene, scene.roles, { primary, secondary });
  return unlessPaused(input, unlessHeard(scene, [primary, secondary], decided));
}

/** The rounds that agree go on to count, so that what is overdue happens as soon as somebody resumes. */
function unlessPaused({ pause, roles, nowMs }: DecideInput, decided: Decided): Decided {
  if (pause === null || isOver(pause, nowMs)) return decided;
  const { untilMs, by } = pause;
  const until = untilMs === null ? '' : ` for another ${Math.ceil((untilMs - nowMs) / 1000)} s`;
  const head = `PAUSED by ${by}${until}: nothing is decided`;
  const reasons = [decided.kind === 'keep' ? head : `${head}; else:`, ...decided.reasons];
  return { kind: 'keep', roles, reasons, state: decided.state };
}

function judgeBoth({ pair, observations, policy, nowMs }: DecideInput): ByHost<Judgement> {
  const { primary, secondary } = observations;
  const when = { freshMs: policy.freshMs, nowMs };
  return {
    primary: judge({ host: pair.primary, observation: primary, other: secondary, ...when }),
    secondary: judge({ host: pair.secondary, observation: secondary, other: primary, ...when }),
  };
}

function setScene(input: DecideInput, judged: readonly Judgement[]): Scene {
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
    if (unable !== undefined) {
      notes.push(`switchover to ${roles.active} failed: ${why}; cannot go back: ${unable.reason}`);
    }
  }
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
    },
  };
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

/**
 * The switchover was begun and taken back, so for the board's active nobody may write: go back at once and ask no rule,
 * provided that the former active answers. The other host's observation does not matter, it was not opened.
 */
function givesBack(scene: Scene, judged: readonly Judgement[]): Decided | null {
  const { giveBack, pair } = scene.input;
  if (giveBack === null || scene.roles === null || giveBack.to !== scene.roles.passive) {
    return null;
  }
  if (!judged.some((judgement) => judgement.host === giveBack.to && judgement.verdict === 'answers')) {
    return null;
  }
  return {
    kind: 'change',
    roles: rolesWith(pair, giveBack.to),
    reasons: [`switchover to ${scene.roles.active} failed: ${giveBack.why}; back to ${giveBack.to}`],
    hasty: false,
    state: { ...scene.state, pending: null },
  };
}

function isKnown(judgement: Judgement): judgement is Known {
  return judgement.verdict === 'answers' || isGone(judgement);
}

function isGone<T extends Judgement>(judgement: T): judgement is T & Unreachable {
  return judgement.verdict === 'dead' || judgement.verdict === 'silent';
}

/** The one fresh observation does not win by default, and a server that runs is not failed over: nothing changes. */
function whyUnknown(judged: readonly Judgement[]): string[] {
  const unknown = judged.filter((judgement): judgement is Unknown => !isKnown(judgement));
  const alive = unknown.some((judgement) => judgement.verdict === 'unreadable');
  const rule = alive
    ? 'nothing changes while a host is alive and does not tell its facts'
    : 'nothing changes without a fresh observation of both hosts';
  return [rule, ...unknown.map((judgement) => judgement.reason)];
}

/**
 * The board names no active. Whoever is writable was opened by somebody and is it; where that does not tell, the last known
 * roles do; only then the rules elect.
 */
function findActive(scene: Scene, hosts: ByHost<Known>): Decided {
  const answering = [hosts.primary, hosts.secondary].filter((host) => host.verdict === 'answers');
  const [one, two] = answering;
  if (one === undefined) {
    return keep(scene, ['no active is known and neither host answers', hosts.primary.reason, hosts.secondary.reason]);
  }
  const mute = answering.filter((host) => host.facts.readOnly === null);
  if (mute.length > 0) {
    const unsaid = mute.map((host) => `${host.host} does not tell whether it is read only`);
    return keep(scene, ['no active is known', ...unsaid]);
  }
  const writable = answering.filter((host) => host.facts.readOnly === false);
  const [only] = writable;
  if (only !== undefined && writable.length === 1) {
    const others = two === undefined ? 'the only host that answers, and it is writable' : 'the only writable host';
    return adopt(scene, only.host, `no active is known: ${only.host} is ${others}`);
  }
  const { remembered } = scene.state;
  const both = writable.length === 0 ? 'both hosts are read only' : 'both hosts are writable';
  if (two !== undefined) {
    return remembered === null
      ? electFirst(scene, hosts, both)
      : adopt(scene, remembered.active, `the board lost its roles and ${both}: ${remembered.active} was active last`);
  }
  // One host answers and is read only. Unless it was the active, the other one is presumed to be: this is a failover.
  return remembered?.active === one.host
    ? adopt(scene, one.host, `the board lost its roles: ${one.host} was active last and is the only host that answers`)
    : electFirst(scene, hosts, `${one.host} is read only, so the other host may have been active`);
}

function electFirst(scene: Scene, hosts: ByHost<Known>, why: string): Decided {
  const race = run(hosts);
  const start = `no active is known: ${why}`;
  if (race.winner === null) {
    return keep(scene, [`${start}; no host can be active`, ...race.why]);
  }
  return confirm(scene, null, race.winner, [start, ...race.why]);
}

/** The board's roles are good: the contract's rules say who should be active, and a planned change is held where it would hurt. */
function followRules(scene: Scene, { active }: Roles, hosts: ByHost<Known>): Decided {
  const race = run(hosts);
  if (race.winner === null) {
    return keep(scene, [`${active} keeps the role for want of a better one`, ...race.why]);
  }
  const { pair } = scene.input;
  if (race.winner === active) {
    return keep(scene, [`${active} stays active`, ...race.why]);
  }
  const [from, to] = active === pair.primary ? [hosts.primary, hosts.secondary] : [hosts.secondary, hosts.primary];
  if (from.verdict !== 'answers' || to.verdict !== 'answers') {
    return confirm(scene, active, race.winner, race.why);
  }
  const held = whyHeld(scene, from, to);
  if (held !== null) {
    return keep(scene, [`${active} stays active, ${held}`, ...race.why]);
  }
  const slowed = slowDown(scene, from, to, race);
  return slowed?.kind === 'keeps'
    ? keep(scene, [`${active} stays active, ${slowed.why}`, ...race.why])
    : confirm(scene, active, race.winner, race.why, slowed);
}

/** Both live, so nobody is in a hurry, unless clients have gone to the other host already. */
function slowDown(scene: Scene, from: Answers, to: Answers, { tie }: Race): Brake | null {
  const { pair, policy, past, nowMs } = scene.input;
  const { primary, secondary } = scene.state.caughtUpSinceMs;
  return brake({
    pair,
    from: from.host,
    pacing: policy.pacing,
    past,
    tie,
    caughtUpSinceMs: to.host === pair.primary ? primary : secondary,
    swapped: isSwapped(from, to),
    clientsWait: to.facts.readOnly === true && to.facts.connections > 0,
    nowMs,
  });
}

/**
 * A host that its passive still hears is alive: the managers alone are cut off from it, and its clients may not be. Without a fence
 * that reaches it nothing may be opened beside it (S1). The rounds go on counting, so that its death is noticed at once.
 */
function unlessHeard(scene: Scene, hosts: readonly Known[], decided: Decided): Decided {
  const heard = hosts.filter(isGone).find(({ stillHeard }) => stillHeard !== null);
  if (decided.kind !== 'change' || heard === undefined) return decided;
  return {
    kind: 'keep',
    roles: scene.roles,
    reasons: [
      ...scene.notes,
      `the managers alone are cut off from ${heard.host}: ${heard.stillHeard}, so it is alive and nothing changes`,
      heard.reason,
    ],
    state: decided.state,
  };
}

interface Race {
  readonly winner: Host | null;
  /** Why it, or nobody, wins: what bars the others, and what the operator should know although it bars nobody. */
  readonly why: readonly string[];
  /** Both could be active. */
  readonly tie: boolean;
}

function run(hosts: ByHost<Known>): Race {
  const { winner, obstacles } = elect(ruleFacts(hosts.primary), ruleFacts(hosts.secondary));
  const why: string[] = [];
  for (const role of ['primary', 'secondary'] as const) {
    const rule = obstacles[role];
    if (rule !== null) {
      why.push(cannotBeActive(hosts[role], rule));
    }
  }
  if (winner === null) {
    return { winner: null, why, tie: false };
  }
  const tie = why.length === 0;
  if (tie) {
    why.push(`both hosts can be active, and ${hosts.primary.host} is the primary`);
  }
  const [best, other] = winner === 'primary' ? [hosts.primary, hosts.secondary] : [hosts.secondary, hosts.primary];
  return { winner: best.host, why: [...why, ...caveats(best, other)], tie };
}

function ruleFacts(judgement: Known): HostFacts {
  return judgement.verdict === 'answers' ? factsOf(judgement.facts) : UNREACHABLE;
}

function cannotBeActive(judgement: Known, rule: Rule): string {
  const detail = judgement.verdict === 'answers' ? delay(judgement) : ` (${judgement.detail})`;
  return `${judgement.host} cannot be active: ${rule.sentence}${detail} [rule ${rule.number}]`;
}

function delay({ facts }: Answers): string {
  return facts.delaySec > 0 ? ` (${facts.delaySec} s)` : '';
}

function caveats(best: Known, other: Known): string[] {
  if (best.verdict !== 'answers' || other.verdict === 'answers') {
    return [];
  }
  const { facts, host } = best;
  const said: string[] = [];
  if (facts.delaySec > 0) {
    said.push(`${host} is ${facts.delaySec} s behind: it is opened only after it has applied what it received`);
  }
  if (facts.sql === 'No') {
    said.push(`${host}'s SQL thread is stopped: it is opened only after it has applied what it received`);
  } else if (!facts.replicationOk) {
    said.push(`${host}'s replication is in error, as may be expected while ${other.host} is unreachable`);
  }
  if (other.stillHeard !== null) {
    said.push(`${other.stillHeard}: the network from here may be at fault`);
  } else if (facts.hearing !== null) {
    const silentSec = Math.floor(facts.hearing.silentMs / 1000);
    said.push(`${host} has heard nothing from ${other.host} for ${silentSec} s, though its I/O thread still runs`);
  } else if (facts.io === 'Yes') {
    said.push(`${host} may still hear ${other.host} (its I/O thread runs): the network from here may be at fault`);
  }
  return said;
}

/**
 * The active lives and can hand over, so there is time: a host is not opened while the other, reachable, one holds
 * something that it lacks (F21, S2). Rule 4 already excludes the merely delayed. Null: nothing speaks against the change.
 */
function whyHeld(scene: Scene, from: Answers, to: Answers): string | null {
  const { failed, nowMs } = scene.input;
  if (failed !== null && failed.host === to.host && nowMs < failed.untilMs) {
    const waitSec = Math.ceil((failed.untilMs - nowMs) / 1000);
    return `held: the last attempt to open ${to.host} failed; it is not tried again for ${waitSec} s`;
  }
  if (!isSwapped(from, to) && !replicates(to)) {
    return `held: ${to.host}'s replication ${inWhichState(to)}, it would miss what ${from.host} holds`;
  }
  return null;
}

/** Roles swapped by hand: the writes are at `to` already, so it cannot miss any by being called the active. */
function isSwapped(from: Answers, to: Answers): boolean {
  return from.facts.readOnly === true && to.facts.readOnly === false;
}

/** A Perl monitor does not name the threads (null): its verdict on replication stands for both. */
function replicates({ facts }: Answers): boolean {
  return facts.replicationOk && (facts.io ?? 'Yes') === 'Yes' && (facts.sql ?? 'Yes') === 'Yes';
}

function inWhichState({ facts }: Answers): string {
  const threads = `I/O thread ${facts.io ?? 'unknown'}, SQL thread ${facts.sql ?? 'unknown'}`;
  return facts.replicationOk ? `is not running (${threads})` : `is in error (${threads})`;
}

/** Counts this round for `to` if it is a new one, and changes when enough rounds have agreed and nothing slows it down. */
function confirm(
  scene: Scene,
  from: Host | null,
  to: Host,
  why: readonly string[],
  slowed: Brake | null = null,
): Decided {
  const { pair, policy, epoch, past, nowMs } = scene.input;
  const before = scene.state.pending;
  const epochId = epoch?.id ?? null;
  const goesOn = before !== null && before.to === to && before.from === from && before.epochId === epochId;
  const counted = (goesOn ? before.rounds : 0) + (scene.newRound ? 1 : 0);
  // The monitors count, too, how often in a row they missed a host: of several, each has its own rounds.
  const { primary, secondary } = scene.input.observations;
  const rounds = Math.max(counted, primary?.goneLooks ?? 0, secondary?.goneLooks ?? 0);
  const state = { ...scene.state, pending: { to, from, epochId, rounds } };
  if (rounds < policy.tryTimes || slowed !== null) {
    const agreed = `${Math.min(rounds, policy.tryTimes)} of ${policy.tryTimes} rounds agree`;
    const head = `${to} is to be active: ${slowed === null ? agreed : `${slowed.why}; ${agreed}`}`;
    return { kind: 'keep', roles: scene.roles, reasons: [...scene.notes, head, ...why], state };
  }
  // The count stays: a commit that fails is decided again at once, and one that succeeds ends it.
  const head = `${to} becomes active: ${policy.tryTimes} rounds agree`;
  const loud = from === null ? null : hasty(policy.pacing, past, nowMs);
  return {
    kind: 'change',
    roles: rolesWith(pair, to),
    reasons: [...scene.notes, head, ...why, ...(loud === null ? [] : [loud])],
    hasty: loud !== null,
    state,
  };
}

/** Nothing changes, and rounds that agreed before this one do not count any more. */
function keep(scene: Scene, reasons: readonly string[]): Decided {
  return {
    kind: 'keep',
    roles: scene.roles,
    reasons: [...scene.notes, ...reasons],
    state: { ...scene.state, pending: null },
  };
}

/** Writes down what is so already; needs no confirmation. */
function adopt(scene: Scene, active: Host, reason: string): Decided {
  return {
    kind: 'adopt',
    roles: rolesWith(scene.input.pair, active),
    reasons: [...scene.notes, reason],
    hasty: false,
    state: { ...scene.state, pending: null },
  };
}

// Which host should be active, and is it time to say so? Called once per round of observations; everything it knows is in its input.
// Comes from src/identify.ts; uses scene.ts (who lives, what was known), rows.ts (what the servers say of themselves) and race.ts (who may be
// active); goes on to store/store.ts `commitRoles`.

import type { Answers, Judgement, Unknown } from './death.ts';
import { isSwapped, whyHeld } from './handover.ts';
import { type Brake, brake, hasty } from './pacing.ts';
import { type Host, otherHost, type Roles, rolesWith } from './pair.ts';
import { type Known, type Race, race } from './race.ts';
import { isOver } from './request.ts';
import { activeByRows } from './rows.ts';
import {
  type ByHost,
  type DecideInput,
  type DecideState,
  isGone,
  isKnown,
  judgeBoth,
  type Scene,
  setScene,
  strangersOf,
  whyWithheld,
} from './scene.ts';

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

export function decide(input: DecideInput): Decided {
  const { primary, secondary } = judgeBoth(input);
  const scene = setScene(input, [primary, secondary]);
  const decided = unlessAlone(scene, [primary, secondary], consider(scene, primary, secondary));
  return unlessStranger(scene, [primary, secondary], decided);
}

function consider(scene: Scene, primary: Judgement, secondary: Judgement): Decided {
  const { input, roles } = scene;
  const back = givesBack(scene, [primary, secondary]);
  if (back !== null) {
    // Also while it is paused: a change that was begun must end with a writer.
    return back;
  }
  if (!isKnown(primary) || !isKnown(secondary)) {
    return unlessPaused(input, keep(scene, whyUnknown([primary, secondary])));
  }
  const hosts = { primary, secondary };
  if (roles === null) {
    // Also while it is paused: it changes nothing on the servers, and the pause may be of an old dump.
    const adopted = askRows(scene, [primary, secondary]);
    if (adopted !== null) return adopted;
  }
  const decided = roles === null ? findActive(scene, hosts) : followRules(scene, roles, hosts);
  return unlessPaused(input, unlessAlive(scene, [primary, secondary], decided));
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
  if (whyWithheld(scene.input, giveBack.to) !== null) return null;
  return {
    kind: 'change',
    roles: rolesWith(pair, giveBack.to),
    reasons: [`switchover to ${scene.roles.active} failed: ${giveBack.why}; back to ${giveBack.to}`],
    hasty: false,
    state: { ...scene.state, pending: null },
  };
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

/** The servers know more than the board, or it is empty: the one that was opened last is the active [F8]. null: neither ever was. */
function askRows(scene: Scene, hosts: readonly Known[]): Decided | null {
  const { pair, guarded } = scene.input;
  if (guarded === null) return null;
  const answering = hosts
    .filter((host) => host.verdict === 'answers')
    .map((host) => (guarded.strangers.has(host.host) ? { ...host, facts: { ...host.facts, row: null } } : host));
  const found = activeByRows({ pair, answering, known: guarded.known });
  return found === null ? null : adopt(scene, found.active, `no active is known: ${found.why}`);
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
  const found = race(hosts, strangersOf(scene));
  const start = `no active is known: ${why}`;
  if (found.winner === null) {
    return keep(scene, [`${start}; no host can be active`, ...found.why]);
  }
  return confirm(scene, null, found.winner, [start, ...found.why]);
}

/** The board's roles are good: the contract's rules say who should be active, and a planned change is held where it would hurt. */
function followRules(scene: Scene, { active }: Roles, hosts: ByHost<Known>): Decided {
  const { pair, failed, guarded, nowMs } = scene.input;
  const [from, to] = active === pair.primary ? [hosts.primary, hosts.secondary] : [hosts.secondary, hosts.primary];
  const back = neverFenced(scene, from, to);
  if (back !== null) return back;
  const found = race(hosts, strangersOf(scene));
  if (found.winner === null) {
    return keep(scene, [`${active} keeps the role for want of a better one`, ...found.why]);
  }
  if (found.winner === active) {
    return keep(scene, [`${active} stays active`, ...found.why]);
  }
  // What another server holds behind the active's address is nobody's loss: the member that we knew is gone.
  if (from.verdict !== 'answers' || to.verdict !== 'answers' || strangersOf(scene).has(from.host)) {
    return confirm(scene, active, found.winner, found.why);
  }
  const held = whyHeld({ from, to, failed, lease: guarded?.lease ?? null, nowMs });
  if (held !== null) {
    return keep(scene, [`${active} stays active, ${held}`, ...found.why]);
  }
  const slowed = slowDown(scene, from, to, found);
  return slowed?.kind === 'keeps'
    ? keep(scene, [`${active} stays active, ${slowed.why}`, ...found.why])
    : confirm(scene, active, found.winner, found.why, slowed);
}

/**
 * The role was to go from a host that fell silent, and nobody could make sure of it (`on_unreachable=wait`, or it came back before its lease
 * was over). It answers again, open as it was, and the other one was not opened: it is the writer still, and so need not be closed.
 */
function neverFenced({ input, state }: Scene, chosen: Known, former: Known): Decided | null {
  const { pair, epoch, guarded } = input;
  if (guarded === null || epoch === null || !guarded.unopened) return null;
  if (state.missed?.host !== former.host || former.verdict !== 'answers' || chosen.verdict !== 'answers') return null;
  const { row, readOnly } = former.facts;
  if (readOnly !== false || row === null || row.lease === 'none' || row.opened === null) return null;
  const wasOpened = chosen.facts.readOnly !== true || (chosen.facts.row?.opened?.number ?? -1) >= row.opened.number;
  if (wasOpened || row.opened.number >= epoch.number || whyWithheld(input, former.host) !== null) return null;
  const reason = `${former.host} answers again and takes writes as before: nobody has closed it, and ${chosen.host} was not opened instead; the role goes back`;
  return {
    kind: 'change',
    roles: rolesWith(pair, former.host),
    reasons: [reason],
    hasty: false,
    state: { ...state, pending: null },
  };
}

/**
 * The board was emptied or restored, and one host answers, closed: whether the other one acknowledged commits since this one heard of it,
 * nobody knows. A promise to clients is worth more than an active [F8].
 */
function unlessAlone(scene: Scene, hosts: readonly Judgement[], decided: Decided): Decided {
  const { guarded, pair } = scene.input;
  if (decided.kind !== 'adopt' || guarded === null || guarded.lossless === null) return decided;
  const answering = hosts.filter((host) => host.verdict === 'answers');
  const [only] = answering;
  if (only === undefined || answering.length > 1) return decided;
  if (only.host !== decided.roles.active || only.facts.readOnly === false) return decided;
  const other = otherHost(pair, only.host);
  const why = `${only.host} is read only and answers alone, so nobody knows what ${other} has acknowledged`;
  const reason = `nothing changes under durability=lossless: ${why}; where ${other} is lost for good, durability=async goes on without it`;
  return { kind: 'keep', roles: scene.input.roles, reasons: [reason, ...decided.reasons], state: decided.state };
}

/** A server that is not the member we knew gets no role, and one that has it and takes writes keeps it: an operator is to look. */
function unlessStranger(scene: Scene, hosts: readonly Judgement[], decided: Decided): Decided {
  const strangers = strangersOf(scene);
  if (strangers.size === 0) return decided;
  const why = [...strangers.values()];
  const { active } = scene.roles ?? { active: null };
  const takesWrites = hosts.some(
    (host) => host.host === active && host.verdict === 'answers' && host.facts.readOnly === false,
  );
  const isBarred = decided.kind !== 'keep' && strangers.has(decided.roles.active);
  const stays = active !== null && takesWrites && strangers.has(active);
  if (decided.kind === 'keep' || isBarred || stays) {
    const reasons =
      decided.kind === 'keep' ? [...why, ...decided.reasons] : [...scene.notes, ...why, 'nothing changes'];
    return { kind: 'keep', roles: scene.input.roles, reasons, state: decided.state };
  }
  return { ...decided, reasons: [...decided.reasons, ...why] };
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
 * Where it closes itself when nobody renews its lease, that says more: as long as somebody does it is alive, heard or not, and when
 * nobody could it takes no writes, heard or not [F16].
 */
function unlessAlive(scene: Scene, hosts: readonly Known[], decided: Decided): Decided {
  if (decided.kind !== 'change') return decided;
  const gone = hosts.filter(isGone);
  const { verdict } = scene.input.guarded ?? { verdict: null };
  const stays = (reasons: readonly string[]): Decided => ({
    kind: 'keep',
    roles: scene.roles,
    reasons: [...scene.notes, ...reasons],
    state: decided.state,
  });
  const silentActive = gone.find(({ host, verdict }) => host === scene.roles?.active && verdict === 'silent');
  if (silentActive !== undefined && verdict?.kind === 'renewed') {
    return stays([
      `the monitors alone are cut off from ${silentActive.host}: ${verdict.why} and nothing changes`,
      silentActive.reason,
    ]);
  }
  const heard = gone.find(({ stillHeard }) => stillHeard !== null);
  if (heard === undefined) return decided;
  if (heard === silentActive && verdict?.kind === 'closed') {
    return { ...decided, reasons: [...decided.reasons, verdict.why] };
  }
  return stays([
    `the managers alone are cut off from ${heard.host}: ${heard.stillHeard}, so it is alive and nothing changes`,
    heard.reason,
  ]);
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
  const withheld = whyWithheld(scene.input, to);
  if (withheld !== null) {
    // The count stays, so that the change comes as soon as it may.
    const head = `${to} does not become active (durability=lossless): ${withheld}`;
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

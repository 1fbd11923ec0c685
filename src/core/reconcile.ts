// What the agent does next, from what is wanted and what is: fence the old active, drain the new one, open it, heal.
// Comes from src/agent.ts, which probes, asks for one step, does it (mysql/server.ts), probes again and asks again; so each
// step is derived from facts, can be cut off anywhere and run twice. Order is safety here: see each branch.

import type { Opening } from './call.ts';
import { whyIncomplete } from './complete.ts';
import type { Policy } from './decision.ts';
import { type LeftBehind, leftBehind } from './divergence.ts';
import {
  fenceSilent,
  type Guard,
  isClaimed,
  isLeaseOut,
  isOfAnotherPair,
  knowsHigher,
  wasOpenedInThisLife,
} from './guard.ts';
import { isArmed, SCHEMA_VERSION, wasOpenedUnder } from './host-row.ts';
import { whyTailLost } from './lost-tail.ts';
import type { Evidence, Facts, Replication, ThreadState } from './observation.ts';
import { isAlive } from './observation.ts';
import type { Host, Roles } from './pair.ts';
import { hasReceived, isApplied } from './replication.ts';
import { replicatesFrom } from './source.ts';
import type { Step } from './step.ts';

/** How long a planned change may keep a pair without a writer before it is taken back, seconds. */
const SWITCHOVER_DEADLINE_SEC = 10;
/** How long a forced opening waits for what may still be received or applied, where no drain_timeout says so, seconds. */
const FORCED_WAIT_SEC = 10;

/** What the agent remembers between the steps of one decision. */
export interface Progress {
  /** The replication state noted right before the I/O thread was stopped for the drain; null before that. */
  readonly receivedBefore: Pick<Replication, 'received' | 'receivedGtid'> | null;
  /** Seconds since the drain of the host to be opened began; 0 before. */
  readonly drainingSec: number;
  /** Seconds since this change began to keep clients from writing, or found that nobody may; 0 when it did not. */
  readonly withoutWriterSec: number;
}

/** Everything that the next step is derived from. */
export interface Situation {
  readonly roles: Roles;
  readonly active: Evidence;
  readonly passive: Evidence;
  /** The active was already open under these roles, so that it holds all that was acknowledged since. */
  readonly incumbent: boolean;
  /** The passive took writes last, so that it may go on at once if it is given the role back. */
  readonly passiveWroteLast: boolean;
  /** The monitors, too, see the passive-to-be as unreachable, freshly: it may be passed over without a fence. */
  readonly passiveGone: boolean;
  /** Whose I/O threads an agent stopped for a drain. */
  readonly ioStopped: readonly Host[];
  /** Hosts whose accounts could not be blocked or released just now: what protects the data does not wait for them. */
  readonly accountsStuck: readonly Host[];
  /** The passive started anew while this agent watched; its replication is then ours to start, once. */
  readonly passiveRestarted: boolean;
  readonly policy: Policy;
  /** An operator forced the decision: what cannot be received or applied is left behind, and told. */
  readonly force: boolean;
  /** The operator who asked for it has been told that it did not happen: it must not begin any more. */
  readonly tooLate: boolean;
  readonly progress: Progress;
  /** How long an opening may be under way before it must do nothing, seconds. */
  readonly openWithinSec: number;
  /** null: no safety is on, and no row of ours is on the servers. */
  readonly guard: Guard | null;
}

/** The next step, or why there is none. */
export type Next =
  | {
      readonly kind: 'step';
      readonly step: Step;
      readonly why: string;
      /** What only the passive holds: counted and told before this step lets it flow to the active. */
      readonly leftBehind?: LeftBehind;
      /** The change takes too long: identify is told so while the agent goes on, for it may be that nobody else does. */
      readonly overdue?: string;
    }
  /** The active takes writes and nothing is left to do for now. */
  | { readonly kind: 'settled' }
  /** Nothing is changed; `failed` when a change was begun and identify should take it back. */
  | {
      readonly kind: 'hold';
      readonly outcome: 'held' | 'failed';
      readonly why: string;
      /** The drain cannot go on: its time runs all the same. */
      readonly draining?: true;
      /** Waiting will not help. */
      readonly final?: true;
    };

/** One next step towards `roles`. Pure; never throws. */
export function nextStep(situation: Situation): Next {
  const next = plan(situation);
  // A change that keeps clients from writing must end with a writer, whatever hinders it: identify gives the role back [F13].
  if (next.kind === 'settled' || !canGoBack(situation)) return next;
  const isLate = situation.progress.withoutWriterSec >= SWITCHOVER_DEADLINE_SEC;
  if (next.kind === 'hold') return isLate || next.final ? { kind: 'hold', outcome: 'failed', why: next.why } : next;
  if (!isLate) return next;
  const { active } = situation.roles;
  return { ...next, overdue: `${active} could not be opened within ${SWITCHOVER_DEADLINE_SEC} s: ${next.why}` };
}

/** The host that took writes last answers and may take them again, and the one to be opened is not known to. */
function canGoBack({ active, passive, incumbent, passiveWroteLast, force, progress }: Situation): boolean {
  // Whoever forces it does not want the other one back; identify sees to it when nothing comes of it.
  if (incumbent || force || passive.kind !== 'answered') return false;
  if (active.kind === 'answered' && !active.facts.readOnly) return false;
  return passiveWroteLast || progress.withoutWriterSec > 0;
}

function plan(situation: Situation): Next {
  const { roles, active, passive, guard } = situation;
  const guarding = guard === null ? whyUnguarded(situation) : prepare(situation, guard);
  if (guarding !== null) return guarding;
  if (active.kind !== 'answered') {
    // Closing the other host now would leave nobody writable: whatever it is, it stays as it is (L3).
    return hold(`the active ${roles.active} cannot be reached (${active.message}); ${roles.passive} is left as it is`);
  }
  if (!active.facts.readOnly) return keepOpen(situation, active.facts);
  const incomplete = situation.force ? null : whyNotComplete(situation, active.facts);
  if (incomplete !== null) return stuck(`${incomplete}; ${roles.active} is not opened`);
  if (guard !== null && guard.passiveStranger !== null && passive.kind === 'answered' && passive.facts.readOnly) {
    // What it holds says nothing of the server that we knew, which may take writes elsewhere.
    return situation.incumbent
      ? openAgain(situation, active.facts)
      : passOver(situation, guard, active.facts, guard.passiveStranger);
  }
  if (passive.kind === 'answered') {
    return passive.facts.readOnly
      ? openBesideClosed(situation, active.facts, passive.facts)
      : takeOver(situation, active.facts, passive.facts);
  }
  if (situation.incumbent) {
    // It restarted read only; nobody else was opened since, so it needs no drain and nobody to be fenced.
    return openAgain(situation, active.facts);
  }
  if (isAlive(passive)) {
    return hold(
      `${roles.passive} is alive but cannot be closed (${passive.message}), so ${roles.active} is not opened`,
    );
  }
  if (guard !== null) return passOver(situation, guard, active.facts, passive.message);
  if (!situation.passiveGone) {
    // Silent to this agent alone: it may be taking writes, and another agent may reach it.
    return hold(
      `${roles.passive} does not answer this agent (${passive.message}), but the monitors do not call it unreachable; ${roles.active} is not opened`,
    );
  }
  return drainThenOpen(situation, active.facts, `${roles.passive} is unreachable (${passive.message})`);
}

/**
 * Under durability=lossless only a host that holds every acknowledged commit is opened, or the one that acknowledged the last of them [F10]. The set
 * stands still from the decision on until its host is open, so it is asked before anything is begun.
 */
function whyNotComplete({ roles, incumbent, guard }: Situation, active: Facts): string | null {
  if (guard === null || guard.lossless === null || incumbent) return null;
  return whyIncomplete(guard.lossless.complete, roles.active, active.boot);
}

/** Without a safety on nothing renews a lease, so a server that closes itself would be opened again and again. */
function whyUnguarded({ roles, active, passive }: Situation): Next | null {
  const leased = [
    { host: roles.active, seen: active },
    { host: roles.passive, seen: passive },
  ].find(({ seen }) => seen.kind === 'answered' && seen.facts.row !== null && seen.facts.row.lease.kind === 'finite');
  if (leased === undefined) return null;
  return hold(
    `${leased.host} holds a lease of mmm, but the decision on the board knows of none: it was made by an identify that does not know fencing; nothing is changed`,
  );
}

/** What must be so before anything is done to a guarded pair: both rows are there, and neither knows a higher decision. */
function prepare({ roles, active, passive, force }: Situation, guard: Guard): Next | null {
  const { epoch, stranger, passiveStuck, passiveKnew } = guard;
  // Neither opened nor closed: what it holds, nobody knows.
  if (stranger !== null) return hold(stranger);
  if (passiveKnew !== null && passiveKnew > epoch.number && !force) {
    // The board went back, and identify has not seen it yet, or cannot.
    return hold(
      `${roles.passive} knew decision ${passiveKnew} when it was last seen, so decision ${epoch.number} is not obeyed any more`,
    );
  }
  for (const [host, seen] of [
    [roles.active, active],
    [roles.passive, passive],
  ] as const) {
    if (seen.kind !== 'answered') continue;
    const { row } = seen.facts;
    if (row === null) {
      // Where it cannot be put there the active goes on alone; a change of roles still ends at the claim.
      if (host === roles.passive && passiveStuck) continue;
      return step({ do: 'install', host }, `${host} has no row of mmm`);
    }
    if (knowsHigher(row, epoch)) {
      return hold(
        `${host} knows decision ${row.epoch?.number ?? 0}, so decision ${epoch.number} is not obeyed any more`,
      );
    }
  }
  return null;
}

/** Whoever is to be opened carries the epoch first: from then on no renewal of the other host finds a witness [F3]. */
function claimed(situation: Situation, host: Host, facts: Facts): Next | null {
  const { guard } = situation;
  if (guard === null || isClaimed(facts.row, guard.epoch)) return null;
  return step({ do: 'claim', host, unfenced: null }, `${host} is to know decision ${guard.epoch.number}`);
}

/** The other host does not answer, and may take writes. */
function passOver(situation: Situation, guard: Guard, active: Facts, silence: string): Next {
  const { roles, passiveGone } = situation;
  const claim = claimed(situation, roles.active, active);
  if (claim !== null) return claim;
  const found = fenceSilent(guard, roles.passive);
  const goOn = (why: string) =>
    drainThenOpen(situation, active, `${roles.passive} is unreachable (${silence}), ${why}`);
  switch (found.kind) {
    case 'fenced':
      // The monitors reach it, so another agent may: without its last writes nobody is opened by a switchover [F13].
      return guard.planned && !passiveGone && guard.passiveStranger === null
        ? hold(`${found.why}, but the monitors reach it; a switchover does without nothing that it holds`)
        : goOn(found.why);
    case 'promote':
      // Silent to this agent alone: it may be taking writes, and another agent may reach it.
      return passiveGone || guard.passiveStranger !== null
        ? goOn(found.why)
        : hold(
            `${roles.passive} does not answer this agent (${silence}), but the monitors do not call it unreachable; ${roles.active} is not opened`,
          );
    case 'run-hook':
      return step({ do: 'hook', host: roles.passive }, `${roles.passive} is unreachable (${silence})`);
    case 'wait':
      return step({ do: 'await-lease', host: roles.passive, forMs: found.forMs }, found.why);
    case 'hold':
      return hold(`${found.why}; ${roles.active} is not opened`);
    default:
      return found satisfies never;
  }
}

/** The active is open: close a second writer first, then put accounts and replication right. */
function keepOpen(situation: Situation, active: Facts): Next {
  const { roles, passive, accountsStuck, guard } = situation;
  const grant = guard === null ? null : keepGranted(situation, guard, active);
  const isSecondWriter = passive.kind === 'answered' && !passive.facts.readOnly;
  // Closing it may hang behind a lock there, and until the grant nobody renews the active's lease.
  if (grant !== null && (!isSecondWriter || isWriterStill(active, guard, roles))) return grant;
  if (isSecondWriter) {
    const why = `${roles.active} is the active and open`;
    return fence(situation, passive.facts, why, guard !== null && acknowledgesNobody(active));
  }
  // Before those of the passive, which is closed: without this nobody writes.
  if ((active.accounts?.blocked ?? 0) > 0 && !accountsStuck.includes(roles.active)) {
    return step({ do: 'release', host: roles.active }, `accounts on the active ${roles.active} are blocked`);
  }
  if (passive.kind !== 'answered') return atRest(situation);
  // Neither claimed nor replicated from, until an operator says that it is the member now.
  if (guard !== null && guard.passiveStranger !== null) return atRest(situation);
  const flags = guard === null ? null : clearFlags(situation, guard, active, passive.facts);
  if (flags !== null) return flags;
  if (opens(passive.facts) && !accountsStuck.includes(roles.passive)) {
    return step({ do: 'block', host: roles.passive }, `accounts on the passive ${roles.passive} are not blocked`);
  }
  const next = heal(situation, active, passive.facts);
  return next.kind === 'settled' ? atRest(situation) : next;
}

/** We opened it in this life, its lease runs, and nobody was opened since. */
function isWriterStill(active: Facts, guard: Guard | null, { passive }: Roles): boolean {
  return wasOpenedInThisLife(active.row, active.boot) && !isLeaseOut(active) && guard?.lastOpened !== passive;
}

/** Nothing else is to be done. An EVENT that sleeps because its server's clock went back is set going by renewals alone, and not every host has them [F17]. */
function atRest({ roles, active, passive, guard }: Situation): Next {
  if (guard === null) return { kind: 'settled' };
  for (const [host, seen] of [
    [roles.active, active],
    [roles.passive, passive],
  ] as const) {
    const row = seen.kind === 'answered' ? seen.facts.row : null;
    if (row === null) continue;
    // An older version does all that this one needs, so that an upgrade which cannot be made holds no change up.
    if (row.schemaVersion < SCHEMA_VERSION) {
      return step({ do: 'install', host }, `the schema mmm of ${host} is of an older version`);
    }
    if (!isArmed(row)) return step({ do: 'rearm', host }, `the EVENT of ${host} does not tick`);
  }
  return { kind: 'settled' };
}

/** A writable active must be so by this decision: an epoch that keeps the active is claimed and opened as any other, without a drain. */
function keepGranted(situation: Situation, guard: Guard, active: Facts): Next | null {
  const { roles } = situation;
  const { row, boot } = active;
  const neverOurs = row?.opened === null;
  if (neverOurs && situation.passive.kind !== 'answered' && guard.lastOpened !== roles.active) {
    // It is writable by its own my.cnf or by a hand, and the other one may have been opened by us: nobody can say.
    return hold(
      `${roles.active} takes writes although mmm never opened it, and ${roles.passive} does not answer; it is left as it is`,
    );
  }
  if (!neverOurs && !wasOpenedInThisLife(row, boot)) {
    // Its my.cnf lets it start writable, or somebody set read_only off: it has no lease that is its own.
    return step(
      { do: 'close', host: roles.active },
      `${roles.active} is writable, but mmm has not opened it in this life`,
    );
  }
  if (isLeaseOut(active)) {
    return closeAnew(situation, guard, active, `the lease of ${roles.active} has run out`);
  }
  if (wasOpenedUnder(row, guard.epoch)) return null;
  if (guard.lastOpened === roles.passive) {
    // Its old lease goes on (a paused VM, a lock, a clock that went back), but the other host took writes since, and may still.
    const why = `${roles.active} is writable by an older decision than the last one that opened ${roles.passive}`;
    return closeAnew(situation, guard, active, why);
  }
  const { passive } = situation;
  if (passive.kind !== 'answered' && guard.passiveChosenSince && guard.lastOpened !== roles.active) {
    // The note of the last writer is gone before another host is opened: that call may be under way, or done, where this agent sees nothing.
    return closeAnew(
      situation,
      guard,
      active,
      `${roles.active} is writable by an older decision than the last one for ${roles.passive}, which does not answer and may have been opened by it`,
    );
  }
  // A server of another pair is claimed afterwards: its row would tell of its openings there as if they were ours.
  const isClaimable = passive.kind === 'answered' && !guard.passiveStuck && !isOfAnotherPair(passive.facts.row, roles);
  const claim =
    claimed(situation, roles.active, active) ?? (isClaimable ? claimed(situation, roles.passive, passive.facts) : null);
  return claim ?? open(situation, active, `${roles.active} keeps the role under decision ${guard.epoch.number}`);
}

/**
 * Before it is opened by this decision. Commits that wait there for an acknowledgement keep it from being closed, and under the decision by which it
 * was opened before nobody lets them go any more: they are ended, and no client is told OK [F18].
 */
function closeAnew({ roles }: Situation, guard: Guard, { row, semiSync }: Facts, why: string): Next {
  const waits = semiSync?.source === true && semiSync.waiting > 0 && !wasOpenedUnder(row, guard.epoch);
  return step({ do: 'close', host: roles.active, ...(waits ? { endsWaits: true } : {}) }, why);
}

/** Arming, its last steps: only when no row says any more that the lease is endless may the board say so, too [F6]. */
function clearFlags(situation: Situation, guard: Guard, active: Facts, passive: Facts): Next | null {
  const { roles } = situation;
  if (guard.passiveStuck) return null;
  const claim = claimed(situation, roles.passive, passive);
  if (claim !== null) return claim;
  if (guard.lease !== 'finite' || active.row?.lease.kind !== 'finite') return null;
  if (passive.row?.unfenced === true) {
    return step({ do: 'claim', host: roles.passive, unfenced: false }, `the lease of ${roles.active} is finite`);
  }
  if (!guard.flagOnBoard) return null;
  return step({ do: 'clear-flag', host: roles.active }, `the lease of ${roles.active} is finite, and both rows say so`);
}

/** Replication runs again both ways, but towards a host only once that host is known to be closed [F5]. */
function heal(situation: Situation, active: Facts, passive: Facts): Next {
  const { roles, guard } = situation;
  const silenced = acknowledgesNothing(situation, active);
  if (silenced !== null) return silenced;
  const onActive = active.replication;
  if (onActive !== null && replicatesFrom(onActive, roles.passive, passive.serverId)) {
    if (onActive.io === 'No' && onActive.sql === 'No') {
      return merge(
        { do: 'start-replication', host: roles.active },
        `both replication threads of the active ${roles.active} are stopped`,
        leftBehind(active, passive),
      );
    }
    // Whatever error is shown there may be that of the failover itself; a lasting one stops the thread again, and is told.
    if (onActive.io === 'No') {
      return merge(
        { do: 'start-io', host: roles.active },
        `${roles.passive} is closed, so ${roles.active} replicates from it again`,
        leftBehind(active, passive),
      );
    }
  }
  // Not sooner: a step there makes what is seen of the active the older of the two, and its newest commits would be counted as left behind.
  const waitless =
    guard !== null && isClaimed(passive.row, guard.epoch) ? waitsForNobody(situation, roles.passive, passive) : null;
  if (waitless !== null) return waitless;
  const onPassive = passive.replication;
  if (onPassive !== null && replicatesFrom(onPassive, roles.active, active.serverId)) {
    if (onPassive.io === 'No' && onPassive.sql === 'Yes' && situation.ioStopped.includes(roles.passive)) {
      // Only when an agent stopped it: a backup stops it too, and is none of our business.
      return (
        acknowledges(situation, passive) ??
        step({ do: 'start-io', host: roles.passive }, `it was stopped for a change that did not happen`)
      );
    }
    const clean = onPassive.ioError.code === 0 && onPassive.sqlError.code === 0;
    const cameBack = onPassive.sql === 'No' && situation.passiveRestarted;
    if (onPassive.io === 'No' && clean && (cameBack || neverStarted(onPassive))) {
      return acknowledges(situation, passive) ?? startAgain(roles.passive, onPassive);
    }
  }
  return { kind: 'settled' };
}

/** It is closed by this decision, so that only the active can be told by it that a commit is safe. The thread that starts next says so. */
function acknowledges({ roles, guard }: Situation, { semiSync, row }: Facts): Next | null {
  if (guard === null || guard.lossless === null || !isClaimed(row, guard.epoch)) return null;
  if (semiSync === null || semiSync.replica) return null;
  return step({ do: 'acknowledge', host: roles.passive, on: true }, `${roles.passive} is the passive now`);
}

/** A planned change: the other host takes writes now. Nothing is touched unless the change can come to its end. */
function takeOver(situation: Situation, active: Facts, passive: Facts): Next {
  const { roles } = situation;
  if (situation.tooLate)
    return hold(`the time that an operator gave is over; ${roles.passive} stays open, and gets the role back`);
  if (stoppedByUs(situation, active)) return resume(situation, active);
  const why = cannotFollow(situation, active, passive, ['Yes']);
  if (why !== null && !situation.force) {
    const { replication } = active;
    // Also beside a host that came up writable by its own my.cnf, where nobody would ever start it again.
    if (replication?.ioError.code === 0 && neverStarted(replication)) return startAgain(roles.active, replication);
    const outlook = `${why}, so it would miss what ${roles.passive} holds; ${roles.passive} stays open`;
    return active.replication?.io === 'Connecting' ? hold(outlook) : stuck(outlook);
  }
  return claimed(situation, roles.active, active) ?? fence(situation, passive, `${roles.active} is to be the active`);
}

/** Both are closed. The one to be opened must hold everything that the other one holds, unless it was the writer itself. */
function openBesideClosed(situation: Situation, active: Facts, passive: Facts): Next {
  const { roles, incumbent, force, progress } = situation;
  // Both, so that neither is opened or renewed any more under an earlier one. A server of another pair afterwards, as in keepGranted.
  const isWaitedFor = !(incumbent && (situation.guard?.passiveStuck || isOfAnotherPair(passive.row, roles)));
  const claim =
    claimed(situation, roles.active, active) ?? (isWaitedFor ? claimed(situation, roles.passive, passive) : null);
  if (claim !== null) return claim;
  if (incumbent) return openAgain(situation, active);
  if (hasEverything(active, passive)) {
    return drainThenOpen(situation, active, `${roles.passive} is closed and ${roles.active} has received all of it`);
  }
  if (stoppedByUs(situation, active)) return resume(situation, active);
  if (active.replication !== null && neverStarted(active.replication))
    return startAgain(roles.active, active.replication);
  const why = cannotFollow(situation, active, passive, ['Yes', 'Connecting']);
  if (force && (why !== null || passive.binlog === null || progress.withoutWriterSec >= FORCED_WAIT_SEC)) {
    const reason = why ?? `${roles.active} did not receive all of it within ${FORCED_WAIT_SEC} s`;
    return drainThenOpen(situation, active, `${roles.passive} is closed; SKIPPED: ${reason}`);
  }
  if (why !== null) return stuck(why);
  if (active.replication?.sql === 'No') return startSql(situation);
  if (passive.binlog === null) {
    return stuck(`${roles.passive} writes no binary log, so nobody can say what ${roles.active} lacks`);
  }
  return step(
    { do: 'await-received', host: roles.active, position: passive.binlog, gtid: passive.gtid },
    `${roles.passive} holds what ${roles.active} has not received`,
  );
}

/** Why `active` cannot receive what `passive` still holds; null when it can. */
function cannotFollow(
  situation: Situation,
  active: Facts,
  passive: Facts,
  ioWanted: readonly ThreadState[],
): string | null {
  const { roles } = situation;
  const replication = active.replication;
  if (replication === null) return `${roles.active} does not replicate`;
  if (!replicatesFrom(replication, roles.passive, passive.serverId)) {
    return `${roles.active} replicates from ${replication.source}, not from ${roles.passive}`;
  }
  if (!ioWanted.includes(replication.io)) {
    return `the I/O thread of ${roles.active} does not run${inWords(replication.ioError)}`;
  }
  if (replication.sql !== 'Yes' && replication.sqlError.code !== 0) {
    return `the SQL thread of ${roles.active} does not run${inWords(replication.sqlError)}`;
  }
  return null;
}

/**
 * Nobody stopped it: this server restarted (with skip-slave-start), and its I/O thread, which alone learns the source's id, has not run
 * since. So it is seen by an agent, too, that was not there when the server restarted, or that started the SQL thread alone for a drain.
 */
function neverStarted({ io, sourceServerId }: Replication): boolean {
  return io === 'No' && sourceServerId === 0;
}

function startAgain(host: Host, { sql }: Replication): Next {
  return step({ do: sql === 'No' ? 'start-replication' : 'start-io', host }, `${host} came back with it stopped`);
}

/** Has received (not yet applied) all that the other, closed host holds. GTIDs say so exactly; else its own log position. */
function hasEverything(active: Facts, passive: Facts): boolean {
  if (passive.binlog === null && passive.gtid === null) return false;
  return hasReceived(active, passive.binlog ?? { file: '', pos: 0 }, passive.gtid);
}

/** Applies all that was received, then opens (S4). The SQL thread starts before the I/O thread stops: the other order loses the relay log [F2]. */
function drainThenOpen(situation: Situation, active: Facts, why: string): Next {
  const { roles, progress, policy, force } = situation;
  const replication = active.replication;
  const waitless = waitsForNobody(situation, roles.active, active);
  if (waitless !== null) return waitless;
  if (replication === null) return open(situation, active, `${why}; nothing to drain`);
  const limit = policy.drainTimeoutSec ?? (force ? FORCED_WAIT_SEC : null);
  const obstacle = cannotDrain(situation, active, replication);
  if (obstacle !== null || (limit !== null && progress.drainingSec >= limit && !isApplied(active))) {
    const reason = obstacle ?? `not all was applied within ${force ? 'the time' : 'drain_timeout'} (${limit} s)`;
    if (limit === null) {
      return stuck(`${reason}; ${roles.active} stays closed, because drain_timeout is not set`);
    }
    // The operator's policy says to go on; the report says so too.
    if (progress.drainingSec >= limit || (force && obstacle !== null)) {
      return openStopped(situation, active, `${why}; SKIPPED: ${reason}`);
    }
    const outlook = `${reason}; ${roles.active} is opened without them after drain_timeout (${limit} s)`;
    return { kind: 'hold', outcome: 'held', why: outlook, draining: true, final: true };
  }
  if (replication.sql === 'No') return startSql(situation);
  if (replication.io !== 'No') {
    return step({ do: 'stop-io', host: roles.active }, `${why}; nothing more is to arrive from it`);
  }
  const silenced = acknowledgesNothing(situation, active);
  if (silenced !== null) return silenced;
  if (!isApplied(active)) return step({ do: 'await-applied', host: roles.active }, why);
  return open(situation, active, `${why}; all that was received is applied`, 'drained');
}

function cannotDrain(situation: Situation, active: Facts, replication: Replication): string | null {
  const { roles, progress } = situation;
  const before = progress.receivedBefore;
  if (before !== null && !hasReceived(active, before.received, before.receivedGtid)) {
    return `the relay log of ${roles.active} went back while it was drained`;
  }
  if (replication.sql === 'Yes' || isApplied(active)) return null;
  if (replication.sqlError.code !== 0) {
    return `the SQL thread of ${roles.active} stopped${inWords(replication.sqlError)} with transactions unapplied`;
  }
  if (replication.purgesOnStart && replication.io === 'No') {
    return `both replication threads of ${roles.active} are stopped with transactions unapplied, and starting them would throw those away`;
  }
  return null;
}

/** Makes sure that the host acknowledges no writes: accounts first, or their owners come back between two steps. */
function fence(situation: Situation, passive: Facts, why: string, endsWaits = false): Next {
  const { roles, accountsStuck } = situation;
  const host = roles.passive;
  if (opens(passive) && !accountsStuck.includes(host)) return step({ do: 'block', host }, why);
  return step({ do: 'close', host, ...(endsWaits ? { endsWaits } : {}) }, why);
}

/** What waits at the other host for an acknowledgement waits for ever, and keeps it from being closed [F18]. */
function acknowledgesNobody({ replication, semiSync }: Facts): boolean {
  return semiSync?.replicaOn !== true && (replication === null || replication.io === 'No');
}

/** It took writes last, so it lacks nothing that was acknowledged. */
function openAgain(situation: Situation, active: Facts): Next {
  const next = openIncumbent(situation, active);
  const { passive, guard } = situation;
  // What another server behind its address holds says nothing of what this one lost.
  const isMember = guard?.passiveStranger === null;
  if (isMember && guard.lossless !== null && passive.kind === 'answered' && !situation.force) {
    const { divergence } = guard.lossless;
    const recorded = divergence?.host === situation.roles.passive ? divergence : null;
    const lost = whyTailLost(active, passive.facts, recorded);
    // What it acknowledged is on the other host alone, which is to be the active then.
    if (lost !== null) return failed(`${situation.roles.passive} holds ${lost} that ${situation.roles.active} lost`);
  }
  // What the other one holds and this one lacks is counted before this one goes on without it [F21].
  if (guard === null || next.kind !== 'step' || next.step.do !== 'grant' || passive.kind !== 'answered') return next;
  return merge(next.step, next.why, leftBehind(active, passive.facts));
}

function openIncumbent(situation: Situation, active: Facts): Next {
  const { roles, guard } = situation;
  const why = `${roles.active} was the active already and came back read only`;
  const claim = claimed(situation, roles.active, active);
  if (claim !== null) return claim;
  // Under a decision of before, it is only opened anew; a new one asks for a host into which nothing flows.
  return guard === null || wasOpenedUnder(active.row, guard.epoch)
    ? open(situation, active, why)
    : openStopped(situation, active, why);
}

/** Without the rest of what it received, or where nothing can be lacking. */
function openStopped(situation: Situation, active: Facts, why: string): Next {
  const { guard, progress } = situation;
  const host = situation.roles.active;
  const { replication } = active;
  if (guard === null || replication === null) return open(situation, active, why);
  const waitless = waitsForNobody(situation, host, active);
  if (waitless !== null) return waitless;
  // What can be applied is applied first, within a time; whatever stops the applying does not stop the opening.
  const drains =
    !isApplied(active) &&
    progress.drainingSec < FORCED_WAIT_SEC &&
    cannotDrain(situation, active, replication) === null;
  if (drains && replication.sql === 'No') return startSql(situation);
  if (replication.io !== 'No') return step({ do: 'stop-io', host }, `${why}; nothing more is to arrive`);
  const silenced = acknowledgesNothing(situation, active);
  if (silenced !== null) return silenced;
  return drains ? step({ do: 'await-applied', host }, why) : open(situation, active, why);
}

function open(situation: Situation, active: Facts, why: string, demand: Opening['demand'] = 'io-stopped'): Next {
  const { roles, guard } = situation;
  if (guard !== null) {
    // Only who forces it gets so far with one that is not.
    const incomplete = active.readOnly ? whyNotComplete(situation, active) : null;
    const lossless = guard.lossless !== null;
    return step(
      { do: 'grant', host: roles.active, demand, startedSec: active.boot.startedSec, lossless },
      incomplete === null ? why : `${why}; SKIPPED: ${incomplete}`,
    );
  }
  const deadlineServerTime = active.serverTime + situation.openWithinSec;
  return step({ do: 'open', host: roles.active, deadlineServerTime, drained: demand === 'drained' }, why);
}

/**
 * On, its source side makes its own applier wait for an acknowledgement, for ever when the other host is dead [F12]: also in a pair that is async by
 * now. One that waits for a time only is an operator's there, and none of our business.
 */
function waitsForNobody({ guard }: Situation, host: Host, { semiSync }: Facts): Next | null {
  if (guard === null || semiSync?.source !== true) return null;
  if (guard.lossless === null && semiSync.wrong !== null) return null;
  return step({ do: 'source-off', host }, `${host} is closed, and what it applies must wait for nobody`);
}

/** A host that took the role, and reaches the other one before that was closed, must not tell it that its commits are safe [F5]. */
function acknowledgesNothing({ roles, guard }: Situation, { semiSync }: Facts): Next | null {
  if (guard === null || guard.lossless === null || semiSync?.replica !== true) return null;
  return step({ do: 'acknowledge', host: roles.active, on: false }, `${roles.active} is the active now`);
}

/** A drain stopped it, and then the other host came back with more: it is ours to start again. */
function stoppedByUs({ roles, ioStopped }: Situation, active: Facts): boolean {
  return active.replication?.io === 'No' && ioStopped.includes(roles.active);
}

/** Both threads, where this server restarted since: nobody else would start the other one. One that an error stopped waits for an operator. */
function resume({ roles }: Situation, { replication }: Facts): Next {
  const both = replication?.sql === 'No' && replication.sqlError.code === 0;
  const host = roles.active;
  return step({ do: both ? 'start-replication' : 'start-io', host }, `${roles.passive} is back and holds more`);
}

function startSql({ roles }: Situation): Next {
  return step({ do: 'start-sql', host: roles.active }, `the SQL thread of ${roles.active} is stopped`);
}

function opens(facts: Facts): boolean {
  return (facts.accounts?.open ?? 0) > 0;
}

function inWords(error: { code: number; text: string }): string {
  return error.code === 0 ? '' : ` (error ${error.code}: ${error.text})`;
}

function step(what: Step, why: string): Next {
  return { kind: 'step', step: what, why };
}

function merge(what: Step, why: string, rest: LeftBehind | null): Next {
  return { kind: 'step', step: what, why, ...(rest === null ? {} : { leftBehind: rest }) };
}

function hold(why: string): Next {
  return { kind: 'hold', outcome: 'held', why };
}

/** identify is to choose another one. */
function failed(why: string): Next {
  return { kind: 'hold', outcome: 'failed', why };
}

function stuck(why: string): Next {
  return { kind: 'hold', outcome: 'held', why, final: true };
}

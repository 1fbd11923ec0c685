// One round of `mmm agent` for one pair: compare what is wanted with what is on both servers, do the difference, read it back.
// Comes from ops/supervise.ts, woken by messages, at every interval, for every pair that src/agent-pairs.ts found;
// core/reconcile.ts says what to do next, mysql/server.ts does it. A message is never obeyed, it only wakes (L2).

import { doStep, type Orders } from './agent-hands.ts';
import { AgentLooks, type Look } from './agent-looks.ts';
import {
  isDraining,
  isFencing,
  isHealing,
  isOpen,
  isOpening,
  isRestless,
  noteClaim,
  noteLoss,
  noteNumber,
  noteWriter,
  OPENING_EVIDENCE_MS,
  ordersOf,
  situationOf,
  writerAfter,
} from './agent-situation.ts';
import { AgentTelling, isWaiting, type Mailer, newWork } from './agent-telling.ts';
import type { Board } from './core/decision.ts';
import { MmmError } from './core/errors.ts';
import { isClaimed, wasOpenedInThisLife } from './core/guard.ts';
import type { RunHook } from './core/hook.ts';
import { cameUpReadOnly, type HostRow, wasOpenedUnder } from './core/host-row.ts';
import type { Log } from './core/log.ts';
import type { Evidence, Facts } from './core/observation.ts';
import type { Host } from './core/pair.ts';
import { nextStep } from './core/reconcile.ts';
import type { Salvage } from './core/salvage.ts';
import type { Applied, Step } from './core/step.ts';
import { lifeOfNewMember, whyStranger } from './core/stranger.ts';
import type { Fence } from './mysql/fence.ts';
import type { Server } from './mysql/server.ts';
import type { Clock } from './ops/clock.ts';
import type { FoundPair, Store } from './store/store.ts';

/** How many steps one round does at most; a change needs about eight. */
const STEPS_PER_ROUND = 40;
/** Replication that stops again at once is started at most this often. */
const HEAL_GAP_MS = 10_000;
/** Accounts that could not be blocked or released, and a passive that did not take a claim, are left alone for this long, and the rest goes on. */
const STUCK_GAP_MS = 10_000;
/** So long an agent that told of a change that takes too long waits for identify to take it back, before it goes on. */
const GIVE_BACK_MS = 5_000;
/** A silent host that may wake up writable is asked again without a pause, but not for ever. */
const VIGIL_MS = 600_000;
const VIGIL_GAP_MS = 100;
/** What is refused only for this moment (a busy call, an EVENT that was just set going) is tried again soon. */
const SOON_MS = 200;
/** So often the connections for comparing calls are used while nothing is to be done. */
const WARM_MS = 10_000;
/** The operator's program has this long to make sure of a silent host. */
const HOOK_MS = 30_000;

export interface AgentParts {
  readonly uniqsign: string;
  readonly store: Store;
  /** The warm connection to a host; the same one for the same host. */
  readonly serverFor: (host: Host) => Server;
  readonly clock: Clock;
  readonly log: Log;
  readonly mailer: Mailer;
  /** This agent's name, as reports show it. */
  readonly name: string;
  readonly connectTimeoutMs: number;
  /** How often a step is tried within one round when the connection fails. */
  readonly tryOnFailure: number;
  /** Starts the next round early. */
  readonly wake: () => void;
  /** The comparing calls of a host, on a connection of this round's own: renewals go over another one. */
  readonly fenceFor: (host: Host) => Fence;
  readonly runHook: RunHook;
  /** A host was opened: under durability=lossless its first commits wait until the partner's loop has seen it. */
  readonly onOpened?: () => void;
  readonly salvage: Salvage;
}

/** Makes the pair's round. */
export function makeAgentRound(parts: AgentParts): (signal: AbortSignal) => Promise<{ nextMs?: number }> {
  const { uniqsign, store, clock } = parts;
  const healedAtMs = new Map<string, number>();
  const accountsStuckAtMs = new Map<Host, number>();
  const claimsStuckAtMs = new Map<Host, number>();
  /** What each row named last, for the day when its server is silent and the board goes back. */
  const rowNumbers = new Map<Host, number>();
  const installsStuckAtMs = new Map<Host, number>();
  const lately = (stuckAtMs: ReadonlyMap<Host, number>) =>
    [...stuckAtMs].flatMap(([host, atMs]) => (clock.monotonic() - atMs < STUCK_GAP_MS ? [host] : []));
  let work = newWork('');
  let warmAtMs = Number.NEGATIVE_INFINITY;
  let silentSinceMs: number | null = null;
  /** One time-out of the look that is under way, and some room. */
  const silenceTrustedMs = parts.connectTimeoutMs + OPENING_EVIDENCE_MS;
  const looks = new AgentLooks({ ...parts, silenceTrustedMs });
  const telling = new AgentTelling(parts);

  return async (signal) => {
    let found = await store.findPair(uniqsign);
    const roles = found?.board.roles ?? null;
    if (found === null || roles === null) return {};
    const key = keyOf(found.board);
    if (key !== work.key) work = newWork(key);
    const orders = ordersOf(found, roles);
    looks.wantRow = orders !== null;

    let [active, passive] = await Promise.all([looks.look(roles.active), looks.look(roles.passive)]);
    telling.conflict(roles.active, active.evidence);
    telling.conflict(roles.passive, passive.evidence);
    await telling.merged(found.board, roles, active.evidence, passive.evidence);
    /** The look at the passive after which the active was looked at again, to count what is left behind. */
    let counted: Look | null = null;
    for (let count = 0; count < STEPS_PER_ROUND && !signal.aborted; count++) {
      noteWriter(work, found.board, roles, active.evidence, passive.evidence, clock.monotonic());
      if (rowOf(passive.evidence) !== null) installsStuckAtMs.delete(roles.passive);
      if (orders !== null) {
        noteClaim(work, orders, active.evidence, clock.monotonic());
        for (const { host, evidence } of [active, passive]) noteNumber(rowNumbers, roles, host, evidence);
      }
      noteLoss(work, active.evidence, passive.evidence);
      const situation = await situationOf(parts, found, roles, work, active.evidence, passive.evidence, {
        orders,
        restarted: looks.restarted,
        ioStoppedHere: looks.ioStoppedHere,
        rejecting: looks.rejecting,
        accountsStuck: lately(accountsStuckAtMs),
        rowNumbers,
        claimsStuck: [...lately(claimsStuckAtMs), ...lately(installsStuckAtMs)],
      });
      const next = nextStep(situation);
      if (next.kind !== 'step') {
        if (next.kind === 'hold' && next.draining) work.drainSinceMs ??= clock.monotonic();
        await telling.conclude(found, roles, work, next);
        if (next.kind === 'settled') await rest(found.board, orders, active, passive);
        break;
      }
      const { step } = next;
      if (isOpening(step)) {
        // A host that came back while the other was drained must be seen now, not after the opening.
        const nowMs = clock.monotonic();
        const passiveIsOld = passive.evidence.kind !== 'answered' && nowMs - passive.atMs > silenceTrustedMs;
        const activeIsOld = nowMs - active.atMs > OPENING_EVIDENCE_MS;
        // The active last: the other one's time-out would make its evidence old again.
        if (passiveIsOld) passive = await looks.lookNow(roles.passive);
        if (passiveIsOld || activeIsOld) {
          active = await looks.lookNow(roles.active);
          continue;
        }
      }
      if (next.leftBehind !== undefined && counted !== passive) {
        // The passive may hold by now what the active committed since it was looked at: seen before the passive, that would count as left behind.
        counted = passive;
        active = await looks.lookNow(roles.active);
        continue;
      }
      if (isRestless(step) && isOpen(active.evidence)) {
        const lastMs = healedAtMs.get(`${step.do} ${step.host}`);
        if (lastMs !== undefined && clock.monotonic() - lastMs < HEAL_GAP_MS) {
          await telling.conclude(found, roles, work, { kind: 'settled' });
          await rest(found.board, orders, active, passive);
          break;
        }
        healedAtMs.set(`${step.do} ${step.host}`, clock.monotonic());
      }
      // Read right before acting: a decision that was replaced meanwhile changes nothing (S3).
      const present = await presentOr(found, isHalfGranted(orders, active.evidence));
      if (present === null || keyOf(present.board) !== key) return { nextMs: 0 };
      found = present;
      if (next.overdue !== undefined) {
        const nowMs = clock.monotonic();
        if (work.overdueToldMs === null) {
          work.overdueToldMs = nowMs;
          // What the last step complained of is what the operator asks for first.
          const why = [next.overdue, ...work.stuck.values()].join('; ');
          await telling.conclude(found, roles, work, { kind: 'hold', outcome: 'failed', why });
        }
        if (nowMs - work.overdueToldMs < GIVE_BACK_MS) return {};
      }
      if (
        next.leftBehind !== undefined &&
        !(await telling.divergence(found.board, roles, work, next.leftBehind, situation))
      ) {
        return { nextMs: 0 };
      }
      // Noted before it is done: whoever comes after a crash must not take the other one for the writer.
      const opened = writerAfter(step, situation);
      if (opened !== undefined && opened !== found.board.opened) {
        if (!(await store.putOpened(uniqsign, found.board.epoch, opened))) return { nextMs: 0 };
        found = { ...found, board: { ...found.board, opened } };
      }
      if (isFencing(step) && !isOpen(active.evidence)) work.withoutWriterSinceMs ??= clock.monotonic();

      const beganMs = clock.monotonic();
      if (step.do === 'hook' && orders !== null) {
        runHookBeside(found.policy.fenceHook, orders, step.host, signal);
        continue;
      }
      const applied = await act(found.board, orders, step, { active, passive });
      const tookMs = clock.monotonic() - beganMs;
      telling.step(work, next, applied, tookMs);
      if (step.do === 'start-replication' && applied.kind === 'done') looks.restarted.delete(step.host);
      if (step.do === 'clear-flag' && applied.kind === 'done') {
        found = { ...found, board: { ...found.board, unfenced: false } };
      }
      const both = tookMs > OPENING_EVIDENCE_MS;
      [active, passive] = await Promise.all([
        both || step.host === roles.active ? looks.look(roles.active) : active,
        both || step.host === roles.passive ? looks.look(roles.passive) : passive,
      ]);
      if (isOfAccounts(step)) {
        if (applied.kind === 'done') accountsStuckAtMs.delete(step.host);
        else accountsStuckAtMs.set(step.host, clock.monotonic());
        continue;
      }
      if ((step.do === 'claim' || step.do === 'install') && step.host === roles.passive) {
        const stuckAtMs = step.do === 'claim' ? claimsStuckAtMs : installsStuckAtMs;
        if (applied.kind === 'done') stuckAtMs.delete(step.host);
        else if (!isRefused(applied)) {
          stuckAtMs.set(step.host, clock.monotonic());
          // Its lease runs, and nobody renews it under the decision that it was claimed for.
          if (situation.incumbent || isOpen(active.evidence)) continue;
        }
      }
      // What is refused or unclear starts again from the top, at the next interval; a wait merely goes on.
      if (applied.kind !== 'done' && !isWaiting(step)) return isForNow(applied) ? { nextMs: SOON_MS } : {};
    }
    if (passive.evidence.kind !== 'silent') {
      silentSinceMs = null;
      return {};
    }
    silentSinceMs ??= clock.monotonic();
    return clock.monotonic() - silentSinceMs < VIGIL_MS ? { nextMs: VIGIL_GAP_MS } : {};
  };

  /** The board as it is now; where it is away or was emptied, and something was begun that must not be left so, as it was read last. */
  async function presentOr(known: FoundPair, isBegun: boolean): Promise<FoundPair | null> {
    try {
      const present = await store.findPair(uniqsign);
      const knowsNothing = present === null || (present.board.epoch === null && present.board.roles === null);
      return isBegun && knowsNothing ? known : present;
    } catch (error) {
      if (isBegun && error instanceof MmmError && error.code === 'store-down') return known;
      throw error;
    }
  }

  /** `board` was read after the hosts were looked at, unless it is away: what another agent noted of one before it changed it stands there. */
  async function act(
    board: Board,
    orders: Orders | null,
    step: Step,
    seen: { readonly active: Look; readonly passive: Look },
  ): Promise<Applied> {
    const current = work;
    const nowMs = clock.monotonic();
    const { evidence } = step.host === seen.passive.host ? seen.passive : seen.active;
    if (step.do === 'stop-io') {
      // Noted before it is done: whoever finds the thread stopped must know that it was not a backup.
      await store.putIoStopped(uniqsign, step.host, true);
      looks.ioStoppedHere.add(step.host);
      healedAtMs.delete(`start-io ${step.host}`);
      if (evidence.kind === 'answered') current.receivedBefore = evidence.facts.replication;
    }
    if (isDraining(step)) current.drainSinceMs ??= nowMs;
    if (step.do === 'close' && orders !== null && isOpen(evidence)) {
      const { row, boot } = evidence.facts;
      if (!wasOpenedInThisLife(row, boot)) await noteWritable(board, orders, step.host, evidence.facts);
    }
    let applied = await doStep(parts, orders, step, seen);
    for (let attempt = 1; isFailure(applied) && attempt < parts.tryOnFailure; attempt++) {
      const present = await store.findPair(uniqsign);
      if (present === null || keyOf(present.board) !== current.key) return applied;
      applied = await doStep(parts, orders, step, seen);
    }
    if (applied.kind !== 'done') return applied;
    if (isOpening(step)) {
      parts.onOpened?.();
      current.opened ||= evidence.kind === 'answered' && evidence.facts.readOnly;
      const sinceMs = current.withoutWriterSinceMs;
      current.noWriterMs = sinceMs === null ? null : clock.monotonic() - sinceMs;
      if (orders !== null && evidence.kind === 'answered') await noteLife(board, orders, evidence.facts);
    }
    if (isHealing(step)) {
      current.receivedBefore = null;
      current.drainSinceMs = null;
      await store.putIoStopped(uniqsign, step.host, false);
    }
    return applied;
  }

  /** The active is open, and what is still to be done can wait. */
  async function rest(board: Board, orders: Orders | null, active: Look, passive: Look): Promise<void> {
    if (orders === null) return;
    await telling.announce(board, orders.roles, active.evidence);
    await noteMember(board, orders, passive.evidence);
    await keepWarm(active, passive);
  }

  /** Of a host that was read only before anybody opened it in this life, it is known that it comes up so [F19]. */
  async function noteLife(
    { lives }: Board,
    { epoch, roles, lease }: Orders,
    { boot, readOnly, row }: Facts,
  ): Promise<void> {
    const known = lives.get(roles.active);
    // Later it may be read only because we closed it.
    const sameLife = known?.uuid === boot.uuid && known.startedSec === boot.startedSec;
    const isKnown = sameLife ? known.cameUpReadOnly : readOnly && row !== null && cameUpReadOnly(row, boot.startedSec);
    await store.putLife(uniqsign, epoch, roles.active, { ...boot, cameUpReadOnly: isKnown, armed: lease === 'finite' });
  }

  /** Its my.cnf lets it start writable, or somebody opened it: once we have closed it, nobody could tell. */
  async function noteWritable({ lives }: Board, { epoch }: Orders, host: Host, { boot }: Facts): Promise<void> {
    // It is closed as anybody else, and stays a stranger.
    if (whyStranger(host, boot, lives.get(host)) !== null) return;
    await store.putLife(uniqsign, epoch, host, { ...boot, cameUpReadOnly: false, armed: false });
  }

  /** A host with too many connections still answers on those that are open before they are needed. */
  async function keepWarm(...seen: readonly Look[]): Promise<void> {
    if (clock.monotonic() - warmAtMs < WARM_MS) return;
    warmAtMs = clock.monotonic();
    const answering = seen.flatMap(({ host, evidence }) => (evidence.kind === 'answered' ? [host] : []));
    await Promise.all(answering.map((host) => parts.fenceFor(host).look()));
  }

  /** So that another server behind its address is seen as such, also when this one was never opened. */
  async function noteMember({ lives }: Board, { epoch, roles }: Orders, passive: Evidence): Promise<void> {
    if (passive.kind !== 'answered' || passive.facts.boot.uuid === '' || lives.has(roles.passive)) return;
    await store.putLife(uniqsign, epoch, roles.passive, lifeOfNewMember(passive.facts.boot));
  }

  /** It may take long, and the lease's wait goes on meanwhile. */
  function runHookBeside(program: string | null, { epoch }: Orders, host: Host, signal: AbortSignal): void {
    const current = work;
    if (program === null) return;
    current.hook = 'running';
    parts.log.warn(`runs the fence hook ${program} for the silent ${host}`, { event: 'hook', host });
    const order = { program, host, uniqsign, epoch, withinMs: HOOK_MS };
    void parts.runHook(order, signal).then(({ succeeded, why }) => {
      current.hook = succeeded ? 'succeeded' : 'failed';
      parts.log[succeeded ? 'info' : 'error'](
        `the fence hook for ${host} ${succeeded ? 'succeeded' : 'failed'}: ${why}`,
        {
          event: 'hook',
          host,
        },
      );
      parts.wake();
    });
  }
}

/**
 * The active was claimed for a decision that keeps it, and not granted: nobody renews its lease until that is done. The calls compare all the
 * same, and the passive's row is the witness.
 */
function isHalfGranted(orders: Orders | null, active: Evidence): boolean {
  if (orders === null || active.kind !== 'answered' || active.facts.readOnly) return false;
  const { row } = active.facts;
  return isClaimed(row, orders.epoch) && !wasOpenedUnder(row, orders.epoch);
}

/** A decision by its epoch; one of a Perl identify, which has none, by its roles. */
function keyOf({ epoch, roles }: Board): string {
  return JSON.stringify([epoch?.number ?? null, epoch?.id ?? null, roles?.active ?? null, roles?.passive ?? null]);
}

const FOR_NOW: ReadonlySet<string | undefined> = new Set([
  'busy',
  'unarmed',
  'unapplied',
  'io-runs',
  'late',
  'unclaimed',
  'rebooted',
  'lease-out',
]);

function isForNow(applied: Applied): boolean {
  return applied.kind === 'not-done' && FOR_NOW.has(applied.code);
}

function rowOf(evidence: Evidence): HostRow | null {
  return evidence.kind === 'answered' ? evidence.facts.row : null;
}

function isRefused(applied: Applied): boolean {
  return applied.kind === 'not-done' && applied.code === 'refused';
}

function isOfAccounts(step: Step): boolean {
  return step.do === 'block' || step.do === 'release';
}

/** The connection failed, not the step. */
function isFailure(applied: Applied): boolean {
  return applied.kind !== 'done' && applied.kind !== 'not-done';
}

// One round of `mmm agent` for one pair: compare what is wanted with what is on both servers, do the difference, read it back.
// Comes from ops/supervise.ts, woken by messages, at every interval, for every pair that src/agent-pairs.ts found;
// core/reconcile.ts says what to do next, mysql/server.ts does it. A message is never obeyed, it only wakes (L2).

import { AgentLooks, type Look } from './agent-looks.ts';
import { AgentTelling, isWaiting, type Mailer, newWork, type Work } from './agent-telling.ts';
import { FRESH_MS } from './core/death.ts';
import type { Board } from './core/decision.ts';
import type { RunHook } from './core/hook.ts';
import type { Log } from './core/log.ts';
import type { Evidence, Facts } from './core/observation.ts';
import { isAlive } from './core/observation.ts';
import type { Host, Roles } from './core/pair.ts';
import { nextStep, type Situation } from './core/reconcile.ts';
import type { Applied, Step } from './core/step.ts';
import type { Fence } from './mysql/fence.ts';
import type { Server } from './mysql/server.ts';
import type { Clock } from './ops/clock.ts';
import type { FoundPair, Store } from './store/store.ts';

/** How many steps one round does at most; a change needs about eight. */
const STEPS_PER_ROUND = 40;
/** Evidence older than this is looked at again before a host is opened. */
const OPENING_EVIDENCE_MS = 1_000;
/** Replication that stops again at once is started at most this often. */
const HEAL_GAP_MS = 10_000;
/** Accounts that could not be blocked or released are left alone for this long, and the rest goes on. */
const ACCOUNTS_GAP_MS = 10_000;
/** So long an agent that told of a change that takes too long waits for identify to take it back, before it goes on. */
const GIVE_BACK_MS = 5_000;
/** A silent host that may wake up writable is asked again without a pause, but not for ever. */
const VIGIL_MS = 600_000;
const VIGIL_GAP_MS = 100;

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
}

/** Makes the pair's round. */
export function makeAgentRound(parts: AgentParts): (signal: AbortSignal) => Promise<{ nextMs?: number }> {
  const { uniqsign, store, clock } = parts;
  const healedAtMs = new Map<string, number>();
  const accountsStuckAtMs = new Map<Host, number>();
  let work = newWork('');
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

    let [active, passive] = await Promise.all([looks.look(roles.active), looks.look(roles.passive)]);
    telling.conflict(roles.active, active.evidence);
    telling.conflict(roles.passive, passive.evidence);
    await telling.merged(found.board, roles, active.evidence, passive.evidence);
    for (let count = 0; count < STEPS_PER_ROUND && !signal.aborted; count++) {
      noteWriter(work, found.board, roles, active.evidence, passive.evidence, clock.monotonic());
      const situation = await situationOf(parts, found, roles, work, active.evidence, passive.evidence, {
        restarted: looks.restarted,
        ioStoppedHere: looks.ioStoppedHere,
        accountsStuck: [...accountsStuckAtMs].flatMap(([host, atMs]) =>
          clock.monotonic() - atMs < ACCOUNTS_GAP_MS ? [host] : [],
        ),
      });
      const next = nextStep(situation);
      if (next.kind !== 'step') {
        if (next.kind === 'hold' && next.draining) work.drainSinceMs ??= clock.monotonic();
        await telling.conclude(found, roles, work, next);
        break;
      }
      const { step } = next;
      if (step.do === 'open') {
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
      if (isHealing(step) && isOpen(active.evidence)) {
        const lastMs = healedAtMs.get(`${step.do} ${step.host}`);
        if (lastMs !== undefined && clock.monotonic() - lastMs < HEAL_GAP_MS) {
          await telling.conclude(found, roles, work, { kind: 'settled' });
          break;
        }
        healedAtMs.set(`${step.do} ${step.host}`, clock.monotonic());
      }
      // Read right before acting: a decision that was replaced meanwhile changes nothing (S3).
      const present = await store.findPair(uniqsign);
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
      if (next.leftBehind !== undefined && !(await telling.divergence(found.board, roles, work, next.leftBehind))) {
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
      const applied = await doStep(parts, work, step, step.host === roles.active ? active : passive);
      const tookMs = clock.monotonic() - beganMs;
      telling.step(work, next, applied, tookMs);
      if (step.do === 'start-replication' && applied.kind === 'done') looks.restarted.delete(step.host);
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
      // What is refused or unclear starts again from the top, at the next interval; a wait merely goes on.
      if (applied.kind !== 'done' && !isWaiting(step)) return {};
    }
    if (passive.evidence.kind !== 'silent') {
      silentSinceMs = null;
      return {};
    }
    silentSinceMs ??= clock.monotonic();
    return clock.monotonic() - silentSinceMs < VIGIL_MS ? { nextMs: VIGIL_GAP_MS } : {};
  };

  async function doStep(
    { serverFor, tryOnFailure }: AgentParts,
    current: Work,
    step: Step,
    seen: Look,
  ): Promise<Applied> {
    const nowMs = clock.monotonic();
    if (step.do === 'stop-io') {
      // Noted before it is done: whoever finds the thread stopped must know that it was not a backup.
      await store.putIoStopped(uniqsign, step.host, true);
      looks.ioStoppedHere.add(step.host);
      healedAtMs.delete(`start-io ${step.host}`);
      if (seen.evidence.kind === 'answered') current.receivedBefore = seen.evidence.facts.replication;
    }
    if (step.do === 'stop-io' || step.do === 'await-applied') current.drainSinceMs ??= nowMs;
    let applied = await serverFor(step.host).apply(step);
    for (let attempt = 1; isFailure(applied) && attempt < tryOnFailure; attempt++) {
      const present = await store.findPair(uniqsign);
      if (present === null || keyOf(present.board) !== current.key) return applied;
      applied = await serverFor(step.host).apply(step);
    }
    if (applied.kind !== 'done') return applied;
    if (step.do === 'open') {
      current.opened = true;
      const sinceMs = current.withoutWriterSinceMs;
      current.noWriterMs = sinceMs === null ? null : clock.monotonic() - sinceMs;
    }
    if (isHealing(step)) {
      current.receivedBefore = null;
      current.drainSinceMs = null;
      await store.putIoStopped(uniqsign, step.host, false);
    }
    return applied;
  }
}

/** What is remembered of the hosts, whatever is decided. */
interface Remembered {
  readonly restarted: ReadonlySet<Host>;
  readonly ioStoppedHere: ReadonlySet<Host>;
  readonly accountsStuck: readonly Host[];
}

/** Who was seen to take writes under this decision, and since when nobody does. */
function noteWriter(work: Work, board: Board, roles: Roles, active: Evidence, passive: Evidence, nowMs: number): void {
  if (isOpen(active)) {
    work.wasOpen = true;
    work.withoutWriterSinceMs = null;
  } else if (isOpen(passive)) {
    // Somebody opened it by hand: it holds what the active lacks.
    work.wasOpen = false;
  } else if (passive.kind === 'answered' && board.opened === roles.passive) {
    work.withoutWriterSinceMs ??= nowMs;
  }
}

/** Who counts as the last writer once this step is begun; undefined: that stays as it is. */
function writerAfter(step: Step, { roles, active, passive, incumbent }: Situation): Host | null | undefined {
  if (step.do === 'open') return incumbent ? undefined : null;
  return isFencing(step) && isOpen(passive) && !isOpen(active) ? roles.passive : undefined;
}

async function situationOf(
  { uniqsign, store, clock, connectTimeoutMs }: AgentParts,
  { board, policy }: FoundPair,
  roles: Roles,
  work: Work,
  active: Evidence,
  passive: Evidence,
  { restarted, ioStoppedHere, accountsStuck }: Remembered,
): Promise<Situation> {
  const nowMs = clock.monotonic();
  const seconds = (sinceMs: number | null) => (sinceMs === null ? 0 : Math.max((nowMs - sinceMs) / 1000, 0.001));
  const stopped = ioOf(active) === 'No' || ioOf(passive) === 'No';
  return {
    roles,
    active,
    passive,
    incumbent: work.wasOpen || board.opened === roles.active,
    passiveWroteLast: board.opened === roles.passive,
    passiveGone: !isAlive(passive) && (await isGone(store, uniqsign, roles.passive, clock.wall())),
    ioStopped: stopped ? [...(await store.ioStopped(uniqsign, [roles.active, roles.passive])), ...ioStoppedHere] : [],
    accountsStuck,
    passiveRestarted: restarted.has(roles.passive),
    policy,
    force: board.terms.force,
    tooLate: board.terms.backAtMs !== null && clock.wall() >= board.terms.backAtMs,
    progress: {
      receivedBefore: work.receivedBefore,
      drainingSec: seconds(work.drainSinceMs),
      withoutWriterSec: seconds(work.withoutWriterSinceMs),
    },
    openWithinSec: (2 * connectTimeoutMs + OPENING_EVIDENCE_MS) / 1000,
    guard: null,
  };
}

/** The monitors call the host unreachable, and lately: only then may it be passed over unfenced. */
async function isGone(store: Store, uniqsign: string, host: Host, nowMs: number): Promise<boolean> {
  const [observation] = await store.observations(uniqsign, [host]);
  if (!observation) return false;
  return !isAlive(observation.evidence) && Math.abs(nowMs - observation.atMs) <= FRESH_MS;
}

function ioOf(evidence: Evidence): string | undefined {
  return evidence.kind === 'answered' ? evidence.facts.replication?.io : undefined;
}

function isOpen(evidence: Evidence): evidence is { kind: 'answered'; facts: Facts } {
  return evidence.kind === 'answered' && !evidence.facts.readOnly;
}

/** A decision by its epoch; one of a Perl identify, which has none, by its roles. */
function keyOf({ epoch, roles }: Board): string {
  return JSON.stringify([epoch?.number ?? null, epoch?.id ?? null, roles?.active ?? null, roles?.passive ?? null]);
}

function isHealing(step: Step): boolean {
  return step.do === 'start-io' || step.do === 'start-replication';
}

/** Keeps clients from writing. */
function isFencing(step: Step): boolean {
  return step.do === 'block' || step.do === 'close';
}

function isOfAccounts(step: Step): boolean {
  return step.do === 'block' || step.do === 'release';
}

/** The connection failed, not the step. */
function isFailure(applied: Applied): boolean {
  return applied.kind !== 'done' && applied.kind !== 'not-done';
}

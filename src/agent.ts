// One round of `mmm agent` for one pair: compare what is wanted with what is on both servers, do the difference, read it back.
// Comes from ops/supervise.ts, woken by messages, at every interval, for every pair that src/agent-pairs.ts found;
// core/reconcile.ts says what to do next, mysql/server.ts does it. A message is never obeyed, it only wakes (L2).

import { describeConflict } from './core/conflict.ts';
import { FRESH_MS } from './core/death.ts';
import type { Board, Report } from './core/decision.ts';
import { type Divergence, describeDivergence, isMerged, type LeftBehind } from './core/divergence.ts';
import type { Log } from './core/log.ts';
import type { Evidence, Facts } from './core/observation.ts';
import { isAlive } from './core/observation.ts';
import type { Host, Roles } from './core/pair.ts';
import { type Next, nextStep, type Progress, type Situation } from './core/reconcile.ts';
import type { Applied, Step } from './core/step.ts';
import type { Server } from './mysql/server.ts';
import type { Clock } from './ops/clock.ts';
import type { FoundPair, Store } from './store/store.ts';
import { encodeMessage } from './store/wire.ts';

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
/** Clauses kept of what was done under one decision; a pair that is healed again and again must not fill the memory. */
const DONE_KEPT = 50;
/** A silent host that may wake up writable is asked again without a pause, but not for ever. */
const VIGIL_MS = 600_000;
const VIGIL_GAP_MS = 100;
/** Somebody is told by mail that nothing can be done once that has lasted this long; every failover holds for a moment. */
const HELD_MAIL_MS = 10_000;

export interface Mailer {
  /** Queues a mail; never waits and never throws. */
  send(subject: string, body: string): void;
}

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
}

/** What is known of one host at one time. */
interface Look {
  readonly evidence: Evidence;
  /** When the probe ended, by the monotonic clock. */
  readonly atMs: number;
}

/** What is remembered of one decision while it is carried out. */
interface Work {
  /** Names the decision; another one starts from nothing. */
  readonly key: string;
  receivedBefore: Progress['receivedBefore'];
  drainSinceMs: number | null;
  /** Since when this change keeps clients from writing, or found that nobody may. */
  withoutWriterSinceMs: number | null;
  /** How long that was, in the end; null when clients were not kept from writing by this agent. */
  noWriterMs: number | null;
  /** When it was told that it takes too long. */
  overdueToldMs: number | null;
  /** The active was seen open under this decision. */
  wasOpen: boolean;
  /** This agent opened it, so it is the one that mails. */
  opened: boolean;
  /** Clauses of what was done, for report and mail. */
  readonly done: string[];
  /** Since when nothing could be done. */
  heldSinceMs: number | null;
  /** The last thing that was said about holding. */
  said: string;
  mailed: string;
}

/** Makes the pair's round. */
export function makeAgentRound(parts: AgentParts): (signal: AbortSignal) => Promise<{ nextMs?: number }> {
  const { uniqsign, store, clock, log } = parts;
  const boots = new Map<Host, string>();
  const restarted = new Set<Host>();
  const healedAtMs = new Map<string, number>();
  const accountsStuckAtMs = new Map<Host, number>();
  /** The last conflict that was told of each host: a thread that is started again stops at the same one. */
  const conflictTold = new Map<Host, string>();
  /** Whose I/O thread this agent stopped and has not seen running since: the board that says so may be emptied. */
  const ioStoppedHere = new Set<Host>();
  let work = newWork('');
  const looks = new Map<Host, Look>();
  const looking = new Map<Host, Promise<Look>>();
  let silentSinceMs: number | null = null;
  /** One time-out of the look that is under way, and some room. */
  const silenceTrustedMs = parts.connectTimeoutMs + OPENING_EVIDENCE_MS;

  /**
   * Looks at a host. One that was silent just now is asked again, but not waited for: a decision must not wait for a frozen
   * host's next time-out. When that one answers at last, the next round comes at once.
   */
  function look(host: Host): Promise<Look> {
    const known = looks.get(host);
    const fresh = lookNow(host);
    if (known?.evidence.kind !== 'silent') return fresh;
    if (clock.monotonic() - known.atMs > silenceTrustedMs) return fresh;
    return Promise.resolve(known);
  }

  function lookNow(host: Host): Promise<Look> {
    const under = looking.get(host);
    if (under !== undefined) return under;
    const begun = probe(host).finally(() => looking.delete(host));
    looking.set(host, begun);
    return begun;
  }

  async function probe(host: Host): Promise<Look> {
    const evidence = await parts.serverFor(host).probe();
    if (evidence.kind === 'answered') {
      const { uuid, startedSec } = evidence.facts.boot;
      const boot = `${uuid}/${startedSec}`;
      const known = boots.get(host);
      if (known !== undefined && known !== boot) restarted.add(host);
      boots.set(host, boot);
      const { replication } = evidence.facts;
      // It started by itself; when it is stopped later, somebody wanted that.
      if (replication?.io !== 'No' || replication.sql !== 'No') restarted.delete(host);
      if (replication?.io !== 'No') ioStoppedHere.delete(host);
    }
    const seen = { evidence, atMs: clock.monotonic() };
    if (looks.get(host)?.evidence.kind === 'silent' && evidence.kind !== 'silent') parts.wake();
    looks.set(host, seen);
    return seen;
  }

  return async (signal) => {
    let found = await store.findPair(uniqsign);
    const roles = found?.board.roles ?? null;
    if (found === null || roles === null) return {};
    const key = keyOf(found.board);
    if (key !== work.key) work = newWork(key);

    let [active, passive] = await Promise.all([look(roles.active), look(roles.passive)]);
    tellConflict(roles.active, active.evidence);
    tellConflict(roles.passive, passive.evidence);
    await tellMerged(found.board, roles, active.evidence, passive.evidence);
    for (let count = 0; count < STEPS_PER_ROUND && !signal.aborted; count++) {
      noteWriter(work, found.board, roles, active.evidence, passive.evidence, clock.monotonic());
      const situation = await situationOf(parts, found, roles, work, active.evidence, passive.evidence, {
        restarted,
        ioStoppedHere,
        accountsStuck: [...accountsStuckAtMs].flatMap(([host, atMs]) =>
          clock.monotonic() - atMs < ACCOUNTS_GAP_MS ? [host] : [],
        ),
      });
      const next = nextStep(situation);
      if (next.kind !== 'step') {
        if (next.kind === 'hold' && next.draining) work.drainSinceMs ??= clock.monotonic();
        await conclude(parts, found, roles, work, next);
        break;
      }
      const { step } = next;
      if (step.do === 'open') {
        // A host that came back while the other was drained must be seen now, not after the opening.
        const nowMs = clock.monotonic();
        const passiveIsOld = passive.evidence.kind !== 'answered' && nowMs - passive.atMs > silenceTrustedMs;
        const activeIsOld = nowMs - active.atMs > OPENING_EVIDENCE_MS;
        // The active last: the other one's time-out would make its evidence old again.
        if (passiveIsOld) passive = await lookNow(roles.passive);
        if (passiveIsOld || activeIsOld) {
          active = await lookNow(roles.active);
          continue;
        }
      }
      if (isHealing(step) && isOpen(active.evidence)) {
        const lastMs = healedAtMs.get(`${step.do} ${step.host}`);
        if (lastMs !== undefined && clock.monotonic() - lastMs < HEAL_GAP_MS) {
          await conclude(parts, found, roles, work, { kind: 'settled' });
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
          const why = work.said === '' ? next.overdue : `${next.overdue}; ${work.said}`;
          await conclude(parts, found, roles, work, { kind: 'hold', outcome: 'failed', why });
        }
        if (nowMs - work.overdueToldMs < GIVE_BACK_MS) return {};
      }
      if (next.leftBehind !== undefined && !(await tellDivergence(parts, found.board, roles, work, next.leftBehind))) {
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
      tell(parts, work, next, applied, tookMs);
      if (step.do === 'start-replication' && applied.kind === 'done') restarted.delete(step.host);
      const both = tookMs > OPENING_EVIDENCE_MS;
      [active, passive] = await Promise.all([
        both || step.host === roles.active ? look(roles.active) : active,
        both || step.host === roles.passive ? look(roles.passive) : passive,
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

  /** Says how it ended: a report for identify and status, a line on change, a mail for whoever has to know. */
  async function conclude(
    { name, mailer }: AgentParts,
    found: FoundPair,
    roles: Roles,
    current: Work,
    next: Exclude<Next, { kind: 'step' }>,
  ): Promise<void> {
    const outcome = next.kind === 'settled' ? 'opened' : next.outcome;
    const why = next.kind === 'settled' ? current.done.join('; ') || 'found as wanted' : next.why;
    if (outcome !== 'opened' && current.said !== why) {
      current.said = why;
      log.warn(`${outcome === 'failed' ? 'change failed' : 'nothing is changed'}: ${why}`, {
        event: outcome,
        host: roles.active,
      });
    }
    if (outcome === 'opened' && current.said !== '') {
      current.said = '';
      log.info(`${roles.active} is the active as wanted; the trouble is over`, {
        event: 'settled',
        host: roles.active,
      });
    }
    const { board } = found;
    const known = isAnswered(board, outcome, roles.active, why);
    if (board.epoch !== null && (!known || (outcome === 'opened' && board.opened !== roles.active))) {
      const report: Report = {
        epoch: board.epoch,
        outcome,
        host: roles.active,
        why,
        atMs: clock.wall(),
        agent: name,
        noWriterMs: outcome === 'opened' ? current.noWriterMs : null,
      };
      await store.putReport(uniqsign, report);
    }
    current.heldSinceMs = outcome === 'opened' ? null : (current.heldSinceMs ?? clock.monotonic());
    const heldMs = current.heldSinceMs === null ? 0 : clock.monotonic() - current.heldSinceMs;
    const worthAMail = outcome === 'opened' ? current.opened : outcome === 'failed' || heldMs >= HELD_MAIL_MS;
    if (worthAMail && current.mailed !== outcome) {
      current.mailed = outcome;
      // The message first, as the Perl agent mails it; then what became of it.
      mailer.send('mmm-manager change', `${encodeMessage({ roles, uniqsign })}\n\n${outcome}: ${why}\n`);
    }
  }

  /** Before it flows to the active, for then nobody could count it any more. False: the decision was replaced meanwhile. */
  async function tellDivergence(
    { mailer }: AgentParts,
    { epoch, divergence: known }: Board,
    { passive }: Roles,
    current: Work,
    rest: LeftBehind,
  ): Promise<boolean> {
    // The step is tried again, or the role moved on while it stands on the board.
    if (known?.host === passive && known.count === rest.count && known.gtids === rest.gtids) return true;
    const by = epoch === null ? null : { number: epoch.number, id: epoch.id };
    const divergence: Divergence = { ...rest, host: passive, epoch: by, foundAtMs: clock.wall() };
    if (!(await store.putDivergence(uniqsign, epoch, divergence))) return false;
    const line = `${describeDivergence(divergence)}; it comes over now that replication runs again, unless a conflict stops it`;
    log.warn(line, { event: 'divergence', host: passive, ...(rest.count === null ? {} : { count: rest.count }) });
    current.done.push(line);
    // With the mail of the change if that is still to come, else by itself.
    if (!current.opened || current.mailed !== '') mailer.send('mmm-manager divergence', `${line}\n`);
    return true;
  }

  async function tellMerged({ divergence }: Board, roles: Roles, active: Evidence, passive: Evidence): Promise<void> {
    if (divergence === null || !isMerged(divergence, roles, active, passive)) return;
    if (!(await store.endDivergence(uniqsign, divergence))) return;
    log.info(`${roles.active} holds by now what had stayed on ${divergence.host}`, {
      event: 'merged',
      host: divergence.host,
    });
  }

  function tellConflict(host: Host, evidence: Evidence): void {
    const line = describeConflict(host, evidence);
    if (line === null || conflictTold.get(host) === line) return;
    conflictTold.set(host, line);
    log.error(line, { event: 'conflict', host });
    parts.mailer.send('mmm-manager conflict', `${line}\n`);
  }

  function tell(
    { name }: AgentParts,
    current: Work,
    next: Next & { kind: 'step' },
    applied: Applied,
    tookMs: number,
  ): void {
    const { step, why } = next;
    const ms = Math.round(tookMs);
    const fields = { host: step.host, step: step.do, ms, agent: name };
    if (applied.kind === 'done') {
      const clause = `${step.host}: ${applied.did} (${ms} ms)`;
      // Why it was opened tells what was left behind.
      current.done.push(step.do === 'open' ? `${clause}, because ${why}` : clause);
      if (current.done.length > DONE_KEPT) current.done.shift();
      log.info(`${clause}, because ${why}`, { event: eventOf(step), ...fields });
      return;
    }
    const reason = applied.kind === 'not-done' ? applied.why : `${applied.code}: ${applied.message}`;
    const line = `${step.host}: could not ${step.do}: ${reason}`;
    if (isWaiting(step)) {
      log.debug(line, fields);
    } else if (current.said !== line) {
      current.said = line;
      log.warn(`${line}; it is tried again`, { event: 'not-done', ...fields });
    }
  }

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
      ioStoppedHere.add(step.host);
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

function newWork(key: string): Work {
  return {
    key,
    receivedBefore: null,
    drainSinceMs: null,
    withoutWriterSinceMs: null,
    noWriterMs: null,
    overdueToldMs: null,
    wasOpen: false,
    opened: false,
    done: [],
    heldSinceMs: null,
    said: '',
    mailed: '',
  };
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

function isAnswered({ epoch, report }: Board, outcome: Report['outcome'], host: Host, why: string): boolean {
  if (report === null || report.epoch.number !== epoch?.number || report.epoch.id !== epoch.id) return false;
  return report.outcome === outcome && report.host === host && (outcome === 'opened' || report.why === why);
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

function isWaiting(step: Step): boolean {
  return step.do === 'await-applied' || step.do === 'await-received';
}

/** What the timeline of a failover calls it. */
function eventOf(step: Step): string {
  switch (step.do) {
    case 'block':
      return 'blocked';
    case 'release':
      return 'released';
    case 'close':
      return 'fenced';
    case 'start-sql':
    case 'stop-io':
      return 'draining';
    case 'await-received':
      return 'received';
    case 'await-applied':
      return 'drained';
    case 'open':
      return 'opened';
    case 'start-io':
    case 'start-replication':
      return 'healed';
    default:
      return step satisfies never;
  }
}

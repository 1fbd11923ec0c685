// What the agent says of its work: log lines on change, reports for identify and status, mails for whoever has to know.
// Comes from src/agent.ts, which decides nothing here and does nothing to a server; goes on to the log, the board and ops/mail.ts.

import { describeConflict } from './core/conflict.ts';
import { answerOf, type Board, type Report } from './core/decision.ts';
import { type Divergence, describeDivergence, isMerged, type LeftBehind } from './core/divergence.ts';
import { messageOf } from './core/errors.ts';
import { wasOpenedUnder } from './core/host-row.ts';
import type { Log } from './core/log.ts';
import type { Evidence } from './core/observation.ts';
import type { Host, Roles } from './core/pair.ts';
import type { Next, Progress } from './core/reconcile.ts';
import { describeSalvage, type Salvage, salvageOrder } from './core/salvage.ts';
import type { Applied, Step } from './core/step.ts';
import type { Clock } from './ops/clock.ts';
import type { FoundPair, Store } from './store/store.ts';
import { encodeMessage } from './store/wire-message.ts';

/** Clauses kept of what was done under one decision; a pair that is healed again and again must not fill the memory. */
const DONE_KEPT = 50;
/** Somebody is told by mail that nothing can be done once that has lasted this long; every failover holds for a moment. */
const HELD_MAIL_MS = 10_000;

export interface Mailer {
  /** Queues a mail; never waits and never throws. */
  send(subject: string, body: string): void;
}

/** What is remembered of one decision while it is carried out. */
export interface Work {
  /** Names the decision; another one starts from nothing. */
  readonly key: string;
  receivedBefore: Progress['receivedBefore'];
  drainSinceMs: number | null;
  /** When this agent first saw the decision stand in the row of the host that is to be opened, and in which boot of that host. */
  claimed: { readonly atMs: number; readonly startedSec: number } | null;
  /** The I/O thread of that host was seen without its connection to the other one, which does not answer. */
  ioLost: boolean;
  /** What came of the operator's fence hook; null: it was not run. */
  hook: 'running' | 'succeeded' | 'failed' | null;
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
  /** What each step that cannot be done complained of last, by step and host. */
  readonly stuck: Map<string, string>;
  mailed: string;
}

export function newWork(key: string): Work {
  return {
    key,
    receivedBefore: null,
    drainSinceMs: null,
    claimed: null,
    ioLost: false,
    hook: null,
    withoutWriterSinceMs: null,
    noWriterMs: null,
    overdueToldMs: null,
    wasOpen: false,
    opened: false,
    done: [],
    heldSinceMs: null,
    said: '',
    stuck: new Map(),
    mailed: '',
  };
}

export interface AgentTellingParts {
  readonly uniqsign: string;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly mailer: Mailer;
  /** This agent's name, as reports show it. */
  readonly name: string;
  readonly salvage: Salvage;
}

export class AgentTelling {
  readonly #parts: AgentTellingParts;
  /** The last conflict that was told of each host: a thread that is started again stops at the same one. */
  readonly #conflicts = new Map<Host, string>();

  constructor(parts: AgentTellingParts) {
    this.#parts = parts;
  }

  /** How it ended: a report for identify and status, a line on change, a mail for whoever has to know. */
  async conclude(found: FoundPair, roles: Roles, work: Work, next: Exclude<Next, { kind: 'step' }>): Promise<void> {
    const { clock, log } = this.#parts;
    const outcome = next.kind === 'settled' ? 'opened' : next.outcome;
    const why = next.kind === 'settled' ? work.done.join('; ') || 'found as wanted' : next.why;
    if (outcome !== 'opened' && work.said !== why) {
      work.said = why;
      log.warn(`${outcome === 'failed' ? 'change failed' : 'nothing is changed'}: ${why}`, {
        event: outcome,
        host: roles.active,
      });
    }
    if (outcome === 'opened' && work.said !== '') {
      work.said = '';
      log.info(`${roles.active} is the active as wanted; the trouble is over`, {
        event: 'settled',
        host: roles.active,
      });
    }
    await this.#report(found.board, roles, work, outcome, why);
    work.heldSinceMs = outcome === 'opened' ? null : (work.heldSinceMs ?? clock.monotonic());
    const heldMs = work.heldSinceMs === null ? 0 : clock.monotonic() - work.heldSinceMs;
    const worthAMail = outcome === 'opened' ? work.opened : outcome === 'failed' || heldMs >= HELD_MAIL_MS;
    if (worthAMail && work.mailed !== outcome) {
      work.mailed = outcome;
      // The message first, as the Perl agent mails it; then what became of it.
      const message = encodeMessage({ roles, uniqsign: this.#parts.uniqsign });
      this.#parts.mailer.send('mmm-manager change', `${message}\n\n${outcome}: ${why}\n`);
    }
  }

  async #report(board: Board, { active }: Roles, work: Work, outcome: Report['outcome'], why: string): Promise<void> {
    const { store, uniqsign, clock, name } = this.#parts;
    if (board.epoch === null) return;
    const noteIsRight = outcome !== 'opened' || board.opened === active;
    if (isAnswered(board, outcome, active, why) && noteIsRight) return;
    await store.putReport(uniqsign, {
      epoch: board.epoch,
      outcome,
      host: active,
      why,
      atMs: clock.wall(),
      agent: name,
      noWriterMs: outcome === 'opened' ? work.noWriterMs : null,
    });
  }

  /** With a safety on, the contract's keys and message follow the opening; whatever else wrote them is put right (a Perl identify, an old dump). */
  async announce({ epoch, announced }: Board, roles: Roles, active: Evidence): Promise<void> {
    const { store, uniqsign, log } = this.#parts;
    if (epoch === null || active.kind !== 'answered' || !wasOpenedUnder(active.facts.row, epoch)) return;
    if (announced?.active === roles.active && announced.passive === roles.passive) return;
    if (!(await store.announce(uniqsign, epoch, roles))) return;
    log.info(`announces ${roles.active} as the active of decision ${epoch.number}`, {
      event: 'announced',
      host: roles.active,
      epoch: epoch.number,
    });
  }

  /** Before it flows to the active, for then nobody could count it any more. False: the decision was replaced meanwhile. */
  async divergence(
    { epoch, divergence: known }: Board,
    { passive }: Roles,
    work: Work,
    rest: LeftBehind,
    seen: { readonly active: Evidence; readonly passive: Evidence },
  ): Promise<boolean> {
    const { store, uniqsign, clock, log } = this.#parts;
    // The step is tried again, or the role moved on while it stands on the board.
    if (known?.host === passive && known.count === rest.count && known.gtids === rest.gtids) return true;
    const by = epoch === null ? null : { number: epoch.number, id: epoch.id };
    const divergence: Divergence = { ...rest, host: passive, epoch: by, foundAtMs: clock.wall(), saved: null };
    if (!(await store.putDivergence(uniqsign, epoch, divergence))) return false;
    const line = `${describeDivergence(divergence)}; it comes over now that replication runs again, unless a conflict stops it`;
    log.warn(line, { event: 'divergence', host: passive, ...(rest.count === null ? {} : { count: rest.count }) });
    work.done.push(line);
    // Beside the round, which has more urgent things to do: which part of the log it is stands fast, whatever is written after it.
    void this.#save(divergence, seen, line);
    return true;
  }

  /** Ends in a mail, whatever comes of it. */
  async #save(divergence: Divergence, seen: { active: Evidence; passive: Evidence }, line: string): Promise<void> {
    const { store, uniqsign, log, mailer, name, salvage } = this.#parts;
    const order = salvageOrder(uniqsign, divergence, seen);
    const saved = typeof order === 'string' ? ({ kind: 'not-saved', why: order } as const) : await salvage(order);
    const sentence = describeSalvage(name, saved);
    log[saved.kind === 'saved' ? 'info' : 'warn'](`what only ${divergence.host} holds: ${sentence}`, {
      event: 'salvage',
      host: divergence.host,
    });
    mailer.send('mmm-manager divergence', `${line}\n${sentence}\n`);
    try {
      await store.noteSaved(uniqsign, divergence, sentence);
    } catch (error) {
      const why = messageOf(error);
      log.warn(`status will not tell where it is: ${why}`, { event: 'salvage', host: divergence.host });
    }
  }

  async merged({ divergence }: Board, roles: Roles, active: Evidence, passive: Evidence): Promise<void> {
    const { store, uniqsign, log } = this.#parts;
    if (divergence === null || !isMerged(divergence, roles, active, passive)) return;
    if (!(await store.endDivergence(uniqsign, divergence))) return;
    log.info(`${roles.active} holds by now what had stayed on ${divergence.host}`, {
      event: 'merged',
      host: divergence.host,
    });
  }

  conflict(host: Host, evidence: Evidence): void {
    const line = describeConflict(host, evidence);
    if (line === null || this.#conflicts.get(host) === line) return;
    this.#conflicts.set(host, line);
    this.#parts.log.error(line, { event: 'conflict', host });
    this.#parts.mailer.send('mmm-manager conflict', `${line}\n`);
  }

  step(work: Work, next: Next & { kind: 'step' }, applied: Applied, tookMs: number): void {
    const { log, name } = this.#parts;
    const { step, why } = next;
    const ms = Math.round(tookMs);
    const fields = { host: step.host, step: step.do, ms, agent: name };
    const place = `${step.do} ${step.host}`;
    if (applied.kind === 'done') {
      work.stuck.delete(place);
      const clause = `${step.host}: ${applied.did} (${ms} ms)`;
      // Why it was opened tells what was left behind.
      work.done.push(step.do === 'open' ? `${clause}, because ${why}` : clause);
      if (work.done.length > DONE_KEPT) work.done.shift();
      log.info(`${clause}, because ${why}`, { event: eventOf(step), ...fields });
      return;
    }
    const reason = applied.kind === 'not-done' ? applied.why : `${applied.code}: ${applied.message}`;
    const line = `${step.host}: could not ${step.do}: ${reason}`;
    if (isWaiting(step)) {
      log.debug(line, fields);
    } else if (work.stuck.get(place) !== line) {
      work.stuck.set(place, line);
      log.warn(`${line}; it is tried again`, { event: 'not-done', ...fields });
    }
  }
}

/** A wait that is not over is no trouble. */
export function isWaiting(step: Step): boolean {
  return step.do === 'await-applied' || step.do === 'await-received' || step.do === 'await-lease';
}

function isAnswered(board: Board, outcome: Report['outcome'], host: Host, why: string): boolean {
  const answer = answerOf(board);
  if (answer?.outcome !== outcome || answer.host !== host) return false;
  return outcome === 'opened' || answer.why === why;
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
    case 'install':
      return 'installed';
    case 'claim':
      return 'claimed';
    case 'grant':
      return 'opened';
    case 'hook':
      return 'fenced';
    case 'await-lease':
      return 'fencing';
    case 'source-off':
    case 'acknowledge':
      return 'semi-sync';
    case 'rearm':
      return 'rearmed';
    case 'clear-flag':
      return 'armed';
    default:
      return step satisfies never;
  }
}

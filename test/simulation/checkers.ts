// One checker per promise, apart from the world they look at. Each is fed at the moment when something happens, and says in the promise's
// own words, for this version (docs/protocol.md: no lease yet), what was broken. What is excused is written beside each.

import type { Call } from '../../src/core/call.ts';
import { FRESH_MS } from '../../src/core/death.ts';
import type { Board } from '../../src/core/decision.ts';
import type { Host } from '../../src/core/pair.ts';
import type { Step } from '../../src/core/step.ts';
import { REDIS } from './board.ts';
import { CONNECT_TIMEOUT_MS } from './daemons.ts';
import type { SimHost, Write } from './host.ts';
import { LeaseCheckers } from './lease-checkers.ts';
import { LosslessCheckers } from './lossless-checkers.ts';
import type { Process } from './process.ts';
import type { Watcher, World } from './world.ts';

export interface Violation {
  readonly promise: 'S1' | 'S2' | 'S3' | 'S4' | 'L1' | 'L2' | 'L3' | 'bug';
  readonly atMs: number;
  readonly what: string;
}

/** What a run promises besides what every run promises. */
export interface Expectations {
  /** Nothing touches the hosts or the way of the clients to them: the active never stops taking writes (L3). */
  readonly harmless: boolean;
}

/**
 * An agent that can reach a second writer again closes it after at most this long: the end of a time-out that was under way, the gap
 * to its next round, and the close itself. Slow statements and networks take longer.
 */
const CLOSE_WITHIN_MS = 3_000;
/** With a safety on these go through comparing calls, where the server itself refuses an old decision. */
const COMPARED: ReadonlySet<Step['do']> = new Set([
  'close',
  'open',
  'start-sql',
  'start-io',
  'start-replication',
  'stop-io',
]);
/** Between reading the board and doing a step: the answer's way and one more question to Redis. */
const STEP_SLACK_MS = 2_300;

/** Two connect timeouts and a second: so long an opening may be under way (src/agent.ts). */
const OPEN_WITHIN_MS = 3_000;

interface KnownBoard {
  readonly key: string;
  readonly sinceMs: number;
  readonly roles: Board['roles'];
}

export class Checkers implements Watcher {
  readonly violations: Violation[] = [];
  /** Figures for the summary: what was seen, so that a silent checker is told from a blind one. */
  readonly figures = {
    acknowledged: 0,
    opened: 0,
    steps: 0,
    calls: 0,
    decisions: 0,
    twoWritersMs: 0,
    excused: 0,
    barredByRule3: 0,
    forgotten: 0,
    awaitsOperator: 0,
    hangsBehindCommits: 0,
  };
  readonly #world: World;
  /** null: no safety is on. */
  readonly #lease: LeaseCheckers | null;
  readonly #lossless: LosslessCheckers | null;
  /** Who never stops taking writes, where nothing may harm the active. */
  #healthy: SimHost | null;
  readonly #acknowledged: Write[] = [];
  readonly #boards: KnownBoard[] = [];
  readonly #closableSinceMs = new Map<SimHost, number>();
  readonly #toldMs = new Map<SimHost, number>();
  readonly #openBegan = new Map<SimHost, { atMs: number; wallJumpMs: number }>();
  readonly #seenSinceMs = new Map<SimHost, number>();
  #twoWritersSinceMs: number | null = null;
  /** Of whom it was last told what he holds alone, and when that first stood on the board. */
  #told: { readonly host: Host; readonly foundAtMs: number; readonly atMs: number } | null = null;
  #staleOpenMs = Number.NEGATIVE_INFINITY;
  #lastOpened: SimHost;
  #lastOpenedMs = 0;
  #check: (() => void) | null = null;

  constructor(world: World, expected: Expectations) {
    this.#world = world;
    this.#lastOpened = world.a;
    this.#healthy = expected.harmless ? world.a : null;
    this.#lease =
      world.options.policy.fencing === 'none'
        ? null
        : new LeaseCheckers(world, (promise, what) => this.#violated(promise, what));
    this.#lossless =
      world.options.policy.durability === 'async'
        ? null
        : new LosslessCheckers(world, (promise, what) => this.#violated(promise, what));
    this.changed();
  }

  changed(): void {
    this.#noteBoard();
    this.#noteTold();
    this.#noteWriter();
    for (const host of this.#world.hosts) {
      if (!this.#isSeen(host)) this.#seenSinceMs.delete(host);
      else if (!this.#seenSinceMs.has(host)) this.#seenSinceMs.set(host, this.#nowMs);
      if (!this.#isClosable(host)) this.#closableSinceMs.delete(host);
      else if (!this.#closableSinceMs.has(host)) this.#closableSinceMs.set(host, this.#nowMs);
    }
    this.#lease?.changed();
    this.#checkOneWriter();
    this.#checkNoHarm();
  }

  acknowledged(write: Write, host: SimHost): void {
    this.figures.acknowledged += 1;
    this.#acknowledged.push(write);
    this.#lossless?.acknowledged(write, host);
  }

  told(write: Write, host: SimHost): void {
    this.#toldMs.set(host, this.#nowMs);
    this.#lossless?.told(write, host);
  }

  /** When this server last told a client that its commit succeeded. */
  toldMs(host: SimHost): number {
    return this.#toldMs.get(host) ?? Number.NEGATIVE_INFINITY;
  }

  /**
   * S3: a decision that was replaced on the board: no step of it begins afterwards. Excused is what this version cannot see: the way of
   * the board's answer to the agent, and an agent that was frozen between reading the board and acting.
   */
  stepBegins(process: Process, step: Step): void {
    this.figures.steps += 1;
    this.#world.tell(process.name, `-> ${step.do} on ${this.#nameOf(step)}`);
    const target = this.#world.hostOf(step.host);
    if (step.do === 'open' && target !== null) {
      this.#openBegan.set(target, { atMs: this.#nowMs, wallJumpMs: target.wallJumpMs });
    }
    const fromMs = this.#nowMs - STEP_SLACK_MS;
    if (this.#lease !== null && COMPARED.has(step.do)) {
      this.#violated(
        'S3',
        `${process.name} does ${step.do} on ${this.#nameOf(step)} without comparing its decision there`,
      );
    }
    if (process.runningSinceMs >= fromMs) return;
    const fits = this.#boards.some(({ sinceMs, roles }, at) => {
      const untilMs = this.#boards[at + 1]?.sinceMs ?? Number.POSITIVE_INFINITY;
      return untilMs >= fromMs && sinceMs <= this.#nowMs && roles !== null && fitsRoles(step, roles.active);
    });
    if (!fits)
      this.#violated(
        'S3',
        `${process.name} begins ${step.do} on ${this.#nameOf(step)} for a decision that was replaced`,
      );
  }

  callActs(call: Call, host: SimHost): void {
    this.figures.calls += 1;
    this.#lease?.callActs(call, host);
    this.#lossless?.callActs(call, host);
    if (call.do === 'start-io' || call.do === 'start-replication') this.#checkCounted(host);
  }

  /**
   * S2, asynchronous: what stayed behind on the host that took writes before is counted and reported before it flows to the one that takes them
   * now: afterwards nobody could tell. Not judged: MariaDB with one GTID domain for both hosts, where the number is an estimate.
   */
  #checkCounted(host: SimHost): void {
    const other = this.#world.other(host);
    if (!host.takesWrites || this.#lastOpened !== host || this.#world.options.style.sharedDomain) return;
    const behind = this.#acknowledged.filter((write) => other.holds(write) && !host.holds(write)).length;
    if (behind === 0 || this.#world.wholeBoard().divergence !== null) return;
    // It was told under this very opening (log and mail), and then the board was lost.
    const told = this.#told;
    const { restoredMs } = this.#world.redis;
    if (told !== null && told.host === other.host && told.atMs >= this.#lastOpenedMs && restoredMs >= told.atMs) return;
    this.#violated('S2', `${behind} acknowledged writes flow from ${other.name} to ${host.name}, and nobody was told`);
  }

  opened(host: SimHost): void {
    this.figures.opened += 1;
    const board = this.#boards.at(-1);
    // S3 once more: a step that was under way when its decision was replaced is not compared with the epoch on the server yet.
    if (board?.roles?.active !== host.host) this.#staleOpenMs = this.#nowMs;
    this.#checkInTime(host);
    const wasOpen = this.#lastOpened === host;
    this.#lastOpened = host;
    // An older dump names an older writer, and until the servers themselves remember who was opened last nobody can know better [F8].
    const boardIsOlder = this.#lease === null && this.#world.redis.restoredMs > this.#lastOpenedMs;
    this.#lastOpenedMs = this.#nowMs;
    if (boardIsOlder) {
      this.#staleOpenMs = this.#nowMs;
      this.figures.excused += 1;
      return;
    }
    if (!wasOpen) this.#checkNotAhead(host);
    // With a lease the rows say who was opened last, and that one goes on with what it holds.
    if (!wasOpen || this.#lease === null) this.#checkHandOver(host);
    if (this.#lease === null) this.#checkSeenByMonitors(host);
  }

  /**
   * S3, for a step that is under way: an opening that runs later than it may does nothing. Excused: the server's clock jumped meanwhile.
   */
  #checkInTime(host: SimHost): void {
    const began = this.#openBegan.get(host);
    if (began === undefined || began.wallJumpMs !== host.wallJumpMs) return;
    const lateMs = this.#nowMs - began.atMs;
    if (lateMs > OPEN_WITHIN_MS)
      this.#violated('S3', `${host.name} is opened ${Math.round(lateMs)} ms after the last step to open it began`);
  }

  /**
   * S1, the part that needs no agent at the other host: one that alone cannot reach it opens nothing. Every monitor must have been able to
   * reach it for longer than an observation counts.
   */
  #checkSeenByMonitors(host: SimHost): void {
    const other = this.#world.other(host);
    const seenMs = this.#seenSinceMs.get(other);
    if (!other.takesWrites || seenMs === undefined || this.#nowMs - seenMs < FRESH_MS + CLOSE_WITHIN_MS) return;
    if (this.#staleOpenMs === this.#nowMs) return;
    this.#violated(
      'S1',
      `${host.name} is opened, ${other.name} takes writes, and the monitors have seen that all the time`,
    );
  }

  /**
   * S4: opened only after it applied every complete transaction that it had received. Excused: the operator's drain_timeout says to go on, and
   * the host that was opened last, and so was open while these came in: it restarted read only.
   */
  #checkNotAhead(host: SimHost): void {
    const { unapplied } = host.replica;
    if (unapplied === 0 || this.#world.options.policy.drainTimeoutSec !== null) return;
    this.#violated('S4', `${host.name} is opened with ${unapplied} transactions received and not applied`);
  }

  /**
   * S2, as far as asynchronous replication can keep it: a host is never opened while the other, reachable, one holds acknowledged writes
   * that it lacks [F13, F21]. Excused: drain_timeout, a host that only just became reachable, another server at the other one's address (what it
   * holds nobody can know before an operator says that it is the member), and what was counted and told already.
   */
  #checkHandOver(host: SimHost): void {
    const other = this.#world.other(host);
    const sinceMs = this.#closableSinceMs.get(other);
    if (sinceMs === undefined || this.#nowMs - sinceMs < CLOSE_WITHIN_MS || !this.#world.isMember(other)) return;
    if (this.#world.options.policy.drainTimeoutSec !== null) return;
    const missing = this.#acknowledged.filter((write) => other.holds(write) && !host.holds(write)).length;
    if (missing === 0 || this.#world.wholeBoard().divergence?.host === other.host) return;
    this.#violated(
      'S2',
      `${host.name} is opened without ${missing} acknowledged writes that ${other.name}, reachable, holds`,
    );
  }

  /** S2 at the end of a run, everything healed and replicated: no acknowledged write is missing anywhere. */
  checkNothingLost(): void {
    for (const host of this.#world.hosts) {
      const missing = this.#acknowledged.filter((write) => !host.holds(write));
      if (missing.length === 0) continue;
      this.#violated('S2', `${host.name} lacks ${missing.length} acknowledged writes after everything was healed`);
    }
  }

  /**
   * A known hole, told in the summary and not as a violation: the board is empty, both hosts are read only and neither replicates (both
   * restarted with skip-slave-start and Redis lost its data). Rule 3 of the contract then bars both, so that nobody is elected, and an agent
   * without roles starts no replication.
   */
  isBarredByRule3(): boolean {
    const { hosts } = this.#world;
    return this.#boards.at(-1)?.roles == null && hosts.every(({ readOnly, replica }) => readOnly && !replica.runs);
  }

  /**
   * A known hole, told as the other one: an agent stopped a passive's I/O thread for a change, and then all agents were restarted and the board lost
   * its note of it. Nobody can tell it from a backup's doing any more.
   */
  isForgotten(): boolean {
    const { redis, hosts } = this.#world;
    const agents = this.#world.processesOf('agent');
    return hosts.some(({ replica: { ioStarted, sqlStarted, ioStoppedMs } }) => {
      const isStopped = !ioStarted && sqlStarted && redis.restoredMs > ioStoppedMs;
      return isStopped && agents.every(({ startedMs }) => startedMs > ioStoppedMs);
    });
  }

  /** Why a run may end without having come to rest; null: it must. The reasons that are known holes are figures of the summary. */
  whyNotJudged(): 'barredByRule3' | 'forgotten' | 'awaitsOperator' | 'hangsBehindCommits' | null {
    if (this.isBarredByRule3()) return 'barredByRule3';
    if (this.isForgotten()) return 'forgotten';
    if (this.#lossless?.awaitsOperator() === true) return 'awaitsOperator';
    return this.#lossless?.hangsBehindCommits() === true ? 'hangsBehindCommits' : null;
  }

  /** L2: everything healed, and it is as it should be: null; else what is not. */
  notConverged(): string | null {
    const board = this.#boards.at(-1);
    const writers = this.#world.hosts.filter(({ takesWrites }) => takesWrites);
    const [writer] = writers;
    if (writer === undefined) return 'nobody takes writes';
    if (writers.length > 1) return 'both hosts take writes';
    if (board?.roles?.active !== writer.host)
      return `${writer.name} takes writes, and the board says ${board?.roles?.active}`;
    const other = this.#world.other(writer);
    if (other.blocked === false) return `the accounts on the passive ${other.name} are not blocked`;
    const { report, epoch } = this.#world.wholeBoard();
    if (report?.outcome !== 'opened' || report.epoch.id !== epoch?.id)
      return 'the decision is not answered with "opened"';
    const unarmed = this.#lease?.notAtRest() ?? null;
    if (unarmed !== null) return unarmed;
    const incomplete = this.#lossless?.notAtRest() ?? null;
    if (incomplete !== null) return incomplete;
    for (const { name, replica } of this.#world.hosts) {
      if (!replica.runs) return `${name} does not replicate`;
      if (replica.relay.length > 200) return `${name} lags`;
    }
    return null;
  }

  /** The same, and without clients all is replicated. */
  notLevel(): string | null {
    const not = this.#world.hosts.find(({ replica }) => !replica.level);
    return not === undefined ? null : `${not.name} does not catch up`;
  }

  violated(promise: Violation['promise'], what: string): void {
    this.#violated(promise, what);
  }

  get #nowMs(): number {
    return this.#world.timeline.nowMs;
  }

  #noteBoard(): void {
    const board = this.#world.board();
    const key = JSON.stringify([board.epoch?.number, board.epoch?.id, board.roles?.active]);
    const before = this.#boards.at(-1);
    if (before?.key === key) return;
    this.figures.decisions += 1;
    this.#boards.push({ key, sinceMs: this.#nowMs, roles: board.roles });
    const active = this.#world.hostOf(board.roles?.active)?.name ?? 'nobody';
    this.#world.tell('board', `epoch ${board.epoch?.number ?? 'none'}: ${active} is to be the active`);
  }

  #noteTold(): void {
    const divergence = this.#world.divergence();
    if (divergence === null) return;
    const { host, foundAtMs } = divergence;
    if (this.#told?.host === host && this.#told.foundAtMs === foundAtMs) return;
    this.#told = { host, foundAtMs, atMs: this.#nowMs };
  }

  /** Who took writes last, opened by an agent or found open: it holds what was acknowledged, and may go on after a restart. */
  #noteWriter(): void {
    const [writer, second] = this.#world.hosts.filter(({ takesWrites }) => takesWrites);
    if (writer === undefined || second !== undefined) return;
    if (this.#boards.at(-1)?.roles?.active === writer.host) this.#lastOpened = writer;
  }

  /**
   * S1: never two that take writes. Excused, for nobody can close a host that does not answer: the one that is not the board's active, while
   * no agent reaches it, the other host and the board, or a lock is in its way, and for CLOSE_WITHIN_MS after that. An opening
   * that was under way when its decision was replaced has the same time.
   */
  #checkOneWriter(): void {
    const { hosts } = this.#world;
    if (!hosts.every(({ takesWrites }) => takesWrites)) {
      if (this.#twoWritersSinceMs !== null) this.figures.twoWritersMs += this.#nowMs - this.#twoWritersSinceMs;
      this.#twoWritersSinceMs = null;
      this.#check?.();
      this.#check = null;
      return;
    }
    this.#twoWritersSinceMs ??= this.#nowMs;
    if (this.#lease !== null) {
      const excuse = this.#lease.excuse();
      if (excuse !== null) this.#judgeLater(excuse.untilMs, `${excuse.second.name} should have closed itself`);
      return;
    }
    const board = this.#boards.at(-1);
    const second = hosts.find(({ host }) => board?.roles != null && host !== board.roles.active);
    const closableMs = second === undefined ? undefined : this.#closableSinceMs.get(second);
    if (second === undefined || closableMs === undefined || board === undefined) return;
    const decidedMs = board.sinceMs > this.#twoWritersSinceMs ? board.sinceMs : Number.NEGATIVE_INFINITY;
    const excusedUntilMs =
      Math.max(closableMs, this.#staleOpenMs, decidedMs) + CLOSE_WITHIN_MS + 12 * this.#slowMs(second);
    this.#judgeLater(excusedUntilMs, `${second.name} could have been closed`);
  }

  #judgeLater(excusedUntilMs: number, why: string): void {
    this.#check?.();
    this.#check = null;
    if (excusedUntilMs === Number.POSITIVE_INFINITY) return;
    if (this.#nowMs < excusedUntilMs) {
      this.#check = this.#world.timeline.after(excusedUntilMs - this.#nowMs + 1, () => this.changed());
      return;
    }
    this.#violated('S1', `both hosts take writes, and ${why}`);
  }

  #slowMs(host: SimHost): number {
    return this.#world.network.slowMs * 2 + host.slowMs;
  }

  /** Every monitor sees it, and tells the board the truth about when. */
  #isSeen(host: SimHost): boolean {
    const { network, redis } = this.#world;
    if (!redis.up || host.state !== 'up' || host.saturated > 0) return false;
    return [
      ...this.#world.processesOf('monitor'),
      ...this.#world.processesOf('identify'),
      ...this.#world.processesOf('agent'),
    ].every(
      ({ name, state, wallJumpMs }) =>
        state === 'up' &&
        wallJumpMs === 0 &&
        network.talks(name, REDIS) &&
        (!name.startsWith('monitor') || (network.talks(name, host.name) && !network.isRejected(name, host.name))),
    );
  }

  /** Somebody can close it: an agent reaches it, the other host and the board. */
  #isClosable(host: SimHost): boolean {
    const { network, redis } = this.#world;
    const other = this.#world.other(host);
    if (!redis.up || this.#boards.at(-1)?.roles == null || host.isLocked) return false;
    if ([host, other].some(({ state, saturated }) => state !== 'up' || saturated > 0)) return false;
    // Over a link that takes longer than its time-out an agent reaches nobody, or now and then.
    const reaches = (name: string, to: string) =>
      network.talks(name, to) && !network.isRejected(name, to) && network.lagMs(name, to) < CONNECT_TIMEOUT_MS;
    return this.#world
      .processesOf('agent')
      .some(({ name, state }) => state === 'up' && [REDIS, host.name, other.name].every((to) => reaches(name, to)));
  }

  /** From now on nothing touches this active (null: it may be touched again). */
  mustStay(active: SimHost | null): void {
    this.#healthy = active;
  }

  /** L3: losing Redis or a daemon never stops a healthy active. */
  #checkNoHarm(): void {
    const active = this.#healthy;
    if (active === null || active.takesWrites || active.state !== 'up') return;
    this.#violated('L3', `the healthy active ${active.name} does not take writes any more`);
  }

  /** The first one of each promise is the story; what follows from it is not. */
  #violated(promise: Violation['promise'], what: string): void {
    if (this.violations.some((violation) => violation.promise === promise)) return;
    this.violations.push({ promise, atMs: this.#nowMs, what });
    this.#world.tell('VIOLATION', `${promise}: ${what}`);
  }

  #nameOf(step: Step): string {
    return this.#world.hostOf(step.host)?.name ?? step.host;
  }
}

/** What a decision for `active` may ask for. */
function fitsRoles(step: Step, active: string): boolean {
  switch (step.do) {
    case 'block':
    case 'close':
      return step.host !== active;
    case 'start-io':
    case 'start-replication':
      return true;
    case 'release':
    case 'open':
    case 'start-sql':
    case 'stop-io':
    case 'await-applied':
    case 'await-received':
      return step.host === active;
    case 'install':
    case 'claim':
    case 'grant':
    case 'hook':
    case 'await-lease':
    case 'rearm':
    case 'source-off':
    case 'acknowledge':
    case 'clear-flag':
      throw new Error(`a server alone does not do the step ${step.do}`);
    default:
      return step satisfies never;
  }
}

// What a pair with a lease promises besides (design, *Promises*, in the wording for async with a lease): who may still be open beside a new
// active, and that no call of an old epoch does anything. Part of checkers.ts; it knows nothing of how the promises are kept.

import type { Call } from '../../src/core/call.ts';
import { isArmed } from '../../src/core/host-row.ts';
import type { Epoch } from '../../src/core/pair.ts';
import type { SimHost } from './host.ts';
import type { World } from './world.ts';

/** After a thaw: measured 2 to 58 ms, mostly one statement for each connection. */
const THAW_MS = 100;
/** The EVENT comes every second, and takes a moment. */
const EVENT_MS = 1_050;

/** Its EVENT, or the end of a time-out of an agent that then closes it. */
const STARTED_WRITABLE_MS = 3_000;

type Violated = (promise: 'S1' | 'S3', what: string) => void;

export class LeaseCheckers {
  readonly #world: World;
  readonly #violated: Violated;
  /** The highest epoch for which anything was done on this server. */
  readonly #known = new Map<string, Epoch>();
  /** What each number stood for when a host was opened under it. */
  readonly #openedUnder = new Map<number, Epoch>();
  /** Which servers were there at the last opening. */
  readonly #openedBeside = new Map<string, string>();
  readonly #lastOpened = new Map<SimHost, Epoch>();
  /** Who was opened after whom, by whatever number. */
  readonly #turns = new Map<SimHost, number>();
  readonly #openedMs = new Map<SimHost, number>();
  readonly #wasLockedMs = new Map<SimHost, number>();
  /** Until when its clock may have fooled it after it was set back: for ever, until it is set going again. */
  readonly #fooledUntilMs = new Map<SimHost, number>();
  readonly #clockBackMs = new Map<SimHost, number>();

  constructor(world: World, violated: Violated) {
    this.#world = world;
    this.#violated = violated;
  }

  changed(): void {
    this.#checkFlagged();
    for (const host of this.#world.hosts) {
      if (host.isLocked) this.#wasLockedMs.set(host, this.#nowMs);
      if (host.clockBackMs > (this.#clockBackMs.get(host) ?? Number.NEGATIVE_INFINITY)) {
        this.#clockBackMs.set(host, host.clockBackMs);
        // A pause has its own excuse: there the EVENT goes on where it stood.
        if (host.clockBackMs !== host.upSinceMs) this.#fooledUntilMs.set(host, Number.POSITIVE_INFINITY);
      }
    }
  }

  /** S3: a component that acts on an old epoch changes nothing. */
  callActs(call: Call, host: SimHost): void {
    const { epoch } = call;
    // Another server behind the address knows nothing yet.
    const server = `${host.name} ${host.uuid}`;
    const known = this.#known.get(server);
    if (known !== undefined && isOlder(epoch, known)) {
      this.#violated('S3', `${call.do} of decision ${name(epoch)} acts on ${host.name}, which knew ${name(known)}`);
    }
    this.#known.set(server, epoch);
    if (call.do === 'open' || call.do === 'renew') {
      // The call has set the EVENT going and cut the lease.
      if (this.#fooledUntilMs.has(host)) this.#fooledUntilMs.set(host, this.#nowMs + call.leaseMs + 2 * EVENT_MS);
    }
    if (call.do !== 'open') return;
    if (!isSame(this.#lastOpened.get(host), epoch)) this.#checkFenced(epoch, host);
    this.#checkOrder(epoch, host);
  }

  /** Of two hosts that take writes the one that should have closed itself, and until when it may not have. */
  excuse(): { readonly second: SimHost; readonly untilMs: number } | null {
    const [a, b] = this.#world.hosts;
    // A new server without read_only in its my.cnf takes writes before anybody knows it.
    const isNew = [a, b].some(({ schema }) => schema.row === null || schema.row.opened === null);
    if (this.#world.options.style.startsWritable && isNew) return null;
    const second = this.#turnOf(a) < this.#turnOf(b) ? a : b;
    return { second, untilMs: this.#excusedUntilMs(second) };
  }

  /** null: the lease is as it should be at rest. */
  notAtRest(): string | null {
    const { policy, agents } = this.#world.options;
    const board = this.#world.wholeBoard();
    const writer = this.#world.hosts.find(({ takesWrites }) => takesWrites);
    const row = writer?.schema.row;
    if (writer === undefined || row == null) return 'the active has no row';
    if (row.opened?.number !== board.epoch?.number || row.opened?.id !== board.epoch?.id) {
      return `${writer.name} was opened by decision ${row.opened?.number}, and the board says ${board.epoch?.number}`;
    }
    if (board.announced?.active !== writer.host) return 'the contract’s keys name another active';
    const enough = agents >= policy.leaseAgents;
    if (enough && board.terms.lease !== 'finite') return 'the pair is not armed';
    if (enough && board.unfenced !== false) return 'the board still says unfenced';
    if (!enough && (row.lease.kind !== 'endless' || board.unfenced === false)) return 'the pair counts as armed';
    if (!enough) return null;
    if (row.lease.kind !== 'finite') return `the lease of ${writer.name} is ${row.lease.kind}`;
    const flagged = this.#world.hosts.find(({ schema }) => schema.row?.unfenced !== false);
    if (flagged !== undefined) return `the row of ${flagged.name} still says unfenced`;
    return isArmed(row) ? null : `the EVENT of ${writer.name} does not tick`;
  }

  /**
   * S1, at the moment of a grant under a new decision: the other host, when it was opened last, has closed itself or been closed.
   * Excused: what nobody can know of it (a paused machine, a clock that went back, a lock), and the operator's on_unreachable=promote.
   */
  #checkFenced(epoch: Epoch, host: SimHost): void {
    const other = this.#world.other(host);
    const row = other.schema.row;
    if (this.#turnOf(other) <= this.#turnOf(host) || other.state === 'down' || other.readOnly || row === null) return;
    const isPaused = other.state === 'frozen' && other.frozen === 'machine';
    if (isPaused || other.isLocked || this.#excusedUntilMs(other) > this.#nowMs) return;
    const { lease, nowMs } = row;
    const runs = lease.kind === 'finite' ? lease.expiresAtMs > nowMs : lease.kind === 'endless';
    if (!runs) return;
    this.#violated(
      'S1',
      `decision ${name(epoch)} lets ${host.name} write while ${other.name} still may, by its ${lease.kind} lease`,
    );
  }

  /**
   * F6, from which S1 follows: an endless lease is known to whoever might wait for it to run out. Not judged: a board that is older than the
   * row, whose decisions nobody obeys, and an operator's promote.
   */
  #checkFlagged(): void {
    const { epoch, unfenced } = this.#world.flag();
    if (epoch === null || unfenced !== false) return;
    for (const host of this.#world.hosts) {
      const row = host.schema.row;
      const beside = this.#world.other(host).schema.row;
      if (row === null || row.readOnly || row.lease.kind !== 'endless') continue;
      const isOlderBoard = row.epoch !== null && row.epoch.number >= epoch.number && row.epoch.id !== epoch.id;
      if (beside?.unfenced === true || isOlderBoard) continue;
      this.#violated('S1', `the lease of ${host.name} is endless, and neither the board nor the other row says so`);
    }
  }

  /** S3: numbers only rise, and each stands for one decision. */
  #checkOrder(epoch: Epoch, host: SimHost): void {
    const other = this.#world.other(host);
    const beside = this.#lastOpened.get(other);
    // A server that was replaced has a blank row; where the board forgot as well nobody can tell how far the numbers had come.
    // So it is where the board forgot what it knew of the only server that is out of reach.
    const { restoredMs } = this.#world.redis;
    // And where both servers were replaced since: an agent had decided without the board, so that their rows alone knew.
    const isForgotten =
      (restoredMs > 0 && this.#world.hosts.some(({ isOriginal }) => !isOriginal)) ||
      this.#world.hosts.every(({ name, uuid }) => this.#openedBeside.get(name) !== uuid) ||
      (restoredMs > (this.#openedMs.get(other) ?? 0) && other.state !== 'up');
    if (beside !== undefined && isOlder(epoch, beside) && !isForgotten) {
      this.#violated('S3', `${host.name} is opened by decision ${name(epoch)}, after ${other.name} by ${name(beside)}`);
    }
    const same = this.#openedUnder.get(epoch.number);
    if (same !== undefined && isOlder(epoch, same) && !isForgotten) {
      this.#violated('S3', `${name(epoch)} opens ${host.name}, and ${name(same)} has opened a host before`);
    }
    this.#noteOpening(epoch, host);
  }

  #noteOpening(epoch: Epoch, host: SimHost): void {
    const other = this.#world.other(host);
    this.#openedUnder.set(epoch.number, epoch);
    for (const { name, uuid } of this.#world.hosts) this.#openedBeside.set(name, uuid);
    if (!isSame(this.#lastOpened.get(host), epoch))
      this.#turns.set(host, Math.max(this.#turnOf(host), this.#turnOf(other)) + 1);
    this.#lastOpened.set(host, epoch);
    this.#openedMs.set(host, this.#nowMs);
  }

  #excusedUntilMs(host: SimHost): number {
    const { leaseMs, onUnreachable } = this.#world.options.policy;
    const row = host.schema.row;
    // The operator said to go on beside a host of which nobody knows whether it takes writes.
    const isFlagged = this.#world.other(host).schema.row?.unfenced === true;
    if (onUnreachable === 'promote' && (isFlagged || !this.#wasArmed(host))) return Number.POSITIVE_INFINITY;
    // Its own machine's row is gone: no promise is made for another server.
    if (row === null) return Number.POSITIVE_INFINITY;
    // Without read_only in its my.cnf nobody promises anything before its EVENT has run, which closes no endless lease, or an agent sees it.
    const isUnseen = row.lease.kind === 'endless' && row.opened?.startedSec !== host.startedSec;
    if (this.#world.options.style.startsWritable && isUnseen) return Number.POSITIVE_INFINITY;
    const startedMs = this.#world.options.style.startsWritable ? host.upSinceMs : Number.NEGATIVE_INFINITY;
    const thawedMs = host.frozen === null ? Number.NEGATIVE_INFINITY : host.upSinceMs;
    const lockedMs = this.#wasLockedMs.get(host) ?? Number.NEGATIVE_INFINITY;
    return Math.max(
      thawedMs + (host.frozen === 'machine' ? leaseMs + EVENT_MS : THAW_MS),
      startedMs + STARTED_WRITABLE_MS,
      host.isLocked ? Number.POSITIVE_INFINITY : lockedMs + EVENT_MS,
      this.#fooledUntilMs.get(host) ?? Number.NEGATIVE_INFINITY,
    );
  }

  #wasArmed(host: SimHost): boolean {
    const board = this.#world.wholeBoard();
    return board.unfenced === false && board.lives.get(host.host)?.armed === true;
  }

  #turnOf(host: SimHost): number {
    return this.#turns.get(host) ?? 0;
  }

  get #nowMs(): number {
    return this.#world.timeline.nowMs;
  }
}

function isSame(one: Epoch | undefined, other: Epoch): boolean {
  return one?.number === other.number && one.id === other.id;
}

function isOlder(one: Epoch, other: Epoch): boolean {
  return (
    one.number < other.number || (one.number === other.number && !(one.id === other.id && one.active === other.active))
  );
}

function name({ number, id, active }: Epoch): string {
  return `${number} (${id.slice(0, 6)}, ${active})`;
}

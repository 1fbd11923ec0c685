// The keeper of one pair's lease: once a second it renews the permission of the host that takes writes, as long as somebody else knows of no
// higher decision [F3]. It needs no decision and never opens anything, so it goes on with the board away.
// Comes from src/agent-pairs.ts, in a loop of its own, so that no long step holds it up; goes on to mysql/fence.ts; at the end of the last
// agent src/agent-leave.ts takes over.

import type { AgentMemory, RememberedPair } from './core/agent-memory.ts';
import type { AgentRecord, Renewal } from './core/agents.ts';
import type { Called } from './core/call.ts';
import type { Board } from './core/decision.ts';
import { type ErrorCode, MmmError, messageOf } from './core/errors.ts';
import { bearsWitness } from './core/guard.ts';
import { isArmed, wasOpenedUnder } from './core/host-row.ts';
import { grantableMs, keepingIntervalMs, lifeAfter, openedUnder, type Witness, witnessOf } from './core/lease.ts';
import type { Log } from './core/log.ts';
import { type Epoch, type Host, isOfDecision } from './core/pair.ts';
import { LeaseLooks, type RowSeen, within } from './lease-looks.ts';
import type { Fence } from './mysql/fence.ts';
import type { Clock } from './ops/clock.ts';
import { Troubles } from './ops/trouble.ts';
import type { Store } from './store/store.ts';

/** The board is told of each round, but no round waits longer for it. */
const RECORD_MS = 500;

export interface LeaseKeeperParts {
  readonly uniqsign: string;
  readonly store: Store;
  /** The comparing calls of a host, on connections of the keeper's own. */
  readonly fenceFor: (host: Host) => Fence;
  readonly clock: Clock;
  readonly log: Log;
  /** This agent's name among those of the pair. */
  readonly name: string;
  readonly memory: AgentMemory;
  /** What is known before the board was read for the first time. */
  readonly known: Pick<RememberedPair, 'roles' | 'policy'>;
  /** Others may count on this agent: it stays. */
  readonly registers: boolean;
  /** Starts the next round early. */
  readonly wake: () => void;
}

/** Which host takes writes, as far as this agent knows, and under which decision it was opened. */
interface Open {
  readonly host: Host;
  readonly epoch: Epoch;
}

export class LeaseKeeper {
  readonly #parts: LeaseKeeperParts;
  readonly #troubles: Troubles;
  readonly #looks: LeaseLooks;
  #known: Pick<RememberedPair, 'roles' | 'policy'>;
  /** With which decision the policy was read; null: it was remembered. */
  #policyOf: number | null = null;
  #open: Open | null = null;
  #successes = 0;
  /** The board as this round read it, or is reading it; null: it cannot be read, or does not know the pair. */
  #board: Promise<Board | null> = Promise.resolve(null);
  #recording: Promise<void> | null = null;
  /** Of which boot the board was seen to say nothing: the agent that opened the host may be about to note it. */
  #unnoted = '';
  #retired = false;

  constructor(parts: LeaseKeeperParts) {
    this.#parts = parts;
    this.#known = parts.known;
    this.#troubles = new Troubles(parts);
    this.#looks = new LeaseLooks(parts);
  }

  async round(): Promise<{ nextMs: number }> {
    const read = this.#board;
    const [first, second] = this.#order();
    let renewal = await this.#keep(first, second);
    if (renewal === null || (renewal.outcome === 'no-witness' && this.#isOpen(second))) {
      renewal = (await this.#keep(second, first)) ?? renewal;
    }
    renewal ??= await this.#missed();
    if (this.#board === read) this.#board = this.#readBoard();
    this.#tellSilence(renewal);
    await this.#record(renewal);
    return { nextMs: keepingIntervalMs(this.#known.policy.leaseMs) };
  }

  /** Both servers say that nobody takes writes by a lease that runs out, so nobody misses this agent. */
  get mayForget(): boolean {
    const { active, passive } = this.#known.roles;
    return [active, passive].every((host) => {
      const seen = this.#looks.seen(host);
      if (seen === null || !this.#looks.answered(host)) return false;
      return seen === 'none' || seen.row.readOnly || seen.row.lease.kind !== 'finite';
    });
  }

  /** The agent goes: from now on nothing is said on the board that makes others count on it. */
  async retire(): Promise<void> {
    this.#retired = true;
    if (this.#recording !== null) await within(this.#parts.clock, this.#recording, RECORD_MS);
  }

  /** The hosts of the pair and its policy, as known last. */
  get known(): Pick<RememberedPair, 'roles' | 'policy'> {
    return this.#known;
  }

  /** The host that was open last is looked at first: its renewal is what is in a hurry. */
  #order(): readonly [Host, Host] {
    const { active, passive } = this.#known.roles;
    return this.#open?.host === passive ? [passive, active] : [active, passive];
  }

  /** Renews the lease of `host` when it is open; null: it is not, or does not answer. */
  async #keep(host: Host, other: Host): Promise<Renewal | null> {
    const looked = await this.#looks.ask(host, this.#known.policy.leaseMs / 3);
    if (looked?.kind !== 'row') return null;
    const epoch = openedUnder(looked.row);
    if (epoch === null) {
      if (this.#open?.host === host && !isOpenedByRow(looked.row, this.#open.epoch)) this.#open = null;
      return null;
    }
    this.#open = { host, epoch };
    // Only now, when the server's time was read that the renewal counts from: what is asked earlier knows nothing of a claim since then.
    const witness = await this.#witness(epoch, other);
    if (looked.row.lease.kind !== 'finite') {
      this.#troubles.clear('renewal');
      this.#troubles.clear('armed');
      await this.#noteLife(host, looked);
      return this.#renewalOf(this.#open, 'endless');
    }
    if (!witness.agrees) {
      // Every change of roles comes by here for a moment: a claim on the other host is what begins it.
      const level = this.#looks.answered(other) ? 'warn' : 'error';
      this.#tell(host, `${witness.why}; when nobody else renews it the server closes itself`, level);
      return this.#renewalOf(this.#open, 'no-witness');
    }
    const { leaseMs } = this.#known.policy;
    const called = await this.#parts.fenceFor(host).call({
      do: 'renew',
      epoch,
      baseMs: looked.row.nowMs,
      leaseMs: grantableMs({ leaseMs, policyOf: this.#policyOf, openedNumber: epoch.number }),
    });
    if (called.kind !== 'done') {
      this.#tell(host, whyNot(called));
      return this.#renewalOf(this.#open, 'row' in called && called.kind === 'refused' ? 'no-witness' : 'failed');
    }
    this.#successes += 1;
    this.#troubles.clear('renewal');
    const renewed = { row: called.row, uuid: looked.uuid };
    // A renewal that sets a sleeping EVENT going may find it ticking already: that its clock went back is told all the same.
    this.#tellArmed(host, isArmed(looked.row) ? renewed : looked);
    await this.#noteLife(host, renewed);
    return this.#renewalOf(this.#open, 'renewed');
  }

  /** Whose word is worth more is asked first: the other server's row knows every claim, the board only every decision. */
  async #witness(epoch: Epoch, other: Host): Promise<Witness> {
    const { leaseMs } = this.#known.policy;
    this.#board = this.#readBoard();
    // A host that was silent a moment ago is asked, but not waited for.
    const shortMs = this.#looks.isSilent(other) ? 0 : leaseMs / 6;
    const asked = this.#looks.begin(other);
    const byRow = (seen: typeof answer) =>
      seen?.kind === 'row' && bearsWitness(seen.row, this.#known.roles)
        ? witnessOf({ epoch, other: seen.row, board: null })
        : null;
    let answer = await this.#looks.wait(other, asked, shortMs);
    const first = byRow(answer);
    if (first !== null) return first;
    const board = await within(this.#parts.clock, this.#board, leaseMs / 6);
    const byBoard = witnessOf({ epoch, other: null, board: board?.epoch ?? null });
    if (byBoard.agrees || answer !== null) return byBoard;
    answer = await this.#looks.wait(other, asked, leaseMs / 6);
    return byRow(answer) ?? byBoard;
  }

  /** Nobody was found open: that is a failure when somebody should be, and nothing else is known of him. */
  async #missed(): Promise<Renewal | null> {
    if (this.#open !== null) return this.#renewalOf(this.#open, 'failed');
    this.#board = this.#readBoard();
    const board = await within(this.#parts.clock, this.#board, RECORD_MS);
    const epoch = board?.terms.lease === 'finite' ? board.epoch : null;
    // Since this agent began that host has not said a word; whether another agent reaches it is for identify to find out [F16].
    return epoch === null || this.#looks.answered(epoch.active)
      ? null
      : this.#renewalOf({ host: epoch.active, epoch }, 'failed');
  }

  #renewalOf({ host, epoch: { number, id } }: Open, outcome: Renewal['outcome']): Renewal {
    return { host, epoch: { number, id }, outcome, successes: this.#successes };
  }

  #isOpen(host: Host): boolean {
    const seen = this.#looks.seen(host);
    return seen !== null && seen !== 'none' && openedUnder(seen.row) !== null;
  }

  async #readBoard(): Promise<Board | null> {
    const { store, uniqsign, memory } = this.#parts;
    try {
      const found = await store.findPair(uniqsign);
      if (found === null) return null;
      const { board, policy, policyIsKnown } = found;
      // Where the board has lost it, what was known of it counts, for the decisions of which it was known.
      const isLost = !policyIsKnown && board.terms.lease !== null;
      if (board.roles !== null) this.#known = { roles: board.roles, policy: isLost ? this.#known.policy : policy };
      if (!isLost) this.#policyOf = board.epoch?.number ?? null;
      if (board.terms.lease !== null) memory.remember({ uniqsign, ...this.#known });
      this.#troubles.clear('board');
      return board;
    } catch (error) {
      this.#tellBoard(error);
      return null;
    }
  }

  /** For identify and the other agents. A board that does not answer is told next time. */
  async #record(renewal: Renewal | null): Promise<void> {
    const { store, uniqsign, name, registers, clock } = this.#parts;
    const board = await within(clock, this.#board, RECORD_MS);
    // A pair without a safety has no use for it, and a board that is away gets it when it is back.
    if (!registers || this.#retired || this.#recording !== null) return;
    if (board === null || board.terms.lease === null) return;
    const { active, passive } = this.#known.roles;
    const record: AgentRecord = {
      name,
      reachesBoth: this.#looks.answered(active) && this.#looks.answered(passive),
      renewal,
    };
    this.#recording = store
      .putAgent(uniqsign, record)
      .then(() => this.#troubles.clear('record'))
      .catch((error: unknown) => this.#tellBoard(error))
      .finally(() => {
        this.#recording = null;
      });
    await within(clock, this.#recording, RECORD_MS);
  }

  async #noteLife(host: Host, seen: RowSeen): Promise<void> {
    const { store, uniqsign, clock } = this.#parts;
    const board = await within(clock, this.#board, RECORD_MS);
    if (board === null || board.epoch === null || board.terms.lease === null) return;
    const known = board.lives.get(host);
    const life = lifeAfter(known, seen);
    const boot = `${host} ${seen.uuid} ${seen.row.startedSec}`;
    const isNew = known?.uuid !== seen.uuid || known.startedSec !== seen.row.startedSec;
    // Whoever opened it knows more of it (was it read only before?) and notes that right after; it must not be overwritten.
    const waits = isNew && this.#unnoted !== boot;
    this.#unnoted = isNew ? boot : '';
    if (life === null || waits) return;
    try {
      await within(clock, store.putLife(uniqsign, board.epoch, host, life), RECORD_MS);
    } catch (error) {
      this.#tellBoard(error);
    }
  }

  #tell(host: Host, why: string, level: 'warn' | 'error' = 'error'): void {
    this.#troubles.raise('renewal', `the lease of ${host} is not renewed: ${why}`, {
      level,
      fields: { event: 'not-renewed', host },
    });
  }

  #tellSilence(renewal: Renewal | null): void {
    if (renewal === null) {
      this.#troubles.clear('renewal');
    } else if (renewal.outcome === 'failed' && !this.#looks.answered(renewal.host)) {
      const failure = this.#looks.failure(renewal.host);
      this.#tell(renewal.host, failure === null ? 'it does not answer' : `it does not answer (${failure.message})`);
    } else if (renewal.outcome === 'failed' && !this.#isOpen(renewal.host)) {
      this.#tell(renewal.host, 'it ran out, and the server closed itself');
    }
  }

  #tellArmed(host: Host, { row }: RowSeen): void {
    if (isArmed(row)) {
      this.#troubles.clear('armed');
      return;
    }
    this.#troubles.raise(
      'armed',
      `${host} could not close itself: its EVENT does not tick (is event_scheduler on? did its clock go back?); it was set going again`,
      { fields: { event: 'unarmed', host } },
    );
  }

  /** A board that is away is told once for the whole process, and the renewals go on without it. */
  #tellBoard(error: unknown): void {
    if (error instanceof MmmError && OF_THE_CONNECTION.has(error.code)) return;
    const message = messageOf(error);
    this.#troubles.raise('board', `the board: ${message}; the lease is renewed all the same`);
  }
}

const OF_THE_CONNECTION: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['store-down', 'store-auth', 'store-loading']);

/** It was opened under this decision in this life, and is closed now: its lease ran out, or somebody closed it by hand. */
function isOpenedByRow(row: RowSeen['row'], known: Epoch): boolean {
  return isOfDecision(row.epoch, known) && wasOpenedUnder(row, known) && row.opened?.startedSec === row.startedSec;
}

function whyNot(called: Exclude<Called, { kind: 'done' }>): string {
  if (called.kind === 'not-done') {
    switch (called.why) {
      case 'locked':
        return 'a lock is in the way of its row';
      case 'busy':
        return 'another call runs there';
      case 'lease-out':
      case 'closed':
        return 'it has run out, and the server closes itself';
      case 'not-installed':
        return 'the schema mmm is not there';
      default:
        return `it was opened anew meanwhile (${called.why})`;
    }
  }
  if ('row' in called) return `a higher decision is claimed there (${called.row.epoch?.number})`;
  return called.kind === 'silent'
    ? `the renewal did not come back although the server answers: it cannot write (a full or dead disk?)`
    : called.message;
}

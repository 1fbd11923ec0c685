// The schema `mmm` on a simulated server: its row, the EVENT that closes it, and the comparing calls, with the outcomes of
// src/mysql/schema-calls.ts and schema.ts. test/mysql/call-cases.ts runs the same calls on it and on real servers.
// Part of host.ts; asked by fence.ts.

import type { Call, NotDoneWhy } from '../../src/core/call.ts';
import { FOUND_WRITABLE_MS, type HostRow, isArmed, SCHEMA_VERSION } from '../../src/core/host-row.ts';
import type { Epoch } from '../../src/core/pair.ts';
import type { Chance } from './chance.ts';
import type { SimHost } from './host.ts';
import type { Timeline } from './timeline.ts';

export const LOCK_WAIT_TIMEOUT = 1205;
/** How long a statement waits for a lock, and a call for the named one. */
const LOCK_WAIT_MS = 1_000;
const EVENT_MS = 1_000;
/** After a thaw the scheduler comes to it so late: before or after what waited in the sockets. */
const EVENT_AFTER_THAW_MS = 60;

/** What a procedure tells, or the number of the error that ended it. */
export type Told = { readonly outcome: string; readonly detail: string; readonly row: HostRow | null } | number;

interface Stored {
  uuid: string;
  complete: boolean;
  epoch: Epoch | null;
  opened: HostRow['opened'];
  endless: boolean;
  expiresAtMs: number | null;
  unfenced: boolean;
  tickMs: number | null;
  generation: number;
}

/** Somebody who looks on. */
export interface CallWatcher {
  /** A call was allowed to act, and acts now. */
  callActs(call: Call, host: SimHost): void;
}

export class SimSchema {
  readonly #host: SimHost;
  readonly #timeline: Timeline;
  readonly #chance: Chance;
  readonly #watcher: CallWatcher;
  #stored: Stored | null = null;
  #held = false;
  #waiting: (() => boolean)[] = [];
  /** When the scheduler runs the EVENT next, by the server's own clock; null: there is none, or it is disabled. */
  #nextMs: number | null = null;
  #cancelEvent: () => void = () => {};

  constructor(parts: { host: SimHost; timeline: Timeline; chance: Chance; watcher: CallWatcher }) {
    this.#host = parts.host;
    this.#timeline = parts.timeline;
    this.#chance = parts.chance;
    this.#watcher = parts.watcher;
  }

  /** The row of this server; null: none, or a copy of another one's. */
  get row(): HostRow | null {
    const stored = this.#own;
    if (stored === null) return null;
    const { epoch, opened, endless, expiresAtMs, unfenced, tickMs, generation } = stored;
    return {
      schemaVersion: SCHEMA_VERSION,
      epoch,
      opened,
      lease: endless ? { kind: 'endless' } : expiresAtMs === null ? { kind: 'none' } : { kind: 'finite', expiresAtMs },
      unfenced,
      tickMs,
      generation,
      nowMs: this.#nowMs,
      startedSec: this.#host.startedSec,
      readOnly: this.#host.readOnly,
    };
  }

  /** As schema-install.ts, in two statements: whoever is cut off between them begins again. True: something is to be done. */
  beginInstall(): boolean {
    if (this.#own?.complete === true) return false;
    if (this.#own === null) {
      this.#stored = {
        uuid: this.#host.uuid,
        complete: false,
        epoch: null,
        opened: null,
        endless: false,
        expiresAtMs: null,
        unfenced: true,
        tickMs: null,
        generation: 0,
      };
    }
    return true;
  }

  finishInstall(): void {
    if (this.#own === null || this.#own.complete) return;
    this.#own.complete = true;
    this.rearm();
  }

  get isInstalled(): boolean {
    return this.#own?.complete === true;
  }

  /** ALTER EVENT: the scheduler forgets the time for which it slept. */
  rearm(): void {
    if (this.#stored === null) return;
    this.#nextMs = this.#nowMs + this.#chance.between(0, EVENT_MS);
    this.#schedule();
  }

  disableEvent(): void {
    this.#nextMs = null;
    this.#cancelEvent();
  }

  /** The server's clock was set: its scheduler sleeps until the old time. */
  clockJumped(): void {
    this.#schedule();
  }

  thawed(): void {
    this.#schedule(this.#chance.between(0, EVENT_AFTER_THAW_MS));
  }

  /** The server ended. */
  died(): void {
    this.#held = false;
    this.#waiting = [];
    this.#cancelEvent();
  }

  restarted(): void {
    if (this.#nextMs !== null) this.rearm();
  }

  /** What a test, or somebody by hand, writes into it. */
  overwrite(over: Partial<Omit<Stored, 'uuid' | 'complete'>>): void {
    if (this.#stored !== null) Object.assign(this.#stored, over);
  }

  /** One call, as its procedure. `answer` is called once, or never when the server ends meanwhile. */
  call(call: Call, answer: (told: Told) => void): void {
    if (!this.isInstalled) {
      answer({ outcome: 'not-installed', detail: '', row: null });
      return;
    }
    this.#withLock(
      () => this.#compare(call, (told) => this.#release(() => answer(told))),
      () => answer(this.#tell('busy')),
    );
  }

  #compare(call: Call, end: (told: Told) => void): void {
    const stored = this.#own;
    if (stored === null) {
      end(this.#tell('not-installed'));
      return;
    }
    const { epoch } = call;
    const known = stored.epoch?.number ?? 0;
    if (epoch.number < known || (epoch.number === known && !isSame(epoch, stored.epoch))) {
      end(this.#tell('refused'));
      return;
    }
    const isGrant = call.do === 'open' || call.do === 'renew' || call.do === 'sync';
    if (isGrant && epoch.number > known) {
      end(this.#tell('unclaimed'));
      return;
    }
    const act = () => {
      switch (call.do) {
        case 'claim':
          this.#write(end, () => {
            this.#watcher.callActs(call, this.#host);
            stored.epoch = epoch;
            if (call.unfenced !== null) stored.unfenced = call.unfenced;
            if (!isArmed({ tickMs: stored.tickMs, nowMs: this.#nowMs })) this.rearm();
            end(this.#tell('done'));
          });
          return;
        case 'close':
          this.#close(call, stored, end);
          return;
        case 'open':
          this.#open(call, stored, end);
          return;
        case 'renew':
          this.#renew(call, stored, end);
          return;
        case 'start-sql':
        case 'start-io':
        case 'start-replication':
        case 'stop-io':
        case 'kill':
          end(this.#act(call));
          return;
        case 'sync':
          this.#sync(call, stored, end);
          return;
        case 'source-off':
        case 'acknowledge':
          end(this.#switch(call));
          return;
        default:
          call satisfies never;
      }
    };
    const raises = call.do !== 'claim' && !isGrant;
    if (!raises || epoch.number === known) act();
    else {
      this.#write(end, () => {
        stored.epoch = epoch;
        act();
      });
    }
  }

  #close(call: Extract<Call, { do: 'close' }>, stored: Stored, end: (told: Told) => void): void {
    const host = this.#host;
    const endLease = (did: string) => {
      const nowMs = this.#nowMs;
      const counts = stored.endless || stored.expiresAtMs === null || stored.expiresAtMs > nowMs;
      if (!counts) {
        end(this.#tell('done', did));
        return;
      }
      this.#write(end, () => {
        stored.endless = false;
        stored.expiresAtMs = Math.min(stored.expiresAtMs ?? nowMs, nowMs);
        end(this.#tell('done', did));
      });
    };
    if (host.readOnly) {
      endLease('');
      return;
    }
    this.#watcher.callActs(call, host);
    const closesFirst = host.semiSync.killsTell;
    const kill = () => (call.killClients ? killed(host.killSessions()) : '');
    const before = closesFirst ? '' : kill();
    this.#await(
      () => !host.isLocked,
      () => {
        host.setReadOnly(true);
        endLease(closesFirst ? kill() : before);
      },
      () => {
        const detail = closesFirst ? kill() : before;
        const ended = call.endsWaits === true ? host.endWaits() : null;
        if (ended === null) {
          end(this.#tell('locked', detail));
          return;
        }
        host.setReadOnly(true);
        endLease(`ended what waited for an acknowledgement (sessions: ${ended})`);
      },
    );
  }

  #open(call: Extract<Call, { do: 'open' }>, stored: Stored, end: (told: Told) => void): void {
    const host = this.#host;
    const nowMs = this.#nowMs;
    const writable = !host.readOnly;
    const untilMs = Math.min(call.baseMs, nowMs) + call.leaseMs;
    const endless = call.lease === 'endless';
    const why = this.#whyNotOpened(call, stored, nowMs);
    if (why === 'unarmed') this.rearm();
    if (why !== null) {
      end(this.#tell(why));
      return;
    }
    if (call.lossless && !writable) host.semiSync.switchOn();
    this.#write(end, () => {
      this.#watcher.callActs(call, host);
      stored.opened = { number: call.epoch.number, id: call.epoch.id, startedSec: host.startedSec };
      if (!endless) stored.unfenced = false;
      const wasEndless = stored.endless;
      stored.endless = endless;
      stored.expiresAtMs = endless
        ? null
        : writable && !wasEndless
          ? Math.min(Math.max(stored.expiresAtMs ?? 0, untilMs), nowMs + call.leaseMs)
          : untilMs;
      if (writable) {
        end(this.#tell('done'));
        return;
      }
      // The row first, then read_only: a freeze may come between the two, and after both.
      host.after(this.#chance.between(0, 1 + host.slowMs), () => {
        host.setReadOnly(false);
        host.after(this.#chance.between(0, 1), () => {
          if (this.#nowMs < untilMs) {
            end(this.#tell('done'));
            return;
          }
          const closeAgain = () => {
            host.setReadOnly(true);
            end(this.#tell('late'));
          };
          this.#await(
            () => host.semiSync.waiting === 0,
            closeAgain,
            () => end(LOCK_WAIT_TIMEOUT),
          );
        });
      });
    });
  }

  #sync(call: Extract<Call, { do: 'sync' }>, stored: Stored, end: (told: Told) => void): void {
    const host = this.#host;
    const why = this.#whyNotSwitched(call, stored);
    if (why !== null) {
      end(this.#tell(why));
      return;
    }
    this.#write(end, () => {
      this.#watcher.callActs(call, host);
      stored.generation = call.generation;
      end(this.#tell(this.#switchSource(call.on)));
    });
  }

  /** Where there is nothing to switch off it is off. */
  #switchSource(on: boolean): 'done' | 'no-semi-sync' {
    const { semiSync, hasSemiSync } = this.#host;
    if (!hasSemiSync) return on ? 'no-semi-sync' : 'done';
    if (on) semiSync.switchOn();
    else semiSync.switchOff();
    return 'done';
  }

  #whyNotSwitched({ epoch, generation }: Extract<Call, { do: 'sync' }>, stored: Stored): NotDoneWhy | null {
    if (!this.#isOpenedUnder(epoch, stored)) return 'not-open';
    if (this.#host.readOnly) return 'closed';
    return generation < stored.generation ? 'stale' : null;
  }

  #isOpenedUnder({ number, id }: Epoch, { opened }: Stored): boolean {
    return opened?.number === number && opened.id === id && opened.startedSec === this.#host.startedSec;
  }

  /** On a closed host: its own source side goes off, or its I/O thread is told whether to acknowledge. */
  #switch(call: Extract<Call, { do: 'source-off' | 'acknowledge' }>): Told {
    const host = this.#host;
    if (call.do === 'source-off') {
      if (!host.readOnly) return this.#tell('open');
      if (host.semiSync.source) this.#watcher.callActs(call, host);
      return this.#tell(this.#switchSource(false));
    }
    if (!host.hasSemiSync) return this.#tell(call.on ? 'no-semi-sync' : 'done');
    if (host.semiSync.replica !== call.on) this.#watcher.callActs(call, host);
    host.semiSync.replica = call.on;
    return this.#tell('done');
  }

  #renew(call: Extract<Call, { do: 'renew' }>, stored: Stored, end: (told: Told) => void): void {
    const host = this.#host;
    const nowMs = this.#nowMs;
    const why = this.#whyNotRenewed(call.epoch, stored, nowMs);
    if (why !== null) {
      end(this.#tell(why));
      return;
    }
    // Between looking and writing; a server that is frozen here writes what it worked out before.
    const untilMs = Math.min(call.baseMs, nowMs) + call.leaseMs;
    host.after(this.#chance.between(0, 1 + host.slowMs), () => {
      this.#write(end, () => {
        this.#watcher.callActs(call, host);
        if (!stored.endless && stored.expiresAtMs !== null) {
          stored.expiresAtMs = Math.min(Math.max(stored.expiresAtMs, untilMs), nowMs + call.leaseMs);
        }
        if (!isArmed({ tickMs: stored.tickMs, nowMs })) this.rearm();
        end(this.#tell('done'));
      });
    });
  }

  #whyNotOpened(call: Extract<Call, { do: 'open' }>, stored: Stored, nowMs: number): NotDoneWhy | null {
    const { startedSec, readOnly, replica, hasSemiSync } = this.#host;
    const ours = stored.opened?.number === call.epoch.number && stored.opened.id === call.epoch.id;
    const inThisBoot = stored.opened?.startedSec === startedSec;
    const endless = call.lease === 'endless';
    if (call.startedSec !== startedSec) return 'rebooted';
    if (Math.min(call.baseMs, nowMs) + call.leaseMs <= nowMs) return 'late';
    if (!endless && !isArmed({ tickMs: stored.tickMs, nowMs })) return 'unarmed';
    if (!readOnly) {
      if (isOut(stored, nowMs)) return 'lease-out';
      return ours && inThisBoot && stored.endless !== endless ? 'other-lease' : null;
    }
    const isDrained = replica.sqlStarted && replica.relay.length === 0;
    if (!ours && replica.ioStarted) return 'io-runs';
    if (!ours && call.demand === 'drained' && !isDrained) return 'unapplied';
    return call.lossless && !hasSemiSync ? 'no-semi-sync' : null;
  }

  #whyNotRenewed(epoch: Epoch, stored: Stored, nowMs: number): NotDoneWhy | null {
    if (!this.#isOpenedUnder(epoch, stored)) return 'not-open';
    if (this.#host.readOnly) return 'closed';
    return isOut(stored, nowMs) ? 'lease-out' : null;
  }

  #act(call: Extract<Call, { do: `start-${string}` | 'stop-io' | 'kill' }>): Told {
    const host = this.#host;
    const { replica } = host;
    if (call.do === 'stop-io') {
      if (replica.ioStarted) this.#watcher.callActs(call, host);
      replica.stop({ io: true, sql: false });
      return this.#tell('done');
    }
    if (call.do === 'kill') {
      this.#watcher.callActs(call, host);
      return this.#tell('done', killed(host.killSessions()));
    }
    if (!call.fromStandstill && !replica.ioStarted && !replica.sqlStarted) return this.#tell('standstill');
    const wanted = { io: call.do !== 'start-sql', sql: call.do !== 'start-io' };
    if ((wanted.io && !replica.ioStarted) || (wanted.sql && !replica.sqlStarted)) {
      this.#watcher.callActs(call, host);
      replica.start(wanted);
    }
    return this.#tell('done');
  }

  #tick(): void {
    const host = this.#host;
    // The scheduler notes each run in a table, so it waits for a global read lock as everybody does.
    if (host.readLocks > 0) {
      this.#nextMs = this.#nowMs;
      this.#schedule(this.#chance.between(10, 100));
      return;
    }
    const nowMs = this.#nowMs;
    this.#nextMs = nowMs + EVENT_MS;
    const stored = this.#own;
    if (stored?.complete === true) {
      if (!host.readOnly && isOut(stored, nowMs) && !host.isLocked) {
        host.tell('closes itself');
        host.setReadOnly(true);
        if (stored.opened?.startedSec !== host.startedSec) stored.expiresAtMs = FOUND_WRITABLE_MS;
      }
      stored.tickMs = nowMs;
    }
    this.#schedule();
  }

  #schedule(leastMs = 0): void {
    this.#cancelEvent();
    const nextMs = this.#nextMs;
    if (nextMs === null) return;
    this.#cancelEvent = this.#timeline.after(Math.max(leastMs, nextMs - this.#nowMs), () => {
      // A frozen one is scheduled again when it is thawed, a dead one when it is restarted.
      if (this.#host.state === 'up') this.#tick();
    });
  }

  get #own(): Stored | null {
    return this.#stored?.uuid === this.#host.uuid ? this.#stored : null;
  }

  get #nowMs(): number {
    return Math.floor(this.#host.serverTime() * 1_000);
  }

  #tell(outcome: string, detail = ''): Told {
    return { outcome, detail, row: this.row };
  }

  /** Writes the row: after a global read lock, or not at all. */
  #write(end: (told: Told) => void, act: () => void): void {
    this.#await(
      () => this.#host.readLocks === 0,
      act,
      () => end(LOCK_WAIT_TIMEOUT),
    );
  }

  #await(isFree: () => boolean, act: () => void, giveUp: () => void): void {
    if (isFree()) {
      act();
      return;
    }
    this.#host.after(LOCK_WAIT_MS, () => {
      if (isFree()) act();
      else giveUp();
    });
  }

  #withLock(act: () => void, busy: () => void): void {
    if (!this.#held) {
      this.#held = true;
      act();
      return;
    }
    let over = false;
    this.#waiting.push(() => {
      if (over) return false;
      over = true;
      act();
      return true;
    });
    this.#host.after(LOCK_WAIT_MS, () => {
      if (over) return;
      over = true;
      busy();
    });
  }

  #release(then: () => void): void {
    this.#held = false;
    then();
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      this.#held = true;
      if (next()) return;
      this.#held = false;
    }
  }
}

function isSame(one: Epoch, other: Epoch | null): boolean {
  return other !== null && one.id === other.id && one.active === other.active;
}

function isOut({ endless, expiresAtMs }: Stored, nowMs: number): boolean {
  return !endless && expiresAtMs !== null && expiresAtMs <= nowMs;
}

function killed(count: number): string {
  return count === 0 ? '' : `killed ${count} ${count === 1 ? 'session' : 'sessions'} of app`;
}

// A host as a simulated daemon reaches it: the Server of src/mysql/server.ts over simulated links. It times out, loses and renews its
// connection as src/mysql/connection.ts does, and does steps in as many questions as src/mysql/steps.ts, so that each can be cut off
// between any two of them.

import type { Evidence, Facts } from '../../src/core/observation.ts';
import { hasReceived, isApplied } from '../../src/core/replication.ts';
import type { Applied, PlainStep, Step } from '../../src/core/step.ts';
import type { Server } from '../../src/mysql/server.ts';
import type { SimHost } from './host.ts';
import { Broken, DeadlinePassed, graded, type Line, type LinkParts, SimLink } from './link.ts';

const ANSWER_MS = 2_000;
const READ_ONLY_MS = 2_500;
const CLOSE_MS = 5_000;
const WAIT_MS = 2_000;
const POLL_MS = 40;
const LOCK_WAIT_MS = 1_000;
/** A timer that is later than this was not late because of the host. */
const STARVED_MS = 500;

export interface SimServerParts extends LinkParts {
  readonly connectTimeoutMs: number;
  /** The checkers look at each step at the moment when it begins. */
  readonly onStep: (step: Step) => void;
}

export class SimServer implements Server {
  readonly host;
  readonly #parts: SimServerParts;
  readonly #link: SimLink;
  #line: Line | null = null;
  #witness: Line | null = null;
  #broke = false;
  #closed = false;
  readonly #listeners: (() => void)[] = [];
  #turn: Promise<unknown> = Promise.resolve();
  #calls = 0;

  constructor(parts: SimServerParts) {
    this.#parts = parts;
    this.#link = new SimLink(parts, (line) => this.#ended(line));
    this.host = parts.target.host;
  }

  get connectionBroke(): boolean {
    return this.#broke;
  }

  onBroken(listener: () => void): void {
    this.#listeners.push(listener);
  }

  probe(): Promise<Evidence> {
    return this.#inTurn(async () => {
      let result = await this.#look();
      if (result instanceof DeadlinePassed && result.lateMs > STARVED_MS) result = await this.#look();
      if (result instanceof Error) return graded(result);
      this.#broke = false;
      this.#link.hangUp(this.#witness);
      this.#witness = null;
      return { kind: 'answered', facts: result };
    });
  }

  async pulse(withinMs: number): Promise<boolean> {
    if (this.#line === null || this.#calls > 0) return true;
    try {
      return await this.#ask(() => true, withinMs);
    } catch (error) {
      return !(error instanceof DeadlinePassed);
    }
  }

  apply(step: PlainStep): Promise<Applied> {
    this.#parts.onStep(step);
    return this.#inTurn(async () => {
      for (;;) {
        const wasWarm = this.#line !== null;
        try {
          return await this.#do(step);
        } catch (error) {
          this.#lose(error);
          if (!wasWarm || !(error instanceof Broken)) return graded(error);
        }
      }
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#link.hangUp(this.#line);
    this.#link.hangUp(this.#witness);
    this.#line = null;
    this.#witness = null;
  }

  async #look(): Promise<Facts | Error> {
    const dueMs = this.#parts.life.clock.monotonic() + this.#parts.connectTimeoutMs;
    for (;;) {
      const wasWarm = this.#line !== null;
      try {
        await this.#connect(dueMs);
        return await this.#facts(dueMs - this.#parts.life.clock.monotonic());
      } catch (error) {
        this.#lose(error);
        if (!wasWarm || !(error instanceof Broken)) return error instanceof Error ? error : new Error(String(error));
      }
    }
  }

  async #do(step: PlainStep): Promise<Applied> {
    await this.#connect(this.#parts.life.clock.monotonic() + this.#parts.connectTimeoutMs);
    switch (step.do) {
      case 'block':
        return await this.#ask((host) => {
          host.setBlocked(true);
          return done(`blocked accounts, killed ${host.killSessions()} sessions`);
        });
      case 'release':
        return await this.#ask((host) => {
          host.setBlocked(false);
          return done('released accounts');
        });
      case 'close':
        return await this.#close();
      case 'open':
        return await this.#open(step);
      case 'stop-io':
        return await this.#stopIo();
      case 'start-io':
        return await this.#start({ io: true, sql: false });
      case 'start-sql':
        return await this.#start({ io: false, sql: true });
      case 'start-replication':
        return await this.#start({ io: true, sql: true });
      case 'await-applied':
        return await this.#wait('all is applied', isApplied);
      case 'await-received':
        return await this.#wait('it is received', (facts) => hasReceived(facts, step.position, step.gtid));
      default:
        return step satisfies never;
    }
  }

  async #close(): Promise<Applied> {
    if ((await this.#facts()).readOnly) return done('it is read only already');
    const dueMs = this.#parts.life.clock.monotonic() + CLOSE_MS;
    for (;;) {
      const killed = await this.#ask((host) => host.killSessions());
      if (await this.#setReadOnly()) return done(`killed ${killed} sessions, set read_only`);
      if (this.#parts.life.clock.monotonic() + 1_000 > dueMs) {
        return { kind: 'not-done', why: 'read_only could not be set: a lock is in the way' };
      }
    }
  }

  /** The server waits for its locks for a second, and then gives up. */
  async #setReadOnly(): Promise<boolean> {
    return await this.#ask((host) => {
      if (host.isLocked) return false;
      host.setReadOnly(true);
      return true;
    }, READ_ONLY_MS).then(async (set) => {
      if (!set) await this.#parts.life.clock.sleep(LOCK_WAIT_MS);
      return set;
    });
  }

  async #open({ deadlineServerTime, drained }: Extract<PlainStep, { do: 'open' }>): Promise<Applied> {
    await this.#ask((host) => {
      // One statement, which compares with the server's own clock and looks at its threads whenever it runs.
      const { ioStarted, relay } = host.replica;
      const replicates = drained && (ioStarted || relay.length > 0);
      if (host.serverTime() <= deadlineServerTime && !replicates) host.setReadOnly(false);
    });
    const { readOnly, replication } = await this.#facts();
    if (!readOnly) return done('set read_only off');
    return drained && replication?.io !== 'No'
      ? { kind: 'not-done', why: 'its I/O thread runs again', code: 'io-runs' }
      : { kind: 'not-done', why: 'it came after its deadline by the server’s own clock, and did nothing' };
  }

  async #stopIo(): Promise<Applied> {
    if ((await this.#facts()).replication?.io === 'No') return done('its I/O thread is stopped already');
    await this.#ask((host) => host.replica.stop({ io: true, sql: false }));
    return done('stopped its I/O thread');
  }

  async #start(threads: { io: boolean; sql: boolean }): Promise<Applied> {
    const facts = await this.#facts();
    const { replication } = facts;
    if (replication === null) return { kind: 'not-done', why: 'replication was never set up on it' };
    if ((!threads.sql || replication.sql === 'Yes') && (!threads.io || replication.io !== 'No')) return done('it runs');
    if (replication.io === 'No' && replication.sql === 'No' && replication.purgesOnStart && !isApplied(facts)) {
      return { kind: 'not-done', why: 'starting would throw away what is received and not applied' };
    }
    await this.#ask((host) => host.replica.start(threads));
    return done(`started ${threads.io ? 'I/O' : ''} ${threads.sql ? 'SQL' : ''}`);
  }

  async #wait(goal: string, reached: (facts: Facts) => boolean): Promise<Applied> {
    const { clock } = this.#parts.life;
    const dueMs = clock.monotonic() + WAIT_MS;
    for (;;) {
      const facts = await this.#facts();
      if (reached(facts)) return done(goal);
      if (clock.monotonic() > dueMs) return { kind: 'not-done', why: `not yet: ${goal}` };
      await clock.sleep(POLL_MS);
    }
  }

  #facts(withinMs?: number): Promise<Facts> {
    return this.#ask((host) => host.facts(), withinMs);
  }

  #ask<T>(act: (host: SimHost) => T, withinMs: number = ANSWER_MS): Promise<T> {
    return this.#link.ask(this.#line, act, withinMs);
  }

  async #connect(dueMs: number): Promise<void> {
    if (this.#line !== null) return;
    if (this.#closed) throw new Error('this server was closed');
    this.#line = await this.#link.open(dueMs - this.#parts.life.clock.monotonic());
  }

  #lose(error: unknown): void {
    if (error instanceof DeadlinePassed) {
      if (this.#line === null) return;
      this.#link.hangUp(this.#witness);
      this.#witness = this.#line;
      this.#line = null;
    } else if (error instanceof Broken && this.#line?.over === true) {
      this.#line = null;
    }
  }

  #ended(line: Line): void {
    if (this.#line !== line && this.#witness !== line) return;
    if (this.#line === line) this.#line = null;
    if (this.#witness === line) this.#witness = null;
    this.#broke = true;
    for (const listener of this.#listeners) listener();
  }

  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    this.#calls += 1;
    const result = this.#turn.then(act).finally(() => {
      this.#calls -= 1;
    });
    this.#turn = result.catch(() => undefined);
    return result;
  }
}

function done(did: string): Applied {
  return { kind: 'done', did };
}

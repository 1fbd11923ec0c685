// The Server of real life: one warm connection to one host, kept by probing, opened again when it is gone.
// Comes from monitor.ts and agent.ts through server.ts; goes on to link.ts (the socket), facts.ts (the look) and steps.ts (the acts).

import { setTimeout as sleep } from 'node:timers/promises';
import type { BlockPatterns, MysqlAccess } from '../core/config.ts';
import { MmmError } from '../core/errors.ts';
import type { Evidence, Facts } from '../core/observation.ts';
import type { Host } from '../core/pair.ts';
import type { Applied, PlainStep } from '../core/step.ts';
import { DeadlinePassed, gradeError, isConnectionOver, serverErrorNumber } from './evidence.ts';
import { hasSchema, type Identity, type Look, Quiet, readFacts, readIdentity } from './facts.ts';
import { Deadline, Link } from './link.ts';
import type { Server } from './server.ts';
import { applyStep } from './steps.ts';

export interface ServerOptions {
  readonly host: Host;
  readonly access: MysqlAccess;
  /** Users that are not counted as application connections. */
  readonly excludeUsers: readonly string[];
  /** The agent's patterns; null: accounts are neither counted nor changed. */
  readonly block: BlockPatterns | null;
}

/** A server behind a warm connection that is opened at the first call. */
export function openServer(options: ServerOptions): Server {
  return new LiveServer(options);
}

/** A timer that is later than this was not late because of the host. */
const STARVED_MS = 500;
/** A server that dies while we log in resets that connection; a moment later its port is refused, and that is the evidence. */
const RESET_TRIES = 3;
const RESET_PAUSE_MS = 20;
/** A whole look may take so many connect timeouts while the host goes on answering. */
const PATIENCE = 3;
/** How long one answer to a step's statement may take. */
const ANSWER_MS = 2_000;
const QUIT_MS = 200;

/** A connection with what was learned about the server when it was opened. */
interface Line {
  readonly link: Link;
  readonly identity: Identity;
  /** A row of ours was there then. */
  readonly hasSchema: boolean;
}

class LiveServer implements Server {
  readonly host: Host;
  readonly #options: ServerOptions;
  readonly #quiet = new Quiet();
  #line: Line | null = null;
  /**
   * A connection that did not answer in time. It is not asked again, but stays open until the host answers on another one: when
   * it breaks, the frozen server has died, which nothing else would tell.
   */
  #witness: Link | null = null;
  #broke = false;
  #closed = false;
  readonly #listeners: (() => void)[] = [];
  /** One call at a time: a connection answers in order. */
  #turn: Promise<unknown> = Promise.resolve();
  /** Under way, or waiting for their turn. */
  #calls = 0;

  constructor(options: ServerOptions) {
    this.host = options.host;
    this.#options = options;
  }

  get connectionBroke(): boolean {
    return this.#broke;
  }

  onBroken(listener: () => void): void {
    this.#listeners.push(listener);
  }

  probe({ row } = { row: false }): Promise<Evidence> {
    return this.#inTurn(async () => {
      let result = await this.#look(row);
      // Not the host was late but we were: what we saw meanwhile is no evidence of anything.
      if (result instanceof DeadlinePassed && result.lateMs > STARVED_MS) result = await this.#look(row);
      if (result instanceof Error) return gradeError(result);
      this.#broke = false;
      this.#witness?.destroy();
      this.#witness = null;
      return { kind: 'answered', facts: result };
    });
  }

  async pulse(withinMs: number): Promise<boolean> {
    const line = this.#line;
    if (line === null || this.#calls > 0) return true;
    try {
      await line.link.ping(new Deadline(withinMs));
      return true;
    } catch (error) {
      // A connection that broke is told by its own end.
      return !(error instanceof DeadlinePassed);
    }
  }

  apply(step: PlainStep): Promise<Applied> {
    return this.#inTurn(async () => {
      for (;;) {
        const wasWarm = this.#line !== null;
        try {
          return await applyStep(step, this.#asked(await this.#connected(this.#patience())));
        } catch (error) {
          this.#lose(error);
          // Accounts are changed with the binary log off: after an error there this connection must not go on.
          if (step.do === 'block' || step.do === 'release') this.#drop();
          // The warm connection was a dead one: a step can be done twice, so it gets a living one, once.
          if (!wasWarm || !isConnectionOver(error)) return gradeError(error);
        }
      }
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#witness?.destroy();
    this.#witness = null;
    const line = this.#line;
    this.#line = null;
    await line?.link.quit(new Deadline(QUIT_MS));
  }

  /** The facts, or why there are none: within one connect timeout when nothing answers. */
  async #look(wantsRow: boolean): Promise<Facts | Error> {
    const patience = this.#patience();
    for (;;) {
      const wasWarm = this.#line !== null;
      try {
        const line = await this.#connected(patience);
        return await readFacts(this.#asked(line, patience), wantsRow || line.hasSchema);
      } catch (error) {
        this.#lose(error);
        if (!wasWarm || !isConnectionOver(error)) return error instanceof Error ? error : new Error(String(error));
      }
    }
  }

  async #connected(patience: Patience): Promise<Line> {
    if (this.#line !== null) return this.#line;
    this.#refuseClosed();
    const link = await this.#dial(patience.next());
    try {
      const line = { link, ...(await prepare(link, patience)) };
      this.#refuseClosed();
      this.#line = line;
      link.onEnd(() => this.#ended(link));
      return line;
    } catch (error) {
      link.destroy();
      throw error;
    }
  }

  #refuseClosed(): void {
    if (this.#closed) throw new Error('this server was closed by mmm itself');
  }

  async #dial(deadline: Deadline): Promise<Link> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await Link.open(this.host, this.#options.access, deadline);
      } catch (error) {
        const reset = serverErrorNumber(error) === null && isConnectionOver(error);
        if (!reset || attempt === RESET_TRIES || deadline.leftMs <= RESET_PAUSE_MS) throw error;
        await sleep(RESET_PAUSE_MS);
      }
    }
  }

  #asked({ link, identity }: Line, patience?: Patience): Look {
    return {
      identity,
      excludeUsers: this.#options.excludeUsers,
      block: this.#options.block,
      quiet: this.#quiet,
      ask: (sql, values = [], withinMs = ANSWER_MS) =>
        link.query(sql, values, patience?.next() ?? new Deadline(withinMs)),
    };
  }

  /** Gives the connection up when this error means that it cannot be asked again. */
  #lose(error: unknown): void {
    if (error instanceof DeadlinePassed) {
      if (this.#line === null) return;
      this.#witness?.destroy();
      this.#witness = this.#line.link;
      this.#line = null;
    } else if (isConnectionOver(error)) {
      // The question hears of the break before the socket's own end does; it must be told all the same.
      const link = this.#line?.link;
      this.#drop();
      if (link !== undefined) this.#ended(link);
    } else if (serverErrorNumber(error) === null && !(error instanceof MmmError)) {
      this.#drop();
    }
  }

  #drop(): void {
    this.#line?.link.destroy();
    this.#line = null;
  }

  #ended(link: Link): void {
    if (this.#line?.link === link) this.#line = null;
    if (this.#witness === link) this.#witness = null;
    this.#broke = true;
    for (const listener of this.#listeners) listener();
  }

  #patience(): Patience {
    return new Patience(this.#options.access.connectTimeoutMs);
  }

  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    this.#calls += 1;
    const result = this.#turn.then(act).finally(() => {
      this.#calls -= 1;
    });
    // The next call waits for this one to end, however it ends; its own caller is told.
    this.#turn = result.catch(() => undefined);
    return result;
  }
}

/**
 * Each answer earns the next one its own connect timeout: a host that answers slowly, on a far or crowded network, takes writes and is
 * not silent, though all the questions of one look together take it longer.
 */
class Patience {
  readonly #eachMs: number;
  readonly #whole: Deadline;

  constructor(connectTimeoutMs: number) {
    this.#eachMs = connectTimeoutMs;
    this.#whole = new Deadline(PATIENCE * connectTimeoutMs);
  }

  next(): Deadline {
    return new Deadline(Math.min(this.#eachMs, this.#whole.leftMs));
  }
}

/** Everything that is set once per connection, and what is learned once. */
async function prepare(link: Link, patience: Patience): Promise<Omit<Line, 'link'>> {
  const ask = (sql: string, values: readonly unknown[] = []) => link.query(sql, values, patience.next());
  // sql_mode: ours must not depend on the operator's (ANSI_QUOTES, NO_BACKSLASH_ESCAPES). time_zone: times do not repeat in autumn.
  // The lock timeouts bound what a close call waits for; both are at their smallest.
  await ask(
    `SET SESSION sql_mode = '', SESSION time_zone = '+00:00', SESSION autocommit = 1, SESSION lock_wait_timeout = 1,
      SESSION innodb_lock_wait_timeout = 1, SESSION wait_timeout = 86400`,
  );
  return { identity: await readIdentity({ ask }), hasSchema: await hasSchema({ ask }) };
}

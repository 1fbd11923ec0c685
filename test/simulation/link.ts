// A simulated connection from a daemon to a host: how it is made, asked, lost and waited for. Used by server.ts (probes and steps) and
// fence.ts (comparing calls), as src/mysql/link.ts is by both of theirs.

import type { Failure } from '../../src/core/observation.ts';
import type { Connection, SimHost } from './host.ts';
import type { Network } from './network.ts';
import type { Life } from './process.ts';

/** The question was not answered in time; `lateMs`: how late our own timer was. */
export class DeadlinePassed extends Error {
  readonly lateMs: number;
  constructor(lateMs: number) {
    super('timed out');
    this.lateMs = lateMs;
  }
}
/** The connection is over. */
export class Broken extends Error {}
/** There is no connection to be had. */
class Refused extends Error {
  readonly kind: 'refused' | 'saturated' | 'denied';
  constructor(kind: Refused['kind']) {
    super(kind);
    this.kind = kind;
  }
}

export interface Line {
  readonly connection: Connection;
  /** What waits for an answer on it. */
  readonly waiting: Set<(error: Error) => void>;
  over: boolean;
}

export interface LinkParts {
  readonly life: Life;
  readonly target: SimHost;
  readonly network: Network;
}

/** Connections from one process to one host, each with its questions. */
export class SimLink {
  readonly #parts: LinkParts;
  readonly #onEnd: (line: Line) => void;

  constructor(parts: LinkParts, onEnd: (line: Line) => void) {
    this.#parts = parts;
    this.#onEnd = onEnd;
  }

  open(withinMs: number): Promise<Line> {
    const { life, target, network } = this.#parts;
    return this.#within<Line>(null, withinMs, (resolve, reject) => {
      const refuse = () =>
        network.send(target.name, life.name, () => life.deliver(() => reject(new Refused('refused'))));
      if (network.isRejected(life.name, target.name)) {
        refuse();
        return;
      }
      network.send(life.name, target.name, () =>
        target.serve(() => {
          const dialled = target.dial(life.name, false, () => life.deliver(() => this.#ended(fresh)));
          if (dialled.kind !== 'connected') {
            const { kind } = dialled;
            network.send(target.name, life.name, () => life.deliver(() => reject(new Refused(kind))));
            return;
          }
          const fresh: Line = { connection: dialled.connection, waiting: new Set(), over: false };
          network.send(target.name, life.name, () => life.deliver(() => resolve(fresh)));
        }, refuse),
      );
    });
  }

  /** One question and its answer. It is done whenever it reaches the server, whether anybody waits or not. */
  ask<T>(line: Line | null, act: (host: SimHost) => T, withinMs: number): Promise<T> {
    return this.askSlowly<T>(line, (host, answer) => answer(act(host)), withinMs);
  }

  /** The same, for what the server does not answer at once. */
  askSlowly<T>(
    line: Line | null,
    act: (host: SimHost, answer: (value: T) => void) => void,
    withinMs: number,
  ): Promise<T> {
    // A process that is stopped right here sends when it is continued, and its time runs from then on.
    return new Promise((resolve) => {
      this.#parts.life.deliver(() => resolve(this.#ask(line, act, withinMs)));
    });
  }

  #ask<T>(line: Line | null, act: (host: SimHost, answer: (value: T) => void) => void, withinMs: number): Promise<T> {
    const { life, target, network } = this.#parts;
    if (line === null || line.over) return Promise.reject(new Broken('no connection'));
    return this.#within(line, withinMs, (resolve, reject) => {
      const reset = () => network.send(target.name, life.name, () => life.deliver(() => this.#ended(line)));
      line.waiting.add(reject);
      if (network.isRejected(life.name, target.name)) {
        reset();
        return;
      }
      network.send(life.name, target.name, () =>
        target.serve(() => {
          // A connection of an earlier life of the server.
          if (line.connection.boot !== target.boot) {
            reset();
            return;
          }
          act(target, (answer) => network.send(target.name, life.name, () => life.deliver(() => resolve(answer))));
        }, reset),
      );
    });
  }

  hangUp(line: Line | null): void {
    if (line === null) return;
    line.over = true;
    this.#parts.target.hangUp(line.connection);
  }

  #within<T>(
    line: Line | null,
    ms: number,
    begin: (resolve: (value: T) => void, reject: (error: Error) => void) => void,
  ): Promise<T> {
    const { life } = this.#parts;
    const dueMs = life.clock.monotonic() + ms;
    return new Promise((resolve, reject) => {
      const fail = (error: Error) => {
        cancel();
        line?.waiting.delete(fail);
        reject(error);
      };
      const cancel = life.after(ms, () => fail(new DeadlinePassed(life.clock.monotonic() - dueMs)));
      begin((value) => {
        cancel();
        line?.waiting.delete(fail);
        resolve(value);
      }, fail);
    });
  }

  #ended(line: Line): void {
    if (line.over) return;
    line.over = true;
    for (const reject of [...line.waiting]) reject(new Broken('the connection was reset'));
    this.#onEnd(line);
  }
}

export function graded(error: unknown): Failure {
  if (error instanceof Refused) {
    if (error.kind === 'saturated') return { kind: 'saturated', code: '1040', message: 'too many connections' };
    if (error.kind === 'denied') return { kind: 'auth-refused', code: '1045', message: 'access denied' };
    return { kind: 'refused', code: 'ECONNREFUSED', message: 'connection refused' };
  }
  if (error instanceof Broken) return { kind: 'refused', code: 'ECONNRESET', message: 'connection reset' };
  if (error instanceof DeadlinePassed) return { kind: 'silent', code: 'ETIMEDOUT', message: 'timed out' };
  throw error;
}

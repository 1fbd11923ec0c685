// A host's comparing calls as a simulated daemon reaches them: the Fence of src/mysql/fence.ts over simulated links, with the deadlines
// and repetitions of src/mysql/fence-connection.ts. What the server does with a call is in schema.ts.

import { type Call, type Called, notDoneWhy } from '../../src/core/call.ts';
import type { Host } from '../../src/core/pair.ts';
import type { Fence, Installed, Looked } from '../../src/mysql/fence.ts';
import type { SimHost } from './host.ts';
import { Broken, graded, type Line, type LinkParts, SimLink } from './link.ts';
import { LOCK_WAIT_TIMEOUT, type Told } from './schema.ts';

const CALL_MS = 2_500;
const CLOSE_TRY_MS = 1_500;
const THREAD_MS = 7_000;
const RENEW_MS = 2_000;
const LOOK_MS = 1_000;
const STATEMENT_MS = 5_000;

export interface SimFenceParts extends LinkParts {
  readonly connectTimeoutMs: number;
  /** Right before a call is sent; null: a look. */
  readonly onCall: (call: Call | null) => void;
}

export class SimFence implements Fence {
  readonly host: Host;
  readonly #parts: SimFenceParts;
  readonly #link: SimLink;
  #line: Line | null = null;
  #closed = false;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(parts: SimFenceParts) {
    this.#parts = parts;
    this.host = parts.target.host;
    this.#link = new SimLink(parts, (line) => {
      if (this.#line === line) this.#line = null;
    });
  }

  install(): Promise<Installed> {
    return this.#inTurn<Installed>(async () => {
      const changed = await this.#ask((host) => host.schema.beginInstall(), STATEMENT_MS);
      if (changed) await this.#ask((host) => host.schema.finishInstall(), STATEMENT_MS);
      const row = await this.#ask((host) => (host.schema.isInstalled ? host.schema.row : null), LOOK_MS);
      return row === null ? { kind: 'unfinished' } : { kind: 'done', changed, row, lacks: null };
    });
  }

  look(): Promise<Looked> {
    return this.#inTurn<Looked>(async () => {
      this.#parts.onCall(null);
      const row = await this.#ask((host) => (host.schema.isInstalled ? host.schema.row : null), LOOK_MS);
      return row === null ? { kind: 'none' } : { kind: 'row', row, uuid: this.#parts.target.uuid };
    });
  }

  call(call: Call): Promise<Called> {
    return this.#inTurn<Called>(() => (call.do === 'close' ? this.#closeUntil(call) : this.#call(call)));
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#link.hangUp(this.#line);
    this.#line = null;
  }

  #inTurn<T>(act: () => Promise<T>): Promise<T | ReturnType<typeof graded>> {
    const result = this.#turn.then(() => this.#attempt(act));
    this.#turn = result.catch(() => undefined);
    return result;
  }

  async #attempt<T>(act: () => Promise<T>): Promise<T | ReturnType<typeof graded>> {
    for (;;) {
      const wasWarm = this.#line !== null;
      try {
        await this.#connect();
        return await act();
      } catch (error) {
        this.#link.hangUp(this.#line);
        this.#line = null;
        if (!wasWarm || !(error instanceof Broken)) return graded(error);
      }
    }
  }

  async #connect(): Promise<void> {
    if (this.#line !== null) return;
    if (this.#closed) throw new Broken('this fence was closed');
    this.#line = await this.#link.open(this.#parts.connectTimeoutMs);
  }

  async #closeUntil(call: Extract<Call, { do: 'close' }>): Promise<Called> {
    const { clock } = this.#parts.life;
    const untilMs = clock.monotonic() + call.withinMs;
    let called = await this.#call(call, Math.max(call.withinMs, CALL_MS));
    for (;;) {
      const again = called.kind === 'not-done' && (called.why === 'locked' || called.why === 'busy');
      const leftMs = untilMs - clock.monotonic();
      if (!again || leftMs < CLOSE_TRY_MS) return called;
      called = await this.#call(call, leftMs);
    }
  }

  async #call(call: Call, withinMs = deadlineOf(call)): Promise<Called> {
    this.#parts.onCall(call);
    const told = await this.#link.askSlowly<Told>(
      this.#line,
      (host, answer) => host.schema.call(call, answer),
      withinMs,
    );
    if (typeof told === 'number') {
      if (told !== LOCK_WAIT_TIMEOUT) throw new Error(`error ${told}`);
      return { kind: 'not-done', why: 'locked', row: null };
    }
    const { outcome, detail, row } = told;
    if (outcome === 'done' && row !== null) return { kind: 'done', did: detail, row };
    if (outcome === 'refused' && row !== null) return { kind: 'refused', row };
    return { kind: 'not-done', why: notDoneWhy(outcome), row, ...(detail === '' ? {} : { detail }) };
  }

  #ask<T>(act: (host: SimHost) => T, withinMs: number): Promise<T> {
    return this.#link.ask(this.#line, act, withinMs);
  }
}

function deadlineOf({ do: what }: Call): number {
  if (what === 'renew') return RENEW_MS;
  return what === 'stop-io' || what.startsWith('start-') ? THREAD_MS : CALL_MS;
}

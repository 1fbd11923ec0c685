// The Fence of real life, on a connection of its own: a renewal must not wait behind a probe or a long step.
// Comes from the agent through fence.ts; goes on to schema-install.ts and to the procedures of schema-calls.ts.

import { type Call, type Called, notDoneWhy } from '../core/call.ts';
import type { MysqlAccess } from '../core/config.ts';
import { MmmError } from '../core/errors.ts';
import { type HostRow, parseHostRow } from '../core/host-row.ts';
import type { Failure } from '../core/observation.ts';
import type { Epoch, Host } from '../core/pair.ts';
import { gradeError, isConnectionOver, serverErrorNumber } from './evidence.ts';
import { readIdentity } from './facts.ts';
import type { Fence, Installed, Looked } from './fence.ts';
import { Deadline, Link } from './link.ts';
import { type Asker, text } from './row.ts';
import type { SchemaTarget } from './schema.ts';
import { installSchema } from './schema-install.ts';
import { installSemiSync } from './semi-sync.ts';
import { describeOthers } from './sessions.ts';

interface FenceOptions {
  readonly host: Host;
  readonly access: MysqlAccess;
}

/** A fence behind a connection that is opened at the first call. */
export function openFence(options: FenceOptions): Fence {
  return new LiveFence(options);
}

/** A call waits 1 s for the named lock and 1 s for the row (schema-calls.ts); this is for one that does not. */
const CALL_MS = 2_500;
/** A try to close that finds one lock in its way takes a second. */
const CLOSE_TRY_MS = 1_500;
/** One that ends what waits there opens a connection besides, and goes round for a while. */
const HELD_TRY_MS = 2_500;
/** START and STOP wait for the thread, which waits for the network or the disk. */
const THREAD_MS = 7_000;
/** A renewal that does not come back tells that the write path is gone; the next one is due in a second. */
const RENEW_MS = 2_000;
/** Longer than a lock is waited for: a host that says so is not silent. */
const LOOK_MS = 1_500;
const DESCRIBE_MS = 500;
const QUIT_MS = 200;

/** The first version of the schema with `close_held` and `end_waits`. */
const HAS_CLOSE_HELD = 6;
const LOCK_WAIT_TIMEOUT = 1205;
/** By `end_waits`, which could not make way. */
const QUERY_INTERRUPTED = 1317;
/** No such database, table or procedure; or its definer is gone. */
const NOT_INSTALLED: ReadonlySet<number> = new Set([1049, 1146, 1305, 1449]);

interface Line {
  readonly link: Link;
  readonly target: SchemaTarget;
}

class LiveFence implements Fence {
  readonly host: Host;
  readonly #options: FenceOptions;
  #line: Line | null = null;
  #closed = false;
  /** One call at a time: a connection answers in order. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: FenceOptions) {
    this.host = options.host;
    this.#options = options;
  }

  install(): Promise<Installed> {
    return this.#inTurn(async (asker, target) => {
      const { changed, complete } = await installSchema(asker, target);
      const lacks = await installSemiSync(asker, target.dialect);
      const { row } = await tell(asker, "CALL mmm.tell('done', '')", [], LOOK_MS);
      return complete && row !== null ? { kind: 'done', changed, row, lacks } : { kind: 'unfinished' };
    });
  }

  look(): Promise<Looked> {
    return this.#inTurn(async (asker, { uuid }) => {
      try {
        const { row } = await tell(asker, "CALL mmm.tell('done', '')", [], LOOK_MS);
        return row === null ? { kind: 'none' } : { kind: 'row', row, uuid };
      } catch (error) {
        if (NOT_INSTALLED.has(serverErrorNumber(error) ?? 0)) return { kind: 'none' };
        throw error;
      }
    });
  }

  call(call: Call): Promise<Called> {
    return this.#inTurn((asker, { dialect }) => {
      if (call.do !== 'close') return oneCall(asker, call);
      const canEnd = call.endsWaits === true && dialect.sparesAcknowledgementWaiters;
      return closeUntil(asker, call, canEnd ? (held, until) => this.#endWaits(held, until) : null);
    });
  }

  /** Beside a `close_held`, which waits on our own connection meanwhile. */
  async #endWaits(held: () => Promise<Called>, until: Deadline): Promise<Called> {
    const closer = this.#line?.link.id;
    const helper = await Link.open(this.host, this.#options.access, until);
    const ask = (sql: string, values: readonly number[] = []) => helper.query(sql, values, until);
    try {
      // Whoever comes new can commit one of these, and be told OK behind somebody who was killed.
      const prepared = (await ask('XA RECOVER')).length;
      if (prepared > 0 || closer === undefined) {
        return { kind: 'not-done', why: 'locked', row: null, detail: `${prepared} prepared XA transactions are there` };
      }
      const [closed, [ended]] = await Promise.all([held(), ask('CALL mmm.end_waits(?)', [closer])]);
      const killed = `ended what waited for an acknowledgement (sessions: ${ended === undefined ? 0 : text(ended, 'killed')})`;
      if (closed.kind === 'done') return { ...closed, did: clauses([killed, closed.did]) };
      return closed.kind === 'not-done' ? { ...closed, detail: clauses([killed, closed.detail ?? '']) } : closed;
    } catch (error) {
      // Nobody makes way for it any more: with its connection the server ends it.
      this.#drop();
      throw error;
    } finally {
      helper.destroy();
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    const line = this.#line;
    this.#line = null;
    await line?.link.quit(new Deadline(QUIT_MS));
  }

  #inTurn<T>(act: (asker: Asker, target: SchemaTarget) => Promise<T>): Promise<T | Failure> {
    const result = this.#turn.then(() => this.#attempt(act));
    // The next call waits for this one to end, however it ends; its own caller is told.
    this.#turn = result.catch(() => undefined);
    return result;
  }

  async #attempt<T>(act: (asker: Asker, target: SchemaTarget) => Promise<T>): Promise<T | Failure> {
    for (;;) {
      const wasWarm = this.#line !== null;
      try {
        const { link, target } = await this.#connected();
        const asker: Asker = {
          ask: (sql, values = [], withinMs = CALL_MS) => link.query(sql, values, new Deadline(withinMs)),
        };
        return await act(asker, target);
      } catch (error) {
        // What the server itself said about the statement leaves the connection good; anything else does not.
        if (serverErrorNumber(error) === null || isConnectionOver(error)) this.#drop();
        // The warm connection was a dead one: every call can be made twice, so it gets a living one, once.
        if (!wasWarm || !isConnectionOver(error)) return gradeError(error);
      }
    }
  }

  async #connected(): Promise<Line> {
    if (this.#line !== null) return this.#line;
    if (this.#closed) throw new Error('this fence was closed by mmm itself');
    const deadline = new Deadline(this.#options.access.connectTimeoutMs);
    const link = await Link.open(this.host, this.#options.access, deadline);
    try {
      const line = { link, target: await prepare(link, deadline) };
      this.#line = line;
      link.onEnd(() => {
        if (this.#line === line) this.#line = null;
      });
      return line;
    } catch (error) {
      link.destroy();
      throw error;
    }
  }

  #drop(): void {
    this.#line?.link.destroy();
    this.#line = null;
  }
}

/** Once per connection. The mode also becomes that of the procedures: an id that does not fit must be an error, not another id. */
async function prepare(link: Link, deadline: Deadline): Promise<SchemaTarget> {
  const ask = (sql: string) => link.query(sql, [], deadline);
  await ask(
    `SET SESSION sql_mode = 'STRICT_ALL_TABLES', SESSION time_zone = '+00:00', SESSION autocommit = 1,
      SESSION lock_wait_timeout = 1, SESSION innodb_lock_wait_timeout = 1, SESSION wait_timeout = 86400`,
  );
  await ask('SET SESSION sql_log_bin = 0');
  const { dialect, boot } = await readIdentity({ ask });
  return { dialect, uuid: boot.uuid };
}

/**
 * Clients come back and hold new locks: again and again, each time compared anew, until the deadline. The first try gets what any call
 * gets; another one is only begun when there is time to hear of its end.
 */
async function closeUntil(asker: Asker, call: Close, endWaits: EndWaits | null): Promise<Called> {
  const until = new Deadline(call.withinMs);
  const killed: string[] = [];
  let called = await oneCall(asker, call, Math.max(until.leftMs, CALL_MS));
  while (isInTheWay(called) && until.leftMs >= (endWaits === null ? CLOSE_TRY_MS : HELD_TRY_MS)) {
    killed.push(called.detail ?? '');
    const isKnown = (called.row?.schemaVersion ?? 0) >= HAS_CLOSE_HELD;
    called =
      endWaits !== null && isKnown
        ? await endWaits(() => heldCall(asker, call, until.leftMs), until)
        : await oneCall(asker, call, until.leftMs);
  }
  if (called.kind === 'done') return { ...called, did: clauses([...killed, called.did]) };
  if (!isInTheWay(called)) return called;
  return { ...called, detail: clauses([...killed, called.detail ?? '', await whoIsInTheWay(asker)]) };
}

type Close = Extract<Call, { do: 'close' }>;
type EndWaits = (held: () => Promise<Called>, until: Deadline) => Promise<Called>;

async function heldCall(asker: Asker, call: Close, withinMs: number): Promise<Called> {
  try {
    return await oneCall(asker, call, withinMs, 'close_held');
  } catch (error) {
    if (serverErrorNumber(error) !== QUERY_INTERRUPTED) throw error;
    // No handler of the procedure runs then.
    await asker.ask("DO RELEASE_LOCK('mmm')");
    return { kind: 'not-done', why: 'locked', row: null };
  }
}

function isInTheWay(called: Called): called is Extract<Called, { kind: 'not-done' }> {
  return called.kind === 'not-done' && (called.why === 'locked' || called.why === 'busy');
}

/** Whose lock it is the server does not tell; the longest of them is a good guess. */
async function whoIsInTheWay(asker: Asker): Promise<string> {
  try {
    return await describeOthers({ ask: (sql, values) => asker.ask(sql, values, DESCRIBE_MS) });
  } catch (error) {
    if (serverErrorNumber(error) === null) throw error;
    return `who is connected cannot be told: ${gradeError(error).message}`;
  }
}

/** A clause that is said again is counted. */
function clauses(said: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const clause of said) if (clause !== '') counts.set(clause, (counts.get(clause) ?? 0) + 1);
  return [...counts].map(([clause, count]) => (count === 1 ? clause : `${clause} (${count} times)`)).join('; ');
}

async function oneCall(
  asker: Asker,
  call: Call,
  withinMs = deadlineOf(call),
  instead: 'close_held' | null = null,
): Promise<Called> {
  const { procedure, values } = statementOf(call);
  const epoch = epochValues(call.epoch);
  const marks = [...epoch, ...values].map(() => '?').join(', ');
  try {
    const { outcome, detail, row } = await tell(
      asker,
      `CALL mmm.${instead ?? procedure}(${marks})`,
      [...epoch, ...values],
      withinMs,
    );
    if (outcome === 'done' && row !== null) return { kind: 'done', did: detail, row };
    if (outcome === 'refused' && row !== null) return { kind: 'refused', row };
    return { kind: 'not-done', why: notDoneWhy(outcome), row, ...(detail === '' ? {} : { detail }) };
  } catch (error) {
    const code = serverErrorNumber(error) ?? 0;
    if (NOT_INSTALLED.has(code)) return { kind: 'not-done', why: 'not-installed', row: null };
    if (code === LOCK_WAIT_TIMEOUT) return { kind: 'not-done', why: 'locked', row: null };
    throw error;
  }
}

interface Statement {
  readonly procedure: string;
  readonly values: readonly (number | null)[];
}

function deadlineOf({ do: what }: Call): number {
  if (what === 'renew') return RENEW_MS;
  return what === 'stop-io' || what.startsWith('start-') ? THREAD_MS : CALL_MS;
}

function statementOf(call: Call): Statement {
  switch (call.do) {
    case 'claim':
      return { procedure: 'claim', values: [call.unfenced === null ? null : flag(call.unfenced)] };
    case 'close':
      return { procedure: 'close', values: [flag(call.killClients)] };
    case 'open':
      return {
        procedure: call.lossless ? 'open_lossless' : 'open',
        values: [
          call.baseMs,
          call.leaseMs,
          flag(call.lease === 'endless'),
          call.startedSec,
          flag(call.demand === 'drained'),
        ],
      };
    case 'renew':
      return { procedure: 'renew', values: [call.baseMs, call.leaseMs] };
    case 'start-sql':
      return { procedure: 'start_sql', values: [flag(call.fromStandstill)] };
    case 'start-io':
      return { procedure: 'start_io', values: [flag(call.fromStandstill)] };
    case 'start-replication':
      return { procedure: 'start_replication', values: [flag(call.fromStandstill)] };
    case 'stop-io':
      return { procedure: 'stop_io', values: [] };
    case 'kill':
      return { procedure: 'kill_sessions', values: [] };
    case 'sync':
      return { procedure: 'sync', values: [call.generation, flag(call.on)] };
    case 'source-off':
      return { procedure: 'source_off', values: [] };
    case 'acknowledge':
      return { procedure: 'acknowledge', values: [flag(call.on)] };
    default:
      return call satisfies never;
  }
}

function epochValues({ number, id, active }: Epoch): readonly (number | string)[] {
  return [number, id, active];
}

function flag(on: boolean): number {
  return on ? 1 : 0;
}

interface Told {
  readonly outcome: string;
  readonly detail: string;
  readonly row: HostRow | null;
}

async function tell(asker: Asker, sql: string, values: readonly unknown[], withinMs: number): Promise<Told> {
  const [answer] = await asker.ask(sql, values, withinMs);
  if (answer === undefined) throw new MmmError('failed', 'the server answered a comparing call without a row');
  return { outcome: text(answer, 'outcome'), detail: text(answer, 'detail'), row: parseHostRow(answer) };
}

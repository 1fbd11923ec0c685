// The applications of the fault suite, in a process of their own that lives in the network of the applications. On each host a
// probe writes every 20 ms and a few more patient clients every 60 ms, through its socket, whatever is cut; under load there are others that
// come over the network and fall over between the hosts. All are of an account without admin rights, every write has a number
// of its own, and every answer is kept for the judge. Started and asked by crowd.ts, bundled by it; the judge is judge.ts.

import { setTimeout as sleep } from 'node:timers/promises';
import { type Connection, createConnection } from 'mysql2/promise';
import { APP, ask } from '../../src/sandbox/accounts.ts';
import { Register } from '../../src/sandbox/register.ts';
import { type Answer, judge, type Outcome } from './judge.ts';
import type { Ask, HostOfClients, HostState, Question, Replies, Report, Start } from './wire.ts';

const PROBE_PERIOD_MS = 20;
/** Beside the probe, on each host: what a thawed server finds in the queues of its connections. */
const ATTACHED = 3;
const ATTACHED_PERIOD_MS = 60;
const NETWORK_CLIENTS = 4;
const NETWORK_PAUSE_MS = 15;
/** A client over the network gives a server up after this, like one with a socket time-out; the outcome is then unknown. */
const NETWORK_DEADLINE_MS = 1_000;
const REFUSALS_BEFORE_NEXT_HOST = 20;
/** The patient ones stay attached through every freeze of the suite. */
const PATIENCE_MS = 120_000;
const BURST_CONNECTIONS = 8;
const READ_ONLY_ERRNOS: readonly unknown[] = [1290, 1836, 3032];

let hosts: readonly HostOfClients[] = [];
let answers: Answer[] = [];
let register = new Register();
let lastId = 0;
let load: AbortController | undefined;
const states = new Map<string, HostState>();
/** What is counted at the first acknowledged write of a host. */
let count: { readonly host: string; readonly fromId: number; readonly toId: number } | undefined;
let counted: number | null = null;

process.on('disconnect', () => process.exit());
process.on('message', (message: Start | Question) => {
  if (message.do === 'start') start(message);
  else
    answerTo(message).then(
      (reply) => process.send?.({ id: message.id, reply }),
      (error) => process.send?.({ id: message.id, error: String(error) }),
    );
});

function start(message: Start): void {
  hosts = message.hosts;
  for (const host of hosts) {
    for (let number = 0; number <= ATTACHED; number++) void attached(host, number);
  }
}

async function answerTo(question: Question): Promise<Replies[Ask['do']]> {
  switch (question.do) {
    case 'begin':
      answers = [];
      for (const [name, state] of states) states.set(name, { ...state, acknowledged: 0 });
      register = new Register();
      count = undefined;
      counted = null;
      return { nowMs: nowMs(), lastId };
    case 'load':
      if (question.on === (load !== undefined)) return undefined;
      load?.abort();
      load = question.on ? new AbortController() : undefined;
      if (load !== undefined) for (let number = 0; number < NETWORK_CLIENTS; number++) void overNetwork(load.signal);
      return undefined;
    case 'states':
      return Object.fromEntries(states);
    case 'burst':
      return await burst(question.host, question.writes);
    case 'count':
      count = question;
      return undefined;
    case 'report':
      return report(question);
    case 'account': {
      const door = (name: string) => ({ socket: hostNamed(name).socket });
      const { onActive, ...rest } = await register.accountFor(door(question.active), door(question.other));
      return { ...rest, onActive: onActive.length };
    }
    default:
      return question satisfies never;
  }
}

function report({ fromMs, aroundMs }: { readonly fromMs: number; readonly aroundMs: number | null }): Report {
  const { openings, second } = judge(answers);
  const since = answers.filter(({ outcome, askedMs }) => outcome === 'acknowledged' && askedMs > fromMs);
  const first = (host: string) => since.find((answer) => answer.host === host)?.answeredMs ?? null;
  return {
    openings: openings.filter(({ atMs }) => atMs > fromMs),
    second: second.filter(({ answeredMs }) => answeredMs > fromMs),
    firstMs: Object.fromEntries(hosts.map(({ name }) => [name, first(name)])),
    gapMs: gapMs(fromMs),
    acknowledged: register.size,
    slowestMs: aroundMs === null ? 0 : slowestMs(openings.at(-1)?.host, aroundMs),
    counted,
  };
}

const AROUND_MS = 500;

function slowestMs(host: string | undefined, aroundMs: number): number {
  const times = answers
    .filter((answer) => answer.host === host && answer.outcome === 'acknowledged')
    .filter(({ answeredMs }) => Math.abs(answeredMs - aroundMs) < AROUND_MS)
    .map(({ askedMs, answeredMs }) => answeredMs - askedMs);
  return Math.max(0, ...times);
}

/** The longest time in which nobody was told of a write, also when it is not over yet. */
function gapMs(fromMs: number): number {
  const sinceMs = Math.max(register.newest()?.atMs ?? 0, fromMs);
  return Math.max(register.longestGap(fromMs).lengthMs, nowMs() - sinceMs);
}

function hostNamed(name: string): HostOfClients {
  const host = hosts.find((known) => known.name === name);
  if (host === undefined) throw new Error(`no host ${name}`);
  return host;
}

/** Comparable between the processes of one machine. */
function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

function note(host: string, askedMs: number, outcome: Outcome, id: number): void {
  const answeredMs = nowMs();
  answers.push({ host, askedMs, answeredMs, outcome });
  const state = states.get(host) ?? { acknowledgedMs: null, acknowledged: 0, closedMs: null, answeredMs: null };
  states.set(host, {
    acknowledged: state.acknowledged + (outcome === 'acknowledged' ? 1 : 0),
    acknowledgedMs: outcome === 'acknowledged' ? answeredMs : state.acknowledgedMs,
    closedMs: outcome === 'closed' ? answeredMs : state.closedMs,
    answeredMs,
  });
  if (outcome !== 'acknowledged') return;
  register.acknowledge({ id, atMs: answeredMs, port: hostNamed(host).port });
  if (count?.host === host) {
    const { fromId, toId } = count;
    count = undefined;
    const sql = `SELECT COUNT(*) AS held FROM app.writes WHERE id BETWEEN ${fromId} AND ${toId}`;
    ask({ socket: hostNamed(host).socket, sql }).then(
      ([row]) => {
        counted = Number(row?.['held']);
      },
      () => {
        counted = -1;
      },
    );
  }
}

/** The first of them is the probe. Each waits for an answer as long as it takes, so nobody else's statement is queued on its connection. */
async function attached({ name, socket }: HostOfClients, number: number): Promise<void> {
  const periodMs = number === 0 ? PROBE_PERIOD_MS : ATTACHED_PERIOD_MS;
  // Not all at the same moment: what one of them finds is then news.
  await sleep(number * PROBE_PERIOD_MS);
  let connection: Connection | undefined;
  for (;;) {
    const askedMs = nowMs();
    const id = ++lastId;
    try {
      connection ??= await connect({ socketPath: socket, connectTimeout: PATIENCE_MS });
      await connection.query({ sql: insert(id), timeout: PATIENCE_MS });
      note(name, askedMs, 'acknowledged', id);
    } catch (error) {
      const isRefused = codeOf(error) === 'ECONNREFUSED' || codeOf(error) === 'ENOENT';
      const isClosed = isReadOnly(error) || isRefused;
      note(name, askedMs, isClosed ? 'closed' : 'unknown', id);
      if (!isReadOnly(error)) {
        connection?.destroy();
        connection = undefined;
      }
    }
    await sleep(Math.max(askedMs + periodMs - nowMs(), 1));
  }
}

/** An application that knows both hosts, in the order of its JDBC URL. */
async function overNetwork(signal: AbortSignal): Promise<void> {
  for (let attempt = 0; !signal.aborted; ) {
    const host = hosts[attempt % hosts.length];
    if (host === undefined) return;
    attempt = (await writeUntilItBreaks(host, signal)) === 'broken' ? 0 : attempt + 1;
    await sleep(NETWORK_PAUSE_MS);
  }
}

async function writeUntilItBreaks(host: HostOfClients, signal: AbortSignal): Promise<'broken' | 'next'> {
  let connection: Connection;
  try {
    const { address, port } = host;
    // Without a database, so that nobody counts it: where applications are must not decide here.
    connection = await connect({ host: address, port, connectTimeout: NETWORK_DEADLINE_MS });
  } catch {
    return 'next';
  }
  try {
    for (let refusals = 0; !signal.aborted; ) {
      const askedMs = nowMs();
      const id = ++lastId;
      try {
        await connection.query({ sql: insert(id), timeout: NETWORK_DEADLINE_MS });
        note(host.name, askedMs, 'acknowledged', id);
        refusals = 0;
      } catch (error) {
        if (!isReadOnly(error)) throw error;
        note(host.name, askedMs, 'closed', id);
        refusals += 1;
        if (refusals >= REFUSALS_BEFORE_NEXT_HOST) return 'next';
      }
      await sleep(NETWORK_PAUSE_MS);
    }
    return 'broken';
  } catch {
    // What became of that write nobody was told, so there is nothing to account for.
    return 'broken';
  } finally {
    connection.destroy();
  }
}

/** Many transactions as fast as it goes; their numbers follow one another, others' may lie between. */
async function burst(name: string, writes: number): Promise<{ readonly fromId: number; readonly toId: number }> {
  const { socket } = hostNamed(name);
  const fromId = lastId + 1;
  lastId += writes;
  let next = fromId;
  const toId = fromId + writes - 1;
  const writer = async () => {
    const connection = await connect({ socketPath: socket, connectTimeout: NETWORK_DEADLINE_MS });
    try {
      while (next <= toId) {
        const id = next++;
        const askedMs = nowMs();
        await connection.query({ sql: insert(id), timeout: PATIENCE_MS });
        note(name, askedMs, 'acknowledged', id);
      }
    } finally {
      connection.destroy();
    }
  };
  await Promise.all(Array.from({ length: BURST_CONNECTIONS }, writer));
  return { fromId, toId };
}

function insert(id: number): string {
  return `INSERT INTO app.writes (id) VALUES (${id})`;
}

async function connect(where: {
  readonly socketPath?: string;
  readonly host?: string;
  readonly port?: number;
  readonly connectTimeout: number;
}): Promise<Connection> {
  const connection = await createConnection({ ...where, ...APP });
  // The statement that is running gets the error too; without a listener it would end this process.
  connection.on('error', () => undefined);
  return connection;
}

function isReadOnly(error: unknown): boolean {
  return error instanceof Error && 'errno' in error && READ_ONLY_ERRNOS.includes(error.errno);
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

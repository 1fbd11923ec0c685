// An application: a few connections that insert numbered rows one after the other, and a register of what was acknowledged.
// They connect to HAProxy, or, when given two hosts, fall over between them in the order of a JDBC URL. Comes from run.ts.

import { setTimeout as sleep } from 'node:timers/promises';
import { type Connection, createConnection, type RowDataPacket } from 'mysql2/promise';
import { APP, APP_DATABASE } from './accounts.ts';
import { Register } from './register.ts';

/** A server that says nothing for so long is given up; the write's outcome is then unknown. */
const STATEMENT_DEADLINE_MS = 1_000;
const CONNECT_DEADLINE_MS = 500;
/** Between two writes of one connection, and between two attempts to connect. */
const PAUSE_MS = 5;
/** A host that is read only is asked so often before the next one of the list gets its turn. */
const REFUSALS_BEFORE_NEXT_HOST = 20;
/** "The server is running with the --read-only option": an answer, and the connection stays good. */
const READ_ONLY_ERRNO = 1290;

export interface ClientOptions {
  /** IP:PORT each; the first one is preferred. */
  readonly hosts: readonly string[];
  readonly connections?: number;
  /** The first row's number, where rows of an earlier client are there already. */
  readonly firstId?: number;
}

export interface Client {
  readonly register: Register;
  /** A number that was given to no row yet. */
  nextId(): number;
  stop(): Promise<void>;
}

export function startClient({ hosts, connections = 4, firstId = 1 }: ClientOptions): Client {
  const register = new Register();
  const stopping = new AbortController();
  const ids = numbers(firstId);
  const writers = Array.from({ length: connections }, () => write({ hosts, register, ids, signal: stopping.signal }));
  return {
    register,
    nextId: () => ids.next().value,
    stop: async () => {
      stopping.abort();
      await Promise.all(writers);
    },
  };
}

interface WriterParts {
  readonly hosts: readonly string[];
  readonly register: Register;
  readonly ids: Iterator<number, never>;
  readonly signal: AbortSignal;
}

/** One connection's life: connect, write until it breaks, connect again. */
async function write({ hosts, register, ids, signal }: WriterParts): Promise<void> {
  for (let attempt = 0; !signal.aborted; ) {
    const connection = await connectTo(hosts[attempt % hosts.length]);
    if (connection === undefined) attempt += 1;
    else
      attempt =
        (await writeUntilItBreaks(connection, { hosts, register, ids, signal })) === 'refused' ? attempt + 1 : 0;
    await sleep(PAUSE_MS);
  }
}

async function writeUntilItBreaks(
  connection: Connection,
  { hosts, register, ids, signal }: WriterParts,
): Promise<'broken' | 'refused'> {
  try {
    const port = await portOf(connection);
    for (let refusals = 0; !signal.aborted; ) {
      // A number is used once: whether a write without an answer happened is never guessed.
      const id = ids.next().value;
      try {
        await connection.query({ sql: `INSERT INTO writes (id) VALUES (${id})`, timeout: STATEMENT_DEADLINE_MS });
        register.acknowledge({ id, atMs: performance.now(), port });
        refusals = 0;
      } catch (error) {
        if (!isReadOnly(error)) throw error;
        refusals += 1;
        if (hosts.length > 1 && refusals >= REFUSALS_BEFORE_NEXT_HOST) return 'refused';
      }
      await sleep(PAUSE_MS);
    }
    return 'broken';
  } catch {
    // The outcome of that write is unknown: nobody was told anything, so there is nothing to account for.
    return 'broken';
  } finally {
    connection.destroy();
  }
}

async function connectTo(host: string | undefined): Promise<Connection | undefined> {
  const [address, port] = host?.split(':') ?? [];
  if (address === undefined || port === undefined) return undefined;
  try {
    const connection = await createConnection({
      host: address,
      port: Number(port),
      ...APP,
      database: APP_DATABASE,
      connectTimeout: CONNECT_DEADLINE_MS,
    });
    // The statement that is running gets the error too; without a listener it would end this process.
    connection.on('error', () => undefined);
    return connection;
  } catch {
    // Nobody there: the loop above tries the next one.
    return undefined;
  }
}

/** Which server is behind the proxy. */
async function portOf(connection: Connection): Promise<number> {
  const [rows] = await connection.query<RowDataPacket[]>({
    sql: 'SELECT @@port AS port',
    timeout: STATEMENT_DEADLINE_MS,
  });
  return Number(rows[0]?.['port']);
}

function isReadOnly(error: unknown): boolean {
  return error instanceof Error && 'errno' in error && error.errno === READ_ONLY_ERRNO;
}

function* numbers(first: number): Generator<number, never> {
  for (let id = first; ; id++) yield id;
}

// Who is connected, whom the fence may throw out, and whom it never does.
// Comes from steps.ts (close, block); the dialect says which privileges make an admin.

import type { Dialect } from './dialect.ts';
import { oneLine, serverErrorNumber } from './evidence.ts';
import { type Asker, number, type Row, text } from './row.ts';

interface Session {
  readonly id: string;
  readonly user: string;
  /** Without the port. */
  readonly host: string;
  readonly command: string;
  readonly seconds: number;
  readonly state: string;
}

/** What came of a round of KILL. */
export interface Killed {
  /** The user of each session that was killed. */
  readonly users: readonly string[];
  /** Why some could not be killed; null when all could. */
  readonly refused: string | null;
}

const NO_SUCH_THREAD = 1094;

/**
 * Users that are no clients: they have no account, and KILL would stop replication or the event scheduler, or end somebody's login,
 * an administrator's perhaps. MySQL 5.6 cuts a user's name off after 16 characters.
 */
const SERVERS_OWN: ReadonlySet<string> = new Set([
  'system user',
  'event_scheduler',
  'unauthenticated user',
  'unauthenticated ',
  '',
]);

/** Names of the users that have an account with admin rights. Their sessions are never killed, whatever host they come from. */
export async function adminUsers(asker: Asker, dialect: Dialect): Promise<ReadonlySet<string>> {
  return new Set([...(await adminGrantees(asker, dialect)).keys()].map(userOfGrantee));
}

/** The accounts with admin rights as `'name'@'host'`, and for each the first such right. No server escapes a quote in a name there. */
export async function adminGrantees(asker: Asker, dialect: Dialect): Promise<ReadonlyMap<string, string>> {
  const rows = await asker.ask(
    `SELECT GRANTEE AS grantee, PRIVILEGE_TYPE AS privilege FROM information_schema.USER_PRIVILEGES WHERE PRIVILEGE_TYPE IN (?)`,
    [dialect.adminPrivileges],
  );
  const rank = (row: Row) => dialect.adminPrivileges.indexOf(text(row, 'privilege'));
  // The first of the list wins, because it is written last.
  const byRank = [...rows].sort((a, b) => rank(b) - rank(a));
  return new Map(byRank.map((row) => [text(row, 'grantee'), text(row, 'privilege')]));
}

/** Kills the connections (never the query alone, which would leave a transaction open) of the sessions that `wanted` picks. */
export async function killSessions(
  asker: Asker,
  dialect: Dialect,
  wanted: (session: Pick<Session, 'user' | 'host'>) => boolean,
): Promise<Killed> {
  const users: string[] = [];
  let refused: string | null = null;
  for (const session of await sessions(asker)) {
    if (!mayKill(session, dialect) || !wanted(session)) continue;
    try {
      await asker.ask(`KILL ${session.id}`);
      users.push(session.user);
    } catch (error) {
      const code = serverErrorNumber(error);
      if (code === null) throw error;
      // It left by itself between the two statements.
      if (code === NO_SUCH_THREAD) continue;
      refused = `${who(session)} cannot be killed: ${error instanceof Error ? oneLine(error.message) : code}`;
    }
  }
  return { users, refused };
}

/**
 * The sessions that are left and may be in the way of `read_only`: whose lock it is the server does not tell. Without their
 * statements, which may hold secrets.
 */
export async function describeOthers(asker: Asker): Promise<string> {
  const others = (await sessions(asker)).filter((session) => isClient(session));
  if (others.length === 0) return 'no other session is left';
  const longest = [...others].sort((a, b) => b.seconds - a.seconds).slice(0, 3);
  return longest
    .map((session) => `${who(session)}, ${session.seconds} s ${session.state || session.command}`)
    .join('; ');
}

/** Matches an account's host (with `%` and `_`) against a session's. A netmask counts as a match: the fence would rather kill. */
export function hostMatches(accountHost: string, sessionHost: string): boolean {
  if (accountHost === '' || accountHost.includes('/')) return true;
  const pattern = accountHost
    .replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
    .replaceAll('%', '.*')
    .replaceAll('_', '.');
  return new RegExp(`^${pattern}$`, 'i').test(sessionHost);
}

async function sessions(asker: Asker): Promise<readonly Session[]> {
  const rows = await asker.ask(
    `SELECT ID AS id, USER AS user, HOST AS host, COMMAND AS command, TIME AS seconds, STATE AS state
      FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID()`,
  );
  return rows.map(asSession);
}

function asSession(row: Row): Session {
  return {
    id: String(BigInt(text(row, 'id') || '0')),
    user: text(row, 'user'),
    host: text(row, 'host').replace(/:\d+$/, ''),
    command: text(row, 'command'),
    seconds: number(row, 'seconds') ?? 0,
    state: text(row, 'state'),
  };
}

function isClient(session: Session): boolean {
  return (
    !SERVERS_OWN.has(session.user) &&
    !session.command.startsWith('Binlog Dump') &&
    !/^(?:Daemon|Slave_)/.test(session.command)
  );
}

function mayKill(session: Session, dialect: Dialect): boolean {
  if (!isClient(session) || session.command === 'Killed') return false;
  // F1: on MariaDB the first waiter of a commit group, when killed, lets the others go, and they are told OK.
  return !(dialect.sparesAcknowledgementWaiters && session.state.startsWith('Waiting for semi-sync ACK'));
}

function who(session: Session): string {
  return `session ${session.id} of ${session.user}@${session.host}`;
}

/** The name in `'name'@'host'`; a quote inside of it stands there as it is. */
function userOfGrantee(grantee: string): string {
  return grantee.slice(1, grantee.lastIndexOf("'@'"));
}

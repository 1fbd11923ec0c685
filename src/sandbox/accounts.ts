// The accounts of a sandbox server and one way to ask it something. The passwords are no secrets: the servers listen on
// 127.0.0.1 alone and hold nothing but test rows. Used by mysqld.ts (which creates them), pair.ts, client.ts and run.ts.

import { createConnection, type RowDataPacket } from 'mysql2/promise';

export interface Account {
  readonly user: string;
  readonly password: string;
}

/** May do everything, also write on a host that is read only: never used as a client. */
export const ADMIN: Account = { user: 'root', password: 'sandbox-root' };
/** What the comparing calls need (mysql/schema.ts), and DELETE for what the agent remembers of the accounts that it locked. */
const SCHEMA = 'SELECT, INSERT, UPDATE, CREATE, ALTER, CREATE ROUTINE, ALTER ROUTINE, EXECUTE, EVENT, DELETE';
/** The account of the daemons. */
export const MMM: Account = { user: 'user_mmm', password: 'sandbox-mmm' };
export const REPLICATION: Account = { user: 'user_replica', password: 'sandbox-replica' };
/** An application: rights on its own database alone, so `read_only` binds it. */
export const APP: Account = { user: 'app', password: 'sandbox-app' };
export const APP_DATABASE = 'app';

const HOST = '127.0.0.1';
/** The form that the agent's `block_host` is matched against. */
const APP_HOST = '127.0.0.%';

/** Run once, before the binary log is on: so both servers of a pair start alike and without a transaction of their own. */
export function accountStatements(kind: 'mariadb' | 'mysql56'): readonly string[] {
  const create = (account: Account, host: string) =>
    `CREATE USER '${account.user}'@'${host}' IDENTIFIED BY '${account.password}'`;
  const grant = (what: string, account: Account, host: string) => `GRANT ${what} TO '${account.user}'@'${host}'`;
  const base = 'SELECT, PROCESS, SUPER, REPLICATION SLAVE, REPLICATION CLIENT, RELOAD, CREATE USER';
  // MariaDB took these out of SUPER, some in 10.5, some in 10.11, some in 11.
  const split =
    ', READ_ONLY ADMIN, REPLICATION SLAVE ADMIN, SLAVE MONITOR, BINLOG ADMIN, CONNECTION ADMIN, REPLICATION MASTER ADMIN';
  return [
    `DELETE FROM mysql.${kind === 'mariadb' ? 'global_priv' : 'user'} WHERE user = ''`,
    'FLUSH PRIVILEGES',
    // MySQL 5.6 comes with a root of this host already: setting rights by GRANT works on both.
    `GRANT ALL ON *.* TO '${ADMIN.user}'@'${HOST}' IDENTIFIED BY '${ADMIN.password}' WITH GRANT OPTION`,
    create(MMM, HOST),
    grant(`${base}${kind === 'mariadb' ? split : ''} ON *.*`, MMM, HOST),
    grant('INSERT, UPDATE, DELETE ON mysql.*', MMM, HOST),
    grant(`${SCHEMA} ON mmm.*`, MMM, HOST),
    create(REPLICATION, HOST),
    grant('REPLICATION SLAVE, REPLICATION CLIENT ON *.*', REPLICATION, HOST),
    `CREATE DATABASE ${APP_DATABASE}`,
    create(APP, APP_HOST),
    grant(`ALL ON ${APP_DATABASE}.*`, APP, APP_HOST),
    `CREATE TABLE ${APP_DATABASE}.writes (id BIGINT NOT NULL PRIMARY KEY, written_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP) ENGINE=InnoDB`,
  ];
}

/** A server of this machine: its port on 127.0.0.1, or its socket file, which reaches it in whatever network it lives. */
export type Door = { readonly port: number } | { readonly socket: string };

/** Over the socket root needs no password: the file is ours alone. */
const LOCAL_ADMIN: Account = { user: ADMIN.user, password: '' };

export type Question = Door & {
  readonly sql: string;
  readonly account?: Account;
  readonly database?: string;
  readonly timeoutMs?: number;
};

export type Row = Readonly<Record<string, unknown>>;

/** Asks on a connection of its own; its end is bounded, so that a frozen server costs the time-out and no more. */
export async function ask({ sql, account, database, timeoutMs = 5_000, ...door }: Question): Promise<readonly Row[]> {
  const isLocal = 'socket' in door;
  const { user, password } = account ?? (isLocal ? LOCAL_ADMIN : ADMIN);
  const connection = await createConnection({
    ...(isLocal ? { socketPath: door.socket } : { host: HOST, port: door.port }),
    user,
    password,
    connectTimeout: timeoutMs,
    supportBigNumbers: true,
    ...(database === undefined ? {} : { database }),
  });
  // Without a listener a connection that breaks between two questions would end this process.
  connection.on('error', () => undefined);
  try {
    const [rows] = await connection.query<RowDataPacket[]>({ sql, timeout: timeoutMs });
    return Array.isArray(rows) ? rows : [];
  } finally {
    connection.destroy();
  }
}

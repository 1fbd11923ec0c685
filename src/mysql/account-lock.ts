// Keeps an account out by ACCOUNT LOCK, on the servers without a password column. Comes from accounts.ts.
// A lock does not say whose it is, so what mmm locked stands in a small table on that same server: an account that an
// administrator had locked before is in no such row, and never unlocked. It survives our restarts and travels with the accounts
// in a copy of the data folder; the other host never sees it, because it is written with the binary log off.

import type { AccountForm, Listed } from './account-form.ts';
import { serverErrorNumber } from './evidence.ts';
import { type Asker, text } from './row.ts';

const TABLE = 'mmm.locked_accounts';
/** As long as names and hosts get on any of these servers, and told apart as exactly. */
const COLUMNS = `user VARCHAR(128) NOT NULL, host VARCHAR(255) NOT NULL, PRIMARY KEY (user, host)`;

const NO_SUCH_DATABASE = 1049;
const NO_SUCH_TABLE = 1146;

export const accountLock: AccountForm = {
  marksOurs: true,
  list: async (asker, dialect) => {
    const rows = await asker.ask(dialect.accountStatement);
    const ours = await remembered(asker);
    return rows.map((row): Listed => {
      const account = { user: text(row, 'user'), host: text(row, 'host') };
      return {
        ...account,
        open: text(row, 'locked') !== '1',
        blocked: ours.has(keyOf(account)),
        unfit: text(row, 'role') === '1' ? 'it is a role' : '',
      };
    });
  },
  block: async (asker, { user, host }) => {
    // Remembered first: cut off between the two, an account that is ours and open is blocked again, or forgotten. The other way
    // round it would stay locked for ever.
    await remember(asker, user, host);
    await asker.ask('ALTER USER ?@? ACCOUNT LOCK', [user, host]);
  },
  release: async (asker, { user, host, open }) => {
    if (!open) await asker.ask('ALTER USER ?@? ACCOUNT UNLOCK', [user, host]);
    await forget(asker, user, host);
  },
  /** An account that was dropped is not ours any more; the next one of that name may come with an administrator's lock. */
  settle: async (asker, listed) => {
    const present = new Set(listed.map(keyOf));
    for (const [key, { user, host }] of await remembered(asker)) if (!present.has(key)) await forget(asker, user, host);
  },
};

async function remembered(asker: Asker): Promise<ReadonlyMap<string, { user: string; host: string }>> {
  const accounts = (await rowsOf(asker)).map((row) => ({ user: text(row, 'user'), host: text(row, 'host') }));
  return new Map(accounts.map((account) => [keyOf(account), account]));
}

async function rowsOf(asker: Asker) {
  try {
    return await asker.ask(`SELECT user, host FROM ${TABLE}`);
  } catch (error) {
    // Nothing was ever locked here: the table is made with the first row.
    if ([NO_SUCH_DATABASE, NO_SUCH_TABLE].includes(serverErrorNumber(error) ?? 0)) return [];
    throw error;
  }
}

async function remember(asker: Asker, user: string, host: string): Promise<void> {
  const insert = () => asker.ask(`INSERT IGNORE INTO ${TABLE} (user, host) VALUES (?, ?)`, [user, host]);
  try {
    await insert();
  } catch (error) {
    if (![NO_SUCH_DATABASE, NO_SUCH_TABLE].includes(serverErrorNumber(error) ?? 0)) throw error;
    // Only now, so that an agent whose database was made for it needs no right to make one.
    await asker.ask('CREATE DATABASE IF NOT EXISTS mmm');
    await asker.ask(
      `CREATE TABLE IF NOT EXISTS ${TABLE} (${COLUMNS}) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`,
    );
    await insert();
  }
}

async function forget(asker: Asker, user: string, host: string): Promise<void> {
  await asker.ask(`DELETE FROM ${TABLE} WHERE user = ? AND host = ?`, [user, host]);
}

/** A zero byte is in no name. */
function keyOf({ user, host }: { readonly user: string; readonly host: string }): string {
  return `${user}\0${host}`;
}

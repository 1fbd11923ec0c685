// Keeps an account out by turning its hash in `mysql.user.password`, on the servers that still have that column.
// The bytes are the contract's: what a Perl agent blocked, this releases, and the other way round. Comes from accounts.ts.

import type { AccountForm, Listed } from './account-form.ts';
import { type Asker, text } from './row.ts';

const OPEN = `(Password = '' OR CHAR_LENGTH(Password) = 16 OR Password REGEXP '^[*][0-9A-Fa-f]{40}$')`;
const BLOCKED = `(Password = REPEAT('?', 41) OR Password REGEXP '^~{25}.{16}$' OR Password REGEXP '^[0-9A-Fa-f]{40}[*]$')`;

// The hashes never leave the server: it is told how to turn them, not what they are. `*HEX40` is written backwards, as Perl's
// `reverse` does, which is its own inverse.
const BLOCK = `CASE WHEN Password = '' THEN REPEAT('?', 41)
  WHEN CHAR_LENGTH(Password) = 16 THEN CONCAT(REPEAT('~', 25), Password) ELSE REVERSE(Password) END`;
const RELEASE = `CASE WHEN Password = REPEAT('?', 41) THEN ''
  WHEN Password LIKE CONCAT(REPEAT('~', 25), '%') THEN SUBSTRING(Password, 26) ELSE REVERSE(Password) END`;

export const passwordColumn: AccountForm = {
  marksOurs: false,
  list: async (asker) => {
    const rows = await asker.ask(
      `SELECT User AS user, Host AS host, COALESCE(plugin, '') NOT IN ('', 'mysql_native_password', 'mysql_old_password')
          OR COALESCE(authentication_string, '') <> '' AS elsewhere,
          CASE WHEN ${OPEN} THEN 'open' WHEN ${BLOCKED} THEN 'blocked' ELSE '' END AS state
        FROM mysql.user ORDER BY User, Host`,
    );
    return rows.map((row): Listed => {
      const state = text(row, 'state');
      return {
        user: text(row, 'user'),
        host: text(row, 'host'),
        open: state === 'open',
        blocked: state === 'blocked',
        unfit: text(row, 'elsewhere') === '1' ? 'it does not log in by the password column' : '',
      };
    });
  },
  block: async (asker, { user, host }) => {
    await asker.ask(`UPDATE mysql.user SET Password = ${BLOCK} WHERE User = ? AND Host = ? AND ${OPEN}`, [user, host]);
  },
  release: async (asker, { user, host }) => {
    await asker.ask(`UPDATE mysql.user SET Password = ${RELEASE} WHERE User = ? AND Host = ? AND ${BLOCKED}`, [
      user,
      host,
    ]);
  },
  settle: flush,
};

/** The server reads its table of accounts again. */
async function flush(asker: Asker): Promise<void> {
  await asker.ask('FLUSH PRIVILEGES');
}

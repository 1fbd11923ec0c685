// Blocking and releasing the application's accounts on servers that keep the password's hash in `mysql.user.password`.
// The bytes are the contract's: what a Perl agent blocked, this releases, and the other way round. Comes from steps.ts and facts.ts.

import type { BlockPatterns } from '../core/config.ts';
import type { AccountCounts } from '../core/observation.ts';
import type { Dialect } from './dialect.ts';
import { type Asker, text } from './row.ts';

interface Account {
  readonly user: string;
  readonly host: string;
}

/** What a round of blocking or releasing found and did. */
export interface Changed {
  /** Matching accounts that were in the other state. */
  readonly changed: readonly Account[];
  /** All matching accounts that are in the wanted state now. */
  readonly wanted: readonly Account[];
  /** Matching accounts that are never touched, each with the reason. */
  readonly spared: readonly string[];
}

type State = 'open' | 'blocked';

const OPEN = `(Password = '' OR CHAR_LENGTH(Password) = 16 OR Password REGEXP '^[*][0-9A-Fa-f]{40}$')`;
const BLOCKED = `(Password = REPEAT('?', 41) OR Password REGEXP '^~{25}.{16}$' OR Password REGEXP '^[0-9A-Fa-f]{40}[*]$')`;

// The hashes never leave the server: it is told how to turn them, not what they are. `*HEX40` is written backwards, as Perl's
// `reverse` does, which is its own inverse.
const BLOCK = `CASE WHEN Password = '' THEN REPEAT('?', 41)
  WHEN CHAR_LENGTH(Password) = 16 THEN CONCAT(REPEAT('~', 25), Password) ELSE REVERSE(Password) END`;
const RELEASE = `CASE WHEN Password = REPEAT('?', 41) THEN ''
  WHEN Password LIKE CONCAT(REPEAT('~', 25), '%') THEN SUBSTRING(Password, 26) ELSE REVERSE(Password) END`;

/** Accounts that match the patterns, by state; null where this server's accounts are not blocked by their hash. */
export async function countAccounts(
  asker: Asker,
  dialect: Dialect,
  patterns: BlockPatterns | null,
): Promise<AccountCounts | null> {
  if (patterns === null || dialect.accountForm !== 'password-column') return null;
  const { open, blocked } = await matching(asker, patterns);
  return { open: open.length, blocked: blocked.length };
}

/** Brings the matching accounts into the wanted state; those that are in it stay as they are. Nothing of it reaches the binary log. */
export async function changeAccounts(asker: Asker, patterns: BlockPatterns, wanted: State): Promise<Changed> {
  await asker.ask('SET SESSION sql_log_bin = 0');
  // When putting it back fails the whole connection is given up (connection.ts), so nothing is ever left out of the log.
  try {
    const before = await matching(asker, patterns);
    for (const account of wanted === 'blocked' ? before.open : before.blocked) {
      await asker.ask(
        wanted === 'blocked'
          ? `UPDATE mysql.user SET Password = ${BLOCK} WHERE User = ? AND Host = ? AND ${OPEN}`
          : `UPDATE mysql.user SET Password = ${RELEASE} WHERE User = ? AND Host = ? AND ${BLOCKED}`,
        [account.user, account.host],
      );
    }
    // Always: an earlier run may have been cut off between the table and this.
    if (before.open.length + before.blocked.length > 0) await asker.ask('FLUSH PRIVILEGES');
    const after = await matching(asker, patterns);
    return {
      changed: wanted === 'blocked' ? before.open : before.blocked,
      wanted: wanted === 'blocked' ? after.blocked : after.open,
      spared: after.spared,
    };
  } finally {
    await asker.ask('SET SESSION sql_log_bin = 1');
  }
}

async function matching(
  asker: Asker,
  patterns: BlockPatterns,
): Promise<{ open: readonly Account[]; blocked: readonly Account[]; spared: readonly string[] }> {
  const rows = await asker.ask(
    `SELECT User AS user, Host AS host,
        CASE WHEN CONCAT(User, '@', Host) = CURRENT_USER() THEN 'the account that mmm itself uses'
          WHEN Super_priv = 'Y' THEN 'it has SUPER'
          WHEN Repl_slave_priv = 'Y' THEN 'it has REPLICATION SLAVE'
          WHEN COALESCE(plugin, '') NOT IN ('', 'mysql_native_password', 'mysql_old_password')
            OR COALESCE(authentication_string, '') <> '' THEN 'it does not log in by the password column'
          ELSE '' END AS spared,
        CASE WHEN ${OPEN} THEN 'open' WHEN ${BLOCKED} THEN 'blocked' ELSE '' END AS state
      FROM mysql.user ORDER BY User, Host`,
  );
  const result = { open: [] as Account[], blocked: [] as Account[], spared: [] as string[] };
  for (const row of rows) {
    const account = { user: text(row, 'user'), host: text(row, 'host') };
    if (!patterns.user.test(account.user) || !patterns.host.test(account.host)) continue;
    const reason = text(row, 'spared');
    const state = text(row, 'state');
    if (reason !== '') result.spared.push(`${account.user}@${account.host} is left alone: ${reason}`);
    else if (state === 'open') result.open.push(account);
    else if (state === 'blocked') result.blocked.push(account);
  }
  return result;
}

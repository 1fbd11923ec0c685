// Account locks in the words of MySQL 5.7 and later, which cannot be had here: the columns are those of their manuals, not recorded. The
// tests on a real MariaDB say that the statements do what they say.

import { expect, test } from 'vitest';
import { changeAccounts, countAccounts } from '../../src/mysql/accounts.ts';
import { dialectFor } from '../../src/mysql/dialect.ts';
import type { Asker, Row } from '../../src/mysql/row.ts';

const PATTERNS = { user: /^app/, host: /^10\./ };
const MYSQL57 = dialectFor('5.7.44-log');

/** `mysql.user` of such a server, and its memory; null: the table was never made. */
function scripted(locked: Readonly<Record<string, boolean>>): { asker: Asker; acts: string[] } {
  const accounts = new Map(Object.entries(locked));
  let memory: Set<string> | null = null;
  const acts: string[] = [];
  const answer = (sql: string, values: readonly unknown[]): readonly Row[] => {
    const user = String(values[0]);
    if (sql.includes('FROM mysql.user')) {
      return [...accounts].map(([name, isLocked]) => ({
        user: name,
        host: '10.%',
        locked: isLocked ? '1' : '0',
        role: '0',
      }));
    }
    if (sql.includes('USER_PRIVILEGES'))
      return [{ grantee: "'app_admin'@'10.%'", privilege: 'SYSTEM_VARIABLES_ADMIN' }];
    if (sql.includes('CURRENT_USER')) return [{ name: 'mmm@10.%' }];
    if (sql.includes('CREATE TABLE')) memory = new Set();
    if (sql.includes('locked_accounts') && memory === null) {
      throw Object.assign(new Error("Table 'mmm.locked_accounts' doesn't exist"), { errno: 1146 });
    }
    if (sql.startsWith('SELECT')) return [...(memory ?? [])].map((name) => ({ user: name, host: '10.%' }));
    if (sql.startsWith('INSERT')) memory?.add(user);
    if (sql.startsWith('DELETE')) memory?.delete(user);
    if (sql.startsWith('ALTER USER')) accounts.set(user, sql.endsWith(' LOCK'));
    acts.push([...sql.split(/\s+/).slice(0, 2), ...(values.length === 0 ? [] : [user])].join(' '));
    return [];
  };
  return { asker: { ask: async (sql, values = []) => answer(sql, values) }, acts };
}

test('what is locked is remembered first, and forgotten last; administrators and accounts that were locked stay as they are', async () => {
  const { asker, acts } = scripted({ app: false, app_admin: false, app_on_leave: true, other: false });
  expect(await countAccounts(asker, MYSQL57, PATTERNS)).toEqual({ open: 1, blocked: 0 });
  await changeAccounts(asker, MYSQL57, PATTERNS, 'blocked');
  expect(acts.splice(0)).toEqual([
    'SET SESSION',
    'CREATE DATABASE',
    'CREATE TABLE',
    'INSERT IGNORE app',
    'ALTER USER app',
    'SET SESSION',
  ]);
  expect(await countAccounts(asker, MYSQL57, PATTERNS)).toEqual({ open: 0, blocked: 1 });
  const { changed, spared } = await changeAccounts(asker, MYSQL57, PATTERNS, 'open');
  expect(changed).toMatchObject([{ user: 'app' }]);
  expect(spared).toEqual(['app_admin@10.% is left alone: it has SYSTEM_VARIABLES_ADMIN']);
  expect(acts).toEqual(['SET SESSION', 'ALTER USER app', 'DELETE FROM app', 'SET SESSION']);
  expect(await countAccounts(asker, MYSQL57, PATTERNS)).toEqual({ open: 1, blocked: 0 });
});

test.each(['5.7.44-log', '8.0.36', '8.4.3', '9.7.4'])('MySQL %s is asked for its own column of locks', (banner) => {
  const { accountForm, accountStatement } = dialectFor(banner);
  expect(accountForm).toBe('lock');
  expect(accountStatement).toMatch(/account_locked = 'Y' AS locked.* FROM mysql\.user/);
});

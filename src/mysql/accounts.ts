// Blocking and releasing the application's accounts: which ones the patterns pick, which are never touched, in one way on every server.
// Comes from steps.ts and facts.ts; how one account is turned is password-column.ts's or account-lock.ts's business.

import type { BlockPatterns } from '../core/config.ts';
import type { AccountCounts } from '../core/observation.ts';
import type { Account, AccountForm, Listed } from './account-form.ts';
import { accountLock } from './account-lock.ts';
import type { Dialect } from './dialect.ts';
import { serverErrorNumber } from './evidence.ts';
import { passwordColumn } from './password-column.ts';
import type { Asker } from './row.ts';
import { adminGrantees } from './sessions.ts';

/** What a round of blocking or releasing found and did. */
export interface Changed {
  /** Matching accounts that were in the other state. */
  readonly changed: readonly Account[];
  /** All matching accounts that are in the wanted state now. */
  readonly wanted: readonly Account[];
  /** Matching accounts that are never touched, each with the reason. */
  readonly spared: readonly string[];
}

const FORMS: Readonly<Record<Dialect['accountForm'], AccountForm>> = {
  'password-column': passwordColumn,
  lock: accountLock,
};

const TABLE_DENIED = 1142;

/** Accounts that match the patterns, by state; null without patterns. */
export async function countAccounts(
  asker: Asker,
  dialect: Dialect,
  patterns: BlockPatterns | null,
): Promise<AccountCounts | null> {
  if (patterns === null) return null;
  try {
    const { open, blocked } = await matching(asker, dialect, patterns);
    return { open: open.length, blocked: blocked.length };
  } catch (error) {
    if (serverErrorNumber(error) !== TABLE_DENIED) throw error;
    // What may not be read counts as open: the host is not blind for it, and the step that is to block says what is missing.
    return { open: 1, blocked: 0 };
  }
}

/** Brings the matching accounts into the wanted state; those that are in it stay as they are. Nothing of it reaches the binary log. */
export async function changeAccounts(
  asker: Asker,
  dialect: Dialect,
  patterns: BlockPatterns,
  wanted: 'open' | 'blocked',
): Promise<Changed> {
  const form = FORMS[dialect.accountForm];
  await asker.ask('SET SESSION sql_log_bin = 0');
  // When putting it back fails the whole connection is given up (connection.ts), so nothing is ever left out of the log.
  try {
    const before = await matching(asker, dialect, patterns);
    if (wanted === 'blocked') for (const account of before.open) await form.block(asker, account);
    else for (const account of before.blocked) await form.release(asker, account);
    await form.settle(asker, before.listed);
    const after = await matching(asker, dialect, patterns);
    return {
      changed: wanted === 'blocked' ? before.open : before.blocked,
      wanted: wanted === 'blocked' ? after.blocked : after.open,
      spared: after.spared,
    };
  } finally {
    await asker.ask('SET SESSION sql_log_bin = 1');
  }
}

interface Matching {
  readonly listed: readonly Listed[];
  readonly open: readonly Listed[];
  readonly blocked: readonly Listed[];
  readonly spared: readonly string[];
}

async function matching(asker: Asker, dialect: Dialect, patterns: BlockPatterns): Promise<Matching> {
  const form = FORMS[dialect.accountForm];
  const listed = await form.list(asker, dialect);
  const admins = await adminGrantees(asker, dialect);
  const [self] = await asker.ask('SELECT CURRENT_USER() AS name');
  const result = { listed, open: [] as Listed[], blocked: [] as Listed[], spared: [] as string[] };
  for (const account of listed) {
    const matches = patterns.user.test(account.user) && patterns.host.test(account.host);
    const reason = sparing(account, self?.['name'] ?? '', admins);
    const ours = form.marksOurs || (matches && reason === '');
    if (account.blocked && ours) result.blocked.push(account);
    if (!matches) continue;
    if (reason !== '') result.spared.push(`${nameOf(account)} is left alone: ${reason}`);
    else if (account.open) result.open.push(account);
  }
  return result;
}

/** Why this account is never blocked, whatever the patterns say; '' when it may be. */
function sparing(account: Listed, self: string, admins: ReadonlyMap<string, string>): string {
  if (nameOf(account) === self) return 'the account that mmm itself uses';
  if (account.user === '') return 'it is anonymous';
  const right = admins.get(`'${account.user}'@'${account.host}'`);
  return right === undefined ? account.unfit : `it has ${right}`;
}

function nameOf({ user, host }: Account): string {
  return `${user}@${host}`;
}

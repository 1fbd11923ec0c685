// Block and release through a whole failover and back, on servers with the password column and on those with account locks: who
// may log in where, and who is thrown out.

import { createConnection } from 'mysql2/promise';
import { afterEach, describe, expect, it } from 'vitest';
import { APP } from '../../src/sandbox/accounts.ts';
import { BLOCK_APP } from '../../src/sandbox/daemons.ts';
import type { Mysqld } from '../../src/sandbox/mysqld.ts';
import { aRig, isLost, type Rig } from '../support/rig.ts';
import { until } from '../support/until.ts';

let rig: Rig;
afterEach(async () => {
  await rig.close();
});

/** Of an account with a wrong password, and of one that is locked. */
const REFUSALS = [1045, 4151];

async function mayLogIn(server: Mysqld, account = APP): Promise<boolean> {
  try {
    const connection = await createConnection({ host: '127.0.0.1', port: server.port, ...account });
    connection.destroy();
    return true;
  } catch (error) {
    // The agent killed this very session.
    if (isLost(error)) return await mayLogIn(server, account);
    if (error instanceof Error && 'errno' in error && REFUSALS.includes(Number(error.errno))) return false;
    throw error;
  }
}

async function hashOf(server: Mysqld): Promise<string> {
  const [row] = await rig.admin(server, `SELECT Password AS hash FROM mysql.user WHERE User = '${APP.user}'`);
  return String(row?.['hash']);
}

/** A frozen active, its roles taken over, its return: the accounts must be where the role is. */
async function failOver(): Promise<void> {
  const { a, b } = rig;
  await rig.replicating();
  const session = await createConnection({ host: '127.0.0.1', port: a.port, ...APP });
  session.on('error', () => undefined);
  a.freeze();
  await until('the account is released on the new active', async () => await mayLogIn(b));
  a.thaw();
  await until('and blocked on the old one', async () => !(await mayLogIn(a)));
  await until('the session that was open there is ended', () =>
    session.query('SELECT 1').then(
      () => false,
      () => true,
    ),
  );
  session.destroy();
}

describe('accounts follow the role', () => {
  it('by their password column, and the hashes come back to the byte', async () => {
    rig = await aRig({ kind: 'mysql56', mysql: BLOCK_APP, bothWritableMs: 1_000 });
    const { a, b } = rig;
    const original = await hashOf(a);
    expect(original).toMatch(/^\*[0-9A-F]{40}$/);
    await until('the account is blocked on the passive', async () => !(await mayLogIn(b)));
    await until('and open on the active', async () => await mayLogIn(a));
    expect(await hashOf(a)).toBe(original);
    // Back to front, as the Perl agent writes it, so that either can undo what the other did.
    const reversed = [...original].reverse().join('');
    expect(await hashOf(b)).toBe(reversed);
    await failOver();
    expect(await hashOf(a)).toBe(reversed);
    expect(await hashOf(b)).toBe(original);
    await nothingLogged('mysql.user');
  });

  it('by account locks, while one that an administrator had locked stays locked on both, also with another agent', async () => {
    rig = await aRig({ mysql: { ...BLOCK_APP, block_user: '^app' }, bothWritableMs: 1_000, roles: [] });
    const { a, b } = rig;
    const onLeave = { user: 'app_on_leave', password: 'sandbox-leave' };
    // On both, as replication would bring it, and without a transaction.
    for (const server of [a, b]) {
      const name = `'${onLeave.user}'@'127.0.0.%'`;
      await quietly(server, `CREATE USER ${name} IDENTIFIED BY '${onLeave.password}' ACCOUNT LOCK`);
    }
    for (const role of ['monitor', 'identify', 'agent'] as const) await rig.start(role);
    await until('the account is blocked on the passive', async () => !(await mayLogIn(b)));
    await until('and open on the active', async () => await mayLogIn(a));
    // The agent that releases is not the one that blocked.
    await rig.daemon('agent').stop();
    await rig.start('agent', 'agent-2');
    await failOver();
    expect(await mayLogIn(a, onLeave)).toBe(false);
    expect(await mayLogIn(b, onLeave)).toBe(false);
    await nothingLogged('locked_accounts', 'ACCOUNT LOCK', 'ACCOUNT UNLOCK', 'mmm');
  });
});

/** One statement that the other host never sees. */
async function quietly(server: Mysqld, sql: string): Promise<void> {
  await rig.admin(server, `BEGIN NOT ATOMIC SET SESSION sql_log_bin = 0; ${sql}; END`);
}

/** Nothing of it is in a binary log: the other host would have got it too. */
async function nothingLogged(...words: readonly string[]): Promise<void> {
  for (const server of [rig.a, rig.b]) {
    const events = JSON.stringify(await rig.admin(server, 'SHOW BINLOG EVENTS'));
    for (const word of words) expect(events).not.toContain(word);
  }
}

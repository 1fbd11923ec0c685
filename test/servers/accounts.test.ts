// Block and release on MySQL 5.6, through a whole failover and back: who may log in where, and who is thrown out.

import { createConnection } from 'mysql2/promise';
import { afterEach, expect, it } from 'vitest';
import { APP } from '../../src/sandbox/accounts.ts';
import { BLOCK_APP } from '../../src/sandbox/daemons.ts';
import type { Mysqld } from '../../src/sandbox/mysqld.ts';
import { aRig, isLost, type Rig } from '../support/rig.ts';
import { until } from '../support/until.ts';

let rig: Rig;
afterEach(async () => {
  await rig.close();
});

async function mayLogIn(server: Mysqld): Promise<boolean> {
  try {
    const connection = await createConnection({ host: '127.0.0.1', port: server.port, ...APP });
    connection.destroy();
    return true;
  } catch (error) {
    // The agent killed this very session.
    if (isLost(error)) return await mayLogIn(server);
    if (error instanceof Error && 'errno' in error && error.errno === 1045) return false;
    throw error;
  }
}

async function hashOf(server: Mysqld): Promise<string> {
  const [row] = await rig.admin(server, `SELECT Password AS hash FROM mysql.user WHERE User = '${APP.user}'`);
  return String(row?.['hash']);
}

it('accounts follow the role, their sessions do not go on on the passive, and the hashes come back to the byte', async () => {
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
  expect(await hashOf(a)).toBe(reversed);
  expect(await hashOf(b)).toBe(original);
  // Nothing of this is in a binary log: the other host would have got it too.
  for (const server of [a, b]) {
    const events = await rig.admin(server, 'SHOW BINLOG EVENTS');
    expect(JSON.stringify(events)).not.toContain('mysql.user');
  }
});

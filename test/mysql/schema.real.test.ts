// The schema `mmm` on real servers: put there once, brought up to date, never replicated, and never another server's.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SCHEMA_VERSION } from '../../src/core/host-row.ts';
import { MMM } from '../../src/sandbox/accounts.ts';
import { aFencedServer, armed, done, epoch, type FencedServer, rowOf } from '../support/fence.ts';
import { until } from '../support/until.ts';

/** Beside the epoch, which comes first. */
const PARAMETERS_OF_3 = [
  ['claim', 'p_unfenced tinyint'],
  ['close', 'p_kill tinyint'],
  ['open', 'p_base_ms bigint', 'p_lease_ms bigint', 'p_endless tinyint', 'p_boot bigint', 'p_drained tinyint'],
  ['renew', 'p_base_ms bigint', 'p_lease_ms bigint'],
  ['start_sql', 'p_from_standstill tinyint'],
  ['start_io', 'p_from_standstill tinyint'],
  ['start_replication', 'p_from_standstill tinyint'],
  ['stop_io'],
  ['kill_sessions'],
] as const;
const NEW_IN_4 = ['open_lossless', 'sync', 'source_off', 'acknowledge', 'switch_source'];

describe.each(['mariadb', 'mysql56'] as const)('%s', (kind) => {
  let server: FencedServer;

  beforeAll(async () => {
    server = await aFencedServer(kind);
  });
  afterAll(() => server.close());

  /** How far the server's own binary log goes. */
  async function logEnd(): Promise<string> {
    const [row] = await server.admin('SHOW MASTER STATUS');
    return `${row?.['File']}:${row?.['Position']} ${row?.['Executed_Gtid_Set'] ?? ''}`;
  }

  test('a server without it has no row, and every call says what is missing', async () => {
    const fence = server.fence();
    expect(await fence.look()).toEqual({ kind: 'none' });
    expect(await fence.call({ do: 'claim', epoch: epoch(1), unfenced: null })).toEqual({
      kind: 'not-done',
      why: 'not-installed',
      row: null,
    });
  });

  test('it is installed on a host that is closed, blank, and the second time nothing is changed', async () => {
    const fence = server.fence();
    const first = await fence.install();
    expect(first).toMatchObject({
      kind: 'done',
      changed: true,
      row: {
        schemaVersion: SCHEMA_VERSION,
        epoch: null,
        opened: null,
        lease: { kind: 'none' },
        unfenced: true,
        generation: 0,
        readOnly: true,
      },
    });
    expect(await fence.install()).toMatchObject({ kind: 'done', changed: false });
    expect(await server.fence().install()).toMatchObject({ kind: 'done', changed: false });
  });

  test('neither installing, nor a call, nor the EVENT writes to the binary log', async () => {
    await server.admin('DROP DATABASE mmm');
    const before = await logEnd();
    const fence = server.fence();
    const { tickMs } = await armed(fence);
    await done(fence.call({ do: 'claim', epoch: epoch(1), unfenced: true }));
    await done(fence.call({ do: 'close', epoch: epoch(1), killClients: true, withinMs: 1_000 }));
    await until('the EVENT ticks again', async () => ((await rowOf(fence)).tickMs ?? 0) > (tickMs ?? 0) + 1_500);
    expect(await logEnd()).toBe(before);
  });

  test('a call made by hand, on a connection that writes to the binary log, does not, and leaves that on', async () => {
    const before = await logEnd();
    const [row] = await server.admin(`CALL mmm.claim(2, 'by hand', '127.0.0.1:3306', 0)`);
    expect(JSON.stringify(row)).toMatch(/by hand/);
    expect(await logEnd()).toBe(before);
    await server.admin('CREATE DATABASE told_to_the_replica');
    expect(await logEnd()).not.toBe(before);
  });

  test('an older version is brought up to date and keeps what it knew', async () => {
    const fence = server.fence();
    await done(fence.call({ do: 'claim', epoch: epoch(7), unfenced: true }));
    await server.admin('UPDATE mmm.host SET schema_version = 0, generation = 12');
    await server.admin('DROP PROCEDURE mmm.renew');
    await server.admin("CREATE PROCEDURE mmm.renew() COMMENT 'mmm schema 0' SELECT 'old'");
    await server.admin("ALTER EVENT mmm.fence COMMENT 'mmm schema 0'");
    expect(await fence.install()).toMatchObject({
      kind: 'done',
      changed: true,
      row: { schemaVersion: SCHEMA_VERSION, epoch: epoch(7), unfenced: true, generation: 12 },
    });
    expect(await fence.call({ do: 'renew', epoch: epoch(7), baseMs: 0, leaseMs: 1 })).toMatchObject({
      why: 'not-open',
    });
    expect(await fence.install()).toMatchObject({ changed: false });
  });

  test('version 3 is brought up to date: it gets the calls of durability=lossless, and keeps what it knew', async () => {
    const fence = server.fence();
    for (const name of NEW_IN_4) await server.admin(`DROP PROCEDURE mmm.${name}`);
    for (const [name] of PARAMETERS_OF_3) await server.admin(`ALTER PROCEDURE mmm.${name} COMMENT 'mmm schema 3'`);
    await server.admin("ALTER EVENT mmm.fence COMMENT 'mmm schema 3'");
    await server.admin('UPDATE mmm.host SET schema_version = 3');
    // Whoever is newer than the schema is told so, and an older agent's calls go on.
    const acknowledge = { do: 'acknowledge', epoch: epoch(7), on: false } as const;
    expect(await fence.call(acknowledge)).toMatchObject({ why: 'not-installed' });
    await done(fence.call({ do: 'claim', epoch: epoch(7), unfenced: null }));
    expect(await fence.install()).toMatchObject({
      kind: 'done',
      changed: true,
      row: { schemaVersion: SCHEMA_VERSION, epoch: epoch(7), unfenced: true, generation: 12 },
    });
    await done(fence.call(acknowledge));
    expect(await fence.install()).toMatchObject({ changed: false });
  });

  test('what agents of version 3 call takes what they give', async () => {
    const rows = await server.admin(
      `SELECT SPECIFIC_NAME AS name, PARAMETER_NAME AS parameter, DTD_IDENTIFIER AS type FROM information_schema.PARAMETERS
        WHERE SPECIFIC_SCHEMA = 'mmm' ORDER BY SPECIFIC_NAME, ORDINAL_POSITION`,
    );
    const parameters = (procedure: string) =>
      rows
        .filter(({ name }) => name === procedure)
        .map(({ parameter, type }) => `${parameter} ${type}`.replace(/\(\d+\)/g, ''));
    const found = PARAMETERS_OF_3.map(([name]) => [name, parameters(name).slice(3)]);
    expect(found).toEqual(PARAMETERS_OF_3.map(([name, ...more]) => [name, more]));
    for (const [name] of PARAMETERS_OF_3) {
      expect(parameters(name).slice(0, 3)).toEqual(['p_number bigint unsigned', 'p_id varchar', 'p_active varchar']);
    }
  });

  test.each([
    ['a procedure is missing', 'DROP PROCEDURE mmm.open'],
    ['the EVENT is missing', 'DROP EVENT mmm.fence'],
    ['the EVENT is disabled', 'ALTER EVENT mmm.fence DISABLE'],
    ['an installation was cut off before its end', 'UPDATE mmm.host SET schema_version = 0'],
  ])('it is repaired when %s', async (_what, damage) => {
    const fence = server.fence();
    await server.admin(damage);
    expect(await fence.install()).toMatchObject({ kind: 'done', changed: true, row: { epoch: epoch(7) } });
  });

  test('a newer version is left as it is, and its calls are made', async () => {
    const fence = server.fence();
    await server.admin('UPDATE mmm.host SET schema_version = 99');
    for (const name of ['open', 'renew']) await server.admin(`ALTER PROCEDURE mmm.${name} COMMENT 'mmm schema 99'`);
    expect(await fence.install()).toMatchObject({ kind: 'done', changed: false, row: { schemaVersion: 99 } });
    await done(fence.call({ do: 'claim', epoch: epoch(8), unfenced: null }));
    await server.admin(`UPDATE mmm.host SET schema_version = ${SCHEMA_VERSION}`);
  });

  test('it is made anew when the account that it belongs to is gone', async () => {
    const fence = server.fence();
    await server.admin(`DROP PROCEDURE mmm.claim`);
    await server.admin(
      `CREATE DEFINER = 'gone'@'127.0.0.1' PROCEDURE mmm.claim(IN a BIGINT, IN b VARCHAR(64), IN c VARCHAR(64), IN d TINYINT)
        COMMENT 'mmm schema ${SCHEMA_VERSION}' SELECT 1`,
    );
    expect(await fence.call({ do: 'claim', epoch: epoch(9), unfenced: null })).toMatchObject({ why: 'not-installed' });
    expect(await fence.install()).toMatchObject({ kind: 'done', changed: true });
    await done(fence.call({ do: 'claim', epoch: epoch(9), unfenced: null }));
  });

  test('the row of another server, come with a copy of its data, does not count', async () => {
    const fence = server.fence();
    await server.admin("UPDATE mmm.host SET server_uuid = 'another server', endless = 0, expires_at_ms = 1");
    await server.admin('SET GLOBAL read_only = 0');
    expect(await fence.look()).toEqual({ kind: 'none' });
    expect(await fence.call({ do: 'close', epoch: epoch(99), killClients: false, withinMs: 0 })).toMatchObject({
      kind: 'not-done',
      why: 'not-installed',
    });
    // Its EVENT came along as well, and a copy that somebody works with is not closed by it.
    const ran = new Set<string>();
    await until('the EVENT runs twice', async () => {
      const [event] = await server.admin(
        "SELECT LAST_EXECUTED AS ran FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'mmm'",
      );
      return ran.add(String(event?.['ran'])).size > 2;
    });
    expect(await server.admin('SELECT @@global.read_only AS closed')).toEqual([{ closed: 0 }]);
    expect(await fence.install()).toMatchObject({ changed: true, row: { epoch: null, lease: { kind: 'none' } } });
    await server.admin('SET GLOBAL read_only = 1');
  });

  test('two agents that install at once end with one schema', async () => {
    for (let round = 0; round < 5; round++) {
      await server.admin('DROP DATABASE mmm');
      const fences = [server.fence(), server.fence(), server.fence()];
      const results = await Promise.all(fences.map((fence) => fence.install()));
      for (const fence of fences)
        await until('it is whole', async () => (await fence.install()).kind === 'done', 5_000);
      expect(results.some(({ kind }) => kind === 'done')).toBe(true);
      expect(await server.fence().install()).toMatchObject({ kind: 'done', changed: false });
    }
  });

  test('an account without the rights is told which one is missing', async () => {
    await server.admin('DROP DATABASE mmm');
    await server.admin(`REVOKE CREATE ROUTINE ON mmm.* FROM '${MMM.user}'@'127.0.0.1'`);
    expect(JSON.stringify(await server.fence().install())).toMatch(/"104[24]".*(?:denied|access)/i);
    await server.admin(`GRANT CREATE ROUTINE ON mmm.* TO '${MMM.user}'@'127.0.0.1'`);
    expect(await server.fence().install()).toMatchObject({ kind: 'done' });
  });
});

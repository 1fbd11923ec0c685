// The plugins of semi-synchronous replication on MySQL, which no server here has: what is asked for, by a peer that answers as the
// documentation says. What MariaDB does is in semi-sync.real.test.ts.

import { describe, expect, test } from 'vitest';
import { dialectFor } from '../../src/mysql/dialect.ts';
import type { Asker, Row } from '../../src/mysql/row.ts';
import { installSemiSync, readSemiSync } from '../../src/mysql/semi-sync.ts';

/** A server with these plugins, which refuses to load another one by this error. */
function aServer({ plugins = [], error }: { plugins?: readonly string[]; error?: { errno: number; message: string } }) {
  const said: string[] = [];
  const asker: Asker = {
    ask: async (sql) => {
      if (sql.startsWith('SELECT')) return plugins.map((name) => ({ name: name.toUpperCase() }));
      said.push(sql);
      if (error !== undefined)
        throw Object.assign(new Error(error.message), { ...error, code: 'ER_X', sqlState: 'HY000' });
      return [];
    },
  };
  return { asker, said };
}

describe('the plugins are loaded', () => {
  test.each([
    ['5.7.44-log', ['master', 'slave']],
    ['8.0.25', ['master', 'slave']],
    ['8.0.26', ['source', 'replica']],
    ['9.7.4', ['source', 'replica']],
  ])('%s: those of its time', async (banner, sides) => {
    const { asker, said } = aServer({});
    expect(await installSemiSync(asker, dialectFor(banner))).toBeNull();
    expect(said).toEqual(sides.map((side) => `INSTALL PLUGIN rpl_semi_sync_${side} SONAME 'semisync_${side}.so'`));
  });

  test.each(['5.6.24-log', '10.11.19-MariaDB'])('%s: none', async (banner) => {
    const { asker, said } = aServer({});
    expect(await installSemiSync(asker, dialectFor(banner))).toBeNull();
    expect(said).toEqual([]);
  });

  test('not where they are, under whichever name, and one of them where the other is', async () => {
    for (const plugins of [
      ['rpl_semi_sync_master', 'rpl_semi_sync_slave'],
      ['rpl_semi_sync_source', 'rpl_semi_sync_replica'],
    ]) {
      const { asker, said } = aServer({ plugins });
      expect(await installSemiSync(asker, dialectFor('8.4.3'))).toBeNull();
      expect(said).toEqual([]);
    }
    const { asker, said } = aServer({ plugins: ['rpl_semi_sync_replica'] });
    await installSemiSync(asker, dialectFor('8.4.3'));
    expect(said).toEqual(["INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'"]);
  });

  test('or it is told why not', async () => {
    const { asker } = aServer({
      error: { errno: 1142, message: "INSERT command denied to user 'mmm' for table 'plugin'" },
    });
    expect(await installSemiSync(asker, dialectFor('8.4.3'))).toBe(
      "rpl_semi_sync_source could not be loaded: INSERT command denied to user 'mmm' for table 'plugin'; " +
        "rpl_semi_sync_replica could not be loaded: INSERT command denied to user 'mmm' for table 'plugin'",
    );
  });

  test('another agent may be quicker', async () => {
    const { asker } = aServer({ error: { errno: 1125, message: "Function 'rpl_semi_sync_source' already exists" } });
    expect(await installSemiSync(asker, dialectFor('8.4.3'))).toBeNull();
  });

  test('a server that does not answer is no refusal', async () => {
    const asker: Asker = { ask: () => Promise.reject(new Error('gone')) };
    await expect(installSemiSync(asker, dialectFor('8.4.3'))).rejects.toThrow('gone');
  });
});

describe('what MySQL shows', () => {
  const shown = (rows: Readonly<Record<string, string>>) => {
    const asker: Asker = {
      ask: async () => Object.entries(rows).map(([name, value]): Row => ({ name, value })),
    };
    return readSemiSync(asker, dialectFor('8.4.3'));
  };
  const NEW = {
    rpl_semi_sync_source_enabled: 'ON',
    rpl_semi_sync_source_timeout: '4294967295',
    rpl_semi_sync_source_wait_point: 'AFTER_SYNC',
    rpl_semi_sync_source_wait_no_replica: 'ON',
    rpl_semi_sync_source_wait_for_replica_count: '1',
    rpl_semi_sync_replica_enabled: 'OFF',
    Rpl_semi_sync_source_status: 'ON',
    Rpl_semi_sync_source_clients: '1',
    Rpl_semi_sync_source_wait_sessions: '3',
    Rpl_semi_sync_source_yes_tx: '12',
    Rpl_semi_sync_replica_status: 'OFF',
  };

  test('with the plugins of 8.0.26 and newer', async () => {
    expect(await shown(NEW)).toEqual({
      source: true,
      clients: 1,
      waiting: 3,
      acknowledged: 12,
      replica: false,
      replicaOn: false,
      wrong: null,
    });
  });

  test.each([
    ['rpl_semi_sync_source_timeout', '10000', 'commits stop waiting after a time'],
    ['rpl_semi_sync_source_wait_point', 'AFTER_COMMIT', 'others see a commit before a replica has it'],
    ['rpl_semi_sync_source_wait_no_replica', 'OFF', 'commits do not wait while no replica is there'],
    ['rpl_semi_sync_source_wait_for_replica_count', '2', 'commits wait for another number of replicas than one'],
  ])('%s=%s is told, of a source side that is on', async (name, value, why) => {
    expect((await shown({ ...NEW, [name]: value }))?.wrong).toBe(`${name} is ${value}: ${why}`);
    expect((await shown({ ...NEW, [name]: value, rpl_semi_sync_source_enabled: 'OFF' }))?.wrong).toBeNull();
  });

  test('one side alone, or a server that waits only after others have seen a commit, is none', async () => {
    const { rpl_semi_sync_replica_enabled: _replica, ...source } = NEW;
    const { rpl_semi_sync_source_wait_point: _point, ...old } = NEW;
    for (const rows of [{}, source, old]) expect(await shown(rows)).toBeNull();
  });
});

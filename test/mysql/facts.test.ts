import { expect, test, vi } from 'vitest';
import { dialectFor } from '../../src/mysql/dialect.ts';
import { Quiet, readFacts } from '../../src/mysql/facts.ts';
import type { Row } from '../../src/mysql/row.ts';
import { someReplication } from '../support/facts.ts';

const AT_THE_END = someReplication({ io: 'No', readAll: true });

test('the end of the relay log is believed when it looks the same for a while', async () => {
  const quiet = new Quiet();
  expect(quiet.lasts(AT_THE_END)).toBe(false);
  await vi.waitUntil(() => quiet.lasts(AT_THE_END), { timeout: 2_000, interval: 5 });
});

test('a thread that moved, or read on in between, starts the wait anew', async () => {
  const quiet = new Quiet();
  await vi.waitUntil(() => quiet.lasts(AT_THE_END), { timeout: 2_000, interval: 5 });
  const moved = { ...AT_THE_END, applied: { file: 'bin.000001', pos: 101 } };
  expect(quiet.lasts(moved)).toBe(false);
  await vi.waitUntil(() => quiet.lasts(moved), { timeout: 2_000, interval: 5 });
  quiet.lasts({ ...moved, readAll: false });
  expect(quiet.lasts(moved)).toBe(false);
});

/** A host of MySQL 8.4 as its documentation says it answers, with a row of ours. */
async function mysqlFacts({ readOnly, source }: { readOnly: '0' | '1'; source: 'ON' | 'OFF' }) {
  const asked: string[] = [];
  const semiSync: Readonly<Record<string, string>> = {
    rpl_semi_sync_source_enabled: source,
    rpl_semi_sync_source_wait_point: 'AFTER_SYNC',
    rpl_semi_sync_replica_enabled: 'OFF',
  };
  const ask = async (sql: string): Promise<readonly Row[]> => {
    asked.push(sql);
    if (sql === 'SHOW BINARY LOG STATUS') return [{ File: 'binlog.000001', Position: '157' }];
    if (sql.includes('FROM mmm.host')) {
      const nothing = {
        epoch_number: '0',
        epoch_id: '',
        epoch_active: '',
        opened_number: null,
        opened_id: null,
        opened_boot: null,
      };
      const rest = { endless: '0', expires_at_ms: null, unfenced: '0', tick_ms: null, generation: '0' };
      return [
        {
          now_ms: '1',
          started_sec: '2',
          writable: readOnly === '0' ? '1' : '0',
          schema_version: '5',
          ...nothing,
          ...rest,
        },
      ];
    }
    if (sql.includes('rpl_semi_sync')) return Object.entries(semiSync).map(([name, value]) => ({ name, value }));
    return sql.startsWith('SHOW') ? [] : [{ read_only: readOnly, server_id: '1' }];
  };
  const identity = { dialect: dialectFor('8.4.3'), version: '8.4.3', boot: { uuid: 'u', startedSec: 2 } };
  const facts = await readFacts({ ask, identity, excludeUsers: [], block: null, quiet: new Quiet() }, true);
  return { asked, facts };
}

test('MySQL is not asked for the end of its binary log while commits may wait: it would answer when they do not', async () => {
  const open = await mysqlFacts({ readOnly: '0', source: 'ON' });
  expect(open.asked).not.toContain('SHOW BINARY LOG STATUS');
  expect(open.facts).toMatchObject({ binlog: null, semiSync: { source: true } });
  for (const host of [
    { readOnly: '1', source: 'ON' },
    { readOnly: '0', source: 'OFF' },
  ] as const) {
    expect((await mysqlFacts(host)).facts.binlog).toEqual({ file: 'binlog.000001', pos: 157 });
  }
});

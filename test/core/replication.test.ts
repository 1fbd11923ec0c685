import { describe, expect, test } from 'vitest';
import type { Replication } from '../../src/core/observation.ts';
import { hasReceived, holdsGtids, isApplied, type Progress, unapplied } from '../../src/core/replication.ts';
import { someReplication } from '../support/facts.ts';

/** A MariaDB channel with GTIDs, all applied. */
function progress(over: Partial<Replication> = {}, gtid: string | null = '1-1-26,2-2-4'): Progress {
  const place = { file: 'binlog.000002', pos: 500 };
  const gtids = { receivedGtid: '1-1-26,2-2-4', purgesOnStart: true };
  return { replication: someReplication({ received: place, applied: place, readAll: false, ...gtids, ...over }), gtid };
}

/** The same by file and position. */
function byPosition(over: Partial<Replication> = {}): Progress {
  return progress({ receivedGtid: null, purgesOnStart: false, ...over }, null);
}

const NOWHERE = { file: '', pos: 0 };

describe('applied', () => {
  test('a host that never replicated has nothing to apply', () => {
    expect(isApplied({ replication: null, gtid: '0-1-5' })).toBe(true);
  });

  test('all received GTIDs are among the executed ones', () => {
    expect(isApplied(progress())).toBe(true);
    expect(isApplied(progress({}, '1-1-25,2-2-4'))).toBe(false);
  });

  test('with GTIDs, coordinates that meet after a reconnect prove nothing', () => {
    const reset = { received: { file: '', pos: 4 }, applied: { file: 'binlog.000002', pos: 500 } };
    expect(isApplied(progress(reset, '1-1-6'))).toBe(false);
  });

  test('in a domain that both servers share, a write of its own that came back hides nothing that is still unapplied', () => {
    // As MariaDB 10.11 shows it: 0-1-4 to 0-1-7 are received and not applied, then its own 0-2-4 came back by the circle.
    const hidden = { receivedGtid: '0-2-4', appliedGtid: '0-1-3', applied: { file: 'binlog.000002', pos: 99 } };
    expect(isApplied(progress(hidden, '0-1-3,0-2-4'))).toBe(false);
    expect(unapplied(progress(hidden, '0-1-3,0-2-4'))).toBe('401 bytes');
    expect(isApplied(progress({ ...hidden, appliedGtid: '0-2-4' }, '0-1-7,0-2-4'))).toBe(true);
    expect(isApplied(progress({ ...hidden, appliedGtid: 'nonsense' }, '0-1-3,0-2-4'))).toBe(false);
  });

  test('in a domain of its own, a write of its own that came back need not be noted by the applier', () => {
    expect(isApplied(progress({ appliedGtid: '1-1-26' }))).toBe(true);
  });

  test('GTIDs that cannot be read are not applied', () => {
    expect(isApplied(progress({ receivedGtid: 'nonsense' }))).toBe(false);
    expect(isApplied(progress({}, 'nonsense'))).toBe(false);
  });

  test('by position the SQL thread must have reached the I/O thread', () => {
    expect(isApplied(byPosition())).toBe(true);
    expect(isApplied(byPosition({ applied: { file: 'binlog.000002', pos: 499 } }))).toBe(false);
    expect(isApplied(byPosition({ applied: { file: 'binlog.000001', pos: 9000 } }))).toBe(false);
  });

  test('half a transaction at the end of a finished relay log does not count', () => {
    const half = { applied: { file: 'binlog.000002', pos: 420 }, io: 'No', readAll: true } as const;
    expect(isApplied(byPosition(half))).toBe(true);
    expect(isApplied(progress(half, '1-1-25'))).toBe(true);
  });

  test('having read everything is no end while the I/O thread may write more, nor when the SQL thread stopped', () => {
    const behind = { applied: { file: 'binlog.000002', pos: 420 }, readAll: true };
    expect(isApplied(byPosition(behind))).toBe(false);
    expect(isApplied(byPosition({ ...behind, io: 'Connecting' }))).toBe(false);
    expect(isApplied(byPosition({ ...behind, io: 'No', sql: 'No' }))).toBe(false);
  });
});

describe('received', () => {
  test('received and executed GTIDs count together', () => {
    const lagging = progress({ receivedGtid: '1-1-26' }, '1-1-20,2-2-4');
    expect(hasReceived(lagging, NOWHERE, '1-1-26,2-2-4')).toBe(true);
    expect(hasReceived(lagging, NOWHERE, '1-1-27,2-2-4')).toBe(false);
    expect(hasReceived(lagging, NOWHERE, '1-1-26,2-2-5')).toBe(false);
  });

  test('with GTIDs on the channel, coordinates are not asked', () => {
    expect(hasReceived(progress({}, '1-1-20'), { file: 'binlog.000001', pos: 4 }, '1-1-99')).toBe(false);
  });

  test('a MariaDB channel by file and position goes by coordinates where the GTIDs do not tell', () => {
    const host = progress({ receivedGtid: null }, '1-1-20');
    expect(hasReceived(host, { file: 'binlog.000002', pos: 500 }, '1-1-26')).toBe(true);
    expect(hasReceived(host, { file: 'binlog.000002', pos: 501 }, '1-1-26')).toBe(false);
  });

  test('on MySQL a transaction counts from its first event on, so what is not applied needs the position as well', () => {
    const uuid = '3e11fa47-71ca-11e1-9e33-c80aa9429562';
    const half = progress({ receivedGtid: `${uuid}:1-3` }, `${uuid}:1-2`);
    expect(hasReceived(half, { file: 'binlog.000002', pos: 501 }, `${uuid}:1-3`)).toBe(false);
    expect(hasReceived(half, { file: 'binlog.000002', pos: 500 }, `${uuid}:1-3`)).toBe(true);
    expect(hasReceived(half, { file: 'binlog.000009', pos: 500 }, `${uuid}:1-2`)).toBe(true);
  });

  test('a host that does not replicate has received what it has executed', () => {
    expect(hasReceived({ replication: null, gtid: '1-1-26' }, NOWHERE, '1-1-26')).toBe(true);
    expect(hasReceived({ replication: null, gtid: '1-1-25' }, NOWHERE, '1-1-26')).toBe(false);
    expect(hasReceived({ replication: null, gtid: null }, { file: 'binlog.000001', pos: 4 }, null)).toBe(false);
  });

  test('binary logs are ordered by number, also past the sixth digit, and only under one name', () => {
    const at = (file: string) => byPosition({ received: { file, pos: 4 } });
    expect(hasReceived(at('binlog.1000000'), { file: 'binlog.999999', pos: 800 }, null)).toBe(true);
    expect(hasReceived(at('binlog.999999'), { file: 'binlog.1000000', pos: 4 }, null)).toBe(false);
    expect(hasReceived(at('other.000009'), { file: 'binlog.000002', pos: 4 }, null)).toBe(false);
    expect(hasReceived(at('binlog.000009'), NOWHERE, null)).toBe(false);
  });
});

describe('by GTIDs alone', () => {
  const U1 = '11111111-1111-1111-1111-111111111111';
  const U2 = '22222222-2222-2222-2222-222222222222';
  const on = (gtid: string | null, receivedGtid: string | null) => ({
    replication: someReplication({ receivedGtid }),
    gtid,
  });

  test('a host holds what it applied and what it received', () => {
    const wanted = `${U1}:1-10,${U2}:1-3`;
    expect(holdsGtids(on(`${U1}:1-4,${U2}:1-3`, `${U1}:3-10`), wanted)).toBe(true);
    expect(holdsGtids(on(`${U1}:1-4,${U2}:1-3`, `${U1}:3-9`), wanted)).toBe(false);
    expect(holdsGtids(on(`${U1}:1-4`, `${U1}:3-10`), wanted)).toBe(false);
    expect(holdsGtids(on(`${U1}:1-10,${U2}:1-3`, null), wanted)).toBe(true);
    expect(holdsGtids({ replication: null, gtid: `${U1}:1-10,${U2}:1-3` }, wanted)).toBe(true);
  });

  test('nothing is known of a host without them, or with others', () => {
    expect(holdsGtids(on(null, `${U1}:1-10`), `${U1}:1-10`)).toBe(false);
    expect(holdsGtids(on('0-1-10', `${U1}:1-10`), `${U1}:1-10`)).toBe(false);
    expect(holdsGtids(on(`${U1}:1-10`, 'what?'), `${U1}:1-10`)).toBe(false);
    expect(holdsGtids(on(`${U1}:1-10`, null), 'what?')).toBe(false);
  });
});

describe('how far behind', () => {
  test('is counted in transactions with GTIDs, in bytes within one binary log', () => {
    expect(unapplied(progress({}, '1-1-6,2-2-4'))).toBe('20 transactions');
    expect(unapplied(progress({}, '1-1-25,2-2-4'))).toBe('1 transaction');
    expect(unapplied(byPosition({ applied: { file: 'binlog.000002', pos: 420 } }))).toBe('80 bytes');
    expect(unapplied(byPosition({ applied: { file: 'binlog.000001', pos: 7 } }))).toBe(
      'everything from binlog.000001:7 to binlog.000002:500',
    );
  });
});

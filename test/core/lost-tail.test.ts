// What a restarted server lacks of its own: only that refuses its opening, and only when it is certain.

import { describe, expect, it } from 'vitest';
import type { Divergence } from '../../src/core/divergence.ts';
import { whyTailLost } from '../../src/core/lost-tail.ts';
import type { Facts } from '../../src/core/observation.ts';
import { someFacts, someReplication } from '../support/facts.ts';
import { B } from '../support/partnership.ts';

const U1 = '11111111-1111-1111-1111-111111111111';
const U2 = '22222222-2222-2222-2222-222222222222';

const mariadb = (serverId: number, gtid: string | null, receivedGtid: string | null = null): Facts =>
  someFacts({ serverId, gtid, replication: someReplication({ receivedGtid }) });
const mysql = (uuid: string, gtid: string | null, receivedGtid: string | null = null): Facts =>
  someFacts({
    flavour: 'mysql',
    boot: { uuid, startedSec: 1 },
    gtid,
    replication: someReplication({ receivedGtid }),
  });

const recorded = (gtids: string, cut = false): Divergence => ({
  host: B,
  epoch: null,
  foundAtMs: 1,
  count: 2,
  gtids,
  cut,
  end: null,
  saved: null,
});

describe('a restarted server', () => {
  it.each<[string, Facts, Facts, string | null]>([
    ['that has all of it has lost nothing', mariadb(1, '0-1-100'), mariadb(2, '0-1-100'), null],
    ['that is ahead has lost nothing', mariadb(1, '0-1-102'), mariadb(2, '0-1-100'), null],
    ['lacks what the other one applied', mariadb(1, '0-1-98'), mariadb(2, '0-1-100'), '2 transactions (0-1-100)'],
    [
      'lacks what the other one only received',
      mariadb(1, '0-1-99'),
      mariadb(2, '0-1-90', '0-1-100'),
      '1 transaction (0-1-100)',
    ],
    ['lacks what the other one wrote, which comes over', mariadb(1, '0-1-98'), mariadb(2, '0-1-98,0-2-120'), null],
    ['lacks of both, and only its own counts', mariadb(1, '1-1-5'), mariadb(2, '1-1-6,2-2-9'), '1 transaction (1-1-6)'],
    ['is not confused with one whose id ends alike', mariadb(1, '0-11-3'), mariadb(2, '0-11-5'), null],
    [
      'of MySQL lacks of its own',
      mysql(U1, `${U1}:1-8`),
      mysql(U2, `${U1}:1-10,${U2}:1-3`),
      `2 transactions (${U1}:9-10)`,
    ],
    ['of MySQL lacks of the other’s', mysql(U1, `${U1}:1-8`), mysql(U2, `${U1}:1-8,${U2}:1-3`), null],
    [
      'of MySQL lacks what was received',
      mysql(U1, `${U1}:1-8`),
      mysql(U2, `${U1}:1-2`, `${U1}:3-9`),
      `1 transaction (${U1}:9)`,
    ],
    ['without GTIDs cannot be judged', mariadb(1, null), mariadb(2, '0-1-100'), null],
    ['beside one without GTIDs cannot be judged', mariadb(1, '0-1-98'), mariadb(2, null), null],
    ['beside one that cannot be understood cannot be judged', mariadb(1, '0-1-98'), mariadb(2, 'what?'), null],
    ['beside one of another make cannot be judged', mariadb(1, '0-1-98'), mariadb(2, '0-1-90', `${U1}:1-9`), null],
    ['lacks all of it when its log is empty', mariadb(1, ''), mariadb(2, '0-1-3'), '3 transactions (0-1-3)'],
  ])('%s', (_what, active, other, why) => {
    expect(whyTailLost(active, other, null)).toBe(why);
  });

  it('beside one that does not replicate is judged by what that one applied', () => {
    const other = someFacts({ serverId: 2, gtid: '0-1-100', replication: null });
    expect(whyTailLost(mariadb(1, '0-1-98'), other, null)).toBe('2 transactions (0-1-100)');
  });

  it('is opened when all of it was recorded as a divergence before, and told', () => {
    const [active, other] = [mariadb(1, '0-1-98'), mariadb(2, '0-1-100')];
    expect(whyTailLost(active, other, recorded('0-1-100'))).toBeNull();
    expect(whyTailLost(active, other, recorded('0-9-9', true))).toBeNull();
    expect(whyTailLost(active, other, recorded('0-1-99'))).not.toBeNull();
    expect(whyTailLost(active, other, recorded('0-9-9'))).not.toBeNull();
  });
});

// The comparing calls on real servers, by the lists that the simulated server is held to as well.

import { afterAll, afterEach, beforeAll, describe } from 'vitest';
import { aCallBench, type RealCallBench } from '../support/call-bench.ts';
import { callCases } from './call-cases.ts';
import { noSemiSyncCases, semiSyncCases } from './semi-sync-cases.ts';

describe.each(['mariadb', 'mysql56'] as const)('%s', (kind) => {
  let bench: RealCallBench;
  beforeAll(async () => {
    bench = await aCallBench(kind);
  });
  afterAll(() => bench.close());
  afterEach(() => bench.hangUp());

  callCases(() => bench);
  // MySQL 5.6 comes without the plugins here.
  describe('semi-synchronous replication', () => (kind === 'mariadb' ? semiSyncCases : noSemiSyncCases)(() => bench));
});

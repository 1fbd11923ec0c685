// Each line of the table "Shown by" once, on real servers in network namespaces (rig.ts). What each line demands is in
// lines.ts. One rig for all of them: every trial begins with a pair that was seen to be as it should be.

import { afterAll, describe, expect, it } from 'vitest';
import { LINES } from './lines.ts';
import { whyNoNetwork } from './network.ts';
import { Runs, variantsOf } from './runs.ts';

const OPTIONS = { kind: 'mariadb', fencing: 'lease' } as const;
const why = whyNoNetwork();
if (why !== null) console.log(`the fault suite is skipped: ${why}`);

describe.skipIf(why !== null)(`a pair of ${OPTIONS.kind} with fencing=${OPTIONS.fencing}`, () => {
  const runs = new Runs(OPTIONS);
  afterAll(() => runs.close());

  describe.each(LINES.map((line) => [line.name, line] as const))('%s', (_name, line) => {
    it.each(variantsOf(line, OPTIONS, true).map((variant) => [variant.name, variant] as const))(
      '%s',
      async (_variant, variant) => {
        const { result, problems, story, tookMs } = await runs.run(line, variant);
        expect(problems, `what the daemons said is in ${story}`).toEqual([]);
        console.log(
          `${line.name}: ${variant.name}: ${(tookMs / 1000).toFixed(1)} s, writable after ${result?.writableMs?.toFixed(0) ?? '-'} ms, ${result?.secondWrites} second writes, ${result?.lost} lost`,
        );
      },
    );
  });
});

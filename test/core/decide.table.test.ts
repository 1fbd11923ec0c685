// Named situations with their verdicts and reasons, compared byte for byte with decisions.txt, which is meant to be read.
// After a change that is meant, write it anew and review the difference:
//   MMM_WRITE_DECISIONS=1 npx vitest run --project unit test/core/decide.table.test.ts

import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { PRIMARY, SECONDARY } from '../support/build.ts';
import { told } from '../support/situation.ts';
import { GONE } from './situations/gone.ts';
import { WITH_SAFETY } from './situations/guarded.ts';
import { WITHOUT_LOSS } from './situations/lossless.ts';
import { PLANNED } from './situations/planned.ts';
import { UNSETTLED } from './situations/unsettled.ts';

const GOLDEN = new URL('decisions.txt', import.meta.url);
const SITUATIONS = [...GONE, ...PLANNED, ...WITH_SAFETY, ...WITHOUT_LOSS, ...UNSETTLED];

test('the named situations are decided, and explained, as decisions.txt has it', () => {
  const head = [
    `Decisions of mmm identify for a pair whose primary is ${PRIMARY} and whose secondary is ${SECONDARY}.`,
    'Written by test/core/decide.table.test.ts, which says how to write it anew.',
  ].join('\n');
  const body = SITUATIONS.map((item) => (typeof item === 'string' ? `== ${item} ==` : told(item)));
  const text = `${[head, ...body].join('\n\n')}\n`;
  if (process.env['MMM_WRITE_DECISIONS'] === '1') {
    writeFileSync(GOLDEN, text);
  }
  expect(text).toBe(readFileSync(GOLDEN, 'utf8'));
});

test('each situation has a name of its own within the table', () => {
  const names = SITUATIONS.map((item) => (typeof item === 'string' ? item : item.name));
  expect(new Set(names).size).toBe(names.length);
});

// Which host holds every acknowledged commit: unknown is false, and another life of a server is another member.

import { describe, expect, test } from 'vitest';
import { type Complete, isMember, whyIncomplete } from '../../src/core/complete.ts';
import { PRIMARY, SECONDARY } from '../support/build.ts';

const A = { host: PRIMARY, uuid: 'uuid-a', startedSec: 100 } as const;
const B = { host: SECONDARY, uuid: 'uuid-b', startedSec: 200 } as const;
const BOTH: Complete = { generation: 12, writer: A, hosts: [A, B] };

describe('a member', () => {
  test.each([
    ['itself', B, true],
    ['restarted', { ...B, startedSec: 202 }, false],
    ['another server', { ...B, uuid: 'uuid-c' }, false],
    ['another host', { ...B, host: PRIMARY }, false],
  ])('%s', (_, other, same) => {
    expect(isMember(B, other)).toBe(same);
  });
});

describe('a host is incomplete', () => {
  test('unless it is in the set, in the life that it is in now', () => {
    expect(whyIncomplete(BOTH, SECONDARY, B)).toBeNull();
    expect(whyIncomplete(BOTH, PRIMARY, A)).toBeNull();
  });

  test.each([
    ['when the board says nothing', null, B, /does not say which hosts are complete/],
    ['when the set shrank to the other one', { ...BOTH, hosts: [A] }, B, /only 10\.0\.0\.5:3308 does/],
    ['when it was restarted', BOTH, { ...B, startedSec: 202 }, /was restarted since/],
    ['when it is another server', BOTH, { ...B, uuid: 'uuid-c' }, /was restarted since/],
    ['when its life is not known', BOTH, null, /not known whether it has been restarted/],
  ])('%s', (_, complete, boot, why) => {
    expect(whyIncomplete(complete, SECONDARY, boot)).toMatch(why);
  });
});

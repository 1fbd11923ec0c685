// The agent's hands on a guarded pair: what a server makes of a call is told in words, and accounts are changed by nobody who is refused.

import { expect, test } from 'vitest';
import { doStep, type Orders } from '../src/agent-hands.ts';
import type { Called } from '../src/core/call.ts';
import { PRIMARY, SECONDARY } from './support/build.ts';
import { epoch } from './support/calls.ts';
import { someFacts } from './support/facts.ts';
import { FakeClock } from './support/fake-clock.ts';
import { FakeFenced } from './support/fake-fence.ts';
import { FakeServer } from './support/fake-pair.ts';
import { MemoryBoard } from './support/memory-store.ts';
import { UNGUARDED } from './support/unguarded.ts';

const ORDERS: Orders = {
  roles: { active: SECONDARY, passive: PRIMARY },
  epoch: epoch(7, { active: SECONDARY }),
  lease: 'finite',
  leaseMs: 3_000,
};

function aHost() {
  const clock = new FakeClock();
  const fenced = new FakeFenced(PRIMARY, () => clock.monotonic());
  const server = new FakeServer(PRIMARY, someFacts({ readOnly: false }));
  const parts = {
    ...UNGUARDED,
    uniqsign: 'a pair',
    store: new MemoryBoard().store({ topic: 'a topic' }),
    serverFor: () => server,
    fenceFor: () => fenced.fence(),
    clock,
  };
  const look = { host: PRIMARY, evidence: { kind: 'answered', facts: server.facts }, atMs: 0 } as const;
  const act = (what: 'close' | 'block' | 'release') =>
    doStep(parts, ORDERS, { do: what, host: PRIMARY }, { active: look, passive: look });
  return { fenced, server, act };
}

test('a host that cannot be closed is told with what was done, and with who is in the way', async () => {
  const { fenced, act } = aHost();
  const locked: Called = { kind: 'not-done', why: 'locked', row: null };
  fenced.answers = () => ({ ...locked, detail: 'killed 2 sessions of app; session 9 of root@10.0.0.1, 4 s Sleep' });
  expect(await act('close')).toEqual({
    kind: 'not-done',
    why: 'a lock is in the way of read_only: killed 2 sessions of app; session 9 of root@10.0.0.1, 4 s Sleep',
    code: 'locked',
  });
  fenced.answers = () => locked;
  expect(await act('close')).toMatchObject({ why: 'a lock is in the way of read_only' });
});

test.each(['block', 'release'] as const)('S3: who acts on an old decision does not %s an account', async (what) => {
  const { fenced, server, act } = aHost();
  fenced.claimed(epoch(8, { active: PRIMARY }));
  expect(await act(what)).toMatchObject({ kind: 'not-done', code: 'refused' });
  expect(server.did).toEqual([]);
  fenced.claimed(epoch(6, { active: PRIMARY }));
  expect((await act(what)).kind).toBe('done');
  expect(server.did).toEqual([what]);
});

// One change of roles under durability=lossless by the agent's two loops, on two servers in memory: who is opened, in which order both sides of
// semi-synchronous replication are switched, and when the set follows.

import { beforeEach, describe, expect, it } from 'vitest';
import { makeAgentRound } from '../src/agent.ts';
import { PartnerKeeper } from '../src/agent-partner.ts';
import type { Complete } from '../src/core/complete.ts';
import { type Decision, NO_SAFETY, NO_TERMS, type Policy } from '../src/core/decision.ts';
import type { Epoch } from '../src/core/pair.ts';
import { FakeClock } from './support/fake-clock.ts';
import { fakeLog } from './support/fake-log.ts';
import { LosslessPair } from './support/lossless-pair.ts';
import { MemoryBoard } from './support/memory-store.ts';
import { A, ALONE, B, BOTH, SEVEN } from './support/partnership.ts';
import { UNGUARDED } from './support/unguarded.ts';

const U = '8d9a4b2924dc40baa792d742cb786345';
const POLICY: Policy = { ...NO_SAFETY, fencing: 'lease', durability: 'lossless' };
const EIGHT: Epoch = { number: 8, id: 'd8', active: B };

let clock: FakeClock;
let board: MemoryBoard;
let pair: LosslessPair;

beforeEach(() => {
  clock = new FakeClock();
  board = new MemoryBoard(() => clock.wall());
  pair = new LosslessPair();
  // Their own clocks.
  for (const server of [pair.a, pair.b]) pair.row(server, { nowMs: clock.wall(), tickMs: clock.wall() });
});

const aStore = () => board.store({ topic: 'mmm' });

async function decided(epoch: Epoch, complete: Complete | null): Promise<void> {
  const store = aStore();
  const decision: Decision = {
    roles: epoch.active === A ? { active: A, passive: B } : { active: B, passive: A },
    epoch,
    reasons: [],
    atMs: clock.wall(),
    terms: { ...NO_TERMS, lease: 'endless', durability: 'lossless' },
    unfenced: true,
  };
  const known = await store.board(U);
  await store.commitRoles(U, decision, known.epoch, POLICY);
  if (complete !== null) await store.putComplete(U, epoch, known.complete?.generation ?? null, complete);
}

function anAgent() {
  const parts = {
    ...UNGUARDED,
    uniqsign: U,
    store: aStore(),
    serverFor: (host: typeof A) => pair.serverFor(host),
    fenceFor: (host: typeof A) => pair.fenceFor(host),
    clock,
    log: fakeLog(),
    mailer: { send: () => {} },
    name: 'db1',
    connectTimeoutMs: 1_000,
    tryOnFailure: 1,
    wake: () => {},
  };
  const change = makeAgentRound(parts);
  const partner = new PartnerKeeper(parts);
  const never = new AbortController().signal;
  return { change: () => change(never), partner: () => partner.round(never) };
}

describe('a switchover', () => {
  it('goes to a complete host, which waits for nobody but lets nobody acknowledge before the set says that it is alone', async () => {
    await decided(SEVEN, BOTH);
    await aStore().putOpened(U, SEVEN, A);
    await decided(EIGHT, null);
    const { change, partner } = anAgent();
    await change();
    expect(pair.calls).toEqual([
      `${B} claim`,
      `${A} close`,
      `${B} stop-io`,
      `${B} acknowledge false`,
      `${B} open true`,
      `${B} start-io`,
      `${A} source-off`,
    ]);
    expect(pair.b.facts).toMatchObject({ readOnly: false, semiSync: { source: true, replica: false } });
    expect((await aStore().board(U)).complete).toEqual(BOTH);
    pair.calls.length = 0;
    for (let at = 0; at < 60; at++) {
      await partner();
      await clock.advance(50);
    }
    expect(pair.calls).toEqual([
      `${B} sync false`,
      `${A} acknowledge true`,
      `${A} stop-io`,
      `${A} start-io`,
      `${B} sync true`,
    ]);
    expect((await aStore().board(U)).complete).toMatchObject({
      writer: { host: B },
      hosts: [{ host: B }, { host: A }],
    });
  });

  it('does not begin when the host is not complete', async () => {
    await decided(SEVEN, ALONE);
    await aStore().putOpened(U, SEVEN, A);
    await decided(EIGHT, null);
    const { change } = anAgent();
    await change();
    expect(pair.calls).toEqual([]);
    expect(pair.a.facts.readOnly).toBe(false);
    expect((await aStore().board(U)).report).toMatchObject({ outcome: 'failed' });
  });
});

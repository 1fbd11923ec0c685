// What the operator's commands say and refuse where a lease is on: a switchover to a host that could not be opened, what a forced failover
// may cost, what a pause does.

import { describe, expect, it } from 'vitest';
import type { Member } from '../src/core/complete.ts';
import { type Decision, type Durability, type Life, NO_SAFETY, NO_TERMS, type Policy } from '../src/core/decision.ts';
import type { SeenFacts, SeenRow } from '../src/core/observation.ts';
import { fenceProspect, leaseOfPause, lookAhead, lossProspect } from '../src/operator.ts';
import { pairStatus, statusText } from '../src/status.ts';
import { anObservation, aPair, aSighting, NOW_MS, PRIMARY, SECONDARY } from './support/build.ts';
import { answered, failure } from './support/facts.ts';
import { FakeClock, fakeRandom } from './support/fake-clock.ts';
import { MemoryBoard } from './support/memory-store.ts';

const POLICY: Policy = { ...NO_SAFETY, fencing: 'lease', onUnreachable: 'wait' };
const EPOCH = { number: 7, id: 'e7', active: PRIMARY } as const;
const A = { uuid: 'uuid-a', startedSec: 10 };
const B = { uuid: 'uuid-b', startedSec: 20 };
const MEMBER_A: Member = { host: PRIMARY, ...A };
const MEMBER_B: Member = { host: SECONDARY, ...B };
const OPENED = { number: 7, id: 'e7', startedSec: A.startedSec };
const ROW: SeenRow = { epoch: EPOCH, opened: null, unfenced: false, generation: 0, lease: 'none', armed: true };

/** A pair in service with an armed lease, as monitors, identify and agents left it on the board. */
async function aGuardedPair({
  lease = 'finite',
  unfenced = false,
  passive = {},
  armed = true,
  durability = 'async',
}: {
  lease?: Decision['terms']['lease'];
  unfenced?: boolean;
  passive?: Partial<SeenFacts>;
  armed?: boolean;
  durability?: Durability;
} = {}) {
  const pair = aPair();
  const { uniqsign } = pair;
  const clock = new FakeClock(NOW_MS);
  const store = new MemoryBoard(() => clock.wall()).store({ topic: 'mmm-switch-channel' });
  const roles = { active: PRIMARY, passive: SECONDARY };
  const terms = { ...NO_TERMS, lease, durability };
  await store.commitRoles(uniqsign, { roles, epoch: EPOCH, reasons: [], atMs: NOW_MS, terms, unfenced }, null, POLICY);
  const active = anObservation({
    host: PRIMARY,
    boot: A,
    row: { ...ROW, opened: OPENED, lease: 'finite' },
  });
  const other = anObservation({ host: SECONDARY, readOnly: true, boot: B, row: ROW, ...passive });
  await store.putSighting(uniqsign, aSighting([active, other]));
  for (const [host, boot] of [
    [PRIMARY, A],
    [SECONDARY, B],
  ] as const) {
    const life: Life = { ...boot, cameUpReadOnly: true, armed };
    expect(await store.putLife(uniqsign, EPOCH, host, life)).toBe(true);
  }
  const renewal = { host: PRIMARY, epoch: EPOCH, outcome: 'renewed', successes: 4 } as const;
  for (const name of ['db1', 'db2']) await store.putAgent(uniqsign, { name, reachesBoth: true, renewal });
  await store.announce(uniqsign, EPOCH, roles);
  const report = { epoch: EPOCH, outcome: 'opened', host: PRIMARY, why: '', atMs: NOW_MS, agent: 'db1' } as const;
  await store.putReport(uniqsign, { ...report, noWriterMs: null });
  await store.lead(uniqsign, 'identify-1', 60_000);
  await store.watch(() => {}, ['decided', 'message']);
  const parts = { pair, store, clock, random: fakeRandom(), by: 'dba@db1' };
  const against = async (kind: 'switchover' | 'failover') =>
    (await lookAhead(parts, { kind, to: SECONDARY, withinSec: 5 })).against;
  const complete = async (...hosts: readonly Member[]) =>
    await store.putComplete(uniqsign, EPOCH, null, { generation: 4, writer: MEMBER_A, hosts: [MEMBER_A, ...hosts] });
  const losses = async () => lossProspect(await lookAhead(parts, { kind: 'failover', to: SECONDARY, withinSec: 5 }));
  return { pair, store, clock, against, complete, losses, board: () => store.board(uniqsign) };
}

describe('a switchover', () => {
  it('to a host whose EVENT ticks has nothing against it', async () => {
    expect(await (await aGuardedPair()).against('switchover')).toEqual([]);
  });

  it('to a host that could not be opened with a lease is refused before anybody is closed', async () => {
    const { against } = await aGuardedPair({ passive: { row: { ...ROW, armed: false } } });
    expect(await against('switchover')).toEqual([
      `the EVENT of ${SECONDARY} does not tick, so it cannot be opened with a lease`,
    ]);
    // Forced, the operator has seen it all; the server has the last word.
    expect(await against('failover')).toEqual([]);
  });

  it('needs no EVENT while the lease is endless', async () => {
    const passive = { row: { ...ROW, armed: false } };
    const { against } = await aGuardedPair({ lease: 'endless', unfenced: true, passive });
    expect(await against('switchover')).toEqual([]);
  });

  it('to another server than the member is refused', async () => {
    const { against } = await aGuardedPair({ passive: { boot: { uuid: 'uuid-x', startedSec: 30 } } });
    expect(await against('switchover')).toEqual([expect.stringContaining('IS ANOTHER SERVER')]);
  });

  it('of a lossless pair goes to a complete host only', async () => {
    const { against, complete, store, pair } = await aGuardedPair({ durability: 'lossless' });
    const unknown = `nobody knows whether ${SECONDARY} holds every acknowledged commit: the board does not say which hosts are complete`;
    expect(await against('switchover')).toEqual([unknown]);
    // Forced, the operator has seen what may be lost.
    expect(await against('failover')).toEqual([]);
    await complete(MEMBER_B);
    expect(await against('switchover')).toEqual([]);
    const next = { generation: 5, writer: MEMBER_A, hosts: [MEMBER_A] };
    await store.putComplete(pair.uniqsign, EPOCH, 4, next);
    expect(await against('switchover')).toEqual([
      `${SECONDARY} does not hold every acknowledged commit: only ${PRIMARY} does`,
    ]);
  });

  it('of a pair that runs async asks for no complete host', async () => {
    const { against } = await aGuardedPair();
    expect(await against('switchover')).toEqual([]);
  });

  it('of a pair without a safety asks for nothing of this', async () => {
    const { against } = await aGuardedPair({ lease: null, passive: { row: { ...ROW, armed: false } } });
    expect(await against('switchover')).toEqual([]);
  });
});

describe('what a forced failover may cost', () => {
  const silent = { host: PRIMARY, evidence: failure('silent') };

  it('is no second writer where the lease is armed: it is waited for', async () => {
    const { board } = await aGuardedPair();
    expect(fenceProspect(await board(), POLICY, silent)).toEqual([
      `${PRIMARY} had an armed lease: it is waited for (4.2 s), so ${PRIMARY} has closed itself before another one is opened`,
    ]);
  });

  it.each([
    ['the pair is unfenced', { lease: 'endless', unfenced: true }],
    ['the pair is unfenced', { unfenced: true }],
    [`${PRIMARY} was not armed when it was last heard of`, { armed: false }],
  ] as const)('is two writers where %s', async (why, how) => {
    const { board } = await aGuardedPair(how);
    const [first = ''] = fenceProspect(await board(), POLICY, silent);
    expect(first).toContain(`TWO WRITERS ARE POSSIBLE: ${why}, so nothing closes ${PRIMARY}`);
  });

  it('names the fence hook', async () => {
    const { board } = await aGuardedPair();
    const policy = { ...POLICY, fenceHook: '/opt/fence' };
    expect(fenceProspect(await board(), policy, silent)[1]).toContain('the fence hook /opt/fence is run');
  });

  it('is no commit that a client was told of where the host is complete, and else may be some', async () => {
    const { complete, losses } = await aGuardedPair({ durability: 'lossless' });
    expect(await losses()).toEqual([
      expect.stringMatching(/^COMMITS THAT CLIENTS WERE TOLD OF MAY BE LOST: nobody knows whether/),
    ]);
    await complete(MEMBER_B);
    expect(await losses()).toEqual([`no commit that a client was told of is lost: ${SECONDARY} is complete`]);
    expect(await (await aGuardedPair()).losses()).toEqual([]);
  });

  it('is nothing of this for a host that answers, or a pair without a safety', async () => {
    const { board } = await aGuardedPair();
    expect(fenceProspect(await board(), POLICY, { host: PRIMARY, evidence: answered() })).toEqual([]);
    expect(fenceProspect(await board(), POLICY, { host: PRIMARY, evidence: failure('saturated') })).toEqual([]);
    const plain = await aGuardedPair({ lease: null });
    expect(fenceProspect(await plain.board(), POLICY, silent)).toEqual([]);
  });
});

it('pause and resume say what becomes of the lease, and of none say nothing', async () => {
  const board = await (await aGuardedPair()).board();
  expect(leaseOfPause(board, POLICY, true)).toBe(
    `its lease becomes endless, so nothing closes ${PRIMARY} meanwhile; before you stop agents wait until mmm status says UNFENCED`,
  );
  expect(leaseOfPause(board, POLICY, false)).toBe(
    'its lease is armed again as soon as both hosts are well and 2 agents reach them',
  );
  expect(leaseOfPause(board, { ...POLICY, leaseAgents: 1 }, false)).toMatch(/1 agent reaches them$/);
  expect(leaseOfPause({ ...board, terms: NO_TERMS }, POLICY, true)).toBe('');
});

describe('the status', () => {
  const contract = [
    'Current multi master status:',
    '[mysql3308]',
    `  active: ${PRIMARY}(alive readonly: 0, replcheck: OK)`,
    `  +- passive: ${SECONDARY}(alive readonly: 1, replcheck: OK)`,
  ];

  it('of a guarded pair begins with the lines of the contract, and goes on with its lease', async () => {
    const { store, pair, clock } = await aGuardedPair();
    const status = await pairStatus(store, pair, clock.wall());
    expect(statusText([status]).split('\n')).toEqual([
      ...contract,
      '  lease: armed; the active closes itself 3 s after its last renewal',
      '  agents: 2 of 2 registered: db1, db2',
      `  renewal: db1 renews ${PRIMARY} under decision 7`,
      `  renewal: db2 renews ${PRIMARY} under decision 7`,
    ]);
    expect(status.guard).toMatchObject({ lease: { state: 'armed', sec: 3 }, agentsWanted: 2, disagreements: [] });
  });

  it('of a pair without a safety is the lines of the contract alone', async () => {
    const { store, pair, clock } = await aGuardedPair({ lease: null });
    const status = await pairStatus(store, pair, clock.wall());
    expect(statusText([status]).split('\n')).toEqual(contract);
    expect(status.guard).toBeNull();
  });
});

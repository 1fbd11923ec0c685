// The keeper of the lease around two rows in memory and a clock that stands still.

import { expect } from 'vitest';
import { LeaseKeeper, type LeaseKeeperParts } from '../../src/agent-lease.ts';
import type { RememberedPair } from '../../src/core/agent-memory.ts';
import type { AgentRecord } from '../../src/core/agents.ts';
import { type Decision, NO_SAFETY, NO_TERMS, type Policy } from '../../src/core/decision.ts';
import { MmmError } from '../../src/core/errors.ts';
import type { Epoch, Host } from '../../src/core/pair.ts';
import { PRIMARY, SECONDARY } from './build.ts';
import { FakeClock, settle } from './fake-clock.ts';
import { FakeFenced } from './fake-fence.ts';
import { fakeLog } from './fake-log.ts';
import { MemoryBoard } from './memory-store.ts';

export const U = '8d9a4b2924dc40baa792d742cb786345';
export const LEASE_MS = 3_000;
export const POLICY: Policy = { ...NO_SAFETY, fencing: 'lease', leaseMs: LEASE_MS, onUnreachable: 'wait' };
export const ROLES = { active: PRIMARY, passive: SECONDARY };

export const epochOf = (number: number, active: Host = PRIMARY): Epoch => ({ number, id: `d${number}`, active });

export const renewals = (server: FakeFenced) => server.calls.filter((call) => call.do === 'renew');

export type LeaseWorld = ReturnType<typeof aLeaseWorld>;

/** The primary is open under decision 7, which the secondary knows. */
export function aLeaseWorld() {
  const clock = new FakeClock();
  const board = new MemoryBoard(() => clock.wall());
  const a = new FakeFenced(PRIMARY, () => clock.wall());
  const b = new FakeFenced(SECONDARY, () => clock.wall());
  a.openAt(epochOf(7), LEASE_MS);
  b.claimed(epochOf(7));

  function aStore() {
    return board.store({ topic: 'mmm' });
  }

  function aKeeper(over: Partial<LeaseKeeperParts> = {}) {
    const log = fakeLog();
    const remembered: RememberedPair[] = [];
    const woken: string[] = [];
    const fences = { [PRIMARY]: a.fence(), [SECONDARY]: b.fence() };
    const keeper = new LeaseKeeper({
      uniqsign: U,
      store: aStore(),
      fenceFor: (host) => fences[host] ?? a.fence(),
      clock,
      log,
      name: 'db1',
      memory: { pairs: () => [], remember: (pair) => remembered.push(pair), forget: () => {} },
      known: { roles: ROLES, policy: POLICY },
      registers: true,
      wake: () => woken.push('keeper'),
      ...over,
    });
    return { keeper, log, remembered, woken };
  }

  /** A round, however long it waits for somebody. */
  async function round(keeper: LeaseKeeper): Promise<number> {
    const startedMs = clock.monotonic();
    let over = false;
    const ended = keeper.round().then(() => {
      over = true;
    });
    await settle();
    while (!over) await clock.advance(50);
    await ended;
    return clock.monotonic() - startedMs;
  }

  /** A second goes by: the EVENTs run. */
  async function second(): Promise<void> {
    await clock.advance(1_000);
    a.event();
    b.event();
  }

  async function rounds(count: number, ...keepers: readonly LeaseKeeper[]): Promise<void> {
    for (let at = 0; at < count; at++) {
      for (const keeper of keepers) await round(keeper);
      await second();
    }
  }

  async function decided(epoch: Epoch, over: Partial<Decision> = {}, policy = POLICY): Promise<void> {
    const store = aStore();
    const present = (await store.board(U)).epoch;
    const passive = epoch.active === PRIMARY ? SECONDARY : PRIMARY;
    const decision: Decision = {
      roles: { active: epoch.active, passive },
      epoch,
      reasons: [],
      atMs: clock.wall(),
      terms: { ...NO_TERMS, lease: 'finite' },
      unfenced: false,
      ...over,
    };
    expect(await store.commitRoles(U, decision, present, policy)).toEqual({ kind: 'committed' });
  }

  function away() {
    board.trouble = new MmmError('store-down', 'no Redis');
  }

  async function record(): Promise<AgentRecord | undefined> {
    return (await aStore().agents(U))[0];
  }

  return { clock, board, a, b, aStore, aKeeper, round, second, rounds, decided, away, record };
}

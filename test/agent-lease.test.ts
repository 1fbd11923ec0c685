// When the keeper of the lease renews it and when not (support/lease-keeper.ts). Its witnesses: agent-lease-witness.test.ts; what it says:
// agent-lease-record.test.ts.

import { describe, expect, it } from 'vitest';
import { NO_TERMS } from '../src/core/decision.ts';
import { keysOf } from '../src/store/wire-keys.ts';
import { PRIMARY, SECONDARY } from './support/build.ts';
import { SILENT } from './support/fake-fence.ts';
import { aLeaseWorld, epochOf, LEASE_MS, POLICY, ROLES, renewals, U } from './support/lease-keeper.ts';

describe('a host that is open', () => {
  it('stays open as long as it is renewed, whoever is decided, and closes itself afterwards', async () => {
    const { a, b, aKeeper, second, rounds, decided } = aLeaseWorld();
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    await rounds(6, keeper);
    expect(a.readOnly).toBe(false);
    expect(renewals(a)).toHaveLength(6);
    expect(renewals(b)).toEqual([]);
    for (let at = 0; at < 4; at++) await second();
    expect(a.readOnly).toBe(true);
  });

  it('is renewed with the decision under which it was opened, while another one is decided and not claimed', async () => {
    const { a, aKeeper, rounds, decided } = aLeaseWorld();
    await decided(epochOf(7));
    await decided(epochOf(8, SECONDARY));
    const { keeper } = aKeeper();
    await rounds(5, keeper);
    expect(a.readOnly).toBe(false);
    expect(renewals(a).at(-1)).toMatchObject({ epoch: epochOf(7) });
  });

  it('is renewed with the lease of the policy, from its own time before the witness was asked', async () => {
    const { clock, a, b, aKeeper, round, decided } = aLeaseWorld();
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    const baseMs = clock.wall();
    b.freeze();
    const renewing = round(keeper);
    await clock.advance(400);
    b.thaw();
    await renewing;
    expect(renewals(a)).toMatchObject([{ baseMs, leaseMs: LEASE_MS }]);
    expect(a.expiresAtMs).toBe(baseMs + LEASE_MS);
  });

  it('asks the witness only after the time was read that the grant counts from', async () => {
    const { a, b, aKeeper, round, decided } = aLeaseWorld();
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    const order: string[] = [];
    a.before = (what) => order.push(`a ${what}`);
    b.before = (what) => order.push(`b ${what}`);
    await round(keeper);
    expect(order).toEqual(['a look', 'b look', 'a renew']);
  });

  it('is never opened by a renewal, nor by anything else of the keeper', async () => {
    const { clock, a, b, aKeeper, round, rounds, decided } = aLeaseWorld();
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    await round(keeper);
    await clock.advance(LEASE_MS + 1);
    a.event();
    await rounds(4, keeper);
    expect(a.readOnly).toBe(true);
    expect([...a.calls, ...b.calls].every((call) => call.do === 'renew')).toBe(true);
  });

  it('gets no more than the shortest lease from an agent that may have missed that the operator made it shorter', async () => {
    const { board, a, b, aKeeper, round, decided, away } = aLeaseWorld();
    const long = { ...POLICY, leaseMs: 10_000 };
    const known = { roles: ROLES, policy: long };
    const restarted = aKeeper({ known });
    away();
    await round(restarted.keeper);
    expect(renewals(a).at(-1)).toMatchObject({ leaseMs: LEASE_MS });
    board.trouble = null;
    await decided(epochOf(7), {}, long);
    const { keeper } = aKeeper({ known });
    await round(keeper);
    expect(renewals(a).at(-1)).toMatchObject({ leaseMs: 10_000 });
    away();
    await round(keeper);
    expect(renewals(a).at(-1)).toMatchObject({ leaseMs: 10_000 });
    // Decided, and granted by another agent, while this one does not reach the board.
    a.openAt(epochOf(8), LEASE_MS);
    b.claimed(epochOf(8));
    await round(keeper);
    expect(renewals(a).at(-1)).toMatchObject({ epoch: epochOf(8), leaseMs: LEASE_MS });
  });

  it.each(['lost', 'garbled'])(
    'gets what its policy said when that is %s, and the shortest lease from who never read it',
    async (how) => {
      const { board, a, aStore, aKeeper, round, second, rounds, decided } = aLeaseWorld();
      const long = { ...POLICY, leaseMs: 10_000 };
      await decided(epochOf(7), {}, long);
      const { keeper, remembered } = aKeeper({ known: { roles: ROLES, policy: POLICY } });
      await round(keeper);
      const key = keysOf(U).policy;
      if (how === 'lost') board.hashes.delete(key);
      else board.put(key, new Map([['lease_ms', 'x']]));
      await second();
      await rounds(2, keeper);
      expect(renewals(a).at(-1)).toMatchObject({ leaseMs: 10_000 });
      expect(remembered.at(-1)?.policy.leaseMs).toBe(10_000);
      const { policy } = (await aStore().findPair(U)) ?? { policy: POLICY };
      await round(aKeeper({ known: { roles: ROLES, policy } }).keeper);
      expect(renewals(a).at(-1)).toMatchObject({ leaseMs: LEASE_MS });
    },
  );

  it('is not touched when its lease is endless', async () => {
    const { a, aKeeper, rounds, decided, record } = aLeaseWorld();
    await decided(epochOf(7), { unfenced: true, terms: { ...NO_TERMS, lease: 'endless' } });
    a.openAt(epochOf(7), 'endless');
    const { keeper } = aKeeper();
    await rounds(2, keeper);
    expect(a.calls).toEqual([]);
    expect(await record()).toMatchObject({ renewal: { host: PRIMARY, outcome: 'endless' } });
  });

  it('that we did not open in this life is let be', async () => {
    const { a, aKeeper, rounds, decided } = aLeaseWorld();
    await decided(epochOf(7));
    if (a.row !== null) a.row = { ...a.row, startedSec: 2_000 };
    const { keeper } = aKeeper();
    await rounds(2, keeper);
    expect(a.calls).toEqual([]);
  });
});

describe('a change of roles', () => {
  it('is followed by the rows, also with the board away: the host that was opened last is kept', async () => {
    const { clock, a, b, aKeeper, round, rounds, away } = aLeaseWorld();
    const { keeper } = aKeeper();
    away();
    await rounds(2, keeper);
    b.claimed(epochOf(8, SECONDARY));
    await clock.advance(LEASE_MS);
    a.event();
    b.openAt(epochOf(8, SECONDARY), LEASE_MS);
    a.claimed(epochOf(8, SECONDARY));
    await rounds(6, keeper);
    expect([a.readOnly, b.readOnly]).toEqual([true, false]);
    expect(renewals(b)).toHaveLength(6);
    const order: string[] = [];
    a.before = (what) => order.push(`a ${what}`);
    b.before = (what) => order.push(`b ${what}`);
    await round(keeper);
    expect(order).toEqual(['b look', 'a look', 'b renew']);
  });

  it('leaves an old active that woke up writable to its own lease', async () => {
    const { a, b, aKeeper, rounds, decided } = aLeaseWorld();
    await decided(epochOf(7));
    await decided(epochOf(8, SECONDARY));
    b.openAt(epochOf(8, SECONDARY), LEASE_MS);
    const { keeper } = aKeeper();
    await rounds(6, keeper);
    expect([a.readOnly, b.readOnly]).toEqual([true, false]);
    expect(renewals(a)).toEqual([]);
  });

  it('a silent old active does not keep the new one from being kept', async () => {
    const { a, b, aKeeper, round, rounds, decided, record } = aLeaseWorld();
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    await round(keeper);
    a.freeze();
    await decided(epochOf(8, SECONDARY));
    b.openAt(epochOf(8, SECONDARY), LEASE_MS);
    await rounds(4, keeper);
    expect(b.readOnly).toBe(false);
    expect(await record()).toMatchObject({ reachesBoth: false, renewal: { host: SECONDARY, outcome: 'renewed' } });
  });

  it('a decision that keeps the active is followed as soon as it is granted', async () => {
    const { a, b, aKeeper, round, rounds, decided } = aLeaseWorld();
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    await round(keeper);
    await decided(epochOf(8));
    b.claimed(epochOf(8));
    a.claimed(epochOf(8));
    await round(keeper);
    expect(renewals(a)).toHaveLength(1);
    a.openAt(epochOf(8), LEASE_MS);
    await rounds(5, keeper);
    expect(a.readOnly).toBe(false);
  });
});

describe('whether the pair may be forgotten', () => {
  it('not while somebody is open by a finite lease, nor while a host does not answer', async () => {
    const { a, b, aKeeper, round } = aLeaseWorld();
    const { keeper } = aKeeper();
    expect(keeper.mayForget).toBe(false);
    await round(keeper);
    expect(keeper.mayForget).toBe(false);
    a.openAt(epochOf(7), 'endless');
    await round(keeper);
    expect(keeper.mayForget).toBe(true);
    b.down = SILENT;
    await round(keeper);
    expect(keeper.mayForget).toBe(false);
  });

  it('when nothing of ours is on either server', async () => {
    const { a, b, aKeeper, round } = aLeaseWorld();
    a.row = null;
    b.row = null;
    const { keeper } = aKeeper();
    await round(keeper);
    expect(keeper.mayForget).toBe(true);
  });
});

describe('how often', () => {
  it('every second, and three times per lease when that is shorter', async () => {
    const { aStore, aKeeper, decided } = aLeaseWorld();
    await decided(epochOf(7));
    const { keeper } = aKeeper();
    expect(await keeper.round()).toEqual({ nextMs: 1_000 });
    const short = aKeeper({
      known: { roles: ROLES, policy: { ...POLICY, leaseMs: 1_500 } },
      store: { ...aStore(), findPair: async () => null },
    });
    expect(await short.keeper.round()).toEqual({ nextMs: 500 });
  });
});

// What the comparing calls do, as one list for both servers that they have here: the real ones (calls.real.test.ts) and the simulated
// one (../simulation/schema.test.ts). It is why a story of the simulator may be believed.

import { beforeEach, describe, expect, test } from 'vitest';
import type { Call, Opening } from '../../src/core/call.ts';
import type { HostRow } from '../../src/core/host-row.ts';
import type { Epoch } from '../../src/core/pair.ts';
import type { Fence } from '../../src/mysql/fence.ts';
import { done, epoch, LEASE_MS, opened, opening, rowOf } from '../support/calls.ts';

/** One server, and what can be done to it by hand. */
export interface CallBench {
  readonly fence: Fence;
  /** Another agent's way to the same server. */
  readonly other: Fence;
  /** As installed just now: read only, nothing claimed, replication runs, the EVENT ticks, nobody connected. */
  blank(): Promise<void>;
  setReadOnly(on: boolean): Promise<void>;
  threads(act: 'start' | 'stop', which: 'both' | 'io' | 'sql'): Promise<void>;
  /** `io Yes, sql No` */
  shown(): Promise<string>;
  /** An administrator's session locks a table; the returned function ends it. */
  lockTable(): Promise<() => Promise<void>>;
  /** A backup's session takes the global read lock. */
  lockAll(): Promise<() => Promise<void>>;
  /** The EVENT does not run any more, and came last at this time of the server's clock. */
  stopEvent(tickMs: number): Promise<void>;
  setExpiry(expiresAtMs: number): Promise<void>;
  /** An application connects; how many of its sessions live. */
  connect(): Promise<void>;
  sessions(): Promise<number>;
  /** With its I/O thread on and its SQL thread off it receives a transaction of the other host. */
  receive(): Promise<void>;
  until(what: string, check: () => Promise<boolean>): Promise<void>;
  crash(): Promise<void>;
}

/** Each case with a bench as blank as it can be. */
export function callCases(bench: () => CallBench): void {
  const fence = () => bench().fence;
  const claim = (at: Epoch, unfenced: boolean | null = null) => fence().call({ do: 'claim', epoch: at, unfenced });
  const close = (at: Epoch, over: Partial<Extract<Call, { do: 'close' }>> = {}) =>
    fence().call({ do: 'close', epoch: at, killClients: true, withinMs: 500, ...over });
  const renew = (at: Epoch, baseMs: number) => fence().call({ do: 'renew', epoch: at, baseMs, leaseMs: LEASE_MS });
  const open = async (at: Epoch, over: Partial<Opening> = {}) => fence().call(opening(await rowOf(fence()), at, over));

  beforeEach(() => bench().blank());

  describe('S3: a call of an old epoch is refused and changes nothing', () => {
    const OLD: readonly (readonly [string, Epoch])[] = [
      ['a lower number', epoch(6)],
      ['the same number with another id', epoch(7, { id: 'another' })],
      ['the same number and id with another active', epoch(7, { active: '127.0.0.2:3306' })],
      ['the id in other letters', epoch(7, { id: 'D7' })],
    ];
    test.each(OLD)('on an open host: %s', async (_what, old) => {
      await bench().connect();
      await opened(fence(), epoch(7), { leaseMs: 60_000 });
      await bench().threads('start', 'io');
      const before = await everything();
      for (const call of everyCall(old, before.row)) {
        expect(await bench().other.call(call), call.do).toMatchObject({ kind: 'refused', row: { epoch: epoch(7) } });
      }
      expect(await everything()).toEqual({ ...before, row: expect.anything() });
      expect(still(await rowOf(fence()))).toEqual(still(before.row));
      expect(before).toMatchObject({ sessions: 1, row: { readOnly: false } });
    });

    test.each(OLD)('on a closed host whose replication is stopped: %s', async (_what, old) => {
      await bench().threads('stop', 'both');
      await done(claim(epoch(7)));
      const before = await everything();
      for (const call of everyCall(old, before.row)) {
        expect(await bench().other.call(call), call.do).toMatchObject({ kind: 'refused' });
      }
      expect(await everything()).toEqual({ ...before, row: expect.anything() });
      expect(still(await rowOf(fence()))).toEqual(still(before.row));
      expect(before).toMatchObject({ threads: 'io No, sql No', row: { readOnly: true } });
    });

    test('a claim refuses the renewals of the epoch before', async () => {
      const row = await opened(fence(), epoch(7));
      await done(claim(epoch(8)));
      expect(await renew(epoch(7), row.nowMs)).toMatchObject({ kind: 'refused', row: { lease: row.lease } });
    });
  });

  describe('claim', () => {
    test('stores the epoch twice over, and the flag when it is told to', async () => {
      const flags: boolean[] = [];
      for (const unfenced of [null, false, null, true, null, false])
        flags.push((await done(claim(epoch(3), unfenced))).unfenced);
      // A row that is new does not know, which counts as set [F6].
      expect(flags).toEqual([true, false, false, true, true, false]);
      expect(await rowOf(fence())).toMatchObject({
        epoch: epoch(3),
        opened: null,
        lease: { kind: 'none' },
        readOnly: true,
      });
    });

    test('F6: whoever claims after the agent that set the flag is told of it, again and again, until an opening clears it', async () => {
      const byOther = (at: Epoch) => bench().other.call({ do: 'claim', epoch: at, unfenced: null });
      // The last agent of the pair, with the board away: its own decision, on the passive's row.
      await done(claim(epoch(5, { id: 'the last agent' }), true));
      expect(await byOther(epoch(5))).toMatchObject({ kind: 'refused', row: { unfenced: true } });
      for (let time = 0; time < 2; time++) expect((await done(byOther(epoch(6)))).unfenced).toBe(true);
      await done(close(epoch(6)));
      expect((await done(byOther(epoch(7)))).unfenced).toBe(true);
      expect((await opened(bench().other, epoch(7))).unfenced).toBe(false);
      expect((await done(claim(epoch(8)))).unfenced).toBe(false);
    });

    test('F17: sets an EVENT going that sleeps, for nobody renews a passive', async () => {
      const { nowMs } = await rowOf(fence());
      await bench().stopEvent(nowMs + 3_600_000);
      await done(claim(epoch(3)));
      await bench().until('it ticks', async () => ((await rowOf(fence())).tickMs ?? Infinity) < nowMs + 60_000);
    });

    test('waits for a global read lock, and gives up', async () => {
      const unlock = await bench().lockAll();
      expect(await claim(epoch(3))).toEqual({ kind: 'not-done', why: 'locked', row: null });
      await unlock();
      expect((await rowOf(fence())).epoch).toBeNull();
    });
  });

  describe('close', () => {
    test('claims, kills, closes and ends the lease', async () => {
      await opened(fence(), epoch(1), { leaseMs: 60_000 });
      await bench().connect();
      expect(await close(epoch(2))).toMatchObject({ kind: 'done', did: 'killed 1 session of app' });
      const { lease, nowMs, ...row } = await rowOf(fence());
      expect(row).toMatchObject({ epoch: epoch(2), readOnly: true });
      expect(lease.kind === 'finite' && lease.expiresAtMs <= nowMs).toBe(true);
      await bench().until('the session is gone', async () => (await bench().sessions()) === 0);
    });

    test('leaves a closed host’s readers alone, and ends an endless lease', async () => {
      await opened(fence(), epoch(1), { lease: 'endless' });
      await bench().setReadOnly(true);
      await bench().connect();
      expect(await close(epoch(1))).toMatchObject({ kind: 'done', did: '', row: { lease: { kind: 'finite' } } });
      expect(await bench().sessions()).toBe(1);
    });

    test('ends an endless lease of an open host', async () => {
      await opened(fence(), epoch(1), { lease: 'endless' });
      expect(await done(close(epoch(1)))).toMatchObject({ lease: { kind: 'finite' }, readOnly: true });
    });

    test('behind an administrator’s lock it has claimed, and not closed', async () => {
      await opened(fence(), epoch(1), { leaseMs: 60_000 });
      const unlock = await bench().lockTable();
      expect(await close(epoch(2))).toMatchObject({ kind: 'not-done', why: 'locked' });
      expect(await rowOf(fence())).toMatchObject({ epoch: epoch(2), readOnly: false });
      await unlock();
      await done(close(epoch(2)));
    });
  });

  describe('open', () => {
    test('opens a claimed epoch, and nothing else', async () => {
      expect(await open(epoch(4))).toMatchObject({ why: 'unclaimed' });
      await done(claim(epoch(3)));
      expect(await open(epoch(4))).toMatchObject({ why: 'unclaimed', row: { readOnly: true } });
      const row = await opened(fence(), epoch(4));
      expect(row).toMatchObject({ opened: { number: 4, id: 'd4', startedSec: row.startedSec }, readOnly: false });
      expect(row.lease.kind === 'finite' && row.lease.expiresAtMs <= row.nowMs + LEASE_MS).toBe(true);
    });

    test('clears the flag with a finite lease alone', async () => {
      await done(claim(epoch(1), true));
      expect(await opened(fence(), epoch(1), { lease: 'endless' })).toMatchObject({ unfenced: true });
      await done(claim(epoch(2)));
      expect(await opened(fence(), epoch(2))).toMatchObject({ lease: { kind: 'finite' }, unfenced: false });
    });

    test.each(['finite', 'endless'] as const)('opens nothing when its grant is over: %s', async (lease) => {
      const { nowMs } = await done(fence().call({ do: 'stop-io', epoch: epoch(1) }));
      expect(await open(epoch(1), { lease, baseMs: nowMs - LEASE_MS })).toMatchObject({ why: 'late' });
      expect(await rowOf(fence())).toMatchObject({ opened: null, readOnly: true });
    });

    test('grants one lease from now to a base of the future', async () => {
      const { lease, nowMs } = await opened(fence(), epoch(1), { baseMs: Date.now() + 365 * 86_400_000 });
      expect(lease.kind === 'finite' && lease.expiresAtMs - nowMs <= LEASE_MS).toBe(true);
    });

    test('opens no other boot than the one that was drained', async () => {
      const row = await done(fence().call({ do: 'stop-io', epoch: epoch(1) }));
      expect(await open(epoch(1), { startedSec: row.startedSec - 60 })).toMatchObject({ why: 'rebooted' });
    });

    test.each([-10_000, 3_600_000])('gives no finite lease where the EVENT ticked %i ms from now', async (fromNow) => {
      const { nowMs } = await done(fence().call({ do: 'stop-io', epoch: epoch(1) }));
      await bench().stopEvent(nowMs + fromNow);
      expect(await open(epoch(1))).toMatchObject({ why: 'unarmed' });
      await bench().until('it is armed again', async () => (await open(epoch(1))).kind === 'done');
    });

    test('needs a tick for a finite lease only', async () => {
      const { nowMs } = await done(fence().call({ do: 'stop-io', epoch: epoch(1) }));
      await bench().stopEvent(nowMs - 10_000);
      await done(open(epoch(1), { lease: 'endless' }));
    });

    test('S4: neither with the I/O thread on nor before the end of the relay log', async () => {
      await done(claim(epoch(1)));
      for (const demand of ['drained', 'io-stopped'] as const) {
        expect(await open(epoch(1), { demand })).toMatchObject({ why: 'io-runs' });
      }
      await bench().receive();
      await bench().threads('stop', 'io');
      expect(await open(epoch(1), { demand: 'drained' })).toMatchObject({ why: 'unapplied' });
      await bench().threads('start', 'both');
      await done(fence().call({ do: 'stop-io', epoch: epoch(1) }));
      await bench().until('it is drained', async () => (await open(epoch(1), { demand: 'drained' })).kind === 'done');
    });

    test('what the policy skips is not looked at', async () => {
      await done(claim(epoch(1)));
      await bench().threads('stop', 'both');
      expect(await open(epoch(1), { demand: 'drained' })).toMatchObject({ why: 'unapplied' });
      await done(open(epoch(1), { demand: 'io-stopped' }));
    });

    test('under its own epoch it renews an open host and opens a closed one, both without a drain', async () => {
      const before = await opened(fence(), epoch(1));
      await bench().threads('start', 'io');
      const after = await done(open(epoch(1), { demand: 'drained', leaseMs: LEASE_MS + 1 }));
      expect(expiry(after)).toBeGreaterThan(expiry(before));
      expect(await open(epoch(1), { lease: 'endless' })).toMatchObject({ why: 'other-lease' });
      await bench().setReadOnly(true);
      await done(open(epoch(1), { demand: 'drained' }));
    });

    test('takes a host that is writable as it is, whatever its replication does', async () => {
      await bench().setReadOnly(false);
      await done(claim(epoch(1)));
      await done(open(epoch(1), { lease: 'endless', demand: 'drained' }));
      await done(claim(epoch(2)));
      expect(await done(open(epoch(2), { demand: 'drained' }))).toMatchObject({ lease: { kind: 'finite' } });
      await done(claim(epoch(3)));
      expect(await done(open(epoch(3), { lease: 'endless' }))).toMatchObject({ lease: { kind: 'endless' } });
    });

    test('of the next epoch never shortens a lease that runs', async () => {
      const before = await opened(fence(), epoch(1), { leaseMs: 60_000 });
      await done(claim(epoch(2)));
      const after = await done(open(epoch(2), { leaseMs: 60_000, baseMs: before.nowMs - 30_000 }));
      expect(expiry(after)).toBe(expiry(before));
    });

    test('a lease that is out is not given again to a host that is still open', async () => {
      await opened(fence(), epoch(1));
      const unlock = await bench().lockTable();
      await bench().setExpiry((await rowOf(fence())).nowMs - 1);
      expect(await open(epoch(1))).toMatchObject({ why: 'lease-out' });
      expect(await renew(epoch(1), (await rowOf(fence())).nowMs)).toMatchObject({ why: 'lease-out' });
      await unlock();
      await bench().until('it closes itself', async () => (await rowOf(fence())).readOnly);
    });
  });

  describe('renew', () => {
    test('counts from the base, and never takes anything away', async () => {
      const { nowMs } = await opened(fence(), epoch(1));
      expect(expiry(await done(renew(epoch(1), nowMs)))).toBe(nowMs + LEASE_MS);
      expect(expiry(await done(renew(epoch(1), nowMs - 1_000)))).toBe(nowMs + LEASE_MS);
    });

    test('only under the epoch of the opening, only what is open', async () => {
      const { nowMs } = await opened(fence(), epoch(1));
      expect(await renew(epoch(2), nowMs)).toMatchObject({ why: 'unclaimed' });
      await done(claim(epoch(2)));
      expect(await renew(epoch(2), nowMs)).toMatchObject({ why: 'not-open' });
      await done(open(epoch(2)));
      await bench().setReadOnly(true);
      expect(await renew(epoch(2), nowMs)).toMatchObject({ why: 'closed' });
    });

    test('F17: a clock that went back: one lease from now, and the EVENT is set going', async () => {
      await opened(fence(), epoch(1));
      const { nowMs } = await rowOf(fence());
      await bench().stopEvent(nowMs + 3_600_000);
      await bench().setExpiry(nowMs + 3_603_000);
      const row = await done(renew(epoch(1), nowMs + 3_600_000));
      expect(expiry(row) - row.nowMs).toBeLessThanOrEqual(LEASE_MS);
      await bench().until('it ticks', async () => ((await rowOf(fence())).tickMs ?? Infinity) < nowMs + 60_000);
    });

    test('an endless lease stays endless', async () => {
      const { nowMs } = await opened(fence(), epoch(1), { lease: 'endless' });
      expect(await done(renew(epoch(1), nowMs))).toMatchObject({ lease: { kind: 'endless' } });
    });

    test('a server that was killed under its lease comes back closed, and is opened, not renewed', async () => {
      const before = await opened(fence(), epoch(1));
      await bench().crash();
      const row = await rowOf(fence());
      expect(row).toMatchObject({ opened: before.opened, readOnly: true });
      expect(await renew(epoch(1), row.nowMs)).toMatchObject({ why: 'not-open' });
      expect(await fence().call(opening(before, epoch(1)))).toMatchObject({ why: 'rebooted' });
      await bench().until('it is opened', async () => (await open(epoch(1), { demand: 'drained' })).kind === 'done');
    });
  });

  describe('the EVENT', () => {
    test('closes a host whose renewals stop, in time', async () => {
      const row = await opened(fence(), epoch(1));
      await bench().until('it closes itself', async () => (await rowOf(fence())).readOnly);
      const { nowMs } = await rowOf(fence());
      expect(nowMs).toBeGreaterThanOrEqual(expiry(row));
      expect(nowMs - expiry(row)).toBeLessThan(2_000);
    });

    test('waits for a global read lock, and renewals give up', async () => {
      const { nowMs } = await opened(fence(), epoch(1));
      const unlock = await bench().lockAll();
      expect(await renew(epoch(1), nowMs)).toEqual({ kind: 'not-done', why: 'locked', row: null });
      await bench().until('the lease is out', async () => isOut(await rowOf(fence())));
      await unlock();
      await bench().until('it closes itself', async () => (await rowOf(fence())).readOnly);
    });

    test('closes what somebody opens by hand after we closed it', async () => {
      await opened(fence(), epoch(1));
      await done(close(epoch(1)));
      await bench().setReadOnly(false);
      await bench().until('it closes itself', async () => (await rowOf(fence())).readOnly);
    });
  });

  describe('replication', () => {
    test('F2: nothing starts from a standstill unless the caller says so', async () => {
      await bench().threads('stop', 'both');
      for (const start of ['start-sql', 'start-io', 'start-replication'] as const) {
        const call: Call = { do: start, epoch: epoch(1), fromStandstill: false };
        expect(await fence().call(call)).toMatchObject({ why: 'standstill' });
        expect(await bench().shown()).toBe('io No, sql No');
      }
      await done(fence().call({ do: 'start-sql', epoch: epoch(1), fromStandstill: true }));
      await done(fence().call({ do: 'start-io', epoch: epoch(2), fromStandstill: false }));
      await bench().until('it runs', async () => (await bench().shown()) === 'io Yes, sql Yes');
      await done(fence().call({ do: 'stop-io', epoch: epoch(3) }));
      await done(fence().call({ do: 'stop-io', epoch: epoch(3) }));
      expect(await bench().shown()).toBe('io No, sql Yes');
      expect((await rowOf(fence())).epoch).toEqual(epoch(3));
    });

    test('F2: both start from a standstill when the caller says that nothing is lost by it', async () => {
      await bench().threads('stop', 'both');
      await done(fence().call({ do: 'start-replication', epoch: epoch(1), fromStandstill: true }));
      await bench().until('they run', async () => (await bench().shown()) === 'io Yes, sql Yes');
    });
  });

  async function everything() {
    return { row: await rowOf(fence()), sessions: await bench().sessions(), threads: await bench().shown() };
  }
}

function everyCall(at: Epoch, row: HostRow): readonly Call[] {
  return [
    { do: 'claim', epoch: at, unfenced: true },
    { do: 'close', epoch: at, killClients: true, withinMs: 500 },
    opening(row, at),
    opening(row, at, { lease: 'endless' }),
    opening(row, at, { lossless: true }),
    { do: 'renew', epoch: at, baseMs: row.nowMs, leaseMs: LEASE_MS },
    { do: 'start-sql', epoch: at, fromStandstill: true },
    { do: 'start-io', epoch: at, fromStandstill: true },
    { do: 'start-replication', epoch: at, fromStandstill: true },
    { do: 'stop-io', epoch: at },
    { do: 'kill', epoch: at },
    { do: 'sync', epoch: at, generation: 9, on: true },
    { do: 'source-off', epoch: at },
    { do: 'acknowledge', epoch: at, on: true },
  ];
}

/** What only a call may change. */
function still({ tickMs: _tick, nowMs: _now, ...row }: HostRow): Partial<HostRow> {
  return row;
}

function expiry({ lease }: HostRow): number {
  if (lease.kind !== 'finite') throw new Error(`the lease is ${lease.kind}`);
  return lease.expiresAtMs;
}

function isOut({ lease, nowMs }: HostRow): boolean {
  return lease.kind === 'finite' && lease.expiresAtMs <= nowMs;
}

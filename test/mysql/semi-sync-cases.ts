// What the comparing calls do with semi-synchronous replication, as one list for the real servers (calls.real.test.ts) and the simulated one;
// call-cases.ts has the other calls. What clients are told is in semi-sync.real.test.ts.

import { beforeEach, describe, expect, test } from 'vitest';
import type { Call, Called } from '../../src/core/call.ts';
import type { SemiSync } from '../../src/core/observation.ts';
import { done, epoch, opened, opening, rowOf } from '../support/calls.ts';
import type { CallBench } from './call-cases.ts';

export interface SemiSyncBench extends CallBench {
  /** As the facts tell it; null where the server has none. */
  semiSync(): Promise<SemiSync | null>;
  /** An application begins to commit. True as soon as it was told that this has succeeded. */
  commit(): Promise<() => boolean>;
}

/** Of a server that has it. */
export function semiSyncCases(bench: () => SemiSyncBench): void {
  const { call, shown } = shortForms(bench);

  beforeEach(() => bench().blank());

  describe('open, lossless', () => {
    test('F7: its commits wait from the first one on, and the rest of it is as in any opening', async () => {
      expect(await shown()).toMatchObject({ source: false, replica: false, replicaOn: false, wrong: null });
      const row = await opened(bench().fence, epoch(1), { lossless: true });
      expect(row).toMatchObject({ opened: { number: 1, id: 'd1' }, readOnly: false, generation: 0, unfenced: false });
      expect(row.lease.kind).toBe('finite');
      expect(await shown()).toMatchObject({ source: true, clients: 0, waiting: 0, wrong: null });
      const told = await bench().commit();
      await bench().until('it waits', async () => (await shown()).waiting === 1);
      expect(told()).toBe(false);
      await done(call({ do: 'sync', epoch: epoch(1), generation: 1, on: false }));
      await bench().until('it is told', async () => told());
    });

    test('what is not to be opened is not switched either', async () => {
      const { fence } = bench();
      await done(call({ do: 'claim', epoch: epoch(1), unfenced: null }));
      expect(await call(opening(await rowOf(fence), epoch(1), { lossless: true }))).toMatchObject({ why: 'io-runs' });
      expect(await shown()).toMatchObject({ source: false });
    });

    test('a host that is writable already keeps what it has', async () => {
      const { fence } = bench();
      const again = async (lossless: boolean) =>
        await done(call(opening(await rowOf(fence), epoch(1), { lossless, leaseMs: 60_000 })));
      await opened(fence, epoch(1));
      await again(true);
      expect(await shown()).toMatchObject({ source: false });
      await done(call({ do: 'sync', epoch: epoch(1), generation: 1, on: true }));
      await again(false);
      expect(await shown()).toMatchObject({ source: true });
    });

    test('a server that is killed comes back with all of it off, and is opened so that its commits wait again', async () => {
      const { fence } = bench();
      await opened(fence, epoch(1), { lossless: true });
      await done(call({ do: 'acknowledge', epoch: epoch(1), on: true }));
      await bench().crash();
      expect(await shown()).toMatchObject({ source: false, replica: false, replicaOn: false });
      await bench().until('it is opened', async () => {
        await call({ do: 'stop-io', epoch: epoch(1) });
        return (await call(opening(await rowOf(fence), epoch(1), { lossless: true }))).kind === 'done';
      });
      expect(await shown()).toMatchObject({ source: true });
    });
  });

  describe('sync', () => {
    const sync = (number: number, generation: number, on: boolean) =>
      call({ do: 'sync', epoch: epoch(number), generation, on });

    test('switches an open host under its own epoch alone', async () => {
      expect(await sync(1, 1, true)).toMatchObject({ why: 'unclaimed' });
      await done(call({ do: 'claim', epoch: epoch(1), unfenced: null }));
      expect(await sync(1, 1, true)).toMatchObject({ why: 'not-open' });
      await opened(bench().fence, epoch(1));
      expect(await done(sync(1, 1, true))).toMatchObject({ generation: 1 });
      expect(await shown()).toMatchObject({ source: true });
      await done(call({ do: 'claim', epoch: epoch(2), unfenced: null }));
      expect(await sync(1, 2, false)).toMatchObject({ kind: 'refused' });
      expect(await sync(2, 2, false)).toMatchObject({ why: 'not-open' });
      await done(call(opening(await rowOf(bench().fence), epoch(2))));
      await bench().setReadOnly(true);
      expect(await sync(2, 2, false)).toMatchObject({ why: 'closed', row: { generation: 1 } });
      expect(await shown()).toMatchObject({ source: true });
    });

    test('F7: an “off” of before another one’s “on” comes too late, and the same one may come twice', async () => {
      await opened(bench().fence, epoch(1), { lossless: true, leaseMs: 60_000 });
      for (let time = 0; time < 2; time++) expect((await done(sync(1, 13, true))).generation).toBe(13);
      expect(await sync(1, 12, false)).toMatchObject({ why: 'stale', row: { generation: 13 } });
      expect(await shown()).toMatchObject({ source: true });
      for (let time = 0; time < 2; time++) expect((await done(sync(1, 14, false))).generation).toBe(14);
      expect(await shown()).toMatchObject({ source: false });
      expect(await sync(1, 13, true)).toMatchObject({ why: 'stale' });
      expect(await shown()).toMatchObject({ source: false });
    });

    test('the generation outlives decisions', async () => {
      await opened(bench().fence, epoch(1), { lossless: true, leaseMs: 60_000 });
      await done(sync(1, 13, true));
      await done(call({ do: 'claim', epoch: epoch(2), unfenced: null }));
      await done(call(opening(await rowOf(bench().fence), epoch(2), { lossless: true, leaseMs: 60_000 })));
      expect(await sync(2, 12, false)).toMatchObject({ why: 'stale' });
    });
  });

  test('source-off: of a closed host alone, whatever decision closed it, and it claims', async () => {
    await opened(bench().fence, epoch(1), { lossless: true, leaseMs: 60_000 });
    const sourceOff = (number: number) => call({ do: 'source-off', epoch: epoch(number) });
    expect(await sourceOff(2)).toMatchObject({ why: 'open', row: { epoch: epoch(2), readOnly: false } });
    await done(call({ do: 'close', epoch: epoch(2), killClients: true, withinMs: 2_500 }));
    expect(await shown()).toMatchObject({ source: true });
    for (let time = 0; time < 2; time++) expect((await done(sourceOff(3))).epoch).toEqual(epoch(3));
    expect(await shown()).toMatchObject({ source: false });
  });

  test('acknowledge: from the next start of the I/O thread on, and it claims', async () => {
    const io = async (number: number) => {
      await done(call({ do: 'stop-io', epoch: epoch(number) }));
      await done(call({ do: 'start-io', epoch: epoch(number), fromStandstill: false }));
    };
    const acknowledge = (number: number, on: boolean) => call({ do: 'acknowledge', epoch: epoch(number), on });
    for (let time = 0; time < 2; time++) expect((await done(acknowledge(2, true))).epoch).toEqual(epoch(2));
    expect(await shown()).toMatchObject({ replica: true, replicaOn: false });
    await io(2);
    await bench().until('it acknowledges', async () => (await shown()).replicaOn);
    await done(acknowledge(3, false));
    expect(await shown()).toMatchObject({ replica: false, replicaOn: true });
    await io(3);
    await bench().until('it does not', async () => !(await shown()).replicaOn);
  });
}

/** Of a server that has none. */
export function noSemiSyncCases(bench: () => SemiSyncBench): void {
  const { call } = shortForms(bench);

  beforeEach(() => bench().blank());

  test('it is not opened lossless', async () => {
    const { fence } = bench();
    expect(await bench().semiSync()).toBeNull();
    const row = await done(call({ do: 'stop-io', epoch: epoch(1) }));
    expect(await call(opening(row, epoch(1), { lossless: true }))).toMatchObject({ why: 'no-semi-sync' });
    expect(await rowOf(fence)).toMatchObject({ opened: null, lease: { kind: 'none' }, readOnly: true });
  });

  test('there is nothing to switch on, and what is to be off is off', async () => {
    const acknowledge = (on: boolean) => call({ do: 'acknowledge', epoch: epoch(1), on });
    const sync = (on: boolean) => call({ do: 'sync', epoch: epoch(1), generation: 1, on });
    expect(await acknowledge(true)).toMatchObject({ why: 'no-semi-sync' });
    await done(acknowledge(false));
    await done(call({ do: 'source-off', epoch: epoch(1) }));
    await opened(bench().fence, epoch(1));
    expect(await sync(true)).toMatchObject({ why: 'no-semi-sync' });
    await done(sync(false));
  });
}

function shortForms(bench: () => SemiSyncBench) {
  return {
    call: (call: Call): Promise<Called> => bench().fence.call(call),
    async shown(): Promise<SemiSync> {
      const shown = await bench().semiSync();
      if (shown === null) throw new Error('it has no semi-synchronous replication');
      return shown;
    },
  };
}

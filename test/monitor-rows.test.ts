// The monitor carries the servers' rows to the board: identify arms a lease and judges an old board by them alone.

import { expect, it, vi } from 'vitest';
import type { HostRow } from '../src/core/host-row.ts';
import { makeMonitorRound } from '../src/monitor.ts';
import { aPair, NOW_MS, PRIMARY, SECONDARY } from './support/build.ts';
import { FakeClock } from './support/fake-clock.ts';
import { fakeLog } from './support/fake-log.ts';
import { fakePair, NO_PULSE } from './support/fake-pair.ts';
import { MemoryBoard } from './support/memory-store.ts';

const SERVER_MS = 1_700_000_500_000;
const ROW: HostRow = {
  schemaVersion: 1,
  epoch: { number: 7, id: 'e7', active: PRIMARY },
  opened: { number: 7, id: 'e7', startedSec: 10 },
  lease: { kind: 'finite', expiresAtMs: SERVER_MS + 3_000 },
  unfenced: true,
  tickMs: SERVER_MS - 900,
  generation: 3,
  nowMs: SERVER_MS,
  startedSec: 10,
  readOnly: false,
};

async function observe(row: HostRow, guarded = true) {
  const clock = new FakeClock(NOW_MS);
  const store = new MemoryBoard(() => clock.wall()).store({ topic: 't' });
  const pair = aPair();
  const { a, b } = fakePair();
  a.facts = { ...a.facts, row, boot: { uuid: 'uuid-a', startedSec: 10 } };
  const probe = vi.spyOn(a, 'probe');
  const round = makeMonitorRound({
    pair,
    servicemode: 1,
    tryTimes: 2,
    intervalMs: 1_000,
    connectTimeoutMs: 1_000,
    wantRow: guarded,
    primary: a,
    secondary: b,
    store,
    pulse: NO_PULSE,
    clock,
    log: fakeLog(),
    observer: 'monitor-1',
  });
  await round(new AbortController().signal, { lateMs: 0 });
  const seen = await store.observations(pair.uniqsign, [PRIMARY, SECONDARY]);
  const [primary, secondary] = seen.map((one) => (one?.evidence.kind === 'answered' ? one.evidence.facts : null));
  return { probe, primary, secondary };
}

it('a row, its boot, and whether its EVENT ticks reach the board', async () => {
  const { primary, secondary } = await observe(ROW);
  const { epoch, opened } = ROW;
  expect(primary?.row).toEqual({ epoch, opened, unfenced: true, generation: 3, lease: 'finite', armed: true });
  expect(primary?.boot).toEqual({ uuid: 'uuid-a', startedSec: 10 });
  expect(secondary?.row).toBeNull();
});

it('an EVENT that stopped is told as such', async () => {
  const { primary } = await observe({ ...ROW, tickMs: SERVER_MS - 3_001 });
  expect(primary?.row).toMatchObject({ lease: 'finite', armed: false });
});

it('rows are looked for where a safety is on; without one, only those that are there already are told', async () => {
  const on = await observe(ROW);
  expect(on.probe).toHaveBeenCalledWith({ row: true });
  const off = await observe(ROW, false);
  expect(off.probe).toHaveBeenCalledWith({ row: false });
  expect(off.primary?.row).not.toBeNull();
});

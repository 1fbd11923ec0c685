// Short forms for what the tests of the comparing calls say again and again, whatever server is behind the fence.

import type { Called, Opening } from '../../src/core/call.ts';
import type { HostRow } from '../../src/core/host-row.ts';
import type { Epoch } from '../../src/core/pair.ts';
import type { Fence } from '../../src/mysql/fence.ts';

export const LEASE_MS = 3_000;

export function epoch(number: number, over: Partial<Epoch> = {}): Epoch {
  return { number, id: `d${number}`, active: '127.0.0.1:3306', ...over };
}

/** The row of a call that must have been done. */
export async function done(called: Promise<Called>): Promise<HostRow> {
  const result = await called;
  if (result.kind !== 'done') throw new Error(`not done: ${JSON.stringify(result)}`);
  return result.row;
}

export async function rowOf(fence: Fence): Promise<HostRow> {
  const looked = await fence.look();
  if (looked.kind !== 'row') throw new Error(`no row: ${JSON.stringify(looked)}`);
  return looked.row;
}

/** An opening as the protocol makes it, from a look at the row; with what a test wants different. */
export function opening(row: HostRow, at: Epoch, over: Partial<Opening> = {}): Opening {
  return {
    do: 'open',
    epoch: at,
    baseMs: row.nowMs,
    leaseMs: LEASE_MS,
    lease: 'finite',
    startedSec: row.startedSec,
    demand: 'io-stopped',
    lossless: false,
    ...over,
  };
}

/** Claims, stops the I/O thread and opens. */
export async function opened(fence: Fence, at: Epoch, over: Partial<Opening> = {}): Promise<HostRow> {
  await done(fence.call({ do: 'claim', epoch: at, unfenced: null }));
  const row = await done(fence.call({ do: 'stop-io', epoch: at }));
  return await done(fence.call(opening(row, at, over)));
}

// Rows of servers as monitors see them, for tests.

import type { SeenRow } from '../../src/core/observation.ts';
import type { Host } from '../../src/core/pair.ts';

/** Nothing claimed and never opened, unless said. An epoch's id is `e` and its number. */
export function aRow({
  epoch,
  opened,
  id,
  ...over
}: Partial<Omit<SeenRow, 'epoch' | 'opened'>> & {
  readonly epoch?: readonly [number: number, active: Host];
  readonly opened?: number;
  readonly id?: string;
}): SeenRow {
  return {
    epoch: epoch === undefined ? null : { number: epoch[0], id: id ?? `e${epoch[0]}`, active: epoch[1] },
    opened: opened === undefined ? null : { number: opened, id: id ?? `e${opened}`, startedSec: 1_700_000_000 },
    unfenced: false,
    generation: 0,
    lease: 'finite',
    armed: true,
    ...over,
  };
}

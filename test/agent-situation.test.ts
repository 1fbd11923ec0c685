// Who counts as the last writer once a host is being closed: told by the agent to the board before it does it.

import { describe, expect, it } from 'vitest';
import { writerAfter } from '../src/agent-situation.ts';
import { type Board, NO_SAFETY } from '../src/core/decision.ts';
import type { Guard } from '../src/core/guard.ts';
import type { Situation } from '../src/core/reconcile.ts';
import { A, active, B, BOTH, type OfActive, passive } from './support/partnership.ts';
import { someGuard, someSituation } from './support/plan.ts';

/** B is the active and closed; A, opened by decision 7, takes writes. */
function closing(a: OfActive, guard: Partial<Guard> = {}): Situation {
  return someSituation({
    roles: { active: B, passive: A },
    active: passive({ row: { opened: { number: 8, id: 'd8', startedSec: 200 } } }),
    passive: active(a),
    incumbent: true,
    policy: { ...NO_SAFETY, fencing: 'lease', durability: 'lossless' },
    guard: someGuard({
      epoch: { number: 8, id: 'd8', active: B },
      lastOpened: B,
      lossless: { complete: BOTH, divergence: null },
      ...guard,
    }),
  });
}

describe('a host that takes writes while the active is closed', () => {
  const lastWriter = (a: OfActive, guard?: Partial<Guard>): Board['opened'] | undefined =>
    writerAfter({ do: 'close', host: A }, closing(a, guard));

  it('wrote last', () => {
    expect(lastWriter({}, { lossless: null })).toBe(A);
    expect(lastWriter({}, { lastOpened: A })).toBe(A);
    expect(lastWriter({}, { lastOpened: null })).toBe(A);
    // By hand, or so that somebody may have been told OK.
    expect(lastWriter({ source: false })).toBe(A);
    expect(lastWriter({ wrong: 'its commits stopped waiting after a time' })).toBe(A);
    expect(lastWriter({ row: { opened: { number: 7, id: 'd7', startedSec: 50 } } })).toBe(A);
  });

  it('told no client OK when the active was opened after it, and its commits wait', () => {
    expect(lastWriter({})).toBeUndefined();
  });
});

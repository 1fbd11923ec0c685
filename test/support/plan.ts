// What the agent's plan is asked with (core/reconcile.ts), where nothing is in the way: a test says what is special about its own.

import { NO_SAFETY } from '../../src/core/decision.ts';
import type { Guard } from '../../src/core/guard.ts';
import type { Situation } from '../../src/core/reconcile.ts';

/** Armed, and the host that is passed over is not known to be down. */
export function someGuard(changes: Pick<Guard, 'epoch' | 'lastOpened'> & Partial<Guard>): Guard {
  return {
    lease: 'finite',
    leaseMs: 3_000,
    onUnreachable: 'wait',
    unfenced: false,
    flagOnBoard: false,
    passiveArmed: true,
    passiveDown: false,
    passiveStuck: false,
    claimedForMs: null,
    passiveChosenSince: false,
    stranger: null,
    passiveStranger: null,
    planned: false,
    passiveKnew: null,
    hook: 'none',
    lossless: null,
    ...changes,
  };
}

export function someSituation(
  changes: Pick<Situation, 'roles' | 'active' | 'passive' | 'incumbent'> & Partial<Situation>,
): Situation {
  return {
    passiveWroteLast: false,
    passiveGone: false,
    ioStopped: [],
    accountsStuck: [],
    passiveRestarted: false,
    policy: NO_SAFETY,
    force: false,
    tooLate: false,
    progress: { receivedBefore: null, drainingSec: 0, withoutWriterSec: 0 },
    openWithinSec: 3,
    guard: null,
    ...changes,
  };
}

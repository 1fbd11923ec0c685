// A decision of a pair, for tests of how it is spelled in Redis.

import { type Decision, NO_TERMS } from '../../src/core/decision.ts';
import type { Epoch, Host } from '../../src/core/pair.ts';
import type { RawPair } from '../../src/store/wire.ts';
import { encodeRoles } from '../../src/store/wire-decisions.ts';

export const U = '8d9a4b2924dc40baa792d742cb786345';
export const A: Host = '10.0.21.5:3308';
export const B: Host = '10.0.21.7:3308';
export const ROLES = { active: A, passive: B };
export const AT_MS = 1_547_610_844_123;
export const EPOCH: Epoch = { number: 7, id: '747dda0fc5754935bd33f370d1bf23a6', active: A };
export const DECISION: Decision = {
  roles: ROLES,
  epoch: EPOCH,
  reasons: ['the other is silent'],
  atMs: AT_MS,
  terms: NO_TERMS,
  unfenced: null,
};

/** The board knows the roles, and nothing else. */
export const RAW: RawPair = {
  mode: encodeRoles(ROLES),
  epoch: new Map(),
  report: new Map(),
  policy: new Map(),
  opened: null,
  topic: null,
  divergence: new Map(),
  request: new Map(),
  pause: new Map(),
  unfenced: null,
  complete: new Map(),
  joining: new Map(),
  lives: new Map(),
};

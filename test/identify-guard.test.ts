// What identify commits for a pair with a safety on, and what it never touches for one without (support/guarded-identify.ts). The lease:
// identify-lease.test.ts; silent hosts: identify-silent.test.ts; a board that is empty or old: identify-old-board.test.ts.

import { describe, expect, test } from 'vitest';
import { NO_SAFETY, NO_TERMS } from '../src/core/decision.ts';
import { rolesWith } from '../src/core/pair.ts';
import type { Store } from '../src/store/store.ts';
import { PRIMARY } from './support/build.ts';
import { aWorld, brief, PAIR } from './support/guarded-identify.ts';
import { aRow } from './support/rows.ts';

describe('a pair without a safety', () => {
  test('has decisions without a lease, and nobody asks for agents', async () => {
    const world = aWorld(NO_SAFETY);
    world.parts.store.agents = () => Promise.reject(new Error('asked for agents'));
    await world.run(3);
    expect(brief(await world.boardNow())).toEqual([1, PRIMARY, null, null]);
  });

  test('gets guarded decisions, of endless leases, when a server has a row of ours', async () => {
    const world = aWorld(NO_SAFETY);
    world.b.row = aRow({ epoch: [4, PRIMARY], opened: 3 });
    world.a.row = aRow({ epoch: [4, PRIMARY], opened: 4 });
    await world.run(8);
    expect(brief(await world.boardNow())).toEqual([5, PRIMARY, 'endless', true]);
  });
});

test('an unguarded decision never touches the flag', async () => {
  const world = aWorld(NO_SAFETY);
  const seen: (boolean | null)[] = [];
  const commit: Store['commitRoles'] = world.store.commitRoles.bind(world.store);
  world.store.commitRoles = (uniqsign, decision, ...more) => {
    seen.push(decision.unfenced);
    const { changedAtMs, otherNumber } = decision.terms;
    expect(decision.terms).toMatchObject({ ...NO_TERMS, lease: null, changedAtMs, otherNumber });
    expect(decision.roles).toEqual(rolesWith(PAIR, decision.epoch.active));
    return commit(uniqsign, decision, ...more);
  };
  await world.run(2);
  world.a.look = { failure: 'refused', connectionBroke: true, goneLooks: 9 };
  world.b.look = { ...world.b.look, io: 'Connecting', replicationOk: false };
  await world.run(2);
  expect(seen).toEqual([null, null]);
});

// Situations under durability=lossless: the role goes by itself only to a host that holds every acknowledged commit.

import type { Complete } from '../../../src/core/complete.ts';
import type { DecideInput, Guarded } from '../../../src/core/scene.ts';
import { PRIMARY, SECONDARY } from '../../support/build.ts';
import { aRow } from '../../support/rows.ts';
import {
  ACTIVE,
  LOST_SOURCE,
  NINE,
  ON_SECONDARY,
  PASSIVE,
  REFUSED,
  type Situation,
  when,
} from '../../support/situation.ts';

const BOOT = { uuid: 'u-1', startedSec: 1_700_000_000 };
const A = { host: PRIMARY, ...BOOT };
const B = { host: SECONDARY, ...BOOT };
const ALL: Complete = { generation: 12, writer: A, hosts: [A, B] };
const ONLY_PRIMARY: Complete = { ...ALL, hosts: [A] };
const ONLY_SECONDARY: Complete = { ...ALL, writer: B, hosts: [B] };

function lossless(complete: Complete | null, doubt: string | null = null, unopened = false): Partial<DecideInput> {
  const guarded: Guarded = {
    lease: 'endless',
    verdict: { kind: 'unknown', why: '' },
    behind: null,
    known: null,
    strangers: new Map(),
    lossless: { complete, doubt },
    unopened,
  };
  return { guarded };
}

const MINE = { ...ACTIVE, boot: BOOT };
const OTHERS = { ...PASSIVE, boot: BOOT };
const ALONE = { ...LOST_SOURCE, boot: BOOT };
const BACK = { input: { giveBack: { to: SECONDARY, why: 'the drain took longer than 30 s' } } };
const ANEW = lossless(null, 'the board was emptied or restored');

export const WITHOUT_LOSS: readonly (string | Situation)[] = [
  'Without loss',
  when('failover: the active is dead, the passive is complete', {
    primary: REFUSED,
    secondary: ALONE,
    agreed: 1,
    input: lossless(ALL),
  }),
  when('failover: the active is dead, the passive was lost before', {
    primary: REFUSED,
    secondary: ALONE,
    agreed: 1,
    input: lossless(ONLY_PRIMARY),
  }),
  when('failover: the active is dead, the passive was restarted since it was complete', {
    primary: REFUSED,
    secondary: { ...ALONE, boot: { ...BOOT, startedSec: 1_700_000_600 } },
    agreed: 1,
    input: lossless(ALL),
  }),
  when('failover: the active is dead, and the set is of an old dump', {
    primary: REFUSED,
    secondary: ALONE,
    agreed: 1,
    input: lossless(null, 'the board holds set 12, and set 19 was written already'),
  }),
  when('following the clients to a complete host', {
    primary: { ...MINE, connections: 0 },
    secondary: { ...OTHERS, connections: 4 },
    agreed: 1,
    input: lossless(ALL),
  }),
  when('following the clients to a host that is about to join', {
    primary: { ...MINE, connections: 0 },
    secondary: { ...OTHERS, connections: 4 },
    agreed: 1,
    input: lossless(ONLY_PRIMARY),
  }),
  when('failback to a complete primary', {
    roles: ON_SECONDARY,
    primary: OTHERS,
    secondary: { ...MINE, connections: 0 },
    agreed: 1,
    input: lossless({ ...ALL, writer: B }),
  }),
  when('failback to a primary that has not joined yet', {
    roles: ON_SECONDARY,
    primary: OTHERS,
    secondary: { ...MINE, connections: 0 },
    agreed: 1,
    input: lossless(ONLY_SECONDARY),
  }),
  when('a failed switchover goes back to a complete host', {
    secondary: OTHERS,
    primary: OTHERS,
    input: { ...lossless(ONLY_SECONDARY), ...BACK.input },
  }),
  when('a failed switchover does not go back to a host that was restarted meanwhile', {
    primary: OTHERS,
    secondary: { ...OTHERS, boot: { ...BOOT, startedSec: 1_700_000_600 } },
    input: { ...lossless({ ...ALL, writer: B }), ...BACK.input },
  }),
  when(
    'the former active, which nobody could fence, answers again and is open: it acknowledged the last commits, whatever the set says',
    {
      primary: { ...OTHERS, row: aRow({ epoch: [9, PRIMARY], opened: 3 }) },
      secondary: { ...MINE, connections: 0, row: aRow({ epoch: [8, SECONDARY], opened: 8, lease: 'endless' }) },
      input: { ...lossless(null, null, true), epoch: NINE },
      missed: true,
    },
  ),
  when('an emptied board: both hosts are closed, and the one that was opened last keeps the role', {
    roles: null,
    primary: { ...OTHERS, row: aRow({ epoch: [9, PRIMARY], opened: 9 }) },
    secondary: { ...OTHERS, row: aRow({ epoch: [9, PRIMARY], opened: 5 }) },
    input: ANEW,
  }),
  when('an emptied board: one host answers and takes writes', {
    roles: null,
    primary: REFUSED,
    secondary: { ...ALONE, readOnly: false, row: aRow({ epoch: [9, SECONDARY], opened: 9 }) },
    input: ANEW,
  }),
  when('an emptied board: one host answers, closed, and was the active as far as it knows', {
    roles: null,
    primary: REFUSED,
    secondary: { ...ALONE, row: aRow({ epoch: [9, SECONDARY], opened: 9 }) },
    agreed: 1,
    input: ANEW,
  }),
  when('an emptied board: one host answers, closed, and knows that the other one was the active', {
    roles: null,
    primary: REFUSED,
    secondary: { ...ALONE, row: aRow({ epoch: [9, PRIMARY], opened: 5 }) },
    input: ANEW,
  }),
  when('an emptied board: one host answers, closed, and knows of nobody', {
    roles: null,
    primary: { ...REFUSED, goneLooks: 2 },
    secondary: ALONE,
    input: ANEW,
  }),
];

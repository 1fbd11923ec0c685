// Situations with a safety on, where the rows of the servers and the lease of the active have a say.

import type { Guarded } from '../../../src/core/scene.ts';
import { PRIMARY, SECONDARY } from '../../support/build.ts';
import { aRow } from '../../support/rows.ts';
import { ACTIVE, HEARS, LOST_SOURCE, NINE, PASSIVE, REFUSED, type Situation, when } from '../../support/situation.ts';

const GUARDED: Guarded = {
  lease: 'finite',
  verdict: { kind: 'unknown', why: '' },
  behind: null,
  known: null,
  strangers: new Map(),
  lossless: null,
  unopened: false,
};
const CLOSED = `nobody has renewed the lease of ${PRIMARY} within 4.23 s (tried by db2), so it has closed itself`;

export const WITH_SAFETY: readonly (string | Situation)[] = [
  'With a safety on',
  when('the active is silent to everybody, and the passive still hears it', {
    primary: { failure: 'silent', goneLooks: 20 },
    secondary: HEARS,
    agreed: 19,
    input: { guarded: GUARDED },
  }),
  when('the active is silent, the passive still hears it, and nobody could renew its lease', {
    primary: { failure: 'silent', goneLooks: 20 },
    secondary: HEARS,
    agreed: 19,
    input: { guarded: { ...GUARDED, verdict: { kind: 'closed', why: CLOSED } } },
  }),
  when('the active is silent to the monitors alone: an agent beside it renews its lease', {
    primary: { failure: 'silent', goneLooks: 20 },
    secondary: LOST_SOURCE,
    agreed: 19,
    input: {
      guarded: {
        ...GUARDED,
        verdict: { kind: 'renewed', why: `agents renew the lease of ${PRIMARY}, so it is alive` },
      },
    },
  }),
  when('a dump came back in which the primary was active, and both hosts are closed', {
    roles: null,
    primary: { ...PASSIVE, row: aRow({ epoch: [9, SECONDARY], opened: 7 }) },
    secondary: { ...PASSIVE, row: aRow({ epoch: [9, SECONDARY], opened: 9 }) },
    input: { guarded: { ...GUARDED, behind: `the board holds decision 7, and ${PRIMARY} knows decision 9` } },
  }),
  when('Redis was emptied while the role moved: the secondary is claimed, not opened, and the primary silent', {
    roles: null,
    primary: { failure: 'silent' },
    secondary: { ...LOST_SOURCE, row: aRow({ epoch: [9, SECONDARY], opened: 5 }) },
    input: { guarded: GUARDED },
  }),
  when('the former active, which nobody could fence, answers again and is open', {
    primary: { ...PASSIVE, row: aRow({ epoch: [9, PRIMARY], opened: 3 }) },
    secondary: { ...ACTIVE, row: aRow({ epoch: [8, SECONDARY], opened: 8, lease: 'endless' }) },
    input: { epoch: NINE, guarded: { ...GUARDED, unopened: true } },
    missed: true,
  }),
  when('the active is dead, and behind the address of the passive is another server', {
    primary: REFUSED,
    secondary: LOST_SOURCE,
    agreed: 1,
    input: { guarded: { ...GUARDED, strangers: new Map([[SECONDARY, `${SECONDARY} IS ANOTHER SERVER`]]) } },
  }),
  when('the clients went to the passive, whose EVENT does not tick', {
    primary: { connections: 0 },
    secondary: { ...PASSIVE, connections: 4, row: aRow({ epoch: [9, PRIMARY], opened: 3, armed: false }) },
    agreed: 1,
    input: { guarded: GUARDED },
  }),
  when('only a Perl monitor is left, and finds the active gone', {
    primary: { failure: 'silent', observer: '' },
    secondary: { ...LOST_SOURCE, observer: '', io: null, sql: null },
    agreed: 1,
    input: { guarded: GUARDED },
  }),
];

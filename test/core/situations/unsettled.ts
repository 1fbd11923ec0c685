// Situations in which nobody has the role: a switchover was taken back, or the board names no active.

import { type Host, parseHost } from '../../../src/core/pair.ts';
import { PRIMARY, SECONDARY } from '../../support/build.ts';
import {
  ACTIVE,
  LOST_SOURCE,
  ON_PRIMARY,
  ON_SECONDARY,
  PASSIVE,
  REFUSED,
  type Situation,
  when,
} from '../../support/situation.ts';

const FOREIGN: Host = parseHost('10.9.9.9:3308') ?? PRIMARY;

export const UNSETTLED: readonly (string | Situation)[] = [
  'A switchover that the agents took back',
  when('the former active answers', {
    primary: { connections: 0 },
    secondary: { ...ACTIVE, readOnly: true },
    input: { giveBack: { to: SECONDARY, why: 'the drain took longer than 30 s' } },
  }),
  when('the former active answers and the failed one is unreadable', {
    primary: { failure: 'saturated' },
    secondary: { ...ACTIVE, readOnly: true },
    input: { giveBack: { to: SECONDARY, why: 'too many connections' } },
  }),
  when('the former active does not answer', {
    secondary: { failure: 'silent' },
    input: { giveBack: { to: SECONDARY, why: 'the drain took longer than 30 s' } },
  }),
  when('the former active is unreadable', {
    secondary: { failure: 'saturated' },
    input: { giveBack: { to: SECONDARY, why: 'the drain took longer than 30 s' } },
  }),
  when('the role is back already', { input: { giveBack: { to: PRIMARY, why: 'the drain took longer than 30 s' } } }),

  'The board names no active',
  when('one host is writable', { roles: null, primary: PASSIVE, secondary: ACTIVE }),
  when('one host is writable, and the other one was active last', {
    roles: null,
    primary: PASSIVE,
    secondary: ACTIVE,
    remembered: ON_PRIMARY,
  }),
  when('both hosts are read only: first round', { roles: null, primary: PASSIVE }),
  when('both hosts are read only: second round', { roles: null, primary: PASSIVE, agreed: 1 }),
  when('both hosts are read only and the secondary was active last', {
    roles: null,
    primary: PASSIVE,
    remembered: ON_SECONDARY,
  }),
  when('both hosts are writable', { roles: null, secondary: { connections: 0 }, agreed: 1 }),
  when('both hosts are writable and the secondary was active last', {
    roles: null,
    secondary: { connections: 0 },
    remembered: ON_SECONDARY,
  }),
  when('both hosts are read only and none can be active', {
    roles: null,
    primary: { ...PASSIVE, replicationOk: false, io: 'No', sql: 'No' },
    secondary: { ...PASSIVE, replicationOk: false, io: 'No', sql: 'No' },
  }),
  when('a host does not tell whether it is read only', { roles: null, secondary: { readOnly: null } }),
  when('the only host that answers is writable', { roles: null, secondary: { failure: 'silent' } }),
  when('the only host that answers is read only and was active last', {
    roles: null,
    primary: REFUSED,
    secondary: LOST_SOURCE,
    remembered: ON_SECONDARY,
  }),
  when('the only host that answers is read only and the dead one was active last: first round', {
    roles: null,
    primary: REFUSED,
    secondary: LOST_SOURCE,
    remembered: ON_PRIMARY,
  }),
  when('the only host that answers is read only and nobody is remembered: second round', {
    roles: null,
    primary: PASSIVE,
    secondary: { failure: 'silent' },
    agreed: 1,
  }),
  when('neither host answers', { roles: null, primary: REFUSED, secondary: { failure: 'silent' } }),
  when('a host is unreadable', { roles: null, secondary: { failure: 'auth-refused' }, remembered: ON_PRIMARY }),
  when('the board names a host that is not of the pair', { roles: { active: FOREIGN, passive: SECONDARY } }),
  when('the board names one host twice', { roles: { active: SECONDARY, passive: SECONDARY } }),
];

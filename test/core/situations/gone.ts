// Situations without a safety in which hosts live, die, or say nothing.

import { NOW_MS, SECONDARY } from '../../support/build.ts';
import {
  ACTIVE,
  HEARS,
  LOST_SOURCE,
  ON_SECONDARY,
  PACING,
  PASSIVE,
  REFUSED,
  type Situation,
  when,
} from '../../support/situation.ts';

export const GONE: readonly (string | Situation)[] = [
  'Nothing to do',
  when('the pair is as it should be'),
  when('the secondary is active and has the clients', { primary: PASSIVE, secondary: ACTIVE, roles: ON_SECONDARY }),
  when('nobody is connected anywhere', { primary: { connections: 0 } }),
  when('the passive is delayed', { secondary: { ...PASSIVE, delaySec: 12 } }),
  when("the passive's replication is in error", { secondary: { ...PASSIVE, replicationOk: false, sql: 'No' } }),
  when('the passive is dead', { secondary: REFUSED }),
  when('the passive is silent', { secondary: { failure: 'silent' } }),
  when('the active is read only by hand and still has the clients', { primary: { ...ACTIVE, readOnly: true } }),
  when('both hosts are unreachable', { primary: { failure: 'silent' }, secondary: { failure: 'silent' } }),
  when('both hosts are delayed', { primary: { ...ACTIVE, delaySec: 3 }, secondary: { ...PASSIVE, delaySec: 4 } }),
  when('replication is in error on both hosts and nobody is connected', {
    primary: { connections: 0, replicationOk: false, io: 'No' },
    secondary: { ...PASSIVE, replicationOk: false, io: 'No' },
  }),

  'The active is gone',
  when('the active is dead: first round', { primary: REFUSED, secondary: LOST_SOURCE }),
  when('the active is dead: second round', { primary: REFUSED, secondary: LOST_SOURCE, agreed: 1 }),
  when('the active is silent: first round', { primary: { failure: 'silent' } }),
  when('the active is silent: second round', { primary: { failure: 'silent' }, agreed: 1 }),
  when('the active is silent: second of three rounds', {
    primary: { failure: 'silent' },
    agreed: 1,
    input: { policy: { tryTimes: 3, freshMs: 30_000, pacing: PACING } },
  }),
  when('the active refuses but no connection broke', { primary: { failure: 'refused' }, secondary: LOST_SOURCE }),
  when('the active refuses and the passive still hears it', { primary: REFUSED }),
  when('the secondary, active, is dead', { primary: LOST_SOURCE, secondary: REFUSED, roles: ON_SECONDARY, agreed: 1 }),
  when('the active is dead and the survivor is delayed', {
    primary: REFUSED,
    secondary: { ...PASSIVE, delaySec: 40, io: 'Connecting' },
    agreed: 1,
  }),
  when('the active is dead and the survivor, in error and delayed, has no clients', {
    primary: REFUSED,
    secondary: { ...LOST_SOURCE, delaySec: 40 },
    agreed: 1,
  }),
  when('the active is dead and the survivor never replicated', {
    primary: REFUSED,
    secondary: { ...PASSIVE, replicationOk: false, io: null, sql: null },
    agreed: 1,
  }),
  when('the active is silent and the SQL thread of the survivor is stopped', {
    primary: { failure: 'silent' },
    secondary: { ...LOST_SOURCE, sql: 'No' },
    agreed: 1,
  }),
  when('a Perl monitor saw the active go', {
    primary: { failure: 'silent', observer: '' },
    secondary: { ...PASSIVE, observer: '', io: null, sql: null },
    agreed: 1,
  }),
  when('the active is dead although the last attempt to open the survivor failed', {
    primary: REFUSED,
    secondary: LOST_SOURCE,
    agreed: 1,
    input: { failed: { host: SECONDARY, untilMs: NOW_MS + 20_000 } },
  }),

  'The passive as a witness',
  when('the active is silent and the passive still hears it', {
    primary: { failure: 'silent', goneLooks: 20 },
    secondary: HEARS,
    agreed: 19,
  }),
  when('the active is silent and the passive still hears it: first round', {
    primary: { failure: 'silent', goneLooks: 1 },
    secondary: HEARS,
  }),
  when('the active refuses the managers and the passive still hears it', {
    primary: { ...REFUSED, goneLooks: 5 },
    secondary: HEARS,
    agreed: 4,
  }),
  when('the active is silent and the passive, whose thread has not noticed, hears nothing', {
    primary: { failure: 'silent', goneLooks: 2 },
    secondary: { ...HEARS, hearing: { silentMs: 2_300, heartbeatMs: 1_000 } },
    agreed: 1,
  }),
  when('the active is silent and sent events just now, though no heartbeats are asked for', {
    primary: { failure: 'silent', goneLooks: 2 },
    secondary: { ...HEARS, hearing: { silentMs: 300, heartbeatMs: 0 } },
    agreed: 1,
  }),
  when('the active is silent and sent nothing for a while, heartbeats being rare', {
    primary: { failure: 'silent', goneLooks: 2 },
    secondary: { ...HEARS, hearing: { silentMs: 9_000, heartbeatMs: 30_000 } },
    agreed: 1,
  }),
  when('the active is silent and a backup has stopped the threads of the passive', {
    primary: { failure: 'silent', goneLooks: 2 },
    secondary: { ...PASSIVE, replicationOk: false, io: 'No', sql: 'No' },
    agreed: 1,
  }),
  when('identify has only begun and the monitors have missed the active twice', {
    primary: { failure: 'silent', goneLooks: 2 },
    secondary: LOST_SOURCE,
  }),
  when('no active is known, and the silent host is heard by the only one that answers', {
    roles: null,
    primary: { failure: 'silent', goneLooks: 9 },
    secondary: HEARS,
    agreed: 1,
  }),

  'Alive, or not known',
  when('the active has too many connections', { primary: { failure: 'saturated' }, agreed: 1 }),
  when('the active refuses our password', { primary: { failure: 'auth-refused' }, agreed: 1 }),
  when('the active does not let us in', { primary: { failure: 'blocked' }, agreed: 1 }),
  when('the active answers with another error', { primary: { failure: 'server-error' }, agreed: 1 }),
  when('the passive has too many connections while the active is dead', {
    primary: REFUSED,
    secondary: { failure: 'saturated' },
    agreed: 1,
  }),
  when('both hosts have too many connections', {
    primary: { failure: 'saturated' },
    secondary: { failure: 'saturated' },
  }),
  when('the active was last observed a while ago', { primary: { ...ACTIVE, atMs: NOW_MS - 41_000 } }),
  when('only the passive has a fresh observation', {
    primary: { failure: 'silent', atMs: NOW_MS - 31_000 },
    agreed: 1,
  }),
  when('the active is gone and the passive was last observed a while ago', {
    primary: REFUSED,
    secondary: { ...PASSIVE, atMs: NOW_MS - 31_000 },
    agreed: 1,
  }),
  when("the monitor's clock is ahead", { primary: { ...ACTIVE, atMs: NOW_MS + 45_000 } }),
  when('the passive has not been observed', { secondary: null }),
  when('nothing has been observed', { primary: null, secondary: null }),
  when('one host is unreadable and the other one not observed', { primary: { failure: 'blocked' }, secondary: null }),
];

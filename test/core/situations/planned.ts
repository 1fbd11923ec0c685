// Situations in which the role could move though its host is well: what moves it, what slows it down (and what not), what a pause leaves alone.

import { NOW_MS, PRIMARY, SECONDARY } from '../../support/build.ts';
import {
  ACTIVE,
  LOST_SOURCE,
  ON_SECONDARY,
  PACING,
  PASSIVE,
  REFUSED,
  type Situation,
  when,
} from '../../support/situation.ts';

/** The secondary is active, and with one more round the primary, good again, would be. */
const PRIMARY_IS_BACK: Partial<Omit<Situation, 'name'>> = {
  primary: { ...PASSIVE, connections: 2 },
  secondary: ACTIVE,
  roles: ON_SECONDARY,
  agreed: 1,
};

const PAUSE = { by: 'dba@db1', atMs: NOW_MS - 60_000, untilMs: null };

export const PLANNED: readonly (string | Situation)[] = [
  'Planned changes',
  when('the primary is back and has clients again: first round', {
    primary: { ...PASSIVE, connections: 2 },
    secondary: ACTIVE,
    roles: ON_SECONDARY,
  }),
  when('the primary is back and has clients again: second round', {
    primary: { ...PASSIVE, connections: 2 },
    secondary: ACTIVE,
    roles: ON_SECONDARY,
    agreed: 1,
  }),
  when('the primary is back and nobody is connected anywhere', {
    primary: PASSIVE,
    secondary: { connections: 0 },
    roles: ON_SECONDARY,
    agreed: 1,
  }),
  when('the primary is back and still delayed', {
    primary: { ...PASSIVE, connections: 2, delaySec: 90 },
    secondary: ACTIVE,
    roles: ON_SECONDARY,
    agreed: 1,
  }),
  when('the primary is back and its replication is in error', {
    primary: { ...PASSIVE, connections: 2, replicationOk: false, io: 'No' },
    secondary: ACTIVE,
    roles: ON_SECONDARY,
    agreed: 1,
  }),
  when('the primary is back and replicates from somebody else, which its monitor calls an error', {
    primary: { ...PASSIVE, connections: 2, replicationOk: false },
    secondary: ACTIVE,
    roles: ON_SECONDARY,
    agreed: 1,
  }),
  when('the primary is back and its I/O thread still connects', {
    primary: { ...PASSIVE, connections: 2, io: 'Connecting' },
    secondary: ACTIVE,
    roles: ON_SECONDARY,
    agreed: 1,
  }),
  when('the primary is back and its SQL thread is stopped', {
    primary: { ...PASSIVE, connections: 2, sql: 'No' },
    secondary: ACTIVE,
    roles: ON_SECONDARY,
    agreed: 1,
  }),
  when('the primary is back and a Perl monitor, which names no threads, calls its replication good', {
    primary: { ...PASSIVE, connections: 2, observer: '', io: null, sql: null },
    secondary: { ...ACTIVE, observer: '', io: null, sql: null },
    roles: ON_SECONDARY,
    agreed: 1,
  }),
  when('the clients went to the passive', {
    primary: { connections: 0 },
    secondary: { ...PASSIVE, connections: 4 },
    agreed: 1,
  }),
  when('the clients went to the passive, whose replication is in error', {
    primary: { connections: 0 },
    secondary: { ...PASSIVE, connections: 4, replicationOk: false, sql: 'No' },
    agreed: 1,
  }),
  when('the active is delayed behind its passive', { primary: { ...ACTIVE, delaySec: 8 }, agreed: 1 }),
  when('the roles were swapped by hand, with replication in error', {
    primary: { ...PASSIVE, replicationOk: false, io: 'No' },
    secondary: { ...ACTIVE, replicationOk: false, io: 'No' },
    agreed: 1,
  }),
  when('the roles were swapped by hand and nobody is connected anywhere', {
    primary: PASSIVE,
    secondary: { connections: 0 },
    agreed: 1,
  }),
  when('the last attempt to open the primary failed', {
    primary: { ...PASSIVE, connections: 2 },
    secondary: ACTIVE,
    roles: ON_SECONDARY,
    agreed: 1,
    input: { failed: { host: PRIMARY, untilMs: NOW_MS + 20_001 } },
  }),
  when('the last attempt to open the primary failed long enough ago', {
    primary: { ...PASSIVE, connections: 2 },
    secondary: ACTIVE,
    roles: ON_SECONDARY,
    agreed: 1,
    input: { failed: { host: PRIMARY, untilMs: NOW_MS } },
  }),
  when('the last attempt to open the other host failed', {
    primary: { ...PASSIVE, connections: 2 },
    secondary: ACTIVE,
    roles: ON_SECONDARY,
    agreed: 1,
    input: { failed: { host: SECONDARY, untilMs: NOW_MS + 20_000 } },
  }),

  'Planned changes that are slowed down',
  when('the role changed a moment ago, and clients are on both hosts', {
    ...PRIMARY_IS_BACK,
    past: { changedAtMs: NOW_MS - 12_000, preferred: null },
  }),
  when('the role changed a moment ago, and all clients have gone to the primary', {
    ...PRIMARY_IS_BACK,
    secondary: { connections: 0 },
    past: { changedAtMs: NOW_MS - 12_000, preferred: null },
  }),
  when('the role changed a moment ago, and no client is anywhere', {
    ...PRIMARY_IS_BACK,
    primary: PASSIVE,
    secondary: { connections: 0 },
    past: { changedAtMs: NOW_MS - 12_000, preferred: null },
  }),
  when('the role changed a moment ago, with an interval of 0', {
    ...PRIMARY_IS_BACK,
    primary: PASSIVE,
    secondary: { connections: 0 },
    past: { changedAtMs: NOW_MS, preferred: null },
    pacing: { ...PACING, minFailoverIntervalSec: 0 },
  }),
  when("the role changed in the future, by another machine's clock", {
    ...PRIMARY_IS_BACK,
    primary: PASSIVE,
    secondary: { connections: 0 },
    past: { changedAtMs: NOW_MS + 12_000, preferred: null },
  }),
  when('the primary has only just caught up', { ...PRIMARY_IS_BACK, steadySec: 3 }),
  when('failback=never, and both hosts could be active', {
    ...PRIMARY_IS_BACK,
    pacing: { ...PACING, failback: 'never' },
  }),
  when('failback=never, and all clients have gone to the primary', {
    ...PRIMARY_IS_BACK,
    secondary: { connections: 0 },
    pacing: { ...PACING, failback: 'never' },
  }),
  when('failback=300, and the primary is caught up for four minutes', {
    ...PRIMARY_IS_BACK,
    steadySec: 240,
    pacing: { ...PACING, failback: 300 },
  }),
  when('failback=300, and the primary is caught up for five minutes', {
    ...PRIMARY_IS_BACK,
    steadySec: 300,
    pacing: { ...PACING, failback: 300 },
  }),
  when('an operator switched over to the secondary', {
    ...PRIMARY_IS_BACK,
    past: { changedAtMs: null, preferred: SECONDARY },
  }),
  when('an operator switched over to the secondary, and all clients are at the primary', {
    ...PRIMARY_IS_BACK,
    secondary: { connections: 0 },
    past: { changedAtMs: null, preferred: SECONDARY },
  }),

  'Failovers that nothing slows down',
  when('the active dies a moment after the role changed', {
    primary: REFUSED,
    secondary: LOST_SOURCE,
    agreed: 1,
    past: { changedAtMs: NOW_MS - 12_000, preferred: null },
  }),
  when('the active dies whom an operator switched over to', {
    primary: LOST_SOURCE,
    secondary: REFUSED,
    roles: ON_SECONDARY,
    agreed: 1,
    past: { changedAtMs: NOW_MS - 86_400_000, preferred: SECONDARY },
  }),
  when('the active dies, failback=never', {
    primary: LOST_SOURCE,
    secondary: REFUSED,
    roles: ON_SECONDARY,
    agreed: 1,
    pacing: { ...PACING, failback: 'never' },
  }),
  when('the active dies and the survivor has caught up only just before', {
    primary: REFUSED,
    secondary: LOST_SOURCE,
    agreed: 1,
    steadySec: 0,
  }),

  'While it is paused',
  when('nothing is to be done', { input: { pause: PAUSE } }),
  when('the active is dead', { primary: REFUSED, secondary: LOST_SOURCE, agreed: 1, input: { pause: PAUSE } }),
  when('the active is dead, and the pause ends by itself later', {
    primary: REFUSED,
    secondary: LOST_SOURCE,
    agreed: 1,
    input: { pause: { ...PAUSE, untilMs: NOW_MS + 90_000 } },
  }),
  when('the active is dead, and the pause has ended by itself', {
    primary: REFUSED,
    secondary: LOST_SOURCE,
    agreed: 1,
    input: { pause: { ...PAUSE, untilMs: NOW_MS } },
  }),
  when('the board was emptied of roles', { roles: null, input: { pause: PAUSE } }),
  when('a switchover failed', {
    primary: { connections: 0 },
    secondary: { ...ACTIVE, readOnly: true },
    input: { pause: PAUSE, giveBack: { to: SECONDARY, why: 'the drain took longer than 30 s' } },
  }),
];

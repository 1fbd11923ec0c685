import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Decision, NO_SAFETY, NO_TERMS, type Report, type Terms } from '../../src/core/decision.ts';
import type { Divergence } from '../../src/core/divergence.ts';
import type { Failure, Observation } from '../../src/core/observation.ts';
import type { Epoch, Host } from '../../src/core/pair.ts';
import type { Request } from '../../src/core/request.ts';
import { boardOf, foundPairOf, type RawPair } from '../../src/store/wire.ts';
import {
  decodeDivergence,
  decodeEpoch,
  decodeHost,
  decodePolicy,
  decodeReport,
  decodeRoles,
  encodeDivergence,
  encodeEpoch,
  encodeMaster,
  encodePolicy,
  encodeReport,
  encodeRoles,
  guardFor,
} from '../../src/store/wire-decisions.ts';
import { tellingOnce } from '../../src/store/wire-fields.ts';
import { channelsOf, decodeWake, encodePair, keysOf, uniqsignIn } from '../../src/store/wire-keys.ts';
import { decodeMessage, encodeMessage } from '../../src/store/wire-message.ts';
import { decodeObservation, encodeObservation } from '../../src/store/wire-observations.ts';
import { decodePause, decodeRequest, encodePause, encodeRequest } from '../../src/store/wire-operator.ts';
import { aFailure, anObservation } from '../support/build.ts';

const U = '8d9a4b2924dc40baa792d742cb786345';
const A: Host = '10.0.21.5:3308';
const B: Host = '10.0.21.7:3308';
const ROLES = { active: A, passive: B };
const AT_MS = 1_547_610_844_123;
const EPOCH: Epoch = { number: 7, id: '747dda0fc5754935bd33f370d1bf23a6', active: A };
const DECISION: Decision = {
  roles: ROLES,
  epoch: EPOCH,
  reasons: ['the other is silent'],
  atMs: AT_MS,
  terms: NO_TERMS,
  unfenced: null,
};
const TERMS: Terms = {
  changedAtMs: AT_MS,
  preferred: B,
  force: true,
  requestId: 'r1',
  backAtMs: AT_MS,
  lease: null,
  durability: 'lossless',
  otherNumber: 4,
};
const REQUEST: Request = {
  id: 'r1',
  kind: 'switchover',
  to: B,
  by: 'root@db1',
  epoch: { number: EPOCH.number, id: EPOCH.id },
  atMs: AT_MS,
  expiresMs: AT_MS,
  withinSec: 30,
  refused: null,
};
const REPORT: Report = {
  epoch: EPOCH,
  outcome: 'opened',
  host: A,
  why: 'drained',
  atMs: AT_MS,
  agent: 'db1',
  noWriterMs: 42,
};

const DIVERGENCE: Divergence = {
  host: A,
  count: 37,
  gtids: '1-1-500',
  cut: false,
  end: { file: 'binlog.000002', pos: 900 },
  epoch: { number: 7, id: EPOCH.id },
  foundAtMs: AT_MS,
};

/** What a Perl monitor writes about a healthy host, with changes. */
function perl(changes: Record<string, string> = {}): Map<string, string> {
  const healthy = {
    ping: '1',
    read_only: '0',
    repl_check: 'OK',
    delay_sec: '-1',
    conn_nums: '12',
    last_check: '1547610844',
  };
  return new Map(Object.entries({ ...healthy, ...changes }));
}

function without(fields: Map<string, string>, name: string): Map<string, string> {
  return new Map([...fields].filter(([key]) => key !== name));
}

describe('the bytes in Redis', () => {
  test('every key has the name that the Perl daemons and our own docs give it', () => {
    const { check, ioStopped, life, lives, agent, ...keys } = keysOf(U);
    expect(life(A)).toBe(`${lives.before}${A}${lives.after}`);
    expect({ ...keys, check: check(A), ioStopped: ioStopped(A), life: life(A), agent: agent('db1') }).toEqual({
      servicemode: 'mysql-8d9a4b2924dc40baa792d742cb786345-servicemode',
      primaryhost: 'mysql-8d9a4b2924dc40baa792d742cb786345-primaryhost',
      secondaryhost: 'mysql-8d9a4b2924dc40baa792d742cb786345-secondaryhost',
      members: 'mysql-8d9a4b2924dc40baa792d742cb786345-members',
      check: 'mysql-8d9a4b2924dc40baa792d742cb786345-10.0.21.5:3308-check',
      mode: 'mysql-8d9a4b2924dc40baa792d742cb786345-mode',
      master: 'mysql-8d9a4b2924dc40baa792d742cb786345-master',
      epoch: 'mysql-8d9a4b2924dc40baa792d742cb786345-epoch',
      policy: 'mysql-8d9a4b2924dc40baa792d742cb786345-policy',
      report: 'mysql-8d9a4b2924dc40baa792d742cb786345-report',
      topic: 'mysql-8d9a4b2924dc40baa792d742cb786345-topic',
      observers: 'mysql-8d9a4b2924dc40baa792d742cb786345-observers',
      opened: 'mysql-8d9a4b2924dc40baa792d742cb786345-opened',
      divergence: 'mysql-8d9a4b2924dc40baa792d742cb786345-divergence',
      request: 'mysql-8d9a4b2924dc40baa792d742cb786345-request',
      pause: 'mysql-8d9a4b2924dc40baa792d742cb786345-pause',
      leader: 'mysql-8d9a4b2924dc40baa792d742cb786345-leader',
      ioStopped: 'mysql-8d9a4b2924dc40baa792d742cb786345-10.0.21.5:3308-io-stopped',
      unfenced: 'mysql-8d9a4b2924dc40baa792d742cb786345-unfenced',
      life: 'mysql-8d9a4b2924dc40baa792d742cb786345-10.0.21.5:3308-life',
      complete: 'mysql-8d9a4b2924dc40baa792d742cb786345-complete',
      joining: 'mysql-8d9a4b2924dc40baa792d742cb786345-joining',
      agents: 'mysql-8d9a4b2924dc40baa792d742cb786345-agents',
      agent: 'mysql-8d9a4b2924dc40baa792d742cb786345-agent-db1',
    });
  });

  test('wake-ups go to channels beside the topic, which carries the message alone', () => {
    expect(channelsOf('mmm-switch-channel')).toEqual({
      message: 'mmm-switch-channel',
      decided: 'mmm-switch-channel-mmm',
      observed: 'mmm-switch-channel-mmm-seen',
    });
  });

  test('a pair is three strings and a set of its two hosts', () => {
    const { strings, members } = encodePair({ tag: 'x', uniqsign: U, primary: A, secondary: B }, 1);
    expect([...strings]).toEqual([
      ['mysql-8d9a4b2924dc40baa792d742cb786345-servicemode', '1'],
      ['mysql-8d9a4b2924dc40baa792d742cb786345-primaryhost', '10.0.21.5:3308'],
      ['mysql-8d9a4b2924dc40baa792d742cb786345-secondaryhost', '10.0.21.7:3308'],
    ]);
    expect(members).toEqual({
      key: 'mysql-8d9a4b2924dc40baa792d742cb786345-members',
      hosts: ['10.0.21.5:3308', '10.0.21.7:3308'],
    });
  });

  test('a healthy host', () => {
    const observation = anObservation({ host: A, atMs: AT_MS, connections: 12 });
    expect(Object.fromEntries(encodeObservation(observation))).toEqual({
      ping: '1',
      read_only: '0',
      repl_check: 'OK',
      delay_sec: '-1',
      conn_nums: '12',
      last_check: '1547610844',
      evidence: 'answered',
      code: '',
      error: '',
      observer: 'monitor-1',
      at_ms: '1547610844123',
      broke: '0',
      io: 'Yes',
      sql: 'Yes',
      gone_looks: '0',
      heard_ms: '',
      heartbeat_ms: '',
      uuid: '',
      started_sec: '',
      semi_sync: '',
      row_lease: '',
      row_armed: '',
      row_unfenced: '',
      row_number: '',
      row_id: '',
      row_active: '',
      opened_number: '',
      opened_id: '',
      opened_boot: '',
    });
  });

  test('a delayed, read-only host', () => {
    const observation = anObservation({ host: A, atMs: AT_MS, readOnly: true, delaySec: 17, connections: 0 });
    expect(Object.fromEntries(encodeObservation(observation))).toMatchObject({
      ping: '1',
      read_only: '1',
      repl_check: 'Delay 17 Seconds',
      delay_sec: '17',
      conn_nums: '0',
    });
  });

  test('a host whose replication is in error or was never set up', () => {
    const observation = anObservation({ readOnly: null, replicationOk: false, io: null, sql: null });
    expect(Object.fromEntries(encodeObservation(observation))).toMatchObject({
      ping: '1',
      read_only: '-1',
      repl_check: 'Error',
      delay_sec: '-1',
      io: '',
      sql: '',
    });
  });

  test.each(['refused', 'silent'] as const)('a %s host is the contract’s unreachable one', (kind) => {
    const observation = anObservation({ host: A, atMs: AT_MS, failure: kind, connectionBroke: true });
    expect(Object.fromEntries(encodeObservation(observation))).toEqual({
      ping: '0',
      read_only: '-1',
      repl_check: 'Error',
      delay_sec: '-1',
      conn_nums: '-1',
      last_check: '1547610844',
      evidence: kind,
      code: aFailure(kind).code,
      error: aFailure(kind).message,
      observer: 'monitor-1',
      at_ms: '1547610844123',
      broke: '1',
      io: '',
      sql: '',
      gone_looks: '0',
      heard_ms: '',
      heartbeat_ms: '',
      uuid: '',
      started_sec: '',
      semi_sync: '',
      row_lease: '',
      row_armed: '',
      row_unfenced: '',
      row_number: '',
      row_id: '',
      row_active: '',
      opened_number: '',
      opened_id: '',
      opened_boot: '',
    });
  });

  test.each(['saturated', 'auth-refused', 'blocked', 'server-error'] as const)(
    'a host that is %s is up for a Perl identify, with everything else unknown',
    (kind) => {
      expect(Object.fromEntries(encodeObservation(anObservation({ failure: kind })))).toMatchObject({
        ping: '1',
        read_only: '-1',
        repl_check: 'Error',
        delay_sec: '-1',
        conn_nums: '-1',
        evidence: kind,
      });
    },
  );

  test('an error of many lines becomes one of at most 500 characters', () => {
    const failure: Failure = { kind: 'silent', code: 'X', message: `a\nb\t${'c'.repeat(600)}` };
    const observation: Observation = { ...anObservation(), evidence: { kind: 'silent', failure } };
    const error = encodeObservation(observation).get('error');
    expect(error).toMatch(/^a b c+$/);
    expect(error).toHaveLength(500);
  });

  test('roles, master, epoch, policy and report', () => {
    expect(Object.fromEntries(encodeRoles(ROLES))).toEqual({ active: '10.0.21.5:3308', passive: '10.0.21.7:3308' });
    expect(Object.fromEntries(encodeMaster(ROLES))).toEqual({ host: '10.0.21.5:3308' });
    expect(Object.fromEntries(encodeEpoch(DECISION))).toEqual({
      number: '7',
      id: '747dda0fc5754935bd33f370d1bf23a6',
      active: '10.0.21.5:3308',
      reasons: '["the other is silent"]',
      at_ms: '1547610844123',
      changed_ms: '',
      preferred: '',
      force: '0',
      request: '',
      back_ms: '',
      other_number: '',
      passive: '10.0.21.7:3308',
      lease: '',
      durability: 'async',
    });
    expect(Object.fromEntries(encodeEpoch({ ...DECISION, terms: TERMS }))).toMatchObject({
      changed_ms: '1547610844123',
      preferred: '10.0.21.7:3308',
      force: '1',
      request: 'r1',
      back_ms: '1547610844123',
      other_number: '4',
    });
    expect(Object.fromEntries(encodePolicy(NO_SAFETY))).toEqual({
      drain_timeout: 'none',
      fencing: 'none',
      lease_ms: '3000',
      lease_agents: '2',
      on_unreachable: 'promote',
      fence_hook: '',
      durability: 'async',
      on_divergence: 'merge',
    });
    expect(Object.fromEntries(encodePolicy({ ...NO_SAFETY, drainTimeoutSec: 60 }))).toMatchObject({
      drain_timeout: '60',
    });
    expect(Object.fromEntries(encodeReport(REPORT))).toEqual({
      number: '7',
      id: '747dda0fc5754935bd33f370d1bf23a6',
      outcome: 'opened',
      host: '10.0.21.5:3308',
      why: 'drained',
      at_ms: '1547610844123',
      agent: 'db1',
      no_writer_ms: '42',
    });
    expect(encodeReport({ ...REPORT, noWriterMs: null }).get('no_writer_ms')).toBe('');
  });

  test("an operator's request and pause", () => {
    expect(Object.fromEntries(encodeRequest(REQUEST))).toEqual({
      id: 'r1',
      kind: 'switchover',
      to: '10.0.21.7:3308',
      by: 'root@db1',
      epoch_number: '7',
      epoch_id: '747dda0fc5754935bd33f370d1bf23a6',
      at_ms: '1547610844123',
      expires_ms: '1547610844123',
      within_sec: '30',
      refused: '',
    });
    expect(Object.fromEntries(encodePause({ by: 'root@db1', atMs: AT_MS, untilMs: null }))).toEqual({
      by: 'root@db1',
      at_ms: '1547610844123',
      until_ms: '',
    });
  });

  test('a divergence, counted or not', () => {
    expect(Object.fromEntries(encodeDivergence(DIVERGENCE))).toEqual({
      host: '10.0.21.5:3308',
      count: '37',
      gtids: '1-1-500',
      cut: '0',
      end_file: 'binlog.000002',
      end_pos: '900',
      epoch_number: '7',
      epoch_id: '747dda0fc5754935bd33f370d1bf23a6',
      at_ms: '1547610844123',
    });
    const unknown = encodeDivergence({ ...DIVERGENCE, count: null, gtids: '', end: null, epoch: null });
    expect(Object.fromEntries(unknown)).toMatchObject({ count: 'unknown', end_file: '', end_pos: '', epoch_id: '' });
  });

  test('the message is the one a Perl agent splits', () => {
    expect(encodeMessage({ roles: ROLES, uniqsign: U })).toBe(
      'active: 10.0.21.5:3308, passive: 10.0.21.7:3308, uniqsign: 8d9a4b2924dc40baa792d742cb786345',
    );
  });
});

describe('there and back', () => {
  test('any observation comes back as it went', () => {
    const kinds: (Failure['kind'] | undefined)[] = [
      undefined,
      'saturated',
      'auth-refused',
      'blocked',
      'server-error',
      'refused',
      'silent',
    ];
    const observations = fc.record({
      failure: fc.constantFrom(...kinds),
      readOnly: fc.constantFrom(true, false, null),
      replicationOk: fc.boolean(),
      delaySec: fc.nat(),
      connections: fc.integer({ min: -1, max: 100_000 }),
      io: fc.constantFrom('Yes' as const, 'No' as const, 'Connecting' as const, null),
      sql: fc.constantFrom('Yes' as const, 'No' as const, 'Connecting' as const, null),
      atMs: fc.integer({ min: 1e12, max: 4e12 }),
      observer: fc.string(),
      connectionBroke: fc.boolean(),
      goneLooks: fc.nat(),
      hearing: fc.option(fc.record({ silentMs: fc.nat(), heartbeatMs: fc.nat() })),
    });
    fc.assert(
      fc.property(observations, ({ failure, ...rest }) => {
        const observation = anObservation({ host: A, ...rest, ...(failure === undefined ? {} : { failure }) });
        expect(decodeObservation(A, encodeObservation(observation))).toEqual({ value: observation, garbage: null });
      }),
    );
  });

  test('roles, epoch, policy, report and message come back as they went', () => {
    expect(decodeRoles(encodeRoles(ROLES)).value).toEqual(ROLES);
    for (const terms of [TERMS, NO_TERMS, { ...TERMS, lease: 'finite' }, { ...NO_TERMS, lease: 'endless' }] as const) {
      expect(decodeEpoch(encodeEpoch({ ...DECISION, terms })).value).toEqual({
        epoch: EPOCH,
        atMs: AT_MS,
        reasons: DECISION.reasons,
        terms,
        roles: terms.lease === null ? null : ROLES,
      });
    }
    for (const divergence of [
      DIVERGENCE,
      { ...DIVERGENCE, count: null, gtids: '', end: null, epoch: null },
      { ...DIVERGENCE, cut: true },
    ]) {
      expect(decodeDivergence(encodeDivergence(divergence))).toEqual({ value: divergence, garbage: null });
    }
    expect(decodeReport(encodeReport(REPORT)).value).toEqual({ ...REPORT, epoch: { number: 7, id: EPOCH.id } });
    for (const drainTimeoutSec of [null, 60]) {
      const policy = { ...NO_SAFETY, drainTimeoutSec };
      expect(decodePolicy(encodePolicy(policy)).value).toEqual(policy);
    }
    expect(decodeMessage(encodeMessage({ roles: ROLES, uniqsign: U })).value).toEqual({ roles: ROLES, uniqsign: U });
    for (const refused of [null, 'it came too late']) {
      expect(decodeRequest(encodeRequest({ ...REQUEST, refused })).value).toEqual({ ...REQUEST, refused });
    }
    for (const untilMs of [null, AT_MS]) {
      const pause = { by: 'dba', atMs: AT_MS, untilMs };
      expect(decodePause(encodePause(pause)).value).toEqual(pause);
    }
  });

  test('the terms of an epoch are unknown when an older mmm, or a Perl identify, wrote since', () => {
    const fields = encodeEpoch({ ...DECISION, terms: TERMS });
    const old = new Map([...fields].filter(([name]) => ['number', 'id', 'active', 'reasons', 'at_ms'].includes(name)));
    expect(decodeEpoch(old).value).toMatchObject({ epoch: EPOCH, terms: NO_TERMS });
    const none = new Map<string, string>();
    const raw: RawPair = {
      mode: encodeRoles(ROLES),
      epoch: fields,
      report: none,
      policy: none,
      opened: null,
      topic: null,
      divergence: none,
      request: none,
      pause: none,
      unfenced: null,
      complete: none,
      joining: none,
      lives: new Map(),
    };
    const take = tellingOnce(() => {});
    expect(boardOf(U, raw, take).terms).toEqual(TERMS);
    const mode = encodeRoles({ active: B, passive: A });
    expect(boardOf(U, { ...raw, mode }, take)).toMatchObject({ epoch: EPOCH, terms: NO_TERMS });
  });

  test('an IPv6 address keeps its colons in keys and message', () => {
    const { value: active } = decodeHost('[fd00::5]:3308');
    const { value: passive } = decodeHost('[fd00::7]:3308');
    if (active === null || passive === null) throw new Error('these are hosts');
    const roles = { active, passive };
    expect(decodeMessage(encodeMessage({ roles, uniqsign: U })).value?.roles).toEqual(roles);
    expect(keysOf(U).check(active)).toBe(`mysql-${U}-[fd00::5]:3308-check`);
  });
});

describe('what a Perl daemon writes', () => {
  test('a healthy host is an answer whose threads are unknown', () => {
    expect(decodeObservation(A, perl()).value).toEqual({
      host: A,
      atMs: 1_547_610_844_000,
      observer: '',
      connectionBroke: false,
      goneLooks: 0,
      evidence: {
        kind: 'answered',
        facts: {
          readOnly: false,
          replicationOk: true,
          delaySec: 0,
          connections: 12,
          io: null,
          sql: null,
          hearing: null,
          boot: null,
          row: null,
          hasSemiSync: null,
        },
      },
    });
  });

  test('a delayed host is delayed, by the field or by the words', () => {
    for (const delay_sec of ['17', '-1']) {
      const delayed = decodeObservation(A, perl({ repl_check: 'Delay 17 Seconds', delay_sec })).value;
      expect(delayed?.evidence).toMatchObject({ facts: { replicationOk: true, delaySec: 17 } });
    }
  });

  test('ping 0 is silence, never a refusal: there is no graded evidence behind it', () => {
    const dead = perl({ ping: '0', read_only: '-1', repl_check: 'Error', conn_nums: '-1' });
    expect(decodeObservation(A, dead).value?.evidence).toMatchObject({ kind: 'silent', failure: { code: 'perl' } });
  });

  test('fields that ours left behind do not count for what a Perl monitor wrote later', () => {
    const ours = encodeObservation(anObservation({ host: A, atMs: AT_MS, failure: 'refused', connectionBroke: true }));
    const later = new Map([...ours, ...perl({ last_check: '1547610900' })]);
    expect(decodeObservation(A, later).value).toMatchObject({
      evidence: { kind: 'answered', facts: { connections: 12, io: null } },
      connectionBroke: false,
      observer: '',
      atMs: 1_547_610_900_000,
    });
    const healthy = encodeObservation(anObservation({ host: A, atMs: AT_MS, observer: 'ours' }));
    expect(decodeObservation(A, new Map([...healthy, ...perl({ last_check: '1547610900' })])).value).toMatchObject({
      observer: '',
      atMs: 1_547_610_900_000,
    });
    const sameSecond = new Map([...ours, ...perl()]);
    expect(decodeObservation(A, sameSecond).value?.evidence.kind).toBe('answered');
  });

  test('a field of a newer version that is not known is passed over', () => {
    const newer = new Map([...encodeObservation(anObservation({ host: A })), ['evidence', 'telepathy']]);
    expect(decodeObservation(A, newer).value).toMatchObject({ evidence: { kind: 'answered' }, observer: '' });
  });

  test('its message may carry more pairs, in any order', () => {
    const message = `uniqsign: ${U}, active: ${A}, epoch: 7, passive: ${B}, `;
    expect(decodeMessage(message).value).toEqual({ roles: ROLES, uniqsign: U });
  });
});

describe('garbage', () => {
  test.each([
    ['ping', 'yes', 'ping is "yes", expected 0 or 1'],
    ['read_only', 'ON', 'read_only is "ON", expected 0 or 1 or -1'],
    ['repl_check', 'Fine', 'repl_check is "Fine", expected OK, Error or Delay N Seconds'],
    ['delay_sec', 'NULL', 'delay_sec is "NULL", expected a whole number from -1 on'],
    ['conn_nums', '1e9', 'conn_nums is "1e9", expected a whole number from -1 on'],
    ['last_check', '', 'last_check is missing'],
    ['last_check', '0', 'last_check is no date: 0'],
    ['last_check', '1547610844123', 'last_check is no date: 1547610844123'],
  ])('an observation with %s = "%s" is nothing, and says why', (name, value, why) => {
    expect(decodeObservation(A, perl({ [name]: value }))).toEqual({ value: null, garbage: why });
  });

  test.each(['ping', 'read_only', 'repl_check', 'delay_sec', 'conn_nums', 'last_check'])(
    'an observation without %s is nothing',
    (name) => {
      expect(decodeObservation(A, without(perl(), name))).toEqual({ value: null, garbage: `${name} is missing` });
    },
  );

  test('an absent key is nothing, and no trouble', () => {
    const nothing = { value: null, garbage: null };
    expect(decodeObservation(A, new Map())).toEqual(nothing);
    expect(decodeRoles(new Map())).toEqual(nothing);
    expect(decodeEpoch(new Map())).toEqual(nothing);
    expect(decodePolicy(new Map())).toEqual(nothing);
    expect(decodeReport(new Map())).toEqual(nothing);
    expect(decodeHost(null)).toEqual(nothing);
  });

  test.each([
    [{ active: A }, 'passive is missing'],
    [{ active: 'localhost', passive: B }, 'active is "localhost", expected ADDRESS:PORT'],
    [{ active: A, passive: A }, 'active and passive are the same host, 10.0.21.5:3308'],
  ])('roles %j are none', (fields, why) => {
    expect(decodeRoles(new Map(Object.entries(fields)))).toEqual({ value: null, garbage: why });
  });

  test.each([
    ['number', 'seven'],
    ['number', '0'],
    ['id', ''],
    ['active', 'nowhere'],
    ['at_ms', '12'],
  ])('an epoch with %s = "%s" is none', (name, value) => {
    const decoded = decodeEpoch(new Map([...encodeEpoch(DECISION), [name, value]]));
    expect(decoded.value).toBeNull();
    expect(decoded.garbage).toMatch(new RegExp(`^${name} is `));
  });

  test.each([
    ['', 'uniqsign is missing'],
    ['hello', 'uniqsign is missing'],
    [`active: ${A}, passive: ${B}: ${A}, uniqsign: ${U}`, 'passive is missing'],
    [`active: ${A}, passive: ${B}`, 'uniqsign is missing'],
    [`active: ${A}, uniqsign: ${U}`, 'passive is missing'],
    [`passive: ${B}, uniqsign: ${U}`, 'active is missing'],
    [`active: ${A}, passive: everywhere, uniqsign: ${U}`, 'passive is "everywhere", expected ADDRESS:PORT'],
    [`active: ${A}, passive: ${A}, uniqsign: ${U}`, `active and passive are the same host, ${A}`],
    [`active: ${A}, passive: ${B}, uniqsign: a b`, 'uniqsign is "a b"'],
  ])('the message "%s" is none', (message, why) => {
    const decoded = decodeMessage(message);
    expect(decoded.value).toBeNull();
    expect(decoded.garbage).toContain(why);
  });

  test('no text at all makes a decoder throw or believe half of it', () => {
    fc.assert(
      fc.property(fc.string(), fc.dictionary(fc.string(), fc.string()), (text, dictionary) => {
        const fields = new Map(Object.entries(dictionary));
        for (const decoded of [
          decodeMessage(text),
          decodeWake(text),
          decodeHost(text),
          decodeObservation(A, fields),
          decodeRoles(fields),
          decodeEpoch(fields),
          decodePolicy(fields),
          decodeReport(fields),
          decodeDivergence(fields),
        ]) {
          expect(decoded.value === null || decoded.garbage === null).toBe(true);
        }
      }),
    );
  });

  test('long foreign text is shortened and kept on one line', () => {
    const { garbage } = decodeObservation(A, perl({ ping: `\n${'x'.repeat(1000)}` }));
    expect(garbage).toMatch(/^ping is "\\nx+\.\.\.", expected 0 or 1$/);
    expect(garbage?.length).toBeLessThan(130);
  });

  test('a key named like roles but without a signature is no pair', () => {
    expect(uniqsignIn(`mysql-${U}-mode`).value).toBe(U);
    expect(uniqsignIn(`mysql-${U}-epoch`).value).toBe(U);
    const garbage = 'is named like the roles of a pair, without a signature';
    expect(uniqsignIn('mysql--mode')).toEqual({ value: null, garbage });
    expect(uniqsignIn('mysql-a b-epoch')).toEqual({ value: null, garbage });
    expect(uniqsignIn(`mysql-${U}-master`)).toEqual({ value: null, garbage: null });
  });
});

describe('a pair as an agent finds it', () => {
  const raw: RawPair = {
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
  const take = tellingOnce(() => {});

  test('one of a Perl identify has no epoch, the strictest policy, and is ours', () => {
    expect(foundPairOf(U, raw, { topic: 't', take })).toEqual({
      uniqsign: U,
      board: {
        roles: ROLES,
        epoch: null,
        report: null,
        opened: null,
        decidedAtMs: null,
        reasons: [],
        terms: NO_TERMS,
        divergence: null,
        request: null,
        pause: null,
        unfenced: null,
        lives: new Map(),
        complete: null,
        joining: null,
        announced: ROLES,
      },
      policy: NO_SAFETY,
    });
  });

  test('one of another topic is left alone', () => {
    expect(foundPairOf(U, { ...raw, topic: 'other' }, { topic: 't', take })).toBeNull();
    expect(foundPairOf(U, { ...raw, topic: 't' }, { topic: 't', take })).not.toBeNull();
  });

  test('a garbled policy is the strictest one', () => {
    const garbled = { ...raw, policy: new Map([['drain_timeout', 'soon']]) };
    expect(foundPairOf(U, garbled, { topic: 't', take })?.policy).toEqual(NO_SAFETY);
  });
});

test('a commit without an expected epoch is guarded by nothing, or by the very garbage that was looked at', () => {
  expect([...guardFor(EPOCH, new Map())]).toEqual([
    ['number', '7'],
    ['id', EPOCH.id],
  ]);
  expect(Object.fromEntries(guardFor(null, new Map()))).toEqual({ number: '', id: '' });
  expect(Object.fromEntries(guardFor(null, encodeEpoch(DECISION)))).toEqual({ number: '', id: '' });
  expect(Object.fromEntries(guardFor(null, new Map([['number', 'x']])))).toEqual({ number: 'x', id: '' });
});

test('garbage is told when it begins and when it changes, not at every look', () => {
  const told: string[] = [];
  const take = tellingOnce((key, why) => told.push(`${key}: ${why}`));
  const looks = ['bad', 'bad', 'worse', null, 'worse'];
  for (const garbage of looks) take('k', { value: null, garbage });
  expect(told).toEqual(['k: bad', 'k: worse', 'k: worse']);
});

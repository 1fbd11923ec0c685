// A decision and what comes of it, as they stand in Redis: the bytes, there and back, and garbage. With a safety on: wire-guard.test.ts.

import { describe, expect, test } from 'vitest';
import { NO_SAFETY, NO_TERMS, type Report, type Terms } from '../../src/core/decision.ts';
import type { Divergence } from '../../src/core/divergence.ts';
import type { Request } from '../../src/core/request.ts';
import { boardOf } from '../../src/store/wire.ts';
import {
  decodeDivergence,
  decodeEpoch,
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
import { decodeMessage, encodeMessage } from '../../src/store/wire-message.ts';
import { decodePause, decodeRequest, encodePause, encodeRequest } from '../../src/store/wire-operator.ts';
import { A, AT_MS, B, DECISION, EPOCH, RAW, ROLES, U } from '../support/texts.ts';

const TERMS: Terms = {
  changedAtMs: AT_MS,
  preferred: B,
  force: true,
  requestId: 'r1',
  backAtMs: AT_MS,
  lease: null,
  durability: 'lossless',
  otherNumber: 4,
  longestLeaseMs: 9_000,
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
  saved: 'saved in a file',
};

describe('the bytes in Redis', () => {
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
      longest_lease_ms: '',
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
      longest_lease_ms: '9000',
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
      saved: 'saved in a file',
    });
    const unknown = encodeDivergence({ ...DIVERGENCE, saved: null, count: null, gtids: '', end: null, epoch: null });
    expect(Object.fromEntries(unknown)).toMatchObject({ count: 'unknown', end_file: '', end_pos: '', epoch_id: '' });
  });
});

describe('there and back', () => {
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
    const raw = { ...RAW, epoch: fields };
    const take = tellingOnce(() => {});
    expect(boardOf(U, raw, take).terms).toEqual(TERMS);
    const mode = encodeRoles({ active: B, passive: A });
    expect(boardOf(U, { ...raw, mode }, take)).toMatchObject({ epoch: EPOCH, terms: NO_TERMS });
  });
});

describe('garbage', () => {
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

// What a monitor found, as it stands in Redis: the bytes, there and back, what a Perl monitor writes, and garbage.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Failure, Observation } from '../../src/core/observation.ts';
import { decodeObservation, encodeObservation } from '../../src/store/wire-observations.ts';
import { aFailure, anObservation } from '../support/build.ts';
import { A, AT_MS } from '../support/texts.ts';

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
      row_generation: '',
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
      row_generation: '',
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
});

describe('what a Perl monitor writes', () => {
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

  test('long foreign text is shortened and kept on one line', () => {
    const { garbage } = decodeObservation(A, perl({ ping: `\n${'x'.repeat(1000)}` }));
    expect(garbage).toMatch(/^ping is "\\nx+\.\.\.", expected 0 or 1$/);
    expect(garbage?.length).toBeLessThan(130);
  });
});

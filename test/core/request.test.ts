// What speaks against an operator's request, from what the monitors see.

import { describe, expect, test } from 'vitest';
import { rolesWith } from '../../src/core/pair.ts';
import { objections } from '../../src/core/request.ts';
import { anObservation, aPair, NOW_MS, PRIMARY, SECONDARY } from '../support/build.ts';

type Look = NonNullable<Parameters<typeof anObservation>[0]>;

const PAIR = aPair();

/** The primary is active and well, the secondary replicates. */
function against(
  kind: 'switchover' | 'failover',
  seen: { primary?: Look | null; secondary?: Look | null; to?: typeof PRIMARY } = {},
) {
  const { primary = {}, secondary = { readOnly: true }, to = SECONDARY } = seen;
  return objections(
    { kind, to },
    {
      pair: PAIR,
      roles: rolesWith(PAIR, PRIMARY),
      observations: {
        primary: primary && anObservation(primary),
        secondary: secondary && anObservation({ host: SECONDARY, ...secondary }),
      },
      nowMs: NOW_MS,
    },
  );
}

describe('a switchover', () => {
  test('of a healthy pair meets none', () => {
    expect(against('switchover')).toEqual([]);
  });

  test.each<[string, Parameters<typeof against>[1], string]>([
    ['who is active', { to: PRIMARY }, `${PRIMARY} is the active already`],
    ['who is not of the pair', { to: '10.9.9.9:1' }, '10.9.9.9:1 is not of this pair'],
    ['who is dead', { secondary: { failure: 'refused' } }, `${SECONDARY} does not answer`],
    ['who lags', { secondary: { delaySec: 7 } }, `${SECONDARY} is 7 s behind ${PRIMARY}`],
    ['who stopped applying', { secondary: { sql: 'No' } }, 'does not replicate'],
    ['who replicates with an error', { secondary: { replicationOk: false } }, 'does not replicate'],
    ['whom nobody has looked at', { secondary: null }, 'does a monitor run?'],
    ['whom nobody has looked at for a while', { secondary: { atMs: NOW_MS - 10_001 } }, 'last observed 10 s ago'],
  ])('is refused to a host %s', (_name, seen, why) => {
    const said = against('switchover', seen);
    expect(said).toHaveLength(1);
    expect(said[0]).toContain(why);
  });

  test.each(['silent', 'saturated'] as const)('is refused while the active is %s', (failure) => {
    expect(against('switchover', { primary: { failure } })[0]).toContain('a switchover needs both hosts');
  });

  test('names everything that speaks against it', () => {
    expect(against('switchover', { primary: { failure: 'silent' }, secondary: { delaySec: 7 } })).toHaveLength(2);
  });

  test('needs no names of threads, which a Perl monitor does not know', () => {
    expect(against('switchover', { secondary: { observer: '', io: null, sql: null } })).toEqual([]);
  });
});

describe('a forced failover', () => {
  test.each<[string, Parameters<typeof against>[1]]>([
    ['the active is gone', { primary: { failure: 'silent' } }],
    ['replication is broken', { secondary: { replicationOk: false, sql: 'No' } }],
    ['it is behind', { secondary: { delaySec: 3600 } }],
    ['it is to be the active already', { to: PRIMARY }],
    ['nobody knows of the active', { primary: null }],
  ])('is possible when %s', (_name, seen) => {
    expect(against('failover', seen)).toEqual([]);
  });

  test('is refused to a host that does not answer', () => {
    expect(against('failover', { secondary: { failure: 'silent' } })).toHaveLength(1);
  });
});

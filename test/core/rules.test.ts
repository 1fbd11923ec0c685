import { describe, expect, test } from 'vitest';
import { elect, factsOf, type HostFacts, RULES, UNREACHABLE } from '../../src/core/rules.ts';

/** A healthy passive or active that nobody uses. */
function facts(over: Partial<HostFacts> = {}): HostFacts {
  return {
    unreachable: false,
    readOnly: false,
    replicationError: false,
    delayed: false,
    connections: 'none',
    ...over,
  };
}

describe('the rule table', () => {
  test('reads as the contract does, row by row', () => {
    const dump = RULES.map((rule) => `${rule.number} ${rule.applies}: ${rule.code}: ${rule.sentence}`);
    expect(dump).toEqual([
      '1 always: unreachable: unreachable',
      '2 both reachable: read-only-and-delayed: read only and delayed',
      '3 both reachable: both-in-error-and-unused: replication is in error on both hosts and no application is connected to it',
      '4 both reachable: delayed: delayed',
      '5 both reachable: clients-elsewhere: no application is connected to it and some are connected to the other host',
    ]);
  });

  test.each<[string, Partial<HostFacts>, Partial<HostFacts>, string | null]>([
    ['a healthy host beside a healthy one is a candidate', {}, {}, null],
    ['an unreachable host is barred by rule 1', { unreachable: true }, {}, 'unreachable'],
    ['read only alone bars nobody', { readOnly: true }, {}, null],
    ['read only and delayed is rule 2, before rule 4', { readOnly: true, delayed: true }, {}, 'read-only-and-delayed'],
    ['writable and delayed is rule 4', { delayed: true }, {}, 'delayed'],
    ['an error on one side bars nobody', { replicationError: true }, {}, null],
    [
      'errors on both sides bar the unused one by rule 3, before rule 4',
      { replicationError: true, delayed: true },
      { replicationError: true, connections: 'some' },
      'both-in-error-and-unused',
    ],
    [
      'errors on both sides do not bar the one that is used',
      { replicationError: true, connections: 'some' },
      { replicationError: true },
      null,
    ],
    [
      'errors on both sides do not bar one whose use is unknown',
      { replicationError: true, connections: 'unknown' },
      { replicationError: true },
      null,
    ],
    ['an unused host beside a used one is rule 5', {}, { connections: 'some' }, 'clients-elsewhere'],
    ['an unused host beside one of unknown use is a candidate', {}, { connections: 'unknown' }, null],
    [
      'a host of unknown use beside a used one is a candidate',
      { connections: 'unknown' },
      { connections: 'some' },
      null,
    ],
    [
      'a sole survivor that is read only, delayed and in error is a candidate',
      { readOnly: true, delayed: true, replicationError: true },
      { unreachable: true, replicationError: true, connections: 'some' },
      null,
    ],
  ])('%s', (_name, host, other, code) => {
    expect(elect(facts(host), facts(other)).obstacles.primary?.code ?? null).toBe(code);
    expect(elect(facts(other), facts(host)).obstacles.secondary?.code ?? null).toBe(code);
  });
});

describe('the election', () => {
  test('of two candidates the primary wins', () => {
    expect(elect(facts(), facts()).winner).toBe('primary');
  });

  test('the only candidate wins, whichever it is', () => {
    expect(elect(facts(), UNREACHABLE).winner).toBe('primary');
    expect(elect(UNREACHABLE, facts()).winner).toBe('secondary');
  });

  test('without a candidate nobody wins', () => {
    expect(elect(UNREACHABLE, UNREACHABLE).winner).toBeNull();
  });
});

describe('the five facts of an observation', () => {
  const seen = {
    readOnly: false,
    replicationOk: true,
    delaySec: 0,
    connections: 0,
    io: null,
    sql: null,
    hearing: null,
    boot: null,
    row: null,
    hasSemiSync: null,
  } as const;

  test('come from what the board carries', () => {
    expect(factsOf(seen)).toEqual(facts());
    expect(factsOf({ ...seen, readOnly: true, replicationOk: false, delaySec: 1, connections: 1 })).toEqual(
      facts({ readOnly: true, replicationError: true, delayed: true, connections: 'some' }),
    );
  });

  test('what is unknown is not made up', () => {
    expect(factsOf({ ...seen, readOnly: null, connections: -1 })).toEqual(facts({ connections: 'unknown' }));
  });
});

// The lease's say about a silent active: what agents report, second by second, and what follows of it.

import { describe, expect, test } from 'vitest';
import type { AgentRecord, Renewal } from '../../src/core/agents.ts';
import type { Life } from '../../src/core/decision.ts';
import { leaseWaitMs } from '../../src/core/lease.ts';
import { judgeLease, type Renewals, watchRenewals } from '../../src/core/verdict.ts';
import { PRIMARY, SECONDARY } from '../support/build.ts';

const LEASE_MS = 3_000;
const WAIT_MS = leaseWaitMs(LEASE_MS);
const ARMED: Life = { uuid: 'u', startedSec: 1, cameUpReadOnly: true, armed: true };
const EPOCH = { number: 7, id: 'e7', active: PRIMARY };

function says(name: string, outcome: Renewal['outcome'], successes: number, over: Partial<Renewal> = {}): AgentRecord {
  return { name, reachesBoth: false, renewal: { host: PRIMARY, epoch: EPOCH, outcome, successes, ...over } };
}

type Case = Partial<Parameters<typeof judgeLease>[0]>;

/** An identify that looks at the records each second. */
function aWatch() {
  let renewals: Renewals | null = null;
  let nowMs = 1_000_000;
  const board = { epoch: EPOCH, unfenced: false, lives: new Map([[PRIMARY, ARMED]]) };
  const look = (records: readonly AgentRecord[], over: Case = {}, gapMs = 1_000) => {
    nowMs += gapMs;
    renewals = watchRenewals(renewals, records, nowMs);
    const evidence = {
      board,
      active: PRIMARY,
      opened: EPOCH,
      goneToAll: true,
      records,
      renewals,
      leaseMs: LEASE_MS,
      nowMs,
    };
    return judgeLease({ ...evidence, ...over });
  };
  /** The same records for so long; the last verdict. */
  const lasts = (ms: number, records: readonly AgentRecord[], over: Case = {}) => {
    let verdict = look(records, over, 0);
    for (let passedMs = 0; passedMs < ms; passedMs += 500) verdict = look(records, over, 500);
    return verdict;
  };
  return { look, lasts, board };
}

describe('the lease of a silent active', () => {
  test('is over when an agent tried in vain and nobody succeeded for a lease, the EVENT and a margin', () => {
    const { look, lasts } = aWatch();
    expect(look([says('one', 'renewed', 5)]).kind).toBe('renewed');
    const failed = [says('one', 'failed', 5)];
    expect(lasts(WAIT_MS - 500, failed).kind).toBe('unknown');
    const { kind, why } = lasts(1_000, failed);
    expect(kind).toBe('closed');
    expect(why).toContain('tried by one');
  });

  test('is over, too, for an identify that looks each three seconds, and a bit', () => {
    const { look } = aWatch();
    look([says('one', 'renewed', 5)]);
    const kinds = [1, 2].map(() => look([says('one', 'failed', 5)], {}, 3_100).kind);
    expect(kinds).toEqual(['unknown', 'closed']);
    expect(look([says('one', 'renewed', 6)], {}, 3_100).kind).toBe('renewed');
  });

  test('runs as long as one of several agents renews it', () => {
    const { look } = aWatch();
    for (let count = 5; count < 30; count++) {
      const records = [says('one', 'failed', 5), says('two', 'renewed', count)];
      expect(look(records).kind).toBe('renewed');
    }
  });

  test('says no more that the host lives when whoever renewed it failed since, however lately the success was seen', () => {
    const { look } = aWatch();
    look([says('one', 'renewed', 5), says('two', 'renewed', 8)]);
    expect(look([says('one', 'failed', 6), says('two', 'renewed', 8)], {}, 900).kind).toBe('renewed');
    expect(look([says('one', 'failed', 6), says('two', 'failed', 8)], {}, 100).kind).toBe('unknown');
    expect(look([says('one', 'failed', 6), says('two', 'renewed', 9)], {}, 100).kind).toBe('renewed');
    // What an agent says of the other host is another matter, and so is one that reached it and lacked a witness.
    expect(look([says('one', 'failed', 6, { host: SECONDARY })], {}, 100).kind).toBe('renewed');
    expect(look([says('one', 'failed', 6), says('two', 'no-witness', 9)], {}, 100).kind).toBe('renewed');
  });

  test('says for a moment after a renewal that the host lives, and then nothing', () => {
    const { look } = aWatch();
    look([says('one', 'renewed', 5)]);
    const records = [says('one', 'renewed', 6)];
    expect(look(records).kind).toBe('renewed');
    expect(look(records, {}, 1_500).kind).toBe('renewed');
    expect(look(records, {}, 1).kind).toBe('unknown');
  });

  test('of the other host proves nothing', () => {
    const { look } = aWatch();
    const records = [says('one', 'failed', 0), says('two', 'renewed', 5, { host: SECONDARY })];
    expect(look(records).kind).toBe('unknown');
  });

  const FAILED = [says('one', 'failed', 5)];
  const LONG_MS = 3 * WAIT_MS;
  const older = { number: 6, id: 'e6' };

  test.each<[string, readonly AgentRecord[], Case, 'closed' | 'unknown']>([
    ['an agent that tried in vain', FAILED, {}, 'closed'],
    ['no record at all: an emptied board, agents that lost only Redis', [], {}, 'unknown'],
    ['agents that know of no open host', [{ name: 'one', reachesBoth: true, renewal: null }], {}, 'unknown'],
    ['an agent that only lacks a witness', [says('one', 'no-witness', 5)], {}, 'unknown'],
    ['one that tried in vain beside one without a witness', [...FAILED, says('two', 'no-witness', 5)], {}, 'closed'],
    ['an endless lease', [...FAILED, says('two', 'endless', 0)], {}, 'unknown'],
    ['an attempt under an older opening', [says('one', 'failed', 5, { epoch: older })], {}, 'unknown'],
    [
      'an older opening, when nobody has seen a newer one',
      [says('one', 'failed', 5, { epoch: older })],
      { opened: null },
      'closed',
    ],
    [
      'an older opening, when another agent knows a newer one',
      [says('one', 'failed', 5, { epoch: older }), says('two', 'no-witness', 5)],
      { opened: null },
      'unknown',
    ],
    [
      'another opening of the same number',
      [says('one', 'failed', 5, { epoch: { number: 7, id: 'x' } })],
      {},
      'unknown',
    ],
    [
      "an attempt under a decision above the board's",
      [says('one', 'failed', 5, { epoch: { number: 8, id: 'e8' } })],
      {},
      'unknown',
    ],
    ['a monitor that reaches it', FAILED, { goneToAll: false }, 'unknown'],
    ['a pair that is unfenced', FAILED, { board: { ...aWatch().board, unfenced: true } }, 'unknown'],
    ['a pair of which nobody knows', FAILED, { board: { ...aWatch().board, unfenced: null } }, 'unknown'],
    [
      'a host that was not armed',
      FAILED,
      { board: { ...aWatch().board, lives: new Map([[PRIMARY, { ...ARMED, armed: false }]]) } },
      'unknown',
    ],
    ['a host of which nothing is noted', FAILED, { board: { ...aWatch().board, lives: new Map() } }, 'unknown'],
    ['an attempt at the other host', [says('one', 'failed', 5, { host: SECONDARY })], {}, 'unknown'],
  ])('with %s', (_name, records, over, verdict) => {
    expect(aWatch().lasts(LONG_MS, records, over).kind).toBe(verdict);
  });

  test('counts as renewed just now when this process has only begun', () => {
    const { lasts } = aWatch();
    expect(lasts(WAIT_MS - 500, FAILED).kind).not.toBe('closed');
    expect(lasts(1_000, FAILED).kind).toBe('closed');
  });

  test('counts as renewed just now when this process did not look for a while', () => {
    const { look, lasts } = aWatch();
    lasts(LONG_MS, FAILED);
    expect(look(FAILED, {}, 9_001).kind).not.toBe('closed');
    expect(lasts(WAIT_MS - 500, FAILED).kind).not.toBe('closed');
    expect(lasts(1_000, FAILED).kind).toBe('closed');
  });

  test('is renewed, too, by an agent that restarted and counts anew, or has gone from the board since', () => {
    const { look, lasts } = aWatch();
    lasts(LONG_MS, [says('one', 'failed', 5), says('two', 'failed', 9)]);
    expect(look([says('one', 'failed', 5), says('two', 'renewed', 1)]).kind).toBe('renewed');
    expect(lasts(WAIT_MS - 500, FAILED).kind).not.toBe('closed');
    expect(lasts(1_000, FAILED).kind).toBe('closed');
  });

  test('is not renewed by an agent that restarts and has no success yet', () => {
    const { look, lasts } = aWatch();
    lasts(LONG_MS, [says('one', 'failed', 5), says('two', 'failed', 9)]);
    expect(look([says('one', 'failed', 5), says('two', 'failed', 0)]).kind).toBe('closed');
  });
});

// What a pair with a safety on puts into Redis: the bytes, there and back, and garbage.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Decision, NO_SAFETY, NO_TERMS, type Policy } from '../../src/core/decision.ts';
import type { SeenRow } from '../../src/core/observation.ts';
import { foundPairOf, type RawPair } from '../../src/store/wire.ts';
import { decodeComplete, encodeComplete, encodeJoining } from '../../src/store/wire-complete.ts';
import { decodeEpoch, decodePolicy, encodeEpoch, encodePolicy } from '../../src/store/wire-decisions.ts';
import { tellingOnce } from '../../src/store/wire-fields.ts';
import { agentsOf, decodeLife, decodeUnfenced, encodeAgent, encodeLife } from '../../src/store/wire-guard.ts';
import { decodeObservation, encodeObservation } from '../../src/store/wire-observations.ts';
import { anObservation, aPair, NOW_MS, PRIMARY, SECONDARY } from '../support/build.ts';

const U = aPair().uniqsign;
const DECISION: Decision = {
  roles: { active: PRIMARY, passive: SECONDARY },
  epoch: { number: 7, id: 'x', active: PRIMARY },
  reasons: [],
  atMs: NOW_MS,
  terms: { ...NO_TERMS, lease: 'finite' },
  unfenced: null,
};
const LEASE: Policy = {
  drainTimeoutSec: null,
  fencing: 'lease',
  leaseMs: 4_000,
  leaseAgents: 1,
  onUnreachable: 'wait',
  fenceHook: '/usr/local/sbin/fence',
  durability: 'lossless',
  onDivergence: 'hold',
};
const ROW: SeenRow = {
  epoch: { number: 8, id: 'y', active: SECONDARY },
  opened: { number: 7, id: 'x', startedSec: 1_699_999_998 },
  unfenced: true,
  generation: 12,
  lease: 'finite',
  armed: false,
};
const BOOT = { uuid: 'u-1', startedSec: 1_699_999_998 };
const RENEWAL = { host: PRIMARY, epoch: { number: 7, id: 'x' }, outcome: 'renewed', successes: 3 } as const;
const NONE = new Map<string, string>();

function changed(fields: ReadonlyMap<string, string>, name: string, value: string): Map<string, string> {
  return new Map([...fields, [name, value]]);
}

describe('the bytes in Redis', () => {
  test('a row and a boot stand beside the contract’s fields', () => {
    expect(Object.fromEntries(encodeObservation(anObservation({ row: ROW, boot: BOOT })))).toMatchObject({
      uuid: 'u-1',
      started_sec: '1699999998',
      row_lease: 'finite',
      row_armed: '0',
      row_unfenced: '1',
      row_number: '8',
      row_id: 'y',
      row_active: SECONDARY,
      opened_number: '7',
      opened_id: 'x',
      opened_boot: '1699999998',
      row_generation: '12',
    });
  });

  test('the complete set and a joiner', () => {
    const writer = { host: PRIMARY, ...BOOT };
    expect(Object.fromEntries(encodeComplete({ generation: 4, writer, hosts: [writer] }))).toEqual({
      generation: '4',
      writer: `{"host":"${PRIMARY}","uuid":"u-1","started_sec":"1699999998"}`,
      hosts: `[{"host":"${PRIMARY}","uuid":"u-1","started_sec":"1699999998"}]`,
    });
    const untilMs = NOW_MS + 0.7;
    expect(Object.fromEntries(encodeJoining({ host: SECONDARY, by: 'db1', generation: 5, untilMs }))).toEqual({
      host: SECONDARY,
      by: 'db1',
      generation: '5',
      until_ms: String(NOW_MS),
    });
  });

  test('an epoch, a policy, a life and an agent', () => {
    expect(Object.fromEntries(encodeEpoch(DECISION))).toMatchObject({ passive: SECONDARY, lease: 'finite' });
    expect(Object.fromEntries(encodePolicy(LEASE))).toEqual({
      drain_timeout: 'none',
      fencing: 'lease',
      lease_ms: '4000',
      lease_agents: '1',
      on_unreachable: 'wait',
      fence_hook: '/usr/local/sbin/fence',
      durability: 'lossless',
      on_divergence: 'hold',
    });
    const life = { ...BOOT, cameUpReadOnly: true, armed: false };
    expect(Object.fromEntries(encodeLife(life))).toEqual({
      uuid: 'u-1',
      started_sec: '1699999998',
      came_up_read_only: '1',
      armed: '0',
    });
    expect(encodeAgent({ name: 'db1', reachesBoth: false, renewal: null })).toBe('0 {"both":"0"}');
    expect(encodeAgent({ name: 'db1', reachesBoth: true, renewal: RENEWAL })).toBe(
      `1 {"both":"1","host":"${PRIMARY}","epoch_number":"7","epoch_id":"x","outcome":"renewed","successes":"3"}`,
    );
  });
});

describe('there and back', () => {
  test.each([
    ['whole', ROW],
    ['never claimed or opened', { ...ROW, epoch: null, opened: null }],
    ['endless', { ...ROW, lease: 'endless', unfenced: false }],
    ['without a lease', { ...ROW, lease: 'none', armed: true }],
    ['none', null],
  ] as const)('a row that is %s', (_name, row) => {
    for (const boot of [BOOT, { ...BOOT, uuid: '' }, null]) {
      const observation = anObservation({ row, boot });
      expect(decodeObservation(PRIMARY, encodeObservation(observation))).toEqual({ value: observation, garbage: null });
    }
  });

  test('a policy', () => {
    for (const policy of [LEASE, { ...LEASE, fenceHook: null }, { ...NO_SAFETY, drainTimeoutSec: 60 }]) {
      expect(decodePolicy(encodePolicy(policy))).toEqual({ value: policy, garbage: null });
    }
  });

  test('a complete set, and nothing of one that makes no sense', () => {
    const writer = { host: PRIMARY, ...BOOT };
    const other = { host: SECONDARY, uuid: '', startedSec: -1 };
    const complete = { generation: 4, writer, hosts: [other, writer] };
    expect(decodeComplete(encodeComplete(complete))).toEqual({ value: complete, garbage: null });
    const again = { ...writer, startedSec: 1 };
    for (const hosts of [[], [other], [again, other], [writer, again]]) {
      expect(decodeComplete(encodeComplete({ ...complete, hosts }))).toMatchObject({
        value: null,
        garbage: expect.stringMatching(/^its hosts /),
      });
    }
  });

  test('a row that ours left behind does not count for what a Perl monitor wrote later', () => {
    const ours = encodeObservation(anObservation({ row: ROW, boot: BOOT }));
    const later = changed(ours, 'last_check', String(NOW_MS / 1000 + 60));
    expect(decodeObservation(PRIMARY, later).value?.evidence).toMatchObject({ facts: { row: null, boot: null } });
  });

  test('an older monitor tells of no generation', () => {
    const fields = encodeObservation(anObservation({ row: ROW, boot: BOOT }));
    const old = new Map([...fields].filter(([name]) => name !== 'row_generation'));
    expect(decodeObservation(PRIMARY, old).value).toEqual(
      anObservation({ row: { ...ROW, generation: 0 }, boot: BOOT }),
    );
  });

  test('an older monitor tells of no row and no boot', () => {
    const fields = [...encodeObservation(anObservation({ row: ROW, boot: BOOT }))];
    const old = new Map(fields.filter(([name]) => !/^(row_|opened_|uuid|started_sec)/.test(name)));
    expect(decodeObservation(PRIMARY, old)).toEqual({ value: anObservation(), garbage: null });
  });
});

describe('garbage', () => {
  test.each([
    ['row_lease', 'long', 'row_lease is "long", expected none or endless or finite'],
    ['row_armed', '', 'row_armed is missing'],
    ['row_unfenced', 'x', 'row_unfenced is "x", expected 0 or 1'],
    ['row_number', 'x', 'row_number is "x", expected a whole number from 1 on'],
    ['row_id', '', 'row_id is missing'],
    ['row_active', 'x', 'row_active is "x", expected ADDRESS:PORT'],
    ['opened_number', '0', 'opened_number is "0", expected a whole number from 1 on'],
    ['opened_id', '', 'opened_id is missing'],
    ['opened_boot', '', 'opened_boot is missing'],
    ['row_generation', '-1', 'row_generation is "-1", expected a whole number from 0 on'],
  ])('a row with %s = "%s" is not taken for none: the observation is nothing', (name, value, why) => {
    const fields = encodeObservation(anObservation({ row: ROW, boot: BOOT }));
    expect(decodeObservation(PRIMARY, changed(fields, name, value))).toEqual({ value: null, garbage: why });
  });

  test.each([
    ['lease', 'long', 'lease is "long", expected finite or endless'],
    ['passive', '', 'passive is missing'],
    ['passive', PRIMARY, `active and passive are the same host, ${PRIMARY}`],
  ])('a guarded epoch with %s = "%s" is none', (name, value, why) => {
    expect(decodeEpoch(changed(encodeEpoch(DECISION), name, value))).toEqual({ value: null, garbage: why });
  });

  test.each([
    ['fencing', 'semisync'],
    ['lease_ms', '0'],
    ['lease_agents', ''],
    ['on_unreachable', 'perhaps'],
    ['fence_hook', 'rm -rf'],
  ])('a policy with %s = "%s" is none', (name, value) => {
    const { value: policy, garbage } = decodePolicy(changed(encodePolicy(LEASE), name, value));
    expect(policy).toBeNull();
    expect(garbage).toMatch(new RegExp(`^${name} is `));
  });

  test('a guarded pair without a policy that can be understood grants least, waits longest and opens nothing beside a silent host', () => {
    const raw: RawPair = {
      mode: NONE,
      epoch: encodeEpoch(DECISION),
      report: NONE,
      policy: NONE,
      opened: null,
      topic: null,
      divergence: NONE,
      request: NONE,
      pause: NONE,
      unfenced: null,
      complete: NONE,
      joining: NONE,
      lives: new Map(),
    };
    const take = tellingOnce(() => {});
    for (const policy of [NONE, changed(encodePolicy(LEASE), 'lease_ms', 'x')]) {
      expect(foundPairOf(U, { ...raw, policy }, { topic: 't', take })).toMatchObject({
        policy: { ...NO_SAFETY, fencing: 'lease', leaseMs: 3_000, onUnreachable: 'wait' },
        policyIsKnown: false,
        longestLeaseMs: 300_000,
      });
    }
    const policy = encodePolicy({ ...LEASE, leaseMs: 7_000 });
    expect(foundPairOf(U, { ...raw, policy }, { topic: 't', take })).toMatchObject({
      policy: { leaseMs: 7_000 },
      policyIsKnown: true,
      longestLeaseMs: 7_000,
    });
    const epoch = encodeEpoch({ ...DECISION, terms: { ...DECISION.terms, longestLeaseMs: 9_000 } });
    expect(foundPairOf(U, { ...raw, epoch, policy }, { topic: 't', take })?.longestLeaseMs).toBe(9_000);
  });

  test.each([
    ['', 'is no record of an agent: ""'],
    ['2 {}', 'is no record of an agent: "2 {}"'],
    ['1 []', 'is no record of an agent: "1 []"'],
    ['1 {x}', 'JSON'],
    ['1 {"both":"1","host":"here"}', 'host is "here"'],
    [encodeAgent({ name: 'db1', reachesBoth: true, renewal: RENEWAL }).replace('renewed', 'forgot'), 'outcome is'],
  ])('the record "%s" is of no agent', (value, why) => {
    const told: string[] = [];
    const take = tellingOnce((key, what) => told.push(`${key}: ${what}`));
    expect(agentsOf(U, new Map([['db1', value]]), take)).toEqual([]);
    expect(told).toHaveLength(1);
    expect(told[0]).toContain(`mysql-${U}-agent-db1: `);
    expect(told[0]).toContain(why);
  });

  test('no text at all makes a decoder throw or believe half of it', () => {
    fc.assert(
      fc.property(fc.string(), fc.dictionary(fc.string(), fc.string()), fc.json(), (text, dictionary, json) => {
        const fields = new Map(Object.entries(dictionary));
        const row = encodeObservation(anObservation({ row: ROW, boot: BOOT }));
        const seen = decodeObservation(PRIMARY, changed(row, 'row_number', text));
        for (const decoded of [decodeLife(fields), decodeUnfenced(text), decodePolicy(fields), seen]) {
          expect(decoded.value === null || decoded.garbage === null).toBe(true);
        }
        const take = tellingOnce(() => {});
        agentsOf(U, new Map([['db1', `1 ${json}`]]), take);
        agentsOf(U, new Map([['db1', text]]), take);
      }),
    );
  });
});

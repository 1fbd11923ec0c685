// What every Store must do for a pair with a safety on. Run beside conformance.ts on memory and on a real Redis.

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { AGENT_TTL_MS, type AgentRecord } from '../../src/core/agents.ts';
import type { Complete, Joining, Member } from '../../src/core/complete.ts';
import { type Decision, type Life, NO_SAFETY, NO_TERMS, type Policy } from '../../src/core/decision.ts';
import type { Host } from '../../src/core/pair.ts';
import type { Store } from '../../src/store/store.ts';
import { NOW_MS, PRIMARY, SECONDARY } from '../support/build.ts';
import { type Bench, decision, KEY, report, TOPIC, U } from './conformance.ts';

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

const LIFE: Life = { uuid: 'u-1', startedSec: 1_700_000_000, cameUpReadOnly: true, armed: false };

const A: Member = { host: PRIMARY, uuid: 'u-1', startedSec: 1_700_000_000 };
const B: Member = { host: SECONDARY, uuid: '', startedSec: 1_700_000_100 };

/** A set as it stands in Redis. */
const RAW_SET = {
  generation: '3',
  writer: `{"host":"${PRIMARY}","uuid":"u-1","started_sec":"1700000000"}`,
  hosts: `[{"host":"${PRIMARY}","uuid":"u-1","started_sec":"1700000000"}]`,
};

function complete(generation: number, ...others: readonly Member[]): Complete {
  return { generation, writer: A, hosts: [A, ...others] };
}

function joining(generation: number, over: Partial<Joining> = {}): Joining {
  return { host: SECONDARY, by: 'db1', generation, untilMs: NOW_MS + 5_000, ...over };
}

function guarded(number: number, active: Host = PRIMARY, over: Partial<Decision> = {}): Decision {
  return { ...decision(number, active), terms: { ...NO_TERMS, lease: 'endless' }, unfenced: true, ...over };
}

function agent(name: string, over: Partial<AgentRecord> = {}): AgentRecord {
  return { name, reachesBoth: true, renewal: null, ...over };
}

export function guardConformance(name: string, makeBench: () => Promise<Bench>): void {
  describe(name, () => {
    let bench: Bench;
    let store: Store;
    let garbage: string[];

    beforeEach(async () => {
      bench = await makeBench();
      ({ store, garbage } = bench.open(TOPIC));
    });

    afterEach(async () => {
      await bench.close();
    });

    describe('a decision', () => {
      test('wakes our agents and tells Perl nothing: neither keys nor message', async () => {
        const published = await bench.hear([TOPIC, `${TOPIC}-mmm`]);
        expect(await store.commitRoles(U, guarded(1), null, LEASE)).toEqual({ kind: 'committed' });
        expect(await store.board(U)).toEqual({
          roles: { active: PRIMARY, passive: SECONDARY },
          epoch: decision(1).epoch,
          report: null,
          opened: null,
          decidedAtMs: NOW_MS,
          reasons: ['a test'],
          terms: { ...NO_TERMS, lease: 'endless' },
          divergence: null,
          request: null,
          pause: null,
          unfenced: true,
          lives: new Map(),
          complete: null,
          joining: null,
          announced: null,
        });
        expect(await bench.hash(`${KEY}-mode`)).toEqual({});
        expect(await bench.hash(`${KEY}-master`)).toEqual({});
        await vi.waitFor(() => expect(published).toEqual([`${TOPIC}-mmm ${U}`]));
        await bench.publish(TOPIC, 'end');
        await vi.waitFor(() => expect(published).toEqual([`${TOPIC}-mmm ${U}`, `${TOPIC} end`]));
      });

      test('is found by its epoch alone, once, with its whole policy', async () => {
        await store.commitRoles(U, guarded(1), null, LEASE);
        const found = await store.findPairs();
        const known = { policy: LEASE, policyIsKnown: true, longestLeaseMs: LEASE.leaseMs };
        expect(found).toEqual([{ uniqsign: U, board: await store.board(U), ...known }]);
        expect(await store.findPair(U)).toEqual(found[0]);
        await store.announce(U, decision(1).epoch, decision(1).roles);
        expect(await store.findPairs()).toHaveLength(1);
      });

      test('counts for the roles, whatever a Perl identify writes', async () => {
        const terms = { ...NO_TERMS, lease: 'finite', force: true } as const;
        await store.commitRoles(U, guarded(1, PRIMARY, { terms }), null, LEASE);
        await bench.putHash(`${KEY}-mode`, { active: SECONDARY, passive: PRIMARY });
        expect(await store.board(U)).toMatchObject({
          roles: { active: PRIMARY, passive: SECONDARY },
          reasons: ['a test'],
          terms,
          announced: { active: SECONDARY, passive: PRIMARY },
        });
      });

      test('sets the flag or leaves it, in the same step', async () => {
        const flag = async () => (await store.board(U)).unfenced;
        expect(await flag()).toBeNull();
        await store.commitRoles(U, guarded(1, PRIMARY, { unfenced: null }), null, LEASE);
        expect(await flag()).toBeNull();
        await store.commitRoles(U, guarded(2), decision(1).epoch, LEASE);
        expect(await flag()).toBe(true);
        await store.commitRoles(U, guarded(3, PRIMARY, { unfenced: null }), decision(2).epoch, LEASE);
        expect(await flag()).toBe(true);
        await store.commitRoles(U, guarded(4, PRIMARY, { unfenced: false }), decision(3).epoch, LEASE);
        expect(await flag()).toBe(false);
        const late = await store.commitRoles(U, guarded(9), decision(3).epoch, LEASE);
        expect([late.kind, await flag()]).toEqual(['conflict', false]);
      });

      test('that is not guarded is made as ever, and leaves nothing of a guarded one', async () => {
        await store.commitRoles(U, guarded(1), null, LEASE);
        await store.commitRoles(U, decision(2, SECONDARY), decision(1).epoch, NO_SAFETY);
        const roles = { active: SECONDARY, passive: PRIMARY };
        expect(await store.board(U)).toMatchObject({ roles, announced: roles, terms: NO_TERMS });
        expect((await store.findPair(U))?.policy).toEqual(NO_SAFETY);
        expect(await bench.hash(`${KEY}-master`)).toEqual({ host: SECONDARY });
      });

      test('for a board that is written anew takes away what an older one says of the last writer', async () => {
        await store.commitRoles(U, guarded(1), null, LEASE);
        expect(await store.putOpened(U, decision(1).epoch, PRIMARY)).toBe(true);
        await store.commitRoles(U, guarded(2), decision(1).epoch, LEASE);
        expect((await store.board(U)).opened).toBe(PRIMARY);
        await store.commitRoles(U, { ...guarded(3), anew: true }, decision(2).epoch, LEASE);
        expect((await store.board(U)).opened).toBeNull();
      });

      test('of an older mmm, without the new fields, is not guarded, and its policy is none', async () => {
        await bench.putHash(`${KEY}-epoch`, {
          number: '7',
          id: 'x',
          active: PRIMARY,
          reasons: '[]',
          at_ms: `${NOW_MS}`,
        });
        await bench.putHash(`${KEY}-mode`, { active: PRIMARY, passive: SECONDARY });
        await bench.putHash(`${KEY}-policy`, { drain_timeout: '60' });
        expect(await store.findPair(U)).toMatchObject({
          board: { epoch: { number: 7 }, roles: { active: PRIMARY }, terms: NO_TERMS, unfenced: null },
          policy: { ...NO_SAFETY, drainTimeoutSec: 60 },
        });
        expect(garbage).toEqual([]);
      });
    });

    describe('an agent', () => {
      test('announces what it opened, by the contract, for the present epoch only (S3)', async () => {
        await store.commitRoles(U, guarded(2), null, LEASE);
        const published = await bench.hear([TOPIC, `${TOPIC}-mmm`]);
        const { epoch, roles } = decision(2);
        expect(await store.announce(U, decision(1).epoch, roles)).toBe(false);
        expect(await store.announce(U, { ...epoch, id: 'another' }, roles)).toBe(false);
        expect(await bench.hash(`${KEY}-mode`)).toEqual({});
        expect(await store.announce(U, epoch, roles)).toBe(true);
        expect(await bench.hash(`${KEY}-mode`)).toEqual({ active: PRIMARY, passive: SECONDARY });
        expect(await bench.hash(`${KEY}-master`)).toEqual({ host: PRIMARY });
        expect((await store.board(U)).announced).toEqual(roles);
        await bench.publish(TOPIC, 'end');
        const message = `${TOPIC} active: ${PRIMARY}, passive: ${SECONDARY}, uniqsign: ${U}`;
        await vi.waitFor(() => expect(published).toEqual([message, `${TOPIC} end`]));
      });

      test('sets and clears the flag, for the present epoch only (S3)', async () => {
        const { epoch } = decision(2);
        await store.commitRoles(U, guarded(2), null, LEASE);
        expect(await store.putUnfenced(U, decision(1).epoch, false)).toBe(false);
        expect(await store.putUnfenced(U, { ...epoch, id: 'another' }, false)).toBe(false);
        expect((await store.board(U)).unfenced).toBe(true);
        expect(await store.putUnfenced(U, epoch, false)).toBe(true);
        expect((await store.findPair(U))?.board.unfenced).toBe(false);
        expect(await store.putUnfenced(U, epoch, true)).toBe(true);
        expect((await store.board(U)).unfenced).toBe(true);
      });

      test('does not take garbage for a flag', async () => {
        await bench.putString(`${KEY}-unfenced`, 'no');
        expect((await store.board(U)).unfenced).toBeNull();
        expect(garbage).toEqual([`${KEY}-unfenced: is "no", expected 0 or 1`]);
      });

      test('notes the life of each host, for the present epoch only (S3), and later decisions keep it', async () => {
        await store.commitRoles(U, guarded(1), null, LEASE);
        expect(await store.putLife(U, decision(2).epoch, PRIMARY, LIFE)).toBe(false);
        expect((await store.board(U)).lives).toEqual(new Map());
        const other = { ...LIFE, uuid: '', armed: true, cameUpReadOnly: false };
        expect(await store.putLife(U, decision(1).epoch, PRIMARY, LIFE)).toBe(true);
        expect(await store.putLife(U, decision(1).epoch, SECONDARY, other)).toBe(true);
        await store.commitRoles(U, guarded(2, SECONDARY), decision(1).epoch, LEASE);
        const lives = new Map([
          [PRIMARY, LIFE],
          [SECONDARY, other],
        ]);
        expect((await store.board(U)).lives).toEqual(lives);
        expect((await store.findPairs())[0]?.board.lives).toEqual(lives);
        await store.putLife(U, decision(2).epoch, SECONDARY, LIFE);
        expect((await store.board(U)).lives.get(SECONDARY)).toEqual(LIFE);
      });

      test('sees no life of a host that is none of the pair, nor garbage, which is told', async () => {
        await store.commitRoles(U, guarded(1), null, LEASE);
        await store.putLife(U, decision(1).epoch, '10.0.0.9:3308', LIFE);
        await store.putReport(U, report({ ...decision(1).epoch, active: '10.0.0.9:3308' }));
        await store.putLife(U, decision(1).epoch, PRIMARY, LIFE);
        await bench.putHash(`${KEY}-${PRIMARY}-life`, { armed: 'perhaps' });
        expect((await store.board(U)).lives).toEqual(new Map());
        expect(garbage).toEqual([`${KEY}-${PRIMARY}-life: armed is "perhaps", expected 0 or 1`]);
      });
    });

    describe('the complete set', () => {
      const { epoch } = decision(2);
      const another = { ...epoch, id: 'another' };

      beforeEach(async () => {
        await store.commitRoles(U, guarded(2), null, LEASE);
      });

      const found = async () => {
        const { complete, joining } = await store.board(U);
        return { complete, joining };
      };

      test('is unknown until somebody writes it, and is then found with the pair', async () => {
        expect(await found()).toEqual({ complete: null, joining: null });
        expect(await store.putComplete(U, epoch, null, complete(1))).toBe(true);
        expect(await found()).toEqual({ complete: complete(1), joining: null });
        expect(await store.putComplete(U, epoch, 1, complete(2, B))).toBe(true);
        expect((await store.findPair(U))?.board.complete).toEqual(complete(2, B));
        expect((await store.findPairs())[0]?.board.complete).toEqual(complete(2, B));
      });

      test('is changed under the present epoch only (S3)', async () => {
        expect(await store.putComplete(U, decision(1).epoch, null, complete(1))).toBe(false);
        expect(await store.putComplete(U, another, null, complete(1))).toBe(false);
        expect(await found()).toEqual({ complete: null, joining: null });
        await store.putComplete(U, epoch, null, complete(1));
        expect(await store.putComplete(U, another, 1, complete(2, B))).toBe(false);
        expect(await store.beginJoin(U, another, 1, joining(2))).toBe(false);
        expect(await found()).toEqual({ complete: complete(1), joining: null });
      });

      test('is changed from the generation that was looked at only', async () => {
        expect(await store.putComplete(U, epoch, 1, complete(2))).toBe(false);
        await store.putComplete(U, epoch, null, complete(7));
        expect(await store.putComplete(U, epoch, null, complete(8, B))).toBe(false);
        expect(await store.putComplete(U, epoch, 6, complete(8, B))).toBe(false);
        expect(await store.putComplete(U, epoch, 8, complete(9, B))).toBe(false);
        expect(await store.beginJoin(U, epoch, 6, joining(8))).toBe(false);
        expect(await found()).toEqual({ complete: complete(7), joining: null });
      });

      test('takes a joiner for its next generation, with writer and hosts as they are, and then the host itself', async () => {
        await store.putComplete(U, epoch, null, complete(3));
        expect(await store.beginJoin(U, epoch, 3, joining(4))).toBe(true);
        expect(await found()).toEqual({ complete: complete(4), joining: joining(4) });
        expect(await store.putComplete(U, epoch, 4, complete(4, B))).toBe(true);
        expect(await found()).toEqual({ complete: complete(4, B), joining: null });
      });

      test('has no joiner where there is no set', async () => {
        expect(await store.beginJoin(U, epoch, 0, joining(1))).toBe(false);
        expect(await found()).toEqual({ complete: null, joining: null });
        expect(await bench.hash(`${KEY}-joining`)).toEqual({});
      });

      test('is won by one of several who take its next generation', async () => {
        const other = bench.open(TOPIC).store;
        await store.putComplete(U, epoch, null, complete(1, B));
        for (let from = 1; from <= 60; from += 3) {
          const shrinks = () => other.putComplete(U, epoch, from, complete(from + 1));
          expect((await Promise.all([store.beginJoin(U, epoch, from, joining(from + 1)), shrinks()])).sort()).toEqual([
            false,
            true,
          ]);
          const second = joining(from + 2, { by: 'db2' });
          const begun = await Promise.all([
            store.beginJoin(U, epoch, from + 1, joining(from + 2)),
            other.beginJoin(U, epoch, from + 1, second),
          ]);
          expect([...begun].sort()).toEqual([false, true]);
          expect((await found()).joining).toEqual(begun[1] ? second : joining(from + 2));
          expect(await store.putComplete(U, epoch, from + 2, complete(from + 3, B))).toBe(true);
        }
      });

      test('outlives a decision, and not a board that is written anew, in the same step', async () => {
        await store.putComplete(U, epoch, null, complete(5, B));
        await store.beginJoin(U, epoch, 5, joining(6));
        await store.commitRoles(U, guarded(3, SECONDARY), epoch, LEASE);
        expect(await found()).toEqual({ complete: complete(6, B), joining: joining(6) });
        const anew = { ...guarded(4), anew: true } as const;
        const late = await store.commitRoles(U, anew, epoch, LEASE);
        expect([late.kind, await found()]).toEqual(['conflict', { complete: complete(6, B), joining: joining(6) }]);
        await store.commitRoles(U, anew, decision(3).epoch, LEASE);
        expect(await found()).toEqual({ complete: null, joining: null });
      });

      test('goes with a decision that finds it of a time in which nobody kept it, and leaves the last writer', async () => {
        await store.putOpened(U, epoch, PRIMARY);
        await store.putComplete(U, epoch, null, complete(5, B));
        await store.beginJoin(U, epoch, 5, joining(6));
        await store.commitRoles(U, { ...guarded(3), voidsComplete: true }, epoch, LEASE);
        expect(await found()).toEqual({ complete: null, joining: null });
        expect((await store.board(U)).opened).toBe(PRIMARY);
      });

      test.each([
        ['that is half written', { generation: '3' }, 'writer is missing'],
        ['whose writer is none', { ...RAW_SET, writer: '"db1"' }, 'host is missing'],
        ['that lacks its writer', { ...RAW_SET, hosts: '[]' }, 'its hosts lack the one that commits: "[]"'],
        [
          'without a generation',
          { ...RAW_SET, generation: '0' },
          'generation is "0", expected a whole number from 1 on',
        ],
      ])('%s is none, which is told, and is replaced', async (_name, raw, why) => {
        await bench.putHash(`${KEY}-complete`, raw);
        expect((await found()).complete).toBeNull();
        expect(garbage).toEqual([`${KEY}-complete: ${why}`]);
        expect(await store.putComplete(U, another, null, complete(9))).toBe(false);
        expect(await store.putComplete(U, epoch, null, complete(9))).toBe(true);
        expect((await found()).complete).toEqual(complete(9));
      });

      test('does not take garbage for a joiner', async () => {
        await bench.putHash(`${KEY}-joining`, { host: SECONDARY, by: 'db1', generation: '4', until_ms: 'soon' });
        expect((await found()).joining).toBeNull();
        expect(garbage).toEqual([`${KEY}-joining: until_ms is "soon", expected a whole number from 0 on`]);
      });
    });

    describe('agents', () => {
      const { epoch } = decision(1);
      const last = { decision: guarded(2), expected: epoch, policy: LEASE };

      test('stand beside each other by name, each with its last word, until ten seconds after it', async () => {
        const renewal = { host: PRIMARY, epoch: { number: 1, id: 'id1' }, outcome: 'renewed', successes: 7 } as const;
        await store.putAgent(U, agent('db2'));
        await bench.open(TOPIC).store.putAgent(U, agent('db1 (second)', { reachesBoth: false }));
        await store.putAgent('another', agent('db3'));
        await store.putAgent(U, agent('db2', { renewal }));
        expect(await store.agents(U)).toEqual([
          agent('db1 (second)', { reachesBoth: false }),
          agent('db2', { renewal }),
        ]);
        const ttlMs = await bench.ttlMs(`${KEY}-agent-db2`);
        expect(ttlMs).toBeGreaterThan(AGENT_TTL_MS / 2);
        expect(ttlMs).toBeLessThanOrEqual(AGENT_TTL_MS);
        expect(await store.agents('nobody')).toEqual([]);
      });

      test.each(['renewed', 'endless', 'failed', 'no-witness'] as const)(
        'tell of a renewal that was %s',
        async (outcome) => {
          const renewal = { host: SECONDARY, epoch: { number: 3, id: 'x' }, outcome, successes: 0 };
          await store.putAgent(U, agent('db1', { renewal }));
          expect(await store.agents(U)).toEqual([agent('db1', { renewal })]);
        },
      );

      test('that are gone are forgotten, their names, too', async () => {
        await store.putAgent(U, agent('db1'));
        await store.putAgent(U, agent('db2'));
        await bench.forget(`${KEY}-agent-db1`);
        expect(await store.agents(U)).toEqual([agent('db2')]);
        await store.putAgent(U, agent('db2'));
        expect(await bench.members(`${KEY}-agents`)).toEqual(['db2']);
      });

      test('whose record is garbage are none, and told, and the others are read', async () => {
        await store.putAgent(U, agent('db1'));
        await store.putAgent(U, agent('db2'));
        await bench.forget(`${KEY}-agent-db1`);
        await bench.putString(`${KEY}-agent-db1`, 'me');
        expect(await store.agents(U)).toEqual([agent('db2')]);
        expect(garbage).toEqual([`${KEY}-agent-db1: is no record of an agent: "me"`]);
      });

      test('leave without a word while another one stays that reaches both servers', async () => {
        await store.commitRoles(U, guarded(1, PRIMARY, { unfenced: false }), null, LEASE);
        await store.putAgent(U, agent('db1'));
        await store.putAgent(U, agent('db2'));
        const before = await store.board(U);
        expect(await store.leave(U, 'db1', last)).toBe('others');
        expect(await store.board(U)).toEqual(before);
        expect(await store.agents(U)).toEqual([agent('db2')]);
        expect(await bench.members(`${KEY}-agents`)).toEqual(['db2']);
        expect(await bench.string(`${KEY}-agent-db1`)).toBeNull();
      });

      test('commit what must be when they are the last, in the same step', async () => {
        await store.commitRoles(U, guarded(1, PRIMARY, { unfenced: false }), null, LEASE);
        await store.putReport(U, report(epoch));
        await store.putAgent(U, agent('db1'));
        const published = await bench.hear([TOPIC, `${TOPIC}-mmm`]);
        expect(await store.leave(U, 'db1', last)).toBe('last');
        expect(await store.agents(U)).toEqual([]);
        expect(await store.findPair(U)).toMatchObject({
          board: { epoch: guarded(2).epoch, terms: { lease: 'endless' }, unfenced: true, report: null },
          policy: LEASE,
        });
        await bench.publish(TOPIC, 'end');
        await vi.waitFor(() => expect(published).toContain(`${TOPIC} end`));
        expect(published).toContain(`${TOPIC}-mmm ${U}`);
        expect(published).toHaveLength(2);
      });

      test.each([
        [
          'does not reach both servers',
          async () => void (await store.putAgent(U, agent('db2', { reachesBoth: false }))),
        ],
        ['has run out', async () => void (await bench.forget(`${KEY}-agent-db2`))],
        [
          'was not written for some seconds',
          async () => {
            const record = (await bench.string(`${KEY}-agent-db2`)) ?? '';
            await bench.forget(`${KEY}-agent-db2`);
            await bench.putString(`${KEY}-agent-db2`, record);
          },
        ],
        [
          'is garbage',
          async () => {
            await bench.forget(`${KEY}-agent-db2`);
            await bench.putString(`${KEY}-agent-db2`, '10');
          },
        ],
      ])('are the last although there is another record, when that %s', async (_name, spoil) => {
        await store.commitRoles(U, guarded(1), null, LEASE);
        await store.putAgent(U, agent('db2'));
        await store.putAgent(U, agent('db1'));
        await spoil();
        expect(await store.leave(U, 'db1', last)).toBe('last');
      });

      test('change nothing else when the decision was replaced meanwhile (S3)', async () => {
        await store.commitRoles(U, guarded(1, PRIMARY, { unfenced: false }), null, LEASE);
        await store.putAgent(U, agent('db1'));
        const before = await store.board(U);
        expect(await store.leave(U, 'db1', { ...last, expected: { ...epoch, id: 'another' } })).toBe('conflict');
        expect(await store.board(U)).toEqual(before);
        expect(await store.agents(U)).toEqual([]);
        // It reads the board and tries again.
        expect(await store.leave(U, 'db1', last)).toBe('last');
      });

      test('that leave at once are one who leaves others and one who is the last', async () => {
        const other = bench.open(TOPIC).store;
        await store.commitRoles(U, guarded(1), null, LEASE);
        for (let number = 1; number <= 20; number++) {
          await store.putAgent(U, agent('db1'));
          await store.putAgent(U, agent('db2'));
          const next = { expected: decision(number).epoch, policy: LEASE, decision: guarded(number + 1) };
          const left = await Promise.all([store.leave(U, 'db1', next), other.leave(U, 'db2', next)]);
          expect([...left].sort()).toEqual(['last', 'others']);
          expect((await store.board(U)).epoch).toEqual(guarded(number + 1).epoch);
        }
      });
    });
  });
}

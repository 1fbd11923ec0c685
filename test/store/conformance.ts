// What every Store must do, whatever is behind it. Run on memory by memory.test.ts and on a real Redis by redis.real.test.ts.

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Decision, NO_SAFETY, NO_TERMS, type Policy, type Report } from '../../src/core/decision.ts';
import type { Divergence } from '../../src/core/divergence.ts';
import type { Epoch, Host } from '../../src/core/pair.ts';
import type { Request } from '../../src/core/request.ts';
import type { Store, WakeEvent } from '../../src/store/store.ts';
import { anObservation, aPair, aSighting, NOW_MS, PRIMARY, SECONDARY } from '../support/build.ts';

/** What is behind the store, so that a test can put text there and see what stands there. */
export interface Bench {
  open(topic: string): { readonly store: Store; readonly garbage: string[] };
  putHash(key: string, fields: Readonly<Record<string, string>>): Promise<void>;
  hash(key: string): Promise<Record<string, string>>;
  putString(key: string, value: string): Promise<void>;
  string(key: string): Promise<string | null>;
  members(key: string): Promise<string[]>;
  /** How long a string is there yet. */
  ttlMs(key: string): Promise<number>;
  /** As if its time had run out. */
  forget(key: string): Promise<void>;
  publish(channel: string, payload: string): Promise<void>;
  /** Everything published on these channels from now on, as `channel payload`. */
  hear(channels: readonly string[]): Promise<string[]>;
  close(): Promise<void>;
}

const PAIR = aPair();
export const U = PAIR.uniqsign;
export const KEY = `mysql-${U}`;
export const TOPIC = 'mmm-switch-channel';
const STRICT: Policy = NO_SAFETY;

export function decision(number: number, active: Host = PRIMARY, id = `id${number}`): Decision {
  const passive = active === PRIMARY ? SECONDARY : PRIMARY;
  return {
    roles: { active, passive },
    epoch: { number, id, active },
    reasons: ['a test'],
    atMs: NOW_MS,
    terms: NO_TERMS,
    unfenced: null,
  };
}

export function report(epoch: Epoch, over: Partial<Report> = {}): Report {
  return {
    epoch: { number: epoch.number, id: epoch.id },
    outcome: 'opened',
    host: epoch.active,
    why: '',
    atMs: NOW_MS,
    agent: 'db1',
    noWriterMs: null,
    ...over,
  };
}

export function conformance(name: string, makeBench: () => Promise<Bench>): void {
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

    describe('the pair', () => {
      test('is written once, and then only what the configuration changed', async () => {
        expect(await store.describe(PAIR, 1)).toBe(true);
        expect(await bench.string(`${KEY}-servicemode`)).toBe('1');
        expect(await bench.string(`${KEY}-primaryhost`)).toBe(PRIMARY);
        expect(await bench.string(`${KEY}-secondaryhost`)).toBe(SECONDARY);
        expect(await bench.members(`${KEY}-members`)).toEqual([PRIMARY, SECONDARY]);
        expect(await store.describe(PAIR, 1)).toBe(false);
        expect(await store.describe(PAIR, 0)).toBe(true);
        expect(await bench.string(`${KEY}-servicemode`)).toBe('0');
      });

      test('forgets a host that was replaced', async () => {
        await store.describe(PAIR, 1);
        const moved = aPair({ secondary: '10.0.0.9:3308' });
        expect(await store.describe(moved, 1)).toBe(true);
        expect(await bench.members(`${KEY}-members`)).toEqual([PRIMARY, '10.0.0.9:3308']);
        expect(await bench.string(`${KEY}-secondaryhost`)).toBe('10.0.0.9:3308');
      });
    });

    describe('observations', () => {
      test('of both hosts come back, and a host that nobody looked at has none', async () => {
        const seen = [anObservation(), anObservation({ host: SECONDARY, failure: 'silent' })];
        await store.putSighting(U, aSighting(seen));
        expect(await store.observations(U, [PRIMARY, SECONDARY, '10.0.0.9:3308'])).toEqual([...seen, null]);
      });

      test('leave nothing of an earlier one behind', async () => {
        await store.putSighting(U, aSighting([anObservation({ failure: 'refused', connectionBroke: true })]));
        await store.putSighting(U, aSighting([anObservation()]));
        expect(await bench.hash(`${KEY}-${PRIMARY}-check`)).toMatchObject({
          ping: '1',
          code: '',
          error: '',
          broke: '0',
        });
        expect(await store.observations(U, [PRIMARY])).toEqual([anObservation()]);
      });

      test('of a Perl monitor are understood', async () => {
        await bench.putHash(`${KEY}-${PRIMARY}-check`, {
          ping: '1',
          read_only: '1',
          repl_check: 'OK',
          delay_sec: '-1',
          conn_nums: '3',
          last_check: '1700000000',
        });
        const [seen] = await store.observations(U, [PRIMARY]);
        expect(seen?.evidence).toMatchObject({ kind: 'answered', facts: { readOnly: true, connections: 3 } });
      });

      test('that are garbage are none, and told once', async () => {
        const key = `${KEY}-${PRIMARY}-check`;
        await bench.putHash(key, { ping: 'perhaps' });
        expect(await store.observations(U, [PRIMARY])).toEqual([null]);
        expect(await store.observations(U, [PRIMARY])).toEqual([null]);
        expect(garbage).toEqual([`${key}: ping is "perhaps", expected 0 or 1`]);
      });

      test('of several monitors stand beside each other, and the last one is that of the contract', async () => {
        const look = (observer: string, over: Parameters<typeof anObservation>[0] = {}) =>
          aSighting([anObservation({ observer, ...over }), anObservation({ host: SECONDARY, observer })]);
        await store.putSighting(U, look('m2', { failure: 'silent', goneLooks: 3 }));
        await store.putSighting(U, look('m1'));
        expect(await store.sightings(U, [PRIMARY, SECONDARY])).toEqual([
          look('m1'),
          look('m2', { failure: 'silent', goneLooks: 3 }),
        ]);
        expect((await store.observations(U, [PRIMARY]))[0]?.observer).toBe('m1');
        // Each keeps one place.
        await store.putSighting(U, look('m2'));
        expect(await store.sightings(U, [PRIMARY, SECONDARY])).toEqual([look('m1'), look('m2')]);
      });

      test('of a monitor that has gone are forgotten', async () => {
        const at = (observer: string, atMs: number) => aSighting([anObservation({ observer, atMs })]);
        await store.putSighting(U, at('old', NOW_MS - 600_001));
        await store.putSighting(U, at('kept', NOW_MS - 600_000));
        await store.putSighting(U, at('new', NOW_MS));
        const names = (await store.sightings(U, [PRIMARY])).map(({ observer }) => observer);
        expect(names).toEqual(['kept', 'new']);
      });

      test('of a Perl monitor, or one that writes no sighting, are a sighting too', async () => {
        await store.putSighting(U, aSighting([anObservation({ observer: 'm1' })]));
        await bench.putHash(`${KEY}-${PRIMARY}-check`, {
          ping: '0',
          read_only: '-1',
          repl_check: 'Error',
          delay_sec: '-1',
          conn_nums: '-1',
          last_check: '1700000060',
        });
        const both = await store.sightings(U, [PRIMARY, SECONDARY]);
        expect(both.map(({ observer, againMs }) => [observer, againMs])).toEqual([
          ['', null],
          ['m1', 2_500],
        ]);
        expect(both[0]?.observations).toMatchObject([{ host: PRIMARY, evidence: { kind: 'silent' } }]);
      });

      test.each([
        ['no JSON', '1700000000000 {'],
        ['another shape', '1700000000000 {"hosts":7}'],
        ['a garbled observation', `1700000000000 {"hosts":{"${PRIMARY}":{"ping":"perhaps"}}}`],
      ])('that are %s do not keep the others from being read', async (_name, value) => {
        await store.putSighting(U, aSighting([anObservation({ observer: 'm1' })]));
        await bench.putHash(`${KEY}-observers`, { broken: value });
        const understood = (await store.sightings(U, [PRIMARY])).filter(({ observations }) => observations.length > 0);
        expect(understood.map(({ observer }) => observer)).toEqual(['m1']);
      });

      test('wake whoever listens for them', async () => {
        const published = await bench.hear([TOPIC, `${TOPIC}-mmm`, `${TOPIC}-mmm-seen`]);
        await store.putSighting(U, aSighting([anObservation()]));
        await vi.waitFor(() => expect(published).toEqual([`${TOPIC}-mmm-seen ${U}`]));
      });
    });

    describe('a decision', () => {
      test('is on an empty board wholly, with message and wake-up', async () => {
        const published = await bench.hear([TOPIC, `${TOPIC}-mmm`, `${TOPIC}-mmm-seen`]);
        expect(await store.commitRoles(U, decision(1), null, { ...NO_SAFETY, drainTimeoutSec: 60 })).toEqual({
          kind: 'committed',
        });
        expect(await bench.hash(`${KEY}-mode`)).toEqual({ active: PRIMARY, passive: SECONDARY });
        expect(await bench.hash(`${KEY}-master`)).toEqual({ host: PRIMARY });
        expect(await bench.hash(`${KEY}-policy`)).toMatchObject({ drain_timeout: '60', fencing: 'none' });
        expect(await bench.string(`${KEY}-topic`)).toBe(TOPIC);
        expect(await store.board(U)).toEqual({
          roles: { active: PRIMARY, passive: SECONDARY },
          epoch: { number: 1, id: 'id1', active: PRIMARY },
          report: null,
          opened: null,
          decidedAtMs: NOW_MS,
          reasons: ['a test'],
          terms: NO_TERMS,
          divergence: null,
          request: null,
          pause: null,
          unfenced: null,
          lives: new Map(),
          complete: null,
          joining: null,
          announced: { active: PRIMARY, passive: SECONDARY },
        });
        await vi.waitFor(() => expect(published).toHaveLength(2));
        expect(published.sort()).toEqual([
          `${TOPIC} active: ${PRIMARY}, passive: ${SECONDARY}, uniqsign: ${U}`,
          `${TOPIC}-mmm ${U}`,
        ]);
      });

      test('derived from an older epoch changes nothing and publishes nothing (S3)', async () => {
        await store.commitRoles(U, decision(1), null, STRICT);
        await store.commitRoles(U, decision(2, SECONDARY), decision(1).epoch, STRICT);
        const before = await store.board(U);
        const published = await bench.hear([TOPIC, `${TOPIC}-mmm`]);
        for (const expected of [decision(1).epoch, null, { ...decision(2).epoch, id: 'another' }, decision(3).epoch]) {
          const outcome = await store.commitRoles(U, decision(9), expected, { ...NO_SAFETY, drainTimeoutSec: 1 });
          expect(outcome).toEqual({ kind: 'conflict', board: before });
        }
        expect(await store.board(U)).toEqual(before);
        expect(await bench.hash(`${KEY}-policy`)).toMatchObject({ drain_timeout: 'none' });
        // Messages come in order, so this one shows that none came before it.
        await bench.publish(TOPIC, 'end');
        await vi.waitFor(() => expect(published).toEqual([`${TOPIC} end`]));
      });

      test('of two made at once is one alone', async () => {
        const other = bench.open(TOPIC).store;
        for (let number = 1; number <= 20; number++) {
          const expected = number === 1 ? null : (await store.board(U)).epoch;
          const outcomes = await Promise.all([
            store.commitRoles(U, decision(number, PRIMARY, `one${number}`), expected, STRICT),
            other.commitRoles(U, decision(number, SECONDARY, `two${number}`), expected, STRICT),
          ]);
          expect(outcomes.map(({ kind }) => kind).sort()).toEqual(['committed', 'conflict']);
          const { epoch, roles } = await store.board(U);
          const winner = outcomes[0].kind === 'committed' ? PRIMARY : SECONDARY;
          expect([epoch?.active, roles?.active]).toEqual([winner, winner]);
          expect((await bench.hash(`${KEY}-master`))['host']).toBe(winner);
        }
      });

      test('takes over from a Perl identify, which has no epoch', async () => {
        await bench.putHash(`${KEY}-mode`, { active: SECONDARY, passive: PRIMARY });
        const found = await store.board(U);
        expect(found).toMatchObject({ roles: { active: SECONDARY }, epoch: null, decidedAtMs: null });
        expect(await store.commitRoles(U, decision(1, SECONDARY), null, STRICT)).toEqual({ kind: 'committed' });
      });

      test('replaces an epoch that is garbage, instead of being stuck behind it for ever', async () => {
        await bench.putHash(`${KEY}-epoch`, { number: 'NaN', id: 'x' });
        expect((await store.board(U)).epoch).toBeNull();
        expect(garbage).toEqual([`${KEY}-epoch: number is "NaN", expected a whole number from 1 on`]);
        expect(await store.commitRoles(U, decision(1), null, STRICT)).toEqual({ kind: 'committed' });
        expect((await store.board(U)).epoch).toEqual(decision(1).epoch);
      });

      test('keeps its epoch when a Perl identify writes other roles later, so that numbers never fall', async () => {
        await store.commitRoles(U, decision(7), null, STRICT);
        await bench.putHash(`${KEY}-mode`, { active: SECONDARY, passive: PRIMARY });
        expect(await store.board(U)).toMatchObject({ roles: { active: SECONDARY }, epoch: { number: 7 } });
      });
    });

    describe('a report', () => {
      test('says who took writes last, for the present epoch only, or that nobody knows', async () => {
        const opened = async () => (await store.board(U)).opened;
        await store.commitRoles(U, decision(1), null, STRICT);
        expect(await store.putOpened(U, decision(1).epoch, SECONDARY)).toBe(true);
        expect(await opened()).toBe(SECONDARY);
        expect(await store.putOpened(U, decision(2).epoch, null)).toBe(false);
        expect(await opened()).toBe(SECONDARY);
        expect(await store.putOpened(U, decision(1).epoch, null)).toBe(true);
        expect(await opened()).toBeNull();
        // Under a Perl identify there is no epoch to compare with.
        expect(await store.putOpened('of-perl', null, PRIMARY)).toBe(true);
        expect((await store.board('of-perl')).opened).toBe(PRIMARY);
      });

      test('answers the present epoch, and a new decision removes it but not who was opened', async () => {
        await store.commitRoles(U, decision(1), null, STRICT);
        expect(await store.putReport(U, report(decision(1).epoch))).toBe(true);
        expect(await store.board(U)).toMatchObject({ report: report(decision(1).epoch), opened: PRIMARY });
        await store.commitRoles(U, decision(2, SECONDARY), decision(1).epoch, STRICT);
        expect(await store.board(U)).toMatchObject({ report: null, opened: PRIMARY });
      });

      test('that holds or fails opens nobody', async () => {
        await store.commitRoles(U, decision(1), null, STRICT);
        await store.putReport(U, report(decision(1).epoch, { outcome: 'held', why: 'the other is silent' }));
        expect(await store.board(U)).toMatchObject({ report: { outcome: 'held' }, opened: null });
      });

      test('on an older epoch is dropped (S3)', async () => {
        await store.commitRoles(U, decision(2), null, STRICT);
        expect(await store.putReport(U, report(decision(1).epoch))).toBe(false);
        expect(await store.putReport(U, report({ ...decision(2).epoch, id: 'another' }))).toBe(false);
        expect(await store.board(U)).toMatchObject({ report: null, opened: null });
      });
    });

    describe('a divergence', () => {
      const found: Divergence = {
        host: SECONDARY,
        count: 37,
        gtids: '1-1-500',
        cut: false,
        end: { file: 'binlog.000002', pos: 900 },
        epoch: { number: 1, id: 'id1' },
        foundAtMs: NOW_MS,
        saved: null,
      };

      test('is said to be saved as long as it is the one on the board', async () => {
        await store.commitRoles(U, decision(1), null, STRICT);
        await store.putDivergence(U, decision(1).epoch, found);
        expect(await store.noteSaved(U, found, 'saved in a file')).toBe(true);
        expect((await store.board(U)).divergence).toEqual({ ...found, saved: 'saved in a file' });
        expect(await store.noteSaved(U, { ...found, foundAtMs: NOW_MS - 1 }, 'of an older one')).toBe(false);
        expect((await store.board(U)).divergence?.saved).toBe('saved in a file');
        await store.putDivergence(U, decision(1).epoch, { ...found, foundAtMs: NOW_MS + 1 });
        expect((await store.board(U)).divergence?.saved).toBeNull();
        await store.endDivergence(U, { ...found, foundAtMs: NOW_MS + 1 });
        expect(await store.noteSaved(U, found, 'saved in a file')).toBe(false);
        expect((await store.board(U)).divergence).toBeNull();
      });

      test('stands on the board through later decisions, until it is merged', async () => {
        await store.commitRoles(U, decision(1), null, STRICT);
        expect(await store.putDivergence(U, decision(1).epoch, found)).toBe(true);
        await store.commitRoles(U, decision(2, SECONDARY), decision(1).epoch, STRICT);
        expect((await store.findPair(U))?.board.divergence).toEqual(found);
        expect(await store.endDivergence(U, found)).toBe(true);
        expect((await store.board(U)).divergence).toBeNull();
      });

      test('is not written for an older decision, nor ended in the place of a newer one', async () => {
        await store.commitRoles(U, decision(2), null, STRICT);
        expect(await store.putDivergence(U, decision(1).epoch, found)).toBe(false);
        expect((await store.board(U)).divergence).toBeNull();
        const newer = { ...found, foundAtMs: NOW_MS + 1 };
        await store.putDivergence(U, decision(2).epoch, newer);
        expect(await store.endDivergence(U, found)).toBe(false);
        expect((await store.board(U)).divergence).toEqual(newer);
        // Under a Perl identify there is no epoch to compare with.
        expect(await store.putDivergence('of-perl', null, { ...found, epoch: null })).toBe(true);
      });
    });

    describe('the lead', () => {
      test('is one owner’s until he resigns', async () => {
        expect(await store.lead(U, 'one', 60_000)).toBe(true);
        expect(await store.lead(U, 'two', 60_000)).toBe(false);
        expect(await store.lead(U, 'one', 60_000)).toBe(true);
        await store.resign(U, 'two');
        expect(await store.lead(U, 'two', 60_000)).toBe(false);
        await store.resign(U, 'one');
        expect(await store.lead(U, 'two', 60_000)).toBe(true);
      });

      test('runs out by itself', async () => {
        await store.lead(U, 'one', 30);
        await vi.waitFor(async () => expect(await store.lead(U, 'two', 60_000)).toBe(true));
        expect(await store.lead(U, 'one', 30)).toBe(false);
      });

      test('is each pair’s own', async () => {
        await store.lead(U, 'one', 60_000);
        expect(await store.lead('another', 'two', 60_000)).toBe(true);
      });
    });

    describe('an operator', () => {
      const { epoch } = decision(1);
      const REQUEST: Request = {
        id: 'r1',
        kind: 'switchover',
        to: SECONDARY,
        by: 'dba@db1',
        epoch: { number: epoch.number, id: epoch.id },
        atMs: NOW_MS,
        expiresMs: NOW_MS + 10_000,
        withinSec: 30,
        refused: null,
      };

      test('asks for the epoch that he saw, and wakes identify', async () => {
        await store.commitRoles(U, decision(1), null, STRICT);
        const published = await bench.hear([`${TOPIC}-mmm-seen`]);
        expect(await store.putRequest(U, REQUEST)).toBe(true);
        expect((await store.board(U)).request).toEqual(REQUEST);
        await vi.waitFor(() => expect(published).toEqual([`${TOPIC}-mmm-seen ${U}`]));
      });

      test('asks in vain for an epoch that is gone (S3), and a new epoch ends what was asked for', async () => {
        await store.commitRoles(U, decision(1), null, STRICT);
        await store.putRequest(U, REQUEST);
        await store.commitRoles(U, decision(2), epoch, STRICT);
        expect((await store.board(U)).request).toBeNull();
        expect(await store.putRequest(U, REQUEST)).toBe(false);
        expect((await store.board(U)).request).toBeNull();
      });

      test('is told why not, once, and the next who asks begins anew', async () => {
        await store.commitRoles(U, decision(1), null, STRICT);
        await store.putRequest(U, REQUEST);
        expect(await store.endRequest(U, 'another', 'no')).toBe(false);
        expect(await store.endRequest(U, 'r1', 'no')).toBe(true);
        expect((await store.board(U)).request).toEqual({ ...REQUEST, refused: 'no' });
        await store.putRequest(U, { ...REQUEST, id: 'r2' });
        expect((await store.board(U)).request).toMatchObject({ id: 'r2', refused: null });
        expect(await store.endRequest(U, 'r1', null)).toBe(false);
        expect(await store.endRequest(U, 'r2', null)).toBe(true);
        expect((await store.board(U)).request).toBeNull();
      });

      test('pauses and resumes, which outlives decisions, and wakes identify', async () => {
        const published = await bench.hear([`${TOPIC}-mmm-seen`]);
        const pause = { by: 'dba@db1', atMs: NOW_MS, untilMs: NOW_MS + 1 };
        await store.putPause(U, pause);
        await store.commitRoles(U, decision(1), null, STRICT);
        expect((await store.board(U)).pause).toEqual(pause);
        await store.putPause(U, { ...pause, untilMs: null });
        expect((await store.board(U)).pause).toEqual({ ...pause, untilMs: null });
        await store.putPause(U, null);
        expect((await store.board(U)).pause).toBeNull();
        await vi.waitFor(() => expect(published).toHaveLength(3));
      });

      test('learns who leads and how many agents listen', async () => {
        expect(await store.leader(U)).toBeNull();
        await store.lead(U, 'one', 60_000);
        expect(await store.leader(U)).toBe('one');
        await store.resign(U, 'one');
        expect(await store.leader(U)).toBeNull();
        expect(await store.listeners()).toBe(0);
        const agent = bench.open(TOPIC).store;
        const unwatch = await agent.watch(() => {}, ['decided', 'message']);
        await store.watch(() => {}, ['observed']);
        await bench.open('another-topic').store.watch(() => {}, ['decided']);
        expect(await store.listeners()).toBe(1);
        await unwatch();
        await vi.waitFor(async () => expect(await store.listeners()).toBe(0));
      });

      test('finds the terms of a decision as they were written', async () => {
        const past = { changedAtMs: NOW_MS, preferred: SECONDARY };
        const terms = {
          ...NO_TERMS,
          ...past,
          force: true,
          requestId: 'r1',
          backAtMs: NOW_MS + 1,
          otherNumber: 4,
          longestLeaseMs: 9_000,
        };
        await store.commitRoles(U, { ...decision(1), terms }, null, STRICT);
        expect(await store.board(U)).toMatchObject({ reasons: ['a test'], terms });
        await store.commitRoles(U, decision(2), epoch, STRICT);
        expect((await store.board(U)).terms).toEqual(NO_TERMS);
      });
    });

    describe('an agent finds', () => {
      test('every pair of its topic and of Perl, none of another topic', async () => {
        await store.commitRoles(U, decision(1), null, { ...NO_SAFETY, drainTimeoutSec: 5 });
        await bench.putHash('mysql-of-perl-mode', { active: SECONDARY, passive: PRIMARY });
        await bench.open('another-topic').store.commitRoles('of-others', decision(1), null, STRICT);
        const found = await store.findPairs();
        expect(found.map(({ uniqsign, board, policy }) => [uniqsign, board.roles?.active, policy])).toEqual([
          [U, PRIMARY, { ...NO_SAFETY, drainTimeoutSec: 5 }],
          ['of-perl', SECONDARY, STRICT],
        ]);
        expect(await store.findPair(U)).toEqual(found[0]);
        expect(await store.findPair('of-others')).toBeNull();
        expect(await store.findPair('nobody')).toBeNull();
      });

      test('no pair whose roles are garbage, and says so, and finds the others', async () => {
        await bench.putHash('mysql-broken-mode', { active: PRIMARY, passive: PRIMARY });
        await store.commitRoles(U, decision(1), null, STRICT);
        expect((await store.findPairs()).map(({ uniqsign }) => uniqsign)).toEqual([U]);
        expect(garbage).toEqual([`mysql-broken-mode: active and passive are the same host, ${PRIMARY}`]);
      });

      test('hundreds of pairs', async () => {
        const signs = Array.from({ length: 700 }, (_, at) => `sign${String(at).padStart(4, '0')}`);
        await Promise.all(
          signs.map((sign) => bench.putHash(`mysql-${sign}-mode`, { active: PRIMARY, passive: SECONDARY })),
        );
        expect((await store.findPairs()).map(({ uniqsign }) => uniqsign)).toEqual(signs);
      });
    });

    test('a stopped I/O thread is remembered for each host until it is cleared, and garbage there is nothing', async () => {
      const stopped = () => store.ioStopped(U, [PRIMARY, SECONDARY]);
      expect(await stopped()).toEqual([]);
      await store.putIoStopped(U, SECONDARY, true);
      expect(await bench.string(`${KEY}-${SECONDARY}-io-stopped`)).toBe('1');
      expect(await stopped()).toEqual([SECONDARY]);
      await store.putIoStopped(U, PRIMARY, true);
      expect(await stopped()).toEqual([PRIMARY, SECONDARY]);
      await store.putIoStopped(U, SECONDARY, false);
      expect(await bench.string(`${KEY}-${SECONDARY}-io-stopped`)).toBeNull();
      expect(await stopped()).toEqual([PRIMARY]);
      await bench.putString(`${KEY}-${PRIMARY}-io-stopped`, 'somewhere');
      expect(await stopped()).toEqual([]);
    });

    describe('who watches', () => {
      test('is woken by observations, decisions and a Perl message, each once', async () => {
        const events: WakeEvent[] = [];
        await store.watch((event) => events.push(event));
        const other = bench.open(TOPIC).store;
        await other.putSighting(U, aSighting([anObservation()]));
        await vi.waitFor(() => expect(events).toEqual([{ kind: 'observed', uniqsign: U }]));
        await other.commitRoles(U, decision(1), null, STRICT);
        await vi.waitFor(() => expect(events).toHaveLength(3));
        expect(events.map(({ kind }) => kind).sort()).toEqual(['decided', 'message', 'observed']);
        await bench.publish(TOPIC, `active: ${PRIMARY}, passive: ${SECONDARY}, uniqsign: of-perl`);
        await vi.waitFor(() => expect(events.at(-1)).toEqual({ kind: 'message', uniqsign: 'of-perl' }));
      });

      test('hears only the kinds he asked for', async () => {
        const seen: WakeEvent[] = [];
        const decided: WakeEvent[] = [];
        await store.watch((event) => seen.push(event), ['observed']);
        await store.watch((event) => decided.push(event), ['decided', 'message']);
        await bench.publish(`${TOPIC}-mmm`, 'one');
        await bench.publish(`${TOPIC}-mmm-seen`, 'two');
        await vi.waitFor(() => {
          expect(decided).toEqual([{ kind: 'decided', uniqsign: 'one' }]);
          expect(seen).toEqual([{ kind: 'observed', uniqsign: 'two' }]);
        });
      });

      test('is not woken by garbage, which is told', async () => {
        const events: WakeEvent[] = [];
        await store.watch((event) => events.push(event));
        await bench.publish(TOPIC, 'hello');
        await bench.publish(`${TOPIC}-mmm`, 'a b');
        await bench.publish(`${TOPIC}-mmm-seen`, 'good');
        await vi.waitFor(() => expect(events).toEqual([{ kind: 'observed', uniqsign: 'good' }]));
        expect(garbage).toEqual([`${TOPIC}: uniqsign is missing`, `${TOPIC}-mmm: is no signature: "a b"`]);
      });

      test('is woken no more after he ended it, while others are', async () => {
        const ended: WakeEvent[] = [];
        const going: WakeEvent[] = [];
        const end = await store.watch((event) => ended.push(event));
        await store.watch((event) => going.push(event));
        await end();
        await bench.publish(`${TOPIC}-mmm`, U);
        await vi.waitFor(() => expect(going).toHaveLength(1));
        expect(ended).toEqual([]);
      });
    });

    test('a closed store does nothing more', async () => {
      await store.watch(() => {});
      await store.close();
      await expect(store.board(U)).rejects.toMatchObject({ code: 'store-down' });
      await store.close();
    });
  });
}

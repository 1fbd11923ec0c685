// identify around a pair with a safety on: a board in memory, and what monitors and agents say to it second by second.

import { expect } from 'vitest';
import type { AgentRecord } from '../../src/core/agents.ts';
import { type Board, NO_SAFETY, type Policy } from '../../src/core/decision.ts';
import type { SeenRow } from '../../src/core/observation.ts';
import type { Host } from '../../src/core/pair.ts';
import { type IdentifyParts, makeIdentifyRound } from '../../src/identify.ts';
import { anObservation, aPair, aSighting, PRIMARY, SECONDARY } from './build.ts';
import { FakeClock, fakeRandom } from './fake-clock.ts';
import { fakeLog } from './fake-log.ts';
import { MemoryBoard } from './memory-store.ts';
import { aRow } from './rows.ts';

type Look = NonNullable<Parameters<typeof anObservation>[0]>;

export const PAIR = aPair();
export const LEASE: Policy = { ...NO_SAFETY, fencing: 'lease' };
export const GONE: Look = { failure: 'silent', goneLooks: 9 };

interface ServerState {
  look: Look;
  row: SeenRow | null;
}

/** Two servers, agents that obey at once unless `idle`, and an identify that looks each second. */
export function aWorld(policy: Policy = LEASE) {
  const clock = new FakeClock();
  const board = new MemoryBoard(() => clock.wall());
  const store = board.store({ topic: 'topic' });
  const log = fakeLog();
  const parts: IdentifyParts = {
    pair: PAIR,
    tryTimes: 2,
    policy,
    pacing: { minFailoverIntervalSec: 60, failback: 'auto' },
    store,
    clock,
    random: fakeRandom(),
    log,
    owner: 'identify-1',
    leadMs: 10_000,
  };
  const boot = (host: Host) => ({ uuid: `uuid of ${host}`, startedSec: 1_700_000_000 });
  const a: ServerState = { look: { connections: 3, boot: boot(PRIMARY) }, row: null };
  const b: ServerState = { look: { readOnly: true, connections: 0, boot: boot(SECONDARY) }, row: null };
  const world = {
    clock,
    board,
    store,
    log,
    parts,
    identify: makeIdentifyRound(parts),
    a,
    b,
    agents: ['one', 'two'],
    /** Agents do nothing. */
    idle: false,
    boardNow: () => store.board(PAIR.uniqsign),
    async observe() {
      const atMs = clock.wall();
      const of = (host: Host, { look, row }: ServerState) => anObservation({ host, row, ...look, atMs });
      await store.putSighting(PAIR.uniqsign, aSighting([of(PRIMARY, world.a), of(SECONDARY, world.b)]));
    },
    /** Claims what answers, opens the active, clears the flag of a finite lease. */
    async obey() {
      const { epoch, terms, roles } = await world.boardNow();
      if (epoch === null || roles === null || terms.lease === null) return;
      for (const [host, server] of [
        [PRIMARY, world.a],
        [SECONDARY, world.b],
      ] as const) {
        if (server.look.failure !== undefined) continue;
        const before = server.row ?? aRow({ lease: 'none' });
        if ((before.epoch?.number ?? 0) > epoch.number) return;
        const isActive = host === epoch.active;
        server.row = isActive
          ? { ...before, epoch, opened: { number: epoch.number, id: epoch.id, startedSec: 1 }, lease: terms.lease }
          : { ...before, epoch };
        server.look = { ...server.look, readOnly: !isActive, connections: isActive ? 3 : 0 };
      }
      await store.putReport(PAIR.uniqsign, {
        epoch,
        outcome: 'opened',
        host: epoch.active,
        why: 'test',
        atMs: clock.wall(),
        agent: 'one',
        noWriterMs: null,
      });
      if (terms.lease === 'finite') await store.putUnfenced(PAIR.uniqsign, epoch, false);
      for (const [host, server] of [
        [PRIMARY, world.a],
        [SECONDARY, world.b],
      ] as const) {
        if (server.look.failure === undefined)
          await store.putLife(PAIR.uniqsign, epoch, host, {
            ...boot(host),
            cameUpReadOnly: false,
            armed: terms.lease === 'finite',
          });
      }
    },
    async run(rounds = 1) {
      for (let count = 0; count < rounds; count++) {
        await world.observe();
        for (const name of world.agents) await store.putAgent(PAIR.uniqsign, world.record(name));
        await world.identify();
        if (!world.idle) await world.obey();
        await clock.advance(1_000);
      }
    },
    record: (name: string): AgentRecord => ({
      name,
      reachesBoth: world.a.look.failure === undefined && world.b.look.failure === undefined,
      renewal: null,
    }),
    async armed() {
      await world.run(6);
      const now = await world.boardNow();
      expect(now.terms.lease).toBe('finite');
      expect(now.unfenced).toBe(false);
      return now;
    },
  };
  return world;
}

export type World = ReturnType<typeof aWorld>;

export const brief = ({ epoch, roles, terms, unfenced }: Board) => [
  epoch?.number,
  roles?.active,
  terms.lease,
  unfenced,
];

// What monitors see, and when what they see counts: the real rounds (support/rounds.ts) while hosts die, freeze and are cut off.

import { describe, expect, it } from 'vitest';
import { makeMonitorRound } from '../src/monitor.ts';
import { PRIMARY, SECONDARY } from './support/build.ts';
import { failure } from './support/facts.ts';
import { fakePair } from './support/fake-pair.ts';
import { aWorld, type World, writable } from './support/rounds.ts';

describe('the monitor', () => {
  it('confirms a death back to back, a rejected connection at its interval, and stops hurrying after try_times', async () => {
    const world = aWorld();
    await world.run(2);
    world.b.down = failure('refused', 'ECONNREFUSED');
    expect(await world.monitor()).toEqual({});
    world.b.down = failure('silent', 'EHOSTUNREACH');
    expect(await world.monitor()).toEqual({});
    world.b.down = null;
    world.a.die(world.b);
    expect(await world.monitor()).toEqual({ nextMs: 10 });
    expect(await world.monitor()).toEqual({ nextMs: 10 });
    expect(await world.monitor()).toEqual({});
  });
});

describe('a death that the replica has not noticed yet', () => {
  it('is looked at again until the replica has, and then counts as one', async () => {
    const world = aWorld();
    await world.run(2);
    world.a.die();
    const round = world.monitor();
    await world.clock.advance(50);
    world.a.die(world.b);
    await world.clock.advance(50);
    expect(await round).toEqual({ nextMs: 10 });
  });

  it('is none when the replica goes on hearing it', async () => {
    const world = aWorld();
    await world.run(2);
    world.a.die();
    const round = world.monitor();
    await world.clock.advance(1_000);
    expect(await round).toEqual({});
  });
});

describe('the second opinion', () => {
  const active = async ({ store, pair }: World) => (await store.board(pair.uniqsign)).roles?.active;

  it.each(['silent', 'refused'] as const)(
    'keeps the role where it is while the passive still hears an active that is %s',
    async (kind) => {
      const world = aWorld();
      await runBeside(world, 3, () => world.b.hear());
      world.a.down = failure(kind);
      await runBeside(world, 10, () => world.b.hear());
      expect(await active(world)).toBe(PRIMARY);
      expect(world.b.did).toEqual([]);
      expect(world.log.lines.join()).toContain(`the managers alone are cut off from ${PRIMARY}`);
    },
  );

  it('moves it in the very round in which the passive has heard nothing for long enough', async () => {
    const world = aWorld();
    await runBeside(world, 3, () => world.b.hear());
    world.a.freeze();
    const sinceMs = world.clock.monotonic();
    // The last sign of life is as old as the last round: one second.
    await runBeside(world, 2);
    expect(await active(world)).toBe(SECONDARY);
    expect(world.log.lines.findLast((line) => line.includes('decided:'))).toContain('has heard nothing');
    expect(world.clock.monotonic() - sinceMs).toBeLessThan(4_000);
  });

  it('moves it at once when the passive, cut off for long from an active that it heard, hears it no more', async () => {
    const world = aWorld();
    world.a.down = null;
    await runBeside(world, 3, () => world.b.hear());
    world.a.freeze();
    await runBeside(world, 20, () => world.b.hear());
    expect(await active(world)).toBe(PRIMARY);
    await runBeside(world, 1);
    expect(await active(world)).toBe(SECONDARY);
  });

  it.each([
    ['has its threads stopped for a backup', { io: 'No', sql: 'No' }],
    ['replicates from somebody else', { source: '10.9.9.9:3308', sourceServerId: 9 }],
  ] as const)('does not count when the passive %s', async (_name, changes) => {
    const world = aWorld();
    await runBeside(world, 3, () => world.b.hear());
    const { replication } = world.b.facts;
    if (replication !== null) world.b.facts = { ...world.b.facts, replication: { ...replication, ...changes } };
    world.a.freeze();
    await runBeside(world, 2, () => world.b.hear());
    expect(await active(world)).toBe(SECONDARY);
  });

  it('does not count looks that found neither host: then the network was its own', async () => {
    const world = aWorld();
    await runBeside(world, 3);
    const { replication } = world.b.facts;
    if (replication !== null)
      world.b.facts = { ...world.b.facts, replication: { ...replication, io: 'No', sql: 'No' } };
    world.a.freeze();
    world.b.freeze();
    await runBeside(world, 5);
    // The way to the passive is open again a moment before that to the active.
    world.b.down = null;
    await runBeside(world, 1);
    world.a.down = null;
    await runBeside(world, 2);
    expect(await active(world)).toBe(PRIMARY);
    expect(world.log.lines.join()).toContain('1 of 2 rounds agree');
  });

  it('does not look at the writable host again and again because the passive is gone', async () => {
    const world = aWorld();
    await runBeside(world, 3);
    world.b.freeze();
    let looks = 0;
    const { probe } = world.a;
    world.a.probe = async () => {
      looks += 1;
      return probe.call(world.a);
    };
    await world.monitor();
    await world.monitor();
    await world.monitor();
    expect(looks).toBe(3);
  });

  it('tells once that heartbeats are too rare, and again when that was changed in vain', async () => {
    const world = aWorld();
    const period = (periodMs: number) => {
      const { replication } = world.b.facts;
      if (replication !== null) {
        world.b.facts = { ...world.b.facts, replication: { ...replication, heartbeats: { received: 0, periodMs } } };
      }
    };
    const told = () => world.log.lines.filter((line) => line.includes('MASTER_HEARTBEAT_PERIOD')).length;
    period(30_000);
    await runBeside(world, 3);
    expect(told()).toBe(1);
    period(1_000);
    await runBeside(world, 1);
    period(1_800_000);
    await runBeside(world, 2);
    expect(told()).toBe(2);
  });
});

describe('several monitors', () => {
  it('take the role from a host only when most of them miss it', async () => {
    const world = aWorld();
    await world.run(3);
    const blind = { ...world.monitorParts, observer: 'monitor-2', primary: fakePair().a, secondary: world.b };
    blind.primary.freeze();
    const round = makeMonitorRound(blind);
    const other = () => look(world, () => round(new AbortController().signal, { lateMs: 0 }));
    for (let count = 0; count < 6; count++) {
      await other();
      await world.run(1);
    }
    expect(world.b.did).toEqual([]);
    expect(world.log.lines.join()).toContain('1 of 2 monitors find 10.0.0.5:3308 alive (not so monitor-2: silent)');
    world.a.freeze();
    for (let count = 0; count < 3; count++) {
      await other();
      await world.run(1);
    }
    expect(writable(world)).toContain(SECONDARY);
  });
});

describe('a monitor that was frozen itself', () => {
  it('drops what it saw meanwhile and looks again at once', async () => {
    const world = aWorld();
    await world.run(3);
    const before = await world.store.observations(world.pair.uniqsign, [PRIMARY, SECONDARY]);
    world.a.freeze();
    expect(await world.monitor(501)).toEqual({ nextMs: 0 });
    expect(await world.store.observations(world.pair.uniqsign, [PRIMARY, SECONDARY])).toEqual(before);
    await world.monitor(500);
    const [primary] = await world.store.observations(world.pair.uniqsign, [PRIMARY]);
    expect(primary).toMatchObject({ goneLooks: 1, evidence: { kind: 'silent' } });
  });
});

/** A monitor's round in which time passes, while the replica hears a heartbeat each half second, or does not. */
async function look({ clock }: World, round: () => Promise<unknown>, beats: () => void = () => {}) {
  let looked = false;
  const looking = round().finally(() => {
    looked = true;
  });
  for (let passedMs = 0; !looked && passedMs < 10_000; passedMs += 50) {
    if (passedMs % 500 === 450) beats();
    await clock.advance(50);
  }
  await looking;
}

async function runBeside(world: World, rounds: number, beats: () => void = () => {}) {
  for (let count = 0; count < rounds; count++) {
    await look(world, () => world.monitor(), beats);
    await world.identify();
    await world.act();
    beats();
    await world.clock.advance(1_000);
  }
}

// Two agents beside one active and its partner, cut off after any step and interleaved in any order, on a small world in which commits are
// written, received and acknowledged: the set on the board is never wrong (S2), and in the end everybody is complete again (L2).
// Each rule by itself is in partner.test.ts.

import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import type { Complete, Joining } from '../../src/core/complete.ts';
import type { Evidence } from '../../src/core/observation.ts';
import { nextPartnerStep, type PartnerNext, type PartnerStep } from '../../src/core/partner.ts';
import { NO_MEMORY, type PartnerMemory, type Partnership } from '../../src/core/partner-memory.ts';
import { failure } from '../support/facts.ts';
import { A, active, aPartnership, B, NOW_MS, passive, WALL_MS } from '../support/partnership.ts';

/** What an agent is about: it reads the board, looks at A, at B, and acts; anything may happen in between. */
interface Agent {
  readonly name: string;
  memory: PartnerMemory;
  board: Pick<Partnership, 'complete' | 'joining'> | null;
  active: Evidence | null;
  nowMs: number;
  next: PartnerNext | null;
}

class World {
  nowMs = 0;
  complete: Complete | null = null;
  joining: Joining | null = null;
  a = { boot: 100, source: true, generation: 0, written: 0, acknowledged: 0 };
  b = { boot: 200, up: true, io: true, replica: false, replicaOn: false, received: 0 };
  readonly agents: Agent[] = ['db1', 'db2'].map((name) => ({ name, ...NEW_AGENT }));
  readonly story: string[] = [];

  /** Where it takes long to come by chance. */
  bothComplete(): void {
    this.a = { ...this.a, generation: 1 };
    this.b = { ...this.b, replica: true, replicaOn: true };
    const writer = { host: A, uuid: 'uuid-a', startedSec: this.a.boot };
    this.complete = { generation: 1, writer, hosts: [writer, { host: B, uuid: 'uuid-b', startedSec: this.b.boot }] };
  }

  commit(): void {
    this.a.written += 1;
    if (!this.a.source) this.a.acknowledged = this.a.written;
  }

  receive(): void {
    const { a, b } = this;
    if (!b.up || !b.io || b.received === a.written) return;
    b.received += 1;
    if (a.source && b.replicaOn) a.acknowledged = Math.max(a.acknowledged, b.received);
  }

  receiveAll(): void {
    while (this.b.up && this.b.io && this.b.received < this.a.written) this.receive();
  }

  /** Its relay log may be gone: it receives again what it had not applied. */
  restartB(lost: number): void {
    this.b = {
      ...this.b,
      boot: this.b.boot + 2,
      up: true,
      io: true,
      replica: false,
      replicaOn: false,
      received: Math.max(0, this.b.received - lost),
    };
  }

  /** It is opened again at once, under the same decision: semi-synchronous first [F7]. */
  restartA(): void {
    const { a } = this;
    this.a = { ...a, boot: a.boot + 2, source: true };
  }

  emptied(): void {
    this.complete = null;
    this.joining = null;
  }

  /** One of the four things that an agent does in turn. */
  agent(index: number): void {
    const agent = this.agents[index];
    if (agent === undefined) return;
    if (agent.board === null) {
      agent.board = { complete: this.complete, joining: this.joining };
    } else if (agent.active === null) {
      agent.active = this.#lookA();
      agent.nowMs = this.nowMs;
    } else if (agent.next === null) {
      const seen = aPartnership({
        ...agent.board,
        active: agent.active,
        passive: this.#lookB(),
        passiveBroke: !this.b.up,
        agent: agent.name,
        nowMs: NOW_MS + agent.nowMs,
        wallMs: WALL_MS + agent.nowMs,
      });
      const { next, memory } = nextPartnerStep(seen, agent.memory);
      Object.assign(agent, { next, memory });
    } else {
      if (agent.next.kind === 'step') this.#act(agent.name, agent.next.step);
      Object.assign(agent, { board: null, active: null, next: null });
    }
  }

  /** Whatever it was about is not done any more, and it forgets. */
  crash(index: number): void {
    const agent = this.agents[index];
    if (agent !== undefined) Object.assign(agent, NEW_AGENT);
  }

  #act(name: string, step: PartnerStep): void {
    const before = JSON.stringify([this.complete, this.a, this.b]);
    switch (step.do) {
      case 'sync-on':
      case 'sync-off':
        if (step.generation < this.a.generation) return;
        this.a.generation = step.generation;
        this.a.source = step.do === 'sync-on';
        if (!this.a.source) this.a.acknowledged = this.a.written;
        break;
      case 'acknowledge':
        this.b.replica = true;
        break;
      case 'restart-io':
        if (this.b.up) this.b.io = true;
        this.b.replicaOn = this.b.up && this.b.replica;
        break;
      case 'join':
        if ((this.complete?.generation ?? null) !== step.from || this.complete === null) return;
        this.complete = { ...this.complete, generation: step.joining.generation };
        this.joining = step.joining;
        break;
      default:
        if ((this.complete?.generation ?? null) !== step.from) return;
        this.complete = step.complete;
        this.joining = null;
    }
    if (before !== JSON.stringify([this.complete, this.a, this.b])) this.story.push(`${name} ${step.do}`);
  }

  #lookA(): Evidence {
    const { boot, source, generation, written, acknowledged } = this.a;
    return active({
      source,
      clients: this.b.up && this.b.io && this.b.replicaOn ? 1 : 0,
      waiting: source && written > acknowledged ? 1 : 0,
      acknowledged,
      row: { generation, opened: { number: 7, id: 'd7', startedSec: boot } },
      facts: { boot: { uuid: 'uuid-a', startedSec: boot }, binlog: { file: 'bin.000001', pos: written } },
    });
  }

  #lookB(): Evidence {
    const { boot, up, io, replica, replicaOn, received } = this.b;
    if (!up) return failure('refused');
    const at = { file: 'bin.000001', pos: received };
    return passive({
      replica,
      replicaOn: replicaOn && io,
      replication: { io: io ? 'Yes' : 'No', received: at, applied: at },
      facts: { boot: { uuid: 'uuid-b', startedSec: boot } },
    });
  }

  /** Does the board call B, in the life that it is in, complete beside an A in the life that it is in? */
  get saysComplete(): boolean {
    const { complete } = this;
    if (complete === null || complete.writer.startedSec !== this.a.boot) return false;
    return complete.hosts.some(({ host, startedSec }) => host === B && startedSec === this.b.boot);
  }
}

const NEW_AGENT = { memory: NO_MEMORY, board: null, active: null, nowMs: 0, next: null } as const;

type Event = readonly [string, (world: World) => void];
const goesOn = (index: number): Event => [`db${index + 1}`, (world) => world.agent(index)];
const passes = (ms: number): Event => [
  `${ms} ms`,
  (world) => {
    world.nowMs += ms;
  },
];
/** All that it does in turn, with nothing in between. */
const turns = (index: number): Event => [
  `all of db${index + 1}`,
  (world) => {
    for (let at = 0; at < 4; at++) world.agent(index);
  },
];
const often = (times: number, event: Event): readonly Event[] => Array.from({ length: times }, () => event);
const CALM: readonly Event[] = [
  ...often(6, goesOn(0)),
  ...often(6, goesOn(1)),
  ...often(4, turns(0)),
  ...often(4, turns(1)),
  ...often(3, ['commit', (world) => world.commit()]),
  ...often(3, ['receive', (world) => world.receive()]),
  ...often(4, ['all is received', (world) => world.receiveAll()]),
  ...often(3, passes(20)),
  passes(300),
  passes(1_000),
];
const FAULTS: readonly Event[] = [
  ['db1 crashes', (world) => world.crash(0)],
  ['db2 crashes', (world) => world.crash(1)],
  passes(6_000),
  ['B dies', (world) => Object.assign(world.b, { up: false, replicaOn: false })],
  ['B restarts', (world) => world.restartB(0)],
  ['B restarts and lost something', (world) => world.restartB(2)],
  ['B loses its connection', (world) => Object.assign(world.b, { io: false })],
  ['B connects', (world) => Object.assign(world.b, { io: world.b.up })],
  ['A restarts', (world) => world.restartA()],
  ['Redis is emptied', (world) => world.emptied()],
];
const EVENTS = [...CALM, ...CALM, ...FAULTS];
const events = (minLength: number, maxLength: number) =>
  fc.array(fc.nat(EVENTS.length - 1), { minLength, maxLength, size: 'max' });

/** Everybody goes on, and nothing more breaks. */
function calm(world: World): void {
  if (!world.b.up) world.restartB(0);
  world.b.io = true;
  for (let round = 0; round < 1_500; round++) {
    for (let at = 0; at < 4; at++) for (const index of [0, 1]) world.agent(index);
    world.receiveAll();
    if (world.saysComplete) return;
    world.nowMs += 100;
  }
}

// On a busy machine.
vi.setConfig({ testTimeout: 30_000 });

describe('two agents, cut off anywhere', () => {
  it('never call a host complete that lacks an acknowledged commit', () => {
    let completed = 0;
    fc.assert(
      fc.property(events(60, 200), (choices) => {
        const world = new World();
        if (choices.length % 2 === 0) world.bothComplete();
        for (const choice of choices) {
          const [name, happens] = EVENTS[choice] ?? passes(0);
          world.story.push(name);
          happens(world);
          const { acknowledged } = world.a;
          const { received } = world.b;
          if (!world.saysComplete) continue;
          completed += 1;
          if (received < acknowledged) {
            throw new Error(`B received ${received} of ${acknowledged} acknowledged: ${world.story.join(', ')}`);
          }
        }
      }),
      { numRuns: 700, seed: 20_261_126 },
    );
    // Else the walk proves nothing.
    expect(completed).toBeGreaterThan(1_000);
  });

  it('end with both complete when nothing breaks any more', () => {
    fc.assert(
      fc.property(events(0, 120), (choices) => {
        const world = new World();
        for (const choice of choices) EVENTS[choice]?.[1](world);
        world.commit();
        calm(world);
        expect(world.saysComplete, world.story.join(', ')).toBe(true);
        expect(world.a).toMatchObject({ source: true, generation: world.complete?.generation });
        world.commit();
        world.receive();
        expect(world.a.acknowledged).toBe(world.a.written);
      }),
      { numRuns: 40, seed: 20_261_126 },
    );
  });

  it('let the active acknowledge alone again when its partner is gone, whoever was about what', () => {
    fc.assert(
      fc.property(events(0, 120), (choices) => {
        const world = new World();
        for (const choice of choices) EVENTS[choice]?.[1](world);
        Object.assign(world.b, { up: false, replicaOn: false });
        world.commit();
        for (let round = 0; round < 100; round++) {
          for (let at = 0; at < 4; at++) for (const index of [0, 1]) world.agent(index);
          world.nowMs += 100;
        }
        expect(world.a.acknowledged, world.story.join(', ')).toBe(world.a.written);
        expect(world.complete?.hosts).toMatchObject([{ host: A }]);
      }),
      { numRuns: 150, seed: 20_261_126 },
    );
  });
});

describe('an agent that sleeps', () => {
  const isAbout = (world: World, what: PartnerStep['do']) => {
    const next = world.agents[0]?.next;
    return next?.kind === 'step' && next.step.do === what;
  };
  /** db1 goes on until it is about to do this. */
  const untilAbout = (world: World, what: PartnerStep['do']) => {
    for (let at = 0; at < 400 && !isAbout(world, what); at++) {
      world.agent(0);
      world.receiveAll();
      world.nowMs += 10;
    }
    expect(isAbout(world, what)).toBe(true);
  };
  const db2 = (world: World, turnsOfIt: number) => {
    for (let at = 0; at < 4 * turnsOfIt; at++) {
      world.agent(1);
      world.nowMs += 20;
    }
  };

  it('right before it writes the set does not write it when another one has gone on', () => {
    const world = new World();
    untilAbout(world, 'complete');
    world.nowMs += 6_000;
    Object.assign(world.b, { io: false });
    db2(world, 3);
    world.commit();
    expect(world.a).toMatchObject({ source: false, acknowledged: 1 });
    world.agent(0);
    expect(world.story.at(-1)).toBe('db2 sync-off');
    expect(world.saysComplete).toBe(false);
  });

  it.each(['shrink', 'sync-off'] as const)('before its %s changes nothing when the partner was joined anew', (what) => {
    const world = new World();
    world.bothComplete();
    Object.assign(world.b, { io: false });
    untilAbout(world, what);
    db2(world, 3);
    Object.assign(world.b, { io: true });
    db2(world, 200);
    expect(world.saysComplete).toBe(true);
    const { generation } = world.a;
    world.agent(0);
    expect(world.saysComplete).toBe(true);
    expect(world.a).toMatchObject({ source: true, generation });
  });

  it('before its sync-on leaves a wait behind that the next look ends', () => {
    const world = new World();
    untilAbout(world, 'sync-on');
    world.nowMs += 6_000;
    Object.assign(world.b, { io: false });
    db2(world, 3);
    world.agent(0);
    world.commit();
    expect(world.a).toMatchObject({ source: true, acknowledged: 0 });
    db2(world, 4);
    expect(world.a).toMatchObject({ source: false, acknowledged: 1 });
  });
});

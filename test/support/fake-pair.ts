// Two servers made of facts, for the rounds' unit tests: they do what a step asks, and can die, freeze and come back.
// The tests on real servers say whether the facts are true; these say what the rounds make of them.

import type { Evidence, Facts, Failure } from '../../src/core/observation.ts';
import type { Host } from '../../src/core/pair.ts';
import type { Applied, Step } from '../../src/core/step.ts';
import type { MonitorParts } from '../../src/monitor.ts';
import type { Server } from '../../src/mysql/server.ts';
import { PRIMARY, SECONDARY } from './build.ts';
import { failure, someFacts, someReplication } from './facts.ts';

/** For rounds that a test begins by hand. */
export const NO_PULSE: MonitorParts['pulse'] = { rest: () => false, watch: () => {} };

export class FakeServer implements Server {
  readonly host: Host;
  facts: Facts;
  /** Set: it does not answer. */
  down: Failure | null = null;
  connectionBroke = false;
  /** Every step that reached it. */
  readonly did: Step['do'][] = [];
  /** Runs before a step takes effect: where a test cuts something off. */
  beforeStep: (step: Step) => Promise<void> | void = () => {};
  closed = false;

  constructor(host: Host, facts: Facts) {
    this.host = host;
    this.facts = facts;
  }

  async probe(): Promise<Evidence> {
    return this.down ?? { kind: 'answered', facts: this.facts };
  }

  async pulse(_withinMs: number): Promise<boolean> {
    return this.down?.kind !== 'silent';
  }

  async apply(step: Step): Promise<Applied> {
    await this.beforeStep(step);
    if (this.down !== null) return this.down;
    this.did.push(step.do);
    const { replication } = this.facts;
    switch (step.do) {
      case 'close':
        this.facts = { ...this.facts, readOnly: true };
        break;
      case 'open':
        this.facts = { ...this.facts, readOnly: false };
        break;
      case 'stop-io':
        this.#replicate({ io: 'No' });
        break;
      case 'start-io':
        this.#replicate({ io: 'Yes' });
        break;
      case 'start-sql':
        this.#replicate({ sql: 'Yes' });
        break;
      case 'start-replication':
        this.#replicate({ io: 'Yes', sql: 'Yes' });
        break;
      case 'await-applied':
        if (replication !== null) this.#replicate({ applied: replication.received });
        break;
      case 'await-received':
        this.#replicate({ received: step.position });
        break;
      default:
        break;
    }
    return { kind: 'done', did: step.do };
  }

  onBroken(_listener: () => void): void {}

  async close(): Promise<void> {
    this.closed = true;
  }

  /** Its replica notices, unless it is left out. */
  die(replica?: FakeServer): void {
    this.down = failure('refused', 'ECONNREFUSED');
    this.connectionBroke = true;
    if (replica !== undefined) replica.#replicate({ io: 'Connecting' });
  }

  /** Its I/O thread got an event or a heartbeat. */
  hear(): void {
    const { received = 0, periodMs = 1_000 } = this.facts.replication?.heartbeats ?? {};
    this.#replicate({ heartbeats: { received: received + 1, periodMs } });
  }

  freeze(): void {
    this.down = failure('silent');
  }

  #replicate(changes: Parameters<typeof someReplication>[0]): void {
    const { replication } = this.facts;
    if (replication !== null) this.facts = { ...this.facts, replication: { ...replication, ...changes } };
  }
}

/** A healthy pair, the primary writable. */
export function fakePair(): { a: FakeServer; b: FakeServer } {
  return {
    a: new FakeServer(
      PRIMARY,
      someFacts({
        serverId: 1,
        readOnly: false,
        replication: someReplication({ source: SECONDARY, sourceServerId: 2 }),
      }),
    ),
    b: new FakeServer(
      SECONDARY,
      someFacts({ serverId: 2, replication: someReplication({ source: PRIMARY, sourceServerId: 1 }) }),
    ),
  };
}

/** The server does all steps but this one. Returns how often it was asked to. */
export function refuse(server: FakeServer, what: string): () => number {
  const { apply } = server;
  let count = 0;
  server.apply = (step) => {
    if (step.do !== what) return apply.call(server, step);
    count += 1;
    return Promise.resolve(failure('server-error'));
  };
  return () => count;
}

// Two servers made of facts that replicate semi-synchronously, with the comparing calls that switch it, for the unit tests of whoever keeps the
// complete set. What real servers do is tried in test/mysql/.

import type { Call, Called, Opening } from '../../src/core/call.ts';
import type { HostRow } from '../../src/core/host-row.ts';
import type { Facts, SemiSync } from '../../src/core/observation.ts';
import type { Host } from '../../src/core/pair.ts';
import type { Fence, Looked } from '../../src/mysql/fence.ts';
import { failure } from './facts.ts';
import { FakeServer } from './fake-pair.ts';
import { A, active, B, passive } from './partnership.ts';

export class LosslessPair {
  readonly a = new FakeServer(A, factsOf(active()));
  readonly b = new FakeServer(B, factsOf(passive()));
  /** Every call that reached a server, in order, as `HOST what`. */
  readonly calls: string[] = [];
  /** What a call answers instead of doing anything. */
  answers: ((host: Host, call: Call) => Called | null) | null = null;
  readonly #broken: (() => void)[] = [];

  /** As every Server has it. */
  onBroken(listener: () => void): void {
    this.#broken.push(listener);
  }

  serverFor(host: Host): FakeServer {
    return host === A ? this.a : this.b;
  }

  /** A commit that nobody has acknowledged yet. */
  waits(sessions = 3): void {
    this.semi(this.a, { waiting: sessions });
  }

  /** Its connections break at once; the active does not notice before it sends something. */
  killB(): void {
    this.b.down = failure('refused', 'ECONNREFUSED');
    this.b.connectionBroke = true;
    for (const tell of this.#broken) tell();
  }

  /** Another life, in which nobody has switched anything on. */
  restartB(): void {
    const { facts } = this.b;
    this.b.down = null;
    this.b.connectionBroke = false;
    this.b.facts = { ...facts, boot: { ...facts.boot, startedSec: facts.boot.startedSec + 10 } };
    this.semi(this.b, { replica: false, replicaOn: false });
    this.semi(this.a, { clients: 0 });
  }

  semi(server: FakeServer, changes: Partial<SemiSync>): void {
    const { semiSync } = server.facts;
    if (semiSync !== null) server.facts = { ...server.facts, semiSync: { ...semiSync, ...changes } };
  }

  row(server: FakeServer, changes: Partial<HostRow>): void {
    const { row } = server.facts;
    if (row !== null) server.facts = { ...server.facts, row: { ...row, ...changes } };
  }

  fenceFor(host: Host): Fence {
    const server = this.serverFor(host);
    return {
      host,
      install: async () => ({ kind: 'unfinished' }),
      look: async () => this.#look(server),
      call: async (call) => this.#call(server, call),
      close: async () => {},
    };
  }

  #look({ down, facts: { row, boot } }: FakeServer): Looked {
    if (down !== null) return down;
    return row === null ? { kind: 'none' } : { kind: 'row', row, uuid: boot.uuid };
  }

  #call(server: FakeServer, call: Call): Called {
    if (server.down !== null) return server.down;
    const instead = this.answers?.(server.host, call) ?? null;
    if (instead !== null) return instead;
    const switched = 'on' in call ? call.on : 'lossless' in call ? call.lossless : '';
    this.calls.push(`${server.host} ${call.do} ${switched}`.trim());
    const { row } = server.facts;
    if (row === null) return { kind: 'not-done', why: 'not-installed', row };
    if (row.epoch !== null && row.epoch.number > call.epoch.number) return { kind: 'refused', row };
    switch (call.do) {
      case 'claim':
        this.row(server, { epoch: call.epoch });
        break;
      case 'close':
        this.row(server, { epoch: call.epoch, readOnly: true });
        server.facts = { ...server.facts, readOnly: true };
        break;
      case 'open':
        this.#open(server, call);
        break;
      case 'source-off':
        this.semi(server, { source: false });
        break;
      case 'sync':
        if (call.generation < row.generation) return { kind: 'not-done', why: 'stale', row };
        this.row(server, { generation: call.generation });
        this.semi(server, { source: call.on, ...(call.on ? {} : { waiting: 0 }) });
        break;
      case 'acknowledge':
        this.semi(server, { replica: call.on });
        break;
      case 'stop-io':
      case 'start-io':
        this.#io(server, call.do === 'start-io');
        break;
      default:
        throw new Error(`this fake does not know ${call.do}`);
    }
    return { kind: 'done', did: '', row: server.facts.row ?? row };
  }

  #open(server: FakeServer, { epoch: { number, id }, startedSec, lossless }: Opening): void {
    if (server.facts.readOnly && lossless) this.semi(server, { source: true });
    this.row(server, { opened: { number, id, startedSec }, lease: { kind: 'endless' }, readOnly: false });
    server.facts = { ...server.facts, readOnly: false };
  }

  #io(server: FakeServer, runs: boolean): void {
    const { replication, semiSync } = server.facts;
    if (replication === null) return;
    server.facts = { ...server.facts, replication: { ...replication, io: runs ? 'Yes' : 'No' } };
    const acknowledges = runs && semiSync?.replica === true;
    this.semi(server, { replicaOn: acknowledges });
    this.semi(server === this.b ? this.a : this.b, { clients: acknowledges ? 1 : 0 });
  }
}

function factsOf(evidence: ReturnType<typeof active>): Facts {
  if (evidence.kind !== 'answered') throw new Error('it answers');
  return evidence.facts;
}

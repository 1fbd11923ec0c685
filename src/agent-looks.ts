// The agent's eyes on one pair: looks at a host without ever waiting for one that was silent a moment ago, and keeps what only
// somebody who watches can know. Comes from src/agent.ts; goes on to mysql/server.ts `probe`.

import type { Evidence } from './core/observation.ts';
import type { Host } from './core/pair.ts';
import type { Server } from './mysql/server.ts';
import type { Clock } from './ops/clock.ts';

/** What is known of one host at one time. */
export interface Look {
  readonly host: Host;
  readonly evidence: Evidence;
  /** When the probe ended, by the monotonic clock. */
  readonly atMs: number;
}

export interface AgentLooksParts {
  readonly serverFor: (host: Host) => Server;
  readonly clock: Clock;
  /** How long silence is believed without having waited for it again. */
  readonly silenceTrustedMs: number;
  /** Starts the next round early. */
  readonly wake: () => void;
}

/** So long an I/O thread may take, on a busy machine, to notice that its source died. */
const NOTICES_MS = 1_000;

export class AgentLooks {
  /** Hosts that started anew while this agent watched, and whose replication has not run since. */
  readonly restarted = new Set<Host>();
  /** Whose I/O thread this agent stopped and has not seen running since: the board that says so may be emptied. */
  readonly ioStoppedHere = new Set<Host>();
  /** Those that refuse this agent while the other one's I/O thread goes on hearing them: a firewall, and no death, until they answer [F19]. */
  readonly rejecting = new Set<Host>();
  /** The servers' rows are wanted, too, also where none was when the connection was opened. */
  wantRow = false;
  readonly #parts: AgentLooksParts;
  readonly #boots = new Map<Host, string>();
  readonly #known = new Map<Host, Look>();
  readonly #refusedSinceMs = new Map<Host, number>();
  readonly #under = new Map<Host, Promise<Look>>();

  constructor(parts: AgentLooksParts) {
    this.#parts = parts;
  }

  /**
   * Looks at a host. One that was silent just now is asked again, but not waited for: a decision must not wait for a frozen
   * host's next time-out. When that one answers at last, the next round comes at once.
   */
  look(host: Host): Promise<Look> {
    const known = this.#known.get(host);
    const fresh = this.lookNow(host);
    if (known?.evidence.kind !== 'silent') return fresh;
    const { clock, silenceTrustedMs } = this.#parts;
    return clock.monotonic() - known.atMs > silenceTrustedMs ? fresh : Promise.resolve(known);
  }

  lookNow(host: Host): Promise<Look> {
    const under = this.#under.get(host);
    if (under !== undefined) return under;
    const begun = this.#probe(host).finally(() => this.#under.delete(host));
    this.#under.set(host, begun);
    return begun;
  }

  async #probe(host: Host): Promise<Look> {
    const { serverFor, clock, wake } = this.#parts;
    const beganMs = clock.monotonic();
    const evidence = await serverFor(host).probe({ row: this.wantRow });
    if (evidence.kind === 'answered') this.#learn(host, evidence.facts);
    const seen = { host, evidence, atMs: clock.monotonic() };
    if (this.#known.get(host)?.evidence.kind === 'silent' && evidence.kind !== 'silent') wake();
    this.#known.set(host, seen);
    this.#noteRefusal(seen, beganMs);
    return seen;
  }

  /** The I/O thread of a host whose source died knows at once; one whose source is merely cut off, only after its own time-out. */
  #noteRefusal({ host, evidence, atMs }: Look, beganMs: number): void {
    if (evidence.kind === 'refused' && !this.#refusedSinceMs.has(host)) this.#refusedSinceMs.set(host, atMs);
    if (evidence.kind !== 'answered') return;
    this.#refusedSinceMs.delete(host);
    this.rejecting.delete(host);
    if (evidence.facts.replication?.io !== 'Yes') return;
    for (const [source, sinceMs] of this.#refusedSinceMs) {
      if (beganMs - sinceMs > NOTICES_MS) this.rejecting.add(source);
    }
  }

  #learn(host: Host, { boot, replication }: Extract<Evidence, { kind: 'answered' }>['facts']): void {
    const life = `${boot.uuid}/${boot.startedSec}`;
    const known = this.#boots.get(host);
    if (known !== undefined && known !== life) this.restarted.add(host);
    this.#boots.set(host, life);
    // It started by itself; when it is stopped later, somebody wanted that.
    if (replication?.io !== 'No' || replication.sql !== 'No') this.restarted.delete(host);
    if (replication?.io !== 'No') this.ioStoppedHere.delete(host);
  }
}

// One host's replication from the other one: what it has received, what it has applied, and the ways in which it loses sight of either.
// Part of host.ts. Positions are indexes into the source's log; host.ts turns them into file and position.

import type { Replication } from '../../src/core/observation.ts';
import type { Chance } from './chance.ts';
import type { SimHost, Write } from './host.ts';
import type { Network } from './network.ts';
import type { Dump, SemiSync } from './semi-sync.ts';
import type { Timeline } from './timeline.ts';

/** How the pair of a run replicates. */
export interface ReplicationStyle {
  /** MariaDB with GTIDs throws its relay log away when it starts from a standstill, and at every restart [F2]. */
  readonly gtid: boolean;
  /** Both servers write in one GTID domain, which is MariaDB's default; the docs recommend a domain for each. */
  readonly sharedDomain: boolean;
  /** A restarted server starts its replication by itself (no skip-slave-start). */
  readonly startsItself: boolean;
  /** A restarted server lets clients write: its my.cnf has no read_only. */
  readonly startsWritable: boolean;
  /** How long a silent source counts as connected. */
  readonly netTimeoutMs: number;
  readonly applyMs: number;
  /** MySQL with relay_log_recovery=ON: a restart throws the relay log away there, too [F2]. */
  readonly relayLogRecovery?: boolean;
  /** Its servers know nothing of semi-synchronous replication. */
  readonly noSemiSync?: boolean;
}

interface Received {
  readonly write: Write;
  /** Its place in the source's log. */
  readonly index: number;
}

const TICK_MS = 500;
const CONNECT_RETRY_MS = 1_000;

export class Replica {
  readonly source: SimHost;
  ioStarted = true;
  /** When somebody last stopped its I/O thread. */
  ioStoppedMs = 0;
  sqlStarted = true;
  sqlError = { code: 0, text: '' };
  /** Applying takes longer by this, milliseconds each. */
  lagMs = 0;
  /** Next place in the source's log to ask for. */
  received = 0;
  /** Everything before this place is applied (or was filtered). */
  applied = 0;
  relay: Received[] = [];
  readonly #owner: SimHost;
  readonly #style: ReplicationStyle;
  readonly #timeline: Timeline;
  readonly #network: Network;
  #connected = true;
  /** The I/O thread has connected in this life of the server: before that it does not know whom it replicates from. */
  #metSource = true;
  #heardMs = 0;
  #heartbeats = 0;
  #triedMs = 0;
  #fetching = false;
  #cancelApply: (() => void) | null = null;
  #emptySinceMs = 0;
  /** Its connection to the source, when it acknowledges on it. */
  #dump: Dump | null = null;
  /** What it had received when it connected. */
  #metAt = 0;
  /** In which life of the source. */
  #metBoot = 0;
  /** A transaction that is being applied waits for the acknowledgement that this very server wants [F12]. */
  #commits = false;

  constructor(parts: {
    owner: SimHost;
    source: SimHost;
    style: ReplicationStyle;
    timeline: Timeline;
    network: Network;
    chance: Chance;
  }) {
    this.source = parts.source;
    this.#owner = parts.owner;
    this.#style = parts.style;
    this.#timeline = parts.timeline;
    this.#network = parts.network;
    const tick = () => {
      this.#tick();
      this.#timeline.after(TICK_MS, tick);
    };
    this.#timeline.after(parts.chance.between(0, TICK_MS), tick);
  }

  get io(): Replication['io'] {
    if (!this.ioStarted) return 'No';
    return this.#connected ? 'Yes' : 'Connecting';
  }

  start(threads: { io: boolean; sql: boolean }): void {
    if (!this.ioStarted && !this.sqlStarted && this.#style.gtid) this.#purge();
    if (threads.io) {
      this.ioStarted = true;
      this.#triedMs = Number.NEGATIVE_INFINITY;
    }
    if (threads.sql) {
      this.sqlStarted = true;
      this.sqlError = { code: 0, text: '' };
      this.#apply();
    }
    this.#tick();
  }

  stop(threads: { io: boolean; sql: boolean }): void {
    if (threads.io) {
      if (this.ioStarted) this.ioStoppedMs = this.#timeline.nowMs;
      this.ioStarted = false;
      this.#connected = false;
      this.#leave();
    }
    if (threads.sql) {
      this.sqlStarted = false;
      this.#cancel();
    }
  }

  /** The source wrote something, or a link or a host came back: look. */
  poke(): void {
    if (this.#fetching) return;
    this.#fetching = true;
    this.#timeline.after(this.#network.latencyMs(), () => {
      this.#fetching = false;
      this.#fetch();
    });
    this.#apply();
  }

  /** The source's server ended, and the network said so. */
  sourceDied(): void {
    if (!this.#connected || this.#owner.state !== 'up') return;
    this.#connected = false;
    this.#triedMs = this.#timeline.nowMs;
  }

  /** Its own server ended; with its machine nobody tells the source. */
  died(power: boolean): void {
    this.#connected = false;
    this.#commits = false;
    this.#cancel();
    if (power) this.#dump = null;
    else this.#leave();
  }

  /** Its own server is there again. */
  restarted(): void {
    if (this.#style.gtid || this.#style.relayLogRecovery === true) this.#purge();
    this.#metSource = false;
    this.ioStarted = this.#style.startsItself;
    this.sqlStarted = this.#style.startsItself;
    this.sqlError = { code: 0, text: '' };
    this.#triedMs = Number.NEGATIVE_INFINITY;
    this.#tick();
  }

  /** Complete transactions that are received and not applied. */
  get unapplied(): number {
    const { semiSync } = this.#owner;
    return this.relay.filter(({ write }) => !this.#owner.holds(write) || semiSync.isWaiting(write)).length;
  }

  /** Its I/O thread acknowledges what it receives. */
  get acknowledges(): boolean {
    return this.#dump !== null;
  }

  /** Both threads run. */
  get runs(): boolean {
    return this.io === 'Yes' && this.sqlStarted;
  }

  /** Everything that the source holds is here, received and applied. */
  get level(): boolean {
    return this.runs && this.relay.length === 0 && this.received === this.source.log.length;
  }

  facts(): Replication {
    const behind = this.relay[0];
    const runs = this.sqlStarted && (behind !== undefined || this.io === 'Yes');
    const delaySec = behind === undefined ? 0 : Math.floor((this.#timeline.nowMs - behind.write.atMs) / 1_000);
    // With GTIDs a reconnecting I/O thread resets its own coordinates until something comes in.
    const reset = this.#style.gtid && this.io === 'Connecting';
    return {
      source: this.source.host,
      sourceServerId: this.#metSource ? this.source.serverId : 0,
      io: this.io,
      sql: this.sqlStarted ? 'Yes' : 'No',
      ioError: this.io === 'Connecting' ? { code: 2003, text: 'cannot connect to the source' } : NO_ERROR,
      sqlError: this.sqlError,
      delaySec: runs ? delaySec : null,
      received: reset ? { file: '', pos: 4 } : this.source.coordinates(this.received),
      applied: this.source.coordinates(this.applied),
      receivedGtid: this.#style.gtid ? this.#position(this.received) : null,
      appliedGtid: this.#style.gtid ? this.#position(this.applied) : null,
      readAll: this.sqlStarted && this.relay.length === 0 && this.#timeline.nowMs - this.#emptySinceMs >= 100,
      heartbeats: { received: this.#heartbeats, periodMs: 2 * TICK_MS },
      purgesOnStart: this.#style.gtid,
    };
  }

  #tick(): void {
    const nowMs = this.#timeline.nowMs;
    if (this.#owner.state !== 'up' || !this.ioStarted) return;
    const heard = this.#hears();
    if (this.#connected) {
      // A source that was gone with its machine knows nothing of this connection.
      if (heard && this.#dump !== null && this.#metBoot !== this.source.boot) this.sourceDied();
      else if (heard) {
        this.#heardMs = nowMs;
        this.#heartbeats += 1;
      } else if (this.source.state === 'down' && this.#network.talks(this.#owner.name, this.source.name))
        this.sourceDied();
      else if (nowMs - this.#heardMs > this.#style.netTimeoutMs) this.#connected = false;
      return;
    }
    if (nowMs - this.#triedMs < CONNECT_RETRY_MS) return;
    this.#triedMs = nowMs;
    if (!heard) return;
    this.#connected = true;
    this.#metSource = true;
    this.#heardMs = nowMs;
    this.#meet();
    this.poke();
  }

  /** Whether it acknowledges is settled anew with every connection, and the source ends the one that it had before. */
  #meet(): void {
    this.#dump = this.#owner.semiSync.replica ? {} : null;
    const { received } = this;
    const dump = this.#dump;
    this.#metAt = received;
    this.#metBoot = this.source.boot;
    if (dump !== null) this.#tellSource((semiSync) => semiSync.meets(dump, received));
    else if (this.source.semiSync.hasClient) this.#tellSource((semiSync) => semiSync.meets(null, received));
  }

  #leave(): void {
    const dump = this.#dump;
    this.#dump = null;
    if (dump !== null) this.#tellSource((semiSync) => semiSync.left(dump));
  }

  /** Only what comes over the connection is acknowledged, and with it all before. */
  #acknowledge(): void {
    const dump = this.#dump;
    // As often as it is asked while commits wait: TCP would send again what a cut has swallowed.
    const { received } = this;
    const isNew = received > this.#metAt;
    if (dump === null || !isNew || this.source.semiSync.waiting === 0) return;
    this.#tellSource((semiSync) => semiSync.acknowledge(dump, received));
  }

  /** A frozen source reads it when it is thawed. */
  #tellSource(act: (semiSync: SemiSync) => void): void {
    const { source } = this;
    const { boot } = source;
    this.#network.send(this.#owner.name, source.name, () =>
      source.serve(
        () => {
          if (source.boot === boot) act(source.semiSync);
        },
        () => {},
      ),
    );
  }

  #hears(): boolean {
    return this.source.state === 'up' && this.#network.talks(this.#owner.name, this.source.name);
  }

  #fetch(): void {
    if (!this.ioStarted || !this.#connected || this.#owner.state !== 'up' || !this.#hears()) return;
    const { log } = this.source;
    for (; this.received < log.length; this.received++) {
      const write = log[this.received];
      // Its own writes come back by the circle; with GTIDs those that it has are not even sent.
      if (write === undefined || write.origin === this.#owner.serverId) continue;
      if (this.#style.gtid && this.#owner.holds(write)) continue;
      this.relay.push({ write, index: this.received });
    }
    this.#acknowledge();
    this.#settle();
    this.#apply();
  }

  #apply(): void {
    if (this.#cancelApply !== null || this.#commits || !this.sqlStarted || this.#owner.state !== 'up') return;
    if (this.relay.length === 0) return;
    this.#cancelApply = this.#timeline.after(this.#style.applyMs + this.lagMs, () => {
      this.#cancelApply = null;
      if (!this.sqlStarted || this.#owner.state !== 'up') return;
      const [next] = this.relay;
      if (next === undefined) return;
      this.#commits = true;
      const { boot } = this.#owner;
      this.#owner.commitApplied(next.write, () => {
        if (boot !== this.#owner.boot) return;
        this.#commits = false;
        if (this.relay[0] === next) {
          this.relay.shift();
          this.applied = next.index + 1;
        }
        this.#settle();
        this.#apply();
      });
    });
  }

  #settle(): void {
    if (this.relay.length > 0) return;
    this.applied = this.received;
    this.#emptySinceMs = this.#timeline.nowMs;
  }

  #purge(): void {
    this.relay = [];
    this.received = this.applied;
  }

  #cancel(): void {
    this.#cancelApply?.();
    this.#cancelApply = null;
  }

  /** The last GTID of each domain before this place in the source's log. */
  #position(place: number): string {
    if (!this.#style.sharedDomain) return gtids(this.source.highestUpTo(place), this.#style);
    const last = this.source.log[place - 1];
    return last === undefined ? '' : gtids(new Map([[last.origin, last.seq]]), this.#style);
  }
}

const NO_ERROR = { code: 0, text: '' };

/** MariaDB's spelling of the highest number of each server. */
export function gtids(highest: ReadonlyMap<number, number>, { sharedDomain }: ReplicationStyle): string {
  return [...highest]
    .sort(([a], [b]) => a - b)
    .map(([server, seq]) => `${sharedDomain ? 0 : server}-${server}-${seq}`)
    .join(',');
}

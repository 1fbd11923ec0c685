// A simulated database server: up, frozen or down; read only or not; a log of its writes, accounts, connections. It knows nothing of mmm:
// what mmm asks of it is in server.ts. Its replication from the other host is in replica.ts.

import type { Facts } from '../../src/core/observation.ts';
import type { Host } from '../../src/core/pair.ts';
import type { Chance } from './chance.ts';
import type { Network } from './network.ts';
import { gtids, Replica, type ReplicationStyle } from './replica.ts';
import { type CallWatcher, SimSchema } from './schema.ts';
import { SemiSync } from './semi-sync.ts';
import type { Timeline } from './timeline.ts';

/** One transaction. */
export interface Write {
  readonly id: number;
  /** The server id of the host that its client wrote to. */
  readonly origin: number;
  readonly seq: number;
  readonly atMs: number;
}

/** Somebody's session. */
export interface Connection {
  readonly boot: number;
  /** At whose end of the network it is. */
  readonly peer: string;
  readonly application: boolean;
  readonly onBreak: () => void;
}

export type Dialled =
  | { readonly kind: 'connected'; readonly connection: Connection }
  | { readonly kind: 'refused' | 'saturated' | 'denied' };

export interface HostParts {
  readonly name: 'A' | 'B';
  readonly host: Host;
  readonly serverId: number;
  readonly readOnly: boolean;
  readonly style: ReplicationStyle;
  /** The agents are told to block the application's accounts on the passive. */
  readonly blocking: boolean;
  readonly timeline: Timeline;
  readonly network: Network;
  readonly chance: Chance;
  readonly wallMs: () => number;
  readonly tell: (text: string) => void;
  /** Called after everything that may decide who takes writes. */
  readonly onChange: () => void;
  /** Called when it was opened, before anybody writes. */
  readonly onOpen: () => void;
  /** A client is told OK, whether it still listens or not. */
  readonly onTold: (write: Write) => void;
  readonly callWatcher: CallWatcher;
}

const SHUTDOWN_MS = 20;

/** What a frozen machine's clock does: a stopped process finds that time went on, a paused virtual machine does not. */
export type Freeze = 'process' | 'machine';

export class SimHost {
  readonly name: 'A' | 'B';
  readonly host: Host;
  readonly serverId: number;
  state: 'up' | 'frozen' | 'down' = 'up';
  /** The machine is gone, too: nobody says that nothing listens there. */
  poweredOff = false;
  readOnly: boolean;
  /** The application's accounts are blocked; null where the agents do not block. */
  blocked: boolean | null;
  boot = 1;
  /** When it last became able to answer. */
  upSinceMs = 0;
  /** Sessions that keep read_only from being set; nobody may kill them. */
  locks = 0;
  /** Sessions that hold FLUSH TABLES WITH READ LOCK: nothing commits. */
  #readLocks = 0;
  /** New connections are refused: there are too many. */
  saturated = 0;
  slowMs = 0;
  /** When somebody last set the clock back, or a paused machine made it slow. */
  clockBackMs = Number.NEGATIVE_INFINITY;
  /** What the server calls itself: another one behind the same address has another name. */
  uuid: string;
  readonly schema: SimSchema;
  readonly semiSync: SemiSync;
  #wallJumpMs = 0;
  #frozen: { readonly how: Freeze; readonly sinceMs: number } | null = null;
  /** Statements that wait for a global read lock to go. */
  #behindLock: (() => void)[] = [];
  readonly log: Write[] = [];
  readonly #parts: HostParts;
  readonly #held = new Set<number>();
  /** Beside each write of the log: the highest number of each server up to there. */
  readonly #highestAfter: ReadonlyMap<number, number>[] = [];
  readonly #fileStarts = [0];
  readonly #connections = new Set<Connection>();
  #inbox: (() => void)[] = [];
  #startedMs = 0;
  #replica: Replica | null = null;

  constructor(parts: HostParts) {
    this.#parts = parts;
    this.name = parts.name;
    this.host = parts.host;
    this.serverId = parts.serverId;
    this.readOnly = parts.readOnly;
    this.blocked = parts.blocking ? parts.readOnly : null;
    this.uuid = `uuid-${parts.serverId}`;
    const { timeline, chance, callWatcher, style } = parts;
    this.semiSync = new SemiSync({
      flavour: style.gtid ? 'mariadb' : 'mysql',
      end: () => this.log.length,
      onChange: parts.onChange,
    });
    this.schema = new SimSchema({ host: this, timeline, chance: chance.stream('schema'), watcher: callWatcher });
  }

  replicateFrom(source: SimHost): void {
    const { timeline, network, chance, style } = this.#parts;
    this.#replica = new Replica({ owner: this, source, style, timeline, network, chance });
  }

  get replica(): Replica {
    if (this.#replica === null) throw new Error(`${this.name} does not replicate`);
    return this.#replica;
  }

  /** The server that was there from the beginning, and not one that took its place. */
  get isOriginal(): boolean {
    return this.uuid === `uuid-${this.serverId}`;
  }

  get takesWrites(): boolean {
    return this.state === 'up' && !this.readOnly && this.blocked !== true && this.#readLocks === 0;
  }

  /** read_only cannot be set: it waits for these sessions, and for commits that wait for their acknowledgement [F18]. */
  get isLocked(): boolean {
    return this.locks > 0 || this.#readLocks > 0 || this.semiSync.waiting > 0;
  }

  get readLocks(): number {
    return this.#readLocks;
  }

  /** Takes a global read lock, or lets one go. */
  lockForReading(by: 1 | -1): void {
    this.#readLocks += by;
    this.#changed(by > 0 ? 'is under a global read lock' : 'is rid of a global read lock');
    if (this.#readLocks > 0) return;
    for (const act of this.#behindLock.splice(0)) this.after(0, act);
  }

  /** Does this write now, or when no global read lock is held any more. */
  afterReadLock(act: () => void): void {
    if (this.#readLocks === 0) act();
    else this.#behindLock.push(act);
  }

  get wallJumpMs(): number {
    return this.#wallJumpMs;
  }

  /** Sets the server's clock. */
  jump(byMs: number): void {
    this.#wallJumpMs += byMs;
    if (byMs < 0) this.clockBackMs = this.#parts.timeline.nowMs;
    this.schema.clockJumped();
    this.#parts.onChange();
  }

  /** Something that this life of the server does later; frozen meanwhile, when it is thawed. */
  after(ms: number, act: () => void): void {
    const { boot } = this;
    this.#parts.timeline.after(ms, () => {
      if (boot === this.boot) this.#serve(act, () => {});
    });
  }

  tell(text: string): void {
    this.#parts.tell(text);
  }

  holds(write: Write): boolean {
    return this.#held.has(write.id);
  }

  /** What reaches its port. A frozen server does it when it is thawed, whether anybody waits or not. */
  serve(act: () => void, refuse: () => void): void {
    if (this.slowMs === 0) {
      this.#serve(act, refuse);
      return;
    }
    const { boot } = this;
    this.#parts.timeline.after(this.#parts.chance.between(0, this.slowMs), () => {
      if (boot === this.boot) this.#serve(act, refuse);
      else refuse();
    });
  }

  dial(peer: string, application: boolean, onBreak: () => void): Dialled {
    if (this.saturated > 0) return { kind: 'saturated' };
    if (application && this.blocked === true) return { kind: 'denied' };
    const connection: Connection = { boot: this.boot, peer, application, onBreak };
    this.#connections.add(connection);
    return { kind: 'connected', connection };
  }

  /** From the other side. */
  hangUp(connection: Connection): void {
    this.#connections.delete(connection);
  }

  knows(connection: Connection): boolean {
    return this.#connections.has(connection);
  }

  /** Ends the application's sessions, as the fence does. */
  killSessions(): number {
    const { semiSync } = this;
    const spares = semiSync.killsTell && !this.readOnly;
    const killed = [...this.#connections].filter((one) => one.application && !(spares && semiSync.commits(one)));
    for (const connection of killed) this.#break(connection);
    if (!spares) semiSync.kill((by) => by.application);
    return killed.length;
  }

  /** Ends what waits for an acknowledgement, on MariaDB, when nothing else is in the way of read_only, which keeps new commits out meanwhile [F18]. */
  endWaits(): number | null {
    if (!this.semiSync.killsTell || this.locks > 0 || this.#readLocks > 0) return null;
    const killed = [...this.#connections].filter((one) => one.application);
    for (const connection of killed) this.#break(connection);
    this.semiSync.endWaits();
    return killed.length;
  }

  /** An administrator's KILL. */
  kill(connection: Connection): void {
    this.#break(connection);
    this.semiSync.kill((by) => by === connection);
  }

  /** A client's write: told when it is acknowledged, or never; null: it may not. */
  commit(id: number, by: Connection, tell: (write: Write | null) => void): void {
    if (this.readOnly) {
      tell(null);
      return;
    }
    const told = (write: Write) => {
      this.#parts.onTold(write);
      tell(write);
    };
    this.semiSync.commit({ write: () => this.#log(id), by, tell: told });
  }

  writeAsAdministrator(id: number): void {
    this.semiSync.commit({ write: () => this.#log(id), by: null, tell: () => {} });
  }

  /** What its own applier brings in: where its own source side is on that waits, too [F12]. */
  commitApplied(write: Write, done: () => void): void {
    if (this.holds(write)) {
      done();
      return;
    }
    const apply = () => {
      this.#apply(write);
      return write;
    };
    this.semiSync.commit({ write: apply, by: null, tell: done });
  }

  #log(id: number): Write {
    const highest = this.highestUpTo(this.log.length);
    // In a shared domain each server goes on from the other's numbers.
    const before = this.#parts.style.sharedDomain
      ? Math.max(0, ...highest.values())
      : (highest.get(this.serverId) ?? 0);
    const seq = before + 1;
    const write = { id, origin: this.serverId, seq, atMs: this.#parts.timeline.nowMs };
    this.#apply(write);
    return write;
  }

  #apply(write: Write): void {
    if (this.#held.has(write.id)) return;
    this.log.push(write);
    this.#held.add(write.id);
    const highest = new Map(this.#highestAfter.at(-1));
    highest.set(write.origin, Math.max(write.seq, highest.get(write.origin) ?? 0));
    this.#highestAfter.push(highest);
    this.replica.source.replica.poke();
  }

  /** `byHand`: an operator does it, so nobody answers for what an opening promises. */
  setReadOnly(readOnly: boolean, byHand = false): void {
    if (this.readOnly === readOnly) return;
    this.readOnly = readOnly;
    this.#parts.tell(readOnly ? 'is closed' : 'is open');
    if (!readOnly && !byHand) this.#parts.onOpen();
    this.#parts.onChange();
  }

  setBlocked(blocked: boolean): void {
    if (this.blocked === null || this.blocked === blocked) return;
    this.blocked = blocked;
    this.#changed(blocked ? 'blocks its accounts' : 'releases its accounts');
  }

  freeze(how: Freeze = 'process'): void {
    if (this.state !== 'up') return;
    this.state = 'frozen';
    this.#frozen = { how, sinceMs: this.#parts.timeline.nowMs };
    this.#changed(how === 'machine' ? 'is paused' : 'is frozen');
  }

  /** How it was frozen last. */
  get frozen(): Freeze | null {
    return this.#frozen?.how ?? null;
  }

  thaw(): void {
    if (this.state !== 'frozen') return;
    const { timeline, chance } = this.#parts;
    this.state = 'up';
    this.upSinceMs = timeline.nowMs;
    if (this.#frozen?.how === 'machine') this.jump(this.#frozen.sinceMs - timeline.nowMs);
    this.schema.thawed();
    this.#changed('is thawed');
    const inbox = this.#inbox;
    this.#inbox = [];
    const { boot } = this;
    for (const act of inbox) {
      timeline.after(chance.between(0, 5), () => {
        if (boot === this.boot && this.state === 'up') act();
      });
    }
    this.replica.poke();
    this.replica.source.replica.poke();
  }

  /** SHUTDOWN, as systemd does it. */
  shutDown(): void {
    if (this.state !== 'up') return;
    this.semiSync.shutDown();
    const { boot } = this;
    this.#parts.timeline.after(SHUTDOWN_MS, () => {
      if (boot === this.boot) this.die(false);
    });
  }

  /** Its server ends; with `power` its machine, too. */
  die(power: boolean): void {
    if (this.state === 'down') return;
    this.state = 'down';
    this.poweredOff = power;
    this.#inbox = [];
    this.locks = 0;
    this.#readLocks = 0;
    this.#behindLock = [];
    this.schema.died();
    this.semiSync.died();
    const { network, timeline } = this.#parts;
    this.replica.died(power);
    if (!power) {
      const other = this.replica.source;
      network.send(this.name, other.name, () => other.replica.sourceDied());
      for (const connection of [...this.#connections]) this.#break(connection);
    }
    this.#connections.clear();
    this.boot += 1;
    timeline.stir();
    this.#changed(power ? 'loses its power' : 'dies');
  }

  /** Comes up as my.cnf says: read only, or, where that line is missing, writable. */
  restart(): void {
    if (this.state !== 'down') return;
    const { timeline, style } = this.#parts;
    this.state = 'up';
    this.poweredOff = false;
    this.readOnly = !style.startsWritable;
    this.upSinceMs = timeline.nowMs;
    this.#startedMs = timeline.nowMs;
    this.#fileStarts.push(this.log.length);
    this.schema.restarted();
    this.semiSync.restarted();
    this.replica.restarted();
    this.replica.source.replica.poke();
    this.#changed('comes up');
  }

  coordinates(index: number): { file: string; pos: number } {
    let file = 1;
    let start = 0;
    for (const [at, from] of this.#fileStarts.entries()) {
      if (from > index) break;
      file = at + 1;
      start = from;
    }
    return { file: `bin.${String(file).padStart(6, '0')}`, pos: 4 + 100 * (index - start) };
  }

  /** Of each server the highest number among the first `count` writes of the log. */
  highestUpTo(count: number): ReadonlyMap<number, number> {
    return this.#highestAfter[count - 1] ?? new Map();
  }

  facts(): Facts {
    const { style } = this.#parts;
    const { gtid } = style;
    return {
      flavour: gtid ? 'mariadb' : 'mysql',
      version: gtid ? '10.11.9-MariaDB' : '5.6.51',
      serverId: this.serverId,
      boot: { uuid: this.uuid, startedSec: this.startedSec },
      readOnly: this.readOnly,
      serverTime: this.serverTime(),
      connections: [...this.#connections].filter(({ application }) => application).length,
      replication: this.replica.facts(),
      binlog: this.#seenBinlog(),
      gtid: gtid ? gtids(this.highestUpTo(this.log.length), style) : null,
      accounts: this.blocked === null ? null : { open: this.blocked ? 0 : 2, blocked: this.blocked ? 2 : 0 },
      row: this.schema.isInstalled ? this.schema.row : null,
      semiSync: this.schema.isInstalled && this.hasSemiSync ? this.semiSync.facts(this.replica.acknowledges) : null,
    };
  }

  /** MariaDB tells where the last commit is that anybody sees; on MySQL the question would wait for those that wait, so nobody asks it. */
  #seenBinlog(): Facts['binlog'] {
    if (!this.#parts.style.gtid && this.semiSync.source && !this.readOnly) return null;
    return this.coordinates(this.log.length - this.semiSync.unseen);
  }

  get hasSemiSync(): boolean {
    return this.#parts.style.noSemiSync !== true;
  }

  /** `Boot.startedSec`. */
  get startedSec(): number {
    const { wallMs, timeline } = this.#parts;
    const startedSec = Math.floor((wallMs() - timeline.nowMs + this.#startedMs) / 1_000);
    return startedSec - (startedSec % 2);
  }

  serverTime(): number {
    return (this.#parts.wallMs() + this.#wallJumpMs) / 1_000;
  }

  #serve(act: () => void, refuse: () => void): void {
    if (this.poweredOff) return;
    if (this.state === 'down') refuse();
    else if (this.state === 'frozen') this.#inbox.push(act);
    else act();
  }

  #break(connection: Connection): void {
    this.#connections.delete(connection);
    this.#parts.network.send(this.name, connection.peer, connection.onBreak);
  }

  #changed(what: string): void {
    this.#parts.tell(what);
    this.#parts.onChange();
  }
}

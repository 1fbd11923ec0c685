// Semi-synchronous replication of a simulated server, both sides of it, AFTER_SYNC: a commit stands in the binary log, nobody sees it, and
// its client is told OK when a replica has acknowledged it. What ends a wait otherwise was tried on real servers (findings F1, F5, F12, F18)
// and is not the same on MariaDB and MySQL. Part of host.ts; replica.ts acknowledges, schema.ts switches.

import type { SemiSync as SemiSyncFacts } from '../../src/core/observation.ts';
import type { Connection, Write } from './host.ts';

/** One connection of a replica that acknowledges. A new one takes the place of the old. */
export type Dump = object;

/** What waits: a client's commit, an administrator's, or what the applier of this very server brings in. */
export interface Commit {
  /** Writes it into the binary log. */
  readonly write: () => Write;
  /** Its session; null: nobody's that may be killed. */
  readonly by: Connection | null;
  readonly tell: (write: Write) => void;
}

interface Waiting extends Commit {
  killed: boolean;
}

/** One that stands in the binary log. */
interface Logged {
  readonly waiting: Waiting;
  readonly logged: Write;
}

/** What is committed together. Its leader, the first one, waits for all of them. */
interface Group {
  readonly members: readonly Logged[];
  /** An acknowledgement up to here lets it go. */
  readonly end: number;
}

/** On MariaDB one group waits and the next one stands in the binary log; all others wait for their turn to be written there. */
const LOGGED_GROUPS = 2;

interface SemiSyncParts {
  readonly flavour: 'mariadb' | 'mysql';
  /** How long the binary log is. */
  readonly end: () => number;
  /** What waits has become something or nothing. */
  readonly onChange: () => void;
}

export class SemiSync {
  /** Its I/O thread acknowledges; counts when it connects. */
  replica = false;
  readonly #parts: SemiSyncParts;
  #source = false;
  #groups: Group[] = [];
  /** MariaDB: not in the binary log yet. */
  #queue: Waiting[] = [];
  #client: Dump | null = null;
  /** The replica has all before this place of the binary log. */
  #received = 0;
  #acknowledged = 0;

  constructor(parts: SemiSyncParts) {
    this.#parts = parts;
  }

  /** Commits wait for an acknowledgement. */
  get source(): boolean {
    return this.#source;
  }

  /** Those that stand in the binary log, which nobody sees. */
  get unseen(): number {
    return this.#groups.reduce((sum, { members }) => sum + members.length, 0);
  }

  /** Commits that hold what read_only has to wait for: the killed ones of MySQL, too. */
  get waiting(): number {
    return this.unseen + this.#queue.length;
  }

  /** It is in the binary log, and nobody sees it yet. */
  isWaiting(write: Write): boolean {
    return this.#groups.some(({ members }) => members.some(({ logged }) => logged.id === write.id));
  }

  facts(replicaOn: boolean): SemiSyncFacts {
    return {
      source: this.#source,
      clients: this.hasClient ? 1 : 0,
      // The leader alone counts as a session that waits.
      waiting: this.#groups.length > 0 ? 1 : 0,
      acknowledged: this.#acknowledged,
      replica: this.replica,
      replicaOn,
      // Nobody but the calls switches it on, and they set it right.
      wrong: null,
    };
  }

  switchOn(): void {
    this.#source = true;
  }

  /** Everybody who waits is told OK, on every server. */
  switchOff(): void {
    this.#source = false;
    this.#release();
  }

  commit(commit: Commit): void {
    if (!this.#source) {
      commit.tell(commit.write());
      return;
    }
    const waiting = { ...commit, killed: false };
    const isFirst = this.waiting === 0;
    if (this.#parts.flavour === 'mariadb' && this.#groups.length >= LOGGED_GROUPS) this.#queue.push(waiting);
    else this.#log([waiting]);
    if (isFirst) this.#parts.onChange();
  }

  /** A replica connects; null: one that does not acknowledge. Its connection of before is over. MySQL takes it that it holds what it does not ask for. */
  meets(dump: Dump | null, received: number): void {
    this.#client = dump;
    if (dump !== null && this.#parts.flavour === 'mysql') this.acknowledge(dump, received);
  }

  get hasClient(): boolean {
    return this.#client !== null;
  }

  left(dump: Dump): void {
    if (this.#client === dump) this.#client = null;
  }

  acknowledge(dump: Dump, received: number): void {
    if (this.#client !== dump) return;
    this.#received = Math.max(this.#received, received);
    this.#settle();
  }

  /** On MariaDB the end of a session may let others go: a fence spares those who commit, and closes before it ends the rest [F1]. */
  get killsTell(): boolean {
    return this.#parts.flavour === 'mariadb' && this.#source;
  }

  commits(by: Connection): boolean {
    return [...this.#all()].some((waiting) => waiting.by === by);
  }

  /** These sessions are killed: their clients are told an error. What they wrote stays where it is. */
  kill(whose: (by: Connection) => boolean): void {
    for (const waiting of this.#all()) if (waiting.by !== null && whose(waiting.by)) waiting.killed = true;
    this.#settle();
  }

  /** All sessions are ended, who waits for the others last: nobody is told OK. What the applier commits goes on by switching it off. */
  endWaits(): void {
    this.kill(() => true);
    if (this.waiting > 0) this.switchOff();
  }

  /** SHUTDOWN: MySQL tells all OK that wait, MariaDB nobody. */
  shutDown(): void {
    if (this.#parts.flavour === 'mysql') this.#release();
  }

  /** What stands in the binary log is committed at recovery, and nobody is ever told. */
  died(): void {
    this.#groups = [];
    this.#queue = [];
    this.#client = null;
    this.#received = 0;
    this.#acknowledged = 0;
  }

  /** SET GLOBAL does not outlive a server. */
  restarted(): void {
    this.#source = false;
    this.replica = false;
  }

  #log(all: readonly Waiting[]): void {
    const members = all.map((waiting) => ({ waiting, logged: waiting.write() }));
    this.#groups.push({ members, end: this.#parts.end() });
    this.#settle();
  }

  #settle(): void {
    for (let first = this.#groups[0]; first !== undefined; first = this.#groups[0]) {
      const isAcknowledged = this.#received >= first.end;
      // MariaDB: a leader that was killed does not wait. MySQL: it goes on waiting.
      const isLetGo = this.#parts.flavour === 'mariadb' && first.members[0]?.waiting.killed === true;
      if (!isAcknowledged && !isLetGo) return;
      if (isAcknowledged) this.#acknowledged += first.members.length;
      this.#groups.shift();
      this.#tell(first);
      if (this.#queue.length > 0) this.#log(this.#queue.splice(0));
    }
  }

  #release(): void {
    const groups = this.#groups.splice(0);
    const queue = this.#queue.splice(0);
    for (const group of groups) this.#tell(group);
    for (const waiting of queue) {
      const logged = waiting.write();
      if (!waiting.killed) waiting.tell(logged);
    }
    if (groups.length > 0) this.#parts.onChange();
  }

  #tell({ members }: Group): void {
    for (const { waiting, logged } of members) if (!waiting.killed) waiting.tell(logged);
    if (this.waiting === 0) this.#parts.onChange();
  }

  *#all(): Iterable<Waiting> {
    for (const { members } of this.#groups) for (const { waiting } of members) yield waiting;
    yield* this.#queue;
  }
}

// What `durability=lossless` promises besides (design, *Promises*): of two hosts only one tells clients OK, whatever froze, paused or was cut off,
// and what a client was told of is on whoever is open by a later decision. Part of checkers.ts; it knows nothing of how the promises are kept.

import type { Call } from '../../src/core/call.ts';
import { type Complete, isMember } from '../../src/core/complete.ts';
import type { SimHost, Write } from './host.ts';
import type { World } from './world.ts';

type Violated = (promise: 'S1' | 'S2', what: string) => void;

/** The host that was opened last, from its opening on until the other one is. */
interface Turn {
  readonly host: SimHost;
  /** Which server that was. */
  readonly uuid: string;
  readonly sinceMs: number;
  /** The writes that it held when it was opened. */
  readonly held: ReadonlySet<number>;
  /** It was opened so that commits wait. Before, and for what was acknowledged before, nothing is promised. */
  lossless: boolean;
  /** When it first told a client OK; null: not yet. */
  toldMs: number | null;
}

export class LosslessCheckers {
  /** Told by the old host after the new one had begun, of writes that the new one held when it was opened: the answer was late, and true. */
  lateAnswers = 0;
  readonly #world: World;
  readonly #violated: Violated;
  /** What a client was told of by a host that was opened lossless. */
  readonly #owed: Write[] = [];
  #turn: Turn | null = null;

  constructor(world: World, violated: Violated) {
    this.#world = world;
    this.#violated = violated;
  }

  callActs(call: Call, host: SimHost): void {
    if (call.do !== 'open') return;
    const { epoch, terms } = this.#world.board();
    if (host.readOnly && !call.lossless && terms.durability === 'lossless' && epoch?.id === call.epoch.id) {
      this.#violated('S1', `${host.name} is opened by a lossless decision, and its commits do not wait`);
    }
    if (this.#turn?.host === host) {
      this.#turn.lossless ||= call.lossless;
      return;
    }
    const held = new Set(host.log.map(({ id }) => id));
    const sinceMs = this.#world.timeline.nowMs;
    this.#turn = { host, uuid: host.uuid, sinceMs, held, lossless: call.lossless, toldMs: null };
    if (call.lossless) this.#checkHolds(host);
  }

  /**
   * S1: whoever was opened before tells nobody OK any more. Not judged: a write that the new host held when it was opened, for the acknowledgement may
   * have come before, and waited in a server that was frozen.
   */
  told(write: Write, host: SimHost): void {
    const turn = this.#turn;
    if (turn === null) return;
    if (turn.host === host) {
      turn.toldMs ??= this.#world.timeline.nowMs;
      return;
    }
    if (!turn.lossless) return;
    if (turn.held.has(write.id)) {
      this.lateAnswers += 1;
      return;
    }
    const late = `${host.name} tells a client OK for a write that ${turn.host.name}, opened after it, lacks`;
    if (turn.toldMs === null) this.#violated('S2', late);
    else this.#violated('S1', `${late}, and ${turn.host.name} has told clients OK, too`);
  }

  acknowledged(write: Write, host: SimHost): void {
    if (this.#turn?.host === host && this.#turn.lossless) this.#owed.push(write);
  }

  /** S2: nothing that a client was told of is missing where clients write from now on. */
  #checkHolds(host: SimHost): void {
    const missing = this.#owed.filter((write) => !host.holds(write)).length;
    if (missing > 0) this.#violated('S2', `${host.name} is opened without ${missing} writes that clients were told of`);
  }

  /**
   * S2 lets nobody write, and an operator decide: the server that was opened last is not there any more, another one is at its address, and the host that
   * is left has been restarted since it was complete.
   */
  awaitsOperator(): boolean {
    const { complete } = this.#world.wholeBoard();
    if (this.#turn === null || this.#turn.host.uuid === this.#turn.uuid) return false;
    return !this.#world.hosts.some((host) => isComplete(complete, host) || host.takesWrites);
  }

  /**
   * What docs/protocol.md leaves to an administrator, told in the summary and not as a violation: the commits of a host of MySQL that is to be closed wait for
   * an acknowledgement that nobody will give, so that read_only is never set [F18]. What takes the role again is held up by it, too.
   */
  hangsBehindCommits(): boolean {
    const { roles } = this.#world.board();
    return this.#world.hosts.some(
      ({ host, readOnly, semiSync }) =>
        host !== roles?.active && !readOnly && semiSync.waiting > 0 && !semiSync.killsTell,
    );
  }

  /** What is not as it should be at rest; null: both hosts are complete, and commits wait for the passive. */
  notAtRest(): string | null {
    const { terms, complete, joining } = this.#world.wholeBoard();
    const writer = this.#world.hosts.find(({ takesWrites }) => takesWrites);
    if (writer === undefined) return 'nobody takes writes';
    const passive = this.#world.other(writer);
    if (terms.durability !== 'lossless') return 'the pair runs with durability=async';
    if (complete === null) return 'the board does not say which hosts are complete';
    const incomplete = this.#world.hosts.find((host) => !isComplete(complete, host));
    if (incomplete !== undefined) return `the board does not call ${incomplete.name} complete`;
    if (joining !== null) return `${joining.host} is still joining`;
    if (!writer.semiSync.source) return `commits on ${writer.name} do not wait`;
    if (writer.schema.row?.generation !== complete.generation) {
      return `the row of ${writer.name} knows generation ${writer.schema.row?.generation}, the board ${complete.generation}`;
    }
    if (!passive.replica.acknowledges) return `${passive.name} does not acknowledge`;
    if (writer.semiSync.replica) return `the active ${writer.name} is to acknowledge to ${passive.name}`;
    return passive.semiSync.source ? `commits on the passive ${passive.name} wait` : null;
  }
}

function isComplete(complete: Complete | null, host: SimHost): boolean {
  const member = { host: host.host, uuid: host.uuid, startedSec: host.startedSec };
  return complete?.hosts.some((one) => isMember(one, member)) === true;
}

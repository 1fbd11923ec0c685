// The board: the pair's keys in Redis, in the words of the domain. redis.ts implements it.
// Every method throws MmmError (`store-*`) when the store cannot be used; none changes a database.

import type { AgentRecord } from '../core/agents.ts';
import type { Complete, Joining } from '../core/complete.ts';
import type { Board, Decision, Life, Policy, Report } from '../core/decision.ts';
import type { Divergence } from '../core/divergence.ts';
import type { Observation, Sighting } from '../core/observation.ts';
import type { Epoch, EpochName, Host, Pair, Roles } from '../core/pair.ts';
import type { Pause, Request } from '../core/request.ts';

/** What can be listened to: our own wake-ups after observations and decisions, and the contract's message. */
export type WakeKind = 'observed' | 'decided' | 'message';

/** What wakes a loop: an observation or a decision of a pair (null: the connection came back, look at everything). */
export interface WakeEvent {
  readonly kind: WakeKind | 'reconnected';
  readonly uniqsign: string | null;
}

export type CommitOutcome = { readonly kind: 'committed' } | { readonly kind: 'conflict'; readonly board: Board };

/** A pair as an agent finds it on the board. */
export interface FoundPair {
  readonly uniqsign: string;
  readonly board: Board;
  readonly policy: Policy;
  /** It stands there as identify wrote it; else it is lost or garbled, and `policy` is the most careful one. */
  readonly policyIsKnown: boolean;
  /** Who waits for a lease of this pair waits for one of this length: no host of it can have a longer one. */
  readonly longestLeaseMs: number;
}

/** What a change is compared with: it is of this decision, or it does not happen. */
export type EpochGuard = EpochName;

export type Left = 'others' | 'last' | 'conflict';

export interface Store {
  /** monitor: writes servicemode, primaryhost, secondaryhost, members from the configuration where they differ. True when it wrote. */
  describe(pair: Pair, servicemode: 0 | 1): Promise<boolean>;
  /** monitor: writes the `-check` hashes and its own sighting in one step, and publishes the `observed` wake-up. */
  putSighting(uniqsign: string, sighting: Sighting): Promise<void>;
  /** What each monitor that was here lately found last, by name. */
  sightings(uniqsign: string, hosts: readonly Host[]): Promise<Sighting[]>;
  /** The last observation of each host, whoever made it; null where there is none or it cannot be understood (then `garbage` was told). */
  observations(uniqsign: string, hosts: readonly Host[]): Promise<(Observation | null)[]>;
  board(uniqsign: string): Promise<Board>;
  /**
   * One atomic step: compares the board's epoch with `expected` (number and id; null: there must be none), and writes epoch,
   * reasons, policy and, where the decision says so, the flag `unfenced`; publishes the `decided` wake-up. With no safety on it writes mode and
   * master and publishes the contract's message, too; with one on that is `announce`'s. It ends an operator's request, which was for the
   * epoch before; a board that is written `anew` loses what an older one says of the last writer and of complete
   * hosts, and one whose set nobody kept (`voidsComplete`) that set.
   */
  commitRoles(uniqsign: string, decision: Decision, expected: Epoch | null, policy: Policy): Promise<CommitOutcome>;
  /** Takes or renews the lead of a pair's identify for `ttlMs`. False: somebody else leads. */
  lead(uniqsign: string, owner: string, ttlMs: number): Promise<boolean>;
  /** Gives the lead up if `owner` has it. */
  resign(uniqsign: string, owner: string): Promise<void>;
  /** Who leads; null: no identify runs. */
  leader(uniqsign: string): Promise<string | null>;
  /** How many agents of ours listen for decisions under this store's topic. */
  listeners(): Promise<number>;
  /** operator: asks identify, in the place of any earlier request, and wakes it. False: the board's epoch is another one than the request's. */
  putRequest(uniqsign: string, request: Request): Promise<boolean>;
  /** identify: says why not (null, operator: takes it back). False: there is no such request any more. */
  endRequest(uniqsign: string, id: string, refused: string | null): Promise<boolean>;
  /** operator: suspends automatic decisions; null: no more. */
  putPause(uniqsign: string, pause: Pause | null): Promise<void>;
  /** agent: every pair on the board that has roles and belongs to this store's topic. */
  findPairs(): Promise<FoundPair[]>;
  /** agent: one pair again, right before acting on it; null when it is gone. */
  findPair(uniqsign: string): Promise<FoundPair | null>;
  /** agent: answers a decision; dropped (false) when the board's epoch is another one by now. */
  putReport(uniqsign: string, report: Report): Promise<boolean>;
  /**
   * agent: who took writes last, before that changes: null while a host is opened that did not, so that after a crash nobody is taken
   * for the one that needs no drain. False when the board's epoch is another one by now (null: not compared).
   */
  putOpened(uniqsign: string, epoch: Epoch | null, host: Host | null): Promise<boolean>;
  /** agent: writes the contract's keys and publishes its message. False: the board's epoch is another one by now. */
  announce(uniqsign: string, epoch: EpochGuard, roles: Roles): Promise<boolean>;
  /** agent: sets or clears the flag. False: the board's epoch is another one by now. */
  putUnfenced(uniqsign: string, epoch: EpochGuard, unfenced: boolean): Promise<boolean>;
  /** agent: what is known of a host for the day when it falls silent. False: the board's epoch is another one by now. */
  putLife(uniqsign: string, epoch: EpochGuard, host: Host, life: Life): Promise<boolean>;
  /**
   * agent: who holds every acknowledged commit from now on; nobody is joining any more. False, and nothing is changed, where the board's epoch is
   * another one by now, or the generation of its set is not `from` (null: no set is there, or one that cannot be understood) [F7c, F10].
   */
  putComplete(uniqsign: string, epoch: EpochGuard, from: number | null, complete: Complete): Promise<boolean>;
  /**
   * agent: takes the set's next generation, `joining.generation`, for itself, and leaves writer and hosts as they are. Compares as
   * `putComplete`, so that of two only one begins.
   */
  beginJoin(uniqsign: string, epoch: EpochGuard, from: number, joining: Joining): Promise<boolean>;
  /** agent: its own record, in place of the one before; gone after AGENT_TTL_MS. */
  putAgent(uniqsign: string, record: AgentRecord): Promise<void>;
  /** Every agent that has said something lately, by name. */
  agents(uniqsign: string): Promise<readonly AgentRecord[]>;
  /**
   * agent, at its clean stop, in one atomic step: takes its record away. others: somebody else who reaches both servers stays. last: nobody
   * does, and `decision` was committed (as commitRoles does). conflict: nobody does, and the board's epoch is not `expected`.
   */
  leave(
    uniqsign: string,
    name: string,
    last: { readonly decision: Decision; readonly expected: Epoch; readonly policy: Policy },
  ): Promise<Left>;
  /** agent: what stayed on the old active. False: the board's epoch is another one by now. */
  putDivergence(uniqsign: string, epoch: Epoch | null, divergence: Divergence): Promise<boolean>;
  /** agent: where it was saved, or why not. False: another one is on the board by now, or none. */
  noteSaved(uniqsign: string, divergence: Divergence, saved: string): Promise<boolean>;
  /** agent: the active holds it. False: another one is on the board by now, or none. */
  endDivergence(uniqsign: string, divergence: Divergence): Promise<boolean>;
  /** agent: which hosts' I/O threads we stopped for a drain, so that they are ours to start again. */
  putIoStopped(uniqsign: string, host: Host, stopped: boolean): Promise<void>;
  ioStopped(uniqsign: string, hosts: readonly Host[]): Promise<readonly Host[]>;
  /**
   * Calls back on events of these kinds (left out: all), and with `reconnected` whenever some may have been missed; the returned function
   * ends it. It throws for nothing: a store that is away now is listened to when it is back.
   */
  watch(listener: (event: WakeEvent) => void, kinds?: readonly WakeKind[]): Promise<() => Promise<void>>;
  /** Ends everything at once; what is under way throws. */
  close(): Promise<void>;
}

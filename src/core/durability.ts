// Whether the next epoch is lossless, and which complete set counts while it is [F8, F10]. Comes from src/identify-guard.ts once per round,
// and from whoever tells people (src/status-guard.ts, src/operator.ts); core/decide.ts holds every change that the set speaks against.

import { openUnderBoard } from './arming.ts';
import { type Complete, whyIncomplete } from './complete.ts';
import type { Board, Durability, Policy } from './decision.ts';
import type { Observation, SeenFacts } from './observation.ts';
import type { Host } from './pair.ts';
import { rowOf } from './rows.ts';

interface Both {
  readonly primary: Observation | null;
  readonly secondary: Observation | null;
}

interface Situation {
  readonly guarded: boolean;
  readonly policy: Pick<Policy, 'durability'>;
  readonly board: Pick<Board, 'roles' | 'epoch' | 'terms'>;
  /** The board is written anew: nobody knows what was promised to clients. */
  readonly anew: boolean;
  readonly observations: Both;
}

/**
 * What a decision of now says when durability is not its purpose. Only the policy makes an epoch async again: a host that is away, or lost its
 * semi-synchronous replication, makes no promise void that clients were given.
 */
export function permittedDurability({ guarded, policy, board, anew, observations }: Situation): Durability {
  if (!guarded || policy.durability === 'async') return 'async';
  if (!anew) return board.terms.durability;
  const seen = factsOfBoth(observations);
  const wasOpened = seen.some((facts) => facts.row?.opened != null);
  const has = (is: boolean) => seen.some((facts) => facts.hasSemiSync === is);
  return wasOpened && has(true) && !has(false) ? 'lossless' : 'async';
}

/** What is to become of the durability while the roles stay. */
interface DurabilityChange {
  /** undefined: it stays as it is. */
  readonly to: Durability | undefined;
  /** Why it changes, or why a pair that should be lossless is not; null: all is as it should be. */
  readonly why: string | null;
  /** Somebody must look: the pair does not become lossless by itself. */
  readonly alarm: string | null;
}

const STAYS: DurabilityChange = { to: undefined, why: null, alarm: null };

/** A pause changes nothing: what clients were promised holds, and the agents that keep it are there. */
export function durabilityChange({
  guarded,
  policy,
  board,
  anew,
  observations,
  paused,
}: Situation & { readonly paused: boolean }): DurabilityChange {
  const { terms, roles } = board;
  // An epoch without a lease is not guarded yet, or not any more: that changes first.
  if (!guarded || anew || paused || roles === null || terms.lease === null) return STAYS;
  if (policy.durability === 'async') {
    return terms.durability === 'async'
      ? STAYS
      : { ...STAYS, to: 'async', why: 'durability=async: the active acknowledges commits alone' };
  }
  const both = [roles.active, roles.passive].map((host) => ({ host, facts: factsOf(observations, host) }));
  const without = both.find(({ facts }) => facts?.hasSemiSync === false);
  if (terms.durability === 'lossless') {
    if (without === undefined) return STAYS;
    const alarm = `${lacks(without.host)} (durability=lossless): it can neither be opened nor become complete`;
    return { ...STAYS, alarm };
  }
  const [active = null] = [observations.primary, observations.secondary].filter((seen) => seen?.host === roles.active);
  const against = openUnderBoard({ board, active });
  if (against !== null) return { ...STAYS, why: `runs async: ${against}` };
  if (without !== undefined) return runsAsync(lacks(without.host), true);
  const unknown = both.find(({ facts }) => facts?.hasSemiSync !== true);
  if (unknown !== undefined) {
    // A host that answers will tell as soon as an agent has claimed it.
    const why = `it is not known whether ${unknown.host} has semi-synchronous replication`;
    return runsAsync(why, unknown.facts === null);
  }
  return { ...STAYS, to: 'lossless', why: 'durability=lossless: both hosts have semi-synchronous replication' };
}

function runsAsync(because: string, alarms: boolean): DurabilityChange {
  const why = `runs async: ${because} (durability=lossless)`;
  return { to: undefined, why, alarm: alarms ? why : null };
}

function lacks(host: Host): string {
  return `${host} has no semi-synchronous replication`;
}

/** The complete set as far as it counts. */
export interface CompleteNow {
  /** null: unknown, which is nobody. */
  readonly complete: Complete | null;
  /** Why the board's set does not count, or what is missing; null: it counts. */
  readonly doubt: string | null;
}

/** What the rows of the servers and the board say of the set's generation: each is of this set, or of one before it. */
export function highestGeneration(complete: Complete | null, observations: Both): number {
  // Only the row of the host that commits follows each change of the set; the other one's may be of the time when it was the active.
  const row = complete === null ? null : rowOf(seenOf(observations, complete.writer.host));
  return Math.max(complete?.generation ?? 0, row?.generation ?? 0);
}

/** `highest`: the highest generation that was seen since the set last began anew. A lower one is of an old dump [F8]. */
export function completeNow(complete: Complete | null, highest: number): CompleteNow {
  if (complete === null) return { complete: null, doubt: null };
  if (complete.generation >= highest) return { complete, doubt: null };
  const doubt = `the board holds set ${complete.generation}, and set ${highest} was written already`;
  return { complete: null, doubt };
}

/** null: the host holds every commit that a client was told of. */
export function whyNotComplete({ complete, doubt }: CompleteNow, host: Host, observations: Both): string | null {
  if (doubt !== null) return `nobody knows whether ${host} holds every acknowledged commit: ${doubt}`;
  return whyIncomplete(complete, host, factsOf(observations, host)?.boot ?? null);
}

/** For people, who remember no generation: what the board and the rows say now. null: the host is complete, or nobody asks for that. */
export function whyNotCompleteNow(
  { terms, complete }: Pick<Board, 'terms' | 'complete'>,
  host: Host,
  observations: Both,
): string | null {
  if (terms.durability !== 'lossless') return null;
  const now = completeNow(complete, highestGeneration(complete, observations));
  return whyNotComplete(now, host, observations);
}

interface Unsettled {
  readonly policy: Pick<Policy, 'durability'>;
  readonly board: Pick<Board, 'terms' | 'complete'>;
  readonly anew: boolean;
  readonly highest: number;
  readonly observations: Both;
}

/**
 * The set that a change of now is judged by; null: it is asked for none, because commits are acknowledged by the active alone. It is the
 * present epoch that counts, not the next one: what was promised was promised under it.
 */
export function judgedBy({ policy, board, anew, highest, observations }: Unsettled): CompleteNow | null {
  if (!anew) return board.terms.durability === 'lossless' ? completeNow(board.complete, highest) : null;
  // Two hosts that were never opened acknowledged nothing.
  const seen = factsOfBoth(observations);
  const isNew = seen.length === 2 && seen.every(({ row }) => row === null || row.opened === null);
  if (policy.durability === 'async' || isNew) return null;
  return { complete: null, doubt: 'the board was emptied or restored' };
}

function factsOfBoth({ primary, secondary }: Both): readonly SeenFacts[] {
  return [primary, secondary].flatMap((seen) => (seen?.evidence.kind === 'answered' ? [seen.evidence.facts] : []));
}

function seenOf({ primary, secondary }: Both, host: Host): Observation | null {
  return [primary, secondary].find((seen) => seen?.host === host) ?? null;
}

function factsOf(observations: Both, host: Host): SeenFacts | null {
  const seen = seenOf(observations, host);
  return seen?.evidence.kind === 'answered' ? seen.evidence.facts : null;
}

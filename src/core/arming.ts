// Which lease the next epoch permits: finite, when a server that nobody renews is to close itself, or endless [F6, F15].
// Comes from src/identify-guard.ts. Whoever writes an endless lease into a row must find it permitted by the epoch, and while it may be
// there the flag `unfenced` stands on the board: so each decision that permits one sets the flag in the same step.

import { type AgentRecord, keepsLeases } from './agents.ts';
import { answerOf, type Board, isSafetyOn, type Policy, type Terms } from './decision.ts';
import { wasOpenedUnder } from './host-row.ts';
import { LONGEST_LEASE_MS } from './lease.ts';
import type { Observation, SeenFacts } from './observation.ts';
import type { Host } from './pair.ts';

/** Arming changes the epoch: not in the moment in which somebody waits for the report on the last one, and not for an agent that flickers. */
const STEADY_MS = 2_000;

/**
 * A safety is on, or something of ours is on a server: an EVENT with an old finite lease would close a host that is opened without it.
 * It ends where both hosts were looked at and neither has a row; who did not look, or could not, says nothing.
 */
export function isGuarded({
  policy,
  before,
  observations,
}: {
  readonly policy: Pick<Policy, 'fencing' | 'durability'>;
  /** The lease of the decision on the board. */
  readonly before: Terms['lease'];
  readonly observations: readonly (Observation | null)[];
}): boolean {
  if (isSafetyOn(policy)) return true;
  const seen = observations.map(factsOf);
  if (seen.some((facts) => facts !== null && facts.row !== null)) return true;
  // A Perl monitor tells no boot, and looks for no row.
  const bothLooked = seen.every((facts) => facts !== null && facts.boot !== null);
  return before !== null && !bothLooked;
}

function factsOf(observation: Observation | null): SeenFacts | null {
  return observation?.evidence.kind === 'answered' ? observation.evidence.facts : null;
}

interface Permission {
  readonly guarded: boolean;
  readonly policy: Pick<Policy, 'fencing'>;
  /** Of the one on the board; null: there is none that can be understood. */
  readonly fencingBefore: Policy['fencing'] | null;
  readonly board: Pick<Board, 'terms' | 'unfenced'>;
  /** The board is written anew: nobody knows what the leases on the servers are. */
  readonly anew: boolean;
}

/**
 * What a decision of now permits when arming is not its purpose: finite only where the pair is armed already and stays so. A pause makes a lease
 * endless by a decision of its own: with that of a forced failover the flag would say that nobody need wait for the old active's lease.
 */
export function permittedLease({ guarded, policy, fencingBefore, board, anew }: Permission): Terms['lease'] {
  if (!guarded) return null;
  const isArmed = board.terms.lease !== null && board.unfenced === false;
  return policy.fencing === 'lease' && fencingBefore !== 'none' && isArmed && !anew ? 'finite' : 'endless';
}

/**
 * The longest lease that a host may still have when a decision of now is obeyed. The active's was granted by the policy of before; while it was not
 * even opened under the decision on the board, somebody may have one of before that.
 */
export function longestLeaseMs({
  policy,
  leaseBeforeMs,
  board,
}: {
  readonly policy: Pick<Policy, 'leaseMs'>;
  /** Of the policy on the board; null: there is none that can be understood. */
  readonly leaseBeforeMs: number | null;
  readonly board: Pick<Board, 'terms' | 'epoch' | 'report'>;
}): number {
  const carriedMs = answerOf(board)?.outcome === 'opened' ? 0 : (board.terms.longestLeaseMs ?? 0);
  return Math.max(policy.leaseMs, leaseBeforeMs ?? LONGEST_LEASE_MS, carriedMs);
}

/** What a decision says about the lease, and what becomes of the board's flag in the same step. */
export interface Permit {
  readonly lease: Terms['lease'];
  readonly unfenced: boolean | null;
}

/** The flag is set also where it stands already: an agent may be clearing it at this moment, for the epoch before. Only agents clear it. */
export function permit(lease: Terms['lease']): Permit {
  return { lease, unfenced: lease === 'endless' ? true : null };
}

interface Situation {
  readonly guarded: boolean;
  readonly policy: Pick<Policy, 'fencing' | 'leaseAgents'>;
  readonly board: Board;
  readonly paused: boolean;
  readonly agents: readonly AgentRecord[];
  /** Of the board's active and passive. */
  readonly active: Observation | null;
  readonly passive: Observation | null;
  /** Since when nothing has spoken against arming, monotonic milliseconds; null: something did at the last look. */
  readonly readySinceMs: number | null;
  readonly nowMs: number;
}

/** What is to become of the lease while the roles stay. */
interface LeaseChange {
  /** undefined: it stays as it is. */
  readonly to: Terms['lease'] | undefined;
  /** Why it changes, or why a pair that should be armed is not; null: all is as it should be. */
  readonly why: string | null;
  readonly readySinceMs: number | null;
}

export function leaseChange(situation: Situation): LeaseChange {
  const { guarded, policy, board, paused } = situation;
  const { lease } = board.terms;
  const to = (wanted: Terms['lease'], why: string): LeaseChange => ({ to: wanted, why, readySinceMs: null });
  const stays = (why: string | null): LeaseChange => ({ to: undefined, why, readySinceMs: null });
  const isOpen = openUnderBoard(situation);
  if (paused) {
    // Before the agents may be stopped. A host that nobody can open anew keeps the lease that it closes itself by.
    if (lease !== 'finite') return stays(null);
    return isOpen === null
      ? to('endless', 'paused: nobody needs to renew the lease')
      : stays(`not unfenced: ${isOpen}`);
  }
  if (!guarded) return lease === null ? stays(null) : to(null, 'no safety is on, and no server has a row of ours');
  if (lease === null) return to('endless', 'decisions are guarded by the rows on the servers from now on');
  if (policy.fencing === 'none') {
    return lease === 'endless' ? stays(null) : to('endless', 'fencing=none: nobody needs to renew the lease');
  }
  if (lease === 'finite') return stays(null);
  const against = whyUnfenced(situation);
  if (against !== null) return stays(`UNFENCED, the lease is endless: ${against}`);
  const sinceMs = situation.readySinceMs ?? situation.nowMs;
  if (situation.nowMs - sinceMs < STEADY_MS) {
    return { to: undefined, why: 'UNFENCED for another moment: the lease is about to be armed', readySinceMs: sinceMs };
  }
  return to('finite', `armed: ${registered(situation.agents).length} agents renew the lease of ${board.roles?.active}`);
}

type Scene = Pick<Situation, 'board' | 'policy' | 'agents' | 'active' | 'passive'>;

/** What keeps an endless lease from being armed; null: nothing does. In the words of identify's log, status shows it too. */
export function whyUnfenced(scene: Scene): string | null {
  return openUnderBoard(scene) ?? whyNotArmed(scene);
}

/** null: the active takes writes under the very decision on the board. */
export function openUnderBoard({
  board: { epoch, roles },
  active,
}: {
  readonly board: Pick<Board, 'epoch' | 'roles'>;
  readonly active: Observation | null;
}): string | null {
  if (epoch === null || roles === null) return 'nobody has decided about the pair';
  const facts = factsOf(active);
  if (facts === null) return `${roles.active} does not answer`;
  const { row, readOnly } = facts;
  if (readOnly !== false) return `${roles.active} does not take writes`;
  if (wasOpenedUnder(row, epoch)) return null;
  return `the row of ${roles.active} does not say yet that it was opened by decision ${epoch.number}`;
}

function whyNotArmed({ board, policy, agents, active, passive }: Scene): string | null {
  const facts = factsOf(passive);
  const { leaseAgents } = policy;
  const count = registered(agents).length;
  if (count < leaseAgents) {
    return `${count} of ${leaseAgents} agents (lease_agents) ${count === 1 ? 'is' : 'are'} registered`;
  }
  if (facts === null) return `${board.roles?.passive} does not answer`;
  if (facts.readOnly !== true) return `${board.roles?.passive} is not read only`;
  // The passive as well: it could not be opened under a finite lease, and the active's failure would leave nobody.
  const still = [
    { host: board.roles?.active, row: factsOf(active)?.row },
    { host: board.roles?.passive, row: facts.row },
  ].find(({ row }) => row?.armed !== true);
  return still === undefined ? null : `the EVENT of ${still.host} does not tick (event_scheduler=ON in its my.cnf?)`;
}

/** It reached both servers at its last look. */
export function registered(agents: readonly AgentRecord[]): readonly AgentRecord[] {
  return agents.filter(({ reachesBoth }) => reachesBoth);
}

/** Falling below the number does not disarm, but somebody should know; null: there are enough. Asked while both hosts answer. */
export function tooFewAgents({
  policy,
  board,
  agents,
}: {
  readonly policy: Pick<Policy, 'fencing' | 'leaseAgents'>;
  readonly board: Pick<Board, 'terms' | 'roles'>;
  readonly agents: readonly AgentRecord[];
}): string | null {
  // One that has just lost the passive renews all the same.
  const count = agents.filter(keepsLeases).length;
  if (policy.fencing !== 'lease' || board.terms.lease !== 'finite' || count >= policy.leaseAgents) return null;
  const left = count === 0 ? 'NO AGENT is' : count === 1 ? 'ONLY ONE AGENT is' : `ONLY ${count} AGENTS are`;
  return `${left} registered, lease_agents is ${policy.leaseAgents}: ${board.roles?.active} closes itself when nobody renews its lease`;
}

/** A host whose EVENT does not run cannot be opened under a finite lease: nobody is to be closed for it. null: nothing speaks against it. */
export function unarmed(host: Host, facts: Pick<SeenFacts, 'row'>, lease: Terms['lease']): string | null {
  if (lease !== 'finite' || facts.row === null || facts.row.armed) return null;
  return `the EVENT of ${host} does not tick, so it cannot be opened with a lease`;
}

// What an agent remembers of the active and its partner from one look to the next: whether commits stand still, how far a join has come, and how
// long a partner that comes and goes is left alone. Nothing here is needed for safety: who forgets it begins a join anew.
// Comes from src/agent-partner.ts with each look; goes on to partner.ts, which decides by it.

import { type Complete, isMember, type Joining } from './complete.ts';
import type { Durability } from './decision.ts';
import type { Coordinates, Evidence, Facts, SemiSync } from './observation.ts';
import type { Epoch, Host, Roles } from './pair.ts';

/** The board, and what was seen of both hosts after it was read: so a set that does not fit what is seen is old, and changing it fails. */
export interface Partnership {
  readonly epoch: Epoch;
  readonly roles: Roles;
  /** What the decision says. */
  readonly durability: Durability;
  readonly complete: Complete | null;
  readonly joining: Joining | null;
  /** This agent goes, and it is the last one: nobody would notice that the passive is gone, and clients would wait for it (L3). */
  readonly leaving: boolean;
  /** What stayed on the passive waits for an operator. */
  readonly held: boolean;
  readonly active: Evidence;
  readonly passive: Evidence;
  /** The established connection to the passive broke, and there is no other one yet. */
  readonly passiveBroke: boolean;
  /** The name of the agent that looks. */
  readonly agent: string;
  /** When the look at the active ended, by the monotonic clock. */
  readonly nowMs: number;
  /** The same by the wall clock, which other agents share. */
  readonly wallMs: number;
}

/** How far the active had come. */
export interface Place {
  readonly binlog: Coordinates | null;
  readonly gtid: string | null;
}

/** A join that this agent sees to. */
export interface Join {
  readonly generation: number;
  readonly beganMs: number;
  /** When the passive's I/O thread was started anew, so that it acknowledges; null: it was not. */
  readonly restartedMs: number | null;
  /** Since when the active waits for acknowledgements under this generation; null: not yet. */
  readonly onSinceMs: number | null;
  /** The passive, and nobody else, acknowledges. */
  readonly paired: boolean;
  /** Where the active stood at a look that began after it was paired: what came before may have been acknowledged alone [F7]. */
  readonly goal: Place | null;
}

export interface PartnerMemory {
  /** What the board said last. */
  readonly complete: Complete | null;
  readonly joining: Joining | null;
  /** Commits wait, and so many were acknowledged at each look since. */
  readonly stuck: { readonly acknowledged: number; readonly sinceMs: number } | null;
  /** Where the active stood at the look before. */
  readonly stood: { readonly place: Place; readonly atMs: number } | null;
  readonly join: Join | null;
  /** When the partner was lost last, or could not be joined; null: not while this agent looked. */
  readonly lostAtMs: number | null;
  /** So long it is left alone then. */
  readonly gapMs: number;
  readonly joinedAtMs: number | null;
}

const FIRST_GAP_MS = 1_000;
const MOST_GAP_MS = 60_000;
/** A partner that was there for so long does not flap. */
const QUIET_MS = 60_000;

export const NO_MEMORY: PartnerMemory = {
  complete: null,
  joining: null,
  stuck: null,
  stood: null,
  join: null,
  lostAtMs: null,
  gapMs: FIRST_GAP_MS,
  joinedAtMs: null,
};

/** What a new look adds to what is known. */
export function learn(seen: Partnership, before: PartnerMemory): PartnerMemory {
  return {
    complete: seen.complete,
    joining: seen.joining,
    stuck: stuckAfter(seen, before),
    stood: before.stood,
    join: joinAfter(seen, before),
    ...flappingAfter(seen, before),
  };
}

export function placeOf({ binlog, gtid }: Facts): Place {
  return { binlog, gtid };
}

/** The active waits for one acknowledgement, and it is the passive that gives it: a third replica must not be taken for it [F7]. */
function isPaired(source: SemiSync | null, { semiSync }: Facts): boolean {
  return source?.clients === 1 && semiSync?.replicaOn === true;
}

function stuckAfter({ active, nowMs }: Partnership, before: PartnerMemory): PartnerMemory['stuck'] {
  if (active.kind !== 'answered') return before.stuck;
  const semi = active.facts.semiSync;
  if (semi === null || !semi.source || semi.waiting === 0) return null;
  const { acknowledged } = semi;
  return before.stuck?.acknowledged === acknowledged ? before.stuck : { acknowledged, sinceMs: nowMs };
}

/** null: somebody else has taken the join over, or it was never begun. */
function joinAfter({ joining, agent, active, passive, nowMs }: Partnership, { join }: PartnerMemory): Join | null {
  if (join === null || joining?.by !== agent || joining.generation !== join.generation) return null;
  if (active.kind !== 'answered' || passive.kind !== 'answered') return join;
  const { semiSync, row } = active.facts;
  const isOn = semiSync?.source === true && row?.generation === join.generation;
  return {
    ...join,
    onSinceMs: isOn ? (join.onSinceMs ?? nowMs) : null,
    paired: isOn && isPaired(semiSync, passive.facts),
    goal: isOn ? (join.goal ?? (join.paired ? placeOf(active.facts) : null)) : null,
  };
}

/** By what the board says, so that each agent knows of what the other ones lost. */
function flappingAfter(
  { complete: now, joining, roles, nowMs }: Partnership,
  { complete: before, joining: joiningBefore, lostAtMs, gapMs, joinedAtMs }: PartnerMemory,
): Pick<PartnerMemory, 'lostAtMs' | 'gapMs' | 'joinedAtMs'> {
  const have = hasPartner(now, roles.passive);
  if (now === null || before === null || !isMember(now.writer, before.writer)) {
    return { lostAtMs: null, gapMs: FIRST_GAP_MS, joinedAtMs: have ? nowMs : null };
  }
  const had = hasPartner(before, roles.passive);
  const isNew = now.generation !== before.generation;
  const failed = !had && !have && isNew && joiningBefore !== null;
  if (!failed && !(had && (!have || isNew))) {
    return { lostAtMs, gapMs, joinedAtMs: have ? (joinedAtMs ?? nowMs) : null };
  }
  const wasQuiet = lostAtMs === null || (joinedAtMs !== null && nowMs - joinedAtMs >= QUIET_MS);
  return {
    lostAtMs: nowMs,
    gapMs: wasQuiet ? FIRST_GAP_MS : Math.min(2 * gapMs, MOST_GAP_MS),
    // Lost and joined again between two looks.
    joinedAtMs: have && joining === null ? nowMs : null,
  };
}

function hasPartner(complete: Complete | null, host: Host): boolean {
  return complete?.hosts.some((member) => member.host === host) === true;
}

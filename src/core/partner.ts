// The partner of the active under durability=lossless: which host besides it holds every acknowledged commit. One step at a time is derived from
// the board's complete set and a look at both hosts: record a new writer, let the active go on alone when its partner is lost, take the partner in
// again. The order is what it is about: the set shrinks before the active acknowledges alone, and grows only after both hold the same [F7, F10].
// Comes from src/agent-partner.ts, which looks, does the step and looks again; partner-memory.ts is what it remembers. Pure.

import { type Complete, isMember, type Joining, type Member } from './complete.ts';
import { isClaimed, wasOpenedInThisLife } from './guard.ts';
import { wasOpenedUnder } from './host-row.ts';
import type { Evidence, Facts, ThreadError } from './observation.ts';
import { type Join, learn, type PartnerMemory, type Partnership, type Place, placeOf } from './partner-memory.ts';
import { hasReceived, holdsGtids, isApplied } from './replication.ts';
import { replicatesFrom } from './source.ts';

/** Changes the board's set by comparing, or a server by a comparing call. Each can be cut off anywhere and done twice. */
export type PartnerStep =
  /**
   * Writes the set, where its generation is `from`. record: of a new writer. shrink: without the partner that was lost. renumber: as it is, so
   * that whoever knows the generation before changes nothing any more. give-up: the same, after a join that failed. complete: with the partner.
   */
  | {
      readonly do: 'record' | 'shrink' | 'renumber' | 'give-up' | 'complete';
      readonly from: number | null;
      readonly complete: Complete;
    }
  /** Takes the next generation for a join. */
  | { readonly do: 'join'; readonly from: number; readonly joining: Joining }
  /** The active's commits wait for an acknowledgement, or go without one. */
  | { readonly do: 'sync-on' | 'sync-off'; readonly generation: number }
  /** The passive acknowledges what it receives, from its I/O thread's next start on. */
  | { readonly do: 'acknowledge' }
  /** Starts the passive's I/O thread anew. */
  | { readonly do: 'restart-io' };

export type PartnerNext =
  | { readonly kind: 'step'; readonly step: PartnerStep; readonly why: string }
  /** Nothing yet: look again. */
  | { readonly kind: 'look'; readonly inMs: number }
  /** Nothing is to be done. `trouble`: why the active is the only complete host; null: it is not, or need not be. */
  | { readonly kind: 'rest'; readonly trouble: string | null; readonly inMs: number };

const REST_MS = 1_000;
/** While commits wait, or the passive is seen to be down, the next look is due sooner. */
const WATCH_MS = 50;
/** Until the next look of a join. */
const JOIN_LOOK_MS = 20;
/** Commits that wait so long, and none is acknowledged: the partner is lost. */
const STUCK_MS = 1_500;
/** The same where nothing listens at the passive any more. That alone is no reason: a firewall may refuse this agent. */
const STUCK_DOWN_MS = 50;
/** Each wait of a join, while which commits may wait, too. */
const JOIN_WAIT_MS = 1_000;
/** A whole join; on the board it is over a second later. */
const JOIN_MS = 4_000;
const JOINING_MS = 5_000;
/** Received by now what the active held at a look so long ago at most: it has caught up. */
const LEVEL_MS = 3_000;

/** The next step, and what to remember until the next look. */
export function nextPartnerStep(
  seen: Partnership,
  before: PartnerMemory,
): { readonly next: PartnerNext; readonly memory: PartnerMemory } {
  const memory = learn(seen, before);
  const next = plan(seen, memory);
  return { next, memory: remember(seen, memory, next) };
}

function plan(seen: Partnership, memory: PartnerMemory): PartnerNext {
  const { roles, complete } = seen;
  const active = openOf(seen);
  // Somebody else sees to it that there is a writer.
  if (active === null) return { kind: 'look', inMs: REST_MS };
  const isOn = active.semiSync?.source === true;
  const unwanted = whyUnwanted(seen);
  if (unwanted !== null && complete === null && !isOn) return rest(null);
  const writer: Member = { host: roles.active, ...active.boot };
  const isKnown =
    complete !== null && isMember(complete.writer, writer) && complete.hosts.some((member) => isMember(member, writer));
  if (!isKnown) {
    const why =
      complete === null
        ? 'the board does not say which hosts are complete'
        : `the complete hosts on the board are those of ${complete.writer.host} before ${roles.active} was opened`;
    return put('record', seen, active, [writer], why);
  }
  const alone = [writer];
  if (complete.hosts.length > 1) {
    const lost = whyLost(seen, memory, active, complete);
    if (lost !== null) return put('shrink', seen, active, alone, lost);
    const isWatched = memory.stuck !== null || seen.passive.kind === 'refused';
    return { kind: 'rest', trouble: null, inMs: isWatched ? WATCH_MS : REST_MS };
  }
  if (memory.join !== null) return goOn(seen, active, memory.join, alone);
  const { joining } = seen;
  if (joining !== null && joining.untilMs > seen.wallMs) {
    // Another agent's. It alone may go on with it, unless clients wait because of it.
    if (!isOn || whyStuck(seen, memory) === null) return { kind: 'look', inMs: WATCH_MS };
  }
  if (isOn) {
    const { generation } = complete;
    // Whoever began the join that is over may be asleep right before its end: it must not find the number that it knows.
    if (joining !== null)
      return put('renumber', seen, active, alone, `the join of ${joining.by} did not come to its end`);
    if (generationOf(active) > generation) {
      return put(
        'renumber',
        seen,
        active,
        alone,
        `the row of ${roles.active} knows generation ${generationOf(active)}`,
      );
    }
    return step({ do: 'sync-off', generation }, `${roles.active} alone holds every acknowledged commit`);
  }
  return unwanted !== null ? rest(null) : beginJoin(seen, memory, active, complete.generation);
}

/** What the active says, if it is open under the board's decision in this life: only then anything here means something. */
function openOf({ active, epoch }: Partnership): Facts | null {
  if (active.kind !== 'answered' || active.facts.readOnly) return null;
  const { row, boot } = active.facts;
  return isClaimed(row, epoch) && wasOpenedUnder(row, epoch) && wasOpenedInThisLife(row, boot) ? active.facts : null;
}

/** Why the active is to acknowledge alone, whatever its partner is like; null: it is not. */
function whyUnwanted({ durability, leaving }: Partnership): string | null {
  if (durability === 'async') return 'the pair runs with durability=async';
  return leaving ? 'the last agent was stopped, and nobody would notice that its partner is gone' : null;
}

/** Why the set must not say any longer that the passive holds every acknowledged commit; null: it does. */
function whyLost(seen: Partnership, memory: PartnerMemory, active: Facts, complete: Complete): string | null {
  const { roles, passive } = seen;
  const unwanted = whyUnwanted(seen);
  if (unwanted !== null) return unwanted;
  const partner = complete.hosts.find(({ host }) => host === roles.passive);
  if (partner === undefined || complete.hosts.length > 2)
    return 'the board calls a host complete that is not of the pair';
  const source = active.semiSync;
  if (source === null) return `${roles.active} has no semi-synchronous replication`;
  if (!source.source) return `semi-synchronous replication was switched off on ${roles.active}`;
  if (source.wrong !== null) return `${roles.active} may acknowledge alone: ${source.wrong}`;
  if (generationOf(active) !== complete.generation) {
    return `the row of ${roles.active} knows generation ${generationOf(active)}, the board ${complete.generation}`;
  }
  if (source.clients === 0) return `no replica acknowledges to ${roles.active}`;
  if (source.clients > 1) return others(seen, source.clients);
  if (passive.kind === 'answered') {
    const { boot, semiSync } = passive.facts;
    if (!isMember(partner, { host: roles.passive, ...boot })) return `${roles.passive} was restarted`;
    if (semiSync?.replicaOn !== true) return `${roles.passive} does not acknowledge, another replica does`;
    const broken = whyNotApplying(seen, active, passive.facts);
    if (broken !== null) return broken;
  }
  return whyStuck(seen, memory);
}

/** Clients wait for a partner that says nothing. */
function whyStuck({ roles, passive, passiveBroke, nowMs }: Partnership, { stuck }: PartnerMemory): string | null {
  if (stuck === null) return null;
  const isDown = passive.kind === 'refused' && passiveBroke;
  const forMs = nowMs - stuck.sinceMs;
  if (forMs < (isDown ? STUCK_DOWN_MS : STUCK_MS)) return null;
  return `commits wait, and ${roles.passive} acknowledged none for ${Math.round(forMs)} ms`;
}

/** It would hold what it receives, and not be able to apply it when it is to be opened (S4). */
function whyNotApplying({ roles }: Partnership, active: Facts, passive: Facts): string | null {
  const { replication } = passive;
  if (replication === null) return `${roles.passive} does not replicate`;
  if (!replicatesFrom(replication, roles.active, active.serverId)) {
    return `${roles.passive} replicates from ${replication.source}, not from ${roles.active}`;
  }
  if (replication.sql === 'Yes') return null;
  if (replication.sqlError.code !== 0) {
    return `the SQL thread of ${roles.passive} stopped${inWords(replication.sqlError)}`;
  }
  if (replication.io === 'No' && !isApplied(passive)) {
    return `both replication threads of ${roles.passive} are stopped with transactions unapplied, which may be lost when they start`;
  }
  return null;
}

/** Why the passive cannot be taken into the set now; null: it can. `begun`: its I/O thread may just be starting. */
function whyNotReady(seen: Partnership, active: Facts, begun: boolean): string | null {
  const { roles, epoch, passive, held } = seen;
  if (passive.kind !== 'answered') return `${roles.passive} does not answer (${passive.message})`;
  const { facts } = passive;
  if (!facts.readOnly) return `${roles.passive} is not closed`;
  if (!isClaimed(facts.row, epoch)) return `${roles.passive} does not know decision ${epoch.number} yet`;
  if (active.semiSync === null) return `${roles.active} has no semi-synchronous replication`;
  if (facts.semiSync === null) return `${roles.passive} has no semi-synchronous replication`;
  const broken = whyNotApplying(seen, active, facts);
  if (broken !== null) return broken;
  const { replication } = facts;
  if (replication?.sql !== 'Yes') return `the SQL thread of ${roles.passive} does not run`;
  if (!begun && replication.io !== 'Yes') {
    return `the I/O thread of ${roles.passive} does not run${inWords(replication.ioError)}`;
  }
  if (facts.semiSync.source)
    return `the applier of ${roles.passive} would wait for acknowledgements: its source side is on`;
  if (held) return `what stayed on ${roles.passive} waits for an operator (on_divergence=hold)`;
  const { clients } = active.semiSync;
  if (clients > (begun || facts.semiSync.replicaOn ? 1 : 0)) return others(seen, clients);
  return null;
}

function beginJoin(seen: Partnership, memory: PartnerMemory, active: Facts, from: number): PartnerNext {
  const { roles, passive, agent, nowMs, wallMs } = seen;
  const why = whyNotReady(seen, active, false);
  if (why !== null) return rest(why);
  const { lostAtMs, gapMs, stood } = memory;
  if (lostAtMs !== null && nowMs - lostAtMs < gapMs) return { kind: 'look', inMs: lostAtMs + gapMs - nowMs };
  const level = stood !== null && nowMs - stood.atMs <= LEVEL_MS ? stood.place : null;
  // Nothing is known yet of where the active stood a moment ago.
  if (level === null) return { kind: 'look', inMs: WATCH_MS };
  if (!isReceived(passive, level))
    return rest(`${roles.passive} has not received what ${roles.active} held a moment ago`);
  const joining: Joining = {
    host: roles.passive,
    by: agent,
    generation: nextGeneration(from, active),
    untilMs: wallMs + JOINING_MS,
  };
  return step({ do: 'join', from, joining }, `${roles.passive} has caught up`);
}

/** A join of this agent, whose generation stands on the board. */
function goOn(seen: Partnership, active: Facts, join: Join, alone: readonly Member[]): PartnerNext {
  const { roles, passive, nowMs } = seen;
  const giveUp = (why: string) => put('give-up', seen, active, alone, why);
  const waited = (sinceMs: number, why: string): PartnerNext =>
    nowMs - sinceMs < JOIN_WAIT_MS ? { kind: 'look', inMs: JOIN_LOOK_MS } : giveUp(`${why} within ${JOIN_WAIT_MS} ms`);

  const unwanted = whyUnwanted(seen);
  if (unwanted !== null) return giveUp(unwanted);
  if (nowMs - join.beganMs >= JOIN_MS) return giveUp(`the join took longer than ${JOIN_MS} ms`);
  const why = whyNotReady(seen, active, true);
  if (why !== null || passive.kind !== 'answered') return giveUp(why ?? `${roles.passive} does not answer`);
  const { facts } = passive;
  if (join.onSinceMs === null) {
    // First the passive, so that no commit waits for its I/O thread to connect.
    if (facts.semiSync?.replica !== true) return step({ do: 'acknowledge' }, `${roles.passive} joins`);
    if (facts.semiSync.replicaOn && facts.replication?.io === 'Yes') {
      return step({ do: 'sync-on', generation: join.generation }, `${roles.passive} joins`);
    }
    if (join.restartedMs === null) return step({ do: 'restart-io' }, `${roles.passive} is to acknowledge`);
    return waited(join.restartedMs, `the I/O thread of ${roles.passive} did not start to acknowledge`);
  }
  const wrong = active.semiSync?.wrong ?? null;
  if (wrong !== null) return giveUp(`${roles.active} may acknowledge alone: ${wrong}`);
  if (!join.paired) return waited(join.onSinceMs, `${roles.passive} was not seen to acknowledge to ${roles.active}`);
  if (join.goal === null) return { kind: 'look', inMs: 0 };
  if (!isReceived(passive, join.goal)) {
    return waited(join.onSinceMs, `${roles.passive} did not receive all that ${roles.active} holds`);
  }
  const complete: Complete = {
    generation: join.generation,
    writer: { host: roles.active, ...active.boot },
    hosts: [...alone, { host: roles.passive, ...facts.boot }],
  };
  return step(
    { do: 'complete', from: join.generation, complete },
    `${roles.passive} acknowledges, and has received all that ${roles.active} held when it began to`,
  );
}

function remember(seen: Partnership, memory: PartnerMemory, next: PartnerNext): PartnerMemory {
  const { active, nowMs } = seen;
  const known =
    active.kind === 'answered' ? { ...memory, stood: { place: placeOf(active.facts), atMs: nowMs } } : memory;
  if (next.kind !== 'step') return known;
  const { step } = next;
  if (step.do === 'join') {
    const { generation } = step.joining;
    const join: Join = { generation, beganMs: nowMs, restartedMs: null, onSinceMs: null, paired: false, goal: null };
    return { ...known, join };
  }
  if (step.do === 'restart-io' && known.join !== null) {
    return { ...known, join: { ...known.join, restartedMs: nowMs } };
  }
  return known;
}

/** MySQL is not asked for its position while its commits may wait. A set of GTIDs says the same: every version that can be lossless counts whole transactions. */
function isReceived(passive: Evidence, { binlog, gtid }: Place): boolean {
  if (passive.kind !== 'answered') return false;
  if (binlog !== null) return hasReceived(passive.facts, binlog, gtid);
  return gtid !== null && holdsGtids(passive.facts, gtid);
}

function put(
  what: Extract<PartnerStep, { complete: Complete }>['do'],
  { complete }: Partnership,
  active: Facts,
  hosts: readonly Member[],
  why: string,
): PartnerNext {
  const [writer] = hosts;
  if (writer === undefined) throw new Error('a complete set without its writer');
  const from = complete?.generation ?? null;
  return step({ do: what, from, complete: { generation: nextGeneration(from, active), writer, hosts } }, why);
}

/** Above the row's, too: a board that was written anew counts from nothing, and the row refuses what is lower than its own. */
function nextGeneration(from: number | null, active: Facts): number {
  return Math.max(from ?? 0, generationOf(active)) + 1;
}

function generationOf({ row }: Facts): number {
  return row?.generation ?? 0;
}

function others({ roles }: Partnership, clients: number): string {
  return `another replica than ${roles.passive} acknowledges to ${roles.active} (${clients} in all), and would be taken for it`;
}

function inWords({ code, text }: ThreadError): string {
  return code === 0 ? '' : ` (error ${code}: ${text})`;
}

function rest(trouble: string | null): PartnerNext {
  return { kind: 'rest', trouble, inMs: REST_MS };
}

function step(what: PartnerStep, why: string): PartnerNext {
  return { kind: 'step', step: what, why };
}

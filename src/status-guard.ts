// What `mmm status` shows of a pair with a safety on: its lease, who renews it, and where servers and board disagree.
// Comes from src/status.ts with what the board holds; judges nothing that the daemons do not judge by core/guard.ts and core/lease.ts.

import type { AgentRecord, Renewal } from './core/agents.ts';
import { registered as registeredOf, tooFewAgents, whyUnfenced } from './core/arming.ts';
import type { Board, Policy } from './core/decision.ts';
import { wasOpenedUnder } from './core/host-row.ts';
import type { Observation, SeenFacts, SeenRow } from './core/observation.ts';
import { type Epoch, type Host, isSameEpoch, type Roles } from './core/pair.ts';
import { isOver } from './core/request.ts';
import { whyStranger } from './core/stranger.ts';
import { type DurabilityStatus, durabilityLines, durabilityStatus } from './status-durability.ts';

export interface LeaseStatus {
  /**
   * armed: the active closes itself, so it is waited out when it falls silent. finite: it has a lease, but a silent active counts as not
   * fenced. endless: nothing closes it.
   */
  readonly state: 'armed' | 'finite' | 'endless';
  /** How long it lasts; null: the policy is not on the board. */
  readonly sec: number | null;
  /** Why it is not armed; '' when it is. */
  readonly why: string;
}

export interface RowStatus {
  readonly host: Host;
  /** The highest decision that was claimed there; null: none. */
  readonly epoch: number | null;
  /** The decision under which it was last opened; null: never. */
  readonly opened: number | null;
  readonly lease: SeenRow['lease'];
  /** Its EVENT ticks. */
  readonly armed: boolean;
  readonly unfenced: boolean;
}

export interface GuardStatus {
  readonly lease: LeaseStatus;
  /** null: durability=async, and nothing else is to be. */
  readonly durability: DurabilityStatus | null;
  /** How many registered agents arm the lease; null: the policy is not on the board. */
  readonly agentsWanted: number | null;
  /** The names of those that reach both servers. */
  readonly registered: readonly string[];
  /** The names of those that were here lately and do not. */
  readonly unregistered: readonly string[];
  /** The lease is armed and fewer agents than wanted are left; null: there are enough. */
  readonly tooFew: string | null;
  readonly renewals: readonly ({ readonly agent: string } & Renewal)[];
  readonly rows: readonly RowStatus[];
  /** What the rows and the contract's keys say otherwise than the decision, one sentence each. */
  readonly disagreements: readonly string[];
  /** Hosts behind whose address another server answers than the one that was known there, and what that means. */
  readonly strangers: readonly { readonly host: Host; readonly why: string }[];
}

/** What it is made of. The observations are those of the active and the passive. */
export interface GuardScene {
  readonly board: Board;
  /** null: not on the board. */
  readonly policy: Policy | null;
  readonly agents: readonly AgentRecord[];
  readonly observations: readonly Observation[];
  readonly nowMs: number;
}

/** null: no safety is on. */
export function guardStatus(scene: GuardScene): GuardStatus | null {
  const { board, policy, agents, observations } = scene;
  const { epoch, roles, terms } = board;
  if (epoch === null || roles === null || terms.lease === null) return null;
  const seen = new Map(
    observations.flatMap(({ host, evidence }) =>
      evidence.kind === 'answered' ? [[host, evidence.facts] as const] : [],
    ),
  );
  const registered = registeredOf(agents);
  const namesOf = (records: readonly AgentRecord[]) => records.map(({ name }) => name);
  return {
    lease: leaseOf(scene, terms.lease, roles.active, seen.get(roles.active)),
    durability: durabilityStatus(scene, roles),
    agentsWanted: policy?.leaseAgents ?? null,
    registered: namesOf(registered),
    unregistered: namesOf(agents.filter((agent) => !registered.includes(agent))),
    tooFew: policy === null ? null : tooFewAgents({ policy, board, agents }),
    renewals: agents.flatMap(({ name, renewal }) => (renewal === null ? [] : [{ agent: name, ...renewal }])),
    rows: [...seen].flatMap(([host, { row }]) => (row === null ? [] : [rowOf(host, row)])),
    disagreements: disagreementsOf({ epoch, roles, board, seen }),
    strangers: [...seen].flatMap(([host, { boot }]) => {
      const why = whyStranger(host, boot, board.lives.get(host));
      return why === null ? [] : [{ host, why }];
    }),
  };
}

function leaseOf(
  scene: GuardScene,
  permitted: 'finite' | 'endless',
  active: Host,
  facts: SeenFacts | undefined,
): LeaseStatus {
  const { board, policy } = scene;
  const sec = policy === null ? null : policy.leaseMs / 1000;
  if (permitted === 'endless') return { state: 'endless', sec, why: whyEndless(scene) };
  const why = whyNotArmed(board, active, facts);
  return why === null ? { state: 'armed', sec, why: '' } : { state: 'finite', sec, why };
}

function whyEndless({ board, policy, agents, observations, nowMs }: GuardScene): string {
  const { pause, roles } = board;
  if (pause !== null && !isOver(pause, nowMs)) return `paused by ${pause.by}`;
  if (policy === null) return 'no policy is on the board';
  if (policy.fencing === 'none') {
    return policy.durability === 'lossless'
      ? 'fencing=none, so nothing closes it'
      : 'fencing=none, and the servers still have the rows of a lease';
  }
  const of = (host: Host | undefined) => observations.find((seen) => seen.host === host) ?? null;
  const scene = { board, policy, agents, active: of(roles?.active), passive: of(roles?.passive) };
  return whyUnfenced(scene) ?? 'identify is about to arm it; does one run?';
}

/** null: it is armed, by what counts on the day when it falls silent. */
function whyNotArmed({ unfenced, lives }: Board, active: Host, facts: SeenFacts | undefined): string | null {
  if (unfenced !== false) return 'the flag unfenced stands until the agents have cleared both rows';
  const life = lives.get(active);
  if (facts?.row?.armed === false) return `the EVENT of ${active} does not tick; is event_scheduler on there?`;
  if (life?.armed !== true) return `no agent has said yet that ${active} would close itself`;
  const restarted = facts !== undefined && facts.boot !== null && facts.boot.startedSec !== life.startedSec;
  return restarted ? `${active} started anew since an agent said that it would close itself` : null;
}

function rowOf(host: Host, { epoch, opened, lease, armed, unfenced }: SeenRow): RowStatus {
  return { host, epoch: epoch?.number ?? null, opened: opened?.number ?? null, lease, armed, unfenced };
}

/** For a moment in every change, since the decision comes first and the servers follow. */
function disagreementsOf({
  epoch,
  roles,
  board,
  seen,
}: {
  readonly epoch: Epoch;
  readonly roles: Roles;
  readonly board: Board;
  readonly seen: ReadonlyMap<Host, SeenFacts>;
}): string[] {
  const told: string[] = [];
  const open: Host[] = [];
  for (const [host, { row, readOnly }] of seen) {
    if (readOnly === false) open.push(host);
    if (row === null) {
      told.push(`${host} has no row of ours`);
      continue;
    }
    const known = row.epoch;
    if (known === null || known.number < epoch.number) {
      told.push(`${host} knows ${named(known)}, the board ${named(epoch)}`);
    } else if (!isSameEpoch(known, epoch)) {
      told.push(`${host} knows ${named(known)}, the board only ${named(epoch)}: the board is the older one`);
    }
    if (host === roles.active && readOnly === false && !wasOpenedUnder(row, epoch)) {
      const instead = `not under decision ${epoch.number}`;
      told.push(
        row.opened === null
          ? `${host} was opened by nobody of ours, ${instead}`
          : `${host} was opened under decision ${row.opened.number}, ${instead}`,
      );
    }
    if (row.unfenced && board.unfenced === false) told.push(`the row of ${host} says unfenced, the board does not`);
  }
  if (open.length > 1) told.push(`${open.join(' and ')} both take writes`);
  const { announced } = board;
  if (announced !== null && announced.active !== roles.active) {
    told.push(`the keys for clients (mode, master) still name ${announced.active}`);
  }
  return told;
}

function named(epoch: Epoch | null): string {
  return epoch === null ? 'no decision' : `decision ${epoch.number} (${epoch.active})`;
}

/** Further lines of the contract's text. */
export function guardLines(tag: string, status: GuardStatus): string[] {
  const { lease, durability, agentsWanted, registered, unregistered, tooFew, renewals, disagreements, strangers } =
    status;
  const wanted = agentsWanted === null ? '' : ` of ${agentsWanted}`;
  const absent = unregistered.length === 0 ? '' : `; not reaching both servers: ${unregistered.join(', ')}`;
  return [
    `  lease: ${leaseText(lease)}`,
    ...(durability === null ? [] : durabilityLines(durability)),
    `  agents: ${registered.length}${wanted} registered${registered.length === 0 ? '' : `: ${registered.join(', ')}`}${absent}`,
    ...(tooFew === null ? [] : [`  too few: ${tooFew}`]),
    ...renewals.map((renewal) => `  renewal: ${renewalText(renewal)}`),
    ...disagreements.map((sentence) => `  disagrees: ${sentence}`),
    ...strangers.map(({ host, why }) => `  stranger: ${why}; mmm rejoin --tag ${tag} --host ${host}`),
  ];
}

function leaseText({ state, sec, why }: LeaseStatus): string {
  if (state === 'armed') return `armed; the active closes itself ${sec ?? '?'} s after its last renewal`;
  return state === 'finite' ? `finite, NOT armed: ${why}` : `endless, UNFENCED: ${why}`;
}

function renewalText({ agent, host, epoch, outcome }: GuardStatus['renewals'][number]): string {
  const under = `${host} under decision ${epoch.number}`;
  switch (outcome) {
    case 'renewed':
      return `${agent} renews ${under}`;
    case 'endless':
      return `${agent} has nothing to renew: ${under} has no end`;
    case 'failed':
      return `${agent} FAILS to renew ${under}`;
    case 'no-witness':
      return `${agent} finds NO WITNESS for ${under}, so it renews nothing`;
    default:
      return outcome satisfies never;
  }
}

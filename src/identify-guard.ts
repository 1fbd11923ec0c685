// What identify knows besides of a pair with a safety on: its servers' rows, its agents' records, whether the board is older than they are,
// and whom a member's address leads to. Comes from src/identify.ts once per round; goes on to core/decide.ts and core/arming.ts.

import type { AgentRecord } from './core/agents.ts';
import {
  isGuarded,
  leaseChange,
  longestLeaseMs,
  type Permit,
  permit,
  permittedLease,
  tooFewAgents,
  unarmed,
} from './core/arming.ts';
import type { Board, Decision, Durability, Policy, Terms } from './core/decision.ts';
import {
  type CompleteNow,
  durabilityChange,
  highestGeneration,
  judgedBy,
  permittedDurability,
  whyNotComplete,
} from './core/durability.ts';
import { isAlive, type Observation } from './core/observation.ts';
import type { Epoch, EpochName, Host, Pair } from './core/pair.ts';
import { isOver, type Request } from './core/request.ts';
import { highestIn, isOf, rowOf, whyOlder } from './core/rows.ts';
import type { Guarded } from './core/scene.ts';
import { whyStranger } from './core/stranger.ts';
import { judgeLease, type LeaseVerdict, type Renewals, watchRenewals } from './core/verdict.ts';
import type { Clock } from './ops/clock.ts';
import type { FoundPair, Store } from './store/store.ts';

interface GuardParts {
  readonly pair: Pair;
  readonly policy: Policy;
  readonly store: Pick<Store, 'agents' | 'findPair'>;
  readonly clock: Clock;
}

interface Seen {
  readonly observations: { readonly primary: Observation | null; readonly secondary: Observation | null };
  readonly goneToAll: ReadonlySet<Host>;
}

/** One round's view. */
export interface GuardView {
  /** For core/decide.ts; null: decisions are ordered by the board alone. */
  readonly guarded: Guarded | null;
  /** The board was emptied or restored: what it says of roles, requests and reports is void. */
  readonly behind: boolean;
  /** Higher than any number that a server or this process knows: a decision takes one above it. */
  readonly highest: number;
  /** The policy on the board differs from ours: a decision brings it there. */
  readonly policyChanged: boolean;
  /** Why a server refuses the number on the board, though the roles are right: a decision above it is due; null: none does. */
  readonly refused: string | null;
  /** What a decision of now says about the lease when that is not its purpose. */
  readonly lease: Permit;
  /** What a decision of now says of longer leases than the policy's. */
  readonly longestLeaseMs: number | null;
  /** A change of the lease alone that is due while the roles stay, or what keeps it from being due. */
  readonly leaseDue: { readonly to: Terms['lease'] | undefined; readonly why: string | null };
  /** What a decision of now says about durability when that is not its purpose. */
  readonly durability: Durability;
  /** As `leaseDue`. */
  readonly durabilityDue: { readonly to: Durability | undefined; readonly why: string | null };
  /** What speaks against an operator's request besides. */
  objections(request: Pick<Request, 'kind' | 'to'>): readonly string[];
  /** What somebody must look at, though nothing is to be decided. */
  readonly alarms: readonly string[];
}

export interface GuardWatch {
  /** This process begins to lead: what another one wrote meanwhile is not known. */
  begin(): void;
  look(board: Board, seen: Seen): Promise<GuardView>;
  /** The board holds less than this process knows: it was emptied or restored, and what the monitors wrote there may be as old. */
  wentBack(board: Pick<Board, 'epoch' | 'terms'>): boolean;
  /** A decision of ours is on the board. */
  committed(decision: Pick<Decision, 'epoch' | 'voidsComplete'>): void;
}

/** So often the policy on the board is looked at while nothing is decided. */
const POLICY_MS = 10_000;

const NOTHING_KNOWN: LeaseVerdict = { kind: 'unknown', why: 'the pair has no lease' };

export function makeGuardWatch({ pair, policy, store, clock }: GuardParts): GuardWatch {
  /** The highest epoch that this process knows of. */
  let known: Epoch | null = null;
  /** Decided by this process. */
  let committedNumber = 0;
  let policyIsOurs = false;
  /** When that was last seen, or written. */
  let policySeenMs = Number.NEGATIVE_INFINITY;
  let renewals: Renewals | null = null;
  let readySinceMs: number | null = null;
  /** Of the complete set, since it last began anew: a lower one is of a dump. */
  let generation = 0;
  /** Under which epoch a host was last seen to be opened. */
  const opened = new Map<Host, EpochName>();

  return { begin, look, committed, wentBack: ({ epoch }) => (epoch?.number ?? 0) < (known?.number ?? 0) };

  function begin(): void {
    policyIsOurs = false;
    generation = 0;
  }

  function committed({ epoch, voidsComplete }: Pick<Decision, 'epoch' | 'voidsComplete'>): void {
    if (voidsComplete === true) generation = 0;
    known = epoch;
    committedNumber = epoch.number;
    policyIsOurs = true;
    policySeenMs = clock.monotonic();
    readySinceMs = null;
  }

  async function look(board: Board, { observations, goneToAll }: Seen): Promise<GuardView> {
    const both = [observations.primary, observations.secondary];
    const isOn = isGuarded({ policy, before: board.terms.lease, observations: both });
    for (const seen of both) {
      const row = rowOf(seen);
      if (seen !== null && row?.opened) opened.set(seen.host, row.opened);
    }
    // Agents that find none grant little and wait long, so one that is lost or garbled must not stay so.
    if (clock.monotonic() - policySeenMs > POLICY_MS) policyIsOurs = false;
    const policyBefore = policyIsOurs || board.roles === null ? null : await readPolicy();
    const records = policy.fencing === 'lease' ? await store.agents(pair.uniqsign) : [];
    renewals = watchRenewals(renewals, records, clock.monotonic());
    const number = board.epoch?.number ?? 0;
    const strangers = strangersAmong(both, board);
    const own = ourOwn(observations, strangers, pair);
    const told = isOn ? newest(records, both, own) : null;
    // Where no monitor may read the rows the agents alone know that the board went back.
    if (told !== null && told.number > Math.max(number, known?.number ?? 0)) known = told;
    // A board that fell behind what this process knows was emptied or restored: the servers decide, not the dump.
    const remembered = Math.max(committedNumber, isOn ? (known?.number ?? 0) : 0);
    const wentBack =
      number < remembered ? `the board holds decision ${number}, and decision ${remembered} was made already` : null;
    const older = isOn ? whyOlder(board.epoch, observations) : null;
    const behind = (older === null ? null : whyOlder(board.epoch, own)) ?? wentBack;
    if (behind === null && board.epoch !== null) known = board.epoch;
    const paused = board.pause !== null && !isOver(board.pause, clock.wall());
    const anew = behind !== null || board.roles === null;
    // A policy that is not there says nothing of the leases that were granted.
    const before = policyIsOurs ? policy : policyBefore?.policyIsKnown ? policyBefore.policy : null;
    const fencingBefore = board.roles === null ? 'none' : (before?.fencing ?? null);
    const lease = permittedLease({ guarded: isOn, policy, fencingBefore, board, anew });
    const longestMs = longestLeaseMs({ policy, leaseBeforeMs: before?.leaseMs ?? null, board });
    const change = whatLease(board, observations, { isOn, records, paused, counts: behind === null });
    readySinceMs = change.readySinceMs;
    if (!anew) generation = Math.max(generation, highestGeneration(board.complete, observations));
    const situation = { guarded: isOn, policy, board, anew, observations };
    const lossless = isOn ? judgedBy({ ...situation, highest: generation }) : null;
    const durabilityDue = durabilityChange({ ...situation, paused });
    const tooFew = both.every((seen) => seen?.evidence.kind === 'answered')
      ? tooFewAgents({ policy, board, agents: records })
      : null;
    return {
      guarded: isOn
        ? {
            lease,
            verdict: verdictOn(board, records, goneToAll, longestMs),
            behind,
            known,
            strangers,
            lossless,
            unopened: board.opened !== board.epoch?.active && !board.terms.force,
          }
        : null,
      behind: behind !== null,
      // Agents know numbers, too, where no monitor may read the rows.
      highest: Math.max(
        remembered,
        number,
        isOn ? highestIn(observations) : 0,
        ...records.map(({ renewal }) => renewal?.epoch.number ?? 0),
      ),
      policyChanged: !policyIsOurs && policyBefore !== null,
      refused: behind === null ? older : null,
      lease: permit(lease),
      longestLeaseMs: longestMs > policy.leaseMs ? longestMs : null,
      leaseDue: change,
      durability: permittedDurability(situation),
      durabilityDue,
      objections: ({ kind, to }) => {
        const seen = to === pair.primary ? observations.primary : observations.secondary;
        const facts = seen?.evidence.kind === 'answered' ? seen.evidence.facts : null;
        const why = kind === 'switchover' && facts !== null ? unarmed(to, facts, lease) : null;
        const incomplete =
          kind === 'switchover' && lossless !== null ? whyNotComplete(lossless, to, observations) : null;
        return [strangers.get(to) ?? null, why, incomplete].filter((text) => text !== null);
      },
      alarms: [
        ...strangers.values(),
        tooFew,
        whyNoSuccessor(board, observations),
        durabilityDue.alarm,
        whyStuck(lossless, board, observations),
      ].filter((text) => text !== null),
    };
  }

  async function readPolicy(): Promise<FoundPair | null> {
    const found = await store.findPair(pair.uniqsign);
    if (found === null) return null;
    // A pair without a safety may have none: the Perl identify writes none.
    if ((found.policyIsKnown || found.board.terms.lease === null) && samePolicy(found.policy, policy)) {
      policyIsOurs = true;
      policySeenMs = clock.monotonic();
    }
    return found;
  }

  function whatLease(
    board: Board,
    { primary, secondary }: Seen['observations'],
    {
      isOn,
      records,
      paused,
      counts,
    }: { isOn: boolean; records: readonly AgentRecord[]; paused: boolean; counts: boolean },
  ): ReturnType<typeof leaseChange> {
    if (!counts || board.roles === null) return { to: undefined, why: null, readySinceMs: null };
    const isPrimary = board.roles.active === pair.primary;
    return leaseChange({
      guarded: isOn,
      policy,
      board,
      paused,
      agents: records,
      active: isPrimary ? primary : secondary,
      passive: isPrimary ? secondary : primary,
      readySinceMs,
      nowMs: clock.monotonic(),
    });
  }

  function verdictOn(
    board: Board,
    records: readonly AgentRecord[],
    goneToAll: ReadonlySet<Host>,
    leaseMs: number,
  ): LeaseVerdict {
    const active = board.roles?.active;
    if (policy.fencing !== 'lease' || active === undefined || renewals === null) return NOTHING_KNOWN;
    return judgeLease({
      board,
      active,
      opened: opened.get(active) ?? null,
      goneToAll: goneToAll.has(active),
      records,
      renewals,
      leaseMs,
      nowMs: clock.monotonic(),
    });
  }
}

/** While the active lives only this tells that nobody could take its place. */
function whyNoSuccessor({ roles, terms }: Board, { primary, secondary }: Seen['observations']): string | null {
  const passive = [primary, secondary].find((seen) => seen?.host === roles?.passive);
  if (passive?.evidence.kind !== 'answered') return null;
  const why = unarmed(passive.host, passive.evidence.facts, terms.lease);
  return why === null ? null : `NO FAILOVER IS POSSIBLE: ${why} (event_scheduler=ON in its my.cnf?)`;
}

/** The active is gone, and clients wait: the only host that answers is not known to hold what they were told of. */
function whyStuck(lossless: CompleteNow | null, { roles }: Board, observations: Seen['observations']): string | null {
  if (lossless === null) return null;
  const both = [observations.primary, observations.secondary];
  const gone = both.find((seen) => seen !== null && !isAlive(seen.evidence));
  const left = both.find((seen) => seen?.evidence.kind === 'answered');
  // A closed active that answers is opened again.
  if (!gone || !left || left.host === roles?.active) return null;
  const why = whyNotComplete(lossless, left.host, observations);
  return why === null ? null : `NO FAILOVER IS POSSIBLE: ${why}`;
}

function strangersAmong(observations: readonly (Observation | null)[], { lives }: Board): ReadonlyMap<Host, string> {
  const found = new Map<Host, string>();
  for (const seen of observations) {
    if (seen?.evidence.kind !== 'answered') continue;
    const why = whyStranger(seen.host, seen.evidence.facts.boot, lives.get(seen.host));
    if (why !== null) found.set(seen.host, why);
  }
  return found;
}

/** The last opening of which an agent tells; what it tells of a server that is none of ours does not count. */
function newest(
  records: readonly AgentRecord[],
  both: readonly (Observation | null)[],
  own: Seen['observations'],
): Epoch | null {
  const foreign = both.filter((seen) => seen !== own.primary && seen !== own.secondary).map((seen) => seen?.host);
  return records.reduce<Epoch | null>((last, { renewal }) => {
    if (renewal === null || foreign.includes(renewal.host) || renewal.epoch.number <= (last?.number ?? 0)) return last;
    return { ...renewal.epoch, active: renewal.host };
  }, null);
}

/** Without the rows that tell of another life: a server that is new here, or that served in another pair. */
function ourOwn(
  { primary, secondary }: Seen['observations'],
  strangers: ReadonlyMap<Host, string>,
  pair: Pair,
): Seen['observations'] {
  const own = (seen: Observation | null) => {
    const epoch = rowOf(seen)?.epoch ?? null;
    return seen === null || strangers.has(seen.host) || (epoch !== null && !isOf(pair, epoch)) ? null : seen;
  };
  return { primary: own(primary), secondary: own(secondary) };
}

function samePolicy(one: Policy, other: Policy): boolean {
  return (
    one.drainTimeoutSec === other.drainTimeoutSec &&
    one.fencing === other.fencing &&
    one.leaseMs === other.leaseMs &&
    one.leaseAgents === other.leaseAgents &&
    one.onUnreachable === other.onUnreachable &&
    one.fenceHook === other.fenceHook &&
    one.durability === other.durability &&
    one.onDivergence === other.onDivergence
  );
}

// What the agent's plan is derived from: the board, what was seen of both hosts, and what is remembered of the decision.
// Comes from src/agent.ts at each step; goes on to core/reconcile.ts `nextStep`.

import type { Orders } from './agent-hands.ts';
import type { Work } from './agent-telling.ts';
import { FRESH_MS } from './core/death.ts';
import type { Board } from './core/decision.ts';
import { type Guard, isClaimed, isOfAnotherPair, lastOpened, wasOpenedInThisLife } from './core/guard.ts';
import { wasOpenedUnder } from './core/host-row.ts';
import type { Evidence, Facts } from './core/observation.ts';
import { isAlive } from './core/observation.ts';
import type { Host, Roles } from './core/pair.ts';
import type { Situation } from './core/reconcile.ts';
import type { Step } from './core/step.ts';
import { whyStranger } from './core/stranger.ts';
import type { Server } from './mysql/server.ts';
import type { Clock } from './ops/clock.ts';
import type { FoundPair, Store } from './store/store.ts';

/** Evidence older than this is looked at again before a host is opened. */
export const OPENING_EVIDENCE_MS = 1_000;

/** null: no safety is on. */
export function ordersOf({ board: { epoch, terms }, policy }: FoundPair, roles: Roles): Orders | null {
  if (epoch === null || terms.lease === null) return null;
  return { roles, epoch, lease: terms.lease, leaseMs: policy.leaseMs };
}

/** Since when no renewal finds a witness. A server that lost the claim when it crashed was one again meanwhile [F3]. */
export function noteClaim(work: Work, { epoch }: Orders, active: Evidence, nowMs: number): void {
  if (active.kind !== 'answered') return;
  const { row, boot } = active.facts;
  if (!isClaimed(row, epoch)) work.claimed = null;
  else if (work.claimed?.startedSec !== boot.startedSec) work.claimed = { atMs: nowMs, startedSec: boot.startedSec };
}

/** A number of another pair means nothing here. */
export function noteNumber(numbers: Map<Host, number>, roles: Roles, host: Host, seen: Evidence): void {
  const row = seen.kind === 'answered' ? seen.facts.row : null;
  if (row !== null && row.epoch !== null && !isOfAnotherPair(row, roles)) numbers.set(host, row.epoch.number);
  else if (seen.kind === 'answered') numbers.delete(host);
}

/**
 * Whether the I/O thread of the host that is to be opened lost its connection to the other one [F19]. Later a drain stops it; one that was stopped
 * before (a backup) tells nothing.
 */
export function noteLoss(work: Work, active: Evidence, passive: Evidence): void {
  const io = ioOf(active);
  if (passive.kind === 'answered' || io === 'Yes') work.ioLost = false;
  else if (io === 'Connecting') work.ioLost = true;
}

function guardOf(
  orders: Orders,
  { board, policy, longestLeaseMs }: FoundPair,
  work: Work,
  {
    active,
    passive,
    passiveBroke,
    passiveStuck,
    passiveKnew,
    lastOpened: last,
    nowMs,
  }: {
    active: Evidence;
    passive: Evidence;
    passiveBroke: boolean;
    passiveStuck: boolean;
    passiveKnew: number | null;
    lastOpened: Host | null;
    nowMs: number;
  },
): Guard {
  const { roles, epoch, lease } = orders;
  const flagOnBoard = board.unfenced !== false;
  const row = active.kind === 'answered' ? active.facts.row : null;
  const life = board.lives.get(roles.passive);
  const { otherNumber } = board.terms;
  return {
    epoch,
    lease,
    leaseMs: longestLeaseMs,
    // Who forces it was shown what may happen, and takes it upon himself.
    onUnreachable: board.terms.force ? 'promote' : policy.onUnreachable,
    unfenced: flagOnBoard || row?.unfenced === true,
    flagOnBoard,
    passiveArmed: life?.armed === true,
    passiveDown: passive.kind === 'refused' && passiveBroke && work.ioLost && life?.cameUpReadOnly === true,
    passiveStuck,
    claimedForMs: work.claimed === null ? null : nowMs - work.claimed.atMs,
    passiveChosenSince: otherNumber !== null && (row?.opened?.number ?? 0) < otherNumber,
    lastOpened: last,
    stranger: strangerAt(roles.active, active, board),
    passiveStranger: strangerAt(roles.passive, passive, board),
    planned: board.terms.requestId !== null && !board.terms.force,
    passiveKnew: passive.kind === 'answered' ? null : passiveKnew,
    hook: work.hook ?? (policy.fenceHook === null ? 'none' : 'due'),
    lossless: board.terms.durability === 'lossless' ? { complete: board.complete, divergence: board.divergence } : null,
  };
}

function strangerAt(host: Host, seen: Evidence, { lives }: Board): string | null {
  return seen.kind === 'answered' ? whyStranger(host, seen.facts.boot, lives.get(host)) : null;
}

interface SituationParts {
  readonly uniqsign: string;
  readonly store: Store;
  readonly clock: Clock;
  readonly connectTimeoutMs: number;
  readonly serverFor: (host: Host) => Server;
}

/** What is remembered of the hosts, whatever is decided. */
interface Remembered {
  readonly orders: Orders | null;
  readonly restarted: ReadonlySet<Host>;
  readonly ioStoppedHere: ReadonlySet<Host>;
  /** Those that refuse this agent alone, and live. */
  readonly rejecting: ReadonlySet<Host>;
  readonly accountsStuck: readonly Host[];
  /** Those that did not take a claim, or their row, just now. */
  readonly claimsStuck: readonly Host[];
  /** The decision that each host's row named when it was seen last. */
  readonly rowNumbers: ReadonlyMap<Host, number>;
}

/** Who was seen to take writes under this decision, and since when nobody does. */
export function noteWriter(
  work: Work,
  board: Board,
  roles: Roles,
  active: Evidence,
  passive: Evidence,
  nowMs: number,
): void {
  if (isOpen(active)) {
    work.wasOpen = true;
    work.withoutWriterSinceMs = null;
  } else if (isOpen(passive)) {
    // Somebody opened it by hand: it holds what the active lacks.
    work.wasOpen = false;
  } else if (passive.kind === 'answered' && board.opened === roles.passive) {
    work.withoutWriterSinceMs ??= nowMs;
  }
}

/** Who counts as the last writer once this step is begun; undefined: that stays as it is. */
export function writerAfter(step: Step, situation: Situation): Host | null | undefined {
  const { roles, active, passive, incumbent, guard } = situation;
  if (isOpening(step)) return incumbent || isOpen(active) ? undefined : null;
  if (!isFencing(step) || !isOpen(passive) || isOpen(active)) return undefined;
  return guard !== null && acknowledgedNothing(guard, roles, passive.facts) ? undefined : roles.passive;
}

/**
 * Nobody could close it, because its commits wait for an acknowledgement: since the active was opened after it, and acknowledges to nobody, it told no
 * client OK. The active, should it have closed itself meanwhile, must not wait for what that one holds.
 */
function acknowledgedNothing({ lossless, lastOpened: last }: Guard, { active }: Roles, passive: Facts): boolean {
  const { row, boot, semiSync } = passive;
  const waits = semiSync?.source === true && semiSync.wrong === null;
  return lossless !== null && last === active && waits && wasOpenedInThisLife(row, boot);
}

export async function situationOf(
  { uniqsign, store, clock, connectTimeoutMs, serverFor }: SituationParts,
  found: FoundPair,
  roles: Roles,
  work: Work,
  active: Evidence,
  passive: Evidence,
  { orders, restarted, ioStoppedHere, rejecting, accountsStuck, claimsStuck, rowNumbers }: Remembered,
): Promise<Situation> {
  const { board, policy } = found;
  // The rows know best who wrote last; the board stands in for a host that does not answer.
  const byRows =
    orders === null
      ? null
      : lastOpened({ host: roles.active, evidence: active }, { host: roles.passive, evidence: passive }, board.lives);
  const nowMs = clock.monotonic();
  const seconds = (sinceMs: number | null) => (sinceMs === null ? 0 : Math.max((nowMs - sinceMs) / 1000, 0.001));
  const stopped = ioOf(active) === 'No' || ioOf(passive) === 'No';
  const isIncumbent = ({ epoch }: Orders, last: Host | null): boolean => {
    // Rows know nothing of a host that was opened by hand; the board does.
    if (last !== null) return last === roles.active && board.opened !== roles.passive;
    const row = active.kind === 'answered' ? active.facts.row : null;
    if (board.opened === roles.active || wasOpenedUnder(row, epoch)) return true;
    // A host that woke up open may have slept while another one was opened: only one that nobody ever opened was the writer all along.
    return board.opened === null && row?.opened === null && work.wasOpen;
  };
  return {
    roles,
    active,
    passive,
    incumbent: orders === null ? work.wasOpen || board.opened === roles.active : isIncumbent(orders, byRows),
    passiveWroteLast: (board.opened ?? byRows) === roles.passive,
    passiveGone: !isAlive(passive) && (await isGone(store, uniqsign, roles.passive, clock.wall())),
    ioStopped: stopped ? [...(await store.ioStopped(uniqsign, [roles.active, roles.passive])), ...ioStoppedHere] : [],
    accountsStuck,
    passiveRestarted: restarted.has(roles.passive),
    policy,
    force: board.terms.force,
    tooLate: isTooLate(board, roles, orders, active, clock.wall()),
    progress: {
      receivedBefore: work.receivedBefore,
      drainingSec: seconds(work.drainSinceMs),
      withoutWriterSec: seconds(work.withoutWriterSinceMs),
    },
    openWithinSec: (2 * connectTimeoutMs + OPENING_EVIDENCE_MS) / 1000,
    guard:
      orders === null
        ? null
        : guardOf(orders, found, work, {
            active,
            passive,
            passiveBroke: serverFor(roles.passive).connectionBroke && !rejecting.has(roles.passive),
            passiveStuck: claimsStuck.includes(roles.passive),
            passiveKnew: rowNumbers.get(roles.passive) ?? null,
            lastOpened: byRows ?? board.opened,
            nowMs,
          }),
  };
}

/** The operator's deadline is for the change that was asked for: once it was done, whatever befalls the host later is another matter. */
function isTooLate(
  { terms, opened }: Board,
  { active }: Roles,
  orders: Orders | null,
  seen: Evidence,
  nowMs: number,
): boolean {
  if (terms.backAtMs === null || nowMs < terms.backAtMs || opened === active) return false;
  return orders === null || seen.kind !== 'answered' || !wasOpenedUnder(seen.facts.row, orders.epoch);
}

/** The monitors call the host unreachable, and lately: only then may it be passed over unfenced. */
async function isGone(store: Store, uniqsign: string, host: Host, nowMs: number): Promise<boolean> {
  const [observation] = await store.observations(uniqsign, [host]);
  if (!observation) return false;
  return !isAlive(observation.evidence) && Math.abs(nowMs - observation.atMs) <= FRESH_MS;
}

function ioOf(evidence: Evidence): string | undefined {
  return evidence.kind === 'answered' ? evidence.facts.replication?.io : undefined;
}

export function isOpen(evidence: Evidence): evidence is { kind: 'answered'; facts: Facts } {
  return evidence.kind === 'answered' && !evidence.facts.readOnly;
}

export function isHealing(step: Step): boolean {
  return step.do === 'start-io' || step.do === 'start-replication';
}

/** What may be undone again at once by whatever made it necessary. */
export function isRestless(step: Step): boolean {
  return isHealing(step) || isSemiSync(step) || step.do === 'rearm' || step.do === 'install';
}

function isSemiSync(step: Step): boolean {
  return step.do === 'source-off' || step.do === 'acknowledge';
}

/** Its time counts as that of the drain. */
export function isDraining(step: Step): boolean {
  return step.do === 'start-sql' || step.do === 'stop-io' || step.do === 'await-applied';
}

/** Keeps clients from writing. */
export function isFencing(step: Step): boolean {
  return step.do === 'block' || step.do === 'close';
}

/** Lets clients write. */
export function isOpening(step: Step): boolean {
  return step.do === 'open' || step.do === 'grant';
}

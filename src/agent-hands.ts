// The agent's hands: does one step on one server. Where a safety is on, every change goes through a comparing call, which the server itself
// refuses to whoever acts on an old decision (S3) [F9]; else it is a statement of mysql/steps.ts.
// Comes from src/agent.ts; goes on to mysql/server.ts and mysql/fence.ts. It decides nothing.

import type { Look } from './agent-looks.ts';
import type { Call, Called, NotDoneWhy } from './core/call.ts';
import { bearsWitness } from './core/guard.ts';
import type { HostRow } from './core/host-row.ts';
import { witnessOf } from './core/lease.ts';
import type { Epoch, Host, Roles } from './core/pair.ts';
import { isApplied } from './core/replication.ts';
import { type Applied, type GuardedStep, isGuarded, type Step } from './core/step.ts';
import { within } from './lease-looks.ts';
import type { Fence } from './mysql/fence.ts';
import type { Server } from './mysql/server.ts';
import type { Clock } from './ops/clock.ts';
import type { Store } from './store/store.ts';

/** How long a host that is to be closed may be held up by locks and statements; as steps.ts `close`. */
const CLOSE_WITHIN_MS = 5_000;
/** A wait looks at the pair again at least this often: the silent host may answer. */
const LEASE_LOOK_MS = 200;

/** The passive is waited for so long while the active needs its grant: two questions, and a second since its last renewal, are less than a lease. */
function briefMs({ leaseMs }: Orders): number {
  return leaseMs / 6;
}

/** The decision under which a guarded pair is acted upon. */
export interface Orders {
  readonly roles: Roles;
  readonly epoch: Epoch;
  readonly lease: 'finite' | 'endless';
  readonly leaseMs: number;
}

export interface HandsParts {
  readonly uniqsign: string;
  readonly store: Store;
  readonly serverFor: (host: Host) => Server;
  readonly fenceFor: (host: Host) => Fence;
  readonly clock: Clock;
}

/** One step; what is seen of both hosts is at most a moment old. */
export async function doStep(
  parts: HandsParts,
  orders: Orders | null,
  step: Step,
  seen: { readonly active: Look; readonly passive: Look },
): Promise<Applied> {
  const server = parts.serverFor(step.host);
  if (orders === null) {
    if (isGuarded(step)) throw new Error(`the step ${step.do} is for a pair with a safety on`);
    return await server.apply(step);
  }
  const fence = parts.fenceFor(step.host);
  const look = step.host === seen.active.host ? seen.active : seen.passive;
  switch (step.do) {
    case 'await-applied':
    case 'await-received':
      return await server.apply(step);
    case 'block':
    case 'release': {
      // The accounts themselves are changed by statements that compare nothing, so the epoch is compared right before.
      const compared = await call(fence, { do: 'claim', epoch: orders.epoch, unfenced: null });
      return compared.kind === 'done' ? await server.apply(step) : compared;
    }
    case 'close':
      return await call(fence, {
        do: 'close',
        epoch: orders.epoch,
        // The active itself is closed only to be opened again: its clients stay, and a backup's lock is not broken for it.
        killClients: step.host !== orders.roles.active,
        withinMs: CLOSE_WITHIN_MS,
        ...(step.endsWaits === true ? { endsWaits: true } : {}),
      });
    case 'start-sql':
    case 'start-io':
    case 'start-replication':
      return await call(fence, { do: step.do, epoch: orders.epoch, fromStandstill: losesNothing(look) });
    case 'stop-io':
      return await call(fence, { do: 'stop-io', epoch: orders.epoch });
    case 'open':
      return { kind: 'not-done', why: 'a guarded host is opened by a grant alone' };
    default:
      return await guarded(parts, orders, step, { fence, passive: seen.passive });
  }
}

async function guarded(
  parts: HandsParts,
  orders: Orders,
  step: GuardedStep,
  { fence, passive }: { fence: Fence; passive: Look },
): Promise<Applied> {
  const { store, uniqsign, clock } = parts;
  switch (step.do) {
    case 'install':
      return await briefly(parts, orders, { host: step.host, ms: 2 * briefMs(orders) }, install(fence));
    case 'claim': {
      const claim = call(fence, { do: 'claim', epoch: orders.epoch, unfenced: step.unfenced });
      return await briefly(parts, orders, { host: step.host, ms: briefMs(orders) }, claim);
    }
    case 'rearm': {
      const applied = await call(fence, { do: 'claim', epoch: orders.epoch, unfenced: null });
      return applied.kind === 'done' ? { kind: 'done', did: 'set its EVENT going' } : applied;
    }
    case 'grant':
      return await grant(parts, orders, step, { fence, passive });
    case 'source-off':
      return await call(fence, { do: 'source-off', epoch: orders.epoch });
    case 'acknowledge':
      return await call(fence, { do: 'acknowledge', epoch: orders.epoch, on: step.on });
    case 'await-lease':
      await clock.sleep(Math.min(step.forMs, LEASE_LOOK_MS));
      return { kind: 'not-done', why: 'its lease is not over yet' };
    case 'clear-flag':
      return (await store.putUnfenced(uniqsign, orders.epoch, false))
        ? { kind: 'done', did: 'the pair is armed' }
        : { kind: 'not-done', why: 'the decision was replaced meanwhile' };
    case 'hook':
      return { kind: 'not-done', why: 'a hook runs beside the round' };
    default:
      return step satisfies never;
  }
}

/** The active's lease runs while something is done to the passive, and it must be granted by this decision before that is over. */
async function briefly(
  { clock }: HandsParts,
  { roles }: Orders,
  { host, ms }: { host: Host; ms: number },
  applied: Promise<Applied>,
): Promise<Applied> {
  if (host === roles.active) return await applied;
  return (await within(clock, applied, ms)) ?? { kind: 'not-done', why: 'it did not answer in time' };
}

async function install(fence: Fence): Promise<Applied> {
  const installed = await fence.install();
  if (installed.kind === 'done') {
    const did = installed.changed ? 'put the schema mmm there' : 'the schema mmm is there';
    return { kind: 'done', did: installed.lacks === null ? did : `${did}; ${installed.lacks}` };
  }
  return installed.kind === 'unfinished'
    ? { kind: 'not-done', why: 'another agent installs another version at this moment', code: 'busy' }
    : installed;
}

/**
 * The host's time is read before the witness is asked, and the grant counts from it: however late the call runs, it gives nothing that
 * was not witnessed [F3, F4].
 */
async function grant(
  { store, uniqsign, fenceFor, clock }: HandsParts,
  orders: Orders,
  step: Extract<GuardedStep, { do: 'grant' }>,
  { fence, passive }: { fence: Fence; passive: Look },
): Promise<Applied> {
  const before = await fence.look();
  if (before.kind === 'none') return { kind: 'not-done', why: sentence('not-installed'), code: 'not-installed' };
  if (before.kind !== 'row') return before;
  // A host that is silent is not waited for again: the board stands in for it.
  const asked =
    passive.evidence.kind === 'answered'
      ? await within(clock, fenceFor(orders.roles.passive).look(), briefMs(orders))
      : null;
  const other = asked?.kind === 'row' && bearsWitness(asked.row, orders.roles) ? asked.row : null;
  const board = other === null ? ((await store.findPair(uniqsign))?.board.epoch ?? null) : null;
  const witness = witnessOf({ epoch: orders.epoch, other, board });
  if (!witness.agrees) return { kind: 'not-done', why: witness.why };
  const applied = await call(fence, {
    do: 'open',
    epoch: orders.epoch,
    baseMs: before.row.nowMs,
    leaseMs: orders.leaseMs,
    lease: orders.lease,
    startedSec: step.startedSec,
    demand: step.demand,
    lossless: step.lossless,
  });
  // Its EVENT may be missing or of an older version; it is made again, and the next try finds it ticking.
  if (applied.kind === 'not-done' && applied.code === 'unarmed') await fence.install();
  if (applied.kind !== 'done') return applied;
  const kind = orders.lease === 'endless' ? 'an endless lease' : `a lease of ${orders.leaseMs / 1000} s`;
  return { kind: 'done', did: `opened with ${kind}; witness: ${witness.who}` };
}

/** [F2]: MariaDB with GTID throws what it received and did not apply away when it starts from a standstill. */
function losesNothing({ evidence }: Look): boolean {
  if (evidence.kind !== 'answered') return false;
  const { replication } = evidence.facts;
  return replication !== null && (!replication.purgesOnStart || isApplied(evidence.facts));
}

async function call(fence: Fence, order: Call): Promise<Applied> {
  return appliedOf(order, await fence.call(order));
}

function appliedOf(order: Call, called: Called): Applied {
  switch (called.kind) {
    case 'done':
      return { kind: 'done', did: called.did === '' ? done(order) : `${called.did}, ${done(order)}` };
    case 'refused':
      // The server's refusal has a row; a connection that is refused has none.
      if (!('row' in called)) return called;
      return { kind: 'not-done', why: `refused: it knows decision ${known(called.row)}`, code: 'refused' };
    case 'not-done':
      return {
        kind: 'not-done',
        why: called.detail === undefined ? sentence(called.why) : `${sentence(called.why)}: ${called.detail}`,
        code: called.why,
      };
    default:
      return called;
  }
}

function known({ epoch }: HostRow): string {
  return epoch === null ? 'none' : `${epoch.number} (${epoch.active} is the active)`;
}

function done(order: Call): string {
  switch (order.do) {
    case 'claim':
      return order.unfenced === false ? 'its row says that the pair is fenced' : `knows decision ${order.epoch.number}`;
    case 'close':
      return 'set read_only';
    case 'open':
      return 'opened';
    case 'renew':
      return 'renewed its lease';
    case 'start-sql':
      return 'started its SQL thread';
    case 'start-io':
      return 'started its I/O thread';
    case 'start-replication':
      return 'started both replication threads';
    case 'stop-io':
      return 'stopped its I/O thread';
    case 'kill':
      return 'ended the sessions of applications';
    case 'sync':
      return order.on ? 'its commits wait for an acknowledgement' : 'its commits wait for nobody';
    case 'source-off':
      return 'switched its source side of semi-synchronous replication off';
    case 'acknowledge':
      return order.on ? 'acknowledges from the next start of its I/O thread on' : 'acknowledges nothing any more';
    default:
      return order satisfies never;
  }
}

const SENTENCES: Readonly<Record<NotDoneWhy, string>> = {
  'not-installed': 'the schema mmm is not there',
  busy: 'another call runs there',
  locked: 'a lock is in the way of read_only',
  unclaimed: 'its row does not know this decision yet',
  rebooted: 'it started anew meanwhile',
  late: 'the call came too late by the server’s own clock, and did nothing',
  unarmed: 'its EVENT does not tick, so it could not close itself (is event_scheduler on?); it was set going again',
  'lease-out': 'its lease has run out, so it closes itself',
  'other-lease': 'it is open under this decision with the other kind of lease',
  'io-runs': 'its I/O thread runs',
  unapplied: 'its SQL thread is not at the end of what was received',
  'not-open': 'it was not opened under this decision in this life',
  closed: 'it is read only by now',
  standstill: 'no replication thread runs, and starting one would throw away what is received and not applied',
  stale: 'its row knows a later change of the complete set',
  'no-semi-sync': 'it has no semi-synchronous replication to wait for',
  open: 'it is writable',
};

function sentence(why: NotDoneWhy): string {
  return SENTENCES[why];
}

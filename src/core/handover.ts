// May a living active hand its role over to the other living host? There is time to be careful.
// Comes from decide.ts, when the rules prefer the other one; pacing.ts says what else it waits for.

import { unarmed } from './arming.ts';
import type { Answers } from './death.ts';
import type { Terms } from './decision.ts';
import type { Host } from './pair.ts';

/** The agents' last attempt to open this host failed: no planned change to it until then. */
export interface Failed {
  readonly host: Host;
  readonly untilMs: number;
}

interface Handover {
  readonly from: Answers;
  readonly to: Answers;
  readonly failed: Failed | null;
  /** What the decision would permit. */
  readonly lease: Terms['lease'];
  readonly nowMs: number;
}

/**
 * The active lives and can hand over, so there is time: a host is not opened while the other, reachable, one holds
 * something that it lacks (F21, S2). Rule 4 already excludes the merely delayed. Null: nothing speaks against the change.
 */
export function whyHeld({ from, to, failed, lease, nowMs }: Handover): string | null {
  if (failed !== null && failed.host === to.host && nowMs < failed.untilMs) {
    const waitSec = Math.ceil((failed.untilMs - nowMs) / 1000);
    return `held: the last attempt to open ${to.host} failed; it is not tried again for ${waitSec} s`;
  }
  if (!isSwapped(from, to) && !replicates(to)) {
    return `held: ${to.host}'s replication ${inWhichState(to)}, it would miss what ${from.host} holds`;
  }
  const why = unarmed(to.host, to.facts, lease);
  return why === null ? null : `held: ${why}`;
}

/** Roles swapped by hand: the writes are at `to` already, so it cannot miss any by being called the active. */
export function isSwapped(from: Answers, to: Answers): boolean {
  return from.facts.readOnly === true && to.facts.readOnly === false;
}

/** A Perl monitor does not name the threads (null): its verdict on replication stands for both. */
export function replicates({ facts }: Answers): boolean {
  return facts.replicationOk && (facts.io ?? 'Yes') === 'Yes' && (facts.sql ?? 'Yes') === 'Yes';
}

function inWhichState({ facts }: Answers): string {
  const threads = `I/O thread ${facts.io ?? 'unknown'}, SQL thread ${facts.sql ?? 'unknown'}`;
  return facts.replicationOk ? `is not running (${threads})` : `is in error (${threads})`;
}

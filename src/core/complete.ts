// Which hosts certainly hold every commit that a client was told of: what `durability=lossless` promotes by [F7, F10]. The set is on the board,
// with a generation that each server's row compares when semi-synchronous replication is switched there.
// Written by src/agent-partner.ts; asked by core/decide.ts (may it become the active?) and core/reconcile.ts (may it be opened?).

import type { Boot } from './observation.ts';
import type { Host } from './pair.ts';

/** A server in one life: another boot may have lost what it had received [F2]. */
export interface Member extends Boot {
  readonly host: Host;
}

/** Every commit that `writer` acknowledged in this life is on each of `hosts`. */
export interface Complete {
  /** Of the last change of the set, or of the last attempt at one: each takes the next number. */
  readonly generation: number;
  readonly writer: Member;
  readonly hosts: readonly Member[];
}

/** One at a time, or two would undo each other's steps. */
export interface Joining {
  readonly host: Host;
  /** The agent that sees to it. */
  readonly by: string;
  readonly generation: number;
  /** Unix milliseconds; afterwards anybody may begin anew. */
  readonly untilMs: number;
}

export function isMember(one: Member, { host, uuid, startedSec }: Member): boolean {
  return one.host === host && one.uuid === uuid && one.startedSec === startedSec;
}

/** Why `host`, which lives in `boot` (null: unknown), is not known to hold every acknowledged commit; null: it is. */
export function whyIncomplete(complete: Complete | null, host: Host, boot: Boot | null): string | null {
  const unknown = `nobody knows whether ${host} holds every acknowledged commit`;
  if (complete === null) return `${unknown}: the board does not say which hosts are complete`;
  const known = complete.hosts.find((member) => member.host === host);
  if (known === undefined) {
    const others = complete.hosts.map((member) => member.host).join(', ');
    return `${host} does not hold every acknowledged commit: only ${others} ${complete.hosts.length === 1 ? 'does' : 'do'}`;
  }
  if (boot === null) return `${unknown}: it is not known whether it has been restarted since it was complete`;
  return isMember(known, { host, ...boot }) ? null : `${unknown}: it was restarted since it was complete`;
}

// Another server behind a member's address: rebuilt, restored from a copy, or a name that leads elsewhere by now. It is not the member that
// we knew, and gets no role before an operator says so. Asked by src/identify-guard.ts; `mmm rejoin` makes it a member.

import type { Life } from './decision.ts';
import type { Boot } from './observation.ts';
import type { Host } from './pair.ts';

/** What speaks against giving this host a role; null: it is the one that we knew, or nobody knows. */
export function whyStranger(host: Host, boot: Boot | null, life: Life | undefined): string | null {
  if (boot === null || life === undefined || boot.uuid === '' || life.uuid === '' || boot.uuid === life.uuid) {
    return null;
  }
  return `${host} IS ANOTHER SERVER than the one known there (its uuid is ${boot.uuid}, not ${life.uuid}): it gets no role until an operator says mmm rejoin`;
}

/**
 * What is noted (Store.putLife) of a server that is a member from now on, by the word of `mmm rejoin` or for want of another. Nothing else is
 * known of it, not even of this boot: how it came up is found out when it is opened.
 */
export function lifeOfNewMember({ uuid }: Boot): Life {
  return { uuid, startedSec: 0, cameUpReadOnly: false, armed: false };
}

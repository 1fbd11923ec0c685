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

/** What `mmm rejoin` writes on the board (Store.putLife) for the server that it found: it is this one from now on, and nothing else is known of it. */
export function lifeOfNewMember({ uuid, startedSec }: Boot): Life {
  return { uuid, startedSec, cameUpReadOnly: false, armed: false };
}

// What each change of the board consists of: what must hold, what is written, what is published. All of it happens in one step, or nothing.
// Comes from redis.ts, which runs it as one script (scripts.ts); the wire files say how each value is spelled.

import type { Complete, Joining } from '../core/complete.ts';
import type { Decision, Life, Policy, Report } from '../core/decision.ts';
import type { Divergence } from '../core/divergence.ts';
import type { Sighting } from '../core/observation.ts';
import type { Host, Roles } from '../core/pair.ts';
import type { Pause, Request } from '../core/request.ts';
import type { EpochGuard } from './store.ts';
import { encodeComplete, encodeGeneration, encodeJoining } from './wire-complete.ts';
import {
  encodeDivergence,
  encodeDivergenceGuard,
  encodeEpoch,
  encodeEpochGuard,
  encodeMaster,
  encodePolicy,
  encodeReport,
  encodeRoles,
  encodeSaved,
} from './wire-decisions.ts';
import type { Fields } from './wire-fields.ts';
import { encodeLife, encodeUnfenced } from './wire-guard.ts';
import { channelsOf, keysOf } from './wire-keys.ts';
import { encodeMessage } from './wire-message.ts';
import { encodeObservation, encodeSighting } from './wire-observations.ts';
import { encodePause, encodeRequest, encodeRequestGuard } from './wire-operator.ts';

export type Write =
  /** As HMSET: what is not named stays. */
  | { readonly kind: 'hash'; readonly key: string; readonly fields: Fields }
  | { readonly kind: 'string'; readonly key: string; readonly value: string }
  /** One field of a hash whose values begin with a date: those before `oldestMs` are dropped. */
  | ({ readonly kind: 'dated'; readonly key: string } & ReturnType<typeof encodeSighting>)
  | { readonly kind: 'del'; readonly key: string };

/** The fields that a hash must have, '' for absent. */
interface Guard {
  readonly key: string;
  readonly fields: Fields;
}

export interface Change {
  /** All of them must hold. */
  readonly guards: readonly Guard[];
  readonly writes: readonly Write[];
  /** Channels and payloads. */
  readonly messages: readonly (readonly [channel: string, payload: string])[];
}

/** The changes of one pair, as a process under this topic makes them. */
export function changesOf(topic: string, uniqsign: string) {
  const keys = keysOf(uniqsign);
  const channels = channelsOf(topic);
  const observed = [channels.observed, uniqsign] as const;
  /** What agents that know no epoch obey: the last word of a decision without a safety, and of an opening with one. */
  const announcement = (roles: Roles) => ({
    writes: [hash(keys.mode, encodeRoles(roles)), hash(keys.master, encodeMaster(roles))],
    messages: [[channels.message, encodeMessage({ roles, uniqsign })] as const],
  });
  const at = (epoch: EpochGuard | null): readonly Guard[] =>
    epoch === null ? [] : [{ key: keys.epoch, fields: encodeEpochGuard(epoch) }];
  const quietly = (guards: readonly Guard[], ...writes: Write[]): Change => ({ guards, writes, messages: [] });

  return {
    sighting: (sighting: Sighting): Change => ({
      guards: [],
      writes: [
        ...sighting.observations.map((seen) => hash(keys.check(seen.host), encodeObservation(seen))),
        { kind: 'dated', key: keys.observers, ...encodeSighting(sighting) },
      ],
      messages: [observed],
    }),

    /** `guard`: what the epoch key must hold. */
    commit: ({ decision, policy, guard }: { decision: Decision; policy: Policy; guard: Fields }): Change => {
      const { unfenced, terms, roles, anew, voidsComplete } = decision;
      const announced = terms.lease === null ? announcement(roles) : { writes: [], messages: [] };
      return {
        guards: [{ key: keys.epoch, fields: guard }],
        writes: [
          hash(keys.epoch, encodeEpoch(decision)),
          hash(keys.policy, encodePolicy(policy)),
          text(keys.topic, topic),
          ...(unfenced === null ? [] : [text(keys.unfenced, encodeUnfenced(unfenced))]),
          ...announced.writes,
          ...(anew === true ? [absent(keys.opened)] : []),
          ...(anew === true || voidsComplete === true ? [absent(keys.complete), absent(keys.joining)] : []),
          absent(keys.report),
          absent(keys.request),
        ],
        messages: [...announced.messages, [channels.decided, uniqsign]],
      };
    },

    announce: (epoch: EpochGuard, roles: Roles): Change => ({ guards: at(epoch), ...announcement(roles) }),

    unfenced: (epoch: EpochGuard, unfenced: boolean): Change =>
      quietly(at(epoch), text(keys.unfenced, encodeUnfenced(unfenced))),

    life: (epoch: EpochGuard, host: Host, life: Life): Change =>
      quietly(at(epoch), hash(keys.life(host), encodeLife(life))),

    /** `from`: what the set must be, as wire-complete.ts spells it. */
    complete: (epoch: EpochGuard, from: Fields, complete: Complete): Change =>
      quietly(
        [...at(epoch), { key: keys.complete, fields: from }],
        hash(keys.complete, encodeComplete(complete)),
        absent(keys.joining),
      ),

    join: (epoch: EpochGuard, from: number, joining: Joining): Change =>
      quietly(
        [...at(epoch), { key: keys.complete, fields: encodeGeneration(from) }],
        hash(keys.complete, encodeGeneration(joining.generation)),
        hash(keys.joining, encodeJoining(joining)),
      ),

    request: (request: Request): Change => ({
      guards: at(request.epoch),
      writes: [hash(keys.request, encodeRequest(request))],
      messages: [observed],
    }),

    requestEnd: (id: string, refused: string | null): Change =>
      quietly(
        [{ key: keys.request, fields: encodeRequestGuard(id) }],
        refused === null ? absent(keys.request) : hash(keys.request, new Map([['refused', refused]])),
      ),

    pause: (pause: Pause | null): Change => ({
      guards: [],
      writes: [pause === null ? absent(keys.pause) : hash(keys.pause, encodePause(pause))],
      messages: [observed],
    }),

    report: (report: Report): Change =>
      quietly(
        at(report.epoch),
        hash(keys.report, encodeReport(report)),
        ...(report.outcome === 'opened' ? [text(keys.opened, report.host)] : []),
      ),

    opened: (epoch: EpochGuard | null, host: Host | null): Change =>
      quietly(at(epoch), host === null ? absent(keys.opened) : text(keys.opened, host)),

    divergence: (epoch: EpochGuard | null, divergence: Divergence): Change =>
      quietly(at(epoch), hash(keys.divergence, encodeDivergence(divergence))),

    divergenceSaved: (divergence: Divergence, saved: string): Change =>
      quietly(
        [{ key: keys.divergence, fields: encodeDivergenceGuard(divergence) }],
        hash(keys.divergence, encodeSaved(saved)),
      ),

    divergenceEnd: (divergence: Divergence): Change =>
      quietly([{ key: keys.divergence, fields: encodeDivergenceGuard(divergence) }], absent(keys.divergence)),

    ioStopped: (host: Host, stopped: boolean): Change =>
      quietly([], stopped ? text(keys.ioStopped(host), '1') : absent(keys.ioStopped(host))),
  };
}

function hash(key: string, fields: Fields): Write {
  return { kind: 'hash', key, fields };
}

function text(key: string, value: string): Write {
  return { kind: 'string', key, value };
}

function absent(key: string): Write {
  return { kind: 'del', key };
}

// What an operator asks of identify, by way of the board: a switchover, or a failover that it would not do by itself.
// Written by commands/switchover.ts and commands/failover.ts; src/identify.ts carries it out or refuses it, by the same objections.

import { type Answers, type Judgement, judge } from './death.ts';
import type { Observation } from './observation.ts';
import type { EpochName, Host, Pair, Roles } from './pair.ts';

/** A planned change is asked about two living hosts, so what is known of them must be new. */
const FRESH_MS = 10_000;

export interface Request {
  readonly id: string;
  /** switchover: only if nothing can be lost. failover: forced, the operator knows what may be lost. */
  readonly kind: 'switchover' | 'failover';
  readonly to: Host;
  /** Who asked, for logs and status. */
  readonly by: string;
  /** The board's epoch when it was asked for; another one makes the request void. */
  readonly epoch: EpochName;
  /** Unix milliseconds. */
  readonly atMs: number;
  /** When nobody carries it out any more, Unix milliseconds. */
  readonly expiresMs: number;
  /** How long the agents may take before the role goes back, seconds. */
  readonly withinSec: number;
  /** Why identify did not carry it out; null: not answered yet. */
  readonly refused: string | null;
}

/** Automatic decisions are suspended by an operator. */
export interface Pause {
  readonly by: string;
  readonly atMs: number;
  /** Unix milliseconds; null: until somebody resumes. */
  readonly untilMs: number | null;
}

export function isOver({ untilMs }: Pause, nowMs: number): boolean {
  return untilMs !== null && nowMs >= untilMs;
}

interface Scene {
  readonly pair: Pick<Pair, 'primary' | 'secondary'>;
  readonly roles: Roles;
  readonly observations: { readonly primary: Observation | null; readonly secondary: Observation | null };
  readonly nowMs: number;
}

/** Everything that speaks against the request, one sentence each; empty: nothing. */
export function objections({ kind, to }: Pick<Request, 'kind' | 'to'>, scene: Scene): string[] {
  const { pair, roles } = scene;
  if (to !== pair.primary && to !== pair.secondary) {
    return [`${to} is not of this pair; its hosts are ${pair.primary} and ${pair.secondary}`];
  }
  const [target, other] = judged(scene, to);
  if (kind === 'failover') return target.verdict === 'answers' ? [] : [unfit(target)];
  if (to === roles.active) return [`${to} is the active already`];
  const against: string[] = [];
  if (other.verdict !== 'answers') against.push(`${unfit(other)}, and a switchover needs both hosts`);
  if (target.verdict === 'answers') against.push(...shortcomings(target, other.host));
  else against.push(unfit(target));
  return against;
}

function judged({ pair, observations, nowMs }: Scene, to: Host): [target: Judgement, other: Judgement] {
  const { primary, secondary } = observations;
  const when = { freshMs: FRESH_MS, nowMs };
  const one = judge({ host: pair.primary, observation: primary, other: secondary, ...when });
  const two = judge({ host: pair.secondary, observation: secondary, other: primary, ...when });
  return to === pair.primary ? [one, two] : [two, one];
}

function unfit({ host, verdict, reason }: Judgement): string {
  return verdict === 'missing' || verdict === 'stale'
    ? `${reason} (does a monitor run?)`
    : `${host} does not answer: ${reason}`;
}

/** A Perl monitor does not name the threads (null): its verdict on replication stands for both. */
function shortcomings({ host, facts }: Answers, other: Host): string[] {
  const { replicationOk, io, sql, delaySec } = facts;
  const running = (io ?? 'Yes') === 'Yes' && (sql ?? 'Yes') === 'Yes';
  if (!replicationOk || !running) {
    const threads = `I/O thread ${io ?? 'unknown'}, SQL thread ${sql ?? 'unknown'}`;
    return [
      `${host} does not replicate from ${other} without error (${threads}), so it would miss what ${other} holds`,
    ];
  }
  return delaySec > 0 ? [`${host} is ${delaySec} s behind ${other}`] : [];
}

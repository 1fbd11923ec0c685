// Who wins by the contract's rules, and the sentences that say why. Comes from decide.ts, which adds time and caution; uses rules.ts.

import type { Answers, Unreachable } from './death.ts';
import type { Host } from './pair.ts';
import { elect, factsOf, type HostFacts, type Rule, UNREACHABLE } from './rules.ts';

/** A host whose state is known: it tells its facts, or it is gone. */
export type Known = Answers | Unreachable;

interface Contenders {
  readonly primary: Known;
  readonly secondary: Known;
}

export interface Race {
  readonly winner: Host | null;
  /** Why it, or nobody, wins: what bars the others, and what the operator should know although it bars nobody. */
  readonly why: readonly string[];
  /** Both could be active. */
  readonly tie: boolean;
}

/** `strangers`: servers that are not the members we knew, and why; they win no more than one that is unreachable. */
export function race(hosts: Contenders, strangers: ReadonlyMap<Host, string>): Race {
  const factsFor = (known: Known) => (strangers.has(known.host) ? UNREACHABLE : ruleFacts(known));
  const { winner, obstacles } = elect(factsFor(hosts.primary), factsFor(hosts.secondary));
  const why: string[] = [];
  for (const role of ['primary', 'secondary'] as const) {
    const rule = obstacles[role];
    if (rule !== null) {
      const { host } = hosts[role];
      why.push(
        strangers.has(host) ? `${host} cannot be active: not the member we knew` : cannotBeActive(hosts[role], rule),
      );
    }
  }
  if (winner === null) {
    return { winner: null, why, tie: false };
  }
  const tie = why.length === 0;
  if (tie) {
    why.push(`both hosts can be active, and ${hosts.primary.host} is the primary`);
  }
  const [best, other] = winner === 'primary' ? [hosts.primary, hosts.secondary] : [hosts.secondary, hosts.primary];
  return { winner: best.host, why: [...why, ...caveats(best, other)], tie };
}

function ruleFacts(judgement: Known): HostFacts {
  return judgement.verdict === 'answers' ? factsOf(judgement.facts) : UNREACHABLE;
}

function cannotBeActive(judgement: Known, rule: Rule): string {
  const detail = judgement.verdict === 'answers' ? delay(judgement) : ` (${judgement.detail})`;
  return `${judgement.host} cannot be active: ${rule.sentence}${detail} [rule ${rule.number}]`;
}

function delay({ facts }: Answers): string {
  return facts.delaySec > 0 ? ` (${facts.delaySec} s)` : '';
}

function caveats(best: Known, other: Known): string[] {
  if (best.verdict !== 'answers' || other.verdict === 'answers') {
    return [];
  }
  const { facts, host } = best;
  const said: string[] = [];
  if (facts.delaySec > 0) {
    said.push(`${host} is ${facts.delaySec} s behind: it is opened only after it has applied what it received`);
  }
  if (facts.sql === 'No') {
    said.push(`${host}'s SQL thread is stopped: it is opened only after it has applied what it received`);
  } else if (!facts.replicationOk) {
    said.push(`${host}'s replication is in error, as may be expected while ${other.host} is unreachable`);
  }
  if (other.stillHeard !== null) {
    said.push(`${other.stillHeard}: the network from here may be at fault`);
  } else if (facts.hearing !== null) {
    const silentSec = Math.floor(facts.hearing.silentMs / 1000);
    said.push(`${host} has heard nothing from ${other.host} for ${silentSec} s, though its I/O thread still runs`);
  } else if (facts.io === 'Yes') {
    said.push(`${host} may still hear ${other.host} (its I/O thread runs): the network from here may be at fault`);
  }
  return said;
}

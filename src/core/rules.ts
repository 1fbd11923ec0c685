// Who may be active: the contract's five facts per host and its five rules, as a table. Says nothing about who is active now.
// Comes from death.ts (facts of hosts that answer, or the lack of an answer); goes on to decide.ts, which adds time and caution.

import type { SeenFacts } from './observation.ts';

/** The contract's five facts. Of a host that is unreachable only that is known, and the others read false or unknown. */
export interface HostFacts {
  readonly unreachable: boolean;
  readonly readOnly: boolean;
  readonly replicationError: boolean;
  readonly delayed: boolean;
  /** Application connections; `unknown` neither sends the role away nor draws it here. */
  readonly connections: 'none' | 'some' | 'unknown';
}

export const UNREACHABLE: HostFacts = {
  unreachable: true,
  readOnly: false,
  replicationError: false,
  delayed: false,
  connections: 'unknown',
};

/** The five facts of a host that answered. */
export function factsOf(seen: SeenFacts): HostFacts {
  return {
    unreachable: false,
    readOnly: seen.readOnly === true,
    replicationError: !seen.replicationOk,
    delayed: seen.delaySec > 0,
    connections: seen.connections > 0 ? 'some' : seen.connections === 0 ? 'none' : 'unknown',
  };
}

/** One reason why a host cannot be active. */
export interface Rule {
  /** Its number in the contract. */
  readonly number: 1 | 2 | 3 | 4 | 5;
  readonly code: string;
  /** Completes "HOST cannot be active: ...". */
  readonly sentence: string;
  /** `both reachable`: the rule compares two living hosts and says nothing about the only one that is left. */
  readonly applies: 'always' | 'both reachable';
  readonly test: (host: HostFacts, other: HostFacts) => boolean;
}

/**
 * Tried from top to bottom; the first that matches is the reason. Why all but the first need both hosts reachable is in
 * docs/decisions/0002-rules-for-the-survivor.md: alone they would veto the only survivor (F11).
 */
export const RULES: readonly Rule[] = [
  {
    number: 1,
    code: 'unreachable',
    sentence: 'unreachable',
    applies: 'always',
    test: (host) => host.unreachable,
  },
  {
    // A passive that lags. Rule 4 holds for it too; as a rule of its own it tells the operator that clients see old rows there.
    number: 2,
    code: 'read-only-and-delayed',
    sentence: 'read only and delayed',
    applies: 'both reachable',
    test: (host) => host.readOnly && host.delayed,
  },
  {
    // The circle is broken both ways, so neither is better by its data: the role stays where clients are.
    number: 3,
    code: 'both-in-error-and-unused',
    sentence: 'replication is in error on both hosts and no application is connected to it',
    applies: 'both reachable',
    test: (host, other) => host.replicationError && other.replicationError && host.connections === 'none',
  },
  {
    // What it has not applied yet, its clients would miss.
    number: 4,
    code: 'delayed',
    sentence: 'delayed',
    applies: 'both reachable',
    test: (host) => host.delayed,
  },
  {
    // Connector/J has fallen over to the other host: the role follows the clients, and stays until they go back.
    number: 5,
    code: 'clients-elsewhere',
    sentence: 'no application is connected to it and some are connected to the other host',
    applies: 'both reachable',
    test: (host, other) => host.connections === 'none' && other.connections === 'some',
  },
];

/** The first rule that keeps `host` from being active; null when it is a candidate. */
function obstacle(host: HostFacts, other: HostFacts): Rule | null {
  const bothReachable = !host.unreachable && !other.unreachable;
  return RULES.find((rule) => (rule.applies === 'always' || bothReachable) && rule.test(host, other)) ?? null;
}

/** Two candidates: the primary wins. One: it wins. None: nobody does, and nothing changes. */
interface Election {
  readonly winner: 'primary' | 'secondary' | null;
  /** What keeps each host from being active; null for a candidate. */
  readonly obstacles: { readonly primary: Rule | null; readonly secondary: Rule | null };
}

export function elect(primary: HostFacts, secondary: HostFacts): Election {
  const obstacles = { primary: obstacle(primary, secondary), secondary: obstacle(secondary, primary) };
  if (obstacles.primary === null) {
    return { winner: 'primary', obstacles };
  }
  return { winner: obstacles.secondary === null ? 'secondary' : null, obstacles };
}

// Builders with good defaults, so that a test shows only what matters to it.

import type { Failure, Observation, Seen, SeenFacts, Sighting } from '../../src/core/observation.ts';
import type { Host, Pair } from '../../src/core/pair.ts';

export const PRIMARY: Host = '10.0.0.5:3308';
export const SECONDARY: Host = '10.0.0.7:3308';

/** Some moment, in Unix milliseconds. */
export const NOW_MS = 1_700_000_000_000;

export function aPair(over: Partial<Pair> = {}): Pair {
  return {
    tag: 'mysql3308',
    uniqsign: '8d9a4b2924dc40baa792d742cb786345',
    primary: PRIMARY,
    secondary: SECONDARY,
    ...over,
  };
}

/** The facts of a healthy, writable host with one application connected. */
function seenFacts(over: Partial<SeenFacts> = {}): SeenFacts {
  return {
    readOnly: false,
    replicationOk: true,
    delaySec: 0,
    connections: 1,
    io: 'Yes',
    sql: 'Yes',
    hearing: null,
    boot: null,
    row: null,
    hasSemiSync: null,
    ...over,
  };
}

const FAILURES: Record<Failure['kind'], Omit<Failure, 'kind'>> = {
  saturated: { code: '1040', message: 'Too many connections' },
  'auth-refused': { code: '1045', message: 'Access denied' },
  blocked: { code: '1129', message: 'Host is blocked' },
  'server-error': { code: '1053', message: 'Server shutdown in progress' },
  refused: { code: 'ECONNREFUSED', message: 'connection refused' },
  silent: { code: 'ETIMEDOUT', message: 'timed out after 1000 ms' },
};

export function aFailure(kind: Failure['kind']): Failure {
  return { kind, ...FAILURES[kind] };
}

interface ObservationChoices extends Partial<SeenFacts> {
  readonly host?: Host;
  readonly atMs?: number;
  readonly observer?: string;
  readonly connectionBroke?: boolean;
  readonly goneLooks?: number;
  /** The host did not tell its facts, and why. */
  readonly failure?: Failure['kind'];
}

/** A fresh look at a healthy, writable primary, or with `failure` at one that told nothing. */
export function anObservation(choices: ObservationChoices = {}): Observation {
  const { host = PRIMARY, atMs = NOW_MS, observer = 'monitor-1', ...more } = choices;
  const { connectionBroke = false, goneLooks = 0, failure, ...facts } = more;
  return { host, atMs, observer, connectionBroke, goneLooks, evidence: seen(failure, facts) };
}

function seen(failure: Failure['kind'] | undefined, facts: Partial<SeenFacts>): Seen {
  if (failure === undefined) {
    return { kind: 'answered', facts: seenFacts(facts) };
  }
  if (failure === 'refused' || failure === 'silent') {
    return { kind: failure, failure: aFailure(failure) };
  }
  return { kind: 'unreadable', failure: aFailure(failure) };
}

/** One round of one monitor, whose name the observations bear. */
export function aSighting(observations: readonly Observation[], over: Partial<Sighting> = {}): Sighting {
  return { observer: observations[0]?.observer ?? 'monitor-1', observations, againMs: 2_500, ...over };
}

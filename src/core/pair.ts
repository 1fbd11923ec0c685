// The nouns: a pair of two masters, its hosts, their roles, and the epoch that orders decisions.
// Everything else imports these; the wire files and config.ts turn text into them at the edges.

/** `IP:PORT`, or `NAME:PORT`, or `[IPv6]:PORT`: what the contract writes into Redis and the configuration files. */
export type Host = `${string}:${number}`;

/** Two MySQL masters replicating from each other, known by a tag (in a file) and a uniqsign (in Redis). */
export interface Pair {
  readonly tag: string;
  readonly uniqsign: string;
  readonly primary: Host;
  readonly secondary: Host;
}

/** Which host is active and which is passive. The two are never the same host. */
export interface Roles {
  readonly active: Host;
  readonly passive: Host;
}

/** What orders decisions: a number that grows, an id that tells two decisions of one number apart, and whom it opens. */
export interface Epoch {
  readonly number: number;
  readonly id: string;
  readonly active: Host;
}

/** How a report, a request, a renewal or an opening says of which decision it is. */
export type EpochName = Pick<Epoch, 'number' | 'id'>;

/** Of one decision, and not of another that was given the same number: the board was emptied or restored in between. */
export function isOfDecision(one: EpochName | null, other: EpochName | null): boolean {
  return one !== null && other !== null && one.number === other.number && one.id === other.id;
}

/** The same decision, down to the host that it opens. */
export function isSameEpoch(one: Epoch | null, other: Epoch | null): boolean {
  return isOfDecision(one, other) && one?.active === other?.active;
}

const HOST = /^(?:\[[0-9A-Fa-f:.]+\]|[^\s:,[\]]+):([0-9]{1,5})$/;

function isHost(text: string): text is Host {
  const port = Number(HOST.exec(text)?.[1]);
  return port >= 1 && port <= 65535;
}

/** Reads `ADDRESS:PORT`. Returns undefined when the text is not one. */
export function parseHost(text: string): Host | undefined {
  return isHost(text) ? text : undefined;
}

/** The two halves of a host, the brackets of an IPv6 address taken off. */
export function splitHost(host: Host): { address: string; port: number } {
  const colon = host.lastIndexOf(':');
  return { address: host.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(host.slice(colon + 1)) };
}

/** The pair's other host. */
export function otherHost(pair: Pick<Pair, 'primary' | 'secondary'>, host: Host): Host {
  return host === pair.primary ? pair.secondary : pair.primary;
}

/** The roles when `active` is active. */
export function rolesWith(pair: Pick<Pair, 'primary' | 'secondary'>, active: Host): Roles {
  return { active, passive: otherHost(pair, active) };
}

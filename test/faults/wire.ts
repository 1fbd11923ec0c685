// What crowd.ts and the process of the clients (clients.ts) say to each other.

import type { Opening, SecondWrite } from './judge.ts';

export interface HostOfClients {
  /** IP:PORT, as mmm knows it. */
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** Reaches it whatever is cut. */
  readonly socket: string;
}

export interface Start {
  readonly do: 'start';
  readonly hosts: readonly HostOfClients[];
}

export type Ask =
  /** Forgets all answers, and counts acknowledged writes from here. */
  | { readonly do: 'begin' }
  /** Clients that come over the network and fall over. */
  | { readonly do: 'load'; readonly on: boolean }
  | { readonly do: 'states' }
  | { readonly do: 'burst'; readonly host: string; readonly writes: number }
  /** At the host's next acknowledged write: how many of these numbers does it hold? */
  | { readonly do: 'count'; readonly host: string; readonly fromId: number; readonly toId: number }
  | { readonly do: 'report'; readonly fromMs: number; readonly aroundMs: number | null }
  /** Where the acknowledged writes are. */
  | { readonly do: 'account'; readonly active: string; readonly other: string };

export type Question = Ask & { readonly id: number };

/** When each was told last; monotonic milliseconds. */
export interface HostState {
  readonly acknowledgedMs: number | null;
  /** How many it acknowledged since the last `begin`. */
  readonly acknowledged: number;
  readonly closedMs: number | null;
  readonly answeredMs: number | null;
}

export interface Report {
  readonly openings: readonly Opening[];
  readonly second: readonly SecondWrite[];
  /** The first acknowledged write of each host that was sent after the given moment. */
  readonly firstMs: Readonly<Record<string, number | null>>;
  /** The longest time in which nobody was told of a write. */
  readonly gapMs: number;
  readonly acknowledged: number;
  /** How long the slowest acknowledged write of the host that was opened last took, about that moment: what this machine has to spare. */
  readonly slowestMs: number;
  readonly counted: number | null;
}

export interface Account {
  readonly onActive: number;
  readonly onlyOnOther: readonly number[];
  readonly nowhere: readonly number[];
}

export interface Replies {
  readonly begin: { readonly nowMs: number; readonly lastId: number };
  readonly load: undefined;
  readonly states: Readonly<Record<string, HostState>>;
  readonly burst: { readonly fromId: number; readonly toId: number };
  readonly count: undefined;
  readonly report: Report;
  readonly account: Account;
}

// What one probe of one host found: graded evidence, never a boolean.
// Made by mysql/server.ts, carried over Redis by store/wire-observations.ts, judged by core/death.ts and core/rules.ts.

import type { HostRow } from './host-row.ts';
import type { Host } from './pair.ts';

/** A replication thread as the server names it. */
export type ThreadState = 'Yes' | 'No' | 'Connecting';

/** A place in a binary log. */
export interface Coordinates {
  readonly file: string;
  readonly pos: number;
}

/** A replication thread's last error; code 0 when there is none. */
export interface ThreadError {
  readonly code: number;
  readonly text: string;
}

/** What a source says when it has nothing to say. */
export interface Heartbeats {
  /** Heard since the I/O thread began. */
  readonly received: number;
  /** How often the source is asked to send one when it has no event; 0: never. */
  readonly periodMs: number;
}

/** How a host replicates, as its own status statement tells. */
export interface Replication {
  /** `Master_Host:Master_Port` as configured there; may be a name where the pair is known by addresses. */
  readonly source: string;
  /** The source's server id as the I/O thread learned it; 0 when it never connected. */
  readonly sourceServerId: number;
  readonly io: ThreadState;
  readonly sql: ThreadState;
  readonly ioError: ThreadError;
  readonly sqlError: ThreadError;
  /** Seconds behind the source; null when the server does not know. */
  readonly delaySec: number | null;
  /** What the I/O thread has received, in the source's binary log. */
  readonly received: Coordinates;
  /** What the SQL thread has applied, in the source's binary log. */
  readonly applied: Coordinates;
  /** GTIDs received (MariaDB `Gtid_IO_Pos`, MySQL `Retrieved_Gtid_Set`); null when this channel does not use GTIDs. */
  readonly receivedGtid: string | null;
  /**
   * MariaDB: the last GTID of each domain that the SQL thread is past (`gtid_slave_pos`); null elsewhere. `receivedGtid` names one GTID per
   * domain, too: where both servers share a domain it may be the host's own, come back by the circle, which says nothing of what is before it.
   */
  readonly appliedGtid: string | null;
  /** The SQL thread says that it has read and applied the whole relay log. */
  readonly readAll: boolean;
  /** null where the server was not asked, or does not tell. */
  readonly heartbeats: Heartbeats | null;
  /** Starting replication with both threads stopped throws away what is received and unapplied (MariaDB with GTID) [F2]. */
  readonly purgesOnStart: boolean;
}

/** One life of one server: a restarted, rebuilt or cloned server has another. */
export interface Boot {
  /** `@@server_uuid`, or what stands for it on MariaDB; '' where the server has none. */
  readonly uuid: string;
  /** Unix seconds at which this mysqld started, by its own clock (rounded to the even second: `Uptime` is whole seconds). */
  readonly startedSec: number;
}

/** Accounts that match the agent's block patterns, by their state; null when no patterns are set. */
export interface AccountCounts {
  readonly open: number;
  readonly blocked: number;
}

/** What a host that answered told about itself. */
export interface Facts {
  readonly flavour: 'mysql' | 'mariadb';
  readonly version: string;
  readonly serverId: number;
  readonly boot: Boot;
  /** A client without admin rights cannot write: `read_only` is on (`super_read_only` binds admins, and never stands alone). */
  readonly readOnly: boolean;
  /** The server's own wall clock, Unix seconds with fraction. */
  readonly serverTime: number;
  /** Application connections as the contract counts them. */
  readonly connections: number;
  /** null: replication was never set up. */
  readonly replication: Replication | null;
  /** Where the next transaction goes in this host's own binary log; null when it writes none. */
  readonly binlog: Coordinates | null;
  /** Everything this host has executed or holds (MariaDB: binlog state and slave position joined; MySQL: gtid_executed); null without GTIDs. */
  readonly gtid: string | null;
  readonly accounts: AccountCounts | null;
  /** The server's own row; null: nothing of ours is there, or it is a copy of another server's. */
  readonly row: HostRow | null;
  /** null: the server has no semi-synchronous replication, or nobody asked. */
  readonly semiSync: SemiSync | null;
}

/** Semi-synchronous replication, both sides of it. */
export interface SemiSync {
  /** The source side is switched on: commits wait for a replica. */
  readonly source: boolean;
  /** Replicas that acknowledge. */
  readonly clients: number;
  /** Sessions that wait for an acknowledgement. */
  readonly waiting: number;
  /** Commits that were acknowledged since the server started. */
  readonly acknowledged: number;
  /** The replica side is switched on: it counts when the I/O thread starts. */
  readonly replica: boolean;
  /** The I/O thread acknowledges. */
  readonly replicaOn: boolean;
  /**
   * What a source side that is on is not set to although `durability=lossless` needs it (no time-out, AFTER_SYNC, waiting without
   * replicas), in words; null: nothing, or it is off, for whoever switches it on sets all of it.
   */
  readonly wrong: string | null;
}

/** Why a host could not be read. The first four kinds are signs of life. */
export interface Failure {
  readonly kind:
    | 'saturated' // 1040: too many connections
    | 'auth-refused' // 1045, 1044, 1251 and the like: wrong password, unknown plugin
    | 'blocked' // 1129, 1130: this client's host is not let in
    | 'server-error' // any other error that the server itself sent
    | 'refused' // nothing listens there: ECONNREFUSED, or an established connection was reset and nothing answers
    | 'silent'; // timed out, unreachable, no route, name not found: the network may be at fault
  /** The error number or code (`1040`, `ECONNREFUSED`), for people and logs. */
  readonly code: string;
  /** One line, without secrets. */
  readonly message: string;
}

/** A probe's result. */
export type Evidence = { readonly kind: 'answered'; readonly facts: Facts } | Failure;

/** Evidence with its date and sender. */
export interface Observation {
  readonly host: Host;
  readonly evidence: Seen;
  /** When the probe ended: Unix milliseconds by the observer's clock. */
  readonly atMs: number;
  /** Who looked: the monitor's name; '' for a Perl monitor. */
  readonly observer: string;
  /** The established connection broke at this observation or since the last good one: with `refused`, a sign of death [F19]. */
  readonly connectionBroke: boolean;
  /** So many looks in a row of this observer, this one included, found the host gone while the other one lived; 0 for a Perl monitor. */
  readonly goneLooks: number;
}

/** How long a replica has heard nothing from the other host of its pair, as one observer measured it by its own clock. */
export interface Hearing {
  readonly silentMs: number;
  /** Its heartbeat period; 0: none, or unknown. */
  readonly heartbeatMs: number;
}

/** All that one monitor found in one round. */
export interface Sighting {
  /** '' for a Perl monitor. */
  readonly observer: string;
  readonly observations: readonly Observation[];
  /** It means to look again within this; null where it does not say. */
  readonly againMs: number | null;
}

/** The facts of an observation that travel over the board; a Perl monitor sends only those the contract names. */
export interface SeenFacts {
  /** null: unknown (`-1`). */
  readonly readOnly: boolean | null;
  readonly replicationOk: boolean;
  /** Seconds; 0 when zero or unknown. */
  readonly delaySec: number;
  /** -1 unknown. */
  readonly connections: number;
  /** The I/O thread's state; null when unknown or never set up. */
  readonly io: ThreadState | null;
  readonly sql: ThreadState | null;
  /** null: no witness of the other host, because its I/O thread does not run, follows somebody else, or a Perl monitor looked. */
  readonly hearing: Hearing | null;
  /** Its boot; null when unknown. */
  readonly boot: Boot | null;
  /** What its row says; null: no row, or a monitor that does not look. */
  readonly row: SeenRow | null;
  /** Whether it has semi-synchronous replication; null: nobody looked. */
  readonly hasSemiSync: boolean | null;
}

/** The part of a server's row that identify decides with. */
export type SeenRow = Pick<HostRow, 'epoch' | 'opened' | 'unfenced' | 'generation'> & {
  readonly lease: HostRow['lease']['kind'];
  /** Its EVENT ticks. */
  readonly armed: boolean;
};

/**
 * Evidence as the board carries it. `unreadable` is a host that is alive (it answered with an error) and told nothing.
 */
export type Seen =
  | { readonly kind: 'answered'; readonly facts: SeenFacts }
  | { readonly kind: 'unreadable'; readonly failure: Failure }
  | { readonly kind: 'refused' | 'silent'; readonly failure: Failure };

/** True for evidence of a server that runs, readable or not. */
export function isAlive(evidence: { readonly kind: (Evidence | Seen)['kind'] }): boolean {
  return evidence.kind !== 'refused' && evidence.kind !== 'silent';
}

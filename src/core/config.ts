// One table of settings for both files: name, type, default, range, meaning. It validates, and it is the documentation.
// Comes from ops/inifile.ts (text -> sections with line numbers); goes on to commands/base.ts.

import type { Host, Pair } from './pair.ts';

/** `[redis]` of both files. */
export interface RedisConfig {
  readonly host: Host;
  /** null: no password. */
  readonly password: string | null;
  readonly topic: string;
}

/** How to reach a MySQL server. */
export interface MysqlAccess {
  readonly database: string;
  readonly user: string;
  readonly password: string;
  readonly charset: string;
  readonly connectTimeoutMs: number;
}

/** One section of mmm.conf. */
export interface PairConfig extends Pair {
  readonly access: MysqlAccess;
  /** 0 active-active, 1 active-passive. */
  readonly servicemode: 0 | 1;
  /** Users that are not counted as application connections. */
  readonly excludeUsers: readonly string[];
  readonly intervalMs: number;
  readonly tryTimes: number;
  /** Seconds; null: never open a host before it has applied all that it received (S4). */
  readonly drainTimeoutSec: number | null;
  /** null: the `[log] logfile`. */
  readonly monitorLogfile: string | null;
  readonly identifyLogfile: string | null;
}

/** mmm.conf as monitor, identify and status use it. */
export interface ManagerConfig {
  readonly pairs: readonly PairConfig[];
  readonly redis: RedisConfig;
  /** null: standard output only. */
  readonly logfile: string | null;
}

export interface MailConfig {
  /** null: the local sendmail. */
  readonly server: Host | null;
  readonly user: string | null;
  readonly password: string | null;
  /** starttls: upgrade when offered; required: refuse without; implicit: TLS from the first byte; off. */
  readonly tls: 'off' | 'starttls' | 'required' | 'implicit';
  readonly sender: string;
  readonly receivers: readonly string[];
}

/** The agent's patterns; on the account's user and host as the server stores them. */
export interface BlockPatterns {
  readonly user: RegExp;
  readonly host: RegExp;
}

/** mmm-agent.conf. */
export interface AgentConfig {
  readonly access: MysqlAccess;
  /** null: no account is blocked or released. */
  readonly block: BlockPatterns | null;
  /** How often a connection that fails is tried again within one round. */
  readonly tryOnFailure: number;
  /** null: send_mail=0. */
  readonly mail: MailConfig | null;
  readonly redis: RedisConfig;
  readonly logfile: string | null;
}

// Both configuration files: from sections to a config that is never checked again, or to all problems at once.
// Comes from ops/inifile.ts (text -> sections with line numbers) and reads by the table of core/settings.ts;
// goes on to commands/base.ts.

import type { Policy } from './decision.ts';
import { nearest } from './nearest.ts';
import type { Pacing } from './pacing.ts';
import type { Host, Pair } from './pair.ts';
import {
  AGENT_SECTIONS,
  LOG,
  MANAGER_SECTIONS,
  MYSQL,
  PAIR,
  REDIS,
  type Setting,
  type Table,
  type Values,
} from './settings.ts';

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
  readonly policy: Policy;
  readonly pacing: Pacing;
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
  /** Where it keeps core/agent-memory.ts. */
  readonly stateFile: string;
  /** What stayed on an old active is saved there. */
  readonly divergenceFolder: string;
  readonly redis: RedisConfig;
  readonly logfile: string | null;
}

/** One `key=value` of a file, quotes and comment taken off. */
export interface IniEntry {
  readonly key: string;
  readonly value: string;
  readonly line: number;
}

interface IniSection {
  readonly name: string;
  /** Where its `[name]` stands. */
  readonly line: number;
  readonly entries: readonly IniEntry[];
}

/** Something to say about a place in a file. Never holds a secret. */
export interface Finding {
  /** null: the file as a whole. */
  readonly line: number | null;
  readonly section: string | null;
  readonly key: string | null;
  /** What is wrong, what is expected. */
  readonly text: string;
}

/** A file taken apart by ops/inifile.ts. */
export interface ParsedIni {
  readonly file: string;
  /** In the file's order; a name may appear twice, and then stands among the problems. */
  readonly sections: readonly IniSection[];
  readonly problems: readonly Finding[];
  readonly warnings: readonly Finding[];
}

/** What is right, or everything that is wrong: lines for people, `FILE:LINE [section] key: what is wrong`. */
export type Result<T> =
  | { readonly ok: true; readonly config: T; readonly warnings: readonly string[] }
  | { readonly ok: false; readonly problems: readonly string[]; readonly warnings: readonly string[] };

/** mmm.conf for monitor, identify and status. `flagRedis` is the `--redis` of the command line, if it was given. */
export function readManagerConfig(file: ParsedIni, flagRedis?: Host): Result<ManagerConfig> {
  const findings = new Findings(file);
  const sections = file.sections.filter((section) => !MANAGER_SECTIONS.has(section.name));
  const pairs = sections.map((section) => readPair(section, findings));
  if (sections.length === 0)
    findings.problem(
      nowhere,
      'there is no pair; expected a section [TAG] for each, with primaryhost, secondaryhost and uniqsign',
    );
  checkSignatures(sections, findings);
  const redis = readRedis(file, flagRedis, findings);
  const log = readSection(findSection(file, 'log'), LOG, findings);
  const complete = pairs.filter((pair) => pair !== null);
  if (redis === null || log.all === null || complete.length < pairs.length) return findings.result<ManagerConfig>(null);
  return findings.result<ManagerConfig>({ pairs: complete, redis, logfile: log.all.logfile });
}

/** mmm-agent.conf. */
export function readAgentConfig(file: ParsedIni, flagRedis?: Host): Result<AgentConfig> {
  const findings = new Findings(file);
  for (const section of file.sections) {
    if (!AGENT_SECTIONS.has(section.name)) warnUnknownSection(section, findings);
  }
  const section = findSection(file, 'mysql');
  if (section === undefined)
    findings.problem({ ...nowhere, section: 'mysql' }, 'the section is missing; expected one with user and password');
  const mysql = readSection(section, MYSQL, findings, AGENT_SECTIONS);
  const { block_user, block_host, send_mail, email_receiver, email_user, email_password } = mysql.some;
  bothOrNeither(mysql, 'block_user', block_user, 'block_host', block_host, findings);
  bothOrNeither(mysql, 'email_user', email_user, 'email_password', email_password, findings);
  if (send_mail === 1 && email_receiver !== undefined && (email_receiver ?? []).length === 0) {
    findings.problem(
      mysql.place('email_receiver'),
      'is missing; expected the receivers of the mails, because send_mail is 1',
    );
  }
  const redis = readRedis(file, flagRedis, findings);
  const log = readSection(findSection(file, 'log'), LOG, findings);
  if (mysql.all === null || redis === null || log.all === null) return findings.result<AgentConfig>(null);
  return findings.result<AgentConfig>({
    access: accessOf(mysql.all),
    block: mysql.all.block_user && mysql.all.block_host && { user: mysql.all.block_user, host: mysql.all.block_host },
    tryOnFailure: mysql.all.try_on_failure,
    mail: mysql.all.send_mail === 1 ? mailOf(mysql.all) : null,
    stateFile: mysql.all.state_file,
    divergenceFolder: mysql.all.divergence_folder,
    redis,
    logfile: log.all.logfile,
  });
}

/** The pairs that `--tag` (repeated) or `--all` names. A tag is the whole name of a section, never a part of it. */
export function selectPairs(
  config: ManagerConfig,
  tags: readonly string[] | 'all',
):
  | { readonly ok: true; readonly pairs: readonly PairConfig[] }
  | { readonly ok: false; readonly problems: readonly string[] } {
  if (tags === 'all') return { ok: true, pairs: config.pairs };
  const known = config.pairs.map((pair) => pair.tag);
  const unknown = [...new Set(tags)].filter((tag) => !known.includes(tag));
  if (unknown.length > 0) {
    return {
      ok: false,
      problems: unknown.map((tag) => `--tag ${tag}: there is no such pair; expected one of ${known.join(', ')}`),
    };
  }
  return { ok: true, pairs: config.pairs.filter((pair) => tags.includes(pair.tag)) };
}

function readPair(section: IniSection, findings: Findings): PairConfig | null {
  const place = { line: section.line, section: section.name, key: null };
  const meant = nearest(section.name, [...MANAGER_SECTIONS.keys()]);
  if (meant !== undefined && !section.entries.some(({ key }) => PAIR_ONLY.has(key))) {
    findings.problem(place, `holds nothing of a pair; did you mean [${meant}]?`);
    return null;
  }
  if (section.name === 'all')
    findings.problem(place, 'no pair can have this name, because it means every pair; expected another tag');
  const { some, all, place: placeOf } = readSection(section, PAIR, findings, MANAGER_SECTIONS);
  if (some.primaryhost !== undefined && some.primaryhost === some.secondaryhost) {
    findings.problem(
      placeOf('secondaryhost'),
      `${some.secondaryhost} is the primaryhost too; expected the other host of the pair`,
    );
  }
  if (some.interval !== undefined && some.interval > LONG_INTERVAL_MS) {
    findings.warning(
      placeOf('interval'),
      'is long: a status older than 30 seconds is not used, so failures may go unnoticed',
    );
  }
  checkFencing(some, placeOf, findings);
  if (all === null) return null;
  return {
    tag: section.name,
    uniqsign: all.uniqsign,
    primary: all.primaryhost,
    secondary: all.secondaryhost,
    access: accessOf(all),
    servicemode: all.servicemode,
    excludeUsers: all.excludeuser,
    intervalMs: all.interval,
    tryTimes: all.try_times,
    policy: policyOf(all),
    pacing: { minFailoverIntervalSec: all.min_failover_interval, failback: all.failback },
    monitorLogfile: all.monitor_logfile,
    identifyLogfile: all.identify_logfile,
  };
}

/** What only a pair has; a section without any of it whose name is almost `redis` is a slip, not a pair. */
const PAIR_ONLY: ReadonlySet<string> = new Set(['primaryhost', 'secondaryhost', 'uniqsign']);

const LONG_INTERVAL_MS = 15_000;

/**
 * A second (or a third of the lease, core/lease.ts `keepingIntervalMs`) after the last renewal the next one finds its connection gone, waits
 * a connect timeout for a new one in vain, and the one after that, as much later again, must still come in time.
 */
export function leastLeaseMs(connectTimeoutMs: number): number {
  return Math.min(connectTimeoutMs + 2_000, 3 * connectTimeoutMs);
}

/**
 * A safety that is written down and would not work is refused: whoever wrote it believes in it. Numbers of a lease that is switched off
 * may stay, so that one line switches it.
 */
function checkFencing(some: Partial<Values<typeof PAIR>>, place: (key: string) => Place, findings: Findings): void {
  const { fencing, servicemode, lease, connect_timeout, on_unreachable, fence_hook } = some;
  if (fencing === 'lease' && servicemode === 0) {
    findings.problem(
      place('fencing'),
      'is lease with servicemode=0 (active-active), where both hosts take writes and no single active could hold a lease; expected none, or servicemode=1',
    );
  }
  if (
    fencing === 'lease' &&
    lease !== undefined &&
    connect_timeout !== undefined &&
    lease < leastLeaseMs(connect_timeout)
  ) {
    const leastMs = leastLeaseMs(connect_timeout);
    findings.problem(
      place('lease'),
      `${lease / 1000} s is too short for connect_timeout=${connect_timeout / 1000}: one lost renewal would close the active; expected at least ${leastMs / 1000}, or a shorter connect_timeout`,
    );
  }
  if (fencing !== 'none') return;
  const unlessLease = 'which nothing heeds while fencing is none; expected fencing=lease';
  if (on_unreachable === 'wait') {
    findings.problem(place('on_unreachable'), `is wait, ${unlessLease}, or on_unreachable=promote`);
  }
  if (typeof fence_hook === 'string') {
    findings.problem(place('fence_hook'), `is set, ${unlessLease}, or no fence_hook`);
  }
}

/** Two pairs with one signature would overwrite each other's keys in Redis. */
function checkSignatures(sections: readonly IniSection[], findings: Findings): void {
  const first = new Map<string, { readonly section: string; readonly line: number }>();
  for (const { name, entries } of sections) {
    const entry = entries.find(({ key }) => key === 'uniqsign');
    if (entry === undefined || entry.value === '') continue;
    const other = first.get(entry.value);
    if (other === undefined) first.set(entry.value, { section: name, line: entry.line });
    else if (other.section !== name) {
      const place = { line: entry.line, section: name, key: entry.key };
      findings.problem(
        place,
        `is that of [${other.section}] in line ${other.line} too; expected one of its own (mmm uniqsign prints one)`,
      );
    }
  }
}

function readRedis(file: ParsedIni, flagRedis: Host | undefined, findings: Findings): RedisConfig | null {
  const section = findSection(file, 'redis');
  if (section === undefined)
    findings.problem({ ...nowhere, section: 'redis' }, 'the section is missing; expected one with topic');
  const redis = readSection(section, REDIS, findings).all;
  return redis && { host: redis.host ?? flagRedis ?? '127.0.0.1:6379', password: redis.password, topic: redis.topic };
}

function accessOf(all: Values<typeof MYSQL> | Values<typeof PAIR>): MysqlAccess {
  const { database, user, password, charset, connect_timeout } = all;
  return { database, user, password, charset, connectTimeoutMs: connect_timeout };
}

function policyOf(all: Values<typeof PAIR>): Policy {
  return {
    drainTimeoutSec: all.drain_timeout,
    fencing: all.fencing,
    leaseMs: all.lease,
    leaseAgents: all.lease_agents,
    onUnreachable: all.on_unreachable,
    fenceHook: all.fence_hook,
    // Not to be configured before every part of it keeps its promises.
    durability: 'async',
    onDivergence: 'merge',
  };
}

function mailOf(all: Values<typeof MYSQL>): MailConfig {
  return {
    server: all.email_server,
    user: all.email_user,
    password: all.email_password,
    tls: all.email_tls,
    sender: all.email_sender,
    receivers: all.email_receiver ?? [],
  };
}

/** A section read by its table. */
interface ReadSection<T extends Table> {
  /** What could be read, for checks across keys: these go on when another key is wrong. */
  readonly some: Partial<Values<T>>;
  /** null: something is wrong, and it stands among the findings. */
  readonly all: Values<T> | null;
  /** Where a key stands, or else the section that lacks it. */
  readonly place: (key: string) => Place;
}

/** A section that the file lacks reads like an empty one, save that its keys are not reported as missing. */
function readSection<T extends Table>(
  section: IniSection | undefined,
  table: T,
  findings: Findings,
  others: ReadonlyMap<string, Table> = new Map(),
): ReadSection<T> {
  const place = (key: string): Place => {
    const entry = section?.entries.find((candidate) => candidate.key === key);
    return { line: entry?.line ?? section?.line ?? null, section: section?.name ?? null, key };
  };
  const values: [string, unknown][] = [];
  let complete = true;
  for (const [key, setting] of Object.entries(table)) {
    const entry = section?.entries.find((candidate) => candidate.key === key);
    const reading = readEntry(entry, setting);
    if (!('wrong' in reading)) values.push([key, reading.value]);
    else {
      complete = false;
      if (section !== undefined) findings.problem(place(key), `${reading.wrong}; expected ${setting.expects}`);
    }
  }
  for (const entry of section?.entries ?? []) {
    if (!Object.hasOwn(table, entry.key)) warnUnknownKey(entry, section?.name ?? null, table, others, findings);
    else if (entry.value === '' && table[entry.key]?.mayBeEmpty) {
      findings.warning(place(entry.key), 'is empty; a value that begins with # or ; after white space needs quotes');
    }
  }
  // The two assertions: each value was read by the setting of its own key, which is what Values<T> says; the loop above loses that.
  const some = Object.fromEntries(values) as Partial<Values<T>>;
  return { some, all: complete ? (some as Values<T>) : null, place };
}

/** `key=` says as little as leaving the key out, except where an empty value means something. */
function readEntry(entry: IniEntry | undefined, setting: Setting<unknown>): ReturnType<Setting<unknown>['read']> {
  if (entry === undefined) return setting.whenAbsent();
  if (entry.value !== '' || setting.mayBeEmpty) return setting.read(entry.value);
  const absent = setting.whenAbsent();
  return 'wrong' in absent ? { wrong: 'is empty' } : absent;
}

function bothOrNeither(
  section: { readonly place: (key: string) => Place },
  oneKey: string,
  one: unknown,
  otherKey: string,
  other: unknown,
  findings: Findings,
): void {
  if (one === undefined || other === undefined || (one === null) === (other === null)) return;
  const [given, missing] = one === null ? [otherKey, oneKey] : [oneKey, otherKey];
  findings.problem(section.place(given), `is set and ${missing} is not; expected both or neither`);
}

function warnUnknownKey(
  entry: IniEntry,
  section: string | null,
  table: Table,
  others: ReadonlyMap<string, Table>,
  findings: Findings,
): void {
  const near = nearest(entry.key, Object.keys(table));
  const home = [...others].find(([, other]) => Object.hasOwn(other, entry.key))?.[0];
  const hint = near !== undefined ? `; did you mean ${near}?` : home !== undefined ? `; it belongs in [${home}]` : '';
  findings.warning({ line: entry.line, section, key: showableKey(entry.key) }, `unknown key, ignored${hint}`);
}

/** What stands before a = is a key, or by mistake a piece of a password: only what looks like a key is shown. */
export function showableKey(key: string): string | null {
  return /^[A-Za-z][\w.-]{0,40}$/.test(key) ? key : null;
}

function warnUnknownSection(section: IniSection, findings: Findings): void {
  const near = nearest(section.name, [...AGENT_SECTIONS.keys()]);
  const hint =
    near === undefined ? `; known are ${[...AGENT_SECTIONS.keys()].join(', ')}` : `; did you mean [${near}]?`;
  findings.warning({ line: section.line, section: section.name, key: null }, `unknown section, ignored${hint}`);
}

function findSection(file: ParsedIni, name: string): IniSection | undefined {
  return file.sections.find((section) => section.name === name);
}

type Place = Omit<Finding, 'text'>;

const nowhere: Place = { line: null, section: null, key: null };

/** Gathers what is to be said about a file, and says it in the file's order. */
class Findings {
  readonly #file: ParsedIni;
  readonly #problems: Finding[];
  readonly #warnings: Finding[];

  constructor(file: ParsedIni) {
    this.#file = file;
    this.#problems = [...file.problems];
    this.#warnings = [...file.warnings];
  }

  /** What could not even be taken apart, a line or the whole file, is not complained about again for what it lacks. */
  problem(place: Place, text: string): void {
    const known = this.#file.problems.some(({ line, key }) => line === place.line && key === place.key);
    if (!known) this.#problems.push({ ...place, text });
  }

  warning(place: Place, text: string): void {
    this.#warnings.push({ ...place, text });
  }

  result<T>(config: T | null): Result<T> {
    const warnings = this.#lines(this.#warnings);
    if (config !== null && this.#problems.length === 0) return { ok: true, config, warnings };
    return { ok: false, problems: this.#lines(this.#problems), warnings };
  }

  #lines(findings: readonly Finding[]): string[] {
    const order = (finding: Finding): number => finding.line ?? Number.POSITIVE_INFINITY;
    return findings
      .toSorted((one, other) => (order(one) === order(other) ? 0 : order(one) - order(other)))
      .map(({ line, section, key, text }) => {
        const file = line === null ? this.#file.file : `${this.#file.file}:${line}`;
        const place = [file, section === null ? '' : `[${section}]`, key ?? ''].filter((part) => part !== '').join(' ');
        return `${place}: ${text}`;
      });
  }
}

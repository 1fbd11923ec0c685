// THE table of settings of both files: what each key means, what it may hold and what holds when it is left out.
// core/config.ts reads files by it, and `settingsReference` prints it, so that the documentation cannot differ.

import {
  absolutePath,
  bit,
  either,
  host,
  hostWithDefaultPort,
  type Kind,
  listOf,
  oneOf,
  pattern,
  type Reading,
  secondsAsMs,
  text,
  textLike,
  wholeNumber,
} from './kinds.ts';

export interface Setting<V> {
  /** Completes the sentence "expected ...". */
  readonly expects: string;
  readonly read: (text: string) => Reading<V>;
  /** The value when the key is left out, or what is wrong with leaving it out. */
  readonly whenAbsent: () => Reading<V>;
  /** For the reference: `required`, `default 3`, `optional`. */
  readonly presence: string;
  /** What it is for: a sentence. */
  readonly meaning: string;
  readonly example: string;
  /** Its value never appears anywhere. */
  readonly secret: boolean;
  /** `key=` is a value of its own (an empty password), not a key left out. */
  readonly mayBeEmpty: boolean;
}

export type Table = Readonly<Record<string, Setting<unknown>>>;

/** What reading a section by a table gives. */
export type Values<T extends Table> = { readonly [K in keyof T]: T[K] extends Setting<infer V> ? V : never };

const userName = textLike('a user name', /^[^'"\s]+$/, 'a user name');
// A name without @ is a local mailbox. Nothing here may look like an option to sendmail.
const mailAddress = textLike(
  'a mail address',
  /^(?!-)(?:[^\s@,;<>'"|]+@[^\s@,;<>'"|]+|[\w-]+)$/,
  'NAME@DOMAIN, or NAME for a local mailbox',
);
const databaseName = textLike('a database name', /^[^\s'"`/\\.]+$/, 'the name of a database');
const word = textLike('a word', /^\w+$/, 'letters, digits and _');
const channel = textLike('a channel', /^\S+$/, 'a name without white space');
const sign = textLike(
  'a signature',
  /^[\w.-]{1,64}$/,
  '32 hex digits as `mmm uniqsign` prints (up to 64 letters, digits, dots, dashes or _ are read)',
);
const path = textLike('a path', /^[^\p{Cc}]*[^/\p{Cc}]$/u, 'the path of a file');

const access = {
  database: defaulted(databaseName, 'information_schema', 'The database to connect to.', 'information_schema'),
  user: required(
    text('the name of an account'),
    'The MySQL account of mmm. It needs SELECT, PROCESS, SUPER, REPLICATION SLAVE.',
    'user_mmm',
  ),
  password: {
    ...required(text('a password; nothing after the = is the empty one'), "That account's password.", "'se#cret'"),
    secret: true,
    mayBeEmpty: true,
  },
  charset: defaulted(word, 'utf8', 'The character set of the connection.', 'utf8mb4'),
  connect_timeout: defaulted(secondsAsMs(0.1, 3600), '1', 'How long connecting to a server may take.', '1.5'),
};

/** A section of mmm.conf whose name is a tag. */
export const PAIR = {
  primaryhost: required(host, 'The host that is preferred as active. Clients name it first.', '10.0.21.5:3308'),
  secondaryhost: required(host, 'The other host.', '10.0.21.7:3308'),
  uniqsign: required(
    sign,
    "What the pair's keys in Redis are named after; `mmm uniqsign` makes one.",
    '8d9a4b2924dc40baa792d742cb786345',
  ),
  ...access,
  excludeuser: defaulted(
    listOf(userName),
    '',
    'Users whose connections do not count as application connections.',
    'root, monitor, user_replica',
  ),
  servicemode: defaulted(bit, '1', '1: active-passive, one writable host. 0: active-active, both are.', '1'),
  interval: defaulted(secondsAsMs(0.1, 3600), '3', 'The pause between two looks at the pair.', '1'),
  try_times: defaulted(
    wholeNumber('a whole number', 2, 1000),
    '2',
    'How many rounds must agree before the roles change.',
    '3',
  ),
  drain_timeout: optional(
    wholeNumber('whole seconds', 1, 86_400),
    'How long a host may go on applying what it has received before it is opened without the rest, which is reported. Left out: it is never opened before everything is applied.',
    '60',
  ),
  min_failover_interval: defaulted(
    wholeNumber('whole seconds', 0, 86_400),
    '60',
    'How long the role stays where it is after a change, while its host answers and no application is connected to the other one. A dead or unreachable active is failed over within that time too, with a warning.',
    '300',
  ),
  failback: defaulted(
    either(oneOf('auto', 'never'), wholeNumber('whole seconds', 1, 31_536_000)),
    'auto',
    'When the role returns to the primary although the secondary is good. auto: when the primary has caught up for 5 seconds. never: not by itself. A number: when it has caught up for so many seconds. Whatever is set, the role follows when all clients have gone to the other host.',
    'never',
  ),
  fencing: defaulted(
    oneOf('none', 'lease'),
    'none',
    'lease: the active may write only as long as the agents renew its permission; when they cannot, the server closes itself. It needs event_scheduler=ON and read_only=1 in my.cnf, and more rights for the agents. none: as the Perl did.',
    'lease',
  ),
  lease: defaulted(
    secondsAsMs(2, 300),
    '3',
    'How long that permission lasts; the agents renew it every second. At least connect_timeout (of both files) and 2 seconds more, or three times connect_timeout, so that one renewal may be lost. A longer lease forgives more, and a failover from a silent host waits for all of it.',
    '5',
  ),
  lease_agents: defaulted(
    wholeNumber('a whole number', 1, 10),
    '2',
    'How many agents must reach both servers before the lease is armed. Until then it is endless: a silent active counts as not fenced. With 1, the database stops when the machine of that agent does.',
    '2',
  ),
  on_unreachable: defaulted(
    oneOf('promote', 'wait'),
    'promote',
    'What to do with a silent active that neither a lease nor the fence_hook has fenced. promote: open the other host, although the silent one may still take writes. wait: open nothing until it answers, the hook succeeds, or somebody forces the failover. wait needs fencing=lease.',
    'wait',
  ),
  fence_hook: optional(
    absolutePath,
    "A program that makes sure that a silent host takes no writes (by a cloud's API, IPMI); exit code 0 means that it does not. It runs on the agents' machines, without a shell, with the host in MMM_HOST, and must belong to root or to the agent's user. It needs fencing=lease.",
    '/usr/local/sbin/mmm-fence',
  ),
  monitor_logfile: optional(
    path,
    "The monitor's log for this pair. Left out: [log] logfile.",
    '/var/log/mmm-manager/mmm-monitor-3308.log',
  ),
  identify_logfile: optional(
    path,
    "The identify's log for this pair. Left out: [log] logfile.",
    '/var/log/mmm-manager/mmm-identify-3308.log',
  ),
} satisfies Table;

/** `[mysql]` of mmm-agent.conf. */
export const MYSQL = {
  ...access,
  block_user: optional(
    pattern,
    'Accounts whose user and host match block_user and block_host are blocked on the passive host and released on the active one. Set both or neither.',
    '^user_app1$|^user_app2$',
  ),
  block_host: optional(pattern, 'See block_user; matched against the host part of the account.', '^10\\.12\\.17\\.%$'),
  try_on_failure: defaulted(
    wholeNumber('a whole number', 1, 100),
    '3',
    'How often connecting to a server is tried within one round.',
    '3',
  ),
  send_mail: defaulted(bit, '0', '1: a mail tells of each change.', '1'),
  email_server: optional(hostWithDefaultPort(25), 'The SMTP server. Left out: the local sendmail.', '10.0.21.5:587'),
  email_user: optional(
    text('a name'),
    'The name to log in to the SMTP server with. Set it together with email_password.',
    'mmm',
  ),
  email_password: { ...optional(text('a password'), 'The password for email_user.', "'se#cret'"), secret: true },
  email_tls: defaulted(
    oneOf('off', 'starttls', 'required', 'implicit'),
    'starttls',
    'off: never encrypt. starttls: encrypt when the server offers it. required: send nothing unencrypted. implicit: encrypt from the first byte (port 465).',
    'required',
  ),
  email_sender: defaulted(mailAddress, 'mmm_manager@mmm.com', 'The sender of the mails.', 'mmm_manager@example.com'),
  email_receiver: optional(
    listOf(mailAddress),
    'Who gets the mails. Needed when send_mail=1.',
    'dba@example.com, oncall@example.com',
  ),
  state_file: defaulted(
    absolutePath,
    '/var/lib/mmm-manager/agent-state.json',
    'Where the agent remembers the pairs whose leases it renews, for a restart while Redis is away. Agents with one topic on one machine may share it.',
    '/var/lib/mmm-manager/agent-state.json',
  ),
  divergence_folder: defaulted(
    absolutePath,
    '/var/lib/mmm-manager/divergence',
    'Where the agent saves, as statements, what stayed on a host that lost its role and never reached the other one. It needs mariadb-binlog or mysqlbinlog on this machine. At most 1 GiB; nothing in it is ever deleted by mmm.',
    '/var/lib/mmm-manager/divergence',
  ),
} satisfies Table;

/** `[redis]` of both files. */
export const REDIS = {
  host: optional(
    hostWithDefaultPort(6379),
    'Where Redis listens; wins over --redis. Left out: --redis, or else 127.0.0.1:6379.',
    '10.0.21.17:6379',
  ),
  password: {
    ...optional(text('a password'), 'The password of Redis, if it asks for one.', "'se#cret'"),
    secret: true,
  },
  topic: required(
    channel,
    'The channel of the messages about role changes; the same in both files.',
    'mmm-switch-channel',
  ),
} satisfies Table;

/** `[log]` of both files. */
export const LOG = {
  logfile: optional(path, 'Where the log goes. Left out: standard output.', '/var/log/mmm-manager/mmm-monitor.log'),
} satisfies Table;

/** The sections that a file may have beside the pairs, by name. */
export const MANAGER_SECTIONS: ReadonlyMap<string, Table> = new Map<string, Table>([
  ['redis', REDIS],
  ['log', LOG],
]);
export const AGENT_SECTIONS: ReadonlyMap<string, Table> = new Map<string, Table>([
  ['mysql', MYSQL],
  ['redis', REDIS],
  ['log', LOG],
]);

/** True for a key whose value must stay unseen, in whichever section it stands. */
export function isSecret(key: string): boolean {
  return [PAIR, MYSQL, REDIS, LOG].some((table: Table) => Object.hasOwn(table, key) && table[key]?.secret === true);
}

/** Every key of both files for people, as `mmm config` prints it. */
export function settingsReference(): string {
  return [
    'mmm.conf (monitor, identify, status): one section for each pair; its name is the tag.',
    ...describeSection('TAG', PAIR),
    ...describeSection('redis', REDIS),
    ...describeSection('log', LOG),
    '',
    'mmm-agent.conf (agent): the pairs are found in Redis.',
    ...describeSection('mysql', MYSQL),
    '',
    '  [redis] and [log] as in mmm.conf.',
    '',
    'A comment begins with # or ; at the start of a line or after white space. A value that holds such a comment sign after',
    'white space, or begins with a quote or white space, goes into \'single\' or "double" quotes; nothing is special inside them,',
    'and a backslash is only a backslash.',
    '',
  ].join('\n');
}

function describeSection(name: string, table: Table): string[] {
  const lines = ['', `  [${name}]`];
  for (const [key, setting] of Object.entries(table)) {
    lines.push(`    ${key.padEnd(23)}${setting.presence}; ${setting.expects}`);
    lines.push(...wrap(setting.meaning, 96).map((line) => `        ${line}`));
    lines.push(`        ${key}=${setting.example}`);
  }
  return lines;
}

function wrap(sentence: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const next of sentence.split(' ')) {
    if (line !== '' && line.length + 1 + next.length > width) {
      lines.push(line);
      line = next;
    } else {
      line = line === '' ? next : `${line} ${next}`;
    }
  }
  return [...lines, line];
}

function required<V>(kind: Kind<V>, meaning: string, example: string): Setting<V> {
  return setting(kind, 'required', () => ({ wrong: 'is missing' }), meaning, example);
}

function defaulted<V>(kind: Kind<V>, whenAbsent: string, meaning: string, example: string): Setting<V> {
  return setting(
    kind,
    `default ${whenAbsent === '' ? 'none' : whenAbsent}`,
    () => kind.read(whenAbsent),
    meaning,
    example,
  );
}

function optional<V>(kind: Kind<V>, meaning: string, example: string): Setting<V | null> {
  return setting<V | null>(kind, 'optional', () => ({ value: null }), meaning, example);
}

function setting<V>(
  kind: Kind<V>,
  presence: string,
  whenAbsent: () => Reading<V>,
  meaning: string,
  example: string,
): Setting<V> {
  return {
    expects: kind.expects,
    read: kind.read,
    whenAbsent,
    presence,
    meaning,
    example,
    secret: false,
    mayBeEmpty: false,
  };
}

// Both configuration files, from their text to a config or to every problem at once.

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  leastLeaseMs,
  type ManagerConfig,
  type Result,
  readAgentConfig,
  readManagerConfig,
  selectPairs,
} from '../../src/core/config.ts';
import { NO_SAFETY } from '../../src/core/decision.ts';
import { keepingIntervalMs } from '../../src/core/lease.ts';
import { parseIni } from '../../src/ops/inifile.ts';

const SEED = new URL('../support/seed-conf/', import.meta.url);

const SIGN = '8d9a4b2924dc40baa792d742cb786345';

/** A section of mmm.conf that is right, with these keys changed (null: left out). */
function aPairSection(tag: string, changes: Readonly<Record<string, string | null>> = {}): string {
  const keys = {
    primaryhost: '10.0.0.1:3306',
    secondaryhost: '10.0.0.2:3306',
    uniqsign: SIGN,
    user: 'mmm',
    password: 'secret',
    ...changes,
  };
  const lines = Object.entries(keys).map(([key, value]) => (value === null ? '' : `${key}=${value}\n`));
  return `[${tag}]\n${lines.join('')}`;
}

const REDIS = '[redis]\ntopic=t\n';

function anAgentFile(mysql: string): string {
  return `[mysql]\nuser=mmm\npassword=secret\n${mysql}\n${REDIS}`;
}

function manager(text: string, flagRedis?: `${string}:${number}`): Result<ManagerConfig> {
  return readManagerConfig(parseIni('mmm.conf', text), flagRedis);
}

function agent(text: string): ReturnType<typeof readAgentConfig> {
  return readAgentConfig(parseIni('mmm-agent.conf', text));
}

function configOf<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(result.problems.join('\n'));
  return result.config;
}

function problemsOf(result: Result<unknown>): readonly string[] {
  return result.ok ? [] : result.problems;
}

describe('the sample files that people start from', () => {
  test('mmm.conf is read to the letter', () => {
    const result = manager(readFileSync(new URL('mmm.conf', SEED), 'utf8'));
    expect(result).toEqual({
      ok: true,
      warnings: [],
      config: {
        pairs: [
          {
            tag: 'mysql3308',
            uniqsign: '8d9a4b2924dc40baa792d742cb786345',
            primary: '10.0.21.5:3308',
            secondary: '10.0.21.7:3308',
            access: {
              database: 'information_schema',
              user: 'user_mmm',
              password: 'xxxxxxxx',
              charset: 'utf8',
              connectTimeoutMs: 1000,
            },
            servicemode: 1,
            excludeUsers: ['root', 'monitor', 'user_replica'],
            intervalMs: 3000,
            tryTimes: 2,
            policy: NO_SAFETY,
            pacing: { minFailoverIntervalSec: 60, failback: 'auto' },
            monitorLogfile: '/var/log/mmm-manager/mmm-monitor-3308.log',
            identifyLogfile: '/var/log/mmm-manager/mmm-identify-3308.log',
          },
        ],
        redis: { host: '10.0.21.17:6379', password: 'xxxxx', topic: 'mmm-switch-channel' },
        logfile: '/var/log/mmm-manager/mmm-monitor.log',
      },
    });
  });

  test('mmm-agent.conf is read to the letter', () => {
    const result = agent(readFileSync(new URL('mmm-agent.conf', SEED), 'utf8'));
    expect(result).toEqual({
      ok: true,
      warnings: [],
      config: {
        access: {
          database: 'information_schema',
          user: 'user_mmm',
          password: 'xxxxxxxx',
          charset: 'utf8',
          connectTimeoutMs: 1000,
        },
        block: { user: /^user_app1|^user_app2$/, host: /^10\.12\.17\.%$/ },
        tryOnFailure: 3,
        mail: {
          server: '10.0.21.5:25',
          user: null,
          password: null,
          tls: 'starttls',
          sender: 'mmm_manager@mmm.com',
          receivers: ['arstercz@gmail.com'],
        },
        stateFile: '/var/lib/mmm-manager/agent-state.json',
        divergenceFolder: '/var/lib/mmm-manager/divergence',
        redis: { host: '10.0.21.17:6379', password: 'xxxxx', topic: 'mmm-switch-channel' },
        logfile: '/var/log/mmm-manager/mmm-agent.log',
      },
    });
  });

  test('an empty password of Redis is none, as in the files that the Perl is shipped with', () => {
    const config = configOf(manager(`${aPairSection('a')}[redis]\nhost=10.0.21.17:6379\npassword=\ntopic=t\n`));
    expect(config.redis).toEqual({ host: '10.0.21.17:6379', password: null, topic: 't' });
  });
});

describe('what is left out', () => {
  test('has a default in mmm.conf', () => {
    expect(configOf(manager(aPairSection('a') + REDIS))).toEqual({
      pairs: [
        {
          tag: 'a',
          uniqsign: SIGN,
          primary: '10.0.0.1:3306',
          secondary: '10.0.0.2:3306',
          access: {
            database: 'information_schema',
            user: 'mmm',
            password: 'secret',
            charset: 'utf8',
            connectTimeoutMs: 1000,
          },
          servicemode: 1,
          excludeUsers: [],
          intervalMs: 3000,
          tryTimes: 2,
          policy: NO_SAFETY,
          pacing: { minFailoverIntervalSec: 60, failback: 'auto' },
          monitorLogfile: null,
          identifyLogfile: null,
        },
      ],
      redis: { host: '127.0.0.1:6379', password: null, topic: 't' },
      logfile: null,
    });
  });

  test('has a default in mmm-agent.conf, and no mail is sent', () => {
    expect(configOf(agent(anAgentFile('')))).toMatchObject({ block: null, tryOnFailure: 3, mail: null, logfile: null });
  });

  test('or left empty, is the same', () => {
    const empty =
      'database=\ncharset=\nconnect_timeout=\nblock_user=\nblock_host=\ntry_on_failure=\nsend_mail=\nemail_tls=';
    expect(agent(anAgentFile(empty))).toEqual(agent(anAgentFile('')));
  });
});

describe('Redis is found', () => {
  test.each([
    ['host=10.0.0.9:7000', '10.0.0.9:7000'],
    ['host=10.0.0.9', '10.0.0.9:6379'],
    ['host=redis.example', 'redis.example:6379'],
    ['host=[::1]', '[::1]:6379'],
    ['host=[::1]:7000', '[::1]:7000'],
    ['', '10.9.9.9:1'],
  ] as const)('with %s at %s, whatever --redis says', (line, host) => {
    expect(configOf(manager(`${aPairSection('a')}${REDIS}${line}\n`, '10.9.9.9:1')).redis.host).toBe(host);
  });
});

describe('numbers', () => {
  test('of seconds may have fractions', () => {
    const config = configOf(
      manager(aPairSection('a', { interval: '0.25', connect_timeout: '1.5', drain_timeout: '60' }) + REDIS),
    );
    expect(config.pairs[0]).toMatchObject({
      intervalMs: 250,
      policy: { drainTimeoutSec: 60 },
      access: { connectTimeoutMs: 1500 },
    });
  });
});

describe('mail', () => {
  test('goes to a server with a port, a login and more than one receiver', () => {
    const lines = [
      'send_mail=1',
      'email_server=mail.example:465',
      'email_user=mmm',
      "email_password='a # b'",
      'email_tls=implicit',
      'email_sender=mmm@example.com',
      'email_receiver=dba@example.com, root',
    ];
    expect(configOf(agent(anAgentFile(lines.join('\n')))).mail).toEqual({
      server: 'mail.example:465',
      user: 'mmm',
      password: 'a # b',
      tls: 'implicit',
      sender: 'mmm@example.com',
      receivers: ['dba@example.com', 'root'],
    });
  });

  test('without a server is left to the local sendmail', () => {
    expect(configOf(agent(anAgentFile('send_mail=1\nemail_receiver=root'))).mail).toMatchObject({ server: null });
  });
});

describe('problems are told all at once, in the order of the file', () => {
  test('of mmm.conf', () => {
    const text = [
      '[mysql3308] # tag',
      'primaryhost=10.0.21.5',
      'secondaryhost=10.0.21.7:99999',
      'user=',
      "password='not closed",
      'uniqsign=not a sign',
      'servicemode=2',
      'charset=utf 8',
      'connect_timeout=-1',
      'interval=fast',
      'try_times=1',
      'drain_timeout=0.5',
      "excludeuser='root', 'monitor'",
      'monitor_logfile=/var/log/',
      'stray',
      '',
      '[second]',
      'primaryhost=10.0.0.1:3306',
      'secondaryhost=10.0.0.1:3306',
      'interval=20000',
      '',
      '[reddis]',
      'topic=t',
      '',
      '[redis]',
      'host=::1',
      'topic=two words',
      'topic=t',
    ].join('\n');
    expect(`\n${problemsOf(manager(text)).join('\n')}\n`).toMatchInlineSnapshot(`
      "
      mmm.conf:2 [mysql3308] primaryhost: "10.0.21.5" has no port; expected IP:PORT or NAME:PORT, the port from 1 to 65535
      mmm.conf:3 [mysql3308] secondaryhost: "10.0.21.7:99999" is not an address and a port; expected IP:PORT or NAME:PORT, the port from 1 to 65535
      mmm.conf:4 [mysql3308] user: is empty; expected the name of an account
      mmm.conf:5 [mysql3308] password: the value begins with ' that nothing closes; expected ' at its end (only white space and a comment may follow), or " around the whole value
      mmm.conf:6 [mysql3308] uniqsign: "not a sign" is not a signature; expected 32 hex digits as \`mmm uniqsign\` prints (up to 64 letters, digits, dots, dashes or _ are read)
      mmm.conf:7 [mysql3308] servicemode: "2" is not understood; expected 0 or 1
      mmm.conf:8 [mysql3308] charset: "utf 8" is not a word; expected letters, digits and _
      mmm.conf:9 [mysql3308] connect_timeout: "-1" is not a plain number; expected seconds from 0.1 to 3600, fractions allowed
      mmm.conf:10 [mysql3308] interval: "fast" is not a plain number; expected seconds from 0.1 to 3600, fractions allowed
      mmm.conf:11 [mysql3308] try_times: "1" is too small; expected a whole number from 2 to 1000
      mmm.conf:12 [mysql3308] drain_timeout: "0.5" is not a plain number; expected whole seconds from 1 to 86400
      mmm.conf:13 [mysql3308] excludeuser: "root'" is not a user name; expected a user name; several between commas, quotes only around the whole list
      mmm.conf:14 [mysql3308] monitor_logfile: "/var/log/" is not a path; expected the path of a file
      mmm.conf:15 [mysql3308]: is neither [name] nor key=value; expected one of them, or a comment
      mmm.conf:17 [second] uniqsign: is missing; expected 32 hex digits as \`mmm uniqsign\` prints (up to 64 letters, digits, dots, dashes or _ are read)
      mmm.conf:17 [second] user: is missing; expected the name of an account
      mmm.conf:17 [second] password: is missing; expected a password; nothing after the = is the empty one
      mmm.conf:19 [second] secondaryhost: 10.0.0.1:3306 is the primaryhost too; expected the other host of the pair
      mmm.conf:20 [second] interval: "20000" is too large; expected seconds from 0.1 to 3600, fractions allowed
      mmm.conf:22 [reddis]: holds nothing of a pair; did you mean [redis]?
      mmm.conf:26 [redis] host: "::1" is not an address and a port; expected HOST or HOST:PORT (without a port: 6379; an IPv6 address in brackets)
      mmm.conf:27 [redis] topic: "two words" is not a channel; expected a name without white space
      mmm.conf:28 [redis] topic: stands in line 27 already; expected it once
      "
    `);
  });

  test('of mmm-agent.conf', () => {
    const text = [
      '[mysql]',
      'user=mmm',
      'block_user=^(app',
      'connect_timeout=1s',
      'try_on_failure=0',
      'send_mail=yes',
      'email_server=mmm:secret@mail.example',
      'email_user=mmm',
      'email_tls=ssl',
      'email_sender=me@@x',
      'email_receiver=dba@example.com, dba.example.com',
      '[log]',
      'logfile=/',
    ].join('\n');
    expect(`\n${problemsOf(agent(text)).join('\n')}\n`).toMatchInlineSnapshot(`
      "
      mmm-agent.conf:1 [mysql] password: is missing; expected a password; nothing after the = is the empty one
      mmm-agent.conf:3 [mysql] block_user: "^(app" fails at character 2, "(app": Unterminated group; expected a regular expression that Perl and JavaScript read alike
      mmm-agent.conf:4 [mysql] connect_timeout: "1s" is not a plain number; expected seconds from 0.1 to 3600, fractions allowed
      mmm-agent.conf:5 [mysql] try_on_failure: "0" is too small; expected a whole number from 1 to 100
      mmm-agent.conf:6 [mysql] send_mail: "yes" is not understood; expected 0 or 1
      mmm-agent.conf:7 [mysql] email_server: an address has no @; expected HOST or HOST:PORT (without a port: 25; an IPv6 address in brackets)
      mmm-agent.conf:8 [mysql] email_user: is set and email_password is not; expected both or neither
      mmm-agent.conf:9 [mysql] email_tls: "ssl" is not understood; expected one of off, starttls, required, implicit
      mmm-agent.conf:10 [mysql] email_sender: "me@@x" is not a mail address; expected NAME@DOMAIN, or NAME for a local mailbox
      mmm-agent.conf:11 [mysql] email_receiver: "dba.example.com" is not a mail address; expected NAME@DOMAIN, or NAME for a local mailbox; several between commas, quotes only around the whole list
      mmm-agent.conf:13 [log] logfile: "/" is not a path; expected the path of a file
      mmm-agent.conf [redis]: the section is missing; expected one with topic
      "
    `);
  });

  test('of a line that cannot be taken apart: one, not a second about its value', () => {
    expect(problemsOf(manager(aPairSection('a', { interval: "'3" }) + REDIS))).toEqual([
      expect.stringMatching(/^mmm\.conf:7 \[a\] interval: the value begins with ' that nothing closes/),
    ]);
  });

  test('of an empty file', () => {
    expect(problemsOf(manager(''))).toEqual([
      'mmm.conf: there is no pair; expected a section [TAG] for each, with primaryhost, secondaryhost and uniqsign',
      'mmm.conf [redis]: the section is missing; expected one with topic',
    ]);
    expect(problemsOf(agent('# nothing\n'))).toEqual([
      'mmm-agent.conf [mysql]: the section is missing; expected one with user and password',
      'mmm-agent.conf [redis]: the section is missing; expected one with topic',
    ]);
  });

  test('of a file that cannot be read: only that', () => {
    const unread = { line: null, section: null, key: null, text: 'there is no such file' };
    const file = { file: 'mmm.conf', sections: [], problems: [unread], warnings: [] };
    expect(problemsOf(readManagerConfig(file))).toEqual(['mmm.conf: there is no such file']);
    expect(problemsOf(readAgentConfig(file))).toEqual(['mmm.conf: there is no such file']);
  });
});

describe('across keys and sections', () => {
  test('two pairs with one signature are a problem that names both', () => {
    expect(problemsOf(manager(`${aPairSection('a')}${aPairSection('b')}${REDIS}`))).toEqual([
      'mmm.conf:10 [b] uniqsign: is that of [a] in line 4 too; expected one of its own (mmm uniqsign prints one)',
    ]);
    expect(problemsOf(manager(`${aPairSection('a')}${aPairSection('b', { uniqsign: 'other' })}${REDIS}`))).toEqual([]);
  });

  test('a pair of one host is a problem', () => {
    expect(problemsOf(manager(aPairSection('a', { secondaryhost: '10.0.0.1:3306' }) + REDIS))).toEqual([
      'mmm.conf:3 [a] secondaryhost: 10.0.0.1:3306 is the primaryhost too; expected the other host of the pair',
    ]);
  });

  test('a section twice is a problem that names both lines, and each is looked at', () => {
    expect(problemsOf(manager(`${aPairSection('a')}${aPairSection('a', { interval: 'x' })}${REDIS}`))).toEqual([
      'mmm.conf:7 [a]: the section stands in line 1 already; expected it once',
      'mmm.conf:13 [a] interval: "x" is not a plain number; expected seconds from 0.1 to 3600, fractions allowed',
    ]);
  });

  test.each([
    ['block_user=^a', 'mmm-agent.conf:4 [mysql] block_user: is set and block_host is not; expected both or neither'],
    ['block_host=^a', 'mmm-agent.conf:4 [mysql] block_host: is set and block_user is not; expected both or neither'],
    ['email_user=a', 'mmm-agent.conf:4 [mysql] email_user: is set and email_password is not; expected both or neither'],
    [
      'email_password=hunter2',
      'mmm-agent.conf:4 [mysql] email_password: is set and email_user is not; expected both or neither',
    ],
    [
      'send_mail=1',
      'mmm-agent.conf:1 [mysql] email_receiver: is missing; expected the receivers of the mails, because send_mail is 1',
    ],
    [
      'send_mail=1\nemail_receiver=,',
      'mmm-agent.conf:5 [mysql] email_receiver: is missing; expected the receivers of the mails, because send_mail is 1',
    ],
  ])('%j alone is a problem', (lines, problem) => {
    expect(problemsOf(agent(anAgentFile(lines)))).toEqual([problem]);
  });

  test('a tag that means every pair is refused', () => {
    expect(problemsOf(manager(aPairSection('all') + REDIS))).toEqual([
      'mmm.conf:1 [all]: no pair can have this name, because it means every pair; expected another tag',
    ]);
  });
});

describe('the safeties', () => {
  const all = { fencing: 'lease', lease: '4.5', lease_agents: '3', on_unreachable: 'wait', fence_hook: '/opt/fence' };

  test('of a pair are its policy, with its drain_timeout', () => {
    expect(configOf(manager(aPairSection('a', { ...all, drain_timeout: '9' }) + REDIS)).pairs[0]?.policy).toEqual({
      drainTimeoutSec: 9,
      fencing: 'lease',
      leaseMs: 4500,
      leaseAgents: 3,
      onUnreachable: 'wait',
      fenceHook: '/opt/fence',
      durability: 'async',
      onDivergence: 'merge',
    });
  });

  test('that are switched on alone come with numbers of their own', () => {
    expect(configOf(manager(aPairSection('a', { fencing: 'lease' }) + REDIS)).pairs[0]?.policy).toEqual({
      ...NO_SAFETY,
      fencing: 'lease',
    });
  });

  test('may leave their numbers in the file when one line switches them off', () => {
    const off = { fencing: 'none', lease: '4.5', lease_agents: '3', connect_timeout: '10' };
    expect(manager(aPairSection('a', off) + REDIS)).toMatchObject({ ok: true, warnings: [] });
  });

  test.each([
    [{ lease: '1.9' }, 'lease: "1.9" is too small; expected seconds from 2 to 300, fractions allowed'],
    [{ lease_agents: '0' }, 'lease_agents: "0" is too small; expected a whole number from 1 to 10'],
    [{ fence_hook: 'fence' }, 'fence_hook: "fence" is not an absolute path; expected a path that begins with /'],
    [{ fencing: 'yes' }, 'fencing: "yes" is not understood; expected one of none, lease'],
  ])('may not be %j', (change, problem) => {
    const problems = problemsOf(manager(aPairSection('a', { fencing: 'lease', ...change }) + REDIS));
    expect(problems.map((line) => line.replace(/^mmm\.conf:\d+ \[a\] /, ''))).toEqual([problem]);
  });

  test('need one active that holds the lease', () => {
    expect(problemsOf(manager(aPairSection('a', { fencing: 'lease', servicemode: '0' }) + REDIS))).toEqual([
      'mmm.conf:7 [a] fencing: is lease with servicemode=0 (active-active), where both hosts take writes and no single active could hold a lease; expected none, or servicemode=1',
    ]);
  });

  test('need a lease that one lost renewal does not end', () => {
    const lease = (lease: string, connect_timeout: string) =>
      problemsOf(manager(aPairSection('a', { fencing: 'lease', lease, connect_timeout }) + REDIS));
    expect(lease('2.9', '1')).toEqual([
      'mmm.conf:8 [a] lease: 2.9 s is too short for connect_timeout=1: one lost renewal would close the active; expected at least 3, or a shorter connect_timeout',
    ]);
    expect(lease('3', '1')).toEqual([]);
    expect(lease('3', '1.5')).toHaveLength(1);
    expect(lease('3.5', '1.5')).toEqual([]);
    expect(lease('2', '0.6')).toEqual([]);
    expect(lease('2', '0.7')).toHaveLength(1);
    for (const connectMs of [100, 500, 999, 1000, 1001, 5000]) {
      const leastMs = leastLeaseMs(connectMs);
      expect(leastMs - 2 * keepingIntervalMs(leastMs)).toBeGreaterThanOrEqual(connectMs - 0.001);
      expect(leastMs - 1 - 2 * keepingIntervalMs(leastMs - 1)).toBeLessThan(connectMs);
    }
  });

  test.each([
    [
      { on_unreachable: 'wait' },
      'on_unreachable: is wait, which nothing heeds while fencing is none; expected fencing=lease, or on_unreachable=promote',
    ],
    [
      { fence_hook: '/opt/fence' },
      'fence_hook: is set, which nothing heeds while fencing is none; expected fencing=lease, or no fence_hook',
    ],
  ])('that would do nothing are refused: %j', (keys, problem) => {
    expect(problemsOf(manager(aPairSection('a', keys) + REDIS))).toEqual([`mmm.conf:7 [a] ${problem}`]);
    expect(problemsOf(manager(aPairSection('a', { fencing: 'lease', ...keys }) + REDIS))).toEqual([]);
  });

  test('of the agent: where it remembers its leases', () => {
    expect(configOf(agent(anAgentFile('state_file=/srv/mmm.json'))).stateFile).toBe('/srv/mmm.json');
    expect(problemsOf(agent(anAgentFile('state_file=mmm.json')))).toEqual([
      'mmm-agent.conf:4 [mysql] state_file: "mmm.json" is not an absolute path; expected a path that begins with /',
    ]);
  });
});

describe('a secret', () => {
  test('never stands in a problem or a warning, whatever else is wrong', () => {
    const secret = 'hunter2';
    const texts = [
      aPairSection('a', { password: `'${secret}` }),
      aPairSection('a', { password: `'${secret}'x` }),
      aPairSection('a', { password: null, pasword: secret }),
      aPairSection('a', { password: `1\npassword=${secret}` }),
      aPairSection('a', { password: `1\n${secret}` }),
      aPairSection('a', { password: `1\n"${secret} x"=3` }),
      aPairSection('a', { primaryhost: `root:${secret}@10.0.0.1:3306` }),
      `${aPairSection('a')}[redis]\npassword='${secret}\nhost=:${secret}@h:1\n`,
    ];
    for (const text of texts) {
      const result = manager(text);
      expect(result.ok).toBe(false);
      expect([...problemsOf(result), ...result.warnings].join('\n')).not.toContain(secret);
    }
  });
});

describe('a warning', () => {
  test.each([
    ['intervall=3', 'intervall: unknown key, ignored; did you mean interval?'],
    ['Interval=3', 'Interval: unknown key, ignored; did you mean interval?'],
    ['usre=x', 'usre: unknown key, ignored; did you mean user?'],
    ['exclude_user=x', 'exclude_user: unknown key, ignored; did you mean excludeuser?'],
    ['topic=x', 'topic: unknown key, ignored; it belongs in [redis]'],
    ['nothing_like_it=x', 'nothing_like_it: unknown key, ignored'],
    ['__proto__=x', ': unknown key, ignored'],
    ['constructor=x', 'constructor: unknown key, ignored'],
    ['interval=20', 'interval: is long: a status older than 30 seconds is not used, so failures may go unnoticed'],
  ])('for %s in a pair', (line, warning) => {
    const result = manager(`[redis]\ntopic=t\n${aPairSection('a')}${line}\n`);
    expect(result.ok).toBe(true);
    expect(result.warnings).toEqual([`mmm.conf:9 [a]${warning.startsWith(':') ? '' : ' '}${warning}`]);
  });

  test('for a section that the agent does not know names the nearest one', () => {
    const result = agent(`${anAgentFile('')}[mysq]\n[pair1]\n`);
    expect(result.ok).toBe(true);
    expect(result.warnings).toEqual([
      'mmm-agent.conf:7 [mysq]: unknown section, ignored; did you mean [mysql]?',
      'mmm-agent.conf:8 [pair1]: unknown section, ignored; known are mysql, redis, log',
    ]);
  });

  test('for an empty password, which a comment sign may have made', () => {
    expect(manager(aPairSection('a', { password: ' #secret' }) + REDIS)).toMatchObject({
      ok: true,
      warnings: ['mmm.conf:6 [a] password: is empty; a value that begins with # or ; after white space needs quotes'],
    });
  });
});

describe('tags', () => {
  const config = configOf(
    manager(
      `${aPairSection('mysql3308')}${aPairSection('mysql3308-b', { uniqsign: 'b' })}${aPairSection('a.b', { uniqsign: 'c' })}${REDIS}`,
    ),
  );
  const chosen = (tags: readonly string[] | 'all'): unknown => {
    const selected = selectPairs(config, tags);
    return selected.ok ? selected.pairs.map(({ tag }) => tag) : selected.problems;
  };

  test('name whole sections only', () => {
    expect(chosen(['mysql3308'])).toEqual(['mysql3308']);
    expect(chosen(['a.b'])).toEqual(['a.b']);
    expect(chosen('all')).toEqual(['mysql3308', 'mysql3308-b', 'a.b']);
  });

  test('may be repeated, and come in the order of the file', () => {
    expect(chosen(['a.b', 'mysql3308', 'a.b'])).toEqual(['mysql3308', 'a.b']);
  });

  test('that do not exist are all told, with those that do', () => {
    expect(chosen(['mysql', 'a.b', 'redis', 'mysql'])).toEqual([
      '--tag mysql: there is no such pair; expected one of mysql3308, mysql3308-b, a.b',
      '--tag redis: there is no such pair; expected one of mysql3308, mysql3308-b, a.b',
    ]);
  });
});

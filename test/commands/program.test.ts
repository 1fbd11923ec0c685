// The built file as people run it: what it prints, on which stream, and its exit code. It is built here, from what the
// checkout holds now.

import { execFile } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

// Each test starts programs, several at once, and the machine may have other things to do.
vi.setConfig({ testTimeout: 60_000 });

const root = fileURLToPath(new URL('../..', import.meta.url));
const built = join(root, 'dist', 'mmm.js');

interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface How {
  readonly program?: string;
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
}

function run(
  words: readonly string[],
  { program = built, cwd = folder, env = cleanEnvironment() }: How = {},
): Promise<Ran> {
  return new Promise((resolve) => {
    // The file's own first line finds Node, as for anybody who calls it.
    execFile(program, [...words], { cwd, env, timeout: 20_000 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : null;
      resolve({ code, stdout, stderr });
    });
  });
}

/** Without what vitest and npm add; vitest's NODE_ENV=test alone makes oclif behave otherwise. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], HOME: folder };
}

/** The help of a command, asked for once. */
const helps = new Map<string, Promise<Ran>>();
function help(command: string): Promise<Ran> {
  const known = helps.get(command) ?? run(command === '' ? [] : [command, '--help']);
  helps.set(command, known);
  return known;
}

let folder = '';

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mmm-program-'));
  const { code, stderr } = await run([join(root, 'packaging', 'build.mjs')], { program: process.execPath });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
}, 30_000);

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function write(name: string, text: string): string {
  const file = join(mkdtempSync(join(folder, 'conf-')), name);
  writeFileSync(file, text, { mode: 0o600 });
  return file;
}

const COMMANDS = [
  'agent',
  'config',
  'failover',
  'identify',
  'monitor',
  'pause',
  'rejoin',
  'resume',
  'sandbox',
  'status',
  'switchover',
  'uniqsign',
];

describe.concurrent('help', () => {
  test('comes from the program alone, and lists every command', async () => {
    const { code, stdout, stderr } = await help('');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const command of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${command} +\\S`, 'm'));
    for (const words of [['--help'], ['-h'], ['help']]) expect((await run(words)).stdout).toBe(stdout);
  });

  test.each(COMMANDS)('of %s has usage and examples', async (command) => {
    const { code, stdout, stderr } = await help(command);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain(`$ mmm ${command}`);
    expect(stdout).toContain('EXAMPLES');
  });

  test('may be asked for in several ways', async () => {
    const { stdout } = await help('agent');
    for (const words of [
      ['help', 'agent'],
      ['agent', '-h'],
      ['agent', '--once', '--help'],
    ]) {
      expect((await run(words)).stdout).toBe(stdout);
    }
  });

  test.each([
    ['monitor', ['--conf', '--tag', '--all', '--redis', '--debug', '--once', '--log-format', '--name']],
    ['identify', ['--conf', '--tag', '--all', '--redis', '--debug', '--once', '--log-format', '--name']],
    ['agent', ['--conf', '--redis', '--debug', '--once', '--log-format', '--name']],
    ['status', ['--conf', '--tag', '--all', '--redis', '--json']],
    ['config', ['--conf', '--agent']],
    ['switchover', ['--conf', '--tag', '--to', '--dry-run', '--wait']],
    ['failover', ['--conf', '--tag', '--to', '--force', '--wait']],
    ['pause', ['--conf', '--tag', '--all', '--for']],
    ['resume', ['--conf', '--tag', '--all']],
    ['rejoin', ['--conf', '--tag', '--host', '--yes']],
  ])('of %s names each of its flags', async (command, flags) => {
    const { stdout } = await help(command);
    for (const flag of flags) expect(stdout).toMatch(new RegExp(`^  ${flag}[ =]`, 'm'));
  });

  test.each([
    ['monitor', '/etc/mmm-manager/mmm.conf'],
    ['identify', '/etc/mmm-manager/mmm.conf'],
    ['status', '/etc/mmm-manager/mmm.conf'],
    ['agent', '/etc/mmm-manager/mmm-agent.conf'],
  ])('of %s names the default file %s', async (command, file) => {
    expect((await help(command)).stdout).toContain(`[default: ${file}]`);
  });

  test('knows nothing of the machine that built it', async () => {
    for (const command of COMMANDS) {
      const { stdout } = await help(command);
      expect(stdout).not.toContain(root);
      expect(stdout).not.toContain(hostname());
    }
  });
});

describe.concurrent('--version', () => {
  test('is one line with the version and what runs it', async () => {
    const { code, stdout, stderr } = await run(['--version']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^mmm \d+\.\d+\.\d+( \([0-9a-f]{10}(-dirty)?\))? on node \d+\.\d+\.\d+, \w+-\w+\n$/);
  });

  test('may follow a command', async () => {
    expect((await run(['agent', '--version'])).stdout).toBe((await run(['--version'])).stdout);
  });
});

describe.concurrent('uniqsign', () => {
  test('prints 32 lowercase hex digits, others each time', async () => {
    const one = await run(['uniqsign']);
    const other = await run(['uniqsign']);
    for (const { code, stdout, stderr } of [one, other]) {
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).toMatch(/^[0-9a-f]{32}\n$/);
    }
    expect(one.stdout).not.toBe(other.stdout);
  });
});

describe.concurrent('a link of an old name', () => {
  function link(name: string): string {
    const path = join(mkdtempSync(join(folder, 'link-')), name);
    symlinkSync(built, path);
    return path;
  }

  test.each([
    ['mmm-monitor', 'monitor'],
    ['mmm-identify', 'identify'],
    ['mmm-agent', 'agent'],
    ['mmm-status', 'status'],
    ['mmm-uniqsign', 'uniqsign'],
    ['mmm-sign-gen', 'uniqsign'],
  ])('%s acts as %s', async (name, role) => {
    const program = link(name);
    expect((await run(['--help'], { program })).stdout).toBe((await help(role)).stdout);
  });

  test('mmm-sign-gen prints a signature', async () => {
    const { code, stdout } = await run([], { program: link('mmm-sign-gen') });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^[0-9a-f]{32}\n$/);
  });

  test('mmm-monitor reads the flags of monitor', async () => {
    const { code, stderr } = await run(['--conf', 'nowhere.conf', '--tag', 'a'], { program: link('mmm-monitor') });
    expect(code).toBe(2);
    expect(stderr).toContain('nowhere.conf');
  });
});

describe.concurrent('a usage error exits with 2 and one line on standard error:', () => {
  test.each([
    [['mnitor'], 'mmm: unknown command mnitor, did you mean monitor? (mmm --help lists them)'],
    [['frobnicate'], 'mmm: unknown command frobnicate (mmm --help lists them)'],
    [['constructor'], 'mmm: unknown command constructor (mmm --help lists them)'],
    [['help', 'agnt'], 'mmm: unknown command agnt, did you mean agent? (mmm --help lists them)'],
    [['--tag', 'a'], 'mmm: --tag: a command comes first; mmm --help lists them'],
    [['status', '--tga', 'a'], 'mmm: unknown flag --tga, did you mean --tag? (mmm status --help shows how)'],
    [['uniqsign', 'please'], 'mmm: Unexpected argument: please (mmm uniqsign --help shows how)'],
    [['monitor', '--tag', 'a', 'b'], 'mmm: Unexpected argument: b (mmm monitor --help shows how)'],
    [['monitor', '--conf'], 'mmm: Flag --conf expects a value (mmm monitor --help shows how)'],
    [['monitor'], 'mmm: which pair? Give --tag TAG (the name of a section, may be repeated) or --all'],
    [['identify'], 'mmm: which pair? Give --tag TAG (the name of a section, may be repeated) or --all'],
    [
      ['identify', '--tag', 'a', '--all'],
      'mmm: --tag=a cannot also be provided when using --all (mmm identify --help shows how)',
    ],
    [['pause', '--for', '60'], 'mmm: which pair? Give --tag TAG (the name of a section, may be repeated) or --all'],
    [['switchover'], 'mmm: Missing required flag tag (mmm switchover --help shows how)'],
    [['failover', '--tag', 'a'], 'mmm: Missing required flag to (mmm failover --help shows how)'],
    [
      ['switchover', '--tag', 'a', '--wait', '0'],
      'mmm: --wait: Expected an integer greater than or equal to 1 but received: 0 (mmm switchover --help shows how)',
    ],
    [['agent', '--redis', 'here'], 'mmm: --redis here: expected HOST:PORT, such as 127.0.0.1:6379'],
    [
      ['agent', '--log-format', 'xml'],
      'mmm: Expected --log-format=xml to be one of: text, json (mmm agent --help shows how)',
    ],
    [
      ['config', '--agent'],
      'mmm: All of the following must be provided when using --agent: --conf (mmm config --help shows how)',
    ],
  ])('%j', async (words, line) => {
    expect(await run(words)).toEqual({ code: 2, stdout: '', stderr: `${line}\n` });
  });
});

describe.concurrent('a configuration', () => {
  const PAIR = `
[mysql3308]
primaryhost=10.0.21.5:3308
secondaryhost=10.0.21.7:3308
user=user_mmm
password=xxxxxxxx
uniqsign=8d9a4b2924dc40baa792d742cb786345
[redis]
host=127.0.0.1:1
topic=mmm-switch-channel
`;

  test('that is right is called ok', async () => {
    const file = write('good.conf', PAIR);
    expect(await run(['config', '--conf', file])).toEqual({
      code: 0,
      stdout: `${file}: ok, [mysql3308]\n`,
      stderr: '',
    });
  });

  test.each(['switchover', 'failover'])('and a host that is not of the pair make %s a usage error', async (command) => {
    const words = [command, '--conf', write('good.conf', PAIR), '--tag', 'mysql3308', '--to', '10.0.21.9:3308'];
    const stderr = 'mmm: --to 10.0.21.9:3308: expected 10.0.21.5:3308 or 10.0.21.7:3308\n';
    expect(await run(words)).toEqual({ code: 2, stdout: '', stderr });
  });

  test('in active-active mode has no active to be changed', async () => {
    const file = write('both.conf', PAIR.replace('[redis]', 'servicemode=0\n[redis]'));
    const { code, stderr } = await run(['switchover', '--conf', file, '--tag', 'mysql3308']);
    expect(code).toBe(2);
    expect(stderr).toContain('servicemode: 0 (active-active) has no active to be changed');
  });

  test.each(['switchover', 'pause', 'resume'])(
    'with a Redis that is away makes %s fail with one line and 1',
    async (command) => {
      const { code, stdout, stderr } = await run([command, '--conf', write('good.conf', PAIR), '--tag', 'mysql3308']);
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
      expect(stderr).toMatch(/^mmm: Redis 127\.0\.0\.1:1 refuses connections.*\n$/);
    },
  );

  test.each(['monitor', 'identify', 'status', 'config'])(
    'with several problems ends %s with all of them',
    async (command) => {
      const file = write('bad.conf', PAIR.replace('10.0.21.7:3308', 'nowhere').replace('user=', 'usr='));
      const words = command === 'config' || command === 'status' ? [] : ['--all'];
      const { code, stdout, stderr } = await run([command, '--conf', file, ...words]);
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr).toContain(`${file}:4 [mysql3308] secondaryhost: `);
      expect(stderr).toContain(`${file}:2 [mysql3308] user: is missing`);
      expect(stderr).toContain('warning: ');
      expect(stderr).not.toContain('xxxxxxxx');
    },
  );

  test('of the agent is checked by its own rules', async () => {
    const text = '[mysql]\nuser=u\npassword=p\nblock_user=^app$\n[redis]\ntopic=t\n';
    const file = write('agent.conf', text);
    for (const words of [['agent'], ['config', '--agent']]) {
      const { code, stderr } = await run([...words, '--conf', file]);
      expect(code).toBe(2);
      expect(stderr).toContain(`${file}:4 [mysql] block_user: `);
    }
    const good = write('agent-good.conf', text.replace('block_user=^app$\n', ''));
    expect(await run(['config', '--agent', '--conf', good])).toEqual({ code: 0, stdout: `${good}: ok\n`, stderr: '' });
  });

  test('of a pair in active-active mode is refused by identify before anything is touched', async () => {
    const file = write('active-active.conf', PAIR.replace('user=', 'servicemode=0\nuser='));
    expect(await run(['identify', '--conf', file, '--all'])).toEqual({
      code: 2,
      stdout: '',
      stderr: `mmm: ${file} [mysql3308] servicemode: 0 (active-active) is not supported by identify yet, expected 1\n`,
    });
  });

  test('without the pair that --tag names is refused with the known ones', async () => {
    const file = write('good.conf', PAIR);
    const { code, stderr } = await run(['monitor', '--conf', file, '--tag', 'mysql33']);
    expect(code).toBe(2);
    expect(stderr).toBe('mmm: --tag mysql33: there is no such pair; expected one of mysql3308\n');
  });

  test('is documented in full by mmm config', async () => {
    const { code, stdout } = await run(['config']);
    expect(code).toBe(0);
    for (const key of ['primaryhost', 'try_times', 'block_user', 'email_receiver', 'topic', 'logfile']) {
      expect(stdout).toContain(key);
    }
  });

  test('that is right, with a Redis that is away, makes status fail with one line and 1', async () => {
    const { code, stdout, stderr } = await run(['status', '--conf', write('good.conf', PAIR)]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^mmm: .*127\.0\.0\.1:1.*\n$/);
  });
});

describe.concurrent('what lies around', () => {
  test('in the working directory does not matter', async () => {
    const hostile = join(folder, 'hostile');
    mkdirSync(join(hostile, 'commands'), { recursive: true });
    const boom = "throw new Error('taken from the working directory');";
    writeFileSync(
      join(hostile, 'package.json'),
      JSON.stringify({
        name: 'evil',
        version: '6.6.6',
        type: 'module',
        oclif: { commands: './commands', bin: 'evil', hooks: { init: './boom.js' } },
      }),
    );
    writeFileSync(
      join(hostile, 'oclif.manifest.json'),
      JSON.stringify({
        version: '6.6.6',
        commands: { evil: { id: 'evil' }, uniqsign: { id: 'uniqsign', summary: 'evil' } },
      }),
    );
    for (const file of ['.env', 'bunfig.toml', '.npmrc']) writeFileSync(join(hostile, file), 'MMM_EVIL=1\n');
    for (const file of ['boom.js', 'index.js', 'commands/uniqsign.js']) writeFileSync(join(hostile, file), boom);
    for (const words of [[], ['--version'], ['uniqsign', '--help'], ['status', '--help'], ['evil']]) {
      expect(await run(words, { cwd: hostile })).toEqual(await run(words));
    }
    const { code, stdout, stderr } = await run(['uniqsign'], { cwd: hostile });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^[0-9a-f]{32}\n$/);
  });

  test('beside the file does not matter when it stands alone', async () => {
    const alone = join(folder, 'alone');
    mkdirSync(alone);
    copyFileSync(built, join(alone, 'mmm'));
    chmodSync(join(alone, 'mmm'), 0o755);
    const { code, stdout, stderr } = await run(['--help'], { program: join(alone, 'mmm') });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toBe((await help('')).stdout);
  });

  test('a working directory that is gone does not matter', async () => {
    const words = ['-c', `mkdir gone && cd gone && rmdir ../gone && '${built}' uniqsign`];
    const { code, stdout, stderr } = await run(words, { program: '/bin/sh' });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^[0-9a-f]{32}\n$/);
  });

  test('a user without a home, a shell or an entry in passwd does not matter', async () => {
    // As Node behaves there: with neither the variable nor the entry it throws.
    const nobody = write(
      'nobody.cjs',
      `const os = require('node:os');
       const need = (name) => { if (!process.env[name]) throw new Error('nobody has a ' + name); return process.env[name]; };
       os.homedir = () => need('HOME');
       os.userInfo = () => ({ shell: need('SHELL') });`,
    );
    const words = ['--require', nobody, built, 'uniqsign'];
    const { code, stdout, stderr } = await run(words, { program: process.execPath, env: {} });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^[0-9a-f]{32}\n$/);
  });

  test('an empty environment does not matter', async () => {
    const { code, stdout, stderr } = await run([built, 'uniqsign'], { program: process.execPath, env: {} });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^[0-9a-f]{32}\n$/);
  });
});

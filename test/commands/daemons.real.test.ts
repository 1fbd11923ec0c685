// The three daemons as processes around a real Redis: signals, --once, several pairs in one process, logs, and a board that
// goes away. The databases are addresses where nothing listens, which is all that is needed here; test/servers/ has the pairs.

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Redis as RedisClient } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ownFolder, type Program, startProgram } from '../../src/sandbox/lifetime.ts';
import { type Redis, startRedis } from '../../src/sandbox/redis.ts';
import { until } from '../support/until.ts';

const BUNDLE = resolve(import.meta.dirname, '../../dist/mmm.js');
const SIGN_A = 'a'.repeat(32);
const SIGN_B = 'b'.repeat(32);

let dir = '';
let redis: Redis;
let client: RedisClient;
let conf = '';
let agentConf = '';

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'mmm-daemons-'));
  ownFolder(dir);
  redis = await startRedis({ dir: join(dir, 'redis') });
  client = new RedisClient(redis.port, '127.0.0.1');
  // It reports each lost connection as an event, and comes back by itself.
  client.on('error', () => undefined);
  conf = await write('mmm.conf', managerConf(redis.host));
  agentConf = await write('mmm-agent.conf', `[mysql]\nuser=u\npassword=p\n[redis]\nhost=${redis.host}\ntopic=t\n`);
});

afterAll(async () => {
  client.disconnect();
  await redis.stop();
  await rm(dir, { recursive: true, force: true });
});

function managerConf(board: string, more = ''): string {
  const pair = (tag: string, sign: string, port: number) =>
    `[${tag}]\nprimaryhost=127.0.0.1:${port}\nsecondaryhost=127.0.0.1:${port + 1}\nuser=u\npassword=p\nuniqsign=${sign}\ninterval=0.2\n${more}`;
  return `${pair('one', SIGN_A, 1)}${pair('two', SIGN_B, 3)}[redis]\nhost=${board}\ntopic=t\n`;
}

async function write(name: string, text: string): Promise<string> {
  const file = join(await mkdtemp(join(dir, 'file-')), name);
  await writeFile(file, text, { mode: 0o600 });
  return file;
}

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(...words: readonly string[]): Promise<Ran> {
  return new Promise((done) => {
    execFile(process.execPath, [BUNDLE, ...words], { timeout: 30_000 }, (error, stdout, stderr) => {
      done({ code: error === null ? 0 : Number(error.code ?? -1), stdout, stderr });
    });
  });
}

interface Running {
  readonly program: Program;
  output(): Promise<string>;
  says(text: string): Promise<void>;
}

async function start(...words: readonly string[]): Promise<Running> {
  const outputFile = await write('output', '');
  const program = await startProgram({ command: process.execPath, args: [BUNDLE, ...words], outputFile });
  const output = () => readFile(outputFile, 'utf8');
  return {
    program,
    output,
    says: (text) => until(`"${text}"`, async () => (await output()).includes(text)),
  };
}

function count(text: string, part: string | RegExp): number {
  return text.split(part).length - 1;
}

describe('--once', () => {
  test('monitor looks once at every pair, writes what it found, and status shows it', async () => {
    const { code, stdout, stderr } = await run('monitor', '--conf', conf, '--all', '--once');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('one: 127.0.0.1:1 is refused');
    expect(stdout).toContain('two: 127.0.0.1:4 is refused');
    expect(await client.hgetall(`mysql-${SIGN_A}-127.0.0.1:1-check`)).toMatchObject({
      ping: '0',
      repl_check: 'Error',
      read_only: '-1',
      delay_sec: '-1',
      conn_nums: '-1',
    });
    const status = await run('status', '--conf', conf, '--tag', 'two');
    expect(status).toMatchObject({ code: 0, stderr: '' });
    expect(status.stdout).toMatch(/^Current multi master status:\n\[two\]\n/);
    expect(status.stdout).toContain('127.0.0.1:3(dead ');
    expect(status.stdout).not.toContain('[one]');
    const all = JSON.parse((await run('status', '--conf', conf, '--json')).stdout);
    expect(all.map((pair: { tag: string }) => pair.tag)).toEqual(['one', 'two']);
  });

  test('identify and agent do their round and end', async () => {
    const identify = await run('identify', '--conf', conf, '--tag', 'one', '--once');
    expect(identify).toMatchObject({ code: 0, stderr: '' });
    expect(identify.stdout).toContain('one: leads');
    // The lead is not kept from whoever comes next.
    expect(await client.exists(`mysql-${SIGN_A}-leader`)).toBe(0);
    expect(await run('agent', '--conf', agentConf, '--once')).toMatchObject({ code: 0, stderr: '' });
  });

  test('identify leaves a pair in active-active mode alone, says so, and decides about the others', async () => {
    const mixed = await write('mmm.conf', managerConf(redis.host).replace('user=u', 'servicemode=0\nuser=u'));
    const { code, stdout } = await run('identify', '--conf', mixed, '--all', '--once');
    expect(code).toBe(0);
    expect(stdout).toContain('[error] one: left alone, because servicemode=0');
    expect(stdout).toContain('two: leads');
    expect(stdout).not.toContain('one: leads');
  });

  test('fails with 1 and one line when the board is away', async () => {
    const away = await write('mmm.conf', managerConf('127.0.0.1:5'));
    for (const words of [
      ['monitor', '--conf', away, '--tag', 'one'],
      ['identify', '--conf', away, '--tag', 'one'],
      [
        'agent',
        '--redis',
        '127.0.0.1:5',
        '--conf',
        await write('a.conf', '[mysql]\nuser=u\npassword=p\n[redis]\ntopic=t\n'),
      ],
    ]) {
      const { code, stderr } = await run(...words, '--once');
      expect(code).toBe(1);
      expect(stderr).toMatch(/^mmm: Redis 127\.0\.0\.1:5 .*\n$/);
    }
  });
});

describe('stopping', () => {
  test.each(['monitor', 'identify'])('%s logs and ignores INT and TERM, and ends with 0 on QUIT', async (role) => {
    const daemon = await start(role, '--conf', conf, '--tag', 'one');
    await daemon.says(`mmm ${role} `);
    await daemon.says('connected to Redis');
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      daemon.program.signal(signal);
      await daemon.says(`${signal} ignored`);
    }
    expect(daemon.program.running).toBe(true);
    daemon.program.signal('SIGQUIT');
    await daemon.program.gone();
    expect(daemon.program.exitCode).toBe(0);
    expect(await daemon.output()).toContain(`mmm ${role} ends`);
  });

  test('identify gives up the lead, so that another one leads at once', async () => {
    const first = await start('identify', '--conf', conf, '--tag', 'one', '--name', 'first');
    await first.says('one: leads');
    const second = await start('identify', '--conf', conf, '--tag', 'one', '--name', 'second');
    await second.says('connected to Redis');
    expect(await client.get(`mysql-${SIGN_A}-leader`)).toBe('first');
    first.program.signal('SIGQUIT');
    await first.program.gone();
    await second.says('one: leads');
    second.program.signal('SIGQUIT');
    await second.program.gone();
    expect(await client.exists(`mysql-${SIGN_A}-leader`)).toBe(0);
  });

  test('agent ends with 0 on TERM', async () => {
    const agent = await start('agent', '--conf', agentConf);
    await agent.says('connected to Redis');
    agent.program.signal('SIGTERM');
    await agent.program.gone();
    expect(agent.program.exitCode).toBe(0);
  });

  test('works while the board is away', async () => {
    const away = await write('mmm.conf', managerConf('127.0.0.1:5'));
    for (const role of ['monitor', 'identify']) {
      const daemon = await start(role, '--conf', away, '--all');
      await daemon.says('Redis 127.0.0.1:5');
      daemon.program.signal('SIGQUIT');
      await daemon.program.gone();
      expect(daemon.program.exitCode).toBe(0);
    }
  });
});

describe('a board that goes away', () => {
  test('is one line for all pairs when it goes, one when it is back, and then the work goes on', async () => {
    const daemons = await Promise.all([
      start('monitor', '--conf', conf, '--all'),
      start('identify', '--conf', conf, '--all'),
      start('agent', '--conf', agentConf),
    ]);
    await Promise.all(daemons.map((daemon) => daemon.says('connected to Redis')));
    await redis.kill();
    await Promise.all(daemons.map((daemon) => daemon.says('[error] Redis')));
    await redis.restart();
    await Promise.all(daemons.map((daemon) => daemon.says('over after')));
    await until('new observations', async () => (await client.exists(`mysql-${SIGN_B}-127.0.0.1:3-check`)) === 1);
    for (const { program } of daemons) program.signal('SIGQUIT');
    for (const { program, output } of daemons) {
      await program.gone();
      const text = await output();
      expect(count(text, '[error]'), text).toBe(1);
      expect(text).toContain('no database is touched meanwhile');
    }
  });
});

describe('logs', () => {
  test('of each pair go to its own file, in the format of old', async () => {
    const folder = await mkdtemp(join(dir, 'logs-'));
    const text = managerConf(redis.host)
      .replace(`uniqsign=${SIGN_A}`, `uniqsign=${SIGN_A}\nmonitor_logfile=${join(folder, 'one.log')}`)
      .replace(`uniqsign=${SIGN_B}`, `uniqsign=${SIGN_B}\nmonitor_logfile=${join(folder, 'two.log')}`);
    const { code } = await run('monitor', '--conf', await write('mmm.conf', text), '--all', '--once');
    expect(code).toBe(0);
    const one = await readFile(join(folder, 'one.log'), 'utf8');
    const two = await readFile(join(folder, 'two.log'), 'utf8');
    expect(one).toContain('one: ');
    expect(one).not.toContain('two: ');
    expect(two).toContain('two: ');
    expect(two).not.toContain('one: ');
    for (const line of `${one}${two}`.trimEnd().split('\n')) {
      expect(line).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d - \[\w+\] \S/);
    }
  });

  test('that cannot be written are one error with 2, before anything else happens', async () => {
    await client.flushall();
    const text = managerConf(redis.host, `monitor_logfile=${join(dir, 'no-such-folder', 'x.log')}\n`);
    const { code, stdout, stderr } = await run('monitor', '--conf', await write('mmm.conf', text), '--all', '--once');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^mmm: .*no-such-folder.*\n$/);
    expect(existsSync(join(dir, 'no-such-folder'))).toBe(false);
    expect(await client.dbsize()).toBe(0);
  });

  test('are JSON objects with the pair and the event when that is asked for', async () => {
    const { stdout } = await run('monitor', '--conf', conf, '--tag', 'one', '--once', '--log-format', 'json');
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toContainEqual(
      expect.objectContaining({ level: 'warn', event: 'observed', tag: 'one', pair: SIGN_A, host: '127.0.0.1:1' }),
    );
  });
});

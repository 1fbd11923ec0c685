import { type ChildProcess, spawn } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/ops/clock.ts';
import { openSystemd, type SystemdOptions } from '../../src/ops/systemd.ts';
import { FakeClock, settle } from '../support/fake-clock.ts';
import { fakeLog } from '../support/fake-log.ts';

let folder = '';
const children: ChildProcess[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mmm-systemd-'));
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await rm(folder, { recursive: true, force: true });
});

/** A systemd-notify that writes what it is told into a file, one message a line; `then` comes after that. */
async function aNotify(then = 'exit 0'): Promise<void> {
  const path = join(folder, 'systemd-notify');
  await writeFile(path, `#!/bin/sh\n( IFS=,; echo "$*" ) >> "${join(folder, 'told')}"\n${then}\n`);
  await chmod(path, 0o755);
}

async function told(atLeast = 0): Promise<string[]> {
  for (;;) {
    const text = await readFile(join(folder, 'told'), 'utf8').catch(() => '');
    const lines = text.split('\n').filter((line) => line !== '');
    if (lines.length >= atLeast) return lines;
    await settle();
  }
}

function aService(options: Partial<SystemdOptions> = {}, env: NodeJS.ProcessEnv = {}) {
  const log = fakeLog();
  const clock = new FakeClock();
  const path = `${folder}${delimiter}${process.env['PATH']}`;
  const systemd = openSystemd({
    env: { NOTIFY_SOCKET: '/run/systemd/notify', PATH: path, ...env },
    clock,
    log,
    overdue: () => [],
    ...options,
  });
  return { systemd, log, clock };
}

describe('under systemd', () => {
  it('readiness, a change of status and the stop are told in order', async () => {
    await aNotify();
    const { systemd, log } = aService();
    systemd.ready('watching c1');
    await told(1);
    systemd.status('c1: active is\n10.0.21.5:3308');
    systemd.stopping();
    await systemd.close();
    const lines = await told();
    expect(lines[0]).toBe('--,READY=1,STATUS=watching c1');
    expect(lines.slice(1).join()).toContain('STATUS=c1: active is 10.0.21.5:3308');
    expect(lines.at(-1)).toContain('STOPPING=1');
    expect(log.lines).toEqual([]);
  });

  it('what comes while one message is under way is told together, the last status only', async () => {
    await aNotify();
    const { systemd } = aService();
    systemd.ready('one');
    for (let time = 0; time < 100; time += 1) systemd.status(`status ${time}`);
    await systemd.close();
    expect(await told()).toEqual(['--,READY=1,STATUS=one', '--,STATUS=status 99,READY=1']);
  });

  it('the watchdog is petted at half its time, and each sign of life repeats READY in case one was lost', async () => {
    await aNotify();
    const { systemd, clock } = aService({}, { WATCHDOG_USEC: '10000000' });
    systemd.ready('watching');
    await told(1);
    await clock.advance(4999);
    expect(await told()).toHaveLength(1);
    await clock.advance(1);
    expect((await told(2))[1]).toBe('--,WATCHDOG=1,READY=1');
    await systemd.close();
    expect(clock.sleeping).toBe(0);
  });

  it('the watchdog is left alone while a loop hangs, and that is told', async () => {
    await aNotify();
    let hanging = ['c1', 'c2'];
    const { systemd, clock, log } = aService({ overdue: () => hanging }, { WATCHDOG_USEC: '10000000' });
    await clock.advance(20_000);
    expect(await told()).toEqual([]);
    expect(log.lines).toEqual(['error these loops hang, so systemd will restart this process: c1, c2']);
    hanging = [];
    await clock.advance(5000);
    expect(await told(1)).toEqual(['--,WATCHDOG=1']);
    await systemd.close();
  });

  it.each([
    ['meant for another process', { WATCHDOG_USEC: '10000000', WATCHDOG_PID: '1' }],
    ['not asked for', {}],
    ['not a number', { WATCHDOG_USEC: 'often' }],
  ])('a watchdog that is %s is not petted', async (_why, env) => {
    await aNotify();
    const { systemd, clock } = aService({}, env);
    await clock.advance(60_000);
    await systemd.close();
    expect(await told()).toEqual([]);
  });

  it('a systemd-notify that is missing is told once and harms nothing', async () => {
    const { systemd, log } = aService({}, { PATH: folder });
    systemd.ready('watching');
    await systemd.close();
    systemd.status('still watching');
    await systemd.close();
    expect(log.lines).toEqual([expect.stringMatching(/^warn cannot tell systemd how we are: .*systemd-notify ENOENT/)]);
  });

  it('a systemd-notify that fails is told with its code', async () => {
    await aNotify('exit 3');
    const { systemd, log } = aService();
    systemd.ready('watching');
    await systemd.close();
    expect(log.lines).toEqual(['warn cannot tell systemd how we are: systemd-notify ended with code 3']);
  });

  it('a systemd-notify that hangs is killed', async () => {
    await aNotify('exec sleep 600');
    const { systemd, log, clock } = aService();
    systemd.ready('watching');
    await told(1);
    const closing = systemd.close();
    await clock.advance(6000);
    await closing;
    expect(log.lines).toEqual(['warn cannot tell systemd how we are: systemd-notify does not end within 6 s']);
  });

  it('the real systemd-notify reaches a real datagram socket', async () => {
    const socket = join(folder, 'notify.sock');
    const listener = spawn('perl', ['-e', LISTENER, socket], { stdio: ['ignore', 'pipe', 'inherit'] });
    children.push(listener);
    let text = '';
    const saying = async (words: string) => {
      while (!text.includes(words)) await new Promise((resolve) => listener.stdout.once('data', resolve));
    };
    listener.stdout.setEncoding('utf8').on('data', (more: string) => {
      text += more;
    });
    await saying('bound');
    const { systemd, log } = aService({ clock: systemClock }, { NOTIFY_SOCKET: socket, WATCHDOG_USEC: '100000' });
    systemd.ready('watching c1');
    await saying('[READY=1|STATUS=watching c1]');
    await saying('WATCHDOG=1');
    systemd.stopping();
    await saying('STOPPING=1');
    await systemd.close();
    expect(log.lines).toEqual([]);
  });
});

it('without systemd nothing is started', async () => {
  await aNotify();
  const { systemd, clock } = aService({}, { NOTIFY_SOCKET: undefined, WATCHDOG_USEC: '1000000' });
  systemd.ready('watching');
  systemd.status('watching');
  systemd.stopping();
  await clock.advance(10_000);
  await systemd.close();
  expect(await told()).toEqual([]);
});

/** What stands for systemd: prints every message it receives. */
const LISTENER = `
  use Socket; $| = 1;
  socket(my $socket, AF_UNIX, SOCK_DGRAM, 0) or die; bind($socket, sockaddr_un($ARGV[0])) or die; print "bound\\n";
  while (defined recv($socket, my $message, 9999, 0)) { $message =~ s/\\n/|/g; print "[$message]\\n" }
`;

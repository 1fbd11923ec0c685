// Signals end processes, so these tests start one: a small daemon made of the real parts, bundled for this run.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';

const DAEMON = `
import { systemClock, systemRandom } from './clock.ts';
import { openLog } from './log.ts';
import { listenForStop } from './signals.ts';
import { supervise, Wake } from './supervise.ts';

const [signals, ignored, manner, deadlineMs] = process.argv.slice(2);
const list = (text) => text.split(',').filter((name) => name !== '');

async function main() {
  const { log, close } = await openLog({ path: null, format: 'text', debug: false, clock: systemClock });
  const stop = listenForStop({ stopOn: list(signals), ignore: list(ignored), log, exitDeadlineMs: Number(deadlineMs) });
  const round = async () => {
    log.info('a round');
    if (manner === 'chatty') for (let line = 0; line < 5000; line += 1) log.info('x'.repeat(100));
  };
  await supervise({
    name: 'c1', round, intervalMs: 60_000, roundDeadlineMs: 1000, wake: new Wake(), stop,
    clock: systemClock, random: systemRandom, log,
  });
  if (manner === 'hanging') await new Promise(() => setInterval(() => {}, 1000));
  log.info('released');
  await close();
}
main().then(() => { if (manner === 'chatty') process.exit(0); });
`;

let folder = '';
let program = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mmm-signals-'));
  program = join(folder, 'daemon.cjs');
  await build({
    stdin: { contents: DAEMON, resolveDir: join(import.meta.dirname, '../../src/ops'), loader: 'ts' },
    bundle: true,
    platform: 'node',
    format: 'cjs',
    outfile: program,
    logLevel: 'error',
  });
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

/** Starts the daemon and waits for its first round. `reading` is false for one whose output nobody takes. */
async function aDaemon({
  signals = 'SIGQUIT',
  ignored = 'SIGINT,SIGTERM',
  manner = '',
  reading = true,
  deadlineMs = 300,
} = {}) {
  const child = spawn(process.execPath, [program, signals, ignored, manner, String(deadlineMs)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  const exited = new Promise<number | string | null>((resolve) => {
    child.once('exit', (code, killedBy) => resolve(code ?? killedBy));
  });
  let text = '';
  const said = async (words: string) => {
    while (!text.includes(words)) await new Promise((resolve) => child.stdout.once('data', resolve));
  };
  child.stdout.setEncoding('utf8').on('data', (more: string) => {
    text += more;
  });
  let complaints = '';
  child.stderr.setEncoding('utf8').on('data', (more: string) => {
    complaints += more;
  });
  await said('a round');
  if (!reading) child.stdout.pause();
  return { child, exited, said, text: () => text, complaints: () => complaints };
}

it('INT and TERM are logged and ignored, QUIT releases everything and ends with 0', async () => {
  const { child, exited, said, text } = await aDaemon();
  child.kill('SIGINT');
  await said('SIGINT ignored; SIGQUIT stops this daemon');
  child.kill('SIGTERM');
  await said('SIGTERM ignored');
  child.kill('SIGQUIT');
  expect(await exited).toBe(0);
  expect(text()).toMatch(/ - \[info\] SIGQUIT: stopping\n.* - \[info\] released\n$/);
});

it.each(['SIGTERM', 'SIGINT', 'SIGQUIT'] as const)('a daemon that ignores none stops on %s', async (signal) => {
  const { child, exited, text } = await aDaemon({ signals: 'SIGTERM,SIGINT,SIGQUIT', ignored: '' });
  child.kill(signal);
  expect(await exited).toBe(0);
  expect(text()).toContain('released');
});

it('a release that hangs ends with 1 at the deadline, and the log says why', async () => {
  const { child, exited, text } = await aDaemon({ manner: 'hanging' });
  child.kill('SIGQUIT');
  expect(await exited).toBe(1);
  expect(text()).toContain('[error] the clean stop takes longer than 0.3 s');
});

it('a second stop while stopping ends with 1 at once', async () => {
  const { child, exited, said, text } = await aDaemon({ manner: 'hanging' });
  child.kill('SIGQUIT');
  await said('SIGQUIT: stopping');
  child.kill('SIGQUIT');
  expect(await exited).toBe(1);
  expect(text()).toContain('[warn] SIGQUIT again');
  expect(text()).not.toContain('takes longer');
});

it('a log whose reader has stopped reading keeps the daemon neither from working nor from ending', async () => {
  const { child, exited, complaints } = await aDaemon({ manner: 'chatty', reading: false, deadlineMs: 10_000 });
  child.kill('SIGQUIT');
  expect(await exited).toBe(0);
  expect(complaints()).toBe('');
});

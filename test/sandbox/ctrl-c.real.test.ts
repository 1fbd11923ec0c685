import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

const BUNDLE = resolve(import.meta.dirname, '../../dist/mmm.js');

let folder = '';
let dir = '';
let sandbox: ChildProcess;
let output = '';

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mmm-test-'));
  dir = join(folder, 'box');
  output = '';
});

afterEach(async () => {
  sandbox.kill('SIGKILL');
  await rm(folder, { recursive: true, force: true });
});

function startSandbox(...flags: string[]) {
  // A group of its own, as in a terminal, where Ctrl-C reaches everybody in it.
  sandbox = spawn(process.execPath, [BUNDLE, 'sandbox', '--dir', dir, ...flags], {
    detached: true,
    env: { ...process.env, TMPDIR: folder },
  });
  sandbox.stdout?.on('data', (text) => {
    output += text;
  });
  sandbox.stderr?.on('data', (text) => {
    output += text;
  });
}

async function signalAndWait(signal: NodeJS.Signals) {
  const ended = once(sandbox, 'exit');
  process.kill(-(sandbox.pid ?? Number.NaN), signal);
  return ended;
}

/** Whatever runs with our folder in its words or as its working directory. */
function processesOfSandbox(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
        const place = readlinkSync(`/proc/${pid}/cwd`);
        return words.includes(dir) || place.includes(dir) ? [`${pid} ${words}`] : [];
      } catch {
        // It ended while we looked.
        return [];
      }
    });
}

const printed = (text: string) =>
  vi.waitUntil(() => output.includes(text) || (sandbox.exitCode !== null && expect.fail(`it ended:\n${output}`)), {
    timeout: 60_000,
    interval: 5,
  });

test.each(['Starting two', 'Killing A', 'Everything is still running'])(
  'Ctrl-C after "%s" leaves no process and no file behind',
  async (moment) => {
    startSandbox('--keep');
    await printed(moment);
    expect(processesOfSandbox()).not.toEqual([]);
    expect(await signalAndWait('SIGINT')).toEqual([null, 'SIGINT']);
    await vi.waitFor(() => expect(processesOfSandbox()).toEqual([]), { timeout: 5_000, interval: 10 });
    expect(await readdir(folder)).toEqual([]);
  },
);

test('a sandbox that is itself killed leaves no process behind', async () => {
  startSandbox('--keep');
  await printed('Started mmm monitor');
  const ended = once(sandbox, 'exit');
  sandbox.kill('SIGKILL');
  await ended;
  await vi.waitFor(() => expect(processesOfSandbox()).toEqual([]), { timeout: 5_000, interval: 10 });
});

test('a folder that exists already is refused and left alone', async () => {
  dir = folder;
  startSandbox();
  expect(await once(sandbox, 'exit')).toEqual([2, null]);
  expect(output).toContain('a folder that does not exist yet');
  expect(existsSync(folder)).toBe(true);
});

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';

const BUNDLE = resolve(import.meta.dirname, '../../dist/mmm.js');

let sandbox: ChildProcess;
let output = '';

afterEach(() => {
  // It ends all that it started, and removes its folder.
  sandbox.kill('SIGTERM');
});

function startSandbox(...flags: string[]) {
  output = '';
  sandbox = spawn(process.execPath, [BUNDLE, 'sandbox', ...flags]);
  for (const stream of [sandbox.stdout, sandbox.stderr]) {
    stream?.on('data', (text) => {
      output += text;
    });
  }
  return once(sandbox, 'close');
}

test('the sandbox shows a failover from the kill to the first write, and exits with 0', async () => {
  expect(await startSandbox(), output).toEqual([0, null]);
  expect(output).toContain('Armed.');
  expect(output).toMatch(/identify .*decided: B is the active.*?client .*first write/s);
  // The agent hears of its opening after the client, now and then.
  expect(output).toMatch(/identify .*decided: B is the active.*?agent-\d .*B: opened with a lease of 3 s/s);
  expect(output).toMatch(/Nobody could write for [1-9]\d* ms/);
  expect(output).toMatch(/Of \d{3,} acknowledged writes \d{3,} were on B .* 0 are lost/);
  expect(output).toContain('At no time did both take writes');
});

test('an active that freezes and wakes up is closed within a second of waking', async () => {
  expect(await startSandbox('--freeze', '--kind', 'mysql56'), output).toEqual([0, null]);
  expect(output).toMatch(
    /A is silent.*?the lease of A is over.*?B: opened with a lease.*?A(, whose lease was over,)? (woke up|was closed)/s,
  );
});

test('without a failover it exits with 1 and shows what the daemons said', async () => {
  const ended = startSandbox();
  await vi.waitUntil(() => output.includes('Starting an application'), { timeout: 60_000, interval: 5 });
  process.kill(Number(/mmm agent \((\d+)\)/.exec(output)?.[1]), 'SIGKILL');
  expect(await ended).toEqual([1, null]);
  expect(output).toMatch(/mmm agent ended while waiting for .*?-- mmm identify\n.*decided: .* is the active/s);
});

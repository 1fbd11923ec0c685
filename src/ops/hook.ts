// Runs the operator's fence program: looks first whether it may be run at all, then gives it a deadline, and ends it there.
// Wanted by core/reconcile.ts (step `hook`) as core/hook.ts `RunHook`; comes from src/agent.ts. Why so strict: docs/decisions/0006-fence-hook.md.

import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { access, lstat, open, realpath } from 'node:fs/promises';
import { dirname } from 'node:path';
import { messageOf } from '../core/errors.ts';
import type { Abort, HookOrder, HookResult, RunHook } from '../core/hook.ts';
import { systemClock } from './clock.ts';

/** Nothing of the daemon's own environment is for the program, least of all its passwords. */
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** So much of what it prints is kept; the rest is read and dropped, so that a chatty program does not block. */
const KEPT_CHARACTERS = 500;

/** What a program that ended has printed comes within this, unless somebody that it started holds its output open. */
const LAST_WORDS_MS = 100;

/** A killed program is gone within this, unless the kernel keeps it: nobody waits for that. */
const GONE_MS = 500;

const WRITABLE_BY_OTHERS = 0o022;
const STICKY = 0o1000;

export const runHook: RunHook = async (order, signal) => {
  const objection = await objectionTo(order.program);
  if (objection !== null) return { succeeded: false, why: `${order.program} is not run: ${objection}` };
  if (signal.aborted) return { succeeded: false, why: `${order.program} is not run: mmm ends` };
  return await run(order, signal);
};

/**
 * Why the program is not run; null: it may be. Its path came over the board, so this machine's administrator has a say: nobody but root and
 * the agent's own user may be able to change what runs, neither the file nor what its path leads through.
 */
async function objectionTo(program: string): Promise<string | null> {
  if (!program.startsWith('/')) return 'its path does not begin with /';
  try {
    // A link can be turned to another program by whoever may write where it lies.
    const real = await realpath(program);
    if (real !== program) return `its path is not the plain one, which is ${real}`;
    const file = await lstat(program);
    if (!file.isFile()) return 'it is not a regular file';
    const trouble = troubleWith(file, { sticky: false });
    if (trouble !== null) return `the file ${trouble}`;
    for (let folder = dirname(program); ; folder = dirname(folder)) {
      // In a sticky folder like /tmp nobody can exchange what belongs to somebody else; the program's own folder is to be better than that.
      const trouble = troubleWith(await lstat(folder), { sticky: folder !== dirname(program) });
      if (trouble !== null) return `its folder ${folder} ${trouble}`;
      if (folder === '/') break;
    }
    await access(program, constants.X_OK);
    return (await isProgram(program)) ? null : 'it begins neither with #! nor as a binary does';
  } catch (error) {
    return messageOf(error);
  }
}

/** What has no head of a program the system's library gives to a shell, and an empty file would then be a success. */
async function isProgram(path: string): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0);
    const head = buffer.toString('latin1', 0, bytesRead);
    return head.startsWith('#!') || head === '\u007fELF';
  } finally {
    await file.close();
  }
}

function troubleWith(
  { uid, mode }: { readonly uid: number; readonly mode: number },
  { sticky }: { readonly sticky: boolean },
): string | null {
  if (uid !== 0 && uid !== process.getuid?.()) return "belongs neither to root nor to the agent's user";
  if ((mode & WRITABLE_BY_OTHERS) === 0 || (sticky && (mode & STICKY) !== 0)) return null;
  return 'can be written by others than its owner';
}

function run({ program, host, uniqsign, epoch, withinMs }: HookOrder, signal: Abort): Promise<HookResult> {
  const beganMs = systemClock.monotonic();
  const child = spawn(program, [], {
    cwd: '/',
    env: {
      PATH,
      MMM_HOST: host,
      MMM_PAIR: uniqsign,
      MMM_EPOCH_NUMBER: String(epoch.number),
      MMM_EPOCH_ID: epoch.id,
      MMM_EPOCH_ACTIVE: epoch.active,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own, so that the kill reaches whatever it started.
    detached: true,
  });
  let said = '';
  for (const output of [child.stdout, child.stderr]) {
    output.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(0, KEPT_CHARACTERS);
    });
  }
  return new Promise((resolve) => {
    const timers: NodeJS.Timeout[] = [];
    const after = (ms: number, act: () => void) => timers.push(setTimeout(act, ms));
    let ended: { readonly succeeded: boolean; readonly how: string } | null = null;
    const finish = () => {
      for (const timer of timers) clearTimeout(timer);
      signal.removeEventListener('abort', stopped);
      // Whoever else holds these open is no longer heard.
      child.stdout.destroy();
      child.stderr.destroy();
      const { succeeded, how } = ended ?? { succeeded: false, how: 'was not ended' };
      const tookMs = Math.round(systemClock.monotonic() - beganMs);
      resolve({ succeeded, why: `${program} ${how} after ${tookMs} ms${firstLineOf(said)}` });
    };
    const end = (succeeded: boolean, how: string, soonMs: number) => {
      if (ended !== null) return;
      ended = { succeeded, how };
      after(soonMs, finish);
    };
    const kill = (how: string) => {
      // How it ended is settled before the kill, whose own exit code says nothing.
      end(false, how, GONE_MS);
      killGroup(child);
    };
    const stopped = () => kill('was killed, because mmm ends,');
    after(withinMs, () => kill(`did not end within ${withinMs / 1000} s and was killed`));
    signal.addEventListener('abort', stopped);
    child.once('error', (error) => {
      end(false, `could not be run (${messageOf(error)})`, 0);
    });
    child.once('exit', (code, killedBy) => {
      if (code === 0) end(true, 'succeeded', LAST_WORDS_MS);
      else end(false, `failed with ${killedBy ?? `code ${code}`}`, LAST_WORDS_MS);
    });
    child.once('close', finish);
  });
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It ended at this moment, and everything that it started.
  }
}

function firstLineOf(said: string): string {
  const line = said
    .split('\n')
    .map((text) => text.replace(/\p{Cc}+/gu, ' ').trim())
    .find((text) => text !== '');
  return line === undefined ? '' : `; it said: ${line}`;
}

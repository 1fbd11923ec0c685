// The operator's fence program, with real programs: what it gets, how it ends, and which ones are never run.

import { chmod, chown, mkdir, mkdtemp, readFile, realpath, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { HookOrder, HookResult } from '../../src/core/hook.ts';
import { runHook } from '../../src/ops/hook.ts';
import { until } from '../support/until.ts';

let folder = '';

beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'mmm-hook-')));
  // The tests of a system may run with any umask.
  await chmod(folder, 0o755);
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function aProgram(script: string, mode = 0o755): Promise<string> {
  const program = join(folder, 'fence');
  await writeFile(program, `#!/bin/sh\n${script}\n`);
  await chmod(program, mode);
  return program;
}

function order(program: string, changes: Partial<HookOrder> = {}): HookOrder {
  const epoch = { number: 7, id: 'e7', active: '10.0.0.2:3306' } as const;
  return { program, host: '10.0.0.1:3306', uniqsign: 'u1', epoch, withinMs: 20_000, ...changes };
}

function run(program: string, changes: Partial<HookOrder> = {}, signal = new AbortController().signal) {
  return runHook(order(program, changes), signal);
}

/** What was written to the file named `ran`: the proof that the program ran. */
async function ran(): Promise<boolean> {
  return (await stat(join(folder, 'ran')).catch(() => null)) !== null;
}

describe('a program that may be run', () => {
  it('has succeeded when it ends with 0, and its first line is told', async () => {
    const result = await run(await aProgram('echo; echo "powered off"; echo more'));
    expect(result).toEqual({
      succeeded: true,
      why: expect.stringMatching(/fence succeeded after \d+ ms; it said: powered off$/),
    });
  });

  it('has failed with any other code, and says so in its own words', async () => {
    const result = await run(await aProgram('echo "no such machine" >&2; exit 3'));
    expect(result).toEqual({
      succeeded: false,
      why: expect.stringMatching(/fence failed with code 3 after \d+ ms; it said: no such machine$/),
    });
  });

  it('has failed when a signal ended it', async () => {
    expect(await run(await aProgram('kill -9 $$'))).toMatchObject({
      succeeded: false,
      why: expect.stringContaining('failed with SIGKILL'),
    });
  });

  it('has failed when its interpreter is not there', async () => {
    const program = await aProgram('');
    await writeFile(program, '#!/nowhere/sh\n');
    expect(await run(program)).toMatchObject({
      succeeded: false,
      why: expect.stringMatching(/could not be run \(.*ENOENT/),
    });
  });

  it('may be a binary', async () => {
    expect(await run('/usr/bin/true')).toMatchObject({ succeeded: true });
  });

  it('gets the host, the pair and the epoch in its environment, and nothing else of ours', async () => {
    process.env['MMM_TEST_SECRET'] = 'x';
    const result = await run(await aProgram(`env > '${folder}/env'; echo "$# $(pwd)"`));
    delete process.env['MMM_TEST_SECRET'];
    expect(result.why).toContain('it said: 0 /');
    const lines = (await readFile(join(folder, 'env'), 'utf8')).trim().split('\n');
    // The shell sets these itself.
    expect(lines.filter((line) => !/^(PWD|OLDPWD|SHLVL|_)=/.test(line)).sort()).toEqual([
      'MMM_EPOCH_ACTIVE=10.0.0.2:3306',
      'MMM_EPOCH_ID=e7',
      'MMM_EPOCH_NUMBER=7',
      'MMM_HOST=10.0.0.1:3306',
      'MMM_PAIR=u1',
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    ]);
  });

  it('is not a line for a shell: a blank in its name is a blank', async () => {
    const program = join(folder, 'fence; touch ran');
    await writeFile(program, '#!/bin/sh\nexit 0\n');
    await chmod(program, 0o755);
    expect(await run(program)).toMatchObject({ succeeded: true });
    expect(await ran()).toBe(false);
  });

  it('may print without end: it is not blocked by that, and one short clean line is kept', async () => {
    const { succeeded, why } = await run(
      await aProgram("head -c 5000000 /dev/zero | tr '\\0' '\\033'; echo x; exit 0"),
    );
    expect(succeeded).toBe(true);
    expect(why.length).toBeLessThan(700);
    expect(why).not.toMatch(/\p{Cc}/u);
  });

  it('may leave somebody behind who holds its output: that is not waited for', async () => {
    const result = await run(await aProgram(`sleep 60 & echo $! > '${folder}/pid'; echo done`));
    process.kill(Number(await readFile(join(folder, 'pid'), 'utf8')), 'SIGKILL');
    expect(result).toMatchObject({ succeeded: true, why: expect.stringContaining('it said: done') });
  });
});

describe('a program that does not end', () => {
  /** Its own number and that of what it started. */
  async function pids(): Promise<number[]> {
    const text = await readFile(join(folder, 'pids'), 'utf8').catch(() => '');
    return text.trim().split('\n').map(Number);
  }

  async function aHangingProgram(): Promise<string> {
    return await aProgram(
      `trap '' TERM INT HUP; (trap '' TERM; sleep 60) & echo "$$\n$!" > '${folder}/pids'; echo busy; sleep 60`,
    );
  }

  function lives(pid: number): boolean {
    try {
      process.kill(pid, 0);
      // A dead child of somebody else stays in the table until that one has looked.
      return true;
    } catch {
      return false;
    }
  }

  async function expectAllGone(): Promise<void> {
    const started = await pids();
    expect(started).toHaveLength(2);
    await until('everything that it started is gone', async () => {
      const states = await Promise.all(
        started.map(async (pid) => {
          const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
          return status === null ? !lives(pid) : / Z /.test(status);
        }),
      );
      return states.every(Boolean);
    });
  }

  it('is killed at its deadline with all that it started, and has failed', async () => {
    const result = await run(await aHangingProgram(), { withinMs: 300 });
    expect(result).toEqual({
      succeeded: false,
      why: expect.stringMatching(/fence did not end within 0\.3 s and was killed after \d+ ms; it said: busy$/),
    });
    await expectAllGone();
  });

  it('is killed when mmm ends', async () => {
    const stop = new AbortController();
    const running: Promise<HookResult> = run(await aHangingProgram(), {}, stop.signal);
    await until('it runs', async () => (await pids()).length === 2);
    stop.abort();
    expect(await running).toMatchObject({
      succeeded: false,
      why: expect.stringContaining('was killed, because mmm ends'),
    });
    await expectAllGone();
  });

  it('is not even begun when mmm has ended', async () => {
    const program = await aProgram(`touch '${folder}/ran'`);
    expect(await run(program, {}, AbortSignal.abort())).toMatchObject({ succeeded: false });
    expect(await ran()).toBe(false);
  });
});

describe('what is never run', () => {
  async function refused(program: string): Promise<string> {
    const { succeeded, why } = await run(program);
    expect({ succeeded, ran: await ran() }).toEqual({ succeeded: false, ran: false });
    return why.replaceAll(folder, 'F');
  }
  const touch = () => `touch '${folder}/ran'`;

  it('a path that does not begin with /', async () => {
    expect(await refused('fence')).toBe('fence is not run: its path does not begin with /');
  });

  it('what is not there', async () => {
    expect(await refused(join(folder, 'fence'))).toMatch(/^F\/fence is not run: ENOENT/);
  });

  it('what is not executable', async () => {
    expect(await refused(await aProgram(touch(), 0o644))).toMatch(/is not run: EACCES/);
  });

  it.each(['', `exit 0\n`])('a text that only a shell would take for a program: %j', async (text) => {
    const program = await aProgram('');
    await writeFile(program, text);
    expect(await refused(program)).toContain('it begins neither with #! nor as a binary does');
  });

  it('a folder', async () => {
    await mkdir(join(folder, 'fence'));
    expect(await refused(join(folder, 'fence'))).toContain('it is not a regular file');
  });

  it.each([0o775, 0o757, 0o777])('a file that others may change (%o)', async (mode) => {
    expect(await refused(await aProgram(touch(), mode))).toContain('the file can be written by others than its owner');
  });

  it.each([0o775, 0o757, 0o1777])('a file in a folder where others may exchange it (%o)', async (mode) => {
    const program = await aProgram(touch());
    await chmod(folder, mode);
    expect(await refused(program)).toContain('its folder F can be written by others than its owner');
  });

  it('a file whose folder lies in one where others may exchange it', async () => {
    const inner = join(folder, 'inner');
    await mkdir(inner, { mode: 0o755 });
    const program = join(inner, 'fence');
    await writeFile(program, `#!/bin/sh\n${touch()}\n`);
    await chmod(program, 0o755);
    await chmod(folder, 0o777);
    expect(await refused(program)).toContain('its folder F can be written by others than its owner');
    // Sticky as /tmp: what is somebody's own cannot be exchanged there.
    await chmod(folder, 0o1777);
    expect(await run(program)).toMatchObject({ succeeded: true });
  });

  it('a file that belongs to neither root nor us', async () => {
    const program = await aProgram(touch());
    const us = process.getuid?.() ?? 0;
    // Only root can give a file away; anybody else can be somebody else for a moment.
    if (us === 0) await chown(program, 65_534, 65_534);
    else vi.spyOn(process, 'getuid').mockReturnValue(us + 1);
    expect(await refused(program)).toContain("the file belongs neither to root nor to the agent's user");
    vi.restoreAllMocks();
  });

  it('a link, which could be turned to any program, and a path through one', async () => {
    const program = await aProgram(touch());
    const link = join(folder, 'link');
    await symlink(program, link);
    expect(await refused(link)).toBe('F/link is not run: its path is not the plain one, which is F/fence');
    await symlink(folder, join(folder, 'round'));
    expect(await refused(join(folder, 'round', 'fence'))).toContain('its path is not the plain one');
    expect(await refused(`${folder}/../${folder.split('/').at(-1)}/fence`)).toContain('its path is not the plain one');
  });
});

// The agent's memory on disk: what comes back after a restart, and what is told when it cannot.

import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RememberedPair } from '../../src/core/agent-memory.ts';
import { NO_SAFETY } from '../../src/core/decision.ts';
import { openStateFile } from '../../src/ops/state-file.ts';
import { PRIMARY, SECONDARY } from '../support/build.ts';
import { fakeLog } from '../support/fake-log.ts';

let dir: string;
let path: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'mmm-state-'));
  path = join(dir, 'lib', 'agent-state.json');
});
afterEach(() => rm(dir, { recursive: true, force: true }));

function aRemembered(over: Partial<RememberedPair> = {}): RememberedPair {
  return {
    uniqsign: 'u1',
    roles: { active: PRIMARY, passive: SECONDARY },
    policy: { ...NO_SAFETY, fencing: 'lease', leaseMs: 5_000, fenceHook: '/usr/local/bin/fence', drainTimeoutSec: 7 },
    ...over,
  };
}

function anOpen() {
  const log = fakeLog();
  return { log, memory: openStateFile({ path, log }) };
}

describe('what was remembered', () => {
  it('comes back, whole, after a restart', async () => {
    const first = anOpen().memory;
    expect(first.pairs()).toEqual([]);
    first.remember(aRemembered());
    first.remember(aRemembered({ uniqsign: 'u2', roles: { active: SECONDARY, passive: PRIMARY }, policy: NO_SAFETY }));
    await first.written();
    const { memory, log } = anOpen();
    expect(memory.pairs()).toEqual([
      aRemembered(),
      aRemembered({ uniqsign: 'u2', roles: { active: SECONDARY, passive: PRIMARY }, policy: NO_SAFETY }),
    ]);
    expect(log.lines).toEqual([]);
  });

  it('is followed and forgotten', async () => {
    const { memory } = anOpen();
    memory.remember(aRemembered());
    memory.remember(aRemembered({ uniqsign: 'u2' }));
    await memory.written();
    memory.remember(aRemembered({ roles: { active: SECONDARY, passive: PRIMARY } }));
    memory.forget('u2');
    memory.forget('u3');
    await memory.written();
    expect(anOpen().memory.pairs()).toEqual([aRemembered({ roles: { active: SECONDARY, passive: PRIMARY } })]);
  });

  it('is written only when something differs, in a file that nobody else reads', async () => {
    const { memory } = anOpen();
    memory.remember(aRemembered());
    await memory.written();
    const { mtimeMs, mode, ino } = await stat(path);
    expect(mode & 0o777).toBe(0o600);
    memory.remember(aRemembered());
    await memory.written();
    expect(await stat(path)).toMatchObject({ mtimeMs, ino });
    expect(await readdir(join(dir, 'lib'))).toEqual(['agent-state.json']);
  });

  it('is put in the place of the old file at once, never written into it', async () => {
    const { memory } = anOpen();
    memory.remember(aRemembered());
    await memory.written();
    const before = await stat(path);
    memory.remember(aRemembered({ uniqsign: 'u2' }));
    await memory.written();
    expect((await stat(path)).ino).not.toBe(before.ino);
  });

  it('holds nothing but what is named, so no secret gets there by chance', async () => {
    const { memory } = anOpen();
    memory.remember({ ...aRemembered(), ...{ password: 'geheim' } });
    await memory.written();
    expect(await readFile(path, 'utf8')).not.toContain('geheim');
  });

  it('that changes while it is written is written again', async () => {
    const { memory } = anOpen();
    for (let at = 0; at < 20; at++) {
      memory.remember(aRemembered({ uniqsign: `u${at}` }));
      if (at % 3 === 0) await Promise.resolve();
    }
    await memory.written();
    expect(anOpen().memory.pairs()).toHaveLength(20);
  });
});

describe('a file that makes no sense', () => {
  const whole = {
    uniqsign: 'u1',
    active: PRIMARY,
    passive: SECONDARY,
    policy: {
      drainTimeoutSec: null,
      fencing: 'lease',
      leaseMs: 3_000,
      leaseAgents: 2,
      onUnreachable: 'wait',
      fenceHook: null,
    },
  };
  const text = (pair: unknown) => JSON.stringify({ version: 1, pairs: [pair] });

  it('is one that this version writes otherwise', async () => {
    path = join(dir, 'state.json');
    await writeFile(path, text(whole));
    expect(anOpen().memory.pairs()).toHaveLength(1);
  });

  it.each([
    ['empty', ''],
    ['half', '{"version": 1, "pairs": [{"uniqsign"'],
    ['a list', '[]'],
    ['null', 'null'],
    ['of a later version', JSON.stringify({ version: 2, pairs: [] })],
    ['without pairs', JSON.stringify({ version: 1 })],
    ['with a pair that is none', text('u1')],
    ['without a uniqsign', text({ ...whole, uniqsign: '' })],
    ['with a host that is none', text({ ...whole, active: 'somewhere' })],
    ['with one host twice', text({ ...whole, passive: PRIMARY })],
    ['without a policy', text({ ...whole, policy: null })],
    ['with a lease of nothing', text({ ...whole, policy: { ...whole.policy, leaseMs: 0 } })],
    ['with a lease in words', text({ ...whole, policy: { ...whole.policy, leaseMs: 'long' } })],
    ['with a fencing that is none', text({ ...whole, policy: { ...whole.policy, fencing: 'hope' } })],
    ['with a hook that is no text', text({ ...whole, policy: { ...whole.policy, fenceHook: 7 } })],
  ])('%s: is told and ignored, and written anew', async (_what, content) => {
    path = join(dir, 'state.json');
    await writeFile(path, content);
    const { memory, log } = anOpen();
    expect(memory.pairs()).toEqual([]);
    expect(log.lines).toHaveLength(1);
    expect(log.lines[0]).toMatch(/^warn .*state\.json is ignored: /);
    memory.remember(aRemembered());
    await memory.written();
    expect(anOpen().memory.pairs()).toEqual([aRemembered()]);
  });

  it('that is a folder is told, and the agent goes on without', async () => {
    path = dir;
    const { memory, log } = anOpen();
    expect(log.lines[0]).toMatch(/^warn cannot read /);
    memory.remember(aRemembered());
    await memory.written();
    expect(memory.pairs()).toEqual([aRemembered()]);
  });
});

describe('a place that cannot be written', () => {
  it('is told once, and again when it can be', async () => {
    await writeFile(join(dir, 'lib'), 'a file where the folder should be');
    const { memory, log } = anOpen();
    for (let at = 0; at < 3; at++) {
      memory.remember(aRemembered());
      await memory.written();
    }
    expect(log.lines.filter((line) => line.startsWith('error cannot write'))).toHaveLength(1);
    expect(memory.pairs()).toEqual([aRemembered()]);
    await rm(join(dir, 'lib'));
    memory.remember(aRemembered());
    await memory.written();
    expect(log.lines.at(-1)).toMatch(/^info can write/);
    expect(anOpen().memory.pairs()).toEqual([aRemembered()]);
  });
});

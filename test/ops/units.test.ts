// The units are part of the contract: names, clean stop, readiness, hardening.

import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { NO_SAFETY } from '../../src/core/decision.ts';
import { MYSQL } from '../../src/core/settings.ts';

const folder = join(import.meta.dirname, '../../systemd');

const UNITS = [
  { file: 'mmm-monitor@.service', start: '/usr/bin/mmm monitor --tag %i', stop: 'SIGQUIT' },
  { file: 'mmm-identify@.service', start: '/usr/bin/mmm identify --tag %i', stop: 'SIGQUIT' },
  { file: 'mmm-agent.service', start: '/usr/bin/mmm agent', stop: 'SIGTERM' },
];

/** `[Section] key` to value, as systemd reads a unit. */
async function readUnit(file: string): Promise<Map<string, string>> {
  const settings = new Map<string, string>();
  let section = '';
  for (const line of (await readFile(join(folder, file), 'utf8')).split('\n')) {
    const name = /^\[(\w+)\]$/.exec(line)?.[1];
    const [, key, value] = /^(\w+)=(.*)$/.exec(line) ?? [];
    if (name !== undefined) section = name;
    else if (key !== undefined) settings.set(`[${section}] ${key}`, value ?? '');
    else expect(line, `${file} has a line that systemd does not understand`).toMatch(/^(#.*)?$/);
  }
  return settings;
}

/** `1`, or `200ms`. */
function seconds(text: string | undefined): number {
  const [, number, unit] = /^(\d+)(ms)?$/.exec(text ?? '') ?? [];
  return Number(number) / (unit === 'ms' ? 1000 : 1);
}

it('an agent that hangs is back before the shortest default lease is over', async () => {
  const unit = await readUnit('mmm-agent.service');
  const awaySec = seconds(unit.get('[Service] WatchdogSec')) + seconds(unit.get('[Service] RestartSec'));
  // Half a second to start, and to reach both servers.
  expect(awaySec + 0.5).toBeLessThan(NO_SAFETY.leaseMs / 1000);
  expect(unit.get('[Service] WatchdogSignal')).toBe('SIGKILL');
});

it('the agent has a folder for its state file, where the configuration expects it', async () => {
  const unit = await readUnit('mmm-agent.service');
  const stateFile = MYSQL.state_file.whenAbsent();
  const folder = 'value' in stateFile ? dirname(stateFile.value) : null;
  expect(folder).toBe(`/var/lib/${unit.get('[Service] StateDirectory')}`);
});

it('there is a unit for each daemon and no other', async () => {
  expect((await readdir(folder)).sort()).toEqual(UNITS.map(({ file }) => file).sort());
});

describe.each(UNITS)('$file', ({ file, start, stop }) => {
  it('starts its daemon by the name of its tag, as its own user, and again whenever it ends', async () => {
    const unit = await readUnit(file);
    expect(unit.get('[Service] ExecStart')).toBe(start);
    expect(unit.get('[Service] User')).toBe('mmm');
    expect(unit.get('[Service] Group')).toBe('mmm');
    expect(unit.get('[Service] Restart')).toBe('always');
    expect(seconds(unit.get('[Service] RestartSec'))).toBeLessThanOrEqual(1);
    expect(unit.get('[Service] StartLimitInterval')).toBe('0');
    expect(unit.get('[Install] WantedBy')).toBe('multi-user.target');
  });

  it('hears readiness and watchdog from systemd-notify', async () => {
    const unit = await readUnit(file);
    expect(unit.get('[Service] Type')).toBe('notify');
    expect(unit.get('[Service] NotifyAccess')).toBe('all');
    expect(Number(unit.get('[Service] WatchdogSec'))).toBeGreaterThan(0);
  });

  it('is stopped by its clean stop signal, with more patience than the daemon needs', async () => {
    const unit = await readUnit(file);
    expect(unit.get('[Service] KillSignal')).toBe(stop);
    expect(unit.get('[Service] KillMode')).toBe('mixed');
    expect(Number(unit.get('[Service] TimeoutStopSec'))).toBeGreaterThan(5);
  });

  it('has no more rights than it needs', async () => {
    const unit = await readUnit(file);
    for (const key of ['NoNewPrivileges', 'PrivateTmp', 'PrivateDevices', 'ProtectHome']) {
      expect(unit.get(`[Service] ${key}`), key).toBe('true');
    }
    expect(unit.get('[Service] CapabilityBoundingSet')).toBe('');
    // Not strict, which the systemd of CentOS 7 does not know and would ignore.
    expect(unit.get('[Service] ProtectSystem')).toBe('full');
  });

  it('is understood by systemd without a warning', async () => {
    const scratch = await mkdtemp(join(tmpdir(), 'mmm-units-'));
    try {
      // Here mmm is not installed; any program stands for it.
      const text = (await readFile(join(folder, file), 'utf8')).replace('/usr/bin/mmm', '/bin/true');
      await writeFile(join(scratch, file), text);
      const verify = promisify(execFile)('systemd-analyze', ['verify', '--man=no', join(scratch, file)]);
      const { stdout, stderr } = await verify;
      const about = `${stdout}${stderr}`.split('\n').filter((line) => line.includes('mmm-'));
      expect(about).toEqual([]);
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  });
});

import { describe, expect, test } from 'vitest';
import { commandLine } from '../../commands/index.ts';

const NAMES = [
  ['mmm-monitor', 'monitor'],
  ['mmm-identify', 'identify'],
  ['mmm-agent', 'agent'],
  ['mmm-status', 'status'],
  ['mmm-uniqsign', 'uniqsign'],
  ['mmm-sign-gen', 'uniqsign'],
] as const;

describe('the words after the program', () => {
  test('stay as they are under its own name', () => {
    const called = { argv: ['/usr/bin/node', '/usr/bin/mmm', 'monitor', '--all'], argv0: 'node' };
    expect(commandLine(called)).toEqual(['monitor', '--all']);
  });

  test.each(NAMES)('are led by the role when a script is called through a link named %s', (name, role) => {
    const called = { argv: ['/usr/bin/node', `/usr/sbin/${name}`, '--tag', 'a'], argv0: 'node' };
    expect(commandLine(called)).toEqual([role, '--tag', 'a']);
  });

  test.each(NAMES)('are led by the role when a compiled file is called through a link named %s', (name, role) => {
    for (const argv0 of [name, `./${name}`, `/usr/sbin/${name}`]) {
      expect(commandLine({ argv: ['bun', '/$bunfs/root/mmm', '--tag', 'a'], argv0 })).toEqual([role, '--tag', 'a']);
    }
  });

  test('do not change under a name that only resembles one of ours', () => {
    for (const name of ['mmm-monitors', 'my-mmm-monitor', 'mmm-monitor.bak', 'monitor']) {
      expect(commandLine({ argv: ['/usr/bin/node', `/opt/${name}`, 'status'], argv0: 'node' })).toEqual(['status']);
    }
  });
});

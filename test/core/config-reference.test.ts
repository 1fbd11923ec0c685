// The reference that `mmm config` prints and the sample files: neither may lack a key that the table has.

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { readAgentConfig, readManagerConfig } from '../../src/core/config.ts';
import { isSecret, LOG, MYSQL, PAIR, REDIS, settingsReference, type Table } from '../../src/core/settings.ts';
import { parseIni } from '../../src/ops/inifile.ts';

const SAMPLES = new URL('../../packaging/etc/mmm-manager/', import.meta.url);

function sample(name: string): string {
  return readFileSync(new URL(name, SAMPLES), 'utf8');
}

const TABLES: readonly (readonly [string, Table])[] = [
  ['TAG', PAIR],
  ['redis', REDIS],
  ['log', LOG],
  ['mysql', MYSQL],
];

describe('the table', () => {
  test.each(TABLES)('of [%s] has examples and defaults that it accepts itself', (_, table) => {
    for (const [key, setting] of Object.entries(table)) {
      const [entry] = parseIni('x', `[s]\n${key}=${setting.example}`).sections[0]?.entries ?? [];
      expect(setting.read(entry?.value ?? '')).toHaveProperty('value');
      if (setting.presence !== 'required') expect(setting.whenAbsent()).toHaveProperty('value');
      expect(setting.meaning).toMatch(/^[A-Z0-9a-z].*\.$/);
    }
  });

  test('knows its secrets, and no name of JavaScript is one', () => {
    expect(['password', 'email_password', 'user', 'topic', '__proto__', 'constructor'].filter(isSecret)).toEqual([
      'password',
      'email_password',
    ]);
  });
});

describe('the reference', () => {
  const reference = settingsReference();

  test.each(TABLES)('names every key of [%s] with presence, range, meaning and example', (name, table) => {
    const from = reference.indexOf(`  [${name}]`);
    const words = reference.slice(from).replace(/\s+/g, ' ');
    for (const [key, { presence, expects, meaning, example }] of Object.entries(table)) {
      expect(words).toContain(`${key} ${presence}; ${expects}`);
      expect(words).toContain(meaning);
      expect(words).toContain(`${key}=${example}`);
    }
  });

  test('fits a terminal of 120 columns, save where one range is long', () => {
    expect(reference.split('\n').filter((line) => line.length > 140)).toEqual([]);
  });
});

describe('the sample files', () => {
  test('mmm.conf lacks nothing but what nobody can know: the signature and the password', () => {
    const result = readManagerConfig(parseIni('mmm.conf', sample('mmm.conf')));
    expect(result.ok ? [] : result.problems.map((line) => line.replace(/:\d+/, ''))).toEqual([
      'mmm.conf [mysql3306] uniqsign: is empty; expected 32 hex digits as `mmm uniqsign` prints (up to 64 letters, digits, dots, dashes or _ are read)',
    ]);
    expect(result.warnings.map((line) => line.replace(/:\d+/, ''))).toEqual([
      'mmm.conf [mysql3306] password: is empty; a value that begins with # or ; after white space needs quotes',
    ]);
    const signed = sample('mmm.conf').replace('uniqsign=', 'uniqsign=747dda0fc5754935bd33f370d1bf23a6');
    expect(readManagerConfig(parseIni('mmm.conf', signed)).ok).toBe(true);
  });

  test('mmm-agent.conf lacks only the password', () => {
    const result = readAgentConfig(parseIni('mmm-agent.conf', sample('mmm-agent.conf')));
    expect(result).toMatchObject({ ok: true, config: { block: null, mail: null } });
    expect(result.warnings.map((line) => line.replace(/:\d+/, ''))).toEqual([
      'mmm-agent.conf [mysql] password: is empty; a value that begins with # or ; after white space needs quotes',
    ]);
  });

  test.each([
    ['mmm.conf', [PAIR, REDIS, LOG]],
    ['mmm-agent.conf', [MYSQL, REDIS, LOG]],
  ] as const)('%s shows every key, and what is commented out is right too', (name, tables) => {
    const lines = sample(name).split('\n');
    for (const table of tables) {
      for (const key of Object.keys(table)) {
        expect(lines.filter((line) => line.replace(/^#/, '').startsWith(`${key}=`))).not.toEqual([]);
      }
    }
    const everything = sample(name)
      .replace('uniqsign=', 'uniqsign=747dda0fc5754935bd33f370d1bf23a6')
      .replaceAll(/^#(?=[a-z_]+=)/gm, '');
    const parsed = parseIni(name, everything);
    const read = name === 'mmm.conf' ? readManagerConfig(parsed) : readAgentConfig(parsed);
    expect(read.ok ? [] : read.problems).toEqual([]);
  });
});

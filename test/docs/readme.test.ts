// The documents against the program: what they show must be what it takes, and what they point to must be there.

import { existsSync, readdirSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { Parser } from '@oclif/core';
import { describe, expect, it } from 'vitest';
import { COMMANDS } from '../../commands/index.ts';
import { readAgentConfig, readManagerConfig } from '../../src/core/config.ts';
import { PAIR, settingsReference } from '../../src/core/settings.ts';
import { parseIni } from '../../src/ops/inifile.ts';
import { haproxyConfiguration } from '../../src/sandbox/haproxy.ts';
import { anchorsOf, blocksOf, codeSpansOf, proseOf, readDocument, tableRowsOf } from './markdown.ts';

const root = join(import.meta.dirname, '../..');
const DOCUMENTS = [
  'README.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.md'))
    .map((file) => `docs/${file}`),
];
const readme = readDocument('README.md');

describe('the configuration that the README shows', () => {
  const shown = blocksOf(readme).filter(({ language }) => language === 'ini');

  it('is one of each file', () => {
    expect(shown.map(({ text }) => text.split('\n')[0])).toEqual(['# mmm.conf', '# mmm-agent.conf']);
  });

  it.each(shown)('is read without a problem and without a warning ($text)', ({ text }) => {
    const parsed = parseIni('README.md', text);
    const result = text.startsWith('# mmm.conf') ? readManagerConfig(parsed) : readAgentConfig(parsed);
    expect(result).toMatchObject({ ok: true, warnings: [] });
  });
});

/** Lines and code spans that begin with `mmm`, or with one of its old names, and name a command or a flag. */
function commandLinesOf(markdown: string): readonly string[] {
  const lines = blocksOf(markdown)
    .filter(({ language }) => language === '' || language === 'sh')
    .flatMap(({ text }) => text.split('\n'));
  return [...lines, ...codeSpansOf(proseOf(markdown))]
    .map((line) => line.trim().replace(/\s+#.*$/, ''))
    .filter((line) => /^mmm [a-z-]+( |$)/.test(line));
}

describe.each(DOCUMENTS)('%s', (document) => {
  const markdown = readDocument(document);

  it('names only commands and flags that there are', async () => {
    for (const line of commandLinesOf(markdown)) {
      const [id = '', ...argv] = line.split(' ').slice(1);
      const load = COMMANDS[id];
      if (load === undefined) throw new Error(`${document}: there is no command ${id} (${line})`);
      const { flags = {} } = await load();
      // A sentence names a command without the flags that it always needs.
      const named = Object.entries(flags).map(([name, flag]) => [
        name,
        { ...flag, required: argv.length > 0 && flag.required },
      ]);
      const parsed = Parser.parse(argv, { flags: Object.fromEntries(named), strict: true });
      await expect(parsed, line).resolves.toBeDefined();
    }
  });

  it('links to files and headings that there are', () => {
    for (const [, target = ''] of proseOf(markdown).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [path = '', anchor] = target.split('#');
      const file = path === '' ? document : normalize(join(dirname(document), path));
      expect(existsSync(join(root, file)), `${document} links to ${target}`).toBe(true);
      if (anchor !== undefined) {
        expect([...anchorsOf(readDocument(file))], `${document} links to ${target}`).toContain(anchor);
      }
    }
  });
});

describe('the README', () => {
  it('shows every command with every flag of its own', async () => {
    const rows = tableRowsOf(readme);
    const shared = rows.find((row) => row[0] === '' && row[2]?.includes('--once'))?.[2] ?? '';
    for (const [id, load] of Object.entries(COMMANDS)) {
      const [, , flags = ''] = rows.find(([first]) => first === `\`mmm ${id}\``) ?? [];
      const shown = flags.includes('below') ? `${flags} ${shared}` : flags;
      const names = new Set([...shown.matchAll(/--[a-z-]+/g)].map(([name]) => name));
      const own = Object.keys((await load()).flags ?? {}).map((name) => `--${name}`);
      expect([...names].sort(), id).toEqual(own.sort());
    }
  });

  it('explains in my.cnf what the sandbox really sets', () => {
    const source = ['mysqld.ts', 'pair.ts'].map((file) => readDocument(`src/sandbox/${file}`)).join('');
    const from = readme.indexOf('## my.cnf');
    const section = readme.slice(from, readme.indexOf('\n## ', from + 1));
    const settings = tableRowsOf(section)
      .slice(1)
      .flatMap(([cell = '']) => codeSpansOf(cell));
    expect(settings.length).toBeGreaterThan(15);
    for (const setting of settings) {
      // A bare number is the other host's value of the setting before it.
      if (!/^\d+$/.test(setting)) expect(source, setting).toContain(setting.replace(/(offset)=.*/, '$1'));
    }
  });

  it('names settings that `mmm config` explains', () => {
    const reference = settingsReference();
    const inProse = codeSpansOf(proseOf(readme)).filter(
      (span) => Object.hasOwn(PAIR, span) || span.startsWith('block_'),
    );
    expect(inProse).toContain('excludeuser');
    for (const key of inProse) expect(reference).toContain(`    ${key} `);
  });

  it('shows the HAProxy that the sandbox proves, with a socket for the operator', () => {
    const [shown] = blocksOf(readme).filter(({ language }) => language === 'haproxy');
    const proven = haproxyConfiguration({ port: 3306, primary: '10.0.21.5:3308', secondary: '10.0.21.7:3308' });
    expect(shown?.text.replace(/^ {2}stats socket .*\n/m, '')).toBe(proven);
  });
});

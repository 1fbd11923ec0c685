// The rules of who may import what, and of what core/ may use, are only as good as the linter's configuration: a pattern
// that matches nothing looks like a clean house. Here each rule is broken on purpose, in a copy of the layout.

import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const IMPORTS = 'lint/style/noRestrictedImports';
const GLOBALS = 'lint/style/noRestrictedGlobals';

interface Case {
  readonly file: string;
  readonly line: string;
  /** The rule that has to speak; null: none may. */
  readonly rule: string | null;
}

const from = (file: string, module: string, rule: string | null = IMPORTS): Case => ({
  file,
  line: `import '${module}';`,
  rule,
});

const CASES: readonly Case[] = [
  from('src/core/x.ts', './pair.ts', null),
  from('src/core/x.ts', '../ops/clock.ts'),
  from('src/core/x.ts', '../monitor.ts'),
  from('src/core/x.ts', '../../commands/base.ts'),
  from('src/core/x.ts', 'node:fs'),
  from('src/core/x.ts', 'ioredis'),
  from('src/core/x.ts', '@oclif/core/flags'),
  { file: 'src/core/x.ts', line: 'export const a = Date.now();', rule: GLOBALS },
  { file: 'src/core/x.ts', line: 'export const b = new Date();', rule: GLOBALS },
  { file: 'src/core/x.ts', line: 'export const c = performance.now();', rule: GLOBALS },
  { file: 'src/core/x.ts', line: 'export const d = crypto.randomUUID();', rule: GLOBALS },
  { file: 'src/core/x.ts', line: 'export const e = Math.random();', rule: 'plugin' },
  ...['mysql', 'store', 'ops'].flatMap((folder) => [
    from(`src/${folder}/x.ts`, '../core/pair.ts', null),
    from(`src/${folder}/x.ts`, './y.ts', null),
    from(`src/${folder}/x.ts`, 'node:fs', null),
    ...['mysql/server.ts', 'store/store.ts', 'ops/clock.ts', 'sandbox/pair.ts', 'monitor.ts']
      .filter((other) => !other.startsWith(folder))
      .map((other) => from(`src/${folder}/x.ts`, `../${other}`)),
    from(`src/${folder}/x.ts`, '../../commands/base.ts'),
  ]),
  from('src/sandbox/x.ts', '../store/redis.ts', null),
  from('src/sandbox/x.ts', '../monitor.ts'),
  from('src/sandbox/x.ts', '../../commands/base.ts'),
  ...['monitor', 'identify', 'agent', 'status', 'another-round'].flatMap((round) => [
    from(`src/${round}.ts`, './core/decide.ts', null),
    from(`src/${round}.ts`, './store/store.ts', null),
    from(`src/${round}.ts`, './store/redis.ts'),
    from(`src/${round}.ts`, './mysql/dialect.ts'),
    from(`src/${round}.ts`, './sandbox/pair.ts'),
    from(`src/${round}.ts`, 'mysql2/promise'),
    from(`src/${round}.ts`, 'ioredis'),
    from(`src/${round}.ts`, 'node:fs'),
    from(`src/${round}.ts`, '../commands/base.ts'),
  ]),
  from('src/main.ts', '../commands/index.ts', null),
  from('commands/x.ts', '../src/store/redis.ts', null),
  from('commands/x.ts', '../src/main.ts'),
  from('commands/x.ts', 'mysql2/promise'),
  from('commands/x.ts', 'ioredis'),
  {
    file: 'src/ops/y.ts',
    line: "import { z } from './z.ts'; export const y = z;",
    rule: 'lint/suspicious/noImportCycles',
  },
  {
    file: 'src/ops/z.ts',
    line: "import { y } from './y.ts'; export const z = y;",
    rule: 'lint/suspicious/noImportCycles',
  },
  { file: 'src/ops/w.ts', line: 'export async function ask(): Promise<void> {}', rule: null },
  { file: 'src/ops/w.ts', line: 'export function forget() { ask(); }', rule: 'lint/nursery/noFloatingPromises' },
  { file: 'src/ops/w.ts', line: 'export const anything: any = 1;', rule: 'lint/suspicious/noExplicitAny' },
  { file: 'src/ops/w.ts', line: 'export const surely = process.argv[0]!;', rule: 'lint/style/noNonNullAssertion' },
  { file: 'src/ops/w.ts', line: "console.log('');", rule: 'lint/suspicious/noConsole' },
];

interface Diagnostic {
  readonly category: string;
  readonly location: { readonly path: string; readonly start: { readonly line: number } };
}

let folder = '';
/** `FILE:LINE` -> the rules that spoke there. */
const spoken = new Map<string, string[]>();

function lineOf(wanted: Case): number {
  return CASES.filter(({ file }) => file === wanted.file).indexOf(wanted) + 1;
}

function lint(): string {
  const biome = join(root, 'node_modules', '@biomejs', 'biome', 'bin', 'biome');
  const words = [biome, 'lint', '--reporter=json', '--max-diagnostics=none', '.'];
  try {
    return execFileSync(process.execPath, words, { cwd: folder, encoding: 'utf8', timeout: 30_000, stdio: 'pipe' });
  } catch (error) {
    // It exits with 1 because there are findings, which is what this is about; without output it did not run at all.
    if (error instanceof Error && 'stdout' in error && error.stdout !== '') return String(error.stdout);
    throw error;
  }
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mmm-rules-'));
  for (const file of ['biome.json', '.gitignore', 'test/support/no-math-random.grit']) {
    cpSync(join(root, file), join(folder, file));
  }
  for (const file of new Set(CASES.map((one) => one.file))) {
    mkdirSync(join(folder, dirname(file)), { recursive: true });
    const lines = CASES.filter((one) => one.file === file).map(({ line }) => line);
    writeFileSync(join(folder, file), `${lines.join('\n')}\n`);
  }
  // The reporter's shape is Biome's own; whatever changes there fails the cases below.
  const { diagnostics } = JSON.parse(lint()) as { readonly diagnostics: readonly Diagnostic[] };
  for (const { category, location } of diagnostics) {
    const place = `${location.path}:${location.start.line}`;
    spoken.set(place, [...(spoken.get(place) ?? []), category]);
  }
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('the linter', () => {
  test.each(CASES.filter(({ rule }) => rule !== null))('refuses in $file: $line', (one) => {
    expect(spoken.get(`${one.file}:${lineOf(one)}`) ?? []).toContain(one.rule);
  });

  test.each(CASES.filter(({ rule }) => rule === null))('accepts in $file: $line', (one) => {
    const restrictions = (spoken.get(`${one.file}:${lineOf(one)}`) ?? []).filter((rule) => rule === IMPORTS);
    expect(restrictions).toEqual([]);
  });
});

describe('the compiler', () => {
  const IMPURE = ['setTimeout(() => {}, 1)', 'process.exit()', "console.log('')", "import('node:fs')"];

  test('knows neither timers, nor the process, nor Node in src/core', () => {
    const pure = mkdtempSync(join(tmpdir(), 'mmm-core-'));
    const compile = (text: string) => {
      writeFileSync(join(pure, 'src/core/x.ts'), text);
      const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
      const options = { cwd: pure, encoding: 'utf8', timeout: 30_000 } as const;
      return spawnSync(process.execPath, [tsc, '-p', 'src/core/tsconfig.json', '--pretty', 'false'], options).stdout;
    };
    try {
      mkdirSync(join(pure, 'src/core'), { recursive: true });
      for (const file of ['package.json', 'tsconfig.json', 'src/core/tsconfig.json'])
        cpSync(join(root, file), join(pure, file));
      expect(compile('export const pure = [1].map(String);\n')).toBe('');
      const complaints = compile(IMPURE.map((statement, at) => `export const x${at} = ${statement};\n`).join(''));
      for (const at of IMPURE.keys()) expect(complaints).toContain(`x.ts(${at + 1},`);
    } finally {
      rmSync(pure, { recursive: true, force: true });
    }
  });
});

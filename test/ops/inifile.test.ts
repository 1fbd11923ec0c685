// What a line of a configuration file means, over the lines that other readers get wrong.

import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { parseIni, readIniFile, uninvitedReaders } from '../../src/ops/inifile.ts';

/** The one value of a section with this one line; the problem's text when there is one. */
function readValue(line: string): string {
  const { sections, problems } = parseIni('t.conf', `[s]\n${line}\n`);
  return problems[0]?.text ?? sections[0]?.entries[0]?.value ?? 'no value';
}

function namesOf(text: string): string[] {
  return parseIni('t.conf', text).sections.map(({ name }) => name);
}

function problemsOf(text: string): string[] {
  return parseIni('t.conf', text).problems.map(
    ({ line, section, key, text: wrong }) => `${line} [${section ?? ''}] ${key ?? ''}: ${wrong}`,
  );
}

describe('a line gives this value', () => {
  test.each([
    // Comments
    ['interval=3   # seconds', '3'],
    ['interval=3\t; seconds', '3'],
    ['interval=3#seconds', '3#seconds'],
    ['interval=3;seconds', '3;seconds'],
    ['k=a # b # c', 'a'],
    ["k=a # don't", 'a'],
    ['k=a # it is "quoted"', 'a'],
    ['k=#abc', '#abc'],
    ['k=;abc', ';abc'],
    ['k= #abc', ''],
    ['k=', ''],
    ['k= ; nothing', ''],
    // Quotes
    ["k='xxxxx'", 'xxxxx'],
    ['k="xxxxx"', 'xxxxx'],
    ["k='xxxxx' # this option is optional", 'xxxxx'],
    ["k = 'x y' ; comment", 'x y'],
    ["k=''", ''],
    ['k="" # empty', ''],
    ["k='  two  '", '  two  '],
    ["k='a # b'", 'a # b'],
    ['k="a ; b"', 'a ; b'],
    ["k='a' # it's", 'a'],
    ["k='it's'", "it's"],
    ['k=\'say "x"\'', 'say "x"'],
    ['k="it\'s # 1"', "it's # 1"],
    ["k=it's", "it's"],
    ['k=5"disk', '5"disk'],
    ["k='a'b'", "a'b"],
    ["k='''", "'"],
    ['k="\'x\'"', "'x'"],
    ["k='x'   ", 'x'],
    // What looks like another type stays text
    ["k='123'", '123'],
    ["k='1e5'", '1e5'],
    ["k='007'", '007'],
    ["k='true'", 'true'],
    ['k=true', 'true'],
    ['k=false', 'false'],
    ['k=null', 'null'],
    ["k='null'", 'null'],
    ["k='[1]'", '[1]'],
    // Signs in passwords
    ['k=a=b', 'a=b'],
    ['k=a==', 'a=='],
    ['k=%20%', '%20%'],
    ['k=a%b$c&d!', 'a%b$c&d!'],
    ['k=p#;=%x', 'p#;=%x'],
    ["k='p #;=%\" x'", 'p #;=%" x'],
    ['k=ümläut€', 'ümläut€'],
    ['k=two words', 'two words'],
    ["k='# all of it'", '# all of it'],
    ['k=[x]', '[x]'],
    // Backslashes
    ['k=^10\\.12\\.17\\.%$', '^10\\.12\\.17\\.%$'],
    ['k=a\\\\b', 'a\\\\b'],
    ['k=a\\;b', 'a\\;b'],
    ['k=a\\#b', 'a\\#b'],
    ['k=a \\# b', 'a \\# b'],
    ['k="a\\tb"', 'a\\tb'],
    ['k="\\u0041"', '\\u0041'],
    ["k='a\\'", 'a\\'],
    ['k=C:\\', 'C:\\'],
    // Space around
    ['  k  =  v  ', 'v'],
    ['\tk\t=\tv\t', 'v'],
  ])('%s', (line, value) => {
    expect(readValue(line)).toBe(value);
  });
});

describe('a key is', () => {
  test.each([
    ['block_user = x', 'block_user'],
    ['k[]=x', 'k[]'],
    ['"k"=x', '"k"'],
    ['__proto__=x', '__proto__'],
    ['constructor=x', 'constructor'],
    ['a.b=x', 'a.b'],
  ])('in %s: %s', (line, key) => {
    expect(parseIni('t.conf', `[s]\n${line}`).sections[0]?.entries[0]).toEqual({ key, value: 'x', line: 2 });
  });
});

describe('a section', () => {
  test('keeps its name as it stands, dots, dashes, spaces and names of JavaScript included', () => {
    expect(
      namesOf('[mysql3308] # tag\n[a.b]\n[a]\n[a.b.c]\n[db-1]\n[ my db ]\n[__proto__]\n[constructor];x\n[x;y]'),
    ).toEqual(['mysql3308', 'a.b', 'a', 'a.b.c', 'db-1', 'my db', '__proto__', 'x;y']);
  });

  test('has its own keys, with their line numbers, whatever ends the lines', () => {
    const text = '\uFEFF# first\r\n[a.b]\r\nk=1\r\n\r\n; note\r\n[__proto__]\r\nk=2 # two\r\n';
    const expected = [
      { name: 'a.b', line: 2, entries: [{ key: 'k', value: '1', line: 3 }] },
      { name: '__proto__', line: 6, entries: [{ key: 'k', value: '2', line: 7 }] },
    ];
    expect(parseIni('t.conf', text)).toEqual({ file: 't.conf', sections: expected, problems: [], warnings: [] });
    expect(parseIni('t.conf', text.replaceAll('\r\n', '\n')).sections).toEqual(expected);
    expect(parseIni('t.conf', text.replaceAll('\r\n', '\r')).sections).toEqual(expected);
  });
});

describe('what cannot be understood is a problem with its line', () => {
  test('all of them are found at once', () => {
    const text = [
      'early=1',
      '[a]',
      'k=1',
      'hunter2',
      '=x',
      'k=2',
      "password='hunter2",
      '[a] tail',
      '[]',
      '[b',
      '[a]',
      'k="x"y',
      "k2='",
    ].join('\n');
    expect(problemsOf(text)).toMatchInlineSnapshot(`
      [
        "1 [] early: stands before the first section; expected a line [name] above it",
        "4 [a] : is neither [name] nor key=value; expected one of them, or a comment",
        "5 [a] : is neither [name] nor key=value; expected one of them, or a comment",
        "6 [a] k: stands in line 3 already; expected it once",
        "7 [a] password: the value begins with ' that nothing closes; expected ' at its end (only white space and a comment may follow), or " around the whole value",
        "8 [] : expected [name], and after it at most white space and a comment",
        "9 [] : expected [name], and after it at most white space and a comment",
        "10 [] : expected [name], and after it at most white space and a comment",
        "11 [a] : the section stands in line 2 already; expected it once",
        "12 [a] k: the value begins with " that nothing closes; expected " at its end (only white space and a comment may follow), or ' around the whole value",
        "13 [a] k2: the value begins with ' that nothing closes; expected ' at its end (only white space and a comment may follow), or " around the whole value",
      ]
    `);
  });

  test('the keys below a broken section header are not laid to the section above', () => {
    expect(parseIni('t.conf', '[a]\nk=1\n[b # c]\nk=2\nj=3\n[c]\nk=4')).toMatchObject({
      sections: [
        { name: 'a', entries: [{ key: 'k', value: '1', line: 2 }] },
        { name: 'c', entries: [{ key: 'k', value: '4', line: 7 }] },
      ],
      problems: [{ line: 3 }],
    });
  });

  test('and none of them shows what may be a piece of a password', () => {
    const secrets = [
      "password='hunter2",
      'hunter2',
      'hunter2 se=cret',
      'pa hunter2=x',
      "password='x'hunter2",
      '[hunter2',
    ];
    for (const line of secrets) {
      const said = problemsOf(`[a]\n${line}\n${line}`).join('\n');
      expect(said).not.toContain('hunter2');
    }
    expect(problemsOf('[a]\npassword=1\npassword=hunter2')).toEqual([
      '3 [a] password: stands in line 2 already; expected it once',
    ]);
  });
});

describe('for every password', () => {
  const password = fc.string({
    unit: fc.oneof(fc.constantFrom(...'\'"#;=%\\ []\t'), fc.string({ minLength: 1, maxLength: 1 })),
  });

  test('the right quotes bring it back exactly', () => {
    fc.assert(
      fc.property(
        password,
        fc.constantFrom("'", '"'),
        fc.constantFrom('', ' # note', "\t; it's", '   '),
        (secret, quote, tail) => {
          // Wrong are only the quotes that would seem to be closed before a comment.
          fc.pre(!/[\r\n]/.test(secret) && !new RegExp(`${quote}\\s+[#;]`).test(secret));
          expect(readValue(`password=${quote}${secret}${quote}${tail}`)).toBe(secret);
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('no quotes are needed unless it begins with one, has space around it or a comment sign after space', () => {
    fc.assert(
      fc.property(password, (secret) => {
        fc.pre(!/[\r\n]/.test(secret) && secret === secret.trim() && !/^['"]|\s[#;]/.test(secret));
        expect(readValue(`password=${secret}`)).toBe(secret);
      }),
      { numRuns: 2000 },
    );
  });
});

test('any text whatever is taken apart without an exception, and every line number is one of the text', () => {
  const piece = fc.oneof(fc.constantFrom('[', ']', '=', '\n', "'", '"', '#', ' ', '\\', 'k', '__proto__'), fc.string());
  fc.assert(
    fc.property(fc.array(piece), (pieces) => {
      const text = pieces.join('');
      const parsed = parseIni('t.conf', text);
      const found = [
        ...parsed.problems.map(({ line }) => line ?? 0),
        ...parsed.sections.flatMap(({ line, entries }) => [line, ...entries.map((entry) => entry.line)]),
      ];
      const count = text.split(/\r\n|\r|\n/).length;
      expect(found.filter((line) => line < 1 || line > count)).toEqual([]);
    }),
  );
});

describe('a file', () => {
  const folders: string[] = [];
  afterEach(() => {
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
  });

  function aFile(content: string | Uint8Array, mode = 0o600): string {
    const folder = mkdtempSync(join(tmpdir(), 'mmm-inifile-'));
    folders.push(folder);
    const file = join(folder, 'mmm.conf');
    writeFileSync(file, content);
    chmodSync(file, mode);
    return file;
  }

  test('with a password that everybody can read is warned about', () => {
    const file = aFile("[redis]\npassword='x'\n", 0o644);
    expect(readIniFile(file).warnings.map(({ text }) => text)).toEqual([
      'everybody can read this file, and it holds a password; chmod 640 (or 600) keeps it from them',
    ]);
  });

  test('that only its owner can read, or that holds no password, is not', () => {
    expect(readIniFile(aFile("[redis]\npassword='x'\n", 0o600)).warnings).toEqual([]);
    expect(readIniFile(aFile('[redis]\npassword=\ntopic=t\n', 0o644)).warnings).toEqual([]);
    expect(readIniFile(aFile('[redis]\ntopic=t\n', 0o644)).warnings).toEqual([]);
  });

  test('may be read by its group when that is how this process reads it, not when this process owns it', () => {
    expect(uninvitedReaders(0o640, 0, 990)).toBe(null);
    expect(uninvitedReaders(0o640, 0, 0)).toBe(null);
    expect(uninvitedReaders(0o640, 990, 990)).toBe('the group');
    expect(uninvitedReaders(0o644, 0, 990)).toBe('everybody');
    expect(uninvitedReaders(0o604, 990, 990)).toBe('everybody');
    expect(uninvitedReaders(0o600, 990, 990)).toBe(null);
  });

  test('that is missing, a folder, or not text is one problem', () => {
    const folder = join(aFile(''), '..');
    mkdirSync(join(folder, 'd'));
    const said = (file: string): unknown => readIniFile(file).problems;
    expect(said(join(folder, 'none.conf'))).toEqual([
      {
        line: null,
        section: null,
        key: null,
        text: 'there is no such file; expected the configuration here, or --conf with its path',
      },
    ]);
    expect(said(join(folder, 'd'))).toMatchObject([{ text: 'is a directory; expected a file' }]);
    expect(said(aFile(Uint8Array.of(0xff, 0xfe, 0x5b, 0x00)))).toMatchObject([
      { text: 'is not UTF-8 text; expected that, or plain ASCII' },
    ]);
    expect(said(aFile('#'.repeat(1024 * 1024 + 1)))).toMatchObject([
      { text: expect.stringMatching(/^has 1048577 bytes/) },
    ]);
  });

  test('is read like its text', () => {
    const file = aFile('\uFEFF[a]\r\nk=v\r\n');
    expect(readIniFile(file)).toEqual(parseIni(file, '[a]\nk=v\n'));
  });
});

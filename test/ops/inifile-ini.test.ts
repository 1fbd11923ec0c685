// Keeps docs/decisions/0001-ini.md true: where the package `ini` reads as we must, and where it does not.
// When a new version turns a row of the second table red, that decision is due for another look.

import fc from 'fast-check';
import { parse } from 'ini';
import { describe, expect, test } from 'vitest';
import { parseIni } from '../../src/ops/inifile.ts';

function ours(text: string): unknown {
  return parseIni('t.conf', text).sections.map(({ name, entries }) => [
    name,
    ...entries.map(({ key, value }) => [key, value]),
  ]);
}

test('a plain line it splits as we must, so that it may', () => {
  const plain = fc.stringMatching(/^[A-Za-z][A-Za-z0-9_.-]{0,12}[ \t]{0,2}=[^'"\\#;\r\n]{0,20}$/);
  fc.assert(
    fc.property(plain, (line) => {
      const [key, ...value] = line.split('=');
      expect(ours(`[s]\n${line}`)).toEqual([['s', [key?.trim(), value.join('=').trim()]]]);
    }),
    { numRuns: 500 },
  );
});

describe('the package reads otherwise than the contract', () => {
  test.each([
    ['a comment after a section becomes a key', '[a] # tag\nk=v', { '[a]': true, k: 'v' }, [['a', ['k', 'v']]]],
    ['a dot makes a section inside a section', '[a.b]\nk=v', { a: { b: { k: 'v' } } }, [['a.b', ['k', 'v']]]],
    ['__proto__ vanishes', '[__proto__]\nk=v', {}, [['__proto__', ['k', 'v']]]],
    ['a BOM makes the first section a key', '\uFEFF[a]\nk=v', { '[a]': true, k: 'v' }, [['a', ['k', 'v']]]],
    ['the second of two equal keys wins in silence', '[a]\nk=1\nk=2', { a: { k: '2' } }, [['a', ['k', '1']]]],
    [
      'equal sections flow together',
      '[a]\nk=1\n[a]\nj=2',
      { a: { k: '1', j: '2' } },
      [
        ['a', ['k', '1']],
        ['a', ['j', '2']],
      ],
    ],
    ['# needs no space before it', '[a]\nk=x#y', { a: { k: 'x' } }, [['a', ['k', 'x#y']]]],
    ['; needs no space before it', '[a]\nk=x;y', { a: { k: 'x' } }, [['a', ['k', 'x;y']]]],
    ['two backslashes become one', '[a]\nk=x\\\\y', { a: { k: 'x\\y' } }, [['a', ['k', 'x\\\\y']]]],
    ['a backslash before ; goes', '[a]\nk=x\\;y', { a: { k: 'x;y' } }, [['a', ['k', 'x\\;y']]]],
    ['a comment keeps the quotes on', "[a]\nk='x' # y", { a: { k: "'x'" } }, [['a', ['k', 'x']]]],
    ['quotes in the comment spoil it', "[a]\nk='x' ; 'y'", { a: { k: "x' ; 'y" } }, [['a', ['k', 'x']]]],
    ['a quoted number loses its text', "[a]\nk='1e5'", { a: { k: 100_000 } }, [['a', ['k', '1e5']]]],
    ['a quoted word becomes a value', "[a]\nk='null'", { a: { k: null } }, [['a', ['k', 'null']]]],
    ['two kinds of quotes both go', '[a]\nk=\'"x"\'', { a: { k: 'x' } }, [['a', ['k', '"x"']]]],
    ['double quotes hold JSON', '[a]\nk="a\\tb"', { a: { k: 'a\tb' } }, [['a', ['k', 'a\\tb']]]],
    ['double quotes stay on when it is not JSON', '[a]\nk="a"b"', { a: { k: '"a"b"' } }, [['a', ['k', 'a"b']]]],
    ['a lone quote is nothing', "[a]\nk='", { a: { k: '' } }, [['a', ['k', "'"]]]],
    ['brackets make a list', '[a]\nk[]=x', { a: { k: ['x'] } }, [['a', ['k[]', 'x']]]],
    ['a line that is nothing is true', '[a]\nk', { a: { k: true } }, [['a']]],
  ])('%s', (_, text, theirs, expected) => {
    // Through JSON: the package's objects have no prototype, which makes no difference here.
    expect(JSON.parse(JSON.stringify(parse(text)))).toEqual(theirs);
    expect(ours(text)).toEqual(expected);
  });
});

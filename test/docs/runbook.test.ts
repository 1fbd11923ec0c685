// Whoever is woken searches the runbook for the line that mmm shows: so mmm must still show what stands there.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { dialectFor } from '../../src/mysql/dialect.ts';
import { codeSpansOf, readDocument, tableRowsOf } from './markdown.ts';

const root = join(import.meta.dirname, '../..');

/** All that mmm can say, as it stands in the source, and the few words that are put together at run time. */
const sayable = [
  ...['src', 'commands'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts') && !file.startsWith('sandbox'))
      .map((file) => readDocument(join(folder, file))),
  ),
  dialectFor('10.11.6-MariaDB').stopIo,
  'could not open',
  'could not close',
  'could not block',
  'could not release',
].join('\n');

/** `…` stands for what differs; numbers, brackets and punctuation mark places where the source puts a line together. */
function piecesOf(span: string): readonly string[] {
  return span
    .split(/…|[;:,] |[()[\]]|\d+/)
    .map((piece) => piece.trim().replace(/[:;,]$/, ''))
    .filter((piece) => piece.length > 3);
}

const spans = tableRowsOf(readDocument('docs/runbook.md'))
  .flatMap(([first = '']) => codeSpansOf(first))
  .filter((span) => piecesOf(span).length > 0);

it('the runbook has something to search for', () => {
  expect(spans.length).toBeGreaterThan(40);
});

it.each(spans)('mmm still says: %s', (span) => {
  for (const piece of piecesOf(span))
    expect(sayable.includes(piece), `nothing in the source says "${piece}"`).toBe(true);
});

it('every reason to hold that the agents can give is in the runbook', () => {
  const runbook = readDocument('docs/runbook.md');
  const source = readDocument('src/core/reconcile.ts');
  const reasons = [...source.matchAll(/(?:hold\(|stuck\(|return)\s*`([^`]*)`/g)].map(([, reason = '']) => reason);
  expect(reasons.length).toBeGreaterThan(8);
  for (const reason of reasons) {
    const pieces = reason.split(/\$\{[^}]*\}/).map((piece) => piece.replaceAll(/^[\s(;,)]+|[\s(;,)]+$/g, ''));
    const longest = pieces.reduce((one, other) => (other.length > one.length ? other : one));
    if (longest.length > 5) expect(runbook, reason).toContain(longest);
  }
});

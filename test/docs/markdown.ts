// Takes the project's Markdown files apart for the tests that hold them against the program.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');

export interface Block {
  /** The word behind the fence; '' for an indented block and for a fence without one. */
  readonly language: string;
  readonly text: string;
}

export function readDocument(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

/** Code blocks, fenced or indented by four spaces. */
export function blocksOf(markdown: string): readonly Block[] {
  const blocks: Block[] = [];
  let fence: { language: string; lines: string[] } | null = null;
  let indented: string[] = [];
  for (const line of [...markdown.split('\n'), '']) {
    const opened = /^```(\w*)$/.exec(line);
    if (fence !== null) {
      if (opened === null) fence.lines.push(line);
      else {
        blocks.push({ language: fence.language, text: `${fence.lines.join('\n')}\n` });
        fence = null;
      }
    } else if (opened !== null) {
      fence = { language: opened[1] ?? '', lines: [] };
    } else if (line.startsWith('    ')) {
      indented.push(line.slice(4));
    } else if (indented.length > 0) {
      blocks.push({ language: '', text: `${indented.join('\n')}\n` });
      indented = [];
    }
  }
  return blocks;
}

/** Without its fenced blocks, which are no prose. */
export function proseOf(markdown: string): string {
  return markdown.replaceAll(/^```[\s\S]*?^```$/gm, '');
}

/** What stands between backticks in running text. */
export function codeSpansOf(text: string): readonly string[] {
  return [...text.matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code);
}

/** The rows of all tables, cell by cell, without the line under the head. */
export function tableRowsOf(markdown: string): readonly (readonly string[])[] {
  return proseOf(markdown)
    .split('\n')
    .filter((line) => line.startsWith('|') && !/^\|[ |:-]+\|$/.test(line))
    .map((line) =>
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

/** What a heading is called in a link, as GitHub makes it. */
export function anchorsOf(markdown: string): ReadonlySet<string> {
  const headings = proseOf(markdown).matchAll(/^#+ (.+)$/gm);
  return new Set(
    [...headings].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

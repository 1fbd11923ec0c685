// Takes a configuration file apart into sections with line numbers. Comes from commands/base.ts; goes on to core/config.ts.
//
// The rules: a comment begins with # or ; at the start of a line or after white space outside quotes; quotes stand around a whole
// value; a backslash is only a backslash; a section's name is taken as it stands. The package `ini` reads `key=value` as we do as
// long as none of its own signs (quotes, backslash, # and ;) is in sight, so it gets each such line, freed of its comment.
// Everything else it would change, silently: docs/decisions/0001-ini.md lists how, and test/ops/inifile-ini.test.ts keeps that list true.

import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { parse } from 'ini';
import { type Finding, type IniEntry, type ParsedIni, showableKey } from '../core/config.ts';
import { isSecret } from '../core/settings.ts';

/** Reads and takes apart one file. A file that cannot be read is a problem among the others, not an exception. */
export function readIniFile(file: string): ParsedIni {
  const read = readText(file);
  if ('wrong' in read) return { file, sections: [], problems: [finding(null, read.wrong)], warnings: [] };
  const parsed = parseIni(file, read.text);
  const holdsSecret = parsed.sections.some(({ entries }) =>
    entries.some(({ key, value }) => isSecret(key) && value !== ''),
  );
  const readers = holdsSecret ? uninvitedReaders(read.mode, read.ownerUid, process.getuid?.()) : null;
  if (readers === null) return parsed;
  const warning = finding(
    null,
    `${readers} can read this file, and it holds a password; chmod 640 (or 600) keeps it from them`,
  );
  return { ...parsed, warnings: [...parsed.warnings, warning] };
}

type OpenSection<Name = string | null> = { name: Name; line: number; entries: IniEntry[] };

/** Takes a text apart. `file` is only its name for the messages. */
export function parseIni(file: string, text: string): ParsedIni {
  const sections: OpenSection<string>[] = [];
  const problems: Finding[] = [];
  let section: OpenSection | undefined;
  const lines = text.split(/\r\n|\r|\n/);
  for (const [index, raw] of lines.entries()) {
    const line = index + 1;
    // A BOM counts as white space here, and goes.
    const statement = withoutComment(raw.trim());
    if (statement === '') continue;
    if (statement.startsWith('[')) {
      const name = /^\[([^\]]*)\]$/.exec(statement)?.[1]?.trim();
      if (name === undefined || name === '') {
        problems.push(finding(line, 'expected [name], and after it at most white space and a comment'));
        // Its keys belong to no section we know, least of all to the one above.
        section = { name: null, line, entries: [] };
        continue;
      }
      const earlier = sections.find((other) => other.name === name);
      if (earlier !== undefined) {
        problems.push(finding(line, `the section stands in line ${earlier.line} already; expected it once`, name));
      }
      const opened = { name, line, entries: [] };
      sections.push(opened);
      section = opened;
      continue;
    }
    const entry = readAssignment(statement);
    if (entry === undefined) {
      // The line itself is not shown: it may be the second half of a password.
      problems.push(
        finding(line, 'is neither [name] nor key=value; expected one of them, or a comment', section?.name),
      );
      continue;
    }
    const key = showableKey(entry.key);
    if (section === undefined) {
      problems.push(finding(line, 'stands before the first section; expected a line [name] above it', null, key));
      continue;
    }
    if (entry.openQuote !== null) {
      const other = entry.openQuote === "'" ? '"' : "'";
      problems.push(
        finding(
          line,
          `the value begins with ${entry.openQuote} that nothing closes; expected ${entry.openQuote} at its end ` +
            `(only white space and a comment may follow), or ${other} around the whole value`,
          section.name,
          key,
        ),
      );
    }
    const earlier = section.entries.find((other) => other.key === entry.key);
    if (earlier !== undefined) {
      problems.push(finding(line, `stands in line ${earlier.line} already; expected it once`, section.name, key));
      continue;
    }
    section.entries.push({ key: entry.key, value: entry.value, line });
  }
  return { file, sections, problems, warnings: [] };
}

/** A closing quote is the first one of its kind after which nothing but white space or a comment follows. */
const QUOTED_VALUE = /^[^=#;]*=\s*(?:'.*?'|".*?")(?=\s*$|\s+[#;])/s;

function withoutComment(line: string): string {
  const quoted = QUOTED_VALUE.exec(line)?.[0];
  if (quoted !== undefined) return quoted;
  const comment = line.search(/(?:^|\s)[#;]/);
  return (comment === -1 ? line : line.slice(0, comment)).trim();
}

/** `openQuote`: the value begins with a quote that is not closed. */
type Assignment = { readonly key: string; readonly value: string; readonly openQuote: string | null };

function readAssignment(statement: string): Assignment | undefined {
  if (!/^[^=]*\S[^=]*=/.test(statement)) return undefined;
  return (/['"\\#;]/.test(statement) ? undefined : readPlain(statement)) ?? readLiterally(statement);
}

/** By `ini`. It gives nothing for the key `__proto__`, and turns `true`, `false` and `null` into what they name in JavaScript. */
function readPlain(statement: string): Assignment | undefined {
  const [entry]: [string, unknown][] = Object.entries(parse(statement, { bracketedArray: false }));
  return entry && { key: entry[0], value: String(entry[1]), openQuote: null };
}

function readLiterally(statement: string): Assignment {
  const equals = statement.indexOf('=');
  const key = statement.slice(0, equals).trim();
  const value = statement.slice(equals + 1).trim();
  const quote = /^['"]/.exec(value)?.[0];
  if (quote === undefined) return { key, value, openQuote: null };
  const closed = value.length > 1 && value.endsWith(quote);
  return closed ? { key, value: value.slice(1, -1), openQuote: null } : { key, value, openQuote: quote };
}

function finding(line: number | null, text: string, section: string | null = null, key: string | null = null): Finding {
  return { line, section, key, text };
}

/**
 * Who can read the file that has no business to. The group is no stranger to a daemon that reads the file by its group (root:mmm, 640);
 * it is one where the reader owns the file.
 */
export function uninvitedReaders(
  mode: number,
  ownerUid: number,
  ownUid: number | undefined,
): 'everybody' | 'the group' | null {
  if ((mode & 0o004) !== 0) return 'everybody';
  return (mode & 0o040) !== 0 && ownerUid === ownUid && ownUid !== 0 ? 'the group' : null;
}

const MAX_BYTES = 1024 * 1024;

function readText(file: string): { text: string; mode: number; ownerUid: number } | { wrong: string } {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(file, 'r');
    const { mode, uid, size } = fstatSync(descriptor);
    if (size > MAX_BYTES) return { wrong: `has ${size} bytes; expected a configuration file of at most ${MAX_BYTES}` };
    const bytes = readFileSync(descriptor);
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(bytes), mode, ownerUid: uid };
  } catch (error) {
    return { wrong: whyUnreadable(error) };
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

function whyUnreadable(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return 'there is no such file; expected the configuration here, or --conf with its path';
    case 'EACCES':
    case 'EPERM':
      return 'this user may not read it; expected a file that the user of this process can read';
    case 'EISDIR':
      return 'is a directory; expected a file';
    case 'ERR_ENCODING_INVALID_ENCODED_DATA':
      return 'is not UTF-8 text; expected that, or plain ASCII';
    default:
      return `cannot be read (${typeof code === 'string' ? code : String(error)})`;
  }
}

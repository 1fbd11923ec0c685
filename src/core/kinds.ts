// How the text of one configuration value becomes a value, and what is said when it does not.
// Comes from core/settings.ts, whose table gives each key one of these kinds; goes on to core/config.ts.

import { type Host, parseHost } from './pair.ts';

/** A value, or what is wrong with the text: a clause that shows no more of it than a log may hold. */
export type Reading<V> = { readonly value: V } | { readonly wrong: string };

export interface Kind<V> {
  /** Completes the sentence "expected ...". */
  readonly expects: string;
  readonly read: (text: string) => Reading<V>;
}

/** Any text. Used for what may hold everything, passwords above all, so it never quotes the text back. */
export function text(expects: string): Kind<string> {
  return { expects, read: (value) => ({ value }) };
}

/** Text that one pattern describes; `name` with its article. */
export function textLike(name: string, pattern: RegExp, expects: string): Kind<string> {
  return {
    expects,
    read: (value) => (pattern.test(value) ? { value } : { wrong: `${quote(value)} is not ${name}` }),
  };
}

/** A program or a file that must be the same one wherever the process was started. */
export const absolutePath = textLike('an absolute path', /^\/[^\p{Cc}]*[^/\p{Cc}]$/u, 'a path that begins with /');

export const host: Kind<Host> = {
  expects: 'IP:PORT or NAME:PORT, the port from 1 to 65535',
  read: readHost,
};

/** A server whose port may be left out. */
export function hostWithDefaultPort(port: number): Kind<Host> {
  return {
    expects: `HOST or HOST:PORT (without a port: ${port}; an IPv6 address in brackets)`,
    read: (value) => readHost(/^(?:\[[^\]]*\]|[^:]+)$/.test(value) ? `${value}:${port}` : value, value),
  };
}

/** A whole number in a range; both ends belong to it. `what` is `a whole number`, or with its unit. */
export function wholeNumber(what: string, min: number, max: number): Kind<number> {
  return numberOf(/^\d+$/, `${what} from ${min} to ${max}`, min, max);
}

/** Seconds, fractions allowed, as milliseconds. */
export function secondsAsMs(min: number, max: number): Kind<number> {
  const seconds = numberOf(/^\d+(?:\.\d+)?$/, `seconds from ${min} to ${max}, fractions allowed`, min, max);
  return {
    ...seconds,
    read: (value) => {
      const reading = seconds.read(value);
      return 'wrong' in reading ? reading : { value: Math.round(reading.value * 1000) };
    },
  };
}

/** One of some words. */
export function oneOf<W extends string>(...words: readonly W[]): Kind<W> {
  const listed = words.join(', ');
  return {
    expects: `one of ${listed}`,
    read: (value) => {
      const word = words.find((candidate) => candidate === value);
      return word === undefined ? { wrong: `${quote(value)} is not understood` } : { value: word };
    },
  };
}

/** What the first of two kinds reads, or else the second one. */
export function either<A, B>(one: Kind<A>, other: Kind<B>): Kind<A | B> {
  return {
    expects: `${one.expects}, or ${other.expects}`,
    read: (value) => {
      const reading = one.read(value);
      return 'wrong' in reading ? other.read(value) : reading;
    },
  };
}

export const bit: Kind<0 | 1> = {
  expects: '0 or 1',
  read: (value) => {
    if (value === '0') return { value: 0 };
    if (value === '1') return { value: 1 };
    return { wrong: `${quote(value)} is not understood` };
  },
};

/** Items between commas; blank ones do not count. */
export function listOf(item: Kind<string>): Kind<readonly string[]> {
  return {
    expects: `${item.expects}; several between commas, quotes only around the whole list`,
    read: (list) => {
      const items = list
        .split(',')
        .map((part) => part.trim())
        .filter((part) => part !== '');
      for (const part of items) {
        const reading = item.read(part);
        if ('wrong' in reading) return reading;
      }
      return { value: items };
    },
  };
}

/** Escaped letters beyond those that mean the same in both languages, `\x{...}`, and classes such as `[:alpha:]`. */
const ONLY_PERL = /\\(?:x(?![0-9A-Fa-f]{2})|(?![bBdDfnrsStwWx])[A-Za-z])|\[:\^?[a-z]+:\]/;

/**
 * A regular expression. The files were written for Perl, and some Perl constructs are legal JavaScript with another meaning
 * (`\A` is the letter A): blocking the wrong accounts in silence is worse than not starting, so these are refused.
 */
export const pattern: Kind<RegExp> = {
  expects: 'a regular expression that Perl and JavaScript read alike',
  read: (value) => {
    const foreign = ONLY_PERL.exec(withoutEscapedBackslashes(value));
    if (foreign !== null) {
      return {
        wrong: `${quote(value)} holds ${foreign[0]} at character ${foreign.index + 1}, which only Perl understands`,
      };
    }
    try {
      return { value: new RegExp(value) };
    } catch (error) {
      const at = longestValidStart(value);
      const reason = error instanceof Error ? error.message.slice(error.message.lastIndexOf(': ') + 2) : 'not valid';
      return { wrong: `${quote(value)} fails at character ${at + 1}, ${quote(value.slice(at))}: ${reason}` };
    }
  },
};

/** The text in quotes, short and on one line. */
export function quote(value: string): string {
  const line = value.replace(/\p{Cc}/gu, '?');
  return line.length > 60 ? `"${line.slice(0, 57)}..."` : `"${line}"`;
}

/** An @ suggests `user:password@host`, so such a text is not repeated. */
function readHost(candidate: string, asWritten: string = candidate): Reading<Host> {
  if (asWritten.includes('@')) return { wrong: 'an address has no @' };
  const value = parseHost(candidate);
  if (value !== undefined) return { value };
  if (/:\d+$/.test(asWritten)) return { wrong: `${quote(asWritten)} is not an address and a port` };
  return { wrong: `${quote(asWritten)} has no port` };
}

function numberOf(form: RegExp, expects: string, min: number, max: number): Kind<number> {
  return {
    expects,
    read: (value) => {
      if (!form.test(value)) return { wrong: `${quote(value)} is not a plain number` };
      const number = Number(value);
      if (number < min) return { wrong: `${quote(value)} is too small` };
      return number > max ? { wrong: `${quote(value)} is too large` } : { value: number };
    },
  };
}

/** `\\A` is a backslash and an A: pairs are blanked out, so that what follows them does not look escaped. */
function withoutEscapedBackslashes(value: string): string {
  return value.replaceAll('\\\\', '  ');
}

/** The engine does not tell where an expression breaks: it is after the longest beginning that is still valid. */
function longestValidStart(value: string): number {
  for (let length = value.length - 1; length > 0; length--) {
    try {
      new RegExp(value.slice(0, length));
      return length;
    } catch {
      // Not valid up to here either: the fault lies further to the left.
    }
  }
  return 0;
}

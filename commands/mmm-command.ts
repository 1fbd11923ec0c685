// What all commands share: a usage error is one line that names what was meant, with exit code 2.
// The commands that read mmm.conf go on to base.ts.

import { Command } from '@oclif/core/command';
import { MmmError } from '../src/core/errors.ts';
import { nearest } from '../src/core/nearest.ts';

export abstract class MmmCommand extends Command {
  protected override async catch(error: Error): Promise<never> {
    if (!isParseError(error)) throw error;
    const command = `mmm ${this.id ?? ''}`;
    const flags = [
      'help',
      'version',
      ...Object.keys(this.ctor.flags ?? {}),
      ...Object.keys(this.ctor.baseFlags ?? {}),
    ].map((name) => `--${name}`);
    throw new MmmError('usage', `${usageTrouble(error, flags)} (${command} --help shows how)`, { cause: error });
  }
}

/** oclif does not export its parse errors' classes; all of them, and nothing else, carry `parse`. */
type ParseError = Error & { readonly flags?: unknown };

function isParseError(error: Error): error is ParseError {
  return 'parse' in error;
}

function usageTrouble(error: ParseError, known: readonly string[]): string {
  if (Array.isArray(error.flags) && error.flags.length > 0) {
    return error.flags
      .map((flag) => {
        const meant = nearest(String(flag), known);
        return `unknown flag ${flag}${meant === undefined ? '' : `, did you mean ${meant}?`}`;
      })
      .join('; ');
  }
  // oclif's own text without its hints, which we give ourselves, on one line.
  return error.message
    .replace('\nSee more help with --help', '')
    .replace(/^The following errors? occurred:/, '')
    .replaceAll(/\s*\n\s*/g, ' ')
    .trim();
}

// What all commands share: a usage error is one line that names what was meant, with exit code 2.
// The commands that read mmm.conf go on to base.ts.

import { Command } from '@oclif/core/command';
import { MmmError } from '../src/core/errors.ts';
import { nearest } from '../src/core/nearest.ts';

export abstract class MmmCommand extends Command {
  protected override async catch(error: Error): Promise<never> {
    if (!isUsageError(error)) throw error;
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

/** oclif does not export its parser's errors; they are the only ones that it wants to exit with 2. */
type UsageError = Error & { readonly oclif: { readonly exit: 2 }; readonly flags?: unknown };

function isUsageError(error: Error): error is UsageError {
  const { oclif }: { oclif?: unknown } = { oclif: undefined, ...error };
  return typeof oclif === 'object' && oclif !== null && 'exit' in oclif && oclif.exit === 2;
}

function usageTrouble(error: UsageError, known: readonly string[]): string {
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
    .replace(/^\s*Parsing (--[\w-]+)\s+/, '$1: ')
    .replaceAll(/\s*\n\s*/g, ' ')
    .trim();
}

// What a person reads when a command fails, and the exit code: one line, and a stack trace only for who asks for it.
// Comes from src/main.ts.

import { type ExitCode, MmmError, messageOf } from '../src/core/errors.ts';

interface Explained {
  /** '' when everything has been said already. */
  readonly text: string;
  readonly exit: ExitCode;
}

/** `argv` and `env` say whether the stack is wanted: `--debug`, or DEBUG in the environment. */
export function explain(error: unknown, argv: readonly string[], env: NodeJS.ProcessEnv): Explained {
  const wantsStack = argv.includes('--debug') || (env['DEBUG'] ?? '') !== '';
  if (error instanceof AlreadyTold) return { text: '', exit: error.exit };
  if (error instanceof MmmError) {
    return { text: `mmm: ${error.message}${wantsStack ? `\n${stackOf(error)}` : ''}`, exit: error.exit };
  }
  // A defect of ours: whoever reports it needs the stack, whoever is woken by it needs to know how to get it.
  const message = messageOf(error);
  const more = wantsStack ? `\n${stackOf(error)}` : ' (a defect of mmm; --debug shows where)';
  return { text: `mmm: ${firstLine(message)}${more}`, exit: 1 };
}

/** Ends a command whose troubles are printed already, one per line. */
export class AlreadyTold extends MmmError {}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return '';
  const cause = error.cause === undefined ? '' : `\ncaused by ${stackOf(error.cause)}`;
  return `${error.stack ?? ''}${cause}`;
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? '';
}

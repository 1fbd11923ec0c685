// What is thrown: only what the caller cannot act on. Expected trouble (a host that does not answer, a lost race) is a value.

/** Stable names; match on these, never on a message. */
export type ErrorCode =
  | 'usage'
  | 'config'
  | 'log'
  | 'store-down'
  | 'store-auth'
  | 'store-readonly'
  | 'store-wrong-type'
  | 'store-loading'
  | 'store-denied'
  | 'store-error'
  | 'missing-program'
  | 'failed';

/** Exit codes of the program: 0 done, 1 failed, 2 usage or configuration. */
export type ExitCode = 0 | 1 | 2;

/** An error with a stable code; its message is one line for a person and holds no secret. */
export class MmmError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'MmmError';
    this.code = code;
  }

  get exit(): ExitCode {
    return this.code === 'usage' || this.code === 'config' || this.code === 'log' ? 2 : 1;
  }
}

/** What an error says; of anything else that was thrown, its text. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

// A log that a test can read back.

import type { Log, LogFields } from '../../src/core/log.ts';

export interface FakeLog extends Log {
  /** `level text`, in order. */
  readonly lines: string[];
}

export function fakeLog(lines: string[] = [], fields: LogFields = {}): FakeLog {
  const write = (level: string) => (message: string) => {
    lines.push(`${level} ${message}`);
  };
  return {
    lines,
    error: write('error'),
    warn: write('warn'),
    info: write('info'),
    debug: write('debug'),
    with: (more) => fakeLog(lines, { ...fields, ...more }),
  };
}

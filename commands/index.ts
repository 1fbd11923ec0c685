// What the user may type, and the file behind it. A command's file is loaded only when it runs, so that `mmm uniqsign`
// does not pay for the database drivers. Comes from src/main.ts; goes on to the command's own file, then to base.ts.

import { basename } from 'node:path';
import type { Command } from '@oclif/core/command';

export const COMMANDS: Readonly<Record<string, () => Promise<Command.Class>>> = {
  agent: async () => (await import('./agent.ts')).default,
  config: async () => (await import('./config.ts')).default,
  failover: async () => (await import('./failover.ts')).default,
  identify: async () => (await import('./identify.ts')).default,
  monitor: async () => (await import('./monitor.ts')).default,
  pause: async () => (await import('./pause.ts')).default,
  rejoin: async () => (await import('./rejoin.ts')).default,
  resume: async () => (await import('./resume.ts')).default,
  sandbox: async () => (await import('./sandbox.ts')).default,
  status: async () => (await import('./status.ts')).default,
  switchover: async () => (await import('./switchover.ts')).default,
  uniqsign: async () => (await import('./uniqsign.ts')).default,
};

/** The Perl programs' names: through a link of that name the one executable plays that role. */
const PROGRAM_NAMES: ReadonlyMap<string, string> = new Map([
  ['mmm-monitor', 'monitor'],
  ['mmm-identify', 'identify'],
  ['mmm-agent', 'agent'],
  ['mmm-status', 'status'],
  ['mmm-uniqsign', 'uniqsign'],
  ['mmm-sign-gen', 'uniqsign'],
]);

/** How the process was called. As a script the link's name is argv[1]; as a compiled file it is argv0, and argv[1] a path inside the file. */
interface Called {
  readonly argv: readonly string[];
  readonly argv0: string;
}

/** The words after the program's name, led by the role when the name is one. */
export function commandLine({ argv, argv0 }: Called): string[] {
  const words = argv.slice(2);
  for (const path of [argv[1], argv0]) {
    const role = path === undefined ? undefined : PROGRAM_NAMES.get(basename(path));
    if (role !== undefined) return [role, ...words];
  }
  return words;
}

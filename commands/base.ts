// What the commands that read a configuration file share: their flags, and the file as a checked configuration or all of its
// problems at once. Comes from a command's file; reads through src/ops/inifile.ts and src/core/config.ts.

import * as Flags from '@oclif/core/flags';
import {
  type AgentConfig,
  type ManagerConfig,
  type PairConfig,
  type Result,
  readAgentConfig,
  readManagerConfig,
  selectPairs,
} from '../src/core/config.ts';
import { MmmError } from '../src/core/errors.ts';
import { type Host, parseHost } from '../src/core/pair.ts';
import { readIniFile } from '../src/ops/inifile.ts';
import { AlreadyTold } from './failure.ts';

export const MANAGER_CONF = '/etc/mmm-manager/mmm.conf';
export const AGENT_CONF = '/etc/mmm-manager/mmm-agent.conf';

/** The store's address; `[redis] host` in the file wins, as it always did. */
export const redisFlag = {
  redis: Flags.string({
    summary: 'Redis when the file does not name one (its [redis] host wins); without both, 127.0.0.1:6379.',
    helpValue: 'HOST:PORT',
  }),
};

export const debugFlag = {
  debug: Flags.boolean({ summary: 'Log each round and each step too, and show where an error comes from.' }),
};

export const confFlag = (path: string) => ({
  conf: Flags.string({ summary: 'The configuration file.', helpValue: 'FILE', default: path }),
});

export const pairFlags = {
  tag: Flags.string({
    summary: 'A pair: the name of its section in the file. May be repeated.',
    helpValue: 'TAG',
    multiple: true,
    // Else `--tag a b` would swallow the b, and a forgotten --tag before it would go unnoticed.
    multipleNonGreedy: true,
  }),
  all: Flags.boolean({ summary: 'Every pair in the file.', exclusive: ['tag'] }),
};

/** For the commands that run until they are stopped. */
export const daemonFlags = {
  ...redisFlag,
  ...debugFlag,
  once: Flags.boolean({ summary: 'Do one round and exit.' }),
  name: Flags.string({
    summary: 'The name under which others see this process; default: the host name.',
    description: 'Two of the same command on one machine need names of their own.',
    helpValue: 'NAME',
  }),
  'log-format': Flags.option({
    summary: 'Log lines for people, or one JSON object per line.',
    options: ['text', 'json'] as const,
    default: 'text' as const,
  })(),
};

/** mmm.conf and the pairs that the flags name. Throws when anything is wrong, before anything is touched. */
export function managerConfig(flags: {
  readonly conf: string;
  readonly redis: string | undefined;
  readonly tags: readonly string[] | 'all';
}): { readonly config: ManagerConfig; readonly pairs: readonly PairConfig[] } {
  if (flags.tags.length === 0) {
    throw new MmmError('usage', 'which pair? Give --tag TAG (the name of a section, may be repeated) or --all');
  }
  const config = checked(readManagerConfig(readIniFile(flags.conf), redisHost(flags.redis)));
  const selected = selectPairs(config, flags.tags);
  if (!selected.ok) throw told(selected.problems);
  return { config, pairs: selected.pairs };
}

/** What --tag and --all say together. */
export function tagsOf(flags: {
  readonly tag: readonly string[] | undefined;
  readonly all: boolean;
}): readonly string[] | 'all' {
  return flags.all ? 'all' : (flags.tag ?? []);
}

/** mmm-agent.conf. Throws when anything is wrong. */
export function agentConfig(flags: { readonly conf: string; readonly redis: string | undefined }): AgentConfig {
  return checked(readAgentConfig(readIniFile(flags.conf), redisHost(flags.redis)));
}

function redisHost(flag: string | undefined): Host | undefined {
  if (flag === undefined) return undefined;
  const host = parseHost(flag);
  if (host === undefined) throw new MmmError('usage', `--redis ${flag}: expected HOST:PORT, such as 127.0.0.1:6379`);
  return host;
}

/** Warnings go to standard error and hinder nothing; problems go there too, all of them, and end the command. */
function checked<T>(result: Result<T>): T {
  for (const warning of result.warnings) tell(`warning: ${warning}`);
  if (!result.ok) throw told(result.problems);
  return result.config;
}

function told(problems: readonly string[]): AlreadyTold {
  for (const problem of problems) tell(problem);
  return new AlreadyTold('config', problems.join('; '));
}

function tell(line: string): void {
  process.stderr.write(`mmm: ${line}\n`);
}

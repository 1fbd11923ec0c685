// What the operator's commands on one pair share: their flags, the pair, and how they say no.
// Comes from commands/switchover.ts, commands/failover.ts and commands/rejoin.ts; reads the file through base.ts.

import * as Flags from '@oclif/core/flags';
import type { ManagerConfig, PairConfig } from '../src/core/config.ts';
import { MmmError } from '../src/core/errors.ts';
import type { Host } from '../src/core/pair.ts';
import { managerConfig } from './base.ts';
import { AlreadyTold } from './failure.ts';

export const tagFlag = {
  tag: Flags.string({ summary: 'The pair: the name of its section in the file.', helpValue: 'TAG', required: true }),
};

export const waitFlag = {
  wait: Flags.integer({
    summary: 'How long the agents may take until the role goes back.',
    helpValue: 'SECONDS',
    default: 30,
    min: 1,
    max: 3600,
  }),
};

/** The host that a flag names: one of the pair's. */
export function hostOf(pair: PairConfig, text: string, flag = '--to'): Host {
  const hosts = [pair.primary, pair.secondary];
  const host = hosts.find((known) => known === text);
  if (host === undefined) throw new MmmError('usage', `${flag} ${text}: expected ${hosts.join(' or ')}`);
  return host;
}

export function onePair(flags: { readonly conf: string; readonly redis: string | undefined; readonly tag: string }): {
  readonly config: ManagerConfig;
  readonly pair: PairConfig;
} {
  const { config, pairs } = managerConfig({ conf: flags.conf, redis: flags.redis, tags: [flags.tag] });
  const [pair] = pairs;
  if (pair === undefined) throw new MmmError('usage', `--tag ${flags.tag}: there is no such pair`);
  if (pair.servicemode === 0) {
    throw new MmmError(
      'config',
      `${flags.conf} [${pair.tag}] servicemode: 0 (active-active) has no active to be changed`,
    );
  }
  return { config, pair };
}

/** Everything on standard error, and exit code 1. */
export function tell(head: string, reasons: readonly string[]): AlreadyTold {
  const text = [head, ...reasons.map((reason) => `  - ${reason}`)].join('\n');
  process.stderr.write(`mmm: ${text}\n`);
  return new AlreadyTold('failed', text);
}

// `mmm switchover`: a planned change of the active, on an operator's word. Goes on to src/operator.ts.

import * as Flags from '@oclif/core/flags';
import { ask, lookAhead, type OperatorParts } from '../src/operator.ts';
import { systemClock, systemRandom } from '../src/ops/clock.ts';
import { confFlag, debugFlag, MANAGER_CONF, redisFlag } from './base.ts';
import { whoAsks, withBoard } from './board.ts';
import { MmmCommand } from './mmm-command.ts';
import { hostOf, onePair, tagFlag, tell, waitFlag } from './one-pair.ts';

export default class Switchover extends MmmCommand {
  static override summary = 'Make the other host the active, if nothing can be lost by it.';
  static override description =
    `First it looks: both hosts answer, the host to be opened replicates without error and without delay, an identify leads, agents listen. If
anything speaks against it, it says what, changes nothing and exits with 1. Else identify decides it and the agents do it: the active is
closed, the other host applies everything and is opened. If that cannot be done in time the role goes back, and the exit code is 1.

The secondary keeps the role that it gets so, until it dies or until the next switchover, although the primary is preferred and wherever the
clients are. It works while the pair is paused. The new active gets the kind of lease that the old one had.`;
  static override examples = [
    { description: 'To the host that is passive now', command: '<%= config.bin %> switchover --tag mysql3308' },
    {
      description: 'Only look whether it could be done',
      command: '<%= config.bin %> switchover --tag mysql3308 --dry-run',
    },
    {
      description: 'To a certain host; nothing is done when it is the active already',
      command: '<%= config.bin %> switchover --tag mysql3308 --to 10.0.21.7:3308',
    },
  ];
  static override flags = {
    ...confFlag(MANAGER_CONF),
    ...tagFlag,
    to: Flags.string({ summary: 'The host to be the active; default: the one that is not.', helpValue: 'HOST' }),
    'dry-run': Flags.boolean({ summary: 'Look, and say what would be done; change nothing.' }),
    ...waitFlag,
    ...redisFlag,
    ...debugFlag,
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(Switchover);
    const { config, pair } = onePair(flags);
    const asked = {
      kind: 'switchover',
      to: flags.to === undefined ? null : hostOf(pair, flags.to),
      withinSec: flags.wait,
    } as const;
    await withBoard(config.redis, async (store) => {
      const parts: OperatorParts = { pair, store, clock: systemClock, random: systemRandom, by: whoAsks() };
      const prospect = await lookAhead(parts, asked);
      const { to, against, board } = prospect;
      if (prospect.already) {
        this.log(`${pair.tag}: ${to} is the active already; nothing was done`);
        return;
      }
      if (against.length > 0) throw tell(`${pair.tag}: no switchover to ${to}, and nothing was changed:`, against);
      if (flags['dry-run']) {
        this.log(
          `${pair.tag}: nothing speaks against a switchover from ${board.roles?.active} to ${to}; nothing was done`,
        );
        return;
      }
      this.log(`${pair.tag}: switchover from ${board.roles?.active} to ${to}`);
      const ending = await ask(parts, prospect, asked);
      if (ending.kind === 'not-done') {
        throw tell(
          `${pair.tag}: the switchover to ${to} did not happen; the active is ${ending.active ?? 'unknown'}:`,
          [ending.why],
        );
      }
      this.log(
        `${pair.tag}: ${to} is the active after ${Math.round(ending.tookMs)} ms; ${withoutWriter(ending.noWriterMs)}`,
      );
      for (const step of ending.did.split('; ')) this.log(`  ${step}`);
    });
  }
}

export function withoutWriter(ms: number | null): string {
  return ms === null
    ? 'nobody knows how long clients could not write'
    : `clients could not write for ${Math.round(ms)} ms`;
}

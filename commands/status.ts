// `mmm status`: the pairs as the board shows them. Goes on to src/status.ts.

import * as Flags from '@oclif/core/flags';
import { systemClock } from '../src/ops/clock.ts';
import { type PairStatus, pairStatus, statusText } from '../src/status.ts';
import { confFlag, debugFlag, MANAGER_CONF, managerConfig, pairFlags, redisFlag } from './base.ts';
import { withBoard } from './board.ts';
import { MmmCommand } from './mmm-command.ts';

export default class Status extends MmmCommand {
  static override summary = 'Show the active and the passive host of each pair, or of those that --tag names.';
  static override examples = [
    { description: 'All pairs of the file', command: '<%= config.bin %> status' },
    {
      description: 'One pair, from another file',
      command: '<%= config.bin %> status --conf /etc/mmm.conf --tag mysql3308',
    },
    { description: 'For a program', command: '<%= config.bin %> status --json' },
  ];
  static override flags = {
    ...confFlag(MANAGER_CONF),
    ...pairFlags,
    ...redisFlag,
    ...debugFlag,
    json: Flags.boolean({ summary: 'Print JSON.' }),
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(Status);
    const { config, pairs } = managerConfig({
      conf: flags.conf,
      redis: flags.redis,
      tags: flags.tag === undefined || flags.tag.includes('all') ? 'all' : flags.tag,
    });
    const statuses: PairStatus[] = [];
    await withBoard(config.redis, async (store) => {
      for (const pair of pairs) statuses.push(await pairStatus(store, pair, systemClock.wall()));
    });
    this.log(flags.json ? JSON.stringify(statuses, null, 2) : statusText(statuses));
  }
}

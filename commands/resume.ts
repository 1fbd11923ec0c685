// `mmm resume`: the end of `mmm pause`.

import { isOver } from '../src/core/request.ts';
import { leaseOfPause } from '../src/operator.ts';
import { systemClock } from '../src/ops/clock.ts';
import { confFlag, debugFlag, MANAGER_CONF, managerConfig, pairFlags, redisFlag, tagsOf } from './base.ts';
import { withBoard } from './board.ts';
import { MmmCommand } from './mmm-command.ts';

export default class Resume extends MmmCommand {
  static override summary = 'Let identify decide again after a pause.';
  static override description =
    'What became due during the pause is decided at once, and a lease is armed again. A pair that is not paused is left as it is.';
  static override examples = [
    { description: 'After the maintenance', command: '<%= config.bin %> resume --tag mysql3308' },
    { description: 'Every pair of the file', command: '<%= config.bin %> resume --all' },
  ];
  static override flags = { ...confFlag(MANAGER_CONF), ...pairFlags, ...redisFlag, ...debugFlag };

  async run(): Promise<void> {
    const { flags } = await this.parse(Resume);
    const { config, pairs } = managerConfig({ conf: flags.conf, redis: flags.redis, tags: tagsOf(flags) });
    await withBoard(config.redis, async (store) => {
      for (const { tag, uniqsign, policy } of pairs) {
        const board = await store.board(uniqsign);
        const { pause } = board;
        await store.putPause(uniqsign, null);
        const was = pause !== null && !isOver(pause, systemClock.wall());
        const lease = leaseOfPause(board, policy, false);
        this.log(was ? `${tag}: resumed; ${pause.by} had paused it` : `${tag}: was not paused`);
        if (was && lease !== '') this.log(`${tag}: ${lease}`);
      }
    });
  }
}

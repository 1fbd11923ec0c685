// `mmm pause`: no automatic decisions for a while. It stands on the board; src/identify.ts obeys it.

import * as Flags from '@oclif/core/flags';
import { leaseOfPause } from '../src/operator.ts';
import { systemClock } from '../src/ops/clock.ts';
import { confFlag, debugFlag, MANAGER_CONF, managerConfig, pairFlags, redisFlag, tagsOf } from './base.ts';
import { whoAsks, withBoard } from './board.ts';
import { MmmCommand } from './mmm-command.ts';

export default class Pause extends MmmCommand {
  static override summary = 'Suspend automatic decisions, for maintenance.';
  static override description =
    `While a pair is paused identify changes nothing, whatever happens to the hosts, and says so in its log and in mmm status. The agents go on to
keep what was decided: an active that restarts read only is opened again, a second writer is closed. What an operator asks for
(switchover, failover) is carried out. mmm resume ends it, or the time that --for gives; then a failover that is overdue comes at once.

With fencing=lease the pair is unfenced meanwhile: its lease is made endless, so the active stays open also when all agents are stopped.`;
  static override examples = [
    { description: 'Before the active is restarted', command: '<%= config.bin %> pause --tag mysql3308 --for 600' },
    { description: 'Every pair of the file, until mmm resume', command: '<%= config.bin %> pause --all' },
  ];
  static override flags = {
    ...confFlag(MANAGER_CONF),
    ...pairFlags,
    for: Flags.integer({
      summary: 'It ends by itself after this time; default: never.',
      helpValue: 'SECONDS',
      min: 1,
      max: 31_536_000,
    }),
    ...redisFlag,
    ...debugFlag,
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(Pause);
    const { config, pairs } = managerConfig({ conf: flags.conf, redis: flags.redis, tags: tagsOf(flags) });
    await withBoard(config.redis, async (store) => {
      const atMs = systemClock.wall();
      const untilMs = flags.for === undefined ? null : atMs + flags.for * 1000;
      for (const { tag, uniqsign, policy } of pairs) {
        await store.putPause(uniqsign, { by: whoAsks(), atMs, untilMs });
        const until = flags.for === undefined ? 'until mmm resume' : `for ${flags.for} s`;
        this.log(`${tag}: paused ${until}; nothing is failed over meanwhile`);
        const lease = leaseOfPause(await store.board(uniqsign), policy, true);
        if (lease !== '') this.log(`${tag}: ${lease}`);
      }
    });
  }
}

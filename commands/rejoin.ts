// `mmm rejoin`: an operator's word that the server behind a member's address is the member. Goes on to src/core/rejoin.ts (what stands
// against it) and src/core/stranger.ts; src/identify.ts gives the host no role before that.

import * as Flags from '@oclif/core/flags';
import type { PairConfig } from '../src/core/config.ts';
import type { Host } from '../src/core/pair.ts';
import { otherHost } from '../src/core/pair.ts';
import { standing } from '../src/core/rejoin.ts';
import { lifeOfNewMember } from '../src/core/stranger.ts';
import { openServer } from '../src/mysql/connection.ts';
import { confFlag, debugFlag, MANAGER_CONF, redisFlag } from './base.ts';
import { withBoard } from './board.ts';
import { MmmCommand } from './mmm-command.ts';
import { hostOf, onePair, tagFlag, tell } from './one-pair.ts';

export default class Rejoin extends MmmCommand {
  static override summary = 'Show what stands against a host that comes back; take a new server for the member.';
  static override description =
    `Asks both servers and the board, and says what stands against the host: another server behind its address than the one that mmm knew (rebuilt,
or restored from a copy), replication that a conflict stopped, writes that the active never saw. If it is another server it gets no role until
you say --yes; that is then written on the board. Nothing is changed on any server, and no conflict is skipped: what is to be done for
those is printed.`;
  static override examples = [
    {
      description: 'What stands against it?',
      command: '<%= config.bin %> rejoin --tag mysql3308 --host 10.0.21.5:3308',
    },
    {
      description: 'The server there was rebuilt; it is the member from now on',
      command: '<%= config.bin %> rejoin --yes --tag mysql3308 --host 10.0.21.5:3308',
    },
  ];
  static override flags = {
    ...confFlag(MANAGER_CONF),
    ...tagFlag,
    host: Flags.string({ summary: 'The host that comes back.', helpValue: 'HOST', required: true }),
    yes: Flags.boolean({ summary: 'The server that is there now is the member.' }),
    ...redisFlag,
    ...debugFlag,
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(Rejoin);
    const { config, pair } = onePair(flags);
    const host = hostOf(pair, flags.host, '--host');
    await withBoard(config.redis, async (store) => {
      const [look, other, board] = await Promise.all([
        lookAt(pair, host),
        lookAt(pair, otherHost(pair, host)),
        store.board(pair.uniqsign),
      ]);
      const { refusals, stranger, against } = standing(look, other, board);
      const { epoch } = board;
      if (refusals.length > 0 || epoch === null) {
        throw tell(`${pair.tag}: ${host} cannot rejoin, and nothing was changed:`, [...refusals, ...against]);
      }
      if (stranger === null) {
        if (against.length > 0) {
          throw tell(
            `${pair.tag}: ${host} is the member that was known. Nothing was changed; what stands against it:`,
            against,
          );
        }
        this.log(`${pair.tag}: ${host} is the member that was known, and nothing stands against it; nothing was done`);
        return;
      }
      if (!flags.yes) {
        throw tell(`${pair.tag}: nothing was changed. To take ${host} for the member needs --yes, because:`, [
          stranger.why,
          ...against,
        ]);
      }
      if (!(await store.putLife(pair.uniqsign, epoch, host, lifeOfNewMember(stranger.boot)))) {
        throw tell(`${pair.tag}: nothing was changed:`, [
          'the roles were decided anew at this moment; look, and ask again',
        ]);
      }
      this.log(`${pair.tag}: the server ${stranger.boot.uuid} is the member ${host} from now on`);
      for (const sentence of against) this.log(`  still stands: ${sentence}`);
    });
  }
}

async function lookAt(pair: PairConfig, host: Host) {
  const server = openServer({ host, access: pair.access, excludeUsers: pair.excludeUsers, block: null });
  try {
    return { host, evidence: await server.probe() };
  } finally {
    await server.close();
  }
}

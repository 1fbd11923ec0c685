// `mmm failover`: opens a host that mmm would not open by itself, on an operator's word. Goes on to src/core/losses.ts (what it costs)
// and src/operator.ts.

import * as Flags from '@oclif/core/flags';
import type { PairConfig } from '../src/core/config.ts';
import type { Board } from '../src/core/decision.ts';
import { losses } from '../src/core/losses.ts';
import type { Host } from '../src/core/pair.ts';
import { otherHost } from '../src/core/pair.ts';
import { openServer } from '../src/mysql/connection.ts';
import { ask, fenceProspect, lookAhead, lossProspect, type OperatorParts } from '../src/operator.ts';
import { systemClock, systemRandom } from '../src/ops/clock.ts';
import { confFlag, debugFlag, MANAGER_CONF, redisFlag } from './base.ts';
import { whoAsks, withBoard } from './board.ts';
import { MmmCommand } from './mmm-command.ts';
import { hostOf, onePair, tagFlag, tell, waitFlag } from './one-pair.ts';
import { withoutWriter } from './switchover.ts';

export default class Failover extends MmmCommand {
  static override summary = 'Make a host the active although it may lack writes: for when mmm holds.';
  static override description =
    `Asks both servers and shows what may be lost. Without --force it then stops and exits with 1. With it identify decides, and the agents open
the host: they close the other one if it answers, apply what can be applied in 10 seconds (or drain_timeout), and report what they SKIPPED.
What is skipped is thrown away nowhere: it stays in the binary log of the host that wrote it.

While the other host is alive and cannot be closed nothing is opened, also with --force: that would make two writers. Where nothing need be
lost use switchover. It works while the pair is paused.

With fencing=lease a host that does not answer is waited for until its lease is over. Where it has none (a pair that is unfenced or was not armed)
nobody knows whether it takes writes, and --force goes on all the same: make sure that it is off.`;
  static override examples = [
    {
      description: 'What would be lost?',
      command: '<%= config.bin %> failover --tag mysql3308 --to 10.0.21.7:3308',
    },
    {
      description: 'Go on without it',
      command: '<%= config.bin %> failover --force --tag mysql3308 --to 10.0.21.7:3308',
    },
  ];
  static override flags = {
    ...confFlag(MANAGER_CONF),
    ...tagFlag,
    to: Flags.string({ summary: 'The host to be the active.', helpValue: 'HOST', required: true }),
    force: Flags.boolean({ summary: 'Do it, whatever may be lost.' }),
    ...waitFlag,
    ...redisFlag,
    ...debugFlag,
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(Failover);
    const { config, pair } = onePair(flags);
    const to = hostOf(pair, flags.to);
    const asked = { kind: 'failover', to, withinSec: flags.wait } as const;
    await withBoard(config.redis, async (store) => {
      const parts: OperatorParts = { pair, store, clock: systemClock, random: systemRandom, by: whoAsks() };
      const prospect = await lookAhead(parts, asked);
      if (prospect.already) {
        this.log(`${pair.tag}: ${to} is the active already, and open; nothing was done`);
        return;
      }
      if (prospect.against.length > 0) {
        throw tell(`${pair.tag}: no failover to ${to}, and nothing was changed:`, prospect.against);
      }
      const lost = [...lossProspect(prospect), ...(await lossesOf(pair, to, prospect.board))];
      if (!flags.force)
        throw tell(`${pair.tag}: nothing was changed. A failover to ${to} needs --force, because:`, lost);
      this.log([`${pair.tag}: forced failover to ${to}, although:`, ...lost.map((line) => `  - ${line}`)].join('\n'));
      const ending = await ask(parts, prospect, asked);
      if (ending.kind === 'not-done') {
        throw tell(`${pair.tag}: ${to} was not opened; the active is ${ending.active ?? 'unknown'}:`, [ending.why]);
      }
      this.log(
        `${pair.tag}: ${to} is the active after ${Math.round(ending.tookMs)} ms; ${withoutWriter(ending.noWriterMs)}`,
      );
      for (const step of ending.did.split('; ')) this.log(`  ${step}`);
    });
  }
}

async function lossesOf(pair: PairConfig, to: Host, board: Board): Promise<string[]> {
  const looks = await Promise.all(
    [to, otherHost(pair, to)].map(async (host) => {
      const server = openServer({ host, access: pair.access, excludeUsers: pair.excludeUsers, block: null });
      try {
        return { host, evidence: await server.probe() };
      } finally {
        await server.close();
      }
    }),
  );
  const [target, other] = looks;
  if (target === undefined || other === undefined) return [];
  return [...fenceProspect(board, pair.policy, other), ...losses(target, other)];
}

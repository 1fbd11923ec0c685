// `mmm monitor`: one loop per pair, which probes both hosts and puts what it finds on the board.
// The round is in src/monitor.ts; commands/daemon.ts is the frame around it.

import type { PairConfig } from '../src/core/config.ts';
import { isSafetyOn } from '../src/core/decision.ts';
import { makeMonitorRound } from '../src/monitor.ts';
import { openServer } from '../src/mysql/connection.ts';
import type { Server } from '../src/mysql/server.ts';
import { Wake } from '../src/ops/supervise.ts';
import { Pulse } from '../src/pulse.ts';
import { confFlag, daemonFlags, MANAGER_CONF, managerConfig, pairFlags, tagsOf } from './base.ts';
import { type Daemon, type Loop, ROUND_SLACK_MS, runDaemon } from './daemon.ts';
import { MmmCommand } from './mmm-command.ts';

export default class Monitor extends MmmCommand {
  static override summary = 'Watch both hosts of each pair, and write what is found to Redis.';
  static override description =
    'INT and TERM are logged and ignored; QUIT stops it cleanly. It needs --tag or --all, and looks after all those pairs in one process.';
  static override examples = [
    { description: 'One pair of the default file', command: '<%= config.bin %> monitor --tag mysql3308' },
    { description: 'Two pairs', command: '<%= config.bin %> monitor --tag mysql3308 --tag mysql3309' },
    {
      description: 'Look once at every pair, showing each step',
      command: '<%= config.bin %> monitor --conf ./mmm.conf --all --once --debug',
    },
  ];
  static override flags = { ...confFlag(MANAGER_CONF), ...pairFlags, ...daemonFlags };

  async run(): Promise<void> {
    const { flags } = await this.parse(Monitor);
    const { config, pairs } = managerConfig({ conf: flags.conf, redis: flags.redis, tags: tagsOf(flags) });
    const logfileOf = (pair: PairConfig) => pair.monitorLogfile ?? config.logfile;
    await runDaemon(
      {
        role: 'monitor',
        version: this.config.version,
        flags,
        redis: config.redis,
        task: `watches ${pairs.map(({ tag }) => tag).join(', ')}`,
        logfiles: pairs.map(logfileOf),
      },
      async (daemon) => {
        const watches = pairs.map((pair) => watch(pair, logfileOf(pair), daemon));
        const pulses = daemon.once ? [] : watches.map(({ pulse }) => pulse.run(daemon.stop));
        await Promise.all([daemon.run(watches.map(({ loop }) => loop)), ...pulses]);
        await Promise.all(watches.flatMap(({ servers }) => servers.map((server) => server.close())));
      },
    );
  }
}

interface Watch {
  readonly loop: Loop;
  readonly pulse: Pulse;
  readonly servers: readonly Server[];
}

function watch(pair: PairConfig, logfile: string | null, daemon: Daemon): Watch {
  const { name: observer, store, clock } = daemon;
  const { plain, named: log } = daemon.logFor(pair, logfile);
  const wake = new Wake();
  const open = (host: PairConfig['primary']) => {
    const server = openServer({ host, access: pair.access, excludeUsers: pair.excludeUsers, block: null });
    server.onBroken(() => wake.wake());
    return server;
  };
  const pulse = new Pulse({ clock, wake: () => wake.wake() });
  const primary = open(pair.primary);
  const secondary = open(pair.secondary);
  const { servicemode, tryTimes, intervalMs } = pair;
  const loop = {
    name: pair.tag,
    round: makeMonitorRound({
      pair,
      servicemode,
      tryTimes,
      intervalMs,
      connectTimeoutMs: pair.access.connectTimeoutMs,
      wantRow: isSafetyOn(pair.policy),
      primary,
      secondary,
      store,
      pulse,
      clock,
      log,
      observer,
    }),
    intervalMs,
    roundDeadlineMs: 6 * pair.access.connectTimeoutMs + ROUND_SLACK_MS,
    wake,
    log: plain,
  };
  return { loop, pulse, servers: [primary, secondary] };
}

// `mmm agent`: makes the servers of every pair on the board what the board says. It finds the pairs by itself, one loop each.
// The loops are in src/agent-pairs.ts, their round in src/agent.ts; commands/daemon.ts is the frame around it.

import { AgentPairs, type AgentPairsParts, agentOnce } from '../src/agent-pairs.ts';
import type { AgentConfig } from '../src/core/config.ts';
import { openServer } from '../src/mysql/connection.ts';
import { openFence } from '../src/mysql/fence-connection.ts';
import { openBinlogTool } from '../src/ops/binlog-tool.ts';
import { runHook } from '../src/ops/hook.ts';
import { openMailer } from '../src/ops/mail.ts';
import { openStateFile } from '../src/ops/state-file.ts';
import { Wake } from '../src/ops/supervise.ts';
import { AGENT_CONF, agentConfig, confFlag, daemonFlags } from './base.ts';
import { type Daemon, runDaemon } from './daemon.ts';
import { MmmCommand } from './mmm-command.ts';

/** Nothing announces a server that restarted: so often every pair is compared with what is wanted. */
const INTERVAL_MS = 1_000;
/** Messages tell of new pairs; this finds those whose message was lost. */
const DISCOVER_MS = 5_000;
/** A change of roles with all its waiting; a round that is cut off goes on in the next one. */
const ROUND_DEADLINE_MS = 60_000;
/** A change that leaves more behind than this is none that somebody will replay by hand. */
const SALVAGE = { mostBytes: 256 * 1024 ** 2, mostInFolder: 1024 ** 3 };

export default class Agent extends MmmCommand {
  static override summary = 'Make the servers so: close the passive, drain and open the active.';
  static override description =
    'It has no tags: it looks after every pair that is decided under its [redis] topic, at each message and once a second. TERM stops it cleanly.';
  static override examples = [
    { description: 'With the default file', command: '<%= config.bin %> agent' },
    {
      description: 'Do once what is to be done now, and show each step',
      command: '<%= config.bin %> agent --conf ./mmm-agent.conf --once --debug',
    },
  ];
  static override flags = { ...confFlag(AGENT_CONF), ...daemonFlags };

  async run(): Promise<void> {
    const { flags } = await this.parse(Agent);
    const config = agentConfig({ conf: flags.conf, redis: flags.redis });
    await runDaemon(
      {
        role: 'agent',
        version: this.config.version,
        flags,
        redis: config.redis,
        task: `obeys ${config.redis.topic}`,
        logfiles: [config.logfile],
      },
      async (daemon) => {
        const mailer = openMailer({ config: config.mail, log: daemon.log, clock: daemon.clock });
        const memory = openStateFile({ path: config.stateFile, log: daemon.log });
        const parts = { ...partsOf(config, daemon, mailer), memory };
        try {
          await (flags.once ? agentOnce(parts) : keepPairs(parts, daemon));
        } finally {
          await memory.written();
          await mailer.close();
        }
      },
    );
  }
}

function partsOf(
  config: AgentConfig,
  daemon: Daemon,
  mailer: AgentPairsParts['mailer'],
): Omit<AgentPairsParts, 'memory'> {
  const { access, block } = config;
  return {
    ...daemon,
    mailer,
    openServer: (host) => openServer({ host, access, block, excludeUsers: [] }),
    openFence: (host) => openFence({ host, access }),
    runHook,
    salvage: openBinlogTool({ access, folder: config.divergenceFolder, ...SALVAGE }),
    connectTimeoutMs: access.connectTimeoutMs,
    tryOnFailure: config.tryOnFailure,
    intervalMs: INTERVAL_MS,
    roundDeadlineMs: ROUND_DEADLINE_MS,
  };
}

async function keepPairs(parts: AgentPairsParts, daemon: Daemon): Promise<void> {
  const pairs = new AgentPairs(parts);
  const wake = new Wake();
  const unwatch = await daemon.store.watch(
    (event) => {
      if (!pairs.wake(event)) wake.wake();
    },
    ['decided', 'message'],
  );
  const round = () => pairs.discover();
  await daemon.run([
    { name: 'discovery', round, intervalMs: DISCOVER_MS, roundDeadlineMs: ROUND_DEADLINE_MS, wake, log: daemon.log },
  ]);
  await unwatch();
  await pairs.ended();
}

// `mmm identify`: one loop per pair, which decides from the board who is the active.
// The round is in src/identify.ts; commands/daemon.ts is the frame around it.

import type { PairConfig } from '../src/core/config.ts';
import { MmmError, messageOf } from '../src/core/errors.ts';
import { makeIdentifyRound } from '../src/identify.ts';
import { Wake } from '../src/ops/supervise.ts';
import type { WakeEvent } from '../src/store/store.ts';
import { confFlag, daemonFlags, MANAGER_CONF, managerConfig, pairFlags, tagsOf } from './base.ts';
import { type Daemon, type Loop, ROUND_SLACK_MS, runDaemon } from './daemon.ts';
import { MmmCommand } from './mmm-command.ts';

/** An identify that dies without a word is replaced after three missed rounds, but not because of one slow moment. */
const LEAD_ROUNDS = 3;
const LEAD_LEAST_MS = 5_000;

export default class Identify extends MmmCommand {
  static override summary = 'Decide which host of each pair is the active, and announce it.';
  static override description =
    'INT and TERM are logged and ignored; QUIT stops it cleanly and gives up the lead. It needs --tag or --all. Several may run; one leads.';
  static override examples = [
    { description: 'One pair of the default file', command: '<%= config.bin %> identify --tag mysql3308' },
    { description: 'Every pair of another file', command: '<%= config.bin %> identify --conf ./mmm.conf --all' },
  ];
  static override flags = { ...confFlag(MANAGER_CONF), ...pairFlags, ...daemonFlags };

  async run(): Promise<void> {
    const { flags } = await this.parse(Identify);
    const { config, pairs: selected } = managerConfig({ conf: flags.conf, redis: flags.redis, tags: tagsOf(flags) });
    const pairs = selected.filter(({ servicemode }) => servicemode === 1);
    const leftAlone = selected.filter(({ servicemode }) => servicemode === 0).map(({ tag }) => tag);
    if (pairs.length === 0) refuseActiveActive(flags.conf, leftAlone);
    const logfileOf = (pair: PairConfig) => pair.identifyLogfile ?? config.logfile;
    await runDaemon(
      {
        role: 'identify',
        version: this.config.version,
        flags,
        redis: config.redis,
        task: `decides about ${pairs.map(({ tag }) => tag).join(', ')}`,
        logfiles: pairs.map(logfileOf),
      },
      async (daemon) => {
        for (const tag of leftAlone) {
          daemon.log.error(`${tag}: left alone, because servicemode=0 (active-active) is not supported yet`);
        }
        const loops = new Map(pairs.map((pair) => [pair.uniqsign, decider(pair, logfileOf(pair), daemon)]));
        const wake = ({ uniqsign }: WakeEvent) => {
          const woken = uniqsign === null ? [...loops.values()] : [loops.get(uniqsign)];
          for (const loop of woken) loop?.wake.wake();
        };
        const unwatch = await daemon.store.watch(wake, ['observed']);
        await daemon.run([...loops.values()]);
        await unwatch();
        await Promise.all(pairs.map((pair) => resign(pair, daemon)));
      },
    );
  }
}

/** Deciding about a pair in active-active mode by the rules of the other mode would close one of its hosts. */
function refuseActiveActive(file: string, tags: readonly string[]): void {
  throw new MmmError(
    'config',
    `${file} ${tags.map((tag) => `[${tag}]`).join(', ')} servicemode: 0 (active-active) is not supported by identify yet, expected 1`,
  );
}

function decider(pair: PairConfig, logfile: string | null, { name, store, clock, random, logFor }: Daemon): Loop {
  const { plain, named: log } = logFor(pair, logfile);
  const { tryTimes, intervalMs, policy, pacing } = pair;
  const leadMs = Math.max(LEAD_LEAST_MS, LEAD_ROUNDS * intervalMs);
  return {
    name: pair.tag,
    round: makeIdentifyRound({
      pair,
      tryTimes,
      policy,
      pacing,
      store,
      clock,
      random,
      log,
      owner: name,
      leadMs,
    }),
    intervalMs,
    roundDeadlineMs: ROUND_SLACK_MS,
    wake: new Wake(),
    log: plain,
  };
}

/** So that another identify need not wait for the lead to run out. */
async function resign({ uniqsign }: PairConfig, { store, name, log }: Daemon): Promise<void> {
  try {
    await store.resign(uniqsign, name);
  } catch (error) {
    // The board is away: the lead runs out by itself.
    log.debug(`could not give up the lead: ${messageOf(error)}`);
  }
}

// Two simulated servers that replicate from each other, and nothing of mmm beside them: for the tests of what they do by themselves.

import { aPair } from '../support/build.ts';
import { Chance } from './chance.ts';
import { SimHost, type Write } from './host.ts';
import { Network } from './network.ts';
import type { ReplicationStyle } from './replica.ts';
import { Timeline } from './timeline.ts';

const WALL_MS = Date.UTC(2026, 0, 1);

export interface TwoHosts {
  readonly a: SimHost;
  readonly b: SimHost;
  readonly chance: Chance;
  readonly timeline: Timeline;
  readonly network: Network;
  readonly wallMs: () => number;
  /** What clients were told OK, in order: `A 3` is the third write, told by A. */
  readonly told: string[];
  run(ms: number): Promise<void>;
}

/** Both read only, and replicating; MySQL that comes back with its replication stopped. */
export function twoHosts(style: Partial<ReplicationStyle> = {}): TwoHosts {
  const chance = new Chance('bench');
  const timeline = new Timeline();
  const network = new Network(timeline, chance.stream('network'));
  const pair = aPair();
  const wallMs = () => WALL_MS + timeline.nowMs;
  const told: string[] = [];
  const newHost = (name: 'A' | 'B', serverId: number) =>
    new SimHost({
      name,
      host: name === 'A' ? pair.primary : pair.secondary,
      serverId,
      readOnly: true,
      style: {
        gtid: false,
        sharedDomain: false,
        startsItself: false,
        startsWritable: false,
        netTimeoutMs: 4_000,
        applyMs: 1,
        ...style,
      },
      blocking: false,
      timeline,
      network,
      chance: chance.stream(name),
      wallMs,
      tell: () => {},
      onChange: () => {},
      onOpen: () => {},
      onTold: (write: Write) => told.push(`${name} ${write.id}`),
      callWatcher: { callActs: () => {} },
    });
  const [a, b] = [newHost('A', 1), newHost('B', 2)];
  a.replicateFrom(b);
  b.replicateFrom(a);
  network.onChange = () => {
    a.replica.poke();
    b.replica.poke();
  };
  return { a, b, chance, timeline, network, wallMs, told, run: (ms) => timeline.run(timeline.nowMs + ms) };
}

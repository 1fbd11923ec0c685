// A network of our own for the fault suite: each place (a database host, a place for managers, the board's machine) is a network
// namespace, and one more, the hub, routes between them. What passes from one place to another is ruled in the hub, for each
// direction by itself, so a cut looks the same to both ends as one in a real network. Used by rig.ts. Needs root and `ip`
// (iproute2), and nothing else: no firewall.

import { execFile, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { findProgram } from '../../src/sandbox/programs.ts';

/** db1 and db2: the database hosts. mgr1 and mgr2: the managers. board: Redis. app: the applications. */
export const PLACES = ['db1', 'db2', 'mgr1', 'mgr2', 'board', 'app'] as const;
export type Place = (typeof PLACES)[number];

/**
 * What happens to packets on their way. silent: nothing comes back. prohibited, unreachable: a router says so, as a firewall that
 * rejects does. reset: somebody answers in the host's name that nobody listens there, and resets what is open.
 */
export type CutKind = 'silent' | 'prohibited' | 'unreachable' | 'reset';

/** Packets of one direction. */
export interface Cut {
  readonly from: Place | 'all';
  readonly to: Place | 'all';
  readonly how: CutKind;
}

export interface Network {
  address(place: Place): string;
  /** The words before a command that is to run in that place. It keeps the process id. */
  within(place: Place): readonly [string, ...string[]];
  /** Adds to the cuts that are there. */
  cut(cuts: readonly Cut[]): Promise<void>;
  /** Takes all cuts away. */
  heal(): Promise<void>;
  close(): Promise<void>;
}

/** Everything between these places and those, both ways. */
export function between(some: readonly Place[], others: readonly Place[], how: CutKind = 'silent'): readonly Cut[] {
  return some.flatMap((from) =>
    others.flatMap((to) => [
      { from, to, how },
      { from: to, to: from, how },
    ]),
  );
}

/** Everything that goes out of the place or into it. Who is inside, as a client beside its database, does not notice. */
export function around(place: Place, how: CutKind = 'silent'): readonly Cut[] {
  return [
    { from: place, to: 'all', how },
    { from: 'all', to: place, how },
  ];
}

const NAME = 'mmmf';
/** Of the hub's routing rules: the local table comes before them, the main one after. */
const PREFERENCE = 100;
/** The hub's routing table in which the liar has every address. */
const LIARS_TABLE = 900;
const NETWORK = '10.77';
/** The second last part of the liar's address; the places have theirs by their order. */
const LIAR = 99;

const RULE = {
  silent: 'blackhole',
  prohibited: 'prohibit',
  unreachable: 'unreachable',
  reset: `lookup ${LIARS_TABLE}`,
} as const;

/** Why there can be no network of our own here; null when there can. */
export function whyNoNetwork(): string | null {
  if (process.platform !== 'linux') return 'network namespaces are Linux only';
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  if (findProgram(['ip']) === undefined) return 'ip is not installed (Debian: apt-get install iproute2)';
  const name = `${NAME}-${process.pid}-try`;
  const tried = spawnSync('ip', ['netns', 'add', name], { encoding: 'utf8', timeout: 10_000 });
  if (tried.status !== 0) return `no network namespace can be made here: ${tried.stderr.trim()}`;
  const paired = spawnSync('ip', ['-n', name, 'link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1']);
  const ruled = spawnSync('ip', ['-n', name, 'rule', 'add', 'pref', '100', 'from', '10.0.0.1', 'blackhole']);
  spawnSync('ip', ['netns', 'del', name]);
  if (paired.status !== 0) return 'this kernel has no veth pairs';
  return ruled.status === 0 ? null : 'this kernel has no routing rules';
}

export async function openNetwork(): Promise<Network> {
  removeLeftovers();
  const id = `${NAME}-${process.pid}`;
  const hub = `${id}-hub`;
  const nodes = [
    ...PLACES.map((place, index) => ({ name: place, number: index + 1 })),
    { name: 'liar', number: LIAR },
  ] as const;
  const names = [hub, ...nodes.map(({ name }) => `${id}-${name}`)];
  // Whatever ends us, the namespaces go: by this, or by whoever makes the next network.
  const remove = () => removeNamespaces(names);
  process.on('exit', remove);
  for (const name of names) await ip(['netns', 'add', name]);
  await batch(
    hub,
    nodes.flatMap(({ name, number }) => [
      `link add v-${name} type veth peer name e0 netns ${id}-${name}`,
      `addr add ${NETWORK}.${number}.1/24 dev v-${name}`,
      `link set v-${name} up`,
    ]),
  );
  for (const { name, number } of nodes) {
    await batch(`${id}-${name}`, [
      'link set lo up',
      `addr add ${NETWORK}.${number}.2/24 dev e0`,
      'link set e0 up',
      `route add default via ${NETWORK}.${number}.1`,
      // Nothing listens there, so whoever is sent there is refused, in the name of the host that was asked for.
      ...(name === 'liar' ? PLACES.map((_, index) => `addr add ${NETWORK}.${index + 1}.2/32 dev lo`) : []),
    ]);
  }
  await batch(hub, [`route add default via ${NETWORK}.${LIAR}.2 table ${LIARS_TABLE}`]);
  await inside(hub, 'echo 1 > /proc/sys/net/ipv4/ip_forward');
  // The liar answers with addresses that live elsewhere.
  for (const name of [hub, `${id}-liar`]) {
    await inside(name, 'for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done');
  }
  const subnet = (place: Place | 'all') => (place === 'all' ? 'all' : `${NETWORK}.${PLACES.indexOf(place) + 1}.0/24`);
  let rules: string[] = [];
  return {
    address: (place) => `${NETWORK}.${PLACES.indexOf(place) + 1}.2`,
    within: (place) => ['ip', 'netns', 'exec', `${id}-${place}`],
    cut: async (cuts) => {
      const fresh = cuts.map(({ from, to, how }) => {
        // What comes from the liar itself must get through, so what the others say is ruled, not what reaches them.
        return `pref ${PREFERENCE} from ${subnet(from)} to ${subnet(to)} ${RULE[how]}`;
      });
      const added = [...new Set(fresh)].filter((rule) => !rules.includes(rule));
      rules = [...rules, ...added];
      await batch(
        hub,
        added.map((rule) => `rule add ${rule}`),
      );
    },
    heal: async () => {
      const gone = rules;
      rules = [];
      await batch(
        hub,
        gone.map((rule) => `rule del ${rule}`),
      );
    },
    close: async () => {
      process.off('exit', remove);
      remove();
    },
  };
}

/** Ends whatever still runs in the namespaces, and removes them; their cables go with them. */
function removeNamespaces(names: readonly string[]): void {
  for (const name of names) {
    const { stdout } = spawnSync('ip', ['netns', 'pids', name], { encoding: 'utf8' });
    for (const pid of (stdout ?? '').split('\n').map(Number)) {
      if (pid > 1) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // It has just ended by itself.
        }
      }
    }
    spawnSync('ip', ['netns', 'del', name]);
  }
}

/** What a run left that was killed before it could clean up: its namespaces bear its process id. */
function removeLeftovers(): void {
  const left = existingNamespaces().filter((name) => {
    const [prefix, pid] = name.split('-');
    return prefix === NAME && !isRunning(Number(pid));
  });
  removeNamespaces(left);
}

function existingNamespaces(): readonly string[] {
  try {
    return readdirSync('/run/netns');
  } catch {
    // There never was one.
    return [];
  }
}

export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Several commands of `ip` in one namespace, in one process. */
async function batch(namespace: string, commands: readonly string[]): Promise<void> {
  if (commands.length > 0) await ip(['-n', namespace, '-batch', '-'], `${commands.join('\n')}\n`);
}

async function inside(namespace: string, script: string): Promise<void> {
  await ip(['netns', 'exec', namespace, 'sh', '-c', script]);
}

function ip(words: readonly string[], input = ''): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = execFile('ip', [...words], { timeout: 20_000 }, (error, _stdout, stderr) => {
      if (error === null) resolve();
      else reject(new Error(`ip ${words.join(' ')}: ${stderr.trim()}\n${input}`, { cause: error }));
    });
    // One that ends without reading says by its exit code what was wrong.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
  });
}

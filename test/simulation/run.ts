// One run: a seed makes an installation and a plan of faults, the faults come and go, all is healed, and then it must converge.
// Comes from cli.ts and the tests; world.ts is what runs, faults.ts what breaks, checkers.ts what judges.

import { NO_SAFETY, type Policy } from '../../src/core/decision.ts';
import { Chance } from './chance.ts';
import { Checkers, type Violation } from './checkers.ts';
import { FAULTS, type FaultName, type FaultPlan, Faults, GUARDED_ONLY, HARMLESS, LOSSLESS_ONLY } from './faults.ts';
import { checkAlone, losePassive, madeLossless } from './lossless-plans.ts';
import { World, type WorldOptions } from './world.ts';

const SLICE_MS = 500;
const SETTLE_FIRST_MS = 8_000;
/** A failed change is not tried again for a minute, and an observation counts for half a one. */
const CONVERGE_WITHIN_MS = 150_000;
const STAY_MS = 5_000;
const LEVEL_WITHIN_MS = 90_000;
/** The design's budget at the defaults of one second, with room for a slice of this loop. */
const DEAD_BUDGET_MS = 1_000;
const SILENT_BUDGET_MS = 4_500;
const LEASE_BUDGET_MS = 4_500;
const ARMED_WITHIN_MS = 30_000;

export interface Outcome {
  readonly seed: string;
  readonly kind: Plan['kind'];
  readonly violations: readonly Violation[];
  readonly simulatedMs: number;
  readonly events: number;
  readonly hash: string;
  readonly figures: Checkers['figures'];
  readonly story: readonly string[];
  /** How long after the healing everything was right. */
  readonly convergedMs: number | null;
}

interface Plan {
  /**
   * storm: anything breaks. harmless: nothing that touches the databases (L3). blips: silences too short to be believed (L3).
   * single: one host fails for good, everything else is well (L1).
   */
  readonly kind: 'storm' | 'harmless' | 'blips' | 'single';
  readonly world: WorldOptions;
  readonly faults: FaultPlan;
  readonly faultsMs: number;
}

export interface RunOptions {
  /** Debug lines in the story. */
  readonly debug?: boolean;
  /** With a lease, or without; left out: as the seed says. */
  readonly guarded?: boolean;
  /** With durability=lossless, which goes with a lease here; left out: as the seed says. */
  readonly lossless?: boolean;
}

export async function runSeed(seed: string, { debug = false, guarded, lossless }: RunOptions = {}): Promise<Outcome> {
  const chance = new Chance(seed);
  const drawn = planOf(chance.stream('plan'), guarded ?? (lossless || undefined));
  const plan =
    (lossless ?? isLossless(drawn, chance.stream('durability')))
      ? madeLossless(drawn, chance.stream('lossless'))
      : drawn;
  const world = new World(plan.world, chance.stream('world'));
  if (debug) world.tellAll();
  world.tell('plan', `${plan.kind}: ${JSON.stringify({ ...plan.world, ...plan.faults })}`);
  const checkers = new Checkers(world, { harmless: plan.kind === 'harmless' || plan.kind === 'blips' });
  world.watcher = checkers;
  const { timeline } = world;
  const over = () => checkers.violations.length > 0 || world.broken.length > 0;
  const runFor = async (ms: number, enough: () => boolean = () => false) => {
    const endMs = timeline.nowMs + ms;
    while (timeline.nowMs < endMs && !over() && !enough()) await timeline.run(timeline.nowMs + SLICE_MS);
  };

  // L3 is promised for one agent at a time.
  if (plan.kind === 'harmless') world.spare('agent-1');
  world.begin();
  await runFor(SETTLE_FIRST_MS);
  if (plan.kind === 'harmless' && plan.world.policy.fencing === 'lease' && chance.happens(0.5)) {
    await moveToB(world, checkers, runFor);
  }
  const faults = new Faults(world, chance.stream('faults'), plan.faults);
  if (plan.kind === 'single') await failOnce(world, checkers, chance.stream('failure'), runFor);
  else await runFor(plan.faultsMs);
  faults.healAll();
  const convergedMs = over() ? null : await converge(world, checkers, runFor);
  for (const what of world.broken) checkers.violated('bug', what);
  return {
    seed,
    kind: plan.kind,
    violations: checkers.violations,
    simulatedMs: timeline.nowMs,
    events: timeline.events,
    hash: world.hash(),
    figures: checkers.figures,
    story: world.story,
    convergedMs,
  };
}

/** The role may be anywhere when Redis forgets where it is. */
async function moveToB(
  world: World,
  checkers: Checkers,
  runFor: (ms: number, enough?: () => boolean) => Promise<void>,
): Promise<void> {
  checkers.mustStay(null);
  await world.switchOver();
  await runFor(ARMED_WITHIN_MS, () => world.b.takesWrites && checkers.notConverged() === null);
  const why = world.b.takesWrites ? checkers.notConverged() : 'B is not opened';
  if (why === null) checkers.mustStay(world.b);
  else checkers.violated('L1', `${ARMED_WITHIN_MS / 1000} s after an operator asked for a switchover: ${why}`);
}

/**
 * L1: the active fails and stays away; within the budget (and the time that the passive needs to apply what it has received) the
 * passive takes writes. Its SQL thread may have been stopped before: that is no reason to wait for somebody.
 */
async function failOnce(
  world: World,
  checkers: Checkers,
  chance: Chance,
  runFor: (ms: number, enough?: () => boolean) => Promise<void>,
): Promise<void> {
  const { a, b, timeline } = world;
  const { fencing, leaseMs, durability } = world.options.policy;
  if (fencing === 'lease') await runFor(ARMED_WITHIN_MS, () => checkers.notConverged() === null);
  // What it is at rest it is also when the failure comes.
  const unready = checkers.notConverged();
  if (unready !== null) checkers.violated('L2', `${timeline.nowMs} ms after the start: ${unready}`);
  if (durability === 'lossless' && chance.stream('which').happens(0.4)) {
    await losePassive(world, checkers, chance.stream('passive'), runFor);
    return;
  }
  if (chance.happens(0.5)) {
    b.replica.stop({ io: false, sql: true });
    world.tell('B', 'its operator stops SQL');
    await runFor(chance.between(500, 5_000));
  }
  const manner = chance.pick(['dies', 'loses power', 'freezes']);
  if (manner === 'freezes') a.freeze();
  else a.die(manner === 'loses power');
  const failedMs = timeline.nowMs;
  const cameUpReadOnly = world.wholeBoard().lives.get(a.host)?.cameUpReadOnly === true;
  const drainMs = 2 * b.replica.relay.length * world.options.style.applyMs;
  const isKnownDead = manner === 'dies' && (fencing === 'none' || cameUpReadOnly);
  const silentMs = fencing === 'none' ? SILENT_BUDGET_MS : leaseMs + LEASE_BUDGET_MS;
  await runFor((isKnownDead ? DEAD_BUDGET_MS : silentMs) + drainMs, () => b.takesWrites);
  if (!b.takesWrites)
    checkers.violated('L1', `A ${manner}, and ${timeline.nowMs - failedMs} ms later B does not take writes`);
  else if (durability === 'lossless') await checkAlone(world, checkers, runFor);
  await runFor(chance.between(0, 20_000));
  if (manner === 'freezes') a.thaw();
  else a.restart();
}

/** L2: from whatever the faults left, and stays so; then, without clients, nothing is missing anywhere. */
async function converge(
  world: World,
  checkers: Checkers,
  runFor: (ms: number, enough?: () => boolean) => Promise<void>,
): Promise<number | null> {
  const { timeline } = world;
  const healedMs = timeline.nowMs;
  let goodSinceMs: number | null = null;
  world.putRight();
  await runFor(CONVERGE_WITHIN_MS, () => {
    goodSinceMs = checkers.notConverged() === null ? (goodSinceMs ?? timeline.nowMs) : null;
    return goodSinceMs !== null && timeline.nowMs - goodSinceMs >= STAY_MS;
  });
  if (checkers.violations.length > 0 || world.broken.length > 0) return null;
  const why = checkers.notConverged();
  const notJudged = why === null ? null : checkers.whyNotJudged();
  if (notJudged !== null) {
    checkers.figures[notJudged] += 1;
    return null;
  }
  if (why !== null) {
    checkers.violated('L2', `${CONVERGE_WITHIN_MS / 1000} s after all was healed: ${why}`);
    return null;
  }
  const convergedMs = (goodSinceMs ?? timeline.nowMs) - healedMs;
  for (const client of world.clients) client.stop();
  await runFor(LEVEL_WITHIN_MS, () => checkers.notLevel() === null);
  const lags = checkers.notLevel();
  if (lags !== null) checkers.violated('L2', `${LEVEL_WITHIN_MS / 1000} s after the last write: ${lags}`);
  else checkers.checkNothingLost();
  return convergedMs;
}

function planOf(chance: Chance, wanted: boolean | undefined): Plan {
  const kind = chance.pick(['storm', 'storm', 'storm', 'storm', 'storm', 'harmless', 'blips', 'single'] as const);
  const drawn = chance.happens(0.7);
  const guarded = wanted ?? drawn;
  const gtid = chance.happens(0.6);
  const world: WorldOptions = {
    monitors: chance.pick([1, 1, 2]),
    identifies: chance.pick([1, 1, 2]),
    // L1 and L3 are promised for a lease that several agents renew.
    agents: guarded ? chance.pick(kind === 'storm' ? [1, 2, 2, 2, 3] : [2, 3]) : chance.pick([1, 1, 2, 2, 3]),
    style: {
      gtid,
      sharedDomain: gtid && chance.happens(0.4),
      startsItself: chance.happens(0.5),
      startsWritable: guarded && kind === 'storm' && chance.happens(0.1),
      netTimeoutMs: chance.pick([4_000, 10_000, 60_000]),
      applyMs: chance.between(0.5, 5),
    },
    blocking: chance.happens(0.3),
    policy: policyOf(guarded, chance),
    // Else the role may go home when Redis forgets that an operator brought it to B.
    failback: kind === 'harmless' ? 'never' : 'auto',
    hookWorks: chance.happens(0.5),
    clients: chance.pick([1, 2, 4]),
    stubborn: chance.happens(0.7),
    writeEveryMs: chance.between(50, 300),
  };
  return { kind, world, faults: faultsOf(kind, guarded, chance), faultsMs: chance.between(30_000, 150_000) };
}

function policyOf(guarded: boolean, chance: Chance): Policy {
  const drainTimeoutSec = chance.happens(0.15) ? chance.pick([1, 5]) : null;
  if (!guarded) return { ...NO_SAFETY, drainTimeoutSec };
  return {
    drainTimeoutSec,
    fencing: 'lease',
    leaseMs: chance.pick([3_000, 3_000, 4_000, 6_000]),
    leaseAgents: chance.pick([2, 2, 2, 1]),
    onUnreachable: chance.pick(['wait', 'wait', 'wait', 'promote']),
    fenceHook: chance.happens(0.2) ? '/fence-hook' : null,
    durability: 'async',
    onDivergence: 'merge',
  };
}

/** A third of the storms and of the single failures of a pair with a lease. */
function isLossless({ kind, world }: Plan, chance: Chance): boolean {
  const isOne = world.policy.fencing === 'lease' && (kind === 'storm' || kind === 'single');
  return isOne && chance.happens(1 / 3);
}

/** Each run has faults of a few kinds only: with all of them at once nothing ever comes to its end, and little is tried. */
function faultsOf(kind: Plan['kind'], guarded: boolean, chance: Chance): FaultPlan {
  if (kind === 'single') return { kinds: [], leastGapMs: 0, meanGapMs: 0, most: 0 };
  if (kind === 'blips') return { kinds: ['short silence'], leastGapMs: 5_000, meanGapMs: 3_000, most: 1 };
  const all = kind === 'harmless' ? HARMLESS : allFaults().filter((name) => guarded || !GUARDED_ONLY.includes(name));
  const kinds = all.filter((name) => chance.happens(name.startsWith('host') ? 0.6 : 0.3));
  return {
    kinds: kinds.length === 0 ? [chance.pick(all)] : kinds,
    leastGapMs: 0,
    meanGapMs: chance.pick([1_000, 3_000, 8_000]),
    most: chance.pick([1, 2, 4, 8]),
  };
}

function allFaults(): FaultName[] {
  // The keys of a constant: nothing else can be in there.
  return (Object.keys(FAULTS) as FaultName[]).filter((name) => !LOSSLESS_ONLY.includes(name));
}

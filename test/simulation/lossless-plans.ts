// What a run with durability=lossless has besides: its installation, its faults, and how long its clients may wait when one host fails.
// Part of run.ts. Everything here is drawn from streams of its own, so that the other runs stay as they are.

import type { Chance } from './chance.ts';
import type { Checkers } from './checkers.ts';
import { type FaultPlan, LOSSLESS_ONLY } from './faults.ts';
import type { World, WorldOptions } from './world.ts';

type RunFor = (ms: number, enough?: () => boolean) => Promise<void>;

/** The design's budget: while the passive is missed commits wait so long, with room for a client that comes late to it, and a slice of the run. */
const MISSED_DEAD_MS = 1_000;
const MISSED_SILENT_MS = 4_000;
/** A new active, open already, is alone at first: it says so on the board before its first commit is told. */
const ALONE_MS = 1_500;
/** A partner that comes and goes is left alone for a while. */
const COMPLETE_AGAIN_MS = 60_000;

/** The same plan, of a pair that is to lose nothing. MySQL without GTIDs cannot say what it holds while commits wait. */
export function madeLossless<Plan extends { world: WorldOptions; faults: FaultPlan; kind: string }>(
  plan: Plan,
  chance: Chance,
): Plan {
  const { world, faults } = plan;
  const more = plan.kind === 'storm' ? LOSSLESS_ONLY.filter(() => chance.happens(0.5)) : [];
  return {
    ...plan,
    world: {
      ...world,
      // Without read_only in its my.cnf a server acknowledges alone as soon as it is up.
      style: { ...world.style, gtid: true, startsWritable: false },
      policy: { ...world.policy, durability: 'lossless' },
    },
    faults: { ...faults, kinds: [...faults.kinds, ...more] },
  };
}

/** L1: the new active, which nobody acknowledges to, acknowledges alone. Clients may come later: they still wait for the old one. */
export async function checkAlone({ b }: World, checkers: Checkers, runFor: RunFor): Promise<void> {
  await runFor(ALONE_MS, () => !b.semiSync.source);
  if (b.semiSync.source) checkers.violated('L1', `${ALONE_MS} ms after B was opened its commits still wait for A`);
}

/** L1: the passive fails; commits wait no longer than the budget says. When it is back both are complete again. */
export async function losePassive(world: World, checkers: Checkers, chance: Chance, runFor: RunFor): Promise<void> {
  const { a, b, timeline } = world;
  const manner = chance.pick(['dies', 'loses power', 'freezes']);
  if (manner === 'freezes') b.freeze();
  else b.die(manner === 'loses power');
  const failedMs = timeline.nowMs;
  const isAlone = () => !a.semiSync.source && checkers.toldMs(a) > failedMs;
  await runFor(manner === 'dies' ? MISSED_DEAD_MS : MISSED_SILENT_MS, isAlone);
  if (!isAlone()) {
    checkers.violated('L1', `B ${manner}, and ${timeline.nowMs - failedMs} ms later commits on A still wait for it`);
  }
  await runFor(chance.between(0, 20_000));
  if (manner === 'freezes') b.thaw();
  else b.restart();
  await runFor(COMPLETE_AGAIN_MS, () => checkers.notConverged() === null);
  const why = checkers.notConverged();
  if (why !== null) checkers.violated('L1', `${COMPLETE_AGAIN_MS / 1_000} s after B came back: ${why}`);
}

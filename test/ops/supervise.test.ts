import { afterEach, describe, expect, it } from 'vitest';
import { MmmError } from '../../src/core/errors.ts';
import { Progress } from '../../src/ops/progress.ts';
import { type Round, type RoundContext, type Supervision, supervise, Wake } from '../../src/ops/supervise.ts';
import { FakeClock, fakeRandom, settle } from '../support/fake-clock.ts';
import { fakeLog } from '../support/fake-log.ts';

const running: { stop: AbortController; clock: FakeClock; loop: Promise<void> }[] = [];

/** Starts a loop around `round`; ended after the test, whatever the test did. */
function aLoop(round: Round, options: Partial<Supervision> & { clock?: FakeClock } = {}) {
  const stop = new AbortController();
  const clock = options.clock ?? new FakeClock();
  const log = fakeLog();
  const wake = new Wake();
  const loop = supervise({
    name: 'c1',
    round,
    intervalMs: 1000,
    roundDeadlineMs: 10_000,
    wake,
    stop: stop.signal,
    random: fakeRandom(),
    log,
    ...options,
    clock,
  });
  running.push({ stop, clock, loop });
  return { stop, clock, log, wake, loop };
}

afterEach(async () => {
  for (const { stop } of running) stop.abort();
  for (const { clock, loop } of running.splice(0)) {
    await clock.advance(60_000);
    await loop;
    expect(clock.sleeping).toBe(0);
  }
});

/** A round that notes when it began; takes `tookMs`. */
function noting(clock: FakeClock, tookMs = 0) {
  const startsMs: number[] = [];
  const round: Round = async (signal) => {
    startsMs.push(clock.monotonic());
    if (tookMs > 0) await clock.sleep(tookMs, signal);
  };
  return { startsMs, round };
}

describe('a loop', () => {
  it('runs its first round at once, the next ones at the interval from start to start', async () => {
    const clock = new FakeClock();
    const { startsMs, round } = noting(clock, 300);
    aLoop(round, { clock });
    await clock.advance(3500);
    expect(startsMs).toEqual([0, 1000, 2000, 3000]);
  });

  it('runs the next round sooner when the round asks for it, never later', async () => {
    const clock = new FakeClock();
    const startsMs: number[] = [];
    const asks = [100, 5000, 0];
    const round: Round = async () => {
      startsMs.push(clock.monotonic());
      const nextMs = asks.shift();
      return nextMs === undefined ? {} : { nextMs };
    };
    aLoop(round, { clock });
    await clock.advance(2500);
    expect(startsMs).toEqual([0, 100, 1100, 1100, 2100]);
  });

  it('is cut short by a wake', async () => {
    const clock = new FakeClock();
    const { startsMs, round } = noting(clock);
    const { wake } = aLoop(round, { clock });
    await clock.advance(400);
    wake.wake();
    await clock.advance(1100);
    expect(startsMs).toEqual([0, 400, 1400]);
  });

  it('takes wakes that come together as one', async () => {
    const clock = new FakeClock();
    const { startsMs, round } = noting(clock);
    const { wake } = aLoop(round, { clock });
    await clock.advance(400);
    for (let time = 0; time < 5; time += 1) wake.wake();
    await clock.advance(100);
    expect(startsMs).toEqual([0, 400]);
  });

  it('runs once more right after a round during which it was woken, and never two at once', async () => {
    const clock = new FakeClock();
    let now = 0;
    let most = 0;
    const startsMs: number[] = [];
    const round: Round = async (signal) => {
      startsMs.push(clock.monotonic());
      now += 1;
      most = Math.max(most, now);
      await clock.sleep(300, signal);
      now -= 1;
    };
    const { wake } = aLoop(round, { clock });
    await clock.advance(100);
    wake.wake();
    wake.wake();
    await clock.advance(1200);
    expect(startsMs).toEqual([0, 300, 1300]);
    expect(most).toBe(1);
  });

  it('answers with its first round a wake that came before it', async () => {
    const clock = new FakeClock();
    const { startsMs, round } = noting(clock);
    const wake = new Wake();
    wake.wake();
    aLoop(round, { clock, wake });
    await clock.advance(500);
    expect(startsMs).toEqual([0]);
  });

  it('is not moved by a wall clock that jumps', async () => {
    const clock = new FakeClock();
    const { startsMs, round } = noting(clock);
    aLoop(round, { clock });
    await clock.advance(500);
    clock.jumpWall(-86_400_000);
    await clock.advance(1000);
    expect(startsMs).toEqual([0, 1000]);
  });
});

describe('a round that takes too long', () => {
  it('has its signal aborted at the deadline and is told once', async () => {
    const reasons: unknown[] = [];
    const clock = new FakeClock();
    const round: Round = async (signal) => {
      await clock.sleep(60_000, signal);
      reasons.push(signal.reason);
    };
    const { log } = aLoop(round, { clock, roundDeadlineMs: 2000 });
    await clock.advance(1999);
    expect(reasons).toEqual([]);
    await clock.advance(10_000);
    expect(reasons[0]).toBeInstanceOf(MmmError);
    expect(reasons).toHaveLength(5);
    expect(log.lines).toEqual(['error c1: the round took longer than 2 s and was cut off; starting over']);
  });

  it('is not complained about twice when it throws because it was cut off', async () => {
    const clock = new FakeClock();
    const round: Round = async (signal) => {
      await clock.sleep(60_000, signal);
      signal.throwIfAborted();
    };
    const { log } = aLoop(round, { clock, roundDeadlineMs: 2000 });
    await clock.advance(5000);
    expect(log.lines.filter((line) => line.startsWith('error'))).toHaveLength(1);
  });

  it('and does not heed its signal is never run beside another, is told, and is overdue for the watchdog', async () => {
    const clock = new FakeClock();
    const progress = new Progress(clock);
    let rounds = 0;
    const round: Round = async () => {
      rounds += 1;
      await clock.sleep(30_000);
    };
    const { log } = aLoop(round, { clock, progress, roundDeadlineMs: 2000 });
    await clock.advance(6000);
    expect(progress.overdue()).toEqual([]);
    await clock.advance(14_000);
    expect(rounds).toBe(1);
    expect(progress.overdue()).toEqual(['c1']);
    expect(log.lines.at(-1)).toContain('still has not ended');
  });

  it('ends its trouble with the next round that is in time', async () => {
    const clock = new FakeClock();
    const tookMs = [5000, 10];
    const round: Round = (signal) => clock.sleep(tookMs.shift() ?? 10, signal);
    const { log } = aLoop(round, { clock, roundDeadlineMs: 2000 });
    await clock.advance(4000);
    expect(log.lines.at(-1)).toMatch(/^info over after 10 ms: c1: the round took longer/);
  });
});

describe('a round that fails', () => {
  it('is tried again with growing gaps up to five seconds', async () => {
    const clock = new FakeClock();
    const startsMs: number[] = [];
    const round: Round = async () => {
      startsMs.push(clock.monotonic());
      throw new MmmError('store-down', 'Redis does not answer');
    };
    aLoop(round, { clock, random: fakeRandom(0.999_999) });
    await clock.advance(30_000);
    const gapsMs = startsMs.slice(1).map((at, index) => Math.round(at - (startsMs[index] ?? 0)));
    expect(gapsMs.slice(0, 8)).toEqual([100, 200, 400, 800, 1600, 3200, 5000, 5000]);
  });

  it('waits a random part of the gap, so that many pairs do not come back in step', async () => {
    const clock = new FakeClock();
    const startsMs: number[] = [];
    const round: Round = async () => {
      startsMs.push(clock.monotonic());
      throw new Error('no');
    };
    aLoop(round, { clock, random: fakeRandom(0.75) });
    await clock.advance(700);
    expect(startsMs).toEqual([0, 75, 225, 525]);
  });

  it('is told when it begins and when it is over, by one line each', async () => {
    const clock = new FakeClock();
    const round: Round = async () => {
      if (clock.monotonic() < 20_000) throw new MmmError('store-down', 'Redis does not answer');
    };
    const { log } = aLoop(round, { clock });
    await clock.advance(40_000);
    expect(log.lines[0]).toBe('error c1: Redis does not answer; trying again');
    expect(log.lines[1]).toMatch(/^info over after 2\d s: c1: Redis does not answer; trying again$/);
    expect(log.lines).toHaveLength(2);
  });

  it('shows where a mistake of ours is, and only then', async () => {
    const clock = new FakeClock();
    const errors = [new MmmError('store-down', 'Redis does not answer'), new TypeError('x is undefined')];
    const round: Round = async () => {
      const error = errors.shift();
      if (error !== undefined) throw error;
    };
    const { log } = aLoop(round, { clock });
    await clock.advance(5000);
    const stacks = log.lines.filter((line) => line.startsWith('debug'));
    expect(stacks).toHaveLength(1);
    expect(stacks[0]).toContain('supervise.test.ts');
  });

  it('is woken early, but wakes that pour in make no hot loop', async () => {
    const clock = new FakeClock();
    let rounds = 0;
    const wake = new Wake();
    const round: Round = async () => {
      rounds += 1;
      wake.wake();
      throw new Error('no');
    };
    aLoop(round, { clock, wake, random: fakeRandom(0.999) });
    await clock.advance(10_000);
    expect(rounds).toBeGreaterThan(100);
    expect(rounds).toBeLessThanOrEqual(201);
  });

  it('that throws before its first await ends nothing', async () => {
    const clock = new FakeClock();
    let rounds = 0;
    const round: Round = () => {
      rounds += 1;
      throw new Error('at once');
    };
    aLoop(round, { clock });
    await clock.advance(2000);
    expect(rounds).toBeGreaterThan(2);
  });

  it('never delays another pair', async () => {
    const clock = new FakeClock();
    const healthy = noting(clock);
    const sick: Round = async (signal) => {
      await clock.sleep(7000, signal);
      throw new Error('no');
    };
    aLoop(sick, { clock, name: 'sick' });
    aLoop(healthy.round, { clock, name: 'healthy' });
    await clock.advance(10_500);
    expect(healthy.startsMs).toEqual([0, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10_000]);
  });
});

describe('a process that was frozen', () => {
  it('tells the round after a wait how late it is', async () => {
    const clock = new FakeClock();
    const lateMs: number[] = [];
    const round: Round = async (_signal, context) => {
      lateMs.push(context.lateMs);
    };
    const { log } = aLoop(round, { clock });
    await clock.advance(500);
    await clock.freeze(8000);
    await clock.advance(1000);
    expect(lateMs).toEqual([0, 7500, 0]);
    expect(log.lines[0]).toBe('warn c1: this process ran 7 s late (paused, or the machine is overloaded)');
  });

  it('tells the round that was under way, even before any timer of ours was served', async () => {
    const clock = new FakeClock();
    const seen: number[] = [];
    let probe = () => {};
    const round: Round = async (_signal, context: RoundContext) => {
      await new Promise<void>((resolve) => {
        probe = resolve;
      });
      seen.push(context.lateMs);
    };
    aLoop(round, { clock });
    await clock.advance(100);
    const frozen = clock.freeze(4000);
    probe();
    await settle();
    await frozen;
    expect(seen[0]).toBe(3850);
    probe();
  });

  it('tells nothing to a round whose peer merely took its time', async () => {
    const clock = new FakeClock();
    const lateMs: number[] = [];
    const round: Round = async (signal, context) => {
      await clock.sleep(1900, signal);
      lateMs.push(context.lateMs);
    };
    aLoop(round, { clock });
    await clock.advance(6000);
    expect(lateMs).toEqual([0, 0, 0]);
  });
});

describe('a stop', () => {
  it('ends a loop that waits at once', async () => {
    const { loop, stop, clock } = aLoop(async () => {});
    await clock.advance(100);
    stop.abort();
    await loop;
    expect(clock.monotonic()).toBe(100);
  });

  it('lets the running round finish, then ends without another', async () => {
    const clock = new FakeClock();
    const finished: boolean[] = [];
    const round: Round = async (signal) => {
      await clock.sleep(1500, signal);
      finished.push(!signal.aborted);
    };
    const { loop, stop, wake } = aLoop(round, { clock });
    await clock.advance(100);
    wake.wake();
    stop.abort();
    await clock.advance(2000);
    await loop;
    expect(finished).toEqual([true]);
  });

  it('cuts off a round that does not finish within two seconds', async () => {
    const clock = new FakeClock();
    const cutAtMs: number[] = [];
    const round: Round = async (signal) => {
      await clock.sleep(9000, signal);
      cutAtMs.push(clock.monotonic());
      signal.throwIfAborted();
    };
    const { loop, stop, log } = aLoop(round, { clock });
    await clock.advance(100);
    stop.abort();
    await clock.advance(3000);
    await loop;
    expect(cutAtMs).toEqual([2100]);
    expect(log.lines).toEqual(['debug c1: round cut off: stopping']);
  });

  it('that came first means no round at all', async () => {
    const stop = new AbortController();
    stop.abort();
    let rounds = 0;
    await aLoop(
      async () => {
        rounds += 1;
      },
      { stop: stop.signal },
    ).loop;
    expect(rounds).toBe(0);
  });

  it('ends five hundred loops on one signal without a warning from Node', async () => {
    const warnings: Error[] = [];
    const note = (warning: Error) => warnings.push(warning);
    process.on('warning', note);
    const stop = new AbortController();
    const clock = new FakeClock();
    const loops = Array.from({ length: 500 }, () => aLoop(async () => {}, { clock, stop: stop.signal }).loop);
    await clock.advance(1);
    stop.abort();
    await Promise.all(loops);
    await settle();
    process.off('warning', note);
    expect(warnings).toEqual([]);
  });
});

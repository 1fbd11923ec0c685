// The monitor's round in its loop, with the pulse beside it, on a clock that stands still: how soon a silence is noticed, and that nothing
// else about it changes.

import { afterEach, describe, expect, it } from 'vitest';
import type { Evidence } from '../src/core/observation.ts';
import { hearingWindowMs } from '../src/core/witness.ts';
import { makeMonitorRound } from '../src/monitor.ts';
import { supervise, Wake } from '../src/ops/supervise.ts';
import { Pulse } from '../src/pulse.ts';
import { aPair, PRIMARY } from './support/build.ts';
import { failure, someFacts } from './support/facts.ts';
import { FakeClock, fakeRandom } from './support/fake-clock.ts';
import { fakeLog } from './support/fake-log.ts';
import { FakeServer, fakePair } from './support/fake-pair.ts';
import { MemoryBoard } from './support/memory-store.ts';

const CONNECT_TIMEOUT_MS = 1_000;
const INTERVAL_MS = 3_000;

/** Takes its time to answer, and answers nobody until it wakes. */
class SlowServer extends FakeServer {
  readonly looksMs: number[] = [];
  readonly pulsesMs: number[] = [];
  answerMs = 1;
  wakesMs = 0;
  readonly #clock: FakeClock;

  constructor(clock: FakeClock, { host, facts }: FakeServer) {
    super(host, facts);
    this.#clock = clock;
  }

  override async probe(): Promise<Evidence> {
    this.looksMs.push(this.#clock.monotonic());
    return (await this.#answers(CONNECT_TIMEOUT_MS)) ? super.probe() : failure('silent');
  }

  override async pulse(withinMs: number): Promise<boolean> {
    this.pulsesMs.push(this.#clock.monotonic());
    return await this.#answers(withinMs);
  }

  async #answers(withinMs: number): Promise<boolean> {
    const waitMs = Math.max(this.answerMs, this.wakesMs - this.#clock.monotonic());
    await this.#clock.sleep(Math.min(waitMs, withinMs));
    return waitMs <= withinMs;
  }
}

const running: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of running.splice(0)) await end();
});

async function aWatchedPair() {
  const pair = aPair();
  const clock = new FakeClock();
  const store = new MemoryBoard(() => clock.wall()).store({ topic: 'topic' });
  const toldMs: number[] = [];
  const { putSighting } = store;
  store.putSighting = async (...sighting) => {
    toldMs.push(clock.monotonic());
    await putSighting.apply(store, sighting);
  };
  const { a, b } = fakePair();
  const active = new SlowServer(clock, a);
  const passive = new SlowServer(clock, b);
  const wake = new Wake();
  const stop = new AbortController();
  const pulse = new Pulse({ clock, wake: () => wake.wake() });
  const log = fakeLog();
  const round = makeMonitorRound({
    pair,
    servicemode: 1,
    tryTimes: 2,
    intervalMs: INTERVAL_MS,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    wantRow: false,
    primary: active,
    secondary: passive,
    store,
    pulse,
    clock,
    log,
    observer: 'monitor-1',
  });
  const loop = supervise({
    name: 'pair',
    round,
    intervalMs: INTERVAL_MS,
    roundDeadlineMs: 60_000,
    wake,
    stop: stop.signal,
    clock,
    random: fakeRandom(),
    log,
  });
  const ended = Promise.all([loop, pulse.run(stop.signal)]);
  running.push(async () => {
    stop.abort();
    await clock.advance(3_000);
    await ended;
  });
  const goneLooks = async () => (await store.observations(pair.uniqsign, [PRIMARY]))[0]?.goneLooks;
  /** When so many looks in a row were told to have found the active gone. */
  const gone = async (looks: number, withinMs: number) => {
    const untilMs = clock.monotonic() + withinMs;
    while (clock.monotonic() < untilMs) {
      if (((await goneLooks()) ?? 0) >= looks) return clock.monotonic();
      await clock.advance(5);
    }
    return null;
  };
  await clock.advance(10);
  return { clock, active, passive, gone, toldMs };
}

describe('the pulse', () => {
  it('has a silent active looked at within a third of a second, and not at the end of the interval', async () => {
    const { clock, active, gone } = await aWatchedPair();
    await clock.advance(500);
    active.wakesMs = Number.POSITIVE_INFINITY;
    const sinceMs = clock.monotonic();
    expect(await gone(2, 5_000)).not.toBeNull();
    const [, first = 0, second = 0] = active.looksMs;
    expect(first - sinceMs).toBeLessThanOrEqual(300);
    // Both looks waited for a whole connect timeout, one after the other.
    expect(second - first).toBeGreaterThanOrEqual(CONNECT_TIMEOUT_MS);
    expect(clock.monotonic() - second).toBeGreaterThanOrEqual(CONNECT_TIMEOUT_MS);
  });

  it('has the passive asked from the first moment on, and tells its opinion as soon as it has one', async () => {
    const { clock, active, passive, gone } = await aWatchedPair();
    passive.answerMs = 5;
    for (let beats = 0; beats < 5; beats++) {
      passive.hear();
      await clock.advance(130);
    }
    active.wakesMs = Number.POSITIVE_INFINITY;
    const sinceMs = clock.monotonic();
    const toldMs = (await gone(2, 5_000)) ?? Number.POSITIVE_INFINITY;
    expect(toldMs - sinceMs).toBeGreaterThan(hearingWindowMs(1_000));
    const [, first = 0] = active.looksMs;
    expect(toldMs - first - hearingWindowMs(1_000)).toBeLessThanOrEqual(3 * passive.answerMs);
  });

  it.each([400, 700, 1_000, 1_500, 1_900])(
    'never makes two looks miss an active that was silent for %i ms, whenever that began',
    async (silentMs) => {
      const { clock, active, gone } = await aWatchedPair();
      for (let phase = 0; phase < 12; phase++) {
        await clock.advance(phase * 37);
        active.wakesMs = clock.monotonic() + silentMs;
        expect(await gone(2, INTERVAL_MS + 500)).toBeNull();
      }
    },
  );

  it('is between the rounds alone, of the host that takes writes alone', async () => {
    const { clock, active, passive } = await aWatchedPair();
    await clock.advance(INTERVAL_MS - 100);
    expect(active.pulsesMs.length).toBeGreaterThanOrEqual(10);
    expect(active.pulsesMs.length).toBeLessThanOrEqual(15);
    expect(passive.pulsesMs).toEqual([]);
    active.facts = someFacts({ ...active.facts, readOnly: true });
    await clock.advance(INTERVAL_MS);
    const before = active.pulsesMs.length;
    await clock.advance(INTERVAL_MS);
    expect(active.pulsesMs.length).toBe(before);
  });

  it('does not take a host that is far away for one that fell silent', async () => {
    const { clock, active } = await aWatchedPair();
    active.answerMs = 120;
    await clock.advance(INTERVAL_MS + 1_000);
    const before = active.looksMs.length;
    await clock.advance(4 * INTERVAL_MS);
    expect(active.looksMs.length - before).toBe(4);
  });

  it('does not look at a host again and again that is slower than it can wait for', async () => {
    const { clock, active } = await aWatchedPair();
    active.answerMs = 600;
    await clock.advance(INTERVAL_MS);
    const before = active.looksMs.length;
    await clock.advance(8 * INTERVAL_MS);
    expect(active.looksMs.length - before).toBeLessThanOrEqual(2 * 8 + 1);
  });

  it('has a round that finds nobody missing told to nobody, and leaves the others where they were', async () => {
    const { clock, active, toldMs } = await aWatchedPair();
    for (const silentMs of [300, 700, 900, 400]) {
      active.wakesMs = clock.monotonic() + silentMs;
      await clock.advance(1_500);
    }
    expect(active.looksMs.length - toldMs.length).toBeGreaterThanOrEqual(3);
    expect(toldMs.map((ms) => ms - (ms % 10))).toEqual([0, INTERVAL_MS, 2 * INTERVAL_MS]);
  });

  it('tells nothing of a question that was still open when a round began of its own accord', async () => {
    const clock = new FakeClock();
    const woken: number[] = [];
    const pulse = new Pulse({ clock, wake: () => woken.push(clock.monotonic()) });
    const stop = new AbortController();
    const ended = pulse.run(stop.signal);
    const server = {
      pulse: async (withinMs: number) => {
        await clock.sleep(withinMs);
        return false;
      },
    };
    pulse.watch([{ server, tookMs: 100 }]);
    await clock.advance(250);
    pulse.rest();
    pulse.watch([{ server, tookMs: 100 }]);
    await clock.advance(100);
    expect(woken).toEqual([]);
    await clock.advance(1_000);
    expect(woken).toEqual([600]);
    stop.abort();
    await ended;
  });

  it.each([
    ['goes on listening after a round that it began for nothing', 600, 500],
    ['listens as closely as ever some rounds after one that it began for nothing', 4 * INTERVAL_MS, 300],
  ])('%s', async (_name, laterMs, withinMs) => {
    const { clock, active } = await aWatchedPair();
    active.wakesMs = clock.monotonic() + 400;
    await clock.advance(laterMs);
    const before = active.looksMs.length;
    active.wakesMs = Number.POSITIVE_INFINITY;
    const sinceMs = clock.monotonic();
    await clock.advance(withinMs);
    expect(active.looksMs.length).toBe(before + 1);
    expect(active.looksMs.at(-1)).toBeGreaterThan(sinceMs);
  });
});

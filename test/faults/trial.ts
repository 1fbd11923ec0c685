// One fault on a settled pair, from the last quiet moment to the judgement: who took writes when, what was lost, who is the active
// now. lines.ts says which faults there are; rig.ts is what they happen to.

import { setTimeout as sleep } from 'node:timers/promises';
import type { DaemonLine } from '../../src/sandbox/daemons.ts';
import { type Actor, type BoardNow, type DatabaseHost, type FaultRig, monotonicMs } from './rig.ts';
import type { Report } from './wire.ts';

const PAUSE_MS = 5;
/** Writes that clients over the network were told of before the fault, so that there is something to lose. */
const WRITES_BEFORE = 150;
/** A change by one agent has begun and ended by then; after the opening some steps follow. */
const STEPS_WITHIN_MS = 20_000;
const AFTER_OPENING_MS = 700;
/** Two hosts that answer merge what the one lacked within this. */
const MERGED_MS = 60_000;

/** What the table of the issue says of a line. */
export interface Expected {
  /** none: no second write at all. An object: none later than so long after the waking. any: the line promises nothing. */
  readonly second: 'none' | 'any' | { readonly withinMs: number; readonly ofMs: number };
  readonly active: 'passive' | 'same' | 'either';
  /** How often the role moves; undefined: any number. */
  readonly decisions?: number;
}

/** What came of one trial. */
export interface Result {
  /** What contradicts the table, or a promise; none is good. */
  readonly problems: readonly string[];
  /** Writes that a host acknowledged after the other had been opened. */
  readonly secondWrites: number;
  /** From the opening, or the waking, to the last of them. */
  readonly secondWindowMs: number | null;
  /** How many of them came later than the table allows, whatever the machine was busy with. */
  readonly secondLate: number;
  /** Acknowledged writes that are on no host in the end. */
  readonly lost: number;
  /** Acknowledged writes that the active lacked when the fault was over, before the other host came back. */
  readonly leftBehind: number;
  /** From the fault to the first acknowledged write of the host that was opened; null when none was. */
  readonly writableMs: number | null;
  /** The longest time in which no client was told of a write. */
  readonly gapMs: number;
  readonly active: 'passive' | 'same';
  /** How often the role moved, by what the identifies say that they committed. */
  readonly decisions: number;
  /** How far the number of the epoch went: also decisions that keep the active. */
  readonly epochs: number;
  /** How long it took until the pair was as it should be, once everything answered again. */
  readonly settleMs: number;
  /** Hosts that an agent says it closed. */
  readonly fenced: readonly string[];
  /** What the clients saw, when it went wrong. */
  readonly timeline: readonly string[];
  /** More figures of the line. */
  readonly figures: Readonly<Record<string, number>>;
}

export class Trial {
  readonly rig: FaultRig;
  /** The roles before the fault. */
  readonly active: DatabaseHost;
  readonly passive: DatabaseHost;
  readonly before: BoardNow;
  readonly sinceWallMs: number;
  readonly figures: Record<string, number> = {};
  readonly problems: string[] = [];
  /** What the clients saw; told in the story when something went wrong. */
  timeline: readonly string[] = [];
  faultMs = 0;
  leftBehind = 0;

  private constructor(rig: FaultRig, roles: { active: DatabaseHost; passive: DatabaseHost; board: BoardNow }) {
    this.rig = rig;
    this.active = roles.active;
    this.passive = roles.passive;
    this.before = roles.board;
    this.sinceWallMs = Date.now();
  }

  /** Settles the pair and lets clients write. */
  static async begin(rig: FaultRig): Promise<Trial> {
    const roles = await rig.settle();
    await rig.crowd.begin();
    const trial = new Trial(rig, roles);
    await rig.crowd.load(true);
    await trial.until('the clients write', async () => {
      return ((await rig.crowd.states())[roles.active.name]?.acknowledged ?? 0) > WRITES_BEFORE;
    });
    trial.faultMs = monotonicMs();
    return trial;
  }

  /** Does it, and takes this moment for the fault's. */
  async fault(act: () => void | Promise<void>): Promise<void> {
    this.faultMs = monotonicMs();
    await act();
  }

  async until(what: string, check: () => boolean | Promise<boolean>, withinMs = 30_000): Promise<void> {
    const deadlineMs = monotonicMs() + withinMs;
    while (!(await check())) {
      if (monotonicMs() > deadlineMs) throw new Error(`${what}: not within ${withinMs} ms`);
      await sleep(PAUSE_MS);
    }
  }

  async forMs(ms: number): Promise<void> {
    await sleep(ms);
  }

  /** Waits until a client was told of a write there after `sinceMs`. */
  async writable(host: DatabaseHost, withinMs = 30_000, sinceMs = this.faultMs): Promise<void> {
    await this.until(
      `${host.name} takes writes`,
      async () => ((await this.rig.crowd.states())[host.name]?.acknowledgedMs ?? 0) > sinceMs,
      withinMs,
    );
  }

  /** Waits until a client was refused there after `sinceMs`. */
  async closed(host: DatabaseHost, withinMs = 30_000, sinceMs = this.faultMs): Promise<void> {
    await this.until(
      `${host.name} refuses writes`,
      async () => ((await this.rig.crowd.states())[host.name]?.closedMs ?? 0) > sinceMs,
      withinMs,
    );
  }

  /** Waits for the agent's step of that number since the fault, and gives its name; null when the change is over without so many. */
  async step(agent: Actor, number: number): Promise<string | null> {
    let over = false;
    const opened = this.writable(this.passive, STEPS_WITHIN_MS).then(
      () => sleep(AFTER_OPENING_MS),
      () => undefined,
    );
    void opened.then(() => {
      over = true;
    });
    for (;;) {
      const steps = (await agent.lines()).filter((line) => this.#isStep(line));
      const found = steps[number - 1];
      if (found !== undefined) return String(found['step']);
      if (over) return null;
      await sleep(1);
    }
  }

  #isStep(line: DaemonLine): boolean {
    return (
      typeof line['step'] === 'string' && line['event'] !== 'not-done' && Date.parse(line.time) >= this.sinceWallMs
    );
  }

  /** How many of the acknowledged writes the host lacks now: they stayed on the other one. */
  async countLeftBehind(host: DatabaseHost): Promise<void> {
    const { onActive, onlyOnOther, nowhere } = await this.rig.crowd.account(host.name, host.name);
    this.leftBehind = onlyOnOther.length + nowhere.length;
    this.figures['acknowledged'] = onActive + this.leftBehind;
  }

  /** Settles the pair again, and judges. */
  async end(expected: Expected): Promise<Result> {
    const { rig, problems, faultMs } = this;
    await rig.crowd.load(false);
    const observed = await rig.crowd.report(faultMs);
    const mendedMs = monotonicMs();
    const now = await rig.settle();
    const settleMs = monotonicMs() - mendedMs;
    const wokenMs = typeof expected.second === 'object' ? expected.second.ofMs : null;
    const after = await rig.crowd.report(faultMs, wokenMs);
    const accounts = await this.#accounts(now.active, now.passive);
    const role = now.active.name === this.active.name ? 'same' : 'passive';
    const decisions = await this.#moves();
    const window = secondWindowMs(after, expected);
    if (accounts > 0) problems.push(`${accounts} acknowledged writes are on no host`);
    if (expected.active !== 'either' && expected.active !== role) {
      problems.push(`the active is ${now.active.name}, it should be the ${expected.active} one`);
    }
    if (expected.decisions !== undefined && decisions !== expected.decisions) {
      problems.push(`the role moved ${decisions} times, it should ${expected.decisions} times`);
    }
    if (expected.second === 'none' && after.second.length > 0) {
      problems.push(`two writers: ${after.second.length} writes until ${window?.toFixed(1)} ms after the opening`);
    }
    const late = lateWrites(after, expected);
    if (late.beyondExcuse > 0) {
      problems.push(`two writers until ${window?.toFixed(1)} ms after the waking, ${after.second.length} writes`);
    }
    if (problems.length > 0 && after.second.length > 0) this.#timeline(after);
    const opened = observed.firstMs[this.passive.name] ?? null;
    return {
      problems,
      secondWrites: after.second.length,
      secondWindowMs: window,
      secondLate: late.count,
      lost: accounts,
      leftBehind: this.leftBehind,
      writableMs: opened === null ? null : opened - faultMs,
      gapMs: observed.gapMs,
      active: role,
      decisions,
      epochs: now.board.number - this.before.number,
      settleMs,
      fenced: await this.#fenced(),
      timeline: this.timeline,
      figures: this.figures,
    };
  }

  /** For whoever looks for the reason: each opening and each second write, from the fault on. */
  #timeline({ openings, second }: Report): void {
    const from = (atMs: number) => `${(atMs - this.faultMs).toFixed(1)} ms`;
    this.timeline = [
      ...openings.map(({ host, atMs }) => `${from(atMs)}: ${host} opened`),
      ...second
        .slice(0, 40)
        .map(
          ({ host, askedMs, answeredMs }) =>
            `${from(answeredMs)}: ${host} acknowledged what was asked at ${from(askedMs)}`,
        ),
    ];
  }

  /** How many are nowhere, once both hosts hold the same. */
  async #accounts(active: DatabaseHost, passive: DatabaseHost): Promise<number> {
    const deadlineMs = monotonicMs() + MERGED_MS;
    for (;;) {
      const { onlyOnOther, nowhere } = await this.rig.crowd.account(active.name, passive.name);
      if (onlyOnOther.length === 0) return nowhere.length;
      if (monotonicMs() > deadlineMs) {
        this.problems.push(`${onlyOnOther.length} acknowledged writes never came over to the active`);
        return nowhere.length;
      }
      await sleep(100);
    }
  }

  async #moves(): Promise<number> {
    const said = await Promise.all(this.rig.actors.map((actor) => actor.lines()));
    const decided = said
      .flat()
      .filter((line) => line['event'] === 'decided' && Date.parse(line.time) >= this.sinceWallMs)
      .sort((a, b) => (a.time < b.time ? -1 : 1))
      .map((line) => String(line['host']));
    return decided.filter((host, index) => host !== (decided[index - 1] ?? this.active.name)).length;
  }

  async #fenced(): Promise<readonly string[]> {
    const lines = await Promise.all(this.rig.agents.map((agent) => agent.lines()));
    const hosts = lines
      .flat()
      .filter((line) => this.#isStep(line) && line['event'] === 'fenced')
      .map((line) => String(line['host']));
    return [...new Set(hosts)];
  }
}

/** A statement that the frozen server had already is told of when its commit has reached the disk. */
const QUEUED_MS = 1_000;

/**
 * How many second writes came later than the table allows, and how many of those not even a busy machine excuses. One that is busy
 * with other things is slow for the woken host, too: as slow as for the one that never slept. What clients send after the waking
 * gets that much more; what was sent before it hangs on the flush of the disk alone.
 */
function lateWrites(report: Report, { second }: Expected): { readonly count: number; readonly beyondExcuse: number } {
  if (second === 'any') return { count: 0, beyondExcuse: 0 };
  if (second === 'none') return { count: report.second.length, beyondExcuse: 0 };
  const { withinMs, ofMs } = second;
  const late = report.second.filter(({ answeredMs }) => answeredMs - ofMs > withinMs);
  const beyond = late.filter(({ askedMs, answeredMs }) => {
    const excusedMs = askedMs < ofMs ? QUEUED_MS : report.slowestMs;
    return answeredMs - ofMs > withinMs + excusedMs;
  });
  return { count: late.length, beyondExcuse: beyond.length };
}

function secondWindowMs({ second }: Report, { second: expected }: Expected): number | null {
  if (second.length === 0) return null;
  const ends = second.map(
    (write) => write.answeredMs - (typeof expected === 'object' ? expected.ofMs : write.openedMs),
  );
  return Math.max(...ends);
}

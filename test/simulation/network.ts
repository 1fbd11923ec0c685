// Links between every two parties, each direction cut or whole. What is sent into a cut is lost, or arrives after the cut, as TCP
// sends it again: that is how a step runs late that nobody waits for any more.

import type { Chance } from './chance.ts';
import type { Timeline } from './timeline.ts';

/** What was sent into a cut and comes through later. */
const LATE_PROBABILITY = 0.6;
const LATE_MAX_MS = 1_500;
const LATENCY_MS: readonly [number, number] = [0.2, 2];

interface Waiting {
  readonly act: () => void;
}

export class Network {
  readonly #timeline: Timeline;
  readonly #chance: Chance;
  readonly #cuts = new Map<string, number>();
  readonly #waiting = new Map<string, Waiting[]>();
  readonly #lags = new Map<string, number>();
  readonly #rejected = new Map<string, number>();
  /** Called after every change of a link. */
  onChange: () => void = () => {};
  /** More latency for everybody, milliseconds. */
  slowMs = 0;

  constructor(timeline: Timeline, chance: Chance) {
    this.#timeline = timeline;
    this.#chance = chance;
  }

  /** One direction works. */
  reaches(from: string, to: string): boolean {
    return (this.#cuts.get(key(from, to)) ?? 0) === 0;
  }

  /** Both directions work. */
  talks(one: string, other: string): boolean {
    return this.reaches(one, other) && this.reaches(other, one);
  }

  latencyMs(): number {
    return this.#chance.between(LATENCY_MS[0], LATENCY_MS[1]) + this.#chance.next() * this.slowMs;
  }

  /** A firewall answers in the place of the host: connections are reset, and refused. Of several, each is ended once. */
  reject(from: string, to: string, by: 1 | -1): void {
    this.#rejected.set(key(from, to), (this.#rejected.get(key(from, to)) ?? 0) + by);
  }

  isRejected(from: string, to: string): boolean {
    return (this.#rejected.get(key(from, to)) ?? 0) > 0;
  }

  /** What goes this way takes up to so much longer; 0: no more. */
  lag(from: string, to: string, ms: number): void {
    if (ms === 0) this.#lags.delete(key(from, to));
    else this.#lags.set(key(from, to), ms);
    this.onChange();
  }

  /** How much longer a question there, with its answer, may take. */
  lagMs(one: string, other: string): number {
    return (this.#lags.get(key(one, other)) ?? 0) + (this.#lags.get(key(other, one)) ?? 0);
  }

  send(from: string, to: string, act: () => void): void {
    const lagMs = this.#lags.get(key(from, to)) ?? 0;
    const moreMs = lagMs === 0 ? 0 : this.#chance.next() * lagMs;
    this.#timeline.after(this.latencyMs() + moreMs, () => this.#arrive(key(from, to), act));
  }

  /** Cuts may overlap; each is healed once. */
  cut(from: string, to: string): void {
    const link = key(from, to);
    this.#cuts.set(link, (this.#cuts.get(link) ?? 0) + 1);
    this.onChange();
  }

  heal(from: string, to: string): void {
    const link = key(from, to);
    const left = (this.#cuts.get(link) ?? 0) - 1;
    if (left > 0) {
      this.#cuts.set(link, left);
      return;
    }
    this.#cuts.delete(link);
    const waiting = this.#waiting.get(link) ?? [];
    this.#waiting.delete(link);
    for (const { act } of waiting) {
      this.#timeline.after(this.#chance.between(0, LATE_MAX_MS), () => this.#arrive(link, act));
    }
    this.onChange();
  }

  #arrive(link: string, act: () => void): void {
    if ((this.#cuts.get(link) ?? 0) === 0) {
      act();
      return;
    }
    if (!this.#chance.happens(LATE_PROBABILITY)) return;
    const waiting = this.#waiting.get(link);
    if (waiting === undefined) this.#waiting.set(link, [{ act }]);
    else waiting.push({ act });
  }
}

function key(from: string, to: string): string {
  return `${from}>${to}`;
}

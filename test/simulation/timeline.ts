// The virtual time of a run: one event at a time, in the order of their moments, and after each event every promise that can settle
// does so before the next. So a run is the same every time, however fast the machine is.

interface Event {
  readonly atMs: number;
  readonly order: number;
  act: (() => void) | null;
}

export class Timeline {
  #nowMs = 0;
  #order = 0;
  #stirred = false;
  readonly #heap: Event[] = [];
  /** How many events have happened. */
  events = 0;

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Does `act` in `ms`; the returned function cancels it. */
  after(ms: number, act: () => void): () => void {
    this.#order += 1;
    const event: Event = { atMs: this.#nowMs + Math.max(0, ms), order: this.#order, act };
    this.#push(event);
    return () => {
      event.act = null;
    };
  }

  /** Something awaits what just happened: let the promises settle before the next event. Events of plain functions need no such pause. */
  stir(): void {
    this.#stirred = true;
  }

  async run(untilMs: number): Promise<void> {
    await settle();
    for (let next = this.#heap[0]; next !== undefined && next.atMs <= untilMs; next = this.#heap[0]) {
      this.#pop();
      if (next.act === null) continue;
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      this.events += 1;
      next.act();
      if (this.#stirred) {
        this.#stirred = false;
        await settle();
      }
    }
    this.#nowMs = untilMs;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const up = (at - 1) >> 1;
      const parent = heap[up];
      if (parent === undefined || isBefore(parent, event)) break;
      heap[at] = parent;
      at = up;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let down = 2 * at + 1;
      let child = heap[down];
      if (child === undefined) break;
      const other = heap[down + 1];
      if (other !== undefined && isBefore(other, child)) {
        child = other;
        down += 1;
      }
      if (isBefore(last, child)) break;
      heap[at] = child;
      at = down;
    }
    heap[at] = last;
  }
}

function isBefore(one: Event, other: Event): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order);
}

/** A turn of the event loop comes after every promise that can settle. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

// The lease keeper's eyes: asks each server for its row without waiting longer for one than the lease allows. Like agent-looks.ts, but every
// answer must have been asked for after a moment that the caller names by asking.
// Comes from src/agent-lease.ts; goes on to mysql/fence.ts `look`.

import type { HostRow } from './core/host-row.ts';
import type { Failure } from './core/observation.ts';
import type { Host } from './core/pair.ts';
import type { Fence, Looked } from './mysql/fence.ts';
import type { Clock } from './ops/clock.ts';

export interface RowSeen {
  readonly row: HostRow;
  readonly uuid: string;
}

export interface LeaseLooksParts {
  readonly fenceFor: (host: Host) => Fence;
  readonly clock: Clock;
  /** Starts the next round early. */
  readonly wake: () => void;
}

export class LeaseLooks {
  readonly #parts: LeaseLooksParts;
  readonly #last = new Map<Host, Looked>();
  /** The last row that was seen, however long ago. */
  readonly #seen = new Map<Host, RowSeen | 'none'>();
  readonly #under = new Map<Host, Promise<Looked>>();
  /** Asked for while another look was under way, which may have begun too early for whoever asks. */
  readonly #next = new Map<Host, Promise<Looked>>();
  /** Let its caller wait in vain. */
  readonly #late = new Set<Host>();

  constructor(parts: LeaseLooksParts) {
    this.#parts = parts;
  }

  /** Looks at a host and waits for `ms` at most; null: no answer yet. One that was silent a moment ago is not waited for again. */
  async ask(host: Host, ms: number): Promise<Looked | null> {
    const answer = this.begin(host);
    return await this.wait(host, answer, this.isSilent(host) ? 0 : ms);
  }

  async wait(host: Host, answer: Promise<Looked>, ms: number): Promise<Looked | null> {
    const looked = await within(this.#parts.clock, answer, ms);
    if (looked === null) this.#late.add(host);
    return looked;
  }

  /** A look that begins now or later. */
  begin(host: Host): Promise<Looked> {
    const under = this.#under.get(host);
    if (under === undefined) return this.#look(host);
    const next =
      this.#next.get(host) ??
      under.then(() => {
        this.#next.delete(host);
        return this.#look(host);
      });
    this.#next.set(host, next);
    return next;
  }

  #look(host: Host): Promise<Looked> {
    const { fenceFor, wake } = this.#parts;
    const looking = fenceFor(host)
      .look()
      .then((looked) => {
        const wasLate = this.#late.delete(host);
        this.#last.set(host, looked);
        if (looked.kind === 'row') this.#seen.set(host, looked);
        else if (looked.kind === 'none') this.#seen.set(host, 'none');
        // It is there again: a lease may be about to run out.
        if (wasLate && looked.kind !== 'silent') wake();
        return looked;
      })
      .finally(() => this.#under.delete(host));
    this.#under.set(host, looking);
    return looking;
  }

  /** It let somebody wait in vain, or did not answer its last look. */
  isSilent(host: Host): boolean {
    return this.#late.has(host) || this.#last.get(host)?.kind === 'silent';
  }

  /** Its last look was answered, whatever the answer. */
  answered(host: Host): boolean {
    const last = this.#last.get(host)?.kind;
    return !this.#late.has(host) && (last === 'row' || last === 'none');
  }

  failure(host: Host): Failure | null {
    const last = this.#last.get(host);
    return last === undefined || last.kind === 'row' || last.kind === 'none' ? null : last;
  }

  /** What its row said last; 'none': it has none. null: it was never seen. */
  seen(host: Host): RowSeen | 'none' | null {
    return this.#seen.get(host) ?? null;
  }
}

/** The answer, or null when it does not come in time; it is then still under way. */
export async function within<T>(clock: Clock, answer: Promise<T>, ms: number): Promise<T | null> {
  const over = new AbortController();
  const late = clock.sleep(ms, over.signal).then(() => null);
  try {
    return await Promise.race([answer, late]);
  } finally {
    over.abort();
  }
}

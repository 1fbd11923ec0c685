// What clients were told: every write that a server acknowledged, with its time, and afterwards where each of them is.
// Filled by client.ts, read by run.ts. A write whose outcome is unknown never gets in here.

import { ask } from './accounts.ts';

export interface Acknowledged {
  readonly id: number;
  /** Monotonic milliseconds. */
  readonly atMs: number;
  /** The port of the server that said so. */
  readonly port: number;
}

/** Where the acknowledged writes are. Every id is in exactly one of the three. */
export interface Accounts {
  readonly onActive: readonly number[];
  /** Committed on the other host and not (yet) on the active: left behind, but not gone. */
  readonly onlyOnOther: readonly number[];
  readonly nowhere: readonly number[];
}

export class Register {
  /** In the order of their times. */
  readonly #writes: Acknowledged[] = [];

  acknowledge(write: Acknowledged): void {
    this.#writes.push(write);
  }

  get size(): number {
    return this.#writes.length;
  }

  newest(): Acknowledged | undefined {
    return this.#writes.at(-1);
  }

  /** The first write that this server acknowledged after `afterMs`. */
  firstOn(port: number, afterMs: number): Acknowledged | undefined {
    return this.#writes.find((write) => write.port === port && write.atMs > afterMs);
  }

  /** The last write that this server acknowledged. */
  lastOn(port: number): Acknowledged | undefined {
    return this.#writes.findLast((write) => write.port === port);
  }

  /** The longest time that ended after `afterMs` in which nobody was told of a write. Before the first write it counts from `afterMs`. */
  longestGap(afterMs: number): { readonly fromMs: number; readonly lengthMs: number } {
    let longest = { fromMs: afterMs, lengthMs: 0 };
    let fromMs = afterMs;
    this.#writes.forEach(({ atMs }, index) => {
      const lengthMs = atMs - fromMs;
      if (atMs > afterMs && lengthMs > longest.lengthMs) longest = { fromMs, lengthMs };
      if (index === 0 || atMs > fromMs) fromMs = atMs;
    });
    return longest;
  }

  /** Drops what is older, but for the newest: for a register that is filled for hours. */
  forget(beforeMs: number): void {
    const keep = this.#writes.findIndex((write) => write.atMs >= beforeMs);
    this.#writes.splice(0, keep === -1 ? Math.max(this.#writes.length - 1, 0) : keep);
  }

  /** Looks for every acknowledged write on the active, and for what is not there on the other host, if that can be asked. */
  async accountFor(activePort: number, otherPort?: number): Promise<Accounts> {
    const active = await idsOn(activePort);
    const missing = this.#writes.map((write) => write.id).filter((id) => !active.has(id));
    const other = otherPort === undefined || missing.length === 0 ? new Set<number>() : await idsOn(otherPort);
    return {
      onActive: this.#writes.map((write) => write.id).filter((id) => active.has(id)),
      onlyOnOther: missing.filter((id) => other.has(id)),
      nowhere: missing.filter((id) => !other.has(id)),
    };
  }
}

async function idsOn(port: number): Promise<ReadonlySet<number>> {
  const rows = await ask({ port, sql: 'SELECT id FROM app.writes', timeoutMs: 20_000 });
  return new Set(rows.map((row) => Number(row['id'])));
}

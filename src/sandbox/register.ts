// What clients were told: every write that a server acknowledged, with its time, and afterwards where each of them is.
// Filled by client.ts, read by run.ts. A write whose outcome is unknown never gets in here.

import { ask, type Door } from './accounts.ts';

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
  async accountFor(active: Door | number, other?: Door | number): Promise<Accounts> {
    // What is acknowledged while we ask is not asked for.
    const ids = this.#writes.map((write) => write.id);
    const onActive = await this.#idsOn(active);
    const missing = ids.filter((id) => !onActive.has(id));
    const onOther = other === undefined || missing.length === 0 ? new Set<number>() : await this.#idsOn(other);
    return {
      onActive: ids.filter((id) => onActive.has(id)),
      onlyOnOther: missing.filter((id) => onOther.has(id)),
      nowhere: missing.filter((id) => !onOther.has(id)),
    };
  }

  /** Rows of earlier clients, whose numbers are lower, are not asked for. */
  async #idsOn(door: Door | number): Promise<ReadonlySet<number>> {
    const lowest = this.#writes.reduce((least, { id }) => Math.min(least, id), Number.MAX_SAFE_INTEGER);
    const where = typeof door === 'number' ? { port: door } : door;
    const sql = `SELECT id FROM app.writes WHERE id >= ${lowest}`;
    const rows = await ask({ ...where, sql, timeoutMs: 20_000 });
    return new Set(rows.map((row) => Number(row['id'])));
  }
}

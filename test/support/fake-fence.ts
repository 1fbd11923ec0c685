// A server's row and its comparing calls in memory, for the unit tests of whoever renews, grants and claims. The procedures' own rules are
// tried on real servers (test/mysql/); here they are as short as those of docs/decisions/0004-comparing-calls.md.

import type { Call, Called } from '../../src/core/call.ts';
import { FOUND_WRITABLE_MS, type HostRow, isArmed } from '../../src/core/host-row.ts';
import type { Failure } from '../../src/core/observation.ts';
import type { Epoch, Host } from '../../src/core/pair.ts';
import type { Fence, Looked } from '../../src/mysql/fence.ts';
import { failure } from './facts.ts';

export class FakeFenced {
  readonly host: Host;
  uuid: string;
  readonly #nowMs: () => number;
  /** null: nothing of ours is on it. */
  row: Omit<HostRow, 'nowMs'> | null;
  /** Set: it does not answer, and says so at once. */
  down: Failure | null = null;
  /** Its I/O thread runs, or it has something unapplied: it cannot be opened when it is closed. */
  replicates = true;
  /** Its EVENT runs. */
  ticks = true;
  /** Every call that reached it. */
  readonly calls: Call[] = [];
  looks = 0;
  /** Runs before a call or a look is done: where a test comes in between. */
  before: (what: Call['do'] | 'look') => void = () => {};
  /** What calls answer instead of doing anything. */
  answers: ((call: Call) => Called | null) | null = null;
  /** Looks are answered, with what was true when they were asked, only when this resolves. */
  held: Promise<void> | null = null;
  #frozen: { readonly thawed: Promise<void>; thaw(): void } | null = null;

  constructor(host: Host, nowMs: () => number) {
    this.host = host;
    this.uuid = `uuid of ${host}`;
    this.#nowMs = nowMs;
    this.row = {
      schemaVersion: 1,
      epoch: null,
      opened: null,
      lease: { kind: 'none' },
      unfenced: false,
      tickMs: nowMs(),
      generation: 0,
      startedSec: 1_000,
      readOnly: true,
    };
  }

  /** Open under this epoch, as the protocol leaves it. */
  openAt(epoch: Epoch, leaseMs: number | 'endless'): void {
    const { row } = this;
    if (row === null) throw new Error('nothing of ours is on it');
    this.row = {
      ...row,
      epoch,
      opened: { number: epoch.number, id: epoch.id, startedSec: row.startedSec },
      lease: leaseMs === 'endless' ? { kind: 'endless' } : { kind: 'finite', expiresAtMs: this.#nowMs() + leaseMs },
      readOnly: false,
    };
  }

  claimed(epoch: Epoch): void {
    if (this.row !== null) this.row = { ...this.row, epoch };
  }

  get readOnly(): boolean {
    return this.row?.readOnly ?? true;
  }

  get expiresAtMs(): number {
    return this.row?.lease.kind === 'finite' ? this.row.lease.expiresAtMs : Number.NaN;
  }

  /** What the EVENT does each second. */
  event(): void {
    const { row } = this;
    if (row === null || !this.ticks || this.#frozen !== null) return;
    const isOut = row.lease.kind === 'finite' && row.lease.expiresAtMs <= this.#nowMs();
    const foundWritable = isOut && !row.readOnly && row.opened?.startedSec !== row.startedSec;
    const lease = foundWritable ? { kind: 'finite' as const, expiresAtMs: FOUND_WRITABLE_MS } : row.lease;
    this.row = { ...row, lease, readOnly: row.readOnly || isOut, tickMs: this.#nowMs() };
  }

  /** Nothing is answered until it thaws; then all of it, in order. */
  freeze(): void {
    let thaw = () => {};
    const thawed = new Promise<void>((resolve) => {
      thaw = resolve;
    });
    this.#frozen = { thawed, thaw: () => thaw() };
  }

  thaw(): void {
    this.#frozen?.thaw();
    this.#frozen = null;
  }

  fence(): Fence {
    return {
      host: this.host,
      install: async () => this.down ?? { kind: 'unfinished' },
      look: async () => await this.#look(),
      call: async (call) => await this.#call(call),
      close: async () => {},
    };
  }

  async #look(): Promise<Looked> {
    await this.#frozen?.thawed;
    this.before('look');
    this.looks += 1;
    if (this.down !== null) return this.down;
    const { row } = this;
    const told: Looked = row === null ? { kind: 'none' } : { kind: 'row', row: this.#told(row), uuid: this.uuid };
    await this.held;
    return told;
  }

  async #call(call: Call): Promise<Called> {
    await this.#frozen?.thawed;
    this.before(call.do);
    if (this.down !== null) return this.down;
    const instead = this.answers?.(call) ?? null;
    if (instead !== null) return instead;
    this.calls.push(call);
    const { row } = this;
    if (row === null) return { kind: 'not-done', why: 'not-installed', row: null };
    const { epoch } = call;
    const known = row.epoch;
    if (known !== null && (epoch.number < known.number || (epoch.number === known.number && epoch.id !== known.id))) {
      return { kind: 'refused', row: this.#told(row) };
    }
    switch (call.do) {
      case 'claim':
        return this.#done({ ...row, epoch, unfenced: call.unfenced ?? row.unfenced });
      case 'renew':
        return this.#renew(call, row);
      case 'open':
        return this.#open(call, row);
      default:
        throw new Error(`this fake does not know ${call.do}`);
    }
  }

  #renew({ epoch, baseMs, leaseMs }: Extract<Call, { do: 'renew' }>, row: Omit<HostRow, 'nowMs'>): Called {
    const nowMs = this.#nowMs();
    if (row.epoch?.number !== epoch.number) return this.#not('unclaimed');
    if (row.opened?.number !== epoch.number || row.opened.startedSec !== row.startedSec) return this.#not('not-open');
    if (row.readOnly) return this.#not('closed');
    if (row.lease.kind !== 'finite') return this.#done(row);
    if (row.lease.expiresAtMs <= nowMs) return this.#not('lease-out');
    const untilMs = Math.max(row.lease.expiresAtMs, Math.min(baseMs, nowMs) + leaseMs);
    return this.#done({ ...row, lease: { kind: 'finite', expiresAtMs: Math.min(untilMs, nowMs + leaseMs) } });
  }

  #open({ epoch, baseMs, leaseMs, lease }: Extract<Call, { do: 'open' }>, row: Omit<HostRow, 'nowMs'>): Called {
    const nowMs = this.#nowMs();
    if (row.epoch?.number !== epoch.number) return this.#not('unclaimed');
    if (Math.min(baseMs, nowMs) + leaseMs <= nowMs) return this.#not('late');
    if (lease === 'finite' && !isArmed({ tickMs: row.tickMs, nowMs })) return this.#not('unarmed');
    if (row.readOnly && this.replicates) return this.#not('io-runs');
    this.openAt(epoch, lease === 'endless' ? 'endless' : leaseMs);
    return this.#done(this.row ?? row);
  }

  #done(row: Omit<HostRow, 'nowMs'>): Called {
    this.row = row;
    return { kind: 'done', did: '', row: this.#told(row) };
  }

  #not(why: Extract<Called, { kind: 'not-done' }>['why']): Called {
    return { kind: 'not-done', why, row: this.row === null ? null : this.#told(this.row) };
  }

  #told(row: Omit<HostRow, 'nowMs'>): HostRow {
    return { ...row, nowMs: this.#nowMs() };
  }
}

export const SILENT = failure('silent');
export const REFUSED = failure('refused', 'ECONNREFUSED');

// The clean stop of an agent: taking mmm away must not take the database away (L3). Any agent but the last simply goes; the last one says
// first, where whoever fences will read it, that the pair is unfenced, and only then makes the lease endless [F6].
// Comes from src/agent-pairs.ts, when the pair's loops have ended; goes on to the board (`leave`) and to mysql/fence.ts.

import type { LeaseKeeper } from './agent-lease.ts';
import type { Called } from './core/call.ts';
import type { Decision } from './core/decision.ts';
import { messageOf } from './core/errors.ts';
import type { HostRow } from './core/host-row.ts';
import { endlessDecision, openedUnder, witnessOf } from './core/lease.ts';
import type { Log } from './core/log.ts';
import { type Epoch, type Host, otherHost, type Roles } from './core/pair.ts';
import { within } from './lease-looks.ts';
import type { Fence } from './mysql/fence.ts';
import type { Clock, Random } from './ops/clock.ts';
import type { FoundPair, Store } from './store/store.ts';

/** For one question to a server or to the board. */
const ANSWER_MS = 700;
/** Somebody else's decision may come in between; then it begins again. */
const ATTEMPTS = 3;

export interface LeaveParts {
  readonly uniqsign: string;
  readonly store: Store;
  readonly fenceFor: (host: Host) => Fence;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly name: string;
  readonly known: LeaseKeeper['known'];
  /** All of it; systemd would kill who takes longer. */
  readonly withinMs: number;
}

/** Between two tries. */
const PAUSE_MS = 50;

type Tried = { readonly done: true } | { readonly done: false; readonly why: string; readonly again: boolean };

/** The host whose lease would run out without agents. */
interface Holder {
  readonly roles: Roles;
  readonly row: HostRow;
  /** null: the passive does not answer, or has no row. */
  readonly passiveRow: HostRow | null;
}

/** Never throws; what could not be done is told. */
export async function leave(parts: LeaveParts): Promise<void> {
  await new Leaving(parts).leave();
}

class Leaving {
  readonly #parts: LeaveParts;
  readonly #untilMs: number;

  constructor(parts: LeaveParts) {
    this.#parts = parts;
    this.#untilMs = parts.clock.monotonic() + parts.withinMs;
  }

  async leave(): Promise<void> {
    const holder = await this.#holder();
    if (holder === null) {
      await this.#withdraw();
      return;
    }
    const { log } = this.#parts;
    const { active } = holder.roles;
    /** A commit without an answer may have been done: what is put on the servers must then be the same decision. */
    let decision: Decision | null = null;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const found = await this.#inTime((store) => store.findPair(this.#parts.uniqsign));
      const epoch = found?.board.epoch ?? null;
      if (found == null || epoch === null || found.board.terms.lease === null) break;
      if (epoch.active !== active) {
        log.warn(
          `stopped in the middle of the change from ${active} to ${epoch.active}, which is left to the other agents; if there are none, ${active} closes itself`,
          { event: 'left', host: active },
        );
        await this.#withdraw();
        return;
      }
      decision = this.#decisionAfter(found, holder, epoch);
      // A policy that the board has lost is not made up for it.
      const policy = found.policyIsKnown ? found.policy : this.#parts.known.policy;
      const last = { decision, expected: epoch, policy };
      const outcome = await this.#inTime((store) => store.leave(this.#parts.uniqsign, this.#parts.name, last));
      if (outcome === 'conflict') continue;
      if (outcome === 'others') {
        log.info(`other agents go on renewing the lease of ${active}`, { event: 'left', host: active });
        return;
      }
      if (outcome === null) break;
      await this.#makeEndless(holder, decision.epoch, { boardSays: true });
      return;
    }
    await this.#leaveWithoutBoard(holder, decision?.epoch ?? null);
  }

  /** The board cannot say that the pair is unfenced, so the passive's row does: whoever opens the passive claims there first. */
  async #leaveWithoutBoard(holder: Holder, tried: Epoch | null): Promise<void> {
    const { log, random } = this.#parts;
    const { passiveRow, roles } = holder;
    if (passiveRow?.readOnly !== true) {
      log.error(
        `neither the board nor ${roles.passive} can say that the pair is unfenced; without agents ${roles.active} closes itself`,
        { event: 'left', host: roles.active },
      );
      return;
    }
    const epoch = tried ?? { number: highest(holder) + 1, id: random.id(), active: roles.active };
    await this.#makeEndless(holder, epoch, { boardSays: false });
  }

  /** The flag stands, or is put on the passive's row here; then the lease. Renewals are over with the first claim, so it is in a hurry. */
  async #makeEndless(holder: Holder, epoch: Epoch, by: { readonly boardSays: boolean }): Promise<void> {
    const { log, clock } = this.#parts;
    const { active } = holder.roles;
    for (;;) {
      const tried = await this.#tryEndless(holder, epoch, by);
      if (tried.done) {
        log.warn(
          `the last agent: the lease of ${active} is endless from now on (decision ${epoch.number}), and the pair is unfenced`,
          { event: 'unfenced', host: active },
        );
        return;
      }
      if (!tried.again || this.#leftMs() <= PAUSE_MS) {
        const why = `the last agent could not make the lease of ${active} endless: ${tried.why}; without agents it closes itself`;
        log.error(why, { event: 'left', host: active });
        return;
      }
      await clock.sleep(PAUSE_MS);
    }
  }

  async #tryEndless(
    { roles: { active, passive }, passiveRow }: Holder,
    epoch: Epoch,
    { boardSays }: { readonly boardSays: boolean },
  ): Promise<Tried> {
    const looked = await this.#call(active, (fence) => fence.look());
    if (looked?.kind !== 'row') return { done: false, why: `${active} does not answer`, again: true };
    if (looked.row.readOnly) return { done: false, why: 'it is closed already', again: false };
    // The claim is the question to the witness as well, asked after the server's time was read.
    const claimed =
      passiveRow === null
        ? null
        : await this.#call(passive, (fence) => fence.call({ do: 'claim', epoch, unfenced: true }));
    const witness = witnessOf({
      epoch,
      other: claimed !== null && 'row' in claimed ? claimed.row : null,
      board: boardSays ? await this.#boardEpoch() : null,
    });
    // A claim without an answer may have been done: then nobody else can renew, so it is tried to the end.
    const refused = claimed !== null && claimed.kind === 'refused' && 'row' in claimed;
    if (!witness.agrees) return { done: false, why: witness.why, again: !refused };
    const opened = await this.#open(active, epoch, looked.row, this.#parts.known.policy.leaseMs);
    if (opened === null) return { done: false, why: `${active} does not answer in time`, again: true };
    if (opened.kind === 'done') return { done: true };
    const again = opened.kind === 'not-done' && AGAIN.has(opened.why);
    return { done: false, why: describe(opened), again };
  }

  async #open(host: Host, epoch: Epoch, base: HostRow, leaseMs: number): Promise<Called | null> {
    const claimed = await this.#call(host, (fence) => fence.call({ do: 'claim', epoch, unfenced: null }));
    if (claimed?.kind !== 'done') return claimed;
    if (claimed.row.readOnly) return { kind: 'not-done', why: 'closed', row: claimed.row };
    return await this.#call(host, (fence) =>
      fence.call({
        do: 'open',
        epoch,
        baseMs: base.nowMs,
        leaseMs,
        lease: 'endless',
        startedSec: base.startedSec,
        // It is open. Should it close itself at this very moment, it is opened again only when nothing is missing.
        demand: 'drained',
        lossless: false,
      }),
    );
  }

  /** null: nobody is open by a lease that runs out, as far as can be seen. */
  async #holder(): Promise<Holder | null> {
    const { active, passive } = this.#parts.known.roles;
    const hosts = { primary: active, secondary: passive };
    const rows = await Promise.all(
      [active, passive].map(async (host) => ({ host, looked: await this.#call(host, (fence) => fence.look()) })),
    );
    const seen = rows.flatMap(({ host, looked }) => (looked?.kind === 'row' ? [{ host, row: looked.row }] : []));
    const held = seen
      .filter(({ row }) => openedUnder(row) !== null && row.lease.kind === 'finite')
      .sort((one, other) => (other.row.opened?.number ?? 0) - (one.row.opened?.number ?? 0))[0];
    if (held === undefined) return null;
    const other = otherHost(hosts, held.host);
    return {
      roles: { active: held.host, passive: other },
      row: held.row,
      passiveRow: seen.find(({ host }) => host === other)?.row ?? null,
    };
  }

  /** Higher than all that the servers know, too: they may know more than a board that was restored. */
  #decisionAfter({ board: { terms } }: FoundPair, holder: Holder, { number }: Epoch): Decision {
    const { random, clock, name } = this.#parts;
    const { roles } = holder;
    return endlessDecision({
      roles,
      epoch: { number: Math.max(number, highest(holder)) + 1, id: random.id(), active: roles.active },
      past: terms,
      agent: name,
      atMs: clock.wall(),
    });
  }

  /** Nobody is to count on this agent any more. */
  async #withdraw(): Promise<void> {
    const { uniqsign, name } = this.#parts;
    await this.#inTime((store) => store.putAgent(uniqsign, { name, reachesBoth: false, renewal: null }));
  }

  async #boardEpoch(): Promise<Epoch | null> {
    return (await this.#inTime((store) => store.findPair(this.#parts.uniqsign)))?.board.epoch ?? null;
  }

  /** null: the board is away, or does not answer in time. */
  async #inTime<T>(ask: (store: Store) => Promise<T>): Promise<T | null> {
    try {
      return await within(this.#parts.clock, ask(this.#parts.store), Math.min(ANSWER_MS, this.#leftMs()));
    } catch (error) {
      this.#parts.log.debug(`the board: ${messageOf(error)}`);
      return null;
    }
  }

  async #call<T>(host: Host, ask: (fence: Fence) => Promise<T>): Promise<T | null> {
    const { clock, fenceFor } = this.#parts;
    return await within(clock, ask(fenceFor(host)), Math.min(ANSWER_MS, this.#leftMs()));
  }

  #leftMs(): number {
    return Math.max(0, this.#untilMs - this.#parts.clock.monotonic());
  }
}

function highest({ row, passiveRow }: Holder): number {
  return Math.max(row.epoch?.number ?? 0, passiveRow?.epoch?.number ?? 0);
}

/** What is in the way for this moment only. */
const AGAIN: ReadonlySet<string> = new Set(['busy', 'locked', 'late']);

function describe(called: Exclude<Called, { kind: 'done' }>): string {
  if (called.kind === 'not-done') return `the server says "${called.why}"`;
  return 'row' in called ? `a higher decision (${called.row.epoch?.number}) is claimed there` : called.message;
}

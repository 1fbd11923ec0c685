// Keeps the set of complete hosts true and lets nobody wait for a partner that is gone (durability=lossless): looks at both hosts once a second, and
// at once when the connection to the passive breaks, does one step, looks again.
// Comes from src/agent-pairs.ts, in a loop of its own, for clients wait for it; core/partner.ts says what to do, the board and mysql/fence.ts
// compare, so that two agents that do the same thing, or one that slept, do no harm.

import { AgentLooks } from './agent-looks.ts';
import { noteNumber } from './agent-situation.ts';
import type { Mailer } from './agent-telling.ts';
import type { Call, Called } from './core/call.ts';
import { messageOf } from './core/errors.ts';
import type { Log } from './core/log.ts';
import type { Evidence } from './core/observation.ts';
import type { Host } from './core/pair.ts';
import { nextPartnerStep, type PartnerNext, type PartnerStep } from './core/partner.ts';
import { NO_MEMORY, type PartnerMemory, type Partnership } from './core/partner-memory.ts';
import { within } from './lease-looks.ts';
import type { Fence } from './mysql/fence.ts';
import type { Server } from './mysql/server.ts';
import type { Clock } from './ops/clock.ts';
import { Troubles } from './ops/trouble.ts';
import type { FoundPair, Store } from './store/store.ts';

/** A join has about eight steps. */
const STEPS_PER_ROUND = 20;
/** A frozen passive must not hold up what is done about it. */
const PASSIVE_LOOK_MS = 300;
/** After a step that was not done. */
const SOON_MS = 200;
/** What keeps the passive out of the set for a moment only, as after each change of roles, is not told. */
const TROUBLE_AFTER_MS = 3_000;
const REST_MS = 1_000;
const SETTLE_MS = 3_000;

export interface PartnerKeeperParts {
  readonly uniqsign: string;
  readonly store: Store;
  /** Connections of this loop's own: the agent's other ones may be busy with a long step. */
  readonly serverFor: (host: Host) => Server;
  readonly fenceFor: (host: Host) => Fence;
  readonly clock: Clock;
  readonly log: Log;
  readonly mailer: Mailer;
  /** This agent's name among those of the pair. */
  readonly name: string;
  readonly connectTimeoutMs: number;
  /** Starts the next round early. */
  readonly wake: () => void;
}

export class PartnerKeeper {
  readonly #parts: PartnerKeeperParts;
  readonly #looks: AgentLooks;
  readonly #troubles: Troubles;
  #memory: PartnerMemory = NO_MEMORY;
  /** The decision that each host's row named when it was seen last: a server that is silent may know a higher one than the board. */
  readonly #rowNumbers = new Map<Host, number>();
  /** Since when the passive is kept out of the set; null: it is not. */
  #outSinceMs: number | null = null;
  #leaving = false;
  /** A look at the passive takes longer than it is waited for. */
  #isLate = false;

  constructor(parts: PartnerKeeperParts) {
    this.#parts = parts;
    this.#looks = new AgentLooks({ ...parts, silenceTrustedMs: 2 * parts.connectTimeoutMs });
    this.#looks.wantRow = true;
    this.#troubles = new Troubles(parts);
  }

  async round(signal: AbortSignal): Promise<{ nextMs: number }> {
    const { store, uniqsign } = this.#parts;
    for (let count = 0; count < STEPS_PER_ROUND && !signal.aborted; count++) {
      // The board first: what is seen of the servers is then never older than the set that it is compared with.
      const found = await store.findPair(uniqsign);
      const seen = found === null ? null : await this.#look(found);
      if (seen === null) return { nextMs: REST_MS };
      const { next, memory } = nextPartnerStep(seen, this.#memory);
      this.#memory = memory;
      if (next.kind !== 'step') {
        if (next.kind === 'rest') this.#tellOut(seen, next.trouble);
        return { nextMs: next.inMs };
      }
      if (!(await this.#act(seen, next))) return { nextMs: SOON_MS };
    }
    return { nextMs: SOON_MS };
  }

  /** `--once`: so many rounds as it takes until nothing is in a hurry. */
  async settle(signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    const startedMs = clock.monotonic();
    for (;;) {
      const { nextMs } = await this.round(signal);
      if (signal.aborted || nextMs >= REST_MS || clock.monotonic() - startedMs >= SETTLE_MS) return;
      await clock.sleep(nextMs, signal);
    }
  }

  /** The agent was stopped, and its leave is taken. Who is the last one lets the active go alone, or a passive that is lost later would stop it (L3). */
  async farewell(signal: AbortSignal): Promise<void> {
    const { store, uniqsign, name, log } = this.#parts;
    try {
      const agents = await store.agents(uniqsign);
      if (agents.some((agent) => agent.name !== name && agent.reachesBoth)) return;
      this.#leaving = true;
      await this.settle(signal);
    } catch (error) {
      const message = messageOf(error);
      log.error(`the last agent: commits may go on waiting for the passive, and nobody sees to it: ${message}`, {
        event: 'left',
      });
    }
  }

  async #look({ board, policy }: FoundPair): Promise<Partnership | null> {
    const { roles, epoch, terms, complete, joining, divergence } = board;
    if (roles === null || epoch === null || terms.lease === null) return null;
    const { name, clock, serverFor } = this.#parts;
    const looking = this.#lookBriefly(roles.passive);
    const active = await this.#looks.look(roles.active);
    const passive = await looking;
    noteNumber(this.#rowNumbers, roles, roles.active, active.evidence);
    noteNumber(this.#rowNumbers, roles, roles.passive, passive);
    // The board went back: its set is of a time before somebody else was opened, who may have told clients OK since.
    if (Math.max(...this.#rowNumbers.values()) > epoch.number) return null;
    return {
      epoch,
      roles,
      durability: terms.durability,
      leaving: this.#leaving,
      complete,
      joining,
      held: policy.onDivergence === 'hold' && divergence?.host === roles.passive,
      active: active.evidence,
      passive,
      passiveBroke: serverFor(roles.passive).connectionBroke,
      agent: name,
      nowMs: active.atMs,
      wallMs: clock.wall(),
    };
  }

  async #lookBriefly(host: Host): Promise<Evidence> {
    const looking = this.#looks.look(host);
    // One that let somebody wait just now is asked again, but not waited for: each look at the active would be later by that.
    const look = await within(this.#parts.clock, looking, this.#isLate ? 0 : PASSIVE_LOOK_MS);
    if (look !== null) return look.evidence;
    if (!this.#isLate) {
      this.#isLate = true;
      void looking.then(() => {
        this.#isLate = false;
      });
    }
    return { kind: 'silent', code: 'ETIMEDOUT', message: `no answer within ${PASSIVE_LOOK_MS} ms` };
  }

  /** False: it was not done, and is not to be tried again at once. Losing a race to another agent is no failure: look again. */
  async #act(seen: Partnership, next: Extract<PartnerNext, { kind: 'step' }>): Promise<boolean> {
    const { store, uniqsign } = this.#parts;
    const { step, why } = next;
    const { epoch, roles } = seen;
    switch (step.do) {
      case 'join':
        if (await store.beginJoin(uniqsign, epoch, step.from, step.joining)) this.#tell(seen, step, why);
        return true;
      case 'sync-on':
      case 'sync-off': {
        const on = step.do === 'sync-on';
        return await this.#call(seen, roles.active, { do: 'sync', epoch, generation: step.generation, on }, next);
      }
      case 'acknowledge':
        return await this.#call(seen, roles.passive, { do: 'acknowledge', epoch, on: true }, next);
      case 'restart-io':
        return await this.#restartIo(seen, next);
      default:
        if (await store.putComplete(uniqsign, epoch, step.from, step.complete)) this.#tell(seen, step, why);
        return true;
    }
  }

  async #restartIo(seen: Partnership, next: Extract<PartnerNext, { kind: 'step' }>): Promise<boolean> {
    const { store, uniqsign } = this.#parts;
    const { epoch } = seen;
    const { passive } = seen.roles;
    // Noted before it is done: whoever finds the thread stopped must know that it was not a backup.
    await store.putIoStopped(uniqsign, passive, true);
    if (!(await this.#call(seen, passive, { do: 'stop-io', epoch }, next))) return false;
    if (!(await this.#call(seen, passive, { do: 'start-io', epoch, fromStandstill: false }, next))) return false;
    await store.putIoStopped(uniqsign, passive, false);
    return true;
  }

  async #call(
    seen: Partnership,
    host: Host,
    call: Call,
    { step, why }: Extract<PartnerNext, { kind: 'step' }>,
  ): Promise<boolean> {
    const called = await this.#parts.fenceFor(host).call(call);
    if (called.kind === 'done') {
      this.#troubles.clear(step.do);
      if (call.do !== 'stop-io') this.#tell(seen, step, why);
      return true;
    }
    this.#troubles.raise(step.do, `${host}: could not ${step.do}: ${whyNot(called)}; it is tried again`, {
      level: 'warn',
      fields: { event: 'not-done', host, step: step.do },
    });
    return false;
  }

  #tell({ roles: { active, passive } }: Partnership, step: PartnerStep, why: string): void {
    const { log, mailer } = this.#parts;
    const fields = { step: step.do, host: passive };
    switch (step.do) {
      case 'shrink': {
        const line = `${active} alone holds every acknowledged commit from now on, because ${why}`;
        log.warn(line, { event: 'partner-lost', ...fields });
        if (!this.#leaving) mailer.send('mmm-manager partner lost', `${line}\n`);
        break;
      }
      case 'give-up':
        log.warn(`${passive} was not taken into the complete set: ${why}`, { event: 'not-joined', ...fields });
        break;
      case 'complete':
        this.#outSinceMs = null;
        this.#troubles.clear('out');
        log.info(`${passive} holds every acknowledged commit, too: ${why}`, { event: 'joined', ...fields });
        break;
      case 'record':
        log.info(`${active} is recorded as the one that holds every acknowledged commit, because ${why}`, {
          event: 'recorded',
          ...fields,
        });
        break;
      case 'sync-off':
        log.info(`${active}: commits go without an acknowledgement, because ${why}`, { event: 'alone', ...fields });
        break;
      case 'sync-on':
        log.info(`${active}: commits wait for ${passive} to have them, because ${why}`, { event: 'sync', ...fields });
        break;
      case 'join':
      case 'acknowledge':
      case 'restart-io':
      case 'renumber':
        log.debug(`${step.do} ${passive}, because ${why}`, fields);
        break;
      default:
        step satisfies never;
    }
  }

  /** Every change of roles keeps it out for a moment. */
  #tellOut({ roles }: Partnership, trouble: string | null): void {
    if (trouble === null) {
      this.#outSinceMs = null;
      this.#troubles.clear('out');
      return;
    }
    const nowMs = this.#parts.clock.monotonic();
    this.#outSinceMs ??= nowMs;
    if (nowMs - this.#outSinceMs < TROUBLE_AFTER_MS) return;
    this.#troubles.raise('out', `not complete: ${trouble}; ${roles.active} alone holds every acknowledged commit`, {
      fields: { event: 'not-complete', host: roles.passive },
    });
  }
}

function whyNot(called: Exclude<Called, { kind: 'done' }>): string {
  if (called.kind === 'not-done') return called.detail === undefined ? called.why : `${called.why} (${called.detail})`;
  return 'row' in called ? `it knows decision ${called.row.epoch?.number ?? 0}` : called.message;
}

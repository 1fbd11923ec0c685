// The application: clients that write all the time to whatever host they reach, in the order of a JDBC URL or an HAProxy with backup: the
// hosts in order, the next one at a refusal, and they stay while their connection lives. With one host in the list: never elsewhere.

import type { Chance } from './chance.ts';
import type { Connection, SimHost, Write } from './host.ts';
import type { Network } from './network.ts';
import type { Timeline } from './timeline.ts';

const ANSWER_MS = 2_000;
const RETRY_MS = 100;

export interface ClientParts {
  readonly name: string;
  readonly hosts: readonly SimHost[];
  readonly timeline: Timeline;
  readonly network: Network;
  readonly chance: Chance;
  readonly everyMs: number;
  readonly nextId: () => number;
  readonly onAcknowledged: (write: Write, host: SimHost) => void;
}

export class Client {
  readonly name: string;
  readonly #parts: ClientParts;
  #connection: { readonly host: SimHost; readonly to: Connection } | null = null;
  #at = 0;
  /** Counts what is under way, so that a late answer is told from one that is waited for. */
  #turn = 0;
  #stopped = false;
  #readsOn: SimHost | null = null;
  #cancel: () => void = () => {};

  constructor(parts: ClientParts) {
    this.name = parts.name;
    this.#parts = parts;
    this.#next(parts.chance.between(0, parts.everyMs));
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Stays connected to this host and writes nothing; null: as before. */
  readOn(host: SimHost | null): void {
    if (this.#readsOn === host) return;
    this.#readsOn = host;
    this.#hangUp();
    this.#at = 0;
    this.#turn += 1;
    this.#next(RETRY_MS);
  }

  #next(inMs: number): void {
    this.#cancel();
    this.#cancel = this.#parts.timeline.after(inMs, () => {
      if (this.#stopped) return;
      if (this.#connection === null) this.#connect();
      else if (this.#readsOn === null) this.#write(this.#connection.host, this.#connection.to);
      else this.#next(RETRY_MS);
    });
  }

  #hangUp(): void {
    if (this.#connection !== null) this.#connection.host.hangUp(this.#connection.to);
    this.#connection = null;
  }

  #connect(): void {
    const { name, hosts, network } = this.#parts;
    const host = this.#readsOn ?? hosts[this.#at % hosts.length];
    if (host === undefined) return;
    const over = this.#within(() => this.#turnAway());
    network.send(name, host.name, () =>
      host.serve(
        () => {
          const dialled = host.dial(name, true, () => this.#broken(host));
          network.send(host.name, name, () => {
            if (!over()) {
              if (dialled.kind === 'connected') host.hangUp(dialled.connection);
            } else if (dialled.kind === 'connected') {
              this.#connection = { host, to: dialled.connection };
              this.#next(1);
            } else {
              this.#turnAway();
            }
          });
        },
        () => network.send(host.name, name, () => over() && this.#turnAway()),
      ),
    );
  }

  #write(host: SimHost, to: Connection): void {
    const { name, network, nextId, everyMs, chance, onAcknowledged } = this.#parts;
    const over = this.#within(() => this.#broken(host));
    network.send(name, host.name, () =>
      host.serve(
        () =>
          host.afterReadLock(() => {
            const answer = (write: Write | null) =>
              network.send(host.name, name, () => {
                if (!over()) return;
                if (write === null) {
                  this.#turnAway();
                  return;
                }
                onAcknowledged(write, host);
                this.#next(chance.between(everyMs / 2, everyMs));
              });
            if (host.knows(to)) host.commit(nextId(), to, answer);
            else answer(null);
          }),
        () => network.send(host.name, name, () => over() && this.#broken(host)),
      ),
    );
  }

  /** Read only, refused, or silent: the next host of the list. */
  #turnAway(): void {
    this.#hangUp();
    this.#at += 1;
    this.#turn += 1;
    this.#next(RETRY_MS);
  }

  /** Connection lost: the list from its beginning. */
  #broken(host: SimHost): void {
    if (this.#connection !== null && this.#connection.host !== host) return;
    this.#hangUp();
    this.#at = 0;
    this.#turn += 1;
    this.#next(RETRY_MS);
  }

  /** Returns the question whether the answer still counts; true once at most. */
  #within(giveUp: () => void): () => boolean {
    this.#turn += 1;
    const turn = this.#turn;
    const cancel = this.#parts.timeline.after(ANSWER_MS, () => {
      if (turn === this.#turn) giveUp();
    });
    return () => {
      if (turn !== this.#turn) return false;
      cancel();
      this.#turn += 1;
      return true;
    };
  }
}

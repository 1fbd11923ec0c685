// The agent's memory on disk: which pairs it keeps leases for, so that it goes on doing so after a restart while the board is away or
// empty. Comes from commands/agent.ts as core/agent-memory.ts; it holds no secrets, and what it cannot read or write hinders nothing.

import { readFileSync } from 'node:fs';
import { mkdir, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { AgentMemory, RememberedPair } from '../core/agent-memory.ts';
import type { Policy } from '../core/decision.ts';
import { messageOf } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import { type Host, parseHost } from '../core/pair.ts';
import { writePrivately } from './private-file.ts';

/** Grows when an older agent could not make sense of the file. */
const VERSION = 1;
/** What is longer is not ours: a pair takes about 300 characters. */
const MOST_CHARACTERS = 10_000_000;

export interface StateFile extends AgentMemory {
  /** Resolves when all that was remembered stands on the disk, or was told not to. */
  written(): Promise<void>;
}

/** Reads what is there. Trouble is told in the log, and then the agent knows nothing. */
export function openStateFile({ path, log }: { readonly path: string; readonly log: Log }): StateFile {
  return new DiskMemory(path, log);
}

class DiskMemory implements StateFile {
  readonly #path: string;
  readonly #log: Log;
  readonly #pairs: Map<string, RememberedPair>;
  /** What stands on the disk; null: nobody knows. */
  #text: string | null = null;
  #isWritten = true;
  #writing: Promise<void> | null = null;
  /** Why it cannot be written; told once. */
  #told = '';

  constructor(path: string, log: Log) {
    this.#path = path;
    this.#log = log;
    this.#pairs = new Map(this.#read().map((pair) => [pair.uniqsign, pair]));
  }

  pairs(): readonly RememberedPair[] {
    return [...this.#pairs.values()];
  }

  remember(pair: RememberedPair): void {
    // Every second, for hundreds of pairs: only what is new costs anything.
    const known = this.#pairs.get(pair.uniqsign);
    const isNew = known === undefined || JSON.stringify(fieldsOf(known)) !== JSON.stringify(fieldsOf(pair));
    if (isNew) this.#pairs.set(pair.uniqsign, pair);
    if (isNew || !this.#isWritten) this.#save();
  }

  forget(uniqsign: string): void {
    if (this.#pairs.delete(uniqsign)) this.#save();
  }

  async written(): Promise<void> {
    await this.#writing;
  }

  #read(): readonly RememberedPair[] {
    let text: string;
    try {
      text = readFileSync(this.#path, 'utf8');
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') this.#log.warn(`cannot read ${this.#path}: ${messageOf(error)}; begins without`);
      return [];
    }
    try {
      const pairs = parse(text);
      this.#text = text;
      return pairs;
    } catch (error) {
      this.#log.warn(`${this.#path} is ignored: ${messageOf(error)}`, { event: 'garbage' });
      return [];
    }
  }

  #save(): void {
    // One at a time, and the last state counts; a disk that hangs holds nothing up but the next state.
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = null;
    });
  }

  async #writeAll(): Promise<void> {
    // Several pairs change in the same moment.
    await Promise.resolve();
    this.#isWritten = false;
    for (let text = this.#encode(); text !== this.#text; text = this.#encode()) {
      try {
        await write(this.#path, text);
      } catch (error) {
        // Tried again when somebody remembers something, which is every second.
        this.#tellUnwritable(messageOf(error));
        return;
      }
      this.#text = text;
      if (this.#told !== '') this.#log.info(`can write ${this.#path} again`);
      this.#told = '';
    }
    this.#isWritten = true;
  }

  #tellUnwritable(why: string): void {
    if (this.#told === why) return;
    this.#told = why;
    this.#log.error(
      `cannot write ${this.#path}: ${why}; goes on without, but restarted while Redis is away it would know no pair and renew no lease`,
      { event: 'state-file' },
    );
  }

  #encode(): string {
    const pairs = [...this.#pairs.values()].sort((one, other) => (one.uniqsign < other.uniqsign ? -1 : 1));
    return `${JSON.stringify({ version: VERSION, pairs: pairs.map(fieldsOf) }, null, 1)}\n`;
  }
}

/** By name, so that nothing comes along that does not belong there. */
function fieldsOf({ uniqsign, roles, policy }: RememberedPair): unknown {
  const { drainTimeoutSec, fencing, leaseMs, leaseAgents, onUnreachable, fenceHook, durability, onDivergence } = policy;
  return {
    uniqsign,
    active: roles.active,
    passive: roles.passive,
    policy: { drainTimeoutSec, fencing, leaseMs, leaseAgents, onUnreachable, fenceHook, durability, onDivergence },
  };
}

/** Whole or not at all: a reader, and a restart after a crash, find the old file or the new one. */
async function write(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  // Several agents on one machine may share the file (with one content): each writes its own before it takes the place.
  const fresh = `${path}.${process.pid}.new`;
  await writePrivately(fresh, text);
  await rename(fresh, path);
}

// ------------------------------------------------------------------------------------------------------------- reading it

function parse(text: string): readonly RememberedPair[] {
  if (text.length > MOST_CHARACTERS) throw new Error('it is too long');
  const { version, pairs } = object(JSON.parse(text), 'the file');
  if (version !== VERSION) throw new Error(`it is of version ${String(version)}, expected ${VERSION}`);
  if (!Array.isArray(pairs)) throw new Error('pairs is no list');
  return pairs.map(pairOf);
}

function pairOf(value: unknown): RememberedPair {
  const pair = object(value, 'a pair');
  const uniqsign = string(pair, 'uniqsign');
  const roles = { active: host(pair, 'active'), passive: host(pair, 'passive') };
  if (roles.active === roles.passive) throw new Error(`the two hosts of ${uniqsign} are one`);
  return { uniqsign, roles, policy: policyOf(object(pair['policy'], 'policy')) };
}

function policyOf(policy: Fields): Policy {
  return {
    drainTimeoutSec: policy['drainTimeoutSec'] === null ? null : amount(policy, 'drainTimeoutSec', 0),
    fencing: word(policy, 'fencing', ['none', 'lease'] as const),
    leaseMs: amount(policy, 'leaseMs', 1),
    leaseAgents: amount(policy, 'leaseAgents', 1),
    onUnreachable: word(policy, 'onUnreachable', ['promote', 'wait'] as const),
    fenceHook: policy['fenceHook'] === null ? null : string(policy, 'fenceHook'),
    // A file of an older version has neither.
    durability: 'durability' in policy ? word(policy, 'durability', ['async', 'lossless'] as const) : 'async',
    onDivergence: 'onDivergence' in policy ? word(policy, 'onDivergence', ['merge', 'hold'] as const) : 'merge',
  };
}

type Fields = Readonly<Record<string, unknown>>;

function object(value: unknown, what: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(`${what} is no object`);
  return Object.fromEntries(Object.entries(value));
}

function string(fields: Fields, name: string): string {
  const value = fields[name];
  if (typeof value !== 'string' || value === '') throw new Error(`${name} is missing`);
  return value;
}

function host(fields: Fields, name: string): Host {
  const parsed = parseHost(string(fields, name));
  if (parsed === undefined) throw new Error(`${name} is no host`);
  return parsed;
}

function amount(fields: Fields, name: string, least: number): number {
  const value = fields[name];
  if (typeof value !== 'number' || !(value >= least)) throw new Error(`${name} is no number from ${least} on`);
  return value;
}

function word<const T extends string>(fields: Fields, name: string, words: readonly T[]): T {
  const found = words.find((known) => known === fields[name]);
  if (found === undefined) throw new Error(`${name} is neither ${words.join(' nor ')}`);
  return found;
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

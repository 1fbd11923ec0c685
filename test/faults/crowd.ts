// Starts the process of the clients (clients.ts) in the applications' network, and asks it. Used by rig.ts.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { build } from 'esbuild';
import type { Account, Ask, HostOfClients, HostState, Replies, Report } from './wire.ts';

export interface Crowd {
  /** From now on; gives the moment, and the highest number of a write so far. */
  begin(): Promise<{ readonly nowMs: number; readonly lastId: number }>;
  load(on: boolean): Promise<void>;
  states(): Promise<Readonly<Record<string, HostState>>>;
  burst(host: string, writes: number): Promise<{ readonly fromId: number; readonly toId: number }>;
  count(host: string, fromId: number, toId: number): Promise<void>;
  report(fromMs: number, aroundMs?: number | null): Promise<Report>;
  account(active: string, other: string): Promise<Account>;
  close(): Promise<void>;
}

export interface CrowdOptions {
  readonly dir: string;
  readonly within: readonly [string, ...string[]];
  readonly hosts: readonly HostOfClients[];
}

const REPLY_DEADLINE_MS = 60_000;

export async function startCrowd({ dir, within, hosts }: CrowdOptions): Promise<Crowd> {
  // Node 20 runs no TypeScript by itself.
  const file = join(dir, 'clients.cjs');
  await build({
    entryPoints: [join(import.meta.dirname, 'clients.ts')],
    outfile: file,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    logLevel: 'warning',
  });
  const [command, ...words] = within;
  const child = spawn(command, [...words, process.execPath, file], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const questions = questionsTo(child);
  child.send({ do: 'start', hosts });
  return {
    begin: () => questions({ do: 'begin' }),
    load: (on) => questions({ do: 'load', on }),
    states: () => questions({ do: 'states' }),
    burst: (host, writes) => questions({ do: 'burst', host, writes }),
    count: (host, fromId, toId) => questions({ do: 'count', host, fromId, toId }),
    report: (fromMs, aroundMs = null) => questions({ do: 'report', fromMs, aroundMs }),
    account: (active, other) => questions({ do: 'account', active, other }),
    close: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
  };
}

function questionsTo(child: ChildProcess): <A extends Ask>(ask: A) => Promise<Replies[A['do']]> {
  let lastId = 0;
  const waiting = new Map<number, { resolve: (reply: unknown) => void; reject: (error: Error) => void }>();
  child.on('message', (message: { id: number; reply?: unknown; error?: string }) => {
    const asker = waiting.get(message.id);
    waiting.delete(message.id);
    if (message.error === undefined) asker?.resolve(message.reply);
    else asker?.reject(new Error(`the clients: ${message.error}`));
  });
  child.on('exit', () => {
    for (const { reject } of waiting.values()) reject(new Error('the process of the clients ended'));
    waiting.clear();
  });
  return <A extends Ask>(ask: A) =>
    new Promise((resolve, reject) => {
      const id = ++lastId;
      const deadline = setTimeout(() => reject(new Error(`the clients do not answer: ${ask.do}`)), REPLY_DEADLINE_MS);
      waiting.set(id, {
        resolve: (reply) => {
          clearTimeout(deadline);
          // The two ends are one program, so what comes is what wire.ts says.
          resolve(reply as Replies[A['do']]);
        },
        reject: (error) => {
          clearTimeout(deadline);
          reject(error);
        },
      });
      child.send({ ...ask, id });
    });
}

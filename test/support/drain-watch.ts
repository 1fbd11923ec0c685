// Looks all the time whether a host takes writes while it still has received transactions to apply: the judge of S4.
// Used by rig.ts, so that every failover of the suite is judged.

import { setTimeout as sleep } from 'node:timers/promises';
import { type Connection, createConnection, type RowDataPacket } from 'mysql2/promise';
import { ADMIN } from '../../src/sandbox/accounts.ts';

const PAUSE_MS = 5;
const DEADLINE_MS = 500;

export interface DrainWatch {
  /** One sentence for each proof. */
  readonly proofs: readonly string[];
  stop(): Promise<void>;
}

export function startDrainWatch(ports: readonly number[]): DrainWatch {
  const proofs: string[] = [];
  const stopping = new AbortController();
  const loops = ports.map((port) => watch(port, stopping.signal, (proof) => proofs.push(proof)));
  return {
    proofs,
    stop: async () => {
      stopping.abort();
      await Promise.all(loops);
    },
  };
}

async function watch(port: number, signal: AbortSignal, tell: (proof: string) => void): Promise<void> {
  let connection: Connection | undefined;
  let wasOpen = false;
  while (!signal.aborted) {
    try {
      connection ??= await open(port);
      const open1 = await isOpen(connection);
      // Only the moment after an opening counts: later on, an active receives from the passive again.
      if (open1 && !wasOpen) {
        const [rows] = await connection.query<RowDataPacket[]>({ sql: 'SHOW SLAVE STATUS', timeout: DEADLINE_MS });
        const proof = aheadOfItsLog(rows[0]);
        if (proof !== null) tell(`127.0.0.1:${port} took writes with its relay log not applied: ${proof}`);
      }
      wasOpen = open1;
    } catch {
      // Dead or frozen: says nothing.
      connection?.destroy();
      connection = undefined;
      wasOpen = false;
    }
    await sleep(PAUSE_MS);
  }
  connection?.destroy();
}

/** With the I/O thread stopped, what was received cannot have grown since the opening: what is unapplied now was so then. */
function aheadOfItsLog(status: RowDataPacket | undefined): string | null {
  if (status === undefined || status['Slave_IO_Running'] !== 'No') return null;
  const received = `${status['Master_Log_File']}:${status['Read_Master_Log_Pos']}`;
  const applied = `${status['Relay_Master_Log_File']}:${status['Exec_Master_Log_Pos']}`;
  return received === applied ? null : `received ${received}, applied ${applied}`;
}

async function isOpen(connection: Connection): Promise<boolean> {
  const sql = 'SELECT @@global.read_only AS closed';
  const [rows] = await connection.query<RowDataPacket[]>({ sql, timeout: DEADLINE_MS });
  return Number(rows[0]?.['closed']) === 0;
}

async function open(port: number): Promise<Connection> {
  const connection = await createConnection({ host: '127.0.0.1', port, ...ADMIN, connectTimeout: DEADLINE_MS });
  connection.on('error', () => undefined);
  return connection;
}

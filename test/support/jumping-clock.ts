// Servers whose wall clock jumps when a test says so, while that of the machine goes on. A small library is preloaded into them; it is built
// with the C compiler of the machine. Used by test/servers/fooled.test.ts.

import { execFileSync } from 'node:child_process';
import { open, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Mysqld } from '../../src/sandbox/mysqld.ts';

export const CAN_JUMP = process.platform === 'linux' && hasCompiler();
if (!CAN_JUMP) console.log("no server's clock jumps in these tests: that needs Linux and a C compiler (cc)");

function hasCompiler(): boolean {
  try {
    execFileSync('cc', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Restarts the server with such a clock, and returns what sets it: so many seconds away from the machine's. */
export async function withJumpingClock(server: Mysqld): Promise<(seconds: number) => Promise<void>> {
  const library = join(server.dir, 'jump.so');
  const file = join(server.dir, 'jump');
  execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', library, resolve(import.meta.dirname, 'jump.c'), '-ldl']);
  await writeFile(file, Buffer.alloc(8));
  // The server's program is started with this process's environment, like every other.
  const before = process.env['LD_PRELOAD'];
  process.env['LD_PRELOAD'] = library;
  process.env['JUMP_FILE'] = file;
  try {
    await server.restart();
  } finally {
    delete process.env['JUMP_FILE'];
    if (before === undefined) delete process.env['LD_PRELOAD'];
    else process.env['LD_PRELOAD'] = before;
  }
  return async (seconds) => {
    const number = Buffer.alloc(8);
    number.writeBigInt64LE(BigInt(seconds));
    const handle = await open(file, 'r+');
    try {
      // In place: the server has it mapped.
      await handle.write(number, 0, number.length, 0);
    } finally {
      await handle.close();
    }
  };
}

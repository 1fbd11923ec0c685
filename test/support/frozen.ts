// A server that certainly stands still. SIGSTOP is delivered, not done, when kill() returns: a thread may still answer a question.

import { readdir, readFile } from 'node:fs/promises';
import type { Mysqld } from '../../src/sandbox/mysqld.ts';

/** Freezes the server and waits until its last thread has stopped. */
export async function frozen(mysqld: Mysqld): Promise<void> {
  mysqld.freeze();
  const tasks = `/proc/${mysqld.pid}/task`;
  for (;;) {
    const states = await Promise.all(
      (await readdir(tasks)).map(async (task) => /\) (\S)/.exec(await readFile(`${tasks}/${task}/stat`, 'utf8'))?.[1]),
    );
    if (states.every((state) => state === 'T')) return;
  }
}

// A file that nobody else can read, before anything stands in it. For the agent's memory and for accounts that are handed to another program.

import { open } from 'node:fs/promises';

/** Over whatever stands there; on the disk when it resolves. Throws as the file system does. */
export async function writePrivately(path: string, text: string): Promise<void> {
  const file = await open(path, 'w', 0o600);
  try {
    // Somebody may have left one there that others can read.
    await file.chmod(0o600);
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

// A file that is appended to while logrotate may move it away, remove it or truncate it at any moment.
// Comes from ops/lines.ts, which queues the lines.

import { type FileHandle, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { MmmError, messageOf } from '../core/errors.ts';
import type { Clock } from './clock.ts';
import type { Appended, Sink } from './lines.ts';

/** How often a busy log looks whether its path still names the file that it writes to. */
const LOOK_EVERY_MS = 1_000;

/** Readable for the group, so that log collectors need no root; not for everybody, for a log names hosts and users. */
const MODE = 0o640;

export class ReopeningFile implements Sink {
  readonly name: string;
  readonly #path: string;
  readonly #clock: Clock;
  #handle: FileHandle;
  #lookedMs: number;

  private constructor(path: string, clock: Clock, handle: FileHandle) {
    this.name = `the log file ${path}`;
    this.#path = path;
    this.#clock = clock;
    this.#handle = handle;
    this.#lookedMs = clock.monotonic();
  }

  /** Throws an MmmError that names the path and what to do about it. */
  static async open(path: string, clock: Clock): Promise<ReopeningFile> {
    try {
      return new ReopeningFile(path, clock, await openToAppend(path));
    } catch (cause) {
      throw new MmmError('log', `cannot write the log file ${path}: ${advice(path, cause)}`, { cause });
    }
  }

  /** What is written between a move by logrotate and our next look goes into the moved file: not lost, not doubled. */
  async append(bytes: Buffer): Promise<Appended> {
    const stale = await this.#reopenIfMoved();
    let writtenBytes = 0;
    try {
      while (writtenBytes < bytes.length) {
        writtenBytes += (await this.#handle.write(bytes, writtenBytes)).bytesWritten;
      }
    } catch (error) {
      return { writtenBytes, trouble: `a write failed (${reason(error)})` };
    }
    return { writtenBytes, trouble: stale };
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  /** Returns what is wrong when the path cannot be opened; then the old file, wherever it lies, still takes the lines. */
  async #reopenIfMoved(): Promise<string | null> {
    const nowMs = this.#clock.monotonic();
    if (nowMs - this.#lookedMs < LOOK_EVERY_MS) return null;
    this.#lookedMs = nowMs;
    try {
      if (await isAt(this.#handle, this.#path)) return null;
      const old = this.#handle;
      this.#handle = await openToAppend(this.#path);
      await old.close();
      return null;
    } catch (error) {
      return `it cannot be opened again (${reason(error)}), writing on to the old file`;
    }
  }
}

/** O_APPEND: after a truncation the next write lands at the start, and two processes never overwrite each other. */
function openToAppend(path: string): Promise<FileHandle> {
  return open(path, 'a', MODE);
}

async function isAt(handle: FileHandle, path: string): Promise<boolean> {
  const ours = await handle.stat({ bigint: true });
  const there = await stat(path, { bigint: true }).catch(() => null);
  return there !== null && there.ino === ours.ino && there.dev === ours.dev;
}

function advice(path: string, error: unknown): string {
  const folder = dirname(path);
  switch (codeOf(error)) {
    case 'ENOENT':
      return `the folder ${folder} does not exist; create it, or name another file in the configuration`;
    case 'EACCES':
    case 'EPERM':
      return `no permission; let this user write to it and to ${folder}, or name another file in the configuration`;
    case 'EROFS':
      return `${folder} is read only here (a file system, or ProtectSystem of a systemd unit); name another file in the configuration`;
    case 'EISDIR':
      return 'it is a folder; name a file in the configuration';
    case 'ENOTDIR':
      return `${folder} is not a folder; name another file in the configuration`;
    default:
      return reason(error);
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

function reason(error: unknown): string {
  return codeOf(error) ?? messageOf(error);
}

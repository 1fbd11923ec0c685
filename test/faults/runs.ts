// Runs trials one after the other on one rig, and makes a new rig when the old one does not settle any more. Each trial that goes
// wrong leaves its story in a file. Used by the test (table.faults.test.ts) and by the long form (cli.ts).

import { mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Line, Variant } from './lines.ts';
import { type FaultRig, monotonicMs, type RigOptions, startRig } from './rig.ts';
import type { Result } from './trial.ts';

export interface Run {
  readonly line: string;
  readonly variant: string;
  readonly tookMs: number;
  /** null: it came to no end; the problems say why. */
  readonly result: Result | null;
  readonly problems: readonly string[];
  /** The file with what the daemons said, when something went wrong. */
  readonly story: string | null;
}

export function variantsOf(line: Line, { fencing }: RigOptions, short: boolean): readonly Variant[] {
  return line.variants.filter(
    (variant) => (variant.short || !short) && (variant.fencing === undefined || variant.fencing === fencing),
  );
}

/** The rig of many trials. */
export class Runs {
  readonly #options: RigOptions;
  readonly #storyDir: string;
  #rig: FaultRig | undefined;
  #stories = 0;

  constructor(options: RigOptions, storyDir = join(tmpdir(), 'mmm-fault-stories')) {
    this.#options = options;
    this.#storyDir = storyDir;
  }

  async run(line: Line, variant: Variant): Promise<Run> {
    this.#rig ??= await startRig(this.#options);
    const rig = this.#rig;
    const beganMs = monotonicMs();
    const sinceWallMs = Date.now();
    let result: Result | null = null;
    let problems: readonly string[];
    try {
      result = await variant.run(rig);
      problems = result.problems;
    } catch (error) {
      problems = [error instanceof Error ? error.message : String(error)];
    }
    const tookMs = monotonicMs() - beganMs;
    const head = { line: line.name, variant: variant.name, tookMs, result, problems };
    if (problems.length === 0) return { ...head, story: null };
    const story = await this.#tell(head, await rig.story(sinceWallMs));
    // What it left may be anything, so the next trial gets another pair.
    if (result === null) await this.close();
    return { ...head, story };
  }

  async close(): Promise<void> {
    const rig = this.#rig;
    this.#rig = undefined;
    await rig?.close();
  }

  async #tell(head: Omit<Run, 'story'>, said: string): Promise<string> {
    await mkdir(this.#storyDir, { recursive: true });
    this.#stories += 1;
    const { kind, fencing } = this.#options;
    const file = join(this.#storyDir, `${kind}-${fencing}-${process.pid}-${this.#stories}.txt`);
    await writeFile(file, `${JSON.stringify(head, null, 2)}\n\n${said}\n`);
    return file;
  }
}

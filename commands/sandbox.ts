// `mmm sandbox`: a real failover on this machine, from nothing. Goes on to src/sandbox/run.ts.

import * as Flags from '@oclif/core/flags';
import { runSandbox } from '../src/sandbox/run.ts';
import { MmmCommand } from './mmm-command.ts';

export default class Sandbox extends MmmCommand {
  static override summary = 'Start a real pair here, kill its active, and show what mmm does.';
  static override description =
    `Starts two MariaDB (or MySQL) servers that replicate from each other, Redis, HAProxy, monitor, identify and two agents on free ports of
127.0.0.1, in a folder of its own, with fencing=lease. An application writes; then the active is killed. Shown are what happened when, how long nobody could
write, and where every acknowledged write is. Exits with 0 only if the failover happened and all of them are accounted for. Nothing
that is installed or running on this machine is touched; Ctrl-C leaves no process and no file behind.`;
  static override examples = [
    { description: 'A failover from start to end', command: '<%= config.bin %> sandbox' },
    { description: 'The active freezes, and wakes up later', command: '<%= config.bin %> sandbox --freeze' },
    { description: 'Leave everything running, to try things', command: '<%= config.bin %> sandbox --keep' },
  ];
  static override flags = {
    keep: Flags.boolean({ summary: 'Leave everything running until Ctrl-C, and print what to try.' }),
    kind: Flags.option({
      summary: 'Which servers; default: mariadb where it is installed.',
      options: ['mariadb', 'mysql56'] as const,
    })(),
    dir: Flags.string({ summary: 'The folder to make and to remove at the end.', helpValue: 'DIR' }),
    freeze: Flags.boolean({ summary: 'Freeze the active instead of killing it, and wake it after the failover.' }),
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(Sandbox);
    await runSandbox({
      kind: flags.kind,
      dir: flags.dir,
      freeze: flags.freeze,
      keep: flags.keep,
      print: (text) => this.log(text),
    });
  }
}

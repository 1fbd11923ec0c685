// `mmm config`: what may stand in the configuration files, and whether one of them is right.

import * as Flags from '@oclif/core/flags';
import { settingsReference } from '../src/core/settings.ts';
import { agentConfig, managerConfig } from './base.ts';
import { MmmCommand } from './mmm-command.ts';

export default class Config extends MmmCommand {
  static override summary = 'Print every setting of both files, or check one file.';
  static override description =
    'Without --conf it prints name, default, range and meaning of every key. With --conf it names all problems of the file at once, one per line, and exits with 2; nothing is connected to.';
  static override examples = [
    { description: 'What may stand in the files', command: '<%= config.bin %> config' },
    {
      description: 'Check a file before the daemons read it',
      command: '<%= config.bin %> config --conf /etc/mmm-manager/mmm.conf',
    },
    {
      description: 'The same for the agent',
      command: '<%= config.bin %> config --agent --conf /etc/mmm-manager/mmm-agent.conf',
    },
  ];
  static override flags = {
    conf: Flags.string({ summary: 'The file to check.', helpValue: 'FILE' }),
    agent: Flags.boolean({ summary: 'The file is an mmm-agent.conf.', dependsOn: ['conf'] }),
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(Config);
    if (flags.conf === undefined) {
      this.log(settingsReference().trimEnd());
      return;
    }
    if (flags.agent) {
      agentConfig({ conf: flags.conf, redis: undefined });
      this.log(`${flags.conf}: ok`);
      return;
    }
    const { pairs } = managerConfig({ conf: flags.conf, redis: undefined, tags: 'all' });
    this.log(`${flags.conf}: ok, ${pairs.map(({ tag }) => `[${tag}]`).join(' ')}`);
  }
}

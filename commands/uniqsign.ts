// `mmm uniqsign`: a new pair's signature.

import { randomUUID } from 'node:crypto';
import { MmmCommand } from './mmm-command.ts';

export default class Uniqsign extends MmmCommand {
  static override summary = 'Print a new uniqsign: 32 lowercase hex digits that name one pair in Redis.';
  static override examples = [
    { description: 'For the uniqsign= line of a new pair', command: '<%= config.bin %> uniqsign' },
  ];

  async run(): Promise<void> {
    await this.parse(Uniqsign);
    this.log(randomUUID().replaceAll('-', ''));
  }
}

// What an operator does: looks at the status, stops and restarts daemons, gets a mail.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { SMTPServer } from 'smtp-server';
import { afterEach, describe, expect, it } from 'vitest';
import { aRig, type Rig, TAG } from '../support/rig.ts';
import { until } from '../support/until.ts';

const run = promisify(execFile);
let rig: Rig;
afterEach(async () => {
  await rig.close();
});

async function status(...args: string[]): Promise<string> {
  const [file = '', ...rest] = rig.cli(['status', '--conf', rig.files.manager, ...args]);
  return (await run(file, rest)).stdout;
}

describe('mmm status', () => {
  it('shows the pair in the words of the contract, through a failover', async () => {
    rig = await aRig();
    const { a, b } = rig;
    await rig.writable(a);
    await rig.replicating();
    const text = (active: string, passive: string) =>
      `Current multi master status:\n[${TAG}]\n  active: ${active}\n  +- passive: ${passive}\n`;
    const healthy = (n: 0 | 1) => `(alive readonly: ${n}, replcheck: OK)`;
    await until(
      'the status is as the contract says',
      async () => (await status()) === text(`${a.host}${healthy(0)}`, `${b.host}${healthy(1)}`),
    );
    await a.kill();
    await rig.writable(b);
    await until(
      'the dead host is shown as dead',
      async () =>
        (await status('--tag', TAG)) ===
        text(`${b.host}(alive readonly: 0, replcheck: Error)`, `${a.host}(dead readonly: -1, replcheck: Error)`),
    );
  });
});

describe('the daemons', () => {
  it('can be stopped and started in any order while clients write, and nothing changes', async () => {
    rig = await aRig();
    await rig.writable(rig.a);
    const { register } = rig.client();
    await until('the client writes', () => register.size > 20);
    const sinceMs = performance.now();
    for (const role of ['agent', 'monitor', 'identify'] as const) {
      const daemon = rig.daemon(role);
      await daemon.stop();
      expect(daemon.program.exitCode, role).toBe(0);
      await rig.start(role, `${role}-2`);
    }
    await until('the new identify leads', async () => (await rig.story()).split('leads: ').length === 3);
    expect(register.longestGap(sinceMs).lengthMs).toBeLessThan(1_000);
    expect(rig.watch.stateOf(rig.b.port)).toBe('read-only');
    await rig.a.kill();
    await rig.writable(rig.b);
    expect(rig.watch.bothWritableMs).toBe(0);
  });
});

describe('mail', () => {
  it('tells of a change: subject and message in the words of the contract, and what was done', async () => {
    const mails: string[] = [];
    const server = new SMTPServer({
      authOptional: true,
      disabledCommands: ['STARTTLS'],
      onData: (stream, _session, done) => {
        const chunks: Buffer[] = [];
        stream.on('data', (chunk: Buffer) => chunks.push(chunk));
        stream.on('end', () => {
          mails.push(Buffer.concat(chunks).toString('utf8'));
          done();
        });
      },
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
    const address = server.server.address();
    if (address === null || typeof address === 'string') throw new Error('the mail server has no port');
    try {
      const mysql = { send_mail: '1', email_server: `127.0.0.1:${address.port}`, email_receiver: 'dba@example.com' };
      rig = await aRig({ mysql });
      await rig.writable(rig.a);
      await until('the opening of the primary is mailed', () => mails.length === 1);
      await rig.replicating();
      await rig.a.kill();
      await rig.writable(rig.b);
      await until('the failover is mailed', () => mails.length === 2);
      const mail = mails[1] ?? '';
      expect(mail).toContain('Subject: mmm-manager change');
      expect(mail).toContain('From: mmm_manager@mmm.com');
      expect(mail.replaceAll('=\r\n', '')).toContain(`active: ${rig.b.host}, passive: ${rig.a.host}, uniqsign: `);
      expect(mail).toContain('set read_only off');
    } finally {
      await new Promise<void>((resolve) => server.close(() => resolve()));
    }
  });
});

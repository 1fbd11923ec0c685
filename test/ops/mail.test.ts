import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { MailConfig } from '../../src/core/config.ts';
import { parseHost } from '../../src/core/pair.ts';
import { systemClock } from '../../src/ops/clock.ts';
import { type Mailer, type MailerOptions, openMailer } from '../../src/ops/mail.ts';
import { FakeClock, settle } from '../support/fake-clock.ts';
import { fakeLog } from '../support/fake-log.ts';
import { cert, key } from '../support/mail-certificate.ts';

const opened: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

interface Received {
  readonly from: string;
  readonly to: readonly string[];
  readonly text: string;
  readonly encrypted: boolean;
  readonly user: unknown;
}

/** A real mail server that keeps what it gets. */
async function aMailServer(options: SMTPServerOptions = {}) {
  const received: Received[] = [];
  const server = new SMTPServer({
    disabledCommands: ['AUTH', 'STARTTLS'],
    disableReverseLookup: true,
    key,
    cert,
    closeTimeout: 100,
    onData: (stream, session, done) => {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        const { mailFrom, rcptTo } = session.envelope;
        received.push({
          from: mailFrom === false ? '' : mailFrom.address,
          to: rcptTo.map(({ address }) => address),
          text: Buffer.concat(chunks).toString(),
          encrypted: session.secure,
          user: session.user,
        });
        done();
      });
    },
    ...options,
  });
  // A client that refuses our certificate is an error to the server; the test looks at the client.
  server.on('error', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  opened.push(() => new Promise((resolve) => server.close(() => resolve())));
  return { port: portOf(server.server), received };
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server listens nowhere');
  return address.port;
}

function aMailConfig(port: number | null, more: Partial<MailConfig> = {}): MailConfig {
  return {
    server: port === null ? null : (parseHost(`127.0.0.1:${port}`) ?? null),
    user: null,
    password: null,
    tls: 'off',
    sender: 'mmm_manager@mmm.com',
    receivers: ['dba@example.com'],
    ...more,
  };
}

/** Closed after the test, unless its clock stands still: such a test closes it itself. */
function aMailer(config: MailConfig, options: Partial<MailerOptions> = {}) {
  const log = fakeLog();
  const mailer = openMailer({ config, log, clock: systemClock, ...options });
  if (options.clock === undefined) opened.push(() => mailer.close());
  return { mailer, log };
}

/** Waits for a condition; vitest's own limit ends a test whose condition never comes. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await settle();
}

/** Sends one mail and returns the log's lines once the mailer is done with it. */
async function sendOne(mailer: Mailer, log: { lines: string[] }, subject = 'mmm-manager change', body = 'active: A') {
  const before = log.lines.length;
  mailer.send(subject, body);
  await until(() => log.lines.length > before);
  return log.lines.slice(before);
}

describe('a mail by SMTP', () => {
  it('arrives with its subject, body, sender and every receiver', async () => {
    const { port, received } = await aMailServer();
    const { mailer, log } = aMailer(aMailConfig(port, { receivers: ['a@example.com', 'b@example.com'] }));
    const body = 'active: 10.0.21.5:3308, passive: 10.0.21.7:3308, uniqsign: 8d9a4b2924dc40baa792d742cb786345';
    expect(await sendOne(mailer, log, 'mmm-manager change', body)).toEqual([
      'debug mailed "mmm-manager change" to a@example.com, b@example.com',
    ]);
    expect(received).toHaveLength(1);
    expect(received[0]).toMatchObject({
      from: 'mmm_manager@mmm.com',
      to: ['a@example.com', 'b@example.com'],
      encrypted: false,
    });
    expect(received[0]?.text).toContain('Subject: mmm-manager change\r\n');
    expect(received[0]?.text.replace(/=\r\n/g, '')).toContain(body.slice(0, 60));
    expect(received[0]?.text).toContain('Auto-Submitted: auto-generated');
  });

  it('cannot be given another header or receiver by its subject', async () => {
    const { port, received } = await aMailServer();
    const { mailer, log } = aMailer(aMailConfig(port));
    await sendOne(mailer, log, 'change\r\nBcc: thief@example.com\r\n\r\nforged body', '.\r\nQUIT\r\n');
    expect(received[0]?.to).toEqual(['dba@example.com']);
    const head = received[0]?.text.split('\r\n\r\n')[0] ?? '';
    expect(head).not.toMatch(/^Bcc:/m);
    expect(head).toContain('Subject: change Bcc: thief@example.com forged body');
  });

  it('that one receiver of two may not have is told, and the other gets it', async () => {
    const { port, received } = await aMailServer({
      onRcptTo: ({ address }, _session, done) => done(address.startsWith('gone') ? new Error('no such user') : null),
    });
    const { mailer, log } = aMailer(aMailConfig(port, { receivers: ['gone@example.com', 'b@example.com'] }));
    expect(await sendOne(mailer, log)).toContain(
      `error mail server 127.0.0.1:${port} refused mail to gone@example.com`,
    );
    expect(received[0]?.to).toEqual(['b@example.com']);
  });

  it('that nobody may have is told once, however many fail, and the end of the trouble is told', async () => {
    let attempts = 0;
    const { port, received } = await aMailServer({
      onRcptTo: (_address, _session, done) => {
        attempts += 1;
        done(attempts <= 4 ? new Error('no such user') : null);
      },
    });
    const { mailer, log } = aMailer(aMailConfig(port));
    for (let mail = 0; mail < 5; mail += 1) mailer.send('mmm-manager change', 'active: A');
    await until(() => received.length > 0 && log.lines.length >= 3);
    expect(log.lines).toEqual([
      expect.stringMatching(`^error cannot mail "mmm-manager change" by mail server 127.0.0.1:${port}: .*no such user`),
      expect.stringMatching(/^info over after /),
      'debug mailed "mmm-manager change" to dba@example.com',
    ]);
  });

  it('to a server that is not there is told with its address', async () => {
    const { port } = await aMailServer();
    for (const close of opened.splice(0)) await close();
    const { mailer, log } = aMailer(aMailConfig(port));
    expect((await sendOne(mailer, log))[0]).toMatch(
      new RegExp(`^error cannot mail .*127.0.0.1:${port}: .*ECONNREFUSED`),
    );
  });
});

describe('a mail server that hangs', () => {
  async function aHangingServer() {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => sockets.add(socket));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    opened.push(
      () =>
        new Promise((resolve) => {
          for (const socket of sockets) socket.destroy();
          server.close(() => resolve());
        }),
    );
    return { port: portOf(server), sockets };
  }

  it('delays nobody, and is given up after thirty seconds', async () => {
    const { port, sockets } = await aHangingServer();
    const clock = new FakeClock();
    const { mailer, log } = aMailer(aMailConfig(port), { clock });
    const before = performance.now();
    mailer.send('mmm-manager change', 'active: A');
    expect(performance.now() - before).toBeLessThan(100);
    await until(() => sockets.size === 1);
    await clock.advance(29_999);
    expect(log.lines).toEqual([]);
    await clock.advance(1);
    await until(() => log.lines.length > 0);
    expect(log.lines).toEqual([
      `error cannot mail "mmm-manager change" by mail server 127.0.0.1:${port}: no answer within 30 s`,
    ]);
    const [socket] = sockets;
    await until(() => socket === undefined || socket.readableEnded || socket.destroyed);
    await mailer.close();
    expect(clock.sleeping).toBe(0);
  });

  it('makes the queue grow to its bound and no further', async () => {
    const { port } = await aHangingServer();
    const clock = new FakeClock();
    const { mailer, log } = aMailer(aMailConfig(port), { clock });
    for (let mail = 0; mail < 500; mail += 1) mailer.send('mmm-manager change', String(mail));
    expect(log.lines).toEqual(['error 100 mails are waiting to be sent; new ones are dropped']);
    const closing = mailer.close();
    await settle();
    await clock.advance(2000);
    await closing;
  });

  it('keeps the daemon from ending for two seconds at most', async () => {
    const { port } = await aHangingServer();
    const clock = new FakeClock();
    const { mailer, log } = aMailer(aMailConfig(port), { clock });
    mailer.send('mmm-manager change', 'active: A');
    const closing = mailer.close();
    await settle();
    await clock.advance(2000);
    await closing;
    expect(log.lines[0]).toContain('the daemon ends');
    mailer.send('mmm-manager change', 'too late');
    await mailer.close();
    expect(log.lines).toHaveLength(1);
  });
});

describe('email_tls', () => {
  const encrypting: SMTPServerOptions = { disabledCommands: ['AUTH'] };

  it('off sends in the clear even where encryption is offered', async () => {
    const { port, received } = await aMailServer(encrypting);
    const { mailer, log } = aMailer(aMailConfig(port, { tls: 'off' }));
    await sendOne(mailer, log);
    expect(received[0]?.encrypted).toBe(false);
  });

  it('starttls encrypts where it is offered, whoever signed the certificate', async () => {
    const { port, received } = await aMailServer(encrypting);
    const { mailer, log } = aMailer(aMailConfig(port, { tls: 'starttls' }));
    await sendOne(mailer, log);
    expect(received[0]?.encrypted).toBe(true);
  });

  it('starttls sends in the clear where nothing else is offered', async () => {
    const { port, received } = await aMailServer();
    const { mailer, log } = aMailer(aMailConfig(port, { tls: 'starttls' }));
    await sendOne(mailer, log);
    expect(received[0]?.encrypted).toBe(false);
  });

  it('required sends nothing where no encryption is offered', async () => {
    const { port, received } = await aMailServer();
    const { mailer, log } = aMailer(aMailConfig(port, { tls: 'required' }));
    expect((await sendOne(mailer, log))[0]).toMatch(/^error cannot mail/);
    expect(received).toEqual([]);
  });

  it.each(['required', 'implicit'] as const)('%s refuses a certificate that nobody vouches for', async (tls) => {
    const { port, received } = await aMailServer({ ...encrypting, secure: tls === 'implicit' });
    const { mailer, log } = aMailer(aMailConfig(port, { tls }));
    expect((await sendOne(mailer, log))[0]).toMatch(/^error cannot mail .*certificate/);
    expect(received).toEqual([]);
  });

  it.each(['required', 'implicit'] as const)(
    '%s sends where the certificate is trusted and names the server',
    async (tls) => {
      const { port, received } = await aMailServer({ ...encrypting, secure: tls === 'implicit' });
      const { mailer, log } = aMailer(aMailConfig(port, { tls }), { ca: cert });
      await sendOne(mailer, log);
      expect(received[0]?.encrypted).toBe(true);
    },
  );

  it('required refuses a trusted certificate of another server', async () => {
    const { port, received } = await aMailServer(encrypting);
    const server = parseHost(`localhost:${port}`) ?? null;
    const { mailer, log } = aMailer(aMailConfig(port, { server, tls: 'required' }), { ca: cert });
    expect((await sendOne(mailer, log))[0]).toMatch(/^error cannot mail .*altnames/);
    expect(received).toEqual([]);
  });
});

describe('a password', () => {
  const withLogin: SMTPServerOptions = {
    disabledCommands: [],
    onAuth: ({ username, password }, _session, done) => {
      if (username === 'mmm' && password === 'p#;="x') done(null, { user: username });
      else done(new Error('wrong password'));
    },
  };

  it('logs in over STARTTLS', async () => {
    const { port, received } = await aMailServer(withLogin);
    const config = aMailConfig(port, { tls: 'required', user: 'mmm', password: 'p#;="x' });
    const { mailer, log } = aMailer(config, { ca: cert });
    await sendOne(mailer, log);
    expect(received[0]).toMatchObject({ encrypted: true, user: 'mmm' });
    expect(log.lines.join()).not.toContain('p#;="x');
  });

  it('that is wrong is told without being shown', async () => {
    const { port, received } = await aMailServer(withLogin);
    const config = aMailConfig(port, { tls: 'required', user: 'mmm', password: 'hunter2' });
    const { mailer, log } = aMailer(config, { ca: cert });
    expect((await sendOne(mailer, log))[0]).toMatch(/^error cannot mail .*wrong password/);
    expect(received).toEqual([]);
    expect(log.lines.join()).not.toMatch(/hunter2|aHVudGVyMg/);
  });

  it('that somebody in between could read is warned about at the start', async () => {
    const { log } = aMailer(aMailConfig(25, { tls: 'starttls', user: 'mmm', password: 'hunter2' }));
    expect(log.lines[0]).toMatch(/^warn email_password goes to 127.0.0.1:25 with email_tls=starttls/);
    expect(log.lines.join()).not.toContain('hunter2');
  });
});

describe('a mail by the local sendmail', () => {
  let folder = '';
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mmm-mail-'));
    opened.push(() => rm(folder, { recursive: true, force: true }));
  });

  async function aSendmail(script: string): Promise<string> {
    const path = join(folder, 'sendmail');
    await writeFile(path, `#!/bin/sh\n${script}\n`);
    await chmod(path, 0o755);
    return path;
  }

  it('is handed over as arguments and standard input, and no shell reads any of it', async () => {
    const sendmailPath = await aSendmail(`printf '%s\\n' "$@" > ${folder}/args; cat > ${folder}/mail`);
    const receivers = ['-oQ/tmp@example.com', '`touch x`@example.com'];
    const { mailer, log } = aMailer(aMailConfig(null, { receivers }), { sendmailPath });
    expect(await sendOne(mailer, log, 'change; `id` $(id)', 'active: A\n.\nstill the body')).toHaveLength(1);
    const args = (await readFile(join(folder, 'args'), 'utf8')).trim().split('\n');
    expect(args.slice(0, 4)).toEqual(['-i', '-f', 'mmm_manager@mmm.com', '--']);
    expect(args.slice(4)).toHaveLength(2);
    const mail = await readFile(join(folder, 'mail'), 'utf8');
    expect(mail).toContain('Subject: change; `id` $(id)\n');
    expect(mail).toContain('\n.\nstill the body');
    expect(mail).not.toContain('\r');
  });

  it('that fails is told with what sendmail said', async () => {
    const sendmailPath = await aSendmail('cat >/dev/null; echo "queue is read only" >&2; exit 75');
    const { mailer, log } = aMailer(aMailConfig(null), { sendmailPath });
    expect(await sendOne(mailer, log)).toEqual([
      'error cannot mail "mmm-manager change" by the local sendmail: it ended with code 75: queue is read only',
    ]);
  });

  it('that ends without reading its mail is a failure when its code says so, and breaks nothing', async () => {
    const sendmailPath = await aSendmail('exit 64');
    const { mailer, log } = aMailer(aMailConfig(null), { sendmailPath });
    const lines = await sendOne(mailer, log, 'mmm-manager change', 'x'.repeat(1_000_000));
    expect(lines[0]).toContain('it ended with code 64');
  });

  it('that is not installed is told with its path', async () => {
    const sendmailPath = join(folder, 'missing');
    const { mailer, log } = aMailer(aMailConfig(null), { sendmailPath });
    expect((await sendOne(mailer, log))[0]).toContain(`spawn ${sendmailPath} ENOENT`);
  });

  it('that hangs is killed at the deadline', async () => {
    const sendmailPath = await aSendmail(`echo $$ > ${folder}/pid; exec sleep 600`);
    const clock = new FakeClock();
    const { mailer, log } = aMailer(aMailConfig(null), { sendmailPath, clock });
    mailer.send('mmm-manager change', 'active: A');
    let pid = 0;
    while (pid === 0) pid = Number(await readFile(join(folder, 'pid'), 'utf8').catch(() => '0'));
    await clock.advance(30_000);
    await until(() => log.lines.length > 0);
    expect(log.lines[0]).toContain('no answer within 30 s');
    const isGone = () => {
      try {
        process.kill(pid, 0);
        return false;
      } catch {
        return true;
      }
    };
    await until(isGone);
    await mailer.close();
  });
});

it('without send_mail nothing happens', async () => {
  const log = fakeLog();
  const mailer = openMailer({ config: null, log, clock: systemClock });
  mailer.send('mmm-manager change', 'active: A');
  await mailer.close();
  expect(log.lines).toEqual([]);
});

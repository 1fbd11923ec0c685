// Mail to the operators about a change of roles. A mail never delays whoever sends it: a failover does not wait for a
// mail server. Comes from src/agent.ts; goes on to nodemailer, over SMTP or into the local sendmail.

import { spawn } from 'node:child_process';
import { createTransport, type SendMailOptions } from 'nodemailer';
import type { MailConfig } from '../core/config.ts';
import { MmmError, messageOf } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import { type Host, splitHost } from '../core/pair.ts';
import type { Clock } from './clock.ts';
import { Troubles } from './trouble.ts';

export interface Mailer {
  /** Takes the mail and returns at once. */
  send(subject: string, body: string): void;
  /** Resolves when the mails taken are sent or given up, soon. */
  close(): Promise<void>;
}

export interface MailerOptions {
  /** null: nobody wants mail. */
  readonly config: MailConfig | null;
  readonly log: Log;
  readonly clock: Clock;
  readonly sendmailPath?: string;
  /** Certificates to trust instead of Node's own; an operator adds to those by NODE_EXTRA_CA_CERTS. */
  readonly ca?: string;
}

/** Where every mail system puts its sendmail; not looked up on PATH, which is not an operator's choice for a daemon. */
const SENDMAIL = '/usr/sbin/sendmail';

/** Mails that wait behind one that hangs; more than this says nothing new. */
const QUEUED_MAILS = 100;

/** One mail, from the name lookup to the server's last word. */
const MAIL_DEADLINE_MS = 30_000;

/** The mail about the very last change gets this long when the daemon ends. */
const CLOSE_DEADLINE_MS = 2_000;

export function openMailer({ config, log, clock, sendmailPath = SENDMAIL, ca }: MailerOptions): Mailer {
  if (config === null) return { send: () => {}, close: async () => {} };
  warnOfOpenPassword(config, log);
  const deliver = config.server === null ? bySendmail(sendmailPath) : bySmtp(config, config.server, ca);
  return new QueueingMailer({ config, log, clock, deliver });
}

interface Mail {
  readonly subject: string;
  readonly body: string;
}

/** Resolves with the receivers that were refused; rejects when nobody got the mail. */
type Deliver = (mail: SendMailOptions, signal: AbortSignal) => Promise<readonly string[]>;

class QueueingMailer implements Mailer {
  readonly #config: MailConfig;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #troubles: Troubles;
  readonly #deliver: Deliver;
  readonly #closing = new AbortController();
  #waiting: Mail[] = [];
  #sending: Promise<void> | null = null;

  constructor({ config, log, clock, deliver }: { config: MailConfig; log: Log; clock: Clock; deliver: Deliver }) {
    this.#config = config;
    this.#clock = clock;
    this.#log = log;
    this.#troubles = new Troubles({ clock, log });
    this.#deliver = deliver;
  }

  send(subject: string, body: string): void {
    if (this.#closing.signal.aborted) return;
    if (this.#waiting.length >= QUEUED_MAILS) {
      this.#troubles.raise('queue', `${QUEUED_MAILS} mails are waiting to be sent; new ones are dropped`);
      return;
    }
    this.#waiting.push({ subject, body });
    this.#sending ??= this.#sendAll();
  }

  async close(): Promise<void> {
    const sent = new AbortController();
    const sending = (this.#sending ?? Promise.resolve()).then(() => sent.abort());
    await this.#clock.sleep(CLOSE_DEADLINE_MS, sent.signal);
    this.#waiting = [];
    this.#closing.abort(new Error('the daemon ends'));
    await sending;
  }

  async #sendAll(): Promise<void> {
    for (let mail = this.#waiting.shift(); mail !== undefined; mail = this.#waiting.shift()) {
      await this.#sendOne(mail);
      if (this.#waiting.length === 0) this.#troubles.clear('queue');
    }
    this.#sending = null;
  }

  async #sendOne(mail: Mail): Promise<void> {
    const over = new AbortController();
    const cut = new AbortController();
    const deadline = this.#clock.sleep(MAIL_DEADLINE_MS, over.signal).then(() => {
      if (!over.signal.aborted) cut.abort(new Error(`no answer within ${MAIL_DEADLINE_MS / 1000} s`));
    });
    const close = () => cut.abort(this.#closing.signal.reason);
    this.#closing.signal.addEventListener('abort', close);
    if (this.#closing.signal.aborted) close();
    try {
      const refused = await this.#deliver(messageFor(this.#config, mail), cut.signal);
      if (refused.length === 0) this.#troubles.clear('mail');
      else this.#troubles.raise('mail', `${placeOf(this.#config)} refused mail to ${refused.join(', ')}`);
      this.#log.debug(`mailed "${mail.subject}" to ${this.#config.receivers.join(', ')}`);
    } catch (error) {
      // The abort's reason says more than what the library makes of an abort.
      const why = messageOf(cut.signal.aborted ? cut.signal.reason : error);
      this.#troubles.raise('mail', `cannot mail "${mail.subject}" by ${placeOf(this.#config)}: ${why}`);
    } finally {
      this.#closing.signal.removeEventListener('abort', close);
      over.abort();
      await deadline;
    }
  }
}

function messageFor(config: MailConfig, { subject, body }: Mail): SendMailOptions {
  return {
    from: { name: '', address: config.sender },
    to: config.receivers.map((address) => ({ name: '', address })),
    // nodemailer encodes line ends in a subject; a person is better served by blanks.
    subject: subject.replace(/\p{Cc}+/gu, ' ').trim(),
    text: body,
    // So that nobody's vacation notice answers a daemon.
    headers: { 'Auto-Submitted': 'auto-generated' },
    disableFileAccess: true,
    disableUrlAccess: true,
  };
}

/**
 * What `email_tls` promises: `required` and `implicit` verify the server's certificate and name, and refuse without.
 * `starttls` takes encryption when it is offered and does not verify (most mail servers inside a network sign their
 * own certificate), so it keeps out who listens, not who stands in between.
 */
function bySmtp(config: MailConfig, server: Host, ca: string | undefined): Deliver {
  const { address, port } = splitHost(server);
  const transport = createTransport({
    host: address,
    port,
    secure: config.tls === 'implicit',
    requireTLS: config.tls === 'required',
    ignoreTLS: config.tls === 'off',
    opportunisticTLS: config.tls === 'starttls',
    tls: { rejectUnauthorized: config.tls !== 'starttls', ca },
    ...(config.user === null ? {} : { auth: { user: config.user, pass: config.password ?? '' } }),
  });
  return async (mail, signal) => {
    return (await transport.sendMail({ ...mail, signal })).rejected;
  };
}

/** Not nodemailer's own sendmail transport: that one cannot end a sendmail that hangs. */
function bySendmail(path: string): Deliver {
  const compose = createTransport({ streamTransport: true, buffer: true, newline: 'unix' });
  return async (mail, signal) => {
    const { envelope, message } = await compose.sendMail(mail);
    const sender = envelope.from === false ? '' : envelope.from;
    if (!Buffer.isBuffer(message))
      throw new MmmError('failed', 'nodemailer gave a stream where a buffer was asked for');
    // Arguments, never a shell; and nothing behind `--` is an option, whatever an address looks like.
    await runSendmail(path, ['-i', '-f', sender, '--', ...envelope.to], message, signal);
    return [];
  };
}

function runSendmail(path: string, args: readonly string[], message: Buffer, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(path, args, { stdio: ['pipe', 'ignore', 'pipe'], signal, killSignal: 'SIGKILL' });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(0, 500);
    });
    child.once('error', reject);
    child.once('exit', (code) => {
      if (code !== 0) return;
      // Some sendmails deliver in a child that keeps this pipe open: theirs is the mail now.
      child.stderr.destroy();
      resolve();
    });
    child.once('close', (code, killedBy) => {
      reject(new Error(`it ended with ${killedBy ?? `code ${code}`}${said === '' ? '' : `: ${said.trim()}`}`));
    });
    // A sendmail that ends early breaks this pipe; its exit code tells why.
    child.stdin.on('error', () => {});
    child.stdin.end(message);
  });
}

function placeOf({ server }: MailConfig): string {
  return server === null ? 'the local sendmail' : `mail server ${server}`;
}

function warnOfOpenPassword(config: MailConfig, log: Log): void {
  if (config.server === null || config.password === null) return;
  if (config.tls === 'required' || config.tls === 'implicit') return;
  log.warn(
    `email_password goes to ${config.server} with email_tls=${config.tls}, where somebody in between can read it; email_tls=required prevents that`,
  );
}

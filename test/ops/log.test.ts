import {
  chmod,
  copyFile,
  mkdir,
  mkdtemp,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MmmError } from '../../src/core/errors.ts';
import { type LogOptions, openLog } from '../../src/ops/log.ts';
import { FakeClock, settle } from '../support/fake-clock.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mmm-log-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** A log to `PATH` in the test's folder that sees no terminal and no systemd. */
async function aLog(options: Partial<LogOptions> = {}) {
  const clock = new FakeClock(new Date(2019, 0, 16, 11, 54, 4).getTime());
  const path = join(folder, 'mmm.log');
  const opened = await openLog({
    path,
    format: 'text',
    debug: false,
    clock,
    env: {},
    output: { stream: new PassThrough(), isTerminal: false },
    ...options,
  });
  return { ...opened, path, clock };
}

/** Waits until the file holds so many lines. */
async function linesOf(path: string, atLeast = 0): Promise<string[]> {
  for (;;) {
    const text = await readFile(path, 'utf8').catch(() => '');
    const lines = text.split('\n').filter((line) => line !== '');
    if (lines.length >= atLeast) return lines;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('a line', () => {
  it('has the form of the contract, in local time', async () => {
    const { log, close, path } = await aLog();
    log.info('text');
    log.error('more text');
    await close();
    expect(await readFile(path, 'utf8')).toBe(
      '2019-01-16T11:54:04 - [info] text\n2019-01-16T11:54:04 - [error] more text\n',
    );
  });

  it('is one JSON object for machines, with its fields', async () => {
    const { log, close, path, clock } = await aLog({ format: 'json' });
    log.with({ tag: 'c1' }).with({ pair: 'U' }).warn('Redis does not answer', { host: '10.0.21.5:3308', epoch: 7 });
    await close();
    expect(JSON.parse(await readFile(path, 'utf8'))).toEqual({
      time: new Date(clock.wall()).toISOString(),
      level: 'warn',
      message: 'Redis does not answer',
      tag: 'c1',
      pair: 'U',
      host: '10.0.21.5:3308',
      epoch: 7,
    });
  });

  it('keeps its time, level and message whatever the fields are called', async () => {
    const { log, close, path } = await aLog({ format: 'json' });
    log.info('text', { message: 'other', level: 'error', time: 'never' });
    await close();
    expect(JSON.parse(await readFile(path, 'utf8'))).toMatchObject({ level: 'info', message: 'text' });
  });

  it.each(['password', 'redisPassword', 'email_password', 'passwd', 'secret', 'authToken'])(
    'never shows a field named %s',
    async (name) => {
      const { log, close, path } = await aLog({ format: 'json' });
      log.with({ [name]: 'hunter2' }).info('connecting', { [name]: 'hunter2' });
      await close();
      const text = await readFile(path, 'utf8');
      expect(text).not.toContain('hunter2');
      expect(JSON.parse(text)).toMatchObject({ [name]: '***' });
    },
  );

  it('stays one line, and sends nothing to a terminal but text', async () => {
    const { log, close, path } = await aLog();
    log.info('first\r\n  second\n2019-01-16T11:54:04 - [info] forged \u001b[2J\u0007');
    await close();
    expect(await readFile(path, 'utf8')).toBe(
      '2019-01-16T11:54:04 - [info] first second 2019-01-16T11:54:04 - [info] forged \\x1b[2J\\x07\n',
    );
  });

  it('of debug is written only when asked for', async () => {
    const quiet = await aLog();
    quiet.log.debug('each round');
    await quiet.close();
    expect(await readFile(quiet.path, 'utf8')).toBe('');
    const path = join(folder, 'debug.log');
    const loud = await aLog({ path, debug: true });
    loud.log.debug('each round');
    await loud.close();
    expect(await linesOf(path)).toEqual(['2019-01-16T11:54:04 - [debug] each round']);
  });
});

describe('the file', () => {
  it('is made readable for its group and for nobody else, and appended to when it is there', async () => {
    const first = await aLog();
    first.log.info('one');
    await first.close();
    const second = await aLog();
    second.log.info('two');
    await second.close();
    expect((await stat(first.path)).mode & 0o137).toBe(0);
    expect(await linesOf(first.path)).toHaveLength(2);
  });

  it('holds every line of a burst when the log is closed at once', async () => {
    const { log, close, path } = await aLog();
    for (let line = 0; line < 5000; line += 1) log.info(`line ${line}`);
    await close();
    const lines = await linesOf(path);
    expect(lines.map((line) => line.replace(/.* /, ''))).toEqual(
      Array.from({ length: 5000 }, (_, line) => String(line)),
    );
  });

  it('is opened anew within a second after logrotate moved it, and no line is lost or doubled', async () => {
    const { log, close, path, clock } = await aLog();
    let line = 0;
    for (let rotation = 1; rotation <= 3; rotation += 1) {
      for (let time = 0; time < 40; time += 1) {
        log.info(`line ${line}`);
        line += 1;
        await clock.advance(50);
        if (time !== 20) continue;
        await linesOf(path, 1);
        await rename(path, `${path}.${rotation}`);
      }
    }
    await clock.advance(1001);
    log.info(`line ${line}`);
    await close();
    const all = (await Promise.all([`${path}.1`, `${path}.2`, `${path}.3`, path].map((file) => linesOf(file)))).flat();
    expect(all.map((text) => text.replace(/.* /, ''))).toEqual(
      Array.from({ length: 121 }, (_, index) => String(index)),
    );
    expect((await linesOf(path)).length).toBeGreaterThan(0);
  });

  it('that logrotate made anew under our feet is taken', async () => {
    const { log, close, path, clock } = await aLog();
    log.info('one');
    await linesOf(path, 1);
    await rename(path, `${path}.1`);
    await writeFile(path, '', { mode: 0o600 });
    await clock.advance(1001);
    log.info('two');
    await close();
    expect(await linesOf(path)).toEqual(['2019-01-16T11:54:05 - [info] two']);
  });

  it('that was removed is made again', async () => {
    const { log, close, path, clock } = await aLog();
    await unlink(path);
    await clock.advance(1001);
    log.info('two');
    await close();
    expect(await linesOf(path)).toHaveLength(1);
  });

  it('that was copied and truncated goes on at its start', async () => {
    const { log, close, path } = await aLog();
    log.info('one');
    await linesOf(path, 1);
    await copyFile(path, `${path}.1`);
    await truncate(path);
    log.info('two');
    await close();
    expect(await readFile(path, 'utf8')).toBe('2019-01-16T11:54:04 - [info] two\n');
  });

  it('whose folder vanished while running costs nobody anything, and comes back with the folder', async () => {
    const inner = join(folder, 'inner');
    await mkdir(inner);
    const { log, close, path, clock } = await aLog({ path: join(inner, 'mmm.log') }).then((made) => ({
      ...made,
      path: join(inner, 'mmm.log'),
    }));
    await rm(inner, { recursive: true });
    await clock.advance(1001);
    log.info('into the removed file');
    await clock.advance(0);
    await mkdir(inner);
    await clock.advance(1001);
    log.info('back');
    await close();
    expect((await linesOf(path)).at(-1)).toContain('back');
  });
});

describe('a log that is closed', () => {
  it('takes no more lines and breaks nothing; an error still reaches standard error', async () => {
    const complaints: string[] = [];
    const { log, close, path } = await aLog({ complain: (text) => complaints.push(text) });
    log.info('one');
    await close();
    log.info('two');
    log.with({ tag: 'c1' }).error('the clean stop takes too long');
    expect(await linesOf(path)).toHaveLength(1);
    expect(complaints).toEqual(['the clean stop takes too long']);
  });
});

describe('a file that cannot be written', () => {
  async function refusal(path: string): Promise<MmmError> {
    const error: unknown = await aLog({ path }).then(
      () => null,
      (thrown: unknown) => thrown,
    );
    if (!(error instanceof MmmError)) throw new Error('it was opened');
    expect(error.code).toBe('log');
    expect(error.exit).toBe(2);
    expect(error.message).not.toContain('\n');
    return error;
  }

  it('because its folder is missing is one clear line', async () => {
    const path = join(folder, 'missing', 'mmm.log');
    expect((await refusal(path)).message).toBe(
      `cannot write the log file ${path}: the folder ${join(folder, 'missing')} does not exist; create it, or name another file in the configuration`,
    );
  });

  it('because it is a folder is one clear line', async () => {
    expect((await refusal(folder)).message).toContain('it is a folder');
  });

  it('because its folder is a file is one clear line', async () => {
    await writeFile(join(folder, 'file'), '');
    expect((await refusal(join(folder, 'file', 'mmm.log'))).message).toContain('is not a folder');
  });

  it('because of a symbolic link to itself is one clear line', async () => {
    await symlink('loop', join(folder, 'loop'));
    expect((await refusal(join(folder, 'loop'))).message).toContain('ELOOP');
  });

  it('because of its permissions is one clear line', async () => {
    const locked = join(folder, 'locked');
    await mkdir(locked);
    await chmod(locked, 0o500);
    const path = join(locked, 'mmm.log');
    // Root may write everywhere; there /proc stands for a folder that refuses.
    const asRoot = process.getuid?.() === 0;
    const { message } = await refusal(asRoot ? '/proc/self/mmm.log' : path);
    expect(message).toMatch(asRoot ? /\/proc\/self\/mmm\.log: / : /no permission/);
  });
});

describe('a disk that is full', () => {
  it('costs lines, is complained about once, and neither blocks nor throws', async () => {
    const complaints: string[] = [];
    const { log, close, clock } = await aLog({ path: '/dev/full', complain: (text) => complaints.push(text) });
    for (let batch = 0; batch < 20; batch += 1) {
      for (let line = 0; line < 10; line += 1) log.info('text');
      await clock.advance(0);
    }
    await close();
    expect(complaints).toEqual(['lines are being lost, the log file /dev/full: a write failed (ENOSPC)']);
  });

  it('is told in the log itself once there is room again', async () => {
    let complain = (_text: string) => {};
    const complaint = new Promise<string>((resolve) => {
      complain = resolve;
    });
    const { log, close, path, clock } = await aLog({ complain: (text) => complain(text) });
    await unlink(path);
    await symlink('/dev/full', path);
    await clock.advance(1001);
    for (let line = 0; line < 7; line += 1) log.info('lost');
    expect(await complaint).toContain('ENOSPC');
    await unlink(path);
    await clock.advance(1001);
    log.info('room again');
    await close();
    const [gap, ...rest] = await linesOf(path);
    expect(gap).toMatch(/ - \[error\] \d lines of this log are missing here \(a write failed \(ENOSPC\)\)$/);
    expect(rest.at(-1)).toBe('2019-01-16T11:54:06 - [info] room again');
    expect(Number(gap?.match(/ (\d) lines/)?.[1]) + rest.length - 1).toBe(7);
  });
});

describe('standard output', () => {
  async function outputOf(options: Partial<LogOptions>, isTerminal = false): Promise<string> {
    const stream = new PassThrough();
    const { log, close } = await aLog({ output: { stream, isTerminal }, ...options });
    log.info('text');
    await close();
    return String(stream.read() ?? '');
  }

  it('is not written when there is a file, no terminal and no systemd', async () => {
    expect(await outputOf({})).toBe('');
  });

  it.each(['JOURNAL_STREAM', 'INVOCATION_ID', 'NOTIFY_SOCKET'])(
    'is written beside the file when %s tells of systemd',
    async (name) => {
      expect(await outputOf({ env: { [name]: 'x' } })).toBe('2019-01-16T11:54:04 - [info] text\n');
    },
  );

  it('is written when there is no file', async () => {
    expect(await outputOf({ path: null })).toContain('[info] text');
  });

  it('is written beside the file on a terminal', async () => {
    expect(await outputOf({}, true)).toContain('[info] text');
  });

  it('is written beside the file with --debug', async () => {
    expect(await outputOf({ debug: true })).toContain('[info] text');
  });

  it('whose reader does not read costs lines and memory up to a bound, and the log still closes', async () => {
    const stream = new Writable({ write: () => {} });
    const complaints: string[] = [];
    const { log, close, clock } = await aLog({
      path: null,
      output: { stream, isTerminal: false },
      complain: (text) => complaints.push(text),
    });
    for (let batch = 0; batch < 40; batch += 1) {
      for (let line = 0; line < 1000; line += 1) log.info('a line that nobody reads '.repeat(4));
      await clock.advance(0);
    }
    expect(stream.writableLength).toBeLessThan(4 * 1_048_576);
    expect(complaints).toEqual(['lines are being lost, standard output: it takes lines too slowly']);
    const closed = close();
    await settle();
    await clock.advance(1000);
    await closed;
  });

  it('whose reader went away ends nothing', async () => {
    const stream = new Writable({ write: (_chunk, _encoding, done) => done(new Error('EPIPE')) });
    const complaints: string[] = [];
    const { log, close, clock } = await aLog({
      path: null,
      output: { stream, isTerminal: false },
      complain: (text) => complaints.push(text),
    });
    for (let line = 0; line < 3; line += 1) {
      log.info('text');
      await clock.advance(0);
    }
    await close();
    expect(complaints).toEqual(['lines are being lost, standard output: nobody reads it any more']);
  });
});

// The managers lose sight of the active: whether it died or only they are cut off from it, the passive's replication tells, and the
// other monitors do. A proxy stands between mmm and the primary; clients and replication do not go through it.

import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import { afterEach, describe, expect, it } from 'vitest';
import { MMM } from '../../src/sandbox/accounts.ts';
import { writeConfigurationFiles } from '../../src/sandbox/daemons.ts';
import type { TcpProxy } from '../support/proxy.ts';
import { aRig, type Rig, TAG, UNIQSIGN } from '../support/rig.ts';
import { until } from '../support/until.ts';

const run = promisify(execFile);
let rig: Rig;
afterEach(async () => {
  await rig.close();
});

/** Without a fence that reaches it, the active goes on beside the new one: these tests ask what was decided, and why. */
const TWO_WRITERS = Number.POSITIVE_INFINITY;

async function cutOffRig(options: Parameters<typeof aRig>[0] = {}): Promise<TcpProxy> {
  rig = await aRig({ proxied: true, ...options });
  if (rig.proxy === null) throw new Error('this rig has a proxy');
  await rig.writable(rig.a);
  await rig.replicating();
  return rig.proxy;
}

async function hash(name: string): Promise<Record<string, string>> {
  const redis = new Redis({ host: '127.0.0.1', port: rig.redis.port });
  try {
    return await redis.hgetall(`mysql-${UNIQSIGN}-${name}`);
  } finally {
    redis.disconnect();
  }
}

const active = async () => (await hash('mode'))['active'];

async function nothingChangesFor(ms: number): Promise<void> {
  const before = await hash('epoch');
  const fromMs = performance.now();
  await until('the time is over', () => performance.now() - fromMs > ms, ms + 5_000);
  expect(await hash('epoch'), await rig.story()).toEqual(before);
  expect(rig.watch.stateOf(rig.b.port)).toBe('read-only');
  expect(rig.watch.stateOf(rig.a.port)).toBe('writable');
}

describe('managers that are cut off from the active, while its clients and its passive are not', () => {
  it.each([
    ['mariadb', 'silent', 15_000],
    ['mariadb', 'rejects', 5_000],
    ['mysql56', 'silent', 5_000],
  ] as const)('change nothing (%s, the network %s), say why, and clients write on', async (kind, mode, ms) => {
    const proxy = await cutOffRig({ kind });
    const { register } = rig.client([rig.a.host]);
    await until('the client writes', () => register.size > 20);
    const fromMs = performance.now();
    await proxy.become(mode);
    await nothingChangesFor(ms);
    expect(register.longestGap(fromMs).lengthMs).toBeLessThan(1_000);
    expect(await rig.story()).toContain(`the managers alone are cut off from ${proxy.host}`);
    await proxy.become('passes');
    await until(
      'the primary is read again',
      async () => (await hash(`${proxy.host}-check`))['evidence'] === 'answered',
    );
    expect(rig.watch.bothWritableMs).toBe(0);
  });

  it('change nothing either when the active has nothing to send but heartbeats; once those stop, they fail over', async () => {
    const proxy = await cutOffRig({ bothWritableMs: TWO_WRITERS });
    await proxy.become('silent');
    await nothingChangesFor(4_000);
    // Long since agreed: only the passive's word is missing.
    const fromMs = performance.now();
    rig.a.freeze();
    await rig.writable(rig.b, 10_000);
    console.log(`frozen behind the cut: writable after ${(performance.now() - fromMs).toFixed(0)} ms`);
    expect(performance.now() - fromMs).toBeLessThan(5_000);
    rig.a.thaw();
  });

  it('decide by their own confirmations when a backup has stopped the threads of the passive', async () => {
    const proxy = await cutOffRig({ bothWritableMs: TWO_WRITERS });
    await rig.admin(rig.b, 'STOP SLAVE');
    await until('the monitor saw it', async () => (await hash(`${rig.b.host}-check`))['io'] === 'No');
    await proxy.become('silent');
    await until('the passive is chosen', async () => (await active()) === rig.b.host);
  });
});

describe('a frozen active', () => {
  it.each([
    ['mariadb', true],
    ['mariadb', false],
    ['mysql56', true],
  ] as const)('of %s is passed over within the budget (clients write: %s)', async (kind, busy) => {
    rig = await aRig({ kind, bothWritableMs: 1_000 });
    await rig.writable(rig.a);
    await rig.replicating();
    if (busy) {
      const { register } = rig.client();
      await until('the client writes', () => register.size > 50);
    }
    const fromMs = performance.now();
    rig.a.freeze();
    await rig.writable(rig.b);
    const tookMs = performance.now() - fromMs;
    console.log(`${kind}, ${busy ? 'busy' : 'idle'}: frozen, other host writable after ${tookMs.toFixed(0)} ms`);
    expect(tookMs).toBeLessThan(5_000);
    expect(await rig.story()).toContain('has heard nothing from');
    rig.a.thaw();
    await rig.readOnly(rig.a);
  });

  it('is not waited for when heartbeats are too rare to tell, which is said once', async () => {
    rig = await aRig({ roles: [], bothWritableMs: 1_000 });
    for (const server of [rig.a, rig.b]) {
      await rig.admin(server, 'STOP SLAVE');
      await rig.admin(server, 'CHANGE MASTER TO MASTER_HEARTBEAT_PERIOD=60');
      await rig.admin(server, 'START SLAVE');
    }
    for (const role of ['monitor', 'identify', 'agent'] as const) await rig.start(role);
    await rig.writable(rig.a);
    await rig.replicating();
    const advice = 'CHANGE MASTER TO MASTER_HEARTBEAT_PERIOD=1';
    const told = async () => (await rig.lines('monitor')).filter(({ message }) => message.includes(advice)).length;
    await until('the operator is told, of each host', async () => (await told()) === 2);
    expect(await status()).toContain(`note: ${rig.b.host}: its replication asks for one heartbeat in 60 s`);
    const fromMs = performance.now();
    rig.a.freeze();
    await rig.writable(rig.b);
    expect(performance.now() - fromMs).toBeLessThan(5_000);
    expect(await told()).toBe(2);
    // Nobody but the operator sets how replication is to work.
    const [row] = await rig.admin(rig.b, 'SHOW ALL SLAVES STATUS');
    expect(row?.['Slave_heartbeat_period']).toBe(60);
    rig.a.thaw();
  });
});

describe('two monitors', () => {
  it('that disagree change nothing; when the one that sees the active is gone, the other one is enough', async () => {
    const proxy = await cutOffRig({ bothWritableMs: TWO_WRITERS });
    // The passive's ear must not be what keeps the role.
    await rig.admin(rig.b, 'STOP SLAVE');
    const { user, dir } = await aBlindOne();
    const second = await writeConfigurationFiles({
      dir,
      tag: TAG,
      uniqsign: UNIQSIGN,
      primary: proxy.host,
      secondary: rig.b.host,
      redis: rig.redis.host,
      pair: { user },
    });
    await rig.start('monitor', 'blind', second);
    proxy.ignore(user);
    await until('it misses the active', async () => (await rig.story()).includes('1 of 2 monitors find'));
    await nothingChangesFor(4_000);
    const [pair] = JSON.parse(await status('--json'));
    expect(pair.observers.map(({ observer }: { observer: string }) => observer)).toEqual(['blind', 'monitor']);
    expect(pair.observers[0].found).toEqual({ [proxy.host]: 'silent', [rig.b.host]: 'answered' });
    const fromMs = performance.now();
    await rig.daemon('monitor').program.kill();
    await until('the other one decides', async () => (await active()) === rig.b.host);
    console.log(`a monitor killed, the other one decided after ${(performance.now() - fromMs).toFixed(0)} ms`);
    expect(performance.now() - fromMs).toBeLessThan(6_000);
  });

  /** An account of its own, by which the proxy knows whom to ignore. */
  async function aBlindOne(): Promise<{ user: string; dir: string }> {
    const user = 'user_blind';
    for (const server of [rig.a, rig.b]) {
      await rig.admin(server, `GRANT ALL ON *.* TO '${user}'@'127.0.0.1' IDENTIFIED BY '${MMM.password}'`);
    }
    const dir = join(rig.dir, 'blind');
    await mkdir(dir);
    return { user, dir };
  }
});

async function status(...args: string[]): Promise<string> {
  const [file = '', ...rest] = rig.cli(['status', '--conf', rig.files.manager, ...args]);
  return (await run(file, rest)).stdout;
}

// One daemon at a time beside the Perl ones, on real servers. The Perl daemons cannot be had here: their part is played by the
// bytes that they write to Redis and publish, as the contract states them.

import { Redis } from 'ioredis';
import { afterEach, describe, expect, it } from 'vitest';
import { aRig, type Rig, UNIQSIGN } from '../support/rig.ts';
import { until } from '../support/until.ts';

let rig: Rig;
let redis: Redis;
afterEach(async () => {
  redis.disconnect();
  await rig.close();
});

const key = (name: string) => `mysql-${UNIQSIGN}-${name}`;

async function aRigWith(roles: readonly ('monitor' | 'identify' | 'agent')[], mysql = {}): Promise<void> {
  rig = await aRig({ roles, mysql });
  redis = new Redis({ host: '127.0.0.1', port: rig.redis.port });
}

/** What a Perl monitor writes about a host that it can read. */
async function perlSees(host: string, facts: { readOnly: number; connections: number }): Promise<void> {
  await redis.hset(key(`${host}-check`), {
    ping: 1,
    read_only: facts.readOnly,
    repl_check: 'OK',
    delay_sec: -1,
    conn_nums: facts.connections,
    last_check: Math.floor(Date.now() / 1000),
  });
}

async function perlSeesNothing(host: string): Promise<void> {
  await redis.hset(key(`${host}-check`), {
    ping: 0,
    read_only: -1,
    repl_check: 'Error',
    delay_sec: -1,
    conn_nums: -1,
    last_check: Math.floor(Date.now() / 1000),
  });
}

/** What a Perl identify does when it decides. */
async function perlDecides(active: string, passive: string): Promise<void> {
  await redis.hset(key('mode'), { active, passive });
  await redis.hset(key('master'), { host: active });
  await redis.publish('mmm-switch-channel', `active: ${active}, passive: ${passive}, uniqsign: ${UNIQSIGN}`);
}

describe('our monitor', () => {
  it('feeds a Perl identify: every key and field of the contract', async () => {
    await aRigWith(['monitor']);
    const { a, b } = rig;
    await until('the monitor has written', async () => (await redis.exists(key(`${a.host}-check`))) === 1);
    expect(await redis.get(key('servicemode'))).toBe('1');
    expect(await redis.get(key('primaryhost'))).toBe(a.host);
    expect(await redis.get(key('secondaryhost'))).toBe(b.host);
    expect((await redis.smembers(key('members'))).sort()).toEqual([a.host, b.host].sort());
    const check = await redis.hgetall(key(`${a.host}-check`));
    expect(check).toMatchObject({ ping: '1', read_only: '1', repl_check: 'OK', delay_sec: '-1', conn_nums: '0' });
    expect(Math.abs(Number(check['last_check']) - Date.now() / 1000)).toBeLessThan(5);
    await a.kill();
    await until('the death is written', async () => (await redis.hget(key(`${a.host}-check`), 'ping')) === '0');
    expect(await redis.hgetall(key(`${a.host}-check`))).toMatchObject({
      ping: '0',
      read_only: '-1',
      repl_check: 'Error',
      delay_sec: '-1',
      conn_nums: '-1',
    });
  });

  it('follows a changed configuration, where the Perl kept what it had written first', async () => {
    await aRigWith([]);
    await redis.set(key('primaryhost'), '10.9.9.9:3306');
    await redis.set(key('servicemode'), '0');
    await redis.sadd(key('members'), '10.9.9.9:3306');
    await rig.start('monitor');
    await until('the keys follow', async () => (await redis.get(key('primaryhost'))) === rig.a.host);
    expect(await redis.get(key('servicemode'))).toBe('1');
    expect((await redis.smembers(key('members'))).sort()).toEqual([rig.a.host, rig.b.host].sort());
  });
});

describe('our identify', () => {
  it('decides from what a Perl monitor writes, and drives a Perl agent with the very message', async () => {
    await aRigWith(['identify']);
    const { a, b } = rig;
    const messages: string[] = [];
    const ears = new Redis({ host: '127.0.0.1', port: rig.redis.port });
    await ears.subscribe('mmm-switch-channel');
    ears.on('message', (_channel, message) => messages.push(message));
    try {
      await until('both are read only and the primary is chosen', async () => {
        await perlSees(a.host, { readOnly: 1, connections: 0 });
        await perlSees(b.host, { readOnly: 1, connections: 0 });
        return messages.length === 1;
      });
      expect(messages[0]).toBe(`active: ${a.host}, passive: ${b.host}, uniqsign: ${UNIQSIGN}`);
      expect(await redis.hgetall(key('mode'))).toEqual({ active: a.host, passive: b.host });
      expect(await redis.hgetall(key('master'))).toEqual({ host: a.host });
      await until('the primary is lost and the secondary is chosen', async () => {
        await perlSeesNothing(a.host);
        await perlSees(b.host, { readOnly: 1, connections: 0 });
        return messages.length === 2;
      });
      expect(messages[1]).toBe(`active: ${b.host}, passive: ${a.host}, uniqsign: ${UNIQSIGN}`);
    } finally {
      ears.disconnect();
    }
  });
});

describe('our agent', () => {
  it('obeys a Perl identify: fences the old active before it opens the new one', async () => {
    await aRigWith(['agent']);
    const { a, b } = rig;
    await perlDecides(a.host, b.host);
    await rig.writable(a);
    await perlDecides(b.host, a.host);
    await rig.writable(b);
    await rig.readOnly(a);
    expect(rig.watch.bothWritableMs).toBe(0);
  });

  it('ignores garbage on the topic and in the keys, says so, and goes on', async () => {
    await aRigWith(['agent']);
    const { a, b } = rig;
    await perlDecides(a.host, b.host);
    await rig.writable(a);
    for (const message of [
      '',
      'active: , passive: x',
      'nonsense',
      `active: ${b.host}, uniqsign: ${UNIQSIGN}`,
      '{"a":1}',
    ]) {
      await redis.publish('mmm-switch-channel', message);
    }
    await redis.hset('mysql-broken-mode', { active: 'no host at all', passive: '' });
    await redis.set('mysql-wrong-mode', 'a string');
    await until('the garbage is told', async () => (await rig.story()).includes('mysql-broken-mode'));
    await perlDecides(b.host, a.host);
    await rig.writable(b);
    expect(rig.watch.bothWritableMs).toBe(0);
  });

  it('leaves a pair alone that belongs to another topic', async () => {
    await aRigWith(['agent']);
    const { a, b } = rig;
    await redis.set(key('topic'), 'another-topic');
    await redis.hset(key('mode'), { active: a.host, passive: b.host });
    const mine = 'f'.repeat(32);
    await redis.hset(`mysql-${mine}-mode`, { active: '127.0.0.1:1', passive: '127.0.0.1:2' });
    // It has looked at the whole board by the time it knows the other pair.
    await until('the agent found its own pair', async () => (await rig.story()).includes(mine));
    expect(await rig.story()).not.toContain(`found pair ${UNIQSIGN}`);
    expect(rig.watch.stateOf(a.port)).toBe('read-only');
  });
});

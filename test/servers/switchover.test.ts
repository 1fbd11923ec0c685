// An operator moves the role: there and back under load, refused when something would be lost, forced when mmm holds, and paused. No write
// that was acknowledged may be lost by a switchover, ever; and two writers never happen (the rig fails on them).

import { execFile } from 'node:child_process';
import { afterEach, describe, expect, it } from 'vitest';
import { MMM } from '../../src/sandbox/accounts.ts';
import { aRig, type Rig, TAG } from '../support/rig.ts';
import { until } from '../support/until.ts';

let rig: Rig;
afterEach(async () => {
  await rig.close();
});

interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function mmm(command: string, ...args: string[]): Promise<Ran> {
  const [file = '', ...rest] = rig.cli([command, '--conf', rig.files.manager, '--tag', TAG, ...args]);
  return new Promise((resolve) => {
    execFile(file, rest, { timeout: 60_000 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : null;
      resolve({ code, stdout, stderr });
    });
  });
}

/** Both hosts replicate, are observed so, and the opening is reported. */
async function settled(): Promise<void> {
  await rig.writable(rig.a);
  await rig.replicating();
  await until('a switchover could be made', async () => (await mmm('switchover', '--dry-run')).code === 0);
}

describe.each(['mariadb', 'mysql56'] as const)('a switchover of a pair of %s', (kind) => {
  it('goes there and back under load without losing a write that was acknowledged', { timeout: 240_000 }, async () => {
    rig = await aRig({ kind });
    await settled();
    const { register } = rig.client();
    await until('the client writes', () => register.size > 50);
    const measured: string[] = [];
    for (let round = 0; round < 4; round++) {
      const to = round % 2 === 0 ? rig.b : rig.a;
      await until('nothing speaks against it', async () => (await mmm('switchover', '--dry-run')).code === 0);
      const sinceMs = performance.now();
      const { code, stdout, stderr } = await mmm('switchover');
      expect({ code, stderr }, await rig.story()).toEqual({ code: 0, stderr: '' });
      expect(stdout).toContain(`${to.host} is the active after`);
      await rig.writable(to);
      await until('the client writes there', () => register.firstOn(to.port, sinceMs) !== undefined);
      const said = /clients could not write for (\d+) ms/.exec(stdout)?.[1];
      measured.push(`${said} ms (client: ${register.longestGap(sinceMs).lengthMs.toFixed(0)} ms)`);
      expect(Number(said)).toBeLessThan(3_000);
    }
    console.log(`${kind}: without a writer ${measured.join(', ')}`);
    await rig.replicating();
    const { onlyOnOther, nowhere } = await register.accountFor(rig.a.port, rig.b.port);
    expect([...onlyOnOther, ...nowhere]).toEqual([]);
    expect(rig.watch.bothWritableMs).toBe(0);
  });
});

describe('a switchover', () => {
  it('to the secondary holds although the primary could have the role, until somebody switches back', async () => {
    rig = await aRig({ pair: { min_failover_interval: '0' } });
    await settled();
    expect((await mmm('switchover', '--to', rig.b.host)).code).toBe(0);
    await rig.replicating();
    await until('identify says that it stays', async () =>
      (await rig.story()).includes('an operator switched over to it'),
    );
    expect((await mmm('status')).stdout).toContain(`stays: an operator switched over to ${rig.b.host}`);
    expect(rig.watch.stateOf(rig.b.port)).toBe('writable');
    const again = await mmm('switchover', '--to', rig.b.host);
    expect(again).toMatchObject({ code: 0, stdout: `${TAG}: ${rig.b.host} is the active already; nothing was done\n` });
    expect((await mmm('switchover')).code).toBe(0);
    await rig.writable(rig.a);
    expect((await mmm('status')).stdout).not.toContain('stays:');
  });

  it('is refused when replication is broken, and nothing changes', async () => {
    rig = await aRig();
    await settled();
    await rig.admin(rig.b, 'STOP SLAVE SQL_THREAD');
    await until('the monitor has seen it', async () => (await mmm('status')).stdout.includes('replcheck: Error'));
    const { code, stderr } = await mmm('switchover');
    expect(code).toBe(1);
    expect(stderr).toContain('nothing was changed');
    expect(stderr).toContain(
      `${rig.b.host} does not replicate from ${rig.a.host} without error (I/O thread Yes, SQL thread No)`,
    );
    expect(rig.watch.stateOf(rig.a.port)).toBe('writable');
    expect(rig.watch.stateOf(rig.b.port)).toBe('read-only');
  });

  it('is refused when nobody would decide or do it', async () => {
    rig = await aRig();
    await settled();
    await rig.daemon('agent').stop();
    await rig.daemon('identify').stop();
    const { code, stderr } = await mmm('switchover');
    expect(code).toBe(1);
    expect(stderr).toContain('no identify leads this pair');
    expect(stderr).toContain('no agent listens');
  });

  it('goes back when it is not done in time, and whoever wakes up later does nothing', async () => {
    rig = await aRig();
    await settled();
    const { pid } = rig.daemon('agent').program;
    process.kill(pid, 'SIGSTOP');
    const { code, stderr } = await mmm('switchover', '--wait', '2');
    process.kill(pid, 'SIGCONT');
    expect(code).toBe(1);
    expect(stderr).toContain(`did not happen; the active is ${rig.a.host}:`);
    expect(stderr).toContain(`no agent has opened it in time; back to ${rig.a.host}`);
    await settled();
    expect(rig.watch.changes.filter(({ port, state }) => port === rig.b.port && state === 'writable')).toEqual([]);
  });
});

describe('a paused pair', () => {
  it('is not failed over when its active is killed, until somebody resumes', async () => {
    rig = await aRig();
    await settled();
    expect((await mmm('pause')).stdout).toContain('paused until mmm resume');
    expect((await mmm('status')).stdout).toMatch(/paused: by \S+, until mmm resume/);
    await rig.a.kill();
    await until('identify would fail over', async () =>
      /PAUSED by .*; else:; .* becomes active/.test(await rig.story()),
    );
    expect(rig.watch.stateOf(rig.b.port)).toBe('read-only');
    expect((await mmm('resume')).stdout).toContain('resumed; ');
    await rig.writable(rig.b, 5_000);
  });

  it('is opened again when its active restarts, and follows an operator', async () => {
    rig = await aRig();
    await settled();
    await mmm('pause', '--for', '600');
    await rig.a.kill();
    await rig.a.restart();
    await rig.writable(rig.a);
    await rig.replicating();
    await until('nothing speaks against it', async () => (await mmm('switchover', '--dry-run')).code === 0);
    expect((await mmm('switchover')).code).toBe(0);
    await rig.writable(rig.b);
  });
});

describe('a forced failover', () => {
  it('opens a host that cannot apply what it has received, shows what is lost, and says SKIPPED', async () => {
    rig = await aRig({ skips: true });
    await settled();
    // A row that only the secondary has stops its SQL thread at the write of the same row.
    await rig.admin(rig.b, 'SET STATEMENT sql_log_bin = 0 FOR INSERT INTO app.writes (id) VALUES (900000)');
    await rig.admin(rig.a, 'INSERT INTO app.writes (id) VALUES (900000)');
    await until('the conflict stopped it', async () => {
      const [row] = await rig.admin(rig.b, 'SHOW SLAVE STATUS');
      return row?.['Slave_SQL_Running'] === 'No';
    });
    await rig.a.kill();
    await until('the agent holds', async () => (await mmm('status')).stdout.includes('with transactions unapplied'));
    expect(rig.watch.stateOf(rig.b.port)).toBe('read-only');

    const shown = await mmm('failover', '--to', rig.b.host);
    expect(shown.code).toBe(1);
    expect(shown.stderr).toContain('needs --force');
    expect(shown.stderr).toMatch(
      /has received .+ that it has not applied: SKIPPED if that cannot be done; .*error 1062/,
    );
    expect(rig.watch.stateOf(rig.b.port)).toBe('read-only');

    const forced = await mmm('failover', '--to', rig.b.host, '--force');
    expect({ code: forced.code, stderr: forced.stderr }, await rig.story()).toEqual({ code: 0, stderr: '' });
    expect(forced.stdout).toContain('SKIPPED');
    await rig.writable(rig.b, 1_000);
  });

  it('opens nothing beside a host that answers and cannot be closed', async () => {
    rig = await aRig();
    await settled();
    // The server runs and lets neither monitor nor agent in, so that nobody can close it.
    const password = (text: string) =>
      rig.admin(
        rig.a,
        `SET STATEMENT sql_log_bin = 0 FOR SET PASSWORD FOR '${MMM.user}'@'127.0.0.1' = PASSWORD('${text}')`,
      );
    await password('another');
    for (const { Id: id } of await rig.admin(
      rig.a,
      `SELECT id AS Id FROM information_schema.processlist WHERE user = '${MMM.user}'`,
    )) {
      await rig.admin(rig.a, `KILL ${id}`);
    }
    const { code, stderr } = await mmm('failover', '--to', rig.b.host, '--force', '--wait', '2');
    expect({ code, stderr }).toMatchObject({ code: 1 });
    expect(stderr).toContain('is alive but cannot be closed');
    expect(rig.watch.stateOf(rig.a.port)).toBe('writable');
    expect(rig.watch.stateOf(rig.b.port)).toBe('read-only');
    await password(MMM.password);
    await until('the role goes back', async () =>
      (await mmm('status')).stdout.includes(`active: ${rig.a.host}(alive readonly: 0`),
    );
    expect(rig.watch.stateOf(rig.b.port)).toBe('read-only');
  });
});

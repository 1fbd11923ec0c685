// What an operator does with a pair that has a lease: reads the status, pauses it, takes mmm away, lets a rebuilt server rejoin, goes back to
// the Perl; and the fence hook that he wrote.

import { execFile } from 'node:child_process';
import { chmod, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createConnection } from 'mysql2/promise';
import { afterEach, describe, expect, it } from 'vitest';
import { ADMIN } from '../../src/sandbox/accounts.ts';
import type { Daemon } from '../../src/sandbox/daemons.ts';
import type { Mysqld } from '../../src/sandbox/mysqld.ts';
import { blocksOf, readDocument } from '../docs/markdown.ts';
import { aRig, type Rig, type RigOptions, TAG, UNIQSIGN } from '../support/rig.ts';
import { until } from '../support/until.ts';

const LEASE = { fencing: 'lease', on_unreachable: 'wait' };
/** The lease, the EVENT's second and something for a busy machine: who would close itself has done so by then. */
const CERTAINLY_CLOSED_MS = 6_000;

let rig: Rig;
let agents: Daemon[] = [];
afterEach(async () => {
  await rig.close();
});

async function mmm(...args: string[]): Promise<{ code: number; said: string }> {
  const [file = '', ...rest] = rig.cli([...args, '--conf', rig.files.manager]);
  return await new Promise((resolve) => {
    execFile(file, rest, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
      resolve({ code, said: `${stdout}${stderr}` });
    });
  });
}

async function statusSays(what: string): Promise<void> {
  try {
    await until(`the status says ${what}`, async () => (await mmm('status')).said.includes(what), 40_000);
  } catch (cause) {
    throw new Error(`${(await mmm('status')).said}\n${await rig.story()}`, { cause });
  }
}

async function aLeasedRig(options: RigOptions): Promise<void> {
  rig = await aRig({ ...options, roles: ['monitor', 'identify'], pair: { ...LEASE, ...options.pair } });
  agents = [];
}

async function startAgents(...names: string[]): Promise<void> {
  for (const name of names) agents.push(await rig.start('agent', name));
}

/** Nobody asks them to stop. */
async function killAgents(): Promise<void> {
  for (const { program } of agents.splice(0)) await program.kill();
}

/** With as many agents as the lease wants, and armed. */
async function anArmedRig(options: RigOptions = {}): Promise<void> {
  await aLeasedRig(options);
  await startAgents('agent-1', 'agent-2');
  await rig.writable(rig.a);
  await statusSays('lease: armed');
}

/** Stays as it is for longer than any lease. */
async function staysWritable(server: Mysqld): Promise<void> {
  const sinceMs = performance.now();
  await until('a lease would be over', () => performance.now() - sinceMs > CERTAINLY_CLOSED_MS);
  expect(rig.watch.stateOf(server.port), await rig.story()).toBe('writable');
  expect(rig.watch.changes.filter(({ atMs, port }) => port === server.port && atMs > sinceMs)).toEqual([]);
}

describe('an armed pair', () => {
  it('has a status that goes on after the lines of the contract', async () => {
    await anArmedRig();
    const healthy = (n: 0 | 1) => `(alive readonly: ${n}, replcheck: OK)`;
    const first = [
      'Current multi master status:',
      `[${TAG}]`,
      `  active: ${rig.a.host}${healthy(0)}`,
      `  +- passive: ${rig.b.host}${healthy(1)}`,
      '  lease: armed; the active closes itself 3 s after its last renewal',
      '  agents: 2 of 2 registered: agent-1, agent-2',
    ].join('\n');
    await until('everything is well', async () => (await mmm('status')).said.startsWith(first));
    const [pair] = JSON.parse((await mmm('status', '--json')).said);
    expect(pair.guard).toMatchObject({ lease: { state: 'armed' }, registered: ['agent-1', 'agent-2'], strangers: [] });
    expect(pair.guard.rows.map(({ host }: { host: string }) => host)).toEqual([rig.a.host, rig.b.host]);
    await killAgents();
    await rig.readOnly(rig.a);
  });

  it('that is paused is unfenced, outlives its agents, and is armed again by the resume', async () => {
    await anArmedRig();
    expect((await mmm('pause', '--tag', TAG)).said).toContain(
      `its lease becomes endless, so nothing closes ${rig.a.host} meanwhile`,
    );
    await statusSays('lease: endless, UNFENCED: paused by ');
    const { said } = await mmm('failover', '--tag', TAG, '--to', rig.b.host);
    expect(said).not.toContain('TWO WRITERS');
    await killAgents();
    await staysWritable(rig.a);
    await startAgents('agent-3', 'agent-4');
    expect((await mmm('resume', '--tag', TAG)).said).toContain('its lease is armed again');
    await statusSays('lease: armed');
  });

  it('stays open when mmm is stopped, and nothing closes a host any more once the EVENT is gone', async () => {
    await anArmedRig();
    // B gets a lease that is over by then: the row of a host that was the active once.
    expect(await mmm('switchover', '--tag', TAG)).toMatchObject({ code: 0 });
    expect(await mmm('switchover', '--tag', TAG)).toMatchObject({ code: 0 });
    await statusSays('lease: armed');
    for (const role of ['identify', 'monitor'] as const) await rig.daemon(role).stop();
    for (const daemon of agents) {
      await daemon.stop();
      expect(daemon.program.exitCode).toBe(0);
    }
    await staysWritable(rig.a);
    await rig.replicating();
    const sql = blocksOf(readDocument('docs/migration.md')).find(({ text }) => text.includes('DROP EVENT'))?.text ?? '';
    for (const server of [rig.a, rig.b]) await asAdmin(server, sql);
    // As a Perl agent does it.
    await asAdmin(rig.a, 'SET GLOBAL read_only = 1');
    await asAdmin(rig.b, 'SET GLOBAL read_only = 0');
    await rig.writable(rig.b);
    await staysWritable(rig.b);
    await rig.replicating();
  });
});

/** In one session, as an administrator types it. */
async function asAdmin(server: Mysqld, sql: string): Promise<void> {
  const connection = await createConnection({
    host: '127.0.0.1',
    port: server.port,
    ...ADMIN,
    multipleStatements: true,
  });
  try {
    await connection.query(sql);
  } finally {
    connection.destroy();
  }
}

describe('the lease of a pair that runs', () => {
  async function configure(fencing: string): Promise<void> {
    const text = await readFile(rig.files.manager, 'utf8');
    const without = text.replaceAll(/^(fencing|on_unreachable)=.*\n/gm, '');
    await writeFile(rig.files.manager, without.replace('interval=1\n', `interval=1\n${fencing}`));
    for (const daemon of managers.splice(0)) await daemon.stop();
    for (const role of ['monitor', 'identify'] as const) managers.push(await rig.start(role, `${role}-${starts++}`));
  }
  let managers: Daemon[] = [];
  let starts = 1;

  it('is switched on and off again, and clients notice nothing', async () => {
    rig = await aRig({ roles: [] });
    managers = [];
    agents = [];
    await configure('');
    await startAgents('agent-1', 'agent-2');
    await rig.writable(rig.a);
    const { register } = rig.client();
    await until('the client writes', () => register.size > 20);
    expect((await mmm('status')).said).not.toContain('lease');
    const sinceMs = performance.now();
    await configure('fencing=lease\non_unreachable=wait\n');
    await statusSays('lease: armed');
    await configure('fencing=none\n');
    await statusSays('lease: endless, UNFENCED: fencing=none');
    await killAgents();
    await staysWritable(rig.a);
    expect(register.longestGap(sinceMs).lengthMs, await rig.story()).toBeLessThan(1_000);
    expect(rig.watch.changes.filter(({ atMs }) => atMs > sinceMs)).toEqual([]);
  });
});

describe('a server that was rebuilt', () => {
  it('gets no role until the operator says rejoin, which shows what stands against it', async () => {
    await anArmedRig({ kind: 'mysql56' });
    const { a, b } = rig;
    const rejoin = (...flags: string[]) => mmm('rejoin', '--tag', TAG, '--host', a.host, ...flags);
    expect(await rejoin()).toMatchObject({ code: 0, said: expect.stringContaining('nothing stands against it') });
    await a.kill();
    await rig.writable(b);
    // Its name is in this file; without it the server takes a new one.
    await rm(join(a.dir, 'data', 'auto.cnf'));
    await a.restart();
    await statusSays(`stranger: ${a.host} IS ANOTHER SERVER`);
    expect(await mmm('switchover', '--tag', TAG)).toMatchObject({
      code: 1,
      said: expect.stringContaining('IS ANOTHER SERVER'),
    });
    const shown = await rejoin();
    expect(shown).toMatchObject({ code: 1, said: expect.stringContaining('needs --yes, because:') });
    expect(shown.said).toContain('IS ANOTHER SERVER');
    await statusSays('stranger: ');
    expect(await rejoin('--yes')).toMatchObject({ code: 0, said: expect.stringContaining('is the member') });
    await until('the status knows the member', async () => !(await mmm('status')).said.includes('stranger: '));
    await rig.replicating();
    expect(await mmm('switchover', '--tag', TAG)).toMatchObject({ code: 0 });
    await rig.writable(a);
  });
});

describe('a silent active that nobody has fenced', () => {
  async function aHook(script: string): Promise<string> {
    // Its folder must not be one where others may write.
    await chmod(rig.dir, 0o755);
    const hook = join(rig.dir, 'fence');
    await writeFile(hook, `#!/bin/sh\n${script}\n`);
    await chmod(hook, 0o755);
    return hook;
  }

  it('is passed over only when the fence hook says that it takes no writes', async () => {
    // The file of the configuration names the hook, which is written once the folder is known.
    await aLeasedRig({});
    const hook = await aHook(`env > "${rig.dir}/asked"; echo powered off`);
    await rig.daemon('identify').stop();
    const text = await readFile(rig.files.manager, 'utf8');
    await writeFile(rig.files.manager, text.replace('fencing=lease', `fencing=lease\nfence_hook=${hook}`));
    await rig.start('identify', 'identify-2');
    // One agent: the pair stays unfenced.
    await startAgents('agent-1');
    await rig.writable(rig.a);
    await statusSays('1 of 2 agents (lease_agents) is registered');
    rig.a.freeze();
    await rig.writable(rig.b);
    expect(await readFile(join(rig.dir, 'asked'), 'utf8')).toMatch(
      new RegExp(
        `^MMM_HOST=${rig.a.host}$[^]*^MMM_PAIR=${UNIQSIGN}$|^MMM_PAIR=${UNIQSIGN}$[^]*^MMM_HOST=${rig.a.host}$`,
        'm',
      ),
    );
    expect(await rig.story()).toMatch(/the fence hook for .* succeeded: .*it said: powered off/);
  });

  it('is waited for without one, and a forced failover says what may come of it', async () => {
    await aLeasedRig({});
    await startAgents('agent-1');
    await rig.writable(rig.a);
    rig.a.freeze();
    await statusSays('on_unreachable=wait');
    const failover = (...flags: string[]) => mmm('failover', '--tag', TAG, '--to', rig.b.host, ...flags);
    expect(await failover()).toMatchObject({ code: 1, said: expect.stringContaining('TWO WRITERS ARE POSSIBLE') });
    expect(rig.watch.stateOf(rig.b.port)).toBe('read-only');
    expect(await failover('--force')).toMatchObject({ code: 0 });
    await rig.writable(rig.b);
  });
});

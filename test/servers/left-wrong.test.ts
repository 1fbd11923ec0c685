// read_only left wrong, and worse, on an armed pair (fencing=lease, two agents): what somebody did by hand, what a my.cnf did, and another server
// behind a member's address. Each is repaired, or left alone and shouted about.
//
// | left wrong                            | what becomes of it                                                                  |
// | ------------------------------------- | ----------------------------------------------------------------------------------- |
// | both writable                         | the passive is closed; what was written there flows to the active                   |
// | none writable                         | the active is opened again                                                          |
// | roles swapped by hand                 | the passive is closed, what it took is applied on the active, then that is opened   |
// | the passive restarts writable         | it is closed                                                                        |
// | the active restarts writable          | it is closed and opened by the protocol, or the other one was, and it is the passive |
// | replication of the active is stopped  | it is started                                                                       |
// | replication points somewhere else     | left alone and told (of the passive: fooled.test.ts)                                |
// | another server at the active's address | is not opened; the passive is, as if the active were silent; one that takes writes stays, and nothing is opened beside it |
// | another server at the passive's address | gets no role until an operator says rejoin; one that takes writes is closed       |
//
// The same without a lease: giving-back.test.ts (swapped), failover.test.ts (both read only); a server rebuilt while it was away:
// lease-operator.test.ts.

import { appendFile, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Mysqld, startMysqld } from '../../src/sandbox/mysqld.ts';
import { type ArmedRig, anArmedRig, expectUndecided, LEASE_MS } from '../support/armed.ts';
import type { TcpProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';

/** One round of an agent, and the EVENT's second. */
const REPAIRED_MS = 1_500;
/** A machine that runs other tests as well. */
const MARGIN_MS = 1_000;
/** Any failover would have come by then. */
const CERTAINLY_DECIDED_MS = 6_000;

let rig: ArmedRig;
let active: Mysqld;
let passive: Mysqld;
let before: Readonly<Record<string, string>>;
let nextId = 1;

async function settled(): Promise<void> {
  ({ active, passive } = await rig.settled());
  before = await rig.epoch();
}

async function settledAsBefore(): Promise<void> {
  const was = before;
  await settled();
  await expectUndecided(rig, was);
}

/** As an application, which read_only binds; returns the row's number. */
async function write(server: Mysqld): Promise<number> {
  const session = await rig.application(server);
  const id = nextId++;
  await session.query('INSERT INTO writes (id) VALUES (?)', [id]);
  session.destroy();
  return id;
}

async function isOn(server: Mysqld, id: number): Promise<boolean> {
  return (await rig.admin(server, `SELECT 1 FROM app.writes WHERE id = ${id}`)).length === 1;
}

function sawIt(server: Mysqld, state: 'writable' | 'read-only', sinceMs: number): boolean {
  return rig.watch.changes.some((seen) => seen.port === server.port && seen.state === state && seen.atMs > sinceMs);
}

/** Was open for so long at the most, from then on until it was closed for good. */
function openMs({ port }: Mysqld, sinceMs: number): number {
  const later = rig.watch.changes.filter((change) => change.port === port && change.atMs >= sinceMs);
  const [from, to] = [later.find(({ state }) => state === 'writable'), later.at(-1)];
  if (from === undefined || to?.state !== 'read-only') return Number.POSITIVE_INFINITY;
  return to.atMs - from.atMs;
}

function tell(what: string, ms: number): void {
  console.log(`${active.kind}: ${what} ${Math.round(ms)} ms`);
}

/** Whether its my.cnf lets it start writable. */
async function startsWritable(server: Mysqld, on: boolean): Promise<void> {
  const file = join(server.dir, 'my.cnf');
  if (on) await appendFile(file, 'read_only=0\n');
  else await writeFile(file, (await readFile(file, 'utf8')).replaceAll('read_only=0\n', ''));
}

describe.each(['mariadb', 'mysql56'] as const)('an armed pair of %s', (kind) => {
  beforeAll(async () => {
    // Two writers are what these tests make by hand; each says for how long at the most.
    rig = await anArmedRig({ kind, bothWritableMs: Number.POSITIVE_INFINITY });
  });
  afterAll(() => rig.close());
  beforeEach(settled);

  // The first test: a host that mmm has never closed does not close itself.
  it('whose roles were swapped by hand: the decided active gets all that was written on the other one, and then opens', async () => {
    // Nobody looks on while the operator does it; whoever comes then finds it so.
    for (const { program } of rig.agents) await program.kill();
    await rig.admin(active, 'SET GLOBAL read_only = 1');
    await rig.admin(active, 'STOP SLAVE SQL_THREAD');
    await rig.admin(passive, 'SET GLOBAL read_only = 0');
    const ids = [await write(passive), await write(passive)];
    await rig.readOnly(active);
    for (const name of ['agent-3', 'agent-4']) await rig.start('agent', name);
    await rig.writable(active);
    expect(await Promise.all(ids.map((id) => isOn(active, id))), await rig.story()).toEqual([true, true]);
    await rig.readOnly(passive);
    await settledAsBefore();
  });

  it('whose roles are swapped by hand again, while the agents look on: as before, and nothing of it is lost', async () => {
    const operators = [await rig.administrator(active), await rig.administrator(passive)];
    const application = await rig.application(passive);
    await operators[0]?.query('SET GLOBAL read_only = 1');
    await operators[1]?.query('SET GLOBAL read_only = 0');
    const id = nextId++;
    await application.query('INSERT INTO writes (id) VALUES (?)', [id]);
    // A client that stayed there would draw the role.
    application.destroy();
    await rig.writable(active);
    await rig.readOnly(passive);
    await until('its row is on the active', () => isOn(active, id));
    await settledAsBefore();
  });

  it('both of which take writes: the passive is closed, and its writes come over', async () => {
    const sinceMs = performance.now();
    await rig.admin(passive, 'SET GLOBAL read_only = 0');
    const id = await write(passive);
    await until('the watch saw it open', () => sawIt(passive, 'writable', sinceMs));
    await rig.readOnly(passive);
    tell('the second writer was open for', openMs(passive, sinceMs));
    expect(openMs(passive, sinceMs)).toBeLessThan(REPAIRED_MS + MARGIN_MS);
    await until('its row is on the active', () => isOn(active, id));
    await settledAsBefore();
  });

  it('none of which takes writes: the active is opened again', async () => {
    const sinceMs = performance.now();
    await rig.admin(active, 'SET GLOBAL read_only = 1');
    await until('the watch saw it closed', () => sawIt(active, 'read-only', sinceMs));
    await rig.writable(active);
    tell('nobody took writes for', performance.now() - sinceMs);
    expect(performance.now() - sinceMs).toBeLessThan(REPAIRED_MS + MARGIN_MS);
    await settledAsBefore();
  });

  it('whose passive restarts writable: it is closed', async () => {
    await startsWritable(passive, true);
    try {
      const sinceMs = performance.now();
      await passive.kill();
      await passive.restart();
      await until('it is there', () => rig.watch.stateOf(passive.port) !== 'gone');
      await rig.readOnly(passive);
      const { length } = rig.watch.changes.filter(
        ({ port, atMs, state }) => port === passive.port && atMs > sinceMs && state === 'writable',
      );
      expect(length).toBeLessThanOrEqual(1);
      if (length === 1) tell('it was open for', openMs(passive, sinceMs));
      expect(length === 0 ? 0 : openMs(passive, sinceMs)).toBeLessThan(REPAIRED_MS + MARGIN_MS);
    } finally {
      await startsWritable(passive, false);
    }
    await settledAsBefore();
  });

  it('whose active restarts writable before anybody decides: it is closed, and opened by the protocol', async () => {
    const identify = rig.daemon('identify').program;
    await startsWritable(active, true);
    identify.signal('SIGSTOP');
    try {
      await active.kill();
      await active.restart();
      await rig.told('mmm has not opened it in this life');
      const sinceMs = await rig.steadySinceMs(active);
      expect(sinceMs).toBeGreaterThan(0);
      const [row] = await rig.admin(active, 'SELECT opened_number AS opened, endless FROM mmm.host');
      expect(row).toEqual({ opened: Number(before['number']), endless: 0 });
    } finally {
      identify.signal('SIGCONT');
      await startsWritable(active, false);
    }
    await settledAsBefore();
  });

  it('whose active restarts writable after the other one was opened: it is closed, and is the passive', async () => {
    await startsWritable(active, true);
    const was = active;
    try {
      await active.kill();
      await rig.writable(passive);
      const sinceMs = performance.now();
      await active.restart();
      await until('it is there', () => rig.watch.stateOf(was.port) !== 'gone');
      await rig.readOnly(was);
      const isOpened = rig.watch.changes.some(
        ({ port, atMs, state }) => port === was.port && atMs > sinceMs && state === 'writable',
      );
      if (isOpened) tell('it was open beside the new active for', openMs(was, sinceMs));
      expect(isOpened ? openMs(was, sinceMs) : 0).toBeLessThan(REPAIRED_MS + MARGIN_MS);
    } finally {
      await startsWritable(was, false);
    }
    await settled();
    expect(passive).toBe(was);
  });

  it('whose active does not replicate: started when it was stopped, left alone and told when it follows somebody else', async () => {
    await rig.admin(active, 'STOP SLAVE');
    await rig.replicating();
    // Nobody answers there as a server would.
    const somewhere = rig.redis.port;
    const operator = await rig.administrator(active);
    // An agent may start it again between the two.
    const follow = (port: number) =>
      until(`it follows ${port}`, async () => {
        await operator.query('STOP SLAVE');
        const changed = await operator.query(`CHANGE MASTER TO MASTER_PORT=${port}`).then(
          () => true,
          () => false,
        );
        await operator.query('START SLAVE');
        return changed;
      });
    await follow(somewhere);
    await until('the status shows it', async () => (await rig.mmm('status')).said.includes('replcheck: Error'));
    await rig.forMs(2_000);
    const [status] = await rig.admin(active, 'SHOW SLAVE STATUS');
    expect(status?.['Master_Port']).toBe(somewhere);
    expect(rig.watch.stateOf(active.port)).toBe('writable');
    await expectUndecided(rig, before);
    await follow(passive.port);
    await settledAsBefore();
  });

  // Its name is in a file there; a MariaDB has one of its machine and port.
  if (kind === 'mariadb') return;

  it('whose passive was rebuilt, and takes writes: it is closed, and gets no role until an operator says rejoin', async () => {
    await startsWritable(passive, true);
    await passive.kill();
    await rm(join(passive.dir, 'data', 'auto.cnf'));
    await passive.restart();
    await startsWritable(passive, false);
    await rig.readOnly(passive);
    await rig.told(`${passive.host} IS ANOTHER SERVER`);
    expect(await rig.mmm('switchover')).toMatchObject({ code: 1, said: expect.stringContaining('IS ANOTHER SERVER') });
    await expectUndecided(rig, before);
    await until(
      'all is known of it',
      async () => (await rig.mmm('rejoin', '--host', passive.host, '--yes')).code === 0,
    );
    await settled();
    expect((await rig.mmm('status')).said).not.toContain('stranger');
    await until('it is fit for the role', async () => (await rig.mmm('switchover', '--dry-run')).code === 0);
  });

  it('whose active was rebuilt before anybody noticed: it is not opened, the other one is', async () => {
    const identify = rig.daemon('identify').program;
    const [was, other] = [active, passive];
    identify.signal('SIGSTOP');
    try {
      await was.kill();
      await rm(join(was.dir, 'data', 'auto.cnf'));
      await was.restart();
      await rig.told(`nothing is changed: ${was.host} IS ANOTHER SERVER`);
      await rig.forMs(3_000);
      expect(rig.watch.stateOf(was.port), await rig.story()).toBe('read-only');
    } finally {
      identify.signal('SIGCONT');
    }
    await rig.writable(other);
    await until('it is a member again', async () => (await rig.mmm('rejoin', '--host', was.host, '--yes')).code === 0);
    await settled();
    expect(active).toBe(other);
  });
});

describe('another MariaDB at the address of the active', () => {
  let proxy: TcpProxy;
  let other: Mysqld;
  beforeAll(async () => {
    rig = await anArmedRig({ proxied: true });
    if (rig.proxy === null) throw new Error('this rig has a proxy');
    ({ proxy } = rig);
    other = await startMysqld({ kind: 'mariadb', dir: join(rig.dir, 'c'), serverId: 3 });
  });
  afterAll(async () => {
    await other.kill();
    await rig.close();
  });

  it('is not opened; the passive is, when the lease of the one that was there is over', async () => {
    await settled();
    const identify = rig.daemon('identify').program;
    identify.signal('SIGSTOP');
    try {
      await rig.a.kill();
      proxy.lead(other);
      await rig.told(`nothing is changed: ${proxy.host} IS ANOTHER SERVER`);
      await rig.forMs(2_000);
      expect(await rig.admin(other, 'SELECT @@global.read_only AS closed')).toEqual([{ closed: 1 }]);
    } finally {
      identify.signal('SIGCONT');
    }
    const wokenMs = performance.now();
    await rig.writable(rig.b);
    tell('another server at the address, the passive opened after', performance.now() - wokenMs);
    // It may take writes elsewhere till then: nobody has reached it.
    expect(performance.now() - wokenMs).toBeGreaterThan(LEASE_MS);
    expect((await rig.mmm('status')).said).toContain('stranger: ');
    expect(await rig.mmm('switchover')).toMatchObject({ code: 1, said: expect.stringContaining('IS ANOTHER SERVER') });
    const shown = await rig.mmm('rejoin', '--host', proxy.host);
    expect(shown).toMatchObject({ code: 1, said: expect.stringContaining('needs --yes') });
    await rig.a.restart();
    proxy.lead(rig.a);
    await settled();
    expect(active).toBe(rig.b);
    expect((await rig.mmm('status')).said).not.toContain('stranger');
  });

  it('that takes writes is left alone and told: nothing is opened beside it', async () => {
    await settled();
    await until('nothing speaks against it', async () => (await rig.mmm('switchover', '--dry-run')).code === 0);
    expect(await rig.mmm('switchover')).toMatchObject({ code: 0 });
    await settled();
    expect(active).toBe(rig.a);
    await rig.a.kill();
    await rig.admin(other, 'SET GLOBAL read_only = 0');
    proxy.lead(other);
    await until('the status shows it', async () => (await rig.mmm('status')).said.includes('stranger: '));
    await rig.forMs(CERTAINLY_DECIDED_MS);
    expect(await rig.admin(other, 'SELECT @@global.read_only AS closed')).toEqual([{ closed: 0 }]);
    expect(rig.watch.stateOf(rig.b.port), await rig.story()).toBe('read-only');
    await expectUndecided(rig, before);
    await rig.a.restart();
    proxy.lead(rig.a);
    await settledAsBefore();
  });
});

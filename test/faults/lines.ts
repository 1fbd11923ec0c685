// Every line of the table "Shown by" as a function: the fault, and what must come of it. One writer whatever happens is the
// point of all of them. `npm test` runs each once (table.faults.test.ts), `npm run test:faults` many times (cli.ts).
//
// Where a line says "at every step", an agent is stopped right after the log line of its first, second, ... step of the change:
// the other agent stands still meanwhile, so which step that is, is known. The product has no hook for it. A signal lands some
// milliseconds after the line, so over many repetitions it also lands within the next step.

import { around, between, type CutKind, type Place } from './network.ts';
import { type Actor, type FaultRig, type Fencing, monotonicMs } from './rig.ts';
import { type Expected, type Result, Trial } from './trial.ts';

export interface Line {
  /** In the words of the table. */
  readonly name: string;
  readonly variants: readonly Variant[];
}

export interface Variant {
  readonly name: string;
  /** Also run by `npm test`; there, each line has at least one of them. */
  readonly short: boolean;
  /** Left out where a pair without a lease promises nothing to look at. */
  readonly fencing?: Fencing;
  readonly run: (rig: FaultRig) => Promise<Result>;
}

const LEASE_MS = 3_000;
/** After the waking of a host with a lease. */
const AFTER_WAKING_MS = 100;
/** Without one nobody closes it before an agent reaches it. */
const AFTER_WAKING_UNFENCED_MS = 1_500;
/** Longer than any failover takes. */
const NOTHING_HAPPENS_MS = 12_000;
const MANAGERS: readonly [Place, Place] = ['mgr1', 'mgr2'];
const DATABASES: readonly [Place, Place] = ['db1', 'db2'];
/** One agent does about so many steps in a failover of a host that was killed, and of one that is silent; more are tried to be sure. */
const STEPS_KILLED = 4;
const STEPS_SILENT = 4;
/** By then such a failover is over. */
const RANDOM_KILLED_MS = 600;
const RANDOM_SILENT_MS = 8_500;

const hasLease = (rig: FaultRig) => rig.options.fencing === 'lease';

/** What a pair promises of a host that wakes up. */
function afterWaking(rig: FaultRig, wokenMs: number): Expected['second'] {
  return { withinMs: hasLease(rig) ? AFTER_WAKING_MS : AFTER_WAKING_UNFENCED_MS, ofMs: wokenMs };
}

async function killed(rig: FaultRig): Promise<Result> {
  const trial = await Trial.begin(rig);
  await trial.fault(() => trial.active.server.kill());
  await trial.writable(trial.passive);
  await trial.countLeftBehind(trial.passive);
  return await trial.end({ second: 'none', active: 'passive', decisions: 1 });
}

async function frozenLong(rig: FaultRig): Promise<Result> {
  const trial = await Trial.begin(rig);
  await trial.fault(() => trial.active.server.freeze());
  await trial.forMs(20_000);
  await trial.writable(trial.passive, 1_000);
  await trial.countLeftBehind(trial.passive);
  const wokenMs = monotonicMs();
  trial.active.server.thaw();
  await trial.closed(trial.active, 10_000, wokenMs);
  trial.figures['closed after waking ms'] = await closedAfter(trial, wokenMs);
  await trial.forMs(1_000);
  return await trial.end({ second: afterWaking(rig, wokenMs), active: 'passive', decisions: 1 });
}

async function closedAfter(trial: Trial, wokenMs: number): Promise<number> {
  const { second } = await trial.rig.crowd.report(trial.faultMs);
  return Math.max(0, ...second.map(({ answeredMs }) => answeredMs - wokenMs));
}

function frozenFor(ms: number) {
  return async (rig: FaultRig): Promise<Result> => {
    const trial = await Trial.begin(rig);
    await trial.fault(() => trial.active.server.freeze());
    await trial.forMs(ms);
    const wokenMs = monotonicMs();
    trial.active.server.thaw();
    // Either it goes on, or the other one is opened: whatever was begun comes to its end.
    await trial.forMs(LEASE_MS + 4_000);
    return await trial.end({ second: afterWaking(rig, wokenMs), active: 'either' });
  };
}

function managersCutOff(places: readonly [Place, Place], how: CutKind) {
  return async (rig: FaultRig): Promise<Result> => {
    await rig.settle();
    await rig.placeAgents(places);
    const trial = await Trial.begin(rig);
    const changes = hasLease(rig) && places === MANAGERS;
    await trial.fault(() => rig.network.cut(between(MANAGERS, [trial.active.place], how)));
    if (changes) {
      await trial.writable(trial.passive, 25_000);
      await trial.countLeftBehind(trial.passive);
    }
    await trial.forMs(changes ? 2_000 : NOTHING_HAPPENS_MS);
    const result = await trial.end(
      changes ? { second: 'none', active: 'passive', decisions: 1 } : { second: 'none', active: 'same', decisions: 0 },
    );
    if (changes || result.gapMs < 1_000) return result;
    return { ...result, problems: [...result.problems, `clients could not write for ${result.gapMs.toFixed(0)} ms`] };
  };
}

function activeCutOff(places: readonly [Place, Place], how: CutKind) {
  return async (rig: FaultRig): Promise<Result> => {
    await rig.settle();
    await rig.placeAgents(places);
    const trial = await Trial.begin(rig);
    await trial.fault(() => rig.network.cut(around(trial.active.place, how)));
    await trial.writable(trial.passive, 25_000);
    await trial.countLeftBehind(trial.passive);
    await trial.forMs(2_000);
    const healedMs = monotonicMs();
    await rig.network.heal();
    await trial.closed(trial.active, 15_000, healedMs);
    await trial.forMs(1_000);
    // Without a lease nobody can close a host that nobody reaches: its clients beside it write on until it is reached again.
    return await trial.end({ second: hasLease(rig) ? 'none' : 'any', active: 'passive', decisions: 1 });
  };
}

type AgentFault = 'killed' | 'frozen';
type Fault = 'killed' | 'silent';
/** After that step, or at any moment. */
type When = number | 'random';

async function breakActive(trial: Trial, fault: Fault): Promise<void> {
  await trial.fault(() =>
    fault === 'killed' ? trial.active.server.kill() : trial.rig.network.cut(around(trial.active.place)),
  );
}

/** Waits for the moment at which the agent is to be stopped, and notes it. */
async function moment(trial: Trial, agent: Actor, fault: Fault, when: When): Promise<void> {
  if (when === 'random') {
    const ms = Math.random() * (fault === 'killed' ? RANDOM_KILLED_MS : RANDOM_SILENT_MS);
    trial.figures['stopped after ms'] = ms;
    await trial.forMs(ms);
    return;
  }
  const step = await trial.step(agent, when);
  trial.figures[step === null ? `no step ${when}` : `step ${when}: ${step}`] = 1;
}

/** One agent acts and is stopped at that moment; then the other one, which stood still till then, goes on. */
function agentStopped(how: AgentFault, fault: Fault, when: When) {
  return async (rig: FaultRig): Promise<Result> => {
    await rig.settle();
    await rig.placeAgents(MANAGERS);
    const trial = await Trial.begin(rig);
    const [first, second] = rig.agents;
    second.freeze();
    await breakActive(trial, fault);
    await moment(trial, first, fault, when);
    if (how === 'killed') await first.kill();
    else first.freeze();
    second.thaw();
    await trial.writable(trial.passive, 30_000, monotonicMs());
    await trial.countLeftBehind(trial.passive);
    if (how === 'frozen') await thawedLater(trial, first, fault);
    const unfencedSecond = fault === 'silent' && !hasLease(rig);
    return await trial.end({ second: unfencedSecond ? 'any' : 'none', active: 'passive', decisions: 1 });
  };
}

/** The change is over; now the agent wakes in the middle of it. */
async function thawedLater(trial: Trial, agent: Actor, fault: Fault): Promise<void> {
  const before = await trial.rig.boardNow();
  if (fault === 'silent') await trial.rig.network.heal();
  const thawedMs = monotonicMs();
  agent.thaw();
  await trial.forMs(2_500);
  const after = await trial.rig.boardNow();
  const states = await trial.rig.crowd.states();
  if (after?.id !== before?.id) trial.problems.push('the thawed agent brought another decision');
  if ((states[trial.passive.name]?.closedMs ?? 0) > thawedMs) trial.problems.push('the thawed agent closed the active');
}

/** The role has gone there and back when the agent wakes that was to open the other host. */
function agentOvertaken(when: When) {
  return async (rig: FaultRig): Promise<Result> => {
    await rig.settle();
    await rig.placeAgents(MANAGERS);
    const trial = await Trial.begin(rig);
    const [first, second] = rig.agents;
    second.freeze();
    await trial.fault(() => trial.active.server.kill());
    await moment(trial, first, 'killed', when);
    first.freeze();
    second.thaw();
    await trial.writable(trial.passive, 30_000, monotonicMs());
    await trial.countLeftBehind(trial.passive);
    await trial.active.server.restart();
    await switched(rig);
    await trial.writable(trial.active, 20_000, monotonicMs());
    const before = await rig.boardNow();
    const thawedMs = monotonicMs();
    first.thaw();
    await trial.forMs(3_000);
    const states = await rig.crowd.states();
    if ((await rig.boardNow())?.id !== before?.id) trial.problems.push('the thawed agent brought another decision');
    if ((states[trial.active.name]?.closedMs ?? 0) > thawedMs)
      trial.problems.push('the thawed agent closed the active');
    if ((states[trial.passive.name]?.acknowledgedMs ?? 0) > thawedMs) {
      trial.problems.push('the thawed agent opened the passive');
    }
    return await trial.end({ second: 'none', active: 'same' });
  };
}

/** board: on whose side of the partition Redis is. */
function agentWithActive(board: 'active' | 'passive') {
  return async (rig: FaultRig): Promise<Result> => {
    const { active } = await rig.settle();
    await rig.placeAgents([active.place, 'mgr2']);
    const trial = await Trial.begin(rig);
    const [inside] = rig.agents;
    const there: readonly Place[] = [trial.active.place, ...(board === 'active' ? (['board', 'mgr1'] as const) : [])];
    const here = (['db1', 'db2', 'board', 'mgr1', 'mgr2', 'app'] as const).filter((place) => !there.includes(place));
    await trial.fault(() => rig.network.cut(between(there, here)));
    await trial.forMs(board === 'active' ? 11_500 : 1_500);
    await inside.stop();
    if (board === 'passive' && hasLease(rig)) await trial.writable(trial.passive, 25_000);
    await trial.forMs(NOTHING_HAPPENS_MS / 2);
    await rig.network.heal();
    await trial.forMs(1_000);
    return await trial.end({ second: hasLease(rig) || board === 'active' ? 'none' : 'any', active: 'either' });
  };
}

/** downMs: how long it is away, beside the time that its start takes. */
function restartedQuickly(downMs: number) {
  return async (rig: FaultRig): Promise<Result> => {
    const trial = await Trial.begin(rig);
    await trial.fault(() => trial.active.server.kill());
    await trial.forMs(downMs);
    await trial.active.server.restart();
    const backMs = monotonicMs();
    trial.figures['answers again after ms'] = backMs - trial.faultMs;
    await trial.until(
      'somebody takes writes',
      async () => {
        const states = Object.values(await rig.crowd.states());
        return states.some(({ acknowledgedMs }) => (acknowledgedMs ?? 0) > backMs);
      },
      30_000,
    );
    await trial.forMs(2_000);
    return await trial.end({ second: 'none', active: 'either' });
  };
}

const UNAPPLIED = 5_000;

/** lock: the SQL thread waits behind a table lock. stopped: it was stopped. */
function unapplied(why: 'lock' | 'stopped') {
  return async (rig: FaultRig): Promise<Result> => {
    const trial = await Trial.begin(rig);
    const { active, passive } = trial;
    // Fewer flushes: a killed server loses nothing by that, and what is slow here is meant to be the lock.
    await flushing(rig, 'seldom');
    const lock = await rig.adminConnection(passive);
    await lock.query(why === 'lock' ? 'LOCK TABLES app.writes WRITE' : 'STOP SLAVE SQL_THREAD');
    await rig.crowd.load(false);
    const { fromId, toId } = await rig.crowd.burst(active.name, UNAPPLIED);
    await trial.until('all is received', async () => {
      const [[source], [replica]] = await Promise.all([
        rig.admin(active, 'SHOW MASTER STATUS'),
        rig.admin(passive, 'SHOW SLAVE STATUS'),
      ]);
      // The probes write on, so it is never all; what counts is far behind by now.
      const [sourceAt, replicaAt] = [Number(source?.['Position']), Number(replica?.['Read_Master_Log_Pos'])];
      return source?.['File'] === replica?.['Master_Log_File'] && sourceAt - replicaAt < 20_000;
    });
    await rig.crowd.count(passive.name, fromId, toId);
    await trial.fault(() => active.server.kill());
    if (why === 'lock') {
      // As a slow one: nobody may give up on it.
      await trial.forMs(4_000);
      const { firstMs } = await rig.crowd.report(trial.faultMs);
      if ((firstMs[passive.name] ?? null) !== null) trial.problems.push('it was opened before it had applied anything');
      await lock.query('UNLOCK TABLES');
    }
    lock.destroy();
    await trial.writable(passive, 60_000);
    await trial.until('it is counted', async () => (await rig.crowd.report(trial.faultMs)).counted !== null);
    const { counted } = await rig.crowd.report(trial.faultMs);
    if (counted !== UNAPPLIED) trial.problems.push(`${counted} of ${UNAPPLIED} were applied at the first write`);
    await trial.countLeftBehind(passive);
    const result = await trial.end({ second: 'none', active: 'passive', decisions: 1 });
    await flushing(rig, 'always');
    return result;
  };
}

async function flushing(rig: FaultRig, how: 'always' | 'seldom'): Promise<void> {
  const [log, binlog] = how === 'always' ? [1, 1] : [2, 0];
  for (const host of rig.hosts) {
    await rig.admin(host, `SET GLOBAL innodb_flush_log_at_trx_commit = ${log}`);
    await rig.admin(host, `SET GLOBAL sync_binlog = ${binlog}`);
  }
}

type BoardFault = 'killed' | 'emptied' | 'old dump';

/** With the active: it dies together with the board. */
function boardLost(how: BoardFault, withActive: boolean) {
  return async (rig: FaultRig): Promise<Result> => {
    let dump: string | null = null;
    if (how === 'old dump') {
      await rig.settle();
      dump = await rig.dumpBoard();
      // Now the dump names the host that is the passive by then.
      await switched(rig);
    }
    const trial = await Trial.begin(rig);
    await trial.fault(async () => {
      if (withActive) await trial.active.server.kill();
      if (how === 'killed') await rig.redis.kill();
      else await rig.restartBoard(dump);
    });
    if (how === 'killed') {
      await trial.forMs(8_000);
      await rig.redis.restart();
    }
    // A board that is written anew does not know whether the dead one closes itself: with on_unreachable=wait nobody is opened.
    const opens = withActive && !hasLease(rig);
    if (opens) {
      await trial.writable(trial.passive, 40_000);
      await trial.countLeftBehind(trial.passive);
    }
    await trial.forMs(opens ? 1_000 : NOTHING_HAPPENS_MS / 2);
    // Without rows on the servers an old dump is all that is known of the roles.
    const isBelieved = how === 'old dump' && !hasLease(rig) && !withActive;
    return await trial.end({
      second: 'none',
      active: isBelieved || (withActive && hasLease(rig)) ? 'either' : withActive ? 'passive' : 'same',
    });
  };
}

/** Nobody's leadership holds, so each identify decides; both agents act. */
async function bothSure(rig: FaultRig): Promise<Result> {
  await rig.settle();
  await rig.placeAgents(MANAGERS);
  const trial = await Trial.begin(rig);
  let going = true;
  const leaderless = rig.board(async (redis) => {
    const keys = await redis.keys('*-leader');
    if (keys.length === 0) trial.problems.push('there was no leader to depose');
    while (going) await redis.del(...keys);
  });
  await trial.fault(() => trial.active.server.kill());
  await trial.writable(trial.passive);
  await trial.countLeftBehind(trial.passive);
  await trial.forMs(2_000);
  going = false;
  await leaderless;
  return await trial.end({ second: 'none', active: 'passive', decisions: 1 });
}

async function switchover(rig: FaultRig): Promise<Result> {
  const trial = await Trial.begin(rig);
  await trial.fault(async () => {
    trial.figures['refused first'] = (await switched(rig)) - 1;
  });
  await trial.writable(trial.passive);
  await trial.forMs(300);
  await rig.crowd.load(false);
  await trial.forMs(100);
  // At once, before anything could come over from the other host: nothing may be left behind.
  await trial.countLeftBehind(trial.passive);
  if (trial.leftBehind > 0) trial.problems.push(`${trial.leftBehind} acknowledged writes are not on the new active`);
  return await trial.end({ second: 'none', active: 'passive', decisions: 1 });
}

/** A switchover is refused while the passive lags, so it is asked for again. Gives how often it was. */
async function switched(rig: FaultRig): Promise<number> {
  const deadlineMs = monotonicMs() + 30_000;
  for (let asked = 1; ; asked++) {
    const { code, output } = await rig.mmm(['switchover', '--wait', '10']);
    if (code === 0) return asked;
    if (monotonicMs() > deadlineMs) throw new Error(`mmm switchover fails: ${output}`);
  }
}

const FREEZES = [500, 1_000, 1_500, 2_000, 2_500, 2_800, 3_000, 3_200, 3_500, 4_000] as const;

/** Every step of such a failover, and any moment of it; `short` are the ones that npm test takes. */
function moments(fault: Fault, short: readonly number[], run: (when: When) => Variant['run'], more = ''): Variant[] {
  const steps = Array.from({ length: fault === 'killed' ? STEPS_KILLED : STEPS_SILENT }, (_, index) => index + 1);
  return [
    ...steps.map((step) => ({
      name: `active ${fault}, step ${step}${more}`,
      short: short.includes(step),
      run: run(step),
    })),
    { name: `active ${fault}, any moment${more}`, short: false, run: run('random') },
  ];
}

export const LINES: readonly Line[] = [
  { name: 'active killed, under load', variants: [{ name: 'kill -9', short: true, run: killed }] },
  {
    name: 'active frozen 20 s, then woken, clients still attached',
    variants: [{ name: '20 s', short: true, run: frozenLong }],
  },
  {
    name: 'active frozen for 0.5 to 4 s, ten lengths around the lease',
    variants: FREEZES.map((ms) => ({ name: `${ms} ms`, short: ms % 1_500 === 0, run: frozenFor(ms) })),
  },
  {
    name: 'managers cut off from the active, clients not',
    variants: [
      { name: 'agents with the managers, silent', short: true, run: managersCutOff(MANAGERS, 'silent') },
      { name: 'agents with the managers, reset', short: false, run: managersCutOff(MANAGERS, 'reset') },
      { name: 'agents with the managers, prohibited', short: false, run: managersCutOff(MANAGERS, 'prohibited') },
      { name: 'an agent on each database host, silent', short: true, run: managersCutOff(DATABASES, 'silent') },
      { name: 'an agent on each database host, reset', short: false, run: managersCutOff(DATABASES, 'reset') },
    ],
  },
  {
    name: 'active cut off from everything, clients beside it, healed later',
    variants: [
      { name: 'agents with the managers, silent', short: true, run: activeCutOff(MANAGERS, 'silent') },
      { name: 'agents with the managers, unreachable', short: false, run: activeCutOff(MANAGERS, 'unreachable') },
      { name: 'an agent on each database host, silent', short: false, run: activeCutOff(DATABASES, 'silent') },
    ],
  },
  {
    name: 'an agent frozen in the middle of a failover, thawed after another finished it',
    variants: [
      ...moments('killed', [1, 2], (when) => agentStopped('frozen', 'killed', when)),
      ...moments('silent', [], (when) => agentStopped('frozen', 'silent', when)),
      ...moments('killed', [2], agentOvertaken, ', thawed after the role went back'),
    ],
  },
  {
    name: 'agent killed -9 at each step of a failover',
    variants: [
      ...moments('killed', [1, 2, 3], (when) => agentStopped('killed', 'killed', when)),
      ...moments('silent', [], (when) => agentStopped('killed', 'silent', when)),
    ],
  },
  {
    name: "the only other agent on the active's side of a partition, then stopped cleanly",
    variants: [
      { name: 'the board on the other side', short: true, run: agentWithActive('passive') },
      { name: "the board on the active's side", short: false, run: agentWithActive('active') },
    ],
  },
  {
    name: 'active killed and quickly restarted',
    variants: [0, 300, 1_000].map((ms) => ({ name: `after ${ms} ms`, short: ms === 0, run: restartedQuickly(ms) })),
  },
  {
    name: 'passive with 5,000 transactions unapplied, active killed',
    variants: [
      { name: 'SQL thread slow', short: true, run: unapplied('lock') },
      { name: 'SQL thread stopped', short: true, run: unapplied('stopped') },
    ],
  },
  {
    name: 'Redis killed, emptied, restored from an old dump',
    variants: (['killed', 'emptied', 'old dump'] as const).flatMap((how) => [
      { name: how, short: how !== 'killed', run: boardLost(how, false) },
      { name: `${how}, and the active killed`, short: how === 'emptied', run: boardLost(how, true) },
    ]),
  },
  { name: 'two agents, two identifies, both sure', variants: [{ name: 'no leader', short: true, run: bothSure }] },
  { name: 'switchover under load', variants: [{ name: 'there', short: true, run: switchover }] },
];

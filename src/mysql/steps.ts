// What the agent does to a server, one step at a time: each looks first, acts, reads back, and ends by a deadline of its own.
// Comes from connection.ts (Server.apply); the order of the steps is core/reconcile.ts's.

import type { Replication } from '../core/observation.ts';
import { hasReceived, isApplied, type Progress, unapplied } from '../core/replication.ts';
import type { Applied, PlainStep } from '../core/step.ts';
import { changeAccounts } from './accounts.ts';
import { serverErrorNumber } from './evidence.ts';
import { type Look, readProgress, readReadOnly } from './facts.ts';
import { REPLICATION_THREADS, WORKING_THREAD } from './replication-threads.ts';
import { adminUsers, describeOthers, hostMatches, killSessions } from './sessions.ts';

/** Everything that `close` does; a host that is not closed by then counts as one that cannot be. */
const CLOSE_MS = 5_000;
/** One try at read_only. The server gives up after its lock_wait_timeout of 1 s (connection.ts); this is for one that does not. */
const READ_ONLY_MS = 2_500;
/** START and STOP wait for the thread, which waits for the network or the disk. */
const THREAD_MS = 5_000;
const STARTED_MS = 1_000;
/** Then the plan looks again at the whole pair. */
const WAIT_MS = 2_000;
const FIRST_POLL_MS = 2;
const LONGEST_POLL_MS = 50;

type Opening = Extract<PlainStep, { do: 'open' }>;

const LOCK_WAIT_TIMEOUT = 1205;

/** Throws only what the connection or the server threw; connection.ts grades it. */
export async function applyStep(step: PlainStep, look: Look): Promise<Applied> {
  switch (step.do) {
    case 'block':
      return await block(look);
    case 'release':
      return await release(look);
    case 'close':
      return await close(look);
    case 'open':
      return await open(look, step);
    case 'start-sql':
      return await start(look, look.identity.dialect.startSql, { sql: true, io: false });
    case 'start-io':
      return await start(look, look.identity.dialect.startIo, { sql: false, io: true });
    case 'start-replication':
      return await start(look, look.identity.dialect.startReplication, { sql: true, io: true });
    case 'stop-io':
      return await stopIo(look);
    case 'await-applied':
      return await waitFor(look, 'all that was received is applied', appliedYet);
    case 'await-received':
      return await waitFor(look, 'the other host’s position is received', (progress) =>
        receivedYet(progress, hasReceived(progress, step.position, step.gtid)),
      );
    default:
      return step satisfies never;
  }
}

async function close(look: Look): Promise<Applied> {
  // Whoever is connected to a host that is closed already reads; a reader is left in peace.
  if (await readReadOnly(look)) return done('it is read only already');
  // Sets what is set already: who lacks the right is refused here, before clients are thrown out for nothing.
  await look.ask('SET GLOBAL read_only = @@global.read_only', [], READ_ONLY_MS);
  const { dialect } = look.identity;
  const admins = await adminUsers(look, dialect);
  const deadline = performance.now() + CLOSE_MS;
  const killed: string[] = [];
  for (;;) {
    // First, for their locks and long statements hold read_only up; and again, for clients come back.
    const round = await killSessions(look, dialect, (session) => !admins.has(session.user));
    killed.push(...round.users);
    const obstacle = await setReadOnly(look);
    if (obstacle === null) return done([killed.length === 0 ? null : `killed ${sessions(killed)}`, 'set read_only']);
    if (performance.now() + 1_000 > deadline) {
      const refused = round.refused === null ? '' : `${round.refused}; `;
      return notDone(`read_only could not be set within ${CLOSE_MS / 1000} s: ${refused}${await describeOthers(look)}`);
    }
  }
}

/** null when it is set; else why not. */
async function setReadOnly(look: Look): Promise<string | null> {
  try {
    await look.ask('SET GLOBAL read_only = 1', [], READ_ONLY_MS);
  } catch (error) {
    if (serverErrorNumber(error) !== LOCK_WAIT_TIMEOUT) throw error;
    return 'a lock is in the way';
  }
  return (await readReadOnly(look)) ? null : 'it does not stay set';
}

/**
 * S3 and S4: the statement itself compares with the server's clock and looks at its replication when it runs, however late that is. Where
 * there is super_read_only it goes off with read_only.
 */
async function open(look: Look, { deadlineServerTime, drained }: Opening): Promise<Applied> {
  const late = `UNIX_TIMESTAMP(SYSDATE(6)) > ${deadlineServerTime.toFixed(6)}`;
  const openUnless = async (obstacle: string) => {
    await look.ask(`SET GLOBAL read_only = IF(${obstacle}, @@global.read_only, 0)`);
    return !(await readReadOnly(look));
  };
  if (await openUnless(drained ? `${late} OR EXISTS (SELECT 1 ${REPLICATION_THREADS} AND ${WORKING_THREAD})` : late)) {
    return done('set read_only off');
  }
  if (drained) {
    const progress = await readProgress(look);
    if (progress.replication !== null && progress.replication.io !== 'No') {
      return { ...notDone('its I/O thread runs again'), code: 'io-runs' };
    }
    if (!isApplied(progress)) return { ...notDone(`it is ${unapplied(progress)} behind`), code: 'unapplied' };
    // The threads are those of other sources, which are nobody's concern here.
    if (await openUnless(late)) return done('set read_only off');
  }
  return notDone('it came after its deadline by the server’s own clock, and did nothing');
}

async function block(look: Look): Promise<Applied> {
  const { dialect } = look.identity;
  if (look.block === null) return done('no accounts are configured to be blocked');
  const { changed, wanted, spared } = await changeAccounts(look, dialect, look.block, 'blocked');
  const admins = await adminUsers(look, dialect);
  const { users, refused } = await killSessions(
    look,
    dialect,
    (session) =>
      !admins.has(session.user) &&
      wanted.some((account) => account.user === session.user && hostMatches(account.host, session.host)),
  );
  return done([`blocked ${accounts(changed.length)}`, `killed ${sessions(users)}`, refused, ...spared]);
}

async function release(look: Look): Promise<Applied> {
  if (look.block === null) return done('no accounts are configured to be released');
  const { changed, spared } = await changeAccounts(look, look.identity.dialect, look.block, 'open');
  return done([`released ${accounts(changed.length)}`, ...spared]);
}

async function start(look: Look, statement: string, wanted: { sql: boolean; io: boolean }): Promise<Applied> {
  const before = await readProgress(look);
  const { replication } = before;
  if (replication === null) return notDone('replication was never set up on it');
  if (runs(replication, wanted)) return done('it runs already');
  // F2: this server throws its relay log away when it starts from a standstill.
  if (replication.io === 'No' && replication.sql === 'No' && replication.purgesOnStart && !isApplied(before)) {
    return notDone(
      `both threads are stopped, and starting would throw away ${unapplied(before)} received and not applied`,
    );
  }
  await look.ask(statement, [], THREAD_MS);
  const deadline = performance.now() + STARTED_MS;
  for (let poll = FIRST_POLL_MS; ; poll = longer(poll)) {
    const after = (await readProgress(look)).replication;
    if (after !== null && runs(after, wanted)) return done(statement);
    if (performance.now() > deadline) {
      const { sqlError, ioError } = after ?? replication;
      return notDone(
        `${statement} was done, and the thread stopped again${errorText(wanted.sql ? sqlError : ioError)}`,
      );
    }
    await pause(poll);
  }
}

async function stopIo(look: Look): Promise<Applied> {
  const { replication } = await readProgress(look);
  if (replication === null || replication.io === 'No') return done('its I/O thread is stopped already');
  const { stopIo: statement } = look.identity.dialect;
  await look.ask(statement, [], THREAD_MS);
  const after = (await readProgress(look)).replication;
  return after === null || after.io === 'No' ? done(statement) : notDone('its I/O thread did not stop');
}

/** Where a wait stands; `final` when waiting longer cannot help. */
type Verdict = { readonly reached: true } | { readonly reached: false; readonly why: string; readonly final: boolean };

async function waitFor(look: Look, goal: string, judge: (progress: Progress) => Verdict): Promise<Applied> {
  const deadline = performance.now() + WAIT_MS;
  for (let poll = FIRST_POLL_MS; ; poll = longer(poll)) {
    const verdict = judge(await readProgress(look));
    if (verdict.reached) return done(goal);
    if (verdict.final || performance.now() > deadline) return notDone(verdict.why);
    await pause(poll);
  }
}

function appliedYet(progress: Progress): Verdict {
  if (isApplied(progress)) return { reached: true };
  const behind = `still ${unapplied(progress)} behind`;
  const { replication } = progress;
  if (replication?.sql !== 'No') return { reached: false, why: behind, final: false };
  return { reached: false, why: `its SQL thread is stopped${errorText(replication.sqlError)}, ${behind}`, final: true };
}

function receivedYet({ replication }: Progress, received: boolean): Verdict {
  if (received) return { reached: true };
  if (replication === null) return { reached: false, why: 'replication was never set up on it', final: true };
  if (replication.io === 'No') {
    return { reached: false, why: `its I/O thread is stopped${errorText(replication.ioError)}`, final: true };
  }
  const { file, pos } = replication.received;
  const why = `it has received no more than ${replication.receivedGtid ?? `${file}:${pos}`}`;
  return { reached: false, why, final: false };
}

function runs(replication: Replication, wanted: { sql: boolean; io: boolean }): boolean {
  return (!wanted.sql || replication.sql === 'Yes') && (!wanted.io || replication.io !== 'No');
}

function errorText(error: Replication['sqlError']): string {
  return error.code === 0 ? '' : ` (${error.code}: ${error.text})`;
}

/** How many, and whose: the operator's first question. */
function sessions(users: readonly string[]): string {
  if (users.length === 0) return 'no session';
  const names = [...new Set(users)].sort().join(', ');
  return users.length === 1 ? `1 session of ${names}` : `${users.length} sessions of ${names}`;
}

function accounts(count: number): string {
  return count === 1 ? '1 account' : `${count} accounts`;
}

function done(did: string | readonly (string | null)[]): Applied {
  return { kind: 'done', did: typeof did === 'string' ? did : did.filter((part) => part !== null).join(', ') };
}

function notDone(why: string): Applied & { kind: 'not-done' } {
  return { kind: 'not-done', why };
}

function longer(pollMs: number): number {
  return Math.min(LONGEST_POLL_MS, pollMs * 2);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

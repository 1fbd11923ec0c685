// Do the checkers bite? Each mutant is the code with one thing that keeps a promise taken out, and the story, the seeds or the test on real
// servers that goes red then. The files stay as they are: the edit is made while they are bundled. `npm run mutants` tries all of them and
// fails when one survives, or when the text that it changes is not there any more.

import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const ROOT = resolve(import.meta.dirname, '../..');
/** Tried when nothing else is said. */
const SEEDS = { from: 1, count: 400 };

const CALLS = 'src/mysql/schema-calls.ts';
const REAL = 'test/mysql/calls.real.test.ts';

/**
 * mend: its name in the model of the protocol, where it has one. shows: `story` of stories.ts; `guarded`, `lossless` and `seeds` of run.ts; `servers`: the
 * name of a test of calls.real.test.ts.
 */
export const MUTANTS = [
  {
    name: 'a renewal without a witness',
    mend: 'm_witness',
    file: 'src/agent-lease.ts',
    find: 'if (!witness.agrees) {',
    replace: 'if (!witness.agrees && epoch.number < 0) {',
    shows: { story: 'renewals beside a new active' },
  },
  {
    name: 'an opening without a witness',
    mend: 'm_witness',
    file: 'src/agent-hands.ts',
    find: "if (!witness.agrees) return { kind: 'not-done', why: witness.why };",
    replace: '',
    shows: { story: 'an agent sleeps before it opens' },
  },
  {
    name: 'a renewal counts from when it runs',
    mend: 'm_bound',
    file: 'src/agent-lease.ts',
    find: 'baseMs: looked.row.nowMs,',
    replace: 'baseMs: looked.row.nowMs + 3_600_000,',
    shows: { story: 'a renewal that waits in a frozen server' },
  },
  {
    name: 'the server counts a renewal from when it runs',
    mend: 'm_bound',
    file: CALLS,
    find: "const GRANTED_UNTIL = 'LEAST(p_base_ms, v_now) + p_lease_ms';",
    replace: "const GRANTED_UNTIL = 'v_now + p_lease_ms';",
    shows: { servers: 'counts from the base, and never takes anything away' },
  },
  {
    name: 'the wait for a silent host is not counted from the claim',
    mend: 'm_bound',
    file: 'src/core/guard.ts',
    find: 'const leftMs = leaseWaitMs(guard.leaseMs) - guard.claimedForMs;',
    replace: 'const leftMs = 0 * leaseWaitMs(guard.leaseMs) - guard.claimedForMs;',
    shows: { story: 'a renewal that waits in a frozen server' },
  },
  {
    name: 'a lease that is out is renewed',
    mend: 'm_norevive',
    file: CALLS,
    find:
      'ELSEIF $' +
      "{LEASE_IS_OUT} THEN\n  SET v_outcome = 'lease-out';\nELSE\n  UPDATE mmm.host SET expires_at_ms = LEAST(GREATEST",
    replace: 'ELSE\n  UPDATE mmm.host SET expires_at_ms = LEAST(GREATEST',
    shows: { servers: 'a lease that is out is not given again to a host that is still open' },
  },
  {
    name: 'replication runs towards a silent host',
    mend: 'm_heal',
    file: 'src/core/reconcile.ts',
    find: "if (passive.kind !== 'answered') return atRest(situation);",
    replace:
      "if (passive.kind !== 'answered') return active.replication?.io === 'No' ? step({ do: 'start-io', host: roles.active }, 'mutant') : atRest(situation);",
    shows: { story: 'a silent host holds what nobody has' },
  },
  {
    name: 'replication runs towards a silent host, and acknowledges to it',
    mend: 'm_heal',
    file: 'src/core/reconcile.ts',
    find: "if (passive.kind !== 'answered') return atRest(situation);",
    replace:
      "if (passive.kind !== 'answered') return active.replication?.io === 'No' ? step({ do: 'start-io', host: roles.active }, 'mutant') : atRest(situation);",
    also: [
      {
        find: 'if (guard === null || guard.lossless === null || semiSync?.replica !== true) return null;',
        replace: 'if (guard === null || semiSync !== null || guard !== null) return null;',
      },
    ],
    shows: { story: 'an active that was frozen wakes beside the new one' },
  },
  {
    name: 'nobody asks which hosts are complete',
    mend: 'S2',
    file: 'src/core/complete.ts',
    find: '  const unknown = `nobody knows',
    replace: "  if (host !== '') return null;\n  const unknown = `nobody knows",
    shows: { story: 'the only complete host dies' },
  },
  {
    name: 'a complete host is complete in any boot',
    mend: 'm_boot',
    file: 'src/core/complete.ts',
    find: 'one.uuid === uuid && one.startedSec === startedSec;',
    replace: 'one.uuid === uuid && startedSec > 0;',
    shows: { story: 'the passive was restarted since it was complete' },
  },
  {
    name: 'the simulated server does what a late word says',
    mend: 'm_sync',
    file: 'test/simulation/schema.ts',
    find: "return generation < stored.generation ? 'stale' : null;",
    replace: "return generation < 0 ? 'stale' : null;",
    shows: { story: 'a late word lets commits go without an acknowledgement' },
  },
  {
    name: 'a lossless pair is opened so that its commits do not wait',
    mend: 'm_semifirst',
    file: 'src/core/reconcile.ts',
    find: 'const lossless = guard.lossless !== null;',
    replace: 'const lossless = false;',
    shows: { story: 'the role goes there and back' },
  },
  {
    name: 'the source side of a passive stays on',
    mend: 'drainSemi',
    file: 'src/core/reconcile.ts',
    find: 'if (guard === null || semiSync?.source !== true) return null;',
    replace: 'if (guard === null || semiSync === null || guard !== null) return null;',
    shows: { story: 'the role goes there and back' },
  },
  {
    name: 'a drain that a restart cut off starts one thread again',
    mend: 'L2',
    file: 'src/core/reconcile.ts',
    find: "const both = replication?.sql === 'No' && replication.sqlError.code === 0;",
    replace: "const both = replication?.sql === 'No' && replication.sqlError.code < 0;",
    shows: { story: 'an active restarts beside one that cannot be closed' },
  },
  {
    name: 'who could not be closed wrote last',
    mend: 'L2, F18',
    file: 'src/agent-situation.ts',
    find: 'return lossless !== null && last === active && waits && wasOpenedInThisLife(row, boot);',
    replace: 'return lossless === null && last === active && waits && wasOpenedInThisLife(row, boot);',
    shows: { story: 'an active closes itself beside one that cannot be closed' },
  },
  {
    name: 'commits that wait under a forgotten decision are left alone',
    mend: 'L2, F18',
    file: 'src/core/reconcile.ts',
    find: 'semiSync.waiting > 0 && !wasOpenedUnder(row, guard.epoch);',
    replace: 'semiSync.waiting < 0 && !wasOpenedUnder(row, guard.epoch);',
    shows: { story: 'the board is emptied while commits wait for a dead passive' },
  },
  {
    name: 'a number that stands for two decisions',
    mend: 'm_unique, m_kind',
    file: CALLS,
    find: 'ELSEIF p_number < v_number OR (p_number = v_number AND NOT (p_id = v_id AND p_active = v_active)) THEN',
    replace: 'ELSEIF p_number < v_number THEN',
    shows: { servers: 'on an open host: the same number with another id' },
  },
  {
    name: 'the active of a number is not compared',
    mend: 'm_unique',
    file: CALLS,
    find: 'AND NOT (p_id = v_id AND p_active = v_active))',
    replace: 'AND NOT (p_id = v_id))',
    shows: { servers: 'on an open host: the same number and id with another active' },
  },
  {
    name: 'identify takes no number above the rows',
    mend: 'm_unique, F8',
    file: 'src/identify-guard.ts',
    find: `      highest: Math.max(
        remembered,
        number,
        isOn ? highestIn(observations) : 0,
        ...records.map(({ renewal }) => renewal?.epoch.number ?? 0),
      ),`,
    replace: '      highest: number,',
    also: [
      {
        file: 'src/core/rows.ts',
        find: 'if (number > (epoch?.number ?? 0)) return `',
        replace: 'if (number < 0) return `',
      },
      // The agents tell of higher numbers, too.
      {
        file: 'src/identify-guard.ts',
        find: 'const told = isOn ? newest(records, both, own) : null;',
        replace: 'const told = null;',
      },
    ],
    shows: { story: 'Redis is emptied' },
  },
  {
    name: 'an endless lease is waited for',
    mend: 'm_endless',
    file: 'src/core/guard.ts',
    find: 'if (guard.passiveArmed && !guard.unfenced && guard.claimedForMs !== null) {',
    replace: 'if (guard.passiveArmed && guard.claimedForMs !== null) {',
    shows: { story: 'cut off after the last agent went' },
  },
  {
    name: 'whoever is wanted counts as the one that was opened last',
    mend: 'm_lastopen',
    file: 'src/agent-situation.ts',
    find: 'if (last !== null) return last === roles.active && board.opened !== roles.passive;',
    replace: 'if (last !== null) return true;',
    // Whoever counts as the last writer is drained as well, as far as that goes.
    also: [
      {
        file: 'src/core/reconcile.ts',
        find: 'const drains =\n    !isApplied(active) &&',
        replace: 'const drains =\n    guard.leaseMs < 0 &&',
      },
    ],
    shows: { story: 'the writer of before comes back while the new one is drained' },
  },
  {
    name: 'whoever was opened first is the active of a board written anew',
    mend: 'm_lastopen',
    file: 'src/core/rows.ts',
    find: 'const last = Math.max(...numbers);',
    replace: 'const last = Math.min(...numbers);',
    shows: { story: 'Redis is restored from an old dump' },
  },
  {
    name: 'the sightings of a restored board are believed',
    mend: 'F8',
    file: 'src/identify.ts',
    find: 'const trusted = news === null ? sightings : lookedAtSince(news, sightings);',
    replace: 'const trusted = sightings;',
    // The second thing that keeps it: what identify itself knows to be newer.
    also: [
      {
        file: 'src/core/rows.ts',
        find: 'if (known !== null && known.number > seen && seen > 0 && isOf(pair, known)) {',
        replace: 'if (known !== null && known.number > seen && seen < 0 && isOf(pair, known)) {',
      },
    ],
    shows: { story: 'Redis is restored from an old dump' },
  },
  {
    name: 'a stopped I/O thread is taken for one that lost its source',
    mend: 'F19',
    file: 'src/agent-situation.ts',
    find: "passive.kind === 'refused' && passiveBroke && work.ioLost && life",
    replace: "passive.kind === 'refused' && passiveBroke && life",
    shows: { story: 'a firewall before the active, and the passive under backup' },
  },
  {
    name: 'a board written anew keeps who wrote last',
    mend: 'F8',
    file: 'src/identify.ts',
    find: '...(view.behind ? { anew: true } : {}),',
    replace: '',
    shows: { story: 'an old dump comes back while the new active is cut off' },
  },
  {
    name: 'the deadline of a switchover outlives it',
    mend: 'L2',
    file: 'src/agent-situation.ts',
    find: 'tooLate: isTooLate(board, roles, orders, active, clock.wall()),',
    replace: 'tooLate: board.terms.backAtMs !== null && clock.wall() >= board.terms.backAtMs,',
    shows: { story: 'roles are swapped by hand long after a switchover' },
  },
  {
    name: 'an agent obeys a lower number than it has seen in a row',
    mend: 'S3',
    file: 'src/core/reconcile.ts',
    find: 'if (passiveKnew !== null && passiveKnew > epoch.number && !force) {',
    replace: 'if (passiveKnew !== null && passiveKnew < 0) {',
    shows: { story: 'an agent alone is cut off from the active, and an old dump comes back' },
  },
  {
    name: 'a stop of the I/O thread compares nothing',
    mend: 'm_guard',
    file: 'src/agent-hands.ts',
    find: "return await call(fence, { do: 'stop-io', epoch: orders.epoch });",
    replace: 'return await server.apply(step);',
    shows: { story: 'renewals beside a new active' },
  },
  {
    name: 'a start of replication compares nothing',
    mend: 'm_guard',
    file: 'src/agent-hands.ts',
    find: 'return await call(fence, { do: step.do, epoch: orders.epoch, fromStandstill: losesNothing(look) });',
    replace: 'return await server.apply(step);',
    shows: { story: 'renewals beside a new active' },
  },
  {
    name: 'the server opens while its I/O thread runs',
    mend: 'm_guard',
    file: CALLS,
    find: 'ELSEIF NOT v_writable AND NOT v_ours AND v_io > 0 THEN',
    replace: 'ELSEIF NOT v_writable AND NOT v_ours AND v_io < 0 THEN',
    shows: { servers: 'S4: neither with the I/O thread on nor before the end of the relay log' },
  },
  {
    name: 'the server opens before the end of its relay log',
    mend: 'm_guard',
    file: CALLS,
    find: 'ELSEIF NOT v_writable AND NOT v_ours AND p_drained AND (v_reading = 0 OR v_working > 0) THEN',
    replace: 'ELSEIF NOT v_writable AND NOT v_ours AND p_drained AND v_reading < 0 THEN',
    shows: { servers: 'S4: neither with the I/O thread on nor before the end of the relay log' },
  },
  {
    name: 'nobody reads the flag of the row',
    mend: 'm_claimReads',
    file: 'src/agent-situation.ts',
    find: 'unfenced: flagOnBoard || row?.unfenced === true,',
    replace: 'unfenced: flagOnBoard || row === undefined,',
    shows: { story: 'the row alone knows that the lease is endless' },
  },
  {
    name: 'the flag is taken for the permission',
    mend: 'm_want',
    file: 'src/agent-situation.ts',
    find: 'return { roles, epoch, lease: terms.lease, leaseMs: policy.leaseMs };',
    replace: "return { roles, epoch, lease: unfenced === false ? 'finite' : 'endless', leaseMs: policy.leaseMs };",
    also: [
      {
        find: 'export function ordersOf({ board: { epoch, terms }, policy }',
        replace: 'export function ordersOf({ board: { epoch, terms, unfenced }, policy }',
      },
    ],
    shows: { story: 'renewals beside a new active' },
  },
  {
    name: 'the flag of the row opens the new host without an end',
    mend: 'm_rowOnlyOld',
    file: 'src/agent-hands.ts',
    find: 'lease: orders.lease,\n',
    replace: "lease: before.row.unfenced ? 'endless' : orders.lease,\n",
    shows: { story: 'the flag of the row is about the other host' },
  },
  {
    name: 'an opening leaves the flag on the row',
    mend: 'm_openClears',
    file: CALLS,
    find: 'unfenced = IF(p_endless, unfenced, 0)',
    replace: 'unfenced = unfenced',
    shows: { servers: 'clears the flag with a finite lease alone' },
  },
  {
    name: 'the flag on the board is cleared before the lease is finite',
    mend: 'm_armOrder',
    file: 'src/core/reconcile.ts',
    find: 'const grant = guard === null ? null : keepGranted(situation, guard, active);',
    replace:
      "const grant = guard === null ? null : ((passive.kind === 'answered' ? clearFlags(situation, guard, active, passive.facts) : null) ?? keepGranted(situation, guard, active));",
    also: [
      {
        find: "if (guard.lease !== 'finite' || active.row?.lease.kind !== 'finite') return null;",
        replace: "if (guard.lease !== 'finite') return null;",
      },
    ],
    shows: { story: 'all agents go, one after the other' },
  },
  {
    name: 'one agent arms the lease',
    mend: 'm_regRule',
    file: 'src/core/arming.ts',
    find: 'if (count < leaseAgents) {',
    replace: 'if (count < 1) {',
    shows: { story: 'one agent' },
  },
  {
    name: 'a board written anew counts as armed',
    mend: 'm_unknown',
    file: 'src/core/arming.ts',
    find: "unfenced: lease === 'endless' ? true : null };",
    replace: "unfenced: lease === 'endless' ? false : null };",
    shows: { story: 'Redis is emptied' },
  },
  {
    name: 'the last agent takes the flag for the permission',
    mend: 'm_stopWant',
    file: 'src/agent-leave.ts',
    find: 'decision = this.#decisionAfter(found, holder, epoch);',
    replace:
      'if (found.board.unfenced !== false) { await this.#withdraw(); return; }\n      decision = this.#decisionAfter(found, holder, epoch);',
    shows: { story: 'the agents go while the pair is being armed' },
  },
  {
    name: 'the last agent just goes',
    mend: 'm_endless',
    file: 'src/agent-pairs.ts',
    find: 'if (stop.aborted) await this.#leave(uniqsign, keeper);',
    replace: '',
    shows: { story: 'all agents go, one after the other' },
  },
  {
    name: 'the last agent leaves no flag on the row',
    mend: 'rowFlag',
    file: 'src/agent-leave.ts',
    find: "fence.call({ do: 'claim', epoch, unfenced: true })",
    replace: "fence.call({ do: 'claim', epoch, unfenced: null })",
    shows: { story: 'the row alone knows that the lease is endless' },
  },
  {
    name: 'the new active is opened without what the old one holds',
    mend: 'm_switch',
    file: 'src/core/reconcile.ts',
    find: 'if (hasEverything(active, passive)) {',
    replace: 'if (hasEverything(active, passive) || active.serverId > 0) {',
    shows: { story: 'a switchover while replication is behind' },
  },
  {
    name: 'the I/O thread is stopped before the SQL thread runs',
    mend: 'drain order',
    file: 'src/core/reconcile.ts',
    find: "if (replication.sql === 'No') return startSql(situation);\n  if (replication.io !== 'No') {",
    replace: "if (replication.io !== 'No') {",
    shows: { story: 'the passive’s SQL thread is stopped when the active dies' },
  },
  {
    name: 'a host that is open by an older lease is let go on',
    mend: 'S1',
    file: 'src/core/reconcile.ts',
    find: 'if (guard.lastOpened === roles.passive) {',
    replace: 'if (guard.lastOpened === roles.passive && guard.epoch.number < 0) {',
    // Beside a silent host either rule is enough.
    also: [
      {
        file: 'src/core/reconcile.ts',
        find: "if (passive.kind !== 'answered' && guard.passiveChosenSince && guard.lastOpened !== roles.active) {",
        replace: 'if (guard.epoch.number < 0) {',
      },
    ],
    shows: { story: 'an active that was paused wakes beside a silent new one' },
  },
  {
    name: 'an open host is granted beside one that somebody is opening',
    mend: 'S1',
    file: 'src/core/reconcile.ts',
    find: "if (passive.kind !== 'answered' && guard.passiveChosenSince && guard.lastOpened !== roles.active) {",
    replace: 'if (guard.epoch.number < 0) {',
    shows: { story: 'the role goes back while the other host is being opened out of sight' },
  },
  {
    name: 'replication of a restarted active is left stopped beside a writable host',
    mend: 'L2',
    file: 'src/core/reconcile.ts',
    find: 'if (replication?.ioError.code === 0 && neverStarted(replication)) return startAgain',
    replace: 'if (replication?.ioError.code === 1 && neverStarted(replication)) return startAgain',
    shows: { story: 'both hosts restart, and their my.cnf lets them write' },
  },
  {
    name: 'without a lease a drained host is opened while it replicates again',
    mend: 'S4',
    file: 'src/core/reconcile.ts',
    find: "drained: demand === 'drained' }, why);",
    replace: "drained: demand === 'drained' && situation.openWithinSec < 0 }, why);",
    shows: { story: 'a silent host comes back while another agent opens the other one' },
  },
  {
    name: 'who refuses is dead also when the passive went on hearing it',
    mend: 'F19',
    file: 'src/agent-situation.ts',
    find: 'connectionBroke && !rejecting.has(roles.passive),',
    replace: 'connectionBroke,',
    shows: { story: 'a firewall before the active, which freezes later' },
  },
  {
    name: 'an emptied board stops a grant that was begun',
    mend: 'L3',
    file: 'src/agent.ts',
    find: 'return isBegun && knowsNothing ? known : present;',
    replace: 'return present;',
    shows: { story: 'the board goes away between claim and grant' },
  },
  {
    name: 'the EVENT does not close',
    mend: 'lease',
    file: 'src/mysql/schema.ts',
    find: 'THEN\n    SET GLOBAL read_only = 1;',
    replace: 'THEN\n    DO 1;',
    shows: { servers: 'closes a host whose renewals stop, in time' },
  },
  {
    name: 'a lower number acts',
    mend: 'S3',
    file: CALLS,
    find: 'ELSEIF p_number < v_number OR (p_number',
    replace: 'ELSEIF (p_number',
    shows: { servers: 'on an open host: a lower number' },
  },
  {
    name: 'open before fence',
    mend: 'S1',
    quick: true,
    file: 'src/core/reconcile.ts',
    find: 'fence(situation, passive, `$' + '{roles.active} is to be the active`);',
    replace: "open(situation, active, 'mutant');",
    shows: { guarded: false },
  },
  {
    name: 'stop-io before start-sql',
    mend: 'S4',
    quick: true,
    file: 'src/core/reconcile.ts',
    find: "if (replication.sql === 'No') return startSql(situation);\n  if (replication.io !== 'No') {",
    replace: "if (replication.io !== 'No') {",
    shows: { guarded: false },
  },
  {
    name: 'open without a drain',
    mend: 'S4',
    quick: true,
    file: 'src/core/reconcile.ts',
    // The opening looks itself, too: what keeps a promise twice is taken out twice.
    find:
      "if (!isApplied(active)) return step({ do: 'await-applied', host: roles.active }, why);\n  return open(situation, active, `$" +
      "{why}; all that was received is applied`, 'drained');",
    replace: 'return open(situation, active, why);',
    shows: { guarded: false },
  },
  {
    name: 'the agent alone calls the other host gone',
    mend: 'S1',
    file: 'src/core/reconcile.ts',
    find: 'if (!situation.passiveGone) {',
    replace: 'if (!situation.passiveGone && situation.roles.active === situation.roles.passive) {',
    shows: { guarded: false, seeds: { from: 1_120, count: 3_000 } },
  },
  {
    name: 'whoever is wanted counts as the last writer',
    mend: 'S4',
    quick: true,
    file: 'src/agent-situation.ts',
    find: '? work.wasOpen || board.opened === roles.active',
    replace: '? true',
    shows: { guarded: false },
  },
  {
    name: 'what waits at an old active is never ended',
    mend: 'F18',
    file: 'src/core/reconcile.ts',
    find: 'return fence(situation, passive.facts, why, guard !== null && acknowledgesNobody(active));',
    replace: 'return fence(situation, passive.facts, why);',
    shows: { lossless: true, seeds: { from: 400_049, count: 300 } },
  },
  {
    name: 'a second writer is left open',
    mend: 'S1',
    quick: true,
    file: 'src/core/reconcile.ts',
    find: 'return fence(situation, passive.facts, why, guard !== null && acknowledgesNobody(active));',
    replace: "return { kind: 'settled' };",
    shows: { guarded: false },
  },
  {
    name: 'an opening that comes late opens all the same',
    mend: 'S3',
    file: 'src/core/reconcile.ts',
    find: 'const deadlineServerTime = active.serverTime + situation.openWithinSec;',
    replace: 'const deadlineServerTime = active.serverTime + 1e6;',
    shows: { guarded: false, seeds: { from: 605, count: 3_000 } },
  },
  {
    name: 'a restart that no agent saw is not mended',
    mend: 'L2',
    file: 'src/core/reconcile.ts',
    find: "return io === 'No' && sourceServerId === 0;",
    replace: "return io === 'No' && sourceServerId < 0;",
    shows: { guarded: false },
  },
];

/** This text of this file in the mutant's form; null: it is another file's. */
export function mutated(mutant, path, text) {
  const edits = (mutant === null ? [] : [mutant, ...(mutant.also ?? [])]).filter(
    ({ file }) => path === join(ROOT, file ?? mutant.file),
  );
  if (edits.length === 0) return null;
  let changed = text;
  for (const { find, replace } of edits) {
    if (changed.split(find).length !== 2) throw new Error(`${mutant.name}: the text is not there once: ${find}`);
    changed = changed.replace(find, () => replace);
  }
  return changed;
}

/** What runs in a bundle in which one thing is different; null: as it is. */
export async function runnerWith(mutant) {
  const folder = await mkdtemp(join(tmpdir(), 'mmm-mutant-'));
  const outfile = join(folder, 'run.mjs');
  let found = mutant === null;
  const mutate = {
    name: 'mutate',
    setup: (bundler) => {
      bundler.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
        const contents = mutated(mutant, path, await readFile(path, 'utf8'));
        if (contents === null) return null;
        found = true;
        return { contents, loader: 'ts' };
      });
    },
  };
  try {
    await build({
      entryPoints: [join(import.meta.dirname, 'runner.ts')],
      outfile,
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node20',
      logLevel: 'error',
      plugins: [mutate],
    });
    if (!found) throw new Error(`${mutant.name}: ${mutant.file} is not part of the simulator`);
    return await import(pathToFileURL(outfile).href);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The first thing that goes red: { by, promise, what }; null: it survives. */
export async function firstRed(mutant) {
  const { story, servers, guarded, lossless, seeds = SEEDS } = mutant.shows;
  if (servers !== undefined) return await onServers(mutant, servers);
  const { runSeed, tellStory } = await runnerWith(mutant);
  if (story !== undefined) {
    const { violations } = await tellStory(story);
    return violations.length === 0 ? null : { by: `story "${story}"`, ...violations[0] };
  }
  for (let seed = seeds.from; seed < seeds.from + seeds.count; seed++) {
    const { violations } = await runSeed(String(seed), { guarded, lossless: lossless === true });
    if (violations.length > 0) return { by: `seed ${seed}`, ...violations[0] };
  }
  return null;
}

/** The test on a real MariaDB, with the text changed while vitest loads it (vitest.config.ts). Green first: else red says nothing. */
async function onServers(mutant, test) {
  if (!(await passes(test, ''))) throw new Error(`${mutant.name}: ${REAL} "${test}" fails without it, too`);
  return (await passes(test, mutant.name)) ? null : { by: REAL, promise: 'test', what: test };
}

function passes(test, name) {
  const pattern = `^mariadb .*${test.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`;
  const args = ['vitest', 'run', '--project', 'servers', REAL, '-t', pattern];
  return new Promise((resolve, reject) => {
    const child = spawn('npx', args, { cwd: ROOT, env: { ...process.env, MMM_MUTANT: name }, stdio: 'pipe' });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (data) => {
        said += data;
      });
    }
    child.on('error', reject);
    child.on('close', (code) => {
      if (/No test files found|\bTests\s+\d+ skipped/.test(said) || said.includes('the text is not there once')) {
        reject(new Error(said.slice(-2_000)));
      } else resolve(code === 0);
    });
  });
}

/** `npm run mutants [-- NAME...]`: all of them, or those whose name or mend has one of these words in it. */
export async function main(words) {
  const isChosen = ({ name, mend }) => words.length === 0 || words.some((word) => `${name} ${mend}`.includes(word));
  const rows = [];
  for (const mutant of MUTANTS.filter(isChosen)) {
    const began = performance.now();
    const red = await firstRed(mutant).catch((error) => ({ by: 'NOT TRIED', what: error.message, failed: true }));
    const took = `${((performance.now() - began) / 1_000).toFixed(1)} s`;
    rows.push({ mutant, red });
    const verdict = red === null ? 'SURVIVES' : `${red.by}: ${red.promise ?? ''} ${red.what}`;
    console.log(`${mutant.mend.padEnd(17)} ${mutant.name.padEnd(62)} ${verdict.slice(0, 160)} (${took})`);
  }
  const bad = rows.filter(({ red }) => red === null || red.failed).length;
  console.log(`${rows.length} mutants, ${rows.length - bad} went red, ${bad} did not`);
  return bad === 0 && rows.length > 0 ? 0 : 1;
}

if (process.argv[1] === import.meta.filename) process.exitCode = await main(process.argv.slice(2));

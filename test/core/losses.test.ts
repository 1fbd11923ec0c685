// What is said about the costs of a forced failover, for each thing that two servers can tell.

import { expect, test } from 'vitest';
import { losses } from '../../src/core/losses.ts';
import { answered, failure, someReplication } from '../support/facts.ts';

const [TO, FROM] = ['10.0.0.7:3306', '10.0.0.5:3306'] as const;
const UUID = '8d9a4b29-24dc-40ba-a792-d742cb786345';

function told(to: Parameters<typeof answered>[0], from: Parameters<typeof answered>[0]) {
  return losses({ host: TO, evidence: answered(to) }, { host: FROM, evidence: answered(from) });
}

test('nothing is lost by a host that holds everything of one that is closed', () => {
  expect(told({}, {})).toEqual([`${FROM} answers and is read only`]);
});

test('what is received and not applied is counted, with the reason', () => {
  const replication = someReplication({
    sql: 'No',
    sqlError: { code: 1062, text: 'Duplicate entry' },
    received: { file: 'bin.000001', pos: 100 },
    applied: { file: 'bin.000001', pos: 60 },
    readAll: false,
  });
  expect(told({ replication }, {})[0]).toBe(
    `${TO} has received 40 bytes that it has not applied: SKIPPED if that cannot be done; its SQL thread stopped with error 1062: Duplicate entry`,
  );
});

test('what is not received is counted by transactions where there are GTIDs, else by places in the log', () => {
  const end = { binlog: { file: 'bin.000001', pos: 900 } };
  const places = `${TO} has received the binary log of 10.0.0.7:3306 up to bin.000001:100, which ends at bin.000001:900`;
  expect(told({}, end)[0]).toBe(`${FROM} holds something that ${TO} has not received: ${places}`);
  const replication = someReplication({ receivedGtid: `${UUID}:1-7` });
  const counted = told({ gtid: `${UUID}:1-7`, replication }, { ...end, gtid: `${UUID}:1-10` });
  expect(counted[0]).toBe(`${FROM} holds 3 transactions that ${TO} has not received: ${places}`);
});

test('a host that is gone may hold more than anybody knows', () => {
  const lines = losses({ host: TO, evidence: answered() }, { host: FROM, evidence: failure('silent') });
  expect(lines[0]).toContain(`what ${FROM} wrote after that is not there, and nobody can say how much`);
  expect(lines[1]).toContain(`${FROM} does not answer (silent ETIMEDOUT): it cannot be closed`);
});

test('a host that is alive and unreadable prevents the opening', () => {
  const lines = losses({ host: TO, evidence: answered() }, { host: FROM, evidence: failure('saturated') });
  expect(lines[1]).toContain('while the agents cannot close it, nothing is opened');
});

test('a host that does not replicate, or whose source writes no log, or that does not answer, is said to be so', () => {
  expect(told({ replication: null }, {})[0]).toBe(`${TO} does not replicate: whatever ${FROM} wrote is not there`);
  expect(told({}, { binlog: null })[0]).toBe(`${FROM} writes no binary log, so nobody can say what ${TO} lacks`);
  expect(losses({ host: TO, evidence: failure('silent') }, { host: FROM, evidence: answered() })).toEqual([
    `${TO} does not answer (silent ETIMEDOUT): it cannot be opened, and nobody knows what it holds`,
  ]);
});

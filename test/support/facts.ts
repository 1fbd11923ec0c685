// Facts of a host for tests: healthy, closed, replicating without GTIDs from `b.example:3306`, unless a test says otherwise.

import type { Evidence, Facts, Failure, Replication } from '../../src/core/observation.ts';

export function someReplication(changes: Partial<Replication> = {}): Replication {
  return {
    source: '10.0.0.7:3306',
    sourceServerId: 2,
    io: 'Yes',
    sql: 'Yes',
    ioError: { code: 0, text: '' },
    sqlError: { code: 0, text: '' },
    delaySec: 0,
    received: { file: 'bin.000001', pos: 100 },
    applied: { file: 'bin.000001', pos: 100 },
    receivedGtid: null,
    appliedGtid: null,
    readAll: true,
    heartbeats: { received: 0, periodMs: 1_000 },
    purgesOnStart: false,
    ...changes,
  };
}

export function someFacts(changes: Partial<Facts> = {}): Facts {
  return {
    flavour: 'mariadb',
    version: '10.11.19-MariaDB',
    serverId: 1,
    boot: { uuid: '', startedSec: 1_700_000_000 },
    readOnly: true,
    serverTime: 1_700_001_000,
    connections: 0,
    replication: someReplication(),
    binlog: { file: 'bin.000001', pos: 100 },
    gtid: null,
    accounts: null,
    row: null,
    semiSync: null,
    ...changes,
  };
}

export function answered(changes: Partial<Facts> = {}): Evidence {
  return { kind: 'answered', facts: someFacts(changes) };
}

export function failure(kind: Failure['kind'], code = kind === 'saturated' ? '1040' : 'ETIMEDOUT'): Failure {
  return { kind, code, message: `${kind} ${code}` };
}

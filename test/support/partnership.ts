// What an agent sees of a pair under durability=lossless: A is open and waits for acknowledgements, B gives them and both are complete, unless a
// test says otherwise. For the tests of core/partner.ts.

import type { Complete, Joining, Member } from '../../src/core/complete.ts';
import { type HostRow, SCHEMA_VERSION } from '../../src/core/host-row.ts';
import type { Boot, Evidence, Facts, Replication, SemiSync } from '../../src/core/observation.ts';
import type { Epoch, Host } from '../../src/core/pair.ts';
import type { Partnership } from '../../src/core/partner-memory.ts';
import { answered, someReplication } from './facts.ts';

export const A: Host = '10.0.0.5:3306';
export const B: Host = '10.0.0.7:3306';
const A_BOOT: Boot = { uuid: 'uuid-a', startedSec: 100 };
export const B_BOOT: Boot = { uuid: 'uuid-b', startedSec: 200 };
export const A1: Member = { host: A, ...A_BOOT };
export const B1: Member = { host: B, ...B_BOOT };
export const SEVEN: Epoch = { number: 7, id: 'd7', active: A };
export const BOTH: Complete = { generation: 12, writer: A1, hosts: [A1, B1] };
export const ALONE: Complete = { generation: 12, writer: A1, hosts: [A1] };
export const WALL_MS = 1_700_000_000_000;
/** Some time after the process began. */
export const NOW_MS = 500_000;

function aRow(changes: Partial<HostRow> = {}): HostRow {
  return {
    schemaVersion: SCHEMA_VERSION,
    epoch: SEVEN,
    opened: null,
    lease: { kind: 'none' },
    unfenced: false,
    tickMs: WALL_MS,
    generation: 0,
    nowMs: WALL_MS,
    startedSec: 100,
    readOnly: true,
    ...changes,
  };
}

const SOURCE: SemiSync = {
  source: true,
  clients: 1,
  waiting: 0,
  acknowledged: 1_000,
  replica: false,
  replicaOn: false,
  wrong: null,
};
const REPLICA: SemiSync = { ...SOURCE, source: false, clients: 0, acknowledged: 0, replica: true, replicaOn: true };

export interface OfActive extends Partial<SemiSync> {
  readonly row?: Partial<HostRow>;
  readonly facts?: Partial<Facts>;
}

/** A: open under decision 7, its row at generation 12. */
export function active({ row = {}, facts = {}, ...semiSync }: OfActive = {}): Evidence {
  return answered({
    serverId: 1,
    boot: A_BOOT,
    readOnly: false,
    replication: someReplication({ source: B, sourceServerId: 2 }),
    row: aRow({
      opened: { number: 7, id: 'd7', startedSec: 100 },
      lease: { kind: 'endless' },
      generation: 12,
      readOnly: false,
      ...row,
    }),
    semiSync: { ...SOURCE, ...semiSync },
    ...facts,
  });
}

export interface OfPassive extends Partial<SemiSync> {
  readonly row?: Partial<HostRow>;
  readonly facts?: Partial<Facts>;
  readonly replication?: Partial<Replication>;
}

/** B: closed, claimed, replicates from A and acknowledges. */
export function passive({ row = {}, facts = {}, replication = {}, ...semiSync }: OfPassive = {}): Evidence {
  return answered({
    serverId: 2,
    boot: B_BOOT,
    replication: someReplication({ source: A, sourceServerId: 1, ...replication }),
    row: aRow({ startedSec: 200, ...row }),
    semiSync: { ...REPLICA, ...semiSync },
    ...facts,
  });
}

export function aPartnership(changes: Partial<Partnership> = {}): Partnership {
  return {
    epoch: SEVEN,
    roles: { active: A, passive: B },
    durability: 'lossless',
    complete: BOTH,
    joining: null,
    leaving: false,
    held: false,
    active: active(),
    passive: passive(),
    passiveBroke: false,
    agent: 'db1',
    nowMs: NOW_MS,
    wallMs: WALL_MS,
    ...changes,
  };
}

export function aJoining(changes: Partial<Joining> = {}): Joining {
  return { host: B, by: 'db1', generation: 13, untilMs: WALL_MS + 5_000, ...changes };
}

// What stands against a host that comes back: everything is told, and only another server is a question of membership.

import { describe, expect, it } from 'vitest';
import { type Board, NO_TERMS } from '../../src/core/decision.ts';
import type { Evidence, Facts, Replication } from '../../src/core/observation.ts';
import { standing } from '../../src/core/rejoin.ts';
import { lifeOfNewMember } from '../../src/core/stranger.ts';
import { answered, failure, someReplication } from '../support/facts.ts';

const [A, B] = ['10.0.0.5:3306', '10.0.0.7:3306'] as const;
const BOOT = { uuid: 'uuid-b', startedSec: 50 };

/** A was kept as the active, B comes back. */
function aBoard(over: Partial<Board> = {}): Board {
  return {
    roles: { active: A, passive: B },
    epoch: { number: 7, id: 'e7', active: A },
    report: null,
    opened: A,
    decidedAtMs: 0,
    reasons: [],
    terms: NO_TERMS,
    divergence: null,
    request: null,
    pause: null,
    unfenced: false,
    lives: new Map([[B, { ...BOOT, cameUpReadOnly: true, armed: true }]]),
    complete: null,
    joining: null,
    announced: null,
    ...over,
  };
}

function told({
  facts = {},
  evidence = answered({ boot: BOOT, replication: someReplication({ source: A }), ...facts }),
  other = answered({ boot: { uuid: 'uuid-a', startedSec: 1 } }),
  board = {},
}: {
  facts?: Partial<Facts>;
  evidence?: Evidence;
  other?: Evidence;
  board?: Partial<Board>;
} = {}) {
  return standing({ host: B, evidence }, { host: A, evidence: other }, aBoard(board));
}

function replicates(over: Partial<Replication>) {
  return { facts: { replication: someReplication({ source: A, ...over }) } };
}

it('nothing stands against the member that we knew, closed and replicating, restarted or not', () => {
  expect(told()).toEqual({ refusals: [], stranger: null, against: [] });
  expect(told({ facts: { boot: { ...BOOT, startedSec: 60 } } })).toEqual({ refusals: [], stranger: null, against: [] });
});

describe('another server', () => {
  const boot = { uuid: 'uuid-x', startedSec: 70 };

  it('is told with both names, and is what --yes would write', () => {
    const { stranger, against, refusals } = told({ facts: { boot } });
    expect({ against, refusals }).toEqual({ against: [], refusals: [] });
    expect(stranger).toEqual({ boot, why: expect.stringContaining('IS ANOTHER SERVER') });
    expect(stranger?.why).toContain('(its uuid is uuid-x, not uuid-b)');
    expect(lifeOfNewMember(boot)).toEqual({ ...boot, startedSec: 0, cameUpReadOnly: false, armed: false });
  });

  it('that is to be the active is told to be opened with what it holds', () => {
    const { stranger, against } = told({ facts: { boot }, board: { roles: { active: B, passive: A } } });
    expect(stranger).not.toBeNull();
    expect(against).toEqual([expect.stringContaining('is the active by the last decision: as a member it is opened')]);
  });

  it('is none where nobody noted the first one, or the servers have no names', () => {
    expect(told({ facts: { boot }, board: { lives: new Map() } }).stranger).toBeNull();
    expect(told({ facts: { boot: { uuid: '', startedSec: 1 } } }).stranger).toBeNull();
  });

  it('is refused when both addresses lead to it', () => {
    expect(told({ facts: { boot }, other: answered({ boot }) }).refusals).toEqual([
      `${B} and ${A} are one server, or one is a copy that kept the other's name (its uuid is uuid-x)`,
    ]);
    const nameless = { uuid: '', startedSec: 1 };
    expect(told({ facts: { boot: nameless }, other: answered({ boot: nameless }) }).refusals).toEqual([]);
  });
});

it('a host that does not answer, or a pair that nobody decided about, cannot be judged', () => {
  expect(told({ evidence: failure('refused', 'ECONNREFUSED') }).refusals).toEqual([
    `${B} does not answer (refused ECONNREFUSED)`,
  ]);
  expect(told({ board: { epoch: null } }).refusals).toEqual([
    'nobody has decided about this pair yet: does an identify run?',
  ]);
});

describe('what else stands against it', () => {
  it('a conflict, with its error and the way out, which is never to skip it', () => {
    const sqlError = { code: 1062, text: 'Duplicate entry 7' };
    const { against } = told(replicates({ sql: 'No', sqlError }));
    expect(against).toHaveLength(2);
    expect(against[0]).toContain(`the SQL thread of ${B} stopped with error 1062 (Duplicate entry 7)`);
    expect(against[1]).toMatch(/^to do on 10\.0\.0\.7:3306: .*correct it with SET sql_log_bin=0.* or build .* anew/);
    expect(against.join(' ')).not.toMatch(/skip_counter/i);
  });

  it('a binary log that is gone', () => {
    const { against } = told(replicates({ io: 'No', ioError: { code: 1236, text: 'not found' } }));
    expect(against[1]).toBe(`to do: build ${B} anew from a copy of ${A}, or find the binary log that is missing`);
  });

  it('threads that somebody stopped', () => {
    expect(told(replicates({ io: 'No' })).against).toEqual([
      `${B} does not run its replication (I/O thread No, SQL thread Yes); a running agent starts what it stopped itself`,
    ]);
  });

  it('replication from somebody else, or none', () => {
    expect(told(replicates({ source: '10.0.0.9:3306', sourceServerId: 9 })).against).toEqual([
      `${B} replicates from 10.0.0.9:3306, not from ${A}; to do: CHANGE MASTER there`,
    ]);
    expect(told({ facts: { replication: null } }).against).toEqual([
      `${B} does not replicate; to do: copy ${A} there, and let it replicate from ${A}`,
    ]);
  });

  it('writes on it that the active never saw', () => {
    const divergence = {
      host: B,
      count: 3,
      gtids: '0-2-10',
      cut: false,
      end: null,
      epoch: { number: 7, id: 'e7' },
      foundAtMs: 0,
      saved: null,
    };
    expect(told({ board: { divergence } }).against).toEqual([
      `${B} holds 3 transactions that the active never saw since decision 7: 0-2-10`,
    ]);
    expect(told({ board: { divergence: { ...divergence, host: A } } }).against).toEqual([]);
  });

  it('that it takes writes and should not', () => {
    expect(told({ facts: { readOnly: false } }).against).toEqual([
      `${B} takes writes although it is not the active; a running agent closes it`,
    ]);
    expect(told({ facts: { readOnly: false }, board: { roles: { active: B, passive: A } } }).against).toEqual([]);
  });
});

// What only an agent that watches can know of a host that refuses it.

import { expect, it } from 'vitest';
import { AgentLooks } from '../src/agent-looks.ts';
import type { Evidence } from '../src/core/observation.ts';
import type { Host } from '../src/core/pair.ts';
import { answered, failure, someReplication } from './support/facts.ts';
import { FakeClock } from './support/fake-clock.ts';

const A: Host = '10.0.0.5:3306';
const B: Host = '10.0.0.7:3306';

function watched() {
  const clock = new FakeClock();
  const now = new Map<Host, Evidence>();
  const looks = new AgentLooks({
    clock,
    silenceTrustedMs: 2_000,
    wake: () => {},
    serverFor: (host) => ({
      host,
      connectionBroke: true,
      probe: async () => now.get(host) ?? answered(),
      apply: async () => failure('silent'),
      pulse: async () => true,
      onBroken: () => {},
      close: async () => {},
    }),
  });
  const look = async (a: Evidence, b: Evidence) => {
    now.set(A, a).set(B, b);
    await Promise.all([looks.look(A), looks.look(B)]);
    return looks.rejecting.has(A);
  };
  return { clock, look };
}

const hearing = answered({ replication: someReplication({ io: 'Yes' }) });
const deaf = answered({ replication: someReplication({ io: 'Connecting' }) });

it('a host that refuses and is heard by the other one a second later did not die, until it answers [F19]', async () => {
  const { clock, look } = watched();
  expect(await look(failure('refused'), hearing)).toBe(false);
  await clock.advance(900);
  // The other one may not have noticed yet.
  expect(await look(failure('refused'), hearing)).toBe(false);
  await clock.advance(200);
  expect(await look(failure('refused'), hearing)).toBe(true);
  // It is cut off from the other one as well now, or dead: nobody can tell.
  expect(await look(failure('refused'), deaf)).toBe(true);
  expect(await look(answered(), hearing)).toBe(false);
});

it('a host that refuses and is heard by nobody may be dead', async () => {
  const { clock, look } = watched();
  for (let second = 0; second < 5; second++) {
    expect(await look(failure('refused'), deaf)).toBe(false);
    await clock.advance(1_000);
  }
});

// The real rounds of monitor, identify and agent around one board, on servers made of facts and a clock that stands still. No safety is on.

import { type AgentParts, makeAgentRound } from '../../src/agent.ts';
import { NO_SAFETY } from '../../src/core/decision.ts';
import type { Pacing } from '../../src/core/pacing.ts';
import { type IdentifyParts, makeIdentifyRound } from '../../src/identify.ts';
import { type MonitorParts, makeMonitorRound } from '../../src/monitor.ts';
import { aPair, PRIMARY } from './build.ts';
import { FakeClock, fakeRandom } from './fake-clock.ts';
import { fakeLog } from './fake-log.ts';
import { type FakeServer, fakePair, NO_PULSE } from './fake-pair.ts';
import { MemoryBoard } from './memory-store.ts';
import { UNGUARDED } from './unguarded.ts';

const TOPIC = 'mmm-switch-channel';

export type World = ReturnType<typeof aWorld>;

export function aWorld(
  choices: {
    drainTimeoutSec?: number | null;
    pacing?: Partial<Pacing>;
    servers?: { a: FakeServer; b: FakeServer };
  } = {},
) {
  const pair = aPair();
  const clock = new FakeClock();
  const board = new MemoryBoard(() => clock.wall());
  const { a, b } = choices.servers ?? fakePair();
  const log = fakeLog();
  const mails: { subject: string; body: string }[] = [];
  const open = () => board.store({ topic: TOPIC });
  const store = open();
  const messages: string[] = [];
  const wakes: string[] = [];
  board.subscribe((channel, payload) => {
    if (channel === TOPIC) messages.push(payload);
  });
  const monitorParts: MonitorParts = {
    pair,
    servicemode: 1,
    tryTimes: 2,
    intervalMs: 1_000,
    connectTimeoutMs: 1_000,
    wantRow: false,
    primary: a,
    secondary: b,
    store,
    pulse: NO_PULSE,
    clock,
    log,
    observer: 'monitor-1',
  };
  const observing = makeMonitorRound(monitorParts);
  const monitor = (lateMs = 0) => observing(new AbortController().signal, { lateMs });
  const identifyParts: IdentifyParts = {
    pair,
    tryTimes: 2,
    policy: { ...NO_SAFETY, drainTimeoutSec: choices.drainTimeoutSec ?? null },
    pacing: { minFailoverIntervalSec: 60, failback: 'auto', ...choices.pacing },
    store,
    clock,
    random: fakeRandom(),
    log,
    owner: 'identify-1',
    leadMs: 10_000,
  };
  const agentParts: AgentParts = {
    uniqsign: pair.uniqsign,
    store,
    serverFor: (host) => (host === PRIMARY ? a : b),
    clock,
    log,
    mailer: { send: (subject, body) => mails.push({ subject, body }) },
    name: 'agent-1',
    connectTimeoutMs: 1_000,
    tryOnFailure: 3,
    wake: () => wakes.push('agent'),
    ...UNGUARDED,
  };
  const identify = makeIdentifyRound(identifyParts);
  const agent = makeAgentRound(agentParts);
  const act = () => agent(new AbortController().signal);
  /** So many rounds of everybody, a second apart. */
  const run = async (rounds = 1) => {
    for (let count = 0; count < rounds; count++) {
      await monitor();
      await identify();
      await act();
      await clock.advance(1_000);
    }
  };
  /** Observed and decided, while no agent looks. */
  const decide = async () => {
    for (let count = 0; count < 3; count++) {
      await monitor();
      await identify();
      await clock.advance(10);
    }
  };
  const parts = { monitorParts, identifyParts, agentParts };
  return {
    pair,
    clock,
    board,
    store,
    a,
    b,
    log,
    mails,
    messages,
    wakes,
    monitor,
    identify,
    ...parts,
    act,
    run,
    decide,
  };
}

export const writable = ({ a, b }: { a: FakeServer; b: FakeServer }) =>
  [a, b].filter((s) => !s.facts.readOnly).map((s) => s.host);

// The parts of an agent that only a pair with a safety on uses, for tests of pairs without: whoever touches them is wrong.

import type { AgentParts } from '../../src/agent.ts';

export const UNGUARDED: Pick<AgentParts, 'fenceFor' | 'runHook' | 'salvage'> = {
  fenceFor: (host) => {
    throw new Error(`a pair without a safety touches the schema of ${host}`);
  },
  runHook: async ({ program }) => {
    throw new Error(`a pair without a safety runs ${program}`);
  },
  // No server of a test with these parts has a binary log.
  salvage: async () => ({ kind: 'not-saved', why: 'there is no tool' }),
};

// The directed stories of a pair with a lease: every promise is kept in each. mutants.mjs shows that each would notice.

import { expect, test } from 'vitest';
import { isStory, STORIES, tellStory } from './stories.ts';

/** A busy machine. */
const TIMEOUT_MS = 120_000;

const NAMES = Object.keys(STORIES).filter(isStory);

test.each(NAMES.map((name) => [name, STORIES[name].about] as const))(
  '%s: %s',
  async (name) => {
    const { violations, story } = await tellStory(name);
    expect(violations, story.slice(-30).join('\n')).toEqual([]);
  },
  TIMEOUT_MS,
);

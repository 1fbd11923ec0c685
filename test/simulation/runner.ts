// What mutants.mjs bundles, with one thing in it changed.

export { runSeed } from './run.ts';
export { STORIES, tellStory } from './stories.ts';

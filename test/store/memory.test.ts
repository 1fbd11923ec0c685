import { MemoryBoard } from '../support/memory-store.ts';
import { type Bench, conformance } from './conformance.ts';

conformance('the board in memory', async (): Promise<Bench> => {
  const board = new MemoryBoard();
  return {
    open: (topic) => {
      const garbage: string[] = [];
      return { store: board.store({ topic, onGarbage: (key, why) => garbage.push(`${key}: ${why}`) }), garbage };
    },
    putHash: async (key, fields) => board.put(key, new Map(Object.entries(fields))),
    hash: async (key) => Object.fromEntries(board.fields(key)),
    putString: async (key, value) => {
      board.strings.set(key, value);
    },
    string: async (key) => board.strings.get(key) ?? null,
    members: async (key) => [...(board.sets.get(key) ?? [])].sort(),
    publish: async (channel, payload) => board.publish(channel, payload),
    hear: async (channels) => {
      const heard: string[] = [];
      board.subscribe((channel, payload) => {
        if (channels.includes(channel)) heard.push(`${channel} ${payload}`);
      });
      return heard;
    },
    close: async () => {},
  };
});

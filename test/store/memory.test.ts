import { MemoryBoard } from '../support/memory-store.ts';
import { type Bench, conformance } from './conformance.ts';
import { guardConformance } from './conformance-guard.ts';

async function makeBench(): Promise<Bench> {
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
    string: async (key) => board.text(key),
    ttlMs: async (key) => board.ttlMs(key),
    forget: async (key) => board.forget(key),
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
}

conformance('the board in memory', makeBench);
guardConformance('a guarded pair in memory', makeBench);

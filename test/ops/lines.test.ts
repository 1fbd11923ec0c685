import { expect, it } from 'vitest';
import { type Appended, LineQueue, type Sink } from '../../src/ops/lines.ts';
import { FakeClock, settle } from '../support/fake-clock.ts';

/** A sink that takes `takes` bytes of each write in turn, then everything. */
function aSink(takes: number[]) {
  let text = '';
  const sink: Sink = {
    name: 'the sink',
    append: async (bytes): Promise<Appended> => {
      const writtenBytes = Math.min(takes.shift() ?? bytes.length, bytes.length);
      text += bytes.subarray(0, writtenBytes).toString();
      return { writtenBytes, trouble: writtenBytes < bytes.length ? 'full' : null };
    },
    close: async () => {},
  };
  return { sink, text: () => text };
}

function aQueue(sink: Sink, clock = new FakeClock()) {
  const complaints: string[] = [];
  const queue = new LineQueue({
    sink,
    clock,
    gapLine: (count, why) => `-- ${count} missing: ${why}`,
    complain: (text) => complaints.push(text),
  });
  return { queue, complaints, clock };
}

it('a line that was cut off in its middle is never glued to the next, and counts as lost', async () => {
  const { sink, text } = aSink([8]);
  const { queue } = aQueue(sink);
  queue.push('first');
  queue.push('second');
  await settle();
  queue.push('third');
  await settle();
  expect(text()).toBe('first\nse\n-- 1 missing: full\nthird\n');
});

it('what was lost over several writes is counted together', async () => {
  const { sink, text } = aSink([0, 0]);
  const { queue, complaints } = aQueue(sink);
  for (const line of ['one', 'two', 'three']) {
    queue.push(line);
    await settle();
  }
  expect(text()).toBe('-- 2 missing: full\nthree\n');
  expect(complaints).toEqual(['lines are being lost, the sink: full']);
});

it('a new trouble after a good time is complained about again', async () => {
  const { sink } = aSink([0, 1000, 0]);
  const { queue, complaints } = aQueue(sink);
  for (const line of ['one', 'two', 'three']) {
    queue.push(line);
    await settle();
  }
  expect(complaints).toHaveLength(2);
});

it('a sink that hangs fills the queue up to its bound, and closing waits for it a second at most', async () => {
  const sink: Sink = { name: 'the sink', append: () => new Promise(() => {}), close: async () => {} };
  const { queue, complaints, clock } = aQueue(sink);
  for (let line = 0; line < 50_000; line += 1) queue.push('text');
  expect(complaints).toEqual(['lines are being lost, the sink: it takes lines too slowly']);
  let closed = false;
  const closing = queue.close().then(() => {
    closed = true;
  });
  await clock.advance(999);
  expect(closed).toBe(false);
  await clock.advance(1);
  await closing;
  expect(clock.sleeping).toBe(0);
});

it('a sink that throws is one that lost the lines', async () => {
  const sink: Sink = {
    name: 'the sink',
    append: () => Promise.reject(new Error('broken')),
    close: () => Promise.reject(new Error('broken')),
  };
  const { queue, complaints } = aQueue(sink);
  queue.push('text');
  await settle();
  expect(complaints).toEqual(['lines are being lost, the sink: Error: broken']);
  await queue.close();
});

it('a line after the close is dropped', async () => {
  const { sink, text } = aSink([]);
  const { queue } = aQueue(sink);
  queue.push('one');
  await queue.close();
  queue.push('two');
  await settle();
  expect(text()).toBe('one\n');
});

import { describe, expect, it } from 'vitest';
import { type Answer, judge } from './judge.ts';

/** An answer that came a millisecond after its statement was sent. */
function told(host: string, outcome: Answer['outcome'], answeredMs: number, askedMs = answeredMs - 1): Answer {
  return { host, outcome, askedMs, answeredMs };
}

const ack = (host: string, answeredMs: number, askedMs?: number) => told(host, 'acknowledged', answeredMs, askedMs);
const closed = (host: string, answeredMs: number) => told(host, 'closed', answeredMs);

describe('the judge', () => {
  it('finds one writer when one host takes over from another', () => {
    const answers = [closed('b', 5), ack('a', 10), ack('a', 30), closed('a', 50), ack('b', 60), ack('b', 80)];
    expect(judge(answers)).toEqual({
      openings: [
        { host: 'a', atMs: 10 },
        { host: 'b', atMs: 60 },
      ],
      second: [],
    });
  });

  it('finds a second writer when the old one goes on', () => {
    const { second } = judge([closed('b', 5), ack('a', 10), ack('b', 60), ack('a', 70), ack('b', 80), ack('a', 90)]);
    expect(second.map(({ host, answeredMs, openedMs }) => [host, answeredMs, openedMs])).toEqual([
      ['a', 70, 60],
      ['a', 90, 60],
    ]);
  });

  it('counts what a frozen host tells when it wakes, also of statements sent before', () => {
    const thawed = [ack('a', 5_000, 20), ack('a', 5_001, 21), ack('a', 5_003, 5_002), closed('a', 5_004)];
    const { openings, second } = judge([closed('b', 5), ack('a', 10), ack('b', 3_000), ...thawed, ack('b', 5_010)]);
    expect(openings).toHaveLength(2);
    expect(second).toHaveLength(3);
  });

  it('does not take a late acknowledgement for an opening when the host refused another statement meanwhile', () => {
    const thawed = [closed('a', 5_000), ack('a', 5_001, 20)];
    const { second } = judge([
      closed('b', 5),
      ack('a', 10),
      ack('b', 3_000),
      ...thawed,
      ack('b', 5_010),
      ack('b', 5_030),
    ]);
    expect(second.map(({ host }) => host)).toEqual(['a']);
  });

  it('takes it for an opening also when another statement, sent later, was still refused', () => {
    const late = [ack('b', 61, 55), ack('b', 62, 56)];
    const { openings, second } = judge([closed('b', 5), ack('a', 10), closed('b', 57), ...late, ack('b', 80)]);
    expect(openings.map(({ host, atMs }) => [host, atMs])).toEqual([
      ['a', 10],
      ['b', 61],
    ]);
    expect(second).toEqual([]);
  });

  it('counts a host that was restarted writable, whichever of the two came last', () => {
    const { second } = judge([closed('b', 5), ack('a', 10), closed('a', 20), ack('b', 60), ack('a', 90), ack('b', 95)]);
    expect(second.map(({ host }) => host)).toEqual(['b']);
  });

  it('does not count what was on its way when the other one was opened and came at the same moment', () => {
    expect(judge([closed('b', 5), ack('a', 10), ack('b', 60), ack('a', 61, 55)]).second).toEqual([]);
    expect(judge([closed('b', 5), ack('a', 10), ack('b', 60), ack('a', 90, 55)]).second).toHaveLength(1);
    expect(judge([closed('b', 5), ack('a', 10), ack('b', 60), ack('a', 62, 61)]).second).toHaveLength(1);
  });

  it('finds one writer when the role comes back', () => {
    const there = [closed('b', 5), ack('a', 10), closed('a', 40), ack('b', 60), ack('b', 70)];
    expect(judge([...there, closed('b', 80), ack('a', 90), ack('a', 95)]).second).toEqual([]);
  });

  it('learns nothing from broken connections', () => {
    const broken = told('a', 'unknown', 20);
    expect(judge([closed('b', 5), ack('a', 10), broken, ack('b', 60), ack('a', 70)]).second).toHaveLength(1);
  });

  it('reads answers in the order of their times, however they are given', () => {
    expect(judge([ack('b', 60), closed('a', 50), ack('a', 10), closed('b', 5)]).second).toEqual([]);
  });
});

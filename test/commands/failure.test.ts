import { describe, expect, test } from 'vitest';
import { AlreadyTold, explain } from '../../commands/failure.ts';
import { MmmError } from '../../src/core/errors.ts';

describe('a command that fails', () => {
  test('says so in one line and exits by the kind of the failure', () => {
    expect(explain(new MmmError('store-down', 'Redis is away'), [], {})).toEqual({
      text: 'mmm: Redis is away',
      exit: 1,
    });
    expect(explain(new MmmError('usage', 'which pair?'), [], {})).toEqual({ text: 'mmm: which pair?', exit: 2 });
    expect(explain(new MmmError('log', 'no such folder'), [], {}).exit).toBe(2);
  });

  test('says nothing twice', () => {
    expect(explain(new AlreadyTold('config', 'five problems'), [], {})).toEqual({ text: '', exit: 2 });
  });

  test('shows the stack and the causes only to who asks for them', () => {
    const error = new MmmError('failed', 'it broke', { cause: new Error('the deeper reason') });
    for (const [argv, env] of [
      [['mmm', 'agent', '--debug'], {}],
      [['mmm', 'agent'], { DEBUG: '1' }],
    ] as const) {
      const { text } = explain(error, argv, env);
      expect(text).toContain('failure.test.ts');
      expect(text).toContain('caused by Error: the deeper reason');
    }
    expect(explain(error, ['mmm', 'agent'], { DEBUG: '' }).text).toBe('mmm: it broke');
  });

  test('by a defect of ours says how to find the place', () => {
    const { text, exit } = explain(new TypeError('x is not a function\nsecond line'), [], {});
    expect(text).toBe('mmm: x is not a function (a defect of mmm; --debug shows where)');
    expect(exit).toBe(1);
  });
});

// The row of a server, as read from what it answers, and when its EVENT counts as running.

import { describe, expect, test } from 'vitest';
import { isArmed, parseHostRow } from '../../src/core/host-row.ts';

const BLANK = {
  schema_version: '1',
  epoch_number: '0',
  epoch_id: '',
  epoch_active: '',
  opened_number: null,
  opened_id: null,
  opened_boot: null,
  endless: '0',
  expires_at_ms: null,
  unfenced: '0',
  tick_ms: null,
  generation: '0',
  now_ms: '1795414616000',
  started_sec: '1795414000',
  writable: '0',
};

describe('parseHostRow', () => {
  test('a blank row: nothing was claimed, opened or granted', () => {
    expect(parseHostRow(BLANK)).toEqual({
      schemaVersion: 1,
      epoch: null,
      opened: null,
      lease: { kind: 'none' },
      unfenced: false,
      tickMs: null,
      generation: 0,
      nowMs: 1_795_414_616_000,
      startedSec: 1_795_414_000,
      readOnly: true,
    });
  });

  test('a row in use', () => {
    const used = {
      ...BLANK,
      epoch_number: '8',
      epoch_id: 'd8',
      epoch_active: '10.0.0.2:3308',
      opened_number: '7',
      opened_id: 'd7',
      opened_boot: '1795413000',
      expires_at_ms: '1795414618000',
      unfenced: '1',
      tick_ms: '1795414615500',
      generation: '12',
      writable: '1',
    };
    expect(parseHostRow(used)).toMatchObject({
      epoch: { number: 8, id: 'd8', active: '10.0.0.2:3308' },
      opened: { number: 7, id: 'd7', startedSec: 1_795_413_000 },
      lease: { kind: 'finite', expiresAtMs: 1_795_414_618_000 },
      unfenced: true,
      tickMs: 1_795_414_615_500,
      generation: 12,
      readOnly: false,
    });
  });

  test('endless wins over an end that is left from before', () => {
    expect(parseHostRow({ ...BLANK, endless: '1', expires_at_ms: '5' })?.lease).toEqual({ kind: 'endless' });
  });

  test('no row of this server is no row', () => {
    expect(parseHostRow({ ...BLANK, schema_version: null })).toBeNull();
  });

  test.each([
    ['an active that is no host', { epoch_number: '1', epoch_active: 'nowhere' }],
    ['a time that is no number', { tick_ms: 'soon' }],
    ['a column that is missing', { now_ms: null }],
  ])('%s is an error, not a guess', (_what, columns) => {
    expect(() => parseHostRow({ ...BLANK, ...columns })).toThrow(/row of the server/);
  });
});

describe('isArmed', () => {
  test.each([
    [null, false],
    [0, true],
    [3_000, true],
    [3_001, false],
    [-200, true],
    [-201, false],
  ])('a tick %s ms ago: %s', (agoMs, expected) => {
    const nowMs = 1_795_414_616_000;
    expect(isArmed({ nowMs, tickMs: agoMs === null ? null : nowMs - agoMs })).toBe(expected);
  });
});

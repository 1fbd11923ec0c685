import { describe, expect, test } from 'vitest';
import { type HostRow, SCHEMA_VERSION } from '../../src/core/host-row.ts';
import { lifeAfter } from '../../src/core/lease.ts';
import { lifeOfNewMember, whyStranger } from '../../src/core/stranger.ts';
import { PRIMARY } from '../support/build.ts';

const LIFE = { uuid: 'known', startedSec: 1, cameUpReadOnly: true, armed: true };
const boot = (uuid: string) => ({ uuid, startedSec: 7 });

describe('a server is another one than the member', () => {
  test('when its name and the one that was noted are both known and differ', () => {
    expect(whyStranger(PRIMARY, boot('new'), LIFE)).toBe(
      `${PRIMARY} IS ANOTHER SERVER than the one known there (its uuid is new, not known): it gets no role until an operator says mmm rejoin`,
    );
    expect(whyStranger(PRIMARY, boot('known'), LIFE)).toBeNull();
  });

  test('not when either is unknown', () => {
    expect(whyStranger(PRIMARY, null, LIFE)).toBeNull();
    expect(whyStranger(PRIMARY, boot('new'), undefined)).toBeNull();
    expect(whyStranger(PRIMARY, boot(''), LIFE)).toBeNull();
    expect(whyStranger(PRIMARY, boot('new'), { ...LIFE, uuid: '' })).toBeNull();
  });

  test('and is none any more when it was made the member, of which nothing else is known', () => {
    const life = lifeOfNewMember(boot('new'));
    expect(whyStranger(PRIMARY, boot('new'), life)).toBeNull();
    expect(life).toEqual({ uuid: 'new', startedSec: 0, cameUpReadOnly: false, armed: false });
  });

  test('also when it is renewed: it may be open by what another pair decided', () => {
    const row: HostRow = {
      schemaVersion: SCHEMA_VERSION,
      epoch: { number: 3, id: 'e3', active: PRIMARY },
      opened: { number: 3, id: 'e3', startedSec: 7 },
      lease: { kind: 'finite', expiresAtMs: 3_000 },
      unfenced: false,
      tickMs: 0,
      generation: 0,
      nowMs: 0,
      startedSec: 7,
      readOnly: false,
    };
    expect(lifeAfter(LIFE, { row, uuid: 'new' })).toBeNull();
    expect(lifeAfter(LIFE, { row, uuid: 'known' })).toMatchObject({ uuid: 'known', startedSec: 7, armed: true });
    expect(lifeAfter(undefined, { row, uuid: 'new' })).toMatchObject({ uuid: 'new' });
  });
});

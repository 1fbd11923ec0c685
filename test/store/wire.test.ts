// Keys, channels and the message, and what all of it makes of garbage: the bytes that the Perl daemons read and write too.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NO_SAFETY, NO_TERMS } from '../../src/core/decision.ts';
import { foundPairOf } from '../../src/store/wire.ts';
import {
  decodeDivergence,
  decodeEpoch,
  decodeHost,
  decodePolicy,
  decodeReport,
  decodeRoles,
} from '../../src/store/wire-decisions.ts';
import { tellingOnce } from '../../src/store/wire-fields.ts';
import { channelsOf, decodeWake, encodePair, keysOf, uniqsignIn } from '../../src/store/wire-keys.ts';
import { decodeMessage, encodeMessage } from '../../src/store/wire-message.ts';
import { decodeObservation } from '../../src/store/wire-observations.ts';
import { A, B, RAW, ROLES, U } from '../support/texts.ts';

describe('the bytes in Redis', () => {
  test('every key has the name that the Perl daemons and our own docs give it', () => {
    const { check, ioStopped, life, lives, agent, ...keys } = keysOf(U);
    expect(life(A)).toBe(`${lives.before}${A}${lives.after}`);
    expect({ ...keys, check: check(A), ioStopped: ioStopped(A), life: life(A), agent: agent('db1') }).toEqual({
      servicemode: 'mysql-8d9a4b2924dc40baa792d742cb786345-servicemode',
      primaryhost: 'mysql-8d9a4b2924dc40baa792d742cb786345-primaryhost',
      secondaryhost: 'mysql-8d9a4b2924dc40baa792d742cb786345-secondaryhost',
      members: 'mysql-8d9a4b2924dc40baa792d742cb786345-members',
      check: 'mysql-8d9a4b2924dc40baa792d742cb786345-10.0.21.5:3308-check',
      mode: 'mysql-8d9a4b2924dc40baa792d742cb786345-mode',
      master: 'mysql-8d9a4b2924dc40baa792d742cb786345-master',
      epoch: 'mysql-8d9a4b2924dc40baa792d742cb786345-epoch',
      policy: 'mysql-8d9a4b2924dc40baa792d742cb786345-policy',
      report: 'mysql-8d9a4b2924dc40baa792d742cb786345-report',
      topic: 'mysql-8d9a4b2924dc40baa792d742cb786345-topic',
      observers: 'mysql-8d9a4b2924dc40baa792d742cb786345-observers',
      opened: 'mysql-8d9a4b2924dc40baa792d742cb786345-opened',
      divergence: 'mysql-8d9a4b2924dc40baa792d742cb786345-divergence',
      request: 'mysql-8d9a4b2924dc40baa792d742cb786345-request',
      pause: 'mysql-8d9a4b2924dc40baa792d742cb786345-pause',
      leader: 'mysql-8d9a4b2924dc40baa792d742cb786345-leader',
      ioStopped: 'mysql-8d9a4b2924dc40baa792d742cb786345-10.0.21.5:3308-io-stopped',
      unfenced: 'mysql-8d9a4b2924dc40baa792d742cb786345-unfenced',
      life: 'mysql-8d9a4b2924dc40baa792d742cb786345-10.0.21.5:3308-life',
      complete: 'mysql-8d9a4b2924dc40baa792d742cb786345-complete',
      joining: 'mysql-8d9a4b2924dc40baa792d742cb786345-joining',
      agents: 'mysql-8d9a4b2924dc40baa792d742cb786345-agents',
      agent: 'mysql-8d9a4b2924dc40baa792d742cb786345-agent-db1',
    });
  });

  test('wake-ups go to channels beside the topic, which carries the message alone', () => {
    expect(channelsOf('mmm-switch-channel')).toEqual({
      message: 'mmm-switch-channel',
      decided: 'mmm-switch-channel-mmm',
      observed: 'mmm-switch-channel-mmm-seen',
    });
  });

  test('a pair is three strings and a set of its two hosts', () => {
    const { strings, members } = encodePair({ tag: 'x', uniqsign: U, primary: A, secondary: B }, 1);
    expect([...strings]).toEqual([
      ['mysql-8d9a4b2924dc40baa792d742cb786345-servicemode', '1'],
      ['mysql-8d9a4b2924dc40baa792d742cb786345-primaryhost', '10.0.21.5:3308'],
      ['mysql-8d9a4b2924dc40baa792d742cb786345-secondaryhost', '10.0.21.7:3308'],
    ]);
    expect(members).toEqual({
      key: 'mysql-8d9a4b2924dc40baa792d742cb786345-members',
      hosts: ['10.0.21.5:3308', '10.0.21.7:3308'],
    });
  });

  test('the message is the one a Perl agent splits', () => {
    expect(encodeMessage({ roles: ROLES, uniqsign: U })).toBe(
      'active: 10.0.21.5:3308, passive: 10.0.21.7:3308, uniqsign: 8d9a4b2924dc40baa792d742cb786345',
    );
  });

  test('an IPv6 address keeps its colons in keys and message', () => {
    const { value: active } = decodeHost('[fd00::5]:3308');
    const { value: passive } = decodeHost('[fd00::7]:3308');
    if (active === null || passive === null) throw new Error('these are hosts');
    const roles = { active, passive };
    expect(decodeMessage(encodeMessage({ roles, uniqsign: U })).value?.roles).toEqual(roles);
    expect(keysOf(U).check(active)).toBe(`mysql-${U}-[fd00::5]:3308-check`);
  });

  test('its message may carry more pairs, in any order', () => {
    const message = `uniqsign: ${U}, active: ${A}, epoch: 7, passive: ${B}, `;
    expect(decodeMessage(message).value).toEqual({ roles: ROLES, uniqsign: U });
  });
});

describe('garbage', () => {
  test('an absent key is nothing, and no trouble', () => {
    const nothing = { value: null, garbage: null };
    expect(decodeObservation(A, new Map())).toEqual(nothing);
    expect(decodeRoles(new Map())).toEqual(nothing);
    expect(decodeEpoch(new Map())).toEqual(nothing);
    expect(decodePolicy(new Map())).toEqual(nothing);
    expect(decodeReport(new Map())).toEqual(nothing);
    expect(decodeHost(null)).toEqual(nothing);
  });

  test.each([
    ['', 'uniqsign is missing'],
    ['hello', 'uniqsign is missing'],
    [`active: ${A}, passive: ${B}: ${A}, uniqsign: ${U}`, 'passive is missing'],
    [`active: ${A}, passive: ${B}`, 'uniqsign is missing'],
    [`active: ${A}, uniqsign: ${U}`, 'passive is missing'],
    [`passive: ${B}, uniqsign: ${U}`, 'active is missing'],
    [`active: ${A}, passive: everywhere, uniqsign: ${U}`, 'passive is "everywhere", expected ADDRESS:PORT'],
    [`active: ${A}, passive: ${A}, uniqsign: ${U}`, `active and passive are the same host, ${A}`],
    [`active: ${A}, passive: ${B}, uniqsign: a b`, 'uniqsign is "a b"'],
  ])('the message "%s" is none', (message, why) => {
    const decoded = decodeMessage(message);
    expect(decoded.value).toBeNull();
    expect(decoded.garbage).toContain(why);
  });

  test('no text at all makes a decoder throw or believe half of it', () => {
    fc.assert(
      fc.property(fc.string(), fc.dictionary(fc.string(), fc.string()), (text, dictionary) => {
        const fields = new Map(Object.entries(dictionary));
        for (const decoded of [
          decodeMessage(text),
          decodeWake(text),
          decodeHost(text),
          decodeObservation(A, fields),
          decodeRoles(fields),
          decodeEpoch(fields),
          decodePolicy(fields),
          decodeReport(fields),
          decodeDivergence(fields),
        ]) {
          expect(decoded.value === null || decoded.garbage === null).toBe(true);
        }
      }),
    );
  });

  test('a key named like roles but without a signature is no pair', () => {
    expect(uniqsignIn(`mysql-${U}-mode`).value).toBe(U);
    expect(uniqsignIn(`mysql-${U}-epoch`).value).toBe(U);
    const garbage = 'is named like the roles of a pair, without a signature';
    expect(uniqsignIn('mysql--mode')).toEqual({ value: null, garbage });
    expect(uniqsignIn('mysql-a b-epoch')).toEqual({ value: null, garbage });
    expect(uniqsignIn(`mysql-${U}-master`)).toEqual({ value: null, garbage: null });
  });
});

describe('a pair as an agent finds it', () => {
  const take = tellingOnce(() => {});

  test('one of a Perl identify has no epoch, the strictest policy, and is ours', () => {
    expect(foundPairOf(U, RAW, { topic: 't', take })).toEqual({
      uniqsign: U,
      board: {
        roles: ROLES,
        epoch: null,
        report: null,
        opened: null,
        decidedAtMs: null,
        reasons: [],
        terms: NO_TERMS,
        divergence: null,
        request: null,
        pause: null,
        unfenced: null,
        lives: new Map(),
        complete: null,
        joining: null,
        announced: ROLES,
      },
      policy: NO_SAFETY,
      policyIsKnown: false,
      longestLeaseMs: 300_000,
    });
  });

  test('one of another topic is left alone', () => {
    expect(foundPairOf(U, { ...RAW, topic: 'other' }, { topic: 't', take })).toBeNull();
    expect(foundPairOf(U, { ...RAW, topic: 't' }, { topic: 't', take })).not.toBeNull();
  });

  test('a garbled policy is the strictest one', () => {
    const garbled = { ...RAW, policy: new Map([['drain_timeout', 'soon']]) };
    expect(foundPairOf(U, garbled, { topic: 't', take })?.policy).toEqual(NO_SAFETY);
  });
});

test('garbage is told when it begins and when it changes, not at every look', () => {
  const told: string[] = [];
  const take = tellingOnce((key, why) => told.push(`${key}: ${why}`));
  const looks = ['bad', 'bad', 'worse', null, 'worse'];
  for (const garbage of looks) take('k', { value: null, garbage });
  expect(told).toEqual(['k: bad', 'k: worse', 'k: worse']);
});

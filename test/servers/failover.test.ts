// Failovers on real servers: the active is killed, frozen, comes back. In each of them a client without admin rights must never
// find both hosts writable (S1), and nobody is opened ahead of its own log (S4).

import { afterEach, describe, expect, it } from 'vitest';
import { aRig, type Rig } from '../support/rig.ts';
import { until } from '../support/until.ts';

let rig: Rig;
afterEach(async () => {
  await rig.close();
});

describe.each(['mariadb', 'mysql56'] as const)('a pair of %s', (kind) => {
  it('opens the primary after a start with both hosts read only', async () => {
    rig = await aRig({ kind });
    await rig.writable(rig.a);
    await rig.readOnly(rig.b);
    expect(rig.watch.bothWritableMs).toBe(0);
  });

  it('fails over when the active is killed, and takes the old one back as the passive', async () => {
    rig = await aRig({ kind });
    await rig.writable(rig.a);
    await rig.replicating();
    const { register } = rig.client();
    await until('the client writes', () => register.size > 50);
    await rig.a.kill();
    await rig.writable(rig.b);
    const lastOnA = register.lastOn(rig.a.port)?.atMs ?? 0;
    await until('the client writes again', () => register.firstOn(rig.b.port, lastOnA) !== undefined);
    await rig.a.restart();
    await rig.readOnly(rig.a);
    await rig.replicating();
    expect(rig.watch.bothWritableMs).toBe(0);
    // What was acknowledged is on the new active, or comes over from the old one now that it replicates again.
    await until('every acknowledged write is accounted for', async () => {
      const { onlyOnOther, nowhere } = await register.accountFor(rig.b.port, rig.a.port);
      return onlyOnOther.length + nowhere.length === 0;
    });
  });

  it('gives the role back to the primary once its clients are back there and it has caught up', async () => {
    rig = await aRig({ kind, pair: { min_failover_interval: '0' } });
    await rig.writable(rig.a);
    await rig.replicating();
    await rig.a.kill();
    await rig.writable(rig.b);
    await rig.a.restart();
    // Connector/J and HAProxy go back to the first host as soon as it answers; nobody is connected anywhere here, so the primary wins.
    await rig.writable(rig.a);
    await rig.readOnly(rig.b);
    await rig.replicating();
    expect(rig.watch.bothWritableMs).toBe(0);
  });
});

describe('a frozen active', () => {
  it('is passed over, and closed within a second of its waking', async () => {
    // The woken host: without a lease nobody can prevent it.
    rig = await aRig({ bothWritableMs: 1_000 });
    await rig.writable(rig.a);
    await rig.replicating();
    const { register } = rig.client();
    await until('the client writes', () => register.size > 50);
    rig.a.freeze();
    await rig.writable(rig.b);
    expect(rig.watch.bothWritableMs).toBe(0);
    await until('the client writes to the new active', () => register.firstOn(rig.b.port, 0) !== undefined);
    const wokenMs = performance.now();
    rig.a.thaw();
    await rig.readOnly(rig.a);
    const closedMs = rig.watch.changes.findLast(
      ({ port, state }) => port === rig.a.port && state === 'read-only',
    )?.atMs;
    const afterMs = (closedMs ?? Number.POSITIVE_INFINITY) - wokenMs;
    console.log(
      `woken host closed after ${afterMs.toFixed(0)} ms; both writable for ${rig.watch.bothWritableMs.toFixed(1)} ms`,
    );
    expect(afterMs).toBeLessThan(1_000);
    expect(rig.watch.bothWritableMs).toBeLessThan(1_000);
    await rig.replicating();
  });
});

// Does the passive still hear the active? Its I/O thread as a witness, by the age of what it received last and not by its state: the
// thread of a host whose source froze says "Yes" for as long as slave_net_timeout. Why the ages are as they are is in
// docs/decisions/0005-second-opinion.md. Comes from src/monitor.ts (which listens at each look); death.ts asks whether it hears.

import type { Hearing, Replication } from './observation.ts';

/** Heartbeats at most this far apart tell a silent active from a silent network soon enough. */
const USEFUL_HEARTBEAT_MS = 2_000;
/** What is longer is reckoned as this: then an event still proves life, and the lack of one proves nothing. */
const ASSUMED_HEARTBEAT_MS = 1_000;
/** One heartbeat may be lost or late. */
const MISSED_HEARTBEATS = 2;
const MARGIN_MS = 250;
const SHORTEST_MS = 1_000;

/** What an I/O thread has received, and since when (monotonic milliseconds of the observer) that has not changed. */
export interface Ear {
  readonly mark: string;
  readonly sinceMs: number;
}

/**
 * One more look at the thread. Null: it does not run and hears nothing. What is seen for the first time counts as heard just now, so
 * that an observer that has only begun does not take its own ignorance for silence.
 */
export function listen(before: Ear | null, replication: Replication, nowMs: number): Ear | null {
  if (replication.io !== 'Yes') return null;
  const { source, received, receivedGtid, heartbeats } = replication;
  const mark = JSON.stringify([source, received, receivedGtid, heartbeats?.received]);
  return before?.mark === mark ? before : { mark, sinceMs: nowMs };
}

function isUsefulHeartbeat(heartbeatMs: number): boolean {
  return heartbeatMs > 0 && heartbeatMs <= USEFUL_HEARTBEAT_MS;
}

/** How long after the last sign of life the thread still counts as hearing its source. */
export function hearingWindowMs(heartbeatMs: number): number {
  const periodMs = isUsefulHeartbeat(heartbeatMs) ? heartbeatMs : ASSUMED_HEARTBEAT_MS;
  return Math.max(SHORTEST_MS, MISSED_HEARTBEATS * periodMs + MARGIN_MS);
}

/** It got an event or a heartbeat so lately that the other host is alive, whoever else cannot reach it. */
export function hears(hearing: Hearing | null): hearing is Hearing {
  return hearing !== null && hearing.silentMs <= hearingWindowMs(hearing.heartbeatMs);
}

/** So long from now a thread that still hears has heard nothing for long enough, if nothing comes. */
export function deafInMs({ silentMs, heartbeatMs }: Hearing): number {
  return Math.max(0, hearingWindowMs(heartbeatMs) - silentMs) + 1;
}

/** What the operator should know of a period that is of no use; null when it is of use. */
export function heartbeatAdvice(heartbeatMs: number): string | null {
  if (isUsefulHeartbeat(heartbeatMs)) return null;
  const is = heartbeatMs > 0 ? `one heartbeat in ${heartbeatMs / 1000} s` : 'no heartbeats';
  return `its replication asks for ${is}: too few to tell an idle active that died from one that only mmm cannot reach; CHANGE MASTER TO MASTER_HEARTBEAT_PERIOD=1 makes it a witness`;
}

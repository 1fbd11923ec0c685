// The judge of S1: from what clients without admin rights were told, whether both hosts took writes at once. Pure; clients.ts
// gathers the answers, lines.ts reads the verdict.

/** How a write ended for the client that sent it. */
export type Outcome =
  | 'acknowledged'
  /** The server is read only, or its port refuses: what is acknowledged by a statement sent later was opened anew. */
  | 'closed'
  /** The connection broke, or nobody answered: says nothing about the server. */
  | 'unknown';

export interface Answer {
  readonly host: string;
  /** Monotonic milliseconds: when the statement was sent, and when its end was known. */
  readonly askedMs: number;
  readonly answeredMs: number;
  readonly outcome: Outcome;
}

export interface Opening {
  readonly host: string;
  readonly atMs: number;
}

/** A write that a host acknowledged although another one had been opened before. */
export interface SecondWrite {
  readonly host: string;
  readonly askedMs: number;
  readonly answeredMs: number;
  /** When the other one was opened. */
  readonly openedMs: number;
}

export interface Verdict {
  /** Each time that a host began to take writes, or went on to after it had refused them; the first one is the one found open. */
  readonly openings: readonly Opening[];
  readonly second: readonly SecondWrite[];
}

/**
 * Answers that come together are read in any order by a client that was busy: an acknowledgement that follows the other host's
 * first one by less than this, for a statement that was sent before it, is no proof. After a freeze it is far more.
 */
const SAME_MOMENT_MS = 25;

/**
 * The rightful writer is the host that was opened last. A host is opened by its first acknowledgement of a statement that was sent
 * after it had begun to refuse: so what a host that was frozen or cut off tells when it wakes is no opening.
 */
export function judge(answers: readonly Answer[]): Verdict {
  const ordered = answers.filter(({ outcome }) => outcome !== 'unknown').sort((a, b) => a.answeredMs - b.answeredMs);
  /** Since when each refuses; what was sent before that is late, not new. */
  const refusedMs = new Map<string, number>();
  const openings: Opening[] = [];
  const second: SecondWrite[] = [];
  let rightful: Opening | undefined;
  for (const { host, outcome, askedMs, answeredMs } of ordered) {
    if (outcome === 'closed') {
      if (!refusedMs.has(host)) refusedMs.set(host, answeredMs);
      continue;
    }
    const firstRefusedMs = refusedMs.get(host);
    const isOpening = rightful === undefined || (firstRefusedMs !== undefined && askedMs >= firstRefusedMs);
    if (isOpening) {
      // From here on, only another refusal makes an opening of a later acknowledgement.
      refusedMs.delete(host);
      rightful = { host, atMs: answeredMs };
      openings.push(rightful);
    } else if (rightful !== undefined && host !== rightful.host) {
      const openedMs = rightful.atMs;
      if (askedMs >= openedMs || answeredMs >= openedMs + SAME_MOMENT_MS) {
        second.push({ host, askedMs, answeredMs, openedMs });
      }
    }
  }
  return { openings, second };
}

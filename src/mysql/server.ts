// One host of a pair behind one warm connection: probe it, do a step on it. Each call has a deadline and never throws.
// Comes from src/monitor.ts and src/agent.ts; goes on to dialect.ts (what to say) and evidence.ts (what an error means).

import type { Evidence } from '../core/observation.ts';
import type { Host } from '../core/pair.ts';
import type { Applied, PlainStep } from '../core/step.ts';

/** What a round needs of a host. */
export interface Server {
  readonly host: Host;
  /**
   * One look: one connect timeout when the host is silent, up to three when it answers slowly. Opens a connection only when there is none.
   * `row`: also where nothing of ours was there when the connection was opened; else the row is read only if it was.
   */
  probe(want?: { readonly row: boolean }): Promise<Evidence>;
  /**
   * Does it say a word within that time, on the connection that stands? It is the smallest question there is, and no evidence: a look says
   * what a silence means. True also when it cannot be asked, because no connection stands or a call is under way.
   */
  pulse(withinMs: number): Promise<boolean>;
  /** Does one step; bounded. A step whose answer did not come is a Failure and may still happen: look again. */
  apply(step: PlainStep): Promise<Applied>;
  /** True when the established connection broke since the last successful probe. */
  readonly connectionBroke: boolean;
  /** Called when the established connection breaks. */
  onBroken(listener: () => void): void;
  close(): Promise<void>;
}

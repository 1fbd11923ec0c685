// What one way of keeping accounts out has to offer. accounts.ts uses it; password-column.ts and account-lock.ts are it.

import type { Dialect } from './dialect.ts';
import type { Asker } from './row.ts';

export interface Account {
  readonly user: string;
  readonly host: string;
}

/** An account as its form finds it. */
export interface Listed extends Account {
  /** It can log in, as far as this form of blocking goes, and could be blocked. */
  readonly open: boolean;
  /** It bears the mark of our blocking; with `open` too, somebody let it in again. */
  readonly blocked: boolean;
  /** Why this form must not touch it; '' when it may. */
  readonly unfit: string;
}

/** One way of keeping an account out. Each act is done with the binary log off and can be cut off and repeated. */
export interface AccountForm {
  list(asker: Asker, dialect: Dialect): Promise<readonly Listed[]>;
  block(asker: Asker, account: Account): Promise<void>;
  release(asker: Asker, account: Listed): Promise<void>;
  /** After all of them, also when none was changed: an earlier run may have been cut off. `listed` is everything that was found. */
  settle(asker: Asker, listed: readonly Listed[]): Promise<void>;
  /** The mark tells our own blocking from everybody else's: so it is taken back whatever the patterns are by now. */
  readonly marksOurs: boolean;
}

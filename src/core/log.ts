// What the rounds say, and to whom: an interface, so that rounds and simulator do not know winston.

/** Fields for the JSON format; the text format shows the message alone. */
export interface LogFields {
  readonly tag?: string;
  readonly pair?: string;
  readonly host?: string;
  readonly epoch?: number;
  readonly [name: string]: string | number | boolean | undefined;
}

export interface Log {
  error(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
  /** A log whose lines carry these fields. */
  with(fields: LogFields): Log;
}

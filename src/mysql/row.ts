// A row as the server sent it: every value as text, so that no number is rounded and no date is turned by a time zone.
// Made by link.ts; read by dialect.ts, accounts.ts and steps.ts.

export type Row = Readonly<Record<string, string | null>>;

/** '' for NULL and for a column that this server does not have. */
export function text(row: Row | undefined, column: string): string {
  return row?.[column] ?? '';
}

/** null for NULL, for a column that is not there, and for what is not a number. */
export function number(row: Row | undefined, column: string): number | null {
  const value = text(row, column);
  const read = value === '' ? Number.NaN : Number(value);
  return Number.isNaN(read) ? null : read;
}

/** Something that asks one server, with a deadline for each answer. */
export interface Asker {
  ask(sql: string, values?: readonly unknown[], withinMs?: number): Promise<readonly Row[]>;
}

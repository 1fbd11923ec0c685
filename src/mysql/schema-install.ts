// Puts the schema `mmm` on a server, or brings an older one up to date; looks first, and writes nothing when there is nothing to do.
// Comes from fence-connection.ts. Nothing of it reaches the binary log: the connection has sql_log_bin off.

import { SCHEMA_VERSION } from '../core/host-row.ts';
import { serverErrorNumber } from './evidence.ts';
import { type Asker, number, type Row, text } from './row.ts';
import {
  blankForeignRow,
  CREATE_DATABASE,
  CREATE_TABLE,
  createFenceEvent,
  insertRow,
  ownIdentity,
  type SchemaTarget,
} from './schema.ts';
import { procedures } from './schema-calls.ts';

/** Of one DDL statement. */
const STATEMENT_MS = 5_000;

const EVENT_EXISTS = 1537;
const PROCEDURE_EXISTS = 1304;
const NO_SUCH_DATABASE = 1049;
const NO_SUCH_TABLE = 1146;

/**
 * True when something was changed. Two agents may do it at once: what one of them has just made the other finds, and whoever was in
 * the middle of an upgrade by somebody else sees at its end that the parts are of different ages and goes round again.
 */
export async function installSchema(
  asker: Asker,
  target: SchemaTarget,
): Promise<{ changed: boolean; complete: boolean }> {
  if (await isInstalled(asker, target)) return { changed: false, complete: true };
  const ask = (sql: string) => asker.ask(sql, [], STATEMENT_MS);
  await ask(CREATE_DATABASE);
  await ask(CREATE_TABLE);
  await ask(insertRow(target));
  await ask(blankForeignRow(target));
  // A change of the table comes here, by the version that the row has.
  for (const { name, create } of procedures(target)) {
    await ask(`DROP PROCEDURE IF EXISTS mmm.${name}`);
    await unlessThere(PROCEDURE_EXISTS, () => ask(create));
  }
  await ask('DROP EVENT IF EXISTS mmm.fence');
  await unlessThere(EVENT_EXISTS, () => ask(createFenceEvent(target)));
  // The last one, so that whoever is cut off before it begins again.
  await ask(
    `UPDATE mmm.host SET schema_version = ${SCHEMA_VERSION} WHERE id = 1 AND schema_version < ${SCHEMA_VERSION}`,
  );
  return { changed: true, complete: await isInstalled(asker, target) };
}

/** Every part is there, is this version's or a newer one's, and belongs to an account that still exists; and the row is this server's. */
async function isInstalled(asker: Asker, target: SchemaTarget): Promise<boolean> {
  const row = await versionOfRow(asker, target);
  if (row === null || row < SCHEMA_VERSION) return false;
  const parts = await asker.ask(
    `SELECT part.name, part.comment, EXISTS (SELECT 1 FROM information_schema.USER_PRIVILEGES
        WHERE GRANTEE = CONCAT('''', REPLACE(part.definer, '@', '''@'''), '''')) AS has_definer
      FROM (SELECT ROUTINE_NAME AS name, ROUTINE_COMMENT AS comment, DEFINER AS definer
          FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'mmm'
        UNION ALL SELECT CONCAT('event ', EVENT_NAME), EVENT_COMMENT, DEFINER
          FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'mmm' AND STATUS = 'ENABLED') AS part`,
    [],
    STATEMENT_MS,
  );
  const found = new Map(parts.map((part) => [text(part, 'name'), part]));
  return ['event fence', ...procedures(target).map(({ name }) => name)].every((name) => isCurrent(found.get(name)));
}

function isCurrent(part: Row | undefined): boolean {
  const version = /^mmm schema (\d+)$/.exec(text(part, 'comment'))?.[1];
  return version !== undefined && Number(version) >= SCHEMA_VERSION && text(part, 'has_definer') === '1';
}

async function versionOfRow(asker: Asker, target: SchemaTarget): Promise<number | null> {
  try {
    const [row] = await asker.ask(
      `SELECT schema_version FROM mmm.host WHERE id = 1 AND server_uuid = ${ownIdentity(target)}`,
      [],
      STATEMENT_MS,
    );
    return number(row, 'schema_version');
  } catch (error) {
    const code = serverErrorNumber(error);
    if (code === NO_SUCH_DATABASE || code === NO_SUCH_TABLE) return null;
    throw error;
  }
}

async function unlessThere(code: number, act: () => Promise<unknown>): Promise<void> {
  try {
    await act();
  } catch (error) {
    // Somebody else installs at the same time; the look at the end says whether it was the same thing.
    if (serverErrorNumber(error) !== code) throw error;
  }
}

// What the threads of replication do, as the process list shows it: asked within the statement or call that opens a host, where SHOW cannot be.
// Part of steps.ts and schema-calls.ts.

/** Every thread of replication, of whatever source. MariaDB's own helpers have the same user. */
export const REPLICATION_THREADS =
  "FROM information_schema.PROCESSLIST WHERE USER = 'system user' AND COMMAND <> 'Daemon'";
export const IO_THREAD = `(COMMAND = 'Slave_IO' OR STATE REGEXP '^(Connecting to |Checking (master|source)|Registering |Requesting |Queueing |Reconnecting |Waiting to reconnect|Waiting for (master|source) |Waiting for the (slave|replica) SQL thread to free)')`;
export const AT_THE_END = "STATE REGEXP '^(Slave|Replica) has read all relay log'";
const IDLE_WORKER =
  "STATE IN ('Waiting for an event from Coordinator', 'Waiting for work from SQL thread', 'Waiting for work from main SQL threads')";

/** One that receives, or has something left to apply. */
export const WORKING_THREAD = `NOT COALESCE(${AT_THE_END} OR ${IDLE_WORKER}, 0)`;

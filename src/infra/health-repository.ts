import type pg from 'pg'

/** Several statements in one string are one transaction. The values are too short to be compressed. */
const PROBE_WRITE = `
  create temp table bcs_probe (filler char(1000)) on commit drop;
  insert into bcs_probe select '' from generate_series(1, 1000)`

export interface ServerConnections {
  used: number
  most: number
}

interface ServerState extends ServerConnections {
  read_only: boolean
}

/** `transaction_read_only` is on for a standby, too. */
const SERVER_STATE = `
select current_setting('transaction_read_only')::boolean as read_only,
  (select sum(numbackends)::integer from pg_stat_database) as used,
  current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer as most`

export async function readServerState(pool: pg.Pool): Promise<ServerState | undefined> {
  const { rows } = await pool.query<ServerState>(SERVER_STATE)
  return rows[0]
}

/** Fails where the database takes no writes: the file of a temporary table grows by 1 MB and goes again. */
export async function probeWrite(pool: pg.Pool): Promise<void> {
  await pool.query(PROBE_WRITE)
}

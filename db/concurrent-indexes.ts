import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import type { BaseLogger } from 'pino'

/** A statement of a migration that builds or drops an index while others write. */
export interface IndexStatement {
  readonly kind: 'create' | 'drop'
  readonly index: string
  readonly text: string
}

const CREATE = /^create (?:unique )?index concurrently (\w+) on (?:only )?\w+/i
const DROP = /^drop index concurrently if exists (\w+)$/i
/** From one look to the next at what another session is at. */
const LOOK_MS = 250
/** Postgres' code for a value that a setting cannot have: not every system tells a server of a client that is gone. */
const INVALID_PARAMETER_VALUE = '22023'

/** Returns the statements of a file, without comments. Texts with a semicolon are not for these files. */
export function statementsOf(text: string): string[] {
  return text
    .replaceAll(/--.*$/gm, '')
    .split(';')
    .map((statement) => statement.replaceAll(/\s+/g, ' ').trim())
    .filter((statement) => statement !== '')
}

/** @throws for a statement that cannot be gone on with after it was left half done */
export function readIndexStatements(path: string, text: string): IndexStatement[] {
  return statementsOf(text).map((statement) => {
    const created = CREATE.exec(statement)?.[1]
    if (created !== undefined) return { kind: 'create', index: created, text: statement }
    const dropped = DROP.exec(statement)?.[1]
    if (dropped !== undefined) return { kind: 'drop', index: dropped, text: statement }
    throw new Error(
      `${path}: a file that is "concurrently" has only "create index concurrently <name> on …" and ` +
        `"drop index concurrently if exists <name>", not "${statement.slice(0, 60)}". Write another migration for the rest`,
    )
  })
}

/**
 * Does what is left of the statements, each on its own and in no transaction: an index that is valid is done, one that is
 * not was left by a migrator that was killed, and is built anew. Others write meanwhile. The build waits for
 * transactions that are older than it, for as long as they are open.
 */
export async function buildIndexes(
  pool: pg.Pool,
  statements: readonly IndexStatement[],
  log: Pick<BaseLogger, 'info'>,
): Promise<void> {
  const client = await pool.connect()
  try {
    await endWithClient(client)
    for (const statement of statements) await build(client, statement, log)
  } finally {
    // Its settings end with its session.
    client.release(true)
  }
}

async function build(
  client: pg.ClientBase,
  { kind, index, text }: IndexStatement,
  log: Pick<BaseLogger, 'info'>,
): Promise<void> {
  if (kind === 'create') {
    await builderIsGone(client)
    const isValid = await readValidity(client, index)
    if (isValid === true) return
    log.info({ index }, 'a migration builds an index, and lets others write meanwhile')
    if (isValid === false) await client.query(`drop index concurrently if exists ${index}`)
  }
  await client.query(text)
}

/** A server that builds for a migrator that was killed stops within a second, not when the index is done. */
async function endWithClient(client: pg.ClientBase): Promise<void> {
  try {
    await client.query(`set client_connection_check_interval = '1s'`)
  } catch (error) {
    if ((error as { code?: string }).code !== INVALID_PARAMETER_VALUE) throw error
  }
}

/** Resolves when no session of this database builds an index: one that does may still make it valid. */
async function builderIsGone(client: pg.ClientBase): Promise<void> {
  const text =
    'select from pg_stat_progress_create_index where datname = current_database() and pid <> pg_backend_pid()'
  while (((await client.query(text)).rowCount ?? 0) > 0) await delay(LOOK_MS)
}

/** Returns null for an index that is not there. */
async function readValidity(client: pg.ClientBase, index: string): Promise<boolean | null> {
  const { rows } = await client.query<{ valid: boolean }>(
    'select indisvalid and indisready as valid from pg_index where indexrelid = to_regclass($1)',
    [index],
  )
  return rows[0]?.valid ?? null
}

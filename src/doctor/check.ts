import type pg from 'pg'
import type { Config } from '#config/config.ts'
import type { SecretBox } from '#lib/secrets/secret-box.ts'

export interface Finding {
  /** `failed`: something does not work, or data is at risk. `warning`: look at it. */
  status: 'ok' | 'warning' | 'failed'
  /** One sentence. */
  detail: string
  /** Says what to do. */
  fix?: string
}

/** The service and the settings that checks look at. */
export interface DoctorContext {
  config: Config
  /** Null when no master key could be read. */
  secretBox: SecretBox | null
  /** Milliseconds of this machine's clock. */
  readonly now: () => number
  /** A transaction that has been open for longer is told of. */
  longTransactionSeconds: number
  /** So is one that has been prepared for longer. */
  preparedSeconds: number
  databaseUrl: string
  /** Two connections at least. */
  pool: pg.Pool
}

/** One thing that can be wrong with a deployment. */
export interface Check {
  name: string
  /** `database`: skipped when it does not answer. `tables`: also when migrations are missing. */
  needs: 'nothing' | 'database' | 'tables'
  readonly run: (ctx: DoctorContext) => Promise<Finding[]>
}

export const ok = (detail: string): Finding => ({ status: 'ok', detail })
export const warning = (detail: string, fix: string): Finding => ({ status: 'warning', detail, fix })
export const failed = (detail: string, fix: string): Finding => ({ status: 'failed', detail, fix })

/** The findings, or that there are none. */
export function orOk(findings: Finding[], detail: string): Finding[] {
  return findings.length > 0 ? findings : [ok(detail)]
}

/** The one row of a query. */
export async function readRow<Row extends pg.QueryResultRow>(pool: pg.Pool, text: string): Promise<Row> {
  const { rows } = await pool.query<Row>(text)
  const [row] = rows
  if (row === undefined) throw new Error('the database answered without a row')
  return row
}

import { Kysely, PostgresDialect, sql } from 'kysely'
import type pg from 'pg'
import type { DB } from '#db/schema.ts'

interface Node {
  'Node Type': string
  'Actual Rows': number
  'Actual Loops': number
  'Rows Removed by Filter'?: number
  'Rows Removed by Index Recheck'?: number
  Plans?: Node[]
}

/**
 * Returns the numbers of rows of tables and indexes that each statement of the work reads, as Postgres counts them.
 */
export async function rowsRead(pool: pg.Pool, work: (db: Kysely<DB>) => Promise<unknown>): Promise<number[]> {
  const statements: { sql: string; parameters: readonly unknown[] }[] = []
  const db = new Kysely<DB>({
    dialect: new PostgresDialect({ pool }),
    log: ({ query }) => {
      statements.push({ sql: query.sql, parameters: query.parameters })
    },
  })
  await work(db)
  const counts: number[] = []
  for (const { sql: text, parameters } of statements) {
    const { rows } = await pool.query<{ 'QUERY PLAN': string }>({
      text: `explain (analyze, format json) ${text}`,
      values: [...parameters],
      // As text: the service's own parsers make numbers that no arithmetic takes.
      types: { getTypeParser: () => String },
    })
    const [{ Plan: plan }] = JSON.parse(rows[0]?.['QUERY PLAN'] ?? '') as [{ Plan: Node }]
    counts.push(readBy(plan))
  }
  return counts
}

function readBy(node: Node): number {
  const below = (node.Plans ?? []).reduce((sum, each) => sum + readBy(each), 0)
  // What else is called a scan goes through the results of other parts of the statement.
  if (!/(Seq|Index|Index Only|Heap|Tid|Tid Range) Scan$/.test(node['Node Type'])) return below
  const { 'Rows Removed by Filter': filtered = 0, 'Rows Removed by Index Recheck': rechecked = 0 } = node
  return below + (node['Actual Rows'] + filtered + rechecked) * node['Actual Loops']
}

/** As autovacuum does when a table has grown. */
export async function analyze(db: Kysely<DB>, table: string): Promise<void> {
  await sql`vacuum analyze ${sql.table(table)}`.execute(db)
}

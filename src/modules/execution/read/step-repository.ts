import { type Kysely, sql } from 'kysely'
import type { DB, StepStatus } from '#db/schema.ts'
import type { Attempt } from '#modules/flow-engine/index.ts'

export interface StepRow {
  number: number
  step_id: string
  iteration: string
  type: string
  status: StepStatus
  port: string | null
  input: unknown
  output: unknown
  error: { code: string; message: string } | null
  attempts: number
  attempt_log: Attempt[] | null
  note: string | null
  started_at: Date
  duration_ms: number
}

/** Inputs and outputs of one page, as text; one step more than that is always given. */
const PAGE_MAX_BYTES = 4 * 1024 * 1024

/** Steps from a number on, in their order: as many as the limit and the page's size allow, at least one. */
export async function selectSteps(
  db: Kysely<DB>,
  tenantId: string,
  executionId: string,
  options: { from: number; limit: number; maxBytes?: number },
): Promise<StepRow[]> {
  const { from, limit, maxBytes = PAGE_MAX_BYTES } = options
  const { rows } = await sql<StepRow>`
    select number, step_id, iteration, type, status, port, input, output, error, attempts, attempt_log, note, started_at, duration_ms
    from (
      select page.*, sum(coalesce(octet_length(input::text), 0) + coalesce(octet_length(output::text), 0))
        over (order by number rows between unbounded preceding and 1 preceding) as bytes_before
      from (
        select * from automation_steps
        where tenant_id = ${tenantId} and execution_id = ${executionId} and number >= ${from}
        order by number limit ${limit}
      ) page
    ) sized
    where coalesce(bytes_before, 0) < ${maxBytes}
    order by number`.execute(db)
  return rows
}

import { type Kysely, sql } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { ClaimedExecution } from './execution-repository.ts'

/** The output of a step, as its execution's templates find it. */
export interface StepOutput {
  step_id: string
  iteration: string
  output: unknown
}

export async function loadOutputs(
  db: Kysely<DB>,
  claims: readonly ClaimedExecution[],
): Promise<StepOutput[][]> {
  const wants = claims.flatMap((claim) => {
    const iterations = ['', ...(claim.state.loop?.threads.map(({ iteration }) => iteration) ?? [])]
    return iterations.map((iteration) => ({ claim, iteration }))
  })
  const { rows } = await sql<StepOutput & { execution_id: string }>`
    select s.execution_id, s.step_id, s.iteration, s.output
    from unnest(${wants.map(({ claim }) => claim.tenant_id)}::uuid[], ${wants.map(({ claim }) => claim.id)}::uuid[],
      ${wants.map(({ iteration }) => iteration)}::text[]) as w (tenant_id, execution_id, iteration)
    join automation_steps s
      on s.tenant_id = w.tenant_id and s.execution_id = w.execution_id and s.iteration = w.iteration
    where s.status = 'succeeded' or s.port = 'error'
    order by s.number`.execute(db)
  rows.push(...(await loadCollected(db, claims)))
  const byExecution = Map.groupBy(rows, (row) => row.execution_id)
  return claims.map(({ id }) => byExecution.get(id) ?? [])
}

/** Loads what loops have kept of the items that have ended: a row of the loop's own step for each. */
async function loadCollected(
  db: Kysely<DB>,
  claims: readonly ClaimedExecution[],
): Promise<(StepOutput & { execution_id: string })[]> {
  const loops = claims.flatMap(({ tenant_id, id, state }) =>
    state.loop === null ? [] : [{ tenant_id, id, step: state.loop.step }],
  )
  if (loops.length === 0) return []
  const { rows } = await sql<StepOutput & { execution_id: string }>`
    select s.execution_id, s.step_id, s.iteration, s.output
    from unnest(${loops.map(({ tenant_id }) => tenant_id)}::uuid[], ${loops.map(({ id }) => id)}::uuid[],
      ${loops.map(({ step }) => step)}::text[]) as w (tenant_id, execution_id, step_id)
    join automation_steps s
      on s.tenant_id = w.tenant_id and s.execution_id = w.execution_id and s.step_id = w.step_id
    where s.iteration <> '' and s.status = 'succeeded'`.execute(db)
  return rows
}

import { type Kysely, sql } from 'kysely'
import { bytesOf } from '#db/json.ts'
import type { DB } from '#db/schema.ts'
import type { ClaimedExecution } from './execution-repository.ts'

/** The output of a step, as its execution's templates find it. */
export interface StepOutput {
  step_id: string
  iteration: string
  output: unknown
}

/** The outputs to load: those of the main thread, and of the items that are under way. */
function wantsOf(claims: readonly ClaimedExecution[]): { claim: ClaimedExecution; iteration: string }[] {
  return claims.flatMap((claim) => {
    const iterations = ['', ...(claim.state.loop?.threads.map(({ iteration }) => iteration) ?? [])]
    return iterations.map((iteration) => ({ claim, iteration }))
  })
}

/** Finds how many bytes of JSON `loadOutputs` and `receivedOf` would give for each of them. */
export async function measureLoaded(db: Kysely<DB>, claims: readonly ClaimedExecution[]): Promise<number[]> {
  const wants = wantsOf(claims)
  const loops = loopsOf(claims)
  const { rows } = await sql<{ execution_id: string; bytes: number }>`
    select execution_id, sum(bytes)::float8 as bytes from (
      select s.execution_id, ${sql.raw(bytesOf('s.output'))} as bytes
      from unnest(${wants.map(({ claim }) => claim.tenant_id)}::uuid[], ${wants.map(({ claim }) => claim.id)}::uuid[],
        ${wants.map(({ iteration }) => iteration)}::text[]) as w (tenant_id, execution_id, iteration)
      join automation_steps s
        on s.tenant_id = w.tenant_id and s.execution_id = w.execution_id and s.iteration = w.iteration
      where s.status = 'succeeded' or s.port = 'error'
      union all
      select s.execution_id, ${sql.raw(bytesOf('s.output'))}
      from unnest(${loops.map(({ tenant_id }) => tenant_id)}::uuid[], ${loops.map(({ id }) => id)}::uuid[],
        ${loops.map(({ step }) => step)}::text[]) as w (tenant_id, execution_id, step_id)
      join automation_steps s
        on s.tenant_id = w.tenant_id and s.execution_id = w.execution_id and s.step_id = w.step_id
      where s.iteration <> '' and s.status = 'succeeded'
      union all
      select a.execution_id, octet_length(e.body)
      from unnest(${claims.map(({ tenant_id }) => tenant_id)}::uuid[], ${claims.map(({ id }) => id)}::uuid[])
        as c (tenant_id, execution_id)
      join automation_waits a on a.tenant_id = c.tenant_id and a.execution_id = c.execution_id
      join events e on e.tenant_id = a.tenant_id and e.id = a.received_event_id
      where a.purpose = 'resume'
    ) measured group by execution_id`.execute(db)
  const bytes = new Map(rows.map((row) => [row.execution_id, row.bytes]))
  return claims.map(({ id }) => bytes.get(id) ?? 0)
}

export async function loadOutputs(
  db: Kysely<DB>,
  claims: readonly ClaimedExecution[],
): Promise<StepOutput[][]> {
  const wants = wantsOf(claims)
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
  const loops = loopsOf(claims)
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

function loopsOf(claims: readonly ClaimedExecution[]): { tenant_id: string; id: string; step: string }[] {
  return claims.flatMap(({ tenant_id, id, state }) =>
    state.loop === null ? [] : [{ tenant_id, id, step: state.loop.step }],
  )
}

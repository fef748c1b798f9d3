import { type Kysely, sql } from 'kysely'
import type { DB } from '#db/schema.ts'
import { Batcher } from '#lib/async/batcher.ts'
import type { ClaimedExecution } from './execution-repository.ts'
import { type ReceivedEvent, receivedOf } from '../wait/waits.ts'

/** What a step gave, as its execution's templates find it. */
export interface StepOutput {
  step_id: string
  iteration: string
  output: unknown
}

/** Executions that one statement loads for, and statements of one kind under way at once. */
const BATCH_MAX = 64
const CONCURRENCY = 1

/**
 * Loads what executions that go on have to know of themselves. Those that fall due together are loaded together:
 * thousands of single statements would keep the pool's few connections from the boundaries.
 */
export class ResumeLoader {
  readonly #outputs: Batcher<ClaimedExecution, StepOutput[]>
  readonly #received: Batcher<ClaimedExecution, Map<string, ReceivedEvent>>

  constructor(db: Kysely<DB>) {
    const limits = { max: BATCH_MAX, concurrency: CONCURRENCY }
    this.#outputs = new Batcher({ ...limits, flush: (claims) => loadOutputs(db, claims) })
    this.#received = new Batcher({ ...limits, flush: (claims) => loadReceived(db, claims) })
  }

  /** What its steps gave, those of loops only for the items that are under way. */
  async outputs(claim: ClaimedExecution): Promise<StepOutput[]> {
    return claim.step_count === 0 ? [] : this.#outputs.add(claim)
  }

  /** Events that came for its waits, by iteration. */
  async received(claim: ClaimedExecution): Promise<Map<string, ReceivedEvent>> {
    return claim.received === 0 ? new Map() : this.#received.add(claim)
  }
}

async function loadOutputs(db: Kysely<DB>, claims: readonly ClaimedExecution[]): Promise<StepOutput[][]> {
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

/** What loops have kept of the items that have ended: a row of the loop's own step for each. */
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

async function loadReceived(
  db: Kysely<DB>,
  claims: readonly ClaimedExecution[],
): Promise<Map<string, ReceivedEvent>[]> {
  const received = new Map<string, Map<string, ReceivedEvent>>()
  for (const [tenantId, ofTenant] of Map.groupBy(claims, (claim) => claim.tenant_id)) {
    const ids = ofTenant.map(({ id }) => id)
    for (const [id, events] of await receivedOf(db, tenantId, ids)) received.set(id, events)
  }
  return claims.map(({ id }) => received.get(id) ?? new Map<string, ReceivedEvent>())
}

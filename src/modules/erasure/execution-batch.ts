import type { Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { cancelExecutions, type CountCancelled } from '#modules/flow-engine/index.ts'
import { eraseExecutions, readExecutions, selectActive } from './execution-repository.ts'
import type { Progress } from './job-repository.ts'
import type { Wanted } from './match-repository.ts'
import type { Range } from './record-repository.ts'

/**
 * Empties the next executions that have the value. One that has not ended is cancelled, like deliveries that wait: it
 * cannot go on without its data. One that runs ends at its next step boundary.
 *
 * @returns null: there are no more; `wait`: some are still to end, and the cursor stays
 */
export async function eraseExecutionBatch(
  trx: Transaction<DB>,
  tenantId: string,
  wanted: Wanted,
  range: Range,
  onCancelled?: CountCancelled,
): Promise<Progress | 'wait' | null> {
  const executions = await readExecutions(trx, tenantId, wanted, range)
  const last = executions.at(-1)
  if (last === undefined) return null
  const found = executions.filter((execution) => execution.found)
  const active = found.filter((execution) => execution.active).map(({ id }) => id)
  if (active.length > 0) {
    await cancelExecutions(trx, tenantId, active, 'erased', onCancelled)
    if ((await selectActive(trx, tenantId, active)).length > 0) return 'wait'
  }
  const ids = found.map(({ id }) => id)
  if (ids.length > 0) await eraseExecutions(trx, tenantId, ids)
  return { cursor: last.id, scanned: executions.length, erased: ids.length }
}

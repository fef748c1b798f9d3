import type { Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { audit } from '#infra/audit.ts'
import { SYSTEM_ACTOR } from '#infra/auth/auth.ts'
import type { EventService } from '#modules/event/index.ts'
import { readFlowName, selectLatestExecutions } from './flow-repository.ts'

/** Why the service itself pauses a flow. */
export type PauseReason = 'failing' | 'self_triggering'

/** Executions that the event of a pause names: enough to see what goes wrong. */
const EXECUTIONS_TOLD = 5

/**
 * Tells of a pause in the transaction that makes it, by an event and an audit entry: nobody has to come upon it.
 * @returns the plugins that have a new delivery
 */
export async function tellOfPause(
  trx: Transaction<DB>,
  events: Pick<EventService, 'emitIn'>,
  { tenantId, flowId, reason }: { tenantId: string; flowId: string; reason: PauseReason },
): Promise<string[]> {
  const name = await readFlowName(trx, tenantId, flowId)
  const last = await selectLatestExecutions(trx, tenantId, flowId, {
    only: reason === 'failing' ? 'failed' : 'started',
    limit: EXECUTIONS_TOLD,
  })
  const executions = last.map(({ id, status, reason: why, event_id, error }) => ({
    id,
    status,
    reason: why,
    event_id,
    error: error && { step_id: error.step_id ?? null, code: error.code, message: error.message },
  }))
  const cause = reason === 'failing' ? (executions[0]?.error ?? null) : null
  await audit(trx, SYSTEM_ACTOR, {
    tenantId,
    action: 'flow.paused',
    targetKind: 'flow',
    targetId: flowId,
    detail: { reason, cause, executions: executions.map(({ id }) => id) },
  })
  return events.emitIn(trx, {
    tenantId,
    event: 'flow.paused',
    source: 'system',
    data: { flow: name, flow_id: flowId, reason, cause, executions },
  })
}

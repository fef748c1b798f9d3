import type { Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { audit } from '#infra/audit.ts'
import { SYSTEM_ACTOR } from '#infra/auth/auth.ts'
import { ALERTS_PER_HOUR, type EventService } from '#modules/event/index.ts'
import { inWords, latestExecutions } from './flow-alerts.ts'
import { readFlowName } from './flow-repository.ts'

/** Why the service itself pauses a flow. */
export type PauseReason = 'failing' | 'self_triggering'

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
  const only = reason === 'failing' ? 'failed' : 'started'
  const { executions, causation } = await latestExecutions(trx, { tenantId, flowId, only })
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
    mostPerHour: ALERTS_PER_HOUR,
    causation,
    data: {
      flow: name,
      flow_id: flowId,
      reason,
      cause,
      executions,
      ...said({ name, flowId, reason, cause }),
    },
  })
}

function said(pause: {
  name: string
  flowId: string
  reason: PauseReason
  cause: Parameters<typeof inWords>[0]
}): { summary: string; what_to_do: string } {
  const { name, flowId, reason, cause } = pause
  const activate = `POST /api/automation/flows/${flowId}/activate`
  return reason === 'failing'
    ? {
        summary: `${name} is paused, it failed too often${inWords(cause)}.`,
        what_to_do: `Mend the flow, then ${activate}: what it has missed since is taken up.`,
      }
    : {
        summary: `${name} is paused, it triggers itself.`,
        what_to_do: `Give its trigger a filter that leaves out what the flow itself causes, then ${activate}.`,
      }
}

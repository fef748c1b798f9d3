import type { Kysely, Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { ALERTS, ALERTS_PER_HOUR, causationOfAlert, type EventService } from '#modules/event/index.ts'
import {
  markFailing,
  markRecovered,
  readFlowName,
  readLatestEnds,
  selectLatestExecutions,
} from './flow-repository.ts'

/** Of the last so many executions that have ended, so many failures are told of; recovered is a flow without any. */
const LATEST = 10
const FAILED_MIN = LATEST / 2
/** Executions that these events start do not count: an alert is not to cause itself. */
const APART = ALERTS.filter((event) => event.startsWith('flow.'))
/** Executions that an event names: enough to see what goes wrong. */
const EXECUTIONS_TOLD = 5

interface AlertContext {
  db: Kysely<DB>
  events: Pick<EventService, 'emitIn'>
}

interface FlowError {
  step_id: string | null
  code: string
  message: string
}

/**
 * Returns a flow's newest executions that have failed, or of all that have started, as an alert names them, and the alert's
 * place behind the newest.
 */
export async function latestExecutions(
  trx: Transaction<DB>,
  { tenantId, flowId, only }: { tenantId: string; flowId: string; only: 'failed' | 'started' },
) {
  const last = await selectLatestExecutions(trx, tenantId, flowId, { only, limit: EXECUTIONS_TOLD })
  const [newest] = last
  return {
    executions: last.map(({ id, status, reason, event_id, error }) => ({
      id,
      status,
      reason,
      event_id,
      error: error && { step_id: error.step_id ?? null, code: error.code, message: error.message },
    })),
    causation: causationOfAlert({ eventId: newest?.event_id ?? null, depth: newest?.causation_depth ?? 0 }),
  }
}

export function inWords(cause: FlowError | null): string {
  if (cause === null) return ''
  const step = cause.step_id === null ? '' : `, step ${cause.step_id}`
  return `: ${cause.message} (${cause.code}${step})`
}

/**
 * Tells once that a flow is failing, until it has recovered, in the transaction that notes it.
 *
 * @returns the plugins that have a new delivery, null: nothing was told; and whether nothing is left to tell, as it is told
 * by now or the flow is not active
 */
export async function tellOfFailing(
  ctx: AlertContext,
  tenantId: string,
  flowId: string,
): Promise<{ due: string[] | null; isTold: boolean }> {
  const { failed, of } = await readLatestEnds(ctx.db, tenantId, flowId, { limit: LATEST, apart: APART })
  if (failed < FAILED_MIN) return { due: null, isTold: false }
  const due = await ctx.db.transaction().execute(async (trx) => {
    if (!(await markFailing(trx, tenantId, flowId))) return null
    const flow = await readFlowName(trx, tenantId, flowId)
    const { executions, causation } = await latestExecutions(trx, { tenantId, flowId, only: 'failed' })
    const cause = executions[0]?.error ?? null
    const look =
      executions[0] === undefined
        ? ''
        : `GET /api/automation/executions/${executions[0].id} shows the newest that failed. `
    return ctx.events.emitIn(trx, {
      tenantId,
      event: 'flow.failing',
      source: 'system',
      mostPerHour: ALERTS_PER_HOUR,
      causation,
      data: {
        flow,
        flow_id: flowId,
        failed,
        of,
        cause,
        executions,
        summary: `${failed} of the last ${of} runs of ${flow} have failed${inWords(cause)}.`,
        what_to_do: `${look}Mend the flow or what it calls, then retry what failed.`,
      },
    })
  })
  return { due, isTold: true }
}

/**
 * Tells that a flow of which that was told is not failing any more.
 *
 * @returns the plugins that have a new delivery, null: nothing was told; and how many more executions have to end well
 */
export async function tellOfRecovery(
  ctx: AlertContext,
  tenantId: string,
  flowId: string,
): Promise<{ due: string[] | null; missing: number }> {
  const { well } = await readLatestEnds(ctx.db, tenantId, flowId, { limit: LATEST, apart: APART })
  if (well < LATEST) return { due: null, missing: LATEST - well }
  const due = await ctx.db.transaction().execute(async (trx) => {
    const since = await markRecovered(trx, tenantId, flowId)
    if (since === null) return null
    const flow = await readFlowName(trx, tenantId, flowId)
    const { causation } = await latestExecutions(trx, { tenantId, flowId, only: 'started' })
    return ctx.events.emitIn(trx, {
      tenantId,
      event: 'flow.recovered',
      source: 'system',
      mostPerHour: ALERTS_PER_HOUR,
      causation,
      data: {
        flow,
        flow_id: flowId,
        failing_since: since.toISOString(),
        summary: `The last ${LATEST} runs of ${flow} went well.`,
      },
    })
  })
  return { due, missing: 0 }
}

import type { FastifyBaseLogger } from 'fastify'
import type { IntakeResult, NewEvent } from './types.ts'

/** One line for each event that came in; never its data. */
export function logResult(log: FastifyBaseLogger, event: NewEvent, result: IntakeResult): void {
  if (result.status === 'rejected') {
    log.info({ tenant_id: event.tenantId, event: event.event, problem: result.problem.code }, 'event refused')
    return
  }
  log.info(
    { tenant_id: event.tenantId, event_id: result.id, event: event.event, deliveries: result.deliveries },
    result.status === 'accepted' ? 'event created' : 'event repeated',
  )
}

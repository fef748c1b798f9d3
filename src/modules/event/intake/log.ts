import type { FastifyBaseLogger } from 'fastify'
import { LineBudget } from '#lib/async/line-budget.ts'
import type { IntakeResult, NewEvent } from '../context.ts'

/** Beyond this many, events are logged one by one at `debug` only, and counted in one line at `info`. */
const MAX_LINES_PER_SECOND = 100

/** Tells the log what came in; never the data. */
export class IntakeLog {
  readonly #budget: LineBudget

  constructor(log: FastifyBaseLogger) {
    this.#budget = new LineBudget(MAX_LINES_PER_SECOND, (events) =>
      log.info({ events }, 'more events came in than are logged one by one'),
    )
  }

  /** @param log of the request, so that its id stands in the line */
  add(log: FastifyBaseLogger, event: NewEvent, result: IntakeResult): void {
    if (this.#budget.take()) log.info(...lineOf(event, result))
    else if (log.level === 'debug' || log.level === 'trace') log.debug(...lineOf(event, result))
  }
}

function lineOf({ tenantId, event }: NewEvent, result: IntakeResult): [object, string] {
  if (result.status === 'rejected') {
    return [{ tenant_id: tenantId, event, problem: result.problem.code }, 'event refused']
  }
  const { id, deliveries, status } = result
  return [
    { tenant_id: tenantId, event_id: id, event, deliveries },
    status === 'accepted' ? 'event created' : 'event repeated',
  ]
}

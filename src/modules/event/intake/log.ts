import type { FastifyBaseLogger } from 'fastify'
import { LineBudget } from '#lib/async/line-budget.ts'
import type { IntakeResult, NewEvent } from '../context.ts'
import type { MatchedEvent } from './match.ts'

/** Beyond this many, events are logged one by one at `debug` only, and counted in one line at `info`. */
const MAX_LINES_PER_SECOND = 100
const MAX_UNORDERED_LINES_PER_SECOND = 10
const MAX_PLUGINS_NAMED = 10

/** Tells the log what came in; never the data. */
export class IntakeLog {
  readonly #log: FastifyBaseLogger
  readonly #budget: LineBudget
  readonly #unordered: LineBudget

  constructor(log: FastifyBaseLogger) {
    this.#log = log
    this.#unordered = new LineBudget(MAX_UNORDERED_LINES_PER_SECOND, (events) =>
      log.warn({ events }, 'more events have no ordering key than are logged one by one'),
    )
    this.#budget = new LineBudget(MAX_LINES_PER_SECOND, (events) =>
      log.info({ events }, 'more events came in than are logged one by one'),
    )
  }

  /** @param log of the request, so that its id stands in the line */
  add(log: FastifyBaseLogger, event: NewEvent, result: IntakeResult): void {
    if (this.#budget.take()) log.info(...lineOf(event, result))
    else if (log.level === 'debug' || log.level === 'trace') log.debug(...lineOf(event, result))
  }

  /** An event that has no key for plugins that want their deliveries in order: it waits for nothing there. */
  addUnordered({ composed, orderingKeys }: MatchedEvent): void {
    if (orderingKeys === null) return
    const plugins = [...orderingKeys].flatMap(([id, key]) => (key === null ? [id] : []))
    if (plugins.length === 0 || !this.#unordered.take()) return
    const { tenantId, id, event } = composed
    this.#log.warn(
      { tenant_id: tenantId, event_id: id, event, plugin_ids: plugins.slice(0, MAX_PLUGINS_NAMED) },
      'event has no ordering key for these plugins, and is delivered unordered',
    )
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

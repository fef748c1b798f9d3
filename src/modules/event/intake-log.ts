import type { FastifyBaseLogger } from 'fastify'
import type { IntakeResult, NewEvent } from './types.ts'

/**
 * At thousands a second a line for each event would be most of what the log says, and a tenth of what storing the
 * event costs: beyond this many, events are logged one by one at `debug` only, and counted in one line at `info`.
 */
const MAX_LINES_PER_SECOND = 100
const WINDOW_MS = 1_000

/** Tells the log what came in; never the data. */
export class IntakeLog {
  readonly #log: FastifyBaseLogger
  #lines = 0
  #untold = 0
  #window: NodeJS.Timeout | null = null

  constructor(log: FastifyBaseLogger) {
    this.#log = log
  }

  /** @param log of the request, so that its id stands in the line */
  add(log: FastifyBaseLogger, event: NewEvent, result: IntakeResult): void {
    this.#window ??= setTimeout(() => this.#close(), WINDOW_MS).unref()
    if (this.#lines < MAX_LINES_PER_SECOND) {
      this.#lines++
      log.info(...lineOf(event, result))
    } else {
      this.#untold++
      if (log.level === 'debug' || log.level === 'trace') log.debug(...lineOf(event, result))
    }
  }

  #close(): void {
    this.#window = null
    this.#lines = 0
    if (this.#untold > 0) {
      this.#log.info({ events: this.#untold }, 'more events came in than are logged one by one')
    }
    this.#untold = 0
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

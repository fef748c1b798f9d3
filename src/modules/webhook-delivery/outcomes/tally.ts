import type { FastifyBaseLogger } from 'fastify'
import type { Metrics } from '#infra/metrics.ts'
import type { Sample, StatsRecorder } from '#infra/statistics/recorder.ts'
import { mintedAtMs } from '#lib/ids.ts'
import { LineBudget } from '#lib/async/line-budget.ts'
import type { Lane } from '../lanes/lane.ts'
import type { Outcome } from './repository.ts'

export interface DeliveryCounts {
  processed: number
  sent: number
  retried: number
  failed: number
}

/**
 * Beyond this many, what was sent is logged one by one at `debug` only, and counted in one line at `info`: every
 * attempt stands in the database. What failed is always logged.
 *
 * Measured: 6 of the worker's 65 µs a delivery, with a line for each.
 */
const MAX_SENT_LINES_PER_SECOND = 100

/** Counts and logs outcomes that were recorded. */
export class Tally {
  readonly counts: DeliveryCounts = { processed: 0, sent: 0, retried: 0, failed: 0 }
  readonly #log: FastifyBaseLogger
  readonly #attempts: Metrics['deliveryAttempts']
  readonly #statistics: StatsRecorder
  readonly #sentLines: LineBudget
  #uncounted = 0

  constructor(log: FastifyBaseLogger, metrics: Metrics, statistics: StatsRecorder) {
    this.#log = log
    this.#statistics = statistics
    this.#attempts = metrics.deliveryAttempts
    this.#sentLines = new LineBudget(MAX_SENT_LINES_PER_SECOND, (deliveries) =>
      log.info({ deliveries }, 'more webhooks were sent than are logged one by one'),
    )
  }

  add(lane: Lane, outcome: Outcome): void {
    this.counts.processed++
    this.#statistics.add('deliveries', sampleOf(outcome))
    if (outcome.status === 'sent') this.#addSent(lane, outcome)
    else this.#addFailed(lane, outcome)
  }

  /** Deliveries that ended without an attempt, as a newer one took their place: no fault of anybody's. */
  addSuperseded(lane: Lane, event: string, count: number): void {
    this.#statistics.add('deliveries', {
      tenantId: lane.hold.tenantId,
      keys: { plugin_id: lane.hold.pluginId, event, error_class: '' },
      counts: SUPERSEDED,
      ms: null,
      times: count,
    })
    this.#log.debug({ tenant_id: lane.hold.tenantId, plugin: lane.target.slug, event, count }, 'superseded')
  }

  /** To be called after a batch: what was sent is counted together. */
  flush(): void {
    if (this.#uncounted > 0) this.#attempts.inc({ outcome: 'sent', error_class: '' }, this.#uncounted)
    this.#uncounted = 0
  }

  #addSent(lane: Lane, outcome: Outcome): void {
    this.counts.sent++
    this.#uncounted++
    if (this.#sentLines.take()) this.#log.info(lineOf(lane, outcome), 'webhook sent')
    else if (this.#log.level === 'debug' || this.#log.level === 'trace') {
      this.#log.debug(lineOf(lane, outcome), 'webhook sent')
    }
  }

  #addFailed(lane: Lane, outcome: Outcome): void {
    const { status, errorClass, reason } = outcome
    if (status === 'retry') this.counts.retried++
    else this.counts.failed++
    this.#attempts.inc({ outcome: status, error_class: errorClass ?? '' })
    this.#log.warn({ ...lineOf(lane, outcome), outcome: status, reason }, 'webhook failed')
  }
}

const SENT = ['attempts', 'sent'] as const
const FIRST_TRY = ['attempts', 'sent', 'first_try'] as const
const RETRIED = ['attempts', 'retried'] as const
const FAILED = ['attempts', 'failed'] as const
const GIVEN_UP = ['failed'] as const
const SUPERSEDED = ['superseded'] as const

function sampleOf(outcome: Outcome): Sample<'deliveries'> {
  const { hold, event, errorClass, attempted, durationMs } = outcome
  return {
    tenantId: hold.tenantId,
    keys: { plugin_id: hold.pluginId, event, error_class: errorClass ?? '' },
    counts: countsOf(outcome),
    ms: attempted ? durationMs : null,
    queueMs: queueMsOf(outcome),
  }
}

/** How long a delivery had waited when its first attempt began: its id says since when. */
function queueMsOf({ attempted, previousAttempts, startedAtMs, deliveryId }: Outcome): number | null {
  return attempted && previousAttempts === 0 ? Math.max(0, startedAtMs - mintedAtMs(deliveryId)) : null
}

function countsOf({ status, attempted, previousAttempts }: Outcome): Sample<'deliveries'>['counts'] {
  if (status === 'sent') return previousAttempts === 0 ? FIRST_TRY : SENT
  if (status === 'retry') return RETRIED
  return attempted ? FAILED : GIVEN_UP
}

function lineOf(lane: Lane, outcome: Outcome): object {
  return {
    tenant_id: lane.target.tenantId,
    delivery_id: outcome.deliveryId,
    plugin: lane.target.slug,
    attempt: outcome.previousAttempts + 1,
    status: outcome.responseStatus,
    error_class: outcome.errorClass,
    duration_ms: outcome.durationMs,
  }
}

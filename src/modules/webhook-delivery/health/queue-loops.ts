import type { FastifyBaseLogger } from 'fastify'
import type pg from 'pg'
import { JobLoop } from '#lib/async/job-loop.ts'
import { type Standing, worstOf } from '#lib/async/pulse.ts'
import { type Cursor, releaseStranded } from '../due/stranded-repository.ts'
import { type QueueWatchContext, watchQueues } from './queue-watch.ts'

/** Processes look at the queues so often, each at times of its own. */
const WATCH_MS = 60_000
/** Deliveries that are set aside of which one look tells whether they wait for something: the next one goes on. */
const LOOKED_AT_MAX = 5_000

export interface QueueLoopsOptions {
  pool: pg.Pool
  watch: QueueWatchContext
  log: Pick<FastifyBaseLogger, 'warn'>
  everyMs?: number
}

/**
 * Looks at the queues of all plugins once a minute: tells of those that are behind, and releases deliveries that are set
 * aside behind nothing. The two are loops of their own: what keeps the one from its work does not keep the other.
 */
export class QueueLoops {
  readonly #watch: JobLoop
  readonly #release: JobLoop

  constructor({ pool, watch, log, everyMs = WATCH_MS }: QueueLoopsOptions) {
    const times = { firstDelayMs: everyMs, intervalMs: () => everyMs * (0.9 + Math.random() / 5) }
    let after: Cursor | null = null
    this.#watch = new JobLoop({
      ...times,
      pass: async () => {
        await watchQueues(watch, { tenantId: null, now: null })
        return 'idle'
      },
      onError: (error) =>
        log.warn({ err: error }, 'not all queues were looked at: the next look is in a minute'),
    })
    this.#release = new JobLoop({
      ...times,
      pass: async () => {
        const { pluginIds, next } = await releaseStranded(pool, { after, limit: LOOKED_AT_MAX })
        after = next
        if (pluginIds.length > 0) watch.signals.publish('deliveries_due', pluginIds)
        return 'idle'
      },
      onError: (error) =>
        log.warn(
          { err: error },
          'deliveries set aside behind nothing were not released: the next look is in a minute',
        ),
    })
  }

  get standing(): Standing {
    return worstOf(this.#watch.standing, this.#release.standing)
  }

  start(): void {
    this.#watch.start()
    this.#release.start()
  }

  async stop(): Promise<void> {
    await Promise.all([this.#watch.stop(), this.#release.stop()])
  }
}

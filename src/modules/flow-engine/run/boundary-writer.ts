import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type pg from 'pg'
import { isPassing } from '#db/errors.ts'
import type { StatsRecorder } from '#infra/statistics/recorder.ts'
import { Batcher } from '#lib/async/batcher.ts'
import { type Boundary, type BoundaryAnswer, commitAlone, commitBoundaries } from './boundary-repository.ts'
import { countEnded } from './execution-stats.ts'

const BATCH_MAX = 200
const FLUSHES = 2
const RETRY_MS = 250
/** Another writer of a boundary's row is done in a moment, but for a matcher's turn. */
const LOCKED_MS = 10

/** Writes boundaries of a process: what many executions want at the same time is one statement. */
export class BoundaryWriter {
  readonly #pool: pg.Pool
  readonly #clock: () => Date | null
  readonly #patienceMs: number
  readonly #batches: Batcher<Boundary, BoundaryAnswer>
  readonly #statistics: StatsRecorder
  readonly #onWritten: (tenantId: string) => void

  /** @param options.patienceMs with Postgres away for a moment a boundary is written a moment later, up to this */
  constructor(
    pool: pg.Pool,
    options: {
      statistics: StatsRecorder
      patienceMs: number
      clock: () => Date | null
      onWritten: (tenantId: string) => void
      log: FastifyBaseLogger
    },
  ) {
    const { statistics, patienceMs, clock, onWritten, log } = options
    this.#pool = pool
    this.#clock = clock
    this.#statistics = statistics
    this.#onWritten = onWritten
    this.#patienceMs = patienceMs
    this.#batches = new Batcher({
      max: BATCH_MAX,
      concurrency: FLUSHES,
      flush: (boundaries) =>
        commitBoundaries(pool, boundaries, clock(), (error) => {
          log.warn({ err: error }, 'boundaries that were not written are tried again')
        }),
      // What Postgres refuses of one must not be in the way of the others, who may be other tenants.
      mayLieInOne: (error) => !isPassing(error),
    })
  }

  async commit(boundary: Boundary): Promise<BoundaryAnswer> {
    const end = performance.now() + this.#patienceMs
    let lockedMs = LOCKED_MS
    for (;;) {
      let pauseMs = RETRY_MS
      try {
        const answer = await this.#write(boundary, performance.now() > end)
        if (!answer.isLocked) {
          this.#onWritten(boundary.tenantId)
          this.#count(boundary, answer)
          return answer
        }
        pauseMs = lockedMs
        lockedMs = Math.min(2 * lockedMs, RETRY_MS)
      } catch (error) {
        if (!isPassing(error) || performance.now() > end) throw error
      }
      await delay(pauseMs)
    }
  }

  /** @param isLast a row that is locked is waited for */
  #write(boundary: Boundary, isLast: boolean): Promise<BoundaryAnswer> {
    return isLast ? commitAlone(this.#pool, boundary, this.#clock()) : this.#batches.add(boundary)
  }

  #count({ tenantId, id, error }: Boundary, { status, ended }: BoundaryAnswer): void {
    if (ended === null || status === null) return
    countEnded(this.#statistics, { tenantId, id, ...ended, status, errorCode: error?.code ?? null })
  }
}

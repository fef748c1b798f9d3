import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import { isPassing } from '#db/errors.ts'
import { Batcher } from '#lib/async/batcher.ts'
import { type Boundary, type BoundaryAnswer, commitBoundaries } from './boundary-repository.ts'

const BATCH_MAX = 200
const FLUSHES = 2
const RETRY_MS = 250

/** Writes boundaries of a process: what many executions want at the same time is one statement. */
export class BoundaryWriter {
  readonly #patienceMs: number
  readonly #batches: Batcher<Boundary, BoundaryAnswer>

  /** @param patienceMs with Postgres away for a moment a boundary is written a moment later, up to this */
  constructor(pool: pg.Pool, patienceMs: number, clock: () => Date | null) {
    this.#patienceMs = patienceMs
    this.#batches = new Batcher({
      max: BATCH_MAX,
      concurrency: FLUSHES,
      flush: (boundaries) => commitBoundaries(pool, boundaries, clock()),
      // What Postgres refuses of one must not be in the way of the others, who may be other tenants.
      mayLieInOne: (error) => !isPassing(error),
    })
  }

  async commit(boundary: Boundary): Promise<BoundaryAnswer> {
    const end = performance.now() + this.#patienceMs
    for (;;) {
      try {
        return await this.#batches.add(boundary)
      } catch (error) {
        if (!isPassing(error) || performance.now() > end) throw error
      }
      await delay(RETRY_MS)
    }
  }
}

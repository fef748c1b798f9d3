import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import { isSerialisationConflict, isUnavailable } from '#db/connection.ts'
import { Batcher } from '#lib/async/batcher.ts'
import { isLockNotAvailable } from '#lib/async/lock-retry.ts'
import { type Boundary, type BoundaryAnswer, commitBoundaries } from './boundary-repository.ts'

const BATCH_MAX = 200
const FLUSHES = 2
const RETRY_MS = 250

type Settled = PromiseSettledResult<BoundaryAnswer>

/** Writes boundaries of a process: what many executions want at the same time is one statement. */
export class BoundaryWriter {
  readonly #pool: pg.Pool
  readonly #patienceMs: number
  readonly #clock: () => Date | null
  readonly #batches: Batcher<Boundary, Settled>

  /** @param patienceMs with Postgres away for a moment a boundary is written a moment later, up to this */
  constructor(pool: pg.Pool, patienceMs: number, clock: () => Date | null) {
    this.#pool = pool
    this.#patienceMs = patienceMs
    this.#clock = clock
    this.#batches = new Batcher({
      max: BATCH_MAX,
      concurrency: FLUSHES,
      flush: (boundaries) => this.#flush(boundaries),
    })
  }

  async commit(boundary: Boundary): Promise<BoundaryAnswer> {
    const end = performance.now() + this.#patienceMs
    for (;;) {
      try {
        const settled = await this.#batches.add(boundary)
        if (settled.status === 'fulfilled') return settled.value
        throw settled.reason
      } catch (error) {
        if (!isPassing(error) || performance.now() > end) throw error
      }
      await delay(RETRY_MS)
    }
  }

  /** What Postgres refuses of one must not be in the way of the others, who may be other tenants. */
  async #flush(boundaries: readonly Boundary[]): Promise<Settled[]> {
    try {
      return await this.#write(boundaries)
    } catch (error) {
      if (boundaries.length === 1 || isPassing(error)) throw error
    }
    const results: Settled[] = []
    for (const boundary of boundaries) {
      const refused = (reason: unknown): Settled[] => [{ status: 'rejected', reason }]
      results.push(...(await this.#write([boundary]).catch(refused)))
    }
    return results
  }

  async #write(boundaries: readonly Boundary[]): Promise<Settled[]> {
    const answers = await commitBoundaries(this.#pool, boundaries, this.#clock())
    return answers.map((value) => ({ status: 'fulfilled', value }))
  }
}

/** A statement or connection that did not come through, through no fault of what it carried. */
export function isPassing(error: unknown): boolean {
  const isCancelled = error instanceof Error && Reflect.get(error, 'code') === '57014'
  return isUnavailable(error) || isSerialisationConflict(error) || isLockNotAvailable(error) || isCancelled
}

import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import type { FastifyBaseLogger } from 'fastify'
import { isUnavailable } from '../../../db/connection.ts'
import type { Lane } from './lane.ts'
import { type LaneUpdate, type Outcome, recordOutcomes } from './lane-repository.ts'

export interface Recorded {
  lane: Lane
  outcome: Outcome
}

/** Outcomes written at once. While one batch is being written the next one gathers. */
const BATCH_MAX = 512
const RETRY_MS = 250

/**
 * Writes outcomes in batches, one at a time and in order. With Postgres away it keeps them for as long as their
 * lanes' leases last; after that they would not count, and the deliveries go out again.
 */
export class OutcomeWriter {
  readonly #pool: pg.Pool
  readonly #log: FastifyBaseLogger
  readonly #now: () => Date | null
  readonly #onRecorded: (recorded: readonly Recorded[], counted: ReadonlySet<string>) => void
  #waiting: Recorded[] = []
  #writing: Promise<void> | null = null

  constructor(options: {
    pool: pg.Pool
    log: FastifyBaseLogger
    /** The clock that tests move; null: the database's. */
    now: () => Date | null
    onRecorded: (recorded: readonly Recorded[], counted: ReadonlySet<string>) => void
  }) {
    this.#pool = options.pool
    this.#log = options.log
    this.#now = options.now
    this.#onRecorded = options.onRecorded
  }

  push(recorded: Recorded): void {
    this.#waiting.push(recorded)
    this.#writing ??= this.#write()
  }

  /** Resolves once everything pushed so far is written or given up. */
  async flushed(): Promise<void> {
    while (this.#writing !== null) await this.#writing
  }

  async #write(): Promise<void> {
    // What finishes in this turn of the event loop travels together.
    await new Promise((resolve) => setImmediate(resolve))
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, BATCH_MAX)
      this.#onRecorded(batch, await this.#record(batch))
    }
    this.#writing = null
  }

  async #record(batch: readonly Recorded[]): Promise<Set<string>> {
    const lanes = new Set(batch.map(({ lane }) => lane))
    const updates = laneUpdates(lanes)
    for (;;) {
      try {
        return await recordOutcomes(
          this.#pool,
          batch.map(({ outcome }) => outcome),
          updates,
          this.#now(),
        )
      } catch (error) {
        const { message, code } = error as Error & { code?: string }
        this.#log.error({ err: { message, code }, outcomes: batch.length }, 'outcomes not written')
        const now = performance.now()
        if (!isUnavailable(error) || ![...lanes].some((lane) => lane.leaseUntil > now)) return new Set()
      }
      await delay(RETRY_MS)
    }
  }
}

function laneUpdates(lanes: Iterable<Lane>): LaneUpdate[] {
  const now = performance.now()
  const updates: LaneUpdate[] = []
  for (const lane of lanes) {
    const update = lane.update(now)
    if (update !== null) updates.push(update)
  }
  return updates
}

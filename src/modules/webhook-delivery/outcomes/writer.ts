import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import type { FastifyBaseLogger } from 'fastify'
import { isPassing } from '#db/errors.ts'
import type { HealthEffect } from '../health/health.ts'
import type { Lane } from '../lanes/lane.ts'
import { type LaneUpdate, type Outcome, recordOutcomes } from './repository.ts'

export interface Recorded {
  lane: Lane
  outcome: Outcome
  /** The effects on the plugin's health, if the outcome counts. */
  effects: readonly (HealthEffect | 'gone')[]
}

/** Outcomes written at once. While one batch is being written the next one gathers. */
const BATCH_MAX = 512
const RETRY_MS = 250
/**
 * Outcomes that may wait before no more attempts begin: what a process that is killed has sent and not recorded goes out again.
 * Without a bound a worker whose database was slower than its plugins had 26,000 of them after 150,000 deliveries
 * (`npm run bench -- --only memory`).
 */
export const UNWRITTEN_MAX = 4_096

/**
 * Writes outcomes in batches, one at a time and in order. With Postgres away it keeps them for as long as their
 * lanes' leases last; after that they would not count, and the deliveries go out again.
 */
export class OutcomeWriter {
  readonly #pool: pg.Pool
  readonly #log: FastifyBaseLogger
  readonly #now: () => Date | null
  readonly #onRecorded: (recorded: readonly Recorded[], lost: ReadonlySet<string>) => void
  #waiting: Recorded[] = []
  #writing: Promise<void> | null = null
  #finishing = false

  constructor(options: {
    pool: pg.Pool
    log: FastifyBaseLogger
    /** The clock that tests move; null: the database's. */
    now: () => Date | null
    /** `lost`: the ids of those deliveries whose outcome did not count. */
    onRecorded: (recorded: readonly Recorded[], lost: ReadonlySet<string>) => void
  }) {
    this.#pool = options.pool
    this.#log = options.log
    this.#now = options.now
    this.#onRecorded = options.onRecorded
  }

  /** Tells that so many outcomes wait that no more attempts are to begin. */
  get isBehind(): boolean {
    return this.#waiting.length >= UNWRITTEN_MAX
  }

  /** Tells that few enough wait for attempts to begin again. */
  get isCaughtUp(): boolean {
    return this.#waiting.length <= UNWRITTEN_MAX / 2
  }

  push(recorded: Recorded): void {
    this.#waiting.push(recorded)
    this.#writing ??= this.#write()
  }

  /** Resolves once everything pushed so far is written. With Postgres away it is given up without waiting. */
  async finish(): Promise<void> {
    this.#finishing = true
    while (this.#writing !== null) await this.#writing
    this.#finishing = false
  }

  async #write(): Promise<void> {
    // What finishes in this turn of the event loop travels together.
    await new Promise((resolve) => setImmediate(resolve))
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, BATCH_MAX)
      this.#onRecorded(batch, await this.#record(batch, laneUpdates(batch)))
    }
    this.#writing = null
  }

  async #record(batch: readonly Recorded[], updates: readonly LaneUpdate[]): Promise<ReadonlySet<string>> {
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
        if (!isPassing(error)) return this.#recordApart(batch, updates)
        const now = performance.now()
        if (this.#finishing || !batch.some(({ lane }) => lane.leaseUntil > now)) return idsOf(batch)
      }
      await delay(RETRY_MS)
    }
  }

  /** Writes by halves until the one that is wrong is alone: it must not cost the others theirs. */
  async #recordApart(
    batch: readonly Recorded[],
    updates: readonly LaneUpdate[],
  ): Promise<ReadonlySet<string>> {
    if (batch.length === 1) return idsOf(batch)
    const lost = new Set<string>()
    const middle = Math.ceil(batch.length / 2)
    for (const half of [batch.slice(0, middle), batch.slice(middle)]) {
      const lanes = new Set(half.map(({ lane }) => lane.id))
      const theirs = updates.filter(({ pluginId }) => lanes.has(pluginId))
      for (const id of await this.#record(half, theirs)) lost.add(id)
    }
    return lost
  }
}

function idsOf(batch: readonly Recorded[]): ReadonlySet<string> {
  return new Set(batch.map(({ outcome }) => outcome.deliveryId))
}

function laneUpdates(batch: readonly Recorded[]): LaneUpdate[] {
  const now = performance.now()
  const updates: LaneUpdate[] = []
  for (const lane of new Set(batch.map((recorded) => recorded.lane))) {
    const update = lane.update(now)
    if (update !== null) updates.push(update)
  }
  return updates
}

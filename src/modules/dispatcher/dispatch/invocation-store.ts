import type { FastifyBaseLogger } from 'fastify'
import type pg from 'pg'
import { isPassing } from '#db/errors.ts'
import { retryWhilePassing } from '#db/retry.ts'
import { Batcher } from '#lib/async/batcher.ts'
import {
  type ClaimAnswer,
  claimInvocations,
  type ClaimRequest,
  confirmLease,
  INVOCATION_LEASE_MS,
  type Lease,
  releaseLeases,
  renewLeases,
} from './claim-repository.ts'
import type { Sample, StatsRecorder } from '#infra/statistics/recorder.ts'
import { flushLog, recordResults, type ResultRecord } from './result-repository.ts'

/** Rows that one statement takes. */
const BATCH_MAX = 200
/**
 * Statements of one kind under way at once. With two the batches are smaller: 392 µs of CPU an action in this process
 * and Postgres instead of 351 (as in planner.ts), and no action is done sooner.
 */
const CONCURRENCY = 1
/** A lease with less than this left is looked at again before anything is done under it. */
const LEASE_MARGIN_MS = 2_000
/** An action was done, and the database is away: how long the process keeps trying to write that down. */
const RECORD_PATIENCE_MS = 10_000

/**
 * Claims and records for all dispatches of this process: what many want at the same time is one statement. Runs on
 * the workers' pool, whose commits do not wait for the disk; `makeDurable` does, before a caller is answered.
 */
export class InvocationStore {
  readonly #pool: pg.Pool
  readonly #log: FastifyBaseLogger
  readonly #statistics: StatsRecorder
  readonly #claims: Batcher<ClaimRequest, ClaimAnswer>
  readonly #results: Batcher<ResultRecord, boolean>
  readonly #barriers: Batcher<null, null>
  /** The leases of this process, and until when on `performance.now()`'s scale each surely holds. */
  readonly #held = new Map<string, { lease: Lease; safeUntil: number }>()
  #renewal: NodeJS.Timeout | null = null

  /** @param pools `durable`: one whose commits wait for the disk */
  constructor(
    pools: { worker: pg.Pool; durable: pg.Pool },
    statistics: StatsRecorder,
    log: FastifyBaseLogger,
  ) {
    this.#pool = pools.worker
    this.#statistics = statistics
    this.#log = log
    const limits = { max: BATCH_MAX, concurrency: CONCURRENCY }
    this.#claims = new Batcher({ ...limits, flush: (wants) => claimInvocations(this.#pool, wants) })
    this.#results = new Batcher({
      ...limits,
      flush: (records) => this.#record(records),
      // What the database refuses of one must not be in the way of the others, who may be other tenants.
      mayLieInOne: (error) => !isPassing(error),
    })
    this.#barriers = new Batcher({
      ...limits,
      flush: async (waiting) => {
        await flushLog(pools.durable)
        return waiting
      },
    })
  }

  /** Keeps what is ours to run until it is recorded or released, for as long as this process lives. */
  async claim(want: ClaimRequest): Promise<ClaimAnswer> {
    const askedAt = performance.now()
    const answer = await this.#claims.add(want)
    if (answer.state === 'run') {
      this.#held.set(nameOf(answer.lease), {
        lease: answer.lease,
        safeUntil: askedAt + INVOCATION_LEASE_MS - LEASE_MARGIN_MS,
      })
      this.#renewal ??= setInterval(() => void this.#renew(), INVOCATION_LEASE_MS / 3)
    }
    return answer
  }

  /** Tells whether an action may be done under this lease now: a process that was frozen may have lost it. */
  async isHeld(lease: Lease): Promise<boolean> {
    const held = this.#held.get(nameOf(lease))
    if (held === undefined) return false
    if (performance.now() < held.safeUntil) return true
    const askedAt = performance.now()
    const ours = await confirmLease(this.#pool, lease)
    if (ours) held.safeUntil = askedAt + INVOCATION_LEASE_MS - LEASE_MARGIN_MS
    else this.#forget(lease)
    return ours
  }

  /** @returns false if the result does not count: the lease was lost, or the plugin has completed it already */
  async record(record: ResultRecord): Promise<boolean> {
    try {
      return await patiently(() => this.#results.add(record))
    } finally {
      if (record.lease !== null) this.#forget(record.lease)
    }
  }

  /** Everything that was recorded before survives a crash of the database server, too. */
  async makeDurable(): Promise<void> {
    await this.#barriers.add(null)
  }

  /** Gives back what was claimed and will not be run here; what was recorded is none of it. */
  async release(leases: readonly Lease[]): Promise<void> {
    const held = leases.filter((lease) => this.#held.has(nameOf(lease)))
    for (const lease of held) this.#forget(lease)
    if (held.length === 0) return
    try {
      await releaseLeases(this.#pool, held)
    } catch (error) {
      this.#log.warn({ err: (error as Error).message }, 'actions not given back: their leases run out')
    }
  }

  stop(): void {
    this.#held.clear()
    this.#stopRenewing()
  }

  async #record(records: readonly ResultRecord[]): Promise<boolean[]> {
    const counted = await recordResults(this.#pool, records)
    for (const [index, record] of records.entries()) {
      if (counted[index] === true) this.#statistics.add('actions', sampleOf(record))
    }
    return counted
  }

  async #renew(): Promise<void> {
    const askedAt = performance.now()
    try {
      const leases = [...this.#held.values()].map(({ lease }) => lease)
      for (const lease of await renewLeases(this.#pool, leases)) {
        const held = this.#held.get(nameOf(lease))
        if (held !== undefined) held.safeUntil = askedAt + INVOCATION_LEASE_MS - LEASE_MARGIN_MS
      }
    } catch (error) {
      this.#log.warn({ err: (error as Error).message }, 'leases of running actions not renewed')
    }
  }

  #forget(lease: Lease): void {
    this.#held.delete(nameOf(lease))
    if (this.#held.size === 0) this.#stopRenewing()
  }

  #stopRenewing(): void {
    if (this.#renewal !== null) clearInterval(this.#renewal)
    this.#renewal = null
  }
}

/** An action was done: with the database away for a moment, that is written down a moment later. */
export async function patiently<T>(write: () => Promise<T>): Promise<T> {
  return retryWhilePassing(RECORD_PATIENCE_MS, write)
}

function nameOf({ id, token }: Lease): string {
  return `${id} ${token}`
}

function sampleOf({
  tenantId,
  actionType,
  plugin,
  errorCode,
  status,
  durationMs,
}: ResultRecord): Sample<'actions'> {
  return {
    tenantId,
    keys: { action: actionType, plugin: plugin ?? '', error_code: errorCode ?? '' },
    counts: [status],
    ms: durationMs,
  }
}

import type { FastifyBaseLogger } from 'fastify'
import type pg from 'pg'
import { Batcher } from '../../lib/batcher.ts'
import {
  type ClaimAnswer,
  claimInvocations,
  type ClaimRequest,
  INVOCATION_LEASE_MS,
  recordResults,
  renewInvocations,
  type ResultRecord,
} from './invocation-repository.ts'

/** Rows that one statement takes. */
const BATCH_MAX = 200
/** Statements of one kind under way at once. */
const CONCURRENCY = 2

interface Held {
  tenantId: string
  id: string
  token: number
}

/**
 * Claims and records for all dispatches of this process: what many want at the same time is one statement. Runs on
 * the workers' pool, whose commits do not wait for the disk: a killed process loses nothing, and after a crash of
 * the database server what it forgot of the last half second is asked for again with the same Idempotency-Key.
 */
export class InvocationStore {
  readonly #pool: pg.Pool
  readonly #log: FastifyBaseLogger
  readonly #claims: Batcher<ClaimRequest, ClaimAnswer>
  readonly #results: Batcher<ResultRecord, boolean>
  readonly #held = new Map<string, Held>()
  #renewal: NodeJS.Timeout | null = null

  constructor(pool: pg.Pool, log: FastifyBaseLogger) {
    this.#pool = pool
    this.#log = log
    this.#claims = new Batcher({
      max: BATCH_MAX,
      concurrency: CONCURRENCY,
      flush: (wants) => claimInvocations(pool, wants),
    })
    this.#results = new Batcher({
      max: BATCH_MAX,
      concurrency: CONCURRENCY,
      flush: (records) => recordResults(pool, records),
    })
  }

  /** What is ours to run stays ours until `record`, for as long as this process lives. */
  async claim(want: ClaimRequest): Promise<ClaimAnswer> {
    const answer = await this.#claims.add(want)
    if (answer.state === 'run') {
      this.#held.set(answer.id, { tenantId: want.tenantId, id: answer.id, token: answer.token })
      this.#renewal ??= setInterval(() => this.#renew(), INVOCATION_LEASE_MS / 3)
    }
    return answer
  }

  /** @returns false if somebody else had taken the action over meanwhile */
  async record(record: ResultRecord): Promise<boolean> {
    try {
      return await this.#results.add(record)
    } finally {
      if (record.invocationId !== null) this.#held.delete(record.invocationId)
      if (this.#held.size === 0) this.stop()
    }
  }

  stop(): void {
    if (this.#renewal !== null) clearInterval(this.#renewal)
    this.#renewal = null
  }

  #renew(): void {
    renewInvocations(this.#pool, [...this.#held.values()]).catch((error: unknown) => {
      this.#log.warn({ err: (error as Error).message }, 'leases of running actions not renewed')
    })
  }
}

import type { FastifyBaseLogger } from 'fastify'
import type pg from 'pg'
import { now } from '#lib/clock.ts'
import { classOf, emptyHistogram, mergeInto } from '#lib/histogram.ts'
import { type CountOf, type KeysOf, STATS, STATS_KINDS, type StatsKind } from './tables.ts'
import { addRows, type StatsRow } from './write-repository.ts'

const FLUSH_MS = 5_000
const MINUTE_MS = 60_000
/** With Postgres away sums are kept up to so many rows; beyond them statistics are lost, not memory. */
const ROWS_MAX = 50_000
/** Rows a statement. */
const BATCH_MAX = 2_000

/** The addition of one delivery, execution or action. */
export interface Sample<Kind extends StatsKind> {
  tenantId: string
  keys: KeysOf<Kind>
  counts: readonly CountOf<Kind>[]
  /** The time that it took; null: it took no time of anybody's. */
  ms: number | null
  /** The time for which it had waited when it began; left out or null: that is not told. */
  queueMs?: number | null
  /** Its count. Left out: one. */
  times?: number
}

/**
 * Adds up what happens in memory, and the sums to the tables every 5 s: one statement whatever has happened. A process
 * that is killed loses 5 s of statistics at most. Several processes add to the same rows, in the order of their keys.
 */
export class StatsRecorder {
  readonly #pool: pg.Pool
  readonly #log: FastifyBaseLogger
  readonly #rows = Object.fromEntries(STATS_KINDS.map((kind) => [kind, new Map()])) as Record<
    StatsKind,
    Map<string, StatsRow>
  >
  #timer: NodeJS.Timeout | null = null
  #closed = false
  /** Samples and rows that were lost since the last flush, as there were too many rows. */
  #lost = 0
  #flushing: Promise<void> = Promise.resolve()

  constructor(pool: pg.Pool, log: FastifyBaseLogger) {
    this.#pool = pool
    this.#log = log
  }

  add<Kind extends StatsKind>(
    kind: Kind,
    { tenantId, keys, counts, ms, queueMs = null, times = 1 }: Sample<Kind>,
  ): void {
    const { borders, queueBorders } = STATS[kind]
    const minute = Math.floor(now() / MINUTE_MS) * 60
    let id = `${minute} ${tenantId}`
    for (const name in keys) id += ` ${keys[name as keyof typeof keys]}`
    const rows = this.#rows[kind]
    let row = rows.get(id)
    if (row === undefined) {
      if (rows.size >= ROWS_MAX) {
        this.#lost++
        return
      }
      row = { tenantId, minute, keys: { ...keys }, counts: {}, latency: emptyHistogram() }
      if (queueBorders !== null) row.queueAge = emptyHistogram()
      rows.set(id, row)
    }
    for (const count of counts) row.counts[count] = (row.counts[count] ?? 0) + times
    if (ms !== null) {
      const index = classOf(borders, ms)
      row.latency[index] = (row.latency[index] ?? 0) + times
    }
    if (queueMs !== null && queueBorders !== null && row.queueAge !== undefined) {
      const index = classOf(queueBorders, queueMs)
      row.queueAge[index] = (row.queueAge[index] ?? 0) + times
    }
    this.#flushLater()
  }

  /** Writes the sums so far. Never throws: sums that could not be written are tried again with the next ones. */
  async flush(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    const flushing = this.#flushing.then(() => this.#write())
    this.#flushing = flushing
    await flushing
  }

  /** Writes the sums once: those that cannot be written now are lost. */
  async close(): Promise<void> {
    this.#closed = true
    await this.flush()
  }

  #flushLater(): void {
    if (!this.#closed) this.#timer ??= setTimeout(() => void this.flush(), FLUSH_MS).unref()
  }

  async #write(): Promise<void> {
    if (this.#lost > 0) {
      this.#log.warn(
        { samples: this.#lost },
        'statistics lost: there were too many rows that are not written',
      )
      this.#lost = 0
    }
    for (const kind of STATS_KINDS) {
      const rows = [...this.#rows[kind]]
      this.#rows[kind].clear()
      for (let from = 0; from < rows.length; from += BATCH_MAX) {
        const batch = rows.slice(from, from + BATCH_MAX)
        try {
          await addRows(
            this.#pool,
            STATS[kind],
            batch.map(([, row]) => row),
          )
        } catch (error) {
          this.#log.warn({ err: (error as Error).message, rows: batch.length }, 'statistics not written yet')
          this.#keep(kind, rows.slice(from))
          break
        }
      }
    }
  }

  #keep(kind: StatsKind, unwritten: readonly [string, StatsRow][]): void {
    const rows = this.#rows[kind]
    for (const [id, row] of unwritten) {
      const meanwhile = rows.get(id)
      if (meanwhile === undefined) {
        if (rows.size < ROWS_MAX) rows.set(id, row)
        else this.#lost++
        continue
      }
      for (const [name, count] of Object.entries(row.counts)) {
        meanwhile.counts[name] = (meanwhile.counts[name] ?? 0) + count
      }
      mergeInto(meanwhile.latency, row.latency)
      if (meanwhile.queueAge !== undefined && row.queueAge !== undefined) {
        mergeInto(meanwhile.queueAge, row.queueAge)
      }
    }
    this.#flushLater()
  }
}

import type { FastifyBaseLogger } from 'fastify'
import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import { selectLiveKeys } from '#infra/auth/repository.ts'
import { JobLoop } from '#lib/async/job-loop.ts'
import { EventStream } from './event-stream.ts'
import { type ExecutionRow, isActive, selectWatched } from '../read/repository.ts'
import { selectSteps } from '../read/step-repository.ts'
import { toExecution, toStep } from '../read/view.ts'

export interface StreamLimits {
  /** How often all watched executions are looked at, together, by one statement. */
  pollMs: number
  /** Proxies cut connections off that are silent for longer, 60 s being usual. */
  beatMs: number
  /** A reader that takes nothing for so long is cut off. */
  stallMs: number
  /** How often keys are looked up: a stream outlives its key by no more than this and one look. */
  keyCheckMs: number
  /** Then the client comes back. */
  maxMs: number
  perTenant: number
  /** When all places are taken, who has most gives way to who has fewer. */
  perProcess: number
}

const STREAM_LIMITS: StreamLimits = {
  pollMs: 500,
  beatMs: 15_000,
  stallMs: 60_000,
  keyCheckMs: 1_000,
  maxMs: 10 * 60_000,
  perTenant: 20,
  perProcess: 500,
}

/** Signals may come by the hundred in a second. */
const HINT_MS = 50
const CLIENT_RETRY_MS = 2_000
/** Steps that are read at a time for one stream; a single one may be as large as it likes. */
const PAGE = 50
const PAGE_MAX_BYTES = 256 * 1024
/** The id of the last event: who comes back with it has seen everything. */
export const END_ID = 'end'

interface Watcher {
  tenantId: string
  /** Null: who follows has no key that could end. */
  keyId: string | null
  executionId: string
  stream: EventStream
  /** Number of the next step to send. */
  next: number
  /** Of the status that was sent last. */
  seen: string
  openedAt: number
  /** When there was room last. */
  roomAt: number
}

/**
 * The open streams of a process. All of them share one poller: what has changed is read, for each stream as fast as
 * its reader takes it. A stream ends when its execution has ended, when it is old, and before the server closes.
 */
export class ExecutionStreams {
  readonly #db: Kysely<DB>
  readonly #limits: StreamLimits
  readonly #watchers = new Set<Watcher>()
  readonly #loop: JobLoop
  #hintTimer: NodeJS.Timeout | null = null
  #beatTimer: NodeJS.Timeout | null = null
  #closed = false
  #keysCheckedAt = -Infinity

  constructor(options: { db: Kysely<DB>; log: FastifyBaseLogger; limits?: Partial<StreamLimits> }) {
    this.#db = options.db
    this.#limits = { ...STREAM_LIMITS, ...options.limits }
    this.#loop = new JobLoop({
      pass: () => this.#pass(),
      intervalMs: () => this.#limits.pollMs,
      onError: (error) => options.log.warn({ err: (error as Error).message }, 'streams: will look again'),
    })
  }

  get size(): number {
    return this.#watchers.size
  }

  /**
   * @param keyId the key that it is opened by, and ends with
   * @param from number of the first step to send
   * @returns null: there are too many
   */
  open(tenantId: string, keyId: string | null, executionId: string, from: number): EventStream | null {
    if (!this.#closed && !this.#findPlace(tenantId)) return null
    const stream = new EventStream(() => this.#hint())
    stream.announceRetry(CLIENT_RETRY_MS)
    if (this.#closed) {
      stream.finish()
      return stream
    }
    const now = performance.now()
    const watcher = { tenantId, keyId, executionId, stream, next: from, seen: '', openedAt: now, roomAt: now }
    this.#watchers.add(watcher)
    stream.once('close', () => this.#remove(watcher))
    this.#beatTimer ??= setInterval(() => this.#beat(), this.#limits.beatMs)
    this.#loop.start()
    this.#hint()
    return stream
  }

  /** Something may have happened; no names: anywhere. */
  look(tenantIds: readonly string[]): void {
    if (tenantIds.length === 0 || [...this.#watchers].some(({ tenantId }) => tenantIds.includes(tenantId))) {
      this.#hint()
    }
  }

  /** Keys may have ended. */
  checkKeys(): void {
    this.#keysCheckedAt = -Infinity
    this.#hint()
  }

  /** Ends all streams. Who does not read is cut off, or the server would wait for it. */
  async close(): Promise<void> {
    this.#closed = true
    for (const watcher of this.#watchers) this.#cutOff(watcher)
    if (this.#hintTimer !== null) clearTimeout(this.#hintTimer)
    if (this.#beatTimer !== null) clearInterval(this.#beatTimer)
    await this.#loop.stop()
  }

  #findPlace(tenantId: string): boolean {
    const { perTenant, perProcess } = this.#limits
    const own = this.#watchersOf(tenantId).length
    if (own >= perTenant) return false
    if (this.#watchers.size < perProcess) return true
    const tenants = new Set([...this.#watchers].map((watcher) => watcher.tenantId))
    const [most = []] = [...tenants]
      .map((each) => this.#watchersOf(each))
      .sort((one, other) => other.length - one.length)
    const [oldest] = most
    // Else they would take the place from each other.
    if (oldest === undefined || most.length <= own + 1) return false
    this.#cutOff(oldest)
    return true
  }

  /** The oldest first. */
  #watchersOf(tenantId: string): Watcher[] {
    return [...this.#watchers].filter((watcher) => watcher.tenantId === tenantId)
  }

  #hint(): void {
    if (this.#closed || this.#watchers.size === 0) return
    this.#hintTimer ??= setTimeout(() => {
      this.#hintTimer = null
      this.#loop.wake()
    }, HINT_MS)
  }

  async #pass(): Promise<'idle'> {
    await this.#endWithKeys()
    const ready = [...this.#watchers].filter(({ stream }) => stream.hasCapacity)
    if (ready.length === 0) return 'idle'
    const rows = await selectWatched(this.#db, ready)
    const byId = new Map(rows.map((row) => [row.id, row]))
    for (const watcher of ready) {
      const row = byId.get(watcher.executionId)
      // Its time to be kept may be over.
      if (row === undefined) this.#end(watcher)
      else await this.#serve(watcher, row)
    }
    return 'idle'
  }

  /** Ends what was opened by a key that is no more; one that reads nothing is cut off. */
  async #endWithKeys(): Promise<void> {
    const keyIds = new Set([...this.#watchers].flatMap(({ keyId }) => keyId ?? []))
    const now = performance.now()
    if (keyIds.size === 0 || now - this.#keysCheckedAt < this.#limits.keyCheckMs) return
    this.#keysCheckedAt = now
    const live = await selectLiveKeys(this.#db, [...keyIds])
    for (const watcher of this.#watchers) {
      const { keyId } = watcher
      // One that was opened meanwhile is looked up next time.
      if (keyId !== null && keyIds.has(keyId) && !live.has(keyId)) this.#cutOff(watcher)
    }
  }

  async #serve(watcher: Watcher, row: ExecutionRow): Promise<void> {
    const { stream, tenantId, executionId } = watcher
    while (watcher.next < row.step_count && stream.hasCapacity) {
      const page = { from: watcher.next, limit: PAGE, maxBytes: PAGE_MAX_BYTES }
      const steps = await selectSteps(this.#db, tenantId, executionId, page)
      if (steps.length === 0) watcher.next = row.step_count
      for (const step of steps) {
        watcher.next = step.number + 1
        stream.send({ event: 'step', id: String(watcher.next), data: toStep(step, row.carried_steps) })
      }
    }
    if (watcher.next < row.step_count) return
    const seen = JSON.stringify([row.status, row.reason, row.cancel_reason])
    if (seen !== watcher.seen) {
      stream.send({ event: 'status', id: String(watcher.next), data: toExecution(row) })
      watcher.seen = seen
    }
    if (isActive(row.status)) return
    stream.send({ event: 'end', id: END_ID, data: { status: row.status } })
    this.#end(watcher)
  }

  #beat(): void {
    const now = performance.now()
    for (const watcher of this.#watchers) {
      const { stream, openedAt } = watcher
      if (stream.hasCapacity) {
        watcher.roomAt = now
        stream.beat()
        if (now - openedAt > this.#limits.maxMs) this.#end(watcher)
      } else if (now - watcher.roomAt > this.#limits.stallMs) stream.destroy()
    }
  }

  /** Ends a stream at once: what waits for a reader that takes nothing is dropped. */
  #cutOff(watcher: Watcher): void {
    if (watcher.stream.hasCapacity) {
      this.#end(watcher)
      return
    }
    watcher.stream.destroy()
    this.#remove(watcher)
  }

  #end(watcher: Watcher): void {
    watcher.stream.finish()
    this.#remove(watcher)
  }

  #remove(watcher: Watcher): void {
    this.#watchers.delete(watcher)
    if (this.#watchers.size > 0 || this.#beatTimer === null) return
    clearInterval(this.#beatTimer)
    this.#beatTimer = null
  }
}

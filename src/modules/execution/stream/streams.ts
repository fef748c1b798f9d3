import type { FastifyBaseLogger } from 'fastify'
import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { Actor } from '#infra/auth/auth.ts'
import type { SessionGround } from '#infra/auth/session-repository.ts'
import type { EventStream } from '#infra/http/event-stream.ts'
import { type OpenStream, OpenStreams, STREAM_LIMITS, type StreamLimits } from '#infra/http/open-streams.ts'
import type { Signals } from '#infra/signals.ts'
import { JobLoop } from '#lib/async/job-loop.ts'
import { readStepStart, type StepStart } from '#modules/flow-engine/index.ts'
import { type ExecutionRow, isActive, selectWatched } from '../read/repository.ts'
import { toExecutions } from '../read/service.ts'
import { selectSteps } from '../read/step-repository.ts'
import { toStep, toStepStarted } from '../read/view.ts'

export interface ExecutionStreamLimits extends StreamLimits {
  /** Time between two looks at all watched executions, together, by one statement. */
  pollMs: number
}

const EXECUTION_STREAM_LIMITS: ExecutionStreamLimits = { ...STREAM_LIMITS, pollMs: 500 }

/** Signals may come by the hundred in a second. */
const HINT_MS = 50
/** Time between two announcements of executions that are followed here, so many at a time: all of them within 20 s. */
const ANNOUNCE_MS = 5_000
const ANNOUNCED_MAX = 150
/** Steps that are read at a time for one stream; a single one may be as large as it likes. */
const PAGE = 50
const PAGE_MAX_BYTES = 256 * 1024
/** The id of the last event: who comes back with it has seen everything. */
export const END_ID = 'end'

interface Watched {
  executionId: string
  /** Number of the next step to send. */
  next: number
  /** Of the status that was sent last. */
  seen: string
  /** Steps that have begun, by iteration, and are to be told once all is told that was done before. */
  starts: Map<string, StepStart>
}

/**
 * The streams of executions that a process has open. All of them share one poller: what has changed is read, for each
 * stream as fast as its reader takes it. A stream ends when its execution has ended.
 */
export class ExecutionStreams {
  readonly #db: Kysely<DB>
  readonly #open: OpenStreams<Watched>
  readonly #loop: JobLoop
  readonly #signals: Pick<Signals, 'publish'>
  #announceTimer: NodeJS.Timeout | null = null
  /** Number of the open ones that were announced in this round. */
  #announced = 0
  #hintTimer: NodeJS.Timeout | null = null
  #closed = false

  constructor(options: {
    db: Kysely<DB>
    ground: SessionGround
    signals: Pick<Signals, 'publish'>
    log: FastifyBaseLogger
    limits?: Partial<ExecutionStreamLimits>
  }) {
    const { db, ground, signals, log } = options
    const limits = { ...EXECUTION_STREAM_LIMITS, ...options.limits }
    this.#db = db
    this.#signals = signals
    this.#open = new OpenStreams({ db, ground, log, limits, onCapacity: () => this.#hint() })
    this.#loop = new JobLoop({
      pass: () => this.#pass(),
      intervalMs: () => limits.pollMs,
      onError: (error) => log.warn({ err: (error as Error).message }, 'streams: will look again'),
    })
  }

  get size(): number {
    return this.#open.size
  }

  /**
   * @param by its key and session, with which it ends
   * @param from number of the first step to send
   * @returns null: there are too many
   */
  open(
    tenantId: string,
    by: Pick<Actor, 'id' | 'session' | 'pluginId'>,
    executionId: string,
    from: number,
  ): EventStream | null {
    const opened = this.#open.open(tenantId, by, { executionId, next: from, seen: '', starts: new Map() })
    if (opened === null) return null
    if (this.#open.has(opened)) {
      this.#loop.start()
      this.#hint()
      this.#signals.publish('execution_followed', [executionId])
      this.#announceTimer ??= setInterval(() => this.#announce(), ANNOUNCE_MS)
    }
    return opened.stream
  }

  /** Something may have happened; no names: anywhere. */
  look(tenantIds: readonly string[]): void {
    if (tenantIds.length === 0 || [...this.#open].some(({ tenantId }) => tenantIds.includes(tenantId))) {
      this.#hint()
    }
  }

  /** Steps have begun, of executions that somebody follows. @param names of signals; none: they were lost */
  begin(names: readonly string[]): void {
    if (this.#open.size === 0) return
    for (const start of names.map(readStepStart)) {
      for (const open of this.#open) {
        if (open.kept.executionId !== start.executionId) continue
        open.kept.starts.set(start.iteration, start)
        // Before the first status it is served soon.
        if (open.kept.seen !== '') tellStarts(open)
      }
    }
  }

  /** Keys or sessions may have ended. */
  checkKeys(): void {
    this.#open.forgetKeyCheck()
    this.#hint()
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#open.close()
    if (this.#hintTimer !== null) clearTimeout(this.#hintTimer)
    if (this.#announceTimer !== null) clearInterval(this.#announceTimer)
    await this.#loop.stop()
  }

  #hint(): void {
    if (this.#closed || this.#open.size === 0) return
    this.#hintTimer ??= setTimeout(() => {
      this.#hintTimer = null
      this.#loop.wake()
    }, HINT_MS)
  }

  #announce(): void {
    const ids = [...this.#open].map(({ kept }) => kept.executionId)
    if (ids.length === 0 && this.#announceTimer !== null) {
      clearInterval(this.#announceTimer)
      this.#announceTimer = null
      return
    }
    if (this.#announced >= ids.length) this.#announced = 0
    const next = ids.slice(this.#announced, this.#announced + ANNOUNCED_MAX)
    this.#announced += next.length
    this.#signals.publish('execution_followed', new Set(next))
  }

  async #pass(): Promise<'idle'> {
    await this.#open.endWithKeys()
    const ready = [...this.#open].filter(({ stream }) => stream.hasCapacity)
    if (ready.length === 0) return 'idle'
    const asked = ready.map(({ tenantId, kept }) => ({ tenantId, executionId: kept.executionId }))
    const rows = await selectWatched(this.#db, asked)
    const byId = new Map(rows.map((row) => [row.id, row]))
    for (const each of ready) {
      const row = byId.get(each.kept.executionId)
      // Its time to be kept may be over.
      if (row === undefined) this.#open.end(each)
      else await this.#serve(each, row)
    }
    return 'idle'
  }

  async #serve(open: OpenStream<Watched>, row: ExecutionRow): Promise<void> {
    const { stream, tenantId, kept } = open
    while (kept.next < row.step_count && stream.hasCapacity) {
      const page = { from: kept.next, limit: PAGE, maxBytes: PAGE_MAX_BYTES }
      const steps = await selectSteps(this.#db, tenantId, kept.executionId, page)
      if (steps.length === 0) kept.next = row.step_count
      for (const step of steps) {
        kept.next = step.number + 1
        stream.send({ event: 'step', id: String(kept.next), data: toStep(step, row.carried_steps) })
        if (kept.starts.get(step.iteration)?.stepId === step.step_id) kept.starts.delete(step.iteration)
      }
    }
    if (kept.next < row.step_count) return
    const seen = JSON.stringify([row.status, row.reason, row.cancel_reason])
    if (seen !== kept.seen) {
      const [data] = await toExecutions(this.#db, tenantId, [row])
      stream.send({ event: 'status', id: String(kept.next), data })
      kept.seen = seen
    }
    tellStarts(open)
    if (isActive(row.status)) return
    stream.send({ event: 'end', id: END_ID, data: { status: row.status } })
    this.#open.end(open)
  }
}

/** Tells which steps have started. Nothing of it has an id: whoever comes back is told where it stands then. */
function tellStarts({ stream, kept }: OpenStream<Watched>): void {
  for (const [iteration, start] of kept.starts) {
    if (!stream.hasCapacity) return
    kept.starts.delete(iteration)
    stream.send({ event: 'step_started', data: toStepStarted(start) })
  }
}

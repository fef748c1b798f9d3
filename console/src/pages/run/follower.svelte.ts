import { api, ask, readJson, type Schema } from '../../api/client.ts'
import { type ApiProblem, toProblem } from '../../api/problem.ts'
import { followStream, pause, REFUSED_MS, type StreamState, tryAgainNow } from '../../api/follow-stream.ts'
import type { ServerEvent } from '../../api/server-events.ts'
import type { RunDetail, RunStep, StepStarted } from './types.ts'

type LiveState = StreamState['is'] | 'paused' | 'ended'

/** What comes by the hundred in a second is shown some times in a second. */
const GATHER_MS = 80
/** How often what is waited for is asked at most. */
const WAITS_MS = 1_000
/** How often a run is read that waits behind another: nothing of its own tells how that one fares. */
const HELD_MS = 5_000
const ACTIVE = ['queued', 'running', 'waiting']

/**
 * One run with its steps, followed until it has ended: it comes back where it was after a break, so that no step is
 * missing and none comes twice.
 */
export class RunFollower {
  run = $state.raw<RunDetail | null>(null)
  steps = $state.raw<readonly RunStep[]>([])
  /** The steps that it is at, by iteration, as the stream told them. */
  starts = $state.raw<ReadonlyMap<string, StepStarted>>(new Map())
  error = $state.raw<ApiProblem | null>(null)
  live = $state<LiveState>('connecting')
  /** Offline: when the next try is, in milliseconds since 1970. */
  retryAt = $state(0)
  readonly #id: string
  #connection: AbortController | null = null
  #gathered: RunStep[] = []
  #gatherTimer: ReturnType<typeof setTimeout> | null = null
  #heldTimer: ReturnType<typeof setTimeout> | null = null
  #isClosed = false
  #mustSeeWaits = false
  #isSeeingWaits = false

  constructor(id: string) {
    this.#id = id
  }

  /** Reads all of it, and follows what has not ended. */
  async open(): Promise<void> {
    document.addEventListener('visibilitychange', this.#seeVisibility)
    await this.load()
  }

  close(): void {
    this.#isClosed = true
    document.removeEventListener('visibilitychange', this.#seeVisibility)
    this.#disconnect()
    if (this.#gatherTimer !== null) clearTimeout(this.#gatherTimer)
    if (this.#heldTimer !== null) clearTimeout(this.#heldTimer)
  }

  async load(): Promise<void> {
    this.error = null
    try {
      await this.#read()
    } catch (error) {
      this.error = toProblem(error)
      return
    }
    this.#goOn()
  }

  pause(): void {
    this.live = 'paused'
    this.#disconnect()
  }

  resume(): void {
    this.live = 'connecting'
    void this.load()
  }

  get #isActive(): boolean {
    return this.run !== null && ACTIVE.includes(this.run.status)
  }

  #goOn(): void {
    if (this.#isClosed || this.live === 'paused') return
    if (!this.#isActive) {
      this.live = 'ended'
      this.#disconnect()
    } else if (this.#connection === null) void this.#follow()
  }

  async #read(): Promise<void> {
    const steps: RunStep[] = []
    let cursor: string | null = null
    do {
      const query: { cursor?: string } = cursor === null ? {} : { cursor }
      const { steps: page, next_cursor: next, ...run } = await this.#ask(query)
      steps.push(...page)
      if (cursor === null) this.run = run
      cursor = next
      // A long one is shown while the rest of it comes.
      if (this.steps.length < steps.length) this.steps = [...steps]
    } while (cursor !== null)
    // What the stream brought meanwhile is more than what was read.
    if (steps.length < this.#next) return
    this.#gathered = []
    this.steps = steps
  }

  async #ask(query: { limit?: number; cursor?: string }): Promise<Schema['ExecutionDetail']> {
    const params = { path: { id: this.#id }, query }
    return ask(api.GET('/api/automation/executions/{id}', { params }))
  }

  async #follow(): Promise<void> {
    this.starts = new Map()
    const connection = new AbortController()
    this.#connection = connection
    await followStream(
      {
        path: `/api/automation/executions/${encodeURIComponent(this.#id)}/stream`,
        headers: () => ({ 'last-event-id': String(this.#next) }),
        onState: (state) => this.#see(state, connection.signal),
        onEvent: (event) => this.#take(event),
        // Too many follow, or the service is busy: what it has is read instead.
        onRefused: async () => {
          await this.#read()
          if (this.#isActive) await pause(REFUSED_MS, connection.signal)
          return !this.#isActive
        },
      },
      connection.signal,
    )
    if (connection.signal.aborted) return
    this.#connection = null
    await this.load()
  }

  #see(state: StreamState, { aborted: isOver }: AbortSignal): void {
    if (isOver) return
    this.live = state.is
    if (state.is === 'offline') this.retryAt = state.retryAt
    if (state.is === 'live') void this.#seeWaits()
  }

  /** Ends the pause before the next try to connect. */
  tryNow(): void {
    tryAgainNow()
  }

  get #next(): number {
    return Math.max(this.steps.at(-1)?.number ?? -1, this.#gathered.at(-1)?.number ?? -1) + 1
  }

  #take({ event, data }: ServerEvent): boolean {
    if (event === 'end') {
      this.#flush()
      return true
    }
    if (event === 'step') {
      const step = readJson(data) as RunStep
      if (step.number >= this.#next) this.#gathered.push(step)
    } else if (event === 'step_started') {
      const start = readJson(data) as StepStarted
      this.starts = new Map(this.starts).set(start.iteration, start)
      return false
    } else if (event === 'status' && this.run !== null) {
      this.run = { ...this.run, ...(readJson(data) as Partial<RunDetail>) }
      if (this.run.status !== 'running') this.starts = new Map()
    }
    this.#gatherTimer ??= setTimeout(() => {
      this.#flush()
      void this.#seeWaits()
    }, GATHER_MS)
    return false
  }

  #flush(): void {
    if (this.#gatherTimer !== null) clearTimeout(this.#gatherTimer)
    this.#gatherTimer = null
    if (this.#gathered.length === 0) return
    this.steps = [...this.steps, ...this.#gathered]
    this.#gathered = []
  }

  /** The stream does not tell what is waited for. One question at a time, and one more if there was a change meanwhile. */
  async #seeWaits(): Promise<void> {
    this.#mustSeeWaits = true
    if (this.#isSeeingWaits) return
    this.#isSeeingWaits = true
    while (this.#mustSeeWaits && !this.#isClosed) {
      this.#mustSeeWaits = false
      try {
        const found = await this.#ask({ limit: 1 })
        if (this.#isActive) this.run = found
      } catch {
        // The next change asks again.
      }
      await new Promise((resolve) => setTimeout(resolve, WAITS_MS))
    }
    this.#isSeeingWaits = false
    this.#seeHeld()
  }

  #seeHeld(): void {
    if (this.#heldTimer !== null) clearTimeout(this.#heldTimer)
    this.#heldTimer = null
    if (this.#isClosed || this.live !== 'live' || this.run?.held_back == null) return
    this.#heldTimer = setTimeout(() => void this.#seeWaits(), HELD_MS)
  }

  #disconnect(): void {
    this.#connection?.abort()
    this.#connection = null
  }

  /** Browsers have six connections to a service: a page that nobody sees gives its own back. */
  readonly #seeVisibility = (): void => {
    if (document.hidden) this.#disconnect()
    else if (this.live !== 'paused' && this.live !== 'ended') void this.load()
  }
}

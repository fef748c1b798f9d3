import fp from 'fastify-plugin'
import { Gauge } from 'prom-client'
import type { Standing } from '#lib/async/pulse.ts'
import { withTimeout } from '#lib/async/timeout.ts'

/** Work that goes on without requests. */
export interface BackgroundPart {
  /** Its name in readiness and in `bcs_background_up{name}`. */
  name: string
  /** Called once the app is ready, where the part runs: subscriptions to signals belong here. */
  start(): void | Promise<void>
  /** Takes nothing more and resolves when what is under way has ended. Tolerates never having been started. */
  stop(): Promise<void>
  /** Tells how it stands in this process, from memory: asking is to cost nothing. */
  probe(): Standing
  /**
   * The effect of a stuck part on readiness. `failed`: the process is not ready. `warning`: its work can wait, and
   * requests are as well off here as elsewhere.
   */
  whenStuck: 'failed' | 'warning'
  /** True for work that each process does for itself: it runs in processes of every role. Default: those with the role worker. */
  everywhere?: true
  /** Replaces STUCK_AFTER_SECONDS for work of which one pass takes longer. */
  stuckAfterMs?: number
  /** Work that processes share. */
  queue?: {
    /** In the plural: `Due executions`. */
    what: string
    /** Reads for how long the oldest that nobody has taken has been waiting. */
    waitingSeconds(): Promise<number>
  }
  /** Says in a sentence what somebody has to see to, of all processes; null: nothing. It is a warning. */
  trouble?(): Promise<string | null>
}

export interface PartState {
  status: 'ok' | 'warning' | 'failed'
  /** One sentence for the operator. */
  detail: string
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Hands in work for the background: when it runs, when it ends and how it stands is seen to here. */
    background(part: BackgroundPart): void
    /** Returns the state of each part, by name; parts of which this process knows nothing are left out. */
    backgroundState(): Promise<Record<string, PartState>>
  }
}

/** Shared work that nobody took for so long: workers are missing, stuck or far too few. */
const WAITING_WARNING_SECONDS = 60
const QUEUE_TIMEOUT_MS = 1_000

/**
 * The supervisor of all that runs without being asked: parts run in processes with the role worker, or everywhere, start
 * one after the other when the app is ready, and are drained together before it closes.
 *
 * A part is stuck in this process when its work has come no further, or has only failed, for `stuckAfterMs`. Shared work
 * that waits is a warning only: a backlog is no reason to take a process that works it off out of service, nor one
 * that only answers requests.
 */
export default fp(
  async (app, options: { runs: boolean; stuckAfterMs: number }) => {
    const parts: BackgroundPart[] = []
    const running = new Set<BackgroundPart>()
    const stuckFor = (part: BackgroundPart): { ms: number; isFailing: boolean } | null => {
      const { busyMs, failingMs } = part.probe()
      const ms = Math.max(busyMs, failingMs)
      return ms > (part.stuckAfterMs ?? options.stuckAfterMs) ? { ms, isFailing: failingMs >= busyMs } : null
    }

    app.decorate('background', (part: BackgroundPart) => {
      if (parts.some(({ name }) => name === part.name))
        throw new Error(`background has two parts ${part.name}`)
      parts.push(part)
    })
    app.addHook('onReady', async () => {
      for (const part of parts) {
        if (!options.runs && part.everywhere !== true) continue
        running.add(part)
        await part.start()
      }
    })
    app.addHook('preClose', async () => {
      const stopping = [...running]
      running.clear()
      const ends = await Promise.allSettled(stopping.map((part) => part.stop()))
      for (const end of ends) if (end.status === 'rejected') throw end.reason
    })

    const stateOf = async (part: BackgroundPart): Promise<PartState | null> => {
      const isHere = running.has(part)
      const stuck = isHere ? stuckFor(part) : null
      if (stuck !== null) {
        const seconds = Math.round(stuck.ms / 1_000)
        const detail = stuck.isFailing
          ? `Stuck: every try has failed for ${seconds} s.`
          : `Stuck: it has come no further for ${seconds} s.`
        return { status: part.whenStuck, detail }
      }
      if (part.queue === undefined) return isHere ? { status: 'ok', detail: 'It goes on.' } : null
      try {
        const seconds = await withTimeout(part.queue.waitingSeconds(), QUEUE_TIMEOUT_MS)
        if (seconds > WAITING_WARNING_SECONDS) {
          const where = isHere
            ? 'This process is a worker, too.'
            : 'This process is not a worker: is one running?'
          const detail = `${part.queue.what} have been waiting for ${Math.round(seconds)} s. ${where}`
          return { status: 'warning', detail }
        }
        const trouble = await withTimeout(part.trouble?.() ?? Promise.resolve(null), QUEUE_TIMEOUT_MS)
        if (trouble !== null) return { status: 'warning', detail: trouble }
      } catch (error) {
        app.log.warn({ err: error, name: part.name }, 'readiness: the queue could not be read')
        return { status: 'warning', detail: 'Its queue could not be read in time.' }
      }
      return { status: 'ok', detail: `${part.queue.what} are being taken.` }
    }
    app.decorate('backgroundState', async () => {
      const states: Record<string, PartState> = {}
      // One after the other: health is not to take all of the requests' connections.
      for (const part of parts) {
        const state = await stateOf(part)
        if (state !== null) states[part.name] = state
      }
      return states
    })

    new Gauge({
      name: 'bcs_background_up',
      help: 'Background work that this process runs: 1 while it goes on, 0 while it is stuck',
      labelNames: ['name'],
      registers: [app.metrics.registry],
      collect() {
        this.reset()
        for (const part of running) this.set({ name: part.name }, stuckFor(part) === null ? 1 : 0)
      },
    })
  },
  { name: 'background', dependencies: ['metrics', 'health'] },
)

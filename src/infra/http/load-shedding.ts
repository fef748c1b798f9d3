import underPressure from '@fastify/under-pressure'
import fp from 'fastify-plugin'
import { overloaded } from './problems.ts'

export interface LoadSheddingOptions {
  /** Mean delay of the event loop over one sample at which requests are refused, in milliseconds. */
  maxEventLoopDelayMs?: number
  sampleMs?: number
  /** Nothing is refused until so long after the process is ready, in milliseconds: starting blocks the loop. */
  warmUpMs?: number
}

/** Far above what a busy but working process shows: a request that would wait so long is better off elsewhere. */
const MAX_EVENT_LOOP_DELAY_MS = 1_000
const SAMPLE_MS = 1_000
const WARM_UP_MS = 5_000

/** Refuses requests with 503 and Retry-After while the event loop is blocked; health and metrics go on answering. */
export default fp(
  async (app, options: LoadSheddingOptions) => {
    const { warmUpMs = WARM_UP_MS } = options
    let warmUntil = Infinity
    app.addHook('onReady', async () => {
      warmUntil = performance.now() + warmUpMs
    })
    await app.register(underPressure, {
      maxEventLoopDelay: options.maxEventLoopDelayMs ?? MAX_EVENT_LOOP_DELAY_MS,
      sampleInterval: options.sampleMs ?? SAMPLE_MS,
      pressureHandler: (request) => {
        if (request.routeOptions.config.operation === true || performance.now() < warmUntil) return
        throw overloaded()
      },
    })
  },
  { name: 'load-shedding', dependencies: ['problems'] },
)

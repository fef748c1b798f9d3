import fp from 'fastify-plugin'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { LoopDelay } from '#lib/async/loop-delay.ts'
import { loopShare } from '#lib/async/loop-share.ts'
import { overloaded } from './problems.ts'

export interface LoadSheddingOptions {
  /** Mean delay of the event loop over one sample at which requests are refused, in milliseconds; 0: never. */
  maxEventLoopDelayMs?: number | undefined
  /** The same at which everybody is refused, whatever the cause. */
  allAtDelayMs?: number
  sampleMs?: number
  /** Nothing is refused until so long after the process is ready, in milliseconds: starting blocks the loop. */
  warmUpMs?: number
}

/** Far above what a busy but working process shows: a request that would wait so long is better off elsewhere. */
const MAX_EVENT_LOOP_DELAY_MS = 1_000
const SAMPLE_MS = 1_000
const WARM_UP_MS = 5_000

/** The delay up to which callers that cause no load are let in. */
const ALL_AT_DELAY_MS = 3_000

declare module 'fastify' {
  interface FastifyRequest {
    /** The event loop is slow: a caller that causes it is refused as soon as the caller is known. */
    isUnderPressure: boolean
  }
}

/**
 * Refuses requests with 503 and Retry-After while the event loop is blocked; health and metrics go on answering.
 * Tenants whose work is known to block it are refused first (`shedHeavy`), and the others only if that does not do.
 */
export default fp(
  async (app, options: LoadSheddingOptions) => {
    const {
      maxEventLoopDelayMs = MAX_EVENT_LOOP_DELAY_MS,
      allAtDelayMs = ALL_AT_DELAY_MS,
      sampleMs = SAMPLE_MS,
      warmUpMs = WARM_UP_MS,
    } = options
    let warmUntil = Infinity
    app.addHook('onReady', async () => {
      warmUntil = performance.now() + warmUpMs
    })
    app.decorateRequest('isUnderPressure', false)
    const delay = new LoopDelay(sampleMs)
    app.addHook('onClose', async () => delay.stop())
    app.addHook('onRequest', (request, _reply, done) => {
      const isOperation = request.routeOptions.config.operation === true
      const isLate = maxEventLoopDelayMs > 0 && delay.ms > maxEventLoopDelayMs
      if (!isLate || isOperation || performance.now() < warmUntil) {
        done()
        return
      }
      const isTooLong = Number.isFinite(delay.ms) && delay.ms > allAtDelayMs
      request.isUnderPressure = true
      done(!loopShare.isBusy || isTooLong ? overloaded() : undefined)
    })
  },
  { name: 'load-shedding', dependencies: ['problems'] },
)

/**
 * Refuses those whose work keeps the event loop busy. Stands behind authentication.
 *
 * @param callerOf returns the party of a request: a tenant's id
 */
export function shedHeavy(
  app: Pick<FastifyInstance, 'addHook'>,
  callerOf: (request: FastifyRequest) => string,
): void {
  app.addHook('onRequest', (request, _reply, done) => {
    if (request.isUnderPressure && loopShare.isHeavy(callerOf(request))) done(overloaded())
    else done()
  })
}

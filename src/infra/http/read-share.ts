import type { FastifyInstance, FastifyRequest } from 'fastify'
import { overloaded } from './problems.ts'

/** Reads of one party that wait for its share; more are told to come again. */
const MAX_WAITING = 100
/** As long as a request waits for a connection to the database. */
const WAIT_MS = 1_500
const BUSY = 'Other reads of the same caller take its share of the database: send fewer at a time.'

interface Party {
  running: number
  waiting: Set<() => void>
}

export interface ReadShareOptions {
  /** Returns the party of a request: a tenant's id. */
  readonly partyOf: (request: FastifyRequest) => string
  /** Reads of one party that run at a time. */
  readonly share: number
  /** The time that a read waits for its turn before it is told to come again. */
  readonly waitMs?: number | undefined
}

/**
 * Lets reads of one party take so many of the database connections for requests at a time, and no more: slow lists of one
 * shop wait for each other, and leave connections for everybody else.
 */
export function shareReads(
  app: Pick<FastifyInstance, 'addHook'>,
  { partyOf, share, waitMs = WAIT_MS }: ReadShareOptions,
): void {
  const parties = new Map<string, Party>()
  const endings = new WeakMap<FastifyRequest, () => void>()
  const cancels = new WeakMap<FastifyRequest, () => void>()
  const end = (request: FastifyRequest): void => endings.get(request)?.()

  app.addHook('preHandler', (request, _reply, done) => {
    const { access, operation } = request.routeOptions.config
    const isRead = request.method === 'GET' || request.method === 'HEAD'
    if (!isRead || access === undefined || access.role === 'public' || operation === true) {
      done()
      return
    }
    const name = partyOf(request)
    const party = parties.get(name) ?? { running: 0, waiting: new Set() }
    parties.set(name, party)
    const start = (): void => {
      party.running++
      endings.set(request, () => {
        endings.delete(request)
        party.running--
        const [next] = party.waiting
        next?.()
        if (party.running === 0) parties.delete(name)
      })
      done()
    }
    if (party.running < share) start()
    else if (party.waiting.size >= MAX_WAITING) done(overloaded(BUSY))
    else {
      const stopWaiting = (): void => {
        clearTimeout(timer)
        cancels.delete(request)
        party.waiting.delete(take)
      }
      const take = (): void => {
        stopWaiting()
        start()
      }
      const timer = setTimeout(() => {
        stopWaiting()
        done(overloaded(BUSY))
      }, waitMs)
      party.waiting.add(take)
      cancels.set(request, stopWaiting)
    }
  })
  // The answer has been read by then; a stream goes on without a connection of its own.
  app.addHook('onSend', (request, _reply, payload, done) => {
    end(request)
    done(null, payload)
  })
  // Those who hang up wait no longer. A read that runs keeps its place: its statement goes on without them.
  app.addHook('onRequestAbort', (request, done) => {
    cancels.get(request)?.()
    done()
  })
  app.addHook('onResponse', (request, _reply, done) => {
    end(request)
    done()
  })
}

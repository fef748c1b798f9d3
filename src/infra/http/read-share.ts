import type { FastifyInstance, FastifyRequest } from 'fastify'
import { overloaded } from './problems.ts'

/** Reads of one party that wait for its share; more are told to come again. */
const MAX_WAITING = 100

interface Party {
  running: number
  waiting: (() => void)[]
}

/**
 * Lets reads of one party take so many of the database connections for requests at a time, and no more: slow lists of one
 * shop wait for each other, and leave connections for everybody else.
 *
 * @param partyOf whose read a request is: a tenant's id
 */
export function shareReads(
  app: Pick<FastifyInstance, 'addHook'>,
  partyOf: (request: FastifyRequest) => string,
  share: number,
): void {
  const parties = new Map<string, Party>()
  const releases = new WeakMap<FastifyRequest, () => void>()
  const release = (request: FastifyRequest): void => releases.get(request)?.()

  app.addHook('preHandler', (request, _reply, done) => {
    const { access, operation } = request.routeOptions.config
    const isRead = request.method === 'GET' || request.method === 'HEAD'
    if (!isRead || access === undefined || access.role === 'public' || operation === true) {
      done()
      return
    }
    const name = partyOf(request)
    const party = parties.get(name) ?? { running: 0, waiting: [] }
    parties.set(name, party)
    const start = (): void => {
      party.running++
      releases.set(request, () => {
        releases.delete(request)
        party.running--
        party.waiting.shift()?.()
        if (party.running === 0) parties.delete(name)
      })
      done()
    }
    if (party.running < share) start()
    else if (party.waiting.length >= MAX_WAITING) done(overloaded())
    else {
      party.waiting.push(start)
      releases.set(request, () => {
        releases.delete(request)
        party.waiting.splice(party.waiting.indexOf(start), 1)
      })
    }
  })
  // What is to be sent has been read by then; a stream goes on without a connection of its own.
  app.addHook('onSend', (request, _reply, payload, done) => {
    release(request)
    done(null, payload)
  })
  // Of those who hang up.
  app.addHook('onRequestAbort', (request, done) => {
    release(request)
    done()
  })
  app.addHook('onResponse', (request, _reply, done) => {
    release(request)
    done()
  })
}

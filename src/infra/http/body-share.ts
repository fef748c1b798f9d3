import { Transform } from 'node:stream'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { SharedPlaces } from '#lib/async/shared-places.ts'
import { overloaded } from './problems.ts'

/**
 * Bytes of the bodies of one process that are under way, from their announcement to the answer: read they take several
 * times as much. One party alone has four fifths: six batches of the largest kind.
 */
const TOTAL_BYTES = 64 * 1024 * 1024
const OWN_BUSY =
  'Bodies of the same caller that are under way take its share of memory: send fewer or smaller ones at a time.'
const ALL_BUSY =
  'Bodies of all callers that are under way take the memory for them: send this one again later.'

interface Held {
  readonly party: string
  bytes: number
}

export interface BodyShareOptions {
  /** Returns the party of a request: a tenant's id. */
  readonly partyOf: (request: FastifyRequest) => string
  readonly totalBytes?: number
}

/**
 * Bounds the bodies that are sent with a key, by party and in whole. A body with a length is refused before it is read;
 * one without counts as it comes. Stands behind authentication.
 */
export function shareBodies(
  app: Pick<FastifyInstance, 'addHook'>,
  { partyOf, totalBytes = TOTAL_BYTES }: BodyShareOptions,
): void {
  const memory = new SharedPlaces(totalBytes)
  const held = new WeakMap<FastifyRequest, Held>()

  const take = (request: FastifyRequest, bytes: number): Error | null => {
    const party = partyOf(request)
    if (!memory.take(party, bytes)) return overloaded(memory.has(party) ? OWN_BUSY : ALL_BUSY)
    const own = held.get(request)
    if (own === undefined) held.set(request, { party, bytes })
    else own.bytes += bytes
    return null
  }
  const leave = (request: FastifyRequest): void => {
    const own = held.get(request)
    if (own === undefined) return
    held.delete(request)
    memory.leave(own.party, own.bytes)
  }

  app.addHook('onRequest', (request, _reply, done) => {
    const bytes = Number(request.headers['content-length'] ?? 0)
    // What is longer than the route takes is refused without being read.
    const isRead = bytes > 0 && bytes <= request.routeOptions.bodyLimit
    const refusal = isRead && isKeyed(request) ? take(request, bytes) : null
    if (refusal === null) done()
    else done(refusal)
  })
  app.addHook('preParsing', (request, _reply, payload, done) => {
    if (request.headers['transfer-encoding'] === undefined || !isKeyed(request)) {
      done(null, payload)
      return
    }
    const counted = new Transform({
      transform(chunk: Buffer, _encoding, next) {
        const refusal = take(request, chunk.length)
        if (refusal === null) next(null, chunk)
        else next(refusal)
      },
    })
    payload.on('error', (error) => counted.destroy(error))
    done(null, payload.pipe(counted))
  })
  // Not called once the body is there: what works with it goes on, and ends in an answer that nobody gets.
  app.addHook('onRequestAbort', (request, done) => {
    leave(request)
    done()
  })
  app.addHook('onSend', (request, _reply, payload, done) => {
    leave(request)
    done(null, payload)
  })
  app.addHook('onResponse', (request, _reply, done) => {
    leave(request)
    done()
  })
}

function isKeyed(request: FastifyRequest): boolean {
  const { access, operation } = request.routeOptions.config
  return access !== undefined && access.role !== 'public' && operation !== true && !request.is404
}

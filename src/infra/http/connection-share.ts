import type { FastifyInstance, FastifyRequest } from 'fastify'
import { overloaded } from './problems.ts'

/** Requests of one party that wait for its share; more are told to come again. */
const MAX_WAITING = 500
/** As long as a request waits for a connection to the database. */
const WAIT_MS = 1_500
const OWN_BUSY = 'Other requests of the same caller take its share of the database: send fewer at a time.'
const ALL_BUSY = 'Requests of all callers take the connections to the database: send this one again later.'

/** Connections that are left for intake and look-ups, however many callers there are: as many as intake has statements. */
const MAX_RESERVED = 2

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * The route takes no place of those that requests share: it shares its statements out itself, or waits for the
     * answers of others with no connection meanwhile.
     */
    ownShare?: boolean
  }
}

interface Waiter {
  start: () => void
}

interface Party {
  running: number
  waiting: Set<Waiter>
}

export interface ConnectionShareOptions {
  /** Returns the party of a request: a tenant's id. */
  readonly partyOf: (request: FastifyRequest) => string
  /** Connections to the database for requests. */
  readonly connections: number
  /** The time that a request waits for its turn before it is told to come again. */
  readonly waitMs?: number | undefined
  /** Requests of one party that wait. */
  readonly maxWaiting?: number
}

/**
 * Lets the requests of one party take half of the database connections for requests at a time, and those of all parties
 * not all of them: slow lists and changes that wait for each other leave connections for everybody else, and for events.
 * Where all places are taken, those go on first that have the fewest.
 */
export function shareConnections(
  app: Pick<FastifyInstance, 'addHook'>,
  { partyOf, connections, waitMs = WAIT_MS, maxWaiting = MAX_WAITING }: ConnectionShareOptions,
): void {
  const share = Math.max(1, Math.floor(connections / 2))
  const total = Math.max(1, connections - Math.min(MAX_RESERVED, Math.floor(connections / 4)))
  /** The one last that has started last. */
  const parties = new Map<string, Party>()
  const endings = new WeakMap<FastifyRequest, () => void>()
  const cancels = new WeakMap<FastifyRequest, () => void>()
  let running = 0

  const end = (request: FastifyRequest): void => endings.get(request)?.()
  const forgetIdle = (name: string, party: Party): void => {
    if (party.running === 0 && party.waiting.size === 0) parties.delete(name)
  }
  /** Starts one of the party that has the fewest under way. */
  const startWaiting = (): void => {
    if (running >= total) return
    let least = share
    let chosen: Waiter | undefined
    for (const { running: own, waiting } of parties.values()) {
      const [next] = waiting
      if (next === undefined || own >= least) continue
      least = own
      chosen = next
    }
    chosen?.start()
  }

  app.addHook('preHandler', (request, _reply, done) => {
    const { access, operation, ownShare } = request.routeOptions.config
    if (access === undefined || access.role === 'public' || operation === true || ownShare === true) {
      done()
      return
    }
    const name = partyOf(request)
    const party = parties.get(name) ?? { running: 0, waiting: new Set() }
    parties.set(name, party)
    const start = (): void => {
      // Behind all others.
      parties.delete(name)
      parties.set(name, party)
      party.running++
      running++
      endings.set(request, () => {
        endings.delete(request)
        party.running--
        running--
        startWaiting()
        forgetIdle(name, party)
      })
      done()
    }
    if (party.running < share && running < total && party.waiting.size === 0) {
      start()
      return
    }
    if (party.waiting.size >= maxWaiting) {
      done(overloaded(OWN_BUSY))
      return
    }
    const stopWaiting = (): void => {
      clearTimeout(timer)
      cancels.delete(request)
      party.waiting.delete(waiter)
      forgetIdle(name, party)
    }
    const waiter: Waiter = {
      start: () => {
        clearTimeout(timer)
        cancels.delete(request)
        party.waiting.delete(waiter)
        start()
      },
    }
    const timer = setTimeout(() => {
      stopWaiting()
      done(overloaded(party.running >= share ? OWN_BUSY : ALL_BUSY))
    }, waitMs)
    party.waiting.add(waiter)
    cancels.set(request, stopWaiting)
  })
  // The answer has been read by then; a stream goes on without a connection of its own.
  app.addHook('onSend', (request, _reply, payload, done) => {
    end(request)
    done(null, payload)
  })
  // Those who hang up wait no longer. A request that runs keeps its place: its statement goes on without them.
  app.addHook('onRequestAbort', (request, done) => {
    cancels.get(request)?.()
    done()
  })
  app.addHook('onResponse', (request, _reply, done) => {
    end(request)
    done()
  })
}

import fp from 'fastify-plugin'
import { CHANGE_TOPICS, type ChangeTopic } from '#lib/change-topics.ts'

/**
 * Hints for those who follow a tenant: something of a topic has changed, ask again. A hint does not tell the change,
 * so nothing is read for it, and where nobody follows nothing is sent.
 */
export interface Changes {
  /** Tells whoever looks at the tenant, in any process, within half a second. Costs a look into a map if nobody does. */
  tell(tenantId: string, topic: ChangeTopic): void
  /** Returns how to stop. */
  follow(tenantId: string, listener: (topics: ReadonlySet<ChangeTopic>) => void): () => void
}

declare module 'fastify' {
  interface FastifyInstance {
    changes: Changes
  }
}

/** Changes within this time travel together. */
const FLUSH_MS = 100
/** A follower is told at once, and then no sooner than after this: thousands of events a second are four hints. */
const TELL_MS = 250
/**
 * The interval in which processes announce whom they follow; one that has started meanwhile, or lost a signal, learns
 * of it then.
 */
const ANNOUNCE_MS = 15_000
/** The time for which an announcement counts. */
const FOLLOWED_MS = 40_000

type Listener = (topics: ReadonlySet<ChangeTopic>) => void

/** Those in this process who look at one tenant. */
class Audience {
  readonly listeners = new Set<Listener>()
  #pending = new Set<ChangeTopic>()
  #timer: NodeJS.Timeout | null = null

  tell(topics: readonly ChangeTopic[]): void {
    for (const topic of topics) this.#pending.add(topic)
    if (this.#timer === null) this.#flush()
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }

  #flush(): void {
    const told = this.#pending
    this.#pending = new Set()
    this.#timer = setTimeout(() => {
      this.#timer = null
      if (this.#pending.size > 0) this.#flush()
    }, TELL_MS)
    for (const listener of this.listeners) listener(told)
  }
}

export default fp(
  async (app) => {
    /** The followers in this process, by tenant. */
    const audiences = new Map<string, Audience>()
    /** The time until which somebody in any process follows a tenant, on the clock of `performance.now()`. */
    const followed = new Map<string, number>()
    let allFollowedUntil = 0
    const pending = new Map<string, Set<ChangeTopic>>()
    let flushTimer: NodeJS.Timeout | null = null
    let announceTimer: NodeJS.Timeout | null = null

    const isFollowed = (tenantId: string): boolean => {
      if (followed.size === 0 && allFollowedUntil === 0) return false
      const now = performance.now()
      return (followed.get(tenantId) ?? 0) > now || allFollowedUntil > now
    }

    const flush = (): void => {
      flushTimer = null
      const names = [...pending].flatMap(([tenantId, topics]) =>
        [...topics].map((topic) => `${topic} ${tenantId}`),
      )
      pending.clear()
      app.signals.publish('tenant_changed', names)
    }

    const announce = (): void => {
      app.signals.publish('tenant_followed', audiences.keys())
    }

    app.signals.subscribe('tenant_followed', (tenantIds) => {
      const until = performance.now() + FOLLOWED_MS
      for (const [tenantId, before] of followed) if (before <= performance.now()) followed.delete(tenantId)
      for (const tenantId of tenantIds) followed.set(tenantId, until)
      // There were too many to name.
      if (tenantIds.length === 0) allFollowedUntil = until
    })
    app.signals.subscribe('tenant_changed', (names) => {
      for (const name of names) {
        const [topic = '', tenantId = ''] = name.split(' ')
        audiences.get(tenantId)?.tell([topic as ChangeTopic])
      }
      if (names.length === 0) for (const audience of audiences.values()) audience.tell(CHANGE_TOPICS)
    })
    // Many places start, wake and queue executions; all of them send this signal.
    app.signals.subscribe('executions_due', (tenantIds) => {
      if (tenantIds.length === 0) for (const audience of audiences.values()) audience.tell(['executions'])
      for (const tenantId of tenantIds) audiences.get(tenantId)?.tell(['executions'])
    })
    app.decorate('changes', {
      tell(tenantId, topic) {
        if (!isFollowed(tenantId)) return
        const topics = pending.get(tenantId)
        if (topics === undefined) pending.set(tenantId, new Set([topic]))
        else topics.add(topic)
        flushTimer ??= setTimeout(flush, FLUSH_MS)
      },
      follow(tenantId, listener) {
        const audience = audiences.get(tenantId) ?? new Audience()
        audiences.set(tenantId, audience)
        audience.listeners.add(listener)
        app.signals.publish('tenant_followed', [tenantId])
        announceTimer ??= setInterval(announce, ANNOUNCE_MS)
        return () => {
          audience.listeners.delete(listener)
          if (audience.listeners.size > 0 || audiences.get(tenantId) !== audience) return
          audience.close()
          audiences.delete(tenantId)
          if (audiences.size > 0 || announceTimer === null) return
          clearInterval(announceTimer)
          announceTimer = null
        }
      },
    } satisfies Changes)
    app.addHook('onClose', () => {
      if (flushTimer !== null) clearTimeout(flushTimer)
      if (announceTimer !== null) clearInterval(announceTimer)
      for (const audience of audiences.values()) audience.close()
    })
  },
  { name: 'changes', dependencies: ['signals'] },
)

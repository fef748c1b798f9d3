import type pg from 'pg'
import type { ClaimedExecution } from './execution-repository.ts'
import { findHeldHead, leaveHeld, releaseHeld } from './held-repository.ts'
import { boundedCache } from '#lib/bounded-cache.ts'

/** For so long it is taken for granted that nobody is held back by a target: other processes may have met its failure. */
const CLEAR_MS = 5_000
const REMEMBERED_MAX = 10_000
/** Released by each success: as many as went well, twice over, so that who comes back is not overrun. */
const RELEASED_PER_SUCCESS = 2
/** Once the first one has tried for so long, it may be the one thing that is wrong: the others try as well. */
const HEAD_ALONE_MS = 20 * 60_000

interface Releasing {
  wanted: number
  done: Promise<void>
}

interface Leaving {
  claims: ClaimedExecution[]
  done: Promise<void>
}

/**
 * Keeps the order of a tenant's executions when the other side of a call is away. Whoever meets that waits, what comes
 * after it to the same call waits behind it without calling, and the one whose event came first tries again. Once it
 * gets through, the others follow in the order of their events, two for each success. All of it is rows: what is in
 * memory is only whether there is something to ask the database for.
 */
export class HeldBack {
  readonly #pool: pg.Pool
  readonly #clock: () => Date | null
  readonly #onReleased: (tenantId: string) => void
  /** By tenant and target: when nobody was held back last, or that somebody is. */
  readonly #known = boundedCache<number | 'held'>(REMEMBERED_MAX)
  readonly #releasing = new Map<string, Releasing>()
  readonly #leaving = new Map<string, Leaving>()

  constructor(pool: pg.Pool, clock: () => Date | null, onReleased: (tenantId: string) => void) {
    this.#pool = pool
    this.#clock = clock
    this.#onReleased = onReleased
  }

  /** Tells an execution that may make the call to which it has come from one that is to wait behind others. */
  async mayCall(
    { tenant_id: tenantId, id, event_id }: ClaimedExecution,
    target: string,
    nowMs: number,
  ): Promise<boolean> {
    const key = `${tenantId} ${target}`
    const known = this.#known.get(key)
    if (typeof known === 'number' && performance.now() - known < CLEAR_MS) return true
    const head = await findHeldHead(this.#pool, tenantId, target)
    this.#known.set(key, head === undefined ? performance.now() : 'held')
    if (head === undefined || head.id === id || nowMs - head.since_ms >= HEAD_ALONE_MS) return true
    return (event_id ?? id) < head.place
  }

  /** Notes that the other side takes no calls. */
  away({ tenant_id: tenantId }: ClaimedExecution, target: string): void {
    this.#known.set(`${tenantId} ${target}`, 'held')
  }

  /** Lets those behind go on: the other side has taken a call, or whoever tried tries no more. */
  async passed({ tenant_id: tenantId, id: own, held_by }: ClaimedExecution, target: string): Promise<void> {
    const key = `${tenantId} ${target}`
    if (held_by !== target && this.#known.get(key) !== 'held') return
    const releasing = this.#releasing.get(key)
    if (releasing !== undefined) {
      releasing.wanted += RELEASED_PER_SUCCESS
      return releasing.done
    }
    const started: Releasing = { wanted: RELEASED_PER_SUCCESS, done: Promise.resolve() }
    this.#releasing.set(key, started)
    started.done = this.#release({ tenantId, target, own }, key, started)
    return started.done
  }

  /** Has the next one look, if this one was the first and waits for something else now: the other side may still be away. */
  async left(claim: ClaimedExecution, target: string): Promise<void> {
    const { tenant_id: tenantId, held_by } = claim
    const key = `${tenantId} ${target}`
    if (held_by !== target && this.#known.get(key) !== 'held') return
    const underWay = this.#leaving.get(key)
    if (underWay !== undefined) {
      underWay.claims.push(claim)
      return underWay.done
    }
    const leaving: Leaving = { claims: [claim], done: Promise.resolve() }
    this.#leaving.set(key, leaving)
    leaving.done = this.#leave({ tenantId, target }, key, leaving)
    return leaving.done
  }

  /** Takes out many by one statement: closing hours meet all those of a queue at the same moment. */
  async #leave(held: { tenantId: string; target: string }, key: string, leaving: Leaving): Promise<void> {
    try {
      while (leaving.claims.length > 0) {
        const claims = leaving.claims.splice(0)
        // Whoever is not woken looks by itself.
        const hasWoken = await leaveHeld(this.#pool, claims, { ...held, now: this.#clock() }).catch(
          () => false,
        )
        if (hasWoken) this.#onReleased(held.tenantId)
      }
    } finally {
      this.#leaving.delete(key)
    }
  }

  /** Releases by one statement at a time: successes that come meanwhile are counted together. */
  async #release(
    held: { tenantId: string; target: string; own: string },
    key: string,
    releasing: Releasing,
  ): Promise<void> {
    try {
      while (releasing.wanted > 0) {
        const most = releasing.wanted
        releasing.wanted = 0
        // Who is not released looks by itself: the call that has passed must not fail by this.
        const request = { ...held, most, now: this.#clock() }
        const released = await releaseHeld(this.#pool, request).catch(() => 1)
        if (released > 0) this.#onReleased(held.tenantId)
        // Asked for again by whoever comes next: a row that was being written was passed over.
        else this.#known.delete(key)
      }
    } finally {
      this.#releasing.delete(key)
    }
  }
}

import { SharedPlaces } from '#lib/async/shared-places.ts'
import { WaitList, type Waiting } from '#lib/async/wait-list.ts'
import { OpenCalls } from './open-calls.ts'

/** As long as a plugin has for its answer by default. */
const WAIT_MS = 10_000

/** The caller that a place is for. */
export interface Entrant {
  tenantId: string
  /** The plugin that is called; null: the platform is. */
  pluginId: string | null
  /** The plugin that has dispatched the call; null: none has. */
  by: string | null
}

/** Gives a place back. */
type Leave = () => void

class Waiter implements Waiting<Waiter> {
  before: Waiter | null = null
  after: Waiter | null = null
  readonly entrant: Entrant
  /** Numbers grow with time. */
  readonly number: number
  readonly resume: (leave: Leave) => void

  constructor(entrant: Entrant, number: number, resume: (leave: Leave) => void) {
    this.entrant = entrant
    this.number = number
    this.resume = resume
  }
}

/** The waiting calls of a shop, by the plugin that has dispatched them. */
type Queue = Map<Entrant['by'], WaitList<Waiter>>

/**
 * Places of calls that are waited for, the shops in turn. What a plugin dispatches while it is being called itself goes
 * on in the place of that call, where there is no other (open-calls.ts).
 */
export class CallPlaces {
  readonly #places: SharedPlaces
  readonly #calls = new OpenCalls()
  readonly #waitMs: number
  /** By shop, the one first whose turn it is. */
  readonly #waiting = new Map<string, Queue>()
  #number = 0
  #isClosed = false

  /** @param waitMs how long one is waited for at most */
  constructor(total: number, waitMs = WAIT_MS) {
    this.#places = new SharedPlaces(total)
    this.#waitMs = waitMs
  }

  /** @returns what gives the place back, at once or when it was waited for; null: none came free in time */
  enter(entrant: Entrant): Leave | Promise<Leave | null> {
    if (this.#isClosed) return () => undefined
    const queue = this.#waiting.get(entrant.tenantId)
    // Who comes later does not overtake the shop's own, and what a plugin dispatches none of the same plugin's.
    const leave =
      (queue === undefined ? this.#take(entrant) : null) ??
      (queue?.has(entrant.by) === true ? null : this.#borrow(entrant))
    return leave ?? this.#wait(entrant)
  }

  /** Whoever waits goes on without a place, to find that the process stops. */
  close(): void {
    this.#isClosed = true
    for (const queue of this.#waiting.values()) {
      for (const list of queue.values()) {
        for (let waiter = list.first; waiter !== null; waiter = list.first) {
          list.remove(waiter)
          waiter.resume(() => undefined)
        }
      }
    }
    this.#waiting.clear()
  }

  #wait(entrant: Entrant): Promise<Leave | null> {
    return new Promise((resolve) => {
      const waiter = new Waiter(entrant, this.#number++, (leave) => {
        clearTimeout(timer)
        resolve(leave)
      })
      const timer = setTimeout(() => {
        this.#remove(waiter)
        resolve(null)
      }, this.#waitMs)
      const { tenantId, by } = entrant
      const queue = this.#waiting.get(tenantId) ?? (new Map() as Queue)
      const list = queue.get(by) ?? new WaitList<Waiter>()
      list.add(waiter)
      queue.set(by, list)
      this.#waiting.set(tenantId, queue)
    })
  }

  #remove(waiter: Waiter): void {
    const { tenantId, by } = waiter.entrant
    const queue = this.#waiting.get(tenantId)
    const list = queue?.get(by)
    list?.remove(waiter)
    if (list?.first === null) queue?.delete(by)
    if (queue?.size === 0) this.#waiting.delete(tenantId)
  }

  #take(entrant: Entrant): Leave | null {
    const { tenantId } = entrant
    if (!this.#places.take(tenantId)) return null
    return this.#begin(entrant, () => this.#places.leave(tenantId))
  }

  #borrow(entrant: Entrant): Leave | null {
    const { tenantId, by } = entrant
    if (by === null || !this.#calls.borrow(tenantId, by)) return null
    return this.#begin(entrant, () => this.#calls.giveBack(tenantId, by))
  }

  #begin({ tenantId, pluginId }: Entrant, giveBack: Leave): Leave {
    this.#calls.begin(tenantId, pluginId)
    return () => {
      this.#calls.end(tenantId, pluginId)
      giveBack()
      this.#startWaiting()
    }
  }

  #startWaiting(): void {
    let isStarted = true
    while (isStarted) {
      isStarted = false
      for (const [tenantId, queue] of [...this.#waiting]) {
        const started = this.#startOf(queue)
        if (started === null) continue
        const { waiter, leave } = started
        this.#remove(waiter)
        // Behind all others.
        if (this.#waiting.delete(tenantId)) this.#waiting.set(tenantId, queue)
        waiter.resume(leave)
        isStarted = true
      }
    }
  }

  /** Finds a place for the one that came first, or for the first that goes on in the place of another call. */
  #startOf(queue: Queue): { waiter: Waiter; leave: Leave } | null {
    const firsts = [...queue.values()].flatMap(({ first }) => (first === null ? [] : [first]))
    firsts.sort((a, b) => a.number - b.number)
    const [first] = firsts
    if (first === undefined) return null
    const leave = this.#take(first.entrant)
    if (leave !== null) return { waiter: first, leave }
    for (const waiter of firsts) {
      const borrowed = this.#borrow(waiter.entrant)
      if (borrowed !== null) return { waiter, leave: borrowed }
    }
    return null
  }
}

import { overloaded } from '#infra/http/problems.ts'
import { SharedPlaces } from '#lib/async/shared-places.ts'
import type { ResultMemory } from './result-memory.ts'

/** Actions of all dispatches that a process has taken in, for each call that it makes at a time. */
const ACTIONS_A_CALL = 20
/** Bytes of their bodies, for each call: 128 MiB with 1,024 calls, of which one shop alone may have four fifths. */
const BYTES_A_CALL = 128 * 1024
/** That many dispatches of the largest kind are taken in however few calls there may be. */
const LEAST_BYTES = 16 * 1024 * 1024
const LEAST_ACTIONS = 1_000
const RETRY_AFTER_S = 2

/**
 * Bounds what a process has taken in of dispatches: they stay in memory until their last action has ended, whether or not
 * their callers wait for that. Shops share it, so that one with many slow plugins is told to come again, and nobody else.
 */
export class DispatchAdmission {
  readonly #actions: SharedPlaces
  readonly #bytes: SharedPlaces

  readonly #results: Pick<ResultMemory, 'hasRoom'>

  /** @param calls that the process makes at a time */
  constructor(calls: number, results: Pick<ResultMemory, 'hasRoom'>) {
    this.#results = results
    this.#actions = new SharedPlaces(Math.max(LEAST_ACTIONS, calls * ACTIONS_A_CALL))
    this.#bytes = new SharedPlaces(Math.max(LEAST_BYTES, calls * BYTES_A_CALL))
  }

  /** @returns what is called when the dispatch has ended. @throws `overloaded` */
  enter(tenantId: string, { actions, bytes }: { actions: number; bytes: number }): () => void {
    if (!this.#results.hasRoom(tenantId)) throw refused()
    if (!this.#actions.take(tenantId, actions)) throw refused()
    if (!this.#bytes.take(tenantId, bytes)) {
      this.#actions.leave(tenantId, actions)
      throw refused()
    }
    return () => {
      this.#actions.leave(tenantId, actions)
      this.#bytes.leave(tenantId, bytes)
    }
  }
}

function refused(): Error {
  return overloaded('Dispatches of the shop that are under way take its share: send this one again later.', {
    headers: { 'retry-after': String(RETRY_AFTER_S) },
  })
}

import { writeJson } from '#db/json.ts'
import { SharedPlaces } from './places.ts'
import type { ActionResult } from '../types.ts'

/** Characters of results that a process holds, for each call that it makes at a time: 128 million with 1,024 calls. */
const CHARS_A_CALL = 128 * 1024
/** A dispatch of the largest kind has its results within a shop's share, however few calls there may be. */
const LEAST_CHARS = 64 * 1024 * 1024

/** The results of one dispatch. */
export interface HeldResults {
  hold(result: ActionResult): void
  /** Lets all of them go. */
  close(): void
}

/**
 * Bounds what a process holds of results of dispatches: each stays until the last action of its dispatch has ended. Shops
 * share it. Nothing is begun for a shop beyond its share: what it holds then is that and the answers to its calls under
 * way, which have bounds of their own.
 */
export class ResultMemory {
  readonly #chars: SharedPlaces

  /** @param calls that the process makes at a time */
  constructor(calls: number) {
    this.#chars = new SharedPlaces(Math.max(LEAST_CHARS, calls * CHARS_A_CALL))
  }

  /** Returns whether an action may be begun for the shop. */
  hasRoom(tenantId: string): boolean {
    return this.#chars.hasRoom(tenantId)
  }

  open(tenantId: string): HeldResults {
    let held = 0
    return {
      hold: (result) => {
        const chars = charsOf(result)
        held += chars
        if (chars > 0) this.#chars.add(tenantId, chars)
      },
      close: () => {
        if (held > 0) this.#chars.leave(tenantId, held)
        held = 0
      },
    }
  }
}

function charsOf({ data, dataChars }: ActionResult): number {
  if (data === null) return 0
  return dataChars ?? writeJson(data).length
}

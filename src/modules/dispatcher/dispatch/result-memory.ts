import { writeJson } from '#db/json.ts'
import { ACTION_RESPONSE_MAX_BYTES } from '#lib/action-call.ts'
import { SharedPlaces } from '#lib/async/shared-places.ts'
import type { ActionResult } from '../types.ts'

/** Characters of results that a process holds, for each call that it makes at a time: 128 million with 1,024 calls. */
const CHARS_A_CALL = 128 * 1024
/** A dispatch of the largest kind has its results within a shop's share, however few calls there may be. */
const LEAST_CHARS = 64 * 1024 * 1024
/** A dispatch of a hundred answers of the largest size: a shop with less goes on, whatever others hold. */
const ALWAYS_CHARS = 100 * ACTION_RESPONSE_MAX_BYTES

/** The results of one dispatch. */
export interface HeldResults {
  hold(result: ActionResult): void
  /** Lets all of them go. */
  close(): void
}

/**
 * Bounds what a process holds of results of dispatches: each stays until the last action of its dispatch has ended. Shops
 * share it. Nothing is begun for a shop beyond its share: what it holds then is that, the answers to its calls under way, and
 * what was recorded of dispatches that were taken in at the same moment, which have bounds of their own. Others go on.
 */
export class ResultMemory {
  readonly #chars: SharedPlaces

  /** @param calls that the process makes at a time */
  constructor(calls: number) {
    this.#chars = new SharedPlaces(Math.max(LEAST_CHARS, calls * CHARS_A_CALL))
  }

  /** Returns whether an action may be begun for the shop. */
  hasRoom(tenantId: string): boolean {
    return this.#chars.hasRoom(tenantId, ALWAYS_CHARS)
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

import type { Kysely, Transaction } from 'kysely'
import { boundedCache } from '#lib/bounded-cache.ts'
import type { DB } from '#db/schema.ts'
import { measure } from '#infra/quota-repository.ts'
import { readLimits } from '#infra/quotas.ts'

const TENANTS_MAX = 10_000
/** A process goes by what it has counted for so long: what other processes start meanwhile comes on top. */
const KNOWN_MS = 5_000
/** The same where there is nothing left: each start that is refused would count all of them again. */
const USED_UP_MS = 1_000

interface Known {
  /** Starts that need no look; null: the quota is used up. */
  left: number | null
}

/** Why a start is skipped that the shop has too many executions for. */
export const WAITING_EXECUTIONS = 'waiting_executions'

/**
 * Watches how many executions of a tenant are queued or wait. Counting costs what there is, so that half of what is left
 * may start before it is done again: the fewer are left, the closer is the look.
 */
class WaitingQuota {
  readonly #known = boundedCache<Known>(TENANTS_MAX)

  /** Asked before each start: whether it is one too many. */
  async isUsedUp(db: Kysely<DB> | Transaction<DB>, tenantId: string): Promise<boolean> {
    const known = this.#known.get(tenantId)
    if (known?.left === null) return true
    if (known !== undefined && known.left > 0) {
      known.left--
      return false
    }
    const { waiting_executions: limit } = await readLimits(db, tenantId)
    const left = limit - (await measure(db, tenantId, WAITING_EXECUTIONS, limit))
    if (left <= 0) this.#known.set(tenantId, { left: null }, { ttl: USED_UP_MS })
    else this.#known.set(tenantId, { left: Math.floor((left - 1) / 2) }, { ttl: KNOWN_MS })
    return left <= 0
  }
}

/** One for a process: matchers, schedules and requests start for the same tenants. */
export const waitingQuota = new WaitingQuota()

import { OriginPool, type PoolOptions } from './pool.ts'

/** Use within this much counts as now, so that a hot pool is not moved to the end for each request. */
const USED_RESOLUTION_MS = 1_000

export interface Pools {
  /** The pool of that key, made where there is none. */
  poolOf(key: string, make: () => PoolOptions): OriginPool
  close(): Promise<void>
}

/** Pools with open connections; beyond `max`, those that were idle longest are closed. Busy ones always stay. */
export function createPools(max: number): Pools {
  const pools = new Map<string, OriginPool>()
  const closeIdle = (): void => {
    for (const [key, pool] of pools) {
      if (!pool.isIdle) continue
      pools.delete(key)
      void pool.close()
      return
    }
  }
  return {
    poolOf(key, make) {
      const now = performance.now()
      let pool = pools.get(key)
      if (pool === undefined) {
        if (pools.size >= max) closeIdle()
        pool = new OriginPool(make(), (empty) => {
          if (pools.get(key) === empty) pools.delete(key)
        })
      } else if (now - pool.usedAt < USED_RESOLUTION_MS) {
        return pool
      } else {
        pools.delete(key)
      }
      pool.usedAt = now
      pools.set(key, pool)
      return pool
    },
    async close() {
      await Promise.all([...pools.values()].map((pool) => pool.close()))
    },
  }
}

import { LRUCache } from 'lru-cache'

/**
 * Makes a cache that forgets what was used longest ago once it holds `entries`. It takes memory as it fills: with
 * lru-cache's `max` arrays of that length are allocated at once, and written over by each `clear`; those of the whole
 * service took 140 ms of every start.
 *
 * @param ttlMs an entry is gone after so long; default: never
 */
export function boundedCache<V extends object | number | boolean | string>(
  entries: number,
  ttlMs?: number,
): LRUCache<string, V> {
  return new LRUCache({
    maxSize: entries,
    sizeCalculation: () => 1,
    ...(ttlMs !== undefined && { ttl: ttlMs }),
  })
}

import type pg from 'pg'
import { BodyCache } from './body-cache.ts'
import type { Job, Lane } from './lane.ts'
import { type DueDelivery, fetchBodies, fetchDue } from './lane-repository.ts'

type Due = DueDelivery & { id: string; event_id: string; event: string }

/** Deliveries fetched in one statement, over all lanes. */
const FETCH_TOTAL_MAX = 2_048
/** Bodies in one fetch, and those kept for fan-out: bounds a worker's memory, whatever events weigh. */
const FETCH_BODY_MAX_BYTES = 16 * 1024 * 1024
const BODY_CACHE_MAX_CHARS = 16 * 1024 * 1024

/** Fills lanes with what is due in them: one statement for all lanes, one more for the bodies not seen lately. */
export class DueReader {
  readonly #pool: pg.Pool
  readonly #bodies = new BodyCache(BODY_CACHE_MAX_CHARS)

  constructor(pool: pg.Pool) {
    this.#pool = pool
  }

  /**
   * @returns the lanes that were filled, those whose plugin has changed since the lane was taken, and whether some
   * lane had to be left for the next time
   */
  async fill(
    lanes: Iterable<Lane>,
    now: Date | null,
  ): Promise<{ filled: Lane[]; changed: Lane[]; more: boolean }> {
    const { wants, inHand, more } = chooseLanes(lanes)
    if (wants.length === 0) return { filled: [], changed: [], more }
    const due = await fetchDue(
      this.#pool,
      wants.map(({ lane, most }) => ({ pluginId: lane.id, most })),
      inHand,
      now,
    )
    const byPlugin = Map.groupBy(due, (row) => row.plugin_id)
    const changed: Lane[] = []
    const fresh: { lane: Lane; row: Due }[] = []
    for (const { lane, hints } of wants) {
      const rows = byPlugin.get(lane.id) ?? []
      if (rows[0]?.revision !== lane.target.revision) {
        changed.push(lane)
        continue
      }
      const dueRows = rows.filter(isDue)
      lane.fetched(dueRows.length, hints)
      for (const row of dueRows) fresh.push({ lane, row })
    }
    const { bodies, deferred } = await this.#bodiesOf(fresh)
    for (const { lane, row } of fresh) {
      if (lane.closing) continue
      if (deferred.has(row.event_id)) lane.more = true
      else lane.enqueue(toJob(row, bodies.get(row.event_id) ?? null))
    }
    return { filled: wants.map(({ lane }) => lane), changed, more }
  }

  forget(): void {
    this.#bodies.clear()
  }

  async #bodiesOf(
    fresh: readonly { lane: Lane; row: Due }[],
  ): Promise<{ bodies: Map<string, string>; deferred: Set<string> }> {
    const bodies = new Map<string, string>()
    const unknown = new Map<string, { tenantId: string; eventId: string }>()
    for (const { lane, row } of fresh) {
      if (bodies.has(row.event_id)) continue
      const body = this.#bodies.get(row.event_id)
      if (body !== undefined) bodies.set(row.event_id, body)
      else unknown.set(row.event_id, { tenantId: lane.target.tenantId, eventId: row.event_id })
    }
    const deferred = new Set<string>()
    if (unknown.size === 0) return { bodies, deferred }
    for (const found of await fetchBodies(this.#pool, [...unknown.values()], FETCH_BODY_MAX_BYTES)) {
      if (found.over_budget) deferred.add(found.id)
      else if (found.body !== null) {
        bodies.set(found.id, found.body)
        this.#bodies.set(found.id, found.body)
      }
    }
    return { bodies, deferred }
  }
}

function chooseLanes(lanes: Iterable<Lane>): {
  wants: { lane: Lane; most: number; hints: number }[]
  inHand: string[]
  more: boolean
} {
  const wants: { lane: Lane; most: number; hints: number }[] = []
  const inHand: string[] = []
  let rows = 0
  for (const lane of lanes) {
    if (!lane.wantsFetch()) continue
    if (rows >= FETCH_TOTAL_MAX) return { wants, inHand, more: true }
    wants.push({ lane, most: lane.fetchSize, hints: lane.hints })
    for (const id of lane.inHand) inHand.push(id)
    rows += lane.fetchSize
  }
  return { wants, inHand, more: false }
}

function isDue(row: DueDelivery): row is Due {
  return row.id !== null
}

function toJob(row: Due, body: string | null): Job {
  return {
    deliveryId: row.id,
    eventId: row.event_id,
    event: row.event,
    attemptCount: row.attempt_count,
    roundFailures: row.round_failures,
    body,
  }
}

import type pg from 'pg'
import { BodyCache } from './body-cache.ts'
import { type BurstDelivery, fetchCoalesced, type Newest, supersede } from './coalesced-repository.ts'
import {
  fetchOrdered,
  type HurriedKey,
  hurryKeys,
  type OrderedDelivery,
  setAside,
} from './ordered-repository.ts'
import { type DueDelivery, fetchBodies, fetchDue } from './repository.ts'
import type { Backlog, Job } from '../lanes/backlog.ts'
import { bulkClass, type Lane, QUEUED_BEHIND_ONE_MAX } from '../lanes/lane.ts'
import { TenantCapacity } from '../lanes/capacity.ts'

/** The part of an event that is sent. */
interface Content {
  readonly body: string
  readonly causationDepth: number
  readonly publisher: string
}

type Found = DueDelivery &
  Partial<
    Pick<
      OrderedDelivery,
      'ordering_key' | 'followed' | 'undecided' | 'place' | 'behind' | 'behind_place' | 'behind_bulk'
    > &
      Pick<BurstDelivery, 'coalesce_key'>
  >
type Due = Found & { id: string; event_id: string; event: string; bulk: boolean }
/** One that waits for another of its key. */
type DueBehind = Due & { place: string; behind: string; behind_place: string; ordering_key: string }

/** A delivery that is to be taken in hand, and how many of its lane go before it. */
interface Fresh {
  lane: Lane
  row: Due
  place: number
}

/** A fetch for one lane: how many of each kind, and what its backlogs are to be told of it. */
interface LaneFetch {
  lane: Lane
  live: BacklogFetch | null
  bulk: BacklogFetch | null
}

/** A key of which something is due, and only the newest is sent. */
export interface DueBurst {
  lane: Lane
  key: string
  /** Of what was found of it. */
  place: number
}

interface BacklogFetch {
  size: number
  asked: number
}

/** Deliveries fetched in one statement, over all lanes. */
const FETCH_TOTAL_MAX = 2_048
/**
 * Bodies in one fetch, those in hand over all lanes, and those kept for fan-out: bounds a worker's memory,
 * whatever events weigh. Those in hand are shared out by tenant and class like capacity for attempts.
 */
const FETCH_BODY_MAX_BYTES = 16 * 1024 * 1024
const BODIES_MAX_CHARS = 64 * 1024 * 1024
const BODY_CACHE_MAX_CHARS = 16 * 1024 * 1024

/** Fills lanes with what is due in them: one statement for all lanes, one more for the bodies not seen lately. */
export class DueReader {
  readonly #pool: pg.Pool
  readonly #onLookAgain: () => void
  readonly #onSuperseded: (lane: Lane, event: string, count: number) => void
  readonly #bodies = new BodyCache<Content>(BODY_CACHE_MAX_CHARS)

  /**
   * @param on `lookAgain`: a lane's queue is to be looked at again, which nobody else tells of; `superseded`: so many deliveries
   * of an event type have ended, as a newer one takes their place
   */
  constructor(
    pool: pg.Pool,
    on: { lookAgain: () => void; superseded: (lane: Lane, event: string, count: number) => void },
  ) {
    this.#pool = pool
    this.#onLookAgain = on.lookAgain
    this.#onSuperseded = on.superseded
  }

  /**
   * @returns the lanes that were filled, those whose plugin has changed since the lane was taken, and whether some
   * lane had to be left for the next time; `bursts`: what `fillNewest` is to be asked for; `starved`: some lane has to wait
   * until others are done with their bodies
   */
  async fill(
    lanes: Iterable<Lane>,
    now: Date | null,
  ): Promise<{ filled: Lane[]; changed: Lane[]; bursts: DueBurst[]; more: boolean; starved: boolean }> {
    const chosen = chooseLanes([...lanes])
    const { wants, inHand, more, capacity } = chosen
    if (wants.length === 0) return { filled: [], changed: [], bursts: [], more, starved: chosen.starved }
    const due = await this.#fetch(wants, inHand, now)
    const byPlugin = Map.groupBy(due, (row) => row.plugin_id)
    const changed: Lane[] = []
    const fresh: Fresh[] = []
    const aside: { lane: Lane; row: DueBehind }[] = []
    const bursts: DueBurst[] = []
    for (const { lane, live, bulk } of wants) {
      const rows = byPlugin.get(lane.id) ?? []
      if (rows[0]?.revision !== lane.target.revision) {
        changed.push(lane)
        continue
      }
      const dueRows = rows.filter(isDue)
      if (dueRows.length > 0) lane.keep()
      else if (lane.coalesceKeys().length > 0) lane.restLooking(this.#onLookAgain)
      const bulkCount = dueRows.filter((row) => row.bulk).length
      if (live !== null) lane.live.fetched(dueRows.length - bulkCount, live.asked)
      if (bulk !== null) lane.bulk.fetched(bulkCount, bulk.asked)
      const { sendable, behind, isUndecided } = lane.target.ordered
        ? sortOut(lane, dueRows)
        : lane.target.coalesces
          ? splitBursts(lane, dueRows, bursts)
          : unordered(dueRows)
      for (const [index, row] of sendable.entries())
        fresh.push({ lane, row, place: lane.inHand.size + index })
      for (const row of behind) aside.push({ lane, row })
      if (isUndecided) lane.lookAgainLater(this.#onLookAgain)
    }
    const enqueued = await this.#enqueue(fresh, capacity)
    aside.push(...enqueued.aside)
    if (aside.length > 0) await this.#setAside(aside)
    const starved = chosen.starved || enqueued.starved
    return { filled: wants.map(({ lane }) => lane), changed, bursts, more, starved }
  }

  /**
   * Ends what waits of these keys but the newest of each, and takes that one in hand. Apart from `fill`, so that no other lane
   * waits for it or fails with it.
   *
   * @returns the lanes that were filled
   */
  async fillNewest(bursts: readonly DueBurst[], now: Date | null): Promise<Lane[]> {
    const lanes = [...new Set(bursts.map(({ lane }) => lane))]
    if (lanes.length === 0) return lanes
    try {
      await this.#enqueue(await this.#newestOf(bursts, now), null)
    } catch (error) {
      for (const lane of lanes) lane.hint()
      throw error
    }
    return lanes
  }

  /**
   * Takes deliveries in hand with their bodies.
   *
   * @param capacity for bodies; null: what there is of them has to be taken
   * @returns `aside`: those that wait for one of their key and have no place behind it; `starved`: some have to wait until
   * others are done with their bodies
   */
  async #enqueue(
    fresh: Fresh[],
    capacity: TenantCapacity | null,
  ): Promise<{ aside: { lane: Lane; row: DueBehind }[]; starved: boolean }> {
    const aside: { lane: Lane; row: DueBehind }[] = []
    let starved = false
    // Every lane's first before anybody's second: one lane's large bodies are not in the others' way.
    fresh.sort((a, b) => a.place - b.place)
    const { bodies, deferred } = await this.#bodiesOf(fresh)
    for (const { lane, row } of fresh) {
      if (!lane.isOpen) continue
      const isFull = row.bulk ? lane.bulkFull : lane.full
      const { tenantId } = lane.target
      const laneClass = row.bulk ? bulkClass(lane.class) : lane.class
      const isStarved = capacity?.hasPlace(tenantId, laneClass) === false
      starved ||= isStarved
      if (deferred.has(row.event_id) || isFull || isStarved) (row.bulk ? lane.bulk : lane.live).hint()
      else {
        const job = toJob(row, bodies.get(row.event_id) ?? null)
        capacity?.take(tenantId, laneClass, job.body?.length ?? 0)
        if (row.behind == null || lane.hasEnded(row.behind)) lane.enqueue(job)
        else if (!lane.enqueueBehind(job, row.behind)) aside.push({ lane, row: row as DueBehind })
      }
    }
    return { aside, starved }
  }

  async #fetch(wants: readonly LaneFetch[], inHand: readonly string[], now: Date | null): Promise<Found[]> {
    const of = (mode: Mode) =>
      wants
        .filter(({ lane }) => modeOf(lane) === mode)
        .map(({ lane, live, bulk }) => ({
          pluginId: lane.id,
          live: live?.size ?? 0,
          bulk: bulk?.size ?? 0,
        }))
    const [plain, ordered, coalesced] = [of('plain'), of('ordered'), of('coalesced')]
    const found: Found[] = plain.length === 0 ? [] : await fetchDue(this.#pool, plain, inHand, now)
    if (ordered.length > 0) found.push(...(await fetchOrdered(this.#pool, ordered, inHand, now)))
    if (coalesced.length > 0) {
      const keys = wants.flatMap(({ lane }) => (modeOf(lane) === 'coalesced' ? lane.coalesceKeys() : []))
      found.push(...(await fetchCoalesced(this.#pool, coalesced, { ids: inHand, keys }, now)))
    }
    return found
  }

  /** Ends what waits of these keys but the newest of each. @returns those that can be sent */
  async #newestOf(bursts: readonly DueBurst[], now: Date | null): Promise<Fresh[]> {
    const byKey = new Map(bursts.map((burst) => [burst.key, burst]))
    const found = await supersede(
      this.#pool,
      bursts.map(({ lane, key }) => ({ pluginId: lane.id, leaseToken: lane.hold.leaseToken, key })),
      now,
    )
    const sendable: Fresh[] = []
    for (const newest of found) {
      const burst = byKey.get(newest.key)
      if (burst === undefined) continue
      const { lane, place } = burst
      const ended = Object.entries(newest.superseded ?? {})
      for (const [event, count] of ended) this.#onSuperseded(lane, event, count)
      if (newest.complete) {
        if (newest.sendable) sendable.push({ lane, row: dueOfNewest(newest, lane), place })
      } else if (ended.length > 0) lane.hint()
      else lane.lookAgainLater(this.#onLookAgain)
    }
    return sendable
  }

  /** Sets deliveries aside that wait for one of their key. What cannot be now is found once more in a moment. */
  async #setAside(found: readonly { lane: Lane; row: DueBehind }[]): Promise<void> {
    // Before, so that its end while this is written is not missed.
    for (const { lane, row } of found) lane.noteFollowed(row.behind)
    const done = await setAside(
      this.#pool,
      found.map(({ lane, row }) => ({
        tenantId: lane.target.tenantId,
        id: row.id,
        place: row.place,
        behind: row.behind,
        behindPlace: row.behind_place,
      })),
    )
    for (const { lane, row } of found) {
      if (!done.has(row.id) && lane.isOpen) lane.lookAgainLater(this.#onLookAgain)
    }
    const hurried = found.filter(({ row }) => !row.bulk && row.behind_bulk === true)
    if (hurried.length === 0) return
    const keys = hurried.map(({ lane, row }): HurriedKey => ({
      tenantId: lane.target.tenantId,
      pluginId: lane.id,
      key: row.ordering_key,
    }))
    const ids = await hurryKeys(this.#pool, keys)
    for (const lane of new Set(hurried.map((each) => each.lane))) for (const id of ids) lane.promote(id)
  }

  forget(): void {
    this.#bodies.clear()
  }

  async #bodiesOf(
    fresh: readonly { lane: Lane; row: Due }[],
  ): Promise<{ bodies: Map<string, Content>; deferred: Set<string> }> {
    const bodies = new Map<string, Content>()
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
        const content = {
          body: found.body,
          causationDepth: found.causation_depth,
          publisher: found.publisher,
        }
        bodies.set(found.id, content)
        this.#bodies.set(found.id, content)
      }
    }
    return { bodies, deferred }
  }
}

function chooseLanes(lanes: readonly Lane[]): {
  wants: LaneFetch[]
  inHand: string[]
  more: boolean
  starved: boolean
  capacity: TenantCapacity
} {
  const capacity = new TenantCapacity(BODIES_MAX_CHARS)
  for (const lane of lanes) {
    capacity.take(lane.target.tenantId, lane.class, lane.bodyChars - lane.bulkChars)
    capacity.take(lane.target.tenantId, bulkClass(lane.class), lane.bulkChars)
  }
  let starved = false
  const wants: LaneFetch[] = []
  const inHand: string[] = []
  let rows = 0
  for (const lane of lanes) {
    if (!lane.wantsFetch()) continue
    if (rows >= FETCH_TOTAL_MAX) return { wants, inHand, more: true, starved, capacity }
    const { tenantId } = lane.target
    const live = lane.wantsLive() && capacity.hasPlace(tenantId, lane.class) ? fetchOf(lane.live) : null
    const bulk =
      lane.wantsBulk() && capacity.hasPlace(tenantId, bulkClass(lane.class)) ? fetchOf(lane.bulk) : null
    if ((lane.wantsLive() && live === null) || (lane.wantsBulk() && bulk === null)) starved = true
    if (live === null && bulk === null) continue
    wants.push({ lane, live, bulk })
    lane.beginLook()
    for (const id of lane.inHand.keys()) inHand.push(id)
    rows += (live?.size ?? 0) + (bulk?.size ?? 0)
  }
  return { wants, inHand, more: false, starved, capacity }
}

function fetchOf(backlog: Backlog): BacklogFetch {
  return { size: backlog.fetchSize, asked: backlog.beginFetch() }
}

interface SortedOut {
  /** Those that wait for another one of their key stand behind it, and it is in hand or among them. */
  sendable: readonly Due[]
  behind: readonly DueBehind[]
  isUndecided: boolean
}

function unordered(rows: readonly Due[]): SortedOut {
  return { sendable: rows, behind: [], isUndecided: false }
}

type Mode = 'plain' | 'ordered' | 'coalesced'

function modeOf({ target }: Lane): Mode {
  if (target.ordered) return 'ordered'
  return target.coalesces ? 'coalesced' : 'plain'
}

/**
 * Takes the keys of what is due in a lane to `bursts`, and leaves what has none. No more than is sent soon: the rest stays due,
 * and may be replaced until then.
 */
function splitBursts(lane: Lane, rows: readonly Due[], bursts: DueBurst[]): SortedOut {
  const decided = rows.filter((row) => row.undecided !== true)
  const sendable: Due[] = []
  const keys = new Set<string>()
  let isCut = false
  for (const row of decided) {
    const key = row.coalesce_key ?? null
    if (key !== null && keys.has(key)) continue
    if (sendable.length + keys.size >= lane.coalescedFree) {
      isCut = true
      break
    }
    if (key === null) sendable.push(row)
    else {
      bursts.push({ lane, key, place: lane.inHand.size + sendable.length + keys.size })
      keys.add(key)
    }
  }
  if (isCut) lane.hint()
  return { sendable, behind: [], isUndecided: decided.length < rows.length }
}

function dueOfNewest({ key, complete: _, sendable: __, superseded: ___, ...row }: Newest, lane: Lane): Due {
  return { ...row, revision: lane.target.revision, coalesce_key: key }
}

/** Tells what can be taken in hand of what is due in a lane that keeps order. */
function sortOut(lane: Lane, rows: readonly Due[]): SortedOut {
  const decided = rows.filter((row) => row.undecided !== true)
  const byId = new Map(decided.map((row) => [row.id, row]))
  const sendable = new Set<Due>()
  const behind: DueBehind[] = []
  for (const row of decided) {
    // From the row to what it waits for at last.
    const chain: Due[] = []
    let last: Due | undefined = row
    for (; last !== undefined && !sendable.has(last); last = byId.get(last.behind ?? '')) chain.push(last)
    const end = chain.at(-1)
    const isReached =
      last !== undefined || end?.behind == null || lane.inHand.has(end.behind) || lane.hasEnded(end.behind)
    if (isReached && chain.length <= QUEUED_BEHIND_ONE_MAX)
      for (const each of chain.reverse()) sendable.add(each)
    else behind.push(row as DueBehind)
  }
  return { sendable: [...sendable], behind, isUndecided: decided.length < rows.length }
}

function isDue(row: Found): row is Due {
  return row.id !== null
}

function toJob(row: Due, content: Content | null): Job {
  return {
    deliveryId: row.id,
    eventId: row.event_id,
    event: row.event,
    attemptCount: row.attempt_count,
    roundFailures: row.round_failures,
    body: content?.body ?? null,
    payload: row.payload,
    causationDepth: content?.causationDepth ?? 0,
    bulk: row.bulk,
    followed: row.followed === true,
    coalesceKey: row.coalesce_key ?? null,
    publisher: content?.publisher ?? 'platform',
  }
}

import { Buffer } from 'node:buffer'
import type pg from 'pg'
import { parseJson } from '#lib/json/index.ts'
import { isSubscribed } from '#modules/event/index.ts'
import {
  clearUnsubscribed,
  giveUpUnsubscribed,
  type NarrowedLane,
  type QueuePlace,
  readSubscriptions,
  readWaiting,
  type WaitingDelivery,
} from './unsubscribe-repository.ts'

/**
 * Looks over what waits for a plugin whose subscriptions were narrowed, a batch at a time, and ends what it is not
 * subscribed to any more. The lane is held meanwhile, so that none of it is being attempted.
 *
 * @param keepHeld called before each batch: prolongs the lane's lease in time
 */
export async function endUnsubscribed(
  pool: pg.Pool,
  lane: NarrowedLane,
  keepHeld: () => Promise<void>,
): Promise<void> {
  const subscriptions = await readSubscriptions(pool, lane)
  if (subscriptions === null) return
  const withBodies = subscriptions.some(({ filter }) => filter !== null)
  let moved = false
  for (let after: QueuePlace | null = null; ;) {
    await keepHeld()
    const waiting = await readWaiting(pool, lane, after, withBodies)
    const last = waiting.at(-1)
    if (last === undefined) {
      if (!moved) break
      // What was set aside behind something that has ended now stands before where the look began.
      moved = false
      after = null
      continue
    }
    const ended = waiting.filter(({ event, body }) => !isSubscribed(subscriptions, event, () => dataOf(body)))
    if (ended.length > 0) {
      await giveUpUnsubscribed(pool, lane, idsOf(ended))
      moved ||= waiting.some(({ behind }) => behind)
    }
    after = { bulk: last.bulk, dueAt: last.due_at, id: last.id }
  }
  await clearUnsubscribed(pool, lane)
}

function dataOf(body: string | null): unknown {
  return body === null ? undefined : (parseJson(Buffer.from(body)) as { data: unknown }).data
}

function idsOf(deliveries: readonly WaitingDelivery[]): string[] {
  return deliveries.map(({ id }) => id)
}

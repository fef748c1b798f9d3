import type { Kysely, Transaction } from 'kysely'
import { isUnavailable } from '#db/errors.ts'
import type { DB } from '#db/schema.ts'
import type { Signals } from '#infra/signals.ts'
import { ALERTS_PER_HOUR, causationOfAlert, type EventService, type NewEvent } from '#modules/event/index.ts'
import {
  findLateQueues,
  findPromptQueues,
  type LateQueue,
  type Look,
  type PromptQueue,
  setBehind,
  setPrompt,
} from './queue-repository.ts'

export interface QueueWatchContext {
  db: Kysely<DB>
  events: EventService
  signals: Signals
}

/**
 * Tells of queues that are behind, and of those that have caught up. Each is told once, however many workers look: the note
 * of it is conditional, and in the transaction of the event. A queue of which that fails keeps no other from being told of.
 * @throws at the end, with the errors of those that failed
 */
export async function watchQueues(ctx: QueueWatchContext, look: Look): Promise<void> {
  const errors: unknown[] = []
  const goingOn = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work()
    } catch (error) {
      if (isUnavailable(error)) throw error
      errors.push(error)
    }
  }
  await goingOn(async () => {
    for (const queue of await findLateQueues(ctx.db, look)) await goingOn(() => tellBehind(ctx, queue))
  })
  await goingOn(async () => {
    for (const queue of await findPromptQueues(ctx.db, look)) await goingOn(() => tellCaughtUp(ctx, queue))
  })
  if (errors.length === 1) throw errors[0]
  if (errors.length > 1) throw new AggregateError(errors, `${errors.length} queues could not be told of`)
}

async function tellBehind(ctx: QueueWatchContext, queue: LateQueue): Promise<void> {
  await tell(ctx, queue, async (trx) =>
    (await setBehind(trx, queue, queue.since))
      ? {
          event: 'queue.behind',
          data: behind(queue),
          causation: causationOfAlert({ eventId: queue.eventId, depth: queue.causationDepth }),
        }
      : null,
  )
}

async function tellCaughtUp(ctx: QueueWatchContext, queue: PromptQueue): Promise<void> {
  await tell(ctx, queue, async (trx) => {
    const since = await setPrompt(trx, queue)
    return since === null ? null : { event: 'queue.caught_up', data: caughtUp(queue, since) }
  })
}

async function tell(
  { db, events, signals }: QueueWatchContext,
  { tenantId, pluginId }: PromptQueue,
  note: (trx: Transaction<DB>) => Promise<Pick<NewEvent, 'event' | 'data' | 'causation'> | null>,
): Promise<void> {
  const due = await db.transaction().execute(async (trx) => {
    const news = await note(trx)
    if (news === null) return null
    return events.emitIn(trx, {
      tenantId,
      ...news,
      source: 'system',
      exceptPluginId: pluginId,
      mostPerHour: ALERTS_PER_HOUR,
    })
  })
  if (due === null) return
  signals.publish('events_stored', [tenantId])
  if (due.length > 0) signals.publish('deliveries_due', due)
}

type Reason = 'rate_limit' | 'slow' | 'no_worker'

const SAID: Record<Reason, { why: string; advice: (slug: string) => string }> = {
  rate_limit: {
    why: 'its rate limit lets through less than comes',
    advice: (slug) => `Raise the rate limit by PATCH /api/plugins/${slug}, or subscribe to less.`,
  },
  slow: {
    why: 'it takes deliveries slower than they come',
    advice: () => 'Answer before working on an event, or allow more requests at once by max_in_flight.',
  },
  no_worker: {
    why: 'no worker has taken them',
    advice: () => 'Whoever runs the service sees by GET /health/ready whether its workers run and keep up.',
  },
}

function behind({ slug, pluginId, since, waitingSeconds, waiting, held, limited, ...oldest }: LateQueue) {
  const reason: Reason = held ? (limited ? 'rate_limit' : 'slow') : 'no_worker'
  const { why, advice } = SAID[reason]
  return {
    plugin: slug,
    plugin_id: pluginId,
    behind_since: since.toISOString(),
    waiting_seconds: waitingSeconds,
    waiting,
    reason,
    cause: { event: oldest.event, delivery_id: oldest.deliveryId },
    summary: `What is due to ${slug} is ${waitingSeconds} s late, ${waiting} deliveries wait: ${why}.`,
    what_to_do: advice(slug),
  }
}

function caughtUp({ slug, pluginId }: PromptQueue, since: Date) {
  return {
    plugin: slug,
    plugin_id: pluginId,
    behind_since: since.toISOString(),
    summary: `What is due to ${slug} is sent in time again.`,
  }
}

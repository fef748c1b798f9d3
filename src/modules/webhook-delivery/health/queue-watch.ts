import type { Kysely, Transaction } from 'kysely'
import { isUnavailable } from '#db/errors.ts'
import type { DB } from '#db/schema.ts'
import type { Signals } from '#infra/signals.ts'
import { ALERTS_PER_HOUR, causationOfAlert, type EventService, type NewEvent } from '#modules/event/index.ts'
import { findHeldKeys, type HeldKey } from './held-key-repository.ts'
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
    for (const queue of await findLateQueues(ctx.db, look)) {
      const reason = queue.held ? (queue.limited ? 'rate_limit' : 'slow') : 'no_worker'
      await goingOn(() => tellBehind(ctx, queue, reason))
    }
  })
  await goingOn(async () => {
    for (const queue of await findHeldKeys(ctx.db, look)) await goingOn(() => tellBehind(ctx, queue, 'behind'))
  })
  await goingOn(async () => {
    for (const queue of await findPromptQueues(ctx.db, look)) await goingOn(() => tellCaughtUp(ctx, queue))
  })
  if (errors.length === 1) throw errors[0]
  if (errors.length > 1) throw new AggregateError(errors, `${errors.length} queues could not be told of`)
}

async function tellCaughtUp(ctx: QueueWatchContext, queue: PromptQueue): Promise<void> {
  await tell(ctx, queue, async (trx) => {
    const since = await setPrompt(trx, queue)
    return since === null ? null : { event: 'queue.caught_up', data: caughtUp(queue, since) }
  })
}

async function tellBehind(ctx: QueueWatchContext, queue: LateQueue | HeldKey, reason: Reason): Promise<void> {
  await tell(ctx, queue, async (trx) =>
    (await setBehind(trx, queue, queue.since))
      ? {
          event: 'queue.behind',
          data: behind(queue, reason),
          causation: causationOfAlert({ eventId: queue.eventId, depth: queue.causationDepth }),
        }
      : null,
  )
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

type Reason = 'rate_limit' | 'slow' | 'no_worker' | 'behind'

const SAID: Record<Reason, { why: string; advice: (queue: { slug: string; deliveryId: string }) => string }> =
  {
    rate_limit: {
      why: 'its rate limit lets through less than comes',
      advice: ({ slug }) => `Raise the rate limit by PATCH /api/plugins/${slug}, or subscribe to less.`,
    },
    slow: {
      why: 'it takes deliveries slower than they come',
      advice: () => 'Answer before working on an event, or allow more requests at once by max_in_flight.',
    },
    no_worker: {
      why: 'no worker has taken them',
      advice: () => 'Whoever runs the service sees by GET /health/ready whether its workers run and keep up.',
    },
    behind: {
      why: 'another of the same key goes first and has not arrived',
      advice: ({ deliveryId }) =>
        `GET /api/plugins/events/${deliveryId} shows what goes first and why it fails. Mend that, and POST ` +
        `/api/plugins/events/${deliveryId}/retry sends it at once; the others follow when it has arrived or has failed for good.`,
    },
  }

function behind(queue: LateQueue | HeldKey, reason: Reason) {
  const { slug, pluginId, since, waitingSeconds, waiting, event, deliveryId } = queue
  const { why, advice } = SAID[reason]
  return {
    plugin: slug,
    plugin_id: pluginId,
    behind_since: since.toISOString(),
    waiting_seconds: waitingSeconds,
    waiting,
    reason,
    cause: { event, delivery_id: deliveryId },
    summary: `What is due to ${slug} is ${waitingSeconds} s late, ${waiting} deliveries wait: ${why}.`,
    what_to_do: advice(queue),
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

import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { bodyToSend, deliveryView, placeAgain } from '#modules/event/index.ts'
import { viewRequest } from '../destinations/request-view.ts'
import { WAITING_IN_HAND_MAX } from '../lanes/backlog.ts'
import { QUEUED_BEHIND_MAX } from '../lanes/lane.ts'

/** Attempts shown with a delivery. */
const ATTEMPTS_SHOWN = 100
/** Attempts that a plugin has under way, where it does not say how many it takes. */
const UNDER_WAY_MAX = 1_000

export async function findDelivery(
  { db, origin }: { db: Kysely<DB>; origin: string | null },
  tenantId: string,
  id: string,
  pluginId: string | null,
) {
  let query = deliveryView(db, tenantId).select('d.payload').where('d.id', '=', id)
  if (pluginId !== null) query = query.where('d.plugin_id', '=', pluginId)
  const found = await query.executeTakeFirst()
  if (found === undefined) return undefined
  const { payload, ...delivery } = found
  const attempts = await db
    .selectFrom('delivery_attempts')
    .select([
      'number',
      'started_at',
      'duration_ms',
      'response_status',
      'error_class',
      'error_detail',
      'response_headers',
      'response_body',
      'response_truncated',
      'request',
    ])
    .where('tenant_id', '=', tenantId)
    .where('delivery_id', '=', id)
    .orderBy('number', 'desc')
    .limit(ATTEMPTS_SHOWN)
    .execute()
  const event = await db
    .selectFrom('events')
    .leftJoin('plugins as publisher', (join) =>
      join
        .onRef('publisher.id', '=', 'events.publisher_plugin_id')
        .onRef('publisher.tenant_id', '=', 'events.tenant_id'),
    )
    .select(['events.body', 'events.causation_depth', 'publisher.slug as publisher'])
    .where('events.tenant_id', '=', tenantId)
    .where('events.id', '=', delivery.event_id)
    .executeTakeFirst()
  return {
    ...delivery,
    request_body:
      event?.body == null ? null : bodyToSend(event.body, payload, { eventId: delivery.event_id, origin }),
    attempts: attempts.reverse().map(({ request, ...attempt }) => ({
      ...attempt,
      request:
        request === null
          ? null
          : viewRequest(request, {
              tenantId,
              eventId: delivery.event_id,
              event: delivery.event,
              publisher: event?.publisher ?? 'platform',
              causationDepth: (event?.causation_depth ?? 0) + 1,
              attempt: attempt.number,
              startedAt: attempt.started_at,
            }),
    })),
  }
}

export type Retryable = NonNullable<Awaited<ReturnType<typeof lockRetryable>>>

/**
 * A delivery that can be sent again, kept from changing; undefined: there is nothing to send any more, or nobody to
 * send it to.
 */
export async function lockRetryable(trx: Transaction<DB>, tenantId: string, id: string) {
  return (
    trx
      .selectFrom('deliveries as d')
      .innerJoin('events as e', (join) =>
        join.onRef('e.tenant_id', '=', 'd.tenant_id').onRef('e.id', '=', 'd.event_id'),
      )
      .innerJoin('plugins as p', (join) =>
        join.onRef('p.tenant_id', '=', 'd.tenant_id').onRef('p.id', '=', 'd.plugin_id'),
      )
      .innerJoin('delivery_lanes as l', (join) =>
        join.onRef('l.plugin_id', '=', 'p.id').onRef('l.tenant_id', '=', 'p.tenant_id'),
      )
      .select(['d.id', 'd.status', 'd.event_id', 'd.event', 'd.plugin_id'])
      // Somebody holds the lane and has it in hand, or is about to; of what waits in bulk, that is a small part. What many go
      // before is not in hand yet.
      .select(
        sql<
          'no' | 'bulk' | 'live'
        >`case when d.status in ('pending', 'retry') and d.due_at <= clock_timestamp()
          and l.lease_until > clock_timestamp() then case when d.bulk then 'bulk'
            when exists (
              select from deliveries b
              where b.tenant_id = d.tenant_id and b.plugin_id = d.plugin_id and b.status in ('pending', 'retry')
                and not b.bulk and b.due_at <= d.due_at and (b.due_at, b.id) < (d.due_at, d.id)
              order by b.due_at offset ${WAITING_IN_HAND_MAX} + coalesce(p.max_in_flight, ${UNDER_WAY_MAX})
                + case p.ordering when 'key' then ${QUEUED_BEHIND_MAX} else 0 end
              limit 1
            ) then 'no' else 'live' end
          else 'no' end`.as('may_be_in_hand'),
      )
      .where('d.tenant_id', '=', tenantId)
      .where('d.id', '=', id)
      .where('e.body', 'is not', null)
      .where('p.deleted_at', 'is', null)
      .forNoKeyUpdate('d')
      .executeTakeFirst()
  )
}

/**
 * Puts a delivery that is due before what replays ask for. Its status and schedule stay, so that an attempt that is under
 * way may end as any other does.
 */
export async function putBeforeBulk(trx: Transaction<DB>, tenantId: string, id: string): Promise<void> {
  await trx
    .updateTable('deliveries')
    .set({ reason: 'manual_retry', due_at: sql<Date>`now()`, bulk: false, coalesce_key: null })
    .where('tenant_id', '=', tenantId)
    .where('id', '=', id)
    .execute()
}

/** Makes a delivery that has not arrived due now, before what replays ask for, with a fresh retry schedule. */
export async function startAgain(trx: Transaction<DB>, tenantId: string, id: string): Promise<void> {
  await trx
    .updateTable('deliveries')
    .set({
      status: 'pending',
      reason: 'manual_retry',
      due_at: sql<Date>`now()`,
      round_failures: 0,
      bulk: false,
      behind_since: null,
      ordering_place: placeAgain(),
      // What a person asks for is sent whatever is newer.
      coalesce_key: null,
      superseded_by: null,
    })
    .where('tenant_id', '=', tenantId)
    .where('id', '=', id)
    .where('status', '<>', 'sent')
    .execute()
}

/** The youngest delivery of an event to a plugin. */
export async function findLastDelivery(
  db: Kysely<DB>,
  tenantId: string,
  { event_id, plugin_id }: { event_id: string; plugin_id: string },
): Promise<string | undefined> {
  const row = await db
    .selectFrom('deliveries')
    .select('id')
    .where('tenant_id', '=', tenantId)
    .where('event_id', '=', event_id)
    .where('plugin_id', '=', plugin_id)
    .orderBy('resend', 'desc')
    .limit(1)
    .executeTakeFirst()
  return row?.id
}

export async function findPluginRevision(
  db: Kysely<DB>,
  tenantId: string,
  pluginId: string,
): Promise<number | undefined> {
  const row = await db
    .selectFrom('plugins')
    .select('revision')
    .where('tenant_id', '=', tenantId)
    .where('id', '=', pluginId)
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
  return row?.revision
}

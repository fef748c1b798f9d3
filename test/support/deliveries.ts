import { setTimeout as wait } from 'node:timers/promises'
import { type Kysely, sql } from 'kysely'
import type { DB } from '#db/schema.ts'
import { newId } from '#lib/ids.ts'
import type { DeliveryCounts } from '#modules/webhook-delivery/outcomes/tally.ts'
import type { Tenant, TestApp } from './app.ts'

export interface RegisteredPlugin {
  id: string
  slug: string
  secret: string
}

/** Registers a plugin for the shop's own events (not those about plugins), unless `fields` says otherwise. */
export async function registerPlugin(
  tenant: Tenant,
  webhookUrl: string,
  fields: Record<string, unknown> = {},
): Promise<RegisteredPlugin> {
  const response = await tenant.post('/api/plugins', {
    name: `plugin ${crypto.randomUUID().slice(0, 8)}`,
    webhook_url: webhookUrl,
    events: ['product.*', 'order.*'],
    ...fields,
  })
  if (response.statusCode !== 201) throw new Error(`not registered: ${response.body}`)
  return response.json<RegisteredPlugin>()
}

/** @returns the event's id, which is the `webhook-id` of its deliveries */
export async function sendEvent(
  tenant: Tenant,
  event = 'product.created',
  data: unknown = { id: 1 },
): Promise<string> {
  const response = await tenant.post('/api/events', { event, data })
  if (response.statusCode !== 202) throw new Error(`not accepted: ${response.body}`)
  return response.json<{ id: string }>().id
}

export async function sendEvents(
  tenant: Tenant,
  count: number,
  event = 'product.created',
): Promise<string[]> {
  const ids: string[] = []
  for (let from = 0; from < count; from += 1_000) {
    const events = Array.from({ length: Math.min(1_000, count - from) }, (_, index) => ({
      event,
      data: { number: from + index },
    }))
    const response = await tenant.post('/api/events', { events })
    if (response.statusCode !== 202) throw new Error(`not accepted: ${response.body}`)
    for (const { id } of response.json<{ results: { id: string }[] }>().results) ids.push(id)
  }
  return ids
}

/** The clock that decides what is due: the machine's, until a test moves it on. */
export class TestClock {
  /**
   * JavaScript's times end at the millisecond, Postgres' do not: a delivery that is due now must not be due in 0.3
   * ms.
   */
  #aheadMs = 1
  #heldAtMs: number | null = null

  readonly now = (): Date => new Date((this.#heldAtMs ?? Date.now()) + this.#aheadMs)

  /** Stands still from now on but for `advance`: measurements with it do not depend on the time that a test takes. */
  hold(): this {
    this.#heldAtMs = Date.now()
    return this
  }

  advance(ms: number): void {
    this.#aheadMs += ms
  }
}

/** Delivers what is due for one tenant, as a worker of its own. */
export function deliverDue(
  { app }: Pick<TestApp, 'app'>,
  tenant: Pick<Tenant, 'id'>,
  clock?: TestClock,
  deadlineMs = PATIENCE_MS,
): Promise<DeliveryCounts> {
  return app.deliveries
    .createWorker({ tenantId: tenant.id, ...(clock !== undefined && { now: clock.now }) })
    .drain(deadlineMs)
}

/** A plugin's deliveries, oldest first. */
export function deliveriesOf(db: Kysely<DB>, pluginId: string) {
  return db.selectFrom('deliveries').selectAll().where('plugin_id', '=', pluginId).orderBy('id').execute()
}

/** The one delivery that a plugin has. */
export async function onlyDelivery(db: Kysely<DB>, pluginId: string) {
  const [delivery, ...others] = await deliveriesOf(db, pluginId)
  if (delivery === undefined || others.length > 0) throw new Error(`${others.length + 1} deliveries, not one`)
  return delivery
}

/** Every attempt at a plugin's deliveries, in the order they were made. */
export function attemptsOf(db: Kysely<DB>, pluginId: string) {
  return db
    .selectFrom('delivery_attempts as a')
    .innerJoin('deliveries as d', (join) =>
      join.onRef('d.tenant_id', '=', 'a.tenant_id').onRef('d.id', '=', 'a.delivery_id'),
    )
    .selectAll('a')
    .where('d.plugin_id', '=', pluginId)
    .orderBy('a.started_at')
    .orderBy('a.number')
    .execute()
}

export function laneOf(db: Kysely<DB>, pluginId: string) {
  return db
    .selectFrom('delivery_lanes')
    .selectAll()
    .where('plugin_id', '=', pluginId)
    .executeTakeFirstOrThrow()
}

/** Counts a plugin's deliveries by status. */
export async function statusesOf(db: Kysely<DB>, pluginId: string): Promise<Record<string, number>> {
  const rows = await db
    .selectFrom('deliveries')
    .select(['status', sql<number>`count(*)::int`.as('count')])
    .where('plugin_id', '=', pluginId)
    .groupBy('status')
    .execute()
  return Object.fromEntries(rows.map(({ status, count }) => [status, count]))
}

/** Writes `count` events with one delivery each to one plugin, as intake leaves them: for backlogs. */
export async function seedBacklog(
  db: Kysely<DB>,
  tenantId: string,
  pluginId: string,
  count: number,
): Promise<void> {
  const body = JSON.stringify({
    event: 'order.created',
    tenant_id: tenantId,
    timestamp: new Date(),
    data: {},
  })
  await sql`
    with seeded as (
      insert into events (tenant_id, id, fingerprint, event, source, occurred_at, position, body)
      select ${tenantId}::uuid, gen_random_uuid(), '', 'order.created', 'api', now(), 0, ${body}
      from generate_series(1, ${count})
      returning tenant_id, id, event
    )
    insert into deliveries (tenant_id, id, plugin_id, event_id, event)
    select tenant_id, gen_random_uuid(), ${pluginId}::uuid, id, event from seeded
  `.execute(db)
}

/** One event of a size, with one delivery. */
export async function seedLargeEvent(
  db: Kysely<DB>,
  tenantId: string,
  pluginId: string,
  bodyBytes: number,
): Promise<void> {
  const id = newId()
  const head = `{"event":"order.created","tenant_id":"${tenantId}","timestamp":"2026-01-01T00:00:00.000Z","data":"`
  await sql`
    with seeded as (
      insert into events (tenant_id, id, fingerprint, event, source, occurred_at, position, body)
      values (${tenantId}, ${id}, '', 'order.created', 'api', now(), 0,
        ${head} || repeat('x', ${bodyBytes - head.length - 2}::int) || '"}')
    )
    insert into deliveries (tenant_id, id, plugin_id, event_id, event)
    values (${tenantId}, ${newId()}, ${pluginId}, ${id}, 'order.created')
  `.execute(db)
}

/** The shortest and the longest time between two looks. */
const STEP_MS = { min: 10, max: 100 }
/** A look takes at most so much of the time: asking Postgres every 10 ms is work for half a core. */
const LOOKS_SHARE = 0.1
/** Who has waited for long need not know at once. */
const LATE_SHARE = 0.05
/** Nothing takes as long; machines that run several tests on one slow core come near. */
const PATIENCE_MS = 60_000

/**
 * Resolves with the first answer that is not false, undefined or null.
 * @throws {Error} naming `what`, if there is none in time
 */
export async function eventually<T>(
  what: string,
  look: () => T | Promise<T>,
  timeoutMs = PATIENCE_MS,
): Promise<Exclude<T, false | undefined | null>> {
  const startedAt = performance.now()
  for (;;) {
    const lookedAt = performance.now()
    const answer = await look()
    if (answer !== false && answer !== undefined && answer !== null)
      return answer as Exclude<T, false | undefined | null>
    const now = performance.now()
    if (now - startedAt > timeoutMs) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    const step = Math.max((now - lookedAt) / LOOKS_SHARE, (now - startedAt) * LATE_SHARE)
    await wait(Math.min(STEP_MS.max, Math.max(STEP_MS.min, step)))
  }
}

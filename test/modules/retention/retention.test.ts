import { sql } from 'kysely'
import t from 'tap'
import { hashApiKey } from '#lib/secrets/api-key.ts'
import { newId } from '#lib/ids.ts'
import { type RetentionCounts, type RetentionFailure, runRetention } from '#modules/retention/index.ts'
import { withSessionLock } from '#infra/session-lock-repository.ts'
import { ensureTenant } from '#test/modules/plugin/support.ts'
import { createTestDatabase } from '#test/support/database.ts'
import {
  deliveriesOf,
  hoursAgo,
  idAt,
  seedDelivery,
  seedEvent,
  seedPlugin,
} from '#test/modules/replay/support.ts'

const database = await createTestDatabase(t)
const { db } = database
const ctx = { db, days: 90, bodyDays: 30, pauseMs: 0 }
/** Each test lives before those that ran before it, so that it ages out what is its own only. */
let year = 2090

function nextNow(): Date {
  return new Date(Date.UTC(year--, 5, 15))
}

function daysBefore(now: Date, days: number): Date {
  return hoursAgo(days * 24, now)
}

async function run(now: Date): Promise<Partial<RetentionCounts>> {
  const counts = await runRetention(ctx, { now })
  if (counts === null) throw new Error('somebody else holds the lock')
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0))
}

async function eventsOf(tenantId: string) {
  const rows = await db.selectFrom('events').selectAll().where('tenant_id', '=', tenantId).execute()
  return new Map(rows.map((row) => [row.id, row]))
}

async function attemptsOf(tenantId: string) {
  return db.selectFrom('delivery_attempts').selectAll().where('tenant_id', '=', tenantId).execute()
}

t.test('bodies go after their days, events with all that hangs on them after theirs', async (t) => {
  const now = nextNow()
  const tenantId = newId()
  const plugin = await seedPlugin(db, tenantId)
  const seed = async (days: number) => {
    const at = daysBefore(now, days)
    const event = await seedEvent(db, tenantId, { at })
    await seedDelivery(db, tenantId, plugin.id, event, 'sent', { at, responseBodies: ['no', 'ok'] })
    return event
  }
  const [ancient, old, young] = [await seed(90.01), await seed(30.01), await seed(29.99)]
  const edge = await seed(89.99)

  t.strictSame(await run(now), { bodies: 2, responses: 4, events: 1, deliveries: 1, attempts: 2 })
  const events = await eventsOf(tenantId)
  t.notOk(events.has(ancient))
  for (const event of [old, edge]) t.match(events.get(event), { body: null, body_gone: 'expired' })
  t.match(events.get(young), { body: /order/, body_gone: null })
  const deliveries = await deliveriesOf(db, plugin.id)
  t.strictSame([...deliveries.keys()].sort(), [old, young, edge].sort())
  const attempts = await attemptsOf(tenantId)
  t.equal(attempts.length, 6)
  for (const { delivery_id, response_body, response_status } of attempts) {
    t.equal(response_body !== null, delivery_id === deliveries.get(young)?.id)
    t.equal(response_status, 500, 'what happened is kept longer than what was said')
  }
  t.strictSame(await run(now), {}, 'a second run finds nothing')
})

t.test('what is still to be delivered stays whole, until it is done', async (t) => {
  const now = nextNow()
  const tenantId = newId()
  const [paused, other] = [await seedPlugin(db, tenantId), await seedPlugin(db, tenantId)]
  const waiting = await seedEvent(db, tenantId, { at: daysBefore(now, 200) })
  const retried = await seedEvent(db, tenantId, { at: daysBefore(now, 40) })
  await seedDelivery(db, tenantId, paused.id, waiting, 'pending')
  await seedDelivery(db, tenantId, other.id, waiting, 'sent', { responseBodies: ['ok'] })
  await seedDelivery(db, tenantId, paused.id, retried, 'retry', { responseBodies: ['no'] })

  t.strictSame(await run(now), {})
  const events = await eventsOf(tenantId)
  t.match([events.get(waiting), events.get(retried)], [{ body: /order/ }, { body: /order/ }])
  t.equal((await attemptsOf(tenantId)).filter(({ response_body }) => response_body !== null).length, 2)

  await db
    .updateTable('deliveries')
    .set({ status: 'sent', due_at: null })
    .where('plugin_id', '=', paused.id)
    .execute()
  t.strictSame(await run(now), { bodies: 1, responses: 1, events: 1, deliveries: 2, attempts: 1 })
  t.strictSame([...(await eventsOf(tenantId)).keys()], [retried])
})

t.test('what is known of events that were set aside goes with them', async (t) => {
  const now = nextNow()
  const tenantId = newId()
  const plugin = await seedPlugin(db, tenantId)
  const at = daysBefore(now, 100)
  const [old, waiting] = [await seedEvent(db, tenantId, { at }), await seedEvent(db, tenantId, { at })]
  const young = await seedEvent(db, tenantId, { at: daysBefore(now, 1) })
  await seedDelivery(db, tenantId, plugin.id, waiting, 'pending')
  const setAside = [old, waiting, young].map((event_id) => ({
    tenant_id: tenantId,
    event_id,
    reason: 'poison',
  }))
  await db.insertInto('set_aside_events').values(setAside).execute()
  const left = async (): Promise<string[]> => {
    const rows = await db
      .selectFrom('set_aside_events')
      .select('event_id')
      .where('tenant_id', '=', tenantId)
      .execute()
    return rows.map(({ event_id }) => event_id).sort()
  }
  await db.transaction().execute(async (trx) => {
    await trx.selectFrom('set_aside_events').selectAll().where('event_id', '=', old).forUpdate().execute()
    t.strictSame(
      await run(now),
      { bodies: 1, postponed: 1 },
      'one that somebody holds stays, and the run goes on',
    )
  })
  t.strictSame(await left(), [old, waiting, young].sort())
  t.strictSame(await run(now), { events: 1 })
  t.strictSame(await left(), [waiting, young].sort())
  t.strictSame([...(await eventsOf(tenantId)).keys()].sort(), [waiting, young].sort())
})

t.test('goes through many tenants, and through more than one batch of each', async (t) => {
  const now = nextNow()
  const tenants = [newId(), newId(), newId()]
  const at = daysBefore(now, 100)
  for (const tenantId of tenants) {
    const rows = Array.from({ length: 1_203 }, () => ({
      tenant_id: tenantId,
      id: idAt(at),
      fingerprint: Buffer.alloc(32),
      event: 'order.created',
      source: 'api' as const,
      occurred_at: at,
      received_at: at,
      body: '{}',
    }))
    await db.insertInto('events').values(rows).execute()
    const keep = await seedEvent(db, tenantId, { at: daysBefore(now, 1) })
    const plugin = await seedPlugin(db, tenantId)
    const deliveries = rows.map((row) => ({
      tenant_id: tenantId,
      id: newId(),
      plugin_id: plugin.id,
      event_id: row.id,
      event: row.event,
      status: 'sent' as const,
    }))
    await db.insertInto('deliveries').values(deliveries).execute()
    await seedDelivery(db, tenantId, plugin.id, keep, 'sent')
  }
  t.strictSame(await run(now), { events: 3 * 1_203, deliveries: 3 * 1_203 })
  for (const tenantId of tenants) t.equal((await eventsOf(tenantId)).size, 1)
})

t.test('an id from a host whose clock was wrong does not make an event old', async (t) => {
  const now = nextNow()
  const tenantId = newId()
  const event = await seedEvent(db, tenantId, { at: daysBefore(now, 400) })
  await db
    .updateTable('events')
    .set({ received_at: daysBefore(now, 1) })
    .where('id', '=', event)
    .execute()
  t.strictSame(await run(now), {})
  t.ok((await eventsOf(tenantId)).has(event))
})

t.test('ended jobs and revoked keys go, open and live ones stay', async (t) => {
  const now = nextNow()
  const tenantId = newId()
  const plugin = await seedPlugin(db, tenantId)
  const [old, young] = [daysBefore(now, 91), daysBefore(now, 89)]
  const replay = (finished: Date | null) => ({
    id: idAt(old),
    tenant_id: tenantId,
    plugin_id: plugin.id,
    until: old,
    status: finished === null ? ('running' as const) : ('completed' as const),
    finished_at: finished,
  })
  const replays = [replay(old), replay(young), replay(null)]
  await db.insertInto('replays').values(replays).execute()
  const erasure = { id: idAt(old), tenant_id: tenantId, path: 'a', value_hash: Buffer.alloc(48) }
  await db
    .insertInto('erasures')
    .values({ ...erasure, status: 'failed', finished_at: old })
    .execute()
  const key = (name: string, revoked: Date | null) => ({
    id: newId(),
    tenant_id: tenantId,
    kind: 'tenant' as const,
    role: 'viewer' as const,
    name,
    prefix: 'bcs_',
    hash: hashApiKey(name),
    revoked_at: revoked,
  })
  await db
    .insertInto('api_keys')
    .values([key('gone', old), key('just revoked', young), key('live', null)])
    .execute()

  t.strictSame(await run(now), { jobs: 2, keys: 1 })
  const left = await db.selectFrom('replays').select('id').where('tenant_id', '=', tenantId).execute()
  t.strictSame(
    left.map(({ id }) => id).sort(),
    replays
      .slice(1)
      .map(({ id }) => id)
      .sort(),
  )
  const keys = await db.selectFrom('api_keys').select('name').where('tenant_id', '=', tenantId).execute()
  t.strictSame(keys.map(({ name }) => name).sort(), ['just revoked', 'live'])
})

t.test(
  'sessions and portal links go 30 days after their end, and a link never before its session',
  async (t) => {
    const now = nextNow()
    const tenantId = newId()
    await db.insertInto('tenants').values({ id: tenantId }).execute()
    const [old, young, later] = [daysBefore(now, 31), daysBefore(now, 29), daysBefore(now, -1)]
    const link = (label: string, expires_at: Date, revoked_at: Date | null = null) => ({
      id: newId(),
      tenant_id: tenantId,
      hash: hashApiKey(`link ${label}`),
      scope: 'tenant' as const,
      role: 'viewer' as const,
      label,
      session_seconds: 60,
      expires_at,
      revoked_at,
    })
    const links = [link('expired', old), link('used', old), link('ended', young, old), link('just', young)]
    await db.insertInto('portal_links').values(links).execute()
    const session = (label: string, expires_at: Date, revoked_at: Date | null = null) => ({
      id: newId(),
      tenant_id: tenantId,
      hash: hashApiKey(`session ${label}`),
      kind: 'portal' as const,
      transport: 'cookie' as const,
      portal_link_id: links[1]?.id ?? null,
      label,
      expires_at,
      revoked_at,
    })
    await db
      .insertInto('sessions')
      .values([
        session('expired', old),
        session('ended', young, old),
        session('just', young),
        session('open', later),
      ])
      .execute()

    t.strictSame(await run(now), { sessions: 4 })
    const labels = async (table: 'sessions' | 'portal_links') =>
      (await db.selectFrom(table).select('label').where('tenant_id', '=', tenantId).execute())
        .map(({ label }) => label)
        .sort()
    t.strictSame(await labels('sessions'), ['just', 'open'])
    t.strictSame(await labels('portal_links'), ['just', 'used'])
  },
)

t.test('what the audit log tells of doings goes with age, what it tells of changes stays', async (t) => {
  const now = nextNow()
  const tenantId = newId()
  const [old, young] = [daysBefore(now, 91), daysBefore(now, 89)]
  const entry = (action: string, at: Date) => ({
    id: idAt(at),
    tenant_id: tenantId,
    actor_kind: 'platform' as const,
    action,
    target_kind: 'x',
    target_id: 'x',
    created_at: at,
  })
  const entries = [
    entry('actions.dispatched', old),
    entry('flow.run', old),
    entry('actions.dispatched', young),
    entry('key.created', old),
  ]
  await db.insertInto('audit_log').values(entries).execute()
  t.strictSame(await run(now), { audit_entries: 2 })
  const left = await db.selectFrom('audit_log').select('id').where('tenant_id', '=', tenantId).execute()
  t.strictSame(left.map(({ id }) => id).sort(), [entries[2]?.id, entries[3]?.id].sort())
})

t.test('one replica at a time, and one that is told to stop leaves the rest for later', async (t) => {
  const now = nextNow()
  const tenantId = newId()
  await seedEvent(db, tenantId, { at: daysBefore(now, 100) })
  await withSessionLock(db, 'retention', async () => {
    t.equal(await runRetention(ctx, { now }), null)
  })
  const stopped = await runRetention(ctx, { now, signal: AbortSignal.abort() })
  t.equal(stopped?.events, 0)
  t.strictSame(await run(now), { events: 1 })
})

t.test('what somebody holds is postponed, and the rest goes on', async (t) => {
  const now = nextNow()
  // Tenants are gone through in the order of their ids: the held one comes first.
  const [held, free] = [idAt(new Date(0)), newId()]
  await seedEvent(db, held, { at: daysBefore(now, 100) })
  await seedEvent(db, free, { at: daysBefore(now, 100) })
  await db.transaction().execute(async (trx) => {
    await trx.selectFrom('events').select('id').where('tenant_id', '=', held).forUpdate().execute()
    t.strictSame(await run(now), { events: 1, postponed: 2 })
  })
  t.equal((await eventsOf(free)).size, 0)
  t.strictSame(await run(now), { events: 1 })
})

t.test('what cannot be deleted of one shop keeps no other shop’s, and is tried again', async (t) => {
  const now = nextNow()
  const old = daysBefore(now, 100)
  // Shops are gone through in the order of their ids: the one that fails comes first.
  const [broken, well] = [idAt(new Date(1)), newId()]
  await ensureTenant(db, broken)
  await ensureTenant(db, well)
  for (const tenantId of [broken, well]) {
    const plugin = await seedPlugin(db, tenantId)
    const event = await seedEvent(db, tenantId, { at: old })
    await seedDelivery(db, tenantId, plugin.id, event, 'sent', { at: old, responseBodies: ['ok'] })
    await seedEvent(db, tenantId, { at: daysBefore(now, 40) })
    await db
      .insertInto('audit_log')
      .values({
        id: idAt(old),
        tenant_id: tenantId,
        actor_kind: 'tenant',
        action: 'actions.dispatched',
        target_kind: 'dispatch',
        target_id: 'x',
        created_at: old,
      })
      .execute()
  }
  for (const [table, when] of [
    ['deliveries', 'delete'],
    ['events', 'update'],
    ['audit_log', 'delete'],
  ] as const) {
    await sql`
      create function ${sql.raw(`refuse_${table}`)}() returns trigger language plpgsql as $$
      begin
        if old.tenant_id = ${sql.lit(broken)} then raise exception 'not this one'; end if;
        return case when tg_op = 'DELETE' then old else new end;
      end $$`.execute(db)
    await sql`
      create trigger refuse before ${sql.raw(when)} on ${sql.table(table)}
      for each row execute function ${sql.raw(`refuse_${table}`)}()`.execute(db)
  }
  const failures: [string, string | null, string][] = []
  const onFailure = ({ work, tenantId, error }: RetentionFailure): void => {
    failures.push([work, tenantId, (error as Error).message])
  }
  const counts = await runRetention({ ...ctx, onFailure }, { now })
  t.match(counts, { events: 1, deliveries: 1, attempts: 2, bodies: 1, audit_entries: 1, failed: 3 })
  t.strictSame(failures, [
    ['events', broken, 'not this one'],
    ['bodies', broken, 'not this one'],
    ['audit_log', broken, 'not this one'],
  ])
  t.equal((await eventsOf(well)).size, 1)
  t.equal((await eventsOf(broken)).size, 2)
  for (const table of ['deliveries', 'events', 'audit_log']) {
    await sql`drop trigger refuse on ${sql.table(table)}`.execute(db)
  }
  t.strictSame(await run(now), { events: 1, deliveries: 1, bodies: 1, audit_entries: 1 })
})

t.test('without a clock of its own it takes the database’s', async (t) => {
  const fresh = await createTestDatabase(t)
  const tenantId = newId()
  await seedEvent(fresh.db, tenantId, { at: hoursAgo(91 * 24) })
  await seedEvent(fresh.db, tenantId, { at: hoursAgo(1) })
  t.match(await runRetention({ ...ctx, db: fresh.db }), { events: 1, bodies: 0 })
})

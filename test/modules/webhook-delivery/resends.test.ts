import { sql } from 'kysely'
import t from 'tap'
import { startApp, type Tenant } from '#test/support/app.ts'
import {
  deliverDue,
  deliveriesOf,
  eventually,
  onlyDelivery,
  registerPlugin,
  seedBacklog,
  sendEvent,
} from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'

const service = await startApp(t)
const { db } = service

const retry = (tenant: Tenant, id: string) => tenant.post(`/api/plugins/events/${id}/retry`)
const read = async (tenant: Tenant, id: string) =>
  (await tenant.get(`/api/plugins/events/${id}`)).json<Record<string, unknown>>()

t.test('what was sent stays so, whatever becomes of a later resend', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id: pluginId, slug } = await registerPlugin(tenant, receiver.url, { retry_schedule: [] })
  const eventId = await sendEvent(tenant)
  await deliverDue(service, tenant)
  const { id } = await onlyDelivery(db, pluginId)
  const before = await read(tenant, id)
  receiver.answer(500)
  const resend = (await retry(tenant, id)).json<{ id: string }>().id
  await deliverDue(service, tenant)
  t.match(await read(tenant, resend), { status: 'failed', reason: 'exhausted', resend: 1 })
  t.strictSame(await read(tenant, id), before)
  t.ok(before['sent_at'])
  t.match((await tenant.get(`/api/events/${eventId}`)).json(), {
    deliveries: [
      { id, status: 'sent', resend: 0 },
      { id: resend, status: 'failed', resend: 1 },
    ],
  })

  const url = `/api/plugins/${slug}/replays`
  t.match(
    (await tenant.post(url, { status: 'failed', dry_run: true })).json(),
    { count: 0 },
    'it had arrived',
  )
  t.match((await tenant.post(url, { status: 'sent', dry_run: true })).json(), { count: 1 })
  receiver.answer(204)
  const again = await retry(tenant, resend)
  t.match(again.json(), { id: resend, status: 'pending' }, 'a resend that has failed starts again')
  await deliverDue(service, tenant)
  t.match(await read(tenant, resend), { status: 'sent', attempt_count: 2 })
  t.match((await retry(tenant, id)).json(), { resend: 2, status: 'pending' })
  t.match(
    (await retry(tenant, resend)).json(),
    { resend: 2, status: 'pending' },
    'one resend waits at a time',
  )
  t.equal((await deliveriesOf(db, pluginId)).length, 3)
  const duplicate = { event: 'product.created', data: { id: 1 }, id: 'same' }
  await tenant.post('/api/events', duplicate)
  await deliverDue(service, tenant)
  const [latest] = (await deliveriesOf(db, pluginId)).slice(-1)
  await retry(tenant, latest?.id ?? '')
  t.match((await tenant.post('/api/events', duplicate)).json(), { duplicate: true, deliveries: 1 })
})

t.test('resends that are asked for at once are one', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id: pluginId } = await registerPlugin(tenant, receiver.url)
  await sendEvent(tenant)
  await deliverDue(service, tenant)
  const { id } = await onlyDelivery(db, pluginId)
  const answers = await Promise.all(Array.from({ length: 8 }, () => retry(tenant, id)))
  t.strictSame([...new Set(answers.map(({ statusCode }) => statusCode))], [202])
  t.equal(new Set(answers.map((answer) => answer.json<{ id: string }>().id)).size, 1)
  t.equal((await deliveriesOf(db, pluginId)).length, 2)
})

t.test('a retry while an attempt is under way is refused, and taken once it has ended', async (t) => {
  const running = await startApp(t, { env: { ROLES: 'api,worker' } })
  const tenant = running.tenant()
  const receiver = await startReceiver(t)
  let answerNow: () => void = () => undefined
  receiver.answer((_received, response) => {
    answerNow = () => response.writeHead(500).end()
  })
  const { id: pluginId } = await registerPlugin(tenant, receiver.url, { retry_schedule: [3600] })
  await sendEvent(tenant)
  await receiver.waitFor(1)
  const { id } = await onlyDelivery(running.db, pluginId)
  t.match((await retry(tenant, id)).json(), { status: 409, code: 'in_flight' })
  answerNow()
  receiver.answer(204)
  await eventually('the attempt has failed', async () => (await read(tenant, id))['status'] === 'retry')
  t.equal((await retry(tenant, id)).statusCode, 202)
  await eventually('it is sent', async () => (await read(tenant, id))['status'] === 'sent')
  t.equal(receiver.received.length, 2)
})

t.test('what waits far behind others of its plugin is not under way: it may be retried', async (t) => {
  const running = await startApp(t, { env: { ROLES: 'api,worker' } })
  const tenant = running.tenant()
  const receiver = await startReceiver(t)
  const open: (() => void)[] = []
  receiver.answer((_received, response) => void open.push(() => response.writeHead(204).end()))
  const { id: pluginId } = await registerPlugin(tenant, receiver.url, { max_in_flight: 1 })
  await seedBacklog(running.db, tenant.id, pluginId, 1_000)
  await sql`
    update deliveries set due_at = now() - interval '1 hour' + numbered.n * interval '1 second'
    from (select id, row_number() over (order by id) as n from deliveries where plugin_id = ${pluginId}) numbered
    where deliveries.id = numbered.id`.execute(running.db)
  // Their schedule is over, but for one delay.
  await sql`
    update deliveries set status = 'retry', attempt_count = 7, round_failures = 7 where plugin_id = ${pluginId}`.execute(
    running.db,
  )
  await sendEvent(tenant)
  await receiver.waitFor(1)
  const inOrder = (await deliveriesOf(running.db, pluginId)).toSorted(
    (a, b) => (a.due_at?.getTime() ?? 0) - (b.due_at?.getTime() ?? 0),
  )
  const [first, last] = [inOrder[0]?.id ?? '', inOrder[999]?.id ?? '']
  t.match((await retry(tenant, first)).json(), { status: 409, code: 'in_flight' })
  t.equal((await retry(tenant, last)).statusCode, 202)
  const { rows } = await sql<{ status: string; round_failures: number }>`
    select status, round_failures from deliveries where id = ${last}`.execute(running.db)
  t.match(rows, [{ status: 'pending', round_failures: 0 }], 'with a fresh retry schedule')
  receiver.answer(204)
  for (const answer of open) answer()
})

t.test('next_attempt_at tells when the plugin can be sent to, whatever holds it', async (t) => {
  const tenant = service.tenant()
  const { id, slug } = await registerPlugin(tenant, 'http://127.0.0.1:9/')
  await sendEvent(tenant)
  const delivery = await onlyDelivery(db, id)
  const next = async () => {
    const { next_attempt_at: at } = await read(tenant, delivery.id)
    return typeof at === 'string' ? Date.parse(at) : null
  }
  t.equal(await next(), delivery.due_at?.getTime())
  await tenant.post(`/api/plugins/${slug}/pause`)
  t.equal(await next(), null)
  await tenant.post(`/api/plugins/${slug}/resume`)
  const until = new Date(Date.now() + 600_000)
  for (const reason of ['breaker_open', 'retry_after'] as const) {
    await db
      .updateTable('delivery_lanes')
      .set({ hold_until: until, hold_reason: reason })
      .where('plugin_id', '=', id)
      .execute()
    t.equal(await next(), until.getTime(), reason)
  }
  await tenant.post(`/api/plugins/${slug}/resume`)
  const later = new Date(Date.now() + 3_600_000)
  await db.updateTable('deliveries').set({ due_at: later }).where('id', '=', delivery.id).execute()
  t.equal(await next(), later.getTime(), 'a retry that comes later than the hold')
  await db
    .updateTable('deliveries')
    .set({ due_at: sql<Date>`now() - interval '1 second'` })
    .where('id', '=', delivery.id)
    .execute()
  await sql`
    insert into deliveries (tenant_id, id, plugin_id, event_id, event, due_at)
    select ${tenant.id}::uuid, gen_random_uuid(), ${id}::uuid, gen_random_uuid(), 'a.b', now() - interval '1 hour'
    from generate_series(1, 50)`.execute(db)
  await tenant.patch(`/api/plugins/${slug}`, { rate_limit_per_second: 1 })
  const asked = Date.now()
  t.ok(((await next()) ?? 0) >= asked + 49_000, 'fifty are before it, at one a second')
})

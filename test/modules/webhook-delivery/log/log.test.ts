import t from 'tap'
import { startApp, type Tenant } from '#test/support/app.ts'
import {
  attemptsOf,
  deliverDue,
  onlyDelivery,
  registerPlugin,
  sendEvent,
  sendEvents,
} from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { clientOf } from '#test/modules/plugin/support.ts'

const service = await startApp(t)
const { db } = service

interface Entry {
  id: string
  event: string
  event_id: string
  plugin: string
  status: string
  reason: string | null
}

async function listed(tenant: Tenant, query = ''): Promise<Entry[]> {
  const response = await tenant.get(`/api/plugins/events${query}`)
  if (response.statusCode !== 200) throw new Error(response.body)
  return response.json<{ data: Entry[] }>().data
}

t.test('the log is newest first and can be narrowed by plugin, status and event', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const sound = await registerPlugin(tenant, `${receiver.url}/ok`, { slug: 'sound' })
  await registerPlugin(tenant, `${receiver.url}/bad`, { slug: 'unsound', retry_schedule: [] })
  receiver.answer(({ path }, response) => response.writeHead(path === '/ok' ? 204 : 500).end())
  const first = await sendEvent(tenant, 'product.created')
  const second = await sendEvent(tenant, 'order.created')
  await deliverDue(service, tenant)
  const third = await sendEvent(tenant, 'order.created')
  const all = await listed(tenant)
  t.strictSame(
    all.map(({ event_id: eventId }) => eventId),
    [third, third, second, second, first, first],
  )
  const eventsOf = async (query: string) => (await listed(tenant, query)).map((entry) => entry.event_id)
  t.strictSame(await eventsOf('?plugin=sound'), [third, second, first])
  t.strictSame(await eventsOf('?plugin=sound&status=sent'), [second, first])
  t.strictSame(await eventsOf('?status=failed&event=order.created'), [second])
  t.strictSame(await eventsOf('?plugin=unknown'), [])
  t.match(await listed(tenant, '?status=failed'), [{ plugin: 'unsound', reason: 'exhausted' }, {}])
  t.equal((await tenant.get('/api/plugins/events?status=lost')).statusCode, 400)
  const author = await clientOf(service, tenant, { pluginId: sound.id })
  t.strictSame(
    (await listed(author)).map(({ plugin }) => plugin),
    ['sound', 'sound', 'sound'],
    "a plugin's own key sees its own",
  )
})

t.test('pages follow each other without gap or repetition while deliveries come in', async (t) => {
  const tenant = service.tenant()
  await registerPlugin(tenant, 'http://127.0.0.1:9/')
  const sent = await sendEvents(tenant, 25)
  const seen: string[] = []
  let cursor: string | null = null
  do {
    const after: string = cursor === null ? '' : `&cursor=${cursor}`
    const response = await tenant.get(`/api/plugins/events?limit=10${after}`)
    const page = response.json<{ data: Entry[]; next_cursor: string | null }>()
    seen.push(...page.data.map((entry) => entry.event_id))
    cursor = page.next_cursor
    await sendEvent(tenant)
  } while (cursor !== null)
  t.strictSame(seen.toSorted(), sent.toSorted())
  t.match((await tenant.get('/api/plugins/events?cursor=nonsense')).json(), { code: 'invalid_cursor' })
})

t.test('a manual retry sends a delivery again, whatever has become of it', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id: pluginId } = await registerPlugin(tenant, receiver.url, { retry_schedule: [60] })
  const eventId = await sendEvent(tenant)
  await deliverDue(service, tenant)
  const { id } = await onlyDelivery(db, pluginId)
  receiver.answer(500)
  const response = await tenant.post(`/api/plugins/events/${id}/retry`)
  t.equal(response.statusCode, 202)
  t.match(response.json(), { event_id: eventId, status: 'pending', reason: 'manual_retry', resend: 1 })
  const resend = response.json<{ id: string }>().id
  t.not(resend, id, 'what was sent is sent again by a delivery of its own')
  t.match(await deliverDue(service, tenant), { retried: 1 }, 'the schedule begins anew')
  receiver.answer(204)
  await tenant.post(`/api/plugins/events/${resend}/retry`)
  t.match(await deliverDue(service, tenant), { sent: 1 }, 'it does not wait for the schedule')
  t.match((await tenant.get(`/api/plugins/events/${resend}`)).json(), {
    status: 'sent',
    reason: null,
    attempt_count: 2,
    attempts: [
      { number: 1, response_status: 500 },
      { number: 2, response_status: 204 },
    ],
  })
  t.match((await tenant.get(`/api/plugins/events/${id}`)).json(), {
    status: 'sent',
    attempt_count: 1,
    resend: 0,
  })
  t.strictSame(
    receiver.received.map(({ headers }) => headers['webhook-id']),
    [eventId, eventId, eventId],
  )
  const audited = (await tenant.get('/api/audit-log')).json<{
    data: { action: string; target_id: string; detail: unknown }[]
  }>()
  t.match(
    audited.data.filter(({ action }) => action === 'delivery.retried'),
    [{ target_id: resend }, { target_id: id, detail: { resend } }],
  )
})

t.test('what has no body any more fails as body_gone and cannot be retried', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id: pluginId } = await registerPlugin(tenant, receiver.url)
  const eventId = await sendEvent(tenant)
  await db
    .updateTable('events')
    .set({ body: null, body_gone: 'expired' })
    .where('tenant_id', '=', tenant.id)
    .where('id', '=', eventId)
    .execute()
  t.match(await deliverDue(service, tenant), { processed: 1, failed: 1 })
  const delivery = await onlyDelivery(db, pluginId)
  t.match(delivery, { status: 'failed', reason: 'body_gone', attempt_count: 0, due_at: null })
  t.strictSame(await attemptsOf(db, pluginId), [])
  t.equal(receiver.received.length, 0)
  const response = await tenant.post(`/api/plugins/events/${delivery.id}/retry`)
  t.match(response.json(), { status: 409, code: 'delivery_not_retryable' })
})

t.test('a delivery of a deleted plugin can be read and not be retried', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id: pluginId, slug } = await registerPlugin(tenant, receiver.url)
  await sendEvent(tenant)
  await deliverDue(service, tenant)
  await tenant.delete(`/api/plugins/${slug}`)
  const { id } = await onlyDelivery(db, pluginId)
  t.match((await tenant.get(`/api/plugins/events/${id}`)).json(), { status: 'sent', plugin: slug })
  t.match((await tenant.post(`/api/plugins/events/${id}/retry`)).json(), { code: 'delivery_not_retryable' })
})

t.test("another tenant's or another plugin's delivery is an unknown one, byte for byte", async (t) => {
  const tenant = service.tenant()
  const { id: pluginId } = await registerPlugin(tenant, 'http://127.0.0.1:9/')
  const { id: otherId } = await registerPlugin(tenant, 'http://127.0.0.1:9/')
  await sendEvent(tenant)
  const { id } = await onlyDelivery(db, pluginId)
  const stranger = service.tenant()
  const sibling = await clientOf(service, tenant, { pluginId: otherId })
  const headers = { 'x-request-id': 'same' }
  for (const client of [stranger, sibling]) {
    const unknown = await client.get(`/api/plugins/events/${crypto.randomUUID()}`, headers)
    const foreign = await client.get(`/api/plugins/events/${id}`, headers)
    t.equal(unknown.statusCode, 404)
    t.equal(foreign.body, unknown.body)
    t.equal((await client.post(`/api/plugins/events/${id}/retry`)).statusCode, 404)
  }
  t.equal((await tenant.get('/api/plugins/events/not-a-uuid')).statusCode, 400)
})

t.test('what an endpoint repeats of its own headers is not kept', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id: pluginId } = await registerPlugin(tenant, `${receiver.url}/echo?access_token=in-the-url`, {
    headers: { 'X-Tenant-Pass': 'open-sesame', Authorization: 'Basic YWJjZGVm' },
  })
  receiver.answer(({ headers }, response) =>
    response.writeHead(500, { 'x-echo': String(headers['x-tenant-pass']) }).end(JSON.stringify(headers)),
  )
  await sendEvent(tenant)
  await deliverDue(service, tenant)
  const { id } = await onlyDelivery(db, pluginId)
  const answer = await tenant.get(`/api/plugins/events/${id}`)
  for (const secret of ['open-sesame', 'YWJjZGVm', 'in-the-url']) t.notMatch(answer.body, secret)
  t.match(answer.json<{ attempts: unknown[] }>().attempts, [
    { response_headers: { 'x-echo': '[redacted]' }, response_body: /"x-tenant-pass":"\[redacted\]"/ },
  ])
  const attempts = await db
    .selectFrom('delivery_attempts')
    .selectAll()
    .where('delivery_id', '=', id)
    .execute()
  t.notMatch(JSON.stringify(attempts.map(({ response_body: body }) => body)), /open-sesame|YWJjZGVm/)
})

t.test('processing on request delivers what is due for the tenant, and counts it', async (t) => {
  const tenant = service.tenant()
  const other = service.tenant()
  const receiver = await startReceiver(t)
  receiver.answer(({ path }, response) => response.writeHead(Number(path.slice(1))).end())
  await registerPlugin(tenant, `${receiver.url}/204`)
  await registerPlugin(tenant, `${receiver.url}/500`)
  await registerPlugin(tenant, `${receiver.url}/404`, { retry_schedule: [] })
  await registerPlugin(other, `${receiver.url}/204`)
  await sendEvents(tenant, 3)
  await sendEvent(other)
  const response = await tenant.post('/api/plugins/events')
  t.equal(response.statusCode, 200)
  t.strictSame(response.json(), { processed: 9, sent: 3, retried: 3, failed: 3 })
  t.equal(receiver.received.length, 9, "the other tenant's wait")
  t.strictSame((await tenant.post('/api/plugins/events')).json(), {
    processed: 0,
    sent: 0,
    retried: 0,
    failed: 0,
  })
})

t.test('an attempt shows the request as it was sent, secrets redacted', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id: pluginId, slug } = await registerPlugin(tenant, `${receiver.url}/first`, {
    headers: { 'CF-Access-Client-Id': 'an-id', 'Ocp-Apim-Subscription-Key': 'a-key' },
    retry_schedule: [1],
  })
  receiver.answer(500)
  const data = '{"price":1.10}'
  await tenant.post('/api/events', `{"event":"order.created","data":${data}}`)
  await deliverDue(service, tenant)
  receiver.answer(204)
  await tenant.patch(`/api/plugins/${slug}`, { webhook_url: `${receiver.url}/second` })
  const { id } = await onlyDelivery(db, pluginId)
  await tenant.post(`/api/plugins/events/${id}/retry`)
  await deliverDue(service, tenant)
  const detail = (await tenant.get(`/api/plugins/events/${id}`)).json<{
    request_body: string
    attempts: { request: { method: string; url: string; headers: Record<string, string> } }[]
  }>()
  t.equal(receiver.received.length, 2)
  for (const [index, { path, headers, body }] of receiver.received.entries()) {
    const shown = detail.attempts[index]?.request
    t.equal(shown?.url, `${receiver.url}${path}`)
    t.equal(detail.request_body, body)
    t.ok(body.includes(data))
    const secret = [
      'webhook-signature',
      'x-causation-token',
      'cf-access-client-id',
      'ocp-apim-subscription-key',
    ]
    for (const [name, value] of Object.entries(shown?.headers ?? {})) {
      t.equal(value, secret.includes(name) ? '[redacted]' : headers[name], name)
    }
    t.match(headers, {
      accept: '*/*',
      'webhook-event': 'order.created',
      'webhook-tenant': tenant.id,
      'webhook-attempt': String(index + 1),
      'cf-access-client-id': 'an-id',
      'ocp-apim-subscription-key': 'a-key',
    })
  }
  t.notMatch(JSON.stringify(detail), /an-id|a-key/)
})

t.test("a slug that is used again does not show its deleted namesake's log", async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  await registerPlugin(tenant, receiver.url, { slug: 'again' })
  const first = await sendEvent(tenant)
  await deliverDue(service, tenant)
  await tenant.post('/api/plugins/again/replays', {})
  await tenant.delete('/api/plugins/again')
  t.match(await listed(tenant, '?plugin=again'), [{ event_id: first }], 'until then its log is still found')
  await registerPlugin(tenant, receiver.url, { slug: 'again' })
  t.strictSame(await listed(tenant, '?plugin=again'), [])
  t.strictSame((await tenant.get('/api/replays?plugin=again')).json<{ data: unknown[] }>().data, [])
  const second = await sendEvent(tenant)
  t.match(await listed(tenant, '?plugin=again'), [{ event_id: second }])
})

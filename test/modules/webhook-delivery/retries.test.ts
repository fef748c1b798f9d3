import t from 'tap'
import { startApp } from '#test/support/app.ts'
import {
  attemptsOf,
  deliverDue,
  eventually,
  deliveriesOf,
  laneOf,
  onlyDelivery,
  registerPlugin,
  sendEvent,
  TestClock,
} from '#test/support/deliveries.ts'
import { startHostileReceiver } from '#test/support/hostile-receiver.ts'
import { startReceiver } from '#test/support/receiver.ts'

const service = await startApp(t)
const { db } = service

/** Of plugins that name no deadline of their own. */
const DEFAULT_TIMEOUT_MS = 10_000

/** Milliseconds until a delivery is due again, by a test's clock. */
async function dueInMs(pluginId: string, clock: TestClock): Promise<number> {
  const { due_at: dueAt } = await onlyDelivery(db, pluginId)
  if (dueAt === null) throw new Error('it is not due any more')
  return dueAt.getTime() - clock.now().getTime()
}

t.test('a failing delivery is tried again after 30 s, 5 min and 1 h, ±20 %, then given up', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  receiver.answer(500)
  const { id } = await registerPlugin(tenant, receiver.url)
  await sendEvent(tenant)
  const clock = new TestClock().hold()
  t.match(await deliverDue(service, tenant, clock), { processed: 1, retried: 1 })
  for (const [index, seconds] of [30, 300, 3_600].entries()) {
    t.match(await onlyDelivery(db, id), { status: 'retry', attempt_count: index + 1, reason: null })
    const dueMs = await dueInMs(id, clock)
    t.ok(dueMs > seconds * 790 && dueMs <= seconds * 1_200, `${dueMs} ms after failure ${index + 1}`)
    clock.advance(dueMs - 2_000)
    t.match(await deliverDue(service, tenant, clock), { processed: 0 }, 'not before')
    clock.advance(2_100)
    t.match(await deliverDue(service, tenant, clock), { processed: 1 })
  }
  t.match(await onlyDelivery(db, id), {
    status: 'failed',
    reason: 'exhausted',
    attempt_count: 4,
    due_at: null,
    sent_at: null,
    last_response_status: 500,
    last_error_class: 'http_5xx',
  })
  t.strictSame(
    (await attemptsOf(db, id)).map(({ number }) => number),
    [1, 2, 3, 4],
  )
  clock.advance(86_400_000)
  t.match(await deliverDue(service, tenant, clock), { processed: 0 })
  t.equal(receiver.received.length, 4)
})

t.test('a plugin has its own schedule, deadline and headers', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  receiver.answer(() => undefined)
  const { id } = await registerPlugin(tenant, receiver.url, {
    retry_schedule: [7],
    timeout_ms: 1_000,
    headers: { authorization: 'Bearer theirs', 'x-shop': 'one' },
  })
  await sendEvent(tenant)
  const clock = new TestClock().hold()
  t.match(await deliverDue(service, tenant, clock), { retried: 1 })
  const dueMs = await dueInMs(id, clock)
  t.ok(dueMs > 5_000 && dueMs <= 8_400, `${dueMs}`)
  clock.advance(8_400)
  t.match(await deliverDue(service, tenant, clock), { failed: 1 })
  for (const attempt of await attemptsOf(db, id)) {
    t.match(attempt, { error_class: 'timeout', response_status: null })
    t.ok(attempt.duration_ms >= 1_000 && attempt.duration_ms < DEFAULT_TIMEOUT_MS, `${attempt.duration_ms}`)
  }
  t.match(receiver.received[0]?.headers, { authorization: 'Bearer theirs', 'x-shop': 'one' })
})

t.test('with an empty schedule one attempt is all there is', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  receiver.answer(500)
  const { id } = await registerPlugin(tenant, receiver.url, { retry_schedule: [] })
  await sendEvent(tenant)
  t.match(await deliverDue(service, tenant), { processed: 1, failed: 1 })
  t.match(await onlyDelivery(db, id), { status: 'failed', reason: 'exhausted', attempt_count: 1 })
})

t.test('only 2xx succeeds', async (t) => {
  const expected: Record<number, { status: string; errorClass: string | null }> = {
    200: { status: 'sent', errorClass: null },
    202: { status: 'sent', errorClass: null },
    204: { status: 'sent', errorClass: null },
    299: { status: 'sent', errorClass: null },
    301: { status: 'retry', errorClass: 'redirect' },
    304: { status: 'retry', errorClass: 'redirect' },
    400: { status: 'retry', errorClass: 'http_4xx' },
    404: { status: 'retry', errorClass: 'http_4xx' },
    500: { status: 'retry', errorClass: 'http_5xx' },
    599: { status: 'retry', errorClass: 'http_5xx' },
  }
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  receiver.answer(({ path }, response) => response.writeHead(Number(path.slice(1))).end())
  const plugins = new Map<string, string>()
  for (const status of Object.keys(expected)) {
    plugins.set(status, (await registerPlugin(tenant, `${receiver.url}/${status}`)).id)
  }
  await sendEvent(tenant)
  await deliverDue(service, tenant)
  for (const [answered, id] of plugins) {
    const { status, errorClass } = expected[Number(answered)] ?? {}
    const delivery = await onlyDelivery(db, id)
    t.match(
      delivery,
      { status, last_response_status: Number(answered), last_error_class: errorClass, attempt_count: 1 },
      answered,
    )
    t.equal(delivery.sent_at !== null, status === 'sent')
  }
})

t.test('a redirect is an answer like any other: nobody follows it', async (t) => {
  const tenant = service.tenant()
  const receiver = await startHostileReceiver('redirect_loopback')
  t.teardown(() => receiver.close())
  const { id } = await registerPlugin(tenant, receiver.url)
  await sendEvent(tenant)
  await deliverDue(service, tenant)
  t.equal(receiver.requests, 1)
  const [attempt] = await attemptsOf(db, id)
  t.match(attempt, { response_status: 302, error_class: 'redirect', response_body: 'moved' })
  t.match(attempt?.response_headers, { location: /redirected$/ })
})

t.test('410 gives the delivery up and disables the plugin, which is audited and announced', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const observer = await startReceiver(t)
  await registerPlugin(tenant, observer.url, { events: ['plugin.*'] })
  const { id, slug } = await registerPlugin(tenant, receiver.url, { events: ['order.*'] })
  receiver.answer(410)
  await sendEvent(tenant, 'order.created')
  await sendEvent(tenant, 'order.paid')
  t.match(await deliverDue(service, tenant), { processed: 2, failed: 1, sent: 1 })
  const [gone, waiting] = await deliveriesOf(db, id)
  t.match(gone, { status: 'failed', reason: 'gone', last_response_status: 410, due_at: null })
  t.match(waiting, { status: 'pending', attempt_count: 0 })
  t.equal(receiver.received.length, 1)
  const plugin = (await tenant.get(`/api/plugins/${slug}`)).json<Record<string, unknown>>()
  t.match(plugin, { status: 'disabled', status_reason: 'gone' })
  const audited = (await tenant.get('/api/audit-log')).json<{ data: { action: string }[] }>()
  t.match(
    audited.data.find(({ action }) => action === 'plugin.disabled'),
    { actor_kind: 'system', target_id: id, detail: { reason: 'gone' } },
  )
  const [announced] = observer.received
  t.match(JSON.parse(announced?.body ?? ''), {
    event: 'plugin.disabled',
    data: { plugin: slug, plugin_id: id, reason: 'gone' },
  })
})

t.test('Retry-After holds the plugin and its deliveries, within limits', async (t) => {
  const cases = [
    { status: 429, retryAfter: '20', holdMs: 20_000, delayMs: 24_000 },
    { status: 503, retryAfter: '50', holdMs: 50_000, delayMs: 50_000 },
    { status: 429, retryAfter: '100000', holdMs: 60_000, delayMs: 3_600_000 },
    {
      status: 503,
      retryAfter: () => new Date(Date.now() + 45_000).toUTCString(),
      holdMs: 45_000,
      delayMs: 45_000,
    },
    { status: 429, retryAfter: 'soon', holdMs: null, delayMs: 24_000 },
    { status: 500, retryAfter: '50', holdMs: null, delayMs: 24_000 },
  ]
  for (const { status, retryAfter: given, holdMs, delayMs } of cases) {
    const retryAfter = typeof given === 'string' ? given : given()
    const tenant = service.tenant()
    const receiver = await startReceiver(t)
    receiver.answer((_received, response) => response.writeHead(status, { 'retry-after': retryAfter }).end())
    const { id } = await registerPlugin(tenant, receiver.url)
    await sendEvent(tenant)
    const clock = new TestClock().hold()
    await deliverDue(service, tenant, clock)
    const name = `${status}, Retry-After: ${retryAfter}`
    const lane = await laneOf(db, id)
    t.equal(lane.hold_reason, holdMs === null ? null : 'retry_after', name)
    if (holdMs !== null) {
      const heldMs = (lane.hold_until?.getTime() ?? 0) - clock.now().getTime()
      t.ok(heldMs > holdMs - 3_000 && heldMs <= holdMs, `${name}: held for ${heldMs} ms`)
    }
    const dueMs = await dueInMs(id, clock)
    t.ok(dueMs > delayMs - 3_000 && dueMs <= Math.max(delayMs, 36_000), `${name}: due in ${dueMs} ms`)
  }
})

t.test('while Retry-After holds a plugin nothing else is sent to it, afterwards everything is', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id } = await registerPlugin(tenant, receiver.url)
  receiver.answer((_received, response) => response.writeHead(429, { 'retry-after': '20' }).end())
  await sendEvent(tenant)
  const clock = new TestClock().hold()
  await deliverDue(service, tenant, clock)
  receiver.answer(204)
  await sendEvent(tenant, 'product.updated')
  t.match(await deliverDue(service, tenant, clock), { processed: 0 })
  const { data } = (await tenant.get('/api/plugins/events?event=product.updated')).json<{
    data: { reason: string; attempt_count: number }[]
  }>()
  t.match(data, [{ reason: 'retry_after', attempt_count: 0 }])
  clock.advance(20_000)
  t.match(await deliverDue(service, tenant, clock), { processed: 1, sent: 1 }, 'the other one')
  clock.advance(16_000)
  t.match(await deliverDue(service, tenant, clock), { processed: 1, sent: 1 }, 'the one that failed')
  t.match(await laneOf(db, id), { hold_until: null, hold_reason: null, consecutive_failures: 0 })
})

t.test(
  'an answer of 2xx that was under way does not end the patience that another one asked for',
  async (t) => {
    const tenant = service.tenant()
    const receiver = await startReceiver(t)
    const { id } = await registerPlugin(tenant, receiver.url, { max_in_flight: 2 })
    await sendEvent(tenant, 'product.created')
    await deliverDue(service, tenant)
    for (const event of ['order.one', 'order.two', 'order.three']) await sendEvent(tenant, event)
    const finish: (() => void)[] = []
    receiver.answer(({ body }, response) => {
      if (body.includes('order.one')) {
        finish.push(() => response.writeHead(204).end())
      } else response.writeHead(429, { 'retry-after': '20' }).end()
      if (receiver.received.length === 3) {
        void eventually('the refusal is recorded', async () => (await attemptsOf(db, id)).length === 2).then(
          () => finish[0]?.(),
        )
      }
    })
    t.match(await deliverDue(service, tenant), { processed: 2, sent: 1, retried: 1 })
    t.equal(receiver.received.length, 3, 'the third one waits')
    t.match(await laneOf(db, id), { hold_reason: 'retry_after' })
  },
)

t.test('of an answer at most 16 KB are kept, as text that can be shown', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id: large } = await registerPlugin(tenant, `${receiver.url}/large`)
  const { id: hostile } = await registerPlugin(tenant, `${receiver.url}/hostile`)
  receiver.answer(({ path }, response) => {
    response.writeHead(200, { 'x-answer': '<b>"bold"</b>' })
    if (path === '/large') response.end('y'.repeat(40_000))
    else response.end(Buffer.concat([Buffer.from('<script>alert(1)</script>\0'), Buffer.of(0xff, 0xfe)]))
  })
  await sendEvent(tenant)
  t.match(await deliverDue(service, tenant), { sent: 2 })
  const [cut] = await attemptsOf(db, large)
  t.equal(cut?.response_body, 'y'.repeat(16_384))
  t.match(cut, { response_truncated: true, error_class: 'response_too_large', response_status: 200 })
  const { id } = await onlyDelivery(db, hostile)
  const response = await tenant.get(`/api/plugins/events/${id}`)
  t.match(response.headers, {
    'content-type': /^application\/json/,
    'x-content-type-options': 'nosniff',
  })
  t.match(response.json(), {
    attempts: [
      {
        number: 1,
        response_status: 200,
        response_headers: { 'x-answer': '<b>"bold"</b>' },
        response_body: '<script>alert(1)</script>\ufffd\ufffd\ufffd',
        response_truncated: false,
      },
    ],
  })
})

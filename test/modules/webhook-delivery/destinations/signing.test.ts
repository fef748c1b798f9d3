import { Webhook as StandardWebhook } from 'standardwebhooks'
import { Webhook as SvixWebhook } from 'svix'
import t from 'tap'
import { startApp, type Tenant } from '#test/support/app.ts'
import {
  deliverDue,
  eventually,
  onlyDelivery,
  registerPlugin,
  sendEvent,
  TestClock,
} from '#test/support/deliveries.ts'
import { type Received, startReceiver } from '#test/support/receiver.ts'

const service = await startApp(t)
const { db } = service

/** Tells whether receivers that use these libraries would take the request. */
function isAccepted({ body, headers }: Received, secret: string): boolean {
  const given = headers as Record<string, string>
  return [StandardWebhook, SvixWebhook].every((Library) => {
    try {
      new Library(secret).verify(body, given)
      return true
    } catch {
      return false
    }
  })
}

async function rotate(tenant: Tenant, slug: string, overlapSeconds: number): Promise<string> {
  const response = await tenant.post(`/api/plugins/${slug}/rotate-secret`, {
    overlap_seconds: overlapSeconds,
  })
  return response.json<{ secret: string }>().secret
}

t.test('receivers verify before, during and after two rotations with the secret they have', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { slug, secret: first } = await registerPlugin(tenant, receiver.url)
  const delivered = async (): Promise<Received> => {
    const id = await sendEvent(tenant)
    await deliverDue(service, tenant)
    const last = receiver.received.at(-1)
    if (last?.headers['webhook-id'] !== id) throw new Error('not delivered')
    return last
  }
  t.ok(isAccepted(await delivered(), first))
  const second = await rotate(tenant, slug, 3_600)
  const third = await rotate(tenant, slug, 3_600)
  const during = await delivered()
  t.equal(String(during.headers['webhook-signature']).split(' ').length, 3)
  for (const secret of [first, second, third]) t.ok(isAccepted(during, secret), 'within the overlap')
  const fourth = await rotate(tenant, slug, 0)
  const after = await delivered()
  t.ok(isAccepted(after, fourth))
  for (const secret of [first, second, third]) t.notOk(isAccepted(after, secret), 'the overlap is over')
  t.notOk(isAccepted({ ...after, body: `${after.body} ` }, fourth), 'one byte more is another body')
})

t.test('a secret stops signing when its overlap ends, although nothing reloads the plugin', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { slug } = await registerPlugin(tenant, receiver.url)
  await rotate(tenant, slug, 1)
  const signatures = async (): Promise<number> => {
    await sendEvent(tenant)
    await deliverDue(service, tenant)
    return String(receiver.received.at(-1)?.headers['webhook-signature']).split(' ').length
  }
  t.equal(await signatures(), 2)
  await eventually('the older secret retires', async () => (await signatures()) === 1)
})

t.test('the body is sent byte for byte as it was stored', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  await registerPlugin(tenant, receiver.url)
  const data = '{ "b" : 1.10, "a":[1e2,-0.0, 12345678901234567890], "s":"ü \\u00fc 😀 \\/ </script>\\u0007" }'
  const response = await tenant.post('/api/events', `{"event":"product.created","data":${data}}`)
  t.equal(response.statusCode, 202, response.body)
  await deliverDue(service, tenant)
  const { body } = await db
    .selectFrom('events')
    .select('body')
    .where('tenant_id', '=', tenant.id)
    .executeTakeFirstOrThrow()
  t.equal(receiver.received[0]?.body, body)
  t.match(receiver.received[0]?.headers, {
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body ?? '')),
    'user-agent': /^BetterCallSold/,
  })
})

t.test('a retry keeps id and body, and has a timestamp and signature of its own', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id: pluginId, secret } = await registerPlugin(tenant, receiver.url)
  receiver.answer(500)
  const eventId = await sendEvent(tenant)
  const clock = new TestClock()
  await deliverDue(service, tenant, clock)
  const firstSecond = Number(receiver.received[0]?.headers['webhook-timestamp'])
  await eventually('another second begins', () => Math.floor(Date.now() / 1_000) > firstSecond)
  clock.advance(36_000)
  await deliverDue(service, tenant, clock)
  const [first, second] = receiver.received
  if (first === undefined || second === undefined) throw new Error('two attempts were expected')
  t.equal((await onlyDelivery(db, pluginId)).attempt_count, 2)
  t.equal(first.headers['webhook-id'], eventId)
  t.equal(second.headers['webhook-id'], eventId)
  t.equal(second.body, first.body)
  t.ok(Number(second.headers['webhook-timestamp']) > firstSecond)
  t.not(second.headers['webhook-signature'], first.headers['webhook-signature'])
  t.ok(isAccepted(first, secret) && isAccepted(second, secret))
})

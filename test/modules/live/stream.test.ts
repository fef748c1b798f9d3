import t, { type Test } from 'tap'
import { startApp, type Tenant } from '#test/support/app.ts'
import { CHANGE_TOPICS } from '#lib/change-topics.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { follow, type SseClient, until } from '#test/support/sse-client.ts'
import { SYSTEM_ACTOR } from '#infra/auth/auth.ts'
import { tellJobs } from '#infra/durable-jobs.ts'
import { leaveToJob } from '#modules/execution/bulk/job-service.ts'
import { appOn, listen } from '#test/infra/app-on.ts'

const world = await startApp(t, { env: { ROLES: 'api,worker' } })
const { app, databaseUrl } = world
const tenant = (): Tenant => world.tenant()
await listen(app)

const topicsOf = ({ data }: SseClient['events'][number]): string[] => data['topics'] as string[]

async function pluginKeyOf(shop: Tenant, scopes: string[]): Promise<{ key: string }> {
  const slug = `p-${crypto.randomUUID().slice(0, 8)}`
  const plugin = { name: slug, slug, webhook_url: 'http://127.0.0.1:9/', scopes }
  t.equal((await shop.post('/api/plugins', plugin)).statusCode, 201)
  return (await shop.post('/api/keys', { name: slug, kind: 'plugin', plugin: slug })).json<{ key: string }>()
}

/** Follows a tenant until the first hint, which names all topics. */
async function open(t: Test, shop: Tenant, query = '', key?: string): Promise<SseClient> {
  const client = await follow(t, app, {
    tenantId: shop.id,
    path: `/api/stream${query}`,
    ...(key !== undefined && { key }),
  })
  await until(() => client.events.length > 0 || client.status !== 200, 'it has begun')
  return client
}

/** Waits until the topic has been told since the first hint. */
async function told(client: SseClient, topic: string): Promise<void> {
  await until(
    () => client.events.slice(1).some((event) => topicsOf(event).includes(topic)),
    `${topic} is told`,
  )
}

t.test(
  'whoever follows hears of events, deliveries and plugins of the tenant, and of nobody else',
  async (t) => {
    const shop = tenant()
    const other = tenant()
    const client = await open(t, shop)
    const stranger = await open(t, other)
    t.equal(client.status, 200)
    t.equal(client.headers['content-type'], 'text/event-stream; charset=utf-8')
    t.same(client.events[0], {
      event: 'changed',
      id: '',
      data: { topics: [...CHANGE_TOPICS] },
    })
    await shop.post('/api/plugins', {
      name: 'P',
      slug: 'p',
      webhook_url: 'http://127.0.0.1:9/p',
      events: ['*'],
    })
    await told(client, 'plugins')
    await shop.post('/api/events', { event: 'order.created', data: {} })
    await told(client, 'events')
    await told(client, 'deliveries')
    t.equal(stranger.events.length, 1, 'what concerns other tenants is not told')
  },
)

t.test('an outcome of a delivery is told, by whichever process', async (t) => {
  const shop = tenant()
  const receiver = await startReceiver(t)
  const answer = Promise.withResolvers<undefined>()
  receiver.answer((_, response) => void answer.promise.then(() => response.writeHead(204).end()))
  await shop.post('/api/plugins', { name: 'P', slug: 'p', webhook_url: receiver.url, events: ['*'] })
  const beside = await appOn(t, databaseUrl)
  await listen(beside)
  const client = await follow(t, beside, { tenantId: shop.id, path: '/api/stream?topics=deliveries' })
  await until(() => client.events.length > 0, 'it has begun')
  const posted = await shop.post('/api/events', { event: 'order.created', data: {} })
  t.equal(posted.statusCode, 202)
  await receiver.waitFor(1)
  await until(() => client.events.length > 1, 'intake was told')
  const before = client.events.length
  answer.resolve(undefined)
  await until(() => client.events.length > before, 'the outcome was told')
  t.ok(client.events.every((event) => topicsOf(event).join() === 'deliveries'))
})

t.test('runs of flows are told', async (t) => {
  const shop = tenant()
  const flow = await shop.post('/api/automation/flows', {
    name: 'Pause',
    status: 'active',
    trigger: { type: 'event', event_types: ['order.created'] },
    steps: [{ id: 'pause', type: 'delay', duration: '1 hour' }],
  })
  t.equal(flow.statusCode, 201, flow.body)
  const client = await open(t, shop, '?topics=executions')
  await shop.post('/api/events', { event: 'order.created', data: {} })
  await told(client, 'executions')
})

/** Reads a job anew after each hint, and at no other time, until it has ended. @returns the statuses that were read */
async function seenByHints(client: SseClient, shop: Tenant, path: string): Promise<string[]> {
  const statuses: string[] = []
  for (let heard = 1; !['completed', 'cancelled'].includes(statuses.at(-1) ?? '');) {
    await until(() => client.events.length > heard, `${path} is told of again`)
    heard = client.events.length
    statuses.push((await shop.get(path)).json<{ status: string }>().status)
  }
  return statuses
}

t.test('durable jobs are told when they are asked for, get on and end', async (t) => {
  const shop = tenant()
  const receiver = await startReceiver(t)
  await shop.post('/api/plugins', { name: 'P', slug: 'p', webhook_url: receiver.url, events: ['*'] })
  await shop.post('/api/events', { event: 'order.created', data: { email: 'ana@shop.example' } })
  await receiver.waitFor(1)
  for (const [topic, asked, read] of [
    ['replays', '/api/plugins/p/replays', '/api/replays'],
    ['recoveries', '/api/recoveries', '/api/recoveries'],
    ['erasures', '/api/erasures', '/api/erasures'],
    ['delivery_retries', '/api/plugins/events/retry', '/api/delivery-retries'],
  ] as const) {
    const client = await open(t, shop, `?topics=${topic}`)
    const body = {
      replays: {},
      recoveries: { since: '2020-01-01T00:00:00Z' },
      erasures: { path: 'email', value: 'ana@shop.example' },
      delivery_retries: { status: ['failed'] },
    }[topic]
    const answer = await shop.post(asked, body)
    t.ok(answer.statusCode < 300, answer.body)
    const statuses = await seenByHints(client, shop, `${read}/${answer.json<{ id: string }>().id}`)
    t.equal(statuses.at(-1), 'completed', topic)
    t.ok(client.events.every((event) => topicsOf(event).join() === topic))
  }
})

t.test('a bulk change is told', async (t) => {
  const shop = tenant()
  const client = await open(t, shop, '?topics=bulk_changes')
  const id = await leaveToJob(
    { db: app.db, signals: app.signals, onChange: tellJobs(app, 'bulk_changes') },
    SYSTEM_ACTOR,
    shop.id,
    { kind: 'cancel', request: {} },
    null,
  )
  const statuses = await seenByHints(client, shop, `/api/automation/bulk-changes/${id}`)
  t.equal(statuses.at(-1), 'completed')
})

t.test('hints are at most four a second, however many events come', async (t) => {
  const shop = tenant()
  const client = await open(t, shop, '?topics=events')
  const beganAt = performance.now()
  let posted = 0
  for (; performance.now() - beganAt < 3_000; posted++) {
    await shop.post('/api/events', { event: 'order.created', data: {} })
  }
  await told(client, 'events')
  // The first names all topics, and each timer may fire a moment early.
  const most = 3 + Math.ceil((performance.now() - beganAt) / 245)
  t.ok(client.events.length <= most, `${client.events.length} hints of ${posted} events, at most ${most}`)
})

t.test('it ends with its key, and there are as many as a tenant may have', async (t) => {
  const shop = tenant()
  const made = await shop.post('/api/keys', { kind: 'tenant', role: 'viewer', name: 'reader' })
  t.equal(made.statusCode, 201, made.body)
  const { id, key } = made.json<{ id: string; key: string }>()
  const client = await open(t, shop, '', key)
  await shop.delete(`/api/keys/${id}`)
  await until(() => client.isClosed(), 'its key is gone')

  const streams = await Promise.all(Array.from({ length: 20 }, async () => open(t, shop)))
  t.ok(streams.every(({ status }) => status === 200))
  t.equal((await open(t, shop)).status, 429)
  t.equal((await open(t, tenant())).status, 200)
})

t.test('a plugin hears of what it may list, and takes no more than its share of places', async (t) => {
  const shop = tenant()
  const { key: reader } = await pluginKeyOf(shop, ['self:read'])
  const { key: author } = await pluginKeyOf(shop, ['self:read', 'events:read:order.*'])
  const topicsFor = async (key: string): Promise<string[]> => {
    const client = await open(t, shop, '?seconds=0', key)
    await until(() => client.events.length > 0, 'it has begun')
    return topicsOf(client.events[0] as SseClient['events'][number])
  }
  t.same(await topicsFor(reader), ['deliveries', 'plugins', 'replays', 'delivery_retries'])
  t.same(await topicsFor(author), ['events', 'deliveries', 'plugins', 'replays', 'delivery_retries'])
  const statuses: number[] = []
  for (let count = 0; count < 6; count++) statuses.push((await open(t, shop, '', author)).status)
  t.same(statuses, [200, 200, 200, 200, 200, 429])
  t.equal((await open(t, shop)).status, 200, 'the shop itself has places left')
})

t.test('unknown topics are refused', async (t) => {
  const answer = await tenant().get('/api/stream?topics=events,secrets')
  t.match(answer.json(), { code: 'invalid_request', errors: [{ pointer: '/topics' }] })
})

t.test('it ends when the caller has asked for', async (t) => {
  const shop = tenant()
  const brief = await shop.get('/api/stream?topics=events&seconds=0')
  t.equal(brief.statusCode, 200)
  t.match(brief.body, /^retry: \d+\n\nevent: changed\ndata: \{"topics":\["events"\]\}\n\n$/)
  const client = await open(t, shop, '?seconds=1')
  await until(() => client.isClosed(), 'its second is over')
})

import { pino } from 'pino'
import t, { type Test } from 'tap'
import { ExecutionStreams, type ExecutionStreamLimits } from '#modules/execution/stream/streams.ts'
import {
  flowOf,
  HOUR_MS,
  post,
  startReceiver,
  startWorld,
  type Shop,
  wait,
} from '#test/modules/flow-engine/support.ts'
import { latest, seedExecutions } from '../support.ts'
import { follow, until } from '#test/support/sse-client.ts'

const world = await startWorld(t)
await world.app.listen({ port: 0, host: '127.0.0.1' })

/** Without a key that could end. */
const NOBODY = { id: null, session: null, pluginId: null }
const pathOf = (id: string): string => `/api/automation/executions/${id}/stream`

/** An execution that has done one step and waits for an hour before the other. */
async function waiting(t: Test): Promise<{ shop: Shop; id: string }> {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  await shop.publish(
    flowOf({
      first: post(receiver, '/a', 'later', { body: { password: 'open sesame' } }),
      later: wait(HOUR_MS, 'last'),
      last: post(receiver, '/b', 'end'),
    }),
  )
  await shop.send('order.created', {})
  await shop.run()
  return { shop, id: (await latest(shop)).id }
}

t.test(
  'a stream tells the steps as they happen and the changes of status, and ends with the execution',
  async (t) => {
    const { shop, id } = await waiting(t)
    const client = await follow(t, world.app, { tenantId: shop.tenant.id, path: pathOf(id) })
    t.equal(client.status, 200)
    t.equal(client.headers['content-type'], 'text/event-stream; charset=utf-8')
    await until(() => client.events.length === 2, 'the step and the status have come')
    t.match(client.events, [
      { event: 'step', id: '1', data: { step_id: 'first', input: { body: { password: '[redacted]' } } } },
      { event: 'status', id: '1', data: { id, status: 'waiting', reason: 'delay' } },
    ])
    t.notOk(client.isClosed())
    shop.pass(HOUR_MS + 60_000)
    await shop.run()
    await until(() => client.isClosed(), 'the stream has ended')
    const later = client.events.slice(2)
    t.strictSame(
      later.filter(({ event }) => event === 'step').map(({ id: at, data }) => [at, data['step_id']]),
      [
        ['2', 'later'],
        ['3', 'last'],
      ],
    )
    t.match(later.at(-2), { event: 'status', data: { status: 'completed', reason: 'done' } })
    t.match(later.at(-1), { event: 'end', id: 'end', data: { status: 'completed' } })
  },
)

t.test('whoever comes back with Last-Event-ID gets what came after it', async (t) => {
  const { shop, id } = await waiting(t)
  shop.pass(HOUR_MS + 60_000)
  await shop.run()
  const tenantId = shop.tenant.id
  const client = await follow(t, world.app, { tenantId, path: pathOf(id), lastEventId: '2' })
  await until(() => client.isClosed(), 'the stream has ended')
  t.strictSame(
    client.events.map(({ event, id: at }) => [event, at]),
    [
      ['step', '3'],
      ['status', '3'],
      ['end', 'end'],
    ],
  )
  const done = await follow(t, world.app, { tenantId, path: pathOf(id), lastEventId: 'end' })
  t.equal(done.status, 204, 'which tells EventSource not to come back')
  const wrong = await follow(t, world.app, { tenantId, path: pathOf(id), lastEventId: 'x' })
  t.equal(wrong.status, 400)
})

t.test('a tenant may have twenty streams open; one that was left makes room', async (t) => {
  const { shop, id } = await waiting(t)
  const open = () => follow(t, world.app, { tenantId: shop.tenant.id, path: pathOf(id) })
  const clients = await Promise.all(Array.from({ length: 20 }, open))
  t.ok(clients.every(({ status }) => status === 200))
  const refused = await open()
  t.equal(refused.status, 429)
  const other = await waiting(t)
  const theirs = await follow(t, world.app, { tenantId: other.shop.tenant.id, path: pathOf(other.id) })
  t.equal(theirs.status, 200)
  clients[0]?.close()
  let again = refused
  await until(async () => (again = await open()).status === 200, 'there is a place again')
  for (const client of [...clients, again, theirs]) client.close()
})

t.test('a stream ends with the key that opened it, revoked or expired', async (t) => {
  const { shop, id } = await waiting(t)
  const makeKey = async (expires_at?: string) => {
    const answer = await shop.tenant.post('/api/keys', {
      name: 'k',
      kind: 'tenant',
      role: 'viewer',
      expires_at,
    })
    t.equal(answer.statusCode, 201)
    return answer.json<{ id: string; key: string }>()
  }
  const [revoked, expired, kept] = [await makeKey(), await makeKey(), await makeKey()]
  const open = (key: string) => follow(t, world.app, { tenantId: shop.tenant.id, path: pathOf(id), key })
  const clients = await Promise.all([open(revoked.key), open(expired.key), open(kept.key)])
  const [one, other, staying] = clients
  await until(() => clients.every(({ events }) => events.length === 2), 'all have begun')
  t.equal((await shop.tenant.delete(`/api/keys/${revoked.id}`)).statusCode, 204)
  await until(() => one.isClosed(), 'its key was revoked')
  await shop.db
    .updateTable('api_keys')
    .set({ expires_at: new Date(Date.now() - 1_000) })
    .where('id', '=', expired.id)
    .execute()
  await until(() => other.isClosed(), 'its key has expired, which nothing announces')
  t.notOk(staying.isClosed(), 'another key is none of its business')
  t.notMatch(one.events.at(-1), { event: 'end' }, 'the execution has not ended')
})

t.test('a stream ends with the session that opened it, and with its key', async (t) => {
  const { shop, id } = await waiting(t)
  const logIn = async () => {
    const made = await shop.tenant.post('/api/keys', { name: 'k', kind: 'tenant', role: 'viewer' })
    const key = made.json<{ id: string; key: string }>()
    const answer = await world.app.inject({
      method: 'POST',
      url: '/api/session',
      payload: { key: key.key },
      headers: { 'x-bcs-session': 'bearer' },
    })
    t.equal(answer.statusCode, 200, answer.body)
    return { keyId: key.id, token: answer.json<{ token: string }>().token }
  }
  const [left, revoked, kept] = [await logIn(), await logIn(), await logIn()]
  const open = (token: string) =>
    follow(t, world.app, { tenantId: shop.tenant.id, path: pathOf(id), key: token })
  const clients = await Promise.all([open(left.token), open(revoked.token), open(kept.token)])
  const [one, other, staying] = clients
  await until(() => clients.every(({ events }) => events.length === 2), 'all have begun')
  const loggedOut = await world.app.inject({
    method: 'DELETE',
    url: '/api/session',
    headers: { authorization: `Bearer ${left.token}` },
  })
  t.equal(loggedOut.statusCode, 204)
  await until(() => one.isClosed(), 'its session has ended')
  t.equal((await shop.tenant.delete(`/api/keys/${revoked.keyId}`)).statusCode, 204)
  await until(() => other.isClosed(), 'the key of its session was revoked')
  t.notOk(staying.isClosed(), 'another session is none of its business')
})

t.test('when all places are taken, who has most gives way to who has fewer', async (t) => {
  const { shop, id } = await waiting(t)
  const other = await waiting(t)
  const third = await waiting(t)
  const streams = ownStreams(t, { perProcess: 4 })
  const mine = Array.from({ length: 4 }, () => streams.open(shop.tenant.id, NOBODY, id, 0))
  t.ok(mine.every((stream) => stream !== null))
  t.equal(streams.open(shop.tenant.id, NOBODY, id, 0), null, 'nobody has more')
  const theirs = [0, 1].map(() => streams.open(other.shop.tenant.id, NOBODY, other.id, 0))
  t.ok(theirs.every((stream) => stream !== null))
  t.equal(streams.size, 4)
  t.equal(streams.open(other.shop.tenant.id, NOBODY, other.id, 0), null, 'each of them has its share')
  t.ok(streams.open(third.shop.tenant.id, NOBODY, third.id, 0))
  t.equal(streams.open(third.shop.tenant.id, NOBODY, third.id, 0), null)
})

t.test('the server closes at once with streams open, also to a reader that takes nothing', async (t) => {
  const own = await startWorld(t)
  await own.app.listen({ port: 0, host: '127.0.0.1' })
  const shop = await own.shop()
  const flow = await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
  const [small = '', large = ''] = await seedExecutions(shop.db, shop.tenant.id, flow, [
    { status: 'waiting' },
    { status: 'waiting' },
  ])
  await fill(shop, large, 200)
  const reading = await follow(t, own.app, { tenantId: shop.tenant.id, path: pathOf(small) })
  const stuck = await follow(t, own.app, { tenantId: shop.tenant.id, path: pathOf(large) })
  stuck.pause()
  await until(() => reading.events.length === 1, 'the first status has come')
  const startedAt = performance.now()
  await own.app.close()
  // A reader that takes nothing is cut off after 60 s, any other after ten minutes.
  t.ok(performance.now() - startedAt < 50_000, 'nothing waits for the streams')
  await until(() => reading.isClosed(), 'the reader is told')
})

t.test('a reader that takes nothing costs no memory, and is cut off', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
  const [id = ''] = await seedExecutions(shop.db, shop.tenant.id, flow, [{ status: 'waiting' }])
  await fill(shop, id, 200)
  const streams = ownStreams(t, { stallMs: 400, beatMs: 100 })
  const opened = streams.open(shop.tenant.id, NOBODY, id, 0)
  t.ok(opened)
  let most = 0
  await until(() => {
    most = Math.max(most, opened?.readableLength ?? 0)
    return opened?.destroyed === true
  }, 'it is cut off')
  t.ok(most > 64 * 1024 && most < 1024 * 1024, `${most} bytes were held of 20 MB`)
  t.equal(streams.size, 0)
})

t.test('a stream beats while nothing happens, and ends when it is old', async (t) => {
  const { shop, id } = await waiting(t)
  const streams = ownStreams(t, { beatMs: 50, maxMs: 300 })
  const opened = streams.open(shop.tenant.id, NOBODY, id, 0)
  let text = ''
  let ended = false
  opened?.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  opened?.on('end', () => (ended = true))
  await until(() => ended, 'it has ended')
  t.match(text, /^retry: \d+\n\n/)
  t.match(text, /\n:\n\n/)
  t.notMatch(text, /event: end/, 'the execution has not')
  t.equal(streams.size, 0)
})

t.test('a stream that is opened while the server closes ends at once', async (t) => {
  const { shop, id } = await waiting(t)
  const streams = ownStreams(t, {})
  await streams.close()
  await streams.close()
  const opened = streams.open(shop.tenant.id, NOBODY, id, 0)
  let ended = false
  opened?.on('end', () => (ended = true)).resume()
  await until(() => ended, 'it has ended')
  t.equal(streams.size, 0)
})

/** Streams with limits of their own, closed after the test. */
function ownStreams(t: Test, limits: Partial<ExecutionStreamLimits>): ExecutionStreams {
  const streams = new ExecutionStreams({
    db: world.app.db,
    ground: world.app.identity.ground,
    signals: world.app.signals,
    log: pino({ level: 'silent' }),
    limits,
  })
  t.teardown(() => streams.close())
  return streams
}

/** Steps of 100 KB each. */
async function fill(shop: Shop, id: string, count: number): Promise<void> {
  await shop.db
    .insertInto('automation_steps')
    .values(
      Array.from({ length: count }, (_, number) => ({
        tenant_id: shop.tenant.id,
        execution_id: id,
        number,
        step_id: 'step',
        iteration: String(number),
        type: 'set',
        status: 'succeeded' as const,
        output: JSON.stringify('x'.repeat(100_000)),
        started_at: new Date(),
        duration_ms: 1,
      })),
    )
    .execute()
  await shop.db.updateTable('automation_executions').set({ step_count: count }).where('id', '=', id).execute()
}

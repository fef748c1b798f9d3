import { request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance } from 'fastify'
import { type Kysely, sql } from 'kysely'
import t, { type Test } from 'tap'
import type { DB } from '#db/schema.ts'
import problems from '#infra/http/problems.ts'
import { shareConnections } from '#infra/http/connection-share.ts'
import { startApp } from '#test/support/app.ts'
import { eventually } from '#test/support/deliveries.ts'

/** Counts the connections for requests that wait for a lock. */
async function waitingForLocks(db: Kysely<DB>): Promise<number> {
  const { rows } = await sql<{ count: number }>`select count(*)::int as count from pg_stat_activity
    where application_name = 'bcs-api' and wait_event_type = 'Lock' and datname = current_database()`.execute(
    db,
  )
  return rows[0]?.count ?? 0
}

t.test('slow reads of one shop leave connections for the others', async (t) => {
  const service = await startApp(t, { env: { DATABASE_API_CONNECTIONS: '4' } })
  const { app, db } = service
  const [slow, other] = [service.tenant(), service.tenant()]
  const answers: number[] = []
  await db.transaction().execute(async (trx) => {
    await sql`lock table plugins in access exclusive mode`.execute(trx)
    const reads = Array.from({ length: 12 }, async () => {
      answers.push((await slow.get('/api/plugins')).statusCode)
    })
    await eventually('its share waits for the lock', async () => (await waitingForLocks(db)) === 2)
    for (let count = 0; count < 5; count++) {
      t.equal((await other.get('/api/audit-log')).statusCode, 200, 'another shop is answered')
    }
    t.ok((await waitingForLocks(db)) <= 2, 'and the others of its reads wait in memory')
    void Promise.all(reads)
  })
  await eventually('all of its reads have been answered', () => answers.length === 12)
  t.equal(app.pools.api.waitingCount, 0)
})

t.test('changes of one shop that wait for each other leave connections for the others', async (t) => {
  const service = await startApp(t, { env: { DATABASE_API_CONNECTIONS: '4' } })
  const { db } = service
  const [changing, other] = [service.tenant(), service.tenant()]
  const fields = { name: 'X', slug: 'x', webhook_url: 'http://127.0.0.1:9/x', events: ['order.*'] }
  for (const each of [changing, other]) t.equal((await each.post('/api/plugins', fields)).statusCode, 201)
  const answers: number[] = []
  await db.transaction().execute(async (trx) => {
    await sql`select from tenants where id = ${changing.id} for update`.execute(trx)
    const changes = Array.from({ length: 12 }, async (_, n) => {
      const answer = await changing.patch('/api/plugins/x', { events: [`order.e${n}`] })
      answers.push(answer.statusCode)
    })
    await eventually('its share waits for the row', async () => (await waitingForLocks(db)) === 2)
    for (let count = 0; count < 5; count++) {
      t.equal((await other.get('/api/plugins')).statusCode, 200, 'another shop reads')
      const event = await other.post('/api/events', { event: 'order.created', data: {} })
      t.equal(event.statusCode, 202, 'its events are taken')
      t.equal((await other.patch('/api/plugins/x', { name: `Y${count}` })).statusCode, 200, 'and its changes')
    }
    t.ok((await waitingForLocks(db)) <= 2, 'and the other changes wait in memory')
    void Promise.all(changes)
  })
  await eventually('all of its changes have been answered', () => answers.length === 12)
  // A lock is waited for no longer than two seconds.
  t.ok(
    answers.every((status) => status === 200 || status === 503),
    answers.join(),
  )
})

/** Reads of `/held` run until they are told to end; nothing ends a read that waits, but for `waitMs`. */
async function heldReads(t: Test, options: { connections: number; waitMs: number; maxWaiting?: number }) {
  const held: (() => void)[] = []
  const hungUp: string[] = []
  const app = Fastify()
  await app.register(problems)
  shareConnections(app, { partyOf: ({ headers }) => String(headers['x-tenant-id']), ...options })
  app.addHook('onRequestAbort', async ({ headers }) => {
    hungUp.push(String(headers['x-name']))
  })
  app.get('/held', { config: { access: { role: 'viewer', scope: 'tenant' } } }, async () => {
    const { promise, resolve } = Promise.withResolvers<undefined>()
    held.push(() => resolve(undefined))
    await promise
    return 'read'
  })
  t.teardown(async () => {
    for (const end of held) end()
    await app.close()
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  // The chain that inject returns starts nothing until it is awaited.
  const read = async (tenant = 'slow') => app.inject({ url: '/held', headers: { 'x-tenant-id': tenant } })
  return { app, held, hungUp, read }
}

/** A read over a connection of its own; returned is what hangs up. */
function readOverSocket(app: FastifyInstance, name: string): () => void {
  const { port } = app.server.address() as AddressInfo
  const request = httpRequest({
    port,
    host: '127.0.0.1',
    path: '/held',
    headers: { 'x-tenant-id': 'slow', 'x-name': name },
  })
  request.on('error', () => undefined)
  request.end()
  return () => request.destroy()
}

t.test('who hangs up and asks again gets no second place while the first read still runs', async (t) => {
  const { app, held, hungUp, read } = await heldReads(t, { connections: 3, waitMs: 600_000 })
  const hangUp = readOverSocket(app, 'running')
  await eventually('the read runs', () => held.length === 1)
  hangUp()
  await eventually('its end is seen', () => hungUp.includes('running'))
  const again = read()
  const other = read('other')
  await eventually('another shop has its place', () => held.length === 2)
  held[1]?.()
  t.equal((await other).statusCode, 200)
  t.equal(held.length, 2, 'the second read of the first one waits')
  held[0]?.()
  await eventually('and runs when the statement has ended', () => held.length === 3)
  held[2]?.()
  t.equal((await again).statusCode, 200)
})

t.test('who hangs up while waiting is passed over', async (t) => {
  const { app, held, hungUp, read } = await heldReads(t, { connections: 3, waitMs: 600_000 })
  const first = read()
  await eventually('the first read runs', () => held.length === 1)
  let arrived = 0
  app.server.on('request', () => arrived++)
  const hangUp = readOverSocket(app, 'waiting')
  await eventually('the second one has arrived', () => arrived === 1)
  const third = read()
  hangUp()
  await eventually('its end is seen', () => hungUp.includes('waiting'))
  held[0]?.()
  t.equal((await first).statusCode, 200)
  await eventually('the third one runs', () => held.length === 2)
  held[1]?.()
  t.equal((await third).statusCode, 200)
  t.equal(held.length, 2, 'nothing was read for nobody')
})

t.test('so many requests of one shop wait, and more are told to come again', async (t) => {
  const { held, read } = await heldReads(t, { connections: 3, waitMs: 600_000, maxWaiting: 10 })
  const reads = Array.from({ length: 11 }, () => read())
  const refused = await read()
  t.equal(refused.statusCode, 503)
  t.match(refused.json(), { code: 'overloaded', detail: /^Other requests of the same caller/ })
  t.ok(Number(refused.headers['retry-after']) > 0)
  for (let ended = 0; ended < reads.length; ended++) {
    await eventually('the next one runs', () => held.length > ended)
    held[ended]?.()
  }
  t.ok((await Promise.all(reads)).every(({ statusCode }) => statusCode === 200))
})

t.test('a read waits for its turn for a while, and is told to come again', async (t) => {
  const { held, read } = await heldReads(t, { connections: 3, waitMs: 50 })
  const first = read()
  await eventually('the first read runs', () => held.length === 1)
  const late = await read()
  t.equal(late.statusCode, 503)
  t.match(late.json(), { code: 'overloaded', detail: /^Other requests of the same caller/ })
  t.ok(Number(late.headers['retry-after']) > 0)
  held[0]?.()
  t.equal((await first).statusCode, 200)
  const next = read()
  await eventually('who gave up leaves no place taken', () => held.length === 2)
  held[1]?.()
  t.equal((await next).statusCode, 200)
})

t.test('all parties leave some connections, and who has the fewest goes on first', async (t) => {
  const { held, read } = await heldReads(t, { connections: 8, waitMs: 600_000 })
  const reads = [...Array<string>(6).fill('a'), 'b', 'b'].map((party) => read(party))
  await eventually('all places but two are taken', () => held.length === 6)
  const third = read('c')
  reads.push(third)
  let answered = false
  void third.then(() => (answered = true))
  held[0]?.()
  await eventually('the next one runs', () => held.length === 7)
  held[6]?.()
  await eventually('which is the one whose party had none', () => answered)
  for (let ended = 1; ended < reads.length; ended++) {
    await eventually('the next one runs', () => held.length > ended)
    held[ended]?.()
  }
  t.ok((await Promise.all(reads)).every(({ statusCode }) => statusCode === 200))
})

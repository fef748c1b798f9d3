import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { LightMyRequestResponse } from 'fastify'
import t from 'tap'
import type { App } from '#src/app.ts'
import { TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { appOn, inTime, migratedPrivatePostgres, until } from './app-on.ts'

/** Health gives a statement 1 s; the statement itself would take 6 s. */
const READY_MS = 5_500
/** A statement is given 6 s; without a limit TCP takes a quarter of an hour. */
const SWALLOWED_MS = 60_000
/** Tests about other things give the database more time. */
const AS_IN_PRODUCTION = { database: undefined }
const KEY = { authorization: `Bearer ${TEST_PLATFORM_KEY}`, 'x-tenant-id': crypto.randomUUID() }

async function postEvent(app: App): Promise<LightMyRequestResponse & { ms: number }> {
  const started = performance.now()
  const answer = await app.inject({
    method: 'POST',
    url: '/api/events',
    headers: KEY,
    payload: { event: 'product.created', data: { id: 1 } },
  })
  return Object.assign(answer, { ms: performance.now() - started })
}

const listPlugins = async (app: App): Promise<LightMyRequestResponse> =>
  app.inject({ url: '/api/plugins', headers: KEY })

/** Looks as often as 5 s allow: a delay between two looks gives the service the time, too. */
async function within5s(ask: () => Promise<boolean>): Promise<boolean> {
  for (let look = 0; look < 100; look++) {
    if (await ask()) return true
    await delay(50)
  }
  return false
}

t.test(
  'with Postgres away requests get a 503 within 2 s, and all is well 5 s after it is back',
  async (t) => {
    const postgres = await migratedPrivatePostgres(t)
    const app = await appOn(t, postgres.url, { env: { ROLES: 'api,worker' }, limits: AS_IN_PRODUCTION })
    t.equal((await postEvent(app)).statusCode, 202)

    await postgres.stop('immediate')
    const asked = Array.from({ length: 30 }, (_, n) =>
      inTime(() => (n % 2 === 0 ? postEvent : listPlugins)(app)),
    )
    for (const { answer, isInTime } of await Promise.all(asked)) {
      t.ok(isInTime, 'within 2 s')
      t.equal(answer.statusCode, 503, answer.body)
      t.equal(answer.json<{ code: string }>().code, 'database_unavailable')
      t.ok(Number(answer.headers['retry-after']) > 0)
    }

    await postgres.start()
    const wellAgain = async (): Promise<boolean> => {
      const answers = [await app.inject('/health/ready'), await listPlugins(app), await postEvent(app)]
      return answers.map(({ statusCode }) => statusCode).join() === '200,200,202'
    }
    t.ok(await within5s(wellAgain), 'it is ready, reads and takes events')
  },
)

t.test('ended sessions cost at most the requests that were using them', async (t) => {
  const postgres = await migratedPrivatePostgres(t)
  const app = await appOn(t, postgres.url)
  t.equal((await postEvent(app)).statusCode, 202)
  for (let round = 0; round < 3; round++) {
    const during = Array.from({ length: 20 }, () => postEvent(app))
    await postgres.terminateBackends()
    for (const { statusCode, body } of await Promise.all(during)) {
      t.ok(statusCode === 202 || statusCode === 503, `${statusCode} ${body}`)
    }
  }
  await until(
    async () => (await postEvent(app)).statusCode,
    (status) => status === 202,
  )
})

t.test('a network that swallows everything is a 503 as well, and health says so in time', async (t) => {
  const postgres = await migratedPrivatePostgres(t)
  const proxy = await startProxy(Number(new URL(postgres.url).port))
  t.teardown(() => proxy.close())
  const url = new URL(postgres.url)
  url.port = String(proxy.port)
  const app = await appOn(t, url.href, { limits: AS_IN_PRODUCTION })
  t.equal((await postEvent(app)).statusCode, 202)

  proxy.swallow(true)
  const ready = await inTime(async () => app.inject('/health/ready'), READY_MS)
  t.equal(ready.answer.statusCode, 503)
  t.ok(ready.isInTime, 'health does not wait for the statement')
  const answer = await postEvent(app)
  t.equal(answer.statusCode, 503, answer.body)
  t.ok(answer.ms < SWALLOWED_MS, `${answer.ms} ms`)

  proxy.swallow(false)
  await until(
    async () => (await postEvent(app)).statusCode,
    (status) => status === 202,
  )
})

/** Passes bytes on to a port, or keeps connections open and passes nothing on. */
async function startProxy(
  target: number,
): Promise<{ port: number; swallow(on: boolean): void; close(): Promise<void> }> {
  const sockets = new Set<Socket>()
  let swallowing = false
  const server = createServer((incoming) => {
    const outgoing = connect(target, '127.0.0.1')
    for (const socket of [incoming, outgoing]) {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
      socket.on('error', () => undefined)
    }
    const pass = (to: Socket) => (bytes: Buffer) => {
      if (!swallowing) to.write(bytes)
    }
    incoming.on('data', pass(outgoing)).on('close', () => outgoing.destroy())
    outgoing.on('data', pass(incoming)).on('close', () => incoming.destroy())
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    swallow: (on) => {
      swallowing = on
    },
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((done) => server.close(() => done()))
    },
  }
}

import Fastify from 'fastify'
import t from 'tap'
import loadShedding, { shedHeavy } from '#infra/http/load-shedding.ts'
import { loopShare } from '#lib/async/loop-share.ts'
import problems from '#infra/http/problems.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { appOn, until } from '#test/infra/app-on.ts'

const SAMPLE_MS = 50

function blockEventLoop(ms: number): void {
  const end = performance.now() + ms
  while (performance.now() < end);
}

async function sheddingApp(warmUpMs: number) {
  const app = Fastify()
  await app.register(problems)
  await app.register(loadShedding, { maxEventLoopDelayMs: 100, sampleMs: SAMPLE_MS, warmUpMs })
  app.get('/work', async () => 'done')
  app.get('/health/live', { config: { operation: true } }, async () => 'alive')
  await app.ready()
  return app
}

t.test(
  'while the event loop is blocked work is refused with 503 and Retry-After, health is not',
  async (t) => {
    const app = await sheddingApp(0)
    t.teardown(() => app.close())
    t.equal((await app.inject('/work')).statusCode, 200)
    const refused = await until(
      async () => {
        blockEventLoop(SAMPLE_MS * 8)
        return app.inject('/work')
      },
      ({ statusCode }) => statusCode === 503,
    )
    t.equal(refused.json<{ code: string }>().code, 'overloaded')
    t.ok(Number(refused.headers['retry-after']) > 0)
    t.equal((await app.inject('/health/live')).statusCode, 200)
    await until(
      async () => (await app.inject('/work')).statusCode,
      (status) => status === 200,
    )
  },
)

t.test('starting up is no overload', async (t) => {
  const app = await sheddingApp(60_000)
  t.teardown(() => app.close())
  for (let i = 0; i < 3; i++) {
    blockEventLoop(SAMPLE_MS * 8)
    await new Promise((resolve) => setImmediate(resolve))
    t.equal((await app.inject('/work')).statusCode, 200)
  }
})

t.test('those whose work blocks the event loop are refused first', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(problems)
  await app.register(loadShedding, {
    maxEventLoopDelayMs: 100,
    allAtDelayMs: 60_000,
    sampleMs: SAMPLE_MS,
    warmUpMs: 0,
  })
  shedHeavy(app, ({ headers }) => String(headers['x-tenant-id']))
  app.get('/work', async () => 'done')
  await app.ready()
  const ask = async (tenant: string): Promise<number> =>
    (await app.inject({ url: '/work', headers: { 'x-tenant-id': tenant } })).statusCode
  const answers = await until(
    async () => {
      // In units, as all that costs much is done; a sample of the delay falls between them.
      for (let unit = 0; unit < 10; unit++) {
        await loopShare.turn('heavy')
        blockEventLoop(150)
        await new Promise((resolve) => setImmediate(resolve))
      }
      return [await ask('heavy'), await ask('light')]
    },
    ([heavy]) => heavy === 503,
  )
  t.strictSame(answers, [503, 200])
})

t.test('the service itself refuses while its event loop is blocked, and only then', async (t) => {
  const { url } = await createTestDatabase(t)
  // As in production: other tests have no limit.
  const app = await appOn(t, url, {
    openTenantId: crypto.randomUUID(),
    limits: { maxEventLoopDelayMs: undefined },
  })
  const status = async (): Promise<number> => (await app.inject('/api/plugins')).statusCode
  const isIdle = (): Promise<number> => until(status, (answer) => answer === 200)
  await isIdle()
  await until(
    async () => {
      blockEventLoop(4_000)
      await new Promise((resolve) => setImmediate(resolve))
      return status()
    },
    (answer) => answer === 503,
  )
  t.equal((await app.inject('/health/live')).statusCode, 200)
  t.equal(await isIdle(), 200, 'also after the warm-up, which is over now')
})

import t from 'tap'
import { createLogger, serializeError } from '#infra/logger.ts'
import { clientFor, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { appOn } from './app-on.ts'

type Line = Record<string, unknown>

function capture(level: string): { log: ReturnType<typeof createLogger>; lines: Line[] } {
  const lines: Line[] = []
  return { log: createLogger(level, { write: (line) => void lines.push(JSON.parse(line) as Line) }), lines }
}

t.test('secrets, bodies and headers do not reach the log, whoever logs them', async (t) => {
  const { log, lines } = capture('info')
  log.info({
    secret: 's3cret',
    plugin: { secret: 's3cret', config: { any: 's3cret' } },
    req: { headers: { authorization: 's3cret' } },
    body: 's3cret',
  })
  t.notMatch(JSON.stringify(lines), 's3cret')
})

t.test('an error is logged with its causes, three deep, and never in a circle', async (t) => {
  const error = new Error('outer', { cause: new Error('inner') })
  t.match(serializeError(error), { message: 'outer', cause: { message: 'inner' } })
  const circle = new Error('round')
  circle.cause = circle
  t.doesNotThrow(() => JSON.stringify(serializeError(circle)))
})

t.test('one line for a request that failed, none at info for one that did not', async (t) => {
  const { url } = await createTestDatabase(t)
  const { log, lines } = capture('info')
  const app = await appOn(t, url, { logger: log })
  const tenantId = crypto.randomUUID()
  const tenant = clientFor(app, tenantId, TEST_PLATFORM_KEY)
  const requests = (): Line[] => lines.filter(({ msg }) => msg === 'request')

  await tenant.get('/api/plugins')
  t.strictSame(requests(), [])

  await tenant.get('/api/plugins/nobody', { 'x-request-id': 'order-7' })
  t.equal(requests().length, 1)
  t.match(requests()[0], {
    level: 'info',
    request_id: 'order-7',
    tenant_id: tenantId,
    method: 'GET',
    route: '/api/plugins/:slug',
    status: 404,
    duration_ms: Number,
  })
  t.notMatch(JSON.stringify(lines), TEST_PLATFORM_KEY)
})

t.test('at debug every request has its line', async (t) => {
  const { url } = await createTestDatabase(t)
  const { log, lines } = capture('debug')
  const app = await appOn(t, url, { logger: log })
  await clientFor(app, crypto.randomUUID(), TEST_PLATFORM_KEY).get('/api/plugins')
  t.ok(lines.some(({ msg, level, status }) => msg === 'request' && level === 'debug' && status === 200))
})

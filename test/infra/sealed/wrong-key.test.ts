import { randomBytes } from 'node:crypto'
import pg from 'pg'
import t from 'tap'
import { createTestDatabase } from '#test/support/database.ts'
import { eventually } from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { startService } from '#test/support/service-process.ts'

/** The members that are looked at, of any answer. */
interface Answer {
  checks: Record<string, { status: string; detail: string }>
  data: { status: string; reason: string | null }[]
}

t.test('a wrong master key is told at start, and rotating the secret is the repair', async (t) => {
  const { url } = await createTestDatabase(t)
  const receiver = await startReceiver(t)
  const tenantId = crypto.randomUUID()
  const right = await startService(t, { databaseUrl: url })
  const registered = await right.request('POST', '/api/plugins', {
    tenantId,
    body: {
      slug: 'mail',
      name: 'Mail',
      webhook_url: receiver.url,
      events: ['product.*'],
      headers: { 'x-api-key': 'k-1' },
    },
  })
  t.equal(registered.status, 201)
  t.notMatch(right.log.join('\n'), 'MASTER_KEY')
  right.kill('SIGTERM')
  await right.exited

  const wrong = await startService(t, {
    databaseUrl: url,
    env: { MASTER_KEY: randomBytes(32).toString('base64'), POLL_MS: '100' },
  })
  const tellings = (): string[] =>
    wrong.log.filter((line) => line.includes('MASTER_KEY: 2 of 2 stored secrets'))
  await eventually('the start to tell of the wrong key', () => tellings().length > 0)
  const told = tellings()
  t.equal(told.length, 1, wrong.log.join('\n'))
  t.match(told[0], /MASTER_KEY is likely not the one of this database.*MASTER_KEY_PREVIOUS/)

  const shop = async (
    method: string,
    path: string,
    body?: unknown,
  ): Promise<{ status: number; body: Answer }> => {
    const response = await wrong.request(method, path, { tenantId, body })
    return { status: response.status, body: (await response.json()) as Answer }
  }
  const ready = await shop('GET', '/health/ready')
  t.match(ready, { status: 200, body: { status: 'ready', checks: { secrets: { status: 'warning' } } } })
  t.match(ready.body.checks['secrets']?.detail, /plugin_secrets\.sealed 1, plugins\.headers_sealed 1/)

  const sent = await shop('POST', '/api/events', { event: 'product.created', data: { id: 1 } })
  t.equal(sent.status, 202)
  const reasons = async (): Promise<(string | null)[]> => {
    const log = await shop('GET', '/api/plugins/events')
    return log.body.data.map(({ reason }) => reason)
  }
  await eventually('the delivery says why it waits', async () => (await reasons())[0] === 'secret_unreadable')
  const logged = () => wrong.log.filter((line) => line.includes('secret_unreadable:'))
  await eventually('it is logged', async () => logged().length > 0)
  t.equal(logged().length, 1, logged().join('\n'))

  t.match(await shop('GET', '/api/plugins/mail'), {
    status: 200,
    body: { unreadable: ['headers', 'secret'], headers: {} },
  })
  t.match(await shop('POST', '/api/plugins/mail/test', {}), {
    status: 409,
    body: { code: 'secret_unreadable' },
  })
  const renamed = await shop('PATCH', '/api/plugins/mail', { name: 'Mail 2' })
  t.match(
    renamed,
    { status: 200, body: { unreadable: ['headers', 'secret'] } },
    'nothing is lost by a change',
  )

  t.equal((await shop('POST', '/api/plugins/mail/rotate-secret', {})).status, 200)
  t.match(await shop('GET', '/api/plugins/mail'), { body: { unreadable: ['headers'] } })
  t.equal((await shop('PATCH', '/api/plugins/mail', { headers: { 'x-api-key': 'k-2' } })).status, 200)
  const [delivered] = await receiver.waitFor(1)
  t.equal(delivered?.headers['x-api-key'], 'k-2')
  await eventually('the delivery is sent', async () => {
    const log = await shop('GET', '/api/plugins/events')
    return log.body.data[0]?.status === 'sent'
  })
  t.notOk('unreadable' in (await shop('GET', '/api/plugins/mail')).body)
})

t.test('a wrong key is told by the first count that succeeds', async (t) => {
  const { url } = await createTestDatabase(t)
  const tenantId = crypto.randomUUID()
  const right = await startService(t, { databaseUrl: url, env: { ROLES: 'api' } })
  const body = { slug: 'mail', name: 'Mail', webhook_url: 'http://127.0.0.1:9/' }
  t.equal((await right.request('POST', '/api/plugins', { tenantId, body })).status, 201)
  right.kill('SIGTERM')
  await right.exited

  const locker = new pg.Client({ connectionString: url })
  await locker.connect()
  await locker.query('begin; lock table plugin_secrets')
  const MASTER_KEY = randomBytes(32).toString('base64')
  const wrong = await startService(t, { databaseUrl: url, env: { ROLES: 'api', MASTER_KEY } })
  const told = () => wrong.log.filter((line) => line.includes('MASTER_KEY: 1 of 1 stored secrets'))
  t.strictSame(told(), [], 'it could not be counted at the start')
  await locker.end()
  await eventually('it is told', async () => {
    await (await wrong.request('GET', '/health/ready')).body?.cancel()
    return told().length > 0
  })
  t.equal(told().length, 1)
})

t.test('unreadable headers can be removed by sending none', async (t) => {
  const { url } = await createTestDatabase(t)
  const tenantId = crypto.randomUUID()
  const right = await startService(t, { databaseUrl: url, env: { ROLES: 'api' } })
  const fields = { name: 'Mail', webhook_url: 'http://127.0.0.1:9/', headers: { 'x-api-key': 'k-1' } }
  await right.request('POST', '/api/plugins', { tenantId, body: { slug: 'mail', ...fields } })
  const wrong = await startService(t, {
    databaseUrl: url,
    env: { ROLES: 'api', MASTER_KEY: randomBytes(32).toString('base64') },
  })
  const patched = await wrong.request('PATCH', '/api/plugins/mail', { tenantId, body: { headers: {} } })
  t.match(await patched.json(), { unreadable: ['secret'], headers: {} })
})

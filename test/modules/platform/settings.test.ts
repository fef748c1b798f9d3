import { randomBytes } from 'node:crypto'
import t from 'tap'
import { appOn } from '#test/infra/app-on.ts'
import { clientFor, startApp, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { startReceiver } from '#test/support/receiver.ts'

const ROUTE = '/api/tenant/platform'
const CALL = { method: 'POST', path: '/api/products', body: {}, idempotencyKey: 'e:k' }

t.test('a tenant with a platform of its own is sent there, with its own token', async (t) => {
  const common = await startReceiver(t)
  const own = await startReceiver(t)
  const env = {
    MASTER_KEY: randomBytes(32).toString('base64'),
    PLATFORM_URL: common.url,
    PLATFORM_TOKEN: 'the-operators',
  }
  const service = await startApp(t, { env })
  const replica = await appOn(t, service.databaseUrl, { env })
  const shop = service.tenant()
  t.same((await shop.get(ROUTE)).json(), { url: null, has_token: false, source: 'service' })

  const put = await shop.put(ROUTE, { url: own.url, token: 'the-tenants' })
  t.same([put.statusCode, put.json()], [200, { url: own.url, has_token: true, source: 'tenant' }])
  t.notMatch(put.body, 'the-tenants')
  for (const app of [service.app, replica]) await app.platform.call(shop.id, CALL)
  await service.app.platform.call(service.tenant().id, CALL)
  t.strictSame(
    [common, own].map(({ received }) => received.map(({ headers }) => headers.authorization)),
    [['Bearer the-operators'], ['Bearer the-tenants', 'Bearer the-tenants']],
  )

  const row = await service.db
    .selectFrom('tenants')
    .select('platform_token_sealed')
    .where('id', '=', shop.id)
    .executeTakeFirstOrThrow()
  t.notOk(row.platform_token_sealed?.includes('the-tenants'), 'sealed at rest')
  const audited = await shop.get('/api/audit-log')
  t.match(audited.json(), {
    data: [{ action: 'tenant.platform_changed', detail: { url: own.url, has_token: true } }],
  })
  t.notMatch(audited.body, 'the-tenants')

  await shop.put(ROUTE, { url: own.url })
  await service.app.platform.call(shop.id, CALL)
  t.equal(own.received[2]?.headers.authorization, undefined, "the operator's token goes nowhere else")

  t.same((await shop.put(ROUTE, { url: null })).json(), { url: null, has_token: false, source: 'service' })
  await replica.platform.call(shop.id, CALL)
  t.equal(common.received.length, 2)
})

t.test('only a platform key changes where actions go; the tenant may look', async (t) => {
  const service = await startApp(t)
  const shop = service.tenant()
  const made = await shop.post('/api/keys', { name: 'admin', kind: 'tenant', role: 'admin' })
  const admin = clientFor(service.app, shop.id, made.json<{ key: string }>().key)
  t.match((await admin.put(ROUTE, { url: 'https://93.184.216.34' })).json(), {
    status: 403,
    code: 'forbidden',
  })
  t.same((await admin.get(ROUTE)).json(), { url: null, has_token: false, source: 'none' })
})

t.test('an override that is not public, or no place to put paths below, is refused', async (t) => {
  const service = await startApp(t, { env: { EGRESS_ALLOW: '127.0.0.2:80' } })
  const shop = service.tenant()
  for (const url of [
    'http://127.0.0.1:5432',
    'http://169.254.169.254/latest',
    'http://10.0.0.1',
    'http://[::1]/',
    'http://2130706433/',
    'https://user:pass@93.184.216.34/',
    'ftp://93.184.216.34/',
    'https://93.184.216.34/?x=1',
    'https://93.184.216.34/#x',
    'nowhere',
  ]) {
    const answer = await shop.put(ROUTE, { url })
    t.match(answer.json(), { status: 422, code: 'platform_url_refused', errors: [{ pointer: '/url' }] }, url)
  }
  for (const body of [
    {},
    { url: '' },
    { url: 'https://93.184.216.34', token: 'a b' },
    { url: null, other: 1 },
  ]) {
    t.equal((await shop.put(ROUTE, body)).statusCode, 400, JSON.stringify(body))
  }
  t.match((await shop.get(ROUTE)).json(), { source: 'none' })
})

t.test('an override that became private is not called', async (t) => {
  const own = await startReceiver(t)
  const service = await startApp(t, { env: { EGRESS_ALLOW: '127.0.0.2:80' } })
  const shop = service.tenant()
  await shop.put(ROUTE, { url: 'https://93.184.216.34' })
  await service.db.updateTable('tenants').set({ platform_url: own.url }).where('id', '=', shop.id).execute()
  t.match(await service.app.platform.call(shop.id, CALL), { ok: false, code: 'blocked', bytesSent: false })
  t.equal(own.received.length, 0)
})

t.test('a token that no master key opens is a result, not a failure of the service', async (t) => {
  const service = await startApp(t)
  const shop = service.tenant()
  await shop.put(ROUTE, { url: 'http://127.0.0.1:9', token: 'x' })
  const stranger = await appOn(t, service.databaseUrl)
  t.match(await stranger.platform.call(shop.id, CALL), { ok: false, code: 'platform_not_configured' })
  t.equal((await clientFor(stranger, shop.id, TEST_PLATFORM_KEY).get(ROUTE)).statusCode, 200)
})

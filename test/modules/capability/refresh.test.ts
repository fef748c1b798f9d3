import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { parseSecret, verifyWebhook } from '#lib/secrets/signature.ts'
import { runRefreshPass } from '#modules/capability/index.ts'
import { createShapeCheck } from '#modules/capability/shape.ts'
import { appOn, until } from '#test/infra/app-on.ts'
import { startApp, type Tenant } from '#test/support/app.ts'
import { type HostileKind, startHostileReceiver } from '#test/support/hostile-receiver.ts'
import { type Receiver, startReceiver } from '#test/support/receiver.ts'
import { auditOf, type ProblemBody, register } from '#test/modules/plugin/support.ts'
import { discover } from '#test/modules/registry/support.ts'
import { ACTION, capabilitiesOf, manifestOf, putManifest, TRIGGER, type UpdateBody } from './support.ts'

const MASTER_KEY = randomBytes(32).toString('base64')
const service = await startApp(t, { env: { MASTER_KEY } })
const PATH = '/api/plugins/loyalty/capabilities/refresh'
const HOUR_MS = 3_600_000

/** A plugin server that gives this manifest, with an ETag where there is one. */
function serve(plugin: Receiver, manifest: unknown, etag?: string): void {
  plugin.answer((received, response) => {
    if (etag !== undefined && received.headers['if-none-match'] === etag) response.writeHead(304).end()
    else {
      response.writeHead(200, { 'content-type': 'application/json', ...(etag !== undefined && { etag }) })
      response.end(typeof manifest === 'string' ? manifest : JSON.stringify(manifest))
    }
  })
}

async function loyalty(
  t: Test,
  fields: object = {},
): Promise<{ tenant: Tenant; plugin: Receiver; secret: string }> {
  const tenant = service.tenant()
  const plugin = await startReceiver(t)
  const { secret } = await register(t, tenant, {
    slug: 'loyalty',
    name: 'Loyalty',
    webhook_url: `${plugin.url}/hooks`,
    base_url: `${plugin.url}/v1`,
    ...fields,
  })
  return { tenant, plugin, secret }
}

async function refresh(t: Test, tenant: Tenant): Promise<UpdateBody> {
  const response = await tenant.post(PATH)
  t.equal(response.statusCode, 200, response.statusCode === 200 ? 'refreshed' : response.body)
  return response.json()
}

t.test('a plugin is asked by a signed GET below its base URL', async (t) => {
  const { tenant, plugin, secret } = await loyalty(t, { headers: { 'x-shop': 'ours' } })
  serve(plugin, manifestOf(), '"v1"')
  const { added, capabilities } = await refresh(t, tenant)
  t.strictSame(added, { triggers: ['points_earned'], actions: ['award_points'], conditions: ['tier'] })
  t.match(capabilities, { origin: 'fetched', version: '1.0.0', health: 'healthy', last_error: null })
  t.ok(Math.abs(Date.parse(String(capabilities.next_check_at)) - Date.now() - HOUR_MS) < 0.2 * HOUR_MS)
  t.equal((await discover(t, tenant, '&source=plugin')).length, 1)

  const [request] = plugin.received
  t.match(request, { method: 'GET', path: '/v1/api/capabilities', body: '' })
  t.match(request?.headers, { 'user-agent': /BetterCallSold/, accept: 'application/json', 'x-shop': 'ours' })
  const clock = { toleranceSeconds: 60, nowSeconds: Math.floor(Date.now() / 1000) }
  t.equal(verifyWebhook(request?.headers ?? {}, '', [parseSecret(secret)], clock), 'valid')
})

t.test('what has not changed is not sent again', async (t) => {
  const { tenant, plugin } = await loyalty(t)
  serve(plugin, manifestOf(), '"v1"')
  const first = await refresh(t, tenant)
  const second = await refresh(t, tenant)
  t.equal(plugin.received[1]?.headers['if-none-match'], '"v1"')
  t.strictSame(second.added.actions, [])
  t.equal(second.capabilities.last_updated, first.capabilities.last_updated)
  t.ok(String(second.capabilities.last_checked_at) > String(first.capabilities.last_checked_at))
  serve(plugin, manifestOf({ actions: [] }), '"v2"')
  t.strictSame((await refresh(t, tenant)).removed.actions, ['award_points'])
})

t.test('a 304 that nobody asked for is no manifest', async (t) => {
  const { tenant, plugin } = await loyalty(t)
  await putManifest(t, tenant, 'loyalty', manifestOf())
  plugin.answer(304)
  t.equal((await tenant.post(PATH)).statusCode, 502)
})

t.test(
  'whatever a plugin answers instead, the last good manifest stays and the reason is kept',
  async (t) => {
    const { tenant, plugin } = await loyalty(t)
    serve(plugin, manifestOf())
    await refresh(t, tenant)
    const broken: [unknown, number, RegExp][] = [
      ['{"name":', 502, /^invalid_json: /],
      ['{"name":"a","name":"b"}', 502, /^invalid_json: /],
      ['[]', 422, /^manifest_invalid: document /],
      [{ name: 'Loyalty' }, 422, /^manifest_invalid: \/capabilities /],
      [
        manifestOf({ actions: [{ ...ACTION, endpoint: '//evil/' }] }),
        422,
        /^manifest_invalid: \/capabilities\/actions\/0\/endpoint /,
      ],
      [
        manifestOf({ triggers: [{ ...TRIGGER, event_types: ['Order Paid'] }] }),
        422,
        /^manifest_invalid: \/capabilities\/triggers\/0\/event_types\/0 /,
      ],
      [manifestOf({}, { description: 'x'.repeat(300 * 1024) }), 502, /^response_too_large: /],
    ]
    for (const [index, [manifest, status, error]] of broken.entries()) {
      serve(plugin, manifest)
      const response = await tenant.post(PATH)
      t.equal(response.statusCode, status, response.body)
      const problem = response.json<ProblemBody>()
      t.equal(problem.code, status === 422 ? 'manifest_invalid' : 'capabilities_unavailable')
      if (status === 422) t.ok((problem.errors ?? []).length > 0)
      const now = await capabilitiesOf(tenant, 'loyalty')
      t.match(now, {
        health: 'failing',
        consecutive_failures: index + 1,
        last_error: error,
        version: '1.0.0',
      })
    }
    t.equal((await discover(t, tenant, '&source=plugin')).length, 1)
    t.equal((await tenant.get('/api/event-types/loyalty.points_earned')).statusCode, 200)
    serve(plugin, manifestOf())
    t.match((await refresh(t, tenant)).capabilities, {
      health: 'healthy',
      consecutive_failures: 0,
      last_error: null,
    })
  },
)

t.test('a hostile plugin costs no more than its time', async (t) => {
  const kinds: [HostileKind, RegExp][] = [
    ['status_500', /^http_5xx/],
    ['status_404', /^http_4xx/],
    ['redirect_metadata', /^redirect/],
    ['redirect_loopback', /^redirect/],
    ['huge_body', /^response_too_large/],
    ['huge_chunked_body', /^response_too_large/],
    ['gzip_bomb', /^(invalid_json|response_too_large)/],
    ['reset', /^reset/],
    ['reset_mid_body', /^reset/],
    ['malformed', /^protocol_error/],
    ['endless_headers', /^(protocol_error|reset)/],
    ['drip_body', /^timeout/],
    ['hang', /^timeout/],
  ]
  await Promise.all(
    kinds.map(async ([kind, error]) => {
      const hostile = await startHostileReceiver(kind)
      t.teardown(() => hostile.close())
      const tenant = service.tenant()
      await register(t, tenant, {
        slug: 'loyalty',
        name: 'L',
        webhook_url: `http://127.0.0.1:${hostile.port}/`,
      })
      const response = await tenant.post(PATH)
      t.equal(response.statusCode, 502, `${kind}: ${response.body}`)
      t.match(
        await capabilitiesOf(tenant, 'loyalty'),
        { manifest: null, origin: null, last_error: error },
        kind,
      )
    }),
  )
})

t.test('in the background, what is due is looked at, ever more seldom while that fails', async (t) => {
  const { tenant, plugin } = await loyalty(t)
  serve(plugin, manifestOf(), '"v1"')
  await refresh(t, tenant)
  t.equal(await pass(), 'idle')
  t.equal(plugin.received.length, 1, 'nothing is due')

  serve(plugin, manifestOf({ actions: [] }), '"v2"')
  await makeDue(tenant.id)
  await pass()
  t.strictSame(await discover(t, tenant, '&source=plugin'), [])
  t.match((await auditOf(service.db, tenant.id)).at(-1), { action: 'plugin.manifest_changed' })

  plugin.answer(500)
  for (const hours of [1, 2, 4, 8, 16, 24, 24]) {
    await makeDue(tenant.id)
    await pass()
    const { next_check_at, health } = await capabilitiesOf(tenant, 'loyalty')
    t.equal(health, 'failing')
    const wait = Date.parse(String(next_check_at)) - Date.now()
    t.ok(Math.abs(wait - hours * HOUR_MS) < 0.15 * hours * HOUR_MS, `${hours} h: ${wait / HOUR_MS}`)
  }
  serve(plugin, manifestOf(), '"v3"')
  await makeDue(tenant.id)
  await pass()
  t.match(await capabilitiesOf(tenant, 'loyalty'), { health: 'healthy', consecutive_failures: 0 })
})

t.test('a pushed manifest is not fetched, and a paused or deleted plugin is left in peace', async (t) => {
  const { tenant, plugin } = await loyalty(t)
  serve(plugin, manifestOf())
  await refresh(t, tenant)
  await tenant.post('/api/plugins/loyalty/pause')
  await makeDue(tenant.id)
  await pass()
  t.equal(plugin.received.length, 1)
  await tenant.post('/api/plugins/loyalty/resume')
  await pass()
  t.equal(plugin.received.length, 2)

  await putManifest(t, tenant, 'loyalty', manifestOf({}, { version: '2.0.0' }))
  t.match(await capabilitiesOf(tenant, 'loyalty'), { origin: 'pushed', next_check_at: null })
  plugin.answer(500)
  t.equal((await tenant.post(PATH)).statusCode, 502)
  t.match(await capabilitiesOf(tenant, 'loyalty'), {
    origin: 'pushed',
    version: '2.0.0',
    next_check_at: null,
    health: 'failing',
  })
  serve(plugin, manifestOf())
  t.match((await refresh(t, tenant)).capabilities, { origin: 'fetched', version: '1.0.0' })
  await makeDue(tenant.id)
  await tenant.delete('/api/plugins/loyalty')
  await pass()
  t.equal(plugin.received.length, 4)
})

t.test('a manifest that is pushed while an older one is fetched stays', async (t) => {
  const { tenant, plugin } = await loyalty(t)
  serve(plugin, manifestOf())
  await refresh(t, tenant)
  plugin.answer((_received, response) => {
    void putManifest(t, tenant, 'loyalty', manifestOf({}, { version: '2.0.0' })).then(() =>
      response.end(JSON.stringify(manifestOf({}, { version: '1.5.0' }))),
    )
  })
  await makeDue(tenant.id)
  await pass()
  t.match(await capabilitiesOf(tenant, 'loyalty'), {
    origin: 'pushed',
    version: '2.0.0',
    next_check_at: null,
  })
})

t.test('workers do not look at the same plugin at once', async (t) => {
  const { tenant, plugin } = await loyalty(t)
  serve(plugin, manifestOf())
  await refresh(t, tenant)
  await makeDue(tenant.id)
  await Promise.all([pass(), pass(), pass(), pass()])
  t.equal(plugin.received.length, 2)
})

t.test('the worker role does it by itself', async (t) => {
  const { tenant, plugin } = await loyalty(t)
  serve(plugin, manifestOf())
  await refresh(t, tenant)
  serve(plugin, manifestOf({}, { version: '3.0.0' }))
  await makeDue(tenant.id)
  await appOn(t, service.databaseUrl, { env: { ROLES: 'worker', MASTER_KEY } })
  const { last_error } = await until(
    () => capabilitiesOf(tenant, 'loyalty'),
    ({ version, last_error }) => version === '3.0.0' || last_error !== null,
  )
  t.equal(last_error, null)
})

function pass() {
  const { egress, deliveries } = service.app
  return runRefreshPass({ db: service.db, egress, deliveries, checkShape: createShapeCheck() })
}

async function makeDue(tenantId: string): Promise<void> {
  await service.db
    .updateTable('plugin_capabilities')
    .set({ next_check_at: sql<Date>`now()` })
    .where('tenant_id', '=', tenantId)
    .execute()
}

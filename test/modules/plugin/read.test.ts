import t from 'tap'
import { sql } from 'kysely'
import { startApp, TEST_PLATFORM_KEY, clientFor } from '#test/support/app.ts'
import { clientOf, insertWaiting, type PluginBody, register } from './support.ts'

const service = await startApp(t)
const { db } = service

function slugs(response: { body: string }): string[] {
  const { data } = JSON.parse(response.body) as { data: PluginBody[] }
  return data.map((plugin) => plugin.slug)
}

t.test('secret values are for admins and the plugin itself; others see their keys', async (t) => {
  const tenant = service.tenant()
  const config = { api_key: 'k1', smtp: { password: 'p', ports: [25, 587], none: null }, empty: {} }
  const { id } = await register(t, tenant, { config, headers: { 'x-token': 't1' } })
  await register(t, tenant, { slug: 'other' })
  for (const holder of ['admin', { pluginId: id }] as const) {
    const plugin = (
      await (await clientOf(service, tenant, holder)).get('/api/plugins/email-marketing')
    ).json<PluginBody>()
    t.strictSame(plugin.config, config)
    t.strictSame(plugin.headers, { 'x-token': 't1' })
  }
  const redacted = {
    api_key: '[redacted]',
    smtp: { password: '[redacted]', ports: ['[redacted]', '[redacted]'], none: '[redacted]' },
    empty: {},
  }
  for (const role of ['editor', 'viewer'] as const) {
    const client = await clientOf(service, tenant, role)
    const plugin = (await client.get('/api/plugins/email-marketing')).json<PluginBody>()
    t.strictSame(plugin.config, redacted)
    t.strictSame(plugin.headers, { 'x-token': '[redacted]' })
    const list = await client.get('/api/plugins')
    t.strictSame(list.json<{ data: PluginBody[] }>().data[1]?.config, redacted)
    t.notOk(/k1|t1/.test(list.body))
  }
})

t.test("a plugin's key sees its own plugin only", async (t) => {
  const tenant = service.tenant()
  const { id } = await register(t, tenant, { slug: 'mine' })
  await register(t, tenant, { slug: 'other' })
  const client = await clientOf(service, tenant, { pluginId: id })
  t.strictSame(slugs(await client.get('/api/plugins')), ['mine'])
  t.equal((await client.get('/api/plugins/mine')).statusCode, 200)
  t.equal((await client.get('/api/plugins/other')).statusCode, 403)
})

t.test("another tenant's plugin is answered like one that does not exist", async (t) => {
  const owner = service.tenant()
  const stranger = service.tenant()
  await register(t, owner)
  const ask = async (
    tenant: typeof owner,
    slug: string,
    method: 'GET' | 'PUT' | 'PATCH' | 'DELETE' | 'POST',
    path = '',
  ) =>
    service.app.inject({
      method,
      url: `/api/plugins/${slug}${path}`,
      headers: {
        authorization: `Bearer ${TEST_PLATFORM_KEY}`,
        'x-tenant-id': tenant.id,
        'x-request-id': 'same',
      },
      ...(method === 'PUT' && { payload: { name: 'X', webhook_url: 'http://127.0.0.1:9/' } }),
      ...(method === 'PATCH' && { payload: { name: 'X' } }),
    })
  for (const [method, path] of [
    ['GET', ''],
    ['PUT', ''],
    ['PATCH', ''],
    ['DELETE', ''],
    ['POST', '/test'],
    ['POST', '/pause'],
    ['POST', '/resume'],
    ['POST', '/rotate-secret'],
  ] as const) {
    const foreign = await ask(stranger, 'email-marketing', method, path)
    t.equal(foreign.statusCode, 404, `${method} ${path}`)
    for (const slug of ['unknown', 'UPPER', 'a%00b', '%20', 'a'.repeat(200), "'--", '__proto__']) {
      const unknown = await ask(stranger, slug, method, path)
      t.equal(unknown.body, foreign.body, `${method} ${slug}${path}`)
    }
  }
  t.strictSame(slugs(await stranger.get('/api/plugins')), [])
  t.equal((await owner.get('/api/plugins/email-marketing')).json<PluginBody>().revision, 1)
})

t.test('the list goes by pages, newest first', async (t) => {
  const tenant = service.tenant()
  for (const slug of ['a', 'b', 'c', 'd', 'e']) await register(t, tenant, { slug })
  const all = slugs(await tenant.get('/api/plugins'))
  t.strictSame([...all].sort(), ['a', 'b', 'c', 'd', 'e'])
  const seen: string[] = []
  let cursor: string | null = ''
  while (cursor !== null) {
    const page = await tenant.get(`/api/plugins?limit=2${cursor && `&cursor=${cursor}`}`)
    seen.push(...slugs(page))
    cursor = page.json<{ next_cursor: string | null }>().next_cursor
  }
  t.strictSame(seen, all)
  t.match((await tenant.get('/api/plugins')).json(), { data: [{ waiting: 0, oldest_due_at: null }] })
  t.equal((await tenant.get('/api/plugins?cursor=nonsense')).json<{ code: string }>().code, 'invalid_cursor')
})

t.test('the list is narrowed by status, by part of a name and by the events they take', async (t) => {
  const tenant = service.tenant()
  await register(t, tenant, { slug: 'exact', name: 'Größe 100%', events: ['order.line.added'] })
  await register(t, tenant, { slug: 'below', name: 'Under_score', events: ['order.*', 'order.line.added'] })
  await register(t, tenant, { slug: 'all', name: 'Mail', events: ['*'], status: 'paused' })
  await register(t, tenant, { slug: 'none', name: 'Email' })
  const find = async (query: string): Promise<string[]> =>
    slugs(await tenant.get(`/api/plugins?${query}`)).sort()
  t.strictSame(await find('event=order.line.added'), ['all', 'below', 'exact'])
  t.strictSame(await find('event=order.line'), ['all', 'below'])
  t.strictSame(await find('event=order'), ['all'])
  t.strictSame(await find('event=orders.x'), ['all'])
  t.strictSame(await find('status=paused'), ['all'])
  t.strictSame(await find('status=active&event=order.x'), ['below'])
  t.strictSame(await find('q=MAIL'), ['all', 'none'])
  t.strictSame(await find(`q=${encodeURIComponent('GRÖSSE')}`), [])
  t.strictSame(await find(`q=${encodeURIComponent('GRÖ')}`), ['exact'])
  t.strictSame(await find('q=%25'), ['exact'], 'a % is a character')
  t.strictSame(await find('q=_'), ['below'], 'and so is _')
  t.strictSame(await find('q=exac'), ['exact'])
  for (const query of [
    'event=order.*',
    'event=Order!',
    'status=inactive',
    'q=',
    'q=a%00',
    'limit=0',
    'limit=x',
    'page=2',
  ]) {
    t.equal((await tenant.get(`/api/plugins?${query}`)).statusCode, 400, query)
  }
})

t.test('health is what the lane says', async (t) => {
  const tenant = service.tenant()
  const { id } = await register(t, tenant)
  const health = async (): Promise<Record<string, unknown>> =>
    (await tenant.get('/api/plugins/email-marketing')).json<PluginBody>().health
  t.match(await health(), { state: 'unknown', last_success_at: null })
  const lane = db.updateTable('delivery_lanes').where('plugin_id', '=', id)
  await lane.set({ last_success_at: new Date('2026-01-02T03:04:05Z') }).execute()
  t.match(await health(), { state: 'healthy', last_success_at: '2026-01-02T03:04:05.000Z' })
  const since = new Date('2026-01-03T00:00:00Z')
  await lane
    .set({
      consecutive_failures: 6,
      failing_since: since,
      last_failure_at: since,
      last_error_class: 'http_5xx',
      breaker_state: 'open',
      hold_until: since,
      hold_reason: 'breaker_open',
    })
    .execute()
  t.strictSame(await health(), {
    state: 'failing',
    answer_ms: null,
    consecutive_failures: 6,
    failing_since: since.toISOString(),
    last_success_at: '2026-01-02T03:04:05.000Z',
    last_failure_at: since.toISOString(),
    last_error_class: 'http_5xx',
    breaker: 'open',
    hold_until: since.toISOString(),
    hold_reason: 'breaker_open',
    key_held_since: null,
  })
  await lane.set({ breaker_state: 'closed', hold_reason: null }).execute()
  t.match(await health(), { breaker: 'closed', hold_reason: 'rate_limit' }, 'its rate has it wait')
  await lane.set({ hold_until: null }).execute()
  t.match(await health(), { hold_until: null, hold_reason: null })
})

t.test('a single read counts what waits, up to a bound', async (t) => {
  const tenant = service.tenant()
  const { id } = await register(t, tenant)
  await insertWaiting(db, tenant.id, id, ['pending', 'pending', 'retry', 'sent', 'failed'])
  const waiting = async () => (await tenant.get('/api/plugins/email-marketing')).json<PluginBody>().waiting
  t.equal(await waiting(), 3)
  await sql`insert into deliveries (tenant_id, id, plugin_id, event_id, event)
    select ${tenant.id}, gen_random_uuid(), ${id}, gen_random_uuid(), 'order.created'
    from generate_series(1, 10050)`.execute(db)
  t.equal(await waiting(), 10_000)
})

t.test('a platform key must name the tenant it reads', async (t) => {
  const client = clientFor(service.app, '', TEST_PLATFORM_KEY)
  t.equal((await client.get('/api/plugins')).json<{ code: string }>().code, 'tenant_required')
})

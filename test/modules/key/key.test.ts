import type { LightMyRequestResponse } from 'fastify'
import t from 'tap'
import { newId } from '#lib/ids.ts'
import type { ApiKey, ApiKeyWithSecret } from '#modules/key/schemas.ts'
import { clientFor, startApp, TEST_PLATFORM_KEY, type Tenant } from '#test/support/app.ts'

interface ProblemBody {
  code: string
  errors?: { pointer: string; detail: string }[]
}

interface Page<T> {
  data: T[]
  next_cursor: string | null
}

const { app, db } = await startApp(t)

const authorization = `Bearer ${TEST_PLATFORM_KEY}`
/** The platform key without a tenant. */
const platform = {
  get: async (url: string) => app.inject({ url, headers: { authorization } }),
  post: async (url: string, payload: object) =>
    app.inject({ method: 'POST', url, headers: { authorization }, payload }),
  delete: async (url: string) => app.inject({ method: 'DELETE', url, headers: { authorization } }),
}

async function createKey(tenant: Tenant, body: Record<string, unknown> = {}): Promise<ApiKeyWithSecret> {
  const answer = await tenant.post('/api/keys', { name: 'test', kind: 'tenant', role: 'viewer', ...body })
  if (answer.statusCode !== 201) throw new Error(answer.body)
  return answer.json()
}

async function insertPlugin(tenantId: string, slug: string): Promise<string> {
  const id = newId()
  const url = 'https://plugin.example/hook'
  await db
    .insertInto('tenants')
    .values({ id: tenantId })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
  await db
    .insertInto('plugins')
    .values({ id, tenant_id: tenantId, slug, name: slug, webhook_url: url, base_url: url })
    .execute()
  return id
}

const refusal = (answer: LightMyRequestResponse) => {
  const { code, errors } = answer.json<ProblemBody>()
  return [answer.statusCode, code, errors?.[0]?.pointer]
}

t.test('a key is shown once and works for its tenant with its role', async (t) => {
  const tenant = newTenant()
  const answer = await tenant.post('/api/keys', { name: 'backend', kind: 'tenant', role: 'viewer' })
  t.equal(answer.statusCode, 201)
  const created = answer.json<ApiKeyWithSecret>()
  t.match(created, {
    kind: 'tenant',
    role: 'viewer',
    tenant_id: tenant.id,
    name: 'backend',
    plugin: null,
    plugin_id: null,
    expires_at: null,
    last_used_at: null,
    revoked_at: null,
  })
  t.match(created.key, /^bcs_[A-Za-z0-9_-]{43}$/)
  t.ok(created.key.startsWith(created.prefix))
  t.equal(answer.headers['location'], `/api/keys/${created.id}`)

  const viewer = clientFor(app, tenant.id, created.key)
  t.equal((await viewer.get('/api/tenant')).statusCode, 200)
  t.equal((await viewer.get('/api/keys')).statusCode, 403, 'keys are for admins')

  for (const url of ['/api/keys', `/api/keys/${created.id}`, '/api/audit-log']) {
    const body = (await tenant.get(url)).body
    t.ok(body.includes(created.id), url)
    t.notOk(body.includes(created.key), `${url} shows no key`)
    t.notMatch(body, /"(hash|key)":/, `${url} shows no hash`)
  }
})

t.test('an admin makes keys of every role for the own tenant, never for the platform', async (t) => {
  const tenant = newTenant()
  const { key } = await createKey(tenant, { role: 'admin' })
  const admin = clientFor(app, tenant.id, key)
  for (const role of ['admin', 'editor', 'viewer']) {
    t.equal((await createKey(admin, { role })).role, role)
  }
  const answer = await admin.post('/api/keys', { name: 'up', kind: 'platform' })
  t.same(refusal(answer), [403, 'forbidden', undefined])
  const { key: editorKey } = await createKey(tenant, { role: 'editor' })
  const editor = clientFor(app, tenant.id, editorKey)
  t.equal((await editor.post('/api/keys', { name: 'x', kind: 'tenant', role: 'viewer' })).statusCode, 403)
})

t.test('a plugin key belongs to a plugin of the tenant, by slug or id', async (t) => {
  const tenant = newTenant()
  const pluginId = await insertPlugin(tenant.id, 'loyalty')
  for (const plugin of ['loyalty', pluginId, pluginId.toUpperCase()]) {
    const created = await createKey(tenant, { kind: 'plugin', role: undefined, plugin })
    t.match(created, { kind: 'plugin', role: null, plugin: 'loyalty', plugin_id: pluginId })
    t.equal((await clientFor(app, tenant.id, created.key).get('/api/keys')).statusCode, 403)
  }
})

t.test("a UUID that is one plugin's slug and another's id means the id", async (t) => {
  const tenant = newTenant()
  const id = await insertPlugin(tenant.id, 'first')
  await insertPlugin(tenant.id, id)
  const created = await createKey(tenant, { kind: 'plugin', role: undefined, plugin: id })
  t.equal(created.plugin, 'first')
})

t.test("another tenant's plugin is as unknown as one that never was", async (t) => {
  const tenant = newTenant()
  const foreign = await insertPlugin(crypto.randomUUID(), 'theirs')
  const bodies = await Promise.all(
    [foreign, 'theirs', newId(), 'nobody'].map(async (plugin) => {
      const answer = await tenant.post(
        '/api/keys',
        { name: 'x', kind: 'plugin', plugin },
        { 'x-request-id': 'same' },
      )
      t.same(refusal(answer), [400, 'invalid_request', '/plugin'])
      return answer.body
    }),
  )
  t.equal(new Set(bodies).size, 1)
})

t.test('members that do not go with the kind are refused, and nothing is made', async (t) => {
  const tenant = newTenant()
  const past = '2001-01-01T00:00:00Z'
  const cases: [Record<string, unknown>, string][] = [
    [{ name: 'x', kind: 'tenant' }, '/role'],
    [{ name: 'x', kind: 'plugin' }, '/plugin'],
    [{ name: 'x', kind: 'plugin', plugin: 'p', role: 'viewer' }, '/role'],
    [{ name: 'x', kind: 'tenant', role: 'viewer', plugin: 'p' }, '/plugin'],
    [{ name: 'x', kind: 'tenant', role: 'owner' }, '/role'],
    [{ name: 'x', kind: 'god' }, '/kind'],
    [{ name: '', kind: 'tenant', role: 'viewer' }, '/name'],
    [{ kind: 'tenant', role: 'viewer' }, '/name'],
    [{ name: 'x', kind: 'tenant', role: 'viewer', hash: 'x' }, '/hash'],
    [{ name: 'x', kind: 'tenant', role: 'viewer', expires_at: past }, '/expires_at'],
    [{ name: 'x', kind: 'tenant', role: 'viewer', expires_at: '0000-01-01T00:00:00Z' }, '/expires_at'],
    [{ name: 'x', kind: 'tenant', role: 'viewer', expires_at: 'tomorrow' }, '/expires_at'],
    [{ name: 'x', kind: 'platform' }, '/kind'],
  ]
  for (const [body, pointer] of cases) {
    const answer = await tenant.post('/api/keys', body)
    t.same(refusal(answer), [400, 'invalid_request', pointer], JSON.stringify(body))
  }
  t.same((await tenant.get('/api/keys')).json<Page<ApiKey>>().data, [])
})

t.test('a key with an end keeps it', async (t) => {
  const created = await createKey(newTenant(), { expires_at: '2999-12-31T23:59:59+01:00' })
  t.equal(created.expires_at, '2999-12-31T22:59:59.000Z')
})

t.test('a revoked key is refused at once, stays in the list, and can be revoked again', async (t) => {
  const tenant = newTenant()
  const { id, key } = await createKey(tenant)
  const client = clientFor(app, tenant.id, key)
  t.equal((await client.get('/api/tenant')).statusCode, 200)

  const first = await tenant.delete(`/api/keys/${id}`)
  t.equal(first.statusCode, 204)
  t.equal(first.body, '')
  t.equal((await client.get('/api/tenant')).statusCode, 401)
  const { revoked_at } = (await tenant.get(`/api/keys/${id}`)).json<ApiKey>()
  t.ok(revoked_at)

  t.equal((await tenant.delete(`/api/keys/${id}`)).statusCode, 204)
  t.equal((await tenant.get(`/api/keys/${id}`)).json<ApiKey>().revoked_at, revoked_at)
  const log = (await tenant.get('/api/audit-log?action=key.revoked')).json<Page<{ target_id: string }>>()
  t.same(
    log.data.map((entry) => entry.target_id),
    [id],
    'the log tells of it once',
  )
})

t.test('an unknown id is a 404, a malformed one a 400', async (t) => {
  const tenant = newTenant()
  t.same(refusal(await tenant.get(`/api/keys/${newId()}`)), [404, 'key_not_found', undefined])
  t.same(refusal(await tenant.delete(`/api/keys/${newId()}`)), [404, 'key_not_found', undefined])
  for (const id of ['1', `urn:uuid:${newId()}`]) {
    t.same(refusal(await tenant.get(`/api/keys/${id}`)), [400, 'invalid_request', '/params/id'], id)
  }
})

t.test('keys come newest first, page by page, also while new ones are made', async (t) => {
  const tenant = newTenant()
  const made: string[] = []
  for (let i = 0; i < 5; i++) made.push((await createKey(tenant)).id)
  const seen: string[] = []
  let cursor: string | null = ''
  do {
    const url: string = `/api/keys?limit=2${cursor && `&cursor=${cursor}`}`
    const page: Page<ApiKey> = (await tenant.get(url)).json()
    seen.push(...page.data.map(({ id }) => id))
    cursor = page.next_cursor
    await createKey(tenant)
  } while (cursor !== null)
  t.same(seen, made.toSorted().reverse())
  t.same(refusal(await tenant.get('/api/keys?cursor=nonsense')), [400, 'invalid_cursor', undefined])
  t.same(refusal(await tenant.get('/api/keys?limit=0')), [400, 'invalid_request', '/querystring/limit'])
})

t.test('platform keys are made, listed and revoked by platform keys that name no tenant', async (t) => {
  const tenant = newTenant()
  const answer = await platform.post('/api/keys', { name: 'ops', kind: 'platform' })
  t.equal(answer.statusCode, 201)
  const created = answer.json<ApiKeyWithSecret>()
  t.match(created, { kind: 'platform', tenant_id: null, role: null })
  const ops = clientFor(app, tenant.id, created.key)
  t.equal((await ops.get('/api/tenant')).statusCode, 200)

  const ids = (await platform.get('/api/keys')).json<Page<ApiKey>>().data.map(({ id }) => id)
  t.ok(ids.includes(created.id))
  t.equal((await platform.get(`/api/keys/${created.id}`)).statusCode, 200)

  t.equal((await tenant.get(`/api/keys/${created.id}`)).statusCode, 404, 'not in the name of a tenant')
  t.equal((await tenant.delete(`/api/keys/${created.id}`)).statusCode, 404)
  const { key: adminKey, id: adminId } = await createKey(tenant, { role: 'admin' })
  const admin = clientFor(app, tenant.id, adminKey)
  t.equal((await admin.get(`/api/keys/${created.id}`)).statusCode, 404)
  t.equal((await admin.delete(`/api/keys/${created.id}`)).statusCode, 404)
  t.notOk((await admin.get('/api/keys')).body.includes(created.id))
  t.equal((await platform.get(`/api/keys/${adminId}`)).statusCode, 404, "nor a tenant's without its name")

  t.equal((await platform.delete(`/api/keys/${created.id}`)).statusCode, 204)
  t.equal((await ops.get('/api/tenant')).statusCode, 401)
  const log = (await platform.get(`/api/audit-log?target=${created.id}`)).json<Page<{ action: string }>>()
  t.same(log.data.map(({ action }) => action).sort(), ['key.created', 'key.revoked'])
})

t.test('a tenant or plugin key is made only where a tenant is named', async (t) => {
  const answer = await platform.post('/api/keys', { name: 'x', kind: 'tenant', role: 'viewer' })
  t.same(refusal(answer), [400, 'tenant_required', undefined])
})

function newTenant(): Tenant {
  return clientFor(app, crypto.randomUUID(), TEST_PLATFORM_KEY)
}

import { connect } from 'node:net'
import type { AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Kysely } from 'kysely'
import t, { type Test } from 'tap'
import type { DB, KeyKind, TenantRole } from '#db/schema.ts'
import auth from '#infra/auth/auth.ts'
import db from '#infra/db.ts'
import edge from '#infra/http/edge.ts'
import problems from '#infra/http/problems.ts'
import signals from '#infra/signals.ts'
import { apiKeyPrefix, generateApiKey, hashApiKey } from '#lib/secrets/api-key.ts'
import { newId } from '#lib/ids.ts'
import { createTestDatabase } from '#test/support/database.ts'

const OPEN_TENANT = '11111111-1111-1111-1111-111111111111'
const PLATFORM_KEY = `bcs_${'e'.repeat(40)}`
const SLUG = 'loyalty'

interface Options {
  databaseUrl: string
  openTenantId?: string | null
  openTenants?: readonly string[] | 'any'
  origins?: readonly string[]
  publicUrl?: string | null
  failuresPerAddress?: number
}

/** Database, edge and auth as the service has them, with one route for each kind of access. */
async function startAuth(
  t: Test,
  {
    databaseUrl,
    openTenantId = null,
    openTenants: tenants = [],
    origins = [],
    publicUrl = null,
    ...rest
  }: Options,
): Promise<FastifyInstance> {
  const app = Fastify({ genReqId: ({ headers }) => String(headers['x-request-id'] ?? newId()) })
  t.teardown(() => app.close())
  await app.register(problems)
  await app.register(edge)
  await app.register(db, { databaseUrl })
  await app.register(signals, { databaseUrl })
  const open = openTenantId === null ? null : { tenantId: openTenantId, tenants, origins, publicUrl }
  await app.register(auth, { open, platformKey: PLATFORM_KEY, publicUrl, ...rest })
  for (const role of ['viewer', 'editor', 'admin', 'platform'] as const) {
    app.get(`/${role}`, { config: { access: { role } } }, async () => 'ok')
  }
  app.get('/public', { config: { access: { role: 'public' } } }, async () => 'ok')
  app.get('/forgotten', async () => 'ok')
  app.get('/own', { config: { access: { role: 'admin', plugin: 'self:read' } } }, async () => 'ok')
  app.get('/plugins/:slug', { config: { access: { role: 'admin', plugin: 'self:read' } } }, async () => 'ok')
  app.get('/tenant', { config: { access: { role: 'viewer' } } }, async ({ tenantId }) => tenantId)
  app.get(
    '/scope',
    { config: { access: { role: 'viewer', tenant: 'optional' } } },
    async ({ tenantScope }) => tenantScope ?? 'none',
  )
  app.post<{ Body: { tenant_id?: string } }>(
    '/write',
    { config: { access: { role: 'editor' } } },
    async (request) => request.tenantFor(request.body.tenant_id),
  )
  app.get(
    '/actor',
    { config: { access: { role: 'viewer', plugin: 'self:read' } } },
    async ({ actor }) => actor,
  )
  await app.ready()
  return app
}

interface KeyFields {
  tenantId: string
  kind?: KeyKind
  role?: TenantRole
  pluginId?: string
  expiresAt?: Date
  revokedAt?: Date
}

async function insertTenant(db: Kysely<DB>): Promise<string> {
  const id = newId()
  await db.insertInto('tenants').values({ id }).execute()
  return id
}

async function insertPlugin(db: Kysely<DB>, tenantId: string, slug = SLUG): Promise<string> {
  const id = newId()
  const url = 'https://plugin.example/hook'
  await db
    .insertInto('plugins')
    .values({ id, tenant_id: tenantId, slug, name: slug, webhook_url: url, base_url: url })
    .execute()
  return id
}

async function insertKey(db: Kysely<DB>, fields: KeyFields): Promise<string> {
  const key = generateApiKey()
  const kind = fields.kind ?? 'tenant'
  await db
    .insertInto('api_keys')
    .values({
      id: newId(),
      tenant_id: kind === 'platform' ? null : fields.tenantId,
      kind,
      role: kind === 'tenant' ? (fields.role ?? 'admin') : null,
      plugin_id: fields.pluginId ?? null,
      name: 'test',
      prefix: apiKeyPrefix(key),
      hash: hashApiKey(key),
      expires_at: fields.expiresAt ?? null,
      revoked_at: fields.revokedAt ?? null,
    })
    .execute()
  return key
}

const bearer = (key: string, tenantId?: string): Record<string, string> => ({
  authorization: `Bearer ${key}`,
  ...(tenantId !== undefined && { 'x-tenant-id': tenantId }),
})

t.test('with keys needed', async (t) => {
  const { db, url } = await createTestDatabase(t)
  const app = await startAuth(t, { databaseUrl: url })
  const tenantId = await insertTenant(db)
  const foreign = await insertTenant(db)
  const pluginId = await insertPlugin(db, tenantId)
  const keys = {
    admin: await insertKey(db, { tenantId, role: 'admin' }),
    editor: await insertKey(db, { tenantId, role: 'editor' }),
    viewer: await insertKey(db, { tenantId, role: 'viewer' }),
    plugin: await insertKey(db, { tenantId, kind: 'plugin', pluginId }),
    platform: await insertKey(db, { tenantId, kind: 'platform' }),
    environment: PLATFORM_KEY,
  }
  const status = async (url: string, headers: Record<string, string> = {}): Promise<number> =>
    (await app.inject({ url, headers })).statusCode

  t.test('every kind and role reaches what it may and nothing else', async (t) => {
    const routes = ['/public', '/viewer', '/editor', '/admin', '/platform', '/own', `/plugins/${SLUG}`]
    const expected: Record<string, number[]> = {
      admin: [200, 200, 200, 200, 403, 200, 200],
      editor: [200, 200, 200, 403, 403, 403, 403],
      viewer: [200, 200, 403, 403, 403, 403, 403],
      plugin: [200, 403, 403, 403, 403, 200, 200],
      platform: [200, 200, 200, 200, 200, 200, 200],
      environment: [200, 200, 200, 200, 200, 200, 200],
    }
    for (const [name, key] of Object.entries(keys)) {
      const got = await Promise.all(routes.map((route) => status(route, bearer(key))))
      t.same(got, expected[name], name)
    }
    const none = await Promise.all(routes.map((route) => status(route)))
    t.same(none, [200, 401, 401, 401, 401, 401, 401], 'no key')
  })

  t.test(
    'a plugin key gets the same answer for a neighbour and for a plugin that does not exist',
    async (t) => {
      await insertPlugin(db, tenantId, 'neighbour')
      const headers = { ...bearer(keys.plugin), 'x-request-id': 'same' }
      const neighbour = await app.inject({ url: '/plugins/neighbour', headers })
      const unknown = await app.inject({ url: '/plugins/unknown', headers })
      t.equal(neighbour.statusCode, 403)
      t.equal(unknown.statusCode, 403)
      const [a, b] = [neighbour.json<object>(), unknown.json<object>()]
      t.same({ ...a, request_id: '' }, { ...b, request_id: '' })
    },
  )

  t.test('a route that does not say who may call it is refused to everybody', async (t) => {
    for (const key of Object.values(keys)) t.equal(await status('/forgotten', bearer(key)), 403)
    t.equal(await status('/forgotten'), 403)
  })

  t.test('an unknown path is a 404 without a key, as with one', async (t) => {
    t.equal(await status('/nowhere'), 404)
    t.equal(await status('/nowhere', bearer(keys.admin)), 404)
  })

  t.test('malformed, unknown, expired and revoked keys get one and the same answer', async (t) => {
    const past = new Date(Date.now() - 1_000)
    const bad = {
      unknown: `Bearer ${generateApiKey()}`,
      expired: `Bearer ${await insertKey(db, { tenantId, expiresAt: past })}`,
      revoked: `Bearer ${await insertKey(db, { tenantId, revokedAt: past })}`,
      foreignScheme: `Bearer sk_live_${'a'.repeat(40)}`,
      basic: `Basic ${Buffer.from(`${keys.admin}:`).toString('base64')}`,
      empty: 'Bearer ',
      endless: `Bearer bcs_${'a'.repeat(5_000)}`,
      withoutScheme: keys.admin,
    }
    const answers = await Promise.all(
      Object.values(bad).map((authorization) =>
        app.inject({ url: '/viewer', headers: { authorization, 'x-request-id': 'same' } }),
      ),
    )
    for (const [index, name] of Object.keys(bad).entries()) {
      const answer = answers[index]
      t.equal(answer?.statusCode, 401, name)
      t.equal(answer?.headers['www-authenticate'], 'Bearer error="invalid_token"', name)
      t.equal(answer?.headers['content-type'], 'application/problem+json', name)
      t.equal(answer?.body, answers[0]?.body, name)
      t.equal(answer?.json<{ code: string }>().code, 'unauthenticated')
    }
  })

  t.test('no key at all is asked for one', async (t) => {
    const answer = await app.inject('/viewer')
    t.equal(answer.statusCode, 401)
    t.equal(answer.headers['www-authenticate'], 'Bearer')
  })

  t.test('a key works until its end, to the moment, even though it is remembered', async (t) => {
    const now = performance.now()
    t.teardown(() => Reflect.deleteProperty(performance, 'now'))
    performance.now = () => now
    let [key, answered] = ['', 401]
    // On a machine that is slow enough it ends before it is looked up.
    for (let tries = 0; tries < 10 && answered !== 200; tries++) {
      key = await insertKey(db, { tenantId, expiresAt: new Date(Date.now() + 4_000) })
      answered = await status('/viewer', bearer(key))
    }
    t.equal(answered, 200)
    // It is remembered for 5 s.
    performance.now = () => now + 4_500
    t.equal(await status('/viewer', bearer(key)), 401)
  })

  t.test("a tenant's key works for its own tenant only", async (t) => {
    const tenantOf = async (headers: Record<string, string>) => {
      const answer = await app.inject({ url: '/tenant', headers })
      return answer.statusCode === 200 ? answer.body : answer.json<{ code: string }>().code
    }
    t.equal(await tenantOf(bearer(keys.viewer)), tenantId)
    t.equal(await tenantOf(bearer(keys.viewer, tenantId.toUpperCase())), tenantId)
    t.equal(await tenantOf(bearer(keys.viewer, foreign)), 'tenant_mismatch')
    t.equal(await tenantOf(bearer(keys.viewer, 'not-a-uuid')), 'tenant_required')
    t.equal(await tenantOf(bearer(keys.viewer, `${tenantId}, ${tenantId}`)), 'tenant_required')
    t.equal(await tenantOf(bearer(keys.platform)), 'tenant_required')
    t.equal(await tenantOf(bearer(keys.platform, foreign)), foreign)
    t.equal(await tenantOf(bearer(keys.platform, 'not-a-uuid')), 'tenant_required')
  })

  t.test('X-Tenant-Id is checked where the route has no use for it, too', async (t) => {
    t.equal(await status('/viewer', bearer(keys.viewer, foreign)), 403)
    t.equal(await status('/viewer', bearer(keys.viewer, 'nonsense')), 400)
    t.equal(await status('/own', bearer(keys.plugin, foreign)), 403)
  })

  t.test('a route above tenants sees which tenant was named, if any', async (t) => {
    const scope = async (headers: Record<string, string>) =>
      (await app.inject({ url: '/scope', headers })).body
    t.equal(await scope(bearer(keys.platform)), 'none')
    t.equal(await scope(bearer(keys.platform, foreign)), foreign)
    t.equal(await scope(bearer(keys.viewer)), tenantId)
  })

  t.test('a body that names another tenant is refused', async (t) => {
    const write = async (headers: Record<string, string>, payload: object) => {
      const answer = await app.inject({ method: 'POST', url: '/write', headers, payload })
      return answer.statusCode === 200 ? answer.body : answer.json<{ code: string }>().code
    }
    t.equal(await write(bearer(keys.editor), {}), tenantId)
    t.equal(await write(bearer(keys.editor), { tenant_id: tenantId.toUpperCase() }), tenantId)
    t.equal(await write(bearer(keys.editor), { tenant_id: foreign }), 'tenant_mismatch')
    t.equal(await write(bearer(keys.platform, tenantId), { tenant_id: foreign }), 'tenant_mismatch')
    t.equal(await write(bearer(keys.platform), { tenant_id: foreign }), foreign)
    t.equal(await write(bearer(keys.platform), {}), 'tenant_required')
  })

  t.test("a platform key's first change for a tenant makes its row; reading does not", async (t) => {
    const fresh = newId()
    const row = async () => db.selectFrom('tenants').select('id').where('id', '=', fresh).executeTakeFirst()
    t.equal(await status('/tenant', bearer(keys.platform, fresh)), 200)
    t.equal(await row(), undefined)
    const headers = bearer(keys.platform, fresh)
    await app.inject({ method: 'POST', url: '/write', headers, payload: {} })
    t.same(await row(), { id: fresh })
  })

  t.test('the handler learns who calls', async (t) => {
    const actor = async (key: string) =>
      (await app.inject({ url: '/actor', headers: bearer(key) })).json<Record<string, unknown>>()
    t.match(await actor(keys.plugin), {
      kind: 'plugin',
      tenantId,
      role: null,
      pluginId,
      pluginSlug: SLUG,
      requestId: String,
    })
    t.match(await actor(keys.viewer), { kind: 'tenant', tenantId, role: 'viewer', pluginId: null })
    t.match(await actor(keys.platform), { kind: 'platform', tenantId: null, role: 'platform' })
    t.match(await actor(keys.environment), { kind: 'platform', id: null, tenantId: null })
    t.notOk('expiresAt' in (await actor(keys.viewer)), 'and nothing of the cache')
  })

  t.test('the use of a key is noted', async (t) => {
    const key = await insertKey(db, { tenantId })
    await status('/viewer', bearer(key))
    const row = await db
      .selectFrom('api_keys')
      .select('last_used_at')
      .where('hash', '=', hashApiKey(key))
      .executeTakeFirstOrThrow()
    t.ok(row.last_used_at)
  })

  t.test("a deleted plugin's key and a revoked one end at once in every process, told or not", async (t) => {
    const elsewhere = await startAuth(t, { databaseUrl: url })
    const everywhere = async (key: string) =>
      Promise.all(
        [app, elsewhere].map(
          async (each) => (await each.inject({ url: '/own', headers: bearer(key) })).statusCode,
        ),
      )
    const id = await insertPlugin(db, tenantId, 'ends-at-once')
    const key = await insertKey(db, { tenantId, kind: 'plugin', pluginId: id })
    const second = await insertKey(db, { tenantId, kind: 'plugin', pluginId: id })
    t.strictSame(
      [await everywhere(key), await everywhere(second)],
      [
        [200, 200],
        [200, 200],
      ],
    )
    await db
      .updateTable('api_keys')
      .set({ revoked_at: new Date() })
      .where('hash', '=', hashApiKey(key))
      .execute()
    t.strictSame(
      [await everywhere(key), await everywhere(second)],
      [
        [401, 401],
        [200, 200],
      ],
    )
    await db.updateTable('plugins').set({ deleted_at: new Date() }).where('id', '=', id).execute()
    t.strictSame(await everywhere(second), [401, 401])
  })

  t.test("a deleted plugin's key is refused once the deletion is told", async (t) => {
    const id = await insertPlugin(db, tenantId, 'short-lived')
    const key = await insertKey(db, { tenantId, kind: 'plugin', pluginId: id })
    t.equal(await status('/own', bearer(key)), 200)
    await db.updateTable('plugins').set({ deleted_at: new Date() }).where('id', '=', id).execute()
    app.signals.publish('plugin_changed', [id])
    t.equal(await status('/own', bearer(key)), 401)
  })

  t.test('who has no key is refused before the body is read', async (t) => {
    await app.listen({ host: '127.0.0.1', port: 0 })
    const { port } = app.server.address() as AddressInfo
    const head = `POST /write HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 900000\r\n\r\n`
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => socket.write(head))
      socket.once('data', (chunk) => {
        resolve(chunk.toString())
        socket.destroy()
      })
      socket.once('error', reject)
    })
    t.match(answer, /^HTTP\/1\.1 401 /)
  })
})

t.test('open mode works for its tenant without a key, and for others that may be named', async (t) => {
  const { db, url } = await createTestDatabase(t)
  const app = await startAuth(t, { databaseUrl: url, openTenantId: OPEN_TENANT })
  const call = async (headers: Record<string, string> = {}, payload: object = {}) => {
    const answer = await app.inject({ method: 'POST', url: '/write', headers, payload })
    return answer.statusCode === 200 ? answer.body : answer.json<{ code: string }>().code
  }
  const tenantId = await insertTenant(db)
  const key = await insertKey(db, { tenantId })
  t.equal(await call(), OPEN_TENANT)
  t.equal(await call({ 'x-tenant-id': tenantId }), OPEN_TENANT, 'a header gives no other tenant away')
  t.equal(await call({}, { tenant_id: tenantId }), 'tenant_mismatch')
  t.equal(await call(bearer(key)), tenantId, 'a key that is sent counts')
  t.equal(await call(bearer(generateApiKey())), 'unauthenticated', 'and must be a live one')
  t.equal((await app.inject('/platform')).statusCode, 200)
  t.equal((await app.inject('/forgotten')).statusCode, 403)
  t.equal((await app.inject('/actor')).json<{ kind: string }>().kind, 'open')

  for (const openTenants of [[tenantId], 'any'] as const) {
    const wide = await startAuth(t, { databaseUrl: url, openTenantId: OPEN_TENANT, openTenants })
    const named = {
      method: 'POST',
      url: '/write',
      payload: {},
      headers: { 'x-tenant-id': tenantId },
    } as const
    t.equal((await wide.inject(named)).body, tenantId)
  }
})

t.test(
  'an address that guesses is refused before anything is looked up; live keys and others are not',
  async (t) => {
    const { db, url } = await createTestDatabase(t)
    const app = await startAuth(t, { databaseUrl: url, failuresPerAddress: 5 })
    const key = await insertKey(db, { tenantId: await insertTenant(db) })
    const status = async (headers: Record<string, string>, remoteAddress = '192.0.2.1'): Promise<number> =>
      (await app.inject({ url: '/viewer', headers, remoteAddress })).statusCode
    t.equal(await status(bearer(key)), 200)
    t.equal(await status({}), 401)
    for (let guess = 0; guess < 4; guess++) t.equal(await status(bearer(generateApiKey())), 401)
    t.equal(await status(bearer(generateApiKey())), 429, 'a sixth guess')
    t.equal(await status({}), 429)
    t.equal(await status({ authorization: 'Basic abc' }), 429)
    const late = await insertKey(db, { tenantId: await insertTenant(db) })
    t.equal(await status(bearer(late)), 429, 'it was not looked up')
    t.equal(await status(bearer(late), '192.0.2.2'), 200, 'from another address')
    t.equal(await status(bearer(late)), 200, 'a key that is known to live')
    t.equal(await status(bearer(key)), 200)
    t.equal(await status(bearer(PLATFORM_KEY)), 200)
    const refused = await app.inject({ url: '/viewer', remoteAddress: '192.0.2.1' })
    t.match(refused.json(), { code: 'rate_limited' })
    t.ok(Number(refused.headers['retry-after']) > 0)
  },
)

t.test('open mode trusts no web page', async (t) => {
  const { url } = await createTestDatabase(t)
  const app = await startAuth(t, {
    databaseUrl: url,
    openTenantId: OPEN_TENANT,
    origins: ['https://console.example'],
    publicUrl: 'https://automation.example/',
  })
  const status = async (headers: Record<string, string>): Promise<number> =>
    (await app.inject({ url: '/viewer', headers })).statusCode
  const trusted: Record<string, string>[] = [
    { host: 'localhost' },
    { host: 'LocalHost:3000' },
    { host: '127.0.0.1:3000' },
    { host: '127.1.2.3' },
    { host: '[::1]:3000' },
    { host: '127.0.0.1:3000', origin: 'http://127.0.0.1:3000', 'sec-fetch-site': 'same-origin' },
    { host: '127.0.0.1:3000', 'sec-fetch-site': 'none' },
    { host: 'localhost', origin: 'http://localhost:80' },
    { host: '127.0.0.1:3000', origin: 'https://console.example', 'sec-fetch-site': 'cross-site' },
    { host: 'automation.example' },
    { host: 'automation.example', origin: 'https://automation.example', 'sec-fetch-site': 'same-origin' },
  ]
  for (const headers of trusted) t.equal(await status(headers), 200, JSON.stringify(headers))
  const foreign = [
    ...['evil.example', 'evil.example:3000', '127.0.0.1.evil.example', 'localhost.evil.example'],
    ...['0.0.0.0:3000', '192.168.1.5', 'automation.example:8080', 'x.automation.example'],
  ]
  for (const host of foreign) t.equal(await status({ host }), 421, host)
  const pages: Record<string, string>[] = [
    { host: 'automation.example', origin: 'https://evil.example' },
    { host: '127.0.0.1:3000', 'sec-fetch-site': 'cross-site' },
    { host: '127.0.0.1:3000', origin: 'https://evil.example' },
    { host: '127.0.0.1:3000', origin: 'http://127.0.0.1:8080', 'sec-fetch-site': 'same-site' },
    { host: '127.0.0.1:3000', origin: 'http://localhost:3000' },
    { host: '127.0.0.1:3000', origin: 'null' },
  ]
  for (const headers of pages) t.equal(await status(headers), 403, JSON.stringify(headers))
  const page = { host: 'localhost', origin: 'https://evil.example' }
  const answer = await app.inject({ url: '/viewer', headers: page })
  t.match(answer.json(), { code: 'untrusted_origin', detail: /CORS_ORIGINS/ })
  const rebound = await app.inject({ url: '/viewer', headers: { host: 'evil.example' } })
  t.match(rebound.json(), { code: 'untrusted_host', detail: /PUBLIC_URL/ })
  t.equal(
    (await app.inject({ url: '/viewer', headers: { host: 'any.example', ...bearer(PLATFORM_KEY) } }))
      .statusCode,
    200,
    'who has a key may come by any name',
  )
})

t.test(
  'with the database away a key is neither good nor bad: 503, and the environment key works',
  async (t) => {
    const closed = 'postgres://nobody@127.0.0.1:1/nowhere'
    const app = await startAuth(t, { databaseUrl: closed })
    const answer = await app.inject({ url: '/viewer', headers: bearer(generateApiKey()) })
    t.equal(answer.statusCode, 503)
    t.equal(answer.json<{ code: string }>().code, 'database_unavailable')
    t.ok(answer.headers['retry-after'])
    t.equal((await app.inject({ url: '/viewer', headers: bearer(PLATFORM_KEY) })).statusCode, 200)
    t.equal((await app.inject('/viewer')).statusCode, 401, 'no key needs no database to be refused')
  },
)

import { readFile } from 'node:fs/promises'
import t from 'tap'
import type { AuditLogEntry } from '#modules/audit/schemas.ts'
import type { ApiKeyWithSecret } from '#modules/key/schemas.ts'
import type { Session, SessionRecord, StartedSession } from '#modules/session/schemas.ts'
import { generateApiKey } from '#lib/secrets/api-key.ts'
import { hashToken } from '#lib/secrets/session-token.ts'
import { startApp, type Tenant, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { cookieOf, logIn, OWN_PAGE } from '#test/support/session.ts'

const service = await startApp(t)
const { app, db } = service
const { version } = JSON.parse(await readFile(new URL('../../../package.json', import.meta.url), 'utf8')) as {
  version: string
}

async function keyOf(shop: Tenant, fields: object = { kind: 'tenant', role: 'editor' }) {
  const answer = await shop.post('/api/keys', { name: 'front desk', ...fields })
  if (answer.statusCode !== 201) throw new Error(answer.body)
  return answer.json<ApiKeyWithSecret>()
}

async function whoIs(headers: Record<string, string>): Promise<Session> {
  const answer = await app.inject({ url: '/api/session', headers })
  if (answer.statusCode !== 200) throw new Error(answer.body)
  return answer.json<Session>()
}

const call = async (method: 'GET' | 'POST' | 'DELETE', url: string, headers: Record<string, string>) =>
  app.inject({ method, url, headers })
const status = async (cookie: string): Promise<number> =>
  (await call('GET', '/api/session', { cookie })).statusCode

t.test('a key is exchanged for a cookie that acts as the key does', async (t) => {
  const shop = service.tenant()
  const { id: keyId, key } = await keyOf(shop)
  const answer = await logIn(app, { key })
  t.equal(answer.statusCode, 200, answer.body)
  t.equal(answer.headers['cache-control'], 'no-store')
  const session = answer.json<StartedSession>()
  t.match(session, {
    kind: 'tenant',
    role: 'editor',
    tenant_id: shop.id,
    may_choose_tenant: false,
    plugin: null,
    label: 'front desk',
    version,
    via: 'session',
  })
  t.notOk('token' in session, 'the token is where no script can read it')
  const hours = (Date.parse(String(session.expires_at)) - Date.now()) / 3_600_000
  t.ok(hours > 11.9 && hours < 12.1, `${hours} hours`)
  const cookie = cookieOf(answer)
  t.strictSame(await whoIs({ cookie }), session, 'GET says the same')

  const token = cookie.slice('bcs_session='.length)
  const row = await db
    .selectFrom('sessions')
    .selectAll()
    .where('hash', '=', hashToken(token))
    .executeTakeFirstOrThrow()
  t.match(row, { key_id: keyId, tenant_id: shop.id, kind: 'tenant', role: 'editor', transport: 'cookie' })
  t.notOk(JSON.stringify(row).includes(token), 'only its hash is stored')

  t.equal((await call('GET', '/api/plugins', { cookie })).statusCode, 200)
  t.equal((await call('GET', '/api/keys', { cookie })).statusCode, 403, 'its role counts')
  const changed = await app.inject({
    method: 'PUT',
    url: '/api/variables/colour',
    headers: { cookie, ...OWN_PAGE },
    payload: { value: 'red' },
  })
  t.equal(changed.statusCode, 201, changed.body)
  const entries = await shop.get('/api/audit-log?target=variable')
  t.match(entries.json<{ data: AuditLogEntry[] }>().data[0], { actor_kind: 'tenant', actor_id: keyId })
})

t.test('every kind of caller is told who it is', async (t) => {
  const shop = service.tenant()
  const plugin = await shop.post('/api/plugins', {
    name: 'Mail Chimp',
    slug: 'mail-chimp',
    webhook_url: 'http://127.0.0.1:9/',
    scopes: ['self:read'],
  })
  t.equal(plugin.statusCode, 201)
  const expires_at = new Date(Date.now() + 3_600_000).toISOString()
  const keys = {
    viewer: await keyOf(shop, { kind: 'tenant', role: 'viewer', expires_at }),
    plugin: await keyOf(shop, { kind: 'plugin', plugin: 'mail-chimp' }),
  }
  const bearer = (key: string) => ({ authorization: `Bearer ${key}` })
  t.strictSame(await whoIs(bearer(keys.viewer.key)), {
    kind: 'tenant',
    role: 'viewer',
    tenant_id: shop.id,
    may_choose_tenant: false,
    plugin: null,
    label: 'front desk',
    expires_at,
    version,
    via: 'key',
  })
  const asPlugin = {
    kind: 'plugin',
    role: null,
    tenant_id: shop.id,
    plugin: { slug: 'mail-chimp', name: 'Mail Chimp', scopes: ['self:read'] },
  }
  t.match(await whoIs(bearer(keys.plugin.key)), { ...asPlugin, via: 'key', expires_at: null })
  const pluginLogin = await logIn(app, { key: keys.plugin.key })
  t.match(pluginLogin.json(), { ...asPlugin, via: 'session' })
  const platform = { kind: 'platform', role: 'platform', may_choose_tenant: true, label: 'PLATFORM_KEY' }
  t.match(await whoIs(bearer(TEST_PLATFORM_KEY)), { ...platform, tenant_id: null, expires_at: null })
  t.match(await whoIs({ ...bearer(TEST_PLATFORM_KEY), 'x-tenant-id': shop.id }), { tenant_id: shop.id })
  const viewerLogin = await logIn(app, { key: keys.viewer.key })
  t.equal(viewerLogin.json<Session>().expires_at, expires_at, 'a session ends with its key at the latest')
})

t.test('without a key or a session the answer leads to the login', async (t) => {
  const answer = await app.inject('/api/session')
  t.equal(answer.statusCode, 401)
  t.match(answer.json(), { code: 'unauthenticated', login: '/console/login', detail: /POST \/api\/session/ })
})

t.test('a session of a platform key works for the tenant that was chosen, or that is named', async (t) => {
  const [shop, other] = [service.tenant(), service.tenant()]
  const chosen = await logIn(app, { key: TEST_PLATFORM_KEY, tenant_id: shop.id.toUpperCase() })
  t.match(chosen.json(), { kind: 'platform', tenant_id: shop.id, may_choose_tenant: true })
  const cookie = cookieOf(chosen)
  t.match(await whoIs({ cookie }), { tenant_id: shop.id })
  t.match(await whoIs({ cookie, 'x-tenant-id': other.id }), { tenant_id: other.id })
  const made = await app.inject({
    method: 'PUT',
    url: '/api/variables/colour',
    headers: { cookie, ...OWN_PAGE },
    payload: { value: 'red' },
  })
  t.equal(made.statusCode, 201, made.body)
  t.equal((await shop.get('/api/variables/colour')).statusCode, 200)
  const inBody = await app.inject({
    method: 'POST',
    url: '/api/events',
    headers: { cookie, ...OWN_PAGE },
    payload: { event: 'order.created', data: {}, tenant_id: other.id },
  })
  t.equal(inBody.statusCode, 202, inBody.body)
  t.equal((await other.get('/api/events')).json<{ data: unknown[] }>().data.length, 1, 'a body may name it')
  const none = cookieOf(await logIn(app, { key: TEST_PLATFORM_KEY }))
  t.match((await call('GET', '/api/plugins', { cookie: none })).json(), { code: 'tenant_required' })
  const { key } = await keyOf(shop)
  t.match((await logIn(app, { key, tenant_id: other.id })).json(), { code: 'tenant_mismatch' })
  t.equal((await logIn(app, { key, tenant_id: shop.id })).statusCode, 200)
})

t.test('what is no live key is refused as elsewhere', async (t) => {
  const shop = service.tenant()
  const revoked = await keyOf(shop)
  await shop.delete(`/api/keys/${revoked.id}`)
  const bodies = [generateApiKey(), revoked.key, 'bcs_', 'nonsense', `${TEST_PLATFORM_KEY}x`]
  const answers = await Promise.all(bodies.map((key) => logIn(app, { key }, { 'x-request-id': 'same' })))
  for (const answer of answers) {
    t.equal(answer.statusCode, 401)
    t.equal(answer.headers['www-authenticate'], 'Bearer error="invalid_token"')
    t.equal(answer.body, answers[0]?.body)
    t.match(answer.json(), { code: 'unauthenticated' })
    t.notOk(answer.headers['set-cookie'])
  }
  for (const body of [
    {},
    { tenant_id: shop.id },
    { key: TEST_PLATFORM_KEY, portal_token: 'x' },
    { portal_token: 'x', tenant_id: shop.id },
    { key: 1 },
    { key: 'x'.repeat(257) },
    { key: TEST_PLATFORM_KEY, tenant_id: 'urn:uuid:00000000-0000-7000-8000-000000000000' },
    { key: TEST_PLATFORM_KEY, more: true },
  ]) {
    const answer = await logIn(app, body)
    t.equal(answer.statusCode, 400, JSON.stringify(body))
    t.match(answer.json(), { code: 'invalid_request' })
  }
})

t.test('an address has ten failed tries a minute, and others are not concerned', async (t) => {
  const { key } = await keyOf(service.tenant())
  const address = '192.0.2.77'
  for (let guess = 0; guess < 10; guess++) {
    t.equal((await logIn(app, { key: generateApiKey() }, {}, address)).statusCode, 401)
  }
  const refused = await logIn(app, { key }, {}, address)
  t.equal(refused.statusCode, 429, 'also with a live key')
  t.match(refused.json(), { code: 'rate_limited' })
  t.ok(Number(refused.headers['retry-after']) > 0 && Number(refused.headers['retry-after']) <= 60)
  t.equal((await logIn(app, { portal_token: 'x' }, {}, address)).statusCode, 429)
  t.equal((await logIn(app, { key }, {}, '192.0.2.78')).statusCode, 200)
  const office = await Promise.all(Array.from({ length: 61 }, () => logIn(app, { key }, {}, '192.0.2.79')))
  const made = office.filter(({ statusCode }) => statusCode === 200).length
  t.strictSame([made, office.at(-1)?.statusCode], [60, 429], 'who has a key may come more often')
})

t.test('logging out ends the session and takes the cookie away', async (t) => {
  const shop = service.tenant()
  const { id: keyId, key } = await keyOf(shop)
  const answer = await logIn(app, { key })
  const cookie = cookieOf(answer)
  t.equal(await status(cookie), 200)
  const out = await call('DELETE', '/api/session', { cookie, ...OWN_PAGE })
  t.equal(out.statusCode, 204)
  t.match(out.headers['set-cookie'], /^bcs_session=; Max-Age=0; Path=\/; HttpOnly; SameSite=Strict$/)
  t.equal(await status(cookie), 401)
  t.equal((await call('DELETE', '/api/session', { cookie, ...OWN_PAGE })).statusCode, 204, 'and again')
  t.equal((await call('DELETE', '/api/session', {})).statusCode, 204, 'and without any')
  t.equal((await call('DELETE', '/api/session', { authorization: `Bearer ${key}` })).statusCode, 204)
  t.match(await whoIs({ authorization: `Bearer ${key}` }), { via: 'key' }, 'a key is no session')
  const { data } = (await shop.get('/api/audit-log?target=session')).json<{ data: AuditLogEntry[] }>()
  t.strictSame(
    data.map(({ action }) => action),
    ['session.ended', 'session.started'],
  )
  for (const entry of data) t.match(entry, { actor_kind: 'tenant', actor_id: keyId })
  t.equal(data[0]?.target_id, data[1]?.target_id)
})

t.test('who logs in anew leaves no session behind', async (t) => {
  const { key } = await keyOf(service.tenant())
  const cookie = cookieOf(await logIn(app, { key }))
  const again = await logIn(app, { key }, { cookie, ...OWN_PAGE })
  t.equal(again.statusCode, 200)
  t.equal(await status(cookie), 401)
  t.equal(await status(cookieOf(again)), 200)
})

t.test('an ended session is told as such, and takes no later one’s cookie away', async (t) => {
  const { key } = await keyOf(service.tenant())
  const cookie = cookieOf(await logIn(app, { key }))
  await call('DELETE', '/api/session', { cookie, ...OWN_PAGE })
  const unknown = `bcs_session=${'A'.repeat(43)}`
  for (const each of [cookie, unknown, 'bcs_session=x', `${cookie}; other=1`]) {
    const answer = await call('GET', '/api/plugins', { cookie: each })
    t.equal(answer.statusCode, 401, each)
    t.match(answer.json(), { code: 'unauthenticated', detail: /session has ended/, login: '/console/login' })
    t.notOk(answer.headers['set-cookie'])
  }
  t.match((await call('GET', '/api/plugins', { cookie: 'other=1' })).json(), {
    detail: /Send a live key/,
  })
})

t.test('a session ends with its key', async (t) => {
  const shop = service.tenant()
  const revoked = await keyOf(shop)
  const expired = await keyOf(shop)
  const cookies = [revoked, expired].map(async ({ key }) => cookieOf(await logIn(app, { key })))
  const [first = '', second = ''] = await Promise.all(cookies)
  t.strictSame([await status(first), await status(second)], [200, 200])
  await shop.delete(`/api/keys/${revoked.id}`)
  t.equal(await status(first), 401, 'revoked while it was open')
  await db
    .updateTable('api_keys')
    .set({ expires_at: new Date(Date.now() - 1_000) })
    .where('id', '=', expired.id)
    .execute()
  app.signals.publish('key_changed', [expired.id])
  t.equal(await status(second), 401, 'expired')
})

t.test('a session of the environment’s platform key ends when that key is another one', async (t) => {
  const cookie = cookieOf(await logIn(app, { key: TEST_PLATFORM_KEY }))
  t.equal(await status(cookie), 200)
  await db
    .updateTable('sessions')
    .set({ platform_key_hash: Buffer.alloc(32) })
    .where('hash', '=', hashToken(cookie.slice('bcs_session='.length)))
    .execute()
  app.signals.publish('session_changed', [])
  t.equal(await status(cookie), 401)
})

t.test('a session ends after half an hour without a request, and after twelve hours', async (t) => {
  const { key } = await keyOf(service.tenant())
  const minutes = (count: number) => new Date(Date.now() + count * 60_000)
  const moved = async (fields: { seen_at?: Date; expires_at?: Date }) => {
    const cookie = cookieOf(await logIn(app, { key }))
    t.equal(await status(cookie), 200)
    const hash = hashToken(cookie.slice('bcs_session='.length))
    await db.updateTable('sessions').set(fields).where('hash', '=', hash).execute()
    app.signals.publish('session_changed', [])
    return { cookie, hash }
  }
  t.equal(await status((await moved({ seen_at: minutes(-31) })).cookie), 401, 'idle')
  t.equal(await status((await moved({ expires_at: minutes(-1) })).cookie), 401, 'old')
  const used = await moved({ seen_at: minutes(-29) })
  t.equal(await status(used.cookie), 200, 'a request in time')
  const seen = await db
    .selectFrom('sessions')
    .select('seen_at')
    .where('hash', '=', used.hash)
    .executeTakeFirstOrThrow()
  t.ok(seen.seen_at > minutes(-20), 'begins the half hour anew')
})

t.test('an open session is remembered no longer than it lasts', async (t) => {
  const { key } = await keyOf(service.tenant())
  const cookie = cookieOf(await logIn(app, { key }))
  const now = performance.now()
  t.teardown(() => Reflect.deleteProperty(performance, 'now'))
  performance.now = () => now
  const hash = hashToken(cookie.slice('bcs_session='.length))
  const soon = new Date(Date.now() + 60_000)
  await db.updateTable('sessions').set({ expires_at: soon }).where('hash', '=', hash).execute()
  t.equal(await status(cookie), 200)
  performance.now = () => now + 61_000
  await db
    .updateTable('sessions')
    .set({ expires_at: new Date(0) })
    .where('hash', '=', hash)
    .execute()
  t.equal(await status(cookie), 401)
})

t.test('admins see the sessions of their shop, and end them', async (t) => {
  const [shop, other] = [service.tenant(), service.tenant()]
  const admin = await keyOf(shop, { kind: 'tenant', role: 'admin' })
  const editor = await keyOf(shop)
  const foreign = await keyOf(other)
  const mine = cookieOf(await logIn(app, { key: admin.key }))
  const theirs = cookieOf(await logIn(app, { key: editor.key }))
  const elsewhere = cookieOf(await logIn(app, { key: foreign.key }))
  const platform = cookieOf(await logIn(app, { key: TEST_PLATFORM_KEY, tenant_id: shop.id }))
  const listed = async (headers: Record<string, string>, query = '') => {
    const answer = await call('GET', `/api/sessions${query}`, headers)
    return answer.json<{ data: SessionRecord[]; next_cursor: string | null }>()
  }
  const { data } = await listed({ cookie: mine })
  t.strictSame(
    data.map(({ key_id, current, status, kind }) => ({ key_id, current, status, kind })),
    [
      { key_id: editor.id, current: false, status: 'live', kind: 'tenant' },
      { key_id: admin.id, current: true, status: 'live', kind: 'tenant' },
    ],
    'of the shop alone, not those of the platform',
  )
  t.notOk(JSON.stringify(data).includes(theirs.slice('bcs_session='.length)))
  const first = await listed({ cookie: mine }, '?limit=1')
  const rest = await listed({ cookie: mine }, `?limit=1&cursor=${first.next_cursor}`)
  t.strictSame([...first.data, ...rest.data], data, 'page by page')

  t.equal((await call('GET', '/api/sessions', { cookie: theirs })).statusCode, 403)
  const ofOther = (await listed({ cookie: elsewhere, authorization: `Bearer ${TEST_PLATFORM_KEY}` })).data
  t.ok(ofOther.length > 3, 'the platform sees all')
  const [foreignSession] = (await other.get('/api/sessions')).json<{ data: SessionRecord[] }>().data
  const end = (id: string | undefined, cookie: string) =>
    call('DELETE', `/api/sessions/${id}`, { cookie, ...OWN_PAGE })
  const missing = await end(foreignSession?.id, mine)
  t.equal(missing.statusCode, 404)
  t.match(missing.json(), { code: 'session_not_found' })
  t.equal(await status(elsewhere), 200)
  t.equal((await end(data[0]?.id, theirs)).statusCode, 403)
  t.equal((await end(data[0]?.id, mine)).statusCode, 204)
  t.equal((await end(data[0]?.id, mine)).statusCode, 204, 'again')
  t.equal(await status(theirs), 401)
  t.match((await listed({ cookie: mine })).data[0], { status: 'ended', revoked_at: String })
  const audit = (await shop.get('/api/audit-log?action=session.ended')).json<{ data: AuditLogEntry[] }>()
  t.match(audit.data, [{ actor_id: admin.id, target_id: data[0]?.id }])
  const all = (await listed({ cookie: cookieOf(await logIn(app, { key: TEST_PLATFORM_KEY })) })).data
  const ofPlatform = all.find(({ kind, current }) => kind === 'platform' && !current)
  t.equal((await end(ofPlatform?.id, mine)).statusCode, 404, 'none of the shop’s business')
  t.equal(await status(platform), 200)
})

t.test('a page in a frame gets a token in place of a cookie', async (t) => {
  const shop = service.tenant()
  const { key } = await keyOf(shop)
  const answer = await logIn(app, { key }, { 'x-bcs-session': 'bearer' })
  t.notOk(answer.headers['set-cookie'])
  const { token = '' } = answer.json<StartedSession>()
  t.match(token, /^bcss_[\w-]{43}$/)
  const authorization = `Bearer ${token}`
  t.match(await whoIs({ authorization }), { kind: 'tenant', tenant_id: shop.id, via: 'session' })
  const made = await app.inject({
    method: 'PUT',
    url: '/api/variables/colour',
    headers: { authorization, 'sec-fetch-site': 'cross-site' },
    payload: { value: 'red' },
  })
  t.equal(made.statusCode, 201, 'no browser sends it by itself, so nobody asks where it comes from')
  t.equal(await status(`bcs_session=${token}`), 401, 'it is no cookie')
  const cookie = cookieOf(await logIn(app, { key }))
  const value = cookie.slice('bcs_session='.length)
  for (const other of [value, `bcss_${value}`]) {
    const asBearer = await call('GET', '/api/session', { authorization: `Bearer ${other}` })
    t.equal(asBearer.statusCode, 401, 'and a cookie no token')
  }
  t.equal((await call('DELETE', '/api/session', { authorization })).statusCode, 204)
  const ended = await call('GET', '/api/session', { authorization })
  t.equal(ended.statusCode, 401)
  t.notOk(ended.headers['set-cookie'])
  t.equal((await logIn(app, { key }, { 'x-bcs-session': 'both' })).statusCode, 400)
})

t.test('a key that is sent counts for more than a cookie', async (t) => {
  const [shop, other] = [service.tenant(), service.tenant()]
  const { key } = await keyOf(shop)
  const cookie = cookieOf(await logIn(app, { key }))
  const { key: second } = await keyOf(other)
  t.match(await whoIs({ cookie, authorization: `Bearer ${second}` }), { tenant_id: other.id, via: 'key' })
  const wrong = await call('GET', '/api/session', { cookie, authorization: `Bearer ${generateApiKey()}` })
  t.equal(wrong.statusCode, 401)
})

t.test('a session of a plugin ends with it, and its scopes count, from the next request on', async (t) => {
  const shop = service.tenant()
  const webhook_url = 'http://127.0.0.1:9/'
  await shop.post('/api/plugins', { name: 'Mail', slug: 'mail', webhook_url })
  const { key } = await keyOf(shop, { kind: 'plugin', plugin: 'mail' })
  const cookie = cookieOf(await logIn(app, { key }))
  const own = async () => (await call('GET', '/api/plugins/mail', { cookie })).statusCode
  t.equal(await own(), 200)
  // Nothing tells of it.
  await db.updateTable('plugins').set({ scopes: '[]' }).where('tenant_id', '=', shop.id).execute()
  t.equal(await own(), 403)
  await db.updateTable('plugins').set({ scopes: null }).where('tenant_id', '=', shop.id).execute()
  t.equal(await own(), 200)
  await db.updateTable('plugins').set({ deleted_at: new Date() }).where('tenant_id', '=', shop.id).execute()
  t.equal(await own(), 401)
})

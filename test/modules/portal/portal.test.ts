import t from 'tap'
import type { AuditLogEntry } from '#modules/audit/schemas.ts'
import type { ApiKeyWithSecret } from '#modules/key/schemas.ts'
import type { PortalSession, PortalSessionLink } from '#modules/portal/schemas.ts'
import type { StartedSession } from '#modules/session/schemas.ts'
import { generateToken, hashToken } from '#lib/secrets/session-token.ts'
import { appOn } from '#test/infra/app-on.ts'
import { clientFor, startApp, type Tenant, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { cookieOf, logIn, OWN_PAGE } from '#test/support/session.ts'

const service = await startApp(t, { env: { PUBLIC_URL: 'https://automation.example' } })
const { app, db } = service
const LINKS = '/api/portal-sessions'

async function link(shop: Tenant, fields: object = {}): Promise<PortalSessionLink & { token: string }> {
  const answer = await shop.post(LINKS, { scope: 'tenant', role: 'editor', label: 'ada', ...fields })
  if (answer.statusCode !== 201) throw new Error(answer.body)
  const made = answer.json<PortalSessionLink>()
  return { ...made, token: made.url.split('#')[1] ?? '' }
}

async function keyOf(shop: Tenant, fields: object): Promise<ApiKeyWithSecret> {
  return (await shop.post('/api/keys', { name: 'k', ...fields })).json<ApiKeyWithSecret>()
}

const exchange = (token: string) => logIn(app, { portal_token: token })
const statusOf = async (cookie: string): Promise<number> =>
  (await app.inject({ url: '/api/session', headers: { cookie } })).statusCode
const listed = async (shop: Tenant): Promise<PortalSession[]> =>
  (await shop.get(LINKS)).json<{ data: PortalSession[] }>().data

t.test('a link is exchanged for a session of its shop, with its role', async (t) => {
  const shop = service.tenant()
  const made = await shop.post(LINKS, {
    scope: 'tenant',
    role: 'viewer',
    label: 'ada',
    return_url: 'https://admin.shop.example/back?x=1',
    theme: 'dark',
    locale: 'de',
  })
  t.equal(made.statusCode, 201, made.body)
  t.equal(made.headers['cache-control'], 'no-store')
  const { id, url, expires_at } = made.json<PortalSessionLink>()
  t.match(url, /^https:\/\/automation\.example\/console\/portal#[\w-]{43}$/)
  const seconds = (Date.parse(String(expires_at)) - Date.now()) / 1_000
  t.ok(seconds > 240 && seconds <= 301, `${seconds} s`)
  const token = url.split('#')[1] ?? ''
  const row = await db.selectFrom('portal_links').selectAll().where('id', '=', id).executeTakeFirstOrThrow()
  t.strictSame(row.hash, hashToken(token))
  t.notOk(JSON.stringify(row).includes(token), 'only its hash is stored')
  t.match(await listed(shop), [{ id, status: 'open', session_id: null }])

  const answer = await exchange(token)
  t.equal(answer.statusCode, 200, answer.body)
  const session = answer.json<StartedSession>()
  t.match(session, {
    kind: 'portal',
    role: 'viewer',
    tenant_id: shop.id,
    may_choose_tenant: false,
    plugin: null,
    label: 'ada',
    via: 'session',
    return_url: 'https://admin.shop.example/back?x=1',
    theme: 'dark',
    locale: 'de',
  })
  const hours = (Date.parse(String(session.expires_at)) - Date.now()) / 3_600_000
  t.ok(hours > 7.9 && hours < 8.1, `${hours} hours`)
  const cookie = cookieOf(answer)
  t.equal((await app.inject({ url: '/api/plugins', headers: { cookie } })).statusCode, 200)
  const changed = await app.inject({
    method: 'PUT',
    url: '/api/variables/x',
    headers: { cookie, ...OWN_PAGE },
    payload: { value: 1 },
  })
  t.equal(changed.statusCode, 403, 'a viewer changes nothing')
  t.match(await listed(shop), [{ id, status: 'active', session_id: String, used_at: String }])
})

t.test('without PUBLIC_URL the link leads to where the request came', async (t) => {
  const other = await startApp(t)
  const answer = await other
    .tenant()
    .post(LINKS, { scope: 'tenant', role: 'editor', label: 'x' }, { host: 'automation.internal:3000' })
  t.match(answer.json<PortalSessionLink>().url, /^http:\/\/automation\.internal:3000\/console\/portal#/)
})

t.test('what somebody does who came by a link is in the audit log under its label', async (t) => {
  const shop = service.tenant()
  const { id, token } = await link(shop, { label: 'user-4711' })
  const cookie = cookieOf(await exchange(token))
  const headers = { cookie, ...OWN_PAGE }
  await app.inject({ method: 'PUT', url: '/api/variables/x', headers, payload: { value: 1 } })
  const event = await app.inject({
    method: 'POST',
    url: '/api/events',
    headers,
    payload: { event: 'order.created', data: {} },
  })
  t.equal(event.statusCode, 202, event.body)
  await app.inject({ method: 'DELETE', url: '/api/session', headers })
  const query = '/api/audit-log?actor=user-4711'
  const { data } = (await shop.get(query)).json<{ data: AuditLogEntry[] }>()
  t.match(
    data.map(({ action, actor_kind, actor_id }) => [action, actor_kind, actor_id]),
    [
      ['session.ended', 'portal', 'user-4711'],
      [/^variable\./, 'portal', 'user-4711'],
      ['session.started', 'portal', 'user-4711'],
    ],
  )
  const ofKind = (await shop.get('/api/audit-log?actor=portal')).json<{ data: AuditLogEntry[] }>()
  t.equal(ofKind.data.length, 3)
  const made = (await shop.get('/api/audit-log?action=portal_link.created')).json<{ data: AuditLogEntry[] }>()
  t.match(made.data, [{ actor_kind: 'platform', target_id: id, detail: { label: 'user-4711' } }])
})

t.test(
  'a link that was used, has expired, was ended or never was gets one and the same answer',
  async (t) => {
    const shop = service.tenant()
    const [used, expired, ended] = [await link(shop), await link(shop), await link(shop, { label: 'gone' })]
    t.equal((await exchange(used.token)).statusCode, 200)
    await db
      .updateTable('portal_links')
      .set({ expires_at: new Date(Date.now() - 1_000) })
      .where('id', '=', expired.id)
      .execute()
    t.equal((await shop.delete(`${LINKS}?label=gone`)).statusCode, 204)
    const tokens = [used.token, expired.token, ended.token, generateToken(), 'x', `${used.token}x`]
    const answers = await Promise.all(
      tokens.map((portal_token) => logIn(app, { portal_token }, { 'x-request-id': 'same' })),
    )
    for (const answer of answers) {
      t.equal(answer.statusCode, 401)
      t.match(answer.json(), { code: 'portal_link_invalid' })
      t.equal(answer.body, answers[0]?.body)
      t.notOk(answer.headers['set-cookie'])
    }
  },
)

t.test('of many who open a link at once one gets in', async (t) => {
  const { token } = await link(service.tenant())
  const answers = await Promise.all(Array.from({ length: 8 }, () => exchange(token)))
  t.strictSame(answers.map(({ statusCode }) => statusCode).sort(), [200, ...Array<number>(7).fill(401)])
})

t.test('all links and sessions of a label end together', async (t) => {
  const [shop, other] = [service.tenant(), service.tenant()]
  const cookies = await Promise.all(
    [
      link(shop, { label: 'eve' }),
      link(shop, { label: 'eve' }),
      link(shop),
      link(other, { label: 'eve' }),
    ].map(async (made) => cookieOf(await exchange((await made).token))),
  )
  const unopened = await link(shop, { label: 'eve' })
  t.strictSame(await Promise.all(cookies.map(statusOf)), [200, 200, 200, 200])
  t.equal((await shop.delete(`${LINKS}?label=eve`)).statusCode, 204)
  t.strictSame(await Promise.all(cookies.map(statusOf)), [401, 401, 200, 200])
  t.equal((await exchange(unopened.token)).statusCode, 401)
  t.equal((await shop.delete(`${LINKS}?label=eve`)).statusCode, 204, 'again')
  t.equal((await shop.delete(`${LINKS}?label=nobody`)).statusCode, 204)
  t.equal((await shop.delete(LINKS)).statusCode, 400)
  const { data } = (await shop.get('/api/audit-log?action=portal_links.ended')).json<{
    data: AuditLogEntry[]
  }>()
  t.match(data, [{ target_id: 'eve', detail: { links: 3, sessions: 2 } }])
  t.equal(data.length, 1)
})

t.test('links and their sessions end with the key that made them', async (t) => {
  const shop = service.tenant()
  const backend = await keyOf(shop, { kind: 'tenant', role: 'admin' })
  const client = clientFor(app, shop.id, backend.key)
  const cookie = cookieOf(await exchange((await link(client)).token))
  const unopened = await link(client)
  t.equal(await statusOf(cookie), 200)
  await shop.delete(`/api/keys/${backend.id}`)
  t.equal(await statusOf(cookie), 401)
  t.equal((await exchange(unopened.token)).statusCode, 401)
  t.match(
    (await listed(shop)).map(({ status }) => status),
    ['ended', 'ended'],
  )
})

t.test('what was made in open mode ends with it', async (t) => {
  const open = await appOn(t, service.databaseUrl, { openTenantId: crypto.randomUUID() })
  const make = async (): Promise<string> => {
    const answer = await open.inject({
      method: 'POST',
      url: LINKS,
      payload: { scope: 'tenant', role: 'editor', label: 'open' },
    })
    t.equal(answer.statusCode, 201, answer.body)
    return answer.json<PortalSessionLink>().url.split('#')[1] ?? ''
  }
  const [used, unused] = [await make(), await make()]
  const cookie = cookieOf(await logIn(open, { portal_token: used }))
  const there = await open.inject({ url: '/api/session', headers: { cookie } })
  t.match(there.json(), { kind: 'portal', via: 'session' })
  t.equal(await statusOf(cookie), 401, 'where keys are needed it is worth nothing')
  t.equal((await exchange(unused)).statusCode, 401)
})

t.test('a portal session ends when its link says, at the latest', async (t) => {
  const shop = service.tenant()
  const { token } = await link(shop, { expires_in: 60 })
  const answer = await exchange(token)
  const seconds = (Date.parse(String(answer.json<StartedSession>().expires_at)) - Date.now()) / 1_000
  t.ok(seconds > 0 && seconds <= 61, `${seconds} s`)
})

t.test('only admins make links, and nobody who came by one', async (t) => {
  const shop = service.tenant()
  const body = { scope: 'tenant', role: 'viewer', label: 'x' }
  for (const [role, status] of [
    ['viewer', 403],
    ['editor', 403],
    ['admin', 201],
  ] as const) {
    const { key } = await keyOf(shop, { kind: 'tenant', role })
    t.equal((await clientFor(app, shop.id, key).post(LINKS, body)).statusCode, status, role)
    const cookie = cookieOf(await logIn(app, { key }))
    const answer = await app.inject({
      method: 'POST',
      url: LINKS,
      headers: { cookie, ...OWN_PAGE },
      payload: body,
    })
    t.equal(answer.statusCode, status, `${role}, by a session`)
  }
  const cookie = cookieOf(await exchange((await link(shop, { role: 'admin' })).token))
  const answer = await app.inject({
    method: 'POST',
    url: LINKS,
    headers: { cookie, ...OWN_PAGE },
    payload: body,
  })
  t.match([answer.statusCode, answer.json()], [403, { code: 'forbidden', detail: /portal link makes none/ }])
  const key = await app.inject({
    method: 'POST',
    url: '/api/keys',
    headers: { cookie, ...OWN_PAGE },
    payload: { kind: 'tenant', role: 'admin', name: 'stays' },
  })
  t.match([key.statusCode, key.json()], [403, { code: 'forbidden', detail: /portal link makes no keys/ }])
  const none = await app.inject({
    method: 'POST',
    url: LINKS,
    headers: { authorization: `Bearer ${TEST_PLATFORM_KEY}` },
    payload: body,
  })
  t.match(none.json(), { code: 'tenant_required' })
})

t.test('what does not fit together is refused, and says where', async (t) => {
  const shop = service.tenant()
  const good = { scope: 'tenant', role: 'viewer', label: 'x' }
  const bad: [object, string][] = [
    [{ ...good, role: undefined }, '/role'],
    [{ ...good, role: 'platform' }, '/role'],
    [{ ...good, label: undefined }, '/label'],
    [{ ...good, label: ' ' }, '/label'],
    [{ ...good, label: 'x'.repeat(101) }, '/label'],
    [{ ...good, scope: 'all' }, '/scope'],
    [{ ...good, plugin: 'mail' }, '/plugin'],
    [{ ...good, scope: 'plugin' }, '/plugin'],
    [{ ...good, scope: 'plugin', plugin: 'unknown' }, '/plugin'],
    [{ ...good, expires_in: 7 * 86_400 + 1 }, '/expires_in'],
    [{ ...good, expires_in: 59 }, '/expires_in'],
    [{ ...good, link_expires_in: 86_401 }, '/link_expires_in'],
    [{ ...good, link_expires_in: 0 }, '/link_expires_in'],
    [{ ...good, return_url: 'javascript:alert(1)' }, '/return_url'],
    [{ ...good, return_url: '/back' }, '/return_url'],
    [{ ...good, return_url: 'https://user:secret@shop.example/' }, '/return_url'],
    [{ ...good, theme: 'blue' }, '/theme'],
    [{ ...good, locale: 'fr' }, '/locale'],
  ]
  for (const [body, pointer] of bad) {
    const answer = await shop.post(LINKS, body)
    t.equal(answer.statusCode, 400, JSON.stringify(body))
    t.match(answer.json(), { errors: [{ pointer }] }, JSON.stringify(body))
  }
  t.strictSame(await listed(shop), [])
})

t.test('links are listed page by page, each shop its own', async (t) => {
  const [shop, other] = [service.tenant(), service.tenant()]
  for (const label of ['a', 'b', 'c']) await link(shop, { label })
  await link(other)
  const first = (await shop.get(`${LINKS}?limit=2`)).json<{ data: PortalSession[]; next_cursor: string }>()
  t.match(first.data, [{ label: 'c' }, { label: 'b' }])
  const rest = await shop.get(`${LINKS}?limit=2&cursor=${first.next_cursor}`)
  t.match(rest.json(), { data: [{ label: 'a' }], next_cursor: null })
  t.equal((await shop.get(`${LINKS}?cursor=nonsense`)).statusCode, 400)
})

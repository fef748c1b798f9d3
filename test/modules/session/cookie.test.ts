import { request } from 'node:http'
import t from 'tap'
import type { ApiKeyWithSecret } from '#modules/key/schemas.ts'
import { appOn, listen } from '#test/infra/app-on.ts'
import { clientFor, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { createTestDatabase } from '#test/support/database.ts'

/** Over real sockets: the connection itself tells the scheme and the host of a request. */
const { url: databaseUrl } = await createTestDatabase(t)
const TRUSTING = { TRUST_PROXY: '127.0.0.0/8', CORS_ORIGINS: 'https://shop.example' }
const app = await appOn(t, databaseUrl, {
  env: { ...TRUSTING, PUBLIC_URL: 'https://automation.example' },
})
const port = await listen(app)
const OWN = `http://127.0.0.1:${port}`

interface Answer {
  status: number
  headers: Record<string, string | string[] | undefined>
  cookie: string | undefined
  body: Record<string, unknown>
}

let addresses = 1

/** @param to another process than the usual one */
async function send(
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body?: object,
  to = port,
): Promise<Answer> {
  const text = body === undefined ? '' : JSON.stringify(body)
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        port: to,
        host: '127.0.0.1',
        // One address has ten logins a minute.
        localAddress: `127.0.1.${addresses++ % 250}`,
        method,
        path,
        headers: {
          ...(body !== undefined && { 'content-type': 'application/json', 'content-length': text.length }),
          ...headers,
        },
      },
      (answer) => {
        let received = ''
        answer.setEncoding('utf8').on('data', (part: string) => (received += part))
        answer.once('end', () =>
          resolve({
            status: answer.statusCode ?? 0,
            headers: answer.headers,
            cookie: answer.headers['set-cookie']?.[0],
            body: (received.startsWith('{') ? JSON.parse(received) : {}) as Record<string, unknown>,
          }),
        )
      },
    )
    sent.once('error', reject).end(text)
  })
}

const shop = clientFor(app, crypto.randomUUID(), TEST_PLATFORM_KEY)
const made = await shop.post('/api/keys', { name: 'desk', kind: 'tenant', role: 'editor' })
const { key } = made.json<ApiKeyWithSecret>()
const pairOf = ({ cookie = '' }: Answer): string => cookie.split(';')[0] ?? ''

t.test('over http on this machine the cookie has a plain name', async (t) => {
  for (const host of ['localhost', `localhost:${port}`, `127.0.0.1:${port}`, '127.8.9.1', `[::1]:${port}`]) {
    const { status, cookie } = await send('POST', '/api/session', { host }, { key })
    t.equal(status, 200, host)
    t.match(cookie, /^bcs_session=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/, host)
  }
})

t.test('everywhere else it is kept by this host and https alone', async (t) => {
  const overHttps = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'automation.example' }
  const places: Record<string, string>[] = [
    overHttps,
    { 'x-forwarded-proto': 'https' },
    { host: 'automation.example' },
    { host: '10.0.0.5:3000' },
    { host: 'localhost.evil.example' },
  ]
  for (const headers of places) {
    const { status, cookie } = await send('POST', '/api/session', headers, { key })
    t.equal(status, 200, JSON.stringify(headers))
    t.match(cookie, /^__Host-bcs_session=[\w-]{43}; Path=\/; HttpOnly; Secure; SameSite=Strict$/)
  }
  const session = pairOf(await send('POST', '/api/session', overHttps, { key }))
  t.equal((await send('GET', '/api/session', { ...overHttps, cookie: session })).status, 200)
  const plain = session.replace('__Host-', '')
  t.equal(
    (await send('GET', '/api/session', { ...overHttps, cookie: plain })).status,
    401,
    'by no other name',
  )
  const headers = { ...overHttps, 'x-bcs-console': '1', 'sec-fetch-site': 'same-origin', cookie: session }
  const ended = await send('DELETE', '/api/session', headers)
  t.equal(ended.status, 204)
  t.match(ended.cookie, /^__Host-bcs_session=; Max-Age=0; Path=\/; HttpOnly; Secure; SameSite=Strict$/)
})

t.test('a proxy that is not trusted does not say how the request came', async (t) => {
  const other = await appOn(t, databaseUrl)
  const otherPort = await listen(other)
  const headers = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'automation.example' }
  const { cookie } = await send('POST', '/api/session', headers, { key }, otherPort)
  t.match(cookie, /^bcs_session=/)
})

t.test('a cookie changes something only from a page of the service', async (t) => {
  const cookie = pairOf(await send('POST', '/api/session', {}, { key }))
  const host = `127.0.0.1:${port}`
  const page = { 'x-bcs-console': '1' }
  const allowed: Record<string, string>[] = [
    { ...page, 'sec-fetch-site': 'same-origin' },
    { ...page, 'sec-fetch-site': 'same-origin', origin: OWN },
    { ...page, origin: OWN },
    { ...page, origin: 'https://automation.example' },
  ]
  const refused: Record<string, string>[] = [
    {},
    page,
    { 'sec-fetch-site': 'same-origin' },
    { origin: OWN },
    { ...page, 'sec-fetch-site': 'cross-site' },
    { ...page, 'sec-fetch-site': 'same-site' },
    { ...page, 'sec-fetch-site': 'none' },
    { ...page, 'sec-fetch-site': 'cross-site', origin: OWN },
    { ...page, origin: 'null' },
    { ...page, origin: 'https://evil.example' },
    { ...page, origin: 'https://shop.example' },
    { ...page, origin: `https://127.0.0.1:${port}` },
    { ...page, origin: 'http://127.0.0.1:1' },
    { ...page, origin: `http://localhost:${port}` },
    { 'x-bcs-console': 'true', 'sec-fetch-site': 'same-origin' },
  ]
  const change = (headers: Record<string, string>, method: string) =>
    method === 'DELETE'
      ? send('DELETE', '/api/variables/unknown', { cookie, host, ...headers })
      : send(method, '/api/variables/colour', { cookie, host, ...headers }, { value: 'red' })
  for (const headers of allowed) {
    t.ok((await change(headers, 'PUT')).status < 300, JSON.stringify(headers))
    t.equal((await change(headers, 'DELETE')).status, 404, JSON.stringify(headers))
  }
  for (const headers of refused) {
    for (const method of ['PUT', 'DELETE']) {
      const answer = await change(headers, method)
      t.equal(answer.status, 403, JSON.stringify(headers))
      t.match(answer.body, { code: 'cross_site' })
      t.notOk(answer.cookie, 'the session stays')
    }
    const out = await send('DELETE', '/api/session', { cookie, host, ...headers })
    t.match([out.status, out.body], [403, { code: 'cross_site' }], 'nor is anybody logged out')
  }
  t.equal((await send('GET', '/api/session', { cookie })).status, 200)
  const posts = [
    ['POST', '/api/events', { event: 'order.created', data: {} }],
    ['PATCH', '/api/tenant', { strict_events: false }],
  ] as const
  for (const [method, path, body] of posts) {
    const answer = await send(method, path, { cookie, host, 'sec-fetch-site': 'same-origin' }, body)
    t.match(answer.body, { code: 'cross_site', detail: /x-bcs-console: 1/ })
  }
})

t.test('a page of another site reads nothing with a cookie, and logs nobody in', async (t) => {
  const cookie = pairOf(await send('POST', '/api/session', {}, { key }))
  const foreign = { cookie, 'sec-fetch-site': 'cross-site' }
  const read = await send('GET', '/api/session', foreign)
  t.equal(read.status, 401)
  t.match(read.body, { detail: /Send a live key/ }, 'as without a cookie')
  t.notOk(read.cookie)
  t.equal((await send('GET', '/api/session', { cookie, 'sec-fetch-site': 'same-site' })).status, 200)
  t.equal((await send('GET', '/api/session', { cookie, 'sec-fetch-site': 'none' })).status, 200)
  for (const headers of [
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { origin: 'https://evil.example' },
  ]) {
    const answer = await send('POST', '/api/session', headers, { key })
    t.match([answer.status, answer.body], [403, { code: 'cross_site' }], JSON.stringify(headers))
  }
  t.equal((await send('POST', '/api/session', { 'sec-fetch-site': 'same-origin' }, { key })).status, 200)
  t.equal(
    (await send('POST', '/api/session', { origin: OWN, host: `127.0.0.1:${port}` }, { key })).status,
    200,
  )
})

t.test('CORS never lets a browser send its cookies', async (t) => {
  const origin = 'https://shop.example'
  const cookie = pairOf(await send('POST', '/api/session', {}, { key }))
  const answers = await Promise.all([
    send('GET', '/api/session', { origin, cookie }),
    send('OPTIONS', '/api/session', { origin, 'access-control-request-method': 'POST' }),
    send('OPTIONS', '/api/plugins', {
      origin,
      'access-control-request-method': 'PUT',
      'access-control-request-headers': 'x-bcs-console',
    }),
  ])
  for (const { headers } of answers) {
    t.equal(headers['access-control-allow-origin'], origin)
    t.equal(headers['access-control-allow-credentials'], undefined)
  }
})

t.test('in open mode a cookie takes nothing away, and one that lives counts', async (t) => {
  const open = await appOn(t, databaseUrl, { openTenantId: crypto.randomUUID() })
  const openPort = await listen(open)
  const who = async (headers: Record<string, string>, method = 'GET', path = '/api/session') =>
    send(method, path, headers, undefined, openPort)
  t.match((await who({})).body, { kind: 'open', via: 'open', role: 'platform', may_choose_tenant: false })
  const foreign = `bcs_session=${'A'.repeat(43)}`
  t.match((await who({ cookie: foreign })).body, { via: 'open' }, "another service's on this machine")
  t.equal((await who({ cookie: foreign }, 'DELETE', '/api/variables/x')).status, 404)
  t.equal(
    (await who({ cookie: foreign, 'sec-fetch-site': 'cross-site' }, 'DELETE', '/api/variables/x')).status,
    403,
  )
  const cookie = pairOf(await send('POST', '/api/session', {}, { key }, openPort))
  t.match((await who({ cookie })).body, { via: 'session', tenant_id: shop.id, role: 'editor' })
  t.match((await who({ cookie }, 'DELETE', '/api/variables/x')).body, { code: 'cross_site' })
})

t.test('a session that one replica ends is refused by the others at once', async (t) => {
  const there = await appOn(t, databaseUrl)
  const cookie = pairOf(await send('POST', '/api/session', {}, { key }))
  const statusThere = async (): Promise<number> =>
    (await there.inject({ url: '/api/session', headers: { cookie } })).statusCode
  t.equal(await statusThere(), 200)
  // Time stands still for remembered answers: only a signal makes a replica ask again.
  const now = performance.now()
  performance.now = () => now
  t.teardown(() => Reflect.deleteProperty(performance, 'now'))
  const out = await app.inject({
    method: 'DELETE',
    url: '/api/session',
    headers: { cookie, 'sec-fetch-site': 'same-origin', 'x-bcs-console': '1' },
  })
  t.equal(out.statusCode, 204)
  const giveUpAt = Date.now() + 60_000
  let status = 200
  while (status !== 401 && Date.now() < giveUpAt) status = await statusThere()
  t.equal(status, 401)
})

import { connect } from 'node:net'
import type { LightMyRequestResponse } from 'fastify'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { appOn, listen } from '#test/infra/app-on.ts'

const { url: databaseUrl } = await createTestDatabase(t)
const TENANT = crypto.randomUUID()
const KEY = { authorization: `Bearer ${TEST_PLATFORM_KEY}`, 'x-tenant-id': TENANT }
const JSON_KEY = { ...KEY, 'content-type': 'application/json' }
const app = await appOn(t, databaseUrl)
const port = await listen(app)
/** Only for requests that are to be cut off: on a busy machine others would be, too. */
const hasty = await listen(
  await appOn(t, databaseUrl, { limits: { requestTimeoutMs: 400, timeoutCheckMs: 100 } }),
)

const MIB = 1024 * 1024

interface Expected {
  status: number
  code: string
}

/** Sends a body to the intake and expects a problem. */
async function refuses(
  t: Test,
  payload: string | Buffer,
  expected: Expected,
  headers: Record<string, string> = JSON_KEY,
): Promise<void> {
  const answer = await app.inject({ method: 'POST', url: '/api/events', headers, payload })
  t.equal(answer.statusCode, expected.status, answer.body.slice(0, 300))
  t.match(answer.headers['content-type'], 'application/problem+json')
  t.match(answer.json(), { code: expected.code, status: expected.status, request_id: String })
  t.notMatch(answer.body, /\bat .*\.(ts|js):\d+|select |insert /i)
}

const event = (data: string): string => `{"event":"product.created","data":${data}}`
const invalidJson = { status: 400, code: 'invalid_json' }

const bodies: [what: string, body: string | Buffer, expected: Expected][] = [
  ['an empty body', '', { status: 400, code: 'invalid_request' }],
  ['half a body', '{"event":', invalidJson],
  ['what is not JSON', 'event=product.created', invalidJson],
  ['a body 100,000 levels deep', event('['.repeat(100_000) + ']'.repeat(100_000)), invalidJson],
  ['a body 65 levels deep', event('['.repeat(65) + ']'.repeat(65)), invalidJson],
  ['NUL in a text', event('"a\\u0000b"'), invalidJson],
  ['a raw NUL', event('"a\0b"'), invalidJson],
  ['a lone surrogate', event('"\\ud800"'), invalidJson],
  ['__proto__', event('{"__proto__":{"admin":true}}'), invalidJson],
  [
    'invalid UTF-8',
    Buffer.from([...Buffer.from('{"event":"'), 0xff, 0xfe, ...Buffer.from('"}')]),
    invalidJson,
  ],
  ['UTF-16', Buffer.from(event('1'), 'utf16le'), invalidJson],
  ['a body above the limit', event(`"${'x'.repeat(9 * MIB)}"`), { status: 413, code: 'payload_too_large' }],
  ['an array', '[]', { status: 400, code: 'invalid_request' }],
  ['null', 'null', { status: 400, code: 'invalid_request' }],
  ['an unknown property', '{"event":"a.b","data":1,"surprise":1}', { status: 400, code: 'invalid_request' }],
]

for (const [what, body, expected] of bodies) {
  t.test(`refused as ${expected.code}: ${what}`, (t) => refuses(t, body, expected))
}

for (const type of [
  'text/plain',
  'application/xml',
  'application/jsonp',
  'multipart/form-data',
  'nonsense',
]) {
  t.test(`refused: a body of type ${type}`, (t) =>
    refuses(t, event('1'), { status: 415, code: 'unsupported_media_type' }, { ...KEY, 'content-type': type }),
  )
}

t.test('a content type with parameters is still JSON', async (t) => {
  const answer = await app.inject({
    method: 'POST',
    url: '/api/events',
    headers: { ...KEY, 'content-type': 'Application/JSON; charset=utf-8' },
    payload: event('{"id":1}'),
  })
  t.equal(answer.statusCode, 202, answer.body)
})

t.test('1 MiB is the limit of everything but the intake', async (t) => {
  const answer = await app.inject({
    method: 'POST',
    url: '/api/plugins',
    headers: JSON_KEY,
    payload: JSON.stringify({ name: 'x'.repeat(MIB + 1) }),
  })
  t.equal(answer.statusCode, 413)
})

const paths: [path: string, status: number, code: string][] = [
  ['/api/%zz', 400, 'invalid_request'],
  ['/api/plugins/%ff', 400, 'invalid_request'],
  ['/api/plugins/', 404, 'plugin_not_found'],
  ['//api/plugins', 404, 'route_not_found'],
  [`/api/plugins/${'x'.repeat(300)}`, 404, 'route_not_found'],
  ['/api/plugins?limit=0', 400, 'invalid_request'],
  ['/api/plugins?limit=many', 400, 'invalid_request'],
  ['/api/plugins?cursor=%00', 400, 'invalid_request'],
  ['/api/plugins?cursor=AAAA', 400, 'invalid_cursor'],
]

for (const [path, status, code] of paths) {
  t.test(`GET ${path.slice(0, 40)} is ${status}`, async (t) => {
    const answer = await app.inject({ url: path, headers: KEY })
    t.equal(answer.statusCode, status, answer.body)
    t.equal(answer.json<{ code: string }>().code, code)
  })
}

t.test('bytes that Postgres cannot store never reach it', async (t) => {
  for (const path of [
    '/api/plugins/%00',
    '/api/plugins/a%00b',
    '/api/plugins/%ed%a0%80',
    '/api/plugins/events?event=%00',
    '/api/plugins/events?plugin=%00',
    '/api/plugins/events?event=%ff%fe',
    '/api/plugins/events/%00',
    '/api/events/%00',
    '/api/event-types?q=%00',
    '/api/event-types/%00',
    '/api/replays/%00',
    '/api/keys/%00',
  ]) {
    const { statusCode, body } = await app.inject({ url: path, headers: KEY })
    t.ok(statusCode >= 200 && statusCode < 500, `${path}: ${statusCode} ${body}`)
  }
})

t.test('another method on a known path is a 405 that lists the known ones', async (t) => {
  const answer = await app.inject({ method: 'PUT', url: '/api/plugins', headers: KEY })
  t.equal(answer.statusCode, 405)
  t.equal(answer.json<{ code: string }>().code, 'method_not_allowed')
  t.strictSame(String(answer.headers.allow).split(', ').sort(), ['GET', 'HEAD', 'POST'])
  t.equal((await app.inject({ method: 'OPTIONS', url: '/api/plugins', headers: KEY })).statusCode, 405)
  t.equal((await app.inject({ method: 'PUT', url: '/api/nothing', headers: KEY })).statusCode, 404)
})

t.test('HEAD is GET without the body', async (t) => {
  const answer = await app.inject({ method: 'HEAD', url: '/api/plugins', headers: KEY })
  t.equal(answer.statusCode, 200)
  t.equal(answer.body, '')
})

t.test("a caller's request id is echoed if it is one, and replaced if not", async (t) => {
  const ask = async (id: string): Promise<string> => {
    const answer = await app.inject({ url: '/nothing', headers: { 'x-request-id': id } })
    return answer.json<{ request_id: string }>().request_id
  }
  t.equal(await ask('order-42.retry_1'), 'order-42.retry_1')
  t.not(await ask('two words'), 'two words')
  t.not(await ask('x'.repeat(65)), 'x'.repeat(65))
})

t.test('responses carry no trace of the framework, and pages the security headers', async (t) => {
  const { headers } = await app.inject('/health/live')
  t.equal(headers['x-content-type-options'], 'nosniff')
  t.notOk(headers['x-powered-by'])
  const page = await app.inject('/docs/')
  t.match(page.headers, {
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'SAMEORIGIN',
    'referrer-policy': 'no-referrer',
  })
})

/** Writes bytes to the service's socket and gives all that comes back until it is closed. */
function raw(
  chunks: readonly (string | Buffer)[],
  options: { leaveOpen?: boolean; to?: number } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(options.to ?? port, '127.0.0.1', () => {
      for (const chunk of chunks) socket.write(chunk)
      if (options.leaveOpen !== true) socket.end()
    })
    let answer = ''
    socket.setEncoding('utf8')
    socket.on('data', (text: string) => (answer += text))
    socket.on('close', () => resolve(answer))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') reject(error)
    })
  })
}

const head = (lines: string): string =>
  `POST /api/events HTTP/1.1\r\nhost: x\r\nauthorization: ${KEY.authorization}\r\nx-tenant-id: ${TENANT}\r\n` +
  `content-type: application/json\r\n${lines}\r\n\r\n`

const malformed: [what: string, bytes: string, status: number][] = [
  ['noise', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n', 400],
  ['a request line with a NUL', 'GET /api/plu\0gins HTTP/1.1\r\nhost: x\r\n\r\n', 400],
  ['no host', 'GET /health/live HTTP/1.1\r\n\r\n', 400],
  ['a header bomb', `GET / HTTP/1.1\r\nhost: x\r\n${'a: b\r\n'.repeat(10_000)}\r\n`, 431],
  ['one huge header', `GET / HTTP/1.1\r\nhost: x\r\na: ${'x'.repeat(100_000)}\r\n\r\n`, 431],
  ['a huge path', `GET /${'x'.repeat(100_000)} HTTP/1.1\r\nhost: x\r\n\r\n`, 431],
  ['two lengths', head('content-length: 5\r\ncontent-length: 6') + '{"a":', 400],
  ['a length and chunks', head('content-length: 5\r\ntransfer-encoding: chunked') + '0\r\n\r\n', 400],
  ['chunked garbage', head('transfer-encoding: chunked') + 'zz\r\nnot a chunk', 400],
  ['an invalid header name', 'GET / HTTP/1.1\r\nhost: x\r\nna me: x\r\n\r\n', 400],
]

for (const [what, bytes, status] of malformed) {
  t.test(`malformed HTTP is answered with ${status}: ${what}`, async (t) => {
    const answer = await raw([bytes], { leaveOpen: true })
    t.match(answer, new RegExp(`^HTTP/1.1 ${status} `))
    const last = answer.slice(answer.lastIndexOf('HTTP/1.1'))
    if (what !== 'no host') t.match(last, 'application/problem+json')
  })
}

t.test('a request that drips is ended by the timeout', async (t) => {
  const answer = await raw([head('content-length: 1000') + '{"event"'], { leaveOpen: true, to: hasty })
  t.match(answer, /^HTTP\/1.1 408 /)
  t.match(answer, 'request_timeout')
})

t.test('headers that drip are ended by the timeout', async (t) => {
  t.match(
    await raw(['GET /health/live HTTP/1.1\r\nhost: x\r\nx-slow: '], { leaveOpen: true, to: hasty }),
    /^HTTP\/1.1 408 /,
  )
})

t.test('a caller that hangs up in the middle leaves no trace', async (t) => {
  await raw([head('content-length: 1000') + '{"event"'])
  await raw(['GET /heal'])
  t.equal((await app.inject('/health/live')).statusCode, 200)
})

t.test('pipelined requests are answered in order', async (t) => {
  const answer = await raw([
    'GET /health/live HTTP/1.1\r\nhost: x\r\n\r\nGET /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n',
  ])
  t.match(answer, /HTTP\/1\.1 200 [^]*HTTP\/1\.1 404 /)
})

t.test('a 304 has neither body nor length', async (t) => {
  const tenant = crypto.randomUUID()
  for (const path of ['/api/capabilities', '/api/plugins/actions']) {
    const headers = `authorization: Bearer ${TEST_PLATFORM_KEY}\r\nx-tenant-id: ${tenant}\r\nhost: x\r\n`
    const first = await raw([`GET ${path} HTTP/1.1\r\n${headers}connection: close\r\n\r\n`], {
      leaveOpen: true,
    })
    const [, etag] = /^etag: (.+)$/im.exec(first) ?? []
    t.ok(etag, path)
    const again = await raw(
      [
        `GET ${path} HTTP/1.1\r\n${headers}if-none-match: ${etag?.trim()}\r\n\r\n`,
        `GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`,
      ],
      { leaveOpen: true },
    )
    const [head = '', ...rest] = again.split('\r\n\r\n')
    t.match(head, /^HTTP\/1.1 304 /)
    t.notMatch(head, /^(content-length|content-type|transfer-encoding):/im, path)
    t.match(rest[0], /^HTTP\/1.1 200 /, 'what follows is the next answer')
  }
})

t.test('two Host headers are refused, in any spelling', async (t) => {
  for (const [one, other] of [
    ['host: x', 'host: y'],
    ['Host: x', 'HOST: x'],
  ]) {
    const answer = await raw([`GET /health/live HTTP/1.1\r\n${one}\r\n${other}\r\nconnection: close\r\n\r\n`])
    t.match(answer, /^HTTP\/1.1 400 /)
    t.match(answer, /more than one Host header/)
  }
  const one = await raw([`GET /health/live HTTP/1.1\r\nhost: x\r\nx-host: host\r\nconnection: close\r\n\r\n`])
  t.match(one, /^HTTP\/1.1 200 /)
})

t.test('browsers may call from the configured origins only', async (t) => {
  const origin = 'https://console.example.com'
  const withCors = await appOn(t, databaseUrl, { env: { CORS_ORIGINS: origin } })
  const preflight = async (from: string): Promise<LightMyRequestResponse> =>
    withCors.inject({
      method: 'OPTIONS',
      url: '/api/plugins',
      headers: { origin: from, 'access-control-request-method': 'DELETE' },
    })
  const allowed = await preflight(origin)
  t.equal(allowed.statusCode, 204)
  t.equal(allowed.headers['access-control-allow-origin'], origin)
  t.match(allowed.headers['access-control-allow-methods'], 'DELETE')
  const foreign = await preflight('https://evil.example')
  t.not(foreign.headers['access-control-allow-origin'], 'https://evil.example')
  t.not(foreign.headers['access-control-allow-origin'], '*')
  t.equal((await withCors.inject({ url: '/nothing', headers: KEY })).statusCode, 404)
  t.ok((await withCors.inject({ method: 'OPTIONS', url: '/nothing' })).statusCode < 500)
  // A path with an OPTIONS of its own answers browsers alike, and who is none by its route.
  for (const url of ['/api/events', `/hooks/${'A'.repeat(43)}`]) {
    const headers = { origin, 'access-control-request-method': 'POST' }
    const asked = await withCors.inject({ method: 'OPTIONS', url, headers })
    t.equal(asked.statusCode, 204, url)
    t.equal(asked.headers['access-control-allow-origin'], origin)
    t.match(asked.headers['access-control-allow-methods'], 'POST')
  }
  const handshake = await withCors.inject({
    method: 'OPTIONS',
    url: '/api/events',
    headers: { 'webhook-request-origin': 'eventemitter.example.com' },
  })
  t.match(handshake, { statusCode: 200, headers: { 'webhook-allowed-origin': 'eventemitter.example.com' } })

  const without = await app.inject({ url: '/api/plugins', headers: { ...KEY, origin } })
  t.notOk(without.headers['access-control-allow-origin'])
})

t.test('all keys of a tenant are counted together, other tenants apart', async (t) => {
  const limited = await appOn(t, databaseUrl, { env: { RATE_LIMIT_PER_MINUTE: '3' } })
  const [one, other] = [crypto.randomUUID(), crypto.randomUUID()]
  const platform = { authorization: KEY.authorization }
  const status = async (headers: Record<string, string>): Promise<number> =>
    (await limited.inject({ url: '/api/plugins', headers })).statusCode
  const made = await limited.inject({
    method: 'POST',
    url: '/api/keys',
    headers: { ...platform, 'x-tenant-id': one },
    payload: { kind: 'tenant', name: 'second', role: 'admin' },
  })
  t.equal(made.statusCode, 201, made.body)
  const { key } = made.json<{ key: string }>()
  t.equal(await status({ ...platform, 'x-tenant-id': one }), 200)
  t.equal(await status({ authorization: `Bearer ${key}` }), 200)
  t.equal(await status({ authorization: `Bearer ${key}` }), 429)
  t.equal(await status({ ...platform, 'x-tenant-id': other }), 200)
})

t.test('a body that nobody has a use for is not read', async (t) => {
  const large = `{"a":"${'x'.repeat(2 * 1024 * 1024)}"}`
  const id = crypto.randomUUID()
  for (const payload of [large, 'not JSON', '{"a":1,"a":2}']) {
    const send = (method: 'POST' | 'PUT', url: string, headers: Record<string, string> = {}) =>
      app.inject({ method, url, payload, headers: { 'content-type': 'application/json', ...headers } })
    t.match((await send('POST', '/nothing')).json(), { code: 'route_not_found' })
    t.match((await send('POST', '/nothing', KEY)).json(), { code: 'route_not_found' })
    t.match((await send('PUT', '/api/events')).json(), { code: 'method_not_allowed' })
    t.match((await send('POST', `/api/actions/${id}/complete`)).json(), { code: 'invocation_not_found' })
    const made = { 'x-completion-token': 'made-up' }
    t.match((await send('POST', `/api/actions/${id}/complete`, made)).json(), {
      code: 'invocation_not_found',
    })
    const long = { 'x-completion-token': 'x'.repeat(4_000) }
    t.match((await send('POST', `/api/actions/${id}/complete`, long)).json(), {
      code: 'invocation_not_found',
    })
    t.match((await send('POST', `/hooks/${'x'.repeat(30)}`)).json(), { code: 'inlet_not_found' })
    t.match((await send('POST', '/api/events')).json(), { code: 'unauthenticated' })
  }
})

t.test('a statement or a lock that takes too long is a 503, never a 500', async (t) => {
  const slow = await appOn(t, databaseUrl, {}, (instance) => {
    const config = { access: { role: 'public' } } as const
    instance.get('/slow', { config }, async () =>
      instance.db.transaction().execute(async (trx) => {
        await sql`set local statement_timeout = '20ms'`.execute(trx)
        await sql`select pg_sleep(5)`.execute(trx)
      }),
    )
  })
  const answered = await slow.inject('/slow')
  t.equal(answered.statusCode, 503)
  t.match(answered.json(), { code: 'overloaded' })
  t.ok(answered.headers['retry-after'])
})

t.test('who asks too often is told when to come back; health and metrics are not counted', async (t) => {
  const limited = await appOn(t, databaseUrl, { env: { RATE_LIMIT_PER_MINUTE: '3' } })
  for (let i = 0; i < 3; i++)
    t.equal((await limited.inject({ url: '/api/plugins', headers: KEY })).statusCode, 200)
  const refused = await limited.inject({ url: '/api/plugins', headers: KEY })
  t.equal(refused.statusCode, 429)
  t.equal(refused.json<{ code: string }>().code, 'rate_limited')
  t.ok(Number(refused.headers['retry-after']) > 0 && Number(refused.headers['retry-after']) <= 60)
  for (let i = 0; i < 10; i++) t.equal((await limited.inject('/health/live')).statusCode, 200)
  t.equal((await limited.inject({ url: '/metrics', headers: KEY })).statusCode, 200)
})

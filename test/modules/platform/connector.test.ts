import t from 'tap'
import { BREAKER_BASE_MS } from '#lib/async/backoff.ts'
import { createEgress, parseEgressAllow } from '#infra/egress/index.ts'
import { startApp } from '#test/support/app.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { type PlatformCall, PlatformConnector } from '#modules/platform/connector.ts'

const TOKEN = 'tok"en\\1234567890'
const CALL = { method: 'POST', path: '/api/products', body: { title: 'Hat' }, idempotencyKey: 'e:k' }

t.test(
  'a call carries the token, the tenant and the Idempotency-Key, below the path of the URL',
  async (t) => {
    const platform = await startReceiver(t)
    const { app } = await startApp(t, {
      env: { PLATFORM_URL: `${platform.url}/v1/`, PLATFORM_TOKEN: 'secret-token', HTTPS_ONLY: 'true' },
    })
    const tenantId = crypto.randomUUID()
    t.match(await app.platform.call(tenantId, { ...CALL, causationDepth: 3 }), {
      ok: true,
      status: 204,
      data: null,
    })
    t.match(platform.received, [
      {
        method: 'POST',
        path: '/v1/api/products',
        headers: {
          authorization: 'Bearer secret-token',
          'x-tenant-id': tenantId,
          'idempotency-key': 'e:k',
          'x-causation-depth': '3',
          'content-type': 'application/json',
        },
        body: '{"title":"Hat"}',
      },
    ])
    await app.platform.call(tenantId, CALL)
    t.notOk('x-causation-depth' in (platform.received[1]?.headers ?? {}))
  },
)

t.test('errors of the platform are results that a person can read', async (t) => {
  const platform = await startReceiver(t)
  const { app } = await startApp(t, { env: { PLATFORM_URL: platform.url } })
  const answers: [number, string, object][] = [
    [
      404,
      '{"error":{"code":"not_found","message":"No such product."}}',
      { code: 'http_4xx', message: 'No such product.' },
    ],
    [
      422,
      '{"title":"Bad","detail":"The price is negative."}',
      { code: 'http_4xx', message: 'The price is negative.' },
    ],
    [400, '{"message":"Say it again."}', { code: 'http_4xx', message: 'Say it again.' }],
    [403, '<h1>Forbidden</h1>', { code: 'http_4xx', message: 'The answer was 403' }],
    [500, '', { code: 'http_5xx', transient: true }],
    [429, '{}', { code: 'http_4xx', transient: true }],
    [301, '', { code: 'redirect', transient: false }],
    [200, '<h1>Welcome</h1>', { code: 'invalid_response', message: 'The answer is not JSON.' }],
  ]
  for (const [status, body, expected] of answers) {
    platform.answer((_received, response) => response.writeHead(status, { location: '/x' }).end(body))
    t.match(await app.platform.call(crypto.randomUUID(), CALL), {
      ok: false,
      status,
      bytesSent: true,
      ...expected,
    })
  }
})

t.test('the token is in no result, wherever the platform repeats it', async (t) => {
  const platform = await startReceiver(t)
  const { app } = await startApp(t, { env: { PLATFORM_URL: platform.url, PLATFORM_TOKEN: TOKEN } })
  const bearer = `Bearer ${TOKEN}`
  const long = `${'x'.repeat(490)}${TOKEN}`
  const bodies: [number, string][] = [
    [200, JSON.stringify({ headers: { authorization: bearer }, [TOKEN]: [TOKEN, { deep: bearer }] })],
    [200, `{"escaped":"${TOKEN.replaceAll(/./g, escaped)}"}`],
    [200, bearer],
    [401, JSON.stringify({ message: `Bad token ${TOKEN}` })],
    [500, JSON.stringify({ error: long })],
    [400, bearer],
  ]
  for (const [status, body] of bodies) {
    platform.answer((_received, response) => response.writeHead(status).end(body))
    const text = JSON.stringify(await app.platform.call(crypto.randomUUID(), CALL))
    for (const part of ['tok\\"', '34567']) t.notOk(text.includes(part), `${part} in ${text}`)
  }
  platform.answer((_received, response) => response.writeHead(200).end('{"id":12345678901234567890}'))
  t.match(JSON.stringify(await app.platform.call(crypto.randomUUID(), CALL)), '12345678901234567890')
})

t.test('a short or numeric token takes nothing but itself out', async (t) => {
  const platform = await startReceiver(t)
  const { app } = await startApp(t, { env: { PLATFORM_URL: platform.url, PLATFORM_TOKEN: '4711' } })
  platform.answer((_received, response) =>
    response.writeHead(200).end('{"a":4711,"b":14711,"c":true,"d":"x4711","e":4711.5}'),
  )
  t.match(await app.platform.call(crypto.randomUUID(), CALL), {
    data: { a: 0, b: 14711, c: true, d: 'x0', e: 4711.5 },
  })
})

t.test('a path that would leave the API is not called', async (t) => {
  const platform = await startReceiver(t)
  const { app } = await startApp(t, { env: { PLATFORM_URL: `${platform.url}/v1` } })
  for (const path of [
    '/api/../../admin',
    '/api/products/..',
    '/a\\b',
    '/a?b',
    '/a#b',
    '@evil/',
    ':80@evil/',
  ]) {
    const result = await app.platform.call(crypto.randomUUID(), { ...CALL, path })
    t.match(result, { ok: false, code: 'blocked', transient: false, bytesSent: false }, path)
  }
  t.equal(platform.received.length, 0)
})

t.test('without a PLATFORM_URL a call says what to set', async (t) => {
  const { app } = await startApp(t)
  t.match(await app.platform.call(crypto.randomUUID(), CALL), {
    ok: false,
    code: 'platform_not_configured',
    transient: false,
    bytesSent: false,
  })
})

t.test('a platform that does not answer is given a pause, and one call tries again', async (t) => {
  const platform = await startReceiver(t)
  const egress = createEgress({ allow: parseEgressAllow('127.0.0.1'), dnsServers: [], httpsOnly: false })
  t.teardown(() => egress.close())
  let now = 0
  const connector = new PlatformConnector(() => now)
  const [tenant, other] = [crypto.randomUUID(), crypto.randomUUID()]
  const call = (fields: Partial<PlatformCall> = {}, tenantId = tenant) =>
    connector.call(tenantId, { url: platform.url, token: null, egress }, { ...CALL, ...fields })
  const calls = async (count: number, fields: Partial<PlatformCall> = {}) => {
    for (let n = 0; n < count; n++) await call(fields)
    return platform.received.length
  }

  platform.answer(500)
  t.equal(await calls(9), 9, 'a 500 is an answer')
  platform.answer(() => undefined)
  t.equal(await calls(9, { timeoutMs: 20 }), 18, 'a caller in a hurry says nothing of its health')

  platform.answer(503)
  t.equal(await calls(5), 23)
  t.match(await call(), {
    ok: false,
    code: 'breaker_open',
    transient: true,
    bytesSent: false,
    retryAfterMs: BREAKER_BASE_MS,
  })
  now += BREAKER_BASE_MS
  t.match(await Promise.all([call(), call()]), [{ code: 'http_5xx' }, { code: 'breaker_open' }], 'one tries')
  t.equal(platform.received.length, 24)
  now += BREAKER_BASE_MS
  t.match(await call(), { code: 'breaker_open' }, 'the second pause is longer')
  now += BREAKER_BASE_MS
  platform.answer(204)
  t.match(await call(), { ok: true })
  t.equal(await calls(5), 30)

  platform.answer(503)
  await calls(5)
  t.match(await call(), { code: 'breaker_open' })
  platform.answer(204)
  t.match(await call({}, other), { ok: true }, 'the pause is of the tenant whose calls failed')
})

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

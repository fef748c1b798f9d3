import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { BodyStart, readHeaders, readRetryAfter } from '#infra/egress/response.ts'
import { createEgress, type EgressResponse, parseEgressAllow } from '#infra/egress/index.ts'

async function answerTo(
  t: Test,
  listener: RequestListener,
  maxResponseBytes?: number,
  secrets?: readonly string[],
): Promise<EgressResponse> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const egress = createEgress({ allow: parseEgressAllow('127.0.0.1'), dnsServers: [], httpsOnly: false })
  t.teardown(async () => {
    await egress.close()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  return egress.request({ method: 'GET', url, headers: {}, timeoutMs: 3_000, maxResponseBytes, secrets })
}

t.test('headers come in lower case, joined where repeated, bounded in number and size', async (t) => {
  const response = await answerTo(t, (_request, reply) => {
    reply.setHeader('X-Long', 'a'.repeat(5_000))
    reply.setHeader('Set-Cookie', ['a=1', 'b=2'])
    reply.setHeader('constructor', 'c')
    reply.setHeader('__proto__', 'd')
    for (let index = 0; index < 100; index += 1) reply.setHeader(`x-${index}`, 'v')
    reply.end()
  })
  t.equal(response.headers['x-long'], 'a'.repeat(1_024))
  t.equal(response.headers['set-cookie'], 'a=1, b=2')
  t.equal(response.headers['constructor'], 'c')
  t.ok(Object.keys(response.headers).length <= 50)
  t.equal(Object.getPrototypeOf(response.headers), Object.prototype)
})

t.test('a header whose name is absurdly long is left out', async (t) => {
  t.same(readHeaders([Buffer.from('n'.repeat(129)), Buffer.from('v'), Buffer.from('A'), Buffer.from('b')]), {
    a: 'b',
  })
})

t.test('a body is UTF-8 that Postgres can store', async (t) => {
  const response = await answerTo(t, (_request, reply) => {
    reply.end(Buffer.from([0x61, 0x00, 0xff, 0xc3, 0xbc]))
  })
  t.equal(response.body, 'a\ufffd\ufffdü')
  t.equal(response.truncated, false)
})

t.test('a body is never longer than asked for, replacements and split characters included', async (t) => {
  for (const content of [Buffer.alloc(100, 0xff), Buffer.from('ü'.repeat(50)), Buffer.from('€'.repeat(40))]) {
    const response = await answerTo(t, (_request, reply) => void reply.end(content), 64)
    t.ok(Buffer.byteLength(response.body) <= 64)
    t.equal(response.truncated, true)
    t.equal(response.errorClass, 'response_too_large')
  }
  const exact = await answerTo(t, (_request, reply) => void reply.end('x'.repeat(64)), 64)
  t.match(exact, { ok: true, truncated: false, errorClass: null, body: 'x'.repeat(64) })
})

t.test('a body in many pieces is put together', async (t) => {
  const body = new BodyStart(1_000)
  const pieces = Array.from({ length: 1_200 }, (_, index) => String(index % 10))
  for (const piece of pieces) body.append(Buffer.from(piece))
  t.same(body.read(), { text: pieces.slice(0, 1_000).join(''), cut: false })
  t.same(new BodyStart(10).read(), { text: '', cut: false })
})

t.test('the pieces of a body are copied, not written over', async (t) => {
  const first = Buffer.from('abc')
  const body = new BodyStart(100)
  body.append(first.subarray(0, 1))
  body.append(Buffer.from('XY'))
  t.equal(body.read().text, 'aXY')
  t.equal(first.toString(), 'abc')
})

t.test('HEAD with an announced length is complete without a body', async (t) => {
  const server = createServer((_request, reply) => {
    reply.setHeader('content-length', 1_000_000)
    reply.end()
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const egress = createEgress({ allow: parseEgressAllow('127.0.0.1'), dnsServers: [], httpsOnly: false })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  t.match(await egress.request({ method: 'HEAD', url, headers: {}, timeoutMs: 3_000 }), {
    ok: true,
    body: '',
    truncated: false,
    errorClass: null,
  })
  await egress.close()
  server.close()
})

t.test('Retry-After is read as seconds or as a date', async (t) => {
  const now = Date.parse('2026-01-01T00:00:00Z')
  t.equal(readRetryAfter('120', now), 120_000)
  t.equal(readRetryAfter(' 0 ', now), 0)
  t.equal(readRetryAfter('Thu, 01 Jan 2026 00:01:00 GMT', now), 60_000)
  t.equal(readRetryAfter('Thursday, 01-Jan-26 00:01:00 GMT', now), 60_000)
  t.equal(readRetryAfter('Wed, 31 Dec 2025 00:00:00 GMT', now), 0, 'a date that is over means now')
  t.equal(readRetryAfter('9'.repeat(500), now), Number.MAX_SAFE_INTEGER)
  for (const text of ['', '-1', '1.5', 'soon', 'in 5', '2026-01-01', 'Foo, 99 Bar 2026']) {
    t.equal(readRetryAfter(text, now), null, text)
  }
  t.equal(readRetryAfter(undefined, now), null)
})

t.test('Retry-After reaches the caller with any status', async (t) => {
  const response = await answerTo(t, (_request, reply) => {
    reply.writeHead(429, { 'retry-after': '86400' }).end()
  })
  t.match(response, { errorClass: 'http_4xx', status: 429, retryAfterMs: 86_400_000 })
})

t.test('a redirect says where to, without what may be secret', async (t) => {
  const to = async (location: string | undefined): Promise<unknown> =>
    (
      await answerTo(t, (_request, reply) =>
        reply.writeHead(302, location === undefined ? {} : { location }).end(),
      )
    ).errorDetail
  t.match(
    await to('https://user:pw@other.example/hooks?token=secret#x'),
    / 302 to https:\/\/other\.example\/hooks;/,
  )
  t.notMatch(await to('https://user:pw@other.example/hooks?token=secret'), /pw|secret/)
  t.match(await to('/login/'), / 302 to http:\/\/127\.0\.0\.1:\d+\/login\/;/)
  t.match(await to(undefined), /The answer was 302; redirects/)
  t.ok(String(await to(`/${'x'.repeat(2_000)}`)).length < 500)
})

t.test('what the other side repeats of the secrets that it was sent is taken out everywhere', async (t) => {
  const response = await answerTo(
    t,
    (_request, reply) =>
      reply.writeHead(302, { location: '/s3cret', 'x-a': 'a s3cret' }).end('s3cret'.repeat(5)),
    32,
    ['s3cret'],
  )
  t.match(response, { headers: { location: '/[redacted]', 'x-a': 'a [redacted]' } })
  t.equal(response.body, '[redacted][redacted][redacted][redacted]'.slice(0, 32), 'no longer than asked for')
  t.match(response.errorDetail, /\/\[redacted\]/)
  t.notMatch(JSON.stringify(response), 's3cret')
})

t.test('no part of a secret is left where a limit cuts it', async (t) => {
  const secret = 'the-secret-of-the-shop'
  const near = (limit: number): string => 'x'.repeat(limit - 10) + secret
  const response = await answerTo(
    t,
    (_request, reply) =>
      reply.writeHead(302, { location: `/${near(300)}`, 'x-a': near(1_024) }).end(near(64) + 'y'.repeat(64)),
    64,
    [secret],
  )
  t.equal(response.headers['x-a'], 'x'.repeat(1_014))
  t.equal(response.body, 'x'.repeat(54))
  t.equal(response.truncated, true)
  t.match(response.errorDetail, /xxxx/)
  t.notMatch(JSON.stringify(response), /the-|secret/)
})

t.test('no part of a secret is left where an answer broke off', async (t) => {
  const secret = 'the-secret-of-the-shop'
  const begin = (reply: ServerResponse): ServerResponse => {
    reply.writeHead(200, { 'content-length': '100' }).write('all of the-secret-of-the-shop, some of the-sec')
    return reply
  }
  const body = 'all of [redacted], some of '
  const reset = await answerTo(t, (_request, reply) => void begin(reply).socket?.end(), 64, [secret])
  t.match(reset, { ok: false, status: 200, truncated: false })
  t.equal(reset.body, body)
  const late = await answerTo(t, (_request, reply) => void begin(reply), 64, [secret])
  t.match(late, { ok: false, status: 200, errorClass: 'timeout', truncated: false })
  t.equal(late.body, body)
})

t.test('an answer that got too long by what stands in place of secrets is told to be cut', async (t) => {
  const secrets = ['s3cret']
  const answer = async (body: string): Promise<Partial<EgressResponse>> =>
    answerTo(t, (_request, reply) => reply.end(body), 32, secrets)
  t.match(await answer('s3cret'.repeat(5)), { ok: true, truncated: true })
  t.match(await answer('s3cret and s'), { ok: true, truncated: false, body: '[redacted] and s' })
})

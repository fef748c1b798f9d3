import Fastify from 'fastify'
import t from 'tap'
import egressPlugin, { createEgress, type EgressOptions, parseEgressAllow } from '#infra/egress/index.ts'
import { startDnsServer } from '#test/support/dns-server.ts'
import { startHostileReceiver } from '#test/support/hostile-receiver.ts'
import { eventually } from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'

const OPTIONS: EgressOptions = { allow: parseEgressAllow('127.0.0.0/8'), dnsServers: [], httpsOnly: false }
const POST = { method: 'POST', headers: {}, body: '{}', timeoutMs: 3_000 } as const

t.test('one connection serves many requests in a row', async (t) => {
  const receiver = await startHostileReceiver('ok')
  const egress = createEgress(OPTIONS)
  for (let left = 20; left > 0; left -= 1) {
    t.match(await egress.request({ ...POST, url: receiver.url }), { ok: true, body: 'ok' })
  }
  t.equal(receiver.requests, 20)
  t.equal(receiver.connections, 1)
  await egress.close()
  await receiver.close()
})

t.test('TLS connections are kept too, and carry the name that was asked for', async (t) => {
  const receiver = await startHostileReceiver('tls_ok')
  const dns = await startDnsServer(() => ['127.0.0.1'])
  const egress = createEgress({ ...OPTIONS, dnsServers: [dns.address], ca: receiver.ca })
  const url = `https://hooks.test.:${receiver.port}/`
  for (let left = 3; left > 0; left -= 1) t.match(await egress.request({ ...POST, url }), { ok: true })
  t.equal(receiver.connections, 1)
  const wrong = await egress.request({ ...POST, url: `https://other.test:${receiver.port}/` })
  t.match(wrong, {
    errorClass: 'tls_error',
    errorDetail: 'The certificate is for another host',
    bytesSent: false,
  })
  await egress.close()
  const strict = createEgress({ ...OPTIONS, dnsServers: [dns.address] })
  t.match(await strict.request({ ...POST, url }), { errorClass: 'tls_error' }, 'its authority is not trusted')
  await strict.close()
  await Promise.all([dns.close(), receiver.close()])
})

t.test('speaking TLS to a receiver that does not is a tls_error', async (t) => {
  const plain = Fastify()
  const url = (await plain.listen({ host: '127.0.0.1', port: 0 })).replace('http:', 'https:')
  const egress = createEgress(OPTIONS)
  t.match(await egress.request({ ...POST, url }), { errorClass: 'tls_error', bytesSent: false })
  await egress.close()
  await plain.close()
})

t.test('requests beyond the connection limit wait and are all served', async (t) => {
  const receiver = await startHostileReceiver('ok')
  const egress = createEgress({ ...OPTIONS, maxConnectionsPerOrigin: 2 })
  const fifty = Array.from({ length: 50 }, () => egress.request({ ...POST, url: receiver.url }))
  t.ok((await Promise.all(fifty)).every(({ ok }) => ok))
  t.equal(receiver.connections, 2)
  t.equal(receiver.requests, 50)
  await egress.close()
  await receiver.close()
})

t.test('the deadline counts while a request waits for a connection', async (t) => {
  const receiver = await startHostileReceiver('hang')
  const egress = createEgress({ ...OPTIONS, maxConnectionsPerOrigin: 1 })
  const first = egress.request({ ...POST, url: receiver.url, timeoutMs: 3_000 })
  await eventually('requests have come', () => receiver.requests === 1)
  const second = await egress.request({ ...POST, url: receiver.url, timeoutMs: 100 })
  t.match(second, { errorClass: 'connect_timeout', bytesSent: false })
  await egress.close()
  t.match(await first, { errorClass: 'reset', bytesSent: true })
  t.equal(receiver.requests, 1)
  await receiver.close()
})

t.test('a failed connection does not hold up those that wait behind it', async (t) => {
  const receiver = await startHostileReceiver('reset')
  const egress = createEgress({ ...OPTIONS, maxConnectionsPerOrigin: 1 })
  const ten = Array.from({ length: 10 }, () => egress.request({ ...POST, url: receiver.url }))
  t.ok((await Promise.all(ten)).every(({ errorClass }) => errorClass === 'reset'))
  t.equal(receiver.requests, 10)
  await receiver.close()
  const refused = Array.from({ length: 10 }, () => egress.request({ ...POST, url: receiver.url }))
  t.ok((await Promise.all(refused)).every(({ errorClass }) => errorClass === 'connect_refused'))
  await egress.close()
})

t.test('a kept connection that the peer closes on reuse is replaced within the same request', async (t) => {
  const receiver = await startHostileReceiver('stale_keep_alive')
  const egress = createEgress(OPTIONS)
  t.match(await egress.request({ ...POST, url: receiver.url }), { ok: true })
  t.match(await egress.request({ ...POST, url: receiver.url }), { ok: true, bytesSent: true })
  t.equal(receiver.connections, 2)
  t.equal(receiver.requests, 3, 'the second request arrived twice')
  await egress.close()
  await receiver.close()
})

t.test('a close on a fresh connection is a failure, not a reason to send again', async (t) => {
  const receiver = await startHostileReceiver('close')
  const egress = createEgress(OPTIONS)
  t.match(await egress.request({ ...POST, url: receiver.url }), { errorClass: 'reset', bytesSent: true })
  t.equal(receiver.requests, 1)
  await egress.close()
  await receiver.close()
})

t.test('idle connections are closed after a while', async (t) => {
  const receiver = await startHostileReceiver('ok')
  const egress = createEgress(OPTIONS)
  await egress.request({ ...POST, url: receiver.url })
  t.equal(receiver.open, 1)
  await eventually('connections are closed', () => receiver.open === 0)
  t.match(await egress.request({ ...POST, url: receiver.url }), { ok: true })
  await egress.close()
  await receiver.close()
})

t.test('a request can be cancelled before and while it runs', async (t) => {
  const receiver = await startHostileReceiver('hang')
  const egress = createEgress(OPTIONS)
  t.match(await egress.request({ ...POST, url: receiver.url, signal: AbortSignal.abort() }), {
    errorClass: 'connect_timeout',
    bytesSent: false,
  })
  t.equal(receiver.connections, 0)
  const cancel = new AbortController()
  const running = egress.request({ ...POST, url: receiver.url, signal: cancel.signal })
  await eventually('requests have come', () => receiver.requests === 1)
  cancel.abort()
  t.match(await running, { errorClass: 'timeout', bytesSent: true })
  await eventually('connections are closed', () => receiver.open === 0)
  await egress.close()
  await receiver.close()
})

t.test('headers that are the door’s own or malformed are refused, and nothing is sent', async (t) => {
  const receiver = await startHostileReceiver('ok')
  const egress = createEgress(OPTIONS)
  const cases = [
    { Host: 'internal' },
    { connection: 'close' },
    { 'Accept-Encoding': 'gzip' },
    { 'transfer-encoding': 'chunked' },
    { expect: '100-continue' },
    { 'content-length': '1' },
    { 'x-a': 'b\r\nx-injected: c' },
    { 'x a': 'b' },
  ]
  for (const headers of cases) {
    const response = await egress.request({ ...POST, url: receiver.url, headers })
    t.match(response, { errorClass: 'protocol_error', bytesSent: false }, JSON.stringify(headers))
    t.match(response.errorDetail, /^The request /)
  }
  t.match(await egress.request({ ...POST, url: receiver.url, method: 'CONNECT' }), {
    errorClass: 'protocol_error',
  })
  t.equal(receiver.requests, 0)
  t.match(await egress.request({ ...POST, url: receiver.url }), { ok: true })
  await egress.close()
  await receiver.close()
})

t.test('the request arrives as given: method, path, query, body bytes', async (t) => {
  const receiver = await startHostileReceiver('ok')
  const egress = createEgress(OPTIONS)
  await egress.request({
    method: 'PUT',
    url: `${receiver.url}/a%20b?x=1&y=ü#fragment`,
    headers: { 'webhook-id': 'msg_1' },
    body: '{"a":"ü"}',
    timeoutMs: 3_000,
  })
  t.match(receiver.received, /^PUT \/hook\/a%20b\?x=1&y=%C3%BC HTTP\/1\.1\r\n/)
  t.match(receiver.received, /webhook-id: msg_1\r\n/)
  t.ok(Buffer.from(receiver.received, 'latin1').toString().endsWith('content-length: 10\r\n\r\n{"a":"ü"}'))
  await egress.close()
  await receiver.close()
})

t.test('close ends what is under way, may be called twice, and nothing starts afterwards', async (t) => {
  const receiver = await startHostileReceiver('hang')
  const egress = createEgress({ ...OPTIONS, maxConnectionsPerOrigin: 3 })
  const running = Array.from({ length: 10 }, () => egress.request({ ...POST, url: receiver.url }))
  await eventually('requests have come', () => receiver.requests === 3)
  await Promise.all([egress.close(), egress.close()])
  const responses = await Promise.all(running)
  t.same(new Set(responses.map(({ errorClass }) => errorClass)), new Set(['reset']))
  t.equal(responses.filter(({ bytesSent }) => bytesSent).length, 3)
  t.match(await egress.request({ ...POST, url: receiver.url }), { errorClass: 'reset', bytesSent: false })
  await eventually('connections are closed', () => receiver.open === 0)
  t.equal(receiver.connections, 3)
  await receiver.close()
})

t.test('a slow origin does not delay another', async (t) => {
  const slow = await startHostileReceiver('hang')
  const fast = await startHostileReceiver('ok')
  const egress = createEgress(OPTIONS)
  let ended = 0
  const stuck = Array.from({ length: 200 }, () =>
    egress.request({ ...POST, url: slow.url, timeoutMs: 30_000 }).finally(() => ended++),
  )
  const responses = await Promise.all(
    Array.from({ length: 50 }, () => egress.request({ ...POST, url: fast.url })),
  )
  t.ok(responses.every(({ ok }) => ok))
  t.equal(ended, 0, 'before any of the slow ones')
  await egress.close()
  await Promise.all(stuck)
  await Promise.all([slow.close(), fast.close()])
})

t.test('as a Fastify plugin it decorates the app and closes with it', async (t) => {
  const receiver = await startHostileReceiver('ok')
  const app = Fastify()
  await app.register(egressPlugin, { egress: OPTIONS })
  t.match(await app.egress.request({ ...POST, url: receiver.url }), { ok: true })
  await app.close()
  await eventually('connections are closed', () => receiver.open === 0)
  t.match(await app.egress.request({ ...POST, url: receiver.url }), { errorClass: 'reset' })
  await receiver.close()
})

t.test('connections to one origin are shared out by party', async (t) => {
  const receiver = await startReceiver(t)
  const held: (() => void)[] = []
  receiver.answer(({ path }, response) => {
    if (path === '/held') held.push(() => response.writeHead(200).end())
    else response.writeHead(200).end()
  })
  const egress = createEgress({
    allow: parseEgressAllow('127.0.0.1'),
    dnsServers: [],
    httpsOnly: false,
    maxConnectionsPerOrigin: 10,
  })
  t.teardown(() => egress.close())
  const ask = (path: string, party: string) =>
    egress.request({ method: 'GET', url: `${receiver.url}${path}`, headers: {}, timeoutMs: 20_000, party })
  const slow = Array.from({ length: 20 }, () => ask('/held', 'a'))
  await eventually('eight are held', () => held.length === 8)
  for (const party of ['b', 'c', 'b']) t.match(await ask('/quick', party), { ok: true })
  t.equal(held.length, 8, 'what it has more waits behind it')
  receiver.answer(200)
  for (const answer of held) answer()
  t.ok(
    (await Promise.all(slow)).every(({ ok }) => ok),
    'and is all done in the end',
  )
})

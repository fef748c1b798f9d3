import { generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import {
  type ClientCertificate,
  createEgress,
  type Egress,
  type EgressOptions,
  parseEgressAllow,
} from '#infra/egress/index.ts'
import { eventually } from '#test/support/deliveries.ts'
import { startMutualTlsServer } from '#test/support/mutual-tls.ts'
import { createAuthority, createCertificate } from '#test/support/tls.ts'

const authority = createAuthority('Test authority')
const POST = { method: 'POST', headers: {}, body: 'x', timeoutMs: 5_000 } as const

function openEgress(t: Test, options: Partial<EgressOptions> = {}): Egress {
  const egress = createEgress({
    allow: parseEgressAllow('127.0.0.1'),
    dnsServers: [],
    httpsOnly: false,
    ca: authority.cert,
    ...options,
  })
  t.teardown(() => egress.close())
  return egress
}

function certificateOf(owner: string, issuer = authority): ClientCertificate {
  const { cert, key } = createCertificate({ names: [owner], issuer })
  return { id: owner, chain: cert, key }
}

for (const version of ['TLSv1.3', 'TLSv1.2'] as const) {
  const only = { minVersion: version, maxVersion: version } as const

  t.test(`a server that wants a client certificate is a tls_error, by ${version}`, async (t) => {
    const server = await startMutualTlsServer(t, authority, only)
    const response = await openEgress(t).request({ ...POST, url: server.url })
    t.match(response, { ok: false, status: null, errorClass: 'tls_error' })
    t.match(response.errorDetail, /asks for a client certificate/)
  })

  t.test(
    `a client certificate is presented, and kept connections are used again, by ${version}`,
    async (t) => {
      const server = await startMutualTlsServer(t, authority, only)
      const egress = openEgress(t)
      const clientCertificate = certificateOf('plugin-a')
      for (let left = 5; left > 0; left -= 1) {
        t.match(await egress.request({ ...POST, url: server.url, clientCertificate }), { status: 204 })
      }
      t.strictSame(
        server.requests.map(({ client, connection }) => [client, connection]),
        Array.from({ length: 5 }, () => ['plugin-a', 1]),
      )
    },
  )

  t.test(`a certificate of another authority is refused, and told of, by ${version}`, async (t) => {
    const server = await startMutualTlsServer(t, authority, only)
    const clientCertificate = certificateOf('stranger', createAuthority('Another authority'))
    const response = await openEgress(t).request({ ...POST, url: server.url, clientCertificate })
    t.match(response, { ok: false, status: null, errorDetail: /not accept the client certificate/ })
    t.equal(server.requests.length, 0)
  })
}

t.test('an RSA key and a chain by an authority between are presented', async (t) => {
  const server = await startMutualTlsServer(t, authority)
  const between = createAuthority('Authority between', authority)
  const keys = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const own = createCertificate({ names: ['plugin-rsa'], issuer: between, keys })
  const clientCertificate = { id: 'rsa', chain: own.cert + between.cert, key: own.key }
  t.match(await openEgress(t).request({ ...POST, url: server.url, clientCertificate }), { status: 204 })
  t.match(server.requests, [{ client: 'plugin-rsa' }])
})

t.test('owners at one host share neither connections nor TLS sessions, whoever asks first', async (t) => {
  const server = await startMutualTlsServer(t, authority, { rejectUnauthorized: false })
  const egress = openEgress(t)
  const a = certificateOf('plugin-a')
  const b = certificateOf('plugin-b')
  const sameAsA = { ...a, id: 'plugin-c' }
  const askers = [a, b, sameAsA, undefined]
  for (let turn = 0; turn < 3; turn++) {
    await Promise.all(
      askers.map((clientCertificate) =>
        egress.request({
          ...POST,
          url: `${server.url}/${clientCertificate?.id ?? 'nobody'}`,
          clientCertificate,
        }),
      ),
    )
  }
  t.equal(server.requests.length, 12)
  const byConnection = Map.groupBy(server.requests, ({ connection }) => connection)
  t.equal(byConnection.size, 4)
  for (const [, requests] of byConnection) {
    t.equal(new Set(requests.map(({ path }) => path)).size, 1, 'one connection, one owner')
  }
  t.strictSame([...new Set(server.requests.map(({ path, client }) => `${path} ${client ?? ''}`))].sort(), [
    '/nobody ',
    '/plugin-a plugin-a',
    '/plugin-b plugin-b',
    '/plugin-c plugin-a',
  ])
  t.equal(server.resumed(), 0)
})

t.test(
  'a certificate that takes the place of another goes by new connections, while old ones are busy',
  async (t) => {
    const server = await startMutualTlsServer(t, authority)
    const egress = openEgress(t)
    const before = certificateOf('before')
    const after = certificateOf('after')
    let release = (): void => undefined
    server.answer((request, response) => {
      if (request.path !== '/slow') response.writeHead(204).end()
      else release = () => response.writeHead(204).end()
    })
    t.match(await egress.request({ ...POST, url: server.url, clientCertificate: before }), { status: 204 })
    const slow = egress.request({ ...POST, url: `${server.url}/slow`, clientCertificate: before })
    await eventually('the slow request has come', () => server.requests.length === 2)
    t.match(await egress.request({ ...POST, url: server.url, clientCertificate: after }), { status: 204 })
    release()
    t.match(await slow, { status: 204 })
    t.match(await egress.request({ ...POST, url: server.url, clientCertificate: after }), { status: 204 })
    t.strictSame(
      server.requests.map(({ client, connection }) => [client, connection]),
      [
        ['before', 1],
        ['before', 1],
        ['after', 2],
        ['after', 2],
      ],
    )
  },
)

t.test('a redirect takes the certificate nowhere', async (t) => {
  const [first, second] = [await startMutualTlsServer(t, authority), await startMutualTlsServer(t, authority)]
  first.answer((_request, response) => response.writeHead(307, { location: second.url }).end())
  const clientCertificate = certificateOf('plugin-a')
  t.match(await openEgress(t).request({ ...POST, url: first.url, clientCertificate }), {
    status: 307,
    errorClass: 'redirect',
  })
  t.equal(second.requests.length, 0)
})

t.test('beyond the bound the certificate that was idle longest gives up its connections', async (t) => {
  const server = await startMutualTlsServer(t, authority)
  const egress = openEgress(t, { maxCertified: 2 })
  const [a, b, c] = ['a', 'b', 'c'].map((owner) => certificateOf(owner))
  for (const clientCertificate of [a, b, c, b, a]) {
    t.match(await egress.request({ ...POST, url: server.url, clientCertificate }), { status: 204 })
  }
  t.strictSame(
    server.requests.map(({ client, connection }) => [client, connection]),
    [
      ['a', 1],
      ['b', 2],
      ['c', 3],
      ['b', 2],
      ['a', 4],
    ],
  )
})

t.test('http knows no certificates', async (t) => {
  const server = createServer((_request, response) => response.end())
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  t.teardown(() => server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  t.match(await openEgress(t).request({ ...POST, url, clientCertificate: certificateOf('a') }), {
    status: 200,
  })
})

t.test('a certificate that OpenSSL does not take is a tls_error', async (t) => {
  const server = await startMutualTlsServer(t, authority)
  const broken = { ...certificateOf('a'), key: certificateOf('b').key }
  t.match(await openEgress(t).request({ ...POST, url: server.url, clientCertificate: broken }), {
    errorClass: 'tls_error',
    errorDetail: /The client certificate cannot be used/,
    bytesSent: false,
  })
})

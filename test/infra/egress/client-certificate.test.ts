import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { createEgress, type EgressResponse, parseEgressAllow } from '#infra/egress/index.ts'
import { createAuthority, createCertificate } from '#test/support/tls.ts'

async function askServer(t: Test, version: 'TLSv1.2' | 'TLSv1.3'): Promise<EgressResponse> {
  const authority = createAuthority('Test authority')
  const { cert, key } = createCertificate({ names: ['127.0.0.1'], issuer: authority })
  const server = createServer(
    { cert, key, ca: authority.cert, requestCert: true, minVersion: version, maxVersion: version },
    (_request, response) => response.end(),
  )
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const egress = createEgress({
    allow: parseEgressAllow('127.0.0.1'),
    dnsServers: [],
    httpsOnly: false,
    ca: authority.cert,
  })
  t.teardown(async () => {
    await egress.close()
    server.close()
  })
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/`
  return egress.request({ method: 'POST', url, headers: {}, body: 'x', timeoutMs: 5_000 })
}

for (const version of ['TLSv1.3', 'TLSv1.2'] as const) {
  t.test(`a server that wants a client certificate is a tls_error, by ${version}`, async (t) => {
    const response = await askServer(t, version)
    t.match(response, { ok: false, status: null, errorClass: 'tls_error' })
    if (version === 'TLSv1.3') t.match(response.errorDetail, /asks for a client certificate/)
  })
}

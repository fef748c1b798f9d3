import t from 'tap'
import {
  createEgress,
  type Egress,
  type EgressErrorClass,
  type EgressRequest,
  parseEgressAllow,
} from '#infra/egress/index.ts'
import { type HostileKind, startHostileReceiver } from '#test/support/hostile-receiver.ts'
import { eventually } from '#test/support/deliveries.ts'

/** Of those that are to run into it, and of all others: a busy machine may take seconds for an answer. */
const TIMEOUT_MS = 400
const PATIENT_TIMEOUT_MS = 30_000

function loopbackEgress(ca = ''): Egress {
  return createEgress({
    allow: parseEgressAllow('127.0.0.0/8'),
    dnsServers: [],
    httpsOnly: false,
    ca: ca === '' ? undefined : ca,
  })
}

const POST: Omit<EgressRequest, 'url'> = {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: '{"event":"product.created"}',
  timeoutMs: PATIENT_TIMEOUT_MS,
}

interface Expected {
  ok: boolean
  status: number | null
  errorClass: EgressErrorClass | null
  bytesSent: boolean
  body?: string
  truncated?: boolean
}

const sent = (errorClass: EgressErrorClass, status: number | null = null): Expected => ({
  ok: false,
  status,
  errorClass,
  bytesSent: true,
})
const unsent = (errorClass: EgressErrorClass): Expected => ({ ...sent(errorClass), bytesSent: false })
const CUT = {
  ok: true,
  status: 200,
  errorClass: 'response_too_large',
  bytesSent: true,
  truncated: true,
} as const

const EXPECTED: Partial<Record<HostileKind, Expected>> = {
  ok: { ok: true, status: 200, errorClass: null, bytesSent: true, body: 'ok' },
  no_content: { ok: true, status: 204, errorClass: null, bytesSent: true, body: '' },
  status_307: sent('redirect', 307),
  status_404: { ...sent('http_4xx', 404), body: 'status 404' },
  status_410: { ...sent('http_4xx', 410), body: 'status 410' },
  status_503: { ...sent('http_5xx', 503), body: 'status 503' },
  hang: sent('timeout'),
  never_read: sent('timeout'),
  drip_headers: sent('timeout'),
  drip_body: sent('timeout', 200),
  endless_headers: sent('protocol_error'),
  huge_body: CUT,
  huge_chunked_body: CUT,
  slightly_large_body: { ...CUT, body: 'y'.repeat(16_384) },
  reset: sent('reset'),
  close: sent('reset'),
  reset_mid_body: { ...sent('reset', 200), body: 'hello' },
  close_mid_body: { ...sent('reset', 200), body: 'hello' },
  redirect_metadata: { ...sent('redirect', 302), body: 'moved' },
  redirect_loopback: { ...sent('redirect', 302), body: 'moved' },
  malformed: sent('protocol_error'),
  early_hints_flood: sent('protocol_error'),
  early_hints_only: sent('protocol_error'),
  switching_protocols: sent('protocol_error'),
  tls_ok: { ok: true, status: 200, errorClass: null, bytesSent: true, body: 'ok' },
  tls_self_signed: unsent('tls_error'),
  tls_wrong_host: unsent('tls_error'),
  tls_expired: unsent('tls_error'),
  tls_hang: unsent('connect_timeout'),
}

for (const [kind, expected] of Object.entries(EXPECTED) as [HostileKind, Expected][]) {
  t.test(`a receiver of kind ${kind} ends as ${expected.errorClass ?? 'success'}, in time`, async (t) => {
    const receiver = await startHostileReceiver(kind)
    const egress = loopbackEgress(receiver.ca)
    const isEndedByTime = /timeout/.test(expected.errorClass ?? '')
    // The headers of an answer come before its body drips.
    const timeoutMs = isEndedByTime ? TIMEOUT_MS * (expected.status === null ? 1 : 5) : PATIENT_TIMEOUT_MS
    const response = await egress.request({ ...POST, url: receiver.url, timeoutMs })
    t.match(response, expected)
    t.ok(response.durationMs < PATIENT_TIMEOUT_MS, 'by itself, or by the shorter deadline')
    t.equal(response.errorDetail === null, expected.errorClass === null, 'a failure has a detail')
    await egress.close()
    // A peer that never reads never notices the end.
    if (kind !== 'never_read') await eventually('connections are closed', () => receiver.open === 0)
    await receiver.close()
  })
}

t.test('a redirect is not followed, and its target hears nothing', async (t) => {
  const receiver = await startHostileReceiver('redirect_loopback')
  const egress = loopbackEgress()
  const response = await egress.request({ ...POST, url: receiver.url })
  t.equal(response.headers['location'], `http://127.0.0.1:${receiver.port}/redirected`)
  t.equal(receiver.requests, 1)
  await egress.close()
  await receiver.close()
})

t.test('a compressed response is asked against and never inflated', async (t) => {
  const receiver = await startHostileReceiver('gzip_bomb')
  const egress = loopbackEgress()
  const response = await egress.request({ ...POST, url: receiver.url, maxResponseBytes: 1024 * 1024 })
  t.equal(response.status, 200)
  t.equal(response.headers['content-encoding'], 'gzip')
  t.ok(response.body.length < 50_000, '10 MB stayed the 10 KB that came')
  t.match(receiver.received, /accept-encoding: identity\r\n/)
  await egress.close()
  await receiver.close()
})

t.test('a body that is a little too large costs the connection nothing, a huge one ends it', async (t) => {
  for (const [kind, connections] of [
    ['slightly_large_body', 1],
    ['huge_body', 2],
  ] as const) {
    const receiver = await startHostileReceiver(kind)
    const egress = loopbackEgress()
    for (let left = 2; left > 0; left -= 1) await egress.request({ ...POST, url: receiver.url })
    t.equal(receiver.connections, connections, kind)
    await egress.close()
    await receiver.close()
  }
})

t.test('nobody listens: connect_refused, nothing was sent', async (t) => {
  const receiver = await startHostileReceiver('ok')
  await receiver.close()
  const egress = loopbackEgress()
  const response = await egress.request({ ...POST, url: receiver.url })
  t.match(response, unsent('connect_refused'))
  t.notMatch(response.errorDetail, /127\.0\.0\.1/)
  await egress.close()
})

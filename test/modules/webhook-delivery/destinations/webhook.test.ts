import { glob, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { newId } from '#lib/ids.ts'
import type { Message } from '#modules/webhook-delivery/destinations/destination.ts'
import type { DeliveryTarget } from '#modules/webhook-delivery/destinations/targets.ts'
import { WebhookDestination } from '#modules/webhook-delivery/destinations/webhook.ts'
import { startApp } from '#test/support/app.ts'
import { startReceiver } from '#test/support/receiver.ts'

const service = await startApp(t)

/** As long as one is. */
const TOKEN = 'rKk0pQ8mE2V1yQe0nq3m1l7C5h0tJ9b6Yd4sZwXaUvE'

function destinationAt(url: string): WebhookDestination {
  const target: DeliveryTarget = {
    pluginId: newId(),
    tenantId: newId(),
    slug: 'shop',
    revision: 1,
    active: true,
    url,
    baseUrl: url,
    headers: { 'x-own': 'secret' },
    clientCertificate: null,
    secretId: null,
    keys: [{ key: Buffer.alloc(32), expiresAt: null }],
    retrySchedule: [],
    timeoutMs: 30_000,
    ratePerSecond: null,
    maxInFlight: 1,
    ordered: false,
    coalesces: false,
  }
  return new WebhookDestination(service.app.egress, target)
}

function message(): Message {
  const id = newId()
  const causation = { causationId: id, causationDepth: 1, causationToken: TOKEN }
  return { id, body: '{}', ...causation, event: 'order.created', publisher: 'platform', attempt: 1 }
}

t.test('an answer is told as what it means', async (t) => {
  const receiver = await startReceiver(t)
  const destination = destinationAt(receiver.url)
  const cases = [
    { status: 204, outcome: 'ok', isOutage: false },
    { status: 302, outcome: 'failed', isOutage: true },
    { status: 400, outcome: 'failed', isOutage: false },
    { status: 408, outcome: 'failed', isOutage: true },
    { status: 410, outcome: 'gone', isOutage: false },
    { status: 422, outcome: 'failed', isOutage: false, retryAfter: '7' },
    { status: 429, outcome: 'failed', isOutage: true },
    { status: 429, outcome: 'later', isOutage: true, retryAfter: '7' },
    { status: 500, outcome: 'failed', isOutage: true, retryAfter: '7' },
    { status: 503, outcome: 'later', isOutage: true, retryAfter: '7' },
  ]
  for (const { status, outcome, isOutage, retryAfter } of cases) {
    receiver.answer((_received, response) => {
      response
        .writeHead(status, {
          ...(retryAfter !== undefined && { 'retry-after': retryAfter }),
          ...(status === 302 && { location: '/' }),
        })
        .end()
    })
    const result = await destination.send(message())
    t.match(result, { outcome, isOutage, status }, `${status} with Retry-After ${retryAfter ?? 'left out'}`)
    t.equal(result.retryAfterMs, outcome === 'later' ? 7_000 : null)
  }
})

t.test('no answer is an outage', async (t) => {
  const receiver = await startReceiver(t)
  await receiver.close()
  const result = await destinationAt(receiver.url).send(message())
  t.match(result, { outcome: 'failed', isOutage: true, status: null, errorClass: 'connect_refused' })
})

t.test('an attempt that is given up ends at once', async (t) => {
  const receiver = await startReceiver(t)
  const giveUp = new AbortController()
  receiver.answer(() => giveUp.abort())
  const result = await destinationAt(receiver.url).send(message(), giveUp.signal)
  t.match(result, { outcome: 'failed', status: null })
})

t.test('an answer that repeats the request is kept without its credentials', async (t) => {
  const receiver = await startReceiver(t)
  receiver.answer(({ headers }, response) => {
    const text = JSON.stringify(headers)
    response.writeHead(200, { 'x-seen': String(headers['x-causation-token']) }).end(text)
  })
  const { body, headers } = await destinationAt(receiver.url).send(message())
  t.equal(headers['x-seen'], '[redacted]')
  t.match(JSON.parse(body), { 'x-causation-token': '[redacted]', 'x-causation-depth': '1' })
  t.notMatch(body, TOKEN)
})

t.test("what is kept of a request names the plugin's own headers, and no value of them", async (t) => {
  const { request } = destinationAt('https://plugin.example/hook')
  t.strictSame(JSON.parse(request), { url: 'https://plugin.example/hook', headers: ['x-own'] })
})

t.test('no other file of delivery asks for an HTTP status', async (t) => {
  const folder = join(import.meta.dirname, '../../../../src/modules/webhook-delivery')
  for await (const file of glob('{*,lanes/*,health/*,outcomes/*,due/*}.ts', { cwd: folder })) {
    if (file === 'openapi.ts') continue
    const source = await readFile(join(folder, file), 'utf8')
    t.notMatch(source, /\b(?:http_[45]xx|status (?:===|>=|<) [1-5]\d\d)\b/, file)
  }
})

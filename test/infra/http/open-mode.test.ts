import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { findBrowser, openBrowser } from '#test/support/browser.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { appOn, listen } from '#test/infra/app-on.ts'

const { url: databaseUrl } = await createTestDatabase(t)
const tenantId = crypto.randomUUID()
const app = await appOn(t, databaseUrl, { openTenantId: tenantId })
const port = await listen(app)
const found = await findBrowser()

async function eventTypesOfShop(): Promise<string[]> {
  const response = await app.inject('/api/events?limit=200')
  return response.json<{ data: { event: string }[] }>().data.map(({ event }) => event)
}

t.test('the documented calls need no key', async (t) => {
  const base = `http://127.0.0.1:${port}`
  const sent = await fetch(`${base}/api/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"event":"product.created","data":{"id":1}}',
  })
  t.equal(sent.status, 202)
  const older = await fetch(`${base}/plugins/automation/webhook`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"event_type":"lead.created","payload":{"id":1},"tenant_id":"my-shop"}',
  })
  t.equal(older.status, 202)
  const other = await fetch(`${base}/api/plugins`, { headers: { 'x-tenant-id': crypto.randomUUID() } })
  t.equal(other.status, 200)
  const registered = await fetch(`${base}/api/plugins`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-tenant-id': crypto.randomUUID() },
    body: JSON.stringify({
      name: 'Mailer',
      slug: 'mailer',
      webhook_url: 'https://mail.example/hook',
      events: [],
    }),
  })
  t.equal(registered.status, 201)
  const { data } = (await (await fetch(`${base}/api/plugins`)).json()) as { data: { slug: string }[] }
  t.match(data, [{ slug: 'mailer' }], 'the header made no other shop of it')
})

t.test('the page of the service itself reads and writes, as its browser tells where it is', async (t) => {
  const base = `http://127.0.0.1:${port}`
  const call = (method: string, path: string, site: string, origin = base): Promise<number> =>
    new Promise((resolve, reject) => {
      const body = method === 'POST' ? '{"event":"page.opened","data":{}}' : ''
      const headers = {
        referer: `${base}/console`,
        'sec-fetch-site': site,
        'sec-fetch-mode': 'cors',
        ...(method === 'POST' && {
          origin,
          'content-type': 'application/json',
          'content-length': String(body.length),
        }),
      }
      const sent = request(`${base}${path}`, { method, headers }, (answer) => {
        answer.resume().once('end', () => resolve(answer.statusCode ?? 0))
      })
      sent.once('error', reject).end(body)
    })
  t.equal(await call('GET', '/api/session', 'same-origin'), 200)
  t.equal(await call('GET', '/api/events', 'same-origin'), 200)
  t.equal(await call('POST', '/api/events', 'same-origin'), 202)
  t.equal(await call('POST', '/api/events', 'same-site', 'http://127.0.0.1:1'), 403)
  t.equal(await call('POST', '/api/events', 'same-site'), 403, 'whatever origin it claims')
  t.equal(await call('POST', '/api/events', 'cross-site', 'https://evil.example'), 403)
})

t.test(
  'a page on another origin can do nothing from a browser on this machine',
  { skip: found.skip },
  async (t) => {
    const page = '<!doctype html><title>evil</title>'
    const server = createServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/html' }).end(page)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    t.teardown(() => server.close())
    const evilPort = (server.address() as AddressInfo).port

    const browser = await openBrowser(t, found)
    const attack = async (from: string, to: string): Promise<unknown> => {
      const tab = await browser.newPage()
      await tab.goto(from)
      const outcome = await tab.evaluate(async (target) => {
        const attempt = async (init: RequestInit): Promise<number | string> => {
          try {
            return (await fetch(target, init)).status
          } catch {
            return 'blocked'
          }
        }
        const body = '{"event":"stolen.order","data":{}}'
        return [
          await attempt({}),
          await attempt({ mode: 'no-cors' }),
          await attempt({ method: 'POST', body, headers: { 'content-type': 'application/json' } }),
          await attempt({ method: 'POST', body, mode: 'no-cors', headers: { 'content-type': 'text/plain' } }),
        ]
      }, `${to}/api/events`)
      await tab.close()
      return outcome
    }
    const before = await eventTypesOfShop()
    // Opaque answers have the status 0.
    t.strictSame(
      await attack(`http://localhost:${evilPort}/`, `http://127.0.0.1:${port}`),
      ['blocked', 0, 'blocked', 0],
      'another site',
    )
    t.strictSame(
      await attack(`http://127.0.0.1:${evilPort}/`, `http://127.0.0.1:${port}`),
      ['blocked', 0, 'blocked', 0],
      'another port',
    )
    t.strictSame(await eventTypesOfShop(), before)

    // A name of the attacker's that leads here: the page and the service have the same origin.
    const bound = await openBrowser(t, found, ['--host-resolver-rules=MAP evil.example 127.0.0.1'])
    const tab = await bound.newPage()
    await tab.goto(`http://evil.example:${port}/docs/problems`)
    const rebound = await tab.evaluate(async () => {
      const read = await fetch('/api/events')
      const written = await fetch('/api/events', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{"event":"stolen.order","data":{}}',
      })
      return [read.status, written.status]
    })
    t.strictSame(rebound, [421, 421], 'DNS rebinding')
    t.notOk((await eventTypesOfShop()).includes('stolen.order'))

    const own = await browser.newPage()
    await own.goto(`http://127.0.0.1:${port}/docs/problems`)
    const allowed = await own.evaluate(async () => {
      const read = await fetch('/api/events')
      const written = await fetch('/api/events', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{"event":"own.order","data":{}}',
      })
      return [read.status, written.status]
    })
    t.strictSame(allowed, [200, 202], 'its own pages may')
    t.ok((await eventTypesOfShop()).includes('own.order'))
  },
)

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { findBrowser, openBrowser } from '#test/support/browser.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { appOn, listen } from '#test/infra/app-on.ts'

const { url: databaseUrl } = await createTestDatabase(t)
const tenantId = crypto.randomUUID()
const app = await appOn(t, databaseUrl, { openTenantId: tenantId })
const port = await listen(app)
const browserPath = findBrowser()

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

t.test(
  'a page on another origin can do nothing from a browser on this machine',
  { skip: browserPath === null && 'this machine has no chromium' },
  async (t) => {
    const page = '<!doctype html><title>evil</title>'
    const server = createServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/html' }).end(page)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    t.teardown(() => server.close())
    const evilPort = (server.address() as AddressInfo).port

    const browser = await openBrowser(t, browserPath ?? '')
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
    const bound = await openBrowser(t, browserPath ?? '', [
      '--host-resolver-rules=MAP evil.example 127.0.0.1',
    ])
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
    t.strictSame(rebound, [403, 403], 'DNS rebinding')
    t.notOk((await eventTypesOfShop()).includes('stolen.order'))

    const own = await browser.newPage()
    await own.goto(`http://127.0.0.1:${port}/docs/problems`)
    const allowed = await own.evaluate(async () => (await fetch('/api/events')).status)
    t.equal(allowed, 200, 'its own pages may')
  },
)

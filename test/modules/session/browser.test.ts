import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import type { ApiKeyWithSecret } from '#modules/key/schemas.ts'
import { appOn, listen } from '#test/infra/app-on.ts'
import { clientFor, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { findBrowser, openBrowser } from '#test/support/browser.ts'
import { createTestDatabase } from '#test/support/database.ts'

const found = await findBrowser()

t.test(
  'a browser logs in, works and logs out on a page of the service, and no other page can with its cookie',
  { skip: found.skip },
  async (t) => {
    const { url: databaseUrl } = await createTestDatabase(t)
    const app = await appOn(t, databaseUrl)
    const port = await listen(app)
    const own = `http://127.0.0.1:${port}`
    const shop = clientFor(app, crypto.randomUUID(), TEST_PLATFORM_KEY)
    const made = await shop.post('/api/keys', { name: 'desk', kind: 'tenant', role: 'editor' })
    const { key } = made.json<ApiKeyWithSecret>()

    const evil = createServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>evil</title>')
    })
    await new Promise<void>((resolve) => evil.listen(0, '127.0.0.1', resolve))
    t.teardown(() => evil.close())
    const evilPort = (evil.address() as AddressInfo).port

    const browser = await openBrowser(t, found)
    const context = await browser.newContext()
    const page = await context.newPage()
    await page.goto(`${own}/docs/problems`)
    const loggedIn = await page.evaluate(async (key) => {
      const answer = await fetch('/api/session', {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-bcs-console': '1' },
        body: JSON.stringify({ key }),
      })
      return answer.status
    }, key)
    t.equal(loggedIn, 200)
    t.equal(await page.evaluate('document.cookie'), '', 'no script reads the cookie')
    t.match(await context.cookies(own), [
      { name: 'bcs_session', httpOnly: true, sameSite: 'Strict', path: '/', domain: '127.0.0.1' },
    ])
    const write = async (headers: Record<string, string>): Promise<number> =>
      page.evaluate(
        async (given) =>
          (
            await fetch('/api/variables/colour', {
              method: 'PUT',
              headers: { 'content-type': 'application/json', ...given },
              body: '{"value":"red"}',
            })
          ).status,
        headers,
      )
    t.equal(await write({ 'x-bcs-console': '1' }), 201)
    t.equal(await write({}), 403)

    for (const host of ['127.0.0.1', 'localhost']) {
      const tab = await context.newPage()
      await tab.goto(`http://${host}:${evilPort}/`)
      await tab.evaluate(async (target) => {
        const calls: RequestInit[] = [
          { method: 'DELETE', headers: { 'x-bcs-console': '1' } },
          { method: 'POST', body: '{"event":"stolen.order","data":{}}' },
          { method: 'GET' },
        ]
        for (const call of calls) {
          for (const path of ['/api/session', '/api/variables/colour', '/api/events']) {
            const init: RequestInit = { credentials: 'include', ...call }
            await fetch(target + path, init).catch(() => undefined)
            await fetch(target + path, { ...init, mode: 'no-cors' }).catch(() => undefined)
          }
        }
      }, own)
      await tab.close()
    }
    const events = (await shop.get('/api/events')).json<{ data: unknown[] }>()
    t.strictSame(events.data, [])
    t.equal((await shop.get('/api/variables/colour')).statusCode, 200, 'it is still there')
    const who = async (): Promise<number> => page.evaluate(async () => (await fetch('/api/session')).status)
    t.equal(await who(), 200, 'and nobody was logged out')
    const out = await page.evaluate(
      async () =>
        (await fetch('/api/session', { method: 'DELETE', headers: { 'x-bcs-console': '1' } })).status,
    )
    t.equal(out, 204)
    t.equal(await who(), 401)
    t.strictSame(await context.cookies(own), [])
  },
)

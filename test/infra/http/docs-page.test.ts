import t from 'tap'
import { findBrowser, openBrowser } from '#test/support/browser.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { appOn, listen } from '#test/infra/app-on.ts'

const { url: databaseUrl } = await createTestDatabase(t)
// Everybody on this machine may do everything, as after `npm start`.
const app = await appOn(t, databaseUrl, { openTenantId: crypto.randomUUID() })
const locked = await appOn(t, databaseUrl)
const port = await listen(app)
const found = await findBrowser()
const HTML = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' }

t.test('the page and all that it loads are open, also where keys are needed', async (t) => {
  for (const url of [
    '/docs',
    '/docs/',
    '/docs/static/swagger-ui.css',
    '/docs/static/swagger-ui-bundle.js',
    '/docs/static/swagger-ui-standalone-preset.js',
    '/docs/static/swagger-initializer.js',
    '/docs/static/logo.svg',
    '/docs/json',
    '/docs/yaml',
    '/docs/problems',
    '/openapi.json',
  ]) {
    for (const method of ['GET', 'HEAD'] as const) {
      const answer = await locked.inject({ method, url })
      t.equal(answer.statusCode, 200, `${method} ${url}`)
    }
  }
  const page = await locked.inject('/docs')
  for (const [, asset = ''] of page.body.matchAll(/(?:src|href)="([^"]+)"/g)) {
    const { pathname } = new URL(asset, 'http://localhost/docs')
    t.equal((await locked.inject(pathname)).statusCode, 200, asset)
  }
  t.same((await locked.inject('/docs/json')).json(), (await locked.inject('/openapi.json')).json())
})

t.test('a file that is not there is a problem', async (t) => {
  const answer = await locked.inject('/docs/static/nothing.js')
  t.equal(answer.statusCode, 404)
  t.match(answer.json(), { code: 'route_not_found' })
  t.match((await locked.inject({ method: 'POST', url: '/docs/static/logo.svg' })).json(), {
    code: 'method_not_allowed',
  })
})

t.test('opening a scope opens no route that says who may call it, and none beside it', async (t) => {
  t.equal((await locked.inject('/api/plugins')).statusCode, 401)
  t.equal((await locked.inject('/metrics')).statusCode, 401)
})

t.test(
  'a browser at the root is led to the console, or else to the page; others get a problem',
  async (t) => {
    const plain = await appOn(t, databaseUrl, { env: { CONSOLE: 'off' } })
    for (const [service, page] of [
      [locked, '/console'],
      [plain, '/docs'],
    ] as const) {
      for (const url of ['/', '/?utm=1']) {
        const answer = await service.inject({ url, headers: HTML })
        t.equal(answer.statusCode, 302)
        t.equal(answer.headers.location, page)
        t.equal(answer.headers.vary, 'accept')
      }
    }
    t.match((await locked.inject({ url: '/nothing', headers: HTML })).json(), { code: 'route_not_found' })
    t.match((await locked.inject({ url: '//evil.example', headers: HTML })).json(), {
      code: 'route_not_found',
    })
    for (const headers of [{}, { accept: '*/*' }, { accept: 'application/json' }]) {
      const answer = await locked.inject({ url: '/', headers })
      t.match(answer.json(), { status: 404, code: 'route_not_found' })
    }
    t.match((await locked.inject({ method: 'POST', url: '/', headers: HTML })).json(), {
      code: 'route_not_found',
    })
  },
)

t.test('a process that is a worker only has no page', async (t) => {
  const worker = await appOn(t, databaseUrl, { env: { ROLES: 'worker' } })
  for (const url of ['/', '/docs', '/docs/json']) {
    t.match((await worker.inject({ url, headers: HTML })).json(), { code: 'route_not_found' }, url)
  }
})

t.test('in a browser, the page shows operations and sends a request', { skip: found.skip }, async (t) => {
  const browser = await openBrowser(t, found)
  const page = await browser.newPage()
  const faults: string[] = []
  page.on('pageerror', (error) => faults.push(error.message))
  page.on('requestfailed', (request) => faults.push(request.url()))
  page.on('response', (answer) => {
    if (answer.status() >= 400) faults.push(`${answer.status()} ${answer.url()}`)
  })
  await page.goto(`http://127.0.0.1:${port}/docs`)
  const operation = page.locator('#operations-plugins-listPlugins')
  await operation.locator('.opblock-summary-control').click()
  t.match(await operation.locator('.opblock-summary-path').innerText(), 'plugins')
  await operation.locator('.try-out__btn').click()
  await operation.locator('.execute').click()
  const answer = operation.locator('.live-responses-table')
  t.equal(await answer.locator('tbody .response-col_status').first().innerText(), '200')
  t.match(await answer.locator('.response-col_description pre').first().innerText(), /next_cursor/)
  t.same(faults, [])
})

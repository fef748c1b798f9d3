import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { accessibilityFaults, noConsole, settled, startConsole } from './support/console.ts'
import { becomes } from './support/wait.ts'

interface Key {
  id: string
  key: string
}

/** The browser's own messages about an answer that the test asked for. */
const REFUSED = /\b(?:401|403|404)\b/

/** Pages that show what can be changed. */
const PAGES = [
  '/console',
  '/console/plugins',
  '/console/automations',
  '/console/templates/welcome_customer',
  '/console/messages',
  '/console/actions',
  '/console/calls',
  '/console/settings',
  '/console/connections',
  '/console/variables',
  '/console/flows',
  '/console/runs',
  '/console/plugins/own',
  '/console/plugins/own?tab=settings',
  '/console/deliveries',
  '/console/deliveries?status=failed',
  '/console/events',
  '/console/catalogue',
  '/console/catalogue/order.created',
  '/console/replays',
]
const CHANGING = new RegExp(
  [
    'create|install|revoke|delete|change|save|halt|set variable|register|choose|switch|end\\b|import|publish|activate',
    'run now|retry|cancel|pause(?! updates)|resume|post|^\\s*test|duplicate|rotate|replay|again|declare|select|more$',
  ].join('|'),
  'i',
)

t.setTimeout(300_000)

t.test('signing in', { skip: noConsole }, async (t) => {
  const { url, call, visit } = await startConsole(t, {}, { hasKeys: true })
  const makeKey = async (fields: object): Promise<Key> =>
    call('POST', '/api/keys', { kind: 'tenant', ...fields })
  for (const [name, slug] of [
    ['Own plugin', 'own'],
    ['Foreign plugin', 'foreign'],
  ]) {
    await call('POST', '/api/plugins', { name, slug, webhook_url: `http://127.0.0.1:9/${slug}`, events: [] })
  }

  async function signIn(page: Page, key: string): Promise<void> {
    await page.getByLabel('Key').fill(key)
    await page.getByRole('button', { name: 'Sign in' }).click()
  }

  t.test('a wrong key is told, a right one leads to the place that was asked for', async (t) => {
    const { key } = await makeKey({ name: 'Anna', role: 'admin' })
    for (const colorScheme of ['light', 'dark'] as const) {
      const { page } = await visit('/console/plugins?status=active', { colorScheme })
      await page.getByRole('heading', { name: 'Sign in' }).waitFor()
      t.same(await accessibilityFaults(page), [])
    }
    const { page, faults } = await visit('/console/plugins?status=active')
    await signIn(page, `bcs_${'x'.repeat(43)}`)
    await page.getByRole('alert').waitFor()
    t.equal(await page.getByRole('link', { name: 'Own plugin' }).count(), 0)
    await signIn(page, key)
    await page.getByRole('link', { name: 'Own plugin' }).waitFor()
    t.match(page.url(), /\/console\/plugins\?status=active$/)
    // The key is nowhere in the browser that a script could read it.
    const kept = await page.evaluate<string>(
      'JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])',
    )
    t.notMatch(kept, key.slice(4))
    t.same(
      faults.filter((fault) => !REFUSED.test(fault)),
      [],
    )
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    await page.reload()
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
  })

  t.test(
    'a key that is revoked while the page is open leads to the login, which keeps the place',
    async (t) => {
      const [first, second] = [
        await makeKey({ name: 'First', role: 'admin' }),
        await makeKey({ name: 'Second', role: 'admin' }),
      ]
      const { page } = await visit('/console/keys?tab=sessions', { key: first.key })
      await page.getByText('this one').waitFor()
      await call('DELETE', `/api/keys/${first.id}`)
      // Every process hears of it by and by.
      await page.waitForFunction(async () => (await fetch('/api/session')).status === 401)
      // The search of the palette asks; or the page has asked by itself, and is at the login by now.
      await page.keyboard.press('Control+k')
      await page.keyboard.type('order')
      await page.getByRole('heading', { name: 'Sign in' }).waitFor()
      await signIn(page, second.key)
      await page.getByText('this one').waitFor()
      t.match(page.url(), /\/console\/keys\?tab=sessions$/)
    },
  )

  t.test('a portal link of the shop signs in once, and is nowhere in the address afterwards', async (t) => {
    const link = await call<{ url: string }>('POST', '/api/portal-sessions', {
      scope: 'tenant',
      role: 'viewer',
      label: 'bookkeeper',
    })
    const path = `/console/portal${new URL(link.url).hash}`
    const { page } = await visit(path)
    await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor()
    await page.waitForURL(`${url}/console`)
    await page.getByText('bookkeeper').waitFor()
    await visitRefused(t, path)
    await call('DELETE', '/api/portal-sessions?label=bookkeeper')
    await page.waitForFunction(async () => (await fetch('/api/session')).status === 401)
    // It asks; or it has asked by itself, and is at the login by now, where the keys do nothing.
    await page.keyboard.press('Control+k')
    await page.keyboard.type('order')
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
  })

  async function visitRefused(t: Test, path: string): Promise<void> {
    const { page } = await visit(path)
    await page.getByText('portal_link_invalid').waitFor()
    t.notMatch(page.url(), /#/)
    t.same(await accessibilityFaults(page), [])
  }

  t.test('a portal link leads back to where it was made, also once its session has ended', async (t) => {
    const link = await call<{ url: string }>('POST', '/api/portal-sessions', {
      scope: 'tenant',
      role: 'viewer',
      label: 'visitor',
      return_url: 'https://admin.shop.example/automation?tab=1',
    })
    const { page } = await visit(`/console/portal${new URL(link.url).hash}`)
    const back = page.getByRole('link', { name: 'Back to admin.shop.example' })
    await back.waitFor()
    t.equal(await back.getAttribute('href'), 'https://admin.shop.example/automation?tab=1')
    await page.waitForURL(`${url}/console`)
    await page.reload()
    await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor()
    await back.waitFor()
    t.same(await accessibilityFaults(page), [])
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    await back.waitFor()
    t.same(await accessibilityFaults(page), [])
  })

  t.test('a portal link of a plugin shows that plugin, whatever is written in the address', async (t) => {
    const link = await call<{ url: string }>('POST', '/api/portal-sessions', {
      scope: 'plugin',
      plugin: 'own',
      label: 'author',
    })
    const { page } = await visit(`/console/portal${new URL(link.url).hash}`)
    await page.waitForURL(`${url}/console/plugins/own`)
    for (const path of ['keys', 'audit', 'settings', 'automations', 'operation']) {
      await page.goto(`${url}/console/${path}`)
      await page.getByRole('heading', { name: 'There is no such page' }).waitFor()
    }
    await Promise.all([
      page.waitForResponse((answer) => answer.url().endsWith('/api/plugins/foreign')),
      page.goto(`${url}/console/plugins/foreign`),
    ])
    await page.locator('main').getByRole('alert').first().waitFor()
    t.equal(await page.getByText('Foreign plugin').count(), 0)
    const answers = await page.evaluate(async () => {
      const ask = async (method: string, path: string): Promise<number> =>
        (await fetch(path, { method, headers: { 'x-bcs-console': '1' } })).status
      return Promise.all([
        ask('GET', '/api/plugins/own'),
        ask('GET', '/api/plugins/foreign'),
        ask('POST', '/api/plugins/foreign/pause'),
        ask('GET', '/api/keys'),
        ask('GET', '/api/audit-log'),
      ])
    })
    t.equal(answers[0], 200)
    t.ok(
      answers.slice(1).every((status) => status === 403 || status === 404),
      answers.join(', '),
    )
    t.match(await call('GET', '/api/plugins/foreign'), { status: 'active' })
  })

  t.test('an editor of a plugin sends again to that plugin alone', async (t) => {
    const link = await call<{ url: string }>('POST', '/api/portal-sessions', {
      scope: 'plugin',
      plugin: 'own',
      role: 'editor',
      label: 'maker',
    })
    const { page, faults } = await visit(`/console/portal${new URL(link.url).hash}`)
    await page.waitForURL(`${url}/console/plugins/own`)
    await page.goto(`${url}/console/replays`)
    await page.getByRole('button', { name: 'Send again' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByRole('option', { name: 'Own plugin' }).waitFor({ state: 'attached' })
    await becomes(t, async () => dialog.getByLabel('To').inputValue(), 'own')
    await dialog.getByRole('button', { name: 'Count first' }).click()
    await dialog.getByText('Deliveries to be sent: 0').waitFor()
    t.same(faults, [])
  })

  t.test('a plugin is offered the pages that its scopes reach', async (t) => {
    const before = await call<{ scopes: string[] }>('GET', '/api/plugins/own')
    for (const [scopes, count] of [
      [['self:read', 'events:read:order.*'], 1],
      [['self:read'], 0],
    ] as const) {
      await call('PATCH', '/api/plugins/own', { scopes })
      const link = await call<{ url: string }>('POST', '/api/portal-sessions', {
        scope: 'plugin',
        plugin: 'own',
        label: 'narrow',
      })
      const { page, faults } = await visit(`/console/portal${new URL(link.url).hash}`)
      await page.waitForURL(`${url}/console/plugins/own`)
      const pages = page.getByRole('navigation', { name: 'Pages' })
      await pages.getByRole('link', { name: 'Event types' }).waitFor()
      t.equal(await pages.getByRole('link', { name: 'Events', exact: true }).count(), count, scopes.join(' '))
      t.same(faults, [])
    }
    await call('PATCH', '/api/plugins/own', { scopes: before.scopes })
  })

  t.test('a viewer sees nothing that changes, and the service refuses the forced call', async (t) => {
    const { key } = await makeKey({ name: 'Reader', role: 'viewer' })
    await call('PUT', '/api/variables/limit', { value: 5 })
    await call('POST', '/api/automations/defaults', {})
    const { id: flow } = await call<{ id: string }>('POST', '/api/automation/flows', {
      name: 'Waits',
      status: 'active',
      triggers: [{ type: 'manual' }],
      steps: [{ id: 'wait', type: 'delay', duration: '1 hour' }],
    })
    const run = await call<{ execution_id: string }>('POST', `/api/automation/flows/${flow}/run`, {
      input: {},
    })
    await call('POST', '/api/events', { event: 'order.created', data: { order_id: 'ord_1', total: 1 } })
    const { page, faults } = await visit('/console', { key })
    const own = [
      `/console/flows/${flow}`,
      `/console/flows/${flow}?tab=settings`,
      `/console/runs/${run.execution_id}`,
    ]
    for (const path of [...PAGES, ...own]) {
      await page.goto(`${url}${path}`)
      await page.locator('main h1').waitFor()
      await settled(page)
      const controls = await page.locator('main').getByRole('button').allTextContents()
      t.same(
        // A person who follows a run may pause the list: the run goes on.
        controls.filter(
          (text) => CHANGING.test(text) && !(path.includes('/runs/') && text.trim() === 'Pause'),
        ),
        [],
        path,
      )
      t.equal(await page.locator('main').getByRole('switch').count(), 0, path)
    }
    t.equal(await page.getByRole('link', { name: 'Keys' }).count(), 0)
    t.same(faults, [])
    const forced = await page.evaluate(async () => {
      const answer = await fetch('/api/variables/limit', {
        method: 'PUT',
        headers: { 'content-type': 'application/json', 'x-bcs-console': '1' },
        body: '{"value":6}',
      })
      return ((await answer.json()) as { code: string }).code
    })
    t.equal(forced, 'forbidden')
    t.match(await call('GET', '/api/variables/limit'), { value: 5 })
  })

  t.test('another site neither posts with the session nor shows the console in a frame', async (t) => {
    const { key } = await makeKey({ name: 'Owner', role: 'admin' })
    const { page } = await visit('/console/plugins', { key })
    await otherSiteIsRefused(t, page, url)
    const { data } = await call<{ data: unknown[] }>('GET', '/api/variables')
    t.equal(data.length, 1)
    t.match(await call('GET', '/api/automation/halt'), { halted: false })
  })
})

t.test('in open mode another site changes nothing either', { skip: noConsole }, async (t) => {
  const { url, call, visit } = await startConsole(t)
  const { page } = await visit('/console/plugins')
  await otherSiteIsRefused(t, page, url)
  t.match(await call('GET', '/api/variables'), { data: [] })
  t.match(await call('GET', '/api/automation/halt'), { halted: false })
})

/** Posts from, and frames on, a page of another site that is open in the same browser. */
async function otherSiteIsRefused(t: Test, page: Page, url: string): Promise<void> {
  const server = createServer((_, answer) => {
    answer.setHeader('content-type', 'text/html').end(`<iframe src="${url}/console/plugins"></iframe>`)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const other = await page.context().newPage()
  await other.goto(`http://localhost:${(server.address() as AddressInfo).port}/`)
  await other.evaluate(async (target) => {
    // No answer can be read; the effect counts.
    for (const [method, path] of [
      ['PUT', '/api/variables/evil'],
      ['POST', '/api/automation/halt'],
    ] as const) {
      for (const mode of ['no-cors', 'cors'] as const) {
        const body = method === 'PUT' ? { body: '{"value":1}' } : {}
        await fetch(`${target}${path}`, { method, mode, credentials: 'include', ...body }).catch(() => null)
      }
    }
  }, url)
  const frame = other.frames()[1]
  await frame?.waitForLoadState().catch(() => undefined)
  t.match(frame?.url(), /^chrome-error:/)
  await other.close()
}

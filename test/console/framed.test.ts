import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { FrameLocator, Page } from 'playwright-core'
import t from 'tap'
import { noConsole, startConsole } from './support/console.ts'

t.test('the console in a frame of the platform', { skip: noConsole }, async (t) => {
  let framed = ''
  const host = createServer((_request, response) => {
    response.setHeader('content-type', 'text/html')
    response.end(
      `<!doctype html><html lang="en"><title>Admin</title><main><h1>Admin</h1>` +
        `<iframe title="Automation" width="1000" height="700" src="${framed}"></iframe></main></html>`,
    )
  })
  await new Promise<void>((resolve) => host.listen(0, '127.0.0.1', resolve))
  t.teardown(() => host.close())
  // Another site than that of the service: its frame gets no cookie.
  const admin = `http://localhost:${(host.address() as AddressInfo).port}`
  const { url, call, visit } = await startConsole(t, { CONSOLE_FRAME_ANCESTORS: admin }, { hasKeys: true })
  await call('POST', '/api/plugins', {
    name: 'Order desk',
    slug: 'order-desk',
    webhook_url: 'http://127.0.0.1:9/',
    events: ['stock.low'],
  })

  async function openFrame(label: string, initial?: string): Promise<{ page: Page; frame: FrameLocator }> {
    const link = await call<{ url: string }>('POST', '/api/portal-sessions', {
      scope: 'tenant',
      role: 'editor',
      label,
      return_url: `${admin}/`,
    })
    framed = `${url}/console/portal${new URL(link.url).hash}`
    const { page } = await visit('/console/login')
    if (initial !== undefined) await page.addInitScript(initial)
    await page.goto(admin)
    return { page, frame: page.frameLocator('iframe') }
  }

  await t.test(
    'signs in by a portal link, follows what comes, changes something, and signs out',
    async (t) => {
      const { page, frame } = await openFrame('admin-1')
      await frame.getByRole('heading', { name: 'Overview', level: 1 }).waitFor()
      t.same(await page.context().cookies(url), [], 'there is no cookie')
      t.equal(await frame.getByRole('link', { name: /^Back to/ }).count(), 0, 'the platform is around it')
      await frame.getByRole('link', { name: 'Events', exact: true }).click()
      await frame.getByRole('heading', { name: 'Events', level: 1 }).waitFor()
      await call('POST', '/api/events', { event: 'order.created', id: 'till-1', data: {} })
      await frame.getByText('till-1').waitFor()
      await frame.getByRole('link', { name: 'Plugins', exact: true }).click()
      await frame.getByRole('link', { name: 'Order desk' }).click()
      await frame.getByRole('button', { name: 'Pause' }).click()
      await frame.getByRole('dialog').getByRole('button', { name: 'Pause' }).click()
      await frame.getByText('The plugin is paused').waitFor()
      t.match(await call('GET', '/api/plugins/order-desk'), { status: 'paused' })
      await frame.getByRole('button', { name: 'Sign out' }).click()
      await frame.getByRole('heading', { name: 'Sign in' }).waitFor()
    },
  )

  await t.test('works where the browser gives it no storage', async (t) => {
    const refuse = ['localStorage', 'sessionStorage'].map(
      (name) =>
        `if (window.parent !== window) Object.defineProperty(window, '${name}', { configurable: true, ` +
        `get() { throw new DOMException('Access is denied for this document.', 'SecurityError') } });`,
    )
    const { page, frame } = await openFrame('admin-3', refuse.join(''))
    const errors: string[] = []
    page.on('pageerror', ({ message }) => errors.push(message))
    await frame.getByRole('heading', { name: 'Overview', level: 1 }).waitFor()
    await frame.getByLabel('Appearance').selectOption('dark')
    await frame.getByLabel('Language').selectOption('de')
    await frame.getByRole('heading', { name: 'Übersicht', level: 1 }).waitFor()
    t.equal(await frame.locator('html').getAttribute('data-theme'), 'dark')
    t.equal(await frame.locator('html').getAttribute('lang'), 'de')
    t.same(errors, [])
  })
})

import t from 'tap'
import { accessibilityFaults, noConsole, startConsole } from './support/console.ts'
import { eventually } from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'

t.test('how deliveries went over time', { skip: noConsole }, async (t) => {
  const { call, visit } = await startConsole(t)

  t.test('says what will be there while nothing was delivered', async (t) => {
    const { page, faults } = await visit('/console/analytics')
    await page.getByText('Nothing was delivered').waitFor()
    t.same(await accessibilityFaults(page), [])
    t.same(faults, [])
  })

  t.test('is shown in a browser whose language Intl does not take', async (t) => {
    const { page, faults } = await visit('/console/')
    await page.addInitScript(
      `Object.defineProperty(Navigator.prototype, 'language', { configurable: true, get: () => 'en-US@posix' })`,
    )
    await page.goto(page.url())
    t.equal(await page.evaluate('navigator.language'), 'en')
    await page.getByRole('link', { name: 'Analytics' }).click()
    await page.getByRole('region', { name: 'Time to answer' }).locator('canvas').waitFor()
    t.same(faults, [])
  })

  t.test('a page that throws while it is loaded is told from one that is gone', async () => {
    for (const [body, heading] of [
      ['throw new RangeError("no such locale")', 'The page does not work in this browser'],
      [null, 'The page could not be loaded'],
    ] as const) {
      const { page } = await visit('/console/')
      await page.route('**/assets/Analytics-*.js', async (route) =>
        body === null ? route.abort() : route.fulfill({ contentType: 'text/javascript', body }),
      )
      await page.getByRole('link', { name: 'Analytics' }).click()
      await page.getByRole('heading', { name: heading }).waitFor()
    }
  })

  t.test('shows what was delivered, as charts and as tables, in light and dark', async (t) => {
    const receiver = await startReceiver(t)
    receiver.answer(({ path }, response) => response.writeHead(path === '/broken' ? 503 : 200).end())
    for (const [name, slug] of [
      ['Mailer', 'mailer'],
      ['Broken', 'broken'],
    ]) {
      await call('POST', '/api/plugins', {
        name,
        slug,
        webhook_url: `${receiver.url}/${slug}`,
        events: ['order.*'],
      })
    }
    await call('POST', '/api/events', { event: 'order.created', data: {} })
    await eventually('what was delivered is counted', async () => {
      const { series } = await call<{ series: { totals: { sent: number; retried: number } }[] }>(
        'GET',
        '/api/stats/deliveries',
      )
      return series[0] !== undefined && series[0].totals.sent > 0 && series[0].totals.retried > 0
    })
    for (const colorScheme of ['light', 'dark'] as const) {
      const { page, faults } = await visit('/console/analytics', { colorScheme })
      const plugins = page.getByRole('region', { name: 'Deliveries: Plugin' })
      await plugins.getByRole('link', { name: 'Mailer' }).waitFor()
      const latency = page.getByRole('region', { name: 'Time to answer' }).locator('canvas')
      await latency.waitFor()
      await page.getByText('Success of those that ended').waitFor()
      t.same(await accessibilityFaults(page), [], colorScheme)
      const volume = page.getByRole('region', { name: 'Deliveries', exact: true })
      await volume.getByRole('button', { name: 'Show as table' }).press('Enter')
      await volume.getByRole('columnheader', { name: 'To be repeated' }).waitFor()
      t.same(await accessibilityFaults(page), [], `${colorScheme}, as a table`)
      t.same(faults, [])
    }
  })

  t.test('keeps filters in the address, and gives a file', async (t) => {
    const { page, faults } = await visit('/console/analytics')
    await page.getByLabel('Told apart by').selectOption('event')
    await page.getByRole('region', { name: 'Deliveries: Event type' }).getByText('order.created').waitFor()
    t.match(page.url(), /\?group=event$/)
    await page.getByLabel('Period').selectOption('7d')
    await page.reload()
    await page.getByRole('region', { name: 'Deliveries: Event type' }).getByText('order.created').waitFor()
    t.equal(await page.getByLabel('Period').inputValue(), '7d')
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page
        .getByRole('region', { name: 'Time to answer' })
        .getByRole('button', { name: 'Export CSV' })
        .click(),
    ])
    t.equal(download.suggestedFilename(), 'latency.csv')
    t.same(faults, [])
  })
})

import { readFile } from 'node:fs/promises'
import type { Download, Locator } from 'playwright-core'
import t from 'tap'
import { accessibilityFaults, noConsole, startConsole } from './support/console.ts'
import { eventually } from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'

async function linesOf(download: Download): Promise<string[]> {
  const text = await readFile(await download.path(), 'utf8')
  return text.split('\r\n').slice(0, -1)
}

/** What a row of a breakdown says first: name, good ends, their line, success, failures. */
async function cellsOf(row: Locator): Promise<string[]> {
  const texts = await row.getByRole('cell').allTextContents()
  return texts.slice(0, 5).map((text) => text.trim())
}

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
    t.equal(download.suggestedFilename(), 'deliveries-times.csv')
    const [head = '', ...lines] = await linesOf(download)
    t.equal(head, 't,p50,p95,p99')
    t.ok(lines.length === 7 * 24 || lines.length === 7 * 24 + 1, 'a line for each hour of the week')
    t.match(lines.filter((line) => /Z,\d+,\d+,\d+$/.test(line)).length, 1, 'it was one hour that had any')
    const waited = page.getByRole('region', { name: 'Wait before the first attempt' })
    await waited.locator('canvas').waitFor()
    await waited.getByRole('button', { name: 'Show as table' }).press('Enter')
    await waited.getByRole('columnheader', { name: 'p95' }).waitFor()
    const [waits] = await Promise.all([
      page.waitForEvent('download'),
      waited.getByRole('button', { name: 'Export CSV' }).click(),
    ])
    t.equal(waits.suggestedFilename(), 'deliveries-queue-age.csv')
    const [waitsHead = '', ...waitsLines] = await linesOf(waits)
    t.equal(waitsHead, 't,p50,p95,p99')
    t.equal(waitsLines.filter((line) => /Z,\d+,\d+,\d+$/.test(line)).length, 1)
    t.same(faults, [])
  })

  t.test('says which flow fails why, and leads to the runs that did', async (t) => {
    const receiver = await startReceiver(t)
    receiver.answer(({ path }, response) => response.writeHead(path === '/refused' ? 422 : 200).end())
    const flowTo = async (name: string, path: string): Promise<string> => {
      const steps = [{ id: 'tell', type: 'http', url: `${receiver.url}/${path}`, method: 'POST' }]
      const flow = { name, status: 'active', trigger: { type: 'manual' }, steps }
      return (await call<{ id: string }>('POST', '/api/automation/flows', flow)).id
    }
    const ids = [await flowTo('Tell the bank', 'refused'), await flowTo('Tell the shop', 'fine')] as const
    for (const id of [ids[0], ids[0], ids[1]]) {
      await call('POST', `/api/automation/flows/${id}/run`, { input: {} })
    }
    const stats = async () => {
      const { series } = await call<{ series: { totals: { completed: number; failed: number } }[] }>(
        'GET',
        '/api/stats/executions',
      )
      return series[0]?.totals
    }
    await eventually('the runs are counted', async () => {
      const { completed = 0, failed = 0 } = (await stats()) ?? {}
      return completed === 1 && failed === 2
    })
    for (const colorScheme of ['light', 'dark'] as const) {
      const { page, faults } = await visit('/console/analytics', { colorScheme })
      await page.getByRole('main').getByRole('link', { name: 'Flows', exact: true }).click()
      await page.waitForURL(/\?measure=flows$/)
      const table = page.getByRole('region', { name: 'Runs: Flow' })
      const bank = table.getByRole('row').filter({ hasText: 'Tell the bank' })
      await bank.getByText('http_4xx (2)').waitFor()
      t.same(await cellsOf(bank), ['Tell the bank', '0', '', '0%', '2'])
      t.same(await cellsOf(table.getByRole('row').filter({ hasText: 'Tell the shop' })), [
        'Tell the shop',
        '1',
        '',
        '100%',
        '0',
      ])
      await page.getByRole('region', { name: 'Runs', exact: true }).locator('canvas').waitFor()
      t.same(await accessibilityFaults(page), [], colorScheme)
      const [download] = await Promise.all([
        page.waitForEvent('download'),
        table.locator('..').getByRole('button', { name: 'Export CSV' }).click(),
      ])
      const [head, ...lines] = await linesOf(download)
      t.match(head, /^Flow,Name,Completed,Cancelled,Took too long,Failed,p50_ms/)
      t.match(lines.find((line) => line.startsWith(ids[0])) ?? '', /,Tell the bank,0,0,0,2,.*,http_4xx$/)
      await page
        .getByRole('region', { name: 'Errors by code' })
        .getByRole('link', { name: 'http_4xx' })
        .click()
      await page.waitForURL(/\/runs\?.*error_code=http_4xx/)
      await page.getByText('2 in all').waitFor()
      t.same(faults, [])
    }
    const { page, faults } = await visit(`/console/analytics?measure=flows`)
    await page.getByRole('link', { name: 'Tell the bank' }).click()
    await page.getByRole('heading', { name: 'Tell the bank', level: 1 }).waitFor()
    await page
      .getByRole('region', { name: 'Runs: Error code' })
      .getByRole('link', { name: 'http_4xx' })
      .waitFor()
    t.equal(await page.getByLabel('Told apart by').count(), 0, 'a flow is told apart by its errors alone')
    t.same(await accessibilityFaults(page), [])
    t.same(faults, [])
  })

  t.test('says which action fails why, and leads to the calls', async (t) => {
    const receiver = await startReceiver(t)
    receiver.answer(({ path }, response) => response.writeHead(path === '/wave' ? 422 : 200).end('{}'))
    await call('POST', '/api/plugins', {
      name: 'Desk',
      slug: 'desk',
      webhook_url: `${receiver.url}/hook`,
      events: [],
    })
    const actions = ['greet', 'wave'].map((name) => ({
      action_type: name,
      title: name,
      description: name,
      endpoint: `/${name}`,
    }))
    await call('POST', '/api/plugins/desk/register-actions', { actions })
    await call('POST', '/api/plugins/events/automation', {
      events: ['greet', 'wave'].map((name) => ({ action_type: name, payload: {} })),
    })
    await eventually('the calls are counted', async () => {
      const { series } = await call<{ series: { totals: { succeeded: number; failed: number } }[] }>(
        'GET',
        '/api/stats/actions?plugin=desk',
      )
      return series[0]?.totals.succeeded === 1 && series[0].totals.failed === 1
    })
    const { page, faults } = await visit('/console/analytics?measure=actions&plugin=desk')
    const table = page.getByRole('region', { name: 'Actions: Action' })
    await table.getByRole('row').filter({ hasText: 'wave' }).getByText('http_4xx (1)').waitFor()
    t.same(await cellsOf(table.getByRole('row').filter({ hasText: 'greet' })), [
      'greet',
      '1',
      '',
      '100%',
      '0',
    ])
    t.same(await accessibilityFaults(page), [])
    await page.getByRole('region', { name: 'Errors by code' }).getByRole('link', { name: 'http_4xx' }).click()
    await page.waitForURL(/\/calls\?.*plugin=desk/)
    await page.getByRole('row').filter({ hasText: 'wave' }).waitFor()
    t.equal(await page.getByRole('row').filter({ hasText: 'greet' }).count(), 0)
    t.same(faults, [])
  })

  t.test('says how much waits for each plugin, and since when', async (t) => {
    const { page, faults } = await visit('/console/analytics')
    const row = page.getByRole('region', { name: 'Deliveries: Plugin' }).getByRole('row')
    await row.filter({ hasText: 'Broken' }).waitFor()
    await row.first().getByText('Wait now').waitFor()
    const head = await row.first().getByRole('columnheader').allTextContents()
    const cells = await row.filter({ hasText: 'Broken' }).getByRole('cell').allTextContents()
    t.equal(cells[head.indexOf('Wait now')]?.trim(), '1', 'the one that is to be repeated')
    t.same(faults, [])
  })
})

import type { Page } from 'playwright-core'
import t from 'tap'
import { until } from '#test/infra/app-on.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { accessibilityFaults, noConsole, startConsole } from './support/console.ts'

interface Delivery {
  id: string
  event_id: string
  status: string
  resend: number
}

const THEMES = ['light', 'dark'] as const
/** The browser's own messages about an answer that the page expects. */
const EXPECTED = /40[49]|Failed to load resource/

t.test('the delivery log', { skip: noConsole }, async (t) => {
  const { call, visit } = await startConsole(t)
  const mailer = await startReceiver(t)
  const shipping = await startReceiver(t)

  const log = async (query: string): Promise<Delivery[]> =>
    (await call<{ data: Delivery[] }>('GET', `/api/plugins/events?${query}`)).data
  const post = async (count: number): Promise<void> => {
    const events = Array.from({ length: count }, () => ({
      event: 'order.created',
      data: { order_id: 'ord_1', total: 12 },
    }))
    await call('POST', '/api/events', { events })
  }
  const row = (page: Page, { id }: Delivery) =>
    page.getByRole('row').filter({ has: page.locator(`a[href$="/deliveries/${id}"]`) })

  await t.test('says what a delivery is while there is none', async (t) => {
    for (const colorScheme of THEMES) {
      const { page, faults } = await visit('/console/deliveries', { colorScheme })
      await page.getByRole('heading', { name: 'Nothing was delivered yet' }).waitFor()
      t.same(await accessibilityFaults(page), [])
      t.same(faults, [])
    }
  })

  await call('POST', '/api/plugins', {
    name: 'Mailer',
    slug: 'mailer',
    webhook_url: `${mailer.url}/hooks`,
    events: ['order.*'],
  })
  await call('POST', '/api/plugins', {
    name: 'Shipping',
    slug: 'shipping',
    webhook_url: `${shipping.url}/hooks`,
    events: ['order.*'],
    retry_schedule: [],
  })
  shipping.answer((_received, response) =>
    response.writeHead(422, { 'content-type': 'application/json' }).end('{"error":"no such order"}'),
  )
  await post(3)
  await mailer.waitFor(3)
  await shipping.waitFor(3)

  t.test('shows what has come while one looks, and stops when told', async (t) => {
    const { page, faults } = await visit('/console/deliveries?plugin=mailer')
    await page.clock.install()
    await page.reload()
    await page.getByText('3 in all').waitFor()
    await post(1)
    await page.getByText('4 in all').waitFor()
    await page.getByRole('button', { name: 'Pause updates' }).click()
    await page.getByText('Paused').waitFor()
    await post(1)
    await mailer.waitFor(5)
    const asked: string[] = []
    page.on('request', (request) => asked.push(request.url()))
    await page.clock.fastForward(60_000)
    // A request that was sent before it has been seen when it is answered.
    await page.evaluate('fetch("/api/session")')
    t.same(
      asked.filter((each) => each.includes('/api/plugins/events')),
      [],
    )
    t.equal(await page.getByText('4 in all').count(), 1)
    // With a row selected nothing moves: new rows are counted.
    await page.getByRole('checkbox', { name: 'Select: order.created → mailer' }).first().check()
    await page.getByRole('button', { name: 'Go on updating' }).click()
    await page.getByRole('button', { name: 'Show 1 new' }).click()
    await page.getByText('5 in all').waitFor()
    t.same(faults, [])
  })

  t.test('keeps its filters in the address, and looks fine full', async (t) => {
    const { page } = await visit('/console/deliveries')
    await page.getByRole('combobox', { name: 'Status' }).selectOption('failed')
    await page.getByText('5 in all').waitFor()
    await page.getByRole('button', { name: 'More filters' }).click()
    await page.getByRole('combobox', { name: 'Error' }).selectOption('http_4xx')
    await page.getByRole('searchbox', { name: 'Response' }).fill('422')
    await page.waitForURL(/response_status=422/)
    t.match(page.url(), /status=failed&error_class=http_4xx&response_status=422/)
    await page.getByRole('searchbox', { name: 'Response' }).fill('5xx')
    await page.getByRole('heading', { name: 'Nothing matches' }).waitFor()
    for (const colorScheme of THEMES) {
      const { page: again, faults } = await visit('/console/deliveries?status=failed&reason=exhausted', {
        colorScheme,
      })
      await again.getByText('5 in all').waitFor()
      t.equal(await again.getByRole('link', { name: 'mailer' }).count(), 0)
      t.same(await accessibilityFaults(again), [])
      t.same(faults, [])
    }
  })

  t.test('shows why a delivery failed and what to do, and sends it again', async (t) => {
    const [failed] = await log('plugin=shipping&status=failed')
    if (failed === undefined) throw new Error('no delivery has failed')
    const { page, faults } = await visit('/console/deliveries?status=failed', {
      permissions: ['clipboard-read', 'clipboard-write'],
    })
    const link = row(page, failed).getByRole('link', { name: 'order.created' })
    await link.focus()
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'order.created → shipping' }).waitFor()
    await page.getByText('The last attempt of the schedule failed.').waitFor()
    await page.getByText('The plugin refused it').first().waitFor()
    await page.getByText('"no such order"').waitFor()
    for (const colorScheme of THEMES) {
      await page.emulateMedia({ colorScheme })
      t.same(await accessibilityFaults(page), [], colorScheme)
    }

    await page.getByRole('button', { name: 'Copy as cURL' }).click()
    const command = await until(
      async () => page.evaluate<string>('navigator.clipboard.readText()'),
      (text) => text !== '',
    )
    t.match(command, `curl -X POST '${shipping.url}/hooks'`)
    t.match(command, '"order_id":"ord_1"')

    shipping.answer(204)
    const before = mailer.received.length
    await page.getByRole('button', { name: 'Retry now' }).click()
    await page.getByText('Nothing: it has arrived.').waitFor()
    t.equal((await call<Delivery>('GET', `/api/plugins/events/${failed.id}`)).status, 'sent')
    t.equal(shipping.received.length, 6)
    t.equal(mailer.received.length, before)

    await page.getByRole('button', { name: 'Send again' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Send again' }).click()
    await page.getByText('Sending again, number 1').waitFor()
    t.notMatch(page.url(), failed.id)
    await shipping.waitFor(7)
    t.same(faults, [])
  })

  t.test('sends the selected ones again, and says what was refused', async (t) => {
    const extra = await startReceiver(t)
    extra.answer(400)
    await call('POST', '/api/plugins', {
      name: 'Short lived',
      slug: 'short-lived',
      webhook_url: extra.url,
      events: ['order.created'],
      retry_schedule: [],
    })
    await post(1)
    await extra.waitFor(1)
    await shipping.waitFor(8)
    const [doomed] = await until(
      async () => log('plugin=short-lived&status=failed'),
      (found) => found.length === 1,
    )
    const [first] = await log('plugin=shipping&status=failed')
    if (doomed === undefined || first === undefined) throw new Error('not all deliveries have failed')

    const { page, faults } = await visit('/console/deliveries?status=failed')
    for (const delivery of [doomed, first]) {
      await row(page, delivery).getByRole('checkbox').focus()
      await page.keyboard.press('Space')
    }
    await page.getByText('2 selected').waitFor()
    // Closing the dialog while it works stops it; the next time it asks anew.
    const closed = Promise.withResolvers<undefined>()
    await page.route(
      '**/api/plugins/events/*/retry',
      async (route) => {
        await closed.promise
        await route.abort()
      },
      { times: 1 },
    )
    await page.getByRole('button', { name: 'Retry selected' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Retry' }).click()
    await page.getByText('0 of 2').waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'hidden' })
    closed.resolve(undefined)
    await call('DELETE', '/api/plugins/short-lived')
    await page.getByRole('button', { name: 'Retry selected' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByText('To be sent again, with fresh attempts: 2.').waitFor()
    await dialog.getByRole('button', { name: 'Retry' }).click()
    await dialog.getByText('Accepted, and due now: 1.').waitFor()
    await dialog.getByText('Refused: 1').waitFor()
    t.same(await accessibilityFaults(page), [])
    await dialog.getByRole('button', { name: 'Close' }).last().click()
    await shipping.waitFor(9)
    t.same(
      faults.filter((fault) => !EXPECTED.test(fault)),
      [],
    )
  })

  t.test('retries all that match, by whatever they are found', async (t) => {
    shipping.answer(422)
    await post(2)
    await shipping.waitFor(shipping.received.length + 2)
    const failed = await until(
      async () => log('plugin=shipping&status=failed'),
      (found) => found.length === 5,
    )
    shipping.answer(204)
    const before = { shipping: shipping.received.length, mailer: mailer.received.length }
    const { page, faults } = await visit(
      '/console/deliveries?plugin=shipping&status=failed&error_class=http_4xx',
    )
    await page.getByRole('button', { name: 'Retry all that match…' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByText(`To be sent again, with fresh attempts: ${failed.length}.`).waitFor()
    t.same(await accessibilityFaults(page), [])
    await dialog.getByRole('button', { name: `Retry ${failed.length}` }).click()
    await dialog.getByText('completed').waitFor()
    await dialog.getByText(`Queued to be sent again: ${failed.length}.`).waitFor()
    t.same(await accessibilityFaults(page), [])
    await shipping.waitFor(before.shipping + failed.length)
    await until(
      async () => log('plugin=shipping&status=failed'),
      (found) => found.length === 0,
    )
    t.equal(shipping.received.length, before.shipping + failed.length)
    t.equal(mailer.received.length, before.mailer)
    await dialog.getByRole('button', { name: 'Close' }).last().click()
    await page.getByRole('heading', { name: 'Nothing matches' }).waitFor()
    t.same(faults, [])
  })

  t.test('sends again all that match, as many as the dry run has counted', async (t) => {
    const { count } = await call<{ count: number }>('POST', '/api/plugins/shipping/replays', {
      status: 'sent',
      dry_run: true,
    })
    t.ok(count > 0)
    const before = { shipping: shipping.received.length, mailer: mailer.received.length }
    const { page, faults } = await visit('/console/deliveries?plugin=shipping&status=sent')
    await page.getByRole('button', { name: 'Send again all that match…' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByRole('button', { name: 'Count first' }).waitFor()
    t.same(await accessibilityFaults(page), [])
    await dialog.getByRole('button', { name: 'Count first' }).click()
    await dialog.getByText(`Deliveries to be sent: ${count}`).waitFor()
    await dialog.getByRole('button', { name: `Send ${count} again` }).click()
    await page.getByRole('heading', { name: 'Replay to shipping' }).waitFor()
    await page.getByText('completed').waitFor()
    await page.getByText(`Deliveries queued: ${count}`).waitFor()
    await shipping.waitFor(before.shipping + count)
    t.equal(shipping.received.length, before.shipping + count)
    t.equal(mailer.received.length, before.mailer)
    for (const colorScheme of THEMES) {
      await page.emulateMedia({ colorScheme })
      t.same(await accessibilityFaults(page), [], colorScheme)
    }
    await page.getByRole('link', { name: '← Replays' }).click()
    await page.getByRole('link', { name: 'shipping' }).waitFor()
    t.same(await accessibilityFaults(page), [])
    t.same(faults, [])
  })

  t.test('counts what all plugins have never got, and shows it by plugin', async (t) => {
    const { page, faults } = await visit('/console/replays?tab=all')
    await page.getByRole('heading', { name: 'Nothing was sent again to all plugins yet' }).waitFor()
    await page.getByRole('button', { name: 'Send again' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Received from').fill('2026-01-01T00:00')
    await dialog.getByRole('button', { name: 'Count first' }).click()
    await page.getByRole('heading', { name: 'Replay to all plugins' }).waitFor()
    await page.getByText('Deliveries that would be queued: 0').waitFor()
    await page.getByRole('link', { name: 'shipping' }).waitFor()
    t.equal(await page.getByRole('button', { name: 'Send them now…' }).count(), 0, 'there is nothing to send')
    t.same(await accessibilityFaults(page), [])
    t.same(faults, [])
  })

  t.test('sends to all plugins what it has counted for them, and nothing that came since', async (t) => {
    const before = { shipping: shipping.received.length, mailer: mailer.received.length }
    const { page, faults } = await visit('/console/replays?tab=all')
    await page.getByRole('button', { name: 'Send again' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Received from').fill('2026-01-01T00:00')
    await dialog.getByLabel('Send', { exact: true }).selectOption('sent')
    t.equal(await dialog.getByRole('button', { name: 'Send again' }).count(), 0, 'nothing is sent uncounted')
    await dialog.getByRole('button', { name: 'Count first' }).click()
    await page.getByRole('button', { name: 'Send them now…' }).click()
    const said = await page.getByText(/Deliveries that would be queued: \d+/).textContent()
    const count = Number(said?.match(/\d+/)?.[0])
    t.ok(count > 1)
    await post(1)
    await shipping.waitFor(before.shipping + 1)
    t.same(await accessibilityFaults(page), [])
    await dialog.getByRole('button', { name: `Send ${count} again` }).press('Enter')
    await page.getByText(`Deliveries queued: ${count}`).waitFor()
    await until(
      async () => Promise.resolve(shipping.received.length + mailer.received.length),
      (now) => now >= before.shipping + before.mailer + count + 1,
    )
    await page.getByText('completed').first().waitFor()
    t.same(faults, [])
  })

  t.test('offers to send again what it shows only where that is what would be sent', async (t) => {
    const { page, faults } = await visit('/console/deliveries?plugin=shipping')
    await page.getByRole('link', { name: /order/ }).first().waitFor()
    const again = page.getByRole('button', { name: 'Send again all that match…' })
    t.equal(await again.count(), 0, 'without a status it would be all events that the plugin takes now')
    await page.getByRole('combobox', { name: 'Status' }).selectOption('sent')
    await again.waitFor()
    t.same(faults, [])
  })
})

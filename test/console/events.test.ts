import type { Page } from 'playwright-core'
import t from 'tap'
import { until } from '#test/infra/app-on.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { accessibilityFaults, noConsole, startConsole } from './support/console.ts'

interface Event {
  id: string
  event: string
  data: Record<string, unknown>
  deliveries: { id: string; plugin: string; resend: number; status: string }[]
}

const THEMES = ['light', 'dark'] as const
/** The browser's own messages about an answer that the page expects. */
const EXPECTED = /\b4(?:04|22)\b|Failed to load resource/

t.test('events and their types', { skip: noConsole }, async (t) => {
  const { call, url, visit } = await startConsole(t)
  const receiver = await startReceiver(t)
  const idOf = (page: Page): string => new URL(page.url()).pathname.split('/').at(-1) ?? ''
  const get = async (id: string): Promise<Event> => call<Event>('GET', `/api/events/${id}`)

  await t.test('say what an event is while there is none', async (t) => {
    for (const colorScheme of THEMES) {
      const { page, faults } = await visit('/console/events', { colorScheme })
      await page.getByRole('heading', { name: 'No event yet' }).waitFor()
      t.same(await accessibilityFaults(page), [], colorScheme)
      t.same(faults, [])
    }
  })

  await t.test('a test event begins as the sample of its type, and goes to who listens', async (t) => {
    await call('POST', '/api/plugins', {
      name: 'Mailer',
      slug: 'mailer',
      webhook_url: receiver.url,
      events: ['order.*'],
    })
    await call('POST', '/api/plugins', {
      name: 'Picky',
      slug: 'picky',
      webhook_url: receiver.url,
      events: [{ event: 'order.*', filter: { field: 'total', operator: 'gt', value: 1_000_000 } }],
    })
    const { page, faults } = await visit('/console/events')
    await page.getByRole('button', { name: 'Post test event' }).click()
    await page.getByRole('combobox', { name: 'Event type' }).fill('order.created')
    const data = page.getByRole('textbox', { name: 'Data' })
    const sample = await until(
      async () => data.inputValue(),
      (text) => text.includes('order_id'),
    )
    await data.fill(
      sample.replace(/"order_id": "[^"]*"/, '"order_id": "ord_test", "exact": 9007199254740993'),
    )
    t.same(await accessibilityFaults(page), [])
    await page.getByRole('dialog').getByRole('button', { name: 'Post', exact: true }).click()
    await page.waitForURL(/\/events\/[0-9a-f-]{36}$/)
    await page.getByText('"ord_test"').waitFor()
    await page.getByText('9007199254740993').waitFor()
    await page.getByRole('link', { name: 'picky' }).waitFor()
    await page.getByText('sent', { exact: true }).waitFor()
    for (const colorScheme of THEMES) {
      await page.emulateMedia({ colorScheme })
      t.same(await accessibilityFaults(page), [], colorScheme)
    }
    const [received] = await receiver.waitFor(1)
    t.match(received?.body ?? '', '"exact":9007199254740993')
    t.match(await get(idOf(page)), { event: 'order.created', deliveries: [{ plugin: 'mailer' }] })

    await page.getByRole('button', { name: 'Send again…' }).click()
    await page.getByRole('dialog').getByLabel('To').selectOption('mailer')
    await page.getByRole('dialog').getByRole('button', { name: 'Send again' }).click()
    await page.getByText('Sent again to mailer').waitFor()
    await receiver.waitFor(2)
    t.equal((await get(idOf(page))).deliveries.length, 2)
    t.same(faults, [])
  })

  await t.test(
    'the feed keeps its filters in the address, and tells what is wrong with an event',
    async (t) => {
      await call('POST', '/api/events', { event: 'order.paid', id: 'till-7', data: { amount: 'many' } })
      for (const colorScheme of THEMES) {
        const { page, faults } = await visit('/console/events?event=order.paid', { colorScheme })
        await page.getByText('does not match its schema').waitFor()
        t.equal(await page.getByRole('link', { name: 'order.created' }).count(), 0)
        t.same(await accessibilityFaults(page), [], colorScheme)
        await page.getByLabel('Sender’s own id').fill('till-8')
        await page.getByRole('heading', { name: 'Nothing matches' }).waitFor()
        t.match(page.url(), /source_id=till-8/)
        await page.getByLabel('Sender’s own id').fill('till-7')
        await page.getByRole('link', { name: 'order.paid' }).click()
        await page.getByText('The data does not match the schema of its type').waitFor()
        t.same(faults, [])
      }
    },
  )

  await t.test('the feed is narrowed by where events come from, in English and German', async (t) => {
    for (const locale of ['en-GB', 'de-DE']) {
      const isGerman = locale === 'de-DE'
      const { page, faults } = await visit('/console/events', { locale })
      const from = page.getByRole('combobox', { name: isGerman ? 'Von' : 'From', exact: true })
      const nothing = page.getByRole('heading', { name: isGerman ? 'Nichts passt' : 'Nothing matches' })
      const event = page.getByRole('link', { name: 'order.paid' }).first()
      await event.waitFor()
      await from.selectOption('cloudevents')
      await nothing.waitFor()
      t.match(page.url(), /source=cloudevents/)
      await from.selectOption('api')
      await event.waitFor()
      await page.getByRole('combobox', { name: 'Plugin', exact: true }).selectOption('mailer')
      await nothing.waitFor()
      t.match(page.url(), /plugin=mailer/)
      t.same(await accessibilityFaults(page), [])
      t.same(faults, [])
    }
  })

  await t.test('an event of which nobody hears says so, and leads to the runs that it started', async (t) => {
    await call('POST', '/api/automation/flows', {
      name: 'Greet',
      status: 'active',
      triggers: [{ type: 'event', event_type: 'customer.created' }],
      steps: [{ id: 'wait', type: 'delay', duration: '1 hour' }],
    })
    const { id } = await call<{ id: string }>('POST', '/api/events', {
      event: 'customer.created',
      data: { customer_id: 'cus_1' },
    })
    await until(
      async () => call<{ data: unknown[] }>('GET', `/api/automation/executions?event_id=${id}`),
      ({ data }) => data.length > 0,
    )
    const { page, faults } = await visit(`/console/events/${id}`)
    await page.getByRole('heading', { name: 'It goes to no plugin' }).waitFor()
    await page.getByRole('link', { name: 'Greet' }).waitFor()
    await call('POST', '/api/automation/executions/cancel', {})
    await page.getByRole('cell', { name: 'cancelled' }).waitFor()
    t.same(faults, [])
  })

  await t.test('the catalogue tells of each type its schema, its sample and who listens', async (t) => {
    for (const colorScheme of THEMES) {
      const { page, faults } = await visit('/console/catalogue', { colorScheme })
      await page.getByText('are taken, and what is wrong is noted').waitFor()
      await page.getByLabel('Search', { exact: true }).fill('order.cre')
      await page.getByText('1 in all').waitFor()
      t.match(page.url(), /q=order.cre/)
      t.same(await accessibilityFaults(page), [], colorScheme)
      await page.getByRole('link', { name: 'order.created' }).click()
      await page.getByRole('link', { name: 'Mailer' }).waitFor()
      await page.getByText('No flow starts by it.').waitFor()
      t.equal(await page.getByRole('button', { name: 'Change' }).count(), 0)
      t.same(await accessibilityFaults(page), [], colorScheme)
      const dialog = page.getByRole('dialog')
      for (const opening of ['first', 'second']) {
        await page.getByRole('button', { name: 'Post test event' }).click()
        const data = await until(
          async () => dialog.getByLabel('Data').inputValue(),
          (text) => text !== '{}',
        )
        t.match(data, '"order_id"', opening)
        await dialog.getByRole('button', { name: 'Cancel' }).click()
        await dialog.waitFor({ state: 'hidden' })
      }
      t.same(faults, [])
    }
  })

  await t.test('a type of one’s own is declared, changed and deleted', async (t) => {
    const { page, faults } = await visit('/console/catalogue')
    await page.getByRole('button', { name: 'Declare type' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByRole('textbox', { name: 'Name' }).waitFor()
    t.same(await accessibilityFaults(page), [])
    await dialog.getByRole('textbox', { name: 'Name' }).fill('shop.coupon_used')
    await dialog.getByLabel('What happened').fill('A coupon was used.')
    await dialog.getByLabel('Sample').fill('{"coupon": 5}')
    await dialog.getByLabel('Schema').fill('{"coupon": "string"}')
    await dialog.getByRole('button', { name: 'Save' }).click()
    await dialog.getByRole('alert').waitFor()
    await dialog.getByLabel('Sample').fill('{"coupon": "SPRING"}')
    await dialog.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('heading', { name: 'shop.coupon_used' }).waitFor()
    await page.getByRole('button', { name: 'Change' }).click()
    await dialog.getByLabel('What happened').fill('A coupon was used at the till.')
    await dialog.getByRole('button', { name: 'Save' }).click()
    await dialog.waitFor({ state: 'hidden' })
    await page.getByText('A coupon was used at the till.').waitFor()
    t.match(await call('GET', '/api/event-types/shop.coupon_used'), {
      source: 'tenant',
      description: 'A coupon was used at the till.',
      sample: { coupon: 'SPRING' },
    })
    await page.getByRole('button', { name: 'Delete' }).click()
    await dialog.getByRole('button', { name: 'Delete' }).click()
    await page.waitForURL(/\/catalogue$/)
    t.equal((await fetch(`${url}/api/event-types/shop.coupon_used`)).status, 404)
    t.same(
      faults.filter((fault) => !EXPECTED.test(fault)),
      [],
    )
  })
})

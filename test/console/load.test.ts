import { setTimeout as pause } from 'node:timers/promises'
import type { Page } from 'playwright-core'
import t from 'tap'
import { until } from '#test/infra/app-on.ts'
import { noConsole, startConsole } from './support/console.ts'
import { countRequests, rendererOf } from './support/measure.ts'

const ROWS = 10_000
const BATCH = 1_000
/** The most rows that a list asks for and shows at once. */
const PAGE_MAX = 100
const PAGES = 4
/** The factor by which a payload of a hundred times the size may cost more CPU. */
const CPU_RATIO = 12
/** Elements that show a payload before anybody opens anything. */
const SHOWN_ELEMENTS = 3_000
const RATE_PER_SECOND = 200
const SECONDS = 5
const TICKS_PER_SECOND = 10
/** Hints are gathered: so often a second a list is read anew, at most, with as much again for luck. */
const READS_PER_SECOND = 2

interface Made {
  id: string
}

// Not in TypeScript's library yet.
const { rawJSON } = JSON as unknown as { rawJSON: (source: string) => unknown }

function orders(count: number): object {
  const list = Array.from({ length: count }, (_, index) => ({
    sku: `sku-${index}`,
    exact: rawJSON('12345678901234567890.10'),
    tags: ['new', 'sale'],
  }))
  return { orders: list }
}
const BYTES_OF_ORDER = JSON.stringify(orders(1)).length
/**
 * Payloads that are large each in a way of its own: many things, one long text, a hundred that hold a hundred that
 * hold a hundred.
 */
const LARGE: Readonly<Record<string, object>> = {
  many: orders(Math.floor(950_000 / BYTES_OF_ORDER)),
  long: { text: 'ä"x '.repeat(150_000) },
  deep: {
    table: Array.from({ length: 100 }, () =>
      Array.from({ length: 100 }, () => Array.from({ length: 45 }, () => 7)),
    ),
  },
}

t.setTimeout(300_000)

t.test('much', { skip: noConsole }, async (t) => {
  const { call, visit } = await startConsole(t)
  const rowsOf = (page: Page) => page.locator('main tbody tr')
  await call('POST', '/api/plugins', {
    name: 'Mailer',
    slug: 'mailer',
    webhook_url: 'http://127.0.0.1:9/',
    events: ['order.*'],
  })
  await call('POST', '/api/plugins/mailer/pause', {})
  for (let first = 0; first < ROWS; first += BATCH) {
    const events = Array.from({ length: BATCH }, (_, index) => ({
      event: first + index === 4_321 ? 'order.refunded' : 'order.created',
      data: { order_id: `ord_${first + index}` },
    }))
    await call('POST', '/api/events', { events })
  }

  for (const list of ['events', 'deliveries']) {
    await t.test(`${list}: ten thousand of them are gone through page by page`, async (t) => {
      const { page, faults } = await visit(`/console/${list}`)
      const path = list === 'events' ? '/api/events' : '/api/plugins/events'
      await rowsOf(page).first().waitFor()
      const first = await rowsOf(page).count()
      t.ok(first > 0 && first <= PAGE_MAX, `${first} rows at once`)
      const further = countRequests(page, path, (url) => url.searchParams.has('cursor'))
      for (let count = 2; count <= PAGES; count += 1) {
        await page.getByRole('button', { name: 'Show more' }).click()
        await page.getByText(`${first * count} shown`).waitFor()
        t.equal(await rowsOf(page).count(), first * count, 'as many rows as were asked for')
        t.equal(further(), count - 1, 'what is there is not read again')
      }
      await page.getByLabel('Event type').fill('order.refunded')
      await page.getByText('1 in all').waitFor()
      t.equal(await rowsOf(page).count(), 1)
      await page.getByRole('link', { name: 'order.refunded' }).click()
      await page.getByRole('heading', { name: /^order\.refunded/, level: 1 }).waitFor()
      await page.goBack()
      await page.getByText('1 in all').waitFor()
      t.same(faults, [])
      await page.context().close()
    })
  }

  const post = async (name: string, data: object): Promise<Made> =>
    call<Made>('POST', '/api/events', { event: `size.${name}`, data })

  await t.test(
    'a megabyte is opened as what is small, a piece at a time, and is copied exactly',
    async (t) => {
      const little = orders(Math.floor(10_000 / BYTES_OF_ORDER))
      const small = { one: little, two: little, three: little }
      for (const [name, data] of Object.entries({ ...small, ...LARGE })) await post(name, data)
      const { page, faults } = await visit('/console/events?event=size.*', {
        permissions: ['clipboard-read', 'clipboard-write'],
      })
      const renderer = await rendererOf(page)
      const view = page.getByRole('region', { name: 'Data' })
      const opened = async (name: string): Promise<number> => {
        const link = page.getByRole('link', { name: `size.${name}`, exact: true })
        await link.waitFor()
        const before = await renderer.cpuMs()
        await link.click()
        await view.waitFor()
        await page.getByRole('heading', { name: 'It goes to no plugin' }).waitFor()
        return (await renderer.cpuMs()) - before
      }
      const costs: number[] = []
      for (const name of Object.keys(small)) {
        costs.push(await opened(name))
        await page.goBack()
      }
      // The first one also loads the page that shows it.
      const usual = Math.max(...costs.slice(1))
      for (const [name, data] of Object.entries(LARGE)) {
        const exact = JSON.stringify(data)
        t.ok(exact.length > 600_000, `${name}: ${exact.length} characters`)
        const cpu = await opened(name)
        t.ok(
          cpu <= usual * CPU_RATIO,
          `${name}: ${Math.round(cpu)} ms of CPU, a hundredth ${Math.round(usual)} ms`,
        )
        const elements = view.locator('*')
        const atFirst = await elements.count()
        t.ok(atFirst <= SHOWN_ELEMENTS, `${name}: ${atFirst} elements`)
        const text = ((await view.textContent()) ?? '').length
        t.ok(text < exact.length / 10, `${name}: ${text} characters are shown`)
        await page.getByRole('button', { name: 'Copy Data' }).click()
        await page.getByRole('button', { name: 'Copied' }).waitFor()
        const copied = await page.evaluate<string>('navigator.clipboard.readText()')
        t.ok(copied === JSON.stringify(data, null, 2), `${name} is copied as it came`)
        const more = view.getByRole('button', { name: /more/ })
        if ((await more.count()) > 0) {
          await more.first().click()
          await until(
            async () => ((await view.textContent()) ?? '').length,
            (length) => length > text,
          )
        }
        await page.goBack()
      }
      t.same(faults, [])
      await page.context().close()
    },
  )

  t.test('two hundred events a second: a page that is open stays small, and can be used', async (t) => {
    const { id } = await post('open', orders(5_000))
    const { page, faults } = await visit('/console/events')
    const other = await page.context().newPage()
    await other.goto(page.url().replace(/events$/, `events/${id}`))
    await other.getByRole('region', { name: 'Data' }).waitFor()
    await page.bringToFront()
    await rowsOf(page).first().waitFor()
    const first = await rowsOf(page).count()
    const renderer = await rendererOf(page)
    const heldBefore = await renderer.heldBytes()
    const reads = countRequests(page, '/api/events')
    const readsOfOne = countRequests(other, `/api/events/${id}`)
    const startedAt = performance.now()

    const send = async (): Promise<void> => {
      const answers: Promise<unknown>[] = []
      while (answers.length < SECONDS * TICKS_PER_SECOND) {
        const events = Array.from({ length: RATE_PER_SECOND / TICKS_PER_SECOND }, () => ({
          event: 'order.created',
          data: { order_id: 'ord_live' },
        }))
        answers.push(call('POST', '/api/events', { events }))
        await pause(1_000 / TICKS_PER_SECOND)
      }
      await Promise.all(answers)
    }
    const use = async (): Promise<void> => {
      for (let times = 0; times < 3; times += 1) {
        await page.getByRole('button', { name: 'Post test event' }).click()
        await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
        await page.getByRole('dialog').waitFor({ state: 'hidden' })
        // Under the pointer rows would stay as they are.
        await page.mouse.move(0, 0)
      }
    }
    const sending = send()
    await use()
    await sending
    await call('POST', '/api/events', { event: 'order.closed', id: 'the-last-one', data: {} })
    await page.getByText('the-last-one').waitFor()
    const seconds = (performance.now() - startedAt) / 1_000
    t.ok((await rowsOf(page).count()) <= first, 'as many rows as before')
    t.ok(
      reads() > 0 && reads() <= READS_PER_SECOND * seconds + 1,
      `${reads()} reads in ${Math.round(seconds)} s`,
    )
    t.equal(readsOfOne(), 0, 'the data of an event is not read again because others were delivered')
    const held = await renderer.heldBytes()
    t.ok(held <= heldBefore * 2, `${held} bytes are held, ${heldBefore} before`)

    await rowsOf(page).nth(5).hover()
    await call('POST', '/api/events', { event: 'order.closed', id: 'one-more', data: {} })
    await page.getByRole('button', { name: 'Show 1 new' }).click()
    await page.getByText('one-more').waitFor()
    t.same(faults, [])
  })
})

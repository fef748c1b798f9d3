import type { Page } from 'playwright-core'
import t from 'tap'
import { noConsole, startConsole, watchFaults } from './support/console.ts'
import { becomes } from './support/wait.ts'

/** Browsers open six connections to a service: a stream for each page would leave none for their requests. */
const PAGES = 7
/** Less than after which pages look by the clock. */
const TOLD_MS = 25_000

/** Counts the streams that a page has open. */
function countStreams(page: Page): () => number {
  let open = 0
  const isStream = (request: { url: () => string }): boolean =>
    new URL(request.url()).pathname === '/api/stream'
  page.on('request', (request) => (open += isStream(request) ? 1 : 0))
  page.on('requestfinished', (request) => (open -= isStream(request) ? 1 : 0))
  page.on('requestfailed', (request) => (open -= isStream(request) ? 1 : 0))
  return () => open
}

t.test('pages side by side share one stream, and all show what happens', { skip: noConsole }, async (t) => {
  const { call, visit, url } = await startConsole(t)
  await call('POST', '/api/automation/flows', {
    name: 'Thanks',
    status: 'active',
    trigger: { type: 'event', event_types: ['order.created'] },
    steps: [{ id: 'note', type: 'set', variables: { a: 1 } }],
  })
  const order = async (): Promise<unknown> =>
    call('POST', '/api/events', { event: 'order.created', data: {} })
  const { page: first, faults } = await visit('/console/runs')
  const pages: { page: Page; streams: () => number }[] = []
  for (let count = 0; count < PAGES; count += 1) {
    const page = await first.context().newPage()
    watchFaults(page, faults)
    pages.push({ page, streams: countStreams(page) })
    await page.goto(`${url}/console/runs`)
    await page.getByText('No run yet').waitFor()
  }
  await first.close()

  const shown = async (count: number): Promise<void> => {
    for (const { page } of pages) {
      const rows = page.getByRole('link', { name: 'Thanks' })
      await rows.nth(count - 1).waitFor({ timeout: TOLD_MS })
    }
  }
  await order()
  await shown(1)
  const following = (): number => pages.filter(({ streams }) => streams() > 0).length
  await becomes(t, following, 1, 'one of them follows')

  const holder = pages.findIndex(({ streams }) => streams() > 0)
  await pages[holder]?.page.close()
  pages.splice(holder, 1)
  await order()
  await shown(2)
  await becomes(t, following, 1, 'another one took over')
  t.same(faults, [])
})

import type { Page } from 'playwright-core'
import t from 'tap'
import { startReceiver } from '#test/support/receiver.ts'
import { accessibilityFaults, noConsole, startConsole, watchFaults } from './support/console.ts'
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

t.test(
  'a list says how it stands: connecting, live, or offline until the next try',
  { skip: noConsole },
  async (t) => {
    const { visit, url } = await startConsole(t)
    const { page: first } = await visit('/console/runs')
    const context = first.context()
    await first.close()
    const held = Promise.withResolvers<undefined>()
    await context.route('**/api/stream', async (route) => {
      await held.promise
      await route.continue()
    })
    const page = await context.newPage()
    await page.goto(`${url}/console/runs`)
    await page.getByText('No run yet').waitFor()
    await page.getByText('Connecting…').waitFor()
    t.equal(await page.getByText('● Live').count(), 0)
    held.resolve(undefined)
    await page.getByText('● Live').waitFor()

    // A page beside it has no stream of its own, and asks how that of the first stands.
    const beside = await context.newPage()
    await beside.goto(`${url}/console/runs`)
    await beside.getByText('● Live').waitFor()
    await context.unroute('**/api/stream')
    await context.route('**/api/stream', (route) => route.abort())
    // The page that follows is left, and the other one takes over.
    await page.close()
    // So long that it can be pressed before the next try comes by itself.
    await beside.getByText(/Offline, trying again in 1\d s/).waitFor()
    t.same(await accessibilityFaults(beside), [])
    await context.unroute('**/api/stream')
    const live = beside.getByText('● Live')
    await Promise.any([beside.getByRole('button', { name: 'Try now' }).click(), live.waitFor()])
    await live.waitFor()

    // What stands before a service that is away answers for it.
    await context.route('**/api/stream', (route) =>
      route.fulfill({ status: 502, contentType: 'text/html', body: '<h1>Bad gateway</h1>' }),
    )
    const next = await context.newPage()
    await next.goto(`${url}/console/runs`)
    await beside.close()
    await next.getByText(/Offline, trying again in/).waitFor()
    await context.unroute('**/api/stream')
    await next.getByText('● Live').waitFor()
  },
)

t.test('lists of replays and erasures move by themselves', { skip: noConsole }, async (t) => {
  const { call, visit } = await startConsole(t)
  const receiver = await startReceiver(t)
  await call('POST', '/api/plugins', {
    name: 'Mailer',
    slug: 'mailer',
    webhook_url: receiver.url,
    events: ['order.*'],
  })
  await call('POST', '/api/events', { event: 'order.created', data: { email: 'ana@shop.example' } })
  await receiver.waitFor(1)
  const lists = [
    {
      path: '/console/replays',
      empty: 'Nothing was sent again yet',
      ask: async () => call('POST', '/api/plugins/mailer/replays', {}),
    },
    {
      path: '/console/replays?tab=all',
      empty: 'Nothing was sent again to all plugins yet',
      ask: async () => call('POST', '/api/recoveries', { since: '2020-01-01T00:00:00Z' }),
    },
    {
      path: '/console/settings?tab=erasures',
      empty: 'Nothing was erased yet',
      ask: async () => call('POST', '/api/erasures', { path: 'email', value: 'ana@shop.example' }),
    },
  ]
  for (const { path, empty, ask } of lists) {
    const { page, faults } = await visit(path)
    await page.getByRole('heading', { name: empty }).waitFor()
    await ask()
    await page.getByRole('row', { name: /completed/ }).waitFor({ timeout: TOLD_MS })
    t.same(faults, [], path)
    await page.context().close()
  }
})

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

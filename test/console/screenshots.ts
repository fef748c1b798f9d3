/**
 * `npm run docs:screenshots`: takes the pictures of docs/console.md anew, from a service and a shop of its own, in the
 * browser that the tests use. It is no test: pictures differ from machine to machine by their fonts.
 */
import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Page } from 'playwright-core'
import t from 'tap'
import { until } from '#test/infra/app-on.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { noConsole, settled, startConsole } from './support/console.ts'
import { fillShop } from './support/shop.ts'

const FOLDER = resolve(import.meta.dirname, '../../docs/images')
const MAX_BYTES = 60_000
const QUALITY = 75
const VIEWPORT = { width: 1080, height: 640 }

async function shoot(page: Page, name: string): Promise<void> {
  await settled(page)
  await page.mouse.move(0, 0)
  // Of the formats that browsers write, the one that is small enough to be kept with the sources.
  const session = await page.context().newCDPSession(page)
  const { data } = await session.send('Page.captureScreenshot', { format: 'webp', quality: QUALITY })
  const picture = Buffer.from(data, 'base64')
  const { length: size } = picture
  t.ok(size <= MAX_BYTES, `${name}: ${size} bytes, at most ${MAX_BYTES}`)
  await writeFile(resolve(FOLDER, `console-${name}.webp`), picture)
}

/** For all of it; the machine may be busy. */
t.setTimeout(10 * 60_000)

t.test('pictures for docs/console.md', { skip: noConsole }, async (t) => {
  const { call, visit } = await startConsole(t)
  const receiver = await startReceiver(t)
  receiver.answer(({ path }, response) => {
    response.writeHead(path.includes('bad') ? 400 : path.includes('busy') ? 503 : 200).end('{}')
  })
  const addresses = await fillShop(call, receiver.url)
  const { id: flow } = await call<{ id: string }>('POST', '/api/automation/flows', {
    name: 'Thank good customers',
    status: 'active',
    triggers: [{ type: 'manual' }, { type: 'event', event_types: ['order.paid'] }],
    steps: [
      { id: 'large', name: 'Large order?', type: 'condition', field: 'total', operator: 'gte', value: 50 },
      {
        id: 'coupons',
        name: 'For each item',
        type: 'for_each',
        list: '{{trigger.items}}',
        body: [{ id: 'coupon', name: 'Make a coupon', type: 'http', url: `${receiver.url}/coupon` }],
      },
      {
        id: 'tell',
        name: 'Tell the warehouse',
        type: 'http',
        url: `${receiver.url}/busy`,
        retry: { max_retries: 3, base_ms: 600_000 },
      },
    ],
  })
  const { execution_id: run } = await call<{ execution_id: string }>(
    'POST',
    `/api/automation/flows/${flow}/run`,
    { input: { total: 120, items: ['shirt', 'shoes', 'hat'] } },
  )
  await until(
    async () => call<{ status: string }>('GET', `/api/automation/executions/${run}`),
    ({ status }) => status === 'waiting',
  )
  const options = { viewport: VIEWPORT, colorScheme: 'light' } as const
  const show = async (path: string): Promise<Page> => (await visit(path, options)).page
  await shoot(await show('/console'), 'overview')
  const running = await show(`/console/runs/${run}?step=tell`)
  await running.getByRole('treeitem', { name: /Tell the warehouse.*waiting/ }).waitFor()
  await running.locator('[data-step="tell"]').waitFor()
  await shoot(running, 'run')
  const builder = await show(`/console/flows/${flow}?tab=edit`)
  await builder.locator('[data-step="large"]').click()
  await shoot(builder, 'builder')
  await shoot(await show(addresses['/deliveries/:id'] ?? ''), 'delivery')
  await shoot(await show('/console/operation'), 'operation')
})

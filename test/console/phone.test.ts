import type { Page } from 'playwright-core'
import t from 'tap'
import { until } from '#test/infra/app-on.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { goTo, noConsole, startConsole } from './support/console.ts'
import { fillShop } from './support/shop.ts'
import { becomes } from './support/wait.ts'

const PHONE = {
  viewport: { width: 390, height: 844 },
  deviceScaleFactor: 2,
  hasTouch: true,
  isMobile: true,
} as const
/** Fingers hit that. */
const TARGET_PX = 40

/** Returns the pixels by which the page is wider than the phone. */
const tooWide = async (page: Page): Promise<number> =>
  page.evaluate<number>('document.documentElement.scrollWidth - 390')

/** The controls that are smaller than a finger, but for the steps of the canvas and the lines of JSON. */
const tooSmall = async (page: Page): Promise<string[]> =>
  page.evaluate<string[]>(`(() => {
    const controls = 'button, select, input:not([type=checkbox], [type=radio]), textarea, summary, nav a, a.button, [role=switch], [role=menuitem]'
    return [...document.querySelectorAll(controls)]
      .filter((each) => each.checkVisibility() && each.closest('.svelte-flow, .view, .skip') === null)
      .map((each) => ({ each, box: each.getBoundingClientRect() }))
      .filter(({ box }) => box.width > 1 && Math.min(box.width, box.height) < ${TARGET_PX})
      .map(({ each, box }) => Math.round(box.width) + 'x' + Math.round(box.height) + ' ' + each.outerHTML.slice(0, 160))
  })()`)

t.setTimeout(300_000)

t.test('on a phone', { skip: noConsole }, async (t) => {
  const { call, visit } = await startConsole(t)
  const receiver = await startReceiver(t)
  let isMended = false
  receiver.answer(({ path }, response) => {
    response.writeHead(path.includes('bad') && !isMended ? 422 : 204).end()
  })
  const addresses = await fillShop(call, receiver.url)

  async function choose(page: Page, name: string): Promise<void> {
    await page.getByRole('button', { name: 'Pages' }).tap()
    await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name, exact: true }).tap()
    await page.getByRole('heading', { name, level: 1 }).waitFor()
  }

  await t.test('no page is wider than the screen, and every control is as large as a finger', async (t) => {
    const { page, faults } = await visit('/console', PHONE)
    t.equal(await page.evaluate<boolean>("matchMedia('(pointer: coarse)').matches"), true)
    for (const [pattern, address] of Object.entries(addresses)) {
      await goTo(page, address)
      await becomes(t, async () => tooWide(page), 0, pattern)
      await becomes(t, async () => tooSmall(page), [], pattern)
    }
    await page.getByRole('button', { name: 'Pages' }).tap()
    await page.getByRole('navigation', { name: 'Pages' }).getByRole('link').first().waitFor()
    await becomes(t, async () => tooSmall(page), [], 'the pages to go to')
    t.same(faults, [])
    await page.context().close()
  })

  t.test('a run is read and retried', async (t) => {
    const { page, faults } = await visit('/console', PHONE)
    await choose(page, 'Runs')
    await page
      .getByRole('row', { name: /failed/ })
      .getByRole('link', { name: 'Send the bill' })
      .last()
      .tap()
    await page.getByText('What went wrong').waitFor()
    await page
      .getByRole('region', { name: 'Steps' })
      .getByRole('link', { name: /^Start/ })
      .tap()
    await page.getByRole('region', { name: 'Steps' }).getByRole('link', { name: /^Bill/ }).tap()
    await page.getByText('The request was refused').first().waitFor()
    isMended = true
    const before = page.url()
    await page.getByRole('button', { name: 'Retry…' }).tap()
    await page.getByRole('dialog').getByRole('button', { name: 'Retry' }).waitFor()
    await becomes(t, async () => tooSmall(page), [])
    await page.getByRole('dialog').getByRole('button', { name: 'Retry' }).tap()
    await page.waitForURL((address) => !before.includes(address.pathname))
    const retry = await until(
      async () =>
        call<{ status: string }>(
          'GET',
          `/api/automation/executions/${new URL(page.url()).pathname.split('/').at(-1)}`,
        ),
      ({ status }) => status === 'completed',
    )
    t.equal(retry.status, 'completed')
    await page
      .getByRole('region', { name: 'Steps' })
      .getByRole('link', { name: /^Bill.*succeeded/ })
      .waitFor()
    await becomes(t, async () => tooWide(page), 0)
    t.same(faults, [])
  })

  t.test('a plugin is paused', async (t) => {
    const { page, faults } = await visit('/console', PHONE)
    await choose(page, 'Plugins')
    await page.getByRole('link', { name: 'Mailer' }).tap()
    await page.getByRole('button', { name: 'Pause', exact: true }).tap()
    await page.getByRole('dialog').getByRole('button', { name: 'Pause' }).waitFor()
    await becomes(t, async () => tooSmall(page), [])
    await page.getByRole('dialog').getByRole('button', { name: 'Pause' }).tap()
    await page.getByText('It was paused by the shop.').waitFor()
    t.match(await call('GET', '/api/plugins/mailer'), { status: 'paused' })
    await becomes(t, async () => tooWide(page), 0)
    t.same(faults, [])
  })

  t.test('everything is halted, and goes on', async (t) => {
    const { page, faults } = await visit('/console', PHONE)
    await choose(page, 'Settings')
    await page.getByRole('button', { name: 'Halt everything' }).tap()
    await page.getByRole('dialog').getByRole('button', { name: 'Halt everything' }).tap()
    await page.getByText('All flows and automations of this shop are halted').waitFor()
    t.match(await call('GET', '/api/automation/halt'), { halted: true })
    await becomes(t, async () => tooWide(page), 0)
    await page.getByRole('button', { name: 'Resume' }).tap()
    await page.getByRole('dialog').getByRole('button', { name: 'Resume' }).tap()
    await page.getByText('Flows run').waitFor()
    t.match(await call('GET', '/api/automation/halt'), { halted: false })
    t.same(faults, [])
  })
})

import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { until } from '#test/infra/app-on.ts'
import { startReceiver } from '#test/support/receiver.ts'
import {
  accessibilityFaults,
  goTo,
  type ConsolePage,
  noConsole,
  settled,
  startConsole,
} from './support/console.ts'
import { fillShop, routePatterns } from './support/shop.ts'
import { becomes } from './support/wait.ts'

/** Rules whose result differs from one theme to the other. */
const BY_THEME = ['color-contrast', 'link-in-text-block']
/** The browser's messages about things that are not there: the page says so itself. */
const NOT_THERE = /\b404\b|Failed to load resource/
/** Pages whose look without entries, in the light, is covered by their own tests. */
const SEEN_EMPTY = /^\/(flows|runs|plugins(\/new)?|deliveries|events)$/
/** Pages of an administrator that stand behind a tab. */
const TABS = [
  '/keys?tab=sessions',
  '/keys?tab=links',
  '/settings?tab=usage',
  '/settings?tab=platform',
  '/settings?tab=erasures',
]
const NOBODY = '00000000-0000-7000-8000-000000000000'

/** Returns the place of the focus: the landmark, or the link that skips to the page. */
const placeOfFocus = async (page: Page): Promise<string> =>
  page.evaluate<string>(`(() => {
    const focused = document.activeElement
    if (focused.matches('.skip')) return 'skip'
    return focused.closest('main') ? 'main' : focused.closest('nav, .sidebar') ? 'nav' : focused.closest('header') ? 'header' : focused.tagName
  })()`)

/** The places that Tab comes to, each once in a row, until it is in the page. */
async function orderOfFocus(page: Page): Promise<string[]> {
  const places: string[] = []
  for (let presses = 0; presses < 80 && places.at(-1) !== 'main'; presses += 1) {
    await page.keyboard.press('Tab')
    const place = await placeOfFocus(page)
    if (place !== places.at(-1)) places.push(place)
  }
  return places
}

t.setTimeout(300_000)

t.test('for everybody', { skip: noConsole }, async (t) => {
  const { url, call, visit } = await startConsole(t)
  const receiver = await startReceiver(t)
  receiver.answer(({ path }, response) => response.writeHead(path.includes('bad') ? 422 : 204).end())

  async function areFit(
    t: Test,
    { page }: ConsolePage,
    addresses: readonly (readonly [pattern: string, address: string])[],
    isSeen: (pattern: string) => boolean = () => false,
  ): Promise<void> {
    for (const [pattern, address] of addresses) {
      await page.emulateMedia({ colorScheme: 'light' })
      await goTo(page, address)
      if (!isSeen(pattern)) t.same(await accessibilityFaults(page), [], address)
      await page.emulateMedia({ colorScheme: 'dark' })
      t.same(await accessibilityFaults(page, BY_THEME), [], `${address} in the dark`)
    }
  }

  await t.test('every page is fit while nothing is there', async (t) => {
    const addresses = [...(await routePatterns()), ...TABS].map(
      (pattern) => [pattern, `/console${pattern.replace(/:\w+/, NOBODY)}`] as const,
    )
    const opened = await visit('/console')
    await areFit(t, opened, addresses, (pattern) => SEEN_EMPTY.test(pattern))
    t.same(
      opened.faults.filter((fault) => !NOT_THERE.test(fault)),
      [],
    )
    await opened.page.context().close()
  })

  const addresses = await fillShop(call, receiver.url)

  t.test('every page is fit with what is there', async (t) => {
    const opened = await visit('/console')
    const tabs = TABS.map((tab) => [tab, `/console${tab}`] as const)
    await areFit(t, opened, [...Object.entries(addresses), ...tabs])
    t.same(opened.faults, [])
    await opened.page.context().close()
  })

  t.test('Tab comes to the way past the menus first, then to them, then to the page', async (t) => {
    for (const address of ['/console/plugins', '/console/runs']) {
      const { page } = await visit(address)
      await settled(page)
      t.same(await orderOfFocus(page), ['skip', 'header', 'nav', 'main'], address)
      await page.reload()
      await settled(page)
      await page.keyboard.press('Tab')
      await page.keyboard.press('Enter')
      t.equal(await placeOfFocus(page), 'main', address)
      await page.keyboard.press('Tab')
      t.equal(await placeOfFocus(page), 'main', address)
      await page.context().close()
    }
  })

  t.test('twice as large, everything is within reach', async (t) => {
    const { page, faults } = await visit('/console', {
      viewport: { width: 720, height: 450 },
      deviceScaleFactor: 2,
    })
    for (const [pattern, address] of Object.entries(addresses)) {
      await goTo(page, address)
      await becomes(
        t,
        async () => page.evaluate<number>('document.documentElement.scrollWidth - 720'),
        0,
        pattern,
      )
    }
    await page.getByRole('button', { name: 'Pages' }).click()
    await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Variables' }).click()
    await page.getByRole('heading', { name: 'Variables', level: 1 }).waitFor()
    await page.getByRole('button', { name: 'Set variable' }).first().click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Name').fill('zoomed')
    await dialog.getByLabel('Description').fill('Written twice as large')
    await dialog.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('row', { name: /zoomed/ }).waitFor()
    t.match(await call('GET', '/api/variables/zoomed'), { description: 'Written twice as large' })
    t.same(
      faults.filter((fault) => !NOT_THERE.test(fault)),
      [],
    )
    await page.context().close()
  })

  t.test('nothing moves for whoever wants no movement', async (t) => {
    const { page, faults } = await visit('/console', { reducedMotion: 'reduce' })
    let release = (): void => undefined
    const released = new Promise<void>((resolve) => (release = resolve))
    await page.route(/\/api\/plugins(\?|$)/, async (route) => {
      await released
      await route.continue()
    })
    await page.getByRole('link', { name: 'Plugins', exact: true }).first().click()
    await page.locator('main .skeleton').waitFor()
    const endless = `document.getAnimations().filter((each) => each.effect.getComputedTiming().iterations === Infinity).length`
    t.equal(await page.evaluate<number>(endless), 0)
    release()
    await page.getByRole('link', { name: 'Mailer' }).waitFor()
    await page.goto(`${url}${addresses['/runs/:id']}`)
    await page.getByRole('treeitem', { name: /Bill.*failed/ }).waitFor()
    await until(
      async () => page.evaluate<number>('document.getAnimations().length'),
      (count) => count === 0,
    )
    t.same(faults, [])
    await page.context().close()
  })

  t.test('in colours of one’s own, buttons and what has the focus are still seen', async (t) => {
    const { page, faults } = await visit('/console', { forcedColors: 'active' })
    for (const pattern of ['/', '/plugins/:slug', '/runs/:id', '/flows/:id', '/settings']) {
      await page.goto(`${url}${addresses[pattern]}`)
      await settled(page)
      t.same(await accessibilityFaults(page), [], pattern)
      const unseen = await page.evaluate<
        string[]
      >(`[...document.querySelectorAll('main .button, main select, main input.input')]
        .filter((each) => each.checkVisibility() && getComputedStyle(each).borderTopColor === getComputedStyle(each).backgroundColor)
        .map((each) => each.outerHTML.slice(0, 120))`)
      t.same(unseen, [], pattern)
    }
    await page.keyboard.press('Tab')
    t.equal(await page.evaluate<string>('getComputedStyle(document.activeElement).outlineStyle'), 'solid')
    t.same(faults, [])
    await page.context().close()
  })
})

import type { CDPSession, Page } from 'playwright-core'
import t from 'tap'
import { noConsole, startConsole } from './support/console.ts'
import { becomes, middleOf } from './support/wait.ts'

interface Definition {
  steps: Record<string, unknown>[]
  layout?: { positions?: Record<string, unknown> }
}
interface Point {
  x: number
  y: number
}

const FLOWS = '/api/automation/flows'
const TABLET = { viewport: { width: 1024, height: 1366 }, isMobile: true, hasTouch: true }
const MOVES = 12
const set = (id: string, next = 'end') => ({ id, type: 'set', variables: { x: id }, next })

const card = (page: Page, id: string) => page.locator(`[data-step="${id}"]`)
const item = (page: Page, id: string) => page.locator(`[role="treeitem"][data-id="${id}"]`)
const palette = (page: Page) => page.getByRole('region', { name: 'Steps to add' })

/** A finger as the browser gets it from the screen: down, along, and up unless it is held. */
async function drag(finger: CDPSession, from: Point, to: Point): Promise<void> {
  const send = async (type: 'touchStart' | 'touchMove' | 'touchEnd', points: Point[]): Promise<void> => {
    await finger.send('Input.dispatchTouchEvent', { type, touchPoints: points })
  }
  await send('touchStart', [from])
  // Sideways first, as out of a list that fingers scroll up and down.
  const aside = { x: from.x + Math.sign(to.x - from.x) * 40, y: from.y }
  await send('touchMove', [{ x: (from.x + aside.x) / 2, y: from.y }])
  await send('touchMove', [aside])
  for (let move = 1; move <= MOVES; move++) {
    const part = move / MOVES
    await send('touchMove', [{ x: aside.x + (to.x - aside.x) * part, y: aside.y + (to.y - aside.y) * part }])
  }
  await send('touchEnd', [])
}

t.setTimeout(300_000)

t.test('by fingers on a tablet', { skip: noConsole }, async (t) => {
  const { call, visit } = await startConsole(t)
  const read = async (id: string): Promise<Definition> =>
    (await call<{ definition: Definition }>('GET', `${FLOWS}/${id}`)).definition
  const open = async () => {
    const { id } = await call<{ id: string }>('POST', FLOWS, {
      name: 'Touched',
      status: 'draft',
      triggers: [{ id: 'trigger_1', type: 'manual' }],
      steps: [set('a', 'b'), set('b')],
    })
    const { page, faults } = await visit(`/console/flows/${id}`, { ...TABLET, reducedMotion: 'reduce' })
    await card(page, 'b').waitFor()
    t.equal(await page.evaluate<boolean>("matchMedia('(pointer: coarse)').matches"), true)
    const fold = palette(page).getByRole('button', { name: 'Steps to add', expanded: false })
    if ((await fold.count()) > 0) await fold.tap()
    const delay = palette(page).getByRole('button', { name: 'Delay' })
    await delay.waitFor()
    await delay.scrollIntoViewIfNeeded()
    return { id, page, faults, delay, finger: await page.context().newCDPSession(page) }
  }
  const between = async (page: Page): Promise<Point> => {
    const [from, to] = [await middleOf(card(page, 'a')), await middleOf(card(page, 'b'))]
    return { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 }
  }
  const stepsOf = (id: string) => async () => (await read(id)).steps.map(({ id: step, next }) => [step, next])

  t.test('a step is dragged onto a way, also after a key was pressed', async (t) => {
    const { id, page, faults, delay, finger } = await open()
    const inserted = [
      ['a', 'delay_1'],
      ['delay_1', 'b'],
      ['b', 'end'],
    ]
    await drag(finger, await middleOf(delay), await between(page))
    await item(page, 'delay_1').waitFor()
    await page.getByText('Draft saved').waitFor()
    await becomes(t, stepsOf(id), inserted)

    await page.keyboard.press('Escape')
    await page.keyboard.press('ControlOrMeta+z')
    await item(page, 'delay_1').waitFor({ state: 'detached' })
    await delay.scrollIntoViewIfNeeded()
    await drag(finger, await middleOf(delay), await between(page))
    await item(page, 'delay_1').waitFor()
    await becomes(t, stepsOf(id), inserted)
    t.same(faults, [])
  })

  t.test('a step is tapped, and comes behind the one that is selected', async (t) => {
    const { id, page, faults, delay } = await open()
    await card(page, 'a').tap()
    await page.waitForURL(/step=a/)
    await delay.tap()
    await item(page, 'delay_1').waitFor()
    await becomes(t, stepsOf(id), [
      ['a', 'delay_1'],
      ['delay_1', 'b'],
      ['b', 'end'],
    ])
    t.same(faults, [])
  })

  t.test('a card is dragged to a place of its own once it is selected', async (t) => {
    const { id, page, faults, finger } = await open()
    await card(page, 'b').tap()
    await page.waitForURL(/step=b/)
    await page.locator('.svelte-flow').scrollIntoViewIfNeeded()
    const from = await middleOf(card(page, 'b'))
    await drag(finger, from, { x: from.x + 130, y: from.y + 40 })
    await page.getByText('Place b').waitFor({ state: 'attached' })
    await becomes(t, async () => Object.keys((await read(id)).layout?.positions ?? {}), ['b'])
    t.same(faults, [])
  })
})

import type { Locator, Page } from 'playwright-core'
import t from 'tap'
import { accessibilityFaults, noConsole, settled, startConsole } from './support/console.ts'
import { becomes } from './support/wait.ts'

const FLOWS = '/api/automation/flows'
const task = (id: string, title: string): object => ({
  id,
  name: title,
  type: 'action',
  action_type: 'create_task',
  input: { title },
})
const flow = (steps: object[]): object => ({ name: 'Greet', trigger: { type: 'manual' }, steps })
const BEFORE = flow([
  task('greet', 'Greet them'),
  task('old', 'Ask for the fax'),
  task('last', 'Say goodbye'),
])
const AFTER = flow([
  { ...task('greet', 'Greet them'), input: { title: 'Say hello' } },
  task('last', 'Say goodbye'),
  task('fresh', 'Call them later'),
])

/** Where a step's card is, from the corner of its canvas. */
async function placeOf(canvas: Locator, step: string): Promise<{ x: number; y: number }> {
  const [card, around] = [
    await canvas.locator(`[data-step="${step}"]`).boundingBox(),
    await canvas.boundingBox(),
  ]
  if (card === null || around === null) throw new Error(`${step} is not shown`)
  return { x: Math.round(card.x - around.x), y: Math.round(card.y - around.y) }
}

async function drag(page: Page, canvas: Locator, by: { x: number; y: number }): Promise<void> {
  await canvas.scrollIntoViewIfNeeded()
  const box = await canvas.boundingBox()
  if (box === null) throw new Error('the canvas is not shown')
  const [x, y] = [box.x + 20, box.y + box.height - 20]
  await page.mouse.move(x, y)
  await page.mouse.down()
  await page.mouse.move(x + by.x, y + by.y, { steps: 5 })
  await page.mouse.up()
}

t.setTimeout(300_000)

t.test('versions of a flow', { skip: noConsole }, async (t) => {
  const { call, visit } = await startConsole(t)
  const { id } = await call<{ id: string }>('POST', FLOWS, { ...BEFORE, status: 'active' })
  await call('PUT', `${FLOWS}/${id}`, AFTER)
  await call('POST', `${FLOWS}/${id}/publish`, {})
  const address = `/console/flows/${id}?tab=versions&version=2&with=1`

  t.test('two stand side by side in the same places, and are moved as one', async (t) => {
    const { page, faults } = await visit(address, { viewport: { width: 1440, height: 900 } })
    await settled(page)
    const canvas = (version: number) =>
      page.getByRole('region', { name: `Version ${version}`, exact: true }).locator('.svelte-flow')
    const [older, newer] = [canvas(1), canvas(2)]
    for (const [which, step, fate] of [
      [older, 'old', 'removed'],
      [newer, 'fresh', 'added'],
      [older, 'greet', 'changed'],
      [newer, 'greet', 'changed'],
      [newer, 'last', 'leads elsewhere'],
    ] as const) {
      await which.locator(`[data-step="${step}"]`).getByText(fate, { exact: true }).waitFor()
    }
    t.equal(await older.locator('[data-step="fresh"]').count(), 0)
    t.equal(await newer.locator('[data-step="old"]').count(), 0)
    const isTogether = async (): Promise<boolean> => {
      for (const step of ['greet', 'last']) {
        const [one, other] = [await placeOf(older, step), await placeOf(newer, step)]
        if (Math.abs(one.x - other.x) > 1 || Math.abs(one.y - other.y) > 1) return false
      }
      return true
    }
    await becomes(t, isTogether, true, 'at first')
    const start = await placeOf(newer, 'greet')
    for (const moved of [older, newer, older]) {
      await drag(page, moved, { x: 40, y: -30 })
      await becomes(t, isTogether, true, 'after a drag')
    }
    const end = await placeOf(newer, 'greet')
    t.same([end.x - start.x, end.y - start.y], [120, -90], 'each drag goes on from where the last one ended')
    await older.focus()
    await page.keyboard.press('o')
    await becomes(t, isTogether, true, 'zoomed in one')
    await page.getByRole('button', { name: 'Show all' }).click()
    await becomes(t, isTogether, true, 'shown as a whole')
    t.same(await accessibilityFaults(page), [])
    t.same(faults, [])
  })

  t.test(
    'the list says in words what differs, leads to each step, and is followed by keyboard',
    async (t) => {
      const { page, faults } = await visit(address, { viewport: { width: 1024, height: 768 } })
      const list = page.getByRole('region', { name: 'Differences' })
      await list.getByRole('heading', { name: '4 differences' }).waitFor()
      await list.getByRole('button', { name: /Greet them.*changed/, expanded: true }).waitFor()
      await list.getByRole('row', { name: 'input.title' }).getByText('Say hello').waitFor()
      await list.getByText('“done” led to Ask for the fax, and leads to Say goodbye.').waitFor()
      const fresh = list.getByRole('button', { name: /Call them later.*added/ })
      await fresh.focus()
      await page.keyboard.press('Enter')
      await becomes(t, async () => fresh.getAttribute('aria-expanded'), 'true')
      t.match(page.url(), /step=fresh/)
      await page.locator('[data-step="fresh"].selected').waitFor()
      await page.locator('.svelte-flow [data-step="old"]').click()
      await list.getByRole('button', { name: /Ask for the fax.*removed/, expanded: true }).waitFor()
      await page.getByRole('combobox', { name: 'Compare with' }).selectOption('draft')
      await list.getByRole('heading', { name: 'Both do the same.' }).waitFor()
      await list.getByText('3 steps are the same').click()
      await list.getByRole('button', { name: /Say goodbye/ }).waitFor()
      t.same(faults, [])
    },
  )

  t.test('on a phone they stand below one another, within its width', async (t) => {
    const { page } = await visit(address, { viewport: { width: 390, height: 844 } })
    const tops: number[] = []
    for (const name of ['Differences', 'Version 1', 'Version 2']) {
      const box = await page.getByRole('region', { name, exact: true }).boundingBox()
      tops.push(box?.y ?? 0)
      t.ok(box !== null && box.x >= 0 && box.x + box.width <= 390, name)
    }
    t.same(
      tops,
      tops.toSorted((one, other) => one - other),
    )
    t.equal(await page.evaluate<number>('document.documentElement.scrollWidth'), 390)
    t.same(await accessibilityFaults(page), [])
  })

  t.test('an older one becomes the draft again, and what runs stays', async (t) => {
    const { page, faults } = await visit(`/console/flows/${id}?tab=versions&version=1`)
    await page.getByRole('treeitem', { name: /Ask for the fax/ }).waitFor()
    await page.getByRole('button', { name: 'Restore as draft' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Restore as draft' }).click()
    await page.getByText('The draft is version 1 again.').waitFor()
    await page.getByRole('treeitem', { name: /Ask for the fax/ }).waitFor()
    const now = await call<{ definition: object; published_version: number }>('GET', `${FLOWS}/${id}`)
    t.match(now, { published_version: 2, has_unpublished_changes: true, definition: BEFORE })
    await page.getByRole('button', { name: 'Publish' }).click()
    const changes = page.getByRole('dialog').getByRole('region', { name: 'What changes' })
    await changes.getByRole('listitem').filter({ hasText: 'Ask for the fax' }).getByText('added').waitFor()
    await changes.getByRole('link', { name: 'Look at both side by side' }).click()
    await page.getByRole('region', { name: 'Draft', exact: true }).waitFor()
    await page.getByRole('region', { name: 'Version 2', exact: true }).waitFor()
    t.same(faults, [])
  })
})

import type { Locator, Page } from 'playwright-core'
import t from 'tap'
import { until } from '#test/infra/app-on.ts'
import { accessibilityFaults, noConsole, startConsole } from './support/console.ts'
import { becomes, boxOf, middleOf } from './support/wait.ts'

interface Definition {
  steps: Record<string, unknown>[]
  layout?: { positions?: Record<string, { x: number; y: number }>; notes?: Record<string, unknown>[] }
  [member: string]: unknown
}

const FLOWS = '/api/automation/flows'
const set = (id: string, next = 'end') => ({ id, type: 'set', variables: { x: id }, next })
const CHAIN = [set('a', 'b'), set('b', 'c'), set('c')]

const card = (page: Page, id: string) => page.locator(`[data-step="${id}"]`)
const item = (page: Page, id: string) => page.locator(`[role="treeitem"][data-id="${id}"]`)
const form = (page: Page) => page.getByRole('region', { name: 'Form' })
const palette = (page: Page) => page.getByRole('region', { name: 'Steps to add' })

/** Between two cards that stand below one another, where their way is. */
async function between(page: Page, one: string, other: string): Promise<{ x: number; y: number }> {
  const [from, to] = [await middleOf(card(page, one)), await middleOf(card(page, other))]
  return { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 }
}

/** Carries something there; it is not let go yet. */
async function carry(page: Page, from: Locator, to: { x: number; y: number }): Promise<void> {
  const start = await middleOf(from)
  await page.mouse.move(start.x, start.y)
  await page.mouse.down()
  await page.mouse.move(to.x, to.y, { steps: 8 })
}

async function save(page: Page): Promise<void> {
  await page.keyboard.press('ControlOrMeta+s')
  await page.getByText('Draft saved').waitFor()
}

t.setTimeout(300_000)

t.test('the canvas of the builder', { skip: noConsole }, async (t) => {
  const { call, visit } = await startConsole(t)
  const read = async (id: string): Promise<Definition> =>
    (await call<{ definition: Definition }>('GET', `${FLOWS}/${id}`)).definition
  const create = async (steps: object[], rest: object = {}): Promise<string> => {
    const triggers = [{ id: 'trigger_1', type: 'manual' }]
    return (
      await call<{ id: string }>('POST', FLOWS, { name: 'Drawn', status: 'draft', triggers, steps, ...rest })
    ).id
  }
  const open = async (id: string, colorScheme: 'light' | 'dark' = 'light') => {
    const visited = await visit(`/console/flows/${id}`, {
      colorScheme,
      viewport: { width: 1440, height: 900 },
      reducedMotion: 'reduce',
    })
    await item(visited.page, 'a').waitFor()
    await card(visited.page, 'a').waitFor()
    return visited
  }

  t.test('a step is dragged from the palette onto a way, which is what inserting by key gives', async (t) => {
    const id = await create(CHAIN)
    const { page, faults } = await open(id)
    const delay = palette(page).getByRole('button', { name: 'Delay' })
    const way = await between(page, 'a', 'b')
    await carry(page, delay, way)
    await page.locator('.way.lit').waitFor({ state: 'attached' })
    await page.keyboard.press('Escape')
    await page.locator('.way.lit').waitFor({ state: 'detached' })
    await page.mouse.up()
    t.equal(await page.getByRole('treeitem').count(), 3, 'Escape cancels it')

    await carry(page, delay, way)
    await page.locator('.way.lit').waitFor({ state: 'attached' })
    await page.mouse.up()
    await item(page, 'delay_1').waitFor()
    await form(page).locator(':focus').waitFor()
    await page.waitForURL(/step=delay_1/)
    await save(page)
    const byMouse = await read(id)
    t.match(byMouse.steps, [
      { id: 'a', next: 'delay_1' },
      { id: 'delay_1', next: 'b' },
      { id: 'b' },
      { id: 'c' },
    ])
    t.same(await accessibilityFaults(page), [])

    await page.getByRole('button', { name: 'Undo' }).click()
    await item(page, 'delay_1').waitFor({ state: 'detached' })
    await item(page, 'a').click()
    const first = palette(page).getByRole('button', { name: 'Delay' })
    await first.focus()
    await page.keyboard.press('Enter')
    await item(page, 'delay_1').waitFor()
    await save(page)
    t.same(await read(id), byMouse)
    t.same(faults, [])
  })

  t.test('on the ground it stands by itself, and is connected by keys', async (t) => {
    const id = await create(CHAIN)
    const { page, faults } = await open(id, 'dark')
    const ground = await middleOf(card(page, 'a'))
    await carry(page, palette(page).getByRole('button', { name: 'Stop' }), {
      x: ground.x - 170,
      y: ground.y + 40,
    })
    // What is said of it goes by itself.
    await Promise.all([page.getByText('Stop stands by itself').first().waitFor(), page.mouse.up()])
    await item(page, 'stop_1').waitFor()
    await save(page)
    const placed = await read(id)
    t.match(placed.steps, [{ next: 'b' }, { next: 'c' }, { next: 'end' }, { id: 'stop_1' }])
    t.ok(placed.layout?.positions?.['stop_1'], 'where it was let go')
    await item(page, 'c').click()
    await item(page, 'c').focus()
    await page.keyboard.press('c')
    await page.getByText('↑ ↓ where to').waitFor()
    await page.keyboard.press('ArrowUp')
    await page.getByText('“next” of c → stop_1').first().waitFor()
    await page.keyboard.press('Enter')
    await page.getByText('↑ ↓ where to').waitFor({ state: 'detached' })
    await save(page)
    t.match((await read(id)).steps[2], { id: 'c', next: 'stop_1' })
    t.same(await accessibilityFaults(page), [])
    t.same(faults, [])
  })

  t.test(
    'a card is dragged onto another way, or to a place of its own; tidying takes places back',
    async (t) => {
      const id = await create(CHAIN)
      const { page, faults } = await open(id)
      await carry(page, card(page, 'c'), await between(page, 'a', 'b'))
      await page.locator('.way.lit').waitFor({ state: 'attached' })
      await page.mouse.up()
      await page.waitForURL(/step=c/)
      await save(page)
      const moved = await read(id)
      t.match(moved.steps, [
        { id: 'a', next: 'c' },
        { id: 'c', next: 'b' },
        { id: 'b', next: 'end' },
      ])
      t.equal(moved.layout, undefined)
      const from = await middleOf(card(page, 'b'))
      await carry(page, card(page, 'b'), { x: from.x - 150, y: from.y + 30 })
      await page.mouse.up()
      await page.getByText('Place b').waitFor({ state: 'attached' })
      await save(page)
      const before = (await read(id)).layout?.positions ?? {}
      t.same(Object.keys(before), ['b'])
      t.equal((before['b']?.x ?? 1) % 8, 0, 'on the grid')

      await page.keyboard.press('Shift+Alt+T')
      await page.getByText('Tidy the cards').waitFor({ state: 'attached' })
      await save(page)
      t.equal((await read(id)).layout, undefined)
      await page.keyboard.press('ControlOrMeta+z')
      await save(page)
      t.same((await read(id)).layout?.positions, before)
      t.same(faults, [])
    },
  )

  t.test('a card that is let go outside of the canvas stays where it was', async (t) => {
    const id = await create(CHAIN)
    const { page, faults } = await open(id)
    const before = await read(id)
    const from = await middleOf(card(page, 'b'))
    const canvas = await boxOf(page.locator('.svelte-flow'))
    for (const to of [
      { x: from.x, y: canvas.y + canvas.height + 200 },
      { x: canvas.x - 200, y: from.y },
    ]) {
      await carry(page, card(page, 'b'), to)
      await page.locator('.flow-card.moved').waitFor({ state: 'attached' })
      await page.mouse.up()
      await page.locator('.flow-card.moved').waitFor({ state: 'detached' })
      // The canvas draws it there a frame after it is let go.
      await until(
        async () => middleOf(card(page, 'b')),
        (at) => at.x === from.x && at.y === from.y,
      )
    }
    await card(page, 'b').click()
    await page.waitForURL(/step=b/)
    await carry(page, card(page, 'b'), { x: from.x - 150, y: from.y + 30 })
    await page.keyboard.press('Delete')
    await item(page, 'b').waitFor({ state: 'detached' })
    await page.mouse.up()
    await page.keyboard.press('ControlOrMeta+z')
    await item(page, 'b').waitFor()
    await carry(page, card(page, 'c'), { x: from.x - 150, y: from.y + 30 })
    await page.locator('.flow-card.moved').waitFor({ state: 'attached' })
    await page.keyboard.press('Escape')
    await page.locator('.flow-card.moved').waitFor({ state: 'detached' })
    await page.mouse.up()
    await until(
      async () => read(id),
      (now) => JSON.stringify(now) === JSON.stringify(before),
    )
    t.same(faults, [])
  })

  t.test('keys lead a way elsewhere while the flow has the focus, and no field or menu does', async (t) => {
    const id = await create(CHAIN)
    const { page, faults } = await open(id)
    const aim = page.getByText('↑ ↓ where to')
    await item(page, 'a').focus()
    await page.keyboard.press('Shift+F10')
    const current = page.locator('[role="menuitem"][data-highlighted]')
    await current.waitFor()
    await page.keyboard.type('Lead')
    await current.filter({ hasText: 'Lead a way elsewhere…' }).waitFor()
    await page.keyboard.press('Enter')
    await aim.waitFor()
    await item(page, 'a').and(page.locator(':focus')).waitFor()
    await page.keyboard.press('ArrowDown')
    await page.getByText('“next” of a → c').first().waitFor()
    const field = palette(page).getByRole('searchbox')
    await field.focus()
    await page.keyboard.press('Enter')
    await aim.waitFor()
    await page.getByRole('button', { name: 'Show all' }).press('Enter')
    await aim.waitFor()
    await item(page, 'a').focus()
    await page.keyboard.press('Enter')
    await aim.waitFor({ state: 'detached' })
    await save(page)
    t.match((await read(id)).steps[0], { id: 'a', next: 'c' })
    await page.keyboard.press('c')
    await aim.waitFor()
    await page.keyboard.press('ControlOrMeta+z')
    await aim.waitFor({ state: 'detached' })
    await page.keyboard.press('Shift+F10')
    await current.waitFor()
    await page.keyboard.press('Escape')
    await item(page, 'a').and(page.locator(':focus')).waitFor()
    t.same(faults, [])
  })

  t.test('what has the focus is moved by keys, not what was selected before', async (t) => {
    const id = await create(CHAIN)
    const { page, faults } = await open(id)
    await item(page, 'a').click()
    await page.waitForURL(/step=a/)
    await item(page, 'c').focus()
    await page.keyboard.press('Alt+Shift+ArrowRight')
    await page.getByText('Place c').waitFor({ state: 'attached' })
    await save(page)
    t.same(Object.keys((await read(id)).layout?.positions ?? {}), ['c'])
    t.same(faults, [])
  })

  t.test('what is held at the edge of the canvas brings more of it into sight', async (t) => {
    const names = 'abcdefghij'.split('')
    const id = await create(names.map((name, index) => set(name, names[index + 1])))
    const { page, faults } = await open(id)
    const shownAt = async (): Promise<string | null> =>
      page.locator('.svelte-flow__viewport').getAttribute('style')
    const last = card(page, 'j')
    const box = await page.locator('.svelte-flow').boundingBox()
    if (box === null) throw new Error('it is not shown')
    // As much of it as is in the window.
    const canvas = { ...box, height: Math.min(box.height, 900 - box.y) }
    const edge = async (): Promise<{ x: number; y: number }> => ({
      x: (await middleOf(card(page, 'a'))).x,
      y: canvas.y + canvas.height - 20,
    })
    const before = await shownAt()
    t.equal(await last.count(), 0, 'it is far below')

    await carry(page, page.locator('[data-port="a next"]'), await edge())
    await last.waitFor()
    // The view moves on all the while: it cannot be waited for until it stands still.
    await until(
      async () => last.boundingBox(),
      (shown) => shown !== null && shown.y + shown.height / 2 < canvas.y + canvas.height - 60,
    )
    // In the middle it stops.
    await page.mouse.move(canvas.x + canvas.width / 2, canvas.y + canvas.height / 2)
    const stopped = await until(
      async () => [await middleOf(last), await middleOf(last)] as const,
      ([one, other]) => one.y === other.y,
    )
    t.ok(stopped[0].y > canvas.y, 'it is still in sight')
    const held = await middleOf(last)
    await page.mouse.move(held.x, held.y)
    await page.mouse.up()
    await page.getByText('Change where “next” of a leads').waitFor({ state: 'attached' })
    await save(page)
    t.match((await read(id)).steps[0], { id: 'a', next: 'j' })
    await page.keyboard.press('ControlOrMeta+z')
    await page.getByText(/^Undone: /).waitFor({ state: 'attached' })

    await item(page, 'a').click()
    await until(shownAt, (style) => style !== null && style !== before)
    await card(page, 'a').waitFor()
    const begun = await shownAt()
    await carry(page, palette(page).getByRole('button', { name: 'Delay' }), await edge())
    await last.waitFor()
    await page.keyboard.press('Escape')
    await until(shownAt, (style) => style === begun)
    await page.mouse.up()
    t.equal(await item(page, 'delay_1').count(), 0)

    await card(page, 'a').waitFor()
    const below = await edge()
    await carry(page, card(page, 'a'), { x: below.x - 200, y: below.y })
    await last.waitFor()
    await page.mouse.up()
    await page.getByText('Place a').waitFor({ state: 'attached' })
    await save(page)
    const { a } = (await read(id)).layout?.positions ?? {}
    t.ok(Number(a?.y) > 700, `it was taken along, to ${a?.y}`)
    t.same(faults, [])
  })

  t.test('several steps are moved, duplicated and deleted as one', async (t) => {
    const id = await create(CHAIN)
    const { page, faults } = await open(id)
    await card(page, 'a').click()
    await card(page, 'b').click({ modifiers: ['Shift'] })
    await form(page).getByRole('heading', { name: '2 steps selected' }).waitFor()
    t.same(await accessibilityFaults(page), [])
    await page.keyboard.press('Alt+Shift+ArrowRight')
    await save(page)
    t.same(Object.keys((await read(id)).layout?.positions ?? {}), ['a', 'b'])
    await form(page).getByRole('button', { name: 'Duplicate' }).click()
    await item(page, 'set_2').waitFor()
    await form(page).getByRole('heading', { name: '2 steps selected' }).waitFor()
    await save(page)
    t.match((await read(id)).steps[1], { id: 'b', next: 'set_1' })
    await page.keyboard.press('ControlOrMeta+z')
    await item(page, 'set_1').waitFor({ state: 'detached' })
    await item(page, 'a').focus()
    await page.keyboard.press('ControlOrMeta+a')
    await form(page).getByRole('heading', { name: '3 steps selected' }).waitFor()
    await page.keyboard.press('Delete')
    await item(page, 'a').waitFor({ state: 'detached' })
    await save(page)
    t.same((await read(id)).steps, [])
    await page.keyboard.press('ControlOrMeta+z')
    await item(page, 'c').waitFor()
    await becomes(t, async () => page.getByRole('treeitem').count(), 3)

    const [top, bottom] = [await middleOf(card(page, 'a')), await middleOf(card(page, 'b'))]
    await page.keyboard.down('Shift')
    await page.mouse.move(top.x - 135, top.y - 45)
    await page.mouse.down()
    await page.mouse.move(bottom.x, bottom.y, { steps: 8 })
    await page.mouse.up()
    await page.keyboard.up('Shift')
    await form(page).getByRole('heading', { name: '2 steps selected' }).waitFor()
    t.same(faults, [])
  })

  t.test('the focus stays in the drawing or in the outline, whatever is done there', async (t) => {
    const id = await create(CHAIN)
    const { page, faults } = await open(id)
    const drawing = page.locator('.svelte-flow')
    const focused = page.locator(':focus')
    const ids = async (): Promise<(string | null)[]> =>
      Promise.all(
        (await page.locator('[role="treeitem"]').all()).map(async (each) => each.getAttribute('data-id')),
      )
    await card(page, 'b').click()
    await page.waitForURL(/step=b/)
    await drawing.and(focused).waitFor()
    await page.keyboard.press('ControlOrMeta+x')
    await item(page, 'b').waitFor({ state: 'detached' })
    await page.waitForURL(/step=a/)
    await drawing.and(focused).waitFor()
    await page.keyboard.press('ControlOrMeta+v')
    await page.waitForURL(/step=set_1/)
    await drawing.and(focused).waitFor()
    await page.keyboard.press('/')
    await page.getByRole('combobox').and(focused).waitFor()
    await page.keyboard.press('Escape')
    await drawing.and(focused).waitFor()

    await item(page, 'set_1').focus()
    await page.keyboard.press('Shift+ArrowUp')
    await form(page).getByRole('heading', { name: '2 steps selected' }).waitFor()
    await page.keyboard.press('ControlOrMeta+d')
    await item(page, 'set_2').and(focused).waitFor()
    await page.keyboard.press('Delete')
    await item(page, 'set_2').waitFor({ state: 'detached' })
    await until(ids, (left) => left.join() === 'a,c,set_1')
    await page.locator('[role="treeitem"]').and(focused).waitFor()
    await item(page, 'set_1').focus()
    await page.keyboard.press('Tab')
    await item(page, 'set_1').and(focused).waitFor({ state: 'detached' })
    await page.keyboard.press('Shift+Tab')
    await item(page, 'set_1').and(focused).waitFor()

    await page.keyboard.press('ControlOrMeta+a')
    await form(page).getByRole('heading', { name: '3 steps selected' }).waitFor()
    await page.keyboard.press('Delete')
    await item(page, 'a').waitFor({ state: 'detached' })
    await drawing.and(focused).waitFor()
    t.same(faults, [])
  })

  t.test('what is undone is selected no longer, and not again when it comes back', async (t) => {
    const id = await create(CHAIN)
    const { page, faults } = await open(id)
    const several = form(page).getByRole('heading', { name: '2 steps selected' })
    await item(page, 'a').focus()
    await page.keyboard.press('Shift+ArrowDown')
    await several.waitFor()
    await page.keyboard.press('ControlOrMeta+d')
    await item(page, 'set_2').waitFor()
    await several.waitFor()
    await page.keyboard.press('ControlOrMeta+z')
    await item(page, 'set_1').waitFor({ state: 'detached' })
    await several.waitFor({ state: 'detached' })
    await page.keyboard.press('ControlOrMeta+Shift+z')
    await item(page, 'set_2').waitFor()
    t.equal(await page.locator('[role="treeitem"][aria-selected="true"]').count(), 0)
    t.equal(await several.count(), 0)

    await item(page, 'c').focus()
    await page.keyboard.press('Shift+ArrowDown')
    await several.waitFor()
    await page.keyboard.press('ControlOrMeta+z')
    await item(page, 'set_1').waitFor({ state: 'detached' })
    await page.waitForURL(/step=c/)
    await page.locator('[role="treeitem"][aria-selected="true"]').waitFor()
    t.same(faults, [])
  })

  t.test('notes are written, painted, moved and deleted, and the outline has them', async (t) => {
    const id = await create(CHAIN)
    const { page, faults } = await open(id, 'dark')
    await page.getByRole('button', { name: 'Add a note' }).click()
    await form(page).getByRole('textbox', { name: 'Text' }).and(page.locator(':focus')).waitFor()
    await page.keyboard.type('Ask Ana first')
    await form(page).getByLabel('Blue').check()
    await page.getByRole('treeitem', { name: 'Ask Ana first' }).waitFor()
    await save(page)
    const [note] = (await read(id)).layout?.notes ?? []
    t.match(note, { id: 'note_1', text: 'Ask Ana first', color: 'blue' })
    t.same(await accessibilityFaults(page), [])
    await page.getByRole('treeitem', { name: 'Ask Ana first' }).focus()
    await page.keyboard.press('Alt+Shift+ArrowDown')
    await page.getByText('Move a note').waitFor({ state: 'attached' })
    await save(page)
    t.ok(Number((await read(id)).layout?.notes?.[0]?.['y']) > Number(note?.['y']))
    await page.keyboard.press('Delete')
    await page.getByRole('treeitem', { name: 'Ask Ana first' }).waitFor({ state: 'detached' })
    await save(page)
    t.equal((await read(id)).layout, undefined)
    await page.keyboard.press('ControlOrMeta+z')
    await page.getByRole('treeitem', { name: 'Ask Ana first' }).waitFor()
    t.same(faults, [])
  })

  t.test('finds steps, and has a menu by key', async (t) => {
    const id = await create(CHAIN)
    const { page, faults } = await open(id)
    await page.keyboard.press('ControlOrMeta+f')
    const search = page.getByRole('searchbox', { name: 'Find in the flow' })
    await search.and(page.locator(':focus')).waitFor()
    await page.keyboard.type('set')
    await page.getByText('1 of 3').waitFor()
    await page.keyboard.press('Enter')
    await page.getByText('2 of 3').waitFor()
    await page.waitForURL(/step=b/)
    await page.keyboard.press('Escape')
    await search.waitFor({ state: 'detached' })
    await item(page, 'b').and(page.locator(':focus')).waitFor()
    await page.keyboard.press('Shift+F10')
    const menu = page.getByRole('menu')
    await menu.waitFor()
    await menu.getByRole('menuitem', { name: 'Move to…' }).click()
    const dialog = page.getByRole('dialog', { name: 'Move b' })
    const place = dialog.getByLabel('Where')
    const here = place.locator('option:checked', { hasText: 'After a, next (where it is)' })
    await here.waitFor({ state: 'attached' })
    const move = dialog.getByRole('button', { name: 'Move', exact: true })
    t.ok(await move.isDisabled(), 'it stands there')
    await place.selectOption({ label: 'After c, next' })
    await move.click()
    await dialog.waitFor({ state: 'detached' })
    await save(page)
    t.match((await read(id)).steps, [
      { id: 'a', next: 'c' },
      { id: 'c', next: 'b' },
      { id: 'b', next: 'end' },
    ])
    t.same(faults, [])
  })
})

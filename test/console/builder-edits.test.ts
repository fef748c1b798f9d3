import type { Page } from 'playwright-core'
import t from 'tap'
import { accessibilityFaults, noConsole, startConsole, watchFaults } from './support/console.ts'
import { becomes, middleOf } from './support/wait.ts'

interface Definition {
  steps: Record<string, unknown>[]
  [member: string]: unknown
}
interface Flow {
  id: string
  revision: number
  definition: Definition
}

const FLOWS = '/api/automation/flows'
const set = (id: string, value: unknown, next = 'end') => ({ id, type: 'set', variables: { x: value }, next })
const task = (id: string, title: string) => ({
  id,
  type: 'action',
  action_type: 'create_task',
  plugin_id: 'platform',
  input: { title, description: 'Soon' },
  on_success: 'end',
})
const delay = (id: string, next = 'end') => ({ id, type: 'delay', duration: '1 hour', next })

const form = (page: Page) => page.getByRole('region', { name: 'Form' })
const item = (page: Page, id: string) => page.locator(`[role="treeitem"][data-id="${id}"]`)

/** Tab by tab, as who has no mouse, until the control with this name has the focus. */
async function goTo(page: Page, name: string): Promise<void> {
  const wanted = page
    .getByLabel(name, { exact: true })
    .or(page.getByRole('button', { name, exact: true }))
    .or(page.getByText(name, { exact: true }))
  for (let tabs = 0; tabs < 80; tabs++) {
    if ((await wanted.and(page.locator(':focus')).count()) > 0) return
    await page.keyboard.press('Tab')
  }
  throw new Error(`${name} cannot be reached`)
}

/** Selects a step in the outline, which has the focus then. */
async function goToStep(page: Page, id: string): Promise<void> {
  await page.getByRole('treeitem').first().waitFor()
  for (let tabs = 0; tabs < 80; tabs++) {
    if ((await page.locator('[role="treeitem"]:focus').count()) > 0) break
    await page.keyboard.press('Tab')
  }
  await page.keyboard.press('Home')
  for (let moves = 0; moves < 20; moves++) {
    if ((await item(page, id).and(page.locator(':focus')).count()) > 0) break
    await page.keyboard.press('ArrowDown')
  }
  await page.keyboard.press('Enter')
  await page.waitForURL(new RegExp(`step=${id}`))
  await form(page).locator(':focus').waitFor()
  await page.keyboard.press('Escape')
  await isFocused(page, id)
}

async function isFocused(page: Page, id: string): Promise<void> {
  await item(page, id).and(page.locator(':focus')).waitFor()
}

async function more(page: Page, label: string): Promise<void> {
  await goTo(page, 'More')
  await page.keyboard.press('Enter')
  // Keys that come before the menu has the focus are lost.
  const current = page.locator('[role="menuitem"][data-highlighted]')
  await current.waitFor()
  await page.keyboard.type(label.slice(0, 4))
  await current.filter({ hasText: label }).waitFor()
  await page.keyboard.press('Enter')
  await page.getByRole('menu').waitFor({ state: 'detached' })
}

/** Types into the palette, once it has the focus. */
async function search(page: Page, title: string, text: string): Promise<void> {
  await page.getByRole('dialog', { name: title }).waitFor()
  await page.getByRole('combobox').and(page.locator(':focus')).waitFor()
  await page.keyboard.press('ControlOrMeta+a')
  await page.keyboard.type(text)
}

async function pick(page: Page, title: string, text: string): Promise<void> {
  await search(page, title, text)
  const found = page.getByRole('dialog').getByRole('option', { name: new RegExp(text, 'i'), selected: true })
  await found.waitFor()
  await page.keyboard.press('Enter')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
}

async function save(page: Page): Promise<void> {
  await page.keyboard.press('ControlOrMeta+s')
  await page.getByText('Draft saved').waitFor()
}

t.test('editing steps', { skip: noConsole }, async (t) => {
  const { call, visit } = await startConsole(t)
  const read = async (id: string): Promise<Definition> =>
    (await call<Flow>('GET', `${FLOWS}/${id}`)).definition
  const create = async (steps: object[], rest: object = {}): Promise<string> => {
    const triggers = [{ id: 'trigger_1', type: 'manual' }]
    const flow = { name: 'Edited', status: 'draft', triggers, steps, ...rest }
    return (await call<Flow>('POST', FLOWS, flow)).id
  }
  const open = async (id: string, colorScheme: 'light' | 'dark' = 'light') => {
    // So high that the whole canvas is in the window: a pointer reaches nothing beside it.
    const visited = await visit(`/console/flows/${id}`, {
      colorScheme,
      viewport: { width: 1280, height: 1000 },
    })
    await visited.page.getByRole('button', { name: '+ Add a step' }).waitFor()
    return visited
  }
  /** Takes back what was done last, which gives the flow as it was. */
  const undone = async (page: Page, id: string, before: object): Promise<void> => {
    await page.keyboard.press('ControlOrMeta+z')
    await page.getByText(/^Undone: /).waitFor({ state: 'attached' })
    await save(page)
    t.match(await read(id), before)
  }

  t.test('duplicates a step', async (t) => {
    const steps = [delay('wait', 'note'), set('note', 'Late')]
    const id = await create(steps)
    const { page, faults } = await open(id)
    await goToStep(page, 'wait')
    await page.keyboard.press('ControlOrMeta+d')
    await isFocused(page, 'delay_1')
    await page.getByText('Duplicate wait').waitFor({ state: 'attached' })
    await save(page)
    t.match(await read(id), {
      start: 'wait',
      steps: [delay('wait', 'delay_1'), set('note', 'Late'), delay('delay_1', 'note')],
    })
    await undone(page, id, { steps })
    t.equal((await read(id)).steps.length, 2)
    t.same(await accessibilityFaults(page), [])
    t.same(faults, [])
  })

  t.test('cuts a loop, and pastes it in another tab into another flow', async (t) => {
    const loop = { id: 'each', type: 'for_each', list: 'trigger.items', body: 'first', on_done: 'wait' }
    const steps = [
      loop,
      set('first', '{{item.price}}', 'second'),
      task('second', '{{steps.first.output.x}}'),
      delay('wait'),
    ]
    const from = await create(steps)
    const to = await create([delay('wait', 'first'), set('first', 'Other')])
    const { page, faults } = await open(from)
    await goToStep(page, 'each')
    await page.keyboard.press('ControlOrMeta+x')
    await isFocused(page, 'wait')
    await save(page)
    t.same((await read(from)).steps, [delay('wait')])

    const tab = await page.context().newPage()
    watchFaults(tab, faults)
    await tab.goto(page.url().replace(from, to).replace(/\?.*/, ''))
    await goToStep(tab, 'wait')
    await tab.keyboard.press('ControlOrMeta+v')
    await isFocused(tab, 'for_each_1')
    await save(tab)
    t.match(await read(to), {
      steps: [
        delay('wait', 'for_each_1'),
        set('first', 'Other'),
        { ...loop, id: 'for_each_1', body: 'set_1', on_done: 'first' },
        set('set_1', '{{item.price}}', 'create_task_1'),
        task('create_task_1', '{{steps.set_1.output.x}}'),
      ],
    })
    await undone(tab, to, { steps: [delay('wait', 'first'), set('first', 'Other')] })
    await page.bringToFront()
    await undone(page, from, { steps })
    t.same(faults, [])
  })

  t.test('undoes what was done before a reload, unless the draft was changed elsewhere', async (t) => {
    const steps = [delay('wait')]
    const id = await create(steps)
    const { page, faults } = await open(id)
    await goToStep(page, 'wait')
    await page.keyboard.press('ControlOrMeta+d')
    await isFocused(page, 'delay_1')
    await save(page)
    await page.reload()
    await item(page, 'delay_1').waitFor()
    await page.getByRole('button', { name: 'Undo' }).and(page.locator(':enabled')).click()
    await item(page, 'delay_1').waitFor({ state: 'detached' })
    await save(page)
    t.match(await read(id), { steps })
    await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: 'Test' }).click()
    await page.getByRole('button', { name: 'Test', exact: true }).waitFor()
    await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: 'Edit' }).click()
    await page.getByRole('button', { name: 'Redo' }).and(page.locator(':enabled')).waitFor()

    await call('PUT', `${FLOWS}/${id}`, { ...(await read(id)), steps: [delay('other')], start: 'other' })
    await page.reload()
    await item(page, 'other').waitFor()
    t.ok(await page.getByRole('button', { name: 'Redo' }).isDisabled())
    t.same(faults, [])
  })

  t.test('says so where nothing can be pasted', async (t) => {
    const id = await create([{ id: 'stop', type: 'stop', reason: 'Done' }])
    const { page, faults } = await open(id)
    await goToStep(page, 'stop')
    await page.keyboard.press('ControlOrMeta+d')
    await page.getByText('Nothing can stand behind stop.').waitFor()
    t.equal((await read(id)).steps.length, 1)
    t.same(faults, [])
  })

  t.test('replaces a step: its ways and what fits stay', async (t) => {
    const steps = [task('tell', 'Late: {{trigger.number}}')]
    const before = { steps: [{ ...steps[0], on_success: 'wait' }, delay('wait')] }
    const id = await create(before.steps)
    const { page, faults } = await open(id, 'dark')
    await goToStep(page, 'tell')
    await more(page, 'Replace…')
    await pick(page, 'Replace tell', 'notify the team')
    await form(page).locator(':focus').waitFor()
    await save(page)
    const [replaced] = (await read(id)).steps
    t.match(replaced, {
      id: 'tell',
      action_type: 'create_notification',
      input: { title: 'Late: {{trigger.number}}' },
      on_success: 'wait',
    })
    t.notMatch(replaced, { input: { description: 'Soon' } })
    t.same(await accessibilityFaults(page), [])
    await page.keyboard.press('Escape')
    await undone(page, id, before)
    t.same(faults, [])
  })

  t.test('gives a step another id wherever it is read, and another name', async (t) => {
    const steps = [set('a', 1, 'b'), set('b', '{{steps.a.output.x}}')]
    const id = await create(steps)
    const { page, faults } = await open(id)
    await goToStep(page, 'a')
    await page.keyboard.press('F2')
    await page.keyboard.type('Count')
    await page.keyboard.press('Escape')
    await more(page, 'Rename id…')
    const dialog = page.getByRole('dialog', { name: 'Rename the id of Count' })
    await dialog.waitFor()
    await page.keyboard.press('ControlOrMeta+a')
    await page.keyboard.type('b')
    await dialog.getByText('Another step has this id.').waitFor()
    t.same(await accessibilityFaults(page), [])
    await page.keyboard.press('ControlOrMeta+a')
    await page.keyboard.type('count')
    await page.keyboard.press('Enter')
    await isFocused(page, 'count')
    await save(page)
    t.match(await read(id), {
      start: 'count',
      steps: [{ ...set('count', 1, 'b'), name: 'Count' }, set('b', '{{steps.count.output.x}}')],
    })
    await undone(page, id, { start: 'a', steps: [{ ...set('a', 1, 'b'), name: 'Count' }, steps[1]] })
    await page.waitForURL(/step=a/)
    t.same(faults, [])
  })

  t.test('adds a handler for a step, and a step behind it', async (t) => {
    const id = await create([task('call', 'Call')])
    const { page, faults } = await open(id)
    await goToStep(page, 'call')
    await page.keyboard.press('Enter')
    await goTo(page, 'If it fails')
    await page.keyboard.press('Enter')
    await goTo(page, 'Add a handler')
    await page.keyboard.press('Enter')
    await search(page, 'Add a handler for call', 'for each')
    await page.getByRole('dialog').getByText('Nothing by this name').waitFor()
    await pick(page, 'Add a handler for call', 'create a task')
    await page.waitForURL(/step=create_task_1/)
    await page.keyboard.press('Escape')
    await isFocused(page, 'create_task_1')
    await page.keyboard.press('/')
    await pick(page, 'Add a step', 'delay')
    await page.waitForURL(/step=delay_1/)
    await page.keyboard.press('Escape')
    await save(page)
    t.match(await read(id), {
      steps: [{ id: 'call', on_error: 'create_task_1', on_success: 'end' }],
      error_handlers: [
        { id: 'create_task_1', action_type: 'create_task', on_success: 'delay_1' },
        { id: 'delay_1', next: 'end' },
      ],
    })
    await page.keyboard.press('ControlOrMeta+z')
    await undone(page, id, { steps: [task('call', 'Call')] })
    t.notMatch(await read(id), { error_handlers: [{}] })
    t.same(faults, [])
  })

  t.test('says that a linear flow becomes a graph, and leaves it as it is if that is undone', async (t) => {
    const steps = [task('call', 'Call')]
    const linear = { trigger_event: 'order.created', flow_definition: { steps } }
    const { id } = await call<Flow>('POST', FLOWS, { name: 'Linear', status: 'draft', ...linear })
    const before = await read(id)
    const { page, faults } = await open(id)
    await goToStep(page, 'call')
    await page.keyboard.press('ControlOrMeta+d')
    await page.getByText('Not saved yet: becomes a graph').waitFor()
    await page
      .getByText(/Duplicate call\. This flow came in the linear format/)
      .waitFor({ state: 'attached' })
    await page.keyboard.press('ControlOrMeta+z')
    await page.getByText('Draft saved').waitFor()
    t.same(await read(id), before)
    await page.keyboard.press('ControlOrMeta+Shift+z')
    await page.getByText('Not saved yet: becomes a graph').waitFor()
    await save(page)
    await page.getByText('Draft saved, as a graph').waitFor()
    t.match(await read(id), { start: 'call', steps: [{ id: 'call', on_success: 'create_task_1' }, {}] })
    t.same(faults, [])
  })

  t.test('asks before a draft is left that could not be saved', async (t) => {
    const id = await create([delay('wait')])
    const { page } = await open(id)
    const asked: string[] = []
    page.on('dialog', (dialog) => {
      asked.push(dialog.type())
      void dialog.dismiss()
    })
    await goToStep(page, 'wait')
    await page.context().setOffline(true)
    await page.keyboard.press('ControlOrMeta+d')
    await page.keyboard.press('ControlOrMeta+s')
    await page.getByText(/^Not saved: /).waitFor()
    await page.getByRole('link', { name: 'Runs' }).first().click()
    await becomes(t, () => [...asked], ['confirm'])
    t.match(page.url(), `/console/flows/${id}`)
    await item(page, 'delay_1').waitFor()
    const reload = page.waitForEvent('dialog')
    await page.evaluate('location.reload()')
    t.equal((await reload).type(), 'beforeunload')
    await page.context().setOffline(false)
    // By itself, once there is a network again.
    await page.getByText('Draft saved').waitFor()
    await page.getByRole('link', { name: 'Runs' }).first().click()
    await item(page, 'delay_1').waitFor({ state: 'detached' })
    t.same(asked, ['confirm', 'beforeunload'])
    t.equal((await read(id)).steps.length, 2)
  })

  t.test('lists its keys', async (t) => {
    const id = await create([delay('wait')])
    for (const colorScheme of ['light', 'dark'] as const) {
      const { page, faults } = await open(id, colorScheme)
      await goToStep(page, 'wait')
      await page.keyboard.press('?')
      const dialog = page.getByRole('dialog', { name: 'Keys' })
      await dialog.getByText('duplicate the step').waitFor()
      t.same(await accessibilityFaults(page), [])
      await page.keyboard.press('Escape')
      await dialog.waitFor({ state: 'detached' })
      await isFocused(page, 'wait')
      t.same(faults, [])
    }
  })

  t.test('by mouse: draws a way to another step, and not where it would lead in a circle', async (t) => {
    const steps = [
      { id: 'check', type: 'condition', field: 'trigger.total', operator: 'exists', on_true: 'wait' },
      delay('wait', 'note'),
      set('note', 'Late'),
    ]
    const id = await create(steps)
    const { page, faults } = await open(id)
    const card = (step: string) => page.locator(`[data-step="${step}"]`)
    /** From the middle of one to the middle of the other, in steps as a hand does. */
    const draw = async (port: string, step: string): Promise<void> => {
      await page.locator(`[data-port="${port}"]`).hover()
      await page.mouse.down()
      const { x, y } = await middleOf(card(step))
      await page.mouse.move(x, y, { steps: 5 })
    }
    await card('note').waitFor()
    await draw('wait next', 'check')
    await card('check').getByText('That would lead in a circle.').waitFor()
    await page.mouse.up()
    await page.getByRole('status').getByText('That would lead in a circle.').waitFor()
    await draw('check false', 'note')
    await page.mouse.up()
    await page.getByText('Change where “no” of check leads').waitFor({ state: 'attached' })
    await save(page)
    t.match(await read(id), { steps: [{ on_true: 'wait', on_false: 'note' }, { next: 'note' }, {}] })
    await undone(page, id, { steps: [{ on_true: 'wait', on_false: 'end' }, { next: 'note' }, {}] })
    t.same(faults, [])
  })

  t.test('shows the address of a webhook as soon as it has one', async (t) => {
    const id = await create([delay('wait')])
    const { page, faults } = await open(id)
    await form(page).getByRole('button', { name: 'Add a trigger' }).click()
    await page.getByRole('menuitem', { name: 'Webhook' }).click()
    const none = form(page).getByText(/^It gets an address of its own/)
    await none.waitFor()
    await save(page)
    const address = form(page).locator('code', { hasText: '/hooks/' })
    await address.waitFor()
    const [inlet] = (await call<{ inlets: { url: string }[] }>('GET', `${FLOWS}/${id}`)).inlets
    t.equal(await address.textContent(), new URL(inlet?.url ?? '', page.url()).href)
    t.equal(await none.count(), 0)
    const hint = form(page).getByText('What comes there is taken once the flow is active.')
    await hint.waitFor()
    await form(page).getByRole('button', { name: 'Copy Webhook address' }).waitFor()
    t.same(await accessibilityFaults(page), [])
    await page.getByRole('button', { name: 'Publish', exact: true }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Publish', exact: true }).click()
    await hint.waitFor({ state: 'detached' })
    await address.waitFor()
    t.same(faults, [])
  })

  t.test('by mouse: copies by the menu, and pastes at the end', async (t) => {
    const id = await create([delay('wait', 'note'), set('note', 'Late')])
    const { page, faults } = await open(id)
    await page.locator('[data-step="wait"]').click()
    await form(page).getByRole('button', { name: 'More' }).click()
    await page.getByRole('menuitem', { name: 'Copy' }).click()
    await form(page).getByRole('button', { name: 'Close the form' }).click()
    await form(page).getByRole('button', { name: 'Paste steps at the end' }).click()
    await page.locator('[data-step="delay_1"]').waitFor()
    await page.getByText('Draft saved').waitFor()
    t.match(await read(id), {
      steps: [delay('wait', 'note'), set('note', 'Late', 'delay_1'), delay('delay_1')],
    })
    t.same(faults, [])
  })
})

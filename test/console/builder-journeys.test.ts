import type { Locator, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { until } from '#test/infra/app-on.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { accessibilityFaults, noConsole, startConsole } from './support/console.ts'
import { becomes, middleOf } from './support/wait.ts'

interface Definition {
  steps: Record<string, unknown>[]
  layout?: { positions?: Record<string, { x: number; y: number }> }
  [member: string]: unknown
}
interface Flow {
  id: string
  status: string
  published_version: number | null
  definition: Definition
}
const FLOWS = '/api/automation/flows'
const TABS_MAX = 150
/** The definition that every way of building results in. */
const BUILT = {
  triggers: [{ id: 'trigger_1', type: 'event', event_types: ['order.created'] }],
  start: 'condition_1',
  steps: [
    {
      id: 'condition_1',
      type: 'condition',
      condition: { field: 'trigger.total', operator: 'gte', value: 50 },
      on_true: 'delay_1',
      on_false: 'stop_1',
    },
    { id: 'stop_1', type: 'stop', reason: 'Too small' },
    { id: 'delay_1', type: 'delay', duration: '2 days', next: 'create_task_1' },
    {
      id: 'create_task_1',
      type: 'action',
      action_type: 'create_task',
      plugin_id: 'platform',
      input: { title: 'Thank for {{trigger.total}}' },
      on_success: 'create_notification_1',
    },
    {
      id: 'create_notification_1',
      type: 'action',
      action_type: 'create_notification',
      plugin_id: 'platform',
      input: { message: 'A large order' },
      on_success: 'end',
    },
  ],
}

const form = (page: Page) => page.getByRole('region', { name: 'Form' })
const card = (page: Page, id: string) => page.locator(`[data-step="${id}"]`)
const item = (page: Page, id: string) => page.locator(`[role="treeitem"][data-id="${id}"]`)
const isFocused = async (locator: Locator): Promise<boolean> =>
  (await locator.and(locator.page().locator(':focus')).count()) > 0

/** Tab by tab, as who has no mouse, until it has the focus. */
async function tabTo(wanted: Locator, key = 'Tab'): Promise<void> {
  await wanted.first().waitFor()
  for (let tabs = 0; tabs < TABS_MAX; tabs++) {
    if (await isFocused(wanted)) return
    await wanted.page().keyboard.press(key)
  }
  throw new Error(`${String(wanted)} cannot be reached`)
}

/** Does what a button or a link is for. */
type Press = (locator: Locator) => Promise<void>
const PRESSES: Readonly<Record<'mouse' | 'keyboard', Press>> = {
  mouse: async (locator) => locator.click(),
  keyboard: async (locator) => {
    await tabTo(locator)
    await locator.page().keyboard.press('Enter')
  },
}

t.setTimeout(600_000)

for (const [way, press] of Object.entries(PRESSES)) {
  t.test(`from the first screen to a flow that has run, by ${way}`, { skip: noConsole }, async (t) => {
    const platform = await startReceiver(t)
    const held: (() => void)[] = []
    platform.answer(({ method }, response) => {
      if (method === 'POST') held.push(() => response.writeHead(201).end('{"id":"task_7"}'))
      else response.writeHead(404).end()
    })
    const { call, visit } = await startConsole(t, { PLATFORM_URL: platform.url })
    const { page, faults } = await visit('/console', { viewport: { width: 1440, height: 900 } })

    await press(page.getByRole('link', { name: 'Install a flow' }))
    await page.getByRole('heading', { name: 'No flow yet' }).waitFor()
    await press(page.getByRole('link', { name: 'Reorder what runs low' }))
    await page.getByRole('heading', { name: 'Reorder what runs low', level: 1 }).waitFor()
    await page.getByLabel(/^Flow canvas, 1 steps/).waitFor()
    await card(page, 'reorder').waitFor()
    t.same((await call<{ data: Flow[] }>('GET', FLOWS)).data, [], 'looking installs nothing')
    await press(page.getByRole('button', { name: 'Install' }))
    await page.waitForURL(/\/console\/flows\/[0-9a-f-]{36}/)
    const flow = new URL(page.url()).pathname.split('/').at(-1) ?? ''
    await press(page.getByRole('button', { name: 'Publish' }))
    await press(page.getByRole('dialog').getByRole('button', { name: 'Publish' }))
    await page.getByText('version 1').first().waitFor()
    t.match(await call('GET', `${FLOWS}/${flow}`), { published_version: 1, status: 'active' })

    await press(page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Events' }))
    await press(page.getByRole('button', { name: 'Post test event' }))
    const type = page.getByRole('combobox', { name: 'Event type' })
    if (way === 'mouse') await type.click()
    else await tabTo(type)
    await page.keyboard.type('inventory.low')
    await until(
      async () => page.getByRole('textbox', { name: 'Data' }).inputValue(),
      (text) => text.includes('product_id'),
    )
    await press(page.getByRole('dialog').getByRole('button', { name: 'Post', exact: true }))
    await page.waitForURL(/\/events\/[0-9a-f-]{36}$/)

    // The page of the event is told of the run that it starts.
    await press(page.getByRole('main').getByRole('link', { name: 'Reorder what runs low' }).first())
    await page.waitForURL(/\/console\/runs\/[0-9a-f-]{36}/)
    const reorder = page.getByRole('treeitem', { name: /^reorder/ })
    await reorder.filter({ hasText: 'running' }).waitFor()
    await card(page, 'reorder').getByText('running').waitFor()
    await page.getByText('Live', { exact: true }).waitFor()
    await until(
      async () => Promise.resolve(held.length),
      (count) => count === 1,
    )
    held.pop()?.()
    await reorder.filter({ hasText: 'succeeded' }).waitFor()
    await page.getByText('completed').first().waitFor()

    const run = new URL(page.url()).pathname.split('/').at(-1) ?? ''
    t.match(
      await call('GET', `/api/automation/executions/${run}`),
      { status: 'completed', steps: [{ step_id: 'reorder', status: 'succeeded' }] },
      'as the page has shown it',
    )
    t.same(await accessibilityFaults(page), [])
    t.same(faults, [])
  })
}

t.test('a flow is built from nothing', { skip: noConsole }, async (t) => {
  const { call, visit } = await startConsole(t)
  const read = async (id: string): Promise<Flow> => call<Flow>('GET', `${FLOWS}/${id}`)
  const idOf = (page: Page): string => new URL(page.url()).pathname.split('/').at(-1) ?? ''
  const save = async (page: Page): Promise<void> => {
    await page.keyboard.press('ControlOrMeta+s')
    await page.getByText('Draft saved').waitFor()
  }
  /** What each way has built, without where the cards stand. */
  const built: unknown[] = []

  /** Goes back by what was done last, and forth again; then publishes. */
  const finish = async (t: Test, page: Page, act: FinalActs): Promise<void> => {
    const id = idOf(page)
    await save(page)
    const { layout, ...definition } = (await read(id)).definition
    t.match(definition, BUILT)
    t.strictSame(Object.keys(layout?.positions ?? {}), ['stop_1'], 'it has a place of its own')
    await act.tidy()
    await page.getByText('Tidy the cards').waitFor({ state: 'attached' })
    await save(page)
    t.strictSame((await read(id)).definition, definition, 'tidying takes the place back, and no more')
    for (let count = 0; count < 5; count++) await act.undo()
    await item(page, 'stop_1').waitFor({ state: 'detached' })
    for (let count = 0; count < 5; count++) await act.redo()
    await item(page, 'stop_1').waitFor()
    await save(page)
    t.strictSame((await read(id)).definition, definition)
    await act.undo()
    await save(page)
    t.strictSame((await read(id)).definition, { ...definition, layout })
    await act.publish()
    await page.getByText('version 1').first().waitFor()
    await page.reload()
    await item(page, 'stop_1').waitFor()
    const flow = await read(id)
    t.match(flow, { published_version: 1, status: 'active' })
    t.strictSame(flow.definition, { ...definition, layout }, 'places are kept')
    built.push({ ...definition, name: '' })
  }

  t.test('by mouse', async (t) => {
    const { page, faults } = await visit('/console/flows', { viewport: { width: 1440, height: 1000 } })
    const press = async (menu: string, label: string): Promise<void> => {
      await form(page).getByRole('button', { name: menu }).click()
      await page.getByRole('menuitem', { name: label, exact: true }).click()
    }
    await page.getByRole('button', { name: 'New flow' }).click()
    await page.getByRole('heading', { name: 'New flow', level: 1 }).waitFor()
    await press('Add a trigger', 'Event')
    await form(page)
      .getByRole('combobox', { name: /^Event type/ })
      .fill('order.created')

    const palette = page.getByRole('dialog', { name: 'Add a step' })
    const add = async (label: string): Promise<void> => {
      await page.getByRole('button', { name: '+ Add a step' }).click()
      await palette.getByRole('option', { name: label, exact: true }).click()
    }
    const text = async (name: RegExp, value: string): Promise<void> =>
      form(page).getByRole('textbox', { name }).fill(value)
    await add('Condition')
    await text(/^Field/, 'trigger.total')
    await form(page).getByLabel('Operator').selectOption('gte')
    await text(/^Value/, '50')
    await add('Create a task')
    await text(/^Title/, 'Thank for {{trigger.total}}')
    await add('Notify the team')
    await text(/^Message/, 'A large order')

    // On the way from the condition to the task.
    await card(page, 'condition_1').click()
    await page.locator('.plus[data-way^="condition_1"][data-way*="true"]').click()
    await palette.getByRole('option', { name: 'Delay', exact: true }).click()
    await text(/^For so long/, '2 days')
    await card(page, 'condition_1').click()
    await page.locator('[data-id="condition_1!false"]').click()
    await palette.getByRole('option', { name: 'Stop', exact: true }).click()
    await press('Add field', 'Reason')
    await text(/^Reason/, 'Too small')

    const undo = page.getByRole('button', { name: 'Undo' })
    await card(page, 'stop_1').click()
    await form(page).getByRole('button', { name: 'Delete step' }).click()
    await card(page, 'stop_1').waitFor({ state: 'detached' })
    await undo.click()
    await card(page, 'stop_1').waitFor()
    const from = await middleOf(card(page, 'stop_1'))
    await page.mouse.move(from.x, from.y)
    await page.mouse.down()
    await page.mouse.move(from.x + 24, from.y + 40, { steps: 8 })
    await page.mouse.up()
    await page.getByText('Place stop_1').waitFor({ state: 'attached' })
    t.same(await accessibilityFaults(page), [])

    await finish(t, page, {
      tidy: async () => page.getByRole('button', { name: 'Tidy' }).click(),
      undo: async () => undo.click(),
      redo: async () => page.getByRole('button', { name: 'Redo' }).click(),
      publish: async () => {
        await page.getByRole('button', { name: 'Publish' }).click()
        await page.getByRole('dialog').getByRole('button', { name: 'Publish' }).click()
      },
    })
    t.same(faults, [])
  })

  for (const [way, colorScheme] of [
    ['outline', 'light'],
    ['canvas', 'dark'],
  ] as const) {
    t.test(`by keyboard alone, through the ${way}`, async (t) => {
      const { id } = await call<Flow>('POST', FLOWS, {
        name: way,
        status: 'draft',
        triggers: [],
        steps: [],
      })
      const { page, faults } = await visit(`/console/flows/${id}`, { colorScheme })
      const { keyboard } = page
      const typed = async (text: string): Promise<void> => {
        await keyboard.press('ControlOrMeta+a')
        await keyboard.type(text)
      }
      const goTo = async (name: string | RegExp): Promise<void> =>
        tabTo(
          page.getByLabel(name, { exact: typeof name === 'string' }).or(page.getByRole('button', { name })),
        )
      const pick = async (label: string): Promise<void> => {
        await keyboard.press('Enter')
        // Keys that come before the menu has the focus are lost.
        const current = page.locator('[role="menuitem"][data-highlighted]')
        await current.waitFor()
        await keyboard.type(label)
        await current.filter({ hasText: label }).waitFor()
        await keyboard.press('Enter')
        await page.getByRole('menu').waitFor({ state: 'detached' })
      }
      const openPalette = async (): Promise<void> => {
        await keyboard.press('/')
        // The focus comes a moment after the dialog.
        await page.getByRole('combobox').and(page.locator(':focus')).waitFor()
      }
      const insert = async (search: string): Promise<void> => {
        await page.getByRole('dialog', { name: 'Add a step' }).waitFor()
        await keyboard.type(search)
        await page.getByRole('option', { name: new RegExp(search, 'i'), selected: true }).waitFor()
        await keyboard.press('Enter')
        await page.getByRole('dialog').waitFor({ state: 'detached' })
      }
      const drawing = page.locator('.svelte-flow')
      /** From the form to a step that was made before. */
      const backTo = async (step: string): Promise<void> => {
        await keyboard.press('Escape')
        const here = new RegExp(`step=${step}`)
        if (way === 'canvas') {
          await drawing.and(page.locator(':focus')).waitFor()
          for (let moves = 0; moves < 10 && !here.test(page.url()); moves++) await keyboard.press('ArrowUp')
        } else {
          await page.locator('[role="treeitem"]:focus').waitFor()
          for (let moves = 0; moves < 10 && !(await isFocused(item(page, step))); moves++)
            await keyboard.press(moves === 0 ? 'Home' : 'ArrowDown')
          await keyboard.press('Enter')
          await keyboard.press('Escape')
        }
        await page.waitForURL(here)
      }

      await page.getByRole('button', { name: '+ Add a step' }).waitFor()
      await goTo('Add a trigger')
      await pick('Event')
      await page
        .getByLabel(/^Event type/)
        .and(page.locator(':focus'))
        .waitFor()
      await keyboard.type('order.created')
      if (way === 'canvas') await tabTo(drawing, 'Shift+Tab')
      else await goTo('Remove Event')
      await openPalette()
      await insert('condition')
      await typed('trigger.total')
      await goTo('Operator')
      await keyboard.type('is at least')
      await goTo('Value')
      await typed('50')
      await keyboard.press('Escape')
      await openPalette()
      await insert('create a task')
      await goTo(/^Title/)
      await typed('Thank for {{')
      await page.getByRole('listbox', { name: 'Data' }).waitFor()
      await keyboard.type('trigger.total')
      await keyboard.press('Enter')
      await page.getByRole('listbox').waitFor({ state: 'detached' })
      await keyboard.press('Escape')
      await openPalette()
      await insert('notify the team')
      await goTo(/^Message/)
      await typed('A large order')
      await backTo('condition_1')
      await openPalette()
      await insert('delay')
      await typed('2 days')
      await backTo('condition_1')
      await openPalette()
      await goTo('Where')
      await keyboard.press('ArrowDown')
      await keyboard.press('Shift+Tab')
      await insert('stop')
      await goTo('Add field')
      await pick('Reason')
      await page.getByLabel('Reason', { exact: true }).and(page.locator(':focus')).waitFor()
      await keyboard.type('Too small')
      await backTo('stop_1')
      await keyboard.press('Delete')
      await item(page, 'stop_1').waitFor({ state: 'detached' })
      await keyboard.press('ControlOrMeta+z')
      await item(page, 'stop_1').waitFor()
      if (way === 'canvas') {
        await keyboard.press('ArrowDown')
        for (let moves = 0; moves < 3 && !page.url().includes('step=stop_1'); moves++)
          await keyboard.press('ArrowRight')
      } else {
        for (let moves = 0; moves < 10 && !(await isFocused(item(page, 'stop_1'))); moves++)
          await keyboard.press(moves === 0 ? 'Home' : 'ArrowDown')
      }
      await keyboard.press('Alt+Shift+ArrowDown')
      await page.getByText('Place stop_1').waitFor({ state: 'attached' })
      t.same(await accessibilityFaults(page), [])

      await finish(t, page, {
        tidy: async () => keyboard.press('Shift+Alt+T'),
        undo: async () => keyboard.press('ControlOrMeta+z'),
        redo: async () => keyboard.press('ControlOrMeta+Shift+z'),
        publish: async () => {
          await keyboard.press('Control+Enter')
          await page.getByRole('dialog', { name: 'Publish the draft?' }).waitFor()
          await tabTo(page.getByRole('dialog').getByRole('button', { name: 'Publish' }))
          await keyboard.press('Enter')
        },
      })
      t.same(faults, [])
    })
  }

  t.test('each way gives the same definition', async (t) => {
    await becomes(t, () => built.length, 3)
    const [first, ...others] = built
    for (const other of others) t.strictSame(other, first)
  })
})

interface FinalActs {
  tidy: () => Promise<void>
  undo: () => Promise<void>
  redo: () => Promise<void>
  publish: () => Promise<void>
}

import type { Locator, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { accessibilityFaults, type Console, noConsole, startConsole } from './support/console.ts'
import { becomes } from './support/wait.ts'

interface Flow {
  id: string
  name: string
  status: string
  revision: number
  published_version: number | null
  definition: { name: string; steps: Record<string, unknown>[]; [member: string]: unknown }
}

const FLOWS = '/api/automation/flows'
const form = (page: Page) => page.getByRole('region', { name: 'Form' })
const item = (page: Page, id: string) => page.locator(`[role="treeitem"][data-id="${id}"]`)

async function choose(page: Page, menu: string, label: string): Promise<void> {
  await form(page).getByRole('button', { name: menu }).click()
  await page.getByRole('menuitem', { name: label, exact: true }).click()
}

async function saved(page: Page): Promise<void> {
  await page.getByText('Draft saved').waitFor()
}

t.test('builder', { skip: noConsole }, async (t) => {
  const { call, visit } = await startConsole(t)
  const read = async (id: string): Promise<Flow> => call<Flow>('GET', `${FLOWS}/${id}`)
  const empty = async (name: string): Promise<Flow> =>
    call<Flow>('POST', FLOWS, { name, status: 'draft', triggers: [], steps: [] })

  t.test('two tabs: nothing is overwritten unseen', async (t) => {
    const { id } = await empty('Two tabs')
    const first = await visit(`/console/flows/${id}`)
    const second = await visit(`/console/flows/${id}`)
    for (const { page } of [first, second])
      await form(page).getByRole('button', { name: 'Add a trigger' }).waitFor()
    // The live stream would spare the second tab the conflict.
    await second.page.context().setOffline(true)
    await choose(first.page, 'Add a trigger', 'By hand')
    await saved(first.page)
    await choose(second.page, 'Add a trigger', 'Schedule')
    await second.page.context().setOffline(false)
    const dialog = second.page.getByRole('dialog', { name: 'The flow was changed elsewhere' })
    await dialog.waitFor()
    await second.page.keyboard.press('Escape')
    t.match((await read(id)).definition, { triggers: [{ type: 'manual' }] })
    t.same(await accessibilityFaults(second.page), [])
    await dialog.getByRole('button', { name: 'Keep mine' }).click()
    await saved(second.page)
    t.match((await read(id)).definition, { triggers: [{ type: 'schedule' }] })
    t.same(first.faults, [])
  })

  await shows(t, { call, visit })
})

async function shows(t: Test, { call, visit }: Pick<Console, 'call' | 'visit'>): Promise<void> {
  await t.test('keeps the focus where something is taken away, or added', async (t) => {
    const flow = await call<Flow>('POST', FLOWS, {
      name: 'Focus',
      status: 'draft',
      triggers: [{ type: 'event', event_types: ['order.created'] }],
      steps: [
        {
          id: 'wait',
          type: 'wait_event',
          event: 'order.paid',
          match: {},
          timeout: '1 day',
          on_received: 'task',
          on_timeout: 'end',
        },
        { id: 'task', type: 'action', action_type: 'create_task', input: { title: 'A', description: 'B' } },
      ],
    })
    const { page, faults } = await visit(`/console/flows/${flow.id}?step=task`)
    const focused = (locator: Locator) => locator.and(page.locator(':focus')).waitFor()
    await form(page).getByRole('button', { name: 'Remove Description' }).press('Enter')
    await form(page).getByRole('button', { name: 'Remove Description' }).waitFor({ state: 'detached' })
    // It is put elsewhere a moment after what had it is gone.
    await page.waitForFunction('document.activeElement.tagName !== "BODY"')
    await item(page, 'wait').click()
    await form(page).getByRole('textbox', { name: 'Field of the awaited event' }).fill('cart_id')
    await form(page).getByRole('button', { name: 'Add', exact: true }).press('Enter')
    await focused(form(page).getByRole('textbox', { name: 'cart_id' }))
    await form(page).getByRole('button', { name: 'Remove cart_id' }).press('Enter')
    await focused(form(page).getByRole('textbox', { name: 'Field of the awaited event' }))
    await page.getByRole('button', { name: 'Publish' }).press('Enter')
    await page.getByRole('dialog').getByRole('button', { name: 'Publish' }).press('Enter')
    await page.getByText('version 1').waitFor()
    await page.getByRole('dialog').waitFor({ state: 'hidden' })
    // It is put elsewhere a moment after what had it is gone.
    await page.waitForFunction('document.activeElement.tagName !== "BODY"')
    await page.getByRole('button', { name: 'Deactivate Focus' }).press('Enter')
    await page.getByRole('dialog').getByRole('button', { name: 'Deactivate' }).press('Enter')
    const activate = page.getByRole('button', { name: 'Activate Focus', exact: true })
    await focused(activate)
    await activate.press('Enter')
    await focused(page.getByRole('button', { name: 'Deactivate Focus' }))

    // What was written a moment ago is not saved yet, and can be published all the same.
    await form(page).getByRole('textbox', { name: 'Field of the awaited event' }).fill('cart_id')
    await form(page).getByRole('button', { name: 'Add', exact: true }).press('Enter')
    await page.keyboard.press('Control+Enter')
    await page.getByRole('dialog', { name: 'Publish the draft?' }).waitFor()
    t.same(faults, [])
  })

  await t.test(
    'says nothing of fields that nobody was in, and everything once it is to be published',
    async (t) => {
      const { id } = await call<Flow>('POST', FLOWS, {
        name: 'Fresh',
        status: 'draft',
        triggers: [],
        steps: [],
      })
      const invalid = (page: Page) => form(page).locator('[aria-invalid="true"]')
      const focused = (locator: Locator) => locator.and(locator.page().locator(':focus')).waitFor()
      for (const colorScheme of ['light', 'dark'] as const) {
        const { page, faults } = await visit(`/console/flows/${id}`, { colorScheme })
        await page.getByRole('button', { name: /problems?: go/ }).waitFor()
        if (colorScheme === 'light') {
          await page.keyboard.press('F8')
          await focused(form(page).getByRole('button', { name: 'Add a trigger' }))
          await choose(page, 'Add a trigger', 'Event')
          const type = form(page).getByRole('combobox', { name: /^Event type/ })
          await focused(type)
          t.equal(await invalid(page).count(), 0, 'a new trigger is not wrong yet')
          await type.fill('order.paid')
          await page.getByRole('button', { name: '+ Add a step' }).click()
          await page.getByRole('combobox', { name: 'Add a step' }).fill('email')
          await page.getByRole('option', { name: /^✉? ?Message/ }).click()
          await form(page).getByRole('textbox', { name: /^Text/ }).waitFor()
          await page
            .getByText(/“Text”/)
            .first()
            .waitFor({ state: 'attached' })
          t.equal(await invalid(page).count(), 0, 'a new step is not wrong yet')
          await form(page).getByRole('textbox', { name: /^Text/ }).focus()
          await page.keyboard.press('Shift+Tab')
          await form(page).getByText('Add “Text”, the text of the message').waitFor()
          t.equal(await invalid(page).count(), 1, 'what was left is')
          await page.getByText('Draft saved').waitFor()
        } else await item(page, 'message_1').click()
        await page.keyboard.press('Control+Enter')
        const dialog = page.getByRole('dialog', { name: 'Publish the draft?' })
        await dialog.getByText('Add “Text”, the text of the message').waitFor()
        t.same(await accessibilityFaults(page), [])
        await page.keyboard.press('Escape')
        await form(page).getByRole('textbox', { name: /^Text/ }).and(invalid(page)).waitFor()
        await page.keyboard.press('F8')
        await focused(invalid(page).first())
        await page.keyboard.press('Control+Shift+Enter')
        await page.waitForURL(/tab=test/)
        await focused(page.getByRole('link', { name: 'Test' }))
        await page.keyboard.press('Control+Shift+Enter')
        await page.waitForURL((url) => !url.searchParams.has('tab'))
        t.same(faults, [])
      }
    },
  )

  await t.test('fills in the address that the event has, which another one replaces', async (t) => {
    await call('POST', '/api/events', {
      event: 'cart.left',
      id: 'cart_1',
      data: {
        order_number: 'C-1001',
        customer: { name: 'Ana Lopes', email: 'ana@example.com' },
        total: 12.5,
      },
    })
    const { id } = await call<Flow>('POST', FLOWS, {
      name: 'Cart',
      status: 'draft',
      triggers: [{ type: 'event', event_types: ['cart.left'] }],
      steps: [{ id: 'pause', type: 'delay', duration: '1 day' }],
    })
    const { page, faults } = await visit(`/console/flows/${id}?step=pause`)
    await form(page)
      .getByRole('textbox', { name: /^For so long/ })
      .waitFor()
    await page.getByRole('button', { name: /problems?: go/ }).waitFor()
    await page.getByRole('button', { name: '+ Add a step' }).click()
    await page.getByRole('combobox', { name: 'Add a step' }).fill('wait')
    await page.getByRole('option', { name: /Wait for an event/, selected: true }).waitFor()
    await page.getByRole('combobox', { name: 'Add a step' }).fill('message')
    await page.keyboard.press('Enter')
    const to = form(page).getByRole('textbox', { name: 'To', exact: true })
    await to.waitFor()
    t.equal(await to.inputValue(), '{{trigger.customer.email}}')
    await form(page).getByRole('button', { name: 'Insert data: To' }).click()
    await form(page)
      .getByRole('option', { name: /^trigger.customer.name/ })
      .click()
    t.equal(await to.inputValue(), '{{trigger.customer.name}}')
    await form(page).getByRole('button', { name: 'Insert data: To' }).click()
    await form(page).getByRole('button', { name: 'Choose a past event' }).click()
    await form(page)
      .getByRole('radio', { name: /C-1001 · Ana Lopes · ana@example.com · 12.5/ })
      .waitFor()
    t.same(faults, [])
  })

  await t.test('fills in the address also of a message that is added before it is known', async (t) => {
    const { id } = await call<Flow>('POST', FLOWS, {
      name: 'Early',
      status: 'draft',
      triggers: [{ type: 'event', event_types: ['cart.left'] }],
      steps: [{ id: 'pause', type: 'delay', duration: '1 day' }],
    })
    const { page, faults } = await visit('/console/flows')
    const added = Promise.withResolvers<undefined>()
    await page.route(/compiler\.worker/, async (route) => {
      await added.promise
      await route.continue()
    })
    await page.goto(new URL(`/console/flows/${id}?step=pause`, page.url()).href)
    await page.getByRole('button', { name: '+ Add a step' }).click()
    await page.getByRole('combobox', { name: 'Add a step' }).fill('message')
    await page.getByRole('option', { name: /Message/, selected: true }).waitFor()
    await page.keyboard.press('Enter')
    const to = form(page).getByRole('textbox', { name: 'To', exact: true })
    await to.waitFor()
    t.equal(await to.inputValue(), '')
    added.resolve(undefined)
    await becomes(t, async () => to.inputValue(), '{{trigger.customer.email}}', 'the address')
    await page.keyboard.press('Escape')
    await page.keyboard.press('Control+z')
    await item(page, 'message_1').waitFor({ state: 'detached' })
    await page.keyboard.press('Control+Shift+z')
    await item(page, 'message_1').click()
    t.equal(await to.inputValue(), '{{trigger.customer.email}}')
    t.same(faults, [])
  })

  await t.test('leads from problem to problem, at its field', async (t) => {
    const flow = await call<Flow>('POST', FLOWS, {
      name: 'Wrong',
      trigger: { type: 'manual' },
      steps: [
        { id: 'a', type: 'delay', duration: 'soon' },
        {
          id: 'b',
          type: 'action',
          action_type: 'create_task',
          input: { title: '{{trigger.name | upperr}}' },
        },
      ],
    })
    for (const colorScheme of ['light', 'dark'] as const) {
      const { page, faults } = await visit(`/console/flows/${flow.id}`, { colorScheme })
      await page.getByRole('button', { name: /problems: go to the next/ }).waitFor()
      await page.keyboard.press('F8')
      await page.waitForURL(/step=a/)
      const invalid = page.locator('[aria-invalid="true"]')
      await form(page).getByRole('textbox', { name: 'For so long' }).and(invalid).waitFor()
      await page.keyboard.press('F8')
      await page.waitForURL(/step=b/)
      await form(page)
        .getByRole('textbox', { name: /^Title/ })
        .and(invalid)
        .waitFor()
      t.same(await accessibilityFaults(page), [])
      t.same(faults, [])
    }
  })
}

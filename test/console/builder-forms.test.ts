import type { Page } from 'playwright-core'
import t from 'tap'
import { accessibilityFaults, noConsole, settled, startConsole } from './support/console.ts'
import { becomes } from './support/wait.ts'

interface Flow {
  id: string
  published_version: number | null
  has_unpublished_changes: boolean
  definition: { steps: Record<string, unknown>[] }
}

const FLOWS = '/api/automation/flows'
const item = (page: Page, id: string) => page.locator(`[role="treeitem"][data-id="${id}"]`)
const wait = (id: string, rest: object = {}): object => ({ id, type: 'delay', duration: '1 day', ...rest })

t.setTimeout(600_000)

t.test('forms of the builder', { skip: noConsole }, async (t) => {
  const { call, visit } = await startConsole(t)
  const draft = async (name: string, steps: object[], rest: object = {}): Promise<Flow> =>
    call<Flow>('POST', FLOWS, { name, status: 'draft', triggers: [{ type: 'manual' }], steps, ...rest })
  const stepOf = async (id: string, step: string) => {
    const { definition } = await call<Flow>('GET', `${FLOWS}/${id}`)
    return definition.steps.find((each) => each['id'] === step)
  }
  await call('POST', '/api/connections', {
    name: 'shipper',
    kind: 'bearer',
    hosts: ['api.ship.example'],
    values: { token: 's3cret' },
  })

  t.test('have fields for all that a step takes', async (t) => {
    const { id } = await draft('All fields', [
      wait('pause'),
      { id: 'ask', type: 'http', url: 'https://api.ship.example/x', body: { a: 1 } },
      { id: 'say', type: 'message', channel: 'email', to: 'a@example.com', subject: 'Hi', body: 'Hi' },
      {
        id: 'paid',
        type: 'wait_event',
        event: 'order.paid',
        match: { id: '{{trigger.id}}' },
        timeout: '1 day',
      },
    ])
    const { page, faults } = await visit(`/console/flows/${id}?step=pause`, {
      viewport: { width: 1440, height: 900 },
    })
    const form = page.getByRole('region', { name: 'Form' })
    const add = async (field: string): Promise<void> => {
      await form.getByRole('button', { name: 'Add field' }).last().click()
      await page.getByRole('menuitem', { name: field, exact: true }).click()
    }
    await form.waitFor()
    await item(page, 'pause').waitFor()
    await add('Weekdays')
    await form.getByRole('group', { name: 'Weekdays' }).getByLabel('Wed').uncheck()
    await add('Business days')
    await form.getByLabel('Business days', { exact: true }).selectOption('after')
    await form.getByRole('textbox', { name: /^How many business days/ }).fill('3')
    t.same(await accessibilityFaults(page), [])

    await item(page, 'ask').click()
    await add('Connection')
    await form.getByLabel('Connection', { exact: true }).selectOption('shipper')
    // Emptied, it is not sent on unseen.
    await form.getByLabel('Text', { exact: true }).fill('')
    await form.getByLabel('Connection', { exact: true }).focus()

    await item(page, 'say').click()
    await add('Written by AI')
    await form.getByRole('textbox', { name: /^Instruction/ }).fill('Thank them')
    await add('Sent by another action')
    await form.getByRole('group', { name: 'Sent by another action' }).getByLabel('Action').first().waitFor()

    await item(page, 'paid').click()
    await add('One of several events')
    await form.getByRole('button', { name: 'Add an event' }).click()
    await form
      .getByRole('region', { name: 'Event 2' })
      .getByRole('combobox', { name: /^Event/ })
      .fill('order.cancelled')
    t.same(await accessibilityFaults(page), [])

    const saved = async (step: string, fits: (found: Record<string, unknown>) => boolean) =>
      becomes(t, async () => fits((await stepOf(id, step)) ?? {}), true)
    await saved('paid', ({ any, event }) => Array.isArray(any) && any.length === 2 && event === undefined)
    t.match(await stepOf(id, 'pause'), { weekdays: ['MON', 'TUE', 'THU', 'FRI'], business_days: 3 })
    const asked = await stepOf(id, 'ask')
    t.match(asked, { connection: 'shipper' })
    t.notOk(Object.hasOwn(asked ?? {}, 'body'), 'the emptied body is gone')
    t.match(await stepOf(id, 'say'), { ai: { prompt: 'Thank them' } })
    t.match(await stepOf(id, 'paid'), {
      any: [{ event: 'order.paid', match: { id: '{{trigger.id}}' } }, { event: 'order.cancelled' }],
    })
    t.same(faults, [])
  })

  t.test('keep a case’s way from the name of another case', async (t) => {
    const test = { field: 'trigger.total', operator: 'exists' }
    const { id } = await draft('Cases', [
      {
        id: 'kind',
        type: 'switch',
        cases: [
          { name: 'one', condition: test },
          { name: 'two', condition: test },
        ],
        on_one: 'end',
        on_two: 'last',
        on_default: 'end',
      },
      wait('last'),
    ])
    const { page, faults } = await visit(`/console/flows/${id}?step=kind`)
    const name = page.getByLabel('Name of case 2')
    await name.fill('one')
    await name.press('Tab')
    await page.getByText('Another case is called “one”: choose another name.').waitFor()
    await name.fill('second')
    await name.press('Tab')
    await becomes(t, async () => (await stepOf(id, 'kind'))?.['on_second'], 'last')
    t.same(faults, [])
  })

  t.test('are German, and say what has no sample', async (t) => {
    const { id } = await draft('Deutsch', [
      { id: 'task', type: 'action', action_type: 'create_task', input: { title: 'Zu {{execution.id}}' } },
    ])
    const { page, faults } = await visit(`/console/flows/${id}?step=task`, {
      locale: 'de-DE',
      colorScheme: 'dark',
    })
    const form = page.getByRole('region', { name: 'Formular' })
    await form.getByText('Noch kein Beispiel für execution.id').waitFor()
    await form
      .getByRole('textbox', { name: /^Title/ })
      .fill('{{variables.x | upcase}} {{trigger.x | divided}}')
    await form.getByText('Den Filter „divided“ gibt es nicht').waitFor()
    t.same(await accessibilityFaults(page), [])
    t.same(faults, [])
  })

  t.test('say how many runs a publication leaves, cancel them, and give a draft up', async (t) => {
    const { id } = await draft('Under way', [wait('pause')], { status: 'active' })
    for (const run of ['a', 'b']) await call('POST', `${FLOWS}/${id}/run`, { input: { run } })
    const read = async () => call<Flow>('GET', `${FLOWS}/${id}`)
    const edited = (duration: string) => ({
      name: 'Under way',
      triggers: [{ type: 'manual' }],
      steps: [wait('pause', { duration })],
    })
    await call('PUT', `${FLOWS}/${id}`, edited('2 days'))
    const { page, faults } = await visit(`/console/flows/${id}`)
    await page.getByRole('button', { name: 'More', exact: true }).click()
    await page.getByRole('menuitem', { name: 'Discard draft…' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Discard draft' }).click()
    await page.getByText('The draft is what is published again.').waitFor()
    t.match(await read(), { has_unpublished_changes: false, published_version: 1 })
    t.match(await stepOf(id, 'pause'), { duration: '1 day' })

    await call('PUT', `${FLOWS}/${id}`, edited('3 days'))
    await page.reload()
    await page.getByRole('button', { name: 'Publish' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByText('2 runs are under way. They go on by their own versions.').waitFor()
    await settled(page)
    t.same(await accessibilityFaults(page), [])
    await dialog.getByLabel('Cancel what is under way instead').check()
    await dialog.getByText('What is under way is cancelled').waitFor()
    await dialog.getByRole('button', { name: 'Publish' }).click()
    await page.getByText('version 2').first().waitFor()
    const { data } = await call<{ data: { status: string }[] }>(
      'GET',
      `/api/automation/executions?flow=${id}`,
    )
    t.same(
      data.map(({ status }) => status),
      ['cancelled', 'cancelled'],
    )
    t.same(faults, [])
  })
})

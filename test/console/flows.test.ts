import t from 'tap'
import { startReceiver } from '#test/support/receiver.ts'
import { until } from '#test/infra/app-on.ts'
import { accessibilityFaults, noConsole, startConsole } from './support/console.ts'
import { becomes } from './support/wait.ts'

interface Flow {
  id: string
  name: string
  status: string
  published_version: number | null
  has_unpublished_changes: boolean
}

const FLOWS = '/api/automation/flows'

t.test('flows', { skip: noConsole }, async (t) => {
  const { call, visit } = await startConsole(t)
  const receiver = await startReceiver(t)
  const tell = (id: string) => ({
    id,
    type: 'http',
    name: `Tell ${id}`,
    method: 'POST',
    url: `${receiver.url}/${id}`,
    body: {},
  })
  const read = async (id: string): Promise<Flow> => call<Flow>('GET', `${FLOWS}/${id}`)
  let greeting = ''

  t.test('says what a flow is while there is none, in light and in dark', async (t) => {
    for (const colorScheme of ['light', 'dark'] as const) {
      const { page, faults } = await visit('/console/flows', { colorScheme })
      await page.getByRole('heading', { name: 'No flow yet' }).waitFor()
      t.same(await accessibilityFaults(page), [])
      t.same(faults, [])
    }
  })

  t.test('imports one, publishes it, and runs it with an input', async (t) => {
    const definition = {
      name: 'Greet',
      triggers: [{ type: 'manual' }, { type: 'event', event_types: ['customer.created'] }],
      steps: [
        {
          id: 'large',
          type: 'condition',
          name: 'Is large',
          field: 'total',
          operator: 'gte',
          value: 50,
          on_true: 'shop',
          on_false: 'end',
        },
        tell('shop'),
      ],
    }
    const { page, faults } = await visit('/console/flows')
    await page.getByRole('button', { name: 'Import…' }).click()
    await page.getByLabel('JSON').fill(JSON.stringify(definition))
    await page.getByRole('button', { name: 'Import as a draft' }).click()
    await page.getByRole('heading', { name: 'Greet', level: 1 }).waitFor()
    greeting = page.url().split('/').at(-1) ?? ''
    t.match(await read(greeting), { status: 'draft', published_version: null })
    await page.getByRole('button', { name: 'Publish' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Publish' }).click()
    await page.getByText('version 1').waitFor()
    t.match(await read(greeting), { status: 'active', published_version: 1 })
    t.same(await accessibilityFaults(page), [])

    await page.getByRole('button', { name: 'Run now…' }).click()
    await page.getByLabel('Input').fill('{ "total": 80 }')
    await page.getByRole('button', { name: 'Run', exact: true }).click()
    await page.waitForURL(/\/runs\//)
    await page.getByRole('treeitem', { name: /^Tell shop.*succeeded/ }).waitFor()
    t.equal(receiver.received.length, 1)
    t.same(faults, [])
  })

  t.test('tests it: the way is painted, and nothing leaves the house', async (t) => {
    const before = receiver.received.length
    const { page, faults } = await visit(`/console/flows/${greeting}?tab=test`, { colorScheme: 'dark' })
    await page.getByLabel('Begins with').selectOption('own')
    await page.getByLabel('Data').fill('{ "total": 99 }')
    await page.getByRole('button', { name: 'Test', exact: true }).click()
    await page.getByText('It would start.').waitFor()
    await page.getByRole('treeitem', { name: /^Tell shop.*simulated/ }).click()
    await page.getByRole('heading', { name: 'Would do' }).waitFor()
    t.same(await accessibilityFaults(page), [])
    await page.getByLabel('Data').fill('{ "total": 1 }')
    await page.getByRole('button', { name: 'Test', exact: true }).click()
    await page.getByText('The test has not come to this step.').waitFor()
    t.equal(receiver.received.length, before)
    t.same(faults, [])
  })

  t.test('replaces the draft by import, compares it with what runs, and publishes it', async (t) => {
    const { page, faults } = await visit(`/console/flows/${greeting}?tab=code`)
    await page.getByRole('button', { name: 'Replace by import…' }).click()
    const newer = { name: 'Greet', trigger: { type: 'manual' }, steps: [tell('shop'), tell('owner')] }
    await page.getByLabel('JSON').fill(JSON.stringify(newer))
    await page.getByRole('button', { name: 'Replace draft' }).click()
    await page.getByText('a draft differs').waitFor()
    t.match(await read(greeting), { published_version: 1, has_unpublished_changes: true })

    await page.getByRole('link', { name: 'Versions' }).click()
    await page.getByRole('button', { name: 'Look at: Version 1' }).click()
    await page.getByRole('combobox', { name: 'Compare with' }).selectOption('draft')
    const differences = page.getByRole('region', { name: 'Differences' })
    await differences.getByRole('button', { name: /Tell owner.*added/ }).waitFor()
    await page.getByRole('link', { name: 'Text' }).click()
    await differences.getByText('"Tell owner"').waitFor()
    t.match(page.url(), /version=1&with=draft&as=text/)
    t.same(await accessibilityFaults(page), [])

    await page.getByRole('link', { name: 'Flow', exact: true }).click()
    await page.getByRole('treeitem', { name: /^Tell shop/ }).waitFor()
    t.equal(await page.getByRole('treeitem', { name: /Tell owner/ }).count(), 0, 'what runs is shown first')
    await page.getByRole('combobox', { name: 'Shown' }).selectOption('draft')
    await page.getByRole('treeitem', { name: /Tell owner/ }).waitFor()
    await page.getByRole('button', { name: 'Publish' }).click()
    await page
      .getByRole('dialog')
      .getByRole('listitem')
      .filter({ hasText: 'Tell owner' })
      .getByText('added')
      .waitFor()
    await page.getByRole('dialog').getByRole('button', { name: 'Publish' }).click()
    await page.getByText('version 2').first().waitFor()
    t.match(await read(greeting), { published_version: 2, has_unpublished_changes: false })
    t.same(faults, [])
  })

  t.test('shows what is wrong with a draft at its step, and why it cannot be active', async (t) => {
    const draft = await call<Flow>('POST', FLOWS, {
      name: 'Wrong',
      trigger: { type: 'manual' },
      steps: [{ ...tell('a'), on_success: 'nowhere' }],
    })
    const { page, faults } = await visit(`/console/flows/${draft.id}?tab=flow`)
    await page.getByText('There is no step "nowhere"').waitFor()
    await page.getByRole('button', { name: 'Tell a', exact: true }).click()
    await page.waitForURL(/step=a/)
    await page.getByRole('treeitem', { name: /problem/, selected: true }).waitFor()
    t.same(await accessibilityFaults(page), [])
    t.same(faults, [])
    t.equal(
      await page.getByRole('button', { name: 'Activate Wrong' }).count(),
      0,
      'publishing is the one way',
    )
    await page.getByRole('button', { name: 'Publish', exact: true }).click()
    await page.getByRole('dialog').getByText('There is no step "nowhere"').waitFor()
    await page.getByRole('dialog').getByRole('button', { name: 'Publish', exact: true }).click()
    await page.getByRole('dialog').getByText('The flow has errors').waitFor()
    await page.goto(page.url().replace(/[^/]*$/, ''))
    await page.getByRole('button', { name: 'Publish Wrong' }).click()
    await page.getByRole('dialog').getByText('There is no step "nowhere"').waitFor()
    t.equal((await read(draft.id)).status, 'draft')
  })

  t.test('switches off, copies and deletes, each once it was confirmed', async (t) => {
    const { page, faults } = await visit('/console/flows')
    await page.getByRole('button', { name: 'Deactivate Greet' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Deactivate' }).click()
    await page.getByRole('button', { name: 'Activate Greet', exact: true }).waitFor()
    t.equal((await read(greeting)).status, 'inactive')
    await page.getByRole('combobox', { name: 'Status' }).selectOption('inactive')
    await page.getByText('1 in all').waitFor()
    t.same(await accessibilityFaults(page), [])

    await page.getByRole('link', { name: 'Greet' }).click()
    await page.getByRole('button', { name: 'More' }).click()
    await page.getByRole('menuitem', { name: 'Duplicate' }).click()
    await page.getByRole('heading', { name: 'Greet (copy)' }).waitFor()
    await page.getByRole('button', { name: 'More' }).click()
    await page.getByRole('menuitem', { name: 'Delete…' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
    await page.getByRole('button', { name: 'More' }).click()
    await page.getByRole('menuitem', { name: 'Delete…' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Delete flow' }).click()
    await page.getByRole('heading', { name: 'Flows', level: 1 }).waitFor()
    await page.getByText('The flow is deleted.').waitFor()
    // Whoever goes back comes to the flow that was copied, not to the copy, which is no more.
    await page.goBack()
    await page.getByRole('heading', { name: 'Greet', level: 1 }).waitFor()
    await page.goForward()
    await page.getByRole('heading', { name: 'Flows', level: 1 }).waitFor()
    const left = await call<{ data: Flow[] }>('GET', FLOWS)
    t.strictSame(left.data.map(({ name }) => name).sort(), ['Greet', 'Wrong'])
    t.same(faults, [])
  })

  t.test('who goes elsewhere while it is deleted stays there, and does not meet it again', async (t) => {
    await call('POST', FLOWS, {
      name: 'Doomed',
      status: 'draft',
      trigger: { type: 'event', event_types: ['order.created'] },
      steps: [{ id: 'note', type: 'set', variables: { a: 1 } }],
    })
    const { page, faults } = await visit('/console/flows')
    await page.getByRole('link', { name: 'Doomed' }).click()
    await page.getByRole('button', { name: 'More' }).click()
    await page.getByRole('menuitem', { name: 'Delete…' }).click()
    const held = Promise.withResolvers<undefined>()
    await page.route('**/api/automation/flows/*', async (route) => {
      if (route.request().method() === 'DELETE') await held.promise
      await route.continue()
    })
    await page.getByRole('dialog').getByRole('button', { name: 'Delete flow' }).click()
    await page.goBack()
    await page.getByRole('heading', { name: 'Flows', level: 1 }).waitFor()
    held.resolve(undefined)
    await page.getByText('The flow is deleted.').waitFor()
    await page.goForward()
    await page.waitForURL(/\/console\/flows$/)
    await page.getByRole('heading', { name: 'Flows', level: 1 }).waitFor()
    t.same(faults, [])
  })

  t.test('shows its runs, its figures and its settings', async (t) => {
    const { page, faults } = await visit(`/console/flows/${greeting}?tab=runs`)
    await page.getByText('1 in all').waitFor()
    await page.getByText('Success').waitFor()
    await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: 'Settings' }).click()
    await page.getByText('Times started').waitFor()
    t.same(await accessibilityFaults(page), [])
    t.same(faults, [])
  })

  t.test('says what it has missed while it was off, and makes it good or leaves it out', async (t) => {
    const { id } = await call<Flow>('POST', FLOWS, {
      name: 'Pack parcels',
      status: 'active',
      trigger: { type: 'event', event_types: ['parcel.ready'] },
      steps: [tell('parcel')],
    })
    const skipped = async (): Promise<number> =>
      (await call<{ data: unknown[] }>('GET', `/api/automation/executions?flow=${id}&status=skipped`)).data
        .length
    const miss = async (count: number): Promise<void> => {
      await call('POST', `${FLOWS}/${id}/deactivate`, {})
      const before = await skipped()
      for (let n = 0; n < count; n++)
        await call('POST', '/api/events', { event: 'parcel.ready', data: { n } })
      await until(skipped, (now) => now === before + count)
    }
    await miss(2)
    const { page, faults } = await visit(`/console/flows/${id}?tab=flow`)
    const notice = page.getByRole('region', { name: 'This flow is switched off' })
    await notice.getByText('Starts that it has missed: 2.').waitFor()
    t.same(await accessibilityFaults(page), [])
    await notice.getByRole('button', { name: 'Activate and start 2' }).press('Enter')
    await page.getByText('The flow is active. Starts that are made good: 2').waitFor()
    await notice.waitFor({ state: 'detached' })
    t.match(await read(id), { status: 'active' })
    await becomes(t, skipped, 0, 'they have started')

    await miss(1)
    const dark = await visit(`/console/flows/${id}?tab=flow`, { colorScheme: 'dark' })
    await dark.page.getByText('Starts that it has missed: 1.').waitFor()
    t.same(await accessibilityFaults(dark.page), [])
    await dark.page.getByRole('button', { name: 'Activate without them' }).click()
    await dark.page.getByText('The flow is active.').waitFor()
    t.equal(await skipped(), 1)
    t.same(faults, [])
    t.same(dark.faults, [])
  })
})

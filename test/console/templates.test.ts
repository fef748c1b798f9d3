import { readFile } from 'node:fs/promises'
import t from 'tap'
import { accessibilityFaults, noConsole, startConsole } from './support/console.ts'
import { becomes } from './support/wait.ts'

interface Flow {
  id: string
  name: string
  status: string
  template_id: string | null
  definition: { steps: { input?: Record<string, unknown>; headers?: Record<string, unknown> }[] }
}
interface Template {
  id: string
  title: string
  description: string
  category: string
  own: boolean
  parameters: { name: string; title: string; type: string; default: unknown; places: string[] }[]
}

const FLOWS = '/api/automation/flows'
const TEMPLATES = '/api/automation/templates'

t.test('templates', { skip: noConsole }, async (t) => {
  const { call, visit } = await startConsole(t)
  const ownOf = async () => (await call<{ data: Template[] }>('GET', `${TEMPLATES}?own=true`)).data
  const read = async (id: string): Promise<Flow> => call<Flow>('GET', `${FLOWS}/${id}`)
  const idIn = (address: string): string => new URL(address).pathname.split('/').at(-1) ?? ''
  let greeting = ''

  t.test('the first steps lead to the gallery, which a shop without flows sees first', async (t) => {
    const { page, faults } = await visit('/console')
    await page.getByRole('link', { name: 'Install a flow' }).click()
    await page.getByRole('heading', { name: 'No flow yet' }).waitFor()
    await page.getByRole('list', { name: 'Templates' }).getByRole('listitem').first().waitFor()
    const { data: all } = await call<{ data: Template[] }>('GET', TEMPLATES)
    const items = page.getByRole('list', { name: 'Templates' }).getByRole('listitem')
    await becomes(t, async () => items.count(), all.length)
    t.same(await accessibilityFaults(page), [])
    await page.getByRole('combobox', { name: 'Category' }).selectOption('leads')
    await page.getByRole('link', { name: 'Welcome new customers' }).waitFor({ state: 'detached' })
    await page.waitForURL(/flows\?category=leads/)
    t.same(faults, [])
    await page.goto(page.url().replace(/\?.*/, ''))
    await page
      .getByRole('textbox', { name: 'Search' })
      .or(page.getByRole('searchbox', { name: 'Search' }))
      .fill('abandoned cart')
    await becomes(t, async () => items.count(), 1, 'found by what people call it')
    await page.keyboard.press('Control+k')
    await page.getByRole('combobox', { name: 'Go to' }).fill('abandoned')
    await page.getByRole('option', { name: 'Remind of unpaid orders' }).click()
    await page.getByRole('heading', { name: 'Remind of unpaid orders', level: 1 }).waitFor()
    t.same(faults, [])
    const dark = await visit('/console/flows', { colorScheme: 'dark' })
    await dark.page.getByRole('link', { name: 'Welcome new customers' }).waitFor()
    t.same(await accessibilityFaults(dark.page), [])
    t.same(dark.faults, [])
  })

  t.test('a template is looked at on the canvas before it is installed, by keyboard', async (t) => {
    const { page, faults } = await visit('/console/flows')
    await page.getByRole('link', { name: 'Remind of unpaid orders' }).focus()
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Remind of unpaid orders', level: 1 }).waitFor()
    await page
      .getByRole('application')
      .or(page.getByLabel(/^Flow canvas, 4 steps/))
      .first()
      .waitFor()
    await page.getByRole('treeitem', { name: /^reminder/ }).click()
    await page.getByRole('heading', { name: 'Step: reminder' }).waitFor()
    t.same((await call<{ data: Flow[] }>('GET', FLOWS)).data, [], 'looking installs nothing')
    t.same(await accessibilityFaults(page), [])
    await page.getByLabel('Hours').fill('6')
    await page.getByRole('button', { name: 'Install' }).focus()
    await page.keyboard.press('Enter')
    await page.waitForURL(/\/console\/flows\/[0-9a-f-]{36}/)
    t.match(await read(idIn(page.url())), { template_id: 'abandoned_cart', status: 'draft' })
    t.same(faults, [])
  })

  t.test('installing it again with the same settings shows the flow that is there', async (t) => {
    const { page, faults } = await visit('/console/templates/abandoned_cart', { colorScheme: 'dark' })
    await page.getByLabel('Hours').fill('6')
    await page.getByRole('button', { name: 'Install' }).click()
    await page.getByText('There is a flow with these settings').waitFor()
    t.equal((await call<{ data: Flow[] }>('GET', FLOWS)).data.length, 1)
    t.same(faults, [])
  })

  t.test('a flow is saved as a template, with the values that are asked for', async (t) => {
    const made = await call<Flow>('POST', FLOWS, {
      name: 'Greet',
      trigger: { type: 'event', event_types: ['customer.created'] },
      steps: [
        {
          id: 'task',
          type: 'action',
          action_type: 'create_task',
          input: { title: 'Greet {{trigger.name}}', priority: 3 },
        },
      ],
    })
    greeting = made.id
    const { page, faults } = await visit(`/console/flows/${greeting}`)
    await page.getByRole('button', { name: 'More' }).click()
    await page.getByRole('menuitem', { name: 'Save as template…' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Description').fill('A task for whoever is new.')
    await dialog.getByLabel('Category').selectOption('customers')
    await dialog.getByRole('checkbox', { name: /task input › title/ }).check()
    await dialog.getByLabel('Asked for as').fill('What to do')
    await dialog.getByLabel('Find a value').fill('priority')
    await dialog.getByRole('checkbox', { name: /priority/ }).check()
    await dialog.getByLabel('At most').fill('5')
    t.same(await accessibilityFaults(page), [])
    await page.emulateMedia({ colorScheme: 'dark' })
    t.same(await accessibilityFaults(page, ['color-contrast']), [])
    await dialog.getByRole('button', { name: 'Save template' }).click()
    await page.waitForURL(/\/console\/templates\//)
    await page.getByRole('heading', { name: 'Greet', level: 1 }).waitFor()
    const [own] = await ownOf()
    const stored = await call<Template>('GET', `${TEMPLATES}/${own?.id ?? ''}`)
    t.match(stored, {
      title: 'Greet',
      description: 'A task for whoever is new.',
      category: 'customers',
      parameters: [
        { name: 'title', title: 'What to do', type: 'template', places: ['/steps/0/input/title'] },
        { name: 'priority', type: 'integer', default: 3, maximum: 5 },
      ],
    })
    t.same(faults, [])
  })

  t.test('it stands in the gallery as the shop’s own, and is installed like the others', async (t) => {
    const { page, faults } = await visit('/console/templates?own=true')
    const card = page.getByRole('listitem').filter({ hasText: 'A task for whoever is new.' })
    await card.getByText('own', { exact: true }).waitFor()
    const items = page.getByRole('list', { name: 'Templates' }).getByRole('listitem')
    await becomes(t, async () => items.count(), 1)
    t.same(await accessibilityFaults(page), [])
    await card.getByRole('link', { name: 'Greet' }).click()
    await page.getByLabel('What to do').fill('Call {{trigger.name}}')
    await page.getByLabel('Priority').fill('9')
    await page.getByRole('button', { name: 'Install' }).click()
    await becomes(t, async () => page.locator('input:invalid').count(), 1, 'the browser says what is wrong')
    await page.getByLabel('Priority').fill('5')
    await page.getByRole('button', { name: 'Install' }).click()
    await page.waitForURL(/\/console\/flows\//)
    const flow = await read(idIn(page.url()))
    t.match(flow, { name: 'Greet', status: 'draft' })
    t.same(flow.definition.steps[0]?.input, { title: 'Call {{trigger.name}}', priority: 5 })
    t.equal(flow.template_id, (await ownOf())[0]?.id)
    t.same(faults, [])
  })

  t.test('it is edited, saved anew of a flow, and deleted', async (t) => {
    const [own] = await ownOf()
    const { page, faults } = await visit(`/console/templates/${own?.id}`, { colorScheme: 'dark' })
    await page.getByRole('button', { name: 'Edit…' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByRole('textbox', { name: 'Name' }).fill('Greet whoever is new')
    await dialog.getByRole('checkbox', { name: /priority/ }).uncheck()
    t.same(await accessibilityFaults(page), [])
    await dialog.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('heading', { name: 'Greet whoever is new', level: 1 }).waitFor()
    t.same(
      (await call<Template>('GET', `${TEMPLATES}/${own?.id}`)).parameters.map(({ name }) => name),
      ['title'],
    )
    await call('PUT', `${FLOWS}/${greeting}`, {
      name: 'Greet',
      trigger: { type: 'event', event_types: ['lead.created'] },
      steps: [{ id: 'task', type: 'action', action_type: 'create_task', input: { title: 'New' } }],
    })
    await page.goto(new URL(`/console/flows/${greeting}`, page.url()).href)
    await page.getByRole('button', { name: 'More' }).click()
    await page.getByRole('menuitem', { name: 'Save as template…' }).click()
    await dialog.getByLabel('Save as').selectOption({ label: 'in place of “Greet whoever is new”' })
    await dialog.getByRole('checkbox', { name: /title/ }).and(page.locator(':checked')).waitFor()
    await becomes(
      t,
      async () => dialog.getByRole('textbox', { name: 'Name' }).inputValue(),
      'Greet whoever is new',
    )
    await dialog.getByRole('button', { name: 'Save template' }).click()
    await page.waitForURL(/\/console\/templates\//)
    t.match(await ownOf(), [{ id: own?.id, title: 'Greet whoever is new', triggers: ['lead.created'] }])
    await page.getByRole('button', { name: 'Delete…' }).click()
    await dialog.getByRole('button', { name: 'Cancel' }).click()
    t.equal((await ownOf()).length, 1)
    await page.getByRole('button', { name: 'Delete…' }).click()
    await dialog.getByRole('button', { name: 'Delete template' }).click()
    await page.getByRole('heading', { name: 'Templates', level: 1 }).waitFor()
    t.same(await ownOf(), [])
    t.same(faults, [])
  })

  t.test(
    'of two templates that are chosen one after the other, the last one is what is said and saved',
    async (t) => {
      const make = async (title: string) =>
        call<Template>('POST', TEMPLATES, {
          flow_id: greeting,
          title,
          category: 'customers',
          parameters: [
            { name: 'title', type: 'text', places: ['/steps/0/input/title'], max_length: 12 },
            {
              name: 'what',
              type: 'choice',
              places: ['/steps/0/action_type'],
              choices: ['create_task', 'other'],
            },
          ],
        })
      const [first, second] = [await make('First'), await make('Second')]
      const { page, faults } = await visit(`/console/flows/${greeting}`)
      let answer = (): void => undefined
      const isAnswered = new Promise<void>((resolve) => (answer = resolve))
      await page.route(`**${TEMPLATES}/${first.id}`, async (route) => {
        await isAnswered
        await route.continue()
      })
      await page.getByRole('button', { name: 'More' }).click()
      await page.getByRole('menuitem', { name: 'Save as template…' }).click()
      const dialog = page.getByRole('dialog')
      const send = dialog.getByRole('button', { name: 'Save template' })
      await dialog.getByLabel('Save as').selectOption({ label: 'in place of “First”' })
      await becomes(t, async () => send.isDisabled(), true, 'not before what it says stands there')
      await dialog.getByLabel('Save as').selectOption({ label: 'in place of “Second”' })
      await send.and(page.locator(':enabled')).waitFor()
      const late = page.waitForResponse((response) => response.url().endsWith(first.id))
      answer()
      await (await late).finished()
      // What the page would make of it is done before it answers this.
      await page.evaluate('new Promise((seen) => setTimeout(seen))')
      t.equal(await dialog.getByRole('textbox', { name: 'Name' }).inputValue(), 'Second')
      await send.click()
      await page.waitForURL(new RegExp(`/console/templates/${second.id}`))
      await page.getByRole('button', { name: 'Edit…' }).click()
      await dialog.getByRole('textbox', { name: 'Name' }).fill('Third')
      await dialog.getByRole('button', { name: 'Save' }).click()
      await page.getByRole('heading', { name: 'Third', level: 1 }).waitFor()
      const stored = await call<Template>('GET', `${TEMPLATES}/${second.id}`)
      t.same(stored.parameters, second.parameters, 'what no form lists stays')
      t.match(await call('GET', `${TEMPLATES}/${first.id}`), { title: 'First' })
      for (const { id } of [first, second]) await call('DELETE', `${TEMPLATES}/${id}`)
      t.same(faults, [])
    },
  )

  t.test('secrets of a flow are named, and asked for in place of being kept', async (t) => {
    const { id } = await call<Flow>('POST', FLOWS, {
      name: 'Ask the warehouse',
      trigger: { type: 'manual' },
      steps: [
        {
          id: 'ask',
          type: 'http',
          method: 'GET',
          url: 'https://api.example.com/',
          headers: { 'x-api-key': 's3cr3t-s3cr3t' },
        },
      ],
    })
    const { page } = await visit(`/console/flows/${id}`)
    await page.getByRole('button', { name: 'More' }).click()
    await page.getByRole('menuitem', { name: 'Save as template…' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByRole('checkbox', { name: /x-api-key/ }).waitFor()
    await dialog.getByRole('button', { name: 'Save template' }).click()
    await dialog.getByText('/steps/0/headers/x-api-key').waitFor()
    t.same(await ownOf(), [])
    await dialog.getByRole('button', { name: 'Ask for them' }).click()
    await dialog.getByRole('button', { name: 'Save template' }).click()
    await page.waitForURL(/\/console\/templates\//)
    const [own] = await ownOf()
    const stored = await call<Template>('GET', `${TEMPLATES}/${own?.id}`)
    t.match(stored.parameters, [{ name: 'x_api_key', default: '' }])
    t.notMatch(JSON.stringify(stored), /s3cr3t/)
  })

  t.test('a template is exported, and imported from the gallery as a flow', async (t) => {
    const { page, faults } = await visit('/console/templates/low_stock_task')
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Export' }).click(),
    ])
    t.equal(download.suggestedFilename(), 'reorder-what-runs-low.flow.json')
    const text = await readFile(await download.path(), 'utf8')
    t.match(JSON.parse(text), { format: 'bettercallsold.flow', format_version: 1 })
    await page.getByRole('link', { name: 'Templates' }).first().click()
    await page.getByRole('button', { name: 'Import…' }).click()
    await page.getByLabel('JSON').fill(text)
    await page.getByRole('button', { name: 'Import as a draft' }).click()
    await page.waitForURL(/\/console\/flows\//)
    t.match(await read(idIn(page.url())), {
      name: 'Reorder what runs low',
      status: 'draft',
      template_id: null,
    })
    t.same(faults, [])
  })
})

t.test('templates by role', { skip: noConsole }, async (t) => {
  const { call, visit } = await startConsole(t, {}, { hasKeys: true })
  const { key } = await call<{ key: string }>('POST', '/api/keys', {
    kind: 'tenant',
    name: 'Viewer',
    role: 'viewer',
  })
  t.test('a viewer looks at the gallery and at a preview, and finds nothing to change', async (t) => {
    const { page, faults } = await visit('/console/flows', { key })
    await page.getByRole('heading', { name: 'No flow yet' }).waitFor()
    await page.getByRole('link', { name: 'Welcome new customers' }).waitFor()
    for (const name of ['Start empty', 'Import a flow…', 'Import…', 'New flow']) {
      t.equal(await page.getByRole('button', { name }).count(), 0, name)
    }
    await page.getByRole('link', { name: 'Welcome new customers' }).click()
    await page
      .getByLabel(/^Flow canvas/)
      .first()
      .waitFor()
    t.equal(await page.getByRole('button', { name: /Install|Export|Edit|Delete/ }).count(), 0)
    t.same(faults, [])
  })

  t.test('an editor starts empty from there', async (t) => {
    const { key: own } = await call<{ key: string }>('POST', '/api/keys', {
      kind: 'tenant',
      name: 'Editor',
      role: 'editor',
    })
    const { page, faults } = await visit('/console/flows', { key: own })
    await page.getByRole('button', { name: 'Start empty' }).click()
    await page.waitForURL(/\/console\/flows\/[0-9a-f-]{36}/)
    t.match((await call<{ data: Flow[] }>('GET', FLOWS)).data, [{ name: 'New flow', status: 'draft' }])
    t.same(faults, [])
  })
})

import t from 'tap'
import { Webhook } from 'standardwebhooks'
import { until } from '#test/infra/app-on.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { createAuthority, createCertificate } from '#test/support/tls.ts'
import { accessibilityFaults, noConsole, settled, startConsole } from './support/console.ts'
import { becomes } from './support/wait.ts'

interface Plugin {
  status: string
  name: string
  description: string | null
  max_in_flight: number | null
  headers: Record<string, string>
  config: Record<string, unknown>
  events: unknown[]
  scopes: string[]
  secrets: { id: string; expires_at: string | null }[]
  waiting: number
}

const THEMES = ['light', 'dark'] as const
/** The browser's own messages about an answer that the page expects. */
const EXPECTED = /\b4(?:04|12|22)\b|Failed to load resource/

t.test('a plugin', { skip: noConsole }, async (t) => {
  const { call, visit } = await startConsole(t)
  const receiver = await startReceiver(t)
  const get = async (slug = 'order-desk'): Promise<Plugin> => call<Plugin>('GET', `/api/plugins/${slug}`)
  const post = async (): Promise<void> => {
    await call('POST', '/api/events', { event: 'order.created', data: { order_id: 'ord_1', total: 120 } })
  }

  await t.test('is registered, and its secret is shown once', async (t) => {
    const { page, faults } = await visit('/console/plugins/new', {
      permissions: ['clipboard-read', 'clipboard-write'],
    })
    for (const colorScheme of THEMES) {
      await page.emulateMedia({ colorScheme })
      t.same(await accessibilityFaults(page), [], colorScheme)
    }
    await page.getByRole('textbox', { name: 'Name', exact: true }).fill('Order desk')
    await page.getByLabel('Webhook URL').fill(`${receiver.url}/hooks`)
    await page.getByText('Headers, configuration and limits').click()
    await page.getByRole('button', { name: 'Add header' }).click()
    await page.getByLabel('Header name 1').fill('x-gateway')
    await page.getByLabel('Value 1').fill('open sesame')
    await page.getByLabel('Configuration').fill('{"api_key": ')
    await page.getByText('This is no JSON yet').waitFor()
    await becomes(t, async () => page.getByRole('button', { name: 'Register' }).isDisabled(), true)
    await page.getByLabel('Configuration').fill('{"api_key": "k_1"}')
    await page.getByLabel('Event type 1').fill('order.*')
    await page.getByRole('button', { name: 'Add filter' }).click()
    await page
      .getByLabel('Filter', { exact: true })
      .fill('{"field": "total", "operator": "gt", "value": 100}')
    await page.getByRole('button', { name: 'Register' }).click()

    const dialog = page.getByRole('dialog')
    await dialog.getByText('The signing secret is shown this once.').waitFor()
    const secret = (await dialog.locator('output').textContent()) ?? ''
    t.match(secret, /^whsec_/)
    await page.keyboard.press('Enter')
    await becomes(t, async () => page.evaluate<string>('navigator.clipboard.readText()'), secret)
    t.same(await accessibilityFaults(page), [])
    await page.keyboard.press('Escape')
    await dialog.waitFor({ state: 'detached' })
    await page.getByRole('heading', { name: 'Order desk' }).waitFor()
    t.notMatch(await page.content(), secret)

    const plugin = await get()
    t.match(plugin, { name: 'Order desk', config: { api_key: 'k_1' } })
    t.same(plugin.events, [{ event: 'order.*', filter: { field: 'total', operator: 'gt', value: 100 } }])
    await post()
    const [received] = await receiver.waitFor(1)
    t.equal(received?.headers['x-gateway'], 'open sesame')
    new Webhook(secret).verify(received?.body ?? '', (received?.headers ?? {}) as Record<string, string>)
    t.same(faults, [])
  })

  await t.test('says what is wrong where it was typed', async (t) => {
    const { page, faults } = await visit('/console/plugins/new')
    await page.getByRole('textbox', { name: 'Name', exact: true }).fill('Wrong')
    await page.getByLabel('Webhook URL').fill('https://user:secret@shop.example/hooks')
    await page.getByRole('button', { name: 'Register' }).click()
    await page.getByRole('alert').waitFor()
    await page.getByLabel('Webhook URL').and(page.locator('[aria-invalid="true"]')).waitFor()
    t.same(
      faults.filter((fault) => !EXPECTED.test(fault)),
      [],
    )
  })

  await t.test('looks fine in every view', async (t) => {
    const tabs = ['overview', 'deliveries', 'actions', 'subscriptions', 'settings', 'secrets', 'scopes']
    for (const colorScheme of THEMES) {
      const { page, faults } = await visit('/console/plugins/order-desk', { colorScheme })
      for (const tab of tabs) {
        const name = `${tab[0]?.toUpperCase() ?? ''}${tab.slice(1)}`
        await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name }).click()
        await settled(page)
        t.same(await accessibilityFaults(page), [], `${tab}, ${colorScheme}`)
      }
      t.same(faults, [])
    }
  })

  await t.test('is tested, and shows what came back', async (t) => {
    const { page, faults } = await visit('/console/plugins/order-desk')
    receiver.answer(503)
    await page.getByRole('button', { name: 'Test', exact: true }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByText('It did not arrive').waitFor()
    await dialog.getByText('look into the plugin’s own log').waitFor()
    receiver.answer(204)
    await dialog.getByRole('button', { name: 'Test again' }).click()
    await dialog.getByText('It arrived').waitFor()
    t.same(await accessibilityFaults(page), [])
    t.same(faults, [])
  })

  await t.test('is paused and resumed, with what waits or without', async (t) => {
    const { page, faults } = await visit('/console/plugins/order-desk')
    for (const choice of ['Give up what waits', 'Send what waits']) {
      await page.getByRole('button', { name: 'Pause', exact: true }).click()
      await page.getByRole('dialog').getByRole('button', { name: 'Pause' }).click()
      await page.getByText('It was paused by the shop.').waitFor()
      t.equal((await get()).status, 'paused')
      const before = receiver.received.length
      await post()
      await page.getByRole('link', { name: '1', exact: true }).waitFor()
      await page.getByRole('button', { name: 'Resume' }).click()
      await page.getByText('Deliveries that wait for it: 1').waitFor()
      await page.getByRole('dialog').getByLabel(choice).check()
      await page.getByRole('dialog').getByRole('button', { name: 'Resume' }).click()
      await page.getByText('It was paused by the shop.').waitFor({ state: 'detached' })
      t.equal((await get()).status, 'active')
      if (choice === 'Send what waits') await receiver.waitFor(before + 1)
      const status = choice === 'Send what waits' ? 'sent' : 'failed'
      const { data } = await until(
        async () =>
          call<{ data: { status: string }[] }>('GET', '/api/plugins/events?plugin=order-desk&limit=1'),
        ({ data: [latest] }) => latest?.status === status,
      )
      t.match(data, [{ status, reason: choice === 'Send what waits' ? null : 'skipped' }])
    }
    t.same(faults, [])
  })

  await t.test('changes what it listens to, tried before it is saved', async (t) => {
    const { page, faults } = await visit('/console/plugins/order-desk?tab=subscriptions')
    await page.getByLabel('Event type or event id').fill('order.created')
    await page.getByLabel('Data').fill('{"order_id": "ord_1", "total": 50}')
    await page.getByRole('button', { name: 'Test', exact: true }).last().click()
    await page.getByText('The plugin would not get it').waitFor()
    await page.getByText('A filter holds it back.').waitFor()
    await page.getByLabel('Filter', { exact: true }).fill('{"field": "total", "operator": "gt", "value": 10}')
    await page.getByRole('button', { name: 'Test', exact: true }).last().click()
    await page.getByText('The plugin would get it').waitFor()
    t.same(await accessibilityFaults(page), [])
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('Saved', { exact: true }).waitFor()
    t.same((await get()).events, [
      { event: 'order.*', filter: { field: 'total', operator: 'gt', value: 10 } },
    ])
    // A choice for one change does not hold for the next.
    const keep = page.getByLabel('Still send what waits')
    for (const change of ['invoice.*', 'order.*']) {
      await page.getByLabel('Event type 1').fill(change)
      await becomes(t, async () => keep.isChecked(), false, change)
      await keep.check()
      await page.getByRole('button', { name: 'Save' }).click()
      await keep.waitFor({ state: 'detached' })
    }
    t.same(faults, [])
  })

  await t.test('keeps how events are sent, which only the API changes, and shows it', async (t) => {
    const before = (await get()).events
    const stock = { event: 'product.stock', coalesce: { key: 'product_id', window_seconds: 5 } }
    const chosen = { event: 'order.*', include: ['total'] }
    await call('PATCH', '/api/plugins/order-desk', { events: [chosen, stock] })
    const { page, faults } = await visit('/console/plugins/order-desk?tab=subscriptions')
    await page.getByText('"window_seconds":5').waitFor()
    t.same(await accessibilityFaults(page), [])
    await page.getByLabel('Event type 1').fill('invoice.*')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('Saved', { exact: true }).waitFor()
    t.same((await get()).events, [{ ...chosen, event: 'invoice.*' }, stock])
    await call('PATCH', '/api/plugins/order-desk', { events: before })
    t.same(faults, [])
  })

  await t.test('asks before what was typed is lost', async (t) => {
    for (const [tab, label] of [
      ['subscriptions', 'Event type 1'],
      ['scopes', 'Scopes'],
      ['settings', 'Description'],
    ] as const) {
      const { page } = await visit(`/console/plugins/order-desk?tab=${tab}`)
      const questions: string[] = []
      page.on('dialog', (dialog) => {
        questions.push(dialog.message())
        void dialog.dismiss()
      })
      await page.getByLabel(label, { exact: true }).fill('self:read')
      await page.getByRole('link', { name: 'Secrets' }).click()
      await becomes(t, () => questions.length, 1, tab)
      t.match(questions, [/not saved/], tab)
      t.match(page.url(), new RegExp(`tab=${tab}$`))
      await page.context().close()
    }
  })

  await t.test('is not overwritten when somebody else has changed it', async (t) => {
    const { page, faults } = await visit('/console/plugins/order-desk?tab=settings')
    await page.getByRole('textbox', { name: 'Name', exact: true }).fill('Order desk 2')
    // Another view would lose it: the browser asks, and here nobody agrees.
    await page.getByRole('link', { name: 'Secrets' }).click()
    t.match(page.url(), /tab=settings$/)
    await call('PATCH', '/api/plugins/order-desk', { description: 'By somebody else', max_in_flight: 2 })
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('Somebody has changed this plugin meanwhile').waitFor()
    t.equal((await get()).name, 'Order desk')
    await page.getByRole('button', { name: 'Load the newer' }).click()
    await until(
      async () => page.getByLabel('Description').inputValue(),
      (text) => text === 'By somebody else',
    )
    await becomes(
      t,
      async () => page.getByRole('textbox', { name: 'Name', exact: true }).inputValue(),
      'Order desk',
    )

    await page.getByRole('textbox', { name: 'Name', exact: true }).fill('Order desk 3')
    await call('PATCH', '/api/plugins/order-desk', { description: 'Once more' })
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('button', { name: 'Apply mine to it' }).click()
    await page.getByText('Saved', { exact: true }).waitFor()
    t.match(await get(), { name: 'Order desk 3', description: 'Once more', max_in_flight: 2 })
    t.same(
      faults.filter((fault) => !EXPECTED.test(fault)),
      [],
    )
  })

  await t.test('gets a new secret, shown once', async (t) => {
    const { page, faults } = await visit('/console/plugins/order-desk?tab=secrets')
    await page.getByRole('button', { name: 'Rotate secret' }).click()
    await page.getByLabel('Older secrets go on for').selectOption('0')
    await page.getByRole('dialog').getByRole('button', { name: 'Rotate secret' }).click()
    const shown = page.getByText('The signing secret is shown this once.')
    await shown.waitFor()
    const secret = (await page.locator('output').textContent()) ?? ''
    const question = page.getByRole('alertdialog')
    const closes = [
      async () => page.keyboard.press('Escape'),
      async () => page.getByRole('button', { name: 'Close', exact: true }).click(),
      async () => page.mouse.click(5, 5),
    ]
    for (const close of closes) {
      await close()
      await question.getByText('It was not copied yet.').waitFor()
      t.same(await accessibilityFaults(page), [])
      await page.keyboard.press('Enter')
      await question.waitFor({ state: 'detached' })
      await shown.waitFor()
    }
    await page.getByRole('button', { name: 'I have stored it' }).click()
    await page.getByText('The signing secret is shown this once.').waitFor({ state: 'detached' })
    t.notMatch(await page.content(), secret)
    const before = receiver.received.length
    await post()
    const received = (await receiver.waitFor(before + 1)).at(-1)
    new Webhook(secret).verify(received?.body ?? '', (received?.headers ?? {}) as Record<string, string>)
    t.same(faults, [])
  })

  await t.test('gets a client certificate, which is shown without its key, and loses it', async (t) => {
    const authority = createAuthority('Shop authority')
    const soon = new Date(Date.now() + 5 * 86_400_000)
    const certified = createCertificate({ names: ['order-desk'], issuer: authority, notAfter: soon })
    const stranger = createCertificate({ names: ['stranger'] })
    const { page, faults } = await visit('/console/plugins/order-desk?tab=secrets')
    await page.getByText('None is set.').waitFor()
    await page.getByRole('button', { name: 'Set certificate' }).click()
    const dialog = page.getByRole('dialog')
    const send = dialog.getByRole('button', { name: 'Set certificate' })
    t.ok(await send.isDisabled())
    await dialog.getByLabel('Certificate (PEM)').fill(certified.cert)
    await dialog.getByLabel('Private key (PEM)').fill(stranger.key)
    await send.click()
    await dialog.getByText('does not belong to the certificate').first().waitFor()
    t.same(await accessibilityFaults(page), [])
    await dialog.getByLabel('Private key (PEM)').fill(certified.key)
    await send.click()
    await page.getByText('CN=order-desk').waitFor()
    await page.getByText('ends soon').waitFor()
    t.notMatch(await page.content(), 'PRIVATE KEY-----\nM')
    t.same(await accessibilityFaults(page), [])
    await page.getByRole('button', { name: 'Replace certificate' }).click()
    t.equal(await dialog.getByLabel('Private key (PEM)').inputValue(), '', 'it is not kept in the page')
    await dialog.getByRole('button', { name: 'Cancel' }).click()
    const { href } = new URL(page.url())
    await page.goto(new URL('/console/', href).href)
    await page.getByText('Certificate ends').waitFor()
    await page.goto(href)
    await page.getByRole('button', { name: 'Remove certificate' }).click()
    await dialog.getByRole('button', { name: 'Remove certificate' }).click()
    await page.getByText('None is set.').waitFor()
    t.same(
      faults.filter((fault) => !/\b400\b|Failed to load resource/.test(fault)),
      [],
    )
  })

  await t.test('says which flows call its actions before it is paused or deleted', async (t) => {
    await call('POST', '/api/plugins', {
      name: 'Label desk',
      slug: 'label-desk',
      webhook_url: 'http://127.0.0.1:9/',
      events: [],
    })
    const { page, faults } = await visit('/console/plugins/label-desk')
    const dialog = page.getByRole('dialog')
    await page.getByRole('button', { name: 'Pause' }).click()
    await dialog.getByText('No flow calls its actions.').waitFor()
    await dialog.getByRole('button', { name: 'Cancel' }).click()
    const action = { action_type: 'print', title: 'Print', description: 'Prints', endpoint: '/print' }
    await call('POST', '/api/plugins/label-desk/register-actions', { actions: [action] })
    await call('POST', '/api/automation/flows', {
      name: 'Print the label',
      status: 'active',
      trigger: { type: 'manual' },
      steps: ['one', 'two'].map((id) => ({ id, type: 'action', action_type: 'print', input: {} })),
    })
    await page.getByRole('button', { name: 'Pause' }).click()
    await dialog
      .getByText('These flows call its actions, and fail at that step until it is resumed:')
      .waitFor()
    await becomes(t, async () => dialog.getByRole('link', { name: 'Print the label' }).count(), 1)
    t.same(await accessibilityFaults(page), [])
    await dialog.getByRole('button', { name: 'Cancel' }).click()
    await page.getByRole('button', { name: 'More' }).click()
    await page.getByRole('menuitem', { name: 'Delete…' }).click()
    await dialog.getByText('These flows call its actions, and fail at that step from then on:').waitFor()
    await dialog.getByRole('link', { name: 'Print the label' }).waitFor()
    t.same(await accessibilityFaults(page), [])
    t.same(faults, [])
    await call('DELETE', '/api/plugins/label-desk')
  })

  await t.test('is deleted when its slug was typed', async (t) => {
    const { page, faults } = await visit('/console/plugins/order-desk')
    await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: 'Settings' }).click()
    await page.waitForURL(/tab=settings/)
    // The typed text is of no use any more: nobody is asked about it.
    await page.getByLabel('Description').fill('Never saved')
    await page.getByRole('button', { name: 'More' }).focus()
    await page.keyboard.press('Enter')
    await page.getByRole('menuitem', { name: 'Delete…' }).waitFor()
    await page.keyboard.press('End')
    await page.keyboard.press('Enter')
    const remove = page.getByRole('dialog').getByRole('button', { name: 'Delete plugin' })
    await remove.waitFor()
    t.equal(await remove.isDisabled(), true)
    await page.getByLabel('Type order-desk to confirm').fill('order-desk')
    await page.route('**/api/plugins/order-desk', (route) => route.abort(), { times: 1 })
    await remove.click()
    await page.getByRole('alert').waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('button', { name: 'More' }).click()
    await page.getByRole('menuitem', { name: 'Delete…' }).click()
    await remove.waitFor()
    await becomes(t, async () => page.getByRole('alert').count(), 0, 'what was wrong the last time is over')
    await page.getByLabel('Type order-desk to confirm').fill('order-desk')
    await remove.click()
    await page.getByRole('heading', { name: 'No plugin yet' }).waitFor()
    await page.getByText('The plugin is deleted').waitFor()
    // Its other views lie behind: who goes back does not meet them.
    await page.goBack()
    await page.waitForURL(/\/console\/plugins$/)
    await page.getByRole('heading', { name: 'No plugin yet' }).waitFor()
    t.same((await call<{ data: unknown[] }>('GET', '/api/plugins')).data, [])
    t.same(
      faults.filter((fault) => !EXPECTED.test(fault)),
      [],
    )
  })
})

t.test('a viewer', { skip: noConsole }, async (t) => {
  const { call, visit } = await startConsole(t)
  await call('POST', '/api/plugins', {
    name: 'Mailer',
    slug: 'mailer',
    webhook_url: 'http://127.0.0.1:9/hooks',
    events: ['order.*'],
  })
  await call('POST', '/api/events', { event: 'order.created', data: { order_id: 'ord_1' } })
  const paths = [
    '/console/plugins',
    '/console/plugins/mailer',
    '/console/plugins/mailer?tab=subscriptions',
    '/console/plugins/mailer?tab=secrets',
    '/console/deliveries',
    '/console/replays',
    '/console/events',
    '/console/catalogue/order.created',
  ]
  const { page, faults } = await visit('/console/plugins')
  await page.route('**/api/session', (route) => route.fulfill({ json: VIEWER }))
  for (const path of paths) {
    await page.goto(new URL(path, page.url()).href)
    await page.locator('main h1').waitFor()
    await settled(page)
    const buttons = page.locator('main').getByRole('button', {
      name: /Register|Pause$|Test$|Rotate|certificate|Save|Retry|again|Post|Declare|Delete|More$/,
    })
    const names = await buttons.allTextContents()
    // Trying subscriptions changes nothing, and viewers may.
    t.same(
      names.filter((name) => !(path.includes('subscriptions') && name === 'Test')),
      [],
      path,
    )
  }
  t.same(faults, [])
})

const VIEWER = {
  kind: 'tenant',
  role: 'viewer',
  tenant_id: '11111111-1111-1111-1111-111111111111',
  may_choose_tenant: false,
  plugin: null,
  label: null,
  expires_at: null,
  version: '0.1.0',
  via: 'session',
}

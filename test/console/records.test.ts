import t from 'tap'
import { startReceiver } from '#test/support/receiver.ts'
import { accessibilityFaults, noConsole, startConsole } from './support/console.ts'
import { until } from '#test/infra/app-on.ts'

interface Listed {
  data: { id: string; status: string; action: string }[]
}

t.setTimeout(300_000)

t.test('records: what was changed, and what was called', { skip: noConsole }, async (t) => {
  const { call, visit } = await startConsole(t)
  const receiver = await startReceiver(t)
  receiver.answer(({ path }, response) => {
    if (path === '/stamp') response.writeHead(422).end('{"message":"The ink is dry"}')
    else
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"tracking":"T-1","weight":1.10}')
  })
  await call('POST', '/api/plugins', {
    name: 'Shipping',
    slug: 'shipping',
    webhook_url: `${receiver.url}/hooks`,
    events: [],
    timeout_ms: 5_000,
  })
  await call('POST', '/api/plugins/shipping/register-actions', {
    actions: ['send', 'stamp'].map((name) => ({ action_type: name, title: name, endpoint: `/${name}` })),
  })

  t.test(
    'a change has a page with what was before and after, which the list and its id lead to',
    async (t) => {
      await call('PATCH', '/api/plugins/shipping', {
        timeout_ms: 9_000,
        description: 'Sails on Mondays',
        events: ['order.created'],
        config: { harbour: 'Porto' },
      })
      const { page, faults } = await visit('/console/audit?action=plugin.updated')
      await page.getByRole('link', { name: 'Plugin changed' }).click()
      await page.getByRole('heading', { name: 'Plugin changed', level: 1 }).waitFor()
      const timeout = page.getByRole('row', { name: 'timeout_ms' })
      t.equal(await timeout.locator('del').innerText(), '5000')
      t.equal(await timeout.locator('ins').innerText(), '9000')
      await page.getByRole('row', { name: 'events' }).first().getByText('order.created').waitFor()
      await page.getByText('Changed: description').waitFor()
      await page.getByText('Changed, and kept secret: config').waitFor()
      t.notMatch(await page.locator('main').innerText(), /Sails|Porto/)
      t.same(await accessibilityFaults(page), [])

      const id = new URL(page.url()).pathname.split('/').at(-1) ?? ''
      await page.getByRole('link', { name: 'shipping' }).click()
      await page.getByRole('heading', { name: 'Shipping', level: 1 }).waitFor()
      await page.keyboard.press('Control+k')
      await page.getByRole('combobox', { name: 'Go to' }).fill(id)
      await page.getByRole('option', { name: /plugin\.updated/ }).waitFor()
      await page.keyboard.press('Enter')
      await page.getByRole('heading', { name: 'Plugin changed', level: 1 }).waitFor()
      t.same(faults, [])
    },
  )

  t.test('a version that was published leads to what it changed', async () => {
    const flow = { name: 'Say hello', trigger: { type: 'manual' } }
    const task = (title: string) => [
      { id: 'task', type: 'action', action_type: 'create_task', input: { title } },
    ]
    const { id } = await call<{ id: string }>('POST', '/api/automation/flows', {
      ...flow,
      status: 'active',
      steps: task('Hello'),
    })
    await call('PUT', `/api/automation/flows/${id}`, { ...flow, steps: task('Good morning') })
    await call('POST', `/api/automation/flows/${id}/publish`, {})
    const { data } = await call<Listed>('GET', `/api/audit-log?target=${id}&action=flow.published`)
    const { page } = await visit(`/console/audit/${data[0]?.id}`)
    await page.getByRole('link', { name: 'Compare the versions' }).click()
    await page.getByRole('heading', { name: 'Version 2', level: 2 }).waitFor()
    await page.getByText('Good morning').first().waitFor()
  })

  t.test('a call of a flow tells the answer exactly, and leads to run, flow, event and plugin', async (t) => {
    const { id: flow } = await call<{ id: string }>('POST', '/api/automation/flows', {
      name: 'Send the parcel',
      status: 'active',
      triggers: [{ type: 'event', event_types: ['order.paid'] }],
      steps: [
        { id: 'parcel', type: 'action', plugin_id: 'shipping', action_type: 'send', input: { parcel: 7 } },
      ],
    })
    const { id: event } = await call<{ id: string }>('POST', '/api/events', { event: 'order.paid', data: {} })
    await until(
      async () => call<Listed>('GET', '/api/automation/event-log?action=send'),
      ({ data }) => data.length > 0,
    )
    const { page, faults } = await visit('/console/calls')
    await page.getByRole('link', { name: 'send', exact: true }).click()
    await page.getByRole('heading', { name: 'send', level: 1 }).waitFor()
    await page.getByText('1.10').waitFor()
    const links = page.getByRole('main').getByRole('link')
    const addresses = await links.evaluateAll((all) =>
      all.map((each) => (each as { pathname: string }).pathname),
    )
    for (const path of [`/flows/${flow}`, `/events/${event}`, '/plugins/shipping']) {
      t.ok(addresses.includes(`/console${path}`), path)
    }
    t.same(await accessibilityFaults(page), [])
    await page
      .getByRole('definition')
      .filter({ hasText: /^[0-9a-f-]{36}$/ })
      .getByRole('link')
      .first()
      .click()
    await page.getByRole('heading', { name: 'Send the parcel', level: 1 }).waitFor()
    await page.getByRole('heading', { name: 'parcel', exact: true }).waitFor()
    t.same(faults, [])
  })

  t.test('a call that failed says what went wrong and what to do', async (t) => {
    await call('POST', '/api/plugins/events/automation', {
      flow_execution_id: 'till-7',
      events: [{ action_type: 'stamp', payload: { parcel: 7 }, event_key: 'first' }],
    })
    const { page, faults } = await visit('/console/calls?success=false')
    await page.getByRole('link', { name: 'stamp', exact: true }).click()
    const wrong = page.getByRole('group', { name: 'What went wrong' })
    await wrong.getByText('The ink is dry').waitFor()
    await wrong.getByText('The request was refused').waitFor()
    await page.getByText('first', { exact: true }).waitFor()
    await page.getByRole('link', { name: 'What else it asked for' }).click()
    await page.getByRole('link', { name: 'stamp', exact: true }).waitFor()
    t.match(page.url(), /execution=till-7/)
    t.same(faults, [])
  })

  t.test('messages are found by whom they went to and by flow, in English and German', async (t) => {
    const write = async (name: string, to: string): Promise<string> => {
      const message = { id: 'mail', type: 'message', channel: 'email', to, subject: name, body: 'Hello' }
      const flow = { name, status: 'active', trigger: { type: 'manual' }, steps: [message] }
      const { id } = await call<{ id: string }>('POST', '/api/automation/flows', flow)
      await call('POST', `/api/automation/flows/${id}/run`, { input: {} })
      return id
    }
    const thanks = await write('Thanks', 'ana@shop.example')
    await write('Reminder', 'bea@shop.example')
    await until(
      async () => call<Listed>('GET', '/api/automation/messages'),
      ({ data }) => data.length === 2,
    )
    for (const locale of ['en-GB', 'de-DE']) {
      const isGerman = locale === 'de-DE'
      const { page, faults } = await visit('/console/messages', { locale })
      const link = (name: string) => page.getByRole('main').getByRole('link', { name, exact: true })
      const recipient = page.getByRole('searchbox', { name: isGerman ? 'An' : 'To', exact: true })
      await link('Reminder').waitFor()
      await recipient.fill('ana@shop.example')
      await link('Reminder').waitFor({ state: 'detached' })
      await link('Thanks').waitFor()
      await recipient.fill('')
      await link('Reminder').waitFor()
      await page
        .getByRole('combobox', { name: isGerman ? 'Ablauf' : 'Flow', exact: true })
        .selectOption(thanks)
      await link('Reminder').waitFor({ state: 'detached' })
      await link('Thanks').waitFor()
      t.match(page.url(), new RegExp(`flow=${thanks}`))
      t.same(await accessibilityFaults(page), [])
      t.same(faults, [])
    }
  })
})

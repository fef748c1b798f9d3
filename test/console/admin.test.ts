import t from 'tap'
import { accessibilityFaults, noConsole, startConsole } from './support/console.ts'
import { becomes } from './support/wait.ts'

interface Named {
  name: string
}

t.setTimeout(300_000)

t.test('administration', { skip: noConsole }, async (t) => {
  const { url, call, visit } = await startConsole(t)

  t.test('the first steps are ticked by what is there', async (t) => {
    const { page } = await visit('/console')
    await page.getByRole('heading', { name: 'First steps' }).waitFor()
    await becomes(t, async () => page.getByRole('img', { name: 'open' }).count(), 4)
    await call('POST', '/api/plugins', {
      name: 'Mailer',
      slug: 'mailer',
      webhook_url: 'http://127.0.0.1:9/',
      events: [],
    })
    await page.reload()
    await page.getByRole('img', { name: 'done' }).waitFor()
    await becomes(t, async () => page.getByRole('img', { name: 'open' }).count(), 3)
  })

  t.test('what needs somebody is told, and leads to where it is mended', async (t) => {
    await call('POST', '/api/automation/halt')
    const { page, faults } = await visit('/console')
    await page.getByText('Everything halted').waitFor()
    t.same(await accessibilityFaults(page), [])
    await page.getByRole('link', { name: 'Flows and automations of this shop' }).click()
    await page.getByRole('heading', { name: 'Settings', level: 1 }).waitFor()
    await call('POST', '/api/automation/resume', {})
    t.same(faults, [])
  })

  t.test('a key is made by keyboard, shown once, and revoked', async (t) => {
    const { page, faults } = await visit('/console/keys')
    await page.getByRole('button', { name: 'Create key' }).focus()
    await page.keyboard.press('Enter')
    await becomes(t, async () => page.getByLabel('Whose').getByRole('option').allTextContents(), [
      'Shop',
      'Plugin',
    ])
    await page.getByLabel('Name').fill('Shop backend')
    await page.keyboard.press('Enter')
    const key = (await page.getByRole('status', { name: 'Key' }).textContent()) ?? ''
    t.match(key, /^bcs_[\w-]{43}$/)
    await page.getByRole('button', { name: 'I have stored it' }).click()
    const row = page.getByRole('row', { name: /Shop backend/ })
    await row.waitFor()
    await becomes(t, async () => page.getByText(key).count(), 0)
    t.match(await call('GET', '/api/keys'), {
      data: [{ name: 'Shop backend', kind: 'tenant', role: 'editor' }],
    })
    await row.getByRole('button', { name: /Revoke/ }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click()
    await row.getByText('revoked').waitFor()
    const { data } = await call<{ data: { revoked_at: string | null }[] }>('GET', '/api/keys')
    t.type(data[0]?.revoked_at, 'string')
    await row.getByRole('link', { name: /Changes/ }).click()
    await page.getByRole('heading', { name: 'Nothing matches' }).waitFor()
    await page.getByRole('button', { name: 'Clear' }).click()
    await page.getByRole('link', { name: 'Key revoked' }).click()
    await page.getByRole('heading', { name: 'Key revoked', level: 1 }).waitFor()
    await page.getByText('Somebody in open mode').waitFor()
    t.match(page.url(), /\/audit\/[\w-]{36}$/)
    t.same(faults, [])
  })

  t.test('a portal link is made, shown once, and ended', async (t) => {
    const { page } = await visit('/console/keys?tab=links')
    await page.getByRole('button', { name: 'Create link' }).click()
    await page.getByLabel('May').selectOption('admin')
    await page.getByLabel('Sees').selectOption('plugin')
    await becomes(
      t,
      async () => page.getByLabel('May').inputValue(),
      'viewer',
      'a plugin has no administrators',
    )
    await page.getByLabel('Sees').selectOption('tenant')
    await page.getByLabel('May').selectOption('viewer')
    await page.getByLabel('For', { exact: false }).first().fill('anna')
    await page.getByRole('dialog').getByRole('button', { name: 'Create link' }).click()
    const link = (await page.getByRole('status', { name: 'Link' }).textContent()) ?? ''
    t.match(link, /\/console\/portal#[\w-]{43}$/)
    await page.getByRole('button', { name: 'I have stored it' }).click()
    await page.getByRole('button', { name: 'End all: anna' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'End all' }).click()
    await page.getByRole('row', { name: /anna/ }).getByText('ended').waitFor()
    t.match(await call('GET', '/api/portal-sessions'), { data: [{ label: 'anna', status: 'ended' }] })
  })

  t.test('the shop is halted and goes on, and its settings are kept', async (t) => {
    const { page } = await visit('/console/settings')
    await page.getByRole('button', { name: 'Halt everything' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Halt everything' }).click()
    await page.getByText('All flows and automations of this shop are halted').waitFor()
    t.match(await call('GET', '/api/automation/halt'), { halted: true })
    await page.getByRole('button', { name: 'Resume' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Resume' }).click()
    await page.getByText('Flows run').waitFor()
    t.match(await call('GET', '/api/automation/halt'), { halted: false })
    // Until it has closed it keeps the focus, and what is typed.
    await page.getByRole('dialog').waitFor({ state: 'hidden' })
    await page.getByLabel('Time zone').fill('Nowhere/Land')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('alert').waitFor()
    await page.getByLabel('Time zone').fill('Europe/Lisbon')
    await page.getByLabel('Hold messages back at night').check()
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('Settings saved').waitFor()
    t.match(await call('GET', '/api/tenant'), {
      time_zone: 'Europe/Lisbon',
      quiet_hours: { from: '21:00', to: '08:00' },
    })

    // The text that is being written survives another person's change of the shop, and takes nothing of it back.
    await page.getByLabel('Time zone').fill('Europe/Berlin')
    await call('PATCH', '/api/tenant', { strict_events: true })
    const read = page.waitForResponse(async (answer) => {
      const isShop = answer.url().endsWith('/api/tenant') && answer.request().method() === 'GET'
      return isShop && (await answer.text()).includes('"strict_events":true')
    })
    await page.getByRole('button', { name: 'Halt everything' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Halt everything' }).click()
    await read
    await page.getByRole('button', { name: 'Resume' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Resume' }).click()
    await page.getByText('Flows run').waitFor()
    await page.getByRole('dialog').waitFor({ state: 'hidden' })
    t.equal(await page.getByLabel('Time zone').inputValue(), 'Europe/Berlin')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('button', { name: 'Undo changes' }).waitFor({ state: 'detached' })
    t.match(await call('GET', '/api/tenant'), { time_zone: 'Europe/Berlin', strict_events: true })
    await page
      .locator('label')
      .filter({ hasText: 'Refuse events' })
      .getByRole('checkbox', { checked: true })
      .waitFor()

    // What is written while a save is under way stays, and is not saved yet.
    const sent = Promise.withResolvers<undefined>()
    const typed = Promise.withResolvers<undefined>()
    await page.route('**/api/tenant', async (route) => {
      if (route.request().method() === 'PATCH') {
        sent.resolve(undefined)
        await typed.promise
      }
      await route.continue()
    })
    await page.getByLabel('Time zone').fill('Europe/Paris')
    await page.getByRole('button', { name: 'Save' }).click()
    await sent.promise
    await page.getByLabel('Time zone').fill('Europe/Rome')
    typed.resolve(undefined)
    await page.getByRole('button', { name: 'Save' }).and(page.locator(':not([aria-busy="true"])')).waitFor()
    t.equal(await page.getByLabel('Time zone').inputValue(), 'Europe/Rome')
    t.match(await call('GET', '/api/tenant'), { time_zone: 'Europe/Paris' })
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('button', { name: 'Undo changes' }).waitFor({ state: 'detached' })
    t.match(await call('GET', '/api/tenant'), { time_zone: 'Europe/Rome' })
    await call('PATCH', '/api/tenant', { strict_events: false })
  })

  t.test('a connection and a variable that a flow names are deleted only on a second word', async (t) => {
    const { page } = await visit('/console/connections')
    await page.getByRole('button', { name: 'Create connection' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Name').fill('payments')
    await dialog.getByLabel('Hosts').fill('api.pay.example')
    await dialog.getByLabel('Token').fill('s3cret-token')
    await dialog.getByRole('button', { name: 'Create connection' }).click()
    await page.getByRole('row', { name: /payments/ }).waitFor()
    await call('POST', '/api/automation/flows', {
      name: 'Pay',
      trigger: { type: 'manual' },
      steps: [{ id: 'pay', type: 'http', url: 'https://api.pay.example/x', connection: 'payments' }],
    })
    await page.getByRole('button', { name: 'Delete: payments' }).click()
    await dialog.getByRole('button', { name: 'Delete' }).click()
    await dialog.getByRole('link', { name: 'Pay' }).waitFor()
    t.match(await call('GET', '/api/connections'), { data: [{ name: 'payments' }] })
    await dialog.getByRole('button', { name: 'Delete all the same' }).click()
    await page.getByRole('heading', { name: 'No connection yet' }).waitFor()
    t.match(await call('GET', '/api/connections'), { data: [] })

    await page.goto(`${url}/console/variables`)
    await page.getByRole('button', { name: 'Set variable' }).first().click()
    await dialog.getByLabel('Name').fill('limit')
    await dialog.getByLabel('The value is').selectOption('json')
    await dialog.getByLabel('Value', { exact: true }).fill('12345678901234567890.10')
    await dialog.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('cell', { name: '12345678901234567890.10' }).waitFor()
    // Another variable moves it to another row of the answer.
    await page.getByRole('button', { name: 'Set variable' }).first().click()
    await dialog.getByLabel('Name').fill('first')
    await dialog.getByLabel('The value is').selectOption('json')
    await dialog.getByLabel('Value', { exact: true }).fill('98765432109876543210')
    await dialog.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('cell', { name: '98765432109876543210' }).waitFor()
    await page.getByRole('cell', { name: '12345678901234567890.10' }).waitFor()
    await page.getByRole('button', { name: 'Change: limit' }).click()
    await dialog.getByLabel('Description').fill('As exact as it was written')
    await dialog.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('cell', { name: /As exact as/ }).waitFor()
    await page.getByRole('button', { name: 'Set variable' }).first().click()
    await dialog.getByLabel('Name').fill('limit')
    await dialog.getByLabel('Value', { exact: true }).fill('5')
    await dialog.getByRole('button', { name: 'Save' }).click()
    await dialog.getByText('There is such a variable').first().waitFor()
    await dialog.getByRole('button', { name: 'Cancel' }).click()
    const exact = await (await fetch(`${url}/api/variables/limit`)).text()
    t.match(exact, '"value":12345678901234567890.10')
  })

  t.test('automations are installed, switched, changed and tested', async (t) => {
    const { page } = await visit('/console/automations')
    await page.getByRole('button', { name: 'Install the usual ones' }).first().click()
    await page.getByRole('dialog').getByRole('button', { name: 'Install' }).click()
    const toggle = page.getByRole('switch').first()
    await toggle.waitFor()
    const { data } = await call<{ data: (Named & { id: string })[] }>('GET', '/api/automations')
    const first = data[0]
    await toggle.click()
    await page.getByRole('dialog').getByRole('button', { name: 'Switch off' }).click()
    await page.getByText('The automation is off').waitFor()
    t.match(await call('GET', `/api/automations/${first?.id}`), { enabled: false })
    await page.getByRole('link', { name: first?.name ?? '', exact: true }).click()
    await page.getByLabel('Text').first().fill('See you soon')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('The automation is saved').waitFor()
    t.match(await call('GET', `/api/automations/${first?.id}`), { template: 'See you soon' })
    await page.getByRole('button', { name: 'Test' }).click()
    await page.getByRole('heading', { name: 'It would write' }).waitFor()
  })

  t.test('the action of an automation is taken away, and its type changed', async (t) => {
    const made = await call<{ id: string }>('POST', '/api/automations', {
      name: 'Tag the lead',
      type: 'crm_update',
      trigger: 'status_changed',
      action: { action_type: 'create_task', input: { title: 'Call them' } },
      enabled: false,
    })
    const { page, faults } = await visit(`/console/automations/${made.id}`)
    await page.getByLabel('Action', { exact: true }).waitFor()
    t.equal(await page.getByLabel('Writes by').count(), 0, 'it writes to the team alone')
    await page.getByLabel('Action', { exact: true }).fill('')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('The automation is saved').waitFor()
    t.match(await call('GET', `/api/automations/${made.id}`), { action: null, channel: 'notification' })

    await page.getByLabel('Action', { exact: true }).fill('create_task')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('button', { name: 'Undo changes' }).waitFor({ state: 'detached' })
    await page.getByLabel('Does', { exact: true }).selectOption('lead_followup')
    await page.getByLabel('Writes by').selectOption('sms')
    await becomes(t, async () => page.getByLabel('Subject').count(), 0, 'a text message has none')
    await page.getByLabel('Hours').fill('')
    await page.getByRole('button', { name: 'Save' }).click()
    await becomes(t, async () => page.locator('input:invalid').count(), 1, 'the hours are needed')
    await page.getByLabel('Hours').fill('12')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('button', { name: 'Undo changes' }).waitFor({ state: 'detached' })
    t.match(await call('GET', `/api/automations/${made.id}`), {
      type: 'lead_followup',
      channel: 'sms',
      action: null,
      delay_hours: 12,
    })
    t.same(faults, [])
  })

  t.test('a template is installed with its settings', async (t) => {
    const { page } = await visit('/console/templates')
    await page.getByRole('link', { name: 'Welcome new customers' }).click()
    await page.getByLabel('Shop name').fill('Lisbon Bicycles')
    await page.getByRole('button', { name: 'Install' }).click()
    await page.waitForURL(/\/console\/flows\/[0-9a-f-]{36}/)
    const { data } = await call<{ data: object[] }>(
      'GET',
      '/api/automation/flows?template_id=welcome_customer',
    )
    t.match(data, [{ name: 'Welcome new customers', status: 'draft' }])
  })
})
